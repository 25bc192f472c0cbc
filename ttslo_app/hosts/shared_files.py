"""The files of a host that shares an account with others: rows and lives are in a shared store.

It has the face of the files of one machine, so that the rest of the program knows no difference.
The log stays a file of this host. What it must never do: write while another host leads, or let a
row trade that the store does not have as it is.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from ttslo_app.cluster.books import Books
from ttslo_app.cluster.copy import Copy
from ttslo_app.cluster.sheet import filled
from ttslo_app.cluster.store import StoreError
from ttslo_app.cluster.words import LEADS_NO_MORE
from ttslo_app.messages import AcceptedRule
from ttslo_app.orders.ledger import State
from ttslo_app.orders.life import Life
from ttslo_app.rules.rule import Rule, RulesById
from ttslo_app.run.files import OrderFiles
from ttslo_app.store.disk import Disk, Stamp
from ttslo_app.store.lock import AlreadyRunning
from ttslo_app.store.manager import ConfigManager
from ttslo_app.store.rule_file import RuleFile, RuleReading, reading_from
from ttslo_app.store.rule_merge import Changes
from ttslo_app.store.rule_row import ConfigRow
from ttslo_app.store.state_file import StateFile, StateReading


class _SharedRules(RuleFile):
    """The rows of the store, as if they were a config.csv.

    Args:
        name: What they are called in sentences.
        copy: The account as this host knows it.
        books: Who writes into the store.
    """

    def __init__(self, name: Path, copy: Copy, books: Books) -> None:
        super().__init__(name, Disk())
        self._copy, self._books = copy, books

    def stamp(self) -> Stamp:
        """Return what tells these rows from the next."""
        return Stamp(self._copy.rows_version, 0, 0)

    def read(self, before: RuleReading | None = None) -> RuleReading:
        """Return the rows, and what is odd about them; what has not changed is not read again."""
        data, version = self._copy.config()
        return reading_from(data, Stamp(version, 0, 0), str(self.path), before)

    def contents(self) -> tuple[bytes, Stamp]:
        """Return the rows as bytes, and their stamp."""
        data, version = self._copy.config()
        return data, Stamp(version, 0, 0)

    def is_own_write(self, stamp: Stamp | None, seen: Stamp) -> bool:
        """Tell whether only this host wrote between two versions."""
        return stamp is not None and self._copy.is_own_writing(stamp.mtime_ns, seen.mtime_ns)

    def update_rows(self, changes: Changes) -> dict[str, LookupError | ValueError]:
        """Write cells into rows of the store; return those that are not there."""
        cells = {i: {n: str(v) for n, v in row.items()} for i, row in changes.items()}
        left_out = self._books.write_into_rows(cells)
        return {i: LookupError(f"the store has no row {i}") for i in left_out}

    def sweep(self) -> None:
        """Do nothing: there is no file to leave anything beside."""


class _SharedState(StateFile):
    """The lives of the store, as if they were a state.csv."""

    def __init__(self, name: Path, copy: Copy, books: Books) -> None:
        super().__init__(name, Disk())
        self._copy, self._books = copy, books

    def load(self) -> dict[str, dict[str, str]]:
        """Return the lives by id."""
        return self._copy.lives()

    def load_checked(self) -> StateReading:
        """Return the lives; what cannot be read of one stands in its state."""
        return StateReading(self._copy.lives(), (), None)

    def save(self, state: Mapping[str, Mapping[str, object]]) -> None:
        """Write the lives that have changed; nothing while another host leads."""
        if self._books.is_open:
            self._books.write_lives({i: _texts(cells) for i, cells in state.items()})

    def sweep(self) -> None:
        """Do nothing: there is no file to leave anything beside."""


class SharedManager(ConfigManager):
    """What a program knows as its files, of which rows and lives are in a shared store.

    Args:
        name: What the store is called in sentences.
        state_file: A name on this machine, beside which lies what is of this host alone.
        log_file: What this host did.
        copy: The account as this host knows it.
        books: Who writes into the store.
    """

    def __init__(
        self,
        name: str,
        state_file: str | os.PathLike[str],
        log_file: str | os.PathLike[str],
        copy: Copy,
        books: Books,
    ) -> None:
        super().__init__(name, state_file, log_file)
        self._rules = _SharedRules(Path(name), copy, books)
        self._state = _SharedState(Path(state_file), copy, books)
        self._books = books

    def load_tape(self) -> str | None:
        """Return how far prices were seen by whoever led last."""
        return self._books.marks()

    def save_tape(self, text: str) -> None:
        """Write down how far prices were seen; nothing while another host leads."""
        if self._books.is_open:
            self._books.write_marks(text)


class SharedFiles(OrderFiles):
    """The files as the order thread needs them.

    Args:
        manager: The files.
        copy: The account as this host knows it.
        books: Who writes into the store.
    """

    def __init__(self, manager: SharedManager, copy: Copy, books: Books) -> None:
        super().__init__(manager, is_dry=False)
        self.journal = None  # an intent is a change of the store
        self._copy, self._books = copy, books
        self._checked: dict[str, tuple[int, Rule | None]] = {}

    def save_intents(self, state: State, rule_ids: Sequence[str]) -> None:
        """Put some lives into the store, if their rows are as they were just checked."""
        if not self._books.is_open:
            raise StoreError(LEADS_NO_MORE)
        rows = {i: self._checked[i][0] for i in rule_ids}
        self._books.write_intents({i: state[i] for i in rule_ids}, rows)

    def current_rows(self) -> SharedFiles:
        """Return the rows of the store, as far as this host knows."""
        return self

    def rule_of(self, rule: Rule) -> Rule | None:
        """Return what the store has for a rule; None if that is gone or no rule.

        The intent rests on that version of the row, so that an edit which is not known here yet
        refuses it.
        """
        row = self._copy.row(rule.id)
        if row is None:
            self._checked[rule.id] = (0, None)
            return None
        known = self._checked.get(rule.id)
        if known is None or known[0] != row.version:
            read = RulesById([ConfigRow(row.cells)]).get(rule.id)
            known = self._checked[rule.id] = (row.version, read)
        return known[1]

    def row_of(self, rule_id: str, known: AcceptedRule | None) -> Mapping[str, object] | None:
        """Return a row of the store as it is read with all others, the known one if it is that."""
        row = self._copy.row(rule_id)
        if row is None or (known is not None and filled(row.cells) == filled(_texts(known.row))):
            return None if row is None or known is None else known.row
        data = self._copy.config_of(rule_id)
        return next(iter(reading_from(data, Stamp(row.version, 0, 0), "").rows), None)

    def take(self, reading: RuleReading, rules: Mapping[str, Rule | None]) -> None:
        """Take note that rows were read; each is looked at again at its crossing."""
        self.is_loaded = True

    def is_being_saved(self) -> bool:
        """Return False: the store changes a row at once."""
        return False

    def note_orders(self, lives: Sequence[Life]) -> Collection[str]:
        """Write the orders into the rows of the store, but for the ids that are returned."""
        if not self._books.is_open:
            return ()
        facts = {life.id: (life.order_id, life.trigger_time, life.trigger_price) for life in lives}
        return self.manager.update_config_on_triggers(facts)

    def look_for_another(self) -> AlreadyRunning | None:
        """Return None: who leads is told by the store, and files are nobody's."""
        return None


def _texts(cells: Mapping[str, object]) -> dict[str, str]:
    # When each row was looked at last would be a change of every life at every end of a run.
    told = ((name, cell) for name, cell in cells.items() if name != "last_checked")
    return {name: "" if cell is None else str(cell) for name, cell in told}
