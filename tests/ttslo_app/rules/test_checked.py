"""Rows on their way through the checks: what stays known of them, and for how long."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kits.rows.rows_kit import GOOD, row
from ttslo_app.rules.checked import NEVER, CheckedRow, KnownRows, Remark, calm_of
from ttslo_app.rules.checks import ConfigValidator
from ttslo_app.rules.findings import ValidationResult
from ttslo_app.rules.rule import Rule, read_rule, reading_of
from ttslo_app.store.rule_row import ConfigRow

NOW = datetime(2026, 11, 26, tzinfo=UTC)


def checked(cells: dict[str, str], number: int = 1) -> CheckedRow:
    """Return a row whose findings are gathered."""
    found = CheckedRow(cells, number)
    found.result = ValidationResult(fired={"old"})
    found.has_fired = found.label in found.result.fired
    return found


# --- one row ------------------------------------------------------------------------------------


def test_row_tells_what_its_text_says() -> None:
    """Its name, its pair, and what later checks go by."""
    plain = CheckedRow(GOOD)
    assert (plain.label, plain.pair, plain.rule) == ("btc_1", "XXBTZUSD", read_rule(GOOD))
    assert (plain.is_enabled, plain.has_order, plain.has_kin) == (True, False, False)
    assert plain.ends_at is None
    assert CheckedRow(row(enabled="no")).is_enabled is False
    assert CheckedRow(row(order_id="O1")).has_order is True
    assert CheckedRow(row(expires="2030-01-01T00:00:00Z")).ends_at is not None
    assert CheckedRow(row(expires="+3d")).ends_at is None
    for more in ("group", "after", "linked_order_id"):
        assert CheckedRow(row(**{more: "other"})).has_kin is True


def test_row_that_is_no_rule_has_a_place_for_a_name() -> None:
    """And says what keeps it from being one."""
    bad = CheckedRow(ConfigRow({"pair": " BTC/USD "}, line=7), 3)
    assert (bad.label, bad.pair, bad.rule, bad.is_enabled) == (
        "row at line 7",
        "BTC/USD",
        None,
        False,
    )
    assert {problem.field for problem in bad.problems} >= {"id", "volume"}
    assert CheckedRow({"pair": ""}, 3).label == "row 3"


def test_what_is_said_of_a_row_tells_its_line() -> None:
    """Findings carry the label, and the line where there is one."""
    line = checked(ConfigRow(row(id="old"), line=7))
    line.warn("volume", "hm")
    assert line.result.warnings[0]["message"] == "hm (line 7)"
    assert (line.is_refused, line.has_fired, line.waits) == (False, True, False)
    line.say([Remark("pair", "odd"), Remark("volume", "no", is_error=True)])
    assert (line.is_refused, line.result.errors[0]["message"]) == (True, "no (line 7)")
    assert line.result.warnings[1]["message"] == "odd (line 7)"
    other = checked(GOOD)
    other.refuse("volume", "no")
    assert (other.waits, other.result.errors[0]["message"]) == (True, "no")


def test_what_is_accepted_is_what_was_checked_and_holds_no_result() -> None:
    """Of 100,000 rows copies would fill 7 MB, and a result that holds its rows would never go."""
    known, validator = KnownRows(), ConfigValidator()
    rows = known.read([GOOD, row(id="bad", volume="0")])
    result = validator.validate_again(rows, known, armed_before=(), fired=(), now=NOW)
    assert [id(one) for one in result.accepted] == [id(rows[0])]
    assert [hasattr(one, "result") for one in rows] == [False, False]
    assert validator.validate_again(rows, known, armed_before=(), fired=(), now=NOW) == result


# --- one version of a file after the other -------------------------------------------------------


def test_row_that_stays_as_it_is_stays_the_same() -> None:
    """Whoever holds its rule need not compare it with the one of the next version."""
    known = KnownRows()
    (first,) = known.read([GOOD])
    (second,) = known.read([dict(GOOD)])
    assert second is first
    assert known.read([row(id="new"), dict(GOOD)])[1] is first


@pytest.mark.parametrize("change", [{"volume": "0.02"}, {"note": "x"}, {"enabled": "no"}])
def test_row_that_changed_is_another_one(change: dict[str, str]) -> None:
    """Also where the change is none of the rule, and back again."""
    known = KnownRows()
    (first,) = known.read([GOOD])
    (second,) = known.read([{**GOOD, **change}])
    assert second is not first
    assert second.rule == read_rule({**GOOD, **change})
    (third,) = known.read([GOOD])
    assert third not in (first, second)


def test_row_that_has_moved_is_the_same_at_another_line() -> None:
    """What is said of it then tells where it is now."""
    known = KnownRows()
    (first,) = known.read([ConfigRow(GOOD, line=2)])
    (second,) = known.read([ConfigRow(GOOD, line=9)])
    assert second is first
    assert second.place == " (line 9)"


def test_row_that_has_come_into_doubt_is_another_one() -> None:
    """Its text is the same, and what its file says of it is not."""
    known = KnownRows()
    (first,) = known.read([ConfigRow(GOOD, 2)])
    (second,) = known.read([ConfigRow(GOOD, 2, ["is the last line"])])
    assert second is not first
    assert second.findings == ("is the last line",)
    assert known.read([ConfigRow(GOOD, 2)])[0] is not second


def test_rows_of_one_id_are_two_rows() -> None:
    """Each with its own line, though all their cells are the same."""
    known = KnownRows()
    (first,) = known.read([ConfigRow(GOOD, 2)])
    both = known.read([ConfigRow(GOOD, 2), ConfigRow(GOOD, 3)])
    assert both[0] is first
    assert [one.place for one in both] == [" (line 2)", " (line 3)"]
    assert len({id(one) for one in known.read([ConfigRow(GOOD, 4), ConfigRow(GOOD, 5)])}) == 2


def test_row_that_is_no_rule_is_read_anew() -> None:
    """It is called by its place."""
    known = KnownRows()
    bad = {"volume": "1"}
    assert [one.label for one in known.read([bad])] == ["row 1"]
    assert [one.label for one in known.read([GOOD, bad])] == ["btc_1", "row 2"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["1", "2", "x"])), max_size=12))
def test_rows_say_what_reading_each_alone_says(cells: list[tuple[str, str]]) -> None:
    """However often the file changes, with whatever it held before."""
    known = KnownRows()
    for start in range(len(cells)):
        rows = [row(id=name, volume=volume) for name, volume in cells[start : start + 4]]
        for cells_of_row, one in zip(rows, known.read(rows), strict=True):
            alone = reading_of(cells_of_row)
            assert (one.rule or one.problems) == alone
            assert one.row == cells_of_row


# --- prices at which nothing is said -------------------------------------------------------------


def is_quiet(rule: Rule, price: Fraction, spread: Fraction) -> bool:
    """Tell by exact numbers whether nothing is to be said of a rule at a price."""
    threshold = Fraction(rule.threshold)
    is_met = price >= threshold if rule.threshold_type == "above" else price <= threshold
    if rule.offset_percent is not None:
        away = price * Fraction(rule.offset_percent) / 100
    else:
        assert rule.terms.offset_quote is not None
        away = Fraction(rule.terms.offset_quote)
    is_far = not threshold / 2 < price < threshold * 2
    is_near = abs(threshold - price) < 2 * away
    return not (is_met or is_far or is_near) and spread <= away / 10


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    """Return a rule with an offset in percent or in money."""
    threshold = Decimal(draw(st.integers(1, 10**6))).scaleb(draw(st.integers(-9, 6)))
    offset = Decimal(draw(st.integers(1, 999))).scaleb(-draw(st.integers(1, 3)))
    in_money = draw(st.booleans())
    cells = row(threshold_price=format(threshold, "f"), trailing_offset_percent=str(offset))
    if in_money:
        cells["trailing_offset_percent"] = ""
        cells["trailing_offset_quote"] = format(offset * threshold / 100, "f")
    kind = draw(st.sampled_from(["above", "below"]))
    direction = draw(st.sampled_from(["buy", "sell"]))
    return read_rule({**cells, "threshold_type": kind, "direction": direction})


def edges(rule: Rule) -> list[Fraction]:
    """Return the prices at which what is to be said of a rule changes."""
    threshold = Fraction(rule.threshold)
    found = [threshold, threshold / 2, threshold * 2]
    if rule.offset_percent is None:
        money = 2 * Fraction(rule.terms.offset_quote or 0)
        return [*found, threshold - money, threshold + money]
    share = Fraction(rule.offset_percent) / 50
    return [*found, threshold / (1 + share), *([threshold / (1 - share)] if share < 1 else [])]


NUDGES = [Fraction(n, 10**power) for n in (-1, 1) for power in (3, 6, 8, 10, 12, 17, 25)]


@given(rules(), st.sampled_from([0, *NUDGES]), st.integers(0, 5), st.integers(0, 300))
def test_calm_prices_are_those_of_which_nothing_is_said(
    rule: Rule, nudge: Fraction, edge: int, spread: int
) -> None:
    """Never one too many, however near it is to where something is to be said."""
    found = edges(rule)
    price = found[edge % len(found)] * (1 + nudge)
    apart = price * spread / 100_000
    low, high, most = calm_of(rule)
    if low < float(price) < high and float(apart) < most:
        assert price > 0
        assert is_quiet(rule, price, apart)


@given(rules(), st.integers(1, 400))
def test_few_prices_of_which_nothing_is_said_are_not_calm(rule: Rule, percent: int) -> None:
    """So that nearly all rows are seen to be quiet at once; the room for a spread is narrower."""
    price = Fraction(rule.threshold) * percent / 100
    low, high, _ = calm_of(rule)
    slack = Fraction(1, 10**6)
    inside = all(is_quiet(rule, price * (1 + by), Fraction(0)) for by in (-slack, 0, slack))
    is_wide = rule.offset_percent is not None and rule.offset_percent > 48
    assert not inside or is_wide or low < float(price) < high


def test_calm_prices_of_equal_rows_are_one_object() -> None:
    """Of 100,000 rows, most of which share a threshold and an offset, they take 16 MB less."""
    calm, other = calm_of(read_rule(GOOD)), calm_of(read_rule({**GOOD, "volume": "3", "id": "b"}))
    assert calm is other
    offset = GOOD["trailing_offset_percent"]
    in_money = {**GOOD, "trailing_offset_percent": "", "trailing_offset_quote": offset}
    changes = (
        {**GOOD, "threshold_price": "50000.5"},
        {**GOOD, "threshold_type": "below", "direction": "buy"},
        {**GOOD, "trailing_offset_percent": "2.25"},
        in_money,
    )
    assert len({calm, *(calm_of(read_rule(change)) for change in changes)}) == 5


@pytest.mark.parametrize(
    ("price", "spread", "is_calm"),
    [
        ("50000", "0", True),
        ("54545", "0", True),
        ("54546", "0", False),  # less than twice the offset away
        ("60000", "0", False),
        ("30000.001", "0", True),
        ("30000", "0", False),  # half of the threshold
        ("50000", "149", True),
        ("50000", "151", False),  # at half of the threshold it would be a tenth of the offset
        ("0", "0", False),
    ],
)
def test_calm_of_a_row_above(price: str, spread: str, is_calm: bool) -> None:
    """A threshold of 60000 with an offset of 5 %."""
    low, high, most = calm_of(read_rule(GOOD))
    assert (low < float(price) < high and float(spread) < most) is is_calm


@pytest.mark.parametrize(
    "change",
    [
        {"after": "other"},
        {"trailing_offset_percent": "99.9"},
        {"trailing_offset_percent": "49.5", "threshold_type": "below"},
        {"trailing_offset_percent": "", "trailing_offset_quote": "15001"},
        {
            "trailing_offset_percent": "",
            "trailing_offset_quote": "30000",
            "threshold_type": "below",
        },
        {"trailing_offset_percent": "", "trailing_offset_quote": "1" * 25, "direction": "buy"},
    ],
)
def test_row_that_has_no_calm_price_is_looked_at_in_exact_numbers(change: dict[str, str]) -> None:
    """It follows another one, or its offset leaves no room, or next to none."""
    assert calm_of(read_rule(row(**change))) == NEVER
