"""Rows that end by themselves, at a moment or some time after their arming.

For the order thread. What must never happen here: that a crossing which came before the end of its
row is lost by it, or that a row lives on because a cell of it is damaged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

from ttslo_app.messages import AcceptedRule, BookChange, BookDisarm
from ttslo_app.orders import trouble_words
from ttslo_app.orders.life import EXPIRED, Life, Signal
from ttslo_app.orders.ports import Tools
from ttslo_app.rules.rule import Rule

# What was crossed before a row ended may still be on its way here.
_GRACE = timedelta(seconds=2)
_LAST_YEAR = 9000  # no row is meant to live so long: the cell is damaged
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Expiry:
    """Disarms rows whose time is over. For the order thread.

    Args:
        tools: What every part has in hand.
        post: Called with each change of the rule book; must not block.
    """

    def __init__(self, tools: Tools, post: Callable[[BookChange], None]) -> None:
        self._tools = tools
        self._ledger, self._owed, self._teller = tools.ledger, tools.owed, tools.teller
        self._post = post
        self._expiring: list[AcceptedRule] = []

    def watch(self, entries: Iterable[AcceptedRule]) -> None:
        """Go by these rows of config.csv from now on, and by no others."""
        self._expiring = [entry for entry in entries if entry.rule.terms.expires is not None]

    def expire(self) -> None:
        """Disarm the rows whose time is over; a crossing that waits came before, and is kept."""
        for entry in list(self._expiring):
            rule = entry.rule
            life = self._waiting(rule)
            if life is None or rule.id in self._owed:
                continue
            moment = expiry_of(rule, life)
            if moment is not None and self._tools.clocks.utc() >= moment + _GRACE:
                self._ledger.put(life.after(Signal.DISARM, detail=EXPIRED, intended_at=""))
                self._post(BookDisarm(rule.id))
                self._teller.tell(trouble_words.expired(rule, moment))
                self._ledger.must_write = True

    def next_at(self) -> float | None:
        """Return when the next row ends by itself, in seconds of the monotonic clock, or None."""
        moments = [
            moment
            for entry in self._expiring
            if (life := self._waiting(entry.rule)) is not None
            and (moment := expiry_of(entry.rule, life)) is not None
        ]
        if not moments:
            return None
        left = min(moments) + _GRACE - self._tools.clocks.utc()
        return self._tools.now() + left.total_seconds()

    def _waiting(self, rule: Rule) -> Life | None:
        # The thread asks outside of a turn when it is to wake up: a row that nobody can read must
        # not end it.
        life = self._ledger.known_life(rule.id)
        return life if life is not None and life.is_waiting else None


def expiry_of(rule: Rule, life: Life) -> datetime | None:
    """Return the moment from which on no crossing of a row counts; None where there is none.

    Where nobody knows since when it waits, a time from the arming is over.
    """
    expires = rule.terms.expires
    if expires is None:
        return None
    try:
        armed_at = datetime.fromisoformat(life.armed_at)
        armed_at = armed_at if armed_at.tzinfo is not None else armed_at.replace(tzinfo=UTC)
        moment = expires.moment(armed_at)
        return moment if moment.year < _LAST_YEAR else expires.at or _LONG_AGO
    except (ValueError, OverflowError):
        return expires.at or _LONG_AGO
