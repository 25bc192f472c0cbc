"""The words of the command line: which there are, and what is none."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import pytest

from tests.kits.common.odd_files import Gone
from ttslo import main
from ttslo_app.commands import table
from ttslo_app.commands.table import dispatch, listing, unknown
from ttslo_app.terminal import put


@pytest.mark.parametrize("name", table.WORDS)
def test_module_of_each_word_is_there_and_has_its_own_help(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """No word leads nowhere, and each explains itself under its own name."""
    assert callable(import_module(table.WORDS[name].module).main)
    with pytest.raises(SystemExit) as end:
        main([name, "--help"])
    assert end.value.code == 0
    assert f"usage: ttslo {name}" in capsys.readouterr().out


def test_help_of_the_program_names_every_word(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever looks for what there is looks there."""
    with pytest.raises(SystemExit):
        main(["--help"])
    out = capsys.readouterr().out
    assert listing() in out
    assert all(f"ttslo {name} " in out for name in table.WORDS)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("pirce", "price"), ("Price", "price"), ("prices", "price"), ("docter", "doctor"),
     ("check", "doctor")],
)  # fmt: skip
def test_unknown_word_is_answered_with_the_nearest(
    typed: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And with the exit code of a wrong flag, as before there were words."""
    with pytest.raises(SystemExit) as end:
        main([typed])
    assert end.value.code == 2
    assert f"did you mean {meant}?" in capsys.readouterr().err


def test_word_that_resembles_nothing_is_answered_with_all_there_are() -> None:
    """A guess would only mislead."""
    assert unknown("xyzzy") == f"there is no command 'xyzzy'; there are {', '.join(table.WORDS)}"


def test_unknown_word_cannot_command_the_terminal() -> None:
    """It is shown, not obeyed."""
    assert "\x1b" not in unknown("\x1b[2J")


@pytest.mark.parametrize("argv", [[], ["--dry-run"], ["--config", "price"], ["-h"], [""]])
def test_old_command_lines_are_no_words(argv: list[str]) -> None:
    """What somebody's script has written for years means what it meant."""
    assert dispatch(argv) is None


def with_work(monkeypatch: pytest.MonkeyPatch, work: Any) -> None:
    """Let the word `price` do something else."""
    monkeypatch.setattr(import_module("ttslo_app.commands.price"), "main", work)


def test_word_gets_what_follows_it_and_its_code_is_returned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The word itself is not among its arguments."""
    heard: list[list[str]] = []

    def work(argv: list[str]) -> int:
        heard.append(argv)
        return 7

    with_work(monkeypatch, work)
    assert main(["price", "--json", "BTC/USD"]) == 7
    assert heard == [["--json", "BTC/USD"]]


def test_interrupt_ends_a_word_quietly(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the code that shells give it."""

    def work(argv: list[str]) -> int:
        raise KeyboardInterrupt

    with_work(monkeypatch, work)
    assert main(["price", "BTC/USD"]) == 130


def test_closed_output_ends_a_word_well(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """`| head` has seen what it wanted: no traceback, no error."""

    def work(argv: list[str]) -> int:
        put("a line")
        raise AssertionError("it went on")

    with_work(monkeypatch, work)
    monkeypatch.setattr(sys, "stdout", Gone())
    assert main(["price", "BTC/USD"]) == 0
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", table.WORDS)
def test_no_word_repeats_an_address_that_was_given_with_a_wrong_flag(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may be that of a service or a broker, and hold a secret."""
    with pytest.raises(SystemExit) as end:
        main([name, "--notfy=tgram://12345:secret/678", "--x", "redis://me:secret@host"])
    assert end.value.code == 2
    assert "secret" not in capsys.readouterr().err
