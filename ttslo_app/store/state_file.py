"""state.csv: what became of each rule, and beside it how far prices were seen.

One program writes these files, the one that holds their lock. They must never be half written, and
a state that is damaged must never be replaced before there is a copy of it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ttslo_app.store.disk import (
    LITTER_AGE,
    Changed,
    Disk,
    is_plain,
    overwrite,
    read_settled,
    refuse_link,
    replace,
    sweep,
)
from ttslo_app.store.state_text import STATE_COLUMNS, StateProblem, StateReader, state_pieces

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StateReading:
    """One reading of state.csv.

    Attributes:
        rows: Text by column, by id; also what can be read of rows that have a problem.
        problems: What cannot be relied upon.
        copy: Where the file as it was is kept; None where nothing was wrong with it, or where it
            could not be copied.
    """

    rows: dict[str, dict[str, str]]
    problems: tuple[StateProblem, ...]
    copy: Path | None


class StateFile:
    """Reads and replaces state.csv. Safe from any thread; blocks for the disk.

    Attributes:
        tape: The file beside it that says how far prices were seen.
    """

    def __init__(self, path: Path, disk: Disk) -> None:
        self.path = path
        self.tape = TapeFile(path.with_name(f"{path.name}.tape"), disk)
        self._disk = disk
        # Makes writes follow one another, which is why it is held while they last. It guards
        # whether the contents of the file are still to be copied.
        self._lock = threading.Lock()
        self._is_copy_due = False

    def load(self) -> dict[str, dict[str, str]]:
        """Return the state by id, {} where there is no file; problems go to the program's log.

        Raises:
            OSError: If the file is there and cannot be read.
        """
        reading = self._load()
        for problem in reading.problems:
            _log.warning("%s", problem.message)
        return reading.rows

    def load_checked(self) -> StateReading:
        """Return what the file says, and what about it cannot be relied upon. Never raises.

        A damaged file is copied first, under a name ending in `.bad` beside it; `save` does not
        replace it before there is such a copy. Once it is saved the file is in order again, so
        whoever must remember a doubt has to write it into the state.
        """
        try:
            return self._load()
        except OSError as error:
            with self._lock:
                self._is_copy_due = True
            said = f"{self.path}: cannot be read: {error.strerror or error}. "
            cure = "What happened before cannot be known; make the file readable"
            return StateReading({}, (StateProblem(0, (), said + cure),), None)

    def _load(self) -> StateReading:
        data, stamp = read_settled(self._disk, self.path)
        if stamp is None:
            return StateReading({}, (), None)
        reader = StateReader(data, self.path.name)
        copy = None
        with self._lock:
            self._is_copy_due = bool(reader.problems)
            if reader.problems:
                try:
                    copy = self._keep_copy_locked(data)
                except OSError as error:
                    said = f"{self.path.name}: cannot be copied ({error})"
                    doubt = StateProblem(0, (), f"{said}, so it will not be replaced")
                    reader.problems.append(doubt)
        return StateReading(reader.rows, tuple(reader.problems), copy)

    def _keep_copy_locked(self, data: bytes) -> Path:
        """Keep `data` beside the file under a new name, unless such a copy is there already."""
        target = self.path.resolve()
        for copy in sorted(target.parent.glob("*.bad")):
            is_ours = copy.name.startswith(f"{target.name}.") and is_plain(copy)
            if is_ours and self._disk.read(copy) == data:
                self._is_copy_due = False
                return copy
        when = self._disk.now().strftime("%Y%m%dT%H%M%SZ")
        tries = 0
        while True:
            copy = target.with_name(f"{target.name}.{when}{f'-{tries}' if tries else ''}.bad")
            try:
                replace(self._disk, copy, data, None, follows=False)
            except Changed:
                tries += 1
                continue
            self._is_copy_due = False
            return copy

    def save(self, state: Mapping[str, Mapping[str, object]]) -> None:
        """Replace the file by `state`, durably: on return it is on the platter.

        The contract's columns come first, then all others that any row has: what `load` gave is
        kept, unknown columns too. None becomes an empty cell, True and False 'true' and 'false',
        everything else its `str`. An empty `state` does nothing.

        Raises:
            TypeError: If a row is no dict.
            OSError: If a step failed; then the old file stands as it was, unless it was the sync
                of the folder after all else, and no temporary file is left.
        """
        if not state:
            return
        with self._lock:
            if self._is_copy_due and self._disk.stamp(self.path) is not None:
                self._keep_copy_locked(self._disk.read(self.path))
            overwrite(self._disk, self.path, partial(state_pieces, state))

    def initialize(self) -> None:
        """Create the file with its header where there is none; never touch one that is there.

        Temporary files that a killed program left beside it long ago are taken away.

        Raises:
            OSError: If it cannot be written.
        """
        with self._lock:
            sweep(self._disk, self.path, LITTER_AGE)
            if self._disk.stamp(self.path) is None:
                header = ",".join(STATE_COLUMNS) + "\n"
                with suppress(Changed):  # somebody was faster: then there is one
                    replace(self._disk, self.path, header.encode(), None)

    def sweep(self) -> None:
        """Take away the temporary files of writes that a killed program did not end.

        For the one who holds the `StateLock`: what lies beside the state, the tape's included, is
        nobody's then. Never raises.
        """
        with self._lock, self.tape.lock:
            sweep(self._disk, self.path, 0.0)


class TapeFile:
    """The text beside a state that says how far prices were seen. Safe from any thread.

    It is no part of state.csv: that has one row a rule and belongs to the thread that places
    orders, which must not rewrite it every few seconds because prices move.

    Attributes:
        lock: Makes writes follow one another; guards nothing else.
    """

    def __init__(self, path: Path, disk: Disk) -> None:
        self.path = path
        self.lock = threading.Lock()
        self._disk = disk

    def load(self) -> str | None:
        """Return the text that `save` wrote last, None where there is none.

        Raises:
            OSError: If it is there and cannot be read.
            ValueError: If it is no text.
        """
        refuse_link(self.path)
        data, stamp = read_settled(self._disk, self.path)
        return None if stamp is None else data.decode("utf-8")

    def save(self, text: str) -> None:
        """Replace the text, durably.

        Raises:
            OSError: If a step failed; the old text stands then.
        """
        with self.lock:
            overwrite(self._disk, self.path, text.encode("utf-8"), follows=False)
