"""A pool of connections without a thread or a socket: every step of it at a moment of its own.

The providers, feeds and pool are the real ones; what their threads do is done here one step at a
time, in an order that is drawn. Kraken is a list of trades: each connection is told of them at its
own pace, in order.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from functools import partial
from random import Random
from typing import Any

from krakenlink.pairs import Symbol
from krakenlink.stream.events import (
    CandleUpdate,
    Channel,
    Event,
    FeedBack,
    FeedStale,
    Resubscribed,
    Tick,
    TradeGap,
    Trades,
)
from krakenlink.stream.frames import read_frame
from krakenlink.stream.looks import Looks
from krakenlink.stream.settings import FeedSettings
from krakenlink.stream.states import Key, key_of
from ws_price_provider import WebSocketPriceProvider

BTC = Symbol("BTC/USD")
KEYS = {
    "ticker": key_of(Channel.TICKER, BTC),
    "trade": key_of(Channel.TRADE, BTC),
    "ohlc": key_of(Channel.OHLC, BTC, 1),
}
_MINUTE = 60
_LONGEST = 2.0  # seconds that something is under way


def moment(at: float) -> str:
    """Return a moment as Kraken writes it."""
    minutes, seconds = divmod(at, 60.0)
    hours, minutes = divmod(int(minutes), 60)
    return f"2026-11-23T{hours:02d}:{minutes:02d}:{seconds:09.6f}Z"


class Wire:
    """One connection: what was sent and has not arrived yet, and what Kraken sends on it."""

    def __init__(self, carrier: Looks) -> None:
        self.carrier = carrier
        self.subscribed: set[str] = set()
        self.under_way: deque[tuple[float, str]] = deque()  # each since when
        self.untold: list[Event] = []  # taken in, and not told to the readers yet
        self.is_mute = False
        self.refuses = False


class Exchange:
    """Kraken, and everything between it and the readers of one provider, step by step.

    Args:
        random: Draws what happens next.
        is_stamped: Whether prices bear the moment at which they were traded.

    Attributes:
        told: All that a reader has heard, in order.
        shown: The price that could be read after each step; None where there was none.
    """

    def __init__(self, random: Random, *, is_stamped: bool = True) -> None:
        self.random, self._is_stamped = random, is_stamped
        self.now = 100.0
        settings = FeedSettings(pool_most=3, pool_frames=1e9, audit_every=0)
        self.provider = WebSocketPriceProvider(
            "ws://127.0.0.1:1", settings=settings, clock=lambda: self.now
        )
        self.wires: list[Wire] = []
        self.trades: list[dict[str, Any]] = []
        self.told: list[Event] = []
        self.shown: list[float | None] = []
        self.reader = self.provider.open_feed()
        self._attach(self.provider)

    def _attach(self, carrier: Looks) -> Wire:
        carrier.feed_thread._is_available = False  # what it does is done here
        wire = Wire(carrier)
        self.wires.append(wire)
        self.connect(wire)
        return wire

    # -- the network

    def connect(self, wire: Wire) -> None:
        """Let a connection be made anew."""
        thread = wire.carrier.feed_thread
        with thread.lock:
            thread.feed.link.attempt(self.now)
            events = thread.feed.opened(self.now)
        thread.readers.publish(events)

    def lose(self, wire: Wire) -> None:
        """Let a connection be closed; what was under way is lost."""
        self.tell(wire)
        thread = wire.carrier.feed_thread
        wire.subscribed.clear()
        wire.under_way.clear()
        with thread.lock:
            events = thread.feed.lost(self.now, "closed")
        thread.readers.publish(events)
        thread.do_errands()

    def ask(self, wire: Wire) -> None:
        """Let the feed's thread send what is due, and Kraken answer it."""
        thread = wire.carrier.feed_thread
        self.tell(wire)
        thread.do_errands()
        with thread.lock:
            due = thread.feed.due(self.now)
        thread.readers.publish(due.events)
        assert due.lost is None
        for frame in due.frames:
            self._answer(wire, json.loads(frame))

    def _answer(self, wire: Wire, message: dict[str, Any]) -> None:
        if message["method"] == "ping":
            self._send(wire, '{"method":"pong"}')
            return
        params = message["params"]
        channel = params["channel"]
        head = {"method": message["method"], "req_id": message["req_id"]}
        if message["method"] == "subscribe" and wire.refuses:
            refusal = {**head, "success": False, "error": "EGeneral:No", "symbol": BTC}
            self._send(wire, json.dumps(refusal))
            return
        result = {"channel": channel, "symbol": BTC}
        self._send(wire, json.dumps({**head, "success": True, "result": result}))
        if message["method"] == "unsubscribe":
            wire.subscribed.discard(channel)
            return
        wire.subscribed.add(channel)
        if channel == "ticker" and self.trades:
            self._send(wire, self._ticker("snapshot"))
        elif channel == "ohlc" and self.trades:
            self._send(wire, self._candle("snapshot"))

    def trade(self) -> None:
        """Let somebody trade; every connection is told of it in its own time."""
        number = len(self.trades) + 1
        row = {"symbol": BTC, "side": "buy", "price": float(number), "qty": 1.0}
        row |= {"ord_type": "market", "trade_id": number, "timestamp": moment(self.now)}
        self.trades.append({**row, "at": self.now})
        for wire in self.wires:
            if wire.is_mute:
                continue
            if "trade" in wire.subscribed:
                frame = {"channel": "trade", "type": "update", "data": [row]}
                self._send(wire, json.dumps(frame))
            if "ticker" in wire.subscribed:
                self._send(wire, self._ticker("update"))
            if "ohlc" in wire.subscribed:
                self._send(wire, self._candle("update"))

    def _send(self, wire: Wire, frame: str) -> None:
        wire.under_way.append((self.now, frame))

    def _ticker(self, kind: str) -> str:
        last = self.trades[-1]
        row = {"symbol": BTC, "bid": 1.0, "ask": 3.0, "last": last["price"]}
        if self._is_stamped:
            row["timestamp"] = last["timestamp"]
        return json.dumps({"channel": "ticker", "type": kind, "data": [row]})

    def _candle(self, kind: str) -> str:
        minute = self.trades[-1]["at"] // _MINUTE
        prices = [x["price"] for x in self.trades if x["at"] // _MINUTE == minute]
        row = {
            "symbol": BTC, "interval": 1, "interval_begin": moment(minute * _MINUTE),
            "open": prices[0], "close": prices[-1], "high": max(prices), "low": min(prices),
            "volume": float(len(prices)), "trades": len(prices), "vwap": prices[0],
        }  # fmt: skip
        return json.dumps({"channel": "ohlc", "type": kind, "data": [row]})

    # -- the threads

    def take_in(self, wire: Wire, most: int) -> None:
        """Let a feed's thread take in what has come, and not tell it yet."""
        self.tell(wire)
        thread = wire.carrier.feed_thread
        frames = [wire.under_way.popleft()[1] for _ in range(min(most, len(wire.under_way)))]
        with thread.lock:
            if not thread.feed.link.is_open:
                return
            thread.feed.link.heard(self.now)
            for frame in frames or ['{"channel":"heartbeat"}']:
                for message in read_frame(frame, self.now):
                    wire.untold += thread.feed.receive(message, self.now)

    def tell(self, wire: Wire) -> None:
        """Let a feed's thread tell what it has taken in."""
        told, wire.untold = wire.untold, []
        wire.carrier.feed_thread.readers.publish(told)

    def run(self, wire: Wire) -> None:
        """Let a feed's thread do what it was sent, once it has told what it took in."""
        self.tell(wire)
        wire.carrier.feed_thread.do_errands()

    # -- moving

    def move(self, channel: str) -> bool:
        """Begin to move a channel to the connection that carries least; False: it is moving."""
        key = KEYS[channel]
        pool, origin = self.provider.pool, self.provider.pool.carrier(KEYS[channel])
        sub = origin.feed_thread.feed.subscriptions.by_key.get(key)
        if sub is None or key in pool._moves or key in pool._refused:
            return False
        if len(pool.branches) < 2:
            with self.provider.feed_thread.lock:
                self._attach(pool._branch_locked(self.provider.settings))
        pool._begin(sub, origin)
        return True

    def want_anew(self, channel: str) -> None:
        """Give a channel back whole, and want it again at once.

        What was taken in is told by then: that takes a moment, and an answer of Kraken a way.
        """
        for wire in self.wires:
            self.tell(wire)
        self.provider.unsubscribe_symbol(BTC, channel)
        self.provider.subscribe_symbol(BTC, channel)

    def step(self) -> None:  # noqa: C901 - one line for each thing that may happen
        """Let one thing happen."""
        draw, wire = self.random.random(), self.random.choice(self.wires)
        self.now += self.random.choice([0.0, 0.001, 0.01, 0.2])
        for late in self.wires:  # what comes later than that is no proof, and ends a connection
            while late.under_way and self.now - late.under_way[0][0] > _LONGEST:
                self.take_in(late, 1)
            link = late.carrier.feed_thread.feed.link
            if self.now - (link.last_frame_at or self.now) > _LONGEST:
                self.take_in(late, 0)  # Kraken beats
        if draw >= 0.25 and not wire.carrier.feed_thread.feed.link.is_open:
            wire.carrier.feed_thread.do_errands()
        elif draw < 0.25:
            self.trade()
        elif draw < 0.55:
            self.take_in(wire, self.random.randint(1, 4))
        elif draw < 0.70:
            self.tell(wire)
        elif draw < 0.80:
            self.run(wire)
        elif draw < 0.90:
            self.ask(wire)
        elif draw < 0.94:
            self.move(self.random.choice(list(KEYS)))
        else:
            self.tell(wire)
            wire.carrier.feed_thread.on_look()
        self.look()

    def look(self) -> None:
        """Read the price, and all that readers have heard."""
        found = self.provider.proven(BTC)
        self.shown.append(None if found is None else float(found[0].price))
        while (event := self.reader.get(0)) is not None:
            self.told.append(event)

    def settle(self) -> None:
        """Let everything come to its end, with every connection there and one more trade."""
        for wire in self.wires:
            thread = wire.carrier.feed_thread
            thread.send(partial(thread.trust, BTC))
            if wire.refuses and wire.carrier.feed_thread.feed.link.is_open:
                self.lose(wire)  # what was refused is asked for on the next connection
        for turn in range(24):
            self.now += 0.5
            if turn == 12:
                self.trade()
            for wire in self.wires:
                wire.is_mute = wire.refuses = False
                if not wire.carrier.feed_thread.feed.link.is_open:
                    self.connect(wire)
                self.ask(wire)
                self.take_in(wire, 1000)
                self.run(wire)
                wire.carrier.feed_thread.on_look()
                self.look()

    def misfortune(self) -> None:
        """Let something go wrong with one connection, or be well again."""
        wire = self.random.choice(self.wires)
        if not wire.carrier.feed_thread.feed.link.is_open:
            self.connect(wire)
        elif self.random.random() < 0.6:
            self.lose(wire)
        else:
            wire.refuses = True
        self.look()

    def audit(self) -> None:
        """Let an audit find that one connection lies about the price, or does so no more."""
        thread = self.random.choice(self.wires).carrier.feed_thread

        def distrust() -> None:
            thread.distrust(BTC, "REST says otherwise")

        if self.random.random() < 0.5:
            thread.send(distrust)
            if self.random.random() < 0.5:
                thread.send(partial(thread.resubscribe, BTC))
        else:
            thread.send(partial(thread.trust, BTC))

    # -- what was told

    def prints(self) -> list[int]:
        """Return the numbers of the trades that were told, in order."""
        return [x.trade_id for e in self.told if isinstance(e, Trades) for x in e.prints]

    def holes(self) -> Iterator[tuple[int, int]]:
        """Return what was never told of, nor that it might be missing: the trades around it."""
        last, is_doubtful = 0, True
        for n, event in enumerate(self.told):
            if isinstance(event, (FeedStale, FeedBack, Resubscribed)):
                is_doubtful = True
            if isinstance(event, Trades):
                gaps = set(range(0))
                for later in self.told[n + 1 :]:
                    if not isinstance(later, TradeGap):
                        break
                    gaps |= set(range(later.first, later.last + 1))
                for one in event.prints:
                    between = set(range(last + 1, one.trade_id)) - gaps
                    if between and not is_doubtful:
                        yield last, one.trade_id
                    last, is_doubtful = one.trade_id, False

    def gaps(self) -> Iterator[int]:
        """Return the numbers of the trades that were told to be missing."""
        for event in self.told:
            if isinstance(event, TradeGap):
                yield from range(event.first, event.last + 1)

    def ticks(self) -> list[float]:
        """Return the prices that were told, in order."""
        return [float(event.price) for event in self.told if isinstance(event, Tick)]

    def candles(self) -> list[tuple[int, int]]:
        """Return beginning and number of trades of the candles that were told, in order."""
        updates = [event for event in self.told if isinstance(event, CandleUpdate)]
        return [(one.begin, one.trades) for update in updates for one in update.candles]

    def blinks(self) -> list[FeedStale | FeedBack]:
        """Return what was told of connections that were lost and are back."""
        return [event for event in self.told if isinstance(event, (FeedStale, FeedBack))]

    def carriers(self, key: Key) -> list[int]:
        """Return the numbers of the connections that have a subscription."""
        return [
            number
            for number, wire in enumerate(self.wires)
            if key in wire.carrier.feed_thread.feed.subscriptions.by_key
        ]
