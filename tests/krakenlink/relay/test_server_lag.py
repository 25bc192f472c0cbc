"""What lags on the way, with real sockets and reader processes: no price outlives its proof.

Beside each case stands the rule that does not hold, *a frame came within three seconds*, and is
seen to let old prices pass: so the case is one.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from fake_kraken import FakeKraken
from krakenlink.machine import feed_clock
from tests.kits.relay.lag_reader import BOUND, LONG, Lagging, as_price
from tests.kits.relay.relay_kit import PATIENT, RedisServer, relay, wait_until

pytestmark = pytest.mark.skipif(
    not hasattr(signal, "SIGSTOP"), reason="nothing can be stopped on this system"
)
RATE = 200.0


class Ticking:
    """An exchange whose price is the time, some two hundred times a second.

    Attributes:
        gap: The longest time between two prices, in seconds: so much older a price may be than its
            proof, which says that it was the latest one.
    """

    def __init__(self, exchange: FakeKraken) -> None:
        self._exchange = exchange
        self._is_over = threading.Event()
        self.gap = 0.0
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        before = feed_clock()
        while not self._is_over.wait(1 / RATE):
            now = feed_clock()
            self._exchange.set_price("XBTUSD", as_price(now))
            self.gap = max(self.gap, feed_clock() - before)
            before = now

    def is_past(self, moment: float) -> bool:
        """Tell whether prices of a moment are older by now than any that is proven, by far."""
        return feed_clock() - moment > BOUND + 2.0 + self.gap

    def __enter__(self) -> Ticking:
        self._exchange.set_price("XBTUSD", as_price(feed_clock()))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join(LONG)


@contextmanager
def reading(url: str, *rules: tuple[str, float]) -> Iterator[list[Lagging]]:
    """Give readers that have a price each, by rule and rate."""
    readers = [Lagging(url, rule, rate) for rule, rate in rules]
    try:
        wait_until(lambda: all(reader.last.served for reader in readers))
        yield readers
    finally:
        for reader in readers:
            reader.end()


def test_healthy_reader_has_young_prices(redis_server: RedisServer, exchange: FakeKraken) -> None:
    """By both rules: the one that does not hold is not seen in good weather."""
    url = redis_server.url("healthy")
    with (
        Ticking(exchange) as ticking,
        relay(url, exchange.ws_url, PATIENT),
        reading(url, ("echo", 0.0), ("naive", 0.0)) as readers,
    ):
        wait_until(lambda: all(reader.last.served > 500 for reader in readers))
        assert readers[0].last.oldest <= BOUND + ticking.gap


def test_reader_that_is_too_slow_is_blind_in_time_and_comes_back(
    redis_server: RedisServer, exchange: FakeKraken
) -> None:
    """What it takes in is ever older, though a frame comes all the time.

    It is slower than the exchange on any machine, which sends less than it wants where it is busy.
    """
    url = redis_server.url("half")
    with (
        Ticking(exchange) as ticking,
        relay(url, exchange.ws_url, PATIENT),
        reading(url, ("echo", RATE / 8), ("naive", RATE / 8)) as (echo, naive),
    ):
        wait_until(lambda: echo.last.turns >= 3)  # a price, none, one again
        assert echo.last.oldest <= BOUND + ticking.gap
        wait_until(lambda: naive.last.oldest > BOUND + 1 + ticking.gap)
        assert echo.last.oldest <= BOUND + ticking.gap


def test_stopped_broker_makes_blind_and_its_messages_prove_nothing(
    redis_server: RedisServer, exchange: FakeKraken
) -> None:
    """What it kept for five seconds is as old, though it comes just now."""
    url = redis_server.url("stopped")
    with (
        Ticking(exchange) as ticking,
        relay(url, exchange.ws_url, PATIENT),
        reading(url, ("echo", 0.0), ("naive", 0.0)) as (echo, naive),
    ):
        stopped_at = feed_clock()
        redis_server.process.send_signal(signal.SIGSTOP)
        try:
            wait_until(lambda: not echo.last.is_served and ticking.is_past(stopped_at))
            turns, gap = echo.last.turns, ticking.gap
        finally:
            redis_server.process.send_signal(signal.SIGCONT)
        wait_until(lambda: echo.last.turns > turns)
        assert echo.last.oldest <= BOUND + ticking.gap
        wait_until(lambda: naive.last.oldest > BOUND + gap)


def test_stopped_reader_finds_nothing_of_what_waited_for_it(
    redis_server: RedisServer, exchange: FakeKraken
) -> None:
    """Whatever its socket and its queue held meanwhile; then it begins anew."""
    url = redis_server.url("asleep")
    with (
        Ticking(exchange) as ticking,
        relay(url, exchange.ws_url, PATIENT),
        reading(url, ("echo", 0.0), ("naive", 0.0)) as (echo, naive),
    ):
        stopped_at = feed_clock()
        for reader in (echo, naive):
            reader.send(signal.SIGSTOP)
        wait_until(lambda: ticking.is_past(stopped_at))
        turns, gap = echo.last.turns, ticking.gap
        for reader in (echo, naive):
            reader.send(signal.SIGCONT)
        wait_until(lambda: echo.last.turns >= turns + 2)  # none, and one again
        assert echo.last.oldest <= BOUND + ticking.gap
        wait_until(lambda: naive.last.oldest > BOUND + gap)
