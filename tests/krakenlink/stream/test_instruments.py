"""Pairs and assets as they change: what a row tells, and what it must not."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from krakenlink.pairs import Symbol, legacy_pair
from krakenlink.stream.book import Places
from krakenlink.stream.instruments import (
    Asset,
    Instrument,
    Instruments,
    places_of,
    read_asset,
    read_instrument,
)

ROW: dict[str, Any] = {
    "symbol": "BTC/USD",
    "base": "BTC",
    "quote": "USD",
    "status": "online",
    "qty_min": "5e-05",
    "qty_increment": "1e-08",
    "qty_precision": 8,
    "price_increment": "0.1",
    "price_precision": 1,
    "cost_min": "0.5",
    "cost_precision": 5,
    "marginable": True,
    "has_index": True,
    "tick_size": 0.1,
}
BTC = Instrument(
    Symbol("BTC/USD"),
    "BTC",
    "USD",
    "online",
    Decimal("0.00005"),
    Decimal("1E-8"),
    8,
    Decimal("0.1"),
    1,
    Decimal("0.5"),
    5,
)


BAD_AMOUNTS: list[object] = [0, -1, "x", "", "NaN", "Infinity", "1e400", [], {}, True, "1e16"]
BAD_PLACES: list[object] = [-1, 31, 10**9, "8", 8.0, True, []]
BAD_NAMES: list[object] = ["", None, 5, [], {}]
BAD_WORDS: list[object] = ["", "ON/LINE", "on line", 5, "x" * 41, "\x1b[2J", []]


def test_row_is_read_with_exact_numbers() -> None:
    """In every notation, and with more fields than are known."""
    found = read_instrument(ROW)
    assert found == BTC
    assert f"{found.qty_min:f}" == "0.00005"
    assert read_instrument({**ROW, "qty_min": 5, "cost_min": "10.00"}) == replace(
        BTC, qty_min=Decimal(5), cost_min=Decimal("10.00")
    )


@pytest.mark.parametrize("name", [name for name in ROW if name != "symbol"])
def test_what_is_not_told_is_none(name: str) -> None:
    """A row tells what has changed."""
    row = {key: value for key, value in ROW.items() if key != name}
    found = read_instrument(row)
    assert found is not None
    assert getattr(found, name, None) is None
    assert read_instrument({**ROW, name: None}) == found


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("qty_min", bad) for bad in BAD_AMOUNTS),
        *(("cost_min", bad) for bad in BAD_AMOUNTS),
        *(("price_increment", bad) for bad in BAD_AMOUNTS),
        *(("qty_precision", bad) for bad in BAD_PLACES),
        *(("price_precision", bad) for bad in BAD_PLACES),
        *(("status", bad) for bad in BAD_WORDS),
        *(("base", bad) for bad in BAD_WORDS),
        *(("symbol", bad) for bad in BAD_NAMES),
    ],
)
def test_row_with_something_that_cannot_be_is_none(name: str, value: object) -> None:
    """A minimum that somebody made up refuses good orders or lets bad ones through."""
    assert read_instrument({**ROW, name: value}) is None


def test_assets_are_read_likewise() -> None:
    """By their modern name."""
    row = {"id": "USD", "status": "enabled", "precision": 4, "precision_display": 2, "x": 1}
    assert read_asset(row) == Asset("USD", "enabled", 4, 2)
    assert read_asset({"id": "USD"}) == Asset("USD")
    for bad in ({}, {"id": ""}, {"id": 5}, {**row, "precision": -1}, {**row, "status": "A B"}):
        assert read_asset(bad) is None


# --- all of them -------------------------------------------------------------------------------


def test_change_tells_what_is_new_and_leaves_the_rest() -> None:
    """Fields that were not told stay as they are."""
    known = Instruments()
    known.take_in((BTC,), (Asset("BTC", "enabled", 10, 5),), ())
    known.take_in(
        (Instrument(Symbol("BTC/USD"), status="cancel_only"),), (Asset("BTC", "disabled"),), ()
    )
    assert known.pairs == {"BTC/USD": replace(BTC, status="cancel_only")}
    assert known.assets == {"BTC": Asset("BTC", "disabled", 10, 5)}


def test_pair_that_was_lost_is_not_known() -> None:
    """Until it is told anew; others stay."""
    known = Instruments()
    other = replace(BTC, symbol=Symbol("ETH/USD"))
    known.take_in((BTC, other), (), ())
    known.take_in((), (), ("BTC/USD", "", "NO/SUCH"))
    assert list(known.pairs) == ["ETH/USD"]
    known.take_in((BTC,), (), ())
    assert known.pairs["BTC/USD"] == BTC


def test_asset_that_was_lost_is_not_known() -> None:
    """Its state of before would be shown as proven; others stay."""
    known = Instruments()
    known.take_in((BTC,), (Asset("BTC", "enabled"), Asset("ETH")), ())
    known.take_in((), (), ("BTC", ""))
    assert known.assets == {"ETH": Asset("ETH")}
    assert list(known.pairs) == ["BTC/USD"]


def test_new_pair_is_known_at_once() -> None:
    """Kraken lists some every week."""
    known = Instruments()
    known.take_in((), (), ())
    known.take_in((BTC,), (), ())
    assert known.pairs["BTC/USD"] == BTC


# --- what is told of a pair --------------------------------------------------------------------


def test_streamed_facts_take_the_place_of_listed_ones() -> None:
    """Names stay; status, minimums and steps are those of now."""
    pair = legacy_pair("XBTUSD")
    assert pair is not None
    told = replace(BTC, status="cancel_only", qty_min=Decimal("0.01")).told_of(pair)
    assert (told.status, told.ordermin, told.costmin) == (
        "cancel_only",
        Decimal("0.01"),
        Decimal("0.5"),
    )
    assert (told.price_decimals, told.lot_decimals, told.tick_size) == (1, 8, Decimal("0.1"))
    assert (told.rest_key, told.symbol, told.base) == ("XXBTZUSD", "BTC/USD", pair.base)


def test_what_the_stream_does_not_tell_stays_as_it_was_listed() -> None:
    """None is not a fact."""
    pair = legacy_pair("XBTUSD")
    assert pair is not None
    listed = pair._replace(ordermin=Decimal(7), status="post_only")
    assert Instrument(Symbol("BTC/USD")).told_of(listed) == listed


@pytest.mark.parametrize(
    ("pair", "places"),
    [
        (BTC, Places(1, 8)),
        (None, None),
        (replace(BTC, price_precision=None), None),
        (replace(BTC, qty_precision=None), None),
        (replace(BTC, price_precision=0, qty_precision=0), Places(0, 0)),
    ],
)
def test_decimals_are_known_where_both_were_told(
    pair: Instrument | None, places: Places | None
) -> None:
    """Half of them would be a guess."""
    assert places_of(pair) == places
