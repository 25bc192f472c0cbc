"""Replays of prices through the whole program: its orders are those of a brute-force oracle."""

from __future__ import annotations

import random
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pytest
from live_program import PAIR, LiveProgram, wait_until
from replay import oracle, random_rows, rules_of

from fake_kraken import FakeKraken, read_replay
from ttslo_rules import WhenBlind

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


def orders_of(exchange: FakeKraken, program: LiveProgram) -> dict[str, Decimal]:
    """Return the crossing price of each row with an order; each order is some row's only one."""
    fired = {i: c for i, c in program.ttslo.state.items() if c.get("order_id")}
    assert {c["order_id"] for c in fired.values()} == {o["txid"] for o in exchange.orders}
    return {rule_id: Decimal(cells["trigger_price"]) for rule_id, cells in fired.items()}


def wait_for_all(exchange: FakeKraken, program: LiveProgram, expected: Sequence[str]) -> None:
    """Wait until these rows have fired."""
    wait_until(
        lambda: all(program.ttslo.state.get(i, {}).get("order_id") for i in expected),
        "every row that the oracle names has its order",
        patience=40,
    )


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
    with LiveProgram(exchange, tmp_path, rows) as program:
        for minute in minutes:
            exchange.set_prices(PAIR, minute)
        wait_for_all(exchange, program, list(expected))
        assert orders_of(exchange, program) == expected


def test_cuts_and_restarts_lose_no_crossing_and_double_none(
    exchange: FakeKraken, tmp_path: Path
) -> None:
    """Whatever is played while the link is cut, or the program off, the rows are the oracle's."""
    chance = random.Random(7)
    minutes = recording(tmp_path / "prices.csv", 7)
    prices = [price for minute in minutes for price in minute]
    rows = random_rows(100, prices, chance)
    expected = oracle(rules_of(rows), prices)
    exchange.set_prices(PAIR, prices[:1])
    cuts = set(chance.sample(range(MINUTES), 8))
    ends = [*sorted(chance.sample(range(20, MINUTES - 20), 3)), MINUTES]
    at = 0
    for number, end in enumerate(ends):
        with LiveProgram(exchange, tmp_path, None if number else rows, WhenBlind.ALWAYS) as program:
            for minute in range(at, end):
                if minute in cuts:
                    exchange.drop_connections()
                exchange.set_prices(PAIR, minutes[minute])
            if end == MINUTES:
                wait_for_all(exchange, program, list(expected))
                found = orders_of(exchange, program)
                assert set(found) == set(expected)
        at = end + 5
        for minute in range(end, min(at, MINUTES)):
            exchange.set_prices(PAIR, minutes[minute])
    rules = {rule.id: rule for rule in rules_of(rows)}
    assert all(rules[i].is_met_by(price) for i, price in found.items())
