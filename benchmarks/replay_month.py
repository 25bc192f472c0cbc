"""A month of recorded prices through the real program, against an oracle that tries everything.

The program runs as a process of its own on an exchange of this one's. Its orders must be exactly
those of a brute-force look at the file: the same rows, one order each. With `--cuts` the stream is
cut at random moments, with `--kills` the program is killed without a word and started again.

    python benchmarks/replay_month.py PRICES.csv --rows 2000 --cuts 200 --kills 20
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import accumulate
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from replay import oracle, random_rows, rules_of  # noqa: E402

from config import ConfigManager, StateLock  # noqa: E402
from fake_kraken import FakeKraken, read_replay  # noqa: E402
from kraken_api import KrakenAPI  # noqa: E402
from ttslo import TTSLO  # noqa: E402
from ttslo_lookback import Pace  # noqa: E402
from ttslo_rules import WhenBlind  # noqa: E402
from ttslo_tape import Bounds  # noqa: E402
from ws_price_provider import WebSocketPriceProvider  # noqa: E402
from ws_protocol import FeedSettings  # noqa: E402

PAIR, SYMBOL = "XXBTZUSD", "BTC/USD"
HEADER = "id,pair,threshold_price,threshold_type,direction,volume,trailing_offset_percent,enabled"
FUNDS = {"XXBT": "100000", "ZUSD": "1000000000"}
# While the link is cut this many minutes are played at once; then the program is waited for.
BLIND_MINUTES = 5
PATIENCE = 120.0


class Program:
    """The program as a process; `kill` gives it no moment to save anything."""

    def __init__(self, exchange: FakeKraken, folder: Path) -> None:
        self._exchange = exchange
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it follows the trades."""
        exchange = self._exchange
        address = (exchange.rest_url, exchange.ws_url, exchange.api_key, exchange.api_secret)
        command = [sys.executable, __file__, "--program", *address]
        cache = {"TTSLO_CACHE_DIR": str(self._folder / "cache")}
        with (self._folder / "output.txt").open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                command,
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

    def end(self, number: signal.Signals) -> None:
        """End it by a signal, and wait until it is gone."""
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(30)
        self._exchange.wait_for(lambda e: not e.is_subscribed(SYMBOL, "trade"), 10)


def run_program(rest_url: str, ws_url: str, key: str, secret: str) -> None:
    """Be the program, in the folder that this process was started in, until SIGTERM.

    It is `ttslo.py`'s, but for its manners: Kraken bans whoever connects as often as this does,
    and an exchange of one's own does not.
    """
    impatient = FeedSettings(
        retry_delays=(0.0, 0.05), stable_after=0.2, budget_attempts=1_000_000, budget_window=1.0
    )
    reading = KrakenAPI(base_url=rest_url, ws_url=ws_url)
    reading._provider = WebSocketPriceProvider(ws_url, settings=impatient)
    program = TTSLO(
        ConfigManager(),
        reading,
        KrakenAPI(key, secret, rest_url, use_websocket=False),
        when_blind=WhenBlind.ALWAYS,
        # A month goes by in a minute here, and a minute of trades is no job for candles.
        pace=Pace(0.01, 0.0, 0.1, 0.02, 0.1, 1.0, Bounds(trades=10_000_000)),
    )
    signal.signal(signal.SIGTERM, lambda number, frame: program.stop())
    with StateLock("state.csv"):
        program.load_state()
        program.recover()
        program.check_config_file_changed()
        program.validate_and_load_config()
        program.run_continuous(1)


def orders_in(folder: Path) -> dict[str, tuple[str, Decimal]]:
    """Return order id and crossing price by row, from state.csv."""
    with (folder / "state.csv").open(encoding="utf-8", newline="") as file:
        return {
            row["id"]: (row["order_id"], Decimal(row["trigger_price"]))
            for row in csv.DictReader(file)
            if row["order_id"]
        }


def play(
    exchange: FakeKraken,
    program: Program,
    minutes: Sequence[Sequence[Decimal]],
    events: str,
    due: Sequence[int],
) -> None:
    """Play all minutes; `events` has a mark for each: c cuts the link, k kills the program.

    After a kill the minute goes on while the program is off. Then it is given the time to look up
    the orders that were under way, as it would have in life: `due` is how many orders there must
    be after each minute.
    """
    waits_in = 0
    for number, (prices, event) in enumerate(zip(minutes, events, strict=True)):
        if event == "c":
            exchange.drop_connections()
            waits_in = BLIND_MINUTES
        elif event == "k":
            program.end(signal.SIGKILL)
        exchange.set_prices(PAIR, prices)
        if event == "k":
            program.start()
            wait_for_orders(exchange, due[number])
        waits_in -= 1
        if waits_in == 0:
            program.wait_until_back()


def wait_for_orders(exchange: FakeKraken, count: int) -> None:
    """Wait until so many orders were placed, or patience ends: the report shows what lacks."""
    exchange.wait_for(lambda e: e.placed_count() >= count, PATIENCE)


def orders_due(minutes: Sequence[Sequence[Decimal]], expected: Iterable[Decimal]) -> list[int]:
    """Return after each minute how many of these first crossing prices have been played."""
    first: dict[Decimal, int] = {}
    for number, prices in enumerate(minutes):
        for price in prices:
            first.setdefault(price, number)
    crossed = Counter(first[price] for price in expected)
    return list(accumulate(crossed[number] for number in range(len(minutes))))


def marks(count: int, cuts: int, kills: int, chance: random.Random) -> str:
    """Return a mark for each of `count` minutes."""
    places = chance.sample(range(10, count - 10), cuts + kills)
    found = ["."] * count
    for place in places[:cuts]:
        found[place] = "c"
    for place in places[cuts:]:
        found[place] = "k"
    return "".join(found)


def run(options: argparse.Namespace, folder: Path) -> int:
    """Run one replay and print what came of it; 0 if the orders are those of the oracle."""
    chance = random.Random(options.seed)  # noqa: S311 - thresholds, no secrets
    minutes = [minute.prices for minute in read_replay(options.file)][: options.minutes]
    prices = [price for minute in minutes for price in minute]
    rows = random_rows(options.rows, prices, chance)
    (folder / "config.csv").write_text("\n".join([HEADER, *rows, ""]), encoding="utf-8")
    expected = oracle(rules_of(rows), prices)
    with FakeKraken(prices={PAIR: prices[0]}, balances=FUNDS) as exchange:
        exchange.set_prices(PAIR, prices[:1])
        program = Program(exchange, folder)
        started = time.monotonic()
        program.start()
        events = marks(len(minutes), options.cuts, options.kills, chance)
        play(exchange, program, minutes, events, orders_due(minutes, expected.values()))
        played = time.monotonic() - started
        wait_for_orders(exchange, len(expected))
        program.end(signal.SIGTERM)
        return report(exchange, folder, expected, f"{len(prices)} prices in {played:.0f} s")


def report(exchange: FakeKraken, folder: Path, expected: dict[str, Decimal], what: str) -> int:
    """Print the figures; 0 if the rows are the oracle's, with one order each."""
    found = orders_in(folder)
    missing, extra = set(expected) - set(found), set(found) - set(expected)
    same = sum(found[i][1] == expected[i] for i in set(found) & set(expected))
    txids = [order["txid"] for order in exchange.orders]
    stray = set(txids) - {txid for txid, _ in found.values()}
    print(f"{what}, {exchange.ws_connections_made} connections")
    print(f"rows that must fire: {len(expected)}; rows that fired: {len(found)}; "
          f"orders at the exchange: {len(txids)}")  # fmt: skip
    print(f"missing: {len(missing)}, unwanted: {len(extra)}, orders of no row: {len(stray)}")
    print(f"fired by the very first crossing price: {same}; by a later price, seen after a blind "
          f"time before the past was known: {len(found) - same}")  # fmt: skip
    is_exact = not missing and not extra and not stray and len(txids) == len(found)
    print("EXACT" if is_exact else f"NOT EXACT; the files are in {folder}")
    return 0 if is_exact else 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    if argv is None and sys.argv[1:2] == ["--program"]:
        run_program(*sys.argv[2:6])
        return 0
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    add = parser.add_argument
    add("file", type=Path, help="timestamp,open,high,low,close,volume, a row a minute")
    add("--rows", type=int, default=2000)
    add("--cuts", type=int, default=0, help="how often the stream is cut")
    add("--kills", type=int, default=0, help="how often the program is killed")
    add("--minutes", type=int, default=None, help="play the first so many only")
    add("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    folder = Path(tempfile.mkdtemp(prefix="ttslo-replay-"))
    return run(options, folder)


if __name__ == "__main__":
    sys.exit(main())
