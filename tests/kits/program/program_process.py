"""The real program as a process of its own, beside an embedded exchange in the test's process."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from fake_kraken import FakeKraken
from tests.kits.program.program_host import Host, Hosted
from ttslo_app.orders.intents import read_intents, with_intents
from ttslo_app.store.disk import Disk
from ttslo_app.store.journal import IntentJournal

PAIR, SYMBOL = "XXBTZUSD", "BTC/USD"
HEADER = "id,pair,threshold_price,threshold_type,direction,volume,trailing_offset_percent,enabled"
ROW = "btc,BTC/USD,51000,above,sell,0.01,0.5,true"
# A deadline as in earnest: Kraken would refuse what a busy machine sends seconds late. The rest is
# as short as the tests can bear; two readings of Kraken's clock differ by up to a second.
SETTINGS = (
    "deadline=5.0,deadline_margin=1.05,lookup_gap=0.4,late_books=0.3,ask_again=0.1,"
    "ask_again_max=0.5,refusal_wait=0.2,refusal_wait_max=1,write_again=0.1,watch=0.3"
)
PATIENCE = 60.0
READ_KEY = "READ-KEY-THAT-MUST-NOT-SHOW"
READ_SECRET = "cmVhZGluZyBzZWNyZXQgdGhhdCBtdXN0IG5vdCBzaG93"
KEYS = ("KRAKEN_API_KEY", "KRAKEN_API_SECRET", "KRAKEN_API_KEY_RW", "KRAKEN_API_SECRET_RW")
WITHOUT_KEYS = dict.fromkeys(KEYS, "")
HAS_SIGTERM = os.name != "nt"  # there, `terminate` kills
_DRIVER = Path(__file__).resolve().parents[1] / "crashes" / "crash_driver.py"
_HOST = Host(_DRIVER)


def wait_until(
    is_true: Callable[[], object], what: str | Callable[[], str], patience: float = PATIENCE
) -> None:
    """Return once `is_true`; fail, naming `what`, if it is not within `patience` seconds."""
    end = time.monotonic() + patience
    happened = threading.Event()
    while not is_true():
        if time.monotonic() > end:
            text = what if isinstance(what, str) else what()
            raise AssertionError(f"it did not come to this: {text}")
        happened.wait(0.005)


def with_reading_key(exchange: FakeKraken) -> FakeKraken:
    """Let the exchange know the key that the program reads with, beside its trading key."""
    exchange.add_key(READ_KEY, READ_SECRET, {"query funds", "query open", "query closed"})
    return exchange


def environment_for(exchange: FakeKraken, **changes: str) -> dict[str, str]:
    """Return the environment in which the program meets `exchange` and has both keys."""
    return {
        **os.environ,
        "KRAKEN_SPOT_URL": exchange.rest_url,
        "KRAKEN_WS_PUBLIC_URL": exchange.ws_url,
        "KRAKEN_API_KEY": READ_KEY,
        "KRAKEN_API_SECRET": READ_SECRET,
        "KRAKEN_API_KEY_RW": exchange.api_key,
        "KRAKEN_API_SECRET_RW": exchange.api_secret,
        "TTSLO_ORDER_SETTINGS": SETTINGS,
        "PYTHONUNBUFFERED": "1",
        **changes,
    }


def _start(
    plan: str, flags: Sequence[str], folder: Path, environment: Mapping[str, str], out: int
) -> subprocess.Popen[bytes] | Hosted:
    """Start the driver, as a fork of one that is loaded already where that makes no difference."""
    if _HOST.takes(environment):
        return _HOST.start(plan, flags, folder, environment, out)
    return subprocess.Popen(  # the tests' own script
        [sys.executable, str(_DRIVER), plan, *flags],
        cwd=folder,
        env=dict(environment),
        stdout=out,
        stderr=subprocess.STDOUT,
    )


class ProgramProcess:
    """One run of the program. In a `with` it is ended at the end, the hard way if need be.

    Args:
        folder: Its working folder, with the three files.
        environment: As `environment_for` gives it.
        flags: Of the command line.
        plan: For `crash_driver.py`.
        screen: Where it prints; a file of the folder where it is left out.
    """

    _started = 0

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        flags: Sequence[str] = (),
        plan: Mapping[str, Any] | None = None,
        screen: BinaryIO | None = None,
    ) -> None:
        ProgramProcess._started += 1
        self.folder = folder
        self._said = folder / f"said-{ProgramProcess._started}.txt"
        with self._said.open("wb") as said:
            out = (screen or said).fileno()
            self._process = _start(json.dumps(plan or {}), flags, folder, environment, out)

    def __enter__(self) -> ProgramProcess:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.poll() is not None

    @property
    def output(self) -> str:
        """What it has printed so far, errors too."""
        return self._said.read_text(encoding="utf-8", errors="replace")

    @property
    def moments(self) -> list[str]:
        """The steps and writes that the driver has told."""
        return [line[2:] for line in self.output.splitlines() if line.startswith("@ ")]

    def wait(self) -> int:
        """Wait for the end and return the exit code."""
        try:
            return self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not end; it said:\n{self.output}") from None

    def kill(self) -> None:
        """End it at once, if it has not ended."""
        self._process.kill()
        self._process.wait()

    def send(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Ask it to end, wait, and return the exit code; 0 where a signal would kill it."""
        if not HAS_SIGTERM:
            self.kill()
            return 0
        self.send(number)
        return self.wait()

    def wait_for(self, text: str) -> None:
        """Wait until it has printed `text`."""
        wait_until(
            lambda: text in self.output or self._ended_without(text),
            lambda: f"it says {text!r}; it said:\n{self.output}",
        )

    def _ended_without(self, text: str) -> bool:
        if self.has_ended and text not in self.output:
            raise AssertionError(f"it ended and never said {text!r}; it said:\n{self.output}")
        return False


class Scene:
    """A folder with a config.csv, an exchange where BTC/USD stands at 50000, and runs of both."""

    def __init__(self, exchange: FakeKraken, folder: Path, rows: Sequence[str] = (ROW,)) -> None:
        self.exchange = with_reading_key(exchange)
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.write_config(rows)
        # Nobody is just saving it, so that notes are written at once.
        written_at = time.time_ns() - 3_600 * 10**9 | 1
        os.utime(self.folder / "config.csv", ns=(written_at, written_at))

    def write_config(self, rows: Sequence[str]) -> None:
        """Replace config.csv, as an editor does."""
        new = self.folder / "config.new"
        new.write_text("\n".join([HEADER, *rows, ""]), encoding="utf-8")
        new.replace(self.folder / "config.csv")

    def run(
        self,
        *flags: str,
        plan: Mapping[str, Any] | None = None,
        screen: BinaryIO | None = None,
        **env: str,
    ) -> ProgramProcess:
        """Start the program."""
        environment = environment_for(self.exchange, **env)
        return ProgramProcess(self.folder, environment, flags, plan, screen)

    def cross(self) -> None:
        """Let the price pass the threshold of `ROW`."""
        self.exchange.set_price(PAIR, "51001")

    def fall_back(self) -> None:
        """Let the price be what it was at the start."""
        self.exchange.set_price(PAIR, "50000")

    def wait_for_stream(self, program: ProgramProcess) -> None:
        """Wait until the program is told of every trade, or has ended."""
        wait_until(
            lambda: self.exchange.is_subscribed(SYMBOL, "trade") or program.has_ended,
            "the program follows the trades",
        )

    def break_next_order(self, fault: Mapping[str, Any]) -> None:
        """Let the next AddOrder meet a fault, once the program has had its orders checked."""
        assert self.exchange.wait_for(lambda e: e.count("AddOrder") > len(self.sent), PATIENCE)
        self.exchange.fault(endpoint="AddOrder", count=1, **fault)

    def wait_for_files(self, program: ProgramProcess, rule_id: str = "btc") -> str:
        """Wait until both files name one and the same order, and return it."""

        def is_written() -> bool:
            assert not program.has_ended, f"it ended too early; it said:\n{program.output}"
            return self.is_written(rule_id)

        wait_until(is_written, lambda: f"both files name the order; it said:\n{program.output}")
        return self.state(rule_id)["order_id"]

    def is_written(self, rule_id: str = "btc") -> bool:
        """Tell whether both files name one and the same order."""
        named = self.state(rule_id).get("order_id", "")
        return bool(named) and self.config(rule_id).get("order_id") == named

    def state(self, rule_id: str = "btc") -> dict[str, str]:
        """Return the row of state.csv, with what its journal of intents says beyond it."""
        row = row_of(self.folder / "state.csv", rule_id)
        journal = IntentJournal(self.folder / "state.csv", Disk())
        return with_intents({rule_id: row}, read_intents(journal.load()))[rule_id]

    def config(self, rule_id: str = "btc") -> dict[str, str]:
        """Return the row of config.csv."""
        return row_of(self.folder / "config.csv", rule_id)

    def logged(self, level: str) -> str:
        """Return the messages of a level in the log file, a line each."""
        path = self.folder / "logs.csv"
        if not path.exists():
            return ""
        with path.open(encoding="utf-8", newline="") as file:
            # All at once: see `LiveProgram.log_rows`.
            rows = csv.DictReader(file.readlines())
            return "\n".join(r["message"] for r in rows if r["level"] == level)

    @property
    def sent(self) -> list[dict[str, str]]:
        """The orders that came in to be placed, mere validations left out."""
        calls = [r.params for r in self.exchange.requests if r.endpoint == "AddOrder"]
        return [params for params in calls if params.get("validate") != "true"]


def row_of(path: Path, rule_id: str) -> dict[str, str]:
    """Return the row of an id in a CSV file, {} where there is none."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return next((row for row in csv.DictReader(file) if row["id"] == rule_id), {})
    except FileNotFoundError:
        return {}


@pytest.fixture
def scene(exchange: FakeKraken, tmp_path: Path) -> Scene:
    """Hand out a folder with one row, beside an exchange where BTC/USD stands at 50000."""
    return Scene(exchange, tmp_path)


def run(scene: Scene, *flags: str, **env: str) -> tuple[int, str]:
    """Run the program to its end; return the exit code and all that it printed."""
    with scene.run(*flags, plan={"quiet": True}, screen=None, **env) as program:
        return program.wait(), program.output


def arm_then_cross(scene: Scene) -> None:
    """Let a first run arm the row, and the price cross it while the program is off."""
    code, output = run(scene, "--once")
    assert code == 0, output
    scene.cross()


def assert_no_traceback(output: str) -> None:
    """Fail if a person was shown the inside of the program."""
    assert "Traceback" not in output, output
