"""Where a number of a row begins to look like a slip of the hand: right at each bound."""

from __future__ import annotations

import pytest

from tests.kits.rows.rows_kit import check, row, said


def warned(field: str, value: str) -> str:
    """Return what is said of one cell of a row that may trade; empty where nothing is."""
    result = check(row(**{field: value}))
    assert not result.errors
    texts = [warning["message"] for warning in result.warnings if warning["field"] == field]
    assert said(result.warnings) == [(row()["id"], field)] * len(texts)
    return " ".join(texts)


@pytest.mark.parametrize(
    ("offset", "words"),
    [
        ("0.099", "very small"),
        ("0.1", ""),
        ("0.101", ""),
        ("19.99", ""),
        ("20", ""),
        ("20.01", "is large"),
        ("50", "is large"),
        ("50.01", "very large"),
        ("99.99", "very large"),
    ],
)
def test_offset_is_large_or_small_beyond_its_bound_and_not_at_it(offset: str, words: str) -> None:
    """A tenth, twenty and fifty percent are what somebody may have meant."""
    found = warned("trailing_offset_percent", offset)
    assert (words in found) if words else (found == "")
    assert not (words == "is large" and "very" in found)


@pytest.mark.parametrize(
    ("volume", "words"),
    [
        ("0.00009999", "very small"),
        ("0.0001", ""),
        ("10000", ""),
        ("10000.01", "very large"),
    ],
)
def test_volume_is_large_or_small_beyond_its_bound_and_not_at_it(volume: str, words: str) -> None:
    """Less than a minimum order of the dearest coin, or more than a fortune."""
    result = check(row(volume=volume))
    texts = " ".join(w["message"] for w in result.warnings if w["field"] == "volume")
    assert (words in texts) if words else ("very" not in texts)


def test_each_row_is_warned_of_by_itself() -> None:
    """Two rows with the same slip are two findings, in the order of the file."""
    rows = [row(id=name, trailing_offset_percent="60") for name in ("a", "b", "c")]
    rows[1]["trailing_offset_percent"] = "5"
    found = [w for w in check(*rows).warnings if w["field"] == "trailing_offset_percent"]
    assert [warning["config_id"] for warning in found] == ["a", "c"]
