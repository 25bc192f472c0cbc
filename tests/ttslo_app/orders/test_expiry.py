"""Rows that end by themselves: when, and what of them still counts."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from tests.kits.orders.order_bench import Bench, Reply, rule
from ttslo_app.messages import BookDisarm, Crossing
from ttslo_app.orders.life import EXPIRED, RuleState


def moment(bench: Bench, seconds: float) -> str:
    """Return a moment so many seconds from now, as a cell has it."""
    return datetime.fromtimestamp(bench.clock.seconds + seconds, UTC).isoformat()


def bench_with(expires: str) -> Bench:
    """Return a bench with one row that ends by itself."""
    return Bench(rule(expires=expires))


def test_row_disarms_itself_and_says_so() -> None:
    """From that moment on no crossing leads to an order."""
    bench = bench_with("+1h")
    bench.wait(3599)
    assert bench.life().state is RuleState.ARMED
    bench.wait(4)
    assert bench.life().state is RuleState.DISARMED
    assert bench.heard("btc: disarmed: it expired at")
    assert bench.changes[-1] == BookDisarm("btc")
    bench.cross(rule(expires="+1h"))
    assert bench.placed == 0


def test_crossing_before_counts_though_its_order_comes_later() -> None:
    """It waited for funds when the row ended."""
    bench = bench_with("+1h")
    bench.wait(3599)
    bench.kraken.replies = [Reply.BUSY]
    bench.cross(rule(expires="+1h"))
    bench.wait(10)
    assert bench.placed == 1
    assert not bench.heard("expired")


def test_crossing_after_does_not_count_though_nobody_has_looked_at_the_clock() -> None:
    """Both come in the same turn: the moment of the crossing decides."""
    for since, placed in ((-2.0, 1), (2.0, 0)):
        bench = bench_with("+1h")
        row, begin = rule(expires="+1h"), bench.clock.seconds
        bench.clock.seconds = begin + 3610
        at = begin + 3600 + since
        bench.worker.submit(Crossing(row, Decimal(50001), "50001", seen_at=at))
        bench.worker.work_off()
        assert bench.placed == placed
        assert bench.heard("after the row had expired") is (placed == 0)


def test_time_from_the_arming_goes_on_over_restarts() -> None:
    """It does not begin anew."""
    bench = bench_with("+1h")
    bench.wait(3000)
    bench.restart()
    bench.wait(599)
    assert bench.life().state is RuleState.ARMED
    bench.wait(4)
    assert bench.life().state is RuleState.DISARMED


def test_row_that_has_ended_stays_so_until_its_user_changes_it() -> None:
    """Neither another reading of the file nor a restart arms it again."""
    bench = bench_with("+1h")
    bench.wait(3603)
    bench.adopt()
    bench.restart()
    assert bench.life().detail == EXPIRED
    bench.files.rules["btc"] = rule(expires="+2h")
    bench.adopt()
    assert bench.life().state is RuleState.ARMED
    bench.wait(3600)
    assert bench.life().state is RuleState.ARMED


def test_row_that_was_disabled_and_enabled_begins_anew() -> None:
    """That is how one says: once more."""
    bench = bench_with("+1h")
    bench.wait(3603)
    bench.files.rules["btc"] = rule(expires="+1h", enabled="false")
    bench.adopt()
    bench.files.rules["btc"] = rule(expires="+1h")
    bench.adopt()
    assert bench.life().state is RuleState.ARMED


def test_order_that_stands_is_not_ended_with_its_row() -> None:
    """Only what waits for its crossing ends."""
    bench = bench_with("+1h")
    bench.cross(rule(expires="+1h"))
    bench.wait(3700)
    assert bench.life().state is RuleState.PLACED
    assert not bench.heard("expired")


def test_worker_wakes_up_for_the_end_of_a_row() -> None:
    """It needs no price for that."""
    bench = bench_with("+1h")
    assert bench.worker.roll.expiry.next_at() == pytest.approx(bench.clock.seconds + 3602)
    assert Bench(rule()).worker.roll.expiry.next_at() is None


@pytest.mark.parametrize("cell", ["x", "", "9999-12-30T00:00:00+00:00"])
def test_damaged_moment_ends_no_thread_and_no_time_goes_on_for_ever(cell: str) -> None:
    """Where nobody knows since when a row waits, a moment counts, and a time is over."""
    for expires, is_over in ((moment(Bench(), 100), False), ("+1h", True)):
        bench = bench_with(expires)
        bench.worker.state["btc"]["armed_at"] = cell
        assert bench.worker.roll.expiry.next_at() is not None
        bench.wait(1)
        assert (bench.life().state is RuleState.DISARMED) is is_over
        bench.wait(103)
        assert bench.life().state is RuleState.DISARMED


def test_row_of_a_group_that_has_ended_is_not_armed_by_its_group() -> None:
    """Nor does a turn of another row of it bring it back."""
    rows = [rule("x", group="g", expires="+1h"), rule("y", group="g", threshold_price="60000")]
    bench = Bench(*rows)
    bench.wait(3610)
    bench.adopt()
    bench.wait(10)
    assert bench.life("x").state is RuleState.DISARMED
    bench.cross(rows[0])
    assert bench.placed == 0
    assert bench.life("y").state is RuleState.ARMED


def test_crossing_of_before_is_taken_up_though_its_row_has_ended_meanwhile() -> None:
    """It lay in the inbox while another order was under way."""
    late, other = rule("late", expires="+1h"), rule("other")
    bench = Bench(late, other)
    end = bench.clock.seconds + 3600
    bench.clock.seconds = end - 5

    def cross_late(name: str) -> None:
        if name == "sending" and bench.clock.seconds < end:
            bench.worker.submit(Crossing(late, Decimal(50001), "50001", seen_at=end - 4))
            bench.clock.seconds = end + 6

    bench.step = cross_late
    bench.cross(other)
    bench.worker.work_off()
    assert bench.life("late").state is RuleState.PLACED
    assert bench.placed == 2


def test_row_that_has_ended_is_fired_by_nobody_who_hands_it_in() -> None:
    """As a run of one look does: it asks for no price of it, and arms nothing."""
    bench = bench_with("+1h")
    bench.wait(3610)
    bench.worker.roll.ensure_armed(rule(expires="+1h"))
    assert bench.life().state is RuleState.DISARMED


def test_row_that_nobody_can_read_ends_neither_the_thread_nor_other_rows() -> None:
    """When to wake up is asked outside of a turn, where an error would be the thread's last."""
    bench = Bench(rule("bad", expires="+1h"), rule("good", expires="+2h"))
    bench.worker.state["bad"]["generation"] = "one"
    assert bench.worker.roll.expiry.next_at() == pytest.approx(bench.clock.seconds + 7202)
    bench.wait(7204)
    assert bench.life("good").state is RuleState.DISARMED
    assert bench.worker.roll.expiry.next_at() is None
