"""What becomes of the notes and of orders that are found, where something is in the way."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from order_bench import SETTINGS, Bench, Reply, rule

from ttslo_app.messages import Sighting
from ttslo_app.orders.life import RuleState
from ttslo_app.orders.words import DRY_RUN_ORDER_ID, placed


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
    dry = placed(replace(bench.life(), order_id=DRY_RUN_ORDER_ID), "crossed at")
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
