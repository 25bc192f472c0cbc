"""What the order thread does with a first crossing that is found after its order was on its way."""

from __future__ import annotations

import pytest

from tests.kits.orders.order_bench import MARKET, Bench, Reply, rule
from ttslo_app.messages import AcceptedRule, Adopt, BookFired, FirstCrossing, Mark

FOUND = FirstCrossing("btc", "50100", "2027-01-15T08:00:01.000000+00:00")


@pytest.fixture
def bench() -> Bench:
    """Hand out a worker whose one rule has fired at 50001."""
    bench = Bench(rule())
    bench.cross()
    return bench


def test_first_crossing_stands_beside_what_placed_the_order(bench: Bench) -> None:
    """The state file names both: what fired, and what a look back found."""
    bench.worker.submit(FOUND)
    bench.worker.work_off()
    saved = bench.files.disk["btc"]
    assert (saved["crossed_price"], saved["crossed_at"]) == (FOUND.price, FOUND.at)
    assert (saved["trigger_price"], saved["order_id"]) == ("50001", "O1")


def test_first_crossing_outlives_an_order_that_is_not_known_yet() -> None:
    """What is found while the answer to the order is owed is not lost with the answer."""
    bench = Bench(rule())
    bench.kraken.replies = [Reply.LOST]
    bench.cross()
    bench.worker.submit(FOUND)
    bench.wait(40)
    assert (bench.life().order_id, bench.life().crossed_price) == ("O1", "50100")


def test_mark_is_not_passed_before_a_first_crossing_is_on_the_disk(bench: Bench) -> None:
    """A crash before that must leave the trades to be looked at again."""
    passed: list[str] = []
    bench.files.is_full = True
    for message in (FOUND, Mark(lambda: passed.append("too early"))):
        bench.worker.submit(message)
    bench.worker.work_off()
    bench.files.is_full = False
    bench.wait(5)
    bench.worker.submit(Mark(lambda: passed.append("now")))
    bench.worker.work_off()
    assert passed == ["now"]


def test_first_crossing_of_an_arming_that_is_over_changes_nothing(bench: Bench) -> None:
    """What crossed a row before it was armed as it is now is no crossing of it."""
    bench.worker.submit(FirstCrossing("btc", "50100", "2027-01-15T07:59:59.000000+00:00"))
    bench.worker.work_off()
    assert not bench.life().crossed_price


def test_first_crossing_of_a_row_that_nobody_can_rely_upon_changes_nothing(bench: Bench) -> None:
    """A row of unknown past is left as it is."""
    bench.worker.ledger.distrust(["btc"])
    bench.worker.submit(FOUND)
    bench.worker.work_off()
    assert not bench.life().crossed_price


def test_next_start_has_what_fired_looked_up_again(bench: Bench) -> None:
    """The reader of prices is told, with the best that is known, unless the row has changed."""
    bench.worker.submit(FOUND)
    bench.worker.work_off()
    bench.restart()
    bench.changes.clear()
    life = bench.life()
    for changed in (rule(enabled="false"), rule(enabled="false", threshold_price="60000")):
        accepted = {"btc": AcceptedRule(changed, MARKET, is_fired_in_file=True)}
        bench.worker.submit(Adopt(accepted, bench.clock.monotonic()))
        bench.worker.work_off()
        bench.worker._ledger.rules.clear()
    expected = BookFired(
        rule(enabled="false"), MARKET, life.waits_since, FOUND.at, FOUND.price, is_found=True
    )
    assert bench.changes == [expected]
