"""How far something has come: seldom by lines, by a bar on a terminal."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest

from ttslo_app.whatif import progress
from ttslo_app.whatif.progress import Bar, Lines, remaining, showing


class Clock:
    """Seconds that pass when told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Hand out a clock."""
    return Clock()


def test_lines_are_seldom_and_estimate(clock: Clock) -> None:
    """One in ten seconds, by what has come since the first word."""
    put: list[str] = []
    lines = Lines(put.append, clock)
    for second in range(31):
        clock.now = float(second)
        lines.show(0.5 + second / 100, f"{second} trades")
    assert put == [
        "60%: 10 trades, about 40 s left",
        "70%: 20 trades, about 30 s left",
        "80%: 30 trades, about 20 s left",
    ]


def test_no_estimate_is_made_up(clock: Clock) -> None:
    """Where nothing has come since the first word, nobody knows."""
    put: list[str] = []
    lines = Lines(put.append, clock)
    lines.show(0.25, "none")
    clock.now = 11.0
    lines.show(0.25, "none")
    assert put == ["25%: none"]


def test_sentences_are_told_at_once(clock: Clock) -> None:
    """Whenever the last line was."""
    put: list[str] = []
    Lines(put.append, clock).say("Trying again in 2 s.")
    assert put == ["Trying again in 2 s."]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (59, "59 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (200_000, "2 d")],
)
def test_durations_are_in_a_persons_units(seconds: float, text: str) -> None:
    """Small ones in small units."""
    assert remaining(seconds) == text


class Terminal(io.StringIO):
    """What says that it is one."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_terminal_has_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its words, its share, and sentences above it."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    with showing() as shown:
        assert isinstance(shown, Bar)
        shown.show(0.5, "[1,000] trades")
        shown.say("Trying again in 2 s.")
    assert "[1,000] trades" in screen.getvalue()
    assert "50%" in screen.getvalue()
    assert "Trying again in 2 s." in screen.getvalue()


def test_pipe_has_lines() -> None:
    """No bar is drawn into a file."""
    with showing() as shown:
        assert isinstance(shown, Lines)


def test_program_without_a_screen_has_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program without a console goes on all the same."""
    monkeypatch.setattr(sys, "stderr", None)
    with showing() as shown:
        shown.say("nobody hears it")
        assert isinstance(shown, Lines)


def test_missing_library_leaves_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar is an extra."""
    real: Any = progress
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setitem(sys.modules, "rich.progress", None)
    with real.showing() as shown:
        assert isinstance(shown, Lines)
