"""The exact order that a row stands for, and what tells a changed row from the same one.

Pure. What is built here is written down and sent as it is: nothing may turn it into numbers and
back on the way.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields

from krakenlink.numbers import plain, quantize_down, trailing_offset
from krakenlink.pairs import shown_pair
from ttslo_app.rules.rule import Rule


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """The exact order, in Kraken's words and texts: what is written down is what is sent."""

    pair: str
    type: str
    volume: str
    price: str
    ordertype: str = "trailing-stop"
    trigger: str = "last"

    def to_json(self) -> str:
        """Return the order as one line of JSON, for the state file."""
        return json.dumps({f.name: getattr(self, f.name) for f in fields(self)})

    @classmethod
    def from_json(cls, text: str) -> OrderRequest | None:
        """Return the order that `to_json` wrote, or None if `text` is nothing of the kind."""
        try:
            found = json.loads(text)
            return cls(**{f.name: str(found[f.name]) for f in fields(cls)})
        except (ValueError, KeyError, TypeError):
            return None

    def __str__(self) -> str:
        return f"{self.type} {self.volume} {shown_pair(self.pair)} {self.ordertype} {self.price}"


def fingerprint(rule: Rule) -> str:
    """Return what decides *when and what* `rule` trades, to tell whether a row was changed."""
    parts = (
        rule.pair,
        plain(rule.threshold.normalize()),
        rule.threshold_type,
        rule.direction,
        plain(rule.volume.normalize()),
        plain(rule.offset_percent),
        # Last, and only where it is set: rows of earlier versions keep their fingerprint.
        *((rule.when_blind,) if rule.when_blind else ()),
    )
    return " ".join(parts)


def letters_of(row: Mapping[str, object]) -> str:
    """Return what tells a row from one that differs in any letter or column; empty for no row."""
    if not row:
        return ""
    text = json.dumps([[name, str(cell)] for name, cell in row.items()])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def condition_of(row: str) -> str:
    """Return the part of a `fingerprint` that says when the rule fires."""
    return " ".join(row.split(" ")[:3])


def build_order(rule: Rule, pair: str, lot_decimals: int | None) -> OrderRequest:
    """Return the order that `rule` stands for, on Kraken's own name of its pair.

    Raises:
        ValueError: If the volume is nothing once cut to the digits that Kraken takes.
    """
    volume = rule.volume if lot_decimals is None else quantize_down(rule.volume, lot_decimals)
    if volume <= 0:
        raise ValueError(
            f"volume {plain(rule.volume)} is zero with the {lot_decimals} decimals of {pair}"
        )
    return OrderRequest(
        pair, rule.direction.value, plain(volume), trailing_offset(rule.offset_percent)
    )
