"""Events for coroutines: the loop is woken, never blocked, and never waited for."""

from __future__ import annotations

import asyncio
import gc
import logging
import queue
import threading
import weakref
from typing import Any

import pytest

from krakenlink.errors import KrakenError
from krakenlink.stream.aio import EventStream, LoopQueue
from krakenlink.stream.events import Event, FeedClosed, FirstData, SystemState, Tick
from krakenlink.stream.reader import FeedReader, Readers, too_far_behind
from tests.kits.stream.stream_kit import LONG, Make, Server, live, ticker
from ws_price_provider import WebSocketPriceProvider


def news(number: int) -> SystemState:
    """Return an event that can be told from others."""
    return SystemState(f"state {number}", float(number))


class Feed:
    """Readers without a feed."""

    def __init__(self) -> None:
        self.readers = Readers()

    def open(self, sink: LoopQueue) -> FeedReader:
        """Open one."""
        reader = FeedReader(lambda: 1.0, self.readers.forget, None, None, sink)
        self.readers.add(reader)
        return reader

    def tell(self, *numbers: int) -> None:
        """Tell of something, as the feed's thread does."""
        thread = threading.Thread(target=self.readers.publish, args=([news(n) for n in numbers],))
        thread.start()
        thread.join(LONG)


async def took(stream: EventStream, count: int) -> list[Event]:
    """Return the next events of a stream."""
    return [await asyncio.wait_for(anext(stream), LONG) for _ in range(count)]


# --- from the feed -----------------------------------------------------------------------------


def test_coroutine_hears_the_feed(server: Server, make: Make) -> None:
    """Prices as they come, on the one connection there is."""

    async def follow(provider: WebSocketPriceProvider) -> list[Any]:
        heard: list[Any] = []
        async with provider.events(symbols=["BTC/USD"], channels=["ticker"]) as events:
            provider.subscribe("XXBTZUSD")
            async for event in events:
                heard.append(event)
                if isinstance(event, FirstData):
                    await asyncio.to_thread(server.broadcast, ticker("BTC/USD", 8))
                if isinstance(event, Tick) and event.price == 8:
                    return heard
        raise AssertionError("it ended")

    heard = asyncio.run(follow(make()))
    assert [str(event.price) for event in heard if isinstance(event, Tick)] == ["2.50", "8"]
    assert server.connections == 1


def test_stream_ends_with_the_feed(server: Server, make: Make) -> None:
    """`stop` is its last event."""

    async def follow(provider: WebSocketPriceProvider) -> list[Event]:
        events = provider.events()
        await asyncio.to_thread(live, provider)
        await asyncio.to_thread(provider.stop, LONG)
        return [event async for event in events]

    heard = asyncio.run(follow(make()))
    assert isinstance(heard[-1], FeedClosed)
    assert sum(isinstance(event, FeedClosed) for event in heard) == 1


def test_loop_goes_on_while_a_coroutine_waits_for_events(make: Make) -> None:
    """Nothing of ours runs on it but a wake-up."""

    async def follow(provider: WebSocketPriceProvider) -> int:
        events, turns = provider.events(), 0
        waiting = asyncio.ensure_future(anext(events))
        for _ in range(1000):
            await asyncio.sleep(0)
            turns += 1
        assert not waiting.done()
        await events.aclose()
        assert isinstance(await asyncio.wait_for(waiting, LONG), FeedClosed)
        return turns

    assert asyncio.run(follow(make(url="ws://127.0.0.1:9/"))) == 1000


# --- the queue ---------------------------------------------------------------------------------


def test_events_come_in_order_whether_anybody_waits_or_not() -> None:
    """Those of before the first read as well."""
    feed = Feed()

    async def follow() -> list[Event]:
        stream = EventStream(feed.open)
        await asyncio.to_thread(feed.tell, 1, 2)
        first = await took(stream, 2)
        waiting = asyncio.ensure_future(took(stream, 3))
        await asyncio.sleep(0)
        await asyncio.to_thread(feed.tell, 3, 4, 5)
        return first + await waiting

    assert asyncio.run(follow()) == [news(n) for n in (1, 2, 3, 4, 5)]


def test_read_that_is_given_up_loses_nothing() -> None:
    """A coroutine may be cancelled while it waits."""
    feed = Feed()

    async def follow() -> list[Event]:
        stream = EventStream(feed.open)
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await asyncio.to_thread(feed.tell, 1)
        return await took(stream, 1)

    assert asyncio.run(follow()) == [news(1)]


def test_closed_loop_is_survived_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """The feed goes on, and tells this reader no more."""
    feed = Feed()
    stream = EventStream(feed.open)
    loop = asyncio.new_event_loop()

    async def begin() -> None:
        task = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        task.cancel()

    loop.run_until_complete(begin())
    stream._queue._waiter = (loop, loop.create_future())  # a loop that died while somebody waited
    loop.close()
    with caplog.at_level(logging.WARNING):
        feed.tell(1)
        feed.tell(2)
    assert [r.message for r in caplog.records] == [
        "A reader of events hears no more: its event loop is closed"
    ]
    assert len(feed.readers) == 0
    assert stream.backlog == 0


def test_coroutine_that_never_reads_costs_no_more_than_its_bound(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is said once, what waited is let go, and the next read says that something is missing."""
    feed = Feed()
    stream = EventStream(feed.open, most=10)
    with caplog.at_level(logging.WARNING):
        feed.tell(*range(10))
        assert stream.backlog == 10
        feed.tell(*range(10, 20))
    assert (stream.backlog, len(feed.readers)) == (0, 0)
    assert [r.message for r in caplog.records] == [
        "A reader of events hears no more: 10 events were never read"
    ]

    async def read() -> list[Event]:
        with pytest.raises(KrakenError, match="events are missing: 10 events were never read"):
            await anext(stream)
        return [event async for event in stream]

    assert asyncio.run(read()) == []


class Raced(LoopQueue):
    """A queue that a coroutine on another thread empties between two steps of the feed's."""

    def empty(self) -> bool:
        """Tell how it was, and let it be emptied."""
        was_empty = super().empty()
        while not super().empty():
            self.get_nowait()
        return was_empty


def test_feed_waits_for_no_coroutine_that_empties_its_queue_meanwhile() -> None:
    """Whoever is too slow may wake up at the very moment at which that is found."""
    sink = Raced(3)

    def fill() -> None:
        for number in range(5):
            sink.put(news(number))

    thread = threading.Thread(target=fill, daemon=True)
    thread.start()
    thread.join(LONG)
    assert not thread.is_alive()
    assert (sink.fate, sink.qsize()) == ("3 events were never read", 0)


def test_what_follows_a_hole_is_not_told() -> None:
    """Events are let go one by one, and a coroutine may read one that has lost its forerunner."""

    class Half(LoopQueue):
        """A queue of which the first half was let go when somebody looked."""

        def get_nowait(self) -> Any:
            """Return what is there, as one who reads while the feed lets go."""
            found = super().get_nowait()
            if not self.fate and isinstance(found, SystemState) and found.at == 1.0:
                self.fate = "2 events were never read"
                return super().get_nowait()
            return found

    feed = Feed()

    async def read() -> None:
        stream = EventStream(feed.open)
        stream._queue = sink = Half(10)
        for number in (0, 1, 2):
            sink.put(news(number))
        assert await anext(stream) == news(0)
        with pytest.raises(KrakenError, match="events are missing"):
            await anext(stream)

    asyncio.run(read())


def test_stream_that_is_dropped_is_forgotten() -> None:
    """The feed keeps nobody alive."""
    feed = Feed()
    stream = EventStream(feed.open)
    reader = weakref.ref(stream._reader)
    del stream
    gc.collect()
    assert reader() is None
    feed.tell(1)


def test_closed_stream_ends() -> None:
    """After its `FeedClosed`, and again."""
    feed = Feed()

    async def follow() -> list[Event]:
        async with EventStream(feed.open) as stream:
            pass
        heard = [event async for event in stream]
        return heard + [event async for event in stream]

    assert [type(event) for event in asyncio.run(follow())] == [FeedClosed]


# --- readers without a loop --------------------------------------------------------------------


def test_reader_that_nobody_reads_is_told_of_once() -> None:
    """Its queue has no bound, as trades must not be lost."""
    feed = Feed()
    sink: queue.SimpleQueue[Any] = queue.SimpleQueue()
    reader = FeedReader(lambda: 1.0, feed.readers.forget, None, None, sink)
    feed.readers.add(reader)
    feed.tell(1, 2)
    assert too_far_behind(feed.readers, 3) == []
    feed.tell(3)
    assert too_far_behind(feed.readers, 3) == [3]
    feed.tell(4)
    assert too_far_behind(feed.readers, 3) == []
    assert reader.backlog == 4


def test_second_coroutine_at_one_stream_is_refused() -> None:
    """One of the two would never be woken; the first one goes on."""

    async def both() -> None:
        feed = Feed()
        stream = EventStream(feed.open)
        first = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="a stream of its own"):
            await took(stream, 1)
        feed.tell(1)
        assert await asyncio.wait_for(first, LONG) == news(1)
        feed.tell(2)
        assert await took(stream, 1) == [news(2)]

    asyncio.run(both())
