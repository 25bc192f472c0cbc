"""The files as the order thread needs them: config.csv, state.csv and the journal of intents.

What it must never do: write in a dry run, or let a row trade that config.csv does not have as it
is. Called on the order thread, but for `take`, `load_intents` and `look_for_another`.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from krakenlink.machine import feed_clock
from ttslo_app.messages import AcceptedRule
from ttslo_app.orders.intents import Intents, intent_lines, read_intents
from ttslo_app.orders.ledger import State
from ttslo_app.orders.life import Life
from ttslo_app.orders.ports import Rows
from ttslo_app.rules.rule import Rule, RulesById
from ttslo_app.run.saving import is_being_written, quiet_of, stamp_of
from ttslo_app.store.disk import Stamp
from ttslo_app.store.journal import IntentJournal
from ttslo_app.store.lock import AlreadyRunning, StateLock
from ttslo_app.store.manager import ConfigManager
from ttslo_app.store.rule_file import RuleReading

# One thread waits so many seconds for another's look at the lock files.
_PATIENT_LOOK = 5.0


class _Seen(NamedTuple):
    """One version of config.csv, and the rules in it.

    Attributes:
        stamp: Which version.
        data: Its bytes.
        reading: What was read last, perhaps before the program itself wrote what stands there now.
        rules: The rules of that reading.
        barred: Rows that fire nothing, whatever they say: the program has disarmed them since, for
            their orders, or they are in doubt, as one that is half written is.
    """

    stamp: Stamp | None
    data: bytes
    reading: RuleReading | None
    rules: Mapping[str, Rule | None] | RulesById
    barred: frozenset[str] = frozenset()

    def rule(self, rule_id: str, default: Rule | None = None) -> Rule | None:
        """Return a rule of this version; `default` where it has no row of that id."""
        return None if rule_id in self.barred else self.rules.get(rule_id, default)

    def row(self, rule_id: str, known: AcceptedRule | None) -> Mapping[str, object] | None:
        """Return a row of this version, the known one where its text is the same."""
        if isinstance(self.rules, RulesById):
            return self.rules.rows.get(rule_id)
        if known is not None and self.rules.get(rule_id) is known.rule:
            return known.row  # a row whose text is another makes a rule of its own
        # Seldom: it was read a moment ago, and what it says has not reached the order thread.
        rows = self.reading.rows if self.reading is not None else ()
        return next((row for row in rows if row.get("id") == rule_id), None)


class _Rows(NamedTuple):
    """The rows of config.csv at one moment; where no file was loaded, others may trade as well."""

    seen: _Seen
    is_loaded: bool

    def rule_of(self, rule: Rule) -> Rule | None:
        """Return what there is for a rule; None if that is gone or no rule."""
        return self.seen.rule(rule.id, None if self.is_loaded else rule)

    def row_of(self, rule_id: str, known: AcceptedRule | None) -> Mapping[str, object] | None:
        """Return a row to the letter, the known one where that is the same."""
        return self.seen.row(rule_id, known)


_NOTHING = _Seen(None, b"", None, {})


class OrderFiles:
    """The files as the order thread needs them.

    Rows that a caller hands in one by one need not stand in any file; once a file has been
    loaded, only what stands in it may trade.

    Args:
        manager: The files.
        is_dry: Write nothing.

    Attributes:
        manager: The files.
        journal: Where intents go; None for a manager that has only what callers know.
        is_loaded: Whether config.csv was read.
        locks: What has config.csv and state.csv for this program alone.
        lost: Who else has one of them by now; None while nobody has.
    """

    def __init__(self, manager: ConfigManager, *, is_dry: bool) -> None:
        self.manager = manager
        self._is_dry = is_dry
        # Other managers than ours, such as in tests of callers, only have the contract's methods.
        is_ours = isinstance(manager, ConfigManager)
        self.journal = IntentJournal(Path(manager.state_file), manager.disk) if is_ours else None
        self.is_loaded = False
        self.locks: Sequence[StateLock] = ()
        self.lost: AlreadyRunning | None = None
        self._looking = threading.Lock()  # two threads look at the locks
        # One version of config.csv and its rules; replaced whole, as the keeper brings new ones.
        self._seen = _NOTHING
        self._noted: Stamp | None = None  # the version that was written here last
        self._taken: Stamp | None = None  # the one that was taken for whole last
        # One that is neither, and since when it has been there, on the steady clock.
        self._strange: tuple[Stamp | None, float] = (None, 0.0)

    def save_state(self, state: State) -> None:
        """Write state.csv durably; nothing in a dry run."""
        if not self._is_dry:
            self._hold()
            self.manager.save_state(state)
            if state and self.journal is not None:
                self.journal.clear()

    def save_intents(self, state: State, rule_ids: Sequence[str]) -> None:
        """Make the rows of some rules durable: in the journal, else with all of state.csv."""
        if self._is_dry:
            return
        self._hold()
        lines = intent_lines(state[rule_id] for rule_id in rule_ids)
        if self.journal is None or not self.journal.append(lines):
            self.save_state(state)

    def look_for_another(self) -> AlreadyRunning | None:
        """Return who else has the files by now, None where nobody has. Blocks for the disk.

        A lock file that was taken away is put back. Any thread.
        """
        with suppress(OSError):  # it is tried again, and before anything is written
            self._hold()
        return self.lost

    def _hold(self) -> None:
        """Raise OSError unless the files are this program's alone: nothing is written else."""
        if not self._looking.acquire(timeout=_PATIENT_LOOK):
            raise OSError(errno.ETIMEDOUT, "the disk does not answer")
        try:
            for lock in self.locks:
                lock.renew()
        except AlreadyRunning as error:
            self.lost = error
            raise OSError(errno.EBUSY, str(error)) from error
        finally:
            self._looking.release()

    def load_tape(self) -> str | None:
        """Return how far an earlier run had seen the prices, None where nothing tells."""
        return self.manager.load_tape()

    def save_tape(self, text: str) -> None:
        """Write down durably how far prices were seen.

        Raises:
            OSError: Also where another program has the files by now: the place is its own then.
        """
        self._hold()
        self.manager.save_tape(text)

    def load_intents(self) -> tuple[Intents, str]:
        """Return what was on its way when the program ended, and what is wrong with it, or ""."""
        if self.journal is None:
            return Intents(), ""
        cure = (
            "so nobody can tell of a waiting row whether an order for it was on its way when the "
            "program ended"
        )
        try:
            intents = read_intents(self.journal.load())
        except OSError as error:
            return Intents(), (
                f"{self.journal.path} cannot be read ({error}), {cure}. Make it readable while "
                "the program is stopped"
            )
        numbers = ", ".join(str(number) for number in intents.damaged)
        return intents, numbers and f"{self.journal.path}: damaged in line {numbers}, {cure}"

    def current_rows(self) -> Rows:
        """Return the rows of config.csv as they are now.

        The bytes are compared, and no stamp: an edit in place can leave length and time as they
        were.
        """
        seen = self._seen
        if seen.stamp is not None and self.manager.config_holds(seen.data):
            return _Rows(seen, self.is_loaded)
        # Not `load_config`, which is how the program as a whole takes note of an edit.
        reading = self.manager.read_config(seen.reading)
        if reading.stamp is None and self.is_loaded:
            # Editors that delete and rename leave a moment without a file; gone is not empty.
            raise FileNotFoundError(f"{self.manager.config_file} is not there")
        if reading.stamp is None:
            return _Rows(_NOTHING, is_loaded=False)
        if reading.data != seen.data or seen.stamp is None:
            found = RulesById(reading.rows)
            self._seen = seen = _Seen(reading.stamp, reading.data, reading, found)
        return _Rows(seen, self.is_loaded)

    def take(self, reading: RuleReading, rules: Mapping[str, Rule | None]) -> None:
        """Take over what was just read: the next crossing need not wait for reading it again."""
        self.is_loaded = True
        doubtful = frozenset(row.get("id", "") for row in reading.rows if row.findings)
        self._seen = _Seen(reading.stamp, reading.data, reading, rules, doubtful)
        self._taken = reading.stamp

    def is_being_saved(self) -> bool:
        """Tell whether somebody else wrote config.csv a moment ago, and may not be at its end.

        Whoever saves in place goes on in the file that was open: what comes after a note, which
        replaces it, would be lost. By another machine's clock a file may be dated otherwise, so a
        version that is new here is waited for, too.
        """
        if self.journal is None:  # somebody's own manager
            return False
        try:
            stamp = stamp_of(self.manager)
        except OSError:
            return False  # the note says so
        if stamp in (None, self._noted):
            return False
        if is_being_written(stamp, self.manager.disk.now().timestamp()):
            return True
        if self._taken in (None, stamp):
            return False
        now = feed_clock()
        if stamp != self._strange[0]:
            self._strange = stamp, now
        return now - self._strange[1] < quiet_of(stamp)

    def note_orders(self, lives: Sequence[Life]) -> Collection[str]:
        """Write the orders into the rows of config.csv, but for the ids that are returned."""
        if self._is_dry or (not self.is_loaded and stamp_of(self.manager) is None):
            return ()
        self._hold()
        facts = {life.id: (life.order_id, life.trigger_time, life.trigger_price) for life in lives}
        left_out = self.manager.update_config_on_triggers(facts)
        seen = self._seen
        data, after = self.manager.config_contents()
        if seen.stamp is not None and self.manager.is_own_write(after, seen.stamp):
            # Nobody else wrote: reading thousands of rows again would make the next crossing
            # wait. What has just fired is noted, and so is not to fire again from the file.
            self._seen = seen._replace(stamp=after, data=data, barred=seen.barred.union(facts))
            self._noted = after
        # A row that was handed in by a caller need not stand in the file.
        return left_out if self.is_loaded and isinstance(left_out, frozenset) else ()
