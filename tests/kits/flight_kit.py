"""Who waits for a call that somebody else has under way: what tells nobody, so it is looked for."""

from __future__ import annotations

from program_process import wait_until

from krakenlink.flights import Flights


def wait_for_waiting(flights: Flights, count: int) -> None:
    """Return once so many wait for calls under way; who comes later would ask anew."""

    def waiting() -> int:
        flying = list(flights._flying.values())
        # Nothing public tells who waits at an event.
        return sum(len(flight.landed._cond._waiters) for flight in flying)  # type: ignore[attr-defined, misc]

    wait_until(lambda: waiting() >= count, lambda: f"{count} wait, not {waiting()}")
