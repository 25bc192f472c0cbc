"""One WebSocket by websocket-client: the handshake, then messages out of bytes, fast.

The one module that meets websocket-client. It must never wait without a deadline, nor take more of
one message than is allowed. What the messages mean is `frames`' affair.

Source: RFC 6455; websocket-client 1.8 (read 2026-11).
"""

from __future__ import annotations

import struct
import time
import urllib.parse
from typing import Protocol, runtime_checkable

from krakenlink.errors import KrakenConnectionError, KrakenTransportError
from krakenlink.foreign import shown
from krakenlink.stream.settings import DEFAULT_SETTINGS, FeedSettings
from krakenlink.stream.wire import Wire, open_socket

try:
    import websocket
except (Exception, SystemExit):  # noqa: BLE001 - somebody's own websocket.py may do anything
    CLIENT_AVAILABLE = False
else:
    CLIENT_AVAILABLE = hasattr(websocket, "WebSocketApp")  # or it is another thing of that name


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


@runtime_checkable
class Proving(Protocol):
    """What a connection has besides where a frame that comes proves less than that it is new."""

    @property
    def proven_at(self) -> float:
        """The moment, on the feed's clock, up to which all that was received is proven."""
        ...


def open_websocket(
    url: str, timeout: float, settings: FeedSettings = DEFAULT_SETTINGS
) -> Connection:
    """Connect to `url` with websocket-client; TLS is verified, proxies come from the environment.

    Blocks up to `timeout` seconds, from the look-up of the name to the end of the handshake. Of
    `settings` the longest message and the longest wait of a `send` count.

    Raises:
        KrakenTransportError: If there is no connection at the end of it.
        OSError: The same, in the operating system's words.
    """
    if not CLIENT_AVAILABLE:
        raise KrakenConnectionError("websocket-client is not installed", request_sent=False)
    ends_at = time.monotonic() + timeout
    try:
        sock = open_socket(urllib.parse.urlsplit(url), timeout)
    except TimeoutError as error:
        raise TimeoutError(f"no connection within {timeout:g} s ({error})") from error
    wire = Wire(sock, settings.send_timeout)
    wire.deadline = ends_at  # for the whole answer, not for each byte
    try:
        return _WebSocketClient(url, wire, settings.max_message_bytes)
    except BaseException:
        wire.close()
        raise


_SWITCHED = 101
_CONTROL_BITS = 0x08
_PLAIN_TEXT = 0x81  # one whole text frame, no extension
_TWO_BYTE_LENGTH = 126  # in the place of the length: two bytes with the real one follow
_PLAIN_HEAD = _PLAIN_TEXT << 8 | _TWO_BYTE_LENGTH
_read_head = struct.Struct(">HH").unpack_from  # one call, for four looks at a byte each

# Of one message; Kraken sends none in pieces. Empty ones would never fill the bytes allowed.
_MOST_FRAGMENTS = 1000


class _WebSocketClient:
    """A connection by websocket-client, with a shorter way for plain whole text frames.

    The library takes 5.4 microseconds for a frame that lies in the buffer already, this one 0.3;
    all that comes after it - decoding, cache, queues - takes 2. Fragments, control frames and
    everything odd go through the library.
    """

    def __init__(self, url: str, wire: Wire, max_message_bytes: int) -> None:
        self._wire = wire
        self._max = max_message_bytes
        self._ending: Exception | None = None
        self._fragments: list[bytes] = []
        self._size = 0  # of all fragments
        # UTF-8 is checked by `decode` below, in C; the library would do it in Python.
        self._ws = websocket.WebSocket(fire_cont_frame=True, skip_utf8_validation=True)
        try:
            self._ws.connect(  # type: ignore[no-untyped-call]  # it has no annotations
                url,
                socket=wire,
                header=["User-Agent: ttslo"],
                suppress_origin=True,
                redirect_limit=0,
            )
        except websocket.WebSocketBadStatusException as error:
            raise _status_error(error.status_code) from error
        except (OSError, KrakenTransportError):
            raise
        except Exception as error:  # the library meets some odd lines with an IndexError
            said = f"no handshake: {shown(str(error), 100)}"
            raise KrakenConnectionError(said, request_sent=True) from error
        status = self._ws.getstatus()
        if status != _SWITCHED:  # the library takes a redirect that it does not follow for an open
            raise _status_error(status)
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
        if self._wire.at == len(self._wire.buffer):
            return messages
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
            head, length = _read_head(buffer, at)
            start = at + 4
            end = start + length
            if head != _PLAIN_HEAD or end > size or length > self._max:
                break
            try:
                messages.append(buffer[start:end].decode())
            except UnicodeDecodeError:
                messages.append(bytes(buffer[start:end]))
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
        self._size += len(data)
        if self._size > self._max:
            self._refuse_size(self._size)
        if len(self._fragments) > _MOST_FRAGMENTS:
            said = f"a message in more than {_MOST_FRAGMENTS} pieces"
            raise KrakenConnectionError(said, request_sent=True)
        if not frame.fin:
            return []
        whole = bytearray(b"".join(self._fragments))
        self._fragments.clear()
        self._size = 0
        return [_text(whole)]


def _status_error(status: int | None) -> KrakenConnectionError:
    """Return what a status other than 101 means; a 3xx is never followed to another address."""
    is_redirect = status is not None and 300 <= status < 400
    said = f"the server answered the handshake with HTTP {status}" + (
        ", a redirect, which is not followed" if is_redirect else ""
    )
    is_refusal = status is not None and 300 <= status < 500
    kind = ConnectionRefused if is_refusal else KrakenConnectionError
    return kind(said, request_sent=True)


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
