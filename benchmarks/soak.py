"""The library in careless hands: clients made, used and dropped at random, for as long as wanted.

    python benchmarks/soak.py --minutes 30 --seed 7

Against the embedded exchange, on loopback. Threads make clients, ask them for prices and drop them
in every way there is; finalizers, signals and forks meet them in the middle of anything; the stream
is cut, stopped and silenced. It ends with 1, and says why, if a thread stands still (with the stack
of each), if a socket, a thread, a file number or a subscription is left over, if anything is raised
that the library does not name, or if one price is not the exchange's own of that moment.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import json
import logging
import os
import random
import signal
import socket
import sys
import threading
import time
import traceback
import weakref
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fake_kraken import FakeKraken
from kraken_api import KrakenAPI, Timeouts
from krakenlink.errors import KrakenError
from krakenlink.rest.quotes import Quote
from krakenlink.stream.settings import FeedSettings

PAIRS = {"XXBTZUSD": 50000.0, "XETHZUSD": 3000.0, "SOLUSD": 150.0}
SPELLINGS = {
    "XXBTZUSD": ("XXBTZUSD", "XBTUSD", "BTC/USD"),
    "XETHZUSD": ("XETHZUSD", "ETHUSD", "ETH/USD"),
    "SOLUSD": ("SOLUSD", "SOL/USD"),
}
USERS = 5
# A price counts while a frame came within `dead_after`; the rest is for a machine that is busy.
SETTINGS = FeedSettings(
    ping_after=1.0,
    dead_after=2.0,
    retry_delays=(0.0, 0.05, 0.2),
    refused_delay=0.2,
    audit_every=1.0,
    mute_after=1.0,
)
TIMEOUTS = Timeouts(connect=2.0, read=3.0)
OLDEST = SETTINGS.dead_after + 3.0
STANDSTILL = 45.0  # seconds; no call of the library promises to take so long


def seeded(seed: int, name: str) -> random.Random:
    """Return somebody's own chance, which is the same in each run of the same seed."""
    return random.Random(f"{seed} {name}")  # noqa: S311 - no secret


class Record:
    """What the exchange's price was and when: each price is used once, so it tells its moment."""

    def __init__(self) -> None:
        self._spans: dict[tuple[str, float], list[float]] = {}
        self._last: dict[str, tuple[str, float]] = {}

    def change(self, pair: str, price: float, tell: Callable[[], None]) -> None:
        """Let `tell` set a price, and note from when to when it may have been the last one."""
        span = self._spans[pair, price] = [time.monotonic(), float("inf")]
        tell()
        if pair in self._last:
            self._spans[self._last[pair]][1] = time.monotonic()
        self._last[pair] = (pair, price)
        assert span[0] <= time.monotonic()

    def verdict(self, pair: str, price: float, asked_at: float) -> str:
        """Return what is wrong with a price that was asked for at a moment; empty for nothing."""
        span = self._spans.get((pair, price))
        if span is None:
            return f"{pair}: {price} was never the exchange's price"
        age = asked_at - span[1]
        return f"{pair}: {price} was {age:.1f} s old" if age > OLDEST else ""


class Soak:
    """One run. What is wrong is gathered in `faults`; `counts` says how much was done."""

    def __init__(self, exchange: FakeKraken, seed: int) -> None:
        self.exchange = exchange
        self.seed = seed
        self.record = Record()
        self.faults: list[str] = []
        self.counts: Counter[str] = Counter()
        self.is_over = threading.Event()
        self.beats: dict[str, float] = {}
        self.clients: weakref.WeakSet[KrakenAPI] = weakref.WeakSet()
        # Its provider is the one that all share; it stays from the first moment to the last. Who
        # may be called in the middle of anything asks for none: that takes a lock.
        self.keeper = self.client()
        provider = self.keeper.price_provider()
        assert provider is not None
        self.provider = provider

    def client(self) -> KrakenAPI:
        """Return a new client of the exchange."""
        api = KrakenAPI(
            base_url=self.exchange.rest_url,
            ws_url=self.exchange.ws_url,
            ws_timeout=0.5,
            timeouts=TIMEOUTS,
            feed_settings=SETTINGS,
        )
        self.clients.add(api)
        return api

    def fault(self, said: str) -> None:
        """Take note of something that must not be."""
        if len(self.faults) < 20:
            self.faults.append(said)
            print(said, flush=True)

    # -- who does what

    def run(self, name: str, act: Callable[[random.Random], None]) -> threading.Thread:
        """Let a thread do `act` again and again."""

        def loop() -> None:
            chance = seeded(self.seed, name)
            while not self.is_over.is_set():
                self.beats[name] = time.monotonic()
                try:
                    act(chance)
                except KrakenError as error:
                    self.counts[f"told: {type(error).__name__}"] += 1
                except Exception:  # noqa: BLE001 - it is what this looks for
                    self.fault(f"{name}: {traceback.format_exc()}")
                self.counts[name.rstrip("0123456789")] += 1
            del self.beats[name]

        thread = threading.Thread(target=loop, name=name, daemon=True)
        thread.start()
        return thread

    def market(self, chance: random.Random) -> None:
        """Move one price; none ever comes again."""
        pair = chance.choice(list(PAIRS))
        self.counts[f"price {pair}"] += 1
        price = round(PAIRS[pair] + self.counts[f"price {pair}"] / 10, 1)  # on everybody's grid
        self.record.change(pair, price, lambda: self.exchange.set_price(pair, price))
        time.sleep(chance.uniform(0, 0.02))

    def use(self, chance: random.Random) -> None:
        """Make a client, ask it, and drop it."""
        api = self.client()
        for _ in range(chance.randrange(12)):
            self.ask(api, chance)
            time.sleep(chance.uniform(0, 0.01))
        self.drop(api, chance)

    def ask(self, api: KrakenAPI, chance: random.Random) -> None:
        """Ask for a price in one of the ways, and judge it."""
        pair = chance.choice(list(PAIRS))
        name = chance.choice(SPELLINGS[pair])
        asked_at = time.monotonic()
        way = chance.randrange(6)
        if way == 0:
            quote = api.get_quote(name)
            self.judge(pair, float(quote.price), asked_at)
            # The stream's is proven within its bound; REST's is no older than the question.
            is_streamed = quote.source == "websocket"
            most = SETTINGS.dead_after if is_streamed else time.monotonic() - asked_at
            if quote.proven_age > most + 0.1:
                self.fault(f"{name}: {quote.source} price proven {quote.proven_age:.1f} s ago")
        elif way == 1:
            found = api.get_tickers([name])[name]
            if isinstance(found, Quote):
                self.judge(pair, float(found.price), asked_at)
        else:
            self.judge(pair, api.get_current_price(name), asked_at)

    def judge(self, pair: str, price: float, asked_at: float) -> None:
        """Compare a price with the exchange's own record."""
        self.counts["prices compared"] += 1
        said = self.record.verdict(pair, price, asked_at)
        if said:
            self.fault(said)

    def drop(self, api: KrakenAPI, chance: random.Random) -> None:
        """Leave a client in one of the ways."""
        way = chance.randrange(5)
        if way == 0:
            api.close()
        elif way == 1:
            with api:
                self.ask(api, chance)
        elif way == 2:
            api.circle = api  # type: ignore[attr-defined]  # for the collector, on any thread
        elif way == 3:
            Dying(api.close)
        else:
            provider = api.price_provider()
            assert provider is not None
            reader = provider.open_feed()
            provider.subscribe_symbol("BTC/USD", "trade")
            Dying(lambda: provider.unsubscribe_symbol("BTC/USD", "trade"))
            Dying(reader.close)

    def collect(self, chance: random.Random) -> None:
        """Run the collector at an odd moment, and now and then below the feed's lock."""
        if chance.random() < 0.2:
            with self.provider.feed_thread.lock:
                gc.collect(0)
        elif chance.random() < 0.1:
            gc.collect()
        time.sleep(chance.uniform(0, 0.05))

    def disturb(self, chance: random.Random) -> None:
        """Cut, stop or silence the stream."""
        time.sleep(chance.uniform(0.1, 1.0))
        provider = self.provider
        way = chance.randrange(6)
        if way == 0:
            self.exchange.drop_connections()
        elif way == 1:
            provider.reconnect("the soak wants it")
        elif way == 2:
            provider.stop(chance.choice([0.0, 1.0]))
        elif way == 3:
            self.exchange.stop_listening()
            time.sleep(chance.uniform(0, 0.3))
            self.resume()
        elif way == 4:
            self.exchange.fault("silent", count=1)
            time.sleep(chance.uniform(0, 3))
            self.exchange.clear_faults()
        else:
            self.keeper.close()

    def resume(self) -> None:
        """Let the exchange listen again, once no child has a copy of its old socket any more."""
        deadline = time.monotonic() + STANDSTILL
        while True:
            try:
                self.exchange.resume()
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return

    # -- the main thread: signals and forks

    def on_signal(self, *_: object) -> None:
        """Do in the middle of anything what may be done from anywhere."""
        provider = self.provider
        way = random.randrange(5)  # noqa: S311 - no secret
        if way == 0:
            provider.stop(0.0)
        elif way == 1:
            provider.reconnect("a signal wants it")
        elif way == 2:
            provider.unsubscribe_symbol("ETH/USD")
        elif way == 3:
            self.keeper.close()
        else:
            for api in list(self.clients)[:1]:
                api.close()
        self.counts["signals"] += 1

    def fork(self) -> None:
        """Let a child use the parent's clients and some of its own, and see it end well."""
        faulthandler.cancel_dump_traceback_later()  # its thread would be missing in the child
        pid = os.fork()
        if pid == 0:
            self.be_the_child()
        deadline = time.monotonic() + STANDSTILL
        while time.monotonic() < deadline:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                if status:
                    self.fault(f"a child ended with {status}")
                self.counts["forks"] += 1
                return
            self.beats["main"] = time.monotonic()
            time.sleep(0.01)
        os.kill(pid, signal.SIGABRT)  # faulthandler shows its stacks
        os.waitpid(pid, 0)
        self.fault("a child stood still")

    def be_the_child(self) -> None:
        """Ask by a client of the parent's and by one of its own, and end."""
        code = 3
        try:
            faulthandler.dump_traceback_later(STANDSTILL / 2, exit=True)
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
            chance = seeded(self.seed, str(os.getpid()))
            for api in (self.keeper, self.client()):
                with suppress(KrakenError):
                    ask_in_child(api, chance)
                api.close()
            code = 0
        except BaseException:  # noqa: BLE001 - it is what this looks for
            traceback.print_exc()
        finally:
            os._exit(code)

    def figures(self) -> dict[str, Any]:
        """Return what has been done so far, and what there is of files and threads now."""
        now = {"file numbers": open_files(), "threads": threading.active_count()}
        return dict(sorted(self.counts.items())) | now | {"faults": len(self.faults)}

    def watch(self, seconds: float) -> None:
        """Be the main thread: ask, fork, and see that nobody stands still."""
        chance = seeded(self.seed, "main")
        ends_at = time.monotonic() + seconds
        next_fork, next_word = time.monotonic() + 0.5, time.monotonic() + 60
        while time.monotonic() < ends_at:
            faulthandler.dump_traceback_later(STANDSTILL * 1.5, exit=True)
            self.beats["main"] = time.monotonic()
            with suppress(KrakenError):
                self.ask(self.keeper, chance)
            if hasattr(os, "fork") and time.monotonic() > next_fork:
                next_fork = time.monotonic() + chance.uniform(0.2, 3)
                self.fork()
            if time.monotonic() > next_word:
                next_word = time.monotonic() + 60
                print(json.dumps(self.figures()), flush=True)
            for name, beat in list(self.beats.items()):
                if time.monotonic() - beat > STANDSTILL:
                    faulthandler.dump_traceback(all_threads=True)
                    self.fault(f"{name} has stood still for {STANDSTILL:.0f} s")
                    return
            time.sleep(chance.uniform(0, 0.02))


def ask_in_child(api: KrakenAPI, chance: random.Random) -> None:
    """Ask for a price; how old it is cannot be judged here, where the record stands still."""
    pair = chance.choice(list(PAIRS))
    price = api.get_current_price(pair)
    if not PAIRS[pair] <= price < PAIRS[pair] * 1000:
        raise AssertionError(f"{price} is no price of {pair}")


class Dying:
    """Something in a circle whose finalizer does `work`, on whatever thread collects it."""

    def __init__(self, work: Callable[[], None]) -> None:
        self.me = self
        self.work = work

    def __del__(self) -> None:
        self.work()


class Listener(logging.Handler):
    """Takes what the library calls its own defect for a fault."""

    def __init__(self, soak: Soak) -> None:
        super().__init__(logging.ERROR)
        self.soak = soak

    def emit(self, record: logging.LogRecord) -> None:
        """Look at one line."""
        text = record.getMessage()
        if "defect" in text or "died" in text or "met an error" in text:
            trace = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else ""
            self.soak.fault(f"{text}: {trace}")


def open_files() -> int:
    """Return how many file numbers this process has; 0 where the system does not tell."""
    for folder in ("/proc/self/fd", "/dev/fd"):
        with suppress(OSError):
            return len(list(Path(folder).iterdir()))
    return 0


def named_files() -> list[str]:
    """Return the sockets that are open, with the addresses that each of them joins."""
    names = []
    for number in range(3, 256):
        with suppress(OSError), socket.socket(fileno=os.dup(number)) as sock:
            names.append(f"{number}: {sock.getsockname()} {sock.getpeername()}")
    return names


def settled(is_true: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not is_true():
        if time.monotonic() > deadline:
            return False
        gc.collect()
        time.sleep(0.05)
    return True


def finish(soak: Soak, before: tuple[int, set[str]]) -> None:
    """Give everything back, and see that nothing is left."""
    provider = soak.keeper.price_provider()
    assert provider is not None
    soak.keeper.close()
    if not settled(lambda: not provider.health().symbols):
        left = [(one.symbol, one.channel) for one in provider.health().symbols]
        soak.fault(f"subscriptions that nobody holds: {left}")
    if not settled(lambda: len(soak.clients) == 1):
        soak.fault(f"{len(soak.clients) - 1} clients are kept by somebody")
    provider.stop(5.0)
    files, threads = before
    if not settled(lambda: open_files() <= files):
        soak.fault(f"{open_files() - files} file numbers are left over: {named_files()}")
    if not settled(lambda: {one.name for one in threading.enumerate()} <= threads):
        names = [one.name for one in threading.enumerate() if one.name not in threads]
        soak.fault(f"threads are left over: {names}")


def soaked(seconds: float, seed: int) -> Soak:
    """Run for so long; return what came of it."""
    with FakeKraken(prices=PAIRS) as exchange:
        soak = Soak(exchange, seed)
        logging.getLogger().addHandler(Listener(soak))
        for pair, price in PAIRS.items():
            soak.record.change(pair, price, partial(exchange.set_price, pair, price))
        with suppress(KrakenError):
            soak.keeper.get_tickers(PAIRS)  # so that what is opened once for ever is open
        soak.keeper.close()
        gc.collect()
        before = open_files(), {one.name for one in threading.enumerate()}
        has_alarm = hasattr(signal, "setitimer")
        if has_alarm:
            signal.signal(signal.SIGALRM, soak.on_signal)
            signal.setitimer(signal.ITIMER_REAL, 0.05, 0.037)
        actors = [soak.run(f"user{n}", soak.use) for n in range(USERS)]
        acts = (soak.market, soak.collect, soak.disturb)
        actors += [soak.run(act.__name__, act) for act in acts]
        soak.watch(seconds)
        if has_alarm:
            signal.setitimer(signal.ITIMER_REAL, 0)
        soak.is_over.set()
        for actor in actors:
            actor.join(STANDSTILL)
            if actor.is_alive():
                faulthandler.dump_traceback(all_threads=True)
                soak.fault(f"{actor.name} does not come to its end")
        exchange.clear_faults()
        finish(soak, before)
        faulthandler.cancel_dump_traceback_later()
        return soak


def main() -> int:
    """Run as the command line says; print what is wrong, and a line of figures a minute."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    faulthandler.enable()
    logging.basicConfig(level=logging.CRITICAL)
    began = time.monotonic()
    soak = soaked(60.0 * wanted.minutes, wanted.seed)
    run = {"seed": wanted.seed, "seconds": round(time.monotonic() - began, 1)}
    print(json.dumps(soak.figures() | run), flush=True)
    return 1 if soak.faults else 0


if __name__ == "__main__":
    sys.exit(main())
