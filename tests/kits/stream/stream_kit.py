"""A WebSocket server of bytes for tests, providers that talk to it, and waiting for events."""

from __future__ import annotations

import base64
import hashlib
import json
import queue
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import pytest

from krakenlink.errors import KrakenConnectionError
from krakenlink.stream.events import (
    Tick,
)
from krakenlink.stream.settings import FeedSettings
from tests.kits.chaos.chaos_kit import frame
from ws_price_provider import FeedReader, WebSocketPriceProvider

LONG = 60.0  # seconds that nothing here takes unless it is broken


TEXT, CONTINUED, PING = 0x01, 0x00, 0x09


# The numbers of the real feed, divided by ten or more.
QUICK = FeedSettings(
    ping_after=0.2,
    dead_after=0.4,
    mute_after=0.2,
    mute_retry_every=0.3,
    retry_delays=(0.0, 0.02),
    refused_delay=0.02,
    connect_timeout=LONG,
    connect_patience=LONG,
)


# The same for tests in which silence is not the matter: a busy machine must not look dead.
PATIENT = FeedSettings(
    ping_after=50 * LONG,
    dead_after=100 * LONG,
    mute_after=100 * LONG,
    lag_check_every=100 * LONG,
    retry_delays=(0.0, 0.02),
    connect_timeout=LONG,
    connect_patience=100 * LONG,
)


E = TypeVar("E")


def ticker(symbol: str, last: object) -> str:
    """Return a ticker frame in Kraken's compact shape."""
    return (
        f'{{"channel":"ticker","type":"update","data":[{{"symbol":"{symbol}","bid":1.0,'
        f'"bid_qty":1.0,"ask":2.0,"ask_qty":1.0,"last":{last},"volume":1.0}}]}}'
    )


def ack(message: dict[str, Any], symbol: str) -> str:
    """Return Kraken's acceptance of one symbol of a subscribe or unsubscribe."""
    result = {"channel": message["params"]["channel"], "symbol": symbol}
    answer = {"method": message["method"], "req_id": message["req_id"], "success": True}
    return json.dumps(answer | {"result": result})


class Peer:
    """The server's end of one connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.stream = sock.makefile("rb")

    def shake_hands(self, status: str = "101 Switching Protocols") -> str:
        """Answer the client's request; return its text."""
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            request += self.stream.readline()
        text = request.decode()
        keys = [line[19:] for line in text.splitlines() if line.startswith("Sec-WebSocket-Key")]
        if not keys:  # somebody else's client, whose server had this port before
            raise ConnectionError("this is no client of a WebSocket")
        key = keys[0]
        digest = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
        accept = base64.b64encode(digest).decode()
        self.sock.sendall(
            f"HTTP/1.1 {status}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\nContent-Length: 0\r\n\r\n".encode()
        )
        return text

    def send(self, *frames: str | bytes) -> None:
        """Send texts as frames of their own, bytes as they are, all in one piece."""
        self.sock.sendall(b"".join(f if isinstance(f, bytes) else frame(f) for f in frames))

    def receive(self) -> tuple[int, bytes]:
        """Return opcode and payload of the client's next frame; blocks."""
        first, second = self.stream.read(2)
        assert second & 0x80, "a client masks its frames"
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack("!H", self.stream.read(2))
        mask = self.stream.read(4)
        data = self.stream.read(length)
        return first & 0x0F, bytes(byte ^ mask[n % 4] for n, byte in enumerate(data))

    def message(self) -> dict[str, Any]:
        """Return the client's next text message; blocks."""
        while True:
            opcode, data = self.receive()
            if opcode == TEXT:
                message: dict[str, Any] = json.loads(data)
                return message


Script = Callable[[Peer], object]


class Server:
    """A WebSocket server that can misbehave in every byte; each connection runs a script.

    The embedded exchange behaves like Kraken; this one is for what no library would send.
    """

    def __init__(self, *scripts: Script) -> None:
        self.scripts = list(scripts)  # one for each connection; the last one repeats
        self.messages: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.peers: list[Peer] = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"ws://127.0.0.1:{self.port}/v2"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            script = self.scripts[min(self.connections, len(self.scripts) - 1)]
            self.connections += 1
            peer = Peer(sock)
            self.peers.append(peer)
            thread = threading.Thread(target=self._run, args=(script, peer))
            self._threads.append(thread)
            thread.start()

    def _run(self, script: Script, peer: Peer) -> None:
        try:
            # The client leaves in the middle of every script, one way or another.
            with suppress(OSError, ValueError):
                script(peer)
        finally:
            peer.stream.close()
            peer.sock.close()

    def serve(self, peer: Peer) -> None:
        """Shake hands and be Kraken: ack, then a price of 2 for every ticker."""
        peer.shake_hands()
        self.answer(peer)

    def answer(self, peer: Peer) -> None:
        """Be Kraken on an open connection until the client leaves."""
        while True:
            message = peer.message()
            self.messages.put(message)
            if message["method"] == "ping":
                peer.send('{"method":"pong"}')
                continue
            for symbol in message["params"]["symbol"]:
                peer.send(ack(message, symbol))
                if message["method"] == "subscribe" and message["params"]["channel"] == "ticker":
                    peer.send(ticker(symbol, "2.50"))

    def broadcast(self, *frames: str | bytes) -> None:
        """Send frames on the latest connection."""
        self.peers[-1].send(*frames)

    def drop(self) -> None:
        """Reset the latest connection."""
        self.peers[-1].sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End everything and wait for it."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join(LONG)  # before the others end: it may just have let one in
        for peer in self.peers:
            with suppress(OSError):
                peer.sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(LONG)


Make = Callable[..., WebSocketPriceProvider]


def wait_for(reader: FeedReader, kind: type[E]) -> E:
    """Return the next event of a kind; the ones before it are dropped."""
    deadline = time.monotonic() + LONG
    while (remaining := deadline - time.monotonic()) > 0:
        event = reader.get(remaining)
        if isinstance(event, kind):
            return event
    raise AssertionError(f"no {kind.__name__} came")


def feed_threads() -> list[threading.Thread]:
    """Return the feed threads that are alive."""
    return [thread for thread in threading.enumerate() if thread.name == "kraken-price-feed"]


def live(provider: WebSocketPriceProvider) -> FeedReader:
    """Subscribe to BTC/USD, wait until it is live, return a reader opened before."""
    reader = provider.open_feed()
    provider.subscribe("XXBTZUSD")
    assert provider.wait_for_tick("BTC/USD", LONG) is not None
    return reader


class Waiter:
    """Somebody who would wait for BTC/USD far longer than any test, in a thread of its own."""

    def __init__(self, provider: WebSocketPriceProvider) -> None:
        self._found: queue.SimpleQueue[Tick | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._wait, args=(provider,), daemon=True)
        self._thread.start()

    def _wait(self, provider: WebSocketPriceProvider) -> None:
        self._found.put(provider.wait_for_tick("BTC/USD", 100 * LONG))

    def answer(self) -> Tick | None:
        """Return what the wait brought; fails if it goes on."""
        return self._found.get(timeout=LONG)


class Scripted:
    """A connection whose `recv` does what a test says, until it is closed."""

    def __init__(self, act: Callable[[], list[str | bytes] | None] | None = None) -> None:
        self._act = act
        self._closed = threading.Event()

    def send(self, text: str) -> None:
        """Take a message and forget it."""

    def recv(self, timeout: float) -> list[str | bytes] | None:
        """Do as told, or wait for the end."""
        if self._act is not None:
            return self._act()
        if self._closed.wait(timeout):
            raise KrakenConnectionError("closed", request_sent=True)
        return None

    def wake(self) -> None:
        """Do nothing: these tests do not depend on it."""

    def close(self) -> None:
        """End the wait."""
        self._closed.set()


@contextmanager
def serving() -> Iterator[Server]:
    """Run a server that behaves like Kraken until told otherwise."""
    made = Server()
    made.scripts.append(made.serve)
    try:
        yield made
    finally:
        made.close()


@contextmanager
def making(server: Server) -> Iterator[Make]:
    """Hand out a maker of providers for `server`; they are stopped at the end."""
    made: list[WebSocketPriceProvider] = []

    def build(settings: FeedSettings = PATIENT, **more: Any) -> WebSocketPriceProvider:
        provider = WebSocketPriceProvider(more.pop("url", server.url), settings=settings, **more)
        made.append(provider)
        return provider

    try:
        yield build
    finally:
        for provider in made:
            provider.stop(LONG)


@pytest.fixture
def server() -> Iterator[Server]:
    """Hand out a server that behaves like Kraken until told otherwise."""
    with serving() as made:
        yield made


@pytest.fixture
def make(server: Server) -> Iterator[Make]:
    """Hand out a maker of providers for `server`; they are stopped at the end."""
    with making(server) as build:
        yield build
