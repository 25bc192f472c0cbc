"""Where a shared store is, and who we are to it.

Needs no network. An address never holds a login: addresses are shown and logged. What it must never
do: let a password cross a network in plain text, or rows and lives without a person's word.
"""

from __future__ import annotations

import re
import urllib.parse
from dataclasses import dataclass, field

from krakenlink.foreign import shown, without_login
from krakenlink.machine import is_loopback
from ttslo_app.cluster.records import Keys

PORT = 2379
"""etcd's own port for clients."""

_CURE = "write etcds://HOST:2379,HOST:2379,HOST:2379/NAME, or etcd: for this machine"
# What is known behind the question mark, with whatever value.
_CONSENT = "insecure"
_HOST = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class Access:
    """Who we are to a store. Never shown.

    Attributes:
        user: The name that the store knows; empty where it knows no users.
        password: Of that user.
        ca: File of the certificates that the store's own is signed by; empty for the usual ones.
        cert: File of our certificate; empty where the store wants none.
        key: File of its key; empty where the certificate's file holds it.
    """

    user: str = ""
    password: str = field(default="", repr=False)
    ca: str = ""
    cert: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """A cluster of ours in a store.

    Attributes:
        roots: The address of each of the store's nodes, as `https://a:2379`.
        cluster: The name that the store's keys begin with.
    """

    roots: tuple[str, ...]
    cluster: str

    def __str__(self) -> str:
        scheme = "etcds" if self.is_tls else "etcd"
        return f"{scheme}://{','.join(r.partition('://')[2] for r in self.roots)}/{self.cluster}"

    @property
    def is_tls(self) -> bool:
        """Whether all that is said to it is enciphered."""
        return self.roots[0].startswith("https:")

    @property
    def is_here(self) -> bool:
        """Whether all of its nodes are on this machine."""
        hosts = (urllib.parse.urlsplit(root).hostname for root in self.roots)
        return all(is_loopback(host or "") for host in hosts)


def place_of(url: str) -> Place:
    """Return the place that an address names.

    Args:
        url: `etcds://a:2379,b:2379,c:2379/NAME`; `etcd:` speaks without TLS, which is for this
            machine alone, or for whoever adds `?insecure`.

    Raises:
        ValueError: If it is no such address; the sentence shows no login.
    """
    seen = shown(repr(without_login(url)), 160)
    scheme, _, rest = url.partition("://")
    path, _, query = rest.partition("?")
    hosts, _, name = path.partition("/")
    if "@" in url:
        raise ValueError(
            "the store's address must not contain a name or password: set TTSLO_STORE_USER and "
            "TTSLO_STORE_PASSWORD in the environment"
        )
    if scheme not in ("etcd", "etcds") or not hosts or not name:
        raise ValueError(f"{seen} is no address of a store; {_CURE}")
    if query not in ("", _CONSENT):
        raise ValueError(f"{seen} asks for what there is not; only ?{_CONSENT} is known")
    cluster = Keys(name.removesuffix("/")).cluster
    web = "https" if scheme == "etcds" else "http"
    place = Place(tuple(_root(web, host, seen) for host in hosts.split(",")), cluster)
    if len(set(place.roots)) < len(place.roots):
        raise ValueError(f"{seen} names one host twice; {_CURE}")
    if not (place.is_tls or place.is_here or query == _CONSENT):
        raise ValueError(
            f"{seen} is refused: without TLS anybody between could change rows and orders. Write "
            f"etcds:, use etcd: for this machine only, or add ?{_CONSENT} in a network of your own"
        )
    return place


def _root(web: str, host: str, seen: str) -> str:
    found = _HOST.fullmatch(host)
    port = int(found[2] or PORT) if found else 0
    if found is None or not 0 < port < 65536:
        raise ValueError(f"{seen} is no address of a store: {shown(host, 60)!r} is none; {_CURE}")
    return f"{web}://{found[1].lower()}:{port}"


def check_access(place: Place, access: Access) -> None:
    """See whether `access` may be used at `place`.

    Raises:
        ValueError: If it may not, or is half.
    """
    if bool(access.user) != bool(access.password):
        raise ValueError("set both TTSLO_STORE_USER and TTSLO_STORE_PASSWORD, or neither")
    if access.user and not (place.is_tls or place.is_here):
        raise ValueError(
            "a password is not sent without TLS beyond this machine: write etcds: in the store's "
            "address, or unset TTSLO_STORE_USER and TTSLO_STORE_PASSWORD"
        )
    if access.key and not access.cert:
        raise ValueError("TTSLO_STORE_KEY is of no use without TTSLO_STORE_CERT: set both")
    if (access.ca or access.cert) and not place.is_tls:
        raise ValueError(
            "TTSLO_STORE_CA and TTSLO_STORE_CERT are for TLS: write etcds: in the store's address"
        )
