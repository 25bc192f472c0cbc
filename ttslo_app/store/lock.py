"""One program a state: the lock beside a file, and who holds it.

It must never stay behind its process, and never wait: the second program is to hear at once who
was first.
"""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from ttslo_app.store.disk import Disk


@dataclass(frozen=True, slots=True)
class LockHolder:
    """Who holds a state file; `since` is ISO UTC."""

    pid: int
    host: str
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since}"


class AlreadyRunning(Exception):
    """Another copy of the program works on the same state file.

    Attributes:
        path: The state file.
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


class StateLock:
    """At most one program a state file: a lock beside it, for as long as the `with` lasts.

    The operating system drops the lock when the process dies, however it dies. A second file
    beside the lock says who holds it, because on Windows a locked file cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str], disk: Disk | None = None) -> None:
        self.path = Path(path)
        self._disk = disk or Disk()
        target = self.path.resolve()  # two names of one file are one lock
        self._holder_path = target.with_name(target.name + ".lock.json")
        # Not per thread: whichever thread ends the program lets go of it.
        self._lock = FileLock(target.with_name(target.name + ".lock"), thread_local=False)

    def __enter__(self) -> StateLock:
        """Take the lock, without waiting.

        Raises:
            AlreadyRunning: If another program has it.
            OSError: If there can be no lock file, such as in a folder that cannot be written.
        """
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            raise AlreadyRunning(self.path, self.holder()) from None
        since = self._disk.now().isoformat(timespec="seconds")
        about = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
        with suppress(OSError):  # the lock is what counts; this only makes its message better
            self._holder_path.write_text(json.dumps(about), encoding="utf-8")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OSError):
            self._holder_path.unlink()
        self._lock.release()

    def holder(self) -> LockHolder | None:
        """Return who holds the lock, as far as that can be read."""
        try:
            about = json.loads(self._holder_path.read_text(encoding="utf-8"))
            return LockHolder(int(about["pid"]), str(about["host"]), str(about["since"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None
