"""The work of `ttslo whatif`: files read, rows played, outcomes told.

Loaded only by that command, as it needs numpy. What it must never do: leave out a row in silence.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from krakenlink.foreign import shown
from krakenlink.machine import read_plain
from krakenlink.numbers import plain, readable
from krakenlink.pairs import shown_pair
from ttslo_app.backtest.candles import Candles
from ttslo_app.backtest.history import History
from ttslo_app.backtest.play import unplayable
from ttslo_app.backtest.result import Costs, row_of
from ttslo_app.backtest.study import Study, lines_of, record_of
from ttslo_app.backtest.sweep import sweep
from ttslo_app.rules.rule import Rule, RuleError, read_rule
from ttslo_app.run.whatif_source import Fetching, Trouble, known_pairs, named_pair, source_of
from ttslo_app.store.rule_text import read_rules

# So far off its price a threshold is rather of another pair.
_FAR = 10

# What of a row decides what becomes of it, or needs no deciding on prices that are all seen.
_PLAYED = frozenset(
    {
        *("id", "pair", "threshold", "threshold_type", "direction", "volume", "offset_percent"),
        *("terms", "enabled", "when_blind", "note"),
    }
)


@dataclass(frozen=True, slots=True)
class Report:
    """What is told: lines for a person, the same for a program, and all of it for a page."""

    lines: tuple[str, ...]
    record: dict[str, Any]
    study: Study


def report(options: argparse.Namespace, fetching: Fetching | None = None) -> Report:
    """Read the config and the prices, and play every row of their pair. Blocks.

    Raises:
        Trouble: If a file cannot be used, Kraken does not tell, or no row is of the pair.
    """
    named = named_pair(options)
    pair = shown_pair(options.pair or named or _only_pair(options.config))
    rules, remarks = _rules_of(options.config, pair)
    if named != pair and named in known_pairs():
        remarks.append(f"the file's name says {named}, and --pair {pair}: are these its prices?")
    to_sweep = _row_to_sweep(rules, options.row)
    source = source_of(options, pair, fetching or Fetching())
    prices, market, costs = source.prices, source.market, Costs(options.fee, options.slippage)
    study = Study(
        pair,
        source.name,
        prices,
        market,
        costs,
        (*remarks, *source.remarks, *_far_off(prices, rules)),
        tuple(row_of(prices, rule, market, costs) for rule in rules),
        sweep(prices, to_sweep, options.sweep, market, costs) if options.sweep else None,
    )
    return Report(tuple(lines_of(study)), record_of(study), study)


def _row_to_sweep(rules: list[Rule], name: str | None) -> Rule:
    """Return the row of a name; the first where none is asked for."""
    found = [rule for rule in rules if name in (None, rule.id)]
    if not found:
        names = ", ".join(rule.id for rule in rules[:20])
        raise Trouble(f"--row {name}: there is no such row among {names}")
    return found[0]


def _only_pair(config: Path) -> str:
    """Return the one pair that all enabled rows are of."""
    pairs = {shown_pair(rule.pair) for rule in _readable(config)[0] if rule.enabled}
    if len(pairs) != 1:
        found = f"rows of {', '.join(sorted(pairs))}" if pairs else "no enabled row"
        raise Trouble(f"{config} has {found}: name the pair by --pair")
    return pairs.pop()


def _readable(config: Path) -> tuple[list[Rule], list[str]]:
    """Return every row that can be read, and what is said of the others."""
    try:
        read = read_rules(read_plain(config))
    except OSError as error:
        raise Trouble(f"{config} cannot be opened: {error.strerror}") from None
    rules, remarks = [], [f"{config}: {finding}" for finding in read.findings]
    for row in read.rows:
        try:
            rules.append(read_rule(row))
        except RuleError as error:
            remarks.append(f"left out: {shown(str(row.get('id')), 40)}: {error}")
    return rules, remarks


def _rules_of(config: Path, pair: str) -> tuple[list[Rule], list[str]]:
    """Return the enabled rows of a pair, and what is said of those that are left out."""
    readable, remarks = _readable(config)
    rules, others = [], 0
    for rule in readable:
        if shown_pair(rule.pair) != pair:
            others += 1
        elif not rule.enabled:
            remarks.append(f"left out: {rule.id} is not enabled")
        elif unplayed := columns_not_played(rule):
            remarks.append(f"left out: {rule.id}: whatif cannot play {', '.join(unplayed)} yet")
        else:
            rules.append(rule)
    if others:
        remarks.append(f"left out: {others} rows of other pairs than {pair}")
    if not rules:
        cure = "name the pair of the prices by --pair, or enable a row"
        raise Trouble("; ".join([f"{config} has no enabled row of {pair}", *remarks, cure]))
    return rules, remarks


def columns_not_played(rule: Rule) -> list[str]:
    """Return the names of what a row says and nothing here heeds."""
    said = [
        one.name
        for one in fields(rule)
        if one.name not in _PLAYED and getattr(rule, one.name) != one.default
    ]
    return [*said, *unplayable(rule)]


def _far_off(prices: History | Candles, rules: list[Rule]) -> Iterator[str]:
    first = prices.first_price
    for rule in rules:
        factor = max(rule.threshold / first, first / rule.threshold)
        if factor >= _FAR:
            yield (
                f"{rule.id}: its threshold {plain(rule.threshold)} is {factor:.0f} times off the "
                f"first price {readable(first)}: is this file of another pair?"
            )
