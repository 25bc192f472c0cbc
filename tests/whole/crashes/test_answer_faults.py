"""The real program met by every fault of the answer to its order: one order, and told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from fake_kraken import FakeKraken
from tests.kits.crashes.crash_scenes import (
    AGAIN,
    FOUND,
    NEVER,
    UNCERTAIN,
    assert_one_order,
    assert_told,
    parts_of,
    side_by_side,
)
from tests.kits.program.program_process import SETTINGS, Scene

PLACED = " at 51001; order "  # crossed at it, while a busy machine let nobody see it or not
IN_LINE = "Kraken takes no more orders on this pair"
BUSY = ("EService:Unavailable", "EService:Busy", "EGeneral:Internal error")


def answers(name: str, **options: Any) -> dict[str, dict[str, Any]]:
    """Return the fault of that name, once before Kraken has acted and once after."""
    told = " ".join([name, *map(str, options.values())])
    return {f"{told} {when}": {"name": name, "when": when, **options} for when in WHENS}


WHENS = ("before", "after")
FAULTS: dict[str, dict[str, Any]] = {
    "no answer ever": {"name": "black_hole"},
    "lost reply": {"name": "lost_reply"},
    "reset inside the answer": {"name": "reset_mid_body"},
    "reply delayed beyond the deadline": {"name": "delayed_reply", "seconds": 6.0},
    "acted upon beyond the deadline": {"name": "delayed_action", "seconds": 6.0},
    "nonce refused": {"name": "nonce_refused"},
    "deadline too near": {"name": "error", "text": "EGeneral:Invalid arguments:deadline"},
    "rate limit": {"name": "error", "text": "EOrder:Rate limit exceeded"},
    **answers("http_502"),
    **answers("http_504"),
    **answers("http_520"),
    **answers("html"),
    **{name: fault for text in BUSY for name, fault in answers("error", text=text).items()},
    **answers("error", text="EService:Deadline elapsed"),
    **answers("error", text="ENew:Never heard of"),
}


def told_of(fault: Mapping[str, Any]) -> list[str]:
    """Return what a person must be told of a fault, in this order."""
    text = fault.get("text", "")
    if text.startswith("EOrder:Rate limit"):
        return [IN_LINE, PLACED]
    if text.startswith("EGeneral:Invalid arguments:deadline"):
        return [AGAIN, PLACED]
    if fault["name"] == "delayed_reply":
        return [PLACED]
    is_placed = fault.get("when") == "after" or fault["name"] in ("lost_reply", "reset_mid_body")
    return [UNCERTAIN, FOUND] if is_placed else [UNCERTAIN, NEVER, PLACED]


def meet(fault: Mapping[str, Any]) -> Callable[[Path], None]:
    """Return the scenario of one fault of the first answer."""

    def scenario(folder: Path) -> None:
        with FakeKraken() as exchange:
            scene = Scene(exchange, folder)
            with scene.run(plan={"quiet": True}) as program:
                scene.wait_for_stream(program)
                scene.break_next_order(fault)
                scene.cross()
                scene.wait_for_files(program)
                assert program.end() == 0
                assert_told(program, told_of(fault))
            assert_one_order(scene)

    return scenario


MET = {name: meet(fault) for name, fault in FAULTS.items()}


@pytest.mark.parametrize("names", parts_of(MET), ids=lambda names: names[0])
def test_fault_of_the_answer_is_one_order_and_is_told(tmp_path: Path, names: list[str]) -> None:
    """Whatever goes wrong with the answer to AddOrder, one order is placed and all is told."""
    side_by_side({name: MET[name] for name in names}, tmp_path)


def test_kraken_that_cannot_be_asked_is_asked_until_it_answers(
    exchange: FakeKraken, tmp_path: Path
) -> None:
    """While an uncertain order cannot be looked up that is said, and nothing is sent."""
    scene = Scene(exchange, tmp_path)
    silent = exchange.fault("http_502", endpoint="OpenOrders")
    with scene.run() as program:
        scene.wait_for_stream(program)
        scene.break_next_order({"name": "lost_reply"})
        scene.cross()
        program.wait_for("btc: still uncertain, Kraken cannot be asked: ")
        assert len(scene.sent) == 1
        silent.clear()
        scene.wait_for_files(program)
        assert_told(program, [UNCERTAIN, FOUND])
    assert_one_order(scene)


@pytest.mark.parametrize("is_filled", [True, False], ids=["filled", "cancelled"])
def test_order_that_is_over_before_anyone_looked_is_adopted(
    exchange: FakeKraken, tmp_path: Path, is_filled: bool
) -> None:
    """An order of unknown outcome that is filled or cancelled by now is found and told of."""
    scene = Scene(exchange, tmp_path)
    with scene.run() as program:
        scene.wait_for_stream(program)
        scene.break_next_order({"name": "lost_reply"})
        scene.cross()
        assert exchange.wait_for(lambda e: e.placed_count() == 1)
        if is_filled:
            scene.fall_back()
        else:
            exchange.cancel_order(exchange.orders[0]["txid"])
        end = " is filled: 0.01" if is_filled else " was canceled (User requested). The position"
        program.wait_for(end)
        scene.wait_for_files(program)
        assert program.end() == 0
        assert_told(program, [UNCERTAIN, FOUND, end])
    assert scene.state()["rule_state"] == "closed"
    assert_one_order(scene)


def test_closed_orders_that_lag_are_looked_at_twice(exchange: FakeKraken, tmp_path: Path) -> None:
    """An order that closed and is not yet among the closed ones is found by the second look."""
    scene = Scene(exchange, tmp_path)
    exchange.fault("closed_orders_lag", seconds=7.0)
    settings = f"{SETTINGS},lookup_gap=4"
    with scene.run(TTSLO_ORDER_SETTINGS=settings) as program:
        scene.wait_for_stream(program)
        scene.break_next_order({"name": "lost_reply"})
        scene.cross()
        assert exchange.wait_for(lambda e: e.placed_count() == 1)
        scene.fall_back()
        scene.wait_for_files(program)
        assert_told(program, [UNCERTAIN, FOUND])
        assert program.moments.count("looked") == 2
    assert_one_order(scene)
