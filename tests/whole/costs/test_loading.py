"""What a run loads, and on which threads: nothing between a price and an order, nor beside one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from fake_kraken import FakeKraken
from tests.kits.common.ports import kept_ports
from tests.kits.program.program_process import HEADER, environment_for, wait_until, with_reading_key

ROOT = Path(__file__).resolve().parents[3]
PAIR = "XXBTZUSD"
ROWS = (
    "up,BTC/USD,51000,above,sell,0.01,1.0,true",
    "also,BTC/USD,51000,above,sell,0.02,1.0,true",
)
BESIDE = {"kraken-audit", "ttslo-notify"}
# The program, which tells of each module that is loaded, by which thread, among what it says.
TELLING = """
import os, sys, threading

def hear(event, args):
    if event == "import":
        os.write(1, f"@ {threading.current_thread().name} {args[0]}\\n".encode())

sys.path.insert(0, sys.argv.pop(1))
sys.addaudithook(hear)
import ttslo
sys.exit(ttslo.main(sys.argv[1:]))
"""


def test_run_loads_nothing_beside_its_prices(exchange: FakeKraken, tmp_path: Path) -> None:
    """A crossing would wait for it; and in the middle of an upgrade it may be another version's.

    An audit's thread alone loads what it needs, and a service's what it likes: nobody waits for it.
    """
    with_reading_key(exchange).set_price(PAIR, "50000")
    (tmp_path / "config.csv").write_text("\n".join([HEADER, *ROWS, ""]), encoding="ascii")
    env = environment_for(exchange, NOTIFY_SOCKET=str(tmp_path / "manager"), WATCHDOG_USEC="400000")
    # As a service manager's, a monitor's and a person's at once.
    place = exchange.rest_url.removeprefix("http://")
    figures, page = map(str, kept_ports(2))
    flags = ["--metrics-port", figures, "--web", page, "--notify", f"json://{place}/note"]
    said = tmp_path / "said"
    with said.open("wb") as out:
        run = subprocess.Popen(
            [sys.executable, "-c", TELLING, str(ROOT), "--ping", f"http://{place}/ping", *flags],
            cwd=tmp_path,
            env={name: value for name, value in env.items() if not name.startswith("COV")},
            stdout=out,
            stderr=subprocess.STDOUT,
        )

    def lines() -> list[str]:
        return said.read_text(encoding="utf-8", errors="replace").splitlines()

    def has_said(text: str, times: int = 1) -> bool:
        return sum(text in line for line in lines()) >= times

    def comes_to(text: str, times: int = 1) -> None:
        wait_until(lambda: has_said(text, times) or run.poll() is not None, text)
        assert has_said(text, times), "\n".join(lines())

    try:
        comes_to("The sign of life does not reach")  # so it has begun, and been looked at
        begun = len(lines())
        exchange.set_price(PAIR, "51100")
        comes_to("placed", len(ROWS))
        exchange.set_price(PAIR, "49000")
        comes_to("is filled", len(ROWS))
        ended = len(lines())
    finally:
        run.kill()
        run.wait()
    loads = [line.split() for line in lines() if line.startswith("@ ")]
    assert {module for _, thread, module in loads if thread == "MainThread"}, "nothing was heard"
    assert [load for load in loads if load[1] not in {"MainThread", *BESIDE}] == []
    later = [line.split() for line in lines()[begun:ended] if line.startswith("@ ")]
    assert [load for load in later if load[1] not in BESIDE] == []
