"""What is known of every rule: lives in memory, and as cells of state.csv.

The file is written by others. Owned by the order thread; what others may read is replaced whole
and never changed. What must never happen here: that a row which contradicts itself, or upon which
nobody can rely, passes for one that has not fired and may trade.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from operator import attrgetter
from typing import cast

from ttslo_app.messages import AcceptedRule, Stop
from ttslo_app.orders.kin import Families, families_of
from ttslo_app.orders.life import Life, RuleState
from ttslo_app.orders.request import OrderRequest, condition_of, fingerprint
from ttslo_app.rules.rule import Rule

Cells = dict[str, str]
State = dict[str, Cells]

# No state of a rule, so that no version ever takes such a row for one that may trade.
_DOUBTFUL = "doubtful"


class Ledger:
    """The books of the order thread.

    Args:
        state: The rows of state.csv by id; owned by this object from now on.

    Attributes:
        rules: The rows of config.csv that may trade, by id.
        standing: The orders to watch, by rule id: replaced whole, so any thread may read.
        stops: Where their stops are, by rule id, as far as Kraken has told: likewise.
        unnoted: The rules of whose orders config.csv has not been told.
        noted_at: When config.csv was told of a rule's order, on the monotonic clock.
        must_write: Whether something is known that state.csv does not say.
        kin: Who belongs together: replaced whole. Any thread.
        kin_news: The rows with kin of which something has become since somebody looked.
    """

    def __init__(self, state: State) -> None:
        self.state = state
        self.rules: dict[str, AcceptedRule] = {}
        self.standing: Mapping[str, str] = {}
        self.stops: Mapping[str, Stop] = {}
        self.unnoted: set[str] = set()
        self.noted_at: dict[str, float] = {}
        self.must_write = False
        self.kin = Families()
        self.kin_news: set[str] = set()
        self._unknown_past: set[str] = set()
        self._is_state_torn = False
        # The rows that were refused for good since the start, as they were then.
        self._given_up: dict[str, str] = {}
        # Lives that were read before they are asked for, and the cells that they were read from.
        self._at_hand: dict[str, tuple[Cells, Life]] = {}

    # --- lives -------------------------------------------------------------------------------

    def begin_anew(self, lives: Mapping[str, Mapping[str, str]]) -> None:
        """Go by these lives alone, as all hosts share them; the rules stay."""
        self.state = {rule_id: dict(cells) for rule_id, cells in lives.items()}
        self._unknown_past.clear()
        self.standing, self.stops = {}, {}
        self.unnoted.clear()
        self.noted_at.clear()
        self.must_write = False
        self.relate(self.rules)

    def life_of(self, rule_id: str) -> Life:
        """Return what is known of a rule.

        Raises:
            UnreadableLife: If its row in state.csv cannot be understood.
        """
        cells = self.state.get(rule_id, {})
        kept = self._at_hand.get(rule_id)
        return kept[1] if kept is not None and kept[0] == cells else read_life(rule_id, cells)

    def have_at_hand(self, rule_ids: Iterable[str]) -> None:
        """Read the lives of these rules now; they count for as long as their cells are the same."""
        at_hand = {}
        for rule_id in rule_ids:
            life = self._readable_life(rule_id)
            if life is not None:
                at_hand[rule_id] = dict(self.state.get(rule_id, {})), life
        self._at_hand = at_hand

    def put(self, life: Life) -> None:
        """Write a life into the rows."""
        cells = self.state.get(life.id)
        if cells is None:
            cells = self.state[life.id] = cells_like_others()
        # Rules that wait have mostly empty cells, and of 100,000 rules these alone fill 60 MB;
        # the file has them all the same. They come all at once, as other threads may be reading.
        cells.update(
            [
                (name, text)
                for name, text in cells_of(life).items()
                if text or name in cells or name in STATE_CONTRACT
            ]
        )
        if self.kin.has(life.id):
            self.kin_news.add(life.id)

    def enter(self, rule_id: str, cells: Cells) -> None:
        """Take in all that is known of a rule of which nothing was; the cells are owned here."""
        self.state[rule_id] = cells
        if self.kin.has(rule_id):
            self.kin_news.add(rule_id)

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

    def waiting_among(self, rules: Iterable[Rule]) -> set[str]:
        """Return the ids of those of `rules` for which `is_waiting_for` is true. Any thread.

        For a whole file of them: a call for each would cost more than the look itself.
        """
        known, state, nobody = self.rules, self.state, Cells()
        armed = RuleState.ARMED.value
        return {
            rule.id
            for rule in rules
            if (entry := known.get(rule.id)) is not None
            and (entry.rule is rule or entry.rule == rule)
            and (state.get(rule.id) or nobody).get("rule_state") == armed
        }

    def is_refused(self, rule_id: str) -> bool:
        """Tell whether state.csv holds a crossing of the rule, because its order was refused."""
        return self.state.get(rule_id, {}).get("rule_state") == RuleState.REFUSED

    def unprotected(self) -> list[str]:
        """Return the rows that are armed, and those whose order is not placed yet."""
        states = (RuleState.ARMED, RuleState.REFUSED, RuleState.INTENDED)
        return [i for i in self.rules if self.state.get(i, {}).get("rule_state") in states]

    def owner_of(self, txid: str, but: str) -> str:
        """Return the row whose present arming has that order, other than `but`; empty for none.

        An order has one row: what shows it to a second one answers another question.
        """
        rows = self.state.items()
        return next((i for i, cells in rows if cells.get("order_id") == txid and i != but), "")

    def stand(self, rule_id: str, txid: str | None) -> None:
        """Note that an order stands at Kraken, or no longer does."""
        if rule_id in self.stops and txid != self.standing.get(rule_id):
            self.stops = {known: stop for known, stop in self.stops.items() if known != rule_id}
        if txid is None and rule_id not in self.standing:
            return
        standing = dict(self.standing)  # 3 us for a thousand, beside a call to Kraken
        standing.pop(rule_id, None)
        if txid is not None:
            standing[rule_id] = txid
        self.standing = standing

    def note_stop(self, rule_id: str, stop: Stop, at: str) -> None:
        """Note where the stop of a standing order is; unmoved, it keeps the moment it has.

        Args:
            rule_id: The rule of the order.
            stop: As Kraken shows it.
            at: When it was seen, for a stop that names no moment; ISO UTC.
        """
        if self.stops.get(rule_id) != stop:
            self.stops = {**self.stops, rule_id: stop if stop.at else replace(stop, at=at)}

    # --- what became of the rows ---------------------------------------------------------------

    def fired(self) -> set[str]:
        """Return the ids of rules that have no use for a price: their order is known or sought.

        Not among them are rows that have fired and are enabled all the same: whoever arms a row
        again, or saves an old copy of the file over the new one, must not fire it at once.
        """
        lives = {
            rule_id: self._readable_life(rule_id)
            for rule_id, cells in list(self.state.items())
            if not cells
            or cells.get("rule_state") != RuleState.ARMED  # it waits, so there is nothing to find
        }
        return {
            rule_id
            for rule_id, life in lives.items()
            if life and (life.is_unsettled or (life.has_fired and not life.noted))
        }

    def was_armed(self, rule: Rule) -> bool:
        """Tell whether a crossing is acted upon although the threshold is met by now.

        The rule was armed with this very condition while the threshold was not met: what happened
        since is a crossing, and not a slip of the hand.
        """
        if self.is_waiting_for(rule):
            return True
        life = self._readable_life(rule.id)
        if life is None:
            return False
        if life.generation == 0:
            # Earlier versions wrote down only that they had looked at a row.
            cells = self.state.get(rule.id, {})
            is_marked = bool(cells.get("rule_state"))  # by a dry run, which looked and refused it
            return not (life.has_fired or is_marked) and bool(cells.get("last_checked"))
        is_same = condition_of(life.row) == condition_of(fingerprint(rule))
        is_owed = life.state is RuleState.DISARMED and bool(life.intended_at)
        return is_same and (life.state in (RuleState.ARMED, RuleState.REFUSED) or is_owed)

    def _readable_life(self, rule_id: str) -> Life | None:
        try:
            return self.life_of(rule_id)
        except UnreadableLife:
            return None

    def known_life(self, rule_id: str) -> Life | None:
        """Return what is known of a rule; None where nobody can rely upon it."""
        return None if self.is_past_unknown(rule_id) else self._readable_life(rule_id)

    def relate(self, rules: Mapping[str, AcceptedRule]) -> None:
        """Note who belongs together, by rows of config.csv in the order of the file."""
        self.kin = families_of(rules, self.state)
        self.kin_news.update(self.kin.group, self.kin.children)

    # --- doubts ------------------------------------------------------------------------------

    def distrust(self, rule_ids: Sequence[str] | None) -> None:
        """Let rules not trade whose past nobody can know; None: all that the state lacks."""
        if rule_ids is None:
            self._is_state_torn = True
        else:
            self._unknown_past.update(rule_ids)

    @property
    def has_doubts(self) -> bool:
        """Whether there may be a rule whose past is not known; hardly ever."""
        return bool(self._unknown_past) or self._is_state_torn

    def is_past_unknown(self, rule_id: str) -> bool:
        """Tell whether nobody can know if the rule has fired."""
        return rule_id in self._unknown_past or (self._is_state_torn and rule_id not in self.state)

    def ensure_known(self, rule_id: str) -> None:
        """Raise UnreadableLife if nobody can know whether the rule has fired."""
        if self.is_past_unknown(rule_id):
            raise UnreadableLife("nobody can tell whether it has fired")

    def keep_doubts(self, rule_ids: Iterable[str]) -> list[str]:
        """Write into the rows that nobody knows the past of some rules: a restart must not.

        Returns:
            Those of which it was not written yet.
        """
        if not self.has_doubts:
            return []
        doubted = sorted({i for i in rule_ids if self.is_past_unknown(i)})
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


# The contract's columns come first and keep their meaning; these are ours.
_OWN_TEXT = (
    "armed_at",
    "cl_ord_id",
    "intended_at",
    "deadline",
    "row",
    "letters",
    "row_at",
    "sent_by",
    "doubt",
    "order_status",
    "vol_exec",
    "fill_price",
    "crossed_price",
    "crossed_at",
    "armed_by",
    "handed",
    "detail",
)


_OWN = frozenset({*_OWN_TEXT, "order"})


_CONTRACT_TEXT = ("order_id", "trigger_price", "trigger_time", "activated_on")


_TEXT = _CONTRACT_TEXT + _OWN_TEXT


_texts_of: Callable[[Life], tuple[str, ...]] = attrgetter(*_TEXT)


STATE_CONTRACT = frozenset({"id", "triggered", *_CONTRACT_TEXT})


# Small numbers of many rows are one text each.
_count = lru_cache(maxsize=256)(str)


def cells_of(life: Life) -> dict[str, str]:
    """Return the cells that state.csv holds of `life`; `last_checked` is not among them."""
    cells = {"id": life.id, "triggered": "true" if life.has_fired else "false"}
    cells.update(zip(_TEXT, _texts_of(life), strict=True))
    cells["rule_state"] = str(life.state)
    cells["generation"] = _count(life.generation)
    cells["sends"] = _count(life.sends)
    cells["noted"] = "true" if life.noted else "false"
    cells["order"] = life.order.to_json() if life.order else ""
    return cells


# More cells than a row has that waits: its names would take room in all others.
_MOST_IN_COMMON = 20


class _Row:
    """What has the names of cells for its attributes."""


def cells_like_others(cells: Mapping[str, str] | None = None) -> Cells:
    """Return cells that have their names in common with those of other rows.

    CPython keeps the names of attributes once for all objects of a class: cells that are the
    attributes of one take 25 MB less, for 100,000 rows that wait, than in dicts with names of their
    own. They are dicts like any others, and where that is not so they take what others do. Of
    columns of ours that are empty the cells are left out: nothing is read as it is there.
    """
    kept = [one for one in (cells or {}).items() if one[1] or one[0] not in _OWN]
    if len(kept) > _MOST_IN_COMMON:
        return dict(kept)
    found: Cells = vars(_Row())
    found.update(kept)
    return found


def keep_no_room() -> None:
    """Let copies of cells take no room for more names than those that all have by now.

    CPython keeps room for 30 of them, and for one less with each object of the class that is made.
    """
    for _ in range(_MOST_IN_COMMON):
        _Row()


class UnreadableLife(ValueError):
    """A row of state.csv from which nobody can tell whether its rule has fired."""


def read_life(rule_id: str, cells: Mapping[str, str]) -> Life:
    """Return what `cells`, one row of state.csv, say of a rule.

    Rows of earlier versions have the contract's columns only: `triggered` decides.

    Raises:
        UnreadableLife: If the row contradicts itself or holds words that nobody wrote.
    """
    if type(cells) is not dict and not isinstance(cells, Mapping):
        raise UnreadableLife(f"it is {type(cells).__name__} and not a dict")
    if not cells:
        return Life(rule_id)
    cells = _in_words(cells)
    triggered = cells.get("triggered", "").strip().lower()
    if triggered not in ("true", "false", ""):
        raise UnreadableLife(f"triggered is {cells.get('triggered')!r}, not true or false")
    text = {name: cells.get(name, "") for name in _TEXT}
    word = cells.get("rule_state", "").strip().lower()
    if not word:
        return _earlier_life(rule_id, triggered, text)
    try:
        life = Life(
            rule_id,
            RuleState(word),
            generation=int(cells.get("generation") or 0),
            sends=int(cells.get("sends") or 0),
            noted=cells.get("noted", "").strip().lower() == "true",
            order=OrderRequest.from_json(cells["order"]) if cells.get("order") else None,
            **text,
        )
    except ValueError as error:
        raise UnreadableLife(str(error)) from error
    if life.generation < 1 and life.state is not RuleState.DISARMED:
        # Such rows are taken for those of earlier versions, whose thresholds may be met.
        raise UnreadableLife(f"rule_state is {word} and generation is not there")
    if life.has_fired != (triggered == "true"):
        raise UnreadableLife(f"rule_state is {word} and triggered is {triggered or 'empty'}")
    if life.is_unsettled and not (life.cl_ord_id and life.order):
        raise UnreadableLife(f"rule_state is {word} without a cl_ord_id and an order")
    return life


def _in_words(cells: Mapping[str, object]) -> Mapping[str, str]:
    """Return cells as texts: a caller who keeps the state by himself may say None, or a number."""
    if {*map(type, cells.values())} <= {str}:
        return cast("Mapping[str, str]", cells)
    return {name: "" if value is None else str(value) for name, value in cells.items()}


def _earlier_life(rule_id: str, triggered: str, text: Mapping[str, str]) -> Life:
    """Return what a row of an earlier version says, which tells no state."""
    if not triggered and (text["trigger_price"] or text["trigger_time"]):
        raise UnreadableLife("it tells of a trigger and says nothing under triggered")
    has_fired = triggered == "true" or bool(text["order_id"])
    if not has_fired:
        return Life(rule_id, RuleState.DISARMED, **text)  # type: ignore[arg-type]  # fields by name
    # It was armed once, and says so once it is written: a life that has fired is none of those
    # that were looked at only.
    return Life(rule_id, RuleState.PLACED, 1, **text)  # type: ignore[arg-type]  # fields by name
