"""Candles and trades as they come, and how they are joined to what REST tells."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakenlink.pairs import Symbol
from krakenlink.stream.events import TradePrint
from krakenlink.stream.tapes import (
    INTERVALS,
    Candle,
    Tape,
    by_begin,
    checked_interval,
    has_more,
    holes,
    impossible,
    joined,
    plausible,
)

ONE = Decimal(1)
CANDLE = Candle(60, Decimal(5), Decimal(9), Decimal(4), Decimal(6), Decimal(2), 3)


# --- candles -----------------------------------------------------------------------------------


def test_intervals_are_kraken_s() -> None:
    """From a minute to 15 days."""
    assert [checked_interval(minutes) for minutes in INTERVALS] == list(INTERVALS)


@pytest.mark.parametrize("interval", [0, 2, -1, 1.0, "1", None, True, 43200])
def test_another_interval_is_refused_with_those_there_are(interval: object) -> None:
    """The error names what was given and what can be had."""
    with pytest.raises(ValueError, match="1, 5, 15, 30, 60, 240") as caught:
        checked_interval(interval)
    assert repr(interval) in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("low", Decimal(n)) for n in (0, -1, 6, 10)),
        *(("high", Decimal(n)) for n in (5, 0)),
        *(("open", Decimal(n)) for n in (3, 10)),
        *(("close", Decimal(n)) for n in (3, 10)),
        ("volume", Decimal(-1)),
    ],
)
def test_candle_that_cannot_be_is_not_sane(field: str, value: Decimal) -> None:
    """All prices lie between the lowest and the highest, above nothing."""
    assert CANDLE.is_sane
    assert not replace(CANDLE, **{field: value}).is_sane  # type: ignore[arg-type]  # a number


def test_candle_without_a_trade_is_sane() -> None:
    """REST has some, at the price before."""
    assert Candle(0, ONE, ONE, ONE, ONE, Decimal(0), 0).is_sane


def test_of_two_states_of_a_candle_the_later_has_as_many_trades_or_more() -> None:
    """Trades are never taken back."""
    more = replace(CANDLE, trades=4)
    assert has_more(CANDLE, more)
    assert has_more(CANDLE, CANDLE)
    assert not has_more(more, CANDLE)
    assert by_begin([CANDLE, replace(more, begin=120)]) == {
        60: CANDLE,
        120: replace(more, begin=120),
    }


@pytest.mark.parametrize(
    ("elapsed", "begins"), [(0.0, [0, 60, 180]), (59.9, [0, 60, 180]), (60.0, [0, 60, 180, 240])]
)
def test_candle_from_the_future_is_not_taken(elapsed: float, begins: list[int]) -> None:
    """None can begin later than REST's last one, the time since then, and some grace."""
    items = dict.fromkeys((0, 60, 180, 240, 10**9), "x")
    assert list(plausible(items, newest=60, elapsed=elapsed, width=60)) == begins


# --- a tape ------------------------------------------------------------------------------------


def test_tape_tells_the_place_before_a_hole() -> None:
    """And None where there is none: at the first, at the next, at one that came before."""
    tape: Tape[str] = Tape(10)
    assert [tape.add(n, "x") for n in (5, 6, 9, 7, 9, 10, 20)] == [
        None,
        None,
        6,
        None,
        None,
        None,
        10,
    ]
    assert tape.last == 20


def test_tape_goes_on_where_its_places_do() -> None:
    """One far ahead that nothing leads to is left alone at once, one that is not so far soon."""
    for place, up_to in ((2**62, [10, 11, 12]), (5000, [5000] * 3)):
        tape: Tape[str] = Tape(10)
        tape.add(10, "x")
        assert tape.add(place, "x") == 10
        assert [(tape.add(n, "x"), tape.last)[1] for n in (10, 11, 12)] == up_to
        for n in range(13, 20):
            assert tape.add(n, "x") is None
        assert tape.last == 19
        assert tape.add(22, "x") == 19


def test_places_that_have_begun_anew_are_followed() -> None:
    """Far above, or far below: whatever follows one after the other is where they go on."""
    for first in (2**62, 1):
        tape: Tape[str] = Tape(10)
        for n in (100, 101, *range(first, first + 9)):
            tape.add(n, "x")
        assert tape.last == first + 8
        assert tape.add(first + 11, "x") == first + 8


def test_late_places_take_nothing_from_what_is_known() -> None:
    """They fill a hole that was told; where it goes on is seen from the next one."""
    tape: Tape[str] = Tape(10)
    told = [tape.add(n, "x") for n in (5, 9, 7, 6, 8, 8, 10, 7, 11, 14, 12, 15, 13, 16)]
    assert told == [None, 5, *[None] * 7, 11, *[None] * 4]
    assert tape.last == 16


@given(
    st.lists(st.tuples(st.integers(1, 4), st.sampled_from([0, 0, 2, 3, 5, 7])), max_size=60),
    st.sampled_from([1_000, 10**6, 2**62]),
)
def test_every_hole_is_told_whatever_is_ahead(steps: list[tuple[int, int]], far: int) -> None:
    """With nonsense between any two, none of which leads to another, and no two in turn."""
    tape: Tape[None] = Tape(1)
    place, is_sure = 100, True
    tape.add(place, None)
    for number, (step, nonsense) in enumerate(steps):
        if nonsense and is_sure:
            assert tape.add(place + far + 10 * number * nonsense, None) is not None
        # What follows one that is not so far ahead shows only once it goes on that it is nonsense.
        step = 1 if nonsense and is_sure and far < 2**62 else step
        is_sure = not nonsense
        before, place = place, place + step
        assert tape.add(place, None) == (before if step > 1 else None)
    assert tape.last is not None


def test_tape_keeps_few_places_where_it_might_go_on() -> None:
    """However much nonsense comes."""
    tape: Tape[None] = Tape(1)
    for n in range(1000):
        tape.add(n * 7 % 1000 * 3, None)
    assert len(tape._others) <= 8


def test_tape_keeps_the_latest_news_of_a_place() -> None:
    """A candle changes with each trade."""
    tape: Tape[str] = Tape(10)
    tape.keep()
    tape.add(1, "old")
    tape.add(1, "new")
    assert tape.items == {1: "new"}


def test_tape_keeps_so_many_and_no_more() -> None:
    """The oldest go."""
    tape: Tape[int] = Tape(3)
    tape.keep()
    for n in range(10):
        tape.add(n, n)
    assert list(tape.items) == [7, 8, 9]


def test_long_tape_drops_many_at_a_time() -> None:
    """Never fewer than it is to keep are there, and never more than a sixteenth above that."""
    tape: Tape[int] = Tape(160)
    tape.keep()
    lengths = []
    for n in range(1000):
        tape.add(n, n)
        lengths.append(len(tape.items))
        assert list(tape.items) == list(range(n + 1 - lengths[-1], n + 1))
    assert lengths[:170] == list(range(1, 171))
    assert {*lengths[170:]} == {*range(160, 171)}


def test_tape_is_written_from_the_first_look_on() -> None:
    """Who only listens has nothing kept; holes are told all the same."""
    tape: Tape[str] = Tape(10)
    assert [tape.add(1, "before"), tape.add(4, "before")] == [None, 1]
    assert (tape.items, tape.last) == ({}, 4)
    tape.keep()
    assert [tape.add(5, "after"), tape.add(7, "after")] == [None, 5]
    assert tape.items == {5: "after", 7: "after"}


# --- joined ------------------------------------------------------------------------------------


def test_joined_has_each_place_once_in_order() -> None:
    """The stream's word counts where both tell."""
    assert joined({1: "a", 2: "b"}, {3: "C", 2: "B"}, 10) == {1: "a", 2: "B", 3: "C"}
    assert list(joined({3: "c", 1: "a"}, {}, 10)) == [1, 3]
    assert joined({1: "a", 2: "b"}, {3: "C"}, 2) == {2: "b", 3: "C"}
    assert joined({}, {}, 2) == {}


def test_joined_takes_the_newer_of_two() -> None:
    """By whatever tells."""
    assert joined({1: 5, 2: 5}, {1: 4, 2: 6}, 9, lambda known, told: told > known) == {1: 5, 2: 6}


@pytest.mark.parametrize(
    ("places", "step", "after", "expected"),
    [
        ((), 1, 0, False),
        ((5,), 1, 0, False),
        ((1, 2, 3), 1, 0, False),
        ((1, 3), 1, 0, True),
        ((1, 3, 4), 1, 3, False),  # REST has looked there
        ((1, 3, 5), 1, 3, True),
        ((0, 60, 120), 60, 0, False),
        ((0, 60, 180), 60, 60, True),
    ],
)
def test_hole_is_seen_where_rest_has_not_looked(
    places: tuple[int, ...], step: int, after: int, *, expected: bool
) -> None:
    """What REST does not have either is no hole of ours."""
    assert bool(holes(places, step, after)) is expected


def _trades(*told: tuple[int, str | None]) -> dict[int, TradePrint]:
    """Return trades by their numbers, each of a second of one minute."""
    return {
        n: TradePrint(Symbol("BTC/USD"), ONE, ONE, n, s and f"2026-11-27T11:00:{s}Z")
        for n, s in told
    }


@pytest.mark.parametrize(
    ("tape", "is_patient", "expected"),
    [
        ([(6, "01"), (7, "02")], False, set()),
        ([(9, "06")], False, set()),  # REST may be behind
        ([(9, "06")], True, set()),
        ([(9, "05")], False, set()),
        ([(9, "05")], True, {9}),
        ([(9, "04.9995")], False, set()),  # one moment, told a little differently
        ([(9, "04.998")], False, {9}),
        ([(9, None)], False, set()),
        ([(9, None)], True, {9}),
        ([(9, "rubbish")], True, {9}),
        ([(9, "06"), (5, "05")], False, {9}),  # what REST has told came later
        ([(5, "05"), (9, "06")], False, set()),
        ([(6, "01"), (9, "02"), (10, "03")], False, {9, 10}),
    ],
)
def test_number_is_impossible_where_rest_knows_a_lower_one_of_later(
    tape: list[tuple[int, str | None]], *, is_patient: bool, expected: set[int]
) -> None:
    """By moment, or by the order in which they came; what goes on without a hole never is."""
    rest = _trades((4, "04"), (5, "05"))
    assert impossible(_trades(*tape), rest, is_patient=is_patient) == expected
    assert impossible(_trades(*tape), {}, is_patient=is_patient) == set()


@given(st.sets(st.integers(0, 60)), st.sets(st.integers(0, 60)), st.integers(1, 70))
def test_joined_is_what_both_have(base: set[int], tape: set[int], most: int) -> None:
    """The newest of all, without a twin."""
    found = joined(dict.fromkeys(base, "r"), dict.fromkeys(tape, "s"), most)
    assert list(found) == sorted(base | tape)[-most:]
    assert all(found[n] == ("s" if n in tape else "r") for n in found)
