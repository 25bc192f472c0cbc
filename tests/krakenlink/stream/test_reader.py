"""Queues of events: who gets what, in which order, until when."""

from __future__ import annotations

import gc
import json
import queue
import threading
from typing import Any

from krakenlink.stream.events import (
    ChannelLive,
    Event,
    FeedClosed,
    FeedConnecting,
    FeedLive,
    FirstData,
    Tick,
    Trades,
)
from tests.kits.stream.stream_kit import (
    LONG,
    Make,
    Server,
    live,
    ticker,
    wait_for,
)


def test_each_reader_gets_every_event_in_order(server: Server, make: Make) -> None:
    """Readers have queues of their own: what one takes, the other still gets."""
    provider = make()
    readers = [live(provider), provider.open_feed()]
    server.broadcast(ticker("BTC/USD", 5), ticker("BTC/USD", 6))
    assert [wait_for(readers[1], Tick).price for _ in range(2)] == [5, 6]
    assert [str(wait_for(readers[0], Tick).price) for _ in range(3)] == ["2.50", "5", "6"]
    assert readers[0].backlog == 0
    assert readers[0].get(0) is None


def test_reader_may_leave_out_symbols_and_channels(server: Server, make: Make) -> None:
    """A filter keeps prices of others away and lets the state of the link through."""
    provider = make()
    trades = provider.open_feed(symbols={"BTC/USD"}, channels={"trade"})
    ticks = provider.open_feed(channels=["ticker"])
    live(provider)
    provider.subscribe_symbol("BTC/USD", "trade")
    provider.subscribe_symbol("ETH/USD")
    wait_for(ticks, FirstData)
    wait_for(ticks, FirstData)
    row = {"symbol": "BTC/USD", "price": 1, "qty": 1, "trade_id": 1}
    server.broadcast(json.dumps({"channel": "trade", "data": [row]}), ticker("BTC/USD", 8))
    got: list[Event] = []
    while not got or not isinstance(got[-1], Trades):
        event = trades.get(LONG)
        assert event is not None
        got.append(event)
    link = {FeedConnecting, FeedLive}
    assert {type(event) for event in got} == {*link, FirstData, ChannelLive, Trades}
    assert {event.symbol for event in got if isinstance(event, FirstData)} == {"BTC/USD"}
    while wait_for(ticks, Tick).price != 8:
        continue
    assert ticks.backlog == 0


def test_reader_may_use_a_queue_of_its_owner(make: Make) -> None:
    """Who waits for several things waits at one queue."""
    sink: queue.SimpleQueue[Any] = queue.SimpleQueue()
    provider = make()
    reader = provider.open_feed(sink=sink)
    sink.put("something else")
    live(provider)
    assert sink.get(timeout=LONG) == "something else"
    assert isinstance(sink.get(timeout=LONG), FeedConnecting)
    reader.close()


def test_closed_reader_wakes_and_gets_no_more(server: Server, make: Make) -> None:
    """Closing ends a wait for ever with a FeedClosed, and takes the reader off the feed."""
    provider = make()
    other = live(provider)
    reader = provider.open_feed()
    got: list[Event | None] = []
    waiter = threading.Thread(target=lambda: got.append(reader.get()))
    waiter.start()
    reader.close()
    waiter.join(LONG)
    assert [type(event) for event in got] == [FeedClosed]
    wait_for(other, Tick)
    server.broadcast(ticker("BTC/USD", 5))
    wait_for(other, Tick)
    assert reader.backlog == 0


def test_forgotten_reader_costs_nothing(make: Make) -> None:
    """A reader that its owner lost is dropped by the feed, with its queue."""
    provider = make()
    provider.open_feed()
    gc.collect()
    provider.open_feed()
    live(provider)
    gc.collect()
    kept = provider.open_feed()
    assert [ref() for ref in provider.feed_thread.readers._readers] == [kept]
