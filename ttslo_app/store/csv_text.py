"""Any CSV file taken apart in such a way that it can be put together again byte for byte.

Pure. People edit these files by hand and in spreadsheets, so whatever the bytes are, taking them
apart raises nothing, and a stray quote takes no row below it along. Quoting is RFC 4180's;
separators and encodings are those that spreadsheets write.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

# --- a table and what stands in it ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cell:
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


class Reading(NamedTuple):
    """A record as cells by column, and why they may not be what the author meant.

    `record` is None where no cell of the whole table has a quote mark.
    """

    line: int
    cells: dict[str, str]
    complaints: Sequence[str]
    cell_count: int
    record: Record | None


_NONE: frozenset[str] = frozenset()
_NUL = "holds NUL bytes, as after a crash; write the row anew"
# Most cells of many rows say one of a few words: equal ones are mostly one object. So many texts
# are remembered at a time.
_SHARED_TEXTS = 4096


@dataclass(frozen=True, slots=True)
class Table:
    """A CSV file taken apart.

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
    is_plain: bool  # and nothing in the text calls for a closer look than at its separators

    def records(self) -> Iterator[Record]:
        """Yield what stands below the header, blank lines and comments left out."""
        return self._records_in(0, len(self.text))

    def _records_in(self, start: int, stop: int) -> Iterator[Record]:
        comment = _COMMENT_BELOW if self.has_comments else None
        found = _records(self.text, self.delimiter, start, stop, comment)
        return (record for record in found if self.header and record.start > self.header.start)

    def records_with(self, column: str, texts: Collection[str]) -> Iterator[Record]:
        """Yield, in order, the records that may say one of `texts` there, and few others.

        `column` must be one of the table's.
        """
        index = self.columns.index(column)
        lines = _lines_with(texts, self.text) if self.is_plain else None
        for start, stop in lines or ():
            yield from self._records_in(start, stop)
        for record in self.records() if lines is None else ():
            raw = self.raw(record)
            if self.is_regular and _is_plain(raw):
                values = raw.split(self.delimiter, index + 1)
                if index >= len(values) or values[index].strip() not in texts:
                    continue
            yield record

    def raw(self, record: Record) -> str:
        """Return the text of a record as it stands there."""
        return self.text[record.start : record.end]

    def cells(self, record: Record) -> list[Cell]:
        """Return the cells of a record."""
        return _cells_at(self.text, record.start, self.delimiter)

    def raw_cells(self, record: Record) -> list[str]:
        """Return the text of each cell of a record as it stands there, quotes included."""
        return [self.text[cell.start : cell.end] for cell in self.cells(record)]

    def readings(
        self, *, may_lack: frozenset[str] = _NONE, keeps_spaces: bool = False
    ) -> Iterator[Reading]:
        """Yield the cells of each record; equal texts are mostly one object.

        Args:
            may_lack: Columns that are left out where a record ends before them; others are empty.
            keeps_spaces: Leave the spaces around the text of a quoted cell; spaces around other
                cells always go.
        """
        return self._shared(self._lines(keeps_spaces=keeps_spaces), may_lack)

    def readings_of(
        self, lines: Iterable[tuple[int, str]], *, may_lack: frozenset[str] = _NONE
    ) -> Iterator[Reading]:
        """Yield the cells of some lines, which are numbered, of a plain table; as `readings`."""
        return self._shared(self._plain_lines(lines), may_lack)

    def _shared(
        self,
        lines: Iterable[tuple[int, Iterable[str], Record | None]],
        may_lack: frozenset[str],
    ) -> Iterator[Reading]:
        shared: dict[str, str] = {}
        share = shared.setdefault
        for line, values, record in lines:
            if len(shared) > _SHARED_TEXTS:
                shared.clear()  # by ids, which no other row has; what many have comes again
            yield self._reading(line, [*map(share, values, values)], record, may_lack)

    def _lines(self, *, keeps_spaces: bool) -> Iterator[tuple[int, Iterable[str], Record | None]]:
        """Yield line, values and place of each record; no place where all are plain.

        Nearly all files are, and then there is nothing to look for but separators.
        """
        if self.is_plain and self.header is not None:
            below = lines_of(self.text[self.header.end :])
            yield from self._plain_lines(enumerate(below, self.header.line))
            return
        for record in self.records():
            yield record.line, self._values(record, keeps_spaces), record

    def _plain_lines(
        self, lines: Iterable[tuple[int, str]]
    ) -> Iterator[tuple[int, Iterable[str], Record | None]]:
        # `csv.reader` is no faster here, and raises where a cell is longer than it likes.
        for line, text in lines:
            values = [*map(str.strip, text.split(self.delimiter))]
            if text[:1].isalnum() or (any(values) and not self._is_comment(text)):
                yield line, values, None

    def _is_comment(self, line: str) -> bool:
        return self.has_comments and _COMMENT_BELOW.match(line) is not None

    def _values(self, record: Record, keeps_spaces: bool) -> list[str]:
        raw = self.raw(record)
        if _is_plain(raw):
            return [value.strip() for value in raw.split(self.delimiter)]
        return [_text_of(cell, keeps_spaces) for cell in self.cells(record)]

    def read(self, record: Record) -> Reading:
        """Return the cells of `record`, one of this table's."""
        return self._reading(record.line, self._values(record, False), record, _NONE)

    def _reading(
        self, line: int, values: list[str], record: Record | None, may_lack: frozenset[str]
    ) -> Reading:
        count, columns = len(values), self.columns
        has_nul = record is not None and "\0" in self.raw(record)
        said = (_NUL,) if has_nul else ()
        if count < len(columns) and not may_lack.issuperset(columns[count:]):
            values += [""] * (len(columns) - count)
        if self.is_regular and count <= len(columns):  # nearly all records are like this
            return Reading(line, dict(zip(columns, values, strict=False)), said, count, record)
        complaints = [*said, *_surplus(values, columns)]
        cells: dict[str, str] = {}
        for number, (name, value) in enumerate(zip(columns, values, strict=False), 1):
            if not name:
                if value:
                    complaints.append(f"has {value[:60]!r} in column {number}, which has no name")
            elif cells.setdefault(name, value) != value:
                both = f"{cells[name][:60]!r} and {value[:60]!r}"
                complaints.append(f"has two cells for {name[:60]}: {both}")
        return Reading(line, cells, complaints, count, record)

    def bytes_of(self, text: str) -> bytes:
        """Return `text` as a file of this one's encoding; raises ValueError where it cannot."""
        return self.bom + text.encode(self.codec)


def _surplus(values: Sequence[str], columns: Sequence[str]) -> Iterator[str]:
    if any(clean(value) for value in values[len(columns) :]):
        yield (
            f"has {len(values)} cells where the header names {len(columns)} columns; "
            "put quotes around a cell with a separator in it, or take the last cell away"
        )


# --- the text, cell by cell --------------------------------------------------------------------

# A line and its end; the last line may lack one.
_LINE = re.compile(r"([^\r\n]*)(?:\r\n|\r|\n)|[^\r\n]+")
_COMMENT = re.compile(r"[ \t]*#[^\r\n]*")
# What spreadsheets write where a formula has no result, in the languages that translate it: in
# capitals, with a mark at its end or one of a few words without. It is damage and no comment.
_FORMULA_ERROR = (
    r"#(?:[¡¿]?[^\W\d_a-z][^\sa-z,;\"!?]{0,30}[!?]|N/A|N/D|N/B|I/T|\u041d/\u0414|NV|YOK|HIÁNYZIK"
    r"|NENÍ_K_DISPOZICI|GETTING_DATA|#{2,})"
)
FORMULA_ERROR = re.compile(_FORMULA_ERROR)
_COMMENT_BELOW = re.compile(rf"[ \t]*(?!{_FORMULA_ERROR}[ \t]*[,;\t])#[^\r\n]*")
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


def lines_of(text: str) -> list[str]:
    """Return the lines of a text without their ends; what follows the last end is one, too."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def has_line_of(length: int, text: str) -> bool:
    """Tell whether a line has so many characters, at the cost of one look for each such stretch."""
    start = 0
    while start + length <= len(text):
        end = max(text.rfind(mark, start, start + length) for mark in "\r\n")
        if end < 0:
            return True
        start = end + 1
    return False


def _is_plain(raw: str) -> bool:
    """Tell whether the cells of a record are what stands between the separators, less spaces."""
    return '"' not in raw and "\0" not in raw and "\ufeff" not in raw


def _records(
    text: str, delimiter: str, start: int, stop: int, comment: re.Pattern[str] | None
) -> Iterator[Record]:
    """Yield the records of a text between two line ends, blank lines and comments left out."""
    line, ends_at = len(LINE_END.findall(text[:start])), start
    for match in _LINE.finditer(text, start, stop):
        line += 1
        first, end = match.span(match.lastindex or 0)
        if first < ends_at:
            continue  # a quoted cell above takes this line in
        is_odd = not text[first : first + 1].isalnum()  # it may be a comment, or say nothing
        if is_odd and comment is not None and comment.match(text, first, end):
            continue
        if text.find('"', first, end) >= 0:
            end = ends_at = _cells_at(text, first, delimiter)[-1].end
        if is_odd and not any(clean(cell.value) for cell in _cells_at(text, first, delimiter)):
            continue
        yield Record(line, first, end)


def _cells_at(text: str, start: int, delimiter: str) -> list[Cell]:
    """Return the cells of the record that begins at `start`."""
    pattern = _CELLS[delimiter]
    cells = [_cell_at(pattern, text, start)]
    while text.startswith(delimiter, cells[-1].end):
        cells.append(_cell_at(pattern, text, cells[-1].end + 1))
    return cells


def _cell_at(pattern: re.Pattern[str], text: str, at: int) -> Cell:
    match = pattern.match(text, at)
    assert match is not None  # the bare cell matches nothing at all, too
    quoted = match["quoted"]
    if quoted is None:
        return Cell(at, match.end(), match["bare"], is_quoted=False)
    return Cell(at, match.end(), quoted.replace('""', '"'), is_quoted=True)


def _text_of(cell: Cell, keeps_spaces: bool) -> str:
    if keeps_spaces and cell.is_quoted:
        return cell.value.replace("\0", "")
    return clean(cell.value)


# So many lines are looked up one by one; to look at all is quicker for more.
_FEW_LINES = 64


def _lines_with(cells: Collection[str], text: str) -> list[tuple[int, int]] | None:
    """Return begin and end of the lines with a cell that says one of `cells`; None for many."""
    if len(cells) > _FEW_LINES or not all(cells):
        return None
    ends = "\r\n" if "\r" in text else "\n"
    lines: set[tuple[int, int]] = set()
    choice = "|".join(map(re.escape, cells))
    for match in re.finditer(rf"(?<![^,;\s])(?:{choice})(?![^,;\s])", text):
        start = max(text.rfind(end, 0, match.start()) for end in ends) + 1
        whole = _LINE.match(text, start)
        lines.add((start, whole.end() if whole else start))
        if len(lines) > _FEW_LINES:
            return None
    return sorted(lines)


# --- bytes to a table, values to cells ---------------------------------------------------------


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
    headers: list[tuple[str, Record | None, tuple[str, ...]]] = []
    for mark in told[1] if told and told[1] in _CELLS else ",;\t":
        comment = _COMMENT if has_comments else None
        header = next(_records(text, mark, start, len(text), comment), None)
        cells = _cells_at(text, header.start, mark) if header else ()
        headers.append((mark, header, tuple(_column(cell, known) for cell in cells)))
    delimiter, header, columns = max(headers, key=lambda one: len(set(known).intersection(one[2])))
    is_regular = all(columns) and len(set(columns)) == len(columns)
    return Table(
        bom,
        codec,
        text,
        delimiter,
        header,
        columns,
        has_comments,
        is_guessed,
        is_regular,
        is_regular and _is_plain(text),
    )


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


def _column(cell: Cell, known: Sequence[str]) -> str:
    """Return the canonical name of a known column, any other just as it is, without spaces."""
    name = clean(cell.value)
    canonical = re.sub(r"[\s-]+", "_", name.lower())
    return canonical if canonical in known else name


def cell_text(value: object) -> str:
    """Return the text of a cell: '' for None, 'true' or 'false', else its `str` without NULs."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).replace("\0", "")


def quote(value: str, delimiter: str, *, always: bool = False) -> str:
    """Return the text of a cell that says `value`, in quotes where it needs them or `always`."""
    is_odd = delimiter in value or '"' in value or "\r" in value or "\n" in value
    if always or is_odd or value != clean(value):
        return '"' + value.replace('"', '""') + '"'
    return value
