"""What the store holds of one account, as this host knows it: rows, lives, who leads.

Fed by one reading of everything, by the news that follow it, and by what our own changes have put;
whatever comes late is passed over, since every entry carries its version. What must never happen
here: that an older entry takes the place of a newer one, or that a row which nobody of ours wrote
passes for one.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence

from ttslo_app.cluster.records import Changed, Keys, Lead, loaded, read_cells, read_lead
from ttslo_app.cluster.sheet import Row, Sheet
from ttslo_app.cluster.store import Entry, News

_log = logging.getLogger(__name__)


class Copy:
    """A copy of one account in the store. Safe from any thread; asks nobody.

    Args:
        keys: Where the account's values are.
    """

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._lock = threading.Lock()  # guards all below; held for memory alone
        self._entries: dict[str, Entry] = {}
        self._gone: dict[str, int] = {}
        # The keys of all that is neither a row nor a life: few, and looked at again and again.
        self._few: set[str] = set()
        # Counts what has changed among the rows; which of that was our own writing, and what it
        # took the place of.
        self._rows_version = 0
        self._own: dict[int, int] = {}
        self._config: tuple[int, bytes] = (-1, b"")
        self._sheet = Sheet(self._row)

    # --- what comes in -------------------------------------------------------------------------

    def load(self, entries: Iterable[Entry], version: int) -> None:
        """Take over one reading of everything, as of `version`; whatever is newer here stays."""
        with self._lock:
            known = {key: one for key, one in self._entries.items() if one.version > version}
            gone = {key: at for key, at in self._gone.items() if at > version}
            fresh = {one.key: one for one in entries if one.key not in gone}
            before, self._entries, self._gone = self._entries, {**fresh, **known}, gone
            self._few = set(filter(self._is_one_of_few, self._entries))
            prefix = self._keys.rows
            keys = (key for key in {**before, **self._entries} if key.startswith(prefix))
            if any(before.get(key) != self._entries.get(key) for key in keys):
                self._rows_version += 1

    def take(self, news: News) -> Changed:
        """Take over news, and return what they have changed."""
        changed = self.note(news.entries)
        gone = [key for key in news.gone if self._forget(key, news.version)]
        return Changed(
            changed.rows | self._ids(gone, self._keys.rows),
            changed.lives | self._ids(gone, self._keys.lives),
        )

    def note(self, entries: Iterable[Entry], *, is_own: bool = False) -> Changed:
        """Take over entries that are newer than what is here, and return what they have changed.

        Args:
            entries: What the store has.
            is_own: Whether this host has put them.
        """
        taken = []
        with self._lock:
            before = self._rows_version
            for one in entries:
                known = self._entries.get(one.key)
                newest = max(known.version if known else 0, self._gone.get(one.key, 0))
                if one.version <= newest:
                    continue
                self._entries[one.key] = one
                self._gone.pop(one.key, None)
                if self._is_one_of_few(one.key):
                    self._few.add(one.key)
                taken.append(one.key)
            if any(key.startswith(self._keys.rows) for key in taken):
                self._rows_version += 1
                if is_own:
                    self._own[self._rows_version] = before
        return Changed(self._ids(taken, self._keys.rows), self._ids(taken, self._keys.lives))

    def _forget(self, key: str, version: int) -> bool:
        with self._lock:
            known = self._entries.get(key)
            if known is None or known.version > version:
                return False
            del self._entries[key]
            self._few.discard(key)
            self._gone[key] = version
            if key.startswith(self._keys.rows):
                self._rows_version += 1
            return True

    def _is_one_of_few(self, key: str) -> bool:
        return not key.startswith((self._keys.rows, self._keys.lives))

    def _ids(self, keys: Iterable[str], prefix: str) -> frozenset[str]:
        return frozenset(key.removeprefix(prefix) for key in keys if key.startswith(prefix))

    # --- what is there -------------------------------------------------------------------------

    def entry(self, key: str) -> Entry | None:
        """Return what stands under a key, None for nothing."""
        return self._entries.get(key)

    def below(self, prefix: str) -> Sequence[Entry]:
        """Return what stands under all keys that begin with `prefix`."""
        with self._lock:
            keys = self._few if self._is_one_of_few(prefix) else self._entries
            return [self._entries[key] for key in keys if key.startswith(prefix)]

    def ids(self) -> frozenset[str]:
        """Return the ids of all rows and lives."""
        with self._lock:
            keys = list(self._entries)
        return self._ids(keys, self._keys.rows) | self._ids(keys, self._keys.lives)

    def version(self, key: str) -> int:
        """Return the version of what stands under a key; 0 for nothing."""
        entry = self._entries.get(key)
        return 0 if entry is None else entry.version

    def leader(self) -> Lead | None:
        """Return who leads by what is known here; None if nobody ever has."""
        entry = self.entry(self._keys.lead)
        try:
            return None if entry is None else read_lead(entry.key, entry.value)
        except ValueError as error:
            _log.error("%s", error)
            return Lead(0, "somebody that cannot be read", "", "")

    @property
    def rows_version(self) -> int:
        """What tells one set of rows from the next; no other host has the same."""
        return self._rows_version

    def is_own_writing(self, version: int, since: int) -> bool:
        """Tell whether only this host has written rows between two of those."""
        with self._lock:
            while version > since and version in self._own:
                version = self._own[version]
            return version == since

    def rows(self) -> Sequence[Row]:
        """Return the rows in their order; one that cannot be read is left out, and logged."""
        entries = self.below(self._keys.rows)
        rows = [row for one in entries if (row := self._row(one)) is not None]
        return sorted(rows, key=lambda row: (row.place, row.id))

    def row(self, rule_id: str) -> Row | None:
        """Return the row of an id, None where there is none that can be read."""
        entry = self._entries.get(self._keys.row(rule_id))
        return None if entry is None else self._row(entry)

    def _row(self, entry: Entry) -> Row | None:
        try:
            cells, place = read_cells(entry.key, entry.value), loaded(entry.key, entry.value)
        except ValueError as error:
            _log.warning("%s; it does not trade", error)
            return None
        at = place.get("place")
        rule_id = entry.key.removeprefix(self._keys.rows)
        return Row(rule_id, cells, at if type(at) is int else 0, entry.version)

    def lives(self) -> dict[str, dict[str, str]]:
        """Return the cells of all lives by id; of one that cannot be read, cells of no state."""
        names = [one.key.removeprefix(self._keys.lives) for one in self.below(self._keys.lives)]
        lives = ((name, self.life(name)) for name in names)
        return {name: cells for name, cells in lives if cells is not None}

    def life(self, rule_id: str) -> dict[str, str] | None:
        """Return the cells of a life, None where there is none.

        One that cannot be read has a state that is none: nobody knows whether its rule has fired.
        """
        entry = self._entries.get(self._keys.life(rule_id))
        try:
            return None if entry is None else read_cells(entry.key, entry.value)
        except ValueError as error:
            _log.warning("%s", error)
            return {"id": rule_id, "rule_state": "unreadable"}

    def config(self) -> tuple[bytes, int]:
        """Return the rows as the bytes of a config.csv, and what tells them from the next."""
        version, (known, data) = self._rows_version, self._config
        if known != version:
            data = self._sheet.text(self.below(self._keys.rows))
            self._config = (version, data)
        return data, version

    def config_of(self, rule_id: str) -> bytes:
        """Return a config.csv that has one row, under the columns that all rows have together."""
        self.config()
        return self._sheet.text_of(self._keys.row(rule_id))
