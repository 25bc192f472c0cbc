"""Rules one by one, on the caller's thread: for a run that looks once, and for earlier callers.

The order thread's protocol is the same, and so are its promises: this only waits for it. What it
must never do: run beside the order thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from ttslo_app.clocks import Clocks
from ttslo_app.messages import Crossing, Say, tell
from ttslo_app.orders.ledger import UnreadableLife
from ttslo_app.orders.life import RuleState
from ttslo_app.orders.worker import OrderWorker
from ttslo_app.rules.findings import ValidationResult, has_order
from ttslo_app.rules.rule import Rule, RuleError, read_rule, reading_of
from ttslo_app.run import words

# Between two looks at what becomes of an order of unknown outcome.
_GLANCE = 0.1


class InlineOrders:
    """Looks at rules and fires them, one by one.

    Args:
        worker: The order thread, which must not run.
        clocks: The clocks.
        say: Takes a level and a sentence for a person.
    """

    def __init__(self, worker: OrderWorker, clocks: Clocks, say: Say) -> None:
        self._worker = worker
        self._clocks = clocks
        self._say = say

    def waiting_rule(self, row: Mapping[str, Any]) -> Rule | None:
        """Return the rule of a row that may fire, None for any other."""
        try:
            rule = read_rule(row)
        except (RuleError, AttributeError) as error:
            tell(self._say, words.row_is_none(error))
            return None
        return rule if rule.enabled and not has_order(row) and self.is_waiting(rule) else None

    def is_waiting(self, rule: Rule) -> bool:
        """Tell whether nothing has become of a rule so far."""
        try:
            self._worker.ledger.ensure_known(rule.id)
            life = self._worker.life_of(rule.id)
        except UnreadableLife as error:
            self._tell_unreadable(rule, error)
            return False
        is_over = life.has_fired or life.is_unsettled or self._worker.ledger.has_given_up(rule)
        return not is_over and not life.has_ended_as(rule)

    def note_look(self, rule: Rule) -> None:
        """Let the state say that a rule was looked at just now."""
        cells = self._worker.state.setdefault(rule.id, {})
        cells.setdefault("id", rule.id)
        cells.setdefault("triggered", "false")
        cells["last_checked"] = self._clocks.utc().isoformat()

    def note_refused(self, result: ValidationResult) -> None:
        """Let the state say that rows were looked at although today's price refuses them.

        For a dry run, whose state is never written: a file would take such a row for one that had
        been armed, so it is marked as one that is not.
        """
        for row in result.configs:
            rule = reading_of(row)
            if not isinstance(rule, Rule) or not rule.enabled or rule.pair not in result.prices:
                continue
            cells = self._worker.state.setdefault(rule.id, {})
            if not cells.get("last_checked"):
                cells.setdefault("rule_state", RuleState.DISARMED.value)
            self.note_look(rule)

    def decide_anew(self, rule_id: str) -> None:
        """Let a rule fire again whose order is in doubt, where nobody can be asked about it.

        For callers who ask for one and the same order again: with a stand-in that cannot look up
        orders, whether the first one stands is theirs to know.
        """
        exchange = self._worker.exchange
        if exchange is None or exchange.can_find:
            return
        try:
            self._worker.roll.drop_doubt(rule_id)
        except UnreadableLife:
            return  # said when it is to fire

    def fire(self, rule: Rule, price: Decimal, price_text: str) -> str | None:
        """Fire a rule, and return its order's id if that placed an order. Blocks.

        Args:
            rule: It is armed if it is not.
            price: What has crossed its threshold.
            price_text: The same as it was given, for the files.
        """
        try:
            self._worker.roll.ensure_armed(rule)
            if self._worker.is_held_back(rule.id):
                return None
            fired_before = self._worker.life_of(rule.id).has_fired
            self._worker.fire([Crossing(rule, price, price_text)])
            self._worker.work_off()
            life = self._worker.life_of(rule.id)
        except UnreadableLife as error:
            self._tell_unreadable(rule, error)
            return None
        return life.order_id if life.has_fired and not fired_before else None

    def _tell_unreadable(self, rule: Rule, error: UnreadableLife) -> None:
        tell(self._say, words.life_unreadable(rule.id, error))

    def settle(self, patience: float, pause: Callable[[float], object]) -> None:
        """Wait until no order is of unknown outcome, at most `patience` seconds.

        `pause` waits for so many seconds, or less.
        """
        end = time.monotonic() + patience
        while self._worker.is_busy and time.monotonic() < end:
            pause(_GLANCE)
            self._worker.work_off()
