"""What the frames of books say: numbers as they were written, and damage that names its book."""

from __future__ import annotations

import json

import pytest

from krakenlink.stream.events import BookUpdate, Damaged, InstrumentUpdate, Message
from krakenlink.stream.frames import read_frame
from tests.kits.stream.book_kit import BTC, book_frame, snapshot


def update(frame: str | bytes) -> BookUpdate:
    """Return the one change of a book that a frame holds."""
    (message,) = read_frame(frame, 7.0)
    assert isinstance(message, BookUpdate)
    return message


def test_book_keeps_the_digits_that_were_written() -> None:
    """Kraken's sum is one of digits."""
    found = update(book_frame({"50000.10": "1.50000000"}, {"5e4": "5E-05"}, 7))
    assert [(x.price, x.qty) for x in found.bid_levels] == [("50000.10", "1.50000000")]
    assert [(x.price, x.qty) for x in found.ask_levels] == [("5e4", "5E-05")]
    assert (found.symbol, found.checksum, found.at) == (BTC, 7, 7.0)
    assert found.timestamp == "2026-11-23T02:11:31.742648Z"


def test_changes_are_told_as_exact_numbers() -> None:
    """For who reads events; a quantity of 0 takes its level away."""
    found = update(book_frame({"50000.10": "0"}, {"5e4": "5E-05"}, 7, "update"))
    assert [f"{price} {qty}" for price, qty in found.bids] == ["50000.10 0"]
    assert [f"{price:f} {qty:f}" for price, qty in found.asks] == ["50000 0.00005"]


@pytest.mark.parametrize(("kind", "is_snapshot"), [("snapshot", True), ("update", False)])
def test_snapshot_is_told_from_a_change(kind: str, is_snapshot: bool) -> None:
    """By Kraken's word for it; any other is a change, which needs a book before it."""
    assert update(book_frame({}, {}, 0, kind)).is_snapshot is is_snapshot


def test_whole_numbers_and_texts_are_numbers_too() -> None:
    """Kraken sends the first, and may send the second."""
    found = update(book_frame({"50000": "2"}, {'"50001.0"': '"3"'}, 0))
    assert [(x.price, x.qty) for x in found.bid_levels] == [(50000, 2)]
    assert [(x.price, x.qty) for x in found.ask_levels] == [("50001.0", "3")]


def test_large_snapshot_is_read() -> None:
    """A thousand levels of each side are beyond what is called a long frame."""
    side = {f"{n}.{n % 10}": f"{n}.00000001" for n in range(1, 1001)}
    found = update(snapshot(side, {f"{n}0.0": "1.00000000" for n in range(1, 1001)}))
    assert (len(found.bid_levels), len(found.ask_levels)) == (1000, 1000)


def test_several_books_in_one_frame_are_several_changes() -> None:
    """One message each."""
    frame = json.loads(book_frame({}, {}, 0))
    frame["data"] = [{**frame["data"][0], "symbol": symbol} for symbol in (BTC, "ETH/USD")]
    found = read_frame(json.dumps(frame), 1.0)
    assert [x.symbol for x in found if isinstance(x, BookUpdate)] == [BTC, "ETH/USD"]


@pytest.mark.parametrize(
    "row",
    [
        '"bids":null,"asks":[],"checksum":1',
        '"bids":[5],"asks":[],"checksum":1',
        '"bids":{},"asks":[],"checksum":1',
        '"bids":[],"asks":[{"price":NaN,"qty":1}],"checksum":1',
        '"bids":[],"asks":[],"checksum":NaN',
        '"bids":[],"asks":[],"timestamp":5',
        '"bids":[{"price":' + "9" * 5000 + ',"qty":1}],"asks":7',
    ],
)
def test_damaged_row_is_a_change_without_its_sum(row: str) -> None:
    """So that the book which it names ends: nobody knows what was in it."""
    frame = f'{{"channel":"book","type":"update","data":[{{"symbol":"{BTC}",{row}}}]}}'
    found = update(frame)
    assert (found.symbol, found.checksum, found.bid_levels) == (BTC, None, ())
    assert not found.is_snapshot


@pytest.mark.parametrize(
    "frame",
    [
        '{"channel":"book","type":"update","data":[]}',
        '{"channel":"book","type":"update"}',
        '{"channel":"book","type":"update","data":[{"bids":[],"asks":[],"checksum":1}]}',
        '{"channel":"book","type":"update","data":[{"symbol":5,"bids":[],"checksum":1}]}',
        '{"channel":"book","type":"update","data":[{"symbol":"","bids":7}]}',
        '{"channel":"book","type":"update","data":[{"symbol":[],"bids":7}]}',
    ],
)
def test_damage_that_names_no_book_is_counted(frame: str) -> None:
    """Nothing can be done about it, and nothing is raised."""
    (found,) = read_frame(frame, 1.0)
    assert isinstance(found, Damaged)


@pytest.mark.parametrize(
    "frame",
    [
        '{"channel":"book","type":"update","data":7}',
        '{"channel":"book","data":[7]}',
        '{"channel":"book","data":[[[]]],"type":[]}',
        '{"channel":"book","data":{"symbol":"BTC/USD"}}',
        '{"channel":"book"' + "[" * 5000,
    ],
)
def test_other_shapes_are_survived(frame: str) -> None:
    """Whatever comes is a message or several, and no error."""
    found: list[Message] = read_frame(frame, 1.0)
    assert all(isinstance(message, BookUpdate | Damaged) for message in found)


# --- candles ------------------------------------------------------------------------------------


@pytest.mark.parametrize("interval", ["0", "-0", "false", "-1"])
def test_candle_of_no_minutes_is_damage(interval: str) -> None:
    """And not a division by them, which would cost the connection."""
    frame = (
        f'{{"channel":"ohlc","type":"update","data":[{{"symbol":"BTC/USD","interval":{interval},'
        '"interval_begin":"2026-11-23T02:11:00Z","open":1.0,"high":2.0,"low":1.0,"close":1.5,'
        '"volume":3.0,"trades":2}]}'
    )
    assert [type(message) for message in read_frame(frame, 1.0)] == [Damaged]


# --- instruments -------------------------------------------------------------------------------


def instruments(data: object, kind: str = "snapshot") -> InstrumentUpdate:
    """Return what the one message of a frame of that channel says."""
    frame = json.dumps({"channel": "instrument", "type": kind, "data": data})
    (message,) = read_frame(frame, 7.0)
    assert isinstance(message, InstrumentUpdate)
    return message


PAIR = {"symbol": "A/B", "status": "online", "qty_min": 0.5, "price_precision": 2}


def test_instruments_are_an_object_and_no_list() -> None:
    """Unlike the data of all other channels."""
    found = instruments({"assets": [{"id": "A"}], "pairs": [PAIR]})
    assert [(x.symbol, x.status, str(x.qty_min)) for x in found.pairs] == [("A/B", "online", "0.5")]
    assert [x.id for x in found.assets] == ["A"]
    assert (found.is_snapshot, found.at, found.lost) == (True, 7.0, ())
    assert not instruments({"pairs": [PAIR]}, "update").is_snapshot


def test_damaged_pair_is_lost_and_the_others_are_not() -> None:
    """By its name."""
    found = instruments({"pairs": [{**PAIR, "qty_min": -1}, {**PAIR, "symbol": "C/D"}, {}]})
    assert [x.symbol for x in found.pairs] == ["C/D"]
    assert found.lost == ("A/B", "")


def test_damaged_asset_is_lost_and_the_others_are_not() -> None:
    """As a pair is: what was known of it before is not what Kraken says now."""
    found = instruments({"assets": [{"id": "A", "status": "not-so"}, {"id": "B"}, {}]}, "update")
    assert [x.id for x in found.assets] == ["B"]
    assert found.lost == ("A", "")


def test_two_megabytes_of_pairs_are_read() -> None:
    """More than Kraken has, in one frame."""
    rows = [{**PAIR, "symbol": f"T{n}/USD", "filler": "x" * 250} for n in range(6000)]
    frame = json.dumps({"channel": "instrument", "type": "snapshot", "data": {"pairs": rows}})
    assert len(frame) > 2_000_000
    (found,) = read_frame(frame, 1.0)
    assert isinstance(found, InstrumentUpdate)
    assert len(found.pairs) == 6000


@pytest.mark.parametrize(
    "data", ["[]", "7", '{"pairs":7}', '{"pairs":[7]}', '{"assets":{}}', "[{}]"]
)
def test_damaged_instruments_end_what_is_known(data: str) -> None:
    """Nobody knows what has changed; nothing is raised."""
    (found,) = read_frame(f'{{"channel":"instrument","type":"update","data":{data}}}', 1.0)
    assert isinstance(found, InstrumentUpdate)
    assert (found.pairs, found.lost) == ((), ("*",))
    assert not found.is_snapshot
