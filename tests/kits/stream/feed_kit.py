"""The feed without a socket, for tests: frames as Kraken sends them, and feeds at a moment."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from krakenlink.pairs import Symbol
from krakenlink.stream.events import (
    Channel,
    Event,
)
from krakenlink.stream.feed import FeedProtocol
from krakenlink.stream.frames import read_frame
from krakenlink.stream.settings import FeedSettings

BTC, ETH = Symbol("BTC/USD"), Symbol("ETH/USD")


TICKER, TRADE = Channel.TICKER, Channel.TRADE


WIRE = (
    '{"channel":"ticker","type":"update","data":[{"symbol":"BTC/USD","bid":49999.9,'
    '"bid_qty":1.25000000,"ask":50000.20,"ask_qty":5e-05,"last":50000.10,"volume":1234.5,'
    '"vwap":49876.5,"low":49000,"high":51000.0,"change":-123.4,"change_pct":-0.25,'
    '"timestamp":"2026-11-23T02:11:31.742648Z"}]}'
)


def ticker_frame(symbol: str = BTC, **fields: Any) -> str:
    """Return a ticker frame in which `fields` stand for or beside the usual ones."""
    row = {"symbol": symbol, "bid": 1.0, "ask": 3.0, "last": 2.0} | fields
    return json.dumps({"channel": "ticker", "type": "update", "data": [row]})


def ack_frame(symbol: str | None, req_id: int | None, error: str = "", **more: Any) -> str:
    """Return Kraken's answer to a subscribe: accepted without `error`, refused with one."""
    answer: dict[str, Any] = {"method": "subscribe", "success": not error}
    if req_id is not None:
        answer["req_id"] = req_id
    if error:
        answer |= {"error": error} | ({"symbol": symbol} if symbol else {})
    else:
        answer["result"] = {"channel": "ticker", "symbol": symbol, "snapshot": True}
    return json.dumps(answer | more)


def tell(feed: FeedProtocol, *frames: str, at: float) -> list[Event]:
    """Let `feed` receive frames at one moment; return its events."""
    feed.link.heard(at)
    messages = [message for frame in frames for message in read_frame(frame, at)]
    return [event for message in messages for event in feed.receive(message, at)]


def price(feed: FeedProtocol, symbol: str = BTC) -> Decimal | None:
    """Return the price that counts, without regard to the clock."""
    tick = feed.subscriptions.tickers[symbol].proven
    return tick.price if tick else None


def sent(feed: FeedProtocol, at: float) -> list[dict[str, Any]]:
    """Return what `feed` sends at a moment, without pings."""
    messages = [json.loads(frame) for frame in feed.due(at).frames]
    return [message for message in messages if message["method"] != "ping"]


def opened_feed(*symbols: str, channel: Channel = TICKER, **settings: Any) -> FeedProtocol:
    """Return a feed that has connected at second 100 and asked for `symbols` (req_id 1)."""
    feed = FeedProtocol(FeedSettings(**settings))
    for symbol in symbols:
        feed.subscriptions.want(Symbol(symbol), channel)
    feed.link.attempt(100.0)
    feed.opened(100.0)
    feed.due(100.0)
    return feed


def live_feed(**settings: Any) -> FeedProtocol:
    """Return a feed on which BTC/USD is live with a price of 2."""
    feed = opened_feed(BTC, **settings)
    tell(feed, ack_frame(BTC, 1), ticker_frame(), at=100.5)
    return feed


def beat(feed: FeedProtocol, start: float, stop: float) -> list[Event]:
    """Let heartbeats come twice a second; return the events of everything that falls due."""
    events: list[Event] = []
    now = start
    while now <= stop:
        events += tell(feed, '{"channel":"heartbeat"}', at=now)
        events += feed.due(now).events
        now += 0.5
    return events
