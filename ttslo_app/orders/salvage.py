"""Crossings whose work broke off by an error that nobody foresaw: none of them may be forgotten.

For the order thread. What must never happen here: that an error about one row ends another row's
crossing, or that an order which may be on the wire is sent again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Protocol

from ttslo_app.messages import Crossing, Looked, Message
from ttslo_app.orders import words
from ttslo_app.orders.life import Life, RuleState, Signal
from ttslo_app.orders.owed import Wait, Why
from ttslo_app.orders.ports import Tools

_log = logging.getLogger(__name__)


class Search(Protocol):
    """What looks for orders of unknown outcome."""

    def search_for(self, life: Life) -> None:
        """Look for the order of a life until it is settled."""
        ...

    def take_up(self, looked: Looked) -> None:
        """Go on with a look whose outcome was lost."""
        ...


class Salvage:
    """Brings back what an error has broken off.

    Args:
        tools: What every part has in hand.
        search: Looks for orders of unknown outcome.
    """

    def __init__(self, tools: Tools, search: Search) -> None:
        self._tools = tools
        self._ledger, self._owed, self._teller = tools.ledger, tools.owed, tools.teller
        self._search = search

    def take_up(self, messages: Iterable[Message]) -> None:
        """Bring back the crossings and looks of a turn, and what waited in hand."""
        now = self._tools.now()
        for message in messages:
            if isinstance(message, Crossing) and message.key not in self._owed:
                self._owed.take(message, now)
            elif isinstance(message, Looked):
                self._search.take_up(message)
        for wait in self._owed:
            if wait.why is not Why.IN_HAND:
                continue
            try:
                self._take_up_one(wait)
            except Exception:  # noqa: BLE001 - one that cannot be taken up must not end the thread
                _log.exception("%s: its crossing cannot be taken up again", wait.crossing.key)
                self._owed.settle(wait.crossing.key)
                self._teller.tell(words.cannot_be_taken_up(wait.crossing))

    def _take_up_one(self, wait: Wait) -> None:
        rule_id = wait.crossing.key
        if self._ledger.is_waiting(rule_id):
            again = self._tools.now() + self._tools.settings.refusal_wait
            self._owed.wait(wait.crossing, Why.HEALING, again)
            return
        self._owed.settle(rule_id)
        if self._ledger.is_past_unknown(rule_id):
            return
        life = self._ledger.life_of(rule_id)
        if life.state is RuleState.INTENDED:
            lost = life.after(Signal.LOSE, detail="an internal error")
            self._ledger.put(lost)
            self._search.search_for(lost)
