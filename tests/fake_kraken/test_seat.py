"""The port of an exchange: whose it is while it listens, does not, and has ended."""

import asyncio
import os
import socket
from contextlib import closing, suppress

import pytest
import requests

from fake_kraken import FakeKraken
from tests.kits.common.ports import kept_ports
from tests.kits.exchange.exchange_kit import LONG


def is_free(port: int) -> bool:
    """Tell whether somebody else may have a port."""
    with closing(socket.socket()) as other:
        try:
            other.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def test_port_is_kept_while_nobody_listens_and_left_at_the_end() -> None:
    """Whoever was handed it meanwhile would be knocked at by those who wait for the exchange."""
    with FakeKraken(port=kept_ports(1)[0]) as exchange:  # which nobody else is handed afterwards
        assert not is_free(exchange.port)
        exchange.stop_listening()
        assert not is_free(exchange.port)
    assert is_free(exchange.port)


def test_whoever_knocks_while_nobody_listens_is_refused() -> None:
    """Each time; and is heard at the same port as soon as somebody listens again."""
    with FakeKraken() as exchange:
        port, address = exchange.port, f"{exchange.rest_url}/0/public/Time"
        for _ in range(2):
            exchange.stop_listening()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port))
            exchange.resume()
            assert exchange.port == port
            with requests.Session() as session:
                session.trust_env = False
                assert session.get(address, timeout=60).json()["error"] == []


@pytest.mark.skipif(os.name == "nt", reason="a file number cannot be copied there")
def test_copy_in_a_child_of_a_fork_listens_no_more_either(exchange: FakeKraken) -> None:
    """Whoever knocks is refused by it, too, and the port is free to be listened at again."""
    assert exchange._seat._sock is not None
    copy = os.dup(exchange._seat._sock.fileno())  # as a child has one
    try:
        exchange.stop_listening()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", exchange.port))
        exchange.resume()
        socket.create_connection(("127.0.0.1", exchange.port)).close()
    finally:
        os.close(copy)


@pytest.mark.parametrize("turns", range(6))
def test_nobody_who_was_let_in_is_forgotten_when_the_door_closes(turns: int) -> None:
    """However far that has come: who is in is served, and who is not is refused."""
    with FakeKraken() as exchange:

        async def come_and_pause() -> socket.socket:
            client = socket.create_connection(("127.0.0.1", exchange.port))
            for _ in range(turns):
                await asyncio.sleep(0)
            await exchange._seat.pause(exchange.port)
            return client

        with closing(exchange._run(come_and_pause())) as client:
            client.settimeout(LONG)
            with suppress(ConnectionError):
                client.sendall(b"GET /0/public/Time HTTP/1.1\r\nHost: here\r\n\r\n")
                assert client.recv(100).startswith(b"HTTP/1.1 200")
