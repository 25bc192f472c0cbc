"""The thread that fetches past trades, against a source of the test's own."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from krakenlink.errors import KrakenConnectionError
from ttslo_app.clocks import Clocks
from ttslo_app.messages import Fetched, Market, NotFetched
from ttslo_app.watch import lookback as ttslo_lookback
from ttslo_app.watch.lookback import PastReader
from ttslo_app.watch.past import Bounds, Pace
from ttslo_app.watch.tape import Position

S = 1_000_000_000
MARKET = Market("BTC/USD", "XXBTZUSD", "BTC/USD")
OTHER = Market("ETH/USD", "XETHZUSD", "ETH/USD")
CLOCKS = Clocks(lambda: 9000.0, lambda: 9000.0, time.monotonic)
PACE = Pace(0.0, 0.0, 0.0, 0.0, 0.01, 0.02, Bounds(seconds=10_000.0, trades=1500))


class Source:
    """Trades numbered 1 to `count`, one a second, in pages of a thousand."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.failures: list[Exception] = []
        self.asked: list[str] = []

    def get_trades(self, pair: str, since: str | int | None = None) -> dict[str, Any]:
        self.asked.append(f"{pair} trades")
        if self.failures:
            raise self.failures.pop()
        after = int(since or 0)
        page = [n for n in range(1, self.count + 1) if n * S > after][:1000]
        return {pair: [[str(n), "1", float(n), "b", "m", "", n] for n in page], "last": "0"}

    def get_ohlc(
        self, pair: str, interval: int = 1, since: str | int | None = None
    ) -> dict[str, Any]:
        self.asked.append(f"{pair} candles of {interval}")
        return {pair: [[6000, "1", "9999", "1", "1", "1", "1", 1]], "last": 0}


class Desk:
    """A reader on its thread, and what it has posted."""

    def __init__(self) -> None:
        self.source = Source(0)
        self.posted: queue.SimpleQueue[Fetched | NotFetched] = queue.SimpleQueue()
        self.reader = PastReader(self.source, self.posted.put, CLOCKS, PACE)

    def next(self) -> Fetched | NotFetched:
        return self.posted.get(timeout=60)


@pytest.fixture
def desk() -> Iterator[Desk]:
    """Hand out a desk whose thread runs, and end it."""
    made = Desk()
    made.reader.start()
    yield made
    made.reader.stop(5)


def fetched(desk: Desk) -> Fetched:
    """Return the next thing that was posted, which must be an answer."""
    found = desk.next()
    assert isinstance(found, Fetched)
    return found


def test_pages_are_read_to_the_last_and_come_as_one(desk: Desk) -> None:
    """A hole of more than a page is handed over whole, in order, nothing twice."""
    desk.source.count = 1300
    desk.reader.want(MARKET, Position(5, 5 * S), 0.0)
    found = fetched(desk)
    assert [p.trade_id for p in found.past] == list(range(5, 1301))
    assert (found.newest, found.is_cut, found.market) == (found.past[-1], False, "BTC/USD")


def test_bound_is_kept_and_candles_stand_for_the_rest(desk: Desk) -> None:
    """After so many trades the rest is asked for as candles, in one call."""
    desk.source.count = 5000
    desk.reader.want(MARKET, Position(0, 0), 0.0)
    found = fetched(desk)
    assert found.is_cut
    assert found.past[-1].bar_seconds == 60
    assert desk.source.asked[-1] == "XXBTZUSD candles of 1"
    assert len(desk.source.asked) == 3


@pytest.mark.parametrize("error", [KrakenConnectionError("no", request_sent=False), KeyError("x")])
def test_failure_is_told_and_tried_again(desk: Desk, error: Exception) -> None:
    """Whatever goes wrong, the hole is asked for again until it is known."""
    desk.source.count = 3
    desk.source.failures = [error, error]
    desk.reader.want(MARKET, Position(1, S), 0.0)
    assert [type(desk.next()) for _ in range(3)] == [NotFetched, NotFetched, Fetched]


def test_markets_take_turns(desk: Desk) -> None:
    """One market's trouble does not keep another waiting."""
    desk.source.count = 3
    desk.source.failures = [KrakenConnectionError("no", request_sent=False)]
    desk.reader.want(MARKET, Position(1, S), 0.0)
    desk.reader.want(OTHER, Position(1, S), 0.0)
    answers = [found for found in (desk.next() for _ in range(3)) if isinstance(found, Fetched)]
    assert {found.market for found in answers} == {"BTC/USD", "ETH/USD"}


def test_most_urgent_market_is_asked_about_first() -> None:
    """Of all that is due the nearest threshold comes first, whoever asked first."""
    desk = Desk()
    desk.reader.want(MARKET, Position(1, S), 0.0, 0.5)
    desk.reader.want(OTHER, Position(1, S), 0.0, 0.01)
    desk.reader.start()
    assert [fetched(desk).market for _ in range(2)] == ["ETH/USD", "BTC/USD"]
    desk.reader.stop(5)


def test_market_that_waited_long_has_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Urgent markets that come again and again do not starve the others."""
    monkeypatch.setattr(ttslo_lookback, "_LONGEST_WAIT", 0.0)
    desk = Desk()
    desk.reader.want(MARKET, Position(1, S), -1.0, 0.5)
    desk.reader.want(OTHER, Position(1, S), -0.5, 0.01)
    desk.reader.start()
    assert [fetched(desk).market for _ in range(2)] == ["BTC/USD", "ETH/USD"]
    desk.reader.stop(5)


def test_waiting_errand_is_replaced_not_doubled(desk: Desk) -> None:
    """Asking twice before the first call is one look back, from the newer place."""
    desk.source.count = 3
    desk.reader.want(MARKET, Position(1, S), 60.0)
    desk.reader.want(MARKET, Position(2, 4 * S), 0.0)
    assert [p.trade_id for p in fetched(desk).past] == []
    assert len(desk.source.asked) == 1


def test_forgotten_market_is_not_asked_for() -> None:
    """Nothing is fetched for a market that nobody watches any more."""
    desk = Desk()
    desk.reader.want(MARKET, Position(1, S), 0.0)
    desk.reader.want(OTHER, Position(1, S), 0.0)
    desk.reader.forget("BTC/USD")
    desk.reader.start()
    assert fetched(desk).market == "ETH/USD"
    desk.reader.stop(5)
    assert desk.source.asked == ["XETHZUSD trades"]


def test_asking_anew_does_not_hurry_what_has_failed() -> None:
    """A market that is asked about at every poll keeps the pause that its failure has brought."""
    desk = Desk()
    desk.source.failures = [KrakenConnectionError("no", request_sent=False)]
    desk.reader.want(MARKET, Position(1, S), 0.0)
    errand = desk.reader._errands["BTC/USD"]
    with pytest.raises(KrakenConnectionError):
        desk.reader._step(errand)
    desk.reader._put_off(errand, "no")
    desk.reader.want(MARKET, Position(1, S), -1.0)
    assert desk.reader._errands["BTC/USD"].due == errand.due


def test_what_fails_is_tried_more_and_more_slowly_until_a_call_comes_through() -> None:
    """Kraken is not asked without a pause while it refuses; a page that came ends the waiting."""
    source, now = Source(1400), [100.0]
    clocks = Clocks(lambda: 9000.0, lambda: 9000.0, lambda: now[0])
    reader = PastReader(source, lambda said: None, clocks, replace(PACE, retry=1.0, retry_max=3.0))
    reader.want(MARKET, Position(1, S), 0.0)

    def put_off() -> float:
        errand = reader._next()
        assert errand is not None
        reader._put_off(errand, "no")
        wait, now[0] = errand.due - now[0], errand.due
        return wait

    assert [put_off() for _ in range(4)] == [1.0, 2.0, 3.0, 3.0]
    reader._step(reader._errands["BTC/USD"])
    assert put_off() == 1.0


def test_errand_that_is_not_due_stands_behind_one_that_is() -> None:
    """However urgent it is: what it asks for is not there yet."""
    desk = Desk()
    desk.reader.want(MARKET, Position(1, S), 60.0, urgency=0.0)
    desk.reader.want(OTHER, Position(1, S), 0.0, urgency=1.0)
    errand = desk.reader._next()
    assert errand is not None
    assert errand.market == OTHER


class Steps(Desk):
    """A reader whose calls the test makes one by one."""

    def want(self, delay: float, place: int = 1) -> None:
        self.reader.want(MARKET, Position(place, place * S), delay)

    def step(self) -> None:
        self.reader._step(self.reader._errands["BTC/USD"])

    @property
    def answer(self) -> list[int] | None:
        """The numbers of the trades that were posted, None if nothing was."""
        if self.posted.empty():
            return None
        found = fetched(self)
        return [one.trade_id for one in found.past if not one.bar_seconds]


def test_link_that_breaks_at_every_page_does_not_begin_anew() -> None:
    """A hole of several pages is closed however often the stream comes back meanwhile."""
    desk = Steps()
    desk.source.count = 1400
    for _ in range(2):
        desk.want(0.0)
        desk.step()
    assert desk.answer == list(range(1, 1401))
    assert len(desk.source.asked) == 2


def test_what_is_traded_until_the_link_stands_belongs_to_the_answer() -> None:
    """An answer that came too early for the last return of the stream is completed."""
    desk = Steps()
    desk.source.count = 3
    desk.want(60.0)
    desk.step()
    assert desk.answer is None
    errand = desk.reader._errands["BTC/USD"]
    assert errand.due == errand.settled
    desk.source.count = 5
    errand.settled = 0.0
    desk.step()
    assert desk.answer == [1, 2, 3, 4, 5]


def test_answer_is_put_off_once_and_not_for_ever() -> None:
    """A stream that comes back again and again leaves the last page its turn."""
    desk = Steps()
    desk.want(60.0)
    desk.step()
    settled = desk.reader._errands["BTC/USD"].settled
    desk.want(90.0)
    assert desk.reader._errands["BTC/USD"].settled == settled


def test_candles_are_asked_for_again_when_more_is_wanted() -> None:
    """What stood for the trades beyond the bound ends where it was asked for."""
    desk = Steps()
    desk.source.count = 5000
    desk.want(60.0, 0)
    for _ in range(3):
        desk.step()
    desk.reader._errands["BTC/USD"].settled = 0.0
    for _ in range(2):
        desk.step()
    assert desk.answer == list(range(1, 2999))
    assert [what for what in desk.source.asked if "candles" in what] == [
        "XXBTZUSD candles of 1",
        "XXBTZUSD candles of 1",
    ]


def test_earlier_place_begins_anew() -> None:
    """What was fetched from a later place on does not tell what was traded before it."""
    desk = Steps()
    desk.source.count = 1400
    desk.want(0.0, 900)
    desk.reader._errands["BTC/USD"].settled += 60
    desk.step()
    desk.want(0.0, 1)
    for _ in range(2):
        desk.step()
    assert desk.answer == list(range(1, 1401))


def test_call_under_way_keeps_the_pace_for_what_was_asked_meanwhile() -> None:
    """Kraken limits calls for one pair; the next one waits, whoever asks."""
    desk = Steps()
    desk.reader = PastReader(desk.source, desk.posted.put, CLOCKS, replace(PACE, pair_gap=60))
    desk.want(0.0)
    errand = desk.reader._errands["BTC/USD"]
    desk.want(0.0)
    desk.reader._step(errand)
    assert desk.answer is None
    assert desk.reader._errands["BTC/USD"].due > errand.due + 50


def test_two_calls_keep_the_distance_that_kraken_bears() -> None:
    """Of different markets as well: the address is what is counted."""
    desk, moments = Desk(), list[float]()
    desk.reader = PastReader(desk.source, desk.posted.put, CLOCKS, replace(PACE, gap=0.06))
    get_trades = desk.source.get_trades

    def timed(pair: str, since: str | int | None = None) -> dict[str, Any]:
        moments.append(time.monotonic())
        return get_trades(pair, since)

    desk.source.get_trades = timed  # type: ignore[method-assign]  # the moment of each call
    for market in (MARKET, OTHER):
        desk.reader.want(market, Position(0, 8999 * S), 0.0)
    desk.reader.start()
    desk.next()
    desk.next()
    desk.reader.stop(5)
    assert moments[1] - moments[0] >= 0.06


def test_hole_is_looked_back_over_however_wrong_the_clock_may_be() -> None:
    """While nobody knows the time, no trade is too old to be asked for."""
    desk = Desk()
    desk.source.count = 30
    clocks = Clocks(lambda: 9e8, lambda: 9e8, time.monotonic, lambda: False)
    desk.reader = PastReader(desk.source, desk.posted.put, clocks, PACE)
    desk.reader.want(MARKET, Position(10, 10 * S), 0.0)
    desk.reader.start()
    found = fetched(desk)
    desk.reader.stop(5)
    assert [one.trade_id for one in found.past if not one.bar_seconds][-1] == 30
    assert found.past[0].trade_id <= 11
    assert found.asked_at is not None
