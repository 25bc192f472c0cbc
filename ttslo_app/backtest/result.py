"""What a row would have brought, in money, beside what else could have been done with the coins.

Pure. Four ends of the same coins, each with the same fee and slippage: the trailing stop; a market
order at the crossing; a stop that does not trail, at the same offset; and the last price of all.
What it must never do: call an end certain that had not come by the last price.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from ttslo_app.backtest.candles import Bounds, Candles, Reach, play_candles
from ttslo_app.backtest.history import History, to_price
from ttslo_app.backtest.play import Market, Played, play, volume_of
from ttslo_app.rules.rule import Direction, Rule

_HUNDRED = Decimal(100)


@dataclass(frozen=True, slots=True)
class Costs:
    """What a market order costs, in percent of what is traded.

    Attributes:
        fee: Kraken's.
        slippage: How much worse the fill is than the price that met the stop.
    """

    fee: Decimal = Decimal("0.40")
    slippage: Decimal = Decimal("0.05")


@dataclass(frozen=True, slots=True)
class End:
    """One end of the coins.

    Attributes:
        at: Where the price that it is of stands.
        price: That price.
        is_reached: Whether it was an order that filled; else only the last price of all.
        gross: Price times volume, in quote currency.
        fee: Of it.
        slippage: Of it.
    """

    at: int
    price: Decimal
    is_reached: bool
    gross: Decimal
    fee: Decimal
    slippage: Decimal
    is_sale: bool

    @property
    def net(self) -> Decimal:
        """What a sale brings, or what a purchase costs, all in all."""
        costs = self.fee + self.slippage
        return self.gross - costs if self.is_sale else self.gross + costs


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a row that crossed, and what would have become of its coins otherwise."""

    played: Played
    trailed: End
    at_crossing: End
    fixed_stop: End
    held: End


@dataclass(frozen=True, slots=True)
class Range:
    """The worst and the best end that the order of prices inside candles leaves open."""

    worst: End
    best: End


@dataclass(frozen=True, slots=True)
class Outlook:
    """The same as `Outcome` for a row on candles: no end is one number but the last price."""

    bounds: Bounds
    trailed: Range
    at_crossing: Range
    fixed_stop: Range
    held: End


def end_of(rule: Rule, costs: Costs, at: int, price: Decimal, *, is_reached: bool = True) -> End:
    """Return an end of a row's coins at a price."""
    gross = price * volume_of(rule)
    fee, slippage = gross * costs.fee / _HUNDRED, gross * costs.slippage / _HUNDRED
    return End(at, price, is_reached, gross, fee, slippage, rule.direction is Direction.SELL)


def outcome_of(history: History, played: Played, costs: Costs) -> Outcome | None:
    """Return what a row came to; None where it never crossed, or had no order."""
    if played.crossed is None or played.refusal:
        return None
    last, rule = len(history) - 1, played.rule
    start = played.path[0].best
    is_sale = rule.direction is Direction.SELL
    if rule.offset_percent is None:  # in money, cut to the pair's digits: as the order has it
        away = abs(start - played.path[0].stop)
    else:
        away = start * rule.offset_percent / _HUNDRED
    level = start - away if is_sale else start + away
    stopped = history.first_from(played.entered, level, is_fall=is_sale)

    def at_price_of(index: int | None) -> End:
        found, is_reached = (last, False) if index is None else (index, True)
        return end_of(rule, costs, found, history.price_at(found), is_reached=is_reached)

    filled, is_filled = (last, False) if played.filled is None else (played.filled, True)
    return Outcome(
        played,
        trailed=end_of(rule, costs, filled, played.exit_price, is_reached=is_filled),
        at_crossing=end_of(rule, costs, played.crossed, played.crossed_price),
        fixed_stop=at_price_of(stopped),
        held=at_price_of(None),
    )


def outlook_of(candles: Candles, bounds: Bounds, costs: Costs) -> Outlook | None:
    """Return what a row on candles may have come to; None as in `outcome_of`."""
    if bounds.crossing is None or bounds.trailed is None or bounds.fixed is None:
        return None
    rule, last = bounds.rule, len(candles) - 1

    def range_of(reach: Reach) -> Range:
        worst, best = (
            end_of(rule, costs, fill.at, fill.price, is_reached=fill.is_reached)
            for fill in (reach.worst, reach.best)
        )
        return Range(worst, best)

    return Outlook(
        bounds,
        trailed=range_of(bounds.trailed),
        at_crossing=range_of(bounds.crossing),
        fixed_stop=range_of(bounds.fixed),
        held=end_of(rule, costs, last, to_price(int(candles.close[last])), is_reached=False),
    )


Row = tuple[Played, Outcome | None] | tuple[Bounds, Outlook | None]


def row_of(prices: History | Candles, rule: Rule, market: Market, costs: Costs) -> Row:
    """Return what became, or may have become, of a row, and what it came to."""
    if isinstance(prices, Candles):
        bounds = play_candles(prices, rule, market)
        return bounds, outlook_of(prices, bounds, costs)
    played = play(prices, rule, market)
    return played, outcome_of(prices, played, costs)
