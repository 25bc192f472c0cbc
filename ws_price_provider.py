"""Live prices from Kraken's WebSocket v2: one daemon thread, one lock, one cache.

What a caller gets is proven or it is nothing: a price counts only while its symbol is
acknowledged and has had data on the present connection, and while the last frame on that
connection is younger than `dead_after` - which the read itself checks, so that neither a blocked
thread nor a laptop that slept can serve an old one. Listeners have queues of their own; no
foreign code ever runs on the feed's thread.

The socket is `ws_connection`'s affair and the protocol `ws_protocol`'s. Where websocket-client is
missing, nothing here starts and nobody waits; prices come over REST.

Sources: Kraken, spot WebSocket v2 and its connection guide (read 2026-11).
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
import urllib.parse
import weakref
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, ClassVar, Protocol

from krakenlink.errors import KrakenConnectionError, KrakenTransportError
from krakenlink.known_names import RENAMED
from krakenlink.machine import STREAM_URL, STREAM_VARIABLE
from krakenlink.machine import cache_folder as cache_folder
from krakenlink.machine import feed_clock as feed_clock
from krakenlink.machine import is_loopback as is_loopback
from krakenlink.machine import validate_url as validate_url
from krakenlink.stream.budget import ConnectBudget as ConnectBudget
from krakenlink.stream.connection import WEBSOCKET_AVAILABLE as WEBSOCKET_AVAILABLE
from krakenlink.stream.connection import Connection as Connection
from krakenlink.stream.connection import ConnectionRefused as ConnectionRefused
from krakenlink.stream.connection import open_websocket as open_websocket
from krakenlink.stream.feed import (
    Channel,
    Complaint,
    Event,
    FeedBack,
    FeedClosed,
    FeedConnecting,
    FeedLive,
    FeedProtocol,
    FeedSettings,
    FeedStale,
    FeedState,
    FeedSuspect,
    FirstData,
    Resubscribed,
    Subscription,
    Symbol,
    SymbolDistrusted,
    SymbolMute,
    SymbolRefused,
    SymbolTrusted,
    SystemState,
    Tick,
    Trades,
    decode_frame,
    read_tick,
)

logger = logging.getLogger(__name__)
logger.addHandler(logging.NullHandler())

DEFAULT_SETTINGS = FeedSettings()


# ----------------------------------------------------------------------------------- the reader


class FeedReader:
    """One listener's own queue of events. Any thread may read it; it never slows the feed.

    The queue has no bound, because trades must not be dropped: somebody who falls behind looks
    at `backlog` and decides. A reader that is no longer referenced is forgotten by the feed.
    """

    def __init__(
        self,
        provider: WebSocketPriceProvider,
        symbols: AbstractSet[str] | None,
        channels: AbstractSet[str] | None,
        sink: SimpleQueue[Any] | None = None,
    ) -> None:
        self._provider = provider
        self._symbols = symbols
        self._wants_ticks = channels is None or Channel.TICKER in channels
        self._wants_trades = channels is None or Channel.TRADE in channels
        self._queue: SimpleQueue[Any] = SimpleQueue() if sink is None else sink

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
        """Stop listening, and wake whoever waits in `get`. Safe from a signal handler's thread."""
        self._provider._forget_reader(self)
        self._queue.put(FeedClosed(self._provider._clock()))

    def _offer(self, event: Event) -> None:
        kind = type(event)
        if kind is Tick:
            if not self._wants_ticks:
                return
        elif kind is Trades and not self._wants_trades:
            return
        if self._symbols is not None:
            symbol = getattr(event, "symbol", None)
            if symbol is not None and symbol not in self._symbols:
                return
        self._queue.put(event)


# ----------------------------------------------------------------------------------- the health


@dataclass(frozen=True, slots=True)
class SymbolHealth:
    """One subscription: its state in a word, its last tick, and how old its proof is."""

    symbol: str
    channel: str
    state: str
    last_tick: Tick | None
    proven_age: float | None
    ticks: int
    rest_fallbacks: int
    error: str


@dataclass(frozen=True, slots=True)
class FeedHealth:
    """The feed at one moment. Ages and times are seconds; None means that there was none yet."""

    url: str
    state: FeedState
    system: str | None
    uptime: float | None
    last_frame_age: float | None
    blind_for: float | None
    attempts: int
    reconnects: int
    messages: int
    messages_per_second: float
    ticks_per_second: float
    damaged: int
    rest_fallbacks: int
    symbols: tuple[SymbolHealth, ...]


# --------------------------------------------------------------------------------- the provider


# How many prices are taken in under one hold of the lock: enough to share its cost, and few
# enough that a reader of the cache waits for it no longer than for the interpreter itself.
_TICKS_AT_ONCE = 16


# So many messages at a time need no gathering: the thread is busy, or behind.
_A_PILE = 100


class _StoppedError(Exception):
    """This thread's run is over; somebody stopped it or the process was forked."""


@dataclass(slots=True, eq=False)
class _Run:
    """One life of the feed's thread, from a first subscription to `stop`."""

    stop: threading.Event = field(default_factory=threading.Event)
    connection: Connection | None = None
    drop: str | None = None
    has_work: bool = False  # somebody has asked for something since the thread looked last
    thread: threading.Thread | None = None


class Companion(Protocol):
    """Something that lives as long as the feed's thread does."""

    # Both are called under the provider's lock, so that none overtakes the other: no waiting.

    def start(self) -> None:
        """Begin, if it has not; raises nothing."""
        ...

    def stop(self) -> threading.Thread | None:
        """Tell it to end; return the thread to wait for, if there is one."""
        ...


def _default_resolve(pair: str) -> str | None:
    """Return the v2 symbol of `pair` as far as it is known without asking Kraken."""
    from krakenlink.pairs import legacy_pair  # here, because those who hand in `resolve` need none

    known = legacy_pair(pair)
    if known is not None:
        return known.symbol
    base, slash, quote = pair.strip().partition("/")
    if not (base and slash and quote) or "/" in quote:
        return None
    # Kraken's only two renames between its older names with a slash and the v2 ones. The case
    # stays as it is: AAPLx/USD is not AAPLX/USD.
    return f"{RENAMED.get(base, base)}/{RENAMED.get(quote, quote)}"


class WebSocketPriceProvider:
    """Live last prices by pair or symbol. Safe from any thread; the network raises nothing here.

    The thread starts with the first subscription. After `stop` the object is as new: the
    subscriptions are given back, and a new subscription starts it again.
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
            ValueError: If the address is refused; see `validate_url`.
        """
        self.url = validate_url(url or os.environ.get(STREAM_VARIABLE) or STREAM_URL)
        self.settings = settings
        self._resolve = resolve or _default_resolve
        self._is_available = connect is not None or WEBSOCKET_AVAILABLE
        self._connect = connect or partial(
            open_websocket,
            max_message_bytes=settings.max_message_bytes,
            send_timeout=settings.send_timeout,
        )
        self._clock = clock
        is_local = is_loopback(urllib.parse.urlsplit(self.url).hostname or "")
        is_exempt = is_local and not settings.budget_on_loopback
        self._budget = budget or (None if is_exempt else ConnectBudget(settings))
        self._pid = os.getpid()
        self._renew_locks()
        self._feed = FeedProtocol(settings)
        self._by_pair: dict[str, Subscription] = {}
        self._run: _Run | None = None
        self._readers: tuple[weakref.ref[FeedReader], ...] = ()
        self._unknown: set[str] = set()
        self._rest_fallbacks: dict[str, int] = {}
        self._companion: Companion | None = None
        self.stops = 0
        """How often it was stopped; subscriptions from before the last time are gone."""
        _providers.add(self)

    def _renew_locks(self) -> None:
        # Guards: _feed with its cache of prices, _by_pair, _run and what is in it, _readers,
        # _unknown, _rest_fallbacks, _companion. Never held across I/O; frames are decoded
        # outside of it.
        self._lock = threading.Lock()
        # Waits for: a first price, a refusal, a mute symbol, the loss of the link, the end.
        self._changed = threading.Condition(self._lock)

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
        key = validate_url(url or os.environ.get(STREAM_VARIABLE) or STREAM_URL)
        with cls._shared_lock:
            provider = cls._shared.get(key)
            if provider is None:
                provider = cls._shared[key] = cls(key, resolve=resolve, settings=settings)
            return provider

    # -- subscribing

    def subscribe(self, pair: str) -> bool:
        """Ask for prices of `pair`, any spelling that `resolve` knows. Returns at once.

        Returns:
            False where the pair has no stream or no name that is known; said once as a WARNING.
        """
        symbol = self._symbol_of(pair)
        if symbol is None:
            return False
        self._check_fork()
        with self._lock:
            is_new = pair not in self._by_pair
            if is_new:
                self._by_pair[pair] = self._feed.want(symbol, Channel.TICKER)
            connection = self._start_locked()
        if is_new:
            _wake(connection)
        return True

    def connect(self) -> None:
        """Start connecting before it is known to what to subscribe. Returns at once."""
        self._check_fork()
        with self._lock:
            self._start_locked()

    def unsubscribe(self, pair: str) -> None:
        """Give `pair` back; Kraken is told when nobody else wants its symbol."""
        self._check_fork()
        with self._lock:
            sub = self._by_pair.pop(pair, None)
            is_last = sub is not None and self._feed.unwant(sub.symbol, Channel.TICKER)
            self._changed.notify_all()
            connection = self._open_connection_locked()
        if is_last:
            _wake(connection)

    def subscribe_symbol(self, symbol: str, channel: str = "ticker") -> None:
        """Add a reference to a v2 symbol's `ticker` or `trade` channel. Returns at once.

        Raises:
            ValueError: If `symbol` is empty or not text, or `channel` none of the two.
        """
        if not isinstance(symbol, str) or not symbol:
            raise ValueError(f"{symbol!r} is no symbol")
        wanted = Channel(channel)
        self._check_fork()
        with self._lock:
            self._feed.want(Symbol(symbol), wanted)
            connection = self._start_locked()
        _wake(connection)

    def unsubscribe_symbol(self, symbol: str, channel: str = "ticker") -> None:
        """Take a reference away; the last one unsubscribes. Unknown symbols are no error."""
        wanted = Channel(channel)
        self._check_fork()
        with self._lock:
            is_last = self._feed.unwant(Symbol(symbol), wanted)
            self._changed.notify_all()
            connection = self._open_connection_locked()
        if is_last:
            _wake(connection)

    def _symbol_of(self, pair: str) -> Symbol | None:
        symbol = self._resolve(pair) if isinstance(pair, str) and pair else None
        if symbol:
            return Symbol(symbol)
        with self._lock:
            is_news = repr(pair) not in self._unknown
            self._unknown.add(repr(pair))
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
        # The hot path. Indexing, not `.get`: without a call inside the lock the interpreter has
        # no point at which it would switch threads while the lock is held.
        try:
            with self._lock:
                price = self._by_pair[pair].price
                good_until = self._feed.good_until
        except (KeyError, TypeError):
            return None
        # Asked after the price was taken: a delay in between makes it older, never younger.
        return price if self._clock() < good_until else None

    def price_reader(self, symbol: str) -> Callable[[], float | None]:
        """Return a function that returns the price of `symbol` if it is proven now.

        It never blocks, and returns None for good once this subscription has ended: then ask for
        another. Not to be used in the child of a fork, where its lock may be held by nobody.

        Raises:
            KeyError: If `symbol` is not subscribed.
        """
        # A closure, because its variables are found faster than attributes: this is the hot path.
        with self._lock:
            feed, lock, clock, sub = self._feed, self._lock, self._clock, self._feed.tickers[symbol]

        def read() -> float | None:
            with lock:
                price = sub.price
                good_until = feed.good_until
            # Asked after the price was taken: a delay in between makes it older, never younger.
            return price if clock() < good_until else None

        return read

    def fresh_tick(self, symbol: str) -> Tick | None:
        """Return the last tick of `symbol` if it is proven now. Never blocks."""
        try:
            with self._lock:
                tick = self._feed.tickers[symbol].proven
                good_until = self._feed.good_until
        except KeyError:
            return None
        return tick if self._clock() < good_until else None

    def proven(self, symbol: str) -> tuple[Tick, float] | None:
        """Return `fresh_tick` and the seconds since it was proven, of one moment. Never blocks."""
        try:
            with self._lock:
                tick = self._feed.tickers[symbol].proven
                good_until, proven_at = self._feed.good_until, self._feed.last_frame_at
        except KeyError:
            return None
        now = self._clock()  # last: a delay in between makes the proof older, never younger
        if tick is None or proven_at is None or now >= good_until:
            return None
        return tick, max(0.0, now - proven_at)

    def proven_age(self, symbol: str) -> float | None:
        """Return the seconds since `symbol`'s price was last proven; None if it is not now."""
        with self._lock:
            sub = self._feed.tickers.get(symbol)
            return None if sub is None else self._proven_age_locked(sub, self._clock())

    def _proven_age_locked(self, sub: Subscription, now: float) -> float | None:
        last_frame_at = self._feed.last_frame_at
        if sub.proven is None or last_frame_at is None or now >= self._feed.good_until:
            return None
        return max(0.0, now - last_frame_at)

    def wait_for_tick(self, symbol: str, timeout: float) -> Tick | None:
        """Return a proven tick, waiting up to `timeout` seconds for a first one.

        Returns None at once where none can be expected: not subscribed, refused, mute, the
        stream known to be down, websocket-client missing.
        """
        self._check_fork()
        # Python's own clock: `wait` counts by it, and ours may be a test's.
        deadline = time.monotonic() + timeout
        with self._lock:
            while True:
                sub = self._feed.tickers.get(symbol)
                if sub is None:
                    return None
                self._start_locked()  # after a fork nobody may have done so yet
                if self._run is None:
                    return None
                now = self._clock()
                if sub.proven is not None and now < self._feed.good_until:
                    return sub.proven
                patience = min(self._feed.patience(sub, now), deadline - time.monotonic())
                if patience <= 0:
                    return None
                self._changed.wait(patience)

    # -- an audit's means

    def accompany(self, companion: Companion) -> bool:
        """Let `companion` begin and end with the feed's thread. False: there is one already."""
        self._check_fork()
        with self._lock:
            if self._companion is not None:
                return False
            self._companion = companion
            if self._run is not None:
                companion.start()
            return True

    def resubscribe(self, symbol: str, channel: str = "ticker") -> None:
        """Leave and ask anew; the price stops counting until new data come."""
        with self._lock:
            self._feed.ask_again(Symbol(symbol), Channel(channel))
            connection = self._open_connection_locked()
        _wake(connection)

    def distrust(self, symbol: str, reason: str = "distrusted") -> None:
        """Let no price of `symbol` count until `trust`; `reason` is a sentence for people."""
        with self._lock:
            events = self._feed.distrust(Symbol(symbol), reason, self._clock())
            self._changed.notify_all()
        self._publish(events)

    def trust(self, symbol: str) -> None:
        """Take `distrust` back: the last tick of this connection counts again."""
        with self._lock:
            events = self._feed.trust(Symbol(symbol), self._clock())
            self._changed.notify_all()
        self._publish(events)

    def reconnect(self, reason: str) -> None:
        """Drop the connection and make a new one; `reason` is what events and log will say."""
        with self._lock:
            connection = self._open_connection_locked()
            if connection is not None and self._run is not None:
                self._run.drop = reason
        _wake(connection)

    def note_rest_fallback(self, symbol: str) -> None:
        """Count that somebody had to ask REST for `symbol`."""
        with self._lock:
            self._rest_fallbacks[symbol] = self._rest_fallbacks.get(symbol, 0) + 1

    # -- looking on

    @property
    def connected(self) -> bool:
        """Whether the link is alive at this moment."""
        with self._lock:
            return self._feed.is_open and self._clock() < self._feed.good_until

    @property
    def subscribed_pairs(self) -> frozenset[str]:
        """The pairs of `subscribe`, as the callers spelled them."""
        with self._lock:
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
            channels: Leave out the prices of other channels (`ticker`, `trade`).
            sink: The queue to put events in, for a thread that waits for other things, too;
                the reader makes its own where it is left out.
        """
        reader = FeedReader(
            self,
            None if symbols is None else frozenset(symbols),
            None if channels is None else frozenset(channels),
            sink,
        )
        with self._lock:
            alive = [ref for ref in self._readers if ref() is not None]
            self._readers = (*alive, weakref.ref(reader))
        return reader

    def _forget_reader(self, reader: FeedReader) -> None:
        with self._lock:
            self._readers = tuple(ref for ref in self._readers if ref() not in (reader, None))

    def health(self) -> FeedHealth:
        """Return the feed's figures at this moment."""
        with self._lock:
            now = self._clock()
            feed = self._feed
            messages_per_second, ticks_per_second = feed.rates(now)
            return FeedHealth(
                url=self.url,
                state=feed.state,
                system=feed.system,
                uptime=None if feed.live_since is None else now - feed.live_since,
                last_frame_age=None if feed.last_frame_at is None else now - feed.last_frame_at,
                blind_for=None if feed.blind_since is None else now - feed.blind_since,
                attempts=feed.attempts,
                reconnects=max(0, feed.connections - 1),
                messages=feed.messages,
                messages_per_second=messages_per_second,
                ticks_per_second=ticks_per_second,
                damaged=feed.damaged,
                rest_fallbacks=sum(self._rest_fallbacks.values()),
                symbols=tuple(
                    self._symbol_health_locked(sub, now) for sub in feed.subscriptions.values()
                ),
            )

    def _symbol_health_locked(self, sub: Subscription, now: float) -> SymbolHealth:
        return SymbolHealth(
            symbol=sub.symbol,
            channel=sub.channel.value,
            state=sub.state.name.lower(),
            last_tick=sub.latest,
            proven_age=self._proven_age_locked(sub, now),
            ticks=sub.ticks,
            rest_fallbacks=self._rest_fallbacks.get(sub.symbol, 0),
            error=sub.error,
        )

    # -- life

    def _start_locked(self) -> Connection | None:
        """Start the thread if there is none; return the open connection, to be woken."""
        if self._run is None and self._is_available:
            run = _Run()
            # Daemon, because it waits on the network most of the time and owns nothing that
            # would have to be saved: the interpreter's exit must not wait for it.
            run.thread = threading.Thread(
                target=self._main, args=(run,), name="kraken-price-feed", daemon=True
            )
            self._run = run
            try:
                run.thread.start()
            except RuntimeError as error:  # no more threads, or the interpreter is ending
                self._run = None
                logger.error("The price feed cannot start (%s); prices come over REST", error)
            else:
                if self._companion is not None:
                    self._companion.start()
        return self._open_connection_locked()

    def _open_connection_locked(self) -> Connection | None:
        """Return the connection to be woken for work that is new, if there is one."""
        if self._run is None:
            return None
        self._run.has_work = True
        return self._run.connection

    def stop(self, timeout: float = 1.0) -> None:
        """End the thread and the connection, give all subscriptions back. Idempotent.

        Blocks until the thread is gone, at most `timeout` seconds: a connect that hangs cannot
        be called back, its thread ends by itself a moment later and touches nothing any more.
        """
        self._check_fork()
        with self._lock:
            run, self._run = self._run, None
            self.stops += 1
            events = self._feed.close(self._clock())
            self._by_pair.clear()
            self._changed.notify_all()
            connection = run.connection if run is not None else None
            beside = self._companion.stop() if self._companion is not None else None
        self._publish(events)
        if run is None or run.thread is None:
            return
        run.stop.set()
        if connection is not None:
            connection.close()
        if beside is not None:
            beside.join(timeout)
        run.thread.join(timeout)
        if run.thread.is_alive():
            logger.warning("The price feed is still ending; it was interrupted while connecting")

    def _check_fork(self) -> None:
        """Start anew in a child process, also where the platform has no hook for it."""
        if os.getpid() != self._pid:
            self._after_fork()

    def _after_fork(self) -> None:
        """Forget the parent's thread, connection and readers; keep what is wanted.

        Only the forking thread exists here, and locks may have been copied in the locked state.
        """
        self._pid = os.getpid()
        self._renew_locks()
        run, self._run = self._run, None
        self._readers = ()
        self._companion = None  # its thread and its connection are the parent's
        old, self._feed = self._feed, FeedProtocol(self.settings)
        for sub in list(old.subscriptions.values()):
            for _ in range(sub.refs):
                self._feed.want(sub.symbol, sub.channel)
        pairs = list(self._by_pair.items())
        self._by_pair = {pair: self._feed.tickers[sub.symbol] for pair, sub in pairs}
        if run is not None and run.connection is not None:
            run.connection.close()  # the child's copy of it; the parent's lives on

    # -- the thread

    def _main(self, run: _Run) -> None:
        try:
            while True:
                self._wait_for_turn(run)
                self._connect_and_serve(run)
        except _StoppedError:
            logger.debug("The price feed has ended")

    def _alive_locked(self, run: _Run) -> FeedProtocol:
        if self._run is not run:
            raise _StoppedError
        return self._feed

    def _wait_for_turn(self, run: _Run) -> None:
        """Sleep until the next attempt is due and within the budget, then announce it."""
        with self._lock:
            pause = self._alive_locked(run).retry_at - self._clock()
        while pause > 0 or (pause := self._over_budget(run)) > 0:
            if run.stop.wait(pause):
                raise _StoppedError
            pause = 0.0
        with self._lock:
            events = self._alive_locked(run).attempt(self._clock())
        self._publish(events)

    def _over_budget(self, run: _Run) -> float:
        wait = self._budget.reserve(time.time()) if self._budget else 0.0
        if wait > 0:
            with self._lock:
                self._alive_locked(run).delay(self._clock() + wait)
                self._changed.notify_all()
            logger.warning(
                "Too many connection attempts on this machine; the next one in %.0f s, "
                "so that Kraken does not ban this address. Prices come over REST.",
                wait,
            )
        return wait

    def _connect_and_serve(self, run: _Run) -> None:
        connection: Connection | None = None
        try:
            connection = self._connect(self.url, self.settings.connect_timeout)
            self._adopt(run, connection)
            self._serve(run, connection)
        except _StoppedError:
            raise
        except ConnectionRefused as error:
            logger.error(
                "The price stream refuses us: %s. Trying again every %.0f s; is %s the right "
                "address, and is this network let in?",
                error,
                self.settings.refused_delay,
                self.url,
            )
            self._lost(run, str(error), at_least=self.settings.refused_delay)
        except (KrakenTransportError, OSError) as error:
            self._lost(run, str(error) or type(error).__name__)
        except Exception as error:
            # The top of the thread: a defect here must not leave the program blind for ever. It
            # is shown with its traceback, and a new connection starts from known ground.
            logger.exception("The price feed met a defect of its own and reconnects")
            self._lost(run, f"defect: {type(error).__name__}")
        finally:
            if connection is not None:
                connection.close()

    def _adopt(self, run: _Run, connection: Connection) -> None:
        with self._lock:
            feed = self._alive_locked(run)
            run.connection = connection
            run.drop = None
            events = feed.opened(self._clock())
            self._changed.notify_all()
        self._publish(events)

    def _lost(self, run: _Run, reason: str, at_least: float = 0.0) -> None:
        chance = random.random()  # noqa: S311 - jitter, not a secret
        with self._lock:
            feed = self._alive_locked(run)
            run.connection = None
            events = feed.lost(self._clock(), reason, chance, at_least=at_least)
            pause = feed.retry_at - self._clock()
            self._changed.notify_all()
        # The first failure is a transition; the ones after it are the same story.
        level = logging.INFO if events else logging.DEBUG
        logger.log(level, "No price stream (%s); next attempt in %.1f s", reason, max(0.0, pause))
        self._publish(events)

    def _serve(self, run: _Run, connection: Connection) -> None:
        """Send what is due and take in what comes, until the connection ends: then raise."""
        while True:
            with self._lock:
                feed = self._alive_locked(run)
                run.has_work = False
                now = self._clock()
                due = feed.due(now)
                lost = run.drop or due.lost
                until = now if lost else feed.next_due(now)
                pause = feed.gathering(now)
                if due.events:
                    self._changed.notify_all()
            self._publish(due.events)
            if lost:
                raise KrakenConnectionError(lost, request_sent=True)
            for text in due.frames:
                logger.debug("-> %s", text)
                connection.send(text)
            self._listen(run, connection, now, until, pause)

    def _listen(
        self, run: _Run, connection: Connection, now: float, until: float, pause: float
    ) -> None:
        """Take in what comes up to `until`, and return when there may be something else to do.

        Prices of live symbols only put off what is due, so nothing is looked up anew for them;
        once a second it is, for the figures and for a clock that jumps.
        """
        look_again_at = min(until, now + 1.0)
        while True:
            frames = connection.recv(max(0.0, until - now))
            if frames is None:
                return
            now = self._clock()
            if not self._take_in(run, frames, now) or now >= look_again_at:
                return
            if pause > 0 and len(frames) < _A_PILE:
                # Not a poll: the socket is known to fill at this pace. See `gather_for`.
                time.sleep(pause)

    def _take_in(self, run: _Run, frames: list[str | bytes], now: float) -> bool:
        """Take in messages that came at `now`; True if all of them were mere prices."""
        with self._lock:
            events = self._alive_locked(run).heard(now, len(frames))
            is_calm = not run.has_work
        if events is None:
            silence = "nothing was heard for longer than prices live; was the machine asleep?"
            raise KrakenConnectionError(silence, request_sent=True)
        if events:
            is_calm = False
            self._publish(events)
        ticks: list[Tick] = []
        for frame in frames:
            tick = read_tick(frame, now) if isinstance(frame, str) else None
            if tick is not None:
                ticks.append(tick)
            if ticks and (tick is None or len(ticks) == _TICKS_AT_ONCE):
                self._take_in_ticks(run, ticks)
                ticks = []
            if tick is None:
                self._take_in_odd(run, frame, now)
                is_calm = False
        if ticks:
            self._take_in_ticks(run, ticks)
        return is_calm

    def _take_in_ticks(self, run: _Run, ticks: list[Tick]) -> None:
        events: list[Event] = []
        with self._lock:
            receive = self._alive_locked(run).receive_tick
            for tick in ticks:
                told = receive(tick)
                if len(told) > 1:  # a first price; a later one wakes nobody
                    self._changed.notify_all()
                events += told
        self._publish(events)

    def _take_in_odd(self, run: _Run, frame: str | bytes, now: float) -> None:
        events: list[Event] = []
        for message in decode_frame(frame, now):
            if isinstance(message, Complaint):
                logger.warning("Kraken complains: %s", message.error)
            with self._lock:
                events += self._alive_locked(run).receive(message, now)
                self._changed.notify_all()
        self._publish(events)

    def _publish(self, events: Iterable[Event]) -> None:
        """Put events into the readers' queues and the log. Called without the lock."""
        for event in events:
            for ref in self._readers:
                reader = ref()
                if reader is not None:
                    reader._offer(event)
            if type(event) is not Tick:
                _log_event(event)


def _wake(connection: Connection | None) -> None:
    if connection is not None:
        connection.wake()


def _log_event(event: Event) -> None:
    described = _LOG.get(type(event))
    if described is not None:
        level, text, names = described
        logger.log(level, text, *(getattr(event, name) for name in names))


# The transition is logged, not every price.
_LOG: dict[type[Any], tuple[int, str, tuple[str, ...]]] = {
    FeedConnecting: (logging.DEBUG, "Connecting to the price stream, attempt %d", ("attempt",)),
    FeedLive: (logging.DEBUG, "The price stream is alive", ()),
    FeedSuspect: (logging.DEBUG, "No frame for %.1f s; asking", ("silent_for",)),
    FeedStale: (
        logging.WARNING,
        "Blind: %s. No streamed price counts until it is back",
        ("reason",),
    ),
    FeedBack: (logging.INFO, "The price stream is back after %.1f s", ("blind_for",)),
    FirstData: (logging.INFO, "%s is live", ("symbol",)),
    Resubscribed: (logging.DEBUG, "%s (%s) is subscribed again", ("symbol", "channel")),
    SymbolRefused: (
        logging.WARNING,
        "Kraken does not stream %s (%s): %s. Its price comes over REST",
        ("symbol", "channel", "error"),
    ),
    SymbolDistrusted: (logging.WARNING, "%s", ("reason",)),
    SymbolTrusted: (logging.INFO, "%s: the stream speaks again and counts", ("symbol",)),
    SymbolMute: (
        logging.WARNING,
        "%s (%s) is subscribed and silent. Its price comes over REST",
        ("symbol", "channel"),
    ),
    SystemState: (logging.INFO, "Kraken's engine is %s", ("system",)),
    FeedClosed: (logging.INFO, "The price stream is closed", ()),
}


# ----------------------------------------------------------------------------------------- fork

_providers: weakref.WeakSet[WebSocketPriceProvider] = weakref.WeakSet()


def _forget_after_fork() -> None:
    """Give the child its own connections: two processes on one socket would both read half."""
    WebSocketPriceProvider._shared_lock = threading.Lock()
    WebSocketPriceProvider._shared.clear()
    for provider in list(_providers):
        provider._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
