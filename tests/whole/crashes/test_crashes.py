"""The real program, killed at every step of an order: one order after the next start, and told.

Each scenario has an exchange and a folder of its own. Most of them only wait, for a deadline at
Kraken to pass, so those of one test run side by side.
"""

from __future__ import annotations

import os
import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fake_kraken import FakeKraken
from tests.kits.crashes.crash_scenes import (
    LOST,
    MISSING,
    NORMAL,
    assert_one_order,
    parts_of,
    restart,
    side_by_side,
)
from tests.kits.program.program_process import Scene, wait_until

# A hundred take minutes:
# `TTSLO_RANDOM_KILLS=100 pytest tests/whole/crashes/test_crashes.py -k random`.
KILLS = int(os.environ.get("TTSLO_RANDOM_KILLS", "24"))
GROUP = 6


@dataclass
class Tally:
    """What a group of scenarios came to."""

    killed_while: Counter[str] = field(default_factory=Counter)
    orders: Counter[int] = field(default_factory=Counter)


def run_to_death(
    scene: Scene, plan: Mapping[str, Any], fault: Mapping[str, Any] | None = None
) -> str:
    """Start the program, cross its threshold, and return what it said when it has died."""
    with scene.run(plan=plan) as program:
        scene.wait_for_stream(program)
        if fault:
            scene.break_next_order(fault)
        scene.cross()
        program.wait()
        return program.output


# --- the protocol, step by step --------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({}, NORMAL),
        ({"name": "lost_reply"}, LOST),
        ({"name": "http_502", "when": "before"}, MISSING),
    ],
    ids=["normal", "lost", "missing"],
)
def test_run_takes_just_the_steps_that_are_walked_through(
    exchange: FakeKraken, tmp_path: Path, fault: dict[str, Any], expected: list[str]
) -> None:
    """The lists of steps and writes that the tests below walk through leave none out."""
    scene = Scene(exchange, tmp_path)
    with scene.run() as program:
        scene.wait_for_stream(program)
        program.wait_for("armed:")
        if fault:
            scene.break_next_order(fault)
        scene.cross()
        scene.wait_for_files(program)
        wait_until(lambda: len(program.moments) >= len(expected), lambda: program.output)
        assert program.moments[: len(expected)] == expected


def die_and_restart(
    plan: Mapping[str, Any],
    fault: Mapping[str, Any] | None = None,
    meanwhile: Callable[[FakeKraken, str], None] = lambda exchange, txid: None,
) -> Callable[[Path], None]:
    """Return the scenario of one death by `plan`, with a fault of the first order's answer.

    `meanwhile` is done to the order while the program is dead. Kraken keeps ids of its users
    unique among open orders only, so a second order beside a closed one would be taken.
    """

    def scenario(folder: Path) -> None:
        with FakeKraken() as exchange:
            scene = Scene(exchange, folder)
            said = run_to_death(scene, plan, fault)
            was_under_way = scene.state().get("rule_state") in ("intended", "uncertain")
            assert "Stopped" not in said
            for order in exchange.orders:
                meanwhile(exchange, order["txid"])
            said = restart(scene)
            assert ("ended while its order was under way" in said) is was_under_way

    return scenario


def walk(
    moments: list[str], kind: str, fault: Mapping[str, Any] | None = None, first: int = 1
) -> dict[str, Callable[[Path], None]]:
    """Return a scenario for a death at each moment of one kind, from the `first` on."""
    names = [m for m in moments if (" " in m) is (kind == "die_at_write")]
    numbered = list(enumerate(names, 1))[first - 1 :]
    return {f"{n} {name}": die_and_restart({kind: n}, fault) for n, name in numbered}


def die_twice(number: int) -> Callable[[Path], None]:
    """Return the scenario of a death on the way to Kraken, and of another while it is settled."""

    def scenario(folder: Path) -> None:
        with FakeKraken() as exchange:
            scene = Scene(exchange, folder)
            run_to_death(scene, {"die_at_step": STEPS.index("answered") + 1})
            with scene.run(plan={"die_at_step": number}) as program:
                assert program.wait() != 0
                assert "ended while its order was under way" in program.output
                assert "Stopped" not in program.output
            restart(scene)

    return scenario


STEPS = [moment for moment in NORMAL if " " not in moment]
RECOVERY = ["looking", "looked", "noting", "noted", "written"]
BAD_GATEWAY = {"name": "http_502", "when": "before"}
LOST_REPLY = {"name": "lost_reply"}
ENDS = {"filled": FakeKraken.fill_order, "cancelled": FakeKraken.cancel_order}
RENAMED = slice(3, 5)  # of the five parts of a write; a death in the first three changes no file


def named(walked: str, scenarios: Mapping[str, Callable[[Path], None]]) -> dict[str, Any]:
    """Return the scenarios under names that begin with their walk's."""
    return {f"{walked}: {name}": scenario for name, scenario in scenarios.items()}


def some_writes(
    moments: list[str], fault: Mapping[str, Any], number: int
) -> dict[str, Callable[[Path], None]]:
    """Return a death before and after the rename of the write of that number, from 1."""
    writes = walk(moments, "die_at_write", fault, 5 * number - 4)
    return dict(list(writes.items())[RENAMED])


# What comes before the answer, and the writes of the facts, are walked through once.
WALKS = {
    **named("normal", walk(NORMAL, "die_at_step")),
    **named("normal", walk(NORMAL, "die_at_write")),
    **named("answer lost", walk(LOST, "die_at_step", LOST_REPLY, 6)),
    **named("answer lost", some_writes(LOST, LOST_REPLY, 3)),
    **named("not placed", walk(MISSING, "die_at_step", BAD_GATEWAY, 7)),
    **named("not placed", some_writes(MISSING, BAD_GATEWAY, 4)),
    **{
        f"{word} meanwhile: {n} {STEPS[n - 1]}": die_and_restart({"die_at_step": n}, meanwhile=end)
        for word, end in ENDS.items()
        for n in range(STEPS.index("sending") + 1, len(STEPS) + 1)
    },
    **{f"recovery: {n} {name}": die_twice(n) for n, name in enumerate(RECOVERY, 1)},
}


@pytest.mark.parametrize("names", parts_of(WALKS), ids=lambda names: f"{names[0]} to {names[-1]}")
def test_killed_at_any_step_it_is_one_order_after_a_restart(
    tmp_path: Path, names: list[str]
) -> None:
    """Whatever step of the protocol or of a write is the last one, both files name one order."""
    side_by_side({name: WALKS[name] for name in names}, tmp_path)


# --- random moments --------------------------------------------------------------------------


def die_at_random(chance: random.Random, tally: Tally) -> Callable[[Path], None]:
    """Return the scenario of a kill at a moment that `chance` gives.

    Half of them fall into the time of the start, half into the few milliseconds from a crossing
    to the last write; the price stays beyond the threshold.
    """
    is_at_start = chance.random() < 0.3
    delay = chance.uniform(0.0, 0.3) if is_at_start else chance.uniform(0.0, 0.03)

    def scenario(folder: Path) -> None:
        with FakeKraken() as exchange:
            scene = Scene(exchange, folder)
            with scene.run(plan={"quiet": True}) as program:
                killer = threading.Timer(delay, program.kill)
                if is_at_start:
                    killer.start()
                scene.wait_for_stream(program)
                scene.cross()
                if not is_at_start:
                    killer.start()
                killer.join()
                program.wait()
            tally.killed_while[standing_of(scene)] += 1
            restart(scene)
            tally.orders[exchange.placed_count()] += 1

    return scenario


def standing_of(scene: Scene) -> str:
    """Return how far a killed program had come, by its files and the exchange."""
    state = scene.state().get("rule_state", "nothing written")
    if state == "intended":
        return f"intended, {'placed' if scene.exchange.placed_count() else 'not placed'}"
    return state


@pytest.mark.parametrize("seed", range(KILLS // GROUP))
def test_killed_at_random_moments_it_is_one_order_after_a_restart(
    tmp_path: Path, seed: int
) -> None:
    """Whenever the process dies, one order stands after the restart, and both files name it."""
    tally, chance = Tally(), random.Random(seed)
    side_by_side({f"kill {n}": die_at_random(chance, tally) for n in range(GROUP)}, tmp_path)
    assert tally.orders == {1: GROUP}
    print(f"random kills, seed {seed}: {dict(tally.killed_while)}")


# --- two copies ------------------------------------------------------------------------------


def test_two_copies_started_at_once_are_one_program(exchange: FakeKraken, tmp_path: Path) -> None:
    """One of them runs; the other says who holds the state and ends with 1."""
    scene = Scene(exchange, tmp_path)
    with scene.run() as one, scene.run() as other:
        wait_until(lambda: one.has_ended or other.has_ended, "one of the two ends")
        loser, winner = (one, other) if one.has_ended else (other, one)
        assert loser.wait() == 1
        assert "state.csv is in use by " in loser.output
        assert "stop that copy first, or give this one its own files" in loser.output
        scene.wait_for_stream(winner)
        scene.cross()
        scene.wait_for_files(winner)
    assert_one_order(scene)
