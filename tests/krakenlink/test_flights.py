"""One question, one call in flight, and nobody waits longer than they have time."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import pytest

from krakenlink.errors import KrakenAPIError, KrakenTimeout
from krakenlink.flights import Flights
from tests.kits.common.interrupt_kit import at_each_instant
from tests.kits.program.program_process import wait_until
from tests.kits.rest.flight_kit import wait_for_waiting, waiting_in


class Slow:
    """A call that takes until it is told to end."""

    def __init__(self, outcome: object) -> None:
        self.calls = 0
        self.began, self.go_on = threading.Event(), threading.Event()
        self._outcome = outcome

    def __call__(self) -> object:
        self.calls += 1
        self.began.set()
        self.go_on.wait(60)
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        return self._outcome


def outcomes(slow: Slow, askers: int = 5) -> list[object]:
    """Let several ask the same while one call is under way; return what each got."""
    flights = Flights()

    def ask() -> object:
        try:
            return flights.ask("question", slow, 60)
        except KrakenAPIError as error:
            return error

    with ThreadPoolExecutor(askers) as pool:
        asked = [pool.submit(ask)]
        assert slow.began.wait(60)
        asked += [pool.submit(ask) for _ in range(askers - 1)]
        wait_for_waiting(flights, askers - 1)
        slow.go_on.set()
        return [one.result() for one in asked]


def test_all_who_ask_meanwhile_get_one_answer() -> None:
    """Five ask, one call is made."""
    slow = Slow("answer")
    assert outcomes(slow) == ["answer"] * 5
    assert slow.calls == 1


def test_all_who_ask_meanwhile_get_one_error_each() -> None:
    """The refusal counts for all, and no two threads raise the same object."""
    slow = Slow(KrakenAPIError("Ticker", ["EQuery:Unknown asset pair"], status=404))
    errors = outcomes(slow)
    assert slow.calls == 1
    assert len({id(error) for error in errors}) == 5
    assert {str(error) for error in errors} == {
        "Kraken API error on Ticker (HTTP 404): EQuery:Unknown asset pair"
    }


def test_other_questions_do_not_wait() -> None:
    """Only what is the same is asked together, and what has landed is asked anew."""
    flights = Flights()
    slow = Slow("one")
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(flights.ask, "one", slow, 60)
        assert slow.began.wait(60)
        assert flights.ask("two", lambda: "two", 0) == "two"
        slow.go_on.set()
        assert first.result() == "one"
    assert flights.ask("one", lambda: "anew", 0) == "anew"


def test_nobody_waits_longer_than_they_have_time() -> None:
    """Whoever has less patience is told in time; the call goes on for the others."""
    flights = Flights()
    slow = Slow("late")
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(flights.ask, "question", slow, 60)
        assert slow.began.wait(60)
        with pytest.raises(KrakenTimeout):
            flights.ask("question", slow, 0.01)
        slow.go_on.set()
        assert first.result() == "late"


@pytest.mark.parametrize(
    "failure", [KrakenTimeout("no time", request_sent=True), KeyboardInterrupt()]
)
def test_who_had_less_time_decides_for_nobody(failure: BaseException) -> None:
    """A time-out or an interrupt of the one who asked lets another one ask."""
    flights = Flights()
    slow = Slow(failure)

    def impatient() -> None:
        with pytest.raises(type(failure)):
            flights.ask("question", slow, 60)

    thread = threading.Thread(target=impatient)
    thread.start()
    assert slow.began.wait(60)
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(flights.ask, "question", lambda: "mine", 60)
        wait_for_waiting(flights, 1)
        slow.go_on.set()
        assert other.result() == "mine"
    thread.join()


def test_no_instant_of_an_interrupt_leaves_others_waiting() -> None:
    """Neither those who wait, nor those who ask later: for them nothing is under way any more."""
    for interrupted in at_each_instant("krakenlink/flights.py"):
        flights = Flights()
        with ThreadPoolExecutor(1) as pool:
            waiting: list[Future[str]] = []

            def call(
                flights: Flights = flights,
                pool: ThreadPoolExecutor = pool,
                waiting: list[Future[str]] = waiting,
            ) -> str:
                waiting.append(pool.submit(flights.ask, "question", lambda: "other", 60))
                wait_for_waiting(flights, 1)
                return "mine"

            told = interrupted.do(partial(flights.ask, "question", call, 60))
            assert told in (None, "mine")
            assert flights.ask("question", lambda: "anew", 60) in ("anew", "other")
            assert {one.result() for one in waiting} <= {"mine", "other", "anew"}
        assert flights.ask("question", lambda: "anew", 0) == "anew"


def land_once_awaited(slow: Slow, flights: Flights) -> None:
    """Let a call end as soon as somebody waits for it, or is not going to."""
    wait_until(lambda: slow.go_on.is_set() or waiting_in(flights), "somebody waits")
    slow.go_on.set()


def test_no_instant_of_an_interrupt_while_waiting_leaves_others_waiting() -> None:
    """As soon as the call has landed, whoever asks makes one of their own."""
    for interrupted in at_each_instant("krakenlink/flights.py"):
        flights, slow = Flights(), Slow("answer")
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(flights.ask, "question", slow, 60)
            assert slow.began.wait(60)
            threading.Thread(target=land_once_awaited, args=(slow, flights)).start()
            told = interrupted.do(partial(flights.ask, "question", lambda: "mine", 60))
            slow.go_on.set()
            assert told in (None, "answer")
            assert first.result() == "answer"
        assert flights.ask("question", lambda: "anew", 0) == "anew"
