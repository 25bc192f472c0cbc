"""The whole program whose files are meddled with while it runs: one order, or a word."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from program_process import Scene, wait_until

from fake_kraken import FakeKraken

pytestmark = pytest.mark.skipif(os.name == "nt", reason="there nobody can take a locked file away")
LOCKS = ("state.csv.lock", "config.csv.lock")


def test_removed_lock_files_let_no_second_program_in(exchange: FakeKraken, tmp_path: Path) -> None:
    """Somebody takes them for left-overs; the first has them again before a second can start."""
    scene = Scene(exchange, tmp_path)
    with scene.run() as first:
        scene.wait_for_stream(first)
        for name in LOCKS:
            (tmp_path / name).unlink()
        wait_until(lambda: all((tmp_path / name).exists() for name in LOCKS), "they are back")
        with scene.run() as second:
            assert second.wait() == 1, second.output
            assert f"process {first.pid}" in second.output
        scene.cross()
        scene.wait_for_files(first)
        assert exchange.placed_count() == 1


def test_program_that_has_lost_its_files_places_nothing_more(
    exchange: FakeKraken, tmp_path: Path
) -> None:
    """A second one that was let in goes on alone: the first says so, and ends with 1."""
    scene = Scene(exchange, tmp_path)
    with scene.run() as first:
        scene.wait_for_stream(first)
        first.send(signal.SIGSTOP)  # as a machine that is asleep
        for name in LOCKS:
            (tmp_path / name).unlink()
        with scene.run() as second:
            second.wait_for("btc: armed")
            scene.cross()
            scene.wait_for_files(second)
            first.send(signal.SIGCONT)
            assert first.wait() == 1, first.output
            assert "this one ENDS" in first.output
            assert f"process {second.pid}" in first.output
            assert exchange.placed_count() == 1, first.output
            assert not second.has_ended
            assert scene.is_written()
