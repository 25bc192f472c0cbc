"""What is known of every rule, as state.csv holds it, and what config.csv makes of it.

In memory: the files are written by others. Owned by the order thread; what others may read is
replaced whole and never changed. What must never happen here: that a row which nobody can rely
upon passes for one that has not fired.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from ttslo_app.messages import AcceptedRule
from ttslo_app.orders.life import Life, RuleState
from ttslo_app.orders.request import fingerprint
from ttslo_app.orders.row import STATE_CONTRACT, State, UnreadableLife, cells_of, read_life
from ttslo_app.rules.rule import Rule

# No state of a rule, so that no version ever takes such a row for one that may trade.
_DOUBTFUL = "doubtful"


class Ledger:
    """The books of the order thread.

    Args:
        state: The rows of state.csv by id; owned by this object from now on.

    Attributes:
        rules: The rows of config.csv that may trade, by id.
        standing: The orders to watch, by rule id: replaced whole, so any thread may read.
        unnoted: The rules of whose orders config.csv has not been told.
        noted_at: When config.csv was told of a rule's order, on the monotonic clock.
        must_write: Whether something is known that state.csv does not say.
    """

    def __init__(self, state: State) -> None:
        self.state = state
        self.rules: dict[str, AcceptedRule] = {}
        self.standing: Mapping[str, str] = {}
        self.unnoted: set[str] = set()
        self.noted_at: dict[str, float] = {}
        self.must_write = False
        self._unknown_past: set[str] = set()
        self._is_state_torn = False
        # The rows that were refused for good since the start, as they were then.
        self._given_up: dict[str, str] = {}

    # --- lives -------------------------------------------------------------------------------

    def life_of(self, rule_id: str) -> Life:
        """Return what is known of a rule.

        Raises:
            UnreadableLife: If its row in state.csv cannot be understood.
        """
        return read_life(rule_id, self.state.get(rule_id, {}))

    def put(self, life: Life) -> None:
        """Write a life into the rows."""
        cells = self.state.setdefault(life.id, {})
        # Rules that wait have mostly empty cells, and of 100,000 rules these alone fill 60 MB;
        # the file has them all the same.
        cells.update(
            (name, text)
            for name, text in cells_of(life).items()
            if text or name in cells or name in STATE_CONTRACT
        )

    def is_waiting(self, rule_id: str) -> bool:
        """Tell whether a crossing of the rule may lead to an order.

        Raises:
            UnreadableLife: If its row in state.csv cannot be understood.
        """
        return not self.is_past_unknown(rule_id) and self.life_of(rule_id).is_waiting

    def is_waiting_for(self, rule: Rule) -> bool:
        """Tell whether this very rule waits for its crossing. Any thread, and cheap."""
        entry, cells = self.rules.get(rule.id), self.state.get(rule.id)
        if entry is None or not cells:
            return False
        is_same = entry.rule is rule or entry.rule == rule
        return is_same and cells.get("rule_state") == RuleState.ARMED

    def is_refused(self, rule_id: str) -> bool:
        """Tell whether state.csv holds a crossing of the rule, because its order was refused."""
        return self.state.get(rule_id, {}).get("rule_state") == RuleState.REFUSED

    def unprotected(self) -> list[str]:
        """Return the rows that are armed, and those whose order is not placed yet."""
        states = (RuleState.ARMED, RuleState.REFUSED, RuleState.INTENDED)
        return [i for i in self.rules if self.state.get(i, {}).get("rule_state") in states]

    def stand(self, rule_id: str, txid: str | None) -> None:
        """Note that an order stands at Kraken, or no longer does."""
        if txid is None and rule_id not in self.standing:
            return
        standing = dict(self.standing)  # 3 us for a thousand, beside a call to Kraken
        standing.pop(rule_id, None)
        if txid is not None:
            standing[rule_id] = txid
        self.standing = standing

    # --- doubts ------------------------------------------------------------------------------

    def distrust(self, rule_ids: Sequence[str] | None) -> None:
        """Let rules not trade whose past nobody can know; None: all that the state lacks."""
        if rule_ids is None:
            self._is_state_torn = True
        else:
            self._unknown_past.update(rule_ids)

    def is_past_unknown(self, rule_id: str) -> bool:
        """Tell whether nobody can know if the rule has fired."""
        return rule_id in self._unknown_past or (self._is_state_torn and rule_id not in self.state)

    def ensure_known(self, rule_id: str) -> None:
        """Raise UnreadableLife if nobody can know whether the rule has fired."""
        if self.is_past_unknown(rule_id):
            raise UnreadableLife("nobody can tell whether it has fired")

    def keep_doubts(self, rule_ids: Collection[str]) -> list[str]:
        """Write into the rows that nobody knows the past of some rules: a restart must not.

        Returns:
            Those of which it was not written yet.
        """
        doubted = (i for i in sorted(rule_ids) if self.is_past_unknown(i))
        news = [i for i in doubted if self.state.get(i, {}).get("rule_state") != _DOUBTFUL]
        for rule_id in news:
            self.state.setdefault(rule_id, {"id": rule_id})["rule_state"] = _DOUBTFUL
            self._unknown_past.add(rule_id)
        return news

    # --- what was refused for good -----------------------------------------------------------

    def give_up(self, rule: Rule) -> None:
        """Note that a row was refused for good: it waits for its user."""
        self._given_up[rule.id] = fingerprint(rule)

    def has_given_up(self, rule: Rule) -> bool:
        """Tell whether this very rule was refused for good since the start. Any thread."""
        row = self._given_up.get(rule.id)
        return row is not None and row == fingerprint(rule)

    def stays_given_up(self, rule_id: str, entry: AcceptedRule | None) -> bool:
        """Tell whether a row is still the one that was refused for good; if not, forget that."""
        if rule_id not in self._given_up:
            return False
        if entry is not None and not (entry.rule.enabled and self.has_given_up(entry.rule)):
            del self._given_up[rule_id]
        return rule_id in self._given_up
