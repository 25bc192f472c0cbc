"""Clocks that a test holds in its hand, and moments as text."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttslo_app.clocks import SECOND, Clocks, clock_time, iso_moment, nanoseconds

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


def test_present_moment_is_told_by_each_clock(clocks: Clocks) -> None:
    """A date is this machine's, the moment of a trade is Kraken's."""
    assert clocks.utc() == datetime(1970, 1, 1, 0, 16, 40, tzinfo=UTC)
    assert clocks.kraken_ns() == 1002 * SECOND


def test_moment_of_this_machine_is_told_by_the_clock_of_kraken(clocks: Clocks) -> None:
    """What this machine wrote down is moved by as much as the two clocks differ."""
    assert clocks.at_kraken("1970-01-01T00:01:00+00:00") == 62 * SECOND
    assert clocks.at_kraken("") is None


def test_moment_of_another_day_is_shown_with_its_day() -> None:
    """A person is told the day where it is not that of the moment beside it."""
    noon = datetime(2026, 1, 5, 12, 30, 15).timestamp()
    assert clock_time(noon) == clock_time(noon, noon + 60) == "12:30:15"
    assert clock_time(noon, noon + DAY) == "2026-01-05 12:30:15"
