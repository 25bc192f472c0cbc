"""What the threads of the program say to each other: frozen values that do nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING

from krakenlink.rest.answers import Outcome
from ttslo_app.rules.rule import Rule

if TYPE_CHECKING:  # for a run that follows its account
    from krakenlink.stream.executions import AccountOrder


@dataclass(frozen=True, slots=True)
class Market:
    """What Kraken says of a pair; None where it is not known.

    Attributes:
        name: The name under which prices and rules meet: the stream's symbol, else the REST key.
        rest_key: Kraken's own name of the pair, which orders carry.
        symbol: The pair on the stream; None where it is not streamed.
        base: Kraken's id of the asset that is traded, empty where it is not known.
        quote: That of the asset that prices are in.
    """

    name: str
    rest_key: str
    symbol: str | None = None
    lot_decimals: int | None = None
    ordermin: Decimal | None = None
    costmin: Decimal | None = None
    price_decimals: int | None = None
    base: str = ""
    quote: str = ""


@dataclass(frozen=True, slots=True)
class Stop:
    """Where the stop of a standing order is.

    Attributes:
        price: The stop itself, in quote currency.
        best: The best price since the order was entered; None where it is not told.
        reference: Which price it follows, `last` or `index`; empty where it is not told.
        is_triggered: Whether that price has come back to it, so that the order is being filled.
        at: When it was first seen there, ISO UTC; empty where nobody says.
    """

    price: Decimal
    best: Decimal | None = None
    reference: str = ""
    is_triggered: bool = False
    at: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Sighting:
    """An order as Kraken shows it; `status` is open, closed, canceled, expired or pending.

    Attributes:
        differs: In what it is another order than the one that was sent; empty if in nothing.
        stop: Where its stop is; None for an order without one, or where it is not told.
    """

    txid: str
    status: str
    vol_exec: str = ""
    price: str = ""
    reason: str = ""
    differs: str = ""
    stop: Stop | None = field(default=None, compare=False)

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
    """A price that fires a rule.

    Attributes:
        price_text: The price as it was given, for the files.
        at_ns: When it was traded or, where that is not told, seen: nanoseconds since 1970 by
            Kraken's clock; None where nobody says.
        seen_at: When it was seen, in seconds of the program's monotonic clock; None where that
            is not known: then it counts as seen when the order thread takes it up. It stays the
            same however long the crossing waits and however often its order is tried.
    """

    rule: Rule
    price: Decimal
    price_text: str
    reason: str = "crossed"
    # When is no part of what: two that tell of the same price of the same rule are the same.
    at_ns: int | None = field(default=None, compare=False)
    seen_at: float | None = field(default=None, compare=False)

    @property
    def is_event(self) -> bool:
        """Whether a price has just crossed the threshold, rather than stood beyond it already."""
        return self.seen_at is not None and self.reason == "crossed"

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
    # What it was read from, to tell a row that was put back from one that was written anew.
    row: Mapping[str, object] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Adopt:
    """The whole of config.csv, validated: these rules, and no others, may trade.

    `accepted` is the order thread's from then on: others look up in it, and change nothing.

    `read_at` is the monotonic moment at which reading the file began: an order that was noted in
    the file after it is not in what was read, and must not look like a user's wish to arm again.
    `undecided` are ids of which nothing could be found out just now: they stay as they are.
    """

    accepted: dict[str, AcceptedRule]
    read_at: float
    undecided: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Watched:
    """What Kraken says of orders that stand there, by rule id."""

    sightings: Mapping[str, Sighting]


@dataclass(frozen=True, slots=True)
class Streamed:
    """What the account's stream says of one order: early, and a hint.

    Attributes:
        order: All that it has told of it.
        rest_key: REST's name of its pair; empty where that is not known.
        doubt: Called where it settles nothing, so that REST is asked; must not block.
    """

    order: AccountOrder
    rest_key: str
    doubt: Callable[[], None] = field(compare=False)


@dataclass(frozen=True, slots=True)
class Proved:
    """What Kraken says of an arming that an earlier run made; None: it has no order.

    `error` tells why there was no answer; then `sighting` says nothing.
    """

    rule_id: str
    cl_ord_id: str
    sighting: Sighting | None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Looked:
    """What came of a look for the order of an uncertain row.

    Attributes:
        began: When the look began, in seconds of the monotonic clock.
        sighting: The order; None where neither book has it, or where there was no answer.
        error: Why there was no answer; None where there was one.
    """

    rule_id: str
    cl_ord_id: str
    began: float
    sighting: Sighting | None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class KeyRefused:
    """Kraken refused the trading key when the order of a row was checked."""

    rule_id: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class BookArm:
    """Tells the reader of prices to arm a rule, and to look at the present price at once.

    `since` is the moment from which on trades count for it, as ISO UTC by Kraken's clock; empty:
    from now on. `seen` is that of a crossing that was seen and has no order; empty for none.
    `since_at` is `since` by the monotonic clock, where nobody knew what time it was.
    `is_new` says that the price of before does not count. `held` is a crossing that was seen and
    could not be acted upon: it is treated as one that nobody saw.
    """

    rule: Rule
    market: Market
    # When is no part of what: two of these that arm the same thing are the same.
    since: str = field(default="", compare=False)
    seen: str = field(default="", compare=False)
    since_at: float | None = field(default=None, compare=False)
    is_new: bool = field(default=False, compare=False)
    held: Crossing | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class BookDisarm:
    """Tells the reader of prices to forget a rule."""

    rule_id: str


@dataclass(frozen=True, slots=True)
class BookFired:
    """Tells the reader of prices what fired before the program was started.

    Trades that nobody had looked at by then may show that it was crossed earlier.

    `since` is the moment from which on trades counted for it, `fired_at` when it fired, both ISO
    UTC by Kraken's clock, and `price` is what fired it. Where an earlier crossing is known
    already, `is_found` says so: then the two tell of that trade.
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


@dataclass(frozen=True, slots=True)
class StandBy:
    """Another host leads from now on: nothing is sent or written. `done` is called once it is so.

    `done` must not block.
    """

    done: Callable[[], None]


@dataclass(frozen=True, slots=True)
class TakeUp:
    """This host leads from now on. `done` is called once the order thread goes by it.

    Attributes:
        lives: All rows of the state, as all hosts share them.
        standing: The orders that Kraken showed as open once nobody else could send any more, by
            their client order id.
        done: Must not block.
    """

    lives: Mapping[str, Mapping[str, str]]
    standing: Mapping[str, Sighting]
    done: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Shared:
    """Rows of the state that another host has changed, by id."""

    lives: Mapping[str, Mapping[str, str]]


Message = (
    Crossing
    | FirstCrossing
    | Adopt
    | KeyRefused
    | Looked
    | Proved
    | Watched
    | Streamed
    | Mark
    | StandBy
    | TakeUp
    | Shared
)


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
    `until` is when the last page was asked for, in seconds since 1970, and `asked_at` the same by
    the monotonic clock, which tells it better where `until` was a guess; None where it was none.
    """

    market: str
    past: tuple[Past, ...]
    newest: Past | None
    is_cut: bool
    until: float
    asked_at: float | None = None


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


# Called with a level, a sentence, and what the log is to hold beside it: see `tell`.
Say = Callable[..., None]


class Kind(StrEnum):
    """What a sentence is about, for whoever chooses what to be told of."""

    PLACED = "order placed"
    FILLED = "order filled"
    ENDED = "order ended unfilled"
    REFUSED = "order refused"
    UNCERTAIN = "order uncertain"
    NOT_PLACED = "order not placed after all"
    WAITING = "order waits"
    LATE = "order waited too long"
    ARMED = "armed"
    DISARMED = "disarmed"
    DOUBTFUL = "past unknown"
    KEY = "key"
    DISK = "disk"
    CONFIG = "config"
    CLOCK = "clock"
    INTERNAL = "internal error"
    CROSSED_BLIND = "crossed while blind"
    CROSSED_BEFORE = "crossing seen before"
    NOT_CROSSED = "not crossed while blind"
    PAST_UNKNOWN = "trades unknown"
    PAST_KNOWN = "trades known again"
    START = "start"
    STOP = "stop"
    LINK = "link"
    PRICE = "price"
    CHECK = "order checked"
    STANDING = "where a row stands"
    STANDBY = "standby"
    NOTIFY = "notifications"
    DIGEST = "daily digest"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Sentence:
    """Something to say, and the details that go into the log beside it."""

    kind: Kind
    level: str
    text: str
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Said:
    """A sentence as it was said, for whoever listens beside screen and log.

    Attributes:
        row: The id of the row that it is about; empty where it is about none, or about many.
        at: When, in seconds since 1970 by this machine's clock.
    """

    kind: Kind
    level: str
    row: str
    text: str
    at: float


def of_row(kind: Kind, level: str, rule_id: str, text: str, **fields: str) -> Sentence:
    """Return a sentence about one row, which begins with its id."""
    return Sentence(kind, level, f"{rule_id}: {text}", {"id": rule_id, **fields})


def tell(say: Say, sentence: Sentence) -> None:
    """Say a sentence; its kind goes with it as the field `kind`, which no log holds."""
    say(sentence.level, sentence.text, kind=sentence.kind, **sentence.fields)
