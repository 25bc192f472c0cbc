"""The feed's thread over real sockets: who gets a price, when, and when nobody does."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fake_kraken import FakeKraken
from krakenlink.stream.events import (
    FeedClosed,
    FeedConnecting,
    FeedLive,
    FeedStale,
    FirstData,
    SymbolRefused,
    SystemState,
    Tick,
)
from krakenlink.stream.settings import FeedSettings
from krakenlink.stream.states import FeedState
from tests.kits.common.fresh_python import run_python
from tests.kits.stream.stream_kit import (
    LONG,
    PATIENT,
    QUICK,
    Make,
    Peer,
    Scripted,
    Server,
    Waiter,
    ack,
    feed_threads,
    live,
    make,
    server,
    ticker,
    wait_for,
)
from ws_price_provider import WebSocketPriceProvider

__all__ = ["make", "server"]

ROOT = Path(__file__).resolve().parents[1]


def test_first_price_comes_over_the_stream(make: Make) -> None:
    """Subscribing by a REST name brings the price under that name, and the exact tick by symbol."""
    provider = make()
    live(provider)
    tick = provider.fresh_tick("BTC/USD")
    assert provider.get_current_price("XXBTZUSD") == 2.5
    assert tick is not None
    assert str(tick.price) == "2.50"
    assert provider.connected
    assert provider.subscribed_pairs == {"XXBTZUSD"}


def test_thread_starts_with_the_first_subscription_and_is_one_daemon(make: Make) -> None:
    """Constructing and listening start nothing; many subscriptions share one named daemon."""
    provider = make()
    reader = provider.open_feed()
    assert feed_threads() == []
    for pair in ("XBTUSD", "ETH/USD", "XXBTZUSD"):
        provider.subscribe(pair)
    wait_for(reader, FirstData)
    (thread,) = feed_threads()
    assert thread.daemon


def test_price_of_what_was_never_subscribed_is_none(make: Make) -> None:
    """Reading asks for nothing and never raises, whatever the name is."""
    provider = make()
    live(provider)
    odd: Any = ["BTC/USD"]
    assert provider.get_current_price("ETHUSD") is None
    assert provider.get_current_price(odd) is None
    assert provider.fresh_tick("ETH/USD") is None
    assert provider.proven_age("ETH/USD") is None
    assert provider.wait_for_tick("ETH/USD", LONG) is None


def test_waiter_wakes_with_the_first_data(server: Server, make: Make) -> None:
    """A waiter gets the first tick from the stream, not from the end of its patience."""
    waiting = threading.Event()

    def slow(peer: Peer) -> None:
        peer.shake_hands()
        message = peer.message()
        peer.send(ack(message, "BTC/USD"), '{"channel":"status","data":[{"system":"online"}]}')
        waiting.wait(LONG)
        peer.send(ticker("BTC/USD", 7))
        server.answer(peer)

    server.scripts = [slow]
    provider = make()
    reader = provider.open_feed()
    provider.subscribe_symbol("BTC/USD")
    wait_for(reader, SystemState)
    waiter = Waiter(provider)
    waiting.set()
    tick = waiter.answer()
    assert tick is not None
    assert tick.price == 7


def test_waiter_returns_when_kraken_refuses(server: Server, make: Make) -> None:
    """A refusal ends the wait at once and says why, in Kraken's words, in a WARNING."""
    error = "Currency pair not supported BTC/USD"

    def refuse(peer: Peer) -> None:
        peer.shake_hands()
        message = peer.message()
        answer = {"method": "subscribe", "req_id": message["req_id"], "success": False}
        peer.send(json.dumps(answer | {"error": error, "symbol": "BTC/USD"}))
        peer.receive()

    server.scripts = [refuse]
    provider = make()
    reader = provider.open_feed()
    provider.subscribe("BTC/USD")
    assert Waiter(provider).answer() is None
    assert wait_for(reader, SymbolRefused).error == error
    assert Waiter(provider).answer() is None
    assert provider.health().symbols[0].error == error


def test_waiter_returns_when_the_link_goes_down(server: Server, make: Make) -> None:
    """Nobody waits on a connection that is lost, nor while the stream is known to be down."""

    def vanish(peer: Peer) -> None:
        peer.shake_hands()
        peer.message()

    server.scripts = [vanish]
    provider = make(replace(PATIENT, retry_delays=(100 * LONG,)))
    provider.subscribe("BTC/USD")
    assert Waiter(provider).answer() is None
    assert provider.health().state is FeedState.WAITING
    assert Waiter(provider).answer() is None


def test_nobody_waits_for_a_server_that_is_not_there(server: Server, make: Make) -> None:
    """A refused connection is known after the first attempt, and told once."""
    server.close()
    provider = make(replace(PATIENT, retry_delays=(100 * LONG,)))
    reader = provider.open_feed()
    provider.subscribe("BTC/USD")
    assert Waiter(provider).answer() is None
    assert wait_for(reader, FeedConnecting).attempt == 1
    assert "refused" in wait_for(reader, FeedStale).reason
    assert not provider.connected


def test_waiter_gives_up_after_its_own_time(server: Server, make: Make) -> None:
    """A wait is never longer than asked for."""
    server.scripts = [lambda peer: peer.sock.recv(1)]
    provider = make()
    provider.subscribe("BTC/USD")
    assert provider.wait_for_tick("BTC/USD", 0.01) is None


def test_unsubscribing_ends_a_wait(server: Server, make: Make) -> None:
    """Who waits for a symbol that is given up meanwhile is sent home."""

    def silent(peer: Peer) -> None:
        peer.shake_hands()
        while True:
            server.messages.put(peer.message())

    server.scripts = [silent]
    provider = make()
    provider.subscribe_symbol("BTC/USD")
    waiter = Waiter(provider)
    server.messages.get(timeout=LONG)
    provider.unsubscribe_symbol("BTC/USD")
    assert waiter.answer() is None
    assert server.messages.get(timeout=LONG)["method"] == "unsubscribe"


def test_read_itself_refuses_a_price_that_nobody_proved(server: Server, make: Make) -> None:
    """A feed thread that is stuck, or a machine that slept, never serves an old price."""
    now = [1000.0]
    provider = make(FeedSettings(), clock=lambda: now[0])
    live(provider)
    now[0] += 2.9
    assert provider.get_current_price("XXBTZUSD") == 2.5
    assert provider.proven_age("BTC/USD") == pytest.approx(2.9)
    now[0] += 0.1
    assert provider.get_current_price("XXBTZUSD") is None
    assert provider.fresh_tick("BTC/USD") is None
    assert provider.proven_age("BTC/USD") is None
    assert not provider.connected


def test_address_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """KRAKEN_WS_PUBLIC_URL replaces Kraken's own address, under the same rules."""
    assert WebSocketPriceProvider().url == "wss://ws.kraken.com/v2"
    monkeypatch.setenv("KRAKEN_WS_PUBLIC_URL", "ws://127.0.0.1:9/v2")
    assert WebSocketPriceProvider().url == "ws://127.0.0.1:9/v2"
    monkeypatch.setenv("KRAKEN_WS_PUBLIC_URL", "ws://example.com/v2")
    with pytest.raises(ValueError, match="refused"):
        WebSocketPriceProvider()


def test_one_provider_is_shared_for_each_address() -> None:
    """Everybody who asks for the same address gets the same feed."""
    first = WebSocketPriceProvider.shared("ws://127.0.0.1:9/v2")
    assert WebSocketPriceProvider.shared("ws://127.0.0.1:9/v2") is first
    assert WebSocketPriceProvider.shared("ws://127.0.0.1:10/v2") is not first
    with pytest.raises(ValueError, match="refused"):
        WebSocketPriceProvider.shared("ws://example.com/v2")


@pytest.mark.parametrize(
    ("pair", "symbol"),
    [
        ("XXBTZUSD", "BTC/USD"),
        ("XBT/USD", "BTC/USD"),
        ("ETH/XBT", "ETH/BTC"),
        ("XDG/EUR", "DOGE/EUR"),
        ("SOL/USD", "SOL/USD"),
        ("AAPLx/USD", "AAPLx/USD"),
    ],
)
def test_pair_is_streamed_under_its_v2_symbol(make: Make, pair: str, symbol: str) -> None:
    """Known legacy names and names with a slash are understood without asking Kraken."""
    provider = make(connect=lambda url, timeout: Scripted())
    assert provider.subscribe(pair)
    assert [health.symbol for health in provider.health().symbols] == [symbol]


@pytest.mark.parametrize("pair", ["XTZUSD7", "", "A/B/C", "/USD", "USD/", None, 5])
def test_unknown_pair_is_not_streamed_and_said_once(
    make: Make, caplog: pytest.LogCaptureFixture, pair: Any
) -> None:
    """A name is never guessed at: one WARNING tells what to do, and nothing starts."""
    provider = make()
    assert [provider.subscribe(pair), provider.subscribe(pair)] == [False, False]
    (record,) = caplog.records
    assert "AssetPairs" in record.getMessage()
    assert feed_threads() == []


def test_names_are_resolved_by_what_is_handed_in(make: Make) -> None:
    """A resolver of the caller's own decides, and None from it means: no stream."""
    names = {"mine": "SOL/EUR"}
    provider = make(resolve=names.get, connect=lambda url, timeout: Scripted())
    assert provider.subscribe("mine")
    assert not provider.subscribe("other")
    assert provider.health().symbols[0].symbol == "SOL/EUR"


def test_two_names_of_one_symbol_are_one_subscription(server: Server, make: Make) -> None:
    """The stream is left when the last name is given up, each name counts once."""
    provider = make()
    live(provider)
    for pair in ("XBT/USD", "XBT/USD"):
        provider.subscribe(pair)
    provider.unsubscribe("XXBTZUSD")
    assert provider.get_current_price("XBT/USD") == 2.5
    assert provider.get_current_price("XXBTZUSD") is None
    provider.unsubscribe("XBT/USD")
    provider.unsubscribe("XBT/USD")
    methods = [server.messages.get(timeout=LONG)["method"] for _ in range(2)]
    assert methods == ["subscribe", "unsubscribe"]
    assert provider.health().symbols == ()


@pytest.mark.parametrize("args", [("",), (None,), ("BTC/USD", "spread")])
def test_symbol_or_channel_that_cannot_be_is_refused(make: Make, args: Any) -> None:
    """Mistakes of the caller raise; they would otherwise wait for ever."""
    with pytest.raises(ValueError, match=r"symbol|channel"):
        make().subscribe_symbol(*args)


def test_stop_ends_the_thread_and_gives_everything_back(make: Make) -> None:
    """After stop there is no thread, no price, no subscription; twice is as good as once."""
    provider = make()
    reader = live(provider)
    provider.stop()
    assert feed_threads() == []
    wait_for(reader, FeedClosed)
    provider.stop()
    assert reader.get(0) is None
    assert provider.get_current_price("XXBTZUSD") is None
    assert (provider.subscribed_pairs, provider.connected) == (frozenset(), False)


def test_stopped_provider_starts_again_with_a_subscription(make: Make) -> None:
    """A new subscription after stop is a new life."""
    provider = make()
    live(provider)
    provider.stop(LONG)
    live(provider)
    assert provider.get_current_price("XXBTZUSD") == 2.5
    assert len(feed_threads()) == 1


@pytest.mark.parametrize("library", ["websocket", "msgspec"])
def test_without_a_library_nothing_starts_and_nobody_waits(library: str) -> None:
    """The module imports, says so, and every call answers at once."""
    code = (
        f"import sys, threading; sys.modules[{library!r}] = None\n"
        "import kraken_api, ws_price_provider as w\n"
        "p = w.WebSocketPriceProvider()\n"
        "p.subscribe('BTC/USD'); p.subscribe_symbol('ETH/USD')\n"
        "print(w.WEBSOCKET_AVAILABLE, kraken_api.WEBSOCKET_AVAILABLE,\n"
        "      p.wait_for_tick('BTC/USD', 1000), p.connected, p.get_current_price('BTC/USD'),\n"
        "      threading.active_count(), kraken_api.KrakenAPI().price_provider())"
    )
    assert run_python(code) == "False False None False None 1 None"


def test_frames_that_cannot_be_read_are_asked_of_no_connection() -> None:
    """Without msgspec a connection that somebody hands in is not made either."""
    code = (
        "import sys, threading; sys.modules['msgspec'] = None\n"
        "import ws_price_provider as w\n"
        "p = w.WebSocketPriceProvider('ws://127.0.0.1:1', connect=lambda url, timeout: 1 / 0)\n"
        "p.subscribe('BTC/USD'); print(p.wait_for_tick('BTC/USD', 1000), threading.active_count())"
    )
    assert run_python(code) == "None 1"


def test_interpreter_ends_without_waiting_for_the_feed(server: Server) -> None:
    """A program that forgets to stop the feed ends all the same, without a word."""
    code = (
        "import ws_price_provider as w\n"
        "s = w.FeedSettings(connect_timeout=60.0, connect_patience=60.0, mute_after=60.0)\n"
        f"p = w.WebSocketPriceProvider.shared({server.url!r}, settings=s)\n"
        "p.subscribe('BTC/USD'); print(p.wait_for_tick('BTC/USD', 60).price)"
    )
    assert run_python(code) == "2.50"


def test_child_process_makes_a_connection_of_its_own(server: Server, make: Make) -> None:
    """A forked child forgets the parent's prices, reconnects by itself, and harms nothing."""
    if not hasattr(os, "fork"):
        return  # Windows has no fork, and so nothing to forget
    provider = make()
    reader = live(provider)
    shared = WebSocketPriceProvider.shared("ws://127.0.0.1:9/v2")
    code = fork_and_check(provider, shared)
    assert code == 0
    assert server.connections == 2
    server.peers[0].send(ticker("BTC/USD", 77))
    while wait_for(reader, Tick).price != 77:
        continue
    assert provider.health().reconnects == 0


def fork_and_check(provider: WebSocketPriceProvider, shared: WebSocketPriceProvider) -> int:
    """Fork; in the child look at the inherited providers; return the child's exit code."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 9
    try:
        # In this order: to read a price is what has the child connect.
        forgotten = not provider.connected and provider.get_current_price("XXBTZUSD") is None
        renewed = provider.wait_for_tick("BTC/USD", LONG) is not None
        other = WebSocketPriceProvider.shared("ws://127.0.0.1:9/v2") is not shared
        code = (not forgotten) + 2 * (not renewed) + 4 * (not other)
    finally:
        os._exit(code)


def test_fork_without_a_hook_is_noticed_at_the_next_subscription(make: Make) -> None:
    """Where no hook ran, another process id is enough to start anew, with the same wishes."""
    closed = threading.Event()
    connection = Scripted()
    provider = make(connect=lambda url, timeout: connection)
    reader = provider.open_feed()
    provider.subscribe("XBTUSD")
    provider.subscribe_symbol("BTC/USD", "trade")
    wait_for(reader, FeedLive)
    provider._pid = -1
    provider.subscribe("ETHUSD")
    closed = connection._closed
    assert closed.wait(LONG)
    assert provider.subscribed_pairs == {"XBTUSD", "ETHUSD"}
    channels = [(health.symbol, health.channel) for health in provider.health().symbols]
    assert channels == [("BTC/USD", "ticker"), ("BTC/USD", "trade"), ("ETH/USD", "ticker")]


def test_crowd_of_readers_and_subscribers_ends_clean(server: Server, make: Make) -> None:
    """Readers, waiters, subscribers, drops, stops and starts at once: no deadlock, no error."""
    provider = make(QUICK)
    errors: list[BaseException] = []
    names = [f"S{number}/USD" for number in range(8)]

    def guard(act: Callable[[int], object], times: int) -> threading.Thread:
        def run() -> None:
            try:
                for number in range(times):
                    act(number)
            except BaseException as error:  # noqa: BLE001 - shown by the assertion below
                errors.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def subscribe(number: int) -> None:
        provider.subscribe(names[number % 8])
        provider.wait_for_tick(names[number % 8], 0.05)
        provider.unsubscribe(names[(number + 3) % 8])

    def disturb(number: int) -> None:
        provider.stop(LONG)
        with suppress(OSError, IndexError):
            server.drop()
        provider.open_feed().get(0.01)

    threads = [guard(lambda n: provider.get_current_price(names[n % 8]), 5000) for _ in range(16)]
    threads += [guard(subscribe, 40) for _ in range(4)] + [guard(disturb, 20)]
    threads += [guard(lambda n: provider.health(), 200)]
    for thread in threads:
        thread.join(2 * LONG)
    assert not any(thread.is_alive() for thread in threads)
    assert errors == []
    provider.stop(LONG)
    assert feed_threads() == []


def test_connect_opens_the_line_before_anything_is_asked_for(
    exchange: FakeKraken, make: Make
) -> None:
    """Connecting without a symbol makes the connection, and asks for nothing on it."""
    provider = make(PATIENT, url=exchange.ws_url)
    provider.connect()
    assert exchange.wait_for(lambda e: e.ws_connections == 1)
    assert exchange.ws_messages == []


def test_reader_of_a_relay_has_one_connection_for_all() -> None:
    """Each of them would bring everything, and all is gathered; other settings stay as they are."""
    settings = FeedSettings(pool_most=3, dead_after=7.0)
    reader = WebSocketPriceProvider("redis://127.0.0.1:6379/r1", settings=settings)
    assert (reader.settings.pool_most, reader.settings.gather_for) == (1, 0.0)
    assert reader.settings.dead_after == 7.0
    assert WebSocketPriceProvider("ws://127.0.0.1:1/v2", settings=settings).settings is settings
