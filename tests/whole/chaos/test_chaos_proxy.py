"""The proxy of the tests does to a line what it says: pass, hold, drop, and drop one way."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.kits.chaos.chaos_proxy import FAIR, ChaosProxy, Weather
from tests.kits.program.program_process import wait_until

LONG = 60.0
SHORT = 0.2  # seconds in which what is cut stays away; what is late by more proves nothing else


class Echo(socketserver.BaseRequestHandler):
    """Answers each piece with itself, and remembers it."""

    heard: bytes = b""

    def handle(self) -> None:
        while data := self.request.recv(100):
            type(self).heard += data
            self.request.sendall(data)


@pytest.fixture
def proxy() -> Iterator[ChaosProxy]:
    """Stand before a server that echoes."""
    Echo.heard = b""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        made = ChaosProxy(server.server_address[1])
        yield made
        made.close()
        server.shutdown()
        thread.join()


@pytest.fixture
def dial(proxy: ChaosProxy) -> Iterator[Callable[[], socket.socket]]:
    """Hand out connections through the proxy."""
    made: list[socket.socket] = []

    def dialled() -> socket.socket:
        made.append(socket.create_connection(("127.0.0.1", proxy.port), LONG))
        return made[-1]

    yield dialled
    for one in made:
        one.close()


def asked(line: socket.socket, what: bytes, within: float = LONG) -> bytes | None:
    """Return what comes back; None if nothing does in time."""
    line.sendall(what)
    return told(line, within)


def told(line: socket.socket, within: float = LONG) -> bytes | None:
    """Return what comes next; None if nothing does in time."""
    line.settimeout(within)
    try:
        return line.recv(100)
    except TimeoutError:
        return None


def test_bytes_pass_in_fair_weather(proxy: ChaosProxy, dial: Callable[[], socket.socket]) -> None:
    """There and back."""
    assert asked(dial(), b"a") == b"a"


def test_held_bytes_arrive_later(proxy: ChaosProxy, dial: Callable[[], socket.socket]) -> None:
    """Nothing of them is lost, and their order is kept."""
    line = dial()
    proxy.weather = Weather(is_held=True)
    assert asked(line, b"a", SHORT) is None
    assert Echo.heard == b""
    proxy.weather = FAIR
    assert told(line) == b"a"
    assert asked(line, b"b") == b"b"


def test_lost_questions_reach_nobody(proxy: ChaosProxy, dial: Callable[[], socket.socket]) -> None:
    """And the connection is good for nothing afterwards; a new one is."""
    line = dial()
    assert asked(line, b"a") == b"a"
    proxy.weather = Weather(loses_questions=True)
    assert asked(line, b"b", SHORT) is None
    proxy.weather = FAIR
    assert asked(line, b"c", SHORT) is None
    assert asked(dial(), b"d") == b"d"
    assert Echo.heard == b"ad"


def test_lost_answers_leave_what_was_done(
    proxy: ChaosProxy, dial: Callable[[], socket.socket]
) -> None:
    """The server has heard it all, and nobody hears from it."""
    line = dial()
    proxy.weather = Weather(loses_answers=True)
    assert asked(line, b"a", SHORT) is None
    wait_until(lambda: Echo.heard == b"a", "the question has arrived")
    proxy.weather = FAIR
    assert asked(line, b"b", SHORT) is None
    wait_until(lambda: Echo.heard == b"ab", "the next one has, too")
    assert asked(dial(), b"c") == b"c"


def test_both_ways_may_be_cut(proxy: ChaosProxy, dial: Callable[[], socket.socket]) -> None:
    """Then connections still come about, and stay silent for good."""
    proxy.weather = Weather(loses_questions=True, loses_answers=True)
    line = dial()
    assert asked(line, b"a", SHORT) is None
    proxy.weather = FAIR
    assert asked(line, b"b", SHORT) is None
    assert Echo.heard == b""
