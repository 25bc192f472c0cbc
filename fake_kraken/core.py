"""What REST, the stream and the switches share: the engine, its clock, faults, and a record.

It serves nothing, and needs no library of others.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from fake_kraken.engine import Engine
from fake_kraken.faults import Faults

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """A REST call that came in; `params` are without nonce. `at` is seconds since 1970.

    `connection` is the same number for calls that came over the same connection.
    """

    at: float
    endpoint: str
    params: dict[str, str]
    connection: int


class Core:
    """The exchange behind its wires.

    All but the record is for the exchange's own thread; `wait_for` is for any other.

    Attributes:
        engine: The matching engine.
        faults: Those that are switched on.
        clock_offset: Seconds that Kraken's clock is ahead of this machine's.
        kept: How many calls, and messages of the stream, are remembered at least; twice as many
            at most. None: all of them.
        requests: The REST calls that are remembered, oldest first.
        counts: How many calls of each endpoint there ever were.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.faults = Faults()
        self.clock_offset = 0.0
        self.kept: int | None = 10_000
        self.requests: list[Request] = []
        self.counts: Counter[str] = Counter()
        # Guards _news, the number of things that have happened: whoever waits looks at it.
        self._happened = threading.Condition()
        self._news = 0

    def now(self) -> float:
        """Return Kraken's clock, in seconds since 1970."""
        return time.time() + self.clock_offset

    def note(self, endpoint: str, params: dict[str, str], connection: int) -> None:
        """Record a REST call."""
        self.counts[endpoint] += 1
        self.remember(self.requests, Request(time.time(), endpoint, params, connection))
        self.tell()

    def remember(self, record: list[T], entry: T) -> None:
        """Add to a record, and let go of what is too old in it: a demo runs for weeks."""
        record.append(entry)
        if self.kept is not None and len(record) > 2 * self.kept:
            del record[: -self.kept]

    def tell(self) -> None:
        """Wake whoever waits: something has happened."""
        with self._happened:
            self._news += 1
            self._happened.notify_all()

    def wait_for(self, predicate: Callable[[], object], timeout: float) -> bool:
        """Wait until `predicate()` is true; False if it is not within `timeout` seconds."""
        end = time.monotonic() + timeout
        while True:
            # Not asked under the lock: the exchange's own thread needs it before it can answer.
            seen = self._news
            if predicate():
                return True
            left = end - time.monotonic()
            if left <= 0:
                return False
            with self._happened:
                # Also looks now and then: what changes with time alone tells nobody.
                if self._news == seen:
                    self._happened.wait(min(left, 0.2))
