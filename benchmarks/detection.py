"""How long a dead price lives: the time to notice each kind of death, worst of many tries.

Each client is a process of its own behind the tests' chaos proxy, with all its settings as they
come; between the two stands nothing but loopback. Noticed means: the client says that it has no
price, or gives the connection up, or makes a new one, whichever is first. All clients and kinds
run at the same time, because they mostly wait: `python benchmarks/detection.py [--quick]` takes
about four minutes, `--quick` one.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common import Figure, environment, is_quick, print_figures

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

PAIR, SYMBOL = "XXBTZUSD", "BTC/USD"
KINDS = {
    "closed": "reset by the other side",
    "half-open": "bytes vanish in both directions",
    "silent": "the socket is open, no frame comes",
    "mute": "heartbeats go on, the subscription brings nothing",
}
CLIENTS = {"ours": "here", "ccxt": "ccxt.pro", "sdk": "python-kraken-sdk"}
TRIES = 50
# Our own figures are the ones to be worst of many: so many processes take turns at each kind.
SHARES = {"closed": 1, "half-open": 3, "silent": 3, "mute": 5}


# --- the clients ---------------------------------------------------------------------------------


def tell(what: object) -> None:
    """Tell the measuring process a price, or `null` for none."""
    print(json.dumps(what), flush=True)


def run_ours(url: str, rest_url: str) -> None:
    """Our client, asked all the time."""
    from kraken_api import KrakenAPI

    api = KrakenAPI(base_url=rest_url, ws_url=url)
    provider = api.price_provider()
    assert provider is not None
    api.get_current_price(PAIR)
    last: float | None = None
    while True:
        tick = provider.fresh_tick(SYMBOL)
        price = None if tick is None else float(tick.price)
        if price != last:
            tell(price)
            last = price
        time.sleep(0.005)


def run_ccxt(url: str, rest_url: str) -> None:
    """ccxt.pro with the loop that its manual shows."""
    asyncio.run(_ccxt(url))


async def _ccxt(url: str) -> None:
    from throughput import _ccxt_market, ccxt_client

    client = ccxt_client(url)
    client.set_markets([_ccxt_market(SYMBOL)])
    while True:
        try:
            ticker = await client.watch_ticker(SYMBOL)
        except Exception:  # noqa: BLE001 - whatever it raises, it has noticed
            tell(None)
            await asyncio.sleep(0.05)
        else:
            tell(ticker["last"])


def run_sdk(url: str, rest_url: str) -> None:
    """python-kraken-sdk with a callback."""
    asyncio.run(_sdk(url))


async def _sdk(url: str) -> None:
    from kraken.spot import SpotWSClient

    async def on_message(message: Any) -> None:  # JSON of any shape
        if message.get("channel") == "ticker":
            tell(float(message["data"][0]["last"]))

    client = SpotWSClient(callback=on_message, ws_url=url.removesuffix("/v2"))
    await client.start()
    await client.subscribe(params={"channel": "ticker", "symbol": [SYMBOL]})
    while True:
        await asyncio.sleep(60)


SUBJECTS: dict[str, Callable[[str, str], None]] = {
    "ours": run_ours,
    "ccxt": run_ccxt,
    "sdk": run_sdk,
}


# --- the measurement -----------------------------------------------------------------------------


@dataclass
class Job:
    """One client and one kind of death, again and again until time is up."""

    client: str
    kind: str
    until: float
    times: list[float] = field(default_factory=list)
    longest_wait: float = 0.0
    """The longest wait in vain."""

    def __post_init__(self) -> None:
        from chaos_proxy import ChaosProxy

        from fake_kraken import FakeKraken

        self._exchange = FakeKraken().start()
        self._proxy = ChaosProxy(self._exchange.port)
        self._changed = threading.Condition()
        self._price: float | None = None  # what the client has told last
        self._losses = 0
        self._ending = threading.Event()
        self._child: subprocess.Popen[str] | None = None

    def run(self) -> None:
        """Try until time is up."""
        mover = threading.Thread(target=self._move, daemon=True)
        mover.start()
        try:
            while time.monotonic() < self.until and len(self.times) < TRIES:
                if not self._is_seeing():
                    continue
                time.sleep(random.random())  # noqa: S311 - between two heartbeats, anywhere
                self._try()
        finally:
            self._ending.set()
            mover.join()
            self._end_child()
            self._proxy.close()
            self._exchange.stop()

    def _move(self) -> None:
        for price in itertools.count(50_000):
            if self._ending.wait(0.5):
                return
            self._exchange.set_price(PAIR, price)

    def _is_seeing(self) -> bool:
        """Wait until the client tells a price of this moment; begin anew where it does not."""
        if self._child is None:
            self._start_child()
        wanted = float(self._exchange.price_of(PAIR)) + 1
        with self._changed:
            is_so = self._changed.wait_for(lambda: (self._price or 0) >= wanted, 30)
        if not is_so:
            self._end_child()
        return is_so

    def _start_child(self) -> None:
        self._price = None
        self._child = subprocess.Popen(  # noqa: S603 - this very script
            [sys.executable, __file__, self.client, self._proxy.url, self._exchange.rest_url],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment(),
        )
        threading.Thread(target=self._listen, args=(self._child,), daemon=True).start()

    def _end_child(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait()

    def _listen(self, child: subprocess.Popen[str]) -> None:
        assert child.stdout is not None
        with child.stdout:
            for line in child.stdout:
                with self._changed, suppress(ValueError):
                    self._price = json.loads(line)
                    self._losses += self._price is None
                    self._changed.notify_all()

    def _signs(self) -> tuple[int, int, int]:
        return self._losses, self._proxy.made, self._proxy.left

    def _try(self) -> None:
        from chaos_proxy import FAIR

        signs, began = self._signs(), time.monotonic()
        self._kill()
        while self._signs() == signs and time.monotonic() < self.until:
            time.sleep(0.002)
        lasted = time.monotonic() - began
        if self._signs() == signs:
            self.longest_wait = max(self.longest_wait, lasted)
        else:
            self.times.append(lasted)
        self._exchange.clear_faults()
        self._proxy.weather = FAIR
        if self.kind in ("half-open", "silent"):
            self._proxy.reset()  # or a client that has not left would wait on a dead line
        if self.client == "ours":
            # Its retries are paced for the drops of a day, not for fifty deaths in a row.
            self._end_child()

    def _kill(self) -> None:
        from chaos_proxy import Weather

        if self.kind == "closed":
            self._proxy.reset()
        elif self.kind == "half-open":
            self._proxy.weather = Weather(is_dark=True)
        else:
            self._exchange.fault(self.kind, **({"symbol": SYMBOL} if self.kind == "mute" else {}))


def shown(jobs: list[Job]) -> str:
    """Return the worst time, or how long it was waited for in vain."""
    times = [lasted for job in jobs for lasted in job.times]
    in_vain = max((job.longest_wait for job in jobs), default=0.0)
    if in_vain > max(times, default=0.0):
        return f"not in {in_vain:.0f} s"
    if not times:
        return "not measured"
    worst = max(times)
    text = f"{worst * 1000:.0f} ms" if worst < 1 else f"{worst:.1f} s"
    return f"{text} (of {len(times)})"


def main() -> None:
    """Measure, show a table, and print the figures."""
    until = time.monotonic() + (50 if is_quick() else 190)
    jobs = {
        (kind, client): [
            Job(client, kind, until) for _ in range(SHARES[kind] if client == "ours" else 1)
        ]
        for kind in KINDS
        for client in CLIENTS
    }
    threads = [threading.Thread(target=job.run) for each in jobs.values() for job in each]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"| death | {' | '.join(CLIENTS.values())} |\n|---|---|---|---|")
    for kind, meaning in KINDS.items():
        cells = " | ".join(shown(jobs[kind, client]) for client in CLIENTS)
        print(f"| {kind}: {meaning} | {cells} |")
    print_figures([_figure(kind, jobs) for kind in KINDS])


def _figure(kind: str, jobs: dict[tuple[str, str], list[Job]]) -> Figure:
    goals = {"closed": 1.0, "half-open": 3.5, "silent": 3.5, "mute": 70.0}
    floors = {
        "closed": ("a system call", "The reset wakes the feed's thread."),
        "half-open": ("3 s, by design", "Heartbeats come once a second: two are waited for."),
        "silent": ("3 s, by design", "Heartbeats come once a second: two are waited for."),
        "mute": ("65 s, by design", "One REST call a minute, and a second look 5 s later."),
    }
    ours = jobs[kind, "ours"]
    times = [lasted for job in ours for lasted in job.times]
    peers = (f"{CLIENTS[c]} {shown(jobs[kind, c])}" for c in CLIENTS if c != "ours")
    return Figure(
        f"time to notice that a link is {kind}: worst try",
        shown(ours),
        "; ".join(peers),
        f"{goals[kind]:g} s",
        bool(times) and max(times) <= goals[kind],
        *floors[kind],
    )


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1] in SUBJECTS:
        SUBJECTS[sys.argv[1]](sys.argv[2], sys.argv[3])
    else:
        main()
