"""The rows of an account as a config.csv, and what a config.csv changes in the rows of an account.

Pure: whoever has the rows says how one is read. Of the text only what has changed is made anew;
every step into the store names the version that it rests on, so that an edit of somebody else in
between is seen and not lost. What must never happen here: that a line stands for a row as it was
before, or that a row is touched that is the same in both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import attrgetter

from ttslo_app.cluster.records import Keys, row_text
from ttslo_app.cluster.store import Change, Entry
from ttslo_app.columns import CONFIG_COLUMNS, KNOWN_COLUMNS
from ttslo_app.store.csv_text import quote

MOST_ROWS = 60
"""Rows of one change: far below what a store takes at once."""

# Between two rows there is room for others: a new one must not move all that follow.
_GAP = 1024


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

    def text_of(self, key: str) -> bytes:
        """Return the text of one row as it was made last, under its header; of none that alone."""
        columns, lines = self._known
        some = (line.text for line in (lines.get(key),) if line is not None)
        return "\n".join([_joined(columns), *some, ""]).encode()


def columns_of(used: Iterable[str]) -> Sequence[str]:
    """Return the columns of a file whose rows use these."""
    some = set(used)
    known = [name for name in KNOWN_COLUMNS if name in CONFIG_COLUMNS or name in some]
    return [*known, *sorted(some.difference(known))]


def _joined(cells: Iterable[str]) -> str:
    return ",".join(quote(cell, ",") for cell in cells)


@dataclass(frozen=True, slots=True)
class Step:
    """What becomes of one row.

    Attributes:
        cells: Its new cells; None where it is taken out of the store.
        place: Where it stands among the others.
        version: What the store has of it now; 0 for nothing.
        before: Its cells now; empty for a new row.
    """

    id: str
    cells: Mapping[str, str] | None
    place: int
    version: int
    before: Mapping[str, str]

    @property
    def differences(self) -> list[tuple[str, str, str]]:
        """What changes: column, old cell, new cell."""
        after = self.cells or {}
        names = dict.fromkeys([*self.before, *after])
        pairs = ((name, self.before.get(name, ""), after.get(name, "")) for name in names)
        return [one for one in pairs if one[1] != one[2]]


def filled(cells: Mapping[str, str]) -> dict[str, str]:
    """Return the cells that hold something; an empty one says as much as none."""
    return {name: cell for name, cell in cells.items() if name and cell}


def steps_to(rows: Sequence[Mapping[str, str]], known: Sequence[Row]) -> list[Step]:
    """Return what has to happen, in the order of the file; rows that go come last.

    Args:
        rows: Of the file; each has an id of its own.
        known: Of the store.
    """
    stands = {row.id: row for row in known}
    wanted = {row["id"]: filled(row) for row in rows}
    places = places_of(list(wanted), {row.id: row.place for row in known})
    steps = []
    for rule_id, cells in wanted.items():
        row = stands.get(rule_id)
        before = filled(row.cells) if row is not None else {}
        if row is None or cells != before or places[rule_id] != row.place:
            version = row.version if row is not None else 0
            steps.append(Step(rule_id, cells, places[rule_id], version, before))
    gone = (row for row in known if row.id not in wanted)
    return steps + [Step(row.id, None, row.place, row.version, filled(row.cells)) for row in gone]


def places_of(ids: Sequence[str], known: Mapping[str, int]) -> dict[str, int]:
    """Return a place for each row, so that they come in this order and few have to move."""
    kept = [known[one] for one in ids if one in known]
    if all(first < second for first, second in pairwise(kept)):
        found = _with_new(ids, known)
        if found is not None:
            return found
    return {one: (number + 1) * _GAP for number, one in enumerate(ids)}


def _with_new(ids: Sequence[str], known: Mapping[str, int]) -> dict[str, int] | None:
    """Return places for new rows between those that stay; None where there is no room."""
    found: dict[str, int] = {}
    before, waiting = 0, list[str]()
    for one in ids:
        if one not in known:
            waiting.append(one)
            continue
        room = known[one] - before
        if room <= len(waiting):
            return None
        found |= {w: before + room * (n + 1) // (len(waiting) + 1) for n, w in enumerate(waiting)}
        before, waiting = known[one], []
        found[one] = before
    return found | {w: before + (n + 1) * _GAP for n, w in enumerate(waiting)}


def change_of(keys: Keys, steps: Sequence[Step], token: str) -> Change:
    """Return the change that does some steps, whole or not at all."""
    return Change(
        {keys.row(step.id): step.version for step in steps},
        {
            keys.row(step.id): row_text(step.cells, step.place, token)
            for step in steps
            if step.cells is not None
        },
        [keys.row(step.id) for step in steps if step.cells is None],
    )


def parts_of(steps: Sequence[Step]) -> Iterator[Sequence[Step]]:
    """Yield the steps in parts that a store takes at once."""
    for at in range(0, len(steps), MOST_ROWS):
        yield steps[at : at + MOST_ROWS]
