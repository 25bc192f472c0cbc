"""Whether somebody is just saving config.csv: half of it must not count as all.

A program that runs takes an edit once nobody has written for a while, and goes on with what it has
until then. One that starts has nothing, so it waits, where the file lacks rows that an earlier run
has armed. What must never happen here: that a start is held up by a file that lies there quietly,
or for long by one that never does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ttslo_app.clocks import outlasts
from ttslo_app.rules.rule import RulesById
from ttslo_app.store.disk import Stamp
from ttslo_app.store.manager import ConfigManager

# Seconds without a change, after which a file that was being written is taken for whole. They are
# not made shorter by looking more often: who writes in pieces pauses between them.
QUIET = 0.5
# Where a file system tells when a file was written to the second, or to two of them, an edit of the
# same length in that time cannot be told from the one before; only afterwards it can.
_QUIET_TO_THE_SECOND, _SECOND = 2.0, 10**9
# Seconds between two looks at the start, and how many there are at most: 5 s in all.
_GLANCE, _MOST_GLANCES = 0.05, 100


def quiet_of(stamp: Stamp | None) -> float:
    """Return the seconds without a change after which a version of a file is taken for whole."""
    is_to_the_second = stamp is not None and not stamp.mtime_ns % _SECOND
    return _QUIET_TO_THE_SECOND if is_to_the_second else QUIET


def is_being_written(stamp: Stamp, now: float) -> bool:
    """Tell whether a version of a file is so young that more may be to come.

    Args:
        stamp: The version.
        now: By this machine's clock, by which files are dated, in seconds since 1970.
    """
    return abs(now - stamp.mtime_ns / _SECOND) < quiet_of(stamp)


def stamp_of(manager: ConfigManager) -> Stamp | None:
    """Return what tells one version of config.csv from the next, None where there is no file."""
    try:
        return manager.config_stamp()
    except FileNotFoundError:
        return None


def wait_for_whole_file(
    manager: ConfigManager,
    waiting: Callable[[], Sequence[str]],
    wall: Callable[[], float],
    pause: Callable[[float], bool],
) -> None:
    """Wait until config.csv is there to its end, as far as anybody can tell. Blocks.

    Args:
        manager: The files.
        waiting: Returns the rows that wait for their crossing since an earlier run.
        wall: This machine's clock, by which files are dated.
        pause: Waits so many seconds; True ends the wait.
    """

    def is_cut_off() -> bool:
        # Or it is gone, as while an editor replaces it.
        stamp = stamp_of(manager)
        is_whole = stamp is not None and not is_being_written(stamp, wall())
        return not is_whole and _lacks(manager, waiting())

    outlasts(_MOST_GLANCES, _GLANCE, is_cut_off, pause)


def _lacks(manager: ConfigManager, rule_ids: Sequence[str]) -> bool:
    if not rule_ids:
        return False
    try:
        rules = RulesById(manager.read_config().rows)
    except OSError:
        return True
    return any(rules.get(rule_id) is None for rule_id in rule_ids)
