"""What this host writes into the shared store while it leads: lives, notes in rows, how far it saw.

Every change names the entry of who leads, so that the store refuses it once another does. What
becomes of a change without an answer is told by its own values: they are remembered until they are
seen, or others stand there. What must never happen here: that something counts as written whose
outcome is unknown, or that a life which somebody else has changed is overwritten.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Mapping

from ttslo_app.cluster import words
from ttslo_app.cluster.copy import Copy
from ttslo_app.cluster.records import Keys, dumped, life_text, loaded, row_text
from ttslo_app.cluster.store import Answer, Change, Entry, News, Store, StoreError

Cells = Mapping[str, str]

# Seconds. An order waits for this as it would wait for a disk; longer, and others should be heard.
_PATIENCE = 5.0
# etcd takes 128 changes at once, and each life is compared besides.
_AT_ONCE = 60
# A change that meets an earlier one of our own is sent again; more often than that is a surprise.
_TRIES = 5


class Books:
    """Writes for the host that leads. Safe from any thread; each call blocks for the store.

    Args:
        store: What all hosts share.
        copy: The account as this host knows it.
        keys: Where the account's values are.

    Attributes:
        refused: Called with the entry of who leads, or None, where a change was refused because
            another does; must not block. To be set before anything is written.
    """

    def __init__(self, store: Store, copy: Copy, keys: Keys) -> None:
        self.refused: Callable[[Entry | None], None] = lambda entry: None
        self._store, self._copy, self._keys = store, copy, keys
        self._fence = 0
        # What was put under a key and never answered.
        self._tried: dict[str, set[bytes]] = {}
        # What of each life the store has, so that a hundred thousand need not be compared.
        self._written: dict[str, int] = {}

    @property
    def is_open(self) -> bool:
        """Whether this host leads, as far as it knows."""
        return self._fence > 0

    def lead(self, fence: int) -> None:
        """Let changes through that rest on this version of who leads."""
        self._written.clear()
        self._fence = fence

    def cut(self) -> None:
        """Let no change through any more."""
        self._fence = 0

    # --- lives ---------------------------------------------------------------------------------

    def write_intents(self, lives: Mapping[str, Cells], rows: Mapping[str, int]) -> None:
        """Write lives whose orders are about to be sent, all of them or none.

        Args:
            lives: Their cells by id.
            rows: The versions of the rows that they rest on, by id: an edit since refuses them.

        Raises:
            OSError: If they may not be in the store: nothing must be sent.
        """
        rests_on = {self._keys.row(rule_id): version for rule_id, version in rows.items()}
        names = list(lives)
        for start in range(0, len(names), _AT_ONCE):
            some = names[start : start + _AT_ONCE]
            needed = {k: v for k, v in rests_on.items() if k in {self._keys.row(i) for i in some}}
            self._put_lives({i: _filled(lives[i]) for i in some}, needed)

    def write_lives(self, lives: Mapping[str, Cells]) -> None:
        """Write those lives that the store has otherwise.

        Raises:
            OSError: If they may not be in the store.
        """
        filled = {i: _filled(cells) for i, cells in lives.items()}
        changed = [i for i, cells in filled.items() if not self._is_written(i, cells)]
        for start in range(0, len(changed), _AT_ONCE):
            self._put_lives({i: filled[i] for i in changed[start : start + _AT_ONCE]}, {})

    def _is_written(self, rule_id: str, cells: dict[str, str]) -> bool:
        mark = _mark(cells)
        if self._written.get(rule_id) != mark and self._copy.life(rule_id) == cells:
            self._written[rule_id] = mark
        return self._written.get(rule_id) == mark

    def _put_lives(self, lives: Mapping[str, dict[str, str]], rests_on: Mapping[str, int]) -> None:
        token = secrets.token_hex(8)
        puts = {self._keys.life(i): life_text(cells, token) for i, cells in lives.items()}
        self._put(puts, rests_on)
        self._written.update((i, _mark(cells)) for i, cells in lives.items())

    # --- rows and marks ------------------------------------------------------------------------

    def write_into_rows(self, changes: Mapping[str, Cells]) -> Collection[str]:
        """Write cells into rows, by id; return those that are not there.

        A row that is edited meanwhile keeps the edit, and gets the cells as well.

        Raises:
            OSError: If they may not be in the store.
        """
        left_out = set()
        for rule_id, cells in changes.items():
            if not self._write_into_row(rule_id, cells):
                left_out.add(rule_id)
        return left_out

    def _write_into_row(self, rule_id: str, cells: Cells) -> bool:
        key = self._keys.row(rule_id)
        for _ in range(_TRIES):
            row, entry = self._copy.row(rule_id), self._copy.entry(key)
            if row is None or entry is None:
                return False
            if all(row.cells.get(name, "") == cell for name, cell in cells.items()):
                return True
            token = secrets.token_hex(8)
            text = row_text({**row.cells, **cells}, row.place, token)
            try:
                self._put({key: text}, {key: entry.version})
            except _Edited:
                continue  # the copy has the edit by now
            return True
        raise StoreError(words.keeps_changing(rule_id))

    def marks(self) -> str | None:
        """Return how far prices were seen, as whoever led last has written; None for nothing."""
        entry = self._copy.entry(self._keys.marks)
        if entry is None:
            return None
        text = loaded(entry.key, entry.value).get("marks")
        return text if isinstance(text, str) else None

    def write_marks(self, text: str) -> None:
        """Write down how far prices were seen.

        Raises:
            OSError: If it may not be in the store.
        """
        self._put({self._keys.marks: dumped({"marks": text, "token": secrets.token_hex(8)})}, {})

    # --- changes -------------------------------------------------------------------------------

    def _put(self, puts: Mapping[str, bytes], rests_on: Mapping[str, int]) -> None:
        """Do one change, whole. Blocks.

        Raises:
            _Edited: If a row that it rests on has changed.
            OSError: If it may not be done.
        """
        for _ in range(_TRIES):
            fence = self._fence
            if not fence:
                raise StoreError(words.LEADS_NO_MORE)
            versions = {key: self._copy.version(key) for key in puts}
            change = Change({**versions, **rests_on, self._keys.lead: fence}, puts)
            for key, value in puts.items():
                self._tried.setdefault(key, set()).add(value)
            answer = self._store.commit(change, patience=_PATIENCE)
            if answer.is_done:
                put = [Entry(key, value, answer.version) for key, value in puts.items()]
                self._copy.note(put, is_own=True)
                for key in puts:
                    self._tried.pop(key, None)
                return
            self._learn(change, answer, rests_on)
        raise StoreError(words.keeps_changing(", ".join(puts)))

    def _learn(self, change: Change, answer: Answer, rests_on: Mapping[str, int]) -> None:
        """Take in why a change was refused; come back where it may be sent again as it is now."""
        lead = answer.found.get(self._keys.lead)
        if lead is None or lead.version != change.rests_on[self._keys.lead]:
            self.cut()
            self.refused(lead)
            raise StoreError(words.LEADS_NO_MORE)
        gone = [key for key in change.rests_on if key not in answer.found]
        edited = [key for key, at in rests_on.items() if _version(answer, key) != at]
        foreign = [
            key
            for key, at in change.rests_on.items()
            if key in change.puts and key not in edited and _version(answer, key) != at
            and (key not in answer.found or answer.found[key].value not in self._tried[key])
        ]  # fmt: skip
        if foreign and foreign != [self._keys.marks]:
            raise StoreError(words.changed_by_others(foreign[0]))
        self._copy.note(answer.found.values())
        if edited:
            self._copy.take(News(answer.version, gone=gone))
            raise _Edited(words.edited(edited[0]))


class _Edited(StoreError):
    """A row has changed since it was looked at."""


def _version(answer: Answer, key: str) -> int:
    return answer.found[key].version if key in answer.found else 0


def _mark(cells: dict[str, str]) -> int:
    """Return what tells cells from others."""
    return hash(frozenset(cells.items()))


def _filled(cells: Cells) -> dict[str, str]:
    """Return the cells that hold something: an empty one says nothing."""
    return {name: str(cell) for name, cell in cells.items() if cell not in ("", None)}
