"""One row of config.csv as typed values: what a person wrote, read once, the same for everybody.

The validator and the trader both read a row here and nowhere else, so they cannot disagree about
it. Pure: no file, no clock, no network. A row is either a whole `Rule` or a list of problems.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import TypeVar

from krakenlink.numbers import to_positive_decimal
from krakenlink.pairs import shown_pair
from ttslo_app.columns import (
    FOREIGN_COLUMNS,
    REQUIRED_COLUMNS,
    WHEN_BLIND_COLUMN,
    foreign_meaning,
)

REQUIRED_FIELDS = REQUIRED_COLUMNS
OPTIONAL_FIELDS = ("enabled",)
# Not one of `OPTIONAL_FIELDS`, which earlier callers know as they are.
WHEN_BLIND_FIELD = WHEN_BLIND_COLUMN

W = TypeVar("W", bound=StrEnum)

# Characters: longer than any name or number that a person types.
_LONGEST_CELL = 200

_ID = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_ARMING_WORDS = frozenset({"true", "yes", "1"})
# The last three are written by later versions; they are known, and they do not arm.
_OTHER_WORDS = frozenset({"false", "no", "0", "paused", "canceled", "pending"})
ENABLED_WORDS = _ARMING_WORDS | _OTHER_WORDS


class ThresholdType(StrEnum):
    """On which side of its threshold a price fires the rule; equality fires on both."""

    ABOVE = "above"
    BELOW = "below"

    @property
    def is_met(self) -> Callable[[Decimal, Decimal], bool]:
        """What tells, of a threshold and a price, whether the price is at it or beyond it.

        Nothing else compares the two. It is a comparison of C's, to be kept by who looks at
        every price: a call into Python would cost as much as the look itself.
        """
        return operator.le if self is ThresholdType.ABOVE else operator.ge


class Direction(StrEnum):
    """What the trailing stop does when it triggers."""

    BUY = "buy"
    SELL = "sell"


class WhenBlind(StrEnum):
    """What becomes of a rule whose threshold was crossed while nobody could see it."""

    ARM_IF_BEYOND = "arm-if-beyond"  # its order is placed if the price still stands beyond
    ALWAYS = "always"  # its order is placed wherever the price is by now
    NOTIFY = "notify"  # it is said; the rule waits for a crossing that is seen


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a field cannot be used: the field, the value as typed, and a sentence with the cure."""

    field: str
    value: str
    message: str


class RuleError(ValueError):
    """A row that is no rule; `.problems` says why, field by field."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{p.field}: {p.message}" for p in problems))


@dataclass(frozen=True, slots=True)
class Rule:
    """A row that can be acted upon.

    `pair` is as the user typed it, without spaces around. Prices are quote currency per unit of
    base currency, `volume` is in base currency, `offset_percent` keeps the digits as typed.
    `when_blind` is None where the row leaves it to the program's default.
    """

    id: str
    pair: str
    threshold: Decimal
    threshold_type: ThresholdType
    direction: Direction
    volume: Decimal
    offset_percent: Decimal
    enabled: bool
    when_blind: WhenBlind | None = None

    def is_met_by(self, price: Decimal) -> bool:
        """Tell whether `price` is at the threshold or beyond it."""
        return self.threshold_type.is_met(self.threshold, price)

    @property
    def condition(self) -> str:
        """The condition in words, such as `BTC/USD at or above 50000`."""
        return f"{shown_pair(self.pair)} at or {self.threshold_type} {self.threshold:f}"


def is_arming(text: str) -> bool:
    """Tell whether a cell of the `enabled` column arms its row.

    Raises:
        ValueError: If it is empty, or the word is none that any version writes.
    """
    word = text.strip().lower()
    if not word:
        raise ValueError("is missing or empty; write true to arm the row, or false")
    if word not in ENABLED_WORDS:
        raise ValueError(f"{text[:60]!r} is neither true nor false; write true to arm the row")
    return word in _ARMING_WORDS


def read_rule(row: Mapping[str, object]) -> Rule:
    """Return `row`, a dict of text by column, as a `Rule`.

    Raises:
        RuleError: If a field is missing or cannot be read; every problem of the row is in it.
    """
    reader = _RowReader(row)
    identifier = reader.matching("id", _ID, "use letters, digits, _ and - only")
    pair = reader.text("pair")
    threshold = reader.number("threshold_price")
    threshold_type = reader.word("threshold_type", ThresholdType)
    direction = reader.word("direction", Direction)
    volume = reader.number("volume")
    offset = reader.number("trailing_offset_percent")
    if direction is not None and offset is not None:
        reader.refuse_worthless_stop(direction, offset)
    enabled = reader.enabled()
    when_blind = reader.when_blind()
    if not FOREIGN_COLUMNS.keys().isdisjoint(row):
        reader.refuse_foreign()
    if (
        reader.problems
        or threshold is None
        or threshold_type is None
        or direction is None
        or volume is None
        or offset is None
    ):
        raise RuleError(reader.problems)
    return Rule(
        identifier,
        pair,
        threshold,
        threshold_type,
        direction,
        volume,
        offset,
        enabled,
        when_blind,
    )


Reading = Rule | tuple[Problem, ...]


def reading_of(row: Mapping[str, object]) -> Reading:
    """Return the rule of a row, or why it is none."""
    try:
        return read_rule(row)
    except RuleError as error:
        return error.problems


class RuleReader:
    """Reads the rows of a file, those alone that are not as they were in its last version.

    A rule whose row is the same is the same object. Rows are not to be changed after they were
    handed in. For one thread.

    Args:
        before: The reader of the last version; it is not needed any more afterwards.
    """

    def __init__(self, before: RuleReader | None = None) -> None:
        self._before = before._known if before else {}
        self._known: dict[str, tuple[Mapping[str, object], Reading]] = {}

    def read(self, row: Mapping[str, object]) -> Reading:
        """Return the rule of a row, or why it is none."""
        name = str(row.get("id", ""))
        known = self._known.get(name)
        if known is not None and known[0] == row:
            return known[1]
        before = self._before.get(name)
        reading = before[1] if before is not None and before[0] == row else reading_of(row)
        self._known[name] = row, reading
        return reading

    def by_id(self, rows: Iterable[Mapping[str, object]]) -> dict[str, Rule | None]:
        """Return the rules of a file by id; None for rows that are none, and for repeated ids."""
        rules: dict[str, Rule | None] = {}
        for row in rows:
            name, reading = str(row.get("id", "")), self.read(row)
            rule = reading if isinstance(reading, Rule) else None
            rules[name] = None if name in rules else rule
        self._before = {}
        return rules


# In percent: so far below a price nothing is left of it.
_WHOLE_PRICE = Decimal(100)
# Most rows share their volumes and offsets; equal numbers are one object then.
_number = lru_cache(maxsize=4096)(to_positive_decimal)


# What people write around a number: a sign or a code of a currency, a percent sign.
_DECORATION = re.compile(r"(?i)\s*(?:[$\u20ac\u00a3\u00a5\u20bf%]|\b[a-z]{3,4}\b)\s*")
_DIGITS = re.compile(r"[0-9]+(?:\.[0-9]+)?", re.ASCII)
_THOUSANDS = re.compile(r"[0-9]{1,3}(?:[, '_\u00a0\u202f][0-9]{3})+(?:\.[0-9]+)?", re.ASCII)
_DECIMAL_COMMA = re.compile(r"[0-9]+,[0-9]+", re.ASCII)


def _number_hint(text: str) -> str:
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


class _RowReader:
    """Read fields one by one and gather what is wrong, so that a person sees it all at once."""

    def __init__(self, row: Mapping[str, object]) -> None:
        self._row = row
        self.problems: list[Problem] = []

    def text(self, field: str) -> str:
        raw = self._row.get(field)
        value = raw.strip() if isinstance(raw, str) else "" if raw is None else str(raw)
        if not value:
            self._refuse(field, value, f"Required field {field} is missing or empty; fill it in")
        if len(value) > _LONGEST_CELL:
            said = f"Invalid {field}: {len(value)} characters, beginning with {value[:20]!r}"
            self._refuse(field, value[:20], f"{said}; somebody has pasted a text into the cell")
            return ""
        return value

    def matching(self, field: str, pattern: re.Pattern[str], cure: str) -> str:
        value = self.text(field)
        if value and not pattern.fullmatch(value):
            self._refuse(field, value, f"Invalid {field} {value!r}; {cure}")
        return value

    def number(self, field: str) -> Decimal | None:
        value = self.text(field)
        if not value:
            return None
        try:
            return _number(value)
        except ValueError as error:
            self._refuse(field, value, f"Invalid {field}: {error}{_number_hint(value)}")
            return None

    def refuse_worthless_stop(self, direction: Direction, offset: Decimal) -> None:
        """Refuse an offset of the whole price: nobody means a stop at zero, or at twice it."""
        if offset >= _WHOLE_PRICE:
            field, value = "trailing_offset_percent", str(self._row["trailing_offset_percent"])
            what = f"a stop {value} % below the price stands at or below zero and never sells"
            if direction is Direction.BUY:
                what = f"a stop {value} % above the price buys at twice the price, or more"
            self._refuse(field, value, f"Invalid {field} {value}: {what}; write less than 100")

    def word(self, field: str, words: type[W]) -> W | None:
        value = self.text(field)
        if not value:
            return None
        try:
            return words(value.lower())
        except ValueError:
            choice = " or ".join(words)
            self._refuse(field, value, f"Invalid {field} {value!r}; write {choice}")
            return None

    def when_blind(self) -> WhenBlind | None:
        """Return the policy of the row, None where its cell is empty or not there."""
        raw = self._row.get(WHEN_BLIND_FIELD)
        if raw is None or not str(raw).strip():
            return None
        return self.word(WHEN_BLIND_FIELD, WhenBlind)

    def enabled(self) -> bool:
        """Return whether the row is armed: never without a word that says so.

        A caller's own row may lack the column; in a file that is a row which was cut off.
        """
        if "enabled" not in self._row:
            return False
        raw = self._row["enabled"]
        try:
            return is_arming("" if raw is None else str(raw))
        except ValueError as error:
            self._refuse("enabled", str(raw), f"Invalid enabled: {error}")
            return False

    def refuse_foreign(self) -> None:
        """Refuse what later versions would obey and this one cannot."""
        for field in FOREIGN_COLUMNS:
            raw = self._row.get(field)
            value = "" if raw is None else str(raw).strip()
            why = foreign_meaning(field, value)
            if why:
                self._refuse(field, value, f"{value[:60]!r} is not obeyed: {why}")

    def _refuse(self, field: str, value: str, message: str) -> None:
        self.problems.append(Problem(field, value, message))
