"""The file system: files read while they stand still, and replaced whole or not at all.

All other rooms of the store meet the disk here, one method a step, so that a test can let each
step fail. It must never take "cannot be read" for "empty", never rewrite a file in place, and
never lose what somebody else wrote in between.
"""

from __future__ import annotations

import errno
import os
import stat
import time
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, NamedTuple

try:
    import fcntl
except ImportError:  # Windows: its fsync is a full one
    fcntl = None  # type: ignore[assignment]

# A user who saves faster than this many times in a row is a program, and it should hear about it.
TRIES = 20


class Stamp(NamedTuple):
    """What tells one version of a file from the next without reading it."""

    mtime_ns: int
    size: int
    inode: int


class Disk:
    """The real file system, one method a step, so that a test can hand in one that fails there."""

    # On Windows a file that another program has open, such as Excel, cannot be replaced. Virus
    # scanners hold new files for a moment too, so a few tries are worth it there.
    rename_tries = 8 if os.name == "nt" else 1

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

    def create(self, path: Path) -> BinaryIO:
        """Open a file that must not exist yet for writing."""
        return path.open("xb")

    def write(self, file: BinaryIO, data: bytes) -> None:
        """Write everything; a full disk shows here or at the next step."""
        file.write(data)

    def sync(self, file: BinaryIO) -> None:
        """Bring the contents to the platter."""
        file.flush()
        _sync_fully(file.fileno())

    def sync_data(self, file: BinaryIO) -> None:
        """Do the same for bytes at the end of a file, without its times where that can be had."""
        file.flush()
        if hasattr(os, "fdatasync"):
            os.fdatasync(file.fileno())
        else:
            _sync_fully(file.fileno())

    def rename(self, source: Path, target: Path) -> None:
        """Put `source` in the place of `target`, in one step for every reader."""
        source.replace(target)

    def sync_folder(self, folder: Path) -> None:
        """Bring the rename to the platter, where the platform knows how."""
        if os.name == "nt":
            return
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        except OSError as error:
            # Some network file systems cannot sync a folder; the rename is as safe as it gets.
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):
                raise
        finally:
            os.close(handle)

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

    def pause(self, seconds: float) -> None:
        """Wait for another program to let go of a file."""
        time.sleep(seconds)


def _sync_fully(handle: int) -> None:
    """Wait until a file is on the platter and not only in the drive, as macOS lets pass."""
    full_sync = getattr(fcntl, "F_FULLFSYNC", None)
    if full_sync is not None:
        with suppress(OSError):  # file systems of the network do not know it
            fcntl.fcntl(handle, full_sync)
            return
    os.fsync(handle)


class Changed(Exception):
    """Somebody else wrote the file since it was read."""


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
    temporary = target.with_name(f"{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        with disk.create(temporary) as file:
            disk.write(file, data)
            disk.sync(file)
        if expected is not None:
            _take_after(temporary, target)
        written = disk.stamp(temporary)  # a rename keeps it, and nobody else has seen the file yet
        assert written is not None  # it was written right above
        if disk.stamp(target) != expected:
            raise Changed
        _rename(disk, temporary, target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    disk.sync_folder(target.parent)
    return written


def _take_after(new: Path, old: Path) -> None:
    """Give `new` the mode and, where we may, the owner of `old`."""
    status, mine = old.stat(), new.stat()
    # Not every file system knows modes, and only root may give files away: contents come first.
    with suppress(OSError):
        new.chmod(stat.S_IMODE(status.st_mode))
        if (mine.st_uid, mine.st_gid) != (status.st_uid, status.st_gid):
            os.chown(new, status.st_uid, status.st_gid)


def _rename(disk: Disk, source: Path, target: Path) -> None:
    for tries_left in reversed(range(disk.rename_tries)):
        try:
            return disk.rename(source, target)
        except PermissionError as error:
            if not tries_left:
                cure = "cannot be replaced; if a spreadsheet has it open, close it there"
                raise PermissionError(error.errno, cure, str(target)) from error
            disk.pause(0.05)
    raise AssertionError("unreachable: the last try returns or raises")  # pragma: no cover


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
