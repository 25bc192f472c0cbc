"""A state may be an old copy: Kraken is asked before the first send of an earlier arming."""

from __future__ import annotations

import threading
from decimal import Decimal

import pytest

from krakenlink.errors import AuthenticationError
from tests.kits.orders.order_bench import Bench, rule
from tests.kits.program.live_program import wait_until
from ttslo_app.messages import BookDisarm, Crossing, Proved, Sighting
from ttslo_app.orders.life import RuleState
from ttslo_app.orders.request import OrderRequest


@pytest.fixture
def bench() -> Bench:
    """A worker with one armed rule."""
    return Bench(rule())


def old_copy(bench: Bench) -> None:
    """Restore the state from before an order that has been placed meanwhile."""
    before = bench.files.load()
    bench.cross()
    assert len(bench.kraken.sent) == 1
    bench.files.disk = before
    bench.files.notes.clear()
    bench.restart()


def test_state_restored_from_before_an_order_places_no_second(bench: Bench) -> None:
    """Before the first send of an arming that an earlier run made, its id is asked for."""
    bench.restart()
    old_copy(bench)
    bench.cross()
    assert len(bench.kraken.sent) == 1
    assert bench.life().state is RuleState.PLACED
    assert any("the file is an older copy" in text for _, text in bench.said)


def test_order_that_nobody_knew_is_taken_in_before_its_crossing(bench: Bench) -> None:
    """What somebody else has looked up settles it, and the reader of prices forgets the rule."""
    bench.restart()
    old_copy(bench)
    (one,) = bench.worker.unproven
    bench.worker.submit(
        Proved(one.rule_id, one.cl_ord_id, bench.kraken.find(one.cl_ord_id, one.order))
    )
    bench.worker.work_off()
    assert bench.life().state is RuleState.PLACED
    assert bench.changes[-1] == BookDisarm("btc")
    assert bench.worker.unproven == ()


def test_crossing_of_an_earlier_arming_waits_while_kraken_cannot_be_asked(bench: Bench) -> None:
    """Could not ask is not no; it is asked again, and the order placed."""
    bench.restart()
    bench.restart()
    bench.kraken.is_silent = True
    bench.cross()
    assert bench.kraken.sent == []
    assert any("cannot say yet whether it has an order" in text for _, text in bench.said)
    bench.kraken.is_silent = False
    bench.wait(5)
    assert len(bench.kraken.sent) == 1


def test_arming_of_this_run_is_asked_for_by_nobody(bench: Bench) -> None:
    """Between its crossing and its order stands no call."""
    bench.kraken.is_silent = True
    bench.cross()
    assert len(bench.kraken.sent) == 1


def test_arming_that_was_proven_is_asked_for_once(bench: Bench) -> None:
    """Once Kraken has said that there is none, its crossing needs no look."""
    bench.restart()
    bench.restart()
    (one,) = bench.worker.unproven
    bench.worker.submit(Proved(one.rule_id, one.cl_ord_id, None))
    bench.worker.work_off()
    bench.kraken.is_silent = True
    bench.cross()
    assert len(bench.kraken.sent) == 1


def test_row_that_a_caller_hands_in_is_asked_for_too(bench: Bench) -> None:
    """A rule that no reading of config.csv has brought may have an order all the same."""
    bench.restart()
    old_copy(bench)
    bench.worker._ledger.rules.clear()
    bench.cross()
    assert len(bench.kraken.sent) == 1
    assert bench.life().state is RuleState.PLACED


def test_key_that_may_not_ask_places_nothing_unproven_and_says_so(bench: Bench) -> None:
    """The order may stand: the row waits, and its user is told what is missing."""
    bench.restart()
    bench.restart()
    find = bench.kraken.find
    error = AuthenticationError("OpenOrders", ["EGeneral:Permission denied"])

    def refuse(cl_ord_id: str, order: OrderRequest) -> Sighting | None:
        raise error

    bench.kraken.find = refuse  # type: ignore[method-assign]  # until the right is given
    bench.cross()
    bench.wait(20)
    assert bench.kraken.sent == []
    assert sum("EGeneral:Permission denied" in text for _, text in bench.said) == 1
    bench.kraken.find = find  # type: ignore[method-assign]  # it is
    bench.wait(5)
    assert len(bench.kraken.sent) == 1


def test_proof_of_one_row_holds_no_order_of_another(bench: Bench) -> None:
    """It is asked for on another thread; the crossing leaves once it is there."""
    fresh = rule("eth")
    bench.restart()
    bench.files.rules["eth"] = fresh
    bench.restart()  # "btc" is of an earlier run now
    may_answer, asked, find = threading.Event(), threading.Event(), bench.kraken.find

    def held(cl_ord_id: str, order: OrderRequest) -> Sighting | None:
        asked.set()
        assert may_answer.wait(60)
        return find(cl_ord_id, order)

    bench.kraken.find = held  # type: ignore[method-assign]  # slow from now on
    bench.worker.start()
    bench.worker.submit(Crossing(rule(), Decimal(50001), "50001"))
    assert asked.wait(60)
    bench.worker.submit(Crossing(fresh, Decimal(50001), "50001"))
    wait_until(lambda: bench.life("eth").state is RuleState.PLACED, "the other order is placed")
    assert len(bench.kraken.sent) == 1
    may_answer.set()
    wait_until(lambda: bench.life().state is RuleState.PLACED, "the proven order is placed")
    assert bench.worker.stop(10)
    assert len(bench.kraken.sent) == 2


def test_order_of_another_row_is_no_proof_of_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked again: the row neither passes for protected, nor is sent unproven."""
    bench = Bench(rule(), rule("eth"))
    bench.cross(rule("eth"))
    bench.restart()
    find = bench.kraken.find
    monkeypatch.setattr(bench.kraken, "find", lambda cl_ord_id, order: Sighting("O1", "open"))
    bench.cross()
    assert (bench.life().state, len(bench.kraken.sent)) == (RuleState.ARMED, 1)
    assert bench.heard("O1, which is the order of eth")
    monkeypatch.setattr(bench.kraken, "find", find)
    bench.wait(5)
    assert (bench.life().order_id, bench.placed) == ("O2", 2)


@pytest.mark.parametrize("differs", ["", "volume 0.5 instead of 0.01"])
def test_order_that_nobody_knew_is_told_by_what_is_known(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, differs: str
) -> None:
    """Its content is that of the row where it is the same; nothing is told of what nobody knows."""
    bench.restart()
    sent = bench.worker.unproven[0].order
    found = Sighting("O7", "open", differs=differs)
    monkeypatch.setattr(bench.kraken, "find", lambda cl_ord_id, order: found)
    bench.cross()
    assert (bench.life().order_id, bench.life().order) == ("O7", None if differs else sent)
    (told,) = [text for _, text in bench.said if "O7 placed" in text]
    assert told == ("btc: order O7 placed" if differs else f"btc: order O7 placed: {sent}")
    assert not any("None" in text for _, text in bench.said)


def test_answer_about_an_earlier_arming_proves_nothing_of_this_one(bench: Bench) -> None:
    """A look may be under way while its row is disarmed and armed again."""
    bench.restart()
    (one,) = bench.worker.unproven
    bench.worker.submit(Proved("btc", "the-id-of-another-arming", None))
    bench.worker.work_off()
    assert bench.worker.unproven == (one,)
    bench.worker.submit(Proved("btc", "the-id-of-another-arming", Sighting("O9", "open")))
    bench.worker.work_off()
    assert (bench.life().state, bench.life().order_id) == (RuleState.ARMED, "")
