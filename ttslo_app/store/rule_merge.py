"""Cells written into the text of config.csv: every other byte stays as it is.

Pure: bytes in, bytes out. It must never change a byte outside the cells that it was told to change,
nor write what would be read as something else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest

from krakenlink.foreign import shown
from ttslo_app.columns import TRIGGER_COLUMNS
from ttslo_app.store.csv_text import Record, Table, cell_text, clean, quote
from ttslo_app.store.rule_text import is_comment, table_of

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
    table = table_of(data)
    found = _records_of(table, changes)
    left_out = {name: _why_not(name, found[name]) for name in changes if len(found[name]) != 1}
    rows = {found[name][0]: changes[name] for name in changes if name not in left_out}
    if table.header is None or not rows:
        return data, left_out
    columns = _with_columns(table, dict.fromkeys(n for cells in rows.values() for n in cells))
    lines = {record: _changed_line(table, record, columns, rows[record]) for record in sorted(rows)}
    new = [quote(name, table.delimiter) for name in columns[len(table.columns) :]]
    header = table.delimiter.join([*table.raw_cells(table.header), *new])
    lines = {table.header: header, **lines}
    text = _with_lines(table.text, lines)
    _verify_merge(table, text, lines, rows)
    return table.bytes_of(text), left_out


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


def _with_lines(text: str, lines: Mapping[Record, str]) -> str:
    """Return the text with others in the place of some records, which are in order."""
    pieces, at = [], 0
    for record, line in lines.items():
        pieces += [text[at : record.start], line]
        at = record.end
    return "".join([*pieces, text[at:]])


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
    after = table_of(before.bytes_of(text))
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
