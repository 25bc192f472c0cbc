"""What an error has broken off is brought back: crossings, looks, and orders on the wire."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from tests.kits.orders.order_bench import SETTINGS, Bench, life, rule
from ttslo_app.messages import Crossing, Looked
from ttslo_app.orders.life import Life, RuleState
from ttslo_app.orders.owed import Why
from ttslo_app.orders.salvage import Salvage

CROSSING = Crossing(rule(), Decimal(50001), "50001")


class Searcher:
    """Notes what it is to look for."""

    def __init__(self) -> None:
        self.sought: list[Life] = []
        self.looks: list[Looked] = []

    def search_for(self, life: Life) -> None:
        self.sought.append(life)

    def take_up(self, looked: Looked) -> None:
        self.looks.append(looked)


def salvage(*, state: RuleState = RuleState.ARMED) -> tuple[Bench, Searcher, Salvage]:
    """Return a bench whose row is in a state, and what brings its work back."""
    bench, searcher = Bench(rule()), Searcher()
    bench.worker.ledger.put(life(state, order_id="O1" if state is RuleState.PLACED else ""))
    return bench, searcher, Salvage(bench.worker._tools, searcher)


def test_crossing_that_waits_is_tried_again_soon() -> None:
    """It was in nobody's hands any more, and its row still waits."""
    bench, searcher, salved = salvage()
    salved.take_up([CROSSING])
    (wait,) = bench.worker._owed
    again = bench.clock.monotonic() + SETTINGS.refusal_wait  # no error is met again at once
    assert (wait.why, wait.at) == (Why.HEALING, again)
    assert searcher.sought == []
    bench.wait(3)
    assert bench.placed == 1


def test_order_that_may_be_on_the_wire_is_looked_up() -> None:
    """Nothing is sent again for it."""
    bench, searcher, salved = salvage(state=RuleState.INTENDED)
    salved.take_up([CROSSING])
    (lost,) = searcher.sought
    assert (lost.id, lost.state) == ("btc", RuleState.UNCERTAIN)
    assert "btc" not in bench.worker._owed
    assert bench.worker.life_of("btc") == lost


def test_crossing_whose_order_stands_comes_to_nothing() -> None:
    """It was settled before the error."""
    bench, searcher, salved = salvage(state=RuleState.PLACED)
    salved.take_up([CROSSING])
    assert "btc" not in bench.worker._owed
    assert searcher.sought == []


def test_crossing_of_a_row_nobody_can_understand_is_told() -> None:
    """An error about one row ends no other row's crossing."""
    bench, _, salved = salvage()
    bench.files.rules["other"] = other = rule("other")
    bench.adopt()
    bench.worker.ledger.state["btc"]["triggered"] = "perhaps"
    salved.take_up([CROSSING, replace(CROSSING, rule=other)])
    assert "btc" not in bench.worker._owed
    assert bench.heard("an internal error keeps its order back")
    assert bench.worker._owed.has("other", Why.HEALING)


def test_crossing_of_an_unknown_past_is_dropped_and_a_look_is_kept() -> None:
    """What is in doubt trades nothing; an answer about an order is not lost."""
    bench, searcher, salved = salvage()
    bench.worker.ledger.distrust(["btc"])
    looked = Looked("btc", "an-id", 0.0, None)
    salved.take_up([CROSSING, looked])
    assert "btc" not in bench.worker._owed
    assert searcher.looks == [looked]


def test_what_waits_for_something_else_is_left_there() -> None:
    """Only what was in hand is brought back."""
    bench, _, salved = salvage()
    taken = bench.worker._owed.take(CROSSING, bench.clock.seconds)
    bench.worker._owed.wait(taken, Why.DISK)
    salved.take_up([])
    assert bench.worker._owed.has("btc", Why.DISK)
