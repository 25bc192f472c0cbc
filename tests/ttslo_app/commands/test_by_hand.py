"""The command line of what is done by hand: nothing without a yes, and a code for each end."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kits.orders.order_bench import life
from tests.kits.program.live_program import HEADER, row, wait_until
from tests.kits.signs.sign_kit import snapshot
from ttslo_app.commands import by_hand
from ttslo_app.commands.by_hand import main, parser
from ttslo_app.commands.table import WORDS
from ttslo_app.face.snapshot import Snapshot, encoded
from ttslo_app.orders.intents import intent_lines
from ttslo_app.orders.ledger import cells_of
from ttslo_app.orders.life import RuleState
from ttslo_app.orders.request import letters_of
from ttslo_app.run.by_hand import Command, Verb, answer_path, command_path, decoded
from ttslo_app.signs.snapshots import snapshot_path
from ttslo_app.store.disk import Disk
from ttslo_app.store.rule_file import RuleFile


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Hand out a folder with one row."""
    text = "\n".join([HEADER, row("btc", 51000), ""])
    (tmp_path / "config.csv").write_text(text, encoding="utf-8")
    return tmp_path


def flags(folder: Path, *more: str) -> list[str]:
    """Return the flags that name the files."""
    return ["--config", str(folder / "config.csv"), "--state", str(folder / "state.csv"), *more]


def running(folder: Path, answers: Callable[[Command], dict[str, object]] | None) -> None:
    """Let a program seem to run there, which answers one command, or takes it and says nothing."""
    fresh: Snapshot = snapshot(written_at=time.time(), mode="LIVE")
    snapshot_path(folder / "state.csv").write_bytes(encoded(fresh))
    path = command_path(folder / "state.csv")

    def take() -> None:
        wait_until(path.exists, "the command came")
        found = decoded(path.read_bytes())
        assert found is not None
        path.unlink()
        if answers is not None:
            told = {"token": found[0], **answers(found[1])}
            answer_path(path).write_text(json.dumps(told), encoding="utf-8")

    threading.Thread(target=take, daemon=True).start()


def test_each_word_is_of_the_table() -> None:
    """And names itself."""
    for verb in Verb:
        assert WORDS[verb].first == (verb,)
        assert f"ttslo {verb}" in parser(verb).format_help()


@pytest.mark.parametrize("verb", Verb)
def test_nothing_is_done_without_a_yes(
    folder: Path, verb: Verb, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where nobody can be asked the flag is needed."""
    before = (folder / "config.csv").read_bytes()
    assert main([verb, "btc", *flags(folder)]) == 2
    assert f"add --yes to {verb} btc" in capsys.readouterr().err
    assert (folder / "config.csv").read_bytes() == before
    assert not command_path(folder / "state.csv").exists()


class Terminal:
    """A terminal at which somebody types."""

    def isatty(self) -> bool:
        """Tell that it is one."""
        return True


@pytest.mark.parametrize(
    ("typed", "code"), [("yes", 0), (" YES ", 0), ("y", 2), ("", 2), (None, 2)]
)
def test_terminal_is_asked(
    folder: Path, typed: str | None, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the whole word counts."""

    def ask(question: str) -> str:
        assert question.startswith("disarm btc: are you sure?")
        if typed is None:
            raise EOFError
        return typed

    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("builtins.input", ask)
    assert main(["disarm", "btc", *flags(folder)]) == code
    text = (folder / "config.csv").read_text(encoding="utf-8")
    assert (",false," in text) is (code == 0)


def test_edit_needs_no_program_and_tells_what_it_could_not(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The next start, or a running program, takes it from the file."""
    assert main(["disarm", "btc", "--yes", *flags(folder)]) == 0
    assert "btc: disabled in config.csv" in capsys.readouterr().out
    assert main(["arm", "gone", "--yes", *flags(folder)]) == 1
    assert "gone: " in capsys.readouterr().err


@pytest.mark.parametrize("verb", [Verb.FIRE, Verb.CANCEL])
def test_without_a_program_that_is_said(
    folder: Path, verb: Verb, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the code that `ttslo status` has for it."""
    assert main([verb, "btc", "--yes", *flags(folder)]) == 3
    assert "no program runs with" in capsys.readouterr().err
    assert not command_path(folder / "state.csv").exists()


@pytest.mark.parametrize("is_done", [True, False])
def test_answer_of_the_program_is_shown(
    folder: Path, *, is_done: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was done on the output, what was not among the errors."""
    running(folder, lambda command: {"is_done": is_done, "text": f"{command.row}: told"})
    assert main(["fire", "btc", "--yes", *flags(folder)]) == (0 if is_done else 1)
    captured = capsys.readouterr()
    assert "btc: told" in (captured.out if is_done else captured.err)
    assert not answer_path(command_path(folder / "state.csv")).exists()


def test_program_that_does_not_take_it_up_does_nothing_later(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command is taken back, so a program that hung does not find it."""
    monkeypatch.setattr(by_hand, "_TAKEN", 0.1)
    fresh: Snapshot = snapshot(written_at=time.time(), mode="LIVE")
    snapshot_path(folder / "state.csv").write_bytes(encoded(fresh))
    assert main(["fire", "btc", "--yes", *flags(folder)]) == 3
    assert "did not take it up, so nothing was done" in capsys.readouterr().err
    assert not command_path(folder / "state.csv").exists()


def test_program_that_does_not_answer_leaves_it_open(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody knows what came of it, and that is said; an answer to another is none."""
    monkeypatch.setattr(by_hand, "_ANSWERED", 0.2)
    other = answer_path(command_path(folder / "state.csv"))
    other.write_text(json.dumps({"token": "x", "is_done": True, "text": "no"}), encoding="utf-8")
    running(folder, None)
    assert main(["fire", "btc", "--yes", *flags(folder)]) == 4
    assert "has taken it up and not answered" in capsys.readouterr().err


def test_row_that_has_fired_is_armed_as_none_that_was_there_before(folder: Path) -> None:
    """What it was then the state tells, and the other word for it is taken."""
    path, cells = folder / "config.csv", row("btc", 51000)
    header = f"{HEADER},order_id,trigger_time,trigger_price\n"
    path.write_text(f"{header}{cells},,,\n", encoding="utf-8")
    (before,) = RuleFile(path, Disk()).read().rows
    columns = "id,triggered,rule_state,generation,noted,letters"
    state = f"{columns}\nbtc,true,placed,1,true,{letters_of(before)}\n"
    (folder / "state.csv").write_text(state, encoding="utf-8")
    fired = cells.replace("true", "false")
    path.write_text(f"{header}{fired},O1,then,51001\n", encoding="utf-8")
    assert main(["arm", "btc", *flags(folder, "--yes")]) == 0
    assert path.read_text(encoding="utf-8") == f"{header}{cells.replace('true', 'yes')},,,\n"


def test_row_whose_order_is_not_noted_yet_is_not_called_armed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the journal knows counts as well: the state is written after the note."""
    path = folder / "config.csv"
    before = path.read_bytes()
    intended = cells_of(life(RuleState.INTENDED))
    (folder / "state.csv.intents").write_bytes(intent_lines([intended]))
    assert main(["arm", "btc", *flags(folder, "--yes")]) == 1
    assert "btc: NOT armed: it was crossed" in capsys.readouterr().err
    assert path.read_bytes() == before
