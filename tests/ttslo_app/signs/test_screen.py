"""`--live`: the table in the terminal of the running program, and what it must not hold up."""

from __future__ import annotations

import io
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fake_kraken import FakeKraken
from tests.kits.program.live_program import PAIR, LiveProgram, row, wait_until
from tests.kits.signs.sign_kit import PICTURE, lines_of, picture, snapshot
from ttslo import main
from ttslo_app.face.table import text_of
from ttslo_app.face.voice import Voice
from ttslo_app.signs import screen, words
from ttslo_app.signs.screen import ScreenUnavailable, console_on, drawing, styled, why_not


class Raw(io.RawIOBase):
    """What a terminal shows; `gate` holds it up, as Ctrl-S does."""

    def __init__(self) -> None:
        self.shown = b""
        self.gate = threading.Event()
        self.gate.set()
        self.is_held = threading.Event()

    def writable(self) -> bool:
        """Yes."""
        return True

    def write(self, data: Any) -> int:
        """Show bytes, once nobody holds it up."""
        if not self.gate.is_set():
            self.is_held.set()
            self.gate.wait(60)
        self.shown += bytes(data)
        return len(data)


class Terminal(io.TextIOWrapper):
    """A stream that is a terminal."""

    def __init__(self) -> None:
        self.under = Raw()
        super().__init__(io.BufferedWriter(self.under), encoding="utf-8")

    def isatty(self) -> bool:
        """Yes."""
        return True

    @property
    def text(self) -> str:
        """All that it has shown."""
        return self.under.shown.decode()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    """Let the program have a terminal of 80 columns and 30 lines."""
    made = Terminal()
    for name, value in {"COLUMNS": "80", "LINES": "30", "TERM": "xterm-256color"}.items():
        monkeypatch.setenv(name, value)
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    yield made
    made.under.gate.set()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw often."""
    monkeypatch.setattr(screen, "_EVERY", 0.02)


def without_codes(text: str) -> str:
    """Return what a terminal was sent without what moves and colours."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "\n")


def voice_with(lines: list[str]) -> Voice:
    """Return a voice that shows lines in a list."""
    return Voice(lambda *_, **__: None, lines.append)


def quiet(*_: object, **__: object) -> None:
    """Say nothing."""


def test_table_is_that_of_status(terminal: Terminal) -> None:
    """One function draws both."""
    with drawing(terminal, voice_with([]), quiet, snapshot):
        wait_until(lambda: "last events" in terminal.text, "the table is drawn")
    shown = without_codes(terminal.text)
    assert "btc_top  armed    BTC/USD  at or above 120000  118000.1" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_table_has_colours_on_a_terminal_and_none_under_no_color(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """https://no-color.org: any value that is not empty."""
    colours = re.compile(r"\x1b\[[0-9;]*3[0-9]")
    with drawing(terminal, voice_with([]), quiet, snapshot):
        wait_until(lambda: colours.search(terminal.text), "it has colours")
    monkeypatch.setenv("NO_COLOR", "1")
    terminal.under.shown = b""
    with drawing(terminal, voice_with([]), quiet, snapshot):
        wait_until(lambda: "last events" in terminal.text, "the table is drawn")
    assert not colours.search(terminal.text)


def test_lines_stand_above_the_table_and_whole(terminal: Terminal) -> None:
    """Whatever is in them: neither markup nor numbers are dressed up."""
    lines: list[str] = []
    voice = voice_with(lines)
    with drawing(terminal, voice, quiet, snapshot):
        wait_until(lambda: "last events" in terminal.text, "the table is drawn")
        voice.show("12:00:00Z  row [bold]x[/bold] placed")
        wait_until(lambda: "row [bold]x[/bold] placed" in terminal.text, "the line is shown")
    assert lines == []
    voice.show("afterwards")
    assert lines == ["afterwards"]


def test_table_stays_when_the_program_ends_and_the_cursor_comes_back(terminal: Terminal) -> None:
    """The terminal is left as it was found."""
    with drawing(terminal, voice_with([]), quiet, snapshot):
        wait_until(lambda: "last events" in terminal.text, "the table is drawn")
    assert terminal.text.rstrip("\r\n").endswith("\x1b[?25h")


def test_before_the_first_snapshot_nothing_is_drawn(terminal: Terminal) -> None:
    """There is nothing to show yet."""
    asked = threading.Event()

    def nothing() -> None:
        asked.set()

    with drawing(terminal, voice_with([]), quiet, nothing):
        assert asked.wait(60)
    assert "rows" not in terminal.text


def test_stopped_terminal_stops_no_order(
    terminal: Terminal, exchange: FakeKraken, tmp_path: Path
) -> None:
    """Ctrl-S holds up the table and the lines; the crossing is placed all the same."""
    with LiveProgram(exchange, tmp_path, [row("btc", 51000)]) as live:
        with drawing(terminal, live.ttslo.voice, live.ttslo.say, snapshot):
            wait_until(lambda: "last events" in terminal.text, "the table is drawn")
            terminal.under.gate.clear()
            assert terminal.under.is_held.wait(60)
            exchange.set_price(PAIR, "51000")
            wait_until(lambda: exchange.placed_count() == 1, "the order is placed")
            assert not terminal.under.gate.is_set()
            terminal.under.gate.set()
        assert exchange.placed_count() == 1


def test_end_does_not_wait_for_a_stopped_terminal(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table's thread is left behind: it owns nothing."""
    monkeypatch.setattr(screen, "_PATIENCE", 0.1)
    with drawing(terminal, voice_with([]), quiet, snapshot):
        wait_until(lambda: "last events" in terminal.text, "the table is drawn")
        terminal.under.gate.clear()
        assert terminal.under.is_held.wait(60)
    assert not terminal.under.gate.is_set()
    terminal.under.gate.set()


def test_terminal_that_is_gone_ends_nothing(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its window was closed."""

    def gone(data: object) -> int:
        raise BrokenPipeError

    with drawing(terminal, voice_with([]), quiet, snapshot) as drawn:
        assert drawn is not None
        monkeypatch.setattr(terminal.under, "write", gone)
        drawn.show("a line")
        drawn.draw()


# --- where there can be none ---------------------------------------------------------------------


def test_pipe_gets_plain_lines_and_is_told_so() -> None:
    """A log of a thousand tables would be of no use."""
    told: list[str] = []
    lines: list[str] = []
    voice = voice_with(lines)

    def say(level: str, text: str, **_: object) -> None:
        told.append(text)

    with drawing(io.StringIO(), voice, say, snapshot) as drawn:
        assert drawn is None
        voice.show("a line")
    assert lines == ["a line"]
    assert told == [words.no_terminal("this is a pipe or a file").text]
    with drawing(None, voice, say, snapshot) as drawn:
        assert drawn is None
    assert told[1:] == [words.no_terminal("there is none").text]


def test_each_reason_is_named(terminal: Terminal) -> None:
    """No console, a closed stream, a terminal that cannot move its cursor."""
    assert why_not(terminal, {"TERM": "xterm"}) == ""
    assert why_not(terminal, {"TERM": "dumb"}) == "this one can only write lines"
    closed = io.StringIO()
    closed.close()
    assert why_not(closed, {}) == "it is closed"
    assert why_not(io.StringIO(), {}) == "this is a pipe or a file"


def test_missing_library_is_named_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """With what installs it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "rich", None)
    with pytest.raises(ScreenUnavailable):
        screen.check_available()
    assert main(["--live", "--dry-run"]) == 1
    assert "--live needs the library rich: pip install rich" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_library_is_loaded_for_those_alone_who_want_the_table() -> None:
    """It takes longer to load than the program itself."""
    assert not re.search(r"^(import|from) rich", Path(screen.__file__).read_text("utf-8"), re.M)


# --- the picture ---------------------------------------------------------------------------------


def test_styled_lines_keep_their_text() -> None:
    """Colours add nothing and take nothing."""
    lines = lines_of(snapshot(), 100)
    assert (
        styled(lines).plain.rstrip()
        == "\n".join("".join(text for text, _ in line) for line in lines).rstrip()
    )
    assert text_of(lines)


def test_picture_of_the_readme_is_of_now_and_small() -> None:
    """`python tests/kits/signs/sign_kit.py` makes it anew."""
    drawn = PICTURE.read_text(encoding="utf-8")
    assert len(drawn.encode()) < 40_000

    def texts(svg: str) -> list[str]:
        return re.findall(r">([^<>]+)</text>", svg)

    assert texts(drawn) == texts(picture())


def test_console_takes_a_stream_that_shows_no_letter_of_ours() -> None:
    """What it cannot show is written out, and ends nothing."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    console_on(stream, width=40).print("row \u00fc")
    assert stream.buffer.getvalue() == b"row \\xfc\n"
