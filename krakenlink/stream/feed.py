"""The feed's mind: the link and the subscriptions together, what comes in and what falls due.

Pure: no thread, no socket, no clock, no randomness - time and chance come in as arguments, and
what is to be sent goes out as text. It must never let one of the two live on without the other: a
lost link ends every price at that moment, and a new one proves nothing by itself.

Sources: Kraken, spot WebSocket v2 (ticker, trade, status, heartbeat, ping) and its guides on
connecting and rate limits (read 2026-11).
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from krakenlink.stream.contents import Contents
from krakenlink.stream.events import (
    Ack,
    BookUpdate,
    CandleUpdate,
    Damaged,
    Due,
    Event,
    FeedBack,
    FeedStale,
    InstrumentUpdate,
    Message,
    NoPrice,
    Pong,
    RateRefusal,
    Status,
    SystemState,
    Tick,
    Trades,
)
from krakenlink.stream.link import Link
from krakenlink.stream.moves import (
    NOTHING,
    Departure,
    Seen,
    covers,
    departure_of,
    seen_of,
    welcome,
)
from krakenlink.stream.settings import FeedSettings
from krakenlink.stream.states import Key, Subscription, SubState
from krakenlink.stream.subscriptions import Subscriptions

_LIVE = SubState.LIVE  # a look into the enumeration costs as much as one into a dictionary


class FeedProtocol:
    """One link and what is subscribed on it. Not thread-safe: the shell calls it under its lock.

    Attributes:
        link: The life of the connection; attempts and delays are told to it alone.
        subscriptions: What is asked for on it; wishes are told to it alone.
        contents: What the channels beside `ticker` bring for them.
        system: The state of Kraken's engine; None before it was told.
        damaged: How many messages could not be read, ever.
        is_part: Whether other connections carry more of the same: then what becomes of this one
            is about its own symbols alone.
    """

    def __init__(self, settings: FeedSettings) -> None:
        self.settings = settings
        self.link = Link(settings)
        self.subscriptions = Subscriptions(settings)
        self.contents = Contents(self.subscriptions)
        self.system: str | None = None
        self.damaged = 0
        self.is_part = False
        self._samples: deque[tuple[float, int, int]] = deque()

    # -- connections come and go

    def opened(self, now: float) -> list[Event]:
        """The handshake is done: everything is asked for at the next `due`."""
        events = self.link.opened(now)
        self.subscriptions.opened()
        return self._of_part(events)

    def lost(
        self, now: float, reason: str, chance: float = 0.0, *, at_least: float = 0.0
    ) -> list[Event]:
        """The link is gone, or could not be made: at this moment every price stops counting.

        Args:
            now: The moment.
            reason: A sentence for people.
            chance: A random number from 0 to 1 for the jitter.
            at_least: The shortest delay that is decent after such a refusal, in seconds.
        """
        if self.system == "maintenance":
            at_least = max(at_least, self.settings.maintenance_delay)
        events = self.link.lost(now, reason, chance, at_least=at_least)
        self.subscriptions.lost()
        return self._of_part(events)

    def _of_part(self, events: list[Event]) -> list[Event]:
        """Say which symbols it is about, where others do not share the fate of this connection."""
        if not self.is_part:
            return events
        symbols = self.subscriptions.seen_symbols()
        about = (FeedStale, FeedBack)
        return [replace(x, symbols=symbols) if isinstance(x, about) else x for x in events]

    def close(self, now: float) -> list[Event]:
        """Stop, and be as new: subscriptions are given back."""
        events = self.link.close(now)
        self.subscriptions.clear()
        return events

    def abandon(self, now: float, reason: str) -> list[Event]:
        """Whoever ran it is gone: nothing counts, and the next one begins after a decent pause.

        It asks no table, because a defect may have left a state that none of them knows.
        """
        events = self.link.abandon(now, reason)
        self.subscriptions.abandon()
        return self._of_part(events)

    # -- what comes in

    def receive_prices(self, messages: list[Message]) -> list[Tick]:
        """Take in prices that only follow others that count: the hot path.

        It stops before the first message that is anything else: a first price, one that an audit
        distrusts, one of what is not asked for. Those are for `receive`.

        Returns:
            Those that were taken in, which are also all that is to be told of them.
        """
        tickers, count = self.subscriptions.tickers, 0
        for tick in messages:
            if type(tick) is not Tick:
                break
            sub = tickers.get(tick.symbol)
            if sub is None or sub.state is not _LIVE or sub.distrusted:
                break
            sub.ticks += 1
            # As `prove` does, without a call.
            sub.latest = sub.proven = tick
            sub.price = float(tick.price)
            count += 1
        self.subscriptions.ticks += count
        return messages[:count]  # type: ignore[return-value]  # by the first look at each

    def receive(self, message: Message, now: float) -> list[Event]:
        """Take in one message of a frame that the link has heard."""
        if isinstance(message, BookUpdate):  # first, as there are a hundred of them for each price
            return self.contents.receive_book(message)
        if isinstance(message, Tick):
            return self.subscriptions.receive_tick(message)
        if isinstance(message, Trades):
            return self.contents.receive_trades(message)
        if isinstance(message, CandleUpdate):
            return self.contents.receive_candles(message)
        if isinstance(message, InstrumentUpdate):
            return self.contents.receive_instruments(message)
        if isinstance(message, Ack):
            return self.subscriptions.receive_ack(message, now)
        if isinstance(message, NoPrice):
            return self.subscriptions.priceless(message.symbol, now)
        if isinstance(message, Status):
            return self._receive_status(message, now)
        self._note(message, now)
        return []

    def _receive_status(self, status: Status, now: float) -> list[Event]:
        if status.system == self.system:
            return []  # pushed about once a second, whether it changed or not
        self.system = status.system
        return [SystemState(status.system, now)]

    def _note(self, message: Message, now: float) -> None:
        """Take in what nobody is told of."""
        if isinstance(message, RateRefusal):
            self.subscriptions.slow_down(message, now)
            if message.req_id is None and message.symbol is None:
                self.link.forget_ping()  # the refused message may have been the ping
        elif isinstance(message, Pong):
            self.link.ponged(now)
        elif isinstance(message, Damaged):
            self.damaged += 1

    # -- what falls due

    def due(self, now: float) -> Due:
        """Return what is to be done at `now`. Cheap when nothing is."""
        due = Due()
        if not self.link.is_open:
            return due
        self._sample(now)
        self.link.check(now, due)
        if due.lost is None:
            self.subscriptions.check(now, due)
        return due

    def next_due(self, now: float) -> float:
        """Return the moment at which `due` has work again, if nothing happens before."""
        return min(self.link.next_due(), self.subscriptions.next_due(now))

    def patience(self, sub: Subscription, now: float) -> float:
        """Return for how many seconds a first price of `sub` is worth waiting; 0 for not at all."""
        return self.link.patience(now) if sub.is_hopeful else 0.0

    # -- what moves to another connection

    def seen(self, key: Key, now: float) -> Seen:
        """Return what of a subscription counts on this connection now."""
        if not self.link.is_open or now >= self.link.good_until:
            return NOTHING
        return seen_of(self.subscriptions.by_key.get(key))

    def depart(self, key: Key, there: Seen, now: float) -> Departure | None:
        """Return what a subscription takes along, if all that is had of it here is had elsewhere.

        Args:
            key: The subscription; it is still to be given up here.
            there: What is had of it elsewhere.
            now: The moment.

        Returns:
            None where it stays for now.
        """
        sub = self.subscriptions.by_key.get(key)
        if sub is None:
            return Departure(at=now)  # nobody wants it any more
        # What an audit doubts is settled where it was doubted.
        if sub.distrusted or sub.param > there.param:
            return None
        if not covers(sub.channel, there, seen_of(sub), self.settings.dead_after, now):
            return None
        return departure_of(sub, self.link.blind_since, now)

    def arrive(self, key: Key, left: Departure, now: float) -> list[Event]:
        """Have a subscription from now on that was on its way here; return what is told of it."""
        sub = self.subscriptions.arriving.get(key)
        if sub is None:
            return []
        if not self.subscriptions.join(sub, left.refs):
            self.subscriptions.give_up(sub)
            return []
        sub.is_looked_at = sub.is_looked_at or left.is_looked_at
        if left.param > sub.param:
            self.subscriptions.expect(sub.symbol, sub.channel, left.param)
        return welcome(sub, left, is_open=self.link.is_open, now=now)

    # -- the figures

    def _sample(self, now: float) -> None:
        """Keep one figure a second, so that rates can be told when somebody asks."""
        samples = self._samples
        if not samples or now - samples[-1][0] >= 1.0:
            samples.append((now, self.link.messages, self.subscriptions.ticks))
            while now - samples[0][0] > self.settings.rate_window:
                samples.popleft()

    def rates(self, now: float) -> tuple[float, float]:
        """Return messages and ticks per second over the last `rate_window` seconds."""
        window = self.settings.rate_window
        recent = [sample for sample in self._samples if now - sample[0] <= window]
        if not recent or now <= recent[0][0]:
            return 0.0, 0.0
        at, messages, ticks = recent[0]
        span = max(now - at, 1.0)
        return (self.link.messages - messages) / span, (self.subscriptions.ticks - ticks) / span

    def gathering(self, now: float) -> float:
        """Return for how many seconds messages should be gathered at the present pace."""
        settings = self.settings
        return settings.gather_for if self.rates(now)[0] >= settings.gather_above else 0.0
