"""A result and its rows: what is noted, where a row stands, and how that reads."""

from decimal import Decimal

import pytest

from tests.kits.rows.rows_kit import GOOD, Prices, check, row
from ttslo_app.rules.findings import (
    ValidationResult,
    by_message,
    distance_words,
    format_validation_result,
    has_order,
    label_of,
    text_of,
    told_once,
)
from ttslo_app.rules.rule import read_rule
from ttslo_app.store.rule_row import ConfigRow


def test_a_result_can_be_filled_by_hand() -> None:
    """Findings are dicts with id, field, message and type."""
    result = ValidationResult()
    assert result.is_valid()
    assert not result.has_warnings()
    result.add_error("a", "pair", "no")
    result.add_warning("b", "volume", "hm")
    assert result.errors == [{"config_id": "a", "field": "pair", "message": "no", "type": "error"}]
    assert result.warnings[0]["type"] == "warning"
    assert (result.is_valid(), result.has_warnings()) == (False, True)


def test_has_error_follows_errors_that_are_added_later() -> None:
    """Each id is refused from its first error on, however it came into the list."""
    result = ValidationResult()
    assert not result.has_error("a")
    result.add_error("a", "pair", "no")
    assert result.has_error("a")
    result.errors.append({"config_id": "b", "field": "id", "message": "no", "type": "error"})
    assert result.has_error("b")
    assert not result.has_error("c")


@pytest.mark.parametrize("column", ["order_id", "trigger_time", "trigger_price"])
def test_each_order_column_says_that_a_row_has_fired(column: str) -> None:
    """One filled cell is enough; blanks are none."""
    assert has_order({column: "x"})
    assert not has_order({column: "  "})
    assert not has_order({column: None})
    assert not has_order({})


def test_a_row_is_named_by_its_id_else_by_its_place() -> None:
    """The line of the file is surer than a count, where it is known."""
    assert label_of({"id": " a "}, 3) == "a"
    assert label_of(ConfigRow({}, line=7), 3) == "row at line 7"
    assert label_of({"id": None}, 3) == "row 3"
    assert text_of({"volume": 1.5}, "volume") == "1.5"


# --- the text ----------------------------------------------------------------------------------


def test_the_text_says_passed_and_each_row() -> None:
    """A good file passes, and every row is summed up, with what it comes to at worst."""
    text = format_validation_result(check(GOOD, row(id="off", enabled="no")))
    assert "VALIDATION PASSED: 2 rows, 0 errors, 0 warnings" in text
    lines = text.splitlines()
    assert lines[-3] == "  btc_1: armed, BTC/USD at or above 60000, no price"
    assert lines[-2] == "      at worst: stop at 57000, worth 570 USD"
    assert lines[-1] == "  off: disabled, BTC/USD at or above 60000, no price"
    assert "NOT CHECKED" in text


def test_the_text_says_failed_and_why() -> None:
    """A refused row fails the file; errors, warnings and the refused rows are there."""
    bad = row(id="bad", volume="nan"), row(id="met", threshold_price="1", pair="XXBTZUSD")
    text = format_validation_result(check(*bad, row(direction="buy"), api=Prices({"ZUSD": "600"})))
    assert "VALIDATION FAILED: 3 rows, 2 errors, 1 warning\n" in text
    assert text.index("ERRORS") < text.index("WARNINGS") < text.index("ROWS")
    assert "[bad] volume:" in text
    assert sum("refused" in line for line in text.splitlines()) == 2


def test_the_verbose_text_tells_the_order() -> None:
    """Verbose adds what will be placed."""
    assert "sell 0.01, trailing 5 %" in format_validation_result(check(GOOD), verbose=True)
    assert "trailing" not in format_validation_result(check(GOOD))


def test_the_text_of_nothing_is_readable() -> None:
    """An empty file passes: nothing in it is wrong."""
    assert "VALIDATION PASSED: 0 rows" in format_validation_result(ValidationResult())


def test_the_text_fits_a_terminal() -> None:
    """Long findings are wrapped."""
    result = check(row(pair="NOPE" * 12), row(pair="NOPE" * 12))
    assert all(len(line) <= 100 for line in format_validation_result(result).splitlines())


def test_notes_are_told_apart_from_findings() -> None:
    """What could not be checked stands under a heading of its own."""
    text = format_validation_result(ValidationResult(notes=["prices: there is nobody to ask"]))
    assert "NOT CHECKED\n  prices: there is nobody to ask" in text
    assert "WARNINGS" not in text


def test_the_text_shows_what_acts_on_a_terminal() -> None:
    """A cell with an escape in it cannot clear the screen that tells of it."""
    text = format_validation_result(check(row(id="a\x1b[2J", pair="B\x1bTC")))
    assert text.replace("\n", "").isprintable()
    assert "\\x1b" in text


def test_the_text_fits_a_terminal_of_eighty_columns() -> None:
    """Whatever is found, and however long it is."""
    rows = [row(id=f"row_{n}", threshold_price="1", note="x") for n in range(40)]
    rows += [row(id="bad", pair="NOSUCHPAIR" * 5), row(id="far", threshold_price="900000")]
    result = check(*rows, api=Prices(funds={"XXBT": "0.001"}))
    result.file.append("config.csv is not UTF-8; " + "it was read as cp1252. " * 9)
    result.notes.append("prices: " + "nobody was there to ask. " * 9)
    lines = format_validation_result(result, verbose=True).splitlines()
    assert max(map(len, lines)) < 80
    assert len(lines) > 50


def test_the_text_tells_price_and_distance_of_each_row() -> None:
    """A slip of the hand shows in the distance."""
    text = format_validation_result(check(GOOD, row(id="no", volume="x"), api=Prices()))
    assert "  btc_1: armed, BTC/USD at or above 60000, now 50000 (20.00 % away)" in text
    assert "  no: refused" in text
    below = read_rule(row(threshold_type="below", threshold_price="25000"))
    assert distance_words(below, Decimal(50000)) == "now 50000 (50.00 % away)"


def test_one_fact_of_many_rows_is_one_line_of_the_text() -> None:
    """Kraken that cannot be heard is one thing, whichever rows it touches."""
    lines = [ConfigRow(row(id=f"r{n}"), line=n) for n in range(2, 14)]
    result = check(*lines, api=Prices(XXBTZUSD=Exception("nobody there")))
    assert len([one for one in result.warnings if one["field"] == "threshold_price"]) == 12
    text = " ".join(format_validation_result(result).split())
    assert text.count("nobody there") == 1
    assert "[r2, r3, r4, r5, r6, r7, r8, r9 and 4 more] threshold_price:" in text
    assert "(lines 2, 3, 4, 5, 6, 7, 8, 9 and 4 more)" in text


def test_row_without_a_price_is_not_called_armed() -> None:
    """A run does not arm it either before there is one; what was armed before stays so."""
    api = Prices(XXBTZUSD=Exception("nobody there"))
    assert "btc_1: not armed yet," in format_validation_result(check(GOOD, api=api))
    old = check(GOOD, api=api, armed_before={"btc_1"})
    assert "btc_1: armed," in format_validation_result(old)


def test_facts_are_joined_by_what_they_say_and_where() -> None:
    """Another field, or another word, is another fact."""
    found = [
        {"config_id": "a", "field": "volume", "message": "is small (line 2)"},
        {"config_id": "b", "field": "volume", "message": "is small (line 3)"},
        {"config_id": "b", "field": "pair", "message": "is small (line 3)"},
        {"config_id": "c", "field": "volume", "message": "is (line 4) small"},
    ]
    assert list(by_message(found)) == [
        ("volume", ["a", "b"], "is small", " (lines 2, 3)"),
        ("pair", ["b"], "is small", " (line 3)"),
        ("volume", ["c"], "is (line 4) small", ""),
    ]


def test_want_of_funds_is_told_once_a_row() -> None:
    """Two warnings stand in the result, as callers know it; a person reads one."""
    result = check(GOOD, row(id="b"), api=Prices(funds={"XXBT": "0.015"}))
    assert [one["field"] for one in result.warnings].count("balance") == 2
    told = told_once(result.warnings)
    assert [one["field"] for one in told] == ["volume", "volume"]
    text = " ".join(format_validation_result(result).split())
    assert text.count("Insufficient BTC: 2 armed rows take 0.02000000 together") == 1
    assert "balance is insufficient" not in text
    plenty = check(GOOD, api=Prices())
    assert told_once(plenty.warnings) == plenty.warnings


def test_whether_a_row_was_refused_follows_each_error_and_no_warning() -> None:
    """It is asked between the checks, again and again."""
    result = ValidationResult()
    assert not result.has_error("a")
    result.add_warning("a", "volume", "look")
    assert not result.has_error("a")
    assert (result.is_valid(), result.has_warnings()) == (True, True)
    for name in ("a", "b", "a"):
        result.add_error(name, "pair", "wrong")
        assert result.has_error(name)
        assert not result.has_error("c")
    assert not result.is_valid()
    assert [error["type"] for error in result.errors] == ["error"] * 3
