"""`--live`: the table at the foot of the running program's terminal, its lines above it.

On a thread of its own: a terminal that was stopped with Ctrl-S stops this thread and nobody else.
The library that draws is an extra, and is loaded when somebody wants the table. What it must never
do: hold up a price or an order, or leave a terminal in disorder.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TextIO

from ttslo_app.face.snapshot import Snapshot, judged
from ttslo_app.face.table import Line, drawn
from ttslo_app.face.voice import Voice
from ttslo_app.messages import Say, tell
from ttslo_app.signs import words

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

# Seconds between two tables, and what the last one gets at the end.
_EVERY, _PATIENCE = 1.0, 2.0
STYLES = {"plain": "", "title": "bold", "good": "green", "warn": "yellow", "bad": "bold red",
          "dim": "bright_black"}  # fmt: skip


class ScreenUnavailable(ValueError):
    """The table cannot be drawn; the sentence says why, and what to do."""


def check_available() -> None:
    """Raise `ScreenUnavailable` where the library is missing."""
    try:
        is_there = find_spec("rich") is not None
    except ValueError:  # a stand-in that is no true module
        is_there = False
    if not is_there:
        raise ScreenUnavailable(words.NEEDS_RICH)


def why_not(stream: TextIO, environ: Mapping[str, str]) -> str:
    """Return why no table can be drawn on a stream; empty where one can."""
    try:
        if not stream.isatty():
            return "this is a pipe or a file"
    except ValueError:
        return "it is closed"
    return "this one can only write lines" if environ.get("TERM", "") in ("dumb", "unknown") else ""


class _Raw:
    """A stream as the library wants one, which writes past the buffer that the interpreter flushes.

    A thread that waits inside that buffer would abort the end of the program.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.encoding = stream.encoding or "utf-8"

    def write(self, text: str) -> int:
        raw = getattr(getattr(self._stream, "buffer", None), "raw", None)
        data = text.encode(self.encoding, "backslashreplace")
        with suppress(OSError, ValueError):  # a terminal that is gone must not stop anything
            if raw is None:
                self._stream.write(data.decode(self.encoding))
                self._stream.flush()
            else:
                while data:
                    data = data[raw.write(data) or 0 :]
        return len(text)

    def flush(self) -> None:
        """Nothing waits here."""

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()


def styled(lines: list[Line]) -> Text:
    """Return lines as the library draws them."""
    from rich.text import Text

    pieces = [Text.assemble(*((text, STYLES[style]) for text, style in line)) for line in lines]
    return Text("\n", no_wrap=True, overflow="crop").join(pieces)


class Screen:
    """Draws the table each second, and lets lines stand above it.

    Args:
        console: The library's, on the terminal.
        newest: Returns the newest snapshot; None before the first.
    """

    def __init__(self, console: Console, newest: Callable[[], Snapshot | None]) -> None:
        from rich.live import Live

        self._console = console
        self._newest = newest
        self._live = Live(
            console=console,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ttslo-table", daemon=True)

    def start(self) -> None:
        """Begin to draw."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Draw a last time, and leave the table where it is; wait at most `timeout` seconds."""
        self._stopping.set()
        self._thread.join(timeout)

    def show(self, text: str) -> None:
        """Have a line stand above the table. May block."""
        self._console.print(text, markup=False, highlight=False)

    def _run(self) -> None:
        self._live.start()
        try:
            while not self._stopping.wait(_EVERY):
                self.draw()
            self.draw()
        finally:
            self._live.stop()

    def draw(self) -> None:
        """Draw the newest snapshot."""
        snapshot = self._newest()
        if snapshot is None:
            return
        now, size = time.time(), self._console.size
        verdict = judged(snapshot, now, is_alive=True)
        lines = drawn(snapshot, verdict, now, size.width, max(6, size.height - 2))
        self._live.update(styled(lines), refresh=True)


def console_on(stream: Any, **more: Any) -> Console:
    """Return the library's console on a stream; it heeds NO_COLOR by itself."""
    from rich.console import Console

    return Console(file=_Raw(stream), highlight=False, emoji=False, **more)  # type: ignore[arg-type]


@contextmanager
def drawing(
    stream: TextIO | None, voice: Voice, say: Say, newest: Callable[[], Snapshot | None]
) -> Iterator[Screen | None]:
    """Draw the table while the `with` lasts, and let the voice's lines stand above it.

    Args:
        stream: The terminal.
        voice: Whose lines go there.
        say: Takes a level and a sentence for a person.
        newest: Returns the newest snapshot; None before the first.

    Yields:
        The screen; None where the terminal cannot show it, which is said.
    """
    if stream is None or (why := why_not(stream, os.environ)):
        tell(say, words.no_terminal("there is none" if stream is None else why))
        yield None
        return
    screen = Screen(console_on(stream), newest)
    before = voice.show_by(screen.show)
    screen.start()
    try:
        yield screen
    finally:
        screen.stop(_PATIENCE)
        voice.show_by(before)
