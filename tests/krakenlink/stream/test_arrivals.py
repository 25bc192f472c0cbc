"""What is on its way to a connection: proven there like all else, and nobody is told of it yet."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from krakenlink.stream.events import BookUpdate, Channel, Event, FirstData, SymbolMute, Tick
from krakenlink.stream.feed import FeedProtocol
from krakenlink.stream.moves import Departure
from krakenlink.stream.states import SubState, key_of
from tests.kits.stream.book_kit import ASKS, BIDS, book_frame, changed, snapshot, total
from tests.kits.stream.feed_kit import (
    BTC,
    ETH,
    TICKER,
    TRADE,
    ack_frame,
    live_feed,
    opened_feed,
    tell,
    ticker_frame,
)

KEY = key_of(TICKER, BTC)
BOOK, OHLC = Channel.BOOK, Channel.OHLC


def expecting(channel: Channel = TICKER, param: int = 0, **settings: Any) -> FeedProtocol:
    """Return a feed that has asked at second 100 for what is still had elsewhere (req_id 1)."""
    feed = opened_feed(**settings)
    feed.subscriptions.expect(BTC, channel, param)
    feed.due(100.0)
    return feed


def channel_ack(channel: Channel) -> str:
    """Return Kraken's yes."""
    return ack_frame(BTC, 1, result={"channel": channel.value, "symbol": BTC})


def trade_frame(number: int) -> str:
    """Return a trade."""
    return (
        '{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"buy","price":2.0,'
        f'"qty":1.0,"ord_type":"market","trade_id":{number},'
        '"timestamp":"2026-11-23T02:11:31.742648Z"}]}'
    )


def candle_frame(count: int) -> str:
    """Return a candle of so many trades."""
    return (
        '{"channel":"ohlc","type":"update","data":[{"symbol":"BTC/USD","interval":1,"open":2.0,'
        f'"high":2.0,"low":2.0,"close":2.0,"volume":1.0,"vwap":2.0,"trades":{count},'
        '"interval_begin":"2026-11-23T02:11:00.000000Z"}]}'
    )


FIRST = {
    TICKER: ticker_frame(),
    TRADE: trade_frame(7),
    BOOK: snapshot(),
    OHLC: candle_frame(3),
}


@pytest.mark.parametrize("channel", FIRST)
def test_what_arrives_is_proven_and_not_told(channel: Channel) -> None:
    """Who moves it hears of each thing that came."""
    param = {BOOK: 10, OHLC: 1}.get(channel, 0)
    feed = expecting(channel, param)
    key = key_of(channel, BTC, param)
    assert tell(feed, channel_ack(channel), FIRST[channel], FIRST[channel], at=100.5) == []
    assert feed.seen(key, 100.5).is_proven
    assert set(feed.subscriptions.news) == {(key, "")}
    assert feed.subscriptions.tickers == {}
    assert feed.subscriptions.seen_symbols() == ()
    assert feed.subscriptions.counts[channel] == 1


def test_price_that_comes_before_its_acknowledgement_is_kept() -> None:
    """As anywhere else."""
    feed = expecting()
    assert tell(feed, ticker_frame(), at=100.2) == []
    assert not feed.seen(KEY, 100.2).is_proven
    assert tell(feed, channel_ack(TICKER), at=100.5) == []
    assert feed.seen(KEY, 100.5).is_proven


def test_refusal_is_told_to_who_moves_it_alone() -> None:
    """It is still had where it was."""
    feed = expecting()
    assert tell(feed, ack_frame(BTC, 1, "Currency pair not supported"), at=100.5) == []
    assert feed.subscriptions.news[-1] == (KEY, "Currency pair not supported")


def test_silence_is_told_to_who_moves_it_alone() -> None:
    """After it was asked for twice."""
    feed = expecting(mute_after=1.0, dead_after=1000.0, ping_after=900.0)
    tell(feed, channel_ack(TICKER), at=100.5)
    events: list[Event] = []
    for now in (102.0, 103.0, 104.0, 105.0):
        events += feed.due(now).events
    assert not [x for x in events if isinstance(x, SymbolMute)]
    assert feed.subscriptions.news[-1] == (KEY, "it brings no data")
    assert feed.subscriptions.by_key[KEY].state is SubState.MUTE


def test_market_without_a_price_does_not_arrive() -> None:
    """Kraken says so in a ticker that holds none."""
    feed = expecting()
    assert tell(feed, channel_ack(TICKER), ticker_frame(last=0), at=100.5) == []
    assert feed.subscriptions.news[-1] == (KEY, "it brings no data")


def test_what_has_joined_is_told() -> None:
    """With what is newer than what it has brought along, and from then on."""
    feed = expecting()
    tell(feed, channel_ack(TICKER), ticker_frame(last=3.0), at=100.5)
    old = Tick(BTC, Decimal("2.0"), Decimal("1.0"), Decimal("3.0"), 100.0)
    left = Departure(refs=2, at=100.6, tick=old, is_whole=True)
    (told,) = feed.arrive(KEY, left, 100.7)
    assert isinstance(told, Tick)
    assert told.price == 3
    assert feed.subscriptions.tickers[BTC].refs == 2
    assert feed.subscriptions.seen_symbols() == (BTC,)
    (told,) = tell(feed, ticker_frame(last=4.0), at=100.8)
    assert isinstance(told, Tick)
    assert feed.subscriptions.counts[TICKER] == 1
    assert feed.arrive(KEY, left, 100.9) == []  # once


def test_references_may_come_and_go_on_the_way() -> None:
    """They are counted together with those that it brings along."""
    feed = expecting()
    subscriptions = feed.subscriptions
    subscriptions.want(BTC, TICKER)
    assert not subscriptions.unwant(BTC, TICKER)
    assert not subscriptions.unwant(BTC, TICKER)
    feed.arrive(KEY, Departure(refs=2), 100.5)
    assert subscriptions.by_key[KEY].refs == 1
    assert subscriptions.unwant(BTC, TICKER)


def test_what_nobody_wants_any_more_is_left_at_its_arrival() -> None:
    """Kraken is told."""
    feed = expecting()
    tell(feed, channel_ack(TICKER), ticker_frame(), at=100.5)
    assert feed.arrive(KEY, Departure(), 100.7) == []
    assert feed.subscriptions.by_key == {}
    assert feed.subscriptions.arriving == {}
    assert feed.subscriptions.counts[TICKER] == 0
    assert any('"unsubscribe"' in frame for frame in feed.due(101.0).frames)


def test_book_is_asked_for_as_deep_as_it_was_wanted_meanwhile() -> None:
    """Where that is deeper than what arrived."""
    feed = expecting(BOOK, 10)
    tell(feed, channel_ack(BOOK), snapshot(), at=100.5)
    feed.arrive(key_of(BOOK, BTC), Departure(refs=1, param=25, is_whole=False), 100.7)
    frames = feed.due(101.0).frames
    assert any('"depth":25' in frame for frame in frames)


def test_changes_of_a_book_are_told_once_it_has_joined() -> None:
    """On their way they are taken in, and who moves it hears of each."""
    feed, key = expecting(BOOK, 10), key_of(BOOK, BTC)
    tell(feed, channel_ack(BOOK), snapshot(), at=100.5)
    more = {"49999.9": "2.00000000"}
    frame = book_frame(more, {}, total(changed(BIDS, more, is_bid=True), ASKS), "update")
    feed.subscriptions.news.clear()
    assert tell(feed, frame, at=100.6) == []
    assert list(feed.subscriptions.news) == [(key, "")]
    assert feed.subscriptions.by_key[key].content.texts(1).bids[0].qty == 2
    feed.arrive(key, Departure(refs=1, param=10, is_whole=True), 100.7)
    (told,) = tell(feed, frame, at=100.8)
    assert isinstance(told, BookUpdate)
    assert len(feed.subscriptions.news) == 1


def test_what_stays_elsewhere_is_expected_no_more() -> None:
    """Nothing is left of it."""
    feed = live_feed()
    feed.subscriptions.expect(ETH, TICKER)
    feed.subscriptions.give_up(feed.subscriptions.by_key[key_of(TICKER, ETH)])
    assert feed.subscriptions.arriving == {}
    assert list(feed.subscriptions.tickers) == [BTC]


def test_what_an_audit_doubts_does_not_leave() -> None:
    """Its remedies are for the connection that it was doubted on."""
    feed = live_feed()
    there = live_feed().seen(KEY, 100.5)
    assert feed.depart(KEY, there, 200.0) is not None
    feed.subscriptions.distrust(BTC, "a lie", 101.0)
    assert feed.depart(KEY, there, 200.0) is None


def test_what_is_there_no_more_leaves_with_nothing() -> None:
    """Nobody wants it."""
    feed = opened_feed()
    assert feed.depart(KEY, live_feed().seen(KEY, 100.5), 101.0) == Departure(at=101.0)


def test_nothing_is_seen_on_a_link_that_does_not_live() -> None:
    """What it had is no proof any more."""
    feed = live_feed(dead_after=3.0)
    assert feed.seen(KEY, 103.4).is_proven
    assert not feed.seen(KEY, 103.5).is_proven
    feed.lost(103.6, "gone")
    assert not feed.seen(KEY, 103.6).is_proven


def test_connection_that_is_one_of_several_tells_whose_fate_it_is() -> None:
    """By the symbols whose prices or trades it carries, and none that are on their way."""
    feed = live_feed()
    feed.subscriptions.want(ETH, TRADE)
    feed.subscriptions.want(ETH, OHLC, 5)
    feed.is_part = True
    (stale,) = feed.lost(101.0, "gone")
    assert getattr(stale, "symbols") == (BTC, ETH)  # noqa: B009 - one of many kinds of events
    feed.link.attempt(102.0)
    *_, back = feed.opened(102.0)
    assert getattr(back, "symbols") == (BTC, ETH)  # noqa: B009
    feed.is_part = False
    (stale,) = feed.lost(103.0, "gone")
    assert getattr(stale, "symbols") is None  # noqa: B009


def test_connection_whose_thread_died_tells_whose_fate_it_is() -> None:
    """As one that was lost does, and once."""
    feed = live_feed()
    feed.is_part = True
    (stale,) = feed.abandon(101.0, "died")
    assert getattr(stale, "symbols") == (BTC,)  # noqa: B009 - one of many kinds of events
    feed.link.attempt(102.0)
    assert feed.lost(102.0, "no route") == []


def test_first_price_of_what_has_joined_a_connection_without_it_is_told() -> None:
    """As of any subscription."""
    feed = expecting()
    feed.arrive(KEY, Departure(refs=1), 100.2)
    events = tell(feed, channel_ack(TICKER), ticker_frame(), at=100.5)
    assert FirstData(BTC, 100.5) in events
