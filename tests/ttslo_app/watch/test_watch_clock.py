"""Rows that are armed while nobody knows what time it is, and what is made good afterwards.

The machine's clock is off, Kraken does not tell the time at first, and then it does.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from krakenlink.pairs import Symbol
from krakenlink.stream.events import TradePrint, Trades
from tests.kits.rows.watch_kit import MARKET, S, WatchBench, rule
from ttslo_app.clocks import Clocks, iso_moment
from ttslo_app.messages import BookArm, Crossing, Fetched, FirstCrossing, Past
from ttslo_app.rules.rule import WhenBlind
from ttslo_app.watch.tape import Position, Saved
from ttslo_app.watch.watch import Watch, hear

BEGIN = 1_800_000_000.0
HOUR, DAY = 3_600.0, 86_400.0
OFF = {
    "3 days ahead": 3 * DAY,
    "1 h ahead": HOUR,
    "right": 0.0,
    "1 h behind": -HOUR,
    "3 days behind": -3 * DAY,
}
NAME = "BTC/USD"


class Adrift(WatchBench):
    """A watch whose machine's clock is off by so much; `now` is the truth."""

    off = 0.0
    knows_at_once = False

    def __post_init__(self) -> None:
        self.now, self.is_clock_known = BEGIN, self.knows_at_once
        self.watch = Watch(
            submit=self.take,
            say=lambda level, text, **fields: self.said.append((level, text)),
            want=self.ask,
            present=lambda market: self.present,
            clocks=self.clocks,
            default=WhenBlind.ALWAYS,
            saved=self.saved,
        )

    @property
    def clocks(self) -> Clocks:
        return Clocks(
            kraken=lambda: self.now + self.error,
            wall=lambda: self.now + self.off,
            monotonic=lambda: self.now - BEGIN + 50.0,
            is_known=lambda: self.is_clock_known,
        )

    @property
    def error(self) -> float:
        """How far Kraken's clock is believed to be ahead of what it is."""
        return 0.0 if self.is_clock_known else self.off

    def go_on(self, seconds: float) -> None:
        self.now += seconds

    def learn(self) -> None:
        """Let Kraken say what time it is; the next thing that happens takes it in."""
        self.is_clock_known = True
        self.watch.places()

    def wait_for(self, since: float | None = None, **changes: object) -> None:
        """Arm a row at or above 51000, as of an earlier run where a moment is given."""
        text = "" if since is None else iso_moment(round(since * S))
        self.watch.arm(BookArm(rule(rule_id=str(changes.pop("name", "up"))), MARKET, text))

    def print(self, number: int, price: int, at: float | None = None) -> None:
        """Let a trade of now come, or of another moment."""
        self.present = Decimal(price)
        moment = iso_moment(round((self.now if at is None else at) * S))
        one = TradePrint(Symbol(NAME), Decimal(price), Decimal(1), number, moment)
        self.watch.trades(Trades(Symbol(NAME), (one,), self.now - BEGIN + 50.0))

    def answer(self, *trades: tuple[int, int, float]) -> None:
        """Let REST's answer come: number, price and moment of each trade."""
        past = tuple(Past(n, Decimal(price), round(at * S)) for n, price, at in trades)
        newest = past[-1] if past else None
        at = self.clocks.monotonic()
        until = self.clocks.kraken()
        self.watch.fetched(Fetched(NAME, past, newest, False, until, at))


@pytest.fixture(params=list(OFF.values()), ids=list(OFF))
def bench(request: pytest.FixtureRequest) -> Adrift:
    """Hand out a watch with each clock that is off."""
    made = Adrift()
    made.off = request.param
    made.__post_init__()
    return made


def test_spike_that_was_missed_is_found_once_the_time_is_known(bench: Adrift) -> None:
    """It came half a second after the row was armed, and nobody saw it."""
    bench.wait_for()
    spike = bench.now + 0.5
    bench.go_on(30)
    bench.print(9, 50000)
    assert bench.asked == []
    bench.learn()
    assert [after.at_ns for _, after in bench.asked] == [pytest.approx(BEGIN * S, abs=1000)]
    bench.answer((7, 51001, spike), (8, 50000, spike + 1), (9, 50000, bench.now))
    assert bench.fired_at == [51001]
    assert bench.crossings[0].at_ns == pytest.approx(spike * S, abs=1000)


@pytest.mark.parametrize("before", [0.1, 2.0, HOUR / 2, 2 * HOUR, 2 * DAY])
def test_crossing_from_before_the_arming_never_fires(bench: Adrift, before: float) -> None:
    """Whatever the machine's clock says, and however late it is found."""
    old = (7, 51001, BEGIN - before)
    bench.wait_for()
    bench.go_on(30)
    bench.print(9, 50000)
    bench.answer(old, (8, 50000, BEGIN + 1), (9, 50000, bench.now))
    assert bench.fired_at == []
    bench.learn()
    bench.answer(old, (8, 50000, BEGIN + 1), (9, 50000, bench.now))
    assert bench.fired_at == []
    bench.go_on(1)
    bench.print(10, 51002)
    assert bench.fired_at == [51002]


def test_price_of_now_fires_whatever_the_clock_says(bench: Adrift) -> None:
    """Trades and tickers alike, of a row of this run and of an earlier one."""
    bench.wait_for()
    bench.wait_for(BEGIN - DAY, name="old")
    bench.go_on(1)
    bench.print(1, 51001)
    assert bench.fired_at == [51001, 51001]
    bench.present = Decimal(50000)
    bench.wait_for(name="next")
    bench.wait_for(BEGIN - DAY, name="older")
    bench.go_on(1)
    bench.watch.price(NAME, Decimal(51003), bench.clocks.monotonic())
    assert bench.fired_at[2:] == [51003, 51003]


def test_price_that_came_before_the_arming_fires_nothing(bench: Adrift) -> None:
    """When it came is known exactly, without anybody's time of day."""
    bench.go_on(5)
    came = bench.clocks.monotonic() - 1
    bench.wait_for()
    bench.watch.price(NAME, Decimal(51003), came)
    assert bench.fired_at == []
    bench.watch.price(NAME, Decimal(51003), came + 2)
    assert bench.fired_at == [51003]


def test_row_of_an_earlier_run_is_judged_by_its_own_moment(bench: Adrift) -> None:
    """It was written down when the time was known: what it missed since fires it at once."""
    bench.saved = Saved(BEGIN - DAY, {NAME: Position(5, round((BEGIN - DAY) * S))})
    bench.__post_init__()
    bench.wait_for(BEGIN - 2 * DAY, name="old")
    bench.wait_for(name="new")
    assert [after.trade_id for _, after in bench.asked] == [5]
    bench.go_on(2)
    bench.answer((6, 51001, BEGIN - HOUR), (7, 50000, BEGIN - 60), (8, 50000, BEGIN))
    assert [crossing.rule.id for crossing in bench.crossings] == ["old"]


def test_new_row_beside_an_old_one_is_looked_back_for_once_the_time_is_known(
    bench: Adrift,
) -> None:
    """What it missed in its first moments is asked for again, since it could not be judged."""
    bench.saved = Saved(BEGIN - DAY, {NAME: Position(5, round((BEGIN - DAY) * S))})
    bench.__post_init__()
    bench.wait_for(BEGIN - 2 * DAY, name="old")
    bench.wait_for(name="new")
    tell = ((6, 50000, BEGIN - 60), (7, 51001, BEGIN + 0.4), (8, 50000, BEGIN + 2))
    bench.go_on(3)
    bench.answer(*tell)
    assert [crossing.rule.id for crossing in bench.crossings] == ["old"]
    asked = len(bench.asked)
    bench.learn()
    assert len(bench.asked) == asked + 1
    bench.answer(*tell)
    assert [crossing.rule.id for crossing in bench.crossings] == ["old", "new"]


def test_old_row_that_comes_later_has_the_past_asked_for(bench: Adrift) -> None:
    """Its moment is known, so nothing has to wait for the time."""
    bench.wait_for(name="new")
    assert bench.asked == []
    bench.wait_for(BEGIN - HOUR / 2, name="old")
    assert [after.at_ns for _, after in bench.asked] == [round((BEGIN - HOUR / 2) * S)]


def test_cut_while_nobody_knows_the_time_is_looked_back_over_afterwards(bench: Adrift) -> None:
    """The spike came in the dark, right after the cut."""
    bench.wait_for()
    bench.go_on(2)
    bench.print(1, 50000)
    bench.present = None
    bench.watch.go_blind([NAME], bench.clocks.kraken())
    spike = bench.now + 0.2
    bench.go_on(60)
    bench.watch.see_again()
    bench.print(4, 50000)
    assert bench.asked == []
    bench.learn()
    bench.answer((1, 50000, BEGIN + 2), (2, 51001, spike), (3, 50000, spike + 1))
    assert bench.fired_at == [51001]


def test_place_that_is_a_guess_is_not_kept(bench: Adrift) -> None:
    """A next run would take it for the truth; once the time is known it is kept."""
    bench.wait_for()
    bench.go_on(2)
    assert bench.watch.places().places == {}
    bench.learn()
    place = bench.watch.places().places[NAME]
    assert place.at_ns == pytest.approx(BEGIN * S, abs=1000)


def test_places_of_an_earlier_run_survive_any_clock(bench: Adrift) -> None:
    """A clock that is a year ahead makes none of them too old to keep."""
    place = Position(5, round((BEGIN - DAY) * S))
    bench.saved, bench.off = Saved(BEGIN - DAY, {"ETH/USD": place}), 365 * DAY
    bench.__post_init__()
    bench.wait_for()
    kept = bench.watch.places()
    assert kept.places == {"ETH/USD": place}
    assert kept.at == BEGIN - DAY


def test_first_crossing_of_what_fired_is_found_once_the_time_is_known(bench: Adrift) -> None:
    """A ticker fired it; the trade that crossed first is told afterwards, by its own moment."""
    bench.wait_for()
    bench.wait_for(name="other")
    bench.go_on(10)
    first = bench.now - 3
    bench.watch.price(NAME, Decimal(51005), bench.clocks.monotonic())
    assert bench.fired_at == [51005, 51005]
    bench.go_on(1)
    bench.wait_for(name="third")
    bench.learn()
    bench.answer((1, 51001, first), (2, 51005, first + 3))
    found = {one.rule_id: one for one in bench.found}
    assert found["up"] == FirstCrossing("up", "51001", found["up"].at)
    assert found["up"].at == iso_moment(round(first * S))


def test_older_crossing_is_not_taken_for_the_first_of_a_guess(bench: Adrift) -> None:
    """What was traded an hour before the arming led to nothing, whatever the clock said."""
    bench.saved = Saved(BEGIN - DAY, {NAME: Position(5, round((BEGIN - DAY) * S))})
    bench.__post_init__()
    bench.wait_for(BEGIN - 2 * DAY, name="old")
    bench.wait_for(name="new")
    bench.go_on(2)
    bench.watch.price(NAME, Decimal(51005), bench.clocks.monotonic())
    bench.answer((6, 51001, BEGIN - HOUR), (7, 51005, bench.now))
    bench.learn()
    bench.answer((6, 51001, BEGIN - HOUR), (7, 51005, bench.now))
    assert {one.rule_id for one in bench.found} == {"old"}


def test_row_that_is_armed_with_a_kept_moment_is_right_at_once(bench: Adrift) -> None:
    """The order thread armed it before the time was known; the news of it came afterwards."""
    bench.go_on(5)
    armed_at = bench.clocks.monotonic() - 4
    bench.is_clock_known = True
    wrong = iso_moment(round((bench.now + bench.off) * S))
    bench.watch.arm(BookArm(rule(rule_id="up"), MARKET, wrong, since_at=armed_at))
    (armed,) = bench.watch.rules.values()
    assert armed.since_ns == pytest.approx((BEGIN + 1) * S, abs=1000)
    assert (armed.since_at, armed.is_guess) == (armed_at, False)


def test_time_is_taken_in_once(bench: Adrift) -> None:
    """Nothing is asked for twice, and a second answer of the clock moves nothing."""
    bench.wait_for()
    bench.go_on(2)
    bench.learn()
    asked, rules = list(bench.asked), dict(bench.watch.rules)
    bench.go_on(2)
    bench.learn()
    assert (bench.asked, dict(bench.watch.rules)) == (asked, rules)


def test_row_to_be_told_of_only_is_seen_in_the_dark_whatever_the_clock_says(
    bench: Adrift,
) -> None:
    """A trade that comes while it is hidden counts for it: it came after the arming."""
    bench.wait_for()
    one = replace(rule(rule_id="quiet"), when_blind=WhenBlind.NOTIFY)
    bench.watch.arm(BookArm(one, MARKET, ""))
    bench.go_on(2)
    bench.print(1, 50000)
    bench.print(3, 50000)  # a hole: it is hidden
    bench.go_on(1)
    bench.print(4, 51001)
    bench.learn()
    bench.answer((1, 50000, BEGIN + 2), (2, 50000, BEGIN + 2), (3, 50000, BEGIN + 2))
    fired = {c.rule.id: c for c in bench.crossings if isinstance(c, Crossing)}
    assert "quiet" in fired
    assert fired["quiet"].price == 51001


def test_market_that_did_not_trade_hides_no_later_crossing(bench: Adrift) -> None:
    """Its empty answer came while nobody knew the time; the spike comes in a cut, much later."""
    bench.wait_for(BEGIN - HOUR, name="old")
    bench.go_on(2)
    bench.answer()
    bench.learn()
    bench.go_on(20)
    bench.watch.go_blind([NAME], bench.clocks.kraken())
    spike = bench.now + 0.3
    bench.go_on(10)
    bench.watch.see_again()
    bench.answer((1, 51001, spike), (2, 50000, spike + 1))
    assert bench.fired_at == [51001]


def test_trade_of_now_is_heard_by_the_clock_and_a_snapshot_is_not(bench: Adrift) -> None:
    """What is of the past would tell an hour that is over."""
    heard: list[tuple[float, float]] = []
    clocks = replace(
        bench.clocks, hear=lambda traded_at, seen_at: heard.append((traded_at, seen_at))
    )
    bench.watch = Watch(
        submit=bench.take,
        say=lambda level, text, **fields: None,
        want=bench.ask,
        present=lambda market: None,
        clocks=clocks,
    )
    bench.wait_for()
    one = TradePrint(Symbol(NAME), Decimal(1), Decimal(1), 1, iso_moment(round(BEGIN * S)))
    bench.watch.trades(Trades(Symbol(NAME), (one,), 50.0, is_snapshot=True))
    assert heard == []
    bench.watch.trades(Trades(Symbol(NAME), (replace(one, trade_id=2),), 50.0))
    bench.watch.trades(Trades(Symbol(NAME), (replace(one, trade_id=3, timestamp=""),), 50.0))
    assert heard == [(BEGIN, 50.0)]
    bench.learn()
    bench.watch.trades(Trades(Symbol(NAME), (replace(one, trade_id=4),), 51.0))
    assert len(heard) == 1


def test_newest_trade_of_a_frame_tells_the_time() -> None:
    """Those before it may have been traded seconds earlier, as one frame holds a snapshot too."""
    heard: list[tuple[float, float]] = []
    clocks = Clocks(
        *(lambda: 0.0,) * 3, hear=lambda traded_at, seen_at: heard.append((traded_at, seen_at))
    )
    moments = ("2027-01-15T08:00:00Z", "2027-01-15T08:00:07.5Z")
    prints = tuple(
        TradePrint(Symbol("BTC/USD"), Decimal(1), Decimal(1), number, moment)
        for number, moment in enumerate(moments)
    )
    hear(Trades(Symbol("BTC/USD"), prints, 3.0), clocks)
    assert heard == [(BEGIN + 7.5, 3.0)]
