"""One WebSocket: TCP, proxy, TLS and handshake, then messages out of bytes as fast as they come.

The one module that meets websocket-client. It must never trust a certificate that is not checked,
wait without a deadline, or let a wake-up or a close by another thread touch a socket that is
somebody else's by then. What the messages mean is `ws_protocol`'s affair.

Source: RFC 6455; websocket-client 1.8 (read 2026-11).
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
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from krakenlink.errors import KrakenConnectionError, KrakenTransportError, unusable_proxy
from krakenlink.machine import is_loopback
from krakenlink.stream.feed import FeedSettings

try:
    import websocket
except ImportError:
    WEBSOCKET_AVAILABLE = False
else:
    WEBSOCKET_AVAILABLE = True

_USUAL = FeedSettings()
# Who finds out the address behind a name: in `socks5h` and `socks4a` the proxy, else this machine.
_SOCKS_SCHEMES = ("socks5", "socks5h", "socks4", "socks4a")


class ConnectionRefused(KrakenConnectionError):
    """The other side said no in words: an HTTP 4xx, or the close code 1008."""


class Connection(Protocol):
    """What the feed needs of a WebSocket. One thread sends and receives; any may wake or close."""

    def send(self, text: str) -> None:
        """Send one text message, or raise `OSError` or `KrakenTransportError`."""
        ...

    def recv(self, timeout: float) -> list[str | bytes] | None:
        """Return the messages that are there, waiting at most `timeout` seconds for a first one.

        None means that no frame of any kind came; an empty list that one came which carries no
        message. Bytes are messages that are not UTF-8 text.
        """
        ...

    def wake(self) -> None:
        """Make a waiting `recv` return at once."""
        ...

    def close(self) -> None:
        """Give the socket back; a waiting `recv` raises. Idempotent."""
        ...


def open_websocket(
    url: str,
    timeout: float,
    *,
    max_message_bytes: int = _USUAL.max_message_bytes,
    send_timeout: float = _USUAL.send_timeout,
) -> Connection:
    """Connect to `url` with websocket-client; TLS is verified, proxies come from the environment.

    Blocks up to `timeout` for each step of the handshake.

    Raises:
        KrakenTransportError: If there is no connection at the end of it.
        OSError: The same, in the operating system's words.
    """
    if not WEBSOCKET_AVAILABLE:
        raise KrakenConnectionError("websocket-client is not installed", request_sent=False)
    parts = urllib.parse.urlsplit(url)
    wire = _Wire(_open_socket(parts, timeout), send_timeout)
    try:
        return _WebSocketClient(url, wire, timeout, max_message_bytes)
    except BaseException:
        wire.close()
        raise


def _open_socket(parts: urllib.parse.SplitResult, timeout: float) -> socket.socket:
    """Return a connected socket, through the proxy that the environment names, with TLS if due."""
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "wss" else 80)
    # A proxy elsewhere cannot reach this machine's loopback, whatever the environment says.
    proxy = None if is_loopback(host) else _proxy_for(host)
    if proxy is None:
        sock = socket.create_connection((host, port), timeout)
    else:
        sock = _tunnel(proxy, host, port, timeout)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if parts.scheme == "wss":
            sock = tls_context().wrap_socket(sock, server_hostname=host)
    except BaseException:
        sock.close()
        raise
    return sock


def tls_context() -> ssl.SSLContext:
    """Return the context of every `wss:` connection: certificate and host name are checked.

    Who may vouch for them is told by the system, or by `SSL_CERT_FILE` and `SSL_CERT_DIR`. Where
    neither tells anything, as with a fresh Python on macOS, or not all, as on Windows, which
    fetches roots when its own programs need them, it is certifi's list: REST's, too.
    """
    context = ssl.create_default_context()
    is_chosen = bool({"SSL_CERT_FILE", "SSL_CERT_DIR"} & os.environ.keys())
    if not is_chosen and (sys.platform == "win32" or not _has_roots(context)):
        with suppress(ImportError):
            import certifi  # here, because most systems need none

            context.load_verify_locations(certifi.where())
    return context


def _has_roots(context: ssl.SSLContext) -> bool:
    """Tell whether the system vouches for anybody, in a file or in a folder of files."""
    folder = ssl.get_default_verify_paths().capath
    return bool(context.get_ca_certs()) or (folder is not None and any(os.scandir(folder)))


def _proxy_for(host: str) -> str | None:
    """Return the proxy for `host`, from where requests takes it too; None for none."""
    if urllib.request.proxy_bypass(host):
        return None
    proxies = urllib.request.getproxies()
    return proxies.get("https") or proxies.get("all")


def _tunnel(proxy: str, host: str, port: int, timeout: float) -> socket.socket:
    parts = urllib.parse.urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    instead = (
        f"set HTTPS_PROXY to an http: proxy, or NO_PROXY to {host}; meanwhile prices come over REST"
    )
    if parts.hostname and parts.scheme == "http":
        return _http_tunnel(parts, host, port, timeout)
    if parts.hostname and parts.scheme in _SOCKS_SCHEMES:
        try:
            return _socks_tunnel(parts, host, port, timeout)
        except ImportError:
            cure = f"which needs the package PySocks: install it, or {instead}"
    else:
        cure = f"which the stream cannot use: {instead}"
    raise KrakenConnectionError(unusable_proxy(proxy, os.environ, cure), request_sent=False)


def _http_tunnel(
    proxy: urllib.parse.SplitResult, host: str, port: int, timeout: float
) -> socket.socket:
    headers = {}
    name, password = _login(proxy)
    if name is not None:
        login = f"{name}:{password or ''}"
        headers["Proxy-Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
    assert proxy.hostname is not None  # as with the SOCKS proxy, `_tunnel` has looked
    http_connection = http.client.HTTPConnection(proxy.hostname, proxy.port or 80, timeout=timeout)
    http_connection.set_tunnel(host, port, headers)
    http_connection.connect()
    sock = http_connection.sock
    http_connection.sock = None  # the socket outlives this helper object
    assert isinstance(sock, socket.socket)
    return sock


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


class _Wire:
    """The socket below websocket-client: reads ahead, and can be woken while it waits.

    The library takes the socket for a non-blocking one and asks for bytes two at a time; here
    they come out of one buffer that each system call fills as far as it can.
    """

    def __init__(self, sock: socket.socket, send_timeout: float) -> None:
        self.buffer = bytearray()
        self.at = 0  # where in the buffer the next frame begins
        self.deadline = 0.0  # until when `recv` of the library may wait: the handshake only
        self._send_timeout = send_timeout
        self._sock = sock
        sock.setblocking(False)
        self._pending = getattr(sock, "pending", None)  # TLS: bytes decrypted and not yet taken
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._wait_readable = _readable_waiter(sock, self._wake_out)
        # Guards: _is_closing, _is_closed, and the closing of the sockets against wake() and
        # shutdown() by other threads, whose file numbers might be somebody else's by then.
        self._close_lock = threading.Lock()
        self._is_closing = False
        self._is_closed = False
        self._owner = threading.get_ident()
        self._pid = os.getpid()

    # -- what the library calls

    def gettimeout(self) -> float:
        return 0.0

    def settimeout(self, timeout: float | None) -> None:
        """Do nothing: deadlines are kept here, not by the library."""

    def recv(self, count: int) -> bytes:
        while self.at >= len(self.buffer):
            remaining = self.deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError("the handshake took too long")
            self.fill(remaining)
        data = bytes(self.buffer[self.at : self.at + count])
        self.at += len(data)
        return data

    def send(self, data: bytes) -> int:
        deadline = time.monotonic() + self._send_timeout
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
        """Read what is there, waiting up to `timeout` seconds; returns early when woken."""
        if self._is_closing:
            raise KrakenConnectionError("closed on this side", request_sent=True)
        if not (self._pending and self._pending()):
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
        with self._close_lock:
            if not self._is_closed:
                with suppress(OSError):  # full: it is awake already
                    self._wake_in.send(b"w")

    def close(self) -> None:
        """Close; from a foreign thread only shut down, so that the owner wakes up and closes."""
        is_child = os.getpid() != self._pid
        if not is_child and threading.get_ident() != self._owner:
            with self._close_lock:
                if not self._is_closed:
                    self._is_closing = True
                    with suppress(OSError):
                        self._sock.shutdown(socket.SHUT_RDWR)
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


def _readable_waiter(
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


_CONTROL_BITS = 0x08
_PLAIN_TEXT = 0x81  # one whole text frame, no extension
_TWO_BYTE_LENGTH = 126  # in the place of the length: two bytes with the real one follow


class _WebSocketClient:
    """A connection by websocket-client, with a shorter way for plain whole text frames.

    The library takes 5.4 microseconds for a frame that lies in the buffer already, this one 0.8;
    all that comes after it - decoding, cache, queues - takes 4. Fragments, control frames and
    everything odd go through the library.
    """

    def __init__(self, url: str, wire: _Wire, timeout: float, max_message_bytes: int) -> None:
        self._wire = wire
        self._max = max_message_bytes
        self._ending: Exception | None = None
        self._fragments: list[bytes] = []
        # UTF-8 is checked by `decode` below, in C; the library would do it in Python.
        self._ws = websocket.WebSocket(fire_cont_frame=True, skip_utf8_validation=True)
        wire.deadline = time.monotonic() + timeout  # for the whole answer, not for each byte
        try:
            self._ws.connect(  # type: ignore[no-untyped-call]  # it has no annotations
                url,
                socket=wire,
                header=["User-Agent: ttslo"],
                suppress_origin=True,
                redirect_limit=0,
            )
        except websocket.WebSocketBadStatusException as error:
            said = f"the server answered the handshake with HTTP {error.status_code}"
            is_refusal = 400 <= error.status_code < 500
            kind = ConnectionRefused if is_refusal else KrakenConnectionError
            raise kind(said, request_sent=True) from error
        except (websocket.WebSocketException, ValueError) as error:
            raise KrakenConnectionError(f"no handshake: {error}", request_sent=True) from error
        wire.deadline = 0.0

    def send(self, text: str) -> None:
        try:
            self._ws.send(text)
        except websocket.WebSocketException as error:
            raise KrakenConnectionError(f"cannot send: {error}", request_sent=True) from error

    def recv(self, timeout: float) -> list[str | bytes] | None:
        if self._ending is not None:
            raise self._ending
        wire = self._wire
        frames = self._take() if wire.at < len(wire.buffer) else None
        if frames is None:
            wire.fill(timeout)
            frames = self._take()
        return frames

    def wake(self) -> None:
        self._wire.wake()

    def close(self) -> None:
        self._wire.close()

    def _take(self) -> list[str | bytes] | None:
        """Return the messages of all whole frames in the buffer; None if there is no frame."""
        messages: list[str | bytes] | None = self._take_plain() or None
        try:
            while (span := self._next_frame()) is not None:
                if messages is None:
                    messages = []
                start, end = span
                if self._wire.buffer[self._wire.at] == _PLAIN_TEXT and not self._fragments:
                    self._wire.at = end
                    messages.append(_text(self._wire.buffer[start:end]))
                else:
                    messages.extend(self._take_odd())
        except KrakenTransportError as error:
            if not messages:
                raise
            # What came before the end is still true; the end is told at the next call.
            self._ending = error
        return messages

    def _take_plain(self) -> list[str | bytes]:
        """Return the messages of whole text frames up to one of another shape or length.

        Prices come in frames of about 330 bytes: one loop without a call takes them out.
        """
        messages: list[str | bytes] = []
        wire = self._wire
        buffer, at = wire.buffer, wire.at
        size = len(buffer)
        while size - at > 4 and not self._fragments:
            start = at + 4
            end = start + (buffer[at + 2] << 8 | buffer[at + 3])
            if (
                buffer[at] != _PLAIN_TEXT
                or buffer[at + 1] != _TWO_BYTE_LENGTH
                or end > size
                or end - start > self._max
            ):
                break
            messages.append(_text(buffer[start:end]))
            wire.at = at = end
        return messages

    def _next_frame(self) -> tuple[int, int] | None:
        """Return where the payload of the next frame begins and ends; None if it is not whole."""
        buffer, at = self._wire.buffer, self._wire.at
        there = len(buffer) - at
        if there < 2:
            return None
        length = buffer[at + 1]
        start = at + 2
        if length > 127:
            raise KrakenConnectionError("a masked frame from the server", request_sent=True)
        if length > 125:
            width = 2 if length == 126 else 8
            start += width
            if there < 2 + width:
                return None
            length = int.from_bytes(buffer[at + 2 : start], "big")
            if length > self._max:
                self._refuse_size(length)
        end = start + length
        return (start, end) if end <= len(buffer) else None

    def _refuse_size(self, length: int) -> None:
        raise KrakenConnectionError(
            f"a message of {length} bytes, more than the {self._max} that are taken",
            request_sent=True,
        )

    def _take_odd(self) -> list[str | bytes]:
        """Let the library read one frame that lies in the buffer: fragment, control or odd."""
        try:
            opcode, frame = self._ws.recv_data_frame(control_frame=True)
        except websocket.WebSocketException as error:
            raise KrakenConnectionError(f"protocol: {error}", request_sent=True) from error
        data = frame.data if isinstance(frame.data, bytes) else bytes(frame.data, "utf-8")
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            raise _close_reason(data)
        if opcode & _CONTROL_BITS:
            return []  # a ping, which the library has answered, or a pong
        self._fragments.append(data)
        size = sum(map(len, self._fragments))
        if size > self._max:
            self._refuse_size(size)
        if not frame.fin:
            return []
        whole = bytearray(b"".join(self._fragments))
        self._fragments.clear()
        return [_text(whole)]


def _text(payload: bytearray) -> str | bytes:
    try:
        return payload.decode("utf-8")
    except UnicodeDecodeError:
        return bytes(payload)


def _close_reason(data: bytes) -> KrakenConnectionError:
    code = int.from_bytes(data[:2], "big") if len(data) >= 2 else 1005
    words = data[2:].decode("utf-8", "replace")
    said = f"closed by the server with code {code}" + (f": {words[:100]!r}" if words else "")
    kind = ConnectionRefused if code == 1008 else KrakenConnectionError
    return kind(said, request_sent=True)
