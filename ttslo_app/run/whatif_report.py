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
from ttslo_app.backtest.candles import Candles
from ttslo_app.backtest.history import PLACES, History
from ttslo_app.backtest.play import Market
from ttslo_app.backtest.recording import BadRecording, read_candles, read_minutes, read_trades
from ttslo_app.backtest.result import Costs, Row, row_of
from ttslo_app.rules.rule import Rule, RuleError, read_rule
from ttslo_app.store.rule_text import read_rules

# So far off its price a threshold is rather of another pair.
_FAR = 10
_AS_REPLAYED = (
    "in each minute the prices come in the order in which the demo plays them; what other orders "
    "would have done is told by --candles"
)


Prices = History | Candles


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
    path: Path = options.trades or options.replay or options.candles
    named = pair_named_by(path)
    pair = shown_pair(options.pair or named)
    rules, remarks = _rules_of(options.config, pair)
    if named != pair and named in {shown_pair(rule) for rule in _known_pairs()}:
        remarks.append(f"the file's name says {named}, and --pair {pair}: are these its prices?")
    prices, found = _read(path, options)
    market = _market_of(pair, prices)
    costs = Costs(options.fee, options.slippage)
    rows = [row_of(prices, rule, market, costs) for rule in rules]
    remarks += [*found, *_far_off(prices, rules)]
    return Report(
        tuple(_lines(path, pair, prices, rows, remarks, costs)),
        {
            "pair": pair,
            "prices": len(prices),
            "is_candles": isinstance(prices, Candles),
            "from": words.moment(prices, 0),
            "to": words.moment(prices, len(prices) - 1),
            "fee": plain(costs.fee),
            "slippage": plain(costs.slippage),
            "remarks": remarks,
            "rows": [words.record_of(prices, row) for row in rows],
        },
    )


def _read(path: Path, options: argparse.Namespace) -> tuple[Prices, tuple[str, ...]]:
    """Return the prices of a file, and what is odd about them."""
    try:
        if options.candles:
            found = read_candles(path)
            return found.candles, found.remarks
        if options.replay:
            recording = read_minutes(path)
            return recording.history, (*recording.remarks, _AS_REPLAYED)
        recording = read_trades(path)
        return recording.history, recording.remarks
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


def pair_named_by(path: Path) -> str:
    """Return the pair that a file's name says, such as of XBTUSD.csv or XBTUSD_60.csv.gz."""
    return shown_pair(path.name.partition(".")[0].partition("_")[0])


def _known_pairs() -> Iterator[str]:
    return (str(row["wsname"]) for row in default_pairs()[0].values() if "wsname" in row)


def _market_of(pair: str, prices: Prices) -> Market:
    """Return the row of AssetPairs of a pair; one after its prices where it is not known."""
    rows, _ = default_pairs()
    for key, row in rows.items():
        if row.get("wsname") and shown_pair(str(row["wsname"])) == pair:
            return Market(key, row)
    base, _, quote = pair.partition("/")
    decimals = PLACES - (len(str(prices.tick)) - 1)
    least = {"ordermin": "0", "costmin": "0", "lot_decimals": 8}
    return Market(
        pair, {"base": base, "quote": quote, "altname": pair, "pair_decimals": decimals, **least}
    )


def _far_off(prices: Prices, rules: list[Rule]) -> Iterator[str]:
    first = prices.first_price
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
    prices: Prices,
    rows: list[Row],
    remarks: list[str],
    costs: Costs,
) -> Iterator[str]:
    first, last = words.moment(prices, 0), words.moment(prices, len(prices) - 1)
    kind = "candles" if isinstance(prices, Candles) else "prices"
    yield f"WHAT IF: {len(prices):,} {kind} of {pair}, {first} to {last}"
    yield f"from {path}; fee {plain(costs.fee)} %, slippage {plain(costs.slippage)} %"
    for remark in remarks:
        yield f"note: {remark}"
    for row in rows:
        yield ""
        yield from words.lines_of(prices, row)
    yield ""
    yield words.CANDLE_TERMS if isinstance(prices, Candles) else words.TERMS
