"""How long a dead price lives, and how fast prices come back after a fault.

The first table: the time to notice each kind of death, worst of many tries, beside other clients.
Each client is a process of its own, with all its settings as they come; between it and the
exchange stand the tests' chaos proxy and loopback. Noticed means: the client says that it has no
price, or gives the connection up, or makes a new one, whichever is first. A process has many
*lanes*, each with a connection of its own, and all lanes of all clients try at the same time,
because they mostly wait.

The second table is `recovery.py`'s. `python benchmarks/detection.py [--quick] [--write]` takes
a bit over one minute and a half, `--quick` a bit less; `--write` puts both into `faults.md`.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import recovery
from common import ROOT, Figure, environment, print_figures

if TYPE_CHECKING:
    from fake_kraken import FakeKraken
    from tests.kits.chaos.chaos_proxy import ChaosProxy

PAIR, SYMBOL = "XXBTZUSD", "BTC/USD"
KINDS = {
    "closed": "reset by the other side",
    "half-open": "bytes vanish in both directions",
    "silent": "the socket is open, no frame comes",
    "mute": "heartbeats go on, the subscription brings nothing",
}
CLIENTS = {"ours": "here", "ccxt": "ccxt.pro", "sdk": "python-kraken-sdk"}
TRIES = 50  # at most, for each kind and client
# A mute subscription is found once a minute: one try a lane, spread over that minute.
LANES = {"closed": 5, "half-open": 5, "silent": 5, "mute": 10}
OUR_MUTE_LANES = TRIES
AUDIT = 60.0
LASTS = 72.0  # seconds: what is mute is found once a minute


# --- the clients ---------------------------------------------------------------------------------

Spec = tuple[str, str, str, str]  # of a lane: addresses of stream and REST, pair, symbol


def tell(lane: int, price: float | None) -> None:
    """Tell the measuring process a price of a lane, or None for none."""
    print(json.dumps([lane, price]), flush=True)


def listen(begin_anew: Callable[[int], object]) -> None:
    """Begin those lanes anew that the measuring process names, a line each."""
    for line in sys.stdin:
        begin_anew(int(line))


def run_ours(specs: list[Spec]) -> None:
    """Our client, asked all the time."""
    from kraken_api import KrakenAPI

    apis = [KrakenAPI(base_url=rest_url, ws_url=url) for url, rest_url, _, _ in specs]

    def begin(lane: int) -> None:
        apis[lane].close()
        provider = apis[lane].price_provider()
        assert provider is not None
        # Its retries are paced for the drops of a day, not for ten deaths in a row.
        provider.stop()
        apis[lane].get_current_price(specs[lane][2])

    def begin_all() -> None:
        for lane in range(len(specs)):
            begin(lane)
        listen(begin)

    threading.Thread(target=begin_all, daemon=True).start()
    last: list[float | None] = [None] * len(specs)
    while True:
        for lane, (api, spec) in enumerate(zip(apis, specs, strict=True)):
            provider = api.price_provider()
            tick = provider.fresh_tick(spec[3]) if provider is not None else None
            price = None if tick is None else float(tick.price)
            if price != last[lane]:
                tell(lane, price)
                last[lane] = price
        time.sleep(0.005)


Watch = Callable[[int, Spec], Any]  # a coroutine that tells a lane's prices for ever


async def _watch_all(watch: Watch, specs: list[Spec]) -> None:
    loop = asyncio.get_running_loop()
    tasks: dict[int, asyncio.Task[Any]] = {}

    def begin(lane: int) -> None:
        if lane in tasks:
            tasks[lane].cancel()
        tasks[lane] = loop.create_task(watch(lane, specs[lane]))

    for lane in range(len(specs)):
        begin(lane)
    await asyncio.to_thread(listen, lambda lane: loop.call_soon_threadsafe(begin, lane))


def run_ccxt(specs: list[Spec]) -> None:
    """ccxt.pro with the loop that its manual shows."""
    asyncio.run(_watch_all(_ccxt, specs))


async def _ccxt(lane: int, spec: Spec) -> None:
    from throughput import _ccxt_market, ccxt_client

    url, _, _, symbol = spec
    client = ccxt_client(url)
    client.set_markets([_ccxt_market(symbol)])
    while True:
        try:
            ticker = await client.watch_ticker(symbol)
        except Exception:  # noqa: BLE001 - whatever it raises, it has noticed
            tell(lane, None)
            await asyncio.sleep(0.05)
        else:
            tell(lane, ticker["last"])


def run_sdk(specs: list[Spec]) -> None:
    """python-kraken-sdk with a callback."""
    asyncio.run(_watch_all(_sdk, specs))


async def _sdk(lane: int, spec: Spec) -> None:
    from kraken.spot import SpotWSClient

    async def on_message(message: Any) -> None:  # JSON of any shape
        if message.get("channel") == "ticker":
            tell(lane, float(message["data"][0]["last"]))

    client = SpotWSClient(callback=on_message, ws_url=spec[0].removesuffix("/v2"))
    await client.start()
    await client.subscribe(params={"channel": "ticker", "symbol": [spec[3]]})
    while True:
        await asyncio.sleep(60)


SUBJECTS: dict[str, Callable[[list[Spec]], None]] = {
    "ours": run_ours,
    "ccxt": run_ccxt,
    "sdk": run_sdk,
}


# --- the measurement -----------------------------------------------------------------------------


@dataclass(eq=False)
class Lane:
    """One connection of a client, and one kind of death."""

    client: str
    kind: str
    exchange: FakeKraken
    proxy: ChaosProxy
    pair: str
    symbol: str
    price: float | None = None  # what the client has told last
    losses: int = 0
    times: list[float] = field(default_factory=list)
    in_vain: list[float] = field(default_factory=list)
    # Set whenever the client tells something, or its connections change.
    news: threading.Event = field(default_factory=threading.Event)

    @property
    def spec(self) -> Spec:
        """What its client is told."""
        return self.proxy.url, self.exchange.rest_url, self.pair, self.symbol

    def signs(self) -> tuple[int, int, int]:
        """Return what changes when the client notices."""
        return self.losses, self.proxy.made, self.proxy.left


class Subject:
    """One client's process, with all its lanes."""

    def __init__(self, client: str, lanes: list[Lane], until: float) -> None:
        self._lanes = lanes
        self._until = until
        self._began = time.monotonic()
        self._process = subprocess.Popen(  # noqa: S603 - this very script
            [sys.executable, __file__, client, json.dumps([lane.spec for lane in lanes])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment(),
        )
        threading.Thread(target=self._listen, daemon=True).start()
        self._threads = [
            threading.Thread(target=self._run, args=(number,)) for number in range(len(lanes))
        ]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Wait until all lanes are done, and end the process."""
        for thread in self._threads:
            thread.join()
        self._process.kill()
        self._process.wait()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout:
            for line in self._process.stdout:
                with suppress(ValueError, TypeError):
                    number, price = json.loads(line)
                    lane = self._lanes[number]
                    lane.losses += price is None
                    lane.price = price
                    lane.news.set()

    def _run(self, number: int) -> None:
        lane = self._lanes[number]
        tries = 1 if lane.kind == "mute" else TRIES // LANES[lane.kind]
        done = 0
        while done < tries and time.monotonic() < self._until:
            if not self._is_seeing(lane):
                self._begin_anew(number)
                continue
            done += 1
            self._wait_for_turn(number)
            self._try(lane)
            if lane.client == "ours" and lane.kind != "mute":
                self._begin_anew(number)

    def _wait_for_turn(self, number: int) -> None:
        """Wait a random time between two heartbeats; for a mute one, its part of the minute."""
        pause = random.random()  # noqa: S311 - a moment, no secret
        lane = self._lanes[number]
        if lane.kind == "mute":
            mutes = [other for other in self._lanes if other.kind == "mute"]
            share = mutes.index(lane) / len(mutes)
            pause += 0.95 * AUDIT * share - (time.monotonic() - self._began)
        time.sleep(max(0.0, pause))

    def _begin_anew(self, number: int) -> None:
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.write(f"{number}\n")
            self._process.stdin.flush()

    def _is_seeing(self, lane: Lane) -> bool:
        """Wait until the client tells a price of this moment."""
        wanted = float(lane.exchange.price_of(lane.pair)) + 1
        patience = min(self._until, time.monotonic() + 30)
        while time.monotonic() < patience:
            lane.news.clear()
            if (lane.price or 0) >= wanted:
                return True
            lane.news.wait(1.0)
        return False

    def _try(self, lane: Lane) -> None:
        from tests.kits.chaos.chaos_proxy import FAIR

        signs, began = lane.signs(), time.monotonic()
        _kill(lane)
        while lane.signs() == signs and time.monotonic() < self._until:
            lane.news.clear()
            lane.news.wait(1.0)
        lasted = time.monotonic() - began
        (lane.in_vain if lane.signs() == signs else lane.times).append(lasted)
        if lane.kind == "silent":
            lane.exchange.clear_faults()
        lane.proxy.weather = FAIR
        if lane.kind in ("half-open", "silent"):
            lane.proxy.reset()  # or a client that has not left would wait on a dead line


def _kill(lane: Lane) -> None:
    from tests.kits.chaos.chaos_proxy import Weather

    if lane.kind == "closed":
        lane.proxy.reset()
    elif lane.kind == "half-open":
        lane.proxy.weather = Weather(is_dark=True)
    elif lane.kind == "silent":
        lane.exchange.fault("silent")
    else:
        lane.exchange.fault("mute", symbol=lane.symbol)


class Bench:
    """The exchanges, whose prices move twice a second, and the lanes before them."""

    def __init__(self) -> None:
        from fake_kraken import FakeKraken
        from fake_kraken.market import default_pairs, synthetic_pairs

        pairs, prices = default_pairs()
        made_up, their_prices = synthetic_pairs(OUR_MUTE_LANES + 2 * LANES["mute"])
        self._exchange = FakeKraken(pairs | made_up, prices | their_prices).start()
        self._names = iter(made_up)
        self._moving: set[tuple[FakeKraken, str]] = {(self._exchange, PAIR)}
        self.lanes: list[Lane] = []
        for kind in KINDS:
            for client in CLIENTS:
                is_long = (kind, client) == ("mute", "ours")
                for _ in range(OUR_MUTE_LANES if is_long else LANES[kind]):
                    self._add(client, kind)
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=work) for work in (self._move, self._look)]
        for thread in self._threads:
            thread.start()

    def _add(self, client: str, kind: str) -> None:
        from fake_kraken import FakeKraken
        from tests.kits.chaos.chaos_proxy import ChaosProxy

        exchange, pair, symbol = self._exchange, PAIR, SYMBOL
        if kind == "silent":  # which an exchange is towards everybody
            exchange = FakeKraken().start()
        elif kind == "mute":
            pair = next(self._names)
            symbol = pair.replace("USD", "/USD")
        self._moving.add((exchange, pair))
        self.lanes.append(Lane(client, kind, exchange, ChaosProxy(exchange.port), pair, symbol))

    def _move(self) -> None:
        price = 50_000
        while not self._ending.wait(0.5):
            price += 1
            for exchange, pair in self._moving:
                exchange.set_price(pair, price)

    def _look(self) -> None:
        """Tell each lane when its client has done something to its connections."""
        before: dict[Lane, tuple[int, int, int]] = {}
        while not self._ending.wait(0.003):
            for lane in self.lanes:
                if (signs := lane.signs()) != before.get(lane):
                    before[lane] = signs
                    lane.news.set()

    def of(self, client: str, kind: str | None = None) -> list[Lane]:
        """Return the lanes of a client, of one kind or of all."""
        return [ln for ln in self.lanes if ln.client == client and kind in (None, ln.kind)]

    def end(self) -> None:
        """End all of it."""
        self._ending.set()
        for thread in self._threads:
            thread.join()
        for lane in self.lanes:
            lane.proxy.close()
        for exchange in {exchange for exchange, _ in self._moving}:
            exchange.stop()


def measure() -> dict[tuple[str, str], list[Lane]]:
    """Let all clients die all deaths; return their lanes by kind and client."""
    bench = Bench()
    try:
        until = time.monotonic() + LASTS
        subjects = [Subject(client, bench.of(client), until) for client in CLIENTS]
        for subject in subjects:
            subject.end()
    finally:
        bench.end()
    return {(kind, client): bench.of(client, kind) for kind in KINDS for client in CLIENTS}


# --- the tables ----------------------------------------------------------------------------------


def shown(lanes: Sequence[Lane]) -> str:
    """Return the worst time, or how long it was waited for in vain."""
    times = [lasted for lane in lanes for lasted in lane.times]
    in_vain = [lasted for lane in lanes for lasted in lane.in_vain]
    if in_vain and max(in_vain) > max(times, default=0.0):
        return f"not in {max(in_vain):.0f} s (of {len(times) + len(in_vain)})"
    if not times:
        return "not measured"
    return f"{recovery.seconds(times)} (of {len(times)})"


def table(lanes: dict[tuple[str, str], list[Lane]]) -> str:
    """Return the table of deaths as Markdown."""
    rows = [f"| death | {' | '.join(CLIENTS.values())} |", "|---|---|---|---|"]
    for kind, meaning in KINDS.items():
        cells = " | ".join(shown(lanes[kind, client]) for client in CLIENTS)
        rows.append(f"| {kind}: {meaning} | {cells} |")
    return "\n".join(rows)


def _figure(kind: str, lanes: dict[tuple[str, str], list[Lane]]) -> Figure:
    goals = {"closed": 1.0, "half-open": 3.5, "silent": 3.5, "mute": 70.0}
    floors = {
        "closed": ("a system call", "The reset wakes the feed's thread."),
        "half-open": ("3 s, by design", "Heartbeats come once a second: two are waited for."),
        "silent": ("3 s, by design", "Heartbeats come once a second: two are waited for."),
        "mute": ("65 s, by design", "One REST call a minute, and a second look 5 s later."),
    }
    ours = lanes[kind, "ours"]
    times = [lasted for lane in ours for lasted in lane.times]
    missed = [lasted for lane in ours for lasted in lane.in_vain if lasted > goals[kind]]
    peers = (f"{CLIENTS[c]} {shown(lanes[kind, c])}" for c in CLIENTS if c != "ours")
    return Figure(
        f"time to notice that a link is {kind}: worst try",
        shown(ours),
        "; ".join(peers),
        f"{goals[kind]:g} s",
        bool(times) and not missed and max(times) <= goals[kind],
        *floors[kind],
    )


def write_page(**tables: str) -> None:
    """Put tables between their marks in `faults.md`."""
    page = ROOT / "benchmarks" / "faults.md"
    text = page.read_text(encoding="utf-8")
    for name, rows in tables.items():
        begin, end = f"<!-- {name}: benchmarks/detection.py --write -->", f"<!-- end of {name} -->"
        head, found, rest = text.partition(begin)
        _, is_ended, tail = rest.partition(end)
        if not (found and is_ended):
            raise SystemExit(f"{page.name} has no place for the table {name!r}")
        text = f"{head}{begin}\n{rows}\n{end}{tail}"
    page.write_text(text, encoding="utf-8")


def main() -> None:
    """Measure, show both tables, and print the figures."""
    lanes = measure()
    results = recovery.measure()
    print(table(lanes), recovery.table(results), sep="\n\n")
    recovery.complain(results)
    if "--write" in sys.argv:
        write_page(detection=table(lanes), recovery=recovery.table(results))
    print_figures([*(_figure(kind, lanes) for kind in KINDS), *recovery.figures(results)])


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1] in SUBJECTS:
        SUBJECTS[sys.argv[1]]([tuple(spec) for spec in json.loads(sys.argv[2])])
    else:
        main()
