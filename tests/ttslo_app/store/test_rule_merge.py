"""Cells written into config.csv: every other byte of the user's file stays as it is."""

from __future__ import annotations

import csv
import io
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kits.common.examples import many
from tests.kits.rows.store_kit import HEADER, ROW_A, ROW_B, table
from ttslo_app.columns import CONFIG_COLUMNS, TRIGGER_COLUMNS
from ttslo_app.store.rule_merge import merge, trigger_cells
from ttslo_app.store.rule_text import read_rules

CELLS = trigger_cells("OAAAAA-BBBBB-CCCCCC", "2026-11-23T12:00:00+00:00", "50001.5")
IDS = ("a", "b", "c", "d")

# --- plain files, line by line -------------------------------------------------------------------

_own = st.text(alphabet="xyz 1é.", max_size=5)
_rows = st.lists(
    st.tuples(st.sampled_from([*IDS, "# a", "", "  "]), _own, st.integers(0, 3)), max_size=8
)


def _line(name: str, own: str, extra: int) -> str:
    """Return a row of that id, with a note and surplus separators; a blank line for no id."""
    if not name.strip():
        return name
    return f"{name},XBTUSD,50000,above,sell,0.01,5.0,true,{own}" + "," * extra


@settings(max_examples=many(120))
@given(
    _rows,
    st.sets(st.sampled_from(IDS), min_size=1),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(",;\t"),
    st.booleans(),
    st.booleans(),
)
def test_merge_changes_the_named_cells_of_a_plain_file_and_nothing_else(
    rows: list[tuple[str, str, int]],
    changed: set[str],
    end: str,
    mark: str,
    has_columns: bool,
    ends_whole: bool,
) -> None:
    """An oracle that knows lines and separators only; ids twice or missing are left out."""
    columns = [*CONFIG_COLUMNS, "mine", *(TRIGGER_COLUMNS if has_columns else ())]
    lines = [line.replace(",", mark) for line in (",".join(columns), *(_line(*r) for r in rows))]
    before = end.join(lines) + (end if ends_whole else "")
    data, left_out = merge(before.encode(), dict.fromkeys(changed, CELLS))
    counts = {name: sum(row[0] == name for row in rows) for name in changed}
    assert {n: type(e) for n, e in left_out.items()} == {
        n: ValueError if count else LookupError for n, count in counts.items() if count != 1
    }
    written = {n for n, count in counts.items() if count == 1}
    if not written:
        assert data == before.encode()
        return
    # New columns stand to the right of every cell of the file that says anything.
    head = columns if has_columns else [*columns, *TRIGGER_COLUMNS]
    expected = [mark.join(head)]
    for (name, _, _), line in zip(rows, lines[1:], strict=True):
        cells = line.split(mark)
        if name in written:
            cells += [""] * (max(head.index(column) for column in CELLS) + 1 - len(cells))
            for column, value in CELLS.items():
                cells[head.index(column)] = value
        expected.append(mark.join(cells))
    assert data.decode() == end.join(expected) + (end if ends_whole else "")


# --- files with quotes, by another reader --------------------------------------------------------

_text = st.text(alphabet='xy ,;"\n', max_size=6)


@settings(max_examples=many(100))
@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), _text, _text), max_size=5),
    st.sampled_from("abcdefgh"),
    st.sampled_from(["\n", "\r\n"]),
)
def test_merge_into_quoted_cells_is_what_the_csv_module_reads(
    rows: list[tuple[str, str, str]], name: str, end: str
) -> None:
    """All cells of all rows say what they said, but for those that were written."""
    columns = ["note", "id", "enabled", "order_id", "mine"]
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator=end)
    writer.writerow(columns)
    writer.writerows([note, rule_id, "true", "", mine] for rule_id, note, mine in rows)
    before = sink.getvalue()
    cells = {"enabled": "false", "order_id": "OAAAAA"}
    data, left_out = merge(before.encode(), {name: cells})
    old = list(csv.reader(io.StringIO(before, newline="")))
    new = list(csv.reader(io.StringIO(data.decode(), newline="")))
    if left_out:
        assert data == before.encode()
        assert sum(row[1] == name for row in old) != 1
        return
    expected = [r if r[1] != name else [r[0], name, "false", "OAAAAA", r[4]] for r in old]
    assert new == expected


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_merge_keeps_the_encoding_and_its_mark(encoding: str) -> None:
    """What a spreadsheet wrote it can read again."""
    text = table(f"{HEADER},note", f"{ROW_A},caf\u00e9", f"{ROW_B},x")
    before = text.encode(encoding)
    data, left_out = merge(before, {"b": {"enabled": "false"}})
    assert left_out == {}
    assert data == text.replace("2.5,yes,x", "2.5,false,x").encode(encoding)


def test_merge_that_the_encoding_cannot_hold_raises() -> None:
    """Rather than a file with other letters in it."""
    before = table(f"{HEADER},note", f"{ROW_A},caf\u00e9").encode("cp1252")
    with pytest.raises(ValueError, match=r".+"):
        merge(before, {"a": {"note": "\u0416"}})


def test_new_columns_stand_beyond_what_a_row_says_too_much() -> None:
    """A surplus cell must not find itself under a name, where it would be a value."""
    before = table(HEADER, f"{ROW_A},,surplus", ROW_B)
    data, _ = merge(before.encode(), {"b": {"order_id": "OAAAAA"}})
    head, first, second = data.decode().splitlines()
    assert head == f"{HEADER},,,order_id"
    assert first == f"{ROW_A},,surplus"
    assert second == f"{ROW_B},,,OAAAAA"
    assert "surplus" not in read_rules(data).rows[0].get("order_id", "")


@pytest.mark.parametrize(("value", "cell"), [("false", '"false"'), ("", "")])
def test_quoted_cell_stays_quoted_where_it_says_something(value: str, cell: str) -> None:
    """The file keeps the manner of whoever writes it."""
    before = table(HEADER, ROW_A.replace("true", '"true"'))
    data, _ = merge(before.encode(), {"a": {"enabled": value}})
    assert data.decode() == before.replace('"true"', cell)


def test_merge_does_not_write_where_quotes_leave_the_cells_unclear() -> None:
    """A cell written in must not close a stray quote of another row."""
    before = table(f"{HEADER},note", f'{ROW_A},"open', f"{ROW_B},x")
    with pytest.raises(ValueError, match="quote marks leave it unclear"):
        merge(before.encode(), {"b": {"note": ",y"}})
    data, _ = merge(before.encode(), {"b": {"enabled": "false"}})  # and plain ones change none
    assert data.decode() == before.replace("yes", "false")


@pytest.mark.parametrize("name", ["# a", "#a"])
def test_comment_is_no_row_to_write_into(name: str) -> None:
    """Even where somebody asks for it by its very name."""
    before = table(HEADER, ROW_A.replace("a,", f"{name},", 1), ROW_B)
    data, left_out = merge(before.encode(), {name: {"enabled": "false"}})
    assert (data, type(left_out[name])) == (before.encode(), LookupError)


def test_several_rows_of_one_id_are_named_by_their_lines() -> None:
    """The person is told where to look, and neither is changed."""
    before = table(HEADER, ROW_A, "", ROW_B, ROW_A)
    data, left_out = merge(before.encode(), {"a": {"enabled": "false"}, "x": {"enabled": "false"}})
    assert data == before.encode()
    assert "lines 2, 5 share the id 'a'" in str(left_out["a"])
    assert "no row has the id 'x'" in str(left_out["x"])


# --- ids, and what is written ---------------------------------------------------------------------


def test_merge_without_a_change_gives_the_same_bytes() -> None:
    """An id that is not there is told, and so is one that is there twice; no byte moves."""
    data = table(HEADER, ROW_A, ROW_B, ROW_B).encode()
    merged, left_out = merge(data, {"zz": {"enabled": "false"}, "b": {"enabled": "false"}})
    assert merged == data
    assert isinstance(left_out["zz"], LookupError)
    assert "lines 3, 4 share the id 'b'" in str(left_out["b"])


def test_merge_leaves_an_id_out_and_writes_the_others() -> None:
    """One row that is not there keeps nobody else's order from being written down."""
    merged, left_out = merge(table(HEADER, ROW_A).encode(), {"a": {"pair": "X"}, "zz": {}})
    assert merged.decode() == table(HEADER, ROW_A.replace("XBTUSD", "X"))
    assert set(left_out) == {"zz"}


def test_merge_finds_more_ids_than_are_looked_up_one_by_one() -> None:
    """Many changes at once are the same as each of them."""
    rows = [ROW_A.replace("a,", f"a{number},", 1) for number in range(100)]
    changes = {f"a{number}": {"enabled": "no"} for number in range(0, 100, 1)}
    merged, left_out = merge(table(HEADER, *rows).encode(), changes)
    assert not left_out
    assert merged.decode() == table(HEADER, *(row.replace("true", "no") for row in rows))


def test_trigger_cells_disarm_and_tell_the_order() -> None:
    """What is not known of a trigger is an empty cell."""
    assert trigger_cells("O1", None, 5) == {
        "enabled": "false",
        "order_id": "O1",
        "trigger_time": "",
        "trigger_price": "5",
    }


@pytest.mark.parametrize(
    "evil", ["=cmd|' /C calc'!A0", "+1", "-1", "@x", "\t=1", "O\r\nx", "O" * 100]
)
def test_what_is_no_fact_is_written_so_that_no_spreadsheet_obeys_it(evil: str) -> None:
    """An order id of nobody's is kept in sight, and is no formula."""
    cells = trigger_cells(evil, evil, evil)
    for name in ("order_id", "trigger_time", "trigger_price"):
        assert cells[name].startswith("?")
        assert len(cells[name]) < 65
        assert cells[name].isprintable()


@pytest.mark.parametrize("fact", ["OABCDE-FGHIJ-KLMNOP", "ORDER123", "DRY_RUN_ORDER_ID", ""])
def test_a_fact_is_written_as_it_is(fact: str) -> None:
    """Kraken's ids, those of stand-ins, moments and prices keep every letter."""
    moment = "2026-11-23T12:00:00.000+00:00"
    cells = trigger_cells(fact, moment, 0.00001234)
    assert list(cells.values()) == ["false", fact, moment, "1.234e-05"]


@pytest.mark.plenty
@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("quoted", ["", '"', "é\U0001f600"])
def test_long_file_is_written_as_a_short_one_is(codec: str, quoted: str) -> None:
    """Wherever its blocks begin, and whatever its letters are."""
    lines = [ROW_A.replace("a,", f"a{n},", 1) + f",{quoted}n{quoted}" for n in range(6_000)]
    data = table(f"{HEADER},note", *lines).encode(codec)
    chosen = [0, 1, 2_999, 5_999]
    merged, left_out = merge(data, {f"a{n}": {"enabled": "no"} for n in chosen})
    assert not left_out
    for number in chosen:
        lines[number] = lines[number].replace("true", "no")
    assert merged == table(f"{HEADER},note", *lines).encode(codec)


def test_long_file_is_in_hand_three_times_at_most() -> None:
    """As it is, as its text, and as it will be: what the allocator is asked for, it keeps."""
    data = table(HEADER, *(ROW_A.replace("a,", f"a{n},", 1) for n in range(20_000))).encode()
    tracemalloc.start()
    try:
        merge(data, {"a7": {"enabled": "no"}, "a19000": {"enabled": "no"}})
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 2.3 * len(data)
