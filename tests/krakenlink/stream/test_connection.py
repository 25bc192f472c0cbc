"""Waiting for bytes; what is done with them is tested over real servers, with the provider."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Iterator

import pytest

from krakenlink.stream.connection import _readable_waiter

Wait = Callable[[float], tuple[bool, bool]]
LONG = 20.0  # seconds that nothing here takes unless it is broken


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
    wait = _readable_waiter(client, woken)
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
    assert _readable_waiter(client, woken)(LONG) == (True, False)
