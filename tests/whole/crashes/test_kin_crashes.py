"""The real program with a bracket, killed at every step: one order of the group, after the fill.

An entry is bought; its fill arms a target and a stop on the same coins, of which one fires.
Whatever step is the last one of a run, the next run comes to the same end.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fake_kraken import FakeKraken
from tests.kits.crashes.crash_scenes import parts_of, side_by_side
from tests.kits.program.program_process import HEADER, PAIR, ProgramProcess, Scene, wait_until

ROWS = (
    "entry,BTC/USD,49000,below,buy,0.01,0.5,true,,",
    "goal,BTC/USD,52000,above,sell,0.01,0.5,true,exit,entry",
    "guard,BTC/USD,47000,below,sell,0.01,0.5,true,exit,entry",
)
# Of a run without a death: the entry's order, its fill, and the order of the first of the group.
STEPS = 15


class Bracket(Scene):
    """A folder with the bracket, and what is done to it."""

    def __init__(self, exchange: FakeKraken, folder: Path) -> None:
        super().__init__(exchange, folder, ())
        text = "\n".join([f"{HEADER},group,after", *ROWS, ""])
        (folder / "config.csv").write_text(text, encoding="utf-8")

    def orders_of(self, side: str) -> list[str]:
        """Return the ids of the orders of a side, in the order of their placing."""
        return [o["txid"] for o in self.exchange.orders if o["descr"]["type"] == side]

    def is_armed(self, rule_id: str) -> bool:
        """Tell whether a row waits for its crossing, by the state file."""
        return self.state(rule_id).get("rule_state") == "armed"

    def go(self, program: ProgramProcess) -> None:
        """Do what is still to be done, until the end or the death of the program."""
        self._until(program, lambda: bool(self.state("entry")))
        if self.is_armed("entry"):
            self.wait_for_stream(program)
        if not self.orders_of("buy") and self.is_armed("entry"):
            self.exchange.set_price(PAIR, "48900")
        self._until(program, lambda: self.is_written("entry"))
        for txid in self.orders_of("buy")[:1]:
            if self.state("entry").get("order_status") != "closed" and not program.has_ended:
                self._fill(txid)
        self._until(program, lambda: bool(self.state("guard").get("armed_by")))
        if self.is_armed("guard") and self.is_armed("goal"):
            self.wait_for_stream(program)
        if not self.orders_of("sell") and self.is_armed("goal") and not program.has_ended:
            self.exchange.set_price(PAIR, "50000")
            self.exchange.set_price(PAIR, "52100")
        self._until(program, lambda: self.is_written("goal"))
        self._until(program, lambda: self.state("guard").get("rule_state") == "disarmed")
        if not program.has_ended:
            self.exchange.set_price(PAIR, "46900")

    def _fill(self, txid: str) -> None:
        if any(o["txid"] == txid and o["status"] == "open" for o in self.exchange.orders):
            self.exchange.fill_order(txid)

    def _until(self, program: ProgramProcess, is_true: Callable[[], bool]) -> None:
        wait_until(lambda: program.has_ended or is_true(), lambda: program.output)


def die_at(step: int | None) -> Callable[[Path], None]:
    """Return the scenario of a death at a step of the protocol, from 1; None for no death."""

    def scenario(folder: Path) -> None:
        with FakeKraken() as exchange:
            scene = Bracket(exchange, folder)
            if step is not None:
                with scene.run(plan={"die_at_step": step}) as program:
                    scene.go(program)
                    assert program.wait() != 0, program.output
            with scene.run() as program:
                scene.go(program)
                assert not program.has_ended, program.output
                if step is None:
                    assert len([m for m in program.moments if " " not in m]) >= STEPS
                assert program.end() == 0, program.output
            assert len(scene.orders_of("buy")) == 1
            assert len(scene.orders_of("sell")) == 1
            assert scene.state("goal")["armed_by"] == scene.orders_of("buy")[0]
            assert scene.state("guard")["rule_state"] == "disarmed"

    return scenario


ENDS = {f"step {n}": die_at(n) for n in (None, *range(1, STEPS + 1))}


@pytest.mark.parametrize("names", parts_of(ENDS), ids=lambda names: names[0])
def test_bracket_killed_at_any_step_comes_to_one_order_of_its_group(
    tmp_path: Path, names: list[str]
) -> None:
    """One buy, one sell after its fill, and the other row disarmed, in files and at Kraken."""
    side_by_side({name: ENDS[name] for name in names}, tmp_path)
