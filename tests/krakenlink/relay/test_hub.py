"""A relay's mind: who is answered what, when an epoch ends, and what is never published."""

from __future__ import annotations

import json
from typing import Any

import pytest

from krakenlink.pairs import Symbol
from krakenlink.relay.hub import LIFETIME, Hub, Wish
from krakenlink.relay.packets import Packet, Word, frames_for
from krakenlink.stream.events import Channel, subscribe_frame

BTC = "BTC/USD"


def ask(reader: str, symbol: str = BTC, channel: Channel = Channel.TICKER, req_id: int = 9,
        method: str = "subscribe") -> Word:  # fmt: skip
    """Return what a reader's feed would send Kraken."""
    text = subscribe_frame(method, channel, [Symbol(symbol)], req_id, "trades")
    return Word(reader, "ask", text=text)


def accepted(symbol: str = BTC, channel: str = "ticker") -> str:
    """Return Kraken's acknowledgement of the relay's own subscribe."""
    result = {"channel": channel, "symbol": symbol, "snapshot": True}
    return json.dumps({"method": "subscribe", "req_id": 1, "result": result, "success": True})


def ticker(last: str, symbol: str = BTC) -> str:
    """Return a price."""
    row = f'{{"symbol":"{symbol}","last":{last}}}'
    return f'{{"channel":"ticker","type":"update","data":[{row}]}}'


def open_hub(*readers: str, now: float = 100.0) -> Hub:
    """Return a hub whose connection has just opened and that knows `readers`."""
    hub = Hub("run", 3.0)
    hub.opened(now)
    for reader in readers:
        hub.take(Word(reader, "hello", 1), now)
    hub.packet(now)
    return hub


def told(packet: Packet, reader: str) -> list[dict[str, Any]]:
    """Return what `reader` gets of a packet."""
    return [json.loads(frame) for frame in frames_for(reader, packet.items)]


def live_hub() -> Hub:
    """Return a hub with two readers, of whom the first has the price of one symbol."""
    hub = open_hub("a1", "b2")
    hub.take(ask("a1"), 100.0)
    hub.heard(100.0, [accepted(), ticker("50000.10")])
    hub.packet(100.0)
    return hub


def test_first_reader_has_kraken_asked_and_second_does_not() -> None:
    """One subscription, however many want it."""
    hub = open_hub("a1", "b2")
    hub.take(ask("a1"), 100.0)
    hub.take(ask("b2"), 100.0)
    assert list(hub.wishes) == [Wish("ticker", BTC, is_wanted=True)]


def test_ack_of_kraken_s_goes_to_each_who_waits_under_its_own_number() -> None:
    """A reader knows its question by the number alone."""
    hub = open_hub("a1", "b2", "c3")
    hub.take(ask("a1", req_id=9), 100.0)
    hub.take(ask("b2", req_id=4), 100.0)
    hub.heard(100.0, [accepted()])
    packet = hub.packet(100.0)
    assert [answer["req_id"] for answer in told(packet, "a1")] == [9]
    assert [answer["req_id"] for answer in told(packet, "b2")] == [4]
    assert told(packet, "c3") == []
    assert told(packet, "a1")[0]["result"] == {"channel": "ticker", "symbol": BTC, "snapshot": True}


def test_later_reader_gets_ack_and_the_latest_price_at_once() -> None:
    """From what the relay has; the frame is as it came."""
    hub = live_hub()
    hub.heard(100.5, [ticker("50001.20")])
    hub.packet(100.5)
    hub.take(ask("b2", req_id=7), 100.6)
    packet = hub.packet(100.6)
    ack, _ = told(packet, "b2")
    assert (ack["success"], ack["req_id"], ack["method"]) == (True, 7, "subscribe")
    assert frames_for("b2", packet.items)[1] == ticker("50001.20")
    assert told(packet, "a1") == []


def test_snapshot_stands_before_what_moves_after_it() -> None:
    """An answer that came behind a newer price would take it back."""
    hub = live_hub()
    hub.take(ask("b2"), 100.5)
    hub.heard(100.5, [ticker("50001.20")])
    prices = [frame for frame in frames_for("b2", hub.packet(100.5).items) if "last" in frame]
    assert prices == [ticker("50000.10"), ticker("50001.20")]


def test_trades_are_answered_without_a_snapshot() -> None:
    """Old trades are asked for over REST."""
    hub = open_hub("a1", "b2")
    hub.take(ask("a1", channel=Channel.TRADE), 100.0)
    hub.heard(100.0, [accepted(channel="trade"), '{"channel":"trade","data":[]}'])
    hub.packet(100.0)
    hub.take(ask("b2", channel=Channel.TRADE), 100.0)
    assert len(told(hub.packet(100.0), "b2")) == 1


@pytest.mark.parametrize("is_late", [False, True])
def test_refusal_is_passed_on_word_for_word(is_late: bool) -> None:
    """To those who wait, and to those who ask later."""
    said = {"error": "Currency pair not supported NIX/USD", "method": "subscribe",
            "success": False, "symbol": "NIX/USD", "time_in": "x"}  # fmt: skip
    hub = open_hub("a1", "b2")
    hub.take(ask("a1", "NIX/USD", req_id=9), 100.0)
    hub.heard(100.0, [json.dumps(said | {"req_id": 77})])
    if is_late:
        hub.packet(100.0)
        hub.take(ask("a1", "NIX/USD", req_id=9), 101.0)
    assert told(hub.packet(101.0), "a1") == [said | {"req_id": 9}]


def test_rate_refusal_is_the_relay_s_own_affair() -> None:
    """The provider asks again, and no reader asked too fast."""
    hub = open_hub("a1")
    hub.take(ask("a1"), 100.0)
    refusal = {"error": "Exceeded msg rate", "method": "subscribe", "success": False, "symbol": BTC}
    hub.heard(100.0, [json.dumps(refusal), accepted()])
    assert [answer["success"] for answer in told(hub.packet(100.0), "a1")] == [True]


def test_channel_that_is_not_carried_is_refused_with_what_is() -> None:
    """Better than silence, which would look like a mute symbol."""
    hub = open_hub("a1")
    hub.take(ask("a1", channel=Channel.BOOK), 100.0)
    (answer,) = told(hub.packet(100.0), "a1")
    assert answer["error"] == "this relay carries ticker and trade, no book"
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
    assert hub.packet(100.0).items == passed


def test_leaving_is_answered_and_the_last_one_leaves_kraken() -> None:
    """Only the last."""
    hub = live_hub()
    hub.take(ask("b2"), 100.0)
    hub.wishes.clear()
    hub.take(ask("a1", method="unsubscribe"), 100.0)
    assert told(hub.packet(100.0), "a1")[0]["method"] == "unsubscribe"
    assert not hub.wishes
    hub.take(Word("b2", "bye"), 100.0)
    assert list(hub.wishes) == [Wish("ticker", BTC, is_wanted=False)]


def test_silent_reader_is_forgotten_after_its_lifetime() -> None:
    """And its wishes with it."""
    hub = live_hub()
    hub.wishes.clear()
    hub.take(Word("b2", "alive", 2), 130.0)
    hub.sweep(100.0 + LIFETIME - 0.1)
    assert "a1" in hub.readers
    hub.sweep(100.0 + LIFETIME)
    assert set(hub.readers) == {"b2"}
    assert list(hub.wishes) == [Wish("ticker", BTC, is_wanted=False)]


def test_forgotten_reader_is_told_and_not_echoed() -> None:
    """It must ask anew, for nobody sees to its symbols."""
    hub = open_hub()
    hub.take(Word("a1", "alive", 5), 100.0)
    hub.take(Word("b2", "ask", text=ask("b2").text), 100.0)
    packet = hub.packet(100.0)
    assert packet.gone == ["a1", "b2"]
    assert packet.echo == {}
    assert hub.packet(100.0).gone == []


def test_latest_number_of_each_is_echoed_once() -> None:
    """Numbers that came before the last packet prove nothing of this one."""
    hub = open_hub("a1", "b2")
    for number in (2, 3):
        hub.take(Word("a1", "alive", number), 100.0)
    hub.take(Word("b2", "alive", 8), 100.0)
    assert hub.has_news
    assert hub.packet(100.0).echo == {"a1": 3, "b2": 8}
    assert hub.packet(100.0).echo == {}
    assert not hub.has_news


def test_age_tells_how_long_kraken_is_silent() -> None:
    """Up to the bound; then there is no proof."""
    hub = open_hub()
    assert hub.packet(102.5).age == 2.5
    assert hub.packet(103.0).age is None


def test_what_was_taken_in_before_a_stop_is_not_published_after_it() -> None:
    """The clock is looked at last."""
    hub = live_hub()
    hub.heard(100.5, [ticker("1.0")])
    packet = hub.packet(104.0)
    assert packet.age is None
    assert packet.items == []


def test_frames_after_a_silence_as_long_as_death_prove_nothing() -> None:
    """They lay in the socket; only a new connection is known ground."""
    hub = live_hub()
    hub.heard(103.5, [ticker("1.0")])
    hub.heard(103.6, [ticker("2.0")])
    packet = hub.packet(103.6)
    assert packet.age is None
    assert packet.items == []
    hub.opened(104.0)
    assert hub.packet(104.0).age == 0.0


def test_lost_connection_takes_everything_with_it() -> None:
    """At that moment."""
    hub = live_hub()
    hub.heard(100.5, [ticker("1.0")])
    hub.lost()
    packet = hub.packet(100.5)
    assert (packet.age, packet.items) == (None, [])


def test_new_connection_is_a_new_epoch_with_nothing_known() -> None:
    """A price of the one before is no snapshot."""
    hub = live_hub()
    before = hub.packet(100.5).epoch
    hub.opened(101.0)
    packet = hub.packet(101.0)
    assert (packet.epoch != before, packet.seq) == (True, 1)
    hub.take(ask("b2"), 101.0)
    assert told(hub.packet(101.0), "b2") == []


def test_provider_that_asks_anew_distrusts_what_it_had() -> None:
    """Then no reader may go on with it."""
    hub = live_hub()
    before = hub.packet(100.5).epoch
    text = subscribe_frame("subscribe", Channel.TICKER, [Symbol(BTC)], 3, "trades")
    hub.sent(text)
    assert hub.packet(100.5).epoch != before
    hub.take(ask("b2"), 100.5)
    assert told(hub.packet(100.5), "b2") == []


@pytest.mark.parametrize("text", ['{"method":"ping"}', None])
def test_first_asking_and_pings_are_no_news(text: str | None) -> None:
    """Or every new symbol would send all readers back to the start."""
    hub = live_hub()
    before = hub.packet(100.5).epoch
    asking = subscribe_frame("subscribe", Channel.TICKER, [Symbol("ETH/USD")], 3, "trades")
    hub.sent(text or asking)
    assert hub.packet(100.5).epoch == before


def test_packets_are_counted_without_a_gap() -> None:
    """By which a reader sees that one is missing."""
    hub = open_hub()
    first = hub.packet(100.0).seq
    assert [hub.packet(100.0).seq for _ in range(3)] == [first + 1, first + 2, first + 3]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"method":"subscribe"}', '{"method":1,"params":[]}']
)
def test_question_that_is_none_is_left_alone(text: str) -> None:
    """Whoever may publish questions cannot stop the relay with one."""
    hub = open_hub("a1")
    hub.take(Word("a1", "ask", text=text), 100.0)
    assert hub.packet(100.0).items == []
