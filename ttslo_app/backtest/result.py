"""What a row would have brought, in money, beside what else could have been done with the coins.

Pure. Four ends of the same coins, each with the same fee and slippage: the trailing stop; a market
order at the crossing; a stop that does not trail, at the same offset; and the last price of all.
What it must never do: call an end certain that had not come by the last price.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from ttslo_app.backtest.history import History
from ttslo_app.backtest.play import Played
from ttslo_app.rules.rule import Direction

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

    def better_than(self, other: End) -> Decimal:
        """Return how much better than `other` the trailing stop did, in quote currency."""
        gain = self.trailed.net - other.net
        return gain if self.trailed.is_sale else -gain


def outcome_of(history: History, played: Played, costs: Costs) -> Outcome | None:
    """Return what a row came to; None where it never crossed, or had no order."""
    if played.crossed is None or played.refusal:
        return None
    last = len(history) - 1
    start = played.path[0].best
    is_sale = played.rule.direction is Direction.SELL
    away = start * played.rule.offset_percent / _HUNDRED
    level = start - away if is_sale else start + away
    stopped = history.first_from(played.entered, level, is_fall=is_sale)

    def end(at: int, price: Decimal, *, is_reached: bool) -> End:
        gross = price * played.rule.volume
        fee, slippage = gross * costs.fee / _HUNDRED, gross * costs.slippage / _HUNDRED
        return End(at, price, is_reached, gross, fee, slippage, is_sale)

    def at_price_of(index: int | None) -> End:
        found = last if index is None else index
        return end(found, history.price_at(found), is_reached=index is not None)

    return Outcome(
        played,
        trailed=end(
            last if played.filled is None else played.filled,
            played.exit_price,
            is_reached=played.filled is not None,
        ),
        at_crossing=end(played.crossed, played.crossed_price, is_reached=True),
        fixed_stop=at_price_of(stopped),
        held=at_price_of(None),
    )
