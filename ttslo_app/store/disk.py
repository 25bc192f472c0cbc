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
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, NamedTuple

from krakenlink.machine import FileSteps, open_at_once, read_plain, replace_file, sync_fully

# A user who saves faster than this many times in a row is a program, and it should hear about it.
TRIES = 20
# Bytes: 100,000 rows are a tenth of it. More is no file of ours, and would fill the memory.
MOST_BYTES = 500_000_000
# Seconds: another program may just be writing; what a killed one left is older.
LITTER_AGE = 600.0
# All of a file, at once or in pieces.
Contents = bytes | Iterable[bytes]
PROBE = ".probe."  # in the name of a file that only tries whether one can be written


class Stamp(NamedTuple):
    """What tells one version of a file from the next without reading it."""

    mtime_ns: int
    size: int
    inode: int
    # Whoever writes in place can set the time of writing back, and not this one; where a platform
    # has something else under its name, it only never changes.
    ctime_ns: int = 0

    def is_same_write(self, other: Stamp) -> bool:
        """Tell whether the contents are of one writing: a rename changes the last time alone."""
        return self[:3] == other[:3]


class Disk(FileSteps):
    """The real file system, one method a step, so that a test can hand in one that fails there."""

    def read(self, path: Path) -> bytes:
        """Return the whole file; what is none is refused, and never waited for."""
        return read_plain(path)

    def holds(self, path: Path, data: bytes) -> bool:
        """Tell whether these very bytes are the file; what cannot be read tells so elsewhere.

        Half of what `read_settled` takes, and less: an order waits for it.
        """
        try:
            handle = open_at_once(str(path), os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except OSError:
            return False
        try:
            status = os.fstat(handle)
            is_like = stat.S_ISREG(status.st_mode) and status.st_size == len(data)
            return is_like and os.read(handle, len(data) + 1) == data
        except OSError:
            return False
        finally:
            os.close(handle)

    def stamp(self, path: Path) -> Stamp | None:
        """Return the stamp of the file, None where there is none."""
        try:
            status = os.stat(str(path))  # noqa: PTH116 - a third of the time of `path.stat`
        except FileNotFoundError:
            return None
        return Stamp(status.st_mtime_ns, status.st_size, status.st_ino, status.st_ctime_ns)

    def sync_data(self, file: BinaryIO) -> None:
        """Bring bytes at the end of a file to the platter, without its times where that goes."""
        file.flush()
        if not hasattr(os, "fdatasync"):
            sync_fully(file.fileno())
            return
        try:
            os.fdatasync(file.fileno())
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
                raise
            sync_fully(file.fileno())  # some file systems know the whole sync only

    def is_replaceable(self, path: Path) -> bool:
        """Tell whether `path` is a plain file that its owner lets us write."""
        return stat.S_ISREG(path.stat().st_mode) and os.access(path, os.W_OK)

    def is_mount(self, path: Path) -> bool:
        """Tell whether something is mounted right on this file, which no rename can replace."""
        mounts = Path("/proc/self/mountinfo")
        try:
            lines = mounts.read_bytes().splitlines() if mounts.exists() else None
        except OSError:
            lines = None
        if lines is None:  # no Linux: there a mount is another file system
            return os.name != "nt" and path.stat().st_dev != path.parent.stat().st_dev
        places = {line.split(b" ")[4] for line in lines if line.count(b" ") > 4}
        return re.sub(rb"[\x00-\x20\\]", _octal, os.fsencode(path)) in places

    def open_end(self, path: Path) -> BinaryIO:
        """Open a file of ours for writing at its end, whether it exists or not.

        Raises:
            OSError: Also where a link stands there, or no plain file: in a folder that others may
                write to it could lead to any file of the user's.
        """
        refuse_link(path)
        file = open(path, "ab", opener=_open_ours)  # noqa: SIM115 - for the caller to close
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            file.close()
            raise _link(path)
        return file

    def append(self, path: Path, data: bytes) -> None:
        """Write at the end of the file; a pipe that nobody reads is an error, and not a wait."""
        with open(path, "ab", opener=open_at_once) as file:
            file.write(data)

    def now(self) -> datetime:
        """Return the time, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""
        return time.monotonic()


def _octal(match: re.Match[bytes]) -> bytes:
    return b"\\%03o" % match[0][0]


def is_plain(path: Path) -> bool:
    """Tell whether a plain file stands there, and no link to one."""
    return stat.S_ISREG(path.lstat().st_mode)


def refuse_link(path: Path) -> None:
    """Refuse a link, or no plain file, under the name of a file of ours, if one stands there.

    Raises:
        OSError: If so; the words tell the cure.
    """
    with suppress(FileNotFoundError):
        if not is_plain(path):
            raise _link(path)


def _open_ours(path: str, flags: int) -> int:
    for name in ("O_NOFOLLOW", "O_NONBLOCK"):  # a pipe would wait for its reader
        flags |= getattr(os, name, 0)
    return os.open(path, flags, 0o666)


def _link(path: Path) -> OSError:
    said = "is a link or no plain file, and not the program's own; take it away"
    return OSError(errno.ELOOP, said, str(path))


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
        if stamp.size > MOST_BYTES:
            said = f"has {stamp.size} bytes, more than any file of this program"
            raise OSError(errno.EFBIG, said, str(path))
        try:
            data = disk.read(path)
        except FileNotFoundError:  # an editor that removes and renames: look again
            continue
        if disk.stamp(path) == stamp:
            return data, stamp
    raise OSError(errno.EBUSY, "keeps changing while it is read", str(path))


def replace(
    disk: Disk, path: Path, data: Contents, expected: Stamp | None, *, follows: bool = True
) -> Stamp:
    """Replace `path` durably by `data`; return the stamp of what stands there now.

    Args:
        disk: The file system.
        path: The file.
        data: All of it.
        expected: What stands there as far as the caller knows; None for nothing.
        follows: Whether a link stays a link, whose target is replaced. Not for a file beside
            another one, where only somebody else can have put a link: that is taken away.

    Raises:
        Changed: If the file is no longer what `expected` says; nothing was done.
        OSError: If a step failed. Unless it was the very last, the old file stands untouched;
            no temporary file stays behind.
    """
    target = path.resolve() if follows else path
    if not follows and target.is_symlink():
        target.unlink()
        expected = None
    if expected is not None and not disk.is_replaceable(target):
        raise PermissionError(
            errno.EACCES, "is read-only or no plain file, so it is left", str(path)
        )
    written: list[Stamp | None] = []

    def look_once_more(new: Path) -> None:
        if expected is not None:
            _take_after(new, target)
        written.append(disk.stamp(new))  # nobody else has seen the file yet
        if disk.stamp(target) != expected:
            raise Changed

    replace_file(target, data, disk, before_rename=look_once_more)
    (stamp,) = written
    assert stamp is not None  # it was written right before
    return _stamp_after(disk, target, stamp)


def _stamp_after(disk: Disk, target: Path, stamp: Stamp) -> Stamp:
    """Return our file's stamp under its last name; renaming changes a part of it."""
    with suppress(OSError):
        after = disk.stamp(target)
        if after is not None and after.is_same_write(stamp):
            return after
    return stamp  # somebody has written since: no later version is ours


def _take_after(new: Path, old: Path) -> None:
    """Give `new` the mode and, where we may, the owner of `old`."""
    status, mine = old.stat(), new.stat()
    # Not every file system knows modes, and only root may give files away: contents come first.
    with suppress(OSError):
        new.chmod(stat.S_IMODE(status.st_mode))
        if (mine.st_uid, mine.st_gid) != (status.st_uid, status.st_gid):
            os.chown(new, status.st_uid, status.st_gid)


def overwrite(
    disk: Disk, path: Path, data: bytes | Callable[[], Contents], *, follows: bool = True
) -> None:
    """Replace a file that one program alone writes, whatever stands there; links as in `replace`.

    Args:
        disk: The file system.
        path: The file.
        data: All of it, or what makes it, called for each try.
        follows: Whether a link stays a link.

    Raises:
        OSError: As `replace` does, or if another program keeps writing it.
    """
    for _ in range(TRIES):
        with suppress(Changed):
            contents = data if isinstance(data, bytes) else data()
            replace(disk, path, contents, disk.stamp(path), follows=follows)
            return
    raise OSError(errno.EBUSY, "another program writes it; one state, one program", str(path))


def sweep(disk: Disk, path: Path, age: float) -> None:
    """Take away what replacing `path` left beside it `age` seconds ago or earlier. Never raises.

    The file with which a second program tries whether it could write here is left to it for a
    while: it does that before it learns that the files are another's.
    """
    target = path.resolve()
    now = disk.now().timestamp()
    trial = f"{target.name}{PROBE}"
    # Between the two may stand what the file is a companion of: `.tape`, or a copy's moment.
    ours = re.compile(re.escape(target.name) + r"(\..+)?\.[0-9a-f]{32}\.tmp")
    with suppress(OSError):
        for litter in list(target.parent.glob("*.tmp")):
            least = max(age, LITTER_AGE) if litter.name.startswith(trial) else age
            if ours.fullmatch(litter.name) and litter.lstat().st_mtime <= now - least:
                litter.unlink()
