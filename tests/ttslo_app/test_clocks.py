"""Clocks that a test holds in its hand, and moments as text."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.kits.common.calls_kit import calls_in
from ttslo_app.clocks import (
    SECOND,
    Clocks,
    KrakenClock,
    Moments,
    clock_time,
    is_moment,
    iso_moment,
    nanoseconds,
    outlasts,
    utc_iso,
)

DAY = 86_400.0


@pytest.fixture
def clocks() -> Clocks:
    """Hand out clocks of which Kraken's is two seconds ahead of this machine's."""
    return Clocks(kraken=lambda: 1002.0, wall=lambda: 1000.0, monotonic=lambda: 5.0)


def test_moments_are_read_exactly_or_not_at_all() -> None:
    """Microseconds are kept; what is no moment, or of no zone, is None."""
    assert nanoseconds("2023-11-14T22:13:20.123456Z") == 1_700_000_000_123_456_000
    assert nanoseconds("soon") is None
    assert nanoseconds(None) is None
    assert nanoseconds("2023-11-14T22:13:20") is None


@given(st.integers(min_value=0, max_value=4_000_000_000 * SECOND))
def test_moment_that_is_written_is_read_again(at_ns: int) -> None:
    """A moment survives as text, to the microsecond."""
    assert nanoseconds(iso_moment(at_ns)) == at_ns // 1000 * 1000


# From 1970 to the end of the year 9999, with many at the end of a millisecond.
@given(
    st.floats(0, 253_402_300_799.0) | st.integers(0, 4 * 10**12).map(lambda ms: ms / 1000),
    st.floats(0, 1e9) | st.integers(0, 60_000).map(lambda ms: ms / 1000),
)
@example(1.999999, 0.0)
@example(1.9999996, 0.0)  # rounded to the microsecond, and cut off at the millisecond
@example(1.0000006, 0.0000014)  # each rounded by itself
def test_moment_is_put_into_the_words_that_datetime_has_for_it(seconds: float, ago: float) -> None:
    """To the letter, wherever a fraction of a second ends; so are the texts of two moments."""
    moment = datetime.fromtimestamp(seconds, UTC)
    texts = tuple(
        one.isoformat(timespec="milliseconds") for one in (moment, moment - timedelta(seconds=ago))
    )
    assert utc_iso(seconds) == texts[0]
    moments = Moments(Clocks(lambda: seconds, lambda: 0.0, lambda: 0.0))
    assert (moments.now(), moments.now_and_before(ago)) == (texts[0], texts)


def test_present_moment_is_told_by_the_clock_of_kraken(clocks: Clocks) -> None:
    """What is written down, and what trades are compared with, goes by no clock that can be set."""
    assert clocks.utc() == datetime(1970, 1, 1, 0, 16, 42, tzinfo=UTC)
    assert clocks.kraken_ns() == 1002 * SECOND


def test_moment_that_was_seen_is_told_by_the_clock_of_kraken(clocks: Clocks) -> None:
    """What came two seconds ago came at two seconds before Kraken's present moment."""
    assert clocks.kraken_ns_of(3.0) == 1000 * SECOND


def test_age_is_measured_from_the_moment_itself(clocks: Clocks) -> None:
    """A moment to come, or none at all, is infinitely old: nobody knows its age."""
    assert clocks.age_of("1970-01-01T00:16:00+00:00") == 42.0
    assert clocks.age_of("1970-01-01T00:16:42.5+00:00") == 0.0  # as well as the clock is known
    assert clocks.age_of("1970-01-01T01:00:00+00:00") == math.inf
    assert clocks.age_of("") == clocks.age_of("soon") == math.inf


class Machine:
    """A machine whose clock is set and which sleeps, and Kraken, whose clock only goes on."""

    def __init__(self, wall: float = 1_000_000.0, kraken: float = 1_000_000.0) -> None:
        self.wall, self.kraken, self.steady = wall, kraken, 500.0
        self.said: list[str] = []
        self.clock = KrakenClock(
            lambda: self.wall,
            lambda: self.steady,
            lambda level, text, **fields: self.said.append(f"{level} {text}"),
        )

    def go_on(self, seconds: float, *, steady: float | None = None) -> None:
        self.wall += seconds
        self.kraken += seconds
        self.steady += seconds if steady is None else steady

    def measure(self) -> None:
        self.clock.measure(lambda: float(int(self.kraken)))

    @property
    def error(self) -> float:
        """How far the estimate is from the truth."""
        return abs(self.clock.now() - self.kraken)


@pytest.mark.parametrize("step", [-3 * DAY, -3600.0, -30.0, 0.0, 30.0, 3600.0, 3 * DAY])
def test_clock_that_is_set_while_running_moves_nothing(step: float) -> None:
    """The estimate holds from the first answer on, whatever becomes of this machine's clock."""
    machine = Machine(wall=1_000_000.0 - step)  # wrong from the start, and then set right
    machine.measure()
    machine.go_on(10)
    machine.wall += step
    assert machine.error <= 1.0
    assert machine.clock.is_doubtful() is (step != 0)
    machine.measure()
    assert machine.error <= 1.0
    assert not machine.clock.is_doubtful()


@pytest.mark.parametrize("step", [-3 * DAY, 3600.0])
def test_clock_that_was_right_and_is_set_wrong_moves_nothing(step: float) -> None:
    """It is said once that it is wrong, and once that it is right again."""
    machine = Machine()
    machine.measure()
    machine.wall += step
    for _ in range(3):
        machine.go_on(600)
        machine.measure()
        assert machine.error <= 1.0
    machine.wall -= step
    machine.measure()
    side = "behind" if step < 0 else "ahead of"
    assert len(machine.said) == 2
    assert f" s {side} Kraken's" in machine.said[0]
    assert abs(int(re.findall(r"\d+", machine.said[0])[0]) - abs(step)) <= 1
    assert machine.said[1] == "INFO This machine's clock is right again"


def test_sleep_moves_nothing_where_the_steady_clock_goes_on() -> None:
    """Eight hours with the lid closed are eight hours."""
    machine = Machine()
    machine.measure()
    machine.go_on(8 * 3600)
    assert machine.error <= 1.0
    assert not machine.clock.is_doubtful()


def test_steady_clock_that_stood_still_is_noticed_and_measured_anew() -> None:
    """A frozen machine has no clock that went on, so Kraken is asked at once."""
    machine = Machine()
    machine.measure()
    machine.go_on(3600, steady=0)
    assert machine.clock.is_doubtful()
    machine.measure()
    assert machine.error <= 1.0


def test_before_the_first_answer_this_machine_is_believed_and_doubted() -> None:
    """There is nothing else to go by, and Kraken is asked at once."""
    machine = Machine(wall=999_000.0)
    assert machine.clock.now() == 999_000.0
    assert machine.clock.is_doubtful()
    assert not machine.clock.is_known()


@pytest.mark.parametrize("nonsense", [math.inf, -math.inf, math.nan, -5.0, 0.0, 1e300])
def test_answer_that_no_clock_gives_changes_nothing(nonsense: float) -> None:
    """Numbers from outside have bounds of sense."""
    machine = Machine()
    machine.clock.measure(lambda: nonsense)
    assert not machine.clock.is_known()
    machine.measure()
    machine.clock.measure(lambda: nonsense)
    assert machine.error <= 1.0


def test_question_that_fails_leaves_what_was_known() -> None:
    """An old estimate is better than none."""
    machine = Machine(wall=1_000_030.0)
    machine.measure()

    def fail() -> float:
        raise OSError("no route")

    with pytest.raises(OSError, match="no route"):
        machine.clock.measure(fail)
    assert machine.error <= 1.0


@pytest.mark.parametrize(
    ("lasts", "ends_at", "lasted", "pauses"),
    [(0, 9, False, 0), (2, 9, False, 2), (9, 9, True, 3), (9, 2, False, 2)],
    ids=["is not so", "ends", "outlasts all looks", "the end comes"],
)
def test_what_is_waited_for_is_looked_at_again_and_again(
    lasts: int, ends_at: int, lasted: bool, pauses: int
) -> None:
    """Until it is over, whoever waits has to end, or it was looked at often enough."""
    waited: list[float] = []

    def pause(seconds: float) -> bool:
        waited.append(seconds)
        return len(waited) == ends_at

    assert outlasts(3, 0.5, lambda: len(waited) < lasts, pause) is lasted
    assert waited == [0.5] * pauses


def test_moment_of_many_lines_is_put_into_words_once() -> None:
    """A report of 100,000 rows has their words for it in hand; another moment has its own."""
    clock_time(1_800_000_000.0)
    assert calls_in(lambda: clock_time(1_800_000_000.0))["Python"] == 0
    assert clock_time(1_800_000_000.0) == "08:00:00Z"
    assert clock_time(1_800_000_001.5) == "08:00:01Z"


def test_moment_of_another_day_is_shown_with_its_day() -> None:
    """A person is told the day where it is not that of the moment beside it."""
    noon = datetime(2026, 1, 5, 12, 30, 15, tzinfo=UTC).timestamp()
    assert clock_time(noon) == clock_time(noon, noon + 60) == "12:30:15Z"
    assert clock_time(noon, noon + DAY) == "2026-01-05 12:30:15Z"


@given(
    st.floats(-3.0, 3.0),
    st.lists(st.tuples(st.floats(0.0, 60.0), st.floats(0.0, 0.9), st.floats(0.0, 0.9)), max_size=8),
)
def test_kraken_s_clock_is_never_further_off_than_an_answer_allows(
    wrong: float, calls: list[tuple[float, float, float]]
) -> None:
    """Whole seconds, and a way there and back of any length: the truth stays within what is known.

    So the estimate is off by less than a second and the time the answer took.
    """
    truth, said = [1_800_000_000.0], list[str]()
    clock = KrakenClock(
        wall=lambda: truth[0] + wrong,
        steady=lambda: truth[0] - 1_700_000_000.0,
        say=lambda level, text, **fields: said.append(text),
    )
    for pause, there, back in calls:
        truth[0] += pause

        def ask(there: float = there, back: float = back) -> float:
            truth[0] += there
            theirs = float(int(truth[0]))
            truth[0] += back
            return theirs

        clock.measure(ask)
        assert abs(clock.now() - truth[0]) <= 1.0 + there + back + 1e-3
        assert clock.is_known()
        assert not clock.is_doubtful()


@pytest.mark.parametrize(
    ("at_ns", "is_one"), [(-1, False), (0, True), (2_000_000_000 * SECOND, True), (10**30, False)]
)
def test_moment_at_which_somebody_can_have_traded(at_ns: int, is_one: bool) -> None:
    """From 1970 on, and not for ever."""
    assert is_moment(at_ns) is is_one
