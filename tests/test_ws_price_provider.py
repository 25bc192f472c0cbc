"""The feed's thread over real sockets: who gets a price, when, and when nobody does."""

from __future__ import annotations

import base64
import gc
import hashlib
import json
import logging
import os
import queue
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest
from chaos_kit import CERTIFICATE, frame
from fresh_python import run_python

from fake_kraken import FakeKraken
from krakenlink.errors import KrakenConnectionError
from krakenlink.stream import connection as ws_connection
from krakenlink.stream.connection import tls_context
from krakenlink.stream.feed import (
    Event,
    FeedBack,
    FeedClosed,
    FeedConnecting,
    FeedLive,
    FeedSettings,
    FeedStale,
    FeedState,
    FeedSuspect,
    FirstData,
    SymbolMute,
    SymbolRefused,
    SystemState,
    Tick,
    Trades,
)
from ws_price_provider import (
    ConnectBudget,
    Connection,
    ConnectionRefused,
    FeedReader,
    WebSocketPriceProvider,
    open_websocket,
)

ROOT = Path(__file__).resolve().parents[1]
LONG = 20.0  # seconds that nothing here takes unless it is broken
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
        key = next(line[19:] for line in text.splitlines() if line.startswith("Sec-WebSocket-Key"))
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
        # The client leaves in the middle of every script, one way or another.
        with suppress(OSError, ValueError):
            script(peer)
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
        for peer in self.peers:
            with suppress(OSError):
                peer.sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(LONG)


@pytest.fixture
def server() -> Iterator[Server]:
    """Hand out a server that behaves like Kraken until told otherwise."""
    made = Server()
    made.scripts.append(made.serve)
    yield made
    made.close()


Make = Callable[..., WebSocketPriceProvider]


@pytest.fixture
def make(server: Server) -> Iterator[Make]:
    """Hand out a maker of providers for `server`; they are stopped at the end."""
    made: list[WebSocketPriceProvider] = []

    def build(settings: FeedSettings = PATIENT, **more: Any) -> WebSocketPriceProvider:
        provider = WebSocketPriceProvider(more.pop("url", server.url), settings=settings, **more)
        made.append(provider)
        return provider

    yield build
    for provider in made:
        provider.stop(LONG)


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


# --------------------------------------------------------------------------------- a first price


def test_first_price_comes_over_the_stream(make: Make) -> None:
    """Subscribing by a REST name brings the price under that name, and the exact tick by symbol."""
    provider = make()
    live(provider)
    tick = provider.fresh_tick("BTC/USD")
    assert provider.get_current_price("XXBTZUSD") == 2.5
    assert tick is not None
    assert str(tick.price) == "2.50"
    assert provider.connected
    assert provider.subscribed_pairs == {"XXBTZUSD"}


def test_thread_starts_with_the_first_subscription_and_is_one_daemon(make: Make) -> None:
    """Constructing and listening start nothing; many subscriptions share one named daemon."""
    provider = make()
    reader = provider.open_feed()
    assert feed_threads() == []
    for pair in ("XBTUSD", "ETH/USD", "XXBTZUSD"):
        provider.subscribe(pair)
    wait_for(reader, FirstData)
    (thread,) = feed_threads()
    assert thread.daemon


def test_price_of_what_was_never_subscribed_is_none(make: Make) -> None:
    """Reading asks for nothing and never raises, whatever the name is."""
    provider = make()
    live(provider)
    odd: Any = ["BTC/USD"]
    assert provider.get_current_price("ETHUSD") is None
    assert provider.get_current_price(odd) is None
    assert provider.fresh_tick("ETH/USD") is None
    assert provider.proven_age("ETH/USD") is None
    assert provider.wait_for_tick("ETH/USD", LONG) is None


def test_waiter_wakes_with_the_first_data(server: Server, make: Make) -> None:
    """A waiter gets the first tick from the stream, not from the end of its patience."""
    waiting = threading.Event()

    def slow(peer: Peer) -> None:
        peer.shake_hands()
        message = peer.message()
        peer.send(ack(message, "BTC/USD"), '{"channel":"status","data":[{"system":"online"}]}')
        waiting.wait(LONG)
        peer.send(ticker("BTC/USD", 7))
        server.answer(peer)

    server.scripts = [slow]
    provider = make()
    reader = provider.open_feed()
    provider.subscribe_symbol("BTC/USD")
    wait_for(reader, SystemState)
    waiter = Waiter(provider)
    waiting.set()
    tick = waiter.answer()
    assert tick is not None
    assert tick.price == 7


def test_waiter_returns_when_kraken_refuses(server: Server, make: Make) -> None:
    """A refusal ends the wait at once and says why, in Kraken's words, in a WARNING."""
    error = "Currency pair not supported BTC/USD"

    def refuse(peer: Peer) -> None:
        peer.shake_hands()
        message = peer.message()
        answer = {"method": "subscribe", "req_id": message["req_id"], "success": False}
        peer.send(json.dumps(answer | {"error": error, "symbol": "BTC/USD"}))
        peer.receive()

    server.scripts = [refuse]
    provider = make()
    reader = provider.open_feed()
    provider.subscribe("BTC/USD")
    assert Waiter(provider).answer() is None
    assert wait_for(reader, SymbolRefused).error == error
    assert Waiter(provider).answer() is None
    assert provider.health().symbols[0].error == error


def test_waiter_returns_when_the_link_goes_down(server: Server, make: Make) -> None:
    """Nobody waits on a connection that is lost, nor while the stream is known to be down."""

    def vanish(peer: Peer) -> None:
        peer.shake_hands()
        peer.message()

    server.scripts = [vanish]
    provider = make(replace(PATIENT, retry_delays=(100 * LONG,)))
    provider.subscribe("BTC/USD")
    assert Waiter(provider).answer() is None
    assert provider.health().state is FeedState.WAITING
    assert Waiter(provider).answer() is None


def test_nobody_waits_for_a_server_that_is_not_there(server: Server, make: Make) -> None:
    """A refused connection is known after the first attempt, and told once."""
    server.close()
    provider = make(replace(PATIENT, retry_delays=(100 * LONG,)))
    reader = provider.open_feed()
    provider.subscribe("BTC/USD")
    assert Waiter(provider).answer() is None
    assert wait_for(reader, FeedConnecting).attempt == 1
    assert "refused" in wait_for(reader, FeedStale).reason
    assert not provider.connected


def test_waiter_gives_up_after_its_own_time(server: Server, make: Make) -> None:
    """A wait is never longer than asked for."""
    server.scripts = [lambda peer: peer.sock.recv(1)]
    provider = make()
    provider.subscribe("BTC/USD")
    assert provider.wait_for_tick("BTC/USD", 0.01) is None


def test_unsubscribing_ends_a_wait(server: Server, make: Make) -> None:
    """Who waits for a symbol that is given up meanwhile is sent home."""

    def silent(peer: Peer) -> None:
        peer.shake_hands()
        while True:
            server.messages.put(peer.message())

    server.scripts = [silent]
    provider = make()
    provider.subscribe_symbol("BTC/USD")
    waiter = Waiter(provider)
    server.messages.get(timeout=LONG)
    provider.unsubscribe_symbol("BTC/USD")
    assert waiter.answer() is None
    assert server.messages.get(timeout=LONG)["method"] == "unsubscribe"


# ------------------------------------------------------------------------------- the end of life


def test_dropped_connection_ends_the_price_and_comes_back(server: Server, make: Make) -> None:
    """After a drop nothing counts until the symbol is acked and has data on the new connection."""
    provider = make()
    reader = live(provider)
    server.drop()
    stale = wait_for(reader, FeedStale)
    back = wait_for(reader, FeedBack)
    assert wait_for(reader, FirstData).symbol == "BTC/USD"
    assert provider.get_current_price("XXBTZUSD") == 2.5
    assert stale.at >= stale.since
    assert back.blind_for >= 0
    assert provider.health().reconnects == 1


def test_lost_price_is_gone_at_the_moment_of_the_event(server: Server, make: Make) -> None:
    """Whoever hears that the feed is stale cannot read an old price any more."""
    provider = make(FeedSettings(retry_delays=(LONG,)))
    reader = live(provider)
    server.drop()
    wait_for(reader, FeedStale)
    assert provider.get_current_price("XXBTZUSD") is None
    assert provider.fresh_tick("BTC/USD") is None
    assert provider.proven_age("BTC/USD") is None
    assert provider.health().blind_for is not None


def test_silent_connection_is_suspected_pinged_and_left(server: Server, make: Make) -> None:
    """A socket that stays open and says nothing is asked once and then replaced."""
    pings: queue.SimpleQueue[str] = queue.SimpleQueue()

    def die(peer: Peer) -> None:
        peer.shake_hands()
        peer.send(ack(peer.message(), "BTC/USD"), ticker("BTC/USD", 9))
        while True:
            pings.put(peer.message()["method"])

    server.scripts = [die, server.serve]
    provider = make(replace(PATIENT, ping_after=0.5, dead_after=1.0))
    reader = live(provider)
    wait_for(reader, FeedSuspect)
    assert "no frame" in wait_for(reader, FeedStale).reason
    wait_for(reader, FeedBack)
    assert pings.get(timeout=LONG) == "ping"


def test_pong_keeps_a_quiet_connection_alive(server: Server, make: Make) -> None:
    """An answer to the ping is life: the price of a quiet market keeps counting."""
    provider = make(FeedSettings(ping_after=0.05, dead_after=LONG))
    reader = live(provider)
    wait_for(reader, FeedSuspect)
    wait_for(reader, FeedLive)
    assert provider.get_current_price("XXBTZUSD") == 2.5
    assert server.messages.get(timeout=LONG)["method"] == "subscribe"
    assert server.messages.get(timeout=LONG) == {"method": "ping"}


def test_read_itself_refuses_a_price_that_nobody_proved(server: Server, make: Make) -> None:
    """A feed thread that is stuck, or a machine that slept, never serves an old price."""
    now = [1000.0]
    provider = make(FeedSettings(), clock=lambda: now[0])
    live(provider)
    now[0] += 2.9
    assert provider.get_current_price("XXBTZUSD") == 2.5
    assert provider.proven_age("BTC/USD") == pytest.approx(2.9)
    now[0] += 0.1
    assert provider.get_current_price("XXBTZUSD") is None
    assert provider.fresh_tick("BTC/USD") is None
    assert provider.proven_age("BTC/USD") is None
    assert not provider.connected


def test_frame_after_a_long_sleep_makes_a_new_connection(server: Server, make: Make) -> None:
    """What was in the socket while the machine slept is not believed."""
    now = [1000.0]
    provider = make(PATIENT, clock=lambda: now[0])
    reader = live(provider)
    now[0] += 36_000
    server.broadcast(ticker("BTC/USD", 666))
    assert "asleep" in wait_for(reader, FeedStale).reason
    wait_for(reader, FirstData)
    assert provider.get_current_price("XXBTZUSD") == 2.5


def test_mute_symbol_ends_its_waiters(server: Server, make: Make) -> None:
    """Acked and silent: asked again once, then given up, and nobody waits any more."""

    def mute(peer: Peer) -> None:
        peer.shake_hands()
        while True:
            message = peer.message()
            server.messages.put(message)
            if message["method"] == "ping":
                peer.send('{"method":"pong"}')
            else:
                peer.send(ack(message, "BTC/USD"))

    server.scripts = [mute]
    provider = make(replace(PATIENT, mute_after=0.1))
    reader = provider.open_feed()
    provider.subscribe("BTC/USD")
    assert Waiter(provider).answer() is None
    assert wait_for(reader, SymbolMute).symbol == "BTC/USD"
    asked = [server.messages.get(timeout=LONG)["method"] for _ in range(3)]
    assert asked == ["subscribe", "unsubscribe", "subscribe"]


def test_all_symbols_come_back_in_few_messages(server: Server, make: Make) -> None:
    """After a drop 250 symbols are asked for again in three messages."""
    provider = make()
    reader = live(provider)
    for number in range(249):
        provider.subscribe_symbol(f"S{number}/USD")
    while sum(symbol.state == "live" for symbol in provider.health().symbols) < 250:
        wait_for(reader, FirstData)
    first_life = server.messages.qsize()
    server.drop()
    wait_for(reader, FeedBack)
    for _ in range(250):
        wait_for(reader, FirstData)
    assert server.messages.qsize() - first_life == 3


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        ([b"\x81\x7f" + struct.pack("!Q", 1 << 40)], "1099511627776 bytes"),
        ([frame("{}", first_bits=0xC0)], "rsv"),
        ([b"\x81\x82aaaa{}"], "masked"),
        ([frame("x", opcode=CONTINUED)], "Illegal frame"),
        ([frame("x" * 60_000, first_bits=0), frame("x" * 60_000, CONTINUED, 0)], "120000 bytes"),
        ([frame(struct.pack("!H", 1001) + b"restarting", 0x08)], "code 1001: 'restarting'"),
        ([frame(b"", 0x08)], "code 1005"),
    ],
    ids=["huge", "compressed", "masked", "continued", "pieces", "closed", "closed-mutely"],
)
def test_impossible_frame_costs_the_connection_and_no_more(
    server: Server, make: Make, frames: list[bytes], reason: str
) -> None:
    """Whatever breaks the protocol ends that connection; what came before it still counted."""

    def odd(peer: Peer) -> None:
        peer.shake_hands()
        peer.send(ack(peer.message(), "BTC/USD"), ticker("BTC/USD", 9), *frames)
        peer.receive()

    server.scripts = [odd, server.serve]
    settings = FeedSettings(max_message_bytes=100_000, retry_delays=(0.0,), dead_after=LONG)
    provider = make(settings)
    reader = provider.open_feed()
    provider.subscribe("BTC/USD")
    assert wait_for(reader, Tick).price == 9
    assert reason in wait_for(reader, FeedStale).reason
    assert str(wait_for(reader, Tick).price) == "2.50"


def test_fragments_with_control_frames_between_are_one_message(server: Server, make: Make) -> None:
    """A message in pieces is put together, and a ping in the middle is answered."""
    text = ticker("BTC/USD", 41)
    provider = make()
    reader = live(provider)
    server.broadcast(
        frame(text[:50], first_bits=0),
        frame("are you there", PING),
        frame(text[50:90], CONTINUED, 0),
        frame(text[90:], CONTINUED),
    )
    wait_for(reader, Tick)
    assert wait_for(reader, Tick).price == 41


def test_frame_that_comes_byte_by_byte_is_read(server: Server, make: Make) -> None:
    """Frames that the network cuts anywhere are the same frames."""
    provider = make()
    reader = live(provider)
    wait_for(reader, Tick)
    for byte in frame(ticker("BTC/USD", 42)):
        server.broadcast(bytes([byte]))
    assert wait_for(reader, Tick).price == 42


def test_large_message_within_the_limit_is_read(server: Server, make: Make) -> None:
    """A megabyte in one frame is slow, not deadly."""
    provider = make()
    reader = live(provider)
    wait_for(reader, Tick)
    server.broadcast(" " * 1_000_000 + ticker("BTC/USD", 43))
    assert wait_for(reader, Tick).price == 43


def test_damaged_frames_are_counted_and_hurt_nobody(server: Server, make: Make) -> None:
    """Text that is no JSON, bytes that are no text and impossible prices leave the price alone."""
    provider = make()
    reader = live(provider)
    wait_for(reader, Tick)
    server.broadcast("{", frame(b"\xff\xfe"), ticker("BTC/USD", -1), ticker("BTC/USD", "NaN"))
    server.broadcast(frame(b"\xff", 0x02), '{"error":"EGeneral:Who are you"}')
    server.broadcast('{"channel":"status","data":[{"system":"post_only"}]}')
    assert wait_for(reader, SystemState).system == "post_only"
    assert provider.health().damaged == 5
    assert provider.get_current_price("XXBTZUSD") == 2.5


# --------------------------------------------------------------------------------- the handshake


@pytest.mark.parametrize("status", ["403 Forbidden", "429 Too Many Requests"])
def test_refused_handshake_is_said_loudly_and_tried_again(
    server: Server, make: Make, caplog: pytest.LogCaptureFixture, status: str
) -> None:
    """An HTTP 4xx is an ERROR for a person, and the feed still comes back by itself."""
    server.scripts = [lambda peer: peer.shake_hands(status), server.serve]
    provider = make(QUICK)
    reader = provider.open_feed()
    provider.subscribe("BTC/USD")
    wait_for(reader, FirstData)
    (record,) = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert f"HTTP {status[:3]}" in record.getMessage()


@pytest.mark.parametrize(
    ("script", "error", "words"),
    [
        (lambda peer: peer.shake_hands("403 No"), ConnectionRefused, "HTTP 403"),
        (lambda peer: peer.shake_hands("502 Bad"), KrakenConnectionError, "HTTP 502"),
        (lambda peer: peer.shake_hands("301 Moved"), KrakenConnectionError, "Redirect"),
        (lambda peer: peer.send(b"rubbish\r\n\r\n"), KrakenConnectionError, "handshake"),
        (lambda peer: None, KrakenConnectionError, "closed by the server|reset"),
    ],
    ids=["forbidden", "gateway", "redirect", "rubbish", "closed"],
)
def test_handshake_that_fails_raises_in_words(
    server: Server, script: Script, error: type[Exception], words: str
) -> None:
    """Every way in which a server can fail to be a WebSocket server ends in one kind of error."""
    server.scripts = [script]
    with pytest.raises((error, OSError), match=words):
        open_websocket(server.url, LONG)


def test_handshake_that_never_ends_has_a_deadline(server: Server) -> None:
    """A server that accepts and says nothing, or says it forever, is left after the timeout."""

    def drip(peer: Peer) -> None:
        while True:
            peer.send(b"H")
            time.sleep(0.02)

    server.scripts = [lambda peer: [peer.stream.readline() for _ in range(99)], drip]
    for _ in range(2):
        with pytest.raises((KrakenConnectionError, TimeoutError)):
            open_websocket(server.url, 0.2)


def test_handshake_names_us_and_asks_for_no_compression(server: Server) -> None:
    """The request has a User-Agent, no Origin, and offers no extension."""
    requests: queue.SimpleQueue[str] = queue.SimpleQueue()
    server.scripts = [lambda peer: requests.put(peer.shake_hands())]
    open_websocket(server.url, LONG).close()
    request = requests.get(timeout=LONG)
    assert "User-Agent: ttslo" in request
    assert "Origin" not in request
    assert "Extensions" not in request


def test_frames_that_come_with_the_handshake_are_not_lost(server: Server) -> None:
    """Kraken's first status frame may lie in the same packet as the end of the handshake."""

    def eager(peer: Peer) -> None:
        peer.shake_hands()
        peer.send("one", "two")
        peer.receive()

    server.scripts = [eager]
    connection = open_websocket(server.url, LONG)
    got: list[str | bytes] = []
    while len(got) < 2:
        got += connection.recv(LONG) or []
    connection.close()
    assert got == ["one", "two"]


def test_waiting_connection_can_be_woken_and_closed_by_another_thread(server: Server) -> None:
    """`wake` ends a wait with nothing, `close` from elsewhere ends it with an error."""
    server.scripts = [lambda peer: (peer.shake_hands(), peer.receive())]
    connection = open_websocket(server.url, LONG)
    connection.wake()
    assert connection.recv(LONG) is None
    closer = threading.Thread(target=connection.close)
    closer.start()
    with pytest.raises(KrakenConnectionError):
        connection.recv(LONG)
    closer.join(LONG)
    with pytest.raises(KrakenConnectionError, match="closed on this side"):
        connection.recv(LONG)
    connection.close()
    connection.close()
    connection.wake()


def test_copy_of_a_connection_in_a_child_can_always_be_closed(server: Server) -> None:
    """A fork copies locks as they are: one that was held at that moment blocks nobody."""
    server.scripts = [lambda peer: (peer.shake_hands(), peer.receive())]
    connection: Any = open_websocket(server.url, LONG)
    wire = connection._wire
    wire._pid = -1
    wire._close_lock.acquire()
    connection.close()
    assert wire._sock.fileno() == -1


def test_sending_into_a_full_socket_has_a_deadline(server: Server) -> None:
    """A server that reads nothing holds a sender no longer than the send timeout."""
    done = threading.Event()
    server.scripts = [lambda peer: (peer.shake_hands(), done.wait(LONG))]
    connection = open_websocket(server.url, LONG, send_timeout=0.05)
    with pytest.raises((TimeoutError, KrakenConnectionError)):
        connection.send("x" * 20_000_000)
    done.set()
    connection.close()


def test_sending_on_a_dead_socket_raises(server: Server) -> None:
    """A connection that the other side reset is told to who sends more than a buffer holds."""
    server.scripts = [lambda peer: peer.shake_hands()]
    connection = open_websocket(server.url, LONG)
    with pytest.raises((OSError, KrakenConnectionError)):
        connection.send("x" * 20_000_000)
    connection.close()


# ------------------------------------------------------------------------------------------- TLS


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


@pytest.fixture
def no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody have chosen who may vouch for servers."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def no_roots(certificate: Path, no_choice: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this Python have no list of its own, and certifi's hold the test's certificate alone."""
    nowhere = SimpleNamespace(capath=None)
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
    folder = SimpleNamespace(capath=str(tmp_path))
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: folder)
    tls_context()


# ------------------------------------------------------------------------- addresses and proxies


def test_address_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """KRAKEN_WS_PUBLIC_URL replaces Kraken's own address, under the same rules."""
    assert WebSocketPriceProvider().url == "wss://ws.kraken.com/v2"
    monkeypatch.setenv("KRAKEN_WS_PUBLIC_URL", "ws://127.0.0.1:9/v2")
    assert WebSocketPriceProvider().url == "ws://127.0.0.1:9/v2"
    monkeypatch.setenv("KRAKEN_WS_PUBLIC_URL", "ws://example.com/v2")
    with pytest.raises(ValueError, match="refused"):
        WebSocketPriceProvider()


def test_one_provider_is_shared_for_each_address() -> None:
    """Everybody who asks for the same address gets the same feed."""
    first = WebSocketPriceProvider.shared("ws://127.0.0.1:9/v2")
    assert WebSocketPriceProvider.shared("ws://127.0.0.1:9/v2") is first
    assert WebSocketPriceProvider.shared("ws://127.0.0.1:10/v2") is not first
    with pytest.raises(ValueError, match="refused"):
        WebSocketPriceProvider.shared("ws://example.com/v2")


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
    with pytest.raises(OSError, match=r"407|SSL|EOF|reset"):
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


def test_loopback_and_no_proxy_go_directly(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy is not asked for this machine, nor for what no_proxy names."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    server.scripts = [lambda peer: peer.shake_hands()]
    open_websocket(server.url, LONG).close()
    monkeypatch.setenv("no_proxy", "kraken.invalid")
    assert ws_connection._proxy_for("ws.kraken.invalid") is None
    assert ws_connection._proxy_for("ws.kraken.example") == "http://127.0.0.1:1"


def test_tls_is_always_verified(server: Server) -> None:
    """Certificates and host names are checked, and a server without TLS is no `wss:` server."""
    context = tls_context()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    server.scripts = [lambda peer: peer.send(b"hello, no TLS here\r\n")]
    with pytest.raises(OSError, match=r"SSL|EOF|reset"):
        open_websocket(server.url.replace("ws:", "wss:"), LONG)


# ------------------------------------------------------------------------------- names of pairs


@pytest.mark.parametrize(
    ("pair", "symbol"),
    [
        ("XXBTZUSD", "BTC/USD"),
        ("XBT/USD", "BTC/USD"),
        ("ETH/XBT", "ETH/BTC"),
        ("XDG/EUR", "DOGE/EUR"),
        ("SOL/USD", "SOL/USD"),
        ("AAPLx/USD", "AAPLx/USD"),
    ],
)
def test_pair_is_streamed_under_its_v2_symbol(make: Make, pair: str, symbol: str) -> None:
    """Known legacy names and names with a slash are understood without asking Kraken."""
    provider = make(connect=lambda url, timeout: Scripted())
    assert provider.subscribe(pair)
    assert [health.symbol for health in provider.health().symbols] == [symbol]


@pytest.mark.parametrize("pair", ["XTZUSD7", "", "A/B/C", "/USD", "USD/", None, 5])
def test_unknown_pair_is_not_streamed_and_said_once(
    make: Make, caplog: pytest.LogCaptureFixture, pair: Any
) -> None:
    """A name is never guessed at: one WARNING tells what to do, and nothing starts."""
    provider = make()
    assert [provider.subscribe(pair), provider.subscribe(pair)] == [False, False]
    (record,) = caplog.records
    assert "AssetPairs" in record.getMessage()
    assert feed_threads() == []


def test_names_are_resolved_by_what_is_handed_in(make: Make) -> None:
    """A resolver of the caller's own decides, and None from it means: no stream."""
    names = {"mine": "SOL/EUR"}
    provider = make(resolve=names.get, connect=lambda url, timeout: Scripted())
    assert provider.subscribe("mine")
    assert not provider.subscribe("other")
    assert provider.health().symbols[0].symbol == "SOL/EUR"


def test_two_names_of_one_symbol_are_one_subscription(server: Server, make: Make) -> None:
    """The stream is left when the last name is given up, each name counts once."""
    provider = make()
    live(provider)
    for pair in ("XBT/USD", "XBT/USD"):
        provider.subscribe(pair)
    provider.unsubscribe("XXBTZUSD")
    assert provider.get_current_price("XBT/USD") == 2.5
    assert provider.get_current_price("XXBTZUSD") is None
    provider.unsubscribe("XBT/USD")
    provider.unsubscribe("XBT/USD")
    methods = [server.messages.get(timeout=LONG)["method"] for _ in range(2)]
    assert methods == ["subscribe", "unsubscribe"]
    assert provider.health().symbols == ()


@pytest.mark.parametrize("args", [("",), (None,), ("BTC/USD", "book")])
def test_symbol_or_channel_that_cannot_be_is_refused(make: Make, args: Any) -> None:
    """Mistakes of the caller raise; they would otherwise wait for ever."""
    with pytest.raises(ValueError, match=r"symbol|Channel"):
        make().subscribe_symbol(*args)


def test_subscriptions_go_out_at_once_on_an_idle_connection(server: Server, make: Make) -> None:
    """Each way of asking and leaving wakes the feed; none waits for the next frame."""
    provider = make()
    live(provider)
    provider.subscribe("ETHUSD")
    assert provider.wait_for_tick("ETH/USD", LONG) is not None
    provider.subscribe_symbol("SOL/USD")
    assert provider.wait_for_tick("SOL/USD", LONG) is not None
    provider.unsubscribe("ETHUSD")
    provider.unsubscribe_symbol("SOL/USD")
    asked = [server.messages.get(timeout=LONG)["method"] for _ in range(4)]
    assert asked == ["subscribe"] * 3 + ["unsubscribe"]


# ------------------------------------------------------------------------------------- listeners


def test_each_reader_gets_every_event_in_order(server: Server, make: Make) -> None:
    """Readers have queues of their own: what one takes, the other still gets."""
    provider = make()
    readers = [live(provider), provider.open_feed()]
    server.broadcast(ticker("BTC/USD", 5), ticker("BTC/USD", 6))
    assert [wait_for(readers[1], Tick).price for _ in range(2)] == [5, 6]
    assert [str(wait_for(readers[0], Tick).price) for _ in range(3)] == ["2.50", "5", "6"]
    assert readers[0].backlog == 0
    assert readers[0].get(0) is None


def test_reader_may_leave_out_symbols_and_channels(server: Server, make: Make) -> None:
    """A filter keeps prices of others away and lets the state of the link through."""
    provider = make()
    trades = provider.open_feed(symbols={"BTC/USD"}, channels={"trade"})
    ticks = provider.open_feed(channels=["ticker"])
    live(provider)
    provider.subscribe_symbol("BTC/USD", "trade")
    provider.subscribe_symbol("ETH/USD")
    wait_for(ticks, FirstData)
    wait_for(ticks, FirstData)
    row = {"symbol": "BTC/USD", "price": 1, "qty": 1, "trade_id": 1}
    server.broadcast(json.dumps({"channel": "trade", "data": [row]}), ticker("BTC/USD", 8))
    got: list[Event] = []
    while not got or not isinstance(got[-1], Trades):
        event = trades.get(LONG)
        assert event is not None
        got.append(event)
    assert {type(event) for event in got} == {FeedConnecting, FeedLive, FirstData, Trades}
    assert {event.symbol for event in got if isinstance(event, FirstData)} == {"BTC/USD"}
    while wait_for(ticks, Tick).price != 8:
        continue
    assert ticks.backlog == 0


def test_reader_may_use_a_queue_of_its_owner(make: Make) -> None:
    """Who waits for several things waits at one queue."""
    sink: queue.SimpleQueue[Any] = queue.SimpleQueue()
    provider = make()
    reader = provider.open_feed(sink=sink)
    sink.put("something else")
    live(provider)
    assert sink.get(timeout=LONG) == "something else"
    assert isinstance(sink.get(timeout=LONG), FeedConnecting)
    reader.close()


def test_closed_reader_wakes_and_gets_no_more(server: Server, make: Make) -> None:
    """Closing ends a wait for ever with a FeedClosed, and takes the reader off the feed."""
    provider = make()
    other = live(provider)
    reader = provider.open_feed()
    got: list[Event | None] = []
    waiter = threading.Thread(target=lambda: got.append(reader.get()))
    waiter.start()
    reader.close()
    waiter.join(LONG)
    assert [type(event) for event in got] == [FeedClosed]
    wait_for(other, Tick)
    server.broadcast(ticker("BTC/USD", 5))
    wait_for(other, Tick)
    assert reader.backlog == 0


def test_forgotten_reader_costs_nothing(make: Make) -> None:
    """A reader that its owner lost is dropped by the feed, with its queue."""
    provider = make()
    provider.open_feed()
    gc.collect()
    provider.open_feed()
    live(provider)
    gc.collect()
    kept = provider.open_feed()
    assert [ref() for ref in provider._readers] == [kept]


# ---------------------------------------------------------------------------------- stop and start


def test_stop_ends_the_thread_and_gives_everything_back(make: Make) -> None:
    """After stop there is no thread, no price, no subscription; twice is as good as once."""
    provider = make()
    reader = live(provider)
    provider.stop()
    assert feed_threads() == []
    wait_for(reader, FeedClosed)
    provider.stop()
    assert reader.get(0) is None
    assert provider.get_current_price("XXBTZUSD") is None
    assert (provider.subscribed_pairs, provider.connected) == (frozenset(), False)


def test_stopped_provider_starts_again_with_a_subscription(make: Make) -> None:
    """A new subscription after stop is a new life."""
    provider = make()
    live(provider)
    provider.stop(LONG)
    live(provider)
    assert provider.get_current_price("XXBTZUSD") == 2.5
    assert len(feed_threads()) == 1


def test_stop_ends_a_pause_between_attempts(server: Server, make: Make) -> None:
    """Waiting for the next attempt does not hold up the end."""
    server.close()
    provider = make(FeedSettings(retry_delays=(1000.0,)))
    reader = provider.open_feed()
    provider.subscribe("BTC/USD")
    wait_for(reader, FeedStale)
    provider.stop(LONG)
    assert feed_threads() == []


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


def test_stop_during_a_connect_leaves_a_thread_that_touches_nothing(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """A connect that hangs cannot be called back; when it ends, it finds itself dismissed."""
    entered, leave = threading.Event(), threading.Event()
    late = Scripted()

    def connect(url: str, timeout: float) -> Connection:
        entered.set()
        leave.wait(LONG)
        return late

    provider = make(connect=connect)
    provider.subscribe("BTC/USD")
    entered.wait(LONG)
    (thread,) = feed_threads()
    provider.stop(0.01)
    assert "still ending" in caplog.text
    leave.set()
    thread.join(LONG)
    assert late._closed.is_set()
    assert provider.health().state is FeedState.CLOSED


def test_defect_on_the_thread_is_shown_and_survived(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """An error that nobody expected costs the connection, with its traceback in the log."""
    broken = Scripted(lambda: [] if 1 / 0 else None)
    connections = [broken, Scripted()]
    provider = make(connect=lambda url, timeout: connections.pop(0))
    reader = provider.open_feed()
    provider.subscribe("BTC/USD")
    assert "ZeroDivisionError" in wait_for(reader, FeedStale).reason
    wait_for(reader, FeedBack)
    assert "Traceback" in caplog.text


def test_thread_that_cannot_start_leaves_rest(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the system has no more threads nobody waits, and the reason is logged."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    provider = make()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        provider.subscribe("BTC/USD")
        assert provider.wait_for_tick("BTC/USD", LONG) is None
    assert "can't start new thread" in caplog.text
    assert provider.wait_for_tick("BTC/USD", LONG) is not None


def test_without_websocket_client_nothing_starts_and_nobody_waits() -> None:
    """The module imports, says so, and every call answers at once."""
    code = (
        "import sys, threading; sys.modules['websocket'] = None\n"
        "import ws_price_provider as w\n"
        "p = w.WebSocketPriceProvider()\n"
        "p.subscribe('BTC/USD'); p.subscribe_symbol('ETH/USD')\n"
        "print(w.WEBSOCKET_AVAILABLE, p.wait_for_tick('BTC/USD', 1000), p.connected,\n"
        "      p.get_current_price('BTC/USD'), threading.active_count())\n"
        "try: w.open_websocket('ws://127.0.0.1:1', 1)\n"
        "except w.KrakenConnectionError as error: print(error)"
    )
    first, second = run_python(code).splitlines()
    assert first == "False None False None 1"
    assert second == "websocket-client is not installed"


def test_interpreter_ends_without_waiting_for_the_feed(server: Server) -> None:
    """A program that forgets to stop the feed ends all the same, without a word."""
    code = (
        "import ws_price_provider as w\n"
        f"p = w.WebSocketPriceProvider.shared({server.url!r})\n"
        "p.subscribe('BTC/USD'); print(p.wait_for_tick('BTC/USD', 20).price)"
    )
    assert run_python(code) == "2.50"


# ------------------------------------------------------------------------------------------ fork


def test_child_process_makes_a_connection_of_its_own(server: Server, make: Make) -> None:
    """A forked child forgets the parent's prices, reconnects by itself, and harms nothing."""
    if not hasattr(os, "fork"):
        return  # Windows has no fork, and so nothing to forget
    provider = make()
    reader = live(provider)
    shared = WebSocketPriceProvider.shared("ws://127.0.0.1:9/v2")
    code = fork_and_check(provider, shared)
    assert code == 0
    assert server.connections == 2
    server.peers[0].send(ticker("BTC/USD", 77))
    while wait_for(reader, Tick).price != 77:
        continue
    assert provider.health().reconnects == 0


def fork_and_check(provider: WebSocketPriceProvider, shared: WebSocketPriceProvider) -> int:
    """Fork; in the child look at the inherited providers; return the child's exit code."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 9
    try:
        forgotten = provider.get_current_price("XXBTZUSD") is None and not provider.connected
        renewed = provider.wait_for_tick("BTC/USD", LONG) is not None
        other = WebSocketPriceProvider.shared("ws://127.0.0.1:9/v2") is not shared
        code = (not forgotten) + 2 * (not renewed) + 4 * (not other)
    finally:
        os._exit(code)


def test_fork_without_a_hook_is_noticed_at_the_next_subscription(make: Make) -> None:
    """Where no hook ran, another process id is enough to start anew, with the same wishes."""
    closed = threading.Event()
    connection = Scripted()
    provider = make(connect=lambda url, timeout: connection)
    reader = provider.open_feed()
    provider.subscribe("XBTUSD")
    provider.subscribe_symbol("BTC/USD", "trade")
    wait_for(reader, FeedLive)
    provider._pid = -1
    provider.subscribe("ETHUSD")
    closed = connection._closed
    assert closed.wait(LONG)
    assert provider.subscribed_pairs == {"XBTUSD", "ETHUSD"}
    channels = [(health.symbol, health.channel) for health in provider.health().symbols]
    assert channels == [("BTC/USD", "ticker"), ("BTC/USD", "trade"), ("ETH/USD", "ticker")]


# -------------------------------------------------------------------------------------- the audit


def test_distrusted_symbol_has_no_price_until_trusted(server: Server, make: Make) -> None:
    """Somebody who knows better can take a price out and let it back in."""
    provider = make()
    live(provider)
    provider.distrust("BTC/USD")
    assert provider.get_current_price("XXBTZUSD") is None
    assert provider.wait_for_tick("BTC/USD", LONG) is None
    provider.trust("BTC/USD")
    assert provider.get_current_price("XXBTZUSD") == 2.5


def test_resubscribed_symbol_counts_again_with_new_data(server: Server, make: Make) -> None:
    """Asking anew leaves first, and waits for data that come after the new ack."""
    provider = make()
    reader = live(provider)
    wait_for(reader, Tick)
    provider.resubscribe("BTC/USD")
    provider.resubscribe("ETH/USD")
    wait_for(reader, Tick)
    methods = [server.messages.get(timeout=LONG)["method"] for _ in range(3)]
    assert methods == ["subscribe", "unsubscribe", "subscribe"]
    assert provider.get_current_price("XXBTZUSD") == 2.5


def test_reconnect_on_demand_says_why(make: Make) -> None:
    """An audit that does not believe the link gets a new one, and the log its reason."""
    provider = make()
    provider.reconnect("nothing to reconnect yet")
    reader = live(provider)
    provider.reconnect("the stream lies about BTC/USD")
    assert wait_for(reader, FeedStale).reason == "the stream lies about BTC/USD"
    wait_for(reader, FirstData)
    assert provider.connected


def test_health_is_a_snapshot_of_everything(make: Make) -> None:
    """State, ages, counts and each symbol are told in one frozen piece."""
    provider = make()
    assert (provider.health().uptime, provider.health().last_frame_age) == (None, None)
    live(provider)
    provider.note_rest_fallback("BTC/USD")
    provider.note_rest_fallback("SOL/USD")
    health = provider.health()
    assert (health.state, health.attempts, health.reconnects) == (FeedState.LIVE, 1, 0)
    assert health.uptime is not None
    assert (health.rest_fallbacks, health.messages >= 2) == (2, True)
    (symbol,) = health.symbols
    assert (symbol.state, symbol.ticks, symbol.rest_fallbacks) == ("live", 1, 1)
    assert symbol.proven_age is not None


# ------------------------------------------------------------------------------------- the budget

FEW = FeedSettings(budget_attempts=3, budget_window=600.0)


def test_budget_counts_attempts_of_all_processes(tmp_path: Path) -> None:
    """What one has used up the other cannot have, until the first attempt is old enough."""
    mine, other = ConnectBudget(FEW, tmp_path), ConnectBudget(FEW, tmp_path)
    assert [mine.reserve(1000.0), other.reserve(1010.0), mine.reserve(1020.0)] == [0, 0, 0]
    assert other.reserve(1030.0) == 570.0
    assert other.reserve(1600.0) == 0
    assert mine.reserve(1601.0) == 9.0


@pytest.mark.parametrize("text", ["", "rubbish\n\x00\n", "nan\n1e999\n1000\n\n", "1000"])
def test_budget_survives_a_damaged_ledger(tmp_path: Path, text: str) -> None:
    """Lines that cannot be read are left out; counting goes on."""
    (tmp_path / "connection-attempts").write_text(text, encoding="utf-8")
    budget = ConnectBudget(FEW, tmp_path)
    assert budget.reserve(1000.0) == 0
    assert (tmp_path / "connection-attempts").read_text(encoding="ascii").endswith("1000.000\n")


def test_budget_without_a_file_counts_for_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A folder that cannot be is one WARNING, and the own attempts still count."""
    (tmp_path / "file").write_text("in the way", encoding="ascii")
    budget = ConnectBudget(FEW, tmp_path / "file")
    assert [budget.reserve(1000.0) for _ in range(3)] == [0, 0, 0]
    assert budget.reserve(1000.0) == 600.0
    (record,) = caplog.records
    assert "TTSLO_CACHE_DIR" in record.getMessage()


def test_budget_takes_a_clock_that_was_set_back_for_now(tmp_path: Path) -> None:
    """Attempts in the future count as fresh ones; they do not lock the feed out for years."""
    budget = ConnectBudget(FEW, tmp_path)
    assert [budget.reserve(9e9) for _ in range(3)] == [0, 0, 0]
    assert budget.reserve(1000.0) == 600.0
    assert budget.reserve(1601.0) == 0


def test_used_up_budget_is_waited_for_and_said(
    server: Server, make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The feed waits for its turn, nobody waits for the feed, and a WARNING says why."""
    settings = FeedSettings(budget_attempts=1, budget_window=0.3, dead_after=LONG)
    budget = ConnectBudget(settings, tmp_path)
    assert budget.reserve(time.time()) == 0
    provider = make(settings, budget=budget)
    reader = provider.open_feed()
    provider.subscribe("BTC/USD")
    wait_for(reader, FirstData)
    assert "Too many connection attempts" in caplog.text


def test_server_on_this_machine_is_exempt_from_the_budget(
    make: Make, place_of_its_own: Path
) -> None:
    """Tests and the demo leave no ledger behind, unless the settings ask for it."""
    live(make())
    assert not (place_of_its_own / "cache").exists()
    live(make(FeedSettings(budget_on_loopback=True)))
    assert (place_of_its_own / "cache" / "connection-attempts").exists()


# ------------------------------------------------------------------------- the embedded exchange


@pytest.fixture
def follow(exchange: FakeKraken, make: Make) -> Callable[..., tuple[Any, FeedReader]]:
    """Hand out a maker of a provider on the embedded exchange that has asked for BTC/USD."""

    def build(settings: FeedSettings = PATIENT) -> tuple[WebSocketPriceProvider, FeedReader]:
        exchange.set_price("XXBTZUSD", 50000)
        provider = make(settings, url=exchange.ws_url)
        reader = provider.open_feed()
        provider.subscribe("XXBTZUSD")
        return provider, reader

    return build


Follow = Callable[..., tuple[WebSocketPriceProvider, FeedReader]]


def test_exchange_price_is_followed_to_the_digit(exchange: FakeKraken, follow: Follow) -> None:
    """Each price that the exchange sets arrives, as its own tick and with its digits."""
    provider, reader = follow()
    wait_for(reader, Tick)
    for price in ("50000.1", "1.0", "49999.9"):
        exchange.set_price("XXBTZUSD", price)
        assert str(wait_for(reader, Tick).price) == price
    assert provider.get_current_price("XXBTZUSD") == 49999.9


def test_exchange_sweep_is_seen_trade_by_trade(exchange: FakeKraken, follow: Follow) -> None:
    """Several trades in one frame are several prints, with ids that follow each other."""
    provider, reader = follow()
    provider.subscribe_symbol("BTC/USD", "trade")
    assert exchange.wait_for(lambda e: e.is_subscribed("BTC/USD", "trade"), LONG)
    exchange.set_prices("XXBTZUSD", [50001, 50002, 50003])
    prints = wait_for(reader, Trades).prints
    assert [p.price for p in prints] == [50001, 50002, 50003]
    assert [p.trade_id - prints[0].trade_id for p in prints] == [0, 1, 2]


def test_exchange_that_drops_everybody_is_found_again(exchange: FakeKraken, follow: Follow) -> None:
    """After a reset the symbol is live again, with the price of now."""
    provider, reader = follow()
    wait_for(reader, FirstData)
    exchange.drop_connections()
    wait_for(reader, FeedBack)
    wait_for(reader, FirstData)
    assert provider.get_current_price("XXBTZUSD") == 50000
    assert exchange.ws_connections_made == 2


def test_exchange_that_restarts_is_found_again(exchange: FakeKraken, follow: Follow) -> None:
    """While nobody listens the feed goes on trying; the first chance is taken."""
    provider, reader = follow()
    wait_for(reader, FirstData)
    exchange.stop_listening()
    exchange.drop_connections()
    wait_for(reader, FeedStale)
    while wait_for(reader, FeedConnecting).attempt < 4:
        assert provider.get_current_price("XXBTZUSD") is None
    exchange.resume()
    wait_for(reader, FirstData)
    assert provider.get_current_price("XXBTZUSD") == 50000


def test_exchange_that_falls_silent_is_left(exchange: FakeKraken, follow: Follow) -> None:
    """Sockets that stay open without a frame are replaced until one speaks."""
    provider, reader = follow(QUICK)
    wait_for(reader, FirstData)
    fault = exchange.fault("silent")
    wait_for(reader, FeedStale)
    assert provider.get_current_price("XXBTZUSD") is None
    fault.clear()
    wait_for(reader, FirstData)


def test_exchange_answer_that_is_lost_is_got_back(exchange: FakeKraken, follow: Follow) -> None:
    """Subscribed at Kraken and not told so: only who leaves first is sent a snapshot once more."""
    provider, reader = follow(replace(PATIENT, mute_after=0.1, mute_retry_every=0.1))
    wait_for(reader, FirstData)
    fault = exchange.fault("silent")
    provider.subscribe("ETHUSD")
    assert exchange.wait_for(lambda e: len(e.ws_messages) > 1)
    fault.clear()
    assert wait_for(reader, FirstData).symbol == "ETH/USD"
    first, *others = [m["method"] for m in exchange.ws_messages if "ETH" in json.dumps(m)]
    assert first == "subscribe"
    assert others == ["unsubscribe", "subscribe"] * (len(others) // 2)


@pytest.mark.parametrize("name", ["ack_without_data", "mute", "no_ack"])
def test_exchange_symbol_without_data_is_mute_until_it_speaks(
    exchange: FakeKraken, follow: Follow, name: str
) -> None:
    """A promise without data, or no promise at all, is REST's affair; others are not touched."""
    exchange.fault(name, symbol="BTC/USD")
    provider, reader = follow(replace(PATIENT, mute_after=0.4))
    provider.subscribe("ETHUSD")
    assert wait_for(reader, SymbolMute).symbol == "BTC/USD"
    assert Waiter(provider).answer() is None
    assert provider.wait_for_tick("ETH/USD", LONG) is not None
    exchange.clear_faults()
    provider.resubscribe("BTC/USD")
    while wait_for(reader, FirstData).symbol != "BTC/USD":
        continue
    assert provider.get_current_price("XXBTZUSD") == 50000


def test_exchange_refusal_is_of_that_symbol_alone(exchange: FakeKraken, follow: Follow) -> None:
    """One pair that is not streamed leaves the others streaming."""
    exchange.fault("refuse", symbol="BTC/USD")
    provider, reader = follow()
    provider.subscribe("ETHUSD")
    assert wait_for(reader, SymbolRefused).error == "Currency pair not supported BTC/USD"
    assert Waiter(provider).answer() is None
    assert provider.wait_for_tick("ETH/USD", LONG) is not None


def test_exchange_that_refuses_the_upgrade_is_asked_again(
    exchange: FakeKraken, follow: Follow
) -> None:
    """HTTP 503 on the handshake is a failure like others, and passes."""
    exchange.fault("refuse_connect", count=2)
    _, reader = follow()
    assert "HTTP 503" in wait_for(reader, FeedStale).reason
    wait_for(reader, FirstData)


def test_exchange_that_wants_less_haste_gets_it(exchange: FakeKraken, follow: Follow) -> None:
    """`Exceeded msg rate` is waited out, and the subscription still comes about."""
    exchange.fault("msg_rate", count=1)
    _, reader = follow(replace(PATIENT, rate_pause=0.02))
    wait_for(reader, FirstData)
    assert [message["method"] for message in exchange.ws_messages] == ["subscribe"] * 2


def test_exchange_rubbish_between_prices_harms_nobody(exchange: FakeKraken, follow: Follow) -> None:
    """Frames that are no prices are counted; the prices among them arrive."""
    provider, reader = follow()
    wait_for(reader, Tick)
    exchange.fault("bad_frames")
    exchange.set_price("XXBTZUSD", 50001)
    exchange.set_price("XXBTZUSD", 50002)
    assert [wait_for(reader, Tick).price for _ in range(2)] == [50001, 50002]
    assert provider.get_current_price("XXBTZUSD") == 50002
    assert provider.health().damaged >= 5


# -------------------------------------------------------------------------------------- the crowd


def test_crowd_of_readers_and_subscribers_ends_clean(server: Server, make: Make) -> None:
    """Readers, waiters, subscribers, drops, stops and starts at once: no deadlock, no error."""
    provider = make(QUICK)
    errors: list[BaseException] = []
    names = [f"S{number}/USD" for number in range(8)]

    def guard(act: Callable[[int], object], times: int) -> threading.Thread:
        def run() -> None:
            try:
                for number in range(times):
                    act(number)
            except BaseException as error:  # noqa: BLE001 - shown by the assertion below
                errors.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def subscribe(number: int) -> None:
        provider.subscribe(names[number % 8])
        provider.wait_for_tick(names[number % 8], 0.05)
        provider.unsubscribe(names[(number + 3) % 8])

    def disturb(number: int) -> None:
        provider.stop(LONG)
        with suppress(OSError, IndexError):
            server.drop()
        provider.open_feed().get(0.01)

    threads = [guard(lambda n: provider.get_current_price(names[n % 8]), 5000) for _ in range(16)]
    threads += [guard(subscribe, 40) for _ in range(4)] + [guard(disturb, 20)]
    threads += [guard(lambda n: provider.health(), 200)]
    for thread in threads:
        thread.join(2 * LONG)
    assert not any(thread.is_alive() for thread in threads)
    assert errors == []
    provider.stop(LONG)
    assert feed_threads() == []


def test_exchange_price_reader_follows_and_ends_with_its_subscription(
    exchange: FakeKraken, follow: Follow
) -> None:
    """A reader answers with each proven price, and with nothing once nobody subscribes."""
    provider, events = follow()
    wait_for(events, Tick)
    read = provider.price_reader("BTC/USD")
    assert read() == 50000.0
    exchange.set_price("XXBTZUSD", "50001.5")
    wait_for(events, Tick)
    assert read() == 50001.5
    provider.unsubscribe("XXBTZUSD")
    assert read() is None
    with pytest.raises(KeyError):
        provider.price_reader("BTC/USD")


def test_connect_opens_the_line_before_anything_is_asked_for(
    exchange: FakeKraken, make: Make
) -> None:
    """Connecting without a symbol makes the connection, and asks for nothing on it."""
    provider = make(PATIENT, url=exchange.ws_url)
    provider.connect()
    assert exchange.wait_for(lambda e: e.ws_connections == 1)
    assert exchange.ws_messages == []
