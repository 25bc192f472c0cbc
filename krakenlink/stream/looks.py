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
from collections.abc import Callable

from krakenlink.pairs import Symbol
from krakenlink.stream.book import DEPTHS, Book, OrderBook, checked_depth
from krakenlink.stream.events import Channel, Tick
from krakenlink.stream.feed import FeedProtocol
from krakenlink.stream.health import Proofs
from krakenlink.stream.link import Link
from krakenlink.stream.runner import FeedThread
from krakenlink.stream.states import Key, Subscription, key_of
from krakenlink.stream.subscriptions import Subscriptions


def checked_param(channel: Channel, depth: int | None = None) -> int:
    """Return what a channel is asked for with, beside its symbol; 0 where there is nothing.

    Raises:
        ValueError: If it is none of Kraken's, or does not belong to that channel.
    """
    if channel is not Channel.BOOK:
        if depth is not None:
            raise ValueError(f"the channel {channel} has no depth")
        return 0
    return checked_depth(DEPTHS[0] if depth is None else depth)


class Looks(Proofs):
    """Reads of one feed. Safe from any thread; none but the waits ever blocks."""

    feed_thread: FeedThread
    _clock: Callable[[], float]
    _lock: threading.Lock
    _changed: threading.Condition
    _feed: FeedProtocol
    _link: Link
    _subscriptions: Subscriptions

    def _check_fork(self) -> None:
        raise NotImplementedError

    def proven(self, symbol: str) -> tuple[Tick, float] | None:
        """Return the tick of `symbol` that is proven now and the seconds since its proof.

        Both of one moment: the proof of a later tick is none for an earlier one. None where
        nothing is proven. Never blocks.
        """
        try:
            with self._lock:
                tick = self._subscriptions.tickers[symbol].proven
                good_until, proven_at = self._link.good_until, self._link.last_frame_at
        except KeyError:
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
        return self._awaited(key, lambda sub: sub.proven is not None, timeout)

    def order_book(self, symbol: str, depth: int = 10) -> OrderBook | None:
        """Return the streamed book of `symbol`, if it is proven now. Never blocks.

        Proven means: confirmed by Kraken's checksum at its last change, on a link that lives. None
        as well where it is not subscribed to that deep.

        Args:
            symbol: A v2 symbol whose `book` is subscribed to.
            depth: How many levels of each side to show.
        """
        with self._lock:
            sub = self._subscriptions.by_key.get(key_of(Channel.BOOK, Symbol(symbol)))
            book: Book | None = sub.content if sub is not None else None
            shown = book.texts(depth) if book is not None and book.depth >= depth else None
            good_until, proven_at = self._link.good_until, self._link.last_frame_at
        now = self._clock()
        if shown is None or proven_at is None or now >= good_until:
            self.feed_thread.revive()
            return None
        age = max(0.0, now - proven_at)
        return OrderBook(
            Symbol(symbol), shown.bids, shown.asks, depth, "websocket", now, age, shown.timestamp
        )

    def wait_for_book(self, symbol: str, depth: int, timeout: float) -> OrderBook | None:
        """Return a proven book, waiting up to `timeout` seconds; see `wait_for_tick`."""

        def is_there(sub: Subscription) -> bool:
            return sub.content is not None and sub.content.depth >= depth

        self._awaited(key_of(Channel.BOOK, Symbol(symbol)), is_there, timeout)
        return self.order_book(symbol, depth)

    def _awaited(
        self, key: Key, is_there: Callable[[Subscription], bool], timeout: float
    ) -> Tick | None:
        """Wait while something may come for a subscription; return its proven tick, if any."""
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
                if is_there(sub) and now < self._link.good_until:
                    return sub.proven
                patience = min(self._feed.patience(sub, now), deadline - time.monotonic())
                if patience <= 0:
                    return None
                self._changed.wait(patience)
