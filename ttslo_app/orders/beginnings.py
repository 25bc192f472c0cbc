"""Rows of which nothing is known yet, armed by the thousand: the first start with a long file.

Their lives begin alike, but for what tells them apart, so the first one is armed as any row is, and
the others are copies of it. What must never happen here: that a row which has a past is taken for
new, or that a life begins otherwise than it would by itself.
"""

from __future__ import annotations

from collections.abc import Callable

from ttslo_app.clocks import Moments
from ttslo_app.messages import AcceptedRule, BookArm, Market
from ttslo_app.orders.ledger import Cells, keep_no_room
from ttslo_app.orders.life import Life, client_order_id
from ttslo_app.orders.ports import Tools
from ttslo_app.orders.request import fingerprint
from ttslo_app.rules.rule import Rule


def book_arm(rule: Rule, market: Market, life: Life, moments: Moments) -> BookArm:
    """Return what the reader of prices is told of a rule that waits."""
    since, seen = life.waits_since, life.crossed_at or life.trigger_time
    return BookArm(rule, market, since, seen, moments.guessed_at(since))


class Beginnings:
    """The first armings of one reading of config.csv. For the order thread.

    Args:
        tools: What every part has in hand.
        arm: Arms a rule that has the life it is handed, and returns the next one.
        at: When they are armed, ISO UTC.
    """

    def __init__(self, tools: Tools, arm: Callable[[Life, Rule], Life], at: str) -> None:
        self._tools = tools
        self._ledger = tools.ledger
        self._arm = arm
        self._at = at
        # The first that was armed: its cells, and what the reader of prices was told.
        self._first: tuple[Cells, BookArm] | None = None

    def is_one(self, entry: AcceptedRule) -> bool:
        """Tell whether a row is to be armed, and nothing is known of it that matters for that."""
        rule = entry.rule
        may_arm = rule.enabled and not entry.is_fired_in_file
        is_alone = not (rule.group or rule.after)
        return may_arm and is_alone and rule.id not in self._ledger.state

    def arm(self, entry: AcceptedRule) -> BookArm:
        """Arm a row that `is_one`; return what the reader of prices is to be told."""
        if self._first is None:
            return self._begin(entry)
        cells, told = self._first
        self._copy(cells, entry.rule)
        return BookArm(entry.rule, entry.market, told.since, told.seen, told.since_at)

    def _begin(self, entry: AcceptedRule) -> BookArm:
        """Arm the first one."""
        rule = entry.rule
        life = self._arm(Life(rule.id), rule)
        told = book_arm(rule, entry.market, life, self._tools.moments)
        self._first = self._ledger.state[rule.id], told
        keep_no_room()
        return told

    def _copy(self, first: Cells, rule: Rule) -> None:
        """Let a life begin as the first one did."""
        self._tools.begin_anew(rule.id)
        cells = first.copy()  # it has its names in common with all others still
        cells["id"] = rule.id
        cells["row"] = fingerprint(rule)
        cells["cl_ord_id"] = client_order_id(rule.id, int(cells["generation"]), self._at)
        self._ledger.enter(rule.id, cells)
        self._ledger.stand(rule.id, None)
