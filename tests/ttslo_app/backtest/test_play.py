"""Rows on the prices of the past: the same as if every price had been looked at."""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tests.kits.histories.history_kit import (
    MARKET,
    history,
    money_row,
    oracle,
    random_row,
    row,
    walk,
)
from ttslo_app.backtest import history as history_room
from ttslo_app.backtest import play as play_room
from ttslo_app.backtest.play import play, unplayable
from ttslo_app.rules.rule import read_rule
from ttslo_app.rules.terms import Terms


@pytest.mark.plenty
@pytest.mark.parametrize("block", [4, 32, 256])
@pytest.mark.parametrize("seed", range(14))
def test_random_rows_on_random_walks_end_as_the_oracle_says(
    seed: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Crossing, fill and price agree for every row, whatever is passed over."""
    monkeypatch.setattr(history_room, "BLOCK", block)
    monkeypatch.setattr(play_room, "BLOCK", block)
    past, chance = walk(seed, 700), random.Random(seed)
    for _ in range(25):
        rule = random_row(chance)
        played: Any = play(past, rule, MARKET)
        crossed, filled, price = oracle(past, rule)
        assert (played.crossed, played.filled) == (crossed, filled)
        if crossed is not None:
            assert played.exit_price == price
            assert played.crossed_price == past.price_at(crossed)


def test_stop_ratchets_and_is_met(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step of the path is where the stop stood from that price on."""
    past = history(50000, 50500, 51000, 50800, 52000, 51480, 60000)
    played: Any = play(past, row(50500, offset=1), MARKET)
    assert (played.crossed, played.entered, played.filled) == (1, 2, 5)
    assert [step.stop for step in played.path] == [
        Decimal(text) for text in ("49995.0", "50490.0", "51480.0")
    ]
    assert played.exit_price == 51480


def test_row_that_nothing_crosses_has_no_order() -> None:
    """Equality crosses, and less does not."""
    past = history(50000, "50499.9")
    assert play(past, row(50500), MARKET).crossed is None
    assert play(past, row("50499.9"), MARKET).crossed == 1


def test_row_is_met_by_the_very_first_price() -> None:
    """Armed beyond its threshold, it fires at once, as a price that is looked at does."""
    played: Any = play(history(51000, 50000), row(50500, offset=1), MARKET)
    assert (played.crossed, played.filled) == (0, 1)


def test_order_stands_after_all_prices_of_the_moment_that_crossed() -> None:
    """What is printed at once with the crossing cannot meet its stop."""
    past = history(50000, 50500, 40000, 50500, 49000, at=[0, 1, 1, 1, 2])
    played: Any = play(past, row(50500, offset=1), MARKET)
    assert (played.entered, played.filled, played.exit_price) == (4, 4, 49000)


def test_crossing_at_the_very_end_leaves_the_stop_standing() -> None:
    """There is no later price, and none is made up."""
    played: Any = play(history(50000, 50500), row(50500, offset=1), MARKET)
    assert (played.crossed, played.filled, played.exit_price) == (1, None, 50500)
    assert played.path[-1].stop == Decimal("49995.0")


def test_order_that_kraken_would_refuse_says_so() -> None:
    """Too small a volume is told, and nothing is played."""
    played: Any = play(history(50000, 50500), row(50500, volume="0.00001"), MARKET)
    assert played.refusal == "EOrder:Order minimum not met"
    assert played.path == ()


@pytest.mark.parametrize("block", [4, 16])
@pytest.mark.parametrize("seed", range(10))
def test_path_of_a_stop_is_the_one_that_every_price_makes(
    seed: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it stands in the end is where the exchange would have it; each step tightens."""
    monkeypatch.setattr(history_room, "BLOCK", block)
    monkeypatch.setattr(play_room, "BLOCK", block)
    past, chance = walk(seed, 500), random.Random(seed)
    for _ in range(12):
        rule = random_row(chance)
        played = play(past, rule, MARKET)
        if played.crossed is None:
            continue
        is_sell = rule.direction == "sell"
        stops, bests = [step.stop for step in played.path], [step.best for step in played.path]
        assert stops == sorted(stops, reverse=not is_sell)
        assert bests == sorted(bests, reverse=not is_sell)
        end = len(past) if played.filled is None else played.filled
        seen = [past.price_at(index) for index in range(played.entered - 1, end)]
        assert bests[-1] == (max(seen) if is_sell else min(seen))
        moments = [step.at_ns for step in played.path]
        assert moments == sorted(moments)


@pytest.mark.parametrize("step", [0.0, 0.00001, 0.05, 0.3])
def test_walks_of_every_temper_end_as_the_oracle_says(step: float) -> None:
    """Prices that stand still, that creep, and that leap over every stop."""
    for seed in range(4):
        past, chance = walk(seed, 300, step), random.Random(seed)
        for _ in range(10):
            rule = random_row(chance)
            played = play(past, rule, MARKET)
            crossed, filled, price = oracle(past, rule)
            assert (played.crossed, played.filled) == (crossed, filled)
            if crossed is not None:
                assert played.exit_price == price


@pytest.mark.parametrize("offset", ["0.0001", "0.01", "50", "99.9"])
def test_offsets_at_the_edges_end_as_the_oracle_says(offset: str) -> None:
    """Narrower than a tick, and nearly the whole price."""
    for seed in range(6):
        past, chance = walk(seed, 400, 0.01), random.Random(seed)
        for side in ("sell", "buy"):
            threshold = chance.choice([48000, 50000, 52000])
            rule = row(threshold, chance.choice(["above", "below"]), side, offset)
            played = play(past, rule, MARKET)
            assert (played.crossed, played.filled) == oracle(past, rule)[:2]


def test_market_without_minimums_takes_the_smallest_volume() -> None:
    """One that is not known has none made up for it."""
    market = play_room.Market(
        "NEWUSD",
        {
            "base": "NEW",
            "quote": "USD",
            "altname": "NEWUSD",
            "pair_decimals": 1,
            "ordermin": "0",
            "costmin": "0",
            "lot_decimals": 8,
        },
    )
    played = play(history(50000, 50500, 49000), row(50500, volume="0.00000001"), market)
    assert (played.refusal, played.filled) == ("", 2)


def test_order_stands_as_the_exchange_enters_it() -> None:
    """Its stop is a tick away at least, whatever the offset is."""
    order = play_room.entered_order(MARKET, row(offset="0.0000001"), Decimal(50000))
    assert (order.anchor, order.stop) == (Decimal(50000), Decimal("49999.9"))
    bought = play_room.entered_order(MARKET, row(side="buy", offset=1), Decimal(50000))
    assert bought.stop == 50500


@pytest.mark.parametrize(
    ("cells", "names"),
    [
        ({}, []),
        ({"fee_currency": "base"}, []),
        ({"volume": "all"}, ["volume"]),
        ({"limit_offset": "1%", "trigger": "index"}, ["limit_offset", "trigger"]),
        ({"expires": "+30d"}, ["expires"]),
        ({"trailing_offset_percent": "", "trailing_offset_quote": "5"}, []),
    ],
)
def test_column_that_prices_alone_cannot_play_is_named(
    cells: dict[str, str], names: list[str]
) -> None:
    """A row is left out by name rather than played as another one."""
    row = {
        "id": "r",
        "pair": "BTC/USD",
        "threshold_price": "50000",
        "threshold_type": "above",
        "direction": "sell",
        "volume": "1",
        "trailing_offset_percent": "5",
        "enabled": "true",
    }
    assert unplayable(read_rule({**row, **cells})) == names


def test_nothing_that_a_row_may_say_is_passed_over_in_silence() -> None:
    """What an optional column says is heeded here, or the row is left out by that column's name."""
    heeded = {"offset_quote", "fee"}
    left_out = {"limit", "trigger", "share", "expires"}
    assert set(Terms.__match_args__) == heeded | left_out


@pytest.mark.plenty
@pytest.mark.parametrize("block", [4, 32, 256])
@pytest.mark.parametrize("seed", range(10))
def test_offsets_in_money_end_as_the_oracle_says(
    seed: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Crossing, fill and price agree, however wide the amount is at the price of the moment."""
    monkeypatch.setattr(history_room, "BLOCK", block)
    monkeypatch.setattr(play_room, "BLOCK", block)
    past, chance = walk(seed, 600, 0.004), random.Random(seed)
    for _ in range(20):
        rule = money_row(chance)
        played = play(past, rule, MARKET)
        crossed, filled, price = oracle(past, rule)
        assert (played.crossed, played.filled) == (crossed, filled)
        if crossed is not None:
            assert played.exit_price == price


def test_offset_in_money_is_cut_to_the_digits_of_the_pair() -> None:
    """As a live run cuts it; one that is nothing then is refused, and told."""
    rule = row(50500)
    terms = replace(rule.terms, offset_quote=Decimal("250.19"))
    past = history(50000, 50500, 50500, 50249)
    played = play(past, replace(rule, offset_percent=None, terms=terms), MARKET)
    assert played.path[0].stop == Decimal("50249.9")
    assert played.filled == 3
    tiny = replace(rule.terms, offset_quote=Decimal("0.01"))
    refused = play(past, replace(rule, offset_percent=None, terms=tiny), MARKET)
    assert refused.refusal.startswith("EGeneral:Invalid arguments")
