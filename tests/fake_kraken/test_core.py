"""What REST and the stream share: the clock, the record, and waiting for what happens."""

import itertools
import threading

from fake_kraken import FakeKraken
from fake_kraken.core import Core
from fake_kraken.engine import Engine
from tests.kits.exchange.exchange_kit import LONG


def test_waiting_leaves_the_exchange_free(exchange: FakeKraken) -> None:
    """A predicate may ask the exchange itself while calls come in from elsewhere."""
    ended = threading.Event()

    def trade() -> None:
        while not ended.is_set():
            exchange.set_price("XBTUSD", 50000)

    trader = threading.Thread(target=trade)
    trader.start()
    looks = itertools.count()
    assert exchange.wait_for(lambda e: e.price_of("XBTUSD") and next(looks) > 300, LONG)
    ended.set()
    trader.join(LONG)
    assert not exchange.wait_for(lambda e: False, 0.01)


def test_waiting_ends_with_the_news() -> None:
    """Whoever waits is woken by what happens, and by nothing else is told of it."""
    core = Core(Engine())
    teller = threading.Timer(0.05, core.note, ("Time", {}, 1))
    teller.start()
    assert core.wait_for(lambda: core.requests, LONG)
    teller.join(LONG)
    assert (core.requests[0].endpoint, core.requests[0].connection) == ("Time", 1)


def test_record_is_bounded_and_the_bound_can_be_lifted() -> None:
    """Only the newest calls are remembered, all of them are counted."""
    core = Core(Engine())
    core.kept = 3
    for number in range(20):
        core.note("Time", {}, number)
        assert len(core.requests) <= 6
    assert [request.connection for request in core.requests][-3:] == [17, 18, 19]
    core.kept = None
    for number in range(20):
        core.note("Time", {}, number)
    assert len(core.requests) > 20
    assert core.counts == {"Time": 40}


def test_clock_of_the_exchange_may_differ() -> None:
    """Calls are dated by this machine's clock all the same."""
    core = Core(Engine())
    core.clock_offset = 3600.0
    core.note("Time", {}, 1)
    assert 3590 < core.now() - core.requests[0].at < 3660
