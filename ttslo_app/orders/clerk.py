"""What has become of orders, into state.csv and config.csv.

The facts of a placed order need not be written at once, because its intent already finds it again
after a crash. What must never happen here: that a write which failed counts as done, or that a
row which could not be told of its order counts as told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ttslo_app.clocks import nanoseconds, outlasts
from ttslo_app.messages import FirstCrossing, Sighting, Streamed, Watched
from ttslo_app.orders import trouble_words, words
from ttslo_app.orders.life import Life, RuleState, Signal
from ttslo_app.orders.owed import refusal_wait
from ttslo_app.orders.ports import Tools
from ttslo_app.orders.request import fingerprint, letters_of
from ttslo_app.orders.spellings import is_spelt, spelt
from ttslo_app.orders.streamed import doubt_of, filled_of, is_finished, sighting_of

# Files that take long to write, of thousands of rules, take at most a twentieth of this thread's
# time: a crossing must find it free, and what a crash needs is in the journal of intents. A disk
# that stood still for seconds once may not do so again, so no rest is longer than the third.
_REST_PER_WRITE, _SHORT_WRITE, _MOST_REST = 20.0, 0.02, 30.0
# How long notes wait at most for whoever saves config.csv at that moment, and how long until it is
# looked again, in seconds.
_MOST_PATIENCE, _GLANCE = 30.0, 0.1
# The same for the last notes of a program that ends: 1.5 s in all.
_LAST_GLANCES, _LAST_GLANCE = 30, 0.05
# How often rows are looked at before their note, while each look shows them in new letters.
_MOST_LOOKS = 3
# Subjects of sentences that are said once; no rule's id holds a blank.
_STATE, _NOTES = "the state file", "config.csv notes"


class Clerk:
    """Keeps both files up to date. For the order thread.

    Args:
        tools: What every part has in hand.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._ledger, self._teller = tools.ledger, tools.teller
        # When a file that could not be written is tried again; None while it could be.
        self._write_at: float | None = None
        self._note_at: float | None = None
        self._failed_notes = 0
        self._patient_until: float | None = None
        self._is_finding_owed = False
        self._rest_until = 0.0

    @property
    def is_behind(self) -> bool:
        """Whether a file has to be written that could not be, or that somebody was just saving."""
        return self._write_at is not None or self._note_at is not None

    @property
    def is_disk_bad(self) -> bool:
        """Whether state.csv could not be written."""
        return self._write_at is not None

    @property
    def is_finding_owed(self) -> bool:
        """Whether a first crossing that was found is not in state.csv yet."""
        return self._is_finding_owed

    def next_at(self) -> float | None:
        """Return when to write next; None while there is nothing to write."""
        moments = []
        if self._ledger.must_write:
            moments.append(max(self._rests_until, self._write_at or 0.0))
        if self._ledger.unnoted:
            moments.append(max(self._rests_until, self._note_at or 0.0))
        return min(moments, default=None)

    @property
    def _rests_until(self) -> float:
        """When to write next after a long write; at once where a crossing waits for that."""
        return 0.0 if self.is_disk_bad else self._rest_until

    # --- what has become of orders -----------------------------------------------------------

    def placed(self, life: Life, txid: str, why: str, status: str = "open") -> None:
        """Take in that the order of a life stands at Kraken."""
        placed = life.after(
            Signal.PLACE,
            order_id=txid,
            order_status=status,
            activated_on=self._tools.timestamp(),
            detail="",
        )
        self._ledger.put(placed)
        self._tools.begin_anew(life.id)
        self._ledger.unnoted.add(life.id)
        self._ledger.stand(life.id, txid)
        self._teller.tell(words.placed(placed, why))

    def found(self, life: Life, sighting: Sighting) -> None:
        """Take in that the order of a life was found at Kraken."""
        self.placed(life, sighting.txid, "found at Kraken after", sighting.status)
        placed, entry = self._ledger.life_of(life.id), self._ledger.rules.get(life.id)
        if sighting.differs:
            self._teller.tell(trouble_words.stands_otherwise(placed, sighting))
        elif entry is not None and fingerprint(entry.rule) != life.row:
            self._teller.tell(trouble_words.row_differs(placed, entry.rule))
        self.watched(Watched({life.id: sighting}))

    def watched(self, message: Watched | Streamed) -> None:
        """Take in what Kraken says of orders that stand there."""
        told = self._believed(message) if isinstance(message, Streamed) else message.sightings
        for rule_id, sighting in told.items():
            life = self._ledger.life_of(rule_id)
            known, executed = filled_of(life.vol_exec), filled_of(sighting.vol_exec)
            is_known = (life.order_status, known) == (sighting.status, executed)
            if life.state is not RuleState.PLACED or life.order_id != sighting.txid:
                continue
            if sighting.stop is not None:
                self._ledger.note_stop(rule_id, sighting.stop, self._tools.timestamp())
            # What is filled stays filled: less than was known is an answer that was overtaken.
            if (is_known or executed < known) and not sighting.is_final:
                continue
            seen = life._replace(
                order_status=sighting.status,
                vol_exec=sighting.vol_exec,
                fill_price=sighting.price,
                detail=sighting.reason,
            )
            self._ledger.put(seen.after(Signal.CLOSE) if sighting.is_final else seen)
            if sighting.is_final:
                self._ledger.stand(rule_id, None)
            self._ledger.must_write = True
            news = words.news_of(life, sighting)
            if news is not None:
                self._teller.tell(news)

    def _believed(self, message: Streamed) -> dict[str, Sighting]:
        """Return what the stream says of an order of ours; nothing where it settles nothing."""
        order = message.order
        standing = self._ledger.standing.items()
        rule_id = next((one for one, txid in standing if txid == order.order_id), None)
        if rule_id is None or is_finished(order):
            return {}  # none that stands; or Kraken's word for its end comes in a moment
        doubt = doubt_of(self._ledger.life_of(rule_id), message)
        if doubt:
            self._teller.tell(words.stream_is_doubted(rule_id, order.order_id, doubt))
            message.doubt()
            return {}
        return {rule_id: sighting_of(order)}

    def note_first(self, found: FirstCrossing) -> None:
        """Take in that a rule was crossed earlier than at what has placed its order.

        What was found of an arming that is over says nothing of the present one.
        """
        if self._ledger.is_past_unknown(found.rule_id):
            return
        life = self._ledger.life_of(found.rule_id)
        at_ns, since_ns = nanoseconds(found.at), nanoseconds(life.waits_since)
        if at_ns is not None and since_ns is not None and at_ns < since_ns:
            return
        self._ledger.put(life._replace(crossed_price=found.price, crossed_at=found.at))
        self._ledger.must_write = self._is_finding_owed = True

    # --- both files --------------------------------------------------------------------------

    def settle(self, *, is_ending: bool) -> None:
        """Bring both files up to date, unless the last try is still too fresh. Blocks.

        Args:
            is_ending: Whether nothing comes afterwards, so that a long write delays nobody.
        """
        began = self._tools.now()
        if began < self._rests_until and not is_ending:
            return
        if self._ledger.unnoted and (is_ending or not self._is_for_later()):
            self.write_notes()
        if self._is_due(self._write_at) and (self._ledger.must_write or self.is_disk_bad):
            self.write()
        if not self.is_behind:  # how long a write took that failed says nothing of the next
            now = self._tools.now()
            rest = max(0.0, now - began - _SHORT_WRITE) * _REST_PER_WRITE
            self._rest_until = min(began + rest, now + _MOST_REST)

    def end(self, pause: Callable[[float], object]) -> None:
        """Bring both files up to date for whoever starts next. Blocks.

        Args:
            pause: Waits so many seconds, while somebody may just be saving config.csv.
        """
        self.settle(is_ending=False)

        def is_waiting() -> bool:
            return bool(self._ledger.unnoted) and self._tools.files.is_being_saved()

        if outlasts(_LAST_GLANCES, _LAST_GLANCE, is_waiting, pause):
            self._tell_of_save()
        self.settle(is_ending=True)

    def _is_due(self, moment: float | None) -> bool:
        return moment is None or self._tools.now() >= moment

    # --- state.csv ---------------------------------------------------------------------------

    def write_intents(self, rule_ids: Sequence[str]) -> bool:
        """Write down durably what is about to be sent; False, and said, if that failed. Blocks."""
        try:
            self._tools.files.save_intents(self._ledger.state, rule_ids)
        except OSError as error:
            self._cannot_write(error)
            return False
        # Said of the journal alone, not of state.csv, which is owed its own write.
        self._ledger.must_write = True
        return True

    def write(self) -> bool:
        """Write state.csv durably; False, and said, if that failed. Blocks."""
        try:
            self._tools.files.save_state(self._ledger.state)
        except OSError as error:
            self._cannot_write(error)
            return False
        self._tools.step("written")
        if self._write_at is not None:
            self._teller.tell(words.STATE_WRITTEN_AGAIN)
            self._teller.forget(_STATE)
        self._write_at = None
        self._ledger.must_write = self._is_finding_owed = False
        return True

    def _cannot_write(self, error: OSError) -> None:
        self._ledger.must_write = True
        self._write_at = self._tools.now() + self._tools.settings.write_again
        self._teller.tell_once(_STATE, words.state_unwritable(error))

    # --- config.csv --------------------------------------------------------------------------

    def write_notes(self) -> None:
        """Tell config.csv of the orders that it does not know, unless that just failed. Blocks."""
        lives = [self._ledger.life_of(rule_id) for rule_id in sorted(self._ledger.unnoted)]
        if not lives or (self._failed_notes and not self._is_due(self._note_at)):
            return
        lives = self._as_spelt_now(lives)
        if not lives:
            return
        self._tools.step("noting")
        try:
            left_out = self._tools.files.note_orders(lives)
        except (OSError, ValueError) as error:
            self._cannot_note(lives, error)
            return
        self._tools.step("noted")
        if self._failed_notes:
            self._teller.tell(words.CONFIG_WRITTEN_AGAIN)
        self._note_at, self._failed_notes, self._patient_until = None, 0, None
        self._teller.forget(_NOTES)
        now = self._tools.now()
        for life in lives:
            self._ledger.noted_at[life.id] = now
            if life.id not in left_out:
                self._ledger.put(life._replace(noted=True))
            else:
                # It is owed until the row is back: taken for noted, it would be armed again then.
                self._teller.tell_once(life.id, words.not_noted(life))
        self._ledger.unnoted.clear()
        self._ledger.must_write = True

    def _as_spelt_now(self, lives: list[Life]) -> list[Life]:
        """Write down how rows are spelt that are to be noted: so an editor has them, too. Blocks.

        It is known to the state before the note is written, so that a crash behind that knows it;
        while that is written somebody may save the file once more.
        """
        for _ in range(_MOST_LOOKS):
            before, lives = lives, self._looked_at(lives)
            if lives == before or not self.write():
                break
        return lives

    def _looked_at(self, lives: Sequence[Life]) -> list[Life]:
        """Return lives as their rows are spelt now.

        One that was noted already, and put back, is left out where it is no old copy by now: its
        user has touched it, and the next reading of the file arms it.
        """
        try:
            rows = self._tools.files.current_rows()
        except OSError:
            return list(lives)  # the note meets it as well, and says so
        found: list[Life] = []
        for life in lives:
            row = rows.row_of(life.id, self._ledger.rules.get(life.id))
            if row is not None and life.noted and life.letters:
                if is_spelt(row, life.letters):
                    found.append(life)
                else:
                    self._ledger.unnoted.discard(life.id)
                continue
            letters = life.letters if row is None else spelt(life.letters, letters_of(row))
            if letters != life.letters:
                life = life._replace(letters=letters)
                self._ledger.put(life)
            found.append(life)
        return found

    def _is_for_later(self) -> bool:
        """Tell whether notes wait, because somebody may just be saving config.csv.

        state.csv has what they say. Whoever never ends is not waited for, but told of: a row that
        stays enabled is as much of a trap for its user.
        """
        now = self._tools.now()
        if not self._is_due(self._note_at):
            return True
        if self._patient_until is None:
            self._patient_until = now + _MOST_PATIENCE
        if not self._tools.files.is_being_saved():
            return False
        if now >= self._patient_until:
            self._tell_of_save()
            return False
        self._note_at = now + _GLANCE
        return True

    def _tell_of_save(self) -> None:
        """Say that a note goes into a save: what is written behind it is lost."""
        lives = [self._ledger.life_of(rule_id) for rule_id in sorted(self._ledger.unnoted)]
        self._teller.tell(trouble_words.noted_into_a_save(lives))

    def _cannot_note(self, lives: Sequence[Life], error: Exception) -> None:
        self._failed_notes += 1
        wait = refusal_wait(self._failed_notes, self._tools.settings)
        self._note_at = self._tools.now() + wait
        self._teller.tell_once(_NOTES, words.config_unwritable(lives, error))
