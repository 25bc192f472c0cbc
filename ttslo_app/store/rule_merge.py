"""Cells written into the text of config.csv: every other byte stays as it is.

Pure: bytes in, bytes out. It must never change a byte outside the cells that it was told to change,
nor write what would be read as something else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest

from krakenlink.foreign import shown
from ttslo_app.columns import TRIGGER_COLUMNS
from ttslo_app.store.csv_text import Record, Table, cell_text, clean, quote
from ttslo_app.store.rule_text import is_comment, table_of

# Characters that are encoded at once.
_BLOCK = 65_536
# An id, a moment or a price, or nothing.
_FACT = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9 _.:+-]{0,63})?", re.ASCII)


Changes = Mapping[str, Mapping[str, str]]


def trigger_cells(order_id: object, trigger_time: object, trigger_price: object) -> dict[str, str]:
    """Return the cells that a trigger writes into its row."""
    facts = (order_id, trigger_time, trigger_price)
    return {"enabled": "false", **dict(zip(TRIGGER_COLUMNS, map(_harmless, facts), strict=True))}


def _harmless(value: object) -> str:
    """Return the text of a cell that a spreadsheet does not take for a formula, nor for a page.

    Orders that no Kraken has named must not run in the user's spreadsheet.
    """
    text = cell_text(value)
    return text if _FACT.fullmatch(text) else f"?{shown(text, 60)}"


def merge(data: bytes, changes: Changes) -> tuple[bytes, dict[str, LookupError | ValueError]]:
    """Return `data` with the cells of each id in its row, and why some ids were left out.

    Every other byte stays. An id is left out where no row has it, or several do.

    Raises:
        ValueError: If the cells cannot be written into this file.
    """
    pieces, left_out = _merged(data, changes)  # the text that they were made of is gone by now
    return b"".join(pieces) if pieces else data, left_out


def _merged(
    data: bytes, changes: Changes
) -> tuple[list[bytes], dict[str, LookupError | ValueError]]:
    """Return the same in pieces, none where nothing is to be written."""
    table = table_of(data)
    found = _records_of(table, changes)
    left_out = {name: _why_not(name, found[name]) for name in changes if len(found[name]) != 1}
    rows = {found[name][0]: changes[name] for name in changes if name not in left_out}
    if table.header is None or not rows:
        return [], left_out
    columns = _with_columns(table, dict.fromkeys(n for cells in rows.values() for n in cells))
    lines = {record: _changed_line(table, record, columns, rows[record]) for record in sorted(rows)}
    new = [quote(name, table.delimiter) for name in columns[len(table.columns) :]]
    header = table.delimiter.join([*table.raw_cells(table.header), *new])
    lines = {table.header: header, **lines}
    pieces = [table.bom, *_pieces(table, lines)]
    _verify_merge(table, pieces, lines, rows)
    return pieces, left_out


def _records_of(table: Table, names: Iterable[str]) -> dict[str, list[Record]]:
    """Return the records of the rules of these names; an empty list where there is none."""
    found: dict[str, list[Record]] = {name: [] for name in names}
    if "id" not in table.columns:
        return found
    for record in table.records_with("id", found):
        cells = table.read(record).cells
        if cells["id"] in found and not is_comment(cells):
            found[cells["id"]].append(record)
    return found


def _why_not(config_id: str, found: Sequence[Record]) -> LookupError | ValueError:
    if not found:
        return LookupError(f"no row has the id {config_id!r}")
    lines = ", ".join(str(record.line) for record in found)
    return ValueError(f"the rows at lines {lines} share the id {config_id!r}; none is changed")


def _pieces(table: Table, lines: Mapping[Record, str]) -> Iterator[bytes]:
    """Yield the contents of a file with other lines in the place of some, which are in order.

    A block at a time: each copy of a file of 100,000 rows is 6 MB that the allocator may keep.
    """
    at, end = 0, len(table.text)
    for record, line in [*lines.items(), (Record(0, end, end), "")]:
        for start in range(at, record.start, _BLOCK):
            yield table.text[start : min(start + _BLOCK, record.start)].encode(table.codec)
        yield line.encode(table.codec)
        at = record.end


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
    texts = table.raw_cells(record)
    for name, value in cells.items():
        index = columns.index(name)
        texts += [""] * (index + 1 - len(texts))
        was_quoted = index < len(before) and before[index].is_quoted
        texts[index] = quote(value, table.delimiter, always=was_quoted and bool(value))
    return table.delimiter.join(texts)


def _verify_merge(
    before: Table,
    pieces: Sequence[bytes],
    lines: Mapping[Record, str],
    rows: Mapping[Record, Mapping[str, str]],
) -> None:
    """Read the result once more before it replaces anything: stray quotes can pair up anew.

    Where there is no quote, a line is a row whatever stands around it, so the new ones will do.
    """
    records: Iterable[Record]
    if '"' in before.text or any('"' in line for line in lines.values()) or before.header is None:
        records, contents = before.records(), b"".join(pieces)
    else:
        text = before.text[: before.header.start] + "\n".join(lines.values())
        records, contents = sorted(rows), before.bytes_of(text)
    after = table_of(contents)
    for old, new in zip_longest(records, after.records()):
        if old is None or new is None:
            break
        if old in rows:
            kept = after.read(new).cells
            is_same = all(kept.get(name) == clean(value) for name, value in rows[old].items())
        else:
            is_same = before.raw(old) == after.raw(new)
        if not is_same:
            break
    else:
        return
    raise ValueError("the file's quote marks leave it unclear where its cells end; mend them first")
