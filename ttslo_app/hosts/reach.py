"""Whether Kraken answers this machine at all, asked again and again on a thread of its own.

A public call needs no key and no nonce, so a host that stands by may make it, too. It goes over a
client of its own: an order must find its connection free, and a pause that Kraken asks for after
too many of these calls is none for orders. What must never happen here: that an answer which never
came counts as one, or that somebody waits for it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Protocol

from krakenlink.errors import KrakenError, RateLimitError
from krakenlink.machine import feed_clock

_log = logging.getLogger(__name__)

_WITHIN = 3.0  # seconds that one question may take
_BEAT = 1.0  # seconds between two looks at whether it is time for one


class Client(Protocol):
    """What is needed of a client: see `KrakenAPI`."""

    def warm_up(self, within: float | None = None) -> None:
        """Ask Kraken for the time."""
        ...

    def close(self) -> None:
        """Give its connection back. Never blocks."""
        ...


class Reach:
    """Asks until `stop`.

    Args:
        client: Asks, and is used by nobody else.
        every: Returns the seconds between two questions while they are answered.
    """

    def __init__(self, client: Client, every: Callable[[], float]) -> None:
        self._client, self._every = client, every
        self._since: float | None = None  # when the first question without an answer was asked
        self._answered_at = float("-inf")  # when the last one with a proper answer was asked
        self._too_many_since: float | None = None  # and the first one after it with HTTP 429
        self._stopping = threading.Event()
        # A daemon: a question on its way must not delay the end of the program.
        self._thread = threading.Thread(target=self._run, name="ttslo-reach", daemon=True)

    def start(self) -> None:
        """Start to ask."""
        self._thread.start()

    def stop(self) -> None:
        """Ask no more. Never blocks."""
        self._stopping.set()
        self._client.close()

    def silent_for(self) -> float:
        """Return for how many seconds Kraken has been asked and has not answered. Any thread."""
        since = self._since
        return 0.0 if since is None else max(0.0, feed_clock() - since)

    def refused_for(self, too_many_at: float | None) -> float:
        """Return for how many seconds Kraken has said nothing but "too many requests". Any thread.

        An address that is banned is refused orders, too. One that has asked for too much in public
        alone may still place them, and the next leader's might be refused as well: so it counts
        only where a call of the key has met the same.

        Args:
            too_many_at: When one has, if no later one was answered otherwise.
        """
        since = self._too_many_since
        if since is None or too_many_at is None or too_many_at < self._answered_at:
            return 0.0
        return max(0.0, feed_clock() - min(since, too_many_at))

    def _hear(self, asked_at: float, *, is_refused: bool) -> None:
        self._since = None  # an answer, too
        if not is_refused:
            self._answered_at, self._too_many_since = asked_at, None
        elif self._too_many_since is None:
            self._too_many_since = asked_at

    def _run(self) -> None:
        asked_at = float("-inf")
        while not self._stopping.wait(_BEAT):
            now = feed_clock()
            if self._since is None:
                if now - asked_at < self._every():
                    continue
                self._since = now
            asked_at = now
            try:
                self._client.warm_up(_WITHIN)
            except RateLimitError as error:
                self._hear(now, is_refused=error.status == 429)
            except KrakenError as error:
                _log.info("Kraken does not answer: %s", error)
            except Exception:  # noqa: BLE001 - the thread must outlive every surprise
                _log.exception("Asking Kraken met an error, and is tried again")
            else:
                self._hear(now, is_refused=False)
