"""The file system: files read while they stand still, and replaced whole or not at all.

All other rooms of the store meet the disk here, one method a step, so that a test can let each
step fail. It must never take "cannot be read" for "empty", never rewrite a file in place, and
never lose what somebody else wrote in between.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, NamedTuple

from krakenlink.machine import FileSteps, replace_file, sync_fully

# A user who saves faster than this many times in a row is a program, and it should hear about it.
TRIES = 20
# Seconds: another program may just be writing; what a killed one left is older.
LITTER_AGE = 600.0


class Stamp(NamedTuple):
    """What tells one version of a file from the next without reading it."""

    mtime_ns: int
    size: int
    inode: int


class Disk(FileSteps):
    """The real file system, one method a step, so that a test can hand in one that fails there."""

    def read(self, path: Path) -> bytes:
        """Return the whole file."""
        return path.read_bytes()

    def stamp(self, path: Path) -> Stamp | None:
        """Return the stamp of the file, None where there is none."""
        try:
            status = path.stat()
        except FileNotFoundError:
            return None
        return Stamp(status.st_mtime_ns, status.st_size, status.st_ino)

    def sync_data(self, file: BinaryIO) -> None:
        """Bring bytes at the end of a file to the platter, without its times where that goes."""
        file.flush()
        if hasattr(os, "fdatasync"):
            os.fdatasync(file.fileno())
        else:
            sync_fully(file.fileno())

    def is_replaceable(self, path: Path) -> bool:
        """Tell whether `path` is a plain file that its owner lets us write."""
        return stat.S_ISREG(path.stat().st_mode) and os.access(path, os.W_OK)

    def open_end(self, path: Path) -> BinaryIO:
        """Open a file for writing at its end, whether it exists or not."""
        return path.open("ab")

    def append(self, path: Path, data: bytes) -> None:
        """Write at the end of the file."""
        with path.open("ab") as file:
            file.write(data)

    def now(self) -> datetime:
        """Return the time, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""
        return time.monotonic()


class Changed(Exception):
    """Somebody else wrote the file since it was read."""


def read_settled(disk: Disk, path: Path) -> tuple[bytes, Stamp | None]:
    """Return the bytes of `path` and the stamp they belong to; (b"", None) where there is no file.

    A program that writes in place is caught in the act where the stamp moves during the read.

    Raises:
        OSError: If the file cannot be read, or never stays the same for as long as that takes.
    """
    for _ in range(TRIES):
        stamp = disk.stamp(path)
        if stamp is None:
            return b"", None
        with suppress(FileNotFoundError):  # an editor that removes and renames: look again
            data = disk.read(path)
            if disk.stamp(path) == stamp:
                return data, stamp
    raise OSError(errno.EBUSY, "keeps changing while it is read", str(path))


def replace(disk: Disk, path: Path, data: bytes, expected: Stamp | None) -> Stamp:
    """Replace `path` durably by `data`; return the stamp of what stands there now.

    Raises:
        Changed: If the file is no longer what `expected` says; nothing was done.
        OSError: If a step failed. Unless it was the very last, the old file stands untouched;
            no temporary file stays behind.
    """
    target = path.resolve()  # a link stays a link: its target is replaced
    if expected is not None and not disk.is_replaceable(target):
        raise PermissionError(
            errno.EACCES, "is read-only or no plain file, so it is left", str(path)
        )
    written: list[Stamp | None] = []

    def look_once_more(new: Path) -> None:
        if expected is not None:
            _take_after(new, target)
        written.append(disk.stamp(new))  # a rename keeps it, and nobody else has seen the file yet
        if disk.stamp(target) != expected:
            raise Changed

    replace_file(target, data, disk, before_rename=look_once_more)
    (stamp,) = written
    assert stamp is not None  # it was written right before
    return stamp


def _take_after(new: Path, old: Path) -> None:
    """Give `new` the mode and, where we may, the owner of `old`."""
    status, mine = old.stat(), new.stat()
    # Not every file system knows modes, and only root may give files away: contents come first.
    with suppress(OSError):
        new.chmod(stat.S_IMODE(status.st_mode))
        if (mine.st_uid, mine.st_gid) != (status.st_uid, status.st_gid):
            os.chown(new, status.st_uid, status.st_gid)


def overwrite(disk: Disk, path: Path, data: bytes) -> None:
    """Replace a file that one program alone writes, whatever stands there.

    Raises:
        OSError: As `replace` does, or if another program keeps writing it.
    """
    for _ in range(TRIES):
        with suppress(Changed):
            replace(disk, path, data, disk.stamp(path))
            return
    raise OSError(errno.EBUSY, "another program writes it; one state, one program", str(path))


def sweep(disk: Disk, path: Path, age: float) -> None:
    """Take away what replacing `path` left beside it `age` seconds ago or earlier. Never raises."""
    target = path.resolve()
    oldest = disk.now().timestamp() - age
    # Between the two may stand what the file is a companion of: `.tape`, or a copy's moment.
    ours = re.compile(re.escape(target.name) + r"(\..+)?\.[0-9a-f]{32}\.tmp")
    with suppress(OSError):
        for litter in list(target.parent.glob("*.tmp")):
            if ours.fullmatch(litter.name) and litter.stat().st_mtime <= oldest:
                litter.unlink()
