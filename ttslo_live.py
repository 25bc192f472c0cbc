"""The running program: prices come in, crossings go out to the order thread.

Three threads meet here. The caller's thread reads one queue (prices from the feed, changes of
the rule book from the order thread, polled prices from the keeper) and does nothing else, so
nothing stands between a tick and its crossing. The keeper does what may block: reading an edited
config.csv, asking REST for pairs that do not stream, looking at the orders that stand. The order
thread is `ttslo_worker`'s.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol

from kraken_errors import KrakenError
from kraken_numbers import plain
from kraken_rest import Outcome, OutcomeKind
from ttslo_exchange import KrakenExchange
from ttslo_orders import Market, OrderSettings, build_order
from ttslo_rules import Rule
from ttslo_triggers import RuleBook
from ttslo_worker import BookArm, BookChange, BookDisarm, Crossing, OrderWorker, Say, Watched
from ws_price_provider import WebSocketPriceProvider
from ws_protocol import (
    Channel,
    FeedBack,
    FeedStale,
    Symbol,
    SymbolMute,
    SymbolRefused,
    SystemState,
    Tick,
    Trades,
)

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
# Clean ends: an order under way gets this long for its answer.
_ORDER_PATIENCE = 5.0


@dataclass(frozen=True, slots=True)
class PolledPrice:
    """A price that REST gave for a market."""

    market: str
    price: Decimal


@dataclass(slots=True)
class _Duty:
    """Something the keeper does again and again, at most every so many seconds."""

    every: Callable[[], float]
    work: Callable[[], object]
    done_at: float = float("-inf")


class _Stop:
    """Wakes the reader of the queue so that it sees the end."""


_STOP = _Stop()
Item = Any  # whatever the threads above put in; `_handle` knows them all


class PriceSource(Protocol):
    """The part of `KrakenAPI` that the keeper polls."""

    def get_tickers(self, pairs: list[str]) -> Mapping[str, Any]:
        """Return a quote or an exception for each pair, with one call for all."""
        ...


class LiveRun:
    """Runs until `stop`.

    Args:
        prices: Where REST prices come from.
        provider: The stream, or None to poll only.
        reload: Reads and validates config.csv and hands it to the order thread; called on the
            keeper's thread when `has_edit` says so.
        interval: Seconds between two polls of pairs that do not stream.
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
        self._stopping = threading.Event()
        self._book = RuleBook()
        self._rules: dict[str, BookArm] = {}
        self._armed: Counter[str] = Counter()
        self._streamed: set[str] = set()
        self._last: dict[str, tuple[Decimal, float]] = {}
        # Replaced whole by the reading thread, so that the keeper may look at any time.
        self._armed_markets: Mapping[str, Market] = {}
        self._system = "online"
        self._unchecked: deque[BookArm] = deque()
        self._checked: set[str] = set()
        self._is_poll_failing = False
        self._reader = provider.open_feed(sink=inbox) if provider else None

    # --- the reading thread --------------------------------------------------------------------

    def run(self) -> None:
        """Read prices until `stop`; then let an order under way come to its end. Blocks."""
        keeper = threading.Thread(target=self._keep, name="ttslo-keeper", daemon=True)
        self._worker.start()
        keeper.start()  # a daemon: a REST call in flight must not delay the end of the program
        while not self._stopping.is_set():
            try:
                self._handle(self._inbox.get(timeout=_KEEPER_BEAT))
            except queue.Empty:
                continue
            except Exception:  # noqa: BLE001 - the loop must outlive every surprise: it watches money
                _log.exception("The price loop met an error and goes on")
                self._say("ERROR", "Internal error in the price loop; see the traceback above")
        if self._reader is not None:
            self._reader.close()
        if not self._worker.stop(_ORDER_PATIENCE):
            self._say(
                "WARNING",
                "An order is still without an answer; the next start finds out what became of it",
            )
        keeper.join(timeout=0.3)

    def stop(self) -> None:
        """End `run`. Any thread, and signal handlers too."""
        self._stopping.set()
        self._inbox.put(_STOP)

    def last_checked(self) -> dict[str, str]:
        """Return when each armed rule's market last had a price, as ISO UTC by rule id."""
        now, clock = datetime.now(UTC), time.monotonic()
        seen: dict[str, str] = {}
        for rule_id, entry in list(self._rules.items()):
            last = self._last.get(entry.market.name)
            if last is not None:
                moment = now - timedelta(seconds=clock - last[1])
                seen[rule_id] = moment.isoformat(timespec="seconds")
        return seen

    def _handle(self, item: Item) -> None:
        match item:
            case Tick():
                self._on_price(item.symbol, item.price)
            case Trades():
                # A sweep prints several prices in one frame: each of them counts.
                for trade in item.prints:
                    self._on_price(item.symbol, trade.price)
            case PolledPrice():
                self._on_price(item.market, item.price)
            case BookArm():
                self._on_arm(item)
            case BookDisarm():
                self._on_disarm(item.rule_id)
            case _:
                self._on_feed_event(item)

    def _on_feed_event(self, event: Item) -> None:
        match event:
            case FeedStale():
                self._on_stale(event)
            case FeedBack():
                self._say("INFO", f"sees again after {event.blind_for:.0f} s")
            case SymbolRefused() | SymbolMute():
                self._on_unstreamed(event)
            case SystemState():
                self._on_system(event.system)

    def _on_price(self, market: str, price: Decimal, reason: str = "crossed") -> None:
        self._last[market] = (price, time.monotonic())
        for rule_id in self._book.crossed(market, price):
            rule = self._rules[rule_id].rule
            self._worker.submit(Crossing(rule, price, plain(price), reason))
            self._forget(rule_id)

    def _on_arm(self, change: BookArm) -> None:
        rule, market = change.rule, change.market
        known = self._rules.get(rule.id)
        if known is not None and known.market.name != market.name:
            self._on_disarm(rule.id)
        self._book.arm(rule.id, market.name, rule.threshold, rule.threshold_type)
        if rule.id not in self._rules:
            self._armed[market.name] += 1
        self._rules[rule.id] = change
        self._unchecked.append(change)
        if market.name not in self._armed_markets:
            self._armed_markets = {**self._armed_markets, market.name: market}
            self._stream(market)
        present = self._present_price(market)
        if present is not None:
            self._on_price(market.name, present, "was met already")

    def _present_price(self, market: Market) -> Decimal | None:
        """Return the stream's price where it is proven at this moment."""
        if self._provider is None or market.symbol is None:
            return None
        tick = self._provider.fresh_tick(Symbol(market.symbol))
        return tick.price if tick else None

    def _stream(self, market: Market) -> None:
        if self._provider is None or market.symbol is None or market.name in self._streamed:
            return
        self._streamed.add(market.name)
        for channel in (Channel.TICKER, Channel.TRADE):
            self._provider.subscribe_symbol(Symbol(market.symbol), channel)

    def _forget(self, rule_id: str) -> Market | None:
        """Take a rule off the books; return its market if nothing else is armed there."""
        self._book.disarm(rule_id)
        entry = self._rules.pop(rule_id, None)
        if entry is None:
            return None
        name = entry.market.name
        self._armed[name] -= 1
        if self._armed[name]:
            return None
        self._armed_markets = {n: m for n, m in self._armed_markets.items() if n != name}
        return entry.market

    def _on_disarm(self, rule_id: str) -> None:
        # Only a row that its user took away ends a subscription: one that fired may be armed
        # again in a second, when Kraken has refused its order for now.
        idle = self._forget(rule_id)
        if idle is None or self._provider is None or idle.name not in self._streamed:
            return
        self._streamed.discard(idle.name)
        for channel in (Channel.TICKER, Channel.TRADE):
            self._provider.unsubscribe_symbol(Symbol(idle.name), channel)

    def _on_stale(self, event: FeedStale) -> None:
        since = datetime.now() - timedelta(seconds=event.at - event.since)
        names = ", ".join(sorted(self._armed_markets)) or "no armed pair"
        self._say(
            "WARNING",
            f"blind since {since:%H:%M:%S} for {names}: {event.reason}. Reconnecting; meanwhile "
            f"prices come over REST every {min(self._interval, _BLIND_POLL):.0f} s",
        )

    def _on_unstreamed(self, event: SymbolRefused | SymbolMute) -> None:
        if event.channel != Channel.TICKER:
            return
        why = event.error if isinstance(event, SymbolRefused) else "it sends no price"
        self._say(
            "WARNING",
            f"{event.symbol} does not stream ({why}); it is polled over REST",
        )

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
            _Duty(lambda: self._settings.watch, self._watch),
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
        except Exception:  # noqa: BLE001 - one failed duty must not end the others
            _log.exception("The keeper met an error and goes on")

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
            if str(order) in self._checked:
                continue
            at_once -= 1
            self._checked.add(str(order))
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
        """Return the armed markets that have no proven price on the stream."""
        return [m for m in self._armed_markets.values() if self._present_price(m) is None]

    def _poll_interval(self) -> float:
        if self._provider is None:
            return self._interval
        return min(self._interval, _BLIND_POLL)

    def _poll(self) -> None:
        markets = {m.rest_key: m.name for m in self._unstreamed()}
        if not markets:
            return
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
                self._inbox.put(PolledPrice(markets[pair], quote.price))

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
