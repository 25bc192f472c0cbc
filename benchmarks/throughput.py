"""Frames into cache and triggers: how many a second one core takes, beside other clients.

Each client is a process of its own and gets the same frames from the same server, as fast as it
reads them, of one channel: tickers, or trades. Who takes trades in must have each of them in the
end. Counted is processor time of the client's process, all threads and the kernel's part included,
because that is "one core" also on a machine that does other things meanwhile.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import queue
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from common import Child, Figure, is_quick, median_ratio, print_figures
from wire import LAST_FRAME, Wire, symbols_of, trades_in

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

    def end(self, trades: int | None = None) -> None:
        """Print what was measured, and how many trades there were, where any were looked for."""
        cpu, wall = time.process_time() - self._cpu, time.perf_counter() - self._wall
        found = {"cpu": self._expected / cpu, "wall": self._expected / wall, "trades": trades}
        print(json.dumps(found), flush=True)


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


def run_ours_trades(url: str, expected: int) -> None:
    """Our provider, a reader of its events and the watch of `ttslo.py` with 50 rules."""
    from krakenlink.stream.events import Channel, ChannelLive, Trades
    from ws_price_provider import WebSocketPriceProvider

    symbols = symbols_of(SYMBOLS)
    watch = _watch_of(symbols)
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    provider = WebSocketPriceProvider(url)
    reader = provider.open_feed(sink=inbox)
    for symbol in symbols:
        provider.subscribe_symbol(symbol, Channel.TRADE)
    live = 0
    while live < SYMBOLS:
        live += type(inbox.get()) is ChannelLive
    meter, count = Meter(expected), 0
    meter.start()
    while True:
        event = inbox.get()
        if type(event) is Trades:
            watch.trades(event)
            count += len(event.prints)
            if meter.count():
                break
    meter.end(count)
    reader.close()
    provider.stop()


def _watch_of(symbols: Sequence[str]) -> Any:
    """Return the watch of a program with a rule for half of the symbols, far from their prices."""
    from decimal import Decimal

    from krakenlink.machine import feed_clock
    from ttslo_app.clocks import Clocks
    from ttslo_app.messages import BookArm, Market
    from ttslo_app.rules.rule import Direction, Rule, ThresholdType, WhenBlind
    from ttslo_app.watch.watch import Watch

    watch = Watch(
        submit=print,
        say=print,
        want=lambda *_: None,
        present=lambda _: None,
        clocks=Clocks(time.time, time.time, feed_clock),
        default=WhenBlind.ALWAYS,
    )
    one = Decimal(1)
    for symbol in symbols[:ARMED]:
        level, kind, side = Decimal(90_000), ThresholdType.ABOVE, Direction.SELL
        rule = Rule(symbol, symbol, level, kind, side, one, one, enabled=True)
        watch.arm(BookArm(rule, Market(symbol, symbol, symbol)))
    return watch


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


def run_floor(url: str, expected: int, channel: str = "ticker") -> None:
    """Find the frames in the bytes that come, and do nothing with them."""
    connection = bare_connection(url, channel=channel)
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


def bare_connection(url: str, count: int = SYMBOLS, channel: str = "ticker") -> Any:  # untyped
    """Return a connection of websocket-client on which `count` symbols are subscribed."""
    import websocket

    connection = websocket.create_connection(url, skip_utf8_validation=True)
    params = {"channel": channel, "symbol": symbols_of(count)}
    connection.send(json.dumps({"method": "subscribe", "params": params}))
    # The status, and for each symbol an answer, and a snapshot of its ticker.
    for _ in range(1 + (2 if channel == "ticker" else 1) * count):
        connection.recv()
    return connection


def run_bare(url: str, expected: int, channel: str = "ticker") -> None:
    """websocket-client in a loop that throws away what it receives: no JSON, no cache."""
    connection = bare_connection(url, channel=channel)
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


def run_bare_json_trades(url: str, expected: int) -> None:
    """The same with a list of the trades of each symbol."""
    connection = bare_connection(url, channel="trade")
    trades: dict[str, list[Any]] = {symbol: [] for symbol in symbols_of(SYMBOLS)}
    meter = Meter(expected)
    meter.start()
    while True:
        message = json.loads(connection.recv())
        if message["channel"] == "trade":
            for trade in message["data"]:
                trades[trade["symbol"]].append(trade)
            if meter.count():
                break
    meter.end(sum(map(len, trades.values())))
    connection.close()


def run_sdk_trades(url: str, expected: int) -> None:
    """python-kraken-sdk with a callback that keeps every trade."""
    asyncio.run(_sdk_trades(url, expected))


async def _sdk_trades(url: str, expected: int) -> None:
    from kraken.spot import SpotWSClient

    trades: dict[str, list[Any]] = {symbol: [] for symbol in symbols_of(SYMBOLS)}
    done, meter = asyncio.Event(), Meter(expected)
    answers = 0

    async def on_message(message: Any) -> None:  # JSON of any shape
        nonlocal answers
        if message.get("method") == "subscribe":
            answers += 1
            if answers == SYMBOLS:
                meter.start()
        if message.get("channel") != "trade":
            return
        for trade in message["data"]:
            trades[trade["symbol"]].append(trade)
        if meter.count():
            done.set()

    client = SpotWSClient(callback=on_message, ws_url=url.removesuffix("/v2"))
    await client.start()
    await client.subscribe(params={"channel": "trade", "symbol": symbols_of(SYMBOLS)})
    await done.wait()
    meter.end(sum(map(len, trades.values())))
    sys.stdout.flush()
    importlib.import_module("os")._exit(0)


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


def run_ccxt_trades(url: str, expected: int) -> None:
    """ccxt.pro with the loop that its manual shows: `await watch_trades_for_symbols(...)`."""
    asyncio.run(_ccxt_trades(url, expected))


async def _ccxt_trades(url: str, expected: int) -> None:
    client = ccxt_client(url)
    symbols = symbols_of(SYMBOLS)
    client.options["tradesLimit"] = trades_in(expected, SYMBOLS)  # or it keeps the last thousand
    meter, done = Meter(expected), asyncio.Event()
    handle, hear, answers = client.handle_trades, client.handle_message, 0

    def counted(socket: Any, message: Any) -> None:
        handle(socket, message)
        if meter.count():
            done.set()

    def heard(socket: Any, message: Any) -> None:
        nonlocal answers
        hear(socket, message)
        if message.get("method") == "subscribe":
            answers += 1
            if answers == SYMBOLS:
                meter.start()

    client.handle_trades, client.handle_message = counted, heard

    async def watch() -> None:
        while True:
            await client.watch_trades_for_symbols(symbols)

    watcher = asyncio.ensure_future(watch())
    await done.wait()
    meter.end(sum(map(len, client.trades.values())))
    watcher.cancel()
    await asyncio.gather(watcher, return_exceptions=True)
    await client.close()


TICKERS: dict[str, Callable[[str, int], None]] = {
    "ours": run_ours,
    "cache": run_cache,
    "ccxt": run_ccxt,
    "sdk": run_sdk,
    "bare": run_bare,
    "bare_json": run_bare_json,
    "floor": run_floor,
}
TRADES: dict[str, Callable[[str, int], None]] = {
    "ours_trades": run_ours_trades,
    "ccxt_trades": run_ccxt_trades,
    "sdk_trades": run_sdk_trades,
    "bare_trades": partial(run_bare, channel="trade"),
    "bare_json_trades": run_bare_json_trades,
    "floor_trades": partial(run_floor, channel="trade"),
}
SUBJECTS = TICKERS | TRADES
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
            wire.ask("flood_trades" if subject in TRADES else "flood", count=count)
            found: dict[str, float] = child.read()
        finally:
            child.kill()
    return found


class Rates:
    """Messages a second of the clients of one channel, by processor and by clock, each in turn."""

    def __init__(self, subjects: Iterable[str]) -> None:
        self.cpu: dict[str, list[float]] = {name: [] for name in subjects}
        self.wall: dict[str, list[float]] = {name: [] for name in subjects}

    def take_turns(self, count: int) -> None:
        """Measure each client once."""
        for name in self.cpu:
            try:
                one = measure(name, count)
            except RuntimeError:
                continue  # that peer is not installed
            if one["trades"] not in (None, wanted := trades_in(count, SYMBOLS)):
                raise SystemExit(f"{name} has {one['trades']} trades of {wanted}")
            self.cpu[name].append(one["cpu"])
            self.wall[name].append(one["wall"])

    def times(self, name: str) -> float:
        """Return how many times as many ours takes in; infinite where `name` is not here."""
        ours, theirs = (self._of(one) for one in ("ours", name))
        return median_ratio(ours, theirs) if len(theirs) == len(ours) else float("inf")

    def rate(self, name: str) -> float:
        """Return the median of one client by processor."""
        return statistics.median(self._of(name))

    def _of(self, name: str) -> list[float]:
        return next((found for key, found in self.cpu.items() if _is_of(key, name)), [])

    @property
    def beside(self) -> str:
        """All others, each with the ratio."""
        return "; ".join(
            f"{text} {self.rate(name):,.0f} ({self.times(name):.2f} x)"
            for name, text in NAMES.items()
            if self._of(name) and self.times(name) < float("inf")
        )

    def is_reached(self, bare: float, peer: float) -> bool:
        """Tell whether ours takes in so many times what a bare loop and the faster peer do."""
        peers = [self.times(name) for name in ("ccxt", "sdk") if self._of(name)]
        return self.times("bare") >= bare and bool(peers) and min(peers) >= peer


def _is_of(subject: str, name: str) -> bool:
    return subject in (name, f"{name}_trades")


def ticker_figure(rates: Rates) -> Figure:
    """Return the figure of tickers."""
    ours = rates.rate("ours")
    return Figure(
        "frame to cache and triggers, ticker messages a second on one core",
        f"{ours:,.0f} ({statistics.median(rates.wall['ours']):,.0f} by the clock on the wall)",
        rates.beside,
        "100,000; 1.6 x the bare loop; 5 x the faster of ccxt.pro and python-kraken-sdk",
        ours >= 100_000 and rates.is_reached(bare=1.6, peer=5.0),
        f"{rates.rate('floor'):,.0f}, finding frames in bytes, no more",
        "One frame costs a walk over 330 characters of JSON, three decimals, a lock, a frozen "
        "event and a queue that carries it to another thread.",
    )


def trade_figure(rates: Rates) -> Figure:
    """Return the figure of trades."""
    a_frame = trades_in(1_000, SYMBOLS) / 1_000
    return Figure(
        f"frame to triggers, frames of trades a second on one core, {a_frame:.1f} trades in each",
        f"{rates.rate('ours'):,.0f}",
        f"{rates.beside}; both peers and the loop with json kept every trade",
        "1.2 x the bare loop; 4 x the faster of ccxt.pro and python-kraken-sdk",
        rates.is_reached(bare=1.2, peer=4.0),
        f"{rates.rate('floor'):,.0f}, finding frames in bytes, no more",
        "Beside what a ticker costs, each trade is an object of its own, its number is compared "
        "with the one before, and its moment is read: what is old fires nothing unasked.",
    )


def main() -> None:
    """Measure all clients in turns, and print the figures."""
    rounds, count = (2, 20_000) if is_quick() else (3, 40_000)
    tickers, trades = Rates(TICKERS), Rates(TRADES)
    for _ in range(rounds):
        tickers.take_turns(count)
        trades.take_turns(count)
    print_figures([ticker_figure(tickers), trade_figure(trades)])


if __name__ == "__main__":
    if len(sys.argv) > 3:
        SUBJECTS[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
    else:
        main()
