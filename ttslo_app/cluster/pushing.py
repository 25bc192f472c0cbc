"""What has to change in the store so that its rows are those of a file.

Pure. Every step names the version that it rests on, so that an edit of somebody else in between is
seen and not lost. What it must never do: touch a row that is the same in both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from ttslo_app.cluster.records import Keys, row_text
from ttslo_app.cluster.store import Change

if TYPE_CHECKING:
    from ttslo_app.cluster.sheet import Row

MOST_ROWS = 60
"""Rows of one change: far below what a store takes at once."""

# Between two rows there is room for others: a new one must not move all that follow.
_GAP = 1024


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
