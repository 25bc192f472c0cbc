"""Groups and chains on a month of recorded prices, against an oracle that tries everything.

The watch and the order thread are the real ones, on one thread, with a model of Kraken. Their
orders must be exactly those of a look at every row at every price; with `--kills` the program is
killed and started again from its files at random moments.

    python benchmarks/replay_kin.py PRICES.csv --groups 500 --chains 200 --kills 50
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Sequence
from decimal import Decimal
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fake_kraken import read_replay  # noqa: E402
from tests.kits.histories.kin_replay import Replay, oracle, random_kin  # noqa: E402


def main(argv: Sequence[str] | None = None) -> int:
    """Run it, print what came of it, and return 0 if that is what the oracle says."""
    made = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    made.add_argument("prices", help="rows of timestamp,open,high,low,close,volume")
    made.add_argument("--groups", type=int, default=500)
    made.add_argument("--chains", type=int, default=200)
    made.add_argument("--kills", type=int, default=50)
    made.add_argument("--minutes", type=int, default=None, help="only so many from the start")
    made.add_argument("--seed", type=int, default=1)
    options = made.parse_args(argv)
    chance = random.Random(options.seed)  # noqa: S311 - a replay is to come out the same each time
    began = time.monotonic()
    prices: list[Decimal] = list(
        chain.from_iterable(
            bar.prices for bar in list(read_replay(options.prices))[: options.minutes]
        )
    )
    rows = random_kin(chance, prices, options.groups, options.chains)
    killed = set(chance.sample(range(len(prices)), options.kills))
    replay = Replay(rows)
    for number, price in enumerate(prices):
        if number in killed:
            replay.restart()
        replay.price(number, price)
    expected, orders = oracle(rows, prices), replay.orders()
    wrong = {i for i in {*expected, *replay.fired} if expected.get(i) != replay.fired.get(i)}
    twice = [i for i, count in orders.items() if count != 1]
    print(
        f"{len(prices)} prices, {len(rows)} rows in {options.groups} groups and {options.chains} "
        f"chains, {options.kills} kills: {len(orders)} rows fired, the oracle says "
        f"{len(expected)}; other row or other price {len(wrong)}, not one order {len(twice)}; "
        f"{time.monotonic() - began:.0f} s"
    )
    return 1 if wrong or twice or set(orders) != set(expected) else 0


if __name__ == "__main__":
    sys.exit(main())
