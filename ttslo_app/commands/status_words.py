"""What `ttslo status` says where it finds no program, or not quite the one that was asked for.

Pure. What it must never do: say that nothing runs where that is not known.
"""

from __future__ import annotations

from collections.abc import Sequence

from krakenlink.foreign import some_of
from ttslo_app.face.snapshot import Snapshot

_LONGEST_NAMES = 5


def nothing_there(state: str, others: Sequence[str]) -> str:
    """Return what it means that no program has told of itself."""
    text = f"NOT RUNNING: no program has ever told of itself beside {state}"
    if others:
        names = some_of([name[:40] for name in others], _LONGEST_NAMES)
        return f"{text}; beside others here: {names}. Name one of them with --state"
    return f"{text}. Start ttslo, or name the state file of the one that runs with --state"


def not_readable(path: str, why: object) -> str:
    """Return what it means that a snapshot cannot be read."""
    return f"NOT KNOWN: {path} cannot be read: {why}"


def also_runs(other: Snapshot) -> str:
    """Return that a second program runs with the same state."""
    return (
        f"A second program runs with the same state: {other.mode}, process {other.pid} on "
        f"{other.host}, {other.armed} armed"
    )


def other_config(snapshot: Snapshot, config: str) -> str:
    """Return that the program does not have the config that was asked for."""
    return f"This program works with {snapshot.config}, not with {config}"
