"""Giving back from anywhere: in finalizers, in signal handlers, on the feed's own thread."""

from __future__ import annotations

import gc
import logging
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from decimal import Decimal
from functools import partial
from queue import SimpleQueue
from typing import Any

import pytest

from krakenlink.stream.events import Event, FeedBack, FeedClosed, FeedStale, FirstData, Tick
from krakenlink.stream.handover import Bell, Handover, Run, taken
from krakenlink.stream.states import Subscription
from tests.kits.common.interrupt_kit import at_each_instant
from tests.kits.program.program_process import wait_until
from tests.kits.stream.stream_kit import LONG, Make, Server, feed_threads, live, ticker, wait_for
from ws_price_provider import WebSocketPriceProvider


def test_bell_wakes_once_for_many_rings() -> None:
    """Rings that nobody waited for are one."""
    bell = Bell()
    assert not bell.wait(0)
    bell.ring()
    bell.ring()
    assert bell.is_rung
    assert bell.wait(0)
    assert not bell.wait(0)


def test_work_waits_for_the_holder_of_the_lock() -> None:
    """A held lock is not waited for; the next holder does the work."""
    lock, done = threading.Lock(), list[int]()
    handover = Handover(lock)
    with lock:
        handover.add(lambda: done.append(1))
        assert not done
        handover.empty_locked()
    handover.add(lambda: done.append(2))
    assert done == [1, 2]
    assert not handover


STREAM = ("ws_price_provider.py", *(f"stream/{x}.py" for x in ("handover", "pool", "wants")))


@pytest.mark.parametrize(
    "call",
    [
        lambda provider: provider.subscribe("XXBTZUSD"),
        lambda provider: provider.unsubscribe("XXBTZUSD"),
        lambda provider: provider.subscribe_symbol("BTC/USD", "trade"),
        lambda provider: provider.unsubscribe_symbol("BTC/USD"),
        lambda provider: provider.reconnect("it is wished"),
        lambda provider: provider.open_feed().close(),
        lambda provider: provider.health(),
        lambda provider: provider.stop(),
    ],
)
def test_no_instant_of_an_interrupt_leaves_the_lock_held(
    call: Callable[[WebSocketPriceProvider], object],
) -> None:
    """Whoever goes on after a Ctrl-C would find a feed that answers no call any more."""
    for interrupted in at_each_instant(*STREAM):
        provider = WebSocketPriceProvider("ws://127.0.0.1:1")
        provider.feed_thread._is_available = False
        provider.subscribe("XXBTZUSD")
        interrupted.do(partial(call, provider))
        assert not provider.feed_thread.lock.locked()


class Snatched(deque[Callable[[], None]]):
    """What another thread takes the last of between a look at it and the hand put out for it."""

    def __bool__(self) -> bool:
        is_there = len(self) > 0
        if len(self) == 1:
            self.popleft()
        return is_there


def test_what_waits_is_taken_in_order_with_what_comes_meanwhile() -> None:
    """Nothing is left behind, and nothing is taken twice."""
    waiting = deque([1, 2])
    found = []
    for one in taken(waiting):
        found.append(one)
        if one == 1:
            waiting.append(3)
    assert found == [1, 2, 3]
    assert not waiting


def test_errand_that_a_dismissed_thread_has_just_taken_is_no_defect(make: Make) -> None:
    """One that was stopped while it connected ends beside the one that was started after it."""
    thread, done = make().feed_thread, list[int]()
    thread._errands = Snatched([partial(done.append, 1), partial(done.append, 2)])
    thread.do_errands()
    assert done == [1]


def test_child_of_a_fork_does_no_errand_of_its_parent(make: Make) -> None:
    """What an audit found there was not found of the child's stream, and nobody would trust it."""
    thread, done = make().feed_thread, list[int]()
    thread.send(partial(done.append, 1))
    thread.start_anew()
    thread.do_errands()
    assert not done


def test_child_of_a_fork_knows_the_server(make: Make) -> None:
    """Its first connection is held to the answers that the parent's had."""
    thread = make().feed_thread
    assert not thread.feed.link._is_answered
    thread.feed.link.ponged(0.0)
    thread.start_anew()
    assert thread.feed.link._is_answered


def within(seconds: float, work: Callable[[], None]) -> bool:
    """Do `work` on a thread of its own; tell whether it came to an end in time."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()


@pytest.mark.parametrize("how", ["unsubscribe", "unsubscribe_symbol", "close", "reconnect", "stop"])
def test_finalizer_under_the_lock_gives_back(how: str, server: Server, make: Make) -> None:
    """A cycle that is collected while its thread holds the feed's lock stops nobody."""
    provider = make()
    reader = live(provider)
    calls: dict[str, Callable[[], None]] = {
        "unsubscribe": lambda: provider.unsubscribe("XXBTZUSD"),
        "unsubscribe_symbol": lambda: provider.unsubscribe_symbol("BTC/USD"),
        "close": reader.close,
        "reconnect": lambda: provider.reconnect("a finalizer wants it"),
        "stop": provider.stop,
    }

    class Dying:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            calls[how]()

    def collect() -> None:
        Dying()
        with provider.feed_thread.lock:
            gc.collect()

    assert within(LONG, collect)
    assert within(LONG, lambda: print(provider.health()))
    if how in ("unsubscribe", "unsubscribe_symbol", "stop"):
        assert provider.health().symbols == ()
    assert provider.subscribe("XXBTZUSD")


def test_stop_below_a_signal_handler(server: Server, make: Make) -> None:
    """A handler that stops the feed in the middle of `health` is done after it."""
    provider = make()
    live(provider)
    before = signal.signal(signal.SIGINT, lambda *_: provider.stop())
    try:
        with provider.feed_thread.lock:
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert provider.health().symbols == ()
    assert provider.stops == 1


@pytest.mark.parametrize("who", ["the thread", "another caller"])
def test_end_that_was_handed_over_is_told_as_a_direct_one(
    who: str, server: Server, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """Readers have their last event and the log its line, whoever came to the lock next."""
    caplog.set_level(logging.INFO)
    provider = make()
    reader = live(provider)
    run = provider.feed_thread._run
    assert run is not None
    assert run.thread is not None
    with provider.feed_thread.lock:
        provider.stop()
        assert provider.stops == 0
        if who == "another caller":
            provider.feed_thread.handover.empty_locked()
    run.thread.join(LONG)
    wait_for(reader, FeedClosed)
    assert caplog.messages.count("The price stream is closed") == 1
    assert provider.stops == 1
    assert provider.feed_thread.is_dead
    provider.stop()
    assert reader.backlog == 0


class Stopping(SimpleQueue[Event]):
    """A reader's queue that stops the feed in the middle of what it tells, as a finalizer may."""

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop: Callable[[], None] | None = stop

    def put(self, event: Event, block: bool = True, timeout: float | None = None) -> None:
        """Stop at the price of 3."""
        super().put(event)
        stop, self._stop = self._stop, self._stop
        if isinstance(event, Tick) and event.price == 3 and stop is not None:
            self._stop = None
            stop()


def test_end_below_what_the_thread_tells_comes_after_it(server: Server, make: Make) -> None:
    """What the thread has taken in by then is told first: the end is the last."""
    provider = make()
    live(provider)
    run = provider.feed_thread._run
    assert run is not None
    assert run.thread is not None
    told = provider.open_feed(sink=Stopping(provider.stop))
    server.broadcast(ticker("BTC/USD", 3), ticker("BTC/USD", 4))
    run.thread.join(LONG)
    assert [type(told.get(LONG)) for _ in range(told.backlog)][-1] is FeedClosed
    assert provider.stops == 1
    assert provider.feed_thread.is_dead


def test_threads_that_hang_share_one_time() -> None:
    """Two of them do not make a stop twice as long."""
    waited: list[float | None] = []

    class Hanging(threading.Thread):
        def join(self, timeout: float | None = None) -> None:
            waited.append(timeout)

    run = Run(thread=Hanging(), companion=Hanging())
    assert run.finish(time.monotonic())
    assert waited == [0.0, 0.0]


def test_end_below_what_is_wanted_leaves_no_thread(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Handed over between a reference and the thread for it, it ends both."""
    provider = make()
    want = provider._subscriptions.want

    def interrupted(*args: Any) -> Subscription:
        sub = want(*args)
        provider.stop()  # as a signal handler may, in the middle of it
        return sub

    monkeypatch.setattr(provider._subscriptions, "want", interrupted)
    provider.subscribe_symbol("BTC/USD")
    assert provider.health().symbols == ()
    assert provider.stops == 1
    wait_until(lambda: not feed_threads(), "the thread ends")


def test_end_without_a_thread_is_told_too(
    server: Server, make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the thread has died, or never was, whoever stops tells the readers."""
    caplog.set_level(logging.INFO)
    provider = make()
    reader = live(provider)
    kill(provider, monkeypatch)
    provider.stop()
    wait_for(reader, FeedClosed)
    never = make()
    other = never.open_feed()
    never.stop()
    wait_for(other, FeedClosed)
    assert caplog.messages.count("The price stream is closed") == 2


@pytest.mark.parametrize("who", ["looks", "begins anew"])
def test_end_that_was_handed_over_without_a_thread_is_told_by_who_comes_next(
    who: str, server: Server, make: Make
) -> None:
    """Who waits for the last event need not wait for another end, nor hear of it after a begin."""
    provider = make()
    reader = provider.open_feed()
    with provider.feed_thread.lock:
        provider.stop()
    assert reader.backlog == 0
    if who == "looks":
        provider.health()
        assert reader.backlog == 1
    else:
        provider.connect()
    assert isinstance(reader.get(LONG), FeedClosed)


@pytest.mark.parametrize("when", ["direct", "handed over"])
def test_end_is_told_once_however_many_want_it(
    when: str, server: Server, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """Eight threads stop at once: one end, one line."""
    caplog.set_level(logging.INFO)
    provider = make()
    reader = live(provider)
    threads = [threading.Thread(target=provider.stop) for _ in range(8)]
    with provider.feed_thread.lock if when == "handed over" else nullcontext():
        for thread in threads:
            thread.start()
    for thread in threads:
        thread.join(LONG)
    wait_for(reader, FeedClosed)
    assert reader.get(0) is None
    assert caplog.messages.count("The price stream is closed") == 1


READS: dict[str, Callable[[WebSocketPriceProvider], object]] = {
    "get_current_price": lambda provider: provider.get_current_price("XXBTZUSD"),
    "price_reader": lambda provider: provider.price_reader("BTC/USD")(),
    "proven": lambda provider: provider.proven("BTC/USD"),
    "note_rest_fallback": lambda provider: provider.note_rest_fallback("BTC/USD"),
    "subscribe": lambda provider: provider.subscribe("XXBTZUSD"),
    "subscribe_symbol": lambda provider: provider.subscribe_symbol("BTC/USD", "trade"),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_dead_thread_is_started_again_by_whoever_asks(
    read: Callable[[WebSocketPriceProvider], object],
    server: Server,
    make: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who only reads has prices again, too; nobody has to know what brings a thread back."""
    provider = make()
    reader = live(provider)
    kill(provider, monkeypatch)
    wait_for(reader, FeedStale)
    read(provider)
    assert not provider.feed_thread.is_dead
    wait_for(reader, Tick)
    assert provider.get_current_price("XXBTZUSD") == 2.5


def test_reads_start_nothing_after_a_stop(server: Server, make: Make) -> None:
    """What was stopped stays so until somebody subscribes, whoever reads meanwhile."""
    provider = make()
    live(provider)
    old = provider.price_reader("BTC/USD")
    provider.stop(LONG)
    assert provider.get_current_price("XXBTZUSD") is None
    assert old() is None
    assert provider.proven("BTC/USD") is None
    assert provider.feed_thread.is_dead


def kill(provider: WebSocketPriceProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """End the feed's thread as nothing that is caught on the way would, and wait for its end."""
    run = provider.feed_thread._run
    assert run is not None
    assert run.thread is not None
    with monkeypatch.context() as patch:
        patch.setattr(provider.feed_thread, "serve", die)
        provider.reconnect("for a new look at what serves")
        run.thread.join(LONG)
    assert not run.thread.is_alive()


@pytest.mark.parametrize("error", [MemoryError, RecursionError, NotImplementedError, SystemExit])
def test_whatever_a_frame_raises_prices_come_back(
    error: type[BaseException],
    server: Server,
    make: Make,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """No memory, a module that was loaded anew: said once, over with the next connection."""
    provider = make()
    reader = live(provider)
    run = provider.feed_thread._run
    assert run is not None
    assert run.thread is not None

    def fail(*_: object) -> Any:
        monkeypatch.undo()  # once
        raise error

    wait_for(reader, Tick)
    monkeypatch.setattr("krakenlink.stream.runner.read_frames", fail)
    server.broadcast(ticker("BTC/USD", 3))
    if error is SystemExit:
        run.thread.join(LONG)
        assert provider.get_current_price("XXBTZUSD") is None  # which starts it again
    assert wait_for(reader, Tick).price == Decimal("2.50")
    said = [one for one in caplog.records if one.levelno >= logging.ERROR]
    assert [one.getMessage().split(" the next")[0].split(" of its")[0] for one in said] == [
        "The price feed has died;" if error is SystemExit else "The price feed met a defect"
    ]


def test_dead_thread_is_started_again(
    server: Server, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever ends the thread is said, nobody waits for it, and the next call starts another."""
    provider = make()
    reader = live(provider)
    thread = provider.feed_thread
    run = thread._run
    assert run is not None
    assert run.thread is not None
    serve = thread.serve
    thread.serve = die  # type: ignore[assignment, method-assign]
    provider.reconnect("for a new look at what serves")
    run.thread.join(LONG)
    assert "has died" in caplog.text
    assert provider.get_current_price("XXBTZUSD") is None
    thread.serve = serve  # type: ignore[method-assign]
    provider.note_rest_fallback("BTC/USD")
    assert thread._run not in (None, run)
    # Who acts by events hears when nothing was proven any more, and not only that it is again.
    while wait_for(reader, FeedStale).reason != "defect: SystemExit":
        continue
    wait_for(reader, FeedBack)
    wait_for(reader, FirstData)


def die(*_: object) -> None:
    """End the thread as nothing that is caught on the way would."""
    raise SystemExit


def test_with_stops_it(make: Make) -> None:
    """At the end of `with` the thread is gone."""
    provider: WebSocketPriceProvider = make()
    with provider as same:
        assert same is provider
        live(provider)
    assert provider.stops == 1
