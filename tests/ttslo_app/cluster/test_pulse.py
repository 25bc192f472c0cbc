"""Signs of life: what they tell, and that a host which hears nothing gives none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from krakenlink.machine import feed_clock
from tests.kits.hosts.memory_store import Line, MemoryStore
from ttslo_app.cluster.crew import Part
from ttslo_app.cluster.leadership import State
from ttslo_app.cluster.pulse import Pulse
from ttslo_app.cluster.records import Host, Keys, read_host
from ttslo_app.cluster.sight import Age, Sight, Silence
from ttslo_app.cluster.store import Change, Entry

KEYS = Keys("prod")
GOOD = Sight(0.0, 0.0)


class Crew:
    """As much of a program as a sign of life tells of."""

    is_ready = True


class Memory:
    """Remembers nothing."""

    def newest(self) -> int:
        return 0

    def keep(self, version: int) -> None:
        pass


class Yard:
    """A host's line to a store that has a lead, and what the store has refused."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.line, self.crew, self.silence = Line(self.store), Crew(), Silence(feed_clock())
        self.refused: list[tuple[int, list[str]]] = []
        self.fence = self.store.commit(Change({}, {KEYS.lead: b"a leads"})).version
        crew: Any = self.crew
        self.pulse = Pulse(
            self.line, Part(KEYS, "a"), crew, self.silence, Age(Memory()), self._note
        )

    def _note(self, fence: int, found: Iterable[Entry]) -> None:
        self.refused.append((fence, [entry.key for entry in found]))

    def told(self) -> Host | None:
        """Return what the host has told of itself last."""
        entry = self.store.get(KEYS.host("a"))
        return None if entry is None else read_host(entry.key, entry.value)


@pytest.fixture
def yard() -> Yard:
    """A host that leads."""
    return Yard()


def test_host_tells_what_it_is_and_what_it_has_of_kraken(yard: Yard) -> None:
    """By that the others know whom to leave the lead to."""
    yard.pulse.give(State.FOLLOW, None, GOOD)
    assert yard.told() == Host("a", "follows", is_blind=False, is_cut_off=False)
    yard.pulse.give(State.FOLLOW, None, Sight(1.9, 1.9))
    assert yard.told() == Host("a", "follows", is_blind=False, is_cut_off=False)
    yard.pulse.give(State.FOLLOW, None, Sight(2.0, 0.0))
    assert yard.told() == Host("a", "follows", is_blind=True, is_cut_off=False)
    yard.pulse.give(State.LEAD, yard.fence, Sight(0.0, 2.0))
    assert yard.told() == Host("a", "leads", is_blind=False, is_cut_off=True)


def test_host_that_has_not_read_its_rows_sees_no_price(yard: Yard) -> None:
    """Nobody gives it the lead, and nobody waits for it."""
    yard.crew.is_ready = False
    yard.pulse.give(State.FOLLOW, None, GOOD)
    told = yard.told()
    assert told is not None
    assert told.is_blind


def test_leader_beats_and_is_told_once_another_leads(yard: Yard) -> None:
    """What stands in the way comes with it."""
    yard.pulse.give(State.LEAD, yard.fence, GOOD)
    assert yard.store.get(KEYS.beat) is not None
    assert yard.refused == []
    yard.store.commit(Change({}, {KEYS.lead: b"b leads"}))
    beat = yard.store.get(KEYS.beat)
    yard.pulse.give(State.LEAD, yard.fence, GOOD)
    assert yard.refused == [(yard.fence, [KEYS.lead])]
    assert yard.store.get(KEYS.beat) == beat


def test_store_that_does_not_answer_is_no_refusal(yard: Yard) -> None:
    """Nobody knows what became of it, and the next sign is due soon."""
    yard.line.is_cut = True
    yard.pulse.give(State.LEAD, yard.fence, GOOD)
    assert yard.refused == []
    assert yard.silence.lasts(feed_clock()) >= 0


def test_host_that_hears_nothing_puts_nothing(yard: Yard) -> None:
    """What it puts would arrive, and others would believe that it leads."""
    yard.pulse.give(State.LEAD, yard.fence, GOOD)
    yard.line.is_deaf = True
    yard.silence.heard(feed_clock() - 2.9)
    before = yard.store.version
    yard.pulse.give(State.LEAD, yard.fence, GOOD)
    assert yard.store.version == before + 1  # it does not know yet that it is deaf
    yard.silence.heard(feed_clock() - 3.0)
    assert yard.pulse.is_deaf(feed_clock())
    yard.pulse.give(State.LEAD, yard.fence, GOOD)
    assert yard.store.version == before + 1


def test_first_answer_is_followed_by_a_sign_at_once(yard: Yard) -> None:
    """Others count its silence: half a second more could be too much."""
    yard.silence.heard(feed_clock() - 30.0)
    yard.pulse.give(State.LEAD, yard.fence, GOOD)
    assert not yard.pulse.is_deaf(feed_clock())
    assert yard.store.get(KEYS.beat) is not None
