"""The wire: what is sent again, in which order, and what is certain after a failure."""

import socket
import ssl
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
import rest_kit
import urllib3
from chaos_kit import CERTIFICATE
from rest_kit import (
    SECRET,
    Loopback,
    Reply,
    Web,
    client_of,
    forever_ok,
    http,
    ok,
    read_request,
    refusal,
)

from kraken_api import KrakenAPI
from krakenlink.errors import (
    KrakenConnectionError,
    KrakenError,
    KrakenTimeout,
    KrakenTransportError,
)
from krakenlink.rest import transport

web, rest = rest_kit.web, rest_kit.rest  # fixtures


@pytest.mark.parametrize("failure", [(502, "<html>"), requests.ConnectionError("reset")])
def test_get_is_tried_three_times(web: Web, rest: KrakenAPI, failure: Reply) -> None:
    """A proxy that restarts costs a reader nothing but time, and not for ever."""
    web.on("Time", failure, failure, ok({"unixtime": 5}))
    assert rest.server_time() == 5.0
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
    gate = transport.gate_of("shared")
    is_shut: list[bool] = []

    def reply(_: dict[str, str]) -> str:
        is_shut.append(gate.lock.locked())
        return ok({})

    web.replies["Balance"] = reply
    clients = [KrakenAPI("shared", SECRET, use_websocket=False) for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: clients[n % 4].get_balance(), range(40)))
    nonces = [int(params["nonce"]) for params in web.asked("Balance")]
    assert all(is_shut)
    assert nonces == sorted(set(nonces))
    assert min(nonces) > 10**18  # nanoseconds


# --- what is certain after a failure ---

REASONS: list[tuple[Exception, bool, type[KrakenTransportError]]] = [
    (requests.ConnectTimeout("far"), False, KrakenTimeout),
    (requests.exceptions.ProxyError("no reason given"), True, KrakenConnectionError),
    (requests.exceptions.InvalidURL("odd"), False, KrakenConnectionError),
    (requests.ReadTimeout("slow"), True, KrakenTimeout),
    (requests.ConnectionError("reset"), True, KrakenConnectionError),
    (requests.exceptions.ChunkedEncodingError("cut"), True, KrakenConnectionError),
    (requests.exceptions.ContentDecodingError("gzip"), True, KrakenConnectionError),
    (requests.exceptions.SSLError("record"), True, KrakenConnectionError),
    (urllib3.exceptions.ProtocolError("odd"), True, KrakenConnectionError),
    (OSError("no such CA bundle"), True, KrakenConnectionError),
]


@pytest.mark.parametrize(("error", "is_sent", "kind"), REASONS, ids=lambda v: type(v).__name__)
def test_failures_say_whether_the_request_was_sent(
    web: Web, rest: KrakenAPI, error: Exception, is_sent: bool, kind: type[Exception]
) -> None:
    """*Not sent* is only said where it is certain; all else may have placed an order."""
    web.on("AddOrder", error)
    with pytest.raises(KrakenTransportError) as caught:
        rest.add_order("XBTUSD", "market", "sell", "1")
    assert type(caught.value) is kind
    assert caught.value.request_sent is is_sent


def reset(sock: socket.socket) -> None:
    """Close with a reset instead of a farewell."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def failed_order(url: str) -> KrakenTransportError:
    """Place an order that fails on its way, and return the error."""
    with pytest.raises(KrakenTransportError) as caught:
        client_of(url).add_order("XBTUSD", "market", "sell", "1")
    return caught.value


def test_refused_connection_sent_nothing() -> None:
    """Where nobody listens, no order can stand, and the message says what the system said."""
    with Loopback(forever_ok) as server:
        url = server.url
    for address in (url, url.replace("http:", "https:")):
        error = failed_order(address)
        assert not error.request_sent
        assert "AddOrder: cannot connect to 127.0.0.1" in str(error)
        assert "refused" in str(error).lower()


def answer_never(sock: socket.socket) -> None:
    """Take a request and say nothing."""
    read_request(sock)
    sock.recv(1)


def reset_after_request(sock: socket.socket) -> None:
    """Take a request and reset."""
    read_request(sock)
    reset(sock)


def close_after_request(sock: socket.socket) -> None:
    """Take a request and close."""
    read_request(sock)
    sock.shutdown(socket.SHUT_RDWR)


def cut_in_the_body(sock: socket.socket) -> None:
    """Promise more than is sent."""
    read_request(sock)
    sock.sendall(http(ok({}))[:-5])
    sock.shutdown(socket.SHUT_RDWR)


def stop_in_the_body(sock: socket.socket) -> None:
    """Fall silent in the middle."""
    read_request(sock)
    sock.sendall(http(ok({}))[:-5])
    sock.recv(1)


def cut_a_chunk(sock: socket.socket) -> None:
    """End a chunked answer in a chunk."""
    read_request(sock)
    sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{")
    sock.shutdown(socket.SHUT_RDWR)


def redirect(sock: socket.socket) -> None:
    """Send the client elsewhere."""
    read_request(sock)
    sock.sendall(http("", "302 Found", "Location: http://127.0.0.1:1/\r\n"))


lost_answers = pytest.mark.parametrize(
    ("treat", "kind"),
    [
        (answer_never, KrakenTimeout),
        (reset_after_request, KrakenConnectionError),
        (close_after_request, KrakenConnectionError),
        (cut_in_the_body, KrakenConnectionError),
        (stop_in_the_body, KrakenTimeout),
        (cut_a_chunk, KrakenConnectionError),
        (redirect, KrakenConnectionError),
    ],
)


@lost_answers
def test_lost_answer_leaves_the_order_open(
    treat: Callable[[socket.socket], None], kind: type[KrakenTransportError]
) -> None:
    """Once the request is out, no failure of the connection says that no order stands."""
    with Loopback(treat) as server:
        error = failed_order(server.url)
        assert type(error) is kind
        assert error.request_sent
        assert server.connections == 1


@lost_answers
def test_lost_answer_through_a_tunnel_leaves_the_order_open(
    treat: Callable[[socket.socket], None],
    kind: type[KrakenTransportError],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A proxy changes nothing: its tunnel may be gone, and the order stands all the same."""
    file = tmp_path / "localhost.pem"
    file.write_text(CERTIFICATE, encoding="ascii")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    asked: list[bytes] = []

    def tunnel(sock: socket.socket) -> None:
        asked.append(read_request(sock))
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        with context.wrap_socket(sock, server_side=True) as inner:
            treat(inner)

    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(file))
    with Loopback(tunnel) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        error = failed_order("https://localhost")
    assert type(error) is kind
    assert error.request_sent
    assert [request.split()[:2] for request in asked] == [[b"CONNECT", b"localhost:443"]]


def cut_handshake(sock: socket.socket) -> None:
    """Take the first bytes of a TLS handshake and reset."""
    sock.recv(65536)
    reset(sock)


def stall_handshake(sock: socket.socket) -> None:
    """Take the first bytes of a TLS handshake and fall silent."""
    sock.recv(65536)
    sock.recv(1)


def answer_without_tls(sock: socket.socket) -> None:
    """Speak plain HTTP where TLS is spoken."""
    sock.recv(65536)
    sock.sendall(http("no TLS here", "400 Bad Request"))


@pytest.mark.parametrize(
    ("treat", "kind"),
    [
        (cut_handshake, KrakenConnectionError),
        (stall_handshake, KrakenTimeout),
        (answer_without_tls, KrakenConnectionError),
    ],
)
def test_failed_handshake_sent_nothing(
    treat: Callable[[socket.socket], None], kind: type[KrakenTransportError]
) -> None:
    """Before TLS stands no byte of an order has left, however the handshake ends."""
    with Loopback(treat) as server:
        error = failed_order(f"https://127.0.0.1:{server.port}")
    assert type(error) is kind
    assert not error.request_sent


def test_refused_tunnel_sent_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy from the environment is used, and its refusal is a failure to connect."""
    seen: list[bytes] = []

    def refuse(sock: socket.socket) -> None:
        seen.append(read_request(sock))
        sock.sendall(http("", "407 Proxy Authentication Required"))

    with Loopback(refuse) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        error = failed_order("https://exchange.invalid")
    assert seen[0].startswith(b"CONNECT exchange.invalid:443")
    assert not error.request_sent


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
            client_of(server.url).server_time()
        assert server.connections == 1


@pytest.mark.parametrize(("age", "is_taken"), [("0", True), ("3", True), ("4", False), ("?", True)])
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
            with pytest.raises(KrakenConnectionError, match="from 4 s ago"):
                api.get_current_price("XBTUSD")
        api.close()
    assert b"\r\nCache-Control: no-cache\r\n" in asked[0]


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
