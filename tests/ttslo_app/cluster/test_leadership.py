"""Who leads: every step of a host, what it puts of that, and which other hosts live."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttslo_app.cluster.leadership import (
    TRANSITIONS,
    IllegalStep,
    Observed,
    Others,
    Signal,
    Stamp,
    State,
    beaten,
    claimed,
    halted,
    stands,
    state_after,
    vacated,
)
from ttslo_app.cluster.records import Host, Keys, Lead, host_text, loaded, read_host, read_lead
from ttslo_app.cluster.store import Entry

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


KEYS = Keys("prod")
BY = Stamp("a", "2026-11-26T12:00:00+00:00", "t1")


def test_first_lead_of_an_account_is_its_first_epoch() -> None:
    """It rests on there being none, or somebody else has made one meanwhile."""
    ours, change = claimed(KEYS, None, (0, 0), BY)
    assert ours == Lead(1, "a", BY.since, "t1")
    assert dict(change.rests_on) == {KEYS.lead: 0, KEYS.beat: 0}
    assert read_lead(KEYS.lead, change.puts[KEYS.lead]) == ours
    assert list(change.puts) == [KEYS.lead]


def test_next_lead_has_the_next_epoch_and_rests_on_the_last_beat() -> None:
    """A beat that came in between shows that the one before lives."""
    ours, change = claimed(KEYS, Lead(4, "b", "", "t"), (17, 99), BY)
    assert (ours.epoch, ours.host) == (5, "a")
    assert dict(change.rests_on) == {KEYS.lead: 17, KEYS.beat: 99}


def test_lead_that_is_given_back_is_nobodys_and_uses_an_epoch_up() -> None:
    """Whoever leads next has higher nonces than whoever gave it back."""
    change = vacated(KEYS, Lead(4, "a", "", "t"), 17, BY)
    assert dict(change.rests_on) == {KEYS.lead: 17}
    assert read_lead(KEYS.lead, change.puts[KEYS.lead]) == Lead(5, "", BY.since, "t1")


def test_beat_of_who_leads_rests_on_the_lead_and_that_of_others_on_nothing() -> None:
    """A host that was replaced is told so by its next beat."""
    host = Host("a", "leads", False, True)
    leads, follows = beaten(KEYS, host, "t1", 17), beaten(KEYS, host, "t1", None)
    assert dict(leads.rests_on) == {KEYS.lead: 17}
    assert set(leads.puts) == {KEYS.host("a"), KEYS.beat}
    assert not follows.rests_on
    assert set(follows.puts) == {KEYS.host("a")}
    for change in (leads, follows):
        assert read_host("k", change.puts[KEYS.host("a")]) == host


def test_two_beats_differ() -> None:
    """By the word of chance alone others see that it lives, and the store whose change it was."""
    host = Host("a", "leads", False)
    first, second = (beaten(KEYS, host, token, 17).puts for token in ("t1", "t2"))
    assert all(first[key] != second[key] for key in first)


def test_halt_is_put_by_whoever_was_elected_alone() -> None:
    """A host that another has replaced says nothing of the account."""
    change = halted(KEYS, 17, BY)
    assert dict(change.rests_on) == {KEYS.lead: 17}
    assert loaded(KEYS.halt, change.puts[KEYS.halt]) == {"host": "a", "token": "t1"}


def word(
    name: str,
    version: int,
    *,
    is_blind: bool = False,
    is_cut_off: bool = False,
    state: str = "follows",
) -> Entry:
    """Return what a host says of itself."""
    host = Host(name, state, is_blind, is_cut_off)
    return Entry(KEYS.host(name), host_text(host, str(version)), version)


def test_a_host_lives_while_its_word_changes() -> None:
    """The first word may be of last week; a second one is of now, and counts for a while."""
    others = Others(KEYS.host("me"), 3.0)
    others.see([word("b", 4)], 100.0)
    assert not others.any_lives(100.0)
    others.see([word("b", 4)], 101.0)
    assert not others.any_lives(101.0)
    others.see([word("b", 5)], 102.0)
    assert [host.name for host in others.living(105.0)] == ["b"]
    assert not others.any_lives(105.1)
    others.see([word("b", 6)], 200.0)
    assert others.any_lives(200.0)


def test_a_host_that_has_left_does_not_live() -> None:
    """Whoever ends takes its word away."""
    others = Others(KEYS.host("me"), 3.0)
    others.see([word("b", 1)], 0.0)
    others.see([word("b", 2)], 1.0)
    assert others.any_lives(1.0)
    others.see([], 1.5)
    assert not others.any_lives(1.5)


def test_the_own_word_is_none_of_another() -> None:
    """A host does not hand over to itself."""
    others = Others(KEYS.host("me"), 3.0)
    for version in (1, 2, 3):
        others.see([word("me", version)], 0.0)
    assert not others.any_lives(0.0)


def test_a_blind_host_lives_and_sees_nothing() -> None:
    """Nobody who is blind hands over to another who is."""
    others = Others(KEYS.host("me"), 3.0)
    for version in (1, 2):
        others.see([word("b", version, is_blind=True)], 0.0)
    assert others.any_lives(0.0)
    assert not others.any_could_lead(0.0)
    others.see([word("b", 3)], 1.0)
    assert others.any_could_lead(1.0)


@pytest.mark.parametrize(
    ("state", "is_cut_off", "expected"),
    [
        ("leads", True, True),
        ("fences", True, True),
        ("leads", False, False),
        ("follows", True, False),  # nobody is given anything for that
    ],
)
def test_a_leader_that_kraken_does_not_answer_is_heard_of(
    state: str, is_cut_off: bool, expected: bool
) -> None:
    """It will give the lead away: who stands by wants to know first whether it does better."""
    others = Others(KEYS.host("me"), 3.0)
    assert not others.hear_of_silence(0.0)
    for version in (1, 2):
        said = word("b", version, is_cut_off=is_cut_off, state=state)
        others.see([said, word("me", version, is_cut_off=True, state="leads")], 0.0)
    assert others.hear_of_silence(0.0) is expected
    assert not others.hear_of_silence(3.1)  # it has died


@pytest.mark.parametrize(
    ("lacks", "expected"),
    [
        ({}, True),
        ({"is_cut_off": True}, False),
        ({"is_blind": True}, False),
        ({"state": "leads"}, False),
        ({"state": "steps down"}, False),
        ({"state": "refuses to lead"}, False),
    ],
)
def test_who_could_lead_lacks_nothing_and_stands_by(lacks: dict[str, Any], expected: bool) -> None:
    """The lead is given to nobody else, and left to nobody else."""
    others = Others(KEYS.host("me"), 3.0)
    for version in (1, 2):
        others.see([word("b", version, **lacks), word("me", version)], 0.0)
    assert others.any_lives(0.0)
    assert others.any_could_lead(0.0) is expected
    assert not others.any_could_lead(3.1)  # it has died


@pytest.mark.parametrize(
    ("state", "expected"),
    [("leads", True), ("fences", True), ("takes over", True), ("follows", False),
     ("steps down", False), ("refuses to lead", False)],
)  # fmt: skip
def test_who_leads_says_so_itself_and_lives(state: str, expected: bool) -> None:
    """What the store has kept of a lead may be of yesterday."""
    others = Others(KEYS.host("me"), 3.0)
    for version in (1, 2):
        others.see([word("b", version, state=state)], 0.0)
    assert others.leads("b", 0.0) is expected
    assert not others.leads("c", 0.0)
    assert not others.leads("", 0.0)
    assert not others.leads("b", 3.1)


def test_what_cannot_be_read_is_no_host() -> None:
    """Somebody wrote that by hand."""
    others = Others(KEYS.host("me"), 3.0)
    for version in (1, 2):
        others.see([Entry(KEYS.host("x"), b"?", version)], 0.0)
    assert not others.any_lives(0.0)


def heard(own: str, *words: tuple[str, str, bool]) -> Others:
    """Return the others of a host, all of which live."""
    others = Others(KEYS.host(own), 3.0)
    for version in (1, 2):
        others.see([word(n, version, state=s, is_blind=b) for n, s, b in words], 0.0)
    return others


def test_hosts_of_an_account_have_one_order_which_all_of_them_know() -> None:
    """One is the first, and each other one knows how many come before it."""
    names = [f"host{n}" for n in range(5)]
    words = [(name, "follows", False) for name in names]
    for account in ("main", "other"):
        places = [heard(name, *words).before(name, account, 0.0) for name in names]
        assert sorted(places) == [0, 1, 2, 3, 4]


def test_accounts_are_spread_over_the_hosts() -> None:
    """Of many accounts each host is the first for some."""
    names = ["a", "b", "c"]
    words = [(name, "follows", False) for name in names]
    firsts = [
        name
        for account in map(str, range(60))
        for name in names
        if heard(name, *words).before(name, account, 0.0) == 0
    ]
    assert len(firsts) == 60
    assert min(firsts.count(name) for name in names) > 8


def test_nobody_waits_for_a_host_that_would_not_take_over() -> None:
    """One that leads and hands over, one that steps down, one that is blind, one that is gone."""
    words = [("b", "leads", False), ("c", "steps down", False), ("d", "follows", True)]
    for account in map(str, range(20)):
        assert heard("a", *words).before("a", account, 0.0) == 0
        assert heard("a", ("b", "follows", False)).before("a", account, 4.0) == 0
