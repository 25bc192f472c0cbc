"""The copy of one account: whatever order its news come in, the newest of each key stands."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttslo_app.cluster.copy import Copy
from ttslo_app.cluster.records import Changed, Keys, dumped, life_text, row_text
from ttslo_app.cluster.store import Entry, News
from ttslo_app.orders.ledger import UnreadableLife, read_life

KEYS = Keys("prod")


def row(rule_id: str, version: int, place: int = 0, **cells: str) -> Entry:
    """Return the entry of a row."""
    text = row_text({"id": rule_id, **cells}, place, f"t{version}")
    return Entry(KEYS.row(rule_id), text, version)


def life(rule_id: str, version: int, state: str = "armed") -> Entry:
    """Return the entry of a life."""
    return Entry(KEYS.life(rule_id), life_text({"id": rule_id, "rule_state": state}, "t"), version)


def test_a_reading_is_what_stands() -> None:
    """Rows come in the order of their places, lives by id, and each with its version."""
    copy = Copy(KEYS)
    copy.load([row("b", 3, place=1), row("a", 4, place=2), life("a", 5)], 9)
    assert [one.id for one in copy.rows()] == ["b", "a"]
    assert copy.lives() == {"a": {"id": "a", "rule_state": "armed"}}
    assert copy.version(KEYS.life("a")) == 5
    assert copy.version(KEYS.life("b")) == 0
    assert copy.entry(KEYS.life("b")) is None
    assert copy.life("b") is None
    assert copy.row("c") is None
    assert copy.ids() == {"a", "b"}
    assert [one.version for one in copy.below(KEYS.rows)] == [3, 4]
    assert copy.below(KEYS.hosts) == []


def test_news_say_which_rows_and_lives_they_change() -> None:
    """What has not changed need not be looked at."""
    copy = Copy(KEYS)
    copy.load([row("a", 1), life("a", 2)], 2)
    assert copy.take(News(4, [row("b", 3), life("a", 4, "placed")])) == Changed(
        frozenset({"b"}), frozenset({"a"})
    )
    assert copy.take(News(5, gone=[KEYS.row("a")])) == Changed(frozenset({"a"}))
    assert [one.id for one in copy.rows()] == ["b"]
    assert copy.take(News(5, gone=[KEYS.row("a")])) == Changed()
    assert copy.take(News(6, [Entry(KEYS.beat, b"{}", 6)])) == Changed()


def test_an_older_entry_never_takes_the_place_of_a_newer_one() -> None:
    """Our own change is known before the news of it come."""
    copy = Copy(KEYS)
    assert copy.note([life("a", 7, "placed")]).lives == {"a"}
    assert copy.take(News(7, [life("a", 5)])) == Changed()
    copy.load([life("a", 6)], 6)
    assert copy.life("a") == {"id": "a", "rule_state": "placed"}


def test_what_is_gone_does_not_come_back_by_news_that_are_older() -> None:
    """A row that its user took away must not be armed by a late word of it."""
    copy = Copy(KEYS)
    copy.load([row("a", 3)], 3)
    copy.take(News(5, gone=[KEYS.row("a")]))
    assert copy.take(News(5, [row("a", 4)])) == Changed()
    copy.load([row("a", 4)], 4)
    assert copy.rows() == []
    assert copy.take(News(6, [row("a", 6)])).rows == {"a"}


def test_a_row_that_is_newer_is_not_taken_away() -> None:
    """The deletion that is told of is of the row before it."""
    copy = Copy(KEYS)
    copy.note([row("a", 8)])
    assert copy.take(News(7, gone=[KEYS.row("a")])) == Changed()
    assert copy.row("a") is not None


@given(st.permutations([life("a", n, str(n)) for n in range(1, 7)]))
def test_the_newest_stands_whatever_comes_first(entries: list[Entry]) -> None:
    """Two threads bring them: the watch, and whoever has just changed something."""
    copy = Copy(KEYS)
    for one in entries:
        copy.note([one])
    assert copy.life("a") == {"id": "a", "rule_state": "6"}


def test_few_keys_are_found_without_a_look_at_all_rows() -> None:
    """Who leads and which hosts live is asked ten times a second, beside 100,000 rows."""
    copy = Copy(KEYS)
    copy.load([row("a", 1), life("a", 1), Entry(KEYS.lead, b"{}", 1)], 1)
    assert [one.key for one in copy.below(KEYS.lead)] == [KEYS.lead]
    copy.note([Entry(KEYS.host("b"), b"{}", 2), life("b", 2)])
    assert [one.key for one in copy.below(KEYS.hosts)] == [KEYS.host("b")]
    assert copy._few == {KEYS.lead, KEYS.host("b")}
    copy.take(News(3, gone=[KEYS.host("b")]))
    assert copy.below(KEYS.hosts) == []
    assert copy._few == {KEYS.lead}


def test_rows_have_a_version_that_lives_do_not_change() -> None:
    """A rule that fires is no edit of its row."""
    copy = Copy(KEYS)
    copy.load([row("a", 1)], 4)
    before, data = copy.rows_version, copy.config()
    copy.note([life("a", 9)])
    assert (copy.rows_version, copy.config()) == (before, data)
    copy.note([row("a", 10, pair="BTC/USD")])
    assert copy.rows_version > before
    changed = copy.config()
    assert changed != data
    copy.take(News(12, gone=[KEYS.row("a")]))
    assert copy.config()[0] != changed[0]
    assert copy.rows_version > changed[1]


def test_rows_that_are_read_again_and_are_the_same_have_not_changed() -> None:
    """A lost connection to the store is no edit."""
    copy = Copy(KEYS)
    copy.load([row("a", 1), life("a", 2)], 4)
    before = copy.rows_version
    copy.load([row("a", 1), life("a", 5)], 5)
    assert copy.rows_version == before
    copy.load([row("a", 6)], 6)
    assert copy.rows_version > before
    before = copy.rows_version
    copy.load([], 7)
    assert copy.rows_version > before


def test_a_late_word_of_another_row_is_a_change() -> None:
    """Its revision is lower than one that is known, and it is news all the same."""
    copy = Copy(KEYS)
    copy.note([row("a", 9)])
    before = copy.config()
    copy.note([row("b", 8)])
    assert copy.config() != before


def test_our_own_writing_is_told_from_an_edit() -> None:
    """The program notes an order in a row; that is no reason to read all rows again."""
    copy = Copy(KEYS)
    copy.load([row("a", 1), row("b", 1)], 1)
    start = copy.rows_version
    copy.note([row("a", 2), row("b", 2)], is_own=True)
    copy.note([row("a", 3)], is_own=True)
    assert copy.is_own_writing(copy.rows_version, start)
    assert copy.is_own_writing(start, start)
    copy.note([row("b", 4)])
    assert not copy.is_own_writing(copy.rows_version, start)
    edited = copy.rows_version
    copy.note([row("b", 5)], is_own=True)
    assert copy.is_own_writing(copy.rows_version, edited)
    assert not copy.is_own_writing(copy.rows_version, start)


def test_a_row_that_cannot_be_read_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """Somebody wrote into the store by hand: that row does not trade, and the others do."""
    copy = Copy(KEYS)
    copy.load([Entry(KEYS.row("x"), b"nonsense", 1), row("a", 2)], 2)
    assert [one.id for one in copy.rows()] == ["a"]
    assert "account/main/row/x" in caplog.text


def test_a_life_that_cannot_be_read_has_no_state(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody knows whether its rule has fired, so it must not count as one that waits."""
    copy = Copy(KEYS)
    copy.load([Entry(KEYS.life("x"), dumped({"cells": 1}), 1), life("a", 1)], 1)
    assert set(copy.lives()) == {"x", "a"}
    assert "life/x" in caplog.text
    with pytest.raises(UnreadableLife):
        read_life("x", copy.lives()["x"])


def test_a_place_that_is_no_number_comes_first() -> None:
    """The order of rows is for people; no row is lost for it."""
    copy = Copy(KEYS)
    copy.load(
        [row("a", 1, place=1), Entry(KEYS.row("z"), dumped({"cells": {}, "place": "x"}), 2)], 2
    )
    assert [one.id for one in copy.rows()] == ["z", "a"]


def test_threads_may_bring_news_at_the_same_time() -> None:
    """The newest of each key stands after all of them."""
    copy = Copy(KEYS)

    def bring(start: int) -> None:
        for version in range(start, 2000, 4):
            copy.note([life(f"r{version % 7}", version, str(version))])

    threads = [threading.Thread(target=bring, args=(n,)) for n in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    newest = {f"r{v % 7}": str(v) for v in range(1, 2000)}
    assert {i: cells["rule_state"] for i, cells in copy.lives().items()} == newest
