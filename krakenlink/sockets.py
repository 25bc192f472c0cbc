"""One deadline for one promise, over the look-up, all addresses and every byte that is read.

A deadline belongs to the thread that calls: whoever promises an answer in time sets it, and all
steps below keep to it without being told. REST and the stream connect by what stands here. What it
must never do: let an inner step outlast the promise around it, or call a request *not sent* that
nobody has watched.

Source: RFC 8305, whose pause between two addresses is used (read 2026-11).
"""

from __future__ import annotations

import errno
import http.client
import io
import os
import selectors
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, cast

from krakenlink.machine import feed_clock

NEVER = float("inf")

MOST_BYTES = 32 * 2**20
"""Of one answer, head included: fifty times Kraken's longest."""

# Seconds until the next address is tried beside those that have not answered.
_STAGGER = 0.25


class TooLong(Exception):
    """An answer that is longer than any of Kraken's."""


class Call:
    """One request on its way, as the sockets see it: those of the thread that is `with` it.

    Attributes:
        connects_until: When the connection must stand at the latest, on `feed_clock`.
        read_within: Longest time for the request and its whole answer, in seconds.
        ends_at: When the call must be over; set anew when the request begins to leave.
        used_since: A kept connection that was last used before this moment is not used again.
        is_watched: Whether all that can leave for this call goes through our sockets.
        is_sent: Whether a byte of the request may have left.
    """

    def __init__(
        self, connects_until: float, read_within: float, ends_at: float, used_since: float
    ) -> None:
        self.connects_until = connects_until
        self.read_within = read_within
        self.ends_at = ends_at
        self.used_since = used_since
        self.is_watched = False
        self.is_sent = False

    def __enter__(self) -> Self:
        _here.call = self
        return self

    def __exit__(self, *_: object) -> None:
        _here.call = None

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


# --- connecting --------------------------------------------------------------------------------


def dial(host: str, port: int, options: Sequence[tuple[Any, ...]] | None = None) -> socket.socket:
    """Return a socket that is connected to the first address of `host` that answers.

    Blocks until the deadline of this thread's call.

    Raises:
        OSError: If no address answers; TimeoutError at the deadline.
    """
    call = call_here()
    ends_at = call.connects_until if call is not None else feed_clock() + 10.0
    plain_host = host.strip("[]")
    try:
        found = socket.getaddrinfo(plain_host, port, socket.AF_UNSPEC, socket.SOCK_STREAM)
    except UnicodeError:
        raise OSError(errno.EINVAL, f"{plain_host[:60]!r} is no name of a host") from None
    if not found:
        raise OSError(errno.EHOSTUNREACH, f"{plain_host} has no address")
    sock = _first_of(deque(_mixed(found)), options or (), ends_at)
    sock.settimeout(max(0.001, ends_at - feed_clock()))
    return sock


def _mixed(found: Sequence[Any]) -> list[Any]:
    """Return addresses with the two families in turn, the system's first choice first."""
    first = [one for one in found if one[0] == found[0][0]]
    other = [one for one in found if one[0] != found[0][0]]
    turns = [pair for both in zip(first, other, strict=False) for pair in both]
    return turns + first[len(other) :] + other[len(first) :]


def _first_of(
    waiting: deque[Any], options: Sequence[tuple[Any, ...]], ends_at: float
) -> socket.socket:
    """Try addresses beside each other, a new one each quarter second, until one answers."""
    failure: OSError = TimeoutError(errno.ETIMEDOUT, "timed out")
    next_at = feed_clock()
    with selectors.DefaultSelector() as flying:
        try:
            while waiting or flying.get_map():
                now = feed_clock()
                if now >= ends_at:
                    raise TimeoutError(errno.ETIMEDOUT, "timed out")
                if waiting and (now >= next_at or not flying.get_map()):
                    next_at = now + _STAGGER
                    try:
                        flying.register(_begun(waiting.popleft(), options), selectors.EVENT_WRITE)
                    except OSError as error:
                        failure = error
                    continue
                for key, _ in flying.select((min(ends_at, next_at) if waiting else ends_at) - now):
                    sock = cast("socket.socket", key.fileobj)
                    flying.unregister(sock)
                    number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                    if not number:
                        return sock
                    sock.close()
                    failure, next_at = OSError(number, os.strerror(number)), now
            raise failure
        finally:
            for key in list(flying.get_map().values()):
                cast("socket.socket", key.fileobj).close()


def _begun(address: Any, options: Sequence[tuple[Any, ...]]) -> socket.socket:
    """Return a socket that has begun to connect."""
    family, kind, protocol, _, where = address
    sock = socket.socket(family, kind, protocol)
    try:
        for option in options:
            sock.setsockopt(*option)
        sock.setblocking(False)
        number = sock.connect_ex(where)
        if number not in (0, errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EALREADY):
            raise OSError(number, os.strerror(number))
    except BaseException:
        sock.close()
        raise
    return sock


def state_of(*paths: str | None) -> tuple[object, ...]:
    """Return what is another once a TLS context would be that is made of these files."""
    # Locks of a context may be held by a thread that a child does not have, and whoever makes one
    # looks at the variable.
    return os.getpid(), os.environ.get("SSLKEYLOGFILE"), *map(_stamp, filter(None, paths))


def _stamp(path: str) -> tuple[int, ...]:
    try:
        seen = Path(path).stat()
    except OSError:
        return ()
    return seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns


# --- reading -----------------------------------------------------------------------------------


class _Bounded(io.RawIOBase):
    """The bytes of one answer, until the call's deadline and not more than `MOST_BYTES`."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw, self._sock = raw, sock
        self._call = call_here()
        self._room = MOST_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        call = self._call
        if call is not None:
            # While the connection is made, a proxy's answer is read.
            left = (call.ends_at if call.is_sent else call.connects_until) - feed_clock()
            if left <= 0:
                raise TimeoutError(errno.ETIMEDOUT, "timed out")
            self._sock.settimeout(left)
        count = cast("int | None", self._raw.readinto(buffer))
        self._room -= count or 0
        if self._room < 0:
            raise TooLong
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class Answer(http.client.HTTPResponse):
    """An answer that ends with the call's deadline, however slowly it drips."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        raw = self.fp.detach()
        self.fp = io.BufferedReader(_Bounded(raw, sock))

    def _read_status(self) -> tuple[str, int, str]:
        """Return the first line of the answer proper.

        An answer of 1xx announces it alone (RFC 9110, 15.2). Taken for it, as the library does with
        all but 100, the proper one would lie there for whoever calls next over this connection.
        """
        read = super()._read_status  # type: ignore[misc]  # as ever, though no stub knows it
        line: tuple[str, int, str] = read()
        while 100 < line[1] < 200:
            if line[1] == http.client.SWITCHING_PROTOCOLS:
                raise http.client.UnknownProtocol("another protocol than HTTP")
            http.client.parse_headers(self.fp)
            line = read()
        return line
