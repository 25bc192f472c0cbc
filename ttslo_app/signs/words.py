"""What is said of whether the program lives and works: beats, and what keeps a snapshot away.

Pure: a function for each sentence, a constant where it is always the same. What it must never do:
call a program alive of which nobody knows that it is.
"""

from __future__ import annotations

from collections.abc import Sequence

from krakenlink.foreign import some_of
from krakenlink.numbers import readable
from ttslo_app.face.snapshot import Row, Snapshot, span
from ttslo_app.messages import Kind, Sentence, of_row

NOT_BEGUN = "it has not begun to watch yet"
_LONGEST_NAMES = 5


def beat(snapshot: Snapshot) -> Sentence:
    """Say that the program lives, how many rows are armed, and how far the nearest one is."""
    count = snapshot.armed
    rows = "1 row is armed" if count == 1 else f"{count} rows are armed"
    placed = f", {_stops(len(snapshot.orders))}" if snapshot.orders else ""
    mark = "" if snapshot.mode == "LIVE" else f"{snapshot.mode}: "
    text = f"{mark}alive for {span(snapshot.written_at - snapshot.started_at)}: {rows}{placed}"
    if (nearest := snapshot.nearest) is not None:
        text = f"{text}; nearest {nearest.id[:40]}: {_standing(nearest)}"
    if blind := snapshot.blind:
        text = f"{text}; NO PROVEN PRICE for {_named(blind)}"
    return Sentence(Kind.STANDING, "WARNING" if blind else "INFO", text)


def beat_row(row: Row) -> Sentence:
    """Say how far a row of a dry run is from its threshold."""
    return of_row(Kind.STANDING, "INFO", row.id, f"{row.state}, {_standing(row)}")


def _standing(row: Row) -> str:
    condition = f"{row.pair} {row.condition}"
    if row.price is None or row.away is None:
        return f"{condition}, no price yet"
    proof = "" if row.age is None else f", proven {row.age:.1f} s ago"
    return f"{condition}, now {readable(row.price)} ({row.away:.2f} % away{proof})"


def _named(names: Sequence[str]) -> str:
    return some_of([name[:40] for name in names], _LONGEST_NAMES)


def _stops(count: int) -> str:
    return "1 stop stands" if count == 1 else f"{count} stops stand"


def not_written(path: str, error: object) -> Sentence:
    """Say, once, that nobody can look at the program from outside."""
    text = (
        f"{path} cannot be written ({error}): `ttslo status` is blind, prices and orders go "
        "on. Free the disk or mend the folder"
    )
    return Sentence(Kind.DISK, "WARNING", text)


def written_again(path: str) -> Sentence:
    """Say that it is over."""
    return Sentence(Kind.DISK, "INFO", f"{path} can be written again")


def of_another(path: str, pid: int) -> Sentence:
    """Say that another program of the same kind tells of itself there already."""
    text = (
        f"{path} belongs to process {pid}, of the same state: `ttslo status` shows that one. "
        "Give this one a state file of its own with --state"
    )
    return Sentence(Kind.START, "WARNING", text)


def no_terminal(why: str) -> Sentence:
    """Say that the table cannot be drawn here."""
    text = f"--live draws its table on a terminal, and {why}: plain lines follow instead"
    return Sentence(Kind.START, "INFO", text)


NEEDS_RICH = "--live needs the library rich: pip install rich"


def loop_hangs(seconds: float) -> str:
    """Return that no price is looked at."""
    return f"no price has been looked at for {seconds:.0f} s"


def orders_hang(seconds: float) -> str:
    """Return that the order thread does not come round, or has ended."""
    return f"the order thread has not turned for {seconds:.0f} s"
