"""The signs of life that a host gives to the others through the store.

What must never happen here: that a host which hears nothing of the store goes on to tell that it
leads, so that nobody takes over from it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from contextlib import suppress

from krakenlink.machine import feed_clock
from ttslo_app.cluster.crew import Crew, Part
from ttslo_app.cluster.leadership import State, beaten
from ttslo_app.cluster.records import Host
from ttslo_app.cluster.sight import Age, Sight, Silence
from ttslo_app.cluster.store import Entry, Store, StoreError

# Seconds. The longest that one call to the store may take; a host to which none was answered for so
# long hears nothing of it. An election among its nodes is shorter.
_PATIENCE, _DEAF_AFTER = 2.0, 3.0


class Pulse:
    """Gives them. One thread.

    Args:
        store: What all hosts share.
        part: Who this host is.
        crew: The program.
        silence: Told of each answer of the store.
        age: Likewise, with how new it is.
        refused: Called where the store did not take that this host leads, with the fence that it
            led by and what stood in the way.
    """

    def __init__(
        self,
        store: Store,
        part: Part,
        crew: Crew,
        silence: Silence,
        age: Age,
        refused: Callable[[int, Iterable[Entry]], None],
    ) -> None:
        self._store, self._part, self._crew = store, part, crew
        self._silence, self._age, self._refused = silence, age, refused

    def is_deaf(self, now: float) -> bool:
        """Tell whether this host hears nothing of the store: it knows of nobody then."""
        return self._silence.lasts(now) >= _DEAF_AFTER

    def give(self, state: State, fence: int | None, sight: Sight) -> None:
        """Tell once that this host lives, and what it is. Blocks for the store.

        Args:
            state: What it is.
            fence: By what it leads; None while it does not.
            sight: What it has of Kraken.
        """
        with suppress(StoreError):
            if self.is_deaf(feed_clock()):
                # What it puts may arrive although no answer does: others would see a host that
                # lives and leads, and nobody would do what this one cannot.
                self._store.get(self._part.keys.lead, patience=_PATIENCE)
                self._silence.heard(feed_clock())
            self._give(state, fence, sight)

    def _give(self, state: State, fence: int | None, sight: Sight) -> None:
        is_blind = sight.is_blind or not self._crew.is_ready
        host = Host(self._part.name, str(state), is_blind, sight.is_cut_off)
        change = beaten(self._part.keys, host, secrets.token_hex(8), fence)
        answer = self._store.commit(change, patience=_PATIENCE)
        now = feed_clock()
        self._silence.heard(now)
        self._age.heard(answer.version, now)
        if fence is not None and not answer.is_done:
            self._refused(fence, answer.found.values())
