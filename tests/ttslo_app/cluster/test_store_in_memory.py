"""The stand-in for a store keeps what `Store` promises, as the real one is held to in its tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.kits.hosts.memory_store import Fate, Line, MemoryStore
from ttslo_app.cluster.store import Change, Entry, News, Store, StoreUnreachable


def put(version: int, value: bytes = b"1", key: str = "a") -> Change:
    """Return a change of one key that must have a version."""
    return Change({key: version}, {key: value})


def test_a_change_rests_on_versions() -> None:
    """Done, it has a version of its own; refused, it changes nothing and tells what is there."""
    store: Store = MemoryStore()
    assert store.commit(put(0), patience=1).version == 1
    refused = store.commit(put(0, b"2"), patience=1)
    assert (refused.is_done, refused.found) == (False, {"a": Entry("a", b"1", 1)})
    assert store.commit(put(1, b"2"), patience=1).is_done
    assert store.get("a", patience=1) == Entry("a", b"2", 2)


def test_a_change_happens_whole_or_not_at_all() -> None:
    """One key that is not as it should be keeps all others from being put or deleted."""
    store = MemoryStore()
    store.commit(put(0))
    assert not store.commit(Change({"b": 7}, {"c": b"3"}, ["a"])).is_done
    assert store.list("") == ([Entry("a", b"1", 1)], 1)
    assert store.commit(Change({"b": 0, "a": 1}, {"c": b"3"}, ["a"])).is_done
    assert store.list("") == ([Entry("c", b"3", 2)], 2)


def test_a_change_that_finds_its_own_work_is_done() -> None:
    """With the version of then, whoever has changed another key since."""
    store = MemoryStore()
    store.commit(put(0))
    store.commit(put(0, b"9", "b"))
    again = store.commit(put(0))
    assert (again.is_done, again.version) == (True, 1)


def test_a_change_of_nothing_has_no_version_of_its_own() -> None:
    """What only compares, or deletes what is not there, is no news to anybody."""
    store = MemoryStore()
    store.commit(put(0))
    assert store.commit(Change({"a": 1}, {}, ["b"])).version == 1
    assert len(store.log) == 1


@pytest.mark.parametrize(
    ("fate", "at_once", "later"),
    [(Fate.LOST, 1, 1), (Fate.NEVER, 0, 0), (Fate.LATE, 0, 1)],
)
def test_an_unanswered_change_is_done_or_not(fate: Fate, at_once: int, later: int) -> None:
    """Whoever sent it hears the same each time, and learns by sending it again."""
    line = Line(MemoryStore())
    line.fates.append(fate)
    with pytest.raises(StoreUnreachable):
        line.commit(put(0))
    assert line.store.version == at_once
    line.deliver()
    assert line.store.version == later
    assert line.commit(put(0)).is_done  # the fates are used up
    assert line.store.version == 1


def test_a_late_change_is_refused_like_any_other() -> None:
    """Somebody was faster; it is not done, and nobody hears that either."""
    line = Line(MemoryStore())
    line.fates.append(Fate.LATE)
    with pytest.raises(StoreUnreachable):
        line.commit(put(0))
    line.store.commit(put(0, b"another's"))
    assert [answer.is_done for answer in line.deliver()] == [False]
    assert line.deliver() == []


def test_a_change_that_arrives_twice_is_done_once() -> None:
    """The second copy is refused by what the first has put, and counts as done."""
    line = Line(MemoryStore())
    line.fates.append(Fate.TWICE)
    assert line.commit(put(0)).is_done
    assert line.store.version == 1


@pytest.mark.parametrize(
    "ask",
    [
        lambda line: line.get("a"),
        lambda line: line.list(""),
        lambda line: line.commit(put(0)),
        lambda line: next(line.watch("", 0)),
    ],
)
def test_nothing_gets_through_a_cut_line(ask: Callable[[Line], Any]) -> None:
    """Every call says so, and the other host's line is another."""
    store = MemoryStore()
    line, other = Line(store), Line(store)
    line.is_cut = True
    with pytest.raises(StoreUnreachable):
        ask(line)
    other.commit(put(0))
    assert store.version == 1


def test_a_watch_tells_what_is_new_below_its_prefix() -> None:
    """In the order of the store, without what is known, and nothing is news at its time."""
    store = MemoryStore()
    store.commit(put(0, key="x/a"))
    store.commit(put(0, key="y/a"))
    watch = Line(store).watch("x/", 0, patience=0.01)
    assert next(watch) == News(2, [Entry("x/a", b"1", 1)], [])
    store.commit(Change({}, {"x/b": b"2"}, ["x/a", "y/a"]))
    assert next(watch) == News(3, [Entry("x/b", b"2", 3)], ["x/a"])
    assert next(watch) == News(3, [], [])
