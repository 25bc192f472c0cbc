"""The numbers of the protocol."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.kits.orders.order_bench import SETTINGS
from ttslo_app.orders.life import settings_from
from ttslo_app.orders.owed import LOCKOUT_WAIT, ORDER_GAP


def test_settings_are_read_by_name() -> None:
    """Names left out keep their defaults."""
    read = settings_from("lookup_gap=2, deadline=3.5")
    assert read == replace(SETTINGS, lookup_gap=2.0, deadline=3.5)
    assert settings_from("") == SETTINGS
    assert settings_from("ask_again=0.1").ask_again == 0.1


def test_settings_keep_to_what_kraken_does_and_allows() -> None:
    """Each number has a reason, and none may be made to forget it."""
    ours = SETTINGS
    assert 2 <= ours.deadline <= 60, "Kraken takes no other deadline"
    assert ours.deadline_margin > 1, "Kraken's clock is known to about a second"
    assert ours.lookup_gap > 10, "a closed order may be missing from ClosedOrders for 10 s"
    assert ours.late_books >= 5 * ours.lookup_gap, "books may lag for longer than two looks"
    assert ours.in_line >= 225 * ORDER_GAP, (
        "so many orders may stand on a pair, one after the other"
    )
    assert ours.watch > 3, "the smallest allowance regains a call in 3 s"
    assert ours.watch < ours.watch_streamed <= 60, "a row left out shows in a minute"
    assert ours.ask_again < ours.ask_again_max
    assert ours.refusal_wait < ours.refusal_wait_max <= ours.owed, "it is tried while it is owed"
    assert LOCKOUT_WAIT > 15 * 60, "Kraken locks a key out for 15 minutes"


@pytest.mark.parametrize("text", ["patience=3", "deadline=", "deadline=nan", "watch=0", "watch"])
def test_settings_that_mean_nothing_are_refused(text: str) -> None:
    """An unknown name, no number or zero is an error that names it."""
    with pytest.raises(ValueError, match=r"patience|''|nan|watch"):
        settings_from(text)
