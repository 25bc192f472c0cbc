"""The matching engine of the embedded exchange: pairs, prices, balances, orders that trail.

Pure: no sockets, no threads, no clock; `fake_kraken` serves it. It fills every order at the last
price: there is no order book, and there are no fees.

Source: Kraken, REST AssetPairs, AddOrder, OpenOrders, trailing stop orders (read 2026-11). Where
Kraken's own text for a refusal is not known, the nearest one that is known stands here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, InvalidOperation, localcontext
from typing import Any

# The dark pool comes first: clients that call both markets BTC/USD keep the later one.
# rest key, altname, wsname, base, quote, price decimals, ordermin, costmin, starting price
_PAIRS = """
XXBTZUSD.d XBTUSD.d - XXBT ZUSD 1 0.05 0.5 50000.0
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
"""

_RENAMED = {"XBT": "BTC", "XDG": "DOGE"}

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

# A UUID with or without its dashes, or free text of up to 18 characters.
_CLIENT_ID = re.compile(
    r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{32}|[!-~]{1,18}", re.ASCII
)
_PLAIN_NUMBER = re.compile(r"\d+(\.\d*)?|\.\d+", re.ASCII)
_LONGEST_NUMBER = 20
_SHORT_INTEGER = re.compile(r"[+-]?\d{1,10}", re.ASCII)
_SMALLEST_USERREF, _LARGEST_USERREF = -(2**31), 2**31 - 1

Row = dict[str, Any]  # of AssetPairs


class Refusal(Exception):
    """Kraken's error strings for a call that is refused."""

    def __init__(self, *errors: str) -> None:
        self.errors = list(errors)
        super().__init__(*errors)


def modern(name: str) -> str:
    """Return the WebSocket v2 word for a v1 one, of an asset or of each leg of a pair.

    `XBT/USD` is `BTC/USD`; these two renames are all there are.
    """
    return "/".join(_RENAMED.get(leg, leg) for leg in name.split("/"))


def _row(
    altname: str, wsname: str, base: str, quote: str, decimals: int, ordermin: str, costmin: str
) -> Row:
    row: Row = {
        "altname": altname,
        "wsname": wsname,
        "aclass_base": "tokenized_asset" if base.endswith("x") else "currency",
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
        "execution_venue": "international",
    }
    if wsname == "-":
        del row["wsname"]
    return row


def default_pairs() -> tuple[dict[str, Row], dict[str, Decimal]]:
    """Return some forty real pairs as AssetPairs lists them, and a price for each."""
    pairs: dict[str, Row] = {}
    prices: dict[str, Decimal] = {}
    for line in _PAIRS.strip().split("\n"):
        key, altname, wsname, base, quote, decimals, ordermin, costmin, price = line.split()
        pairs[key] = _row(altname, wsname, base, quote, int(decimals), ordermin, costmin)
        prices[key] = Decimal(price)
    # Some rows of the real listing lack these.
    del pairs["XCNUSD"]["status"]
    del pairs["ZRXUSD"]["lot_multiplier"]
    return pairs, prices


def synthetic_pairs(count: int) -> tuple[dict[str, Row], dict[str, Decimal]]:
    """Return `count` made-up pairs, `T0001USD` and so on, at 100 each, for loads."""
    bases = [f"T{number:04d}" for number in range(1, count + 1)]
    pairs = {f"{x}USD": _row(f"{x}USD", f"{x}/USD", x, "ZUSD", 4, "0.01", "0.5") for x in bases}
    return pairs, dict.fromkeys(pairs, Decimal("100.0000"))


@dataclass(frozen=True, slots=True)
class Trade:
    """One executed trade; `at_ns` is nanoseconds since 1970, `side` the taker's."""

    price: Decimal
    qty: Decimal
    side: str
    trade_id: int
    at_ns: int


@dataclass(slots=True, eq=False)
class Order:
    """An order; `anchor` is the best price since it was entered, for those that trail.

    `offset` is what a trailing stop stays away from it, in percent or in quote currency.
    """

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
    offset: Decimal = Decimal(0)
    is_percent: bool = False
    anchor: Decimal = Decimal(0)
    stop: Decimal = Decimal(0)
    hold: tuple[str, Decimal] = ("", Decimal(0))  # asset, and how much of it for each unit
    executed: Decimal = Decimal(0)
    cost: Decimal = Decimal(0)
    closed_at: float | None = None
    reason: str = ""
    misc: str = ""

    @property
    def fill_price(self) -> Decimal:
        """The average price of what was executed; 0 before."""
        return self.cost / self.executed if self.executed else Decimal(0)

    @property
    def is_trailing(self) -> bool:
        """Whether it is a stop that follows the price."""
        return self.kind == "trailing-stop"


@dataclass(slots=True, eq=False)
class Listing:
    """One market: its row in AssetPairs and what happened on it."""

    key: str
    row: Row
    price: Decimal
    symbol: str | None
    opening: Decimal = Decimal(0)
    high: Decimal = Decimal(0)
    low: Decimal = Decimal(0)
    volume: Decimal = Decimal(0)
    trade_id: int = 0
    traded_ns: int = 0
    trades: list[Trade] = field(default_factory=list)
    open_orders: dict[str, Order] = field(default_factory=dict)
    counter: float = 0.0
    counted_at: float = 0.0
    places: int = field(init=False)
    tick: Decimal = field(init=False)

    def __post_init__(self) -> None:
        self.places = int(self.row["pair_decimals"])
        self.tick = Decimal(1).scaleb(-self.places)
        self.start_at(self.price)

    def start_at(self, price: Decimal) -> None:
        """Let the market stand at `price`, as if it had done so for 24 hours."""
        self.price = self.opening = self.high = self.low = price

    @property
    def asset_class(self) -> str:
        """`currency`, or `tokenized_asset` for xStocks."""
        return str(self.row.get("aclass_base", "currency"))

    @property
    def quotes(self) -> tuple[Decimal, Decimal]:
        """Bid and ask: one tick to each side of the last price."""
        return max(self.price - self.tick, self.tick), self.price + self.tick


class Engine:
    """One exchange.

    Args:
        pairs: AssetPairs' result; the built-in pairs where it is left out.
        prices: A starting price by any REST name of a pair.
        balances: Funds by Kraken's asset id.

    Raises:
        Refusal: If `prices` names a pair that is not there.
        ValueError: If a price is none.
    """

    KEPT_TRADES = 50_000  # of each market; more than any page of REST Trades needs

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
        funds = _FUNDS if balances is None else balances
        self.balances = {asset: Decimal(amount) for asset, amount in funds.items()}
        self.holds: dict[str, Decimal] = {}
        self.orders: dict[str, Order] = {}
        self.system_status = "online"
        # The counter that an order must stay under, and how much it loses a second; None: no
        # limit. Kraken's for a starter are 60 and 1 on each pair, for a pro 180 and 3.75.
        self.order_pace: tuple[float, float] | None = None
        self._open_by_client_id: dict[str, Order] = {}
        self._last_number = 0

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

    # --- prices ------------------------------------------------------------------------------

    def trade(self, listing: Listing, price: Decimal, qty: Decimal, at: float) -> Trade:
        """Print one trade: it becomes the last price, and moves and triggers what trails."""
        side = "buy" if price >= listing.price else "sell"
        listing.price = price
        listing.trade_id += 1
        # Two trades of a pair never share a microsecond here, as REST Trades pages by time.
        listing.traded_ns = max(round(at * 1e6) * 1000, listing.traded_ns + 1000)
        listing.high, listing.low = max(listing.high, price), min(listing.low, price)
        listing.volume += qty
        trade = Trade(price, qty, side, listing.trade_id, listing.traded_ns)
        listing.trades.append(trade)
        if len(listing.trades) > 2 * self.KEPT_TRADES:
            del listing.trades[: self.KEPT_TRADES]
        if listing.open_orders:
            for order in list(listing.open_orders.values()):
                self._move(order, listing, at)
        return trade

    def _move(self, order: Order, listing: Listing, at: float) -> None:
        price = listing.price
        if order.is_trailing:
            best = max if order.side == "sell" else min
            if best(price, order.anchor) != order.anchor:
                order.anchor = price
                order.stop = stop_price(order, listing.tick)
            if is_beyond(order, order.stop, price):
                self.fill(order, price, at, misc="stopped")
        elif order.kind == "limit":
            limit = Decimal(order.price_text)
            if price <= limit if order.side == "buy" else price >= limit:
                self.fill(order, limit, at)

    # --- orders ------------------------------------------------------------------------------

    def add_order(self, params: Mapping[str, str], at: float) -> Order:
        """Check and enter an order, as AddOrder does; with `validate` it is only checked.

        Returns:
            The order; its `txid` is empty where it was only checked.

        Raises:
            Refusal: With Kraken's error strings.
        """
        self._check_system()
        listing = self.listing(params.get("pair", ""))
        if listing.asset_class != (params.get("asset_class") or "currency"):
            raise Refusal("EQuery:Unknown asset pair")
        self._count(listing, at)
        order = self._read_order(params, listing, at)
        self._check_status(order, listing)
        self._check_volume(order, listing)
        if order.cl_ord_id in self._open_by_client_id:
            # Unique among open orders only: a closed one does not stand in the way.
            raise Refusal("EOrder:Duplicate client order id")
        self._check_funds(order, listing)
        if not is_true(params.get("validate")):
            self._enter(order, listing, at)
        return order

    def _count(self, listing: Listing, at: float) -> None:
        """Count an order, whatever becomes of it, unless it comes too fast."""
        if self.order_pace is None:
            return
        threshold, decay = self.order_pace
        passed = max(0.0, at - listing.counted_at)
        listing.counter, listing.counted_at = max(0.0, listing.counter - passed * decay), at
        if listing.counter + 1 > threshold:
            raise Refusal("EOrder:Rate limit exceeded")
        listing.counter += 1

    def _check_system(self) -> None:
        if self.system_status == "maintenance":
            raise Refusal("EService:Unavailable")
        if self.system_status != "online":
            raise Refusal(f"EService:Market in {self.system_status} mode")

    def _read_order(self, params: Mapping[str, str], listing: Listing, at: float) -> Order:
        order = Order(
            txid="",
            pair=listing.key,
            side=_one_of(params, "type", ("buy", "sell")),
            kind=_one_of(params, "ordertype", ("market", "limit", "trailing-stop")),
            volume=number_of(params.get("volume"), "volume"),
            price_text=params.get("price", ""),
            opened_at=at,
            cl_ord_id=_client_id(params),
            userref=_userref(params),
            trigger=params.get("trigger") or "last",
            anchor=listing.price,
        )
        if order.trigger == "index" and listing.row["base"] not in ("XXBT", "XETH"):
            raise Refusal("EGeneral:Invalid arguments:Index unavailable")
        if order.trigger not in ("last", "index"):
            raise Refusal("EGeneral:Invalid arguments:trigger")
        if order.is_trailing:
            order.offset, order.is_percent = offset_of(order.price_text)
            reach = Decimal(100) if order.is_percent else listing.price
            if order.side == "sell" and order.offset >= reach:
                raise Refusal("EGeneral:Invalid arguments:price")  # it leaves no positive stop
            order.stop = stop_price(order, listing.tick)
        elif (
            order.kind == "limit" and _places(number_of(order.price_text, "price")) > listing.places
        ):
            raise Refusal("EOrder:Tick size check failed")
        return order

    def _check_status(self, order: Order, listing: Listing) -> None:
        status = listing.row.get("status", "online")
        if status != "online" and not (status == "limit_only" and order.kind == "limit"):
            raise Refusal(f"EService:Market in {status} mode")

    def _check_volume(self, order: Order, listing: Listing) -> None:
        if _places(order.volume) > int(listing.row.get("lot_decimals", 8)):
            raise Refusal("EGeneral:Invalid arguments:volume")
        if order.volume < Decimal(listing.row.get("ordermin", "0")):
            raise Refusal("EOrder:Order minimum not met")
        if order.volume * listing.price < Decimal(listing.row.get("costmin", "0")):
            raise Refusal("EOrder:Cost minimum not met")

    def _check_funds(self, order: Order, listing: Listing) -> None:
        if order.side == "sell":
            order.hold = (listing.row["base"], Decimal(1))
        else:
            # What Kraken reserves for a buy that trails is not known; the price of now is near it.
            price = Decimal(order.price_text) if order.kind == "limit" else listing.price
            order.hold = (listing.row["quote"], price)
        asset, each = order.hold
        if self.balances.get(asset, Decimal(0)) - self.held(asset) < order.volume * each:
            raise Refusal("EOrder:Insufficient funds")

    def _enter(self, order: Order, listing: Listing, at: float) -> None:
        self._last_number += 1
        order.txid = txid_of(self._last_number)
        self.orders[order.txid] = order
        listing.open_orders[order.txid] = order
        if order.cl_ord_id is not None:
            self._open_by_client_id[order.cl_ord_id] = order
        self._hold(order, 1)
        if order.kind == "market":
            self.fill(order, listing.price, at)
        else:
            self._move(order, listing, at)

    def held(self, asset: str) -> Decimal:
        """Return what open orders hold of `asset`."""
        return self.holds.get(asset, Decimal(0))

    def _hold(self, order: Order, sign: int) -> None:
        asset, each = order.hold
        self.holds[asset] = self.held(asset) + sign * each * (order.volume - order.executed)

    def fill(
        self, order: Order, price: Decimal, at: float, misc: str = "", volume: Decimal | None = None
    ) -> None:
        """Execute what is left of an order, or `volume` of it; then it stays open.

        Raises:
            Refusal: If the order is not open.
        """
        self._check_open(order)
        left = order.volume - order.executed
        part = left if volume is None else min(volume, left)
        row = self.listings[order.pair].row
        sign = 1 if order.side == "buy" else -1
        self._hold(order, -1)
        order.executed += part
        order.cost += part * price
        self._hold(order, 1)
        self._book(row["base"], sign * part)
        self._book(row["quote"], -sign * part * price)
        if order.executed == order.volume:
            order.misc = misc
            self._close(order, "closed", at)

    def _book(self, asset: str, change: Decimal) -> None:
        self.balances[asset] = self.balances.get(asset, Decimal(0)) + change

    def cancel(
        self, order: Order, at: float, reason: str = "User requested", status: str = "canceled"
    ) -> None:
        """End an open order that is unfilled, or filled in part.

        Raises:
            Refusal: If the order is not open.
        """
        self._check_open(order)
        order.reason = reason
        self._close(order, status, at)

    @staticmethod
    def _check_open(order: Order) -> None:
        if order.status != "open":
            raise Refusal("EOrder:Unknown order")

    def _close(self, order: Order, status: str, at: float) -> None:
        self._hold(order, -1)
        order.status, order.closed_at = status, at
        self.listings[order.pair].open_orders.pop(order.txid, None)
        if order.cl_ord_id is not None:
            self._open_by_client_id.pop(order.cl_ord_id, None)

    def cancel_by(self, params: Mapping[str, str], at: float) -> int:
        """Cancel by txid, userref or cl_ord_id, and return how many.

        Raises:
            Refusal: If there is no such open order.
        """
        if self.system_status == "maintenance":
            raise Refusal("EService:Unavailable")
        found = self._open_orders_named(params.get("txid", ""), params.get("cl_ord_id", ""))
        if not found:
            raise Refusal("EOrder:Unknown order")
        for order in found:
            self.cancel(order, at)
        return len(found)

    def _open_orders_named(self, txid: str, cl_ord_id: str) -> list[Order]:
        if not txid:
            by_client = self._open_by_client_id.get(cl_ord_id)
            return [by_client] if by_client is not None else []
        if txid in self.orders:
            return [o for o in [self.orders[txid]] if o.status == "open"]
        markets = self.listings.values()
        return [
            o
            for x in markets
            for o in x.open_orders.values()
            if o.userref and str(o.userref) == txid
        ]


# --- Kraken's numbers -------------------------------------------------------------------------


def stop_price(order: Order, tick: Decimal) -> Decimal:
    """Return where a trailing stop stands now, rounded to the tick towards the market."""
    with localcontext(prec=60):
        distance = order.anchor * order.offset / 100 if order.is_percent else order.offset
        exact = order.anchor - distance if order.side == "sell" else order.anchor + distance
        rounding = ROUND_CEILING if order.side == "sell" else ROUND_FLOOR
        return max(exact.quantize(tick, rounding=rounding), tick)


def is_beyond(order: Order, stop: Decimal, price: Decimal) -> bool:
    """Tell whether `price` has come back to `stop`."""
    return price <= stop if order.side == "sell" else price >= stop


def offset_of(text: str) -> tuple[Decimal, bool]:
    """Return a trailing offset and whether it is in percent: `+5%`, `+500`.

    Raises:
        Refusal: Without its `+`, or if it is no positive number.
    """
    if not text.startswith("+"):
        raise Refusal("EOrder:Invalid price:Invalid price argument.")
    return number_of(text[1:].removesuffix("%"), "price"), text.endswith("%")


def number_of(text: str | None, name: str) -> Decimal:
    """Return a positive number in plain notation.

    Raises:
        Refusal: If it is anything else.
    """
    # The limit of length keeps every product and every rounding here exact.
    if not _PLAIN_NUMBER.fullmatch(text or "") or len(text or "") > _LONGEST_NUMBER:
        raise Refusal(f"EGeneral:Invalid arguments:{name}")
    number = Decimal(text or "")
    if not number:
        raise Refusal(f"EGeneral:Invalid arguments:{name}")
    return number


def price_from(value: object) -> Decimal:
    """Return the price that a test or a file sets.

    Raises:
        ValueError: If it is no positive number.
    """
    try:
        price = Decimal(str(value))
    except InvalidOperation:
        price = Decimal("NaN")
    if not price.is_finite() or price <= 0:
        raise ValueError(f"{value!r} is no price; give a positive number")
    return price


def _places(number: Decimal) -> int:
    exponent = number.normalize().as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0


def _one_of(params: Mapping[str, str], name: str, words: tuple[str, ...]) -> str:
    word = params.get(name, "")
    if word not in words:
        raise Refusal(f"EGeneral:Invalid arguments:{name}")
    return word


def _client_id(params: Mapping[str, str]) -> str | None:
    text = params.get("cl_ord_id") or None
    if text is not None and (params.get("userref") or not _CLIENT_ID.fullmatch(text)):
        raise Refusal("EGeneral:Invalid arguments:cl_ord_id")
    return text


def _userref(params: Mapping[str, str]) -> int:
    text = params.get("userref") or "0"
    number = int(text) if _SHORT_INTEGER.fullmatch(text) else _LARGEST_USERREF + 1
    if not _SMALLEST_USERREF <= number <= _LARGEST_USERREF:
        raise Refusal("EGeneral:Invalid arguments:userref")
    return number


def is_true(text: object) -> bool:
    """Tell whether a parameter says yes."""
    return str(text).lower() in ("true", "1")


def txid_of(number: int) -> str:
    """Return an order id of Kraken's shape, the same for the same number."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
    mixed = number * 6364136223846793005 + 1442695040888963407
    letters = "".join(alphabet[(mixed >> (5 * i)) % 32] for i in range(12))
    # The number itself stands in it, so that no two orders can share an id.
    own = "".join(alphabet[(number >> (5 * i)) % 32] for i in range(4))
    return f"O{letters[:5]}-{letters[5:10]}-{letters[10:12]}{own}"


# --- Kraken's words -----------------------------------------------------------------------------


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
