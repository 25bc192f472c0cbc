"""All pairs of Kraken at once: processor time and memory, and whether the memory grows."""

from __future__ import annotations

import gc
import json
import queue
import sys
import threading
import time
from typing import Any

from common import Child, Figure, is_quick, memory_mb, print_figures
from wire import Wire, symbols_of

SYMBOLS = 1_500
RATE = 2_000


def follow(rest_url: str, ws_url: str) -> None:
    """Follow all symbols; for each line read, print what has been used so far."""
    from kraken_api import KrakenAPI

    bare = memory_mb()
    api = KrakenAPI(base_url=rest_url, ws_url=ws_url)
    provider = api.price_provider()
    assert provider is not None
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    reader = provider.open_feed(sink=inbox)
    taken = 0

    def drain() -> None:
        nonlocal taken
        while True:
            inbox.get()
            taken += 1

    threading.Thread(target=drain, daemon=True).start()
    for symbol in symbols_of(SYMBOLS):
        provider.subscribe_symbol(symbol)
    for symbol in symbols_of(SYMBOLS):
        assert provider.wait_for_tick(symbol, 20.0), f"{symbol} brings no price"
    gc.collect()
    print(json.dumps("ready"), flush=True)
    for _ in sys.stdin:
        health = provider.health()
        print(
            json.dumps(
                {
                    "cpu": time.process_time(),
                    "at": time.perf_counter(),
                    "memory": memory_mb(),
                    "bare": bare,
                    "messages": health.messages,
                    "reconnects": health.reconnects,
                    "backlog": reader.backlog,
                }
            ),
            flush=True,
        )


def measure(seconds: float) -> list[dict[str, float]]:
    """Return samples of a run of `seconds`, the first one after a short while of warming up."""
    with Wire(symbols=SYMBOLS) as wire:
        child = Child("load.py", "follow", wire.rest_url, wire.ws_url, stdin=True)
        try:
            child.read()
            wire.ask("flood", count=10**9, rate=RATE, background=True)
            time.sleep(2.0)
            samples = [child.ask()]
            for _ in range(5):
                time.sleep(seconds / 5)
                samples.append(child.ask())
            wire.ask("stop_flood")
        finally:
            child.kill()
    return samples


def soak_seconds() -> float:
    """Return how long to run: short, longer, or the minutes after `--soak`."""
    if "--soak" in sys.argv:
        return 60 * float(sys.argv[sys.argv.index("--soak") + 1])
    return 6.0 if is_quick() else 60.0


def main() -> None:
    """Measure, and print the figures."""
    samples = measure(soak_seconds())
    start, end = samples[0], samples[-1]
    seconds = end["at"] - start["at"]
    share = 100 * (end["cpu"] - start["cpu"]) / seconds
    rate = (end["messages"] - start["messages"]) / seconds
    growth = end["memory"] - start["memory"]
    late_growth = end["memory"] - samples[2]["memory"]
    print_figures(
        [
            Figure(
                f"processor at {SYMBOLS:,} symbols and {RATE:,} messages a second",
                f"{share:.1f} % of a core ({rate:,.0f} messages a second, "
                f"{1e6 * share / 100 / rate:.1f} us each)",
                "",
                "under 5 % of a core",
                share < 5,
                "a system call to wait and one to read for each burst, about 5 us",
                "At this pace a frame or two come at a time: waiting for the socket and reading "
                "it cost more than the frame; a queue wakes the listener's thread for each.",
            ),
            Figure(
                f"memory with {SYMBOLS:,} symbols at that load",
                f"{end['memory']:.1f} MB; {growth:+.2f} MB in {seconds:.0f} s, "
                f"{late_growth:+.2f} MB of it in the last three fifths; longest queue seen "
                f"{max(sample['backlog'] for sample in samples):,.0f} events",
                "",
                "under 60 MB; flat",
                end["memory"] < 60 and late_growth < 1.0,
                f"{start['bare']:.1f} MB, the imports alone",
                "Python and requests; a symbol costs about 2 kB. A machine that is busy with other "
                "things lets the listener's queue grow for a while, and the memory keeps its size.",
            ),
        ]
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["follow"]:
        follow(*sys.argv[2:])
    else:
        main()
