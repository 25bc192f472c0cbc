"""What a validation has found: its result, and the text of it.

Pure: asks nobody and prints nothing. A row stands for itself: what is said of one never touches
another. The text, which is for a terminal, says nothing that the result does not hold.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol

from krakenlink.foreign import shown, some_of
from krakenlink.numbers import counted, readable
from krakenlink.pairs import Pair
from ttslo_app.rules.rule import Rule, reading_of
from ttslo_app.rules.worst import worst_of

INSUFFICIENT = "Insufficient"  # begins what is said of funds that do not suffice
Row = Mapping[str, object]

ORDER_COLUMNS = ("order_id", "trigger_time", "trigger_price")
# Of the narrowest terminal that people have.
_WIDTH = 79
_MOST_NAMES = 8
_PLACE = re.compile(r" \(line ([0-9]+)\)\Z")
_LONGEST = 2000  # characters of one finding


class Accepted(Protocol):
    """A row without an error, with all that was found out about it: what was checked, no copy."""

    @property
    def row(self) -> Row:
        """The row as it was handed in."""

    @property
    def rule(self) -> Rule:
        """What it says."""

    @property
    def listed(self) -> Pair | None:
        """What Kraken's listing says of its pair; None where there was no listing to be had."""

    @property
    def has_order(self) -> bool:
        """Whether its order columns are filled."""


@dataclass
class ValidationResult:
    """What was found.

    Attributes:
        errors: Dicts with `config_id`, `field`, `message`, `type`; the row must not trade.
        warnings: The same, for rows that may.
        configs: Every row that was looked at.
        accepted: What may trade: the rows without an error, armed or not, in the order of the file.
        fired: Ids of the rows that have fired, so that neither price nor funds matter to them.
        notes: What could not be checked for any row, and why.
        file: What is odd about the file apart from its rows, as far as somebody has read one.
        prices: Today's price by pair as typed, for the armed rows whose pair has one.
        unpriced: Ids of the rows that could not be checked against a price, and so wait for one.
        off_price: The rules refused for where the price is today: another one may let them trade.
    """

    errors: list[dict[str, str]] = field(default_factory=list)
    warnings: list[dict[str, str]] = field(default_factory=list)
    configs: list[Row] = field(default_factory=list)
    accepted: Sequence[Accepted] = field(default_factory=list)
    fired: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    prices: dict[str, Decimal] = field(default_factory=dict)
    file: list[str] = field(default_factory=list)
    unpriced: set[str] = field(default_factory=set)
    off_price: dict[str, Rule] = field(default_factory=dict)
    # The ids in the first so many errors.
    _refused: set[str] = field(default_factory=set, repr=False, compare=False)
    _counted: int = field(default=0, repr=False, compare=False)

    def add_error(self, config_id: str, field: str, message: str) -> None:
        """Note that the row must not trade."""
        self.errors.append(_finding(config_id, field, message, "error"))

    def add_warning(self, config_id: str, field: str, message: str) -> None:
        """Note something that the user should look at."""
        self.warnings.append(_finding(config_id, field, message, "warning"))

    def is_valid(self) -> bool:
        """Tell whether no row was refused."""
        return not self.errors

    def has_warnings(self) -> bool:
        """Tell whether there is something to look at."""
        return bool(self.warnings)

    def has_error(self, config_id: str) -> bool:
        """Tell whether the row of that id, or that label, was refused."""
        return config_id in self.refused()

    def refused(self) -> Set[str]:
        """Return the ids and labels of the rows that were refused so far."""
        if self._counted != len(self.errors):
            self._refused.update(error["config_id"] for error in self.errors[self._counted :])
            self._counted = len(self.errors)
        return self._refused


def _finding(config_id: str, field: str, message: str, kind: str) -> dict[str, str]:
    return {"config_id": config_id, "field": field, "message": message, "type": kind}


def all_cells(row: Row) -> Row:
    """Return the cells of a row for who looks at many of them: some rows look them up each time."""
    cells: Row = getattr(row, "cells", row)
    return cells


def text_of(row: Row, name: str) -> str:
    """Return a cell as text without spaces around; empty where there is none."""
    value = row.get(name)
    return "" if value is None else str(value).strip()


def has_order(row: Row) -> bool:
    """Tell whether the order columns of a row are filled: then it has fired."""
    get = row.get
    if not (get("order_id") or get("trigger_time") or get("trigger_price")):
        return False  # at once, as nearly always
    return any(text_of(row, name) for name in ORDER_COLUMNS)


def label_of(row: Row, number: int) -> str:
    """Return the id of a row, or where it is."""
    name = text_of(row, "id")
    if name:
        return name
    line = getattr(row, "line", 0)
    return f"row at line {line}" if line else f"row {number}"


# --- the text ----------------------------------------------------------------------------------


def format_validation_result(result: ValidationResult, verbose: bool = False) -> str:
    """Return `result` as text for a terminal.

    Args:
        result: What was found.
        verbose: Tell each row's order too, not only when it fires.
    """
    verdict = "VALIDATION PASSED" if result.is_valid() else "VALIDATION FAILED"
    counts = ", ".join(
        (
            counted(len(result.configs), "row"),
            counted(len(result.errors), "error"),
            counted(len(result.warnings), "warning"),
        )
    )
    lines = ["=" * _WIDTH, f"{verdict}: {counts}", "=" * _WIDTH]
    if result.file:
        lines += ["", "THE FILE", *(line for said in result.file for line in _folded(said, 6))]
    for title, findings in (("ERRORS", result.errors), ("WARNINGS", told_once(result.warnings))):
        if findings:
            lines += ["", title, *_wrapped(findings)]
    if result.notes:
        lines += ["", "NOT CHECKED", *(line for note in result.notes for line in _folded(note, 6))]
    if result.configs:
        lines += ["", "ROWS"]
        for number, row in enumerate(result.configs, 1):
            lines += _row_lines(result, row, number, verbose)
    return "\n".join(lines)


def told_once(warnings: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Return `warnings` without what another of the same row says better: what it is short of."""
    short = {one["config_id"] for one in warnings if one["message"].startswith(INSUFFICIENT)}
    if not short:
        return list(warnings)
    return [one for one in warnings if one["field"] != "balance" or one["config_id"] not in short]


def by_message(findings: Iterable[Mapping[str, str]]) -> Iterator[tuple[str, list[str], str, str]]:
    """Yield each fact once: its field, the ids of its rows, what is said, and their lines."""
    rows: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for one in findings:
        place = _PLACE.search(one["message"])
        said = one["message"][: place.start()] if place else one["message"]
        told = rows.setdefault((one["field"], said), [])
        told.append((one["config_id"], place[1] if place else ""))
    for (name, said), told in rows.items():
        numbers = list(dict.fromkeys(line for _, line in told if line))
        noun = "line" if len(numbers) == 1 else "lines"
        where = f" ({noun} {some_of(numbers, _MOST_NAMES)})" if numbers else ""
        yield name, list(dict.fromkeys(config_id for config_id, _ in told)), said, where


def _wrapped(findings: Iterable[Mapping[str, str]]) -> list[str]:
    """Return what was found, each fact once, whichever rows it is said of."""
    told = by_message(findings)
    texts = [
        f"[{some_of(ids, _MOST_NAMES)}] {name}: {said}{where}" for name, ids, said, where in told
    ]
    return [line for text in texts for line in _folded(text, 6)]


def _folded(text: str, indent: int) -> list[str]:
    visible = shown(" ".join(text.split()), _LONGEST)
    return textwrap.wrap(visible, _WIDTH, initial_indent="  ", subsequent_indent=" " * indent)


def _row_lines(result: ValidationResult, row: Row, number: int, verbose: bool) -> list[str]:
    """Return a row's id and standing, its condition, and how far today's price is from it."""
    label, rule = label_of(row, number), reading_of(row)
    if not isinstance(rule, Rule):
        return _folded(f"{label}: refused", 6)
    order = f"; {rule.action}"
    price = result.prices.get(rule.pair)
    away = f", {distance_words(rule, price)}" if price is not None else ", no price"
    standing = _standing(result, rule, label)
    lines = _folded(f"{label}: {standing}, {rule.condition}{away}{order if verbose else ''}", 6)
    return [*lines, f"      {worst_of(rule)}"] if standing == "armed" else lines


def distance_words(rule: Rule, price: Decimal) -> str:
    """Return today's price, and how far it is from a threshold in percent of the price."""
    away = abs(rule.threshold - price) / price * 100
    return f"now {readable(price)} ({away:.2f} % away)"


def _standing(result: ValidationResult, rule: Rule, label: str) -> str:
    if result.has_error(label):
        return "refused"
    if label in result.fired:
        return "fired"
    if not rule.enabled:
        return "disabled"
    return "armed" if label not in result.unpriced else "not armed yet"
