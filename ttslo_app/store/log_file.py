"""logs.csv: what the program did, one line an event, the oldest files dropped.

It must never raise: a log that cannot be written must not stop an order. Its columns are those of
existing files, and rows of another shape never stand under its header.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import islice
from pathlib import Path

from krakenlink.foreign import shown
from krakenlink.once import Once
from ttslo_app.store.csv_text import quote
from ttslo_app.store.disk import Disk

LOG_COLUMNS = ("timestamp", "level", "message", "details")
# About 40,000 lines: weeks of a busy program, and still quick to open in an editor.
LOG_BYTES = 5_000_000
LOG_FILES = 5
_COMPLAIN_EVERY = 60.0
_BLOCK = 1000  # lines a write
# Characters of a cell: a page. What is longer was pasted in, or is an attack.
_LONGEST_CELL = 10_000
_NO_HARM = (
    "Prices and orders do not need it, and what is said here is not in it. Name another file with "
    "--log, or mend its folder"
)

_log = logging.getLogger(__name__)


class LogFile:
    """Appends to the log. Safe from any thread; blocks for the disk, and never raises.

    A log that cannot be written is said on `logging`, at most once a minute, and to whoever has
    asked for it: when it begins, and when it is over.
    """

    def __init__(self, path: Path, disk: Disk) -> None:
        self.path = path
        self._disk = disk
        self._lock = threading.Lock()  # makes writes follow one another; guards nothing else
        self._complaints = Once(again_after=_COMPLAIN_EVERY)
        self._tell: Callable[[str, str], object] = lambda level, text: None
        self._is_failing = False

    def tell_troubles(self, tell: Callable[[str, str], object]) -> None:
        """Have `tell` called when writing begins to fail, and when it is well again.

        It takes a level and a sentence, is called on the thread that writes, and must not write to
        this log.
        """
        self._tell = tell

    def write(self, level: str, message: str, **fields: object) -> None:
        r"""Append one row: timestamp, level, message, details as `key=value`.

        Line ends are written as `\n` and other control characters in a like way, so a row is always
        one line, and no foreign word in it does anything where it is shown.
        """
        details = " ".join(_detail(name, value) for name, value in fields.items())
        self._append(level, [message], details)

    def write_all(self, level: str, messages: Iterable[str]) -> None:
        """Append one row for each message, as `write` does, with one write for a thousand.

        They are taken as they are written, and those of one write have one timestamp.
        """
        left = iter(messages)
        while block := list(islice(left, _BLOCK)):
            self._append(level, block)

    def _append(self, level: str, messages: Iterable[str], details: str = "") -> None:
        now = self._disk.now().isoformat(timespec="milliseconds")
        begin, end = f"{_cell(now)},{_cell(level)},", f",{_cell(details)}\n"
        lines = [f"{begin}{_cell(message)}{end}" for message in messages]
        data = "".join(lines).encode("utf-8", "backslashreplace")
        try:
            with self._lock:
                self._append_locked(data)
        except (OSError, ValueError) as error:  # a ValueError: a name that no file can have
            if self._complaints.is_news("log", at=self._disk.monotonic()):
                _log.warning("%s cannot be written: %s", self.path, error)
            if not self._is_failing:
                self._is_failing = True
                why = (isinstance(error, OSError) and error.strerror) or str(error)
                self._tell("WARNING", f"{self.path} cannot be written ({why}). {_NO_HARM}")
        else:
            if self._is_failing:
                self._is_failing = False
                self._tell(
                    "INFO", f"{self.path} is written again; what was said meanwhile is not in it"
                )

    def _append_locked(self, data: bytes) -> None:
        if self.path.is_fifo():  # opening one waits for a reader
            raise OSError(errno.ESPIPE, "is a pipe and no file", str(self.path))
        header = (",".join(LOG_COLUMNS) + "\n").encode()
        start, size, ends_line = self._look(len(header))
        is_foreign = start.replace(b"\r\n", b"\n")[: len(header) - 1] != header[:-1]
        if size and (is_foreign or size + len(data) > LOG_BYTES):
            self._rotate()
            size, ends_line = 0, True
        before = (b"" if size else header) + (b"" if ends_line else b"\n")
        self._disk.append(self.path, before + data)

    def _look(self, length: int) -> tuple[bytes, int, bool]:
        """Return how the log begins, its size, and whether its last line is complete."""
        if not self.path.is_file():
            return b"", 0, True
        with self.path.open("rb") as file:
            start = file.read(length)
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1))
            return start, size, file.read(1) in (b"", b"\n")

    def _rotate(self) -> None:
        for number in reversed(range(1, LOG_FILES)):
            with suppress(FileNotFoundError):
                self._disk.rename(self._numbered(number), self._numbered(number + 1))
        self._disk.rename(self.path, self._numbered(1))

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")


def _cell(text: object) -> str:
    return quote(shown(str(text), _LONGEST_CELL), ",")


def _detail(name: str, value: object) -> str:
    """Return `name=value`, the value as JSON text where it would else be unclear."""
    text = str(value)
    if not text or re.search(r'[\s"=\\]', text):
        text = json.dumps(text, ensure_ascii=False)
    return f"{name}={text}"
