"""The sentences of the commands about a store."""

from __future__ import annotations

from ttslo_app.cluster.sheet import Step
from ttslo_app.hosts import store_words as words


def test_a_difference_is_one_line_whatever_a_cell_holds() -> None:
    """Long cells are cut, and nothing in them is obeyed."""
    step = Step("a", {"id": "a", "note": "x\ny\x1b[2J" + "z" * 500}, 1, 0, {})
    text = words.difference(step)
    assert "\n" not in text
    assert "\x1b" not in text
    assert len(text) < 120


def test_an_emptied_cell_is_told_as_such() -> None:
    """And one that was filled."""
    step = Step("a", {"id": "a", "enabled": "true"}, 1, 5, {"id": "a", "order_id": "O1"})
    assert words.difference(step) == "~ a: order_id O1 -> (empty), enabled (empty) -> true"


def test_a_row_that_only_moves_says_so() -> None:
    """There is no cell to be shown."""
    step = Step("a", {"id": "a"}, 2, 5, {"id": "a"})
    assert words.difference(step) == "~ a: has another place"


def test_many_rows_are_not_all_named() -> None:
    """A line stays a line."""
    text = words.unsettled([f"r{n}" for n in range(1000)], "state.csv")
    assert "r7 and 992 more" in text


def test_one_row_is_one_row() -> None:
    """And two are two."""
    assert words.pushed(1).startswith("1 row changed")
    assert words.pushed(2).startswith("2 rows changed")
