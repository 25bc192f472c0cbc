"""The work of `ttslo whatif`: files read, rows played, outcomes told.

Loaded only by that command, as it needs numpy. What it must never do: leave out a row in silence.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fake_kraken.market import default_pairs
from krakenlink.foreign import shown
from krakenlink.numbers import plain
from krakenlink.pairs import shown_pair
from ttslo_app.backtest import words
from ttslo_app.backtest.history import PLACES, History
from ttslo_app.backtest.play import Market, Played, play
from ttslo_app.backtest.recording import BadRecording, Recording, read_minutes, read_trades
from ttslo_app.backtest.result import Costs, Outcome, outcome_of
from ttslo_app.rules.rule import Rule, RuleError, read_rule
from ttslo_app.store.rule_text import read_rules

# So far off its price a threshold is rather of another pair.
_FAR = 10


class Trouble(Exception):
    """Why nothing can be told; the text names the file and the cure."""


@dataclass(frozen=True, slots=True)
class Report:
    """What is told: lines for a person, and the same for a program."""

    lines: tuple[str, ...]
    record: dict[str, Any]


def report(options: argparse.Namespace) -> Report:
    """Read both files and play every row of the pair. Blocks.

    Raises:
        Trouble: If a file cannot be used, or no row is of its pair.
    """
    path: Path = options.trades or options.replay
    pair = shown_pair(options.pair or path.name.partition(".")[0])
    rules, remarks = _rules_of(options.config, pair)
    recording = _read(path, is_minutes=options.trades is None)
    history = recording.history
    market = _market_of(pair, history)
    costs = Costs(options.fee, options.slippage)
    played = [play(history, rule, market) for rule in rules]
    ends = [(one, outcome_of(history, one, costs)) for one in played]
    remarks += [*recording.remarks, *_far_off(history, rules)]
    return Report(
        tuple(_lines(path, pair, history, ends, remarks, costs)),
        {
            "pair": pair,
            "prices": len(history),
            "from": words.moment(history, 0),
            "to": words.moment(history, len(history) - 1),
            "fee": plain(costs.fee),
            "slippage": plain(costs.slippage),
            "remarks": remarks,
            "rows": [words.record_of(history, one, outcome) for one, outcome in ends],
        },
    )


def _read(path: Path, *, is_minutes: bool) -> Recording:
    try:
        return read_minutes(path) if is_minutes else read_trades(path)
    except OSError as error:
        raise Trouble(f"{path} cannot be opened: {error.strerror}") from None
    except BadRecording as error:
        raise Trouble(str(error)) from None


def _rules_of(config: Path, pair: str) -> tuple[list[Rule], list[str]]:
    """Return the enabled rows of a pair, and what is said of those that are left out."""
    try:
        read = read_rules(config.read_bytes())
    except OSError as error:
        raise Trouble(f"{config} cannot be opened: {error.strerror}") from None
    rules, remarks, others = [], [f"{config}: {finding}" for finding in read.findings], 0
    for row in read.rows:
        try:
            rule = read_rule(row)
        except RuleError as error:
            remarks.append(f"left out: {shown(str(row.get('id')), 40)}: {error}")
            continue
        if shown_pair(rule.pair) != pair:
            others += 1
        elif rule.enabled:
            rules.append(rule)
        else:
            remarks.append(f"left out: {rule.id} is not enabled")
    if others:
        remarks.append(f"left out: {others} rows of other pairs than {pair}")
    if not rules:
        cure = "name the pair of the prices by --pair, or enable a row"
        raise Trouble("; ".join([f"{config} has no enabled row of {pair}", *remarks, cure]))
    return rules, remarks


def _market_of(pair: str, history: History) -> Market:
    """Return the row of AssetPairs of a pair; one after its prices where it is not known."""
    rows, _ = default_pairs()
    for key, row in rows.items():
        if row.get("wsname") and shown_pair(str(row["wsname"])) == pair:
            return Market(key, row)
    base, _, quote = pair.partition("/")
    decimals = PLACES - (len(str(history.tick)) - 1)
    least = {"ordermin": "0", "costmin": "0", "lot_decimals": 8}
    return Market(
        pair, {"base": base, "quote": quote, "altname": pair, "pair_decimals": decimals, **least}
    )


def _far_off(history: History, rules: list[Rule]) -> Iterator[str]:
    first = history.price_at(0)
    for rule in rules:
        factor = max(rule.threshold / first, first / rule.threshold)
        if factor >= _FAR:
            yield (
                f"{rule.id}: its threshold {plain(rule.threshold)} is {factor:.0f} times off the "
                f"first price {plain(first)}: is this file of another pair?"
            )


def _lines(
    path: Path,
    pair: str,
    history: History,
    ends: list[tuple[Played, Outcome | None]],
    remarks: list[str],
    costs: Costs,
) -> Iterator[str]:
    first, last = words.moment(history, 0), words.moment(history, len(history) - 1)
    yield f"WHAT IF: {len(history):,} prices of {pair}, {first} to {last}"
    yield f"from {path}; fee {plain(costs.fee)} %, slippage {plain(costs.slippage)} %"
    for remark in remarks:
        yield f"note: {remark}"
    for played, outcome in ends:
        yield ""
        yield from words.lines_of(history, played, outcome)
    yield ""
    yield words.TERMS
