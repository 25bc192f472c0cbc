"""TLS, proxies and certificates, on real sockets."""

from __future__ import annotations

import base64
import gc
import os
import queue
import socket
import ssl
import struct
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from krakenlink.errors import KrakenConnectionError
from krakenlink.stream import wire
from krakenlink.stream.connection import open_websocket
from krakenlink.stream.events import (
    Tick,
)
from krakenlink.stream.wire import proxy_for, tls_context
from tests.kits.chaos.chaos_kit import CERTIFICATE
from tests.kits.stream.stream_kit import (
    LONG,
    Make,
    Peer,
    Script,
    Server,
    live,
    ticker,
    wait_for,
)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Hand out the file of a certificate with its key."""
    path = tmp_path / "localhost.pem"
    path.write_text(CERTIFICATE, encoding="ascii")
    return path


def with_tls(certificate: Path, script: Script) -> Script:
    """Return `script` with TLS around it."""

    def wrapped(peer: Peer) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        peer.stream.close()
        with context.wrap_socket(peer.sock, server_side=True) as sock:
            peer.sock, peer.stream = sock, sock.makefile("rb")
            script(peer)

    return wrapped


def test_tls_carries_prices_and_large_messages(
    server: Server, make: Make, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over TLS everything is as without, also what decrypts into more than one read."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    server.scripts = [with_tls(certificate, server.serve)]
    provider = make(url=f"wss://localhost:{server.port}/v2")
    reader = live(provider)
    wait_for(reader, Tick)
    server.broadcast(ticker("BTC/USD", 5), " " * 300_000 + ticker("BTC/USD", 6))
    assert [wait_for(reader, Tick).price for _ in range(2)] == [5, 6]


def test_certificate_that_nobody_vouches_for_is_refused(server: Server, certificate: Path) -> None:
    """A server that cannot prove who it is sends no price."""
    server.scripts = [with_tls(certificate, server.serve)]
    with pytest.raises(ssl.SSLCertVerificationError):
        open_websocket(f"wss://localhost:{server.port}/v2", LONG)


def test_certificate_of_another_host_is_refused(
    server: Server, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A good certificate for another name is no certificate."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    server.scripts = [with_tls(certificate, server.serve)]
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        open_websocket(f"wss://127.0.0.1:{server.port}/v2", LONG)


def test_connections_that_stand_at_once_share_what_vouches_for_servers(
    server: Server, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading it takes longer than a handshake; it goes with the last of them."""
    made: list[weakref.ref[ssl.SSLContext]] = []
    make_one = ssl.create_default_context

    def noted() -> ssl.SSLContext:
        context = make_one()
        made.append(weakref.ref(context))
        return context

    monkeypatch.setattr(ssl, "create_default_context", noted)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    server.scripts = [with_tls(certificate, server.serve)]
    url = f"wss://localhost:{server.port}/v2"
    first, second = open_websocket(url, LONG), open_websocket(url, LONG)
    assert len(made) == 1
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)  # another choice is made at once
    with pytest.raises(ssl.SSLCertVerificationError):
        open_websocket(url, LONG)
    assert len(made) == 2
    first.close()
    second.close()
    del first, second
    gc.collect()
    assert made[0]() is None


def test_refused_certificate_has_those_who_vouch_read_anew(
    server: Server, certificate: Path, no_choice: None
) -> None:
    """A new authority counts with the next attempt, whatever stands meanwhile."""
    before = tls_context()
    assert tls_context() is before
    server.scripts = [with_tls(certificate, server.serve)]
    with pytest.raises(ssl.SSLCertVerificationError):
        open_websocket(f"wss://localhost:{server.port}/v2", LONG)
    assert tls_context() is not before


def test_list_that_is_replaced_counts_with_the_next_connection(
    server: Server, certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever was taken from it is trusted no more, though a connection of theirs stands."""
    trusted, new = tmp_path / "trusted.pem", tmp_path / "new.pem"
    trusted.write_bytes(certificate.read_bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    server.scripts = [with_tls(certificate, server.serve)]
    url = f"wss://localhost:{server.port}/v2"
    with closing(open_websocket(url, LONG)):
        new.write_text("nobody", encoding="ascii")
        new.replace(trusted)
        with pytest.raises(ssl.SSLCertVerificationError):
            open_websocket(url, LONG)
        trusted.write_bytes(certificate.read_bytes())
        open_websocket(url, LONG).close()


def test_folder_that_is_changed_counts_with_the_next_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_choice: None
) -> None:
    """What is found in it is kept by a context, also of a certificate that has gone since."""
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    before = tls_context()
    assert tls_context() is before
    (tmp_path / "new").mkdir()  # which a folder counts, for clocks that are coarse
    assert tls_context() is not before


def test_child_makes_its_own_context(monkeypatch: pytest.MonkeyPatch, no_choice: None) -> None:
    """A thread that is not there any more may have been in the middle of the parent's."""
    before = tls_context()
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert tls_context() is not before
    assert tls_context() is tls_context()


def test_keys_are_logged_from_when_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_choice: None
) -> None:
    """Whatever stands meanwhile."""
    before = tls_context()
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    assert tls_context().keylog_filename == str(tmp_path / "keys")
    assert before.keylog_filename is None


def test_list_without_a_file_is_read_anew_after_an_hour(
    monkeypatch: pytest.MonkeyPatch, no_choice: None
) -> None:
    """Nothing tells that Windows' own list is another, nor certifi's."""
    monkeypatch.setattr(wire, "feed_clock", lambda: 7200.0)
    before = tls_context()
    monkeypatch.setattr(wire, "feed_clock", lambda: 10_799.0)
    assert tls_context() is before
    monkeypatch.setattr(wire, "feed_clock", lambda: 10_800.0)
    assert tls_context() is not before


@pytest.fixture
def no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody have chosen who may vouch for servers, nor any connection have read who does."""
    wire._context_of.cache_clear()
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def no_roots(certificate: Path, no_choice: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this Python have no list of its own, and certifi's hold the test's certificate alone."""
    nowhere = SimpleNamespace(cafile=None, capath=None)
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: nowhere)
    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", lambda *_: None)
    monkeypatch.setattr("certifi.where", lambda: str(certificate))


def test_python_without_certificates_asks_certifi(
    server: Server, make: Make, certificate: Path, no_roots: None
) -> None:
    """With an empty list, as after installing Python on macOS, certifi's vouches, as for REST."""
    server.scripts = [with_tls(certificate, server.serve)]
    live(make(url=f"wss://localhost:{server.port}/v2"))
    assert tls_context().verify_mode is ssl.CERT_REQUIRED


def test_certifi_vouches_for_nobody_else(
    server: Server, certificate: Path, no_roots: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Verification stays: another name is refused, and whoever chose a list has that one alone."""
    server.scripts = [with_tls(certificate, server.serve)]
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        open_websocket(f"wss://127.0.0.1:{server.port}/v2", LONG)
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)
    with pytest.raises(ssl.SSLCertVerificationError):
        open_websocket(f"wss://localhost:{server.port}/v2", LONG)


def test_list_of_the_system_is_enough(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, certificate: Path, no_choice: None
) -> None:
    """Where the system has a file or a folder of certificates, certifi's list is left out."""
    monkeypatch.setattr("certifi.where", lambda: pytest.fail("asked all the same"))
    monkeypatch.setattr("sys.platform", "linux")
    folder = SimpleNamespace(cafile=None, capath=str(tmp_path))
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: folder)
    tls_context()


def test_context_that_cannot_tell_its_roots_has_some(
    no_choice: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the system judges certificates itself, as truststore has it, certifi is not asked."""

    def refuse(*_: object) -> Any:
        raise NotImplementedError

    monkeypatch.setattr(ssl.SSLContext, "get_ca_certs", refuse)
    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", lambda *_: None)
    monkeypatch.setattr("certifi.where", lambda: pytest.fail("asked all the same"))
    for platform in ("linux", "win32"):
        monkeypatch.setattr("sys.platform", platform)
        assert tls_context().verify_mode is ssl.CERT_REQUIRED


# --- one deadline over everything --------------------------------------------------------------


def promised(url: str, seconds: float) -> str:
    """Connect in vain within some seconds, of which each step could take more; return the words."""
    began = time.monotonic()
    with pytest.raises((TimeoutError, KrakenConnectionError), match="timed out") as caught:
        open_websocket(url, seconds)
    assert seconds <= time.monotonic() - began < LONG / 4
    return str(caught.value)


def test_slow_look_up_ends_with_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that takes its time costs the stream no more than was promised."""
    go_on = threading.Event()

    def slow(*_: object) -> Any:
        go_on.wait(LONG)
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    assert promised("ws://localhost:1/v2", 0.05) == "no connection within 0.05 s (timed out)"
    go_on.set()


def test_good_address_behind_dead_ones_is_found(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next address is tried beside those that say nothing, not after them."""
    server.scripts = [lambda peer: peer.shake_hands()]
    monkeypatch.setattr("krakenlink.sockets._STAGGER", 0.001)
    with silent_address() as dead:
        resolve_to(monkeypatch, *[dead] * 4, ("127.0.0.1", server.port))
        open_websocket(f"ws://localhost:{server.port}/v2", LONG).close()
        resolve_to(monkeypatch, *[dead] * 4)
        assert "timed out" in promised("ws://localhost:1/v2", 0.05)


@contextmanager
def silent_address() -> Iterator[tuple[str, int]]:
    """Hand out an address that answers no connection: its queue is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
    """Let every name have these addresses."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: found)


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_drip_ends_with_the_deadline(server: Server, scheme: str) -> None:
    """A deadline between two bytes is none: neither TLS nor the handshake may drip for ever."""
    header = b"\x16\x03\x03\x40\x00" if scheme == "wss" else b"HTTP/1.1 101 "

    def drip(peer: Peer) -> None:
        peer.send(header)
        while True:
            peer.send(b"x")
            time.sleep(0.01)

    server.scripts = [drip]
    promised(f"{scheme}://localhost:{server.port}/v2", 0.1)
    for thread in threading.enumerate():
        if thread.name == "ttslo-connect":  # what nobody waits for any more does not go on for long
            thread.join(LONG / 8)
            assert not thread.is_alive()


def test_proxy_that_drips_ends_with_the_deadline(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So do the words of a proxy."""

    def drip(peer: Peer) -> None:
        peer.send(b"HTTP/1.1 200 OK\r\n")
        while True:
            peer.send(b"X")
            time.sleep(0.01)

    server.scripts = [drip]
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{server.port}")
    promised("wss://ws.kraken.invalid/v2", 0.1)


def test_socket_that_comes_too_late_is_closed(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits any more for what a slow look-up finds, and nobody keeps it."""
    ended, go_on, real = threading.Event(), threading.Event(), socket.getaddrinfo

    def until_the_end(peer: Peer) -> None:
        assert peer.stream.read(1) == b""
        ended.set()

    def slow(*args: Any) -> Any:
        go_on.wait(LONG)
        # What is found late is tried all the same, within a second.
        monkeypatch.setattr("krakenlink.sockets.feed_clock", lambda: 0.0)
        return real(*args)

    server.scripts = [until_the_end]
    monkeypatch.setattr(socket, "getaddrinfo", slow)
    promised(server.url, 0.02)
    go_on.set()
    assert ended.wait(LONG)


# --- proxies -----------------------------------------------------------------------------------


def run_proxy(
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    proxy: str,
    answer: bytes,
    variable: str = "https_proxy",
) -> str:
    """Connect to a far host through `server` as a proxy; return what the proxy was asked."""
    asked: queue.SimpleQueue[str] = queue.SimpleQueue()

    def script(peer: Peer) -> None:
        text = b""
        while not text.endswith(b"\r\n\r\n"):
            text += peer.stream.readline()
        asked.put(text.decode())
        peer.send(answer)

    server.scripts = [script]
    monkeypatch.setenv(variable, proxy)
    with pytest.raises((OSError, KrakenConnectionError), match=r"407|SSL|EOF|reset"):
        open_websocket("wss://ws.kraken.invalid/v2", LONG)
    return asked.get(timeout=LONG)


@pytest.mark.parametrize("variable", ["https_proxy", "HTTPS_PROXY", "ALL_PROXY"])
def test_proxy_from_the_environment_is_asked_for_a_tunnel(
    server: Server, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """A `wss:` address goes through the proxy by CONNECT, with TLS inside of the tunnel."""
    proxy, answer = f"http://127.0.0.1:{server.port}", b"HTTP/1.1 200 OK\r\n\r\nno TLS at all"
    request = run_proxy(server, monkeypatch, proxy, answer, variable)
    assert request.startswith("CONNECT ws.kraken.invalid:443 HTTP/1.")


def test_proxy_gets_its_password_and_nobody_else_does(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Name and password of the proxy's address go to the proxy, decoded."""
    proxy = f"me:hunter%322@127.0.0.1:{server.port}"
    answer = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    request = run_proxy(server, monkeypatch, proxy, answer)
    assert base64.b64encode(b"me:hunter22").decode() in request


def answer_socks(peer: Peer, code: int = 0) -> tuple[str, str]:
    """Be a SOCKS proxy until it is told where to; return the login, and the address as asked."""
    version, count = peer.stream.read(2)
    if version == 4:
        port, address = struct.unpack("!H4s", peer.stream.read(6))
        login = "".join(iter(lambda: peer.stream.read(1).decode(), "\0"))
        host = socket.inet_ntoa(address)
        if host.startswith("0.0.0."):
            host = "".join(iter(lambda: peer.stream.read(1).decode(), "\0"))
        peer.send(bytes([0, 90 + code]) + bytes(6))
        return login, f"{host}:{port}"
    has_login = 2 in peer.stream.read(count)
    peer.send(bytes([5, 2 * has_login]))
    login = ""
    if has_login:
        peer.stream.read(1)
        words = [peer.stream.read(peer.stream.read(1)[0]).decode() for _ in "np"]
        login = ":".join(words)
        peer.send(bytes([1, 0]))
    *_, kind = peer.stream.read(4)
    if kind == 3:
        host = peer.stream.read(peer.stream.read(1)[0]).decode()
    else:
        host = socket.inet_ntoa(peer.stream.read(4))
    (port,) = struct.unpack("!H", peer.stream.read(2))
    peer.send(bytes([5, code, 0, 1]) + bytes(6))
    return login, f"{host}:{port}"


@pytest.mark.parametrize(
    ("proxy", "host", "login"),
    [
        ("socks5h://me:hunter%322@", "ws.kraken.invalid", "me:hunter22"),
        ("socks5h://", "ws.kraken.invalid", ""),
        ("socks5://", "192.0.2.1", ""),
        ("socks4a://me@", "ws.kraken.invalid", "me"),
        ("socks4://", "192.0.2.1", ""),
    ],
)
def test_socks_proxy_from_the_environment_carries_the_stream(
    server: Server, monkeypatch: pytest.MonkeyPatch, proxy: str, host: str, login: str
) -> None:
    """Both versions, with the name found by the proxy or by this machine; TLS is inside."""
    asked: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
    first_bytes: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def script(peer: Peer) -> None:
        asked.put(answer_socks(peer))
        first_bytes.put(peer.stream.read(3))
        peer.send(b"no TLS at all")

    server.scripts = [script]
    monkeypatch.setenv("ALL_PROXY", f"{proxy}127.0.0.1:{server.port}")
    with pytest.raises(OSError, match=r"SSL|EOF|reset"):
        open_websocket(f"wss://{host}/v2", LONG)
    assert asked.get(timeout=LONG) == (login, f"{host}:443")
    assert first_bytes.get(timeout=LONG) == b"\x16\x03\x01"  # a TLS greeting


def test_socks_proxy_that_says_no_is_a_failed_attempt(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that may not go there says so, and that is the reason."""
    server.scripts = [lambda peer: answer_socks(peer, code=2)]
    monkeypatch.setenv("ALL_PROXY", f"socks5h://127.0.0.1:{server.port}")
    with pytest.raises(OSError, match="not allowed by ruleset"):
        open_websocket("wss://ws.kraken.invalid/v2", LONG)


@pytest.mark.parametrize(
    ("proxy", "cure"),
    [
        ("socks5://", "which needs the package PySocks: install it, or set"),
        ("https://", "which the stream cannot use: set"),
    ],
)
def test_proxy_that_cannot_be_used_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch, proxy: str, cure: str
) -> None:
    """One sentence: who names the proxy, its address without the password, what helps."""
    monkeypatch.setitem(sys.modules, "socks", None)  # as if it were not installed
    monkeypatch.setenv("ALL_PROXY", f"{proxy}me:hunter2@127.0.0.1:1080")
    with pytest.raises(KrakenConnectionError) as caught:
        open_websocket("wss://ws.kraken.invalid/v2", LONG)
    assert str(caught.value) == (
        f"ALL_PROXY names the proxy {proxy}127.0.0.1:1080, {cure} HTTPS_PROXY to an http: proxy, "
        "or NO_PROXY to ws.kraken.invalid; meanwhile prices come over REST"
    )


INSTEAD = "meanwhile prices come over REST"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
            (
                "which wants another name and password (HTTP 407 Proxy Authentication Required): "
                "write them into its address as http://NAME:PASSWORD@HOST:PORT; "
                "meanwhile prices come over REST"
            ),
        ),
        (
            b"HTTP/1.1 403 \x1b[2J\r\n\r\n",
            rf"which does not let the stream through (HTTP 403 \x1b[2J); {INSTEAD}",
        ),
        (
            b"HTTP/1.1 302\r\nLocation: http://login.invalid/\r\n\r\n",
            f"which does not let the stream through (HTTP 302); {INSTEAD}",
        ),
        (b"SSH-2.0-x\r\n", f"whose answer is not HTTP (BadStatusLine); {INSTEAD}"),
        (b"HTTP/1.1 200\r\n" + b"X" * 70_000, f"whose answer is not HTTP (LineTooLong); {INSTEAD}"),
    ],
    ids=["407", "403", "redirect", "no-http", "endless"],
)
def test_proxy_that_says_no_is_named_with_its_words(
    server: Server, monkeypatch: pytest.MonkeyPatch, answer: bytes, words: str
) -> None:
    """What a proxy answers is told in one sentence, with the cure and without the password."""

    def script(peer: Peer) -> None:
        while peer.stream.readline() != b"\r\n":
            pass
        peer.send(answer)

    server.scripts = [script]
    monkeypatch.setenv("https_proxy", f"http://me:hunter2@127.0.0.1:{server.port}")
    with pytest.raises(KrakenConnectionError) as caught:
        open_websocket("wss://ws.kraken.invalid/v2", LONG)
    assert (
        str(caught.value) == f"https_proxy names the proxy http://127.0.0.1:{server.port}, {words}"
    )
    assert not caught.value.request_sent


@pytest.mark.parametrize(
    "proxy", ["http://proxy:abc", "http://proxy:99999", "http://proxy:0", "http://", "http://[::1"]
)
def test_proxy_that_is_no_address_is_named(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    """A slip in the environment is told as such, and is no defect of ours."""
    monkeypatch.setenv("https_proxy", proxy)
    with pytest.raises(KrakenConnectionError, match="which is no address of a proxy") as caught:
        open_websocket("wss://ws.kraken.invalid/v2", LONG)
    assert proxy in str(caught.value)


def test_proxy_whose_name_is_none_is_a_failed_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that no host can have is told in words."""

    def refuse(*_: object) -> Any:
        raise UnicodeError("label empty or too long")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("https_proxy", f"http://{'a' * 70}.invalid:3128")
    with pytest.raises(OSError, match="no name of a host"):
        open_websocket("wss://ws.kraken.invalid/v2", LONG)


def test_loopback_and_no_proxy_go_directly(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy is not asked for this machine, nor for what no_proxy names."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    server.scripts = [lambda peer: peer.shake_hands()]
    open_websocket(server.url, LONG).close()
    monkeypatch.setenv("no_proxy", "kraken.invalid")
    assert proxy_for("ws.kraken.invalid") is None
    assert proxy_for("ws.kraken.example") == "http://127.0.0.1:1"


def test_tls_is_always_verified(server: Server) -> None:
    """Certificates and host names are checked, and a server without TLS is no `wss:` server."""
    context = tls_context()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    server.scripts = [lambda peer: peer.send(b"hello, no TLS here\r\n")]
    with pytest.raises(OSError, match=r"SSL|EOF|reset"):
        open_websocket(server.url.replace("ws:", "wss:"), LONG)
