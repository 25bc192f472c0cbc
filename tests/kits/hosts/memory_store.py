"""A shared store in memory, for many hosts of one test, whose answers come late, twice or never.

It keeps what a real one promises: changes happen whole, one after another, and reads show the last
of them. What becomes of a change on its way is said beforehand and never left to chance or time.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum

from ttslo_app.cluster.store import Answer, Change, Entry, News, StoreUnreachable, is_ours

# Seconds between two looks of a watch at whether it has been cut.
_SLICE = 0.05


class Fate(Enum):
    """What becomes of a change on its way to the store."""

    ANSWERED = "done, and answered"
    LOST = "done, and nobody hears of it"
    NEVER = "swallowed"
    LATE = "done when somebody calls `deliver`, unanswered"
    TWICE = "done, sent once more, and answered the second time"


@dataclass
class MemoryStore:
    """The store itself, which answers at once; hosts that meet trouble see it through a `Line`.

    Attributes:
        version: Its revision: that of the last change.
        log: Every change there was, in order.
    """

    version: int = 0
    log: list[News] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._changed = threading.Condition()  # guards all of it

    def get(self, key: str, *, patience: float = 1.0) -> Entry | None:
        """Return what stands under `key`; see `Store`."""
        with self._changed:
            return self._entries.get(key)

    def list(self, prefix: str, *, patience: float = 1.0) -> tuple[Sequence[Entry], int]:
        """Return all that begins with `prefix`; see `Store`."""
        with self._changed:
            keys = sorted(key for key in self._entries if key.startswith(prefix))
            return [self._entries[key] for key in keys], self.version

    def commit(self, change: Change, *, patience: float = 1.0) -> Answer:
        """Do a change, if what it rests on is so; see `Store`."""
        with self._changed:
            entries = self._entries
            found = {key: entries[key] for key in change.rests_on if key in entries}
            for key, version in change.rests_on.items():
                if (found[key].version if key in found else 0) != version:
                    return self._refused(change, found)
            if change.puts or any(key in entries for key in change.deletes):
                self._do(change)
            return Answer(True, self.version, {})

    def _refused(self, change: Change, found: dict[str, Entry]) -> Answer:
        """Tell what stands in the way of a change, unless that is the change itself."""
        there = {key: self._entries[key] for key in change.puts if key in self._entries}
        if is_ours(there, change.puts):
            return Answer(True, max(entry.version for entry in there.values()), {})
        return Answer(False, self.version, found)

    def _do(self, change: Change) -> None:
        self.version += 1
        put = [Entry(key, value, self.version) for key, value in change.puts.items()]
        gone = [key for key in change.deletes if self._entries.pop(key, None) is not None]
        self._entries.update((entry.key, entry) for entry in put)
        self.log.append(News(self.version, put, gone))
        self._changed.notify_all()

    def watch(self, prefix: str, after: int, *, patience: float = 1.0) -> Iterator[News]:
        """Yield the changes below `prefix` later than `after`; see `Store`."""
        while True:
            news = self._news(prefix, after, patience)
            after = news.version
            yield news

    def _news(self, prefix: str, after: int, patience: float) -> News:
        with self._changed:
            self._changed.wait_for(lambda: self.version > after, patience)
            news = [one for one in self.log if one.version > after]
            version = max(after, self.version)
        entries = [e for one in news for e in one.entries if e.key.startswith(prefix)]
        gone = [key for one in news for key in one.gone if key.startswith(prefix)]
        return News(version, entries, gone)


class Line:
    """A host's own line to a store: a `Store`, of whose calls some do not get through.

    Attributes:
        is_cut: Whether nothing gets through at all.
        is_deaf: Whether changes get through and no answer comes back.
        is_mute: Whether nothing gets through to the store, while an open watch goes on.
        fates: What becomes of the next changes; later ones are answered.
        late: The changes that are still on their way.
    """

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.is_cut = self.is_deaf = self.is_mute = False
        self.fates: deque[Fate] = deque()
        self.late: list[Change] = []

    def deliver(self) -> list[Answer]:
        """Let what is on its way arrive; return the answers, which nobody hears."""
        late, self.late = self.late, []
        return [self.store.commit(change) for change in late]

    def get(self, key: str, *, patience: float = 1.0) -> Entry | None:
        """Return what stands under `key`; see `Store`."""
        self._check(is_question=True)
        return self.store.get(key)

    def list(self, prefix: str, *, patience: float = 1.0) -> tuple[Sequence[Entry], int]:
        """Return all that begins with `prefix`; see `Store`."""
        self._check(is_question=True)
        return self.store.list(prefix)

    def commit(self, change: Change, *, patience: float = 1.0) -> Answer:
        """Do a change, if what it rests on is so, or what its fate says; see `Store`."""
        if self.is_deaf and not self.is_cut:
            self.store.commit(change)
        self._check(is_question=True)
        fate = self.fates.popleft() if self.fates else Fate.ANSWERED
        if fate is Fate.LATE:
            self.late.append(change)
        if fate in (Fate.LOST, Fate.TWICE):
            self.store.commit(change)
        if fate in (Fate.ANSWERED, Fate.TWICE):
            return self.store.commit(change)
        raise StoreUnreachable("no answer from the store")

    def watch(self, prefix: str, after: int, *, patience: float = 1.0) -> Iterator[News]:
        """Yield the changes below `prefix` later than `after`, until the line is cut."""
        told_at = time.monotonic()
        for news in self.store.watch(prefix, after, patience=min(patience, _SLICE)):
            self._check()
            if news.entries or news.gone or time.monotonic() - told_at >= patience:
                told_at = time.monotonic()
                yield news

    def _check(self, *, is_question: bool = False) -> None:
        if self.is_cut or self.is_deaf or (is_question and self.is_mute):
            raise StoreUnreachable("no answer from the store")
