"""What the tests of the REST client share: answers, and servers on this machine that misbehave."""

import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import responses

from kraken_api import KrakenAPI, Timeouts
from krakenlink.errors import KrakenTransportError

REST = "https://api.kraken.com"
# Kraken's published example; nobody's key.
SECRET = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="
LONG = 30.0  # seconds: what is answered at once takes less on any machine
SHORT = 0.5  # seconds after which a call is to end that has no answer
QUICK = Timeouts(connect=LONG, read=LONG, read_order=LONG, retry_pauses=(0.0, 0.0))
LISTING: dict[str, Any] = {
    "XXBTZUSD": {"altname": "XBTUSD", "wsname": "XBT/USD", "base": "XXBT", "quote": "ZUSD"},
    "SOLUSD": {"altname": "SOLUSD", "wsname": "SOL/USD", "base": "SOL", "quote": "ZUSD"},
    "DARKUSD": {"altname": "DARKUSD", "base": "DARK", "quote": "ZUSD"},
}
LISTING["SOLUSD"] |= {"lot_decimals": 4, "pair_decimals": 2, "ordermin": "0.1", "leverage_buy": [2]}
XSTOCKS: dict[str, Any] = {
    "AAPLxUSD": {
        "altname": "AAPLxUSD",
        "wsname": "AAPLx/USD",
        "base": "AAPLx",
        "quote": "ZUSD",
        "aclass_base": "tokenized_asset",
    }
}


def ok(result: object) -> str:
    """Return the text of a good answer."""
    return json.dumps({"error": [], "result": result})


def refusal(*errors: str) -> str:
    """Return the text of an answer with errors."""
    return json.dumps({"error": errors})


def ticker(price: object = "50000.10", key: str = "XXBTZUSD") -> dict[str, Any]:
    """Return a Ticker result of one pair."""
    return {key: {"a": ["50001.0", "1", "1.0"], "b": ["49999.0", "1", "1.0"], "c": [price, "0.1"]}}


Reply = str | Exception | tuple[int, str]


class Web:
    """Answers the client's HTTP calls by Kraken's name of the call, and remembers them."""

    def __init__(self, mock: responses.RequestsMock) -> None:
        self.calls: list[tuple[str, dict[str, str]]] = []
        self.requests: list[Any] = []
        self.replies: dict[str, Callable[[dict[str, str]], Reply]] = {}
        mock.add_callback(responses.GET, re.compile(".*"), self._answer)
        mock.add_callback(responses.POST, re.compile(".*"), self._answer)

    def on(self, method: str, *replies: Reply) -> None:
        """Answer `method` with each reply in turn, and with the last one from then on."""
        waiting = list(replies)
        self.replies[method] = lambda _: waiting.pop(0) if len(waiting) > 1 else waiting[0]

    def asked(self, method: str) -> list[dict[str, str]]:
        """Return the parameters of each call of `method`."""
        return [params for name, params in self.calls if name == method]

    def _answer(self, request: Any) -> tuple[int, dict[str, str], str]:
        parts = urlsplit(request.url)
        method = parts.path.rpartition("/")[2]
        text = request.body.decode() if request.body else parts.query
        is_json = request.headers.get("Content-Type") == "application/json"
        params = json.loads(text) if is_json else dict(parse_qsl(text))
        self.calls.append((method, params))
        self.requests.append(request)
        reply = self.replies[method](params)
        if isinstance(reply, Exception):
            raise reply
        status, body = reply if isinstance(reply, tuple) else (200, reply)
        return status, {}, body


@pytest.fixture
def web() -> Iterator[Web]:
    """Stand between the client and any network."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield Web(mock)


@pytest.fixture
def rest(web: Web) -> KrakenAPI:
    """Hand out a client with keys and without the stream, in front of `web`."""
    return KrakenAPI("key", SECRET, use_websocket=False, timeouts=QUICK)


class Loopback:
    """A server on this machine that treats each connection as it is told to."""

    def __init__(self, treat: Callable[[socket.socket], None]) -> None:
        self.connections = 0
        self._treat = treat
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def __enter__(self) -> "Loopback":
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(LONG)  # before the others are closed: it may just have let one in
        for sock in self._open:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def is_open(self, number: int) -> bool:
        """Tell whether the client's end of a connection is still open."""
        sock = self._open[number]
        try:
            return sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    def wait_closed(self, number: int) -> None:
        """Wait until the client has closed a connection."""
        ends_at = time.monotonic() + LONG
        while self.is_open(number):
            assert time.monotonic() < ends_at, f"connection {number} stays open"
            time.sleep(0.005)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with suppress(OSError):
            self._treat(sock)


def read_request(sock: socket.socket) -> bytes:
    """Return one HTTP request, body included; empty at the end of the connection."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(65536)
        if not piece:
            return b""
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
    while length and len(body) < int(length[1]):
        body += sock.recv(65536)
    return head + b"\r\n\r\n" + body


def http(body: str, status: str = "200 OK", extra: str = "") -> bytes:
    """Return an HTTP answer."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{extra}\r\n{body}".encode()


def forever_ok(sock: socket.socket) -> None:
    """Answer every request of a connection well."""
    while read_request(sock):
        sock.sendall(http(ok({"unixtime": 1_700_000_000, "txid": ["OABC"]})))


def client_of(url: str, connect: float = LONG, read: float = LONG, **kwargs: Any) -> KrakenAPI:
    """Return a client with a key of its own in front of a loopback server.

    Where a call is to end by its time, `connect` or `read` is short.
    """
    timeouts = Timeouts(connect=connect, read=read, read_order=read, retry_pauses=(0.0,))
    return KrakenAPI(f"key of {url}", SECRET, url, timeouts=timeouts, **kwargs)


def reset(sock: socket.socket) -> None:
    """Close with a reset instead of a farewell."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def failed_order(url: str, connect: float = LONG, read: float = LONG) -> KrakenTransportError:
    """Place an order that fails on its way, and return the error.

    Where it is to fail by its time, `connect` or `read` is short.
    """
    with pytest.raises(KrakenTransportError) as caught:
        client_of(url, connect, read).add_order("XBTUSD", "market", "sell", "1")
    return caught.value


def answer_never(sock: socket.socket) -> None:
    """Take a request and say nothing."""
    read_request(sock)
    sock.recv(1)


def cut_handshake(sock: socket.socket) -> None:
    """Take the first bytes of a TLS handshake and reset."""
    sock.recv(65536)
    reset(sock)
