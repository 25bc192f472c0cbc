"""Kraken's WebSocket v2 without a socket: frames in, events out; subscriptions, states, back-off.

Pure: no thread, no socket, no clock, no randomness - time and chance come in as arguments, and
what is to be sent goes out as text. It must never guess: a symbol counts as live only after its
own acknowledgement and its own data on the present connection, and a number that is not finite
and positive never becomes a price.

Sources: Kraken, spot WebSocket v2 (ticker, trade, status, heartbeat, ping) and its guides on
connecting and rate limits (read 2026-11).
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum, StrEnum, auto
from typing import Any, TypeVar

from krakenlink.numbers import to_positive_decimal
from krakenlink.pairs import Symbol as Symbol  # also for those who know the protocol alone

_NEVER = float("-inf")


class Channel(StrEnum):
    """The two channels that carry prices."""

    TICKER = "ticker"
    TRADE = "trade"


@dataclass(frozen=True, slots=True)
class FeedSettings:
    """Every number of the feed. Durations are seconds."""

    # Kraken beats once a second when there is nothing else to say; two missed beats are odd
    # enough to ask, a third second without an answer is death.
    ping_after: float = 2.0
    dead_after: float = 3.0
    # A pong comes behind everything that was sent before it, so its delay is the lag of the
    # prices. Asked now and then, and only held against servers that answer pings at all.
    lag_check_every: float = 10.0
    # Acks and snapshots take one round trip; three seconds are dozens of them.
    mute_after: float = 3.0
    # What was mute may have been Kraken's bad minute: it is left and asked for anew so often, and
    # nobody waits for it meanwhile; 0: not before the next connection.
    mute_retry_every: float = 60.0
    # A TCP and TLS handshake across the world takes under a second.
    connect_timeout: float = 5.0
    # How long a first connect may take before callers stop waiting for it: they have REST.
    connect_patience: float = 2.0
    # A subscribe message is under 2 kB: a socket that takes none for this long is dead.
    send_timeout: float = 3.0
    # The first retry at once because most drops are a proxy's restart; the last value repeats.
    retry_delays: tuple[float, ...] = (0.0, 1.0, 2.0, 5.0, 5.0, 10.0, 20.0, 30.0)
    # Each delay is shortened by up to this share, so that many clients do not come in step.
    retry_jitter: float = 0.25
    # Connections that last this long reset the delays; shorter ones are flapping.
    stable_after: float = 30.0
    # Kraken's guide: no faster than once in 5 s during maintenance.
    maintenance_delay: float = 5.0
    # The edge or Kraken said no in words (HTTP 4xx, close code 1008): asking faster is rude.
    refused_delay: float = 30.0
    # About 150 attempts in 10 minutes make Kraken's edge ban the address; its own clients stop
    # themselves at 120.
    budget_attempts: int = 120
    budget_window: float = 600.0
    # A server on this machine bans nobody; tests and the demo are not to be throttled.
    budget_on_loopback: bool = False
    # Chunks of 100 symbols, 10 messages at once and then 10 a second, are in use elsewhere.
    batch_size: int = 100
    send_burst: int = 10
    send_interval: float = 0.1
    # "Exceeded msg rate": pause, doubled at each repetition up to the maximum.
    rate_pause: float = 1.0
    rate_pause_max: float = 10.0
    # Ticker frames are 300 bytes; what is larger than this is damage or malice.
    max_message_bytes: int = 4 * 1024 * 1024
    # `trades`: the ticker speaks when `last` changes, which is the price that thresholds are
    # compared with. `bbo` sends a hundred times the frames and no other `last`; it pays only for
    # somebody who reads bid and ask.
    event_trigger: str = "trades"
    # One REST call a minute for all symbols finds a subscription that fell mute; 0: never. What
    # looks wrong is looked at again after a pause in which any delay of Kraken's is over.
    audit_every: float = 60.0
    audit_again_after: float = 5.0
    # Waking up costs more than reading: above so many messages a second, in the mean of the last
    # seconds, they are let gather for so long before they are read, for half of the processor time.
    # Below that, and with 0 seconds, nothing ever waits; who trades on every tick wants 0.
    gather_above: float = 1000.0
    gather_for: float = 0.003
    # Figures per second in `health()` are means over this window.
    rate_window: float = 10.0


# ------------------------------------------------------------------------------------- events


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

# ------------------------------------------------------------------------------------- states


class StateError(RuntimeError):
    """A signal that its state does not know: a defect here, never the network's doing."""


class FeedState(Enum):
    """The life of the link."""

    IDLE = auto()
    CONNECTING = auto()  # the first attempt: worth waiting for
    LIVE = auto()
    SUSPECT = auto()  # silent, and asked whether it lives
    WAITING = auto()  # lost; known to be down until an attempt succeeds
    RECONNECTING = auto()
    CLOSED = auto()


class FeedSignal(Enum):
    """What happens to the link."""

    ATTEMPT = auto()
    DELAY = auto()
    OPENED = auto()
    FRAME = auto()
    SILENCE = auto()
    LOST = auto()
    STOP = auto()


TRANSITIONS: dict[tuple[FeedState, FeedSignal], FeedState] = {
    (FeedState.IDLE, FeedSignal.ATTEMPT): FeedState.CONNECTING,
    (FeedState.IDLE, FeedSignal.DELAY): FeedState.WAITING,
    (FeedState.IDLE, FeedSignal.STOP): FeedState.CLOSED,
    (FeedState.CONNECTING, FeedSignal.OPENED): FeedState.LIVE,
    (FeedState.CONNECTING, FeedSignal.LOST): FeedState.WAITING,
    (FeedState.CONNECTING, FeedSignal.STOP): FeedState.CLOSED,
    (FeedState.LIVE, FeedSignal.FRAME): FeedState.LIVE,
    (FeedState.LIVE, FeedSignal.SILENCE): FeedState.SUSPECT,
    (FeedState.LIVE, FeedSignal.LOST): FeedState.WAITING,
    (FeedState.LIVE, FeedSignal.STOP): FeedState.CLOSED,
    (FeedState.SUSPECT, FeedSignal.FRAME): FeedState.LIVE,
    (FeedState.SUSPECT, FeedSignal.LOST): FeedState.WAITING,
    (FeedState.SUSPECT, FeedSignal.STOP): FeedState.CLOSED,
    (FeedState.WAITING, FeedSignal.ATTEMPT): FeedState.RECONNECTING,
    (FeedState.WAITING, FeedSignal.DELAY): FeedState.WAITING,
    (FeedState.WAITING, FeedSignal.STOP): FeedState.CLOSED,
    (FeedState.RECONNECTING, FeedSignal.OPENED): FeedState.LIVE,
    (FeedState.RECONNECTING, FeedSignal.LOST): FeedState.WAITING,
    (FeedState.RECONNECTING, FeedSignal.STOP): FeedState.CLOSED,
    (FeedState.CLOSED, FeedSignal.ATTEMPT): FeedState.CONNECTING,
    (FeedState.CLOSED, FeedSignal.DELAY): FeedState.WAITING,
    (FeedState.CLOSED, FeedSignal.STOP): FeedState.CLOSED,
}


class SubState(Enum):
    """The life of one symbol on one channel."""

    WANTED = auto()  # not asked for on this connection yet
    ASKED = auto()
    ACKED = auto()  # promised, and no data yet
    LIVE = auto()  # promised, and kept
    REFUSED = auto()  # asked for again at each reconnect, never waited for
    MUTE = auto()  # the same, and now and then in between: promised or not, no data came


class SubSignal(Enum):
    """What happens to a subscription."""

    ASK = auto()
    ACK = auto()
    DATA = auto()
    REFUSE = auto()
    RETRY = auto()
    GIVE_UP = auto()
    LOST = auto()


SUB_TRANSITIONS: dict[tuple[SubState, SubSignal], SubState] = {
    (SubState.WANTED, SubSignal.ASK): SubState.ASKED,
    (SubState.WANTED, SubSignal.ACK): SubState.ACKED,  # after a rate refusal of another message
    (SubState.WANTED, SubSignal.REFUSE): SubState.REFUSED,
    (SubState.WANTED, SubSignal.RETRY): SubState.WANTED,
    (SubState.WANTED, SubSignal.LOST): SubState.WANTED,
    (SubState.ASKED, SubSignal.ACK): SubState.ACKED,
    (SubState.ASKED, SubSignal.REFUSE): SubState.REFUSED,
    (SubState.ASKED, SubSignal.RETRY): SubState.WANTED,
    (SubState.ASKED, SubSignal.GIVE_UP): SubState.MUTE,
    (SubState.ASKED, SubSignal.LOST): SubState.WANTED,
    (SubState.ACKED, SubSignal.ACK): SubState.ACKED,
    (SubState.ACKED, SubSignal.DATA): SubState.LIVE,
    (SubState.ACKED, SubSignal.REFUSE): SubState.REFUSED,
    (SubState.ACKED, SubSignal.RETRY): SubState.WANTED,
    (SubState.ACKED, SubSignal.GIVE_UP): SubState.MUTE,
    (SubState.ACKED, SubSignal.LOST): SubState.WANTED,
    (SubState.LIVE, SubSignal.ACK): SubState.LIVE,
    (SubState.LIVE, SubSignal.DATA): SubState.LIVE,
    (SubState.LIVE, SubSignal.REFUSE): SubState.REFUSED,
    (SubState.LIVE, SubSignal.RETRY): SubState.WANTED,
    (SubState.LIVE, SubSignal.LOST): SubState.WANTED,
    # Both of these keep their state while they are asked for once more: nobody is to wait
    # again for what did not come the last time (hazard: 26 of 29 pairs waited 2 s each).
    (SubState.REFUSED, SubSignal.ASK): SubState.REFUSED,
    (SubState.REFUSED, SubSignal.ACK): SubState.ACKED,
    (SubState.REFUSED, SubSignal.REFUSE): SubState.REFUSED,
    (SubState.REFUSED, SubSignal.RETRY): SubState.REFUSED,
    (SubState.REFUSED, SubSignal.LOST): SubState.REFUSED,
    (SubState.MUTE, SubSignal.ASK): SubState.MUTE,
    (SubState.MUTE, SubSignal.ACK): SubState.MUTE,  # a promise is not enough any more
    (SubState.MUTE, SubSignal.DATA): SubState.LIVE,
    (SubState.MUTE, SubSignal.REFUSE): SubState.REFUSED,
    (SubState.MUTE, SubSignal.RETRY): SubState.MUTE,
    (SubState.MUTE, SubSignal.LOST): SubState.MUTE,
}

_HOPEFUL = frozenset({SubState.WANTED, SubState.ASKED, SubState.ACKED})
_GIVEN_UP = frozenset({SubState.REFUSED, SubState.MUTE})
_OPEN = frozenset({FeedState.LIVE, FeedState.SUSPECT})

S = TypeVar("S", bound=Enum)
G = TypeVar("G", bound=Enum)


def next_state(table: dict[tuple[S, G], S], state: S, signal: G) -> S:
    """Return where `signal` leads from `state`.

    Raises:
        StateError: If the table has no such pair.
    """
    try:
        return table[state, signal]
    except KeyError:
        raise StateError(f"{signal} does not belong in {state}") from None


# ------------------------------------------------------------------------------------- frames


@dataclass(frozen=True, slots=True)
class Ack:
    """Kraken's answer to one symbol of a subscribe or unsubscribe; refusals may name no symbol."""

    method: str
    accepted: bool
    channel: str | None
    symbol: Symbol | None
    req_id: int | None
    error: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RateRefusal:
    """Too many messages; which of them is often not said."""

    req_id: int | None = None
    symbol: Symbol | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """The state of Kraken's engine."""

    system: str


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to a ping."""


@dataclass(frozen=True, slots=True)
class NoPrice:
    """A ticker whose `last` is missing, null or 0: the market has not traded within a day."""

    symbol: Symbol


@dataclass(frozen=True, slots=True)
class Complaint:
    """An error that belongs to no subscription we could name."""

    error: str


@dataclass(frozen=True, slots=True)
class Damaged:
    """Something that cannot be read as Kraken's protocol, and was dropped."""

    reason: str


Message = Tick | Trades | Ack | RateRefusal | Status | Pong | NoPrice | Complaint | Damaged

_NUMBER = r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]{1,3}+)?+"
_TEXT = r'[^"\\\x00-\x1f]'

# The one shape that makes up nearly all traffic, read in a quarter of the time that a JSON
# decoder needs (1.3 against 5.9 microseconds). Every character is checked, so that it takes
# nothing that the decoder would not take the same way; what it does not match goes there.
_TICKER = re.compile(
    r'\{"channel":"ticker","type":"(?:snapshot|update)","data":\[\{'
    rf'"symbol":"({_TEXT}++)","bid":({_NUMBER}),"bid_qty":{_NUMBER},'
    rf'"ask":({_NUMBER}),"ask_qty":{_NUMBER},"last":({_NUMBER})'
    rf'(?:,"(?:volume|vwap|low|high|change|change_pct)":{_NUMBER})*+'
    rf'(?:,"timestamp":"({_TEXT}*+)")?\}}\]\}}'
)

# The same limits as in kraken_numbers; repeated as plain comparisons for the hot path.
_LOWEST = Decimal("1e-30")
_HIGHEST = Decimal("1e30")

_decode_json = json.JSONDecoder(parse_float=Decimal).decode


def read_tick(frame: str, at: float) -> Tick | None:
    """Return the tick in a ticker frame of the usual shape; None for every other frame.

    None says nothing about the frame: `decode_frame` reads those, odd tickers included.
    """
    match = _TICKER.fullmatch(frame)
    if match is None:
        return None
    symbol, bid, ask, last, timestamp = match.groups()
    price, bid_price, ask_price = Decimal(last), Decimal(bid), Decimal(ask)
    if not _LOWEST <= price <= _HIGHEST:
        return None
    return Tick(
        Symbol(symbol),
        price,
        # An empty side of the book shows as 0.
        bid_price if _LOWEST <= bid_price <= _HIGHEST else None,
        ask_price if _LOWEST <= ask_price <= _HIGHEST else None,
        at,
        timestamp,
    )


def decode_frame(frame: str | bytes, at: float) -> tuple[Message, ...]:
    """Return what `frame` says; nothing for heartbeats and for channels that we do not read.

    Never raises: what cannot be read is a `Damaged`.

    Args:
        frame: One whole message; bytes where it is not UTF-8.
        at: When it came.
    """
    if isinstance(frame, bytes):
        return (Damaged("not UTF-8 text"),)
    tick = read_tick(frame, at)
    if tick is not None:
        return (tick,)
    try:
        # Beside broken JSON: numbers of thousands of digits (ValueError, ArithmeticError) and
        # brackets nested by the thousand (RecursionError).
        content = _decode_json(frame)
    except (ValueError, ArithmeticError, RecursionError) as error:
        return (Damaged(f"not JSON: {type(error).__name__}"),)
    if not isinstance(content, dict):
        return (Damaged("not a JSON object"),)
    return tuple(_read_object(content, at))


def _read_object(content: dict[str, Any], at: float) -> Iterable[Message]:
    channel = content.get("channel")
    if isinstance(channel, str):
        reader = _CHANNEL_READERS.get(channel)
        return reader(content, at) if reader else ()
    method = content.get("method")
    if method in ("subscribe", "unsubscribe"):
        return (_read_answer(content),)
    if method == "pong":
        return (Pong(),)
    error = _error_text(content)
    if "Exceeded msg rate" in error:
        return (RateRefusal(_int_or_none(content.get("req_id")), _symbol(content)),)
    if error:
        return (_read_answer({**content, "method": "subscribe", "success": False}),)
    return (Damaged("neither a channel nor a method"),)


def _read_answer(content: dict[str, Any]) -> Ack | RateRefusal | Complaint:
    result = content.get("result")
    result = result if isinstance(result, dict) else {}
    error = _error_text(content)
    req_id = _int_or_none(content.get("req_id"))
    symbol = _symbol(result) or _symbol(content)
    if "Exceeded msg rate" in error:
        return RateRefusal(req_id, symbol)
    if req_id is None and symbol is None:
        return Complaint(error or "an answer that names neither a symbol nor a request")
    channel = result.get("channel")
    warnings = result.get("warnings")
    return Ack(
        method=content["method"],
        # Absent or not boolean is a failure (Kraken's SDK). A second subscribe changes nothing
        # about the first, so it is as good as an acknowledgement.
        accepted=content.get("success") is True or "Already subscribed" in error,
        channel=channel if isinstance(channel, str) else None,
        symbol=symbol,
        req_id=req_id,
        error=error,
        warnings=tuple(str(w) for w in warnings) if isinstance(warnings, list) else (),
    )


def _error_text(content: dict[str, Any]) -> str:
    error = content.get("error", content.get("Error", content.get("errorMessage")))
    return error if isinstance(error, str) else ""


def _symbol(content: dict[str, Any]) -> Symbol | None:
    symbol = content.get("symbol")
    return Symbol(symbol) if isinstance(symbol, str) and symbol else None


def _int_or_none(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _positive_or_none(value: object) -> Decimal | None:
    try:
        return to_positive_decimal(value)
    except ValueError:
        return None


def _items(content: dict[str, Any]) -> list[dict[str, Any]]:
    data = content.get("data")
    items = data if isinstance(data, list) else [data]
    return [item for item in items if isinstance(item, dict)]


def _read_status(content: dict[str, Any], at: float) -> Iterable[Message]:
    systems = [_text_or_none(item.get("system")) for item in _items(content)]
    return [Status(system) for system in systems if system]


def _read_heartbeat(content: dict[str, Any], at: float) -> Iterable[Message]:
    return ()


def _read_tickers(content: dict[str, Any], at: float) -> Iterable[Message]:
    return [_read_ticker(item, at) for item in _items(content)] or [Damaged("ticker without data")]


def _read_ticker(item: dict[str, Any], at: float) -> Message:
    symbol = _symbol(item)
    if symbol is None:
        return Damaged("ticker without a symbol")
    last = item.get("last")
    if last is None or last == 0:
        return NoPrice(symbol)
    price = _positive_or_none(last)
    if price is None:
        # Zero, negative, NaN, Infinity, 1e400: nothing that was ever traded at.
        return Damaged(f"{symbol}: last is not a price")
    return Tick(
        symbol,
        price,
        _positive_or_none(item.get("bid")),
        _positive_or_none(item.get("ask")),
        at,
        _text_or_none(item.get("timestamp")),
    )


def _read_trades(content: dict[str, Any], at: float) -> Iterable[Message]:
    prints: dict[Symbol, list[TradePrint]] = {}
    messages: list[Message] = []
    for item in _items(content):
        trade = _read_print(item)
        if isinstance(trade, TradePrint):
            prints.setdefault(trade.symbol, []).append(trade)
        else:
            messages.append(trade)
    is_snapshot = content.get("type") == "snapshot"
    messages.extend(Trades(s, tuple(group), at, is_snapshot) for s, group in prints.items())
    return messages


def _read_print(item: dict[str, Any]) -> TradePrint | Damaged:
    symbol = _symbol(item)
    price = _positive_or_none(item.get("price"))
    qty = _positive_or_none(item.get("qty"))
    trade_id = _int_or_none(item.get("trade_id"))
    if symbol is None or price is None or qty is None or trade_id is None:
        return Damaged("a trade that cannot be read")
    return TradePrint(symbol, price, qty, trade_id, _text_or_none(item.get("timestamp")))


_CHANNEL_READERS: dict[str, Callable[[dict[str, Any], float], Iterable[Message]]] = {
    "ticker": _read_tickers,
    "trade": _read_trades,
    "status": _read_status,
    "heartbeat": _read_heartbeat,
}

PING = '{"method":"ping"}'


def subscribe_frame(
    method: str, channel: Channel, symbols: list[Symbol], req_id: int, event_trigger: str
) -> str:
    """Return the text of a subscribe or unsubscribe message for `symbols` of one channel."""
    params: dict[str, Any] = {"channel": channel.value, "symbol": symbols}
    if method == "subscribe" and channel is Channel.TICKER:
        params |= {"event_trigger": event_trigger, "snapshot": True}
    elif method == "subscribe":
        params["snapshot"] = False  # old trades are asked for over REST, by their ids
    message = {"method": method, "params": params, "req_id": req_id}
    return json.dumps(message, separators=(",", ":"))


def retry_delay(settings: FeedSettings, failures: int, chance: float) -> float:
    """Return how long to wait before the next attempt.

    Args:
        settings: The delays and their jitter.
        failures: How many attempts or short connections went before, at least 1.
        chance: A random number from 0 to 1; it takes up to `retry_jitter` off the delay.
    """
    delays = settings.retry_delays
    delay = delays[min(failures, len(delays)) - 1]
    return delay * (1.0 - settings.retry_jitter * chance)


# ------------------------------------------------------------------------------ subscriptions


@dataclass(slots=True, eq=False)
class Subscription:
    """One symbol on one channel, and what is known about it on the present connection."""

    symbol: Symbol
    channel: Channel
    batch_size: int
    refs: int = 0
    state: SubState = SubState.WANTED
    req_id: int = -1
    asks: int = 0  # on this connection
    asked_at: float = _NEVER
    acked_at: float | None = None  # on this connection
    early: Tick | None = None  # data that came before its ack
    acks: int = 0  # ever
    error: str = ""
    distrusted: bool = False
    ticks: int = 0
    latest: Tick | None = None  # for people to look at, whether it counts or not
    # What a reader gets, and None at every moment at which it would not count. Kept ready at
    # write time, so that the hot read does no work; the float is what the drop-in call returns.
    proven: Tick | None = None
    price: float | None = None

    def step(self, signal: SubSignal) -> None:
        """Go where `signal` leads; only LIVE keeps what was proven."""
        self.state = next_state(SUB_TRANSITIONS, self.state, signal)
        if self.state is not SubState.LIVE:
            self.unprove()

    def prove(self, tick: Tick) -> None:
        """Let `tick` count, unless an audit found the stream to lie about this symbol."""
        self.latest = tick
        if not self.distrusted:
            self.proven = tick
            self.price = float(tick.price)  # for the drop-in call, which returns a float

    def unprove(self) -> None:
        """Let nothing count."""
        self.proven = None
        self.price = None

    @property
    def is_hopeful(self) -> bool:
        """Whether a first price may be expected soon."""
        return self.state in _HOPEFUL and not self.distrusted


@dataclass(slots=True)
class Due:
    """What the shell has to do now: frames to send in order, events to tell, a link to drop."""

    frames: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    lost: str | None = None


_Key = tuple[Channel, Symbol]


class FeedProtocol:
    """The feed's mind. Not thread-safe: the shell calls it under its lock.

    `good_until` is the moment at which every price stops counting if no frame comes before.
    """

    def __init__(self, settings: FeedSettings) -> None:
        self.settings = settings
        self.state = FeedState.IDLE
        self.good_until = _NEVER
        self.last_frame_at: float | None = None
        self.live_since: float | None = None
        self.connecting_since = _NEVER
        self.blind_since: float | None = None
        self.retry_at = _NEVER
        self.system: str | None = None
        self.failures = 0
        self.attempts = 0
        self.connections = 0
        self.messages = 0
        self.ticks = 0
        self.damaged = 0
        self.subscriptions: dict[_Key, Subscription] = {}
        self.tickers: dict[str, Subscription] = {}  # the same ones, at hand for the hot paths
        self._req_id = 0
        self._begin_connection()
        self._samples: deque[tuple[float, int, int]] = deque()

    def _begin_connection(self) -> None:
        """Forget what belongs to one connection."""
        self._to_ask: dict[_Key, Subscription] = {}
        self._to_leave: dict[_Key, Subscription] = {}
        self._left: set[_Key] = set()  # ever, so that late data of theirs prove nothing new
        self._unproven: dict[_Key, Subscription] = {}  # in the order of asking
        self._asks: dict[int, dict[Symbol, Subscription]] = {}
        self._allowance = float(self.settings.send_burst)
        self._allowance_at = _NEVER
        self._hold_until = _NEVER
        self._retry_mute_at: float | None = None  # nothing is mute
        self._rate_pause = self.settings.rate_pause
        self._pinged_at: float | None = None
        self._lag_asked_at = _NEVER
        self._has_ponged = False

    def _step(self, signal: FeedSignal) -> None:
        self.state = next_state(TRANSITIONS, self.state, signal)

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self.state in _OPEN

    # -- wanting

    def want(self, symbol: Symbol, channel: Channel) -> Subscription:
        """Add one reference to a subscription; it is asked for at the next `due`."""
        key = (channel, symbol)
        sub = self.subscriptions.get(key)
        if sub is None:
            sub = Subscription(symbol, channel, self.settings.batch_size)
            self.subscriptions[key] = sub
            self._to_ask[key] = sub
            if channel is Channel.TICKER:
                self.tickers[symbol] = sub
        sub.refs += 1
        return sub

    def unwant(self, symbol: Symbol, channel: Channel) -> bool:
        """Take one reference away; True when it was the last and the symbol is given up."""
        key = (channel, symbol)
        sub = self.subscriptions.get(key)
        if sub is None:
            return False
        sub.refs -= 1
        if sub.refs > 0:
            return False
        del self.subscriptions[key]
        if channel is Channel.TICKER:
            del self.tickers[symbol]
        sub.unprove()
        self._forget_ask(key, sub)
        if self.is_open and sub.asks:
            self._to_leave[key] = sub
            self._left.add(key)
        return True

    def ask_again(self, symbol: Symbol, channel: Channel) -> bool:
        """Leave and ask anew; nothing of it counts until the new ack and data. False: unknown."""
        key = (channel, symbol)
        sub = self.subscriptions.get(key)
        if sub is None:
            return False
        sub.step(SubSignal.RETRY)
        self._forget_ask(key, sub)
        if sub.asks and sub.state is not SubState.REFUSED:
            # Without an acknowledgement, too: it may be the answer that was lost, and to a second
            # subscribe alone Kraken would say `Already subscribed` and send no snapshot.
            self._to_leave[key] = sub
        sub.acked_at = sub.early = None
        self._to_ask[key] = sub
        return True

    def distrust(self, symbol: Symbol, reason: str, now: float) -> list[Event]:
        """Let no price of `symbol` count, whatever the stream says."""
        sub = self.tickers.get(symbol)
        if sub is None:
            return []
        sub.distrusted = True
        sub.unprove()
        return [SymbolDistrusted(symbol, reason, now)]

    def trust(self, symbol: Symbol, now: float) -> list[Event]:
        """Take `distrust` back; the last tick of a subscription that lives counts at once."""
        sub = self.tickers.get(symbol)
        if sub is None or not sub.distrusted:
            return []
        sub.distrusted = False
        if sub.state is SubState.LIVE and sub.latest is not None:
            sub.prove(sub.latest)
            return [SymbolTrusted(symbol, now), sub.latest]  # which nobody was told of meanwhile
        return [SymbolTrusted(symbol, now)]

    def _forget_ask(self, key: _Key, sub: Subscription) -> None:
        self._to_ask.pop(key, None)
        self._unproven.pop(key, None)
        self._answered(sub)

    # -- the link

    def attempt(self, now: float) -> list[Event]:
        """An attempt to connect begins."""
        self._step(FeedSignal.ATTEMPT)
        self.connecting_since = now
        self.attempts += 1
        return [FeedConnecting(now, self.failures + 1)]

    def delay(self, until: float) -> None:
        """Attempts have to wait: the budget is used up."""
        self._step(FeedSignal.DELAY)
        self.retry_at = until

    def opened(self, now: float) -> list[Event]:
        """The handshake is done, which is a first proof of life."""
        self._step(FeedSignal.OPENED)
        self._begin_connection()
        self.connections += 1
        self.live_since = self._lag_asked_at = now
        self._heard(now)
        self._to_ask = dict(self.subscriptions)
        events: list[Event] = [FeedLive(now)]
        if self.blind_since is not None:
            events.append(FeedBack(now, now - self.blind_since))
            self.blind_since = None
        return events

    def heard(self, now: float, count: int = 1) -> list[Event] | None:
        """Frames came, `count` of them. None when they came too late to prove anything.

        After a silence as long as death - the machine slept, the process was stopped - what the
        socket still holds is as old as the silence: the link has to be made anew.
        """
        if now >= self.good_until:
            return None
        self.messages += count
        if self.state is FeedState.SUSPECT:
            self._step(FeedSignal.FRAME)
            self._heard(now)
            return [FeedLive(now)]
        self._heard(now)
        return []

    def _heard(self, now: float) -> None:
        self.last_frame_at = now
        self.good_until = now + self.settings.dead_after

    def lost(
        self, now: float, reason: str, chance: float = 0.0, *, at_least: float = 0.0
    ) -> list[Event]:
        """The link is gone, or could not be made: at this moment every price stops counting.

        Args:
            now: The moment.
            reason: A sentence for people.
            chance: A random number from 0 to 1 for the jitter.
            at_least: The shortest delay that is decent after such a refusal.
        """
        since = self.last_frame_at if self.is_open else None
        self._step(FeedSignal.LOST)
        self.good_until = _NEVER
        self._end_connection(now)
        if self.system == "maintenance":
            at_least = max(at_least, self.settings.maintenance_delay)
        self.failures += 1
        self.retry_at = now + max(at_least, retry_delay(self.settings, self.failures, chance))
        if self.blind_since is not None:
            return []  # it was said already, at the first failure
        self.blind_since = now if since is None else since
        return [FeedStale(now, reason, self.blind_since)]

    def _end_connection(self, now: float) -> None:
        if self.live_since is not None and now - self.live_since >= self.settings.stable_after:
            self.failures = 0
        self.live_since = None
        for sub in self.subscriptions.values():
            sub.step(SubSignal.LOST)
            sub.acked_at = sub.early = None
            sub.asks = 0
        self._begin_connection()

    def close(self, now: float) -> list[Event]:
        """Stop, and be as new: subscriptions are given back."""
        was_closed = self.state is FeedState.CLOSED
        self._step(FeedSignal.STOP)
        self.good_until = _NEVER
        for sub in self.subscriptions.values():
            sub.unprove()
        self.subscriptions.clear()
        self.tickers.clear()
        self._begin_connection()
        self.live_since = self.last_frame_at = self.blind_since = None
        self.failures = 0
        self.retry_at = _NEVER
        return [] if was_closed else [FeedClosed(now)]

    # -- what comes in

    def receive(self, message: Message, now: float) -> list[Event]:
        """Take in one message of `decode_frame`."""
        if isinstance(message, Tick):
            return self.receive_tick(message)
        if isinstance(message, Trades):
            known = (Channel.TRADE, message.symbol) in self.subscriptions
            return [message] if known else []
        if isinstance(message, Ack):
            return self._receive_ack(message, now)
        if isinstance(message, Damaged):
            self.damaged += 1
            return []
        return self._receive_other(message, now)

    def receive_tick(self, tick: Tick) -> list[Event]:
        """Take in a price: the hot path."""
        sub = self.tickers.get(tick.symbol)
        if sub is None:
            return []  # under way while it was unsubscribed
        self.ticks += 1
        sub.ticks += 1
        if sub.state is SubState.LIVE:
            sub.prove(tick)
            return [tick] if sub.proven is tick else []
        return self._first_tick(sub, tick)

    def _first_tick(self, sub: Subscription, tick: Tick) -> list[Event]:
        sub.latest = tick
        if sub.acked_at is None:
            # Data may overtake its ack. Asked for a second time, though, it may be the rest of
            # the first stream, which is the one that was not to be trusted.
            is_first = sub.asks == 1 and (sub.channel, sub.symbol) not in self._left
            sub.early = tick if is_first else None
            return []
        sub.step(SubSignal.DATA)
        self._unproven.pop((sub.channel, sub.symbol), None)
        sub.prove(tick)
        events: list[Event] = [FirstData(sub.symbol, tick.at)]
        return [*events, tick] if sub.proven is tick else events

    def _receive_ack(self, ack: Ack, now: float) -> list[Event]:
        if ack.method == "unsubscribe":
            # Accepted or "Subscription Not Found": either way it is gone.
            return [] if ack.req_id is not None else self._ended_by_kraken(ack)
        events: list[Event] = []
        for sub in self._meant_by(ack.req_id, ack.symbol, ack.channel):
            if ack.accepted:
                events += self._acked(sub, now)
            elif ack.symbol is None and len(self._asks.get(sub.req_id, ())) > 1:
                return self._split(ack.req_id)
            else:
                events += self._refused(sub, ack.error, now)
        return events

    def _ended_by_kraken(self, ack: Ack) -> list[Event]:
        """Ask again for what Kraken says to have ended: nobody here has asked for that.

        Our own messages all carry a `req_id`, and come back with it. Should one not, asking
        again each time would go on for ever; so it is done once for each subscription.
        """
        for (channel, symbol), sub in list(self.subscriptions.items()):
            is_meant = symbol == ack.symbol and ack.channel in (None, channel)
            if ack.accepted and is_meant and sub.asks == 1 and (channel, symbol) not in self._left:
                self.ask_again(symbol, channel)
        return []

    def _meant_by(
        self, req_id: int | None, symbol: Symbol | None, channel: str | None
    ) -> list[Subscription]:
        """Return the subscriptions an answer is about: late answers to older asks mean nobody."""
        if req_id is not None and req_id in self._asks:
            asked = self._asks[req_id]
            if symbol is None:
                return list(asked.values())
            return [asked[symbol]] if symbol in asked else []
        if req_id is not None or symbol is None:
            return []
        # No req_id came back: every open ask for that symbol, narrowed by the channel if named.
        return [
            asked[symbol]
            for asked in list(self._asks.values())
            if symbol in asked and channel in (None, asked[symbol].channel)
        ]

    def _answered(self, sub: Subscription) -> None:
        asked = self._asks.get(sub.req_id)
        if asked is not None and asked.get(sub.symbol) is sub:
            del asked[sub.symbol]
            if not asked:
                del self._asks[sub.req_id]

    def _acked(self, sub: Subscription, now: float) -> list[Event]:
        self._answered(sub)
        self._to_ask.pop((sub.channel, sub.symbol), None)
        self._rate_pause = self.settings.rate_pause
        is_again = sub.acks > 0 or sub.state in _GIVEN_UP
        sub.step(SubSignal.ACK)
        sub.acked_at = now
        sub.acks += 1
        sub.error = ""
        events: list[Event] = []
        if is_again:
            events.append(Resubscribed(sub.symbol, sub.channel.value, now))
        if sub.channel is Channel.TRADE:
            # Trades come when somebody trades: there is no first data to wait for.
            self._unproven.pop((sub.channel, sub.symbol), None)
            if sub.state is SubState.MUTE:
                sub.step(SubSignal.DATA)
        elif sub.state is SubState.ACKED:
            self._unproven.setdefault((sub.channel, sub.symbol), sub)
        early, sub.early = sub.early, None
        return events + (self._first_tick(sub, early) if early is not None else [])

    def _refused(self, sub: Subscription, error: str, now: float) -> list[Event]:
        self._forget_ask((sub.channel, sub.symbol), sub)
        is_news = sub.state is not SubState.REFUSED or sub.error != error
        sub.step(SubSignal.REFUSE)
        sub.acked_at = sub.early = None
        sub.error = error or "refused without a reason"
        if not is_news:
            return []
        return [SymbolRefused(sub.symbol, sub.channel.value, sub.error, now)]

    def _split(self, req_id: int | None) -> list[Event]:
        """Ask for the symbols of a refused message in smaller ones: the bad one has to stand out.

        A refusal that names no symbol may mean one bad name among a hundred good ones.
        """
        asked = list(self._asks.get(req_id if req_id is not None else -1, {}).values())
        for sub in asked:
            sub.batch_size = max(1, len(asked) // 2)
            self._requeue(sub)
        return []

    def _requeue(self, sub: Subscription) -> None:
        self._forget_ask((sub.channel, sub.symbol), sub)
        sub.step(SubSignal.RETRY)
        self._to_ask[sub.channel, sub.symbol] = sub

    def _receive_other(self, message: Message, now: float) -> list[Event]:
        if isinstance(message, Status):
            if message.system == self.system:
                return []  # pushed about once a second, whether it changed or not
            self.system = message.system
            return [SystemState(message.system, now)]
        if isinstance(message, RateRefusal):
            self._slow_down(message, now)
        elif isinstance(message, NoPrice):
            return self._priceless(message.symbol, now)
        elif isinstance(message, Pong):
            self._pinged_at = None
            self._has_ponged = True
        return []

    def _slow_down(self, refusal: RateRefusal, now: float) -> None:
        """Pause, and ask again for just what has no answer yet."""
        if refusal.req_id is not None or refusal.symbol is not None:
            meant = self._meant_by(refusal.req_id, refusal.symbol, None)
        else:
            meant = [sub for asked in self._asks.values() for sub in asked.values()]
        for sub in meant:
            self._requeue(sub)
        self._pinged_at = None  # the refused message may have been the ping
        self._hold_until = now + self._rate_pause
        self._rate_pause = min(2 * self._rate_pause, self.settings.rate_pause_max)

    def _priceless(self, symbol: Symbol, now: float) -> list[Event]:
        """Kraken knows no last price: nothing to wait for, REST has to answer, and at once.

        A price that counts already stays: it is still the last one that was traded.
        """
        sub = self.tickers.get(symbol)
        if sub is None or sub.state is not SubState.ACKED:
            return []
        return self._give_up(sub, now)

    def _give_up(self, sub: Subscription, now: float) -> list[Event]:
        self._unproven.pop((sub.channel, sub.symbol), None)
        sub.step(SubSignal.GIVE_UP)
        self._plan_mute_retry(now)
        return [SymbolMute(sub.symbol, sub.channel.value, now)]

    def _plan_mute_retry(self, now: float) -> None:
        if self._retry_mute_at is None and self.settings.mute_retry_every > 0:
            self._retry_mute_at = now + self.settings.mute_retry_every

    # -- what falls due

    def due(self, now: float) -> Due:
        """Return what is to be done at `now`. Cheap when nothing is."""
        due = Due()
        if not self.is_open or self.last_frame_at is None:
            return due
        self._sample(now)
        self._check_life(now, due)
        if due.lost is None:
            self._check_mute(now, due)
            self._retry_mute(now)
            self._ask(now, due)
        return due

    def next_due(self, now: float) -> float:
        """Return the moment at which `due` has work again, if nothing happens before."""
        assert self.last_frame_at is not None  # there is a connection whenever this is asked
        silence = self.settings.ping_after if self.state is FeedState.LIVE else 0.0
        moments = [
            self.last_frame_at + silence if silence else self.good_until,
            self._lag_asked_at + self.settings.lag_check_every,
        ]
        if self._has_ponged and self._pinged_at is not None:
            moments.append(self._pinged_at + self.settings.dead_after)
        if self._to_ask or self._to_leave:
            moments.append(max(self._hold_until, now + self.settings.send_interval))
        first = next(iter(self._unproven.values()), None)
        if first is not None:
            moments.append(first.asked_at + self.settings.mute_after)
        if self._retry_mute_at is not None:
            moments.append(self._retry_mute_at)
        return min(moments)

    def _sample(self, now: float) -> None:
        """Keep one figure a second, so that rates can be told when somebody asks."""
        samples = self._samples
        if not samples or now - samples[-1][0] >= 1.0:
            samples.append((now, self.messages, self.ticks))
            while now - samples[0][0] > self.settings.rate_window:
                samples.popleft()

    def rates(self, now: float) -> tuple[float, float]:
        """Return messages and ticks per second over the last `rate_window` seconds."""
        window = self.settings.rate_window
        recent = [sample for sample in self._samples if now - sample[0] <= window]
        if not recent or now <= recent[0][0]:
            return 0.0, 0.0
        at, messages, ticks = recent[0]
        span = max(now - at, 1.0)
        return (self.messages - messages) / span, (self.ticks - ticks) / span

    def gathering(self, now: float) -> float:
        """Return for how many seconds messages should be gathered at the present pace."""
        settings = self.settings
        return settings.gather_for if self.rates(now)[0] >= settings.gather_above else 0.0

    def _check_life(self, now: float, due: Due) -> None:
        settings = self.settings
        assert self.last_frame_at is not None
        silent_for = now - self.last_frame_at
        if silent_for >= settings.dead_after:
            due.lost = f"no frame for {silent_for:.1f} s"
        elif self._is_lagging(now):
            due.lost = f"frames come more than {settings.dead_after:g} s late"
        elif self.state is FeedState.LIVE and silent_for >= settings.ping_after:
            self._step(FeedSignal.SILENCE)
            self._ping(now, due)
            due.events.append(FeedSuspect(now, silent_for))
        elif now - self._lag_asked_at >= settings.lag_check_every:
            self._ping(now, due)

    def _is_lagging(self, now: float) -> bool:
        return (
            self._has_ponged
            and self._pinged_at is not None
            and now - self._pinged_at >= self.settings.dead_after
        )

    def _ping(self, now: float, due: Due) -> None:
        self._lag_asked_at = now
        if self._pinged_at is None:
            self._pinged_at = now
        due.frames.append(PING)

    def _check_mute(self, now: float, due: Due) -> None:
        deadline = now - self.settings.mute_after
        while self._unproven:
            sub = next(iter(self._unproven.values()))
            if sub.asked_at > deadline:
                return
            if sub.asks < 2:
                self.ask_again(sub.symbol, sub.channel)
            else:
                self._answered(sub)
                due.events += self._give_up(sub, now)

    def _retry_mute(self, now: float) -> None:
        if self._retry_mute_at is None or now < self._retry_mute_at:
            return
        self._retry_mute_at = None
        for (channel, symbol), sub in self.subscriptions.items():
            if sub.state is SubState.MUTE:
                self.ask_again(symbol, channel)

    def _ask(self, now: float, due: Due) -> None:
        if now < self._hold_until or not (self._to_ask or self._to_leave):
            return
        settings = self.settings
        earned = (now - self._allowance_at) / settings.send_interval
        self._allowance = min(float(settings.send_burst), self._allowance + earned)
        self._allowance_at = now
        while self._allowance >= 1.0 and (self._to_leave or self._to_ask):
            self._allowance -= 1.0
            due.frames.append(self._leave_frame() if self._to_leave else self._ask_frame(now))

    def _leave_frame(self) -> str:
        """Leaving goes first: what is asked anew must not be left afterwards."""
        batch = _take_batch(self._to_leave, self.settings.batch_size)
        return self._frame("unsubscribe", batch)

    def _ask_frame(self, now: float) -> str:
        batch = _take_batch(self._to_ask, self.settings.batch_size)
        text = self._frame("subscribe", batch)
        self._asks[self._req_id] = {sub.symbol: sub for sub in batch}
        for sub in batch:
            sub.req_id = self._req_id
            sub.step(SubSignal.ASK)
            sub.asks += 1
            sub.asked_at = now
            sub.early = None  # what came so far belongs to an earlier ask
            if sub.state is SubState.ASKED:
                self._unproven[sub.channel, sub.symbol] = sub
            elif sub.state is SubState.MUTE:
                self._plan_mute_retry(now)
        return text

    def _frame(self, method: str, batch: list[Subscription]) -> str:
        self._req_id += 1
        symbols = [sub.symbol for sub in batch]
        trigger = self.settings.event_trigger
        return subscribe_frame(method, batch[0].channel, symbols, self._req_id, trigger)

    # -- what callers want to know

    def patience(self, sub: Subscription, now: float) -> float:
        """Return for how many seconds a first price of `sub` is worth waiting; 0 for not at all."""
        if not sub.is_hopeful:
            return 0.0
        if self.state is FeedState.CONNECTING:
            return max(0.0, self.connecting_since + self.settings.connect_patience - now)
        if self.state in (FeedState.IDLE, FeedState.CLOSED):  # the thread is about to begin
            return self.settings.connect_patience
        return max(0.0, self.good_until - now) if self.is_open else 0.0


def _take_batch(waiting: dict[_Key, Subscription], most: int) -> list[Subscription]:
    """Take the next subscriptions that fit into one message: one channel, and not too many."""
    first = next(iter(waiting.values()))
    batch: list[Subscription] = []
    for sub in list(waiting.values()):
        most = min(most, sub.batch_size)
        if len(batch) >= most:
            break
        if sub.channel is first.channel:
            batch.append(sub)
    for sub in batch:
        del waiting[sub.channel, sub.symbol]
    return batch
