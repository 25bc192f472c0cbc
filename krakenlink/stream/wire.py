"""From an address to a socket below a WebSocket library: TCP, the environment's proxy, TLS, bytes.

The socket reads ahead, and can be woken while it waits; what the bytes mean is `connection`'s
affair. What it must never do: wait without a deadline, let a wake-up or a close by another thread
touch a socket that is somebody else's by then, trust a certificate that is not checked, ask a proxy
for this machine's loopback, or put a proxy's password into a sentence.

Sources: RFC 9110 (CONNECT), RFC 1928 (SOCKS); PySocks 1.7, certifi (read 2026-11).
"""

from __future__ import annotations

import base64
import http.client
import os
import select
import selectors
import socket
import ssl
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections import deque
from collections.abc import Callable
from contextlib import closing, suppress
from functools import lru_cache
from pathlib import Path

from krakenlink.errors import KrakenConnectionError, unusable_proxy
from krakenlink.foreign import shown
from krakenlink.locks import done_under
from krakenlink.machine import feed_clock, is_loopback
from krakenlink.sockets import Answer, Call, by_thread, dial, state_of

# Bytes of the answer to a handshake; Kraken's has some five hundred.
_LONGEST_HANDSHAKE = 65536


class Wire:
    """The socket below websocket-client: reads ahead, and can be woken while it waits.

    The library takes the socket for a non-blocking one and asks for bytes two at a time; here
    they come out of one buffer that each system call fills as far as it can.
    """

    def __init__(self, sock: socket.socket, send_timeout: float) -> None:
        self.buffer = bytearray()
        self.at = 0  # where in the buffer the next frame begins
        self.deadline = 0.0  # until when `recv` of the library may wait: the handshake only
        self._room = _LONGEST_HANDSHAKE
        self._send_timeout = send_timeout
        self._sock = sock
        sock.setblocking(False)
        self._pending = getattr(sock, "pending", None)  # TLS: bytes decrypted and not yet taken
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._wait_readable = readable_waiter(sock, self._wake_out)
        # Guards: _is_closed, and the closing of the sockets against wake() and shutdown() by other
        # threads, whose file numbers might be somebody else's by then. Only the owner waits for it.
        self._close_lock = threading.Lock()
        self._wakes: deque[None] = deque()
        self._is_closing = False
        self._is_closed = False
        self._owner = threading.get_ident()
        self._pid = os.getpid()

    # -- what the library calls

    def gettimeout(self) -> float:
        """Return 0: a socket that does not block."""
        return 0.0

    def settimeout(self, timeout: float | None) -> None:
        """Do nothing: deadlines are kept here, not by the library."""

    def recv(self, count: int) -> bytes:
        """Return up to `count` bytes, waiting until `deadline`: for the handshake alone."""
        while self.at >= len(self.buffer):
            remaining = self.deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError("the handshake took too long")
            self.fill(remaining)
        data = bytes(self.buffer[self.at : self.at + count])
        self.at += len(data)
        if self.deadline:
            self._room -= len(data)
            if self._room < 0:
                raise KrakenConnectionError("the handshake has no end", request_sent=True)
        return data

    def send(self, data: bytes) -> int:
        """Send all of `data`, or raise `OSError` when the socket takes no more for too long."""
        deadline = self.deadline or time.monotonic() + self._send_timeout
        view = memoryview(data)
        while view:
            try:
                view = view[self._sock.send(view) :]
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                self._wait_writable(deadline)
        return len(data)

    def _wait_writable(self, deadline: float) -> None:
        remaining = deadline - time.monotonic()
        if remaining <= 0 or self._is_closing:
            raise TimeoutError("the socket takes no more bytes")
        with selectors.DefaultSelector() as selector:
            selector.register(self._sock, selectors.EVENT_WRITE)
            selector.select(remaining)

    # -- what the connection calls

    def fill(self, timeout: float) -> None:
        """Read what is there, waiting up to `timeout` seconds; returns early when woken.

        Without a time to wait it takes one system call, and hears of no wake-up.
        """
        if self._is_closing:
            raise KrakenConnectionError("closed on this side", request_sent=True)
        if timeout > 0 and not (self._pending and self._pending()):
            has_data, is_woken = self._wait_readable(timeout)
            if is_woken:
                with suppress(BlockingIOError):
                    self._wake_out.recv(4096)
            if not has_data:
                return
        try:
            chunk = self._sock.recv(65536)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return  # half a TLS record
        if not chunk:
            raise KrakenConnectionError("closed by the server without a word", request_sent=True)
        del self.buffer[: self.at]
        self.at = 0
        self.buffer += chunk

    def wake(self) -> None:
        """Make a waiting `fill` return at once. From anywhere: it waits for no lock."""
        self._wakes.append(None)
        # Who finds the lock held leaves it to the holder, who looks again after letting it go.
        while self._wakes and done_under(self._close_lock, 0.0, self._wake_locked):
            pass

    def _wake_locked(self) -> None:
        self._wakes.clear()
        if not self._is_closed:
            if self._is_closing:
                with suppress(OSError):
                    self._sock.shutdown(socket.SHUT_RDWR)
            with suppress(OSError):  # full: it is awake already
                self._wake_in.send(b"w")

    def close(self) -> None:
        """Close; from a foreign thread only shut down, so that the owner wakes up and closes."""
        is_child = os.getpid() != self._pid
        if not is_child and threading.get_ident() != self._owner:
            self._is_closing = True
            self.wake()
            return
        if is_child:
            # A copy made by fork: giving back our file numbers must not end the parent's
            # connection. Its lock may have been copied in the locked state.
            self._close_lock = threading.Lock()
        with self._close_lock:
            if self._is_closed:
                return
            self._is_closing = self._is_closed = True
            for sock in (self._sock, self._wake_in, self._wake_out):
                sock.close()


def readable_waiter(
    sock: socket.socket, wake: socket.socket
) -> Callable[[float], tuple[bool, bool]]:
    """Return a function that waits up to so many seconds and tells which of the two is readable.

    `poll` is there on every system but Windows, and costs a third of what `selectors` adds to it:
    at a thousand bursts a second the way to the socket costs more than the frames. Errors and the
    end count as readable.
    """
    if not hasattr(select, "poll"):
        return lambda timeout: _select_two(sock, wake, timeout)
    poller = select.poll()
    number = sock.fileno()
    poller.register(number, select.POLLIN)
    poller.register(wake.fileno(), select.POLLIN)
    poll = poller.poll

    def wait(timeout: float) -> tuple[bool, bool]:
        ready = poll(1000 * timeout)  # rounded up to milliseconds
        if len(ready) == 1:
            has_data = ready[0][0] == number
            return has_data, not has_data
        return bool(ready), bool(ready)

    return wait


def _select_two(sock: socket.socket, wake: socket.socket, timeout: float) -> tuple[bool, bool]:
    ready, _, failed = select.select([sock, wake], [], [sock], timeout)
    return sock in ready or sock in failed, wake in ready


# Who finds out the address behind a name: in `socks5h` and `socks4a` the proxy, else this machine.
_SOCKS_SCHEMES = ("socks5", "socks5h", "socks4", "socks4a")


def open_socket(parts: urllib.parse.SplitResult, timeout: float) -> socket.socket:
    """Return a connected socket, through the proxy that the environment names, with TLS if due.

    Blocks `timeout` seconds at most, for the look-up, all addresses, the proxy and TLS together.

    Raises:
        OSError: If there is none, in the operating system's words.
        KrakenConnectionError: If the proxy cannot be used, or does not let us through.
    """
    ends_at = feed_clock() + timeout
    found: list[socket.socket] = []

    def undo() -> None:
        for sock in found:
            sock.close()

    with Call(ends_at, timeout, ends_at, 0.0):
        # On a thread of its own, because the system lets no look-up be interrupted.
        by_thread(lambda: found.append(_connected(parts, ends_at)), undo, ends_at)
    return found[0]


def _connected(parts: urllib.parse.SplitResult, ends_at: float) -> socket.socket:
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "wss" else 80)
    # A proxy elsewhere cannot reach this machine's loopback, whatever the environment says.
    proxy = None if is_loopback(host) else proxy_for(host)
    sock = dial(host, port) if proxy is None else _tunnel(proxy, host, port, ends_at)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if parts.scheme == "wss":
            context = tls_context()
            sock.settimeout(_left(ends_at))  # for the whole handshake, not for each byte
            sock = _encrypted(sock, host, context)
    except BaseException:
        sock.close()
        raise
    return sock


def _encrypted(sock: socket.socket, host: str, context: ssl.SSLContext) -> ssl.SSLSocket:
    try:
        return context.wrap_socket(sock, server_hostname=host)
    except ssl.SSLCertVerificationError:
        _context_of.cache_clear()  # whoever vouches for it may have come since they were read
        raise


def _left(ends_at: float) -> float:
    return max(0.001, ends_at - feed_clock())


def tls_context() -> ssl.SSLContext:
    """Return the context of every `wss:` connection: certificate and host name are checked.

    They share one, which is made anew for another choice, once a file of it is another, and once a
    certificate was refused.

    Who may vouch for them is told by the system, or by `SSL_CERT_FILE` and `SSL_CERT_DIR`. Where
    neither tells anything, as with a fresh Python on macOS, or not all, as on Windows, which
    fetches roots when its own programs need them, it is certifi's list: REST's, too.
    """
    choice = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    found = ssl.get_default_verify_paths()
    # Of Windows' list and of certifi's nothing tells that they are others.
    hour = feed_clock() // 3600
    return _context_of(choice, (hour, *state_of(found.cafile, found.capath)))


# To make one takes 18 ms and 0.8 MB, nearly all of it for certificates of authorities.
@lru_cache(maxsize=1)
def _context_of(choice: tuple[str | None, str | None], _state: object) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if choice == (None, None) and not _has_roots(context):
        with suppress(ImportError):
            import certifi  # here, because most systems need none

            context.load_verify_locations(certifi.where())
    return context


def _has_roots(context: ssl.SSLContext) -> bool:
    """Tell whether the system vouches for all it can: itself, in a file or a folder of files."""
    try:
        listed = context.get_ca_certs()
    except NotImplementedError:  # it judges certificates itself, as truststore has it
        return True
    folder = ssl.get_default_verify_paths().capath
    is_known = bool(listed) or (folder is not None and any(Path(folder).iterdir()))
    return sys.platform != "win32" and is_known


def proxy_for(host: str) -> str | None:
    """Return the proxy for `host`, from where requests takes it too; None for none."""
    if urllib.request.proxy_bypass(host):
        return None
    proxies = urllib.request.getproxies()
    return proxies.get("https") or proxies.get("all")


def _tunnel(proxy: str, host: str, port: int, ends_at: float) -> socket.socket:
    instead = (
        f"set HTTPS_PROXY to an http: proxy, or NO_PROXY to {host}; meanwhile prices come over REST"
    )
    try:
        parts = urllib.parse.urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        proxy_port = parts.port
    except ValueError:
        parts, proxy_port = urllib.parse.urlsplit(""), None
    if not parts.hostname or proxy_port == 0:
        cure = f"which is no address of a proxy, such as http://host:port: {instead}"
    elif parts.scheme == "http":
        return _http_tunnel(proxy, parts, host, port)
    elif parts.scheme in _SOCKS_SCHEMES:
        try:
            return _socks_tunnel(parts, host, port, _left(ends_at))
        except ImportError:
            cure = f"which needs the package PySocks: install it, or {instead}"
    else:
        cure = f"which the stream cannot use: {instead}"
    raise KrakenConnectionError(unusable_proxy(proxy, os.environ, cure), request_sent=False)


def _http_tunnel(
    proxy: str, parts: urllib.parse.SplitResult, host: str, port: int
) -> socket.socket:
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    request = f"CONNECT {where} HTTP/1.1\r\nHost: {where}\r\n"
    name, password = _login(parts)
    if name is not None:
        login = base64.b64encode(f"{name}:{password or ''}".encode()).decode()
        request += f"Proxy-Authorization: Basic {login}\r\n"
    assert parts.hostname is not None  # as with the SOCKS proxy, `_tunnel` has looked
    sock = dial(parts.hostname, parts.port or 80)
    try:
        sock.sendall(f"{request}\r\n".encode("ascii"))
        answer = Answer(sock, method="CONNECT")
        with closing(answer):
            answer.begin()
        if not 200 <= answer.status < 300:
            cure = _proxy_cure(answer.status, shown(answer.reason.strip(), 100))
            raise KrakenConnectionError(unusable_proxy(proxy, os.environ, cure), request_sent=False)
    except http.client.HTTPException as error:
        sock.close()
        cure = f"whose answer is not HTTP ({type(error).__name__}); meanwhile prices come over REST"
        raise KrakenConnectionError(
            unusable_proxy(proxy, os.environ, cure), request_sent=False
        ) from error
    except BaseException:
        sock.close()
        raise
    return sock


def _proxy_cure(status: int, reason: str) -> str:
    said = f"HTTP {status}" + (f" {reason}" if reason else "")
    if status == 407:
        return (
            f"which wants another name and password ({said}): write them into its address as "
            "http://NAME:PASSWORD@HOST:PORT; meanwhile prices come over REST"
        )
    return f"which does not let the stream through ({said}); meanwhile prices come over REST"


def _socks_tunnel(
    proxy: urllib.parse.SplitResult, host: str, port: int, timeout: float
) -> socket.socket:
    import socks  # here, because few need it: it comes with an extra

    name, password = _login(proxy)
    sock = socks.create_connection(
        (host, port),
        timeout=timeout,  # type: ignore[arg-type]  # fractions are fine, whatever the stubs say
        proxy_type=socks.SOCKS4 if proxy.scheme.startswith("socks4") else socks.SOCKS5,
        proxy_addr=proxy.hostname,
        proxy_port=proxy.port or 1080,
        proxy_rdns=proxy.scheme in ("socks5h", "socks4a"),
        proxy_username=name,
        proxy_password=password,
    )
    plain = socket.socket(fileno=sock.detach())  # what the proxy had to be told is told
    plain.settimeout(timeout)
    return plain


def _login(proxy: urllib.parse.SplitResult) -> tuple[str | None, str | None]:
    name, password = (
        text and urllib.parse.unquote(text) for text in (proxy.username, proxy.password)
    )
    return name or None, password
