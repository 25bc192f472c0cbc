"""What a row may say beyond its price, its volume and its offset in percent: the optional columns.

Pure: text in, frozen values out; a text that cannot be meant is a `ValueError` with its cure. A row
without such columns has `NO_TERMS`, and means what it always meant. What must never happen here:
that a word is read as a number, or a number as another one than was typed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from krakenlink.numbers import plain, to_decimal, to_positive_decimal

_WHOLE = Decimal(100)
_SUM = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]{2}[A-Za-z0-9.]{0,8})", re.ASCII)
_SPAN = re.compile(r"\+([0-9]{1,5})([dh])", re.ASCII)
_LAST_YEAR = 9000
# A stop that waits longer than this was meant otherwise.
_LONGEST_SPAN = timedelta(days=3660)


class Trigger(StrEnum):
    """Which price the stop at Kraken follows; the threshold is always one of the last trade."""

    LAST = "last"
    INDEX = "index"


class FeeCurrency(StrEnum):
    """In which of the pair's two currencies Kraken takes its fee."""

    BASE = "base"
    QUOTE = "quote"


@dataclass(frozen=True, slots=True)
class Limit:
    """How far beyond the trigger the limit lies, on the worse side.

    Attributes:
        amount: In percent of the trigger, or in quote currency; 0 is at the trigger itself.
    """

    amount: Decimal
    is_percent: bool

    @property
    def text(self) -> str:
        """As it is told: `0.5 %` or `250`."""
        return f"{plain(self.amount)} %" if self.is_percent else plain(self.amount)

    def below(self, trigger: Decimal) -> Decimal:
        """Return the distance from a trigger, in quote currency."""
        return trigger * self.amount / 100 if self.is_percent else self.amount


@dataclass(frozen=True, slots=True)
class Share:
    """A volume that is worked out at the crossing; exactly one of the three is set.

    Attributes:
        percent: Of what is free at that moment.
        quote: A sum of money, and `currency` which.
        is_filled: What the row before it has filled.
    """

    percent: Decimal | None = None
    quote: Decimal | None = None
    currency: str = ""
    is_filled: bool = False

    @property
    def text(self) -> str:
        """As it is told: `all`, `50 %`, `100 USD`, `filled`."""
        if self.quote is not None:
            return f"{plain(self.quote)} {self.currency}"
        if self.percent is None:
            return "filled"
        return "all" if self.percent == _WHOLE else f"{plain(self.percent)} %"


@dataclass(frozen=True, slots=True)
class Expiry:
    """When a row ends by itself: at a moment, or so long after it was armed."""

    at: datetime | None = None
    span: timedelta | None = None
    text: str = ""

    def moment(self, armed_at: datetime) -> datetime:
        """Return the moment from which on no crossing counts."""
        if self.at is not None:
            return self.at
        assert self.span is not None  # one of the two is always there
        return armed_at + self.span


@dataclass(frozen=True, slots=True)
class Terms:
    """What the optional columns of a row say; a field that is not said is None or the default.

    Attributes:
        offset_quote: The trailing offset in quote currency, instead of one in percent.
        limit: The stop becomes a limit order that lies so far beyond its trigger.
        trigger: Which price the stop follows.
        fee: In which currency the fee is taken.
        share: What the volume is worked out from, instead of a number.
        expires: When the row ends by itself.
    """

    offset_quote: Decimal | None = None
    limit: Limit | None = None
    trigger: Trigger = Trigger.LAST
    fee: FeeCurrency | None = None
    share: Share | None = None
    expires: Expiry | None = None

    @property
    def marks(self) -> tuple[str, ...]:
        """What tells changed terms from the same ones: a word for each that is said, no blanks."""
        said = (
            ("limit", self.limit.text if self.limit else ""),
            ("trigger", self.trigger if self.trigger is not Trigger.LAST else ""),
            ("fee", self.fee or ""),
            ("expires", self.expires.text if self.expires else ""),
        )
        return tuple(f"{name}={text.replace(' ', '')}" for name, text in said if text)


NO_TERMS = Terms()


# --- reading -----------------------------------------------------------------------------------


def read_share(text: str) -> Share:
    """Return the volume that a word, a share or a sum of money asks for.

    Raises:
        ValueError: If it is none of them; says what may be written.
    """
    word = text.strip().lower()
    if word == "all":
        return Share(percent=_WHOLE)
    if word == "filled":
        return Share(is_filled=True)
    if word.endswith("%"):
        percent = to_positive_decimal(word.removesuffix("%"))
        if percent > _WHOLE:
            raise ValueError(f"{text!r} is more than all that is free; write 100% or less")
        return Share(percent=percent)
    found = _SUM.fullmatch(text.strip())
    if found is not None and found[2].lower().startswith("perc"):
        raise ValueError(f"{text!r} is no sum of money; did you mean {found[1]}%?")
    if found is None:
        raise ValueError(f"{text!r} is not a number")
    return Share(quote=to_positive_decimal(found[1]), currency=found[2].upper())


def is_share(text: str) -> bool:
    """Tell whether a cell of `volume` asks for a volume that is worked out at the crossing."""
    word = text.strip().lower()
    return word in ("all", "filled") or word.endswith("%") or _SUM.fullmatch(word) is not None


def read_limit(text: str) -> Limit:
    """Return a limit offset: `0.5%` of the trigger, or an amount of quote currency.

    Raises:
        ValueError: If it is no number, or below zero, or leaves nothing of the price.
    """
    bare, is_percent = text.strip().removesuffix("%").strip(), text.strip().endswith("%")
    amount = to_decimal(bare)
    if amount < 0:
        raise ValueError(f"{text!r} is below zero; write how far the limit lies beyond the trigger")
    if is_percent and amount >= _WHOLE:
        raise ValueError(f"{text!r} leaves nothing of the price; write less than 100%")
    return Limit(amount, is_percent)


def read_expiry(text: str) -> Expiry:
    """Return when a row ends: an ISO moment with its zone, or `+30d` or `+12h` from the arming.

    Raises:
        ValueError: If it is none of them.
    """
    span = _SPAN.fullmatch(text.strip())
    if span is not None:
        length = timedelta(**{"days" if span[2] == "d" else "hours": int(span[1])})
        if not timedelta() < length <= _LONGEST_SPAN:
            raise ValueError(f"{text!r} is no time that can be meant; write +30d, for example")
        return Expiry(span=length, text=text.strip())
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        cure = "write 2027-01-31T18:00:00Z, or +30d from the arming"
        raise ValueError(f"{text!r} is no moment; {cure}") from None
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone; write a Z for UTC at its end, or +01:00")
    if moment.year >= _LAST_YEAR:
        raise ValueError(f"{text!r} is too far away to be meant")
    return Expiry(at=moment.astimezone(UTC), text=text.strip())


# --- numbers that were meant otherwise ---------------------------------------------------------

# What people write around a number: a sign or a code of a currency, a percent sign.
_DECORATION = re.compile(r"(?i)\s*(?:[$\u20ac\u00a3\u00a5\u20bf%]|\b[a-z]{3,4}\b)\s*")
_DIGITS = re.compile(r"[0-9]+(?:\.[0-9]+)?", re.ASCII)
_THOUSANDS = re.compile(r"[0-9]{1,3}(?:[, '_\u00a0\u202f][0-9]{3})+(?:\.[0-9]+)?", re.ASCII)
_DECIMAL_COMMA = re.compile(r"[0-9]+,[0-9]+", re.ASCII)


def number_hint(text: str) -> str:
    """Return what may have been meant by text that is no number, and how to write it.

    It is a question: a row is never read as something that it does not say.
    """
    bare = _DECORATION.sub("", text)
    meant: list[str] = []
    if _THOUSANDS.fullmatch(bare):
        meant.append(re.sub(r"[^0-9.]", "", bare))
    if _DECIMAL_COMMA.fullmatch(bare):
        meant.append(bare.replace(",", "."))
    if bare != text and _DIGITS.fullmatch(bare):
        meant.append(bare)
    question = f"; did you mean {' or '.join(meant)}?" if meant else ""
    if "," in text:
        hint = "write 1234.5, with a point and no thousands separator"
    elif bare != text or meant:
        hint = "write the digits alone, such as 1234.5"
    else:
        return ""
    return f"{question} {hint[0].upper()}{hint[1:]}" if meant else f"; {hint}"
