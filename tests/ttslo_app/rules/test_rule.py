"""A row as typed values: read once, whole or not at all."""

from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kits.common.calls_kit import calls_in
from ttslo_app.rules.rule import (
    ENABLED_WORDS,
    REQUIRED_FIELDS,
    Direction,
    Rule,
    RuleError,
    RulesById,
    ThresholdType,
    WhenBlind,
    is_arming,
    read_rule,
)

GOOD = {
    "id": "btc_1",
    "pair": "BTC/USD",
    "threshold_price": "50000",
    "threshold_type": "above",
    "direction": "sell",
    "volume": "0.01",
    "trailing_offset_percent": "5.0",
    "enabled": "true",
}


def test_a_row_becomes_a_rule() -> None:
    """Every field is typed, and numbers keep the digits they were typed with."""
    rule = read_rule({**GOOD, "trailing_offset_percent": "1.250", "note": "mine"})
    assert rule == Rule(
        "btc_1",
        "BTC/USD",
        Decimal(50000),
        ThresholdType.ABOVE,
        Direction.SELL,
        Decimal("0.01"),
        Decimal("1.25"),
        enabled=True,
    )
    assert str(rule.offset_percent) == "1.250"


def test_spaces_and_case_do_not_matter() -> None:
    """Words are known in any case, and spaces around anything go."""
    loud = {name: f" {value.upper()} " for name, value in GOOD.items()}
    rule = read_rule(loud)
    assert (rule.id, rule.pair) == ("BTC_1", "BTC/USD")
    assert (rule.threshold_type, rule.direction) == (ThresholdType.ABOVE, Direction.SELL)


def test_numbers_may_be_numbers() -> None:
    """Callers in Python hand in numbers where files have text."""
    assert read_rule({**GOOD, "volume": 0.1, "threshold_price": 5}).volume == Decimal("0.1")


@pytest.mark.parametrize(
    ("word", "is_armed"),
    [
        *((word, True) for word in ("true", "True", "TRUE", "yes", "YES", "1", " yes ")),
        *((word, False) for word in ("false", "No", "0", "paused", "canceled", "Pending")),
    ],
)
def test_enabled_is_one_boolean(word: str, is_armed: bool) -> None:
    """Each of true, yes and 1 really arms; the words of later versions do not."""
    assert is_arming(word) is is_armed
    assert read_rule({**GOOD, "enabled": word}).enabled is is_armed


def test_a_row_without_enabled_is_a_rule_that_is_not_armed() -> None:
    """A caller's own row may lack the word, and what is missing never means that it trades."""
    assert read_rule({name: GOOD[name] for name in REQUIRED_FIELDS}).enabled is False


@pytest.mark.parametrize("cell", ["", " ", None])
def test_an_empty_cell_under_enabled_is_refused(cell: str | None) -> None:
    """Nobody can tell whether a word was there."""
    with pytest.raises(RuleError, match="enabled: Invalid enabled: is missing or empty"):
        read_rule({**GOOD, "enabled": cell})


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("trigger_type", "date"), ("trigger_datetime", "2027-01-01")),
        *(("fiat_amount", "100"), ("activate_on", "2027-01-01T00:00:00Z"), ("valid_until", "x")),
    ],
)
def test_what_a_later_version_would_obey_refuses_its_row(column: str, value: str) -> None:
    """A row that is meant for 2027 must not fire today; an empty cell is harmless."""
    assert read_rule({**GOOD, column: "", f"my_{column}": value}).enabled
    assert read_rule({**GOOD, column: None}).enabled
    with pytest.raises(RuleError, match=f"{column}: .* does not know what {column} asks for"):
        read_rule({**GOOD, column: value})


def test_a_trigger_by_price_is_what_is_done_anyway() -> None:
    """Files of later versions say so in each row."""
    assert read_rule({**GOOD, "trigger_type": "Price"}).enabled


@pytest.mark.parametrize("word", ["maybe", "on", "2", "tru", "-", "#"])
def test_another_word_under_enabled_is_refused(word: str) -> None:
    """A word that nobody writes neither arms nor disarms."""
    assert word not in ENABLED_WORDS
    with pytest.raises(ValueError, match="neither true nor false"):
        is_arming(word)
    with pytest.raises(RuleError, match="Invalid enabled"):
        read_rule({**GOOD, "enabled": word})


def test_words_and_amounts_that_rows_share_are_read_once() -> None:
    """A file may have 100,000 rows, which differ in little more than their ids."""
    rows = [{**GOOD, "id": f"row_{number}"} for number in range(100)]
    read_rule(GOOD)
    seen = calls_in(lambda: [read_rule(row) for row in rows])
    assert seen["_word"] == seen["to_positive_decimal"] == seen["foreign_meaning"] == 0
    assert seen["Python"] <= 100 * 32


def test_all_problems_of_a_row_are_told_at_once() -> None:
    """A person sees everything in one go: each field, its value, and the cure."""
    bad = {
        **GOOD,
        "id": "b c",
        "volume": "1,5",
        "direction": "hold",
        "enabled": "maybe",
        "pair": "",
    }
    with pytest.raises(RuleError) as caught:
        read_rule(bad)
    problems = {problem.field: problem for problem in caught.value.problems}
    assert set(problems) == {"id", "volume", "direction", "enabled", "pair"}
    assert problems["direction"].value == "hold"
    assert "buy or sell" in problems["direction"].message
    assert "with a point" in problems["volume"].message
    assert "volume: Invalid volume" in str(caught.value)


def test_an_empty_row_misses_every_field() -> None:
    """Missing is said for each required field, and for no other."""
    with pytest.raises(RuleError) as caught:
        read_rule({})
    assert tuple(problem.field for problem in caught.value.problems) == REQUIRED_FIELDS


@pytest.mark.parametrize("field", ["threshold_price", "volume", "trailing_offset_percent"])
@pytest.mark.parametrize(
    "value", ["nan", "inf", "-inf", "1e400", "0", "-1", "1_000", "0x10", "٣", "1 000", "--1"]
)
def test_no_number_is_no_rule(field: str, value: str) -> None:
    """Finite, positive, in the digits that everybody means; anything else is refused."""
    with pytest.raises(RuleError, match=f"Invalid {field}"):
        read_rule({**GOOD, field: value})


@pytest.mark.parametrize("identifier", ["b c", "ü", "a/b", "a.b", "a\nb", "#a", "a,b"])
def test_an_id_is_letters_digits_underscore_and_hyphen(identifier: str) -> None:
    """Other characters are refused, with the cure."""
    with pytest.raises(RuleError, match="letters, digits"):
        read_rule({**GOOD, "id": identifier})


@pytest.mark.parametrize(
    ("kind", "price", "is_met"),
    [
        ("above", "49999.99", False),
        ("above", "50000", True),
        ("above", "50000.01", True),
        ("below", "50000.01", False),
        ("below", "50000.00", True),
        ("below", "1", True),
    ],
)
def test_a_threshold_is_met_at_it_and_beyond(kind: str, price: str, is_met: bool) -> None:
    """Equality fires on both sides."""
    assert read_rule({**GOOD, "threshold_type": kind}).is_met_by(Decimal(price)) is is_met


def test_the_condition_is_told_in_words() -> None:
    """No exponent reaches a person."""
    rule = read_rule({**GOOD, "threshold_price": "5E-8", "threshold_type": "below"})
    assert rule.condition == "BTC/USD at or below 0.00000005"


@given(st.dictionaries(st.sampled_from(sorted(GOOD)), st.none() | st.integers() | st.text()))
def test_no_row_raises_anything_but_its_problems(changes: dict[str, object]) -> None:
    """Whatever is in the cells, a row is a rule or it is a list of problems."""
    with suppress(RuleError):
        rule = read_rule({**GOOD, **changes})
        sizes = (rule.threshold, rule.volume, rule.offset_percent)
        assert min(size for size in sizes if size is not None) > 0


# --- when nobody looked ---------------------------------------------------------------------------


@pytest.mark.parametrize("policy", list(WhenBlind))
def test_when_blind_is_read_in_any_case(policy: WhenBlind) -> None:
    """Each of the three words is understood, with spaces and capitals."""
    assert read_rule({**GOOD, "when_blind": f" {policy.upper()} "}).when_blind is policy


@pytest.mark.parametrize("cell", [None, "", "  "])
def test_when_blind_left_empty_is_the_programs_default(cell: str | None) -> None:
    """An empty cell, or none, chooses nothing."""
    assert read_rule({**GOOD, "when_blind": cell}).when_blind is None


def test_when_blind_of_another_word_refuses_the_row() -> None:
    """A policy that nobody knows is a problem of its field, not a default."""
    with pytest.raises(RuleError) as caught:
        read_rule({**GOOD, "when_blind": "maybe"})
    assert [p.field for p in caught.value.problems] == ["when_blind"]


@pytest.mark.parametrize("field", REQUIRED_FIELDS)
def test_a_cell_of_a_megabyte_is_refused_in_one_line(field: str) -> None:
    """A text that was pasted into a cell fills neither screen nor log."""
    with pytest.raises(RuleError) as caught:
        read_rule({**GOOD, field: "1" * 1_000_000})
    assert "1000000 characters" in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("offset", ["100", "100.0", "250"])
def test_stop_at_zero_or_at_twice_the_price_is_refused(offset: str) -> None:
    """A sell would never trigger there, and no buy is meant to pay twice the price."""
    with pytest.raises(RuleError, match="stands at or below zero and never sells"):
        read_rule({**GOOD, "direction": "sell", "trailing_offset_percent": offset})
    with pytest.raises(RuleError, match="buys at twice the price, or more; write less than 100"):
        read_rule({**GOOD, "direction": "buy", "trailing_offset_percent": offset})


@pytest.mark.parametrize("direction", ["buy", "sell"])
def test_stop_short_of_that_is_a_rule(direction: str) -> None:
    """What is odd is only warned of."""
    assert read_rule({**GOOD, "direction": direction, "trailing_offset_percent": "99.9"})


@pytest.mark.parametrize(
    ("field", "typed", "question"),
    [
        ("trailing_offset_percent", "1.5%", "did you mean 1.5?"),
        ("trailing_offset_percent", "1.5 %", "did you mean 1.5?"),
        ("trailing_offset_percent", "1,5", "did you mean 1.5?"),
        ("threshold_price", "$72000", "did you mean 72000?"),
        ("threshold_price", "72000 USD", "did you mean 72000?"),
        ("threshold_price", "\u20ac72,000.50", "did you mean 72000.50?"),
        ("threshold_price", "72,000", "did you mean 72000 or 72.000?"),
        ("threshold_price", "1,072,000", "did you mean 1072000?"),
        ("threshold_price", "72 000", "did you mean 72000?"),
    ],
)
def test_number_with_a_sign_is_refused_with_what_was_meant(
    field: str, typed: str, question: str
) -> None:
    """It is asked, and never guessed: the row does not trade."""
    with pytest.raises(RuleError) as caught:
        read_rule({**GOOD, field: typed})
    (problem,) = caught.value.problems
    assert (problem.field, problem.value) == (field, typed)
    assert f"{typed!r} is not a number; {question} Write " in problem.message


@pytest.mark.parametrize("typed", ["fifty", "1.2.3", "--5", "nan"])
def test_what_cannot_be_guessed_is_not(typed: str) -> None:
    """A question about nothing would only confuse."""
    with pytest.raises(RuleError) as caught:
        read_rule({**GOOD, "volume": typed})
    assert "did you mean" not in str(caught.value)


# --- the optional columns -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "field", "why"),
    [
        ({"trailing_offset_quote": "5"}, "trailing_offset_percent", "a stop has one offset"),
        ({"trailing_offset_percent": ""}, "trailing_offset_percent", "is missing or empty"),
        ({"trailing_offset_percent": "", "trailing_offset_quote": "-5"}, "trailing_offset_quote",
         "is not positive"),
        ({"limit_offset": "-1"}, "limit_offset", "below zero"),
        ({"trigger": "mark"}, "trigger", "write last or index"),
        ({"fee_currency": "USD"}, "fee_currency", "write base or quote"),
        ({"expires": "soon"}, "expires", "is no moment"),
        ({"volume": "150%"}, "volume", "write 100% or less"),
        ({"volume": "0.5 BTC"}, "volume", "did you mean 0.5?"),
        ({"volume": "50 percent"}, "volume", "did you mean 50%?"),
        ({"volume": "filled"}, "volume", "name that row under after"),
        ({"expires": "9999-12-31T23:00:00-05:00"}, "expires", "too far away"),
        ({"limit_offset": "60000"}, "limit_offset", "nothing is left"),
        ({"trailing_offset_percent": "", "trailing_offset_quote": "50000"},
         "trailing_offset_quote", "nothing is left"),
        ({"trailing_offset_percent": "", "trailing_offset_quote": ""}, "trailing_offset_percent",
         "or the cell under trailing_offset_quote"),
        ({"volume": "0.5 xbt"}, "volume", "did you mean 0.5?"),
    ],
)  # fmt: skip
def test_column_that_cannot_be_meant_is_refused(
    cells: dict[str, str], field: str, why: str
) -> None:
    """By its own name, with the value and the cure."""
    with pytest.raises(RuleError) as caught:
        read_rule({**GOOD, **cells})
    (problem,) = caught.value.problems
    assert problem.field == field
    assert why in problem.message


@pytest.mark.parametrize("column", ["limit_offset", "trigger", "fee_currency", "expires"])
def test_empty_cell_says_nothing(column: str) -> None:
    """A column is there for all rows, and meant by few."""
    assert read_rule({**GOOD, column: "  "}) == read_rule(GOOD)


def test_rule_tells_what_it_does() -> None:
    """In words that are the same wherever a person reads them."""
    assert read_rule(GOOD).action == "sell 0.01, trailing 5 %"
    changes = {"trailing_offset_percent": "", "trailing_offset_quote": "250", "volume": "all",
               "limit_offset": "0.5%", "trigger": "index"}  # fmt: skip
    assert read_rule({**GOOD, **changes}).action == (
        "sell all, trailing 250 USD, limit 0.5 % beyond, by the index price"
    )


def test_offset_in_money_is_a_share_of_the_price() -> None:
    """What is compared with gaps in percent is in percent."""
    row = read_rule({**GOOD, "trailing_offset_percent": "", "trailing_offset_quote": "250"})
    assert row.offset_at(Decimal(50000)) == Decimal("0.5")
    assert row.distance_at(Decimal(50000)) == 250
    assert read_rule(GOOD).distance_at(Decimal(50000)) == 2500


class Doubtful(dict[str, str]):
    """A row that its reader could not rely upon."""

    findings = ("may have been cut off",)


def test_row_in_doubt_is_no_rule_of_its_file() -> None:
    """What it says may be half of what was meant, whatever stands above or below."""
    for rows in ([Doubtful(GOOD)], [Doubtful(GOOD), GOOD], [GOOD, Doubtful(GOOD)]):
        assert RulesById(rows).get(GOOD["id"], read_rule(GOOD)) is None


def test_rules_of_a_file_by_their_ids() -> None:
    """A row that is no rule and an id that stands twice are nobody's rule; others are unknown."""
    bad, two = {**GOOD, "id": "bad", "pair": ""}, {**GOOD, "id": "two"}
    rows = [GOOD, bad, two, two, {"pair": "BTC/USD"}]
    rules, default = RulesById(rows), read_rule({**GOOD, "id": "default"})
    assert rules.get(GOOD["id"]) == read_rule(GOOD)
    assert rules.get("bad", default) is rules.get("two", default) is rules.get("", default) is None
    assert rules.get("other") is None
    assert rules.get("other", default) is default


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({}, "trailing_offset_percent"),
        (
            {"trailing_offset_percent": "", "trailing_offset_quote": "250"},
            "trailing_offset_quote",
        ),
    ],
)
def test_offset_stands_in_one_of_two_columns(change: dict[str, str], field: str) -> None:
    """What is said of it names that one."""
    assert read_rule({**GOOD, **change}).offset_field == field
