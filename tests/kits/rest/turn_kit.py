"""Turns of a key that last as long as a test wants."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from threading import Event
from typing import Any

from krakenlink.rest.gate import Gate


@contextmanager
def turn(gate: Gate, patience: float, *, is_look: bool) -> Iterator[int]:
    """Have a turn, whose work is done when the block ends, and yield its nonce.

    It is had on a thread of its own. Raises what the gate raises where it is not had.
    """
    begun: Future[int] = Future()
    ends = Event()

    def work(nonce: int) -> None:
        begun.set_result(nonce)
        assert ends.wait(60)

    with ThreadPoolExecutor(1) as thread:
        all_of_it = thread.submit(gate.in_turn, work, patience, is_look=is_look)
        try:
            either: tuple[Future[Any], ...] = (begun, all_of_it)
            if all_of_it in wait(either, 60, FIRST_COMPLETED).done:
                all_of_it.result()
            yield begun.result()
        finally:
            ends.set()
    all_of_it.result()


def nonce_of(gate: Gate, patience: float = 0, *, is_look: bool = False) -> int:
    """Have a turn that does nothing, and return its nonce."""
    return gate.in_turn(lambda nonce: nonce, patience, is_look=is_look)
