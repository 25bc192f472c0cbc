"""Markets as they were: what a late answer shows; and the rows that the exchange lists."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_kraken.engine import Engine
from fake_kraken.market import Listing, default_pairs, modern, price_from
from tests.kits.exchange.engine_kit import NOW, engine_at, place

PATHS = st.lists(st.integers(1, 10**6), min_size=1, max_size=15)


def traded(*prices: int) -> tuple[Any, Any]:
    """Return an exchange, and its bitcoin after a trade at each price, one a second."""
    engine: Any = engine_at("50000.0")
    listing = engine.listing("XBTUSD")
    for second, price in enumerate(prices):
        engine.trade(listing, Decimal(price), Decimal("0.5"), NOW + second)
    return engine, listing


@given(PATHS, st.integers(0, 15))
def test_past_of_a_market_is_that_of_one_that_ended_then(path: list[int], cut: int) -> None:
    """Price, day and trades; the trade of that very moment is in it."""
    cut = min(cut, len(path))
    _, whole = traded(*path)
    _, short = traded(*path[:cut])
    past = whole.as_of(int(NOW + cut - 1) * 10**9)
    for name in ("price", "opening", "high", "low", "volume", "trade_id", "traded_ns", "trades"):
        assert getattr(past, name) == getattr(short, name), name
    assert (past.key, past.symbol, past.row) == (whole.key, whole.symbol, whole.row)


def test_past_of_an_exchange_is_of_all_its_names_and_changes_nothing() -> None:
    """It is looked at by any spelling; the present goes on."""
    engine, listing = traded(60000, 40000)
    past = engine.as_of(NOW)
    for name in ("XXBTZUSD", "XBTUSD", "XBT/USD", "BTC/USD"):
        assert past.listing(name).price == 60000
    assert past.by_symbol["BTC/USD"].price == past.listings["XXBTZUSD"].price == 60000
    assert engine.as_of(NOW - 1).listing("XBTUSD").price == 50000
    assert engine.listing("XBTUSD") is listing
    assert listing.price == 40000


@given(PATHS)
def test_day_of_a_market_is_that_of_its_trades(path: list[int]) -> None:
    """High and low from where it stood, numbers from 1 on, moments that rise."""
    _, listing = traded(*path)
    assert listing.high == max(50000, *path)
    assert listing.low == min(50000, *path)
    assert (listing.opening, listing.price) == (50000, path[-1])
    assert listing.volume == Decimal("0.5") * len(path)
    assert [trade.trade_id for trade in listing.trades] == list(range(1, len(path) + 1))
    moments = [trade.at_ns for trade in listing.trades]
    assert moments == sorted(set(moments))
    last = Decimal(50000)
    for trade in listing.trades:
        assert trade.side == ("buy" if trade.price >= last else "sell")
        last = trade.price


def test_trade_is_returned_as_it_was_printed() -> None:
    """Whoever lets it happen tells it on."""
    engine = engine_at("50000.0")
    listing = engine.listing("XBTUSD")
    trade: Any = engine.trade(listing, Decimal(49000), Decimal("0.25"), NOW)
    assert trade is listing.trades[-1]
    assert (trade.price, trade.qty, trade.side, trade.trade_id) == (
        49000,
        Decimal("0.25"),
        "sell",
        1,
    )
    assert trade.at_ns == int(NOW) * 10**9


def test_index_stands_apart_until_it_is_joined_again() -> None:
    """Then it follows the last price as before."""
    engine, listing = traded(60000)
    assert listing.index_price == 60000
    engine.move_index(listing, Decimal(1), NOW)
    engine.trade(listing, Decimal(61000), Decimal(1), NOW)
    assert listing.index_price == 1
    engine.move_index(listing, None, NOW)
    assert listing.index_price == 61000


def test_index_that_moves_meets_stops_by_the_index_alone() -> None:
    """A stop by the last price stands where it stood."""
    engine, listing = traded(50000)
    by_index, by_last = place(engine, trigger="index"), place(engine)
    engine.move_index(listing, Decimal(45000), NOW + 9)
    assert (by_index.status, by_index.closed_at) == ("closed", NOW + 9)
    assert (by_last.status, by_last.stop) == ("open", 45000)


@pytest.mark.parametrize(
    ("price", "bid", "ask"), [("0.1", "0.1", "0.2"), ("0.2", "0.1", "0.3"), ("5", "4.9", "5.1")]
)
def test_quotes_are_a_tick_away_and_never_nothing(price: str, bid: str, ask: str) -> None:
    """Bid and ask."""
    assert engine_at(price).listing("XBTUSD").quotes == (Decimal(bid), Decimal(ask))


# --- the listed rows -----------------------------------------------------------------------------


@pytest.mark.parametrize("key", sorted(default_pairs()[0]))
def test_each_row_has_krakens_cells(key: str) -> None:
    """Numbers that belong together do; a starting price has the digits of its pair."""
    rows, prices = default_pairs()
    row = rows[key]
    assert row["tick_size"] == format(Decimal(1).scaleb(-row["pair_decimals"]), "f")
    assert (row["lot_decimals"], row["cost_decimals"], row["lot"]) == (8, 5, "unit")
    assert (row["margin_call"], row["margin_stop"]) == (80, 40)
    assert (row["leverage_buy"], row["leverage_sell"]) == ([], [])
    assert row["fees"] == [[0, 0.4], [10000, 0.35]]
    assert row["fees_maker"] == [[0, 0.25], [10000, 0.2]]
    assert row["fee_volume_currency"] == "ZUSD"
    assert Decimal(row["ordermin"]) > 0
    assert Decimal(row["costmin"]) > 0
    assert prices[key] % Decimal(row["tick_size"]) == 0
    assert row["aclass_quote"] == "currency"
    assert (row["aclass_base"] == "tokenized_asset") == row["base"].endswith("x")
    assert row.get("lot_multiplier", 1) == 1
    assert row.get("status", "online") == "online"


def test_each_market_starts_at_its_price_and_is_streamed_by_its_symbol() -> None:
    """All but the dark pool, which has no name there."""
    engine, (rows, prices) = Engine(), default_pairs()
    assert {key: listing.price for key, listing in engine.listings.items()} == prices
    streamed = {modern(row["wsname"]) for row in rows.values() if "wsname" in row}
    assert set(engine.by_symbol) == streamed
    assert len(streamed) == len(rows) - 1


def test_market_without_a_class_is_one_of_currencies() -> None:
    """As old rows of Kraken's are."""
    row = {"altname": "AB", "base": "A", "quote": "B", "pair_decimals": 2}
    listing = Listing("AB", row, Decimal(1), None)
    assert (listing.asset_class, listing.tick, listing.places) == ("currency", Decimal("0.01"), 2)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("XBT/USD", "BTC/USD"),
        ("ETH/XBT", "ETH/BTC"),
        ("XDG/XBT", "DOGE/BTC"),
        ("XDG", "DOGE"),
        ("XBTX/USD", "XBTX/USD"),
        ("ETH/USD", "ETH/USD"),
    ],
)
def test_two_names_are_modern_and_all_others_stay(name: str, expected: str) -> None:
    """Whole legs, on either side."""
    assert modern(name) == expected


@pytest.mark.parametrize("value", ["5", 5, Decimal(5), 5.0])
def test_price_is_taken_as_it_is_written(value: object) -> None:
    """A text, a number, or an exact one."""
    assert price_from(value) == 5
