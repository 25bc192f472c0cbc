"""How slowly an order is tried again whose trouble does not end: refused, or in doubt each time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise

import pytest

from krakenlink.rest.answers import Outcome
from krakenlink.rest.verdicts import OutcomeKind
from tests.kits.orders.order_bench import (
    MARKET,
    SETTINGS,
    Bench,
    ManualClock,
    MemoryFiles,
    Reply,
    life,
    rule,
)
from ttslo_app.messages import AcceptedRule, BookArm, Crossing
from ttslo_app.orders.ledger import Ledger, cells_of
from ttslo_app.orders.life import RuleState
from ttslo_app.orders.owed import Owed, Why
from ttslo_app.orders.ports import Tools
from ttslo_app.orders.request import OrderRequest
from ttslo_app.orders.roll import Roll
from ttslo_app.orders.words import Teller

NOW = 100.0


class StandingBeyond(Bench):
    """A bench whose price stays beyond the threshold: what is armed fires at once."""

    def __init__(self) -> None:
        self.sent_at: list[float] = []
        super().__init__(rule())

    def wait(self, seconds: float) -> None:
        end = self.clock.seconds + seconds
        while self.clock.seconds < end:
            self.clock.seconds += 0.5
            self.worker.work_off()
            changes, self.changes[:] = list(self.changes), []
            for change in changes:
                if isinstance(change, BookArm):
                    self.worker.submit(
                        Crossing(
                            change.rule,
                            Decimal(50005),
                            "50005",
                            "was met already",
                            seen_at=self.clock.seconds,
                        )
                    )
            while len(self.sent_at) < len(self.kraken.sent):
                self.sent_at.append(self.clock.seconds)

    def come(self, price: str = "50001") -> None:
        """Let a price cross the threshold just now."""
        seen = Crossing(rule(), Decimal(price), price, seen_at=self.clock.seconds)
        self.worker.submit(seen)
        self.worker.work_off()


class Slow(Bench):
    """A bench whose Kraken refuses with what takes hours to heal."""

    def refuse(self) -> None:
        told = "EAccount:Invalid permissions"
        answer = Outcome(OutcomeKind.REFUSED, None, True, told, "Ask Kraken", is_slow=True)

        def place(order: OrderRequest, cl_ord_id: str, deadline: str) -> Outcome:
            self.kraken.sent.append((order, cl_ord_id, deadline))
            return answer

        self.kraken.place = place  # type: ignore[method-assign]  # the model says nothing of it


def test_order_in_doubt_again_and_again_is_sent_more_and_more_slowly() -> None:
    """Kraken answers "Unavailable" for an hour: each round waits longer than the one before."""
    bench = StandingBeyond()
    bench.kraken.replies = [Reply.NEVER] * 200
    bench.come()
    bench.wait(1200)
    round_of = SETTINGS.deadline + SETTINGS.deadline_margin + SETTINGS.lookup_gap
    gaps = [later - earlier for earlier, later in pairwise(bench.sent_at)]
    rests = [max(0.0, gap - round_of) for gap in gaps]
    assert rests[:3] == [0, 1, 2]
    assert rests == sorted(rests)
    assert rests[-1] == SETTINGS.refusal_wait_max
    assert bench.placed == 0
    bench.kraken.replies.clear()
    bench.wait(120)
    assert bench.placed == 1


def test_rest_is_said_with_its_seconds() -> None:
    """Who reads "none was placed" reads when the next is sent, too."""
    bench = StandingBeyond()
    bench.kraken.replies = [Reply.NEVER] * 20
    bench.come()
    bench.wait(100)
    assert bench.heard("none was placed; it is placed now")
    assert bench.heard("none was placed; it is placed in 1 s")
    assert bench.heard("it is if the threshold is still met, in 4 s")


def test_fresh_crossing_does_not_rest_for_the_doubts_of_another() -> None:
    """Each crossing is an event of its own: what crosses anew is sent at once."""
    bench = Bench(rule())
    bench.kraken.replies = [Reply.NEVER] * 4
    bench.cross()
    while bench.kraken.replies or not bench.life().is_waiting:
        bench.wait(0.5)
    sent = len(bench.kraken.sent)
    seen = Crossing(rule(), Decimal(50009), "50009", seen_at=bench.clock.seconds)
    bench.worker.submit(seen)
    bench.worker.work_off()
    assert (len(bench.kraken.sent), bench.placed) == (sent + 1, 1)


def test_what_stood_beyond_already_rests() -> None:
    """A price that only stands where it stood is no reason to hurry."""
    bench = Bench(rule())
    bench.kraken.replies = [Reply.NEVER] * 4
    bench.cross()
    while bench.kraken.replies or not bench.life().is_waiting:
        bench.wait(0.5)
    sent = len(bench.kraken.sent)
    seen_at = bench.clock.seconds
    met = Crossing(rule(), Decimal(50009), "50009", "was met already", seen_at=seen_at)
    bench.worker.submit(met)
    bench.worker.work_off()
    assert len(bench.kraken.sent) == sent
    bench.wait(SETTINGS.refusal_wait_max)
    assert (len(bench.kraken.sent), bench.placed) == (sent + 1, 1)


def test_row_that_is_disabled_while_it_rests_sends_nothing() -> None:
    """What rests is looked up in config.csv once more before it is sent."""
    bench = Bench(rule())
    bench.kraken.replies = [Reply.NEVER] * 2
    bench.cross()
    while len(bench.kraken.sent) < 2 or not bench.life().is_waiting:
        bench.wait(0.5)
    bench.files.rules["btc"] = rule(enabled="false")
    bench.wait(60)
    assert (len(bench.kraken.sent), bench.placed) == (2, 0)


def test_changed_row_rests_no_more() -> None:
    """Another row is another order: it owes nothing to the doubts of the one before."""
    bench = Bench(rule())
    bench.kraken.replies = [Reply.NEVER] * 3
    bench.cross()
    while len(bench.kraken.sent) < 3:
        bench.wait(0.5)
    changed = rule(threshold_price="50003")
    bench.files.rules["btc"] = changed
    bench.adopt()
    while not bench.life().is_waiting:
        bench.wait(0.5)
    bench.cross(changed, price="50004")
    assert (len(bench.kraken.sent), bench.placed) == (4, 1)


def test_order_that_is_found_ends_the_doubts() -> None:
    """What stood after all is no failure: the next doubt begins anew."""
    owed = Owed(SETTINGS)
    assert owed.doubt("btc", NOW) == NOW
    assert owed.doubt("btc", NOW) == NOW + SETTINGS.refusal_wait
    owed.begin_anew("btc")
    assert owed.rests_until("btc") == 0.0
    assert owed.doubt("btc", NOW) == NOW


def test_doubts_are_counted_for_each_row() -> None:
    """Two rows share no count."""
    owed = Owed(SETTINGS)
    for _ in range(9):
        owed.doubt("btc", NOW)
    assert owed.rests_until("btc") == NOW + SETTINGS.refusal_wait_max
    assert owed.doubt("eth", NOW) == NOW


# --- refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [1, 2, 5])
def test_what_takes_hours_to_heal_is_asked_for_once_a_minute(times: int) -> None:
    """No haste helps against a permission or a limit of the account."""
    owed = Owed(SETTINGS)
    seen = Crossing(rule(), Decimal(50001), "50001", seen_at=NOW)
    for _ in range(times):
        owed.refuse(seen, NOW, is_slow=True)
    assert owed.next_at() == NOW + SETTINGS.refusal_wait_max
    assert owed.has("btc", Why.HEALING)


def test_slow_refusal_is_sent_again_after_a_minute_and_not_sooner() -> None:
    """The whole way: Kraken's word for it reaches the waiting room."""
    bench = Slow(rule())
    bench.refuse()
    bench.cross()
    bench.wait(SETTINGS.refusal_wait_max - 1)
    assert len(bench.kraken.sent) == 1
    bench.wait(2)
    assert len(bench.kraken.sent) == 2


def test_refusals_are_counted_anew_for_each_crossing() -> None:
    """A crossing of days later is tried as soon and as often as the first one was."""
    bench = Bench(rule())
    bench.kraken.replies = [Reply.BUSY] * 50
    bench.cross()
    bench.wait(SETTINGS.owed + SETTINGS.refusal_wait_max)
    first = len(bench.kraken.sent)
    assert first > 3
    bench.clock.seconds += 86_400
    seen = replace(Crossing(rule(), Decimal(50002), "50002"), seen_at=bench.clock.seconds)
    bench.said.clear()
    bench.worker.submit(seen)
    bench.worker.work_off()
    assert len(bench.kraken.sent) == first + 1
    assert bench.heard("50002")
    bench.wait(SETTINGS.refusal_wait)
    assert len(bench.kraken.sent) == first + 2


# --- what is promised of the next round ----------------------------------------------------------


@pytest.mark.parametrize(
    ("doubts", "age", "is_owed"), [(1, 55, True), (2, 55, True), (5, 55, False)]
)
def test_crossing_that_is_too_old_once_its_rest_is_over_is_promised_to_nobody(
    doubts: int, age: float, is_owed: bool
) -> None:
    """Whoever reads "it is placed in 8 s" can rely upon it."""
    clock, said = ManualClock(), list[str]()
    owed = Owed(SETTINGS)
    moment = datetime.fromtimestamp(clock.seconds - age, UTC).isoformat()
    lost = life(RuleState.UNCERTAIN)._replace(
        trigger_time=moment, trigger_price="50001", deadline=moment
    )
    ledger = Ledger({"btc": cells_of(lost)})
    ledger.rules["btc"] = AcceptedRule(rule(), MARKET)
    teller = Teller(lambda level, text, **fields: said.append(text))
    roll = Roll(
        Tools(ledger, owed, MemoryFiles(), None, clock.clocks, teller, SETTINGS, lambda step: None),
        lambda change: None,
    )
    for _ in range(doubts):
        owed.doubt("btc", clock.seconds)
    crossing = roll.not_placed(lost)
    assert (crossing is not None) is is_owed
    assert ("it is placed" in said[-1]) is is_owed
    assert ("still met, in 8 s" in said[-1]) is not is_owed
    assert ("btc" in owed) is is_owed
