"""What the watch knows of rows that belong together: the order of one trade, and what was held."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import pytest

from tests.kits.rows.watch_kit import ABOVE, BELOW, MARKET, WatchBench, rule
from ttslo_app.messages import BookArm, Crossing
from ttslo_app.rules.rule import WhenBlind

# The moment of the bench's clock, and one a while before it.
NOW, BEFORE = "1970-01-01T00:16:40+00:00", "1970-01-01T00:10:00+00:00"
HELD = Crossing(rule(51000), Decimal(51500), "51500", at_ns=600 * 10**9, seen_at=900.0)


def bench_at(price: int | None) -> WatchBench:
    """Return a bench whose proven price is that."""
    bench = WatchBench()
    bench.present = None if price is None else Decimal(price)
    return bench


def backwards(ids: Sequence[str]) -> list[str]:
    """Put ids in another order than that of their thresholds."""
    return sorted(ids, reverse=True)


def test_one_trade_fires_in_the_order_that_it_is_told() -> None:
    """Without a word about it the nearest threshold comes first."""
    for order, expected in ((None, ["a", "b"]), (backwards, ["b", "a"])):
        bench = WatchBench()
        if order is not None:
            bench.watch.in_order = order
        bench.settle()
        bench.arm(threshold=51000, name="a")
        bench.arm(threshold=51500, name="b")
        bench.trade(2, 52000)
        assert [one.key for one in bench.crossings] == expected


def test_rows_that_cannot_be_put_in_order_are_crossed_by_the_next_price() -> None:
    """An error of whoever orders them costs no row its crossing."""

    def broken(_: Sequence[str]) -> list[str]:
        raise RuntimeError("a defect")

    bench = WatchBench()
    bench.settle()
    bench.arm(threshold=51000, name="a")
    bench.arm(threshold=51500, name="b")
    bench.watch.in_order = broken
    with pytest.raises(RuntimeError):
        bench.trade(2, 52000)
    bench.watch.in_order = list
    bench.trade(3, 52000)
    assert [one.key for one in bench.crossings] == ["a", "b"]


def test_trades_in_order_come_before_any_order_of_rows() -> None:
    """What an earlier trade crosses is first, wherever its row stands."""
    bench = WatchBench()
    bench.watch.in_order = backwards
    bench.settle()
    bench.arm(threshold=51000, name="a")
    bench.arm(threshold=51500, name="b")
    bench.trade(2, 51200, 52000)
    assert [one.key for one in bench.crossings] == ["a", "b"]


def test_past_trade_fires_in_the_order_that_it_is_told() -> None:
    """A trade that nobody saw has crossed both."""
    bench = WatchBench(default=WhenBlind.ALWAYS)
    bench.watch.in_order = backwards
    bench.settle()
    bench.arm(threshold=51000, name="a", since=BEFORE)
    bench.arm(threshold=51500, name="b", since=BEFORE)
    bench.go_blind()
    bench.watch.see_again()
    bench.past(2, 52000)
    assert [one.key for one in bench.crossings] == ["b", "a"]


@pytest.mark.parametrize(
    ("policy", "price", "fires"),
    [
        (WhenBlind.ARM_IF_BEYOND, 52000, 52000),
        (WhenBlind.ARM_IF_BEYOND, 50000, None),
        (WhenBlind.ARM_IF_BEYOND, None, None),
        (WhenBlind.ALWAYS, 50000, 51500),
        (WhenBlind.ALWAYS, None, 51500),
        (WhenBlind.NOTIFY, 52000, None),
        (WhenBlind.NOTIFY, 50000, None),
    ],
)
def test_crossing_that_was_held_is_one_that_nobody_saw(
    policy: WhenBlind, price: int | None, fires: int | None
) -> None:
    """The row's policy decides, at the price of now; either way the row is watched again."""
    bench = bench_at(price)
    bench.watch.arm(BookArm(rule(51000, policy=policy), MARKET, BEFORE, held=HELD))
    assert [one.price for one in bench.crossings] == ([] if fires is None else [Decimal(fires)])
    assert ("r" in bench.watch.rules) is (fires is None)


def test_told_only_it_waits_for_the_near_side() -> None:
    """As after a blind time: beyond the threshold nothing fires it, and it arms on the way back."""
    bench = bench_at(52000)
    bench.watch.arm(BookArm(rule(51000, policy=WhenBlind.NOTIFY), MARKET, BEFORE, held=HELD))
    bench.watch.price("BTC/USD", Decimal(52500))
    assert bench.crossings == []
    bench.watch.price("BTC/USD", Decimal(50500))
    bench.watch.price("BTC/USD", Decimal(51100))
    assert [one.price for one in bench.crossings] == [Decimal(51100)]


def test_price_from_before_its_arming_fires_no_new_row() -> None:
    """The proven price is older than the row; the next one counts."""
    bench = bench_at(52000)
    bench.watch.price("BTC/USD", Decimal(52000))
    bench.arm(threshold=60000, name="far")
    bench.now += 10
    since = "1970-01-01T00:16:50+00:00"
    bench.watch.arm(BookArm(rule(51000), MARKET, since, is_new=True))
    assert bench.crossings == []
    bench.now += 1
    bench.watch.price("BTC/USD", Decimal(52000))
    assert [one.key for one in bench.crossings] == ["r"]


def test_price_that_came_since_its_arming_fires_a_new_row() -> None:
    """It overtook the word that the row is armed, and nobody would look at it again."""
    bench = bench_at(49000)
    bench.arm(threshold=60000, name="far")
    bench.now += 10
    bench.watch.price("BTC/USD", Decimal(47000))
    below = rule(48000, BELOW)
    bench.watch.arm(BookArm(below, MARKET, NOW, is_new=True))
    assert [(one.key, one.price) for one in bench.crossings] == [("r", Decimal(47000))]


def test_new_row_of_a_market_without_a_price_waits_for_one() -> None:
    """A price that is proven, and that nobody has looked at, is older than the row."""
    bench = bench_at(52000)
    bench.watch.arm(BookArm(rule(51000, ABOVE), MARKET, NOW, is_new=True))
    assert bench.crossings == []


def test_watch_hands_out_the_very_thing_that_it_has_in_hand() -> None:
    """Whoever looks at an armed row later keeps nothing else of it."""
    bench = WatchBench()
    armed = bench.watch.arm(BookArm(rule(51000, rule_id="up"), MARKET))
    assert bench.watch.rules["up"] is armed
