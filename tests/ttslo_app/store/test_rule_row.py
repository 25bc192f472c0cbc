"""A row as its line: it says what the same cells say in a dict."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kits.common.calls_kit import calls_in
from ttslo_app.store.rule_row import (
    ConfigRow,
    PlainRow,
    RuleRow,
    Shape,
    config_row,
    shape_of,
    texts_under,
)

COLUMNS = ("id", "pair", "note")


def row(text: str, line: int = 2, columns: tuple[str, ...] = COLUMNS, mark: str = ",") -> PlainRow:
    """Return a row of three columns."""
    return PlainRow(text, line, shape_of(columns, mark))


@given(
    st.lists(st.text("ab \t", max_size=4), min_size=1, max_size=5),
    st.sampled_from(",;\t"),
    st.integers(1, 4),
)
def test_line_says_what_its_cells_say(cells: list[str], mark: str, count: int) -> None:
    """By name, by all names, and as a dict; where it ends early, columns are not there."""
    names = ("id", "pair", "note", "more")[:count]
    text = mark.join(cells)
    found = row(text, columns=names, mark=mark)
    expected = dict(zip(names, (cell.strip() for cell in text.split(mark)), strict=False))
    assert found == expected
    assert expected == found
    assert (dict(found), found.cells, len(found)) == (expected, expected, len(expected))
    assert [*found.items()] == [*expected.items()]
    for name in (*names, "other"):
        assert (found.get(name), name in found) == (expected.get(name), name in expected)


def test_column_that_is_not_there_is_told_as_by_a_dict() -> None:
    """Neither one that no row has, nor one that this row ends before."""
    for name in ("note", "other"):
        with pytest.raises(KeyError, match=name):
            row("a,XBTUSD")[name]
        assert row("a,XBTUSD").get(name, "?") == "?"


@pytest.mark.parametrize(
    ("other", "is_same"),
    [
        (row("a,XBTUSD,x", line=9), True),
        (row(" a ,XBTUSD,x"), True),
        (row("a;XBTUSD;x", mark=";"), True),
        (row("a,XBTUSD,x", columns=("id", "pair", "other")), False),
        (row("a,XBTUSD,x,", columns=(*COLUMNS, "more")), False),
        (row("a,XBTUSD,y"), False),
        (row("a,XBTUSD"), False),
        ({"id": "a", "pair": "XBTUSD", "note": "x"}, True),
        ({"id": "a", "pair": "XBTUSD"}, False),
        ("a,XBTUSD,x", False),
    ],
)
def test_rows_are_compared_by_their_cells(other: object, is_same: bool) -> None:
    """Wherever they stand, and however they are written."""
    assert (row("a,XBTUSD,x") == other) is is_same
    assert (other == row("a,XBTUSD,x")) is is_same
    assert (row("a,XBTUSD,x") != other) is not is_same


def test_row_is_a_mapping_that_cannot_be_hashed_and_is_in_no_doubt() -> None:
    """As the dicts are that stand beside it in a file where other rows are odd."""
    one = row("a,XBTUSD,x", line=7)
    assert isinstance(one, Mapping)
    assert (one.line, one.findings) == (7, ())
    assert repr(one) == "PlainRow('a,XBTUSD,x', line=7)"
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)
    assert json.dumps([*one.items()]) == '[["id", "a"], ["pair", "XBTUSD"], ["note", "x"]]'


def test_columns_and_cells_are_had_by_taking_the_line_apart_once() -> None:
    """An order waits for what its row says to the letter, and that is all of it."""
    one = row("a,XBTUSD,x")
    seen = calls_in(lambda: [*one.items()])
    assert seen["split"] == 1
    assert seen["Python"] <= 4


def test_cells_that_are_asked_for_are_the_callers_own() -> None:
    """What is written into them is not written into the row."""
    one = row("a,XBTUSD,x")
    one.cells["id"] = "b"
    assert one["id"] == "a"


def test_equal_cells_of_many_rows_are_few_texts() -> None:
    """However many ids stand between them, of which not all are remembered."""
    shape = Shape(COLUMNS, ",")
    read = [shape.cells(f"r{number},XBTUSD,{number}") for number in range(20_000)]
    assert len({id(cells["pair"]) for cells in read}) < 20
    assert len(shape._shared) < 5_000
    assert [cells["id"] for cells in read[::5_000]] == [f"r{n}" for n in range(0, 20_000, 5_000)]
    assert shape_of(COLUMNS, ",") is shape_of(("id", "pair", "note"), ",")


def test_row_for_callers_is_a_dict_with_its_place() -> None:
    """One that is a dict already stays itself, with what is in doubt of it."""
    made = config_row(row("a,XBTUSD,x", line=7))
    cells = {"id": "a", "pair": "XBTUSD", "note": "x"}
    assert (type(made), dict(made), made.line, made.findings) == (ConfigRow, cells, 7, ())
    odd = ConfigRow({"id": "b"}, 3, ["is cut short"])
    assert config_row(odd) is odd


def test_texts_under_a_column_are_those_of_rows_that_have_one() -> None:
    """Where no line has that column none is looked at."""
    rows: list[RuleRow]
    rows = [row("a,XBTUSD, mine "), row("b,XBTUSD,"), row("c"), ConfigRow({"id": "d", "note": "x"})]
    assert texts_under("note", rows) == {"a": "mine", "d": "x"}
    assert texts_under("other", rows) == {}
