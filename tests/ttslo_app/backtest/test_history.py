"""Columns of prices: exact, and passed over only where nothing could be decided."""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal

import pytest

from tests.kits.histories.history_kit import history, walk
from ttslo_app.backtest import history as room
from ttslo_app.backtest.history import History, to_price, to_units


@pytest.fixture(params=[4, 7, 256], autouse=True)
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Let blocks have few prices, so that a short history has many of them."""
    size: int = request.param
    monkeypatch.setattr(room, "BLOCK", size)
    return size


@pytest.mark.parametrize("text", ["50000.1", "0.0000000001", "1", "900000000", "0.00000123"])
def test_prices_come_back_to_the_digit(text: str) -> None:
    """As whole numbers they lose nothing, and have no zeros too many afterwards."""
    assert f"{to_price(to_units(Decimal(text))):f}" == text


def test_price_with_more_digits_than_can_be_kept_is_refused() -> None:
    """It would come back as another."""
    with pytest.raises(ValueError, match="more than 10 decimals"):
        to_units(Decimal("0.00000000001"))


@pytest.mark.parametrize("seed", range(12))
def test_first_price_beyond_a_level_is_the_first(seed: int) -> None:
    """From any place on, in both directions, whatever the blocks are."""
    past, chance = walk(seed, 300), random.Random(seed)
    prices = [past.price_at(index) for index in range(len(past))]
    for _ in range(60):
        start = chance.randrange(0, 301)
        level = Decimal(chance.randrange(470000, 530000)) / 10
        for is_fall in (True, False):
            expected = next(
                (
                    index
                    for index in range(start, len(prices))
                    if (prices[index] <= level if is_fall else prices[index] >= level)
                ),
                None,
            )
            assert past.first_from(start, level, is_fall=is_fall) == expected


@pytest.mark.parametrize("is_fall", [True, False])
def test_level_between_two_units_is_met_by_what_is_beyond_it(is_fall: bool) -> None:
    """A level finer than any price is rounded away from nobody."""
    past = history("1", "1.0000000001")
    fine = Decimal("1.00000000005")
    assert past.first_from(0, fine, is_fall=is_fall) == (0 if is_fall else 1)


def test_prices_of_one_moment_are_left_together() -> None:
    """Nobody can act between them."""
    past = history(1, 2, 3, 4, at=[0, 5, 5, 6])
    assert [past.after(index) for index in range(4)] == [1, 3, 3, 4]


@pytest.mark.parametrize("is_sell", [True, False])
@pytest.mark.parametrize("seed", range(8))
def test_no_block_in_which_a_stop_is_met_is_called_quiet(
    seed: int, is_sell: bool, block: int
) -> None:
    """Whatever is passed over could not have decided anything."""
    past, chance = walk(seed, 400), random.Random(seed)
    for _ in range(20):
        first = chance.randrange(0, len(past.blocks.high))
        best, offset = past.price_at(0), chance.choice([0.0005, 0.003, 0.01, 0.05])
        quiet = past.quiet_until(first, best, offset, is_sell)
        assert first <= quiet <= len(past.blocks.high)
        for index in range(first * block, min(quiet * block, len(past))):
            price = past.price_at(index)
            best = max(best, price) if is_sell else min(best, price)
            away = best * (1 - Decimal(offset) if is_sell else 1 + Decimal(offset))
            assert price > away if is_sell else price < away


@pytest.mark.parametrize("is_sell", [True, False])
def test_records_are_the_best_price_of_each_block_that_beats_all_before(
    is_sell: bool, block: int
) -> None:
    """And no other: they alone move a stop in quiet times."""
    past = walk(3, 400)
    best = past.price_at(0)
    found = list(past.records(0, len(past.blocks.high), best, is_sell))
    expected = []
    for start in range(0, len(past), block):
        part = range(start, min(start + block, len(past)))
        top = max(part, key=lambda index: past.price_at(index) * (1 if is_sell else -1))
        price = past.price_at(top)
        if price > best if is_sell else price < best:
            best = price
            expected.append(top)
    assert found == expected


def test_blocks_are_worked_out_once_and_are_no_part_of_what_is_equal() -> None:
    """They take a second; two histories of the same prices are alike before and after."""
    past = history(*range(1, 11))
    again = replace(past, tick=past.tick)
    assert past.blocks is past.blocks
    assert again.blocks is not past.blocks
    assert "Blocks" not in repr(past)


def test_last_block_that_is_not_full_invents_nothing() -> None:
    """It is as high and as low as its own prices."""
    past: History = history(*range(1, 11))
    assert past.blocks.high[-1] == to_units(Decimal(10))
    assert past.blocks.low[0] == to_units(Decimal(1))
    assert past.first_from(0, Decimal(11), is_fall=False) is None


@pytest.mark.parametrize("seed", range(6))
def test_ends_and_extremes_are_those_of_all_prices(seed: int) -> None:
    """The first, the last, the lowest and the highest."""
    past = walk(seed, 301)
    prices = [past.price_at(index) for index in range(len(past))]
    assert (past.first_price, past.last_price) == (prices[0], prices[-1])
    assert past.extremes == (min(prices), max(prices))


@pytest.mark.parametrize("is_sell", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_quiet_time_is_long_where_nothing_happens(seed: int, is_sell: bool) -> None:
    """What is passed over is most of it: a stop far away is looked at nowhere."""
    past = walk(seed, 600, 0.0001)
    assert past.quiet_until(0, past.first_price, 0.2, is_sell) == len(past.blocks.high)
