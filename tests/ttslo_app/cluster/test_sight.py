"""What a host has of Kraken and of the store: who is told when, when it gives way, what is said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttslo_app.cluster.sight import Age, Lookout, Sight, Silence


@pytest.mark.parametrize(
    ("blind_for", "cut_off_for", "is_blind", "is_cut_off", "is_good", "gives_way"),
    [
        (0.0, 0.0, False, False, True, False),
        (0.1, 0.0, False, False, False, False),  # a moment: it is not the one to stand first
        (0.0, 1.9, False, False, True, False),  # a question that is under way
        (2.0, 0.0, True, False, False, False),
        (0.0, 2.0, False, True, False, False),
        (9.9, 9.9, True, True, False, False),
        (10.0, 0.0, True, False, False, True),
        (0.0, 10.0, False, True, False, True),
    ],
)
def test_what_follows_from_what_a_host_lacks(
    blind_for: float,
    cut_off_for: float,
    is_blind: bool,
    is_cut_off: bool,
    is_good: bool,
    gives_way: bool,
) -> None:
    """Others are told of it soon, and the lead is given away much later."""
    sight = Sight(blind_for, cut_off_for)
    assert (sight.is_blind, sight.is_cut_off) == (is_blind, is_cut_off)
    assert sight.is_told_of is (is_blind or is_cut_off)
    assert (sight.is_good, sight.gives_way) == (is_good, gives_way)


@given(st.floats(0, 1e6), st.floats(0, 5), st.booleans())
def test_whoever_gives_way_was_told_of_whoever_lacks_the_same(
    since: float, later: float, is_cut: bool
) -> None:
    """What began for all within some seconds moves the lead nowhere: all of them know of all."""
    at = since + 10.0
    lacks = [at - since, at - since - later]
    first, second = (Sight(0.0, one) if is_cut else Sight(one, 0.0) for one in lacks)
    if first.gives_way:
        assert second.is_blind or second.is_cut_off


def texts(lookout: Lookout, *seen: tuple[float, float, bool, bool]) -> list[str]:
    """Return what is said of (moment, seconds cut off, leads, another can); empty for nothing."""
    said = (
        lookout.news(Sight(0.0, cut), now, leads=leads, can_other=can)
        for now, cut, leads, can in seen
    )
    return ["" if one is None else one.text for one in said]


def test_what_may_pass_is_not_told() -> None:
    """Kraken is slow now and then."""
    assert texts(Lookout(), (0.0, 0.0, True, False), (9.0, 9.0, True, False)) == ["", ""]


def test_who_gives_the_lead_away_says_that_instead() -> None:
    """Two sentences for one thing are one too many."""
    assert texts(Lookout(), (10.0, 10.0, True, True)) == [""]


@pytest.mark.parametrize(
    ("leads", "part"), [(True, "NO ORDER can be placed"), (False, "only if no other can")]
)
def test_it_is_told_again_while_it_lasts_and_once_when_it_is_over(leads: bool, part: str) -> None:
    """Nobody may have looked the first time."""
    lookout = Lookout()
    first, *more = texts(
        lookout,
        (10.0, 10.0, leads, False),
        (69.0, 69.0, leads, False),
        (70.0, 70.0, leads, False),
        (71.0, 0.0, leads, False),
        (72.0, 0.0, leads, False),
    )
    assert part in first
    assert "no call from here for 10 s" in first
    assert [bool(one) for one in more] == [False, True, True, False]
    assert more[2] == "Kraken answers calls from here again"


def test_whoever_comes_to_lead_meanwhile_says_what_that_means() -> None:
    """For a host that stands by it was a note; now no order can be placed."""
    lookout = Lookout()
    first, second = texts(lookout, (10.0, 10.0, False, False), (12.0, 12.0, True, False))
    assert "NO ORDER" not in first
    assert "NO ORDER" in second


def texts_of(silence: Silence, moments: list[float], *, leads: bool = True) -> list[str]:
    """Return what is said at some moments; empty for nothing."""
    said = (silence.news(now, leads=leads) for now in moments)
    return ["" if one is None else one.text for one in said]


def test_short_silence_is_none() -> None:
    """An election among the nodes takes a second or two."""
    silence = Silence(100.0)
    assert texts_of(silence, [100.0, 101.9]) == ["", ""]
    silence.heard(101.9)
    assert texts_of(silence, [103.8]) == [""]


@pytest.mark.parametrize(
    ("leads", "part"), [(True, "NO ORDER can be placed"), (False, "this host cannot take over")]
)
def test_silence_says_what_it_means_for_this_host(leads: bool, part: str) -> None:
    """Whoever leads places nothing, and whoever follows cannot help."""
    (text,) = texts_of(Silence(0.0), [2.0], leads=leads)
    assert part in text
    assert "for 2 s" in text


def test_silence_that_goes_on_is_told_every_minute() -> None:
    """Nobody may have looked the first time."""
    said = texts_of(Silence(0.0), [2.0, 10.0, 61.9, 62.0, 100.0, 122.0])
    assert [bool(text) for text in said] == [True, False, False, True, False, True]


def test_store_that_is_back_is_told_once() -> None:
    """And the next silence is news again, at once."""
    silence = Silence(0.0)
    texts_of(silence, [2.0])
    silence.heard(5.0)
    assert texts_of(silence, [5.0, 5.1]) == ["The store answers again", ""]
    assert [bool(text) for text in texts_of(silence, [6.9, 7.0])] == [False, True]


def test_silence_lasts_since_the_last_answer() -> None:
    """By that a host knows that it hears nothing, whatever was told of it."""
    silence = Silence(100.0)
    assert silence.lasts(103.0) == 3.0
    silence.heard(104.0)
    assert silence.lasts(104.5) == 0.5


class Memory:
    """What a host remembers of the store, and how often it wrote that down."""

    def __init__(self, seen: int = 0) -> None:
        self.seen, self.writes = seen, 0

    def newest(self) -> int:
        return self.seen

    def keep(self, version: int) -> None:
        self.seen, self.writes = version, self.writes + 1


def test_store_that_knows_less_than_this_host_remembers_is_older() -> None:
    """An earlier run has kept a version; the same version is no older one."""
    for version, expected in ((6, True), (7, False), (8, False)):
        age = Age(Memory(7))
        age.ask()
        age.read(version)
        assert age.is_older == expected


def test_store_that_goes_back_while_it_is_watched_is_older() -> None:
    """Nothing has to be on the disk for that."""
    age = Age(Memory())
    age.heard(50, 0.0)
    age.ask()
    age.read(49)
    assert age.is_older


def test_what_is_heard_while_everything_is_read_says_nothing() -> None:
    """Our own beat is answered later than the question and earlier than the answer."""
    age = Age(memory := Memory())
    age.ask()
    age.heard(50, 0.0)
    age.read(49)
    assert not age.is_older
    assert memory.seen == 50


def test_later_reading_that_is_newer_takes_the_doubt_away() -> None:
    """A node that had lagged behind was asked, which a store of one mind does not do twice."""
    age = Age(Memory(7))
    age.ask()
    age.read(6)
    age.ask()
    age.read(9)
    assert not age.is_older


def test_how_new_it_is_is_written_once_a_minute() -> None:
    """Beats come twice a second."""
    age = Age(memory := Memory())
    for beat in range(240):
        age.heard(beat, beat / 2)
    assert (memory.writes, memory.seen) == (2, 120)


def test_nothing_older_is_kept() -> None:
    """Neither of a store that went back, nor by an election that this host won long ago."""
    age = Age(memory := Memory(100))
    age.keep(7)
    assert memory.seen == 100
    age.ask()
    age.read(9)
    age.heard(10, 0.0)
    assert memory.seen == 100
