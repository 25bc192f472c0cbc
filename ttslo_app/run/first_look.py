"""config.csv at the start, while somebody is just saving it: half of it must not count as all.

A program that runs takes an edit once nobody has written for a while, and goes on with what it has
until then. One that starts has nothing, so it waits, where the file lacks rows that an earlier run
has armed. What must never happen here: that a start is held up by a file that lies there quietly,
or for long by one that never does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ttslo_app.rules.rule import RulesById
from ttslo_app.run.files import is_being_written, stamp_of
from ttslo_app.store.manager import ConfigManager

# Seconds between two looks, and how many there are at most: 5 s in all.
_GLANCE, _MOST_GLANCES = 0.05, 100


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
    for _ in range(_MOST_GLANCES):
        # Or it is gone, as while an editor replaces it.
        if (stamp := stamp_of(manager)) is not None and not is_being_written(stamp, wall()):
            return
        if not _lacks(manager, waiting()) or pause(_GLANCE):
            return


def _lacks(manager: ConfigManager, rule_ids: Sequence[str]) -> bool:
    if not rule_ids:
        return False
    try:
        rules = RulesById(manager.read_config().rows)
    except OSError:
        return True
    return any(rules.get(rule_id) is None for rule_id in rule_ids)
