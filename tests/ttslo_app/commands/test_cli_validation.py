"""`--validate-config`: what it says of a file is what a run would do with it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

import pytest

from fake_kraken import FakeKraken
from tests.kits.program.program_process import HEADER, READ_KEY, READ_SECRET, ROW, environment_for
from ttslo import main

Validate = Callable[..., tuple[int, str]]
GOOD = "good,BTC/USD,52000,above,sell,0.01,0.5,false"
CUT = "r2,BTC/USD,51000,above,sell,0.5,1"


@pytest.fixture
def validate(
    exchange: FakeKraken, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Validate:
    """Hand out what runs the command on the lines of a file and returns its code and its words."""
    exchange.set_price("BTC/USD", "50000")
    monkeypatch.setenv("KRAKEN_SPOT_URL", exchange.rest_url)
    monkeypatch.setenv("KRAKEN_WS_PUBLIC_URL", exchange.ws_url)

    def run(data: str | bytes, *flags: str) -> tuple[int, str]:
        raw = data.encode() if isinstance(data, str) else data
        Path("config.csv").write_bytes(raw)
        code = main(["--validate-config", "--no-websocket", *flags])
        return code, " ".join(capsys.readouterr().out.split())

    return run


def test_a_row_that_was_cut_off_fails(validate: Validate) -> None:
    """What is missing never means that a row trades, and the line is named."""
    code, said = validate(f"{HEADER}\n{GOOD}\n{CUT}", "--strict")
    assert code == 1
    assert "VALIDATION FAILED" in said
    assert "[r2] row: The row ends before enabled, as a line that was cut off does" in said
    assert "(line 3)" in said


@pytest.mark.parametrize("data", ["", HEADER, f"{HEADER}\n# nothing yet\n", "# nothing\n"])
def test_an_empty_file_gets_the_answer_of_a_run(validate: Validate, data: str) -> None:
    """Nothing to watch is 1, for the check as for the program."""
    code, said = validate(data)
    assert (code, "VALIDATION FAILED" in said) == (1, True)
    assert "there is nothing to watch" in said
    assert main(["--no-websocket", "--once"]) == 1


def test_misspelt_setting_is_told_by_the_check_too(
    validate: Validate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside the verdict, which it does not change; its value is nobody's business."""
    monkeypatch.setenv("TTSLO_DRYRUN", "SECRET-VALUE")
    Path(".env").write_text("KRAKEN_REST_URL=SECRET-VALUE\n", encoding="utf-8")
    with redirect_stderr(StringIO()) as screen:
        assert validate(f"{HEADER}\n{GOOD}\n")[0] == 0
    said = screen.getvalue()
    assert "WARNING: TTSLO_DRYRUN is set, but no setting has that name" in said
    assert "WARNING: KRAKEN_REST_URL is set, but no setting has that name" in said
    assert "SECRET-VALUE" not in said


@pytest.mark.parametrize("flags", [["--validate-config"], ["--once", "--dry-run"]])
def test_misspelt_column_is_told_by_the_check_and_at_the_start(
    validate: Validate, capsys: pytest.CaptureFixture[str], flags: list[str]
) -> None:
    """With the name that was meant; the row that lacks the right one is refused."""
    validate(f"{HEADER.replace('trailing_offset_percent', 'tralling_offset')}\n{ROW}\n")
    capsys.readouterr()
    assert main([*flags, "--no-websocket"]) == 1
    said = " ".join("".join(capsys.readouterr()).split())
    assert "column 'tralling_offset' is none of ours; did you mean trailing_offset_percent?" in said
    assert "Required field trailing_offset_percent is missing or empty" in said


def test_rows_that_are_all_disabled_pass_as_they_run(validate: Validate) -> None:
    """A file with rows that wait for their user is in order, and how far they are is told."""
    code, said = validate(f"{HEADER}\n{GOOD}\n")
    assert code == 0
    assert "good: disabled, BTC/USD at or above 52000, now 50000 (4.00 % away)" in said


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (f"{HEADER.replace('id,', 'name,')}\n{GOOD}\n", "names no column 'id'"),
        (f"{HEADER.replace('id,', 'name,')}\n{GOOD}\n", "did you mean id?"),
        (f"{HEADER},note\n{GOOD},caf\xe9\n".encode("latin-1"), "is not UTF-8"),
        (f"{HEADER},volume\n{GOOD},\n", "names the column 'volume' 2 times"),
        (f'{HEADER}\n"oops,BTC/USD\n{GOOD}\n', "opens a quote"),
        (f"{HEADER}\n#REF!,{GOOD.partition(',')[2]}\n", "a spreadsheet's error #REF!"),
    ],
)
def test_what_is_odd_about_the_file_is_printed(validate: Validate, data: str, words: str) -> None:
    """The findings of the file stand beside those of its rows."""
    assert words in validate(data)[1]


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_no_word_is_lost_to_an_encoding(exchange: FakeKraken, encoding: str) -> None:
    """What a terminal cannot show is written out; the command ends as it should."""
    exchange.set_price("BTC/USD", "50000")
    Path("config.csv").write_text(f"{HEADER}\n{GOOD}\n\u20bf\u4e2d,{ROW[4:]}\n", encoding="utf-8")
    found = subprocess.run(
        [sys.executable, "-m", "ttslo", "--validate-config", "--no-websocket"],
        env={**environment_for(exchange), "PYTHONIOENCODING": encoding, "PYTHONPATH": _root()},
        capture_output=True,
        timeout=90,
        check=False,
    )
    assert found.returncode == 1
    assert b"Traceback" not in found.stderr
    assert b"EncodeError" not in found.stderr
    assert b"VALIDATION FAILED" in found.stdout
    shown = found.stdout.decode(encoding)
    assert ("\u4e2d" if encoding == "utf-8" else "\\u4e2d") in shown


@pytest.mark.skipif(os.name == "nt", reason="there a pipe that closes is told otherwise")
def test_a_reader_that_leaves_does_no_harm(exchange: FakeKraken) -> None:
    """`| head -1` gets its line, and nothing is said about the pipe."""
    rows = "\n".join(f"r{n},BTC/USD,{60000 + n},above,sell,0.01,0.5,maybe" for n in range(3000))
    Path("config.csv").write_text(f"{HEADER}\n{rows}\n")
    found = subprocess.run(
        f"{sys.executable} -m ttslo --validate-config --no-websocket | head -c 1; "
        "test ${PIPESTATUS[0]} = 1",
        shell=True,
        executable="/bin/bash",
        env={**environment_for(exchange), "PYTHONPATH": _root()},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (found.returncode, found.stdout) == (0, b"=")
    assert not re.search(b"Traceback|Error|pipe", found.stderr), found.stderr


def _root() -> str:
    return str(Path(__file__).resolve().parents[3])


def test_keys_are_not_printed(validate: Validate, monkeypatch: pytest.MonkeyPatch) -> None:
    """No key is ever part of what is said."""
    monkeypatch.setenv("KRAKEN_API_KEY", READ_KEY)
    monkeypatch.setenv("KRAKEN_API_SECRET", READ_SECRET)
    said = validate(f"{HEADER}\n{GOOD}\n", "--verbose")[1]
    assert READ_KEY not in said
    assert READ_SECRET not in said
