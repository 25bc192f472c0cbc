"""`ttslo status --store URL`: who leads which account, and what is not settled.

It asks the store alone, for some seconds: who lives is seen by signs of life and not by what was
written once. What it must never do: call an account led because a host was its leader once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from ttslo_app.cluster.copy import Copy
from ttslo_app.cluster.records import Keys, read_host, read_lead
from ttslo_app.cluster.store import Entry, Store
from ttslo_app.face.snapshot import BLIND, NOT_RUNNING, RUNNING
from ttslo_app.hosts import store_words as words
from ttslo_app.hosts import stores
from ttslo_app.hosts.stores import LIST_PATIENCE, NotMade, signs_of_life
from ttslo_app.orders.ledger import UnreadableLife, read_life
from ttslo_app.terminal import Parser, put


@dataclass(frozen=True, slots=True)
class HostSeen:
    """A host of an account.

    Attributes:
        state: What it said of itself last.
        is_alive: Whether it gave a sign of life while it was looked at.
        is_blind: Whether it sees no live price.
        is_cut_off: Whether Kraken answers none of its calls.
    """

    name: str
    state: str
    is_alive: bool
    is_blind: bool
    is_cut_off: bool


@dataclass(frozen=True, slots=True)
class AccountSeen:
    """An account, as the store tells of it.

    Attributes:
        leader: Who leads by the store; empty for nobody.
        since: When that began, by the leader's own clock, ISO UTC.
        epoch: How many have led so far.
        is_led: Whether the leader gave a sign of life while it was looked at.
        is_halted: Whether a host has found that nobody may lead it any more.
        rows: How many rows there are.
        unsettled: The rows whose order may stand at Kraken without anybody's knowing.
        hosts: Its hosts.
    """

    name: str
    leader: str
    since: str
    epoch: int
    is_led: bool
    is_halted: bool
    rows: int
    unsettled: tuple[str, ...]
    hosts: tuple[HostSeen, ...] = field(default=())

    @property
    def code(self) -> int:
        """What the command ends with for this account."""
        leading = [host for host in self.hosts if host.name == self.leader]
        if not self.is_led:
            return NOT_RUNNING
        lacks = (one.is_blind or one.is_cut_off or one.state != "leads" for one in leading)
        return BLIND if any(lacks) else RUNNING


def parser() -> Parser:
    """Return the flags of the command."""
    made = Parser(
        prog="ttslo status --store",
        description="Tells who leads which account of a shared store.",
        epilog="Exit codes: 0 each account is led by a host that sees, 3 one is not, or the store "
        "does not answer, 4 one is led and could miss a crossing, 1 there is no such cluster, 2 a "
        "flag is wrong.",
    )
    stores.add_flags(made, with_account=False)
    made.add_argument("--json", action="store_true", help="tell it as one JSON object")
    return made


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit code. Blocks for some seconds."""
    made = parser()
    options = made.parse_args(argv)

    def work() -> int:
        with stores.opened(options) as (store, keys):
            found = look(store, keys)
        codes = {one.code for one in found}
        code = next((one for one in (NOT_RUNNING, BLIND) if one in codes), RUNNING)
        if options.json:
            told = {"cluster": keys.cluster, "code": code, "accounts": [asdict(a) for a in found]}
            put(json.dumps(told))
        else:
            for account in found:
                put("\n".join(words.account_lines(account)))
        return code

    return stores.run(made, work)


def look(store: Store, keys: Keys) -> list[AccountSeen]:
    """Return what there is to tell of each account. Blocks for some seconds.

    Raises:
        NotMade: If there is no such cluster.
        StoreError: If the store does not answer.
    """
    if stores.cluster_id(store, keys) is None:
        raise NotMade(words.no_cluster(keys.cluster))
    entries, version = store.list(keys.accounts, patience=LIST_PATIENCE)
    accounts = [Keys(keys.cluster, name) for name in stores.account_names(keys, entries)]
    if not accounts:
        raise NotMade(words.no_accounts(keys.cluster))
    alive = signs_of_life(store, accounts)
    return [_account(one, entries, version, alive) for one in accounts]


def _account(keys: Keys, entries: Sequence[Entry], version: int, alive: set[str]) -> AccountSeen:
    copy = Copy(keys)
    copy.load([entry for entry in entries if entry.key.startswith(keys.base)], version)
    entry = copy.entry(keys.lead)
    try:
        assert entry is not None  # the account has its name by it
        lead = read_lead(entry.key, entry.value)
    except ValueError as error:
        raise NotMade(str(error)) from None
    is_halted = copy.entry(keys.halt) is not None
    return AccountSeen(
        keys.account,
        lead.host,
        lead.since,
        lead.epoch,
        is_led=bool(lead.host) and keys.beat in alive and not is_halted,
        is_halted=is_halted,
        rows=len(copy.rows()),
        unsettled=tuple(sorted(_unsettled(copy, keys))),
        hosts=tuple(_hosts(copy.below(keys.hosts), alive)),
    )


def _unsettled(copy: Copy, keys: Keys) -> list[str]:
    found = []
    for rule_id, cells in stores.lives_in(copy, keys).items():
        try:
            if read_life(rule_id, cells).is_unsettled:
                found.append(rule_id)
        except UnreadableLife:
            found.append(rule_id)
    return found


def _hosts(entries: Sequence[Entry], alive: set[str]) -> list[HostSeen]:
    found = []
    for entry in entries:
        try:
            host = read_host(entry.key, entry.value)
        except ValueError as error:
            raise NotMade(str(error)) from None
        is_alive, lacks = entry.key in alive, (host.is_blind, host.is_cut_off)
        found.append(HostSeen(host.name, host.state, is_alive, *lacks))
    return sorted(found, key=lambda host: host.name)
