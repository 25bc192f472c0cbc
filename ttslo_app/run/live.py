"""The running program: prices come in, crossings go out to the order thread.

Three threads meet here. The caller's thread reads one queue (prices from the feed, changes of
the rule book from the order thread, polled prices from the keeper) and does nothing else, so
nothing stands between a tick and its crossing. The keeper does what may block: reading an edited
config.csv, asking REST for pairs that do not stream, looking at the orders that stand, writing
down how far the tapes were seen. The order thread is `ttslo_worker`'s; past trades are fetched by
`ttslo_lookback`'s.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol

from krakenlink.errors import KrakenError
from krakenlink.numbers import plain
from krakenlink.rest.answers import Outcome
from krakenlink.rest.verdicts import OutcomeKind
from krakenlink.stream.feed import (
    Channel,
    FeedBack,
    FeedStale,
    FirstData,
    Resubscribed,
    Symbol,
    SymbolDistrusted,
    SymbolMute,
    SymbolRefused,
    SymbolTrusted,
    SystemState,
    Tick,
    Trades,
)
from ttslo_app.clocks import Clocks
from ttslo_app.messages import (
    BookArm,
    BookChange,
    BookDisarm,
    BookFired,
    Fetched,
    Mark,
    Market,
    NotFetched,
    PolledPrice,
    Say,
    Watched,
)
from ttslo_app.orders.exchange import KrakenExchange
from ttslo_app.orders.life import OrderSettings, build_order
from ttslo_app.orders.worker import OrderWorker
from ttslo_app.rules.rule import Rule, WhenBlind
from ttslo_app.watch.lookback import PastReader, PastSource
from ttslo_app.watch.past import Pace
from ttslo_app.watch.tape import Saved
from ttslo_app.watch.watch import Watch
from ws_price_provider import WebSocketPriceProvider, feed_clock

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())

# The keeper looks at config.csv this often: an edit acts within a second, and one `stat` costs a
# few microseconds, on network drives too, where change notifications are not to be relied upon.
_KEEPER_BEAT = 0.5
# A pair that should stream and does not is polled at least this often, whatever --interval says:
# somebody who chose streaming did not choose to be blind for a minute.
_BLIND_POLL = 5.0
_CLOCK_CHECK = 600.0
# An order travels over a connection that is open already: idle ones are closed by the edge.
_KEEP_WARM = 25.0
# Checks of orders count against Kraken's limit of orders on a pair, which regains one a second:
# so many at once, then one a second, leave room for the orders themselves.
_CHECKS_AT_ONCE = 20
# After so many different orders one of each pair and direction is enough.
_CHECKS_OF_ALL = 100
# Clean ends: an order under way gets this long for its answer.
_ORDER_PATIENCE = 5.0
# How far the tapes were seen is kept this often. What is seen twice after a crash is harmless, as
# a trade that fired nothing then fires nothing now; so this only bounds what is fetched again.
_MARK_EVERY = 2.0
# From so many waiting events on, only the newest ticker of each market is looked at: the trades
# carry every price. From `_FLOOD` on the trades are left to REST, as those of a blind time are:
# memory stays bounded, and the hole in their numbers brings each of them back.
_CROWD = 1_000
_FLOOD = 200_000
_BEHIND = 2.0
# What has waited longer, as while the machine slept, is no price of now: its trades are fetched
# like those of a blind time, and the row's policy decides.
_TOO_LATE = 30.0
_CLOCK_DOUBT = 1.0


@dataclass(slots=True)
class _Duty:
    """Something the keeper does again and again, at most every so many seconds.

    `complaint` is said where Kraken cannot be asked, once until it can be again.
    """

    every: Callable[[], float]
    work: Callable[[], object]
    complaint: str = ""
    is_failing: bool = False
    done_at: float = float("-inf")


class _Stop:
    """Wakes the reader of the queue so that it sees the end."""


_STOP = _Stop()
Item = Any  # whatever the threads above put in; `_handle` knows them all


class PriceSource(PastSource, Protocol):
    """The part of `KrakenAPI` that prices, present and past, come from over REST."""

    def get_tickers(self, pairs: list[str]) -> Mapping[str, Any]:
        """Return a quote or an exception for each pair, with one call for all."""
        ...


class TapeFile(Protocol):
    """Where it is kept how far the tapes were seen."""

    def load_tape(self) -> str | None:
        """Return what was saved last, None where nothing was."""
        ...

    def save_tape(self, text: str) -> None:
        """Replace it durably."""
        ...


class LiveRun:
    """Runs until `stop`.

    Args:
        prices: Where REST prices come from.
        provider: The stream, or None to poll only.
        reload: Reads and validates config.csv and hands it to the order thread; called on the
            keeper's thread when `has_edit` says so.
        interval: Seconds between two polls of pairs that do not stream.
        tape: Where it is kept how far the tapes were seen; None keeps nothing.
        when_blind: The policy of rows that name none.
        pace: How fast past trades are fetched.
    """

    def __init__(
        self,
        worker: OrderWorker,
        prices: PriceSource,
        provider: WebSocketPriceProvider | None,
        exchange: KrakenExchange | None,
        *,
        has_edit: Callable[[], bool],
        reload: Callable[[], object],
        say: Say,
        interval: float,
        settings: OrderSettings,
        inbox: queue.SimpleQueue[Item],
        tape: TapeFile | None = None,
        when_blind: WhenBlind = WhenBlind.ARM_IF_BEYOND,
        pace: Pace | None = None,
    ) -> None:
        self._worker = worker
        self._prices = prices
        self._provider = provider
        self._exchange = exchange
        self._has_edit = has_edit
        self._reload = reload
        self._say = say
        self._interval = interval
        self._settings = settings
        self._inbox = inbox
        self._tape = tape
        self._stopping = threading.Event()
        clocks = Clocks(self._now, time.time, time.monotonic)
        self._past = PastReader(prices, inbox.put, clocks, pace)
        self._rules = Watch(
            submit=worker.submit,
            say=say,
            want=self._past.want,
            present=self._present_price,
            clocks=clocks,
            default=when_blind,
            saved=self._load_tape(),
            pace=pace,
        )
        self._streamed: set[str] = set()
        self._without_stream: dict[str, set[str]] = {}  # by market: the channels it lacks
        # What may be written down: replaced whole by the order thread, read by the keeper.
        self._passed: Saved | None = None
        self._kept: Saved | None = None
        self._mark_at = 0.0
        self._is_behind = False
        self._is_starting = False
        self._system = "online"
        self._unchecked: deque[BookArm] = deque()
        self._checked: set[str] = set()
        self._checked_kinds: set[str] = set()
        self._is_poll_failing = False
        self._polled_at: dict[str, float] = {}  # by market; written by the keeper alone
        self._reader = provider.open_feed(sink=inbox) if provider else None

    def _now(self) -> float:
        """Return Kraken's clock: this machine's, unless they are known to differ.

        Kraken tells whole seconds, so a difference of less than one is no knowledge, and the
        moments of trades are told to the microsecond.
        """
        wall = time.time()
        theirs = self._exchange.now() if self._exchange is not None else wall
        return theirs if abs(theirs - wall) > _CLOCK_DOUBT else wall

    # --- the reading thread --------------------------------------------------------------------

    def run(self) -> None:
        """Read prices until `stop`; then let an order under way come to its end. Blocks."""
        keeper = threading.Thread(target=self._keep, name="ttslo-keeper", daemon=True)
        self._worker.start()
        self._past.start()
        keeper.start()  # a daemon: a REST call in flight must not delay the end of the program
        self._is_starting = True
        while not self._stopping.is_set():
            try:
                self._turn()
            except Exception:  # noqa: BLE001 - the loop must outlive every surprise: it watches money
                _log.exception("The price loop met an error and goes on")
                self._say("ERROR", "Internal error in the price loop; see the traceback above")
        if self._reader is not None:
            self._reader.close()
        self._mark()
        if not self._worker.stop(_ORDER_PATIENCE):
            self._say(
                "WARNING",
                "An order is still without an answer; the next start finds out what became of it",
            )
        self._past.stop(0.3)
        keeper.join(timeout=0.3)
        self._keep_tape()

    def stop(self) -> None:
        """End `run`. Any thread, and signal handlers too."""
        self._stopping.set()
        self._inbox.put(_STOP)

    def armed(self) -> dict[str, bool]:
        """Return for each armed row whether its price is live. Any thread.

        Live is what the stream proves at this moment, or what REST said in one of the last two
        rounds of polling.
        """
        oldest = feed_clock() - 2 * self._poll_interval()
        live = {
            name: self._present_price(market) is not None
            or self._polled_at.get(name, float("-inf")) >= oldest
            for name, market in self._rules.markets.items()
        }
        return {
            rule_id: live.get(armed.market.name, False)
            for rule_id, armed in list(self._rules.rules.items())
        }

    def last_checked(self) -> dict[str, str]:
        """Return when each armed rule's market last had a price, as ISO UTC by rule id."""
        now, clock = datetime.now(UTC), time.monotonic()
        moments = {
            market: (now - timedelta(seconds=clock - at)).isoformat(timespec="seconds")
            for market, (_, at) in self._rules.last.items()
        }
        return {
            rule_id: moments[armed.market.name]
            for rule_id, armed in self._rules.rules.items()
            if armed.market.name in moments
        }

    def _turn(self) -> None:
        """Handle what comes next, or all that waits where that is much."""
        if self._is_starting and self._inbox.empty():
            self._begin_streams()
        try:
            item = self._inbox.get(timeout=_KEEPER_BEAT)
        except queue.Empty:
            self._mark_now_and_then()
            return
        if self._inbox.qsize() < _CROWD:
            self._handle(item)
        else:
            for one in self._thinned([item, *self._waiting()]):
                self._handle(one)
        self._mark_now_and_then()

    def _begin_streams(self) -> None:
        """Let trades come, now that all rows of the start are on the books.

        A trade that the stream brings before a row is armed is not looked at again for it.
        """
        self._is_starting = False
        for market in self._rules.markets.values():
            self._stream(market)

    def _waiting(self) -> list[Item]:
        """Take what is in the queue now."""
        return [self._inbox.get_nowait() for _ in range(self._inbox.qsize())]

    def _thinned(self, items: list[Item]) -> list[Item]:
        """Return `items` without the tickers that newer ones replace; too many lose trades, too.

        The newest frame of trades of each market stays: its numbers tell what is missing.
        """
        kinds = (Tick,) if len(items) < _FLOOD else (Tick, Trades)
        newest = {(type(i), i.symbol): n for n, i in enumerate(items) if isinstance(i, kinds)}
        kept = set(newest.values())
        thinned = [i for n, i in enumerate(items) if n in kept or not isinstance(i, kinds)]
        if len(kinds) > 1:
            self._say(
                "WARNING",
                f"cannot keep up: {len(items)} events wait. The trades among them are fetched "
                "from REST, as those of a blind time are",
            )
        return thinned

    def _mark_now_and_then(self) -> None:
        now = time.monotonic()
        if now >= self._mark_at:
            self._mark_at = now + _MARK_EVERY
            self._mark()

    def _mark(self) -> None:
        """Let the tapes' places be kept once the order thread has settled all crossings so far.

        A place that was kept before the crossings up to it are on the disk would hide them from
        the next start.
        """
        if self._tape is None:
            return
        places = self._rules.places()

        def passed() -> None:
            self._passed = places

        self._worker.submit(Mark(passed))

    def _handle(self, item: Item) -> None:
        match item:
            case Trades():
                self._on_trades(item)
            case Tick():
                if feed_clock() - item.at <= _TOO_LATE:
                    self._rules.price(item.symbol, item.price)
                else:
                    self._look_now(item.symbol)
            case PolledPrice():
                self._on_polled(item)
            case BookArm():
                self._on_arm(item)
            case BookDisarm():
                self._on_disarm(item.rule_id)
            case BookFired():
                self._rules.fired_before(item)
            case Fetched():
                self._rules.fetched(item)
            case NotFetched():
                self._rules.not_fetched(item)
            case _:
                self._on_feed_event(item)

    def _on_feed_event(self, event: Item) -> None:
        match event:
            case FeedStale():
                self._on_stale(event)
            case FeedBack():
                self._say("INFO", f"sees again after {event.blind_for:.0f} s")
                self._rules.see_again()
            case FirstData():
                self._on_streamed(event.symbol, Channel.TICKER)
            case Resubscribed():
                if event.channel == Channel.TRADE:
                    self._on_streamed(event.symbol, Channel.TRADE)
                    self._rules.look_again(event.symbol)
            case SymbolRefused() | SymbolMute():
                self._on_unstreamed(event)
            case SymbolDistrusted():
                self._say("WARNING", event.reason)
            case SymbolTrusted():
                self._say("INFO", f"{event.symbol}: the stream speaks again and counts")
            case SystemState():
                self._on_system(event.system)

    def _on_trades(self, event: Trades) -> None:
        behind = feed_clock() - event.at
        if behind <= _TOO_LATE:
            self._check_lag(behind)
            self._rules.trades(event)
            return
        _log.warning("%s: trades waited %.0f s and are fetched anew", event.symbol, behind)
        self._rules.look_again(event.symbol)
        self._look_now(event.symbol)

    def _look_now(self, name: str) -> None:
        """Look at the price of now, where what came is not that any more."""
        market = self._rules.markets.get(name)
        present = self._present_price(market) if market else None
        if present is not None:
            self._rules.price(name, present)

    def _check_lag(self, behind: float) -> None:
        if self._is_behind and behind < _BEHIND / 4:
            self._is_behind = False
            self._say("INFO", "keeps up again")
        elif not self._is_behind and behind > _BEHIND:
            self._is_behind = True
            self._say("WARNING", f"cannot keep up: looks at prices {behind:.1f} s after they came")

    def _on_polled(self, polled: PolledPrice) -> None:
        market = self._rules.markets.get(polled.market)
        is_stale = feed_clock() - polled.at > _TOO_LATE
        if market is not None and not is_stale and self._present_price(market) is None:
            # Else the stream came back meanwhile, and its price is newer.
            self._rules.price(polled.market, polled.price)
        if self._provider is None or polled.market in self._without_stream:
            # Between two polls a price may have come and gone: the trades tell.
            self._rules.look_again(polled.market, if_closed=True)

    def _on_arm(self, change: BookArm) -> None:
        if self._exchange is not None:
            self._unchecked.append(change)
        is_new = change.market.name not in self._rules.markets
        self._rules.arm(change)
        if is_new and not self._is_starting:
            self._stream(change.market)

    def _present_price(self, market: Market) -> Decimal | None:
        """Return the stream's price where it is proven at this moment."""
        if self._provider is None or market.symbol is None:
            return None
        tick = self._provider.fresh_tick(Symbol(market.symbol))
        return tick.price if tick else None

    def _stream(self, market: Market) -> None:
        if market.symbol is None:
            self._without_stream[market.name] = set(Channel)
        if self._provider is None or market.symbol is None or market.name in self._streamed:
            return
        self._streamed.add(market.name)
        for channel in (Channel.TICKER, Channel.TRADE):
            self._provider.subscribe_symbol(Symbol(market.symbol), channel)

    def _on_disarm(self, rule_id: str) -> None:
        # Only a row that its user took away ends a subscription: one that fired may be armed
        # again in a second, when Kraken has refused its order for now.
        idle = self._rules.forget(rule_id)
        if idle is None:
            return
        self._rules.leave(idle.name)
        self._past.forget(idle.name)
        self._without_stream.pop(idle.name, None)
        if self._provider is None or idle.name not in self._streamed:
            return
        self._streamed.discard(idle.name)
        for channel in (Channel.TICKER, Channel.TRADE):
            self._provider.unsubscribe_symbol(Symbol(idle.name), channel)

    def _on_stale(self, event: FeedStale) -> None:
        # The seconds of the feed go on while the machine sleeps, on Linux, macOS and Windows, so
        # a night with the lid closed is as long here as it was.
        seconds = time.time() - (feed_clock() - event.since)
        self._rules.go_blind(self._streamed, seconds + self._now() - time.time())
        since = datetime.fromtimestamp(seconds)
        names = ", ".join(sorted(self._rules.markets)) or "no armed pair"
        self._say(
            "WARNING",
            f"blind since {since:%H:%M:%S} for {names}: {event.reason}. Reconnecting; meanwhile "
            f"prices come over REST every {min(self._interval, _BLIND_POLL):.0f} s",
        )

    def _on_unstreamed(self, event: SymbolRefused | SymbolMute) -> None:
        what = "price" if event.channel == Channel.TICKER else "trades"
        why = event.error if isinstance(event, SymbolRefused) else f"it sends no {what}"
        lacks = self._without_stream.setdefault(event.symbol, set())
        if not lacks:
            self._say("WARNING", f"{event.symbol} does not stream ({why}); it is polled over REST")
        lacks.add(event.channel)

    def _on_streamed(self, symbol: str, channel: Channel) -> None:
        lacks = self._without_stream.get(symbol)
        if lacks is None:
            return
        lacks.discard(channel)
        if not lacks:
            del self._without_stream[symbol]
            self._say("INFO", f"{symbol} streams again")

    def _on_system(self, system: str) -> None:
        if system == self._system:
            return
        self._system = system
        text = f"Kraken's trading engine is {system}"
        if system == "online":
            self._say("INFO", text)
        else:
            self._say("WARNING", f"{text}: orders are refused until it is online again")

    # --- the keeper ----------------------------------------------------------------------------

    def _keep(self) -> None:
        duties = [
            _Duty(lambda: 0.0, self._reload_if_edited),
            _Duty(self._poll_interval, self._poll),
            _Duty(lambda: self._settings.watch, self._watch, "The orders cannot be watched"),
            _Duty(lambda: _MARK_EVERY, self._keep_tape),
        ]
        if self._exchange is not None:
            duties += [
                _Duty(lambda: _CLOCK_CHECK, self._exchange.set_clock),
                _Duty(lambda: 1.0, self._check_orders),
                _Duty(lambda: _KEEP_WARM, self._exchange.warm_up),
            ]
        while not self._stopping.wait(_KEEPER_BEAT):
            for duty in duties:
                self._do(duty)

    def _do(self, duty: _Duty) -> None:
        now = time.monotonic()
        if self._stopping.is_set() or now - duty.done_at < duty.every():
            return
        duty.done_at = now
        try:
            duty.work()
        except KrakenError as error:
            _log.warning("Put off, Kraken cannot be asked just now: %s", error)
            if duty.complaint and not duty.is_failing:
                self._say("WARNING", f"{duty.complaint}: {error}. It is tried again")
            duty.is_failing = True
        except Exception:  # noqa: BLE001 - one failed duty must not end the others
            _log.exception("The keeper met an error and goes on")
        else:
            if duty.complaint and duty.is_failing:
                self._say("INFO", f"Over: {duty.complaint.lower()}")
            duty.is_failing = False

    def _reload_if_edited(self) -> None:
        if self._has_edit():
            self._reload()

    def _check_orders(self) -> None:
        """Let Kraken look at the orders of newly armed rows, without placing them."""
        exchange = self._exchange
        at_once = 1 if self._checked else _CHECKS_AT_ONCE
        while exchange is not None and self._unchecked and at_once:
            entry = self._unchecked.popleft()
            order = build_order(entry.rule, entry.market.rest_key, entry.market.lot_decimals)
            kind = f"{entry.market.rest_key} {entry.rule.direction}"
            is_enough = len(self._checked) >= _CHECKS_OF_ALL and kind in self._checked_kinds
            if is_enough or str(order) in self._checked:
                continue
            at_once -= 1
            self._checked.add(str(order))
            self._checked_kinds.add(kind)
            self._tell_of_check(entry.rule, exchange.check(order))

    def _tell_of_check(self, rule: Rule, outcome: Outcome) -> None:
        if outcome.kind is OutcomeKind.VALID:
            self._say("DEBUG", f"{rule.id}: Kraken would take its order")
        elif outcome.kind is OutcomeKind.REFUSED:
            self._say(
                "ERROR",
                f"{rule.id}: Kraken would REFUSE its order as things are: {outcome.reason}. "
                f"{outcome.cure} The row stays armed",
                id=rule.id,
            )
        else:
            self._say("WARNING", f"{rule.id}: its order could not be checked: {outcome.reason}")

    def _unstreamed(self) -> list[Market]:
        """Return the armed markets that have no proven price, or not all trades, on the stream."""
        return [
            market
            for name, market in self._rules.markets.items()
            if name in self._without_stream or self._present_price(market) is None
        ]

    def _poll_interval(self) -> float:
        if self._provider is None:
            return self._interval
        return min(self._interval, _BLIND_POLL)

    def _poll(self) -> None:
        markets = {m.rest_key: m.name for m in self._unstreamed()}
        if not markets:
            return
        asked_at = feed_clock()
        try:
            quotes = self._prices.get_tickers(list(markets))
        except KrakenError as error:
            if not self._is_poll_failing:
                names = ", ".join(sorted(markets.values()))
                self._say("WARNING", f"no price over REST either, blind for {names}: {error}")
            self._is_poll_failing = True
            return
        self._is_poll_failing = False
        for pair, quote in quotes.items():
            if isinstance(quote, Exception):
                self._say("WARNING", f"{pair}: no price: {quote}")
            else:
                self._polled_at[markets[pair]] = asked_at
                self._inbox.put(PolledPrice(markets[pair], quote.price, asked_at))

    def _load_tape(self) -> Saved:
        try:
            text = self._tape.load_tape() if self._tape else None
            return Saved.from_text(text) if text else Saved()
        except (OSError, ValueError) as error:
            self._say(
                "WARNING",
                f"It cannot be read how far prices were seen before ({error}); trades since each "
                "row was armed are looked at instead, as far as that may go",
            )
            return Saved()

    def _keep_tape(self) -> None:
        """Write down how far the tapes were seen, where that is new. Blocks for the disk."""
        places = self._passed
        if self._tape is None or places is None or places is self._kept:
            return
        try:
            self._tape.save_tape(places.to_text())
        except OSError as error:
            # No harm to any order: the next start only looks at more of the past.
            _log.warning("How far prices were seen cannot be written down: %s", error)
            return
        self._kept = places

    def _watch(self) -> None:
        standing = dict(self._worker.standing)
        if self._exchange is None or not standing:
            return
        seen = self._exchange.watch(standing.values())
        found = {rule_id: seen[txid] for rule_id, txid in standing.items() if txid in seen}
        self._worker.submit(Watched(found))


def describe(rule: Rule, price: Decimal | None) -> str:
    """Return one line about an armed rule and how far the price is from its threshold."""
    action = f"{rule.direction} {plain(rule.volume)}, trailing {plain(rule.offset_percent)} %"
    if price is None:
        return f"{rule.condition}, no price yet; then {action}"
    away = abs(rule.threshold - price) / price * 100
    return f"{rule.condition}, now {plain(price)} ({away:.2f} % away); then {action}"


def post_to(inbox: queue.SimpleQueue[Item]) -> Callable[[BookChange], None]:
    """Return the order thread's way of telling the reading thread what is armed."""
    return inbox.put
