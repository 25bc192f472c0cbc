"""What Kraken's `instrument` channel tells of pairs and assets, as it changes.

Pure. A row tells what has changed and may leave the rest out; what it tells must make sense, or
nothing of that pair or asset is known any more: a minimum that somebody made up refuses good orders
or lets bad ones through.

Source: Kraken, spot WebSocket v2, instrument channel (read 2026-11).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from typing import Any, TypeVar

from krakenlink.numbers import to_positive_decimal
from krakenlink.pairs import Pair, Symbol
from krakenlink.stream.book import Places

_WORD = re.compile(r"[a-z_]{1,40}", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9._-]{1,40}", re.ASCII)
# Beyond every minimum and step at Kraken.
_MOST = Decimal("1e15")
_MOST_PLACES = 30


@dataclass(frozen=True, slots=True)
class Instrument:
    """A pair as Kraken streams it, in its words; None for what it has not told.

    Attributes:
        symbol: Its WebSocket v2 name.
        base: The asset that is bought and sold, by its modern name.
        quote: The asset that prices are in, likewise.
        status: `online`, `cancel_only`, `post_only`, `limit_only`, `reduce_only`, `maintenance`,
            `delisted`, `work_in_progress`.
        qty_min: The smallest order, in base currency.
        qty_increment: The step of quantities.
        qty_precision: Their decimals.
        price_increment: The step of prices.
        price_precision: Their decimals.
        cost_min: The smallest value of an order, in quote currency.
        cost_precision: Its decimals.
    """

    symbol: Symbol
    base: str | None = None
    quote: str | None = None
    status: str | None = None
    qty_min: Decimal | None = None
    qty_increment: Decimal | None = None
    qty_precision: int | None = None
    price_increment: Decimal | None = None
    price_precision: int | None = None
    cost_min: Decimal | None = None
    cost_precision: int | None = None

    def told_of(self, pair: Pair) -> Pair:
        """Return what is known of `pair` with what is told here in its place."""
        told = {
            "status": self.status,
            "ordermin": self.qty_min,
            "costmin": self.cost_min,
            "tick_size": self.price_increment,
            "price_decimals": self.price_precision,
            "lot_decimals": self.qty_precision,
        }
        return pair._replace(**{name: fact for name, fact in told.items() if fact is not None})  # type: ignore[arg-type]  # each of its own kind


@dataclass(frozen=True, slots=True)
class Asset:
    """An asset as Kraken streams it; None for what it has not told.

    Attributes:
        id: Its modern name.
        status: `enabled`, `depositonly`, `withdrawalonly`, `fundingtemporarilydisabled`,
            `disabled`, `workinprogress`.
        precision: Decimals of amounts.
        precision_display: Decimals that Kraken shows.
    """

    id: str
    status: str | None = None
    precision: int | None = None
    precision_display: int | None = None


_Row = TypeVar("_Row", Instrument, Asset)


def read_instrument(row: Mapping[str, Any]) -> Instrument | None:
    """Return the pair of a row; None where something in it cannot be."""
    symbol = row.get("symbol")
    if not isinstance(symbol, str) or not symbol:
        return None
    try:
        return Instrument(
            Symbol(symbol),
            base=_text(row, "base", _NAME),
            quote=_text(row, "quote", _NAME),
            status=_text(row, "status", _WORD),
            qty_min=_amount(row, "qty_min"),
            qty_increment=_amount(row, "qty_increment"),
            qty_precision=_places(row, "qty_precision"),
            price_increment=_amount(row, "price_increment"),
            price_precision=_places(row, "price_precision"),
            cost_min=_amount(row, "cost_min"),
            cost_precision=_places(row, "cost_precision"),
        )
    except ValueError:
        return None


def read_asset(row: Mapping[str, Any]) -> Asset | None:
    """Return the asset of a row; None where something in it cannot be."""
    try:
        name = _text(row, "id", _NAME)
        told = _text(row, "status", _WORD)
        places = _places(row, "precision"), _places(row, "precision_display")
    except ValueError:
        return None
    return Asset(name, told, *places) if name else None


def _text(row: Mapping[str, Any], name: str, shape: re.Pattern[str]) -> str | None:
    value = row.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not shape.fullmatch(value):
        raise ValueError(name)
    return value


def _amount(row: Mapping[str, Any], name: str) -> Decimal | None:
    value = row.get(name)
    if value is None:
        return None
    amount = to_positive_decimal(value)
    if amount > _MOST:
        raise ValueError(name)
    return amount


def _places(row: Mapping[str, Any], name: str) -> int | None:
    value = row.get(name)
    if value is None:
        return None
    is_count = isinstance(value, int) and not isinstance(value, bool)
    if not is_count or not 0 <= value <= _MOST_PLACES:
        raise ValueError(name)
    return int(value)


def places_of(pair: Instrument | None) -> Places | None:
    """Return the decimals of a pair's prices and quantities, where both were told."""
    if pair is None or pair.price_precision is None or pair.qty_precision is None:
        return None
    return Places(pair.price_precision, pair.qty_precision)


class Instruments:
    """All pairs and assets as they are now. Not thread-safe.

    Attributes:
        pairs: By symbol.
        assets: By name.
    """

    def __init__(self) -> None:
        self.pairs: dict[str, Instrument] = {}
        self.assets: dict[str, Asset] = {}

    def take_in(
        self, pairs: tuple[Instrument, ...], assets: tuple[Asset, ...], lost: tuple[str, ...]
    ) -> None:
        """Take in what has changed; of what is `lost` nothing is known any more."""
        for pair in pairs:
            self.pairs[pair.symbol] = _merged(self.pairs.get(pair.symbol), pair)
        for asset in assets:
            self.assets[asset.id] = _merged(self.assets.get(asset.id), asset)
        for name in lost:
            self.pairs.pop(name, None)
            self.assets.pop(name, None)


def _merged(known: _Row | None, told: _Row) -> _Row:
    if known is None:
        return told
    facts = {f.name: getattr(told, f.name) for f in fields(told)}
    return replace(known, **{name: fact for name, fact in facts.items() if fact is not None})
