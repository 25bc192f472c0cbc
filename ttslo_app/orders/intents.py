"""The journal of intents: what was on its way to Kraken when the program ended.

An order may only be sent once its intent is on the platter. Replacing state.csv for that costs a
new file, a rename and two syncs, and more the more rules there are; a line at the end of
`state.csv.intents` costs one sync. The journal only ever holds what state.csv does not say yet:
once state.csv is written it is emptied. What must never happen here: that a line which was
synced is overlooked, or that one which is older than its row in state.csv counts.

A line is a checksum and the cells of one row of state.csv as JSON.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ttslo_app.orders.life import RuleState
from ttslo_app.store.disk import Disk

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())

Cells = dict[str, str]


# --- the text --------------------------------------------------------------------------------


def intent_lines(rows: Iterable[Mapping[str, str]]) -> bytes:
    """Return the lines for some rows of state.csv.

    Each begins with the line end of the one before it, so that a line which was cut off by a full
    disk cannot spoil the next.
    """
    texts = (json.dumps(row, ensure_ascii=False).encode() for row in rows)
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


# --- the file --------------------------------------------------------------------------------


class IntentJournal:
    """The file beside a state file. For one thread: the one that writes the state.

    Whoever holds the lock of the state may `keep` a journal; others read what is left of one.
    Nothing is appended before `clear` was called once, which is right after state.csv was
    written: so a journal never outlives the state that it belongs to.
    """

    def __init__(self, state_file: Path, disk: Disk) -> None:
        target = state_file.resolve()  # two names of one state are one journal
        self.path = target.with_name(f"{target.name}.intents")
        self._disk = disk
        self._file: BinaryIO | None = None
        self._is_kept = False
        self._is_empty = False

    def load(self) -> Intents:
        """Return what an earlier run left behind; nothing where there is no file.

        Raises:
            OSError: If it is there and cannot be read.
        """
        try:
            return read_intents(self._disk.read(self.path))
        except FileNotFoundError:
            return Intents()

    def keep(self) -> None:
        """Be ready for `append` after the next `clear`; `close` ends it."""
        self._is_kept = True

    def append(self, data: bytes) -> bool:
        """Write at the end, durably; False if that failed, and then state.csv has to be written.

        After a failure nobody knows what stands at the end, so nothing is appended to it again.
        """
        if self._file is None:
            return False
        self._is_empty = False
        try:
            self._see_that_it_is_there(self._file)
            self._disk.write(self._file, data)
            self._disk.sync_data(self._file)
        except OSError as error:
            _log.warning("%s cannot be written: %s", self.path, error)
            self._drop()
            return False
        return True

    def _see_that_it_is_there(self, file: BinaryIO) -> None:
        """Raise OSError if somebody took the file away: what is written now nobody would find."""
        if not os.path.samestat(os.fstat(file.fileno()), self.path.stat()):
            raise OSError(errno.ESTALE, "was replaced by another file", str(self.path))

    def clear(self) -> None:
        """Forget everything: state.csv holds it by now. Never raises.

        It is not synced. Lines that a power cut brings back are older than their rows.
        """
        if self._is_empty:
            return
        try:
            if not self._is_kept:
                self.path.unlink(missing_ok=True)
                return
            if self._file is None:
                self._file = self._disk.open_end(self.path)
                self._disk.sync_folder(self.path.parent)
            self._file.truncate(0)
            self._is_empty = True
        except OSError as error:
            _log.warning("%s cannot be emptied: %s", self.path, error)
            self._drop()

    def close(self) -> None:
        """Let go of the file, and take it away unless it holds what state.csv does not."""
        is_empty = self._is_empty
        self._is_kept = False
        self._drop()
        if is_empty:
            with suppress(OSError):
                self.path.unlink()

    def _drop(self) -> None:
        self._is_empty = False
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None
