"""The journal of intents on a real and a bad disk."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from ttslo_app.orders.intents import Intents, intent_lines, read_intents
from ttslo_app.store.disk import Disk
from ttslo_app.store.journal import IntentJournal

ROW = {"id": "btc", "rule_state": "intended", "generation": "2", "sends": "1", "order": "{}"}


class FailingDisk(Disk):
    """A disk that takes what is written, and fails at one step."""

    def __init__(self, step: str) -> None:
        self.step = step

    def sync_data(self, file: BinaryIO) -> None:
        if self.step == "sync_data":
            raise OSError(errno.ENOSPC, "No space left on device")
        super().sync_data(file)

    def sync_folder(self, folder: Path) -> None:
        if self.step == "sync_folder":
            raise OSError(errno.EIO, "Input/output error")
        super().sync_folder(folder)

    def open_end(self, path: Path) -> BinaryIO:
        if self.step == "open_end":
            raise OSError(errno.EACCES, "Permission denied")
        return super().open_end(path)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[IntentJournal]:
    """A journal beside a state that was just written."""
    found = IntentJournal(tmp_path / "state.csv", Disk())
    found.keep()
    found.clear()
    yield found
    found.close()


def test_what_was_appended_is_found_by_the_next_run(journal: IntentJournal, tmp_path: Path) -> None:
    """A line is on the disk when `append` returns, for a program that knows nothing of this one."""
    assert journal.append(intent_lines([ROW]))
    assert read_intents(IntentJournal(tmp_path / "state.csv", Disk()).load()).rows == (ROW,)


def test_cleared_journal_says_nothing(journal: IntentJournal) -> None:
    """After `clear` only what is appended later counts."""
    journal.append(intent_lines([ROW]))
    journal.clear()
    journal.append(intent_lines([{**ROW, "id": "eth"}]))
    assert [row["id"] for row in read_intents(journal.load()).rows] == ["eth"]


def test_what_is_settled_stays_in_the_file_and_is_not_read(journal: IntentJournal) -> None:
    """The disk need not find the next line a new place; and lines are counted as they stand."""
    for name in ("btc", "eth"):
        journal.append(intent_lines([{**ROW, "id": name}, ROW]))
        journal.clear()
        assert read_intents(journal.load()) == Intents()
        assert name.encode() in journal.path.read_bytes()
    journal.append(b"\n00000000 {}" + intent_lines([ROW]))
    (damaged,) = read_intents(journal.load()).damaged
    lines = journal.path.read_bytes().split(b"\n")
    assert lines[damaged - 1] == b"00000000 {}"


def test_journal_does_not_grow_without_an_end(journal: IntentJournal) -> None:
    """Once it is long it is emptied, and goes on."""
    largest = 0
    for number in range(400):
        assert journal.append(intent_lines([{**ROW, "id": f"row{number}", "letters": "x" * 300}]))
        (row,) = read_intents(journal.load()).rows
        assert row["id"] == f"row{number}"
        journal.clear()
        largest = max(largest, journal.path.stat().st_size)
    assert 60_000 < largest < 70_000


def test_line_end_of_a_line_that_was_cut_off_settles_nothing(
    journal: IntentJournal, tmp_path: Path
) -> None:
    """A full disk may take one letter of a line: those before it are still owed an answer."""
    journal.append(intent_lines([ROW]))
    data = journal.path.read_bytes()
    for length in range(1, 40):
        journal.path.write_bytes(data + intent_lines([{**ROW, "id": "eth"}])[:length])
        found = read_intents(IntentJournal(tmp_path / "state.csv", Disk()).load())
        assert (found.rows, found.damaged) == ((ROW,), ())


def test_earlier_versions_take_the_mark_for_empty_lines(journal: IntentJournal) -> None:
    """What they read besides is older than its rows in state.csv, and so counts for nothing."""
    journal.append(intent_lines([ROW]))
    journal.clear()
    journal.append(intent_lines([{**ROW, "sends": "2"}]))
    found = read_intents(journal.path.read_bytes())
    assert ([row["sends"] for row in found.rows], found.damaged) == (["1", "2"], ())


def test_nothing_is_appended_before_the_state_was_written(tmp_path: Path) -> None:
    """A journal of an earlier run is not written on; its lines stay until they are cleared."""
    journal = IntentJournal(tmp_path / "state.csv", Disk())
    journal.keep()
    assert read_intents(journal.load()) == Intents()
    journal.path.write_bytes(intent_lines([ROW]))
    assert not journal.append(intent_lines([ROW]))
    assert read_intents(journal.load()).rows == (ROW,)


def test_after_a_failure_the_state_has_to_be_written_first(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A full disk is told, and nothing is appended to a doubtful end, until all is cleared."""
    disk = FailingDisk("sync_data")
    journal = IntentJournal(tmp_path / "state.csv", disk)
    journal.keep()
    journal.clear()
    with caplog.at_level(logging.WARNING):
        assert not journal.append(intent_lines([ROW]))
    assert "No space left on device" in caplog.text
    disk.step = ""
    assert not journal.append(intent_lines([ROW]))
    journal.clear()
    assert journal.append(intent_lines([ROW]))
    assert read_intents(journal.load()).rows == (ROW,)
    journal.close()


def test_journal_that_cannot_be_opened_is_told_and_does_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a journal state.csv is written instead: `clear` says why and raises nothing."""
    journal = IntentJournal(tmp_path / "state.csv", FailingDisk("open_end"))
    journal.keep()
    with caplog.at_level(logging.WARNING):
        journal.clear()
    assert "cannot be emptied: [Errno 13] Permission denied" in caplog.text
    assert not journal.append(intent_lines([ROW]))


def test_new_journal_whose_name_is_not_on_the_disk_yet_takes_no_line(tmp_path: Path) -> None:
    """A power cut would lose the file with all its lines, however well those were synced."""
    disk = FailingDisk("sync_folder")
    journal = IntentJournal(tmp_path / "state.csv", disk)
    journal.keep()
    journal.clear()
    assert not journal.append(intent_lines([ROW]))
    disk.step = ""
    journal.clear()
    assert journal.append(intent_lines([ROW]))
    journal.close()


def test_empty_journal_is_taken_away_and_a_full_one_stays(journal: IntentJournal) -> None:
    """A folder is left tidy, but never without an intent that only the journal holds."""
    journal.append(intent_lines([ROW]))
    journal.close()
    assert read_intents(journal.load()).rows == (ROW,)
    journal.keep()
    journal.clear()
    journal.close()
    assert not journal.path.exists()


@pytest.mark.parametrize("is_replaced", [False, True])
def test_journal_that_somebody_took_away_is_not_written_on(
    journal: IntentJournal, *, is_replaced: bool
) -> None:
    """A line in a file without a name would be lost with the process: state.csv is written."""
    if os.name == "nt":
        return  # an open file keeps its name there
    journal.path.unlink()
    if is_replaced:
        journal.path.write_bytes(b"of yesterday")
    assert not journal.append(intent_lines([ROW]))
    journal.clear()
    assert journal.append(intent_lines([ROW]))
    assert read_intents(journal.load()).rows == (ROW,)


def test_journal_that_nobody_keeps_is_only_read_and_cleared(tmp_path: Path) -> None:
    """A program without the lock of the state writes none, and clears what it has taken over."""
    journal = IntentJournal(tmp_path / "state.csv", Disk())
    journal.path.write_bytes(intent_lines([ROW]))
    journal.clear()
    assert not journal.path.exists()
    assert not journal.append(intent_lines([ROW]))


def test_journal_lies_beside_the_file_that_a_link_leads_to(tmp_path: Path) -> None:
    """Two names of one state are one journal."""
    (tmp_path / "real.csv").touch()
    (tmp_path / "state.csv").symlink_to(tmp_path / "real.csv")
    assert IntentJournal(tmp_path / "state.csv", Disk()).path.name == "real.csv.intents"


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_link_under_the_name_of_the_journal_is_not_followed(tmp_path: Path) -> None:
    """Emptying the journal must not empty a file of the user's; state.csv is written instead."""
    precious = tmp_path / "precious"
    precious.write_text("of the user")
    (tmp_path / "state.csv.intents").symlink_to(precious)
    found = IntentJournal(tmp_path / "state.csv", Disk())
    with pytest.raises(OSError, match="take it away"):
        found.load()
    found.keep()
    found.clear()
    assert not found.append(intent_lines([ROW]))
    found.close()
    assert precious.read_text() == "of the user"
