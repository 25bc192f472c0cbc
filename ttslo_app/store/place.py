"""Whether files are where they can do their work, looked at before anything depends on it.

A full disk passes; a file that is mounted by itself can never be replaced, and a file system that
cannot sync never keeps a promise. What cannot work is refused at the start, with its cure: at a
crossing it would be too late. What it must never do: touch a file that it asks about.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from ttslo_app.store.disk import PROBE, Disk
from ttslo_app.store.lock import LOCK_NAMES
from ttslo_app.store.log_file import LOG_FILES

_UNSYNCABLE = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
_MOUNTED = (
    "is mounted by itself, so it cannot be replaced as a whole. Mount its folder instead, such as "
    "`docker run -v /home/me/ttslo:/data`, and name the file in it"
)
# Why nothing can be made in a folder, as long as nobody changes more than what fills the disk.
_FOLDER_CURES = {
    errno.EROFS: "its file system is read-only; mount it writable, or name a place on another one",
    errno.EACCES: "this user may not write in its folder; change the folder's owner or mode",
    errno.EPERM: "this user may not write in its folder; change the folder's owner or mode",
    errno.ENOENT: "no file can be made in its folder; name one on a disk",
    errno.ENOTDIR: "what should be its folder is a file; name another one",
    errno.ENOTSUP: "its file system does not take files; name one on a disk",
    errno.EOPNOTSUPP: "its file system does not take files; name one on a disk",
    errno.ENOSYS: "its file system does not take files; name one on a disk",
    errno.ENAMETOOLONG: "its name is too long; name a shorter one",
    errno.ELOOP: "its links lead in a circle; name the file itself",
}
# What ends by itself, or by somebody's tidying up.
_PASSING = {
    errno.ENOSPC: "the disk is full; free some of it",
    errno.EDQUOT: "this user's share of the disk is used up; free some of it",
    errno.EIO: "the disk answers with errors; look at its cable and its health",
}


class Unfit(ValueError):
    """A file cannot be what it is meant to be; the sentence tells why, and the cure."""


# --- files that are one ------------------------------------------------------------------------

# What lies beside a file of each kind.
_BESIDE = {
    "config": LOCK_NAMES,
    "state": (".intents", ".tape", ".deposed", *LOCK_NAMES),
    "log": tuple(f".{number}" for number in range(1, LOG_FILES + 1)),
    "keys": (),
}


def refuse_same(files: Mapping[str, str | os.PathLike[str]]) -> None:
    """Refuse two names of one file, whatever their spelling, and names of what lies beside one.

    Args:
        files: Where the `config`, the `state`, the `log` and the `keys` are.

    Raises:
        Unfit: If one would be written over another.
    """
    taken: dict[object, tuple[str, Path]] = {}
    for kind, name in files.items():
        path = Path(name)
        for identity in _identities(path):
            other, first = taken.setdefault(identity, (kind, path))
            if other != kind:
                raise Unfit(f"{first} is the {other} and {path} is the {kind}: {_ONE}")
    for kind, name in files.items():
        for beside in _companions(Path(name), kind):
            for identity in _identities(beside):
                other, path = taken.get(identity, (kind, beside))
                if other != kind:
                    raise Unfit(f"{path} is the {other}, and lies where the {kind} is kept: {_ONE}")


_ONE = "one would be written over the other. Give each a file of its own"


def _companions(path: Path, kind: str) -> Iterator[Path]:
    for where in dict.fromkeys((_resolved(path), path)):
        yield from (where.with_name(where.name + end) for end in _BESIDE[kind])


def _identities(path: Path) -> Iterator[object]:
    yield os.path.normcase(_resolved(path))
    with suppress(OSError, ValueError):
        status = path.stat()
        if stat.S_ISREG(status.st_mode) and status.st_ino:
            yield status.st_dev, status.st_ino


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # a circle of links
        return path.absolute()


def second_name(path: Path) -> str:
    """Return a warning that a file has another name by a hard link; empty where it has none.

    Each name has a lock of its own, and nobody can tell the other name.
    """
    try:
        status = path.stat()
    except OSError:
        return ""
    if not stat.S_ISREG(status.st_mode) or status.st_nlink < 2:
        return ""
    return (
        f"{path} has a second name (a hard link): a program started on that one is not noticed, "
        f"and would place each order again. Give each name a file of its own: cp {path} copy, "
        f"then mv copy {path}"
    )


# --- files that are replaced -------------------------------------------------------------------


def check_replaceable(disk: Disk, path: Path) -> None:
    """Refuse a file that can never be replaced durably; what may pass by itself is let pass.

    A file of no meaning is made beside it, synced, renamed and taken away. Blocks for the disk.

    Raises:
        Unfit: If it cannot work, with the cure.
    """
    step, error = _tried(disk, path)
    why = _objection(error.errno or 0, step) if error is not None else ""
    if why:
        raise Unfit(f"{path} cannot be written: {why}") from error


def check_writable(disk: Disk, path: Path) -> None:
    """Refuse a file that cannot be replaced durably at this moment, whatever may pass by itself.

    As `check_replaceable`, for who asks how things are, and not whether to begin at all.

    Raises:
        Unfit: If it does not work now, with the cure.
    """
    step, error = _tried(disk, path)
    if error is None:
        return
    why = _objection(error.errno or 0, step) or _PASSING.get(error.errno or 0, "")
    said = error.strerror or type(error).__name__
    raise Unfit(f"{path} cannot be written: {why or f'{said}; see what its disk says'}") from error


def _tried(disk: Disk, path: Path) -> tuple[str, OSError | None]:
    """Return the step that failed of making, syncing and renaming a file beside `path`."""
    target = _resolved(path)
    _check_itself(disk, path, target)
    # What a killed program leaves is swept as other temporary files are.
    names = (f"{target.name}{PROBE}{os.urandom(16).hex()}.tmp" for _ in range(2))
    first, second = map(target.with_name, names)
    step = "make"
    try:
        with disk.create(first) as file:
            disk.write(file, b"whether this can be written\n")
            step = "sync"
            disk.sync(file)
        step = "rename"
        disk.rename(first, second)
        step = "sync"
        disk.sync_folder(target.parent)
    except OSError as error:
        return step, error
    finally:
        for left in (first, second):
            with suppress(OSError):
                left.unlink()
    return "", None


def _check_itself(disk: Disk, path: Path, target: Path) -> None:
    if not target.parent.is_dir():
        raise Unfit(f"{path} cannot be written: there is no folder {target.parent}; make it first")
    try:
        status = target.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise Unfit(f"{path} cannot be looked at: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "no plain file"
        raise Unfit(f"{path} cannot be written: it is {kind}; name a file")
    if disk.is_mount(target):
        raise Unfit(f"{path} cannot be written: it {_MOUNTED}")
    if not disk.is_replaceable(target):
        raise Unfit(f"{path} cannot be written: it is read-only; let its owner change its mode")


def _objection(number: int, step: str) -> str:
    """Return why a step can never succeed; empty where another try may."""
    if step == "sync" and number in _UNSYNCABLE:
        return "its file system cannot bring it to the disk (sync); name a place on a local disk"
    if step == "rename" and number in (errno.EBUSY, errno.EXDEV):
        return f"it {_MOUNTED}" if os.name != "nt" else ""
    if step == "rename" and number in _UNSYNCABLE:
        return "its file system cannot replace a file; name a place on a local disk"
    return _FOLDER_CURES.get(number, "")


# --- keys --------------------------------------------------------------------------------------


def exposure(path: Path) -> str:
    """Return a warning that others may read the file of keys; empty where they may not."""
    if os.name == "nt":
        return ""  # there modes say nothing
    try:
        mode = path.stat().st_mode
    except OSError:
        return ""
    if not stat.S_ISREG(mode) or not mode & (stat.S_IROTH | stat.S_IWOTH):
        return ""
    return f"{path} may be read by every user of this machine, and holds keys: chmod 600 {path}"
