"""How rows on past prices, and a sweep of many, are told: to a person, and to programs.

Pure. What they must never do: give advice, call an end reached that was not, or leave out that the
cells of a sweep are of the past they were searched on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from textwrap import wrap
from typing import Any

from krakenlink.numbers import plain, readable
from krakenlink.pairs import shown_pair
from ttslo_app.backtest.candles import Bounds, Candles
from ttslo_app.backtest.history import History
from ttslo_app.backtest.play import Played
from ttslo_app.backtest.result import End, Outcome, Range, Row
from ttslo_app.backtest.sweep import Cell, Noise, Sweep
from ttslo_app.clocks import iso_moment
from ttslo_app.rules.rule import Direction, Rule, ThresholdType

CENT = Decimal("0.01")
TERMS = """\
A row is armed at the first price. Its order stands from the first price after
the moment that crossed, as if it had arrived at once; it follows each price as
Kraken's trailing stop does, and is filled at the price that meets it. "At once"
is a market order at the price that crossed. The stop that does not trail stays
where the other one began. "Held" is a market order at the last price of all.
Each end has the fee and the slippage of a market order. The past is no promise."""
CANDLE_TERMS = """\
A candle does not tell whether its highest or its lowest price came first, so
each end is told as the worst and the best: no order of prices that fits the
candles ends outside of them. Each moment is the one at which its candle begins.
Assumed is that each candle begins with its open, ends with its close and was at
its high and its low, that all its other prices lie between these, and that the
order stands by the end of the candle that crossed. The worst of one row and the
best of another need not belong to one and the same order of prices. "At once"
is a market order at the price that crossed. The stop that does not trail stays
where the other one began. "Held" is a market order at the last close. Each end
has the fee and the slippage of a market order. The past is no promise."""
_TENTH = Decimal("0.1")
# Columns of a terminal.
_WIDTH, _CELL, _MARGIN = 80, 7, 10
SWEEP_TERMS = """\
Each cell is what its threshold and offset would have brought, fee and slippage
taken off, in percent of what the same coins were worth at the first price; more
is better, also for a row that buys. A dot never crossed, or had no order; an
asterisk was not met by the end and is worth the last price."""


def row_line(rule: Rule) -> str:
    """Return what a row says."""
    return (
        f"{rule.id}: {rule.direction} {rule.volume_text} at or {rule.threshold_type} "
        f"{readable(rule.threshold)}, trailing {rule.offset_text}"
    )


def moment(history: History | Candles, index: int) -> str:
    """Return when the price at `index` was traded, to the second."""
    return iso_moment(int(history.at_ns[index]))[:19] + "Z"


def amount(value: Decimal) -> str:
    """Return an amount of quote currency, to the hundredth or, of a small one, six digits."""
    if abs(value) >= 1 or not value:
        return f"{value.quantize(CENT):f}"
    return readable(Decimal(f"{value:.6g}"))


def lines_of(prices: History | Candles, row: Row) -> Iterator[str]:
    """Yield what became of a row, a line at a time; each fits 80 columns where it can."""
    played, outcome = row
    rule = played.rule
    yield row_line(rule)
    if played.crossed is None:
        yield f"  never crossed: {_nearest(prices, rule)}"
        return
    yield f"  crossed {moment(prices, played.crossed)} at {crossed_at(played)}"
    if outcome is None:
        yield f"  NO ORDER: Kraken would refuse it: {played.refusal}"
        return
    quote = shown_pair(rule.pair).partition("/")[2]
    if isinstance(outcome, Outcome):
        path = outcome.played.path
        yield (
            f"  the stop began at {readable(path[0].stop)} and came to {readable(path[-1].stop)} "
            f"({len(path) - 1} steps)"
        )
        yield "  " + end_line(prices, outcome.trailed, quote)
    else:
        for name, end in (("worst", outcome.trailed.worst), ("best", outcome.trailed.best)):
            yield f"  {name + ':':<6} {end_line(prices, end, quote)}"
    others = (
        ("at once", outcome.at_crossing),
        ("stop that does not trail", outcome.fixed_stop),
        ("held", outcome.held),
    )
    yield "  instead: " + "; ".join(f"{name} {net(end)}" for name, end in others)


def _nearest(prices: History | Candles, rule: Rule) -> str:
    lowest, highest = prices.extremes
    is_fall = rule.threshold_type is ThresholdType.BELOW
    price = lowest if is_fall else highest
    short = abs(rule.threshold - price) / price * 100
    name = "lowest" if is_fall else "highest"
    return f"the {name} price was {readable(price)}, {short:.2f} % short of it"


def crossed_at(played: Played | Bounds) -> str:
    """Return at which price a row crossed, or at which of two and all between them."""
    if isinstance(played, Played):
        return readable(played.crossed_price)
    assert played.crossing is not None
    prices = sorted({played.crossing.worst.price, played.crossing.best.price})
    return " to ".join(map(plain, prices))


def net(end: End | Range) -> str:
    """Return what an end comes to, or its worst and its best."""
    if isinstance(end, End):
        return amount(end.net)
    texts = dict.fromkeys((amount(end.worst.net), amount(end.best.net)))
    return " to ".join(texts)


def end_line(history: History | Candles, end: End, quote: str) -> str:
    """Return how a trailing stop ended, or where it stands."""
    if not end.is_reached:
        return f"not met by the end; worth {amount(end.net)} {quote} at the last price"
    verb = "sold" if end.is_sale else "bought"
    sign = "less" if end.is_sale else "and"
    return (
        f"{verb} {moment(history, end.at)} at {readable(end.price)}: {amount(end.gross)} {sign} "
        f"{amount(end.fee + end.slippage)} = {amount(end.net)} {quote}"
    )


def record_of(prices: History | Candles, row: Row) -> dict[str, Any]:
    """Return the same as JSON's values: prices and amounts as text, moments as ISO UTC."""
    played, outcome = row
    rule = played.rule
    record: dict[str, Any] = {
        "id": rule.id,
        "pair": shown_pair(rule.pair),
        "direction": str(rule.direction),
        "armed_at": moment(prices, 0),
        "crossed_at": None,
        "crossed_price": None,
        "refused": played.refusal or None,
    }
    if played.crossed is not None:
        record["crossed_at"] = moment(prices, played.crossed)
        record["crossed_price"] = crossed_at(played)
    if outcome is None:
        return record
    if isinstance(outcome, Outcome):
        path = outcome.played.path
        record["stop_first"], record["stop_last"] = plain(path[0].stop), plain(path[-1].stop)
        record["stop_path"] = [[iso_moment(step.at_ns), plain(step.stop)] for step in path]
    for name in ("trailed", "at_crossing", "fixed_stop", "held"):
        end: End | Range = getattr(outcome, name)
        record[name] = _end(prices, end) if isinstance(end, End) else _range(prices, end)
    return record


def _range(prices: History | Candles, found: Range) -> dict[str, Any]:
    return {"worst": _end(prices, found.worst), "best": _end(prices, found.best)}


def _end(history: History | Candles, end: End) -> dict[str, Any]:
    return {
        "at": moment(history, end.at),
        "price": plain(end.price),
        "filled": end.is_reached,
        "fee": plain(end.fee),
        "slippage": plain(end.slippage),
        "net": plain(end.net),
        "side": str(Direction.SELL if end.is_sale else Direction.BUY),
    }


# --- a sweep ------------------------------------------------------------------------------------


def sweep_warning(found: Sweep) -> str:
    """Return what must be known before a cell is looked at."""
    return (
        f"IN SAMPLE: {found.tries} tries on one past. The best of them was found by looking, and "
        "tells nothing of tomorrow."
    )


def sweep_lines(found: Sweep) -> Iterator[str]:
    """Yield the tables; each line fits 80 columns where it can."""
    rule = found.rule
    yield f"SWEEP: {rule.direction} {rule.volume_text}, as {rule.id}"
    yield from wrap(sweep_warning(found), _WIDTH)
    names = ("worst", "best") if has_ranges(found) else ("",)
    for number, name in enumerate(names):
        yield ""
        yield f"threshold by offset{', the ' + name + ' order of prices' if name else ''}"
        yield from _table(found, number)
    yield ""
    yield f"held to the end: {_percent(found.held)} %"
    yield from noise_lines(found)
    yield ""
    yield from SWEEP_TERMS.splitlines()


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


def sweep_record(found: Sweep) -> dict[str, Any]:
    """Return the same as JSON's values: prices and percents as text."""
    return {
        "row": found.rule.id,
        "direction": str(found.rule.direction),
        "warning": sweep_warning(found),
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
