"""Crossings that are owed their order, and how long each waits for the next try."""

from __future__ import annotations

from krakenlink.numbers import doubled
from ttslo_app.orders.settings import OrderSettings


def refusal_wait(refusals: int, settings: OrderSettings) -> float:
    """Return the pause before a refused rule may try again, after so many refusals in a row."""
    return doubled(settings.refusal_wait, refusals - 1, settings.refusal_wait_max)
