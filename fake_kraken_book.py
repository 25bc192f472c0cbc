"""The matching engine of the embedded exchange: pairs, prices, balances, orders that trail.

Pure: no sockets, no threads, no clock; `fake_kraken` serves it. Shapes, keys and error strings
are Kraken's, so that other people's clients cannot tell the difference. It fills every order at
the last price: there is no order book.

Source: Kraken, REST AssetPairs, AddOrder, OpenOrders, trailing stop orders (read 2026-11).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, InvalidOperation, localcontext
from typing import Any

# rest key, altname, wsname, base, quote, price decimals, ordermin, costmin, starting price
_PAIRS = """
XXBTZUSD XBTUSD XBT/USD XXBT ZUSD 1 0.00005 0.5 50000.0
XXBTZEUR XBTEUR XBT/EUR XXBT ZEUR 1 0.00005 0.45 46000.0
XXBTZGBP XBTGBP XBT/GBP XXBT ZGBP 1 0.00005 0.4 39500.0
XXBTZJPY XBTJPY XBT/JPY XXBT ZJPY 0 0.00005 70 7500000
XBTUSDT XBTUSDT XBT/USDT XXBT USDT 1 0.00005 0.5 50010.0
XBTUSDC XBTUSDC XBT/USDC XXBT USDC 2 0.00005 0.5 50005.00
XETHZUSD ETHUSD ETH/USD XETH ZUSD 2 0.001 0.5 4000.00
XETHZEUR ETHEUR ETH/EUR XETH ZEUR 2 0.001 0.45 3700.00
XETHXXBT ETHXBT ETH/XBT XETH XXBT 5 0.001 0.00002 0.08000
ETHUSDT ETHUSDT ETH/USDT XETH USDT 2 0.001 0.5 4001.00
ETHCHF ETHCHF ETH/CHF XETH CHF 2 0.001 0.45 3600.00
XXRPZUSD XRPUSD XRP/USD XXRP ZUSD 5 1.65 0.5 0.60000
XXRPZEUR XRPEUR XRP/EUR XXRP ZEUR 5 1.65 0.45 0.55000
XLTCZUSD LTCUSD LTC/USD XLTC ZUSD 2 0.05 0.5 150.00
XLTCXXBT LTCXBT LTC/XBT XLTC XXBT 6 0.05 0.00002 0.003000
XXDGXXBT XDGXBT XDG/XBT XXDG XXBT 8 50 0.00002 0.00000300
XDGUSD XDGUSD XDG/USD XXDG ZUSD 7 50 0.5 0.1500000
XDGEUR XDGEUR XDG/EUR XXDG ZEUR 7 50 0.45 0.1400000
XDGUSDT XDGUSDT XDG/USDT XXDG USDT 7 50 0.5 0.1500000
XETCZUSD ETCUSD ETC/USD XETC ZUSD 3 0.2 0.5 30.000
XETCXETH ETCETH ETC/ETH XETC XETH 6 0.2 0.0002 0.007500
XXLMZUSD XLMUSD XLM/USD XXLM ZUSD 6 20 0.5 0.110000
XXMRZUSD XMRUSD XMR/USD XXMR ZUSD 2 0.04 0.5 160.00
XZECZUSD ZECUSD ZEC/USD XZEC ZUSD 2 0.07 0.5 60.00
XMLNZUSD MLNUSD MLN/USD XMLN ZUSD 2 0.3 0.5 20.00
ZEURZUSD EURUSD EUR/USD ZEUR ZUSD 5 5 0.5 1.08000
ZGBPZUSD GBPUSD GBP/USD ZGBP ZUSD 5 5 0.5 1.27000
ZUSDZJPY USDJPY USD/JPY ZUSD ZJPY 3 5 70 150.000
ZUSDZCAD USDCAD USD/CAD ZUSD ZCAD 5 5 0.6 1.36000
USDTZUSD USDTUSD USDT/USD USDT ZUSD 5 5 0.5 1.00010
USDCUSDT USDCUSDT USDC/USDT USDC USDT 4 5 0.5 0.9999
SOLUSD SOLUSD SOL/USD SOL ZUSD 2 0.02 0.5 100.00
SOLEUR SOLEUR SOL/EUR SOL ZEUR 2 0.02 0.45 92.00
SOLXBT SOLXBT SOL/XBT SOL XXBT 6 0.02 0.00002 0.002000
ADAUSD ADAUSD ADA/USD ADA ZUSD 6 4 0.5 0.500000
DOTUSD DOTUSD DOT/USD DOT ZUSD 4 0.6 0.5 7.0000
XTZUSD XTZUSD XTZ/USD XTZ ZUSD 4 4 0.5 1.0000
ZRXUSD ZRXUSD ZRX/USD ZRX ZUSD 3 10 0.5 0.400
XAUTUSD XAUTUSD XAUT/USD XAUT ZUSD 1 0.001 0.5 2000.0
XCNUSD XCNUSD XCN/USD XCN ZUSD 6 500 0.5 0.001000
1INCHEUR 1INCHEUR 1INCH/EUR 1INCH ZEUR 3 10 0.45 0.400
AAPLxUSD AAPLxUSD AAPLx/USD AAPLx ZUSD 2 0.01 0.5 190.00
XXBTZUSD.d XBTUSD.d - XXBT ZUSD 1 0.05 0.5 50000.0
"""

_RENAMED = {"XBT": "BTC", "XDG": "DOGE"}


class Refusal(Exception):
    """Kraken's error strings for a call that is refused."""

    def __init__(self, *errors: str) -> None:
        self.errors = list(errors)
        super().__init__(*errors)


def symbol_of(wsname: str) -> str:
    """Return the WebSocket v2 name of a v1 name: `XBT/USD` is `BTC/USD`."""
    return "/".join(_RENAMED.get(leg, leg) for leg in wsname.split("/"))


def _row(
    altname: str, wsname: str, base: str, quote: str, decimals: int, ordermin: str, costmin: str
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "altname": altname,
        "wsname": wsname,
        "aclass_base": "currency",
        "base": base,
        "aclass_quote": "currency",
        "quote": quote,
        "lot": "unit",
        "cost_decimals": 5,
        "pair_decimals": decimals,
        "lot_decimals": 8,
        "lot_multiplier": 1,
        "leverage_buy": [],
        "leverage_sell": [],
        "fees": [[0, 0.4], [10000, 0.35]],
        "fees_maker": [[0, 0.25], [10000, 0.2]],
        "fee_volume_currency": "ZUSD",
        "margin_call": 80,
        "margin_stop": 40,
        "ordermin": ordermin,
        "costmin": costmin,
        "tick_size": format(Decimal(1).scaleb(-decimals), "f"),
        "status": "online",
    }
    if wsname == "-":
        del row["wsname"]
    if altname.endswith("xUSD"):
        row["aclass_base"] = "tokenized_asset"
    return row


def default_pairs() -> tuple[dict[str, dict[str, Any]], dict[str, Decimal]]:
    """Return some forty real pairs as AssetPairs lists them, and a price for each."""
    pairs: dict[str, dict[str, Any]] = {}
    prices: dict[str, Decimal] = {}
    for line in _PAIRS.split("\n"):
        if not line:
            continue
        key, altname, wsname, base, quote, decimals, ordermin, costmin, price = line.split()
        pairs[key] = _row(altname, wsname, base, quote, int(decimals), ordermin, costmin)
        prices[key] = Decimal(price)
    # Some rows of the real listing lack these.
    del pairs["XCNUSD"]["status"]
    del pairs["ZRXUSD"]["lot_multiplier"]
    return pairs, prices


def synthetic_pairs(count: int) -> tuple[dict[str, dict[str, Any]], dict[str, Decimal]]:
    """Return `count` made-up pairs, `T0001USD` and so on, at 100 each, for loads."""
    pairs: dict[str, dict[str, Any]] = {}
    prices: dict[str, Decimal] = {}
    for number in range(1, count + 1):
        base = f"T{number:04d}"
        pairs[f"{base}USD"] = _row(f"{base}USD", f"{base}/USD", base, "ZUSD", 4, "0.01", "0.5")
        prices[f"{base}USD"] = Decimal("100.0000")
    return pairs, prices


@dataclass(slots=True)
class Trade:
    """One executed trade; `at` is seconds since 1970."""

    price: Decimal
    qty: Decimal
    side: str
    trade_id: int
    at: float


@dataclass(slots=True)
class Order:
    """An order; `anchor` is the best price since it was entered, for those that trail."""

    txid: str
    pair: str
    side: str
    kind: str
    volume: Decimal
    price_text: str
    opened_at: float
    cl_ord_id: str | None = None
    userref: int = 0
    status: str = "open"
    trigger: str = "last"
    anchor: Decimal = Decimal(0)
    stop: Decimal = Decimal(0)
    executed: Decimal = Decimal(0)
    fill_price: Decimal = Decimal(0)
    closed_at: float | None = None
    reason: str = ""
    misc: str = ""


@dataclass(slots=True)
class Listing:
    """One market: its row in AssetPairs and what happened on it."""

    key: str
    row: dict[str, Any]
    price: Decimal
    symbol: str | None
    opening: Decimal = Decimal(0)
    high: Decimal = Decimal(0)
    low: Decimal = Decimal(0)
    volume: Decimal = Decimal(0)
    trade_id: int = 0
    traded_at: float = 0.0
    trades: list[Trade] = field(default_factory=list)
    open_orders: dict[str, Order] = field(default_factory=dict)

    @property
    def tick(self) -> Decimal:
        """The smallest step of the price."""
        return Decimal(1).scaleb(-int(self.row["pair_decimals"]))


class Engine:
    """One exchange.

    Args:
        pairs: AssetPairs' result; the built-in pairs where it is left out.
        prices: A starting price by any REST name of a pair.
        balances: Funds by Kraken's asset id.
    """

    KEPT_TRADES = 50_000  # of each market; more than any page of REST Trades needs

    def __init__(
        self,
        pairs: Mapping[str, Mapping[str, Any]] | None = None,
        prices: Mapping[str, object] | None = None,
        balances: Mapping[str, str] | None = None,
    ) -> None:
        rows, known = (
            default_pairs() if pairs is None else ({k: dict(v) for k, v in pairs.items()}, {})
        )
        self.listings: dict[str, Listing] = {}
        self._by_name: dict[str, Listing] = {}
        self.by_symbol: dict[str, Listing] = {}
        for key, row in rows.items():
            self._list(key, dict(row), known.get(key, Decimal(100)))
        for name, price in (prices or {}).items():
            listing = self.listing(name)
            listing.price = listing.opening = listing.high = listing.low = Decimal(str(price))
        start = {"ZUSD": "1000000", "ZEUR": "1000000", "USDT": "1000000", "XXBT": "100"}
        start |= {"XETH": "1000", "SOL": "10000", "XXDG": "1000000", "ADA": "100000"}
        self.balances = {a: Decimal(b) for a, b in (balances or start).items()}
        self.orders: dict[str, Order] = {}
        self.system_status = "online"
        self._last_number = 0

    def _list(self, key: str, row: dict[str, Any], price: Decimal) -> None:
        wsname = row.get("wsname")
        symbol = symbol_of(wsname) if wsname else None
        listing = Listing(key, row, price, symbol, price, price, price)
        self.listings[key] = listing
        for name in (key, row.get("altname"), wsname, symbol):
            if name:
                self._by_name.setdefault(str(name), listing)
        if symbol:
            self.by_symbol[symbol] = listing

    def listing(self, name: str) -> Listing:
        """Return the market of any name that REST takes.

        Raises:
            Refusal: If there is none.
        """
        found = self._by_name.get(name)
        if found is None:
            raise Refusal("EQuery:Unknown asset pair")
        return found

    # --- prices ------------------------------------------------------------------------------

    def trade(self, listing: Listing, price: Decimal, qty: Decimal, at: float) -> Trade:
        """Print one trade: it becomes the last price, and moves and triggers what trails."""
        side = "buy" if price >= listing.price else "sell"
        listing.price = price
        listing.trade_id += 1
        # Two trades never share a moment here, as REST Trades pages by it.
        listing.traded_at = max(at, listing.traded_at + 1e-6)
        listing.high, listing.low = max(listing.high, price), min(listing.low, price)
        listing.volume += qty
        trade = Trade(price, qty, side, listing.trade_id, listing.traded_at)
        listing.trades.append(trade)
        if len(listing.trades) > 2 * self.KEPT_TRADES:
            del listing.trades[: self.KEPT_TRADES]
        for order in list(listing.open_orders.values()):
            self._move(order, listing, at)
        return trade

    def _move(self, order: Order, listing: Listing, at: float) -> None:
        price = listing.price
        if order.kind == "trailing-stop":
            if order.side == "sell":
                order.anchor = max(order.anchor, price)
                order.stop = stop_price(order, listing.tick)
                triggered = price <= order.stop
            else:
                order.anchor = min(order.anchor, price)
                order.stop = stop_price(order, listing.tick)
                triggered = price >= order.stop
            if triggered:
                self.fill(order, price, at, misc="stopped")
        elif order.kind == "limit":
            limit = Decimal(order.price_text)
            if (order.side == "buy" and price <= limit) or (
                order.side == "sell" and price >= limit
            ):
                self.fill(order, limit, at)

    # --- orders ------------------------------------------------------------------------------

    def add_order(self, params: Mapping[str, str], at: float) -> Order:
        """Check and enter an order, as AddOrder does; with `validate` it is only checked.

        Raises:
            Refusal: With Kraken's error strings.
        """
        self._check_system()
        listing = self.listing(params.get("pair", ""))
        order = self._read_order(params, listing, at)
        self._check_volume(order, listing)
        self._check_duplicate(order)
        self._check_funds(order, listing)
        if _is_true(params.get("validate")):
            return order
        self._last_number += 1
        order.txid = _txid(self._last_number)
        self.orders[order.txid] = order
        listing.open_orders[order.txid] = order
        if order.kind == "market":
            self.fill(order, listing.price, at)
        elif order.kind == "limit":
            self._move(order, listing, at)
        return order

    def _check_system(self) -> None:
        if self.system_status == "maintenance":
            raise Refusal("EService:Unavailable")
        if self.system_status != "online":
            raise Refusal(f"EService:Market in {self.system_status} mode")

    def _read_order(self, params: Mapping[str, str], listing: Listing, at: float) -> Order:
        side, kind = params.get("type", ""), params.get("ordertype", "")
        if side not in ("buy", "sell"):
            raise Refusal("EGeneral:Invalid arguments:type")
        if kind not in ("market", "limit", "trailing-stop"):
            raise Refusal("EGeneral:Invalid arguments:ordertype")
        if params.get("cl_ord_id") and params.get("userref"):
            raise Refusal("EGeneral:Invalid arguments")
        order = Order(
            txid="",
            pair=listing.key,
            side=side,
            kind=kind,
            volume=_number(params.get("volume"), "volume"),
            price_text=params.get("price", ""),
            opened_at=at,
            cl_ord_id=params.get("cl_ord_id") or None,
            userref=int(params.get("userref") or 0),
            trigger=params.get("trigger") or "last",
            anchor=listing.price,
        )
        if order.trigger == "index" and listing.row["base"] not in ("XXBT", "XETH"):
            raise Refusal("EGeneral:Invalid arguments:Index unavailable")
        if kind == "trailing-stop":
            _offset(order.price_text)
            order.stop = stop_price(order, listing.tick)
        if kind == "limit":
            _number(order.price_text, "price")
        return order

    def _check_volume(self, order: Order, listing: Listing) -> None:
        exponent = order.volume.as_tuple().exponent
        if isinstance(exponent, int) and -exponent > int(listing.row["lot_decimals"]):
            raise Refusal("EGeneral:Invalid arguments:volume")
        if order.volume < Decimal(listing.row.get("ordermin", "0")):
            raise Refusal("EOrder:Order minimum not met")
        if order.volume * listing.price < Decimal(listing.row.get("costmin", "0")):
            raise Refusal("EOrder:Cost minimum not met")
        if listing.row.get("status", "online") != "online":
            raise Refusal(f"EService:Market in {listing.row['status']} mode")

    def _check_duplicate(self, order: Order) -> None:
        # Unique among open orders only: a closed one does not stand in the way.
        if order.cl_ord_id is None:
            return
        for other in self.orders.values():
            if other.cl_ord_id == order.cl_ord_id and other.status == "open":
                raise Refusal("EOrder:Duplicate client order id")

    def _check_funds(self, order: Order, listing: Listing) -> None:
        if order.side == "sell":
            asset, needed = listing.row["base"], order.volume
        else:
            asset, needed = listing.row["quote"], order.volume * listing.price
        if self.balances.get(asset, Decimal(0)) - self.held(asset) < needed:
            raise Refusal("EOrder:Insufficient funds")

    def held(self, asset: str) -> Decimal:
        """Return what open orders hold of `asset`."""
        total = Decimal(0)
        for order in self.orders.values():
            if order.status != "open":
                continue
            row = self.listings[order.pair].row
            if order.side == "sell" and row["base"] == asset:
                total += order.volume
            if order.side == "buy" and row["quote"] == asset:
                total += order.volume * order.anchor
        return total

    def fill(self, order: Order, price: Decimal, at: float, misc: str = "") -> None:
        """Execute the whole of an order."""
        row = self.listings[order.pair].row
        sign = 1 if order.side == "buy" else -1
        for asset, change in (
            (row["base"], sign * order.volume),
            (row["quote"], -sign * order.volume * price),
        ):
            self.balances[asset] = self.balances.get(asset, Decimal(0)) + change
        order.executed, order.fill_price, order.misc = order.volume, price, misc
        self._close(order, "closed", at)

    def cancel(self, order: Order, at: float, reason: str = "User requested") -> None:
        """End an open order unfilled, or filled in part."""
        order.reason = reason
        self._close(order, "canceled", at)

    def _close(self, order: Order, status: str, at: float) -> None:
        order.status, order.closed_at = status, at
        self.listings[order.pair].open_orders.pop(order.txid, None)

    def cancel_by(self, params: Mapping[str, str], at: float) -> int:
        """Cancel by txid, userref or cl_ord_id, and return how many.

        Raises:
            Refusal: If there is no such open order.
        """
        wanted, cl_ord_id = params.get("txid", ""), params.get("cl_ord_id")
        found = [
            order
            for order in self.orders.values()
            if order.status == "open"
            and (
                (wanted and wanted in (order.txid, str(order.userref)))
                or (cl_ord_id and cl_ord_id == order.cl_ord_id)
            )
        ]
        if not found:
            raise Refusal("EOrder:Unknown order")
        for order in found:
            self.cancel(order, at)
        return len(found)


# --- Kraken's numbers -------------------------------------------------------------------------


def stop_price(order: Order, tick: Decimal) -> Decimal:
    """Return where a trailing stop stands now, rounded to the tick towards the market."""
    offset, is_percent = _offset(order.price_text)
    with localcontext(prec=60):
        distance = order.anchor * offset / 100 if is_percent else offset
        exact = order.anchor - distance if order.side == "sell" else order.anchor + distance
        rounding = ROUND_CEILING if order.side == "sell" else ROUND_FLOOR
        return max(exact.quantize(tick, rounding=rounding), tick)


def _offset(text: str) -> tuple[Decimal, bool]:
    if not text.startswith("+"):
        raise Refusal("EOrder:Invalid price:Invalid price argument.")
    is_percent = text.endswith("%")
    number = _number(text[1:].removesuffix("%"), "price")
    if is_percent and number >= 100:
        raise Refusal("EGeneral:Invalid arguments:price")
    return number, is_percent


def _number(text: object, name: str) -> Decimal:
    try:
        number = Decimal(str(text))
    except InvalidOperation:
        raise Refusal(f"EGeneral:Invalid arguments:{name}") from None
    if not number.is_finite() or number <= 0 or "e" in str(text).lower():
        raise Refusal(f"EGeneral:Invalid arguments:{name}")
    return number


def _is_true(text: object) -> bool:
    return str(text).lower() in ("true", "1")


def _txid(number: int) -> str:
    """Return an order id of Kraken's shape, the same for the same number."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
    letters = ""
    mixed = number * 6364136223846793005 + 1442695040888963407
    for _ in range(16):
        letters += alphabet[mixed % 32]
        mixed //= 32
    # The number itself stands in it, so that no two orders can share an id.
    own = "".join(alphabet[(number >> (5 * i)) % 32] for i in range(4))
    return f"O{letters[:5]}-{letters[5:10]}-{letters[10:12]}{own}"


def shown(order: Order, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return an order as OpenOrders and ClosedOrders show it."""
    decimals = int(row["pair_decimals"])
    price_text = order.price_text
    if order.kind == "trailing-stop" and price_text.endswith("%"):
        price_text = f"+{Decimal(price_text[1:-1]):.4f}%"
    words = {"trailing-stop": f"trailing stop {price_text}", "market": "market"}
    text = words.get(order.kind, f"limit {price_text}")
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
            "price": price_text or "0",
            "price2": "0",
            "leverage": "none",
            "order": f"{order.side} {order.volume:.8f} {row['altname']} @ {text}",
            "close": "",
        },
        "vol": f"{order.volume:.8f}",
        "vol_exec": f"{order.executed:.8f}",
        "cost": f"{order.executed * order.fill_price:.5f}",
        "fee": "0.00000",
        "price": f"{order.fill_price:.{max(decimals, 5)}f}",
        "stopprice": f"{order.stop:.5f}",
        "limitprice": f"{order.anchor:.5f}" if order.kind == "trailing-stop" else "0.00000",
        "misc": order.misc,
        "oflags": "fcib" if order.side == "sell" else "fciq",
        "trigger": order.trigger,
    }
    if order.cl_ord_id:
        answer["cl_ord_id"] = order.cl_ord_id
    if order.closed_at is not None:
        answer |= {"closetm": order.closed_at, "reason": order.reason or None}
    return answer


def ticker_row(listing: Listing) -> dict[str, Any]:
    """Return a market as REST Ticker shows it."""
    places = int(listing.row["pair_decimals"])
    price, bid, ask = (f"{p:.{places}f}" for p in (listing.price, *quotes(listing)))

    def twice(value: Decimal) -> list[str]:  # today and the last 24 hours
        return [f"{value:.{places}f}"] * 2

    return {
        "a": [ask, "1", "1.000"],
        "b": [bid, "1", "1.000"],
        "c": [price, "0.01000000"],
        "v": [f"{listing.volume:.8f}"] * 2,
        "p": twice(listing.price),
        "t": [listing.trade_id] * 2,
        "l": twice(listing.low),
        "h": twice(listing.high),
        "o": f"{listing.opening:.{places}f}",
    }


def quotes(listing: Listing) -> tuple[Decimal, Decimal]:
    """Return bid and ask: one tick to each side of the last price."""
    return max(listing.price - listing.tick, listing.tick), listing.price + listing.tick


def candles(trades: Iterable[Trade], minutes: int) -> list[list[Any]]:
    """Return trades as OHLC rows: time, open, high, low, close, vwap, volume, count."""
    rows: dict[int, list[Any]] = {}
    width = minutes * 60
    for trade in trades:
        start = int(trade.at // width * width)
        row = rows.setdefault(start, [start, *[trade.price] * 5, Decimal(0), 0])
        row[2], row[3], row[4] = max(row[2], trade.price), min(row[3], trade.price), trade.price
        row[6] += trade.qty
        row[7] += 1
    return [[r[0], *(format(v, "f") for v in r[1:7]), r[7]] for r in rows.values()]
