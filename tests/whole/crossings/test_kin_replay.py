"""Groups and chains on prices: exactly the orders that trying every row at every price finds."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest

from tests.kits.histories.kin_replay import Replay, oracle, random_kin, walk
from tests.kits.orders.order_bench import rule


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kills", [0, 5])
def test_prices_lead_to_the_orders_of_the_oracle(seed: int, kills: int) -> None:
    """The same rows at the same prices, one order each, with kills in between or without."""
    chance = random.Random(seed)
    prices = walk(chance, 400)
    rows = random_kin(chance, prices, groups=25, chains=12)
    killed = set(chance.sample(range(len(prices)), kills))
    replay = Replay(rows)
    for number, price in enumerate(prices):
        if number in killed:
            replay.restart()
        replay.price(number, price)
    expected = oracle(rows, prices)
    assert len(expected) > 20
    assert replay.fired == expected
    assert replay.orders() == dict.fromkeys(expected, 1)


def test_oracle_knows_groups_chains_and_the_order_in_the_file() -> None:
    """It is simple enough to be seen to be right."""
    rows = [
        rule("b", threshold_price="110", group="g"),
        rule("a", threshold_price="105", group="g"),
        rule("p", threshold_price="120"),
        rule("c", threshold_price="90", after="p"),
        rule("d", threshold_price="500", after="a"),
    ]
    prices = [Decimal(p) for p in (100, 115, 120, 100, 80)]
    assert oracle(rows, prices) == {"b": 1, "p": 2, "c": 3}
