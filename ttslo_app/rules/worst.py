"""What a row comes to at worst: where the price turns at the very moment of its crossing.

Pure. Whoever reads it sees what an offset gives away before it costs money. What it must never do:
put a number on a volume that nobody knows yet.
"""

from __future__ import annotations

from decimal import Context, Decimal

from krakenlink.numbers import EXACT, plain
from krakenlink.pairs import shown_pair
from ttslo_app.rules.rule import Direction, Rule


def volume_about(rule: Rule) -> Decimal:
    """Return the volume of a row; of one that says a sum of money, what it buys at the threshold.

    Of a share of what is free it is 0: nobody knows.
    """
    if rule.volume is not None:
        return rule.volume
    sum_of_money = rule.terms.share.quote if rule.terms.share is not None else None
    return Decimal(0) if sum_of_money is None else sum_of_money / rule.threshold


def worst_of(rule: Rule) -> str:
    """Return what a row comes to where the price turns at the very moment of its crossing.

    Such as `at worst: stop at 49750, worth 497.50 USD`; a limit stands between the two. What is
    worth nothing that is known, as a share of what is free, is left out. Without fees.
    """
    sign = -1 if rule.direction is Direction.SELL else 1
    price = EXACT.add(rule.threshold, sign * rule.distance_at(rule.threshold))
    said = f"at worst: stop at {_cut(price)}"
    if rule.terms.limit is not None:
        price = EXACT.add(price, sign * rule.terms.limit.below(price))
        said += f", limit {_cut(price)}, else unfilled"
    volume = volume_about(rule)
    currency = shown_pair(rule.pair).partition("/")[2]
    if not volume:
        return said
    return f"{said}, worth {_cut(EXACT.multiply(price, volume))} {currency}".rstrip()


def _cut(number: Decimal) -> str:
    """Return a number with eight digits that count, and no more noughts than it needs."""
    rounded = Context(prec=8).plus(number)
    text = plain(rounded)
    return text.rstrip("0").rstrip(".") if "." in text else text
