"""One question, one call in flight: whoever asks the same meanwhile waits for its answer.

What it must never do: let somebody wait longer than they have time, or let one who had less time
decide for the others that there is no answer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from copy import copy
from typing import Any, TypeVar

from krakenlink.errors import KrakenTimeout
from krakenlink.machine import feed_clock

T = TypeVar("T")


class _Flight:
    """One call under way. Its owner has it land in single steps: a Ctrl-C comes between such.

    Attributes:
        gate: Held until it has landed; whoever comes through lets the next one through.
        is_over: Whether it has landed. Whoever finds one that has makes a call of their own.
        told: What all get who have waited, an answer or an error; None if it says nothing to them.
    """

    def __init__(self) -> None:
        self.gate = threading.Lock()
        self.gate.acquire()
        self.is_over = False
        self.told: tuple[Any, Exception | None] | None = None


class Flights:
    """The calls that are under way. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards `_flying`; never held during a call
        self._flying: dict[Hashable, _Flight] = {}

    def ask(self, question: Hashable, call: Callable[[], T], patience: float) -> T:
        """Return the answer to `question`, by `call` or by the same one that is under way.

        Args:
            question: What is asked; equal questions have one answer.
            call: Asks; must not ask the same question itself.
            patience: Longest wait for somebody else's call, in seconds.

        Raises:
            KrakenTimeout: If somebody else's call has no answer in that time.
            BaseException: What the call raises; those who waited get a copy.
        """
        ends_at = feed_clock() + patience
        mine = _Flight()
        try:  # from before anybody else can see it
            while (flight := self._under_way(question, mine)) is not mine:
                told = _outcome_of(flight, ends_at)
                if told is not None:
                    return told[0]  # type: ignore[no-any-return]  # of an equal question
            return _fly(mine, call)
        finally:
            mine.is_over = True
            mine.gate.release()
            with self._lock:
                if self._flying.get(question) is mine:
                    del self._flying[question]

    def _under_way(self, question: Hashable, mine: _Flight) -> _Flight:
        """Return the flight with that question, which is `mine` where there is none."""
        with self._lock:
            flight = self._flying.get(question)
            if flight is None or flight.is_over:
                flight = self._flying[question] = mine
            return flight


def _outcome_of(flight: _Flight, ends_at: float) -> tuple[Any, None] | None:
    """Wait for somebody else's flight; return its answer, None where one is to ask anew."""
    if flight.gate.acquire(timeout=max(0.0, ends_at - feed_clock())):
        flight.gate.release()
    elif not flight.is_over:  # who came through before may not have let anybody through
        said = "the same was being asked already, and no answer came in time"
        raise KrakenTimeout(said, request_sent=True)
    if flight.told is None:
        if feed_clock() >= ends_at:
            raise KrakenTimeout("no answer came in time", request_sent=True)
        return None
    answer, error = flight.told
    if error is not None:
        raise copy(error) from None
    return answer, None


def _fly(mine: _Flight, call: Callable[[], T]) -> T:
    """Make the call, and leave its outcome for all who wait."""
    try:
        answer = call()
    except KrakenTimeout:
        raise  # we may have had less time than they; nor does an interrupt tell them anything
    except Exception as error:
        mine.told = (None, copy(error))  # without the traceback, which holds this frame
        raise
    mine.told = (answer, None)
    return answer
