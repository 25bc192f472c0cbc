"""What came now and is not of now, told by clocks of the test's own."""

from __future__ import annotations

from dataclasses import replace

import pytest
from watch_kit import S, armed, printed

from ttslo_app.clocks import Clocks
from ttslo_app.watch.crossings import is_of_now, is_older

CLOCKS = Clocks(lambda: 1000.0, lambda: 0.0, lambda: 50.0)
UNKNOWN = replace(CLOCKS, is_known=lambda: False)


@pytest.mark.parametrize(
    ("second", "expected"),
    [(1000, True), (970, True), (969, False), (1600, True), (1601, False), (10, False)],
)
def test_frame_is_of_now_unless_it_was_held_up(second: int, expected: bool) -> None:
    """Half a minute is much for a way of milliseconds."""
    assert is_of_now([printed(second, 1)], CLOCKS) is expected
    assert is_of_now([printed(second, 1)], UNKNOWN)


def test_oldest_and_youngest_print_of_a_frame_decide() -> None:
    """One print of long ago is enough; one without a moment says nothing."""
    now, old = printed(1000, 1), printed(10, 1)
    assert not is_of_now([old, now], CLOCKS)
    assert not is_of_now([now, old], CLOCKS)
    assert is_of_now([replace(old, timestamp=None), now], CLOCKS)


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
    assert is_older(armed(since=1000), None, seen_at, CLOCKS) is expected
