"""What is on its way to Kraken: lines of the journal, from a row of state.csv and back to it.

An order may only be sent once its intent is on the platter; intents go to a journal, of which
nothing counts once state.csv is written: a line is a checksum and the cells of one row as JSON.
Pure. What must never happen here: that a line which was synced is overlooked, or that one which is
older than its row in state.csv counts.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from ttslo_app.orders.ledger import Cells
from ttslo_app.orders.life import RuleState

_as_json = json.JSONEncoder(ensure_ascii=False).encode


def intent_lines(rows: Iterable[Mapping[str, str]]) -> bytes:
    """Return the lines for some rows of state.csv.

    Each begins with the line end of the one before it, so that a line which was cut off by a full
    disk cannot spoil the next.
    """
    texts = (_as_json(row).encode() for row in rows)
    return b"".join(b"\n%08x %s" % (zlib.crc32(text), text) for text in texts)


@dataclass(frozen=True, slots=True)
class Intents:
    """What a journal says: rows of state.csv in the order of their writing.

    `damaged` are the numbers, from 1, of lines that cannot be read although one that was written
    later can. A last line that cannot be read is no damage: its sync never ended, so its order
    was never sent.
    """

    rows: tuple[Cells, ...] = ()
    damaged: tuple[int, ...] = ()


def read_intents(data: bytes) -> Intents:
    """Return what `intent_lines` wrote, as far as it can be read."""
    rows: list[Cells] = []
    unread: list[int] = []
    damaged: list[int] = []
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line:
            continue
        row = _row_of(line)
        if row is None:
            unread.append(number)
        else:
            rows.append(row)
            damaged += unread
            unread = []
    return Intents(tuple(rows), tuple(damaged))


def _row_of(line: bytes) -> Cells | None:
    checksum, _, text = line.partition(b" ")
    if checksum != b"%08x" % zlib.crc32(text):
        return None
    with suppress(ValueError):
        row = json.loads(text)
        if isinstance(row, dict) and row.get("id"):
            return {str(name): str(cell) for name, cell in row.items()}
    return None


def with_intents(state: Mapping[str, Cells], intents: Intents) -> dict[str, Cells]:
    """Return the rows of state.csv with every intent that is newer than its row."""
    rows = {rule_id: dict(cells) for rule_id, cells in state.items()}
    for intent in intents.rows:
        known = rows.get(intent["id"])
        if known is None or _is_newer(intent, known):
            rows[intent["id"]] = {**(known or {}), **intent}
    return rows


def _is_newer(intent: Cells, row: Cells) -> bool:
    """Tell whether `intent` was written after `row`: each send counts up, in each generation.

    Of the same send, `row` holds the outcome unless it holds the intent itself, perhaps with a
    deadline that was put off since.
    """
    try:
        theirs, ours = _count_of(intent), _count_of(row)
    except ValueError:
        return False  # a row that nobody can read stays one: it is told, and does not trade
    return theirs > ours or (theirs == ours and row.get("rule_state") == RuleState.INTENDED)


def _count_of(row: Cells) -> tuple[int, int]:
    return int(row.get("generation") or 0), int(row.get("sends") or 0)


def may_have_fired(state: Mapping[str, Cells]) -> tuple[str, ...]:
    """Return the rules of whose orders a line that cannot be read may have spoken."""
    waiting = (RuleState.ARMED, RuleState.REFUSED)
    return tuple(i for i, cells in state.items() if cells.get("rule_state") in waiting)
