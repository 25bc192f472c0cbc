"""All pairs of Kraken at once: processor time and memory, and whether the memory grows."""

from __future__ import annotations

import gc
import json
import queue
import statistics
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from common import Child, Figure, is_quick, median_ratio, memory_mb, print_figures
from throughput import bare_connection
from wire import Wire, symbols_of

SYMBOLS = 1_500
RATE = 2_000


def follow(rest_url: str, ws_url: str, has_listener: bool = True, gather_for: float = -1) -> None:
    """Follow all symbols; for each line read, print what has been used so far."""
    from kraken_api import KrakenAPI
    from krakenlink.stream.settings import DEFAULT_SETTINGS

    usual = DEFAULT_SETTINGS
    settings = replace(usual, gather_for=gather_for) if gather_for >= 0 else usual
    bare = memory_mb()
    api = KrakenAPI(base_url=rest_url, ws_url=ws_url, feed_settings=settings)
    provider = api.price_provider()
    assert provider is not None
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    reader = provider.open_feed(sink=inbox) if has_listener else None

    def drain() -> None:
        while True:
            inbox.get()

    threading.Thread(target=drain, daemon=True).start()
    for symbol in symbols_of(SYMBOLS):
        provider.subscribe_symbol(symbol)
    for symbol in symbols_of(SYMBOLS):
        assert provider.wait_for_tick(symbol, 20.0), f"{symbol} brings no price"
    # What the audit does once a minute: the first one loads the list of pairs.
    for _ in range(3):
        api.get_tickers(symbols_of(SYMBOLS))
    gc.collect()

    def used() -> dict[str, float]:
        health = provider.health()
        return {
            "memory": memory_mb(),
            "bare": bare,
            "messages": health.messages,
            "reconnects": health.reconnects,
            "backlog": reader.backlog if reader is not None else 0,
        }

    answer_with(used)


def drop(rest_url: str, ws_url: str, decode: bool = False) -> None:
    """Read the same bytes in a bare loop and drop them, or decode each message with `json`."""
    connection = bare_connection(ws_url, SYMBOLS)
    sock: Any = connection.sock  # untyped
    sock.settimeout(None)
    count = 0

    def read() -> None:
        nonlocal count
        buffer = b""
        while True:
            buffer += sock.recv(65536)
            at = 0
            while len(buffer) - at >= 4:
                start = at + 4 if buffer[at + 1] == 126 else at + 2
                length = int.from_bytes(buffer[at + 2 : start], "big") or buffer[at + 1]
                if start + length > len(buffer):
                    break
                if decode:
                    json.loads(buffer[start : start + length])
                at, count = start + length, count + 1
            buffer = buffer[at:]

    threading.Thread(target=read, daemon=True).start()
    answer_with(lambda: {"messages": count})


def answer_with(used: Callable[[], dict[str, float]]) -> None:
    """Print what was used up to now, for each line that is read."""
    print(json.dumps("ready"), flush=True)
    for _ in sys.stdin:
        spent = {"cpu": time.process_time(), "at": time.perf_counter()}
        print(json.dumps({**spent, **used()}), flush=True)


SUBJECTS: dict[str, Callable[[str, str], None]] = {
    "listener": follow,
    "cache": partial(follow, has_listener=False),
    "at_once": partial(follow, gather_for=0.0),
    "decode": partial(drop, decode=True),
    "drop": drop,
}


def measure(subject: str, seconds: float, parts: int) -> list[dict[str, float]]:
    """Return samples of a run of `seconds`, the first one after a while of warming up."""
    with Wire(symbols=SYMBOLS) as wire:
        child = Child("load.py", subject, wire.rest_url, wire.ws_url, stdin=True)
        try:
            child.read()
            wire.ask("flood", count=10**9, rate=RATE, background=True)
            time.sleep(3.0)
            samples = [child.ask()]
            for _ in range(parts):
                time.sleep(seconds / parts)
                samples.append(child.ask())
            wire.ask("stop_flood")
        finally:
            child.kill()
    return samples


def share_of_core(samples: list[dict[str, float]]) -> float:
    """Return the processor time between the first and the last sample, in percent of a core."""
    start, end = samples[0], samples[-1]
    return 100 * (end["cpu"] - start["cpu"]) / (end["at"] - start["at"])


def soak_seconds() -> float:
    """Return how long to run: short, longer, or the minutes after `--soak`."""
    if "--soak" in sys.argv:
        return 60 * float(sys.argv[sys.argv.index("--soak") + 1])
    return 6.0 if is_quick() else 30.0


def processor(shares: dict[str, list[float]]) -> Figure:
    """Return the figure for the processor from shares of a core, by subject."""
    of = {name: statistics.median(found) for name, found in shares.items()}
    ratio = median_ratio(shares["cache"], shares["decode"])
    return Figure(
        f"processor at {SYMBOLS:,} symbols and {RATE:,} messages a second",
        f"{of['cache']:.1f} % of a core with prices in the cache; {of['listener']:.1f} % with a "
        "listener in another thread, too",
        f"that listener without gathering (`gather_for=0`, as in `ttslo.py`) {of['at_once']:.1f} "
        f"%; a bare loop that decodes each message with `json` and drops it {of['decode']:.1f} % "
        f"(the cache takes {ratio:.2f} x of it)",
        "under 5 % of a core; the cache 0.8 x of the loop with `json`",
        of["listener"] < 5 and of["cache"] < 5 and ratio <= 0.8,
        f"{of['drop']:.1f} %, a bare loop that finds the frames and drops them",
        "Waking up costs more than a message: at this pace they come one or two at a time, and "
        "each finds the processor's caches cold. So above 1,000 a second they gather for 5 ms, by "
        "which a price is then late at most; "
        "a listener is woken once more, and two threads then pass on the interpreter's lock.",
    )


def memory(samples: list[dict[str, float]]) -> Figure:
    """Return the figure for memory from samples of one run."""
    start, end = samples[0], samples[-1]
    growth = end["memory"] - start["memory"]
    late_growth = end["memory"] - samples[len(samples) * 2 // 5]["memory"]
    return Figure(
        f"memory with {SYMBOLS:,} symbols at that load",
        f"{end['memory']:.1f} MB; {growth:+.2f} MB in {end['at'] - start['at']:,.0f} s, "
        f"{late_growth:+.2f} MB of it in the last three fifths; longest queue seen "
        f"{max(sample['backlog'] for sample in samples):,.0f} events",
        "",
        "under 60 MB; flat",
        end["memory"] < 60 and late_growth < 1.0,
        f"{start['bare']:.1f} MB, the imports alone",
        "Python and requests; the list of pairs, which the audit loads with its first call; a "
        "symbol with its price takes 1 kB. A machine that is busy with other things lets the "
        "listener's queue grow for a while, and the memory keeps its size.",
    )


def main() -> None:
    """Measure, and print the figures."""
    rounds, seconds = (1, 2.0) if is_quick() else (3, 3.0)
    shares: dict[str, list[float]] = {name: [] for name in SUBJECTS}
    for _ in range(rounds):
        for name, found in shares.items():
            found.append(share_of_core(measure(name, seconds, 1)))
    wanted = soak_seconds()
    samples = measure("listener", wanted, max(5, int(wanted / 60)))
    print_figures([processor(shares), memory(samples)])


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in SUBJECTS:
        SUBJECTS[sys.argv[1]](*sys.argv[2:])
    else:
        main()
