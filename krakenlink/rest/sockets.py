"""The sockets under REST: they know what has left, and they keep to one deadline.

Here urllib3's connections get four habits: every address of a server is tried within one deadline,
an answer that drips ends with that deadline, the call is told when its request begins to leave, and
a connection that may be dead is not used again. What it must never do: use a kept connection after
the machine slept, or wait for a peer longer than the call may.

Source: urllib3 2 and RFC 8305, whose pause between two addresses is used (read 2026-11).
"""

from __future__ import annotations

import errno
import http.client
import io
import os
import selectors
import socket
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, cast

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.connection import allowed_gai_family

from krakenlink.machine import feed_clock, lost_link_at
from krakenlink.rest.deadline import by_thread, call_here

MOST_BYTES = 32 * 2**20
"""Of one answer, head included: fifty times Kraken's longest."""

# Seconds until the next address is tried beside those that have not answered.
_STAGGER = 0.25
# Seconds that a kept connection may lie idle. Routers forget one after minutes, without a word.
_MOST_IDLE = 55.0
# Seconds that the two clocks may drift apart without the machine having slept.
_DRIFT = 1.0


class TooLong(Exception):
    """An answer that is longer than any of Kraken's."""


def slept() -> float:
    """Return the seconds that this machine has slept, from an unknown start.

    Where the two clocks are one, as on Windows, an idle connection's age tells of the sleep.
    """
    return feed_clock() - time.monotonic()


# --- connecting --------------------------------------------------------------------------------


def dial(host: str, port: int, options: Sequence[tuple[Any, ...]] | None) -> socket.socket:
    """Return a socket that is connected to the first address of `host` that answers.

    Blocks until the deadline of this thread's call.

    Raises:
        OSError: If no address answers; TimeoutError at the deadline.
    """
    call = call_here()
    ends_at = call.connects_until if call is not None else feed_clock() + 10.0
    plain_host = host.strip("[]")
    found = socket.getaddrinfo(plain_host, port, allowed_gai_family(), socket.SOCK_STREAM)
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


class _Answer(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        raw = self.fp.detach()
        self.fp = io.BufferedReader(_Bounded(raw, sock))


# --- connections -------------------------------------------------------------------------------


class _Watched(HTTPConnection):
    """What is added to each of urllib3's kinds of connection."""

    _answer: Callable[[], _Answer | None] = staticmethod(lambda: None)
    _used_at = float("-inf")
    _slept = 0.0
    _is_connecting = False

    @property
    def is_connected(self) -> bool:
        """Whether the socket stands and may still be alive; asked before it is used again."""
        call = call_here()
        dropped_at = call.used_since if call is not None else 0.0
        since = max(feed_clock() - _MOST_IDLE, dropped_at, lost_link_at())
        is_young = self._used_at >= since and slept() - self._slept < _DRIFT
        return is_young and super().is_connected

    # A class to those who call it, and a method to whom it must be told.
    def response_class(  # type: ignore[override]
        self, sock: socket.socket, *args: Any, **kwargs: Any
    ) -> _Answer:
        """Return what reads the answer, and know it: see `getresponse`."""
        answer = _Answer(sock, *args, **kwargs)
        self._answer = weakref.ref(answer)
        return answer

    def getresponse(self) -> Any:
        """Return the answer; where none can be made of what came, give its socket back at once.

        urllib3 closes the connection then, but the answer that it had begun holds the socket too.
        """
        try:
            return super().getresponse()
        except BaseException:
            answer = self._answer()
            if answer is not None:
                answer.close()
            raise

    def connect(self) -> None:
        call = call_here()
        self._is_connecting = True
        try:
            if call is None:
                super().connect()
            else:
                by_thread(super().connect, self.close, call.connects_until)
        finally:
            self._is_connecting = False
        self._note_use()

    def send(self, data: Any) -> None:
        if self._is_connecting:  # the words to a proxy
            super().send(data)
            return
        if self.sock is None:
            self.connect()
        call = call_here()
        if call is not None:
            call.note_sending()
            self.sock.settimeout(max(0.001, call.ends_at - feed_clock()))
        self._note_use()
        super().send(data)

    def _note_use(self) -> None:
        self._used_at, self._slept = feed_clock(), slept()


class _Dialed(_Watched):
    def _new_conn(self) -> socket.socket:
        return dial(self._dns_host, self.port or self.default_port, self.socket_options)


@cache
def watched(kind: type[Any]) -> type[Any]:
    """Return the connection class `kind` with the habits above."""
    # A SOCKS connection speaks with its proxy where the others dial.
    habit = _Dialed if kind in (HTTPConnection, HTTPSConnection) else _Watched
    return kind if issubclass(kind, _Watched) else type(habit.__name__, (habit, kind), {})
