"""What is written down of a row while nobody knows what time it is, and put right afterwards."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.kits.orders.order_bench import Bench, ManualClock, Reply, rule
from ttslo_app.clocks import SECOND, Clocks, nanoseconds
from ttslo_app.messages import BookArm, Crossing

OFF = {"1 h ahead": 3600.0, "3 days behind": -3 * 86_400.0}


class WrongClock(ManualClock):
    """A machine's clock that is off, until Kraken tells the time."""

    def __init__(self, off: float) -> None:
        super().__init__()
        self.off, self.is_known = off, False
        self.begin = self.seconds

    @property
    def clocks(self) -> Clocks:
        return Clocks(
            kraken=lambda: self.seconds + (0.0 if self.is_known else self.off),
            wall=lambda: self.seconds + self.off,
            monotonic=self.monotonic,
            is_known=lambda: self.is_known,
        )


class AdriftBench(Bench):
    """A bench on such a machine."""

    clock: WrongClock

    def __init__(self, off: float) -> None:
        self.off = off
        super().__init__(rule())

    def restart(self, doubted: object = (), undecided: object = ()) -> None:
        if not isinstance(self.clock, WrongClock):
            self.clock = WrongClock(self.off)
            self.kraken.clock = self.clock
        super().restart()


@pytest.fixture(params=list(OFF.values()), ids=list(OFF))
def bench(request: pytest.FixtureRequest) -> AdriftBench:
    """Hand out a bench whose row was armed by a clock that is off."""
    return AdriftBench(request.param)


def moment_of(text: str) -> float:
    """Return a moment of a file in seconds since 1970."""
    at_ns = nanoseconds(text)
    assert at_ns is not None, text
    return at_ns / SECOND


def test_row_is_told_to_the_watch_with_its_moment_by_the_steady_clock(bench: AdriftBench) -> None:
    """The price loop can tell what was traded before the arming, once the time is known."""
    (change,) = bench.changes
    assert isinstance(change, BookArm)
    assert change.since_at == bench.clock.begin
    assert nanoseconds(bench.life().waits_since) is None


def test_rows_that_were_armed_at_one_guess_are_all_put_right(bench: AdriftBench) -> None:
    """A guess that many rows have is one text, and each of them learns what it was."""
    bench.files.rules |= {r.id: r for r in (rule("eth"), rule("sol"))}
    bench.clock.seconds += 30
    bench.adopt()
    bench.clock.is_known = True
    bench.worker.work_off()
    since = {name: moment_of(bench.life(name).waits_since) for name in ("btc", "eth", "sol")}
    assert since["eth"] == since["sol"] == pytest.approx(bench.clock.begin + 30, abs=0.01)
    assert since["btc"] == pytest.approx(bench.clock.begin, abs=0.01)


def test_moment_of_arming_is_put_right_in_state(bench: AdriftBench) -> None:
    """On the disk, too, and whatever row is told of again has it."""
    bench.clock.seconds += 100
    bench.clock.is_known = True
    bench.worker.work_off()
    assert moment_of(bench.life().waits_since) == pytest.approx(bench.clock.begin, abs=0.01)
    assert moment_of(bench.files.disk["btc"]["row_at"]) == pytest.approx(
        bench.clock.begin, abs=0.01
    )
    assert bench.life().cl_ord_id == bench.files.disk["btc"]["cl_ord_id"]
    bench.worker.roll.arm_as_it_is("btc")
    again = bench.changes[-1]
    assert isinstance(again, BookArm)
    assert again.since_at is None
    assert moment_of(again.since) == pytest.approx(bench.clock.begin, abs=0.01)


def test_guess_that_is_left_behind_means_from_now_on(bench: AdriftBench) -> None:
    """A program that was killed before it knew the time leaves no hour that never was."""
    bench.restart()
    (change,) = bench.changes[1:]
    assert isinstance(change, BookArm)
    assert nanoseconds(change.since) is None


def test_crossing_keeps_its_age_when_the_time_becomes_known(bench: AdriftBench) -> None:
    """Its order was lost; it is 20 s old, and is placed at once whatever the price is by now."""
    bench.kraken.replies = [Reply.NEVER]
    seen = Crossing(rule(), Decimal(50001), "50001", seen_at=bench.clock.seconds)
    bench.worker.submit(seen)
    bench.worker.work_off()
    bench.clock.is_known = True
    bench.wait(25)
    assert bench.placed == 1
    assert bench.heard("none was placed; it is placed now")
    told = moment_of(bench.life().trigger_time)
    assert told == pytest.approx(bench.clock.begin, abs=0.6)


def test_moments_of_a_placed_order_are_put_right(bench: AdriftBench) -> None:
    """When it crossed and when its order was placed are for people to read."""
    bench.cross()
    bench.clock.seconds += 5
    bench.clock.is_known = True
    bench.worker.work_off()
    life = bench.life()
    for text in (life.trigger_time, life.activated_on, life.intended_at):
        assert moment_of(text) == pytest.approx(bench.clock.begin, abs=0.6)


def test_changed_row_waits_since_its_change(bench: AdriftBench) -> None:
    """Its moment is a guess of its own, and put right by itself."""
    bench.clock.seconds += 50
    bench.files.rules["btc"] = rule(threshold_price="60000")
    bench.adopt()
    change = bench.changes[-1]
    assert isinstance(change, BookArm)
    assert change.since_at == bench.clock.begin + 50
    bench.clock.seconds += 50
    bench.clock.is_known = True
    bench.worker.work_off()
    assert moment_of(bench.life().waits_since) == pytest.approx(bench.clock.begin + 50, abs=0.01)


def test_row_that_is_told_after_the_time_is_known_needs_no_guess() -> None:
    """A right clock writes down what is right, and nothing is put right."""
    bench = Bench(rule())
    (change,) = bench.changes
    assert isinstance(change, BookArm)
    assert change.since_at is None
    assert moment_of(change.since) == pytest.approx(bench.clock.seconds, abs=0.01)


def test_row_that_nobody_can_read_keeps_no_other_from_being_put_right(bench: AdriftBench) -> None:
    """It comes first, does not trade, and its moments say nothing."""
    bench.files.rules["eth"] = rule("eth")
    bench.clock.seconds += 30
    bench.adopt()
    bench.worker.state["btc"]["generation"] = "one"
    bench.clock.is_known = True
    bench.worker.work_off()
    since = moment_of(bench.life("eth").waits_since)
    assert since == pytest.approx(bench.clock.begin + 30, abs=0.01)
