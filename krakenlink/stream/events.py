"""What the feed tells: prices, trades, and what becomes of the link and of each symbol.

Pure and frozen: one event goes to many threads. None is told that has not happened; a price that
is not proven is never a `Tick` for anybody outside.

Source: Kraken, spot WebSocket v2, ticker, trade and status channels (read 2026-11).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from krakenlink.pairs import Symbol


class Channel(StrEnum):
    """The two channels that carry prices."""

    TICKER = "ticker"
    TRADE = "trade"


@dataclass(frozen=True, slots=True)
class Tick:
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


@dataclass(frozen=True, slots=True)
class TradePrint:
    """One executed trade; `trade_id` counts up by one per market."""

    symbol: Symbol
    price: Decimal
    qty: Decimal
    trade_id: int
    timestamp: str | None = None


@dataclass(frozen=True, slots=True)
class Trades:
    """The trades of one market that came in one frame, in Kraken's order."""

    symbol: Symbol
    prints: tuple[TradePrint, ...]
    at: float
    is_snapshot: bool = False


@dataclass(frozen=True, slots=True)
class FeedConnecting:
    """A connection is being made; `attempt` counts from 1 and starts anew once it is stable."""

    at: float
    attempt: int


@dataclass(frozen=True, slots=True)
class FeedLive:
    """The connection is open, or speaks again after it was suspected."""

    at: float


@dataclass(frozen=True, slots=True)
class FirstData:
    """The first price of a symbol on this connection: from now on it counts."""

    symbol: Symbol
    at: float


@dataclass(frozen=True, slots=True)
class FeedSuspect:
    """No frame for `silent_for` seconds; a ping is under way."""

    at: float
    silent_for: float


@dataclass(frozen=True, slots=True)
class FeedStale:
    """The link is lost and no price counts any more; `since` is the last proof of life."""

    at: float
    reason: str
    since: float


@dataclass(frozen=True, slots=True)
class FeedBack:
    """The link lives again after `blind_for` seconds without proof of life."""

    at: float
    blind_for: float


@dataclass(frozen=True, slots=True)
class Resubscribed:
    """Kraken acknowledged a symbol again, after a reconnect or because it was asked again."""

    symbol: Symbol
    channel: str
    at: float


@dataclass(frozen=True, slots=True)
class SymbolRefused:
    """Kraken will not stream this symbol; `error` is in Kraken's words."""

    symbol: Symbol
    channel: str
    error: str
    at: float


@dataclass(frozen=True, slots=True)
class SymbolMute:
    """The link lives, but this symbol brings no price; REST has to answer for it."""

    symbol: Symbol
    channel: str
    at: float


@dataclass(frozen=True, slots=True)
class SymbolDistrusted:
    """An audit found that the stream lies about this symbol; `reason` is a sentence for people."""

    symbol: Symbol
    reason: str
    at: float


@dataclass(frozen=True, slots=True)
class SymbolTrusted:
    """The stream speaks the truth about this symbol again, and its prices count."""

    symbol: Symbol
    at: float


@dataclass(frozen=True, slots=True)
class SystemState:
    """Kraken's engine: `online`, `maintenance`, `cancel_only` or `post_only`."""

    system: str
    at: float


@dataclass(frozen=True, slots=True)
class FeedClosed:
    """The feed was stopped; nothing follows unless somebody subscribes again."""

    at: float


Event = (
    Tick
    | Trades
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
