"""Candles, and an oracle that tries every order of prices that fits them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import lru_cache

import numpy as np

from fake_kraken.engine import Engine
from tests.kits.histories.history_kit import BEGAN, KEY, MARKET, SECOND, TICK, offset_text
from ttslo_app.backtest.candles import Candles
from ttslo_app.backtest.history import PLACES, History
from ttslo_app.rules.rule import Direction, Rule

Four = tuple[int, int, int, int]
# What an order's life may be at: "wait", ("stand", start, best), or ("end", price).
State = tuple[object, ...]


def candles(
    *rows: Sequence[object], trades: Sequence[int] | None = None, tick: int = TICK
) -> Candles:
    """Return a candle a minute of open, high, low and close."""
    opened, high, low, close = (
        np.array([int(Decimal(str(row[n])).scaleb(PLACES)) for row in rows], np.int64)
        for n in range(4)
    )
    at_ns = np.array([BEGAN + n * 60 * SECOND for n in range(len(rows))], np.int64)
    counts = np.array(trades or [0] * len(rows), np.int64)
    return Candles(at_ns, opened, high, low, close, counts, tick)


def candles_of(past: History, seconds: int) -> Candles:
    """Return the candles of single prices, as an exchange would make them."""
    bins = past.at_ns // (seconds * SECOND)
    starts = np.flatnonzero(np.diff(bins, prepend=bins[0] - 1))
    ends = np.append(starts[1:], len(past))
    return Candles(
        bins[starts] * seconds * SECOND,
        past.price[starts],
        np.maximum.reduceat(past.price, starts),
        np.minimum.reduceat(past.price, starts),
        past.price[ends - 1],
        ends - starts,
        past.tick,
    )


@lru_cache(maxsize=4096)
def paths_of(candle: Four, count: int) -> tuple[tuple[int, ...], ...]:
    """Return every order of `count` whole prices that fits a candle."""
    opened, high, low, close = candle
    if count == 1:
        return ((opened,),) if opened == close == high == low else ()
    inner = itertools.product(range(low, high + 1), repeat=count - 2)
    whole = ((opened, *middle, close) for middle in inner)
    return tuple(path for path in whole if max(path) == high and min(path) == low)


def moments_of(count: int) -> Iterator[tuple[int, ...]]:
    """Yield every way in which `count` prices may share moments."""
    for breaks in itertools.product((0, 1), repeat=count - 1):
        yield tuple(itertools.accumulate((0, *breaks)))


@lru_cache(maxsize=200_000)
def stop_of(rule: Rule, best: int) -> Decimal:
    """Return where the exchange puts a trailing stop that was entered at `best`."""
    engine = Engine({KEY: MARKET.row}, {KEY: best}, {"XXBT": "1e15", "ZUSD": "1e15"})
    params = {
        "pair": KEY,
        "type": rule.direction.value,
        "ordertype": "trailing-stop",
        "volume": str(rule.volume),
        "price": offset_text(rule),
    }
    return engine.add_order(params, 0.0).stop


def fixed_stop_of(rule: Rule, start: int) -> Decimal:
    """Return where a stop stands that does not trail."""
    sign = 1 if rule.direction is Direction.SELL else -1
    return start - sign * rule.distance_at(Decimal(start))


def oracle(rows: Sequence[Four], counts: Sequence[int], rule: Rule) -> tuple[set[int], set[int]]:
    """Return every price that ends a trailing stop, and one that does not trail.

    Each order of prices, and each way in which they share moments, is played, price by price.
    """
    return (
        _all_ends(rows, counts, rule, is_trailing=True),
        _all_ends(rows, counts, rule, is_trailing=False),
    )


def _all_ends(
    rows: Sequence[Four], counts: Sequence[int], rule: Rule, *, is_trailing: bool
) -> set[int]:
    states: set[State] = {("wait",)}
    for candle, count in zip(rows, counts, strict=True):
        found: set[State] = set()
        for path in paths_of(candle, count):
            for state in states:
                waits = state[0] == "wait"
                for moments in moments_of(count) if waits else ((),):
                    found.add(_after(state, path, moments, rule, is_trailing))
        states = found
    ends = {int(str(state[1])) for state in states if state[0] == "end"}
    return ends | ({rows[-1][3]} if any(state[0] == "stand" for state in states) else set())


def _after(
    state: State, path: tuple[int, ...], moments: tuple[int, ...], rule: Rule, is_trailing: bool
) -> State:
    """Return the state after a candle's prices."""
    begin = 0
    if state[0] == "wait":
        hit = next((n for n, price in enumerate(path) if rule.is_met_by(Decimal(price))), None)
        if hit is None:
            return state
        begin = next((n for n in range(len(path)) if moments[n] > moments[hit]), len(path))
        state = ("stand", path[begin - 1], path[begin - 1])
    if state[0] == "end":
        return state
    start, best = int(str(state[1])), int(str(state[2]))
    is_sell = rule.direction is Direction.SELL
    for price in path[begin:]:
        best = max(best, price) if is_sell else min(best, price)
        stop = stop_of(rule, best) if is_trailing else fixed_stop_of(rule, start)
        if price <= stop if is_sell else price >= stop:
            return ("end", price)
    return ("stand", start, best)
