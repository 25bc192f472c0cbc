"""The rows of an account as the text of a config.csv, of which only what has changed is made anew.

Pure: whoever has the rows says how one is read. What must never happen here: that a line stands for
a row as it was before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

from ttslo_app.cluster.store import Entry
from ttslo_app.columns import CONFIG_COLUMNS, KNOWN_COLUMNS
from ttslo_app.store.csv_text import quote


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the account.

    Attributes:
        place: Where it stands among the others.
        version: That of its entry in the store.
    """

    id: str
    cells: Mapping[str, str]
    place: int
    version: int


@dataclass(frozen=True, slots=True)
class _Line:
    """A row as text.

    Attributes:
        entry: What it was made of.
        order: What it is sorted by.
        names: Those of its cells.
    """

    entry: Entry
    order: tuple[int, str]
    names: tuple[str, ...]
    text: str


class Sheet:
    """The text of rows. Safe from any thread, as what is known is replaced whole.

    Args:
        read: Returns the row of an entry; None for one that cannot be read, which is left out.
    """

    def __init__(self, read: Callable[[Entry], Row | None]) -> None:
        self._read = read
        # The columns that there were last, and the lines that were made with them.
        self._known: tuple[Sequence[str], Mapping[str, _Line]] = ((), {})

    def text(self, entries: Sequence[Entry]) -> bytes:
        """Return the text of a config.csv: the same rows always give the same bytes."""
        columns, before = self._known
        lines, fresh = {}, []
        for entry in entries:
            line = before.get(entry.key)
            if line is not None and (line.entry is entry or line.entry == entry):
                lines[entry.key] = line
            elif (row := self._read(entry)) is not None:
                fresh.append((entry, row))
        used = {name for names in {line.names for line in lines.values()} for name in names}
        wanted = columns_of(used.union(*(row.cells for _, row in fresh)))
        if wanted != columns:  # rare: every line is another one
            old = ((line.entry, self._read(line.entry)) for line in lines.values())
            fresh += [(entry, row) for entry, row in old if row is not None]
        for entry, row in fresh:
            text = _joined([row.cells.get(name, "") for name in wanted])
            lines[entry.key] = _Line(entry, (row.place, row.id), tuple(row.cells), text)
        self._known = wanted, lines
        in_order = sorted(lines.values(), key=attrgetter("order"))
        return "\n".join([_joined(wanted), *(line.text for line in in_order), ""]).encode()


def columns_of(used: Iterable[str]) -> Sequence[str]:
    """Return the columns of a file whose rows use these."""
    some = set(used)
    known = [name for name in KNOWN_COLUMNS if name in CONFIG_COLUMNS or name in some]
    return [*known, *sorted(some.difference(known))]


def _joined(cells: Iterable[str]) -> str:
    return ",".join(quote(cell, ",") for cell in cells)
