"""config.csv: the user's file, in which the program writes a cell now and then.

It must never lose a byte of what the user wrote, and never take "cannot be read" for "empty". The
file is read again right before it is written, changed in the cells of its rows alone, and replaced
whole.
"""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ttslo_app.store.disk import (
    LITTER_AGE,
    TRIES,
    Changed,
    Disk,
    Stamp,
    read_settled,
    replace,
    sweep,
)
from ttslo_app.store.rule_edit import read_edited
from ttslo_app.store.rule_merge import Changes, merge, trigger_cells
from ttslo_app.store.rule_row import RuleRow
from ttslo_app.store.rule_text import SAMPLE_CONFIG, read_rules

_log = logging.getLogger(__name__)


# Writes between two looks at the file are few; an older one is taken for an edit, and read.
_KEPT_WRITES = 1000


@dataclass(frozen=True, slots=True)
class RuleReading:
    """One reading of config.csv; `stamp` is None where there is no file.

    Attributes:
        rows: Comments and blank rows left out.
        findings: What is odd apart from the rows' values, each with file and line.
        stamp: The version that was read.
        data: Its bytes.
    """

    rows: tuple[RuleRow, ...]
    findings: tuple[str, ...]
    stamp: Stamp | None
    data: bytes = b""


class RuleFile:
    """Reads config.csv and writes into rows of it. Safe from any thread; blocks for the disk."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self.path = path
        self._disk = disk
        # Makes writes follow one another, which is why it is held while they last. It guards the
        # own writes: the version each one led to, and the one that it took the place of.
        self._lock = threading.Lock()
        self._own_writes: dict[Stamp, Stamp] = {}

    def stamp(self) -> Stamp | None:
        """Return the stamp of the file as it is now, None where there is none. Cheap."""
        return self._disk.stamp(self.path)

    def read(self, before: RuleReading | None = None) -> RuleReading:
        """Return the rows, and what is odd about them.

        Args:
            before: An earlier reading: rows whose lines have not changed since are those of it.

        Raises:
            OSError: If the file is there and cannot be read. That is not the same as an empty
                file: whoever asks must go on with the rows that it has.
        """
        data, stamp = read_settled(self._disk, self.path)
        if stamp is None:
            return RuleReading((), (), None)
        return reading_from(data, stamp, self.path.name, before)

    def contents(self) -> tuple[bytes, Stamp | None]:
        """Return the bytes of the file and their stamp; (b"", None) where there is none.

        Raises:
            OSError: As `read` does.
        """
        return read_settled(self._disk, self.path)

    def holds(self, data: bytes) -> bool:
        """Tell whether these very bytes are the file at this moment. Never raises."""
        return self._disk.holds(self.path, data)

    def is_own_write(self, stamp: Stamp | None, seen: Stamp) -> bool:
        """Tell whether only this program wrote between the versions `seen` and `stamp`."""
        with self._lock:
            for _ in range(len(self._own_writes)):
                if stamp is None or stamp == seen:
                    break
                stamp = self._own_writes.get(stamp)
            return stamp == seen

    def update_row(self, config_id: str, cells: Mapping[str, str]) -> None:
        """Write `cells` into the row of `config_id`; every other byte of the file stays.

        Columns that the file lacks are appended. The file is read again right before, and if
        somebody saves it meanwhile all is done again with what they saved. What cannot be
        excluded is a save in the microseconds between the last look and the rename.

        Raises:
            LookupError: If no row has that id.
            ValueError: If several rows have it (such rows never trade, so none is changed), or if
                the file's encoding or quoting cannot take the cells.
            OSError: If the file is missing, cannot be read or replaced; it is whole then.
        """
        for error in self.update_rows({config_id.strip(): cells}).values():
            raise error

    def update_rows(self, changes: Changes) -> dict[str, LookupError | ValueError]:
        """Write cells into many rows, by id, with one look at the file and one replacement.

        Everything else is as in `update_row`.

        Returns:
            Why a row was left out, by id; all others were written.

        Raises:
            ValueError: If the file's encoding or quoting cannot take the cells.
            OSError: As `update_row` does.
        """
        texts = {i: {n: str(v) for n, v in cells.items()} for i, cells in changes.items()}
        with self._lock:
            for _ in range(TRIES):
                data, stamp = read_settled(self._disk, self.path)
                if stamp is None:
                    raise FileNotFoundError(errno.ENOENT, "there is no config file", str(self.path))
                merged, left_out = merge(data, texts)
                if merged == data:
                    return left_out
                with suppress(Changed):
                    self._own_writes[replace(self._disk, self.path, merged, stamp)] = stamp
                    if len(self._own_writes) > _KEPT_WRITES:
                        del self._own_writes[next(iter(self._own_writes))]
                    return left_out
        raise OSError(errno.EBUSY, "keeps changing while a row is written", str(self.path))

    def note_trigger(
        self, config_id: str, order_id: object, trigger_time: object, trigger_price: object
    ) -> None:
        """Disarm the row of `config_id` and write down what its trigger led to.

        A file or a row that is not there needs no disarming: that is a warning in the log of the
        program. Everything else is as in `update_row`, which tells the two apart.

        Raises:
            ValueError: As `update_row` does.
            OSError: As `update_row` does, except for a missing file.
        """
        try:
            self.update_row(config_id, trigger_cells(order_id, trigger_time, trigger_price))
        except (LookupError, FileNotFoundError) as error:
            self._say_left_out(config_id, error)

    def note_triggers(
        self, triggers: Mapping[str, tuple[object, object, object]]
    ) -> frozenset[str]:
        """Do what `note_trigger` does for many rows, with one replacement.

        Args:
            triggers: Order id, time and price by the id of the row.

        Returns:
            The ids of rows that were not to be found, or not whole: they are as they were.

        Raises:
            ValueError: If the file cannot take the cells.
            OSError: As `update_row` does; a file that is gone may come back.
        """
        changes = {name: trigger_cells(*facts) for name, facts in triggers.items()}
        left_out = self.update_rows(changes)
        for name, why in left_out.items():
            self._say_left_out(name, why)
        return frozenset(left_out)

    def _say_left_out(self, config_id: str, why: Exception) -> None:
        _log.warning("%s: nothing to disarm for %s: %s", self.path, config_id, why)

    def sweep(self) -> None:
        """Take away what a killed program left beside the file long ago. Never raises."""
        with self._lock:
            sweep(self._disk, self.path, LITTER_AGE)


def reading_from(
    data: bytes, stamp: Stamp, name: str, before: RuleReading | None = None
) -> RuleReading:
    """Return what the bytes of a file of that name say; as `RuleFile.read`."""
    if before is None or before.stamp is None:
        rules = read_rules(data)
    else:
        rules = read_edited(data, before.data, before.rows)
    return RuleReading(rules.rows, tuple(f"{name} {said}" for said in rules.findings), stamp, data)


def create_sample(path: Path, disk: Disk) -> None:
    """Write a config file that explains itself and arms nothing.

    Raises:
        FileExistsError: If there is such a file with something in it; it stays as it is.
        OSError: If it cannot be written.
    """
    stamp = disk.stamp(path)
    with suppress(Changed):
        if stamp is None or not stamp.size:
            replace(disk, path, SAMPLE_CONFIG.encode(), stamp, follows=False)
            return
    said = "is there already and was left alone; choose another name"
    raise FileExistsError(errno.EEXIST, said, str(path))
