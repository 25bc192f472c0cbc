"""The cached call: one thread beside its floor, and eight threads beside a fast feed."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from itertools import repeat

from common import Figure, is_quick, median_ratio, percentile, print_figures
from wire import Wire, symbols_of

from kraken_api import KrakenAPI
from krakenlink.machine import feed_clock

PAIR = "XBTUSD"
READERS = 8
RATE = 20_000


class LockedRead:
    """A dict read under a lock: what a shared cache costs at the very least in Python."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._prices = {PAIR: 50_000.0}

    def get_current_price(self, pair: str) -> float:
        """Return the price of `pair`."""
        with self._lock:
            return self._prices[pair]


class ClockAlone:
    """A call that asks the clock and no more: what proof of life costs at the very least."""

    def get_current_price(self, pair: str) -> float:
        """Return the time."""
        return feed_clock()


class _StandInProvider:
    """The provider's half of `AncestorStandIn`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._symbols = {PAIR: "XBT/USD"}
        self._subscribed = {PAIR}
        self._prices = {"XBT/USD": {"price": 50_000.0, "time": time.time()}}

    def subscribe(self, pair: str) -> None:
        """Subscribe unless that was done."""
        with self._lock:
            if pair not in self._subscribed:
                self._subscribed.add(pair)

    def get_current_price(self, pair: str) -> float | None:
        """Return the price of `pair` if it is young enough."""
        symbol = self._symbols.get(pair)
        with self._lock:
            entry = self._prices.get(symbol) if symbol else None
            if entry and time.time() - entry["time"] < 60.0:
                return entry["price"]
        return None


class AncestorStandIn:
    """A stand-in, written for this comparison, for the usual client with a stream behind it.

    It does what such a call does and no more: check the argument, fetch the shared provider
    under a lock, subscribe if need be, look the symbol up, read price and time under the lock
    and compare with the greatest age.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._use_websocket = True
        self._provider: _StandInProvider | None = _StandInProvider()

    def _get_provider(self) -> _StandInProvider:
        with self._lock:
            if self._provider is None:
                self._provider = _StandInProvider()
            return self._provider

    def get_current_price(self, pair: str) -> float:
        """Return the price of `pair`."""
        if not pair or not isinstance(pair, str):
            raise ValueError("pair parameter is required")
        if self._use_websocket:
            provider = self._get_provider()
            provider.subscribe(pair)
            price = provider.get_current_price(pair)
            if price is not None:
                return float(price)
        raise LookupError(pair)


def seconds_per_call(call: Callable[[str], object], count: int) -> float:
    """Return the mean time of a call, with the loop around it."""
    started = time.perf_counter()
    for pair in repeat(PAIR, count):
        call(pair)
    return (time.perf_counter() - started) / count


def one_thread(api: KrakenAPI) -> Figure:
    """Measure the call by one thread, in turns with what stands beside it."""
    rounds, count = (15, 10_000) if is_quick() else (60, 20_000)
    calls: dict[str, Callable[[str], object]] = {
        "ours": api.get_current_price,
        "locked": LockedRead().get_current_price,
        "ancestor": AncestorStandIn().get_current_price,
        "clock": ClockAlone().get_current_price,
    }
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            taken[name].append(seconds_per_call(call, count))
    nanoseconds = {name: statistics.median(values) * 1e9 for name, values in taken.items()}
    of_locked = median_ratio(taken["ours"], taken["locked"])
    of_ancestor = median_ratio(taken["ancestor"], taken["ours"])
    return Figure(
        "cached `KrakenAPI.get_current_price`, proof of life included",
        f"{nanoseconds['ours']:.0f} ns",
        f"a dict read under a lock {nanoseconds['locked']:.0f} ns ({of_locked:.2f} x of it); the "
        f"usual provider (stand-in) {nanoseconds['ancestor']:.0f} ns ({of_ancestor:.2f} x faster)",
        "at most 1.3 x the locked read; 2.5 x faster than the usual provider",
        of_locked <= 1.3 and of_ancestor >= 2.5,
        f"{nanoseconds['clock']:.0f} ns, one call that reads the clock",
        "Two Python calls and one reading of the clock, which proves that the price is alive and "
        "cannot be left out. No lock: price and proof are looked at, and the price once more.",
    )


class Reader(threading.Thread):
    """Asks for a price about every millisecond and notes how long each call took."""

    def __init__(self, call: Callable[[str], object], stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self._call, self._stopping = call, stop
        self.taken: list[float] = []
        self.idle: list[float] = []

    def run(self) -> None:
        """Ask until told to stop."""
        clock = time.perf_counter
        while not self._stopping.wait(0.001):
            before = clock()
            self._call(PAIR)
            between = clock()
            after = clock()
            self.taken.append(between - before)
            self.idle.append(after - between)


def read_for(call: Callable[[str], object], run: Callable[[], None]) -> list[Reader]:
    """Let the readers read while `run` runs, and return them."""
    stop = threading.Event()
    readers = [Reader(call, stop) for _ in range(READERS)]
    for reader in readers:
        reader.start()
    run()
    stop.set()
    for reader in readers:
        reader.join()
    return readers


def eight_readers(api: KrakenAPI, wire: Wire, symbols: list[str]) -> Figure:
    """Measure the call by eight threads while the feed takes in 20,000 messages a second."""
    seconds = 2.0 if is_quick() else 8.0
    provider = api.price_provider()
    assert provider is not None
    for symbol in symbols:
        provider.subscribe_symbol(symbol)
    wire.wait_until(lambda seen: seen["acked"] >= len(symbols))

    quiet = read_for(api.get_current_price, lambda: time.sleep(seconds))
    sent = 0

    def flood() -> None:
        nonlocal sent
        sent = wire.ask("flood", count=int(seconds * RATE), rate=RATE)["sent"]

    before = sum(symbol.ticks for symbol in provider.health().symbols)
    loaded = read_for(api.get_current_price, flood)
    end = time.monotonic() + 5
    while (got := sum(s.ticks for s in provider.health().symbols) - before) < sent:
        if time.monotonic() > end:
            break
        time.sleep(0.01)

    alone = [1000 * t for reader in quiet for t in reader.taken]
    taken = [1000 * t for reader in loaded for t in reader.taken]
    noise = [1000 * t for reader in loaded for t in reader.idle]
    late = sum(t > 1.0 for t in taken)
    return Figure(
        f"the same with {READERS} threads and {RATE:,} messages a second",
        f"median {1000 * percentile(taken, 0.5):.1f} us, "
        f"99.9 % {1000 * percentile(taken, 0.999):.0f} us, longest {max(taken):.2f} ms "
        f"of {len(taken):,}; {late} over 1 ms; "
        f"{sent - got} of {sent:,} messages lost",
        f"itself without the feed: median {1000 * percentile(alone, 0.5):.1f} us, longest "
        f"{max(alone):.2f} ms",
        "no reader waits over 1 ms; no message lost",
        late == 0 and got >= sent,
        f"two readings of the clock with nothing in between: longest {max(noise):.2f} ms",
        "Python's one interpreter lock: a reader that gives it up inside the call gets it back "
        "when the feed's thread lets go, at most every 5 ms.",
        {"cached call, 8 readers, 20,000 messages/s": taken[:: max(1, len(taken) // 2000)]},
    )


def main() -> None:
    """Measure, and print the figures."""
    symbols = symbols_of(100)
    with Wire(symbols=100) as wire:
        api = KrakenAPI(base_url=wire.rest_url, ws_url=wire.ws_url)
        api.get_current_price(PAIR)
        figures = [one_thread(api), eight_readers(api, wire, symbols)]
        provider = api.price_provider()
        assert provider is not None
        api.close()
        provider.stop()
    print_figures(figures)


if __name__ == "__main__":
    main()
