"""Who may send orders: the states of a host, how it is elected, and which other hosts live.

Pure: moments and words of chance come in. A host leads by what the shared store says, and not by a
clock: it stands for election when neither the entry of who leads nor the beat of that one has
changed for a while of its own steady clock, and the store lets one of several win. Being wrong
about that while costs a needless takeover and never an order. Between winning and the first order
Kraken itself is made to refuse everybody before (`FENCE`), and the orders that were under way are
taken up (`SETTLE`). Others live while their word changes, seen on that same clock: no two clocks
are compared. What must never happen here: that a host which is in any other state than `LEAD` sends
an order, that it writes over the entry of another one which it has not seen, or that it takes for
alive one that died before it started.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, StrEnum
from types import MappingProxyType

from ttslo_app.cluster.records import Host, Keys, Lead, dumped, host_text, lead_text, read_host
from ttslo_app.cluster.store import Change, Entry


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


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells one writing from every other: whose it is, when, and a word of chance.

    Attributes:
        since: By the host's own clock, ISO UTC; for people.
    """

    host: str
    since: str
    token: str


def claimed(keys: Keys, lead: Lead | None, seen: tuple[int, int], by: Stamp) -> tuple[Lead, Change]:
    """Return the lead that a host stands for, and the change that makes it its own.

    Args:
        keys: Where the account's values are.
        lead: Who led before; None if nobody ever has.
        seen: The versions of that entry and of the last beat: none of them may have changed since.
        by: Who stands.
    """
    ours = Lead(1 if lead is None else lead.epoch + 1, by.host, by.since, by.token)
    rests_on = dict(zip((keys.lead, keys.beat), seen, strict=True))
    return ours, Change(rests_on, {keys.lead: lead_text(ours)})


def vacated(keys: Keys, ours: Lead, fence: int, by: Stamp) -> Change:
    """Return the change by which nobody leads any more, where the host of `fence` did."""
    nobody = Lead(ours.epoch + 1, "", by.since, by.token)
    return Change({keys.lead: fence}, {keys.lead: lead_text(nobody)})


def beaten(keys: Keys, host: Host, token: str, fence: int | None) -> Change:
    """Return the change by which a host tells that it lives; with a fence, that it leads, too."""
    puts = {keys.host(host.name): host_text(host, token)}
    if fence is None:
        return Change({}, puts)
    puts[keys.beat] = dumped({"host": host.name, "token": token})
    return Change({keys.lead: fence}, puts)


def halted(keys: Keys, fence: int, by: Stamp) -> Change:
    """Return the change by which nobody may lead, as the host of `fence` was found to be wrong."""
    return Change({keys.lead: fence}, {keys.halt: dumped({"host": by.host, "token": by.token})})


class Others:
    """The other hosts of an account.

    Args:
        own: The key under which this host tells that it lives.
        patience: How long another may be silent, in seconds.
    """

    def __init__(self, own: str, patience: float) -> None:
        self._own = own
        self._patience = patience
        # The last word of each, and when it was seen to change; never, for the first one: nobody
        # knows how old that is.
        self._seen: dict[str, tuple[Entry, float]] = {}

    def see(self, entries: Iterable[Entry], now: float) -> None:
        """Take note of what the hosts say, the own one left out."""
        fresh: dict[str, tuple[Entry, float]] = {}
        for entry in entries:
            if entry.key == self._own:
                continue
            known = self._seen.get(entry.key)
            if known is None:
                fresh[entry.key] = (entry, float("-inf"))
            else:
                fresh[entry.key] = known if known[0].version == entry.version else (entry, now)
        self._seen = fresh

    def living(self, now: float) -> Iterator[Host]:
        """Yield those that live; what cannot be read is no host."""
        for entry, seen_at in self._seen.values():
            if now - seen_at <= self._patience:
                with suppress(ValueError):
                    yield read_host(entry.key, entry.value)

    def any_lives(self, now: float) -> bool:
        """Tell whether another host lives."""
        return any(True for _ in self.living(now))

    def leads(self, name: str, now: float) -> bool:
        """Tell whether another host of that name lives and leads, or is about to."""
        ways = (State.FENCE, State.SETTLE, State.LEAD)
        return any(one.name == name and one.state in ways for one in self.living(now))

    def any_could_lead(self, now: float) -> bool:
        """Tell whether another host stands by, sees live prices and is answered by Kraken."""
        return any(True for _ in self._candidates(now))

    def hear_of_silence(self, now: float) -> bool:
        """Tell whether another host that leads says that Kraken does not answer it. Any thread."""
        return any(one.is_cut_off and one.state != State.FOLLOW for one in self.living(now))

    def _candidates(self, now: float) -> Iterator[Host]:
        for host in self.living(now):
            if host.state == State.FOLLOW and not (host.is_blind or host.is_cut_off):
                yield host

    def before(self, name: str, account: str, now: float) -> int:
        """Return how many living hosts that could take over come before one of that name.

        The order is another one for each account, and every host finds the same: so the accounts
        of a host that died do not all go to the fastest of those that are left.
        """
        own = _weight(account, name)
        return sum(_weight(account, one.name) > own for one in self._candidates(now))


def _weight(account: str, name: str) -> bytes:
    """Return what decides between hosts: the same everywhere, and by chance."""
    return hashlib.sha256(f"{account}\n{name}".encode()).digest()
