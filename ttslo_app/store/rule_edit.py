"""The next version of config.csv: lines that stand there as they did are not read again.

Pure. What comes out is what reading the whole file would give, but for rows that are the same
objects as before. Where a line may mean something else for what stands around it, the whole file is
read: what must never happen here is that a row keeps a meaning which its text has lost.

Both versions are compared as bytes, from one difference to the next: the texts of two files of
100,000 rows, and their lines, would fill 50 MB for a moment, which the allocator keeps.
"""

from __future__ import annotations

import codecs
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ttslo_app.columns import LINK_COLUMN, suspicious
from ttslo_app.store.csv_text import Record, Table, lines_of
from ttslo_app.store.rule_row import ConfigRow, PlainRow, RuleRow
from ttslo_app.store.rule_text import (
    APPENDED,
    Rules,
    file_findings,
    read_rules,
    rows_of,
    table_of,
)

# Bytes that are compared at once, at most.
_BLOCK = 65_536
# So many lines that differ are told apart from those between them; beyond, all is one part.
_MOST_PARTS = 4096
_MARK = codecs.BOM_UTF8


@dataclass(frozen=True, slots=True)
class _Version:
    """A version of the file that can be compared line by line.

    Attributes:
        table: As much of it as holds its header, at least.
        header: Where that is in the table.
        data: All of it, in UTF-8.
        end: Where its header ends in that.
    """

    table: Table
    header: Record
    data: bytes
    end: int


def read_edited(data: bytes, old_data: bytes, old_rows: Sequence[RuleRow]) -> Rules:
    """Return the rules of a file, as `read_rules` does.

    Args:
        data: The file as it is.
        old_data: The file as it was.
        old_rows: All rows that were read from that; they are not to be changed any more.
    """
    new, old = _version_of(data), _version_of(old_data)
    if new is None or old is None or not _are_alike(new, old):
        return read_rules(data)
    if new.table.columns != old.table.columns and not _are_whole(old_rows, old):
        return read_rules(data)
    rows: list[RuleRow] = []
    at, old_at, done = new.end, old.end, 0
    line, old_line = new.header.line, old.header.line
    for start, stop, old_start, old_stop in changed_parts(new.data, old.data, at, old_at):
        same = new.data.count(b"\n", at, start)
        line, old_line = line + same, old_line + same
        now = lines_of(new.data[start:stop].decode())
        was = lines_of(old.data[old_start:old_stop].decode())
        first = bisect_left(old_rows, old_line, done, key=_line_of)
        last = bisect_left(old_rows, old_line + len(was) - 1, first, key=_line_of)
        rows += _moved(old_rows[done:first], line - old_line)
        rows += _rows_of(new, now, line, {was[r.line - old_line]: r for r in old_rows[first:last]})
        line, old_line, done = line + len(now) - 1, old_line + len(was) - 1, last
        at = stop
    rows += _moved(old_rows[done:], line - old_line)
    return Rules(tuple(rows), tuple(file_findings(new.table)))


# --- whether they can be compared ----------------------------------------------------------------


def _version_of(data: bytes) -> _Version | None:
    """Return a version, where each of its lines means what it means wherever it stands.

    Quotes may span lines, a row may name the next one, a last line may be half a line, and only
    old computers end lines by a return alone.
    """
    table = None
    if not _is_utf8(data):
        table = table_of(data)  # which other encoding it is shows in the whole alone
        data = table.text.encode()
    is_odd = b'"' in data or b"\0" in data or data.rfind(_MARK) > 0 or not data.endswith(b"\n")
    if is_odd or data.count(b"\r") != data.count(b"\r\n"):
        return None
    if table is None:
        table = table_of(data[: data.find(b"\n", _BLOCK) + 1 or len(data)])
        # Whatever the separator is, none has its header below a line that begins with a name.
        if table.header is None or not table.text[table.header.start].isalnum():
            table = table_of(data)
    if table.header is None or not table.is_plain or LINK_COLUMN in table.columns:
        return None
    mark = len(_MARK) if data.startswith(_MARK) else 0
    return _Version(table, table.header, data, mark + len(table.text[: table.header.end].encode()))


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for at in range(0, len(data), _BLOCK):
            decoder.decode(data[at : at + _BLOCK], final=at + _BLOCK >= len(data))
    except UnicodeDecodeError:
        return False
    return True


def _are_alike(new: _Version, old: _Version) -> bool:
    """Tell whether a line means the same in both versions.

    Columns that the first trigger appends change nothing in rows that end before them.
    """
    above, was_above = (one.table.text[: one.header.start] for one in (new, old))
    if above != was_above or new.table.delimiter != old.table.delimiter:
        return False
    if new.table.columns == old.table.columns:
        return new.table.raw(new.header) == old.table.raw(old.header)
    count = len(old.table.columns)
    has_grown = old.table.columns == new.table.columns[:count] and APPENDED.issuperset(
        new.table.columns[count:]
    )
    # A misspelled column is in doubt no more where the one that was meant is there by now.
    return has_grown and suspicious(new.table.columns) == suspicious(old.table.columns)


def _are_whole(rows: Sequence[RuleRow], old: _Version) -> bool:
    """Tell whether each row has a cell for each column of its version, and no other.

    Cells beyond them would come to stand under the columns that were appended, and a row that ends
    before them has empty ones there.
    """
    separators, most = old.table.delimiter.encode(), len(old.table.columns) - 1
    at, line = old.end, old.header.line
    for row in rows:
        while line < row.line:
            at, line = old.data.index(b"\n", at) + 1, line + 1
        if old.data.count(separators, at, old.data.index(b"\n", at)) != most:
            return False
    return True


# --- rows ----------------------------------------------------------------------------------------


def _line_of(row: RuleRow) -> int:
    return row.line


def _rows_of(
    new: _Version, lines: Sequence[str], first: int, known: Mapping[str, RuleRow]
) -> list[RuleRow]:
    """Return the rows of some lines, of which the first has that number."""
    table, header = new.table, new.header
    fresh = [(line, text) for line, text in enumerate(lines, first) if text not in known]
    text = "\n".join([table.text[: header.end], *(text for _, text in fresh), ""])
    read = {row.line: row for row in rows_of(replace(table, text=text), fresh)}
    found = (
        _at(line, known[text]) if text in known else read.get(line)
        for line, text in enumerate(lines, first)
    )
    return [row for row in found if row is not None]


def _moved(rows: Sequence[RuleRow], by: int) -> Sequence[RuleRow]:
    return [_at(row.line + by, row) for row in rows] if by else rows


def _at(line: int, row: RuleRow) -> RuleRow:
    """Return a row as one that stands at `line`."""
    if row.line == line:
        return row
    if isinstance(row, PlainRow):
        return PlainRow(row.text, line, row.shape)
    return ConfigRow(row, line, row.findings)


# --- what has changed ----------------------------------------------------------------------------


def changed_parts(
    data: bytes, old: bytes, at: int, old_at: int
) -> Iterator[tuple[int, int, int, int]]:
    """Yield where what has changed begins and ends in the new bytes, and where in the old ones.

    All are beginnings of lines or ends of the bytes, which end with a line each; what stands
    between two parts is the same in both. Where as many lines as before have changed, and what lies
    between them, each of them is a part.

    Args:
        data: The new bytes.
        old: The old ones.
        at: Where to begin in the new ones.
        old_at: And in the old ones.
    """
    at, old_at = _next_difference(data, old, at, old_at)
    same = _same_at_end(data, old, min(len(data) - at, len(old) - old_at))
    end = data.find(b"\n", len(data) - same) + 1 if same else 0
    end = end or len(data)
    old_end = len(old) - (len(data) - end)
    is_even = data.count(b"\n", at, end) == old.count(b"\n", old_at, old_end)
    for _ in range(_MOST_PARTS if is_even else 0):
        if at >= end:
            return
        stop, old_stop = data.index(b"\n", at) + 1, old.index(b"\n", old_at) + 1
        yield at, stop, old_at, old_stop
        at, old_at = _next_difference(data, old, stop, old_stop)
    if at < end or old_at < old_end:
        yield at, end, old_at, old_end


def _next_difference(data: bytes, old: bytes, at: int, old_at: int) -> tuple[int, int]:
    """Return the beginnings of the next lines that differ, or up to where there are none."""
    most, same, size = min(len(data) - at, len(old) - old_at), 0, 64

    def differ(count: int) -> bool:
        return data[at + same : at + count] != old[old_at + same : old_at + count]

    # Most changes of a burst stand side by side, and most others far apart.
    while same < most and not differ(min(same + size, most)):
        same, size = min(same + size, most), min(4 * size, _BLOCK)
    counts = range(same, min(same + size, most) + 1)
    count = same - 1 + bisect_left(counts, 1, key=differ)
    first = data.rfind(b"\n", at, at + count) + 1 or at
    return first, old_at + first - at


def _same_at_end(data: bytes, old: bytes, most: int) -> int:
    """Return how many bytes at the end of both are the same, `most` of them at most."""
    same, size, old_size = 0, len(data), len(old)

    def differ(count: int) -> bool:
        return data[size - count : size - same] != old[old_size - count : old_size - same]

    while same < most and not differ(min(same + _BLOCK, most)):
        same = min(same + _BLOCK, most)
    counts = range(same, min(same + _BLOCK, most) + 1)
    return same - 1 + bisect_left(counts, 1, key=differ)
