"""Orders of one pair that go together: one request, and each of them settled exactly once."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from krakenlink.rest.answers import Outcome
from krakenlink.rest.verdicts import OutcomeKind
from tests.kits.common.examples import many
from tests.kits.orders.order_bench import MARKET, Bench, Crash, Reply, crowd, dying_at, rule
from ttslo_app.messages import Crossing, Market
from ttslo_app.orders.life import RuleState
from ttslo_app.orders.ports import OrderSent
from ttslo_app.rules.rule import Rule


def batching(count: int) -> tuple[Bench, list[Rule]]:
    """Return a bench with so many armed rules, whose Kraken takes batches."""
    bench, rules = crowd(count)
    bench.kraken.takes_batches = True
    return bench, rules


def sizes(bench: Bench) -> list[int]:
    """Return how many orders each batch had."""
    return [len(batch) for batch in bench.kraken.batches]


def ids(bench: Bench, rules: list[Rule]) -> list[str]:
    """Return the client ids of rules."""
    return [bench.life(one.id).cl_ord_id for one in rules]


def states(bench: Bench, rules: list[Rule]) -> list[RuleState]:
    """Return the states of rules."""
    return [bench.life(one.id).state for one in rules]


# --- what goes together --------------------------------------------------------------------------


def test_twenty_orders_of_one_pair_are_two_requests_after_one_write() -> None:
    """First come, first served; all are on the disk before the first leaves."""
    bench, rules = batching(20)
    steps: list[str] = []
    bench.step = steps.append
    bench.cross(*rules)
    assert sizes(bench) == [15, 5]
    assert [cl_ord_id for batch in bench.kraken.batches for cl_ord_id in batch] == ids(bench, rules)
    assert bench.placed == 20
    assert steps[:6] == ["intending", "intended", *["sending", "answered"] * 2]


def test_intents_are_on_the_disk_before_their_batch_leaves() -> None:
    """Whatever dies while it is under way, each is looked for by its own id."""
    bench, rules = batching(3)
    bench.step = dying_at("answered")
    with pytest.raises(Crash):
        bench.cross(*rules)
    written = [bench.files.disk[one.id]["rule_state"] for one in rules]
    assert written == ["intended"] * 3


def test_one_order_is_no_batch() -> None:
    """Kraken takes no batch of one; the sixteenth of a burst goes alone."""
    bench, rules = batching(16)
    bench.cross(rules[0])
    assert sizes(bench) == []
    bench, rules = batching(16)
    bench.cross(*rules)
    assert (sizes(bench), bench.placed) == ([15], 16)


class TwoPairs:
    """Two pairs by their names."""

    def __getitem__(self, pair: str) -> Market:
        return MARKET if pair == "BTC/USD" else replace(MARKET, rest_key="XETHZUSD")


def test_orders_of_another_pair_go_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch is of one pair; within each, and between the first of each, the order stays."""
    rules = [rule(f"r{n}", pair=("BTC/USD", "ETH/USD")[n % 2]) for n in range(5)]
    bench = Bench(*rules)
    bench.kraken.takes_batches = True
    monkeypatch.setattr(bench.kraken, "market_of", TwoPairs().__getitem__)
    bench.cross(*rules)
    sent = [cl_ord_id for _, cl_ord_id, _ in bench.kraken.sent]
    assert sent == ids(bench, [rules[n] for n in (0, 2, 4, 1, 3)])
    assert sizes(bench) == [3, 2]


def test_one_deadline_counts_for_all_and_is_no_later_than_any_of_theirs() -> None:
    """Whoever looks for one of them knows until when it may still arrive."""
    bench, rules = batching(3)
    seen: list[str] = []

    def note(name: str) -> None:
        if name == "answered":
            seen.extend(bench.life(one.id).deadline for one in rules)

    bench.step = note
    bench.cross(*rules)
    (deadline,) = {deadline for _, _, deadline in bench.kraken.sent}
    assert deadline == min(seen)


def test_batch_that_is_late_gets_a_new_deadline_that_is_on_the_disk() -> None:
    """All of them are written anew, in one write, before they leave."""
    bench, rules = batching(3)

    def dawdle(name: str) -> None:
        if name == "intended":
            bench.clock.seconds += 4

    bench.step = dawdle
    bench.cross(*rules)
    (deadline,) = {deadline for _, _, deadline in bench.kraken.sent}
    assert {bench.files.disk[one.id]["deadline"] for one in rules} == {deadline}
    assert sizes(bench) == [3]


def test_disk_that_fills_before_a_late_batch_is_sent_holds_all_of_it_back() -> None:
    """Nothing is sent whose deadline is not written; each goes once there is room."""
    bench, rules = batching(3)

    def dawdle(name: str) -> None:
        if name == "intended":
            bench.clock.seconds += 4
            bench.files.is_full = True

    bench.step = dawdle
    bench.cross(*rules)
    assert bench.kraken.sent == []
    bench.step = lambda name: None
    bench.files.is_full = False
    bench.wait(3)
    assert [len(txids) for txids in bench.kraken.orders.values()] == [1, 1, 1]
    assert [bench.life(one.id).sends for one in rules] == [1, 1, 1]


# --- what becomes of it --------------------------------------------------------------------------


def test_refused_batch_goes_one_by_one_at_once() -> None:
    """The one that was wrong is told; the others have their orders, under the same ids."""
    bench, rules = batching(3)
    bench.kraken.batch_replies = [Reply.BAD]
    bench.kraken.replies = [Reply.PLACED, Reply.BAD, Reply.PLACED]
    bench.cross(*rules)
    assert states(bench, rules) == [RuleState.PLACED, RuleState.DISARMED, RuleState.PLACED]
    assert bench.placed == 2
    assert bench.heard("r01: ")


def test_refused_batch_that_meets_the_pace_one_by_one_stands_in_line() -> None:
    """The first that is refused closes the gate, and those behind it are not even sent."""
    bench, rules = batching(4)
    bench.kraken.batch_replies = [Reply.BAD]
    bench.kraken.replies = [Reply.PLACED, Reply.TOO_FAST]
    bench.cross(*rules)
    assert (len(bench.kraken.sent), bench.placed) == (2, 1)
    bench.wait(20)
    assert [len(txids) for txids in bench.kraken.orders.values()] == [1] * 4


def test_batch_that_is_refused_for_its_pace_is_one_refusal() -> None:
    """The gate closes once, for two seconds; all stand in line in their order."""
    bench, rules = batching(5)
    bench.kraken.batch_replies = [Reply.TOO_FAST]
    bench.cross(*rules)
    assert bench.placed == 0
    bench.wait(2.5)
    assert bench.placed == 1  # after a second refusal it would be four seconds
    bench.wait(10)
    sent = [cl_ord_id for _, cl_ord_id, _ in bench.kraken.sent]
    assert sent == ids(bench, rules) * 2
    assert bench.placed == 5


def test_orders_of_a_batch_that_are_beyond_the_pace_stand_in_line() -> None:
    """Those that were taken are, and the others follow one after the other."""
    bench, rules = batching(4)
    bench.kraken.replies = [Reply.PLACED, Reply.TOO_FAST, Reply.TOO_FAST, Reply.PLACED]
    bench.cross(*rules)
    assert bench.placed == 2
    bench.wait(2.5)
    assert bench.placed == 3
    bench.wait(5)
    assert [len(txids) for txids in bench.kraken.orders.values()] == [1] * 4


@pytest.mark.parametrize("reply", [Reply.KEY, Reply.LOCKOUT])
def test_batch_that_is_refused_for_the_key_is_one_step_towards_a_lockout(reply: Reply) -> None:
    """The next batch of the burst is not sent; all wait for the key, each told by a line."""
    bench, rules = batching(20)
    bench.kraken.batch_replies = [reply]
    bench.kraken.answers = [Reply.KEY] * 9
    bench.cross(*rules)
    assert sizes(bench) == [15]
    gate = bench.worker._owed.key
    first_wait = (gate.next_at() or 0.0) - bench.clock.seconds
    assert first_wait == {Reply.KEY: 60.0, Reply.LOCKOUT: 960.0}[reply]
    for one in rules:
        assert bench.heard(f"{one.id}: BTC/USD at or above 50000 was crossed at 50001: NO ORDER")
    assert bench.placed == 0


@pytest.mark.parametrize("reply", [Reply.LOST, Reply.NEVER])
def test_batch_without_an_answer_is_looked_up_order_by_order(reply: Reply) -> None:
    """Each becomes uncertain and is looked for by its own id; none is ever sent twice blindly."""
    bench, rules = batching(3)
    bench.kraken.batch_replies = [reply]
    bench.cross(*rules)
    assert states(bench, rules) == [RuleState.UNCERTAIN] * 3
    assert len(bench.kraken.sent) == 3
    bench.wait(60)
    assert states(bench, rules) == [RuleState.PLACED] * 3
    assert [len(txids) for txids in bench.kraken.orders.values()] == [1] * 3


def test_row_in_doubt_keeps_nobody_else_waiting() -> None:
    """What is certain of the others is settled at once."""
    bench, rules = batching(3)
    bench.kraken.replies = [Reply.PLACED, Reply.LOST, Reply.PLACED]
    bench.cross(*rules)
    placed, uncertain = RuleState.PLACED, RuleState.UNCERTAIN
    assert states(bench, rules) == [placed, uncertain, placed]


def test_answer_with_the_id_of_another_row_is_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    """A txid that is another row's already is no proof for this one."""
    bench, rules = batching(3)
    bench.cross(rules[0])
    taken = bench.life("r00").order_id

    def answer(orders: list[OrderSent], deadline: str) -> list[Outcome]:
        return [Outcome(OutcomeKind.PLACED, taken), Outcome(OutcomeKind.PLACED, "ONEW")]

    monkeypatch.setattr(bench.kraken, "place_batch", answer)
    bench.cross(*rules[1:])
    assert states(bench, rules[1:]) == [RuleState.UNCERTAIN, RuleState.PLACED]


def test_rows_of_one_group_never_go_together() -> None:
    """One of them is admitted; the other waits for what becomes of it."""
    rules = [rule("a", group="g"), rule("b", group="g"), rule("c")]
    bench = Bench(*rules)
    bench.kraken.takes_batches = True
    bench.cross(*rules)
    assert sizes(bench) == [2]
    assert bench.placed == 2


def test_volumes_that_are_worked_out_are_weighed_one_after_the_other() -> None:
    """Each is weighed when the one before has its part; they go singly, after the others."""
    rules = [rule("a", volume="10%"), rule("b", volume="10%"), rule("c"), rule("d")]
    bench = Bench(*rules)
    bench.kraken.takes_batches = True
    bench.cross(*rules)
    assert sizes(bench) == [2]
    assert len(bench.kraken.weighed) == 2
    assert bench.placed == 4


def test_batch_that_came_too_late_goes_again_at_once_and_as_one() -> None:
    """Each of its orders keeps its place, and none is said twice."""
    bench, rules = batching(4)
    bench.kraken.batch_replies = [Reply.OVERDUE]
    bench.cross(*rules)
    assert sizes(bench) == [4, 4]
    assert bench.kraken.batches[0] == bench.kraken.batches[1]
    assert bench.placed == 4
    assert sum("no order could be placed" in text for _, text in bench.said) == 4


# --- whatever comes ------------------------------------------------------------------------------

WHOLE = st.none() | st.sampled_from(Reply)
STEPS = st.sampled_from(["intending", "intended", "sending", "answered", "noting", "written"])


@settings(max_examples=many(), deadline=None)
@given(
    count=st.integers(2, 34),
    whole=st.lists(WHOLE, max_size=5),
    each=st.lists(st.sampled_from(Reply), max_size=40),
    death=st.none() | st.tuples(STEPS, st.integers(1, 4)),
    takes=st.booleans(),
)
def test_no_arming_ever_has_two_orders(
    count: int,
    whole: list[Reply | None],
    each: list[Reply],
    death: tuple[str, int] | None,
    takes: bool,
) -> None:
    """Whatever Kraken answers, to the whole or to each, and wherever the program dies.

    In the end each row has its order, unless Kraken has refused it for good.
    """
    bench, rules = crowd(count)
    bench.kraken.takes_batches = takes
    bench.kraken.replies, bench.kraken.batch_replies = list(each), list(whole)
    if death is not None:
        bench.step = dying_at(*death)
    try:
        for one in rules:
            bench.worker.submit(Crossing(one, Decimal(50001), "50001"))
        bench.worker.work_off()
        bench.wait(30)
    except Crash:
        bench.step = lambda name: None
        bench.restart()
    bench.step = lambda name: None  # where it got by with fewer steps
    for _ in range(3):  # a price beyond the threshold meets what is armed, as the watch does
        bench.wait(400)
        armed = [one for one in rules if bench.life(one.id).is_waiting]
        bench.cross(*armed or rules[:1])
    for _ in range(60):  # what became of the last ones is not known before the key is taken again
        if not bench.worker.is_busy:
            break
        bench.wait(50)
    assert all(len(txids) == 1 for txids in bench.kraken.orders.values())
    for one in rules:
        state = bench.life(one.id).state
        assert state in (RuleState.PLACED, RuleState.DISARMED, RuleState.REFUSED, RuleState.ARMED)
        assert (bench.life(one.id).cl_ord_id in bench.kraken.orders) == (state is RuleState.PLACED)


def test_config_is_looked_at_once_for_a_burst() -> None:
    """However many rows fire together, the file is read once before their intents are written."""
    bench, rules = batching(30)
    before, looks = bench.files.looks, list[int]()
    bench.step = lambda name: looks.append(bench.files.looks) if name == "intended" else None
    bench.cross(*rules)
    assert looks == [before + 1]
    assert bench.placed == 30


def test_row_that_left_the_file_before_its_burst_has_no_order() -> None:
    """The look is the newest there is before the write, and counts for each row of the burst."""
    bench, rules = batching(3)
    del bench.files.rules["r01"]
    bench.cross(*rules)
    assert bench.placed == 2
    assert bench.heard("r01: ")
