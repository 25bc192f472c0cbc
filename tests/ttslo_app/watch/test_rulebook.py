"""The rule book alone: which armed rules a price fires."""

from __future__ import annotations

import gc
import random
import sys
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttslo_app.rules.rule import ThresholdType
from ttslo_app.watch.rulebook import RuleBook

ABOVE, BELOW = ThresholdType.ABOVE, ThresholdType.BELOW


def book(*rules: tuple[str, str, ThresholdType]) -> RuleBook:
    """Return a book with rules (id, threshold, type) on one market."""
    made = RuleBook()
    for rule_id, threshold, kind in rules:
        made.arm(rule_id, "BTC/USD", Decimal(threshold), kind)
    return made


@pytest.mark.parametrize("kind", [ABOVE, BELOW])
@pytest.mark.parametrize("decimals", range(13))
def test_boundary_equality_fires_and_one_step_short_does_not(
    kind: ThresholdType, decimals: int
) -> None:
    """At every number of decimals a price on the threshold fires, one tick before it does not."""
    threshold = Decimal("50000") + Decimal(7).scaleb(-decimals)
    step = Decimal(1).scaleb(-decimals)
    short = threshold - step if kind is ABOVE else threshold + step
    rules = book(("a", str(threshold), kind))
    assert rules.crossed("BTC/USD", short) == []
    assert rules.crossed("BTC/USD", threshold) == ["a"]


def test_fired_rule_has_left_the_book() -> None:
    """A rule fires once however often its threshold is crossed."""
    rules = book(("a", "50000", ABOVE))
    assert rules.crossed("BTC/USD", Decimal(50001)) == ["a"]
    assert rules.crossed("BTC/USD", Decimal(50002)) == []
    assert "a" not in rules


def test_crossed_nearest_threshold_comes_first() -> None:
    """Rules that one price crosses come in the order in which the price passed them."""
    up = book(("far", "51000", ABOVE), ("near", "50000", ABOVE))
    down = book(("far", "49000", BELOW), ("near", "50000", BELOW))
    assert up.crossed("BTC/USD", Decimal(52000)) == ["near", "far"]
    assert down.crossed("BTC/USD", Decimal(48000)) == ["near", "far"]


def test_crossed_looks_at_its_own_market_only() -> None:
    """A price of one market fires nothing of another, known or not."""
    rules = book(("a", "50000", ABOVE))
    rules.arm("b", "ETH/USD", Decimal(4000), ABOVE)
    assert rules.crossed("ETH/USD", Decimal(60000)) == ["b"]
    assert rules.crossed("SOL/USD", Decimal(60000)) == []
    assert list(rules) == ["a"]


def test_arm_again_takes_the_place_of_the_old_threshold() -> None:
    """A rule armed anew fires at its new threshold and not at its old one."""
    rules = book(("a", "50000", ABOVE), ("a", "60000", ABOVE))
    assert rules.crossed("BTC/USD", Decimal(55000)) == []
    assert len(rules) == 1
    assert rules.crossed("BTC/USD", Decimal(60000)) == ["a"]


def test_disarmed_rule_does_not_fire() -> None:
    """A disarmed rule is gone; disarming what is not there says so."""
    rules = book(("a", "50000", ABOVE))
    assert rules.disarm("a")
    assert not rules.disarm("a")
    assert rules.crossed("BTC/USD", Decimal(60000)) == []


def test_disarming_many_keeps_no_dead_entries() -> None:
    """Memory follows what is armed, however often rules come and go."""
    rules = book(("stays", "1", BELOW))
    for number in range(5000):
        rules.arm("comes and goes", "BTC/USD", Decimal(50000 + number), ABOVE)
    entries = sum(len(m.above) + len(m.below) for m in rules._markets.values())
    assert entries < 200
    assert rules.crossed("BTC/USD", Decimal(1)) == ["stays"]


def test_market_without_a_rule_is_kept_no_longer_than_dead_entries() -> None:
    """Memory follows the markets that are watched, too, and those that are left fire as before."""
    rules = book(("up", "50000", ABOVE), ("down", "40000", BELOW))
    for number in range(1000):
        rules.arm(f"r{number}", f"M{number}/USD", Decimal(1), ABOVE)
    for number in range(1000):
        rules.disarm(f"r{number}")
    assert len(rules._markets) < 200
    assert rules.nearest("BTC/USD") == [Decimal(50000), Decimal(40000)]
    assert rules.crossed("BTC/USD", Decimal(60000)) == ["up"]
    assert rules.crossed("BTC/USD", Decimal(30000)) == ["down"]


@pytest.mark.parametrize("side", [ABOVE, BELOW])
def test_tidied_book_fires_the_nearest_first(side: ThresholdType) -> None:
    """What is left once the dead entries were dropped stands in its order."""
    chance, rules = random.Random(7), RuleBook()
    levels = {f"r{number}": Decimal(chance.randrange(1, 10_000)) for number in range(400)}
    for name, level in levels.items():
        rules.arm(name, "BTC/USD", level, side)
    left = chance.sample(sorted(levels), 100)
    for name in levels.keys() - left:
        rules.disarm(name)
    assert sum(len(m.above) + len(m.below) for m in rules._markets.values()) < 300
    fired = rules.crossed("BTC/USD", Decimal(20_000 if side is ABOVE else 0))
    ordered = sorted(map(levels.__getitem__, left), reverse=side is BELOW)
    assert list(map(levels.__getitem__, fired)) == ordered


def test_armed_rule_takes_an_entry_and_its_number() -> None:
    """Of 100,000 rows each thing more that is kept for one fills 6 MB."""
    rules, level = RuleBook(), Decimal(50000)
    names = [f"r{number}" for number in range(2000)]
    for name in names[:1000]:
        rules.arm(name, "BTC/USD", level, ABOVE)
    gc.collect()
    before = sys.getallocatedblocks()
    for name in names[1000:]:
        rules.arm(name, "BTC/USD", level, ABOVE)
    assert sys.getallocatedblocks() - before <= 2100  # and a few for the tables


def test_thresholds_of_any_length_are_compared_exactly() -> None:
    """Digits beyond the precision of arithmetic still count."""
    long = "0.1234567890123456789012345678901234567895"
    shorter, longer = Decimal(long[:-1] + "4"), Decimal(long[:-1] + "6")
    above, below = book(("a", long, ABOVE)), book(("a", long, BELOW))
    assert above.crossed("BTC/USD", shorter) == []
    assert above.crossed("BTC/USD", Decimal(long)) == ["a"]
    assert below.crossed("BTC/USD", longer) == []
    assert below.crossed("BTC/USD", Decimal(long)) == ["a"]


_steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("arm"), st.integers(0, 9), st.integers(1, 30), st.sampled_from(ThresholdType)
        ),
        st.tuples(st.just("disarm"), st.integers(0, 9)),
        st.tuples(st.just("price"), st.integers(1, 30)),
    ),
    max_size=60,
)


@given(_steps)
def test_book_fires_what_brute_force_fires(steps: list[tuple[object, ...]]) -> None:
    """For any history of arm, disarm and price, the book fires exactly what a full scan would."""
    rules = RuleBook()
    armed: dict[str, tuple[Decimal, ThresholdType]] = {}
    for step in steps:
        match step:
            case ("arm", int(number), int(threshold), ThresholdType() as kind):
                rules.arm(f"r{number}", "BTC/USD", Decimal(threshold), kind)
                armed[f"r{number}"] = (Decimal(threshold), kind)
            case ("disarm", int(number)):
                assert rules.disarm(f"r{number}") == (armed.pop(f"r{number}", None) is not None)
            case ("price", int(price)):
                met = {
                    i
                    for i, (t, kind) in armed.items()
                    if (price >= t if kind is ABOVE else price <= t)
                }
                fired = rules.crossed("BTC/USD", Decimal(price))
                assert len(fired) == len(set(fired))
                assert set(fired) == met
                armed = {i: rule for i, rule in armed.items() if i not in met}
        assert set(rules) == set(armed)


@pytest.mark.plenty
def test_ten_thousand_random_histories_fire_what_brute_force_fires() -> None:
    """The same over 10,000 histories that a seeded chance wrote, long ones among them."""
    for seed in range(10_000):
        chance, rules = random.Random(seed), RuleBook()
        armed: dict[str, tuple[Decimal, ThresholdType]] = {}
        for _ in range(chance.randrange(4, 40)):
            name, level = f"r{chance.randrange(8)}", Decimal(chance.randrange(1, 30))
            match chance.randrange(4):
                case 0 | 1:
                    armed[name] = level, chance.choice((ABOVE, BELOW))
                    rules.arm(name, "BTC/USD", *armed[name])
                case 2:
                    assert rules.disarm(name) == (armed.pop(name, None) is not None)
                case _:
                    met = {i for i, (t, k) in armed.items() if is_met(level, t, k)}
                    assert set(rules.crossed("BTC/USD", level)) == met
                    armed = {i: rule for i, rule in armed.items() if i not in met}
        assert set(rules) == set(armed)


def is_met(price: Decimal, threshold: Decimal, kind: ThresholdType) -> bool:
    """Tell whether a price is at a threshold or beyond it."""
    return price >= threshold if kind is ABOVE else price <= threshold


def test_nearest_thresholds_are_those_that_live() -> None:
    """The next threshold of each side is told, whatever was disarmed on top of it."""
    book = RuleBook()
    assert book.nearest("m") == []
    for name, level, side in (
        ("a", 110, ThresholdType.ABOVE),
        ("b", 120, ThresholdType.ABOVE),
        ("c", 90, ThresholdType.BELOW),
        ("d", 80, ThresholdType.BELOW),
    ):
        book.arm(name, "m", Decimal(level), side)
    assert book.nearest("m") == [110, 90]
    book.disarm("a")
    book.disarm("c")
    assert book.nearest("m") == [120, 80]
    book.disarm("d")
    assert book.nearest("m") == [120]
    assert book.crossed("m", Decimal(120)) == ["b"]
