"""The link and the subscriptions together."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakenlink.stream.events import (
    FeedBack,
    FeedClosed,
    FeedLive,
    FeedStale,
    Resubscribed,
    SystemState,
    Tick,
)
from krakenlink.stream.feed import FeedProtocol
from krakenlink.stream.frames import read_frames
from krakenlink.stream.settings import FeedSettings
from krakenlink.stream.states import (
    FeedState,
)
from tests.kits.stream.feed_kit import (
    BTC,
    ETH,
    TICKER,
    ack_frame,
    live_feed,
    opened_feed,
    price,
    sent,
    tell,
    ticker_frame,
)


def test_later_prices_replace_it_and_are_told_each() -> None:
    """Every tick reaches the listeners, the latest is the one that counts."""
    feed = live_feed()
    events = tell(feed, ticker_frame(last=3), ticker_frame(last=4), at=101.0)
    assert [event.price for event in events if isinstance(event, Tick)] == [3, 4]
    assert price(feed) == 4
    assert feed.subscriptions.ticks == 3


AMONG_PRICES = {
    "a price of a stranger": ticker_frame("SOL/USD"),
    "a first price": ticker_frame(ETH),
    "an answer": ack_frame(ETH, 1),
    "a state": '{"channel":"status","data":[{"system":"post_only"}]}',
    "trades": '{"channel":"trade","data":[{"symbol":"BTC/USD","price":1.5,"qty":2,"trade_id":1}]}',
    "no price": ticker_frame(last=None),
    "damage": "{",
}


@pytest.mark.parametrize("name", AMONG_PRICES)
def test_mere_prices_are_taken_in_up_to_what_is_none(name: str) -> None:
    """What may change anything else is left for its own way, with all that comes behind it."""
    feed = opened_feed(BTC, ETH)
    tell(feed, ack_frame(BTC, 1), ticker_frame(), at=100.5)
    frames = [ticker_frame(last=3), ticker_frame(last=4), AMONG_PRICES[name], ticker_frame(last=5)]
    messages = read_frames(frames, 101.0)
    assert feed.receive_prices(messages) == messages[:2]
    assert price(feed) == 4
    assert price(feed, ETH) is None
    assert feed.subscriptions.ticks == 3


def test_distrusted_price_is_no_mere_one() -> None:
    """What an audit has found to lie does not count in a burst, either."""
    feed = live_feed()
    feed.subscriptions.distrust(BTC, "REST says otherwise", 100.6)
    assert feed.receive_prices(read_frames([ticker_frame(last=3)], 101.0)) == []
    feed.lost(102.0, "reset")
    feed.subscriptions.trust(BTC, 102.1)
    assert feed.receive_prices(read_frames([ticker_frame(last=3)], 102.2)) == []
    assert price(feed) is None


BURSTS = st.lists(
    st.sampled_from(
        [
            *(ticker_frame(symbol, last=last) for symbol in (BTC, ETH) for last in (1.5, 2.5, 3.5)),
            *AMONG_PRICES.values(),
        ]
    )
)


@given(BURSTS, st.booleans())
def test_prices_in_a_burst_count_as_each_by_itself(frames: list[str], is_distrusted: bool) -> None:
    """What counts afterwards, what is told and what is counted is the same."""
    told = []
    for is_burst in (True, False):
        feed = opened_feed(BTC, ETH)
        tell(feed, ack_frame(BTC, 1), ticker_frame(), at=100.5)
        if is_distrusted:
            feed.subscriptions.distrust(BTC, "REST says otherwise", 100.6)
        messages = read_frames(frames, 101.0)
        prices = feed.receive_prices(messages) if is_burst else []
        events = [x for one in messages[len(prices) :] for x in feed.receive(one, 101.0)]
        subs = [
            (sub.state, sub.ticks, sub.latest, sub.proven, sub.price)
            for sub in feed.subscriptions.tickers.values()
        ]
        told.append(([*prices, *events], subs, feed.subscriptions.ticks))
    assert told[0] == told[1]


def test_bad_price_leaves_the_last_good_one_and_is_counted() -> None:
    """A damaged frame takes nothing away from what was proven, and shows in the figures."""
    feed = live_feed()
    assert tell(feed, ticker_frame(last=-1), ticker_frame(last=None), "{", at=101.0) == []
    assert price(feed) == 2
    assert feed.damaged == 2


def test_price_of_a_symbol_that_nobody_wants_is_ignored() -> None:
    """Frames under way while a symbol was unsubscribed reach nobody."""
    feed = live_feed()
    trade = {"symbol": ETH, "price": 1, "qty": 1, "trade_id": 1}
    frame = json.dumps({"channel": "trade", "data": [trade]})
    assert tell(feed, ticker_frame(ETH), ticker_frame(ETH, last=None), frame, at=101.0) == []


def test_lost_link_ends_every_price_at_that_moment() -> None:
    """When the connection is gone no cached price counts, and the last proof's time is told."""
    feed = live_feed()
    assert feed.lost(101.0, "reset") == [FeedStale(101.0, "reset", since=100.5)]
    assert price(feed) is None
    assert feed.link.good_until < 0
    assert feed.subscriptions.tickers[BTC].latest is not None


def test_price_of_the_last_connection_does_not_count_on_the_next() -> None:
    """After a reconnect each symbol needs its own ack and data again."""
    feed = live_feed()
    feed.lost(101.0, "reset")
    feed.link.attempt(101.0)
    assert feed.opened(102.0) == [FeedLive(102.0), FeedBack(102.0, blind_for=1.5)]
    assert sent(feed, 102.0)[0]["params"]["symbol"] == [BTC]
    assert price(feed) is None
    feed.lost(102.0, "reset before the ack")
    feed.link.attempt(102.0)
    feed.opened(102.0)
    assert tell(feed, ticker_frame(), at=102.0) == []
    assert price(feed) is None
    feed.lost(102.0, "reset after early data")
    feed.link.attempt(102.0)
    feed.opened(102.0)
    feed.due(102.0)
    assert tell(feed, ack_frame(BTC, 3), at=102.1) == [Resubscribed(BTC, "ticker", 102.1)]
    tell(feed, ticker_frame(last=9), at=102.2)
    assert price(feed) == 9


def test_system_state_is_told_when_it_changes() -> None:
    """Status frames are repeated; the event is for the change."""
    feed = opened_feed(BTC)
    status = '{"channel":"status","data":[{"system":"%s"}]}'
    assert tell(feed, status % "online", at=100.1) == [SystemState("online", 100.1)]
    assert tell(feed, status % "online", at=100.2) == []
    assert tell(feed, status % "cancel_only", at=100.3) == [SystemState("cancel_only", 100.3)]


def test_next_due_is_the_moment_at_which_something_happens() -> None:
    """The shell may sleep until then: silence, death, mute, pacing, each in its turn."""
    feed = live_feed()
    assert feed.next_due(100.5) == 102.5
    feed.due(102.5)
    assert feed.next_due(102.5) == 103.5
    asked = opened_feed(BTC, ping_after=9.0, dead_after=10.0)
    assert asked.next_due(100.0) == 103.0
    paced = opened_feed(*(f"S{n}/USD" for n in range(30)), batch_size=1)
    assert paced.next_due(100.0) == pytest.approx(100.1)


def test_refusals_and_maintenance_have_a_longest_pause_of_their_own() -> None:
    """Who was told no in words does not come back at once."""
    feed = opened_feed(BTC)
    feed.lost(101.0, "HTTP 403", at_least=30.0)
    assert feed.link.retry_at == 131.0
    feed.link.attempt(131.0)
    feed.opened(131.0)
    tell(feed, '{"channel":"status","data":[{"system":"maintenance"}]}', at=131.1)
    feed.lost(170.0, "reset")
    assert feed.link.retry_at == 175.0


def test_closed_feed_is_as_new_and_can_begin_again() -> None:
    """Closing gives everything back, tells it once, and forbids nothing later."""
    feed = live_feed()
    sub = feed.subscriptions.tickers[BTC]
    assert feed.close(101.0) == [FeedClosed(101.0)]
    assert feed.close(101.0) == []
    assert (sub.proven, feed.subscriptions.by_key, feed.subscriptions.tickers) == (None, {}, {})
    assert feed.due(102.0).frames == []
    assert feed.patience(feed.subscriptions.want(BTC, TICKER), 102.0) > 0
    feed.link.attempt(103.0)
    assert feed.link.state is FeedState.CONNECTING
    assert feed.opened(103.0) == [FeedLive(103.0)]


def busy_feed(per_second: int, **settings: Any) -> FeedProtocol:
    """Return a feed that has heard so many messages a second for ten seconds, up to 110."""
    feed = opened_feed(BTC, **settings)
    for second in range(101, 111):
        feed.link.heard(float(second), per_second)
        feed.due(float(second))
    return feed


@pytest.mark.parametrize(("per_second", "seconds"), [(0, 0.0), (990, 0.0), (1300, 0.005)])
def test_messages_gather_only_above_a_pace(per_second: int, seconds: float) -> None:
    """A feed of a thousand messages a second may wait for more of them; a slower one never."""
    assert busy_feed(per_second).gathering(110.0) == seconds


def test_nothing_gathers_where_that_is_not_wanted() -> None:
    """With 0 the fastest feed waits for nothing, for programs that trade on every tick."""
    assert busy_feed(9_000_000, gather_for=0.0).gathering(110.0) == 0.0


def test_rates_are_means_over_the_last_seconds() -> None:
    """Messages and ticks per second are told over a window, and are 0 when nothing came in it."""
    assert FeedProtocol(FeedSettings()).rates(100.0) == (0.0, 0.0)
    feed = live_feed(rate_window=10.0)
    for step in range(1, 41):
        now = 100.5 + step / 2
        tell(feed, ticker_frame(), at=now)
        feed.due(now)
    messages, ticks = feed.rates(120.5)
    assert messages == pytest.approx(2.0, rel=0.15)
    assert ticks == pytest.approx(2.0, rel=0.15)
    assert feed.rates(200.0) == (0.0, 0.0)


def test_feed_without_a_connection_has_nothing_due() -> None:
    """Before the first connection there is nothing to send and nothing to lose."""
    due = FeedProtocol(FeedSettings()).due(1.0)
    assert (due.frames, due.events, due.lost) == ([], [], None)
