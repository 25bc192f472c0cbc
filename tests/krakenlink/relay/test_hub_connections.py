"""A relay with several connections: whose proof, whose answer, and what a later reader gets."""

from __future__ import annotations

import json

import pytest

from krakenlink.relay.hub import Hub, Line, Wish
from krakenlink.relay.packets import Answers, Packet, Word
from krakenlink.stream.events import Channel
from tests.kits.relay.hub_kit import (
    BTC,
    accepted,
    accepted_book,
    ask,
    asking,
    instruments,
    live_hub,
    open_hub,
    out,
    ticker,
    told,
)
from tests.kits.stream.book_kit import ASKS, BIDS, ack, book_frame, snapshot, total


def refused(error: str, **more: object) -> str:
    """Return a refusal of Kraken's."""
    return json.dumps({"method": "subscribe", "success": False, "error": error, **more})


def book_hub() -> Hub:
    """Return a hub with a reader of a book, and one that has asked for nothing."""
    hub = open_hub("a1", "b2")
    hub.take(ask("a1", channel=Channel.BOOK, param=10), 100.0)
    hub.sent(asking(Channel.BOOK, param=10))
    hub.heard(100.0, [accepted_book(), snapshot()])
    out(hub, 100.0)
    return hub


def test_answer_stands_between_the_frames_where_it_belongs() -> None:
    """In a channel of its own, behind the packet with what was before it."""
    hub = live_hub()
    hub.heard(100.1, [ticker("1")])
    hub.take(ask("b2"), 100.1)
    hub.heard(100.1, [ticker("2")])
    first, answers, last = hub.outgoing(100.1)
    assert isinstance(first, Packet)
    assert isinstance(answers, Answers)
    assert isinstance(last, Packet)
    assert (first.items, last.items) == ([ticker("1")], [ticker("2")])
    assert (answers.reader, answers.behind, answers.items[1]) == ("b2", first.seq, ticker("1"))
    assert last.seq == first.seq + 1


def test_answers_of_one_reader_travel_together() -> None:
    """A hundred symbols are asked for in one message."""
    hub = live_hub()
    for symbol in (BTC, "ETH/USD"):
        hub.take(ask("b2", symbol, method="unsubscribe"), 100.1)
    hub.take(ask("a1", "SOL/USD", method="unsubscribe"), 100.1)
    messages = hub.outgoing(100.1)
    assert [m.reader for m in messages if isinstance(m, Answers)] == ["b2", "a1"]


def test_later_reader_of_a_book_gets_the_relay_s_copy() -> None:
    """With Kraken's sum, as it is after the last change."""
    hub = book_hub()
    bids = {**BIDS, "49999.9": "7.00000000"}
    hub.heard(100.1, [book_frame({"49999.9": "7.00000000"}, {}, total(bids, ASKS), "update")])
    out(hub, 100.1)
    hub.take(ask("b2", channel=Channel.BOOK, req_id=3, param=10), 100.2)
    answer, first = told(out(hub, 100.2), "b2")
    assert (answer["success"], answer["req_id"], answer["result"]["depth"]) == (True, 3, 10)
    assert (first["type"], first["data"][0]["checksum"]) == ("snapshot", total(bids, ASKS))
    assert first["data"][0]["bids"][0] == {"price": 49999.9, "qty": 7.0}


def test_book_before_its_acknowledgement_goes_out_behind_it() -> None:
    """Once, to those who wait."""
    hub = open_hub("a1")
    hub.take(ask("a1", channel=Channel.BOOK, param=10), 100.0)
    hub.heard(100.0, [snapshot()])
    assert told(out(hub, 100.0), "a1") == []
    hub.heard(100.0, [accepted_book()])
    answer, first = told(out(hub, 100.0), "a1")
    assert (answer["success"], first["type"]) == (True, "snapshot")


def test_deeper_book_is_wished_for_in_the_place_of_the_shallower() -> None:
    """One reference at the provider; who had the shallower begins anew once it is asked for."""
    hub = book_hub()
    hub.wishes.clear()
    hub.take(ask("b2", channel=Channel.BOOK, param=100), 100.1)
    deeper, shallower = hub.wishes
    assert deeper == Wish("book", BTC, 100, is_wanted=True)
    assert shallower == Wish("book", BTC, 10, is_wanted=False)
    hub.sent(asking(Channel.BOOK, 2, 100))
    assert out(hub, 100.1).last.gone == ["a1"]  # and not who waits for it
    hub.take(ask("a1", channel=Channel.BOOK, param=10), 100.2)
    hub.heard(100.2, [accepted_book(100), snapshot()])
    sent = out(hub, 100.2)
    assert told(sent, "b2")[0]["result"]["depth"] == 100
    answer, first = told(sent, "a1")[:2]
    assert (answer["result"]["depth"], first["type"]) == (100, "snapshot")


def test_depth_that_kraken_refuses_is_refused_again_without_a_question() -> None:
    """Each would send all readers back to the start."""
    hub = book_hub()
    hub.take(ask("b2", channel=Channel.BOOK, param=100), 100.1)
    hub.sent(asking(Channel.BOOK, 2, 100))
    hub.heard(100.1, [refused("Subscription depth not supported", symbol=BTC, req_id=2)])
    hub.sent(asking(Channel.BOOK, 3, 10))
    hub.heard(100.1, [accepted_book(), snapshot()])
    out(hub, 100.1)
    hub.wishes.clear()
    hub.take(ask("b2", channel=Channel.BOOK, req_id=5, param=100), 100.2)
    (answer,) = told(out(hub, 100.2), "b2")
    assert (answer["error"], answer["req_id"]) == ("Subscription depth not supported", 5)
    assert not hub.wishes
    hub.take(ask("b2", channel=Channel.BOOK, req_id=6, param=10), 100.2)
    assert told(out(hub, 100.2), "b2")[0]["success"]


def test_each_interval_of_candles_is_a_subscription() -> None:
    """With its acknowledgement and no first data: REST tells those."""
    hub = open_hub("a1", "b2")
    for interval in (1, 5):
        hub.take(ask("a1", channel=Channel.OHLC, req_id=interval, param=interval), 100.0)
    assert [wish.param for wish in hub.wishes] == [1, 5]
    result = {"channel": "ohlc", "symbol": BTC, "interval": 5, "snapshot": True}
    hub.heard(100.0, [json.dumps({"method": "subscribe", "success": True, "result": result})])
    (answer,) = told(out(hub, 100.0), "a1")
    assert (answer["req_id"], answer["result"]["interval"]) == (5, 5)
    candle = '{"channel":"ohlc","type":"update","data":[{"symbol":"BTC/USD","interval":5}]}'
    hub.heard(100.0, [candle, candle.replace(":5", ":1")])
    assert out(hub, 100.0).last.items == [candle]
    hub.take(ask("b2", channel=Channel.OHLC, param=5), 100.0)
    assert len(told(out(hub, 100.0), "b2")) == 1


def test_interval_and_depth_that_kraken_does_not_have_are_its_first() -> None:
    """A reader checks its own; whoever else asks cannot stop the relay with one."""
    hub = open_hub("a1")
    for channel in (Channel.OHLC, Channel.BOOK):
        hub.take(ask("a1", channel=channel, param=7), 100.0)
    assert [(wish.channel, wish.param) for wish in hub.wishes] == [("ohlc", 1), ("book", 10)]


def pairs_hub() -> Hub:
    """Return a hub with a reader of the list of pairs."""
    hub = open_hub("a1", "b2")
    hub.take(ask("a1", "", Channel.INSTRUMENT), 100.0)
    hub.opened(100.0, Line.PAIRS)
    hub.sent(asking(Channel.INSTRUMENT, symbols=()), Line.PAIRS)
    ok = json.dumps({"method": "subscribe", "success": True, "req_id": 1,
                     "result": {"channel": "instrument", "snapshot": True}})  # fmt: skip
    hub.heard(100.0, [ok, instruments(status="online", qty_min=5e-05)], Line.PAIRS)
    out(hub, 100.0)
    return hub


def test_list_of_pairs_is_whole_for_a_later_reader() -> None:
    """With what has changed since."""
    hub = pairs_hub()
    assert list(hub.wishes) == [Wish("instrument", "", 0, is_wanted=True)]
    hub.heard(100.1, [instruments("update", status="cancel_only")], Line.PAIRS)
    assert len(out(hub, 100.1).last.items) == 1
    hub.take(ask("b2", "", Channel.INSTRUMENT), 100.2)
    answer, first = told(out(hub, 100.2), "b2")
    assert answer["success"]
    assert first["data"]["pairs"] == [{"symbol": BTC, "status": "cancel_only", "qty_min": 5e-05}]


def test_each_connection_has_a_proof_of_its_own() -> None:
    """Prices are none the older for a list that is on its way for seconds, nor the reverse."""
    hub = pairs_hub()
    hub.heard(102.0, [])
    last = out(hub, 104.0).last
    assert (last.age, last.pairs_age) == (2.0, 4.0)
    assert out(hub, 101.0).last.pairs_age == 1.0
    assert out(open_hub(), 100.0).last.pairs_age is None


def test_lost_list_of_pairs_is_lost_for_its_readers_alone() -> None:
    """They begin anew, and wait for the next one; prices go on."""
    hub = pairs_hub()
    hub.lost(Line.PAIRS)
    last = out(hub, 100.5).last
    assert (last.age, last.pairs_age, last.gone) == (0.5, None, ["a1"])
    hub.take(Word("c3", "hello", 1), 100.6)
    hub.take(ask("c3", "", Channel.INSTRUMENT), 100.6)
    assert told(out(hub, 100.6), "c3") == []
    assert out(hub, 100.6).last.gone == []


def test_silent_connection_of_the_pairs_is_lost_after_its_own_time() -> None:
    """Ten times the time of prices, for its messages are long."""
    hub = pairs_hub()
    for now in range(101, 131):
        hub.heard(float(now), [])
        last = out(hub, float(now)).last
        assert last.gone == ([] if now < 130 else ["a1"])


def test_frame_on_the_wrong_connection_is_none() -> None:
    """Its proof would be the other's."""
    hub = pairs_hub()
    hub.take(ask("a1"), 100.1)
    hub.heard(100.1, [instruments("update")])
    hub.heard(100.1, [accepted().replace("ticker", "trade"), ticker("1")], Line.PAIRS)
    assert told(out(hub, 100.1), "a1") == []


def test_mute_symbol_that_is_asked_for_anew_disturbs_nobody() -> None:
    """Nobody has had anything of it that could be wrong."""
    hub = open_hub("a1")
    hub.take(ask("a1"), 100.0)
    hub.sent(asking())
    hub.heard(100.0, [accepted()])
    out(hub, 100.0)
    hub.sent(asking(req_id=2))
    assert out(hub, 100.0).last.gone == []


@pytest.mark.parametrize("channel", [Channel.TRADE, Channel.OHLC])
def test_trades_that_are_asked_for_anew_have_a_gap(channel: Channel) -> None:
    """Whoever had them misses some."""
    hub = open_hub("a1", "b2")
    hub.take(ask("a1", channel=channel, param=1), 100.0)
    result = {"channel": channel.value, "symbol": BTC, "interval": 1}
    hub.heard(100.0, [json.dumps({"method": "subscribe", "success": True, "result": result})])
    out(hub, 100.0)
    hub.sent(asking(channel, 2, 1))
    assert out(hub, 100.0).last.gone == ["a1"]


def test_refusal_is_of_what_its_number_asked_for() -> None:
    """A price is not refused with the book of the same symbol."""
    hub = open_hub("a1")
    hub.take(ask("a1", req_id=4), 100.0)
    hub.take(ask("a1", channel=Channel.BOOK, req_id=5, param=10), 100.0)
    hub.sent(asking(req_id=1))
    hub.sent(asking(Channel.BOOK, 2, 10))
    hub.heard(100.0, [refused("No books today", symbol=BTC, req_id=2)])
    assert [answer["req_id"] for answer in told(out(hub, 100.0), "a1")] == [5]


def test_refusal_of_many_that_names_none_waits_for_each_alone() -> None:
    """The provider asks for each to find the bad one."""
    hub = open_hub("a1")
    hub.take(ask("a1", "X/USD"), 100.0)
    hub.take(ask("a1", "Y/USD"), 100.0)
    hub.sent(asking(req_id=1, symbols=("X/USD", "Y/USD")))
    hub.heard(100.0, [refused("Bad", req_id=1)])
    assert told(out(hub, 100.0), "a1") == []
    hub.sent(asking(req_id=2, symbols=("X/USD",)))
    hub.heard(100.0, [refused("Bad", req_id=2)])
    assert [answer["error"] for answer in told(out(hub, 100.0), "a1")] == ["Bad"]


@pytest.mark.parametrize("req_id", [[], {}, "x", None, True])
def test_odd_number_of_an_answer_is_none(req_id: object) -> None:
    """Whatever stands there."""
    hub = open_hub("a1")
    hub.take(ask("a1"), 100.0)
    hub.heard(100.0, [refused("Bad", symbol=BTC, req_id=req_id)])
    assert [answer["error"] for answer in told(out(hub, 100.0), "a1")] == ["Bad"]


def test_subscription_that_stands_already_is_acknowledged() -> None:
    """As the feed takes it."""
    hub = open_hub("a1")
    hub.take(ask("a1"), 100.0)
    hub.sent(asking(req_id=1))
    hub.heard(100.0, [refused("Already subscribed", symbol=BTC, req_id=1), ticker("1")])
    answer, first = told(out(hub, 100.0), "a1")
    assert (answer["success"], answer["req_id"], first["channel"]) == (True, 9, "ticker")


def test_questions_of_a_long_connection_are_forgotten_some_day() -> None:
    """A thousand of them have long been answered."""
    hub = open_hub("a1")
    hub.take(ask("a1"), 100.0)
    hub.sent(asking(req_id=1))
    for req_id in range(2, 1002):
        hub.sent(asking(req_id=req_id, symbols=("ETH/USD",)))
    hub.heard(100.0, [refused("Bad", req_id=2), refused("Worse", req_id=1)])
    assert [answer["error"] for answer in told(out(hub, 100.0), "a1")] == ["Worse"]


def test_figures_tell_of_proof_and_subscriptions() -> None:
    """For whoever watches the relay."""
    hub = live_hub()
    assert (len(hub.readers), hub.subscriptions) == (2, 1)
    assert hub.proven_at(101.0) == 100.0
    assert hub.proven_at(103.0) is None


@pytest.mark.parametrize(
    "text",
    ['{"method":"subscribe","params":{"channel":"ticker","symbol":5}}',
     '{"method":"subscribe","params":[]}', '{"method":[],"params":{"channel":{},"symbol":[[]]}}',
     '{"method":"subscribe","params":{"channel":"book","symbol":[{}],"depth":[]}}',
     '{"method":"subscribe","params":{"channel":"ohlc","symbol":"X","interval":{}}}']
)  # fmt: skip
def test_odd_question_stops_nobody(text: str) -> None:
    """Whoever may ask could else end the relay with one word."""
    hub = open_hub("a1")
    hub.take(Word("a1", "ask", text=text), 100.0)
    assert isinstance(out(hub, 100.0).last, Packet)


@pytest.mark.parametrize("depth", ["100", [], None, -1, 10**9])
def test_odd_depth_in_an_acknowledgement_is_the_one_that_was_asked_for(depth: object) -> None:
    """A later reader of the same depth is answered all the same."""
    hub = open_hub("a1", "b2")
    hub.take(ask("a1", channel=Channel.BOOK, param=10), 100.0)
    hub.heard(100.0, [ack(depth=depth), snapshot()])
    out(hub, 100.0)
    hub.take(ask("b2", channel=Channel.BOOK, param=10), 100.0)
    assert told(out(hub, 100.0), "b2")[0]["success"]
