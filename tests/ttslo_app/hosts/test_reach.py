"""Whether Kraken answers: asked again and again, and a silence counts from the first question."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from krakenlink.errors import KrakenConnectionError, RateLimitError
from krakenlink.machine import feed_clock
from ttslo_app.hosts.reach import Reach


class Kraken:
    """Answers, refuses to, or lets whoever asks wait."""

    def __init__(self) -> None:
        self.asked = 0
        self.error: Exception | None = None
        self.opened = threading.Event()
        self.opened.set()
        self.is_closed = False

    def warm_up(self, within: float | None = None) -> None:
        assert within
        self.asked += 1
        self.opened.wait(60)
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        self.is_closed = True


def until(what: Callable[[], object]) -> None:
    """Wait until something is so."""
    end = time.monotonic() + 60
    while not what():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.005)


@pytest.fixture
def kraken() -> Iterator[Kraken]:
    """One that answers."""
    kraken = Kraken()
    yield kraken
    kraken.opened.set()


@pytest.fixture
def reach(kraken: Kraken) -> Iterator[Reach]:
    """Asks it as often as it can."""
    reach = Reach(kraken, lambda: 0.0)
    yield reach
    reach.stop()


def test_nobody_is_silent_before_anybody_was_asked(reach: Reach) -> None:
    """A host that has just begun is not cut off."""
    assert reach.silent_for() == 0.0


def test_whoever_answers_is_not_silent(kraken: Kraken, reach: Reach) -> None:
    """However long the pause between two questions is."""
    reach.start()
    until(lambda: kraken.asked >= 2)
    until(lambda: not reach.silent_for())


@pytest.mark.parametrize(
    "error", [KrakenConnectionError("no route", request_sent=False), RuntimeError("a defect")]
)
def test_silence_counts_from_the_first_question_without_an_answer(
    error: Exception, kraken: Kraken, reach: Reach
) -> None:
    """Each later one that fails makes it longer, and the first answer ends it."""
    kraken.error = error
    reach.start()
    until(lambda: kraken.asked >= 1 and reach.silent_for())
    since = reach._since
    until(lambda: kraken.asked >= 3)
    assert reach._since == since
    assert reach.silent_for() > 0
    kraken.error = None
    until(lambda: not reach.silent_for())


def test_question_that_is_under_way_counts(kraken: Kraken, reach: Reach) -> None:
    """A line that swallows everything gives no error for a long time."""
    kraken.opened.clear()
    reach.start()
    until(lambda: reach.silent_for() > 0.05)
    assert kraken.asked == 1
    kraken.opened.set()
    until(lambda: not reach.silent_for())


def test_nobody_is_asked_more_often_than_wanted(kraken: Kraken) -> None:
    """Kraken counts the calls of an address."""
    pauses: list[float] = []

    def every() -> float:
        pauses.append(1.0)
        return 1000.0

    reach = Reach(kraken, every)
    reach.start()
    until(lambda: len(pauses) >= 3)  # it has thought about it three times
    assert kraken.asked == 1
    reach.stop()


def test_stop_asks_no_more_and_waits_for_nothing(kraken: Kraken, reach: Reach) -> None:
    """Not even for the question that is under way."""
    kraken.opened.clear()
    reach.start()
    until(lambda: kraken.asked == 1)
    reach.stop()
    kraken.opened.set()
    reach._thread.join(60)
    assert not reach._thread.is_alive()
    assert kraken.asked == 1
    assert kraken.is_closed


TOO_MANY = RateLimitError("Time", ["HTTP 429"], status=429)


def test_pause_that_kraken_asks_for_is_an_answer(kraken: Kraken, reach: Reach) -> None:
    """A host with many accounts is not cut off because it has asked too often."""
    kraken.error = TOO_MANY
    reach.start()
    until(lambda: kraken.asked >= 2)
    until(lambda: not reach.silent_for())
    assert reach.refused_for(None) == 0.0


def test_address_that_is_banned_is_refused_from_the_first_of_both(
    kraken: Kraken, reach: Reach
) -> None:
    """Questions and calls of the key alike; it is over with the first question that is answered."""
    reach.start()
    until(lambda: reach._answered_at > 0)
    kraken.error = TOO_MANY
    until(lambda: reach._too_many_since is not None)
    since = reach._too_many_since
    assert since is not None
    asked = kraken.asked
    until(lambda: kraken.asked >= asked + 2)
    assert reach._too_many_since == since
    now = feed_clock()
    assert reach.refused_for(now) >= now - since
    earlier = (since + reach._answered_at) / 2  # an order found it out first
    assert reach.refused_for(earlier) >= now - earlier
    kraken.error = None
    until(lambda: not reach.refused_for(feed_clock()))


def test_call_from_before_the_last_answer_is_of_another_time(kraken: Kraken, reach: Reach) -> None:
    """That public calls are refused now says nothing about the key any more."""
    before = feed_clock()
    reach.start()
    until(lambda: reach._answered_at > 0)
    kraken.error = TOO_MANY
    until(lambda: reach._too_many_since is not None)
    assert reach.refused_for(before) == 0.0
    assert reach.refused_for(feed_clock()) > 0


def test_limit_of_calls_that_kraken_itself_tells_is_no_ban(kraken: Kraken, reach: Reach) -> None:
    """Its own words come from behind the edge that bans addresses."""
    kraken.error = RateLimitError("Time", ["EGeneral:Too many requests"], status=200)
    reach.start()
    until(lambda: reach._answered_at > 0)
    assert reach.refused_for(feed_clock()) == 0.0
