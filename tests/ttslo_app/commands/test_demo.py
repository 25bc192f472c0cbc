"""The demo: the program, an exchange, and prices that are made up or recorded."""

from __future__ import annotations

import argparse
import json
from decimal import Decimal
from pathlib import Path

import pytest

from tests.kits.program.live_program import let_demo_be_patient
from tests.kits.signs.receiver_kit import Receiver
from ttslo import main
from ttslo_app.commands import demo
from ttslo_app.commands.demo import Bar, made_up_bars, run_demo, swept
from ttslo_app.face.voice import Console
from ttslo_app.rules.rule import Rule, read_rule
from ttslo_app.signs.telling import telling_from

COLUMNS = "timestamp,open,high,low,close,volume"


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge what the demo shows, and not how busy the machine is."""
    let_demo_be_patient(monkeypatch)


def recording(folder: Path, *rows: str) -> str:
    """Write a file of recorded minutes and return its path."""
    path = folder / "minutes.csv"
    path.write_text("\n".join([COLUMNS, *rows, ""]), encoding="utf-8")
    return str(path)


def rule() -> Rule:
    """Return a rule at 110 and above."""
    return read_rule(
        {
            "id": "a",
            "pair": "BTC/USD",
            "threshold_price": "110",
            "threshold_type": "above",
            "direction": "sell",
            "volume": "1",
            "trailing_offset_percent": "1",
        }
    )


def test_demo_shows_crossing_order_trailing_and_fill(capsys: pytest.CaptureFixture[str]) -> None:
    """Both rows cross once, each leads to one order, and both stops fill."""
    assert run_demo(pause=0.004) == 0
    printed = capsys.readouterr().out
    assert "sell_high: BTC/USD at or above 50500 crossed at 50500; order O" in printed
    assert "sell_high  at or above 50500: crossed at 50500" in printed
    assert "filled at 51450" in printed
    assert "filled at 47950" in printed
    assert "Each crossing led to one order." in printed


def test_demo_waits_for_its_program_on_a_machine_that_is_slow(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No price is played before it is listened to, and none passes a crossing without its order."""
    monkeypatch.setattr(demo, "_PATIENCE", 0.0)
    assert run_demo(pause=0.0) == 0
    printed = capsys.readouterr().out
    assert "sell_high  at or above 50500: crossed at 50500, sell" in printed
    assert "buy_dip    at or below 48000: crossed at 48000, buy" in printed


def test_demo_on_recorded_prices_names_the_minute(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Thresholds around the first price fire in the minutes that touch them, and in no other."""
    path = recording(
        tmp_path,
        "2022-01-01 00:00:00,50000,50100,49900,50000,1",
        "2022-01-01 00:01:00,50000,51200,50000,51200,1",
        "2022-01-01 00:02:00,51200,51200,49000,49000,1",
        "2022-01-01 00:03:00,49000,49000,47400,47600,1",
        "2022-01-01 00:04:00,47600,47700,47500,47600,1",
    )
    assert main(["--demo", "--replay", path]) == 0
    printed = capsys.readouterr().out
    assert (
        "up_2       at or above 51000: crossed at 51200 in the minute 2022-01-01 00:01" in printed
    )
    assert (
        "down_5     at or below 47500: crossed at 47400 in the minute 2022-01-01 00:03" in printed
    )
    assert "down_15    at or below 42500: never crossed" in printed


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("2022-01-01 00:00:00,x,2,1,2,1", "line 2, open: 'x' is no price"),
        ("yesterday,1,2,1,2,1", "line 2, timestamp: 'yesterday' is no time"),
        ("", "holds no prices"),
    ],
)
def test_demo_on_a_bad_recording_says_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], row: str, sentence: str
) -> None:
    """A recording that cannot be read names file, line, field and cure, and ends with 1."""
    assert main(["--demo", "--replay", recording(tmp_path, row)]) == 1
    assert sentence in capsys.readouterr().err


def test_demo_on_a_missing_recording_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is not there is a sentence and exit code 1."""
    assert main(["--demo", "--replay", "nowhere.csv"]) == 1
    assert "nowhere.csv" in capsys.readouterr().err


def test_replay_without_demo_is_a_wrong_flag() -> None:
    """Recorded prices are for the demo alone."""
    with pytest.raises(SystemExit) as ended:
        main(["--replay", "minutes.csv"])
    assert ended.value.code == 2


def test_sweeps_hold_every_price_in_order_and_leave_crossings_alone() -> None:
    """Joined bars carry all prices; a bar that touches a threshold is played by itself."""
    prices = [100, 101, 105, 111, 104, 103]
    bars = [Bar([Decimal(p)], str(p)) for p in prices]
    found = list(swept(bars, [rule()]))
    assert [[int(p) for p in bar.prices] for bar in found] == [[100, 101, 105], [111], [104, 103]]
    assert found[1].name == "111"


def test_made_up_path_turns_where_it_should() -> None:
    """The path goes over both thresholds and through both stops."""
    path = [bar.prices[0] for bar in made_up_bars(0)]
    assert max(path) == 52000
    assert min(path) == 47200
    assert path[-1] == 48100


def test_demo_speaks_json_where_that_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    """Its own lines and the program's are objects alike, and nothing else is printed."""
    console = Console()
    console.is_json = True
    assert run_demo(pause=0.004, console=console) == 0
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    texts = [one["text"] for one in said]
    assert texts[0].startswith("DEMO on http://127.0.0.1:")
    assert texts[-1] == "Each crossing led to one order."
    placed = [one["row"] for one in said if one["kind"] == "order placed"]
    assert placed == ["sell_high", "buy_dip"]


def test_demo_tells_those_who_are_named_and_marks_each_message() -> None:
    """A rehearsal is told as one, to the last message."""
    with Receiver() as receiver:
        url = f"orders=json://{receiver.place}/"
        options = argparse.Namespace(notify=[url], ping=None, log_format="text")
        assert run_demo(pause=0.004, telling=telling_from(options)) == 0
        messages = receiver.messages
    assert messages
    assert all(message["title"].startswith("TTSLO DEMO: ") for message in messages)
    told = "".join(message["message"] for message in messages)
    assert told.count(" placed: ") == 2
    assert told.count(" is filled: ") == 2
