"""The prices of one market in the past, as columns, and what of them can be passed over.

Pure: numbers in, numbers out. Prices are whole numbers of `UNIT`, so no digit is lost; moments are
nanoseconds since 1970. A block knows its highest and lowest price and its deepest fall and rise,
so that who follows a stop looks only at the blocks in which it could be met.

What it must never do: pass over a price that could decide anything. Where a block is in doubt it
counts as one that has to be looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

# Prices have at most this many decimals; ten are enough for the cheapest coin of Kraken's.
PLACES = 10
UNIT = Decimal(1).scaleb(-PLACES)
# Prices in a block: few enough to be played one by one, enough that most of them need not be.
BLOCK = 256
# Blocks whose columns are worked out at once: more would only cost memory.
_AT_ONCE = 2048
# More than binary fractions err by, and far less than any offset.
_ROUNDING = 1e-12


def to_price(units: int) -> Decimal:
    """Return a price from its whole number of `UNIT`, without zeros at its end."""
    price = Decimal(int(units)).scaleb(-PLACES).normalize()
    return price.quantize(Decimal(1)) if int(price.as_tuple().exponent) > 0 else price


def to_units(price: Decimal) -> int:
    """Return a price as a whole number of `UNIT`.

    Raises:
        ValueError: If it has more decimals than that.
    """
    units = price.scaleb(PLACES)
    if units != units.to_integral_value():
        raise ValueError(f"{price} has more than {PLACES} decimals")
    return int(units)


@dataclass(frozen=True, slots=True)
class Blocks:
    """What is known of each `BLOCK` of prices, in whole numbers of `UNIT` and in shares of one.

    Attributes:
        high: The highest price of each.
        low: The lowest.
        fall: The deepest fall below the best price before it, within the block: 0.01 is
            one percent.
        rise: The steepest rise above the lowest price before it, likewise.
    """

    high: Ints
    low: Ints
    fall: Floats
    rise: Floats


@dataclass(frozen=True)
class History:
    """One market's prices, oldest first.

    Attributes:
        at_ns: When each was traded, in nanoseconds since 1970; never falling.
        price: Each price as a whole number of `UNIT`, above 0.
        tick: The smallest step of a price, as a whole number of `UNIT`.
    """

    at_ns: Ints
    price: Ints
    tick: int
    _worked_out: list[Blocks] = field(default_factory=list, init=False, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.price)

    def price_at(self, index: int) -> Decimal:
        """Return the price that stands at `index`."""
        return to_price(int(self.price[index]))

    @property
    def first_price(self) -> Decimal:
        """The very first price."""
        return self.price_at(0)

    @property
    def last_price(self) -> Decimal:
        """The very last price."""
        return self.price_at(-1)

    @property
    def extremes(self) -> tuple[Decimal, Decimal]:
        """The lowest and the highest price of all."""
        return to_price(int(self.price.min())), to_price(int(self.price.max()))

    def after(self, index: int) -> int:
        """Return where the first price of a later moment stands; the length where there is none.

        Prices of one moment are printed at once: nobody can act between them.
        """
        return int(np.searchsorted(self.at_ns, self.at_ns[index], side="right"))

    @property
    def blocks(self) -> Blocks:
        """What is known of each block; worked out once, in about a second for ten million."""
        # Not `cached_property`: up to Python 3.11 it has one lock for all histories of a process,
        # and a child that is forked while another thread holds it waits for ever.
        if not self._worked_out:
            parts = list(self._parts())
            self._worked_out.append(
                Blocks(*(np.concatenate(column) for column in zip(*parts, strict=True)))
            )
        return self._worked_out[0]

    def _parts(self) -> Iterator[tuple[Ints, Ints, Floats, Floats]]:
        step = BLOCK * _AT_ONCE
        for start in range(0, len(self), step):
            yield _extremes(self.price[start : start + step], self.tick)

    def first_from(self, start: int, level: Decimal, *, is_fall: bool) -> int | None:
        """Return where the first price at or beyond a level stands, from `start` on.

        Args:
            start: Where to begin.
            level: The level.
            is_fall: Whether the price must be at it or below, else at it or above.
        """
        edge = level.scaleb(PLACES)
        whole = -(-start // BLOCK)
        near = self._first_met(start, whole * BLOCK, edge, is_fall=is_fall)
        if near is not None:
            return near
        if is_fall:
            far = self.blocks.low[whole:] <= math.floor(edge)
        else:
            far = self.blocks.high[whole:] >= math.ceil(edge)
        if not far.any():
            return None
        first = (whole + int(np.argmax(far))) * BLOCK
        return self._first_met(first, first + BLOCK, edge, is_fall=is_fall)

    def _first_met(self, start: int, end: int, edge: Decimal, *, is_fall: bool) -> int | None:
        part = self.price[start:end]
        met = part <= math.floor(edge) if is_fall else part >= math.ceil(edge)
        return start + int(np.argmax(met)) if met.any() else None

    def quiet_until(self, block: int, best: Decimal, offset: float, is_sell: bool) -> int:
        """Return the first block from `block` on in which a trailing stop could be met.

        Args:
            block: Where to begin.
            best: The best price so far: the highest for a stop that sells, else the lowest.
            offset: How far the stop stays away from it, as a share of one.
            is_sell: Whether the stop sells.

        Returns:
            The block; the number of blocks where there is none.
        """
        reached, count = float(to_units(best)), len(self.blocks.high)
        while block < count:
            part = slice(block, block + _AT_ONCE)
            doubtful, reached = self._doubtful(part, reached, offset, is_sell)
            if doubtful.any():
                return block + int(np.argmax(doubtful))
            block += _AT_ONCE
        return count

    def _doubtful(
        self, part: slice, best: float, offset: float, is_sell: bool
    ) -> tuple[NDArray[np.bool_], float]:
        """Tell which blocks could meet the stop, a tick and a rounding included, and the best."""
        blocks, room = self.blocks, self.tick + 1
        if is_sell:
            ends = np.maximum.accumulate(np.maximum(blocks.high[part].astype(np.float64), best))
            before = np.concatenate(([best], ends[:-1]))
            stop = before * (1 - offset + _ROUNDING) + room
            return (blocks.low[part] <= stop) | (blocks.fall[part] >= offset), float(ends[-1])
        ends = np.minimum.accumulate(np.minimum(blocks.low[part].astype(np.float64), best))
        before = np.concatenate(([best], ends[:-1]))
        stop = before * (1 + offset - _ROUNDING) - room
        return (blocks.high[part] >= stop) | (blocks.rise[part] >= offset), float(ends[-1])

    def records(self, block: int, end: int, best: Decimal, is_sell: bool) -> Iterator[int]:
        """Yield where each block from `block` up to `end` first beats all before, and `best`."""
        column = self.blocks.high[block:end] if is_sell else -self.blocks.low[block:end]
        reached = to_units(best) if is_sell else -to_units(best)
        before = np.maximum.accumulate(np.concatenate(([reached], column)))[:-1]
        for beating in np.flatnonzero(column > before):
            start = (block + int(beating)) * BLOCK
            part = self.price[start : start + BLOCK]
            yield start + int(np.argmax(part) if is_sell else np.argmin(part))


def _extremes(price: Ints, tick: int) -> tuple[Ints, Ints, Floats, Floats]:
    """Return highest, lowest, deepest fall and steepest rise of each block."""
    missing = -len(price) % BLOCK
    rows = np.concatenate([price, np.repeat(price[-1:], missing)]).reshape(-1, BLOCK)
    best = np.maximum.accumulate(rows, axis=1)
    # A stop is rounded to a tick and stays at least one away from the best price.
    fall = ((best - rows + (tick + 1)) / best).max(axis=1) + _ROUNDING
    best = np.minimum.accumulate(rows, axis=1)
    rise = ((rows - best + (tick + 1)) / best).max(axis=1) + _ROUNDING
    return rows.max(axis=1), rows.min(axis=1), fall, rise
