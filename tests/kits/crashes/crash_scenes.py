"""Scenes in which the real program dies or is hindered, side by side, and what is told in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.kits.program.program_process import ProgramProcess, Scene, wait_until

AT_ONCE = 6
SAVE = [f"state {step}" for step in ("create", "write", "sync", "rename", "sync_folder")]
NOTE = [step.replace("state", "config") for step in SAVE]
ARMING = [*SAVE, "intents open_end", "intents sync_folder", "written"]
INTENT = ["intending", "intents write", "intents sync", "intended"]
SENDING = ["sending", "answered"]
KEPT = [*SAVE, "intents write", "written"]  # the mark behind which no line of the journal counts
NOTED = ["noting", *NOTE, "noted"]
FACTS = [*NOTED, *KEPT]
NORMAL = [*ARMING, *INTENT, *SENDING, *FACTS]
LOST = [*ARMING, *INTENT, *SENDING, *KEPT, "looking", "looked", *NOTED, *SAVE, "written"]
MISSING = [
    *ARMING,
    *INTENT,
    *SENDING,
    *KEPT,
    *("looking", "looked") * 2,
    *INTENT,
    *SENDING,
    *FACTS,
]
UNCERTAIN = "btc: UNCERTAIN whether sell 0.01 BTC/USD trailing-stop +0.5% was placed"
FOUND = "btc: found at Kraken after 51001; order "
NEVER = "btc: Kraken has no order for it, so none was placed; it is placed now"
AGAIN = "Tried again; after 60 s only while the threshold is met"


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


def parts_of(scenarios: Mapping[str, Callable[[Path], None]]) -> list[list[str]]:
    """Return the names in groups that run side by side."""
    names = list(scenarios)
    return [names[start : start + AT_ONCE] for start in range(0, len(names), AT_ONCE)]


def assert_told(program: ProgramProcess, sentences: list[str]) -> None:
    """Fail unless the program has said all `sentences`, in this order, and no other news."""
    # The screen has a thread of its own: what is in the files may not be on it yet.
    wait_until(lambda: program.has_ended or sentences[-1] in program.output, "the last is said")
    said, place = program.output, 0
    for sentence in sentences:
        assert sentence in said[place:], f"not said after that: {sentence!r}:\n{said}"
        place = said.index(sentence, place) + len(sentence)
    for sentence in {UNCERTAIN, FOUND, NEVER, AGAIN} - set(sentences):
        assert sentence not in said, said
