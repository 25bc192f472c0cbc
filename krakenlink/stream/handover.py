"""What may be called from anywhere only hands over: work for a lock's next holder, and a bell.

A finalizer or a signal handler runs in the middle of whatever its thread is doing, and so perhaps
while that thread holds the very lock that it would wait for. It must never wait for a lock here.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Protocol, Self

from krakenlink.stream.connection import Connection

logger = logging.getLogger("krakenlink.stream.runner")


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
        while self.waiting and self._lock.acquire(timeout=patience):
            try:
                self.empty_locked()
            finally:
                self._lock.release()

    def empty_locked(self) -> None:
        """Do all that waits. Called under the lock."""
        while self.waiting:
            self.waiting.popleft()()


class StoppedError(Exception):
    """This thread's run is over; somebody stopped it or the process was forked."""


@dataclass(slots=True, eq=False)
class Run:
    """One life of the feed's thread, from a first subscription to `stop`."""

    bell: Bell = field(default_factory=Bell)
    connection: Connection | None = None
    drop: str | None = None
    has_work: bool = False  # somebody has asked for something since the thread looked last
    thread: threading.Thread | None = None
    companion: threading.Thread | None = None  # the one that ends with it

    @property
    def is_dead(self) -> bool:
        """Whether its thread has ended, for whatever reason."""
        return self.thread is None or not self.thread.is_alive()

    def call(self) -> None:
        """Make the thread look for work. From anywhere."""
        self.has_work = True
        self.bell.ring()
        wake(self.connection)

    def finish(self, timeout: float) -> None:
        """Wait until this run, dismissed, is gone; at most `timeout` seconds for each thread.

        A thread of its own does not wait for itself.
        """
        self.bell.ring()
        here = threading.current_thread()
        if self.connection is not None and here is not self.thread:
            self.connection.close()  # a dismissed thread changes nothing in here any more
        for thread in (self.companion, self.thread):
            if thread is not None and thread is not here:
                thread.join(timeout)
        if self.thread is not None and self.thread is not here and self.thread.is_alive():
            logger.warning("The price feed is still ending; it was interrupted while connecting")


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
