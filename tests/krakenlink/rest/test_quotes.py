"""Rows of Ticker: a price of this pair and this moment, or none."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakenlink.errors import PriceUnavailable
from krakenlink.pairs import Pair, Symbol
from krakenlink.rest.quotes import only_row, read_quote, row_for, row_of

BTC = Pair("XXBTZUSD", "XBTUSD", "XBT/USD", Symbol("BTC/USD"), "XXBT", "ZUSD")
ROW = {"a": ["50001.0", "1"], "b": ["49999.0", "1"], "c": ["50000.10", "0.1"]}


def test_row_becomes_a_quote_as_old_as_its_question() -> None:
    """Digits stay as on the wire, and the age counts from before the request was sent."""
    quote = read_quote("btc-usd", BTC, ROW, 100.0, 100.25)
    assert (quote.pair, quote.symbol, quote.source) == ("btc-usd", "BTC/USD", "rest")
    assert [str(n) for n in (quote.price, quote.bid, quote.ask)] == [
        "50000.10",
        "49999.0",
        "50001.0",
    ]
    assert (quote.at, quote.proven_age, quote.timestamp) == (100.25, 0.25, None)


def test_row_without_bid_and_ask_still_has_a_price() -> None:
    """What was not told is None, and the symbol of an unknown pair is None, too."""
    quote = read_quote("ODD", None, {"c": ["7"]}, 0.0, 0.0)
    assert (quote.price, quote.bid, quote.ask, quote.symbol) == (Decimal(7), None, None, None)


@pytest.mark.parametrize(
    "row", [None, [], "x", {}, {"c": []}, {"c": "50000"}, {"c": ["0"]}, {"c": ["NaN"]}, {"c": 5}]
)
def test_damaged_row_is_no_price(row: object) -> None:
    """A price that cannot be read is not guessed."""
    with pytest.raises(PriceUnavailable, match="holds no price"):
        read_quote("BTC/USD", BTC, row, 0.0, 0.0)


def test_answer_that_took_too_long_is_no_price() -> None:
    """After half a minute nobody knows whether it still holds; just before, it does."""
    assert read_quote("BTC/USD", BTC, ROW, 0.0, 30.0).proven_age == 30.0
    with pytest.raises(PriceUnavailable, match="took 31 s") as caught:
        read_quote("BTC/USD", BTC, ROW, 0.0, 31.0)
    assert caught.value.age == 31.0


@pytest.mark.parametrize("key", ["XXBTZUSD", "XBTUSD", "XBT/USD", "BTC/USD"])
def test_row_is_found_under_any_name_of_its_pair(key: str) -> None:
    """The key of a row follows the spelling that was asked by."""
    assert row_of({"XETHZUSD": {}, key: ROW}, BTC) is ROW
    assert row_for(BTC, {key: ROW}) is ROW


def test_row_of_another_pair_is_none() -> None:
    """One row alone is not proof that it is this pair's, where its names are known."""
    assert row_for(BTC, {"XETHZUSD": ROW}) is None
    assert row_for(None, {"XETHZUSD": ROW}) is ROW


@pytest.mark.parametrize("rows", [None, [], "x", {}, {"A": ROW, "B": ROW}])
def test_anything_but_one_row_is_none(rows: Any) -> None:
    """Of two rows nobody knows which one was asked for."""
    assert only_row(rows) is None
    assert row_for(None, rows) is None
    assert row_for(BTC, rows) is None


@given(st.recursive(st.none() | st.text() | st.floats(), st.lists), st.sampled_from("abc"))
def test_any_row_is_a_positive_price_or_the_one_error(cell: object, field: str) -> None:
    """No damage raises anything else, and no quote is zero or less."""
    try:
        quote = read_quote("BTC/USD", BTC, {**ROW, field: cell}, 0.0, 0.0)
    except PriceUnavailable:
        return
    assert quote.price > 0
    assert all(n is None or n > 0 for n in (quote.bid, quote.ask))
