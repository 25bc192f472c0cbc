"""The text of the CSV files: taken apart, judged, merged, and put together again.

Pure: bytes in, bytes and sentences out; `config` reads and writes the files. People edit them by
hand and in spreadsheets, so whatever the bytes are, taking them apart raises nothing. This module
must never change a byte outside the cells that it was told to change, never let a stray quote
swallow a row in silence, and never pass doubtful text off as sound. Its columns are the ones that
existing files have; quoting is RFC 4180's, separators and encodings are those that spreadsheets
write.
"""

from __future__ import annotations

import codecs
import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import zip_longest
from operator import itemgetter
from typing import NamedTuple

CONFIG_COLUMNS = (
    "id",
    "pair",
    "threshold_price",
    "threshold_type",
    "direction",
    "volume",
    "trailing_offset_percent",
    "enabled",
)
TRIGGER_COLUMNS = ("order_id", "trigger_time", "trigger_price")
STATE_COLUMNS = (
    "id",
    "triggered",
    "trigger_price",
    "trigger_time",
    "order_id",
    "activated_on",
    "last_checked",
)
LOG_COLUMNS = ("timestamp", "level", "message", "details")


# --------------------------------------------------------------------------- text of a CSV file


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
        found = _records(self.text, self.delimiter, 0, has_comments=self.has_comments)
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
_LINE = re.compile(r"([^\r\n]*)(?:\r\n|\r|\n)|[^\r\n]+")
_PLAIN = re.compile(r'[^\s",;\0\ufeff]*')
_COMMENT = re.compile(r"[ \t]*#[^\r\n]*")
_LINE_END = re.compile(r"\r\n|\r|\n")
_SEPARATOR_LINE = re.compile(r"sep=(.)[ \t]*(?=\r|\n|\Z)", re.IGNORECASE)  # written by Excel
# A quote opens a quoted cell only where it also closes one: a stray quote mark would else swallow
# the rows below it. Possessive, so that no input takes more than linear time.
_CELLS = {
    delimiter: re.compile(
        rf' *"(?P<quoted>(?:[^"]++|"")*+)" *(?=[{delimiter}\r\n]|\Z)|(?P<bare>[^{delimiter}\r\n]*)'
    )
    for delimiter in ",;\t"
}


def _clean(value: str) -> str:
    return value.replace("\0", "").strip().strip("\ufeff").strip()


def _is_plain(raw: str) -> bool:
    """Tell whether the cells of a record are what stands between the separators, less spaces."""
    return '"' not in raw and "\0" not in raw and "\ufeff" not in raw


def _records(
    text: str, delimiter: str, start: int, stop: int | None = None, *, has_comments: bool
) -> Iterator[Record]:
    """Yield the records of a text between two line ends, blank lines left out."""
    line, ends_at = len(_LINE_END.findall(text[:start])), start
    for match in _LINE.finditer(text, start, len(text) if stop is None else stop):
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
    return not any(_clean(cell.value) for cell in _cells_at(text, start, delimiter))


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
    name = _clean(cell.value)
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
        return next(_records(text, delimiter, start, has_comments=has_comments), None)

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


def _read_record(
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
    if table.is_regular and _is_plain(raw):
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
    if any(_clean(cell.value) for cell in found[len(table.columns) :]):
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
    return _clean(cell.value)


# Of a state that is written anew, nearly all cells are those of the last time.
@lru_cache(maxsize=8192)
def quote(value: str, delimiter: str, *, always: bool = False) -> str:
    """Return the text of a cell that says `value`, in quotes where it needs them or `always`."""
    if not always and _PLAIN.fullmatch(value):
        return value  # nearly all cells are
    if always or value != _clean(value) or any(mark in value for mark in (delimiter, *'"\r\n')):
        return '"' + value.replace('"', '""') + '"'
    return value


# --------------------------------------------------------------------------- rules


class ConfigRow(dict[str, str]):
    """A row of config.csv: text by column, known columns under the names of `CONFIG_COLUMNS`.

    Attributes:
        line: Where the row begins in the file, from 1 on.
        findings: Why the row as a whole cannot be relied upon; a row with one must not trade.
    """

    __slots__ = ("findings", "line")  # of 100,000 rows, dicts of their own would fill 10 MB

    def __init__(
        self, cells: Mapping[str, str], line: int = 0, findings: Iterable[str] = ()
    ) -> None:
        super().__init__(cells)
        self.line = line
        self.findings = tuple(findings)


# The first trigger appends these to the header. Rows that end before them are the same rows as
# before, without new cells: of 100,000 that would be 60 MB more.
_APPENDED = frozenset(TRIGGER_COLUMNS)
# Read under this name however it is spelled; a file without it is as good.
_OTHER_COLUMNS = ("when_blind",)
RULE_COLUMNS = CONFIG_COLUMNS + TRIGGER_COLUMNS + _OTHER_COLUMNS


def _is_comment(row: Mapping[str, str]) -> bool:
    return row.get("id", "").startswith("#") or row.get("pair", "").startswith("#")


class _Shared(dict[str, str]):
    """Gives one object for equal texts: most cells of many rows say one of a few words."""

    def __missing__(self, text: str) -> str:
        if len(self) < _SHARED_TEXTS:
            self[text] = text
        return text


_SHARED_TEXTS = 4096


@dataclass(frozen=True, slots=True)
class Rules:
    """The rows of a file that are meant as rules, and what is odd apart from their values."""

    rows: tuple[ConfigRow, ...] = ()
    findings: tuple[str, ...] = ()
    table: Table | None = None


def read_rules(table: Table, before: Rules | None = None) -> Rules:
    """Return the rules of a file.

    Args:
        table: The file.
        before: An earlier version of it, if its rows have not been changed since they were read.
            Lines that are the same there give the same rows.
    """
    rows: list[ConfigRow] = []
    findings = list(_file_findings(table))
    shared = _Shared()
    earlier = _Earlier(table, before)
    for record in table.records():
        row = earlier.row_of(record)
        if row is None:
            cells, complaints, count = _read_record(table, record, may_lack=_APPENDED)
            if _is_comment(cells):
                continue
            for name, text in cells.items():
                cells[name] = shared[text]
            row = ConfigRow(cells, record.line, complaints)
            findings += _row_findings(table, record, row, count)
        rows.append(row)
    return Rules(tuple(rows), tuple(findings), table)


class _Earlier:
    """Goes through an earlier version of a table for the rows of lines that are still the same."""

    def __init__(self, table: Table, before: Rules | None) -> None:
        self._table = table
        old = before.table if before else None
        is_like = old is not None and old.header is not None and _has_only_grown(old, table)
        self._old = old if old and is_like and old.delimiter == table.delimiter else None
        self._rows = iter(before.rows if before and self._old else ())
        self._records = self._old.records() if self._old else iter(())
        self._row: ConfigRow | None = next(self._rows, None)
        self._record: Record | None = next(self._records, None)

    def row_of(self, record: Record) -> ConfigRow | None:
        """Return the earlier row of a record that says the same in the same line; None if new.

        A row that there was anything to find about is read again, so that it is said again.
        """
        while self._row is not None and self._row.line < record.line:
            self._row = next(self._rows, None)
        while self._record is not None and self._record.line < record.line:
            self._record = next(self._records, None)
        row, earlier = self._row, self._record
        if self._old is None or row is None or earlier is None:
            return None
        raw = self._table.raw(record)
        is_same = row.line == earlier.line == record.line and self._old.raw(earlier) == raw
        return row if is_same and _is_whole(self._old, raw) and self._reads_alike(raw) else None

    def _reads_alike(self, raw: str) -> bool:
        """Tell whether the columns that were appended since change nothing about a record."""
        count = raw.count(self._table.delimiter) + 1
        appended = self._table.columns[len(self._old.columns) if self._old else 0 :]
        return not appended or _APPENDED.issuperset(self._table.columns[count:])


def _has_only_grown(old: Table, new: Table) -> bool:
    """Tell whether `new` has the columns of `old`, and at most those of the first trigger more."""
    count = len(old.columns)
    has_grown = old.columns == new.columns[:count] and new.is_regular
    return has_grown and _APPENDED.issuperset(new.columns[count:])


def _is_whole(table: Table, raw: str) -> bool:
    """Tell whether there is nothing to find about a record: it is plain and has its cells.

    Most rows lack those of the columns that the first trigger appends.
    """
    count = raw.count(table.delimiter) + 1
    has_all = count == len(table.columns) or (
        count < len(table.columns) and not set(CONFIG_COLUMNS).intersection(table.columns[count:])
    )
    return table.is_regular and has_all and _is_plain(raw)


def _file_findings(table: Table) -> Iterator[str]:
    if table.is_guessed:
        yield f"is not UTF-8; it was read as {table.codec}. Save it as UTF-8"
    if table.header is None:
        if table.text.strip("\0 \t\r\n"):
            yield "holds comments only; the first other line must name the columns"
        return
    line = table.header.line
    if "id" not in table.columns:
        yield f"line {line}: names no column 'id'; the first line must name the columns"
    for name, times in Counter(filter(None, table.columns)).items():
        if times > 1:
            yield f"line {line}: names the column {name!r} {times} times; the first one counts"


def _row_findings(table: Table, record: Record, row: ConfigRow, count: int) -> Iterator[str]:
    name = row.get("id") or "without id"
    yield from (f"line {row.line}: row {name} {said}" for said in row.findings)
    if count < len(table.columns) and set(CONFIG_COLUMNS).intersection(table.columns[count:]):
        yield f"line {row.line}: row {name} is short; its missing cells count as empty"
    if '"' in table.raw(record):
        yield from _stray_quotes(table, record)


def _stray_quotes(table: Table, record: Record) -> Iterator[str]:
    for cell in table.cells(record):
        raw = table.text[cell.start : cell.end]
        if not cell.is_quoted and raw.strip(" \0").startswith('"'):
            yield f"line {record.line}: {raw!r} opens a quote and does not close it at its end"
        below = [part.count(table.delimiter) for part in _LINE_END.split(raw)[1:]]
        if any(separators >= len(table.columns) - 1 > 0 for separators in below):
            yield f"line {record.line}: the quotes of {raw[:60]!r} take in what looks like a row"


Changes = Mapping[str, Mapping[str, str]]


def merge(data: bytes, changes: Changes) -> tuple[bytes, dict[str, LookupError | ValueError]]:
    """Return `data` with the cells of each id in its row, and why some ids were left out.

    Every other byte stays. An id is left out where no row has it, or several do.

    Raises:
        ValueError: If the cells cannot be written into this file.
    """
    table = parse(data, RULE_COLUMNS, has_comments=True)
    found = _records_of(table, changes)
    left_out = {name: _why_not(name, found[name]) for name in changes if len(found[name]) != 1}
    rows = {found[name][0]: changes[name] for name in changes if name not in left_out}
    if table.header is None or not rows:
        return data, left_out
    columns = _with_columns(table, dict.fromkeys(n for cells in rows.values() for n in cells))
    lines = {record: _changed_line(table, record, columns, rows[record]) for record in sorted(rows)}
    new = [quote(name, table.delimiter) for name in columns[len(table.columns) :]]
    lines = {table.header: table.delimiter.join([*_raw_cells(table, table.header), *new]), **lines}
    text = _with_lines(table.text, lines)
    _verify_merge(table, text, lines, rows)
    return table.bytes_of(text), left_out


def _records_of(table: Table, names: Iterable[str]) -> dict[str, list[Record]]:
    """Return the records of the rules of these names; an empty list where there is none."""
    found: dict[str, list[Record]] = {name: [] for name in names}
    if "id" not in table.columns:
        return found
    for record in _records_with(table, found):
        cells = _read_record(table, record).cells
        if cells["id"] in found and not _is_comment(cells):
            found[cells["id"]].append(record)
    return found


# So many lines are looked up one by one; to look at all is quicker for more.
_FEW_LINES = 64


def _lines_with(names: Collection[str], text: str) -> list[tuple[int, int]] | None:
    """Return begin and end of the lines with a cell that says one of `names`; None for many."""
    if len(names) > _FEW_LINES or not all(names):
        return None
    ends = "\r\n" if "\r" in text else "\n"
    lines: set[tuple[int, int]] = set()
    choice = "|".join(map(re.escape, names))
    for match in re.finditer(rf"(?<![^,;\s])(?:{choice})(?![^,;\s])", text):
        start = max(text.rfind(end, 0, match.start()) for end in ends) + 1
        whole = _LINE.match(text, start)
        lines.add((start, whole.end() if whole else start))
        if len(lines) > _FEW_LINES:
            return None
    return sorted(lines)


def _records_with(table: Table, names: Collection[str]) -> Iterator[Record]:
    """Yield, in order, the records that may have one of these ids, and few others."""
    text, index = table.text, table.columns.index("id")
    lines = _lines_with(names, text) if table.is_regular and _is_plain(text) else None
    for start, stop in lines or ():
        if table.header is not None and start > table.header.start:
            yield from _records(text, table.delimiter, start, stop, has_comments=table.has_comments)
    for record in table.records() if lines is None else ():
        raw = table.raw(record)
        if table.is_regular and _is_plain(raw):
            values = raw.split(table.delimiter, index + 1)
            if index >= len(values) or values[index].strip() not in names:
                continue
        yield record


def _why_not(config_id: str, found: Sequence[Record]) -> LookupError | ValueError:
    if not found:
        return LookupError(f"no row has the id {config_id!r}")
    lines = ", ".join(str(record.line) for record in found)
    return ValueError(f"the rows at lines {lines} share the id {config_id!r}; none is changed")


def _with_lines(text: str, lines: Mapping[Record, str]) -> str:
    """Return the text with others in the place of some records, which are in order."""
    pieces, at = [], 0
    for record, line in lines.items():
        pieces += [text[at : record.start], line]
        at = record.end
    return "".join([*pieces, text[at:]])


def _raw_cells(table: Table, record: Record) -> list[str]:
    return [table.text[cell.start : cell.end] for cell in table.cells(record)]


def _with_columns(table: Table, cells: Iterable[str]) -> list[str]:
    """Return the columns of `table` and those of `cells` that are missing there.

    A row with more cells than the header has columns must not find its surplus under a new name,
    where it would look like a value: new columns stand to the right of every cell of the file.
    """
    columns = list(table.columns)
    new = [name for name in cells if name not in columns]
    if new:
        widest = max((_width(table, record) for record in table.records()), default=0)
        columns += [""] * (widest - len(columns)) + new
    return columns


def _width(table: Table, record: Record) -> int:
    """Return the number of the last cell that says anything, as far as it is beyond the columns."""
    if table.raw(record).count(table.delimiter) < len(table.columns):
        return 0
    cells = enumerate(table.cells(record), 1)
    return max((number for number, cell in cells if _clean(cell.value)), default=0)


def _changed_line(
    table: Table, record: Record, columns: list[str], cells: Mapping[str, str]
) -> str:
    before = table.cells(record)
    texts = _raw_cells(table, record)
    for name, value in cells.items():
        index = columns.index(name)
        texts += [""] * (index + 1 - len(texts))
        was_quoted = index < len(before) and before[index].is_quoted
        texts[index] = quote(value, table.delimiter, always=was_quoted and bool(value))
    return table.delimiter.join(texts)


def _verify_merge(
    before: Table,
    text: str,
    lines: Mapping[Record, str],
    rows: Mapping[Record, Mapping[str, str]],
) -> None:
    """Read the result once more before it replaces anything: stray quotes can pair up anew.

    Where there is no quote, a line is a row whatever stands around it, so the new ones will do.
    """
    records: Iterable[Record] = before.records()
    if '"' not in text and before.header is not None:
        records = sorted(rows)
        text = before.text[: before.header.start] + "\n".join(lines.values())
    after = parse(before.bytes_of(text), RULE_COLUMNS, has_comments=True)
    for old, new in zip_longest(records, after.records()):
        if old is None or new is None:
            break
        if old in rows:
            kept = _read_record(after, new).cells
            is_same = all(kept.get(name) == _clean(value) for name, value in rows[old].items())
        else:
            is_same = before.raw(old) == after.raw(new)
        if not is_same:
            break
    else:
        return
    raise ValueError("the file's quote marks leave it unclear where its cells end; mend them first")


# --------------------------------------------------------------------------- state


@dataclass(frozen=True, slots=True)
class StateProblem:
    """A part of state.csv that cannot be relied upon.

    Attributes:
        line: Where it is in the file, from 1 on; 0 where it concerns the file as a whole.
        ids: The rows whose past is in doubt. Empty where nobody can tell: then every id that has
            no row in `StateFile.rows` is in doubt.
        message: A sentence with file, line and cure.
    """

    line: int
    ids: tuple[str, ...]
    message: str


_CURE = "check at Kraken what became of it, then write the row anew"


class StateReader:
    """Gather rows and problems of one state file; whatever the bytes are, this raises nothing.

    Args:
        data: The whole file.
        name: What the file is called in the problems' messages.

    Attributes:
        rows: Text by column, by id; also what can be read of rows that have a problem.
        problems: What cannot be relied upon.
    """

    def __init__(self, data: bytes, name: str) -> None:
        self._name = name
        self.rows: dict[str, dict[str, str]] = {}
        self.problems: list[StateProblem] = []
        self._table = table = parse(data, STATE_COLUMNS, has_comments=False)
        if table.header is None:
            self._doubt(0, (), "is empty; what happened before cannot be known")
        elif "id" not in table.columns:
            self._doubt(table.header.line, (), "has no column 'id', so no row can be known")
        else:
            for record in table.records():
                self._read(record)

    def _read(self, record: Record) -> None:
        reading = _read_record(self._table, record, keeps_spaces=True)
        row, reasons = reading.cells, list(reading.complaints)
        if reading.cell_count < len(self._table.columns):
            reasons.append("is cut short")
        if row.get("triggered", "").strip().lower() not in ("", "true", "false"):
            reasons.append(f"says {row['triggered']!r} under triggered, not true or false")
        if self._table.is_guessed and not "".join(row.values()).isascii():
            reasons.append("has letters in an unknown encoding; save the file as UTF-8")
        identifier = row["id"]
        if not identifier:
            self._doubt(record.line, (), "; ".join(["has no id", *reasons]))
            return
        earlier = self.rows.get(identifier)
        if earlier is not None and earlier != row:
            reasons.append(f"tells another story of {identifier} than the row before")
        if reasons:
            self._doubt(record.line, (identifier,), "; ".join(reasons))
        if earlier is None or earlier.get("triggered", "").strip().lower() != "true":
            self.rows[identifier] = row  # of two stories the one that has fired is the safe one

    def _doubt(self, line: int, ids: tuple[str, ...], said: str) -> None:
        place = f"{self._name} line {line}" if line else self._name
        about = f" row {ids[0]}" if ids else ""
        self.problems.append(StateProblem(line, ids, f"{place}:{about} {said}. To go on, {_CURE}"))


def state_text(value: object) -> str:
    """Return the text of a cell: '' for None, 'true' or 'false', else its `str` without NULs."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).replace("\0", "")


def state_bytes(state: Mapping[str, Mapping[str, object]]) -> bytes:
    """Return a state as the contents of its file: the contract's columns first, then all others.

    Raises:
        TypeError: If a row is no dict; the message names it.
    """
    for name, row in state.items():
        if not isinstance(row, Mapping):
            raise TypeError(f"the state of {name!r} must be a dict, not {type(row).__name__}")
    kinds = dict.fromkeys(tuple(row) for row in state.values())
    met = dict.fromkeys(str(name) for kind in kinds for name in kind)
    columns = tuple(dict.fromkeys(filter(None, (*STATE_COLUMNS, *met))))
    shapes = {kind: _shape_of(kind, columns) for kind in kinds}
    lines = [",".join(quote(name, ",") for name in columns) + "\n"]
    parts: list[bytes] = []
    for name, row in state.items():
        lines.append(_state_line(name, row, columns, shapes[tuple(row)]))
        if len(lines) == 1000:  # the text of all rows beside their bytes would fill much memory
            parts.append("".join(lines).encode("utf-8", "backslashreplace"))
            lines.clear()
    parts.append("".join(lines).encode("utf-8", "backslashreplace"))
    return b"".join(parts)


class _Shape(NamedTuple):
    """How rows with the same cells become lines: their cells in order, and the line around them."""

    cells_of: Callable[[Mapping[str, object]], tuple[object, ...]]
    line: str  # with a `%s` for each cell


def _shape_of(names: tuple[str, ...], columns: tuple[str, ...]) -> _Shape | None:
    """Return the shape of rows with these cells; None for rows that say no id of their own."""
    known = [name for name in columns if name in names]
    if known[:1] != ["id"] or len(known) != len(names) or len(known) == 1:
        return None
    return _Shape(
        itemgetter(*known), ",".join("%s" if name in names else "" for name in columns) + "\n"
    )


def _needs_no_quotes(text: str, cells: int) -> bool:
    """Tell whether so many cells, joined by commas, may be written and read as they are."""
    is_printable = text.isascii() and text.isprintable() and '"' not in text
    is_tight = " ," not in text and ", " not in text and text == text.strip()
    return is_printable and is_tight and text.count(",") == cells - 1


def _state_line(
    identifier: str, row: Mapping[str, object], columns: tuple[str, ...], shape: _Shape | None
) -> str:
    if shape is not None:
        values = shape.cells_of(row)
        with suppress(TypeError):  # not all of them are text
            text = ",".join(values)  # type: ignore[arg-type]  # which is what it finds out
            if values[0] == identifier and _needs_no_quotes(text, len(values)):
                return shape.line % values
    cells = {str(name): state_text(value) for name, value in row.items()}
    cells["id"] = state_text(identifier)
    return ",".join([quote(cells.get(name, ""), ",") for name in columns]) + "\n"


# --------------------------------------------------------------------------- the log


def log_detail(name: str, value: object) -> str:
    """Return `name=value` for the log, the value as JSON text where it would else be unclear."""
    text = str(value)
    if not text or re.search(r'[\s"=\\]', text):
        text = json.dumps(text, ensure_ascii=False)
    return f"{name}={text}"


def one_line(text: str) -> str:
    """Return `text` with its line ends written out, so that a row of the log is one line."""
    return text.replace("\r", "\\r").replace("\n", "\\n")


# Plain ASCII and no separator inside the comments, so that every spreadsheet shows it as it is.
SAMPLE_CONFIG = """\
id,pair,threshold_price,threshold_type,direction,volume,trailing_offset_percent,enabled
btc_take_profit,XBTUSD,150000,above,sell,0.001,5.0,false
eth_protect,ETH/USD,1500,below,sell,0.05,2.5,false
sol_buy_the_dip,SOL/EUR,60,below,buy,1.5,3,false
#
# Lines that begin with # are comments. One line is one trailing stop that waits for its price.
# Nothing here trades: change a row and then set enabled to true.
#
# id                       your name for the row: letters and digits and _ and - and only once
# pair                     the market at Kraken such as XBTUSD or BTC/USD or XXBTZUSD
# threshold_price          when the last trade price gets there the trailing stop is placed
# threshold_type           above: at the threshold or higher. below: at the threshold or lower
# direction                what the trailing stop does in the end: sell or buy
# volume                   how much of the base currency: 0.001 with XBTUSD is 0.001 BTC
# trailing_offset_percent  how far the stop follows the best price: 5.0 is 5 percent
# enabled                  true arms the row. false leaves it alone
#
# A column when_blind may follow: what to do when the threshold turns out to have been crossed
# while the program could not see the prices. arm-if-beyond places the stop if the price is still
# beyond the threshold. always places it anyway. notify only says so. Empty is arm-if-beyond
#
# When a row fires the program sets enabled to false and adds the columns
# order_id and trigger_time and trigger_price. Columns of your own are left as they are.
"""
