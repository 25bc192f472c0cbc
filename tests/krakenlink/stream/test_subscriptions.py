"""When the price of a symbol counts: promised, kept, refused, mute, distrusted."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from krakenlink.stream.events import (
    ChannelLive,
    FirstData,
    Resubscribed,
    SymbolDistrusted,
    SymbolMute,
    SymbolRefused,
    SymbolTrusted,
    Tick,
    Trades,
)
from krakenlink.stream.states import (
    SubState,
)
from tests.kits.stream.feed_kit import (
    BTC,
    ETH,
    TICKER,
    TRADE,
    ack_frame,
    beat,
    live_feed,
    opened_feed,
    price,
    sent,
    tell,
    ticker_frame,
)


def test_price_counts_after_its_ack_and_its_data() -> None:
    """Acknowledged alone is no price; the first data after it are, and are told."""
    feed = opened_feed(BTC)
    assert tell(feed, ack_frame(BTC, 1), at=100.1) == []
    assert price(feed) is None
    first, tick = tell(feed, ticker_frame(), at=100.2)
    assert first == FirstData(BTC, 100.2)
    assert isinstance(tick, Tick)
    assert (price(feed), feed.subscriptions.tickers[BTC].price) == (Decimal("2.0"), 2.0)


def test_price_before_its_ack_waits_for_it() -> None:
    """Data that overtake their ack count from the ack on, not before."""
    feed = opened_feed(BTC)
    assert tell(feed, ticker_frame(), at=100.1) == []
    assert price(feed) is None
    events = tell(feed, ack_frame(BTC, 1), at=100.2)
    assert [type(event) for event in events] == [FirstData, Tick]
    assert price(feed) == 2


def test_price_before_its_ack_may_belong_to_the_stream_that_was_left() -> None:
    """Given back and wanted again at once: what is still under way proves nothing new."""
    feed = live_feed()
    feed.subscriptions.unwant(BTC, TICKER)
    feed.subscriptions.want(BTC, TICKER)
    assert [message["method"] for message in sent(feed, 101.0)] == ["unsubscribe", "subscribe"]
    assert tell(feed, ticker_frame(last=3), ack_frame(BTC, 3), at=101.1) == []
    assert price(feed) is None
    tell(feed, ticker_frame(last=4), at=101.2)
    assert price(feed) == 4


def test_subscription_that_kraken_ends_is_asked_for_again() -> None:
    """An end that nobody asked for takes the price away at once; our own, late, takes none."""
    feed = live_feed()
    ended = {"method": "unsubscribe", "success": True}
    ended["result"] = {"channel": "ticker", "symbol": BTC}
    tell(feed, json.dumps(ended | {"req_id": 1}), at=101.0)
    assert price(feed) == 2
    tell(feed, json.dumps(ended), at=101.1)
    assert price(feed) is None
    assert sent(feed, 101.2)[-1]["method"] == "subscribe"
    tell(feed, ack_frame(BTC, 3), ticker_frame(last=5), json.dumps(ended), at=101.3)
    assert price(feed) == 5
    assert sent(feed, 101.4) == []


def test_distrusted_symbol_has_no_price_until_trusted() -> None:
    """An audit can take a symbol's price away whatever the stream says, and give it back."""
    feed = live_feed()
    assert feed.subscriptions.distrust(BTC, "it lies", 100.5) == [
        SymbolDistrusted(BTC, "it lies", 100.5)
    ]
    assert tell(feed, ticker_frame(last=5), at=101.0) == []
    assert price(feed) is None
    assert feed.patience(feed.subscriptions.tickers[BTC], 101.0) == 0
    latest = feed.subscriptions.tickers[BTC].latest
    assert feed.subscriptions.trust(BTC, 101.5) == [SymbolTrusted(BTC, 101.5), latest]
    assert price(feed) == 5
    assert feed.subscriptions.trust(BTC, 102.0) == []


def test_distrust_holds_over_a_new_subscription_and_unknown_symbols_are_no_error() -> None:
    """Asking anew does not make a lying symbol honest."""
    feed = opened_feed(BTC)
    feed.subscriptions.distrust(BTC, "it lies", 100.0)
    assert (
        feed.subscriptions.distrust(ETH, "it lies", 100.0)
        == feed.subscriptions.trust(ETH, 100.0)
        == []
    )
    assert tell(feed, ack_frame(BTC, 1), ticker_frame(), at=100.1) == [FirstData(BTC, 100.1)]
    feed.lost(101.0, "reset")
    assert feed.subscriptions.trust(BTC, 102.0) == [SymbolTrusted(BTC, 102.0)]
    assert price(feed) is None


def test_refused_symbol_is_told_once_in_krakens_words() -> None:
    """A refusal surfaces as an event of that symbol alone, and nobody waits for it any more."""
    feed = opened_feed(BTC, ETH)
    error = "Currency pair not supported BTC/USD"
    events = tell(feed, ack_frame(BTC, 1, error), ack_frame(ETH, 1), at=100.1)
    assert events == [SymbolRefused(BTC, "ticker", error, 100.1)]
    assert feed.patience(feed.subscriptions.tickers[BTC], 100.1) == 0
    assert feed.patience(feed.subscriptions.tickers[ETH], 100.1) > 0


def test_refused_symbol_is_asked_for_again_on_the_next_connection_in_silence() -> None:
    """A second refusal is no news, another reason is, and an acceptance ends it."""
    feed = opened_feed(BTC)
    tell(feed, ack_frame(BTC, 1, "no"), at=100.1)
    feed.lost(101.0, "reset")
    feed.link.attempt(101.0)
    feed.opened(102.0)
    assert sent(feed, 102.0)[0]["params"]["symbol"] == [BTC]
    assert feed.patience(feed.subscriptions.tickers[BTC], 102.0) == 0
    assert tell(feed, ack_frame(BTC, 2, "no"), at=102.1) == []
    feed.subscriptions.ask_again(BTC, TICKER)
    feed.due(102.2)
    assert len(tell(feed, ack_frame(BTC, 3, "never"), at=102.3)) == 1
    feed.subscriptions.ask_again(BTC, TICKER)
    feed.due(102.4)
    tell(feed, ack_frame(BTC, 4), ticker_frame(), at=102.5)
    assert price(feed) == 2


def test_refusal_without_words_still_has_some() -> None:
    """A refusal that gives no reason is a refusal, and says that it gave none."""
    feed = opened_feed(BTC)
    (event,) = tell(feed, '{"method":"subscribe","req_id":1,"symbol":"BTC/USD"}', at=100.1)
    assert isinstance(event, SymbolRefused)
    assert "without a reason" in event.error


def test_already_subscribed_counts_as_acknowledged() -> None:
    """The stream that is there already serves as well as a new one."""
    feed = opened_feed(BTC)
    tell(feed, ack_frame(BTC, 1, "Already subscribed"), ticker_frame(), at=100.1)
    assert price(feed) == 2


def test_trades_count_from_the_ack_and_are_never_mute() -> None:
    """A quiet market prints nothing: the trade channel needs no first data."""
    feed = opened_feed(BTC, channel=TRADE)
    row = {"symbol": BTC, "price": 1, "qty": 1, "trade_id": 1}
    tell(feed, ack_frame(BTC, 1), at=100.1)
    for second in range(101, 110):
        assert tell(feed, '{"channel":"heartbeat"}', at=float(second)) == []
        assert sent(feed, float(second)) == []
    events = tell(feed, json.dumps({"channel": "trade", "data": [row]}), at=110.0)
    assert [type(event) for event in events] == [Trades]


def test_mute_symbol_is_asked_again_once_and_then_given_up() -> None:
    """Acked, alive and no data for 3 s: unsubscribe and subscribe, then REST has to answer."""
    feed = opened_feed(BTC)
    tell(feed, ack_frame(BTC, 1), at=100.1)
    assert beat(feed, 100.5, 102.5) == []
    tell(feed, '{"channel":"heartbeat"}', at=103.0)
    leave, ask = sent(feed, 103.0)
    assert (leave["method"], ask["method"]) == ("unsubscribe", "subscribe")
    tell(feed, ack_frame(BTC, ask["req_id"]), at=103.1)
    assert beat(feed, 103.5, 105.5) == []
    assert beat(feed, 106.0, 106.0) == [SymbolMute(BTC, "ticker", 106.0)]
    assert feed.patience(feed.subscriptions.tickers[BTC], 106.0) == 0


def test_mute_symbol_lives_again_when_data_come() -> None:
    """Late data are data: a symbol that was given up streams again from then on."""
    feed = opened_feed(BTC)
    tell(feed, ack_frame(BTC, 1), at=100.1)
    beat(feed, 100.5, 103.0)
    tell(feed, ack_frame(BTC, 3), at=103.1)
    beat(feed, 103.5, 106.0)
    assert FirstData(BTC, 107.0) in tell(feed, ticker_frame(), at=107.0)
    assert price(feed) == 2


def test_symbol_without_an_ack_is_asked_again_and_then_given_up() -> None:
    """An answer that does not come is like muteness: it may have been lost on its way."""
    feed = opened_feed(BTC)
    beat(feed, 100.5, 102.5)
    tell(feed, '{"channel":"heartbeat"}', at=103.0)
    assert [message["method"] for message in sent(feed, 103.0)] == ["unsubscribe", "subscribe"]
    assert SymbolMute(BTC, "ticker", 106.0) in beat(feed, 103.5, 106.0)
    tell(feed, ticker_frame(), at=107.0)
    assert price(feed) is None


def test_mute_symbol_stays_unwaited_for_on_the_next_connection() -> None:
    """What was mute is asked for after a reconnect, and nobody waits for it until it speaks."""
    feed = opened_feed(BTC)
    beat(feed, 100.5, 106.0)
    feed.lost(107.0, "reset")
    feed.link.attempt(107.0)
    feed.opened(107.0)
    (ask,) = sent(feed, 107.0)
    tell(feed, ack_frame(BTC, ask["req_id"]), at=107.1)
    assert feed.patience(feed.subscriptions.tickers[BTC], 107.2) == 0
    tell(feed, ticker_frame(), at=107.3)
    assert price(feed) == 2


def test_mute_symbol_is_asked_for_anew_now_and_then() -> None:
    """Kraken's bad minute is not for ever: left and asked again, and nobody waits meanwhile."""
    feed = opened_feed(BTC, ETH, mute_retry_every=60.0)
    tell(feed, ack_frame(BTC, 1), ack_frame(ETH, 1), ticker_frame(ETH), at=100.1)
    beat(feed, 100.5, 103.0)
    tell(feed, ack_frame(BTC, 3), at=103.1)
    assert beat(feed, 103.5, 165.5) == [SymbolMute(BTC, "ticker", 106.0)]
    assert feed.next_due(165.5) == 166.0
    for moment in (166.0, 226.0):
        tell(feed, '{"channel":"heartbeat"}', at=moment)
        leave, ask = sent(feed, moment)
        assert (leave["method"], ask["method"]) == ("unsubscribe", "subscribe")
        assert leave["params"]["symbol"] == ask["params"]["symbol"] == [BTC]
        assert feed.patience(feed.subscriptions.tickers[BTC], moment) == 0
        tell(feed, ack_frame(BTC, ask["req_id"]), at=moment)
        assert beat(feed, moment, moment + 59.5) == []
    events = tell(feed, ticker_frame(), at=285.9)
    assert FirstData(BTC, 285.9) in events
    beat(feed, 286.0, 400.0)
    assert feed.subscriptions.tickers[BTC].asks == 4


def test_mute_symbol_can_be_left_alone_until_the_next_connection() -> None:
    """With 0 for the pace nothing is asked for anew."""
    feed = opened_feed(BTC, mute_retry_every=0.0)
    beat(feed, 100.5, 400.0)
    assert feed.subscriptions.tickers[BTC].state is SubState.MUTE
    assert feed.subscriptions.tickers[BTC].asks == 2


def test_mute_symbol_is_asked_for_anew_on_the_next_connection_too() -> None:
    """The pace begins again with each connection."""
    feed = opened_feed(BTC, mute_retry_every=60.0)
    beat(feed, 100.5, 120.0)
    feed.lost(120.0, "reset")
    feed.link.attempt(120.0)
    feed.opened(120.0)
    assert len(sent(feed, 120.0)) == 1
    beat(feed, 120.5, 179.5)
    assert feed.subscriptions.tickers[BTC].asks == 1
    tell(feed, '{"channel":"heartbeat"}', at=180.0)
    assert [m["method"] for m in sent(feed, 180.0)] == ["unsubscribe", "subscribe"]


@pytest.mark.parametrize("is_looked_at", [True, False])
def test_trades_are_kept_from_an_acknowledgement_on_once_somebody_has_looked(
    is_looked_at: bool,
) -> None:
    """Who looks now and then misses nothing of a new tape; who only listens has nothing kept."""
    feed = opened_feed(BTC, channel=TRADE)
    sub = feed.subscriptions.by_key[TRADE, BTC]
    sub.is_looked_at = is_looked_at
    tell(feed, ack_frame(BTC, 1), at=100.1)
    row = {"symbol": BTC, "price": 1, "qty": 1, "trade_id": 7}
    tell(feed, json.dumps({"channel": "trade", "data": [row]}), at=110.0)
    assert (list(sub.content.items), sub.content.last) == ([7] if is_looked_at else [], 7)


def test_trades_that_were_not_acknowledged_count_from_a_late_ack() -> None:
    """A trade subscription has no first data: asked anew and acknowledged, it is mute no more."""
    feed = opened_feed(BTC, channel=TRADE, mute_retry_every=60.0)
    assert beat(feed, 100.5, 165.5) == [SymbolMute(BTC, "trade", 106.0)]
    tell(feed, '{"channel":"heartbeat"}', at=166.0)
    _, ask = sent(feed, 166.0)
    events = tell(feed, ack_frame(BTC, ask["req_id"]), at=166.1)
    assert events == [Resubscribed(BTC, "trade", 166.1), ChannelLive(BTC, "trade", 166.1)]
    beat(feed, 166.5, 400.0)
    assert feed.subscriptions.by_key[TRADE, BTC].asks == 3


def test_market_without_a_last_price_is_mute_at_once() -> None:
    """Where Kraken knows no last price there is nothing to wait for, not even the 3 s."""
    feed = opened_feed(BTC)
    events = tell(feed, ack_frame(BTC, 1), ticker_frame(last=None), at=100.1)
    assert events == [SymbolMute(BTC, "ticker", 100.1)]
    tell(feed, ticker_frame(), at=100.2)
    assert price(feed) == 2


def test_rest_of_the_old_stream_does_not_prove_a_new_subscription() -> None:
    """Asked again because it was not trusted, a symbol needs data that follow the new ack."""
    feed = live_feed()
    assert feed.subscriptions.ask_again(BTC, TICKER)
    assert price(feed) is None
    tell(feed, ticker_frame(last=7), at=100.6)
    feed.due(100.7)
    tell(feed, ack_frame(BTC, 3), at=100.8)
    assert price(feed) is None
    feed.subscriptions.ask_again(BTC, TICKER)
    feed.due(100.8)
    tell(feed, ticker_frame(last=8), ack_frame(BTC, 5), at=100.8)
    assert price(feed) is None
    tell(feed, ticker_frame(last=9), at=100.9)
    assert price(feed) == 9
    assert not feed.subscriptions.ask_again(ETH, TICKER)


def test_last_reference_unsubscribes_and_no_earlier_one() -> None:
    """A symbol that two want stays until both have left."""
    feed = live_feed()
    feed.subscriptions.want(BTC, TICKER)
    assert not feed.subscriptions.unwant(BTC, TICKER)
    assert price(feed) == 2
    assert feed.subscriptions.unwant(BTC, TICKER)
    (leave,) = sent(feed, 101.0)
    assert (leave["method"], leave["params"]) == (
        "unsubscribe",
        {"channel": "ticker", "symbol": ["BTC/USD"]},
    )
    assert not feed.subscriptions.unwant(BTC, TICKER)
    answer = '{"method":"unsubscribe","success":false,"error":"Subscription Not Found","req_id":2}'
    assert tell(feed, answer, at=101.1) == []
