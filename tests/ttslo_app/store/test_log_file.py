"""The log on the disk: one line a row, never an error, never another shape under its header."""

import csv
import io
import logging
import threading
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from store_kit import FailingDisk, folder

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
