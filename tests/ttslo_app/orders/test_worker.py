"""The order thread against a model of Kraken: inline, with a clock of the test's own."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from order_bench import MARKET, SETTINGS, Bench, JournalFiles, ManualClock, MemoryFiles, Reply, rule

from ttslo_app.messages import (
    AcceptedRule,
    Adopt,
    BookArm,
    BookDisarm,
    Crossing,
    Mark,
    Market,
    Sighting,
    Watched,
)
from ttslo_app.orders.life import RuleState
from ttslo_app.orders.request import OrderRequest, fingerprint
from ttslo_app.orders.row import State
from ttslo_app.rules.rule import Rule


@pytest.fixture
def bench() -> Bench:
    """A worker with one armed rule."""
    return Bench(rule())


# --- one crossing, one order -----------------------------------------------------------------


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


def test_answer_that_is_lost_sends_nothing_again_and_finds_the_order(bench: Bench) -> None:
    """A lost answer makes the row uncertain until the order is found at Kraken."""
    bench.kraken.replies = [Reply.LOST]
    bench.cross()
    assert bench.life().state is RuleState.UNCERTAIN
    bench.cross()
    bench.wait(8)
    assert bench.life().order_id == "O1"
    assert len(bench.kraken.sent) == 1
    assert bench.files.notes == {"btc": "O1"}


def test_no_look_before_the_deadline_has_passed(bench: Bench) -> None:
    """While a late copy may still arrive, a look that finds nothing would prove nothing."""
    bench.kraken.replies = [Reply.NEVER]
    looks: list[float] = []
    bench.step = lambda name: looks.append(bench.clock.seconds) if name == "looking" else None
    sent_at = bench.clock.seconds
    bench.cross()
    bench.wait(30)
    assert looks[0] >= sent_at + SETTINGS.deadline + 1
    assert looks[1] - looks[0] >= SETTINGS.lookup_gap


def test_order_that_never_arrived_is_placed_after_two_looks(bench: Bench) -> None:
    """A crossing whose order got lost still gets its one order, under the same id."""
    bench.kraken.replies = [Reply.NEVER]
    bench.cross()
    bench.wait(30)
    assert bench.placed == 1
    first, second = bench.kraken.sent
    assert first[1] == second[1]
    assert bench.life().order_id == "O2"


def test_old_crossing_that_was_not_placed_waits_for_its_threshold(bench: Bench) -> None:
    """Long after its crossing, an order that was not placed is only placed if still met."""
    bench.kraken.replies = [Reply.NEVER]
    bench.kraken.is_silent = True
    bench.cross()
    bench.wait(120)
    bench.kraken.is_silent = False
    bench.changes.clear()
    bench.wait(60)
    assert bench.placed == 0
    assert bench.changes == [BookArm(rule(), MARKET)]
    assert bench.life().state is RuleState.ARMED


def test_silence_keeps_the_row_uncertain_and_says_so(bench: Bench) -> None:
    """While Kraken cannot be asked nothing is concluded."""
    bench.kraken.replies = [Reply.LOST]
    bench.kraken.is_silent = True
    bench.cross()
    bench.wait(300)
    assert bench.life().state is RuleState.UNCERTAIN
    assert bench.heard("still uncertain, Kraken cannot be asked")
    bench.kraken.is_silent = False
    bench.wait(40)
    assert bench.life().order_id == "O1"


def test_stand_in_that_cannot_be_asked_never_sees_a_second_order(bench: Bench) -> None:
    """Without a way to look an order up, doubt lasts and nothing is sent again."""
    bench.kraken.can_find = False
    bench.kraken.replies = [Reply.LOST]
    for _ in range(5):
        bench.cross()
        bench.wait(60)
    assert len(bench.kraken.sent) == 1
    assert bench.heard("Look at Kraken's open orders yourself")


# --- refusals --------------------------------------------------------------------------------


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


@pytest.mark.parametrize(("pause", "tries"), [(5.0, 2), (100.0, 1)])
def test_refused_crossing_is_still_owed_after_a_restart(
    bench: Bench, pause: float, tries: int
) -> None:
    """A program that starts anew within the minute places what it owes, without its price."""
    bench.kraken.replies = [Reply.BUSY]
    bench.cross()
    bench.clock.seconds += pause
    bench.restart()
    bench.wait(1)
    assert len(bench.kraken.sent) == tries
    assert bench.placed == tries - 1


def test_row_that_is_disabled_or_changed_owes_nothing(bench: Bench) -> None:
    """An edit while a refused order waits for its next try takes the crossing back."""
    bench.kraken.replies = [Reply.BUSY]
    bench.cross()
    bench.files.rules = {"btc": rule(volume="0.02")}
    bench.adopt()
    bench.wait(100)
    assert len(bench.kraken.sent) == 1


@pytest.mark.parametrize("change", [{"threshold_price": "60000"}, {"volume": "0.02"}])
def test_row_that_is_changed_owes_nothing_after_a_restart_either(
    bench: Bench, change: dict[str, str]
) -> None:
    """The crossing of the row as it was fires nothing of the row as it is."""
    bench.kraken.replies = [Reply.BUSY]
    bench.cross()
    bench.files.rules = {"btc": rule(**change)}
    bench.adopt()
    bench.restart()
    bench.wait(100)
    assert len(bench.kraken.sent) == 1
    assert (bench.life().state, bench.life().trigger_price) == (RuleState.ARMED, "")


# --- Kraken's pace ---------------------------------------------------------------------------


def crowd(count: int) -> tuple[Bench, list[Rule]]:
    """Return a bench with so many armed rules."""
    rules = [rule(f"r{number:02d}") for number in range(count)]
    return Bench(*rules), rules


def names_of(bench: Bench, rules: list[Rule]) -> list[str]:
    """Return the rules whose orders stand, in the order of their orders."""
    owners = {bench.life(r.id).cl_ord_id: r.id for r in rules}
    return [owners[cl_ord_id] for cl_ord_id in bench.kraken.orders]


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


def test_row_that_is_removed_leaves_the_line(bench: Bench) -> None:
    """An edit decides about a crossing that waits in line, too."""
    bench.kraken.replies = [Reply.TOO_FAST]
    bench.cross()
    bench.files.rules = {}
    bench.adopt()
    bench.wait(10)
    assert (bench.placed, len(bench.kraken.sent)) == (0, 1)


def test_mark_is_not_passed_while_somebody_waits_in_line(bench: Bench) -> None:
    """After a crash the trades are looked at again from where the line began."""
    passed: list[float] = []
    bench.kraken.replies = [Reply.TOO_FAST]
    bench.cross()
    bench.worker.submit(Mark(lambda: passed.append(bench.clock.seconds)))
    bench.worker.work_off()
    assert passed == []
    bench.wait(3)
    bench.worker.submit(Mark(lambda: passed.append(bench.clock.seconds)))
    bench.worker.work_off()
    assert len(passed) == 1


def test_refusal_for_good_disarms_loudly(bench: Bench) -> None:
    """What no waiting heals ends the arming, with the cure, and is not sent again."""
    bench.kraken.replies = [Reply.BAD]
    bench.cross()
    bench.wait(120)
    bench.cross()
    assert len(bench.kraken.sent) == 1
    assert bench.life().state is RuleState.DISARMED
    assert bench.heard("NOT PROTECTED")
    assert bench.heard("EGeneral:Permission denied. Fix")


def test_rule_that_was_refused_for_good_is_armed_by_no_other_row() -> None:
    """It waits for its own row to change, or to be switched off and on, as was said."""
    bench = Bench(rule(), rule("eth"))
    bench.kraken.replies = [Reply.BAD]
    bench.cross()
    bench.files.rules["eth"] = rule("eth", threshold_price="70000")
    bench.adopt()
    bench.adopt()
    assert bench.life().state is RuleState.DISARMED
    bench.files.rules["btc"] = rule(volume="0.02")
    bench.adopt()
    assert bench.life().state is RuleState.ARMED
    bench.kraken.replies = [Reply.BAD]
    bench.cross(rule(volume="0.02"))
    bench.files.rules["btc"] = rule(volume="0.02", enabled="false")
    bench.adopt()
    bench.files.rules["btc"] = rule(volume="0.02")
    bench.adopt()
    assert (bench.life().state, bench.life().generation) == (RuleState.ARMED, 3)


def test_start_arms_a_rule_again_that_was_refused_for_good(bench: Bench) -> None:
    """After a new start, with the key mended, the rule is armed and fires."""
    bench.kraken.replies = [Reply.BAD]
    bench.cross()
    bench.restart()
    bench.cross()
    assert bench.placed == 1


def test_pair_that_kraken_lacks_is_never_sent() -> None:
    """An unknown pair disarms the row before anything is sent."""
    lost = rule(pair="LOST/USD")
    bench = Bench(lost)
    bench.cross(lost)
    assert bench.kraken.sent == []
    assert bench.heard("LOST/USD is no pair of Kraken's")


def test_surprise_in_a_batch_forgets_no_crossing() -> None:
    """An error that nobody foresaw costs no crossing its order, and places none twice."""
    rules = [rule(f"r{number}") for number in range(3)]
    bench = Bench(*rules)
    crossings = [Crossing(r, Decimal(50001), "50001") for r in rules]

    def fail(name: str) -> None:
        if name == "sending" and len(bench.kraken.sent) == 1:
            bench.step = lambda name: None
            raise RuntimeError("a surprise")

    bench.step = fail
    bench.changes.clear()
    for crossing in crossings:
        bench.worker.submit(crossing)
    bench.worker.start()
    assert bench.worker.stop(10)
    bench.wait(40)
    assert bench.placed == 3
    assert bench.heard("Internal error in the order thread")


def test_row_that_is_damaged_in_memory_ends_no_other_row_s_orders() -> None:
    """A host program that breaks one row is told so, and the thread goes on with the others."""
    broken, other = rule("broken"), rule("other")
    bench = Bench(broken, other)
    bench.worker.state["broken"]["rule_state"] = "nonsense"
    bench.worker.start()
    bench.worker.submit(Crossing(broken, Decimal(50001), "50001"))
    bench.worker.submit(Crossing(other, Decimal(50001), "50001"))
    assert bench.worker.stop(10)
    bench.wait(10)
    assert bench.placed == 1
    assert bench.heard("broken: it was crossed at 50001, and an internal error keeps its order")


def test_minimums_are_checked_again_before_sending(bench: Bench) -> None:
    """A pair that is not online right now holds the order back until it is."""
    bench.kraken.market = Market("BTC/USD", "XXBTZUSD", status="cancel_only")
    bench.cross()
    assert bench.kraken.sent == []
    bench.kraken.market = MARKET
    bench.wait(2)
    bench.cross()
    assert bench.placed == 1


def test_without_a_trading_key_nothing_is_sent_and_that_is_said() -> None:
    """The program watches, says that it cannot place orders, and stays alive."""
    bench = Bench(rule(), with_key=False)
    bench.cross()
    assert bench.kraken.sent == []
    assert bench.heard("no trading key")
    assert bench.life().state is RuleState.ARMED


# --- the row in the file -----------------------------------------------------------------------


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
    assert bench.heard("somebody may be saving it")
    bench.files.rules = whole
    bench.wait(2)
    bench.adopt()
    assert bench.placed == 1


def test_crossing_of_a_row_that_is_removed_is_given_up_with_it(bench: Bench) -> None:
    """Once the whole file has been read without the row, there is nothing to place, and why."""
    bench.files.rules = {}
    bench.cross()
    bench.wait(5)
    bench.adopt()
    bench.wait(100)
    assert bench.kraken.sent == []
    assert bench.life().state is RuleState.DISARMED
    assert bench.said[-1] == (
        "WARNING",
        "btc: no longer armed, and NO ORDER is placed for its crossing",
    )


def test_order_whose_row_is_gone_for_a_moment_is_noted_when_it_is_back(bench: Bench) -> None:
    """A row that nobody could write to is not armed again by coming back as it was."""
    bench.step = lambda name: bench.files.rules.clear() if name == "noting" else None
    bench.cross()
    assert bench.heard("its order O1 is not noted there")
    assert not bench.life().noted
    bench.step = lambda name: None
    bench.files.rules = {"btc": rule()}
    bench.clock.seconds += 1
    bench.adopt()
    bench.cross()
    assert bench.placed == 1
    assert bench.files.notes == {"btc": "O1"}
    assert bench.life().noted


def test_order_whose_row_is_gone_is_noted_after_a_restart(bench: Bench) -> None:
    """What could not be noted is still owed to the row by the next start."""
    bench.step = lambda name: bench.files.rules.clear() if name == "noting" else None
    bench.cross()
    bench.step = lambda name: None
    bench.files.rules = {"btc": rule()}
    bench.restart()
    bench.cross()
    assert bench.placed == 1
    assert bench.files.notes == {"btc": "O1"}


def test_file_that_cannot_be_read_does_not_stop_an_armed_rule(bench: Bench) -> None:
    """Somebody's lock on the file says nothing about the row: protection goes on."""
    bench.files.is_unreadable = True
    bench.cross()
    assert bench.placed == 1
    assert bench.heard("cannot be read just now")


def test_removed_row_is_disarmed_and_leaves_the_book(bench: Bench) -> None:
    """A row that is gone is out of the book and does not fire."""
    bench.files.rules = {}
    bench.changes.clear()
    bench.adopt()
    assert bench.changes == [BookDisarm("btc")]
    assert bench.life().state is RuleState.DISARMED


def test_changed_row_keeps_its_arming_and_takes_its_new_threshold(bench: Bench) -> None:
    """An edit moves the threshold; the arming and its client order id stay."""
    before = bench.life().cl_ord_id
    moved = rule(threshold_price="60000")
    bench.files.rules = {"btc": moved}
    bench.changes.clear()
    bench.adopt()
    assert bench.changes == [BookArm(moved, MARKET)]
    assert bench.life().cl_ord_id == before
    assert bench.life().row == fingerprint(moved)


def test_fired_row_is_armed_again_only_by_its_user(bench: Bench) -> None:
    """Enabled with its order columns emptied, a fired row begins its next generation."""
    bench.cross()
    bench.clock.seconds += 10
    bench.files.notes.clear()
    bench.adopt()
    assert bench.life().generation == 2
    bench.cross()
    assert bench.placed == 2
    assert len({cl_ord_id for _, cl_ord_id, _ in bench.kraken.sent}) == 2


def test_file_read_before_the_order_was_noted_arms_nothing(bench: Bench) -> None:
    """A reading of config.csv that began before our own write is no wish to arm again."""
    read_at = bench.clock.monotonic()
    bench.clock.seconds += 1
    bench.cross()
    bench.files.notes.clear()
    bench.adopt(read_at=read_at)
    assert bench.life().generation == 1
    assert bench.life().has_fired


def test_row_enabled_without_emptying_its_order_is_explained(bench: Bench) -> None:
    """A fired row that was only set to true stays fired, and the user is told how."""
    bench.cross()
    bench.clock.seconds += 10
    accepted = {"btc": AcceptedRule(rule(), MARKET, is_fired_in_file=True)}
    bench.worker.submit(Adopt(accepted, bench.clock.monotonic()))
    bench.worker.work_off()
    assert bench.life().generation == 1
    assert bench.heard("empty its cells order_id, trigger_time and trigger_price")


# --- disks -------------------------------------------------------------------------------------


def test_full_disk_sends_nothing_until_the_intent_is_written(bench: Bench) -> None:
    """Without a written intent no order goes out; with room again, it does."""
    bench.files.is_full = True
    bench.cross()
    bench.wait(5)
    assert bench.kraken.sent == []
    assert sum("CANNOT BE WRITTEN" in m for _, m in bench.said) == 1
    bench.files.is_full = False
    bench.wait(3)
    assert bench.placed == 1


def test_disk_that_fills_after_the_intent_loses_no_fact(bench: Bench) -> None:
    """A placed order whose facts cannot be written is kept, shouted about and written later."""

    def fill(name: str) -> None:
        bench.files.is_full = bench.files.is_full or name == "sending"

    bench.step = fill
    bench.cross()
    assert bench.life().order_id == "O1"
    assert bench.files.notes == {}
    bench.step = lambda name: None
    bench.files.is_full = False
    bench.wait(3)
    assert bench.files.notes == {"btc": "O1"}
    assert bench.files.disk["btc"]["order_id"] == "O1"
    assert bench.heard("can be written again")


# --- starts ------------------------------------------------------------------------------------


class Crash(BaseException):
    """The end of the process, as far as the worker is concerned."""


STEPS = ["intending", "written", "intended", "sending", "answered", "noting", "noted", "looking"]


@pytest.mark.parametrize("reply", [Reply.PLACED, Reply.LOST, Reply.NEVER])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_crash_at_any_step_leaves_exactly_one_order(step: str, nth: int, reply: Reply) -> None:
    """Wherever the program dies, the next start ends with one order, named in both files."""
    bench = Bench(rule())
    bench.kraken.replies = [reply]
    seen: list[str] = []

    def die(name: str) -> None:
        seen.append(name)
        if seen.count(step) == nth and name == step:
            raise Crash

    bench.step = die
    try:
        bench.cross()
        bench.wait(60)
    except Crash:
        bench.step = lambda name: None
        bench.restart()
        bench.cross()
    bench.wait(60)
    assert bench.placed == 1
    (txids,) = bench.kraken.orders.values()
    assert bench.files.notes == {"btc": txids[0]}
    assert bench.files.disk["btc"]["order_id"] == txids[0]


def test_nothing_fires_before_an_old_intent_is_settled() -> None:
    """At the start an open question comes first; what crosses meanwhile waits and then fires."""
    other = rule("other")
    bench = Bench(rule(), other)
    bench.kraken.replies = [Reply.LOST]
    bench.cross()
    bench.restart()
    bench.cross(other)
    assert len(bench.kraken.sent) == 1
    bench.wait(10)
    assert [bench.life(i).order_id for i in ("btc", "other")] == ["O1", "O2"]


def test_damaged_row_of_the_state_does_not_trade(bench: Bench) -> None:
    """A row from which nobody can tell whether it has fired stays still, loudly."""
    bench.files.disk["btc"]["rule_state"] = "on fire"
    bench.restart()
    bench.cross()
    assert bench.kraken.sent == []
    assert bench.heard("cannot be understood")


def test_rule_that_a_torn_state_file_lacks_does_not_trade() -> None:
    """When rows of the state file are lost, a rule that it does not know might have fired."""
    bench = Bench()
    bench.worker.distrust(None)
    bench.files.rules = {"btc": rule()}
    bench.adopt()
    bench.cross()
    assert bench.kraken.sent == []


def test_intent_that_waited_too_long_is_written_anew_before_it_is_sent(bench: Bench) -> None:
    """An order is never sent with a deadline that Kraken would refuse."""

    def dawdle(name: str) -> None:
        if name == "intended":
            bench.clock.seconds += 4

    bench.step = dawdle
    bench.cross()
    deadline = datetime.fromisoformat(bench.kraken.sent[0][2]).timestamp()
    assert deadline - bench.clock.seconds >= 4


# --- watching ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sighting", "state", "words"),
    [
        (Sighting("O1", "closed", "0.01", "49000"), RuleState.CLOSED, "is filled: 0.01 at 49000"),
        (
            Sighting("O1", "canceled", "0.00000000", "0", "User requested"),
            RuleState.CLOSED,
            "was canceled (User requested). The position is no longer protected",
        ),
        (Sighting("O1", "expired", "0.004", "1"), RuleState.CLOSED, "after 0.004 were filled"),
        (Sighting("O1", "open", "0.004", "49000"), RuleState.PLACED, "is partly filled: 0.004"),
    ],
)
def test_what_happens_to_the_order_is_said_once(
    bench: Bench, sighting: Sighting, state: RuleState, words: str
) -> None:
    """The order is watched until it is closed, and its user hears what became of it."""
    bench.cross()
    for _ in range(3):
        bench.worker.submit(Watched({"btc": sighting}))
        bench.worker.work_off()
    assert bench.life().state is state
    assert sum(words in message for _, message in bench.said) == 1
    assert ("btc" in bench.worker.standing) == (state is RuleState.PLACED)


def test_sighting_of_another_order_changes_nothing(bench: Bench) -> None:
    """News of an earlier generation's order is not news of this one."""
    bench.cross()
    bench.worker.submit(Watched({"btc": Sighting("O0", "closed")}))
    bench.worker.work_off()
    assert bench.life().state is RuleState.PLACED


# --- what a review found -------------------------------------------------------------------------


def test_row_changed_while_its_order_was_uncertain_is_armed_as_it_is_now(bench: Bench) -> None:
    """What was not placed for the old row is never placed for the new one at the old price."""
    bench.kraken.replies = [Reply.NEVER]
    bench.cross()
    moved = rule(threshold_price="60000", volume="1")
    bench.files.rules = {"btc": moved}
    bench.adopt()
    bench.changes.clear()
    bench.wait(30)
    assert len(bench.kraken.sent) == 1
    assert bench.life().row == fingerprint(moved)
    assert [change.rule for change in bench.changes if isinstance(change, BookArm)] == [moved]


def test_row_removed_while_its_order_was_uncertain_is_not_promised_an_order(bench: Bench) -> None:
    """Nobody is told that an order is placed now when none is."""
    bench.kraken.replies = [Reply.NEVER]
    bench.cross()
    bench.files.rules = {}
    bench.adopt()
    bench.wait(30)
    assert bench.heard("its row is not armed any more")
    assert len(bench.kraken.sent) == 1


def test_crossing_held_for_long_waits_for_its_threshold_again(bench: Bench) -> None:
    """A disk that was full for hours does not place an order at a price of hours ago."""
    bench.files.is_full = True
    bench.cross()
    bench.wait(300)
    bench.files.is_full = False
    bench.changes.clear()
    bench.wait(3)
    assert bench.kraken.sent == []
    assert [change.rule for change in bench.changes if isinstance(change, BookArm)] == [rule()]


def test_crossing_that_must_wait_for_an_old_order_is_told() -> None:
    """Nobody is left without a word while Kraken is asked about another row's order."""
    other = rule("other")
    bench = Bench(rule(), other)
    bench.kraken.replies = [Reply.LOST]
    bench.cross()
    bench.restart()
    bench.cross(other)
    assert bench.heard("other: BTC/USD at or above 50000 was crossed at 50001, but WAITS")


def test_old_crossing_in_the_batch_of_an_edit_leaves_the_new_row_armed(bench: Bench) -> None:
    """The new row stays known although the old one's crossing came in the same moment."""
    changed = rule(volume="0.02")
    bench.files.rules = {"btc": changed}
    adopt = Adopt({"btc": AcceptedRule(changed, MARKET)}, bench.clock.monotonic())
    bench.worker.submit(adopt)
    bench.worker.submit(Crossing(rule(), Decimal(50001), "50001"))
    bench.worker.work_off()
    bench.kraken.replies = [Reply.BUSY]
    bench.cross(changed)
    bench.wait(2)
    assert [order.volume for order, _, _ in bench.kraken.sent] == ["0.02", "0.02"]
    assert bench.placed == 1


@pytest.mark.parametrize("error", [OSError(16, "Device or resource busy"), ValueError("quotes")])
def test_config_that_cannot_be_written_stops_no_order_and_is_said_once(
    bench: Bench, error: Exception
) -> None:
    """Orders go on, the state file names them, and the sentence does not repeat."""
    other = rule("other")
    bench.files.rules["other"] = other
    bench.adopt()
    bench.files.note_error = error
    bench.cross()
    bench.cross(other)
    bench.wait(200)
    assert bench.placed == 2
    assert bench.files.disk["other"]["order_id"] == "O2"
    assert sum("CANNOT BE WRITTEN" in m for _, m in bench.said) <= 2
    assert not bench.heard("No order is placed that")
    bench.files.note_error = None
    bench.wait(70)
    assert bench.files.notes == {"btc": "O1", "other": "O2"}


def test_row_of_which_nothing_can_be_found_out_stays_as_it_is(bench: Bench) -> None:
    """A pair that Kraken could not be asked about says nothing about its row."""
    bench.changes.clear()
    bench.worker.submit(Adopt({}, bench.clock.monotonic(), frozenset({"btc"})))
    bench.worker.work_off()
    assert bench.changes == []
    assert bench.life().state is RuleState.ARMED
    bench.cross()
    assert bench.placed == 1


# --- any history -------------------------------------------------------------------------------

OTHER = rule("other", volume="0.02")  # its volume tells its orders

_event = st.one_of(
    st.tuples(st.just("cross"), st.sampled_from([(rule(),), (OTHER,), (rule(), OTHER)])),
    st.tuples(st.just("wait"), st.sampled_from([0.5, 2.0, 8.0, 20.0, 90.0])),
    st.tuples(st.just("reply"), st.sampled_from(Reply)),
    st.tuples(
        st.sampled_from(
            ["is_silent", "is_full", "is_read_only", "is_journal_broken", "is_unreadable"]
        ),
        st.booleans(),
    ),
    st.tuples(st.just("crash"), st.sampled_from(STEPS), st.integers(1, 3)),
    st.tuples(st.just("restart"), st.booleans()),
    st.tuples(st.just("switch"), st.sampled_from([rule(), OTHER])),
    st.tuples(st.just("read again")),
)


def _live_through(bench: Bench, files: JournalFiles, event: tuple[object, ...]) -> None:
    match event:
        case ("cross", tuple(rules)):
            bench.cross(*rules)
        case ("wait", float(seconds)):
            bench.wait(seconds)
        case ("reply", Reply() as reply):
            bench.kraken.replies.append(reply)
        case ("crash", str(step), int(nth)):
            bench.step = _dying_at(step, nth)
        case ("restart", bool(is_power_cut)):
            if is_power_cut:
                files.cut_power()
            bench.restart()
        case (str(trouble), bool(is_there)):
            setattr(bench.kraken if trouble == "is_silent" else files, trouble, is_there)
        case ("switch", Rule() as switched):
            if files.rules.pop(switched.id, None) is None:
                files.rules[switched.id] = switched
            bench.adopt()
        case _:
            bench.adopt()


def _dying_at(step: str, nth: int = 1, error: type[BaseException] = Crash) -> Callable[[str], None]:
    seen: list[str] = []

    def die(name: str) -> None:
        seen.append(name)
        if name == step and seen.count(step) == nth:
            raise error

    return die


def _orders_by_volume(bench: Bench) -> dict[str, int]:
    """Return how many orders stand of each rule, by its volume."""
    placed = [int(txid[1:]) for txids in bench.kraken.orders.values() for txid in txids]
    return dict(Counter(bench.kraken.sent[number - 1][0].volume for number in placed))


@settings(max_examples=400)
@given(st.lists(_event, max_size=30))
def test_any_history_ends_with_at_most_one_order_and_no_silence(
    history: list[tuple[object, ...]],
) -> None:
    """Whatever happens in whatever order: never two orders, and in the end never none."""
    bench = Bench()
    bench.files = files = JournalFiles(rules={"btc": rule(), "other": OTHER})
    bench.restart()
    for event in history:
        try:
            _live_through(bench, files, event)
        except Crash:
            bench.step = lambda name: None
            bench.restart()
        assert max(_orders_by_volume(bench).values(), default=0) <= 1
    bench.step = lambda name: None
    bench.kraken.is_silent = files.is_full = files.is_read_only = files.is_unreadable = False
    bench.kraken.replies.clear()
    files.rules = {"btc": rule(), "other": OTHER}
    bench.restart()
    for _ in range(4):
        bench.cross(rule(), OTHER)
        bench.wait(70)
    assert _orders_by_volume(bench) == {"0.01": 1, "0.02": 1}
    assert all(bench.life(i).has_fired for i in files.rules)
    assert files.notes == {i: bench.life(i).order_id for i in files.rules}
    assert {i: row["order_id"] for i, row in files.disk.items()} == files.notes


# --- what a second review found ------------------------------------------------------------------


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


def test_crossing_that_was_held_too_long_is_told(bench: Bench) -> None:
    """After hours of a full disk nobody believes that the crossing got its order."""
    bench.files.is_full = True
    bench.cross()
    bench.wait(300)
    bench.files.is_full = False
    bench.wait(3)
    assert bench.heard("btc: its order waited 30")


def test_end_with_crossings_in_line_is_told(bench: Bench) -> None:
    """Whoever ends the program while orders are owed reads which rows have none."""
    other = rule("other")
    bench.files.rules["other"] = other
    bench.adopt()
    bench.kraken.replies = [Reply.TOO_FAST, Reply.TOO_FAST]
    bench.cross(rule(), other)
    bench.worker.start()
    assert bench.worker.stop(10)
    assert bench.heard("The program ends, and there is NO ORDER yet for btc, other")


@pytest.mark.parametrize("path", ["line", "retry", "search", "held"])
def test_surprise_on_any_path_to_an_order_forgets_no_crossing(bench: Bench, path: str) -> None:
    """Also a crossing that did not just come in survives an error that nobody foresaw."""
    replies = {"line": [Reply.TOO_FAST], "retry": [Reply.BUSY], "search": [Reply.NEVER]}
    bench.kraken.replies = replies.get(path, [])
    bench.files.is_full = path == "held"
    bench.cross()
    bench.files.is_full = False
    tries = len(bench.kraken.sent)
    failed = threading.Event()

    def fail(name: str) -> None:
        if name == "sending":
            bench.step = lambda name: None
            failed.set()
            raise RuntimeError("a surprise")

    bench.step = fail
    while not failed.is_set():
        bench.clock.seconds += 0.5
        bench.worker._turn(())
    bench.step = lambda name: None
    bench.wait(40)
    assert (bench.placed, len(bench.kraken.sent)) == (1, tries + 1)
    assert bench.heard("Internal error in the order thread")


def test_surprise_in_a_crowd_that_was_held_forgets_none_of_it() -> None:
    """Those whose turn had not come yet are taken up, too."""
    bench, rules = crowd(15)
    bench.files.is_full = True
    bench.cross(*rules)
    bench.files.is_full = False
    bench.step = _dying_at("sending", error=RuntimeError)
    bench.clock.seconds += 2
    bench.worker._turn(())
    bench.step = lambda name: None
    bench.wait(40)
    assert bench.placed == 15


def test_crossing_that_met_a_surprise_needs_no_price_again(bench: Bench) -> None:
    """An error before the intent is as little a reason to lose a spike as a refusal is."""

    def fail(name: str) -> None:
        bench.step = lambda name: None
        raise RuntimeError("a surprise")

    bench.step = fail
    bench.worker._turn([Crossing(rule(), Decimal(50001), "50001")])
    bench.wait(30)
    assert bench.placed == 1


def test_look_that_breaks_off_in_any_way_is_silence(bench: Bench) -> None:
    """What no look can make sense of is asked again, with pauses, and stops nothing else."""
    bench.kraken.replies = [Reply.LOST]
    bench.cross()
    find, looks = bench.kraken.find, 0

    def fail(cl_ord_id: str, order: OrderRequest) -> Sighting | None:
        nonlocal looks
        looks += 1
        raise AttributeError("'list' object has no attribute 'items'")

    bench.kraken.find = fail  # type: ignore[method-assign]  # this answer only
    bench.wait(60)
    assert 2 < looks < 10
    bench.kraken.find = find  # type: ignore[method-assign]
    bench.wait(60)
    assert bench.life().order_id == "O1"


def test_doubtful_row_with_an_order_under_way_does_not_stop_the_others() -> None:
    """A row of the state that cannot be relied upon is doubted, and everything else trades."""
    other = rule("other")
    bench = Bench(rule(), other)
    bench.step = _dying_at("answered")
    with pytest.raises(Crash):
        bench.cross()
    bench.step = lambda name: None
    bench.restart(doubted=["btc"])
    bench.cross(other)
    bench.wait(60)
    assert bench.life("other").has_fired
    assert bench.placed == 2
    assert bench.heard("btc: nobody can tell from the state file whether it has fired")


def test_doubt_about_a_row_that_is_not_accepted_just_now_is_kept(bench: Bench) -> None:
    """Kraken could not be asked about the pair at the start: the row is no less doubtful."""
    rules, bench.files.rules = bench.files.rules, {}
    bench.restart(doubted=["btc"], undecided=["btc"])
    bench.worker.state.setdefault("other", {"id": "other"})
    bench.files.save_state(bench.worker.state)
    bench.files.rules = rules
    bench.restart()
    bench.cross()
    assert bench.kraken.sent == []


@pytest.mark.parametrize("doubt", ["refused", "uncertain"])
def test_price_that_cannot_be_read_costs_no_row_its_arming(bench: Bench, doubt: str) -> None:
    """A cell that somebody spoilt by hand: the row waits for its price, and the program runs."""
    bench.kraken.replies = [Reply.BUSY if doubt == "refused" else Reply.NEVER]
    bench.cross()
    bench.files.disk["btc"]["trigger_price"] = "five"
    bench.restart()
    bench.wait(30)
    assert bench.placed == 0
    assert isinstance(bench.changes[-1], BookArm)
    bench.cross()
    assert bench.placed == 1


def test_crossing_of_the_future_is_as_old_as_one_of_the_past(bench: Bench) -> None:
    """A machine without a clock of its own starts in the past: what it owes nobody knows."""
    bench.kraken.replies = [Reply.BUSY]
    bench.cross()
    bench.clock.seconds -= 3600
    bench.restart()
    bench.wait(30)
    assert bench.placed == 0


@pytest.mark.parametrize("reply", [Reply.LOST, Reply.NEVER])
def test_clock_that_jumped_back_does_not_hold_the_others_up(reply: Reply) -> None:
    """No deadline of Kraken's is hours away, whatever the clock of this machine says."""
    other = rule("other")
    bench = Bench(rule(), other)
    bench.kraken.replies = [reply]
    bench.cross()
    bench.clock.seconds -= 8 * 3600
    bench.restart()
    bench.cross(other)
    bench.wait(40)
    assert bench.life("other").order_id == "O2"
    assert bench.life().order_id == ("O1" if reply is Reply.LOST else "")


def test_deadline_that_cannot_be_read_is_over_some_time(bench: Bench) -> None:
    """A damaged cell makes nobody wait for ever."""
    bench.kraken.replies = [Reply.NEVER]
    bench.cross()
    bench.files.disk["btc"]["deadline"] = "soon"
    bench.restart()
    bench.wait(40)
    assert bench.placed == 1


def test_mark_is_not_passed_while_a_crossing_without_an_intent_is_owed(bench: Bench) -> None:
    """What only the memory knows must be found again by the trades after a crash."""
    passed: list[float] = []
    bench.kraken.market = Market("BTC/USD", "XXBTZUSD", status="cancel_only")
    bench.cross()
    bench.worker.submit(Mark(lambda: passed.append(0.0)))
    bench.worker.work_off()
    assert passed == []
    bench.kraken.market = MARKET
    bench.wait(5)
    bench.worker.submit(Mark(lambda: passed.append(0.0)))
    bench.worker.work_off()
    assert (bench.placed, passed) == (1, [0.0])


@pytest.mark.parametrize("reply", [None, Reply.BUSY, Reply.TOO_FAST])
def test_row_that_was_switched_off_and_on_owes_nothing(bench: Bench, reply: Reply | None) -> None:
    """A crossing that waits, for the disk or for Kraken, goes with the row."""
    rules = bench.files.rules
    bench.files.is_full = reply is None
    bench.kraken.replies = [reply] if reply else []
    bench.cross()
    tries = len(bench.kraken.sent)
    for now in ({}, rules):
        bench.files.rules = now
        bench.adopt()
    bench.files.is_full = False
    bench.wait(10)
    assert len(bench.kraken.sent) == tries


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


def test_mark_is_not_passed_while_a_crossing_is_held_for_the_disk(bench: Bench) -> None:
    """What could not be written down must be found again by the trades after a crash."""
    passed: list[float] = []
    bench.files.is_full = True
    bench.cross()
    bench.worker.submit(Mark(lambda: passed.append(0.0)))
    bench.worker.work_off()
    assert passed == []


def test_crossing_that_is_refused_long_after_another_is_owed_as_well(bench: Bench) -> None:
    """Each crossing is owed for its own minute."""
    bench.kraken.replies = [Reply.BUSY] * 8
    bench.cross()
    bench.wait(600)
    bench.kraken.replies = [Reply.BUSY]
    tries = len(bench.kraken.sent)
    bench.worker._troubles["btc"].count = 0
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


# --- files that take long --------------------------------------------------------------------


class SlowFiles(MemoryFiles):
    """A disk that needs a second for the whole state, by the clock of the test."""

    clock = ManualClock()
    has_saved: list[threading.Event]

    def save_state(self, state: State) -> None:
        super().save_state(state)
        self.clock.seconds += 1.0
        for event in self.has_saved:
            event.set()


def test_long_writes_leave_the_thread_free_and_are_made_up_for_at_the_end() -> None:
    """After a write of a second the next one waits, orders do not, and the end writes all."""
    rules = [rule("one"), rule("two")]
    bench = Bench(*rules)
    files = SlowFiles(disk=bench.files.disk, rules=bench.files.rules)
    files.clock, files.has_saved = bench.clock, [threading.Event()]
    bench.files = bench.worker._files = files
    bench.worker.start()
    bench.worker.submit(Crossing(rules[0], Decimal(50001), "50001"))
    assert files.has_saved[0].wait(10)
    sent = threading.Event()
    bench.step = lambda name: sent.set() if name == "answered" else None
    bench.worker.submit(Crossing(rules[1], Decimal(50001), "50001"))
    assert sent.wait(10)
    looked_at = threading.Event()
    bench.worker.submit(Mark(looked_at.set))
    assert looked_at.wait(10)
    assert files.disk["two"]["rule_state"] == "intended"
    assert bench.worker.stop(10)
    assert (files.disk["two"]["rule_state"], files.notes["two"]) == ("placed", "O2")
