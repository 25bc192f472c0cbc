"""Any CSV file as a table: taken apart without an error, and put together as it was."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttslo_app.store.csv_text import Table, cell_text, clean, has_line_of, parse, quote

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


@pytest.mark.parametrize(
    ("line", "cells_found"),
    [
        ("a,b,c,d", {"id": "a", "pair": "b", "x": "c", "y": "d"}),
        ("a,b,c", {"id": "a", "pair": "b", "x": "c"}),
        ("a,b", {"id": "a", "pair": "b"}),
        ("a", {"id": "a", "pair": "", "x": "", "y": ""}),  # the pair must not be left out
    ],
)
def test_columns_that_may_lack_are_left_out_where_only_they_do(
    line: str, cells_found: dict[str, str]
) -> None:
    """Either way each cell stands under its own column."""
    found = table(f"id,pair,x,y\n{line}\n")
    (reading,) = found.readings(may_lack=frozenset({"x", "y"}))
    assert (reading.cells, reading.cell_count) == (cells_found, line.count(",") + 1)


@pytest.mark.parametrize("quoted", ["", '"q"'])
@pytest.mark.parametrize(
    ("surplus", "is_said"), [("", False), (",", False), (", ,", False), (",e", True), (",,e", True)]
)
def test_surplus_is_complained_of_where_it_says_something(
    surplus: str, is_said: bool, quoted: str
) -> None:
    """Spreadsheets end rows with empty cells, which mean nothing."""
    found = table(f"id,pair\na,{quoted}{surplus}\n")
    for reading in (*found.readings(), *map(found.read, found.records())):
        assert bool(reading.complaints) is is_said
        assert reading.cells == {"id": "a", "pair": quoted.strip('"')}


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("id", "id"),
        (" ID ", "id"),
        ("\ufeffId", "id"),
        ("Two Words", "two_words"),
        ("two-WORDS", "two_words"),
        ("two  -words", "two_words"),
        ("My Notes", "My Notes"),
        ("idea", "idea"),
        ("", ""),
    ],
)
def test_known_columns_are_found_however_they_are_spelled(name: str, column: str) -> None:
    """Names of the user's own stay as they are."""
    data = f"x,{name}\n1,2\n".encode()
    assert parse(data, ("id", "two_words"), has_comments=True).columns == ("x", column)


@pytest.mark.parametrize(
    ("header", "line", "complaint"),
    [
        ("id,pair,", "a,b,c", "has 'c' in column 3, which has no name"),
        ("id,pair,", "a,b,", ""),
        ("id,pair,id", "a,b,a", ""),
        ("id,pair,id", "a,b,c", "has two cells for id: 'a' and 'c'"),
    ],
)
def test_cell_without_a_column_of_its_own_is_told(header: str, line: str, complaint: str) -> None:
    """Two that say the same are one; a cell that nobody can name may mean anything."""
    (reading,) = table(f"{header}\n{line}\n").readings()
    assert [*reading.complaints] == ([complaint] if complaint else [])
    assert reading.cells == {"id": "a", "pair": "b"}


@pytest.mark.parametrize(
    ("data", "codec", "is_guessed"),
    [
        (b"id\n\xc3\xa9\n", "utf-8", False),
        (b"\xef\xbb\xbfid\n", "utf-8", False),
        ("\ufeffid\n".encode("utf-16-le"), "utf-16-le", False),
        ("\ufeffid\n".encode("utf-16-be"), "utf-16-be", False),
        (b"id\n\xe9\n", "cp1252", True),
        (b"id\n\x81\xe9\n", "latin-1", True),  # no letter of the first guess
        (b"", "utf-8", False),
    ],
)
def test_encoding_is_told_by_its_mark_or_guessed(data: bytes, codec: str, is_guessed: bool) -> None:
    """Only where the bytes can be nothing else it is not UTF-8, and then it is said."""
    found = parse(data, KNOWN, has_comments=True)
    assert (found.codec, found.is_guessed) == (codec, is_guessed)
    assert found.bytes_of(found.text) == data


@given(st.text("ab\r\n", max_size=40), st.integers(1, 9))
def test_long_line_is_found_wherever_it_is(text: str, length: int) -> None:
    """At either end of the text, and right up to its length."""
    is_there = re.search(rf"[^\r\n]{{{length}}}", text) is not None
    assert has_line_of(length, text) is is_there


class Counted(str):
    """A text that counts how often it is searched."""

    __slots__ = ("looks",)
    looks: int

    def rfind(self, *words: object) -> int:
        """Search as any text does."""
        self.looks += 1
        return super().rfind(*words)  # type: ignore[arg-type]  # whatever `str` takes


def test_long_line_is_not_looked_for_line_by_line() -> None:
    """A hundred short lines are five stretches, and each takes a look for either end of a line."""
    text = Counted("123456789\n" * 100)
    text.looks = 0
    assert has_line_of(200, text) is False
    assert text.looks <= 12
