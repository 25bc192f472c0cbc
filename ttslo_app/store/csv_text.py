"""Any CSV file taken apart in such a way that it can be put together again byte for byte.

Pure. People edit these files by hand and in spreadsheets, so whatever the bytes are, taking them
apart raises nothing, and a stray quote takes no row below it along. Quoting is RFC 4180's;
separators and encodings are those that spreadsheets write.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

LOG_COLUMNS = ("timestamp", "level", "message", "details")


@dataclass(frozen=True, slots=True)
class _Cell:
    """One cell: where it stands in the text, quotes included, and what it says without them."""

    start: int
    end: int
    value: str
    is_quoted: bool


class Record(NamedTuple):
    """One line of a table, or several where a quoted cell covers them: where it is in the text."""

    line: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Table:
    """A CSV file taken apart in such a way that it can be put together again byte for byte.

    Its records are found anew each time they are asked for: they are many, and the text knows them.
    """

    bom: bytes
    codec: str
    text: str
    delimiter: str
    header: Record | None
    columns: tuple[str, ...]  # one a header cell; "" where a column has no name
    has_comments: bool
    is_guessed: bool  # the bytes are no UTF-8 and say nothing about what they are
    is_regular: bool  # each column has a name of its own

    def records(self) -> Iterator[Record]:
        """Yield what stands below the header, blank lines and comments left out."""
        found = records_between(self.text, self.delimiter, 0, has_comments=self.has_comments)
        return (record for record in found if self.header and record.start > self.header.start)

    def raw(self, record: Record) -> str:
        """Return the text of a record as it stands there."""
        return self.text[record.start : record.end]

    def cells(self, record: Record) -> list[_Cell]:
        """Return the cells of a record."""
        return _cells_at(self.text, record.start, self.delimiter)

    def bytes_of(self, text: str) -> bytes:
        """Return `text` as a file of this one's encoding; raises ValueError where it cannot."""
        return self.bom + text.encode(self.codec)


class _Reading(NamedTuple):
    """A record as cells by column, and why they may not be what the author meant."""

    cells: dict[str, str]
    complaints: Sequence[str]
    cell_count: int


# A line and its end; the last line may lack one.
LINE = re.compile(r"([^\r\n]*)(?:\r\n|\r|\n)|[^\r\n]+")
_PLAIN = re.compile(r'[^\s",;\0\ufeff]*')
_COMMENT = re.compile(r"[ \t]*#[^\r\n]*")
LINE_END = re.compile(r"\r\n|\r|\n")
_SEPARATOR_LINE = re.compile(r"sep=(.)[ \t]*(?=\r|\n|\Z)", re.IGNORECASE)  # written by Excel
# A quote opens a quoted cell only where it also closes one: a stray quote mark would else swallow
# the rows below it. Possessive, so that no input takes more than linear time.
_CELLS = {
    delimiter: re.compile(
        rf' *"(?P<quoted>(?:[^"]++|"")*+)" *(?=[{delimiter}\r\n]|\Z)|(?P<bare>[^{delimiter}\r\n]*)'
    )
    for delimiter in ",;\t"
}


def clean(value: str) -> str:
    """Return the text of a cell without NULs, marks, and the spaces around it."""
    return value.replace("\0", "").strip().strip("\ufeff").strip()


def is_plain(raw: str) -> bool:
    """Tell whether the cells of a record are what stands between the separators, less spaces."""
    return '"' not in raw and "\0" not in raw and "\ufeff" not in raw


def records_between(
    text: str, delimiter: str, start: int, stop: int | None = None, *, has_comments: bool
) -> Iterator[Record]:
    """Yield the records of a text between two line ends, blank lines left out."""
    line, ends_at = len(LINE_END.findall(text[:start])), start
    for match in LINE.finditer(text, start, len(text) if stop is None else stop):
        line += 1
        first, end = match.span(match.lastindex or 0)
        if first < ends_at:
            continue  # a quoted cell above takes this line in
        is_odd = not text[first : first + 1].isalnum()  # it may be a comment, or say nothing
        if is_odd and has_comments and _COMMENT.match(text, first, end):
            continue
        if text.find('"', first, end) >= 0:
            end = ends_at = _cells_at(text, first, delimiter)[-1].end
        if is_odd and _is_blank(text, first, delimiter):
            continue
        yield Record(line, first, end)


def _is_blank(text: str, start: int, delimiter: str) -> bool:
    return not any(clean(cell.value) for cell in _cells_at(text, start, delimiter))


def _cells_at(text: str, start: int, delimiter: str) -> list[_Cell]:
    """Return the cells of the record that begins at `start`."""
    pattern = _CELLS[delimiter]
    cells = [_cell_at(pattern, text, start)]
    while text.startswith(delimiter, cells[-1].end):
        cells.append(_cell_at(pattern, text, cells[-1].end + 1))
    return cells


def _cell_at(pattern: re.Pattern[str], text: str, at: int) -> _Cell:
    match = pattern.match(text, at)
    assert match is not None  # the bare cell matches nothing at all, too
    quoted = match["quoted"]
    if quoted is None:
        return _Cell(at, match.end(), match["bare"], is_quoted=False)
    return _Cell(at, match.end(), quoted.replace('""', '"'), is_quoted=True)


def _decode(data: bytes) -> tuple[bytes, str, str, bool]:
    """Return byte-order mark, codec, text, and whether the codec is a guess.

    Each codec that can be chosen gives the very same bytes back when it encodes the text.
    """
    bom, codec = b"", "utf-8"
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ):
        if data.startswith(mark):
            bom, codec = mark, name
    body = data[len(bom) :]
    for name in (codec, "cp1252"):
        with suppress(UnicodeDecodeError):
            return bom, name, body.decode(name), name != codec
    return bom, "latin-1", body.decode("latin-1"), True


def _column(cell: _Cell, known: Sequence[str]) -> str:
    """Return the canonical name of a known column, any other just as it is, without spaces."""
    name = clean(cell.value)
    canonical = re.sub(r"[\s-]+", "_", name.lower())
    return canonical if canonical in known else name


def parse(data: bytes, known: Sequence[str], *, has_comments: bool) -> Table:
    """Take a CSV file apart; whatever the bytes are, this raises nothing.

    Args:
        data: The whole file.
        known: Columns that are found however their names are spelled; the separator with most of
            them in the header is the file's.
        has_comments: Whether lines that begin with `#` are left out.
    """
    bom, codec, text, is_guessed = _decode(data)
    told = _SEPARATOR_LINE.match(text)
    start = told.end() if told else 0
    candidates = told[1] if told and told[1] in _CELLS else ",;\t"

    def header_by(delimiter: str) -> Record | None:
        return next(records_between(text, delimiter, start, has_comments=has_comments), None)

    def columns_by(delimiter: str) -> tuple[str, ...]:
        header = header_by(delimiter)
        cells = _cells_at(text, header.start, delimiter) if header else ()
        return tuple(_column(cell, known) for cell in cells)

    delimiter = max(candidates, key=lambda mark: len(set(known).intersection(columns_by(mark))))
    columns = columns_by(delimiter)
    return Table(
        bom,
        codec,
        text,
        delimiter,
        header_by(delimiter),
        columns,
        has_comments,
        is_guessed,
        all(columns) and len(set(columns)) == len(columns),
    )


def read_record(
    table: Table,
    record: Record,
    *,
    may_lack: frozenset[str] = frozenset(),
    keeps_spaces: bool = False,
) -> _Reading:
    """Return the cells of `record` by column name.

    Args:
        table: The table it stands in.
        record: One of the table's records.
        may_lack: Columns that are left out where the record ends before them; others are empty.
        keeps_spaces: Leave the spaces around the text of a quoted cell; spaces around other cells
            always go.
    """
    raw = table.raw(record)
    if table.is_regular and is_plain(raw):
        values = [value.strip() for value in raw.split(table.delimiter)]
        count = len(values)
        if count <= len(table.columns):  # nearly all records are like this
            if not may_lack.issuperset(table.columns[count:]):
                values += [""] * (len(table.columns) - count)
            return _Reading(dict(zip(table.columns, values, strict=False)), (), count)
    found = table.cells(record)
    cells: dict[str, str] = {}
    complaints: list[str] = []
    if "\0" in raw:
        complaints.append("holds NUL bytes, as after a crash; write the row anew")
    if any(clean(cell.value) for cell in found[len(table.columns) :]):
        complaints.append(
            f"has {len(found)} cells where the header names {len(table.columns)} columns; "
            "put quotes around a cell with a separator in it, or take the last cell away"
        )
    for index, name in enumerate(table.columns):
        cell = found[index] if index < len(found) else None
        value = _text_of(cell, keeps_spaces) if cell else ""
        if not name:
            if value:
                complaints.append(f"has {value!r} in column {index + 1}, which has no name")
        elif cells.setdefault(name, value) != value:
            complaints.append(f"has two cells for {name}: {cells[name]!r} and {value!r}")
    return _Reading(cells, complaints, len(found))


def _text_of(cell: _Cell, keeps_spaces: bool) -> str:
    if keeps_spaces and cell.is_quoted:
        return cell.value.replace("\0", "")
    return clean(cell.value)


# Of a state that is written anew, nearly all cells are those of the last time.
@lru_cache(maxsize=8192)
def quote(value: str, delimiter: str, *, always: bool = False) -> str:
    """Return the text of a cell that says `value`, in quotes where it needs them or `always`."""
    if not always and _PLAIN.fullmatch(value):
        return value  # nearly all cells are
    if always or value != clean(value) or any(mark in value for mark in (delimiter, *'"\r\n')):
        return '"' + value.replace('"', '""') + '"'
    return value


def log_detail(name: str, value: object) -> str:
    """Return `name=value` for the log, the value as JSON text where it would else be unclear."""
    text = str(value)
    if not text or re.search(r'[\s"=\\]', text):
        text = json.dumps(text, ensure_ascii=False)
    return f"{name}={text}"


def one_line(text: str) -> str:
    """Return `text` with its line ends written out, so that a row of the log is one line."""
    return text.replace("\r", "\\r").replace("\n", "\\n")
