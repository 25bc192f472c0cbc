"""Signs of life of a running program: the snapshot beside its state, and a word each hour.

All of it on a thread of its own, which reads what others replace whole and takes no lock of the
order thread. What it must never do: hold up an order, sync a disk, or end anything because it
cannot write.
"""

from __future__ import annotations

import argparse
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from krakenlink import VERSION
from krakenlink.machine import feed_clock, read_plain, replace_file
from ttslo_app.face.snapshot import EVERY, OLD, Snapshot, Unreadable, decoded, encoded
from ttslo_app.face.voice import Ear
from ttslo_app.messages import tell
from ttslo_app.run.words import place_of
from ttslo_app.signs import words
from ttslo_app.signs.snapshots import About, Teller, is_alive, snapshot_path
from ttslo_app.store.disk import Disk, sweep

if TYPE_CHECKING:
    from ttslo_app.run.program import Program

_log = logging.getLogger(__name__)

# Seconds. After an event a snapshot follows, but a flood of them gets no flood of snapshots.
_SOON, _TURN = 0.2, 0.25
# Whoever follows, and is looked at, sees a price at most so long after it came.
_QUICK = 0.25
# Taking a snapshot may take a part of the time at most, however many rows there are.
_SHARE = 20
# A dry run tells so many rows at each beat.
_MOST_TOLD = 20
_LITTER = 60.0
_UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def add_flags(add: Callable[..., object]) -> None:
    """Add what a user may choose, by the `add_argument` of a parser."""
    add("--beat", type=beat_of, default=3600.0, metavar="TIME",
        help="how often to say that the program lives, such as 30min; 0: never (default: 1h)",
    )  # fmt: skip
    add("--live", action="store_true", help="draw a table of rows and stops; needs rich")


def beat_of(text: str) -> float:
    """Return the seconds of a `--beat`, such as `3600`, `90s`, `30min` or `1h`; 0 is off.

    Raises:
        argparse.ArgumentTypeError: If it is none.
    """
    bare = text.strip().lower()
    digits = bare.rstrip("abcdefghijklmnopqrstuvwxyz ")
    unit = bare[len(digits) :].strip()
    try:
        seconds = float(digits) * (_UNITS[unit] if unit else 1.0)
    except (ValueError, KeyError):
        raise argparse.ArgumentTypeError(
            f"{text[:40]!r} is no length of time; write one such as 1h, 30min or 90, and 0 for off"
        ) from None
    if not 0 <= seconds < 1e9 or 0 < seconds < 1:
        raise argparse.ArgumentTypeError("a beat is at least 1 second apart; 0 is off")
    return seconds


class Follower(Protocol):
    """Who is handed each snapshot beside the file."""

    @property
    def is_watched(self) -> bool:
        """Whether anybody looks just now; then snapshots are taken more often."""
        ...

    @property
    def url(self) -> str:
        """Where to look."""
        ...

    def show(self, snapshot: Snapshot) -> None:
        """Take the newest one. Must not block."""
        ...


class Signs:
    """Writes snapshots and says beats, on a thread of its own.

    Args:
        program: Of which.
        about: What does not change.
        path: Where snapshots go.

    Attributes:
        newest: The newest snapshot; None before the first.
        follower: Who is handed each of them, too.
    """

    def __init__(self, program: Program, about: About, path: Path) -> None:
        self._program = program
        self._about = about
        self._path = path
        self._ear = Ear(200)
        self._teller = Teller(program, about, time.time())
        self._stopping = threading.Event()
        self._may_write = True
        self._trouble = ""
        self._next_beat: float | None = None
        # Replaced whole, so that the screen may look.
        self.newest: Snapshot | None = None
        self.follower: Follower | None = None
        self._write_at = 0.0
        self._thread = threading.Thread(target=self._run, name="ttslo-signs", daemon=True)

    def follow(self, follower: Follower) -> None:
        """Hand each snapshot from now on to somebody, too."""
        self.follower = follower

    @contextmanager
    def over(self) -> Iterator[Signs]:
        """Tell of the program from here to the end of the `with`."""
        self._program.voice.listen(self._ear)
        self._look_for_another()
        self._thread.start()
        try:
            yield self
        finally:
            self._stopping.set()
            self._thread.join(1.0)  # a disk that hangs holds up nobody

    def _look_for_another(self) -> None:
        """Leave the file to another program that writes it; two would overwrite each other."""
        sweep(Disk(), self._path, _LITTER)
        with suppress(OSError, Unreadable):
            other = decoded(read_plain(self._path))
            is_of_now = other.phase != "stopped" and 0 <= time.time() - other.written_at < OLD
            if other.pid != os.getpid() and is_of_now and is_alive(other) is not False:
                self._may_write = False
                tell(self._program.say, words.of_another(str(self._path), other.pid))

    def _run(self) -> None:
        due = 0.0
        while not self._stopping.is_set():
            try:
                if self._hears():
                    due, self._write_at = min(due, feed_clock() + _SOON), 0.0
                if feed_clock() < due:
                    continue
                began = feed_clock()
                self._tell_all(began)
                is_watched = self.follower is not None and self.follower.is_watched
                every = _QUICK if is_watched else EVERY
                due = began + max(every, _SHARE * (feed_clock() - began))
            except Exception:  # noqa: BLE001 - signs of life must not end with the first surprise
                _log.exception("A sign of life could not be given; the program goes on")
                due = feed_clock() + EVERY
        with suppress(
            RuntimeError
        ):  # a dict that changed while it was read: the last word is short
            self._hears()
            self._teller.is_over = True
            last = self._teller.snapshot()
            self._show(last)
            self._write(last)

    def _hears(self) -> bool:
        """Take what was said, waiting a moment for it; tell whether there was anything."""
        said = self._ear.take(0.0 if self._stopping.is_set() else _TURN)
        has_heard = said is not None
        while said is not None:
            self._teller.hear(said)
            said = self._ear.take()
        return has_heard

    def _tell_all(self, began: float) -> None:
        snapshot = self.newest = self._teller.snapshot()
        self._show(snapshot)
        if began >= self._write_at:
            self._write_at = began + EVERY
            self._write(snapshot)
        self._beat(snapshot)

    def _show(self, snapshot: Snapshot) -> None:
        if self.follower is not None:
            self.follower.show(snapshot)

    def _write(self, snapshot: Snapshot) -> None:
        if not self._may_write or self._program.files.lost is not None:
            return
        try:
            replace_file(self._path, encoded(snapshot), is_durable=False)
        except OSError as error:
            if not self._trouble:
                self._trouble = str(error)
                why = error.strerror or type(error).__name__
                tell(self._program.say, words.not_written(str(self._path), why))
            return
        if self._trouble:
            self._trouble = ""
            tell(self._program.say, words.written_again(str(self._path)))

    def _beat(self, snapshot: Snapshot) -> None:
        """Say that the program lives, when it is time; a dry run says so at its start, too."""
        if not self._about.beat or snapshot.phase != "running":
            return
        now, is_dry = feed_clock(), self._about.mode == "DRY RUN"
        is_first = self._next_beat is None
        if self._next_beat is None:
            if is_dry and snapshot.armed and snapshot.nearest is None:
                return  # the first prices are on their way
            self._next_beat = now if is_dry else now + self._about.beat
        if now < self._next_beat:
            return
        self._next_beat = now + self._about.beat
        tell(self._program.say, words.beat(snapshot))
        rows = [row for row in snapshot.rows if row.state in ("armed", "blind")]
        # At the start each row has just had its line.
        for row in rows[:_MOST_TOLD] if is_dry and not is_first else ():
            tell(self._program.say, words.beat_row(row))


def signs_from(program: Program, options: argparse.Namespace) -> Signs:
    """Return what gives signs of life of a program, as the command line wants it."""
    where = place_of(program.kraken_api_readonly.base_url)
    about = About(
        program.mode,
        where,
        options.config,
        options.state,
        VERSION,
        options.beat,
        lambda: program.mode,
    )
    return Signs(program, about, snapshot_path(options.state, is_dry=program.dry_run))
