"""Giving back from anywhere: in finalizers, in signal handlers, on the feed's own thread."""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import Callable

import pytest
from stream_kit import LONG, Make, Server, live

from krakenlink.stream.handover import Bell, Handover
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


def test_dead_thread_is_started_again(
    server: Server, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever ends the thread is said, nobody waits for it, and the next call starts another."""
    provider = make()
    live(provider)
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
