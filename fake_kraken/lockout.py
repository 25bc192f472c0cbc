"""The lockout that wrong keys bring: it ends only when nobody calls for a while.

Pure: it is told the time.

Source: reports of Kraken's users; Kraken's own pages only name the error (read 2026-11).
"""

from __future__ import annotations

from fake_kraken.params import Refusal

_WRONG = frozenset({"EAPI:Invalid key", "EAPI:Invalid signature"})


class Lockout:
    """Counts the calls that were refused for their key, and closes the door after some of them."""

    def __init__(self) -> None:
        self._wrong_calls = 0
        self._called_at = 0.0

    def check(self, at: float, calls: int, pause: float) -> None:
        """Note a private call.

        Args:
            at: Seconds since 1970.
            calls: How many wrong ones close the door.
            pause: Seconds without any call that open it again.

        Raises:
            Refusal: While the door is closed; and the pause begins anew.
        """
        quiet, self._called_at = at - self._called_at, at
        if self._wrong_calls < calls:
            return
        if quiet < pause:
            raise Refusal("EGeneral:Temporary lockout")
        self._wrong_calls = 0

    def count(self, refusal: Refusal) -> None:
        """Count a call that was refused."""
        self._wrong_calls += not _WRONG.isdisjoint(refusal.errors)
