"""The text of config.csv: rows meant as rules, what is odd about them, and cells written in.

Pure: bytes in, bytes and sentences out. What a cell means is nobody's business here. It must never
change a byte outside the cells that it was told to change, never let a stray quote swallow a row
in silence, and never pass doubtful text off as sound. The columns are those of existing files.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from ttslo_app.store.csv_text import (
    LINE,
    LINE_END,
    Record,
    Table,
    clean,
    is_plain,
    parse,
    quote,
    read_record,
    records_between,
)

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
            cells, complaints, count = read_record(table, record, may_lack=_APPENDED)
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
    return table.is_regular and has_all and is_plain(raw)


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
        below = [part.count(table.delimiter) for part in LINE_END.split(raw)[1:]]
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
        cells = read_record(table, record).cells
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
        whole = LINE.match(text, start)
        lines.add((start, whole.end() if whole else start))
        if len(lines) > _FEW_LINES:
            return None
    return sorted(lines)


def _records_with(table: Table, names: Collection[str]) -> Iterator[Record]:
    """Yield, in order, the records that may have one of these ids, and few others."""
    text, index = table.text, table.columns.index("id")
    lines = _lines_with(names, text) if table.is_regular and is_plain(text) else None
    for start, stop in lines or ():
        if table.header is not None and start > table.header.start:
            yield from records_between(
                text, table.delimiter, start, stop, has_comments=table.has_comments
            )
    for record in table.records() if lines is None else ():
        raw = table.raw(record)
        if table.is_regular and is_plain(raw):
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
    return max((number for number, cell in cells if clean(cell.value)), default=0)


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
            kept = read_record(after, new).cells
            is_same = all(kept.get(name) == clean(value) for name, value in rows[old].items())
        else:
            is_same = before.raw(old) == after.raw(new)
        if not is_same:
            break
    else:
        return
    raise ValueError("the file's quote marks leave it unclear where its cells end; mend them first")


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
