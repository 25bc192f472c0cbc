"""Rows on their way through the checks, and what is known of each from the last version of a file.

Pure. What was worked out of a row's text is kept for as long as the text stays; what came of the
listing of Kraken as well is kept with the pair, and counts for the very same pair alone. What must
never happen here: that a row is passed for what it was judged by another text, pair or price.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from itertools import zip_longest
from typing import NamedTuple

from krakenlink.pairs import Pair, shown_pair
from ttslo_app.columns import LINK_COLUMN
from ttslo_app.rules.findings import (
    Row,
    ValidationResult,
    all_cells,
    has_order,
    label_of,
    text_of,
)
from ttslo_app.rules.rule import Problem, Rule, ThresholdType, reading_of

# A spreadsheet's error begins so; what the row as a whole was refused for is not said of its cell.
FORMULA = "#"


class Remark(NamedTuple):
    """What is said of a field of a row, and whether the row must not trade for it."""

    field: str
    said: str
    is_error: bool = False


class Purse(NamedTuple):
    """What the account has of an asset, and what all armed rows take of it together.

    `owned` is None where nobody could tell, and `have` then says why; else it tells what there is.
    `together` tells what is taken where more than one row takes it.
    """

    asset: str
    owned: Decimal | None
    total: Decimal
    takers: int
    have: str
    together: str


class Calm(NamedTuple):
    """Prices at which nothing is to be said of a threshold, in floats.

    All between `low` and `high`, while bid and ask are less than `spread` apart. It is a little
    narrower than exact numbers allow, by far more than a float is wrong; what lies outside is
    looked at in exact numbers.
    """

    low: float
    high: float
    spread: float


NEVER = Calm(0.0, 0.0, 0.0)
UNKNOWN = Calm(0.0, 0.0, 0.0)  # nobody has worked them out
# Of a number that `krakenlink.numbers` lets pass a float is wrong by 1e-16 of it, and a few steps
# add up to no more than 1e-15.
_MARGIN = 1e-9
# Near half of the price a row `below` has next to no room, and the float of that few digits.
_MOST_PERCENT = 49.0


class CheckedRow:
    """A row on its way through the checks, as often as its file is read.

    Args:
        row: The row; not to be changed any more.
        number: Which of its file it is, from 1 on.

    Attributes:
        row: The row as it was handed in.
        label: Its id, or where it is.
        pair: The name of its pair as typed; empty where it has none.
        rule: What it says; None where it is no rule.
        problems: Why it is none.
        has_order: Whether its order columns are filled.
        is_enabled: Whether it is a rule that its user has armed.
        has_kin: Whether it may belong to others.
        ends_at: When it ends by itself, where that is a moment.
        result: Where what is found is gathered, while it is checked.
        has_fired: Whether it has fired, by its own columns or by what the caller knows, this time.
        listed: The pair by which `remarks` were worked out, None before; so with `was_fired`.
        remarks: What is to be said of its text, and of it and its pair.
        calm: The prices at which nothing is to be said of it; `UNKNOWN` before somebody asks.
        need: The asset that it takes of the account, and how much of it, by the pair `need_by`.
        advice: What is to be said of its funds, by what is known of them in `purse`.
    """

    __slots__ = (
        *("advice", "calm", "ends_at", "has_fired", "has_kin", "has_order", "is_enabled"),
        *("label", "listed", "need", "need_by", "pair", "problems", "purse", "remarks"),
        *("result", "row", "rule", "was_fired"),
    )
    result: ValidationResult

    def __init__(self, row: Row, number: int = 0) -> None:
        cells = all_cells(row)
        reading = reading_of(cells)
        rule = reading if isinstance(reading, Rule) else None
        self.row = row
        self.rule = rule
        self.problems: tuple[Problem, ...] = () if isinstance(reading, Rule) else reading
        self.label = rule.id if rule else label_of(row, number)
        self.pair = rule.pair if rule else text_of(cells, "pair")
        self.has_order = has_order(cells)
        self.is_enabled = rule is not None and rule.enabled
        is_tied = rule is not None and bool(rule.after or rule.group)
        self.has_kin = is_tied or bool(cells.get(LINK_COLUMN))
        expires = rule.terms.expires if rule else None
        self.ends_at: datetime | None = expires.at if expires else None
        self.has_fired = self.was_fired = False
        self.listed: Pair | None = None
        self.remarks: Sequence[Remark] = ()
        self.calm = UNKNOWN
        self.need: tuple[str, Decimal] | None = None
        self.need_by: Pair | None = None
        self.purse: Purse | None = None
        self.advice: Sequence[Remark] = ()

    @property
    def findings(self) -> Sequence[str]:
        """Why the row as a whole cannot be relied upon, by whoever has read it from a file."""
        findings: Sequence[str] = getattr(self.row, "findings", ())
        return findings

    @property
    def market(self) -> str:
        """The one name that its pair has in every sentence, whatever was typed."""
        return shown_pair(self.pair)

    @property
    def place(self) -> str:
        """Where the row is, to be put behind what is said of it."""
        line = getattr(self.row, "line", 0)
        return f" (line {line})" if line else ""

    def refuse(self, field: str, message: str) -> None:
        """Note that this row must not trade, and where it is."""
        self.result.add_error(self.label, field, message + self.place)

    def warn(self, field: str, message: str) -> None:
        """Note something to be looked at in this row, and where it is."""
        self.result.add_warning(self.label, field, message + self.place)

    def say(self, remarks: Iterable[Remark]) -> None:
        """Note what was worked out."""
        for field, said, is_error in remarks:
            (self.refuse if is_error else self.warn)(field, said)

    @property
    def is_refused(self) -> bool:
        """Whether anything has refused it so far."""
        return self.result.has_error(self.label)

    @property
    def waits(self) -> bool:
        """Whether it is meant to wait for its price, so that today's price matters to it."""
        return self.is_enabled and not self.has_fired

    def is_of(self, row: Row) -> bool:
        """Tell whether this is what was made of a row; it is then at the place of that."""
        if self.row != row or self.findings != getattr(row, "findings", ()):
            return False
        self.row = row
        return True


class KnownRows:
    """The rows of a file from one version to the next: those that stay are the same objects.

    Rows are not to be changed after they were handed in. For one thread.

    Attributes:
        rules: The rules of the last version by their labels: None for what is no rule, and where
            several rows have one label. Never changed, so that others may keep it.
        pairs: What Kraken's listing has said of the pairs, by their names.
        purses: What was found of the funds, by assets.
    """

    def __init__(self) -> None:
        self._last: list[CheckedRow] = []
        self.rules: dict[str, Rule | None] = {}
        self.pairs: dict[str, Pair] = {}
        self.purses: dict[str, Purse] = {}

    def read(self, rows: Iterable[Row]) -> list[CheckedRow]:
        """Return the rows of the next version, in a list that is not to be changed."""
        last, count = self._last, len(self._last)
        found: list[CheckedRow] = []
        others: list[tuple[int, Row]] = []
        for number, row in enumerate(rows):
            one = last[number] if number < count else None
            if one is None or one.row is not row or one.rule is None:
                # A row that is no rule is called by its place, which may be another one by now.
                others.append((number, row))
                one = _NOBODY
            found.append(one)
        if others:
            self._read(others, found)
        self._last = found
        self.rules = {row.label: row.rule for row in found}
        if len(self.rules) < len(found):
            times = Counter(row.label for row in found)
            self.rules.update((label, None) for label, count in times.items() if count > 1)
        return found

    def _read(self, others: Iterable[tuple[int, Row]], found: list[CheckedRow]) -> None:
        """Put those rows into their places that are not what stood there the last time."""
        free = {
            one.rule.id: one
            for one, now in zip_longest(self._last, found[: len(self._last)])
            if one is not now and one.rule is not None
        }
        for number, row in others:
            one = free.pop(row.get("id"), None)
            if one is None or not (one.row is row or one.is_of(row)):
                one = CheckedRow(row, number + 1)
            found[number] = one


# Keeps a place in a list.
_NOBODY = CheckedRow({})


def calm_of(rule: Rule) -> Calm:
    """Return prices at which nothing is to be said of a rule: not met, not near, and not far off.

    The threshold is not met, the price is twice the trailing offset away from it, and is less than
    twice and more than half of it.
    """
    if rule.after:
        return NEVER  # perhaps nothing is to be looked at
    return _calm(rule.threshold, rule.threshold_type, rule.offset_percent, rule.terms.offset_quote)


@lru_cache(maxsize=4096)  # of rows with one threshold and one offset they are the same object
def _calm(
    level: Decimal, side: ThresholdType, percent: Decimal | None, quote: Decimal | None
) -> Calm:
    threshold, is_above = float(level), side is ThresholdType.ABOVE
    money = float(quote) if percent is None and quote is not None else 0.0
    if percent is None:
        near = threshold - 2 * money if is_above else threshold + 2 * money
    else:
        share = float(percent) / 50
        if not is_above and share > _MOST_PERCENT / 50:
            return NEVER
        near = threshold / (1 + share) if is_above else threshold / (1 - share)
    inside = _MARGIN * max(threshold, abs(near))
    low, high = (threshold / 2, near) if is_above else (near, threshold * 2)
    low, high = low + inside, high - inside
    away = low * float(percent) / 100 if percent is not None else money
    spread = away / 10 * (1 - _MARGIN)
    return Calm(low, high, spread) if low < high else NEVER
