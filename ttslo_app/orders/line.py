"""The line in which crossings wait when Kraken takes no more orders for now.

Pure: the order thread says what happened and when. Kraken counts orders per pair, and calls per
key; the counts fall with time, how fast depends on the account, and an order beyond them is
refused and certainly not placed. A refusal therefore closes a gate: whoever comes later stands
behind the one that was refused, one at a time is let through, and nobody is forgotten because
the price has gone back meanwhile.

Source: Kraken, "API rate limits" and "trading rate limits" (read 2026-11): the slowest account
regains one order a second on each pair.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from krakenlink.numbers import doubled
from krakenlink.rest.verdicts import Pause

# One order a second is what the slowest account regains, and a little for its rounding.
ORDER_GAP = 1.05
# Refused again: calling on prolongs some of Kraken's pauses.
_FIRST_WAIT, _LONGEST_WAIT = 2.0, 60.0


class Waiting(Protocol):
    """What can stand in line."""

    @property
    def key(self) -> str:
        """Who it is: nobody stands in line twice."""
        ...

    @property
    def pair(self) -> str:
        """Whose gate it waits for."""
        ...


W = TypeVar("W", bound=Waiting)


@dataclass(slots=True)
class _Gate:
    opens_at: float
    refusals: int = 1


class OrderLine(Generic[W]):
    """Crossings in their order, and the gates before them. Times are seconds of one clock."""

    def __init__(self) -> None:
        self._waiting: dict[str, tuple[float, W]] = {}
        self._gates: dict[tuple[Pause, str], _Gate] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[str]:
        return iter(self._waiting)

    def __contains__(self, key: object) -> bool:
        return key in self._waiting

    def is_closed(self, pair: str) -> bool:
        """Tell whether a crossing of `pair` has to stand in line."""
        return any(gate in self._gates for gate in _gates_of(pair))

    def close(self, pair: str, pause: Pause, now: float) -> None:
        """Note that Kraken refused an order of `pair` for its pace."""
        name = (pause, pair if pause is Pause.PAIR else "")
        gate = self._gates.setdefault(name, _Gate(now, 0))
        gate.refusals += 1
        gate.opens_at = now + doubled(_FIRST_WAIT, gate.refusals - 1, _LONGEST_WAIT)

    def passed(self, pair: str) -> None:
        """Note that Kraken took an order of `pair`."""
        for name in _gates_of(pair):
            if name in self._gates:
                self._gates[name].refusals = 0

    def stand(self, one: W, now: float) -> None:
        """Let a crossing stand at the end, where it does not stand in line already."""
        self._waiting.setdefault(one.key, (now, one))

    def stand_first(self, one: W, since: float) -> None:
        """Let a crossing that was refused stand before all others."""
        self._waiting = {one.key: (since, one), **self._waiting}

    def leave(self, key: str) -> None:
        """Let nobody of that key wait any more."""
        self._waiting.pop(key, None)

    def let_through(self, now: float) -> Iterator[tuple[float, W]]:
        """Yield those whose turn it is, and when they came; at most one for each gate.

        The next may follow after `ORDER_GAP`. A gate that nobody waits for is taken down.
        """
        for since, one in list(self._waiting.values()):
            gates = [self._gates[name] for name in _gates_of(one.pair) if name in self._gates]
            if one.key in self._waiting and all(gate.opens_at <= now for gate in gates):
                for gate in gates:
                    gate.opens_at = now + ORDER_GAP
                del self._waiting[one.key]
                yield since, one
        for name in self._idle_gates():
            if self._gates[name].opens_at <= now:
                del self._gates[name]

    def next_at(self) -> float | None:
        """Return when to call `let_through` again; None while there is nothing to do."""
        moments = [self._gates[name].opens_at for name in self._idle_gates()]
        for pair in {one.pair for _, one in self._waiting.values()}:
            gates = (self._gates.get(name) for name in _gates_of(pair))
            moments.append(max((gate.opens_at for gate in gates if gate), default=0.0))
        return min(moments, default=None)

    def _idle_gates(self) -> list[tuple[Pause, str]]:
        """Return the gates that nobody waits for."""
        needed = {name for _, one in self._waiting.values() for name in _gates_of(one.pair)}
        return [name for name in self._gates if name not in needed]


def _gates_of(pair: str) -> tuple[tuple[Pause, str], ...]:
    return (Pause.PAIR, pair), (Pause.ACCOUNT, "")
