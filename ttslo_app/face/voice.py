"""The voice: what the program says reaches screen and log without anybody waiting for either.

A terminal that was stopped with Ctrl-S, a pipe that nobody reads and a disk that hangs make a
write wait for as long as they like. The threads that watch prices and place orders must not wait
with it: they hand their words over, and one thread for the screen and one for the log file write
them down in order. Lines are folded on a terminal only: who reads a pipe or the log file wants each
line whole. What it must never do: make the caller wait, grow without bound, lose a letter, or raise
for a terminal that is gone. Until it is started, and after it was stopped, it writes on the
caller's thread.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import textwrap
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TextIO

from krakenlink.foreign import shown
from ttslo_app.clocks import clock_time, utc_iso
from ttslo_app.messages import Kind, Said

_log = logging.getLogger(__name__)

Job = Callable[[], object]

# A line takes about half a kilobyte: five megabytes at most for each of the two.
_MOST_LINES = 10_000
_LONGEST_LINE = 10_000
# The threads on which libraries talk to services: what they log there may hold an address.
LIBRARIES = "ttslo-notify"
# Between two tries on a stream that does not wait by itself until it can take more.
_NOT_NOW = 0.05


class Lane:
    """One thread that does what it is handed, in order.

    Args:
        name: Of the thread.
        lost: Called on that thread with how many jobs were thrown away, the oldest of those that
            waited, because there were too many.
        limit: How many may wait.
    """

    def __init__(self, name: str, lost: Callable[[int], object], limit: int = _MOST_LINES) -> None:
        self._name = name
        self._lost = lost
        self._limit = limit
        # Guards all below; wakes the thread for a job, and whoever waits until all is done.
        self._changed = threading.Condition()
        self._jobs: deque[Job] = deque()
        self._dropped = 0
        self._is_busy = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Take jobs from now on without doing them on the caller's thread."""
        with self._changed:
            if self._thread is None:
                # A daemon: the end of the program must not hang on a terminal that is stopped.
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()

    def put(self, job: Job) -> None:
        """Have `job` done. Never blocks once `start` was called; any thread."""
        with self._changed:
            if self._thread is not None:
                if len(self._jobs) >= self._limit:
                    self._jobs.popleft()
                    self._dropped += 1
                self._jobs.append(job)
                self._changed.notify_all()
                return
        job()

    def stop(self, deadline: float) -> bool:
        """Wait until all is done and end the thread; False if it is not by then.

        After False it goes on as before: jobs are taken and nobody waits for them.

        Args:
            deadline: In seconds of the monotonic clock.
        """
        with self._changed:
            thread = self._thread
            if thread is None:
                return True
            left = deadline - time.monotonic()
            if not self._changed.wait_for(lambda: not (self._jobs or self._is_busy), left):
                return False
            self._thread = None
            self._changed.notify_all()
        thread.join(max(0.1, deadline - time.monotonic()))
        return True

    def _run(self) -> None:
        me = threading.current_thread()
        while True:
            with self._changed:
                self._is_busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._jobs or self._thread is not me)
                if not self._jobs:
                    return
                job, dropped = self._jobs.popleft(), self._dropped
                self._dropped, self._is_busy = 0, True
            if dropped:
                self._do(partial(self._lost, dropped))
            self._do(job)

    def _do(self, job: Job) -> None:
        try:
            job()
        except Exception:  # noqa: BLE001 - a line that cannot be written must not silence the next
            _log.debug("A line could not be written", exc_info=True)


class Ear:
    """Hears what is said, for a thread of its own that takes it up when it likes.

    Whoever speaks never waits for it: where too much waits, the oldest is thrown away and counted.

    Args:
        limit: How much may wait.
    """

    def __init__(self, limit: int = 1_000) -> None:
        # Guards both below; wakes the thread that takes.
        self._changed = threading.Condition()
        self._waiting: deque[Said] = deque()
        self._missed = 0
        self._limit = limit

    def hear(self, said: Said) -> None:
        """Take a sentence. Never blocks; any thread."""
        with self._changed:
            if len(self._waiting) >= self._limit:
                self._waiting.popleft()
                self._missed += 1
            self._waiting.append(said)
            self._changed.notify()

    def take(self, timeout: float = 0.0) -> Said | None:
        """Return the oldest sentence that waits; None if there is none for `timeout` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting, timeout)
            return self._waiting.popleft() if self._waiting else None

    def missed(self) -> int:
        """Return how many were thrown away since this was last asked."""
        with self._changed:
            count, self._missed = self._missed, 0
        return count


class Voice:
    """What is said to a person: lines on the screen, lines of the log file, and who else listens.

    `screen` is the lane to the screen, for others who write there.

    Args:
        log: Writes one line of the log: level, message, and fields by name.
        show: Writes text to the screen; may block.
        form: Returns what was said as it is to be shown.
    """

    def __init__(
        self,
        log: Callable[..., object],
        show: Callable[[str], object],
        form: Callable[[Said], str] | None = None,
    ) -> None:
        self._write = log
        self._show = show
        self.form = form or as_text
        self._file = Lane("ttslo-log", self._lost_from_file)
        self.screen = Lane("ttslo-screen", self._lost_from_screen)
        self._ears: tuple[Ear, ...] = ()

    def start(self) -> None:
        """Let nobody wait for screen or log any more."""
        self._file.start()
        self.screen.start()

    def stop(self, timeout: float) -> None:
        """Write what is still to be written, for at most `timeout` seconds. Blocks."""
        deadline = time.monotonic() + timeout
        self._file.stop(deadline)
        self.screen.stop(deadline)

    def log(self, level: str, message: str, **fields: object) -> None:
        """Have a line written to the log file."""
        self._file.put(lambda: self._write(level, message, **fields))

    def show(self, text: str) -> None:
        """Have `text` written to the screen, a line end after it."""
        self.screen.put(lambda: self._show(text))

    def show_by(self, show: Callable[[str], object]) -> Callable[[str], object]:
        """Let `show` write to the screen from now on; return what did so before."""
        before, self._show = self._show, show
        return before

    def listen(self, ear: Ear) -> None:
        """Let `ear` hear all that is told from now on. To be called before threads speak."""
        self._ears = (*self._ears, ear)

    def tell(self, said: Said) -> None:
        """Let all who listen hear a sentence. Never blocks; any thread."""
        for ear in self._ears:
            ear.hear(said)

    def show_trouble(self, level: str, text: str) -> None:
        """Have something shown that is wrong with the log file itself."""
        self.show(self.form(Said(Kind.DISK, level, "", text, time.time())))

    def show_rows(self, texts: Sequence[str]) -> None:
        """Have many lines shown at once, each of which begins with the id of its row."""
        now = time.time()
        said = (Said(Kind.STANDING, "INFO", t.partition(":")[0], t, now) for t in texts)
        self.show("\n".join(map(self.form, said)))

    def _lost_from_file(self, count: int) -> None:
        text = f"{count} lines are missing here: the file could not be written for so long"
        self._write("WARNING", text)

    def _lost_from_screen(self, count: int) -> None:
        text = f"... {count} lines were not shown in time; the log file has them"
        self._show(self.form(Said(Kind.OTHER, "WARNING", "", text, time.time())))


# --- how it is shown -----------------------------------------------------------------------------


def as_text(said: Said) -> str:
    """Return what was said as a line for people: one line, whatever words of others are in it."""
    mark = "" if said.level.upper() == "INFO" else f"{said.level.upper()}: "
    return f"{clock_time(said.at)}  {mark}{shown(said.text, _LONGEST_LINE)}"


def as_json(said: Said) -> str:
    """Return what was said as one JSON object on one line, in ASCII, so that no screen harms it.

    `time` is ISO UTC, `row` is null where it is about none, `text` is cut where it is very long.
    """
    fields = {
        "time": utc_iso(said.at, zone="Z"),
        "level": said.level.upper(),
        "kind": str(said.kind),
        "row": said.row or None,
    }
    text = said.text
    while True:
        line = json.dumps({**fields, "text": text})
        if len(line) <= _LONGEST_LINE:
            return line
        text = f"{text[: len(text) * 2 // 3]}..."


def write_line(stream: TextIO | None, text: str) -> None:
    """Write a line to `stream`, past its buffer where it has one. May block. Never raises OSError.

    Control characters are shown and not obeyed, but for the ends of lines.

    A thread that waits inside a buffer holds its lock, and an interpreter that ends then aborts:
    it flushes the same buffer. Waiting in the system call underneath does no such harm.
    """
    if stream is None:  # a program without a console
        return
    text = "\n".join(shown(line, _LONGEST_LINE) for line in text.split("\n"))
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    # A terminal that is gone must not stop an order; a letter that it cannot show is written out.
    with suppress(OSError, ValueError):
        encoding = stream.encoding or "utf-8"
        if raw is None:
            fit = text.encode(encoding, "backslashreplace").decode(encoding)
            stream.write(fit + "\n")
            stream.flush()
            return
        stream.flush()
        line = (text + "\n").replace("\n", os.linesep)
        _write_all(raw.write, line.encode(encoding, "backslashreplace"))


def _write_all(write: Callable[[bytes], int | None], data: bytes) -> None:
    pause = threading.Event()
    while data:
        count = write(data)
        if count is None:  # a stream that was told not to wait, and is full
            pause.wait(_NOT_NOW)
        else:
            data = data[count:]


class Console:
    """Where a program without a voice speaks: before a run, and where there is none.

    Attributes:
        is_json: Whether all of it is JSON objects on the standard output, one a line.
    """

    is_json = False

    def tell(self, text: str, *, is_trouble: bool = False) -> None:
        """Print a text, whatever the terminal can show, and whether or not anybody reads it."""
        if self.is_json:
            level = "ERROR" if is_trouble else "INFO"
            text = as_json(Said(Kind.OTHER, level, "", text.strip(), time.time()))
        write_line(sys.stderr if is_trouble and not self.is_json else sys.stdout, text)


def is_fit_to_show(record: logging.LogRecord) -> bool:
    """Tell whether a record of `logging` may be shown: no library may tell what it sends where.

    For handlers' filters. Ours are shown, wherever they are made.
    """
    is_of_theirs = (record.threadName or "").startswith(LIBRARIES)
    return record.name.startswith("ttslo_app.") or not is_of_theirs


class SpokenHandler(logging.Handler):
    """Shows records of `logging` on a stream, by way of `lane` once there is one.

    Args:
        stream: Where; None for nowhere.
        is_json: Whether each record is a JSON object.
    """

    def __init__(self, stream: TextIO | None, *, is_json: bool = False) -> None:
        super().__init__()
        self._stream = stream
        self._is_json = is_json
        self.lane: Lane | None = None

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as text; what it says is one line, whoever's words are in it."""
        if self._is_json:
            plain = logging.Formatter("%(name)s: %(message)s").format(record)
            return as_json(Said(Kind.OTHER, record.levelname, "", plain, record.created))
        said = logging.makeLogRecord(
            {**record.__dict__, "msg": shown(record.getMessage(), _LONGEST_LINE)}
        )
        said.args = ()
        return super().format(said)

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record."""
        text = self.format(record)
        if self.lane is None:
            write_line(self._stream, text)
        else:
            self.lane.put(lambda: write_line(self._stream, text))


# What follows the first line stands under its text, not under the time before it.
_INDENT = " " * 11


# A terminal that is narrower than this is taken for one that does not know its width.
_NARROWEST = 30


def width_of(stream: TextIO | None) -> int | None:
    """Return how many columns `stream` shows, None where it is no terminal."""
    try:
        if stream is None or not stream.isatty():
            return None
        columns = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError, AttributeError):
        return None
    return columns if columns >= _NARROWEST else None


def folded(text: str, width: int | None) -> str:
    """Return `text` with each of its lines folded to `width` columns; None leaves it as it is.

    Words stay whole, so a name or an address can still be copied.
    """
    if width is None:
        return text
    return "\n".join(_folded_line(line, width) for line in text.split("\n"))


def _folded_line(line: str, width: int) -> str:
    if len(line) <= width:
        return line
    pieces = textwrap.wrap(
        line,
        width,
        subsequent_indent=_INDENT,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
        replace_whitespace=False,
        expand_tabs=False,
    )
    return "\n".join(pieces) or line


def show_line(stream: TextIO | None, text: str) -> None:
    """Write a line, folded where `stream` is a terminal. May block; never raises OSError."""
    write_line(stream, folded(text, width_of(stream)))
