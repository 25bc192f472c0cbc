"""The whole program whose files are meddled with while it runs: one order, or a word."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path

import pytest

from fake_kraken import FakeKraken
from tests.kits.chaos.arena import Arena, side_by_side
from tests.kits.common.odd_files import ODD
from tests.kits.program.live_program import wait_until as wait_for
from tests.kits.program.program_process import Scene, wait_until

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


# --- config.csv becomes something that is no file ------------------------------------------------


def config_is(kind: str, pit: Arena) -> None:
    """Somebody puts it in the place of config.csv while the program runs."""
    file = pit.folder / "config.csv"
    with pit.run() as program:
        file.unlink()
        ODD[kind](file)
        pit.cross()
        pit.wait_for_order()
        pit.ends_with_order(program)
        log = pit.folder / "logs.csv"
        wait_for(lambda: f"a {kind}" in log.read_text(encoding="utf-8"), "it is said")
        pit.never_again(0.3)
        file.rmdir() if kind == "folder" else file.unlink()
        pit.write(pit.row)
        (order,) = pit.exchange.orders
        wait_for(lambda: order["txid"] in file.read_text(encoding="utf-8"), "it is noted")
        pit.never_again(0.3)


def test_config_that_becomes_no_file_holds_nothing_up(tmp_path: Path) -> None:
    """The rows stay as they were, and the order leaves; once the file is back it is told of it."""
    side_by_side({kind: partial(config_is, kind) for kind in ODD}, tmp_path)
