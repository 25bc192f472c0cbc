"""Who may ask for the live page, by name, origin and token, and what he may do there.

Pure. A page of somebody else's, open in the same browser, can send requests here; these checks let
none of them be answered. What is to be done is asked first, and answered with a sentence and a
code; only the code of that very question, shown within half a minute, does it. What it must never
do: compare a secret in a time that tells of it, take a code twice, or one for another row than was
read in the sentence.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ttslo_app.face.web import words

LEAST_TOKEN = 16
COOKIE = "ttslo_page"
_HOST = re.compile(r"(?P<name>\[[0-9a-fA-F:.]+\]|[^:\s\[\]@/\\]+)(:\d{1,5})?", re.ASCII)
_TOKEN = re.compile(r"[!-~]+", re.ASCII)
# Of another site, or of another host of the same one.
_FOREIGN_SITES = frozenset({"cross-site", "same-site"})
VERBS = ("arm", "disarm", "fire", "cancel")
# A page of another site cannot set this header without being asked about first, and is refused.
HEADER = "X-TTSLO"
# Seconds for a person to read what will happen; and so many questions may be open.
_PATIENCE, _MOST = 30.0, 16
_LONGEST = 200


class PageUnavailable(ValueError):
    """The page cannot be served as asked; the sentence says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Request:
    """The part of a request that tells who asks. Names of headers are in lower case.

    Attributes:
        path: Without its query.
        hosts: Each `Host`.
        origins: Each `Origin`.
        headers: The others, the last of a name.
        cookie: The page's own cookie; empty for none.
    """

    path: str
    hosts: Sequence[str]
    origins: Sequence[str]
    headers: Mapping[str, str]
    cookie: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a request is not answered."""

    status: int
    text: str


@dataclass(frozen=True, slots=True)
class Guard:
    """Decides about requests.

    Attributes:
        host: As it was asked to listen; other names than this and the loopback's are foreign.
        is_tls: Whether it is reached by https.
        token: What a reader must know; empty where nobody need.
    """

    host: str = "127.0.0.1"
    is_tls: bool = False
    token: str = ""

    def check(self, request: Request) -> Refused | None:
        """Return why a request is refused; None for one that may be answered."""
        if len(request.hosts) != 1 or not self._is_own(request.hosts[0]):
            return Refused(403, words.FOREIGN_HOST)
        scheme = "https" if self.is_tls else "http"
        own = f"{scheme}://{request.hosts[0].strip()}".lower()
        if any(origin.strip().lower() != own for origin in request.origins):
            return Refused(403, words.FOREIGN_ORIGIN)
        # A link from another page may lead to this one; what it shows none of them can read.
        site = request.headers.get("sec-fetch-site", "")
        if site in _FOREIGN_SITES and request.path != "/":
            return Refused(403, words.FOREIGN_ORIGIN)
        return None

    def _is_own(self, text: str) -> bool:
        found = _HOST.fullmatch(text.strip())
        if found is None:
            return False
        name = found["name"].strip("[]").rstrip(".").lower()
        if name == "localhost" or is_loopback(name):
            return True
        # Where it listens everywhere nobody knows its names; its certificate says who it is, and
        # the cookie goes to the name alone that it was got from.
        return name == self.host.lower() or (self.is_tls and is_everywhere(self.host))

    def is_known(self, request: Request) -> bool:
        """Tell whether one who asks has shown the token, or none is needed."""
        if not self.token:
            return True
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        is_bearer = kind.lower() == "bearer" and self.knows(given.strip())
        return is_bearer or same(request.cookie, self.cookie())

    def knows(self, given: str) -> bool:
        """Tell whether a text is the token."""
        return bool(self.token) and same(given, self.token)

    def cookie(self) -> str:
        """Return what a browser shows instead of the token, the same after a restart."""
        return hmac.new(self.token.encode(), b"ttslo live page", "sha256").hexdigest()


def same(one: str, other: str) -> bool:
    """Compare two texts in a time that tells nothing."""
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))


def is_loopback(address: str) -> bool:
    """Tell whether an address leads to this machine alone."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def is_everywhere(address: str) -> bool:
    """Tell whether one who listens on an address listens on each of this machine's."""
    try:
        return ipaddress.ip_address(address).is_unspecified
    except ValueError:
        return False


def check_token(token: str) -> str:
    """Return a token as it is compared.

    Raises:
        PageUnavailable: If it could be guessed, or cannot travel in a header.
    """
    bare = token.strip()
    if bare and (len(bare) < LEAST_TOKEN or not _TOKEN.fullmatch(bare)):
        raise PageUnavailable(words.weak_token(LEAST_TOKEN))
    return bare


def check_reach(host: str, addresses: Sequence[str], *, has_cert: bool, has_token: bool) -> None:
    """See to it that a page which others can reach is kept from them.

    Args:
        host: As it was given.
        addresses: What it stands for.
        has_cert: Whether what is said cannot be overheard.
        has_token: Whether one who asks must know a token.

    Raises:
        PageUnavailable: If it is not.
    """
    if all(map(is_loopback, addresses)):
        return
    missing = [what for what, is_there in (("a certificate", has_cert), ("a token", has_token))
               if not is_there]  # fmt: skip
    if missing:
        raise PageUnavailable(words.is_exposed(host, " and ".join(missing)))


class NotAsked(ValueError):
    """A question that is none; the text says why."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be done with which row, and the code that confirms it; empty for a question."""

    verb: str
    row: str
    code: str = ""


def wish_from(body: object) -> Wish:
    """Return what a request asks for.

    Raises:
        NotAsked: If it is no such request.
    """
    cells = body if isinstance(body, Mapping) else {}
    verb, row, code = (cells.get(name, "") for name in ("verb", "row", "code"))
    if not (isinstance(verb, str) and isinstance(row, str) and isinstance(code, str)):
        raise NotAsked(words.NO_WISH)
    if verb not in VERBS or not row or max(len(row), len(code)) > _LONGEST:
        raise NotAsked(words.NO_WISH)
    return Wish(verb, row, code)


class Confirmations:
    """The questions that wait for their confirmation. For one thread.

    Args:
        clock: Seconds that only grow.
        draw: Returns a code that nobody can guess.
    """

    def __init__(self, clock: Callable[[], float], draw: Callable[[], str]) -> None:
        self._clock = clock
        self._draw = draw
        self._open: dict[str, tuple[Wish, float]] = {}  # the oldest first

    def ask(self, wish: Wish) -> str:
        """Return the code that confirms a wish."""
        code = self._draw()
        self._open[code] = (wish, self._clock() + _PATIENCE)
        for old in list(self._open)[:-_MOST]:
            del self._open[old]
        return code

    def take(self, wish: Wish) -> bool:
        """Tell whether a wish was asked about a moment ago; its code serves for nothing more."""
        found = [code for code in self._open if same(code, wish.code)]
        if not found:
            return False
        asked, until = self._open.pop(found[0])
        is_same = (asked.verb, asked.row) == (wish.verb, wish.row)
        return is_same and self._clock() <= until
