"""The sockets under REST: they know what has left, and which of them may be dead.

Here urllib3's connections get their habits: every address of a server is tried within one deadline,
an answer that drips ends with that deadline, the call is told when its request begins to leave, and
a connection that may be dead is not used again. What it must never do: use a kept connection after
the machine slept, or wait for a peer longer than the call may.

Source: urllib3 2 (read 2026-11).
"""

from __future__ import annotations

import select
import socket
import time
import weakref
from collections.abc import Callable
from functools import cache, partial
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util import wait_for_read

from krakenlink.machine import feed_clock, lost_link_at
from krakenlink.rest.trust import sharing
from krakenlink.sockets import Answer, by_thread, call_here, dial

# Seconds that a kept connection may lie idle. Routers forget one after minutes, without a word.
_MOST_IDLE = 55.0
# Seconds that the two clocks may drift apart without the machine having slept.
_DRIFT = 1.0


def slept() -> float:
    """Return the seconds that this machine has slept, from an unknown start.

    Where the two clocks are one, as on Windows, an idle connection's age tells of the sleep.
    """
    return feed_clock() - time.monotonic()


def _look_at(sock: socket.socket) -> Callable[[], object]:
    """Return what tells whether a socket has something to be read, its end for instance.

    It is kept with the connection: urllib3 sets up the same for each look, and an order waits.
    """
    if not hasattr(select, "poll"):  # as on Windows
        return partial(wait_for_read, sock, 0.0)
    look = select.poll()
    look.register(sock, select.POLLIN)
    return partial(look.poll, 0)


class _Watched(HTTPConnection):
    """What is added to each of urllib3's kinds of connection."""

    _answer: Callable[[], Answer | None] = staticmethod(lambda: None)
    _used_at = float("-inf")
    _slept = 0.0
    _is_connecting = False
    _is_head_held, _head = False, b""
    _has_news: Callable[[], object] | None = None

    @property
    def is_connected(self) -> bool:
        """Whether the socket stands and may still be alive; asked before it is used again."""
        call = call_here()
        dropped_at = call.used_since if call is not None else 0.0
        since = max(feed_clock() - _MOST_IDLE, dropped_at, lost_link_at())
        is_young = self._used_at >= since and slept() - self._slept < _DRIFT
        if not is_young or self.sock is None:
            return False
        if self._has_news is None:
            self._has_news = _look_at(self.sock)
        return not self._has_news()

    # A class to those who call it, and a method to whom it must be told.
    def response_class(  # type: ignore[override]
        self, sock: socket.socket, *args: Any, **kwargs: Any
    ) -> Answer:
        """Return what reads the answer, and know it: see `getresponse`."""
        answer = Answer(sock, *args, **kwargs)
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
        self._is_connecting, self._has_news = True, None
        try:
            if call is None:
                self._reach()
            else:
                by_thread(self._reach, self.close, call.connects_until)
        finally:
            self._is_connecting = False
        self._note_use()

    def _reach(self) -> None:
        with sharing(self):
            super().connect()

    def request(
        self, method: str, url: str, body: Any = None, headers: Any = None, **options: Any
    ) -> None:
        """Send a request; a head whose body is at hand leaves with it, in one piece."""
        self._is_head_held, self._head = isinstance(body, bytes) and bool(body), b""
        super().request(method, url, body, headers, **options)

    def send(self, data: Any) -> None:
        if self._is_connecting:  # the words to a proxy
            super().send(data)
            return
        if self._is_head_held:
            self._is_head_held, self._head = False, data
            return
        if self._head:
            data, self._head = self._head + data, b""
        if self.sock is None:
            self.connect()
        self.note_sending()
        super().send(data)

    def note_sending(self) -> None:
        """Take note that what this thread calls for leaves now, over the socket that stands."""
        call = call_here()
        if call is not None:
            call.note_sending()
            self.sock.settimeout(max(0.001, call.ends_at - feed_clock()))
        self._note_use()

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
