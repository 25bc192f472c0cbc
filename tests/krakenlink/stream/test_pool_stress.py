"""Several threads at one provider of several connections, on real sockets, as fast as they can."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest

from fake_kraken import FakeKraken
from krakenlink.stream.settings import FeedSettings
from tests.kits.common.examples import many
from tests.kits.program.program_process import wait_until
from tests.kits.stream.stream_kit import LONG, feed_threads
from ws_price_provider import WebSocketPriceProvider

PAIRS = {"XXBTZUSD": "BTC/USD", "XETHZUSD": "ETH/USD", "SOLUSD": "SOL/USD", "XRPUSD": "XRP/USD"}
CHANNELS = ("ticker", "trade", "book", "ohlc")
# Silence is not the matter; each connection is full with one symbol, and what is full moves.
SETTINGS = FeedSettings(
    ping_after=50 * LONG,
    dead_after=100 * LONG,
    mute_after=100 * LONG,
    lag_check_every=100 * LONG,
    connect_timeout=LONG,
    connect_patience=LONG,
    audit_every=0,
    pool_symbols=1,
    pool_most=4,
    retry_delays=(0.0,),
)
TURNS = many(1500)
Act = Callable[[Random], None]


@pytest.fixture(autouse=True)
def often() -> Iterator[None]:
    """Let the interpreter change threads as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def provider(exchange: FakeKraken) -> Iterator[WebSocketPriceProvider]:
    """Hand out a provider, which is stopped at the end: then no thread is left."""
    made = WebSocketPriceProvider(exchange.ws_url, settings=SETTINGS, resolve=PAIRS.get)
    yield made
    made.stop(LONG)
    wait_until(lambda: not feed_threads(), "no thread is left")


def all_at_once(provider: WebSocketPriceProvider, acts: list[Act]) -> None:
    """Let each act happen again and again on a thread of its own, while things move."""
    ended = threading.Event()

    def move(random: Random) -> None:
        while not ended.wait(0.002):
            for carrier in (provider, *provider.pool.branches):
                subs = list(carrier.feed_thread.feed.subscriptions.by_key.copy().values())
                if subs and random.random() < 0.3:
                    provider.pool._begin(random.choice(subs), carrier)

    def repeat(act: Act, random: Random) -> None:
        for _ in range(TURNS):
            act(random)

    with ThreadPoolExecutor(len(acts) + 1) as threads:
        moving = threads.submit(move, Random(0))
        try:
            doing = [threads.submit(repeat, act, Random(n)) for n, act in enumerate(acts)]
            for one in doing:
                one.result(2 * LONG)
        finally:
            ended.set()
        moving.result(LONG)


@pytest.mark.plenty
def test_nothing_is_left_of_what_was_given_back(provider: WebSocketPriceProvider) -> None:
    """Whoever gives back as often as they have asked leaves no subscription, nor a way to one."""

    def pairs(random: Random) -> None:
        pair = random.choice(list(PAIRS))
        provider.subscribe(pair)
        provider.unsubscribe(random.choice([pair, random.choice(list(PAIRS))]))

    def symbols(random: Random) -> None:
        what = random.choice(list(PAIRS.values())), random.choice(CHANNELS)
        provider.subscribe_symbol(*what)
        if random.random() < 0.02:
            provider.reconnect("for the sake of it")
        provider.unsubscribe_symbol(*what)

    all_at_once(provider, [pairs, pairs, symbols, symbols])
    for pair in provider.subscribed_pairs:
        provider.unsubscribe(pair)
    pool = provider.pool

    def left() -> list[object]:
        carriers = (provider, *pool.branches)
        subs = [dict(x.feed_thread.feed.subscriptions.by_key) for x in carriers]
        return [what for what in (*subs, pool._routes, pool._moves) if what]

    wait_until(lambda: not left(), lambda: f"nothing is left: {left()}")


@pytest.mark.plenty
def test_what_is_asked_for_while_all_is_stopped_has_prices(
    provider: WebSocketPriceProvider,
) -> None:
    """Or was given back; and no connection outlives a stop."""

    def pairs(random: Random) -> None:
        provider.subscribe(random.choice(list(PAIRS)))
        if random.random() < 0.5:
            provider.unsubscribe(random.choice(list(PAIRS)))

    def stop(random: Random) -> None:
        provider.get_current_price(random.choice(list(PAIRS)))
        if random.random() < 0.3:
            provider.stop(LONG)

    all_at_once(provider, [pairs, pairs, pairs, stop])
    for pair in provider.subscribed_pairs:
        wait_until(lambda pair=pair: provider.get_current_price(pair), f"{pair} has a price")  # type: ignore[misc]
