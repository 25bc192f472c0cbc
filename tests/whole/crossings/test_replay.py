"""Replays of prices through the whole program: its orders are those of a brute-force oracle."""

from __future__ import annotations

import random
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import pytest

from fake_kraken import FakeKraken, read_replay
from tests.kits.histories.replay import (
    Fired,
    Program,
    fired_in,
    is_exact,
    oracle,
    random_rows,
    rules_of,
)
from tests.kits.program.live_program import PAIR, LiveProgram, wait_until

MINUTES = 300


def recording(path: Path, seed: int) -> list[tuple[Decimal, ...]]:
    """Write a made-up recording of minutes, and return what a replay of it plays."""
    chance, price = random.Random(seed), 50000.0
    lines = ["timestamp,open,high,low,close,volume"]
    for minute in range(MINUTES):
        ends = [round(price * (1 + chance.gauss(0, 0.002)), 1) for _ in range(4)]
        start, close = round(price, 1), ends[0]
        high, low = max(start, *ends), min(start, *ends)
        lines.append(
            f"2022-01-01 {minute // 60:02}:{minute % 60:02}:00,{start},{high},{low},{close},1"
        )
        price = close
    path.write_text("\n".join(lines), encoding="utf-8")
    return [minute.prices for minute in read_replay(path)]


def wait_for_first_crossings(folder: Path, expected: dict[str, Decimal]) -> dict[str, Fired]:
    """Wait until the state file names the oracle's first crossings; return what it says then."""
    with suppress(AssertionError):  # the difference itself says more than that there is one
        wait_until(lambda: is_exact(fired_in(folder), expected), "all is exact", patience=120)
    return fired_in(folder)


@pytest.mark.parametrize("seed", [1, 2])
def test_orders_and_first_crossings_are_those_of_the_oracle(
    exchange: FakeKraken, tmp_path: Path, seed: int
) -> None:
    """With the link up the rows that fire, and the price that fires each, are exactly the true."""
    minutes = recording(tmp_path / "prices.csv", seed)
    prices = [price for minute in minutes for price in minute]
    rows = random_rows(100, prices, random.Random(seed))
    expected = oracle(rules_of(rows), prices)
    exchange.set_prices(PAIR, prices[:1])
    with LiveProgram(exchange, tmp_path, rows):
        for minute in minutes:
            exchange.set_prices(PAIR, minute)
        found = wait_for_first_crossings(tmp_path, expected)
    assert {i: fired.first_price for i, fired in found.items()} == expected
    assert sorted(f.order_id for f in found.values()) == sorted(o["txid"] for o in exchange.orders)


@pytest.mark.parametrize("seed", [7, 8])
def test_cuts_and_kills_lose_no_crossing_and_double_none(
    exchange: FakeKraken, tmp_path: Path, seed: int
) -> None:
    """Rows, orders and first crossings are the oracle's, whatever nobody could see."""
    chance = random.Random(seed)
    minutes = recording(tmp_path / "prices.csv", seed)
    prices = [price for minute in minutes for price in minute]
    rows = random_rows(100, prices, chance)
    expected = oracle(rules_of(rows), prices)
    exchange.set_prices(PAIR, prices[:1])
    cuts = chance.sample(range(20, MINUTES - 20), 8)
    kills = [chance.randrange(start, start + 60) for start in (30, 120, 210)]
    with Program(exchange, tmp_path, quick=True) as program:
        program.write(rows)
        program.start()
        for number, minute in enumerate(minutes):
            if number in cuts:
                exchange.drop_connections()
            elif number in kills:
                program.kill()
            exchange.set_prices(PAIR, minute)
            if number - 5 in kills:
                program.start()
        found = wait_for_first_crossings(tmp_path, expected)
    assert {i: fired.first_price for i, fired in found.items()} == expected
    assert sorted(f.order_id for f in found.values()) == sorted(o["txid"] for o in exchange.orders)
