"""A thing is said once, until it changes or heals."""

from hypothesis import given
from hypothesis import strategies as st

from krakenlink.once import Once


def test_same_sentence_is_news_once() -> None:
    """What was said on a subject is not said again."""
    once = Once()
    assert [once.is_news("r1", "no funds") for _ in range(3)] == [True, False, False]


def test_subjects_know_nothing_of_each_other() -> None:
    """The same sentence about another row is news."""
    once = Once()
    assert [once.is_news(subject, "no funds") for subject in ("r1", "r2", "r1")] == [
        *(True, True, False)
    ]


def test_other_sentence_is_news_and_so_is_the_first_after_it() -> None:
    """Only the last thing said counts."""
    once = Once()
    assert all(once.is_news("r1", said) for said in ("busy", "no funds", "busy"))


def test_what_has_healed_is_news_when_it_comes_back() -> None:
    """Healing tells whether there was something to heal, and forgets it."""
    once = Once()
    assert not once.has_healed("clock")
    assert once.is_news("clock")
    assert "clock" in once
    assert [once.has_healed("clock"), once.has_healed("clock")] == [True, False]
    assert "clock" not in once
    assert once.is_news("clock")


def test_unchanged_thing_is_news_again_after_its_time() -> None:
    """The time counts from the last saying, not from the last asking."""
    once = Once(again_after=60.0)
    told = [once.is_news("log", "disk full", at) for at in (5.0, 64.9, 65.0, 100.0, 125.0)]
    assert told == [True, False, True, False, True]


def test_cleared_once_has_said_nothing() -> None:
    """After `clear` everything is news."""
    once = Once()
    assert once.is_news("r1")
    once.clear()
    assert once.is_news("r1")


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2))))
def test_no_change_is_held_back(sayings: list[tuple[int, int]]) -> None:
    """Whatever is said in whatever order: it is told exactly where it differs from the last."""
    once, last = Once(), dict[int, int]()
    for subject, said in sayings:
        assert once.is_news(subject, said) is (last.get(subject) != said)
        last[subject] = said
