"""The next version of config.csv: lines that stand there as they did are not read again.

Pure. What comes out is what reading the whole file would give, but for rows that are the same
objects as before. Where a line may mean something else for what stands around it, the whole file is
read: what must never happen here is that a row keeps a meaning which its text has lost.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from ttslo_app.columns import LINK_COLUMN, suspicious
from ttslo_app.store.csv_text import Table, lines_of
from ttslo_app.store.rule_text import (
    APPENDED,
    ConfigRow,
    Doubts,
    Rules,
    config_row_of,
    file_findings,
    read_rules,
    table_of,
)

# Characters that are compared at once.
_BLOCK = 65_536


def read_edited(data: bytes, old_data: bytes, old_rows: Sequence[ConfigRow]) -> Rules:
    """Return the rules of a file, as `read_rules` does.

    Args:
        data: The file as it is.
        old_data: The file as it was.
        old_rows: All rows that were read from that; they are not to be changed any more.
    """
    table, old = table_of(data), table_of(old_data)
    if table.header is None or old.header is None or not _are_alike(table, old):
        return read_rules(data)
    text, old_text = table.text[table.header.end :], old.text[old.header.end :]
    if table.columns != old.columns and not _are_whole(old_rows, lines_of(old_text), old):
        return read_rules(data)
    start, stop, old_stop = changed_part(text, old_text, 0)
    line = table.header.line + _line_ends(text, 0, start)
    was = lines_of(old_text[start:old_stop])
    now = lines_of(text[start:stop])
    first, last = (bisect_left(old_rows, at, key=_line_of) for at in (line, line + len(was) - 1))
    known = {was[row.line - line]: row for row in old_rows[first:last]}
    rows = [
        *old_rows[:first],
        *_rows_of(table, now, line, known),
        *_moved(old_rows[last:], len(now) - len(was)),
    ]
    return Rules(tuple(rows), tuple(file_findings(table)))


def _are_alike(table: Table, old: Table) -> bool:
    """Tell whether a line means the same in both files, wherever it stands.

    Quotes may span lines, a row may name the next one, and a last line may be half a line. Columns
    that the first trigger appends change nothing in rows that end before them.
    """
    header, was = table.header, old.header
    if header is None or was is None or LINK_COLUMN in table.columns:
        return False
    is_simple = table.is_plain and old.is_plain and _has_end(table) and _has_end(old)
    is_same_begin = table.text[: header.start] == old.text[: was.start]
    if table.columns == old.columns:
        is_same_begin = table.text[: header.end] == old.text[: was.end]
    count = len(old.columns)
    has_grown = old.columns == table.columns[:count] and APPENDED.issuperset(table.columns[count:])
    # A misspelled column is in doubt no more where the one that was meant is there by now.
    is_same_doubt = has_grown and suspicious(table.columns) == suspicious(old.columns)
    return is_simple and is_same_begin and is_same_doubt and table.delimiter == old.delimiter


def _are_whole(rows: Sequence[ConfigRow], lines: Sequence[str], table: Table) -> bool:
    """Tell whether each row has a cell for each column of its table, and no other.

    Cells beyond them would come to stand under the columns that were appended, and a row that ends
    before them has empty ones there.
    """
    first, most = table.header.line if table.header else 0, len(table.columns) - 1
    return all(lines[row.line - first].count(table.delimiter) == most for row in rows)


def _has_end(table: Table) -> bool:
    return table.text.endswith("\n")


def _line_of(row: ConfigRow) -> int:
    return row.line


def _rows_of(
    table: Table, lines: Sequence[str], first: int, known: dict[str, ConfigRow]
) -> list[ConfigRow]:
    """Return the rows of some lines, of which the first has that number."""
    doubts = Doubts(table)
    new = ((line, text) for line, text in enumerate(lines, first) if text not in known)
    read = {
        reading.line: config_row_of(reading, doubts)
        for reading in table.readings_of(new, may_lack=APPENDED)
    }
    found = (
        _at(line, known[text]) if text in known else read.get(line)
        for line, text in enumerate(lines, first)
    )
    return [row for row in found if row is not None]


def _moved(rows: Sequence[ConfigRow], by: int) -> Sequence[ConfigRow]:
    return [_at(row.line + by, row) for row in rows] if by else rows


def _at(line: int, row: ConfigRow) -> ConfigRow:
    """Return a row as one that stands at `line`."""
    return row if row.line == line else ConfigRow(row, line, row.findings)


def changed_part(text: str, old: str, start: int) -> tuple[int, int, int]:
    """Return where what has changed begins, and where it ends in the new text and in the old one.

    All three are beginnings of lines or ends of the texts, which end with a line each.

    Args:
        text: The new text.
        old: The old one.
        start: Up to where both are the same.
    """
    first = old.rfind("\n", start, _same_until(text, old, start)) + 1 or start
    same = _same_from(text, old, min(len(text), len(old)) - first)
    end = text.find("\n", len(text) - same) + 1 if same else 0
    rest = len(text) - end if end else 0
    return first, len(text) - rest, len(old) - rest


def _same_until(text: str, old: str, start: int) -> int:
    """Return up to where two texts are the same, from a place on at which they are."""
    most = min(len(text), len(old))
    while start < most and text[start : start + _BLOCK] == old[start : start + _BLOCK]:
        start = min(start + _BLOCK, most)
    ends = range(start, min(start + _BLOCK, most) + 1)
    return start - 1 + bisect_left(ends, 1, key=lambda end: text[start:end] != old[start:end])


def _same_from(text: str, old: str, most: int) -> int:
    """Return how many characters at the end of two texts are the same, `most` of them at most."""
    same, size, old_size = 0, len(text), len(old)

    def differ(count: int) -> bool:
        return text[size - count : size - same] != old[old_size - count : old_size - same]

    while same < most and not differ(min(same + _BLOCK, most)):
        same = min(same + _BLOCK, most)
    counts = range(same, min(same + _BLOCK, most) + 1)
    return same - 1 + bisect_left(counts, 1, key=differ)


def _line_ends(text: str, start: int, stop: int) -> int:
    """Return how many lines end between two places."""
    ends = (text.count(end, start, stop) for end in ("\n", "\r", "\r\n"))
    return next(ends) + next(ends) - next(ends)
