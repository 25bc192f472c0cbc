"""The real program, killed at every step of an order and met by every fault: one order, and told.

Each scenario has an exchange and a folder of its own. Most of them only wait, for a deadline at
Kraken to pass, so those of one test run side by side.
"""

from __future__ import annotations

import os
import random
import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from program_process import SETTINGS, ProgramProcess, Scene, wait_until

from fake_kraken import FakeKraken

# A hundred take minutes: `TTSLO_RANDOM_KILLS=100 pytest tests/whole/test_crashes.py -k random`.
KILLS = int(os.environ.get("TTSLO_RANDOM_KILLS", "24"))
GROUP = 6
AT_ONCE = 10

SAVE = [f"state {step}" for step in ("create", "write", "sync", "rename", "sync_folder")]
NOTE = [step.replace("state", "config") for step in SAVE]
ARMING = [*SAVE, "intents open_end", "intents sync_folder", "written"]
INTENT = ["intending", "intents write", "intents sync", "intended"]
SENDING = ["sending", "answered"]
FACTS = ["noting", *NOTE, "noted", *SAVE, "written"]
NORMAL = [*ARMING, *INTENT, *SENDING, *FACTS]
LOST = [*ARMING, *INTENT, *SENDING, *SAVE, "written", "looking", "looked", *FACTS]
MISSING = [
    *ARMING,
    *INTENT,
    *SENDING,
    *(*SAVE, "written"),
    *("looking", "looked") * 2,
    *INTENT,
    *SENDING,
    *FACTS,
]


@dataclass
class Tally:
    """What a group of scenarios came to."""

    killed_while: Counter[str] = field(default_factory=Counter)
    orders: Counter[int] = field(default_factory=Counter)


def side_by_side(scenarios: Mapping[str, Callable[[Path], None]], folder: Path) -> None:
    """Run all scenarios, some at once, each in a folder of its name; fail with all that failed."""

    def run(name: str) -> Exception | None:
        try:
            scenarios[name](folder / re.sub(r"\W+", "-", name))
        except Exception as error:  # noqa: BLE001 - all scenarios run, then all failures are shown
            error.add_note(f"in the scenario {name}")
            return error
        return None

    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="scenario") as pool:
        failed = [error for error in pool.map(run, scenarios) if error is not None]
    if failed:
        raise ExceptionGroup(f"{len(failed)} of {len(scenarios)} scenarios failed", failed)


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


def restart(scene: Scene) -> str:
    """Start the program normally; once it is settled end it, and see that it is one order."""
    was_armed = bool(scene.state())
    if not was_armed:
        scene.fall_back()  # it died before the row was armed: the crossing is yet to come
    with scene.run() as program:
        if not was_armed:
            scene.wait_for_stream(program)
            scene.cross()
        scene.wait_for_files(program)
        program.wait_for("btc: ")  # before that it may not even be able to take a signal
        assert program.end() == 0, program.output
        assert_one_order(scene)
        return program.output


def assert_one_order(scene: Scene) -> None:
    """Fail unless just one order was ever placed, and both files name it."""
    (order,) = scene.exchange.orders
    state, config = scene.state(), scene.config()
    assert state["order_id"] == config["order_id"] == order["txid"]
    assert state["cl_ord_id"] == order["cl_ord_id"]
    assert (state["triggered"], config["enabled"]) == ("true", "false")
    assert {params["cl_ord_id"] for params in scene.sent} == {order["cl_ord_id"]}


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


def parts_of(scenarios: Mapping[str, Callable[[Path], None]]) -> list[list[str]]:
    """Return the names in groups that run side by side."""
    names = list(scenarios)
    return [names[start : start + AT_ONCE] for start in range(0, len(names), AT_ONCE)]


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
    delay = chance.uniform(0.1, 0.6) if is_at_start else chance.uniform(0.0, 0.03)

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


# --- faults ----------------------------------------------------------------------------------

UNCERTAIN = "btc: UNCERTAIN whether the order sell 0.01 BTC/USD trailing-stop +0.5% was placed"
FOUND = "btc: found at Kraken after 51001.0; order "
NEVER = "btc: Kraken has no order for it, so none was placed; it is placed now"
AGAIN = "It is tried again; after 60 s only while the threshold is met"
IN_LINE = "Kraken takes no more orders on this pair for now"
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
    "reply delayed beyond the deadline": {"name": "delayed_reply", "seconds": 4.0},
    "acted upon beyond the deadline": {"name": "delayed_action", "seconds": 4.0},
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
        return [IN_LINE, "crossed at 51001.0; order "]
    if text.startswith("EGeneral:Invalid arguments:deadline"):
        return [AGAIN, "crossed at 51001.0; order "]
    if fault["name"] == "delayed_reply":
        return ["crossed at 51001.0; order "]
    is_placed = fault.get("when") == "after" or fault["name"] in ("lost_reply", "reset_mid_body")
    return [UNCERTAIN, FOUND] if is_placed else [UNCERTAIN, NEVER, "crossed at 51001.0; order "]


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


def assert_told(program: ProgramProcess, sentences: list[str]) -> None:
    """Fail unless the program has said all `sentences`, in this order, and no other news."""
    said, place = program.output, 0
    for sentence in sentences:
        assert sentence in said[place:], f"not said after that: {sentence!r}:\n{said}"
        place = said.index(sentence, place) + len(sentence)
    for sentence in {UNCERTAIN, FOUND, NEVER, AGAIN} - set(sentences):
        assert sentence not in said, said


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
    exchange.fault("closed_orders_lag", seconds=5.0)
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


# --- the disk --------------------------------------------------------------------------------

CANNOT = " CANNOT BE WRITTEN: "


def fill_disk_at(number: int, file: str) -> Callable[[Path], None]:
    """Return the scenario of one write to `file` that fails for want of space.

    Nobody needs to know of the journal of intents: state.csv is written instead.
    """
    told = [] if file == "intents" else [CANNOT, " can be written again"]

    def scenario(folder: Path) -> None:
        with FakeKraken() as exchange:
            scene = Scene(exchange, folder)
            with scene.run(plan={"full_at_write": number}) as program:
                scene.wait_for_stream(program)
                scene.cross()
                scene.wait_for_files(program)
                for text in told:
                    program.wait_for(text)
                assert program.end() == 0
                assert_told(program, told)
            assert_one_order(scene)

    return scenario


FILLED = {
    f"{n} {name}": fill_disk_at(n, name.partition(" ")[0])
    for n, name in enumerate((m for m in NORMAL if " " in m), 1)
}


@pytest.mark.parametrize("names", parts_of(FILLED), ids=lambda names: names[0])
def test_disk_that_is_full_at_any_write_is_one_order(tmp_path: Path, names: list[str]) -> None:
    """A write that fails is said and made up for, and the order is placed once."""
    side_by_side({name: FILLED[name] for name in names}, tmp_path)


def test_nothing_is_sent_while_its_intent_cannot_be_written(
    exchange: FakeKraken, tmp_path: Path
) -> None:
    """With a full disk no order goes out, loudly, until it can be written down."""
    scene = Scene(exchange, tmp_path)
    with scene.run() as program:
        scene.wait_for_stream(program)
        (tmp_path / "disk.full").touch()
        scene.cross()
        program.wait_for("The state file" + CANNOT)
        program.wait_for("No order is placed that cannot be written down")
        assert scene.sent == []
        moments = len(program.moments)
        wait_until(lambda: len(program.moments) > moments + 2, "it goes on trying")
        assert program.output.count(CANNOT) == 1
        (tmp_path / "disk.full").unlink()
        scene.wait_for_files(program)
    assert_one_order(scene)


def test_state_that_may_not_be_replaced_holds_no_order_back(
    exchange: FakeKraken, tmp_path: Path
) -> None:
    """The journal is enough to protect, even through a kill; that state.csv lags is told."""
    scene = Scene(exchange, tmp_path)
    with scene.run() as program:
        scene.wait_for_stream(program)
        (tmp_path / "disk.readonly").touch()
        scene.cross()
        program.wait_for("; order O")
        program.wait_for("The state file" + CANNOT)
        program.kill()
    assert scene.state()["rule_state"] == "intended"
    (tmp_path / "disk.readonly").unlink()
    assert "ended while its order was under way" in restart(scene)


def test_facts_that_cannot_be_written_survive_in_the_intent(
    exchange: FakeKraken, tmp_path: Path
) -> None:
    """A disk that fills up while the order is under way, and a kill: the order is found again."""
    scene = Scene(exchange, tmp_path)
    with scene.run() as program:
        scene.wait_for_stream(program)
        scene.break_next_order({"name": "delayed_reply", "seconds": 0.3})
        scene.cross()
        assert exchange.wait_for(lambda e: e.placed_count() == 1)
        (tmp_path / "disk.full").touch()
        program.wait_for("config.csv" + CANNOT)
        program.kill()
    assert scene.state()["rule_state"] == "intended"
    (tmp_path / "disk.full").unlink()
    assert "ended while its order was under way" in restart(scene)
