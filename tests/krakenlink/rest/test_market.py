"""REST's books: exact levels, and what is no book."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from krakenlink.errors import PriceUnavailable, ProtocolError
from krakenlink.pairs import legacy_pair
from krakenlink.rest.market import read_depth
from krakenlink.stream.book import Level, OrderBook

ROW: dict[str, Any] = {
    "bids": [["50000.10", "1.500", 1700000000], ["49999.90", "0.001", 1700000001]],
    "asks": [["50000.20", "2.000", 1700000002], ["50001.00", "3", 1700000003]],
}


def read(row: object, depth: int = 10, took: float = 0.5, name: str = "XBTUSD") -> OrderBook:
    """Return the book in a row of Depth."""
    return read_depth(name, legacy_pair(name), row, depth, (100.0, 100.0 + took))


def test_book_has_kraken_s_digits_and_the_age_of_its_question() -> None:
    """It was the present one at some moment since Kraken was asked."""
    book = read(ROW)
    assert book.bids == (
        Level(Decimal("50000.10"), Decimal("1.500")),
        Level(Decimal("49999.90"), Decimal("0.001")),
    )
    assert f"{book.asks[0].price} {book.asks[0].qty}" == "50000.20 2.000"
    assert (book.symbol, book.source, book.depth) == ("BTC/USD", "rest", 10)
    assert (book.at, book.proven_age, book.timestamp) == (100.5, 0.5, None)


def test_book_is_no_deeper_than_it_was_asked_for() -> None:
    """Whatever comes."""
    assert [len(side) for side in (read(ROW, 1).bids, read(ROW, 1).asks)] == [1, 1]


def test_book_of_an_unknown_pair_has_the_name_that_was_asked_by() -> None:
    """Its symbol is not known."""
    assert read(ROW, name="NEWUSD").symbol == "NEWUSD"


@pytest.mark.parametrize("side", ["bids", "asks"])
def test_empty_side_is_one(side: str) -> None:
    """Thin markets have them."""
    book = read({**ROW, side: []})
    assert (book.bids if side == "bids" else book.asks) == ()


@pytest.mark.parametrize("side", ["bids", "asks"])
@pytest.mark.parametrize(
    "levels",
    [
        *(None, 5, "x", {}.keys, [5], [["1"]], [[]], [["x", "1", 1]], [["0", "1", 1]]),
        *([["1", "0", 1]], [["-1", "1", 1]], [["NaN", "1", 1]], [[None, "1", 1]], [["1", [], 1]]),
    ],
)
def test_levels_that_cannot_be_read_are_no_book(side: str, levels: object) -> None:
    """Zero sizes among them: a level with nothing is none."""
    with pytest.raises(ProtocolError, match=f"Depth: the {side} of XBTUSD cannot be read"):
        read({**ROW, side: levels})


@pytest.mark.parametrize("row", [None, [], "x", 5, {}])
def test_row_that_is_none_is_no_book(row: object) -> None:
    """Nor is one without its sides."""
    with pytest.raises(ProtocolError, match="cannot be read"):
        read(row)


@pytest.mark.parametrize("side", ["bids", "asks"])
def test_levels_in_no_order_are_no_book(side: str) -> None:
    """Nobody knows which is the best; twice the same is in no order either."""
    for levels in (ROW[side][::-1], [ROW[side][0]] * 2):
        with pytest.raises(ProtocolError, match="are in no order"):
            read({**ROW, side: levels})


@pytest.mark.parametrize("ask", ["50000.10", "50000.00"])
def test_crossed_book_is_none(ask: str) -> None:
    """Nobody could trade on it."""
    with pytest.raises(ProtocolError, match="best bid of XBTUSD is not below its best ask"):
        read({**ROW, "asks": [[ask, "1", 1]]})


def test_answer_that_took_too_long_proves_nothing() -> None:
    """The machine slept, or the bytes came one by one."""
    assert read(ROW, took=30.0).proven_age == 30.0
    with pytest.raises(PriceUnavailable, match="took 31 s") as caught:
        read(ROW, took=31.0)
    assert (caught.value.pair, caught.value.age) == ("XBTUSD", 31.0)
