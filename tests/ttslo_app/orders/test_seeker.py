"""The thread that looks: no crossing waits for a look, and nothing that it met is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

import pytest

from krakenlink.errors import KrakenConnectionError
from tests.kits.orders.order_bench import ORDER, SETTINGS, Bench, Reply, life, rule
from tests.kits.program.live_program import wait_until
from ttslo_app.messages import Crossing, Looked, Message, Sighting
from ttslo_app.orders.life import RuleState
from ttslo_app.orders.request import OrderRequest
from ttslo_app.orders.seeker import Seeker

BTC, ETH = rule("btc"), rule("eth")
CUT = KrakenConnectionError("cut", request_sent=False)


class Books:
    """Books that answer when the test says so."""

    can_find, key_mark = True, "key-1"

    def __init__(self, answer: Sighting | Exception | None = None) -> None:
        self.answer = answer
        self.asked: list[str] = []
        self.may_answer = threading.Event()
        self.may_answer.set()

    def find(self, cl_ord_id: str, order: OrderRequest) -> Sighting | None:
        """Wait for the test, and say what it wants."""
        self.asked.append(cl_ord_id)
        assert order == ORDER
        assert self.may_answer.wait(60)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def seeker(books: Books, take: Callable[[Message], None], steps: list[str] | None = None) -> Seeker:
    """Return a seeker at second 7."""
    step = [].append if steps is None else steps.append
    return Seeker(books, lambda: 7.0, take, step)  # type: ignore[arg-type]  # as much as it needs


@pytest.mark.parametrize("answer", [None, Sighting("O1", "open"), CUT])
def test_look_tells_what_came_and_never_raises(answer: Sighting | Exception | None) -> None:
    """An order, none, or why there was no answer; and when the look began."""
    is_error = isinstance(answer, Exception)
    looked = seeker(Books(answer), lambda looked: None).look(life(RuleState.UNCERTAIN))
    assert (looked.rule_id, looked.cl_ord_id, looked.began) == ("btc", "an-id", 7.0)
    assert looked.sighting is (None if is_error else answer)
    assert looked.error is (answer if is_error else None)


def test_steps_are_told_in_their_order() -> None:
    """A program that is to end at one of them does; after a failure there is no second one."""
    steps: list[str] = []
    seeker(Books(), lambda looked: None, steps).look(life(RuleState.UNCERTAIN))
    assert steps == ["looking", "looked"]
    seeker(Books(CUT), lambda looked: None, steps).look(life(RuleState.UNCERTAIN))
    assert steps == ["looking", "looked", "looking"]


def test_thread_looks_for_one_after_the_other_and_ends() -> None:
    """In the order in which they were asked for; what was asked for before the end is done."""
    books = Books()
    met: list[Message] = []
    made = seeker(books, met.append)
    for name in ("first", "second"):
        made.ask(partial(made.look, life(RuleState.UNCERTAIN, cl_ord_id=name)))
    made.stop()
    made.start()
    wait_until(lambda: len(met) == 2, "both are looked for")
    assert books.asked == ["first", "second"]
    wait_until(
        lambda: all(t.name != "ttslo-finder" for t in threading.enumerate()), "the thread ends"
    )


# --- with the order thread -------------------------------------------------------------------


class Held(Bench):
    """An order thread with a row in doubt, and a look that waits for the test."""

    def __init__(self) -> None:
        super().__init__(BTC, ETH)
        self.kraken.replies = [Reply.LOST]
        self.cross(BTC)
        self.clock.seconds += 60  # the look is due
        self.may_answer, self.looks = threading.Event(), 0
        find = self.kraken.find

        def held(cl_ord_id: str, order: OrderRequest) -> Sighting | None:
            self.looks += 1
            assert self.may_answer.wait(60)
            return find(cl_ord_id, order)

        self.kraken.find = held  # type: ignore[method-assign]  # slow from now on
        self.worker.start()
        wait_until(lambda: self.looks, "Kraken is asked")

    def end(self) -> None:
        """Let the look answer, and the thread end."""
        self.may_answer.set()
        assert self.worker.stop(10)


def test_look_without_an_answer_holds_no_other_order() -> None:
    """The order of a row that crosses leaves while another's is looked for."""
    bench = Held()
    bench.worker.submit(Crossing(ETH, BTC.threshold, "50000"))
    wait_until(lambda: bench.life("eth").state is RuleState.PLACED, "the order is placed")
    assert bench.life("btc").state is RuleState.UNCERTAIN
    bench.may_answer.set()
    wait_until(lambda: bench.life("btc").order_id == "O1", "the lost order is found")
    bench.end()
    assert bench.placed == 2


def test_order_is_asked_for_once_at_a_time() -> None:
    """While a look is under way its row is not looked for again, however long it takes."""
    bench = Held()
    for _ in range(3):
        bench.clock.seconds += SETTINGS.ask_again_max
        bench.worker.submit(Crossing(BTC, BTC.threshold, "50000"))
    wait_until(lambda: not bench.worker.backlog, "all is taken in")
    assert bench.looks == 1
    bench.end()
    assert bench.placed == 1


def test_program_ends_while_a_look_is_under_way() -> None:
    """Whoever ends it does not wait for Kraken; the next start looks."""
    bench = Held()
    assert bench.worker.stop(10)
    assert bench.life("btc").state is RuleState.UNCERTAIN
    bench.may_answer.set()
    bench.restart()
    bench.wait(60)
    assert bench.life("btc").order_id == "O1"
    assert bench.placed == 1


def test_answer_about_a_row_that_has_changed_settles_nothing() -> None:
    """What was asked for is not what is in doubt now."""
    bench = Bench(BTC)
    bench.kraken.replies = [Reply.NEVER]
    bench.cross()
    before = bench.life()
    for other in (
        Looked("btc", "another-id", 0.0, Sighting("O9", "open")),
        Looked("unknown", "an-id", 0.0, Sighting("O9", "open")),
    ):
        bench.worker.submit(other)
        bench.worker.work_off()
    assert bench.life() == before
    assert "O9" not in str(bench.files.disk)


def test_look_that_began_too_early_proves_no_absence() -> None:
    """The answer came late enough, and still tells of a time at which a copy could arrive."""
    bench = Bench(BTC)
    bench.kraken.replies = [Reply.NEVER]
    bench.cross()
    began, cl_ord_id = bench.clock.seconds, bench.life().cl_ord_id
    bench.clock.seconds += 40
    bench.kraken.is_silent = True
    for _ in range(5):
        bench.worker.submit(Looked("btc", cl_ord_id, began, None))
        bench.worker.work_off()
    assert bench.life().state is RuleState.UNCERTAIN
    bench.kraken.is_silent = False
    bench.wait(120)
    assert bench.placed <= 1


def test_error_of_our_own_while_an_answer_is_taken_in_loses_no_search() -> None:
    """The order is looked for again, and found."""
    bench = Held()
    found, count = bench.worker._clerk.found, 0

    def fail_once(*args: object) -> None:
        nonlocal count
        count += 1
        if count == 1:
            raise RuntimeError("a surprise")
        found(*args)  # type: ignore[arg-type]  # passed on as it came

    bench.worker._clerk.found = fail_once  # type: ignore[method-assign, assignment]  # once
    bench.may_answer.set()
    wait_until(lambda: bench.heard("Internal error"), "the error is said")

    def is_found_in_time() -> bool:
        bench.clock.seconds += 1  # when it is looked for again is settled after the error is said
        return bench.life("btc").order_id == "O1"

    wait_until(is_found_in_time, "the lost order is found")
    bench.end()
