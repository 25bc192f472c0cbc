"""A relay's mind: who is answered what, when an epoch ends, and what is never published."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from book_kit import ASKS, BIDS, ack, book_frame, snapshot, total

from krakenlink.pairs import Symbol
from krakenlink.relay.hub import LIFETIME, Hub, Line, Wish
from krakenlink.relay.packets import Answers, Packet, Word
from krakenlink.stream.events import Channel, subscribe_frame

BTC = "BTC/USD"


def ask(reader: str, symbol: str = BTC, channel: Channel = Channel.TICKER, req_id: int = 9,
        method: str = "subscribe", param: int = 0) -> Word:  # fmt: skip
    """Return what a reader's feed would send Kraken."""
    text = subscribe_frame(method, channel, [Symbol(symbol)], req_id, "trades", param)
    return Word(reader, "ask", text=text)


def accepted(symbol: str = BTC, channel: str = "ticker") -> str:
    """Return Kraken's acknowledgement of the relay's own subscribe."""
    result = {"channel": channel, "symbol": symbol, "snapshot": True}
    return json.dumps({"method": "subscribe", "req_id": 1, "result": result, "success": True})


def ticker(last: str, symbol: str = BTC) -> str:
    """Return a price."""
    row = f'{{"symbol":"{symbol}","last":{last}}}'
    return f'{{"channel":"ticker","type":"update","data":[{row}]}}'


def accepted_book(depth: int = 10) -> str:
    """Return Kraken's acknowledgement of a book."""
    return ack(depth=depth)


def instruments(kind: str = "snapshot", **cells: object) -> str:
    """Return a row of the list of pairs."""
    data = {"assets": [], "pairs": [{"symbol": BTC, **cells}]}
    return json.dumps({"channel": "instrument", "type": kind, "data": data})


def open_hub(*readers: str, now: float = 100.0) -> Hub:
    """Return a hub whose connection has just opened and that knows `readers`."""
    hub = Hub("run", 3.0, 30.0)
    hub.opened(now)
    for reader in readers:
        hub.take(Word(reader, "hello", 1), now)
    out(hub, now)
    return hub


@dataclass
class Out:
    """What goes out at one moment, as readers have it."""

    told: list[Packet | Answers]

    def frames(self, reader: str) -> list[str]:
        """Return what `reader` gets, in order."""
        mine = [x for x in self.told if isinstance(x, Packet) or x.reader == reader]
        return [frame for message in mine for frame in message.items]

    @property
    def last(self) -> Packet:
        """The packet that ends it."""
        assert isinstance(self.told[-1], Packet)
        return self.told[-1]


def out(hub: Hub, now: float) -> Out:
    """Return what the hub publishes next."""
    return Out(hub.outgoing(now))


def told(sent: Out, reader: str) -> list[dict[str, Any]]:
    """Return what `reader` gets, read."""
    return [json.loads(frame) for frame in sent.frames(reader)]


def live_hub() -> Hub:
    """Return a hub with two readers, of whom the first has the price of one symbol."""
    hub = open_hub("a1", "b2")
    hub.take(ask("a1"), 100.0)
    hub.heard(100.0, [accepted(), ticker("50000.10")])
    out(hub, 100.0)
    return hub


def test_first_reader_has_kraken_asked_and_second_does_not() -> None:
    """One subscription, however many want it."""
    hub = open_hub("a1", "b2")
    hub.take(ask("a1"), 100.0)
    hub.take(ask("b2"), 100.0)
    assert list(hub.wishes) == [Wish("ticker", BTC, 0, is_wanted=True)]


def test_ack_of_kraken_s_goes_to_each_who_waits_under_its_own_number() -> None:
    """A reader knows its question by the number alone."""
    hub = open_hub("a1", "b2", "c3")
    hub.take(ask("a1", req_id=9), 100.0)
    hub.take(ask("b2", req_id=4), 100.0)
    hub.heard(100.0, [accepted()])
    packet = out(hub, 100.0)
    assert [answer["req_id"] for answer in told(packet, "a1")] == [9]
    assert [answer["req_id"] for answer in told(packet, "b2")] == [4]
    assert told(packet, "c3") == []
    assert told(packet, "a1")[0]["result"] == {"channel": "ticker", "symbol": BTC, "snapshot": True}


def test_later_reader_gets_ack_and_the_latest_price_at_once() -> None:
    """From what the relay has; the frame is as it came."""
    hub = live_hub()
    hub.heard(100.5, [ticker("50001.20")])
    out(hub, 100.5)
    hub.take(ask("b2", req_id=7), 100.6)
    packet = out(hub, 100.6)
    ack, _ = told(packet, "b2")
    assert (ack["success"], ack["req_id"], ack["method"]) == (True, 7, "subscribe")
    assert packet.frames("b2")[1] == ticker("50001.20")
    assert told(packet, "a1") == []


def test_snapshot_stands_before_what_moves_after_it() -> None:
    """An answer that came behind a newer price would take it back."""
    hub = live_hub()
    hub.take(ask("b2"), 100.5)
    hub.heard(100.5, [ticker("50001.20")])
    prices = [frame for frame in out(hub, 100.5).frames("b2") if "last" in frame]
    assert prices == [ticker("50000.10"), ticker("50001.20")]


def test_trades_are_answered_without_a_snapshot() -> None:
    """Old trades are asked for over REST."""
    hub = open_hub("a1", "b2")
    hub.take(ask("a1", channel=Channel.TRADE), 100.0)
    hub.heard(100.0, [accepted(channel="trade"), '{"channel":"trade","data":[]}'])
    out(hub, 100.0)
    hub.take(ask("b2", channel=Channel.TRADE), 100.0)
    assert len(told(out(hub, 100.0), "b2")) == 1


@pytest.mark.parametrize("is_late", [False, True])
def test_refusal_is_passed_on_word_for_word(is_late: bool) -> None:
    """To those who wait, and to those who ask later."""
    said = {"error": "Currency pair not supported NIX/USD", "method": "subscribe",
            "success": False, "symbol": "NIX/USD", "time_in": "x"}  # fmt: skip
    hub = open_hub("a1", "b2")
    hub.take(ask("a1", "NIX/USD", req_id=9), 100.0)
    hub.heard(100.0, [json.dumps(said | {"req_id": 77})])
    if is_late:
        out(hub, 100.0)
        hub.take(ask("a1", "NIX/USD", req_id=9), 101.0)
    assert told(out(hub, 101.0), "a1") == [said | {"req_id": 9}]


def test_rate_refusal_is_the_relay_s_own_affair() -> None:
    """The provider asks again, and no reader asked too fast."""
    hub = open_hub("a1")
    hub.take(ask("a1"), 100.0)
    refusal = {"error": "Exceeded msg rate", "method": "subscribe", "success": False, "symbol": BTC}
    hub.heard(100.0, [json.dumps(refusal), accepted()])
    assert [answer["success"] for answer in told(out(hub, 100.0), "a1")] == [True]


def test_channel_that_is_not_carried_is_refused_with_what_is() -> None:
    """Better than silence, which would look like a mute symbol."""
    hub = open_hub("a1")
    text = ask("a1").text.replace('"ticker"', '"level3"')
    hub.take(Word("a1", "ask", text=text), 100.0)
    (answer,) = told(out(hub, 100.0), "a1")
    assert answer["error"].endswith("ticker, trade, book, ohlc, instrument; no level3")
    assert (answer["success"], answer["symbol"], answer["req_id"]) == (False, BTC, 9)
    assert not hub.wishes


def test_frames_go_on_as_they_came_and_others_stay() -> None:
    """Prices, trades and the state of the engine; not what answers the relay itself."""
    hub = open_hub()
    odd = '{"channel" : "ticker", "data":[{"last":5.10, "symbol":"X"}]}'
    passed = [odd, '{"channel":"trade","data":[]}', '{"channel":"status","data":[]}']
    kept: list[str | bytes] = [
        '{"channel":"heartbeat"}',
        '{"method":"pong"}',
        accepted(),
        "[1]",
        "{",
        b"\xff",
    ]
    hub.heard(100.0, [*kept, *passed])
    assert out(hub, 100.0).last.items == passed


def test_leaving_is_answered_and_kraken_is_left_a_while_later() -> None:
    """Only by the last reader: who comes back at once, as after a gap, finds it still there."""
    hub = live_hub()
    hub.take(ask("b2"), 100.0)
    hub.wishes.clear()
    hub.take(ask("a1", method="unsubscribe"), 100.0)
    assert told(out(hub, 100.0), "a1")[0]["method"] == "unsubscribe"
    hub.take(Word("b2", "bye"), 110.0)
    hub.take(Word("c3", "hello", 1), 168.0)
    hub.sweep(110.0 + LIFETIME - 0.1)
    assert (hub.subscriptions, list(hub.wishes)) == (1, [])
    hub.take(ask("c3"), 169.0)
    assert [answer.get("success") for answer in told(out(hub, 102.0), "c3")] == [True, None]
    hub.sweep(110.0 + LIFETIME)
    assert not hub.wishes
    hub.take(Word("c3", "bye"), 180.0)
    hub.sweep(180.0 + LIFETIME)
    assert list(hub.wishes) == [Wish("ticker", BTC, 0, is_wanted=False)]
    assert hub.subscriptions == 0


def test_silent_reader_is_forgotten_after_its_lifetime() -> None:
    """Each word renews it; its wishes go with it, each after a while of its own."""
    hub = live_hub()
    hub.wishes.clear()
    hub.take(Word("b2", "alive", 2), 130.0)
    hub.sweep(100.0 + LIFETIME - 0.1)
    assert "a1" in hub.readers
    hub.sweep(100.0 + LIFETIME)
    assert set(hub.readers) == {"b2"}
    assert not hub.wishes
    hub.sweep(100.0 + 2 * LIFETIME)
    assert set(hub.readers) == set()
    assert list(hub.wishes) == [Wish("ticker", BTC, 0, is_wanted=False)]


def test_word_of_each_kind_renews_a_reader() -> None:
    """A question, too."""
    hub = live_hub()
    hub.take(ask("a1", "ETH/USD"), 150.0)
    hub.sweep(150.0 + LIFETIME - 0.1)
    assert set(hub.readers) == {"a1"}


def test_forgotten_reader_is_told_and_not_echoed() -> None:
    """It must ask anew, for nobody sees to its symbols."""
    hub = open_hub()
    hub.take(Word("a1", "alive", 5), 100.0)
    hub.take(Word("b2", "ask", text=ask("b2").text), 100.0)
    packet = out(hub, 100.0)
    assert packet.last.gone == ["a1", "b2"]
    assert packet.last.echo == {}
    assert out(hub, 100.0).last.gone == []


def test_latest_number_of_each_is_echoed_once() -> None:
    """Numbers that came before the last packet prove nothing of this one."""
    hub = open_hub("a1", "b2")
    for number in (2, 3):
        hub.take(Word("a1", "alive", number), 100.0)
    hub.take(Word("b2", "alive", 8), 100.0)
    assert out(hub, 100.0).last.echo == {"a1": 3, "b2": 8}
    assert out(hub, 100.0).last.echo == {}


def test_age_tells_how_long_kraken_is_silent() -> None:
    """Up to the bound; then there is no proof."""
    hub = open_hub()
    assert out(hub, 102.5).last.age == 2.5
    assert out(hub, 103.0).last.age is None


def test_what_was_taken_in_before_a_stop_is_not_published_after_it() -> None:
    """The clock is looked at last."""
    hub = live_hub()
    hub.heard(100.5, [ticker("1.0")])
    packet = out(hub, 104.0)
    assert packet.last.age is None
    assert packet.last.items == []


def test_frames_after_a_silence_as_long_as_death_prove_nothing() -> None:
    """They lay in the socket; only a new connection is known ground."""
    hub = live_hub()
    hub.heard(103.5, [ticker("1.0")])
    hub.heard(103.6, [ticker("2.0")])
    packet = out(hub, 103.6)
    assert packet.last.age is None
    assert packet.last.items == []
    hub.opened(104.0)
    assert out(hub, 104.0).last.age == 0.0


def test_lost_connection_takes_everything_with_it() -> None:
    """At that moment."""
    hub = live_hub()
    hub.heard(100.5, [ticker("1.0")])
    hub.lost()
    packet = out(hub, 100.5)
    assert (packet.last.age, packet.last.items) == (None, [])


def test_new_connection_is_a_new_epoch_with_nothing_known() -> None:
    """A price of the one before is no snapshot."""
    hub = live_hub()
    before = out(hub, 100.5).last.epoch
    hub.opened(101.0)
    packet = out(hub, 101.0)
    assert (packet.last.epoch != before, packet.last.seq) == (True, 1)
    hub.take(ask("b2"), 101.0)
    assert told(out(hub, 101.0), "b2") == []


def test_provider_that_asks_anew_distrusts_what_it_had() -> None:
    """Then no reader of it may go on with it; others have lost nothing."""
    hub = live_hub()
    before = out(hub, 100.5).last.epoch
    text = subscribe_frame("subscribe", Channel.TICKER, [Symbol(BTC)], 3, "trades")
    hub.sent(text)
    last = out(hub, 100.5).last
    assert (last.epoch, last.gone) == (before, ["a1"])
    hub.take(ask("b2"), 100.5)
    assert told(out(hub, 100.5), "b2") == []


def test_who_begins_anew_takes_nothing_more_in() -> None:
    """The very next packet says so, however many follow it at once."""
    hub = live_hub()
    hub.sent(asking(req_id=2))
    hub.heard(100.5, [ticker("2")])
    hub.take(ask("b2", method="unsubscribe"), 100.5)
    hub.heard(100.5, [ticker("3")])
    packets = [message for message in hub.outgoing(100.5) if isinstance(message, Packet)]
    assert len(packets) == 2
    assert packets[0].gone == ["a1"]


@pytest.mark.parametrize("text", ['{"method":"ping"}', None])
def test_first_asking_and_pings_are_no_news(text: str | None) -> None:
    """Or every new symbol would send all readers back to the start."""
    hub = live_hub()
    before = out(hub, 100.5).last.epoch
    asking = subscribe_frame("subscribe", Channel.TICKER, [Symbol("ETH/USD")], 3, "trades")
    hub.sent(text or asking)
    last = out(hub, 100.5).last
    assert (last.epoch, last.gone) == (before, [])


def test_packets_are_counted_without_a_gap() -> None:
    """By which a reader sees that one is missing."""
    hub = open_hub()
    first = out(hub, 100.0).last.seq
    assert [out(hub, 100.0).last.seq for _ in range(3)] == [first + 1, first + 2, first + 3]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"method":"subscribe"}', '{"method":1,"params":[]}']
)
def test_question_that_is_none_is_left_alone(text: str) -> None:
    """Whoever may publish questions cannot stop the relay with one."""
    hub = open_hub("a1")
    hub.take(Word("a1", "ask", text=text), 100.0)
    assert out(hub, 100.0).last.items == []


# --- several connections, and answers between the packets ----------------------------------------


def asking(channel: Channel = Channel.TICKER, req_id: int = 1, param: int = 0,
           symbols: tuple[str, ...] = (BTC,)) -> str:  # fmt: skip
    """Return what the relay's provider sends Kraken."""
    names = [Symbol(symbol) for symbol in symbols]
    return subscribe_frame("subscribe", channel, names, req_id, "trades", param)


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
