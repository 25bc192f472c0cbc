"""The trading key: shut where Kraken refuses it, asked about again, and what is said of both.

For the order thread. What must never happen here: that a key which was refused is used by more than
one question at a time, or that nobody asks whether it is taken again.
"""

from __future__ import annotations

from contextlib import suppress

from krakenlink.rest.answers import Outcome
from ttslo_app.messages import Crossing
from ttslo_app.orders import trouble_words
from ttslo_app.orders.owed import OF_KEY, Why
from ttslo_app.orders.ports import Tools
from ttslo_app.orders.request import OrderRequest, order_to_check

# The subject of what is said of the key; no rule's id holds a blank.
_KEY = "the key"


class KeyKeeper:
    """Keeps the gate of the trading key.

    Args:
        tools: What every part has in hand.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._owed, self._teller = tools.owed, tools.teller
        # The order at which Kraken refused the key: whether it takes the key is asked with it.
        self._refused_at: OrderRequest | None = None

    def try_again(self) -> None:
        """Ask whether Kraken takes the key again, where that is due. Blocks for one call."""
        gate, exchange, now = self._owed.key, self._tools.exchange, self._tools.now()
        if not gate.is_due(now) or exchange is None:
            return
        if self._refused_at is None or not exchange.can_find:
            gate.reopen()  # nobody can be asked: the next order tells
            return
        outcome = exchange.check(self._refused_at)
        if outcome.pause in OF_KEY:
            self.shut(outcome, self._refused_at)
        elif not outcome.is_judged:
            gate.put_off(now)
        else:
            gate.reopen()
            self._tell_it_works()

    def refused(self, outcome: Outcome, rule_id: str) -> None:
        """Take in that Kraken refused the key for a look or a check of a row; else do nothing."""
        if outcome.pause not in OF_KEY or self._owed.key.is_shut:
            return
        order, entry = self._refused_at, self._tools.ledger.rules.get(rule_id)
        if entry is not None:
            with suppress(ValueError):  # no order can come of it
                order = order_to_check(entry.rule, entry.market)
        self.shut(outcome, order)

    def shut(self, outcome: Outcome, order: OrderRequest | None) -> None:
        """Let nothing more go out with a key that Kraken refuses, and say so once for all rows.

        Args:
            outcome: What became of the call that was refused.
            order: What to ask with whether the key is taken again.
        """
        self._refused_at = order
        gate, now = self._owed.key, self._tools.now()
        assert outcome.pause is not None
        gate.shut(outcome.pause, now)
        rows = self._tools.ledger.unprotected()
        wait = (gate.next_at() or now) - now
        said = trouble_words.key_refused(rows, outcome.reason, outcome.cure, wait)
        self._teller.tell_once(_KEY, said, news=outcome.reason)

    def let_wait(self, crossing: Crossing) -> None:
        """Let a crossing wait until the key works again."""
        self._owed.wait(crossing, Why.KEY)
        said = trouble_words.no_order_yet(crossing, trouble_words.KEY)
        self._teller.tell_once(crossing.key, said)

    def passed(self) -> None:
        """Note that Kraken took an order: the key is well."""
        self._owed.key.passed()
        self._tell_it_works()

    def _tell_it_works(self) -> None:
        if self._teller.forget(_KEY):
            self._teller.tell(trouble_words.key_works_again(self._owed.count(Why.KEY)))
