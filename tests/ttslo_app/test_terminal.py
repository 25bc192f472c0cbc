"""What every command line has: lines for whoever reads them, and flags with a meaning of ours."""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

import pytest

from tests.kits.common.odd_files import Gone
from ttslo_app.terminal import (
    ENV_FILE,
    OutputClosed,
    env_file,
    put,
    put_bytes,
    put_trouble,
    seconds_of,
)


def test_line_that_a_terminal_cannot_show_is_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A letter of somebody's row must not end the command."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    put("a row \u00fc")
    assert stream.buffer.getvalue() == b"a row \\xfc\n"


def test_without_a_console_there_is_nobody_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as under pythonw."""
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(OutputClosed):
        put("a line")
    with pytest.raises(OutputClosed):
        put_bytes(b"a line")


def test_bytes_of_a_file_arrive_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """No line end of a sheet is changed on its way, and what was printed before stays before."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    stream.write("first\n")
    put_bytes(b"id\r\n\xff")
    assert stream.buffer.getvalue() == b"first\nid\r\n\xff"


def test_trouble_goes_to_the_standard_error_and_never_ends_a_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its control characters are shown, and a stream that is gone is no matter."""
    put_trouble("no price\x1b[2J")
    assert capsys.readouterr().err == "no price\\x1b[2J\n"
    monkeypatch.setattr(sys, "stderr", Gone())
    put_trouble("no price")


def test_env_file_that_was_chosen_has_to_be_there(tmp_path: Path) -> None:
    """Keys that are looked for in vain must not look like keys that nobody gave."""
    chosen = tmp_path / "keys.env"
    options = argparse.Namespace(env_file=str(chosen))
    with pytest.raises(ValueError, match=r"no file .*keys\.env, which --env-file names"):
        env_file(options)
    chosen.write_text("")
    assert env_file(options) == str(chosen)
    assert env_file(argparse.Namespace(env_file=None)) == ENV_FILE


@pytest.mark.parametrize("text", ["", "soon", "0", "-1", "nan"])
def test_seconds_that_are_none_are_refused_with_an_example(text: str) -> None:
    """Whoever types a flag is told what it takes."""
    assert seconds_of("0.5") == 0.5
    with pytest.raises(argparse.ArgumentTypeError, match="write seconds, such as 60"):
        seconds_of(text)
