"""The feed's thread: connects, serves, publishes; and what others may have it do.

One daemon thread, one lock. Frames are read outside of the lock, nothing waits on the network
under it, and no foreign code ever runs on the thread. It must never serve a price of its own: it
only tells the protocol what came and when, by a clock that goes on while the machine sleeps.
Where websocket-client or msgspec is missing, nothing here starts.

Sources: Kraken, spot WebSocket v2 and its connection guide (read 2026-11).
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

from krakenlink.errors import KrakenConnectionError, KrakenTransportError
from krakenlink.machine import note_lost_link
from krakenlink.pairs import Symbol
from krakenlink.stream.audit import View
from krakenlink.stream.budget import ConnectBudget
from krakenlink.stream.connection import (
    CLIENT_AVAILABLE,
    Connection,
    ConnectionRefused,
    open_websocket,
)
from krakenlink.stream.events import Channel, Complaint, Event, Message, Tick, Trades
from krakenlink.stream.feed import FeedProtocol
from krakenlink.stream.handover import Companion, Handover, Run, StoppedError, wake
from krakenlink.stream.health import views
from krakenlink.stream.reader import FeedReader, Readers
from krakenlink.stream.settings import FeedSettings

try:
    from krakenlink.stream.frames import read_frame
except ImportError:  # msgspec is missing
    CAN_READ = False
else:
    CAN_READ = True

WEBSOCKET_AVAILABLE = CLIENT_AVAILABLE and CAN_READ
"""Whether both libraries that the stream stands on are there."""

logger = logging.getLogger(__name__)

# How many messages are taken in under one hold of the lock: enough to share its cost, and few
# enough that a reader of the cache waits for it no longer than for the interpreter itself.
_AT_ONCE = 16

# So many messages at a time need no gathering: the thread is busy, or behind.
_A_PILE = 100

# What nobody waits for: a first price is told by another event beside it.
_MERE_PRICES = frozenset({Tick, Trades})


class _AuditMeans:
    """What an audit does to a feed; a part of `FeedThread`."""

    lock: threading.Lock  # the feed's: here is its name only
    changed: threading.Condition
    clock: Callable[[], float]
    feed: FeedProtocol
    readers: Readers

    def open_connection_locked(self) -> Connection | None:
        """Return the connection to be woken for work that is new, if there is one."""
        raise NotImplementedError

    def views(self) -> dict[str, View]:
        """Return the stream's side of every symbol that has had a tick; none without a link."""
        with self.lock:
            return views(self.feed)

    def resubscribe(self, symbol: str, channel: str = "ticker") -> None:
        """Leave and ask anew; the price stops counting until new data come."""
        with self.lock:
            self.feed.subscriptions.ask_again(Symbol(symbol), Channel(channel))
            connection = self.open_connection_locked()
        wake(connection)

    def distrust(self, symbol: str, reason: str) -> None:
        """Let no price of `symbol` count until `trust`; `reason` is a sentence for people."""
        with self.lock:
            events = self.feed.subscriptions.distrust(Symbol(symbol), reason, self.clock())
            self.changed.notify_all()
        self.readers.publish(events)

    def trust(self, symbol: str) -> None:
        """Take `distrust` back: the last tick of this connection counts again."""
        with self.lock:
            events = self.feed.subscriptions.trust(Symbol(symbol), self.clock())
            self.changed.notify_all()
        self.readers.publish(events)


class FeedThread(_AuditMeans):
    """The thread of one feed with its lock. Safe from any thread; the network raises nothing here.

    Methods whose names end in `_locked` are called under `lock`. `reconnect`, `forget_reader`
    and `give_back` may be called from anywhere, a finalizer or a signal handler too.

    Args:
        url: The stream's address.
        settings: Every number of the feed.
        connect: Opens a connection to an address within a time; None for websocket-client.
        clock: Seconds that never step back.
        budget: Counts connection attempts; None where nobody counts them.

    Attributes:
        lock: Guards `feed` with its prices, `readers`, the run and what is in it, the companion,
            and what the provider says that it does. Never held across I/O.
        changed: Waits on `lock` for a first price, a refusal, a mute symbol, the loss of the link,
            the end.
        feed: The protocol. After a fork it is another, as are `lock` and `changed`.
        handover: What was given back while the lock was held; its next holder does it.
        readers: Who listens.
    """

    def __init__(
        self,
        url: str,
        settings: FeedSettings,
        connect: Callable[[str, float], Connection] | None,
        clock: Callable[[], float],
        budget: ConnectBudget | None,
    ) -> None:
        self.url = url
        self.settings = settings
        self.clock = clock
        self._connect = connect or partial(open_websocket, settings=settings)
        self._budget = budget
        self._is_available = CAN_READ and (connect is not None or CLIENT_AVAILABLE)
        self.readers = Readers()
        self.feed = FeedProtocol(settings)
        self._run: Run | None = None
        self._companion: Companion | None = None
        self._renew_locks()

    def _renew_locks(self) -> None:
        self.lock = threading.Lock()  # guards what the class says
        self.changed = threading.Condition(self.lock)
        self.handover = Handover(self.lock)

    # -- life

    @property
    def is_running_locked(self) -> bool:
        """Whether there is a thread."""
        return self._run is not None

    def start_locked(self) -> Connection | None:
        """Start the thread if there is none or it died; return the connection, to be woken."""
        self.handover.empty_locked()
        if self._run is not None and self._run.is_dead:
            self._run = None
        if self._run is None and self._is_available:
            run = Run()
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
        if self._run is not None and self._companion is not None:
            self._companion.start()
        return self.open_connection_locked()

    def open_connection_locked(self) -> Connection | None:
        """Return the connection to be woken for work that is new, if there is one."""
        if self._run is None:
            return None
        self._run.has_work = True
        return self._run.connection

    def end_locked(self) -> tuple[Run | None, list[Event]]:
        """Dismiss the thread and give all subscriptions back; `Run.finish` waits for it."""
        run, self._run = self._run, None
        events = self.feed.close(self.clock())
        self.changed.notify_all()
        beside = self._companion.stop() if self._companion is not None else None
        if run is not None:
            run.companion = beside
        return run, events

    def give_back(self, work: Callable[[], None], patience: float = 0.0) -> None:
        """Have `work` done under the lock, by this thread or by who holds it. From anywhere.

        Args:
            work: Neither waits nor wants the lock.
            patience: Seconds to wait for the lock, which this very thread may hold.
        """
        run = self._run
        self.handover.add(
            work, 0.0 if run and run.thread is threading.current_thread() else patience
        )
        if run is not None:
            run.call()

    def start_anew(self) -> None:
        """Forget the parent's thread, connection and readers after a fork; keep what is wanted.

        Only the forking thread exists here, and locks may have been copied in the locked state.
        """
        self._renew_locks()
        run, self._run = self._run, None
        self.readers.clear()
        self._companion = None  # its thread and its connection are the parent's
        old, self.feed = self.feed, FeedProtocol(self.settings)
        for sub in list(old.subscriptions.by_key.values()):
            for _ in range(sub.refs):
                self.feed.subscriptions.want(sub.symbol, sub.channel)
        if run is not None and run.connection is not None:
            run.connection.close()  # the child's copy of it; the parent's lives on

    def accompany(self, companion: Companion) -> bool:
        """Let `companion` begin and end with the thread. False: there is one already."""
        with self.lock:
            if self._companion is not None:
                return False
            self._companion = companion
            if self._run is not None:
                companion.start()
            return True

    def forget_reader(self, reader: FeedReader) -> None:
        """Let `reader` have no more events. From anywhere."""
        self.give_back(partial(self.readers.forget, reader))

    # -- an audit's means

    def reconnect(self, reason: str) -> None:
        """Drop the connection and make a new one; `reason` is what events and log will say."""
        self.give_back(partial(self._drop_locked, reason))

    def _drop_locked(self, reason: str) -> None:
        if self._run is not None:
            self._run.drop = reason

    # -- the thread

    def _main(self, run: Run) -> None:
        try:
            while True:
                try:
                    self._wait_for_turn(run)
                    self._connect_and_serve(run)
                except StoppedError:
                    raise
                except Exception as error:
                    # Not blind for ever: a new connection starts from known ground.
                    logger.exception("The price feed met a defect of its own and reconnects")
                    self._lost(run, f"defect: {type(error).__name__}")
        except StoppedError:
            logger.debug("The price feed has ended")
        except BaseException:
            # The one place for whatever ends the thread; the next call starts another.
            self._bury(run)
            logger.critical("The price feed has died; the next call starts it anew", exc_info=True)

    def _bury(self, run: Run) -> None:
        """Let nobody wait for a thread that is ending without having been told to."""
        note_lost_link()
        with self.lock:
            if self._run is not run:
                return
            self._run = None
            self.feed.abandon(self.clock())
            self.changed.notify_all()

    def _alive_locked(self, run: Run) -> FeedProtocol:
        if self.handover.waiting:
            self.handover.empty_locked()
        if self._run is not run:
            raise StoppedError
        return self.feed

    def _pause(self, run: Run) -> float:
        with self.lock:
            return self._alive_locked(run).link.retry_at - self.clock()

    def _wait_for_turn(self, run: Run) -> None:
        """Sleep until the next attempt is due and within the budget, then announce it."""
        pause = self._pause(run)
        while pause > 0 or (pause := self._over_budget(run)) > 0:
            pause = self._pause(run) if run.bell.wait(pause) else 0.0
        with self.lock:
            events = self._alive_locked(run).link.attempt(self.clock())
        self.readers.publish(events)

    def _over_budget(self, run: Run) -> float:
        wait = self._budget.reserve(time.time()) if self._budget else 0.0
        if wait > 0:
            with self.lock:
                self._alive_locked(run).link.delay(self.clock() + wait)
                self.changed.notify_all()
            logger.warning(
                "Too many connection attempts on this machine; the next one in %.0f s, "
                "so that Kraken does not ban this address. Prices come over REST.",
                wait,
            )
        return wait

    def _connect_and_serve(self, run: Run) -> None:
        connection: Connection | None = None
        try:
            connection = self._connect(self.url, self.settings.connect_timeout)
            self.adopt(run, connection)
            self.serve(run, connection)
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
        finally:
            if connection is not None:
                connection.close()

    def adopt(self, run: Run, connection: Connection) -> None:
        """Tell that `connection` is open."""
        with self.lock:
            feed = self._alive_locked(run)
            run.connection = connection
            run.drop = None
            events = feed.opened(self.clock())
            self.changed.notify_all()
        self.readers.publish(events)

    def _lost(self, run: Run, reason: str, at_least: float = 0.0) -> None:
        note_lost_link()
        chance = random.random()  # noqa: S311 - jitter, not a secret
        with self.lock:
            feed = self._alive_locked(run)
            run.connection = None
            events = feed.lost(self.clock(), reason, chance, at_least=at_least)
            pause = feed.link.retry_at - self.clock()
            self.changed.notify_all()
        # The first failure is a transition; the ones after it are the same story.
        level = logging.INFO if events else logging.DEBUG
        logger.log(level, "No price stream (%s); next attempt in %.1f s", reason, max(0.0, pause))
        self.readers.publish(events)

    def serve(self, run: Run, connection: Connection) -> None:
        """Send what is due and take in what comes, until the connection ends: then raise."""
        while True:
            with self.lock:
                feed = self._alive_locked(run)
                run.has_work = False
                now = self.clock()
                due = feed.due(now)
                lost = run.drop or due.lost
                until = now if lost else feed.next_due(now)
                pause = feed.gathering(now)
                if due.events:
                    self.changed.notify_all()
            self.readers.publish(due.events)
            if lost:
                raise KrakenConnectionError(lost, request_sent=True)
            for text in due.frames:
                logger.debug("-> %s", text)
                connection.send(text)
            self._listen(run, connection, now, until, pause)

    def _listen(
        self, run: Run, connection: Connection, now: float, until: float, pause: float
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
            now = self.clock()
            if not self._take_in(run, frames, now) or now >= look_again_at:
                return
            if pause > 0 and len(frames) < _A_PILE:
                # Not a poll: the socket is known to fill at this pace. See `gather_for`.
                time.sleep(pause)

    def _take_in(self, run: Run, frames: list[str | bytes], now: float) -> bool:
        """Take in frames that came at `now`; True if all of them were mere prices."""
        heard: int | None = len(frames)
        is_calm = True
        messages: list[Message] = []
        for frame in frames:
            messages += read_frame(frame, now)
            if len(messages) >= _AT_ONCE:
                is_calm &= self._take_in_messages(run, messages, now, heard)
                heard = None
                messages = []
        if messages or heard is not None:
            is_calm &= self._take_in_messages(run, messages, now, heard)
        return is_calm

    def _take_in_messages(
        self, run: Run, messages: Sequence[Message], now: float, heard: int | None
    ) -> bool:
        """Take in some messages under one hold of the lock, and the news that so many came.

        Args:
            run: This thread's.
            messages: What came.
            now: When it came.
            heard: How many frames are a sign of life with it; None where that was told already.

        Returns:
            Whether there is nothing else to look at: mere prices, and nobody has asked for more.
        """
        with self.lock:
            feed = self._alive_locked(run)
            events = [] if heard is None else feed.link.heard(now, heard)
            if events is None:
                silence = "nothing was heard for longer than prices live; was the machine asleep?"
                raise KrakenConnectionError(silence, request_sent=True)
            # Nothing has to be looked up anew after a mere price.
            is_calm = not (events or run.has_work)
            receive_tick = feed.subscriptions.receive_tick
            for message in messages:
                if type(message) is Tick:
                    events += receive_tick(message)
                else:
                    events += feed.receive(message, now)
                    is_calm = False
            if not _MERE_PRICES.issuperset(map(type, events)):
                self.changed.notify_all()
        for message in messages:
            if type(message) is Complaint:
                logger.warning("Kraken complains: %s", message.error)
        self.readers.publish(events)
        return is_calm
