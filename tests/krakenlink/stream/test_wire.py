"""Waiting for bytes, being woken, and giving sockets back."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from krakenlink.errors import KrakenConnectionError
from krakenlink.stream.connection import open_websocket
from krakenlink.stream.settings import FeedSettings
from krakenlink.stream.wire import readable_waiter
from tests.kits.stream.stream_kit import (
    LONG,
    Peer,
    Server,
)

Wait = Callable[[float], tuple[bool, bool]]


@pytest.fixture
def pairs() -> Iterator[tuple[socket.socket, socket.socket, socket.socket, socket.socket]]:
    """Two connected pairs: server and client, waker and woken."""
    server, client = socket.socketpair()
    waker, woken = socket.socketpair()
    yield server, client, waker, woken
    for sock in (server, client, waker, woken):
        sock.close()


@pytest.mark.parametrize("has_poll", [True, False])
def test_wait_tells_data_from_a_wake_up(
    pairs: tuple[socket.socket, ...], monkeypatch: pytest.MonkeyPatch, has_poll: bool
) -> None:
    """With `poll` and on systems without it the same is told of data, wake-ups and both."""
    if not has_poll:
        monkeypatch.delattr(select, "poll", raising=False)
    server, client, waker, woken = pairs
    wait = readable_waiter(client, woken)
    assert wait(0.0) == (False, False)
    waker.send(b"w")
    assert wait(LONG) == (False, True)
    server.send(b"price")
    assert wait(LONG) == (True, True)
    woken.recv(1)
    assert wait(LONG) == (True, False)


@pytest.mark.parametrize("has_poll", [True, False])
def test_end_of_a_connection_counts_as_data(
    pairs: tuple[socket.socket, ...], monkeypatch: pytest.MonkeyPatch, has_poll: bool
) -> None:
    """Who waits is told of the end, so that the next read finds it."""
    if not has_poll:
        monkeypatch.delattr(select, "poll", raising=False)
    server, client, _, woken = pairs
    server.close()
    assert readable_waiter(client, woken)(LONG) == (True, False)


def test_waiting_connection_can_be_woken_and_closed_by_another_thread(server: Server) -> None:
    """`wake` ends a wait with nothing, `close` from elsewhere ends it with an error."""
    server.scripts = [lambda peer: (peer.shake_hands(), peer.receive())]
    connection = open_websocket(server.url, LONG)
    connection.wake()
    assert connection.recv(LONG) is None
    closer = threading.Thread(target=connection.close)
    closer.start()
    with pytest.raises(KrakenConnectionError):
        connection.recv(LONG)
    closer.join(LONG)
    with pytest.raises(KrakenConnectionError, match="closed on this side"):
        connection.recv(LONG)
    connection.close()
    connection.close()
    connection.wake()


def test_look_without_waiting_takes_what_is_there_and_asks_nothing_before(server: Server) -> None:
    """It costs one system call; a wake-up meanwhile is there for the next that waits."""

    def script(peer: Peer) -> None:
        peer.shake_hands()
        peer.send("one", "two")
        peer.receive()

    def fail(timeout: float) -> tuple[bool, bool]:
        raise AssertionError("it has asked")

    server.scripts = [script]
    connection: Any = open_websocket(server.url, LONG)
    wait, connection._wire._wait_readable = connection._wire._wait_readable, fail
    connection.wake()
    found: list[str] = []
    while len(found := [*found, *(connection.recv(0.0) or [])]) < 2:  # some came with the handshake
        assert select.select([connection._wire._sock], [], [], LONG)[0]
    assert found == ["one", "two"]
    assert connection.recv(0.0) is None
    connection._wire._wait_readable = wait
    assert connection.recv(LONG) is None
    connection.close()


def test_copy_of_a_connection_in_a_child_can_always_be_closed(server: Server) -> None:
    """A fork copies locks as they are: one that was held at that moment blocks nobody."""
    server.scripts = [lambda peer: (peer.shake_hands(), peer.receive())]
    connection: Any = open_websocket(server.url, LONG)
    wire = connection._wire
    wire._pid = -1
    wire._close_lock.acquire()
    connection.close()
    assert wire._sock.fileno() == -1


def test_sending_into_a_full_socket_has_a_deadline(server: Server) -> None:
    """A server that reads nothing holds a sender no longer than the send timeout."""
    done = threading.Event()
    server.scripts = [lambda peer: (peer.shake_hands(), done.wait(LONG))]
    connection = open_websocket(server.url, LONG, FeedSettings(send_timeout=0.05))
    with pytest.raises((TimeoutError, KrakenConnectionError)):
        connection.send("x" * 20_000_000)
    done.set()
    connection.close()
