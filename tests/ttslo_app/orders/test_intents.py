"""The journal of intents: its text, what counts of it, and its file on a real and a bad disk."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttslo_app.orders.intents import (
    IntentJournal,
    Intents,
    intent_lines,
    may_have_fired,
    read_intents,
    with_intents,
)
from ttslo_app.store.disk import Disk

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


# --- the text --------------------------------------------------------------------------------


@given(st.lists(st.dictionaries(st.text(), st.text()), max_size=5))
def test_lines_come_back_as_they_were(rows: list[dict[str, str]]) -> None:
    """Any cells, with line ends and quotes in them, are read as they were written."""
    named = [{**row, "id": f"r{number}"} for number, row in enumerate(rows)]
    assert read_intents(intent_lines(named)) == Intents(tuple(named), ())


@given(st.integers(min_value=0))
def test_cut_end_is_a_line_that_was_never_sent(length: int) -> None:
    """Wherever the last line breaks off, the one before it counts and nothing is called damaged."""
    first, last = intent_lines([ROW]), intent_lines([{**ROW, "id": "eth"}])
    cut = (first + last)[: len(first) + length % len(last)]
    assert read_intents(cut) == Intents((ROW,), ())


def test_line_after_a_cut_one_is_read_and_the_cut_one_told() -> None:
    """A line that breaks off before another is damage: its order may have been sent."""
    whole = intent_lines([ROW])
    assert read_intents(whole[:-3] + whole) == Intents((ROW,), (2,))


@pytest.mark.parametrize("flaw", [b"btc", b"buc"])
def test_changed_byte_is_seen(flaw: bytes) -> None:
    """The checksum catches a changed letter, and only that."""
    found = read_intents(intent_lines([ROW]).replace(b"btc", flaw))
    assert len(found.rows) == (flaw == b"btc")


def test_line_with_a_right_checksum_and_no_row_is_no_intent() -> None:
    """What cannot be taken for a row of the state is not taken for one."""
    assert read_intents(intent_lines([{"pair": "BTC/USD"}])) == Intents()


# --- what counts -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "counts"),
    [
        ({"generation": "2", "sends": "0", "rule_state": "armed"}, True),
        ({"generation": "1", "sends": "3", "rule_state": "placed"}, True),
        ({"generation": "2", "sends": "1", "rule_state": "intended"}, True),
        ({"generation": "2", "sends": "1", "rule_state": "placed"}, False),
        ({"generation": "2", "sends": "1", "rule_state": "uncertain"}, False),
        ({"generation": "2", "sends": "2", "rule_state": "intended"}, False),
        ({"generation": "3", "sends": "0", "rule_state": "armed"}, False),
        ({"generation": "two", "sends": "0", "rule_state": "armed"}, False),
    ],
)
def test_intent_counts_only_if_it_is_newer_than_its_row(
    known: dict[str, str], *, counts: bool
) -> None:
    """A later send or generation counts; a row that knows the outcome, or more, stays."""
    row = {"id": "btc", "last_checked": "x", **known}
    after = with_intents({"btc": row}, Intents((ROW,)))
    assert after == {"btc": {**row, **ROW} if counts else row}


def test_intent_of_a_rule_that_the_state_lacks_counts() -> None:
    """A state file that was lost does not take the order under way with it; the last line holds."""
    later = {**ROW, "deadline": "later"}
    assert with_intents({}, Intents((ROW, later))) == {"btc": later}


def test_waiting_rows_are_those_that_damage_may_speak_of() -> None:
    """Rows that have fired, or sleep, are beyond doubt."""
    words = ("armed", "refused", "placed", "closed", "disarmed", "uncertain")
    assert may_have_fired({w: {"rule_state": w} for w in words}) == ("armed", "refused")


# --- the file --------------------------------------------------------------------------------


def test_what_was_appended_is_found_by_the_next_run(journal: IntentJournal, tmp_path: Path) -> None:
    """A line is on the disk when `append` returns, for a program that knows nothing of this one."""
    assert journal.append(intent_lines([ROW]))
    assert IntentJournal(tmp_path / "state.csv", Disk()).load().rows == (ROW,)


def test_cleared_journal_says_nothing(journal: IntentJournal) -> None:
    """After `clear` only what is appended later counts."""
    journal.append(intent_lines([ROW]))
    journal.clear()
    journal.append(intent_lines([{**ROW, "id": "eth"}]))
    assert [row["id"] for row in journal.load().rows] == ["eth"]


def test_nothing_is_appended_before_the_state_was_written(tmp_path: Path) -> None:
    """A journal of an earlier run is not written on; its lines stay until they are cleared."""
    journal = IntentJournal(tmp_path / "state.csv", Disk())
    journal.keep()
    assert journal.load() == Intents()
    journal.path.write_bytes(intent_lines([ROW]))
    assert not journal.append(intent_lines([ROW]))
    assert journal.load().rows == (ROW,)


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
    assert journal.load().rows == (ROW,)
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
    assert journal.load().rows == (ROW,)
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
    assert journal.load().rows == (ROW,)


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
