"""What a host puts into the store about who leads, and what each of these changes rests on.

Pure: moments and words of chance come in. What must never happen here: that a host writes over the
entry of another one which it has not seen.
"""

from __future__ import annotations

from dataclasses import dataclass

from ttslo_app.cluster.records import Host, Keys, Lead, dumped, host_text, lead_text
from ttslo_app.cluster.store import Change


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
