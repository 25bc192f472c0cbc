"""A `Store` in memory, whose answers can be lost, late, or never given."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

from ttslo_app.cluster.store import Answer, Change, Entry, News, StoreUnreachable, is_ours


class Timeline:
    """What a store has, and everything that ever happened to it. Shared by all who use it."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.revision = 1
        self.entries: dict[str, Entry] = {}
        self.history: list[News] = []

    def apply(self, change: Change) -> Answer:
        """Do a change whole, or not at all."""
        with self.changed:
            known = {k: self.entries[k] for k in change.rests_on if k in self.entries}
            versions = {k: known[k].version if k in known else 0 for k in change.rests_on}
            if versions != dict(change.rests_on):
                return Answer(False, self.revision, known)
            self.revision += 1
            put = [Entry(k, v, self.revision) for k, v in change.puts.items()]
            self.entries.update({one.key: one for one in put})
            gone = [k for k in change.deletes if self.entries.pop(k, None)]
            self.history.append(News(self.revision, put, gone))
            self.changed.notify_all()
            return Answer(True, self.revision, {})


class MemoryStore:
    """One host's view of a timeline.

    Attributes:
        is_down: Nothing is answered, and nothing is done.
        loses_answers: Called with each change; True lets it be done and its answer be lost.
        commits: How many changes were sent.
    """

    def __init__(self, timeline: Timeline | None = None) -> None:
        self.timeline = timeline or Timeline()
        self.is_down = False
        self.loses_answers: Callable[[Change], bool] = lambda change: False
        self.commits = 0

    def _ask(self) -> None:
        if self.is_down:
            raise StoreUnreachable("the store does not answer")

    def get(self, key: str, *, patience: float) -> Entry | None:
        """Return what stands under a key."""
        self._ask()
        with self.timeline.changed:
            return self.timeline.entries.get(key)

    def list(self, prefix: str, *, patience: float) -> tuple[Sequence[Entry], int]:
        """Return all below a prefix."""
        self._ask()
        with self.timeline.changed:
            found = [e for k, e in sorted(self.timeline.entries.items()) if k.startswith(prefix)]
            return found, self.timeline.revision

    def commit(self, change: Change, *, patience: float) -> Answer:
        """Do a change; one that was done before counts as done."""
        self._ask()
        self.commits += 1
        answer = self.timeline.apply(change)
        if answer.is_done and self.loses_answers(change):
            raise StoreUnreachable("the answer was lost")
        if not answer.is_done:
            with self.timeline.changed:
                found = {k: e for k in change.puts if (e := self.timeline.entries.get(k))}
            if is_ours(found, change.puts):
                return Answer(True, max(one.version for one in found.values()), {})
        return answer

    def watch(self, prefix: str, after: int, *, patience: float) -> Iterator[News]:
        """Yield what happens below a prefix."""
        place = 0
        while True:
            self._ask()
            with self.timeline.changed:
                if place == len(self.timeline.history):
                    self.timeline.changed.wait(patience)
                fresh = self.timeline.history[place:]
                place = len(self.timeline.history)
            for one in fresh:
                if one.version <= after:
                    continue
                put = [e for e in one.entries if e.key.startswith(prefix)]
                yield News(one.version, put, [k for k in one.gone if k.startswith(prefix)])
            if not fresh:
                yield News(after)
