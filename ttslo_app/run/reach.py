"""Whether Kraken answers this machine at all, asked again and again on a thread of its own.

A public call over the very client that orders go by: it needs no key and no nonce, so a host that
stands by may make it, too. What must never happen here: that an answer which never came counts as
one, or that somebody waits for it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from krakenlink.errors import KrakenError
from krakenlink.machine import feed_clock

_log = logging.getLogger(__name__)

WITHIN = 3.0  # seconds that one question may take
_BEAT = 1.0  # seconds between two looks at whether it is time for one


class Reach:
    """Asks until `stop`.

    Args:
        ask: Asks Kraken something that nothing hangs on. Blocks for at most about `WITHIN`.
        every: Returns the seconds between two questions while they are answered.
    """

    def __init__(self, ask: Callable[[], object], every: Callable[[], float]) -> None:
        self._ask, self._every = ask, every
        self._since: float | None = None  # when the first question without an answer was asked
        self._stopping = threading.Event()
        # A daemon: a question on its way must not delay the end of the program.
        self._thread = threading.Thread(target=self._run, name="ttslo-reach", daemon=True)

    def start(self) -> None:
        """Start to ask."""
        self._thread.start()

    def stop(self) -> None:
        """Ask no more. Never blocks."""
        self._stopping.set()

    def silent_for(self) -> float:
        """Return for how many seconds Kraken has been asked and has not answered. Any thread."""
        since = self._since
        return 0.0 if since is None else max(0.0, feed_clock() - since)

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
                self._ask()
            except KrakenError as error:
                _log.info("Kraken does not answer: %s", error)
            except Exception:  # noqa: BLE001 - the thread must outlive every surprise
                _log.exception("Asking Kraken met an error, and is tried again")
            else:
                self._since = None
