"""How rows that belong together stand to each other: what the life of one means for the others.

Of a group one row fires; a row that follows another one is armed once that one's order is filled.
Nothing of this is kept beside the lives of the rows: it is worked out from them, so a restart at
any step comes to the same. Pure. What must never happen here: that a row passes for free while
another one of its group may have an order, or the order before it is not certainly filled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

from ttslo_app.messages import AcceptedRule
from ttslo_app.orders.life import Life, RuleState
from ttslo_app.orders.request import after_of, group_of
from ttslo_app.rules.rule import Rule


class Bond(Enum):
    """What keeps a row from firing, or from being armed."""

    FREE = "free"  # nothing
    HELD = "held"  # another of its group may have an order: its crossing waits
    SPENT = "spent"  # another of its group has fired: it is not armed
    AWAITS = "awaits"  # the order before it is not filled yet: it is not armed
    BARRED = "barred"  # the order before it ended, and was not filled: it is not armed


MEANINGS: Mapping[RuleState, tuple[Bond, Bond]] = MappingProxyType(
    {
        RuleState.ARMED: (Bond.FREE, Bond.AWAITS),
        RuleState.INTENDED: (Bond.HELD, Bond.AWAITS),
        RuleState.UNCERTAIN: (Bond.HELD, Bond.AWAITS),
        RuleState.REFUSED: (Bond.FREE, Bond.AWAITS),
        RuleState.PLACED: (Bond.SPENT, Bond.AWAITS),
        RuleState.CLOSED: (Bond.SPENT, Bond.BARRED),  # filled, it lets those after it be armed
        RuleState.DISARMED: (Bond.FREE, Bond.AWAITS),
    }
)
"""What the state of a row means for the others of its group, and for those that follow it."""

# Of a row whose past nobody knows: it may have an order, and that may not be filled.
_UNKNOWN = (Bond.HELD, Bond.AWAITS)


@dataclass(frozen=True, slots=True)
class Tie:
    """What binds a row, and which row does; `by` is empty where nothing binds it.

    Attributes:
        life: The life of that row; None where nobody knows it.
        fill: Of a row that follows another one, and may be armed: the order that was filled.
        filled: How much of it, as Kraken told it.
    """

    bond: Bond
    by: str = ""
    life: Life | None = None
    fill: str = ""
    filled: str = ""

    @property
    def may_arm(self) -> bool:
        """Whether the row may be armed: a crossing of one that is held waits."""
        return self.bond in (Bond.FREE, Bond.HELD)


FREE = Tie(Bond.FREE)


@dataclass(frozen=True, slots=True)
class Families:
    """Who belongs together, by the files.

    Attributes:
        groups: The rows of each group, in the order of the file; those that are there no more and
            may have an order come last.
        group: The group of each row that has one.
        children: The rows that follow each row.
        fired: Rows whose order columns are filled in config.csv.
    """

    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    group: Mapping[str, str] = field(default_factory=dict)
    children: Mapping[str, Sequence[str]] = field(default_factory=dict)
    fired: frozenset[str] = frozenset()

    def mates(self, rule_id: str) -> list[str]:
        """Return the other rows of a row's group, in the order of the file."""
        group = self.group.get(rule_id)
        return [] if group is None else [i for i in self.groups[group] if i != rule_id]

    def has(self, rule_id: str) -> bool:
        """Tell whether other rows depend on what becomes of a row."""
        return rule_id in self.group or rule_id in self.children

    def in_file_order(self, rule_ids: Sequence[str]) -> list[str]:
        """Return rows that one trade crosses, with those of a group in the order of the file.

        The first of a group is the one that fires. All others keep their places. Any thread.
        """
        ordered = list(rule_ids)
        if len(ordered) < 2 or self.group.keys().isdisjoint(ordered):
            return ordered
        places: dict[str, list[int]] = {}
        for place, rule_id in enumerate(ordered):
            if rule_id in self.group:
                places.setdefault(self.group[rule_id], []).append(place)
        for group, held in places.items():
            here = {ordered[place] for place in held}
            by_file = [rule_id for rule_id in self.groups[group] if rule_id in here]
            for place, rule_id in zip(held, by_file, strict=True):
                ordered[place] = rule_id
        return ordered


def families_of(
    rules: Mapping[str, AcceptedRule], state: Mapping[str, Mapping[str, str]]
) -> Families:
    """Return who belongs together.

    Args:
        rules: The rows of config.csv, in its order.
        state: The rows of state.csv: what is no more in config.csv may have an order all the same.
    """
    groups: dict[str, list[str]] = {}
    children: dict[str, list[str]] = {}
    rows = (entry.rule for entry in rules.values())
    for rule in [rule for rule in rows if rule.group or rule.after]:  # few, and often none
        if rule.group:
            groups.setdefault(rule.group, []).append(rule.id)
        if rule.after:
            children.setdefault(rule.after, []).append(rule.id)
    for rule_id in [rule_id for rule_id in state if rule_id not in rules]:
        row = state[rule_id].get("row")
        group = group_of(row) if row and "=" in row else ""
        if group:
            groups.setdefault(group, []).append(rule_id)
    group_by_id = {rule_id: name for name, ids in groups.items() for rule_id in ids}
    fired = frozenset(i for i in group_by_id if i in rules and rules[i].is_fired_in_file)
    return Families(groups, group_by_id, children, fired)


Lives = Callable[[str], Life | None]


def group_tie(families: Families, rule_id: str, lives: Lives) -> Tie:
    """Return what the others of its group mean for a row.

    Args:
        families: Who belongs together.
        rule_id: The row.
        lives: Returns what is known of a row; None where nobody can know.
    """
    tie = FREE
    for mate in families.mates(rule_id):
        life = lives(mate)
        bond = MEANINGS[life.state][0] if life is not None else _UNKNOWN[0]
        if life is not None and life.state is RuleState.DISARMED and mate in families.fired:
            bond = Bond.SPENT  # config.csv knows of an order that the state does not
        if bond is Bond.SPENT:
            return Tie(bond, mate, life)
        if bond is Bond.HELD:
            tie = Tie(bond, mate, life)
    return tie


def chain_tie(rule: Rule, own: Life, before: Life | None, *, takes_part: bool = False) -> Tie:
    """Return what the row before it means for a row.

    One fill arms a row once: what was armed by it, and has fired or was disarmed by its group,
    waits for the next one.

    Args:
        rule: The row.
        own: Its life.
        before: The life of the row before it; None where nobody can know.
        takes_part: Whether a part that was filled before the order ended will do.
    """
    if not rule.after or is_armed_by(own, rule):
        return FREE
    if before is None:
        return Tie(_UNKNOWN[1], rule.after)
    bond = MEANINGS[before.state][1]
    if bond is Bond.AWAITS or (own.armed_by and own.armed_by == before.order_id):
        return Tie(Bond.AWAITS, rule.after, before)
    is_whole = before.order_status == "closed"
    if not is_whole and not (takes_part and before.has_executed):
        return Tie(bond, rule.after, before)
    filled = before.vol_exec or (before.order.volume if before.order else "")
    return Tie(Bond.FREE, rule.after, before, before.order_id, filled)


def is_armed_by(life: Life, rule: Rule) -> bool:
    """Tell whether a row waits for its crossing since the order before it was filled."""
    return life.is_waiting and bool(life.armed_by) and after_of(life.row) == rule.after


def holder_among(mates: Iterable[str], lives: Lives, at_it: Callable[[str], bool]) -> str:
    """Return which row of a group is at it: the crossings of the others wait. Empty for none.

    Args:
        mates: The others.
        lives: Returns what is known of a row; None where nobody can know.
        at_it: Tells whether a row's crossing is being worked on, or owed.
    """
    for mate in mates:
        life = lives(mate)
        if life is None or life.is_unsettled or at_it(mate):
            return mate
    return ""
