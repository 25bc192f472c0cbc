"""The waiting room beside a model of it: who waits, why, whose turn it is, and when time helps."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from krakenlink.rest.verdicts import Pause
from tests.kits.common.examples import many
from tests.kits.orders.order_bench import SETTINGS, rule
from ttslo_app.messages import Crossing
from ttslo_app.orders.owed import (
    FIRST_WAIT,
    LOCKOUT_WAIT,
    LONGEST_WAIT,
    OF_KEY,
    ORDER_GAP,
    KeyGate,
    Owed,
    Why,
)

BTC, ETH = "BTC/USD", "ETH/USD"
PAIRS = {"a": BTC, "b": BTC, "c": BTC, "d": ETH, "e": ETH}
NEVER = float("inf")
RULES = {name: rule(name, pair=pair) for name, pair in PAIRS.items()}


def crossing(name: str, seen_at: float | None = None) -> Crossing:
    """Return a crossing of the rule of that name."""
    return Crossing(RULES[name], Decimal(50001), "50001", seen_at=seen_at)


# --- who waits, and why --------------------------------------------------------------------------


@dataclass
class _Row:
    since: float
    why: Why
    at: float


@dataclass
class _Room:
    """What the room is to be: rows by name in their order, and refusals in a row."""

    rows: dict[str, _Row] = field(default_factory=dict)
    refusals: dict[str, int] = field(default_factory=dict)

    def refuse(self, name: str, now: float) -> None:
        count = self.refusals[name] = self.refusals.get(name, 0) + 1
        wait = min(SETTINGS.refusal_wait * 2 ** (count - 1), SETTINGS.refusal_wait_max)
        self.rows[name] = _Row(self.rows[name].since, Why.HEALING, now + wait)


_names = st.sampled_from(sorted(PAIRS))
_steps = st.one_of(
    st.tuples(st.just("take"), _names, st.none() | st.integers(0, 120)),
    st.tuples(st.just("wait"), _names, st.sampled_from(Why)),
    st.tuples(st.just("refuse"), _names, st.none()),
    st.tuples(st.just("first"), _names, st.none()),
    st.tuples(st.just("settle"), _names, st.none()),
    st.tuples(st.just("anew"), _names, st.none()),
    st.tuples(st.just("later"), _names, st.integers(1, 90)),
)


def _go(owed: Owed, room: _Room, step: tuple[str, str, object], now: float) -> None:
    """Do one step in both; what is done with a crossing is done with the one that was taken."""
    what, name, more = step
    if what == "take":
        seen_at = None if more is None else now - float(str(more))
        since = now if seen_at is None else seen_at
        if name in room.rows:
            since = min(since, room.rows[name].since)
        assert owed.take(crossing(name, seen_at), now).seen_at == since
        room.rows[name] = _Row(since, Why.IN_HAND, now + SETTINGS.refusal_wait)
    elif what == "settle":
        found = owed.settle(name)
        row = room.rows.pop(name, None)
        assert (found and found.since) == (row and row.since)
    elif what == "anew":
        owed.begin_anew(name)
        room.refusals.pop(name, None)
    elif name in room.rows:
        row = room.rows[name]
        taken = crossing(name, row.since)
        if what == "wait":
            assert isinstance(more, Why)
            owed.wait(taken, more)
            room.rows[name] = _Row(row.since, more, NEVER)
        elif what == "refuse":
            owed.refuse(taken, now)
            room.refuse(name, now)
        elif what == "first":
            owed.stand_first(taken)
            del room.rows[name]
            room.rows = {name: _Row(row.since, Why.PACE, NEVER), **room.rows}


@settings(max_examples=many(150))
@given(st.lists(_steps, max_size=25))
def test_room_is_that_of_the_model(steps: list[tuple[str, str, object]]) -> None:
    """Whatever comes: nobody stands twice, is forgotten, loses his place, or grows younger."""
    owed, room, now = Owed(SETTINGS), _Room(), 1000.0
    for step in steps:
        if step[0] == "later":
            now += float(str(step[2]))
        else:
            _go(owed, room, step, now)
        found = [(w.crossing.key, w.since, w.why, w.at) for w in owed]
        assert found == [(name, r.since, r.why, r.at) for name, r in room.rows.items()]
        assert all(w.crossing.seen_at == w.since for w in owed)
        assert {name for name in PAIRS if name in owed} == set(room.rows)
        for why in Why:
            assert owed.count(why) == sum(r.why is why for r in room.rows.values())
        for name, why in product(PAIRS, Why):
            assert owed.has(name, why) == (name in room.rows and room.rows[name].why is why)


@settings(max_examples=many(60))
@given(st.dictionaries(_names, st.sampled_from(Why)), st.sets(_names))
def test_program_that_ends_waits_for_what_only_the_memory_knows(
    reasons: dict[str, Why], written: set[str]
) -> None:
    """Four reasons are pressing; and of the others those that state.csv does not hold."""
    owed = Owed(SETTINGS)
    unwritten = (Why.SETTLING, Why.DISK, Why.PACE, Why.FOLLOWING)
    for name, why in reasons.items():
        owed.wait(owed.take(crossing(name), 0.0), why)
    pressing = {n for n, why in reasons.items() if why in unwritten}
    assert owed.is_pressing == bool(pressing)
    assert owed.has_unwritten(written.__contains__) == bool(pressing | (set(reasons) - written))


@pytest.mark.parametrize("why", Why)
def test_what_is_told_once_it_is_old(why: Why) -> None:
    """Of three reasons it was said that the rule is tried again; of the others it is still due."""
    owed = Owed(SETTINGS)
    owed.wait(owed.take(crossing("a"), 0.0), why)
    (wait,) = owed
    assert wait.is_told == (why in (Why.IN_HAND, Why.ROW, Why.HEALING))
    most = SETTINGS.in_line if why is Why.PACE else SETTINGS.owed
    assert [wait.is_young(now, SETTINGS) for now in (0.0, most, most + 0.01)] == [True, True, False]


# --- whose turn it is ----------------------------------------------------------------------------

_LOOKS = list(product(Why, [False, True], [False, True], [False, True], [-1.0, 0.0, 1.0]))


@pytest.mark.parametrize(("why", "settling", "bad_disk", "shut", "late"), _LOOKS)
def test_turn_comes_when_its_reason_is_gone(
    why: Why, settling: bool, bad_disk: bool, shut: bool, late: float
) -> None:
    """Each reason under each trouble: what is due, what others are told, and the next moment."""
    owed = Owed(SETTINGS)
    timeless = (Why.SETTLING, Why.DISK, Why.PACE, Why.KEY, Why.GROUP, Why.FOLLOWING)
    at = NEVER if why in timeless else 100.0
    owed.wait(owed.take(crossing("a"), 50.0), why, at)
    if shut:
        owed.key.shut(Pause.KEY, 50.0)
    now = 100.0 + late
    is_due = {
        Why.SETTLING: not settling,
        Why.DISK: not settling and not bad_disk,
        Why.PACE: not settling and not shut,
        Why.KEY: not shut,
        Why.GROUP: False,  # another row decides
        Why.FOLLOWING: not settling,  # nobody asks while another host leads
    }.get(why, late >= 0)
    found = [w.crossing.key for w in owed.due(now, is_settling=settling, is_disk_bad=bad_disk)]
    assert found == ["a"] * is_due
    assert "a" in owed  # it stays until it is taken
    held = {Why.SETTLING: False, Why.DISK: False, Why.PACE: True, Why.KEY: shut}
    held[Why.GROUP] = held[Why.FOLLOWING] = True
    assert owed.is_held_back("a", now) == held.get(why, late < 0)
    assert not owed.is_held_back("b", now)


@settings(max_examples=many(80))
@given(
    st.lists(_names, min_size=1, max_size=5, unique=True),
    st.sets(st.sampled_from([(Pause.PAIR, BTC), (Pause.PAIR, ETH), (Pause.ACCOUNT, BTC)])),
    st.lists(st.booleans(), max_size=12),
)
def test_line_moves_in_order_at_kraken_s_pace_and_forgets_nobody(
    names: list[str], closed: set[tuple[Pause, str]], taken: list[bool]
) -> None:
    """Waking at nothing but the moments that are named, all pass: in order, and never too soon."""
    owed, now, passed = Owed(SETTINGS), 100.0, list[tuple[float, str]]()
    for pause, pair in sorted(closed, key=str):
        owed.close(pair, pause, now)
    for name in names:
        owed.wait(owed.take(crossing(name), now), Why.PACE)
    opens_at = {
        pair: 102.0 if (Pause.ACCOUNT, BTC) in closed or (Pause.PAIR, pair) in closed else 0.0
        for pair in (BTC, ETH)
    }
    answers, left = iter(taken), list(names)
    for _ in range(60):
        for wait in owed.due(now, is_settling=False, is_disk_bad=False):
            name, pair = wait.crossing.key, wait.crossing.pair
            assert now >= opens_at[pair]
            assert name == next(n for n in left if PAIRS[n] == pair)
            if next(answers, True):
                owed.settle(name)
                owed.passed(pair)
                left.remove(name)
                passed.append((now, pair))
            else:
                owed.close(pair, Pause.PAIR, now)
                owed.stand_first(wait.crossing)
                left = [name, *(n for n in left if n != name)]
                opens_at[pair] = now + 2.0
        moment = owed.next_at()
        if not left:
            break
        assert moment is not None
        assert owed.is_closed(PAIRS[left[0]]) or moment <= now
        assert moment > now or not any(owed.is_closed(PAIRS[n]) for n in left)
        now = max(now, moment)
    assert not left
    for pause, pair in closed:  # while a gate stands nobody follows within the gap
        line = [at for at, one in passed if pause is Pause.ACCOUNT or one == pair]
        assert all(later - at >= ORDER_GAP - 1e-9 for at, later in pairwise(line))


@pytest.mark.parametrize("count", [1, 2, 3, 5, 6, 7, 100])
@pytest.mark.parametrize("pause", [Pause.PAIR, Pause.ACCOUNT])
def test_gate_stays_closed_for_twice_as_long_each_time_up_to_a_minute(
    pause: Pause, count: int
) -> None:
    """A gate opens when it is time, to the moment, is counted anew once an order has passed."""
    owed = Owed(SETTINGS)
    owed.wait(owed.take(crossing("a"), 0.0), Why.PACE)

    def is_open(now: float) -> bool:
        return bool([*owed.due(now, is_settling=False, is_disk_bad=False)])

    for _ in range(count):
        owed.close(BTC, pause, 100.0)
    opens_at = 100.0 + min(2.0 * 2 ** (count - 1), 60.0)
    assert owed.next_at() == opens_at
    assert (is_open(opens_at - 0.01), is_open(opens_at)) == (False, True)
    assert owed.next_at() == opens_at + ORDER_GAP  # one at a time
    assert owed.is_closed(ETH) == (pause is Pause.ACCOUNT)
    owed.passed(BTC)
    owed.close(BTC, pause, 200.0)
    assert owed.next_at() == 202.0


def test_later_gate_of_the_two_decides() -> None:
    """A crossing passes the gate of its pair and that of the account, or neither."""
    owed = Owed(SETTINGS)
    owed.wait(owed.take(crossing("a"), 0.0), Why.PACE)
    owed.close(BTC, Pause.PAIR, 100.0)
    owed.close(BTC, Pause.ACCOUNT, 103.0)
    assert owed.next_at() == 105.0
    assert not [*owed.due(104.9, is_settling=False, is_disk_bad=False)]
    assert [w.crossing.key for w in owed.due(105.0, is_settling=False, is_disk_bad=False)] == ["a"]


# --- the gate of the key -------------------------------------------------------------------------


@settings(max_examples=many(80))
@given(st.lists(st.tuples(st.sampled_from([*OF_KEY, "put off", "reopen", "passed"])), max_size=20))
def test_key_is_asked_for_at_the_model_s_moments(events: list[tuple[object]]) -> None:
    """The wait doubles from one to ten minutes, over answers to questions, until an order passes.

    A lockout is waited out whatever was before; what could not be asked says nothing.
    """
    gate, refusals, asks_at = KeyGate(), 0, None
    for now, (event,) in enumerate(events):
        if isinstance(event, Pause):
            gate.shut(event, float(now))
            wait = min(FIRST_WAIT * 2**refusals, LONGEST_WAIT)
            asks_at = now + (LOCKOUT_WAIT if event is Pause.LOCKOUT else wait)
            refusals += 1
        elif event == "put off":
            gate.put_off(float(now))
            asks_at = now + FIRST_WAIT
        elif event == "reopen":
            gate.reopen()
            asks_at = None
        else:
            gate.passed()
            asks_at, refusals = None, 0
        assert (gate.is_shut, gate.next_at()) == (asks_at is not None, asks_at)
        if asks_at is None:
            assert not gate.is_due(1e12)
        else:
            assert [gate.is_due(asks_at + late) for late in (-0.01, 0.0, 1.0)] == [
                False,
                True,
                True,
            ]


def test_lockout_is_longer_than_kraken_s() -> None:
    """Kraken shuts out for 15 minutes; asking within them prolongs it."""
    assert LOCKOUT_WAIT > 15 * 60
