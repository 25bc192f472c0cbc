"""Rows as the text of a config.csv: the same bytes for the same rows, and little work for a few."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from ttslo_app.cluster.records import Keys, dumped, loaded, row_text
from ttslo_app.cluster.sheet import Row, Sheet, columns_of
from ttslo_app.cluster.store import Entry
from ttslo_app.store.rule_text import read_rules

KEYS = Keys("prod")
CELL = st.text(st.characters(codec="utf-8", exclude_characters="\x00\r"), max_size=12)


def entry(rule_id: str, version: int, cells: Mapping[str, str], place: int = 0) -> Entry:
    """Return what the store has of a row."""
    return Entry(KEYS.row(rule_id), row_text({"id": rule_id, **cells}, place, "t"), version)


class Reader:
    """Reads entries, and counts them."""

    def __init__(self) -> None:
        self.reads = 0

    def read(self, one: Entry) -> Row | None:
        self.reads += 1
        told = loaded(one.key, one.value)
        cells = told.get("cells")
        if cells is None:
            return None
        return Row(one.key.removeprefix(KEYS.rows), cells, told["place"], one.version)


def text_of(*entries: Entry) -> bytes:
    """Return the text of rows that nobody has seen before."""
    return Sheet(Reader().read).text(entries)


@given(st.lists(st.fixed_dictionaries({"pair": CELL, "note": CELL}), max_size=4))
def test_rows_as_a_file_are_byte_stable(rows: list[dict[str, str]]) -> None:
    """The same rows give the same bytes, however their cells came."""
    numbered = [entry(f"r{n}", n, cells) for n, cells in enumerate(rows)]
    turned = [entry(f"r{n}", n, dict(reversed(cells.items()))) for n, cells in enumerate(rows)]
    assert text_of(*numbered) == text_of(*reversed(turned))


def test_rows_as_a_file_are_read_as_they_were() -> None:
    """A cell with a comma, a quote or a line of its own is the same cell afterwards."""
    cells = {"pair": "BTC/USD", "note": 'mind, the "gap"', "zz own": "1"}
    data = text_of(entry("a", 1, cells), entry("b", 1, {}))
    read = read_rules(data).rows
    assert {name: text for name, text in read[0].items() if text} == {"id": "a", **cells}
    assert read[1]["id"] == "b"
    assert data.startswith(b"id,pair,threshold_price,threshold_type,direction,volume,")


def test_no_rows_are_a_header() -> None:
    """A file without a header would be read as none."""
    assert text_of().count(b"\n") == 1
    assert text_of(Entry(KEYS.row("x"), dumped({}), 1)) == text_of()  # one that cannot be read


def test_rows_stand_in_their_places() -> None:
    """And by their ids where those are the same."""
    data = text_of(entry("c", 1, {}, 1), entry("b", 2, {}, 0), entry("a", 3, {}, 1))
    assert [row["id"] for row in read_rules(data).rows] == ["b", "a", "c"]


def test_columns_are_those_of_every_file_and_what_else_is_used() -> None:
    """In one order, whoever used them first."""
    plain = columns_of(())
    assert plain[:2] == ["id", "pair"]
    assert columns_of(["zz", "aa"]) == [*plain, "aa", "zz"]
    assert columns_of(["pair", "id"]) == plain


def test_only_what_has_changed_is_read_again() -> None:
    """With a hundred thousand rows one edit would cost more than a second, else."""
    reader = Reader()
    sheet = Sheet(reader.read)
    rows = [entry(f"r{n}", n + 1, {"pair": "BTC/USD"}, n) for n in range(50)]
    first = sheet.text(rows)
    assert reader.reads == 50
    assert sheet.text(rows) == first
    again = [Entry(one.key, one.value, one.version) for one in rows]  # as after a lost connection
    assert sheet.text(again) == first
    assert reader.reads == 50
    rows[7] = entry("r7", 99, {"pair": "ETH/USD"}, 7)
    changed = sheet.text(rows)
    assert reader.reads == 51
    assert changed == text_of(*rows)
    assert changed != first


def test_column_that_comes_or_goes_changes_every_line() -> None:
    """A line of other columns would put cells under the wrong names."""
    sheet = Sheet(Reader().read)
    rows = [entry(f"r{n}", n + 1, {"pair": "BTC/USD"}, n) for n in range(3)]
    first = sheet.text(rows)
    noted = [*rows[:2], entry("r2", 9, {"pair": "BTC/USD", "aa own": "x"}, 2)]
    assert sheet.text(noted) == text_of(*noted)
    assert sheet.text(rows) == first


EDITS = st.lists(
    st.tuples(
        st.integers(0, 4),
        st.one_of(st.none(), st.dictionaries(st.sampled_from(["pair", "aa", "zz"]), CELL)),
        st.integers(0, 2),
    ),
    max_size=12,
)


@given(EDITS)
def test_text_after_any_edits_is_that_of_rows_never_seen_before(
    edits: list[tuple[int, dict[str, str] | None, int]],
) -> None:
    """Rows that are added, changed, moved and taken away, columns that come and go."""
    sheet, rows = Sheet(Reader().read), dict[int, Entry]()
    for version, (number, cells, place) in enumerate(edits):
        if cells is None:
            rows.pop(number, None)
        else:
            rows[number] = entry(f"r{number}", version, cells, place)
        assert sheet.text(list(rows.values())) == text_of(*rows.values())
