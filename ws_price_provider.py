"""Live prices from Kraken's WebSocket v2: subscriptions, and the cache of proven prices.

What a caller gets is proven or it is nothing: a price counts only while its symbol is
acknowledged and has had data on the present connection, and while the last frame on that
connection is younger than `dead_after` - which the read itself checks, so that neither a blocked
thread nor a laptop that slept can serve an old one.

The thread is `krakenlink.stream.runner`'s affair, what is decided `krakenlink.stream.feed`'s. Where
websocket-client or msgspec is missing, nothing here starts and nobody waits; prices come over REST.

Sources: Kraken, spot WebSocket v2 and its connection guide (read 2026-11).
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from queue import SimpleQueue
from typing import Any, ClassVar

from krakenlink.machine import (
    STREAM_URL,
    STREAM_VARIABLE,
    feed_clock,
    is_relay,
    on_fork,
    validate_source,
)
from krakenlink.once import Once
from krakenlink.pairs import Symbol, symbol_offline
from krakenlink.stream.budget import ConnectBudget, own_budget
from krakenlink.stream.connection import Connection
from krakenlink.stream.events import Channel
from krakenlink.stream.handover import Companion, Stoppable
from krakenlink.stream.health import FeedHealth, SymbolHealth, beside_first, feed_health
from krakenlink.stream.pool import Pool
from krakenlink.stream.reader import FeedReader
from krakenlink.stream.runner import WEBSOCKET_AVAILABLE, FeedThread
from krakenlink.stream.settings import DEFAULT_SETTINGS, FeedSettings
from krakenlink.stream.states import Subscription, key_of
from krakenlink.stream.wants import Wants

__all__ = [
    "WEBSOCKET_AVAILABLE",
    "FeedHealth",
    "FeedReader",
    "FeedSettings",
    "SymbolHealth",
    "WebSocketPriceProvider",
    "feed_clock",
]

logger = logging.getLogger(__name__)
logger.addHandler(logging.NullHandler())


def _address(url: str | None) -> str:
    return validate_source(url or os.environ.get(STREAM_VARIABLE) or STREAM_URL)


def _fitting(settings: FeedSettings, url: str) -> FeedSettings:
    """Return the settings for an address: a relay has gathered, and each connection brings all."""
    return replace(settings, pool_most=1, gather_for=0.0) if is_relay(url) else settings


class WebSocketPriceProvider(Wants, Stoppable):
    """Live last prices by pair or symbol. Safe from any thread; the network raises nothing here.

    `unsubscribe`, `unsubscribe_symbol`, `reconnect`, `stop` and a reader's `close` only hand over
    and wait for no lock: a finalizer or a signal handler may call them in the middle of anything.
    All other calls take the feed's lock for a moment, and are not for finalizers and handlers.

    The thread starts with the first subscription. After `stop` the object is as new: a new
    subscription starts it again. A thread that died is started again by every call, reads too.

    Attributes:
        url: The stream's address.
        settings: Every number of the feed.
        feed_thread: The thread with its lock; what audits the stream speaks to it.
        stops: How often it was stopped; subscriptions from before the last time are gone.
    """

    # Guards: _shared.
    _shared_lock: ClassVar[threading.Lock] = threading.Lock()
    _shared: ClassVar[dict[str, WebSocketPriceProvider]] = {}

    def __init__(
        self,
        url: str | None = None,
        *,
        resolve: Callable[[str], str | None] | None = None,
        settings: FeedSettings = DEFAULT_SETTINGS,
        connect: Callable[[str, float], Connection] | None = None,
        clock: Callable[[], float] = feed_clock,
        budget: ConnectBudget | None = None,
    ) -> None:
        """Keep the arguments; no I/O, no thread.

        Args:
            url: The stream's address; None for `KRAKEN_WS_PUBLIC_URL` or Kraken's own.
            resolve: Turns a pair into a v2 symbol; None from it means "has no stream".
            settings: Every number of the feed.
            connect: Opens a connection to an address within a time, in place of websocket-client.
            clock: Seconds that never step back.
            budget: Counts connection attempts; by default those of this machine.

        Raises:
            ValueError: If the address is refused; see `validate_source`.
        """
        self.url = _address(url)
        self.settings = settings = _fitting(settings, self.url)
        self._resolve = resolve or symbol_offline
        self._clock = clock
        self._connect, self._budget = connect, budget or own_budget(self.url, settings)
        self.feed_thread = FeedThread(self.url, settings, connect, clock, self._budget)
        self.proof_lasts = settings.dead_after
        self.pool = self.home = Pool(self, partial(_another, self))
        self.feed_thread.on_look = partial(self.pool.balance, self)
        # All three, and `stops`, are guarded by the feed's lock.
        self._by_pair: dict[str, Subscription] = {}
        self._unstreamed = Once()
        self._rest_fallbacks: Counter[str] = Counter()
        self.stops = 0
        self._take_aliases()
        _providers.add(self)

    def _take_aliases(self) -> None:
        """Keep at hand what each read needs; after a fork the thread has others."""
        self._pid = os.getpid()
        self._lock = self.feed_thread.lock
        self._changed = self.feed_thread.changed
        self._feed = self.feed_thread.feed
        self._link = self._feed.link
        self._subscriptions = self._feed.subscriptions
        self._feed.contents.places = self._places

    @classmethod
    def shared(
        cls,
        url: str | None = None,
        *,
        resolve: Callable[[str], str | None] | None = None,
        settings: FeedSettings = DEFAULT_SETTINGS,
    ) -> WebSocketPriceProvider:
        """Return the one provider of this process for `url`; one connection carries every pair.

        Starts nothing. `resolve` and `settings` count for the first caller of an address only.

        Raises:
            ValueError: If the address is refused.
        """
        key = _address(url)
        with cls._shared_lock:
            provider = cls._shared.get(key)
            if provider is None:
                provider = cls._shared[key] = cls(key, resolve=resolve, settings=settings)
            return provider

    # -- subscribing

    def connect(self) -> None:
        """Start connecting before it is known to what to subscribe. Returns at once."""
        self._check_fork()
        with self._lock:
            self.feed_thread.handover.empty_locked()
            self.feed_thread.start_locked()

    def _symbol_of(self, pair: str) -> Symbol | None:
        symbol = self._resolve(pair) if isinstance(pair, str) and pair else None
        if symbol:
            return Symbol(symbol)
        with self._lock:
            is_news = self._unstreamed.is_news(repr(pair))
        if is_news:
            logger.warning(
                "%r is not streamed: no WebSocket symbol is known for it. Its price comes over "
                "REST; if that fails too, look its name up in Kraken's AssetPairs.",
                pair,
            )
        return None

    # -- prices

    def get_current_price(self, pair: str) -> float | None:
        """Return the last price of `pair`, as subscribed, if it is proven now. Never blocks."""
        try:
            sub = self._by_pair[pair]
        except (KeyError, TypeError):
            return None
        price, good_until = sub.price, self._link.good_until
        while price is not sub.price:  # see `price_reader`
            price, good_until = sub.price, self._link.good_until
        if price is not None and self._clock() < good_until:
            return price
        return self._price_elsewhere(sub.symbol)

    def price_reader(self, symbol: str) -> Callable[[], float | None]:
        """Return a function that returns the price of `symbol` if it is proven now.

        It takes no lock while there is a price and so waits for nobody, and returns None for good
        once this subscription has ended: then ask for another. Not to be used in the child of a
        fork: what it reads is the parent's.

        Raises:
            KeyError: If `symbol` is not subscribed.
        """
        # A closure, because its variables are found faster than attributes: this is the hot path.
        key = key_of(Channel.TICKER, Symbol(symbol))
        carrier = self.home.carrier(key)
        if carrier is not self:
            return carrier.price_reader(symbol)
        with self._lock:
            self.feed_thread.handover.empty_locked()
            link, clock, elsewhere = self._link, self._clock, self._price_elsewhere
            sub = self._subscriptions.by_key.get(key)
        if sub is None and self.home.carrier(key) is self:
            raise KeyError(symbol)
        if sub is None:
            return self.price_reader(symbol)  # it has just moved
        name = sub.symbol

        def read() -> float | None:
            # Price and proof have to be of one moment, or the price of a lost connection would
            # count by the next one's frames. Each price is an object of its own, and is taken
            # away before its connection's successor can have another: one that is still there
            # after the proof was read was there while it was read. So no lock is needed, with or
            # without the interpreter's own: single attributes are read and replaced whole.
            price, good_until = sub.price, link.good_until
            while price is not sub.price:
                price, good_until = sub.price, link.good_until
            # Asked after both were taken: a delay in between makes them older, never younger.
            if price is not None and clock() < good_until:
                return price
            return elsewhere(name)

        return read

    # -- looking on

    @property
    def subscribed_pairs(self) -> frozenset[str]:
        """The pairs of `subscribe`, as the callers spelled them."""
        with self._lock:
            self.feed_thread.handover.empty_locked()
            return frozenset(self._by_pair)

    def open_feed(
        self,
        symbols: Iterable[str] | None = None,
        channels: Iterable[str] | None = None,
        *,
        sink: SimpleQueue[Any] | None = None,
    ) -> FeedReader:
        """Return a new reader of events from now on.

        Args:
            symbols: Leave out events of other symbols; events of the link always come.
            channels: Leave out the data of other channels than these, such as `ticker`.
            sink: The queue to put events in, for a thread that waits for other things, too;
                the reader makes its own where it is left out.

        Raises:
            ValueError: If there is no such channel.
        """
        forget = self.feed_thread.forget_reader
        reader = FeedReader(self._clock, forget, symbols, channels, sink)
        with self._lock:
            self.feed_thread.readers.add(reader)
        return reader

    def health(self) -> FeedHealth:
        """Return the feed's figures at this moment."""
        with self._lock:
            self.feed_thread.handover.empty_locked()
            fallbacks = dict(self._rest_fallbacks)
            found = feed_health(self._feed, self.url, fallbacks, self._clock())
        self.feed_thread.say_farewell(None)  # of an end that nobody else may come by to tell
        others = (beside_first(x.health(), name, fallbacks) for name, x in self.pool.named())
        return replace(found, beside=tuple(others))

    def note_rest_fallback(self, symbol: str) -> None:
        """Count that somebody had to ask REST for `symbol`."""
        self._check_fork()
        with self._lock:
            self._rest_fallbacks[symbol] += 1
        self.feed_thread.revive()  # a thread that died is not waited for, nor left

    def reconnect(self, reason: str) -> None:
        """Drop the connection and make a new one; `reason` is what events and log will say.

        From anywhere.
        """
        self.feed_thread.reconnect(reason)

    def accompany(self, companion_of: Callable[[FeedThread], Companion]) -> bool:
        """Let a companion begin and end with the feed's thread. False: there is one already.

        Args:
            companion_of: Makes one of a feed's thread; called for each connection that there is or
                will be.
        """
        self._check_fork()
        return self.pool.accompany(companion_of)

    # -- life

    def stop(self, timeout: float = 1.0) -> None:
        """End the thread and the connection, give all subscriptions back. Idempotent.

        Blocks until the thread is gone, and those of all further connections, at most `timeout`
        seconds in all: a connect that hangs cannot be called back, its thread ends by itself a
        moment later and touches nothing any more.
        From anywhere: where this very thread is at work in here, as below a signal handler, it
        is done as soon as that work is.
        """
        self._check_fork()
        ends_at = time.monotonic() + timeout
        self.pool.stop(ends_at)
        self.feed_thread.end(self._forget_locked, ends_at)

    def _forget_locked(self) -> None:
        self.stops += 1
        self._by_pair.clear()
        self.pool.end_locked()

    def _check_fork(self) -> None:
        """Start anew in a child process, also where the platform has no hook for it."""
        if os.getpid() != self._pid:
            self._after_fork()

    def _after_fork(self) -> None:
        """Forget what is the parent's; keep what is wanted."""
        self.home.take_after_fork(self)
        self.feed_thread.start_anew()
        self._take_aliases()
        tickers = self._subscriptions.tickers
        self._by_pair = {p: tickers.get(sub.symbol, sub) for p, sub in self._by_pair.items()}


def _another(first: WebSocketPriceProvider, settings: FeedSettings) -> WebSocketPriceProvider:
    """Return one more for the same address, within the same budget of attempts."""
    made = WebSocketPriceProvider(
        first.url,
        settings=settings,
        connect=first._connect,
        clock=first._clock,
        budget=first._budget,
    )
    made.home = first.pool
    return made


_providers: weakref.WeakSet[WebSocketPriceProvider] = weakref.WeakSet()


def _forget_after_fork() -> None:
    """Give the child its own connections: two processes on one socket would both read half."""
    WebSocketPriceProvider._shared_lock = threading.Lock()
    WebSocketPriceProvider._shared.clear()
    for provider in list(_providers):
        provider._after_fork()


on_fork(_forget_after_fork)
