"""The real program, killed while several orders are in one request: one order a row, ever.

Each scenario has an exchange and a folder of its own; those of one test run side by side, since
most of them only wait for a deadline at Kraken to pass.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from fake_kraken import FakeKraken
from fake_kraken.core import Request
from fake_kraken.params import read_orders
from tests.kits.crashes.crash_scenes import INTENT, SENDING, parts_of, side_by_side
from tests.kits.program.program_process import PATIENCE, ProgramProcess, Scene, wait_until

IDS = ("one", "two", "three")
ROWS = [f"{rule_id},BTC/USD,51000,above,sell,0.01,0.5,true" for rule_id in IDS]
BATCH = "AddOrderBatch"


class Crowd(Scene):
    """A folder with three rows that cross together."""

    def __init__(self, exchange: FakeKraken, folder: Path) -> None:
        super().__init__(exchange, folder, ROWS)

    def break_batch(self, fault: Mapping[str, Any]) -> None:
        """Let the next batch meet a fault."""
        self.exchange.fault(endpoint=BATCH, count=1, **fault)

    def wait_for_all(self, program: ProgramProcess) -> None:
        """Wait until both files name an order for each row."""
        for rule_id in IDS:
            self.wait_for_files(program, rule_id)

    def assert_one_order_each(self) -> None:
        """Fail unless each row has just one order, and both files and Kraken agree on it."""
        orders = {order["cl_ord_id"]: order["txid"] for order in self.exchange.orders}
        assert len(orders) == len(self.exchange.orders) == len(IDS)
        for rule_id in IDS:
            state, config = self.state(rule_id), self.config(rule_id)
            assert state["order_id"] == config["order_id"] == orders[state["cl_ord_id"]]
            assert (state["triggered"], config["enabled"]) == ("true", "false")


def restart(scene: Crowd) -> None:
    """Start the program normally, and see that it comes to one order for each row."""
    was_armed = bool(scene.state("one"))
    if not was_armed:
        scene.fall_back()
    with scene.run() as program:
        if not was_armed:
            scene.wait_for_stream(program)
            scene.cross()
        scene.wait_for_all(program)
        program.wait_for("three: ")
        assert program.end() == 0, program.output
    scene.assert_one_order_each()


def die_and_restart(
    plan: Mapping[str, Any],
    fault: Mapping[str, Any] | None = None,
    meanwhile: Callable[[Crowd], None] = lambda scene: None,
) -> Callable[[Path], None]:
    """Return the scenario of one death by `plan`, with a fault of the batch's answer.

    `meanwhile` is done while the program is dead.
    """

    def scenario(folder: Path) -> None:
        with FakeKraken() as exchange:
            scene = Crowd(exchange, folder)
            with scene.run(plan=plan) as program:
                scene.wait_for_stream(program)
                if fault:
                    scene.break_batch(fault)
                scene.cross()
                assert program.wait() != 0
                assert "Stopped" not in program.output
            meanwhile(scene)
            restart(scene)

    return scenario


@pytest.fixture
def moments(exchange: FakeKraken, tmp_path: Path) -> list[str]:
    """Return the steps and writes of a run without a death."""
    scene = Crowd(exchange, tmp_path)
    with scene.run() as program:
        scene.wait_for_stream(program)
        program.wait_for("three: armed:")
        scene.cross()
        scene.wait_for_all(program)
        wait_until(lambda: program.moments.count("written") >= 2, lambda: program.output)
        assert program.end() == 0
        scene.assert_one_order_each()
        return program.moments


def test_three_rows_that_cross_together_are_one_write_and_one_request(
    exchange: FakeKraken, moments: list[str]
) -> None:
    """The steps that are walked through below are those of one order."""
    assert exchange.count(BATCH) == 1
    single = [request for request in exchange.requests if request.endpoint == "AddOrder"]
    assert all(request.params["validate"] == "true" for request in single)
    start = moments.index("intending")
    assert moments[start : start + len(INTENT + SENDING)] == [*INTENT, *SENDING]
    assert [moment for moment in moments if " " not in moment] == STEPS


STEPS = ["written", "intending", "intended", "sending", "answered", "noting", "noted", "written"]
LOST = {"name": "lost_reply"}
NOT_PLACED = {"name": "http_502", "when": "before"}
HALF = {"name": "batch_row_odd"}


def tear_the_journal(scene: Crowd) -> None:
    """Leave half of what was written of the intents, as a power cut does."""
    journal = scene.folder / "state.csv.intents"
    data = journal.read_bytes()
    assert data.count(b"\n") >= 1  # of a busy machine the first of the three may go alone
    journal.write_bytes(data[: len(data) // 2])


def fill_one(scene: Crowd) -> None:
    """Let the second of the orders be filled: its id is free again at Kraken."""
    for order in scene.exchange.orders[1:2]:
        scene.exchange.fill_order(order["txid"])


def at_each_step(name: str, start: int, end: int, **scenario: Any) -> dict[str, Any]:
    """Return a death at each step from `start` to `end`, both from 1."""
    return {
        f"{name}: {n}": die_and_restart({"die_at_step": n}, **scenario)
        for n in range(start, end + 1)
    }


SENT = STEPS.index("answered") + 1
WALKS = {
    **at_each_step("normal", 2, len(STEPS)),
    **at_each_step("filled meanwhile", SENT, len(STEPS), meanwhile=fill_one),
    # Uncertain is written, and then each is looked for.
    **at_each_step("answer lost", SENT, SENT + 4, fault=LOST),
    **at_each_step("not placed", SENT, SENT + 4, fault=NOT_PLACED),
    **at_each_step("half an answer", SENT, SENT + 4, fault=HALF),
    "half written": die_and_restart(
        {"die_at_step": STEPS.index("intended") + 1}, meanwhile=tear_the_journal
    ),
}


@pytest.mark.parametrize("names", parts_of(WALKS), ids=lambda names: f"{names[0]} to {names[-1]}")
def test_killed_at_any_step_of_a_batch_it_is_one_order_a_row(
    tmp_path: Path, names: list[str]
) -> None:
    """Intended, sending, in flight, answered in part, half written: the next start settles each."""
    side_by_side({name: WALKS[name] for name in names}, tmp_path)


def ids_of(request: Request) -> list[str]:
    """Return the client ids of the orders that one request asks for."""
    orders = read_orders(request.params["orders"]) if "orders" in request.params else []
    return [order["cl_ord_id"] for order in orders or [request.params]]


@pytest.mark.parametrize(
    ("fault", "is_refused"),
    [
        ({"name": "error", "text": "EOrder:Order minimum not met"}, True),
        ({"name": "error", "text": "EGeneral:Permission denied"}, True),
        ({"name": "lost_reply"}, False),
        ({"name": "http_502", "when": "after"}, False),
        ({"name": "batch_row_missing"}, False),
        ({"name": "batch_row_odd"}, False),
        ({"name": "reset_mid_body"}, False),
    ],
    ids=str,
)
def test_each_row_has_its_order_whatever_the_answer_is(
    tmp_path: Path, fault: dict[str, Any], is_refused: bool
) -> None:
    """Refused as a whole it goes one by one; in doubt each is found, and none sent again."""
    with FakeKraken() as exchange:
        scene = Crowd(exchange, tmp_path)
        with scene.run() as program:
            scene.wait_for_stream(program)
            program.wait_for("three: armed:")
            scene.break_batch(fault)
            scene.cross()
            scene.wait_for_all(program)
            assert program.end() == 0, program.output
        scene.assert_one_order_each()
        orders = [r for r in exchange.requests if r.endpoint.startswith("AddOrder")]
        real = [request for request in orders if request.params.get("validate") != "true"]
        (batch,) = (request for request in real if request.endpoint == BATCH)
        # On a busy machine the first of the three may go alone, before the batch of the others.
        sent = Counter(one for request in real for one in ids_of(request))
        assert sent == {one: 1 + (is_refused and one in ids_of(batch)) for one in sent}
        assert exchange.wait_for(lambda e: e.placed_count() == len(IDS), PATIENCE)
