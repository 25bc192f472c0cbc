"""The real program as a process that dies, or whose disk fails, where a test says.

    python crash_driver.py PLAN [arguments of ttslo.py]

PLAN is a JSON object: `die_at_step` and `die_at_write` count the steps of the order protocol and
those of the writes to state.csv, its journal and config.csv, from 1; `full_at_write` is the write
that fails once for want of space. While a file `disk.full` lies in the working folder every write
fails, and while one `disk.readonly` lies there the files may not be written.
Each step and each write is told on a line `@ name`, unless the plan says `quiet`. With `deaf` it is
started as a shell starts a background job: with SIGINT ignored. `clock` sets the machine's clock
ahead by so many seconds for this process. `trouble` names a file in which a test may write at any
time at what step the process is to be stopped, killed or cut off: see `trouble_kit.py`. With
`naive` it is no program of ours but the host of `hosts/naive_host.py`.

    python crash_driver.py serve NUMBER

forks such a program for each question on the line of that file number: see
`program/program_host.py`.
"""

from __future__ import annotations

import errno
import importlib
import json
import os
import re
import signal
import sys
import threading
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

import ttslo  # noqa: E402 - only now can it be found
from tests.kits.crashes import trouble_kit  # noqa: E402 - likewise
from tests.kits.program import program_host  # noqa: E402 - likewise
from ttslo_app.store.disk import Disk  # noqa: E402

# What the program imports when it runs.
LATER = ("ws_price_provider", "krakenlink.stream.account", "krakenlink.stream.auditor", "filelock")
FULL, READ_ONLY = Path("disk.full"), Path("disk.readonly")
_COUNTED = re.compile(r"(state|config)\.csv\.[0-9a-f]{32}\.tmp|state\.csv\.(intents)")


def die() -> NoReturn:
    """End this process at once, as a power cut would: nothing is flushed, nobody is told."""
    if hasattr(signal, "SIGKILL"):
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(9)  # where there is no such signal


class Counter:
    """Counts moments of one kind, and tells each on its own line."""

    def __init__(self, deadly: int | None, *, quiet: bool) -> None:
        self._deadly = deadly
        self._quiet = quiet
        self._seen = 0
        self._lock = threading.Lock()  # guards _seen: writes come from several threads

    def __call__(self, name: str) -> int:
        """Count a moment, die if it is the one to die at, else return its number."""
        with self._lock:
            self._seen += 1
            number = self._seen
        if not self._quiet:
            os.write(1, f"@ {name}\n".encode())
        if number == self._deadly:
            die()
        return number


class DoomedDisk(Disk):
    """A disk on which each step of writing these files is such a moment."""

    def __init__(self, count: Counter, full_at: int | None) -> None:
        self._count = count
        self._full_at = full_at
        self._here = threading.local()

    def create(self, path: Path) -> BinaryIO:
        self._moment("create", path)
        return super().create(path)

    def write(self, file: BinaryIO, data: bytes) -> None:
        self._moment("write", Path(file.name))
        super().write(file, data)

    def sync(self, file: BinaryIO) -> None:
        self._moment("sync", Path(file.name))
        super().sync(file)

    def rename(self, source: Path, target: Path) -> None:
        self._moment("rename", source)
        super().rename(source, target)
        self._here.file = source

    def sync_folder(self, folder: Path) -> None:
        self._moment("sync_folder", self._here.file)
        super().sync_folder(folder)

    def open_end(self, path: Path) -> BinaryIO:
        self._moment("open_end", path)
        self._here.file = path
        return super().open_end(path)

    def sync_data(self, file: BinaryIO) -> None:
        self._moment("sync", Path(file.name))
        super().sync_data(file)

    def is_replaceable(self, path: Path) -> bool:
        if READ_ONLY.exists():
            os.write(1, b"@ left alone\n")
            return False
        return super().is_replaceable(path)

    def _moment(self, name: str, path: Path) -> None:
        found = _COUNTED.fullmatch(path.name)
        if found and (
            self._count(f"{found[1] or found[2]} {name}") == self._full_at or FULL.exists()
        ):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def main(plan: dict[str, Any], argv: list[str]) -> int:
    """Run the program by `plan`."""
    trouble_kit.set_clock(plan.get("clock", 0.0))
    if plan.get("deaf"):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    is_quiet = bool(plan.get("quiet"))
    step = Counter(plan.get("die_at_step"), quiet=is_quiet)
    writes = Counter(plan.get("die_at_write"), quiet=is_quiet)
    disk = DoomedDisk(writes, plan.get("full_at_write"))
    trouble = trouble_kit.Trouble(plan["trouble"], die) if "trouble" in plan else None

    def note(name: str) -> None:
        step(name)
        if trouble is not None:
            trouble.at(name)

    if trouble is not None:
        trouble_kit.tell_sending(note)
    if plan.get("naive"):
        from tests.kits.hosts import naive_host

        return naive_host.run(argv, note)
    return ttslo.main(argv, step=note, disk=disk)


def load() -> None:
    """Import what the program imports only when it runs, for all forks at once."""
    for name in LATER:
        importlib.import_module(name)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        load()
        program_host.serve(int(sys.argv[2]))
    sys.exit(main(json.loads(sys.argv[1]), sys.argv[2:]))
