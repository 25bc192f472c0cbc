"""How the feed's thread begins and ends; what may be called from anywhere only hands over.

A finalizer or a signal handler runs in the middle of whatever its thread is doing, and so perhaps
while that thread holds the very lock that it would wait for. It must never wait for a lock here: it
leaves work to the lock's next holder, and rings a bell.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue
from typing import Protocol, Self, TypeVar

from krakenlink.locks import done_under
from krakenlink.stream.connection import Connection, Proving
from krakenlink.stream.events import Event
from krakenlink.stream.feed import FeedProtocol
from krakenlink.stream.reader import FeedReader, Readers
from krakenlink.stream.settings import FeedSettings

logger = logging.getLogger("krakenlink.stream.runner")

T = TypeVar("T")

# Seconds that an end waits for the lock. Nobody holds it for long, but the thread that called may.
_STOP_PATIENCE = 0.1


def nothing() -> None:
    """Do nothing, where somebody might want something done."""


class Bell:
    """Wakes one thread that waits. Rung from anywhere: no lock, unlike `threading.Event`.

    Attributes:
        is_rung: Whether it was ever rung.
    """

    def __init__(self) -> None:
        self.is_rung = False
        self._rings: SimpleQueue[None] = SimpleQueue()

    def ring(self) -> None:
        """Wake who waits, or who waits next."""
        self.is_rung = True
        if self._rings.empty():
            self._rings.put(None)

    def wait(self, seconds: float) -> bool:
        """Wait for a ring that nobody has waited for yet; tell whether one came."""
        try:
            self._rings.get(timeout=max(0.0, seconds))
        except Empty:
            return False
        return True


class Handover:
    """Work that is done under a lock, by whoever holds it next.

    Args:
        lock: The lock; not re-entrant.

    Attributes:
        waiting: What is to be done. Looked at under the lock it costs no call.
    """

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self.waiting: deque[Callable[[], None]] = deque()

    def __bool__(self) -> bool:
        return bool(self.waiting)

    def add(self, work: Callable[[], None], patience: float = 0.0) -> None:
        """Have `work` done: now if the lock is free, else by its next holder. From anywhere.

        Args:
            work: Must not wait, nor want the lock.
            patience: Seconds to wait for the lock; what holds it may be this thread itself.
        """
        self.waiting.append(work)
        # Asked again after the lock was let go: what came meanwhile has found it held.
        while self.waiting and done_under(self._lock, patience, self.empty_locked):
            pass

    def empty_locked(self) -> None:
        """Do all that waits. Called under the lock."""
        while self.waiting:
            self.waiting.popleft()()


def patience_until(ends_at: float) -> float:
    """Return for how many seconds an end waits for a lock, which this very thread may hold."""
    return min(max(0.0, ends_at - time.monotonic()), _STOP_PATIENCE)


def taken(waiting: deque[T]) -> Iterator[T]:
    """Take out and yield what waits, and what comes meanwhile; another thread may take some of it.

    So may one that was dismissed while it connected, beside the one that was started after it.
    """
    while waiting:
        try:
            one = waiting.popleft()
        except IndexError:  # it was the last, and has just been taken
            return
        yield one


class StoppedError(Exception):
    """This thread's run is over; somebody stopped it or the process was forked."""


@dataclass(slots=True, eq=False)
class Run:
    """One life of the feed's thread, from a first subscription to `stop`."""

    bell: Bell = field(default_factory=Bell)
    connection: Connection | None = None
    drop: str | None = None
    proving: Proving | None = None  # the connection, if it tells what it proves
    has_work: bool = False  # somebody has asked for something since the thread looked last
    thread: threading.Thread | None = None
    companion: threading.Thread | None = None  # the one that ends with it
    farewell: deque[Event] = field(default_factory=deque)  # to be told once the lock is let go

    @property
    def is_dead(self) -> bool:
        """Whether its thread has ended, for whatever reason."""
        return self.thread is None or not self.thread.is_alive()

    def call(self) -> None:
        """Make the thread look for work. From anywhere."""
        self.has_work = True
        self.bell.ring()
        wake(self.connection)

    def finish(self, ends_at: float) -> bool:
        """Wait until this run, dismissed, is gone, up to a moment of `time.monotonic`.

        Returns:
            Whether it can be taken for gone: not by its own thread, which does not wait for itself
            and has to tell the rest.
        """
        self.bell.ring()
        here = threading.current_thread()
        if self.connection is not None and here is not self.thread:
            self.connection.close()  # a dismissed thread changes nothing in here any more
        for thread in (self.companion, self.thread):
            if thread is not None and thread is not here:
                thread.join(max(0.0, ends_at - time.monotonic()))
        return here is not self.thread


class Companion(Protocol):
    """Something that lives as long as the feed's thread does."""

    # Both are called under the feed's lock, so that none overtakes the other: no waiting.

    def start(self) -> None:
        """Begin, if it has not or has died; raises nothing."""
        ...

    def stop(self) -> threading.Thread | None:
        """Tell it to end; return the thread to wait for, if there is one."""
        ...


def wake(connection: Connection | None) -> None:
    """Make the feed's thread look for new work, if it listens to `connection`."""
    if connection is not None:
        connection.wake()


class Stoppable:
    """What `with` stops at the end."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self, timeout: float = 1.0) -> None:
        """Come to an end, in so many seconds at most."""
        raise NotImplementedError


class FeedLife:
    """How the feed's thread begins and ends, and what others may have it do; see `FeedThread`.

    Args:
        settings: Every number of the feed.
        clock: Seconds that never step back.
        is_available: Whether there is all that the thread needs.
    """

    def __init__(
        self, settings: FeedSettings, clock: Callable[[], float], *, is_available: bool
    ) -> None:
        self.settings = settings
        self.clock = clock
        self._is_available = is_available
        self.readers = Readers()
        self.feed = FeedProtocol(settings)
        self._run: Run | None = None
        self._companion: Companion | None = None
        self._farewell: deque[Event] = deque()  # of an end without a run; see there
        self._errands: deque[Callable[[], None]] = deque()
        self._renew_locks()

    def _renew_locks(self) -> None:
        self.lock = threading.Lock()  # guards what the class says
        self.changed = threading.Condition(self.lock)
        self.handover = Handover(self.lock)

    @property
    def is_running_locked(self) -> bool:
        """Whether there is a thread."""
        return self._run is not None

    @property
    def is_dead(self) -> bool:
        """Whether there is no thread, or it has died. Takes no lock."""
        run = self._run
        return run is None or run.is_dead

    def start_locked(self) -> Connection | None:
        """Start the thread if there is none or it died; return the connection, to be woken.

        What was handed over is done before whoever calls decides that there is to be one: an end
        that came in between would be followed by a thread for nothing.
        """
        if self._run is not None and self._run.is_dead:
            self._run = None
        if self._run is None and self._is_available:
            run = Run()
            # Daemon, because it waits on the network most of the time and owns nothing that
            # would have to be saved: the interpreter's exit must not wait for it.
            run.thread = threading.Thread(
                target=self.main, args=(run,), name="kraken-price-feed", daemon=True
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

    def revive(self) -> None:
        """Start a thread anew that has died: who only reads would wait for its prices for ever."""
        if self.is_dead:
            with self.lock:
                self.handover.empty_locked()
                if self.feed.subscriptions.by_key:
                    self.start_locked()

    def end(self, forget: Callable[[], None], ends_at: float) -> None:
        """Dismiss the thread, give all subscriptions back and tell the readers. From anywhere.

        Args:
            forget: Done under the lock with it; neither waits nor wants the lock.
            ends_at: Longest wait for the thread, as a moment of `time.monotonic`. Where this very
                thread is at work in here it is handed over: the feed's thread says the rest.
        """
        self.see_off(self.dismiss(forget, ends_at), ends_at)

    def dismiss(
        self, forget: Callable[[], None] = nothing, ends_at: float = 0.0
    ) -> list[Run | None]:
        """Do the first step of `end`, which waits for nothing but the lock, and not for long.

        Returns:
            What the second step is about, once the first is done; see `see_off`.
        """
        ended: list[Run | None] = []

        def work() -> None:
            forget()
            ended.append(self._end_locked())

        self.give_back(work, patience_until(ends_at))
        return ended

    def see_off(self, ended: list[Run | None], ends_at: float) -> None:
        """Do the second step of `end`: wait for what was dismissed, then tell the readers."""
        if not ended:  # the first was handed over, and may be done by now
            self.give_back(nothing, patience_until(ends_at))
        for run in ended:
            # After the thread has told what it had taken in: the end is the last that is told. In
            # the middle of its work it says so itself, once that is done.
            if run is None:
                self.say_farewell(run)
            elif run.finish(ends_at):
                if not run.is_dead:
                    said = "The price feed is still ending; it was interrupted while connecting"
                    logger.warning(said)
                self.say_farewell(run)

    def _end_locked(self) -> Run | None:
        run, self._run = self._run, None
        (run.farewell if run is not None else self._farewell).extend(self.feed.close(self.clock()))
        self.changed.notify_all()
        beside = self._companion.stop() if self._companion is not None else None
        if run is not None:
            run.companion = beside
        return run

    def say_farewell(self, run: Run | None) -> None:
        """Tell what the end of a run, or of none, has left to be told; each thing once."""
        for farewell in (self._farewell, *(() if run is None else (run.farewell,))):
            for event in taken(farewell):
                self.readers.publish([event])

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

    def send(self, errand: Callable[[], None]) -> None:
        """Have the feed's thread do something between two things that it tells. From anywhere.

        It is done under no lock, before anything is told that the thread takes in afterwards; a
        thread that has ended does it once it is started anew.
        """
        self._errands.append(errand)
        run = self._run
        if run is not None:
            run.call()

    def do_errands(self) -> None:
        """Do all that was sent. The feed's thread calls it, under no lock."""
        for errand in taken(self._errands):
            errand()

    def start_anew(self) -> None:
        """Forget the parent's thread, connection and readers after a fork; keep what is wanted.

        Only the forking thread exists here, and locks may have been copied in the locked state.
        """
        self._renew_locks()
        run, self._run = self._run, None
        self.readers.clear()
        self._farewell.clear()
        self._errands.clear()  # what an audit has found of the parent's stream; a pool looks anew
        self._companion = None  # its thread and its connection are the parent's
        old, self.feed = self.feed, FeedProtocol(self.settings)
        self.feed.is_part = old.is_part
        self.feed.link.learn_from(old.link)
        for sub in list(old.subscriptions.by_key.values()):
            if sub.is_arriving:
                self.feed.subscriptions.expect(sub.symbol, sub.channel, sub.param)
                self.feed.subscriptions.by_key[sub.key].refs = sub.refs
                continue
            for _ in range(sub.refs):
                self.feed.subscriptions.want(sub.symbol, sub.channel, sub.param)
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

    def main(self, run: Run) -> None:
        """Be the thread of `run`."""
        raise NotImplementedError

    def forget_reader(self, reader: FeedReader) -> None:
        """Let `reader` have no more events. From anywhere."""
        self.give_back(partial(self.readers.forget, reader))

    def reconnect(self, reason: str) -> None:
        """Drop the connection and make a new one; `reason` is what events and log will say."""
        self.give_back(partial(self._drop_locked, reason))

    def _drop_locked(self, reason: str) -> None:
        if self._run is not None:
            self._run.drop = reason
