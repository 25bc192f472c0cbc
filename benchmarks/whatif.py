"""How fast rows are played on past trades: `python benchmarks/whatif.py [--quick]`.

Ten million made-up trades, a thousand rows. Beside it a plain Python loop over the same prices, and
backtesting.py on the same task: one row, which sells by a trailing stop. All three must end at
the same price. Needs the extra `bench`.
"""

from __future__ import annotations

import importlib
import random
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from common import Figure, environment, is_quick, print_figures
from pyarrow import csv

from fake_kraken.market import default_pairs
from ttslo_app.backtest.candles import Candles, play_candles
from ttslo_app.backtest.history import History
from ttslo_app.backtest.play import Market, play
from ttslo_app.backtest.recording import read_trades
from ttslo_app.rules.rule import Rule, read_rule

TRADES, ROWS = (1_000_000, 100) if is_quick() else (10_000_000, 1_000)
# What the others are measured on: they would take hours for all of it.
FEW = 200_000
MARKET = Market("XXBTZUSD", default_pairs()[0]["XXBTZUSD"])


def write_trades(file: Path) -> None:
    """Write a random walk as Kraken's time and sales."""
    chance = np.random.default_rng(20261126)
    steps = chance.normal(0, 0.3 / np.sqrt(TRADES), TRADES)
    price = np.round(50_000 * np.exp(np.cumsum(steps)), 1)
    at = np.round(1_640_995_200 + np.cumsum(chance.exponential(2.0, TRADES)), 4)
    table = pa.table({"at": at, "price": price, "volume": np.full(TRADES, 0.01)})
    csv.write_csv(table, file, csv.WriteOptions(include_header=False))


def rows(history: History, count: int) -> Iterator[Rule]:
    """Yield rows near the first price, which sell and buy."""
    chance = random.Random(7)  # noqa: S311 - rows for a measurement
    first = float(history.first_price)
    for number in range(count):
        is_above = chance.random() < 0.5
        away = chance.uniform(0.002, 0.08)
        yield row(
            number,
            round(first * (1 + away if is_above else 1 - away), 1),
            "above" if is_above else "below",
            chance.choice(["sell", "buy"]),
            round(chance.uniform(0.5, 12), 2),
        )


def row(number: int, threshold: float, kind: str, side: str, offset: float) -> Rule:
    """Return one row."""
    return read_rule(
        {
            "id": f"r{number}",
            "pair": "BTC/USD",
            "threshold_price": str(threshold),
            "threshold_type": kind,
            "direction": side,
            "volume": "0.01",
            "trailing_offset_percent": str(offset),
            "enabled": "true",
        }
    )


def candles_of(history: History, seconds: int) -> Candles:
    """Return the candles of trades."""
    width = seconds * 1_000_000_000
    bins = history.at_ns // width
    starts = np.flatnonzero(np.diff(bins, prepend=bins[0] - 1))
    ends = np.append(starts[1:], len(history))
    price = history.price
    high, low = np.maximum.reduceat(price, starts), np.minimum.reduceat(price, starts)
    return Candles(
        bins[starts] * width, price[starts], high, low, price[ends - 1], ends - starts, history.tick
    )


# --- the others ----------------------------------------------------------------------------------


def plain_loop(prices: Sequence[float], threshold: float, offset: float) -> float | None:
    """Return what a sale above a threshold ends at: the loop that people write first."""
    best = 0.0
    for price in prices:
        if best:
            best = max(best, price)
            if price <= best * (1 - offset / 100):
                return price
        elif price >= threshold:
            best = price
    return None


def backtest(prices: Any, threshold: float, offset: float) -> float | None:
    """Return the same as backtesting.py finds it, each trade a bar."""
    pandas: Any = importlib.import_module("pandas")
    library: Any = importlib.import_module("backtesting")

    class Trailing(library.Strategy):  # type: ignore[misc]  # it has no types
        def init(self) -> None:
            self.has_bought = False

        def next(self) -> None:
            price = self.data.Close[-1]
            if not self.has_bought and price >= threshold:
                self.has_bought = True
                self.buy(size=1)
            for trade in self.trades:
                trade.sl = max(trade.sl or 0, price * (1 - offset / 100))

    bars = pandas.DataFrame(dict.fromkeys(("Open", "High", "Low", "Close"), prices))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = library.Backtest(bars, Trailing, cash=1e9, finalize_trades=False).run()
    trades = found["_trades"]
    return float(trades["ExitPrice"].iloc[0]) if len(trades) else None


# --- figures -------------------------------------------------------------------------------------


def peak_mb() -> float:
    """Return the most memory that this process ever had, in MB; 0 where nobody tells."""
    with suppress(ImportError):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return 0.0


def took(work: Any) -> tuple[float, Any]:
    """Return how many seconds something takes, and what it returns."""
    begun = time.perf_counter()
    found = work()
    return time.perf_counter() - begun, found


def read_through(file: Path) -> None:
    """Read the bytes of a file and keep none."""
    with file.open("rb") as stream:
        while stream.read(8 << 20):
            pass


def reading(file: Path) -> tuple[Figure, History]:
    """Measure the reading of a file."""
    floor, _ = took(lambda: read_through(file))
    seconds, recording = took(lambda: read_trades(file))
    goal = 10.0 * TRADES / 10_000_000
    figure = Figure(
        f"`ttslo whatif` reads {TRADES:,} lines of time and sales",
        f"{seconds:.1f} s, {TRADES / seconds / 1e6:.1f} million a second",
        "",
        f"under {goal:.0f} s",
        seconds < goal,
        f"{floor:.1f} s, the bytes alone",
        "pyarrow makes exact decimals of text; prices are kept as whole numbers.",
    )
    return figure, recording.history


def playing(history: History) -> list[Figure]:
    """Measure many rows on all trades, then on their candles."""
    rules = list(rows(history, ROWS))
    one, _ = took(lambda: play(history, rules[0], MARKET))
    all_rows, played = took(lambda: [play(history, rule, MARKET) for rule in rules])
    most = peak_mb()
    crossed = sum(one.crossed is not None for one in played)
    filled = sum(one.filled is not None for one in played)
    minutes = candles_of(history, 60)
    on_candles, _ = took(lambda: [play_candles(minutes, rule, MARKET) for rule in rules])
    return [
        Figure(
            f"{ROWS:,} rows on them",
            f"{all_rows:.1f} s; {crossed} crossed, {filled} filled; {most:.0f} MB at most, the "
            "reading included",
            f"the first row alone {1000 * one:.0f} ms, which looks through all prices once",
            "under 15 s and 600 MB",
            all_rows < 15 and most < 600,
            "",
            "Of each 256 prices the highest, the lowest, the deepest fall and rise are known: "
            "most are passed over, and the engine sees those alone that can decide anything.",
        ),
        Figure(
            f"the same rows on {len(minutes):,} candles of a minute, worst and best",
            f"{on_candles:.1f} s",
            "",
            "under 15 s",
            on_candles < 15,
            "",
            "Candles in which no stop can be met are passed over at once.",
        ),
    ]


def others(history: History) -> Figure:
    """Measure one row beside a plain loop and a back-tester, on fewer trades."""
    few = History(history.at_ns[:FEW], history.price[:FEW], history.tick)
    floats = few.price / 1e10
    prices = floats.tolist()
    # Crossed early, and met by none: all three look at every price.
    threshold, offset = round(prices[0] * 1.0005, 1), 30.0
    rule = row(0, threshold, "above", "sell", offset)
    first, _ = took(lambda: play(few, rule, MARKET))
    ours = min(took(lambda: play(few, rule, MARKET))[0] for _ in range(5))
    loop, ends_loop = took(lambda: plain_loop(prices, threshold, offset))
    theirs, ends_theirs = took(lambda: backtest(floats, threshold, offset))
    found = play(few, rule, MARKET)
    assert (found.crossed is not None, found.filled) == (True, None)
    assert ends_loop is None
    assert ends_theirs is None
    check_ends(few, prices, floats)
    return Figure(
        f"one row that sells by a trailing stop, on {FEW:,} trades",
        f"the first {1000 * first:.1f} ms, each further one {1000 * ours:.1f} ms",
        f"a plain Python loop over floats {1000 * loop:.0f} ms ({loop / first:.0f} x of the first, "
        f"{loop / ours:.0f} x of a further one); backtesting.py {theirs:.1f} s "
        f"({theirs / first:,.0f} x, {theirs / ours:,.0f} x); all end at the same price",
        "faster than both",
        first < min(loop, theirs),
        "",
        "Both others look at each price for each row, the second through its own broker. The first "
        "row looks through all prices once, for all that follow.",
    )


def check_ends(few: History, prices: list[float], floats: Any) -> None:
    """See that all three end a row at the same price."""
    threshold, offset = round(prices[0] * 1.0005, 1), 0.5
    played = play(few, row(0, threshold, "above", "sell", offset), MARKET)
    expected = float(played.exit_price) if played.filled is not None else None
    assert plain_loop(prices, threshold, offset) == expected
    # Bars end a little after the fill: the back-tester needs one more to act.
    until = FEW if played.filled is None else min(FEW, played.filled + 2)
    theirs = backtest(floats[:until], threshold, offset)
    assert theirs is not None
    assert expected is not None
    assert abs(Decimal(theirs) - Decimal(expected)) < Decimal("0.05")


def main() -> None:
    """Measure, and print the figures."""
    if "--write" in sys.argv:
        return write_trades(Path(sys.argv[-1]))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "XBTUSD.csv"
        # In a process of its own, whose memory is not counted.
        command = [sys.executable, __file__, *sys.argv[1:], "--write", str(file)]
        subprocess.run(command, check=True, env=environment())  # noqa: S603 - this very script
        figure, history = reading(file)
    return print_figures([figure, *playing(history), others(history)])


if __name__ == "__main__":
    main()
