"""How an order of unknown outcome is looked for.

Two looks that both find nothing settle that no order stands: the first once no late copy can be
accepted any more, the second once an order that closed just before the first must be listed. What
must never happen here: that silence, or a single look, settles anything.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from krakenlink.numbers import doubled
from ttslo_app.messages import Sighting
from ttslo_app.orders.settings import OrderSettings


@dataclass(frozen=True, slots=True)
class Search:
    """How far the search for one uncertain order has come.

    Attributes:
        not_before: When to look next, in seconds of one monotonic clock, as `missed_at` is.
        missed_at: When a look found nothing for the first time.
        unanswered: How many looks in a row Kraken did not answer.
        is_from_before: Whether the order was sent before the program started; nothing else may
            fire until such an order is settled.
    """

    not_before: float
    missed_at: float | None = None
    unanswered: int = 0
    is_from_before: bool = False


class Verdict(Enum):
    """What a look at Kraken's orders has settled."""

    FOUND = "found"
    NOT_PLACED = "not placed"
    LOOK_AGAIN = "look again"


def begin_search(seconds_to_deadline: float, now: float, settings: OrderSettings) -> Search:
    """Return a search that starts once no late copy of the order can be accepted any more."""
    return Search(now + max(0.0, seconds_to_deadline) + settings.deadline_margin)


def after_look(
    search: Search, sighting: Sighting | None, now: float, settings: OrderSettings
) -> tuple[Verdict, Search]:
    """Return what a look that Kraken answered has settled, and the search to go on with."""
    if sighting is not None:
        return Verdict.FOUND, search
    if search.missed_at is not None and now - search.missed_at >= settings.lookup_gap:
        return Verdict.NOT_PLACED, search
    missed_at = now if search.missed_at is None else search.missed_at
    again = max(now, missed_at + settings.lookup_gap)
    return Verdict.LOOK_AGAIN, replace(search, not_before=again, missed_at=missed_at, unanswered=0)


def after_silence(search: Search, now: float, settings: OrderSettings) -> Search:
    """Return the search to go on with when Kraken could not be asked."""
    wait = doubled(settings.ask_again, search.unanswered, settings.ask_again_max)
    return replace(search, not_before=now + wait, unanswered=search.unanswered + 1)
