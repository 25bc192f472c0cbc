"""Replays: prices in, rows with random thresholds, and an oracle that tries everything.

The program runs as a process of its own, so that it can be killed without a word.
"""

from __future__ import annotations

import csv
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from config import ConfigManager, StateLock
from fake_kraken import FakeKraken
from kraken_api import KrakenAPI
from krakenlink.stream.settings import FeedSettings
from ttslo import TTSLO
from ttslo_app.orders.life import OrderSettings
from ttslo_app.rules.rule import Rule, WhenBlind, read_rule
from ttslo_app.run.program import keeping_journal
from ttslo_app.watch.past import Bounds, Pace
from ws_price_provider import WebSocketPriceProvider

PAIR, SYMBOL = "XXBTZUSD", "BTC/USD"
_COLUMNS = "id,pair,threshold_price,threshold_type,direction,volume,trailing_offset_percent,enabled"
PATIENCE = 120.0


def random_rows(count: int, prices: Sequence[Decimal], chance: random.Random) -> list[str]:
    """Return rows with thresholds around the whole range of `prices`, to one decimal.

    None is met by the first price, nor so near to it that the row would be refused.
    """
    start, low, high = prices[0], min(prices), max(prices)
    margin = (high - low) / 10
    rows: list[str] = []
    while len(rows) < count:
        level = Decimal(str(round(chance.uniform(float(low - margin), float(high + margin)), 1)))
        if abs(level - start) / start < Decimal("0.002"):
            continue
        kind = "above" if level > start else "below"
        rows.append(f"r{len(rows)},BTC/USD,{level},{kind},sell,0.001,0.1,true")
    return rows


def rules_of(rows: Iterable[str]) -> list[Rule]:
    """Return the rules of rows."""
    names = _COLUMNS.split(",")
    return [read_rule(dict(zip(names, row.split(","), strict=False))) for row in rows]


def oracle(rules: Iterable[Rule], prices: Sequence[Decimal]) -> dict[str, Decimal]:
    """Return the first price that crosses each rule, by id, the slow and certain way."""
    found: dict[str, Decimal] = {}
    for rule in rules:
        for price in prices:
            if rule.is_met_by(price):
                found[rule.id] = price
                break
    return found


# --- the program as a process --------------------------------------------------------------------


class Program:
    """The program as a process; `kill` gives it no moment to save anything.

    Args:
        folder: Where its files are; what it prints goes to `output.txt` there.
        quick: Settle an order of unknown outcome in a second instead of twenty: the embedded
            exchange takes no order late and shows it at once.
    """

    def __init__(self, exchange: FakeKraken, folder: Path, *, quick: bool = False) -> None:
        self._exchange = exchange
        self._folder = folder
        self._quick = quick
        self._process: subprocess.Popen[bytes] | None = None

    def write(self, rows: Iterable[str]) -> None:
        """Write config.csv."""
        text = "\n".join([_COLUMNS, *rows, ""])
        (self._folder / "config.csv").write_text(text, encoding="utf-8")

    def start(self) -> None:
        """Start it, and wait until it follows the trades."""
        exchange = self._exchange
        address = (exchange.rest_url, exchange.ws_url, exchange.api_key, exchange.api_secret)
        how = "quick" if self._quick else "patient"
        cache = {"TTSLO_CACHE_DIR": str(self._folder / "cache")}
        with (self._folder / "output.txt").open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, __file__, *address, how],
                cwd=self._folder,
                env={**os.environ, **cache},
                stdout=output,
                stderr=output,
            )
        self.wait_until_back()

    def wait_until_back(self) -> None:
        """Wait until it follows the trades."""
        if not self._exchange.wait_for(lambda e: e.is_subscribed(SYMBOL, "trade"), PATIENCE):
            raise TimeoutError(f"the program does not come back; see {self._folder}/output.txt")

    def kill(self) -> None:
        """End it without a word, and wait until it is gone."""
        assert self._process is not None
        self._process.kill()
        self._wait_until_gone(self._process)

    def end(self) -> None:
        """Tell it to end, and wait until it has."""
        assert self._process is not None
        self._process.terminate()
        self._wait_until_gone(self._process)

    def _wait_until_gone(self, process: subprocess.Popen[bytes]) -> None:
        process.wait(60)
        self._exchange.wait_for(lambda e: not e.is_subscribed(SYMBOL, "trade"), 10)

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(60)


def run_program(rest_url: str, ws_url: str, key: str, secret: str, how: str) -> None:
    """Be the program, in the folder that this process was started in, until SIGTERM.

    It is `ttslo.py`'s, but for its manners: Kraken bans whoever connects as often as this does,
    and an exchange of one's own does not.
    """
    impatient = FeedSettings(
        retry_delays=(0.0, 0.05), stable_after=0.2, budget_attempts=1_000_000, budget_window=1.0
    )
    reading = KrakenAPI(base_url=rest_url, ws_url=ws_url)
    reading._provider = WebSocketPriceProvider(ws_url, settings=impatient)
    # Two readings of Kraken's clock differ by up to a second.
    settings = OrderSettings(deadline=3.0, deadline_margin=1.05, lookup_gap=0.1)
    program = TTSLO(
        ConfigManager(),
        reading,
        KrakenAPI(key, secret, rest_url, use_websocket=False),
        settings=settings if how == "quick" else None,
        when_blind=WhenBlind.ALWAYS,
        # A month goes by in a minute here, and a minute of trades is no job for candles.
        pace=Pace(0.01, 0.0, 0.1, 0.02, 0.1, 1.0, Bounds(trades=10_000_000)),
    )
    signal.signal(signal.SIGTERM, lambda number, frame: program.stop())
    with StateLock("state.csv"), keeping_journal(program):
        program.load_state()
        program.recover()
        program.check_config_file_changed()
        program.validate_and_load_config()
        program.run_continuous(1)


# --- what came of it -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fired:
    """A row of state.csv that has fired: its order, what fired it, and its first crossing."""

    order_id: str
    trigger_price: Decimal
    first_price: Decimal


def fired_in(folder: Path) -> dict[str, Fired]:
    """Return what has fired, by row."""
    path = folder / "state.csv"
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        return {
            row["id"]: Fired(
                row["order_id"],
                Decimal(row["trigger_price"]),
                Decimal(row.get("crossed_price") or row["trigger_price"]),
            )
            for row in csv.DictReader(file)
            if row["order_id"]
        }


def is_exact(found: dict[str, Fired], expected: dict[str, Decimal]) -> bool:
    """Tell whether exactly the rows of the oracle have fired, each with its first crossing."""
    return {i: fired.first_price for i, fired in found.items()} == expected


if __name__ == "__main__":
    run_program(*sys.argv[1:6])
