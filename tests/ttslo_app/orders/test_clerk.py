"""What has become of orders, and how both files are told."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import pytest

from krakenlink.stream.executions import AccountOrder
from tests.kits.orders.order_bench import (
    MARKET,
    ROW,
    Bench,
    ManualClock,
    MemoryFiles,
    Reply,
    rule,
)
from tests.kits.program.program_process import wait_until
from ttslo_app.messages import (
    AcceptedRule,
    Adopt,
    Crossing,
    Mark,
    Sighting,
    Stop,
    Streamed,
    Watched,
)
from ttslo_app.orders.clerk import Clerk
from ttslo_app.orders.ledger import State
from ttslo_app.orders.life import Life, RuleState
from ttslo_app.rules.rule import Rule


@pytest.fixture
def bench() -> Bench:
    """A worker with one armed rule."""
    return Bench(rule())


def test_order_whose_row_is_gone_for_a_moment_is_noted_when_it_is_back(bench: Bench) -> None:
    """A row that nobody could write to is not armed again by coming back as it was."""
    bench.step = lambda name: bench.files.rules.clear() if name == "noting" else None
    bench.cross()
    assert bench.heard("order O1 is not noted there")
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


@dataclass
class FarFiles(MemoryFiles):
    """Files that let whoever writes wait, as a store far away that does not answer."""

    clock: ManualClock = field(default_factory=ManualClock)
    takes: float = 0.0

    def save_state(self, state: State) -> None:
        self.clock.seconds += self.takes
        super().save_state(state)

    def save_intents(self, state: State, rule_ids: Sequence[str]) -> None:
        self.clock.seconds += self.takes
        super().save_intents(state, rule_ids)

    def note_orders(self, lives: Sequence[Life]) -> Collection[str]:
        self.clock.seconds += self.takes
        return super().note_orders(lives)


def slow(*rules: Rule) -> tuple[Bench, FarFiles]:
    """Return a worker with such files."""
    bench = Bench(*rules)
    files = FarFiles(rules=bench.files.rules, clock=bench.clock)
    bench.files = files
    bench.restart()
    return bench, files


def settled(bench: Bench) -> Clerk:
    """Let the clerk do what it would do between two crossings, a second later; return it."""
    clerk = bench.worker._clerk
    bench.clock.seconds += 1.0
    clerk.settle(is_ending=False)
    return clerk


def test_store_that_did_not_answer_for_seconds_is_tried_again_at_once() -> None:
    """A write that failed after 5 s says nothing of the next one, and a crossing waits for it."""
    bench, files = slow(rule())
    files.is_full, files.takes = True, 5.0
    bench.cross()
    assert settled(bench).is_disk_bad
    files.is_full, files.takes = False, 0.0
    due = bench.worker._clerk.next_at()
    assert due is not None
    assert due <= bench.clock.seconds + 1.0
    assert not settled(bench).is_disk_bad
    bench.worker.work_off()
    assert bench.placed == 1


def test_crossing_does_not_wait_because_the_write_before_took_long() -> None:
    """Notes of another row took 4 s; the next intent fails, and need not wait 80 s for that."""
    bench, files = slow(rule(), rule("eth"))
    bench.step = lambda name: setattr(files, "takes", 4.0 if name == "noting" else 0.0)
    bench.cross(rule("eth"))
    assert files.notes == {"eth": "O1"}
    bench.step = lambda name: None
    files.takes, files.is_full = 0.0, True
    bench.cross()
    files.is_full = False
    assert bench.worker._clerk.is_disk_bad
    assert not settled(bench).is_disk_bad
    bench.worker.work_off()
    assert bench.placed == 2


def test_disk_that_stood_still_once_keeps_files_waiting_for_half_a_minute_at_most() -> None:
    """A note took 12 s: the next may cost no crossing its time, and still not come in minutes."""
    bench, files = slow(rule())
    bench.step = lambda name: setattr(files, "takes", 12.0 if name == "noting" else 0.0)
    bench.cross()
    bench.worker.ledger.must_write = True
    due = bench.worker._clerk.next_at()
    assert due is not None
    assert 10.0 <= due - bench.clock.seconds <= 30.0
    bench.clock.seconds = due
    bench.worker._clerk.settle(is_ending=False)
    assert not bench.worker.ledger.must_write


def test_note_that_failed_slowly_is_tried_again_as_soon_as_one_that_failed_at_once() -> None:
    """Its row does not say for a minute and a half that it has fired, else."""
    bench, files = slow(rule())
    files.note_error = OSError("no answer")
    bench.step = lambda name: setattr(files, "takes", 4.0 if name == "noting" else 0.0)
    bench.cross()
    due = bench.worker._clerk.next_at()
    assert due is not None
    assert due <= bench.clock.seconds + 10.0


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


@pytest.mark.parametrize("seen", ["0.004", "0.00400000", "0.00300000", ""])
def test_partial_fill_that_is_known_is_not_told_again(bench: Bench, seen: str) -> None:
    """Another spelling is no news, and neither is an answer that a newer one has overtaken."""
    bench.cross()
    for amount in ("0.00400000", seen):
        bench.worker.submit(Watched({"btc": Sighting("O1", "open", amount)}))
        bench.worker.work_off()
    assert sum("is partly filled" in message for _, message in bench.said) == 1
    assert bench.life().vol_exec == "0.00400000"


def test_stop_of_a_standing_order_is_known_until_the_order_ends(bench: Bench) -> None:
    """It is told where, and since when: a stop that did not move keeps its moment."""
    stops = [Stop(Decimal(47500), Decimal(50000), "last"), Stop(Decimal(48000), None, "last")]
    bench.cross()
    for stop in (stops[0], stops[0], stops[1]):
        bench.clock.seconds += 10
        bench.worker.submit(Watched({"btc": Sighting("O1", "open", stop=stop)}))
        bench.worker.work_off()
        known = bench.worker.ledger.stops["btc"]
        assert known == stop
    assert known.at.endswith("30.000+00:00")
    bench.worker.submit(Watched({"btc": Sighting("O1", "closed", "0.01", "48000")}))
    bench.worker.work_off()
    assert not bench.worker.ledger.stops


def test_stop_of_another_order_is_no_stop_of_ours(bench: Bench) -> None:
    """A rule that was armed again does not show where its earlier order stands."""
    bench.cross()
    old = Sighting("O0", "open", stop=Stop(Decimal(47500)))
    bench.worker.submit(Watched({"btc": old}))
    bench.worker.work_off()
    assert not bench.worker.ledger.stops


# --- what the account's stream tells ----------------------------------------------------------


def streamed(bench: Bench, **changes: Any) -> list[str]:
    """Let the stream tell of the order O1 of the rule; return whether REST was asked for."""
    asked: list[str] = []
    order = AccountOrder(
        "O1",
        "new",
        bench.life().cl_ord_id,
        "BTC/USD",
        "sell",
        "trailing-stop",
        Decimal("0.01"),
        stop=Decimal(47500),
        reference="last",
    )
    told = replace(order, **changes)
    bench.worker.submit(Streamed(told, "XXBTZUSD", lambda: asked.append(told.order_id)))
    bench.worker.work_off()
    return asked


FILL: dict[str, Any] = {
    "status": "filled",
    "executed": Decimal("0.01"),
    "price": Decimal("47499.5"),
}


def test_fill_of_the_stream_is_told_once_whoever_brings_it(bench: Bench) -> None:
    """First the stream and then REST, in another spelling; the row is closed by the first."""
    bench.cross()
    assert streamed(bench, **FILL) == []
    assert bench.life().state is RuleState.CLOSED
    closed = Sighting("O1", "closed", "0.01000000", "47499.50000")
    bench.worker.submit(Watched({"btc": closed}))
    bench.worker.work_off()
    streamed(bench, **FILL)
    assert sum("order O1 is filled: 0.01 at 47499.5" in m for _, m in bench.said) == 1
    assert (bench.life().fill_price, bench.worker.standing) == ("47499.5", {})


@pytest.mark.parametrize(
    "changes",
    [
        {**FILL, "side": "buy"},
        {**FILL, "is_certain": False},
        {**FILL, "price": None},
        {**FILL, "symbol": ""},
        {"status": "canceled", "volume": Decimal("0.02")},
        {"status": "", "executed": Decimal("0.004")},
    ],
)
def test_doubtful_word_of_the_stream_ends_no_row_and_rest_is_asked(
    bench: Bench, changes: dict[str, Any]
) -> None:
    """What REST says then is what counts."""
    bench.cross()
    before = bench.life()
    assert streamed(bench, **changes) == ["O1"]
    assert bench.life() == before
    assert bench.worker.standing == {"btc": "O1"}
    assert not bench.heard("O1 is filled")
    bench.worker.submit(Watched({"btc": Sighting("O1", "canceled", "0", "", "User requested")}))
    bench.worker.work_off()
    assert bench.heard("was canceled (User requested)")


def test_end_that_forgets_a_part_is_asked_about(bench: Bench) -> None:
    """Nobody is told that nothing was sold of an order that was filled in part."""
    bench.cross()
    bench.worker.submit(Watched({"btc": Sighting("O1", "open", "0.005", "49000")}))
    assert streamed(bench, status="canceled") == ["O1"]
    assert (bench.life().state, bench.life().vol_exec) == (RuleState.PLACED, "0.005")
    bench.worker.submit(Watched({"btc": Sighting("O1", "canceled", "0.005", "49000")}))
    bench.worker.work_off()
    assert (bench.life().state, bench.life().vol_exec) == (RuleState.CLOSED, "0.005")


def test_part_and_stop_of_the_stream_are_taken_in(bench: Bench) -> None:
    """A part is told once; one that fills all of it waits for Kraken's word."""
    bench.cross()
    for part in ("0.004", "0.00400000", "0.01"):
        part_told = {"status": "partially_filled", "executed": Decimal(part)}
        assert streamed(bench, **part_told) == []
    assert sum("is partly filled: 0.004" in m for _, m in bench.said) == 1
    assert sum("is partly filled" in m for _, m in bench.said) == 1
    assert bench.worker.ledger.stops["btc"].price == 47500
    assert bench.life().state is RuleState.PLACED


def test_order_that_does_not_stand_is_passed_over(bench: Bench) -> None:
    """Somebody else's, or one whose answer has not come yet: nothing is asked for it."""
    assert streamed(bench) == []
    bench.cross()
    assert streamed(bench, order_id="O7", **FILL) == []
    assert bench.life().state is RuleState.PLACED


def test_sighting_of_another_order_changes_nothing(bench: Bench) -> None:
    """News of an earlier generation's order is not news of this one."""
    bench.cross()
    bench.worker.submit(Watched({"btc": Sighting("O0", "closed")}))
    bench.worker.work_off()
    assert bench.life().state is RuleState.PLACED


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
    bench.files = files
    bench.restart()
    bench.worker.start()
    bench.worker.submit(Crossing(rules[0], Decimal(50001), "50001"))
    assert files.has_saved[0].wait(60)
    sent = threading.Event()
    bench.step = lambda name: sent.set() if name == "answered" else None
    bench.worker.submit(Crossing(rules[1], Decimal(50001), "50001"))
    assert sent.wait(60)
    looked_at = threading.Event()
    bench.worker.submit(Mark(looked_at.set))
    assert looked_at.wait(60)
    assert files.disk["two"]["rule_state"] == "intended"
    assert bench.worker.stop(10)
    assert (files.disk["two"]["rule_state"], files.notes["two"]) == ("placed", "O2")


# --- what was found is not what the row says -------------------------------------------------


def test_order_found_of_a_row_that_was_edited_since_is_told(bench: Bench) -> None:
    """The order of the row as it was does not pass for the new row's."""
    bench.kraken.replies = [Reply.LOST]
    bench.cross()
    bench.files.rules["btc"] = rule(volume="0.5")
    bench.adopt()
    bench.wait(20)
    assert len(bench.kraken.sent) == 1
    assert bench.life().state is RuleState.PLACED
    assert bench.heard("is of the row as it was (sell 0.01")
    assert bench.heard("it says sell 0.5 now")


def test_order_found_with_other_content_is_told(bench: Bench) -> None:
    """An id says that no second may be sent, and not what stands under it."""
    bench.kraken.replies = [Reply.LOST]
    bench.cross()
    odd = Sighting("O9", "open", differs="side buy instead of sell")
    bench.kraken.find = lambda *asked: odd  # type: ignore[method-assign]  # one odd answer
    bench.wait(20)
    assert bench.life().order_id == "O9"
    assert bench.heard("side buy instead of sell")


def owing_a_note() -> Bench:
    """Return a worker whose order stands, and whose row is still to be told of it."""
    bench, files = slow(rule())
    bench.cross()
    files.notes.clear()
    bench.worker.ledger.unnoted.add("btc")
    files.is_saved_now = True
    return bench


def test_note_waits_for_whoever_is_saving_config_csv() -> None:
    """What is written behind a note by an editor that saves in place would be lost."""
    bench = owing_a_note()
    for _ in range(20):
        clerk = settled(bench)
        assert bench.files.notes == {}
        due = clerk.next_at()
        assert due is not None
        assert bench.clock.seconds < due < bench.clock.seconds + 1.0  # no turn without an end
    assert bench.files.disk["btc"]["order_id"] == "O1"
    bench.files.is_saved_now = False
    settled(bench)
    assert bench.files.notes == {"btc": "O1"}
    assert not bench.heard("can be written again")


def test_edit_that_was_read_is_no_reason_to_write_into_the_next_one() -> None:
    """Its reading may have waited for orders; a row that fired is not armed by it all the same."""
    bench = owing_a_note()
    bench.worker.start()
    again = {"btc": AcceptedRule(rule(), MARKET, False, ROW)}
    bench.worker.submit(Adopt(again, bench.clock.monotonic()))
    wait_until(lambda: bench.worker.ledger.rules is again, "it is taken")
    assert bench.files.notes == {}
    bench.files.is_saved_now = False
    assert bench.worker.stop(30.0)
    assert bench.files.notes == {"btc": "O1"}
    assert bench.life().state is RuleState.PLACED
    assert bench.placed == 1


def test_program_that_ends_lets_a_save_of_config_csv_come_to_its_end() -> None:
    """What is saved behind its last note would be lost, and nobody would see that."""
    bench = owing_a_note()
    looks: list[dict[str, str]] = []

    def is_being_saved() -> bool:
        looks.append(dict(bench.files.notes))
        return len(looks) < 5

    bench.files.is_being_saved = is_being_saved  # type: ignore[method-assign]
    bench.worker.start()
    assert bench.worker.stop(30.0)
    assert looks == [{}] * 5
    assert bench.files.notes == {"btc": "O1"}
    assert not bench.heard("being written to")


def test_program_that_ends_waits_for_no_endless_save() -> None:
    """Its row would say for as long as nobody starts it that it is armed; what it costs is told."""
    bench = owing_a_note()
    bench.worker.start()
    assert bench.worker.stop(30.0)
    assert bench.files.notes == {"btc": "O1"}
    assert bench.heard("config.csv is being written to all the while, and is told of btc (O1) all")
    assert bench.files.disk["btc"]["noted"] == "true"


def test_note_does_not_wait_for_ever_nor_at_the_end() -> None:
    """A row that stays enabled is a trap for its user, too; so is a save that lost its end."""
    bench = owing_a_note()
    for _ in range(40):
        assert bool(bench.files.notes) == bench.heard("being written to all the while")
        settled(bench)
    assert bench.files.notes == {"btc": "O1"}
    assert sum("being written to" in text for _, text in bench.said) == 1
    bench = owing_a_note()
    settled(bench).settle(is_ending=True)
    assert bench.files.notes == {"btc": "O1"}


def test_note_that_failed_is_tried_no_sooner_for_somebody_who_saves() -> None:
    """The pause after an error is what it was."""
    bench = owing_a_note()
    bench.files.is_saved_now = False
    bench.files.note_error = PermissionError(13, "Permission denied")
    clerk = settled(bench)
    due = clerk.next_at()
    bench.files.is_saved_now = True
    clerk.settle(is_ending=False)
    assert clerk.next_at() == due
