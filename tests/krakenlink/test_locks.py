"""A lock that may not be had: what is done under it, and that it is let go."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

import pytest

from krakenlink.locks import done_under
from tests.kits.common.interrupt_kit import at_each_instant


def test_work_is_done_under_the_lock_and_the_lock_let_go() -> None:
    """And it is told that it was."""
    lock, seen = threading.Lock(), list[bool]()
    assert done_under(lock, 0.0, lambda: seen.append(lock.locked()))
    assert seen == [True]
    assert not lock.locked()


@pytest.mark.parametrize("patience", [0.0, 0.01])
def test_lock_that_another_holds_is_left_alone(patience: float) -> None:
    """Nothing is done, and it stays the other's."""
    lock = threading.Lock()
    with lock:
        assert not done_under(lock, patience, pytest.fail)
        assert lock.locked()
    assert not lock.locked()


def test_lock_that_is_let_go_in_time_is_had() -> None:
    """The other one has come to its end."""
    lock, done = threading.Lock(), list[int]()
    lock.acquire()
    other = threading.Thread(target=lock.release)
    other.start()
    assert done_under(lock, 60.0, lambda: done.append(1))
    other.join()
    assert done == [1]


def fails() -> None:
    """Raise what nobody catches."""
    raise SystemExit


def nothing() -> None:
    """Do nothing."""


def test_work_that_fails_lets_the_lock_go() -> None:
    """Whatever it raises is raised."""
    lock = threading.Lock()
    with pytest.raises(SystemExit):
        done_under(lock, 0.0, fails)
    assert not lock.locked()


@pytest.mark.parametrize("work", [nothing, partial(nothing)])
def test_no_instant_of_an_interrupt_keeps_the_lock(work: Callable[[], None]) -> None:
    """Had and not noted, it would be held for ever."""
    for interrupted in at_each_instant("krakenlink/locks.py"):
        lock = threading.Lock()
        interrupted.do(partial(done_under, lock, 0.0, work))
        assert not lock.locked()


def test_no_instant_of_an_interrupt_lets_go_what_another_holds() -> None:
    """Two would be at work under it."""
    for interrupted in at_each_instant("krakenlink/locks.py"):
        lock = threading.Lock()
        with lock:
            interrupted.do(partial(done_under, lock, 0.0, nothing))
            assert lock.locked()
