"""What came now and is not of now, told by clocks of the test's own."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakenlink.stream.events import TradePrint
from tests.kits.rows.watch_kit import S, armed, printed
from ttslo_app.clocks import Clocks
from ttslo_app.watch.crossings import OfNow, is_older

CLOCKS = Clocks(lambda: 1000.0, lambda: 0.0, lambda: 50.0)
UNKNOWN = replace(CLOCKS, is_known=lambda: False)


@pytest.mark.parametrize(
    ("second", "expected"),
    [(1000, True), (970, True), (969, False), (1600, True), (1601, False), (10, False)],
)
def test_frame_is_of_now_unless_it_was_held_up(second: int, expected: bool) -> None:
    """Half a minute is much for a way of milliseconds."""
    assert OfNow(CLOCKS)([printed(second, 1)]) is expected
    assert OfNow(UNKNOWN)([printed(second, 1)])


def test_oldest_and_youngest_print_of_a_frame_decide() -> None:
    """One print of long ago is enough; one without a moment says nothing."""
    now, old, is_of_now = printed(1000, 1), printed(10, 1), OfNow(CLOCKS)
    assert not is_of_now([old, now])
    assert not is_of_now([now, old])
    assert is_of_now([replace(old, timestamp=None), now])


class Steps:
    """Clocks that go on when they are told to, and count how often Kraken's is asked."""

    def __init__(self) -> None:
        self.now, self.asked = 0.0, 0
        self.clocks = Clocks(self._kraken, lambda: 0.0, lambda: self.now)

    def _kraken(self) -> float:
        self.asked += 1
        return 1000.0 + self.now


def stamped(timestamp: str | None) -> TradePrint:
    """Return a trade with such a moment."""
    return replace(printed(1000, 1), timestamp=timestamp)


def test_second_is_judged_once_for_all_that_come_in_it() -> None:
    """A busy market's moments begin alike; after a second it is looked up again."""
    steps = Steps()
    is_of_now = OfNow(steps.clocks)
    for number in range(100):
        assert is_of_now([stamped(f"1970-01-01T00:16:40.{number:06}Z")])
    assert steps.asked == 1
    steps.now = 1.0
    assert is_of_now([stamped("1970-01-01T00:16:40.5Z")])
    assert steps.asked == 2


@pytest.mark.parametrize(
    ("first", "pause", "second", "expected"),
    [
        ("00:16:40.5Z", 0.5, "00:16:40.0Z", True),
        ("00:16:40.5Z", 0.5, "00:16:40.5+05:00", False),
        ("00:16:40.5Z", 0.5, "00:16:39.5+05:00", False),
        ("00:16:10.9Z", 0.95, "00:16:10.0Z", False),  # the edge of half a minute lies between
        ("00:16:14.9Z", 0.95, "00:16:14.0Z", True),
        ("00:26:40.9Z", 0.5, "00:26:40.4Z", True),
        ("00:26:39.9Z", 0.0, "00:26:40.1Z", False),  # and that of the time to come
    ],
)
def test_second_is_judged_by_another_moment_of_it_only_where_that_is_sure(
    first: str, pause: float, second: str, expected: bool
) -> None:
    """Another zone, and the edges of what is of now, are looked at themselves."""
    steps = Steps()
    is_of_now = OfNow(steps.clocks)
    is_of_now([stamped(f"1970-01-01T{first}")])
    steps.now = pause
    assert is_of_now([stamped(f"1970-01-01T{second}")]) is expected
    assert is_of_now([stamped("1970-01-01T00:16:41Z"), stamped(f"1970-01-01T{second}")]) is expected


MOMENTS = st.one_of(
    st.none(),
    st.text(max_size=30),
    st.builds(
        "1970-01-01T00:{:02}:{:02}{}{}".format,
        st.sampled_from((15, 16, 17, 26)),
        st.integers(0, 59),
        st.sampled_from(("", ".5", ".123456", ".999999999", ".x")),
        st.sampled_from(("Z", "", "+00:00", "+05:00", "-12:00Z")),
    ),
)


@given(st.lists(st.tuples(st.lists(MOMENTS, min_size=1, max_size=3), st.floats(0, 2)), max_size=20))
def test_frames_that_come_in_one_second_are_judged_as_the_first_that_ever_came(
    frames: list[tuple[list[str | None], float]],
) -> None:
    """What was judged before spares work and changes nothing."""
    steps = Steps()
    is_of_now = OfNow(steps.clocks)
    for moments, pause in frames:
        steps.now += pause
        prints = [stamped(moment) for moment in moments]
        assert is_of_now(prints) is OfNow(steps.clocks)(prints)


@pytest.mark.parametrize(("at", "expected"), [(898, True), (899, False), (900, False)])
def test_trade_is_older_than_a_rule_by_more_than_the_doubt(at: int, expected: bool) -> None:
    """Kraken's clock is known to about a second, or not at all."""
    assert is_older(armed(since=900), at * S, None, CLOCKS) is expected
    assert not is_older(armed(since=900), at * S, None, UNKNOWN)


@pytest.mark.parametrize(("seen_at", "expected"), [(49.9, True), (50.0, False), (None, False)])
def test_price_without_a_moment_is_as_old_as_its_coming(
    seen_at: float | None, expected: bool
) -> None:
    """It is compared by the clock that dated the rule, so nothing is left in doubt."""
    assert is_older(replace(armed(since=1000), since_at=50.0), None, seen_at, CLOCKS) is expected
    assert not is_older(armed(since=1000), None, seen_at, CLOCKS)  # of an earlier run
