"""What is kept for who comes later: digits as they came, and no book without its sum."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakenlink.relay.shelf import (
    CARRIED,
    BookCopy,
    Key,
    Latest,
    Number,
    PairsCopy,
    Shelf,
    key_of,
    read_frame,
    shelf_for,
    written,
)
from krakenlink.stream.book import Book
from krakenlink.stream.frames import read_frame as as_messages
from tests.kits.stream.book_kit import ASKS, BIDS, BTC, book_frame, snapshot, total

numbers = st.decimals(-(10**12), 10**12, allow_nan=False, allow_infinity=False).map(
    lambda number: f"{number:f}" if "." in f"{number:f}" else f"{number:f}.0"
)


def put(shelf: Shelf, *frames: str) -> None:
    """Put frames on a shelf, as the relay does."""
    for frame in frames:
        told = read_frame(frame)
        data = told["data"]
        for row in data if isinstance(data, list) else [data]:
            shelf.take(frame, told["type"], row)


def book_of(frame: str | None) -> Book:
    """Return the book that a reader makes of a snapshot."""
    assert frame is not None
    (update,) = as_messages(frame, 0.0)
    book = Book(25)
    assert not book.begin(update.bid_levels, update.ask_levels, update.checksum)  # type: ignore[union-attr]  # a book's
    return book


@given(numbers)
def test_number_is_written_with_the_digits_that_it_came_with(number: str) -> None:
    """Kraken sums them up."""
    frame = f'{{"a":[{{"b":{number}}}]}}'
    assert written(read_frame(frame)) == frame


@pytest.mark.parametrize(
    "text", ['{"a":5e-05}', '{"a":NaN}', '{"a":1E400}', '{"a":-0.0}', '{"\\u00e4\\"":null,"b":[]}',
             '{"a":true,"b":"1.50","c":12345678901234567890,"d":{}}']
)  # fmt: skip
def test_whatever_json_is_comes_out_as_it_went_in(text: str) -> None:
    """Text that looks like a number stays text."""
    assert written(read_frame(text)) == text
    assert not isinstance(read_frame('{"b":"1.50"}')["b"], Number)


@pytest.mark.parametrize("text", ["", "[1]", "5", "{", "[" * 100_000])
def test_what_is_no_object_is_no_frame(text: str) -> None:
    """In one kind of error."""
    with pytest.raises(ValueError, match=r".*"):
        read_frame(text)


def test_price_is_the_latest_as_it_came() -> None:
    """To the byte."""
    shelf = Latest()
    assert shelf.frame() is None
    odd = '{"channel" : "ticker","type":"update", "data":[{"symbol":"BTC/USD","last":5.10}]}'
    put(shelf, odd.replace("5.10", "4"), odd)
    assert shelf.frame() == odd


@pytest.mark.parametrize("channel", ["trade", "ohlc"])
def test_of_trades_and_candles_nothing_is_kept(channel: str) -> None:
    """REST tells those from before."""
    shelf = shelf_for(channel, 0)
    put(shelf, '{"type":"update","data":[{"symbol":"BTC/USD"}]}')
    assert shelf.frame() is None


def test_book_is_the_one_that_the_frames_made() -> None:
    """A reader sums the copy up as it would the original."""
    shelf = BookCopy(25)
    put(shelf, snapshot())
    assert book_of(shelf.frame()).texts(10)[:3] == book_of(snapshot()).texts(10)[:3]
    bids = {**BIDS, "49999.9": "0.50000000", "49999.8": "0.00000000"}
    change = {"49999.9": "0.50000000", "49999.8": "0.00000000"}
    left = {price: qty for price, qty in bids.items() if Decimal(qty)}
    put(shelf, book_frame(change, {}, total(left, ASKS), "update"))
    shown = book_of(shelf.frame()).texts(2)
    assert [level.price for level in shown.bids] == [Decimal("49999.9"), Decimal("49999.7")]
    assert '"timestamp":"2026-11-23T02:11:31.742648Z"' in str(shelf.frame())


def test_tiny_quantities_keep_their_digits() -> None:
    """No exponent, no lost zeros: the sum is over digits."""
    bids, asks = {"0.00001000": "5.00000000"}, {"0.00001001": "0.00000001"}
    shelf = BookCopy(10)
    put(shelf, snapshot(bids, asks))
    frame = str(shelf.frame())
    assert '"qty":0.00000001' in frame
    book_of(frame)


@pytest.mark.parametrize(
    "frame",
    [
        book_frame({"49999.9": "2.00000000"}, {}, 1, "update"),
        book_frame({"49999.9": '"x"'}, {}, 1, "update"),
        book_frame(BIDS, ASKS, 1),
    ],
)
def test_book_whose_sum_is_wrong_is_none_until_the_next_snapshot(frame: str) -> None:
    """The provider sees the same, and asks for it anew."""
    shelf = BookCopy(10)
    put(shelf, snapshot(), frame)
    assert shelf.frame() is None
    put(shelf, book_frame({}, {}, total(BIDS, ASKS), "update"))
    assert shelf.frame() is None
    put(shelf, snapshot())
    assert shelf.frame() is not None


@pytest.mark.parametrize("row", [{}, {"bids": 5, "asks": [1, "x"]}, {"bids": [{}]}])
def test_damaged_book_is_none(row: dict[str, object]) -> None:
    """And raises nothing."""
    shelf = BookCopy(10)
    shelf.take("", "snapshot", {"symbol": BTC, **row})
    assert shelf.frame() is None


def pairs(kind: str, **rows: object) -> str:
    """Return a frame of the list of pairs."""
    return json.dumps({"channel": "instrument", "type": kind, "data": rows})


def test_list_of_pairs_keeps_what_a_row_leaves_out() -> None:
    """Pair by pair, asset by asset; what is not told is not forgotten."""
    shelf = PairsCopy()
    put(shelf, pairs("update", pairs=[{"symbol": "A/USD", "status": "online"}]))
    assert shelf.frame() is None
    first = [{"symbol": "A/USD", "status": "online", "qty_min": 1.5}, {"symbol": "B/USD"}]
    put(shelf, pairs("snapshot", assets=[{"id": "A", "precision": 5}], pairs=first))
    whole = shelf.frame()
    assert whole is not None
    assert shelf.frame() is whole  # written once: it is long
    put(shelf, pairs("update", pairs=[{"symbol": "A/USD", "status": "delisted", "qty_min": None}]))
    told = json.loads(str(shelf.frame()))
    assert told["type"] == "snapshot"
    assert told["data"] == {
        "assets": [{"id": "A", "precision": 5}],
        "pairs": [{"symbol": "A/USD", "status": "delisted", "qty_min": 1.5}, {"symbol": "B/USD"}],
    }


def test_next_snapshot_takes_the_place_of_all() -> None:
    """A pair that is gone is gone."""
    shelf = PairsCopy()
    put(shelf, pairs("snapshot", pairs=[{"symbol": "A/USD"}]))
    put(shelf, pairs("snapshot", pairs=[{"symbol": "B/USD"}]))
    assert json.loads(str(shelf.frame()))["data"]["pairs"] == [{"symbol": "B/USD"}]


@pytest.mark.parametrize("rows", [5, [5], [{"symbol": 5}], [{}], {"a": 1}])
def test_row_without_a_name_is_left_out(rows: object) -> None:
    """And raises nothing."""
    shelf = PairsCopy()
    put(shelf, pairs("snapshot", pairs=rows))
    assert json.loads(str(shelf.frame()))["data"] == {"assets": [], "pairs": []}


def test_key_tells_what_a_subscription_is() -> None:
    """A depth makes no other one, an interval does; the list of pairs has no symbol."""
    assert key_of("book", BTC, {"depth": 100}) == key_of("book", BTC, {"depth": 10})
    assert key_of("ohlc", BTC, {"interval": 5}) != key_of("ohlc", BTC, {})
    assert key_of("ohlc", BTC, {"interval": []}) == key_of("ohlc", BTC, {"interval": 1})
    assert key_of("instrument", "None", {}) == Key("instrument", "")
    assert key_of("ticker", BTC, {"interval": 5}) == Key("ticker", BTC)


@pytest.mark.parametrize("channel", CARRIED)
def test_each_channel_has_a_shelf(channel: str) -> None:
    """Which is empty at first."""
    assert shelf_for(channel, 10).frame() is None
