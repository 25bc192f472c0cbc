"""What frames mean, and that none of them can do harm."""

from __future__ import annotations

import builtins
import json
import math
import pickle
from dataclasses import FrozenInstanceError, fields, replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from krakenlink.pairs import Symbol
from krakenlink.stream.events import (
    Ack,
    BookUpdate,
    Complaint,
    Damaged,
    Message,
    NoPrice,
    Pong,
    RateRefusal,
    Status,
    Tick,
    TradePrint,
    Trades,
)
from krakenlink.stream.frames import read_frame, read_frames, read_odd
from tests.kits.stream.book_kit import book_frame
from tests.kits.stream.feed_kit import (
    BTC,
    ETH,
    WIRE,
    ack_frame,
    opened_feed,
    ticker_frame,
)


def test_ticker_keeps_the_digits_on_the_wire() -> None:
    """A ticker frame becomes a tick with every digit, trailing zeros included."""
    (tick,) = read_frame(WIRE, 7.0)
    assert isinstance(tick, Tick)
    assert (str(tick.price), str(tick.bid), str(tick.ask)) == ("50000.10", "49999.9", "50000.20")
    assert (tick.symbol, tick.at, tick.timestamp) == (BTC, 7.0, "2026-11-23T02:11:31.742648Z")


NUMBERS = st.one_of(
    st.integers(-(10**40), 10**40).map(str),
    st.decimals(-(10**9), 10**9, places=8).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(json.dumps),
    st.sampled_from(["0", "-0", "0.0", "1e400", "5E-05", "1e-31", "9e30", "-1", "007", "1."]),
)


SYMBOLS = st.one_of(st.just("BTC/USD"), st.text(max_size=8), st.text(max_size=8).map(json.dumps))


@given(SYMBOLS, NUMBERS, NUMBERS, NUMBERS, NUMBERS, st.booleans())
def test_strict_decoder_reads_nothing_else_than_the_patient_one(
    symbol: str, bid: str, ask: str, last: str, volume: str, has_time: bool
) -> None:
    """What the hot path takes, Python's own decoder takes as the very same tick."""
    end = ',"timestamp":"2026"' if has_time else ""
    frame = (
        f'{{"channel":"ticker","type":"update","data":[{{"symbol":"{symbol}","bid":{bid},'
        f'"bid_qty":1.0,"ask":{ask},"ask_qty":2,"last":{last},"volume":{volume}{end}}}]}}'
    )
    said = read_frame(frame, 1.0)
    assert said == read_odd(frame, 1.0)
    assert shown(said) == shown(read_odd(frame, 1.0))


SOUND = st.sampled_from(["1.5", "49000.10", "5E-05", "2.0"])
ROWS = st.lists(
    st.builds(
        '{{"symbol":"{}","side":"buy","price":{},"qty":{},"ord_type":"limit",{}{}}}'.format,
        st.sampled_from(["BTC/USD", "BTC/USD", "BTC/USD", "ETH/USD", ""]),
        SOUND | SOUND | SOUND | NUMBERS,
        SOUND | SOUND | SOUND | NUMBERS,
        st.sampled_from([*(f'"trade_id":{n}' for n in ("7", "8", "true", "9.0")), '"x":1']),
        st.sampled_from(["", ',"timestamp":"2026"', ',"timestamp":5', ',"timestamp":null']),
    ),
    max_size=5,
)


@example(['{"symbol":"BTC/USD","price":1.5,"qty":-1.5,"trade_id":1}'], "update")
@example(
    [f'{{"symbol":"{name}/USD","price":1.5,"qty":2.5,"trade_id":1}}' for name in ("BTC", "ETH")],
    "snapshot",
)
@given(ROWS, st.sampled_from(["update", "snapshot"]))
def test_strict_decoder_reads_the_trades_that_the_patient_one_reads(
    rows: list[str], kind: str
) -> None:
    """Sound ones the short way and odd ones the long way are the very same trades."""
    frame = f'{{"channel":"trade","type":"{kind}","data":[{",".join(rows)}]}}'
    said = read_frame(frame, 1.0)
    assert said == read_odd(frame, 1.0)
    assert shown(said) == shown(read_odd(frame, 1.0))


def trades_frame(*prices: str) -> str:
    """Return a frame of trades at such prices, numbered from 1 on, as Kraken sends it."""
    rows = [
        f'{{"symbol":"BTC/USD","side":"sell","price":{price},"qty":0.50000000,'
        f'"ord_type":"market","trade_id":{number},"timestamp":"2026-11-23T02:11:31.742648Z"}}'
        for number, price in enumerate(prices, 1)
    ]
    return f'{{"channel":"trade","type":"update","data":[{",".join(rows)}]}}'


@pytest.mark.parametrize(
    ("frame", "kinds"),
    [
        (WIRE, [Tick]),
        (trades_frame("1.5", "1.50"), [Trades, TradePrint]),
        (book_frame({"1.5": "2.50"}, {}, 7), [BookUpdate]),
    ],
)
def test_what_is_read_the_short_way_is_frozen_and_like_any_other(
    frame: str, kinds: list[type]
) -> None:
    """It was made in another way, which shows in nothing."""
    (message,) = read_frame(frame, 1.0)
    assert isinstance(message, Tick | Trades | BookUpdate)
    found: list[Any] = [message, *getattr(message, "prints", ())[:1]]
    assert [type(one) for one in found] == kinds
    for one in found:
        made = replace(one)  # by its own class
        assert (made, hash(made), pickle.loads(pickle.dumps(one))) == (one, hash(one), one)
        for name in [field.name for field in fields(one)]:
            with pytest.raises(FrozenInstanceError):
                setattr(one, name, None)


@pytest.mark.parametrize("count", [1, 2, 4, 9, 30])
@pytest.mark.parametrize("digits", [20, 1000, 5000])
def test_trade_with_an_absurd_number_of_digits_is_none(count: int, digits: int) -> None:
    """However many trades come with it, each of which counts."""
    (*odd, trades) = read_frame(trades_frame(f"0.{'1' * digits}", *["1.5"] * count), 1.0)
    assert isinstance(trades, Trades)
    is_short = digits == 20
    assert len(trades.prints) == count + is_short
    assert odd == [] if is_short else odd == [Damaged("a trade that cannot be read")]


def test_frames_that_come_together_are_read_in_order_whatever_is_among_them() -> None:
    """Sound ones, damaged ones, bytes and those that say nothing."""
    frames: list[str | bytes] = [
        WIRE,
        b"\xff",
        trades_frame("1.5"),
        "{",
        '{"channel":"heartbeat"}',
        ack_frame(BTC, 1),
    ]
    said = read_frames(frames, 1.0)
    assert said == [message for frame in frames for message in read_frame(frame, 1.0)]
    assert [type(one) for one in said] == [Tick, Damaged, Trades, Damaged, Ack]


def shown(messages: list[Message]) -> list[str]:
    """Return messages with every digit: equal decimals may differ in their zeros."""
    return [repr(message) for message in messages]


def test_ticker_is_read_in_any_spelling_and_never_in_part() -> None:
    """Spaces, text for a number and another order are the same tick; half a frame is none."""
    usual = read_frame(WIRE, 1.0)
    assert isinstance(usual[0], Tick)
    row = json.loads(WIRE, parse_float=str)["data"][0]
    turned = json.dumps({"data": [dict(reversed(row.items()))], "channel": "ticker"})
    for odd in (f" {WIRE} ", WIRE.replace("50000.10", '"50000.10"'), turned):
        assert read_frame(odd, 1.0) == usual
    for odd in (WIRE[:-1], WIRE * 2, WIRE[1:]):
        assert isinstance(read_frame(odd, 1.0)[0], Damaged)


def test_number_of_no_importance_costs_no_price() -> None:
    """What JSON does not know, and data that are no list, are read as far as they make sense."""
    tick = read_frame(WIRE, 1.0)
    assert read_frame(WIRE.replace("1234.5", "NaN"), 1.0) == tick
    assert read_frame(WIRE.replace("[{", "{").replace("}]", "}"), 1.0) == tick
    assert read_frame(WIRE.replace("[{", "[null,3,{"), 1.0) == tick
    assert read_frame(WIRE.replace("1234.5", "1" * 400), 1.0) == tick
    assert read_frame(WIRE.replace("50000.20", "NaN"), 1.0) != tick


@pytest.mark.parametrize("spelling", [2, 2.5, "2.5", 5e-05, 1e-08, "1E+3", 123456789012345678])
def test_ticker_prices_may_be_ints_floats_text_or_scientific(spelling: object) -> None:
    """Every way in which Kraken is known to write a number is the number."""
    (message,) = read_frame(ticker_frame(last=spelling), 1.0)
    assert isinstance(message, Tick)
    assert message.price == Decimal(str(spelling))


@pytest.mark.parametrize(
    "last",
    [
        *("-1", "-0.5", "NaN", "Infinity", "-Infinity", "1e400", "1e31", "1e-31", "true", "[]"),
        *("{}", "1e99999999999999999999", '"NaN"', '"Infinity"', '"abc"', '""', '"1_000"', '"٣"'),
    ],
)
def test_price_that_is_not_finite_and_positive_is_dropped(last: str) -> None:
    """No spelling of an impossible price gets through, on either way of reading."""
    for frame in (WIRE.replace("50000.10", last), WIRE.replace("50000.10", f" {last}")):
        (message,) = read_frame(frame, 1.0)
        assert isinstance(message, Damaged)


@pytest.mark.parametrize("field", ["last", "bid", "volume"])
@pytest.mark.parametrize("digits", [1_000, 1_000_000])
def test_number_has_a_bound(field: str, digits: int) -> None:
    """Nobody trades at a price of a million digits, and none of them come into a file."""
    number = "50000." + "1" * digits
    row = {"symbol": BTC, "bid": 1.0, "ask": 3.0, "last": 2.0} | {field: 7.5}
    text = json.dumps({"channel": "ticker", "data": [row]}).replace("7.5", number)
    for message in (*read_frame(text, 1.0), *read_odd(text, 1.0)):
        if field == "last":
            assert message == Damaged("BTC/USD: last is not a price")
        else:
            bid = None if field == "bid" else Decimal("1.0")
            assert message == Tick(BTC, Decimal("2.0"), bid, Decimal("3.0"), 1.0, None)


def test_long_numbers_are_not_made_into_decimals(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is too long is not even read: the work does not grow with its digits."""
    made: list[int] = []

    def decimal(text: str) -> Decimal:
        made.append(len(text))
        return Decimal(text)

    monkeypatch.setattr("krakenlink.stream.frames.Decimal", decimal)
    read_frame(ticker_frame(bid=1.5).replace("1.5", "1." + "5" * 90_000), 1.0)
    assert made
    assert max(made) <= 100


def test_trades_of_a_long_frame_keep_their_digits() -> None:
    """A snapshot of many trades is long, and none of its numbers is."""
    row = {"symbol": BTC, "price": 50000.1, "qty": 5e-05, "trade_id": 7}
    text = json.dumps({"channel": "trade", "type": "snapshot", "data": [row] * 50})
    (trades,) = read_frame(text, 1.0)
    assert isinstance(trades, Trades)
    assert {(str(one.price), str(one.qty)) for one in trades.prints} == {("50000.1", "0.00005")}


@pytest.mark.parametrize("fields", [{"last": None}, {"last": 0}, {"last": 0.0}])
def test_ticker_without_a_last_price_says_so(fields: dict[str, Any]) -> None:
    """A market that did not trade within a day is told apart from a damaged frame."""
    assert read_frame(ticker_frame(**fields), 1.0) == [NoPrice(BTC)]
    assert read_frame(WIRE.replace(',"last":50000.10', ""), 1.0) == [NoPrice(BTC)]


@pytest.mark.parametrize(("bid", "ask"), [("3.5", "1.5"), ("2.5", "2.5"), ("1e-31", "2.5")])
def test_ticker_of_a_book_that_is_crossed_or_odd_keeps_its_price(bid: str, ask: str) -> None:
    """Kraken's engine may say so for a moment: only a side that is no price is left out."""
    (tick,) = read_frame(WIRE.replace("49999.9", bid).replace("50000.20", ask), 1.0)
    assert isinstance(tick, Tick)
    said = (None if bid == "1e-31" else Decimal(bid), Decimal(ask), Decimal("50000.10"))
    assert (tick.bid, tick.ask, tick.price) == said


def test_ticker_with_an_empty_side_has_no_bid_there() -> None:
    """A bid or ask of 0, or none at all, is None and costs nothing of the price."""
    (tick,) = read_frame(WIRE.replace("49999.9", "0.0"), 1.0)
    assert isinstance(tick, Tick)
    assert (tick.bid, tick.price) == (None, Decimal("50000.10"))
    (message,) = read_frame('{"channel":"ticker","data":[{"symbol":"A/B","last":1}]}', 1.0)
    assert message == Tick(Symbol("A/B"), Decimal(1), None, None, 1.0, None)


@pytest.mark.parametrize(
    "frame",
    [
        *(
            "",
            "{",
            "nonsense",
            "[]",
            "3",
            "null",
            "{}",
            '{"channel":5}',
            b"\xff\xfe",
            "[" * 100_000,
            '{"channel":"ticker","data":' + "[" * 100_000,
            '{"channel":"ticker","x":' + '{"y":' * 100_000,
        ),
        "[" * 100_000,
        *('{"channel":"ticker"}', '{"channel":"ticker","data":[{"last":1}]}', '{"a":' + "9" * 5000),
        *('{"channel":"trade","data":[{"symbol":"BTC/USD"}]}', '{"method":"dance"}'),
    ],
)
def test_frame_that_cannot_be_read_is_counted_as_damaged(frame: str | bytes) -> None:
    """Broken frames are dropped one by one, and never silently."""
    (message,) = read_frame(frame, 1.0)
    assert isinstance(message, Damaged)


@pytest.mark.parametrize(
    "frame", ['{"channel":"heartbeat"}', '{"channel":"ohlc","data":[]}', '{"channel":"status"}']
)
def test_frame_that_concerns_nobody_says_nothing(frame: str) -> None:
    """Heartbeats and channels that nobody reads are a sign of life and no more."""
    assert read_frame(frame, 1.0) == []


WORDS = st.sampled_from(
    [
        *("channel", "type", "data", "symbol", "last", "bid", "price", "qty", "trade_id"),
        *("method", "success", "result", "error", "req_id", "system", "warnings", "Error"),
    ]
)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=6),
    max_leaves=12,
)


KRAKENISH = st.builds(
    lambda base, more: base | more,
    st.sampled_from(
        [{"channel": c} for c in ("ticker", "trade", "status")]
        + [{"method": m} for m in ("subscribe", "unsubscribe", "pong")]
    ),
    st.dictionaries(WORDS, JSON, max_size=6),
)


@given(st.one_of(st.text(), st.binary(), JSON.map(json.dumps), KRAKENISH.map(json.dumps)))
def test_no_frame_raises_or_yields_an_impossible_price(frame: str | bytes) -> None:
    """Whatever arrives is read without an error, and prices are finite and positive."""
    feed = opened_feed(BTC, "", "0")
    if isinstance(frame, str):
        assert shown(read_frame(frame, 101.0)) == shown(read_odd(frame, 101.0))
    for message in read_frame(frame, 101.0):
        prices = [message.price] if isinstance(message, Tick) else []
        prices += [p.price for p in message.prints] if isinstance(message, Trades) else []
        assert all(p.is_finite() and p > 0 and math.isfinite(float(p)) for p in prices)
        feed.receive(message, 101.0)


def test_trades_of_one_frame_come_in_order_and_by_market() -> None:
    """A sweep that prints several trades is several prices; a bad print takes no other with it."""
    rows = [
        {"symbol": BTC, "side": "buy", "price": 2.50, "qty": 1e-08, "trade_id": 7},
        {"symbol": ETH, "side": "buy", "price": 9, "qty": 1, "trade_id": 3, "timestamp": "t"},
        {"symbol": BTC, "side": "buy", "price": -1, "qty": 1, "trade_id": 8},
        {"symbol": BTC, "side": "buy", "price": "2.60", "qty": 4, "trade_id": 9},
    ]
    frame = json.dumps({"channel": "trade", "type": "update", "data": rows})
    bad, btc, eth = read_frame(frame, 1.0)
    assert isinstance(bad, Damaged)
    assert isinstance(btc, Trades)
    assert [(p.trade_id, str(p.price)) for p in btc.prints] == [(7, "2.5"), (9, "2.60")]
    assert eth == Trades(ETH, (TradePrint(ETH, Decimal(9), Decimal(1), 3, "t"),), 1.0)


def test_trades_of_a_snapshot_say_so() -> None:
    """Old trades, sent at subscribing, are told apart from new ones."""
    rows = [{"symbol": BTC, "price": 1, "qty": 1, "trade_id": 1}]
    (trades,) = read_frame(json.dumps({"channel": "trade", "type": "snapshot", "data": rows}), 1.0)
    assert isinstance(trades, Trades)
    assert trades.is_snapshot


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (ack_frame(BTC, 7), Ack("subscribe", True, "ticker", BTC, 7)),
        (
            ack_frame(BTC, 7, "Currency pair not supported BTC/USD"),
            Ack("subscribe", False, None, BTC, 7, "Currency pair not supported BTC/USD"),
        ),
        (
            ack_frame(BTC, 7, "Already subscribed"),
            Ack("subscribe", True, None, BTC, 7, "Already subscribed"),
        ),
        (
            ack_frame(BTC, 7, success="yes"),
            Ack("subscribe", False, "ticker", BTC, 7),
        ),
        (
            '{"method":"subscribe","success":true,"req_id":1,"result":{"warnings":["w"]}}',
            Ack("subscribe", True, None, None, 1, "", ("w",)),
        ),
        (
            '{"error":"Symbol(s) not found","success":false,"req_id":true,"symbol":"A/B"}',
            Ack("subscribe", False, None, Symbol("A/B"), None, "Symbol(s) not found"),
        ),
        ('{"Error":"Exceeded msg rate"}', RateRefusal()),
        ('{"error":"Exceeded msg rate","req_id":4}', RateRefusal(4)),
        ('{"event":"error","errorMessage":"Exceeded msg rate"}', RateRefusal()),
        (ack_frame(BTC, 7, "Exceeded msg rate"), RateRefusal(7, BTC)),
        ('{"error":"Something else"}', Complaint("Something else")),
        (
            '{"method":"subscribe"}',
            Complaint("an answer that names neither a symbol nor a request"),
        ),
        ('{"method":"pong","req_id":1}', Pong()),
        ('{"channel":"status","type":"update","data":[{"system":"online"}]}', Status("online")),
    ],
)
def test_answer_is_read_in_every_shape_that_is_known(frame: str, message: object) -> None:
    """Acks, refusals, rate limits and status come in the shapes that Kraken was seen to send."""
    assert read_frame(frame, 1.0) == [message]


def test_frames_of_books_ask_once_for_the_room_that_reads_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A hundred of them come for each price, and to ask is a tenth of what one may cost."""
    level = '{"price":50000.1,"qty":1.0}'
    book = f'{{"symbol":"BTC/USD","bids":[{level}],"asks":[],"checksum":1}}'
    frame = f'{{"channel":"book","type":"update","data":[{book}]}}'
    before = read_frame(frame, 1.0)
    asked: list[str] = []
    real = builtins.__import__

    def count(name: str, *rest: Any) -> Any:
        asked.append(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", count)
    told = [read_frame(frame, 1.0) for _ in range(5)]
    monkeypatch.undo()
    assert (told, asked) == ([before] * 5, [])
