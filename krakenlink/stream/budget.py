"""How often this machine may connect: attempts counted across its processes, in one small file.

It must never stop the feed for want of that file, nor let a clock that was set back lock it out.

Source: Kraken, the connection guide of the spot WebSocket v2 (read 2026-11).
"""

from __future__ import annotations

import logging
import urllib.parse
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from krakenlink.machine import (
    CACHE_VARIABLE,
    cache_folder,
    is_loopback,
    is_relay,
    read_plain,
    replace_file,
)
from krakenlink.once import Once
from krakenlink.stream.settings import FeedSettings

logger = logging.getLogger(__name__)


class ConnectBudget:
    """Connection attempts of every process on this machine, in one small file.

    Kraken's edge bans the address, not the process. Where the file cannot be used, what this
    process did is still counted.
    """

    def __init__(self, settings: FeedSettings, folder: Path | None = None) -> None:
        self._most = settings.budget_attempts
        self._window = settings.budget_window
        self._folder = folder
        self._own: list[float] = []
        self._complaints = Once()

    def reserve(self, now: float) -> float:
        """Take one attempt; return 0, or the seconds until there is one to take.

        Blocks for a few file operations, at most a second while another process holds the file.

        Args:
            now: Seconds since the epoch, which all processes share.
        """
        self._own = self._recent(self._own, now)
        try:
            wait = self._reserve_in_file(now)
        except Exception as error:  # noqa: BLE001 - the count across processes is optional
            # Beside OSError: an older filelock without flock raises NotImplementedError.
            self._warn_once(error)
            wait = self._wait(self._own, now)
        if wait <= 0:
            self._own.append(now)
        return wait

    def _reserve_in_file(self, now: float) -> float:
        import filelock  # here, because most who import this module never need it

        folder = self._folder or cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        ledger = folder / "connection-attempts"
        # filelock.Timeout is an OSError: it counts as "cannot be used".
        with filelock.FileLock(f"{ledger}.lock", timeout=1.0):
            attempts = self._recent(_read_ledger(ledger), now)
            wait = self._wait(attempts, now)
            if wait <= 0:
                attempts.append(now)
            text = "".join(f"{moment:.3f}\n" for moment in attempts)
            replace_file(ledger, text.encode("ascii"), is_durable=False)
            return wait

    def _recent(self, attempts: Iterable[float], now: float) -> list[float]:
        # Moments in the future mean that somebody set the clock back: they are as recent as now.
        return sorted(min(at, now) for at in attempts if now - at < self._window)

    def _wait(self, attempts: list[float], now: float) -> float:
        if len(attempts) < self._most:
            return 0.0
        return attempts[-self._most] + self._window - now

    def _warn_once(self, error: Exception) -> None:
        if self._complaints.is_news("file"):
            logger.warning(
                "Cannot count connection attempts across processes (%s); counting my own. "
                "Set %s to a folder that can be written.",
                error,
                CACHE_VARIABLE,
            )


def own_budget(url: str, settings: FeedSettings) -> ConnectBudget | None:
    """Return this machine's budget; None for a server on this machine, which bans nobody."""
    if is_relay(url):
        return None  # a relay is the one that counts
    is_local = is_loopback(urllib.parse.urlsplit(url).hostname or "")
    return None if is_local and not settings.budget_on_loopback else ConnectBudget(settings)


def _read_ledger(path: Path) -> list[float]:
    """Return the moments in the ledger; lines that cannot be read are left out."""
    try:
        lines = read_plain(path).decode("ascii", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    moments = []
    for line in lines[-10_000:]:
        with suppress(ValueError):
            moments.append(float(line))
    return [moment for moment in moments if moment == moment]
