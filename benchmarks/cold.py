"""From nothing to a price: a cold process, a dropped connection, an import."""

from __future__ import annotations

import asyncio
import json
import queue
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from common import Child, Figure, environment, is_quick, median_ratio, print_figures
from wire import Wire

ROUND_TRIP = 0.05
PAIR, SYMBOL = "XBTUSD", "BTC/USD"


# --- measured programs, each a process of its own ------------------------------------------------


def first(rest_url: str, ws_url: str, pair: str) -> None:
    """Print the milliseconds that making a client takes, and then its first price."""
    from kraken_api import KrakenAPI

    before = time.perf_counter()
    api = KrakenAPI(base_url=rest_url, ws_url=ws_url)
    made = time.perf_counter()
    api.get_current_price(pair)
    end = time.perf_counter()
    print(json.dumps([1000 * (made - before), 1000 * (end - made)]), flush=True)
    provider = api.price_provider()
    assert provider is not None
    is_streamed = provider.fresh_tick(SYMBOL if pair == PAIR else pair) is not None
    assert is_streamed, "the price came over REST"
    api.close()
    provider.stop()


def first_polled(rest_url: str, ws_url: str, pair: str) -> None:
    """Do the same with a waiting loop of 100 ms steps, as the ancestor had; a stand-in."""
    from ws_price_provider import WebSocketPriceProvider

    provider = WebSocketPriceProvider(ws_url)
    before = time.perf_counter()
    provider.subscribe(pair)
    while provider.get_current_price(pair) is None:
        time.sleep(0.1)
    print(json.dumps([0.0, 1000 * (time.perf_counter() - before)]), flush=True)
    provider.stop()


def handshake(port: int) -> float:
    """Return the milliseconds of TCP and WebSocket handshake alone, by a bare socket."""
    before = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(
            b"GET /v2 HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade"
            b"\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        sock.recv(4096)
        return 1000 * (time.perf_counter() - before)


def reconnect_ours(url: str) -> None:
    """Print the moment of each first price of a connection."""
    from krakenlink.stream.events import FirstData
    from ws_price_provider import WebSocketPriceProvider

    provider = WebSocketPriceProvider(url)
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    reader = provider.open_feed(sink=inbox)
    provider.subscribe_symbol(SYMBOL)
    while reader.backlog >= 0:
        if isinstance(reader.get(), FirstData):
            print(json.dumps(time.perf_counter_ns()), flush=True)


def reconnect_ccxt(url: str) -> None:
    """Print the moment of each ticker, in the loop of its manual, with errors tried again."""
    from throughput import ccxt_client

    async def watch() -> None:
        client = ccxt_client(url)
        while True:
            # It raises whatever its base classes say; the manual tries again after any error.
            with suppress(Exception):
                await client.watch_ticker(SYMBOL)
                print(json.dumps(time.perf_counter_ns()), flush=True)

    asyncio.run(watch())


def reconnect_sdk(url: str) -> None:
    """Print the moment of each ticker; it reconnects by itself."""
    import logging

    from kraken.spot import SpotWSClient

    logging.disable(logging.CRITICAL)

    async def on_message(message: Any) -> None:  # JSON of any shape
        if message.get("channel") == "ticker":
            print(json.dumps(time.perf_counter_ns()), flush=True)

    async def watch() -> None:
        client = SpotWSClient(callback=on_message, ws_url=url.removesuffix("/v2"))
        await client.start()
        await client.subscribe(params={"channel": "ticker", "symbol": [SYMBOL]})
        await asyncio.sleep(3600)

    asyncio.run(watch())


# --- first price ---------------------------------------------------------------------------------


def milliseconds(what: str, wire: Wire, pair: str, runs: int) -> tuple[float, float]:
    """Return the medians of what `runs` cold processes print: making a client, a first price."""
    found: list[tuple[float, float]] = []
    for _ in range(runs):
        child = Child("cold.py", what, wire.rest_url, wire.ws_url, pair)
        found.append(child.read())
        child.end()
    making, price = map(statistics.median, zip(*found, strict=True))
    return making, price


def first_price() -> list[Figure]:
    """Measure the first price of a cold process, on loopback and with a round trip of 50 ms."""
    runs = 3 if is_quick() else 7
    with Wire() as wire:
        making, near = milliseconds("first", wire, PAIR, runs)
        _, near_polled = milliseconds("first_polled", wire, PAIR, runs)
    with Wire(delay=ROUND_TRIP / 2) as wire:
        bare = statistics.median(handshake(wire.port) for _ in range(runs))
        _, far = milliseconds("first", wire, PAIR, runs)
        _, far_polled = milliseconds("first_polled", wire, PAIR, runs)
        _, other = milliseconds("first", wire, "SOL/USD", runs)
    more, other_more = ((t - bare) / (1000 * ROUND_TRIP) for t in (far, other))
    return [
        Figure(
            "first price from a cold process, 50 ms of simulated round trip",
            f"{far:.0f} ms: {more:.2f} round trips more than the handshake; "
            f"{near:.1f} ms on loopback; before that {making:.0f} ms to make the client, which "
            "loads the modules of the stream",
            f"the handshake alone {bare:.0f} ms; a loop that looks every 100 ms (stand-in) "
            f"{far_polled:.0f} ms and {near_polled:.0f} ms",
            "under 2 round trips more than the handshake",
            more < 2,
            "1 round trip: to subscribe",
            "The subscription cannot leave before the handshake is answered.",
        ),
        Figure(
            "the same for a pair that only Kraken's listing knows (`SOL/USD`)",
            f"{other:.0f} ms: {other_more:.2f} round trips more than the handshake",
            f"a pair of the built-in table: {far:.0f} ms",
            "under 2 round trips more than the handshake",
            other_more < 2,
            "1 round trip, if Kraken is asked for the name while the stream connects",
            "Before it may subscribe, the client asks REST for the one pair, so that no symbol is "
            "ever guessed.",
        ),
    ]


# --- reconnecting --------------------------------------------------------------------------------


def blind_times(who: str, wire: Wire, drops: int) -> list[float]:
    """Return the milliseconds from each drop to the next price."""
    child = Child("cold.py", f"reconnect_{who}", wire.ws_url)
    found = []
    try:
        child.read()
        for _ in range(drops):
            wire.wait_until(lambda seen: seen["peers"] >= 1)
            time.sleep(0.1)
            at = wire.ask("drop")
            found.append((child.read() - at) / 1e6)
    finally:
        child.kill()
    return found


def reconnect() -> Figure:
    """Measure the time without a price after a dropped connection."""
    # The second retry in a row waits a second, and must: so each drop gets its own process.
    runs = 2 if is_quick() else 5
    with Wire() as wire:
        near = [t for _ in range(runs) for t in blind_times("ours", wire, 1)]
    beside = ["the ancestor: never"]
    for who, name in (("ccxt", "ccxt.pro"), ("sdk", "python-kraken-sdk")):
        try:
            with Wire() as wire:
                theirs = [
                    t for _ in range(1 if is_quick() else 2) for t in blind_times(who, wire, 1)
                ]
        except RuntimeError:
            continue  # not installed
        beside.append(
            f"{name} {statistics.median(theirs):,.0f} ms "
            f"({statistics.median(theirs) / statistics.median(near):,.0f} x)"
        )
    with Wire(delay=ROUND_TRIP / 2) as wire:
        far = [t for _ in range(runs) for t in blind_times("ours", wire, 1)]
        bare = statistics.median(handshake(wire.port) for _ in range(runs))
    # The news of the drop takes half a round trip to arrive.
    trips = statistics.median(far) / (1000 * ROUND_TRIP)
    return Figure(
        "reconnect: from a dropped connection to the first fresh price",
        f"{statistics.median(near):.1f} ms on loopback; {statistics.median(far):.0f} ms with a "
        f"round trip of 50 ms: {trips:.2f} round trips",
        "; ".join(beside),
        "under 150 ms on loopback; under 4 round trips",
        statistics.median(near) < 150 and trips < 4,
        f"2.5 round trips: the news, a handshake ({bare:.0f} ms), a subscription",
        "The first retry goes out at once; after that it is round trips alone.",
        {"drop to first fresh price, loopback": near},
    )


# --- importing -----------------------------------------------------------------------------------

# Of the processor's time, which other programs hardly change.
_IMPORT = "import time; b = time.process_time(); import {}; print(time.process_time() - b)"


def import_time() -> Figure:
    """Measure what importing costs, in fresh processes that take turns."""
    runs = 15 if is_quick() else 40
    taken: dict[str, list[float]] = {"kraken_api": [], "requests": []}
    for _ in range(runs + 1):
        for module, found in taken.items():
            printed = subprocess.run(  # noqa: S603 - our own line
                [sys.executable, "-c", _IMPORT.format(module)],
                capture_output=True,
                text=True,
                check=True,
                env=environment(),
            ).stdout
            found.append(1000 * float(printed))
    for found in taken.values():
        del found[0]  # the first one may have had to compile
    ratio = median_ratio(taken["kraken_api"], taken["requests"])
    ours, theirs = (statistics.median(taken[name]) for name in ("kraken_api", "requests"))
    return Figure(
        "import of `kraken_api`",
        f"{ours:.0f} ms of the processor",
        f"`import requests` alone {theirs:.0f} ms ({ratio:.2f} x of it)",
        "under 1.15 x `import requests`",
        ratio < 1.15,
        f"{theirs:.0f} ms, requests",
        "requests takes most of it, our own modules the rest. The stream's are loaded when a "
        "client is made that may use it.",
    )


def main() -> None:
    """Measure, and print the figures."""
    print_figures([*first_price(), reconnect(), import_time()])


SUBJECTS: dict[str, Callable[..., None]] = {
    "first": first,
    "first_polled": first_polled,
    "reconnect_ours": reconnect_ours,
    "reconnect_ccxt": reconnect_ccxt,
    "reconnect_sdk": reconnect_sdk,
}

if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in SUBJECTS:
        SUBJECTS[sys.argv[1]](*sys.argv[2:])
    else:
        main()
