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
    """One call under way; its answer, or a copy of what it raised, once it has landed."""

    def __init__(self) -> None:
        self.landed = threading.Event()
        self.answer: Any = None
        self.error: BaseException | None = None


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
        while True:
            with self._lock:
                flight = self._flying.get(question)
                if flight is None:
                    mine = self._flying[question] = _Flight()
                    break
            if not flight.landed.wait(max(0.0, ends_at - feed_clock())):
                said = "the same was being asked already, and no answer came in time"
                raise KrakenTimeout(said, request_sent=True)
            if flight.error is None:
                return flight.answer  # type: ignore[no-any-return]  # of an equal question
            # Who asked may have had less time, or was interrupted: that says nothing to us.
            if isinstance(flight.error, Exception) and not isinstance(flight.error, KrakenTimeout):
                raise copy(flight.error) from None
            if feed_clock() >= ends_at:
                raise KrakenTimeout("no answer came in time", request_sent=True)
        try:
            mine.answer = call()
        except BaseException as error:
            mine.error = copy(error)  # without the traceback, which holds this frame
            raise
        else:
            return mine.answer  # type: ignore[no-any-return]
        finally:
            with self._lock:
                del self._flying[question]
            mine.landed.set()
