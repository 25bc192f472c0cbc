"""The numbers of the feed, as far as they are more than numbers."""

from __future__ import annotations

from krakenlink.stream.settings import FeedSettings, retry_delay


def test_retries_begin_at_once_and_slow_down() -> None:
    """0, 1, 2, 5, 5, 10, 20, 30, 30 seconds, shortened by at most the jitter."""
    settings = FeedSettings()
    delays = [retry_delay(settings, failures, 0.0) for failures in range(1, 10)]
    assert delays == [0, 1, 2, 5, 5, 10, 20, 30, 30]
    assert [retry_delay(settings, n, 1.0) for n in (1, 2, 9)] == [0, 0.75, 22.5]
