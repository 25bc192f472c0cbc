"""From a crossing to Kraken's answer: the order is built once, written down, sent once, settled.

What must never happen here: that an order is sent whose intent is not durably written, or a
second one while the first may stand. Between a crossing and its order stand one look at its row
in config.csv and one durable write, and no call to Kraken; between two orders of one burst stands
nothing, as their intents are written together, and those of one pair go in one request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from krakenlink.errors import KrakenError
from krakenlink.rest.answers import Outcome
from krakenlink.rest.request import MOST_ORDERS
from krakenlink.rest.verdicts import OutcomeKind, Pause
from ttslo_app.clocks import utc_iso
from ttslo_app.messages import Crossing, Sighting
from ttslo_app.orders import trouble_words, words
from ttslo_app.orders.amounts import NotEnough
from ttslo_app.orders.builder import Builder
from ttslo_app.orders.key_keeper import KeyKeeper
from ttslo_app.orders.life import LATE, STANDS, Life, RuleState, Signal
from ttslo_app.orders.owed import OF_KEY, Why
from ttslo_app.orders.ports import OrderSent, Tools
from ttslo_app.orders.request import OrderRequest, fingerprint
from ttslo_app.orders.spellings import PresentRows

# Intents of one burst are written together: as many as two full batches of one pair. After a crash
# Kraken is asked for each of them that was not answered, so they are not many more.
_BURST = 2 * MOST_ORDERS
# Kraken refuses deadlines closer than 2 s; an intent that waited this long is written anew.
_SHORTEST_DEADLINE = 2.5
_NOTHING_SENT = Outcome(OutcomeKind.REFUSED, heals=True)


@dataclass(frozen=True, slots=True)
class _Intent:
    """An order that is about to be sent.

    Attributes:
        before: The life of its rule before, in case that it is not sent after all.
        life: The life with the intent, as it is written down.
        deadline: What `life.deadline` says, in seconds since 1970 by Kraken's clock.
    """

    crossing: Crossing
    before: Life
    life: Life
    order: OrderRequest
    deadline: float


class Scribe(Protocol):
    """What the desk needs of whoever writes the files."""

    def write_intents(self, rule_ids: Sequence[str]) -> bool:
        """Make the rows of some rules durable; False, and said, if that failed."""
        ...

    def placed(self, life: Life, txid: str, why: str) -> None:
        """Take the life of a rule whose order stands, its txid and why it was placed."""
        ...


class Desk:
    """Places the orders of crossings. For the order thread.

    Args:
        tools: What every part has in hand.
        clerk: Writes down what must outlive the program.
        lost: Takes a life of whose order nobody knows whether it stands.
        is_alone: Tells of a crossing whether no other row of its group may have an order; where one
            may, the crossing waits.

    Attributes:
        answers: Answers to orders since the start, for people to look at.
        key: Sees to the trading key.
    """

    def __init__(
        self,
        tools: Tools,
        clerk: Scribe,
        lost: Callable[[Life], None],
        is_alone: Callable[[Crossing], bool] = lambda crossing: True,
    ) -> None:
        self.answers = dict.fromkeys(("placed", "refused", "uncertain"), 0)
        self._tools = tools
        self._ledger, self._owed, self._teller = tools.ledger, tools.owed, tools.teller
        self._write_intents = clerk.write_intents
        self._placed = clerk.placed
        self._lost = lost
        self._is_alone = is_alone
        self.key = KeyKeeper(tools)
        self._builder = Builder(tools)

    def prepare(self) -> None:
        """Work out now what crossings of rows as they are now would have to wait for."""
        self._builder.prepare()

    def fire(self, crossings: Sequence[Crossing]) -> None:
        """Place the orders of `crossings`, first come, first served. Blocks.

        All of them were taken by the waiting room; each leaves it, or waits there, afterwards.
        """
        plain = [one for one in crossings if one.rule.terms.share is None]
        for start in range(0, len(plain), _BURST):
            self.place([one for one in plain[start : start + _BURST] if self._may_go(one)])
        # Each is weighed once the order before it has taken its part, and holds up no plain row.
        for one in crossings:
            if one.rule.terms.share is not None and self._may_go(one):
                self.place([one])

    def _may_go(self, crossing: Crossing) -> bool:
        return not self._must_wait(crossing) and not self._must_rest(crossing)

    def place(self, crossings: Iterable[Crossing]) -> None:
        """Place the orders of one burst, whether or not Kraken's pace lets others pass. Blocks."""
        tools = self._tools
        rows = PresentRows(tools.files)
        alone = filter(self._is_alone, crossings)
        tried = (self._intend(crossing, rows) for crossing in alone)
        intents = [one for one in tried if one is not None]
        if not intents:
            return
        tools.step("intending")
        if not self._write_intents([one.life.id for one in intents]):
            for one in intents:
                self._take_back(one, Why.DISK)
            return
        tools.step("intended")
        self._send_all(_batches(intents))

    def _send_all(self, batches: Iterable[Sequence[_Intent]]) -> None:
        """Send batches of one pair each, one after the other, as long as Kraken takes them."""
        for number, batch in enumerate(batches):
            if not number or not self._is_held_up(batch[0].crossing):
                self._send(batch)
                continue
            for one in batch:
                # Kraken has just refused one before it: this one was never sent, or taken.
                self._ledger.put(one.before)
                self._must_wait(one.crossing)

    def _is_held_up(self, crossing: Crossing) -> bool:
        return self._owed.key.is_shut or self._owed.is_closed(crossing.pair)

    def _must_rest(self, crossing: Crossing) -> bool:
        """Let a crossing wait whose order was sent again and again, and never stood."""
        rests_until = self._owed.rests_until(crossing.key)
        if rests_until <= self._tools.now() or not self._ledger.is_waiting(crossing.key):
            return False
        self._owed.wait(crossing, Why.HEALING, rests_until)
        return True

    def _must_wait(self, crossing: Crossing) -> bool:
        """Let a crossing wait whose order would be refused, whatever it is."""
        if not self._is_held_up(crossing):
            return False
        if not self._ledger.is_waiting(crossing.key):
            self._owed.settle(crossing.key)
        elif self._owed.key.is_shut:
            self.key.let_wait(crossing)
        else:
            self._stand_in_line(crossing)
        return True

    def _stand_in_line(self, crossing: Crossing) -> None:
        before = self._owed.count(Why.PACE)
        self._owed.wait(crossing, Why.PACE)
        self._teller.tell(words.stands_in_line(crossing, before))

    def _take_back(self, one: _Intent, why: Why) -> None:
        """Undo an intent that could not be written; its crossing is fired again."""
        self._ledger.put(one.before)
        self._owed.wait(one.crossing, why)
        said = trouble_words.no_order_yet(one.crossing, trouble_words.DISK)
        self._teller.tell_once(one.crossing.key, said)

    # --- the intent --------------------------------------------------------------------------

    def _intend(self, crossing: Crossing, rows: PresentRows) -> _Intent | None:
        """Return the intent of a rule that may fire now; None, and said why, if it may not."""
        life = self._life_of(crossing)
        if life is None or self._builder.is_too_late(crossing, life):
            self._owed.settle(crossing.key)
            return None
        order = self._order_of(crossing, life) if self._is_still_wanted(crossing, rows) else None
        if order is None:
            return None
        # The moment of the crossing, not of this try: its age tells whether it is still owed.
        age = 0.0 if crossing.seen_at is None else self._tools.now() - crossing.seen_at
        deadline = self._deadline()
        intended_at, crossed_at = self._tools.moments.now_and_before(age)
        intended = life.after(
            Signal.INTEND,
            order=order,
            intended_at=intended_at,
            deadline=_as_text(deadline),
            sends=life.sends + 1,
            sent_by=self._tools.key_mark,
            doubt="",
            letters=self._spellings_of(crossing.key, rows),
            trigger_price=crossing.price_text,
            trigger_time=crossed_at,
            detail="",
        )
        self._ledger.put(intended)
        return _Intent(crossing, life, intended, order, deadline)

    def _life_of(self, crossing: Crossing) -> Life | None:
        """Return the life of a rule whose crossing may lead to an order; None of any other."""
        if self._ledger.is_past_unknown(crossing.key):
            return None
        life = self._ledger.life_of(crossing.key)
        return life if life.is_waiting else None

    def _is_still_wanted(self, crossing: Crossing, rows: PresentRows) -> bool:
        """Check the row once more as it stands in the file at this moment."""
        rule, known = crossing.rule, self._ledger.rules.get(crossing.key)
        try:
            current = rows.rule_of(rule)
        except OSError as error:
            # Protection must not hang on a file that somebody has locked: the row counts as it
            # was when it was last read.
            self._teller.tell(words.cannot_be_read(rule.id, error))
            current = known.rule if known is not None else rule
        if current is None:
            # Some programs save a file in pieces, and what is not there yet is not removed: the
            # next whole reading of the file decides.
            again = self._tools.now() + self._tools.settings.write_again
            self._owed.wait(crossing, Why.ROW, again)
            self._teller.tell_once(rule.id, words.row_missing(crossing))
            return False
        is_same = current is rule or current == rule or fingerprint(current) == fingerprint(rule)
        if current.enabled and is_same:
            return True
        if known is not None and known.rule == rule:
            del self._ledger.rules[rule.id]  # the next reading of the file arms what it then says
        self._owed.settle(rule.id)
        self._teller.tell(words.changed_meanwhile(crossing, current))
        return False

    def _spellings_of(self, rule_id: str, rows: PresentRows) -> str:
        return rows.spellings_of(rule_id, self._ledger.rules.get(rule_id), self._builder.letters)

    def _order_of(self, crossing: Crossing, life: Life) -> OrderRequest | None:
        """Return the order of a crossing, built once; None, and said why, if there can be none."""
        exchange = self._tools.exchange
        if exchange is None:
            self._hold_back(crossing, words.NO_KEY)
            return None
        try:
            order = self._builder.build(crossing, life, exchange)
        except NotEnough as error:
            self._hold_back(crossing, str(error))
            return None
        except (LookupError, ValueError) as error:
            self._give_up(crossing, life, str(error))
            return None
        except KrakenError as error:
            self._hold_back(crossing, str(error))
            return None
        # Whether the volume is enough is Kraken's to say: a kept listing may be out of date.
        return order

    def _kraken_now(self) -> float:
        assert self._tools.exchange is not None  # `_order_of` lets nothing pass without one
        return self._tools.exchange.now()

    def _deadline(self) -> float:
        return self._kraken_now() + self._tools.settings.deadline

    def _in_time(self, batch: Sequence[_Intent]) -> Sequence[_Intent]:
        """Return intents whose deadlines Kraken takes; none if new ones cannot be written."""
        if min(one.deadline for one in batch) - self._kraken_now() >= _SHORTEST_DEADLINE:
            return batch
        deadline = self._deadline()
        text = _as_text(deadline)
        anew = [
            replace(one, life=one.life._replace(deadline=text), deadline=deadline) for one in batch
        ]
        for one in anew:
            self._ledger.put(one.life)
        if self._write_intents([one.life.id for one in anew]):
            return anew
        for one in anew:
            # Nothing was sent. The disk holds the intent as it was: after a crash it is looked up.
            unsent = one.life._replace(state=RuleState.ARMED, sends=one.life.sends - 1)
            self._take_back(replace(one, before=unsent), Why.DISK)
        return ()

    # --- the answer --------------------------------------------------------------------------

    def _send(self, intents: Sequence[_Intent]) -> None:
        """Send orders of one pair in one request, and settle each of them."""
        batch = self._in_time(intents)
        if not batch:
            return
        exchange = self._tools.exchange
        assert exchange is not None  # `_order_of` lets nothing pass without one
        # Of one request the first deadline counts: no order can be taken after its own.
        first = min(batch, key=lambda one: one.deadline).life
        outcomes: Sequence[Outcome] | None
        self._tools.step("sending")
        if len(batch) > 1:
            sent = [OrderSent(one.order, one.life.cl_ord_id) for one in batch]
            outcomes = exchange.place_batch(sent, first.deadline)
        else:
            outcomes = [exchange.place(batch[0].order, first.cl_ord_id, first.deadline)]
        if outcomes is None:
            self._send_all([one] for one in batch)
            return
        self._tools.step("answered")
        self._settle_all(batch, outcomes)

    def _settle_all(self, batch: Sequence[_Intent], outcomes: Sequence[Outcome]) -> None:
        is_paused = False
        for one, outcome in zip(batch, outcomes, strict=True):
            is_for_pause = outcome.kind is OutcomeKind.REFUSED and outcome.pause is not None
            if is_for_pause and is_paused:
                # One answer is one refusal: the gate that it closed is not closed once more.
                self.answers["refused"] += 1
                self._ledger.put(one.life.after(Signal.REFUSE, detail=outcome.reason))
                self._ledger.must_write = True
                self._must_wait(one.crossing)
            else:
                self._settle(one.crossing, one.life, self._believed(one.life, outcome))
            is_paused |= is_for_pause

    def _believed(self, life: Life, outcome: Outcome) -> Outcome:
        """Return an outcome, or doubt where the answer is about the order of another row."""
        # What else takes orders may have one id for all of them.
        if not self._tools.can_find or outcome.txid not in self._ledger.standing.values():
            return outcome
        assert outcome.txid is not None
        other = self._tools.other_row(life.id, Sighting(outcome.txid, ""))
        if other is None:
            return outcome
        return Outcome(OutcomeKind.UNKNOWN, reason=str(other), is_late=True)

    def _settle(self, crossing: Crossing, life: Life, outcome: Outcome) -> None:
        if outcome.kind is OutcomeKind.PLACED and outcome.txid:
            self.answers["placed"] += 1
            self._placed(life, outcome.txid, f"{crossing.rule.condition} {crossing.reason} at")
            self._owed.settle(crossing.key)
            self._owed.passed(crossing.pair)
            self.key.passed()
        elif outcome.kind is OutcomeKind.REFUSED:
            self.answers["refused"] += 1
            self._refused(crossing, life, outcome)
        else:
            self.answers["uncertain"] += 1
            self._uncertain(crossing, life, outcome)
        self._ledger.must_write = True

    def _refused(self, crossing: Crossing, life: Life, outcome: Outcome) -> None:
        if self._builder.does_without_index(crossing, life, outcome):
            self._ledger.put(life.after(Signal.REFUSE, detail=outcome.reason))
            self._owed.wait(crossing, Why.HEALING, self._tools.now())
            return
        if outcome.heals or outcome.pause is not None:
            life = life.after(Signal.REFUSE, detail=outcome.reason)
            self._ledger.put(life)
        if outcome.pause in OF_KEY:
            self.key.shut(outcome, life.order)
            self.key.let_wait(crossing)
        elif outcome.pause is not None:
            self._paused(crossing, outcome.pause, outcome.reason)
        elif outcome.heals:
            self._hold_back(crossing, words.refusal(life, outcome), outcome)
        else:
            self._give_up(crossing, life, words.refusal(life, outcome))

    def _paused(self, crossing: Crossing, pause: Pause, reason: str) -> None:
        """Let a crossing whose order came too fast wait its turn."""
        self._owed.close(crossing.pair, pause, self._tools.now())
        self._owed.stand_first(crossing)
        self._teller.tell_once(crossing.key, words.stands_first(crossing, pause, reason))

    # --- what is not placed ------------------------------------------------------------------

    def _hold_back(self, crossing: Crossing, reason: str, outcome: Outcome = _NOTHING_SENT) -> None:
        """Let a rule that cannot fire now try again later."""
        if outcome.is_overdue:
            self._owed.overdue(crossing, self._tools.now())
        else:
            self._owed.refuse(crossing, self._tools.now(), is_slow=outcome.is_slow)
        said = words.held_back(crossing, reason, self._tools.settings.owed)
        self._teller.tell_once(crossing.key, said, news=reason)

    def _give_up(self, crossing: Crossing, life: Life, reason: str) -> None:
        """Disarm a rule that cannot fire, and that time cannot heal."""
        self._ledger.put(life.after(Signal.DISARM, detail=reason, armed_by="", handed=""))
        self._ledger.give_up(crossing.rule)
        self._ledger.must_write = True
        self._owed.settle(crossing.key)
        self._teller.tell(words.given_up(crossing, reason))

    def _uncertain(self, crossing: Crossing, life: Life, outcome: Outcome) -> None:
        doubt = STANDS if outcome.stands else LATE if outcome.is_late else ""
        lost = life.after(Signal.LOSE, detail=outcome.reason, doubt=doubt)
        self._ledger.put(lost)
        self._owed.settle(crossing.key)
        can_find = self._tools.can_find
        self._teller.tell(words.uncertain(lost, outcome.reason, can_find=can_find))
        self._lost(lost)


def _batches(intents: Iterable[_Intent]) -> list[list[_Intent]]:
    """Return intents as they are sent together: of one pair, first come, first served."""
    batches: list[list[_Intent]] = []
    open_ones: dict[str, list[_Intent]] = {}
    for one in intents:
        batch = open_ones.get(one.order.pair)
        if batch is None or len(batch) == MOST_ORDERS:
            batch = open_ones[one.order.pair] = []
            batches.append(batch)
        batch.append(one)
    return batches


def _as_text(moment: float) -> str:
    """Return seconds since 1970 as Kraken takes a deadline."""
    return utc_iso(moment, zone="Z")
