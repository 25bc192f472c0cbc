"""The feed's thread on a busy link: what it puts off, what it never does, when it lets gather."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from krakenlink.errors import KrakenConnectionError
from krakenlink.stream.events import FeedStale, SymbolMute, Tick
from krakenlink.stream.settings import FeedSettings
from ws_price_provider import FeedReader, WebSocketPriceProvider

LONG = 60.0  # seconds that nothing here takes unless it is broken
URL = "ws://127.0.0.1:1"


def price(symbol: str, last: float) -> str:
    """Return a ticker frame in the shape of nearly all traffic."""
    return (
        f'{{"channel":"ticker","type":"update","data":[{{"symbol":"{symbol}","bid":1.0,'
        f'"bid_qty":1.0,"ask":3.0,"ask_qty":1.0,"last":{last}}}]}}'
    )


def ack(symbol: str, req_id: int) -> str:
    """Return Kraken's yes to a subscription."""
    result = {"channel": "ticker", "symbol": symbol}
    return json.dumps({"method": "subscribe", "success": True, "req_id": req_id, "result": result})


class Stream:
    """A connection that brings bursts one after another, the last one for ever."""

    def __init__(self, *bursts: list[str]) -> None:
        self._bursts = list(bursts)
        self._closed = threading.Event()
        self.sent: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.waits: set[float] = set()

    def send(self, text: str) -> None:
        self.sent.put(text)

    def recv(self, timeout: float) -> list[str | bytes] | None:
        self.waits.add(timeout)
        if self._closed.wait(0.0001):
            raise KrakenConnectionError("closed", request_sent=True)
        return [*(self._bursts.pop(0) if len(self._bursts) > 1 else self._bursts[0])]

    def wake(self) -> None:
        pass

    def close(self) -> None:
        self._closed.set()


Open = Callable[..., WebSocketPriceProvider]


@pytest.fixture
def open_stream() -> Iterator[Open]:
    """Makes providers of one stream, on a clock that stands still, and stops them."""
    made: list[WebSocketPriceProvider] = []

    def make(stream: Stream, **settings: Any) -> WebSocketPriceProvider:
        provider = WebSocketPriceProvider(
            URL,
            connect=lambda url, timeout: stream,
            clock=lambda: 1.0,
            settings=FeedSettings(**settings),
        )
        made.append(provider)
        return provider

    yield make
    for provider in made:
        provider.stop(LONG)


def wait_for_ticks(reader: FeedReader, count: int) -> None:
    """Wait for the next `count` prices."""
    while count:
        event = reader.get(LONG)
        assert event is not None
        count -= isinstance(event, Tick)


def test_wish_is_heard_while_prices_pour_in(open_stream: Open) -> None:
    """A subscription leaves with the next price, though prices alone have nothing looked up."""
    stream = Stream([ack("BTC/USD", 1), price("BTC/USD", 2.0)], [price("BTC/USD", 3.0)])
    provider = open_stream(stream)
    provider.subscribe_symbol("BTC/USD")
    assert "BTC/USD" in stream.sent.get(timeout=LONG)
    assert provider.wait_for_tick("BTC/USD", LONG) is not None
    provider.subscribe_symbol("ETH/USD")
    assert "ETH/USD" in stream.sent.get(timeout=LONG)


def test_reconnect_is_obeyed_while_prices_pour_in(open_stream: Open) -> None:
    """A link that somebody wants dropped is dropped, however busy it is."""
    stream = Stream([ack("BTC/USD", 1), price("BTC/USD", 2.0)], [price("BTC/USD", 3.0)])
    provider = open_stream(stream)
    reader = provider.open_feed(channels=())
    provider.subscribe_symbol("BTC/USD")
    assert provider.wait_for_tick("BTC/USD", LONG) is not None
    provider.reconnect("because")
    while not isinstance(event := reader.get(LONG), FeedStale):
        assert event is not None
    assert event.reason == "because"


def test_errand_is_done_while_prices_pour_in(
    open_stream: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is sent at the moment at which the thread has just looked for others, too."""
    stream = Stream([ack("BTC/USD", 1), price("BTC/USD", 2.0)], [price("BTC/USD", 3.0)])
    provider = open_stream(stream)
    provider.subscribe_symbol("BTC/USD")
    assert provider.wait_for_tick("BTC/USD", LONG) is not None
    thread, done = provider.feed_thread, threading.Event()
    look, errands = thread.do_errands, [done.set]

    def look_and_be_late() -> None:
        look()
        while errands:
            thread.send(errands.pop())

    monkeypatch.setattr(thread, "do_errands", look_and_be_late)
    provider.subscribe_symbol("ETH/USD")  # for which it looks
    assert done.wait(LONG)


def test_messages_of_one_burst_keep_their_order(open_stream: Open) -> None:
    """A price that came before the news that there is none is not taken in after it."""
    nothing = '{"channel":"ticker","type":"update","data":[{"symbol":"BTC/USD","last":null}]}'
    burst = [ack("BTC/USD", 1), price("BTC/USD", 2.0), nothing]
    provider = open_stream(Stream(burst, [price("BTC/USD", 3.0)]))
    reader = provider.open_feed()
    provider.subscribe_symbol("BTC/USD")
    events = [reader.get(LONG) for _ in range(6)]
    assert not any(isinstance(event, SymbolMute) for event in events)
    assert Decimal("3.0") in [event.price for event in events if isinstance(event, Tick)]


@pytest.mark.parametrize(
    ("above", "seconds", "size", "is_gathering"),
    [(0.0, 0.003, 1, True), (1e9, 0.003, 1, False), (0.0, 0.0, 1, False), (0.0, 0.003, 100, False)],
)
def test_frames_gather_at_a_pace_and_not_in_piles(
    open_stream: Open,
    monkeypatch: pytest.MonkeyPatch,
    above: float,
    seconds: float,
    size: int,
    is_gathering: bool,
) -> None:
    """The thread pauses above the pace alone, and not when a hundred frames come at a time."""
    paused: list[float] = []
    monkeypatch.setattr("time.sleep", paused.append)
    stream = Stream([ack("BTC/USD", 1), price("BTC/USD", 2.0)], [price("BTC/USD", 3.0)] * size)
    provider = open_stream(stream, gather_above=above, gather_for=seconds)
    reader = provider.open_feed()
    provider.subscribe_symbol("BTC/USD")
    wait_for_ticks(reader, 3 * size)
    assert set(paused) == ({seconds} if is_gathering else set())
    # What has gathered is there: it is taken without a wait.
    assert (0.0 in stream.waits) is is_gathering
