"""Frames into cache and triggers: how many a second one core takes, beside other clients.

Each client is a process of its own and gets the same frames from the same server, as fast as it
reads them. Counted is processor time of the client's process, all threads and the kernel's part
included, because that is "one core" also on a machine that does other things meanwhile.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import queue
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from common import Child, Figure, is_quick, median_ratio, print_figures
from wire import LAST_FRAME, Wire, symbols_of

SYMBOLS = 100
ARMED = 50


class Meter:
    """Counts messages and takes processor time from the first to the last of them."""

    def __init__(self, expected: int) -> None:
        self._left = self._expected = expected
        self._cpu = self._wall = 0.0

    def start(self) -> None:
        """Say that the subscriptions stand, and start both clocks."""
        self._cpu, self._wall = time.process_time(), time.perf_counter()
        print(json.dumps("ready"), flush=True)

    def count(self) -> bool:
        """Count a message; True at the last one."""
        self._left -= 1
        return not self._left

    def end(self) -> None:
        """Print what was measured."""
        cpu, wall = time.process_time() - self._cpu, time.perf_counter() - self._wall
        print(json.dumps({"cpu": self._expected / cpu, "wall": self._expected / wall}), flush=True)


def run_ours(url: str, expected: int) -> None:
    """Our provider, a reader of its events and a rule book of 50 rules that none of them fires."""
    from decimal import Decimal

    from krakenlink.stream.events import Tick
    from ttslo_app.rules.rule import ThresholdType
    from ttslo_app.watch.rulebook import RuleBook
    from ws_price_provider import WebSocketPriceProvider

    symbols = symbols_of(SYMBOLS)
    book = RuleBook()
    for symbol in symbols[:ARMED]:
        book.arm(symbol, symbol, Decimal(90_000), ThresholdType.ABOVE)
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    provider = WebSocketPriceProvider(url)
    reader = provider.open_feed(sink=inbox)
    for symbol in symbols:
        provider.subscribe_symbol(symbol)
    for symbol in symbols:
        provider.wait_for_tick(symbol, 5.0)
    with suppress(queue.Empty):
        while True:
            inbox.get(timeout=0.1)
    meter = Meter(expected)
    meter.start()
    while True:
        event = inbox.get()
        if type(event) is Tick:
            book.crossed(event.symbol, event.price)
            if meter.count():
                break
    meter.end()
    reader.close()
    provider.stop()


def run_cache(url: str, expected: int) -> None:
    """Our provider alone: the cache, without a reader and without rules."""
    from ws_price_provider import WebSocketPriceProvider

    symbols = symbols_of(SYMBOLS)
    provider = WebSocketPriceProvider(url)
    for symbol in symbols:
        provider.subscribe_symbol(symbol)
    for symbol in symbols:
        provider.wait_for_tick(symbol, 5.0)
    before = provider.health().messages
    meter = Meter(expected)
    meter.start()
    while provider.health().messages - before < expected:
        time.sleep(0.05)
    meter.end()
    provider.stop()


def run_floor(url: str, expected: int) -> None:
    """Find the frames in the bytes that come, and do nothing with them."""
    connection = bare_connection(url)
    sock: Any = connection.sock  # untyped
    meter = Meter(expected)
    meter.start()
    buffer, is_over = b"", False
    while not is_over:
        buffer, at = buffer + sock.recv(65536), 0
        while len(buffer) - at >= 4:
            start = at + 4 if buffer[at + 1] == 126 else at + 2
            length = int.from_bytes(buffer[at + 2 : start], "big") or buffer[at + 1]
            if start + length > len(buffer):
                break
            at = start + length
            is_over = meter.count() or is_over
        buffer = buffer[at:]
    meter.end()
    connection.close()


def bare_connection(url: str, count: int = SYMBOLS) -> Any:  # the library is untyped
    """Return a connection of websocket-client on which `count` symbols have had their snapshot."""
    import websocket

    connection = websocket.create_connection(url, skip_utf8_validation=True)
    params = {"channel": "ticker", "symbol": symbols_of(count)}
    connection.send(json.dumps({"method": "subscribe", "params": params}))
    for _ in range(2 * count + 1):
        connection.recv()
    return connection


def run_bare(url: str, expected: int) -> None:
    """websocket-client in a loop that throws away what it receives: no JSON, no cache."""
    connection = bare_connection(url)
    meter = Meter(expected)
    meter.start()
    while connection.recv() != LAST_FRAME:
        pass
    meter.end()
    connection.close()


def run_bare_json(url: str, expected: int) -> None:
    """The same loop with `json.loads` and a dict of last prices."""
    connection = bare_connection(url)
    prices: dict[str, float] = {}
    meter = Meter(expected)
    meter.start()
    while True:
        message = json.loads(connection.recv())
        if message["channel"] == "ticker":
            prices[message["data"][0]["symbol"]] = message["data"][0]["last"]
            if meter.count():
                break
    meter.end()
    connection.close()


def run_sdk(url: str, expected: int) -> None:
    """python-kraken-sdk with a callback that keeps the last price."""
    asyncio.run(_sdk(url, expected))


async def _sdk(url: str, expected: int) -> None:
    from kraken.spot import SpotWSClient

    prices: dict[str, float] = {}
    done, meter = asyncio.Event(), Meter(expected)
    snapshots = 0

    async def on_message(message: Any) -> None:  # JSON of any shape
        nonlocal snapshots
        if message.get("channel") != "ticker":
            return
        prices[message["data"][0]["symbol"]] = message["data"][0]["last"]
        if message["type"] == "snapshot":
            snapshots += 1
            if snapshots == SYMBOLS:
                meter.start()
        elif meter.count():
            done.set()

    client = SpotWSClient(callback=on_message, ws_url=url.removesuffix("/v2"))
    await client.start()
    await client.subscribe(params={"channel": "ticker", "symbol": symbols_of(SYMBOLS)})
    await done.wait()
    meter.end()
    sys.stdout.flush()
    # Its own end waits ten seconds for a last message.
    importlib.import_module("os")._exit(0)


def ccxt_client(url: str) -> Any:  # its classes are untyped
    """Return ccxt.pro's Kraken client for the markets of the server."""
    pro: Any = importlib.import_module("ccxt.pro")
    client = pro.kraken({"enableRateLimit": False})
    client.urls["api"]["ws"]["publicV2"] = url
    client.set_markets([_ccxt_market(symbol) for symbol in symbols_of(SYMBOLS)])
    return client


def _ccxt_market(symbol: str) -> dict[str, Any]:
    base, _, quote = symbol.partition("/")
    return {
        "id": symbol,
        "symbol": symbol,
        "base": base,
        "quote": quote,
        "baseId": base,
        "quoteId": quote,
        "active": True,
        "type": "spot",
        "spot": True,
        "contract": False,
        "info": {"wsname": symbol},
        "precision": {},
        "limits": {},
    }


def run_ccxt(url: str, expected: int) -> None:
    """ccxt.pro with the loop that its manual shows: `await watch_tickers(...)`."""
    asyncio.run(_ccxt(url, expected))


async def _ccxt(url: str, expected: int) -> None:
    client = ccxt_client(url)
    symbols = symbols_of(SYMBOLS)
    meter, done = Meter(expected), asyncio.Event()
    handle = client.handle_ticker

    def counted(socket: Any, message: Any) -> None:
        handle(socket, message)
        if message["type"] == "update" and meter.count():
            done.set()

    client.handle_ticker = counted

    async def watch() -> None:
        while True:
            await client.watch_tickers(symbols)

    await client.watch_tickers(symbols)
    while len(client.tickers) < SYMBOLS:
        await asyncio.sleep(0.01)
    meter.start()
    watcher = asyncio.ensure_future(watch())
    await done.wait()
    meter.end()
    watcher.cancel()
    await asyncio.gather(watcher, return_exceptions=True)
    await client.close()


SUBJECTS: dict[str, Callable[[str, int], None]] = {
    "ours": run_ours,
    "cache": run_cache,
    "ccxt": run_ccxt,
    "sdk": run_sdk,
    "bare": run_bare,
    "bare_json": run_bare_json,
    "floor": run_floor,
}
NAMES = {
    "cache": "our cache alone, no triggers",
    "ccxt": "ccxt.pro",
    "sdk": "python-kraken-sdk",
    "bare": "a bare websocket-client loop that drops every frame",
    "bare_json": "the same loop with json and a dict",
}


def measure(subject: str, count: int) -> dict[str, float]:
    """Let one client take in `count` messages; messages a second by processor and by clock."""
    with Wire(symbols=SYMBOLS) as wire:
        child = Child("throughput.py", subject, wire.ws_url, count)
        try:
            child.read()
            wire.ask("flood", count=count)
            found: dict[str, float] = child.read()
        finally:
            child.kill()
    return found


def main() -> None:
    """Measure all clients in turns, and print the figure."""
    rounds, count = (2, 20_000) if is_quick() else (3, 40_000)
    rates: dict[str, list[float]] = {name: [] for name in SUBJECTS}
    walls: list[float] = []
    for _ in range(rounds):
        for name, found in rates.items():
            try:
                one = measure(name, count)
            except RuntimeError:
                continue  # that peer is not installed
            found.append(one["cpu"])
            if name == "ours":
                walls.append(one["wall"])
    ours = statistics.median(rates["ours"])
    beside = [
        f"{text} {statistics.median(rates[name]):,.0f} "
        f"({median_ratio(rates['ours'], rates[name]):.2f} x)"
        for name, text in NAMES.items()
        if len(rates[name]) == rounds
    ]
    peers = [statistics.median(rates[name]) for name in ("ccxt", "sdk") if rates[name]]
    print_figures(
        [
            Figure(
                "frame to cache and triggers, ticker messages a second on one core",
                f"{ours:,.0f} ({statistics.median(walls):,.0f} by the clock on the wall)",
                "; ".join(beside),
                "100,000; 2 x the faster of ccxt.pro and python-kraken-sdk",
                ours >= 100_000 and bool(peers) and ours >= 2 * max(peers),
                f"{statistics.median(rates['floor']):,.0f}, finding frames in bytes, no more",
                "One frame costs a walk over 330 characters of JSON, three decimals, a "
                "lock, a frozen event and a queue that carries it to another thread.",
            )
        ]
    )


if __name__ == "__main__":
    if len(sys.argv) > 3:
        SUBJECTS[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
    else:
        main()
