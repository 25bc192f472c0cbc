"""What is said of a rehearsal on paper: what it needs, and what came of it.

Pure. What it must never do: let made-up money be taken for money.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from krakenlink.numbers import counted, readable
from ttslo_app.messages import Kind, Sentence, of_row

_CENT = Decimal("1e-8")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one row. What there was none of is None.

    Attributes:
        row: Its name.
        condition: Such as `BTC/USD at or above 50000`.
        quote: The currency of its prices.
        is_sell: Whether it sells.
        crossed_at: The price of its crossing.
        volume: What its order was for.
        stop: Where its stop stands, while it does.
        price: What it was filled at.
        fee: What that paid.
        fee_percent: Of each fill.
    """

    row: str
    condition: str
    quote: str
    is_sell: bool
    crossed_at: Decimal | None = None
    volume: Decimal | None = None
    stop: Decimal | None = None
    price: Decimal | None = None
    fee: Decimal | None = None
    fee_percent: Decimal = Decimal(0)


def summary(outcomes: Sequence[Outcome], fee: Decimal) -> list[Sentence]:
    """Return what came of a rehearsal, a line a row."""
    crossed = sum(one.crossed_at is not None for one in outcomes)
    filled = sum(one.price is not None for one in outcomes)
    head = (
        f"PAPER summary: {counted(len(outcomes), 'row')}, {crossed} crossed, {filled} filled; "
        f"made-up money, a fee of {readable(fee)} % and the spread of the moment. Nothing "
        "was sent to Kraken"
    )
    return [Sentence(Kind.STANDING, "INFO", head), *map(_line, outcomes)]


def _line(one: Outcome) -> Sentence:
    return of_row(Kind.STANDING, "INFO", one.row, f"PAPER: {one.condition}: {_became(one)}")


def _became(one: Outcome) -> str:
    if one.crossed_at is None:
        return "not crossed"
    text = f"crossed at {readable(one.crossed_at)}"
    if one.volume is None:
        return f"{text}, no order"
    if one.price is None or one.fee is None:
        stop = "not told yet" if one.stop is None else f"at {readable(one.stop)}"
        return f"{text}, {_verb(one)} {readable(one.volume)} waits, its stop {stop}"
    net = one.volume * one.price + (-one.fee if one.is_sell else one.fee)
    at_once = one.volume * one.crossed_at
    fee_at_once = at_once * one.fee_percent / 100
    beside = at_once + (-fee_at_once if one.is_sell else fee_at_once)
    gain = net - beside if one.is_sell else beside - net
    verb = "brought" if one.is_sell else "cost"
    return (
        f"{text}, {_verb(one)} {readable(one.volume)} filled at {readable(one.price)}, fee "
        f"{_amount(one.fee)}: {verb} {_amount(net)} {one.quote}, {_amount(abs(gain))} "
        f"{'better' if gain >= 0 else 'worse'} than at once"
    )


def _verb(one: Outcome) -> str:
    return "sell" if one.is_sell else "buy"


def _amount(value: Decimal) -> str:
    text = f"{value.quantize(_CENT):f}"
    whole, _, part = text.partition(".")
    return f"{whole}.{part.rstrip('0').ljust(2, '0')}"


def near_written(path: str, row: str) -> str:
    """Return that the row of `--near` was written."""
    return f"{path} was written anew, with one row just beyond the price of now: {row}"


def no_config(config: str) -> str:
    """Return that there are no rows to rehearse."""
    return (
        f"there is no {config}. Write one, or let `ttslo paper --near BTC/USD` write a row just "
        "beyond the price of now"
    )


def earlier_kept(names: Sequence[str]) -> Sentence:
    """Say where what an earlier rehearsal left is now."""
    return Sentence(Kind.START, "INFO", f"Of the last rehearsal are kept: {', '.join(names)}")


def no_least(pair: str) -> str:
    """Return that nobody knows what the least order of a pair is."""
    return f"Kraken does not tell the least volume of {pair}, so no row is written; name another"


def needs_no(flag: str) -> str:
    """Return that a rehearsal on a row of its own reads no config."""
    return f"--near writes a config of its own and does not use {flag}; leave one of the two out"
