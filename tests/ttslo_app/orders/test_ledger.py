"""What is known of every rule: lives, doubts, orders that stand, and what was given up."""

from __future__ import annotations

import pytest
from order_bench import MARKET, life, rule

from ttslo_app.messages import AcceptedRule
from ttslo_app.orders.ledger import Ledger
from ttslo_app.orders.life import RuleState
from ttslo_app.orders.row import UnreadableLife


@pytest.fixture
def ledger() -> Ledger:
    """Books with nothing in them."""
    return Ledger({})


def test_life_comes_back_as_it_was_put(ledger: Ledger) -> None:
    """In every state, and a rule that was never seen is disarmed."""
    for state in RuleState:
        ledger.put(life(state))
        assert ledger.life_of("btc") == life(state)
    assert ledger.life_of("other").state is RuleState.DISARMED


def test_row_of_a_caller_keeps_the_cells_that_are_not_ours(ledger: Ledger) -> None:
    """`last_checked` is written by others into the same row."""
    ledger.state["btc"] = {"id": "btc", "last_checked": "now"}
    ledger.put(life(RuleState.ARMED))
    assert ledger.state["btc"]["last_checked"] == "now"


def test_cells_that_were_filled_are_emptied_and_others_take_no_room(ledger: Ledger) -> None:
    """Thousands of rules that wait have almost nothing to say."""
    ledger.put(life(RuleState.ARMED))
    assert "deadline" not in ledger.state["btc"]
    ledger.put(life(RuleState.INTENDED, deadline="soon"))
    ledger.put(life(RuleState.ARMED))
    assert ledger.state["btc"]["deadline"] == ""


@pytest.mark.parametrize("state", list(RuleState))
def test_only_armed_and_refused_rules_wait_for_an_order(ledger: Ledger, state: RuleState) -> None:
    """And none of them while nobody can know what became of it before."""
    ledger.put(life(state))
    assert ledger.is_waiting("btc") is (state in (RuleState.ARMED, RuleState.REFUSED))
    assert ledger.is_refused("btc") is (state is RuleState.REFUSED)
    ledger.distrust(["btc"])
    assert not ledger.is_waiting("btc")


def test_this_very_rule_waits_or_it_does_not(ledger: Ledger) -> None:
    """A changed row is another one."""
    assert not ledger.is_waiting_for(rule())
    ledger.put(life(RuleState.ARMED))
    ledger.rules["btc"] = AcceptedRule(rule(), MARKET)
    assert ledger.is_waiting_for(rule())
    assert not ledger.is_waiting_for(rule(volume="0.02"))
    ledger.put(life(RuleState.REFUSED))
    assert not ledger.is_waiting_for(rule())


def test_orders_that_stand_are_handed_out_unchanging(ledger: Ledger) -> None:
    """Another thread may hold what it was given while the next order comes."""
    before = ledger.standing
    ledger.stand("btc", "O1")
    ledger.stand("other", None)
    assert (before, ledger.standing) == ({}, {"btc": "O1"})
    ledger.stand("btc", None)
    assert ledger.standing == {}


def test_torn_state_doubts_what_it_lacks_and_no_more(ledger: Ledger) -> None:
    """A row that can be read tells its own past."""
    ledger.put(life(RuleState.ARMED))
    ledger.distrust(None)
    ledger.ensure_known("btc")
    with pytest.raises(UnreadableLife, match="nobody can tell"):
        ledger.ensure_known("other")


def test_doubts_are_written_once_and_outlive_a_restart(ledger: Ledger) -> None:
    """The row says a word that no version takes for a state."""
    ledger.put(life(RuleState.ARMED))
    ledger.distrust(["btc"])
    assert ledger.keep_doubts(["btc", "other"]) == ["btc"]
    assert ledger.keep_doubts(["btc"]) == []
    with pytest.raises(UnreadableLife):
        Ledger(ledger.state).life_of("btc")


def test_row_that_was_given_up_stays_so_until_it_changes(ledger: Ledger) -> None:
    """To remove it for a moment is no change; to switch it off is one."""
    ledger.give_up(rule())
    same = AcceptedRule(rule(), MARKET)
    assert ledger.has_given_up(rule())
    assert not ledger.has_given_up(rule(volume="0.02"))
    assert ledger.stays_given_up("btc", same)
    assert ledger.stays_given_up("btc", None)
    assert not ledger.stays_given_up("btc", AcceptedRule(rule(enabled="false"), MARKET))
    assert not ledger.stays_given_up("btc", same)
