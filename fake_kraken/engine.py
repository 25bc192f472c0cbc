"""The matching engine of the embedded exchange: markets, an account, and orders that trail.

Pure: no sockets, no threads, no clock; `FakeKraken` serves it. It fills every order at the last
price: there is no order book, and there are no fees unless they are set.

    engine = Engine(prices={"XBTUSD": "50000"})
    order = engine.add_order(params, at=0.0)
    engine.trade(engine.listing("XBTUSD"), Decimal(45000), Decimal("0.01"), at=1.0)

Source: Kraken, REST AddOrder, CancelOrder, trailing stop orders (read 2026-11).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from fake_kraken.account import Account
from fake_kraken.market import Listing, Row, Trade, default_pairs, modern, price_from
from fake_kraken.orders import KINDS, Change, Order, read_order, txid_of
from fake_kraken.params import Params, Refusal, is_true, places_of


class Engine:
    """One exchange.

    Args:
        pairs: AssetPairs' result; the built-in pairs where it is left out.
        prices: A starting price by any REST name of a pair.
        balances: Funds by Kraken's asset id.

    Attributes:
        listings: Every market by its key in AssetPairs.
        account: The first account, and the only one unless another is added.
        accounts: All of them, by name; the first one's is empty.
        orders: Every order ever entered, of all accounts, by txid, oldest first.
        by_symbol: Those that are streamed, by the WebSocket v2 symbol.
        system_status: What SystemStatus says.
        tell: Called with each change of an order, of whichever account, while it happens.
        order_pace: The counter that an order must stay under, and how much it loses a second;
            None: no limit. Kraken's for a starter are 60 and 1 on each pair, for a pro 180 and
            3.75.
        fee: What is taken of each fill, in percent; 0 unless it is set.

    Raises:
        Refusal: If `prices` names a pair that is not there.
        ValueError: If a price is none.
    """

    def __init__(
        self,
        pairs: Mapping[str, Mapping[str, Any]] | None = None,
        prices: Mapping[str, object] | None = None,
        balances: Mapping[str, str] | None = None,
    ) -> None:
        rows, known = default_pairs() if pairs is None else (pairs, {})
        self.listings: dict[str, Listing] = {}
        self.by_symbol: dict[str, Listing] = {}
        self._by_name: dict[str, Listing] = {}
        for key, row in rows.items():
            self._list(key, dict(row), known.get(key, Decimal(100)))
        for name, price in (prices or {}).items():
            self.listing(name).start_at(price_from(price))
        self.account = Account(balances)
        self.orders: dict[str, Order] = {}
        self.accounts = {self.account.name: self.account}
        self.system_status = "online"
        self.order_pace: tuple[float, float] | None = None
        self.fee = Decimal(0)
        self.tell: Callable[[Change], None] = _tell_nobody
        # What waits for a price, by market and txid: a trade looks at its own market alone.
        self._resting: dict[str, dict[str, Order]] = {key: {} for key in self.listings}
        self._last_number = self._last_fill = 0

    def _list(self, key: str, row: Row, price: Decimal) -> None:
        wsname = row.get("wsname")
        symbol = modern(wsname) if wsname else None
        listing = self.listings[key] = Listing(key, row, price, symbol)
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

    def listing_of(self, order: Order) -> Listing:
        """Return the market of an order."""
        return self.listings[order.pair]

    def add_account(self, name: str, balances: Mapping[str, str] | None = None) -> None:
        """Let somebody else trade here, with funds and orders of their own."""
        self.accounts[name] = Account(balances, name)

    def as_of(self, at: float) -> Engine:
        """Return the markets as they were at `at`, in seconds since 1970, to be looked at only."""
        past = copy.copy(self)
        then = {key: listing.as_of(round(at * 1e9)) for key, listing in self.listings.items()}
        past.listings = then
        past._by_name = {name: then[x.key] for name, x in self._by_name.items()}
        past.by_symbol = {symbol: then[x.key] for symbol, x in self.by_symbol.items()}
        return past

    # --- prices ------------------------------------------------------------------------------

    def trade(self, listing: Listing, price: Decimal, qty: Decimal, at: float) -> Trade:
        """Print one trade: it becomes the last price, and moves and triggers what trails."""
        trade = listing.record(price, qty, at)
        if resting := self._resting[listing.key]:
            for order in list(resting.values()):
                self._move(order, listing, at)
        return trade

    def move_index(self, listing: Listing, price: Decimal | None, at: float) -> None:
        """Set the index price of a market apart from its last price; None joins them again."""
        listing.index = price
        for order in list(self._resting[listing.key].values()):
            self._move(order, listing, at)

    def _move(self, order: Order, listing: Listing, at: float) -> None:
        kind = KINDS[order.kind]
        stood, was_triggered = order.stop, order.is_triggered
        price = kind.met(order, listing)
        order.is_triggered |= order.is_trailing and price is not None
        if order.is_triggered != was_triggered or order.stop != stood:
            self.tell(Change("status", order))
        if price is not None:
            self.fill(order, price, at, misc=kind.misc)

    # --- orders ------------------------------------------------------------------------------

    def add_order(self, params: Params, at: float, account: Account | None = None) -> Order:
        """Check and enter an order, as AddOrder does; with `validate` it is only checked.

        A mere check does not look at funds, as Kraken's does not.

        Args:
            params: As they were sent.
            at: Kraken's clock, in seconds since 1970.
            account: Whose order it is; the first account's where it is left out.

        Returns:
            The order; its `txid` is empty where it was only checked.

        Raises:
            Refusal: With Kraken's error strings.
        """
        account = account or self.account
        listing = self._market_of(params)
        self._count(listing, account, at, 1)
        order = _checked(params, listing, account, at)
        if not is_true(params.get("validate")):
            self._take(order, listing, account, at)
        return order

    def add_orders(
        self,
        params: Params,
        rows: Sequence[Params],
        at: float,
        account: Account | None = None,
    ) -> list[Order | Refusal]:
        """Check all orders of a batch, and then enter each of them, as AddOrderBatch does.

        Args:
            params: What was sent for all of them.
            rows: What was sent for each.
            at: Kraken's clock, in seconds since 1970.
            account: Whose orders they are; the first account's where it is left out.

        Returns:
            For each its order, or why it alone was refused.

        Raises:
            Refusal: If one of them is no valid order: then none is entered.
        """
        account = account or self.account
        listing = self._market_of(params)
        self._count(listing, account, at, len(rows) / 2)
        orders = [_checked({**params, **row}, listing, account, at) for row in rows]
        ids = [order.cl_ord_id for order in orders if order.cl_ord_id is not None]
        if len(set(ids)) < len(ids):
            raise Refusal("EOrder:Duplicate client order id")
        taken: list[Order | Refusal] = []
        for order in orders:
            try:
                if not is_true(params.get("validate")):
                    self._take(order, listing, account, at)
                taken.append(order)
            except Refusal as refusal:
                taken.append(refusal)
        return taken

    def _market_of(self, params: Params) -> Listing:
        self._check_system()
        listing = self.listing(params.get("pair", ""))
        if listing.asset_class != (params.get("asset_class") or "currency"):
            raise Refusal("EQuery:Unknown asset pair")
        return listing

    def _count(self, listing: Listing, account: Account, at: float, cost: float) -> None:
        """Count a call that adds orders, whatever becomes of it."""
        if self.order_pace and not account.count(listing.key, self.order_pace, at, cost):
            raise Refusal("EOrder:Rate limit exceeded")

    def _take(self, order: Order, listing: Listing, account: Account, at: float) -> None:
        _check_funds(order, listing, account)
        self._enter(order, listing, account)
        self._move(order, listing, at)

    def _check_system(self) -> None:
        if self.system_status == "maintenance":
            raise Refusal("EService:Unavailable")
        if self.system_status != "online":
            raise Refusal(f"EService:Market in {self.system_status} mode")

    def _enter(self, order: Order, listing: Listing, account: Account) -> None:
        self._last_number += 1
        order.txid, order.owner = txid_of(self._last_number), account.name
        account.enter(order)
        self.orders[order.txid] = order
        self._resting[listing.key][order.txid] = order
        for kind in ("pending_new", "new"):
            self.tell(Change(kind, order))

    def fill(
        self, order: Order, price: Decimal, at: float, misc: str = "", volume: Decimal | None = None
    ) -> None:
        """Execute what is left of an order, or `volume` of it; then it stays open.

        Raises:
            Refusal: If the order is not open.
        """
        _check_open(order)
        part = order.left if volume is None else min(volume, order.left)
        row = self.listing_of(order).row
        sign = 1 if order.side == "buy" else -1
        account = self.accounts[order.owner]
        account.execute(order, part, price)
        account.change(row["base"], sign * part)
        account.change(row["quote"], -sign * part * price)
        fee = part * price * self.fee / 100
        order.fee += fee
        if order.fee_flag == "fcib":
            account.change(row["base"], -fee / price)
        else:
            account.change(row["quote"], -fee)
        self._last_fill += 1
        exec_id = "T" + txid_of(self._last_fill)[1:]
        self.tell(Change("trade", order, part, price, exec_id))
        if not order.left:
            order.misc = misc
            self._close(order, "closed", at)
            self.tell(Change("filled", order))

    def cancel(
        self, order: Order, at: float, reason: str = "User requested", status: str = "canceled"
    ) -> None:
        """End an open order that is unfilled, or filled in part.

        Raises:
            Refusal: If the order is not open.
        """
        _check_open(order)
        order.reason = reason
        self._close(order, status, at)
        self.tell(Change(status, order))

    def _close(self, order: Order, status: str, at: float) -> None:
        self.accounts[order.owner].close(order, status, at)
        self._resting[order.pair].pop(order.txid, None)

    def cancel_by(self, params: Params, at: float, account: Account | None = None) -> int:
        """Cancel by txid, userref or cl_ord_id, and return how many.

        Args:
            params: As they were sent.
            at: Kraken's clock, in seconds since 1970.
            account: Whose orders are meant; the first account's where it is left out.

        Raises:
            Refusal: If there is no such open order.
        """
        if self.system_status == "maintenance":
            raise Refusal("EService:Unavailable")
        txid, cl_ord_id = params.get("txid", ""), params.get("cl_ord_id", "")
        found = (account or self.account).open_orders_named(txid, cl_ord_id)
        if not found:
            raise Refusal("EOrder:Unknown order")
        for order in found:
            self.cancel(order, at)
        return len(found)


def _tell_nobody(change: Change) -> None:
    """Leave a change untold: nobody listens."""


def _checked(params: Params, listing: Listing, account: Account, at: float) -> Order:
    order = read_order(params, listing, at)
    _check_status(order, listing)
    _check_volume(order, listing)
    if account.is_open(order.cl_ord_id):
        # Unique among open orders only: a closed one does not stand in the way.
        raise Refusal("EOrder:Duplicate client order id")
    return order


def _check_status(order: Order, listing: Listing) -> None:
    status = listing.row.get("status", "online")
    if status != "online" and not (status == "limit_only" and order.kind == "limit"):
        raise Refusal(f"EService:Market in {status} mode")


def _check_funds(order: Order, listing: Listing, account: Account) -> None:
    if order.side == "sell":
        order.hold = (listing.row["base"], Decimal(1))
    else:
        # What Kraken reserves for a buy that trails is not known; the price of now is near it.
        order.hold = (listing.row["quote"], order.limit or listing.price)
    asset, each = order.hold
    if account.free(asset) < order.volume * each:
        raise Refusal("EOrder:Insufficient funds")


def _check_volume(order: Order, listing: Listing) -> None:
    if places_of(order.volume) > int(listing.row.get("lot_decimals", 8)):
        raise Refusal("EGeneral:Invalid arguments:volume")
    if order.volume < Decimal(listing.row.get("ordermin", "0")):
        raise Refusal("EOrder:Order minimum not met")
    if order.volume * listing.price < Decimal(listing.row.get("costmin", "0")):
        raise Refusal("EOrder:Cost minimum not met")


def _check_open(order: Order) -> None:
    if order.status != "open":
        raise Refusal("EOrder:Unknown order")
