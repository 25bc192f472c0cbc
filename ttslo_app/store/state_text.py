"""The text of state.csv: what became of each rule, and which part of it is in doubt.

Pure: bytes in, rows and sentences out. It must never pass a damaged row off as sound: whoever
believed it might place a second order. The columns are those of existing files; more may follow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple

from ttslo_app.store.csv_text import Record, parse, quote, read_record

STATE_COLUMNS = (
    "id",
    "triggered",
    "trigger_price",
    "trigger_time",
    "order_id",
    "activated_on",
    "last_checked",
)


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
        reading = read_record(self._table, record, keeps_spaces=True)
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
