"""The markets: the pairs that are listed, their rows in AssetPairs, and the trades of each.

Pure. No market knows of orders: what rests on it is the engine's affair.

Source: Kraken, REST AssetPairs (read 2026-11).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, ClassVar

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

Row = dict[str, Any]  # of AssetPairs


def modern(name: str) -> str:
    """Return the WebSocket v2 word for a v1 one, of an asset or of each leg of a pair.

    `XBT/USD` is `BTC/USD`; these two renames are all there are.
    """
    return "/".join(_RENAMED.get(leg, leg) for leg in name.split("/"))


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
class Listing:
    """One market: its row in AssetPairs and what has happened on it."""

    KEPT_TRADES: ClassVar[int] = 50_000  # more than any page of REST Trades needs

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
    # What a test has put in the place of the book that follows the price: bids and asks.
    book: tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]] | None = None
    index: Decimal | None = None
    places: int = field(init=False)
    tick: Decimal = field(init=False)

    def __post_init__(self) -> None:
        self.places = int(self.row["pair_decimals"])
        self.tick = Decimal(1).scaleb(-self.places)
        self.start_at(self.price)

    def start_at(self, price: Decimal) -> None:
        """Let the market stand at `price`, as if it had done so for 24 hours."""
        self.price = self.opening = self.high = self.low = price

    def as_of(self, at_ns: int) -> Listing:
        """Return the market as it was at a moment, as far as its trades are remembered."""
        past = Listing(self.key, self.row, self.opening, self.symbol)
        past.trades = [trade for trade in self.trades if trade.at_ns <= at_ns]
        for trade in past.trades:
            past.price, past.trade_id, past.traded_ns = trade.price, trade.trade_id, trade.at_ns
            past.high, past.low = max(past.high, trade.price), min(past.low, trade.price)
            past.volume += trade.qty
        return past

    def record(self, price: Decimal, qty: Decimal, at: float) -> Trade:
        """Let one trade happen at `at`, in seconds since 1970, and return it."""
        side = "buy" if price >= self.price else "sell"
        self.price = price
        self.trade_id += 1
        # Two trades of a pair never share a microsecond here, as REST Trades pages by time.
        self.traded_ns = max(round(at * 1e6) * 1000, self.traded_ns + 1000)
        self.high, self.low = max(self.high, price), min(self.low, price)
        self.volume += qty
        trade = Trade(price, qty, side, self.trade_id, self.traded_ns)
        self.trades.append(trade)
        if len(self.trades) > 2 * self.KEPT_TRADES:
            del self.trades[: self.KEPT_TRADES]
        return trade

    @property
    def index_price(self) -> Decimal:
        """The index price: the last one, unless somebody has set it apart."""
        return self.price if self.index is None else self.index

    @property
    def asset_class(self) -> str:
        """`currency`, or `tokenized_asset` for xStocks."""
        return str(self.row.get("aclass_base", "currency"))

    @property
    def quotes(self) -> tuple[Decimal, Decimal]:
        """Bid and ask: one tick to each side of the last price."""
        return max(self.price - self.tick, self.tick), self.price + self.tick
