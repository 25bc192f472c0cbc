"""Every sentence of a host that shares its account with others or has several, beyond who leads.

Pure: a function for each sentence, a constant where it is always the same. What it must never do:
show a key.
"""

from __future__ import annotations

from krakenlink.foreign import shown
from krakenlink.numbers import readable
from ttslo_app.messages import Kind, Sentence


def stands_beside(flag: str) -> str:
    """Return why a flag makes no sense for one of several hosts."""
    return (
        f"--store has rows and lives of its own and does not use {flag}; leave one of the two out. "
        "Rows go there by `ttslo rows push`"
    )


def needs_store(flag: str) -> str:
    """Return that a flag is for hosts that share a store."""
    return f"{flag} is for hosts that share a store: add --store, or leave it out"


NO_KEY = (
    "a host that leads places orders: set KRAKEN_API_KEY_RW and KRAKEN_API_SECRET_RW of the "
    "key that `ttslo store init` was told of"
)


def host(name: str, account: str, store: str) -> Sentence:
    """Say which host this is."""
    return Sentence(
        Kind.STANDBY,
        "INFO",
        f"Host {shown(name, 50)} of account {shown(account, 40)} in {shown(store, 60)}",
    )


STARTER_IS_GONE = Sentence(
    Kind.STANDBY,
    "WARNING",
    "Who started this program is gone, or has let it go: it ends in good order and gives back "
    "a lead that it has. Start `ttslo --accounts` anew",
)


def of_one(flag: str) -> str:
    """Return why a flag makes no sense for several programs."""
    return (
        f"{shown(flag, 40)} is for one account: start `ttslo --store URL --account NAME` for it, "
        "or leave it out"
    )


SAME_NAMES = (
    "--accounts names two whose keys would have the same name in the environment: call one of "
    "them something else"
)


def account_without_key(account: str, tail: str) -> str:
    """Return that an account has no key here."""
    return (
        f"{account}: there is no key for it here, so it is left to others. Set "
        f"KRAKEN_API_KEY_RW__{tail} and KRAKEN_API_SECRET_RW__{tail}"
    )


NO_KEY_AT_ALL = "there is a key here for none of the accounts, so there is nothing to run"


def ended(account: str, code: int, seconds: float) -> str:
    """Return that a process has ended by itself."""
    wait = readable(str(round(seconds, 1)))
    return f"{account}: its program ended with {code}, and begins anew in {wait} s"


def not_started(account: str, error: Exception) -> str:
    """Return that a process cannot be had."""
    return f"{account}: its program cannot be started: {shown(str(error), 200)}. Tried again"


def ended_hard(account: str) -> str:
    """Return that a process did not end when it was asked to."""
    return (
        f"{account}: its program did not end, and was killed. What was under way is settled later"
    )
