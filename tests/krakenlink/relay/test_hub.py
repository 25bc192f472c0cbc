"""A relay's mind: who is answered what, when an epoch ends, and what is never published."""

from __future__ import annotations

import json

import pytest

from krakenlink.pairs import Symbol
from krakenlink.relay.hub import LIFETIME, Wish
from krakenlink.relay.packets import Packet, Word
from krakenlink.stream.events import Channel, subscribe_frame
from tests.kits.relay.hub_kit import (
    BTC,
    accepted,
    ask,
    asking,
    live_hub,
    open_hub,
    out,
    ticker,
    told,
)


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
