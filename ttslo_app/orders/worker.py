"""The order thread: does what `ttslo_orders` decides, in the order of the crossings.

One thread owns the state of every rule, both files and every order, so that no lock is needed
around any of them and no second path to Kraken exists. Others hand it messages; it never waits
for them. What it must never do: send an order whose intent is not durably written, or send a
second one while the first may stand.

Between two orders of one burst stand one durable write of their intents and nothing else; the
facts of a placed order reach the state file with the next write, because the intent already
finds the order again after a crash.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from krakenlink.errors import KrakenError
from krakenlink.numbers import to_positive_decimal
from krakenlink.rest.answers import Outcome
from krakenlink.rest.verdicts import OutcomeKind, Pause
from ttslo_app.messages import (
    AcceptedRule,
    Adopt,
    BookArm,
    BookChange,
    BookDisarm,
    BookFired,
    Crossing,
    FirstCrossing,
    Mark,
    Market,
    Message,
    Say,
    Sighting,
    Watched,
)
from ttslo_app.orders.finder import Search, Verdict, after_look, after_silence, begin_search
from ttslo_app.orders.life import Life, RuleState, Signal, arm
from ttslo_app.orders.line import OrderLine
from ttslo_app.orders.owed import refusal_wait
from ttslo_app.orders.ports import Clock, Exchange, Files
from ttslo_app.orders.request import build_order, condition_of, fingerprint, market_objection
from ttslo_app.orders.roll import Adoption, adoption_of
from ttslo_app.orders.row import STATE_CONTRACT, State, UnreadableLife, cells_of, read_life
from ttslo_app.orders.settings import OrderSettings
from ttslo_app.rules.rule import Rule

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())

# Intents of one burst are written together, but not more than are sent well inside a deadline.
_BURST = 10
# Files that take long to write, of thousands of rules, take at most a twentieth of this thread's
# time: a crossing must find it free, and what a crash needs is in the journal of intents.
_REST_PER_WRITE, _SHORT_WRITE = 20.0, 0.02
# Kraken refuses deadlines closer than 2 s; an intent that waited this long is written anew.
_SHORTEST_DEADLINE = 2.5
# Kraken refuses those that are further away than this, too.
_LONGEST_DEADLINE = 60.0
# No state of a rule, so that no version ever takes such a row for one that may trade.
_DOUBTFUL = "doubtful"
# Subjects of sentences that are said once; no rule's id holds a blank.
_STATE, _NOTES = "the state file", "config.csv notes"


@dataclass(slots=True)
class _Trouble:
    """How often in a row a rule was refused, what was said last, and since when it is owed."""

    count: int = 0
    said: str = ""
    since: float | None = None


@dataclass(frozen=True, slots=True)
class _Retry:
    """When a crossing whose order was refused is tried again."""

    at: float
    crossing: Crossing | None = None


@dataclass(slots=True)
class _Duties:
    """What the thread owes: nothing here is lost by a crash that state.csv does not bring back."""

    searches: dict[str, Search] = field(default_factory=dict)
    retries: dict[str, _Retry] = field(default_factory=dict)
    held: list[tuple[float, Crossing]] = field(default_factory=list)
    notes: set[str] = field(default_factory=set)
    noted_at: dict[str, float] = field(default_factory=dict)
    note_at: float | None = None
    write_at: float | None = None
    must_write: bool = False
    is_finding_owed: bool = False
    rest_until: float = 0.0


class OrderWorker:
    """Places one order for one crossing, whatever happens in between.

    Without `start` it works inline: `submit`, then `work_off` on the caller's thread.

    Args:
        state: The rows of state.csv by id; owned by this object from now on.
        exchange: Kraken, or None where no trading key was given.
        post: Called with each change of the rule book; must not block.
        say: Called with level, message and fields for what a person should read.
        step: Called at each step of the protocol by its name, for tests that end it there.
    """

    def __init__(
        self,
        state: State,
        files: Files,
        exchange: Exchange | None,
        *,
        clock: Clock,
        say: Say,
        post: Callable[[BookChange], None] = lambda change: None,
        settings: OrderSettings | None = None,
        step: Callable[[str], None] = lambda name: None,
    ) -> None:
        self.state = state
        self.settings = settings or OrderSettings()
        # The orders to watch, by rule id: replaced whole, never changed, so any thread may read.
        self.standing: Mapping[str, str] = {}
        # Answers to orders since the start, for people to look at; written by one thread alone.
        self.answers = dict.fromkeys(("placed", "refused", "uncertain"), 0)
        self._files = files
        self.exchange = exchange
        self._clock = clock
        self._say = say
        self._post = post
        self._step = step
        self._inbox: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._rules: dict[str, AcceptedRule] = {}
        self._unknown_past: set[str] = set()
        self._is_state_torn = False
        self._troubles: dict[str, _Trouble] = {}
        self._duties = _Duties()
        self._line: OrderLine[Crossing] = OrderLine()
        # The rows that were refused for good since the start, as they were then.
        self._given_up: dict[str, str] = {}
        # Crossings that were begun with in this turn, wherever they came from.
        self._in_hand: list[Crossing] = []
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    # --- the thread --------------------------------------------------------------------------

    def start(self) -> None:
        """Start the order thread."""
        # A daemon: a process that is told to end must not hang on an answer from Kraken. What is
        # under way then is an intent in the state file, and the next start settles it.
        self._thread = threading.Thread(target=self._run, name="ttslo-orders", daemon=True)
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        """End the thread once its inbox is empty, and say whether it ended in time. Blocks."""
        self._stopping.set()
        self._inbox.put(None)
        if self._thread is None:
            return True
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def submit(self, message: Message) -> None:
        """Hand over a message. Never blocks; any thread."""
        self._inbox.put(message)

    def work_off(self) -> None:
        """Do what is waiting, on the caller's thread. For programs without an order thread."""
        self._work(self._drain(block_for=0.0))

    def _run(self) -> None:
        while not (self._stopping.is_set() and self._inbox.empty()):
            self._turn(self._drain(self._time_to_next_duty()))
        self._settle_files()
        self._tell_the_end()

    def _turn(self, messages: Sequence[Message]) -> None:
        try:
            self._work(messages)
        except Exception:  # noqa: BLE001 - the thread must outlive every surprise: it holds orders
            _log.exception("The order thread met an error and goes on")
            self._say("ERROR", "Internal error in the order thread; see the traceback above")
            self._take_up([m for m in messages if isinstance(m, Crossing)] + self._in_hand)

    def _take_up(self, crossings: Iterable[Crossing]) -> None:
        """Bring back crossings whose work broke off: none of them may be forgotten."""
        for crossing in crossings:
            try:
                self._take_up_one(crossing)
            except Exception:  # noqa: BLE001 - one that cannot be taken up must not end the thread
                _log.exception("%s: its crossing cannot be taken up again", crossing.key)
                self._say(
                    "ERROR",
                    f"{crossing.key}: it was crossed at {crossing.price_text}, and an internal "
                    "error keeps its order back. See at Kraken whether it has one",
                    id=crossing.key,
                )

    def _take_up_one(self, crossing: Crossing) -> None:
        if self.is_past_unknown(crossing.key):
            return
        life = self.life_of(crossing.key)
        if life.state is RuleState.INTENDED:
            self._put(life.after(Signal.LOSE, detail="an internal error"))
            self._search_for(self.life_of(life.id), is_from_before=False)
        elif self._is_waiting(crossing.key) and crossing.key not in self._line:
            now = self._clock.monotonic()
            trouble = self._troubles.setdefault(life.id, _Trouble())
            trouble.since = now if trouble.since is None else trouble.since
            retry = _Retry(now + self.settings.refusal_wait, crossing)
            self._duties.retries.setdefault(life.id, retry)

    def _tell_the_end(self) -> None:
        """Say which crossings have no order: nobody places them any more."""
        owed = [crossing.key for _, crossing in self._duties.held]
        owed += [i for i, retry in self._duties.retries.items() if retry.crossing is not None]
        names = ", ".join(dict.fromkeys([*self._line, *owed]))
        if names:
            self._say(
                "ERROR",
                f"The program ends, and there is NO ORDER yet for {names}, crossed before. The "
                "next start looks at them again",
            )

    def _drain(self, block_for: float | None) -> list[Message]:
        messages: list[Message] = []
        try:
            first = self._inbox.get(timeout=block_for) if block_for else self._inbox.get_nowait()
            while True:
                if first is not None:
                    messages.append(first)
                first = self._inbox.get_nowait()
        except queue.Empty:
            return messages

    def _time_to_next_duty(self) -> float:
        """Return how long to wait for a message; at most a second, so that a stop is seen."""
        now = self._clock.monotonic()
        due = [search.not_before for search in self._duties.searches.values()]
        due += [retry.at for retry in self._duties.retries.values()]
        due += [moment for moment in (self._line.next_at(),) if moment is not None]
        duties = self._duties
        if duties.must_write:
            due.append(max(duties.rest_until, duties.write_at or 0.0))
        if duties.notes:
            due.append(max(duties.rest_until, duties.note_at or 0.0))
        return max(0.001, min([1.0, *(moment - now for moment in due)]))

    def _work(self, messages: Sequence[Message]) -> None:
        self._in_hand = []
        crossings: list[Crossing] = []
        marks: list[Mark] = []
        for message in messages:
            match message:
                case Crossing():
                    crossings.append(message)
                case Adopt():
                    self._adopt(message)
                case Watched():
                    self._watch(message)
                case FirstCrossing():
                    self._note_first(message)
                case Mark():
                    marks.append(message)
        self.fire(crossings)
        is_owed = self._duties.is_finding_owed or self._has_unwritten_crossing()
        for mark in () if is_owed else marks:
            mark.passed()
        self._move_line()
        self._do_searches()
        self._do_retries()
        if self._inbox.empty():
            self._settle_files()

    def _has_unwritten_crossing(self) -> bool:
        """Tell whether a crossing is known to the memory alone: state.csv holds refused ones."""
        refused = RuleState.REFUSED.value
        return bool(self._duties.held or self._line) or any(
            self.state.get(rule_id, {}).get("rule_state") != refused
            for rule_id, retry in self._duties.retries.items()
            if retry.crossing is not None
        )

    # --- what config.csv says ----------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        """Whether the order thread lives: then nobody else may write the state."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def is_busy(self) -> bool:
        """Whether an order of unknown outcome is still being looked up, or a write is owed."""
        duties = self._duties
        is_writing_owed = duties.write_at is not None or duties.note_at is not None
        return bool(duties.searches or duties.held or self._line) or is_writing_owed

    def is_held_back(self, rule_id: str) -> bool:
        """Tell whether a rule still waits for its next try."""
        retry = self._duties.retries.get(rule_id)
        is_early = retry is not None and retry.at > self._clock.monotonic()
        return is_early or rule_id in self._line

    def is_waiting_for(self, rule: Rule) -> bool:
        """Tell whether this very rule waits for its crossing. Any thread, and cheap."""
        entry, cells = self._rules.get(rule.id), self.state.get(rule.id)
        if entry is None or not cells:
            return False
        is_same = entry.rule is rule or entry.rule == rule
        return is_same and cells.get("rule_state") == RuleState.ARMED

    def has_given_up(self, rule: Rule) -> bool:
        """Tell whether this very rule was refused for good since the start. Any thread."""
        row = self._given_up.get(rule.id)
        return row is not None and row == fingerprint(rule)

    def _is_waiting(self, rule_id: str) -> bool:
        """Tell whether a crossing of the rule may lead to an order."""
        waiting = (RuleState.ARMED, RuleState.REFUSED)
        return not self.is_past_unknown(rule_id) and self.life_of(rule_id).state in waiting

    def life_of(self, rule_id: str) -> Life:
        """Return what is known of a rule.

        Raises:
            UnreadableLife: If its row in state.csv cannot be understood.
        """
        return read_life(rule_id, self.state.get(rule_id, {}))

    def distrust(self, rule_ids: Sequence[str] | None) -> None:
        """Let rules not trade whose past nobody can know; None: all that the state lacks."""
        if rule_ids is None:
            self._is_state_torn = True
        else:
            self._unknown_past.update(rule_ids)

    def is_past_unknown(self, rule_id: str) -> bool:
        """Tell whether nobody can know if the rule has fired."""
        return rule_id in self._unknown_past or (self._is_state_torn and rule_id not in self.state)

    def recover(self) -> None:
        """Take up every intent without an outcome, before anything else may fire."""
        for rule_id in list(self.state):
            try:
                life = self.life_of(rule_id)
            except UnreadableLife as error:
                self._unknown_past.add(rule_id)
                self._say(
                    "ERROR",
                    f"{rule_id}: its row in the state file cannot be understood ({error}). The row "
                    "does not trade. See at Kraken whether it has an order, then delete that row "
                    "of the state file to begin anew",
                    id=rule_id,
                )
                continue
            if self.is_past_unknown(rule_id):
                continue  # `_adopt` says so and keeps it: such a row proves nothing about an order
            if life.is_unsettled:
                self._resume(life)
            elif life.has_fired and not life.noted:
                self._duties.notes.add(rule_id)
            if life.state is RuleState.PLACED and life.order_id:
                self._stand(rule_id, life.order_id)

    def _resume(self, life: Life) -> None:
        if life.state is RuleState.INTENDED:
            life = life.after(Signal.LOSE)
            self._put(life)
        self._say(
            "WARNING",
            f"{life.id}: the program ended while its order was under way. Nothing fires until it "
            "is known whether the order stands; Kraken is being asked",
            id=life.id,
            cl_ord_id=life.cl_ord_id,
        )
        self._search_for(life)

    def _adopt(self, message: Adopt) -> None:
        if self._is_due(self._duties.note_at):
            self._write_notes()
        accepted = {
            rule_id: entry
            for rule_id, entry in message.accepted.items()
            if not self.is_past_unknown(rule_id)
        }
        known = {*message.accepted, *message.undecided, *self.state}
        changed = self._keep_doubts({i for i in known if self.is_past_unknown(i)})
        for rule_id in dict.fromkeys([*self.state, *accepted]):
            entry = accepted.get(rule_id)
            if entry is not None and self._is_as_before(rule_id, entry):
                continue
            if self._stays_given_up(rule_id, entry):
                continue
            if not self.is_past_unknown(rule_id) and rule_id not in message.undecided:
                changed |= self._adopt_one(rule_id, entry, message.read_at)
        kept = {i: entry for i, entry in self._rules.items() if i in message.undecided}
        self._rules = {**kept, **accepted}
        for entry in list(accepted.values())[:1]:
            with suppress(OSError):  # read now what the first crossing would have to wait for
                self._files.current_rule(entry.rule)
        if changed:
            self._write()

    def _stays_given_up(self, rule_id: str, entry: AcceptedRule | None) -> bool:
        """Tell whether a row is still the one that was refused for good."""
        if rule_id not in self._given_up:
            return False
        if entry is not None and not (entry.rule.enabled and self.has_given_up(entry.rule)):
            del self._given_up[rule_id]
        return rule_id in self._given_up

    def _keep_doubts(self, rule_ids: Collection[str]) -> bool:
        """Write into the state that nobody knows the past of these rules: a restart must not."""
        news = [i for i in sorted(rule_ids) if self.state.get(i, {}).get("rule_state") != _DOUBTFUL]
        for rule_id in news:
            self.state.setdefault(rule_id, {"id": rule_id})["rule_state"] = _DOUBTFUL
            self._unknown_past.add(rule_id)
            self._say(
                "ERROR",
                f"{rule_id}: nobody can tell from the state file whether it has fired, so it does "
                "not trade. See at Kraken whether it has an order; to arm it, delete its row of "
                "the state file while the program is stopped",
                id=rule_id,
            )
        return bool(news)

    def _adopt_one(self, rule_id: str, entry: AcceptedRule | None, read_at: float) -> bool:
        """Bring one rule in line with its row; True if its life has changed."""
        life = self.life_of(rule_id)
        self._post_fired(life, entry)
        if life.has_fired and self._duties.noted_at.get(rule_id, read_at - 1) >= read_at:
            return False
        rule = entry.rule if entry and entry.rule.enabled else None
        is_fired = entry.is_fired_in_file if entry else False
        adoption = adoption_of(life, rule, is_fired_in_file=is_fired)
        if adoption is Adoption.EXPLAIN:
            self._explain_rearming(life)
        if adoption is Adoption.NOTE:
            self._duties.notes.add(rule_id)
        if adoption is Adoption.DISARM:
            self._disarm(life)
            return True
        if entry is None or rule is None:
            return False
        return self._adopt_enabled(life, rule, entry.market, adoption)

    def _adopt_enabled(self, life: Life, rule: Rule, market: Market, adoption: Adoption) -> bool:
        if adoption is Adoption.ARM:
            self._post(BookArm(rule, market, self._arm(life, rule).waits_since))
            return True
        if adoption is Adoption.UPDATE:
            self._put(self._updated(life, rule))
            self._troubles.pop(rule.id, None)
            self._forget_crossing(rule.id)
            self._post_arm(rule, market)
            if rule.id in self._rules:
                self._say("INFO", f"{rule.id}: now {rule.condition}", id=rule.id)
            return True
        is_waiting = life.state in (RuleState.ARMED, RuleState.REFUSED)
        if is_waiting and rule.id not in self._rules:
            self._post_arm(rule, market)
            if life.state is RuleState.REFUSED:
                self._owe_again(life, rule)
        return False

    def _disarm(self, life: Life) -> None:
        self._put(life.after(Signal.DISARM, detail="by config.csv"))
        self._post(BookDisarm(life.id))
        retry = self._duties.retries.get(life.id)
        is_owed = retry is not None and retry.crossing is not None
        self._forget_crossing(life.id)
        lost = ", and NO ORDER is placed for its crossing" if is_owed else ""
        self._say("WARNING", f"{life.id}: no longer armed{lost}", id=life.id)

    def _post_fired(self, life: Life, entry: AcceptedRule | None) -> None:
        """Let it be looked up whether what an earlier run fired had been crossed earlier."""
        if entry is None or life.id in self._rules:
            return
        is_same = condition_of(life.row) == condition_of(fingerprint(entry.rule))
        if is_same and life.trigger_time and (life.has_fired or life.is_unsettled):
            since, at, price = life.waits_since, life.trigger_time, life.trigger_price
            is_found = bool(life.crossed_price) and life.crossed_at >= since
            if is_found:
                at, price = life.crossed_at, life.crossed_price
            self._post(BookFired(entry.rule, entry.market, since, at, price, is_found))

    def _note_first(self, found: FirstCrossing) -> None:
        if self.is_past_unknown(found.rule_id):
            return
        life = self.life_of(found.rule_id)
        self._put(replace(life, crossed_price=found.price, crossed_at=found.at))
        self._duties.must_write = self._duties.is_finding_owed = True

    def _owe_again(self, life: Life, rule: Rule) -> None:
        """Take up a crossing that was refused shortly before the program ended."""
        age = self._age_of(life.trigger_time)
        crossing = _crossing_of(life, rule)
        if crossing is not None and age <= self.settings.owed:
            now = self._clock.monotonic()
            self._troubles.setdefault(rule.id, _Trouble()).since = now - age
            self._duties.retries[rule.id] = _Retry(now, crossing)

    def _forget_crossing(self, rule_id: str) -> None:
        duties = self._duties
        duties.retries.pop(rule_id, None)
        duties.held = [(at, crossing) for at, crossing in duties.held if crossing.key != rule_id]
        self._line.leave(rule_id)

    def _is_as_before(self, rule_id: str, entry: AcceptedRule) -> bool:
        """Tell whether a row waits and has not changed, as most have when a file is read again."""
        known = self._rules.get(rule_id)
        is_same = known is not None and (known is entry or known == entry)
        return is_same and entry.rule.enabled and self.is_waiting_for(entry.rule)

    def _post_arm(self, rule: Rule, market: Market) -> None:
        self._post(BookArm(rule, market, self.life_of(rule.id).waits_since))

    def _updated(self, life: Life, rule: Rule) -> Life:
        """Return a waiting life with the row as it is now: no crossing of the old one counts."""
        row = fingerprint(rule)
        is_same = condition_of(life.row) == condition_of(row)
        return life.after(
            Signal.CHANGE,
            row=row,
            row_at=life.waits_since if is_same else self._timestamp(),
            trigger_price="",
            trigger_time="",
            crossed_price="",
            crossed_at="",
            detail="",
        )

    def _explain_rearming(self, life: Life) -> None:
        text = (
            f"{life.id}: enabled in config.csv, but it has fired (order {life.order_id}). To arm "
            "it again, empty its cells order_id, trigger_time and trigger_price"
        )
        self._say_once(life.id, "WARNING", text)

    def ensure_known(self, rule_id: str) -> None:
        """Raise UnreadableLife if nobody can know whether the rule has fired."""
        if self.is_past_unknown(rule_id):
            raise UnreadableLife("nobody can tell whether it has fired")

    def ensure_armed(self, rule: Rule) -> None:
        """Arm `rule` if it is not: for callers that hand in rows one by one.

        Raises:
            UnreadableLife: If nobody can know whether it has fired.
        """
        self.ensure_known(rule.id)
        life = self.life_of(rule.id)
        if life.state is RuleState.DISARMED:
            self._arm(life, rule)

    def _arm(self, life: Life, rule: Rule) -> Life:
        self._troubles.pop(life.id, None)
        if life.state is RuleState.PLACED:
            self._say(
                "WARNING",
                f"{life.id}: armed again. Its earlier order {life.order_id} still stands at Kraken "
                "and is no longer watched",
                id=life.id,
            )
        elif life.has_fired:
            self._say("INFO", f"{life.id}: armed again after order {life.order_id}", id=life.id)
        armed = arm(life, fingerprint(rule), self._timestamp())
        self._put(armed)
        self._stand(life.id, None)
        return armed

    # --- firing ------------------------------------------------------------------------------

    def fire(self, crossings: Sequence[Crossing]) -> None:
        """Place the orders of `crossings`, first come, first served. Blocks."""
        self._in_hand.extend(crossings)
        if crossings and self._must_settle_first():
            self._hold(crossings)
            for crossing in crossings:
                self._say(
                    "ERROR",
                    f"{crossing.rule.id}: {crossing.rule.condition} was crossed at "
                    f"{crossing.price_text}, but WAITS until Kraken has said what became of an "
                    "order from before the start",
                    id=crossing.rule.id,
                )
            return
        for start in range(0, len(crossings), _BURST):
            burst = crossings[start : start + _BURST]
            free = [crossing for crossing in burst if not self._line.is_closed(crossing.pair)]
            self._stand_in_line([crossing for crossing in burst if crossing not in free])
            self._fire_burst(free)

    def _hold(self, crossings: Iterable[Crossing]) -> None:
        now = self._clock.monotonic()
        self._duties.held.extend((now, crossing) for crossing in crossings)

    def _must_settle_first(self) -> bool:
        """Whether an order from before the start is still unsettled and can be looked up."""
        return self._is_recovering and self.exchange is not None and self.exchange.can_find

    @property
    def _is_recovering(self) -> bool:
        return any(search.is_from_before for search in self._duties.searches.values())

    def _fire_burst(self, crossings: Sequence[Crossing]) -> None:
        self._in_hand.extend(crossings)
        before: list[Life] = []
        ready: list[tuple[Crossing, Life]] = []
        for crossing in crossings:
            prepared = self._prepare(crossing)
            if prepared is not None:
                before.append(prepared)
                ready.append((crossing, self._intend(crossing, prepared)))
        if not ready:
            return
        self._step("intending")
        if not self._write_intents([life.id for _, life in ready]):
            self._take_back(before, ready)
            return
        self._step("intended")
        for number, (crossing, life) in enumerate(ready):
            if number and self._line.is_closed(crossing.pair):
                # Kraken has just refused one before it: this one was never sent.
                self._put(before[number])
                self._stand_in_line([crossing])
            else:
                self._send(crossing, life)

    def _prepare(self, crossing: Crossing) -> Life | None:
        """Return the life of a rule that may fire now; None, and said why, if it may not."""
        rule = crossing.rule
        if self.is_past_unknown(rule.id):
            return None
        life = self.life_of(rule.id)
        if life.state not in (RuleState.ARMED, RuleState.REFUSED):
            _log.debug("%s is %s and does not fire", rule.id, life.state)
            return None
        if not self._is_still_wanted(crossing, life):
            return None
        if self.exchange is None:
            self._hold_back(
                life,
                crossing,
                "no trading key: the program watches, but cannot place orders. Set "
                "KRAKEN_API_KEY_RW and KRAKEN_API_SECRET_RW",
                heals=True,
            )
            return None
        return self._if_allowed(crossing, life, self.exchange)

    def _is_still_wanted(self, crossing: Crossing, life: Life) -> bool:
        """Check the row once more as it stands in the file at this moment."""
        rule = crossing.rule
        try:
            current = self._files.current_rule(rule)
        except OSError as error:
            # Protection must not hang on a file that somebody has locked: the row counts as it
            # was when it was last read.
            self._say("WARNING", f"{rule.id}: config.csv cannot be read just now ({error})")
            known = self._rules.get(rule.id)
            current = known.rule if known is not None else rule
        if current is None:
            self._wait_for_row(crossing)
            return False
        if current.enabled and fingerprint(current) == fingerprint(rule):
            return True
        entry = self._rules.get(rule.id)
        if entry is not None and entry.rule == rule:
            del self._rules[rule.id]  # the next reading of the file arms what it then says
        what = "changed" if current.enabled else "disabled"
        self._say(
            "WARNING",
            f"{rule.id}: {rule.condition} was crossed at {crossing.price_text}, but its row was "
            f"{what} in the same moment. No order was placed for the old row",
            id=rule.id,
        )
        return False

    def _wait_for_row(self, crossing: Crossing) -> None:
        """Keep a crossing whose row is gone: the next whole reading of the file decides.

        Some programs save a file in pieces, and what is not there yet is not removed.
        """
        rule, now = crossing.rule, self._clock.monotonic()
        trouble = self._troubles.setdefault(rule.id, _Trouble())
        trouble.since = now if trouble.since is None else trouble.since
        self._duties.retries[rule.id] = _Retry(now + self.settings.write_again, crossing)
        self._say_once(
            rule.id,
            "WARNING",
            f"{rule.id}: {rule.condition} was crossed at {crossing.price_text} while its row was "
            "not in config.csv, or not whole; somebody may be saving it. The order is placed if "
            "the row is there in a moment",
        )

    def _if_allowed(self, crossing: Crossing, life: Life, exchange: Exchange) -> Life | None:
        try:
            market = exchange.market_of(crossing.rule.pair)
            build_order(crossing.rule, market.rest_key, market.lot_decimals)
        except (LookupError, ValueError) as error:
            self._hold_back(life, crossing, str(error), heals=False)
            return None
        except KrakenError as error:
            self._hold_back(life, crossing, str(error), heals=True)
            return None
        objection = market_objection(crossing.rule, market, crossing.price)
        if objection is not None:
            reason, heals = objection
            self._hold_back(life, crossing, reason, heals=heals)
            return None
        return life

    def _intend(self, crossing: Crossing, life: Life) -> Life:
        assert self.exchange is not None  # `_prepare` lets nothing pass without one
        market = self.exchange.market_of(crossing.rule.pair)
        order = build_order(crossing.rule, market.rest_key, market.lot_decimals)
        now = self._timestamp()
        intended = life.after(
            Signal.INTEND,
            order=order,
            intended_at=now,
            deadline=self._deadline(self.exchange),
            sends=life.sends + 1,
            trigger_price=crossing.price_text,
            trigger_time=now,
            detail="",
        )
        self._put(intended)
        return intended

    def _deadline(self, exchange: Exchange) -> str:
        moment = datetime.fromtimestamp(exchange.now() + self.settings.deadline, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def _seconds_to_deadline(self, life: Life, exchange: Exchange) -> float:
        try:
            deadline = datetime.fromisoformat(life.deadline).timestamp()
        except ValueError:
            return float("inf")  # a damaged cell
        return deadline - exchange.now()

    def _take_back(self, before: Sequence[Life], ready: Sequence[tuple[Crossing, Life]]) -> None:
        """Undo intents that could not be written, and fire them again when writing works."""
        for life in before:
            self._put(life)
        self._hold(crossing for crossing, _ in ready)

    def _send(self, crossing: Crossing, life: Life) -> None:
        exchange, order = self.exchange, life.order
        assert exchange is not None
        assert order is not None
        if self._seconds_to_deadline(life, exchange) < _SHORTEST_DEADLINE:
            life = replace(life, deadline=self._deadline(exchange))
            self._put(life)
            if not self._write_intents([life.id]):
                self._put(replace(life, state=RuleState.ARMED, sends=life.sends - 1))
                self._hold([crossing])
                return
        self._step("sending")
        outcome = exchange.place(order, life.cl_ord_id, life.deadline, may_be_resend=life.sends > 1)
        self._step("answered")
        self._settle(crossing, life, outcome)

    # --- the answer --------------------------------------------------------------------------

    def _settle(self, crossing: Crossing, life: Life, outcome: Outcome) -> None:
        if outcome.kind is OutcomeKind.PLACED and outcome.txid:
            self.answers["placed"] += 1
            self._placed(life, outcome.txid, f"{crossing.rule.condition} {crossing.reason} at")
            self._line.passed(crossing.pair)
        elif outcome.kind is OutcomeKind.REFUSED:
            self.answers["refused"] += 1
            if outcome.pause is not None:
                self._paused(crossing, life, outcome, outcome.pause)
            else:
                self._refused(crossing, life, outcome)
        else:
            self.answers["uncertain"] += 1
            self._lost(life, outcome)
        self._duties.must_write = True

    def _placed(self, life: Life, txid: str, why: str, status: str = "open") -> None:
        placed = life.after(
            Signal.PLACE,
            order_id=txid,
            order_status=status,
            activated_on=self._timestamp(),
            detail="",
        )
        self._put(placed)
        self._troubles.pop(life.id, None)
        self._duties.notes.add(life.id)
        self._stand(life.id, txid)
        self._say(
            "INFO",
            f"{life.id}: {why} {life.trigger_price}; order {txid} placed: {life.order}",
            id=life.id,
            order_id=txid,
            trigger_price=life.trigger_price,
        )

    def _refused(self, crossing: Crossing, life: Life, outcome: Outcome) -> None:
        reason = f"Kraken refused {life.order}: {outcome.reason}"
        if outcome.cure:
            reason = f"{reason}. {outcome.cure}"
        if outcome.heals:
            self._put(life.after(Signal.REFUSE, detail=outcome.reason))
        self._hold_back(self.life_of(life.id), crossing, reason, heals=outcome.heals)

    def _paused(self, crossing: Crossing, life: Life, outcome: Outcome, pause: Pause) -> None:
        """Let a crossing whose order came too fast wait its turn."""
        self._put(life.after(Signal.REFUSE, detail=outcome.reason))
        now = self._clock.monotonic()
        trouble = self._troubles.setdefault(life.id, _Trouble())
        trouble.since = now if trouble.since is None else trouble.since
        self._line.close(crossing.pair, pause, now)
        self._line.stand_first(crossing, trouble.since)
        self._say_once(
            life.id,
            "ERROR",
            f"{life.id}: {crossing.rule.condition} was crossed at {crossing.price_text}, and "
            f"Kraken takes no more {pause.value} for now: {outcome.reason}. It waits in line, and "
            "is placed as soon as Kraken allows it",
        )

    def _stand_in_line(self, crossings: Sequence[Crossing]) -> None:
        now = self._clock.monotonic()
        for crossing in crossings:
            if crossing.key not in self._line and self._is_waiting(crossing.key):
                self._line.stand(crossing, now)
                self._say(
                    "WARNING",
                    f"{crossing.key}: {crossing.rule.condition} was crossed at "
                    f"{crossing.price_text} and waits in line, for Kraken takes about one order a "
                    f"second on {crossing.pair} now; {len(self._line) - 1} are before it",
                    id=crossing.key,
                )

    def _move_line(self) -> None:
        """Fire those whose turn it is; whoever waited very long must be met by today's price."""
        if self._must_settle_first():
            return
        now = self._clock.monotonic()
        for since, crossing in self._line.let_through(now):
            entry = self._rules.get(crossing.key)
            if now - since <= self.settings.in_line or entry is None:
                self._fire_burst([crossing])
            elif entry.rule.enabled:
                self._troubles.pop(crossing.key, None)
                self._give_back(crossing, entry, now - since)

    def _give_back(self, crossing: Crossing, entry: AcceptedRule, waited: float) -> None:
        """Let a crossing that waited very long be met by today's price again, and say so."""
        self._say(
            "ERROR",
            f"{crossing.key}: its order waited {waited:.0f} s since {crossing.rule.condition} was "
            f"crossed at {crossing.price_text}. It is placed only if its threshold is met now, or "
            "once it is met again",
            id=crossing.key,
        )
        self._post_arm(entry.rule, entry.market)

    def _hold_back(self, life: Life, crossing: Crossing, reason: str, *, heals: bool) -> None:
        """Let a rule that cannot fire now try again later, or disarm it where time cannot heal."""
        rule_id = life.id
        if not heals:
            self._put(life.after(Signal.DISARM, detail=reason))
            self._given_up[rule_id] = fingerprint(crossing.rule)
            self._duties.must_write = True
            self._say(
                "ERROR",
                f"{rule_id}: NOT PROTECTED. {crossing.rule.condition} was crossed at "
                f"{crossing.price_text}, and no order could be placed: {reason}. The row is "
                "disarmed until you change it or start the program again",
                id=rule_id,
            )
            return
        trouble = self._troubles.setdefault(rule_id, _Trouble())
        trouble.count += 1
        wait = refusal_wait(trouble.count, self.settings)
        now = self._clock.monotonic()
        trouble.since = now if trouble.since is None else trouble.since
        self._duties.retries[rule_id] = _Retry(now + wait, crossing)
        text = (
            f"{rule_id}: {crossing.rule.condition} was crossed at {crossing.price_text}, and no "
            f"order could be placed: {reason}. It is tried again; after {self.settings.owed:.0f} s "
            "only while the threshold is met"
        )
        if trouble.said != reason:
            trouble.said = reason
            self._say("ERROR", text, id=rule_id)

    def _lost(self, life: Life, outcome: Outcome) -> None:
        uncertain = life.after(Signal.LOSE, detail=outcome.reason)
        self._put(uncertain)
        asks = "Kraken is being asked; nothing is sent again before it is known"
        if self.exchange is None or not self.exchange.can_find:
            asks = (
                "Look at Kraken's open orders yourself; to arm the row again, delete its row of "
                "the state file"
            )
        self._say(
            "ERROR",
            f"{life.id}: UNCERTAIN whether the order {life.order} was placed "
            f"({outcome.reason}). {asks}",
            id=life.id,
            cl_ord_id=life.cl_ord_id,
        )
        self._search_for(uncertain, is_from_before=False)

    # --- settling the unknown ----------------------------------------------------------------

    def _search_for(self, life: Life, *, is_from_before: bool = True) -> None:
        if self.exchange is None or not self.exchange.can_find:
            if self.exchange is None:
                self._say(
                    "ERROR",
                    f"{life.id}: without a trading key it cannot be settled whether its order "
                    "stands. The row does not trade until then",
                    id=life.id,
                )
            return
        # Where it seems to be longer, a clock was set: the look itself asks Kraken for the time.
        wait = min(self._seconds_to_deadline(life, self.exchange), self.settings.deadline)
        search = begin_search(wait, self._clock.monotonic(), self.settings)
        self._duties.searches[life.id] = replace(search, is_from_before=is_from_before)

    def _do_searches(self) -> None:
        now = self._clock.monotonic()
        due = [i for i, search in self._duties.searches.items() if search.not_before <= now]
        for rule_id in due:
            if self.exchange is not None:
                self._look_for(self.life_of(rule_id), self.exchange)
        if due and self._duties.held and not self._must_settle_first():
            self._fire_held()

    def _fire_held(self) -> None:
        """Fire what had to wait; what waited long must be met by today's price again."""
        held, self._duties.held = self._duties.held, []
        now = self._clock.monotonic()
        self.fire([crossing for at, crossing in held if now - at <= self.settings.owed])
        for at, crossing in held:
            entry = self._rules.get(crossing.rule.id)
            if now - at > self.settings.owed and entry is not None and entry.rule.enabled:
                self._give_back(crossing, entry, now - at)

    def _look_for(self, life: Life, exchange: Exchange) -> None:
        search = self._duties.searches[life.id]
        self._step("looking")
        try:
            assert life.order is not None  # `read_life` takes no unsettled life without one
            sighting = exchange.find(life.cl_ord_id, life.order)
        except Exception as error:  # noqa: BLE001 - an answer that no code expected says nothing
            now = self._clock.monotonic()
            self._duties.searches[life.id] = after_silence(search, now, self.settings)
            self._say_once(
                life.id,
                "WARNING",
                f"{life.id}: still uncertain, Kraken cannot be asked: {error}",
            )
            return
        if sighting is None and 0 < self._seconds_to_deadline(life, exchange) <= _LONGEST_DEADLINE:
            # Kraken's clock, read during the look, says that a late copy can still arrive.
            self._search_for(life, is_from_before=search.is_from_before)
            return
        now = self._clock.monotonic()
        verdict, again = after_look(search, sighting, now, self.settings)
        self._step("looked")
        if verdict is Verdict.LOOK_AGAIN:
            self._duties.searches[life.id] = again
            return
        del self._duties.searches[life.id]
        self._troubles.pop(life.id, None)
        self._duties.must_write = True
        if sighting is not None:
            self._adopt_order(life, sighting)
        else:
            self._not_placed(life)

    def _adopt_order(self, life: Life, sighting: Sighting) -> None:
        self._placed(life, sighting.txid, "found at Kraken after", sighting.status)
        self._watch(Watched({life.id: sighting}))

    def _not_placed(self, life: Life) -> None:
        """Settle that no order stands: the crossing is still owed its one order."""
        self._put(life.after(Signal.MISS, detail="not placed"))
        entry = self._rules.get(life.id)
        crossing = _crossing_of(life, entry.rule) if entry is not None else None
        said = f"{life.id}: Kraken has no order for it, so none was placed"
        if entry is None or not entry.rule.enabled:
            self._say("WARNING", f"{said}, and its row is not armed any more", id=life.id)
        elif fingerprint(entry.rule) != life.row:
            self._put(self._updated(self.life_of(life.id), entry.rule))
            self._say("WARNING", f"{said}; its row has changed and is armed as it is", id=life.id)
            self._post_arm(entry.rule, entry.market)
        elif crossing is None or self._age_of(life.trigger_time) > self.settings.owed:
            self._say("WARNING", f"{said}; it is if the threshold is still met", id=life.id)
            self._post_arm(entry.rule, entry.market)
        else:
            self._say("WARNING", f"{said}; it is placed now", id=life.id)
            self.fire([crossing])

    def _age_of(self, moment: str) -> float:
        try:
            # A moment to come is as doubtful as one long ago: this machine's clock was set.
            return abs((self._clock.utc() - datetime.fromisoformat(moment)).total_seconds())
        except (ValueError, TypeError):
            return float("inf")

    # --- watching the order ------------------------------------------------------------------

    def _watch(self, message: Watched) -> None:
        for rule_id, sighting in message.sightings.items():
            life = self.life_of(rule_id)
            is_known = (life.order_status, life.vol_exec) == (sighting.status, sighting.vol_exec)
            if life.state is not RuleState.PLACED or life.order_id != sighting.txid:
                continue
            if is_known and not sighting.is_final:
                continue
            seen = replace(
                life,
                order_status=sighting.status,
                vol_exec=sighting.vol_exec,
                fill_price=sighting.price,
                detail=sighting.reason,
            )
            self._put(seen.after(Signal.CLOSE) if sighting.is_final else seen)
            if sighting.is_final:
                self._stand(rule_id, None)
            self._duties.must_write = True
            self._tell_of(life, sighting)

    def _tell_of(self, life: Life, sighting: Sighting) -> None:
        executed = sighting.has_executed
        what = f"{life.id}: order {sighting.txid}"
        if sighting.status == "closed":
            text, level = f"{what} is filled: {sighting.vol_exec} at {sighting.price}", "INFO"
        elif sighting.is_final:
            why = f" ({sighting.reason})" if sighting.reason else ""
            part = f" after {sighting.vol_exec} were filled" if executed else ""
            text = f"{what} was {sighting.status}{why}{part}. The position is no longer protected"
            level = "ERROR"
        elif executed:
            text, level = f"{what} is partly filled: {sighting.vol_exec}", "INFO"
        else:
            return
        self._say(level, text, id=life.id, order_id=sighting.txid, vol_exec=sighting.vol_exec)

    def _stand(self, rule_id: str, txid: str | None) -> None:
        """Note that an order stands at Kraken, or no longer does."""
        if txid is None and rule_id not in self.standing:
            return
        standing = dict(self.standing)  # 3 us for a thousand, beside a call to Kraken
        standing.pop(rule_id, None)
        if txid is not None:
            standing[rule_id] = txid
        self.standing = standing

    # --- retries and files -------------------------------------------------------------------

    def _do_retries(self) -> None:
        now = self._clock.monotonic()
        due = {i: retry for i, retry in self._duties.retries.items() if retry.at <= now}
        for rule_id, retry in due.items():
            del self._duties.retries[rule_id]
            entry = self._rules.get(rule_id)
            trouble = self._troubles.get(rule_id, _Trouble())
            is_owed = trouble.since is not None and now - trouble.since <= self.settings.owed
            if retry.crossing is not None and is_owed:
                self.fire([retry.crossing])  # a spike is why the rule exists: it need not last
            elif entry is not None and entry.rule.enabled:
                trouble.since = None
                self._post_arm(entry.rule, entry.market)

    def _settle_files(self) -> None:
        """Bring both files up to date, unless the last try is still too fresh."""
        duties = self._duties
        began = self._clock.monotonic()
        is_ending = self._thread is None or self._stopping.is_set()
        if began < duties.rest_until and not is_ending:
            return
        self._write_files()
        took = self._clock.monotonic() - began
        duties.rest_until = began + max(0.0, took - _SHORT_WRITE) * _REST_PER_WRITE
        if duties.held and duties.write_at is None and not self._must_settle_first():
            self._fire_held()

    def _write_files(self) -> None:
        duties = self._duties
        if duties.notes and self._is_due(duties.note_at):
            self._write_notes()
        if not self._is_due(duties.write_at):
            return
        if duties.must_write or duties.write_at is not None:
            self._write()

    def _is_due(self, moment: float | None) -> bool:
        return moment is None or self._clock.monotonic() >= moment

    def _write_notes(self) -> None:
        lives = [self.life_of(rule_id) for rule_id in sorted(self._duties.notes)]
        if not lives:
            return
        self._step("noting")
        try:
            left_out = self._files.note_orders(lives)
        except (OSError, ValueError) as error:
            self._cannot_note(lives, error)
            return
        self._step("noted")
        if self._duties.note_at is not None:
            self._say("WARNING", "config.csv can be written again, and names the orders")
        self._duties.note_at = None
        self._troubles.pop(_NOTES, None)
        now = self._clock.monotonic()
        for life in lives:
            self._duties.noted_at[life.id] = now
            if life.id not in left_out:
                self._put(replace(life, noted=True))
                continue
            # It is owed until the row comes back: taken for noted, it would be armed again then.
            self._say_once(
                life.id,
                "WARNING",
                f"{life.id}: its row is not in config.csv just now, or not whole, so its order "
                f"{life.order_id} is not noted there. It does not fire again; where the row comes "
                "back, the order is noted then",
            )
        self._duties.notes.clear()
        self._duties.must_write = True

    def _write_intents(self, rule_ids: Sequence[str]) -> bool:
        """Write down durably what is about to be sent; False, and said, if that failed."""
        try:
            self._files.save_intents(self.state, rule_ids)
        except OSError as error:
            self._cannot_write(error)
            return False
        # Said of the journal alone, not of state.csv, which is owed its own write.
        self._duties.must_write = True
        return True

    def _write(self) -> bool:
        """Write state.csv durably; False, and said, if that failed."""
        try:
            self._files.save_state(self.state)
        except OSError as error:
            self._cannot_write(error)
            return False
        self._step("written")
        if self._duties.write_at is not None:
            self._say("WARNING", "The state file can be written again")
            self._troubles.pop(_STATE, None)
        self._duties.write_at = None
        self._duties.must_write = self._duties.is_finding_owed = False
        return True

    def _cannot_write(self, error: OSError) -> None:
        self._duties.must_write = True
        self._duties.write_at = self._clock.monotonic() + self.settings.write_again
        self._say_once(
            _STATE,
            "ERROR",
            f"The state file CANNOT BE WRITTEN: {_reason_of(error)}. No order is placed that "
            "cannot be written down first; free the disk or mend its permissions, the program goes "
            "on trying",
        )

    def _cannot_note(self, lives: Sequence[Life], error: Exception) -> None:
        trouble = self._troubles.setdefault(_NOTES, _Trouble())
        trouble.count += 1
        wait = refusal_wait(trouble.count, self.settings)
        self._duties.note_at = self._clock.monotonic() + wait
        names = ", ".join(f"{life.id} ({life.order_id})" for life in lives)
        self._say_once(
            _NOTES,
            "ERROR",
            f"config.csv CANNOT BE WRITTEN: {_reason_of(error)}. It does not name yet what has "
            f"fired: {names}. The state file does, and they do not fire again; the program goes on "
            "trying",
        )

    def _put(self, life: Life) -> None:
        cells = self.state.setdefault(life.id, {})
        # Rules that wait have mostly empty cells, and of 100,000 rules these alone fill 60 MB;
        # the file has them all the same.
        cells.update(
            (name, text)
            for name, text in cells_of(life).items()
            if text or name in cells or name in STATE_CONTRACT
        )

    def _say_once(self, key: str, level: str, text: str) -> None:
        """Say a sentence once, until another one on the same subject takes its place."""
        trouble = self._troubles.setdefault(key, _Trouble())
        if trouble.said != text:
            trouble.said = text
            self._say(level, text)

    def _timestamp(self) -> str:
        return self._clock.utc().isoformat(timespec="milliseconds")


def _reason_of(error: Exception) -> str:
    """Return what went wrong, without the name of the temporary file: that differs each time."""
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _crossing_of(life: Life, rule: Rule) -> Crossing | None:
    """Return the crossing that `life` has written down; None if its price cannot be read."""
    try:
        price = to_positive_decimal(life.trigger_price)
    except ValueError:
        return None
    return Crossing(rule, price, life.trigger_price)
