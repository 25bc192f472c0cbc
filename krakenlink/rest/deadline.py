"""One deadline for one promise, and what the wire saw of one call.

Both belong to the thread that calls: whoever promises an answer in time sets the deadline, and all
steps below keep to it without being told. What it must never do: let an inner step outlast the
promise around it, or call a request *not sent* that nobody has watched.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from krakenlink.machine import feed_clock

NEVER = float("inf")


@dataclass(slots=True)
class Call:
    """One request on its way, as the sockets see it.

    Attributes:
        connects_until: When the connection must stand at the latest, on `feed_clock`.
        read_within: Longest time for the request and its whole answer, in seconds.
        ends_at: When the call must be over; set anew when the request begins to leave.
        used_since: A kept connection that was last used before this moment is not used again.
        is_watched: Whether all that can leave for this call goes through our sockets.
        is_sent: Whether a byte of the request may have left.
    """

    connects_until: float
    read_within: float
    ends_at: float
    used_since: float
    is_watched: bool = False
    is_sent: bool = False

    @property
    def may_have_left(self) -> bool:
        """Whether the other side may have the request: False is certain, True is not."""
        return self.is_sent or not self.is_watched

    def note_sending(self) -> None:
        """Take note that the request begins to leave."""
        if not self.is_sent:
            self.is_sent = True
            self.ends_at = min(promised(), feed_clock() + self.read_within)


class _Here(threading.local):
    promised: float = NEVER
    call: Call | None = None


_here = _Here()


def promised() -> float:
    """Return when this thread has promised to be done, on `feed_clock`; `NEVER` if it has not."""
    return _here.promised


def time_left() -> float:
    """Return the seconds until this thread has promised to be done, at least 0."""
    return max(0.0, _here.promised - feed_clock())


@contextmanager
def done_within(seconds: float) -> Iterator[None]:
    """Keep all calls in here, of this thread, to one deadline; an outer one that is nearer stays.

    Args:
        seconds: From now on, for everything together.
    """
    outer = _here.promised
    _here.promised = min(outer, feed_clock() + seconds)
    try:
        yield
    finally:
        _here.promised = outer


def call_here() -> Call | None:
    """Return the call that this thread is making."""
    return _here.call


@contextmanager
def watching(call: Call) -> Iterator[Call]:
    """Let the sockets of this thread know which call they serve."""
    _here.call = call
    try:
        yield call
    finally:
        _here.call = None


def by_thread(work: Callable[[], None], undo: Callable[[], None], ends_at: float) -> None:
    """Do `work` on a thread of its own and wait for it until `ends_at`.

    For what the system does not let us interrupt, such as a name look-up. It serves this thread's
    call there; what it raises is raised here.

    Args:
        work: Must change nothing that a late end could spoil.
        undo: Called once on that thread if the work ends when nobody waits for it any more.
        ends_at: On `feed_clock`.

    Raises:
        TimeoutError: If it is not done by then.
    """
    job = _Job(work, undo, _here.call)
    # Daemon, because a look-up may hang for minutes and holds nothing that must be saved.
    thread = threading.Thread(target=job.run, name="ttslo-connect", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # no more threads, or the interpreter is ending
        work()
        return
    job.wait(ends_at)


class _Job:
    """Some work on a thread of its own, and whoever waits for it."""

    def __init__(self, work: Callable[[], None], undo: Callable[[], None], call: Call | None):
        self._work, self._undo, self._call = work, undo, call
        self._lock = threading.Lock()  # guards the three below
        self._error: BaseException | None = None
        self._is_done = False
        self._is_left = False
        self._ended = threading.Event()

    def run(self) -> None:
        _here.call = self._call
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 - it is raised by whoever waits
            self._error = error
        with self._lock:
            self._is_done = True
            is_left = self._is_left
        self._ended.set()
        if is_left:
            self._undo()

    def wait(self, ends_at: float) -> None:
        try:
            self._ended.wait(max(0.0, ends_at - feed_clock()))
        finally:
            with self._lock:
                self._is_left = not self._is_done
        error, self._error = self._error, None
        try:
            if self._is_left:
                raise TimeoutError("timed out")
            if error is not None:
                raise error
        finally:
            del error  # its traceback holds this frame
