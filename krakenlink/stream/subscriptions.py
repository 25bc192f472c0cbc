"""Who is asked for, promised, live, refused or mute, on the present connection.

Pure and not thread-safe: the feed calls it under its lock. It must never guess: a symbol counts as
live only after its own acknowledgement and its own data on the present connection, whatever came
on an earlier one or before it was asked for anew.

Sources: Kraken, spot WebSocket v2 (subscribe, unsubscribe, ticker, trade) and its guide on rate
limits (read 2026-11).
"""

from __future__ import annotations

from krakenlink.known_names import DEPTHS
from krakenlink.pairs import Symbol
from krakenlink.stream.arrivals import Arrivals
from krakenlink.stream.asking import Asking
from krakenlink.stream.events import (
    Ack,
    Channel,
    ChannelLive,
    Due,
    Event,
    FirstData,
    RateRefusal,
    Resubscribed,
    SymbolMute,
    SymbolRefused,
    Tick,
)
from krakenlink.stream.settings import FeedSettings
from krakenlink.stream.states import Key, Subscription, SubSignal, SubState, key_of
from krakenlink.stream.tapes import MOST_CANDLES, MOST_TRADES, Tape

# Trades and candles come when somebody trades: there are no first data to wait for. So many of
# them are kept.
_NEEDS_NO_DATA = {Channel.TRADE: MOST_TRADES, Channel.OHLC: MOST_CANDLES}
_WITH_DATA = frozenset({SubState.ACKED, SubState.LIVE})
_GIVEN_UP = frozenset({SubState.REFUSED, SubState.MUTE})


class Subscriptions(Arrivals):
    """Every subscription of the feed, what waits to be asked, and what was asked for.

    Attributes:
        ticks: How many prices came, ever.
    """

    def __init__(self, settings: FeedSettings) -> None:
        super().__init__()
        self.settings = settings
        self.ticks = 0
        self._asking = Asking(settings)
        self._begin_connection()

    def _begin_connection(self) -> None:
        """Forget what belongs to one connection."""
        self._left: set[Key] = set()  # ever, so that late data of theirs prove nothing new
        self._unproven: dict[Key, Subscription] = {}  # in the order of asking
        self._retry_mute_at: float | None = None  # nothing is mute

    # -- wanting

    def want(self, symbol: Symbol, channel: Channel, param: int = 0) -> Subscription:
        """Add one reference to a subscription; it is asked for when the feed is next due.

        A book is streamed once, as deep as anybody has wanted it: for more it is asked for anew.
        """
        sub = self._at_hand(symbol, channel, param, is_arriving=False)
        sub.refs += 1
        return sub

    def expect(self, symbol: Symbol, channel: Channel, param: int = 0) -> None:
        """Ask for what is still had elsewhere: nobody hears of it, nor has it, before `join`."""
        self._at_hand(symbol, channel, param, is_arriving=True)

    def _at_hand(
        self, symbol: Symbol, channel: Channel, param: int, *, is_arriving: bool
    ) -> Subscription:
        sub = self.by_key.get(key_of(channel, symbol, param))
        if sub is None:
            sub = Subscription(symbol, channel, self.settings.batch_size, param=param)
            sub.is_arriving = is_arriving
            self._add(sub)
            self._asking.to_ask[sub.key] = sub
        elif sub.param < param <= sub.most_param:
            sub.param = param
            self._renew(sub)
        return sub

    def unwant(self, symbol: Symbol, channel: Channel, param: int = 0) -> bool:
        """Take one reference away; True when it was the last and the symbol is given up."""
        key = key_of(channel, symbol, param)
        sub = self.by_key.get(key)
        if sub is None:
            return False
        sub.refs -= 1
        if sub.refs > 0 or sub.is_arriving:
            return False
        self.give_up(sub)
        return True

    def give_up(self, sub: Subscription) -> None:
        """Leave a subscription, whoever wants it."""
        self._drop(sub)
        sub.unprove()
        self._forget_ask(sub)
        if sub.asks:
            self._asking.to_leave[sub.key] = sub
            self._left.add(sub.key)

    def ask_again(self, symbol: Symbol, channel: Channel) -> bool:
        """Leave and ask anew; nothing of it counts until the new ack and data. False: unknown."""
        found = [sub for sub in self.by_key.values() if sub.key[:2] == (channel, symbol)]
        for sub in found:
            self._renew(sub)
        return bool(found)

    def _renew(self, sub: Subscription) -> None:
        self._requeue(sub)
        if sub.asks and sub.state is not SubState.REFUSED:
            # Without an acknowledgement, too: it may be the answer that was lost, and to a second
            # subscribe alone Kraken would say `Already subscribed` and send no snapshot.
            self._asking.to_leave[sub.key] = sub
        sub.acked_at = sub.early = None

    def _forget_ask(self, sub: Subscription) -> None:
        self._asking.forget(sub)
        self._unproven.pop(sub.key, None)

    def _requeue(self, sub: Subscription) -> None:
        self._forget_ask(sub)
        sub.step(SubSignal.RETRY)
        self._asking.to_ask[sub.key] = sub

    # -- connections come and go

    def opened(self) -> None:
        """A connection is there: everything has to be asked for on it."""
        self._begin_connection()
        self._asking.begin_connection(self.by_key)

    def lost(self) -> None:
        """The connection is gone: at this moment every price stops counting."""
        for sub in self.by_key.values():
            sub.step(SubSignal.LOST)
            sub.acked_at = sub.early = None
            sub.asks = 0
        self._asking.begin_connection({})
        self._begin_connection()

    def abandon(self) -> None:
        """The connection is gone in no orderly way: all is to be asked for anew."""
        for sub in self.by_key.values():
            sub.unprove()
            sub.state = SubState.WANTED
            sub.acked_at = sub.early = None
            sub.asks = 0
        self._asking.begin_connection({})
        self._begin_connection()

    def clear(self) -> None:
        """Give all of them back; whoever still holds one finds no price in it."""
        for sub in self.by_key.values():
            sub.unprove()
        self._forget_all()
        self._asking.begin_connection({})
        self._begin_connection()

    # -- what comes in

    def receive_tick(self, tick: Tick) -> list[Event]:
        """Take in a price: the hot path."""
        sub = self.tickers.get(tick.symbol)
        if sub is None:
            return self._arriving_tick(tick)
        self.ticks += 1
        sub.ticks += 1
        if sub.state is SubState.LIVE:
            sub.prove(tick)
            return [tick] if sub.proven is tick else []
        return self._first_tick(sub, tick)

    def _arriving_tick(self, tick: Tick) -> list[Event]:
        """Take in a price of what is on its way here, or was under way while it was left."""
        sub = self.arriving.get((Channel.TICKER, tick.symbol))
        if sub is None:
            return []
        self.ticks += 1
        sub.ticks += 1
        if sub.state is SubState.LIVE:
            sub.prove(tick)
        else:
            self._first_tick(sub, tick)
        return self.heard_of(sub, [])

    def _first_tick(self, sub: Subscription, tick: Tick) -> list[Event]:
        sub.latest = tick
        if sub.acked_at is None:
            sub.early = tick if self.is_first(sub) else None
            return []
        sub.step(SubSignal.DATA)
        self._unproven.pop(sub.key, None)
        sub.prove(tick)
        events: list[Event] = [FirstData(sub.symbol, tick.at)]
        return [*events, tick] if sub.proven is tick else events

    def is_first(self, sub: Subscription) -> bool:
        """Whether what comes before an acknowledgement can belong to nothing else than this.

        Data may overtake their ack. Asked for a second time, though, they may be the rest of the
        first stream, which is the one that was not to be trusted.
        """
        return sub.asks == 1 and sub.key not in self._left

    def may_be_left(self, sub: Subscription) -> bool:
        """Whether what comes now can be the rest of an earlier stream, which was left here."""
        return sub.acked_at is None and sub.key in self._left

    def proved(self, sub: Subscription) -> None:
        """Its first data have come."""
        sub.step(SubSignal.DATA)
        self._unproven.pop(sub.key, None)

    def doubt(self, sub: Subscription, now: float) -> list[Event]:
        """Its data cannot be: ask anew, unless that has not helped; then only now and then."""
        settings = self.settings
        sub.wrongs = sub.wrongs + 1 if now - sub.wrong_at < settings.wrong_forgotten else 1
        sub.wrong_at = now
        if sub.wrongs <= settings.wrong_most:
            self._renew(sub)
            return []
        sub.content = sub.early = None
        return [] if sub.state not in _WITH_DATA else self._give_up(sub, now)

    def receive_ack(self, ack: Ack, now: float) -> list[Event]:
        """Take in Kraken's answer to a subscribe or unsubscribe."""
        if ack.method == "unsubscribe":
            # Accepted or "Subscription Not Found": either way it is gone.
            if ack.req_id is None:
                self._ended_by_kraken(ack)
            return []
        events: list[Event] = []
        meant = self._asking.meant_by(ack.req_id, ack.symbol, ack.channel)
        for sub in meant:
            if ack.accepted:
                if sub.channel is Channel.BOOK and ack.depth in DEPTHS:
                    sub.asked_param = ack.depth  # a relay streams it as deep as its deepest reader
                events += self.heard_of(sub, self._acked(sub, now))
            elif ack.symbol is None and len(meant) > 1:
                self._split(meant)
                break
            else:
                events += self.heard_of(sub, self._refused(sub, ack.error, now))
        return events

    def _ended_by_kraken(self, ack: Ack) -> None:
        """Ask again for what Kraken says to have ended: nobody here has asked for that.

        Our own messages all carry a `req_id`, and come back with it. Should one not, asking
        again each time would go on for ever; so it is done once for each subscription.
        """
        for sub in list(self.by_key.values()):
            is_meant = sub.symbol == ack.symbol and ack.channel in (None, sub.channel)
            if ack.accepted and is_meant and self.is_first(sub):
                self._renew(sub)

    def _acked(self, sub: Subscription, now: float) -> list[Event]:
        self._asking.forget(sub)
        self._asking.rate_refusals = 0
        is_again = sub.acks > 0 or sub.state in _GIVEN_UP
        sub.step(SubSignal.ACK)
        sub.acked_at = now
        sub.acks += 1
        sub.error = ""
        events: list[Event] = []
        if is_again:
            events.append(Resubscribed(sub.symbol, sub.channel.value, now))
        if sub.channel in _NEEDS_NO_DATA:
            self._unproven.pop(sub.key, None)
            if sub.state is SubState.MUTE:
                sub.step(SubSignal.DATA)
            sub.content = Tape(_NEEDS_NO_DATA[sub.channel], is_kept=sub.is_written_down)
            events.append(ChannelLive(sub.symbol, sub.channel.value, now))
        elif sub.state is SubState.ACKED:
            self._unproven.setdefault(sub.key, sub)
        early, sub.early = sub.early, None
        if isinstance(early, Tick):
            events += self._first_tick(sub, early)
        elif early is not None:
            self.proved(sub)
            sub.content = early
            events.append(ChannelLive(sub.symbol, sub.channel.value, now))
        sub.good_param = sub.asked_param
        return events

    def _refused(self, sub: Subscription, error: str, now: float) -> list[Event]:
        self._forget_ask(sub)
        if shallower := _shallower(sub, error):
            # Deeper than Kraken will: what it gave before is better than nothing.
            sub.param = sub.most_param = sub.good_param = shallower
            self._requeue(sub)
            return [SymbolRefused(sub.symbol, sub.channel.value, error, now)]
        is_news = sub.state is not SubState.REFUSED or sub.error != error
        sub.step(SubSignal.REFUSE)
        sub.acked_at = sub.early = None
        sub.error = error or "refused without a reason"
        if not is_news:
            return []
        return [SymbolRefused(sub.symbol, sub.channel.value, sub.error, now)]

    def _split(self, asked: list[Subscription]) -> None:
        """Ask for the symbols of a refused message in smaller ones: the bad one has to stand out.

        A refusal that names no symbol may mean one bad name among a hundred good ones.
        """
        for sub in asked:
            sub.batch_size = max(1, len(asked) // 2)
            self._requeue(sub)

    def slow_down(self, refusal: RateRefusal, now: float) -> None:
        """Pause, and ask again for just what has no answer yet."""
        if refusal.req_id is not None or refusal.symbol is not None:
            meant = self._asking.meant_by(refusal.req_id, refusal.symbol, None)
        else:
            meant = self._asking.unanswered()
        for sub in meant:
            self._requeue(sub)
        self._asking.pause(now)

    def priceless(self, symbol: Symbol, now: float) -> list[Event]:
        """Kraken knows no last price: nothing to wait for, REST has to answer, and at once.

        A price that counts already stays: it is still the last one that was traded.
        """
        sub = self.tickers.get(symbol) or self.arriving.get((Channel.TICKER, symbol))
        if sub is None or sub.state is not SubState.ACKED:
            return []
        return self._give_up(sub, now)

    def _give_up(self, sub: Subscription, now: float) -> list[Event]:
        self._unproven.pop(sub.key, None)
        sub.step(SubSignal.GIVE_UP)
        self._plan_mute_retry(now)
        return self.heard_of(sub, [SymbolMute(sub.symbol, sub.channel.value, now)])

    def _plan_mute_retry(self, now: float) -> None:
        if self._retry_mute_at is None and self.settings.mute_retry_every > 0:
            self._retry_mute_at = now + self.settings.mute_retry_every

    # -- what falls due

    def check(self, now: float, due: Due) -> None:
        """Put into `due` what is to be asked, left or given up at `now`."""
        self._check_mute(now, due)
        self._retry_mute(now)
        for sub in self._asking.ask(now, due.frames):
            if sub.state is SubState.ASKED:
                self._unproven[sub.key] = sub
            elif sub.state is SubState.MUTE:
                self._plan_mute_retry(now)

    def next_due(self, now: float) -> float:
        """Return the moment at which `check` has work again, if nothing happens before."""
        moments = [self._asking.next_due(now)]
        first = next(iter(self._unproven.values()), None)
        if first is not None:
            moments.append(first.asked_at + self.settings.mute_after)
        if self._retry_mute_at is not None:
            moments.append(self._retry_mute_at)
        return min(moments)

    def _check_mute(self, now: float, due: Due) -> None:
        deadline = now - self.settings.mute_after
        while self._unproven:
            sub = next(iter(self._unproven.values()))
            if sub.asked_at > deadline:
                return
            if sub.asks < 2:
                self._renew(sub)
            else:
                self._asking.forget(sub)
                due.events += self._give_up(sub, now)

    def _retry_mute(self, now: float) -> None:
        if self._retry_mute_at is None or now < self._retry_mute_at:
            return
        self._retry_mute_at = None
        for sub in self.by_key.values():
            if sub.state is SubState.MUTE:
                self._renew(sub)


def _shallower(sub: Subscription, error: str) -> int:
    """Return the depth at which a refused book is worth asking for; 0 where it is not.

    Of a depth that Kraken has given before, only a refusal that names it is one of the depth: it
    may be said when the book is asked for anew, after a wrong sum.
    """
    if sub.channel is not Channel.BOOK or not sub.good_param:
        return 0
    if sub.asked_param > sub.good_param:
        return sub.good_param
    return DEPTHS[0] if sub.asked_param > DEPTHS[0] and "depth" in error.lower() else 0
