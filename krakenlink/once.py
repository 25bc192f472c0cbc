"""Says a thing once, until it changes or heals.

Pure: what is told, and where, is the caller's business; the moment comes in where one is wanted.
It must never hold back a sentence that differs from the last one on its subject.
"""

from __future__ import annotations

from collections.abc import Hashable


class Once:
    """Remembers what was said on each subject.

    Safe from any thread without a lock: two that bring the same news in the same instant may both
    be told that it is news, and no news is ever lost.

    Args:
        again_after: Seconds after which an unchanged thing is news again; then the caller tells
            the moment with each call. Never, unless given.
    """

    def __init__(self, again_after: float = float("inf")) -> None:
        self._again_after = again_after
        self._told: dict[Hashable, tuple[object, float]] = {}

    def __contains__(self, subject: Hashable) -> bool:
        return subject in self._told

    def is_news(self, subject: Hashable, said: object = True, at: float = 0.0) -> bool:
        """Tell whether `said` is to be said now, and remember it as said.

        Args:
            subject: What it is about, such as the id of a row.
            said: The sentence, or what it says; another one than the last is always news.
            at: The moment, in seconds on a clock that never runs backwards.
        """
        last = self._told.get(subject)
        if last is not None and last[0] == said and at - last[1] < self._again_after:
            return False
        self._told[subject] = (said, at)
        return True

    def has_healed(self, subject: Hashable) -> bool:
        """Forget `subject`; return whether something had been said of it, which is then over."""
        return self._told.pop(subject, None) is not None

    def clear(self) -> None:
        """Forget every subject."""
        self._told.clear()
