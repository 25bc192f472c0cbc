"""The log on the disk: one line a row, never an error, never another shape under its header."""

import csv
import io
import logging
import os
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.kits.rows.store_kit import FailingDisk, folder
from ttslo_app.store.disk import Disk
from ttslo_app.store.log_file import LOG_BYTES, LogFile


def log_file(disk: Disk | None = None) -> LogFile:
    """Return the log in the test's own folder."""
    return LogFile(Path("logs.csv"), disk or FailingDisk())


LOG_HEADER = "timestamp,level,message,details"


def log_lines() -> list[str]:
    """Return the lines of the log."""
    return Path("logs.csv").read_bytes().decode().splitlines()


def test_the_log_has_fixed_columns() -> None:
    """However many details there are, a row has four cells."""
    files = log_file()
    files.write("INFO", "plain")
    files.write("ERROR", 'a, "b"\nc', pair="XBTUSD", note='x "y"\nz', empty="", n=5)
    assert log_lines()[0] == LOG_HEADER
    rows = list(csv.reader(log_lines()))
    assert rows[1] == ["2026-11-23T12:00:00.000+00:00", "INFO", "plain", ""]
    assert rows[2][2:] == ['a, "b"\\nc', r'pair=XBTUSD note="x \"y\"\nz" empty="" n=5']


class Steps(FailingDisk):
    """A disk that notes each write to the log among what else happens, and whose clock goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[str] = []

    def append(self, path: Path, data: bytes) -> None:
        self.steps.append("written")
        super().append(path, data)

    def now(self) -> datetime:
        self.seconds += 1
        return super().now() + timedelta(seconds=self.seconds)


def test_many_rows_are_taken_as_they_are_written() -> None:
    """A thousand share a write and its timestamp; the next are asked for when those are written."""
    disk = Steps()

    def messages() -> Iterator[str]:
        for number in range(2500):
            if number % 1000 == 0:
                disk.steps.append(f"asked for {number}")
            yield f"row {number}, armed"

    log_file(disk).write_all("INFO", messages())
    begins = ["asked for 0", "asked for 1000", "asked for 2000"]
    assert disk.steps == [step for begin in begins for step in (begin, "written")]
    rows = list(csv.reader(log_lines()))[1:]
    assert [row[1:] for row in rows] == [["INFO", f"row {n}, armed", ""] for n in range(2500)]
    assert [len(list(same)) for _, same in groupby(row[0] for row in rows)] == [1000, 1000, 500]


def test_no_rows_are_no_write() -> None:
    """Where there is nothing to tell, no log is begun."""
    log_file().write_all("INFO", [])
    assert not Path("logs.csv").exists()


def test_a_log_of_another_shape_is_put_aside() -> None:
    """Rows of another version never stand under this header."""
    Path("logs.csv").write_text("timestamp,level,message,pair,price\n1,2,3,4,5\n")
    log_file().write("INFO", "new")
    assert len(log_lines()) == 2
    assert "4,5" in Path("logs.csv.1").read_text()


def test_a_log_that_was_cut_gets_its_line_end() -> None:
    """After a crash in mid-line the next row begins on a line of its own."""
    Path("logs.csv").write_text(f"{LOG_HEADER}\nhalf a li")
    log_file().write("INFO", "next")
    assert log_lines()[1] == "half a li"
    assert log_lines()[2].endswith(",INFO,next,")


def test_the_log_is_rotated_and_old_ones_go() -> None:
    """A full log becomes .1, and the fifth of the old ones is dropped."""
    for number, name in enumerate(["logs.csv", *(f"logs.csv.{n}" for n in range(1, 6))]):
        Path(name).write_text(f"{LOG_HEADER}\n{number}\n")
    with Path("logs.csv").open("a") as file:
        file.truncate(LOG_BYTES)
    log_file().write("INFO", "fresh")
    assert len(log_lines()) == 2
    assert Path("logs.csv.1").stat().st_size == LOG_BYTES
    assert Path("logs.csv.5").read_text().endswith("\n4\n")
    assert not Path("logs.csv.6").exists()


def test_a_log_that_cannot_be_written_raises_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A full disk is said once a minute, and stops nobody."""
    disk = FailingDisk("append")
    files = log_file(disk)
    for disk.seconds in (0, 1, 59, 60, 61):
        files.write("INFO", "lost")
    assert len(caplog.records) == 2
    assert "logs.csv cannot be written" in caplog.text
    assert caplog.records[0].levelno == logging.WARNING


def test_the_log_takes_rows_from_many_threads() -> None:
    """Rows from several threads do not mix, and the header stands once."""
    files = log_file()
    threads = [threading.Thread(target=files.write, args=("INFO", f"m{n}")) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(row[2] for row in csv.reader(log_lines()[1:])) == [f"m{n}" for n in range(8)]


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_log_row_is_one_line_whatever_its_text(message: str, value: str) -> None:
    """No text breaks a row in two or raises."""
    assume("\0" not in message + value)
    with folder() as place:
        LogFile(place / "l.csv", Disk()).write("INFO", message, value=value)
        data = (place / "l.csv").read_bytes().decode()
    assert len(list(csv.reader(io.StringIO(data, newline="")))) == 2
    assert data.count("\n") == 2


@pytest.mark.parametrize(
    "evil", ["\x1b[2J", "\r\n2026,INFO,forged,", "\u202e", "\u2028", "\x9b", "\0"]
)
def test_what_acts_is_shown_and_not_obeyed(evil: str) -> None:
    """Words of others can neither forge a line nor move a reader's screen."""
    log_file().write("INFO", f"Kraken says {evil}x", pair=f"a{evil}b")
    data = Path("logs.csv").read_bytes().decode()
    assert data.count("\n") == 2
    assert not set(evil) & set(data) - set("2026,INFO,forged,[J\n")


def test_a_page_is_the_most_that_a_cell_holds() -> None:
    """A megabyte of somebody's words is cut, not written."""
    log_file().write("INFO", "m" * 1_000_000, value="v" * 1_000_000)
    assert Path("logs.csv").stat().st_size < 30_000


def test_a_log_that_fails_is_told_when_it_begins_and_when_it_is_over() -> None:
    """Once each, with the reason, and never into the log itself."""
    disk = FailingDisk("append")
    files, told = log_file(disk), list[tuple[str, str]]()
    files.tell_troubles(lambda level, text: told.append((level, text)))
    for _ in range(3):
        files.write("INFO", "lost")
    disk.failing.clear()
    for _ in range(2):
        files.write("INFO", "kept")
    assert [level for level, _ in told] == ["WARNING", "INFO"]
    assert "logs.csv cannot be written (No space left on device)" in told[0][1]
    assert "is written again" in told[1][1]


@pytest.mark.skipif(os.name == "nt", reason="there are no such pipes")
@pytest.mark.parametrize("kind", ["folder", "pipe", "no folder"])
def test_what_is_no_file_is_told_at_once(kind: str) -> None:
    """A folder, a pipe that nobody reads and a folder that is not there delay nobody."""
    path = Path("nowhere/logs.csv" if kind == "no folder" else "logs.csv")
    if kind == "folder":
        path.mkdir()
    if kind == "pipe":
        os.mkfifo(path)
    files, told = LogFile(path, Disk()), list[str]()
    files.tell_troubles(lambda level, text: told.append(text))
    files.write("INFO", "lost")
    assert len(told) == 1
