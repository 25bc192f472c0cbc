"""Kraken's clock turns out to be another than was thought, while rows wait: none goes deaf.

An answer was late, or came from somewhere else, or the machine stood still in the middle of one;
the next answer tells better.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from tests.kits.rows.watch_kit import MARKET, S, rule
from tests.ttslo_app.watch.test_watch_clock import BEGIN, HOUR, NAME, Adrift
from ttslo_app.clocks import iso_moment
from ttslo_app.messages import BookArm
from ttslo_app.rules.rule import WhenBlind
from ttslo_app.watch.tape import Position, Saved


class Mistaken(Adrift):
    """A watch to which Kraken has told the time, `off` ahead of what it is."""

    knows_at_once = True

    @property
    def error(self) -> float:
        return self.off

    def learn(self) -> None:
        """Let Kraken tell better what time it is."""
        self.off = 0.0


@pytest.fixture(params=[20.0, HOUR, -20.0, -HOUR], ids=lambda s: f"{s:+.0f} s")
def bench(request: pytest.FixtureRequest) -> Mistaken:
    """Hand out a watch with each error of its clock."""
    made = Mistaken()
    made.off = request.param
    made.__post_init__()
    return made


def test_price_and_trade_fire_what_was_armed_by_another_clock(bench: Mistaken) -> None:
    """Each came after the arming, whatever hour that was taken for."""
    wrong = bench.off
    bench.wait_for(name="ticker")
    bench.go_on(1)
    bench.learn()
    bench.watch.price(NAME, Decimal(51001), bench.clocks.monotonic())
    assert bench.fired_at == [51001]
    bench.off, bench.present = wrong, Decimal(50000)
    bench.wait_for(name="trade")
    bench.go_on(5)
    bench.learn()
    bench.print(1, 51002)
    assert bench.fired_at == [51001, 51002]


def test_row_of_an_earlier_run_hears_what_comes(bench: Mistaken) -> None:
    """It may have been armed a moment before this run began."""
    bench.wait_for(BEGIN + bench.error - 0.5, name="old")
    bench.go_on(2)
    bench.learn()
    bench.print(1, 51001)
    assert bench.fired_at == [51001]


def test_what_was_missed_counts_from_the_arming_on(bench: Mistaken) -> None:
    """Neither less of the past nor more of it: a trade of before the arming fires nothing."""
    bench.go_on(30)
    bench.wait_for()
    armed_at = bench.now
    bench.go_on(10)
    bench.learn()
    bench.watch.go_blind([NAME], bench.now)
    bench.go_on(10)
    bench.watch.see_again()
    bench.answer((6, 51007, armed_at - 5), (7, 50000, armed_at + 1))
    assert bench.fired_at == []
    bench.watch.go_blind([NAME], bench.now)
    bench.go_on(10)
    bench.watch.see_again()
    bench.answer((8, 51001, armed_at + 22), (9, 50000, armed_at + 23))
    assert bench.fired_at == [51001]


def test_place_of_a_market_without_a_trade_follows_the_clock(bench: Mistaken) -> None:
    """REST would be asked for what comes after a moment that is still to come."""
    bench.wait_for()
    bench.answer()
    bench.go_on(5)
    bench.learn()
    bench.print(1, 50000)
    bench.answer((1, 50000, bench.now))
    place = bench.watch.places().places[NAME]
    assert place.at_ns <= round(bench.now * S)
    bench.watch.go_blind([NAME], bench.now)
    bench.go_on(1)
    bench.watch.see_again()
    assert bench.asked[-1][1].at_ns <= round(bench.now * S)


def test_row_to_be_told_of_only_hears_in_doubt_by_the_clock_of_now(bench: Mistaken) -> None:
    """A trade that comes while it is hidden counts for it: it came after the arming."""
    bench.wait_for()
    one = replace(rule(rule_id="quiet"), when_blind=WhenBlind.NOTIFY)
    bench.watch.arm(BookArm(one, MARKET, iso_moment(round((bench.now + bench.error) * S))))
    bench.go_on(2)
    bench.learn()
    bench.print(1, 50000)
    bench.print(3, 50000)  # a hole: it is hidden
    bench.go_on(1)
    bench.print(4, 51001)
    bench.answer((1, 50000, BEGIN + 2), (2, 50000, BEGIN + 2), (3, 50000, BEGIN + 2))
    assert {c.rule.id for c in bench.crossings} == {"up", "quiet"}


def test_rows_of_before_stay_rows_of_before(bench: Mistaken) -> None:
    """What an earlier run armed is looked back for from its own moment on."""
    bench.saved = Saved(BEGIN - 100, {NAME: Position(5, round((BEGIN - 100) * S))})
    bench.__post_init__()
    bench.wait_for(BEGIN - 2 * HOUR, name="old")
    bench.go_on(1)
    bench.learn()
    bench.answer((6, 51001, BEGIN - 50), (7, 50000, BEGIN - 40))
    assert [crossing.rule.id for crossing in bench.crossings] == ["old"]
