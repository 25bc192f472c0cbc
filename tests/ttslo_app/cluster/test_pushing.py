"""From the rows of a file to the changes of a store."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ttslo_app.cluster.pushing import change_of, parts_of, places_of, steps_to
from ttslo_app.cluster.records import Keys, read_cells
from ttslo_app.cluster.sheet import Row

KEYS = Keys("c")


def known(*ids: str) -> list[Row]:
    """Return rows as a store has them."""
    return [Row(one, {"id": one, "pair": "X"}, (n + 1) * 1024, n + 5) for n, one in enumerate(ids)]


def wanted(*ids: str, **more: str) -> list[dict[str, str]]:
    """Return rows as a file has them."""
    return [{"id": one, "pair": "X", **more} for one in ids]


def test_the_same_rows_need_no_step() -> None:
    """Whichever empty columns the file has."""
    assert steps_to(wanted("a", "b", note="", **{"": "beyond the header"}), known("a", "b")) == []


def test_each_step_names_what_it_rests_on_and_what_it_changes() -> None:
    """New, changed and gone."""
    rows = [*wanted("new"), *wanted("a", volume="1")]
    steps = steps_to(rows, known("a", "gone"))
    assert [(s.id, s.version, s.cells is None) for s in steps] == [
        ("new", 0, False),
        ("a", 5, False),
        ("gone", 6, True),
    ]
    assert steps[1].differences == [("volume", "", "1")]
    assert steps[2].differences == [("id", "gone", ""), ("pair", "X", "")]
    change = change_of(KEYS, steps, "t")
    assert dict(change.rests_on) == {KEYS.row("new"): 0, KEYS.row("a"): 5, KEYS.row("gone"): 6}
    assert list(change.deletes) == [KEYS.row("gone")]
    assert read_cells("k", change.puts[KEYS.row("a")]) == {"id": "a", "pair": "X", "volume": "1"}


def test_a_new_row_moves_no_other() -> None:
    """Wherever it is put in."""
    for place in range(4):
        ids = ["a", "b", "c"]
        ids.insert(place, "new")
        assert [step.id for step in steps_to(wanted(*ids), known("a", "b", "c"))] == ["new"]


def test_rows_that_change_places_are_moved() -> None:
    """The order of the file is that of the store."""
    steps = steps_to(wanted("b", "a"), known("a", "b"))
    assert {step.id for step in steps} == {"a", "b"}
    assert all(step.differences == [] for step in steps)


def test_parts_are_small_and_complete() -> None:
    """A store takes so much at once."""
    steps = steps_to(wanted(*map(str, range(130))), [])
    parts = list(parts_of(steps))
    assert [len(part) for part in parts] == [60, 60, 10]
    assert [step for part in parts for step in part] == steps


IDS = st.lists(st.sampled_from("abcde"), unique=True)


@given(IDS, st.dictionaries(st.sampled_from("abcde"), st.integers(1, 7)))
def test_places_are_in_the_order_of_the_file(ids: list[str], before: dict[str, int]) -> None:
    """Whatever the store has: even rows that share a place."""
    places = places_of(ids, before)
    assert list(places) == ids or sorted(places) == sorted(ids)
    assert sorted(ids, key=places.__getitem__) == ids
    assert len(set(places.values())) == len(ids)
