"""The gate before every call with the trading key, shut while Kraken refuses the key.

Pure: the order thread says what happened and when. Trouble of a key or an account is no row's
own. It stops all of them, and each call with a refused key is one step towards a lockout, so one
question is asked after minutes, whoever waits. What must never happen here: that a crossing goes
out with a key that was just refused, or that the gate stays shut without anybody asking.

Source: Kraken, "EGeneral:Temporary lockout" (read 2026-11): 15 minutes, and longer for whoever
goes on.
"""

from __future__ import annotations

from krakenlink.numbers import doubled
from krakenlink.rest.verdicts import Pause

# In seconds. A lockout is waited out, and a minute more.
FIRST_WAIT, LONGEST_WAIT = 60.0, 600.0
LOCKOUT_WAIT = 960.0
OF_KEY = (Pause.KEY, Pause.LOCKOUT)


class KeyGate:
    """Whether the key may be used. For one thread; any other may read `is_shut`.

    All times are seconds of one monotonic clock.
    """

    def __init__(self) -> None:
        self._refusals = 0
        self._asks_at: float | None = None

    @property
    def is_shut(self) -> bool:
        """Whether the key was refused, and not taken since. Any thread."""
        return self._asks_at is not None

    def next_at(self) -> float | None:
        """Return when to ask whether the key is taken again; None while it is."""
        return self._asks_at

    def is_due(self, now: float) -> bool:
        """Tell whether it is time to ask."""
        return self._asks_at is not None and now >= self._asks_at

    def shut(self, pause: Pause, now: float) -> None:
        """Note that Kraken refused the key, or all who call from here."""
        wait = doubled(FIRST_WAIT, self._refusals, LONGEST_WAIT)
        self._refusals += 1
        self._asks_at = now + (LOCKOUT_WAIT if pause is Pause.LOCKOUT else wait)

    def put_off(self, now: float) -> None:
        """Note that Kraken could not be asked, which says nothing of the key."""
        self._asks_at = now + FIRST_WAIT

    def reopen(self) -> None:
        """Note that Kraken took the key for a question; refused again, the wait grows on."""
        self._asks_at = None

    def passed(self) -> None:
        """Note that Kraken judged an order by itself: the key is well."""
        self._asks_at, self._refusals = None, 0
