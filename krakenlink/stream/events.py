"""What Kraken's frames say, as values; what the feed tells of it; and the frames that go out.

Pure and frozen: one event goes to many threads. A message is what Kraken said and no more: whether
it counts is decided by the subscription that it is about. None is told that has not happened; a
price that is not proven is never a `Tick` for anybody outside. Text is read in `frames`.

Sources: Kraken, spot WebSocket v2 (subscribe, unsubscribe, ping, status, ticker, trade, book) and
its guide on rate limits (read 2026-11).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from krakenlink.numbers import counted, to_decimal
from krakenlink.pairs import Symbol

if TYPE_CHECKING:  # who follows prices alone loads none of them
    from krakenlink.stream.book import Level, RawLevel
    from krakenlink.stream.instruments import Asset, Instrument
    from krakenlink.stream.tapes import Candle

EVERY = Symbol("*")
"""What stands for the symbol of this channel, which has none: it tells of all pairs at once."""


class Channel(StrEnum):
    """The channels that are streamed."""

    TICKER = "ticker"
    TRADE = "trade"
    BOOK = "book"
    INSTRUMENT = "instrument"
    OHLC = "ohlc"

    @classmethod
    def _missing_(cls, value: object) -> None:
        raise ValueError(f"channel is {value!r}; there are {', '.join(cls)}")


class Value:
    """What all events share: they are equal by class and fields, hash likewise, and show both.

    Written once, as a method that is made for each of the classes costs every start 5 ms.
    """

    __slots__ = ()
    __match_args__: ClassVar[tuple[str, ...]] = ()

    def _fields(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in self.__match_args__)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Value) or other.__class__ is not self.__class__:
            return NotImplemented
        return self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash((self.__class__, *self._fields()))

    def __repr__(self) -> str:
        shown = (f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
        return f"{type(self).__name__}({', '.join(shown)})"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Tick(Value):
    """A last trade price, proven when it came: `at` is on the feed's own clock.

    `price`, `bid` and `ask` are in quote currency per unit of base currency, with the digits on
    the wire; `timestamp` is Kraken's text, None where it sent none.
    """

    symbol: Symbol
    price: Decimal
    bid: Decimal | None
    ask: Decimal | None
    at: float
    timestamp: str | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class TradePrint(Value):
    """One executed trade; `trade_id` counts up by one per market."""

    symbol: Symbol
    price: Decimal
    qty: Decimal
    trade_id: int
    timestamp: str | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Trades(Value):
    """The trades of one market that came in one frame, in Kraken's order."""

    symbol: Symbol
    prints: tuple[TradePrint, ...]
    at: float
    is_snapshot: bool = False


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class BookUpdate(Value):
    """What one frame changed of a book, confirmed by Kraken's checksum where a reader gets it.

    `bid_levels` and `ask_levels` hold numbers as they were written; `bids` and `asks` are exact.
    A quantity of 0 takes its level away.
    """

    symbol: Symbol
    bid_levels: tuple[RawLevel, ...]
    ask_levels: tuple[RawLevel, ...]
    checksum: object
    at: float
    timestamp: str | None = None
    is_snapshot: bool = False

    @property
    def bids(self) -> tuple[Level, ...]:
        """The changes of who buys."""
        return _exact(self.bid_levels)

    @property
    def asks(self) -> tuple[Level, ...]:
        """The changes of who sells."""
        return _exact(self.ask_levels)


def _exact(levels: tuple[RawLevel, ...]) -> tuple[Level, ...]:
    from krakenlink.stream.book import Level  # which who made the update has loaded

    return tuple(Level(to_decimal(level.price), to_decimal(level.qty)) for level in levels)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CandleUpdate(Value):
    """Candles of one market and interval that have begun or changed, the oldest first."""

    symbol: Symbol
    interval: int
    candles: tuple[Candle, ...]
    at: float
    is_snapshot: bool = False
    is_damaged: bool = False


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class TradeGap(Value):
    """Trades that the stream has left out: those numbered `first` to `last` of a market."""

    symbol: Symbol
    first: int
    last: int
    at: float


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class InstrumentUpdate(Value):
    """Pairs and assets that have changed, or all of them; what was not told is None.

    `lost` are pairs and assets whose row cannot be: nothing of them counts until they are told
    anew.
    """

    pairs: tuple[Instrument, ...]
    assets: tuple[Asset, ...]
    at: float
    is_snapshot: bool = False
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ChannelLive(Value):
    """A symbol's first data of a channel other than `ticker` on this connection: they count."""

    symbol: Symbol
    channel: str
    at: float


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class BookWrong(Value):
    """A book is none until its next snapshot, which is asked for; `reason` is for people."""

    symbol: Symbol
    reason: str
    at: float


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FeedConnecting(Value):
    """A connection is being made; `attempt` counts from 1 and starts anew once it is stable."""

    at: float
    attempt: int


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FeedLive(Value):
    """The connection is open, or speaks again after it was suspected."""

    at: float


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FirstData(Value):
    """The first price of a symbol on this connection: from now on it counts."""

    symbol: Symbol
    at: float


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FeedSuspect(Value):
    """No frame for `silent_for` seconds; a ping is under way."""

    at: float
    silent_for: float


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FeedStale(Value):
    """A connection is lost and no price of its symbols counts; `since` is the last proof of life.

    `symbols` are those whose prices or trades it carried; None where it is the only connection.
    """

    at: float
    reason: str
    since: float
    symbols: tuple[Symbol, ...] | None = None

    @property
    def scope(self) -> str:
        """Whose prices count no more, for a sentence; nothing where it is all of them."""
        if self.symbols is None:
            return ""
        return f" of {counted(len(self.symbols), 'symbol')}"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FeedBack(Value):
    """A connection lives again after `blind_for` seconds without proof of life.

    `symbols` are those whose prices or trades it carries; None where it is the only connection.
    """

    at: float
    blind_for: float
    symbols: tuple[Symbol, ...] | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Resubscribed(Value):
    """Kraken acknowledged a symbol again, after a reconnect or because it was asked again."""

    symbol: Symbol
    channel: str
    at: float


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SymbolRefused(Value):
    """Kraken will not stream this symbol; `error` is in Kraken's words."""

    symbol: Symbol
    channel: str
    error: str
    at: float


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SymbolMute(Value):
    """The link lives, but this symbol brings no price; REST has to answer for it."""

    symbol: Symbol
    channel: str
    at: float


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SymbolDistrusted(Value):
    """An audit found that the stream lies about this symbol; `reason` is a sentence for people."""

    symbol: Symbol
    reason: str
    at: float


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SymbolTrusted(Value):
    """The stream speaks the truth about this symbol again, and its prices count."""

    symbol: Symbol
    at: float


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SystemState(Value):
    """Kraken's engine: `online`, `maintenance`, `cancel_only` or `post_only`."""

    system: str
    at: float


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FeedClosed(Value):
    """The feed was stopped; nothing follows unless somebody subscribes again."""

    at: float


Event = (
    Tick
    | Trades
    | BookUpdate
    | InstrumentUpdate
    | CandleUpdate
    | TradeGap
    | ChannelLive
    | BookWrong
    | FeedConnecting
    | FeedLive
    | FirstData
    | FeedSuspect
    | FeedStale
    | FeedBack
    | Resubscribed
    | SymbolRefused
    | SymbolMute
    | SymbolDistrusted
    | SymbolTrusted
    | SystemState
    | FeedClosed
)


@dataclass(slots=True)
class Due:
    """What the shell has to do now: frames to send in order, events to tell, a link to drop."""

    frames: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    lost: str | None = None


class Ack(NamedTuple):
    """Kraken's answer to one symbol of a subscribe or unsubscribe; refusals may name no symbol."""

    method: str
    accepted: bool
    channel: str | None
    symbol: Symbol | None
    req_id: int | None
    error: str = ""
    warnings: tuple[str, ...] = ()
    depth: int | None = None  # of a book


class RateRefusal(NamedTuple):
    """Too many messages; which of them is often not said."""

    req_id: int | None = None
    symbol: Symbol | None = None


class Status(NamedTuple):
    """The state of Kraken's engine."""

    system: str


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Pong(Value):
    """The answer to a ping."""


class NoPrice(NamedTuple):
    """A ticker whose `last` is missing, null or 0: the market has not traded within a day."""

    symbol: Symbol


class Complaint(NamedTuple):
    """An error that belongs to no subscription we could name."""

    error: str


class Damaged(NamedTuple):
    """Something that cannot be read as Kraken's protocol, and was dropped."""

    reason: str


Data = Tick | Trades | BookUpdate | InstrumentUpdate | CandleUpdate
Message = Data | Ack | RateRefusal | Status | Pong | NoPrice | Complaint | Damaged


PING = '{"method":"ping"}'


# What a channel's subscriptions are told apart by, beside the symbol, and how it is asked for.
PARAMETERS = {Channel.BOOK: "depth", Channel.OHLC: "interval"}


def subscribe_frame(
    method: str,
    channel: Channel,
    symbols: list[Symbol],
    req_id: int,
    event_trigger: str,
    param: int = 0,
) -> str:
    """Return the text of a subscribe or unsubscribe message for `symbols` of one channel.

    `param` is what `PARAMETERS` calls it; Kraken wants it back when the subscription is left.
    """
    params: dict[str, Any] = {"channel": channel.value}
    if channel is not Channel.INSTRUMENT:  # which has no symbol
        params["symbol"] = symbols
    elif method == "subscribe":
        params["include_tokenized_assets"] = True
    if channel in PARAMETERS:
        params[PARAMETERS[channel]] = param
    if method == "subscribe" and channel is Channel.TICKER:
        params |= {"event_trigger": event_trigger, "snapshot": True}
    elif method == "subscribe":
        # Old trades are asked for over REST, by their ids.
        params["snapshot"] = channel is not Channel.TRADE
    message = {"method": method, "params": params, "req_id": req_id}
    return json.dumps(message, separators=(",", ":"))
