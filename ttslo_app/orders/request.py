"""The exact order that a row stands for, and what tells a changed row from the same one.

Pure. What is built here is written down and sent as it is: nothing may turn it into numbers and
back on the way.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from functools import lru_cache
from operator import attrgetter

from krakenlink.numbers import plain, quantize_down, readable, trailing_offset
from krakenlink.pairs import shown_pair
from ttslo_app.messages import Market
from ttslo_app.rules.rule import Direction, Rule
from ttslo_app.rules.terms import NO_TERMS, FeeCurrency

# Fields that files of earlier versions do not have, and that are left out where they are empty.
_SELDOM = ("price2", "oflags")


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """The exact order, in Kraken's words and texts: what is written down is what is sent.

    `price` is the trailing offset, `price2` that of the limit from the trigger; `oflags` says in
    which currency the fee is taken. The last two are empty for most orders.
    """

    pair: str
    type: str
    volume: str
    price: str
    ordertype: str = "trailing-stop"
    trigger: str = "last"
    price2: str = ""
    oflags: str = ""

    @property
    def cells(self) -> dict[str, str]:
        """The order as Kraken's AddOrder takes it, by Kraken's own names, without empty ones."""
        return {name: text for name, text in zip(_NAMES, _texts_of(self), strict=True) if text}

    @property
    def more(self) -> dict[str, str]:
        """What Kraken is told of it beyond what every trailing stop says."""
        return {name: getattr(self, name) for name in _SELDOM if getattr(self, name)}

    def to_json(self) -> str:
        """Return the order as one line of JSON, for the state file."""
        return _json_of(self)

    @classmethod
    def from_json(cls, text: str) -> OrderRequest | None:
        """Return the order that `to_json` wrote, or None if `text` is nothing of the kind."""
        try:
            found = json.loads(text)
            usual = {name: str(found[name]) for name in _NAMES if name not in _SELDOM}
            return cls(**usual, **{name: str(found.get(name, "")) for name in _SELDOM})
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    def __str__(self) -> str:
        digits = self.price.strip("+%")
        offset = self.price.replace(digits, readable(digits))
        said = f"{self.type} {readable(self.volume)} {shown_pair(self.pair)} {self.ordertype}"
        said = f"{said} {offset}"
        return f"{said}, limit {self.price2}" if self.price2 else said


_NAMES = tuple(f.name for f in fields(OrderRequest))


_texts_of = attrgetter(*_NAMES)


_as_json = json.JSONEncoder().encode


@lru_cache(maxsize=256)
def _json_of(order: OrderRequest) -> str:
    cells = zip(_NAMES, _texts_of(order), strict=True)
    return _as_json({name: text for name, text in cells if text or name not in _SELDOM})


def fingerprint(rule: Rule) -> str:
    """Return what decides *when and what* `rule` trades, to tell whether a row was changed."""
    parts = [
        rule.pair,
        plain(rule.threshold.normalize()),
        rule.threshold_type,
        rule.direction,
        _volume_mark(rule),
        _offset_mark(rule),
    ]
    # Last, and only where it is set: rows of earlier versions keep their fingerprint.
    if rule.when_blind:
        parts.append(rule.when_blind)
    if rule.terms is not NO_TERMS:
        parts += rule.terms.marks
    if rule.group:
        parts.append(f"{_GROUP}{rule.group}")
    if rule.after:
        parts.append(f"{_AFTER}{rule.after}")
    return " ".join(parts)


def _volume_mark(rule: Rule) -> str:
    if rule.volume is not None:
        return plain(rule.volume.normalize())
    return rule.volume_text.replace(" ", "")


def _offset_mark(rule: Rule) -> str:
    if rule.offset_percent is not None:
        return plain(rule.offset_percent)
    assert rule.terms.offset_quote is not None  # one of the two is always there
    return f"+{plain(rule.terms.offset_quote.normalize())}"


# How the name of a group, and the id of the row that comes first, begin in a `fingerprint`.
_GROUP, _AFTER = "group=", "after="


def group_of(row: str) -> str:
    """Return the group that a `fingerprint` tells, empty for none."""
    return _told(row, _GROUP)


def after_of(row: str) -> str:
    """Return the row that comes first by a `fingerprint`, empty for none."""
    return _told(row, _AFTER)


def _told(row: str, start: str) -> str:
    found = (part for part in row.split(" ")[3:] if part.startswith(start))
    return next(found, "").removeprefix(start)


def letters_of(row: Mapping[str, object]) -> str:
    """Return what tells a row from one that differs in any letter or column; empty for no row."""
    cells = [[name, str(cell)] for name, cell in row.items()]
    if not cells:
        return ""
    text = _as_json(cells)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def condition_of(row: str) -> str:
    """Return the part of a `fingerprint` that says when the rule fires."""
    return " ".join(row.split(" ")[:3])


def build_order(rule: Rule, market: Market, volume: Decimal | None = None) -> OrderRequest:
    """Return the order that `rule` stands for, on Kraken's own name of its pair.

    Args:
        rule: The row.
        market: What is known of its pair.
        volume: In base currency, of a row that says how it is worked out; else what the row says.

    Raises:
        ValueError: If the volume is not known, or if it or the offset is nothing once cut to the
            digits that Kraken takes.
    """
    size = rule.volume if volume is None else volume
    if size is None:
        raise ValueError(f"the volume {rule.volume_text} is worked out at the crossing")
    cut = size if market.lot_decimals is None else quantize_down(size, market.lot_decimals)
    if cut <= 0:
        raise ValueError(
            f"volume {plain(size)} is zero with the {market.lot_decimals} decimals of "
            f"{market.rest_key}"
        )
    return _template_of(rule, market, plain(cut))


def order_to_check(rule: Rule, market: Market) -> OrderRequest:
    """Return the order of a row as Kraken can be asked about it before its crossing.

    A volume that is worked out later is the pair's smallest.

    Raises:
        ValueError: As for `build_order`.
    """
    volume = market.ordermin or Decimal(1) if rule.volume is None else None
    return build_order(rule, market, volume)


def order_to_find(rule: Rule, market: Market) -> OrderRequest:
    """Return what an order of a row would look like; a volume that is worked out later is empty.

    Raises:
        ValueError: As for `build_order`.
    """
    return _template_of(rule, market) if rule.volume is None else build_order(rule, market)


def _template_of(rule: Rule, market: Market, volume: str = "") -> OrderRequest:
    terms = rule.terms
    limit = ""
    if terms.limit is not None:
        # On the worse side of the trigger: a sale may go lower, a purchase higher.
        sign = "-" if rule.direction is Direction.SELL and terms.limit.amount else "+"
        amount, percent = terms.limit.amount, "%" if terms.limit.is_percent else ""
        digits = amount if percent or not amount else _cut("limit_offset", amount, market)
        limit = f"{sign}{plain(digits)}{percent}"
    return OrderRequest(
        market.rest_key,
        str(rule.direction),
        volume,
        _offset_of(rule, market),
        "trailing-stop-limit" if limit else "trailing-stop",
        str(terms.trigger),
        limit,
        _FEE_FLAGS[terms.fee] if terms.fee else "",
    )


_FEE_FLAGS = {FeeCurrency.BASE: "fcib", FeeCurrency.QUOTE: "fciq"}


def _offset_of(rule: Rule, market: Market) -> str:
    if rule.offset_percent is not None:
        return trailing_offset(rule.offset_percent)
    amount = rule.terms.offset_quote
    assert amount is not None  # one of the two is always there
    return f"+{plain(_cut('trailing_offset_quote', amount, market))}"


def _cut(name: str, amount: Decimal, market: Market) -> Decimal:
    places = market.price_decimals
    cut = amount if places is None else quantize_down(amount, places)
    if not cut:
        raise ValueError(
            f"{name} {plain(amount)} is zero with the {places} decimals of a price of "
            f"{market.rest_key}; write a larger amount"
        )
    return cut
