"""Sockets: every address in one deadline, no use of what may be dead, and what has left."""

import socket
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from urllib3.connection import HTTPConnection
from urllib3.exceptions import InvalidHeader

import krakenlink.sockets
from kraken_api import KrakenAPI, Timeouts
from krakenlink.errors import KrakenConnectionError, KrakenTimeout
from krakenlink.machine import feed_clock, note_lost_link
from krakenlink.rest import sockets
from tests.kits.rest.rest_kit import (
    LONG,
    SHORT,
    Loopback,
    client_of,
    forever_ok,
    http,
    ok,
    read_request,
)

real_getaddrinfo = socket.getaddrinfo


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
    """Let every name have these addresses."""

    def found(*_: Any, **__: Any) -> list[Any]:
        family = socket.AF_INET
        return [(family, socket.SOCK_STREAM, 6, "", address) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", found)


@pytest.fixture
def dead_address() -> Any:
    """Hand out an address that answers no connection: its queue is full."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    fillers = []
    for _ in range(4):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
        fillers.append(filler)
    time.sleep(0.01)
    yield listener.getsockname()
    for one in (listener, *fillers):
        one.close()


def refused_address() -> tuple[str, int]:
    """Return an address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        return ("127.0.0.1", gone.getsockname()[1])


def test_good_address_behind_dead_ones_is_found_in_time(
    monkeypatch: pytest.MonkeyPatch, dead_address: tuple[str, int]
) -> None:
    """Four addresses that say nothing fit into the one deadline of the call."""
    monkeypatch.setattr(krakenlink.sockets, "_STAGGER", 0.02)
    with Loopback(forever_ok) as server:
        api = client_of(server.url)
        resolve_to(monkeypatch, *[dead_address] * 4, ("127.0.0.1", server.port))
        assert api.server_time() == 1_700_000_000
        api.close()


def test_dead_addresses_end_with_the_deadline(
    monkeypatch: pytest.MonkeyPatch, dead_address: tuple[str, int]
) -> None:
    """However many there are, a call is over in time, was not sent, and is not tried again."""
    resolve_to(monkeypatch, *[dead_address] * 200)
    began = time.monotonic()
    with pytest.raises(KrakenTimeout, match="cannot connect") as caught:
        client_of("http://127.0.0.1:1", SHORT).server_time()
    assert not caught.value.request_sent
    assert time.monotonic() - began < 30.0


@pytest.mark.parametrize("fails", [True, False])
def test_slow_look_up_ends_with_the_deadline(monkeypatch: pytest.MonkeyPatch, fails: bool) -> None:
    """A name server that takes seconds costs a caller no more than its deadline."""
    go_on = threading.Event()

    def slow(*args: Any, **kwargs: Any) -> Any:
        go_on.wait(90)
        if fails:
            raise socket.gaierror(-3, "Temporary failure in name resolution")
        return real_getaddrinfo(*args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    began = time.monotonic()
    with pytest.raises(KrakenTimeout) as caught:
        client_of("http://127.0.0.1:1", SHORT).add_order("XBTUSD", "market", "sell", "1")
    go_on.set()
    assert not caught.value.request_sent
    assert time.monotonic() - began < 30.0


def test_failed_look_up_says_the_systems_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that does not exist is named with the reason, and nothing was sent."""

    def fail(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(KrakenConnectionError, match="Name or service not known") as caught:
        client_of("https://exchange.invalid").add_order("XBTUSD", "market", "sell", "1")
    assert not caught.value.request_sent


# --- an answer that drips ----------------------------------------------------------------------


def drip(data: bytes) -> Callable[[socket.socket], None]:
    """Return a server that sends one byte of `data` after another, each well in time."""

    def treat(sock: socket.socket) -> None:
        read_request(sock)
        for n in range(len(data)):
            sock.sendall(data[n : n + 1])
            time.sleep(0.15)

    return treat


DRIPPED = {
    "in its status line": b"HTTP/1.1 200 OK" + b" " * 600,
    "in its headers": b"HTTP/1.1 200 OK\r\n" + b"X-Y: z\r\n" * 90,
    "in its body": http(ok({"x": "y" * 600}))[:40] + http(ok({"x": "y" * 600}))[40:],
    "in 1xx answers": b"HTTP/1.1 100 Continue\r\n\r\n" * 90,
    "in the size of a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0" * 600,
}


@pytest.mark.parametrize("data", DRIPPED.values(), ids=DRIPPED)
def test_answer_that_drips_ends_with_the_deadline(data: bytes) -> None:
    """A deadline between two bytes is none: there is one for the whole answer."""
    with Loopback(drip(data)) as server:
        began = time.monotonic()
        with pytest.raises(KrakenTimeout) as caught:
            client_of(server.url, read=SHORT).add_order("XBTUSD", "market", "sell", "1")
        assert 0.4 < time.monotonic() - began < 30.0
    assert caught.value.request_sent


def test_proxy_that_drips_ends_with_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The words of a proxy belong to connecting, and nothing was sent."""
    with Loopback(drip(b"HTTP/1.1 200 OK\r\n" + b"X-Y: z\r\n" * 90)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        began = time.monotonic()
        with pytest.raises(KrakenTimeout) as caught:
            client_of("https://exchange.invalid", SHORT).add_order("XBTUSD", "market", "sell", "1")
        assert time.monotonic() - began < 30.0
    assert not caught.value.request_sent


def test_socks_proxy_that_drips_ends_with_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """So do those of a SOCKS proxy, byte by byte."""

    def treat(sock: socket.socket) -> None:
        sock.recv(64)
        sock.sendall(b"\5\0")
        sock.recv(64)
        for byte in b"\5\0\0\3\xff" + b"x" * 255:
            sock.sendall(bytes([byte]))
            time.sleep(0.15)

    with Loopback(treat) as proxy:
        monkeypatch.setenv("ALL_PROXY", f"socks5h://127.0.0.1:{proxy.port}")
        began = time.monotonic()
        with pytest.raises(KrakenTimeout) as caught:
            client_of("https://exchange.invalid", SHORT).add_order("XBTUSD", "market", "sell", "1")
        assert time.monotonic() - began < 30.0
    assert not caught.value.request_sent


# --- connections that may be dead --------------------------------------------------------------


def test_connections_are_not_used_again_after_a_lost_link() -> None:
    """Whoever learns of it says so, and the next call opens a connection of its own."""
    with Loopback(forever_ok) as server:
        api = client_of(server.url)
        api.warm_up()
        api.drop_idle_connections()
        api.warm_up()
        api.warm_up()
        assert server.connections == 2
        api.close()


def test_connections_are_not_used_again_after_the_stream_lost_its_link() -> None:
    """The stream hears first that a network is gone; no client has to be told by its caller."""
    with Loopback(forever_ok) as server:
        api, trading = client_of(server.url), client_of(server.url)
        api.warm_up()
        trading.warm_up()
        note_lost_link()
        trading.add_order("XBTUSD", "market", "sell", "1")
        api.warm_up()
        assert server.connections == 4
        api.close()
        trading.close()


def test_connection_that_swallowed_a_call_takes_the_others_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After one that was not answered, no call waits on another of the same age."""
    is_dead, both = threading.Event(), threading.Barrier(2)

    def treat(sock: socket.socket) -> None:
        while read_request(sock):
            if is_dead.is_set():
                return  # and never an answer
            both.wait(60)  # so that two calls need two connections
            sock.sendall(http(ok({"unixtime": 1_700_000_000})))

    with Loopback(treat) as server, client_of(server.url) as api, ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: api.server_time(), range(2)))
        assert server.connections == 2
        is_dead.set()
        with monkeypatch.context() as patch:
            patch.setattr(api._transport, "_timeouts", Timeouts(LONG, SHORT, SHORT))
            with pytest.raises(KrakenTimeout):
                api.warm_up()
        is_dead.clear()
        list(pool.map(lambda _: api.server_time(), range(2)))
        assert server.connections == 4


@pytest.mark.parametrize("seconds", [2.0, 3600.0])
def test_connections_are_not_used_again_after_a_sleep(
    monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """The clock that goes on in sleep has drifted from the one that does not."""
    with Loopback(forever_ok) as server:
        api = client_of(server.url)
        api.warm_up()
        monkeypatch.setattr(sockets, "slept", lambda: seconds + feed_clock() - time.monotonic())
        api.warm_up()
        api.warm_up()
        assert server.connections == 2
        api.close()


def test_connections_that_lay_idle_are_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Routers forget a connection after minutes, and then swallow what comes."""
    with Loopback(forever_ok) as server:
        api = client_of(server.url)
        api.warm_up()
        monkeypatch.setattr(sockets, "_MOST_IDLE", -1.0)
        api.warm_up()
        assert server.connections == 2
        api.close()


# --- the system's certificates -----------------------------------------------------------------


def test_context_that_cannot_tell_its_roots_has_some(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system checks certificates itself, as truststore has it do, nothing counts them."""

    def refuse(*_: object) -> Any:
        raise NotImplementedError

    monkeypatch.setattr(ssl.SSLContext, "get_ca_certs", refuse)
    monkeypatch.setattr(ssl.SSLContext, "cert_store_stats", refuse)

    def plain(sock: socket.socket) -> None:
        sock.recv(65536)
        sock.sendall(http("", "400 Bad Request"))

    timeouts = Timeouts(connect=5.0, retry_pauses=())  # reading all roots takes its time
    with Loopback(plain) as server, pytest.raises(KrakenConnectionError, match="cannot connect"):
        KrakenAPI(base_url=f"https://127.0.0.1:{server.port}", timeouts=timeouts).server_time()


def test_answer_that_contradicts_itself_gives_its_socket_back_at_once() -> None:
    """Two lengths make no answer: what had begun to read it is closed, collector or not."""
    ended = threading.Event()

    def treat(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(http("{}", extra="Content-Length: 9\r\nConnection: close\r\n"))
        if sock.recv(1) == b"":
            ended.set()

    with Loopback(treat) as server:
        connection = sockets.watched(HTTPConnection)("127.0.0.1", server.port, timeout=5)
        connection.request("GET", "/")
        # What is caught holds the frames, and with them the answer, as a collector may do for long.
        with pytest.raises(InvalidHeader) as held:
            connection.getresponse()
        connection.close()
        assert ended.wait(60)
        assert "Content-Length" in str(held.value)


# --- one piece ---


class Pieces:
    """A socket that notes what is sent, piece by piece."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def settimeout(self, seconds: float | None) -> None:
        pass

    def sendall(self, data: bytes) -> None:
        self.sent.append(bytes(data))

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("body", "pieces"),
    [(b"a=1", 1), (None, 1), (b"", 1), (iter([b"a=1", b"b=2"]), 3)],
    ids=["bytes", "none", "empty", "parts"],
)
def test_head_leaves_with_the_body_that_is_at_hand(body: Any, pieces: int) -> None:
    """Nothing is held back without a body, and nothing is left over for the next request."""
    made = sockets.watched(HTTPConnection)("127.0.0.1", 9)
    made.sock = wire = Pieces()
    length = {} if body is None else {"Content-Length": "6"}
    for _ in range(2):
        wire.sent.clear()
        made.request("POST", "/x", body=body, headers=length)
        made._HTTPConnection__state = "Idle"  # the answer is read
        assert wire.sent[0].startswith(b"POST /x HTTP/1.1\r\n")
        if not isinstance(body, bytes | None):
            break  # it is used up
        assert len(wire.sent) == pieces
        assert wire.sent[0].endswith(b"\r\n\r\n" + (body or b""))
    assert len(wire.sent) == pieces
