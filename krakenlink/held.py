"""What one client holds of the stream that all share, and whether it has waited for it in vain.

What must never happen here: that a subscription is held by nobody, or that another client's is
given back, whoever stops the stream or lets go, and whenever.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Generic, Protocol, TypeVar


class Shared(Protocol):
    """What is needed of the price feed. None of it raises for want of a network."""

    @property
    def stops(self) -> int:
        """How often it was stopped; subscriptions from before the last time are gone."""
        ...

    def subscribe_symbol(
        self, symbol: str, channel: str, *, depth: int | None = None, interval: int | None = None
    ) -> int:
        """Add a reference to a symbol's channel, and return `stops` of then. Returns at once."""
        ...

    def unsubscribe_symbol(
        self, symbol: str, channel: str, *, interval: int | None = None, of: int
    ) -> None:
        """Take a reference away where it is not gone; the last one unsubscribes."""
        ...


S = TypeVar("S", bound=Shared)


class Held(Generic[S]):
    """The subscriptions of one client to one stream. Safe from any thread.

    Attributes:
        of: The stream; None before there is one.
        stops: Which of its lives they are of, by its own count.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards the four below, but `let_go` does without it
        self.of: S | None = None
        self.stops = 0
        self._followed: dict[tuple[str, str, int], tuple[S, int]] = {}
        self._waited: set[tuple[str, str, int]] = set()

    def follow(self, stream: S, symbol: str, channel: str, param: int | None = None) -> bool:
        """Hold a subscription; tell whether nobody has waited for it in vain yet.

        `param` is a book's depth, or the interval of candles.
        """
        key = (symbol, channel, param or 0)
        with self._lock:
            self._be_of_locked(stream, stream.stops)
            if key not in self._followed:
                # In this order and in one hold, so that whoever lets go finds what is to be given
                # back, or nothing yet.
                depth, interval = (param, None) if channel == "book" else (None, param)
                of = stream.subscribe_symbol(symbol, channel, depth=depth, interval=interval)
                self._be_of_locked(stream, of)  # it may have been stopped at this very moment
                self._followed[key] = stream, of
            return key not in self._waited

    def _be_of_locked(self, stream: S, stops: int) -> None:
        if stream is not self.of or stops != self.stops:
            # Somebody has stopped the stream that all share, and with it our subscriptions.
            self.of, self.stops = stream, stops
            self._followed.clear()
            self._waited.clear()

    def note(self, symbol: str, channel: str, param: int | None, *, is_there: bool) -> None:
        """Note what a wait has brought: nobody waits a second time for what did not come."""
        key = (symbol, channel, param or 0)
        with self._lock:
            (self._waited.discard if is_there else self._waited.add)(key)

    def let_go(self) -> None:
        """Give all back. From anywhere: it waits for no lock."""
        self._waited.clear()
        with suppress(KeyError):
            while True:
                # One step, so never twice.
                (symbol, channel, param), (stream, of) = self._followed.popitem()
                interval = param if channel == "ohlc" else None
                stream.unsubscribe_symbol(symbol, channel, interval=interval, of=of)
