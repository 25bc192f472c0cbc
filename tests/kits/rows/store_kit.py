"""What the tests of the files share: a disk that fails where it is told to, and rows to write."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from hypothesis import strategies as st

from ttslo_app.columns import CONFIG_COLUMNS
from ttslo_app.store.disk import Disk, Stamp

HEADER = ",".join(CONFIG_COLUMNS)
ROW_A = "a,XBTUSD,50000,above,sell,0.01,5.0,true"
ROW_B = "b,ETHUSD,1500,below,sell,0.5,2.5,yes"
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
CELL = st.text(alphabet='ab1, ;"\n\r#é', max_size=6)


class FailingDisk(Disk):
    """A real disk that fails where it is told to, with a clock that stands still."""

    def __init__(self, *failing: str, error: OSError | None = None) -> None:
        self.failing = set(failing)
        self.error = error or OSError(errno.ENOSPC, "No space left on device")
        self.seconds = 0.0
        self.paused = 0
        self.intrusions: list[bytes] = []

    def _step(self, name: str) -> None:
        if name in self.failing:
            raise self.error

    def read(self, path: Path) -> bytes:
        self._step("read")
        return super().read(path)

    def stamp(self, path: Path) -> Stamp | None:
        self._step("stamp")
        return super().stamp(path)

    def create(self, path: Path) -> BinaryIO:
        self._step("create")
        return super().create(path)

    def write(self, file: BinaryIO, data: bytes) -> None:
        super().write(file, data[: len(data) // 2])
        self._step("write")
        super().write(file, data[len(data) // 2 :])

    def sync(self, file: BinaryIO) -> None:
        self._step("sync")
        super().sync(file)
        if self.intrusions:
            target = Path(str(file.name).rsplit(".", 2)[0])
            target.write_bytes(self.intrusions.pop(0))

    def rename(self, source: Path, target: Path) -> None:
        self._step("rename")
        super().rename(source, target)

    def sync_folder(self, folder: Path) -> None:
        self._step("sync_folder")
        super().sync_folder(folder)

    def is_replaceable(self, path: Path) -> bool:
        return "is_replaceable" not in self.failing and super().is_replaceable(path)

    def append(self, path: Path, data: bytes) -> None:
        self._step("append")
        super().append(path, data)

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    def pause(self, seconds: float) -> None:
        self.paused += 1
        if self.paused == 2:
            self.failing.clear()


def table(*lines: str, end: str = "\n") -> str:
    """Return the text of a file of these lines."""
    return end.join(lines) + end


@contextmanager
def folder() -> Iterator[Path]:
    """Give one Hypothesis example a folder of its own."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def litter(place: Path = Path()) -> list[str]:
    """Return the temporary files that were left behind."""
    return [path.name for path in place.iterdir() if path.name.endswith(".tmp")]
