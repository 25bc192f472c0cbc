"""The order thread of a host that stands by, and of one that takes over."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import pytest

from tests.kits.orders.order_bench import Bench, Crash, Reply, dying_at, life, rule
from ttslo_app.messages import (
    BookArm,
    BookDisarm,
    Crossing,
    Mark,
    Shared,
    Sighting,
    StandBy,
    TakeUp,
)
from ttslo_app.orders.ledger import cells_of
from ttslo_app.orders.life import Life, RuleState, client_order_id
from ttslo_app.orders.owed import Why

Lives = Mapping[str, Mapping[str, str]]


def follower(*rules: str) -> Bench:
    """Return a bench of a host that follows from its first moment on."""
    bench = Bench(*(rule(one) for one in rules or ("btc",)))
    bench.files.disk.clear()
    bench.worker.state = {}
    bench.worker.submit(StandBy(lambda: None))
    bench.adopt()
    bench.said.clear()
    bench.changes.clear()
    return bench


def shared(bench: Bench, rule_id: str = "btc", **changes: object) -> dict[str, str]:
    """Return the cells of an arming that the leader made, as the store has them."""
    now = bench.worker._tools.timestamp()  # as another host with the same clock would write it
    born = life(RuleState.ARMED, order=None, armed_at=now, row_at=now)._replace(
        id=rule_id,
        cl_ord_id=client_order_id(rule_id, 1, now),
    )
    return cells_of(born._replace(**changes))  # type: ignore[arg-type]  # fields by name


def take_up(bench: Bench, lives: Lives, standing: Mapping[str, Sighting] | None = None) -> None:
    """Let the host lead by these lives."""
    done: list[bool] = []
    bench.worker.submit(TakeUp(lives, standing or {}, lambda: done.append(True)))
    bench.worker.work_off()
    assert done


def tell(bench: Bench, rule_id: str, cells: Mapping[str, str]) -> None:
    """Let the host hear what the leader has written of a row."""
    bench.worker.submit(Shared({rule_id: cells}))
    bench.worker.work_off()


# --- while another leads -------------------------------------------------------------------------


def test_follower_sends_nothing_and_writes_nothing() -> None:
    """A crossing is kept, whatever it is, and however often it comes."""
    bench = follower()
    bench.cross()
    bench.cross()
    bench.wait(5)
    assert bench.kraken.sent == []
    assert bench.files.disk == {}
    assert [text for _, text in bench.said if "The host that leads places its order" in text]
    assert sum("The host that leads" in text for _, text in bench.said) == 1
    assert bench.life().state is RuleState.ARMED


def test_follower_passes_no_mark_while_it_keeps_a_crossing() -> None:
    """How far prices were seen is for the one that leads to say."""
    bench = follower()
    passed: list[bool] = []
    bench.cross()
    bench.worker.submit(Mark(lambda: passed.append(True)))
    bench.worker.work_off()
    assert passed == []


def test_order_of_the_leader_settles_what_was_kept() -> None:
    """Its life is taken over, the row leaves the book, and nobody is owed anything."""
    bench = follower()
    tell(bench, "btc", shared(bench))
    bench.cross()
    placed = shared(bench, state=RuleState.PLACED, order_id="OA", cl_ord_id="x")
    tell(bench, "btc", placed)
    assert "btc" not in bench.worker._owed
    assert bench.changes[-1] == BookDisarm("btc")
    assert dict(bench.worker.standing) == {"btc": "OA"}
    take_up(bench, {"btc": placed})
    assert bench.kraken.sent == []


def test_next_arming_of_the_leader_goes_to_the_book_and_drops_the_last_crossing() -> None:
    """What was kept belonged to the arming before."""
    bench = follower()
    tell(bench, "btc", shared(bench))
    bench.cross()
    bench.clock.seconds += 3
    again = shared(bench, generation=2, cl_ord_id="another")
    tell(bench, "btc", again)
    assert "btc" not in bench.worker._owed
    assert isinstance(bench.changes[-1], BookArm)
    take_up(bench, {"btc": again})
    assert bench.kraken.sent == []


def test_same_arming_told_again_keeps_the_crossing() -> None:
    """The leader notes a detail; the crossing is still owed."""
    bench = follower()
    cells = shared(bench)
    tell(bench, "btc", cells)
    bench.cross()
    tell(bench, "btc", {**cells, "detail": "a word"})
    assert bench.worker._owed.has("btc", Why.FOLLOWING)


def test_life_that_cannot_be_read_does_not_wait() -> None:
    """Nobody knows whether its rule has fired, so it leaves the book."""
    bench = follower()
    bench.cross()
    tell(bench, "btc", {"id": "btc", "rule_state": "unreadable"})
    assert "btc" not in bench.worker._owed
    assert bench.changes[-1] == BookDisarm("btc")
    bench.cross()
    assert "btc" not in bench.worker._owed


def test_row_that_is_gone_is_watched_until_the_leader_has_disarmed_it() -> None:
    """This host may have read the rows before it knew what was armed, so it takes none away."""
    bench = follower("btc", "eth")
    tell(bench, "eth", shared(bench, "eth"))
    del bench.files.rules["eth"]
    bench.adopt()
    assert BookDisarm("eth") not in bench.changes
    tell(bench, "eth", shared(bench, "eth", state=RuleState.DISARMED))
    assert BookDisarm("eth") in bench.changes
    assert bench.files.disk == {}


def test_row_that_was_read_as_met_before_its_arming_was_known_keeps_its_crossing() -> None:
    """Two hosts start at once: one arms the row, it is crossed, and the other reads it as met."""
    bench = follower()
    cells = shared(bench)
    read_at = bench.clock.monotonic()
    del bench.files.rules["btc"]  # refused: its threshold is met
    bench.clock.seconds += 1
    bench.adopt(read_at=read_at)
    tell(bench, "btc", cells)
    take_up(bench, {"btc": cells})
    bench.adopt(read_at=read_at)  # which was under way while this host took over
    assert bench.life().state is RuleState.ARMED
    bench.files.rules["btc"] = rule()
    bench.clock.seconds += 1
    bench.adopt()
    assert bench.life().cl_ord_id == cells["cl_ord_id"]
    bench.cross()
    assert [cl_ord_id for _, cl_ord_id, _ in bench.kraken.sent] == [cells["cl_ord_id"]]


def test_leader_disarms_what_its_user_took_away() -> None:
    """A reading that began after it took over counts."""
    bench = follower()
    take_up(bench, {"btc": shared(bench)})
    del bench.files.rules["btc"]
    bench.clock.seconds += 1
    bench.adopt()
    assert bench.life().state is RuleState.DISARMED
    assert bench.files.disk["btc"]["rule_state"] == "disarmed"


def test_leader_does_not_take_its_own_words_for_news() -> None:
    """What it wrote a moment ago may be older than what it knows by now."""
    bench = follower()
    first = shared(bench)
    take_up(bench, {"btc": first})
    bench.cross()
    assert bench.life().state is RuleState.PLACED
    tell(bench, "btc", first)
    assert bench.life().state is RuleState.PLACED


# --- when this host takes over -------------------------------------------------------------------


def test_kept_crossing_has_its_order_as_soon_as_the_host_leads() -> None:
    """The leader died before it could place it; the price has gone back meanwhile."""
    bench = follower()
    cells = shared(bench)
    tell(bench, "btc", cells)
    bench.cross()
    bench.clock.seconds += 3
    take_up(bench, {"btc": cells})
    bench.worker.work_off()
    assert [cl_ord_id for _, cl_ord_id, _ in bench.kraken.sent] == [cells["cl_ord_id"]]
    assert bench.life().state is RuleState.PLACED
    assert bench.files.disk["btc"]["rule_state"] == "placed"


def test_row_whose_crossing_nobody_acted_upon_is_watched_again() -> None:
    """The store was away, and the leader let the price decide: the next spike counts again."""
    bench = follower()
    cells = shared(bench)
    tell(bench, "btc", cells)
    bench.cross()
    bench.changes.clear()
    bench.wait(59)
    assert bench.changes == []
    bench.wait(2)
    assert [type(change) for change in bench.changes] == [BookArm]
    assert "btc" not in bench.worker._owed
    bench.cross()
    bench.clock.seconds += 3
    take_up(bench, {"btc": cells})
    bench.worker.work_off()
    assert bench.placed == 1
    assert sum("The host that leads" in text for _, text in bench.said) == 1


def test_crossing_that_was_kept_too_long_must_be_met_by_the_price_of_now() -> None:
    """It is an hour old, and nobody knows what the price does."""
    bench = follower()
    cells = shared(bench)
    tell(bench, "btc", cells)
    bench.cross()
    bench.clock.seconds += 3600
    take_up(bench, {"btc": cells})
    bench.worker.work_off()
    assert bench.kraken.sent == []
    assert isinstance(bench.changes[-1], BookArm)


def test_order_under_way_is_looked_up_and_holds_up_nobody_else() -> None:
    """An intent of the leader's before has an order or none; other rows fire at once."""
    bench = follower("btc", "eth")
    kraken = bench.kraken
    deadline = "2027-01-15T08:00:05.000Z"
    intended = shared(
        bench, state=RuleState.INTENDED, order=life(RuleState.ARMED).order, deadline=deadline
    )
    eth = shared(bench, "eth")
    kraken.orders[intended["cl_ord_id"]] = ["OLEADER"]
    take_up(bench, {"btc": intended, "eth": eth})
    bench.cross(rule("eth"))
    assert [cl_ord_id for _, cl_ord_id, _ in kraken.sent] == [eth["cl_ord_id"]]
    assert bench.life().state is RuleState.UNCERTAIN
    bench.wait(60)
    assert bench.life().order_id == "OLEADER"
    assert len(kraken.sent) == 1


def test_order_that_was_never_sent_is_sent_once() -> None:
    """Two looks find nothing after its deadline, so it is placed under the same id."""
    bench = follower()
    tell(bench, "btc", shared(bench))
    bench.cross()
    intended = shared(
        bench,
        state=RuleState.INTENDED,
        order=life(RuleState.ARMED).order,
        trigger_price="50001",
        trigger_time=bench.worker._tools.timestamp(),
        deadline="2027-01-15T08:00:05.000Z",
    )
    take_up(bench, {"btc": intended})
    bench.wait(60)
    assert [cl_ord_id for _, cl_ord_id, _ in bench.kraken.sent] == [intended["cl_ord_id"]]
    assert bench.placed == 1


def test_order_at_kraken_that_the_store_does_not_know_counts() -> None:
    """The list that fenced off the others shows it: the store has lost something."""
    bench = follower()
    cells = shared(bench)
    seen = {cells["cl_ord_id"].replace("-", ""): Sighting("OLOST", "open")}
    bench.worker.submit(Crossing(rule(), Decimal(50001), "50001"))
    take_up(bench, {"btc": cells}, seen)
    bench.worker.work_off()
    assert bench.life().order_id == "OLOST"
    assert bench.kraken.sent == []
    assert any("the store did not know it" in text for _, text in bench.said)


def test_order_of_an_intent_needs_no_look_where_the_list_shows_it() -> None:
    """Nothing is odd about it: the leader died before it could write down the answer."""
    bench = follower()
    intended = shared(bench, state=RuleState.INTENDED, order=life(RuleState.ARMED).order)
    seen = {intended["cl_ord_id"].replace("-", ""): Sighting("OSENT", "open")}
    take_up(bench, {"btc": intended}, seen)
    assert bench.life().order_id == "OSENT"
    assert not any("the store did not know" in text for _, text in bench.said)
    bench.wait(60)
    assert bench.kraken.sent == []


@pytest.mark.parametrize("state", [RuleState.PLACED, RuleState.CLOSED, RuleState.DISARMED])
def test_list_changes_nothing_of_what_is_settled(state: RuleState) -> None:
    """A fired row has its order; one that was disarmed has ended by its user's hand."""
    bench = follower()
    cells = shared(bench, state=state, order_id="OOLD", noted=True)
    seen = {cells["cl_ord_id"].replace("-", ""): Sighting("OTHER", "open")}
    bench.files.rules.clear()
    bench.adopt()
    take_up(bench, {"btc": cells}, seen)
    assert bench.life().order_id == "OOLD"
    assert bench.life().state is state


def test_row_that_the_leader_never_armed_is_armed_now() -> None:
    """It was pushed a moment before the leader died."""
    bench = follower()
    take_up(bench, {})
    assert bench.life().state is RuleState.ARMED
    assert bench.files.disk["btc"]["rule_state"] == "armed"
    bench.cross()
    assert bench.placed == 1


def test_what_config_was_not_told_of_is_told() -> None:
    """The leader died between the answer and the note."""
    bench = follower()
    placed = shared(bench, state=RuleState.PLACED, order_id="OA")
    take_up(bench, {"btc": placed})
    bench.worker.work_off()
    assert bench.files.notes == {"btc": "OA"}


def test_armings_of_the_store_are_not_asked_for_first() -> None:
    """An intent is written before each send, so an arming without one has no order."""
    bench = follower()
    take_up(bench, {"btc": shared(bench)})
    assert bench.worker.unproven == ()
    bench.kraken.is_silent = True
    bench.cross()
    assert bench.placed == 1


# --- and back ------------------------------------------------------------------------------------


def test_leader_that_steps_down_keeps_what_waits_and_forgets_what_it_looked_for() -> None:
    """The search is for whoever leads; the crossing is kept with its age."""
    bench = follower("btc", "eth")
    take_up(bench, {"btc": shared(bench), "eth": shared(bench, "eth")})
    bench.kraken.replies = [Reply.LOST, Reply.BUSY]
    bench.cross()
    bench.cross(rule("eth"))
    assert bench.life().state is RuleState.UNCERTAIN
    told: list[bool] = []
    bench.worker.submit(StandBy(lambda: told.append(True)))
    bench.worker.work_off()
    assert told
    assert not bench.worker._finder.is_busy
    assert bench.worker._owed.has("eth", Why.FOLLOWING)
    sent = len(bench.kraken.sent)
    bench.wait(90)
    assert len(bench.kraken.sent) == sent


def test_leader_that_hands_over_writes_what_it_knows_first() -> None:
    """A fill that was seen and not written would be lost to the next one."""
    bench = follower()
    take_up(bench, {"btc": shared(bench)})
    bench.cross()
    bench.worker.ledger.put(bench.life()._replace(detail="a word"))
    bench.worker.ledger.must_write = True
    bench.worker.submit(StandBy(lambda: None))
    bench.worker.work_off()
    assert bench.files.disk["btc"]["detail"] == "a word"


def test_whatever_the_host_believed_is_gone_once_it_leads_again() -> None:
    """Another has placed the order meanwhile."""
    bench = follower()
    first = shared(bench)
    take_up(bench, {"btc": first})
    bench.worker.submit(StandBy(lambda: None))
    bench.cross()
    take_up(bench, {"btc": {**first, **shared(bench, state=RuleState.PLACED, order_id="OTHER")}})
    bench.worker.work_off()
    assert bench.life().order_id == "OTHER"
    assert bench.kraken.sent == []


def test_rows_that_were_read_before_arm_nothing_that_has_fired_since() -> None:
    """The leader has told the row of its order; this host has read the row before that."""
    bench = follower()
    read_at = bench.clock.monotonic()
    bench.clock.seconds += 1
    placed = shared(bench, state=RuleState.PLACED, order_id="OA", noted=True)
    take_up(bench, {"btc": placed})
    bench.adopt(read_at=read_at)
    bench.cross()
    assert bench.life().order_id == "OA"
    assert bench.kraken.sent == []
    assert not any(isinstance(change, BookArm) for change in bench.changes)
    bench.clock.seconds += 1
    bench.adopt()  # which its user did, since it was told
    assert bench.life().state is RuleState.ARMED
    assert bench.life().generation == 2


@pytest.mark.parametrize("step", ["intending", "intended", "sending", "answered"])
def test_leader_that_dies_at_a_step_is_followed_by_one_order(step: str) -> None:
    """Two hosts, one set of lives and one Kraken: whatever was written decides."""
    first = follower()
    cells = shared(first)
    second = follower()
    second.kraken.orders = first.kraken.orders
    take_up(first, {"btc": cells})
    tell(second, "btc", cells)
    first.step = dying_at(step)
    with pytest.raises(Crash):
        first.cross()
    second.cross()
    second.clock.seconds += 3
    take_up(second, {"btc": cells, **first.files.load()})
    second.wait(60)
    assert first.placed == 1
    assert second.life().state is RuleState.PLACED


def test_life_of_the_store_is_whole() -> None:
    """What one host writes is what the next one reads, cell by cell."""
    bench = follower()
    cells = shared(bench)
    take_up(bench, {"btc": cells})
    found: Life = bench.life()
    assert cells_of(found) == cells
