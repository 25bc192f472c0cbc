"""A result and its rows: what is noted, and where a row stands."""

import pytest
from rows_kit import GOOD

from ttslo_app.rules.findings import CheckedRow, ValidationResult, has_order, label_of, text_of
from ttslo_app.store.rule_text import ConfigRow


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


def test_what_is_said_of_a_row_tells_its_line() -> None:
    """Findings carry the label, and the line where there is one."""
    result = ValidationResult(fired={"a"})
    line = CheckedRow(result, ConfigRow(GOOD, line=7), "a", "XXBTZUSD", None, has_order=False)
    line.warn("volume", "hm")
    assert result.warnings[0]["message"] == "hm (line 7)"
    assert (line.is_refused, line.has_fired, line.waits) == (False, True, False)
    CheckedRow(result, GOOD, "a", "XXBTZUSD", None, has_order=False).refuse("volume", "no")
    assert (line.is_refused, result.errors[0]["message"]) == (True, "no")
