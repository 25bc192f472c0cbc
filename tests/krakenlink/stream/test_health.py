"""The figures of the feed at a moment."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from krakenlink.stream.audit import View
from krakenlink.stream.events import Channel, Tick
from krakenlink.stream.feed import FeedProtocol
from krakenlink.stream.health import Proofs, beside_first, book_views, feed_health, views
from krakenlink.stream.settings import FeedSettings
from krakenlink.stream.states import FeedState, SubState
from tests.kits.stream import book_kit
from tests.kits.stream.feed_kit import BTC, ETH, ack_frame, opened_feed, tell, ticker_frame
from tests.kits.stream.stream_kit import (
    Make,
    live,
)


def test_health_is_a_snapshot_of_everything(make: Make) -> None:
    """State, ages, counts and each symbol are told in one frozen piece."""
    provider = make()
    assert (provider.health().uptime, provider.health().last_frame_age) == (None, None)
    live(provider)
    provider.note_rest_fallback("BTC/USD")
    provider.note_rest_fallback("SOL/USD")
    health = provider.health()
    assert (health.state, health.attempts, health.reconnects) == (FeedState.LIVE, 1, 0)
    assert health.uptime is not None
    assert (health.rest_fallbacks, health.messages >= 2) == (2, True)
    (symbol,) = health.symbols
    assert (symbol.state, symbol.ticks, symbol.rest_fallbacks) == ("live", 1, 1)
    assert symbol.proven_age is not None


def test_audit_sees_symbols_with_a_tick_while_there_is_a_link() -> None:
    """A symbol that nothing came of has nothing to compare; without a link nobody has."""
    feed = opened_feed(BTC, ETH)
    assert views(feed) == {}
    tell(feed, ack_frame(BTC, 1), ticker_frame(last=7.5), at=100.5)
    assert views(feed) == {BTC: View(Decimal("7.5"), 1, 0, True)}
    assert views(feed)[BTC].of is feed.subscriptions.tickers[BTC]
    feed.subscriptions.tickers[BTC].state = SubState.ACKED
    assert views(feed) == {BTC: View(Decimal("7.5"), 1, 0, False)}
    feed.lost(101.0, "gone")
    assert feed.subscriptions.tickers[BTC].latest is not None
    assert views(feed) == {}
    feed.link.attempt(102.0)
    feed.opened(102.5)
    assert [view.connection for view in views(feed).values()] == [1]


def test_every_figure_is_of_its_moment() -> None:
    """Ages are told where there is something to be old; a lost link has no proof, but a tick."""
    feed = opened_feed(BTC, ETH)
    tell(feed, ack_frame(BTC, 1), ticker_frame(), at=100.5)
    health = feed_health(feed, "wss://x", {BTC: 2, ETH: 3}, 101.0)
    assert (health.uptime, health.last_frame_age, health.blind_for) == (1.0, 0.5, None)
    assert (health.url, health.attempts, health.reconnects) == ("wss://x", 1, 0)
    assert health.rest_fallbacks == 5
    btc, eth = health.symbols
    assert (btc.symbol, btc.channel, btc.state, btc.proven_age) == (BTC, "ticker", "live", 0.5)
    assert (btc.ticks, btc.rest_fallbacks, btc.error) == (1, 2, "")
    assert (eth.last_tick, eth.proven_age, eth.ticks) == (None, None, 0)
    feed.lost(102.0, "gone")
    health = feed_health(feed, "wss://x", {}, 104.0)
    assert (health.uptime, health.last_frame_age, health.blind_for) == (None, 3.5, 3.5)
    assert health.state is FeedState.WAITING
    assert [one.proven_age for one in health.symbols] == [None, None]
    assert health.symbols[0].last_tick == btc.last_tick


def test_connection_beside_the_first_is_told_with_what_the_first_has_counted() -> None:
    """By symbol; a count in all is the first one's, and everything else stays as it was found."""
    feed = opened_feed(BTC, ETH)
    alone = feed_health(feed, "wss://x", {}, 101.0)
    found = beside_first(alone, "2", {ETH: 3, "SOL/USD": 5})
    assert (found.connection, found.rest_fallbacks) == ("2", 0)
    assert [(one.symbol, one.rest_fallbacks) for one in found.symbols] == [(BTC, 0), (ETH, 3)]
    as_it_was = replace(found, connection=alone.connection, symbols=alone.symbols)
    assert as_it_was == alone


class _One(Proofs):
    """A proof of one symbol, two seconds old."""

    def proven(self, symbol: str) -> tuple[Tick, float] | None:
        return (TICK, 2.0) if symbol == BTC else None


TICK = Tick(BTC, Decimal(1), None, None, 1.0)


@pytest.mark.parametrize(("symbol", "tick", "age"), [(BTC, TICK, 2.0), (ETH, None, None)])
def test_parts_of_a_proof_are_those_of_the_whole(
    symbol: str, tick: Tick | None, age: float | None
) -> None:
    """The tick alone and the age alone; none of either where nothing is proven."""
    assert (_One().fresh_tick(symbol), _One().proven_age(symbol)) == (tick, age)


# --- books -------------------------------------------------------------------------------------


def book_feed() -> FeedProtocol:
    """Return a feed with a book that is live."""
    feed = FeedProtocol(FeedSettings())
    feed.subscriptions.want(BTC, Channel.BOOK, 10)
    feed.link.attempt(100.0)
    feed.opened(100.0)
    feed.due(100.0)
    tell(feed, book_kit.ack(), book_kit.snapshot(), at=100.5)
    return feed


def test_audit_sees_the_best_bid_of_a_book() -> None:
    """With how often it has spoken, and on which connection."""
    feed = book_feed()
    (view,) = book_views(feed).values()
    assert (f"{view.price}", view.ticks, view.connection, view.is_live) == ("49999.9", 1, 0, True)
    tell(feed, book_kit.snapshot({"49000.0": "1.00000000"}, {}), at=101.0)
    (view,) = book_views(feed).values()
    assert (f"{view.price}", view.ticks) == ("49000.0", 2)


def test_audit_sees_no_book_that_does_not_count() -> None:
    """None without a link, none after a doubt, and none of which nobody buys."""
    feed = book_feed()
    tell(feed, book_kit.snapshot({}, {"1.0": "1.00000000"}), at=101.0)
    assert book_views(feed) == {}
    feed = book_feed()
    tell(feed, book_kit.book_frame({}, {}, 1, "update"), at=101.0)
    assert book_views(feed) == {}
    feed = book_feed()
    feed.lost(101.0, "gone")
    assert book_views(feed) == {}


def test_health_tells_the_proof_of_a_book() -> None:
    """As old as a price's; none without one."""
    feed = book_feed()
    (shown,) = feed_health(feed, "wss://x", {}, 101.5).symbols
    assert (shown.channel, shown.state, shown.proven_age) == ("book", "live", 1.0)
    tell(feed, book_kit.book_frame({}, {}, 1, "update"), at=102.0)
    (shown,) = feed_health(feed, "wss://x", {}, 102.0).symbols
    assert (shown.state, shown.proven_age) == ("wanted", None)


def test_what_is_on_its_way_is_not_carried_yet() -> None:
    """It is another connection's until it has joined."""
    feed = opened_feed(BTC)
    feed.subscriptions.expect(ETH, Channel.TICKER)
    health = feed_health(feed, "wss://x", {}, 101.0)
    assert (len(health.symbols), health.carried) == (2, 1)
