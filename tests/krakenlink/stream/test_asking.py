"""In which messages subscriptions are asked for, and which answers are meant for them."""

from __future__ import annotations

import pytest

from krakenlink.pairs import Symbol
from krakenlink.stream.events import (
    Event,
    SymbolRefused,
)
from krakenlink.stream.feed import FeedProtocol
from krakenlink.stream.settings import FeedSettings
from krakenlink.stream.states import (
    SubState,
)
from tests.kits.stream.feed_kit import (
    BTC,
    ETH,
    TICKER,
    TRADE,
    ack_frame,
    live_feed,
    opened_feed,
    price,
    sent,
    tell,
    ticker_frame,
)


def test_answer_without_req_id_is_matched_by_symbol_and_channel() -> None:
    """Servers that do not echo the number are understood all the same."""
    feed = opened_feed(BTC)
    feed.subscriptions.want(BTC, TRADE)
    feed.due(100.1)
    tell(feed, ack_frame(BTC, None), at=100.2)
    assert feed.subscriptions.by_key[TICKER, BTC].state is SubState.ACKED
    assert feed.subscriptions.by_key[TRADE, BTC].state is SubState.ASKED


@pytest.mark.parametrize("frame", [ack_frame(BTC, 99), ack_frame(ETH, 1), ack_frame(ETH, None)])
def test_answer_to_another_question_changes_nothing(frame: str) -> None:
    """A late ack of an older ask, or for a symbol that is not meant, proves nothing."""
    feed = opened_feed(BTC)
    assert tell(feed, frame, at=100.1) == []
    assert feed.subscriptions.tickers[BTC].state is SubState.ASKED


def test_refusal_that_names_no_symbol_is_isolated_by_halving() -> None:
    """One bad name among many is found by asking in smaller messages; the others go live."""
    feed = opened_feed(*(f"S{n}/USD" for n in range(7)), "BAD/USD")
    questions = [(1, [*feed.subscriptions.tickers])]
    asked = 0
    events: list[Event] = []
    while questions:
        asked += 1
        req_id, symbols = questions.pop()
        bad = "BAD/USD" in symbols
        frames = [ack_frame(None, req_id, "no")] if bad else [ack_frame(s, req_id) for s in symbols]
        events += tell(feed, *frames, at=100 + asked / 10)
        new = sent(feed, 100 + asked / 10)
        questions += [
            (m["req_id"], m["params"]["symbol"]) for m in new if m["method"] == "subscribe"
        ]
    assert [event.symbol for event in events if isinstance(event, SymbolRefused)] == ["BAD/USD"]
    states = [sub.state for sub in feed.subscriptions.tickers.values() if sub.symbol != "BAD/USD"]
    assert states == [SubState.ACKED] * 7
    assert asked <= 7


def test_rate_refusal_pauses_and_asks_again_for_the_unanswered_alone() -> None:
    """`Exceeded msg rate` costs a pause; what has its answer is left in peace."""
    feed = opened_feed(BTC, ETH)
    tell(feed, ack_frame(BTC, 1), '{"Error":"Exceeded msg rate"}', at=100.1)
    assert sent(feed, 101.0) == []
    (again,) = sent(feed, 101.2)
    assert again["params"]["symbol"] == [ETH]


def test_rate_refusal_again_doubles_the_pause_up_to_a_limit() -> None:
    """Somebody who is told twice to slow down waits longer, but not for ever."""
    feed = opened_feed(BTC, rate_pause=1.0, rate_pause_max=4.0)
    pauses = []
    now = 100.0
    for _ in range(4):
        tell(feed, '{"error":"Exceeded msg rate"}', at=now)
        start = now
        while not sent(feed, now):
            now += 0.25
            tell(feed, '{"channel":"heartbeat"}', at=now)
        pauses.append(now - start)
    assert pauses == [1.0, 2.0, 4.0, 4.0]


def test_rate_refusal_with_a_number_concerns_that_message_alone() -> None:
    """A refusal that names its message leaves the others waiting for their acks."""
    feed = opened_feed(BTC)
    feed.subscriptions.want(ETH, TICKER)
    feed.due(100.1)
    tell(feed, '{"error":"Exceeded msg rate","req_id":2}', at=100.2)
    assert feed.subscriptions.tickers[BTC].state is SubState.ASKED
    assert feed.subscriptions.tickers[ETH].state is SubState.WANTED
    tell(feed, '{"error":"Exceeded msg rate","req_id":77}', at=100.3)
    assert feed.subscriptions.tickers[BTC].state is SubState.ASKED


def test_ack_after_a_rate_refusal_of_another_message_is_still_good() -> None:
    """A subscription that was queued again by mistake takes its late ack and is not asked twice."""
    feed = opened_feed(BTC)
    tell(feed, ack_frame(BTC, 1, "Exceeded msg rate"), at=100.1)
    assert feed.subscriptions.tickers[BTC].state is SubState.WANTED
    feed.due(101.2)
    tell(feed, ack_frame(BTC, 2, "Already subscribed"), ticker_frame(), at=101.3)
    assert price(feed) == 2
    assert sent(feed, 102.0) == []


def test_two_thousand_symbols_go_out_in_few_paced_messages() -> None:
    """At most 100 symbols a message, ten messages at once, then ten a second; none twice."""
    names = [f"S{n}/USD" for n in range(2000)]
    feed = FeedProtocol(FeedSettings())
    for name in names:
        feed.subscriptions.want(Symbol(name), TICKER)
    feed.link.attempt(0.0)
    feed.opened(0.0)
    at_once = sent(feed, 0.0)
    later = [message for tenth in range(1, 30) for message in sent(feed, tenth / 10)]
    asked = [symbol for message in at_once + later for symbol in message["params"]["symbol"]]
    assert (len(at_once), len(later)) == (10, 10)
    assert asked == names


def test_subscribe_message_is_what_kraken_documents() -> None:
    """The ticker asks for trades as trigger and a snapshot, trades for no old ones."""
    feed = opened_feed()
    feed.subscriptions.want(BTC, TICKER)
    feed.subscriptions.want(BTC, TRADE)
    ticker, trade = sent(feed, 100.1)
    assert ticker == {
        "method": "subscribe",
        "params": {
            "channel": "ticker",
            "symbol": ["BTC/USD"],
            "event_trigger": "trades",
            "snapshot": True,
        },
        "req_id": 1,
    }
    assert trade["params"] == {"channel": "trade", "symbol": ["BTC/USD"], "snapshot": False}


def test_unasked_symbol_is_given_up_without_a_word() -> None:
    """What was never asked for on this connection needs no unsubscribe."""
    feed = opened_feed()
    feed.subscriptions.want(BTC, TICKER)
    feed.subscriptions.want(BTC, TRADE)
    feed.subscriptions.unwant(BTC, TICKER)
    feed.subscriptions.unwant(BTC, TRADE)
    assert sent(feed, 101.0) == []


def test_symbol_that_comes_back_is_left_first_and_asked_then() -> None:
    """Unsubscribed and wanted again in one breath: the order on the wire keeps the stream."""
    feed = live_feed()
    feed.subscriptions.unwant(BTC, TICKER)
    feed.subscriptions.want(BTC, TICKER)
    assert [message["method"] for message in sent(feed, 101.0)] == ["unsubscribe", "subscribe"]
