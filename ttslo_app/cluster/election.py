"""What hosts put into the store about who leads and lives, and which others live by that.

Pure: moments and words of chance come in. A host lives while its word changes, seen on this host's
own clock; no two clocks are compared. What must never happen here: that a host writes over the
entry of another one which it has not seen, or takes for alive one that died before it started.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from ttslo_app.cluster.leadership import State
from ttslo_app.cluster.records import Host, Keys, Lead, dumped, host_text, lead_text, read_host
from ttslo_app.cluster.store import Change, Entry


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
