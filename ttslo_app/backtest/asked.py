"""What `ttslo whatif` is asked for in words of its own: spans of time, and the grid of a sweep.

Pure, and needs no other package, as the command line is read before any is. What it must never do:
take half of what was written for the whole of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from krakenlink.numbers import plain, to_positive_decimal

_SECOND = 1_000_000_000
_SPANS = {"h": 3_600, "d": 86_400, "w": 604_800}
_LONGEST = 20 * 366 * 86_400
# More steps than a screen or an eye can hold.
_MOST_STEPS = 60
_GRID = "write threshold=+1%..+20%:20 offset=0.5%..10%:20"


def begin_of(text: str, now: float) -> int:
    """Return the moment that `--since` means, in nanoseconds since 1970.

    Args:
        text: Such as `30d`, `12h`, `2w`, `2026-11-01` or `2026-11-01T12:00`; UTC.
        now: Seconds since 1970.

    Raises:
        ValueError: If it is none of these, or lies in the future or decades back.
    """
    found = re.fullmatch(r"(\d{1,6})([hdw])", text.strip().lower(), re.ASCII)
    if found:
        begin = now - int(found[1]) * _SPANS[found[2]]
    else:
        moment = datetime.fromisoformat(text.strip())
        begin = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if not now - _LONGEST < begin < now:
        raise ValueError(f"{text!r} is no span up to now")
    return round(begin * _SECOND)


@dataclass(frozen=True, slots=True)
class Axis:
    """One side of the grid of a sweep.

    Attributes:
        values: From the first to the last, in equal steps.
        is_share: Whether they are percents; else prices.
    """

    values: tuple[Decimal, ...]
    is_share: bool

    def prices_from(self, first: Decimal, tick: Decimal) -> tuple[Decimal, ...]:
        """Return the values as prices on the tick, a percent being one of the first price."""
        exact = [first * (1 + value / 100) if self.is_share else value for value in self.values]
        return tuple(price.quantize(tick) for price in exact)


@dataclass(frozen=True, slots=True)
class Grid:
    """What a sweep tries: each threshold with each offset."""

    threshold: Axis
    offset: Axis


def grid_of(words: list[str]) -> Grid:
    """Return the grid that `--sweep threshold=+1%..+20%:20 offset=0.5%..10%:20` asks for.

    Raises:
        ValueError: Naming what cannot be read, and how it is written.
    """
    axes: dict[str, Axis] = {}
    for word in words:
        name, _, text = word.partition("=")
        if name not in ("threshold", "offset") or name in axes:
            raise ValueError(f"{word[:60]!r} is no side of the grid; {_GRID}")
        axes[name] = _axis_of(text)
    if len(axes) != 2:
        raise ValueError(f"both threshold and offset are needed; {_GRID}")
    offset, threshold = axes["offset"], axes["threshold"]
    if not offset.is_share or not all(0 < value < 100 for value in offset.values):
        raise ValueError(f"offsets are percents above 0 and under 100; {_GRID}")
    if threshold.is_share and min(threshold.values) <= -100:
        raise ValueError(f"a threshold of {plain(min(threshold.values))} % is no price; {_GRID}")
    return Grid(threshold, offset)


def _axis_of(text: str) -> Axis:
    """Return one side of the grid, such as of `+1%..+20%:20`, `50000..60000:11` or `5%`."""
    number = r"([+-]?\d{1,12}(?:\.\d{1,10})?)(%?)"
    found = re.fullmatch(rf"{number}(?:\.\.{number}:(\d{{1,3}}))?", text, re.ASCII)
    if not found:
        raise ValueError(f"{text[:60]!r} is no range; {_GRID}")
    first, is_share = Decimal(found[1]), bool(found[2])
    last = Decimal(found[3] or first)
    steps = int(found[5] or 1)
    if found[3] and bool(found[4]) != is_share:
        raise ValueError(f"{text!r}: both ends are percents, or none is; {_GRID}")
    if found[3] and not 2 <= steps <= _MOST_STEPS:
        raise ValueError(f"{text!r}: a side has 2 to {_MOST_STEPS} steps; {_GRID}")
    if not is_share:
        to_positive_decimal(first)
        to_positive_decimal(last)
    width = (last - first) / (steps - 1) if steps > 1 else Decimal(0)
    values = tuple((first + width * n).quantize(Decimal("0.0001")) for n in range(steps))
    if is_share:
        return Axis(values, is_share=True)
    return Axis(tuple(first + width * n for n in range(steps)), is_share=False)
