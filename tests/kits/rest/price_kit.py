"""What the tests of prices share: a stream on this machine that does as it is told."""

import base64
import hashlib
import json
import re
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from kraken_api import KrakenAPI
from tests.kits.rest.rest_kit import (
    QUICK,
    Loopback,
    read_request,
)


class Stream(Loopback):
    """A stream on this machine that gives each symbol what it is told to.

    `fates` holds by symbol: a price, `mute` for an acknowledgement without data, or `refuse`.
    """

    def __init__(self, **fates: str) -> None:
        self.fates = {name.replace("_", "/"): fate for name, fate in fates.items()}
        self.symbols: list[str] = []
        self._socket: socket.socket | None = None
        super().__init__(self._speak)
        self.ws_url = f"ws://127.0.0.1:{self.port}/v2"

    def say(self, symbol: str, price: str) -> None:
        """Send a tick."""
        tick = f'{{"symbol":"{symbol}","bid":1.0,"ask":9.0,"last":{price},"volume":1}}'
        self._send(f'{{"channel":"ticker","type":"update","data":[{tick}]}}')

    def hang_up(self) -> None:
        """Lose the connection, and let nobody in any more."""
        self._listener.shutdown(socket.SHUT_RDWR)
        assert self._socket is not None
        self._socket.shutdown(socket.SHUT_RDWR)

    def _speak(self, sock: socket.socket) -> None:
        key = re.search(rb"Sec-WebSocket-Key: *(\S+)", read_request(sock), re.IGNORECASE)
        assert key
        magic = key[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(magic, usedforsecurity=False).digest()).decode()
        upgrade = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}"
        sock.sendall(f"HTTP/1.1 101 Switching Protocols\r\n{upgrade}\r\n\r\n".encode())
        self._socket = sock
        with sock.makefile("rb") as stream:
            while message := read_frame(stream):
                if message.get("method") == "subscribe":
                    for symbol in message["params"]["symbol"]:
                        self._subscribed(symbol, message.get("req_id"))

    def _subscribed(self, symbol: str, req_id: object) -> None:
        self.symbols.append(symbol)
        fate = self.fates.get(symbol, "refuse")
        answer: dict[str, Any] = {"method": "subscribe", "req_id": req_id}
        if fate == "refuse":
            error = f"Currency pair not supported {symbol}"
            self._send(json.dumps({**answer, "success": False, "error": error, "symbol": symbol}))
            return
        result = {"channel": "ticker", "symbol": symbol, "snapshot": True}
        self._send(json.dumps({**answer, "success": True, "result": result}))
        if fate != "mute":
            self.say(symbol, fate)

    def _send(self, text: str) -> None:
        assert self._socket is not None
        data = text.encode()
        self._socket.sendall(b"\x81" + struct.pack("!BH", 126, len(data)) + data)


def read_frame(stream: Any) -> dict[str, Any]:
    """Return the message of one masked frame from a client; empty at the end."""
    head = stream.read(2)
    if len(head) < 2 or head[0] & 15 != 1:
        return {}
    length = head[1] & 127
    if length == 126:
        length = struct.unpack("!H", stream.read(2))[0]
    mask, data = stream.read(4), stream.read(length)
    message: dict[str, Any] = json.loads(bytes(b ^ mask[i % 4] for i, b in enumerate(data)))
    return message


@pytest.fixture
def streaming() -> Iterator[Callable[..., tuple[KrakenAPI, Stream]]]:
    """Hand out a function that makes a stream and a client of it, and end both afterwards."""
    made: list[tuple[KrakenAPI, Stream]] = []

    def make(ws_timeout: float = 60.0, **fates: str) -> tuple[KrakenAPI, Stream]:
        stream = Stream(**fates)
        api = KrakenAPI(ws_url=stream.ws_url, ws_timeout=ws_timeout, timeouts=QUICK)
        made.append((api, stream))
        return api, stream

    yield make
    for api, stream in made:
        provider = api.price_provider()
        assert provider is not None
        api.close()
        provider.stop()
        stream.__exit__()


Streaming = Callable[..., tuple[KrakenAPI, Stream]]


def wait_for_price(api: KrakenAPI, pair: str, price: float) -> None:
    """Wait until the stream has brought `price`, without asking REST."""
    provider = api.price_provider()
    assert provider is not None
    with closing(provider.open_feed()) as feed:
        for _ in range(100):
            if api.get_current_price(pair) == price:
                return
            feed.get(timeout=0.1)
    pytest.fail(f"{price} never came")
