"""The rows that may trade: what an edit of config.csv, or the start, means for each life.

What must never happen here: that a row which has fired is armed again by anybody but its user, or
that a crossing of the row as it was fires the row as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from enum import Enum
from functools import partial
from itertools import chain

from krakenlink.numbers import to_positive_decimal
from ttslo_app.messages import (
    AcceptedRule,
    Adopt,
    BookChange,
    BookDisarm,
    BookFired,
    Crossing,
    Market,
)
from ttslo_app.orders import kin_words, trouble_words, words
from ttslo_app.orders.beginnings import Beginnings, book_arm
from ttslo_app.orders.expiry import Expiry
from ttslo_app.orders.kin import FREE, Tie
from ttslo_app.orders.kinship import tie_of
from ttslo_app.orders.ledger import Ledger, UnreadableLife
from ttslo_app.orders.life import EXPIRED, Life, RuleState, Signal, arm, put_behind
from ttslo_app.orders.owed import Why
from ttslo_app.orders.ports import Tools
from ttslo_app.orders.request import condition_of, fingerprint
from ttslo_app.orders.spellings import arming_word, is_spelt
from ttslo_app.rules.rule import Rule

# What goes by Kraken's clock in a life, but for what its client order id is made of.
_MOMENTS = ("row_at", "trigger_time", "intended_at", "activated_on")
# The present as text, and the same from which on trades count: see `Moments.now_and_since`.
_Now = tuple[str, str]


class Adoption(Enum):
    """What becomes of a rule when config.csv is read."""

    KEEP = "keep"  # nothing new
    ARM = "arm"  # a new arming begins
    DISARM = "disarm"  # armed until now, and no longer
    UPDATE = "update"  # stays armed, with changed settings
    NOTE = "note"  # fired, and config.csv does not say so yet
    PUT_BACK = "put back"  # fired, and the row lies there again as it was before
    EXPLAIN = "explain"  # enabled although it has fired: say how to arm it again


def adoption_of(
    life: Life | None, rule: Rule | None, *, is_fired_in_file: bool, is_as_it_was: bool = False
) -> Adoption:
    """Return what `rule`, as config.csv now has it, means for `life`.

    Args:
        life: What the state file knows of the id; None for an id never seen.
        rule: The accepted row; None where it is gone, refused or not enabled.
        is_fired_in_file: Whether the row's order columns are filled.
        is_as_it_was: Whether the row is to the letter what it was while it fired.
    """
    if life is not None and rule is not None and life.has_ended_as(rule):
        return Adoption.KEEP  # until its user changes it, or disables it for once
    if life is None or life.state is RuleState.DISARMED:
        return Adoption.ARM if rule is not None and not is_fired_in_file else Adoption.KEEP
    if life.is_unsettled:
        return Adoption.KEEP
    if life.has_fired:
        if rule is None:
            return Adoption.KEEP
        if not life.noted and not is_fired_in_file:
            return Adoption.NOTE
        if is_fired_in_file:
            return Adoption.EXPLAIN
        return Adoption.PUT_BACK if is_as_it_was else Adoption.ARM
    if rule is None:
        return Adoption.DISARM
    return Adoption.KEEP if life.row == fingerprint(rule) else Adoption.UPDATE


def put_back(ledger: Ledger, rows: Iterable[tuple[str, Mapping[str, object]]]) -> set[str]:
    """Return the ids of those rows that are to the letter what they were when they fired.

    They are an old copy, and not armed: whether their threshold is met by now is nothing to tell
    of them. Any thread.
    """
    state = ledger.state
    known = ((i, row, state[i].get("letters")) for i, row in rows if i in state)
    found = [i for i, row, letters in known if letters and is_spelt(row, letters)]
    lives = (ledger.known_life(rule_id) for rule_id in found)
    return {life.id for life in lives if life is not None and life.has_fired}


class Roll:
    """Brings lives in line with their rows. For the order thread.

    Args:
        tools: What every part has in hand.
        post: Called with each change of the rule book; must not block.

    Attributes:
        expiry: The rows that end by themselves.
    """

    def __init__(self, tools: Tools, post: Callable[[BookChange], None]) -> None:
        self._tools = tools
        self._ledger, self._owed, self._teller = tools.ledger, tools.owed, tools.teller
        self._post = post
        self.expiry = Expiry(tools, post)

    # --- the start -----------------------------------------------------------------------------

    def recover(self) -> list[Life]:
        """Take up what an earlier run left; return the lives whose orders must be looked up."""
        unsettled: list[Life] = []
        for rule_id in list(self._ledger.state):
            try:
                life = self._ledger.life_of(rule_id)
            except UnreadableLife as error:
                self._distrust(rule_id, error)
                continue
            if self._ledger.is_past_unknown(rule_id):
                continue  # `adopt` says so and keeps it: such a row proves nothing about an order
            if life.is_unsettled:
                unsettled.append(self._resume(life))
            elif life.has_fired and not life.noted:
                self._ledger.unnoted.add(rule_id)
            if life.state is RuleState.PLACED and life.order_id:
                self._ledger.stand(rule_id, life.order_id)
        return unsettled

    def waiting_from_before(self) -> list[str]:
        """Return the rules that an earlier run has armed, and that wait for their crossing."""
        known = [i for i in self._ledger.state if not self._ledger.is_past_unknown(i)]
        return [i for i in known if self._ledger.is_waiting(i)]

    def leave_book(self, rule_id: str) -> None:
        """Let the reader of prices forget a rule."""
        self._post(BookDisarm(rule_id))

    def _distrust(self, rule_id: str, error: UnreadableLife) -> None:
        self._ledger.distrust([rule_id])
        self._teller.tell(words.unreadable(rule_id, error))

    def _resume(self, life: Life) -> Life:
        if life.state is RuleState.INTENDED:
            life = life.after(Signal.LOSE)
            self._ledger.put(life)
        self._teller.tell(words.ended_under_way(life))
        return life

    # --- an edit -------------------------------------------------------------------------------

    def adopt(self, message: Adopt) -> bool:
        """Bring all lives in line with config.csv; True if one has changed, and is to be saved."""
        ledger, state, undecided = self._ledger, self._ledger.state, message.undecided
        doubtful = ledger.keep_doubts(chain(message.accepted, undecided, state))
        for rule_id in doubtful:
            self._teller.tell(words.doubtful(rule_id))
        has_changed = bool(doubtful)
        rules = message.accepted  # as it is, where it may be: another dict would fill 4 MB
        if undecided or ledger.has_doubts:
            known = [i for i in rules if not ledger.is_past_unknown(i)]
            rules = {i: entry for i, entry in ledger.rules.items() if i in undecided}
            rules.update((i, message.accepted[i]) for i in known)
        ledger.relate(rules)
        # All rows of one reading are armed at one moment, which is one text in the memory.
        now = self._tools.moments.now_and_since()
        beginnings = Beginnings(self._tools, partial(self.arm, now=now), now[0])
        unreadable: set[str] = set()
        for rule_id in [*self._changed(rules), *(i for i in rules if i not in state)]:
            if rule_id in undecided or ledger.is_past_unknown(rule_id):
                continue
            entry = rules.get(rule_id)
            if ledger.stays_given_up(rule_id, entry):
                continue
            if entry is not None and beginnings.is_one(entry):
                self._post(beginnings.arm(entry))
                has_changed = True
                continue
            try:
                has_changed |= self._adopt_one(rule_id, entry, message.read_at, now)
            except UnreadableLife as error:
                self._distrust(rule_id, error)
                unreadable.add(rule_id)
        if unreadable:  # of an edit all other rows take effect
            rules = self._without(unreadable, rules)
            has_changed = True
        ledger.rules = rules
        self.expiry.watch(rules.values())
        return has_changed

    def _without(
        self, unreadable: Collection[str], rules: Mapping[str, AcceptedRule]
    ) -> dict[str, AcceptedRule]:
        """Let rows not trade of which an edit has shown that nobody can know their past."""
        self._ledger.keep_doubts(unreadable)
        for rule_id in unreadable:
            self._owed.settle(rule_id)
            self.leave_book(rule_id)
        left = {i: entry for i, entry in rules.items() if i not in unreadable}
        self._ledger.relate(left)
        return left

    def _changed(self, rules: Mapping[str, AcceptedRule]) -> list[str]:
        """Return the known rows but those that wait and are as they were, as most are."""
        before, armed = self._ledger.rules, RuleState.ARMED.value
        return [
            rule_id
            for rule_id, cells in self._ledger.state.items()
            if (entry := rules.get(rule_id)) is None
            or (entry is not (known := before.get(rule_id)) and entry != known)
            or not entry.rule.enabled
            or not cells
            or cells.get("rule_state") != armed
        ]

    def _adopt_one(
        self, rule_id: str, entry: AcceptedRule | None, read_at: float, now: _Now
    ) -> bool:
        """Bring one rule in line with its row; True if its life has changed."""
        life = self._ledger.life_of(rule_id)
        self._post_fired(life, entry)
        if life.has_fired and self._ledger.noted_at.get(rule_id, read_at - 1) >= read_at:
            return False
        rule = entry.rule if entry and entry.rule.enabled else None
        is_fired = entry.is_fired_in_file if entry else False
        is_old = entry is not None and life.has_fired and is_spelt(entry.row, life.letters)
        adoption = adoption_of(life, rule, is_fired_in_file=is_fired, is_as_it_was=is_old)
        if adoption is Adoption.EXPLAIN:
            self._teller.tell_once(rule_id, words.how_to_arm_again(life))
        if adoption is Adoption.PUT_BACK and entry is not None:
            word = arming_word(entry.row, life.letters)
            self._teller.tell(trouble_words.as_it_was(life, word))
        if adoption in (Adoption.NOTE, Adoption.PUT_BACK):
            self._ledger.unnoted.add(rule_id)
        if adoption is Adoption.DISARM:
            self._disarm(life)
            return True
        if rule is None and life.detail == EXPIRED:
            self._ledger.put(life._replace(detail="by config.csv"))
            return True
        if entry is None or rule is None:
            return False
        if adoption is Adoption.ARM and (rule.group or rule.after):
            return self._put_behind(life)  # `kinship` arms it, once all rows are known
        if adoption is Adoption.ARM:
            self._post_arm(rule, entry.market, self.arm(life, rule, now=now))
            return True
        return self._adopt_armed(life, rule, entry.market, adoption)

    def _adopt_armed(self, life: Life, rule: Rule, market: Market, adoption: Adoption) -> bool:
        tie = tie_of(self._ledger, rule, life)
        if adoption is Adoption.UPDATE and not tie.may_arm:
            self._disarm(life)
            return True
        if adoption is Adoption.UPDATE:
            self._ledger.put(self._updated(life, rule, tie))
            self._tools.begin_anew(rule.id)
            self._owed.settle(rule.id)
            self._post_arm(rule, market)
            return True
        if life.is_waiting and rule.id not in self._ledger.rules:
            self._post_arm(rule, market)
            if life.state is RuleState.REFUSED:
                self._owe_again(life, rule)
        return False

    def _disarm(self, life: Life) -> None:
        # Whoever disables a row ends what it is owed: enabled again, it is checked as a new one.
        # So does whoever takes away a row that a fill has armed: that fill arms it again.
        ended = life.after(
            Signal.DISARM, detail="by config.csv", intended_at="", armed_by="", handed=""
        )
        self._ledger.put(ended)
        self._post(BookDisarm(life.id))
        is_owed = self._owed.settle(life.id) is not None
        entry = self._ledger.rules.get(life.id)
        rule = entry.rule if entry else None
        self._teller.tell(words.no_longer_armed(life.id, rule, is_owed=is_owed))

    def _put_behind(self, life: Life) -> bool:
        """Let a row with kin that has fired wait for its next arming; True if it is changed."""
        if not life.has_fired:
            return False
        if life.state is RuleState.PLACED:
            self._teller.tell(kin_words.left_alone(life))
        self._begin_anew(life)
        self._ledger.put(put_behind(life))
        self._ledger.stand(life.id, None)
        return True

    def _updated(self, life: Life, rule: Rule, tie: Tie = FREE) -> Life:
        """Return a waiting life with the row as it is now: no crossing of the old one counts."""
        row = fingerprint(rule)
        is_same = condition_of(life.row) == condition_of(row)
        return life.after(
            Signal.CHANGE,
            row=row,
            order=None if rule.terms.share is not None else life.order,  # worked out anew
            row_at=life.waits_since if is_same else self._tools.moments.since_now(),
            trigger_price="",
            trigger_time="",
            crossed_price="",
            crossed_at="",
            armed_by=tie.fill or life.armed_by,
            handed=tie.filled or life.handed,
            detail="",
        )

    # --- arming --------------------------------------------------------------------------------

    def arm(self, life: Life, rule: Rule, tie: Tie = FREE, now: _Now | None = None) -> Life:
        """Begin the next generation of a rule, perhaps by the fill of another one's order.

        `now` is the moment, where there is one already.
        """
        self._begin_anew(life)
        if life.has_fired:
            self._teller.tell(words.armed_again(life))
        at, since = now or self._tools.moments.now_and_since()
        armed = arm(life, fingerprint(rule), at, since=since, armed_by=tie.fill, handed=tie.filled)
        self._ledger.put(armed)
        self._ledger.stand(life.id, None)
        return armed

    def _begin_anew(self, life: Life) -> None:
        self._tools.begin_anew(life.id)
        # What is still to be noted of the order before would disable the row as it is now.
        self._ledger.unnoted.discard(life.id)

    def ensure_armed(self, rule: Rule) -> None:
        """Arm `rule` if it is not: for callers that hand in rows one by one.

        Raises:
            UnreadableLife: If nobody can know whether it has fired.
        """
        self._ledger.ensure_known(rule.id)
        life = self._ledger.life_of(rule.id)
        if (rule.group or rule.after) and rule.id not in self._ledger.rules:
            entry = AcceptedRule(rule, Market(rule.pair, rule.pair))
            self._ledger.relate({**self._ledger.rules, rule.id: entry})
        tie = tie_of(self._ledger, rule, life)
        if life.state is RuleState.DISARMED and tie.may_arm and not life.has_ended_as(rule):
            self.arm(life, rule, tie)

    def drop_doubt(self, rule_id: str) -> None:
        """Take an order in doubt for not placed, as a caller says who cannot have it looked up.

        Raises:
            UnreadableLife: If nobody can know whether the rule has fired.
        """
        life = self._ledger.life_of(rule_id)
        if life.state is RuleState.UNCERTAIN:
            self._ledger.put(life.after(Signal.MISS, detail="by the caller"))
            self._owed.settle(rule_id)

    def arm_as_it_is(self, rule_id: str) -> None:
        """Let today's price decide about a rule, if its row may still trade."""
        entry = self._ledger.rules.get(rule_id)
        if entry is not None and entry.rule.enabled:
            self._post_arm(entry.rule, entry.market)

    def _post_arm(self, rule: Rule, market: Market, life: Life | None = None) -> None:
        life = life or self._ledger.life_of(rule.id)
        self._post(book_arm(rule, market, life, self._tools.moments))

    def put_right(self) -> None:
        """Write down the right moments of what happened before it was known what time it is."""
        right = self._tools.moments.put_right()
        for rule_id, cells in list(self._ledger.state.items()) if right else ():
            wrong = {name: cells[name] for name in _MOMENTS if cells.get(name) in right}
            life = self._ledger.known_life(rule_id) if wrong else None
            if life is not None:
                put = {name: right[text] for name, text in wrong.items()}
                self._ledger.put(life._replace(**put))  # type: ignore[arg-type]  # fields by name
                self._ledger.must_write = True

    def _post_fired(self, life: Life, entry: AcceptedRule | None) -> None:
        """Let it be looked up whether what an earlier run fired had been crossed earlier."""
        has_left_one = life.trigger_time and (life.has_fired or life.is_unsettled)
        if entry is None or not has_left_one or life.id in self._ledger.rules:
            return
        if condition_of(life.row) == condition_of(fingerprint(entry.rule)):
            since, at, price = life.waits_since, life.trigger_time, life.trigger_price
            is_found = bool(life.crossed_price) and life.crossed_at >= since
            if is_found:
                at, price = life.crossed_at, life.crossed_price
            self._post(BookFired(entry.rule, entry.market, since, at, price, is_found))

    # --- crossings of before -------------------------------------------------------------------

    def not_placed(self, life: Life) -> Crossing | None:
        """Settle that no order stands; return the crossing if it is to be fired at once."""
        self._ledger.put(life.after(Signal.MISS, detail="not placed"))
        entry = self._ledger.rules.get(life.id)
        crossing, what_now = None, ", and its row is not armed any more"
        if entry is not None and entry.rule.enabled:
            rest = max(0.0, self._tools.owed.rests_until(life.id) - self._tools.now())
            crossing = self._young_crossing_of(life, entry.rule, later=rest)
            what_now = f"; it is placed in {rest:.0f} s" if rest else "; it is placed now"
            if fingerprint(entry.rule) != life.row:
                crossing, what_now = None, "; its row has changed and is armed as it is"
                waiting = self._ledger.life_of(life.id)
                self._ledger.put(self._updated(waiting, entry.rule))
                self._tools.begin_anew(life.id)
            elif crossing is None:
                what_now = "; it is if the threshold is still met"
                what_now += f", in {rest:.0f} s" if rest else ""
        self._teller.tell(words.not_placed(life.id, what_now))
        if crossing is None:
            self.arm_as_it_is(life.id)
        else:
            self._owed.wait(crossing, Why.IN_HAND)  # the same crossing, and not another
        return crossing

    def _owe_again(self, life: Life, rule: Rule) -> None:
        """Take up a crossing that was refused shortly before the program ended."""
        crossing = self._young_crossing_of(life, rule)
        if crossing is not None:
            self._owed.wait(crossing, Why.HEALING, self._tools.now())

    def _young_crossing_of(self, life: Life, rule: Rule, later: float = 0.0) -> Crossing | None:
        """Return the crossing that `life` has written down; None if it is old, or not readable.

        Args:
            life: The life.
            rule: Its rule.
            later: In how many seconds it may have its order: it has to be young then.
        """
        age = self._tools.clocks.age_of(life.trigger_time)
        try:
            price = to_positive_decimal(life.trigger_price)
        except ValueError:
            return None
        if age + later > self._tools.settings.owed:
            return None
        return Crossing(rule, price, life.trigger_price, seen_at=self._tools.now() - age)
