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

from krakenlink.known_names import asset_name
from krakenlink.numbers import plain, readable, to_positive_decimal
from krakenlink.pairs import shown_pair
from ttslo_app.columns import (
    AFTER_COLUMN,
    FOREIGN_COLUMNS,
    GROUP_COLUMN,
    LIMIT_COLUMN,
    OFFSET_QUOTE_COLUMN,
    REQUIRED_COLUMNS,
    TERM_COLUMNS,
    WHEN_BLIND_COLUMN,
    foreign_meaning,
)
from ttslo_app.rules.terms import (
    NO_TERMS,
    Expiry,
    FeeCurrency,
    Limit,
    Share,
    Terms,
    Trigger,
    is_share,
    number_hint,
    read_expiry,
    read_limit,
    read_share,
)

REQUIRED_FIELDS = REQUIRED_COLUMNS
OPTIONAL_FIELDS = ("enabled",)
# Not one of `OPTIONAL_FIELDS`, which earlier callers know as they are.
WHEN_BLIND_FIELD = WHEN_BLIND_COLUMN

W = TypeVar("W", bound=StrEnum)
V = TypeVar("V")

_PERCENT = "trailing_offset_percent"
_TERMS = frozenset(TERM_COLUMNS)
_FOREIGN = frozenset(FOREIGN_COLUMNS)

# Characters: longer than any name or number that a person types.
_LONGEST_CELL = 200

_NAMED = "use letters, digits, _ and - only"
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
    base currency, `volume` is in base currency, `offset_percent` keeps the digits as typed. Each of
    these two is None where `terms` say it in another way.
    `when_blind` is None where the row leaves it to the program's default. Of the rows of one
    `group` one fires; a row with `after` is armed once the order of the row of that id is filled.
    """

    id: str
    pair: str
    threshold: Decimal
    threshold_type: ThresholdType
    direction: Direction
    volume: Decimal | None
    offset_percent: Decimal | None
    enabled: bool
    when_blind: WhenBlind | None = None
    terms: Terms = NO_TERMS
    group: str = ""
    after: str = ""

    def is_met_by(self, price: Decimal) -> bool:
        """Tell whether `price` is at the threshold or beyond it."""
        return self.threshold_type.is_met(self.threshold, price)

    @property
    def condition(self) -> str:
        """The condition in words, such as `BTC/USD at or above 50000`."""
        return f"{shown_pair(self.pair)} at or {self.threshold_type} {readable(self.threshold)}"

    @property
    def volume_text(self) -> str:
        """The volume as it is told: digits in base currency, or the words that it comes from."""
        if self.volume is not None:
            return readable(self.volume)
        assert self.terms.share is not None  # one of the two is always there
        return self.terms.share.text

    @property
    def offset_text(self) -> str:
        """The trailing offset as it is told: `0.5 %`, or `250 USD` where it is in money."""
        if self.offset_percent is not None:
            return f"{readable(self.offset_percent)} %"
        assert self.terms.offset_quote is not None  # one of the two is always there
        currency = shown_pair(self.pair).partition("/")[2]
        return f"{readable(self.terms.offset_quote)} {currency}".rstrip()

    @property
    def action(self) -> str:
        """What the row does in words, such as `sell 0.01, trailing 0.5 %`."""
        said = f"{self.direction} {self.volume_text}, trailing {self.offset_text}"
        if self.terms.limit is not None:
            said += f", limit {self.terms.limit.text} beyond"
        return f"{said}, by the index price" if self.terms.trigger is Trigger.INDEX else said

    @property
    def offset_field(self) -> str:
        """The column that its trailing offset stands in."""
        return _PERCENT if self.offset_percent is not None else OFFSET_QUOTE_COLUMN

    def offset_at(self, price: Decimal) -> Decimal:
        """Return the trailing offset in percent of `price`."""
        if self.offset_percent is not None:
            return self.offset_percent
        return self.distance_at(price) / price * 100

    def distance_at(self, price: Decimal) -> Decimal:
        """Return how far the stop stays away from `price`, in quote currency."""
        if self.offset_percent is not None:
            return price * self.offset_percent / 100
        assert self.terms.offset_quote is not None  # one of the two is always there
        return self.terms.offset_quote


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
    identifier = reader.matching("id", _ID, _NAMED)
    pair = reader.text("pair")
    threshold = reader.number("threshold_price")
    threshold_type = reader.word("threshold_type", ThresholdType)
    direction = reader.word("direction", Direction)
    volume, share = reader.volume()
    offset, offset_quote = reader.offsets()
    reader.refuse_worthless_stop(direction, offset)
    terms = reader.terms(offset_quote, share)
    if direction is Direction.SELL and threshold is not None:
        reader.refuse_worthless_sale(terms, threshold)
    enabled = reader.enabled()
    when_blind = reader.when_blind()
    kin = reader.name(GROUP_COLUMN), reader.name(AFTER_COLUMN)
    reader.refuse_foreign()
    if reader.problems or threshold is None or threshold_type is None or direction is None:
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
        terms,
        *kin,
    )


Reading = Rule | tuple[Problem, ...]


def reading_of(row: Mapping[str, object]) -> Reading:
    """Return the rule of a row, or why it is none."""
    try:
        return read_rule(row)
    except RuleError as error:
        return error.problems


class RulesById:
    """The rules of a file by their ids; each row is read when somebody asks for it.

    Args:
        rows: The rows of the file; not to be changed any more. The attribute of that name has them
            by their ids, and None for what is in doubt or there twice.
    """

    def __init__(self, rows: Iterable[Mapping[str, object]]) -> None:
        self.rows: dict[str, Mapping[str, object] | None] = {}
        for row in rows:
            name, is_doubtful = str(row.get("id", "")), getattr(row, "findings", ())
            self.rows[name] = None if is_doubtful or name in self.rows else row

    def get(self, rule_id: str, default: Rule | None = None) -> Rule | None:
        """Return the rule; None where it is none, in doubt or there twice, else `default`."""
        row = self.rows.get(rule_id)
        if row is None:
            return None if rule_id in self.rows else default
        return reading if isinstance(reading := reading_of(row), Rule) else None


# In percent: so far below a price nothing is left of it.
_WHOLE_PRICE = Decimal(100)
# Most rows share their volumes and offsets; equal numbers are one object then.
_number = lru_cache(maxsize=4096)(to_positive_decimal)


@lru_cache(maxsize=256)
def _word(words: Callable[[str], W], value: str) -> W:
    return words(value.lower())


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
            self._refuse(field, value, f"Invalid {field}: {error}{number_hint(value)}")
            return None

    def volume(self) -> tuple[Decimal | None, Share | None]:
        """Return the volume: a number, or what it is worked out from at the crossing."""
        raw = self._row.get("volume")
        if not (isinstance(raw, str) and is_share(raw)):
            return self.number("volume"), None
        share = self._optional("volume", read_share)
        if share is not None and share.is_filled and not self._cell("after"):
            said = "filled is what the row before it has filled; name that row under after"
            self._refuse("volume", raw, f"Invalid volume: {said}, or write a number")
        base = shown_pair(self._cell("pair")).partition("/")[0]
        if share is not None and share.quote is not None and asset_name(share.currency) == base:
            digits = plain(share.quote)
            said = f"Invalid volume {raw!r}; the volume is in {base} anyway, did you mean {digits}?"
            self._refuse("volume", raw, f"{said} Write the digits alone")
        return None, share

    def offsets(self) -> tuple[Decimal | None, Decimal | None]:
        """Return the trailing offset in percent and in quote currency: exactly one of the two."""
        in_quote = self._cell(OFFSET_QUOTE_COLUMN)
        if not in_quote and OFFSET_QUOTE_COLUMN in self._row and not self._cell(_PERCENT):
            said = f"Required field {_PERCENT} is missing or empty; fill it in, or the cell under"
            self._refuse(_PERCENT, "", f"{said} {OFFSET_QUOTE_COLUMN}")
            return None, None
        if not in_quote:
            return self.number(_PERCENT), None
        in_percent = self._cell(_PERCENT)
        if in_percent:
            said = f"{in_percent!r} stands beside {OFFSET_QUOTE_COLUMN} {in_quote!r}"
            self._refuse(_PERCENT, in_percent, f"{said}; a stop has one offset, so empty one cell")
        return None, self.number(OFFSET_QUOTE_COLUMN)

    def terms(self, offset_quote: Decimal | None, share: Share | None) -> Terms:
        """Return what the optional columns say; most rows say nothing there."""
        if offset_quote is None and share is None and _TERMS.isdisjoint(self._row):
            return NO_TERMS
        limit: Limit | None = self._optional(LIMIT_COLUMN, read_limit)
        expires: Expiry | None = self._optional("expires", read_expiry)
        trigger = self.word("trigger", Trigger) if self._cell("trigger") else Trigger.LAST
        fee = self.word("fee_currency", FeeCurrency) if self._cell("fee_currency") else None
        return Terms(offset_quote, limit, trigger or Trigger.LAST, fee, share, expires)

    def _cell(self, field: str) -> str:
        raw = self._row.get(field)
        return "" if raw is None else str(raw).strip()

    def _optional(self, field: str, read: Callable[[str], V]) -> V | None:
        value = self._cell(field)[:_LONGEST_CELL]
        if not value:
            return None
        try:
            return read(value)
        except ValueError as error:
            self._refuse(field, value, f"Invalid {field}: {error}")
            return None

    def refuse_worthless_stop(self, direction: Direction | None, offset: Decimal | None) -> None:
        """Refuse an offset of the whole price: nobody means a stop at zero, or at twice it."""
        if direction is not None and offset is not None and offset >= _WHOLE_PRICE:
            field, value = _PERCENT, str(self._row[_PERCENT])
            what = f"a stop {value} % below the price stands at or below zero and never sells"
            if direction is Direction.BUY:
                what = f"a stop {value} % above the price buys at twice the price, or more"
            self._refuse(field, value, f"Invalid {field} {value}: {what}; write less than 100")

    def refuse_worthless_sale(self, terms: Terms, threshold: Decimal) -> None:
        """Refuse amounts of money that leave nothing of the price: nobody means to give it away."""
        for field, amount in (
            (OFFSET_QUOTE_COLUMN, terms.offset_quote),
            (LIMIT_COLUMN, terms.limit.amount if terms.limit is not None else None),
        ):
            is_money = amount is not None and not self._cell(field).endswith("%")
            if amount is not None and is_money and amount >= threshold:
                what = f"as much as the threshold {plain(threshold)}, so nothing is left"
                self._refuse(field, plain(amount), f"Invalid {field} {plain(amount)}: {what}")

    def word(self, field: str, words: type[W]) -> W | None:
        value = self.text(field)
        if not value:
            return None
        try:
            found: W = _word(words, value)
        except ValueError:
            choice = " or ".join(words)
            self._refuse(field, value, f"Invalid {field} {value!r}; write {choice}")
            return None
        return found

    def when_blind(self) -> WhenBlind | None:
        """Return the policy of the row, None where its cell is empty or not there."""
        raw = self._row.get(WHEN_BLIND_FIELD)
        if raw is None or not str(raw).strip():
            return None
        return self.word(WHEN_BLIND_FIELD, WhenBlind)

    def name(self, field: str) -> str:
        """Return a name that a row may have, empty where its cell is empty or not there."""
        return self.matching(field, _ID, _NAMED) if self._cell(field) else ""

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
        if _FOREIGN.isdisjoint(self._row):
            return
        for field in filter(self._row.__contains__, FOREIGN_COLUMNS):
            raw = self._row.get(field)
            value = "" if raw is None else str(raw).strip()
            why = foreign_meaning(field, value)
            if why:
                self._refuse(field, value, f"{value[:60]!r} is not obeyed: {why}")

    def _refuse(self, field: str, value: str, message: str) -> None:
        self.problems.append(Problem(field, value, message))
