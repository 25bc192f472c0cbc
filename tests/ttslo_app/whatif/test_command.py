"""The command line of `ttslo whatif`: what it takes, what it says, and how it ends."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from ttslo_app.commands.table import dispatch
from ttslo_app.whatif import command as whatif

HEADER = "id,pair,threshold_price,threshold_type,direction,volume,trailing_offset_percent,enabled\n"
TRADES = "1641000000,50000,1\n1641000060,50500,1\n1641000120,52000,1\n1641000180,51480,1\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Hand out a working folder with a config and a file of trades."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.csv").write_text(HEADER + "up,BTC/USD,50500,above,sell,0.01,1.0,true\n")
    (tmp_path / "XBTUSD.csv").write_text(TRADES)
    return tmp_path


def test_row_is_told_for_a_person(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whose prices they are is taken from the file's name, and nothing is written."""
    before = sorted(path.name for path in folder.iterdir())
    assert whatif.main(["--trades", "XBTUSD.csv"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(
        "WHAT IF: 4 prices of BTC/USD, 2022-01-01T01:20:00Z to 2022-01-01T01:23:00Z\n"
    )
    assert "fee 0.4 %, slippage 0.05 %" in said
    assert "  sold 2022-01-01T01:23:00Z at 51480: 514.80 less 2.32 = 512.48 USD" in said
    assert "The past is no promise." in said
    assert sorted(path.name for path in folder.iterdir()) == before


def test_row_is_told_for_a_program(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One object, with its number of form."""
    assert whatif.main(["--trades", "XBTUSD.csv", "--json", "--fee", "0", "--slippage", "0"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["schema"], told["pair"], told["prices"]) == (whatif.SCHEMA, "BTC/USD", 4)
    (row,) = told["rows"]
    assert (row["id"], row["trailed"]["net"], row["trailed"]["filled"]) == ("up", "514.80", True)


def test_word_of_the_command_line_leads_here(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As `ttslo whatif`."""
    assert dispatch(["whatif", "--trades", "XBTUSD.csv"]) == 0
    assert "WHAT IF" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        ([], "--trades --replay --candles --since is required"),
        (["--trades", "a", "--replay", "b"], "not allowed with"),
        (["--trades", "XBTUSD.csv", "--fee", "x"], "--fee"),
        (["--trades", "XBTUSD.csv", "--fee", "100"], "--fee"),
        (["--trades", "XBTUSD.csv", "--slippage", "-1"], "--slippage"),
        (["--since", "soon"], "--since"),
        (["--trades", "XBTUSD.csv", "--sweep", "offset=1%"], "--sweep"),
        (["--trades", "XBTUSD.csv", "--sweep", "offset=1%", "width=2%"], "'width=2%' is no side"),
    ],
)
def test_flag_that_is_wrong_ends_with_2(
    folder: Path, capsys: pytest.CaptureFixture[str], argv: list[str], named: str
) -> None:
    """And names it."""
    with pytest.raises(SystemExit) as ended:
        whatif.main(argv)
    assert ended.value.code == 2
    assert named in capsys.readouterr().err


def test_missing_package_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the command that brings it."""
    monkeypatch.setitem(sys.modules, "ttslo_app.whatif.work", None)
    assert whatif.main(["--trades", "XBTUSD.csv"]) == 1
    assert "pip install numpy pyarrow" in capsys.readouterr().err


def test_sweep_is_read_from_the_command_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both sides of its grid."""
    argv = ["--trades", "XBTUSD.csv", "--sweep", "threshold=+1%..+2%:2", "offset=1%..3%:3"]
    assert whatif.main(argv) == 0
    assert "IN SAMPLE: 6 tries" in capsys.readouterr().out


def test_page_is_written_where_it_is_asked_for(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whole, and beside nothing else."""
    assert whatif.main(["--trades", "XBTUSD.csv", "--html", "report.html"]) == 0
    assert capsys.readouterr().out.endswith("written: report.html\n")
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert page.endswith("</body></html>\n")
    assert sorted(path.name for path in folder.iterdir()) == [
        *("XBTUSD.csv", "config.csv", "report.html"),
    ]


def test_page_does_not_disturb_what_programs_read(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One object, and nothing besides."""
    assert whatif.main(["--trades", "XBTUSD.csv", "--html", "report.html", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"]


def test_page_that_cannot_be_written_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its name."""
    assert whatif.main(["--trades", "XBTUSD.csv", "--html", "nowhere/report.html"]) == 1
    assert "report.html cannot be written: " in capsys.readouterr().err


def test_missing_package_of_the_page_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever wants no page needs it not."""
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    assert whatif.main(["--trades", "XBTUSD.csv", "--html", "report.html"]) == 1
    assert "pip install plotly" in capsys.readouterr().err
    assert whatif.main(["--trades", "XBTUSD.csv"]) == 0
