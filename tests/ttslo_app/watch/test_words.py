"""What the watch says."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.kits.rows.watch_kit import S, rule
from ttslo_app.clocks import clock_time
from ttslo_app.messages import Kind, Past
from ttslo_app.rules.rule import WhenBlind
from ttslo_app.watch.crossings import Deed, Touch
from ttslo_app.watch.words import (
    crossed_at,
    crossed_before,
    crossed_while_blind,
    deed_words,
    found_words,
    not_crossed,
    past_known,
    past_unknown,
    span_words,
)


def test_no_two_deeds_read_alike() -> None:
    """A person can tell from the sentence what was done."""
    cases = [
        (Deed.DONE, WhenBlind.ALWAYS, None),
        (Deed.FIRE, WhenBlind.ALWAYS, None),
        (Deed.FIRE, WhenBlind.ARM_IF_BEYOND, Decimal(52000)),
        (Deed.STAY, WhenBlind.ARM_IF_BEYOND, Decimal(50000)),
        (Deed.STAY, WhenBlind.ARM_IF_BEYOND, None),
        (Deed.PARK, WhenBlind.NOTIFY, Decimal(52000)),
        (Deed.STAY, WhenBlind.NOTIFY, Decimal(50000)),
    ]
    assert len({deed_words(*case) for case in cases}) == len(cases)


def test_sentence_names_market_threshold_moment_and_span() -> None:
    """A trade has its second, a candle the time it covers."""
    trade = Touch(rule(), Past(1, Decimal(51200), 44 * S))
    start, end = clock_time(11), clock_time(52)
    said = crossed_while_blind("BTC/USD", trade, (11.0, 52.0), "done")
    expected = f"BTC/USD crossed 51000 at {clock_time(44)} while blind from {start} to {end}"
    assert said.text == f"{trade.rule.id}: {expected}; done"
    bar = Touch(rule("0.00001"), Past(0, Decimal(1), 0, 60))
    found = found_words("X", bar, (0.0, 90.0))
    assert found == f"X crossed 0.00001 between {clock_time(0)} and {clock_time(60)}"


def test_crossing_that_was_seen_is_not_told_as_one_that_was_not() -> None:
    """What an earlier run saw is told as that, in the sentence and in the order's reason."""
    trade = Touch(rule(rule_id="up"), Past(1, Decimal(51200), 44 * S))
    said = crossed_before("BTC/USD", trade, (11.0, 52.0), "its order is placed now")
    moment = clock_time(44)
    assert (said.kind, said.level) == (Kind.CROSSED_BEFORE, "WARNING")
    assert said.text == (
        f"up: BTC/USD crossed 51000 at {moment}, which was seen and has no order yet; "
        "its order is placed now"
    )
    assert said.fields["crossed_price"] == "51200"
    back = deed_words(Deed.STAY, WhenBlind.ARM_IF_BEYOND, Decimal(50000))
    kept = crossed_before("BTC/USD", trade, (11.0, 52.0), back).text
    assert kept.endswith("; the price is back at 50000, the row stays armed")
    assert crossed_while_blind("BTC/USD", trade, (11.0, 52.0), back).text.endswith(f"; {back}")
    assert crossed_at(44 * S, (11.0, 52.0), was_seen=True) == f"crossed ({moment})"
    assert crossed_at(44 * S, (11.0, 52.0)) == f"crossed while blind ({moment})"


def test_span_of_days_shows_them() -> None:
    """Where begin and end are on different days the day is told."""
    assert span_words((0.0, 3 * 86_400.0)).count("1970-01-0") == 2
    assert "1970" not in span_words((43_200.0, 43_260.0))


def test_crossing_has_its_details_for_the_log() -> None:
    """Row, price and moment stand beside the sentence, as exact as they are known."""
    touch = Touch(rule(rule_id="up"), Past(1, Decimal("51200.10"), 44 * S))
    said = crossed_while_blind("BTC/USD", touch, (11.0, 52.0), "its order is placed now")
    assert (said.kind, said.level) == (Kind.CROSSED_BLIND, "WARNING")
    assert said.text.startswith("up: BTC/USD crossed 51000 at")
    assert said.text.endswith("; its order is placed now")
    assert said.fields == {
        "id": "up",
        "crossed_price": "51200.10",
        "crossed_at": "1970-01-01T00:00:44.000000+00:00",
    }


@pytest.mark.parametrize("is_reported", [True, False])
@pytest.mark.parametrize("has_fired", [True, False])
def test_time_without_a_crossing_is_told_as_loud_as_its_begin(
    has_fired: bool, is_reported: bool
) -> None:
    """Nobody is told of the end of a blind time who was not told of its begin."""
    said = not_crossed("X", (0.0, 9.0), 7, has_fired=has_fired, is_reported=is_reported)
    assert said.level == ("INFO" if is_reported else "DEBUG")
    assert said.text.startswith(f"X: {'no other' if has_fired else 'no'} threshold was crossed")
    assert "7 prices" in said.text


def test_unknown_past_is_a_warning_and_its_end_is_told() -> None:
    """It says since when, why, and that it is not given up."""
    said = past_unknown("X", 11.0, 12.0, "EService:Busy")
    assert (said.kind, said.level) == (Kind.PAST_UNKNOWN, "WARNING")
    assert f"since {clock_time(11.0)} (EService:Busy). It is asked for until" in said.text
    assert (past_known("X").kind, past_known("X").level) == (Kind.PAST_KNOWN, "INFO")


@pytest.mark.parametrize(
    ("deed", "policy", "present", "parts"),
    [
        (Deed.DONE, WhenBlind.NOTIFY, Decimal(52000), ("a price that was seen since", "was told")),
        (Deed.FIRE, WhenBlind.ALWAYS, Decimal(50000), ("order is placed now",)),
        (Deed.FIRE, WhenBlind.ARM_IF_BEYOND, Decimal("5.2E4"), ("still beyond", "52000", "placed")),
        (
            Deed.STAY,
            WhenBlind.ARM_IF_BEYOND,
            Decimal(50000),
            ("back at 50000", "no order", "armed"),
        ),
        (Deed.STAY, WhenBlind.ARM_IF_BEYOND, None, ("no price is proven", "next one decides")),
        (Deed.PARK, WhenBlind.NOTIFY, Decimal(52000), ("no order", "armed again once")),
        (Deed.STAY, WhenBlind.NOTIFY, Decimal(50000), ("no order", "it stays armed")),
    ],
)
def test_sentence_says_what_was_done_with_the_order(
    deed: Deed, policy: WhenBlind, present: Decimal | None, parts: tuple[str, ...]
) -> None:
    """An order is told of where one is placed, and none where there is none."""
    said = deed_words(deed, policy, present)
    assert all(part in said for part in parts)
    if deed is not Deed.FIRE:
        assert "order is placed now" not in said
