"""Who listens to the feed: a queue of events for each, and a line in the log for the transitions.

It must never let a listener slow the feed: no foreign code runs on its thread, and nothing here
waits for anybody.
"""

from __future__ import annotations

import logging
import re
import weakref
from collections.abc import Callable, Iterable, Sequence
from queue import Empty, SimpleQueue
from typing import Any

from krakenlink.once import Once
from krakenlink.stream.events import (
    BookUpdate,
    BookWrong,
    CandleUpdate,
    Channel,
    ChannelLive,
    Event,
    FeedBack,
    FeedClosed,
    FeedConnecting,
    FeedLive,
    FeedStale,
    FeedSuspect,
    FirstData,
    InstrumentUpdate,
    Resubscribed,
    SymbolDistrusted,
    SymbolMute,
    SymbolRefused,
    SymbolTrusted,
    SystemState,
    Tick,
    TradeGap,
    Trades,
)

logger = logging.getLogger(__name__)


# So many events that wait are nobody's haste any more.
_FAR_BEHIND = 100_000

# Which events are data, and of which channel: a reader may leave them out, the log does.
_CHANNEL_OF: dict[type[Any], Channel] = {
    Tick: Channel.TICKER,
    Trades: Channel.TRADE,
    BookUpdate: Channel.BOOK,
    InstrumentUpdate: Channel.INSTRUMENT,
    CandleUpdate: Channel.OHLC,
    TradeGap: Channel.TRADE,
}
_DATA = frozenset(_CHANNEL_OF)


class FeedReader:
    """One listener's own queue of events. Any thread may read it; it never slows the feed.

    The queue has no bound, because trades must not be dropped: somebody who falls behind looks
    at `backlog` and decides. A reader that is no longer referenced is forgotten by the feed.

    Args:
        clock: The feed's.
        forget: Takes this reader off the feed.
        symbols: Leave out events of other symbols; None for all. A text is one name.
        channels: Leave out the data of other channels; None for all. A text is one name.
        sink: The queue to put events in; None for one of its own.

    Raises:
        ValueError: If there is no such channel.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        forget: Callable[[FeedReader], None],
        symbols: Iterable[str] | None,
        channels: Iterable[str] | None,
        sink: SimpleQueue[Any] | None = None,
    ) -> None:
        self._clock = clock
        self._forget = forget
        self._symbols = _each(symbols)
        # One that is misspelt would be a reader that hears nothing, and nobody would know why.
        wanted = frozenset(map(Channel, Channel if channels is None else _each(channels) or ()))
        self._unwanted = frozenset(k for k, channel in _CHANNEL_OF.items() if channel not in wanted)
        self._queue: SimpleQueue[Any] = SimpleQueue() if sink is None else sink
        self.is_told = False  # that nobody reads it

    def get(self, timeout: float | None = None) -> Event | None:
        """Return the next event; None if none comes within `timeout` seconds (None: for ever).

        After `close` or the provider's `stop` the last event is a `FeedClosed`.
        """
        try:
            event: Event = self._queue.get(timeout is None or timeout > 0, timeout)
        except Empty:
            return None
        return event

    @property
    def backlog(self) -> int:
        """How many events wait to be read."""
        return self._queue.qsize()

    def close(self) -> None:
        """Stop listening, and wake whoever waits in `get`. From anywhere, a finalizer too."""
        self._forget(self)
        self._queue.put(FeedClosed(self._clock()))

    def forgetting(self) -> Callable[[], None]:
        """Return what takes this reader off the feed, and does not keep it."""
        me, forget = weakref.ref(self), self._forget

        def work() -> None:
            reader = me()
            if reader is not None:
                forget(reader)

        return work

    def offer(self, events: Iterable[Event]) -> None:
        """Put into the queue those of `events` of which its owner wants the kind. For the feed."""
        put, symbols, unwanted = self._queue.put, self._symbols, self._unwanted
        if symbols is None and not unwanted:
            for event in events:
                put(event)
            return
        for event in events:
            if type(event) in unwanted:
                continue
            symbol = getattr(event, "symbol", None)
            if symbols is None or symbol is None or symbol in symbols:
                put(event)


def _each(names: Iterable[str] | None) -> frozenset[str] | None:
    """Return names as a set; a text would fall into its letters, and is meant as one name."""
    return frozenset((names,) if isinstance(names, str) else names) if names is not None else None


class Readers:
    """The readers of one feed, each held weakly.

    `add`, `forget` and `clear` are called under the feed's lock. `offer` and `publish` are called
    without it, and take the readers as they are then: the tuple is replaced, never changed.
    """

    def __init__(self) -> None:
        self._readers: tuple[weakref.ref[FeedReader], ...] = ()
        self._complaints = _Complaints()

    def __len__(self) -> int:
        return len(self._readers)

    @property
    def refs(self) -> tuple[weakref.ref[FeedReader], ...]:
        """Those who are or were there."""
        return self._readers

    def add(self, reader: FeedReader) -> None:
        """Let `reader` have events from now on."""
        alive = [ref for ref in self._readers if ref() is not None]
        self._readers = (*alive, weakref.ref(reader))

    def forget(self, reader: FeedReader) -> None:
        """Let `reader` have no more."""
        self._readers = tuple(ref for ref in self._readers if ref() not in (reader, None))

    def clear(self) -> None:
        """Let nobody have any more."""
        self._readers = ()

    def offer(self, events: Sequence[Event]) -> None:
        """Put events into the readers' queues alone: enough for mere prices, which no log needs."""
        for ref in self._readers:
            reader = ref()
            if reader is not None:
                reader.offer(events)

    def publish(self, events: Sequence[Event]) -> None:
        """Put events into the readers' queues, and all but prices into the log."""
        self.offer(events)
        if not _DATA.issuperset(map(type, events)):
            for event in events:
                if type(event) not in _DATA:
                    self._log(event)

    def _log(self, event: Event) -> None:
        described = _LOG.get(type(event))
        if described is not None:
            level, text, names = described
            level = self._complaints.level(event, level)
            if type(event) is FeedClosed:
                self._complaints = _Complaints()
            logger.log(level, text, *(getattr(event, name) for name in names))


# What is about a connection and not about a symbol.
_OF_LINK = frozenset(
    {FeedConnecting, FeedLive, FeedSuspect, FeedStale, FeedBack, FeedClosed, SystemState}
)


def too_far_behind(readers: Readers, most: int = _FAR_BEHIND) -> list[int]:
    """Return the backlogs of those who read nothing, each reader once in its life."""
    found = []
    for ref in readers.refs:
        reader = ref()
        if reader is not None and not reader.is_told and reader.backlog >= most:
            reader.is_told = True
            found.append(reader.backlog)
    return found


class RelayedReaders(Readers):
    """The readers of another feed, as one has them that carries some of its symbols.

    What it says of its own connection is its own affair.

    Args:
        readers: Those who listen to the other feed.
    """

    def __init__(self, readers: Readers) -> None:
        super().__init__()
        self._others = readers

    def offer(self, events: Sequence[Event]) -> None:
        """Tell the other feed's readers of mere prices."""
        self._others.offer(events)

    def publish(self, events: Sequence[Event]) -> None:
        """Tell the other feed's readers what is about symbols."""
        # With symbols it is about them, and not about the connection alone.
        self._others.publish(
            [x for x in events if type(x) not in _OF_LINK or getattr(x, "symbols", None)]
        )


# Of what channel such an event complains where it does not say so, and with which words.
_COMPLAINTS: dict[type[Any], tuple[Channel, str]] = {
    BookWrong: (Channel.BOOK, "reason"),
    SymbolDistrusted: (Channel.TICKER, "reason"),
    SymbolMute: (Channel.TICKER, ""),
    SymbolRefused: (Channel.TICKER, "error"),
}
# Which complaints are over with such an event.
_ENDED: dict[type[Any], tuple[type[Any], ...]] = {
    ChannelLive: (BookWrong, SymbolMute, SymbolRefused),
    FirstData: (SymbolMute, SymbolRefused),
    SymbolTrusted: (SymbolDistrusted,),
}
# Seconds without a complaint after which the next one has nothing to do with the last.
_HOLDS = 60.0
# Sums and prices differ each time, where the matter is the same.
_FIGURES = re.compile(r"[0-9][0-9.,]*")


class _Complaints:
    """What the log has said of symbols, so that what stays wrong is not said for ever.

    A complaint is said once until it is over. One that comes back within a minute of that is said
    once more; when it goes on like this, it is no warning any more until there is peace for a
    minute. Safe from any thread.
    """

    def __init__(self) -> None:
        self._said = Once()
        self._ended_at: dict[tuple[object, ...], float] = {}
        self._come_back: set[tuple[object, ...]] = set()

    def level(self, event: Any, level: int) -> int:
        """Return the level at which `event` is logged: `level`, unless it was said before."""
        kind = type(event)
        if kind in _ENDED:
            channel = Channel(getattr(event, "channel", Channel.TICKER))
            for complaint in _ENDED[kind]:
                about = complaint, event.symbol, channel
                if about in self._said:
                    self._ended_at.setdefault(about, event.at)
        elif kind in _COMPLAINTS:
            return self._level_of_complaint(event, level)
        return level

    def _level_of_complaint(self, event: Any, level: int) -> int:
        kind = type(event)
        channel, words = _COMPLAINTS[kind]
        about = kind, event.symbol, Channel(getattr(event, "channel", channel))
        said = _FIGURES.sub("", getattr(event, words)) if words else ""
        ended_at = self._ended_at.pop(about, None)
        if ended_at is not None and event.at - ended_at >= _HOLDS:
            self._said.has_healed(about)
            self._come_back.discard(about)
        elif ended_at is not None:
            self._come_back.add(about)
        if self._said.is_news(about, (said, about in self._come_back)):
            return level
        # That it was over may have been told at this level.
        return logging.DEBUG if ended_at is None else logging.INFO


# The transition is logged, not every price.
_LOG: dict[type[Any], tuple[int, str, tuple[str, ...]]] = {
    FeedConnecting: (logging.DEBUG, "Connecting to the price stream, attempt %d", ("attempt",)),
    FeedLive: (logging.DEBUG, "The price stream is alive", ()),
    FeedSuspect: (logging.DEBUG, "No frame for %.1f s; asking", ("silent_for",)),
    FeedStale: (
        logging.WARNING,
        "Blind: %s. No streamed price%s counts until it is back",
        ("reason", "scope"),
    ),
    FeedBack: (logging.INFO, "The price stream is back after %.1f s", ("blind_for",)),
    FirstData: (logging.INFO, "%s is live", ("symbol",)),
    ChannelLive: (logging.INFO, "%s (%s) is live", ("symbol", "channel")),
    BookWrong: (
        logging.WARNING,
        "%s: the streamed book is dropped (%s) and asked for anew; until then REST tells it",
        ("symbol", "reason"),
    ),
    Resubscribed: (logging.DEBUG, "%s (%s) is subscribed again", ("symbol", "channel")),
    SymbolRefused: (
        logging.WARNING,
        "Kraken does not stream %s (%s): %s. REST tells it instead",
        ("symbol", "channel", "error"),
    ),
    SymbolDistrusted: (logging.WARNING, "%s", ("reason",)),
    SymbolTrusted: (logging.INFO, "%s: the stream speaks again and counts", ("symbol",)),
    SymbolMute: (
        logging.WARNING,
        "%s (%s) is subscribed and silent. REST tells it until it speaks",
        ("symbol", "channel"),
    ),
    SystemState: (logging.INFO, "Kraken's engine is %s", ("system",)),
    FeedClosed: (logging.INFO, "The price stream is closed", ()),
}
