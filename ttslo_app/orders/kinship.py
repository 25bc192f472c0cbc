"""Groups and chains at work: who may fire now, who is disarmed, and who is armed by a fill.

For the order thread, which asks after every change. How rows stand to each other is `kin`'s; what
follows is done here. What must never happen here: that two rows of a group have orders that can
both stand, that one is held although nothing holds it, or that one fill arms a row twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from ttslo_app.messages import AcceptedRule, BookArm, BookChange, BookDisarm, Crossing
from ttslo_app.orders import kin_words
from ttslo_app.orders.kin import (
    Bond,
    Tie,
    chain_tie,
    group_tie,
    holder_among,
)
from ttslo_app.orders.ledger import Ledger
from ttslo_app.orders.life import Life, RuleState, Signal
from ttslo_app.orders.owed import Why
from ttslo_app.orders.ports import Tools
from ttslo_app.rules.rule import Rule


def tie_of(ledger: Ledger, rule: Rule, life: Life) -> Tie:
    """Return what binds a row: the order that it follows, or its group."""
    before = ledger.known_life(rule.after) if rule.after else None
    share = rule.terms.share
    chain = chain_tie(rule, life, before, takes_part=share is not None and share.is_filled)
    if chain.bond is not Bond.FREE:
        return chain
    mates = group_tie(ledger.kin, rule.id, ledger.known_life)
    return replace(mates, fill=chain.fill, filled=chain.filled)


def spent(ledger: Ledger, rules: Mapping[str, Rule], has_order: Callable[[str], bool]) -> set[str]:
    """Return the rows that have no use for a price, since another one of their group has fired.

    Any thread. A row whose order columns were emptied is to be armed again, so its group is, too.

    Args:
        ledger: The books.
        rules: The rows of config.csv by id.
        has_order: Tells whether a row's order columns are filled.
    """
    groups: dict[str, list[str]] = {}
    for rule_id, rule in rules.items():
        if rule.group:
            groups.setdefault(rule.group, []).append(rule_id)
    found: set[str] = set()
    for members in groups.values():
        lives = {i: ledger.known_life(i) for i in members}
        fired = [i for i, life in lives.items() if life is not None and life.has_fired]
        if any(has_order(i) or not rules[i].enabled for i in fired):
            found.update(i for i in members if i not in fired)
    return found


class Kinship:
    """Keeps groups and chains. For the order thread.

    Args:
        tools: What every part has in hand.
        arm: Begins the next generation of a rule, whose row says that the fill of an order did it.
        write: Writes state.csv durably.
        post: Called with each change of the rule book; must not block.
    """

    def __init__(
        self,
        tools: Tools,
        arm: Callable[[Life, Rule, Tie], Life],
        write: Callable[[], bool],
        post: Callable[[BookChange], None],
    ) -> None:
        self._tools = tools
        self._ledger, self._owed, self._teller = tools.ledger, tools.owed, tools.teller
        self._arm, self._write, self._post = arm, write, post

    # --- crossings ---------------------------------------------------------------------------

    def admitted(self, crossings: Sequence[Crossing]) -> list[Crossing]:
        """Return those that may have their orders now; of a group one, and the others wait.

        All of them were taken by the waiting room, in the order of their trades.
        """
        if not self._ledger.kin.group:
            return list(crossings)
        batch = {crossing.key for crossing in crossings}
        first: dict[str, Crossing] = {}
        free: list[Crossing] = []
        for crossing in crossings:
            group = self._ledger.kin.group.get(crossing.key)
            if group is None or not self._ledger.is_waiting(crossing.key):
                free.append(crossing)
            elif not self._is_held(crossing, first.get(group), batch):
                first[group] = crossing
                free.append(crossing)
        return free

    def _is_held(self, crossing: Crossing, first: Crossing | None, batch: set[str]) -> bool:
        """Let a crossing wait, or come to nothing, where another row of its group goes first."""
        tie = group_tie(self._ledger.kin, crossing.key, self._ledger.known_life)
        if tie.bond is Bond.SPENT:
            self._disarm(crossing.key, tie.by)
            return True
        holder = first.key if first is not None else self._holder(crossing.key, but=batch)
        if not holder:
            return False
        self._owed.wait(crossing, Why.GROUP)
        is_same = first is not None and crossing.at_ns is not None
        is_same = is_same and first is not None and _trade_of(first) == _trade_of(crossing)
        said = kin_words.held(crossing, holder, is_same_trade=is_same)
        self._teller.tell_once(crossing.key, said)
        return True

    def _holder(self, rule_id: str, but: Iterable[str] = ()) -> str:
        """Return which other row of its group is at it, `but` some that come to it now."""

        def is_at_it(mate: str) -> bool:
            return mate not in but and mate in self._owed and not self._owed.has(mate, Why.GROUP)

        mates = self._ledger.kin.mates(rule_id)
        return holder_among(mates, self._ledger.known_life, is_at_it)

    def is_alone(self, crossing: Crossing) -> bool:
        """Tell whether no other row of its group may have an order; else its crossing waits.

        The last look before an intent.
        """
        if not self._ledger.kin.group:
            return True
        tie = group_tie(self._ledger.kin, crossing.key, self._ledger.known_life)
        if tie.bond is Bond.FREE:
            return True
        self._owed.wait(crossing, Why.GROUP)
        return False

    # --- what follows from what has become of rows -----------------------------------------------

    def attend(self) -> None:
        """Disarm, arm and let go as what is known by now wants it. Blocks for the disk, seldom."""
        if self._ledger.kin_news:  # of most turns there is none, and a crossing waits for this
            self._take_in_news()
        for wait in self._owed:
            if wait.why is Why.GROUP:
                self._let_go(wait.crossing)

    def _take_in_news(self) -> None:
        kin, news = self._ledger.kin, sorted(self._ledger.kin_news)
        self._ledger.kin_news.clear()
        for group in dict.fromkeys(kin.group[i] for i in news if i in kin.group):
            self._spend(kin.groups[group])
        touched = dict.fromkeys(news)
        for rule_id in news:
            touched |= dict.fromkeys([*kin.mates(rule_id), *kin.children.get(rule_id, ())])
        known = [rule_id for rule_id in self._ledger.rules if rule_id in touched]  # in its order
        armed = [one for one in map(self._follow, known) if one is not None]
        for entry, life, tie in armed:
            self._post(self._book(entry, life, is_new=bool(tie.fill)))
        if armed:
            self._write()  # what is said to be armed by a fill is so after a crash, too
        for entry, _, tie in armed:
            if tie.fill:
                self._teller.tell(kin_words.armed(entry.rule, tie))

    def _spend(self, members: Sequence[str]) -> None:
        """Disarm what waits in a group of which one has fired."""
        waiting = [i for i in members if self._is_waiting(i)]
        if waiting:
            tie = group_tie(self._ledger.kin, waiting[0], self._ledger.known_life)
            if tie.bond is Bond.SPENT:
                for rule_id in waiting:
                    self._disarm(rule_id, tie.by)

    def _is_waiting(self, rule_id: str) -> bool:
        life = self._ledger.known_life(rule_id)
        return life is not None and life.is_waiting

    def _disarm(self, rule_id: str, by: str) -> None:
        # By which fill it was armed stays written: the same one does not arm it again.
        life = self._ledger.life_of(rule_id)
        detail = f"{by} of its group has fired"
        self._ledger.put(life.after(Signal.DISARM, detail=detail, intended_at=""))
        self._ledger.must_write = True
        self._post(BookDisarm(rule_id))
        wait = self._owed.settle(rule_id)
        self._tools.begin_anew(rule_id)
        crossing = wait.crossing if wait is not None else None
        said = kin_words.disarmed(rule_id, by, crossing)
        self._teller.tell_once(rule_id, said, news=_news_of(Tie(Bond.SPENT, by)))

    def _follow(self, rule_id: str) -> tuple[AcceptedRule, Life, Tie] | None:
        """Arm a row that may be armed by now; else say, once, what keeps it from that."""
        entry, life = self._ledger.rules[rule_id], self._ledger.known_life(rule_id)
        if life is None or life.state is not RuleState.DISARMED:
            return None
        if not entry.rule.enabled or entry.is_fired_in_file:
            return None
        if self._ledger.stays_given_up(rule_id, entry):
            return None
        if life.has_ended_as(entry.rule):
            return None
        tie = tie_of(self._ledger, entry.rule, life)
        if tie.may_arm:
            return entry, self._arm(life, entry.rule, tie), tie
        if life.detail and life.armed_by and tie.bond is Bond.AWAITS:
            return None  # that its group has disarmed it was said
        said = kin_words.not_armed(entry.rule, tie)
        self._teller.tell_once(rule_id, said, news=_news_of(tie))
        return None

    def _let_go(self, crossing: Crossing) -> None:
        """Let a row be met again whose crossing has waited for one that has no order after all."""
        rule_id = crossing.key
        if not self._is_waiting(rule_id):
            self._owed.settle(rule_id)
            return
        if self._holder(rule_id):
            return
        self._owed.settle(rule_id)
        self._tools.begin_anew(rule_id)
        self._teller.tell(kin_words.let_go(crossing))
        entry, life = self._ledger.rules.get(rule_id), self._ledger.life_of(rule_id)
        if entry is not None and entry.rule.enabled:
            self._post(self._book(entry, life, held=crossing))

    def _book(
        self, entry: AcceptedRule, life: Life, *, is_new: bool = False, held: Crossing | None = None
    ) -> BookArm:
        since, guessed_at = life.waits_since, self._tools.moments.guessed_at(life.waits_since)
        return BookArm(
            entry.rule, entry.market, since, since_at=guessed_at, is_new=is_new, held=held
        )


def _news_of(tie: Tie) -> str:
    """Return what tells two reasons apart for which a row is not armed."""
    order = tie.life.order_id if tie.life is not None and tie.bond is not Bond.SPENT else ""
    return f"{tie.bond.value} {tie.by} {order}"


def _trade_of(crossing: Crossing) -> tuple[int | None, str]:
    return crossing.at_ns, crossing.price_text
