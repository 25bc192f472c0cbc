"""The other side of every measurement: a lean exchange in a process of its own.

It speaks as much of Kraken's REST and WebSocket v2 as the measured programs need, sends frames
that were built before the clock started, and notes when orders arrive. The embedded exchange
(`fake_kraken`) is the right one for tests; its own work would drown what is measured here.

`Wire` starts it and talks to it over pipes; moments are `time.perf_counter_ns`, which processes
of one machine share.
"""

from __future__ import annotations

import argparse
import base64
import collections
import hashlib
import json
import queue
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

LAST_FRAME = '{"channel":"end"}'
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_NAMED = ("BTC", "ETH", "SOL", "XRP", "ADA", "DOT", "LTC", "LINK", "ATOM", "ALGO")
_REST_KEYS = {"BTC": ("XXBT", "XBT"), "ETH": ("XETH", "ETH")}
START_PRICE = 50_000.0
_FRAME_TIME = "2026-11-20T10:15:42.123456Z"


def symbols_of(count: int) -> list[str]:
    """Return `count` v2 symbols, the best known ones first."""
    names = [*_NAMED, *(f"C{number:04d}" for number in range(count))]
    return [f"{name}/USD" for name in names[:count]]


def ticker_frame(symbol: str, price: float, kind: str = "update") -> str:
    """Return a ticker frame in the shape, the order of fields and the length of Kraken's."""
    return (
        f'{{"channel":"ticker","type":"{kind}","data":[{{"symbol":"{symbol}",'
        f'"bid":{price - 0.1:.1f},"bid_qty":0.41270000,"ask":{price:.1f},"ask_qty":3.20150000,'
        f'"last":{price:.1f},"volume":2231.72034190,"vwap":{price + 130:.1f},"low":49007.9,'
        f'"high":51230.4,"change":-312.6,"change_pct":-0.62,'
        f'"timestamp":"{_FRAME_TIME}"}}]}}'
    )


# How many trades come in each of ten frames, one after the other: mostly one, as most orders meet
# one other, and sometimes those of an order that met several.
_TRADES_AT_ONCE = (1, 1, 1, 2, 1, 1, 1, 1, 4, 1)


def trades_in(frames: int, symbols: int) -> int:
    """Return how many trades are in the first `frames` frames of `trade_frames`."""
    return sum(_at_once(number, symbols) for number in range(frames))


def _at_once(number: int, symbols: int) -> int:
    # One further with each turn round the symbols, or some would always have several.
    return _TRADES_AT_ONCE[(number + number // symbols) % len(_TRADES_AT_ONCE)]


def trade_frames(symbols: Sequence[str], count: int) -> list[str]:
    """Return frames of trades of now, round the symbols, the trades of each numbered from 1 on."""
    second = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    numbers = dict.fromkeys(symbols, 0)
    frames = []
    for number in range(count):
        symbol, rows = symbols[number % len(symbols)], []
        for _ in range(_at_once(number, len(symbols))):
            numbers[symbol] += 1
            price = 49_000 + numbers[symbol] % 20 / 10
            rows.append(trade_row(symbol, price, numbers[symbol], f"{second}.{number % 10**6:06}Z"))
        frames.append(trade_frame(rows))
    return frames


def trade_row(symbol: str, price: float, trade_id: int, stamp: str) -> str:
    """Return a trade in the shape and the order of fields of Kraken's."""
    return (
        f'{{"symbol":"{symbol}","side":"buy","price":{price:.1f},"qty":0.50000000,'
        f'"ord_type":"limit","trade_id":{trade_id},"timestamp":"{stamp}"}}'
    )


def trade_frame(rows: Sequence[str]) -> str:
    """Return the frame of such rows."""
    return f'{{"channel":"trade","type":"update","data":[{",".join(rows)}]}}'


def framed(text: str) -> bytes:
    """Return an unmasked WebSocket text frame, as servers send them."""
    payload = text.encode()
    if len(payload) < 126:
        return bytes((0x81, len(payload))) + payload
    return bytes((0x81, 126)) + len(payload).to_bytes(2, "big") + payload


# --- the server ----------------------------------------------------------------------------------


class _Peer:
    """One open stream."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.lock = threading.Lock()  # guards the order of bytes on the socket
        self.is_subscribed = False

    def send(self, data: bytes) -> None:
        with suppress(OSError), self.lock:
            self.sock.sendall(data)


class Server:
    """The exchange; what the harness may ask of it are the methods that begin with `do_`."""

    def __init__(self, count: int, delay: float) -> None:
        self.symbols = symbols_of(count)
        self.rows = dict(map(_asset_pair, self.symbols))
        self.peers: list[_Peer] = []
        self.orders: list[dict[str, Any]] = []
        self.calls: collections.Counter[str] = collections.Counter()
        self.subscribed_at = 0
        self.acked = 0
        self.price = START_PRICE
        self.flood_stop = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        self.proxy = _Proxy(self.port, delay) if delay else None
        self.rest_delay = 0.0
        for target in (self._accept, self._beat):
            threading.Thread(target=target, daemon=True).start()

    def _accept(self) -> None:
        while True:
            sock, _ = self.listener.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._talk, args=(sock,), daemon=True).start()

    def _beat(self) -> None:
        beat = framed('{"channel":"heartbeat"}')
        while True:
            time.sleep(1.0)
            for peer in list(self.peers):
                peer.send(beat)

    def _talk(self, sock: socket.socket) -> None:
        connection = id(sock)
        buffer = b""
        with suppress(OSError), sock:
            while True:
                while b"\r\n\r\n" not in buffer:
                    chunk = sock.recv(65536)
                    if not chunk:
                        return
                    buffer += chunk
                head, _, buffer = buffer.partition(b"\r\n\r\n")
                headers = _headers(head)
                if "upgrade" in headers.get("connection", "").lower():
                    self._stream(sock, headers, buffer)
                    return
                length = int(headers.get("content-length", "0"))
                while len(buffer) < length:
                    buffer += sock.recv(65536)
                came_at = time.perf_counter_ns()
                body, buffer = buffer[:length], buffer[length:]
                target = head.split(b" ", 2)[1].decode()
                answer = json.dumps({"error": [], "result": self._result(target, body)}).encode()
                if self.rest_delay:
                    time.sleep(self.rest_delay)
                sock.sendall(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
                    + str(len(answer)).encode()
                    + b"\r\n\r\n"
                    + answer
                )
                self._note_order(target, body, came_at, connection)

    # REST

    def _note_order(self, target: str, body: bytes, came_at: int, connection: int) -> None:
        answered_at = time.perf_counter_ns()
        self.orders += [
            {"at": came_at, "answered_at": answered_at, "connection": connection}
            for _ in orders_in(target, body)
        ]

    def _result(self, target: str, body: bytes) -> Any:
        path, _, query = target.partition("?")
        method = path.rsplit("/", 1)[1]
        self.calls[method] += 1
        number = len(self.orders)
        if method == "AddOrderBatch":
            count = len(orders_in(target, body))
            return {"orders": [_placed(number + place) for place in range(count)]}
        fields = dict(urllib.parse.parse_qsl(query or body.decode()))
        if method == "AssetPairs":
            wanted = fields.get("pair")
            return self.rows if wanted is None else self._rows_named(wanted)
        if method == "Ticker":
            price = [f"{self.price:.1f}", "1", "1.000"]
            rows = self._rows_named(fields["pair"]) if "pair" in fields else self.rows
            return {key: {"a": price, "b": price, "c": price[:2]} for key in rows}
        if method == "Time":
            return {"unixtime": int(time.time()), "rfc1123": ""}
        if method == "AddOrder":
            order = _placed(number)
            if "validate" in fields:
                return {"descr": order["descr"]}
            return {**order, "txid": [order["txid"]]}
        return {"open": {}, "closed": {}, "count": 0} if "Orders" in method else {"ZUSD": "1e6"}

    def _rows_named(self, names: str) -> dict[str, Any]:
        wanted = names.upper().replace("XBT/", "BTC/").split(",")
        return {
            key: row
            for key, row in self.rows.items()
            if {key, row["altname"], row["wsname"], row["symbol"]} & set(wanted)
        }

    # the stream

    def _stream(self, sock: socket.socket, headers: dict[str, str], rest: bytes) -> None:
        key = headers["sec-websocket-key"].encode()
        accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
        status = '{"channel":"status","type":"update","data":[{"system":"online"}]}'
        sock.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n" + framed(status)
        )
        peer = _Peer(sock)
        self.peers.append(peer)
        try:
            self._serve(peer, bytearray(rest))
        finally:
            self.peers.remove(peer)

    def _serve(self, peer: _Peer, buffer: bytearray) -> None:
        while True:
            while (message := _client_frame(buffer)) is None:
                chunk = peer.sock.recv(65536)
                if not chunk:
                    return
                buffer += chunk
            opcode, payload = message
            if opcode == 8:
                return
            if opcode == 9:
                peer.send(bytes((0x8A, len(payload))) + payload)
            elif opcode == 1:
                self._hear(peer, json.loads(payload))

    def _hear(self, peer: _Peer, message: dict[str, Any]) -> None:
        answer = {k: message[k] for k in ("method", "req_id") if k in message}
        if message["method"] == "ping":
            peer.send(framed(json.dumps({**answer, "method": "pong"})))
            return
        params = message["params"]
        texts: list[str] = []
        for symbol in params.get("symbol", ()):
            result = {"channel": params["channel"], "symbol": symbol, "snapshot": True}
            texts.append(json.dumps({**answer, "success": True, "result": result}))
            if message["method"] == "subscribe" and params["channel"] == "ticker":
                texts.append(ticker_frame(symbol, self.price, "snapshot"))
        peer.send(b"".join(map(framed, texts)))
        self.acked += len(params.get("symbol", ()))
        # Who asks for the list of pairs alone has no prices sent.
        peer.is_subscribed = peer.is_subscribed or "symbol" in params
        self.subscribed_at = time.perf_counter_ns()

    # what the harness asks for

    def obey(self, order: dict[str, Any]) -> Any:
        """Do what a line of the harness asks for, and return the answer."""
        return getattr(self, f"do_{order.pop('do')}")(**order)

    def do_tick(self, price: float, symbol: str = "BTC/USD") -> int:
        """Send one tick; return the moment before it went out."""
        self.price = price
        frame = framed(ticker_frame(symbol, price))
        sent_at = time.perf_counter_ns()
        self._send_all(frame)
        return sent_at

    def do_flood_trades(self, count: int) -> None:
        """Send `count` frames of trades round the symbols and an end mark, as fast as they go."""
        self._send_fast([framed(frame) for frame in trade_frames(self.symbols, count)], count)
        self._send_all(framed(LAST_FRAME))

    def do_flood(self, count: int, rate: float = 0.0, background: bool = False) -> dict[str, Any]:
        """Send `count` ticks round the symbols and an end mark; `rate` a second, 0 for no limit."""
        if background:
            self.flood_stop.clear()
            threading.Thread(target=self.do_flood, args=(count, rate), daemon=True).start()
            return {}
        variants = max(2, 400 // len(self.symbols))
        frames = [
            framed(ticker_frame(symbol, 49_000 + 0.1 * variant))
            for variant in range(variants)
            for symbol in self.symbols
        ]
        started = time.perf_counter_ns()
        sent = self._send_fast(frames, count) if not rate else self._send_paced(frames, count, rate)
        self._send_all(framed(LAST_FRAME))
        return {"started": started, "ended": time.perf_counter_ns(), "sent": sent}

    def _send_all(self, data: bytes) -> None:
        for peer in [peer for peer in self.peers if peer.is_subscribed]:
            peer.send(data)

    def _send_fast(self, frames: list[bytes], count: int) -> int:
        size = 50
        chunks = [b"".join(frames[at : at + size]) for at in range(0, len(frames) - size + 1, size)]
        for number in range(count // size):
            self._send_all(chunks[number % len(chunks)])
        return count // size * size

    def _send_paced(self, frames: list[bytes], count: int, rate: float) -> int:
        started, sent = time.perf_counter(), 0
        while sent < count and not self.flood_stop.is_set():
            due = min(count, int((time.perf_counter() - started) * rate) + 1)
            for number in range(sent, due):
                self._send_all(frames[number % len(frames)])
            sent = max(sent, due)
            time.sleep(0.0005)
        return sent

    def do_stamped(self, count: int, rate: float) -> None:
        """Send `count` ticks round the symbols, each with the moment at which it is sent."""
        texts = [ticker_frame(s, 49_000.5).split(_FRAME_TIME) for s in self.symbols]
        started, sent = time.perf_counter(), 0
        while sent < count:
            due = min(count, int((time.perf_counter() - started) * rate) + 1)
            frames = []
            for number in range(sent, due):
                head, tail = texts[number % len(texts)]
                frames.append(framed(f"{head}{time.perf_counter_ns()}{tail}"))
            if frames:
                self._send_all(b"".join(frames))
            sent = max(sent, due)
            time.sleep(0.0005)

    def do_stop_flood(self) -> None:
        """End a flood that runs in the background."""
        self.flood_stop.set()

    def do_drop(self) -> int:
        """Reset every stream; return the moment before."""
        at = time.perf_counter_ns()
        for peer in list(self.peers):
            linger = (1).to_bytes(4, sys.byteorder) + (0).to_bytes(4, sys.byteorder)
            with suppress(OSError):
                peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                peer.sock.shutdown(socket.SHUT_RDWR)
        return at

    def do_seen(self, forget: bool = False) -> dict[str, Any]:
        """Return what came in: orders, calls, acknowledged symbols."""
        seen = {
            "orders": list(self.orders),
            "calls": dict(self.calls),
            "acked": self.acked,
            "subscribed_at": self.subscribed_at,
            "peers": sum(peer.is_subscribed for peer in self.peers),
        }
        if forget:
            self.orders.clear()
            self.calls.clear()
            self.acked = 0
        return seen

    def do_set(self, price: float = START_PRICE, rest_delay: float = 0.0) -> None:
        """Set the price that REST tells, and how long its answers take."""
        self.price, self.rest_delay = price, rest_delay


def orders_in(target: str, body: bytes) -> list[dict[str, str]]:
    """Return the orders that a call places, by Kraken's names; none for any other call."""
    if target.endswith("/AddOrderBatch"):
        found = json.loads(body)
        return [{**order, "pair": found["pair"]} for order in found["orders"]]
    fields = dict(urllib.parse.parse_qsl(body.decode()))
    is_order = target.endswith("/AddOrder") and fields.get("validate") != "true"
    return [fields] if is_order else []


def _placed(number: int) -> dict[str, Any]:
    return {"descr": {"order": "sell trailing stop"}, "txid": f"OBENCH-{number:05d}-X"}


def _asset_pair(symbol: str) -> tuple[str, dict[str, Any]]:
    base, _, quote = symbol.partition("/")
    asset, old = _REST_KEYS.get(base, (base, base))
    key = f"{asset}Z{quote}" if base in _REST_KEYS else f"{base}{quote}"
    return key, {
        "altname": f"{old}{quote}",
        "wsname": f"{old}/{quote}",
        "symbol": symbol,
        "aclass_base": "currency",
        "base": asset,
        "quote": f"Z{quote}",
        "pair_decimals": 1,
        "lot_decimals": 8,
        "ordermin": "0.0001",
        "costmin": "0.5",
        "tick_size": "0.1",
        "status": "online",
    }


def _headers(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _client_frame(buffer: bytearray) -> tuple[int, bytes] | None:
    """Take one masked frame out of `buffer`; None if it is not whole."""
    if len(buffer) < 6:
        return None
    length, start = buffer[1] & 0x7F, 2
    if length > 125:
        width = 2 if length == 126 else 8
        length, start = int.from_bytes(buffer[2 : 2 + width], "big"), 2 + width
    end = start + 4 + length
    if len(buffer) < end:
        return None
    mask, opcode = buffer[start : start + 4], buffer[0] & 0x0F
    masked = bytes(buffer[start + 4 : end])
    del buffer[:end]
    return opcode, bytes(byte ^ mask[at % 4] for at, byte in enumerate(masked))


class _Proxy:
    """Carries bytes to the server and back, each way `delay` seconds late."""

    def __init__(self, target: int, delay: float) -> None:
        self._target, self._delay = target, delay
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            near, _ = self._listener.accept()
            far = socket.create_connection(("127.0.0.1", self._target))
            for one, other in ((near, far), (far, near)):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                pipe: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
                for work in (self._read, self._write):
                    end = one if work == self._read else other
                    threading.Thread(target=work, args=(end, pipe), daemon=True).start()

    def _read(self, sock: socket.socket, pipe: queue.SimpleQueue[tuple[float, bytes]]) -> None:
        data = b"-"
        while data:
            try:
                data = sock.recv(65536)
            except OSError:
                data = b""
            pipe.put((time.perf_counter() + self._delay, data))

    def _write(self, sock: socket.socket, pipe: queue.SimpleQueue[tuple[float, bytes]]) -> None:
        with suppress(OSError):
            while True:
                due, data = pipe.get()
                time.sleep(max(0.0, due - time.perf_counter()))
                if not data:
                    sock.shutdown(socket.SHUT_RDWR)
                    return
                sock.sendall(data)


# --- the harness's end of it ---------------------------------------------------------------------


class Wire:
    """The server as a process, from `with` to its end.

    Args:
        symbols: How many markets it has.
        delay: Half a round trip, in seconds, that a proxy in front of it adds.
    """

    command: Sequence[str] = (__file__,)

    def __init__(self, symbols: int = 10, delay: float = 0.0) -> None:
        self._arguments = ("--symbols", str(symbols), "--delay", str(delay))

    def __enter__(self) -> Wire:
        self._process = subprocess.Popen(  # noqa: S603 - this file
            [sys.executable, *self.command, *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = self._read()
        return self

    def __exit__(self, *exc_info: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    @property
    def rest_url(self) -> str:
        """The address of REST."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        """The address of the stream."""
        return f"ws://127.0.0.1:{self.port}/v2"

    def ask(self, what: str, **arguments: Any) -> Any:
        """Let the server do something, and return its answer when it is done."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": what, **arguments}) + "\n")
        self._process.stdin.flush()
        return self._read()

    def wait_until(self, is_true: Callable[[dict[str, Any]], object], timeout: float = 20) -> Any:
        """Return what the server has seen once `is_true` of it.

        Raises:
            TimeoutError: If that does not come.
        """
        end = time.monotonic() + timeout
        while not is_true(seen := self.ask("seen")):
            if time.monotonic() > end:
                raise TimeoutError(f"waited in vain; the server has seen {str(seen)[:300]}")
            time.sleep(0.005)
        return seen

    def wait_for_orders(self, count: int) -> Any:
        """Return what the server has seen once `count` orders came in."""
        return self.wait_until(lambda seen: len(seen["orders"]) >= count)

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the other side has ended")
        return json.loads(line)


def main(argv: Sequence[str] | None = None, make: type[Server] = Server) -> None:
    """Serve until standard input ends; first say the port, then answer each line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--symbols", type=int, default=10)
    parser.add_argument("--delay", type=float, default=0.0)
    options = parser.parse_args(argv)
    server = make(options.symbols, options.delay)
    print(server.proxy.port if server.proxy else server.port, flush=True)
    for line in sys.stdin:
        print(json.dumps(server.obey(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
