"""Crossings that wait."""

from __future__ import annotations

from order_bench import SETTINGS

from ttslo_app.orders.owed import refusal_wait


def test_refusals_back_off_from_one_second_to_sixty() -> None:
    """The pause doubles from 1 s and ends at 60 s, however often Kraken refuses."""
    assert [refusal_wait(n, SETTINGS) for n in (1, 2, 3, 7, 8, 10_000)] == [1, 2, 4, 60, 60, 60]
