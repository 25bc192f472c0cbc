"""Who may send orders: the states of a host, and what brings it from one to the next.

A host leads by what the shared store says, and not by a clock: it stands for election when neither
the entry of who leads nor the beat of that one has changed for a while of its own steady clock, and
the store lets one of several win. Being wrong about that while costs a needless takeover and never
an order. Between winning and the first order Kraken itself is made to refuse everybody before
(`FENCE`), and the orders that were under way are taken up (`SETTLE`). What must never happen here:
that a host which is in any other state than `LEAD` sends an order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from types import MappingProxyType

from ttslo_app.cluster.records import Lead


class State(StrEnum):
    """What a host is. The values are what the store and people are told."""

    FOLLOW = "follows"  # another leads, or nobody; prices and rows are watched, nothing is sent
    FENCE = "fences"  # the store says that it leads; Kraken does not refuse the earlier ones yet
    SETTLE = "takes over"  # nobody else can send any more; what was under way is taken up
    LEAD = "leads"  # its crossings have their orders
    DOWN = "steps down"  # it leads no longer; what it knows of lives is to be read anew
    ASTRAY = "refuses to lead"  # store and Kraken contradict each other: a person has to look


class Signal(Enum):
    """What can happen to a host."""

    WIN = "win the election"
    FENCED = "be answered by Kraken"
    TAKEN_UP = "have taken up what was under way"
    DEPOSED = "see another lead"
    HANDED_OVER = "hand over"
    CONTRADICTED = "be refused by Kraken although the store says that it leads"
    OLDER = "find the store older than it was"
    READ = "have read everything anew"
    ANOTHER = "see that another leads"


TRANSITIONS: Mapping[tuple[State, Signal], State] = MappingProxyType(
    {
        (State.FOLLOW, Signal.WIN): State.FENCE,
        (State.FOLLOW, Signal.OLDER): State.ASTRAY,
        (State.FENCE, Signal.FENCED): State.SETTLE,
        (State.FENCE, Signal.DEPOSED): State.DOWN,
        (State.FENCE, Signal.CONTRADICTED): State.ASTRAY,
        (State.SETTLE, Signal.TAKEN_UP): State.LEAD,
        (State.SETTLE, Signal.DEPOSED): State.DOWN,
        (State.LEAD, Signal.DEPOSED): State.DOWN,
        (State.LEAD, Signal.HANDED_OVER): State.DOWN,
        (State.DOWN, Signal.READ): State.FOLLOW,
        # Another host was found to be right: this one can stand by for it.
        (State.ASTRAY, Signal.ANOTHER): State.DOWN,
    }
)


class IllegalStep(RuntimeError):
    """A signal that the state of a host has no answer to; nothing was changed."""


def state_after(state: State, signal: Signal) -> State:
    """Return the state that `signal` leads to.

    Raises:
        IllegalStep: If the table has no such step.
    """
    try:
        return TRANSITIONS[state, signal]
    except KeyError:
        raise IllegalStep(f"a host that {state} cannot {signal.value}") from None


@dataclass(frozen=True, slots=True)
class Observed:
    """What a host has seen of whoever leads, and since when it has seen nothing new.

    Attributes:
        lead: The version of the entry that says who leads; 0 while there is none.
        beat: The version of its last beat; 0 while there is none.
        since: When one of them changed last, on this host's steady clock, in seconds.
    """

    lead: int
    beat: int
    since: float

    def seen(self, lead: int, beat: int, now: float) -> Observed:
        """Return what is observed once these versions were seen at `now`."""
        return self if (lead, beat) == (self.lead, self.beat) else Observed(lead, beat, now)

    def silent_for(self, now: float) -> float:
        """Return for how many seconds nothing has changed."""
        return now - self.since


def stands(
    observed: Observed,
    lead: Lead | None,
    now: float,
    *,
    patience: float,
    is_blind: bool,
    waits: float = 0.0,
) -> bool:
    """Tell whether a host that follows stands for election now.

    Args:
        observed: What it has seen of whoever leads.
        lead: Who leads; None if nobody ever has.
        now: The present moment on its steady clock.
        patience: How long the one who leads may be silent, in seconds.
        is_blind: Whether this host sees no live price: then any other may go first.
        waits: How long it leaves the first step to others, in seconds.
    """
    silence = observed.silent_for(now) - waits
    if lead is None or not lead.host:  # nobody leads, so there is nobody to wait for
        return silence >= (patience if is_blind else 0.0)
    return silence >= (2 * patience if is_blind else patience)
