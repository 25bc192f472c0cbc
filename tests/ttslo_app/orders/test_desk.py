"""From a crossing to its answer, with everything around it but time and Kraken modelled."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import pytest

from krakenlink.rest.answers import Outcome
from krakenlink.rest.verdicts import OutcomeKind
from tests.kits.orders.order_bench import (
    MARKET,
    SETTINGS,
    Bench,
    Reply,
    crowd,
    rule,
)
from ttslo_app.messages import BookArm, Crossing
from ttslo_app.orders.life import RuleState
from ttslo_app.orders.request import OrderRequest
from ttslo_app.rules.rule import Rule


@pytest.fixture
def bench() -> Bench:
    """A worker with one armed rule."""
    return Bench(rule())


def names_of(bench: Bench, rules: list[Rule]) -> list[str]:
    """Return the rules whose orders stand, in the order of their orders."""
    owners = {bench.life(r.id).cl_ord_id: r.id for r in rules}
    return [owners[cl_ord_id] for cl_ord_id in bench.kraken.orders]


def test_crossing_places_the_order_and_both_files_name_it(bench: Bench) -> None:
    """A crossing ends as one order, with state.csv and config.csv naming it."""
    bench.cross()
    order, cl_ord_id, _ = bench.kraken.sent[0]
    assert order == OrderRequest("XXBTZUSD", "sell", "0.01", "+5.0%")
    assert cl_ord_id == bench.life().cl_ord_id
    assert bench.files.notes == {"btc": "O1"}
    saved = bench.files.disk["btc"]
    assert (saved["triggered"], saved["order_id"], saved["trigger_price"]) == (
        "true",
        "O1",
        "50001",
    )


def test_intent_is_on_the_disk_before_anything_is_sent(bench: Bench) -> None:
    """When the order is sent, the disk already holds its id and its exact words."""
    seen: list[dict[str, str]] = []
    bench.step = lambda name: seen.append(bench.files.disk["btc"]) if name == "sending" else None
    bench.cross()
    assert seen[0]["rule_state"] == "intended"
    assert seen[0]["cl_ord_id"] == bench.kraken.sent[0][1]
    assert '"price": "+5.0%"' in seen[0]["order"]


def test_crossing_again_places_nothing_more(bench: Bench) -> None:
    """The same crossing handed in twice is one order."""
    bench.cross(rule(), rule())
    bench.cross()
    assert bench.placed == 1


def test_burst_is_sent_in_order_with_one_write_before_it() -> None:
    """Crossings of one moment are sent in their order, their intents written together."""
    rules = [rule(f"r{number}") for number in range(5)]
    bench = Bench(*rules)
    steps: list[str] = []
    bench.step = steps.append
    bench.cross(*rules)
    assert [r["trigger_price"] for r in bench.files.disk.values()] == ["50001"] * 5
    assert list(bench.files.notes.values()) == ["O1", "O2", "O3", "O4", "O5"]
    between = steps[steps.index("sending") : len(steps) - steps[::-1].index("answered")]
    assert set(between) == {"sending", "answered"}


def test_refusal_that_heals_is_said_once_and_tried_again(bench: Bench) -> None:
    """A refused order is tried again with growing pauses, and is spoken of once."""
    bench.kraken.replies = [Reply.BUSY] * 3
    bench.cross()
    pauses = []
    while bench.kraken.replies or not bench.placed:
        started, tries = bench.clock.seconds, len(bench.kraken.sent)
        while len(bench.kraken.sent) == tries:
            bench.wait(0.5)
        pauses.append(bench.clock.seconds - started)
    assert pauses == [1.0, 2.0, 4.0]
    assert bench.placed == 1
    assert sum("EOrder:Insufficient funds" in m for _, m in bench.said) == 1


@pytest.mark.parametrize("reply", [Reply.BUSY, Reply.TOO_FAST, Reply.NEVER])
def test_files_tell_when_the_threshold_was_crossed_not_when_the_order_went(
    bench: Bench, reply: Reply
) -> None:
    """However long the order had to wait, and for whatever reason."""
    crossed_at = bench.clock.clocks.utc()
    bench.kraken.replies = [reply] * 2
    bench.cross()
    bench.wait(50)
    assert bench.placed == 1
    assert datetime.fromisoformat(bench.life().trigger_time) == crossed_at
    assert datetime.fromisoformat(bench.life().intended_at) > crossed_at


def test_crossing_that_came_late_is_as_old_as_it_is(bench: Bench) -> None:
    """What waited in a queue before was seen before."""
    seen_at, crossed_at = bench.clock.seconds, bench.clock.clocks.utc()
    bench.clock.seconds += 3
    bench.worker.submit(Crossing(rule(), Decimal(50001), "50001", seen_at=seen_at))
    bench.worker.work_off()
    assert datetime.fromisoformat(bench.life().trigger_time) == crossed_at


def test_refused_crossing_is_owed_for_a_minute_and_then_needs_its_price_again(
    bench: Bench,
) -> None:
    """A spike need not last until Kraken takes the order; an hour later it is no reason."""
    bench.kraken.replies = [Reply.BUSY] * 100
    bench.cross()
    bench.changes.clear()
    bench.wait(SETTINGS.owed)
    tries = len(bench.kraken.sent)
    assert tries > 3
    bench.wait(3600)
    assert len(bench.kraken.sent) == tries
    assert [type(change) for change in bench.changes] == [BookArm]


def test_orders_beyond_the_pace_wait_in_line_and_none_is_lost() -> None:
    """A refusal for the pace makes the rest wait their turn: each is placed once, in order."""
    bench, rules = crowd(25)
    bench.kraken.replies = [Reply.PLACED] * 12 + [Reply.TOO_FAST]
    bench.cross(*rules)
    assert bench.placed == 12
    bench.wait(30)
    assert names_of(bench, rules) == [r.id for r in rules]
    assert len(bench.kraken.sent) == 26
    assert len(bench.files.notes) == 25


def test_line_moves_one_order_a_second() -> None:
    """After a refusal Kraken is given the time that the slowest account needs."""
    bench, rules = crowd(4)
    bench.kraken.replies = [Reply.TOO_FAST]
    bench.cross(*rules)
    came = []
    for _ in range(12):
        came.append(bench.placed)
        bench.wait(0.5)
    assert came == [0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3]


def test_order_that_came_too_late_is_tried_again_at_once(bench: Bench) -> None:
    """What held it up is over mostly; its new try has a new deadline. A second one waits."""
    bench.kraken.replies = [Reply.OVERDUE] * 2
    bench.cross()
    assert len(bench.kraken.sent) == 2
    assert bench.placed == 0
    assert bench.heard("no order could be placed: Kraken refused sell 0.01 BTC/USD")
    bench.wait(SETTINGS.refusal_wait)
    assert bench.placed == 1
    assert len(bench.kraken.sent) == 3


def test_order_that_came_too_late_keeps_its_place_in_line() -> None:
    """Those behind it would be late as well, and crossed no earlier."""
    bench, rules = crowd(6)
    late = [Reply.OVERDUE] * 3
    bench.kraken.replies = [
        Reply.PLACED,
        Reply.TOO_FAST,
        Reply.PLACED,
        *late,
        Reply.PLACED,
        late[0],
    ]
    bench.cross(*rules)
    bench.wait(30)
    assert names_of(bench, rules) == [r.id for r in rules]
    assert bench.placed == 6
    assert len(bench.kraken.sent) == 11


def test_order_that_comes_too_late_again_and_again_holds_up_no_line() -> None:
    """Something is wrong with it alone: it is tried ever more slowly, and the others pass."""
    bench, rules = crowd(3)
    bench.kraken.replies = [Reply.TOO_FAST, *[Reply.OVERDUE] * 4]
    bench.cross(*rules)
    bench.wait(60)
    assert names_of(bench, rules) == ["r01", "r02", "r00"]
    assert bench.placed == 3


def test_crossing_in_line_needs_no_second_one(bench: Bench) -> None:
    """Further crossings of a rule that waits are the same crossing."""
    bench.kraken.replies = [Reply.TOO_FAST]
    bench.cross()
    bench.cross()
    bench.cross()
    assert bench.worker.is_held_back("btc")
    assert bench.worker.is_busy
    bench.wait(10)
    assert (bench.placed, len(bench.kraken.sent)) == (1, 2)
    assert not bench.worker.is_busy


def test_line_that_lasts_too_long_asks_for_the_price_again(bench: Bench) -> None:
    """A crossing that waited beyond `in_line` goes back to the book."""
    bench.kraken.replies = [Reply.TOO_FAST] * 1000
    bench.cross()
    bench.changes.clear()
    bench.wait(SETTINGS.in_line + 70)
    assert [type(change) for change in bench.changes] == [BookArm]
    assert len(bench.kraken.sent) < 20


def test_refusal_for_good_disarms_loudly(bench: Bench) -> None:
    """What no waiting heals ends the arming, with the cure, and is not sent again."""
    bench.kraken.replies = [Reply.BAD]
    bench.cross()
    bench.wait(120)
    bench.cross()
    assert len(bench.kraken.sent) == 1
    assert bench.life().state is RuleState.DISARMED
    assert bench.heard("NOT PROTECTED")
    assert bench.heard("EOrder:Invalid volume. Fix")


def test_pair_that_kraken_lacks_is_never_sent() -> None:
    """An unknown pair disarms the row before anything is sent."""
    lost = rule(pair="LOST/USD")
    bench = Bench(lost)
    bench.cross(lost)
    assert bench.kraken.sent == []
    assert bench.heard("LOST/USD is no pair of Kraken's")


@pytest.mark.parametrize(
    "minimum", [{"ordermin": Decimal(5)}, {"costmin": Decimal(10_000_000)}, {"ordermin": None}]
)
def test_kept_minimum_decides_nothing(bench: Bench, minimum: dict[str, Decimal | None]) -> None:
    """Kraken may have lowered it since: the order is sent, and its answer counts."""
    bench.kraken.market = replace(MARKET, **minimum)  # type: ignore[arg-type]  # fields by name
    bench.cross()
    assert bench.placed == 1


def test_minimum_that_kraken_names_ends_the_row(bench: Bench) -> None:
    """What Kraken says now is no kept fact."""
    bench.kraken.replies = [Reply.BAD]
    bench.cross()
    assert bench.life().state is RuleState.DISARMED
    assert bench.heard("NOT PROTECTED")


def test_without_a_trading_key_nothing_is_sent_and_that_is_said() -> None:
    """The program watches, says that it cannot place orders, and stays alive."""
    bench = Bench(rule(), with_key=False)
    bench.cross()
    assert bench.kraken.sent == []
    assert bench.heard("no trading key")
    assert bench.life().state is RuleState.ARMED


@pytest.mark.parametrize(
    "now",
    [rule(enabled="false"), rule(threshold_price="60000"), rule(volume="1")],
)
def test_row_that_changed_in_the_same_moment_does_not_fire(bench: Bench, now: Rule) -> None:
    """The row as it stands in the file decides, not the one that was armed."""
    bench.files.rules = {"btc": now}
    bench.cross()
    assert bench.kraken.sent == []
    assert bench.heard("in the same moment")


def test_crossing_in_the_middle_of_a_save_waits_for_the_whole_file(bench: Bench) -> None:
    """A file that is cut short for a moment has lost no row: the spike gets its order."""
    whole, bench.files.rules = bench.files.rules, {}
    bench.cross()
    assert bench.kraken.sent == []
    assert bench.heard("was missing or cut off in config.csv")
    bench.files.rules = whole
    bench.wait(2)
    bench.adopt()
    assert bench.placed == 1


def test_file_that_cannot_be_read_does_not_stop_an_armed_rule(bench: Bench) -> None:
    """Somebody's lock on the file says nothing about the row: protection goes on."""
    bench.files.is_unreadable = True
    bench.cross()
    assert bench.placed == 1
    assert bench.heard("cannot be read just now")


def test_intent_that_waited_too_long_is_written_anew_before_it_is_sent(bench: Bench) -> None:
    """An order is never sent with a deadline that Kraken would refuse."""

    def dawdle(name: str) -> None:
        if name == "intended":
            bench.clock.seconds += 4

    bench.step = dawdle
    bench.cross()
    deadline = datetime.fromisoformat(bench.kraken.sent[0][2]).timestamp()
    assert deadline - bench.clock.seconds >= 4


def test_pace_is_free_again_once_the_line_is_empty() -> None:
    """Later crossings go out at once, without a word about a line that nobody stands in."""
    bench, rules = crowd(4)
    bench.kraken.replies = [Reply.TOO_FAST]
    bench.cross(rules[0])
    bench.wait(10)
    bench.said.clear()
    bench.cross(*rules[1:])
    assert bench.placed == 4
    assert not bench.heard("waits in line")


def test_crossing_of_a_row_that_has_fired_does_not_stand_in_line() -> None:
    """Nobody reads that a row waits whose order stands, however often its crossing is told."""
    bench, rules = crowd(2)
    bench.kraken.replies = [Reply.PLACED, Reply.TOO_FAST]
    bench.cross(*rules)
    bench.cross(rules[0])
    assert not bench.heard("r00: BTC/USD at or above 50000 was crossed at 50001 and waits in line")


def test_crossing_that_waited_too_long_in_line_is_told(bench: Bench) -> None:
    """The promise of an order is taken back in words, too."""
    bench.kraken.replies = [Reply.TOO_FAST] * 1000
    bench.cross()
    bench.wait(SETTINGS.in_line + 70)
    assert bench.heard("btc: its order waited 6")
    assert bench.heard("It is placed only if its threshold is met now")


def test_pauses_grow_only_while_no_order_is_taken() -> None:
    """After an order that Kraken took, the next refusal for the pace costs two seconds again."""
    bench, rules = crowd(3)
    bench.kraken.replies = [Reply.TOO_FAST, Reply.PLACED, Reply.TOO_FAST]
    bench.cross(*rules)
    bench.wait(6)
    assert bench.placed == 2


def test_disk_that_fills_before_a_late_order_is_sent_holds_it_back(bench: Bench) -> None:
    """A deadline that was put off is an intent of its own: nothing is sent before it is written."""

    def dawdle(name: str) -> None:
        if name == "intended":
            bench.clock.seconds += 4
            bench.files.is_full = True

    bench.step = dawdle
    bench.cross()
    assert bench.kraken.sent == []
    bench.step = lambda name: None
    bench.files.is_full = False
    bench.wait(3)
    assert (bench.placed, len(bench.kraken.sent)) == (1, 1)
    assert bench.life().sends == 1


def test_deadline_that_was_put_off_is_the_one_on_the_disk(bench: Bench) -> None:
    """Whoever looks for the order after a crash knows until when it may still arrive."""
    written: list[str] = []

    def dawdle(name: str) -> None:
        if name == "intended":
            bench.clock.seconds += 4
        if name == "sending":
            written.append(bench.files.disk["btc"]["deadline"])

    bench.step = dawdle
    bench.cross()
    assert written == [bench.kraken.sent[0][2]]


def test_crossing_that_is_refused_long_after_another_is_owed_as_well(bench: Bench) -> None:
    """Each crossing is owed for its own minute."""
    bench.kraken.replies = [Reply.BUSY] * 8
    bench.cross()
    bench.wait(600)
    bench.kraken.replies = [Reply.BUSY]
    tries = len(bench.kraken.sent)
    bench.worker._owed.begin_anew("btc")
    bench.cross()
    bench.wait(10)
    assert (bench.placed, len(bench.kraken.sent)) == (1, tries + 2)


def test_old_crossing_of_a_changed_row_does_not_fire_from_an_unreadable_file(bench: Bench) -> None:
    """That the file cannot be read just now does not bring back what it said before."""
    bench.files.rules = {"btc": rule(threshold_price="60000")}
    bench.adopt()
    bench.files.is_unreadable = True
    bench.cross()
    assert bench.kraken.sent == []
    assert bench.heard("No order was placed for the old row")


def test_each_crossing_that_a_full_disk_holds_back_has_its_line() -> None:
    """The cause is said once, the victims by name; what becomes of each is said, too."""
    bench, rules = crowd(3)
    bench.files.is_full = True
    bench.cross(*rules[:2])
    bench.wait(20)
    bench.cross(rules[2])
    assert sum("CANNOT BE WRITTEN" in text for _, text in bench.said) == 1
    for one in rules:
        lines = [text for _, text in bench.said if text.startswith(f"{one.id}: ")]
        assert len(lines) == 1
        assert "crossed at 50001: NO ORDER yet, because the state file cannot be" in lines[0]
    bench.files.is_full = False
    bench.wait(3)
    assert bench.placed == 3


# --- an answer about the order of another row -------------------------------------------------


def answering_again(bench: Bench, monkeypatch: pytest.MonkeyPatch, *, is_placed: bool) -> None:
    """Let the next answer be the one before it, as something on the way had kept it."""
    place = bench.kraken.place

    def again(order: OrderRequest, cl_ord_id: str, deadline: str) -> Outcome:
        first = next(iter(bench.kraken.orders.values()))[0]
        place(order, cl_ord_id, deadline)
        if not is_placed:
            del bench.kraken.orders[cl_ord_id]
        monkeypatch.setattr(bench.kraken, "place", place)
        return Outcome(OutcomeKind.PLACED, first)

    monkeypatch.setattr(bench.kraken, "place", again)


@pytest.mark.parametrize("is_placed", [True, False])
def test_answer_that_names_another_rows_order_is_doubt(
    is_placed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether its own order stands is looked up: no row passes for protected by another's."""
    bench, rules = crowd(2)
    bench.cross(rules[0])
    answering_again(bench, monkeypatch, is_placed=is_placed)
    bench.cross(rules[1])
    assert bench.life("r01").state is RuleState.UNCERTAIN
    assert bench.heard("the answer shows O1, which is the order of r00")
    bench.wait(120)
    orders = [bench.life(r.id).order_id for r in rules]
    assert orders[0] == "O1"
    assert orders[1] == ("O2" if is_placed else "")
    if not is_placed:  # too late for the old crossing: today's price decides, and it crosses again
        bench.cross(rules[1])
        assert bench.life("r01").order_id == "O3"
    assert bench.placed == 2


def test_what_cannot_be_looked_up_may_have_one_id_for_all_orders() -> None:
    """A caller's stand-in and the dry run answer with the same id again and again."""
    bench, rules = crowd(2)
    bench.kraken.can_find = False
    for each in rules:
        bench.kraken.sent.clear()  # it counts its ids by them
        bench.cross(each)
    assert [bench.life(each.id).order_id for each in rules] == ["O1", "O1"]
