"""Every sentence about a shared store and about who leads.

Pure. Those in capitals and those that return text end an error's sentence; the others are said as
they are. What it must never do: show a password, or call a change refused that may have been done.
"""

from __future__ import annotations

from krakenlink.foreign import shown
from krakenlink.numbers import readable

LOGIN_OLD = "the store does not know this login any more: a new one is asked for"
LOGIN_REFUSED = (
    "the store refuses the name or password: correct TTSLO_STORE_USER and TTSLO_STORE_PASSWORD"
)
NO_LOGIN = "the store wants a login: set TTSLO_STORE_USER and TTSLO_STORE_PASSWORD"
NO_USERS = (
    "the store knows no users, so it lets in whoever reaches it: turn that on with `etcdctl auth "
    "enable`, or unset TTSLO_STORE_USER and TTSLO_STORE_PASSWORD"
)
NO_RIGHT = (
    "the store does not let this user do that: give its role the right to read and write all keys "
    "that begin with /ttslo/ and the cluster's name"
)
COMMON_NAME = (
    "the store refuses the certificate of TTSLO_STORE_CERT because it bears a common name, which "
    "could pass for a user: make one without CN, as STANDBY.md shows"
)
NO_SPACE = (
    "the store is full and takes nothing more: free it with `etcdctl compact`, `etcdctl defrag` "
    "and `etcdctl alarm disarm`, and set --auto-compaction-retention=1h"
)
CORRUPT = "the store's nodes do not agree on what they hold: restore it from a backup"
TOO_LARGE = "the store takes no change of this size: start etcd with its usual limits"
COMPACTED = "what was asked for has been thrown away meanwhile: ask anew"
TWICE = "a change names one key twice"
PAST_GONE = (
    "others have changed the same since, and the store has thrown away what was before: whether "
    "this change was done cannot be known"
)
BUSY = "the store has too much to do"
NO_QUORUM = "no majority of the store's nodes answers: see to it that more than half of them run"
NOT_READY = "this node of the store is not ready"
SILENT = "nothing has come from the store for a while, and it does not answer either"


def not_etcd(status: int, kind: str) -> str:
    """Return that it was not etcd that has answered."""
    seen = shown(kind.partition(";")[0] or "no type", 40)
    return (
        f"something answered that is not etcd ({status}, {seen}): correct the address, and leave "
        "out proxies between"
    )


def odd(why: str) -> str:
    """Return that an answer makes no sense."""
    return f"an answer that etcd does not give ({shown(why, 80)}): correct the address"


def other(said: str) -> str:
    """Return etcd's own words, where none of ours are known for them."""
    return f"the store says: {shown(said, 160)}"


def cannot_connect(why: str) -> str:
    """Return that a node cannot be reached at all."""
    return f"cannot connect{f' ({why})' if why else ''}"


def not_trusted(why: str) -> str:
    """Return that TLS has failed."""
    return (
        f"its certificate is not to be trusted ({shown(why, 120)}): name the file of its authority "
        "in TTSLO_STORE_CA, and one of its certificate's names in the address"
    )


def late() -> str:
    """Return that a node has not answered in time."""
    return "no answer in time"


def broken_off(why: str) -> str:
    """Return that a connection has ended before the answer."""
    return f"broke off without an answer{f' ({why})' if why else ''}"


def unreachable(what: str, seconds: float, told: list[str]) -> str:
    """Return that no node has answered, and what each of them was good for."""
    return (
        f"the store has not {what} within {readable(str(round(seconds, 1)))} s: {'; '.join(told)}"
    )


def unknown(text: str) -> str:
    """Return that a refused change may have been done by an earlier try."""
    return f"{text}. An earlier try may have been done"


def no_file(variable: str, path: str, why: object) -> str:
    """Return that a file of certificates cannot be used."""
    return f"{variable} names {shown(path)}, which cannot be used ({why}): correct it or unset it"
