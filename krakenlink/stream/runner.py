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
import time
from collections.abc import Callable, Sequence
from functools import partial

from krakenlink.errors import KrakenConnectionError, KrakenTransportError
from krakenlink.machine import is_krakens, is_relay, note_lost_link
from krakenlink.once import Once
from krakenlink.stream.auditor import AuditMeans
from krakenlink.stream.budget import ConnectBudget
from krakenlink.stream.connection import (
    CLIENT_AVAILABLE,
    Connection,
    ConnectionRefused,
    Proving,
    open_websocket,
)
from krakenlink.stream.events import (
    BookUpdate,
    CandleUpdate,
    Complaint,
    Event,
    Message,
    Tick,
    TradeGap,
    Trades,
)
from krakenlink.stream.feed import FeedProtocol
from krakenlink.stream.handover import FeedLife, Run, StoppedError, nothing
from krakenlink.stream.reader import too_far_behind
from krakenlink.stream.settings import FeedSettings

try:
    from krakenlink.stream.frames import read_frames
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

# Seconds between two looks at how far the readers are behind, and at how much is carried.
_LOOK_EVERY = 5.0

# Seconds after which what stays as it was is said again.
_SAID_AGAIN = 3600.0

# What nobody waits for: a first price is told by another event beside it.
_MERE_PRICES = frozenset({Tick, Trades, BookUpdate, CandleUpdate, TradeGap})


def _open(url: str, timeout: float, settings: FeedSettings) -> Connection:
    """Open a WebSocket, or a relay's stream where the address is a broker's."""
    if is_relay(url):
        from krakenlink.relay.reader import open_relay  # here, because few need it

        return open_relay(url, timeout, settings)
    return open_websocket(url, timeout, settings)


class FeedThread(FeedLife, AuditMeans):
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
        on_look: Called by the thread every few seconds, under no lock; must not wait.
    """

    def __init__(
        self,
        url: str,
        settings: FeedSettings,
        connect: Callable[[str, float], Connection] | None,
        clock: Callable[[], float],
        budget: ConnectBudget | None,
    ) -> None:
        super().__init__(
            settings, clock, is_available=CAN_READ and bool(connect or CLIENT_AVAILABLE)
        )
        self.url = url
        if is_krakens(url):
            self.feed.link.expect_answers()
        self._connect = connect or partial(_open, settings=settings)
        self._budget = budget
        self._looked_at = float("-inf")
        self._said = Once(again_after=_SAID_AGAIN)
        self.on_look: Callable[[], None] = nothing

    # -- the thread

    def main(self, run: Run) -> None:
        """Connect and serve for one run, until it is ended."""
        self.say_farewell(None)  # an end that was handed over while there was no thread
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
        except BaseException as error:
            # The one place for whatever ends the thread; the next call starts another.
            self._bury(run, f"defect: {type(error).__name__}")
            logger.critical("The price feed has died; the next call starts it anew", exc_info=True)
        finally:
            self.say_farewell(run)  # where the end was handed over, nobody else may come by

    def _bury(self, run: Run, reason: str) -> None:
        """Let nobody wait for a thread that is ending without having been told to."""
        note_lost_link()
        with self.lock:
            if self._run is not run:
                return
            self._run = None
            events = self.feed.abandon(self.clock(), reason)
            self.changed.notify_all()
        self.readers.publish(events)

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
        self.do_errands()
        while pause > 0 or (pause := self._over_budget(run)) > 0:
            self.do_errands()
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
            is_news = self._said.is_news("budget", at=self.clock())
            logger.log(
                logging.WARNING if is_news else logging.DEBUG,
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
            is_news = self._said.is_news("refused", str(error), self.clock())
            logger.log(
                logging.ERROR if is_news else logging.DEBUG,
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
            run.proving = connection if isinstance(connection, Proving) else None
            self._looked_at = now = self.clock()
            events = feed.opened(now)
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
            run.has_work = False  # first: what is asked for from here on is looked for once more
            self.do_errands()
            with self.lock:
                feed = self._alive_locked(run)
                now = self.clock()
                due = feed.due(now)
                lost = run.drop or due.lost
                until = now if lost else feed.next_due(now)
                pause = feed.gathering(now)
                if due.events:
                    self.changed.notify_all()
            self.readers.publish(due.events)
            if now >= self._looked_at + _LOOK_EVERY:
                self._looked_at = now
                self.on_look()
                for backlog in too_far_behind(self.readers):
                    logger.warning("%d events wait for a reader that nobody reads", backlog)
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
        has_gathered = False
        while True:
            # What has gathered is taken without asking the system first whether it is there.
            frames = connection.recv(0.0) if has_gathered else None
            if frames is None:
                frames = connection.recv(max(0.0, until - now))
            if frames is None:
                return
            now = self.clock()
            if not self._take_in(run, frames, now) or now >= look_again_at:
                return
            has_gathered = pause > 0 and len(frames) < _A_PILE
            if has_gathered:
                # Not a poll: the socket is known to fill at this pace. See `gather_for`.
                time.sleep(pause)

    def _take_in(self, run: Run, frames: list[str | bytes], now: float) -> bool:
        """Take in frames that came at `now`; True if all of them were mere prices."""
        heard: int | None = len(frames)
        is_calm, place = True, 0
        while heard is not None or place < len(frames):
            messages = read_frames(frames[place : place + _AT_ONCE], now)
            place += _AT_ONCE
            # Nearly always as many as there were frames; one of them may hold a hundred.
            for start in range(0, max(1, len(messages)), _AT_ONCE):
                some = messages[start : start + _AT_ONCE]
                is_calm &= self._take_in_messages(run, some, now, heard)
                heard = None
        return is_calm

    def _take_in_messages(
        self, run: Run, messages: list[Message], now: float, heard: int | None
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
        proven_at = None if run.proving is None else run.proving.proven_at
        with self.lock:
            feed = self._alive_locked(run)
            events = [] if heard is None else feed.link.heard(now, heard, proven_at)
            if events is None:
                silence = "nothing was heard for longer than prices live; was the machine asleep?"
                raise KrakenConnectionError(silence, request_sent=True)
            # Nothing has to be looked up anew after a mere price.
            is_calm = not (events or run.has_work)
            prices = feed.receive_prices(messages)
            has_more = bool(events) or len(prices) < len(messages)
            if has_more:
                if prices:
                    events += prices
                    messages = messages[len(prices) :]
                is_calm &= _receive(feed, messages, now, events)
                if not _MERE_PRICES.issuperset(map(type, events)):
                    self.changed.notify_all()
        if not has_more:
            self.readers.offer(prices)
            return is_calm
        for message in () if is_calm else messages:
            if type(message) is Complaint:
                self._pass_on(message, now)
        self.readers.publish(events)
        return is_calm

    def _pass_on(self, complaint: Complaint, now: float) -> None:
        is_news = self._said.is_news("complaint", complaint.error, now)
        level = logging.WARNING if is_news else logging.DEBUG
        logger.log(level, "Kraken complains: %s", complaint.error)


def _receive(
    feed: FeedProtocol, messages: Sequence[Message], now: float, events: list[Event]
) -> bool:
    """Let `feed` take messages in, and add what it tells; True if that is mere prices."""
    is_calm = True
    receive_tick = feed.subscriptions.receive_tick
    receive_trades = feed.contents.receive_trades
    for message in messages:
        if type(message) is Tick:
            events += receive_tick(message)
        elif type(message) is Trades:
            events += receive_trades(message)
        else:
            told = feed.receive(message, now)
            if is_calm and type(message) in _MERE_PRICES:
                is_calm = _MERE_PRICES.issuperset(map(type, told))
            else:
                is_calm = False
            events += told
    return is_calm
