"""The real program on a disk that is full or may not be written: one order, and told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fake_kraken import FakeKraken
from tests.kits.crashes.crash_scenes import (
    NORMAL,
    assert_one_order,
    assert_told,
    parts_of,
    restart,
    side_by_side,
)
from tests.kits.program.program_process import Scene, wait_until

CANNOT = " CANNOT BE WRITTEN: "


def fill_disk_at(number: int, file: str) -> Callable[[Path], None]:
    """Return the scenario of one write to `file` that fails for want of space.

    Nobody needs to know of the journal of intents: state.csv is written instead.
    """
    told = [] if file == "intents" else [CANNOT, " can be written again"]

    def scenario(folder: Path) -> None:
        with FakeKraken() as exchange:
            scene = Scene(exchange, folder)
            with scene.run(plan={"full_at_write": number}) as program:
                scene.wait_for_stream(program)
                scene.cross()
                scene.wait_for_files(program)
                for text in told:
                    program.wait_for(text)
                assert program.end() == 0
                assert_told(program, told)
            assert_one_order(scene)

    return scenario


FILLED = {
    f"{n} {name}": fill_disk_at(n, name.partition(" ")[0])
    for n, name in enumerate((m for m in NORMAL if " " in m), 1)
}


@pytest.mark.parametrize("names", parts_of(FILLED), ids=lambda names: names[0])
def test_disk_that_is_full_at_any_write_is_one_order(tmp_path: Path, names: list[str]) -> None:
    """A write that fails is said and made up for, and the order is placed once."""
    side_by_side({name: FILLED[name] for name in names}, tmp_path)


def test_nothing_is_sent_while_its_intent_cannot_be_written(
    exchange: FakeKraken, tmp_path: Path
) -> None:
    """With a full disk no order goes out, loudly, until it can be written down."""
    scene = Scene(exchange, tmp_path)
    with scene.run() as program:
        scene.wait_for_stream(program)
        (tmp_path / "disk.full").touch()
        scene.cross()
        program.wait_for("The state file" + CANNOT)
        program.wait_for("NO ORDER is placed before it can be")
        assert scene.sent == []
        moments = len(program.moments)
        wait_until(lambda: len(program.moments) > moments + 2, "it goes on trying")
        assert program.output.count(CANNOT) == 1
        (tmp_path / "disk.full").unlink()
        scene.wait_for_files(program)
    assert_one_order(scene)


def test_state_that_may_not_be_replaced_holds_no_order_back(
    exchange: FakeKraken, tmp_path: Path
) -> None:
    """The journal is enough to protect, even through a kill; that state.csv lags is told."""
    scene = Scene(exchange, tmp_path)
    with scene.run() as program:
        scene.wait_for_stream(program)
        (tmp_path / "disk.readonly").touch()
        scene.cross()
        program.wait_for("; order O")
        program.wait_for("The state file" + CANNOT)
        program.kill()
    assert scene.state()["rule_state"] == "intended"
    (tmp_path / "disk.readonly").unlink()
    assert "ended while its order was under way" in restart(scene)


def test_facts_that_cannot_be_written_survive_in_the_intent(
    exchange: FakeKraken, tmp_path: Path
) -> None:
    """A disk that fills up while the order is under way, and a kill: the order is found again."""
    scene = Scene(exchange, tmp_path)
    with scene.run() as program:
        scene.wait_for_stream(program)
        scene.break_next_order({"name": "delayed_reply", "seconds": 0.3})
        scene.cross()
        assert exchange.wait_for(lambda e: e.placed_count() == 1)
        (tmp_path / "disk.full").touch()
        program.wait_for("config.csv" + CANNOT)
        program.kill()
    assert scene.state()["rule_state"] == "intended"
    (tmp_path / "disk.full").unlink()
    assert "ended while its order was under way" in restart(scene)
