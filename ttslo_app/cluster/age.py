"""Whether a store went back in time, as one that was restored from a backup.

Pure: the memory of the host comes in. Only what was known before the store was asked is compared
with its answer: what is heard meanwhile may be newer, and says nothing.
"""

from __future__ import annotations

from ttslo_app.cluster.crew import Witness

# Seconds. How new the store is is remembered on the disk of this host so often.
_REMEMBER_EVERY = 60.0


class Age:
    """How new a store is. Safe from any thread: what one misses, the next one sees.

    Args:
        witness: What this host remembers of the store.

    Attributes:
        is_older: Whether the store was found older than it had been.
    """

    def __init__(self, witness: Witness) -> None:
        self.is_older = False
        self._witness = witness
        self._newest = self._before = 0
        self._kept_at = float("-inf")

    def ask(self) -> None:
        """Note that everything is about to be read. Blocks for the disk."""
        self._before = max(self._newest, self._witness.newest())

    def read(self, version: int) -> None:
        """Note how new that reading was."""
        self.is_older = version < self._before

    def heard(self, version: int, now: float) -> None:
        """Note an answer of the store; now and then that is kept. Blocks for the disk then."""
        if version >= self._newest and not self.is_older:
            self._newest = version
            if now - self._kept_at >= _REMEMBER_EVERY:
                self._kept_at = now
                self.keep(version)

    def keep(self, version: int) -> None:
        """Keep a version, unless a higher one is. Blocks for the disk."""
        self._witness.keep(max(version, self._witness.newest()))
