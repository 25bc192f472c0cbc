"""`ttslo status`: a sentence and an exit code for each way in which a program can be, or not be."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from fake_kraken import FakeKraken
from tests.kits.common.odd_files import ODD
from tests.kits.program.program_process import Scene, wait_until
from tests.kits.signs.sign_kit import ROOT, order, row, snapshot
from ttslo import main
from ttslo_app.commands import status
from ttslo_app.commands.status import as_object, as_text, look
from ttslo_app.face.snapshot import OLD, Snapshot, decoded, encoded
from ttslo_app.signs.snapshots import snapshot_path

SCHEMA = json.loads((ROOT / "docs" / "status.schema.json").read_text(encoding="utf-8"))
DEAD = 2**22 + 4321  # no process has that number
Output = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def running(**changes: Any) -> Snapshot:
    """Return a snapshot of a program that runs on this machine now: this process."""
    here = {"pid": os.getpid(), "host": socket.gethostname(), "written_at": time.time()}
    return snapshot(**{**here, "started_at": time.time() - 60, **changes})


def leave(shown: Snapshot | bytes, state: str = "state.csv", *, is_dry: bool = False) -> None:
    """Leave a snapshot as a program does."""
    data = shown if isinstance(shown, bytes) else encoded(shown)
    snapshot_path(state, is_dry=is_dry).write_bytes(data)


def asked(capsys: Output, *flags: str) -> tuple[int, str]:
    """Return exit code and output of the command."""
    code = main(["status", *flags])
    out, err = capsys.readouterr()
    assert err == ""
    return code, out


def seeing(capsys: Output) -> str:
    """Ask until the program is not blind, as it may be for a moment on a busy machine."""
    told: list[str] = []

    def is_well() -> bool:
        code, out = asked(capsys)
        told.append(out)
        return code == 0

    wait_until(is_well, lambda: told[-1])
    return told[-1]


# --- how it can be -------------------------------------------------------------------------------


def test_running_program_is_0_and_its_table(capsys: Output) -> None:
    """Rows, stops and last events."""
    leave(running())
    code, out = asked(capsys)
    assert code == 0
    assert "runs and sees" in out
    assert "btc_top" in out
    assert "240.96" in out
    assert "sees again" in out


def test_nothing_there_is_3_and_says_where_it_looked(capsys: Output) -> None:
    """With the cure."""
    code, out = asked(capsys)
    assert code == 3
    assert out.startswith("NOT RUNNING: no program has ever told of itself beside state.csv")
    assert "--state" in out


def test_other_states_of_the_folder_are_named(capsys: Output) -> None:
    """Two programs in one folder: each has its own, and the one that was meant is found."""
    leave(running(), "a.csv")
    leave(running(), "b.csv", is_dry=True)
    code, out = asked(capsys)
    assert code == 3
    assert "beside others here: a.csv, b.csv" in out
    assert asked(capsys, "--state", "a.csv")[0] == 0
    assert asked(capsys, "--state", "b.csv")[0] == 0


@pytest.mark.skipif(os.name == "nt", reason="there a process cannot be asked for by its number")
def test_program_that_died_is_3_at_once(capsys: Output) -> None:
    """However young its last snapshot is."""
    leave(running(pid=DEAD))
    code, out = asked(capsys)
    assert code == 3
    assert "died without a last word" in out
    assert "What follows is from" in out


def test_program_that_is_silent_is_3(capsys: Output) -> None:
    """Its process is there, and nobody can rely on what it said."""
    leave(running(written_at=time.time() - OLD - 5))
    code, out = asked(capsys)
    assert code == 3
    assert "NO SIGN OF LIFE" in out


def test_program_that_was_stopped_is_3(capsys: Output) -> None:
    """And its last rows can still be seen."""
    leave(running(phase="stopped"))
    code, out = asked(capsys)
    assert code == 3
    assert "it was stopped" in out
    assert "btc_top" in out


def test_blind_program_is_4(capsys: Output) -> None:
    """It runs, and could miss a crossing."""
    leave(running(rows=(row(state="blind", price=None),)))
    code, out = asked(capsys)
    assert code == 4
    assert out.startswith("BLIND: no proven price for btc_top")


def test_crossing_without_its_order_is_4(capsys: Output) -> None:
    """Somebody has to look."""
    leave(running(late=("btc_top",)))
    code, out = asked(capsys)
    assert code == 4
    assert "NO ORDER YET: btc_top" in out


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "it is cut off"),
        (encoded(snapshot())[:400], "it is cut off"),
        (b"[]", "was not written by this program"),
        (b'{"schema": 99}', "another version of the program wrote it"),
        (b" " * 10_000_001, "was not written by this program"),
    ],
)
def test_snapshot_that_cannot_be_read_has_a_sentence(
    data: bytes, text: str, capsys: Output
) -> None:
    """Half of one, another version, something else: nobody knows how the program is."""
    leave(data)
    code, out = asked(capsys)
    assert code == 3
    assert out.startswith("NOT KNOWN: state.csv.status.json cannot be read: ")
    assert text in out
    assert len(out.splitlines()) == 1


def test_folder_in_its_place_has_a_sentence(capsys: Output) -> None:
    """Whatever put it there."""
    snapshot_path("state.csv").mkdir()
    code, out = asked(capsys)
    assert code == 3
    assert "cannot be read" in out


def test_rehearsal_is_found_where_no_real_one_runs(capsys: Output) -> None:
    """And said to be one."""
    leave(running(mode="DRY RUN"), is_dry=True)
    code, out = asked(capsys)
    assert code == 0
    assert out.startswith("DRY RUN (process ")


def test_real_one_comes_before_a_rehearsal_that_runs_beside_it(capsys: Output) -> None:
    """Both are told of: two programs in one folder, with one state."""
    leave(running())
    leave(running(mode="DRY RUN", written_at=time.time() + 1), is_dry=True)
    code, out = asked(capsys)
    assert code == 0
    assert out.startswith("LIVE (")
    assert "A second program runs with the same state: DRY RUN, process" in out


def test_rehearsal_that_runs_comes_before_a_real_one_that_does_not(capsys: Output) -> None:
    """What runs is what somebody asks for; the other has ended."""
    leave(running(phase="stopped"))
    leave(running(mode="DRY RUN"), is_dry=True)
    assert asked(capsys)[1].startswith("DRY RUN (")


def test_other_config_is_pointed_out(capsys: Output) -> None:
    """Somebody may ask for another program than the one that runs there."""
    leave(running())
    assert "works with config.csv, not with mine.csv" in asked(capsys, "--config", "mine.csv")[1]
    assert "works with" not in asked(capsys)[1]


# --- how it is told ------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [40, 80, 120])
def test_width_of_the_terminal_is_kept(
    width: int, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A narrow one too."""
    monkeypatch.setenv("COLUMNS", str(width))
    leave(running())
    assert max(map(len, asked(capsys)[1].splitlines())) <= width


def test_output_has_no_colours_and_no_control_characters(capsys: Output) -> None:
    """It goes through pipes, and rows have the names that people give them."""
    leave(running(rows=(row("\x1b[31mred"),)))
    assert "\x1b" not in asked(capsys)[1]


@pytest.mark.parametrize(
    "shown",
    [
        running(),
        running(phase="stopped"),
        running(rows=(), orders=(), events=(), frame_age=None, late=("x",)),
        running(rows=(row(price=None, source=None, age=None, away=None),)),
        running(orders=(order(stop=None, best=None, told_by=None, price=None, away=None),)),
    ],
)
def test_json_is_as_its_schema_says(shown: Snapshot, capsys: Output) -> None:
    """One object on one line, whatever the program does."""
    leave(shown)
    code, out = asked(capsys, "--json")
    told = json.loads(out)
    jsonschema.validate(told, SCHEMA)
    assert told["code"] == code
    assert decoded(json.dumps(told["snapshot"]).encode()) == shown


def test_json_without_a_snapshot_is_as_its_schema_says(capsys: Output) -> None:
    """There is a sentence and no snapshot."""
    told = json.loads(asked(capsys, "--json")[1])
    jsonschema.validate(told, SCHEMA)
    assert told["snapshot"] is None
    assert (told["status"], told["code"]) == ("not running", 3)


@pytest.mark.parametrize(
    "changes", [{"code": 7}, {"status": "fine"}, {"snapshot": {}}, {"more": 1}, {"text": None}]
)
def test_schema_refuses_what_the_command_never_says(changes: dict[str, Any]) -> None:
    """Else it would hold nothing."""
    leave(running())
    told = {**as_object(look("config.csv", "state.csv")), **changes}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(json.loads(json.dumps(told)), SCHEMA)


def test_schema_knows_every_field() -> None:
    """A field that is added to the form is added to the document."""
    told = json.loads(encoded(snapshot()))
    form = SCHEMA["$defs"]
    assert set(form["snapshot"]["properties"]) == set(told)
    for name, one in (("row", "rows"), ("order", "orders"), ("event", "events")):
        assert set(form[name]["properties"]) == set(told[one][0])
        assert set(form[name]["required"]) == set(told[one][0])


# --- --follow ------------------------------------------------------------------------------------


def test_follow_tells_each_change_and_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing where nothing has changed."""
    lines: list[str] = []
    stop, codes = threading.Event(), list[int]()
    monkeypatch.setattr(status, "put", lines.append)
    monkeypatch.setattr(status, "EVERY", 0.04)
    shown = running()
    leave(shown)
    argv = ["--follow", "--json"]
    thread = threading.Thread(target=lambda: codes.append(status.main(argv, stop=stop)))
    thread.start()
    try:
        wait_until(lambda: len(lines) == 1, "the first")
        leave(replace(shown, armed=7))
        wait_until(lambda: len(lines) == 2, "the change")
        leave(replace(shown, phase="stopped"))
        wait_until(lambda: len(lines) == 3, "the end")
    finally:
        stop.set()
        thread.join()
    assert [json.loads(line)["code"] for line in lines] == [0, 0, 3]
    assert codes == [3]


def test_follow_for_people_says_again_how_old_a_dead_program_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its file does not change any more, and its age does."""
    lines: list[str] = []
    stop = threading.Event()
    monkeypatch.setattr(status, "put", lines.append)
    monkeypatch.setattr(status, "EVERY", 0.02)
    leave(running(phase="stopped"))
    thread = threading.Thread(target=lambda: status.main(["--follow"], stop=stop))
    thread.start()
    try:
        wait_until(lambda: len(lines) >= 3, "it is told again")
    finally:
        stop.set()
        thread.join()


def test_notes_stand_below_the_table() -> None:
    """After what matters most."""
    leave(running())
    found = look("mine.csv", "state.csv")
    text = as_text(found, 80, time.time())
    assert text.splitlines()[-1] == found.notes[0]


# --- the real program ----------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="there a process cannot be asked for by its number")
def test_program_killed_in_the_middle_of_a_write_leaves_a_snapshot_or_a_sentence(
    exchange: FakeKraken, tmp_path: Path, capsys: Output
) -> None:
    """Killed again and again, at moments that nobody chose: never half of one."""
    scene = Scene(exchange, tmp_path)
    for n in range(2):
        with scene.run(plan={"quiet": True}) as program:
            wait_until(lambda p=program: _is_of(p.pid), "it tells of itself")  # type: ignore[misc]
            seeing(capsys)
            # A word brings a write: it is killed while one is under way, or about to be.
            scene.write_config([f"btc,BTC/USD,{52000 + n},above,sell,0.01,0.5,true"])
            threading.Event().wait(0.05 * n)
            program.send(signal.SIGKILL)
            program.kill()
        code, out = asked(capsys)
        assert code == 3
        assert re.match(r"NOT RUNNING: LIVE \(process \d+ on .*\) died without a last word", out)


def _is_of(pid: int) -> bool:
    """Tell whether a process has told of itself, and has begun."""
    try:
        shown = decoded(snapshot_path("state.csv").read_bytes())
    except (OSError, ValueError):
        return False
    return shown.pid == pid and shown.phase == "running" and shown.rows[0].price is not None


def test_program_that_ends_well_says_so_and_its_rehearsal_too(
    exchange: FakeKraken, tmp_path: Path, capsys: Output
) -> None:
    """The real one and the dry run, each as a process, and what is written by a dry run."""
    scene = Scene(exchange, tmp_path)
    with scene.run("--dry-run", "--beat", "1", plan={"quiet": True}) as rehearsal:
        rehearsal.wait_for("DRY RUN: alive for")
        assert "; logs.csv and state.csv.dry-run.status.json alone are written" in rehearsal.output
        assert seeing(capsys)[:7] == "DRY RUN"
        assert rehearsal.end() == 0
    assert "it was stopped" in asked(capsys)[1]
    written = {path.name for path in tmp_path.iterdir()} - {"config.csv", rehearsal._said.name}
    assert written == {"logs.csv", "state.csv.dry-run.status.json"}


@pytest.mark.parametrize("kind", ODD)
def test_snapshot_that_is_no_file_is_said_and_not_waited_for(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever asks for the status has an answer at once."""
    ODD[kind](snapshot_path(tmp_path / "state.csv"))
    assert main(["status", "--state", str(tmp_path / "state.csv")]) != 0
    assert "plain file" in "".join(capsys.readouterr())
