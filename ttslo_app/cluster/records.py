"""What the shared store holds: its keys, and its values as text.

Below `/ttslo/<cluster>/` and the name of an account lies all that is known of one trading key; API
keys themselves never lie there. Every value is JSON with a word of chance, its token, which tells
one writing of it from every other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

# The format of all below; a program that knows another one touches nothing.
FORMAT = "1"
# Nonces of the first epoch count from here, far above any clock in nanoseconds; an epoch has room
# for four billion calls, and below 2**63 there is room for a billion epochs.
NONCE_BASE, EPOCH_STEP = 4 * 10**18, 2**32
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one account of a cluster.

    Raises:
        ValueError: If a name could be mistaken for another part of a key.
    """

    cluster: str
    account: str = "main"

    def __post_init__(self) -> None:
        for what, name in (("store", self.cluster), ("account", self.account)):
            if not _NAME.fullmatch(name):
                raise ValueError(
                    f"the {what}'s name {name!r} is none: 1 to 63 letters, digits, . _ or -, "
                    "of which a letter or digit comes first"
                )

    @property
    def root(self) -> str:
        """What all keys of the cluster begin with."""
        return f"/ttslo/{self.cluster}/"

    @property
    def format(self) -> str:
        """Where the format and the cluster's own id stand."""
        return f"{self.root}format"

    @property
    def accounts(self) -> str:
        """What the keys of all accounts begin with."""
        return f"{self.root}account/"

    @property
    def base(self) -> str:
        """What all keys of the account begin with."""
        return f"{self.accounts}{self.account}/"

    @property
    def lead(self) -> str:
        """Who leads: changes at a takeover alone, and its version is the fence."""
        return f"{self.base}lead"

    @property
    def beat(self) -> str:
        """Put again and again by who leads."""
        return f"{self.base}beat"

    @property
    def handover(self) -> str:
        """Put by a person who wants another host to lead."""
        return f"{self.base}handover"

    @property
    def halt(self) -> str:
        """Why nobody may lead the account any more; nothing while all is well."""
        return f"{self.base}halt"

    @property
    def hosts(self) -> str:
        """What the keys of the hosts begin with that lead the account or stand by for it."""
        return f"{self.base}host/"

    @property
    def rows(self) -> str:
        """What the keys of the rows begin with."""
        return f"{self.base}row/"

    @property
    def lives(self) -> str:
        """What the keys of the lives begin with."""
        return f"{self.base}life/"

    @property
    def marks(self) -> str:
        """Where it stands how far prices were seen."""
        return f"{self.base}marks"

    def row(self, rule_id: str) -> str:
        """Return the key of a row: the cells of config.csv, as typed."""
        return self.rows + rule_id

    def life(self, rule_id: str) -> str:
        """Return the key of a life: the cells of state.csv."""
        return self.lives + rule_id

    def host(self, name: str) -> str:
        """Return the key under which a host tells that it is there."""
        return self.hosts + name


@dataclass(frozen=True, slots=True)
class Lead:
    """Who leads an account.

    Attributes:
        epoch: How many have led before and with this one; nonces follow from it alone.
        host: Its name; empty while nobody leads, as after a hand-over.
        since: When it began by its own clock, ISO UTC; for people.
        token: What tells this writing from every other.
    """

    epoch: int
    host: str
    since: str
    token: str

    @property
    def nonce_base(self) -> int:
        """What the nonces of this epoch count up from."""
        return NONCE_BASE + self.epoch * EPOCH_STEP


@dataclass(frozen=True, slots=True)
class Changed:
    """What some news have changed, by id."""

    rows: frozenset[str] = frozenset()
    lives: frozenset[str] = frozenset()


def dumped(cells: Mapping[str, Any]) -> bytes:
    """Return a value of the store."""
    return json.dumps(cells, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def loaded(key: str, value: bytes) -> dict[str, Any]:
    """Return what a value of the store says.

    Raises:
        ValueError: If nobody of ours has written that; names the key.
    """
    try:
        cells = json.loads(value)
    except ValueError as error:
        raise ValueError(f"{key} in the store cannot be read: {error}") from None
    if not isinstance(cells, dict):
        raise ValueError(f"{key} in the store is no set of cells")
    return cells


def cluster_text(cluster_id: str, token: str) -> bytes:
    """Return what a store says of itself: its format, and the id that it was given when made."""
    return dumped({"format": FORMAT, "id": cluster_id, "token": token})


def read_cluster(key: str, value: bytes) -> str:
    """Return the id that a store was given when it was made.

    Raises:
        ValueError: If it is of another format, or nobody of ours has written that; names the key.
    """
    cells = loaded(key, value)
    if cells.get("format") != FORMAT or not isinstance(cells.get("id"), str):
        raise ValueError(
            f"{key} in the store is of format {str(cells.get('format'))[:20]!r} and this version "
            f"knows {FORMAT!r} alone: run the version that made the store, or newer"
        )
    return str(cells["id"])


def lead_text(lead: Lead) -> bytes:
    """Return what the store holds of who leads."""
    return dumped(asdict(lead))


def read_lead(key: str, value: bytes) -> Lead:
    """Return who leads.

    Raises:
        ValueError: If nobody of ours has written that; names the key.
    """
    cells = loaded(key, value)
    epoch = cells.get("epoch")
    rest = [one for n in ("host", "since", "token") if isinstance(one := cells.get(n), str)]
    if type(epoch) is not int or epoch < 0 or len(rest) < 3:
        raise ValueError(f"{key} in the store does not say who leads")
    return Lead(epoch, *rest)


def row_text(cells: Mapping[str, str], place: int, token: str) -> bytes:
    """Return what the store holds of a row: its cells as typed, and its place among the rows."""
    return dumped({"cells": dict(cells), "place": place, "token": token})


@dataclass(frozen=True, slots=True)
class Host:
    """What a host says of itself, again and again.

    Attributes:
        state: Whether it leads or follows; a word of `leadership.State`.
        is_blind: Whether it sees no live price.
        is_cut_off: Whether Kraken answers none of its calls.
    """

    name: str
    state: str
    is_blind: bool
    is_cut_off: bool = False


def host_text(host: Host, token: str) -> bytes:
    """Return what the store holds of a host."""
    return dumped({**asdict(host), "token": token})


def read_host(key: str, value: bytes) -> Host:
    """Return what a host said of itself.

    Raises:
        ValueError: If nobody of ours has written that; names the key.
    """
    cells = loaded(key, value)
    name, state, *rest = (cells.get(n) for n in ("name", "state", "is_blind"))
    rest.append(cells.get("is_cut_off", False))  # earlier versions do not say
    flags = [one for one in rest if type(one) is bool]
    if not isinstance(name, str) or not isinstance(state, str) or len(flags) < len(rest):
        raise ValueError(f"{key} in the store does not say how a host is")
    return Host(name, state, *flags)


def life_text(cells: Mapping[str, str], token: str) -> bytes:
    """Return what the store holds of a life: its cells as in state.csv."""
    return dumped({"cells": dict(cells), "token": token})


def read_cells(key: str, value: bytes) -> dict[str, str]:
    """Return the cells of a row or a life.

    Raises:
        ValueError: If nobody of ours has written that; names the key.
    """
    cells = loaded(key, value).get("cells")
    if not isinstance(cells, dict) or not all(isinstance(one, str) for one in cells.values()):
        raise ValueError(f"{key} in the store holds no cells")
    return cells
