"""A shared store as the commands meet it: its flags and settings, what was made in it, who lives.

What it must never do: write into a store of another format, or into an account that nobody made, or
call a host alive because of what the store has kept of it.
"""

from __future__ import annotations

import argparse
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager

import creds
from kraken_api import KrakenAPI
from krakenlink.foreign import shown
from krakenlink.machine import feed_clock
from ttslo_app.cluster.address import Access
from ttslo_app.cluster.copy import Copy
from ttslo_app.cluster.etcd import EtcdStore, store_from
from ttslo_app.cluster.records import Keys, Lead, read_cells, read_cluster, read_lead
from ttslo_app.cluster.store import Entry, Store, StoreUnreachable
from ttslo_app.hosts import store_words as words
from ttslo_app.signs.telling import settings_of
from ttslo_app.terminal import ENV_FILE, Parser, env_file, put_trouble

# Seconds that a command waits for one answer of the store: an election there takes up to three.
PATIENCE = 8.0
# Of a page after page; 100,000 rows take about five.
LIST_PATIENCE = 60.0
DONE, NOT_DONE, WRONG, UNREACHABLE = 0, 1, 2, 3
CODES = "Exit codes: 0 done, 1 not done and why, 2 a flag is wrong, 3 the store does not answer."
_LONGEST = 2000
# A sign of life comes twice a second; a machine that is busy may be late with some.
_PATIENT = 2.5
_LOOK = 0.1


def add_flags(made: argparse.ArgumentParser, *, with_account: bool = True) -> None:
    """Add the flags that name a store."""
    made.add_argument(
        "--store",
        required=True,
        metavar="URL",
        help="etcds://A:2379,B:2379,C:2379/NAME; etcd: on this machine. A login stands in "
        "TTSLO_STORE_USER and TTSLO_STORE_PASSWORD, files of certificates in TTSLO_STORE_CA, "
        "TTSLO_STORE_CERT and TTSLO_STORE_KEY",
    )
    if with_account:
        made.add_argument(
            "--account",
            default="main",
            metavar="NAME",
            help="the account, which is one trading key (default: %(default)s)",
        )
    made.add_argument("--env-file", metavar="FILE", help=f"keys and logins (default: {ENV_FILE})")


def access_from(env_file: str) -> Access:
    """Return who the environment and a file say that we are. May read files."""

    def one(name: str) -> str:
        return next(settings_of(name, env_file), "").strip()

    def plain(name: str) -> str:
        return creds.get_setting(name, env_file) or ""

    return Access(
        plain("TTSLO_STORE_USER"),
        one("TTSLO_STORE_PASSWORD"),
        *map(plain, ("TTSLO_STORE_CA", "TTSLO_STORE_CERT", "TTSLO_STORE_KEY")),
    )


@contextmanager
def opened(options: argparse.Namespace) -> Iterator[tuple[EtcdStore, Keys]]:
    """Open the store that the flags name; nothing is asked of it.

    Raises:
        ValueError: If the address, the account or the access is none.
    """
    store, cluster = store_from(options.store, access_from(env_file(options)))
    with closing(store):
        yield store, Keys(cluster, getattr(options, "account", "main"))


def run(made: Parser, work: Callable[[], int]) -> int:
    """Do a command's work, and say in a sentence why it cannot be done. Blocks."""
    try:
        return work()
    except StoreUnreachable as error:
        put_trouble(words.cannot(error))
        return UNREACHABLE
    except (NotMade, OSError) as error:  # of which any other word of the store is one
        put_trouble(words.cannot(error))
        return NOT_DONE
    except ValueError as error:
        made.refuse(shown(str(error), _LONGEST))


class NotMade(Exception):
    """What is to be used was not made in the store, or by another version."""


def cluster_id(store: Store, keys: Keys) -> str | None:
    """Return the id of the cluster; None where it was not made. Blocks.

    Raises:
        NotMade: If it is of another format.
        StoreError: If the store does not answer.
    """
    found = store.get(keys.format, patience=PATIENCE)
    if found is None:
        return None
    try:
        return read_cluster(found.key, found.value)
    except ValueError as error:
        raise NotMade(str(error)) from None


def lead_of(store: Store, keys: Keys) -> tuple[Lead, int]:
    """Return who leads an account that was made, and the version of that. Blocks.

    Raises:
        NotMade: If cluster or account were not made.
        StoreError: If the store does not answer.
    """
    if cluster_id(store, keys) is None:
        raise NotMade(words.no_cluster(keys.cluster))
    found = store.get(keys.lead, patience=PATIENCE)
    if found is None:
        raise NotMade(words.no_account(keys.cluster, keys.account))
    try:
        return read_lead(found.key, found.value), found.version
    except ValueError as error:
        raise NotMade(str(error)) from None


def copy_of(store: Store, keys: Keys) -> Copy:
    """Return all that the store has of an account that was made. Blocks.

    Raises:
        NotMade: If cluster or account were not made.
        StoreError: If the store does not answer.
    """
    lead_of(store, keys)
    copy = Copy(keys)
    copy.load(*store.list(keys.base, patience=LIST_PATIENCE))
    return copy


def lives_in(copy: Copy, keys: Keys) -> dict[str, dict[str, str]]:
    """Return the cells of all lives by id.

    Raises:
        NotMade: If one cannot be read: a hole would look like a row that never fired.
    """
    try:
        entries = copy.below(keys.lives)
        return {e.key.removeprefix(keys.lives): read_cells(e.key, e.value) for e in entries}
    except ValueError as error:
        raise NotMade(words.unreadable_store(error)) from None


def accounts_in(store: Store, keys: Keys) -> list[str]:
    """Return the accounts of a cluster that were made. Blocks.

    Raises:
        NotMade: If there is no such cluster, or no account in it.
        StoreError: If the store does not answer.
    """
    if cluster_id(store, keys) is None:
        raise NotMade(words.no_cluster(keys.cluster))
    entries, _ = store.list(keys.accounts, patience=LIST_PATIENCE)
    found = account_names(keys, entries)
    if not found:
        raise NotMade(words.no_accounts(keys.cluster))
    return found


def account_names(keys: Keys, entries: Sequence[Entry]) -> list[str]:
    """Return the accounts that were made: those of which it stands written who leads."""
    tails = (entry.key.removeprefix(keys.accounts).split("/") for entry in entries)
    return [tail[0] for tail in tails if tail[1:] == ["lead"]]


# --- the keys of several accounts --------------------------------------------------------------

_OF_ACCOUNT = (
    *("KRAKEN_API_KEY_RW", "KRAKEN_API_SECRET_RW"),
    *("KRAKEN_API_KEY", "KRAKEN_API_SECRET"),
)


def tail_of(account: str) -> str:
    """Return what the names of an account's keys end in, behind two underscores."""
    return re.sub(r"[^A-Z0-9]", "_", account.upper())


def trading_of(account: str, env_file: str) -> KrakenAPI:
    """Return the client whose key is that of an account; one without a key where there is none.

    Its own names come first, then those of a program that has one account. May read files.
    """
    own = environment_of(account, env_file)
    if own is None:
        return KrakenAPI.from_env(readwrite=True, env_file=env_file, use_websocket=False)
    key, secret = (own[name] for name in _OF_ACCOUNT[:2])
    return KrakenAPI(key, secret, use_websocket=False)


def environment_of(account: str, env_file: str) -> dict[str, str] | None:
    """Return the environment of an account's program; None where it has no trading key here.

    It has the keys of that account under their usual names, and those of no other. May read files.
    """
    tail = tail_of(account)
    found = {
        name: value
        for name in _OF_ACCOUNT
        if (value := next(settings_of(f"{name}__{tail}", env_file), "").strip())
    }
    if not all(name in found for name in _OF_ACCOUNT[:2]):
        return None
    if not all(name in found for name in _OF_ACCOUNT[2:]):
        # Else the .env file would answer, with the key of whichever account that is.
        found |= {
            read: found[trade] for trade, read in zip(_OF_ACCOUNT[:2], _OF_ACCOUNT[2:], strict=True)
        }
    own = {name for name in os.environ if name.upper().startswith(_OF_ACCOUNT)}
    return {**{name: os.environ[name] for name in os.environ.keys() - own}, **found}


def signs_of_life(store: Store, accounts: Sequence[Keys]) -> set[str]:
    """Return the keys under which something was told since this call began. Blocks.

    By observation, as the hosts themselves do it; no clock of another machine is looked at.

    Args:
        store: Where they are.
        accounts: Whose beats and hosts are looked at.
    """
    ends_at, first = feed_clock() + _PATIENT, _versions(store, accounts)
    alive: set[str] = set()
    while feed_clock() < ends_at and not alive >= first.keys():
        time.sleep(_LOOK)
        now = _versions(store, accounts)
        alive |= {key for key, version in now.items() if first.get(key) != version}
    return alive


def is_led(store: Store, keys: Keys) -> bool:
    """Tell whether whoever leads an account lives. Blocks for up to some seconds."""
    return keys.beat in signs_of_life(store, [keys])


def _versions(store: Store, accounts: Sequence[Keys]) -> dict[str, int]:
    found: dict[str, int] = {}
    for keys in accounts:
        beat = store.get(keys.beat, patience=PATIENCE)
        hosts, _ = store.list(keys.hosts, patience=PATIENCE)
        found |= {entry.key: entry.version for entry in ([beat] if beat else []) + list(hosts)}
    return found
