"""The feed's thread against a server that can misbehave in every byte."""

from __future__ import annotations

import itertools
import logging
import queue
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from krakenlink.machine import feed_clock, lost_link_at
from krakenlink.stream.budget import ConnectBudget
from krakenlink.stream.connection import Connection
from krakenlink.stream.events import (
    FeedBack,
    FeedLive,
    FeedStale,
    FeedSuspect,
    FirstData,
    SymbolMute,
    SystemState,
    Tick,
    Trades,
)
from krakenlink.stream.settings import FeedSettings
from krakenlink.stream.states import FeedState
from tests.kits.chaos.chaos_kit import frame
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
    ticker,
    wait_for,
)
from ws_price_provider import WebSocketPriceProvider


def test_dropped_connection_ends_the_price_and_comes_back(server: Server, make: Make) -> None:
    """After a drop nothing counts until the symbol is acked and has data on the new connection."""
    provider = make()
    reader = live(provider)
    server.drop()
    stale = wait_for(reader, FeedStale)
    back = wait_for(reader, FeedBack)
    assert wait_for(reader, FirstData).symbol == "BTC/USD"
    assert provider.get_current_price("XXBTZUSD") == 2.5
    assert stale.at >= stale.since
    assert back.blind_for >= 0
    assert provider.health().reconnects == 1


def test_lost_price_is_gone_at_the_moment_of_the_event(server: Server, make: Make) -> None:
    """Whoever hears that the feed is stale cannot read an old price any more."""
    provider = make(FeedSettings(retry_delays=(LONG,)))
    reader = live(provider)
    server.drop()
    wait_for(reader, FeedStale)
    assert provider.get_current_price("XXBTZUSD") is None
    assert provider.fresh_tick("BTC/USD") is None
    assert provider.proven_age("BTC/USD") is None
    assert provider.health().blind_for is not None


def test_silent_connection_is_suspected_pinged_and_left(server: Server, make: Make) -> None:
    """A socket that stays open and says nothing is asked once and then replaced."""
    pings: queue.SimpleQueue[str] = queue.SimpleQueue()

    def die(peer: Peer) -> None:
        peer.shake_hands()
        peer.send(ack(peer.message(), "BTC/USD"), ticker("BTC/USD", 9))
        while True:
            pings.put(peer.message()["method"])

    server.scripts = [die, server.serve]
    provider = make(replace(PATIENT, ping_after=0.5, dead_after=1.0))
    reader = live(provider)
    wait_for(reader, FeedSuspect)
    assert "no frame" in wait_for(reader, FeedStale).reason
    wait_for(reader, FeedBack)
    assert pings.get(timeout=LONG) == "ping"


def test_pong_keeps_a_quiet_connection_alive(server: Server, make: Make) -> None:
    """An answer to the ping is life: the price of a quiet market keeps counting."""
    provider = make(FeedSettings(ping_after=0.05, dead_after=LONG))
    reader = live(provider)
    wait_for(reader, FeedSuspect)
    wait_for(reader, FeedLive)
    assert provider.get_current_price("XXBTZUSD") == 2.5
    assert server.messages.get(timeout=LONG)["method"] == "subscribe"
    assert server.messages.get(timeout=LONG) == {"method": "ping"}


@pytest.mark.parametrize(
    ("url", "is_bound"), [("wss://ws.kraken.com/v2", True), ("wss://mirror.example/v2", False)]
)
def test_server_of_kraken_is_held_to_its_answers(url: str, is_bound: bool) -> None:
    """From the first connection on, after a fork as well; of others nobody knows."""
    thread = WebSocketPriceProvider(url).feed_thread
    assert thread.feed.link._is_bound is is_bound
    thread.start_anew()
    assert thread.feed.link._is_bound is is_bound


def test_link_that_is_lost_lets_no_kept_connection_be_trusted(server: Server, make: Make) -> None:
    """A router that forgot the stream has forgotten the connections to REST as well."""
    provider = make()
    reader = live(provider)
    wait_for(reader, FirstData)
    before = feed_clock()
    assert lost_link_at() < before
    server.drop()
    wait_for(reader, FeedStale)
    assert lost_link_at() >= before


def test_frame_after_a_long_sleep_makes_a_new_connection(server: Server, make: Make) -> None:
    """What was in the socket while the machine slept is not believed."""
    now = [1000.0]
    provider = make(PATIENT, clock=lambda: now[0])
    reader = live(provider)
    now[0] += 36_000
    server.broadcast(ticker("BTC/USD", 666))
    assert "asleep" in wait_for(reader, FeedStale).reason
    wait_for(reader, FirstData)
    assert provider.get_current_price("XXBTZUSD") == 2.5


def test_mute_symbol_ends_its_waiters(server: Server, make: Make) -> None:
    """Acked and silent: asked again once, then given up, and nobody waits any more."""

    def mute(peer: Peer) -> None:
        peer.shake_hands()
        while True:
            message = peer.message()
            server.messages.put(message)
            if message["method"] == "ping":
                peer.send('{"method":"pong"}')
            else:
                peer.send(ack(message, "BTC/USD"))

    server.scripts = [mute]
    provider = make(replace(PATIENT, mute_after=0.1))
    reader = provider.open_feed()
    provider.subscribe("BTC/USD")
    assert Waiter(provider).answer() is None
    assert wait_for(reader, SymbolMute).symbol == "BTC/USD"
    asked = [server.messages.get(timeout=LONG)["method"] for _ in range(3)]
    assert asked == ["subscribe", "unsubscribe", "subscribe"]


def test_all_symbols_come_back_in_few_messages(server: Server, make: Make) -> None:
    """After a drop 250 symbols are asked for again in three messages."""
    provider = make()
    reader = live(provider)
    for number in range(249):
        provider.subscribe_symbol(f"S{number}/USD")
    while sum(symbol.state == "live" for symbol in provider.health().symbols) < 250:
        wait_for(reader, FirstData)
    first_life = server.messages.qsize()
    server.drop()
    wait_for(reader, FeedBack)
    for _ in range(250):
        wait_for(reader, FirstData)
    assert server.messages.qsize() - first_life == 3


def test_damaged_frames_are_counted_and_hurt_nobody(server: Server, make: Make) -> None:
    """Text that is no JSON, bytes that are no text and impossible prices leave the price alone."""
    provider = make()
    reader = live(provider)
    wait_for(reader, Tick)
    server.broadcast("{", frame(b"\xff\xfe"), ticker("BTC/USD", -1), ticker("BTC/USD", "NaN"))
    server.broadcast(frame(b"\xff", 0x02), '{"error":"EGeneral:Who are you"}')
    server.broadcast('{"channel":"status","data":[{"system":"post_only"}]}')
    assert wait_for(reader, SystemState).system == "post_only"
    assert provider.health().damaged == 5
    assert provider.get_current_price("XXBTZUSD") == 2.5


def test_events_keep_their_order_whatever_comes_among_prices(
    server: Server, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """Prices in front of something else are told before it, those behind it after it."""
    provider = make()
    reader = live(provider)
    wait_for(reader, Tick)
    server.broadcast(
        ticker("BTC/USD", 5),
        ticker("BTC/USD", 6),
        '{"channel":"status","data":[{"system":"post_only"}]}',
        '{"error":"EGeneral:Who are you"}',
        ticker("BTC/USD", 7),
    )
    told = [reader.get(LONG) for _ in range(4)]
    assert [getattr(event, "price", getattr(event, "system", None)) for event in told] == [
        5,
        6,
        "post_only",
        7,
    ]
    assert provider.get_current_price("XXBTZUSD") == 7
    assert "Who are you" in caplog.text


@pytest.mark.parametrize("status", ["403 Forbidden", "429 Too Many Requests"])
def test_refused_handshake_is_said_loudly_and_tried_again(
    server: Server, make: Make, caplog: pytest.LogCaptureFixture, status: str
) -> None:
    """An HTTP 4xx is one ERROR for a person, and the feed still comes back by itself."""
    server.scripts = [*3 * [lambda peer: peer.shake_hands(status)], server.serve]
    provider = make(QUICK)
    reader = provider.open_feed()
    provider.subscribe("BTC/USD")
    wait_for(reader, FirstData)
    (record,) = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert f"HTTP {status[:3]}" in record.getMessage()


def test_subscriptions_go_out_at_once_on_an_idle_connection(server: Server, make: Make) -> None:
    """Each way of asking and leaving wakes the feed; none waits for the next frame."""
    provider = make()
    live(provider)
    provider.subscribe("ETHUSD")
    assert provider.wait_for_tick("ETH/USD", LONG) is not None
    provider.subscribe_symbol("SOL/USD")
    assert provider.wait_for_tick("SOL/USD", LONG) is not None
    provider.unsubscribe("ETHUSD")
    provider.unsubscribe_symbol("SOL/USD")
    asked = [server.messages.get(timeout=LONG)["method"] for _ in range(4)]
    assert asked == ["subscribe"] * 3 + ["unsubscribe"]


def test_stop_ends_a_pause_between_attempts(server: Server, make: Make) -> None:
    """Waiting for the next attempt does not hold up the end."""
    server.close()
    provider = make(FeedSettings(retry_delays=(1000.0,)))
    reader = provider.open_feed()
    provider.subscribe("BTC/USD")
    wait_for(reader, FeedStale)
    provider.stop(LONG)
    assert feed_threads() == []


def test_stop_during_a_connect_leaves_a_thread_that_touches_nothing(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """A connect that hangs cannot be called back; when it ends, it finds itself dismissed."""
    entered, leave = threading.Event(), threading.Event()
    late = Scripted()

    def connect(url: str, timeout: float) -> Connection:
        entered.set()
        leave.wait(LONG)
        return late

    provider = make(connect=connect)
    provider.subscribe("BTC/USD")
    entered.wait(LONG)
    (thread,) = feed_threads()
    provider.stop(0.01)
    assert "still ending" in caplog.text
    leave.set()
    thread.join(LONG)
    assert late._closed.is_set()
    assert provider.health().state is FeedState.CLOSED


def test_defect_on_the_thread_is_shown_and_survived(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """An error that nobody expected costs the connection, with its traceback in the log."""
    broken = Scripted(lambda: [] if 1 / 0 else None)
    connections = [broken, Scripted()]
    provider = make(connect=lambda url, timeout: connections.pop(0))
    reader = provider.open_feed()
    provider.subscribe("BTC/USD")
    assert "ZeroDivisionError" in wait_for(reader, FeedStale).reason
    wait_for(reader, FeedBack)
    assert "Traceback" in caplog.text


def test_thread_that_cannot_start_leaves_rest(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the system has no more threads nobody waits, and the reason is logged."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    provider = make()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        provider.subscribe("BTC/USD")
        assert provider.wait_for_tick("BTC/USD", LONG) is None
    assert "can't start new thread" in caplog.text
    assert provider.wait_for_tick("BTC/USD", LONG) is not None


def test_distrusted_symbol_has_no_price_until_trusted(server: Server, make: Make) -> None:
    """Somebody who knows better can take a price out and let it back in."""
    provider = make()
    live(provider)
    provider.feed_thread.distrust("BTC/USD", "it lies")
    assert provider.get_current_price("XXBTZUSD") is None
    assert provider.wait_for_tick("BTC/USD", LONG) is None
    provider.feed_thread.trust("BTC/USD")
    assert provider.get_current_price("XXBTZUSD") == 2.5


def test_resubscribed_symbol_counts_again_with_new_data(server: Server, make: Make) -> None:
    """Asking anew leaves first, and waits for data that come after the new ack."""
    provider = make()
    reader = live(provider)
    wait_for(reader, Tick)
    provider.feed_thread.resubscribe("BTC/USD")
    provider.feed_thread.resubscribe("ETH/USD")
    wait_for(reader, Tick)
    methods = [server.messages.get(timeout=LONG)["method"] for _ in range(3)]
    assert methods == ["subscribe", "unsubscribe", "subscribe"]
    assert provider.get_current_price("XXBTZUSD") == 2.5


def test_reconnect_on_demand_says_why(make: Make) -> None:
    """An audit that does not believe the link gets a new one, and the log its reason."""
    provider = make()
    provider.reconnect("nothing to reconnect yet")
    reader = live(provider)
    provider.reconnect("the stream lies about BTC/USD")
    assert wait_for(reader, FeedStale).reason == "the stream lies about BTC/USD"
    wait_for(reader, FirstData)
    assert provider.connected


def test_used_up_budget_is_waited_for_and_said(
    server: Server, make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The feed waits for its turn, nobody waits for the feed, and a WARNING says why."""
    settings = FeedSettings(budget_attempts=1, budget_window=3.0, dead_after=LONG)
    budget = ConnectBudget(settings, tmp_path)
    assert budget.reserve(time.time()) == 0
    provider = make(settings, budget=budget)
    reader = provider.open_feed()
    provider.subscribe("BTC/USD")
    wait_for(reader, FirstData)
    assert "Too many connection attempts" in caplog.text


class Spent(ConnectBudget):
    """A budget that has something left only after a moment, each time."""

    waits = itertools.cycle((0.001, 0.0))

    def reserve(self, now: float) -> float:
        return next(self.waits)


def test_what_stays_as_it_is_is_said_once_in_a_while(
    server: Server, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """A budget that is used up before each attempt, and the same complaint of Kraken's."""
    settings = FeedSettings(dead_after=LONG, retry_delays=(0.0,))
    budget = Spent(settings)
    provider = make(settings, budget=budget)
    reader = provider.open_feed()
    provider.subscribe("BTC/USD")
    for number in range(3):
        wait_for(reader, FirstData)
        server.broadcast('{"error":"Something else"}', ticker("BTC/USD", 5 + number))
        while wait_for(reader, Tick).price != 5 + number:
            continue
        server.drop()
    wait_for(reader, FirstData)
    server.broadcast('{"error":"Something new"}', ticker("BTC/USD", 9))
    while wait_for(reader, Tick).price != 9:
        continue
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert sum("Too many connection attempts" in one for one in said) == 1
    assert [one for one in said if "complains" in one] == [
        *("Kraken complains: Something else", "Kraken complains: Something new")
    ]


def test_server_on_this_machine_is_exempt_from_the_budget(
    make: Make, place_of_its_own: Path
) -> None:
    """Tests and the demo leave no ledger behind, unless the settings ask for it."""
    live(make())
    assert not (place_of_its_own / "cache").exists()
    live(make(FeedSettings(budget_on_loopback=True)))
    assert (place_of_its_own / "cache" / "connection-attempts").exists()


def test_heartbeats_alone_keep_a_connection_alive(server: Server, make: Make) -> None:
    """A frame that says nothing is a sign of life all the same, and its moment is the proof's."""
    now = [1000.0]
    provider = make(replace(PATIENT, ping_after=LONG, dead_after=2 * LONG), clock=lambda: now[0])
    live(provider)
    for _ in range(5):
        now[0] += LONG - 1
        server.broadcast('{"channel":"heartbeat"}')
        deadline = time.monotonic() + LONG
        while provider.proven_age("BTC/USD") != 0:
            assert time.monotonic() < deadline
            threading.Event().wait(0.005)
    assert provider.health().reconnects == 0


def test_waiter_sleeps_through_trades(
    server: Server, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits for a first price is not woken by each frame that brings something else."""
    server.scripts = [lambda peer: (peer.shake_hands(), peer.message(), peer.message())]
    provider = make()
    woken: list[float] = []
    changed = provider.feed_thread.changed
    monkeypatch.setattr(changed, "notify_all", lambda: woken.append(time.monotonic()))
    reader = provider.open_feed(channels=["trade"])
    provider.subscribe_symbol("ETH/USD", "trade")
    wait_for(reader, FeedLive)
    before = len(woken)
    trade = '{"channel":"trade","data":[{"symbol":"ETH/USD","price":1,"qty":1,"trade_id":7}]}'
    server.broadcast(trade, trade)
    for _ in range(2):
        wait_for(reader, Trades)
    assert len(woken) == before > 0
