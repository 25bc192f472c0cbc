"""What becomes of the notes and of orders that are found, where something is in the way."""

from __future__ import annotations

from itertools import pairwise

from tests.kits.orders.order_bench import (
    SETTINGS,
    Bench,
    ManualClock,
    MemoryFiles,
    Reply,
    life,
    rule,
)
from ttslo_app.messages import Sighting
from ttslo_app.orders.clerk import Clerk
from ttslo_app.orders.ledger import Ledger, cells_of
from ttslo_app.orders.life import RuleState
from ttslo_app.orders.owed import Owed
from ttslo_app.orders.ports import Tools
from ttslo_app.orders.words import DRY_RUN_ORDER_ID, Teller, placed


def test_note_that_cannot_be_written_is_said_once_and_made_up_for() -> None:
    """The order is placed and known; config.csv is told of it as soon as it can be."""
    bench = Bench(rule())
    bench.files.note_error = PermissionError(13, "Permission denied")
    bench.cross()
    bench.wait(20)
    said = [text for _, text in bench.said if "config.csv CANNOT BE WRITTEN" in text]
    assert len(said) == 1
    assert "btc (O1)" in said[0]
    assert (bench.placed, bench.files.notes) == (1, {})
    bench.files.note_error = None
    bench.wait(SETTINGS.refusal_wait_max)
    assert bench.files.notes == {"btc": "O1"}
    assert bench.life().noted
    assert bench.heard("config.csv can be written again, and names the orders")


def test_note_is_tried_more_and_more_slowly() -> None:
    """A file that somebody has locked for an hour is not written thousands of times."""
    bench = Bench(rule())
    tries: list[float] = []

    def refuse(lives: object) -> tuple[str, ...]:
        tries.append(bench.clock.seconds)
        raise PermissionError(13, "Permission denied")

    bench.files.note_orders = refuse  # type: ignore[method-assign]  # each try is counted
    bench.cross()
    bench.wait(300)
    gaps = [later - earlier for earlier, later in pairwise(tries)]
    assert 5 <= len(tries) <= 14
    assert gaps[0] < 2 * SETTINGS.refusal_wait
    assert gaps[-1] >= SETTINGS.refusal_wait_max
    assert bench.files.disk["btc"]["order_id"] == "O1"


def test_order_that_is_found_filled_is_told_as_filled() -> None:
    """Its answer was lost, and its stop was met before anybody looked."""
    bench = Bench(rule())
    bench.kraken.replies = [Reply.LOST]
    bench.kraken.find = (  # type: ignore[method-assign]
        lambda cl_ord_id, order: Sighting("O1", "closed", "0.01", "50900")
    )
    bench.cross()
    bench.wait(60)
    assert bench.life().state is RuleState.CLOSED
    assert (bench.life().vol_exec, bench.life().fill_price) == ("0.01", "50900")
    assert bench.heard("order O1 is filled: 0.01 at 50900")
    assert bench.worker.ledger.standing == {}


def test_order_that_stands_is_watched_after_a_restart_and_one_that_ended_is_not() -> None:
    """What the state says decides: a closed order is nobody's business any more."""
    bench = Bench(rule(), rule("eth"))
    bench.cross(rule(), rule("eth"))
    bench.kraken.orders.clear()
    closed = bench.worker.ledger.state["eth"]
    closed["rule_state"] = "closed"
    bench.files.save_state(bench.worker.ledger.state)
    bench.restart()
    assert bench.worker.ledger.standing == {"btc": "O1"}


def test_rehearsed_order_is_never_called_placed() -> None:
    """A dry run says what it would have done, in the very sentence that a real one has."""
    bench = Bench(rule())
    bench.cross()
    real = placed(bench.life(), "BTC/USD above 50000 crossed at")
    assert "order O1 placed" in real.text
    dry = placed(bench.life()._replace(order_id=DRY_RUN_ORDER_ID), "crossed at")
    assert "would have placed an order" in dry.text
    assert f"order {DRY_RUN_ORDER_ID} placed" not in dry.text


# --- at the desk ---------------------------------------------------------------------------------


def test_each_that_stands_in_line_is_told_how_many_are_before_it() -> None:
    """Kraken takes no more orders for now: nobody is left without a word."""
    rules = [rule(f"r{number}") for number in range(4)]
    bench = Bench(*rules)
    bench.kraken.replies = [Reply.TOO_FAST]
    bench.cross(*rules)
    said = {name: [text for _, text in bench.said if name in text] for name in ("r1", "r2", "r3")}
    assert all("crossed" in "".join(texts) for texts in said.values())
    assert all(texts for texts in said.values())


def test_crossing_of_a_row_that_was_changed_is_owed_to_nobody() -> None:
    """It was said once that no order was placed, and it does not come again by itself."""
    bench = Bench(rule())
    bench.files.rules["btc"] = rule(volume="0.02")
    bench.cross()
    assert bench.worker.ledger.is_waiting("btc")
    bench.wait(90)
    assert bench.placed == 0
    said = [text for _, text in bench.said if "in the same moment" in text]
    assert len(said) == 1


# --- when there is something to write ------------------------------------------------------------


def clerk_of(files: MemoryFiles, clock: ManualClock) -> tuple[Clerk, Ledger]:
    """Return a clerk with books of one placed order, of which all is written."""
    ledger = Ledger({"btc": cells_of(life(RuleState.PLACED, order_id="O1", noted=True))})
    teller = Teller(lambda level, text, **fields: None)
    tools = Tools(
        ledger, Owed(SETTINGS), files, None, clock.clocks, teller, SETTINGS, lambda step: None
    )
    return Clerk(tools), ledger


def test_clerk_with_nothing_to_write_wakes_nobody() -> None:
    """The order thread sleeps until something comes: it does not turn round and round."""
    clerk, ledger = clerk_of(MemoryFiles(), ManualClock())
    assert clerk.next_at() is None
    ledger.must_write = True
    assert clerk.next_at() is not None
    clerk.settle(is_ending=False)
    assert clerk.next_at() is None


def test_clerk_whose_disk_is_full_comes_back_after_its_pause() -> None:
    """And not before: a disk that fills up is not helped by haste."""
    files, clock = MemoryFiles(is_full=True), ManualClock()
    clerk, ledger = clerk_of(files, clock)
    ledger.must_write = True
    clerk.settle(is_ending=False)
    assert clerk.is_disk_bad
    assert clerk.next_at() == clock.seconds + SETTINGS.write_again
    files.is_full = False
    clerk.settle(is_ending=False)
    assert clerk.is_disk_bad  # not yet
    clock.seconds += SETTINGS.write_again
    clerk.settle(is_ending=False)
    assert (clerk.is_disk_bad, clerk.next_at()) == (False, None)
    assert files.disk["btc"]["order_id"] == "O1"
