"""`ttslo status`: what the running program says of itself, from any terminal, without keys.

It reads the snapshot beside the state and nothing else: no network, no lock, no key. What it must
never do: call a program alive because a file says so.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from krakenlink.machine import feed_clock, read_plain
from ttslo_app.commands import status_words as words
from ttslo_app.face.snapshot import (
    EVERY,
    NOT_RUNNING,
    SCHEMA,
    Snapshot,
    Unreadable,
    Verdict,
    decoded,
    judged,
)
from ttslo_app.face.table import drawn, text_of
from ttslo_app.signs.snapshots import is_alive, snapshot_path
from ttslo_app.terminal import Parser, put

# Whoever writes to a pipe has no width; a line is cut there at this.
_WIDE = 120
_NARROWEST = 20
_CLEAR = "\x1b[H\x1b[2J\x1b[3J"
_LARGEST = 10_000_000  # bytes: what is larger was not written by this program
_END = ".status.json"


@dataclass(frozen=True, slots=True)
class Found:
    """What there is to tell.

    Attributes:
        verdict: What it means.
        snapshot: The newest; None where none can be read.
        notes: What else a person should know.
    """

    verdict: Verdict
    snapshot: Snapshot | None = None
    notes: tuple[str, ...] = ()


def parser() -> argparse.ArgumentParser:
    """Return the flags of the command."""
    made = Parser(
        prog="ttslo status",
        description="Tells what the running program says of itself. Needs no keys and no network.",
        epilog="Exit codes: 0 it runs and sees, 3 it does not run or gives no sign of life, 4 it "
        "runs and could miss a crossing, 2 a flag is wrong. With --store URL: who leads which "
        "account of a shared store; see `ttslo status --store URL --help`.",
    )
    add = made.add_argument
    add("--config", default="config.csv", help="the rules of that program (default: %(default)s)")
    add("--state", default="state.csv", help="its state file (default: %(default)s)")
    add("--follow", action="store_true", help="go on with each change, until Ctrl-C")
    add("--json", action="store_true", help="tell it as a JSON object, one a line")
    return made


def main(argv: Sequence[str], *, stop: threading.Event | None = None) -> int:
    """Run the command and return its exit code. Blocks where it follows.

    Args:
        argv: The arguments after `status`.
        stop: Set by whoever ends `--follow` without a signal.
    """
    if any(one.partition("=")[0] == "--store" for one in argv):
        from ttslo_app.hosts import store_status  # here, for who has none

        return store_status.main(argv)
    options = parser().parse_args(argv)
    found = look(options.config, options.state)
    _tell(found, options)
    if not options.follow:
        return found.verdict.code
    stop, told_at = stop or threading.Event(), feed_clock()
    try:
        while not stop.wait(EVERY / 4):
            newest = look(options.config, options.state)
            # A program that died writes nothing any more: that its age grows is told, too.
            is_due = feed_clock() - told_at >= EVERY and newest.verdict.code == NOT_RUNNING
            if (
                newest.snapshot != found.snapshot
                or newest.verdict.code != found.verdict.code
                or (is_due and not options.json)
            ):
                found, told_at = newest, feed_clock()
                _tell(found, options)
    except KeyboardInterrupt:
        return 0
    return found.verdict.code


def look(config: str, state: str, now: float | None = None) -> Found:
    """Return what a program with this config and state says of itself. Reads files.

    Args:
        config: As the main command takes it.
        state: Likewise.
        now: Seconds since 1970; None for this machine's clock.
    """
    moment = time.time() if now is None else now
    known: list[tuple[Verdict, Snapshot]] = []
    damaged: list[str] = []
    for is_dry in (False, True):
        path = snapshot_path(state, is_dry=is_dry)
        try:
            snapshot = _read(path)
        except FileNotFoundError:
            continue
        except (OSError, Unreadable) as error:
            why = getattr(error, "strerror", None) or error
            damaged.append(words.not_readable(str(path), why))
            continue
        known.append((judged(snapshot, moment, is_alive=is_alive(snapshot)), snapshot))
    if not known:
        text = damaged[0] if damaged else words.nothing_there(state, _others(state))
        return Found(Verdict(NOT_RUNNING, "not running", text), notes=tuple(damaged[1:]))
    # One that runs comes before one that does not, a real one before a rehearsal, then the newer.
    known.sort(key=lambda one: (one[0].code == NOT_RUNNING, _is_rehearsal(one), -one[1].written_at))
    (verdict, snapshot), others = known[0], known[1:]
    notes = [words.also_runs(other) for judge, other in others if judge.code != NOT_RUNNING]
    if Path(config).resolve() != Path(snapshot.config).resolve():
        notes.append(words.other_config(snapshot, config))
    return Found(verdict, snapshot, (*notes, *damaged))


def _is_rehearsal(one: tuple[Verdict, Snapshot]) -> bool:
    verdict, snapshot = one
    return verdict.code != NOT_RUNNING and snapshot.mode == "DRY RUN"


def _read(path: Path) -> Snapshot:
    data = read_plain(path, _LARGEST + 1)
    if len(data) > _LARGEST:
        raise Unreadable("it was not written by this program")
    return decoded(data)


def _others(state: str) -> list[str]:
    """Return the other state files of the folder beside which a program tells of itself."""
    folder = Path(state).parent
    try:
        names = sorted(path.name for path in folder.glob(f"*{_END}"))
    except OSError:
        return []
    return list(dict.fromkeys(name[: -len(_END)].removesuffix(".dry-run") for name in names))


def _tell(found: Found, options: argparse.Namespace) -> None:
    if options.json:
        put(json.dumps(as_object(found)))
        return
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    can_clear = is_terminal and os.name != "nt" and os.environ.get("TERM") not in (None, "dumb")
    width = max(_NARROWEST, shutil.get_terminal_size((_WIDE, 40)).columns)
    text = as_text(found, width if is_terminal or "COLUMNS" in os.environ else _WIDE, time.time())
    if options.follow and can_clear:
        text = _CLEAR + text
    put(text + "\n" if options.follow else text)


def as_text(found: Found, width: int, now: float) -> str:
    """Return what was found as a person reads it, in at most `width` columns."""
    if found.snapshot is None:
        return "\n".join([found.verdict.text, *found.notes])
    lines = drawn(found.snapshot, found.verdict, now, width)
    return "\n".join([text_of(lines), *found.notes])


def as_object(found: Found) -> dict[str, Any]:
    """Return what was found as `--json` tells it; docs/status.schema.json has its form."""
    return {
        "schema": SCHEMA,
        "status": found.verdict.word,
        "code": found.verdict.code,
        "text": found.verdict.text,
        "notes": list(found.notes),
        "snapshot": None if found.snapshot is None else asdict(found.snapshot),
    }
