"""How the outcome of a row on past prices is told: lines for a person, and an object for programs.

Pure. What they must never do: give advice, or call an end reached that was not.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from krakenlink.numbers import plain
from krakenlink.pairs import shown_pair
from ttslo_app.backtest.history import History
from ttslo_app.backtest.play import Played
from ttslo_app.backtest.result import End, Outcome
from ttslo_app.clocks import iso_moment
from ttslo_app.rules.rule import Direction, Rule

CENT = Decimal("0.01")
TERMS = """\
A row is armed at the first price. Its order stands from the first price after the moment that
crossed, as if it had arrived at once; it follows each price as Kraken's trailing stop does, and is
filled at the price that meets it. "Held" is a market order at the last price of the file. Each end
has the fee and the slippage of a market order. The past is no promise."""


def row_line(rule: Rule) -> str:
    """Return what a row says."""
    return (
        f"{rule.id}: {rule.direction} {plain(rule.volume)} at or {rule.threshold_type} "
        f"{plain(rule.threshold)}, trailing {plain(rule.offset_percent)} %"
    )


def moment(history: History, index: int) -> str:
    """Return when the price at `index` was traded, to the second."""
    return iso_moment(int(history.at_ns[index]))[:19] + "Z"


def amount(value: Decimal) -> str:
    """Return an amount of quote currency, to the hundredth or, of a small one, six digits."""
    if abs(value) >= 1 or not value:
        return f"{value.quantize(CENT):,f}"
    return plain(Decimal(f"{value:.6g}"))


def lines_of(history: History, played: Played, outcome: Outcome | None) -> Iterator[str]:
    """Yield what became of a row, a line at a time; each fits 80 columns where it can."""
    yield row_line(played.rule)
    if played.crossed is None:
        yield "  never crossed"
        return
    crossed = f"  crossed {moment(history, played.crossed)} at {plain(played.crossed_price)}"
    if outcome is None:
        yield crossed
        yield f"  NO ORDER: Kraken would refuse it: {played.refusal}"
        return
    first, last = played.path[0], played.path[-1]
    yield crossed
    yield f"  the stop began at {plain(first.stop)} and came to {plain(last.stop)}"
    yield "  " + end_line(history, outcome, shown_pair(played.rule.pair).partition("/")[2])
    others = (
        ("at once", outcome.at_crossing),
        ("stop that does not trail", outcome.fixed_stop),
        ("held", outcome.held),
    )
    yield "  instead: " + "; ".join(f"{name} {amount(end.net)}" for name, end in others)


def end_line(history: History, outcome: Outcome, quote: str) -> str:
    """Return how the trailing stop ended, or where it stands."""
    end = outcome.trailed
    if not end.is_reached:
        return f"not met by the end; worth {amount(end.net)} {quote} at the last price"
    verb = "sold" if end.is_sale else "bought"
    sign = "less" if end.is_sale else "and"
    return (
        f"{verb} {moment(history, end.at)} at {plain(end.price)}: {amount(end.gross)} {sign} "
        f"{amount(end.fee + end.slippage)} = {amount(end.net)} {quote}"
    )


def record_of(history: History, played: Played, outcome: Outcome | None) -> dict[str, Any]:
    """Return the same as JSON's values: prices and amounts as text, moments as ISO UTC."""
    rule = played.rule
    record: dict[str, Any] = {
        "id": rule.id,
        "pair": shown_pair(rule.pair),
        "direction": str(rule.direction),
        "crossed_at": None,
        "crossed_price": None,
        "refused": played.refusal or None,
    }
    if played.crossed is not None:
        record["crossed_at"] = moment(history, played.crossed)
        record["crossed_price"] = plain(played.crossed_price)
    if outcome is not None:
        record["stop_first"] = plain(played.path[0].stop)
        record["stop_last"] = plain(played.path[-1].stop)
        record |= {
            name: _end(history, end)
            for name, end in (
                ("trailed", outcome.trailed),
                ("at_crossing", outcome.at_crossing),
                ("fixed_stop", outcome.fixed_stop),
                ("held", outcome.held),
            )
        }
    return record


def _end(history: History, end: End) -> dict[str, Any]:
    return {
        "at": moment(history, end.at),
        "price": plain(end.price),
        "filled": end.is_reached,
        "fee": plain(end.fee),
        "slippage": plain(end.slippage),
        "net": plain(end.net),
        "side": str(Direction.SELL if end.is_sale else Direction.BUY),
    }
