"""The running program: prices come in, crossings go out to the order thread.

The caller's thread reads one queue (prices from the feed, changes of the rule book from the order
thread, polled prices from the keeper, past trades) and does nothing else, so nothing stands between
a tick and its crossing. What it must never do: wait for Kraken or for a disk.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from functools import partial

from krakenlink.machine import feed_clock
from krakenlink.once import Once
from krakenlink.stream.events import (
    Channel,
    FeedBack,
    FeedStale,
    FirstData,
    Resubscribed,
    SymbolDistrusted,
    SymbolMute,
    SymbolRefused,
    SymbolTrusted,
    SystemState,
    Tick,
    Trades,
)
from ttslo_app.clocks import clock_time
from ttslo_app.messages import (
    BookArm,
    BookDisarm,
    BookFired,
    Fetched,
    NotFetched,
    PolledPrice,
    Say,
    tell,
)
from ttslo_app.orders.worker import OrderWorker
from ttslo_app.run import words
from ttslo_app.run.account_watch import account_watch_of
from ttslo_app.run.keeper import Duty, Keeper, Poller, TapeKeeper, prove_one
from ttslo_app.run.order_checks import ReadingKey, checks_of
from ttslo_app.run.parts import Item, Options, World
from ttslo_app.run.streams import Streams
from ttslo_app.run.watchdog import Watchdog, watched
from ttslo_app.watch.lookback import PastReader
from ttslo_app.watch.watch import Watch

_log = logging.getLogger(__name__)

# Kraken's clock is asked for now and then, and soon where it is not known or a clock was set.
_CLOCK_CHECK, _CLOCK_AGAIN = 600.0, 2.0
_NO_CLOCK = "Kraken's clock cannot be read"
# An order travels over a connection that is open already: idle ones are closed by the edge.
_KEEP_WARM = 25.0
# One arming of an earlier run is asked for at a time: three calls, of which Kraken's smallest
# allowance regains one in 3 s.
_PROVE_EVERY = 9.0
# Clean ends: an order under way gets this long for its answer.
_ORDER_PATIENCE = 5.0
# How far the tapes were seen is kept this often. What is seen twice after a crash is harmless, as
# a trade that fired nothing then fires nothing now; so this only bounds what is fetched again.
_MARK_EVERY = 2.0
# Without any price the loop turns so often, in seconds.
_TURN = 0.5
# From so many waiting events on, only the newest ticker of each market is looked at: the trades
# carry every price. From `_FLOOD` on the trades are left to REST, as those of a blind time are:
# memory stays bounded, and the hole in their numbers brings each of them back.
_CROWD = 1_000
_FLOOD = 200_000
_BEHIND = 2.0
# What has waited longer, as while the machine slept, is no price of now: its trades are fetched
# like those of a blind time, and the row's policy decides.
_TOO_LATE = 30.0


class _Stop:
    """Wakes the reader of the queue so that it sees the end."""


_STOP = _Stop()


class LiveRun:
    """Runs until `stop`.

    Args:
        world: What lies around it.
        worker: The order thread, which `run` starts and ends.
        inbox: The one queue that is read; the order thread posts to it, too.
        streams: Who streams, and who is polled.
        options: What the user chose.
        reload: Reads config.csv and hands it to the order thread, if somebody has edited it;
            called again and again on the keeper's thread, and soon where it says `True`.
        say: Takes a level and a sentence for a person.

    Attributes:
        watch: All that is armed.
        turned_at: When the price loop came round last, on `feed_clock`; 0 before it has begun.
    """

    def __init__(
        self,
        world: World,
        worker: OrderWorker,
        inbox: queue.SimpleQueue[Item],
        streams: Streams,
        *,
        options: Options,
        reload: Callable[[], object],
        say: Say,
    ) -> None:
        self._worker = worker
        self._inbox = inbox
        self._streams = streams
        self._clocks = world.clocks
        self._say = say
        self._stopping = threading.Event()
        self._watchdog = Watchdog(worker, world.clocks, say)
        self._tape = TapeKeeper(world.tape, worker.submit, say)
        self._past = PastReader(world.prices, inbox.put, world.clocks, options.pace)
        self.watch = Watch(
            submit=watched(self._watchdog, worker.submit),
            say=say,
            want=self._past.want,
            present=streams.present_price,
            clocks=world.clocks,
            default=options.when_blind,
            saved=self._tape.load(),
            pace=options.pace,
        )
        self.watch.give_way = worker.let_begin
        self.watch.in_order = lambda ids: worker.ledger.kin.in_file_order(ids)
        self._checks = checks_of(world.exchange, lambda: self.watch.seats, worker, say)
        self._account = account_watch_of(world, worker, options.settings, inbox, say)
        self._keeper = Keeper(self._duties(world, options, reload), self._stopping, say)
        self._mark_at, self.turned_at, self._is_starting = 0.0, 0.0, False
        self._left: list[Item] = []  # what was taken out of the queue, the first of it last
        self._once, self._system = Once(), "online"
        self._reader = world.provider.open_feed(sink=inbox) if world.provider else None

    def _duties(self, world: World, options: Options, reload: Callable[[], object]) -> list[Duty]:
        streams, exchange = self._streams, world.exchange
        poller = Poller(
            world.prices,
            streams,
            lambda: self.watch.markets,
            self._rows_of,
            self._inbox.put,
            self._say,
        )
        is_doubtful = world.clocks.is_doubtful
        duties = [
            Duty(
                lambda: _CLOCK_AGAIN if is_doubtful() else _CLOCK_CHECK, world.set_clock, _NO_CLOCK
            ),
            Duty(lambda: 0.0, reload),
            Duty(lambda: streams.poll_every, poller.poll),
        ]
        account = self._account
        if exchange is not None and account is not None and self._checks is not None:
            key = ReadingKey(exchange.reader, exchange.read_with_reader, self._say)
            private = [
                Duty(lambda: 1.0, account.keep),
                Duty(account.every, account.look, "The orders cannot be watched"),
                Duty(key.every, key.look, "It is not known yet whether the reading key is taken"),
                Duty(lambda: 1.0, self._checks.work),
                Duty(
                    lambda: _PROVE_EVERY, partial(prove_one, exchange, self._worker), words.UNPROVEN
                ),
            ]
            # Which pairs have changed is heard at rest, too: else the news of it would heap up.
            duties.append(Duty(lambda: 1.0, self._checks.hear))
            duties += [replace(duty, rests=world.rests) for duty in private]
            duties.append(Duty(lambda: _KEEP_WARM, exchange.warm_up))
        return [*duties, Duty(lambda: _MARK_EVERY, self._tape.keep)]

    def _rows_of(self, name: str) -> list[str]:
        """Return the ids of the armed rows of a market. Any thread."""
        rules = list(self.watch.rules.items())
        return [rule_id for rule_id, armed in rules if armed.market.name == name]

    # --- the reading thread --------------------------------------------------------------------

    def run(self) -> None:
        """Read prices until `stop`; then let an order under way come to its end. Blocks."""
        self._worker.start()
        self._past.start()
        self._keeper.start()
        self._watchdog.start()
        self._is_starting = True
        while not self._stopping.is_set():
            self.turned_at = feed_clock()
            try:
                self._turn()
            except Exception:  # noqa: BLE001 - the loop must outlive every surprise: it watches money
                _log.exception("The price loop met an error and goes on")
                tell(self._say, words.internal_error("the price loop"))
        if self._reader is not None:
            self._reader.close()
        if self._account is not None:
            self._account.stop()
        self._tape.mark(self.watch.places)
        if not self._worker.stop(_ORDER_PATIENCE):
            for sentence in self._watchdog.last_words():
                tell(self._say, sentence)
        self._watchdog.stop(0.3)
        self._past.stop(0.3)
        self._keeper.join(0.3)
        self._tape.keep()

    def stop(self) -> None:
        """End `run`. Any thread."""
        self._stopping.set()
        self._inbox.put(_STOP)

    def armed(self) -> dict[str, bool]:
        """Return for each armed row whether its price is live. Any thread."""
        live = {name: self._streams.is_live(m) for name, m in self.watch.markets.items()}
        return {
            rule_id: live.get(armed.market.name, False)
            for rule_id, armed in list(self.watch.rules.items())
        }

    def sees_prices(self) -> bool:
        """Tell whether a price is live, or no row waits for one. Any thread."""
        markets = list(self.watch.markets.values())
        return not markets or any(map(self._streams.is_live, markets))

    @property
    def has_begun(self) -> bool:
        """Whether all rows of the start are on the books, and their prices come. Any thread."""
        return self.turned_at > 0 and not self._is_starting

    def orderless(self) -> dict[str, float]:
        """Return how many seconds ago each row without its order was crossed. Any thread."""
        return self._watchdog.orderless()

    def last_checked(self) -> dict[str, str]:
        """Return when each armed rule's market last had a price, as ISO UTC by rule id."""
        now, clock = self._clocks.utc(), self._clocks.monotonic()
        moments = {
            market: (now - timedelta(seconds=clock - at)).isoformat(timespec="seconds")
            for market, (_, at) in self.watch.last.items()
        }
        return {
            rule_id: moments[armed.market.name]
            for rule_id, armed in self.watch.rules.items()
            if armed.market.name in moments
        }

    def _turn(self) -> None:
        """Handle what comes next, or what an error has left of it."""
        self._left = self._left or self._next()
        while self._left:
            self._handle(self._left.pop())
        self._mark_now_and_then()

    def _next(self) -> list[Item]:
        """Return what comes next, or all that waits where that is much; the first of it last."""
        if self._is_starting and self._inbox.empty():
            self._begin_streams()
        try:
            item = self._inbox.get(timeout=_TURN)
        except queue.Empty:
            return []
        if self._inbox.qsize() < _CROWD:
            return [item]
        waiting = [self._inbox.get_nowait() for _ in range(self._inbox.qsize())]
        return self._thinned([item, *waiting])[::-1]

    def _begin_streams(self) -> None:
        """Let trades come, now that all rows of the start are on the books.

        A trade that the stream brings before a row is armed is not looked at again for it.
        """
        self._is_starting = False
        for market in self.watch.markets.values():
            self._streams.begin(market)

    def _thinned(self, items: list[Item]) -> list[Item]:
        """Return `items` without the tickers that newer ones replace; too many lose trades, too.

        The newest frame of trades of each market stays: its numbers tell what is missing.
        """
        kinds = (Tick,) if len(items) < _FLOOD else (Tick, Trades)
        newest = {(type(i), i.symbol): n for n, i in enumerate(items) if isinstance(i, kinds)}
        kept = set(newest.values())
        thinned = [i for n, i in enumerate(items) if n in kept or not isinstance(i, kinds)]
        if len(kinds) > 1:
            tell(self._say, words.is_flooded(len(items)))
        return thinned

    def _mark_now_and_then(self) -> None:
        now = feed_clock()
        if now >= self._mark_at:
            self._mark_at = now + _MARK_EVERY
            self._tape.mark(self.watch.places)

    # --- what comes in -------------------------------------------------------------------------

    def _handle(self, item: Item) -> None:
        match item:
            case Trades():
                self._on_trades(item)
            case Tick():
                if feed_clock() - item.at <= _TOO_LATE:
                    self.watch.price(item.symbol, item.price, item.at)
                else:
                    self._look_now(item.symbol)
                self._streams.heard_price(item.symbol, item.price, item.at)
            case PolledPrice():
                self._on_polled(item)
            case BookArm():
                self._on_arm(item)
            case BookDisarm():
                self._watchdog.take_back(item)
                self._on_disarm(item.rule_id)
            case BookFired():
                self.watch.fired_before(item)
            case Fetched():
                self.watch.fetched(item)
            case NotFetched():
                self.watch.not_fetched(item)
            case _:
                self._on_other(item)

    def _on_other(self, event: Item) -> None:
        """Handle an event of one of the feeds."""
        self._on_feed_event(event)
        if self._account is not None:
            self._account.hear(event)

    def _on_feed_event(self, event: Item) -> None:
        match event:
            case FeedStale():
                self._on_stale(event)
            case FeedBack():
                self._on_back(event)
            case FirstData():
                self._streams.hears_anew(event.symbol)
                self._streams.regain(event.symbol, Channel.TICKER)
            case Resubscribed():
                self._streams.hears_anew(event.symbol)
                if event.channel == Channel.TRADE:
                    self._streams.regain(event.symbol, Channel.TRADE)
                    self.watch.look_again(event.symbol)
            case SymbolRefused() | SymbolMute():
                self._streams.lose(event)
            case SymbolDistrusted():
                tell(self._say, words.distrusted(event.reason))
            case SymbolTrusted():
                tell(self._say, words.trusted_again(event.symbol))
            case SystemState():
                self._on_system(event.system)

    def _on_trades(self, event: Trades) -> None:
        behind = feed_clock() - event.at
        if behind <= _TOO_LATE:
            self.watch.trades(event)
        if event.prints:
            self._streams.heard_trades(event.symbol, event.prints[-1].price)
        if behind <= _TOO_LATE:
            self._check_lag(behind)
            return
        _log.warning("%s: trades waited %.0f s and are fetched anew", event.symbol, behind)
        self.watch.look_again(event.symbol)
        self._look_now(event.symbol)

    def _look_now(self, name: str) -> None:
        """Look at the price of now, where what came is not that any more."""
        market = self.watch.markets.get(name)
        present = self._streams.present_price(market) if market else None
        if present is not None:
            self.watch.price(name, present)

    def _check_lag(self, behind: float) -> None:
        if behind > _BEHIND and self._once.is_news("lag"):
            tell(self._say, words.falls_behind(behind))
        elif behind < _BEHIND / 4 and self._once.has_healed("lag"):
            tell(self._say, words.KEEPS_UP)

    def _on_polled(self, polled: PolledPrice) -> None:
        market = self.watch.markets.get(polled.market)
        is_stale = feed_clock() - polled.at > _TOO_LATE
        if market is not None and not is_stale and self._streams.present_price(market) is None:
            # Else the stream came back meanwhile, and its price is newer.
            self.watch.price(polled.market, polled.price, polled.at)
        if self._streams.is_polled(polled.market):
            # Between two polls a price may have come and gone: the trades tell.
            self.watch.look_again(polled.market, if_closed=True)

    def _on_arm(self, change: BookArm) -> None:
        self._watchdog.take_back(change)
        is_new = change.market.name not in self.watch.markets
        armed = self.watch.arm(change)
        if self._checks is not None:
            self._checks.add(armed)
        if is_new and not self._is_starting:
            self._streams.begin(change.market)

    def _on_disarm(self, rule_id: str) -> None:
        # Only a row that its user took away ends a subscription: one that fired may be armed
        # again in a second, when Kraken has refused its order for now.
        idle = self.watch.forget(rule_id)
        if idle is None:
            return
        self.watch.leave(idle.name)
        self._past.forget(idle.name)
        self._streams.leave(idle.name)

    def _on_stale(self, event: FeedStale) -> None:
        # The seconds of the feed go on while the machine sleeps, on Linux, macOS and Windows, so
        # a night with the lid closed is as long here as it was.
        blind_for = feed_clock() - event.since
        lost = self._streams.names if event.symbols is None else event.symbols
        self.watch.go_blind(lost, self._clocks.kraken() - blind_for)
        since = clock_time(self._clocks.wall() - blind_for)
        names, every = _carried(event, self.watch.markets), self._streams.poll_every
        if names or event.symbols is None:
            tell(self._say, words.blind(since, names, event.reason, every))

    def _on_back(self, event: FeedBack) -> None:
        names = _carried(event, self.watch.markets)
        if names or event.symbols is None:
            tell(self._say, words.sees_again(event.blind_for, names if event.symbols else ()))
        self.watch.see_again(event.symbols)

    def _on_system(self, system: str) -> None:
        if system == self._system:
            return
        self._system = system
        tell(self._say, words.engine_is(system))


def _carried(event: FeedStale | FeedBack, markets: Iterable[str]) -> list[str]:
    """Return those markets that the connection carries of which an event tells."""
    return [name for name in markets if event.symbols is None or name in event.symbols]
