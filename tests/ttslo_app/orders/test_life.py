"""The life of a rule, alone."""

from __future__ import annotations

import uuid
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kits.common.calls_kit import calls_in
from tests.kits.orders.order_bench import NOW, life, rule
from ttslo_app.orders.life import (
    EXPIRED,
    TRANSITIONS,
    IllegalTransition,
    Life,
    RuleState,
    Signal,
    arm,
    client_order_id,
)


@pytest.mark.parametrize(("state", "signal"), list(product(RuleState, Signal)))
def test_every_state_and_signal_follows_the_table_or_raises(
    state: RuleState, signal: Signal
) -> None:
    """Each of the pairs leads where the table says, or raises and changes nothing."""
    before = life(state)
    if (state, signal) in TRANSITIONS:
        assert before.after(signal).state is TRANSITIONS[state, signal]
    else:
        with pytest.raises(IllegalTransition, match="btc is"):
            before.after(signal)
    assert before.state is state


def test_only_settling_leads_out_of_uncertainty() -> None:
    """An uncertain order is found or certainly not placed; no other signal touches it."""
    ways = {signal for state, signal in TRANSITIONS if state is RuleState.UNCERTAIN}
    assert ways == {Signal.PLACE, Signal.MISS}


def test_no_state_but_armed_and_refused_can_send() -> None:
    """An order is only ever intended by a rule that certainly has none."""
    senders = {state for state, signal in TRANSITIONS if signal is Signal.INTEND}
    assert senders == {RuleState.ARMED, RuleState.REFUSED}


def test_client_order_id_is_one_uuid_for_one_arming() -> None:
    """The same arming always has the same id, in Kraken's 36 characters."""
    first = client_order_id("btc", 1, NOW)
    assert first == client_order_id("btc", 1, NOW)
    assert str(uuid.UUID(first)) == first


@given(st.text("abc_-19", min_size=1), st.integers(1, 10**6), st.text("0123456789T:.+-"))
def test_client_order_id_is_that_of_the_standard(rule_id: str, generation: int, at: str) -> None:
    """An order that an earlier version has sent is found under the same id: that of RFC 9562."""
    ours = uuid.UUID("6f0a4cf2-3f57-4c3e-9d5b-5f4b5a0f2a11")
    expected = str(uuid.uuid5(ours, f"{rule_id}\n{generation}\n{at}"))
    assert client_order_id(rule_id, generation, at) == expected


@pytest.mark.parametrize("other", [("eth", 1, NOW), ("btc", 2, NOW), ("btc", 1, "later")])
def test_client_order_id_differs_between_armings(other: tuple[str, int, str]) -> None:
    """Another row, generation or moment of arming is another order."""
    assert client_order_id("btc", 1, NOW) != client_order_id(*other)


def test_arm_begins_the_next_generation_with_nothing_left_of_the_last() -> None:
    """A rule armed again has a new id and no order."""
    again = arm(life(RuleState.CLOSED, order_id="O1", noted=True), "row", "later")
    assert (again.state, again.generation, again.order_id) == (RuleState.ARMED, 2, "")
    assert again.cl_ord_id == client_order_id("btc", 2, "later")
    assert not again.noted


@pytest.mark.parametrize(("since", "waits_since"), [("", "at"), ("since", "since")])
def test_row_waits_since_it_was_armed_or_since_what_is_known_of_that(
    since: str, waits_since: str
) -> None:
    """The id is made of the moment as it is written down, whatever is known of it."""
    armed = arm(Life("btc"), "row", "at", since=since, armed_by="O1", handed="0.5")
    assert (armed.armed_at, armed.waits_since) == ("at", waits_since)
    assert armed.cl_ord_id == client_order_id("btc", 1, "at")
    assert (armed.armed_by, armed.handed) == ("O1", "0.5")


def test_row_that_ended_by_itself_is_over_until_it_is_another() -> None:
    """Its end is not asked for of rows that wait, and another end is none of its own."""
    ended = life(RuleState.DISARMED, detail=EXPIRED)
    assert ended.has_ended_as(rule())
    assert not ended.has_ended_as(rule(volume="0.02"))
    assert not ended._replace(detail="by config.csv").has_ended_as(rule())
    waiting, of_now = life(RuleState.ARMED), rule()
    assert calls_in(lambda: waiting.has_ended_as(of_now))["fingerprint"] == 0


@pytest.mark.parametrize(
    "state", [RuleState.ARMED, RuleState.INTENDED, RuleState.UNCERTAIN, RuleState.REFUSED]
)
def test_arm_is_refused_while_the_present_arming_lasts(state: RuleState) -> None:
    """An arming whose order may be under way cannot be forgotten by arming again."""
    with pytest.raises(IllegalTransition):
        arm(life(state), "row", "later")


WAITING = {RuleState.ARMED, RuleState.REFUSED}
UNSETTLED = {RuleState.INTENDED, RuleState.UNCERTAIN}
FIRED = {RuleState.PLACED, RuleState.CLOSED}


@pytest.mark.parametrize("state", RuleState)
def test_each_state_says_what_may_stand_at_kraken(state: RuleState) -> None:
    """None, perhaps one, or one: no two of these at a time, and each says plainly yes or no."""
    one = life(state)
    assert one.is_waiting is (state in WAITING)
    assert one.is_unsettled is (state in UNSETTLED)
    assert one.has_fired is (state in FIRED)


def test_only_one_that_waits_can_be_sent_for_and_only_its_order_makes_it_fired() -> None:
    """The questions above and the table tell the same story."""
    for (state, signal), then in TRANSITIONS.items():
        if signal is Signal.INTEND:
            assert life(state).is_waiting
            assert life(then).is_unsettled
        if life(then).has_fired and not life(state).has_fired:
            assert signal is Signal.PLACE
        if life(state).has_fired:  # never again an order of the same arming
            assert signal in (Signal.CLOSE, Signal.ARM, Signal.AWAIT)
        if life(state).is_unsettled and not life(then).is_unsettled:
            assert signal in (Signal.PLACE, Signal.REFUSE, Signal.DISARM, Signal.MISS)


@pytest.mark.parametrize(
    ("row_at", "since"), [("2026-11-24T00:00:00+00:00", "2026-11-24T00:00:00+00:00"), ("", NOW)]
)
def test_row_waits_since_it_is_as_it_is(row_at: str, since: str) -> None:
    """Older files know of the arming only."""
    assert life(RuleState.ARMED, row_at=row_at).waits_since == since
