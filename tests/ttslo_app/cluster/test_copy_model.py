"""The copy against a store that changes: whatever comes late, or twice, it ends as the store is."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kits.hosts.memory_store import MemoryStore
from ttslo_app.cluster.copy import Copy
from ttslo_app.cluster.records import Keys, life_text, row_text
from ttslo_app.cluster.store import Change, Entry, News

KEYS = Keys("prod")
NAMES = st.sampled_from("abc")
CHANGES = st.lists(
    st.tuples(st.sampled_from(["row", "life", "gone"]), NAMES, st.integers(0, 3)), max_size=15
)


def history_of(changes: list[tuple[str, str, int]]) -> MemoryStore:
    """Return a store in which these changes have happened, in this order."""
    store = MemoryStore()
    for number, (kind, name, cell) in enumerate(changes):
        cells = {"id": name, "cell": str(cell)}
        if kind == "gone":
            store.commit(Change({}, {}, (KEYS.row(name),)))
        elif kind == "row":
            store.commit(Change({}, {KEYS.row(name): row_text(cells, cell, str(number))}))
        else:
            store.commit(Change({}, {KEYS.life(name): life_text(cells, str(number))}))
    return store


def entries_of(copy: Copy) -> set[Entry]:
    """Return all that a copy holds."""
    return set(copy.below(KEYS.rows)) | set(copy.below(KEYS.lives))


def is_as(copy: Copy, store: MemoryStore) -> bool:
    """Tell whether a copy is as its store is."""
    return entries_of(copy) == set(store.list(KEYS.base)[0])


@settings(max_examples=200, deadline=None)
@given(CHANGES, st.integers(0, 15), st.data())
def test_reading_and_news_lead_to_the_store_as_it_is(
    changes: list[tuple[str, str, int]], read_after: int, data: st.DataObject
) -> None:
    """Everything is read once in between, and some news come twice or before the reading."""
    store = history_of(changes)
    part = history_of(changes[:read_after])
    copy = Copy(KEYS)
    early = [news for news in store.log if data.draw(st.booleans())]
    for news in early:
        copy.take(news)
    copy.load(*part.list(KEYS.base))
    for news in store.log:
        copy.take(news)
        if data.draw(st.booleans()):
            copy.take(news)
    assert is_as(copy, store)


@settings(max_examples=200, deadline=None)
@given(CHANGES)
def test_rows_have_changed_if_and_only_if_their_bytes_have(
    changes: list[tuple[str, str, int]],
) -> None:
    """One version is one set of rows: a second reading of the same is none that has to be made."""
    store, copy = history_of(changes), Copy(KEYS)
    seen: dict[int, bytes] = {}
    for news in store.log:
        before = copy.rows_version
        changed = copy.take(news)
        assert bool(changed.rows) == (copy.rows_version != before)
        data, version = copy.config()
        assert seen.setdefault(version, data) == data
    copy.load(*store.list(KEYS.base))
    assert copy.config() == (seen.get(copy.rows_version, copy.config()[0]), copy.rows_version)


@given(CHANGES, st.permutations(range(15)))
def test_entries_of_our_own_may_come_in_any_order(
    changes: list[tuple[str, str, int]], order: list[int]
) -> None:
    """Answers to our own changes come on one thread, news of them on another."""
    kept = [change for change in changes if change[0] != "gone"]
    store, copy = history_of(kept), Copy(KEYS)
    log = store.log
    for number in order:
        if number < len(log):
            copy.note(log[number].entries, is_own=bool(number % 2))
    assert is_as(copy, store)


@given(st.lists(st.booleans(), max_size=12))
def test_only_own_writing_is_told_from_any_edit(writings: list[bool]) -> None:
    """Between two versions lies an edit, or there lies none."""
    copy, versions = Copy(KEYS), [0]
    for number, is_own in enumerate(writings, 1):
        text = row_text({"id": "a"}, 0, str(number))
        copy.note([Entry(KEYS.row("a"), text, number)], is_own=is_own)
        versions.append(copy.rows_version)
    for first in range(len(versions)):
        for last in range(first, len(versions)):
            expected = all(writings[first:last])
            assert copy.is_own_writing(versions[last], versions[first]) == expected


def test_news_of_other_keys_change_neither_rows_nor_lives() -> None:
    """Beats come twice a second."""
    copy = Copy(KEYS)
    copy.load([], 1)
    before = copy.config()
    for version in range(2, 50):
        changed = copy.take(News(version, [Entry(KEYS.beat, b"{}", version)]))
        assert not changed.rows
        assert not changed.lives
    assert copy.config() == before
    assert copy.version(KEYS.beat) == 49
