"""The whole program whose rows, files and looks are meddled with at the worst moment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests.kits.chaos.arena import Arena, side_by_side
from tests.kits.program.live_program import wait_until

SAME = "twin,BTC/USD,52000,above,sell,0.01,1.5,true,"


# --- rows that look alike -------------------------------------------------------------------------


def twins(pit: Arena) -> None:
    """Two rows sell the same; the books mix orders, and one answer is lost: each has its own."""
    pit.write(pit.row, SAME)
    with pit.run() as program:
        pit.cross()
        pit.ends_with_order(program)
        pit.exchange.fault("orders_unfiltered")
        pit.on_order({"name": "lost_reply"}, checks=1)
        pit.cross("52001")
        pit.wait_for_order(2)
        state = program.ttslo.state
        wait_until(lambda: state["twin"].get("order_id"), "the second knows its order")
        assert {state["btc"]["order_id"], state["twin"]["order_id"]} == {
            order["txid"] for order in pit.exchange.orders
        }
        pit.never_again(0.5, most=2)


def cases_apart(pit: Arena) -> None:
    """Ids that differ in case alone are two rows, each with an order and a note of its own."""
    pit.write(pit.row, pit.row.replace("btc", "BTC", 1).replace("51000", "52000"))
    with pit.run() as program:
        pit.cross()
        pit.ends_with_order(program)
        pit.cross("52001")
        pit.wait_for_order(2)
        wait_until(lambda: program.ttslo.state["BTC"].get("noted") == "true", "it is noted")
        text = (pit.folder / "config.csv").read_text(encoding="utf-8")
        assert all(text.count(order["txid"]) == 1 for order in pit.exchange.orders)


# --- files at nasty moments -----------------------------------------------------------------------


def half_written(pit: Arena) -> None:
    """An editor has written half of the file when the price crosses: the whole file decides."""
    pit.write(pit.row)
    path = pit.folder / "config.csv"
    with pit.run() as program:
        # It would take half a file for all of it after half a second, in which a busy machine may
        # let nobody write the rest.
        program.ttslo.loader.is_settled = lambda: False  # type: ignore[method-assign]
        whole = path.read_bytes()
        path.write_bytes(whole[: whole.index(b"0.01")])
        pit.cross()
        pit.wait_for_words("not in config.csv", "is not there", "missing")
        pit.never_again(0.3, most=0)
        path.write_bytes(whole)
        pit.wait_for_order()
        pit.ends_with_order(program)
        pit.never_again(0.5)


def state_removed(pit: Arena) -> None:
    """The state file and its journal are removed while it runs, and the program ends."""
    with pit.run() as program:
        for name in ("state.csv", "state.csv.intents", "state.csv.tape"):
            (pit.folder / name).unlink(missing_ok=True)
        pit.cross()
        pit.ends_with_order(program)
    pit.fill()
    with pit.run(waits=False):
        pit.cross("51002")
        pit.never_again(1.5)


def state_is_a_folder(pit: Arena) -> None:
    """Something makes a folder of the state file: nothing is sent, and the row is named."""
    with pit.run() as program:
        state = pit.folder / "state.csv"
        state.unlink()
        state.mkdir()
        pit.cross()
        pit.wait_for_words("no order yet", levels="ERROR|WARNING")
        assert pit.is_explained()
        pit.never_again(0.5, most=0)
        state.rmdir()
        pit.wait_for_order()
        pit.ends_with_order(program)
        pit.never_again(0.3)


# --- while an order is looked for -----------------------------------------------------------------


def looked_for(pit: Arena, *, is_placed: bool) -> None:
    """Let an order be lost and its look hang, until the fault is cleared."""
    pit.on_order({"name": "lost_reply" if is_placed else "black_hole"})
    for book in ("OpenOrders", "ClosedOrders"):
        pit.exchange.fault("http_502", endpoint=book)
    pit.cross()
    pit.wait_for_words("UNCERTAIN")
    wait_until(lambda: pit.exchange.count("OpenOrders") > 0, "the books are asked")


def ended_while_looking(pit: Arena) -> None:
    """The program ends during a look: the next one finds the order, and never a second."""
    with pit.run():
        looked_for(pit, is_placed=True)
    pit.fill()
    pit.exchange.clear_faults()
    with pit.run(waits=False) as program:
        pit.cross("51002")
        pit.ends_with_order(program)
        pit.never_again(0.5)


def removed_while_looking(pit: Arena, *, is_placed: bool) -> None:
    """Its row is gone when the look ends: what stands is told, and what does not is not placed."""
    pit.settings = replace(pit.settings, late_books=0.5)
    with pit.run() as program:
        looked_for(pit, is_placed=is_placed)
        pit.write("eth,ETH/USD,9000,above,sell,0.1,1.5,true,")
        program.wait_for_watch("eth")
        pit.exchange.clear_faults()
        if is_placed:
            pit.ends_with_order(program)
        else:
            pit.wait_for_words("row is not armed any more")
        pit.never_again(1.0, most=int(is_placed))


def edited_and_ended_while_looking(pit: Arena) -> None:
    """A look, an edit and a restart: the old order is never taken for the new row's."""
    with pit.run():
        looked_for(pit, is_placed=True)
        pit.write(pit.row.replace("0.01", "0.5"))
    pit.exchange.clear_faults()
    with pit.run(waits=False) as program:
        pit.ends_with_order(program)
        pit.wait_for_words("0.5", levels="WARNING|ERROR")
        pit.never_again(1.0)


SCENARIOS: dict[str, Callable[[Arena], None]] = {
    **{
        one.__name__: one
        for one in (
            twins,
            cases_apart,
            half_written,
            state_removed,
            state_is_a_folder,
            ended_while_looking,
            edited_and_ended_while_looking,
        )
    },
    "removed, and it stands": lambda pit: removed_while_looking(pit, is_placed=True),
    "removed, and it does not": lambda pit: removed_while_looking(pit, is_placed=False),
}


def test_no_meddling_makes_a_second_order_or_hides_one(tmp_path: Path) -> None:
    """Whatever is done to rows and files meanwhile: one crossing, one order, or a word."""
    side_by_side(SCENARIOS, tmp_path)
