"""The text of a validation: the verdict, each finding, each row."""

from rows_kit import GOOD, Prices, check, row

from ttslo_app.rules.findings import ValidationResult
from ttslo_app.rules.verdict_text import format_validation_result


def test_the_text_says_passed_and_each_row() -> None:
    """A good file passes, and every row is summed up in one line."""
    text = format_validation_result(check(GOOD, row(id="off", enabled="no")))
    assert "VALIDATION PASSED: 2 rows, 0 errors, 0 warnings" in text
    lines = text.splitlines()
    assert lines[-2].split() == ["btc_1", "armed", "XXBTZUSD", "at", "or", "above", "60000"]
    assert lines[-1].split()[:2] == ["off", "disabled"]
    assert "NOT CHECKED" in text


def test_the_text_says_failed_and_why() -> None:
    """A refused row fails the file; errors, warnings and the refused rows are there."""
    bad = row(id="bad", volume="nan"), row(id="met", threshold_price="1", pair="XXBTZUSD")
    text = format_validation_result(check(*bad, row(direction="buy"), api=Prices()))
    assert "VALIDATION FAILED: 3 rows, 2 errors, 1 warning\n" in text
    assert text.index("ERRORS") < text.index("WARNINGS") < text.index("ROWS")
    assert "[bad] volume:" in text
    assert sum("refused" in line for line in text.splitlines()) == 2


def test_the_verbose_text_tells_the_order() -> None:
    """Verbose adds what will be placed."""
    assert "sell 0.01, trailing 5.0 %" in format_validation_result(check(GOOD), verbose=True)
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
