"""The feed in bad weather: through a proxy that breaks connections, beside a market that moves."""

from __future__ import annotations

import faulthandler
import os
import random
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fake_kraken import FakeKraken
from krakenlink.stream.events import (
    FeedBack,
    FeedConnecting,
    FeedStale,
    FeedSuspect,
    FirstData,
    SymbolMute,
)
from tests.kits.chaos.chaos_kit import (
    CERTIFICATE,
    LONG,
    PAIR,
    QUICK,
    SLACK,
    SYMBOL,
    Scene,
    frame,
    wait_for,
)
from tests.kits.chaos.chaos_proxy import ChaosProxy, Weather
from tests.kits.common.fresh_python import run_python
from ws_price_provider import WebSocketPriceProvider, feed_clock

# Flapping and the storm of threads are short by themselves. A whole minute of each:
# `TTSLO_CHAOS_SECONDS=60 pytest tests/whole/chaos/test_chaos.py -k "flapping or storm" -rP`.
CHAOS_SECONDS = float(os.environ.get("TTSLO_CHAOS_SECONDS", "0"))
# The same where silence is not the matter: a busy machine must not look dead.
PATIENT = replace(QUICK, ping_after=50 * LONG, dead_after=100 * LONG, lag_check_every=100 * LONG)

MakeScene = Callable[..., Scene]


@pytest.fixture
def scene() -> Iterator[MakeScene]:
    """Hand out a maker of a scene in fair weather; at its end, nobody must have been lied to."""
    made: list[Scene] = []
    with ExitStack() as stack:

        def make(**options: Any) -> Scene:
            made.append(Scene(stack, **options))
            wait_for(made[-1].events, FirstData)
            made[-1].sees()
            return made[-1]

        yield make
    for one in made:
        assert one.readers.lies == []


# ------------------------------------------------------------------------------------- the oracle


def test_oracle_calls_a_dead_price_a_lie(scene: MakeScene) -> None:
    """The judge of all these tests sees a price that is served after its proof has ended."""
    market = scene().market
    asked_at, price = feed_clock(), market.present
    assert market.judge(price, asked_at, 0.0, SLACK) is None
    market.wait_for_moves(1)
    assert market.judge(price, asked_at, 0.0, SLACK) is None
    market.wait_for_moves(30)  # of 4 ms each, at least
    now = feed_clock()
    assert market.judge(price, now, 0.0, 0.1)
    assert market.judge(price, now, 0.0, LONG) is None
    assert market.judge(price, now, now - asked_at, 0.1) is None


# ------------------------------------------------------------------------------------ dead lines


def test_half_open_connection_is_noticed(scene: MakeScene) -> None:
    """Bytes that vanish in both directions, with no word from anybody, end all prices."""
    s = scene()
    s.proxy.weather = Weather(is_dark=True)
    wait_for(s.events, FeedSuspect)
    s.is_blind()
    s.comes_back()


@pytest.mark.parametrize("count", [1, 20, 150, 1000])
def test_connection_that_dies_after_some_bytes_is_noticed(scene: MakeScene, count: int) -> None:
    """The line goes dead in the handshake, in the status, in the ack, between the prices.

    Behind a thousand bytes there is a price, which counts until the silence after it is death.
    """
    s = scene()
    made = s.proxy.made
    s.proxy.weather = Weather(hole_after=count)
    s.proxy.reset()
    wait_for(s.events, FeedStale)
    assert s.proxy.wait_for_connections(made + 3, LONG)
    s.readers.wait_for(5, "rest")
    s.comes_back()


@pytest.mark.parametrize("count", [0, 20, 200, 700])
def test_connection_that_is_cut_after_some_bytes_is_made_anew(scene: MakeScene, count: int) -> None:
    """A reset in the handshake, or in the middle of a frame, over and over, is survived."""
    s = scene()
    s.proxy.weather = Weather(cut_after=count)
    s.proxy.reset()
    wait_for(s.events, FeedStale)
    for _ in range(4):
        wait_for(s.events, FeedConnecting)
    s.readers.wait_for(5, "rest")
    s.comes_back()


def test_flapping_connection_is_made_anew_each_time(scene: MakeScene) -> None:
    """A dozen resets, or one each second of `TTSLO_CHAOS_SECONDS`: prices flow after each."""
    s = scene()
    before, ending = Left(s.exchange), threading.Event()
    for flap in range(1, max(12, int(CHAOS_SECONDS)) + 1):
        s.proxy.reset()
        wait_for(s.events, FeedStale)
        wait_for(s.events, FirstData)
        ending.wait(CHAOS_SECONDS and 1.0)
        print(f"reset {flap}: {s.readers} {before} -> {Left(s.exchange)}")
    s.sees()
    assert s.provider.health().reconnects >= 12
    assert s.exchange.wait_for(lambda e: e.ws_connections == 1)


def test_refused_connections_are_tried_again(scene: MakeScene) -> None:
    """Nobody listens: prices come over REST until somebody does."""
    s = scene()
    s.proxy.refuse()
    s.is_blind()
    for _ in range(4):
        wait_for(s.events, FeedConnecting)
    s.proxy.listen()
    s.comes_back()


def test_server_that_accepts_and_never_answers_is_left(scene: MakeScene) -> None:
    """An accepted connection without an answer has a deadline, and the next one counts."""
    s = scene()
    s.proxy.weather = Weather(is_deaf=True)
    s.proxy.reset()
    s.is_blind()
    assert s.proxy.wait_for_connections(3, LONG)
    s.comes_back()


def test_server_that_restarts_is_found_again(scene: MakeScene) -> None:
    """The exchange goes away, REST and all, and comes back: errors meanwhile, and never a lie."""
    s = scene()
    s.exchange.stop_listening()
    wait_for(s.events, FeedStale)
    s.market.wait_for_moves(20)
    assert s.provider.get_current_price(PAIR) is None
    s.exchange.resume()
    s.comes_back()


def test_name_that_no_server_knows_is_asked_for_again(
    scene: MakeScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name server goes away: attempts go on, and succeed once it is back."""
    s = scene(host="localhost")
    known = socket.getaddrinfo

    def unknown(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host == "localhost":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return known(host, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", unknown)
        s.proxy.reset()
        s.is_blind()
        for _ in range(4):
            wait_for(s.events, FeedConnecting)
    s.comes_back()


def test_tls_handshake_that_is_cut_is_made_anew(
    scene: MakeScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over TLS: cut off before its handshake, left alone in it, then let through."""
    file = tmp_path / "localhost.pem"
    file.write_text(CERTIFICATE, encoding="ascii")
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    s = scene(tls=context)
    s.proxy.weather = Weather(is_deaf=True)
    s.proxy.reset()
    s.is_blind()
    for _ in range(3):
        made = s.proxy.made
        assert s.proxy.wait_for_connections(made + 1, LONG)
        # Cut when the client has spoken: before, it would be no handshake yet.
        assert select.select([s.proxy.links[-1].client], [], [], LONG)[0]
        s.proxy.reset()
    s.comes_back()


# ------------------------------------------------------------------------------------ slow lines


def test_latency_makes_prices_no_older_than_itself(scene: MakeScene) -> None:
    """A line that holds everything back by less than death is used, and its prices count."""
    s = scene(settings=PATIENT)
    s.readers.allowed = SLACK + 2 * 0.1
    s.proxy.weather = Weather(latency=0.1)
    s.readers.wait_for(100, "stream")
    assert s.provider.health().reconnects == 0


def test_latency_longer_than_death_is_noticed(scene: MakeScene) -> None:
    """A line that holds everything back for longer than prices live has none that counts."""
    s = scene()
    s.readers.allowed = SLACK + QUICK.dead_after + QUICK.lag_check_every
    s.proxy.weather = Weather(latency=1.0)
    s.is_blind()
    s.comes_back()


def test_line_that_falls_behind_is_left(scene: MakeScene) -> None:
    """Frames come all the time, each one later than the one before: the lag is found and ended."""
    s = scene(pause=0.002)
    s.readers.allowed = SLACK + QUICK.dead_after + QUICK.lag_check_every
    s.proxy.weather = Weather(piece=256, pause=0.01)
    while "late" not in wait_for(s.events, FeedStale).reason:
        pass  # a busy machine's doing
    s.comes_back()


def test_bytes_that_come_one_by_one_make_the_same_prices(scene: MakeScene) -> None:
    """Frames in pieces of one byte are frames; the connection is kept."""
    s = scene(pause=0.05, settings=PATIENT)
    s.proxy.weather = Weather(piece=1)
    s.readers.wait_for(50, "stream")
    assert s.provider.health().damaged == 0
    assert s.provider.health().reconnects == 0


def test_listener_that_never_reads_delays_nobody(scene: MakeScene) -> None:
    """Ten listeners let their queues grow; prices are as young as ever."""
    s = scene()
    sleepers = [s.provider.open_feed() for _ in range(10)]
    s.market.wait_for_moves(100)
    s.sees()
    assert all(sleeper.backlog >= 50 for sleeper in sleepers)


# -------------------------------------------------------------------------------- strange frames


def test_frame_of_ten_megabytes_ends_the_connection_only(scene: MakeScene) -> None:
    """A frame beyond all reason is not read; the next connection is as good as new."""
    s = scene()
    s.proxy.weather = Weather(injected=frame(b" " * 10_000_000))
    s.proxy.reset()
    wait_for(s.events, FeedStale)
    while "10000000 bytes" not in wait_for(s.events, FeedStale).reason:
        pass
    s.comes_back()


@pytest.mark.parametrize(
    "rubbish",
    [
        frame(b"[" * 3_000_000),
        frame(b"\xff\xfe"),
        frame('{"channel":"ticker","data":[{"symbol":"BTC/USD","last":1e999}]}'),
        frame('{"channel":', first_bits=0x00) + frame(b"hi", 0x09) + frame('"x"', 0x00),
    ],
    ids=["huge nesting", "no text", "infinite price", "fragments around a ping"],
)
def test_rubbish_makes_no_price_and_no_harm(scene: MakeScene, rubbish: bytes) -> None:
    """What is no price stays none, and what comes after it is served."""
    s = scene()
    s.proxy.weather = Weather(injected=rubbish)
    s.proxy.reset()
    wait_for(s.events, FirstData)
    s.sees()
    assert s.provider.health().damaged >= 1


def test_compressed_frame_that_nobody_agreed_to_ends_the_connection_only(scene: MakeScene) -> None:
    """A reserved bit without an agreement is a broken protocol: a new connection is made."""
    s = scene()
    s.proxy.weather = Weather(injected=frame("{}", first_bits=0xC0))
    s.proxy.reset()
    for _ in range(2):
        wait_for(s.events, FeedStale)
    s.comes_back()


def test_mute_subscription_is_answered_by_rest(scene: MakeScene) -> None:
    """Acknowledged, the link alive, no data: REST answers until the stream speaks."""
    s = scene()
    fault = s.exchange.fault("ack_without_data", symbol=SYMBOL)
    s.proxy.reset()
    wait_for(s.events, SymbolMute)
    s.readers.wait_for(5, "rest", "young")
    assert s.provider.get_current_price(PAIR) is None
    fault.clear()
    s.proxy.reset()
    s.comes_back()


# ----------------------------------------------------------------------------------------- clocks


def test_hour_of_sleep_ends_all_prices(scene: MakeScene) -> None:
    """The feed's clock steps an hour ahead, as after sleep: nothing counts until it is proven."""
    offset = [0.0]
    s = scene(clock=lambda: feed_clock() + offset[0])
    offset[0] = 3600.0
    stale = wait_for(s.events, FeedStale)
    assert stale.at - stale.since >= 3590
    wait_for(s.events, FeedBack)
    s.comes_back()


@pytest.mark.parametrize("step", [-86400.0, 86400.0])
def test_wall_clock_that_is_set_moves_nothing(
    scene: MakeScene, monkeypatch: pytest.MonkeyPatch, step: float
) -> None:
    """Somebody sets the date by a day, in either direction: prices and link stay as they are."""
    s = scene(settings=PATIENT)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + step)
    s.market.wait_for_moves(50)
    s.sees()
    assert s.provider.health().reconnects == 0


# ----------------------------------------------------------------------------------------- threads


class Storm:
    """Threads that do a bounded number of things at random; the same ones in each run."""

    def __init__(self, provider: WebSocketPriceProvider, proxy: ChaosProxy) -> None:
        self.errors: list[BaseException] = []
        self.threads: list[threading.Thread] = []
        self._provider = provider
        self._proxy = proxy
        self._until = time.monotonic() + CHAOS_SECONDS
        self._lock = threading.Lock()  # guards _done
        self._done: dict[str, int] = {}  # by what was done; counted at each thread's end
        self._names = ("XXBTZUSD", "XETHZUSD", "SOL/USD", "ADAUSD")
        self._symbols = ("BTC/USD", "ETH/USD", "SOL/USD", "ADA/USD")

    def start(self, act: Callable[[random.Random], object], count: int, times: int) -> None:
        """Start `count` threads that do `act` so many times each, or for `CHAOS_SECONDS`."""
        for _ in range(count):
            chance = random.Random(len(self.threads))
            thread = threading.Thread(target=self._repeat, args=(act, times, chance))
            self.threads.append(thread)
            thread.start()

    def _repeat(
        self, act: Callable[[random.Random], object], times: int, chance: random.Random
    ) -> None:
        done = 0
        try:
            while done < times or time.monotonic() < self._until:
                act(chance)
                done += 1
        except BaseException as error:  # noqa: BLE001 - shown by the test's assertion
            self.errors.append(error)
        with self._lock:
            name = act.__name__
            self._done[name] = self._done.get(name, 0) + done

    def __str__(self) -> str:
        return f"done {self._done}, errors {len(self.errors)}"

    def read(self, chance: random.Random) -> None:
        """Ask for a price in a way that never blocks."""
        self._provider.get_current_price(chance.choice(self._names))
        self._provider.fresh_tick(chance.choice(self._symbols))
        if CHAOS_SECONDS:
            time.sleep(0.001)  # 64 that never rest would leave the others no turn in a minute

    def wait(self, chance: random.Random) -> None:
        """Wait far longer than the test for a price: a lost wake-up would hang here."""
        self._provider.wait_for_tick(chance.choice(self._symbols), 100 * LONG)

    def subscribe(self, chance: random.Random) -> None:
        """Take a pair and give another one back."""
        self._provider.subscribe(chance.choice(self._names))
        self._provider.unsubscribe(chance.choice(self._names))

    def disturb(self, chance: random.Random) -> None:
        """Stop the feed, or reset its connection, and listen for a moment."""
        if chance.random() < 0.5:
            self._provider.stop(LONG)
        else:
            self._proxy.reset()
        self._provider.open_feed().get(chance.random() * 0.02)
        self._provider.health()


def open_files() -> int:
    """Return how many files and sockets this process has open; 0 where that is not told."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


class Left:
    """What this process and the exchange hold at one moment, to be printed."""

    def __init__(self, exchange: FakeKraken) -> None:
        self.threads = threading.active_count()
        self.files = open_files()
        self.connections = exchange.ws_connections

    def __str__(self) -> str:
        return f"(threads {self.threads}, files {self.files}, connections {self.connections})"


def test_storm_of_threads_ends_clean(exchange: FakeKraken) -> None:
    """64 readers, 8 waiters, 8 subscribers, stops, starts and resets: all end, nothing is left."""
    faulthandler.dump_traceback_later(CHAOS_SECONDS + 3 * LONG)
    proxy = ChaosProxy(exchange.port)
    before = Left(exchange)
    provider = WebSocketPriceProvider(proxy.url, settings=QUICK)
    storm = Storm(provider, proxy)
    storm.start(storm.read, 64, 400)
    storm.start(storm.wait, 8, 40)
    storm.start(storm.subscribe, 8, 60)
    storm.start(storm.disturb, 2, 40)
    for thread in storm.threads:
        thread.join(CHAOS_SECONDS + 2 * LONG)
    print(f"{storm}, connections {proxy.made}, {before} -> {Left(exchange)}", end=" -> ")
    assert not any(thread.is_alive() for thread in storm.threads)
    assert storm.errors == []
    provider.stop(LONG)
    assert not [t for t in threading.enumerate() if t.name == "kraken-price-feed"]
    assert exchange.wait_for(lambda e: e.ws_connections == 0)
    proxy.close()
    after = Left(exchange)
    print(after)
    assert after.files <= before.files
    faulthandler.cancel_dump_traceback_later()


def test_interpreter_ends_while_the_feed_connects_for_ever(exchange: FakeKraken) -> None:
    """A program whose stream hangs in its handshake ends at its end, without a word."""
    with ExitStack() as stack:
        proxy = ChaosProxy(exchange.port)
        stack.callback(proxy.close)
        proxy.weather = Weather(is_deaf=True)
        code = (
            "import ws_price_provider as w, krakenlink.stream.feed as p\n"
            "s = p.FeedSettings(connect_timeout=1000.0, connect_patience=0.2)\n"
            f"f = w.WebSocketPriceProvider({proxy.url!r}, settings=s)\n"
            "f.subscribe('BTC/USD'); print(f.wait_for_tick('BTC/USD', 20))"
        )
        assert run_python(code) == "None"
