"""Messages out of frames, and the handshake before them, on real sockets."""

from __future__ import annotations

import queue
import struct
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import websocket

from krakenlink.errors import KrakenConnectionError
from krakenlink.stream.connection import Connection, ConnectionRefused, open_websocket
from krakenlink.stream.events import (
    FeedStale,
    Tick,
)
from krakenlink.stream.settings import FeedSettings
from tests.kits.chaos.chaos_kit import frame
from tests.kits.common.fresh_python import run_python
from tests.kits.stream.stream_kit import (
    CONTINUED,
    LONG,
    PING,
    Make,
    Peer,
    Script,
    Server,
    ack,
    live,
    ticker,
    wait_for,
)


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


@pytest.mark.parametrize(
    ("script", "error", "words"),
    [
        (lambda peer: peer.shake_hands("403 No"), ConnectionRefused, "HTTP 403"),
        (lambda peer: peer.shake_hands("502 Bad"), KrakenConnectionError, "HTTP 502"),
        (lambda peer: peer.shake_hands("301 Moved"), KrakenConnectionError, "Redirect"),
        (lambda peer: peer.send(b"rubbish\r\n\r\n"), KrakenConnectionError, "handshake"),
        (lambda peer: peer.send(b"HTTP/1.1\r\n\r\n"), KrakenConnectionError, "handshake"),
        (lambda peer: peer.send(b"HTTP/1.1 1e2 OK\r\n\r\n"), KrakenConnectionError, "handshake"),
        (lambda peer: peer.send(b"HTTP/1.1 101 \xff\r\n\r\n"), KrakenConnectionError, "handshake"),
        (
            lambda peer: peer.send(b"HTTP/1.1 101 S\r\nno colon\r\n\r\n"),
            KrakenConnectionError,
            "Invalid header",
        ),
        (lambda peer: peer.send(b"HTTP/1.1 200 OK\r\n\r\n<html>"), KrakenConnectionError, "200"),
        (lambda peer: None, KrakenConnectionError, "closed by the server|reset"),
    ],
    ids=[
        *("forbidden", "gateway", "redirect", "rubbish", "no-status", "odd-status", "not-utf-8"),
        *("no-header", "web-page", "closed"),
    ],
)
def test_handshake_that_fails_raises_in_words(
    server: Server, script: Script, error: type[Exception], words: str
) -> None:
    """Every way in which a server can fail to be a WebSocket server ends in one kind of error."""
    server.scripts = [script]
    with pytest.raises((error, OSError), match=words):
        open_websocket(server.url, LONG)


def test_handshake_without_an_end_has_a_bound(server: Server) -> None:
    """Headers for ever, as fast as they come, end long before the time does."""
    server.scripts = [lambda peer: peer.send(b"HTTP/1.1 101 S\r\n" + b"X-Y: z\r\n" * 30_000)]
    with pytest.raises(KrakenConnectionError, match="no end"):
        open_websocket(server.url, LONG)


def test_redirect_is_no_open_connection(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the library follows none and says nothing of it, as its older versions, we do."""
    monkeypatch.setattr(websocket.WebSocket, "getstatus", lambda _: 302)
    server.scripts = [lambda peer: peer.shake_hands()]
    with pytest.raises(ConnectionRefused, match="HTTP 302, a redirect, which is not followed"):
        open_websocket(server.url, LONG)


def read_on(connection: Connection) -> None:
    """Read until the end."""
    while True:
        connection.recv(LONG)


@pytest.mark.parametrize("piece", [b"", b"x"], ids=["empty", "one-byte"])
def test_message_in_endless_pieces_has_a_bound(
    server: Server, monkeypatch: pytest.MonkeyPatch, piece: bytes
) -> None:
    """Pieces that never fill the bytes allowed are counted: so many are read, and no more."""
    reads = 0
    real_read = websocket.WebSocket.recv_data_frame

    def read(self: Any, control_frame: bool = False) -> Any:
        nonlocal reads
        reads += 1
        return real_read(self, control_frame)

    monkeypatch.setattr(websocket.WebSocket, "recv_data_frame", read)

    def endless(peer: Peer) -> None:
        peer.shake_hands()
        peer.send(frame("{", first_bits=0), frame(piece, CONTINUED, 0) * 30_000)
        peer.receive()

    server.scripts = [endless]
    connection = open_websocket(server.url, LONG)
    with pytest.raises(KrakenConnectionError, match="more than 1000 pieces"):
        read_on(connection)
    connection.close()
    assert reads == 1001


def test_many_messages_in_pieces_are_each_their_own(server: Server) -> None:
    """The bound is for one message: pieces and bytes are counted anew for the next."""
    pieces = [
        frame("a" * 30, first_bits=0),
        *[frame("b", CONTINUED, 0)] * 500,
        frame("c", CONTINUED),
    ]

    def many(peer: Peer) -> None:
        peer.shake_hands()
        peer.send(*pieces * 4)
        peer.receive()

    server.scripts = [many]
    connection = open_websocket(server.url, LONG, FeedSettings(max_message_bytes=600))
    got: list[str | bytes] = []
    while len(got) < 4:
        got += connection.recv(LONG) or []
    connection.close()
    assert got == ["a" * 30 + "b" * 500 + "c"] * 4


@pytest.mark.parametrize("length", [601, 65535, 65536])
def test_whole_message_has_a_bound_in_each_width_of_its_length(server: Server, length: int) -> None:
    """One as long as may be is taken; one byte more ends the connection."""

    def long_one(peer: Peer) -> None:
        peer.shake_hands()
        peer.send(frame("a" * 600), frame("b" * length))
        peer.receive()

    server.scripts = [long_one]
    connection = open_websocket(server.url, LONG, FeedSettings(max_message_bytes=600))

    def received() -> list[str | bytes]:
        while not (messages := connection.recv(LONG)):
            continue
        return messages

    with closing(connection):
        assert received() == ["a" * 600]
        with pytest.raises(KrakenConnectionError, match=f"a message of {length} bytes"):
            received()


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


def test_sending_on_a_dead_socket_raises(server: Server) -> None:
    """A connection that the other side reset is told to who sends more than a buffer holds."""
    server.scripts = [lambda peer: peer.shake_hands()]
    connection = open_websocket(server.url, LONG)
    with pytest.raises((OSError, KrakenConnectionError)):
        connection.send("x" * 20_000_000)
    connection.close()


@pytest.mark.parametrize(
    ("name", "foreign"),
    [
        ("websocket", "WebSocket = object"),
        ("websocket", "import sys; sys.exit(3)"),
        ("msgspec", "Struct = UNSET = object"),
        ("msgspec", "raise NameError('mine')"),
    ],
)
def test_other_thing_of_that_name_is_none(tmp_path: Path, name: str, foreign: str) -> None:
    """Somebody's own file in the way is as if the library were missing, whatever it does."""
    (tmp_path / f"{name}.py").write_text(foreign, encoding="ascii")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import kraken_api, ws_price_provider\n"
        "assert not ws_price_provider.WEBSOCKET_AVAILABLE\n"
        "api = kraken_api.KrakenAPI('k', 'c2VjcmV0')\n"
        "print(api.price_provider(), api.account_feed())"
    )
    assert run_python(code) == "None None"


def test_without_websocket_client_the_reason_is_said() -> None:
    """Whoever connects without the library is told which one it is."""
    code = (
        "import sys; sys.modules['websocket'] = None\n"
        "from krakenlink.errors import KrakenConnectionError\n"
        "from krakenlink.stream.connection import open_websocket\n"
        "try: open_websocket('ws://127.0.0.1:1', 1)\n"
        "except KrakenConnectionError as error: print(error)"
    )
    assert run_python(code) == "websocket-client is not installed"
