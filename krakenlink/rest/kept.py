"""A request over a connection that stands already, in as few steps as it can be.

What connects (addresses, proxies, certificates) is the HTTP libraries' business; once that is done,
a request is some lines of text, and they take longer over it than the wire. What it must never do:
open a connection, send anything over one that may be dead, send twice, or leave a connection behind
upon which somebody could take the rest of one answer for the next.

Source: RFC 9112, HTTP/1.1; `http.client`, which reads the answers, and urllib3 2, whose pool keeps
the connections (read 2026-11).
"""

from __future__ import annotations

import http.client
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import ClosedPoolError, InvalidHeader

from krakenlink.sockets import MOST_BYTES, Answer, TooLong, call_here

# What may stand in the first line of a request; anything else is left to those who refuse it.
_TARGET = re.compile(r"/[!-~]*", re.ASCII)
_PIECE = 65536
# What was said before the end of a connection can still be read.
_if_not_ended = suppress(BrokenPipeError)


class Received(NamedTuple):
    """An answer as it came, but for its body, which is unpacked."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes


class Messages:
    """Lays out requests to one server.

    Args:
        root: Address of the server, without a slash at its end.
        headers: What every request to it says. They are sound: none is checked here.
    """

    def __init__(self, root: str, headers: Mapping[str, str]) -> None:
        parts = urlsplit(root)
        self._folder = parts.path
        host = parts.netloc.encode("idna").decode("ascii")
        self._common = f" HTTP/1.1\r\nHost: {host}\r\n{_lines(headers)}"

    def of(
        self, verb: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> bytes | None:
        """Return a whole request; None if `path` cannot stand in one.

        Args:
            verb: `GET` or `POST`.
            path: Below the root, from its slash on.
            body: What is posted.
            headers: What this request says beside the common ones; sound as they are.
        """
        target = self._folder + path
        if _TARGET.fullmatch(target) is None:
            return None
        length = "" if body is None else f"Content-Length: {len(body)}\r\n"
        head = f"{verb} {target}{self._common}{_lines(headers)}{length}\r\n"
        return head.encode("ascii") + (body or b"")


def _lines(headers: Mapping[str, str]) -> str:
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()])


def exchanged(pool: HTTPConnectionPool, verb: str, message: bytes) -> Received | None:
    """Send a request over a connection that stands, and return the answer; None if none stands.

    Then nothing was sent. Blocks until the deadline of this thread's call. Whatever it raises, the
    call tells whether the request may have left.

    Args:
        pool: Connections as `sockets` makes them.
        verb: The first word of `message`.
        message: The whole request.
    """
    call = call_here()
    if call is not None:
        call.is_watched = True  # whatever may leave from here on is seen
    connection = _taken_from(pool)
    if connection is None:
        return None
    answer: Answer | None = None
    try:
        with _if_not_ended:
            connection.note_sending()
            connection.sock.sendall(message)
        answer = Answer(connection.sock, method=verb)
        answer.begin()
        body = _read(answer)
    except BaseException:
        # What is left of it must not be taken for the next answer.
        if answer is not None:
            answer.close()
        connection.close()
        _put_back(pool, None)
        raise
    if answer.will_close:
        connection.close()
    _put_back(pool, connection)
    return Received(answer.status, answer.reason, _headers(answer), body)


def _taken_from(pool: HTTPConnectionPool) -> Any:
    """Return a connection that stands, and is the caller's to put back; None if none does."""
    idle = pool.pool
    if idle is None:
        raise ClosedPoolError(pool, "Pool is closed.")
    # Not by the pool's own way to one, which is a dozen calls: an order waits for them.
    with idle.mutex:  # of a queue that has None for each connection that it has no more
        connection = idle.queue.pop() if idle.queue and idle.queue[-1] else None
    if connection is None or connection.is_connected:
        return connection
    connection.close()  # it may be dead
    _put_back(pool, connection)
    return None


def _put_back(pool: HTTPConnectionPool, connection: Any) -> None:
    """Put a connection that was taken into the pool again, or None for one that is no more.

    Not by the pool's own way: it takes the lock by a call, and a Ctrl-C behind that would leave it
    held, and every later call waiting.
    """
    idle, has_room = pool.pool, False
    if idle is not None:
        with idle.mutex:
            has_room = len(idle.queue) < idle.maxsize
            if has_room:
                idle.queue.append(connection)
    if connection is not None and not has_room:
        connection.close()


def _read(answer: Answer) -> bytes:
    """Return the body of an answer.

    Raises:
        HTTPException: If it ended before it was whole.
        InvalidHeader: If it says two lengths, so that nobody can tell where it ends.
    """
    lengths = set(answer.headers.get_all("Content-Length", ()))
    if len(lengths) > 1:
        raise InvalidHeader("Content-Length contained multiple unmatching values")
    content = unpacked(_pieces(answer), answer.headers.get("Content-Encoding", ""))
    if answer.length:
        raise http.client.IncompleteRead(b"", answer.length)
    return content


def _pieces(answer: Answer) -> Iterator[bytes]:
    while piece := answer.read(_PIECE):
        yield piece


def unpacked(pieces: Iterable[bytes], packed: str) -> bytes:
    """Return the whole body, unpacked; never more than `MOST_BYTES` of it are in memory.

    Args:
        pieces: What came.
        packed: The header `Content-Encoding`.

    Raises:
        TooLong: If it is longer than that.
        zlib.error: If it cannot be unpacked, or was cut off.
    """
    is_packed = packed.strip().lower() in ("gzip", "x-gzip", "deflate")
    unpack = zlib.decompressobj(47) if is_packed else None
    content = bytearray()
    for piece in pieces:
        room = MOST_BYTES + 1 - len(content)
        content += piece if unpack is None else unpack.decompress(piece, room)
        if len(content) > MOST_BYTES:
            raise TooLong
    if unpack is not None and content and not unpack.eof:
        raise zlib.error("cut off")
    return bytes(content)


def _headers(answer: Answer) -> Mapping[str, str]:
    """Return the headers by name; what was said twice is one text, with a comma between."""
    found: dict[str, str] = {}
    for name, value in answer.headers.items():
        key = name.title()
        found[key] = f"{found[key]}, {value}" if key in found else value
    return found
