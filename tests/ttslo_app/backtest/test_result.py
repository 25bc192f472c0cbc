"""What a row came to in money, to the last digit."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kits.histories.candle_kit import candles
from tests.kits.histories.history_kit import MARKET, history, row
from ttslo_app.backtest.candles import play_candles
from ttslo_app.backtest.play import play, volume_of
from ttslo_app.backtest.result import (
    Costs,
    Outcome,
    Outlook,
    end_of,
    outcome_of,
    outlook_of,
    row_of,
)

PAST = history(50000, 50500, 52000, 51480, 49000, 48000)
COSTS = Costs(Decimal("0.4"), Decimal("0.1"))


# Any: exact decimals are compared with plain numbers, which mypy takes for a slip.
def outcome(**changes: object) -> Any:
    """Return what the usual row came to."""
    found = outcome_of(PAST, play(PAST, row(**changes), MARKET), COSTS)  # type: ignore[arg-type]  # cells
    assert found is not None
    return found


def test_sale_brings_its_price_less_fee_and_slippage() -> None:
    """Half a percent of 514.8 in all."""
    end = outcome().trailed
    assert (end.at, end.price, end.is_reached) == (3, 51480, True)
    assert (end.gross, end.fee, end.slippage) == (
        Decimal("514.80"),
        Decimal("2.0592"),
        Decimal("0.5148"),
    )
    assert end.net == Decimal("512.226")


def test_same_coins_have_three_other_ends() -> None:
    """At the crossing, with a stop that stays where it began, and at the last price."""
    found = outcome()
    assert (found.at_crossing.price, found.at_crossing.at) == (50500, 1)
    assert (found.fixed_stop.price, found.fixed_stop.at) == (49000, 4)
    assert (found.held.price, found.held.is_reached) == (48000, False)
    assert found.trailed.net > found.held.net


def test_purchase_costs_its_price_and_fee_and_slippage() -> None:
    """What is cheaper is better."""
    past = history(50000, 49500, 48000, 48480, 51000)
    found: Any = outcome_of(past, play(past, row(49500, "below", "buy"), MARKET), COSTS)
    assert found is not None
    assert (found.trailed.price, found.trailed.is_reached) == (48480, True)
    assert found.trailed.net == Decimal("484.80") * Decimal("1.005")
    assert found.fixed_stop.price == 51000
    assert found.fixed_stop.net - found.trailed.net == Decimal("25.20") * Decimal("1.005")


def test_stop_that_is_not_met_is_worth_the_last_price_and_said_to_be_open() -> None:
    """Nothing is called sold that was not."""
    found = outcome(offset=50)
    assert (found.trailed.is_reached, found.trailed.price) == (False, 48000)
    assert not found.fixed_stop.is_reached


@pytest.mark.parametrize("changes", [{"threshold": 60000}, {"volume": "0.00001"}])
def test_row_without_an_order_has_no_outcome(changes: dict[str, object]) -> None:
    """It never crossed, or Kraken would have refused it."""
    played = play(PAST, row(**changes), MARKET)  # type: ignore[arg-type]  # cells
    assert outcome_of(PAST, played, COSTS) is None


ROWS = ((50000, 50500, 50000, 50500), (50500, 52000, 50200, 51900), (51900, 51900, 48000, 48000))


def test_candles_give_each_end_a_worst_and_a_best() -> None:
    """All but the last price of all, which is one."""
    made = candles(*ROWS)
    found: Any = outlook_of(made, play_candles(made, row(), MARKET), COSTS)
    assert (found.trailed.worst.price, found.trailed.best.price) == (48000, 51480)
    assert found.trailed.worst.net == Decimal("480.00") * Decimal("0.995")
    assert (found.at_crossing.worst.price, found.at_crossing.best.price) == (50500, 50500)
    assert found.fixed_stop.worst.price == 48000
    assert (found.held.price, found.held.is_reached, found.held.at) == (48000, False, 2)


def test_worst_purchase_is_the_dearest() -> None:
    """For whoever buys, the higher price is the worse."""
    made = candles((50000, 50000, 49500, 49500), (49500, 51000, 48000, 48100))
    found: Any = outlook_of(made, play_candles(made, row(49500, "below", "buy"), MARKET), COSTS)
    assert found.trailed.worst.net > found.trailed.best.net


@pytest.mark.parametrize("changes", [{"threshold": 90000}, {"volume": "0.00001"}])
def test_candles_without_an_order_have_no_ends(changes: dict[str, object]) -> None:
    """Neither where nothing crossed nor where Kraken would refuse."""
    made = candles(*ROWS)
    bounds = play_candles(made, row(**changes), MARKET)  # type: ignore[arg-type]  # cells
    assert outlook_of(made, bounds, COSTS) is None


def test_row_is_played_as_its_prices_are() -> None:
    """Single prices have one truth, candles two ends."""
    assert isinstance(row_of(PAST, row(), MARKET, COSTS)[1], Outcome)
    assert isinstance(row_of(candles(*ROWS), row(), MARKET, COSTS)[1], Outlook)


COST = st.decimals(0, 5, places=2)


@given(
    price=st.decimals("0.01", 10**6, places=4),
    fee=COST,
    slippage=COST,
    is_sale=st.booleans(),
    is_reached=st.booleans(),
)
def test_end_is_its_price_and_its_costs_and_no_digit_is_lost(
    price: Decimal, fee: Decimal, slippage: Decimal, is_sale: bool, is_reached: bool
) -> None:
    """Beside fractions: a sale brings less than its price, a purchase costs more, by the same."""
    rule = row(50500, "above" if is_sale else "below", "sell" if is_sale else "buy")
    end = end_of(rule, Costs(fee, slippage), 7, price, is_reached=is_reached)
    gross = Fraction(price) * Fraction(volume_of(rule))
    costs = gross * (Fraction(fee) + Fraction(slippage)) / 100
    assert (end.at, end.price, end.is_reached, end.is_sale) == (7, price, is_reached, is_sale)
    assert Fraction(end.gross) == gross
    assert Fraction(end.fee) + Fraction(end.slippage) == costs
    assert Fraction(end.net) == (gross - costs if is_sale else gross + costs)


@given(st.lists(st.integers(40_000, 60_000), min_size=2, max_size=12), st.booleans())
def test_what_is_held_is_worth_the_last_price_and_every_other_end_comes_before(
    prices: list[int], is_sale: bool
) -> None:
    """However the prices went, and whichever end was reached."""
    rule = row(50500, "above", "sell") if is_sale else row(49500, "below", "buy")
    past = history(50000, *prices)
    found = outcome_of(past, play(past, rule, MARKET), COSTS)
    if found is None:
        return
    assert found.held.at == len(past) - 1
    assert found.held.price == prices[-1]
    assert found.at_crossing.at <= min(found.trailed.at, found.fixed_stop.at, found.held.at)


@pytest.mark.parametrize(("amount", "level"), [("500", 50000), ("1020.04", 49480)])
def test_fixed_stop_in_money_stays_where_the_order_began(amount: str, level: int) -> None:
    """The amount is the one that the order has: cut to the digits of the pair."""
    base = row()
    terms = replace(base.terms, offset_quote=Decimal(amount))
    rule = replace(base, offset_percent=None, terms=terms)
    past = history(50000, 50500, 51000, level, 40000)
    found: Any = outcome_of(past, play(past, rule, MARKET), COSTS)
    assert (found.fixed_stop.at, found.fixed_stop.price) == (3, level)
    above = history(50000, 50500, 51000, Decimal(level) + Decimal("0.1"), 40000)
    missed: Any = outcome_of(above, play(above, rule, MARKET), COSTS)
    assert missed.fixed_stop.at == 4


@pytest.mark.parametrize(("offset", "level", "at"), [(2, 48960, 3), (3, 49440, 4)])
def test_purchase_has_its_fixed_stop_above_where_it_began(offset: int, level: int, at: int) -> None:
    """It is met by the first price at or above that level, whatever fell before."""
    past = history(50000, 48000, 47000, 48960, 49440, 46000)
    rule = row(48000, "below", "buy", offset)
    found: Any = outcome_of(past, play(past, rule, MARKET), COSTS)
    assert (found.fixed_stop.price, found.fixed_stop.at) == (level, at)
    assert found.fixed_stop.is_reached
    assert found.fixed_stop.net > found.fixed_stop.gross, "a purchase pays its costs on top"
