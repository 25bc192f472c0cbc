"""Exact decimals: how text becomes a number here, and how a number becomes Kraken's text.

Money, sizes and offsets never pass through `float` on their way to Kraken: what the user typed
is what Kraken gets. A value that is not finite is no number, whatever Python's parsers think.
Beside them the one pace at which a failed thing is tried again.

Source: Kraken, REST AddOrder (read 2026-11): a trailing offset needs its `+` for buys and sells
alike, volumes are plain decimals with at most `lot_decimals` places.
"""

from __future__ import annotations

import re
from decimal import ROUND_DOWN, Context, Decimal

# Python's Decimal also takes underscores, other scripts' digits, "NaN" and "Infinity"; Kraken
# and spreadsheets mean none of them.
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)

# Far beyond every price and size at Kraken, and well inside what a float can hold: outside of
# it a number is damage on the wire or a slip of the hand.
LARGEST = Decimal("1e30")
SMALLEST = Decimal("1e-30")
# Characters; reading takes the square of their number.
_LONGEST = 100
EXACT = Context(prec=200, rounding=ROUND_DOWN)
"""Room for sums, products and cuts of any two numbers that are read here, to the last digit.

For every calculation whose result is shown, sent or compared: the context of whoever calls may
round to few digits. What no number of digits is enough for is cut.
"""


# Far beyond every longest wait; counting on would overflow a float one day.
_MOST_DOUBLINGS = 64


def to_decimal(value: object) -> Decimal:
    """Return `value` as an exact, finite decimal with the digits it was given.

    Args:
        value: Text, int, Decimal or float; a float counts with the digits that `str` shows.

    Raises:
        ValueError: If it is anything else, not a number, not finite, or absurdly large or small.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise ValueError(f"{value!r} is not a number")
    if isinstance(value, int) and abs(value) > LARGEST:
        raise ValueError("the number is too large to be meant")  # and slow to write down
    text = str(value).strip()
    if len(text) > _LONGEST:
        raise ValueError(f"{text[:20]!r}... is too long to be a number")
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{text!r} is not a number")
    number = Decimal(text)
    if number and not SMALLEST <= number.copy_abs() <= LARGEST:
        raise ValueError(f"{text!r} is too large or too small to be meant")
    return number


def to_positive_decimal(value: object) -> Decimal:
    """Return `value` as `to_decimal` does, and refuse zero and negative numbers.

    Raises:
        ValueError: If it is not a number, or not positive.
    """
    number = to_decimal(value)
    if number <= 0:
        raise ValueError(f"{str(value).strip()!r} is not positive")
    return number


def plain(number: Decimal) -> str:
    """Return the digits of `number` without an exponent: `5E-8` is `0.00000005`."""
    text = str(number)
    return format(number, "f") if "E" in text else text  # as few have one, a third of the time


def readable(number: Decimal | str) -> str:
    """Return a number as people read it: plain digits, and behind the point none that say nothing.

    `51010.0` and `51010`, of which one was typed and the other told by Kraken, read alike. Text
    that is no number stays as it is.
    """
    digits = number if isinstance(number, str) else plain(number)
    if isinstance(number, str):
        try:
            digits = plain(to_decimal(number))
        except ValueError:
            return number
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def counted(count: int, what: str) -> str:
    """Return a number of things, such as `1 row` and `3 rows`."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def quantize_down(number: Decimal, decimals: int) -> Decimal:
    """Return `number` cut to `decimals` places, never rounded up; fewer places stay as they are.

    Cutting, not rounding: more than the user typed might be more than the user owns.
    """
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)  # finite numbers only: `to_decimal` lets no other pass
    if -exponent <= decimals:
        return number
    return EXACT.quantize(number, Decimal((0, (1,), -decimals)))


def trailing_offset(percent: Decimal) -> str:
    """Return Kraken's text for a trailing offset of `percent`, with the digits as typed.

    `5` and `5.0` give `+5.0%`, `1.25` gives `+1.25%`, `0.333` gives `+0.333%`.
    """
    digits = plain(percent)
    return f"+{digits if '.' in digits else digits + '.0'}%"


def doubled(first: float, n: int, most: float) -> float:
    """Return `first` doubled `n` times, and at most `most`: the wait after `n` failures more.

    Args:
        first: The first wait, in seconds.
        n: How often in a row it has failed since; 0 for the first wait.
        most: The longest wait, in seconds.
    """
    return min(first * 2.0 ** min(n, _MOST_DOUBLINGS), most)
