"""A TCP proxy on loopback that makes the faults of a network, for the tests and the benchmarks.

It knows nothing of Kraken: it stands between any client and any server, and what it does to the
bytes is one frozen `Weather`, which can be changed at any time and then holds for open
connections, too.
"""

from __future__ import annotations

import os
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

_MOST = 65536
_FAREWELL = 5.0  # seconds for its threads to end
_SLICE = 0.005  # seconds between two looks at whether bytes are held back any longer
_HEAD_END = b"\r\n\r\n"  # of the answer to a WebSocket handshake


@dataclass(frozen=True, slots=True)
class Weather:
    """What happens to connections.

    Attributes:
        latency: Seconds that each piece is held back, in both directions.
        piece: Most bytes that are handed on at once, in both directions; None for as they come.
        pause: Seconds between two pieces, which with `piece` bounds the throughput.
        hole_after: Bytes of the server's that a connection gets; all later ones, and all of the
            client's from then on, vanish, and neither side is told: half-open.
        cut_after: Bytes of the server's after which the connection is reset.
        is_deaf: New connections are accepted by the system, and nobody ever answers.
        is_dark: All bytes vanish from now on, on open connections, too.
        is_held: All bytes wait until the weather changes, and then go on: a line that is slow.
        loses_questions: The client's bytes vanish, the server's do not: cut one way. A connection
            that has lost some stays so, as no stream goes on behind a hole.
        loses_answers: The other way round.
        injected: Bytes to be put behind the head of the server's first answer.
    """

    latency: float = 0.0
    piece: int | None = None
    pause: float = 0.0
    hole_after: int | None = None
    cut_after: int | None = None
    is_deaf: bool = False
    is_dark: bool = False
    is_held: bool = False
    loses_questions: bool = False
    loses_answers: bool = False
    injected: bytes = b""


FAIR = Weather()


class Link:
    """One connection of a client, and the proxy's own one to the server."""

    def __init__(self, client: socket.socket, server: socket.socket | None) -> None:
        self.client = client
        self.server = server
        self.received = 0  # bytes that came from the server
        self.is_dark = False
        self.has_lost = {True: False, False: False}  # by whether it came from the server
        self.injected = False
        self.ended = threading.Event()

    def end(self, *, with_reset: bool = False) -> None:
        """Close both sides, with a reset if wanted. Safe from any thread, and twice."""
        self.ended.set()
        for sock in (self.client, self.server):
            if sock is None:
                continue
            with suppress(OSError):
                if with_reset:
                    # Closing with bytes and time to spare set to none is a reset.
                    linger = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                # Wakes the thread that waits in `recv`, which closing alone does not.
                sock.shutdown(socket.SHUT_RD if with_reset else socket.SHUT_RDWR)
            sock.close()


class ChaosProxy:
    """Listens on a free loopback port until `close`.

    Args:
        port: Where the server is, on this machine.
        tls: Speak TLS with clients by this context; None for plain TCP.
    """

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self._target = port
        self._tls = tls
        self.weather = FAIR
        # Guards: links, made, left, _threads, _listener.
        self._lock = threading.Condition()
        self.links: list[Link] = []
        self.made = 0  # connections accepted so far
        self.left = 0  # connections that a client has ended
        self._threads: list[threading.Thread] = []
        self._listener: socket.socket | None = None
        self.port = 0
        self.listen()

    @property
    def url(self) -> str:
        """The address for a WebSocket client."""
        host = "127.0.0.1" if self._tls is None else "localhost"
        return f"{'ws' if self._tls is None else 'wss'}://{host}:{self.port}/v2"

    def listen(self) -> None:
        """Take connections, on the same port as ever."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        self._start(partial(self._accept, self._listener))

    def refuse(self) -> None:
        """Reset every connection and refuse new ones until `listen`."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.reset()

    def reset(self) -> None:
        """Reset every connection that is open."""
        with self._lock:
            links, self.links = self.links, []
        for link in links:
            link.end(with_reset=True)

    def close(self) -> None:
        """End everything and wait for its threads."""
        self.refuse()
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join(_FAREWELL)

    def wait_for_connections(self, count: int, timeout: float) -> bool:
        """Wait until `count` connections were accepted in all."""
        with self._lock:
            return self._lock.wait_for(lambda: self.made >= count, timeout)

    def _start(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name="chaos-proxy", daemon=True)
        with self._lock:
            self._threads = [t for t in self._threads if t.is_alive()]
            self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            weather = self.weather
            if self._tls is not None:
                # Before anybody else may close it: a socket that is closed while it is wrapped
                # is never given back.
                client = self._tls.wrap_socket(
                    client, server_side=True, do_handshake_on_connect=False
                )
            link = Link(client, None)
            with self._lock:
                if self._listener is not listener:
                    link.end()
                    return
                self.links.append(link)
                self.made += 1
                self._lock.notify_all()
            if not weather.is_deaf:
                self._start(partial(self._join, link))

    def _join(self, link: Link) -> None:
        """Connect a client to the server and hand its bytes on."""
        try:
            if isinstance(link.client, ssl.SSLSocket):
                link.client.do_handshake()
            link.server = socket.create_connection(("127.0.0.1", self._target), _FAREWELL)
            link.server.settimeout(None)
            for sock in (link.client, link.server):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except (OSError, ValueError):  # ended from the other side, or from this one
            link.end()
            return
        if link.ended.is_set():
            link.end()
            return
        server = link.server
        self._start(lambda: self._pump(link, link.client, server, is_from_server=False))
        self._pump(link, server, link.client, is_from_server=True)

    def _pump(
        self, link: Link, source: socket.socket, sink: socket.socket, *, is_from_server: bool
    ) -> None:
        try:
            while data := source.recv(self.weather.piece or _MOST):
                weather = self.weather
                if weather.pause or weather.latency:
                    link.ended.wait(weather.latency + weather.pause)
                while self.weather.is_held and not link.ended.wait(_SLICE):
                    pass
                if self._is_lost(link, is_from_server=is_from_server):
                    continue
                if is_from_server:
                    self._from_server(link, data)
                elif not (link.is_dark or self.weather.is_dark):
                    sink.sendall(data)
        except (OSError, ValueError):
            self._note_end(link, is_client=not is_from_server)
            link.end(with_reset=True)
            return
        self._note_end(link, is_client=not is_from_server)
        if not (link.is_dark or self.weather.is_dark):
            link.end()

    def _is_lost(self, link: Link, *, is_from_server: bool) -> bool:
        weather = self.weather
        loses = weather.loses_answers if is_from_server else weather.loses_questions
        link.has_lost[is_from_server] |= loses
        return link.has_lost[is_from_server]

    def _note_end(self, link: Link, *, is_client: bool) -> None:
        with self._lock:
            if is_client and not link.ended.is_set():
                self.left += 1
                self._lock.notify_all()

    def _from_server(self, link: Link, data: bytes) -> None:
        weather = self.weather
        if link.is_dark or weather.is_dark:
            return
        before = link.received
        link.received += len(data)
        if weather.cut_after is not None and link.received >= weather.cut_after:
            link.client.sendall(data[: max(0, weather.cut_after - before)])
            raise ConnectionResetError
        if weather.hole_after is not None and link.received >= weather.hole_after:
            data = data[: max(0, weather.hole_after - before)]
            link.is_dark = True
        link.client.sendall(self._with_injected(link, data))

    def _with_injected(self, link: Link, data: bytes) -> bytes:
        injected = self.weather.injected
        if not injected or link.injected or _HEAD_END not in data:
            return data
        link.injected = True
        head, end, rest = data.partition(_HEAD_END)
        return head + end + injected + rest
