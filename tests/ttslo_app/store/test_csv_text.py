"""Any CSV file as a table: taken apart without an error, and put together as it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttslo_app.store.csv_text import Table, cell_text, clean, parse, quote

KNOWN = ("id", "pair")


def table(text: str, *, has_comments: bool = True) -> Table:
    """Return the table of a text."""
    return parse(text.encode(), KNOWN, has_comments=has_comments)


def cells(text: str) -> list[list[str]]:
    """Return the values of each record."""
    return [list(reading.cells.values()) for reading in table(text).readings()]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_separator_and_line_ends_are_found(mark: str, end: str) -> None:
    """The separator is the one that makes known columns of the header."""
    found = table(end.join(["id,pair,note", "a,b,c", "d,e,f"]).replace(",", mark))
    assert found.delimiter == mark
    assert found.columns == ("id", "pair", "note")
    assert [r.line for r in found.readings()] == [2, 3]


def test_separator_that_the_file_names_is_taken() -> None:
    """A first line as a spreadsheet writes it decides, against the look of the header."""
    found = table("sep=;\nid;pair,x\na;b,c\n")
    assert found.columns == ("id", "pair,x")
    assert [(r.line, r.cells) for r in found.readings()] == [(3, {"id": "a", "pair,x": "b,c"})]


def test_quotes_span_lines_and_stray_ones_do_not() -> None:
    """A quoted cell may hold line ends; a quote that is never closed takes no row along."""
    assert cells('id,pair\n"a\nb",c\n') == [["a\nb", "c"]]
    assert cells('id,pair\n"a,c\nd,e\n') == [['"a', "c"], ["d", "e"]]


def test_file_without_quotes_is_plain() -> None:
    """Only quotes, NULs, inner marks, and columns without a name of their own make it less."""
    assert table("id,pair\na,b\n").is_plain
    assert not any(
        table(text).is_plain
        for text in ('id,pair\n"a",b\n', "id,pair\na\0,b\n", "id,pair\n\ufeffa,b\n", "id,id\na,b\n")
    )


PLAIN = st.text(alphabet="ab1,;\t# \r\n\x0b\x85\u2028", max_size=60)


@given(PLAIN, st.booleans())
def test_plain_file_reads_as_cell_by_cell(text: str, has_comments: bool) -> None:
    """The short way over a plain file finds the same lines, cells and complaints as the long."""
    found = table(f"id,pair,note\n{text}", has_comments=has_comments)
    assert found.is_plain
    long = [found.read(record) for record in found.records()]
    assert [reading._replace(record=None) for reading in long] == list(found.readings())


@given(PLAIN | st.text(alphabet='ab1," \n\0', max_size=40))
def test_readings_have_all_columns_but_those_that_may_lack(text: str) -> None:
    """A column is left out of a short record only where the caller allows it."""
    found = table(f"id,pair,note\n{text}")
    for whole, short in zip(
        found.readings(), found.readings(may_lack=frozenset({"note"})), strict=True
    ):
        assert set(whole.cells) == {"id", "pair", "note"}
        lacking = {} if short.cell_count > 2 or len(short.cells) == 3 else {"note": ""}
        assert {**short.cells, **lacking} == whole.cells


@given(st.lists(st.sampled_from(["a", "b", "ab", "a b", "", "#a"]), max_size=8))
def test_records_with_a_cell_are_found_among_all(names: list[str]) -> None:
    """No record that says the text is missed, and all come in order."""
    found = table("id,pair\n" + "".join(f"{name},p\n" for name in names))
    some = list(found.records_with("id", {"a", "b"}))
    assert some == sorted(some)
    assert {r for r in found.records() if found.read(r).cells["id"] in ("a", "b")} <= set(some)
    assert set(some) <= set(found.records())


@given(st.binary(max_size=200))
def test_table_gives_its_bytes_back(data: bytes) -> None:
    """Whatever the bytes are, they are a table, and the table is those bytes."""
    found = parse(data, KNOWN, has_comments=True)
    assert found.bytes_of(found.text) == data


@given(st.text(max_size=20), st.sampled_from(",;\t"), st.booleans())
def test_quoted_cell_is_read_as_it_was(text: str, mark: str, always: bool) -> None:
    """A cell in quotes, or one that needs none, says what was put into it."""
    value = text.replace("\0", "")
    found = table(f"id{mark}pair\nx{mark}{quote(value, mark, always=always)}\n")
    (reading,) = found.readings(keeps_spaces=True)
    assert reading.cells.get("pair") == value


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (True, "true"), (False, "false"), (0, "0"), ("a\0b", "ab"), (1.5, "1.5")],
)
def test_value_as_text_of_a_cell(value: object, text: str) -> None:
    """None is empty, truth is spelled as the files spell it, and NULs are left out."""
    assert cell_text(value) == text


def test_clean_takes_spaces_and_marks_from_the_ends() -> None:
    """What editors and spreadsheets leave around a text is none of it."""
    assert clean(" \ufeff a\0 b \t") == "a b"
