"""While somebody saves config.csv: when it is whole, and a start that loses no armed row by it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from config import ConfigManager
from tests.kits.program.caller_kit import HEADER, ROW, StandIn, manager_in
from ttslo import TTSLO
from ttslo_app.commands.cli import _take_up
from ttslo_app.orders.life import RuleState
from ttslo_app.run.saving import is_being_written, quiet_of, stamp_of, wait_for_whole_file
from ttslo_app.store.disk import Stamp

WHOLE = f"{HEADER}\n{ROW}\n"


@pytest.fixture
def manager(tmp_path: Path) -> ConfigManager:
    """Hand out the files, with one rule in config.csv."""
    return manager_in(tmp_path)


class Saving:
    """Somebody who writes the rest of config.csv at a look of his own choice.

    Args:
        manager: The files.
        begin: What is there at first; None: nothing.
        looks: After how many pauses all of it is there.
    """

    def __init__(self, manager: ConfigManager, begin: str | None, looks: int = 3) -> None:
        self.path, self.pauses = Path(manager.config_file), 0
        self._looks, self._ends = looks, False
        if begin is None:
            self.path.unlink()
        else:
            self.path.write_text(begin, encoding="utf-8")
        self.moment = 1_800_000_000.25
        self._date()

    def _date(self) -> None:
        """Let the file be as old as a test says, whatever time it is and however slow all is."""
        if self.path.exists():
            os.utime(self.path, (self.moment, self.moment))

    def wall(self) -> float:
        """Return the time: a moment after the last byte."""
        return self.moment + 0.1

    def pause(self, seconds: float) -> bool:
        """Let time pass, in which the file grows."""
        assert seconds < 0.5
        self.pauses += 1
        if self.pauses == self._looks:
            self.path.write_text(WHOLE, encoding="utf-8")
        self._date()
        return self._ends

    def end_the_program(self) -> None:
        """Let each pause say that the program is to end."""
        self._ends = True


def armed(rule_id: str = "btc") -> Callable[[], list[str]]:
    """Return who says which rows wait since an earlier run."""
    return lambda: [rule_id]


@pytest.mark.parametrize(
    "begin",
    [None, "", HEADER, f"{HEADER}\n", WHOLE[:-6], f"{HEADER}\n{ROW.removesuffix(',5.0,true')}"],
    ids=["gone", "emptied", "header", "header line", "cut in its last cell", "cut"],
)
def test_file_that_is_being_written_is_waited_for(
    manager: ConfigManager, begin: str | None
) -> None:
    """It lacks a row that was armed: a moment later that is there."""
    saving = Saving(manager, begin)
    wait_for_whole_file(manager, armed(), saving.wall, saving.pause)
    assert saving.pauses == 3


def test_file_that_has_all_armed_rows_is_waited_for_by_nobody(manager: ConfigManager) -> None:
    """Whatever else may follow is read when it is there, and so is a row that was switched off."""
    for text in (WHOLE, WHOLE.replace("true", "false"), WHOLE.replace("50000", "60000")):
        saving = Saving(manager, text)
        wait_for_whole_file(manager, armed(), saving.wall, saving.pause)
        assert saving.pauses == 0


def test_file_that_lies_there_quietly_is_what_it_is(manager: ConfigManager) -> None:
    """A row that its user took away yesterday, or half a second ago, is gone."""
    saving = Saving(manager, f"{HEADER}\n")
    for age in (0.5, 86_400.0, -86_400.0):
        wait_for_whole_file(manager, armed(), lambda age=age: saving.moment + age, saving.pause)  # type: ignore[misc]  # each its own
        assert saving.pauses == 0


def test_disk_that_tells_the_time_to_the_second_is_given_two(manager: ConfigManager) -> None:
    """The file may have been written at any moment of its second."""
    saving = Saving(manager, f"{HEADER}\n")
    saving.moment = float(int(saving.moment))
    saving._date()
    wait_for_whole_file(manager, armed(), lambda: saving.moment + 1.9, saving.pause)
    assert saving.pauses == 3


def test_version_is_young_on_either_side_of_the_clock(manager: ConfigManager) -> None:
    """A file of another machine may be dated ahead; a whole second may stand for two."""
    stamp = stamp_of(manager)
    assert isinstance(stamp, Stamp)
    for seconds, quiet in ((1000.25, 0.5), (1000.0, 2.0)):
        dated = stamp._replace(mtime_ns=int(seconds * 10**9))
        assert quiet_of(dated) == quiet
        for age, is_young in ((0.9 * quiet, True), (quiet, False)):
            assert is_being_written(dated, seconds + age) is is_young
            assert is_being_written(dated, seconds - age) is is_young


def test_file_that_is_gone_has_no_version(manager: ConfigManager) -> None:
    """And is given the shorter time to come back."""
    Path(manager.config_file).unlink()
    assert stamp_of(manager) is None
    assert quiet_of(None) == 0.5


def test_first_start_waits_for_nothing(manager: ConfigManager) -> None:
    """No row was armed before, so none can be lost."""
    saving = Saving(manager, f"{HEADER}\n")
    wait_for_whole_file(manager, list, saving.wall, saving.pause)
    assert saving.pauses == 0


@pytest.mark.parametrize("begin", [None, f"{HEADER}\n"])
def test_wait_has_an_end(manager: ConfigManager, begin: str | None) -> None:
    """A file that is written for ever, or stays away, holds up a start for five seconds."""
    saving = Saving(manager, begin, looks=-1)
    wait_for_whole_file(manager, armed(), saving.wall, saving.pause)
    assert saving.pauses == 100


def test_signal_ends_the_wait(manager: ConfigManager) -> None:
    """The program is to end, and need not know any more what is in the file."""
    saving = Saving(manager, None)
    saving.end_the_program()
    wait_for_whole_file(manager, armed(), saving.wall, saving.pause)
    assert saving.pauses == 1


def test_row_that_was_armed_fires_after_a_start_in_the_middle_of_a_save(
    manager: ConfigManager,
) -> None:
    """Its threshold was crossed while the program was down: taken for new it would be refused."""
    kraken = StandIn()
    first = TTSLO(manager, kraken, kraken)
    assert first.validate_and_load_config()
    first.save_state()
    kraken.price = 60000
    again = TTSLO(manager, kraken, kraken)
    saving = Saving(manager, f"{HEADER}\n")
    again.clocks = replace(again.clocks, wall=saving.wall)
    again.stopping.wait = saving.pause  # type: ignore[method-assign,assignment]  # time is the test's
    assert _take_up(again)
    assert saving.pauses == 3
    again.run_once()
    assert len(kraken.orders) == 1
    assert again.worker.life_of("btc").state is RuleState.PLACED
