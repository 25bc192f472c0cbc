"""The cached price without a lock: whatever is done between two steps of a read, it is proven."""

from __future__ import annotations

import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from krakenlink.stream.events import Tick
from krakenlink.stream.feed import FeedProtocol
from krakenlink.stream.link import Link
from krakenlink.stream.states import Subscription, SubState
from tests.kits.stream.feed_kit import BTC, TICKER, ack_frame, live_feed, tell, ticker_frame
from ws_price_provider import WebSocketPriceProvider

LONG = 60.0  # seconds that nothing here takes unless it is broken


class Interrupted(Link):
    """A link that lets something else happen when a read asks it for the proof, once."""

    before: Callable[[], object] | None = None
    after: Callable[[], object] | None = None

    def __getattribute__(self, name: str) -> Any:
        if name == "good_until" and (work := self.before) is not None:
            self.before = None
            work()
        value = super().__getattribute__(name)
        if name == "good_until" and (work := self.after) is not None:
            self.after = None
            work()
        return value


class Desk:
    """A provider without a thread, whose BTC/USD has cost 2 since 100.5 s; it is 101 s."""

    def __init__(self) -> None:
        self.now = 101.0
        self.provider = WebSocketPriceProvider("ws://127.0.0.1:1", clock=lambda: self.clock())
        thread = self.provider.feed_thread
        thread._is_available = False  # whoever finds no price would start it
        self.feed = thread.feed = live_feed()
        self.provider._take_aliases()
        link = self.feed.link
        link.__class__ = Interrupted
        assert isinstance(link, Interrupted)
        self.link = link
        self.provider._by_pair["XBTUSD"] = self.feed.subscriptions.tickers[BTC]
        self.reads: dict[str, Callable[[], float | None]] = {
            "get_current_price": lambda: self.provider.get_current_price("XBTUSD"),
            "price_reader": self.provider.price_reader(BTC),
        }

    def clock(self) -> float:
        return self.now


def reconnect(feed: FeedProtocol) -> None:
    """Lose the connection and have another one, which has brought nothing yet."""
    feed.lost(101.0, "a test wants it")
    feed.link.attempt(101.0)
    feed.opened(101.0)
    feed.due(101.0)


def reconnect_and_tell(feed: FeedProtocol) -> None:
    """Lose the connection and have another one, on which the price is 3."""
    reconnect(feed)
    req_id = feed.subscriptions.tickers[BTC].req_id
    tell(feed, ack_frame(BTC, req_id), ticker_frame(last=3.0), at=101.0)


DEEDS: dict[str, tuple[Callable[[FeedProtocol], object], float | None]] = {
    "nothing": (lambda feed: None, 2.0),
    "a tick": (lambda feed: tell(feed, ticker_frame(last=3.0), at=101.0), 3.0),
    "an equal tick": (lambda feed: tell(feed, ticker_frame(), at=101.0), 2.0),
    "another connection": (reconnect, None),
    "another connection and its price": (reconnect_and_tell, 3.0),
    "the connection is lost": (lambda feed: feed.lost(101.0, "a test wants it"), None),
    "the thread died": (lambda feed: feed.abandon(101.0, "died"), None),
    "the provider is stopped": (lambda feed: feed.close(101.0), None),
    "an audit found a lie": (lambda feed: feed.subscriptions.distrust(BTC, "", 101.0), None),
    "nobody wants it": (lambda feed: feed.subscriptions.unwant(BTC, TICKER), None),
    "it is asked for anew": (lambda feed: feed.subscriptions.ask_again(BTC, TICKER), None),
}


@pytest.mark.parametrize("door", ["get_current_price", "price_reader"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("deed", "told"), DEEDS.values(), ids=DEEDS)
def test_read_shows_what_is_proven_whatever_happens_within_it(
    door: str, when: str, deed: Callable[[FeedProtocol], object], told: float | None
) -> None:
    """Price and proof are of one moment: no price of one connection by the proof of the next."""
    desk = Desk()
    setattr(desk.link, when, lambda: deed(desk.feed))
    assert desk.reads[door]() == told
    assert (desk.link.before, desk.link.after) == (None, None)  # it did happen
    assert desk.reads[door]() == told


@pytest.mark.parametrize("door", ["get_current_price", "price_reader"])
def test_read_that_was_held_up_shows_nothing_old(door: str) -> None:
    """A price goes by the proof of its own moment, not by one that came while the reader slept."""
    desk = Desk()
    read = desk.reads[door]

    def sleep() -> float:
        tell(desk.feed, '{"channel":"heartbeat"}', at=103.0)
        tell(desk.feed, '{"channel":"heartbeat"}', at=105.5)
        return 106.0

    desk.clock = sleep  # type: ignore[method-assign]
    assert desk.link.good_until == 103.5
    assert read() is None
    assert desk.link.good_until == 108.5
    desk.clock = lambda: 106.0  # type: ignore[method-assign]
    assert read() == 2.0


@pytest.mark.parametrize("door", ["get_current_price", "price_reader"])
def test_read_waits_for_nobody_who_writes(door: str) -> None:
    """A price that is there is read while the feed's lock is held."""
    desk = Desk()
    found: list[float | None] = []
    with desk.provider.feed_thread.lock:
        thread = threading.Thread(target=lambda: found.append(desk.reads[door]()), daemon=True)
        thread.start()
        thread.join(LONG)
        assert found == [2.0]


def test_each_proof_has_a_price_of_its_own() -> None:
    """By that a read sees that nothing was taken away and given back while it looked."""
    tick = Tick(BTC, Decimal(2), None, None, 1.0)
    sub = Subscription(BTC, TICKER, 100, state=SubState.LIVE)
    sub.prove(tick)
    first = sub.price
    sub.unprove()
    sub.prove(tick)
    assert sub.price == first
    assert sub.price is not first
