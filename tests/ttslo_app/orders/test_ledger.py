"""What is known of every rule: lives, doubts, orders that stand, and what was given up."""

from __future__ import annotations

import copy
import json
import sys
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kits.common.fresh_python import run_python
from tests.kits.orders.order_bench import MARKET, NOW, ORDER, life, rule
from ttslo_app.messages import AcceptedRule, Stop
from ttslo_app.orders.ledger import (
    Ledger,
    UnreadableLife,
    cells_like_others,
    cells_of,
    read_life,
)
from ttslo_app.orders.life import Life, RuleState, arm
from ttslo_app.orders.request import fingerprint


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


@pytest.mark.parametrize("name", ["generation", "rule_state", "deadline", "a column of a caller"])
def test_life_at_hand_counts_while_its_cells_are_the_same(ledger: Ledger, name: str) -> None:
    """Whoever has changed one of them, and in whatever way: a life is never older than its row."""
    ledger.put(life(RuleState.PLACED))
    ledger.have_at_hand(["btc", "unknown"])
    before = ledger.life_of("btc")
    assert before is ledger.life_of("btc")
    assert before == read_life("btc", ledger.state["btc"])
    cell = {"generation": "7", "rule_state": "closed"}.get(name, "other")
    ledger.state["btc"][name] = cell
    assert ledger.life_of("btc") == read_life("btc", ledger.state["btc"])
    ledger.state["btc"]["rule_state"] = "no word of ours"
    with pytest.raises(UnreadableLife):
        ledger.life_of("btc")
    del ledger.state["btc"]
    assert ledger.life_of("btc") == Life("btc")


def test_row_that_nobody_can_read_is_not_at_hand(ledger: Ledger) -> None:
    """It is told where somebody asks for it, as ever."""
    ledger.state["btc"] = {"id": "btc", "triggered": "perhaps"}
    ledger.have_at_hand(["btc"])
    with pytest.raises(UnreadableLife):
        ledger.life_of("btc")


def test_stop_keeps_its_moment_until_it_moves_and_goes_with_its_order(ledger: Ledger) -> None:
    """Seen again at the same place it is as old as it was; another order begins without one."""
    ledger.stand("btc", "O1")
    for price, seen_at in ((Decimal(10), "one"), (Decimal(10), "two")):
        ledger.note_stop("btc", Stop(price, Decimal(11), "last"), seen_at)
    assert ledger.stops["btc"].at == "one"
    before = ledger.stops
    ledger.note_stop(
        "btc", Stop(Decimal(10), Decimal(11), "last", is_triggered=True, at="own"), "x"
    )
    assert (ledger.stops["btc"].at, before["btc"].at) == ("own", "one")
    ledger.stand("btc", "O1")
    assert ledger.stops
    ledger.stand("btc", "O2")
    assert not ledger.stops
    ledger.note_stop("btc", Stop(Decimal(10)), "three")
    ledger.stand("btc", None)
    assert not ledger.stops


def test_row_of_a_caller_keeps_the_cells_that_are_not_ours(ledger: Ledger) -> None:
    """`last_checked` is written by others into the same row."""
    ledger.state["btc"] = {"id": "btc", "last_checked": "now"}
    ledger.put(life(RuleState.ARMED))
    assert ledger.state["btc"]["last_checked"] == "now"


SIZES = """
import sys
from ttslo_app.orders.ledger import Ledger, cells_like_others
from ttslo_app.orders.life import Life, arm

ledger = Ledger({})
full = cells_like_others({"id": "a", **{f"n{number}": "x" for number in range(25)}})
for number in range(100):
    ledger.put(arm(Life(f"r{number}"), "row", "now"))
print(max(sys.getsizeof(cells) for cells in ledger.state.values()))
print(sys.getsizeof(dict(ledger.state["r50"])))
for cells in ledger.state.values():
    cells["last_checked"] = "now"
print(max(sys.getsizeof(cells) for cells in ledger.state.values()))
"""


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="dicts are CPython's own")
def test_rows_that_wait_have_their_names_in_common() -> None:
    """Of 100,000 rows dicts with names of their own fill 25 MB more, and at the end of a run, too.

    A row that says more than those has names of its own, whenever it comes.
    """
    shared, own, checked = map(int, run_python(SIZES).split())
    assert shared < 0.6 * own
    assert checked <= shared


def test_cells_are_those_of_one_row_alone(ledger: Ledger) -> None:
    """Names that two rows have in common, and those that one has besides, hold its own text."""
    one, other = cells_like_others(), cells_like_others({"id": "b", "theirs": "x"})
    one.update(id="a", mine="1")
    other["id"] = "c"
    assert (one, other) == ({"id": "a", "mine": "1"}, {"id": "c", "theirs": "x"})
    assert type(one) is dict
    assert list(other) == ["id", "theirs"]
    del other["theirs"]
    assert json.loads(json.dumps(other)) == {"id": "c"}
    many = {f"n{number}": str(number) for number in range(100)}
    other.update(many)
    assert copy.deepcopy(other) == {"id": "c", **many}


def test_cells_of_ours_that_are_empty_take_no_room() -> None:
    """The columns of others stay as they are, and so do those that earlier versions know."""
    cells = {**cells_of(arm(Life("btc"), "row", NOW)), "theirs": "", "last_checked": ""}
    kept = cells_like_others(cells)
    assert read_life("btc", kept) == read_life("btc", cells)
    assert {"theirs", "last_checked", "order_id", "trigger_price"} <= kept.keys()
    assert {name for name, text in cells.items() if not text} - kept.keys() == {
        *("armed_by", "crossed_at", "crossed_price", "deadline", "detail", "doubt", "fill_price"),
        *("handed", "intended_at", "letters", "order", "order_status", "sent_by", "vol_exec"),
    }


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


def test_rules_that_wait_are_told_from_others_all_at_once(ledger: Ledger) -> None:
    """Of many rules the same is said as of each alone: by its life, and by what was accepted."""
    armed, other = rule(), rule(id="other")
    ledger.put(life(RuleState.ARMED))
    ledger.rules = {"btc": AcceptedRule(armed, MARKET), "other": AcceptedRule(other, MARKET)}
    asked = [armed, rule(), rule(volume="0.02"), other, rule(id="new")]
    for state in (*RuleState, None):
        ledger.state["other"] = {"id": "other", "rule_state": state} if state else {}
        alone = {one.id for one in asked if ledger.is_waiting_for(one)}
        assert ledger.waiting_among(asked) == alone
    assert ledger.waiting_among([rule(volume="0.02")]) == set()
    ledger.state["btc"]["rule_state"] = RuleState.PLACED
    assert ledger.waiting_among(asked) == set()


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


@pytest.mark.parametrize("state", list(RuleState))
def test_life_survives_the_state_file(state: RuleState) -> None:
    """A life read back is the life that was written, in every state."""
    written = life(state, sends=2, noted=True, order_id="O1", detail="a, b")
    assert read_life("btc", cells_of(written)) == written


def test_rows_of_earlier_versions_are_understood() -> None:
    """Without our columns, `triggered` decides: fired, or not armed yet."""
    assert read_life("btc", {"triggered": "true", "order_id": "O1"}).state is RuleState.PLACED
    assert read_life("btc", {"triggered": "false"}).state is RuleState.DISARMED
    assert read_life("btc", {}).state is RuleState.DISARMED


@pytest.mark.parametrize("cells", [{"triggered": "true"}, {"order_id": "O1"}, {}])
def test_row_of_an_earlier_version_can_be_read_once_it_is_written(cells: dict[str, str]) -> None:
    """What is noted of it, or becomes of its order, leaves a life that says what it said."""
    found = read_life("btc", {"triggered": "false", **cells})
    for one in (found, found._replace(noted=True, order_status="closed")):
        assert read_life("btc", cells_of(one)) == one
    assert found.has_fired is bool(cells)
    assert found.generation == found.has_fired  # how often it was armed


def test_row_with_an_order_id_has_fired_whatever_triggered_says() -> None:
    """An order id is proof enough not to place another order."""
    assert read_life("btc", {"triggered": "false", "order_id": "O1"}).has_fired


def test_cells_of_a_caller_need_not_be_text() -> None:
    """Whoever keeps the state by himself may say None for nothing, and write numbers as numbers."""
    written = cells_of(life(RuleState.PLACED, cl_ord_id="c", order=ORDER, order_id="O1", sends=1))
    mine: dict[str, object] = {name: text or None for name, text in written.items()}
    mine |= {"generation": int(written["generation"]), "sends": 1}
    assert read_life("btc", mine) == read_life("btc", written)  # type: ignore[arg-type]  # a caller's
    assert read_life("btc", {"triggered": None}).state is RuleState.DISARMED  # type: ignore[dict-item]  # likewise


@pytest.mark.parametrize(
    "changes",
    [
        {"triggered": "maybe"},
        {"rule_state": "on fire"},
        {"generation": "two"},
        {"generation": ""},
        {"sends": "many"},
        {"rule_state": "placed", "triggered": "false"},
        {"rule_state": "armed", "triggered": "true"},
        {"rule_state": "intended", "cl_ord_id": ""},
        {"rule_state": "uncertain", "order": ""},
    ],
)
def test_row_that_contradicts_itself_is_refused(changes: dict[str, str]) -> None:
    """From a damaged row nobody can tell whether its rule has fired, and nobody guesses."""
    with pytest.raises(UnreadableLife):
        read_life("btc", {**cells_of(life(RuleState.ARMED)), **changes})


def test_words_of_ours_are_read_in_any_case() -> None:
    """A spreadsheet that saves the state writes TRUE for true."""
    placed = life(RuleState.PLACED, noted=True, order_id="O1")
    shouted = {name: text.upper() for name, text in cells_of(placed).items()}
    names = ("triggered", "noted", "rule_state")
    again = {**cells_of(placed), **{name: f" {shouted[name]} " for name in names}}
    assert read_life("btc", again) == placed


@pytest.mark.parametrize("trace", ["trigger_price", "trigger_time"])
def test_row_of_a_trigger_that_lost_its_word_is_refused(trace: str) -> None:
    """An earlier version's row with an empty `triggered` may have fired all the same."""
    with pytest.raises(UnreadableLife, match="nothing under triggered"):
        read_life("btc", {"triggered": "", trace: "1"})


_cells = st.dictionaries(
    st.sampled_from([*cells_of(life(RuleState.ARMED)), "else"]), st.text(max_size=12)
)


@given(_cells)
def test_read_life_raises_nothing_else(cells: dict[str, str]) -> None:
    """Any text in any cell is a life or an UnreadableLife."""
    with suppress(UnreadableLife):
        assert read_life("btc", cells).id == "btc"


# --- what became of the rows -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "is_noted", "is_fired"),
    [
        (RuleState.ARMED, False, False),
        (RuleState.REFUSED, False, False),
        (RuleState.INTENDED, False, True),
        (RuleState.UNCERTAIN, False, True),
        (RuleState.PLACED, False, True),
        (RuleState.PLACED, True, False),
    ],
)
def test_rows_whose_order_is_known_or_sought_have_no_use_for_a_price(
    ledger: Ledger, state: RuleState, is_noted: bool, is_fired: bool
) -> None:
    """One that config.csv was told of is armed again by its user alone, and is checked anew."""
    ledger.put(life(state)._replace(noted=is_noted))
    assert ledger.fired() == ({"btc"} if is_fired else set())


def test_row_that_nobody_can_read_has_not_fired_and_was_not_armed(ledger: Ledger) -> None:
    """It contradicts itself: what is doubtful is refused elsewhere."""
    ledger.state["btc"] = {"id": "btc", "triggered": "perhaps"}
    assert ledger.fired() == set()
    assert not ledger.was_armed(rule())


@pytest.mark.parametrize("state", [RuleState.ARMED, RuleState.REFUSED])
def test_row_was_armed_with_this_condition_and_no_other(ledger: Ledger, state: RuleState) -> None:
    """A new threshold that is met at once is a slip of the hand, and an old one a crossing."""
    ledger.put(life(state)._replace(row=fingerprint(rule())))
    assert ledger.was_armed(rule())
    assert not ledger.was_armed(replace(rule(), threshold=rule().threshold + 1))


@pytest.mark.parametrize(
    ("state", "intended_at", "was_armed"),
    [
        (RuleState.DISARMED, "2026-11-10T12:00:00Z", True),  # while its order was under way
        (RuleState.DISARMED, "", False),
        (RuleState.PLACED, "2026-11-10T12:00:00Z", False),
        (RuleState.CLOSED, "2026-11-10T12:00:00Z", False),
    ],
)
def test_row_that_was_disabled_while_it_owed_an_order_was_armed(
    ledger: Ledger, state: RuleState, intended_at: str, was_armed: bool
) -> None:
    """One whose order was placed begins anew: a threshold that is met is a slip of the hand."""
    ledger.put(life(state)._replace(row=fingerprint(rule()), intended_at=intended_at))
    assert ledger.was_armed(rule()) is was_armed


def test_rows_without_protection_are_those_that_wait_or_are_at_it() -> None:
    """Not those whose order stands, and none that config.csv does not hold."""
    ledger = Ledger({})
    for name, state in (("a", RuleState.ARMED), ("b", RuleState.PLACED), ("c", RuleState.REFUSED)):
        ledger.put(life(state)._replace(id=name))
    ledger.rules = {name: AcceptedRule(rule(name), MARKET) for name in ("a", "b", "d")}
    assert ledger.unprotected() == ["a"]


def test_shared_lives_take_the_place_of_all_that_was_known(ledger: Ledger) -> None:
    """What was noted, doubted or seen of the lives before says nothing of those."""
    ledger.put(life(RuleState.PLACED))
    ledger.stand("btc", "O1")
    ledger.note_stop("btc", Stop(Decimal(10)), "now")
    ledger.unnoted.add("btc")
    ledger.noted_at["btc"] = 1.0
    ledger.begin_anew({"eth": {"id": "eth", "rule_state": "armed", "triggered": "false"}})
    assert set(ledger.state) == {"eth"}
    assert not ledger.must_write
    assert not any((ledger.standing, ledger.stops, ledger.unnoted, ledger.noted_at))


def test_row_of_a_caller_that_is_no_row_is_nobody_s_life() -> None:
    """What stands there was put in by the caller's own code."""
    with pytest.raises(UnreadableLife, match="it is list and not a dict"):
        read_life("btc", ["armed"])  # type: ignore[arg-type]  # as callers without types do


def test_row_of_an_earlier_version_was_armed_where_it_was_looked_at(ledger: Ledger) -> None:
    """It wrote down no more than that."""
    assert not ledger.was_armed(rule())
    ledger.state["btc"] = {"id": "btc", "triggered": "false", "last_checked": "now"}
    assert ledger.was_armed(rule())
    ledger.state["btc"]["rule_state"] = RuleState.DISARMED
    assert not ledger.was_armed(rule())


def test_order_has_one_row() -> None:
    """The present arming of another row is named; the row itself and old armings are not."""
    ledger = Ledger({"a": {"id": "a", "order_id": "O1"}, "b": {"id": "b", "order_id": ""}})
    assert ledger.owner_of("O1", "b") == "a"
    assert ledger.owner_of("O1", "a") == ""
    assert ledger.owner_of("O2", "b") == ""
