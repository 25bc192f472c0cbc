"""Every state of a host with everything that can happen to it, and when it stands for election."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttslo_app.cluster.leadership import (
    TRANSITIONS,
    IllegalStep,
    Observed,
    Signal,
    State,
    stands,
    state_after,
)
from ttslo_app.cluster.records import Lead

LEGAL = {
    State.FOLLOW: {Signal.WIN: State.FENCE, Signal.OLDER: State.ASTRAY},
    State.FENCE: {
        Signal.FENCED: State.SETTLE,
        Signal.DEPOSED: State.DOWN,
        Signal.CONTRADICTED: State.ASTRAY,
    },
    State.SETTLE: {Signal.TAKEN_UP: State.LEAD, Signal.DEPOSED: State.DOWN},
    State.LEAD: {Signal.DEPOSED: State.DOWN, Signal.HANDED_OVER: State.DOWN},
    State.DOWN: {Signal.READ: State.FOLLOW},
    State.ASTRAY: {Signal.ANOTHER: State.DOWN},
}


@pytest.mark.parametrize(
    ("state", "signal"), list(itertools.product(State, Signal)), ids=lambda one: one.name
)
def test_every_signal_in_every_state(state: State, signal: Signal) -> None:
    """What the table does not name does not happen, and changes nothing."""
    if signal in LEGAL[state]:
        assert state_after(state, signal) is LEGAL[state][signal]
    else:
        with pytest.raises(IllegalStep, match=str(state)):
            state_after(state, signal)


@given(st.lists(st.sampled_from(list(Signal)), max_size=30))
def test_nobody_leads_who_was_not_fenced_after_winning(signals: list[Signal]) -> None:
    """An election won, Kraken having answered, and all taken up: in this order alone."""
    state, way = State.FOLLOW, []
    for signal in signals:
        if (state, signal) in TRANSITIONS:
            state = TRANSITIONS[state, signal]
            way.append(signal)
    if state is State.LEAD:
        assert way[-3:] == [Signal.WIN, Signal.FENCED, Signal.TAKEN_UP]


def test_whoever_steps_down_reads_everything_before_it_follows() -> None:
    """What it believed of lives may be wrong by now."""
    ways = {signal for (state, signal), to in TRANSITIONS.items() if to is State.FOLLOW}
    assert ways == {Signal.READ}


def test_a_change_of_either_key_begins_the_silence_anew() -> None:
    """A beat that is late, and a leader that is new, are both signs of life."""
    first = Observed(5, 9, 100.0)
    assert first.seen(5, 9, 103.0) is first
    assert first.silent_for(103.0) == 3.0
    assert first.seen(5, 10, 103.0) == Observed(5, 10, 103.0)
    assert first.seen(6, 9, 103.0) == Observed(6, 9, 103.0)


LEADER = Lead(4, "a", "", "t")


@pytest.mark.parametrize(
    ("lead", "silence", "is_blind", "expected"),
    [
        (LEADER, 2.9, False, False),
        (LEADER, 3.0, False, True),
        (LEADER, 3.0, True, False),
        (LEADER, 6.0, True, True),
        (None, 0.0, False, True),
        (None, 0.0, True, False),
        (None, 3.0, True, True),
        (Lead(5, "", "", "t"), 0.0, False, True),
        (Lead(5, "", "", "t"), 2.9, True, False),
        (Lead(5, "", "", "t"), 3.0, True, True),
    ],
)
def test_when_a_host_stands_for_election(
    lead: Lead | None, silence: float, is_blind: bool, expected: bool
) -> None:
    """At once where nobody leads, after a silence where somebody does, and later if it is blind."""
    observed = Observed(1, 1, 50.0)
    assert stands(observed, lead, 50.0 + silence, patience=3.0, is_blind=is_blind) is expected


@pytest.mark.parametrize("lead", [None, LEADER])
def test_a_host_that_others_come_before_waits_for_them(lead: Lead | None) -> None:
    """A little longer, whether somebody has led or nobody."""
    observed, patience = Observed(1, 1, 50.0), 3.0 if lead else 0.0
    for waits in (0.0, 0.5, 1.0):
        at = 50.0 + patience + waits
        assert stands(observed, lead, at, patience=3.0, is_blind=False, waits=waits)
        if at > 50.0:
            early = at - 0.01
            assert not stands(observed, lead, early, patience=3.0, is_blind=False, waits=waits)


@given(st.floats(0, 1e6), st.floats(0.1, 100), st.booleans())
def test_a_host_that_beats_is_never_stood_against(
    now: float, patience: float, is_blind: bool
) -> None:
    """A beat just seen is proof of life, whatever the hour."""
    seen = Observed(1, 1, 0.0).seen(1, 2, now)
    assert not stands(seen, LEADER, now, patience=patience, is_blind=is_blind)
