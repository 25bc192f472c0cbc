"""The program: what it serves, what it plays, and how it says that it cannot."""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests

import fake_kraken
from fake_kraken import FakeKraken
from fake_kraken.__main__ import main
from fake_kraken.faults import FAULTS
from fake_kraken.replay import random_path
from tests.kits.exchange.exchange_kit import LONG, Client

ROOT = Path(fake_kraken.__file__).parents[1]

HEADER = "timestamp,open,high,low,close,volume\n"

BAD_REPLAYS = [
    ("time,price\n1,2\n", ("line 1", "no column timestamp, open", "header")),
    (HEADER + "2022-01-31,1,x,1,1,1\n", ("line 2", "high", "'x'", "positive number")),
    (HEADER + "2022-01-31,1,1,1,1,1\n2022-01-31,1,1,0,1,1\n", ("line 3", "low", "'0'")),
    (HEADER + "2022-01-31,1,1\n", ("line 2", "low", "''")),
    (HEADER + "yesterday,1,1,1,1,1\n", ("line 2", "timestamp", "'yesterday'", "2022-01-31")),
]


@pytest.mark.parametrize(("text", "said"), BAD_REPLAYS)
def test_replay_that_cannot_be_read_is_named(
    tmp_path: Path, text: str, said: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """File, line, field, value and cure, before anything is served."""
    file = tmp_path / "replay.csv"
    file.write_text(text, encoding="utf-8")
    assert main(["--port", "0", "--replay", str(file)]) == 1
    message = capsys.readouterr().err
    assert message.startswith(f"Cannot run: {file} ")
    assert [part for part in said if part not in message] == []


def test_replay_of_other_bytes_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is no UTF-8 is said to be none."""
    file = tmp_path / "replay.csv"
    file.write_bytes(HEADER.encode() + b"\xff\xff")
    assert main(["--port", "0", "--replay", str(file)]) == 1
    assert "write it as CSV in UTF-8" in capsys.readouterr().err


@pytest.fixture
def program() -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Hand out a starter of the program as a process, which is ended with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*args: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "fake_kraken", *args]
        env, pipe = os.environ | {"PYTHONPATH": str(ROOT)}, subprocess.PIPE
        started.append(subprocess.Popen(command, env=env, stdout=pipe, stderr=pipe, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


Start = Callable[..., "subprocess.Popen[str]"]


def greeting_of(process: "subprocess.Popen[str]") -> dict[str, str]:
    """Return what the program says at its start, by name."""
    assert process.stdout is not None
    lines = [process.stdout.readline().split(maxsplit=1) for _ in range(5)]
    return {name: value.strip() for name, value in lines}


def test_program_serves_until_it_is_ended(program: Start, session: requests.Session) -> None:
    """It says its addresses and the key pair it accepts, which is so; SIGTERM ends it with 0."""
    process = program("--port", "0", "--key", "mine", "--secret", "eHh4", "--fault", "no_ack")
    said = greeting_of(process)
    assert (said["key"], said["secret"]) == ("mine", "eHh4")
    assert said["stream"] == said["REST"].replace("http", "ws") + "/v2"
    twin = FakeKraken(key=said["key"], secret=said["secret"])
    twin.port = int(said["REST"].rsplit(":", 1)[1])
    assert Client(twin, session).post("Balance")["error"] == []
    process.send_signal(signal.SIGTERM)
    assert process.wait(LONG) == (0 if os.name == "posix" else 1)


@pytest.mark.skipif(os.name == "nt", reason="no sh there")
def test_program_prints_lines_that_a_shell_takes_as_they_are(program: Start) -> None:
    """Pasted, they give whatever is started next all addresses and both pairs of keys."""
    process = program("--port", "0", "--key", "a 'b", "--secret", "eHh4")
    said = greeting_of(process)
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(16)]
    exports = "".join(line for line in lines if line.startswith("export "))
    shown = subprocess.run(
        ["sh", "-c", f"{exports}env"], capture_output=True, text=True, check=True
    )
    found = dict(line.partition("=")[::2] for line in shown.stdout.splitlines())
    assert found["KRAKEN_SPOT_URL"] == said["REST"]
    assert found["KRAKEN_WS_PUBLIC_URL"] == said["stream"]
    assert found["KRAKEN_WS_AUTH_URL"] == said["account"]
    assert found["KRAKEN_API_KEY"] == found["KRAKEN_API_KEY_RW"] == "a 'b"
    assert found["KRAKEN_API_SECRET"] == found["KRAKEN_API_SECRET_RW"] == "eHh4"
    assert sum(line.startswith("$env:KRAKEN_") for line in lines) == 7


@pytest.mark.skipif(os.name == "nt", reason="no shell leaves it deaf there")
def test_program_that_was_started_deaf_to_ctrl_c_stays_deaf(program: Start) -> None:
    """A background job of a shell goes on when Ctrl-C ends what runs in the foreground."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = program("--port", "0")
        greeting_of(process)
    finally:
        signal.signal(signal.SIGINT, before)
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)
    process.send_signal(signal.SIGTERM)
    assert process.wait(LONG) == 0


def test_program_plays_a_replay(program: Start, tmp_path: Path, session: requests.Session) -> None:
    """Prices of the file, with its dates."""
    file = tmp_path / "replay.csv"
    file.write_text(HEADER + "2022-01-31 23:59:00,101,104,100,103,1\n", encoding="utf-8")
    process = program("--port", "0", "--replay", str(file), "--speed", "1000")
    url = greeting_of(process)["REST"] + "/0/public/Trades?pair=XBTUSD"
    rows: list[Any] = []
    end = time.monotonic() + LONG
    while not rows and time.monotonic() < end:
        rows = session.get(url, timeout=LONG).json()["result"]["XXBTZUSD"]
    assert [row[0] for row in rows] == ["101.0", "100.0", "104.0", "103.0"]
    assert int(rows[0][2]) == 1643673540
    process.send_signal(signal.SIGINT)
    assert process.wait(LONG) == (0 if os.name == "posix" else 1)


def played(
    monkeypatch: pytest.MonkeyPatch, prices: int, *args: str
) -> list[tuple[str, list[Decimal]]]:
    """Return the first prices that the program plays; then it is ended."""
    seen: list[tuple[str, list[Decimal]]] = []
    handlers: dict[int, Callable[..., None]] = {}

    def set_prices(self: FakeKraken, pair: str, prices_: Any, at: float | None = None) -> None:
        seen.append((pair, list(prices_)))
        if len(seen) == prices:
            handlers[signal.SIGTERM]()

    monkeypatch.setattr(
        signal, "signal", lambda number, handler: handlers.update({number: handler})
    )
    monkeypatch.setattr(FakeKraken, "set_prices", set_prices)
    assert main(["--port", "0", "--speed", "1000", *args]) == 0
    return seen


def test_program_switches_every_fault_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its name, or with options as a test gives them."""
    made: list[dict[str, Any]] = []
    monkeypatch.setattr(FakeKraken, "fault", lambda self, **options: made.append(options))
    faults = [*FAULTS, "dripping_reply,endpoint=AddOrder,seconds=0.5,count=2"]
    played(monkeypatch, 1, *(text for fault in faults for text in ("--fault", fault)))
    dripping = {"name": "dripping_reply", "endpoint": "AddOrder", "seconds": 0.5, "count": 2}
    assert made == [*({"name": name} for name in FAULTS), dripping]


def test_program_plays_made_up_prices(monkeypatch: pytest.MonkeyPatch) -> None:
    """A walk of the pair that is asked for, around its price."""
    seen = played(monkeypatch, 3, "--pair", "ETHUSD", "--seed", "5")
    expected = itertools.islice(random_path(Decimal("4000.00"), Decimal("0.01"), 5), 3)
    assert seen == [("ETHUSD", [price]) for price in expected]


def test_program_plays_a_script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Rows of seconds, pair and price."""
    file = tmp_path / "script.csv"
    file.write_text("seconds,pair,price\n0,XBTUSD,1\n1.5, ETH/USD ,2.5\n", encoding="utf-8")
    seen = played(monkeypatch, 2, "--script", str(file))
    assert seen == [("XBTUSD", [Decimal(1)]), ("ETH/USD", [Decimal("2.5")])]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("x,XBTUSD,1", "seconds: 'x'"),
        ("NaN,XBTUSD,1", "seconds: 'NaN'"),
        ("-1,XBTUSD,1", "seconds: '-1'"),
        ("1,NOPE,1", "pair: 'NOPE'"),
        ("1,XBTUSD,-1", "price: '-1'"),
    ],
)
def test_script_that_cannot_be_read_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], row: str, said: str
) -> None:
    """As a replay is."""
    file = tmp_path / "script.csv"
    file.write_text(f"seconds,pair,price\n{row}\n", encoding="utf-8")
    assert main(["--port", "0", "--script", str(file)]) == 1
    assert f"{file} line 2, {said}" in capsys.readouterr().err


def test_program_says_why_it_cannot_begin(
    exchange: FakeKraken, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Port in use, secret, pair, missing file: a sentence and 1."""
    for args, said in (
        (["--port", str(exchange.port)], "in use"),
        (["--port", "0", "--secret", "?"], "not base64"),
        (["--port", "0", "--pair", "NOPE"], "Unknown asset pair"),
        (["--port", "0", "--replay", str(tmp_path / "none.csv")], "none.csv"),
    ):
        assert main(args) == 1
        message = capsys.readouterr().err
        assert said in message
        assert message.startswith("Cannot run: ")


@pytest.mark.parametrize(
    "args",
    [
        *(["--port", "x"], ["--port", "70000"], ["--speed", "0"], ["--speed", "inf"]),
        *(["--fault", "x"], ["--fault", "mute,count=0"], ["--fault", "mute,colour=red"]),
        *(["--fault", "mute,count=x"], ["--fault", "mute,symbol"]),
    ],
)
def test_option_that_makes_no_sense_is_refused(
    args: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """With usage, and 2."""
    with pytest.raises(SystemExit) as caught:
        main(args)
    assert caught.value.code == 2
    assert args[0] in capsys.readouterr().err
