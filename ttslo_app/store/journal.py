"""A journal beside the state file: lines that must be on the platter before anything else happens.

Replacing state.csv costs a new file, a rename and two syncs, and more the more rows there are; a
line at the end of `state.csv.intents` costs one sync. Of the journal only that counts which
state.csv does not say yet: once state.csv is written, a mark is set behind all before. It knows
bytes alone, not what they say. What must never happen here: that an append is reported done whose
bytes may be lost.
"""

from __future__ import annotations

import errno
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from ttslo_app.store.disk import Disk, refuse_link

_log = logging.getLogger(__name__)

# What lies before it is settled. To empty the file instead would cost the next line a tenth of a
# millisecond: the disk has to find it a new place. No line holds it, nor what is left of one that
# was cut off; to earlier versions these are empty lines, and what was settled older than its row.
_SETTLED = b"\n\n\n"
# A longer file is emptied all the same.
_MOST_BYTES = 65_536


class IntentJournal:
    """The file beside a state file. For one thread: the one that writes the state.

    Whoever holds the lock of the state may `keep` a journal; others read what is left of one.
    Nothing is appended before `clear` was called once, which is right after state.csv was
    written: so a journal never outlives the state that it belongs to.
    """

    def __init__(self, state_file: Path, disk: Disk) -> None:
        target = state_file.resolve()  # two names of one state are one journal
        self.path = target.with_name(f"{target.name}.intents")
        self._place = str(self.path)
        self._disk = disk
        self._file: BinaryIO | None = None
        self._identity = (0, 0)  # of that file, by which it is known again
        self._is_kept = False
        self._is_settled = False

    def load(self) -> bytes:
        """Return what an earlier run left behind; nothing where there is no file.

        What is settled is left out, but for the line ends, so that lines can be counted.

        Raises:
            OSError: If it is there and cannot be read.
        """
        try:
            refuse_link(self.path)
            settled, mark, rest = self._disk.read(self.path).rpartition(_SETTLED)
        except FileNotFoundError:
            return b""
        return b"\n" * (settled + mark).count(b"\n") + rest

    def keep(self) -> None:
        """Be ready for `append` after the next `clear`; `close` ends it."""
        self._is_kept = True

    def append(self, data: bytes) -> bool:
        """Write at the end, durably; False if that failed, and then state.csv has to be written.

        After a failure nobody knows what stands at the end, so nothing is appended to it again.
        """
        if self._file is None:
            return False
        self._is_settled = False
        try:
            self._see_that_it_is_there()
            self._disk.write(self._file, data)
            self._disk.sync_data(self._file)
        except OSError as error:
            _log.warning("%s cannot be written: %s", self.path, error)
            self._drop()
            return False
        return True

    def _see_that_it_is_there(self) -> None:
        """Raise OSError if somebody took the file away: what is written now nobody would find."""
        there = os.stat(self._place)  # noqa: PTH116 - an order waits for it
        if (there.st_dev, there.st_ino) != self._identity:
            raise OSError(errno.ESTALE, "was replaced by another file", str(self.path))

    def clear(self) -> None:
        """Forget everything: state.csv holds it by now. Never raises.

        It is not synced. Lines that a power cut brings back are older than their rows.
        """
        if self._is_settled:
            return
        try:
            if not self._is_kept:
                self.path.unlink(missing_ok=True)
                return
            if self._file is None:
                self._file = self._disk.open_end(self.path)
                status = os.fstat(self._file.fileno())
                self._identity = status.st_dev, status.st_ino
                self._disk.sync_folder(self.path.parent)
                self._file.truncate(0)
            elif self._file.tell() > _MOST_BYTES:
                self._file.truncate(0)
            else:
                self._disk.write(self._file, _SETTLED)
                self._file.flush()
            self._is_settled = True
        except OSError as error:
            _log.warning("%s cannot be emptied: %s", self.path, error)
            self._drop()

    def close(self) -> None:
        """Let go of the file, and take it away unless it holds what state.csv does not."""
        is_settled = self._is_settled
        self._is_kept = False
        self._drop()
        if is_settled:
            with suppress(OSError):
                self.path.unlink()

    def _drop(self) -> None:
        self._is_settled = False
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None
