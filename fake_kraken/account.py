"""An account: what its owner has, what is held back, and every order that was entered.

Pure. It checks nothing: whether an order may be entered is decided by the engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from fake_kraken.orders import Order

# Funds to begin with: enough of everything that people sell in tests.
_FUNDS = {
    "AAPLx": "1000",
    "ADA": "100000",
    "SOL": "10000",
    "USDT": "1000000",
    "XETH": "1000",
    "XXBT": "100",
    "XXDG": "1000000",
    "ZEUR": "1000000",
    "ZUSD": "1000000",
}


class Account:
    """One owner's funds and orders.

    Args:
        balances: Funds by Kraken's asset id; plenty where they are left out.
        name: Tells it from other accounts of the exchange.

    Attributes:
        balances: What is owned, whether it is held or not.
        orders: Every order ever entered, by txid, oldest first.
        open_orders: Those of them that are open.
    """

    def __init__(self, balances: Mapping[str, str] | None = None, name: str = "") -> None:
        self.name = name
        funds = _FUNDS if balances is None else balances
        self.balances = {asset: Decimal(amount) for asset, amount in funds.items()}
        self.orders: dict[str, Order] = {}
        self.open_orders: dict[str, Order] = {}
        self._holds: dict[str, Decimal] = {}
        self._by_client_id: dict[str, Order] = {}  # open orders alone
        self._counters: dict[str, tuple[float, float]] = {}  # of each pair: count, and when

    # --- funds -------------------------------------------------------------------------------

    def owned(self, asset: str) -> Decimal:
        """Return what is owned of `asset`, held or not."""
        return self.balances.get(asset, Decimal(0))

    def held(self, asset: str) -> Decimal:
        """Return what open orders hold of `asset`."""
        return self._holds.get(asset, Decimal(0))

    def free(self, asset: str) -> Decimal:
        """Return what a new order may use of `asset`."""
        return self.owned(asset) - self.held(asset)

    def change(self, asset: str, amount: Decimal) -> None:
        """Add `amount` to what is owned of `asset`; take it away where it is negative."""
        self.balances[asset] = self.owned(asset) + amount

    def execute(self, order: Order, part: Decimal, price: Decimal) -> None:
        """Note that `part` of an order was executed at `price`, and hold the less for it."""
        self._hold(order, -1)
        order.executed += part
        order.cost += part * price
        self._hold(order, 1)

    def _hold(self, order: Order, sign: int) -> None:
        asset, each = order.hold
        self._holds[asset] = self.held(asset) + sign * each * order.left

    # --- orders ------------------------------------------------------------------------------

    def count(self, pair: str, pace: tuple[float, float], at: float, cost: float = 1.0) -> bool:
        """Count an order on `pair`; False, and uncounted, where it comes too fast.

        Args:
            pair: The pair, which counts for itself.
            pace: What the counter must not exceed, and how much of it is forgotten a second.
            at: Seconds since 1970.
            cost: What it counts: 1, and half of that for each order of a batch.
        """
        most, decay = pace
        counter, counted_at = self._counters.get(pair, (0.0, at))
        counter = max(0.0, counter - max(0.0, at - counted_at) * decay)
        is_taken = counter + cost <= most
        self._counters[pair] = (counter + cost * is_taken, at)
        return is_taken

    def is_open(self, cl_ord_id: str | None) -> bool:
        """Tell whether an open order has this client order id."""
        return cl_ord_id in self._by_client_id

    def enter(self, order: Order) -> None:
        """Take up an order that has its txid, and hold what it may use."""
        self.orders[order.txid] = self.open_orders[order.txid] = order
        if order.cl_ord_id is not None:
            self._by_client_id[order.cl_ord_id] = order
        self._hold(order, 1)

    def close(self, order: Order, status: str, at: float) -> None:
        """End an open order, and hold nothing for it any more."""
        self._hold(order, -1)
        order.status, order.closed_at = status, at
        self.open_orders.pop(order.txid, None)
        if order.cl_ord_id is not None:
            self._by_client_id.pop(order.cl_ord_id, None)

    def open_orders_named(self, txid: str, cl_ord_id: str) -> list[Order]:
        """Return the open orders that CancelOrder means: a txid may also be a userref."""
        if not txid:
            order = self._by_client_id.get(cl_ord_id)
            return [order] if order is not None else []
        if txid in self.orders:
            return [o for o in [self.orders[txid]] if o.status == "open"]
        return [o for o in self.open_orders.values() if o.userref and str(o.userref) == txid]
