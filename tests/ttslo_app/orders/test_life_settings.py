"""The numbers of the protocol."""

from __future__ import annotations

from dataclasses import replace

import pytest
from order_bench import SETTINGS

from ttslo_app.orders.life import settings_from


def test_settings_are_read_by_name() -> None:
    """Names left out keep their defaults."""
    read = settings_from("lookup_gap=2, deadline=3.5")
    assert read == replace(SETTINGS, lookup_gap=2.0, deadline=3.5)
    assert settings_from("") == SETTINGS


@pytest.mark.parametrize("text", ["patience=3", "deadline=", "deadline=nan", "watch=0", "watch"])
def test_settings_that_mean_nothing_are_refused(text: str) -> None:
    """An unknown name, no number or zero is an error that names it."""
    with pytest.raises(ValueError, match=r"patience|''|nan|watch"):
        settings_from(text)
