"""Every sentence of a run that shares its account with other hosts, beyond who leads.

Pure: a function for each sentence.
"""

from __future__ import annotations

from krakenlink.foreign import shown
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


def no_key() -> str:
    """Return that a host without a trading key must not lead."""
    return (
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


def starter_is_gone() -> Sentence:
    """Say that the program ends because the one that started it has died."""
    return Sentence(
        Kind.STANDBY,
        "WARNING",
        "Who started this program is gone, or has let it go: it ends in good order and gives back "
        "a lead that it has. Start `ttslo --accounts` anew",
    )
