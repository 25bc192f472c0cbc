"""A reader of a relay in a process of its own, that tells how old the prices are that it would use.

A price is the moment at which it was sent, in milliseconds of the machine's clock, which all
processes share. `echo` is the library as it is. `naive` counts a price while some frame came within
three seconds: the rule that does not hold behind a broker which keeps messages.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue

from krakenlink.errors import KrakenTransportError
from krakenlink.machine import feed_clock, relay_names
from krakenlink.relay.broker import Broker
from krakenlink.relay.reader import RelayConnection, open_relay
from krakenlink.stream.events import Channel, Tick, subscribe_frame
from krakenlink.stream.frames import read_frame
from krakenlink.stream.settings import FeedSettings
from ws_price_provider import WebSocketPriceProvider

LONG, BOUND = 60.0, 3.0
SETTINGS = FeedSettings(retry_delays=(0.0, 0.2), mute_after=LONG, audit_every=0.0)


def as_price(moment: float) -> str:
    """Return a moment as a price."""
    return f"{moment * 1000:.1f}"


@dataclass
class Seen:
    """What a reader has seen so far.

    Attributes:
        served: How often there was a price.
        oldest: The highest age of one, in seconds.
        turns: How often there was none after there was one, and one after there was none.
    """

    served: int = 0
    oldest: float = 0.0
    turns: int = 0
    is_served: bool = False

    def look(self, age: float | None) -> None:
        """Take in how old the price is that would be used now; None is no price."""
        self.turns += (age is not None) != self.is_served
        self.is_served = age is not None
        if age is not None:
            self.served += 1
            self.oldest = max(self.oldest, age)


class Slow:
    """A connection whose frames are taken in at so many a second."""

    def __init__(self, inner: RelayConnection, rate: float) -> None:
        self._inner, self._rate = inner, rate
        self.send, self.wake, self.close = inner.send, inner.wake, inner.close

    @property
    def proven_at(self) -> float:
        """As it is told."""
        return self._inner.proven_at

    def recv(self, timeout: float) -> list[str | bytes] | None:
        """Take in what is there, slowly."""
        frames = self._inner.recv(timeout)
        if frames and self._rate:
            time.sleep(len(frames) / self._rate)
        return frames


def age_of(price: float, now: float) -> float:
    """Return how long before `now` a price was sent."""
    return now - price / 1000


def by_echo(url: str, rate: float) -> Callable[[], float | None]:
    """Return what tells the age of the library's price."""
    provider = WebSocketPriceProvider(
        url, settings=SETTINGS, connect=lambda url, timeout: Slow(open_relay(url, timeout), rate)
    )
    provider.subscribe("XBTUSD")

    def read() -> float | None:
        now = feed_clock()  # before, so that whatever stops us makes the price no older
        price = provider.get_current_price("XBTUSD")
        return None if price is None else age_of(price, now)

    return read


class Naive:
    """The latest price that came, whose proof nobody asks for.

    Whoever acts by it acts by each price that comes: an old one counts, however soon a younger one
    comes behind it, and whether or not somebody looks in between.
    """

    def __init__(self, url: str, rate: float) -> None:
        self._url, self._rate = url, rate
        self._latest: tuple[float, float] = float("-inf"), 0.0
        self._ages: SimpleQueue[float] = SimpleQueue()
        threading.Thread(target=self._take_in, daemon=True).start()

    def _take_in(self) -> None:
        while True:
            with suppress(KrakenTransportError):  # a busy machine's relay may have no price
                self._follow()
            time.sleep(0.1)

    def _follow(self) -> None:
        text = subscribe_frame("subscribe", Channel.TICKER, ["BTC/USD"], 1, "trades")  # type: ignore[list-item]  # a symbol
        connection = RelayConnection(Broker(self._url, LONG), relay_names(self._url)[0])
        with closing(connection):
            assert connection.wait_open(LONG)
            connection.send(text)
            slow = Slow(connection, self._rate)
            while True:
                for frame in slow.recv(0.1) or ():
                    for tick in read_frame(frame, 0.0):
                        if isinstance(tick, Tick):
                            now, price = feed_clock(), float(tick.price)
                            self._ages.put(age_of(price, now))
                            self._latest = now, price

    def read(self) -> float | None:
        """Return the age of the oldest price since the last look, if some frame came lately."""
        ages = [self._ages.get() for _ in range(self._ages.qsize())]
        (came_at, price), now = self._latest, feed_clock()
        if now - came_at < BOUND:
            ages.append(age_of(price, now))
        return max(ages, default=None)


def main(url: str, rule: str, rate: str) -> None:
    """Look all the time, and tell what was seen ten times a second, until standard input ends."""
    read = by_echo(url, float(rate)) if rule == "echo" else Naive(url, float(rate)).read
    is_over = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        is_over.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    seen, told_at = Seen(), 0.0
    while not is_over.wait(0.002):
        seen.look(read())
        if feed_clock() - told_at >= 0.1:
            told_at = feed_clock()
            print(json.dumps(asdict(seen)), flush=True)


class Lagging:
    """Such a process, as a test has it."""

    def __init__(self, url: str, rule: str, rate: float = 0.0) -> None:
        root = Path(__file__).resolve().parents[3]
        self._process = subprocess.Popen(
            [sys.executable, __file__, url, rule, str(rate)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": str(root), "PATH": ""},
        )
        self.last = Seen()
        self.send = self._process.send_signal
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.last = Seen(**json.loads(line))

    def end(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()


if __name__ == "__main__":
    main(*sys.argv[1:])
