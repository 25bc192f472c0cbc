"""Books by law: what is summed up, what changes tell, and what each fault does to a frame."""

from __future__ import annotations

import json
import zlib
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_kraken.books import (
    Books,
    BookTeller,
    Side,
    book_frame,
    book_of,
    changes,
    checksum,
    depth_row,
    levels_from,
)
from fake_kraken.faults import Fault, Faults
from fake_kraken.market import Listing, default_pairs

AT = "2026-11-23T02:11:31.742648Z"

PRICES = st.integers(1, 10**7).map(lambda n: Decimal(n).scaleb(-1))
QUANTITIES = st.integers(1, 10**12).map(lambda n: Decimal(n).scaleb(-8))
SIDES = st.dictionaries(PRICES, QUANTITIES, max_size=14)


def market(price: str = "50000.0", key: str = "XXBTZUSD", symbol: str = "BTC/USD") -> Listing:
    """Return a market at a price."""
    return Listing(key, default_pairs()[0][key], Decimal(price), symbol)


def books_of(bids: Side, asks: Side) -> Books:
    """Return two sides, each with its best level first."""
    return dict(sorted(bids.items(), reverse=True)), dict(sorted(asks.items()))


def teller_with(*faults: Fault, depth: int = 10) -> tuple[Listing, BookTeller]:
    """Return a market, and a subscription to its book that these faults strike."""
    listing, on = market(), Faults()
    for fault in faults:
        on.switch_on(fault)
    return listing, BookTeller(listing, depth, on)


def told(frame: str) -> Any:
    """Return the one row of a frame, with exact numbers."""
    (row,) = json.loads(frame, parse_float=Decimal, parse_int=Decimal)["data"]
    return row


def levels(rows: list[dict[str, Decimal]]) -> Side:
    """Return the levels of a frame."""
    return {row["price"]: row["qty"] for row in rows}


def followed(known: Books, frame: str) -> Books:
    """Return what a client has after a frame: 0 takes a level away."""
    row = told(frame)
    bids, asks = (
        {p: q for p, q in {**old, **levels(row[name])}.items() if q}
        for old, name in zip(known, ("bids", "asks"), strict=True)
    )
    return books_of(bids, asks)


# --- sums ----------------------------------------------------------------------------------------


@given(SIDES, SIDES)
def test_sum_is_of_digits_without_point_and_leading_zeros(bids: Side, asks: Side) -> None:
    """The model takes whole numbers: their digits are just those of Kraken's guide."""
    books = books_of(bids, asks)
    digits = ""
    for side in (books[1], books[0]):
        for price, qty in list(side.items())[:10]:
            digits += f"{int(price * 10)}{int(qty * 10**8)}"
    assert checksum(books, 1) == zlib.crc32(digits.encode())


@given(SIDES, SIDES)
def test_sum_is_a_number_of_32_bits(bids: Side, asks: Side) -> None:
    """Without a sign; nothing at all is summed up as 0."""
    assert 0 <= checksum(books_of(bids, asks), 1) < 2**32
    assert checksum(({}, {}), 1) == 0


def test_sum_tells_the_sides_apart() -> None:
    """Asks come first."""
    one, other = {Decimal(1): Decimal(1)}, {Decimal(2): Decimal(2)}
    assert checksum((one, other), 1) != checksum((other, one), 1)


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("level", [9, 10])
def test_tenth_level_counts_and_the_eleventh_does_not(side: int, level: int) -> None:
    """On either side."""
    books = book_of(market(), 12)
    changed = [dict(one) for one in books]
    changed[side][list(changed[side])[level]] += 1
    is_same = checksum((changed[0], changed[1]), 1) == checksum(books, 1)
    assert is_same == (level == 10)


# --- changes -------------------------------------------------------------------------------------


@given(SIDES, SIDES, SIDES, SIDES)
def test_old_book_and_its_changes_make_the_new_one(b1: Side, a1: Side, b2: Side, a2: Side) -> None:
    """Whatever the two are; and nothing is told that has stayed."""
    old, new = books_of(b1, a1), books_of(b2, a2)
    for before, after, told_ in zip(old, new, changes(old, new), strict=True):
        assert {p: q for p, q in {**before, **told_}.items() if q} == after
        assert all(before.get(price) != qty for price, qty in told_.items())
    assert changes(new, new) == ({}, {})


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=12))
def test_client_who_follows_has_the_book_and_its_sum(path: list[int]) -> None:
    """Whatever way the price takes: each frame's sum is that of the book it leads to."""
    listing, teller = teller_with()
    frame = teller.snapshot(AT)
    known = followed(({}, {}), frame)
    for price in path:
        listing.record(Decimal(price), Decimal(1), 0.0)
        for frame in teller.updates(AT):
            known = followed(known, frame)
        assert known == book_of(listing, 10)
        assert told(frame)["checksum"] == checksum(known, 1)


@given(SIDES)
def test_levels_are_put_in_order_best_first(side: Side) -> None:
    """Bids fall, and asks rise."""
    rows = list(side.items())
    assert list(levels_from(rows, is_bid=True)) == sorted(side, reverse=True)
    assert list(levels_from(rows, is_bid=False)) == sorted(side)


# --- numbers -------------------------------------------------------------------------------------


@given(SIDES, SIDES, st.booleans())
def test_numbers_of_a_frame_are_exact_however_they_are_written(
    bids: Side, asks: Side, is_short: bool
) -> None:
    """With the digits of their pair, or as writers of other languages have them."""
    frame = book_frame(market(), (bids, asks), 5, "update", AT, is_short=is_short)
    row = told(frame)
    assert (levels(row["bids"]), levels(row["asks"])) == (bids, asks)
    assert (row["symbol"], row["checksum"], row["timestamp"]) == ("BTC/USD", 5, AT)


@pytest.mark.parametrize(
    ("number", "text"),
    [("50000.0", "50000"), ("0.00005", "0.00005"), ("0.00000050", "5e-7"), ("1.50", "1.5")],
)
def test_short_numbers_lose_their_zeros(number: str, text: str) -> None:
    """Who sums up the text of a number fails on these."""
    side = {Decimal(number): Decimal(1)}
    frame = book_frame(market(), (side, {}), 0, "update", AT, is_short=True)
    assert f'"price":{text},"qty":1}}' in frame


@pytest.mark.parametrize(
    ("qty", "text"),
    [("2", "2.000"), ("1.00000001", "1.000"), ("1", "1"), ("0.12345678", "0.12345678")],
)
def test_rest_cuts_quantities_above_one(qty: str, text: str) -> None:
    """To three decimals; a smaller one keeps all that it has, and the moment is whole seconds."""
    listing = market()
    listing.book = {Decimal(5): Decimal(qty)}, {}
    assert depth_row(listing, 10, 1700.9) == {"bids": [["5.0", text, 1700]], "asks": []}


# --- faults --------------------------------------------------------------------------------------


def test_lost_change_is_not_told_and_not_made_up_for() -> None:
    """The next frame tells what has changed since: whoever follows has another book and sum."""
    listing, teller = teller_with(Fault("book_lost_change", symbol="BTC/USD", count=1))
    known = followed(({}, {}), teller.snapshot(AT))
    listing.record(Decimal(49999), Decimal(1), 0.0)
    assert teller.updates(AT) == []
    listing.record(Decimal("49998.9"), Decimal(1), 0.0)
    (frame,) = teller.updates(AT)
    known = followed(known, frame)
    assert known != book_of(listing, 10)
    assert told(frame)["checksum"] == checksum(book_of(listing, 10), 1) != checksum(known, 1)


def test_book_of_a_market_that_nobody_asked_for_follows() -> None:
    """The same frame under another name, after the right one."""
    listing, teller = teller_with(Fault("unasked"))
    teller.snapshot(AT)
    listing.record(Decimal(49999), Decimal(1), 0.0)
    right, foreign = (told(frame) for frame in teller.updates(AT))
    assert (right["symbol"], foreign["symbol"]) == ("BTC/USD", "NOBODY/USD")
    assert {**foreign, "symbol": "BTC/USD"} == right


def test_crossed_book_has_its_best_bid_at_its_best_ask_and_is_summed_up_so() -> None:
    """A sum alone does not show it."""
    listing, teller = teller_with(Fault("book_crossed", count=1))
    row = told(teller.snapshot(AT))
    best_bid, best_ask = row["bids"][0], row["asks"][0]
    assert best_bid == {"price": best_ask["price"], "qty": 1}
    bids, asks = book_of(listing, 10)
    crossed = {best_ask["price"]: Decimal(1), **bids}
    assert levels(row["bids"]) == crossed
    assert row["checksum"] == checksum((crossed, asks), 1)
    assert "book_crossed" not in str(teller.updates(AT)), "it is over"


def test_wrong_sum_is_wrong_by_one_bit_and_the_levels_are_right() -> None:
    """For as long as it is on."""
    listing, teller = teller_with(Fault("book_wrong_sum", symbol="BTC/USD", count=1))
    row = told(teller.snapshot(AT))
    assert int(row["checksum"]) ^ 1 == checksum(book_of(listing, 10), 1)
    assert levels(row["bids"]) == book_of(listing, 10)[0]
    row = told(teller.snapshot(AT))
    assert row["checksum"] == checksum(book_of(listing, 10), 1)


def test_short_numbers_are_those_of_the_market_alone() -> None:
    """The sum is still that of all digits."""
    for symbol, text in (("BTC/USD", '"price":49999.9,'), ("ETH/USD", '"price":49999.9,')):
        listing, teller = teller_with(Fault("book_short_numbers", symbol=symbol))
        listing.book = {Decimal("49999.9"): Decimal("1.5")}, {}
        frame = teller.snapshot(AT)
        assert text in frame
        assert ('"qty":1.5}' in frame) == (symbol == "BTC/USD")
        assert told(frame)["checksum"] == checksum(listing.book, 1)


def test_level_that_is_none_stands_in_the_place_of_one_price() -> None:
    """The first, and once a frame; what was there is told under another name."""
    _, teller = teller_with(Fault("book_bad_level"))
    row = told(teller.snapshot(AT))
    assert row["bids"][0]["price"] == -1
    assert row["bids"][0]["was"] == Decimal("49999.9")
    prices = [level["price"] for level in row["bids"][1:] + row["asks"]]
    assert all(price > 0 for price in prices)
    assert len(prices) == 19


@pytest.mark.parametrize("name", ["book_crossed", "book_wrong_sum", "book_bad_level"])
def test_fault_of_another_market_does_nothing(name: str) -> None:
    """Each is of the market that it names."""
    _, teller = teller_with(Fault(name, symbol="ETH/USD"))
    _, sound = teller_with()
    assert teller.snapshot(AT) == sound.snapshot(AT)
