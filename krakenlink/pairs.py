"""Every spelling of a pair, and the one pair that it means.

Pure. Names come from Kraken's own listing and are never made by cutting or joining strings:
`XTZUSD` is Tezos, not an X before `TZUSD`, and not `T/USD`. A name that fits two pairs is
refused, because one of them is not what the user wants to sell.

Source: Kraken, REST AssetPairs and spot WebSocket v2 (read 2026-11): REST's `wsname` is still the
spelling of WebSocket v1, and exactly two assets were renamed since, XBT to BTC and XDG to DOGE.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any, NamedTuple, NewType

from krakenlink.known_names import RENAMED, asset_name, old_rows, well_known_rows
from krakenlink.numbers import plain, to_positive_decimal

Symbol = NewType("Symbol", str)
"""The name of a pair on WebSocket v2, such as `BTC/USD`; never a REST spelling."""

# Names are at most a dozen characters; comparing novels with them would only take time.
_LONGEST_NAME = 40
_MOST_NAMED = 3
# What most people count in, and what stands for it.
_QUOTES = ("USD", "EUR", "GBP", "CAD", "AUD", "CHF", "JPY", "USDC", "USDT")
_BY_LENGTH = sorted(_QUOTES, key=len, reverse=True)

TOKENIZED = "tokenized_asset"
"""Kraken's word for the class of xStocks, which most calls want to be told."""


# Nothing else at Kraken has a small letter in its name.
_XSTOCK = re.compile(r"[A-Z0-9.]+x[/-]?[A-Z]+", re.ASCII)


def looks_tokenized(name: str) -> bool:
    """Tell whether `name` can only be an xStock's, for when Kraken's listing is not at hand."""
    return _XSTOCK.fullmatch(name.strip()) is not None


class UnknownPair(LookupError):
    """A name that no pair has; the text names the nearest that exist."""


class AmbiguousPair(LookupError):
    """A name that more than one pair has; the text names them."""


class Pair(NamedTuple):
    """One market at Kraken. Numbers are None where Kraken did not tell them.

    Attributes:
        rest_key: Kraken's key of the pair, which every REST call takes.
        altname: The short REST name, such as `XBTUSD`.
        wsname: The name on WebSocket v1; None where Kraken gives none.
        symbol: The name on WebSocket v2; None where the pair has no stream.
        base: Kraken's id of the asset that is bought and sold, such as `XXBT`.
        quote: Kraken's id of the asset that prices are in, such as `ZUSD`.
        price_decimals: Places of a price.
        lot_decimals: Places of a volume.
        ordermin: Least volume, in base currency.
        costmin: Least price x volume, in quote currency.
        tick_size: Prices are multiples of this, in quote currency.
        status: `online`, `cancel_only`, `post_only`, `limit_only`, `reduce_only` ...; a row
            without one counts as online, because Kraken leaves it out for one pair in eight.
        asset_class: `currency`, or `tokenized_asset` for xStocks.
    """

    rest_key: str
    altname: str
    wsname: str | None
    symbol: Symbol | None
    base: str
    quote: str
    price_decimals: int | None = None
    lot_decimals: int | None = None
    ordermin: Decimal | None = None
    costmin: Decimal | None = None
    tick_size: Decimal | None = None
    status: str = "online"
    asset_class: str = "currency"

    @property
    def is_tokenized(self) -> bool:
        """Whether this is an xStock, whose calls need `asset_class=tokenized_asset`."""
        return self.asset_class == TOKENIZED


class PairDirectory:
    """All pairs of one listing, found by any spelling. Immutable once made."""

    def __init__(self, pairs: Iterable[Pair]) -> None:
        self._pairs = tuple(pairs)
        # From the surest to the loosest way of meaning a pair. A name that is somebody's own
        # beats one that merely could be made of somebody's assets.
        self._own: dict[str, tuple[Pair, ...]] = {}
        self._folded: dict[str, tuple[Pair, ...]] = {}
        self._composed: dict[str, tuple[Pair, ...]] = {}
        for pair in self._pairs:
            alone = (pair,)  # one for its eight names, nearly all of which are its own alone
            for name in _own_names(pair):
                _add(self._own, name, alone)
                _add(self._folded, name.casefold(), alone)
            for name in _composed_names(pair):
                _add(self._composed, name.casefold(), alone)

    @classmethod
    def from_asset_pairs(cls, result: object) -> PairDirectory:
        """Return the directory of an AssetPairs `result`, a dict of rows by REST key.

        Rows without wsname, status or numbers are taken for what they say; rows that do not even
        name their assets are left out. Never raises: at worst the directory is empty.
        """
        rows = result.items() if isinstance(result, Mapping) else ()
        found = (_read_row(key, row) for key, row in rows)
        return cls(pair for pair in found if pair is not None)

    def as_asset_pairs(self) -> dict[str, dict[str, object]]:
        """Return the `result` of which `from_asset_pairs` makes these pairs, and no more of it."""
        return {pair.rest_key: _row_of(pair) for pair in self._pairs}

    def __len__(self) -> int:
        return len(self._pairs)

    def __iter__(self) -> Iterator[Pair]:
        return iter(self._pairs)

    def find(self, name: object) -> Pair | None:
        """Return the pair that `name` means, or None if there is none, or more than one."""
        try:
            return self._lookup(name)
        except AmbiguousPair:
            return None

    def resolve(self, name: object) -> Pair:
        """Return the pair that `name` means.

        Args:
            name: REST key, altname, wsname or v2 symbol, with `/`, `-` or nothing between, in
                any case, with old or new names of the assets.

        Raises:
            UnknownPair: If there is none, or `name` is empty or no text: one kind of error,
                `LookupError`, whatever comes in. Names the nearest.
            AmbiguousPair: If more than one pair has that name (a `LookupError` as well).
        """
        pair = self._lookup(name)
        if pair is None:
            raise UnknownPair(self._unknown(name))
        return pair

    def _lookup(self, name: object) -> Pair | None:
        if not isinstance(name, str):
            return None
        typed = name.strip().replace("-", "/")
        folded = typed.casefold()
        layers = ((self._own, typed), (self._folded, folded), (self._composed, folded))
        for names, key in layers:
            match names.get(key):
                case [pair]:
                    return pair
                case [*several] if several:
                    raise AmbiguousPair(f"{name!r} could be any of {_listed(several)}")
        return None

    def _unknown(self, name: object) -> str:
        if not isinstance(name, str) or not name.strip():
            return f"{name!r} is not the name of a pair; write one such as BTC/USD"
        typed = name.strip()[:_LONGEST_NAME]
        shown = {_shown(pair).casefold(): _shown(pair) for pair in self._pairs}
        asked = typed.replace("-", "/").casefold()
        import difflib  # here, because a slip of the hand is rare

        # Who names an asset alone means what it costs, in the money of most people first.
        near = self._priced_in(asset_name(typed))[:_MOST_NAMED]
        shown |= {name: name for name in near}
        near = near or difflib.get_close_matches(asked, shown, n=_MOST_NAMED, cutoff=0.6)
        hint = f"; the nearest are {', '.join(shown[n] for n in near)}" if near else ""
        return f"Kraken has no pair {typed!r}{hint}"

    def _priced_in(self, asset: str) -> list[str]:
        """Return the pairs that price an asset, those in the common currencies first."""
        names = [_shown(pair) for pair in self._pairs]
        own = [n for n in names if asset_name(n.partition("/")[0]) == asset and "/" in n]

        def rank(name: str) -> tuple[int, str]:
            quote = name.partition("/")[2]
            return (_QUOTES.index(quote) if quote in _QUOTES else len(_QUOTES), name)

        return sorted(own, key=rank)


@cache
def _old_directory() -> PairDirectory:
    return PairDirectory.from_asset_pairs(dict(old_rows()))


@cache
def well_known_directory() -> PairDirectory:
    """Return what may well be pairs, for a check that must not call them unknown offline."""
    return PairDirectory.from_asset_pairs(dict(well_known_rows()))


def legacy_pair(name: object) -> Pair | None:
    """Return the pair that `name` means among the oldest ones, or None.

    For when Kraken's listing cannot be had: these names have not changed in ten years. Decimals
    and minimums are None, because those do change.
    """
    return _old_directory().find(name)


def well_known_pair(name: object) -> Pair | None:
    """Return what `name` means as far as that can be told without Kraken's listing, or None."""
    return legacy_pair(name) or well_known_directory().find(name)


@lru_cache(maxsize=4096)
def shown_pair(name: str) -> str:
    """Return the one name under which people are told of a pair, such as `BTC/USD`.

    A name that is not known without Kraken's listing is told as two assets where it ends with a
    common currency, `PEPEUSD` as `PEPE/USD`, and else as it is.
    """
    pair = well_known_pair(name)
    return (pair.symbol if pair else None) or _in_two(name)


def _in_two(name: str) -> str:
    base, between, quote = name.strip().replace("-", "/").partition("/")
    if not between:
        quote = next((q for q in _BY_LENGTH if base.upper().endswith(q)), "")
        base = base.removesuffix(base[-len(quote) :]) if quote else base
        # `XFOOZUSD` may be a key of the old form, whose assets have other names.
        if len(base) < 2 or base.upper().endswith("Z"):
            return name
    legs = [_leg(base), _leg(quote)]
    return "/".join(legs) if all(leg.isascii() and leg.isalnum() for leg in legs) else name


def _leg(asset: str) -> str:
    """Return one name of an asset; small letters stay where they mark a tokenized one."""
    bare = asset.upper() if asset.islower() else asset
    known = asset_name(bare)
    return known if known != bare.upper() else bare


# --- spellings ---------------------------------------------------------------------------------


def _own_names(pair: Pair) -> set[str]:
    """Return the names that Kraken itself gives `pair`."""
    names = {pair.rest_key, pair.altname, pair.wsname, pair.symbol}
    return {name.replace("-", "/") for name in names if name}


def _composed_names(pair: Pair) -> set[str]:
    """Return the names that `pair` has by the names of its assets, such as `BTC/ZUSD`."""
    bases, quotes = {pair.base}, {pair.quote}
    for name in (pair.wsname, pair.symbol):
        base, _, quote = (name or "").partition("/")
        if base and quote:
            bases.add(base)
            quotes.add(quote)
    # Dark pools have the assets of the pair that everybody means; only their mark differs.
    mark = ".d" if pair.rest_key.casefold().endswith(".d") else ""
    pieces = ((b, q) for b in bases for q in quotes)
    return {f"{b}{between}{q}{mark}" for b, q in pieces for between in ("", "/")}


def _add(names: dict[str, tuple[Pair, ...]], name: str, alone: tuple[Pair]) -> None:
    known = names.setdefault(name, alone)
    if alone[0] not in known:
        names[name] = (*known, *alone)


def _shown(pair: Pair) -> str:
    return pair.symbol or pair.altname


def _listed(pairs: Iterable[Pair]) -> str:
    return ", ".join(sorted(f"{_shown(pair)} ({pair.rest_key})" for pair in pairs))


# --- rows of the listing -----------------------------------------------------------------------


# A name of Kraken's, or a word such as a status; anything else is damage, or would act on a screen.
_NAME = re.compile(r"[A-Za-z0-9._/ -]{1,40}", re.ASCII)
# Beyond every minimum and step at Kraken: a number there would bar a pair, or round all to nothing.
_MOST_AMOUNT = Decimal("1e15")


def _read_row(key: object, row: object) -> Pair | None:
    """Return the pair of one row, or None if the row is damaged beyond use."""
    if not isinstance(key, str) or not _NAME.fullmatch(key) or not isinstance(row, Mapping):
        return None
    wsname = _word(row, "wsname")
    legs = wsname.split("/") if wsname else []
    if len(legs) != 2 or not all(legs):
        wsname, legs = None, ["", ""]
    base, quote = _word(row, "base") or legs[0], _word(row, "quote") or legs[1]
    if not base or not quote:
        return None
    altname = _word(row, "altname") or key
    return Pair(
        # Asked for one pair, Kraken answers under the very name that it was asked by.
        rest_key=key if "/" not in key else altname,
        altname=altname,
        wsname=wsname,
        symbol=Symbol("/".join(RENAMED.get(leg, leg) for leg in legs)) if wsname else None,
        base=base,
        quote=quote,
        price_decimals=_places(row, "pair_decimals"),
        lot_decimals=_places(row, "lot_decimals"),
        ordermin=_amount(row, "ordermin"),
        costmin=_amount(row, "costmin"),
        tick_size=_amount(row, "tick_size"),
        status=_word(row, "status") or "online",
        asset_class=_word(row, "aclass_base") or "currency",
    )


def _row_of(pair: Pair) -> dict[str, object]:
    """Return what of a row makes a pair, so that it can be kept as text."""
    amounts = {"ordermin": pair.ordermin, "costmin": pair.costmin, "tick_size": pair.tick_size}
    row = {
        "altname": pair.altname,
        "wsname": pair.wsname,
        "base": pair.base,
        "quote": pair.quote,
        "pair_decimals": pair.price_decimals,
        "lot_decimals": pair.lot_decimals,
        "status": pair.status,
        "aclass_base": pair.asset_class,
        **{name: None if amount is None else plain(amount) for name, amount in amounts.items()},
    }
    return {name: value for name, value in row.items() if value is not None}


def _word(row: Mapping[Any, Any], name: str) -> str | None:
    value: Any = row.get(name)
    is_word = isinstance(value, str) and _NAME.fullmatch(value) is not None
    return (value.strip() or None) if is_word else None


def _places(row: Mapping[Any, Any], name: str) -> int | None:
    value = row.get(name)
    is_places = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 30
    return value if is_places else None


def _amount(row: Mapping[Any, Any], name: str) -> Decimal | None:
    try:
        amount = to_positive_decimal(row.get(name))
    except ValueError:
        return None
    return amount if amount <= _MOST_AMOUNT else None


def symbol_offline(pair: str) -> str | None:
    """Return the v2 symbol of `pair` as far as it is known without asking Kraken."""
    known = legacy_pair(pair)
    if known is not None:
        return known.symbol
    base, slash, quote = pair.strip().partition("/")
    if not (base and slash and quote) or "/" in quote:
        return None
    # The case stays as it is: AAPLx/USD is not AAPLX/USD.
    return f"{RENAMED.get(base, base)}/{RENAMED.get(quote, quote)}"
