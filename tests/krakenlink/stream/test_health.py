"""The figures of the feed at a moment."""

from __future__ import annotations

from stream_kit import (
    Make,
    live,
)

from krakenlink.stream.states import FeedState


def test_health_is_a_snapshot_of_everything(make: Make) -> None:
    """State, ages, counts and each symbol are told in one frozen piece."""
    provider = make()
    assert (provider.health().uptime, provider.health().last_frame_age) == (None, None)
    live(provider)
    provider.note_rest_fallback("BTC/USD")
    provider.note_rest_fallback("SOL/USD")
    health = provider.health()
    assert (health.state, health.attempts, health.reconnects) == (FeedState.LIVE, 1, 0)
    assert health.uptime is not None
    assert (health.rest_fallbacks, health.messages >= 2) == (2, True)
    (symbol,) = health.symbols
    assert (symbol.state, symbol.ticks, symbol.rest_fallbacks) == ("live", 1, 1)
    assert symbol.proven_age is not None
