"""The wire: what is sent again, in which order, and what is certain after a failure."""

import gzip
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from kraken_api import KrakenAPI, Timeouts
from krakenlink import sockets
from krakenlink.errors import (
    KrakenConnectionError,
    KrakenError,
    KrakenTimeout,
    ProtocolError,
)
from krakenlink.rest import transport
from krakenlink.sockets import MOST_BYTES
from tests.kits.program.program_process import wait_until
from tests.kits.rest import rest_kit
from tests.kits.rest.rest_kit import (
    LONG,
    SECRET,
    SHORT,
    Loopback,
    Reply,
    Web,
    answer_never,
    client_of,
    cut_handshake,
    failed_order,
    forever_ok,
    http,
    ok,
    read_request,
    refusal,
    reset,
)

web, rest = rest_kit.web, rest_kit.rest  # fixtures


@pytest.mark.parametrize("failure", [(502, "<html>"), requests.ConnectionError("reset")])
def test_get_is_tried_three_times(web: Web, rest: KrakenAPI, failure: Reply) -> None:
    """A proxy that restarts costs a reader nothing but time, and not for ever."""
    web.on("Time", failure, failure, ok({"unixtime": 1_700_000_005}))
    assert rest.server_time() == 1_700_000_005.0
    web.on("Time", failure)
    with pytest.raises(KrakenConnectionError):
        rest.server_time()
    assert len(web.calls) == 6


@pytest.mark.parametrize(
    "failure", [(429, ""), (404, ""), refusal("EService:Busy"), requests.ReadTimeout("slow")]
)
def test_get_is_not_repeated_where_it_would_not_help(
    web: Web, rest: KrakenAPI, failure: Reply
) -> None:
    """Refusals, limits and timeouts are told at once."""
    web.on("Time", failure)
    with pytest.raises(KrakenError):
        rest.server_time()
    assert len(web.calls) == 1


def test_nonces_only_grow_across_clients_and_threads(web: Web) -> None:
    """Calls of one key go one after another, and each nonce is above the one before."""
    under_way: list[int] = []
    most: list[int] = []

    def reply(_: dict[str, str]) -> str:
        under_way.append(1)
        most.append(len(under_way))
        under_way.pop()
        return ok({})

    web.replies["Balance"] = reply
    clients = [KrakenAPI("shared", SECRET, use_websocket=False) for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: clients[n % 4].get_balance(), range(40)))
    nonces = [int(params["nonce"]) for params in web.asked("Balance")]
    assert max(most) == 1
    assert nonces == sorted(set(nonces))
    assert min(nonces) > 10**18  # nanoseconds


# --- bounds ---


def bomb(sock: socket.socket) -> None:
    """Send much in little."""
    while read_request(sock):
        packed = gzip.compress(bytes(2 * MOST_BYTES), 1)
        head = f"Content-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n"
        sock.sendall(b"HTTP/1.1 200 OK\r\n" + head.encode() + packed)


def endless(sock: socket.socket) -> None:
    """Send without an end."""
    read_request(sock)
    sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        sock.sendall(b"10000\r\n" + b" " * 0x10000 + b"\r\n")


@pytest.mark.parametrize("treat", [bomb, endless])
def test_answer_without_bounds_is_left(
    treat: Callable[[socket.socket], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a server packs or pours, no more than the bound is read, and the order may stand."""
    monkeypatch.setattr(transport, "MOST_BYTES", 2**21)
    monkeypatch.setattr(sockets, "MOST_BYTES", 2**21)
    timeouts = Timeouts(LONG, LONG, LONG, retry_pauses=())
    with Loopback(treat) as server, KrakenAPI("k", SECRET, server.url, timeouts=timeouts) as api:
        for call in (api.server_time, lambda: api.add_order("XBTUSD", "market", "sell", "1")):
            with pytest.raises(ProtocolError, match="longer than 2 MB"):
                call()


def test_packed_answer_is_unpacked() -> None:
    """Kraken's long answers come packed."""
    asked: list[bytes] = []

    def treat(sock: socket.socket) -> None:
        while request := read_request(sock):
            asked.append(request)
            packed = gzip.compress(ok({"unixtime": 1_700_000_000}).encode())
            head = f"Content-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n"
            sock.sendall(b"HTTP/1.1 200 OK\r\n" + head.encode() + packed)

    with Loopback(treat) as server, client_of(server.url) as api:
        assert api.server_time() == api.server_time() == 1_700_000_000
        assert server.connections == 1
    assert b"Accept-Encoding: gzip\r\n" in asked[0]


# --- too many requests ---


def limited(wish: str, status: str = "429 Too Many Requests") -> list[bytes]:
    """Return what a server was asked that answers two looks and an order so."""
    asked: list[bytes] = []

    def treat(sock: socket.socket) -> None:
        while request := read_request(sock):
            asked.append(request.split()[1])
            sock.sendall(http("", status, wish))

    with Loopback(treat) as server, client_of(server.url) as api:
        for call in (api.server_time, api.get_balance):
            with pytest.raises(KrakenError):
                call()
        with pytest.raises(KrakenError):
            api.add_order("XBTUSD", "market", "sell", "1")
    return asked


@pytest.mark.parametrize(
    "wish",
    [
        "Retry-After: 30\r\n",
        "Retry-After: 99999999999999999999\r\n",
        "Date: Wed, 25 Nov 2026 08:00:00 GMT\r\nRetry-After: Wed, 25 Nov 2026 08:00:30 GMT\r\n",
    ],
)
def test_wish_to_be_left_alone_is_kept_to(wish: str) -> None:
    """Looks and prices ask no more in that time; an order is sent all the same."""
    assert limited(wish) == [b"/0/public/Time", b"/0/private/AddOrder"]


@pytest.mark.parametrize("wish", ["", "Retry-After: soon\r\n", "Retry-After: -5\r\n"])
def test_wish_that_is_none_holds_nobody_up(wish: str) -> None:
    """What cannot be read is no wish."""
    assert len(limited(wish)) == 3


def test_busy_server_that_names_a_time_is_not_pressed() -> None:
    """A 503 with `Retry-After` is told at once, without two more tries."""
    asked = limited("Retry-After: 30\r\n", "503 Service Unavailable")
    assert asked.count(b"/0/public/Time") == 1


def test_slow_failure_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second try would take as long, and whoever asks has waited."""
    monkeypatch.setattr(transport, "_QUICK", 0.01)

    def treat(sock: socket.socket) -> None:
        read_request(sock)
        time.sleep(0.02)
        reset(sock)

    with Loopback(treat) as server:
        with pytest.raises(KrakenConnectionError):
            client_of(server.url).server_time()
        assert server.connections == 1


def test_connections_are_kept_alive() -> None:
    """Calls one after another share one connection, and `warm_up` opens it before an order."""
    with Loopback(forever_ok) as server:
        api = client_of(server.url)
        api.warm_up()
        api.add_order("XBTUSD", "market", "sell", "1")
        api.add_order("XBTUSD", "market", "sell", "1")
        assert server.connections == 1
        api.close()
        api.warm_up()
        assert server.connections == 2
        api.close()


def test_black_hole_holds_nobody_longer_than_its_deadline() -> None:
    """A server that says nothing ends in a timeout, and a reader is not made to wait again."""
    with Loopback(answer_never) as server:
        with pytest.raises(KrakenTimeout):
            client_of(server.url, read=SHORT).server_time()
        # All are let in one after the other: with ours, all of the client's have been.
        with socket.create_connection(("127.0.0.1", server.port), LONG):
            wait_until(lambda: server.connections >= 2, "ours is let in")
        assert server.connections == 2


@pytest.mark.parametrize(
    ("age", "is_taken"),
    [("0", True), ("3", True), ("", True), ("4", False), ("3, 300", False), ("?", False)],
)
def test_price_out_of_a_cache_is_no_price(age: str, is_taken: bool) -> None:
    """No cache on the way is wanted, and what one says all the same is not the present."""
    asked: list[bytes] = []

    def cache(sock: socket.socket) -> None:
        while request := read_request(sock):
            asked.append(request)
            sock.sendall(http(ok(rest_kit.ticker("7")), extra=f"Age: {age}\r\n"))

    with Loopback(cache) as server:
        api = client_of(server.url, use_websocket=False)
        if is_taken:
            assert api.get_current_price("XBTUSD") == 7
        else:
            with pytest.raises(KrakenConnectionError, match="a cache on the way"):
                api.get_current_price("XBTUSD")
        api.close()
    assert b"\r\nCache-Control: no-cache\r\n" in asked[0]


ASKED: list[Callable[[KrakenAPI], object]] = [
    KrakenAPI.server_time,
    KrakenAPI.pair_directory,
    lambda api: api.get_trades("XBTUSD"),
    lambda api: api.get_ohlc("XBTUSD"),
    lambda api: api.get_ticker("XBTUSD"),
    lambda api: api.pair_status("XBTUSD"),
    lambda api: api._query_public("Anything"),
]


@pytest.mark.parametrize("ask", ASKED)
def test_no_public_answer_out_of_a_cache_is_taken(ask: Callable[[KrakenAPI], object]) -> None:
    """Trades, the time, candles, pairs: all are of this moment, or there is an error."""

    def cache(sock: socket.socket) -> None:
        while read_request(sock):
            sock.sendall(http(ok({"unixtime": 1_700_000_000, "last": "1"}), extra="Age: 300\r\n"))

    with (
        Loopback(cache) as server,
        client_of(server.url, use_websocket=False) as api,
        pytest.raises(KrakenConnectionError, match="a cache on the way"),
    ):
        ask(api)


def test_socks_proxy_without_its_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence: who names it, its address without the password, what helps."""

    def missing(*_: object, **__: object) -> None:  # what requests has when PySocks is not there
        raise requests.exceptions.InvalidSchema("Missing dependencies for SOCKS support.")

    monkeypatch.setattr(requests.adapters, "SOCKSProxyManager", missing)
    monkeypatch.setenv("ALL_PROXY", "socks5://me:hunter2@127.0.0.1:1080")
    error = failed_order("https://exchange.invalid")
    assert str(error) == (
        "AddOrder: ALL_PROXY names the proxy socks5://127.0.0.1:1080, which needs the package "
        "PySocks: install it, or set HTTPS_PROXY to an http: proxy, or NO_PROXY to exchange.invalid"
    )
    assert not error.request_sent


def test_socks_proxy_is_used_and_its_refusal_is_a_failure_to_connect(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An order that the proxy did not let through has never left."""
    asked: list[bytes] = []

    def refuse(sock: socket.socket) -> None:
        sock.recv(64)
        sock.sendall(b"\5\0")
        asked.append(sock.recv(64))
        sock.sendall(b"\5\2\0\1" + bytes(6))  # not allowed

    with Loopback(refuse) as proxy:
        monkeypatch.setenv("ALL_PROXY", f"socks5h://127.0.0.1:{proxy.port}")
        error = failed_order("https://exchange.invalid")
    assert isinstance(error, KrakenConnectionError)
    assert not error.request_sent
    assert asked == [b"\5\1\0\3\x10exchange.invalid" + (443).to_bytes(2)]


def test_rest_obeys_what_the_environment_says_of_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """ALL_PROXY is asked where HTTPS_PROXY is not set, and neither for a host of NO_PROXY."""
    seen: list[bytes] = []

    def refuse(sock: socket.socket) -> None:
        seen.append(read_request(sock))
        sock.sendall(http("", "407 Proxy Authentication Required"))

    with Loopback(refuse) as proxy, Loopback(cut_handshake) as server:
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        failed_order("https://exchange.invalid")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        failed_order(f"https://127.0.0.1:{server.port}")
        assert server.connections == 1
    assert [request.split()[:2] for request in seen] == [[b"CONNECT", b"exchange.invalid:443"]]
