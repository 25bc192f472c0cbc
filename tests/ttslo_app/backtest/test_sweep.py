"""Sweeps: each cell is a row of its own, and the noise is counted right."""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from tests.kits.histories.candle_kit import candles, candles_of
from tests.kits.histories.history_kit import BEGAN, MARKET, SECOND, TICK, history, row, walk
from ttslo_app.backtest import sweep as room
from ttslo_app.backtest.asked import grid_of
from ttslo_app.backtest.history import History
from ttslo_app.backtest.result import Costs, row_of
from ttslo_app.backtest.sweep import noise, sweep
from ttslo_app.rules.rule import ThresholdType

COSTS = Costs(Decimal("0.4"), Decimal("0.1"))
GRID = grid_of(["threshold=-2%..2%:5", "offset=0.5%..4%:4"])


@pytest.mark.parametrize("side", ["sell", "buy"])
@pytest.mark.parametrize("seconds", [0, 30])
def test_each_cell_is_what_a_row_of_its_own_comes_to(side: str, seconds: int) -> None:
    """On single prices and on candles, in percent of the worth at the first price."""
    past = walk(3, 900)
    prices: Any = candles_of(past, seconds) if seconds else past
    base = row(side=side)
    found = sweep(prices, base, GRID, MARKET, COSTS)
    first = prices.first_price
    for threshold, cells in zip(found.thresholds, found.cells, strict=True):
        for offset, cell in zip(found.offsets, cells, strict=True):
            kind = ThresholdType.ABOVE if threshold > first else ThresholdType.BELOW
            tried = replace(base, threshold=threshold, threshold_type=kind, offset_percent=offset)
            outcome: Any = row_of(prices, tried, MARKET, COSTS)[1]
            if outcome is None:
                assert cell.gains is None
                continue
            ends = outcome.trailed
            both = [ends.worst, ends.best] if seconds else [ends, ends]
            worth = first * base.volume
            sign = 1 if side == "sell" else -1
            assert cell.gains == tuple(sign * (end.net - worth) / worth * 100 for end in both)
            assert cell.is_filled == tuple(end.is_reached for end in both)
            assert cell.gains[0] <= cell.gains[1]


def test_grid_spans_from_threshold_to_offset() -> None:
    """Thresholds stand on the tick."""
    found = sweep(walk(3, 50), row(), GRID, MARKET, COSTS)
    assert [len(cells) for cells in found.cells] == [4] * 5
    assert found.tries == 20
    assert found.thresholds[0] == (found.first * Decimal("0.98")).quantize(Decimal("0.1"))


def test_threshold_that_nothing_reaches_has_an_empty_cell() -> None:
    """It is neither a gain nor a loss."""
    grid = grid_of(["threshold=+50%", "offset=1%"])
    ((cell,),) = sweep(history(50000, 50500), row(), grid, MARKET, COSTS).cells
    assert cell.gains is None


@pytest.mark.parametrize(("side", "held"), [("sell", "0.495"), ("buy", "-1.505")])
def test_held_is_the_last_price_with_its_costs(side: str, held: str) -> None:
    """A percent up, half a percent of costs."""
    found = sweep(history(50000, 50500), row(side=side), GRID, MARKET, COSTS)
    assert found.held == Decimal(held)


# --- noise ---------------------------------------------------------------------------------------


def long_walk(seed: int, count: int = 400, step: int = 60) -> History:
    """Return a random walk with a price a minute."""
    chance, price = random.Random(seed), 50000.0
    prices = []
    for _ in range(count):
        price *= 1 + chance.gauss(0, 0.004)
        prices.append(round(price * 10) * TICK)
    moments = np.arange(count) * step * SECOND + BEGAN
    return History(moments.astype(np.int64), np.array(prices, np.int64), TICK)


def share_that_fell(past: History, seconds: int, offset: float, *, is_sell: bool) -> float:
    """Return the share of evenly spread spans that went back so far: every pair is looked at."""
    begin, end = int(past.at_ns[0]), int(past.at_ns[-1]) - seconds * SECOND
    met, spans = 0, np.linspace(begin, end, room._STARTS).astype(np.int64)
    for start in spans:
        inside = (past.at_ns >= start) & (past.at_ns <= start + seconds * SECOND)
        prices = past.price[inside].astype(float).tolist()
        best = prices[0]
        for price in prices:
            best = max(best, price) if is_sell else min(best, price)
            if abs(best - price) / best >= offset:
                met += 1
                break
    return met / len(spans)


@pytest.mark.parametrize("is_sell", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_noise_is_what_a_look_at_every_span_finds(seed: int, is_sell: bool) -> None:
    """For each offset."""
    past, offsets = long_walk(seed), (Decimal("0.5"), Decimal(2), Decimal(5))
    (hour,) = noise(past, offsets, is_sell=is_sell)
    assert hour.name == "an hour"
    assert hour.starts == room._STARTS
    for offset, (sure, possible) in zip(offsets, hour.shares, strict=True):
        expected = share_that_fell(past, 3600, float(offset) / 100, is_sell=is_sell)
        assert sure == possible == pytest.approx(expected)


@pytest.mark.parametrize("is_sell", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_noise_of_candles_holds_that_of_their_prices(seed: int, is_sell: bool) -> None:
    """What is sure did happen, and nothing happened that is not possible."""
    past = long_walk(seed, 3600, 2)
    offsets = tuple(Decimal(n) / 2 for n in range(1, 20))
    (exact,) = noise(past, offsets, is_sell=is_sell)
    (told,) = noise(candles_of(past, 1), offsets, is_sell=is_sell)
    assert told.shares == exact.shares  # a candle of one price tells all of it
    for minutes in (1, 5):
        made = candles_of(past, minutes * 60)
        for start in range(0, len(made) - 10, 7):
            part = slice(start, start + 10)
            inside = (past.at_ns >= made.at_ns[start]) & (
                past.at_ns < made.at_ns[start] + 10 * minutes * 60 * SECOND
            )
            sure, possible = room._depths(made, part, is_sell=is_sell)
            price = past.price[inside].astype(float)
            truth = room._deepest(price, price, is_sell=is_sell)
            assert sure <= truth <= possible


def test_span_that_is_longer_than_the_prices_is_not_told() -> None:
    """A day has hours, and no week."""
    day = long_walk(1, 1500)
    assert [one.name for one in noise(day, (Decimal(1),), is_sell=True)] == ["an hour", "a day"]
    assert list(noise(history(1, 2, 3), (Decimal(1),), is_sell=True)) == []


def test_fall_of_exactly_the_offset_meets_it() -> None:
    """As a stop is met by equality."""
    made = candles(*([(100, 100, 99, 100)] * 90))
    (hour,) = noise(made, (Decimal(1), Decimal("1.001")), is_sell=True)
    assert [possible for _, possible in hour.shares] == [1.0, 0.0]


def test_spans_are_fewer_where_prices_are_very_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look at all of them would take minutes."""
    monkeypatch.setattr(room, "_MOST_PRICES", 6000)
    (hour,) = noise(long_walk(1), (Decimal(1),), is_sell=True)
    assert 10 <= hour.starts < 120


@pytest.mark.parametrize(
    ("rows", "sure", "possible"),
    [
        (((100, 110, 100, 101),), 9 / 110, 10 / 110),  # from its high a candle must reach its close
        (((110, 110, 90, 100),), 20 / 110, 20 / 110),  # and from its open its low
        (((100, 110, 100, 110), (105, 106, 95, 106)), 15 / 110, 15 / 110),  # or from one before
        (((100, 110, 90, 110),), 10 / 100, 20 / 110),
        (((100, 100, 100, 100), (100, 120, 100, 120)), 0.0, 20 / 120),
    ],
)
def test_what_is_sure_of_candles_is_as_much_as_can_be(
    rows: tuple[tuple[int, ...], ...], sure: float, possible: float
) -> None:
    """And what is possible is no more; for whoever buys it is the mirror."""
    whole = slice(0, len(rows))
    found = room._depths(candles(*rows), whole, is_sell=True)
    assert found == pytest.approx((sure, possible))
    mirrored = [tuple(10_000 / row[n] for n in (0, 2, 1, 3)) for row in rows]
    rounded = [tuple(round(price, 6) for price in row) for row in mirrored]
    bought = room._depths(candles(*rounded), whole, is_sell=False)
    assert bought == pytest.approx((sure / (1 - sure), possible / (1 - possible)), abs=1e-5)


def test_price_at_the_very_end_of_a_span_belongs_to_it() -> None:
    """An hour is an hour, its last moment included."""
    past = history(100, 100, 90, 100, at=[0, 1, 3600, 3601])
    (hour,) = noise(past, (Decimal(10),), is_sell=True)
    assert hour.shares == ((1.0, 1.0),)


def test_row_with_an_offset_in_money_is_swept_in_percent() -> None:
    """The grid's offsets stand in the place of its own."""
    base = row()
    money = replace(base, offset_percent=None, terms=replace(base.terms, offset_quote=Decimal(700)))
    past = walk(3, 400)
    found = sweep(past, money, GRID, MARKET, COSTS)
    assert found.cells == sweep(past, base, GRID, MARKET, COSTS).cells
