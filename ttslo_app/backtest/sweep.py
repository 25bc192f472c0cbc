"""Many thresholds with many offsets on the same prices, and how far those prices fall anyway.

Pure. A sweep tells what each pair of numbers would have come to, in percent of what the same coins
were worth at the first price. Beside it stands the noise: how deep ordinary spans of an hour, a day
or a week went back from their best price, wherever they began. What it must never do: call a cell
of a sweep good. It is the best of many tries on one past, and was chosen after the fact.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np

from ttslo_app.backtest.asked import Grid
from ttslo_app.backtest.candles import Candles
from ttslo_app.backtest.history import Floats, History
from ttslo_app.backtest.play import Market, volume_of
from ttslo_app.backtest.result import Costs, End, Outcome, row_of
from ttslo_app.rules.rule import Direction, Rule, ThresholdType

_SECOND = 1_000_000_000
SPANS = (("an hour", 3_600), ("a day", 86_400), ("a week", 604_800))
# Spans that are looked at, and prices in all of them together: more would only take time.
_STARTS = 200
_MOST_PRICES = 100_000_000
# More than binary fractions err by.
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Cell:
    """What one threshold with one offset came to.

    Attributes:
        gains: The worst and the best, in percent of the coins' worth at the first price; equal
            where the prices are single ones. None where it never crossed, or had no order.
        is_filled: Whether its stop was met, in the worst case and in the best.
    """

    gains: tuple[Decimal, Decimal] | None
    is_filled: tuple[bool, bool] = (False, False)


@dataclass(frozen=True, slots=True)
class Noise:
    """How often spans of one length went back so far, wherever they began.

    Attributes:
        name: The length.
        starts: How many spans were looked at, evenly spread; they overlap.
        shares: For each offset, the shares of them that did: surely, and possibly. They differ on
            candles alone.
    """

    name: str
    starts: int
    shares: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Sweep:
    """A whole grid of cells.

    Attributes:
        rule: Whose direction and volume it has.
        thresholds: Prices, one a row of cells.
        offsets: Percents, one a column.
        cells: By threshold, then by offset.
        held: What the coins came to at the last price, in the same percent.
        noise: For each length of span that the prices hold.
    """

    rule: Rule
    first: Decimal
    thresholds: tuple[Decimal, ...]
    offsets: tuple[Decimal, ...]
    cells: tuple[tuple[Cell, ...], ...]
    held: Decimal
    noise: tuple[Noise, ...]

    @property
    def tries(self) -> int:
        """How many pairs of numbers were tried."""
        return len(self.thresholds) * len(self.offsets)


def sweep(prices: History | Candles, rule: Rule, grid: Grid, market: Market, costs: Costs) -> Sweep:
    """Return what every threshold of a grid came to with every offset of it.

    Args:
        prices: What they are played on.
        rule: Whose direction and volume they have. A threshold over the first price is one from
            below, and any other one from above.
        grid: The thresholds and offsets.
        market: The market of the prices.
        costs: What a market order costs.
    """
    first = prices.first_price
    thresholds, offsets = grid.threshold.prices_from(first, market.tick), grid.offset.values
    worth = first * volume_of(rule)
    cells = tuple(
        tuple(
            _cell(prices, _tried(rule, threshold, offset, first), market, costs, worth)
            for offset in offsets
        )
        for threshold in thresholds
    )
    is_sell = rule.direction is Direction.SELL
    at_end = prices.last_price * volume_of(rule)
    share = (costs.fee + costs.slippage) / 100
    held = at_end * (1 - share if is_sell else 1 + share)
    return Sweep(
        rule,
        first,
        thresholds,
        offsets,
        cells,
        _gain(held, worth, is_sell=is_sell),
        tuple(noise(prices, offsets, is_sell=is_sell)),
    )


def _tried(rule: Rule, threshold: Decimal, offset: Decimal, first: Decimal) -> Rule:
    kind = ThresholdType.ABOVE if threshold > first else ThresholdType.BELOW
    terms = replace(rule.terms, offset_quote=None)
    return replace(
        rule, threshold=threshold, threshold_type=kind, offset_percent=offset, terms=terms
    )


def _cell(
    prices: History | Candles, rule: Rule, market: Market, costs: Costs, worth: Decimal
) -> Cell:
    _, outcome = row_of(prices, rule, market, costs)
    if outcome is None:
        return Cell(None)
    if isinstance(outcome, Outcome):
        worst = best = outcome.trailed
    else:
        worst, best = outcome.trailed.worst, outcome.trailed.best

    def gain(end: End) -> Decimal:
        return _gain(end.net, worth, is_sell=end.is_sale)

    return Cell((gain(worst), gain(best)), (worst.is_reached, best.is_reached))


def _gain(net: Decimal, worth: Decimal, *, is_sell: bool) -> Decimal:
    """Return how much better than the first price it came to, in percent of that."""
    return ((net - worth) if is_sell else (worth - net)) / worth * 100


# --- noise ---------------------------------------------------------------------------------------


def noise(
    prices: History | Candles, offsets: tuple[Decimal, ...], *, is_sell: bool
) -> Iterator[Noise]:
    """Yield how often a stop at each offset would have been met within spans of each length.

    A stop that sells is met where the price falls so far below its best; one that buys where it
    rises so far. Spans begin evenly spread over the prices, and end within them.
    """
    at = prices.at_ns
    edges = np.array([float(offset) / 100 for offset in offsets])
    for name, seconds in SPANS:
        latest = int(at[-1]) - seconds * _SECOND
        if latest <= int(at[0]):
            continue
        count = max(10, min(_STARTS, int(_MOST_PRICES * _share_of(prices, seconds) / len(at))))
        moments = np.linspace(int(at[0]), latest, count).astype(np.int64)
        starts = np.searchsorted(at, moments)
        ends = np.searchsorted(at, moments + seconds * _SECOND, side="right")
        depths = np.array(
            [
                _depths(prices, slice(int(start), int(end)), is_sell=is_sell)
                for start, end in zip(starts, ends, strict=True)
                if end > start
            ]
        ).reshape(-1, 2)
        if not len(depths):
            continue
        met = depths[:, :, None] + _ROUNDING >= edges
        shares = tuple((float(sure), float(maybe)) for sure, maybe in met.mean(axis=0).T)
        yield Noise(name, len(depths), shares)


def _share_of(prices: History | Candles, seconds: int) -> float:
    """Return how often a span goes into the whole."""
    return (int(prices.at_ns[-1]) - int(prices.at_ns[0])) / (seconds * _SECOND)


def _depths(prices: History | Candles, part: slice, *, is_sell: bool) -> tuple[float, float]:
    """Return how far a span went back from its best, surely and at most, as a share of one."""
    if isinstance(prices, History):
        price = prices.price[part].astype(np.float64)
        deepest = _deepest(price, price, is_sell=is_sell)
        return deepest, deepest
    best, back = (prices.high, prices.low) if is_sell else (prices.low, prices.high)
    tops, ends = best[part].astype(np.float64), back[part].astype(np.float64)
    opened, closed = (x[part].astype(np.float64) for x in (prices.open, prices.close))
    # Sure is what lies between a candle's begin or an earlier one, and it; and its end.
    before = np.concatenate((opened[:1], tops[:-1]))
    before = np.maximum(before, opened) if is_sell else np.minimum(before, opened)
    sure = max(_deepest(before, ends, is_sell=is_sell), _deepest(tops, closed, is_sell=is_sell))
    return sure, _deepest(tops, ends, is_sell=is_sell)


def _deepest(tops: Floats, ends: Floats, *, is_sell: bool) -> float:
    """Return the farthest way back from the best of all tops so far."""
    if is_sell:
        best = np.maximum.accumulate(tops)
        return float(((best - ends) / best).max())
    best = np.minimum.accumulate(tops)
    return float(((ends - best) / best).max())
