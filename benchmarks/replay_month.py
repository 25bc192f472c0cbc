"""A month of recorded prices through the real program, against an oracle that tries everything.

The program runs as a process of its own on an exchange of this one's. Its orders must be exactly
those of a brute-force look at the file: the same rows, one order each, and of each row the first
price that crossed it. With `--cuts` the stream is cut at random moments, with `--kills` the program
is killed without a word and started again. What stands beyond a threshold after a blind time fires
at once; the first crossing is then the one that the look back finds and the state file names.

    python benchmarks/replay_month.py PRICES.csv --rows 2000 --cuts 200 --kills 20
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import accumulate
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fake_kraken import FakeKraken, read_replay  # noqa: E402
from tests.kits.histories.replay import (  # noqa: E402
    PAIR,
    PATIENCE,
    Program,
    fired_in,
    is_exact,
    oracle,
    random_rows,
    rules_of,
)

FUNDS = {"XXBT": "100000", "ZUSD": "1000000000"}
# While the link is cut this many minutes are played at once; then the program is waited for.
BLIND_MINUTES = 5


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
            program.kill()
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
    expected = oracle(rules_of(rows), prices)
    with FakeKraken(prices={PAIR: prices[0]}, balances=FUNDS) as exchange:
        exchange.set_prices(PAIR, prices[:1])
        program = Program(exchange, folder)
        program.write(rows)
        started = time.monotonic()
        program.start()
        events = marks(len(minutes), options.cuts, options.kills, chance)
        play(exchange, program, minutes, events, orders_due(minutes, expected.values()))
        played = time.monotonic() - started
        wait_for_orders(exchange, len(expected))
        wait_for_first_crossings(folder, expected)
        program.end()
        return report(exchange, folder, expected, f"{len(prices)} prices in {played:.0f} s")


def wait_for_first_crossings(folder: Path, expected: dict[str, Decimal]) -> None:
    """Wait until the state file names them all, or patience ends: the report shows what lacks."""
    end, pause = time.monotonic() + PATIENCE / 4, threading.Event()
    while not is_exact(fired_in(folder), expected) and time.monotonic() < end:
        pause.wait(0.1)


def report(exchange: FakeKraken, folder: Path, expected: dict[str, Decimal], what: str) -> int:
    """Print the figures; 0 if rows, orders and first crossings are those of the oracle."""
    found = fired_in(folder)
    missing, extra = set(expected) - set(found), set(found) - set(expected)
    both = set(found) & set(expected)
    same = sum(found[i].first_price == expected[i] for i in both)
    at_once = sum(found[i].trigger_price == expected[i] for i in both)
    txids = [order["txid"] for order in exchange.orders]
    stray = set(txids) - {fired.order_id for fired in found.values()}
    print(f"{what}, {exchange.ws_connections_made} connections")
    print(f"rows: {len(both)} of the {len(expected)} that must fire have fired; {len(missing)} "
          f"are missing, {len(extra)} fired that must not")  # fmt: skip
    print(f"orders: {len(txids)} at the exchange for {len(found)} rows, {len(stray)} of no row")
    print(f"first crossings: {same} of {len(expected)} are those of the file; {at_once} of them "
          f"placed the order, {same - at_once} were found when the blind time was looked back "
          "over, as the price stood beyond and fired before")  # fmt: skip
    one_each = not stray and len(txids) == len(found)
    is_right = one_each and is_exact(found, expected)
    print("EXACT" if is_right else f"NOT EXACT; the files are in {folder}")
    return 0 if is_right else 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
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
