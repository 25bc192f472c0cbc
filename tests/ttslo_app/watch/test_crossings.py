"""First crossings in the past, and what becomes of them."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kits.rows.watch_kit import BELOW, S, armed, priced, rule
from ttslo_app.messages import Market, Past
from ttslo_app.rules.rule import ThresholdType, WhenBlind
from ttslo_app.watch.crossings import Armed, Deed, deed_for, first_crossings
from ttslo_app.watch.words import deed_words


def test_first_crossings_come_in_their_order() -> None:
    """Each rule is crossed by the first price at or beyond it; equality counts."""
    rules = [rule(103, rule_id="c"), rule(101, rule_id="a"), rule(99, BELOW, "b"), rule(104)]
    found = first_crossings(priced(100, 101, 99, 103, 102), [armed(r) for r in rules])
    assert [(t.rule.id, t.past.trade_id) for t in found] == [("a", 2), ("b", 3), ("c", 4)]


def test_trades_of_before_the_rule_do_not_count() -> None:
    """A rule that was armed in the middle is crossed by what came after only."""
    found = first_crossings(priced(105, 100, 103), [armed(rule(102), 2)])
    assert [t.past.trade_id for t in found] == [3]
    assert first_crossings(priced(105, 100), [armed(rule(102), 2)]) == []


_walks = st.lists(st.integers(90, 110), max_size=40)
_waits = st.tuples(st.integers(90, 110), st.sampled_from(ThresholdType), st.integers(0, 45))


@given(_walks, st.lists(_waits, max_size=10))
def test_first_crossings_are_those_of_brute_force(
    prices: list[int], waits: list[tuple[int, ThresholdType, int]]
) -> None:
    """For any past and any rules, exactly what a scan of everything finds."""
    trades = priced(*prices)
    waiting = [armed(rule(t, k, f"r{n}"), s) for n, (t, k, s) in enumerate(waits)]
    expected = {}
    for wait in waiting:
        met = [p for p in trades if p.at_ns >= wait.since_ns and wait.rule.is_met_by(p.price)]
        if met:
            expected[wait.rule.id] = met[0].trade_id
    found = first_crossings(trades, waiting)
    assert {t.rule.id: t.past.trade_id for t in found} == expected
    assert [t.past.trade_id for t in found] == sorted(t.past.trade_id for t in found)


@pytest.mark.parametrize(
    ("policy", "present", "deed"),
    [
        (WhenBlind.ALWAYS, None, Deed.FIRE),
        (WhenBlind.ALWAYS, 100, Deed.FIRE),
        (WhenBlind.ARM_IF_BEYOND, 51000, Deed.FIRE),
        (WhenBlind.ARM_IF_BEYOND, 50999, Deed.STAY),
        (WhenBlind.ARM_IF_BEYOND, None, Deed.STAY),
        (WhenBlind.NOTIFY, 51000, Deed.PARK),
        (WhenBlind.NOTIFY, None, Deed.PARK),
        (WhenBlind.NOTIFY, 50999, Deed.STAY),
    ],
)
def test_policy_decides(policy: WhenBlind, present: int | None, deed: Deed) -> None:
    """Each policy at each standing of the price, an unproven one included."""
    price = None if present is None else Decimal(present)
    assert deed_for(policy, rule(), price) is deed
    assert deed_words(deed, policy, price)


@pytest.mark.parametrize(
    ("seen", "bar", "is_it"),
    [(95, 0, True), (94, 0, False), (105, 0, True), (106, 0, False), (165, 60, True), (166, 60, 0)],
)
def test_crossing_that_was_seen_is_known_by_its_moment(seen: int, bar: int, is_it: bool) -> None:
    """Within the seconds that an order takes to be written down; a candle covers its minutes."""
    waiting = replace(armed(), seen_ns=seen * S)
    assert waiting.has_seen(Past(1, Decimal(51000), 100 * S, bar)) is bool(is_it)
    assert not armed().has_seen(Past(1, Decimal(51000), 100 * S, bar))


@pytest.mark.parametrize(
    ("other", "is_same"),
    [
        (armed(rule("51000.0", policy=WhenBlind.ALWAYS), 9), True),
        (armed(rule(51001)), False),
        (armed(rule(51000, BELOW)), False),
        (armed(market=Market("ETH/USD", "XETHZUSD")), False),
    ],
)
def test_condition_is_threshold_side_and_market(other: Armed, is_same: bool) -> None:
    """What else a row says is no part of what fires it."""
    assert armed().is_same_condition(other) is is_same
