"""How far something long has come: a bar on a terminal, now and then a line elsewhere.

Both go to the standard error, so that what is told on the other stream can be read by programs.
What it must never do: stop what it tells of.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from krakenlink.machine import feed_clock
from ttslo_app.signs.screen import console_on, why_not
from ttslo_app.terminal import put_trouble

# Seconds between two lines where there is no bar.
_EVERY = 10.0


class Progress(Protocol):
    """What is told how far it has come."""

    def show(self, share: float, text: str) -> None:
        """Tell which share of the whole is done, and a few words on it."""
        ...

    def say(self, text: str) -> None:
        """Tell a sentence that stays."""
        ...


class Lines:
    """Tells it by lines, seldom.

    Args:
        put: Takes a line.
        clock: Seconds that only grow.
    """

    def __init__(
        self, put: Callable[[str], None] = put_trouble, clock: Callable[[], float] = feed_clock
    ) -> None:
        self._put, self._clock = put, clock
        self._first: tuple[float, float] | None = None
        self._told_at = clock()

    def show(self, share: float, text: str) -> None:
        """Tell it, where the last line is a while ago."""
        now = self._clock()
        if self._first is None:
            self._first = (now, share)
        if now - self._told_at < _EVERY:
            return
        self._told_at = now
        begun_at, begun = self._first
        left = ""
        if share > begun and now > begun_at:
            left = f", about {remaining((1 - share) * (now - begun_at) / (share - begun))} left"
        self._put(f"{share:.0%}: {text}{left}")

    def say(self, text: str) -> None:
        """Tell it at once."""
        self._put(text)


class Bar:
    """Tells it by a bar of the library's, with its estimate.

    Args:
        bar: The library's, which is shown.
    """

    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._task = bar.add_task("fetching", total=1.0)

    def show(self, share: float, text: str) -> None:
        """Move the bar."""
        self._bar.update(self._task, completed=share, description=text)

    def say(self, text: str) -> None:
        """Print it above the bar."""
        self._bar.console.print(text, markup=False, highlight=False)


def remaining(seconds: float) -> str:
    """Return how long something takes, in a person's units."""
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{max(1.0, seconds):.0f} s"


@contextmanager
def showing() -> Iterator[Progress]:
    """Hand out what tells how far something has come, for as long as the `with` lasts."""
    stream = sys.stderr
    if stream is None or why_not(stream, os.environ):
        yield Lines()
        return
    try:
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress
    except ImportError:  # an extra: lines do as well
        yield Lines()
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    with RichProgress(*columns, console=console_on(stream)) as bar:
        yield Bar(bar)
