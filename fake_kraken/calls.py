"""The calls of REST, public and private: parameters in, results out.

Pure: it asks the engine, and is told the time. Who may call, and whether the answer arrives, is
the affair of others.

Source: Kraken, spot REST (read 2026-11).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from fake_kraken.account import Account
from fake_kraken.books import depth_row
from fake_kraken.engine import Engine
from fake_kraken.faults import Faults
from fake_kraken.market import Listing
from fake_kraken.orders import Order
from fake_kraken.params import (
    Params,
    Refusal,
    moment,
    nanoseconds,
    read_orders,
    seconds,
    whole,
)
from fake_kraken.shapes import (
    altname,
    amount_text,
    asset_row,
    candles,
    modern_asset,
    modern_row,
    shown,
    ticker_row,
    trade_row,
)

_PAGE = 50  # orders in an answer of ClosedOrders, and in a question of QueryOrders
_MOST_TRADES = 1000
_MOST_CANDLES = 720
_CANDLE_MINUTES = (1, 5, 15, 30, 60, 240, 1440, 10080, 21600)
_NEAREST_DEADLINE, _FARTHEST_DEADLINE = 2.0, 60.0  # seconds ahead of Kraken's clock
_INFO = {
    "leverage": ("leverage_buy", "leverage_sell"),
    "fees": ("fees", "fees_maker", "fee_volume_currency"),
    "margin": ("margin_call", "margin_stop"),
}


class Calls:
    """Every endpoint by name.

    Args:
        engine: The exchange itself.
        faults: Those that let the books of orders lag.
        now: Kraken's clock, in seconds since 1970.

    Attributes:
        public: Calls that anybody may make.
        private: Calls that need a key, which says whose account it is.
    """

    def __init__(self, engine: Engine, faults: Faults, now: Callable[[], float]) -> None:
        self._engine, self._faults, self._now = engine, faults, now
        self.public: dict[str, Callable[[Params], Any]] = {
            "AssetPairs": self._asset_pairs,
            "Assets": self._assets,
            "Depth": self._depth,
            "OHLC": self._ohlc,
            "SystemStatus": self._system_status,
            "Ticker": self._ticker,
            "Time": self._time,
            "Trades": self._trades,
        }
        self.private: dict[str, Callable[[Params, Account], Any]] = {
            "AddOrder": self._add_order,
            "AddOrderBatch": self._add_order_batch,
            "Balance": self._balance,
            "BalanceEx": self._balance_ex,
            "CancelOrder": self._cancel_order,
            "ClosedOrders": self._closed_orders,
            "OpenOrders": self._open_orders,
            "QueryOrders": self._query_orders,
            "TradeBalance": self._trade_balance,
        }

    def as_of(self, at: float) -> Calls:
        """Return the calls as they would have been answered at `at`, in seconds since 1970."""
        return Calls(self._engine.as_of(at), self._faults, lambda: at)

    def account(self, name: str) -> Account:
        """Return the account of that name."""
        return self._engine.accounts[name]

    # --- public ------------------------------------------------------------------------------

    def _time(self, _: Params) -> dict[str, Any]:
        moment = datetime.fromtimestamp(int(self._now()), UTC)
        return {
            "unixtime": int(moment.timestamp()),
            "rfc1123": f"{moment:%a, %d %b %y %H:%M:%S} +0000",
        }

    def _system_status(self, _: Params) -> dict[str, str]:
        moment = datetime.fromtimestamp(self._now(), UTC)
        return {"status": self._engine.system_status, "timestamp": f"{moment:%Y-%m-%dT%H:%M:%SZ}"}

    def _asset_pairs(self, params: Params) -> dict[str, Any]:
        found = self._asked_for(params, params.get("aclass_base") or "currency")
        if params.get("assetVersion") == "1":
            return {listing.symbol or key: modern_row(listing) for key, listing in found.items()}
        names = _INFO.get(params.get("info", ""))
        if names is not None:
            return {k: {n: x.row[n] for n in names if n in x.row} for k, x in found.items()}
        return {key: listing.row for key, listing in found.items()}

    def _asked_for(self, params: Params, asset_class: str) -> dict[str, Listing]:
        """Return the markets asked for, each under the key that Kraken gives it."""
        if not params.get("pair"):
            listings = self._engine.listings
            return {k: x for k, x in listings.items() if x.asset_class == asset_class}
        names = params["pair"].split(",")
        return dict(self._named(name.strip(), asset_class) for name in names)

    def _named(self, name: str, asset_class: str) -> tuple[str, Listing]:
        listing = self._engine.listing(name)
        if listing.asset_class != asset_class:
            raise Refusal("EQuery:Unknown asset pair")
        # The key of an answer follows the style of the question.
        return name if "/" in name else listing.key, listing

    def _assets(self, params: Params) -> dict[str, Any]:
        aclass = params.get("aclass") or "currency"
        rows = [x.row for x in self._engine.listings.values() if x.asset_class == aclass]
        sides = ("base",) if aclass == "tokenized_asset" else ("base", "quote")
        names = sorted({str(row[side]) for row in rows for side in sides})
        if params.get("asset"):
            by_any = {n: x for x in names for n in (x, altname(x), modern_asset(x))}
            wanted = params["asset"].split(",")
            if not set(wanted) <= set(by_any):
                raise Refusal("EQuery:Unknown asset")
            names = [by_any[name] for name in wanted]
        is_new = params.get("assetVersion") == "1"
        return {modern_asset(n) if is_new else n: asset_row(n, aclass) for n in names}

    def _ticker(self, params: Params) -> dict[str, Any]:
        found = self._asked_for(params, params.get("asset_class") or "currency")
        return {key: ticker_row(listing) for key, listing in found.items()}

    def _depth(self, params: Params) -> dict[str, Any]:
        key, listing = self._named(params.get("pair", ""), params.get("asset_class") or "currency")
        count = whole(params, "count", 100)
        if not 1 <= count <= 500:
            raise Refusal("EGeneral:Invalid arguments:count")
        return {key: depth_row(listing, count, self._now())}

    def _trades(self, params: Params) -> dict[str, Any]:
        key, listing = self._named(params.get("pair", ""), params.get("asset_class") or "currency")
        since = nanoseconds(params.get("since", ""))
        most = min(whole(params, "count", _MOST_TRADES), _MOST_TRADES)
        if not most:
            raise Refusal("EGeneral:Invalid arguments:count")
        first = bisect_right(listing.trades, since, key=lambda trade: trade.at_ns)
        page = listing.trades[first : first + most] if since else listing.trades[-most:]
        rows = [trade_row(trade, listing) for trade in page]
        return {key: rows, "last": str(page[-1].at_ns if page else since)}

    def _ohlc(self, params: Params) -> dict[str, Any]:
        key, listing = self._named(params.get("pair", ""), params.get("asset_class") or "currency")
        interval = whole(params, "interval", 1)
        if interval not in _CANDLE_MINUTES:
            raise Refusal("EGeneral:Invalid arguments:interval")
        since = nanoseconds(params.get("since", "")) // 10**9
        rows = candles(listing, interval)
        # The last row is not committed: it may still move.
        last = rows[-2][0] if len(rows) > 1 else 0
        return {key: [row for row in rows if row[0] > since][-_MOST_CANDLES:], "last": last}

    # --- private -----------------------------------------------------------------------------

    def _balance(self, _: Params, account: Account) -> dict[str, str]:
        return {asset: amount_text(owned) for asset, owned in account.balances.items()}

    def _balance_ex(self, _: Params, account: Account) -> dict[str, dict[str, str]]:
        return {
            asset: {"balance": amount_text(owned), "hold_trade": amount_text(account.held(asset))}
            for asset, owned in account.balances.items()
        }

    def _trade_balance(self, params: Params, account: Account) -> dict[str, str]:
        owned = account.owned(params.get("asset") or "ZUSD")
        figures = dict.fromkeys(("m", "n", "c", "v"), Decimal(0))
        figures |= dict.fromkeys(("eb", "tb", "e", "mf"), owned)
        return {name: f"{figure:.4f}" for name, figure in figures.items()}

    def _add_order(self, params: Params, account: Account) -> dict[str, Any]:
        order = self._engine.add_order(params, self._now(), account)
        return self._added(order, [order.txid])

    def _add_order_batch(self, params: Params, account: Account) -> dict[str, Any]:
        rows = read_orders(params.get("orders", ""))
        shared = {name: text for name, text in params.items() if name != "orders"}
        taken = self._engine.add_orders(shared, rows, self._now(), account)
        return {
            "orders": [
                {"error": ", ".join(one.errors)}
                if isinstance(one, Refusal)
                else self._added(one, one.txid)
                for one in taken
            ]
        }

    def _added(self, order: Order, txid: object) -> dict[str, Any]:
        """Return what is told of a new order; one that was only checked has no txid."""
        answer: dict[str, Any] = {"descr": {"order": self._shown(order)["descr"]["order"]}}
        if not order.txid:
            return answer
        self._fill_at_once(order)
        return {**answer, "txid": txid}

    def _fill_at_once(self, order: Order) -> None:
        """Fill an order that stands, where that is switched on for its market."""
        listing = self._engine.listing_of(order)
        is_open = order.status == "open"
        if is_open and self._faults.struck("filled_at_once", "AddOrder", listing.symbol):
            self._engine.fill(order, listing.price, self._now())

    def _cancel_order(self, params: Params, account: Account) -> dict[str, int]:
        return {"count": self._engine.cancel_by(params, self._now(), account)}

    def _open_orders(self, params: Params, account: Account) -> dict[str, Any]:
        latest = self._now() - self._faults.lag("open_orders_lag")
        stale = self._now() - self._faults.lag("open_orders_stale")
        seen = [
            order
            for order in account.orders.values()
            if order.opened_at <= latest
            and (order.closed_at is None or order.closed_at > stale)
            and _is_asked_for(order, params)
        ]
        seen.sort(key=lambda order: order.opened_at, reverse=True)
        return {"open": {order.txid: self._shown_open(order) for order in seen}}

    def _closed_orders(self, params: Params, account: Account) -> dict[str, Any]:
        latest = self._now() - self._faults.lag("closed_orders_lag")
        start, end = moment(params, "start", -1.0), moment(params, "end", latest)
        by_opening = params.get("closetime") == "open"
        is_empty = self._faults.is_on("closed_orders_never")
        seen = [
            order
            for order in account.orders.values()
            if order.closed_at is not None
            and not is_empty
            and order.closed_at <= latest
            and start < (order.opened_at if by_opening else order.closed_at) <= end
            and _is_asked_for(order, params)
        ]
        seen.sort(key=lambda order: order.closed_at or 0.0, reverse=True)
        first = whole(params, "ofs", 0)
        page = {order.txid: self._shown(order) for order in seen[first : first + _PAGE]}
        return {"closed": page, "count": len(seen)}

    def _query_orders(self, params: Params, account: Account) -> dict[str, Any]:
        txids = params.get("txid", "").split(",")
        if len(txids) > _PAGE:
            raise Refusal("EGeneral:Invalid arguments:txid")
        found = [account.orders.get(txid) for txid in txids]
        if None in found:
            raise Refusal("EOrder:Invalid order")
        return {order.txid: self._shown(order) for order in found if order is not None}

    def _shown(self, order: Order) -> dict[str, Any]:
        return shown(order, self._engine.listing_of(order).row)

    def _shown_open(self, order: Order) -> dict[str, Any]:
        """Return an order as the book of open orders has it, which may not know yet that it ended.

        What was executed meanwhile is not known there either.
        """
        if order.closed_at is None:
            return self._shown(order)
        before = replace(
            order, status="open", closed_at=None, executed=Decimal(0), cost=Decimal(0), misc=""
        )
        return self._shown(before)


def check_deadline(text: str | None, arrived: float, now: float) -> None:
    """Check the `deadline` of an order; without one it may be acted upon at any time.

    Args:
        text: As it was sent.
        arrived: When the call came in, by Kraken's clock in seconds since 1970.
        now: When it is acted upon.

    Raises:
        Refusal: If it has passed, or was too near or too far when the call came in.
    """
    if not text:
        return
    deadline = seconds(text)
    if deadline <= max(arrived, now):
        raise Refusal("EService:Deadline elapsed")
    if not _NEAREST_DEADLINE <= deadline - arrived <= _FARTHEST_DEADLINE:
        raise Refusal("EGeneral:Invalid arguments:deadline")


def _is_asked_for(order: Order, params: Params) -> bool:
    cl_ord_id, userref = params.get("cl_ord_id"), params.get("userref")
    return cl_ord_id in (None, "", order.cl_ord_id) and userref in (None, "", str(order.userref))
