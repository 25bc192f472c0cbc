"""The embedded exchange in Kraken's words: REST answers, stream frames, signatures.

Pure: requests come in as dicts and text, answers go out as dicts and text; no sockets, no
threads, no clock of its own. `fake_kraken_book` decides, `fake_kraken` serves.

Source: Kraken, REST and WebSocket v2 reference (read 2026-11).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import urllib.parse
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from fake_kraken_book import Engine, Listing, Order, Refusal, Row, Trade, modern

Params = Mapping[str, str]

SYSTEM_STATES = ("online", "maintenance", "cancel_only", "post_only")
PERMISSIONS = frozenset({"query funds", "query open", "query closed", "modify", "cancel"})
# Any one of these permissions is enough for the call.
_NEEDED: dict[str, frozenset[str]] = {
    "Balance": frozenset({"query funds"}),
    "BalanceEx": frozenset({"query funds"}),
    "TradeBalance": frozenset({"query funds"}),
    "OpenOrders": frozenset({"query open"}),
    "QueryOrders": frozenset({"query open", "query closed"}),
    "ClosedOrders": frozenset({"query closed"}),
    "AddOrder": frozenset({"modify"}),
    "EditOrder": frozenset({"modify"}),
    "CancelOrder": frozenset({"modify", "cancel"}),
}

_CHANNELS = ("ticker", "trade")
_PAGE = 50  # orders in an answer of ClosedOrders, and in a question of QueryOrders
_MOST_TRADES = 1000
_MOST_CANDLES = 720
_SNAPSHOT_TRADES = 50
_NEAREST_DEADLINE, _FARTHEST_DEADLINE = 2.0, 60.0  # seconds ahead of Kraken's clock
_MODERN_IN_LEGACY_DRESS = frozenset({"XAUT", "ZETA"})  # four letters, and yet no prefix


# --- requests ------------------------------------------------------------------------------------


def read_params(body: str, content_type: str) -> dict[str, str]:
    """Return the parameters of a form or JSON body as text by name.

    Raises:
        Refusal: If it is no JSON object although it says so.
    """
    if content_type != "application/json":
        return dict(urllib.parse.parse_qsl(body, keep_blank_values=True))
    try:
        found = json.loads(body or "{}")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Refusal("EGeneral:Invalid arguments")
    return {
        str(name): value if isinstance(value, str) else json.dumps(value)
        for name, value in found.items()
        if value is not None
    }


@dataclass(slots=True)
class _Key:
    secret: bytes = field(repr=False)
    permissions: frozenset[str]
    nonce: int = 0


class KeyRing:
    """The keys that the exchange accepts, and the last nonce of each."""

    def __init__(self) -> None:
        self._keys: dict[str, _Key] = {}

    def add(self, key: str, secret: str, permissions: Iterable[str] = PERMISSIONS) -> None:
        """Accept `key`, whose base64 secret is `secret`, for some of `PERMISSIONS`.

        Raises:
            ValueError: If the secret is not base64, or there is no such permission.
        """
        granted = frozenset(permissions)
        if unknown := granted - PERMISSIONS:
            raise ValueError(
                f"no permission is called {', '.join(sorted(unknown))}; there are"
                f" {', '.join(sorted(PERMISSIONS))}"
            )
        try:
            self._keys[key] = _Key(base64.b64decode(secret, validate=True), granted)
        except ValueError:
            raise ValueError("the secret is not base64; Kraken's always are") from None

    def check(self, endpoint: str, path: str, signed: str, nonce: str, key: str, sign: str) -> None:
        """Check a private call, and use its nonce up.

        Args:
            endpoint: Kraken's name of the call.
            path: From `/0/private/` on.
            signed: What was signed after the nonce: the query, if there is one, and the body.
            nonce: As it stands in the body.
            key: The header `API-Key`.
            sign: The header `API-Sign`.

        Raises:
            Refusal: In the order in which Kraken looks: key, signature, nonce, permission.
        """
        known = self._keys.get(key)
        if known is None:
            raise Refusal("EAPI:Invalid key")
        if not hmac.compare_digest(signature(path, nonce, signed, known.secret), sign.encode()):
            raise Refusal("EAPI:Invalid signature")
        if not (nonce.isascii() and nonce.isdigit()) or int(nonce) <= known.nonce:
            raise Refusal("EAPI:Invalid nonce")
        known.nonce = int(nonce)
        if not known.permissions & _NEEDED.get(endpoint, PERMISSIONS):
            raise Refusal("EGeneral:Permission denied")


def signature(path: str, nonce: str, signed: str, secret: bytes) -> bytes:
    """Return the `API-Sign` that belongs to a private call."""
    digest = hashlib.sha256((nonce + signed).encode()).digest()
    return base64.b64encode(hmac.new(secret, path.encode() + digest, hashlib.sha512).digest())


class RateCounter:
    """Kraken's call counters: each call adds to one, and time takes from it.

    Args:
        limit: What the counter may not pass.
        decay: What it loses in a second.
    """

    def __init__(self, limit: float, decay: float) -> None:
        self._limit = limit
        self._decay = decay
        self._counts: dict[str, tuple[float, float]] = {}  # count and its moment

    def count(self, name: str, at: float) -> bool:
        """Count a call under `name`; False if that was one too many."""
        before, moment = self._counts.get(name, (0.0, at))
        now = max(0.0, before - (at - moment) * self._decay) + 1
        self._counts[name] = (now, at)
        return now <= self._limit


# --- REST ----------------------------------------------------------------------------------------


class Desk:
    """Kraken's REST calls over an engine.

    Args:
        engine: The exchange.
        clock: Kraken's clock, in seconds since 1970.
        lag: How many seconds `open_orders` and `closed_orders` lag behind at the moment.
    """

    def __init__(
        self, engine: Engine, clock: Callable[[], float], lag: Callable[[str], float]
    ) -> None:
        self._engine = engine
        self._now = clock
        self._lag = lag
        self._public: dict[str, Callable[[Params], Any]] = {
            "AssetPairs": self._asset_pairs,
            "Assets": self._assets,
            "OHLC": self._ohlc,
            "SystemStatus": self._system_status,
            "Ticker": self._ticker,
            "Time": self._time,
            "Trades": self._trades,
        }
        self._private: dict[str, Callable[[Params], Any]] = {
            "AddOrder": self._add_order,
            "Balance": self._balance,
            "BalanceEx": self._balance_ex,
            "CancelOrder": self._cancel_order,
            "ClosedOrders": self._closed_orders,
            "EditOrder": self._edit_order,
            "OpenOrders": self._open_orders,
            "QueryOrders": self._query_orders,
            "TradeBalance": self._trade_balance,
        }

    def answer(self, endpoint: str, params: Params, *, is_private: bool) -> Any:
        """Return Kraken's `result`.

        Raises:
            Refusal: With Kraken's error strings.
        """
        call = (self._private if is_private else self._public).get(endpoint)
        if call is None:
            raise Refusal("EGeneral:Unknown method")
        return call(params)

    # public

    def _time(self, _: Params) -> dict[str, Any]:
        moment = datetime.fromtimestamp(int(self._now()), UTC)
        return {
            "unixtime": int(moment.timestamp()),
            "rfc1123": f"{moment:%a, %d %b %y %H:%M:%S} +0000",
        }

    def _system_status(self, _: Params) -> dict[str, Any]:
        moment = datetime.fromtimestamp(int(self._now()), UTC)
        return {"status": self._engine.system_status, "timestamp": f"{moment:%Y-%m-%dT%H:%M:%SZ}"}

    def _asset_pairs(self, params: Params) -> dict[str, Row]:
        is_new = params.get("assetVersion") == "1"
        found = self._chosen(params, params.get("aclass_base") or "currency")
        if not is_new:
            return {name: listing.row for name, listing in found.items()}
        return {
            listing.symbol or name: {
                **listing.row,
                "base": modern_asset(listing.row["base"]),
                "quote": modern_asset(listing.row["quote"]),
            }
            for name, listing in found.items()
        }

    def _chosen(self, params: Params, asset_class: str) -> dict[str, Listing]:
        """Return the markets asked for, each under the key that Kraken would give it."""
        if not params.get("pair"):
            listings = self._engine.listings
            return {k: x for k, x in listings.items() if x.asset_class == asset_class}
        found: dict[str, Listing] = {}
        for name in params["pair"].split(","):
            listing = self._listing(name, asset_class)
            found[answer_key(name, listing)] = listing
        return found

    def _listing(self, name: str, asset_class: str) -> Listing:
        listing = self._engine.listing(name)
        if listing.asset_class != asset_class:
            raise Refusal("EQuery:Unknown asset pair")
        return listing

    def _assets(self, params: Params) -> dict[str, Any]:
        is_new = params.get("assetVersion") == "1"
        aclass = params.get("aclass") or "currency"
        rows = [x.row for x in self._engine.listings.values() if x.asset_class == aclass]
        sides = ("base",) if aclass == "tokenized_asset" else ("base", "quote")
        names = {str(row[side]) for row in rows for side in sides}
        if wanted := params.get("asset"):
            names = _assets_named(names, wanted.split(","))
        return {modern_asset(n) if is_new else n: _asset_row(n, aclass) for n in sorted(names)}

    def _ticker(self, params: Params) -> dict[str, Any]:
        found = self._chosen(params, params.get("asset_class") or "currency")
        return {name: ticker_row(listing) for name, listing in found.items()}

    def _trades(self, params: Params) -> dict[str, Any]:
        name, listing = self._one(params)
        since = _nanoseconds(params.get("since", ""))
        most = min(_whole(params, "count", _MOST_TRADES), _MOST_TRADES)
        first = bisect_right(listing.trades, since, key=lambda trade: trade.at_ns)
        page = listing.trades[first : first + most] if since else listing.trades[-most:]
        rows = [
            [
                _price(t.price, listing),
                f"{t.qty:.8f}",
                t.at_ns // 1000 / 1e6,
                t.side[0],
                "m",
                "",
                t.trade_id,
            ]
            for t in page
        ]
        return {name: rows, "last": str(page[-1].at_ns if page else since)}

    def _ohlc(self, params: Params) -> dict[str, Any]:
        name, listing = self._one(params)
        since = _nanoseconds(params.get("since", "")) // 10**9
        rows = candles(listing, _whole(params, "interval", 1))
        # The last row is not committed: it may still move.
        last = rows[-2][0] if len(rows) > 1 else 0
        return {name: [row for row in rows if row[0] > since][-_MOST_CANDLES:], "last": last}

    def _one(self, params: Params) -> tuple[str, Listing]:
        name = params.get("pair", "")
        listing = self._listing(name, params.get("asset_class") or "currency")
        return answer_key(name, listing), listing

    # private

    def _balance(self, _: Params) -> dict[str, str]:
        return {asset: _amount(owned) for asset, owned in self._engine.balances.items()}

    def _balance_ex(self, _: Params) -> dict[str, dict[str, str]]:
        return {
            asset: {"balance": _amount(owned), "hold_trade": _amount(self._engine.held(asset))}
            for asset, owned in self._engine.balances.items()
        }

    def _trade_balance(self, params: Params) -> dict[str, str]:
        owned = self._engine.balances.get(params.get("asset") or "ZUSD", Decimal(0))
        figures = dict.fromkeys(("m", "n", "c", "v"), Decimal(0))
        figures |= dict.fromkeys(("eb", "tb", "e", "mf"), owned)
        return {name: f"{figure:.4f}" for name, figure in figures.items()}

    def _add_order(self, params: Params) -> dict[str, Any]:
        self._check_deadline(params.get("deadline"))
        order = self._engine.add_order(params, self._now())
        answer: dict[str, Any] = {"descr": {"order": self.shown(order)["descr"]["order"]}}
        if order.txid:
            answer["txid"] = [order.txid]
        return answer

    def _check_deadline(self, text: str | None) -> None:
        if not text:
            return
        ahead = _moment_of(text) - self._now()
        if ahead <= 0:
            raise Refusal("EService:Deadline elapsed")
        if ahead > _FARTHEST_DEADLINE:
            raise Refusal("EGeneral:Invalid arguments:deadline")

    def check_arrival(self, params: Params) -> None:
        """Check what counts at the moment at which a call arrives, before it waits in a queue.

        Raises:
            Refusal: If its deadline lies too near or too far.
        """
        text = params.get("deadline")
        if text and 0 < _moment_of(text) - self._now() < _NEAREST_DEADLINE:
            raise Refusal("EGeneral:Invalid arguments:deadline")

    def _edit_order(self, params: Params) -> dict[str, Any]:
        old = self._engine.orders.get(params.get("txid", ""))
        if old is None or old.status != "open":
            raise Refusal("EOrder:Unknown order")
        changed = {
            "pair": old.pair,
            "type": old.side,
            "ordertype": old.kind,
            "volume": format(old.volume, "f"),
            "price": old.price_text,
            "asset_class": self._engine.listings[old.pair].asset_class,
        }
        changed |= {k: v for k, v in params.items() if k in ("volume", "price", "validate")}
        # The old one goes first, as its funds pay for the new one; a refusal leaves it alone.
        self._engine.add_order({**changed, "validate": "true"}, self._now())
        if changed.get("validate") != "true":
            self._engine.cancel(old, self._now())
        new = self._engine.add_order(changed, self._now())
        return {
            "status": "ok",
            "txid": new.txid,
            "originaltxid": old.txid,
            "orders_cancelled": 1,
            "descr": {"order": self.shown(new)["descr"]["order"]},
        }

    def _cancel_order(self, params: Params) -> dict[str, Any]:
        return {"count": self._engine.cancel_by(params, self._now())}

    def _open_orders(self, params: Params) -> dict[str, Any]:
        latest = self._now() - self._lag("open_orders")
        seen = (
            order
            for listing in self._engine.listings.values()
            for order in listing.open_orders.values()
            if order.opened_at <= latest and _is_asked_for(order, params)
        )
        return {"open": self._rows(sorted(seen, key=lambda order: order.opened_at, reverse=True))}

    def _closed_orders(self, params: Params) -> dict[str, Any]:
        latest = self._now() - self._lag("closed_orders")
        seen = [
            order
            for order in self._engine.orders.values()
            if order.closed_at is not None
            and order.closed_at <= latest
            and _is_asked_for(order, params)
            and _is_in_span(order, params)
        ]
        seen.sort(key=lambda order: order.closed_at or 0.0, reverse=True)
        first = _whole(params, "ofs", 0)
        return {"closed": self._rows(seen[first : first + _PAGE]), "count": len(seen)}

    def _query_orders(self, params: Params) -> dict[str, Any]:
        txids = params.get("txid", "").split(",")
        if len(txids) > _PAGE:
            raise Refusal("EGeneral:Invalid arguments:txid")
        found = [self._engine.orders.get(txid) for txid in txids]
        known = [order for order in found if order is not None]
        if len(known) < len(txids):
            raise Refusal("EOrder:Invalid order")
        return self._rows(known)

    def _rows(self, orders: Iterable[Order]) -> dict[str, Any]:
        return {order.txid: self.shown(order) for order in orders}

    def shown(self, order: Order) -> dict[str, Any]:
        """Return an order as OpenOrders and ClosedOrders show it."""
        return shown(order, self._engine.listings[order.pair].row)


def answer_key(name: str, listing: Listing) -> str:
    """Return the key of an answer: it follows the style of the question."""
    return name if "/" in name else listing.key


def modern_asset(name: str) -> str:
    """Return the modern name of an asset: `XXBT` is `BTC`, `ZUSD` is `USD`."""
    return modern(_altname(name))


def _altname(name: str) -> str:
    is_legacy = len(name) == 4 and name[0] in "XZ" and name not in _MODERN_IN_LEGACY_DRESS
    return name[1:] if is_legacy else name


def _assets_named(names: Iterable[str], wanted: Sequence[str]) -> set[str]:
    by_any = {n: name for name in names for n in (name, _altname(name), modern_asset(name))}
    if not set(wanted) <= set(by_any):
        raise Refusal("EQuery:Unknown asset")
    return {by_any[name] for name in wanted}


def _asset_row(name: str, aclass: str) -> dict[str, Any]:
    is_cash = name.startswith("Z") and len(name) == 4
    return {
        "aclass": aclass,
        "altname": _altname(name),
        "decimals": 4 if is_cash else 10,
        "display_decimals": 2 if is_cash else 5,
        "status": "enabled",
    }


def _is_asked_for(order: Order, params: Params) -> bool:
    return params.get("cl_ord_id") in (None, "", order.cl_ord_id) and params.get("userref") in (
        None,
        "",
        str(order.userref),
    )


def _is_in_span(order: Order, params: Params) -> bool:
    """Tell whether a closed order lies between `start`, exclusive, and `end`, inclusive."""
    at = order.opened_at if params.get("closetime") == "open" else order.closed_at or 0.0
    start, end = params.get("start"), params.get("end")
    return (not start or at > _number(start, "start")) and (not end or at <= _number(end, "end"))


def shown(order: Order, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return an order as OpenOrders and ClosedOrders show it; `row` is its pair's."""
    places = max(int(row["pair_decimals"]), 5)
    price = _shown_price(order)
    words = {"trailing-stop": f"trailing stop {price}", "market": "market"}
    answer: dict[str, Any] = {
        "refid": None,
        "userref": order.userref,
        "status": order.status,
        "opentm": order.opened_at,
        "starttm": 0,
        "expiretm": 0,
        "descr": {
            "pair": row["altname"],
            "aclass": "forex",
            "type": order.side,
            "ordertype": order.kind,
            "price": price,
            "price2": "0",
            "leverage": "none",
            "order": f"{order.side} {order.volume:.8f} {row['altname']} @ "
            + words.get(order.kind, f"limit {price}"),
            "close": "",
        },
        "vol": f"{order.volume:.8f}",
        "vol_exec": f"{order.executed:.8f}",
        "cost": f"{order.cost:.5f}",
        "fee": "0.00000",
        "price": f"{order.fill_price:.{places}f}",
        "stopprice": f"{order.stop:.{places}f}",
        # Not a limit: Kraken shows here the best price since the order was entered.
        "limitprice": f"{order.anchor if order.is_trailing else 0:.{places}f}",
        "misc": order.misc,
        "oflags": "fcib" if order.side == "sell" else "fciq",
        "trigger": order.trigger,
    }
    if order.cl_ord_id:
        answer["cl_ord_id"] = order.cl_ord_id
    if order.closed_at is not None:
        answer |= {"closetm": order.closed_at, "reason": order.reason or None}
    return answer


def _shown_price(order: Order) -> str:
    if not order.is_trailing:
        return order.price_text if order.kind == "limit" else "0"
    # Kraken shows percents with four decimals, and more where more were accepted.
    exponent = order.offset.as_tuple().exponent
    places = max(4, -exponent) if isinstance(exponent, int) else 4
    return f"+{order.offset:.{places}f}%" if order.is_percent else f"+{order.offset:f}"


def ticker_row(listing: Listing) -> dict[str, Any]:
    """Return a market as REST Ticker shows it."""
    bid, ask = (_price(quote, listing) for quote in listing.quotes)
    last = _price(listing.price, listing)
    qty = f"{listing.trades[-1].qty if listing.trades else 0:.8f}"
    return {
        "a": [ask, "1", "1.000"],
        "b": [bid, "1", "1.000"],
        "c": [last, qty],
        # Today's and the last 24 hours': the exchange is younger than either.
        "v": [f"{listing.volume:.8f}"] * 2,
        "p": [last] * 2,
        "t": [listing.trade_id] * 2,
        "l": [_price(listing.low, listing)] * 2,
        "h": [_price(listing.high, listing)] * 2,
        "o": _price(listing.opening, listing),
    }


def candles(listing: Listing, minutes: int) -> list[list[Any]]:
    """Return the trades as OHLC rows: time, open, high, low, close, vwap, volume, count."""
    width = minutes * 60
    bins: dict[int, list[Trade]] = {}
    for trade in listing.trades:
        bins.setdefault(trade.at_ns // 10**9 // width * width, []).append(trade)
    return [_candle(start, trades, listing) for start, trades in bins.items()]


def _candle(start: int, trades: Sequence[Trade], listing: Listing) -> list[Any]:
    prices = [trade.price for trade in trades]
    volume = sum((trade.qty for trade in trades), Decimal(0))
    cost = sum((trade.price * trade.qty for trade in trades), Decimal(0))
    mean = cost / volume if volume else prices[-1]
    ohlc = (prices[0], max(prices), min(prices), prices[-1], mean)
    return [start, *(_price(price, listing) for price in ohlc), f"{volume:.8f}", len(trades)]


def _price(price: Decimal, listing: Listing) -> str:
    return f"{price:.{listing.places}f}"


def _amount(amount: Decimal) -> str:
    return f"{amount:.10f}"


def _number(text: str, name: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise Refusal(f"EGeneral:Invalid arguments:{name}")
    return number


def _whole(params: Params, name: str, otherwise: int) -> int:
    number = int(_number(params.get(name) or str(otherwise), name))
    if number < 0 or (number == 0 and otherwise > 0):
        raise Refusal(f"EGeneral:Invalid arguments:{name}")
    return number


def _nanoseconds(text: str) -> int:
    """Return a `since`, which Kraken takes in seconds and in nanoseconds, in nanoseconds."""
    number = _number(text or "0", "since")
    return int(number if number > 10**14 else number * 10**9)


def _moment_of(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Refusal("EGeneral:Invalid arguments:deadline") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


# --- the stream ----------------------------------------------------------------------------------

Subscription = tuple[str, str]  # channel and symbol


@dataclass(slots=True, eq=False)
class Session:
    """What the exchange knows of one stream connection."""

    number: int
    subscriptions: set[Subscription] = field(default_factory=set)
    # Acknowledged while the fault was on: these get no data until they are made anew.
    dumb: set[Subscription] = field(default_factory=set)


class Hub:
    """Kraken's WebSocket v2 over an engine: who has subscribed to what, and what they are told.

    Args:
        engine: The exchange.
        clock: Kraken's clock, in seconds since 1970.
        is_struck: Tells whether a fault, given by its name, channel and symbol, strikes now.
        msg_rate: Counts the messages of each connection; None takes any number.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Callable[[], float],
        is_struck: Callable[[str, str | None, str | None], bool],
        msg_rate: RateCounter | None = None,
    ) -> None:
        self._engine = engine
        self._now = clock
        self._is_struck = is_struck
        self._msg_rate = msg_rate
        self.subscribers: dict[Subscription, set[Session]] = {}

    def leave(self, session: Session) -> None:
        """Forget a connection that is gone."""
        for subscription in session.subscriptions:
            self.subscribers[subscription].discard(session)
        session.subscriptions.clear()

    def status_frame(self, session: Session) -> str:
        """Return the frame that opens every connection, and tells of a new state."""
        state = {
            "system": self._engine.system_status,
            "api_version": "v2",
            "connection_id": 13834774380200032777 + session.number,  # beyond a signed int64
            "version": "2.0.10",
        }
        return json.dumps({"channel": "status", "type": "update", "data": [state]})

    def receive(self, session: Session, text: str) -> list[str]:
        """Return what is answered to one message."""
        try:
            message = json.loads(text)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            return [_frame({"error": "Malformed request", "success": False})]
        came = self._stamp()
        if message.get("method") == "ping":
            return [_frame({"method": "pong", **_req_id(message), **self._times(came)})]
        if message.get("method") not in ("subscribe", "unsubscribe"):
            return [_frame({"error": "Method not found", "success": False, **_req_id(message)})]
        if self._is_too_fast(session):
            return [_frame({"Error": "Exceeded msg rate"})]
        return list(self._subscription(session, message, came))

    def _is_too_fast(self, session: Session) -> bool:
        if self._is_struck("msg_rate", None, None):
            return True
        counter = self._msg_rate
        return counter is not None and not counter.count(str(session.number), self._now())

    def _subscription(
        self, session: Session, message: Mapping[str, Any], came: str
    ) -> Iterator[str]:
        params = message.get("params")
        params = params if isinstance(params, dict) else {}
        channel, symbols = params.get("channel"), params.get("symbol")
        if channel not in _CHANNELS or not isinstance(symbols, list) or not symbols:
            is_named = channel in (*_CHANNELS, "status")
            error = "Symbol(s) not found" if is_named else "Subscription name invalid"
            yield self._refused(message, error, came)
            return
        for symbol in map(str, symbols):
            if message["method"] == "unsubscribe":
                yield self._unsubscribe(session, message, (channel, symbol), came)
            else:
                yield from self._subscribe(session, message, (channel, symbol), came)

    def _subscribe(
        self, session: Session, message: Mapping[str, Any], wanted: Subscription, came: str
    ) -> Iterator[str]:
        channel, symbol = wanted
        if self._is_struck("no_ack", channel, symbol):
            return
        if error := self._error_of(session, wanted):
            yield self._refused(message, error, came, symbol)
            return
        session.subscriptions.add(wanted)
        self.subscribers.setdefault(wanted, set()).add(session)
        # Kraken's defaults: the ticker begins with a snapshot, trades do not.
        wants_snapshot = message["params"].get("snapshot", channel == "ticker") is True
        result = {"channel": channel, "symbol": symbol, "snapshot": wants_snapshot}
        yield self._accepted(message, result, came)
        if self._is_struck("ack_without_data", channel, symbol):
            session.dumb.add(wanted)
        elif wants_snapshot and not self._is_struck("mute", channel, symbol):
            yield self._snapshot(channel, self._engine.by_symbol[symbol])

    def _error_of(self, session: Session, wanted: Subscription) -> str | None:
        channel, symbol = wanted
        if "/" not in symbol:
            return "Currency pair not in ISO 4217-A3 format UNKNOWN"
        if symbol not in self._engine.by_symbol or self._is_struck("refuse", channel, symbol):
            return f"Currency pair not supported {symbol}"
        return "Already subscribed" if wanted in session.subscriptions else None

    def _unsubscribe(
        self, session: Session, message: Mapping[str, Any], wanted: Subscription, came: str
    ) -> str:
        channel, symbol = wanted
        if wanted not in session.subscriptions:
            return self._refused(message, "Subscription Not Found", came, symbol)
        session.subscriptions.discard(wanted)
        session.dumb.discard(wanted)
        self.subscribers[wanted].discard(session)
        return self._accepted(message, {"channel": channel, "symbol": symbol}, came)

    def _accepted(self, message: Mapping[str, Any], result: dict[str, Any], came: str) -> str:
        head = {"method": message["method"], **_req_id(message), "success": True}
        return _frame({**head, "result": result, **self._times(came)})

    def _refused(
        self, message: Mapping[str, Any], error: str, came: str, symbol: str | None = None
    ) -> str:
        head: dict[str, Any] = {"error": error, "method": message["method"], **_req_id(message)}
        if symbol is not None:
            head["symbol"] = symbol
        return _frame({**head, "success": False, **self._times(came)})

    def _times(self, came: str) -> dict[str, str]:
        return {"time_in": came, "time_out": self._stamp()}

    def _stamp(self) -> str:
        return stamp(int(self._now() * 1e9))

    def _snapshot(self, channel: str, listing: Listing) -> str:
        if channel == "ticker":
            return ticker_frame(listing, "snapshot", self._now())
        return trade_frame(listing, listing.trades[-_SNAPSHOT_TRADES:], "snapshot")

    def tellings(self, listing: Listing, trades: Sequence[Trade]) -> Iterator[tuple[Session, str]]:
        """Yield who is told what of new trades of one market, in the order of the wire."""
        if listing.symbol is None:
            return
        for channel in ("trade", "ticker"):
            sessions = self.subscribers.get((channel, listing.symbol))
            if not sessions or self._is_struck("mute", channel, listing.symbol):
                continue
            frame = (
                trade_frame(listing, trades, "update")
                if channel == "trade"
                else ticker_frame(listing, "update", self._now())
            )
            for session in sessions:
                if (channel, listing.symbol) in session.dumb:
                    continue
                if self._is_struck("bad_frames", channel, listing.symbol):
                    yield from ((session, bad) for bad in bad_frames(channel, listing.symbol))
                yield session, frame


def _frame(message: Mapping[str, Any]) -> str:
    return json.dumps(message, separators=(",", ":"))


def _req_id(message: Mapping[str, Any]) -> dict[str, Any]:
    return {"req_id": message["req_id"]} if "req_id" in message else {}


def stamp(at_ns: int) -> str:
    """Return a moment as the stream writes it: RFC 3339, in microseconds, UTC."""
    seconds, rest = divmod(at_ns, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1000:06d}Z"


def ticker_frame(listing: Listing, kind: str, now: float) -> str:
    """Return a market as the ticker channel shows it; `kind` is snapshot or update."""
    places = listing.places
    bid, ask = listing.quotes
    last, opening = listing.price, listing.opening
    change = last - opening
    # Written by hand: numbers keep the pair's digits, as Kraken's do, and this is the hot path.
    return (
        f'{{"channel":"ticker","type":"{kind}","data":[{{"symbol":"{listing.symbol}",'
        f'"bid":{bid:.{places}f},"bid_qty":1.00000000,"ask":{ask:.{places}f},"ask_qty":1.00000000,'
        f'"last":{last:.{places}f},"volume":{listing.volume:.8f},"vwap":{last:.{places}f},'
        f'"low":{listing.low:.{places}f},"high":{listing.high:.{places}f},'
        f'"change":{change:.{places}f},"change_pct":{change / opening * 100:.2f},'
        f'"timestamp":"{stamp(listing.traded_ns or int(now * 1e9))}"}}]}}'
    )


def trade_frame(listing: Listing, trades: Sequence[Trade], kind: str) -> str:
    """Return trades as the trade channel shows them: a sweep is one frame."""
    places = listing.places
    rows = ",".join(
        f'{{"symbol":"{listing.symbol}","side":"{t.side}","price":{t.price:.{places}f},'
        f'"qty":{t.qty:.8f},"ord_type":"market","trade_id":{t.trade_id},'
        f'"timestamp":"{stamp(t.at_ns)}"}}'
        for t in trades
    )
    return f'{{"channel":"trade","type":"{kind}","data":[{rows}]}}'


BAD_PRICES = ("NaN", "Infinity", "-Infinity", "-1", "0", "1e400", "null", '"x"')


def bad_frames(channel: str, symbol: str) -> list[str]:
    """Return frames of a channel that are no JSON, or whose prices are no prices."""
    field_name, extra = ("last", "") if channel == "ticker" else ("price", ',"trade_id":1')
    row = f'[{{"symbol":"{symbol}","{field_name}":%s{extra}}}]'
    frame = f'{{"channel":"{channel}","type":"update","data":{row}}}'
    return ["", "{", "[]", "\x00", '"text"', frame[:-3], *(frame % price for price in BAD_PRICES)]
