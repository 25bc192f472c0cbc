"""The budget beside a sliding window: any number of processes, any moments."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from krakenlink.stream.budget import ConnectBudget
from krakenlink.stream.settings import FeedSettings
from tests.kits.common.examples import many

MOST, WINDOW = 3, 60.0
FEW = FeedSettings(budget_attempts=MOST, budget_window=WINDOW)


@settings(max_examples=many(40))
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 30)), max_size=20))
def test_no_window_has_more_attempts_than_are_allowed(calls: list[tuple[int, int]]) -> None:
    """Whoever asks: an attempt is had where the window has room, else the wait is exact."""
    with TemporaryDirectory() as folder:
        budgets = [ConnectBudget(FEW, Path(folder) / "new") for _ in range(3)]
        now, taken = 1_000_000.0, list[float]()
        for who, pause in calls:
            now += pause
            recent = [at for at in taken if now - at < WINDOW]
            wait = budgets[who].reserve(now)
            if len(recent) < MOST:
                assert wait == 0
                taken.append(now)
            else:
                assert wait == recent[-MOST] + WINDOW - now > 0


@settings(max_examples=many(40))
@given(st.lists(st.integers(-90, 40), max_size=20))
def test_clock_that_is_set_locks_nobody_out_for_longer_than_the_window(steps: list[int]) -> None:
    """Nor does it make more attempts possible than one window's each time."""
    with TemporaryDirectory() as folder:
        budget, now = ConnectBudget(FEW, Path(folder)), 1_000_000.0
        for step in steps:
            now += step
            wait = budget.reserve(now)
            assert 0 <= wait <= WINDOW
            if wait:
                now += wait
                assert budget.reserve(now) == 0


@pytest.mark.parametrize(("later", "wait"), [(WINDOW - 0.001, 0.001), (WINDOW, 0.0)])
def test_attempt_is_forgotten_when_it_is_as_old_as_the_window(
    tmp_path: Path, later: float, wait: float
) -> None:
    """To the millisecond, with the file and without."""
    (tmp_path / "file").write_text("", encoding="ascii")
    for folder in (tmp_path / "sound", tmp_path / "file"):
        budget = ConnectBudget(FEW, folder)
        assert [budget.reserve(1000.0) for _ in range(MOST)] == [0, 0, 0]
        assert budget.reserve(1000.0 + later) == pytest.approx(wait, abs=1e-6)


def test_ledger_holds_one_window_and_no_more(tmp_path: Path) -> None:
    """However long the program runs, the file stays small; its folder is made where it lacks."""
    folder = tmp_path / "a" / "b"
    budget = ConnectBudget(FEW, folder)
    for minute in range(20):
        assert budget.reserve(minute * WINDOW) == 0
    assert (folder / "connection-attempts").read_text(encoding="ascii") == "1140.000\n"


def test_wait_takes_no_attempt(tmp_path: Path) -> None:
    """Asking often prolongs nothing."""
    budget = ConnectBudget(FEW, tmp_path)
    assert [budget.reserve(1000.0 + n) for n in range(3)] == [0, 0, 0]
    waits = [budget.reserve(1010.0 + n) for n in range(5)]
    assert waits == [50.0, 49.0, 48.0, 47.0, 46.0]
    assert budget.reserve(1060.0) == 0
