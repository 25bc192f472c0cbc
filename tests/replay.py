"""Replays: prices in, rows with random thresholds, and an oracle that tries everything."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from decimal import Decimal

from ttslo_rules import Rule, read_rule

_COLUMNS = "id,pair,threshold_price,threshold_type,direction,volume,trailing_offset_percent,enabled"


def random_rows(count: int, prices: Sequence[Decimal], chance: random.Random) -> list[str]:
    """Return rows with thresholds around the whole range of `prices`, to one decimal.

    None is met by the first price, nor so near to it that the row would be refused.
    """
    start, low, high = prices[0], min(prices), max(prices)
    margin = (high - low) / 10
    rows: list[str] = []
    while len(rows) < count:
        level = Decimal(str(round(chance.uniform(float(low - margin), float(high + margin)), 1)))
        if abs(level - start) / start < Decimal("0.002"):
            continue
        kind = "above" if level > start else "below"
        rows.append(f"r{len(rows)},BTC/USD,{level},{kind},sell,0.001,0.1,true")
    return rows


def rules_of(rows: Iterable[str]) -> list[Rule]:
    """Return the rules of rows."""
    names = _COLUMNS.split(",")
    return [read_rule(dict(zip(names, row.split(","), strict=False))) for row in rows]


def oracle(rules: Iterable[Rule], prices: Sequence[Decimal]) -> dict[str, Decimal]:
    """Return the first price that crosses each rule, by id, the slow and certain way."""
    found: dict[str, Decimal] = {}
    for rule in rules:
        for price in prices:
            if rule.is_met_by(price):
                found[rule.id] = price
                break
    return found
