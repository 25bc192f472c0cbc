"""What is certain after a request that failed: whether it was sent, and how often it is tried."""

import socket
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
import urllib3

from kraken_api import KrakenAPI, Timeouts
from krakenlink.errors import (
    GatewayError,
    KrakenConnectionError,
    KrakenTimeout,
    KrakenTransportError,
)
from krakenlink.rest import transport
from tests.kits.chaos.chaos_kit import CERTIFICATE
from tests.kits.rest import rest_kit
from tests.kits.rest.rest_kit import (
    LONG,
    Loopback,
    Web,
    answer_never,
    cut_handshake,
    failed_order,
    forever_ok,
    http,
    ok,
    read_request,
    reset,
)

web, rest = rest_kit.web, rest_kit.rest  # fixtures


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


def test_refused_connection_sent_nothing() -> None:
    """Where nobody listens, no order can stand, and the message says what the system said."""
    with Loopback(forever_ok) as server:
        url = server.url
    for address in (url, url.replace("http:", "https:")):
        error = failed_order(address, connect=LONG)
        assert not error.request_sent
        assert "AddOrder: cannot connect to 127.0.0.1" in str(error)
        assert "refused" in str(error).lower()


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
        error = failed_order(server.url, LONG, 0.5 if kind is KrakenTimeout else LONG)
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
        patience = 0.5 if kind is KrakenTimeout else LONG
        error = failed_order("https://localhost", LONG, patience)
    assert type(error) is kind
    assert error.request_sent
    assert [request.split()[:2] for request in asked] == [[b"CONNECT", b"localhost:443"]]


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
        error = failed_order(f"https://127.0.0.1:{server.port}", connect=LONG)
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
            assert "verify" in second.result(60)
        finally:
            go_on.set()
        assert "verify" in first.result(60)
    assert one._surroundings is one._surroundings
