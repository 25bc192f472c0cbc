"""Groups and chains in the order thread: one of a group fires, and a fill arms what follows it."""

from __future__ import annotations

import random
from collections.abc import Callable
from decimal import Decimal

import pytest

from tests.kits.orders.order_bench import MARKET, Bench, Reply, rule
from ttslo_app.messages import (
    AcceptedRule,
    Adopt,
    BookArm,
    BookDisarm,
    Crossing,
    Sighting,
    Watched,
)
from ttslo_app.orders.kinship import spent
from ttslo_app.orders.life import RuleState
from ttslo_app.orders.owed import Why
from ttslo_app.rules.rule import Rule

BEHIND = {"threshold_type": "below", "threshold_price": "40000"}


def target(**changes: str) -> Rule:
    """Return the first of two rows on the same coins."""
    return rule("target", **{"group": "exit", **changes})


def stop(**changes: str) -> Rule:
    """Return the second of them."""
    return rule("stop", **{"group": "exit", **BEHIND, **changes})


def entry(**changes: str) -> Rule:
    """Return a row that others follow."""
    return rule("entry", **{"direction": "buy", "threshold_type": "below", **changes})


def at(crossed: Rule, at_ns: int, price: str = "50001") -> Crossing:
    """Return a crossing by a trade of a moment."""
    return Crossing(crossed, Decimal(price), price, at_ns=at_ns, seen_at=1_800_000_000.0)


def rows(*rules: Rule, fired: tuple[str, ...] = ()) -> Adopt:
    """Return config.csv with rows, some of which have their order columns filled."""
    accepted = {r.id: AcceptedRule(r, MARKET, r.id in fired) for r in rules}
    return Adopt(accepted, 2_000_000_000.0)


def take(bench: Bench, *messages: object) -> None:
    """Let the order thread work off messages as one turn."""
    for message in messages:
        bench.worker.submit(message)  # type: ignore[arg-type]  # whatever the thread takes
    bench.worker.work_off()


def ends(bench: Bench, rule_id: str, status: str = "closed", filled: str = "0.01") -> None:
    """Let Kraken say what has become of the order of a row."""
    txid = bench.worker.life_of(rule_id).order_id
    take(bench, Watched({rule_id: Sighting(txid, status, filled, "50000")}))


def state_of(bench: Bench, rule_id: str) -> RuleState:
    """Return where a row is in its life."""
    return bench.worker.life_of(rule_id).state


# --- groups --------------------------------------------------------------------------------------


def test_first_of_a_group_fires_and_disarms_the_others() -> None:
    """One order, and a sentence for the row that leads to none any more."""
    bench = Bench(target(), stop())
    bench.cross(target())
    assert (bench.placed, state_of(bench, "stop")) == (1, RuleState.DISARMED)
    assert "stop: disarmed, target has fired" in [text for _, text in bench.said]
    assert BookDisarm("stop") in bench.changes
    assert bench.files.disk["stop"]["rule_state"] == "disarmed"
    bench.cross(stop())
    assert bench.placed == 1


def test_rows_without_a_group_know_nothing_of_each_other() -> None:
    """Files without the columns are as before: two orders, and no new cell in the state."""
    bench = Bench(rule("a"), rule("b"))
    bench.cross(rule("a"), rule("b"))
    assert bench.placed == 2
    assert {"armed_by", "handed"}.isdisjoint(bench.files.disk["a"])


@pytest.mark.parametrize("is_same", [True, False])
def test_crossings_of_one_turn_are_one_order(is_same: bool) -> None:
    """The first in the order of the trades fires; of one trade it is said that the file decided."""
    bench = Bench(target(), stop())
    take(bench, at(target(), 1), at(stop(), 1 if is_same else 2))
    assert [order.volume for order, _, _ in bench.kraken.sent] == ["0.01"]
    assert state_of(bench, "target") is RuleState.PLACED
    said = [text for _, text in bench.said if text.startswith("stop: ")]
    assert any("by the same trade as target" in text for text in said) is is_same
    assert said[-1].startswith("stop: disarmed, target has fired. BTC/USD at or below 40000 was")


def test_a_group_waits_for_what_became_of_an_order() -> None:
    """While one is in doubt the other's crossing waits; found, the other is disarmed."""
    bench = Bench(target(), stop())
    bench.kraken.replies = [Reply.LOST]
    bench.cross(target())
    bench.cross(stop())
    assert state_of(bench, "target") is RuleState.UNCERTAIN
    assert bench.worker._owed.has("stop", Why.GROUP)
    assert bench.heard("waits for what becomes of target of its group")
    bench.wait(60)
    assert (bench.placed, state_of(bench, "stop")) == (1, RuleState.DISARMED)
    assert len(bench.kraken.sent) == 1


def test_an_order_that_never_was_lets_the_first_go_again() -> None:
    """Not placed, the crossing of the first is placed now; the other one never is."""
    bench = Bench(target(), stop())
    bench.kraken.replies = [Reply.NEVER]
    bench.cross(target())
    bench.cross(stop())
    bench.wait(60)
    assert (bench.placed, len(bench.kraken.sent)) == (1, 2)
    assert (state_of(bench, "target"), state_of(bench, "stop")) == (
        RuleState.PLACED,
        RuleState.DISARMED,
    )


def test_refused_for_good_the_others_are_armed_again() -> None:
    """What crossed meanwhile goes back to whoever reads prices, as one that nobody saw."""
    bench = Bench(target(), stop())
    bench.kraken.replies = [Reply.BAD]
    crossing = at(stop(), 2)
    take(bench, at(target(), 1), crossing)
    assert (state_of(bench, "target"), state_of(bench, "stop")) == (
        RuleState.DISARMED,
        RuleState.ARMED,
    )
    (change,) = [c for c in bench.changes if isinstance(c, BookArm) and c.held is not None]
    assert (change.rule.id, change.held) == ("stop", crossing)
    assert "stop" not in bench.worker._owed
    assert bench.heard("armed again, no order of its group stands")
    bench.cross(stop())
    assert (bench.placed, state_of(bench, "stop")) == (1, RuleState.PLACED)


def test_refused_for_now_the_first_keeps_its_turn() -> None:
    """The one that crossed first is tried again before the other may."""
    bench = Bench(target(), stop())
    bench.kraken.replies = [Reply.BUSY]
    bench.cross(target())
    bench.cross(stop())
    assert bench.placed == 0
    bench.wait(3)
    assert (bench.placed, state_of(bench, "target")) == (1, RuleState.PLACED)
    assert state_of(bench, "stop") is RuleState.DISARMED


def test_what_grew_old_lets_the_others_go() -> None:
    """A row that was refused for a minute holds nobody any longer."""
    bench = Bench(target(), stop())
    bench.kraken.replies = [Reply.BUSY] * 40
    bench.cross(target())
    bench.cross(stop())
    bench.wait(150)
    assert any(isinstance(c, BookArm) and c.held is not None for c in bench.changes)
    bench.kraken.replies = []
    bench.cross(stop())
    bench.wait(70)
    assert bench.placed == 1


def test_restart_with_an_order_in_doubt_holds_the_group() -> None:
    """The group's standing is worked out of the lives, so a new program knows it."""
    bench = Bench(target(), stop())
    bench.kraken.replies = [Reply.LOST]
    bench.cross(target())
    bench.restart()
    bench.cross(stop())
    assert len(bench.kraken.sent) == 1
    bench.wait(90)
    assert (bench.placed, state_of(bench, "stop")) == (1, RuleState.DISARMED)
    bench.restart()
    bench.cross(stop())
    assert len(bench.kraken.sent) == 1


def test_older_copy_of_the_state_is_proven_for_the_whole_group() -> None:
    """Before the first send of a row Kraken is asked for the orders of the others, too."""
    bench = Bench(target(), stop())
    bench.worker._clerk.write()
    old = bench.files.load()
    bench.cross(target())
    bench.files.disk, bench.files.notes = old, {}
    bench.restart()
    bench.cross(stop())
    bench.wait(5)
    assert len(bench.kraken.sent) == 1
    assert (state_of(bench, "target"), state_of(bench, "stop")) == (
        RuleState.PLACED,
        RuleState.DISARMED,
    )


def test_older_copy_waits_while_kraken_cannot_be_asked() -> None:
    """Could not ask is not no: the crossing waits, and has its order once Kraken has answered."""
    bench = Bench(target(), stop())
    bench.worker._clerk.write()
    bench.restart()
    bench.kraken.is_silent = True
    bench.cross(stop())
    bench.wait(5)
    assert bench.kraken.sent == []
    bench.kraken.is_silent = False
    bench.wait(10)
    assert (bench.placed, state_of(bench, "stop")) == (1, RuleState.PLACED)


def test_row_that_is_taken_out_still_spends_its_group() -> None:
    """The state knows of its order, although config.csv does not."""
    bench = Bench(target(), stop())
    bench.kraken.replies = [Reply.LOST]
    bench.cross(target())
    take(bench, rows(stop()))
    bench.cross(stop())
    assert len(bench.kraken.sent) == 1
    bench.wait(60)
    assert state_of(bench, "stop") is RuleState.DISARMED


def test_order_that_config_alone_knows_spends_its_group() -> None:
    """A lost state file does not let a second row of the group trade."""
    bench = Bench()
    take(bench, rows(target(enabled="false"), stop(), fired=("target",)))
    assert state_of(bench, "stop") is RuleState.DISARMED
    assert bench.heard("not armed: target of its group has fired")


def test_emptied_order_columns_arm_the_group_again() -> None:
    """By the user's hand, as for a row alone; the other one is armed with it."""
    bench = Bench(target(), stop())
    bench.cross(target())
    ends(bench, "target")
    bench.files.notes.clear()
    take(bench, rows(target(), stop()))
    assert (state_of(bench, "target"), state_of(bench, "stop")) == (
        RuleState.ARMED,
        RuleState.ARMED,
    )
    bench.cross(stop())
    assert (bench.placed, state_of(bench, "target")) == (2, RuleState.DISARMED)


def test_other_group_frees_a_row() -> None:
    """As the sentence says that told why it is not armed."""
    bench = Bench(target(), stop())
    bench.cross(target())
    take(bench, rows(stop(group="other")))
    assert state_of(bench, "stop") is RuleState.ARMED


def test_joining_a_group_that_has_fired_disarms() -> None:
    """An edit that ties an armed row to one that has fired lets it trade no more."""
    bench = Bench(target(), stop(group=""))
    bench.cross(target())
    assert state_of(bench, "stop") is RuleState.ARMED
    take(bench, rows(stop()))
    assert state_of(bench, "stop") is RuleState.DISARMED


def test_row_of_unknown_past_holds_its_group() -> None:
    """It may have an order, so no other one gets one."""
    bench = Bench(target(), stop())
    bench.restart(doubted=["target"])
    bench.cross(stop())
    bench.wait(5)
    assert bench.kraken.sent == []


def test_last_look_before_an_intent_sees_a_rival() -> None:
    """Whatever let a crossing through, no intent is written beside another one's order."""
    bench = Bench(target(), stop())
    bench.cross(target())
    life = bench.worker.life_of("stop")
    bench.worker.ledger.put(life._replace(state=RuleState.ARMED))
    crossing = bench.worker._owed.take(at(stop(), 1), bench.clock.seconds)
    bench.worker._desk.place([crossing])
    assert len(bench.kraken.sent) == 1
    assert bench.worker._owed.has("stop", Why.GROUP)


def test_spent_rows_have_no_use_for_a_price() -> None:
    """Not so where the order columns of the one that fired were emptied: all are armed again."""
    bench = Bench(target(), stop())
    bench.cross(target())
    known = {"target": target(enabled="false"), "stop": stop()}
    ledger = bench.worker.ledger
    assert spent(ledger, known, lambda rule_id: False) == {"stop"}
    known["target"] = target()
    assert spent(ledger, known, lambda rule_id: rule_id == "target") == {"stop"}
    assert spent(ledger, known, lambda rule_id: False) == set()
    assert spent(ledger, {"x": rule("x")}, lambda rule_id: True) == set()


# --- chains --------------------------------------------------------------------------------------


def test_fill_arms_what_follows_once() -> None:
    """Not before, not by a part; said in full, from then on, and never again by that fill."""
    bench = Bench(entry(), child := stop(group="", after="entry"))
    assert state_of(bench, "stop") is RuleState.DISARMED
    assert bench.heard("stop: waits until entry has fired and its order is filled")
    bench.cross(child)
    assert bench.placed == 0
    bench.cross(entry())
    ends(bench, "entry", "open", "0.004")
    assert state_of(bench, "stop") is RuleState.DISARMED
    ends(bench, "entry")
    life = bench.worker.life_of("stop")
    assert (life.state, life.armed_by, life.handed) == (RuleState.ARMED, "O1", "0.01")
    assert bench.files.disk["stop"]["armed_by"] == "O1"
    assert bench.heard("armed, as O1 of entry is filled (0.01): BTC/USD at or")
    (change,) = [c for c in bench.changes if isinstance(c, BookArm) and c.is_new]
    assert (change.rule.id, change.since) == ("stop", life.armed_at)
    bench.cross(child)
    assert bench.placed == 2
    bench.files.notes.clear()
    take(bench, rows(entry(enabled="false"), child, fired=("entry",)))
    assert state_of(bench, "stop") is RuleState.DISARMED
    assert bench.heard("waits until order O1 of entry is filled anew")
    bench.restart()
    assert state_of(bench, "stop") is RuleState.DISARMED


def test_fill_of_an_earlier_run_arms_once() -> None:
    """The row before is noted in config.csv; the state tells that its order was filled."""
    bench = Bench(entry(), stop(group="", after="entry"))
    bench.cross(entry())
    bench.files.rules["stop"] = disabled = stop(group="", after="entry", enabled="false")
    take(bench, rows(disabled))
    ends(bench, "entry")
    bench.files.rules["stop"] = stop(group="", after="entry")
    bench.restart()
    first = bench.worker.life_of("stop")
    assert (first.state, first.armed_by, first.generation) == (RuleState.ARMED, "O1", 1)
    bench.restart()
    assert bench.worker.life_of("stop") == first


@pytest.mark.parametrize("filled", ["0.00000000", "0.004"])
def test_order_that_ended_unfilled_arms_nothing(filled: str) -> None:
    """Said once, with how much was filled, and what to do."""
    bench = Bench(entry(), stop(group="", after="entry"))
    bench.cross(entry())
    ends(bench, "entry", "canceled", filled)
    assert state_of(bench, "stop") is RuleState.DISARMED
    told = [text for level, text in bench.said if level == "ERROR" and "NOT ARMED" in text]
    assert len(told) == 1
    assert ("0.004 of it were filled" in told[0]) is (filled == "0.004")
    bench.restart()
    assert state_of(bench, "stop") is RuleState.DISARMED


def test_next_fill_arms_again() -> None:
    """The row before is armed anew and filled: so is what follows it."""
    child = stop(group="", after="entry")
    bench = Bench(entry(), child)
    bench.cross(entry())
    ends(bench, "entry")
    bench.cross(child)
    ends(bench, "stop")
    bench.files.notes.clear()
    take(bench, rows(entry(), child))
    assert (state_of(bench, "entry"), state_of(bench, "stop")) == (
        RuleState.ARMED,
        RuleState.DISARMED,
    )
    bench.cross(entry())
    ends(bench, "entry")
    assert bench.worker.life_of("stop").armed_by == "O3"
    assert state_of(bench, "stop") is RuleState.ARMED


def test_bracket_is_armed_by_a_fill_and_one_of_it_fires() -> None:
    """A target and a stop that follow the same row: both armed, one order, the other disarmed."""
    goal, guard = target(after="entry"), stop(after="entry")
    bench = Bench(entry(), goal, guard)
    bench.cross(goal, guard)
    assert bench.placed == 0
    bench.cross(entry())
    ends(bench, "entry")
    assert {state_of(bench, i) for i in ("target", "stop")} == {RuleState.ARMED}
    bench.cross(guard)
    assert (bench.placed, state_of(bench, "target")) == (2, RuleState.DISARMED)
    assert not bench.heard("filled anew")  # that it was disarmed says enough
    bench.restart()
    bench.wait(1)
    assert state_of(bench, "target") is RuleState.DISARMED


def test_disabled_by_hand_and_enabled_again_it_is_armed_by_the_same_fill() -> None:
    """It has not fired, and it is its user's hand."""
    child = stop(group="", after="entry")
    bench = Bench(entry(), child)
    bench.cross(entry())
    ends(bench, "entry")
    take(bench, rows(stop(group="", after="entry", enabled="false")))
    assert state_of(bench, "stop") is RuleState.DISARMED
    take(bench, rows(child))
    assert (state_of(bench, "stop"), bench.worker.life_of("stop").generation) == (
        RuleState.ARMED,
        2,
    )


def test_refused_for_good_it_is_armed_again_by_the_next_start() -> None:
    """As any row is that was refused for good, and not in the same run."""
    child = stop(group="", after="entry")
    bench = Bench(entry(), child)
    bench.cross(entry())
    ends(bench, "entry")
    bench.kraken.replies = [Reply.BAD]
    bench.cross(child)
    bench.wait(2)
    assert state_of(bench, "stop") is RuleState.DISARMED
    bench.restart()
    assert state_of(bench, "stop") is RuleState.ARMED


def test_armed_row_that_is_put_behind_another_waits() -> None:
    """Whoever writes `after` into an armed row wants it to wait."""
    bench = Bench(entry(), stop(group=""))
    assert state_of(bench, "stop") is RuleState.ARMED
    take(bench, rows(entry(), stop(group="", after="entry")))
    assert state_of(bench, "stop") is RuleState.DISARMED
    assert BookDisarm("stop") in bench.changes


def test_row_before_of_unknown_past_arms_nothing() -> None:
    """Nobody knows whether its order was filled."""
    bench = Bench(entry(), stop(group="", after="entry"))
    bench.restart(doubted=["entry"])
    assert state_of(bench, "stop") is RuleState.DISARMED
    assert bench.heard("nobody knows what became of entry")


def test_rows_one_by_one_know_their_kin() -> None:
    """Callers who hand rows in without a file get one order of a group, and no early child."""
    bench = Bench()
    bench.files.rules = {r.id: r for r in (target(), stop(), entry())}
    roll = bench.worker.roll
    roll.ensure_armed(target())
    bench.cross(target())
    roll.ensure_armed(stop())
    bench.cross(stop())
    assert bench.placed == 1
    roll.ensure_armed(late := rule("late", after="entry"))
    bench.cross(late)
    assert bench.placed == 1


# --- anything that can happen, in any order -------------------------------------------------------


def misfortunes(bench: Bench, chance: random.Random) -> list[Callable[[], None]]:
    """Return what happens to a bracket and its entry."""
    known = list(bench.files.rules.values())
    many = [Reply.PLACED, Reply.LOST, Reply.NEVER, Reply.BUSY, Reply.BAD, Reply.TOO_FAST]

    def cross() -> None:
        bench.cross(*chance.sample(known, chance.randint(1, 3)))

    def answer() -> None:
        bench.kraken.replies = [chance.choice(many) for _ in range(3)]

    def fill() -> None:
        standing = list(bench.worker.standing)
        if standing:
            status = chance.choice(["closed", "canceled", "open"])
            filled = "0.01" if status == "closed" else chance.choice(["0", "0.004"])
            ends(bench, chance.choice(standing), status, filled)

    return [cross, cross, fill, answer, bench.restart, lambda: bench.wait(chance.choice([1, 30]))]


@pytest.mark.plenty
@pytest.mark.parametrize("seed", range(60))
def test_no_two_orders_of_a_group_and_no_child_before_its_fill(seed: int) -> None:
    """Whatever crosses, is answered, filled or restarted: both promises hold."""
    chance = random.Random(seed)
    goal, guard = target(after="entry"), stop(after="entry")
    bench = Bench(entry(), goal, guard, rule("left", group="g"), rule("right", group="g"))
    filled: set[str] = set()
    for _ in range(25):
        chance.choice(misfortunes(bench, chance))()
        by_id = {i: bench.worker.life_of(i) for i in bench.files.rules}
        if by_id["entry"].order_status == "closed":
            filled.add(by_id["entry"].order_id)
        orders = {i: len(bench.kraken.orders.get(life.cl_ord_id, ())) for i, life in by_id.items()}
        assert max(orders.values()) <= 1
        assert orders["target"] + orders["stop"] <= 1
        assert orders["left"] + orders["right"] <= 1
        for name in ("target", "stop"):
            if by_id[name].generation:
                is_off = state_of(bench, name) is RuleState.DISARMED
                assert by_id[name].armed_by in filled or is_off
            assert by_id[name].generation <= 1 or not orders[name]
        if orders["target"] + orders["stop"]:
            assert filled


@pytest.mark.parametrize(("status", "filled"), [("closed", "0.01"), ("canceled", "0.004")])
def test_volume_filled_is_what_the_row_before_has_filled(status: str, filled: str) -> None:
    """The whole or a part of it; handed over at the arming, and asked of nobody at the crossing."""
    child = stop(group="", after="entry", volume="filled")
    bench = Bench(entry(), child)
    bench.cross(entry())
    ends(bench, "entry", status, filled)
    assert bench.worker.life_of("stop").handed == filled
    bench.restart()
    bench.cross(child)
    assert (bench.placed, bench.kraken.sent[-1][0].volume) == (2, filled)


def test_volume_filled_of_nothing_arms_nothing() -> None:
    """There is nothing to sell."""
    bench = Bench(entry(), stop(group="", after="entry", volume="filled"))
    bench.cross(entry())
    ends(bench, "entry", "canceled", "0.00000000")
    assert state_of(bench, "stop") is RuleState.DISARMED
