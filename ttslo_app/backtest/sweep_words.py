"""How a sweep is told: tables for a terminal, and an object for programs.

Pure. What they must never do: leave out that the cells are of the past they were searched on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from textwrap import wrap
from typing import Any

from krakenlink.numbers import plain, readable
from ttslo_app.backtest.sweep import Cell, Noise, Sweep

_TENTH = Decimal("0.1")
# Columns of a terminal.
_WIDTH, _CELL, _MARGIN = 80, 7, 10
TERMS = """\
Each cell is what its threshold and offset would have brought, fee and slippage
taken off, in percent of what the same coins were worth at the first price; more
is better, also for a row that buys. A dot never crossed, or had no order; an
asterisk was not met by the end and is worth the last price."""


def warning(found: Sweep) -> str:
    """Return what must be known before a cell is looked at."""
    return (
        f"IN SAMPLE: {found.tries} tries on one past. The best of them was found by looking, and "
        "tells nothing of tomorrow."
    )


def lines_of(found: Sweep) -> Iterator[str]:
    """Yield the tables; each line fits 80 columns where it can."""
    rule = found.rule
    yield f"SWEEP: {rule.direction} {rule.volume_text}, as {rule.id}"
    yield from wrap(warning(found), _WIDTH)
    names = ("worst", "best") if has_ranges(found) else ("",)
    for number, name in enumerate(names):
        yield ""
        yield f"threshold by offset{', the ' + name + ' order of prices' if name else ''}"
        yield from _table(found, number)
    yield ""
    yield f"held to the end: {_percent(found.held)} %"
    yield from noise_lines(found)
    yield ""
    yield from TERMS.splitlines()


def has_ranges(found: Sweep) -> bool:
    """Tell whether any cell has two ends."""
    gains = (cell.gains for row in found.cells for cell in row)
    return any(pair is not None and pair[0] != pair[1] for pair in gains)


def _percent(value: Decimal) -> str:
    return f"{value.quantize(_TENTH):+f}"


def _table(found: Sweep, number: int) -> Iterator[str]:
    """Yield one table, in blocks of as many columns as fit."""
    for block in _blocks(found):
        yield _head(found, block)
        for price, row in zip(found.thresholds, found.cells, strict=True):
            texts = (_cell(row[column], number) for column in block)
            yield f"{readable(price):>{_margin(found)}}" + "".join(
                f"{text:>{_CELL}}" for text in texts
            )


def _blocks(found: Sweep) -> Iterator[range]:
    most = (_WIDTH - _margin(found)) // _CELL
    for first in range(0, len(found.offsets), most):
        yield range(first, min(first + most, len(found.offsets)))


def _margin(found: Sweep) -> int:
    """Return how wide the column of thresholds is."""
    return max(_MARGIN, *(len(readable(price)) for price in found.thresholds))


def _head(found: Sweep, block: range) -> str:
    names = (f"{found.offsets[column]:.2f}".rstrip("0").rstrip(".") + "%" for column in block)
    return " " * _margin(found) + "".join(f"{name:>{_CELL}}" for name in names)


def _cell(cell: Cell, number: int) -> str:
    if cell.gains is None:
        return "."
    return _percent(cell.gains[number]) + ("" if cell.is_filled[number] else "*")


def noise_lines(found: Sweep) -> Iterator[str]:
    """Yield how often ordinary spans went back as far as each offset."""
    if not found.noise:
        yield "The prices are of less than an hour: how far they go back anyway is not told."
        return
    verb = "falls from its highest" if found.rule.direction == "sell" else "rises from its lowest"
    yield ""
    yield "noise of this pair alone: of spans that begin anywhere, the percentage in"
    yield f"which the price {verb} by the offset or more"
    for block in _blocks(found):
        yield _head(found, block)
        for one in found.noise:
            texts = (share_text(one, column) for column in block)
            yield f"{one.name:>{_margin(found)}}" + "".join(f"{text:>{_CELL}}" for text in texts)
    spans = ", ".join(f"{one.starts} of {one.name}" for one in found.noise)
    yield f"({spans}; evenly spread, and they overlap)"


def share_text(noise: Noise, column: int) -> str:
    """Return one share in percent; the sure and the possible one where they differ."""
    sure, possible = (f"{share * 100:.0f}" for share in noise.shares[column])
    return sure if sure == possible else f"{sure}-{possible}"


def record_of(found: Sweep) -> dict[str, Any]:
    """Return the same as JSON's values: prices and percents as text."""
    return {
        "row": found.rule.id,
        "direction": str(found.rule.direction),
        "warning": warning(found),
        "first_price": plain(found.first),
        "thresholds": [plain(price) for price in found.thresholds],
        "offsets": [f"{offset.normalize():f}" for offset in found.offsets],
        "gain_worst": _matrix(found, lambda cell: _gain_text(cell, 0)),
        "gain_best": _matrix(found, lambda cell: _gain_text(cell, 1)),
        "filled_worst": _matrix(found, lambda cell: cell.is_filled[0]),
        "filled_best": _matrix(found, lambda cell: cell.is_filled[1]),
        "held": f"{found.held:.4f}",
        "noise": [
            {
                "span": one.name,
                "spans": one.starts,
                "surely": [round(sure, 4) for sure, _ in one.shares],
                "possibly": [round(possible, 4) for _, possible in one.shares],
            }
            for one in found.noise
        ],
    }


def _gain_text(cell: Cell, number: int) -> str | None:
    return None if cell.gains is None else f"{cell.gains[number]:.4f}"


def _matrix(found: Sweep, value: Callable[[Cell], object]) -> list[list[object]]:
    return [[value(cell) for cell in row] for row in found.cells]
