"""How an unknown outcome is settled."""

from __future__ import annotations

from order_bench import SETTINGS

from ttslo_app.messages import Sighting
from ttslo_app.orders.finder import Search, Verdict, after_look, after_silence, begin_search

FOUND = Sighting("O1", "open")


def test_search_waits_until_no_late_copy_can_arrive() -> None:
    """The first look comes after the deadline and its margin, and at once if that has passed."""
    margin = SETTINGS.deadline_margin
    assert begin_search(5.0, 100.0, SETTINGS).not_before == 105.0 + margin
    assert begin_search(-3600.0, 100.0, SETTINGS).not_before == 100.0 + margin


def test_two_misses_far_enough_apart_are_needed() -> None:
    """One miss is no proof, nor are two in quick succession."""
    search = Search(0.0)
    verdict, search = after_look(search, None, 10.0, SETTINGS)
    assert verdict is Verdict.LOOK_AGAIN
    verdict, search = after_look(search, None, 11.0, SETTINGS)
    assert verdict is Verdict.LOOK_AGAIN
    assert search.not_before == 10.0 + SETTINGS.lookup_gap
    verdict, _ = after_look(search, None, 10.0 + SETTINGS.lookup_gap, SETTINGS)
    assert verdict is Verdict.NOT_PLACED


def test_the_gap_between_looks_outlasts_a_lag_of_closed_orders() -> None:
    """An order that closed right before the first look is listed before the second."""
    assert SETTINGS.lookup_gap > 10.0


def test_an_order_found_is_found_at_any_look() -> None:
    """Whatever was missed before, a sighting settles it."""
    assert after_look(Search(0.0, missed_at=1.0), FOUND, 99.0, SETTINGS)[0] is Verdict.FOUND


def test_silence_backs_off_and_forgets_no_miss() -> None:
    """Unanswered looks come further apart, up to a limit, and prove nothing."""
    search = Search(0.0, missed_at=5.0)
    waits = []
    for _ in range(40):
        search = after_silence(search, 0.0, SETTINGS)
        waits.append(search.not_before)
    assert waits[:4] == [1.0, 2.0, 4.0, 8.0]
    assert waits[-1] == SETTINGS.ask_again_max
    assert search.missed_at == 5.0
