"""One program a config and a state: the lock beside a file, and who holds it.

It must never stay behind its process, and never wait: the second program is to hear at once who
was first.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from filelock import BaseFileLock, FileLock, Timeout

from krakenlink.machine import read_plain, replace_file
from ttslo_app.store.disk import Disk, refuse_link

try:
    import fcntl
except ImportError:  # Windows: its locks are those of the file system itself
    fcntl = None  # type: ignore[assignment]

LOCK_NAMES = (".lock", ".lock.json")
# What a file system says that knows no locks, or a network one whose server does not.
_UNSUPPORTED = frozenset(
    {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOLCK}
)


@dataclass(frozen=True, slots=True)
class LockHolder:
    """Who holds a file; `since` is ISO UTC."""

    pid: int
    host: str
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since}"


class AlreadyRunning(Exception):
    """Another copy of the program works on the same file.

    Attributes:
        path: The file, a config or a state.
        holder: Who it is; None where that cannot be told.
    """

    def __init__(self, path: Path, holder: LockHolder | None) -> None:
        self.path = path
        self.holder = holder
        super().__init__(path, holder)

    def __str__(self) -> str:
        who = self.holder or "another process"
        return (
            f"{self.path} is in use by {who}; stop that copy first, or give this one its own files"
        )


def _native_lock(path: Path) -> BaseFileLock:
    """Return a lock of the operating system's; one made of a file would outlive its process."""
    # Not per thread: whichever thread ends the program lets go of it.
    try:
        return FileLock(path, thread_local=False, fallback_to_soft=False)
    except TypeError:  # older versions know no other kind
        return FileLock(path, thread_local=False)


def _files_beside(target: Path) -> tuple[Path, Path]:
    lock, holder = (target.with_name(target.name + end) for end in LOCK_NAMES)
    return lock, holder


def _identity_of(path: str | Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - an order waits for it
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


class StateLock:
    """At most one program a file: a lock beside it, for as long as the `with` lasts.

    The config has one as the state has: two programs with one config place each order twice.
    The operating system drops the lock when the process dies, however it dies. A second file
    beside the lock says who holds it, because on Windows a locked file cannot be read.

    Attributes:
        path: The file, as it was given.
        absence: Why there is no lock although nobody else has it, for a person; mostly empty. Some
            network file systems know none.
    """

    def __init__(self, path: str | os.PathLike[str], disk: Disk | None = None) -> None:
        self.path = Path(path)
        self.absence = ""
        self._disk = disk or Disk()
        # As texts: to look at a `Path` takes as many calls again.
        self._place = str(self.path)
        self._beside = str(self.path.with_name(self.path.name + LOCK_NAMES[0]))
        self._target = self.path.resolve()  # two names of one file are one lock
        self._file, self._holder_path = _files_beside(self._target)
        self._lock = _native_lock(self._file)
        # What the lock file is, by which it is known again; None while there is no lock.
        self._identity: tuple[int, int] | None = None
        self._kept: list[BaseFileLock] = []
        self._lost: AlreadyRunning | None = None

    def __enter__(self) -> StateLock:
        """Take the lock, without waiting.

        Raises:
            AlreadyRunning: If another program has it.
            OSError: If there can be no lock file, such as in a folder that cannot be written.
        """
        refuse_link(self._file)
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            if not self._is_unsupported():
                raise AlreadyRunning(self.path, self.holder()) from None
            self._note_absence()
        except NotImplementedError:
            self._note_absence()
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            self._note_absence()
        else:
            self._identity = _identity_of(self._file)
            self._tell_holder()
        return self

    def renew(self) -> None:
        """See that the file is still this program's; have its lock anew where it was taken away.

        People remove a lock file that they take for a left-over, programs that keep folders alike
        replace it, and a link may lead to another file by now: each would let a second program in.
        For any thread; one at a time.

        Raises:
            AlreadyRunning: If another program has the file. It stays so: what that one has done
                with the file this one does not know.
            OSError: If there can be no lock at this moment.
        """
        if self._lost is not None:
            raise self._lost
        if self._identity is None or self._is_in_its_place():
            return
        target = self.path.resolve()
        if target == self._target and _identity_of(self._file) == self._identity:
            return
        if not target.parent.is_dir():  # a lock would make it, and nobody looks for it there
            raise FileNotFoundError(errno.ENOENT, "its folder is gone", str(self.path))
        fresh = StateLock(self.path, self._disk)
        try:
            fresh.__enter__()
        except AlreadyRunning as error:
            self._lost = error
            raise
        if target == self._target:
            self._kept.append(self._lock)  # a folder that was moved has it still
        else:
            self._lock.release()
        self._target, self._file, self._holder_path = target, fresh._file, fresh._holder_path
        self._lock, self._identity, self.absence = fresh._lock, fresh._identity, fresh.absence

    def _is_in_its_place(self) -> bool:
        """Tell, in two looks at the disk, whether the lock file lies right beside the file.

        No order leaves before it was looked; to resolve the name costs ten times as much.
        """
        try:
            is_link = stat.S_ISLNK(os.lstat(self._place).st_mode)
        except FileNotFoundError:
            is_link = False  # there is no such file yet, so it lies where its name says
        except OSError:
            return False
        if is_link:  # what it leads to has the lock
            return False
        try:
            return _identity_of(self._beside) == self._identity
        except OSError:
            return False

    def _tell_holder(self) -> None:
        since = self._disk.now().isoformat(timespec="seconds")
        about = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
        with suppress(OSError):  # the lock is what counts; this only makes its message better
            replace_file(self._holder_path, json.dumps(about).encode(), is_durable=False)

    def _note_absence(self) -> None:
        self.absence = (
            f"{self.path} cannot be locked: its file system knows no locks. See to it that no "
            "second copy of the program works on it"
        )

    def _is_unsupported(self) -> bool:
        """Tell whether nobody has the lock, and it cannot be had all the same.

        Older versions of the library take every refusal for somebody else's lock.
        """
        if fcntl is None:
            return False
        try:
            handle = os.open(self._file, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno in _UNSUPPORTED
        finally:
            os.close(handle)
        return False

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._lock.is_locked:
            return
        if self._lost is None:
            with suppress(OSError):
                self._holder_path.unlink()
        for lock in (self._lock, *self._kept):
            lock.release()

    def is_held(self) -> bool:
        """Tell whether a program has the lock. Nothing is made, and nobody waits for it.

        Where the system knows shared locks, one is taken for a moment; else the lock itself.

        Raises:
            OSError: If the lock file is there and cannot be opened.
        """
        refuse_link(self._file)
        if not self._file.exists():
            return False
        if fcntl is None:
            return self._is_held_by_trying()
        handle = os.open(self._file, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno in (errno.EWOULDBLOCK, errno.EACCES)
        finally:
            os.close(handle)
        return False

    def _is_held_by_trying(self) -> bool:
        trial = _native_lock(self._file)
        try:
            trial.acquire(blocking=False)
        except Timeout:
            return True
        trial.release()
        return False

    def holder(self) -> LockHolder | None:
        """Return who holds the lock, as far as that can be read."""
        try:
            refuse_link(self._holder_path)
            about = json.loads(read_plain(self._holder_path))
            return LockHolder(int(about["pid"]), str(about["host"]), str(about["since"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None
