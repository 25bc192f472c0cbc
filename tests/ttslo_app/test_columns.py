"""The names of columns: near misses are named, and notes of the user stay notes."""

import pytest

from ttslo_app.columns import (
    CONFIG_COLUMNS,
    FOREIGN_COLUMNS,
    KNOWN_COLUMNS,
    column_findings,
    foreign_meaning,
    misspelled,
    suspicious,
)


def without(name: str, *others: str) -> list[str]:
    """Return the columns of a file that lacks one and has some more."""
    return [*(column for column in CONFIG_COLUMNS if column != name), *others]


def test_the_columns_of_existing_files_are_all_known() -> None:
    """No name of ours is told to be none."""
    assert misspelled(KNOWN_COLUMNS) == {}
    assert len(set(KNOWN_COLUMNS)) == len(KNOWN_COLUMNS)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        *(("tralling_offset", "trailing_offset_percent"), ("Trailing Offset", None)),
        *(
            ("price", "threshold_price"),
            ("treshold_price", "threshold_price"),
            ("side", "direction"),
            *(("stop_price", "threshold_price"), ("target price", "threshold_price")),
        ),
        *(("volumne", "volume"), ("amount", "volume"), ("enabeld", "enabled"), ("symbol", "pair")),
    ],
)
def test_a_near_miss_names_the_column_that_is_missing(typed: str, meant: str | None) -> None:
    """Misspelled or called otherwise, what is missing is told."""
    columns = without(meant or "trailing_offset_percent", typed)
    assert misspelled(columns) == {typed: meant or "trailing_offset_percent"}
    assert typed in next(column_findings(columns))


@pytest.mark.parametrize(
    "own",
    [
        *(
            "note",
            "comment",
            "date",
            "price",
            "amount",
            "order",
            "My Note",
            "strategy",
            "x",
        ),
        *("type", "profit", "cost", "target", "triggered", "activated_on", "last_checked"),
    ],
)
def test_a_users_own_column_stays_a_note(own: str) -> None:
    """Beside all columns of ours it means nothing to us."""
    assert misspelled([*CONFIG_COLUMNS, own]) == {}
    assert foreign_meaning(own, "2027") == ""


def test_notes_that_would_not_be_told_are_named() -> None:
    """Whoever writes `notes` wants them told; a row may have a value there all the same."""
    assert misspelled([*CONFIG_COLUMNS, "notes"]) == {"notes": "note"}
    assert suspicious([*CONFIG_COLUMNS, "notes"]) == {}


def test_only_what_means_something_is_suspicious() -> None:
    """A second volume is a note; a policy that nobody reads is not."""
    assert suspicious([*CONFIG_COLUMNS, "when-blnd", "volumes"]) == {"when-blnd": "when_blind"}
    assert suspicious(without("volume", "volumes")) == {}  # its rows miss their volume anyway


def test_a_spreadsheet_with_thousands_of_columns_takes_no_time() -> None:
    """What is beyond a hundred unknown names is not compared; a long name is cut."""
    assert misspelled([*CONFIG_COLUMNS, *(f"c{n}" for n in range(10_000)), "q" * 1_000_000]) == {}


@pytest.mark.parametrize("column", FOREIGN_COLUMNS)
def test_each_foreign_column_tells_what_it_would_mean(column: str) -> None:
    """The reason names the column and the cure; an empty cell has none."""
    assert column in foreign_meaning(column, "x")
    assert "empty the cell" in foreign_meaning(column, "x")
    assert foreign_meaning(column, "") == ""
