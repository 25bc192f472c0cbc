"""The whole program against whoever wishes it ill: never two orders, never none without a word."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from fake_kraken import FakeKraken
from tests.kits.chaos.arena import Arena, Fault, side_by_side
from tests.kits.chaos.misfortune import Misfortune
from tests.kits.program.live_program import wait_until
from tests.kits.program.program_process import Scene

# --- what became of a request ----------------------------------------------------------------


def answered(*faults: Fault, fills: bool = False) -> Callable[[Arena], None]:
    """Return a scenario: an order whose answer is spoilt, and which perhaps fills at once."""

    def scenario(pit: Arena) -> None:
        with pit.run() as program:
            pit.on_order(*faults)
            pit.cross()
            pit.wait_for_sent()
            pit.wait_for_order()
            if fills:
                pit.fill()
            pit.ends_with_order(program)
            pit.never_again(1.0)

    return scenario


SPOILT: dict[str, Callable[[Arena], None]] = {
    "two lengths": answered({"name": "two_lengths"}, fills=True),
    "two lengths, and it stands": answered({"name": "two_lengths"}),
    "no answer": answered({"name": "lost_reply"}, fills=True),
    "half an answer": answered({"name": "reset_mid_body"}, fills=True),
    "an odd result": answered({"name": "odd_result", "text": '{"txid": 5}'}, fills=True),
    "no result": answered({"name": "odd_result", "text": "null"}),
    "an answer that drips": answered({"name": "dripping_reply", "seconds": 1}, fills=True),
    "a head that drips": answered({"name": "dripping_head", "seconds": 1}),
    "a second copy": answered({"name": "sent_twice"}, fills=True),
    "a second copy past the nonce": answered({"name": "copied_past_nonce"}),
    "a second copy, and it fills": answered({"name": "sent_twice"}, fills=False),
    "a gzip bomb": answered({"name": "gzip_bomb"}),
    "a proxy that wants a password": answered({"name": "http_407", "when": "after"}, fills=True),
    "too many calls": answered({"name": "http_429", "when": "after"}, fills=True),
}


def test_spoilt_answer_is_no_refusal(tmp_path: Path) -> None:
    """What was sent may stand, whatever came back: it is looked up, and never sent again."""
    side_by_side(SPOILT, tmp_path)


# --- absence ---------------------------------------------------------------------------------


def asked(*faults: Fault, seconds: float = 2.5) -> Callable[[Arena], None]:
    """Return a scenario: a lost answer, and books that answer no question; then good ones."""

    def scenario(pit: Arena) -> None:
        with pit.run() as program:
            pit.on_order({"name": "lost_reply"})
            for fault in faults:
                pit.exchange.fault(**fault)
            pit.cross()
            pit.wait_for_order()
            pit.fill()
            wait_until(lambda: bool(pit.said("UNCERTAIN")), "the answer is lost")
            before = pit.exchange.count("OpenOrders")
            wait_until(lambda: pit.exchange.count("OpenOrders") > before, "the books are asked")
            pit.never_again(seconds)
            pit.exchange.clear_faults()
            pit.ends_with_order(program)

    return scenario


DOUBTFUL: dict[str, Callable[[Arena], None]] = {
    "somebody else's order": asked({"name": "orders_foreign"}),
    "an id that is spelt otherwise": asked({"name": "orders_respelt"}),
    **{
        f"{text} from {book}": asked({"name": "odd_result", "text": text, "endpoint": book})
        for book in ("OpenOrders", "ClosedOrders")
        for text in ("[]", "{}", "null", '{"open": [], "closed": []}')
    },
    "a foreign order in one book": asked({"name": "orders_foreign", "endpoint": "OpenOrders"}),
}


def test_answer_to_another_question_proves_no_absence(tmp_path: Path) -> None:
    """A book that does not answer what was asked settles nothing, however often it is asked."""
    side_by_side(DOUBTFUL, tmp_path)


def all_orders(pit: Arena) -> None:
    """The order stands in books that do not honour a filter."""
    pit.exchange.fault("orders_unfiltered")
    answered({"name": "lost_reply"})(pit)


def stale(pit: Arena) -> None:
    """A book that has an order as open which was filled."""
    pit.exchange.fault("open_orders_stale", seconds=5)
    answered({"name": "lost_reply"}, fills=True)(pit)


def lagging(pit: Arena) -> None:
    """The stop fills between two looks into two books that lag apart."""
    pit.exchange.fault("open_orders_lag", seconds=40)
    pit.exchange.fault("closed_orders_lag", seconds=4)
    with pit.run() as program:
        pit.on_order({"name": "http_502", "when": "after"})
        pit.cross()
        pit.wait_for_order()
        wait_until(lambda: pit.exchange.count("OpenOrders") >= 2, "the books are asked")
        pit.fill()
        pit.never_again(3.0)
        pit.ends_with_order(program)


def never_shown(pit: Arena) -> None:
    """An order that was filled, in a book that never shows it."""
    pit.exchange.fault("closed_orders_never")
    with pit.run():
        pit.on_order({"name": "http_504", "when": "after"})
        pit.cross()
        pit.wait_for_order()
        pit.fill()
        pit.never_again(7.0)  # longer than any order may be under way


def edited(pit: Arena) -> None:
    """A row that sells another amount while its order is uncertain: the old order is not its."""
    with pit.run():
        pit.on_order({"name": "lost_reply"})
        pit.exchange.fault("odd_result", text="[]", endpoint="OpenOrders")
        pit.cross()
        pit.wait_for_sent()
        pit.write(pit.row.replace("0.01", "0.5"))
        pit.wait_for_words("UNCERTAIN")
        pit.never_again(2.0)
        pit.exchange.clear_faults()
        wait_until(lambda: pit.said("0.01", levels="INFO|WARNING|ERROR"), "it is told apart")
        pit.never_again(1.0, most=2)
        volumes = [order["vol"] for order in pit.exchange.orders]
        assert volumes.count("0.01000000") == 1
        assert volumes.count("0.50000000") <= 1


# --- who looks, and from where ------------------------------------------------------------------


def reading_elsewhere(pit: Arena) -> None:
    """The key that reads is of another account than the key that trades."""
    with pit.run(clients=(pit.stranger(streams=True), None)) as program:
        pit.on_order({"name": "lost_reply"})
        pit.cross()
        pit.wait_for_order()
        pit.fill()
        pit.ends_with_order(program)
        pit.never_again(1.0)


def other_keys(pit: Arena) -> None:
    """The program ends with an order under way, and starts again with keys of another account."""
    blind = [pit.exchange.fault("black_hole", endpoint=name) for name in BOOKS]
    with pit.run():
        pit.on_order({"name": "lost_reply"})
        pit.cross()
        pit.wait_for_order()
        pit.wait_for_words("UNCERTAIN")
    pit.fill()
    for fault in blind:
        fault.clear()
    strangers = pit.stranger(streams=True), pit.stranger(streams=False)
    pit.fall_back()
    with pit.run(clients=strangers, waits=False):
        pit.cross("51002")
        pit.never_again(7.0)  # longer than any order may be under way
    pit.fall_back()
    with pit.run(waits=False) as program:
        pit.ends_with_order(program)
        pit.never_again(0.5)


def restored(pit: Arena) -> None:
    """All files are put back to what they were before an order that has been filled since."""
    with pit.run():
        pass
    before = {path: path.read_bytes() for path in pit.folder.iterdir() if path.name != "logs.csv"}
    with pit.run() as program:
        pit.cross()
        pit.wait_for_order()
        pit.ends_with_order(program)
        pit.fill()
    for path in pit.folder.iterdir():
        if path.name != "logs.csv":
            path.unlink()
    for path, data in before.items():
        path.write_bytes(data)
    pit.fall_back()
    with pit.run() as program:
        pit.cross("51003")
        pit.never_again(3.0)
        pit.ends_with_order(program)


BOOKS = ("OpenOrders", "ClosedOrders")


def test_nothing_but_good_books_of_the_right_account_settles(tmp_path: Path) -> None:
    """Books that lag or mix, another account's, and files from before prove nothing."""
    books = (all_orders, stale, lagging, never_shown, edited)
    others = (reading_elsewhere, other_keys, restored)
    side_by_side({scenario.__name__: scenario for scenario in (*books, *others)}, tmp_path)


# --- each crossing is an event of its own ---------------------------------------------------------


def refused_twice(pit: Arena) -> None:
    """Two crossings, refused for the same reason: each is told with its own price."""
    pit.settings = replace(pit.settings, owed=0.5)
    pit.buy("0")
    with pit.run() as program:
        live = program.ttslo.live
        assert live is not None
        for price in ("51001", "51007", "51011"):
            pit.cross(price)
            wait_until(partial(pit.is_explained, price), f"{price} is explained")
            pit.never_again(0.7, most=0)
            pit.fall_back()
            # While it is owed, what crosses next is the same crossing.
            wait_until(lambda: not live.orderless(), "nothing is owed", 60.0)
            pit.never_again(0.1, most=0)
        pit.buy("5")
        pit.cross("51013")
        pit.wait_for_order()
        pit.never_again(0.5)


def disabled_meanwhile(pit: Arena) -> None:
    """A crossing that was refused is not owed any more once its row was disabled."""
    pit.buy("0")
    with pit.run():
        pit.cross()
        wait_until(pit.is_explained, "the crossing is explained")
        pit.write(pit.row.replace("true", "false"))
        pit.wait_for_words("no longer armed")
        pit.buy("5")
        pit.never_again(1.0, most=0)
        pit.write(pit.row)
        pit.never_again(3.0, most=0)


def edited_in_place(pit: Arena) -> None:
    """An edit in place that leaves length and time stamp as they were: the new text counts."""
    with pit.run():
        path = pit.folder / "config.csv"
        stamp = path.stat()
        with path.open("r+b") as file:
            file.write(path.read_bytes().replace(b"51000", b"52000"))
        os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
        pit.cross()
        pit.never_again(1.5, most=0)
        pit.wait_for_words("armed: BTC/USD at or above 52000", levels="")
        pit.cross("52001")
        pit.wait_for_order()
        pit.never_again(0.5)


def test_each_crossing_is_an_event_of_its_own(tmp_path: Path) -> None:
    """What was said, owed or written before neither silences a crossing nor fires one."""
    scenarios = (refused_twice, disabled_meanwhile, edited_in_place)
    side_by_side({scenario.__name__: scenario for scenario in scenarios}, tmp_path)


# --- slow answers ---------------------------------------------------------------------------------

# --- two programs ---------------------------------------------------------------------------------


def test_second_program_on_one_config_is_refused(exchange: FakeKraken, tmp_path: Path) -> None:
    """Each with a state of its own: the second names what is held, ends with 1, and trades not."""
    scene = Scene(exchange, tmp_path)
    with scene.run() as first:
        scene.wait_for_stream(first)
        with scene.run("--state", "other.csv", "--log", "other-log.csv") as second:
            wait_until(lambda: second.has_ended, "the second ends")
            assert second.wait() == 1, second.output
            assert "config.csv" in second.output
        scene.cross()
        scene.wait_for_files(first)
        assert exchange.placed_count() == 1


# --- all of it at once ----------------------------------------------------------------------------

# More of them: `TTSLO_MISFORTUNES=200 pytest tests/whole/chaos/test_adversary.py -k luck`.
SEEDS = int(os.environ.get("TTSLO_MISFORTUNES", "6"))


def test_no_run_of_bad_luck_makes_two_orders(tmp_path: Path) -> None:
    """Spoilt answers, misleading books, clocks that jump, restarts: one crossing, one order."""
    side_by_side({f"seed {seed}": Misfortune(seed) for seed in range(SEEDS)}, tmp_path)
