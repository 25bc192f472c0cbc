"""What the threads of the program say to each other: frozen values that do nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from ttslo_app.rules.rule import Rule


@dataclass(frozen=True, slots=True)
class Market:
    """What Kraken says of a pair; None where it is not known.

    Attributes:
        name: The name under which prices and rules meet: the stream's symbol, else the REST key.
        rest_key: Kraken's own name of the pair, which orders carry.
        symbol: The pair on the stream; None where it is not streamed.
    """

    name: str
    rest_key: str
    symbol: str | None = None
    lot_decimals: int | None = None
    ordermin: Decimal | None = None
    costmin: Decimal | None = None
    status: str = "online"


@dataclass(frozen=True, slots=True)
class Sighting:
    """An order as Kraken shows it; `status` is open, closed, canceled, expired or pending."""

    txid: str
    status: str
    vol_exec: str = ""
    price: str = ""
    reason: str = ""

    @property
    def is_final(self) -> bool:
        """Whether nothing will happen to this order any more."""
        return self.status in ("closed", "canceled", "expired")

    @property
    def has_executed(self) -> bool:
        """Whether any part of it is filled; `vol_exec` is Kraken's text, such as `0.00000000`."""
        return bool(self.vol_exec.strip("0."))


@dataclass(frozen=True, slots=True)
class Crossing:
    """A price that fires a rule. `price_text` is the price as it was given, for the files."""

    rule: Rule
    price: Decimal
    price_text: str
    reason: str = "crossed"

    @property
    def key(self) -> str:
        """The rule's id: a rule crosses once."""
        return self.rule.id

    @property
    def pair(self) -> str:
        """The pair as the rule names it."""
        return self.rule.pair


@dataclass(frozen=True, slots=True)
class AcceptedRule:
    """A validated row, its market, and whether its order columns are filled."""

    rule: Rule
    market: Market
    is_fired_in_file: bool = False


@dataclass(frozen=True, slots=True)
class Adopt:
    """The whole of config.csv, validated: these rules, and no others, may trade.

    `read_at` is the monotonic moment at which reading the file began: an order that was noted in
    the file after it is not in what was read, and must not look like a user's wish to arm again.
    `undecided` are ids of which nothing could be found out just now: they stay as they are.
    """

    accepted: Mapping[str, AcceptedRule]
    read_at: float
    undecided: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Watched:
    """What Kraken says of orders that stand there, by rule id."""

    sightings: Mapping[str, Sighting]


@dataclass(frozen=True, slots=True)
class BookArm:
    """Tells the reader of prices to arm a rule, and to look at the present price at once.

    `since` is the moment from which on trades count for it, as ISO UTC; empty: from now on.
    """

    rule: Rule
    market: Market
    # When is no part of what: two of these that arm the same thing are the same.
    since: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class BookDisarm:
    """Tells the reader of prices to forget a rule."""

    rule_id: str


@dataclass(frozen=True, slots=True)
class BookFired:
    """Tells the reader of prices what fired before the program was started.

    Trades that nobody had looked at by then may show that it was crossed earlier.

    `since` is the moment from which on trades counted for it, `fired_at` when it fired, both ISO
    UTC by this machine's clock, and `price` is what fired it. Where an earlier crossing is known
    already, `is_found` says so: then the two tell of that trade, by Kraken's clock.
    """

    rule: Rule
    market: Market
    since: str
    fired_at: str
    price: str
    is_found: bool = False


@dataclass(frozen=True, slots=True)
class FirstCrossing:
    """The first price that crossed a rule, found after its order was on its way. `at`: ISO UTC."""

    rule_id: str
    price: str
    at: str


@dataclass(frozen=True, slots=True)
class Mark:
    """Calls `passed` once every message before it is settled: on disk, or said.

    It is not called while anything waits to be written down. `passed` must not block.
    """

    passed: Callable[[], None]


Message = Crossing | FirstCrossing | Adopt | Watched | Mark


BookChange = BookArm | BookDisarm | BookFired


@dataclass(frozen=True, slots=True)
class Past:
    """A price of the past: a trade, or one end of a candle of `bar_seconds` (then without id)."""

    trade_id: int
    price: Decimal
    at_ns: int
    bar_seconds: int = 0


@dataclass(frozen=True, slots=True)
class Fetched:
    """What REST has on a hole: prices in order, trades and candles.

    `newest` is the newest trade among them; `is_cut` says that candles stand for the rest;
    `until` is when the last page was asked for, in seconds since 1970.
    """

    market: str
    past: tuple[Past, ...]
    newest: Past | None
    is_cut: bool
    until: float


@dataclass(frozen=True, slots=True)
class NotFetched:
    """REST could not be asked about a hole; it goes on trying."""

    market: str
    reason: str


@dataclass(frozen=True, slots=True)
class PolledPrice:
    """A price that REST gave for a market; `at` is when it was asked, on the feed's clock."""

    market: str
    price: Decimal
    at: float


Say = Callable[..., None]
