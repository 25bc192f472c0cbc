"""When the shared store is told to be silent, and when to be back.

Pure: the moments come in. What must never happen here: that a silence which goes on is told only
once, as nobody may have looked then.
"""

from __future__ import annotations

from ttslo_app.cluster import lead_words as words
from ttslo_app.messages import Sentence

# Seconds. A store that is silent so long is told of, and told of again.
_SILENT_AFTER, _TELL_EVERY = 2.0, 60.0


class Silence:
    """The silence of a store. All moments are seconds of one steady clock.

    Args:
        now: The present moment: nothing was heard before.
    """

    def __init__(self, now: float) -> None:
        self._heard_at = now
        self._told_at: float | None = None

    def heard(self, now: float) -> None:
        """Note that the store has answered. Any thread."""
        self._heard_at = now

    def lasts(self, now: float) -> float:
        """Return for how many seconds the store has answered nothing. Any thread."""
        return now - self._heard_at

    def news(self, now: float, *, leads: bool) -> Sentence | None:
        """Return what is to be said at this moment; None for nothing.

        Args:
            now: The present moment.
            leads: Whether this host leads, so that no order can be placed anywhere.
        """
        silence = self.lasts(now)
        if silence < _SILENT_AFTER:
            was_told, self._told_at = self._told_at is not None, None
            return words.store_is_back() if was_told else None
        if self._told_at is not None and now - self._told_at < _TELL_EVERY:
            return None
        self._told_at = now
        return words.store_is_silent(silence, leads=leads)
