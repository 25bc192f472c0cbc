"""One row on candles: the best and the worst that could have become of it.

A candle tells its first, highest, lowest and last price, and not in which order the highest and
the lowest came. So a row has two ends here: no order of prices that fits the candles ends better
than the best, or worse than the worst.

What is assumed: every price of a candle lies between its lowest and its highest, both were traded,
it begins with its open and ends with its close. The order may stand from any moment on between its
crossing and the end of that candle. Where the number of trades leaves only one order, it is that.

Pure. What it must never do: leave out an order of prices that could have been.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np

from fake_kraken.orders import Order, stop_price
from fake_kraken.params import Refusal
from ttslo_app.backtest.history import PLACES, Floats, Ints, to_price, to_units
from ttslo_app.backtest.play import Market, entered_order
from ttslo_app.rules.rule import Direction, Rule, ThresholdType

# Candles that are looked through at once.
_AT_ONCE = 1 << 16
# More than binary fractions err by.
_ROUNDING = 1e-12

# Open, highest, lowest and close.
_Four = tuple[int, int, int, int]


@dataclass(frozen=True)
class Candles:
    """One market's candles, oldest first; those without a trade are not there.

    Attributes:
        at_ns: When each begins, in nanoseconds since 1970; always rising.
        open: The first price of each, as a whole number of `UNIT`, as are the other three.
        trades: How many trades each has; 0 where that is not known.
        tick: The smallest step of a price, as a whole number of `UNIT`.
    """

    at_ns: Ints
    open: Ints
    high: Ints
    low: Ints
    close: Ints
    trades: Ints
    tick: int

    def __len__(self) -> int:
        return len(self.at_ns)

    @property
    def first_price(self) -> Decimal:
        """The very first price."""
        return to_price(int(self.open[0]))

    @property
    def last_price(self) -> Decimal:
        """The very last price."""
        return to_price(int(self.close[-1]))

    @property
    def extremes(self) -> tuple[Decimal, Decimal]:
        """The lowest and the highest price of all."""
        return to_price(int(self.low.min())), to_price(int(self.high.max()))


@dataclass(frozen=True, slots=True)
class Fill:
    """An end that an order may have: in which candle, at which price; else the last price."""

    at: int
    price: Decimal
    is_reached: bool = True


@dataclass(frozen=True, slots=True)
class Reach:
    """The worst and the best of something, for whoever has the row."""

    worst: Fill
    best: Fill


@dataclass(frozen=True, slots=True)
class Bounds:
    """What could have become of a row.

    Attributes:
        crossed: In which candle it crossed; None where no price of any did.
        crossing: The prices at which it may have.
        refusal: Why Kraken would refuse the order at the lowest of them; empty where it would not.
        trailed: The ends of its trailing stop.
        fixed: Those of a stop at the same offset that does not trail.
        open_until: The last candle in which the trailing stop may stand.
    """

    rule: Rule
    crossed: int | None = None
    crossing: Reach | None = None
    refusal: str = ""
    trailed: Reach | None = None
    fixed: Reach | None = None
    open_until: int = 0


def play_candles(candles: Candles, rule: Rule, market: Market) -> Bounds:
    """Return the worst and the best of a row that was armed at the first price."""
    is_fall = rule.threshold_type is ThresholdType.BELOW
    edge = rule.threshold.scaleb(PLACES)
    met = candles.low <= math.floor(edge) if is_fall else candles.high >= math.ceil(edge)
    if not met.any():
        return Bounds(rule)
    crossed = int(np.argmax(met))
    crossing = _crossing(candles, crossed, rule, market)
    try:
        order = entered_order(market, rule, to_price(int(candles.low[crossed])))
    except Refusal as refusal:
        return Bounds(rule, crossed, crossing, refusal=str(refusal))
    sign = 1 if rule.direction is Direction.SELL else -1
    step = to_units(market.tick)
    trailing = _Reaches(candles, sign, _trailing(order, market.tick, sign), step, order)
    fixed = _Reaches(candles, sign, _fixed(order, min(step, candles.tick), sign), step)
    trailed, still = trailing.run(crossed), fixed.run(crossed)
    return Bounds(rule, crossed, crossing, "", trailed, still, trailing.open_until)


def stop_steps(candles: Candles, bounds: Bounds, market: Market) -> list[tuple[int, Decimal]]:
    """Return where the trailing stop of a row stands at most, and from which moment on.

    That is where it stands once a candle has been at its high (its low, for a purchase), up to the
    last candle in which it may stand at all.
    """
    crossed = bounds.crossed or 0
    order = entered_order(market, bounds.rule, to_price(int(candles.low[crossed])))
    sign = 1 if bounds.rule.direction is Direction.SELL else -1
    stop = _trailing(order, market.tick, sign)
    part = slice(crossed, bounds.open_until + 1)
    highs = candles.high[part] if sign > 0 else -candles.low[part]
    best = np.maximum.accumulate(highs)
    changes = np.flatnonzero(np.diff(best, prepend=best[0] - 1))
    return [
        (int(candles.at_ns[crossed + int(n)]), to_price(sign * stop(int(best[n])))) for n in changes
    ]


def _crossing(candles: Candles, index: int, rule: Rule, market: Market) -> Reach:
    """Return at which prices a row may have crossed in a candle: the open, where that did."""
    opened = to_price(int(candles.open[index]))
    if rule.is_met_by(opened):
        return Reach(Fill(index, opened), Fill(index, opened))
    step = min(candles.tick, to_units(market.tick))
    edge = rule.threshold.scaleb(PLACES) / step
    if rule.threshold_type is ThresholdType.BELOW:
        near, far = math.floor(edge) * step, int(candles.low[index])
    else:
        near, far = math.ceil(edge) * step, int(candles.high[index])
    low, high = (Fill(index, to_price(units)) for units in sorted((near, far)))
    return Reach(low, high) if rule.direction is Direction.SELL else Reach(high, low)


def _trailing(order: Order, tick: Decimal, sign: int) -> Callable[[int], int]:
    """Return what tells where the stop stands for a best price, by the exchange's own rule."""

    def stop(best: int) -> int:
        return sign * to_units(stop_price(replace(order, anchor=to_price(sign * best)), tick))

    return stop


def _fixed(order: Order, step: int, sign: int) -> Callable[[int], int]:
    """Return what tells where a stop stands that does not trail, for the price it began at."""

    def stop(start: int) -> int:
        units = Decimal(sign * start)
        away = units * order.offset / 100 if order.is_percent else order.offset.scaleb(PLACES)
        return math.floor(sign * (units - sign * away) / step) * step

    return stop


class _Reaches:
    """All states that one order may be in, candle after candle.

    Prices are turned by their sign for an order that buys, so that higher is better here and a
    stop lies below. While the order stands, its best price is one of `_low` to `_high`.

    Args:
        candles: The candles.
        sign: 1 for an order that sells, -1 for one that buys.
        stop: Tells where the stop stands for a best price; never falls as that rises.
        step: What that is rounded to.
        trailing: The order, where it trails; None where the best price stays the first.
    """

    def __init__(
        self,
        candles: Candles,
        sign: int,
        stop: Callable[[int], int],
        step: int,
        trailing: Order | None = None,
    ) -> None:
        self._candles, self._sign, self._stop, self._trailing = candles, sign, stop, trailing
        self._step = step
        self._low = self._high = 0
        self._worst: Fill | None = None
        self._best: Fill | None = None
        self.open_until = 0

    def run(self, crossed: int) -> Reach:
        """Return the worst and the best end of an order whose row crossed in that candle."""
        self._enter(crossed)
        self.open_until = crossed
        index = crossed + 1
        while index < len(self._candles) and self._run_part(index):
            index += _AT_ONCE
        if self._is_open:
            last = len(self._candles) - 1
            self.open_until = last
            close = self._sign * int(self._candles.close[last])
            self._note(last, close, close, is_reached=False)
        assert self._worst is not None
        assert self._best is not None
        return Reach(self._worst, self._best)

    @property
    def _is_open(self) -> bool:
        return self._low <= self._high

    def _enter(self, index: int) -> None:
        """Let the order come to stand somewhere in the candle of its crossing, or at its end."""
        _, high, low, close = self._four(index)
        top = self._stop(high)
        if low <= top:
            self._note(index, low, top)
        # What was traded in the moment of the crossing may hide all but the close from a stop that
        # trails, and one that does not may have begun at any price.
        self._low, self._high = (close if self._trailing else low), high
        self._survive(close)

    def _run_part(self, start: int) -> bool:
        """Pass over candles in which nothing can happen; tell whether the order may still stand."""
        candles = self._candles
        part = slice(start, start + _AT_ONCE)
        highs, lows = candles.high[part], candles.low[part]
        if self._sign < 0:
            highs, lows = -lows, -highs
        begun = 0
        for met in np.flatnonzero(lows <= self._highest_stops(highs)):
            self._follow(highs[begun : int(met)])
            self.open_until = start + int(met)
            self._candle(start + int(met))
            if not self._is_open:
                return False
            begun = int(met) + 1
        self._follow(highs[begun:])
        return True

    def _highest_stops(self, highs: Ints) -> Floats:
        """Return above what no stop can stand in each candle, a tick and a rounding included."""
        if self._trailing is None:
            top = self._stop(self._high)
            return np.full(len(highs), top + abs(top) * _ROUNDING + 1, np.float64)
        best = np.maximum.accumulate(np.maximum(highs, self._high)).astype(np.float64)
        away = float(self._trailing.offset)
        if self._trailing.is_percent:
            stops = best * (1 - self._sign * away / 100)
        else:
            stops = best - away * 10.0**PLACES
        return np.asarray(stops + np.abs(best) * _ROUNDING + self._step + 1)

    def _follow(self, highs: Ints) -> None:
        if self._trailing and len(highs):
            top = int(highs.max())
            self._low, self._high = max(self._low, top), max(self._high, top)

    def _candle(self, index: int) -> None:
        """Let a candle happen to an order that may stand."""
        for opened, high, low, close in self._parts(index):
            if not self._is_open:
                return
            if self._stop(self._high) >= opened:
                self._note(index, opened, opened)
                self._survive(opened)
                if not self._is_open:
                    return
            if not self._trailing:
                self._pass(index, low, self._stop(self._high))
                continue
            self._follow(np.array([opened]))
            # Down from the highest price it may be met; straight down from the open it may not.
            self._pass(index, low, self._stop(max(self._high, high)))
            if self._is_open:
                self._follow(np.array([high]))
                self._survive(close)

    def _pass(self, index: int, low: int, top: int) -> None:
        if low <= top:
            self._note(index, low, top)
            self._survive(low)

    def _four(self, index: int) -> _Four:
        candles = self._candles
        four = (candles.open, candles.high, candles.low, candles.close)
        opened, high, low, close = (self._sign * int(column[index]) for column in four)
        return (opened, high, low, close) if self._sign > 0 else (opened, low, high, close)

    def _parts(self, index: int) -> Iterator[_Four]:
        """Yield a candle, or its prices one by one where only one order of them fits."""
        opened, high, low, close = four = self._four(index)
        between = {high, low} - {opened, close}
        is_known = len(between) < 2 and int(self._candles.trades[index]) == 2 + len(between)
        if not is_known:
            yield four
            return
        for price in (opened, *between, close):
            yield price, price, price, price

    def _survive(self, price: int) -> None:
        """Leave those best prices only whose stop is not met by a price."""
        if not self._is_open or self._stop(self._high) < price:
            return
        met, standing = self._high, self._low - 1
        while met - standing > 1:
            middle = (met + standing) // 2
            if self._stop(middle) < price:
                standing = middle
            else:
                met = middle
        self._high = standing

    def _note(self, index: int, low: int, high: int, *, is_reached: bool = True) -> None:
        """Note ends at prices from `low` to `high`."""
        for name, price in (("_worst", low), ("_best", high)):
            known: Fill | None = getattr(self, name)
            fill = Fill(index, to_price(self._sign * price), is_reached)
            gain = 0 if known is None else self._sign * (fill.price - known.price)
            if known is None or (gain > 0 if name == "_best" else gain < 0):
                setattr(self, name, fill)
