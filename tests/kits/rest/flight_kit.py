"""Who waits for a call that somebody else has under way: what tells nobody, so it is looked for."""

from __future__ import annotations

import sys

from krakenlink.flights import Flights, _outcome_of
from tests.kits.program.program_process import wait_until


def waiting_in(flights: Flights) -> int:
    """Return how many wait for calls under way."""
    # Nothing public tells who waits: their threads are at it, and know for whom. One that has come
    # to its end meanwhile knows nothing any more.
    flying = list(flights._flying.values())
    frames = list(sys._current_frames().values())
    here = [frame for frame in frames if frame.f_code is _outcome_of.__code__]
    return sum(frame.f_locals.get("flight") in flying for frame in here)


def wait_for_waiting(flights: Flights, count: int) -> None:
    """Return once so many wait for calls under way; who comes later would ask anew."""
    wait_until(
        lambda: waiting_in(flights) >= count,
        lambda: f"{count} wait, not {waiting_in(flights)}",
    )
