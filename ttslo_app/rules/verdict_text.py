"""A validation as text for a terminal.

Pure: it prints nothing, and says nothing that the result does not hold.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from krakenlink.numbers import plain
from ttslo_app.rules.findings import Row, ValidationResult, label_of
from ttslo_app.rules.rule import Rule, reading_of

_WIDTH = 96


def format_validation_result(result: ValidationResult, verbose: bool = False) -> str:
    """Return `result` as text for a terminal.

    Args:
        result: What was found.
        verbose: Tell each row's order too, not only when it fires.
    """
    verdict = "VALIDATION PASSED" if result.is_valid() else "VALIDATION FAILED"
    counts = f"{_count(result.errors, 'error')}, {_count(result.warnings, 'warning')}"
    lines = ["=" * _WIDTH, f"{verdict}: {_count(result.configs, 'row')}, {counts}", "=" * _WIDTH]
    for title, findings in (("ERRORS", result.errors), ("WARNINGS", result.warnings)):
        if findings:
            lines += ["", title, *(line for one in findings for line in _wrapped(one))]
    if result.notes:
        lines += ["", "NOT CHECKED", *(f"  {note}" for note in result.notes)]
    if result.configs:
        lines += ["", "ROWS"]
        for number, row in enumerate(result.configs, 1):
            lines += _folded(_summary(result, row, number, verbose), 37)
    return "\n".join(lines)


def _count(things: Sequence[object], word: str) -> str:
    return f"{len(things)} {word}{'' if len(things) == 1 else 's'}"


def _wrapped(finding: Mapping[str, str]) -> list[str]:
    text = f"[{finding['config_id']}] {finding['field']}: {finding['message']}"
    return _folded(text, 6)


def _folded(text: str, indent: int) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="  ", subsequent_indent=" " * indent)


def _summary(result: ValidationResult, row: Row, number: int, verbose: bool) -> str:
    label, rule = label_of(row, number), reading_of(row)
    if not isinstance(rule, Rule):
        return f"{label:<24} refused"
    start = f"{label:<24} {_standing(result, rule, label):<9} {rule.condition}"
    order = f": {rule.direction} {plain(rule.volume)}, trailing {plain(rule.offset_percent)} %"
    return f"{start}{order if verbose else ''}"


def _standing(result: ValidationResult, rule: Rule, label: str) -> str:
    if result.has_error(label):
        return "refused"
    if label in result.fired:
        return "fired"
    return "armed" if rule.enabled else "disabled"
