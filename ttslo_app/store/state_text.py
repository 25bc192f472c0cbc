"""The text of state.csv: what became of each rule, and which part of it is in doubt.

Pure: bytes in, rows and sentences out. It must never pass a damaged row off as sound: whoever
believed it might place a second order. The columns are those of existing files; more may follow.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice, repeat
from typing import Any

from ttslo_app.store.csv_text import Reading, cell_text, parse, quote

STATE_COLUMNS = (
    "id",
    "triggered",
    "trigger_price",
    "trigger_time",
    "order_id",
    "activated_on",
    "last_checked",
)


# --- reading -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StateProblem:
    """A part of state.csv that cannot be relied upon.

    Attributes:
        line: Where it is in the file, from 1 on; 0 where it concerns the file as a whole.
        ids: The rows whose past is in doubt. Empty where nobody can tell: then every id that has
            no row in the reading is in doubt.
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
            for reading in table.readings(keeps_spaces=True):
                self._take(reading)

    def _take(self, reading: Reading) -> None:
        row, reasons = reading.cells, list(reading.complaints)
        if reading.cell_count < len(self._table.columns):
            reasons.append("is cut short")
        if row.get("triggered", "").strip().lower() not in ("", "true", "false"):
            reasons.append(f"says {row['triggered'][:60]!r} under triggered, not true or false")
        if self._table.is_guessed and not "".join(row.values()).isascii():
            reasons.append("has letters in an unknown encoding; save the file as UTF-8")
        identifier = row["id"]
        if not identifier:
            self._doubt(reading.line, (), "; ".join(["has no id", *reasons]))
            return
        earlier = self.rows.get(identifier)
        if earlier is not None and earlier != row:
            reasons.append(f"tells another story of {identifier} than the row before")
        if reasons:
            self._doubt(reading.line, (identifier,), "; ".join(reasons))
        if earlier is None or earlier.get("triggered", "").strip().lower() != "true":
            self.rows[identifier] = row  # of two stories the one that has fired is the safe one

    def _doubt(self, line: int, ids: tuple[str, ...], said: str) -> None:
        place = f"{self._name} line {line}" if line else self._name
        about = f" row {ids[0]}" if ids else ""
        self.problems.append(StateProblem(line, ids, f"{place}:{about} {said}. To go on, {_CURE}"))


# --- writing -----------------------------------------------------------------------------------

_BLOCK = 1000  # rows; the text of 100,000, and their bytes, would fill 40 MB


def state_bytes(state: Mapping[str, Mapping[str, object]]) -> bytes:
    """Return a state as the contents of its file, as `state_pieces` yields them."""
    return b"".join(state_pieces(state))


def state_pieces(state: Mapping[str, Mapping[str, object]]) -> Iterator[bytes]:
    """Yield the contents of a state's file: the contract's columns first, then all others.

    Raises:
        TypeError: If a row is no dict; the message names it.
    """
    for name, row in state.items():
        if not isinstance(row, Mapping):
            raise TypeError(f"the state of {name!r} must be a dict, not {type(row).__name__}")
    kinds = dict.fromkeys(tuple(row) for row in state.values())
    met = dict.fromkeys(str(name) for kind in kinds for name in kind)
    columns = tuple(dict.fromkeys(filter(None, (*STATE_COLUMNS, *met))))
    rows = (_texts_of(name, row, columns) for name, row in state.items())
    lines = chain([list(columns)], rows)
    while block := list(islice(lines, _BLOCK)):
        yield _block(block)


_TEXT = frozenset({str})


def _texts_of(identifier: str, cells: Mapping[str, Any], columns: Sequence[str]) -> list[str]:
    if not _TEXT.issuperset(map(type, chain(cells, cells.values()))):
        cells = {str(name): cell_text(value) for name, value in cells.items()}
    return [cell_text(identifier), *map(cells.get, columns[1:], repeat(""))]


class _Lines(list[str]):
    """What `csv` writes to: one line a row."""

    write = list.append


def _block(rows: Sequence[list[str]]) -> bytes:
    """Return the lines of some rows.

    `csv` leaves cells with spaces or marks at their ends without quotes, where the reader would
    take these off, and does not know of NULs.
    """
    lines = _Lines()
    csv.writer(lines, lineterminator="\n").writerows(rows)
    text = "".join(lines)
    has_marks = any(mark in text for mark in "\0\r\ufeff")
    for number, cells in enumerate(rows):
        if has_marks or [*map(str.strip, cells)] != cells:
            lines[number] = ",".join([quote(cell_text(cell), ",") for cell in cells]) + "\n"
    return "".join(lines).encode("utf-8", "backslashreplace")
