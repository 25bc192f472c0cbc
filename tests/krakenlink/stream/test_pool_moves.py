"""Prices, trades and candles that move between real connections, whole and broken ones."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fake_kraken import FakeKraken
from fake_kraken.market import synthetic_pairs
from kraken_api import KrakenAPI
from krakenlink.stream.budget import ConnectBudget
from krakenlink.stream.connection import Connection, open_websocket
from krakenlink.stream.events import (
    CandleUpdate,
    Event,
    FeedBack,
    FeedStale,
    SymbolMute,
    SymbolRefused,
    Tick,
    TradeGap,
    Trades,
)
from krakenlink.stream.settings import FeedSettings
from tests.kits.chaos.chaos_proxy import FAIR, ChaosProxy, Weather
from tests.kits.rest.client_kit import LONG, PATIENT
from ws_price_provider import FeedReader, WebSocketPriceProvider

CHANNELS = ("ticker", "trade", "ohlc", "book")
BTC, ETH, SOL = "BTC/USD", "ETH/USD", "SOL/USD"

Make = Callable[..., WebSocketPriceProvider]


@pytest.fixture
def proxy(exchange: FakeKraken) -> Iterator[ChaosProxy]:
    """Hand out what stands between the exchange and all connections but the first."""
    made = ChaosProxy(exchange.port)
    yield made
    made.close()


@pytest.fixture
def make(exchange: FakeKraken, proxy: ChaosProxy) -> Iterator[Make]:
    """Hand out a maker of providers; all of their connections but the first go through a proxy."""
    made: list[WebSocketPriceProvider] = []

    def build(
        settings: FeedSettings = PATIENT, *, budget: ConnectBudget | None = None, **changes: Any
    ) -> WebSocketPriceProvider:
        settings = replace(settings, **changes)
        firsts: list[threading.Thread] = []

        def connect(url: str, timeout: float) -> Connection:
            here = threading.current_thread()
            firsts[:] = firsts or [here]
            own = url if here is firsts[0] else proxy.url
            return open_websocket(own, timeout, settings)

        provider = WebSocketPriceProvider(
            exchange.ws_url, settings=settings, connect=connect, budget=budget
        )
        made.append(provider)
        return provider

    yield build
    for provider in made:
        provider.stop(LONG)


def follow(provider: WebSocketPriceProvider, *symbols: str) -> None:
    """Subscribe to all channels of symbols, and wait for each."""
    for symbol in symbols:
        for channel in CHANNELS:
            provider.subscribe_symbol(symbol, channel)
        assert provider.wait_for_tick(symbol, LONG) is not None
        assert provider.wait_for_tape(symbol, "trade", 0, LONG)
        assert provider.wait_for_tape(symbol, "ohlc", 1, LONG)
        assert provider.wait_for_book(symbol, 10, LONG) is not None


def spread(provider: WebSocketPriceProvider) -> list[set[tuple[str, str]]]:
    """Return what each connection carries, by health."""
    health = provider.health()
    return [
        {(x.symbol, x.channel) for x in each.symbols if x.state != "arriving"}
        for each in (health, *health.beside)
    ]


def all_of(*symbols: str) -> set[tuple[str, str]]:
    """Return all channels of symbols."""
    return {(symbol, channel) for symbol in symbols for channel in CHANNELS}


def begin_to_move(provider: WebSocketPriceProvider) -> None:
    """Let the first connection be too busy at this moment, whatever it carries."""
    feed: Any = provider.feed_thread.feed
    feed.rates = lambda now: (2.0 * provider.settings.pool_frames, 0.0)
    provider.pool.balance(provider)
    del feed.rates


class Trading:
    """Somebody who trades as long as a test looks: each trade of BTC/USD is dearer by one."""

    def __init__(self, exchange: FakeKraken, provider: WebSocketPriceProvider) -> None:
        self.exchange, self.provider = exchange, provider
        self.price = 50_000
        self.worth: list[float | None] = []
        self.events: list[Event] = []
        self.reader = provider.open_feed()
        self._reads: list[Callable[[], float | None]] = [
            lambda: provider.get_current_price(BTC),
            provider.price_reader(BTC),
            lambda: None if (x := provider.fresh_tick(BTC)) is None else float(x.price),
        ]

    def trade(self) -> None:
        """Let somebody trade, and look at the price by every way there is."""
        self.price += 1
        for symbol in (BTC, ETH, SOL):
            self.exchange.set_price(symbol, self.price)
        for read in self._reads:
            self.worth.append(read())

    def until(self, is_so: Callable[[], bool], most: int = 20_000) -> None:
        """Trade until something is so."""
        for _ in range(most):
            self.trade()
            if is_so():
                return
        raise AssertionError("it does not become so")

    def end(self) -> list[Event]:
        """Wait until the last trade is told; return all that was."""
        while (event := self.reader.get(LONG)) is not None:
            self.events.append(event)
            ours = event.prints if isinstance(event, Trades) and event.symbol == BTC else ()
            if ours and ours[-1].price == self.price:
                return self.events
        raise AssertionError("the last trade is not told")

    def numbers(self, symbol: str = BTC) -> list[int]:
        """Return the numbers of the trades that were told."""
        frames = [x for x in self.events if isinstance(x, Trades) and x.symbol == symbol]
        return [one.trade_id for frame in frames for one in frame.prints]


def left_in(reader: FeedReader) -> Iterator[Event]:
    """Yield what is told and not read yet."""
    while (event := reader.get(0)) is not None:
        yield event


def of_kind(events: list[Event], *kinds: type) -> list[Any]:
    """Return the events of some kinds."""
    return [event for event in events if isinstance(event, kinds)]


def until(reader: FeedReader, kind: type, is_it: Callable[[Any], bool] = lambda _: True) -> Any:
    """Return the next event of a kind that is meant."""
    for event in iter(lambda: reader.get(LONG), None):
        if isinstance(event, kind) and is_it(event):
            return event
    raise AssertionError(f"no such {kind.__name__} came")


# --- while prices flow ---------------------------------------------------------------------------


def test_all_channels_move_while_somebody_trades(exchange: FakeKraken, make: Make) -> None:
    """No moment without a price, no older one after a newer, no trade lost or told twice."""
    provider = make()
    provider.subscribe(BTC)
    follow(provider, BTC, ETH)
    trading = Trading(exchange, provider)
    trading.trade()
    begin_to_move(provider)
    trading.until(lambda: spread(provider) == [all_of(ETH), all_of(BTC)])
    for _ in range(20):
        trading.trade()
    events = trading.end()
    assert None not in trading.worth
    seen = [price for price in trading.worth if price is not None]
    for way in range(3):
        assert seen[way::3] == sorted(seen[way::3])
    numbers = trading.numbers()
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert len(numbers) == trading.price - 50_000
    assert of_kind(events, TradeGap, FeedStale, FeedBack) == []
    ticks = [event.price for event in of_kind(events, Tick) if event.symbol == BTC]
    assert ticks == sorted(set(ticks))
    updates = [x for x in of_kind(events, CandleUpdate) if x.symbol == BTC]
    candles = [(one.begin, one.trades) for x in updates for one in x.candles]
    assert candles == sorted(set(candles))
    assert provider.health().symbols != ()
    provider.unsubscribe(BTC)
    assert provider.get_current_price(BTC) is None
    assert provider.proven(BTC) is not None  # the other reference


def test_quiet_market_moves_once_nothing_can_be_under_way(exchange: FakeKraken, make: Make) -> None:
    """Nobody trades, so no number shows where the two connections meet."""
    for _ in range(20):
        provider = make(FeedSettings(audit_every=0, dead_after=1.0, ping_after=0.5))
        before, after = moved_in_silence(exchange, provider)
        health = provider.health()
        if not any(one.reconnects for one in (health, *health.beside)):
            break  # else a busy machine let a second pass without a frame, and the tape is another
        provider.stop(LONG)
    assert after is before  # whoever has joined it to REST's need not ask anew


def moved_in_silence(exchange: FakeKraken, provider: WebSocketPriceProvider) -> list[object]:
    """Let a pair move that nobody trades; return its tapes before and after that."""
    for symbol in (BTC, ETH):
        provider.subscribe_symbol(symbol, "trade")
        assert provider.wait_for_tape(symbol, "trade", 0, LONG)
    before = provider.tape(BTC, "trade")
    begin_to_move(provider)
    assert exchange.wait_for(
        lambda _: spread(provider) == [{(ETH, "trade")}, {(BTC, "trade")}], LONG
    )
    after = provider.tape(BTC, "trade")
    assert before is not None
    assert after is not None
    return [before[0], after[0]]


def test_client_asks_rest_for_nothing_while_things_move(exchange: FakeKraken, make: Make) -> None:
    """What was joined once stays joined."""
    provider = make()
    api = KrakenAPI(base_url=exchange.rest_url, ws_url=exchange.ws_url)
    api._provider = provider
    try:
        follow(provider, BTC, ETH)
        assert api.get_current_price(BTC) == 50000.0
        exchange.set_price(BTC, 50001)
        assert exchange.wait_for(lambda _: api.get_candles(BTC).candles != (), LONG)
        api.recent_trades(BTC)
        asked = len(exchange.requests)
        begin_to_move(provider)
        price = 50001

        def trade_on() -> bool:
            nonlocal price
            price += 1
            exchange.set_price(BTC, price)
            assert api.get_current_price(BTC) <= price
            return spread(provider) == [all_of(ETH), all_of(BTC)]

        while not trade_on():
            continue
        assert exchange.wait_for(lambda _: api.get_current_price(BTC) == price, LONG)
        assert exchange.wait_for(lambda _: api.recent_trades(BTC)[-1].price == price, LONG)
        assert exchange.wait_for(lambda _: api.get_candles(BTC).candles[-1].close == price, LONG)
        assert len(exchange.requests) == asked
    finally:
        api.close()


# --- what goes wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["refuse", "ack_without_data"])
def test_what_kraken_does_not_give_there_stays_where_it_is(
    exchange: FakeKraken, make: Make, fault: str
) -> None:
    """Refused or mute on the new connection: it counts on, and nobody is told otherwise."""
    provider = make(mute_after=0.2)
    provider.subscribe_symbol(BTC)
    provider.subscribe_symbol(ETH)
    for symbol in (BTC, ETH):
        assert provider.wait_for_tick(symbol, LONG) is not None
    reader = provider.open_feed()
    exchange.fault(fault, symbol=BTC)
    begin_to_move(provider)
    pool = provider.pool
    assert exchange.wait_for(lambda _: pool._refused and not pool._moves, LONG)
    exchange.clear_faults()
    begin_to_move(provider)  # not again at once
    assert not [key for key in pool._moves if key[1] == BTC]
    exchange.set_price(BTC, 50001)
    assert until(reader, Tick, lambda x: x.symbol == BTC).price == 50001
    assert (BTC, "ticker") in spread(provider)[0]
    provider.stop(LONG)
    assert not of_kind(list(left_in(reader)), SymbolRefused, SymbolMute)


@pytest.mark.parametrize(
    "weather", [Weather(is_dark=True), Weather(is_deaf=True), Weather(loses_answers=True)]
)
def test_connection_that_is_dead_from_the_start_gets_nothing(
    exchange: FakeKraken, make: Make, proxy: ChaosProxy, weather: Weather
) -> None:
    """Half-open or mute: everything stays proven where it is, and moves once it lives."""
    provider = make(connect_timeout=0.5)
    follow(provider, BTC, ETH)
    proxy.weather = weather
    begin_to_move(provider)
    provider.subscribe(BTC)
    trading = Trading(exchange, provider)
    assert proxy.wait_for_connections(1, LONG)
    for _ in range(20):
        trading.trade()
    assert spread(provider)[0] == all_of(BTC, ETH)
    proxy.weather = FAIR
    proxy.reset()
    trading.until(lambda: spread(provider) == [all_of(ETH), all_of(BTC)])
    events = trading.end()
    assert None not in trading.worth
    numbers = trading.numbers()
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert of_kind(events, TradeGap) == []


def test_connection_that_is_closed_during_a_move_loses_nothing(
    exchange: FakeKraken, make: Make, proxy: ChaosProxy
) -> None:
    """It comes back, and the move goes on."""
    provider = make(retry_delays=(0.0, 0.05))
    follow(provider, BTC, ETH)
    provider.subscribe(BTC)
    exchange.fault("no_ack", symbol=BTC)
    begin_to_move(provider)
    assert exchange.wait_for(lambda x: len(x.stream.clients) == 2, LONG)
    trading = Trading(exchange, provider)
    for _ in range(5):
        proxy.reset()
        trading.trade()
    exchange.clear_faults()
    proxy.reset()
    trading.until(lambda: spread(provider) == [all_of(ETH), all_of(BTC)])
    trading.end()
    assert None not in trading.worth
    numbers = trading.numbers()
    assert numbers == list(range(numbers[0], numbers[-1] + 1))


def test_dead_second_connection_makes_only_its_symbols_blind(
    exchange: FakeKraken, make: Make, proxy: ChaosProxy, caplog: pytest.LogCaptureFixture
) -> None:
    """Half-open: nobody tells, and its own silence does; then they come back."""
    provider = make(FeedSettings(audit_every=0), pool_symbols=1)
    reader = provider.open_feed()
    follow(provider, BTC, ETH)
    assert spread(provider) == [all_of(BTC), all_of(ETH)]
    proxy.weather = Weather(is_dark=True)
    stale = until(reader, FeedStale, lambda x: x.symbols == (ETH,))
    assert "no frame" in stale.reason
    said = "No streamed price of 1 symbol counts until it is back"  # readers are told first
    assert exchange.wait_for(lambda _: said in caplog.text, LONG)
    assert provider.proven(ETH) is None
    assert provider.order_book(ETH) is None
    assert provider.tape(ETH, "trade") is None
    exchange.set_price(BTC, 50001)
    until(reader, Tick, lambda x: x.symbol == BTC and x.price == 50001)
    assert exchange.wait_for(lambda _: provider.proven(BTC) is not None, LONG)
    proxy.weather = FAIR
    proxy.reset()
    back = until(reader, FeedBack, lambda x: x.symbols == (ETH,))
    assert back.blind_for > 0
    assert exchange.wait_for(lambda _: provider.proven(ETH) is not None, LONG)


def test_budget_that_is_used_up_leaves_all_where_it_is(
    exchange: FakeKraken, make: Make, tmp_path: Path
) -> None:
    """No attempt is left for another connection; what is too much is carried all the same."""
    few = replace(PATIENT, budget_attempts=1)
    provider = make(few, budget=ConnectBudget(few, tmp_path), pool_symbols=2)
    follow(provider, BTC, ETH)
    begin_to_move(provider)
    (branch,) = provider.pool.branches
    assert exchange.wait_for(lambda _: branch.health().state.name == "WAITING", LONG)
    provider.subscribe_symbol(SOL)
    assert provider.wait_for_tick(SOL, LONG) is not None
    exchange.set_price(BTC, 50001)
    assert exchange.wait_for(lambda _: provider.fresh_tick(BTC).price == 50001, LONG)  # type: ignore[union-attr]
    assert spread(provider) == [all_of(BTC, ETH) | {(SOL, "ticker")}, set()]
    assert exchange.ws_connections_made == 1


def test_what_was_too_much_moves_once_there_is_room(exchange: FakeKraken, make: Make) -> None:
    """A connection that could not be made when it was wanted gets its share later."""
    provider = make(pool_symbols=1, retry_delays=(0.0, 0.05), refused_delay=0.05)
    follow(provider, BTC)
    exchange.fault("refuse_connect")
    with provider.feed_thread.lock:
        branch = provider.pool._branch_locked(provider.settings)
    with branch.feed_thread.lock:
        branch.feed_thread.start_locked()
    assert exchange.wait_for(lambda _: branch.health().state.name == "WAITING", LONG)
    provider.subscribe_symbol(ETH)
    if (ETH, "ticker") in spread(provider)[0]:  # else the attempt was just under way
        assert provider.wait_for_tick(ETH, LONG) is not None
    exchange.clear_faults()
    assert exchange.wait_for(lambda _: branch.health().state.name == "LIVE", LONG)

    def is_balanced(_: object) -> bool:
        provider.pool.balance(provider)
        return (ETH, "ticker") in spread(provider)[1]

    assert exchange.wait_for(is_balanced, LONG)
    assert provider.proven(ETH) is not None


def test_stop_during_a_move_ends_all(exchange: FakeKraken, make: Make) -> None:
    """And the provider begins anew on one connection."""
    provider = make()
    follow(provider, BTC, ETH)
    exchange.fault("no_ack", symbol=BTC)
    begin_to_move(provider)
    provider.stop(LONG)
    exchange.clear_faults()
    assert exchange.wait_for(lambda x: x.ws_connections == 0, LONG)
    assert provider.pool._moves == {}
    follow(provider, BTC)
    assert spread(provider) == [all_of(BTC)]


def test_child_process_goes_on_with_a_move(exchange: FakeKraken, make: Make) -> None:
    """It has connections of its own for all that is wanted, each on one of them."""
    if not hasattr(os, "fork"):
        return  # Windows has no fork
    provider = make()
    follow(provider, BTC, ETH)
    exchange.fault("no_ack", symbol=BTC)
    begin_to_move(provider)
    assert exchange.wait_for(lambda x: len(x.stream.clients) == 2, LONG)
    pid = os.fork()
    if pid:
        exchange.clear_faults()
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert provider.proven(BTC) is not None
        return
    code = 1
    try:
        proven = [provider.wait_for_tick(symbol, LONG) is not None for symbol in (BTC, ETH)]
        provider.unsubscribe_symbol(BTC)
        gone = provider.wait_for_tick(BTC, 0) is None
        code = 0 if all(proven) and gone else 2
    finally:
        os._exit(code)


# --- many ----------------------------------------------------------------------------------------


@pytest.mark.plenty
def test_all_pairs_of_kraken_spread_over_three_connections() -> None:
    """1,500 pairs on ticker, trade and book: each proven, 500 of each channel a connection."""
    pairs, prices = synthetic_pairs(1500)
    with FakeKraken(pairs, prices) as exchange:
        settings = replace(PATIENT, pool_symbols=500, mute_after=2 * LONG)
        provider = WebSocketPriceProvider(exchange.ws_url, settings=settings)
        try:
            symbols = [str(row["wsname"]) for row in pairs.values()]
            for symbol in symbols:
                for channel in ("ticker", "trade", "book"):
                    provider.subscribe_symbol(symbol, channel)
            for symbol in symbols:
                assert provider.wait_for_tick(symbol, LONG) is not None
                assert provider.wait_for_tape(symbol, "trade", 0, LONG)
                assert provider.wait_for_book(symbol, 10, LONG) is not None
            assert [len(carried) for carried in spread(provider)] == [1500, 1500, 1500]
            assert all(len({s for s, _ in carried}) == 500 for carried in spread(provider))
            assert exchange.ws_connections_made == 3
        finally:
            provider.stop(LONG)
