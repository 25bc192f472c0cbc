"""Connection attempts counted across processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from krakenlink.stream.budget import ConnectBudget, own_budget
from krakenlink.stream.settings import FeedSettings

FEW = FeedSettings(budget_attempts=3, budget_window=600.0)


def test_budget_counts_attempts_of_all_processes(tmp_path: Path) -> None:
    """What one has used up the other cannot have, until the first attempt is old enough."""
    mine, other = ConnectBudget(FEW, tmp_path), ConnectBudget(FEW, tmp_path)
    assert [mine.reserve(1000.0), other.reserve(1010.0), mine.reserve(1020.0)] == [0, 0, 0]
    assert other.reserve(1030.0) == 570.0
    assert other.reserve(1600.0) == 0
    assert mine.reserve(1601.0) == 9.0


@pytest.mark.parametrize("text", ["", "rubbish\n\x00\n", "nan\n1e999\n1000\n\n", "1000"])
def test_budget_survives_a_damaged_ledger(tmp_path: Path, text: str) -> None:
    """Lines that cannot be read are left out; counting goes on."""
    (tmp_path / "connection-attempts").write_text(text, encoding="utf-8")
    budget = ConnectBudget(FEW, tmp_path)
    assert budget.reserve(1000.0) == 0
    assert (tmp_path / "connection-attempts").read_text(encoding="ascii").endswith("1000.000\n")


def test_budget_without_a_file_counts_for_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A folder that cannot be is one WARNING, and the own attempts still count."""
    (tmp_path / "file").write_text("in the way", encoding="ascii")
    budget = ConnectBudget(FEW, tmp_path / "file")
    assert [budget.reserve(1000.0) for _ in range(3)] == [0, 0, 0]
    assert budget.reserve(1000.0) == 600.0
    (record,) = caplog.records
    assert "TTSLO_CACHE_DIR" in record.getMessage()


@pytest.mark.parametrize("error", [NotImplementedError("none"), MemoryError(), OSError(38, "x")])
def test_budget_without_locks_counts_for_itself(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    """A file system without locks, or a full memory, stops no feed, and is said once."""

    def refuse(*_: object, **__: object) -> Any:
        raise error

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    budget = ConnectBudget(FeedSettings(budget_attempts=2), tmp_path)
    waits = [budget.reserve(1000.0 + second) for second in range(3)]
    assert waits[:2] == [0.0, 0.0]
    assert waits[2] > 0
    assert [one[:39] for one in caplog.messages] == ["Cannot count connection attempts across"]


def test_budget_takes_a_clock_that_was_set_back_for_now(tmp_path: Path) -> None:
    """Attempts in the future count as fresh ones; they do not lock the feed out for years."""
    budget = ConnectBudget(FEW, tmp_path)
    assert [budget.reserve(9e9) for _ in range(3)] == [0, 0, 0]
    assert budget.reserve(1000.0) == 600.0
    assert budget.reserve(1601.0) == 0


def test_server_on_this_machine_needs_no_budget() -> None:
    """It bans nobody, unless somebody wants to see it counted."""
    assert own_budget("ws://127.0.0.1:8080/v2", FEW) is None
    assert own_budget("wss://ws.kraken.com/v2", FEW) is not None
    counted = FeedSettings(budget_on_loopback=True)
    assert own_budget("ws://localhost:8080/v2", counted) is not None


@pytest.mark.parametrize("url", ["redis://127.0.0.1:6379/r1", "rediss://relay.example:6379/r1,r2"])
def test_reader_of_a_relay_needs_no_budget(url: str) -> None:
    """It is the relay that connects to Kraken, and counts; a broker bans nobody."""
    assert own_budget(url, FEW) is None
    assert own_budget(url, FeedSettings(budget_on_loopback=True)) is None
