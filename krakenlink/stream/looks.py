"""What a provider shows of its feed: price and book of a symbol, and the wait for a first one.

A part of `ws_price_provider`, which says how it is subscribed to and stopped. Each read checks the
proof itself, after it has taken what it shows: a delay in between makes things older, never
younger. It must never show what is not proven at this moment, nor work under the lock what can be
worked out after it.

Source: Kraken, spot WebSocket v2 (ticker, book) (read 2026-11).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from krakenlink import stream
from krakenlink.known_names import DEPTHS
from krakenlink.pairs import Symbol
from krakenlink.stream.events import EVERY, Channel, Tick
from krakenlink.stream.feed import FeedProtocol
from krakenlink.stream.health import FeedHealth, Proofs
from krakenlink.stream.link import Link
from krakenlink.stream.pool import Pool
from krakenlink.stream.reader import FeedReader
from krakenlink.stream.runner import FeedThread
from krakenlink.stream.states import Key, Subscription, key_of
from krakenlink.stream.subscriptions import Subscriptions
from krakenlink.stream.tapes import INTERVALS, Tape, checked_interval

if TYPE_CHECKING:  # books with the first subscription to one, by `checked_param` or `Wants`
    from krakenlink.stream.book import Book, Places
    from krakenlink.stream.instruments import Instruments

T = TypeVar("T")
_TICKER = Channel.TICKER  # at hand: an enumeration looks its members up anew each time


def checked_param(channel: Channel, depth: int | None = None, interval: int | None = None) -> int:
    """Return what a channel is asked for with, beside its symbol; 0 where there is nothing.

    Raises:
        ValueError: If it is none of Kraken's, or does not belong to that channel.
    """
    if depth is not None and channel is not Channel.BOOK:
        raise ValueError(f"the channel {channel} has no depth")
    if interval is not None and channel is not Channel.OHLC:
        raise ValueError(f"the channel {channel} has no interval")
    if channel is Channel.BOOK:
        from krakenlink.stream.book import checked_depth

        return checked_depth(DEPTHS[0] if depth is None else depth)
    if channel is Channel.OHLC:
        return checked_interval(INTERVALS[0] if interval is None else interval)
    return 0


class Looks(Proofs):
    """Reads of one feed. Safe from any thread; none but the waits ever blocks."""

    feed_thread: FeedThread
    _clock: Callable[[], float]
    _lock: threading.Lock
    _changed: threading.Condition
    _feed: FeedProtocol
    _link: Link
    _subscriptions: Subscriptions
    pool: Pool  # the other connections for the same
    home: Pool  # and what it belongs to itself
    stops: int  # guarded by the feed's lock
    proof_lasts: float
    pace: float = 0.0  # frames a second, as its thread saw them last

    @property
    def beside(self) -> Looks | None:
        """What carries what is too large for the connection of prices."""
        return self.pool.beside

    def want(self, symbol: str, wanted: Channel, param: int) -> int | None:
        """Add a reference on this very connection. Returns at once.

        Returns:
            How often all was given back before; None, and nothing is done, where another connection
            carries it by now.
        """
        raise NotImplementedError

    def expect(self, symbol: str, wanted: Channel, param: int) -> None:
        """Ask for what another connection still carries. Returns at once."""
        raise NotImplementedError

    def _unwant_locked(
        self, symbol: Symbol, channel: Channel, param: int = 0, of: int | None = None
    ) -> None:
        raise NotImplementedError

    def price_reader(self, symbol: str) -> Callable[[], float | None]:
        """Return a function that returns the price of `symbol` if it is proven now."""
        raise NotImplementedError

    def health(self) -> FeedHealth:
        """Return the feed's figures at this moment."""
        raise NotImplementedError

    def stop(self, timeout: float = 1.0) -> None:
        """Come to an end, in so many seconds at most."""
        raise NotImplementedError

    def _check_fork(self) -> None:
        raise NotImplementedError

    @property
    def connected(self) -> bool:
        """Whether the link is alive at this moment."""
        with self._lock:
            return self._link.is_open and self._clock() < self._link.good_until

    def proven(self, symbol: str) -> tuple[Tick, float] | None:
        """Return the tick of `symbol` that is proven now and the seconds since its proof.

        Both of one moment: the proof of a later tick is none for an earlier one. None where
        nothing is proven. Never blocks.
        """
        key: Key = (_TICKER, symbol)  # type: ignore[assignment]  # as it is typed; made with no call
        carrier = self.home.carrier(key)
        found = carrier._own_tick(key)
        if found is None and self.home.carrier(key) is not carrier:  # it has just moved
            return self._carried(key, lambda carrier: carrier._own_tick(key))
        return found

    def _price_elsewhere(self, symbol: Symbol) -> float | None:
        """Return the price that another connection proves, where one carries it by now."""
        if self.home.carrier(key_of(Channel.TICKER, symbol)) is not self:
            found = self.proven(symbol)
            return None if found is None else float(found[0].price)
        self.feed_thread.revive()
        return None

    def _carried(self, key: Key, look: Callable[[Looks], T | None]) -> T | None:
        """Return what the connection shows that carries a subscription, wherever it moves."""
        carrier = self.home.carrier(key)
        found = look(carrier)
        while found is None and (then := self.home.carrier(key)) is not carrier:
            carrier = then
            found = look(carrier)
        return found

    def _own_tick(self, key: Key) -> tuple[Tick, float] | None:
        with self._lock:
            sub = self._subscriptions.by_key.get(key)
            tick = None if sub is None else sub.proven
            good_until, proven_at = self._link.good_until, self._link.last_frame_at
        if sub is None:
            return None
        now = self._clock()  # last: a delay in between makes the proof older, never younger
        if tick is None or proven_at is None or now >= good_until:
            self.feed_thread.revive()
            return None
        return tick, max(0.0, now - proven_at)

    def wait_for_tick(self, symbol: str, timeout: float) -> Tick | None:
        """Return a proven tick, waiting up to `timeout` seconds for a first one.

        Returns None at once where none can be expected: not subscribed, refused, mute, the
        stream known to be down, websocket-client missing.
        """
        key = key_of(Channel.TICKER, Symbol(symbol))
        return self._await_carried(key, lambda sub: sub.proven, timeout)

    def _await_carried(
        self, key: Key, look: Callable[[Subscription], T | None], timeout: float
    ) -> T | None:
        """Wait while something may come for a subscription, wherever it moves."""
        deadline = time.monotonic() + timeout
        while True:
            carrier = self.home.carrier(key)
            seen = carrier._awaited(key, look, max(0.0, deadline - time.monotonic()))
            if seen is not None or self.home.carrier(key) is carrier:
                return seen

    def order_book(self, symbol: str, depth: int = 10) -> stream.OrderBook | None:
        """Return the streamed book of `symbol`, if it is proven now. Never blocks.

        Proven means: confirmed by Kraken's checksum at its last change, on a link that lives. None
        as well where it is not subscribed to that deep.

        Args:
            symbol: A v2 symbol whose `book` is subscribed to.
            depth: How many levels of each side to show.
        """
        key = key_of(Channel.BOOK, Symbol(symbol))
        return self._carried(key, lambda carrier: carrier._own_book(key, depth))

    def _own_book(self, key: Key, depth: int) -> stream.OrderBook | None:
        with self._lock:
            sub = self._subscriptions.by_key.get(key)
            book: Book | None = sub.content if sub is not None else None
            shown = book.texts(depth) if book is not None and book.depth >= depth else None
            good_until, proven_at = self._link.good_until, self._link.last_frame_at
        now = self._clock()
        if shown is None or proven_at is None or now >= good_until:
            self.feed_thread.revive()
            return None
        age = max(0.0, now - proven_at)
        from krakenlink.stream.book import OrderBook

        return OrderBook(
            key[1], shown.bids, shown.asks, depth, "websocket", now, age, shown.timestamp
        )

    def wait_for_book(self, symbol: str, depth: int, timeout: float) -> stream.OrderBook | None:
        """Return a proven book, waiting up to `timeout` seconds; see `wait_for_tick`."""

        def deep_enough(sub: Subscription) -> Book | None:
            book: Book | None = sub.content
            return book if book is not None and book.depth >= depth else None

        self._await_carried(key_of(Channel.BOOK, Symbol(symbol)), deep_enough, timeout)
        return self.order_book(symbol, depth)

    def tape(
        self, symbol: str, channel: str, interval: int = 0
    ) -> tuple[Tape[Any], dict[int, Any], float] | None:
        """Return what has come on a channel since its acknowledgement, where that is proven now.

        Never blocks.

        Args:
            symbol: A v2 symbol whose channel is subscribed to.
            channel: `trade` or `ohlc`.
            interval: Of the candles.

        Returns:
            The tape, which is another after each acknowledgement, what has come on it since
            somebody looked first by its place (the number of a trade, the moment at which a candle
            begins), and the seconds since the proof that this is all.
        """
        key = key_of(Channel(channel), Symbol(symbol), interval)
        return self._carried(key, lambda carrier: carrier._own_tape(key))

    def _own_tape(self, key: Key) -> tuple[Tape[Any], dict[int, Any], float] | None:
        with self._lock:
            sub = self._subscriptions.by_key.get(key)
            tape = None if sub is None else _looked_at(sub)
            items = {} if tape is None else dict(tape.items)
            good_until, proven_at = self._link.good_until, self._link.last_frame_at
        now = self._clock()
        if tape is None or proven_at is None or now >= good_until:
            self.feed_thread.revive()
            return None
        return tape, items, max(0.0, now - proven_at)

    def wait_for_tape(self, symbol: str, channel: str, interval: int, timeout: float) -> bool:
        """Wait up to `timeout` seconds for the acknowledgement; tell whether it is there."""
        key = key_of(Channel(channel), Symbol(symbol), interval)
        return self._await_carried(key, _looked_at, timeout) is not None

    def open_feed(
        self,
        symbols: Iterable[str] | None = None,
        channels: Iterable[str] | None = None,
        *,
        sink: SimpleQueue[Any] | None = None,
    ) -> FeedReader:
        """Return a new reader of events from now on."""
        raise NotImplementedError

    def events(
        self, symbols: Iterable[str] | None = None, channels: Iterable[str] | None = None
    ) -> stream.EventStream:
        """Return the events from now on for a coroutine: `async for event in provider.events()`.

        Nothing of it blocks the event loop, and no connection is made for it. Events wait for the
        coroutine, up to 100,000: then it hears no more, and its next read raises a KrakenError.

        Args:
            symbols: As for `open_feed`.
            channels: As for `open_feed`.

        Raises:
            ValueError: If there is no such channel.
        """
        from krakenlink.stream.aio import EventStream  # here, for who is a coroutine

        return EventStream(lambda sink: self.open_feed(symbols, channels, sink=sink))

    def instrument(self, symbol: str) -> stream.Instrument | None:
        """Return what Kraken says of a pair now, if it is proven. Never blocks.

        The `instrument` channel has to be subscribed to, which a connection of its own carries.
        """
        found = self.proven_instrument(symbol)
        return None if found is None else found[0]

    def proven_instrument(self, symbol: str) -> tuple[stream.Instrument, float] | None:
        """Return the same with the seconds since its proof."""
        return self._told(lambda known: known.pairs.get(symbol))

    def instruments(self) -> dict[str, stream.Instrument]:
        """Return all pairs by symbol as Kraken says they are now; empty where nothing is proven."""
        found = self._told(lambda known: known.pairs.copy())
        return {} if found is None else found[0]

    def assets(self) -> dict[str, stream.Asset]:
        """Return all assets by name, likewise."""
        found = self._told(lambda known: known.assets.copy())
        return {} if found is None else found[0]

    def _told(self, look: Callable[[Instruments], T | None]) -> tuple[T, float] | None:
        """Return what is seen of all pairs, if it is proven now, and the seconds since its proof.

        As young as a price would have to be, on a patient link too.
        """
        if self.beside is not None:
            return self.beside._told(look)
        with self._lock:
            known = self._instruments()
            found = None if known is None else look(known)
            good_until, heard_at = self._link.good_until, self._link.last_frame_at
        now = self._clock()  # last: as with a price
        if heard_at is None or now >= good_until:
            self.feed_thread.revive()
            return None
        age = max(0.0, now - heard_at)
        return None if found is None or age >= self.proof_lasts else (found, age)

    def wait_for_instruments(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for the first ones; tell whether they are there."""
        if self.beside is not None:
            return self.beside.wait_for_instruments(timeout)
        key = key_of(Channel.INSTRUMENT, EVERY)
        self._awaited(key, lambda sub: sub.content, timeout)
        return bool(self.instruments())

    def _instruments(self) -> Instruments | None:
        """Return all that the channel has told, whether it is proven or not. Takes no lock."""
        sub = self._subscriptions.by_key.get(key_of(Channel.INSTRUMENT, EVERY))
        return None if sub is None else sub.content

    def _places(self, symbol: Symbol) -> Places | None:
        """Return the decimals of a market, where they were told; only a hint."""
        known = self._instruments() if self.beside is None else self.beside._instruments()
        if known is None:
            return None
        from krakenlink.stream.instruments import places_of

        return places_of(known.pairs.get(symbol))

    def _awaited(
        self, key: Key, look: Callable[[Subscription], T | None], timeout: float
    ) -> T | None:
        """Wait while something may come for a subscription of this connection; see `look`."""
        self._check_fork()
        # Python's own clock: `wait` counts by it, and ours may be a test's.
        deadline = time.monotonic() + timeout
        with self._lock:
            while True:
                self.feed_thread.handover.empty_locked()
                sub = self._subscriptions.by_key.get(key)
                if sub is None:
                    return None
                self.feed_thread.start_locked()  # after a fork nobody may have done so yet
                if not self.feed_thread.is_running_locked:
                    return None
                now = self._clock()
                if (seen := look(sub)) is not None and now < self._link.good_until:
                    return seen
                patience = min(self._feed.patience(sub, now), deadline - time.monotonic())
                if patience <= 0:
                    return None
                self._changed.wait(patience)


def _looked_at(sub: Subscription) -> Tape[Any] | None:
    """Return the tape of a subscription, which is written down from now on."""
    tape: Tape[Any] | None = sub.content
    if tape is not None:
        sub.is_looked_at = True
        tape.keep()
    return tape
