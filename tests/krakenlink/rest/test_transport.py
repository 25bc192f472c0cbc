"""The wire: what is sent again, in which order, and what is certain after a failure."""

import gzip
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

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

from kraken_api import KrakenAPI, Timeouts
from krakenlink import sockets
from krakenlink.errors import (
    GatewayError,
    KrakenConnectionError,
    KrakenError,
    KrakenTimeout,
    KrakenTransportError,
    ProtocolError,
)
from krakenlink.rest import transport
from krakenlink.sockets import MOST_BYTES

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


# --- what is certain after a failure ---

REASONS: list[tuple[Exception, bool, type[KrakenTransportError]]] = [
    (requests.ConnectTimeout("far"), True, KrakenTimeout),
    (requests.exceptions.ProxyError("no reason given"), True, KrakenConnectionError),
    (requests.exceptions.InvalidURL("odd"), True, KrakenConnectionError),
    (requests.exceptions.InvalidHeader("two lengths"), True, KrakenConnectionError),
    (urllib3.exceptions.LocationParseError("odd"), True, KrakenConnectionError),
    (ValueError("no number"), True, KrakenConnectionError),
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
    """No class of an error says *not sent*: where no socket was watched, an order may stand."""
    web.on("AddOrder", error)
    with pytest.raises(KrakenTransportError) as caught:
        rest.add_order("XBTUSD", "market", "sell", "1")
    assert type(caught.value) is kind
    assert caught.value.request_sent is is_sent


def reset(sock: socket.socket) -> None:
    """Close with a reset instead of a farewell."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def failed_order(url: str, connect: float = 0.5) -> KrakenTransportError:
    """Place an order that fails on its way, and return the error."""
    with pytest.raises(KrakenTransportError) as caught:
        client_of(url, connect).add_order("XBTUSD", "market", "sell", "1")
    return caught.value


def test_refused_connection_sent_nothing() -> None:
    """Where nobody listens, no order can stand, and the message says what the system said."""
    with Loopback(forever_ok) as server:
        url = server.url
    for address in (url, url.replace("http:", "https:")):
        error = failed_order(address, connect=5.0)
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


def two_lengths(sock: socket.socket) -> None:
    """Give two different lengths."""
    read_request(sock)
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\n{}{}{}{")


def odd_status(sock: socket.socket) -> None:
    """Answer with a status line that is none."""
    read_request(sock)
    sock.sendall(b"HTTP/1.1 2OO \x1b[31mOK\r\n\r\n")


def odd_chunk(sock: socket.socket) -> None:
    """Give a chunk whose size is none."""
    read_request(sock)
    sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-zz\r\n")


def odd_gzip(sock: socket.socket) -> None:
    """Send what cannot be unpacked."""
    read_request(sock)
    sock.sendall(http("no gzip", extra="Content-Encoding: gzip\r\n"))


def many_headers(sock: socket.socket) -> None:
    """Send more headers than anybody has."""
    read_request(sock)
    sock.sendall(b"HTTP/1.1 200 OK\r\n" + b"X-Y: z\r\n" * 1000 + b"\r\n")


def endless_line(sock: socket.socket) -> None:
    """Send the size of a chunk without an end."""
    read_request(sock)
    sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        sock.sendall(b"0" * 0x10000)


lost_answers = pytest.mark.parametrize(
    ("treat", "kind"),
    [
        (answer_never, KrakenTimeout),
        (reset_after_request, KrakenConnectionError),
        (close_after_request, KrakenConnectionError),
        (cut_in_the_body, KrakenConnectionError),
        (stop_in_the_body, KrakenTimeout),
        (cut_a_chunk, KrakenConnectionError),
        (redirect, GatewayError),
        (two_lengths, KrakenConnectionError),
        (odd_status, KrakenConnectionError),
        (odd_chunk, KrakenConnectionError),
        (odd_gzip, KrakenConnectionError),
        (many_headers, KrakenConnectionError),
        (endless_line, KrakenConnectionError),
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
        error = failed_order("https://localhost", connect=10.0)
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
        connect = 0.5 if kind is KrakenTimeout else 5.0
        error = failed_order(f"https://127.0.0.1:{server.port}", connect)
    assert type(error) is kind
    assert not error.request_sent


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize("content", [None, "no certificate"])
def test_missing_certificates_are_named_and_nothing_was_sent(
    variable: str, content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable and its file are named, whether it is not there or holds none."""
    file = tmp_path / "gone.pem"
    if content is not None:
        file.write_text(content, encoding="ascii")
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.setenv(variable, str(file))
    with Loopback(answer_without_tls) as server:
        error = failed_order(f"https://127.0.0.1:{server.port}", connect=5.0)
    assert not error.request_sent
    assert f"{variable} names" in str(error)
    assert str(file) in str(error)
    assert ("not there" in str(error)) is (content is None)


def test_error_of_the_caller_is_no_part_of_ours() -> None:
    """Whoever asks while handling a time-out is told what happened now."""
    with Loopback(reset_after_request) as server:
        try:
            raise TimeoutError("of something else")
        except TimeoutError:
            assert type(failed_order(server.url)) is KrakenConnectionError


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
    assert "407 Proxy Authentication Required" in str(error)
    assert f"through the proxy {proxy.url}" in str(error)


def test_words_of_a_proxy_are_shown_and_not_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither an escape of the proxy's nor its password reaches a screen."""

    def refuse(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(http("", "407 Pay \x1b[31mfirst"))

    with Loopback(refuse) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", "//me:hunter2@"))
        said = str(failed_order("https://exchange.invalid"))
    assert r"407 Pay \x1b[31mfirst" in said
    assert "hunter2" not in said


def test_surroundings_of_one_client_are_waited_for_by_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No lock is shared here: not with another thread, and not with the child of a fork."""
    is_in, go_on = threading.Event(), threading.Event()
    real = requests.Session.merge_environment_settings

    def slow(self: requests.Session, url: str, *args: Any) -> Any:
        if "slow" in url:
            is_in.set()
            assert go_on.wait(60)
        return real(self, url, *args)

    monkeypatch.setattr(requests.Session, "merge_environment_settings", slow)
    one, other = (transport.Transport(root, Timeouts()) for root in ("https://slow", "https://x"))
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(lambda: one._surroundings)
        assert is_in.wait(60)
        second = pool.submit(lambda: other._surroundings)
        try:
            assert "verify" in second.result(10)
        finally:
            go_on.set()
        assert "verify" in first.result(20)
    assert one._surroundings is one._surroundings


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
    timeouts = Timeouts(connect=5, read=5, read_order=5, retry_pauses=())
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


def test_wish_has_a_bound() -> None:
    """A server that says "in a year" is asked again after a minute."""
    assert transport._retry_after({"Retry-After": "31536000"}) == 60.0


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
            client_of(server.url).server_time()
        assert server.connections == 1


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
