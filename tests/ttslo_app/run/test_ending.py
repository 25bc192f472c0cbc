"""How signals end the program, and how it ends with whoever started it."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.kits.hosts.three_etcd import wait_until
from ttslo_app.run.ending import (
    Ending,
    Farewell,
    HungUp,
    code_of,
    end_at_once_on_signals,
    end_with_starter,
    ended_by_signals,
    handle,
)

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no signal reaches a process alone there")


@pytest.fixture(autouse=True)
def signals_as_before() -> Iterator[None]:
    """Give back what signals did."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_last_word_is_said_on_another_thread_and_then_the_end_comes() -> None:
    """What a handler does is one byte; who waits for it speaks, and ends the process."""
    said: queue.SimpleQueue[object] = queue.SimpleQueue()
    me = threading.get_ident()
    farewell = Farewell(lambda name: said.put((name, threading.get_ident() == me)), said.put)
    farewell.ring(signal.SIGTERM)
    assert said.get(timeout=60) == ("SIGTERM", False)
    assert said.get(timeout=60) == signal.SIGTERM
    farewell.close()


def test_screen_that_hangs_does_not_get_the_program() -> None:
    """The end comes a second later, whatever became of the word."""
    hangs, ended = threading.Event(), threading.Event()
    farewell = Farewell(lambda name: hangs.wait(60), lambda number: ended.set())
    farewell.ring(signal.SIGINT)
    assert ended.wait(60)
    hangs.set()
    farewell.close()


def test_clean_end_leaves_no_thread_and_no_word() -> None:
    """A program that ends by itself has said its last."""
    said: list[str] = []
    Farewell(said.append, lambda number: said.append("ended")).close()
    assert said == []
    assert not [t for t in threading.enumerate() if t.name == "ttslo-farewell"]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 0), (signal.SIGHUP, 129)]
)
def test_first_signal_stops_and_tells_its_code(number: signal.Signals, code: int) -> None:
    """Wished for is 0; a terminal that is gone is not."""
    stopped: list[int] = []
    with Ending(lambda: stopped.append(1), lambda name: None) as ending:
        signal.raise_signal(number)
    assert (stopped, ending.code) == ([1], code)


@pytest.mark.parametrize(
    "ending", [lambda stop: Ending(stop, lambda name: None), ended_by_signals], ids=["run", "plain"]
)
def test_signal_that_interrupts_whoever_holds_a_lock_of_the_end_ends_it(
    ending: Callable[[Callable[[], object]], AbstractContextManager[object]],
) -> None:
    """An event has one, too, for as long as somebody begins or ends to wait for it."""
    lock, seen = threading.Lock(), list[bool]()

    def stop() -> None:
        seen.append(lock.acquire(timeout=30))

    with ending(stop), lock:
        signal.raise_signal(signal.SIGTERM)
        assert seen == []
    assert seen == [True]


def test_signals_do_afterwards_what_they_did_before() -> None:
    """A host program's handler is its own again."""

    def own(number: int, frame: object) -> None:
        """Do nothing."""

    signal.signal(signal.SIGTERM, own)
    with Ending(lambda: None, lambda name: None):
        assert signal.getsignal(signal.SIGTERM) is not own
    assert signal.getsignal(signal.SIGTERM) is own


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_whoever_has_no_last_word_is_ended_by_each_signal(number: signal.Signals) -> None:
    """Afterwards they do what they did before, and one that was ignored was so all the time."""
    before, stopped = signal.getsignal(number), list[int]()
    with ended_by_signals(lambda: stopped.append(1)):
        signal.raise_signal(number)
        signal.raise_signal(number)
    assert stopped == [1, 1]
    assert signal.getsignal(number) is before
    signal.signal(number, signal.SIG_IGN)
    with ended_by_signals(lambda: stopped.append(2)):
        signal.raise_signal(number)
    assert stopped == [1, 1]
    assert signal.getsignal(number) is signal.SIG_IGN


def test_whoever_is_no_main_thread_leaves_signals_alone() -> None:
    """A host program's own handlers end it."""
    seen: list[object] = []

    def work() -> None:
        with ended_by_signals(lambda: None):
            seen.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    assert seen == [before]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_is_ignored_at_the_start_stays_ignored(number: signal.Signals) -> None:
    """In every phase: `nohup` and background jobs rely on it."""
    signal.signal(number, signal.SIG_IGN)
    stopped: list[int] = []
    end_at_once_on_signals()
    signal.raise_signal(number)
    with Ending(lambda: stopped.append(1), lambda name: None):
        signal.raise_signal(number)
        handle(number, signal.SIG_DFL)
        signal.raise_signal(number)
    assert signal.getsignal(number) is signal.SIG_IGN
    assert stopped == []


def test_before_the_loop_a_signal_is_an_interrupt_that_knows_its_code() -> None:
    """SIGTERM ends the start as Ctrl-C does, and a closed terminal with 129."""
    end_at_once_on_signals()
    with pytest.raises(KeyboardInterrupt) as wished:
        signal.raise_signal(signal.SIGTERM)
    with pytest.raises(HungUp) as hung_up:
        signal.raise_signal(signal.SIGHUP)
    assert (code_of(wished.value), code_of(hung_up.value)) == (0, 129)


LONG = 60.0
ROOT = Path(__file__).resolve().parents[3]
# Starts a process that holds on to its starter, and hangs until it is killed.
STARTER = """\
import subprocess, sys, threading
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdin=subprocess.PIPE)
threading.Event().wait()
"""
CHILD = """\
import threading
from pathlib import Path
from ttslo_app.run.ending import end_with_starter
gone = threading.Event()
end_with_starter(gone.set)
Path("began").touch()
gone.wait()
Path("ended").touch()
"""


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Both ends of an input; whatever is left of them is closed in the end."""
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            continue


def test_who_is_held_is_let_go_once_the_other_end_is_gone(pipe: tuple[int, int]) -> None:
    """What is written meanwhile means nothing."""
    inner, outer = pipe
    gone = threading.Event()
    end_with_starter(gone.set, inner)
    os.write(outer, b"a word\n")
    reading = [t for t in threading.enumerate() if t.name == "ttslo-lifeline" and t.is_alive()]
    assert reading
    assert not gone.is_set()
    os.close(outer)
    assert gone.wait(LONG)


def test_input_that_was_never_open_is_held_by_nobody(pipe: tuple[int, int]) -> None:
    """Some start a program with its input closed."""
    inner, outer = pipe
    os.close(inner)
    os.close(outer)
    gone = threading.Event()
    end_with_starter(gone.set, inner)
    assert gone.wait(LONG)


def test_process_learns_that_its_starter_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No handler of the starter runs then: the system closes what it held."""
    monkeypatch.chdir(tmp_path)
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, CHILD],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        wait_until(Path("began").exists)
        assert not Path("ended").exists()
    finally:
        starter.kill()
        starter.wait()
    wait_until(Path("ended").exists)
