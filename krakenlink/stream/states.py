"""The two tables of the feed: the life of the link, and the life of a subscription, which is here.

Pure. A pair of state and signal that is not in its table is a defect here and raises; nothing may
slide into a state in which a price would count.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, TypeVar

from krakenlink.known_names import DEPTHS
from krakenlink.pairs import Symbol
from krakenlink.stream.events import Channel, Tick


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
    (
        SubState.LIVE,
        SubSignal.GIVE_UP,
    ): SubState.MUTE,  # a book whose sums are wrong again and again
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


_NEVER = float("-inf")
Key = tuple[Channel, Symbol] | tuple[Channel, Symbol, int]
MOST_DEPTH = DEPTHS[-1]


def key_of(channel: Channel, symbol: Symbol, param: int = 0) -> Key:
    """Return what tells a subscription from every other one; a book's depth does not."""
    return (channel, symbol, param) if channel is Channel.OHLC else (channel, symbol)


_ON_TAPES = frozenset({Channel.TRADE, Channel.OHLC})
_HOPEFUL = frozenset({SubState.WANTED, SubState.ASKED, SubState.ACKED})


@dataclass(slots=True, eq=False)
class Subscription:
    """One symbol on one channel, and what is known about it on the present connection."""

    symbol: Symbol
    channel: Channel
    batch_size: int
    key: Key = field(init=False)  # what tells it from every other one
    refs: int = 0
    state: SubState = SubState.WANTED
    req_id: int = -1
    asks: int = 0  # on this connection
    asked_at: float = _NEVER
    acked_at: float | None = None  # on this connection
    early: Any = None  # data that came before its ack: a Tick, or a Book
    acks: int = 0  # ever
    error: str = ""
    distrusted: bool = False
    ticks: int = 0
    latest: Tick | None = None  # for people to look at, whether it counts or not
    # What a reader gets, and None at every moment at which it would not count. Kept ready at
    # write time, so that the hot read does no work; the float is what the drop-in call returns.
    proven: Tick | None = None
    price: float | None = None
    # The same for other channels than prices: what they are asked for with, such as a book's
    # depth, with what they were asked for last, and what their data have come to.
    param: int = 0
    asked_param: int = 0
    good_param: int = 0  # with which Kraken took it last
    most_param: int = MOST_DEPTH  # that Kraken is known not to refuse
    content: Any = None
    is_looked_at: bool = False  # whether somebody has ever looked at what came before
    wrongs: int = 0  # how often in a row it came to nothing, and when that was last
    wrong_at: float = _NEVER
    # On its way here from another connection: nobody is told of it yet, and `refs` are what has
    # been added to those that it has there.
    is_arriving: bool = False
    heard_at: float = _NEVER  # when trades or candles came last
    told: Any = None  # the last Tape that counted, though it may count no more

    def __post_init__(self) -> None:
        self.key = key_of(self.channel, self.symbol, self.param)

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
            # For the drop-in call, which returns a float. Made anew each time, even of an equal
            # price: readers take no lock, and see by it that nothing has happened in between.
            self.price = float(tick.price)

    def unprove(self) -> None:
        """Let nothing count."""
        self.proven = None
        self.price = None
        if self.channel in _ON_TAPES and self.content is not None:
            self.told = self.content
        self.content = None

    @property
    def is_written_down(self) -> bool:
        """Whether its tape is kept from the start: for those who look back, or for a move.

        Candles are few, and one that has changed while it moved is told by what it was before.
        """
        return self.is_looked_at or self.is_arriving or self.channel is Channel.OHLC

    @property
    def is_hopeful(self) -> bool:
        """Whether a first price may be expected soon."""
        return self.state in _HOPEFUL and not self.distrusted
