"""Rows as a config.csv with little work for a few, and a config.csv as changes of the store."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from ttslo_app.cluster.records import Keys, dumped, loaded, read_cells, row_text
from ttslo_app.cluster.sheet import Row, Sheet, change_of, columns_of, parts_of, places_of, steps_to
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


def known(*ids: str) -> list[Row]:
    """Return rows as a store has them."""
    return [Row(one, {"id": one, "pair": "X"}, (n + 1) * 1024, n + 5) for n, one in enumerate(ids)]


def wanted(*ids: str, **more: str) -> list[dict[str, str]]:
    """Return rows as a file has them."""
    return [{"id": one, "pair": "X", **more} for one in ids]


def test_the_same_rows_need_no_step() -> None:
    """Whichever empty columns the file has."""
    assert steps_to(wanted("a", "b", note="", **{"": "beyond the header"}), known("a", "b")) == []


def test_each_step_names_what_it_rests_on_and_what_it_changes() -> None:
    """New, changed and gone."""
    rows = [*wanted("new"), *wanted("a", volume="1")]
    steps = steps_to(rows, known("a", "gone"))
    assert [(s.id, s.version, s.cells is None) for s in steps] == [
        ("new", 0, False),
        ("a", 5, False),
        ("gone", 6, True),
    ]
    assert steps[1].differences == [("volume", "", "1")]
    assert steps[2].differences == [("id", "gone", ""), ("pair", "X", "")]
    change = change_of(KEYS, steps, "t")
    assert dict(change.rests_on) == {KEYS.row("new"): 0, KEYS.row("a"): 5, KEYS.row("gone"): 6}
    assert list(change.deletes) == [KEYS.row("gone")]
    assert read_cells("k", change.puts[KEYS.row("a")]) == {"id": "a", "pair": "X", "volume": "1"}


def test_a_new_row_moves_no_other() -> None:
    """Wherever it is put in."""
    for place in range(4):
        ids = ["a", "b", "c"]
        ids.insert(place, "new")
        assert [step.id for step in steps_to(wanted(*ids), known("a", "b", "c"))] == ["new"]


def test_rows_that_change_places_are_moved() -> None:
    """The order of the file is that of the store."""
    steps = steps_to(wanted("b", "a"), known("a", "b"))
    assert {step.id for step in steps} == {"a", "b"}
    assert all(step.differences == [] for step in steps)


def test_parts_are_small_and_complete() -> None:
    """A store takes so much at once."""
    steps = steps_to(wanted(*map(str, range(130))), [])
    parts = list(parts_of(steps))
    assert [len(part) for part in parts] == [60, 60, 10]
    assert [step for part in parts for step in part] == steps


IDS = st.lists(st.sampled_from("abcde"), unique=True)


@given(IDS, st.dictionaries(st.sampled_from("abcde"), st.integers(1, 7)))
def test_places_are_in_the_order_of_the_file(ids: list[str], before: dict[str, int]) -> None:
    """Whatever the store has: even rows that share a place."""
    places = places_of(ids, before)
    assert list(places) == ids or sorted(places) == sorted(ids)
    assert sorted(ids, key=places.__getitem__) == ids
    assert len(set(places.values())) == len(ids)
