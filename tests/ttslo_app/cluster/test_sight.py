"""What a host has of Kraken: when others are told, when it gives way, and what a person hears."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttslo_app.cluster.sight import Lookout, Sight


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
