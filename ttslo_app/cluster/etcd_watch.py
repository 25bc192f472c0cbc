"""A watch of etcd's: one connection on which changes come for ever.

On a socket of its own and not through `requests`, whose reading cannot go on after a pause. It asks
in HTTP/1.0, so that the answer comes unchunked, a line of JSON for each piece of news. What it must
never do: leave out a change without saying so, or take silence for a sign that nothing happens.

Source: etcd 3.4 and 3.5, watch of the gRPC gateway (read 2026-11).
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from krakenlink.machine import feed_clock
from krakenlink.sockets import Call, by_thread, dial
from ttslo_app.cluster import gateway, words
from ttslo_app.cluster.gateway import Fate, Odd, Refusal
from ttslo_app.cluster.store import Entry, News

# Seconds for the connection and the first word of the store.
_CONNECTS = 3.0
# Seconds of silence after which the node is asked whether it still knows what happens.
_QUIET = 3.0
_LONGEST_LINE = 64 * 2**20
_LONGEST_HEAD = 65536


class Watch:
    """One watch on one node, as a context; it has the changes since a revision. One thread.

    Args:
        root: Address of the node.
        tls: What TLS is spoken by; None for a plain connection.
        headers: Of the request.
        prefix: What the keys begin with.
        after: The revision whose changes are known.

    All of it raises Refusal where the node does not do its part.
    """

    def __init__(
        self,
        root: str,
        tls: ssl.SSLContext | None,
        headers: Mapping[str, str],
        prefix: str,
        after: int,
    ) -> None:
        self._known = after
        self._left = b""
        self._waiting: list[dict[str, Any]] = []  # the pieces of what comes in several
        self._socket = _connected(root, tls)
        body = json.dumps(gateway.watch_body(prefix, after)).encode()
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        request = f"POST /v3/watch HTTP/1.0\r\n{head}Content-Length: {len(body)}\r\n\r\n"
        try:
            self._socket.settimeout(_CONNECTS)
            self._socket.sendall(request.encode("ascii") + body)
            self._read_head()
        except (OSError, UnicodeError) as error:
            self._socket.close()
            raise Refusal(Fate.ELSEWHERE, _said(error)) from None
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def _read_head(self) -> None:
        """Read status and headers; an answer that is no stream is read to its end."""
        ends_at = feed_clock() + _CONNECTS
        while b"\r\n\r\n" not in self._left:
            if feed_clock() > ends_at or len(self._left) > _LONGEST_HEAD:
                raise TimeoutError
            self._left += self._received()
        head, _, self._left = self._left.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        status = lines[0].split(" ")[1:2]
        if status == ["200"]:
            return
        while feed_clock() < ends_at and len(self._left) < _LONGEST_HEAD:
            with suppress(Refusal):  # its end is what is waited for
                self._left += self._received()
                continue
            break
        named = (line.partition(":") for line in lines[1:])
        kind = next((v.strip() for n, _, v in named if n.lower() == "content-type"), "")
        number = int(status[0]) if status and status[0].isdecimal() else 0
        body = self._left.partition(b"Grpc-Trailer")[0]
        raise gateway.refusal(number, kind, body)

    def _received(self) -> bytes:
        data = self._socket.recv(65536)
        if not data:
            raise Refusal(Fate.ELSEWHERE, words.broken_off(""))
        return data

    def news(self, patience: float, revision: Callable[[], int]) -> Iterator[News]:
        """Yield what happens; News without entries at least every `patience` seconds of silence.

        Args:
            patience: In seconds.
            revision: Asks the same node for the store's revision, of which a majority is sure;
                raises Refusal where it knows none.
        """
        self._socket.settimeout(patience)
        heard_at = feed_clock()
        while True:
            try:
                lines = self._lines()
            except TimeoutError:
                if feed_clock() - heard_at >= _QUIET:
                    if revision() < self._known:  # another store, or one of yesterday
                        yield News(self._known, is_torn=True)
                        return
                    heard_at = feed_clock()
                yield News(self._known)
                continue
            except OSError as error:
                raise Refusal(Fate.ELSEWHERE, _said(error)) from None
            heard_at = feed_clock()
            for line in lines:
                found = self._read(line)
                if found is not None:
                    yield found
                    if found.is_torn:
                        return

    def _lines(self) -> list[bytes]:
        """Return the whole lines that have come, of which there may be none."""
        if b"\n" not in self._left:  # the head may have brought the first ones
            self._left += self._received()
        if len(self._left) > _LONGEST_LINE:
            raise Refusal(Fate.ELSEWHERE, words.odd("it is too long"))
        *lines, self._left = self._left.split(b"\n")
        return [line for line in lines if line.strip()]

    def _read(self, line: bytes) -> News | None:
        """Return what a line tells; None where that is nothing, or not all of it."""
        try:
            told = gateway.read_object(line)
            if "error" in told:
                error = told["error"]
                said = error.get("message", "") if isinstance(error, dict) else str(error)
                raise gateway.meaning(str(said))
            result = told.get("result")
            if not isinstance(result, dict):
                raise Odd("no result")
            if result.get("canceled") is True:
                return self._canceled(result)
            self._waiting.append(result)
            if result.get("fragment") is True:
                return None
            parts, self._waiting = self._waiting, []
            return self._told(parts)
        except Odd as error:
            raise Refusal(Fate.ELSEWHERE, words.odd(str(error))) from None

    def _canceled(self, result: Mapping[str, Any]) -> News:
        if gateway.number(result, "compact_revision"):
            return News(self._known, is_torn=True)
        reason = result.get("cancel_reason")
        if not reason:  # etcd 3.4 says no more to a user without the right, or with an old login
            raise Refusal(Fate.LOGIN, words.NO_RIGHT)
        raise gateway.meaning(str(reason))

    def _told(self, parts: list[dict[str, Any]]) -> News | None:
        """Return the last word on each key; in one piece of news none is named twice."""
        entries: dict[str, Entry] = {}
        gone: dict[str, None] = {}
        for event in (event for part in parts for event in part.get("events") or []):
            entry = gateway.entry_of(event.get("kv") if isinstance(event, dict) else None)
            self._known = max(self._known, entry.version)
            entries.pop(entry.key, None)
            gone.pop(entry.key, None)
            if event.get("type") == "DELETE":
                gone[entry.key] = None
            else:
                entries[entry.key] = entry
        if not entries and not gone:
            return None
        return News(self._known, tuple(entries.values()), tuple(gone))


def _connected(root: str, tls: ssl.SSLContext | None) -> socket.socket:
    """Return a socket to the node, with TLS where that is wanted."""
    parts = urlsplit(root)
    host, port = parts.hostname or "", parts.port or 0
    ends_at = feed_clock() + _CONNECTS
    found: list[socket.socket] = []

    def connect() -> None:
        sock = dial(host, port, [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)])
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        try:
            found.append(sock if tls is None else tls.wrap_socket(sock, server_hostname=host))
        except BaseException:
            sock.close()
            raise

    def undo() -> None:
        for sock in found:
            sock.close()

    try:
        with Call(ends_at, _CONNECTS, ends_at, 0.0):
            by_thread(connect, undo, ends_at)
    except ssl.SSLCertVerificationError as error:
        raise Refusal(Fate.NOT_DONE, words.not_trusted(error.verify_message)) from None
    except OSError as error:
        raise Refusal(Fate.NOT_DONE, words.cannot_connect(_said(error))) from None
    return found[0]


def _said(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return words.LATE
    return words.broken_off(getattr(error, "strerror", None) or type(error).__name__)
