"""The shared store in etcd: calls of its JSON gateway, over several nodes, each with one deadline.

With `requests` itself and not the package etcd3gw: that one has no deadline over a whole call,
takes one node only, and is half as fast. Reads are linearizable, as they are unless somebody asks
etcd for less. Proxies of the environment are not used: a store is near. What it must never do: call
a change refused or done that may be neither, outlast the patience of whoever asks, or show a
password.

Source: etcd 3.4 and 3.5, gRPC gateway, authentication (read 2026-11).
"""

from __future__ import annotations

import itertools
import json
import ssl
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
import urllib3

from krakenlink import VERSION
from krakenlink.machine import feed_clock
from krakenlink.numbers import doubled
from krakenlink.rest.transport import Adapter, chain_of, is_timeout, words_of
from krakenlink.sockets import Call, TooLong, done_within, time_left
from ttslo_app.cluster import gateway, words
from ttslo_app.cluster.address import Access, Place, check_access, place_of
from ttslo_app.cluster.etcd_watch import Watch
from ttslo_app.cluster.gateway import Fate, Odd, Refusal
from ttslo_app.cluster.store import Answer, Change, Entry, News, StoreError, StoreUnreachable

T = TypeVar("T")

# Longest that one node is waited for while there are others, in seconds; twice as long in each
# further round, since a store may be slow and not dead.
_FIRST_SLICE = 1.0
# Between two rounds over all nodes, in seconds: from the first to the longest.
_PAUSE, _LONGEST_PAUSE = 0.02, 0.5
_PAGE = 1000  # entries: some 600 kB of lives


class _Sent:
    """What is known of the tries of one call so far; `changes` if it is not only a question."""

    def __init__(self, *, changes: bool = True) -> None:
        self._changes = changes
        self.is_unknown = False

    def note(self, refusal: Refusal) -> None:
        """Take note of how one more try has failed."""
        self.is_unknown |= self._changes and refusal.fate is Fate.ELSEWHERE


class EtcdStore:
    """A `Store` in etcd. Safe from any thread; opens nothing before the first call.

    Args:
        place: Where its nodes are.
        access: Who we are to it.

    Raises:
        ValueError: If a file of certificates cannot be used, or a login may not be sent there.
    """

    def __init__(self, place: Place, access: Access | None = None) -> None:
        self.place = place
        self._access = access or Access()
        check_access(place, self._access)
        self._tls = _context(self._access) if place.is_tls else None
        # An adapter and no session: none of what a session adds has a use here, see `Transport`.
        self._adapter = Adapter(pool_connections=16, pool_maxsize=8, max_retries=0)
        # Each of these is read and replaced whole, and any value of theirs is right.
        self._first = 0  # the node that has answered last
        self._token = ""
        self._dropped_at: dict[str, float] = {}

    def get(self, key: str, *, patience: float) -> Entry | None:
        """Return what the store has under `key`; see `Store`. Blocks."""
        return self._at(key, 0, patience)

    def _at(self, key: str, revision: int, patience: float) -> Entry | None:
        """Return what the store had under `key` at a revision; 0 for now."""

        def read(told: Mapping[str, Any]) -> Entry | None:
            gateway.revision_of(told)
            return next(iter(gateway.entries_of(told)), None)

        return self._asked("kv/range", gateway.get_body(key, revision), read, patience)

    def list(self, prefix: str, *, patience: float) -> tuple[Sequence[Entry], int]:
        """Return all that begins with `prefix`, and the revision of that; see `Store`. Blocks."""
        with done_within(patience):
            while True:
                try:
                    return self._pages(prefix)
                except StoreError as error:
                    # Thrown away while it was read, page by page: from the beginning then.
                    if words.COMPACTED not in str(error) or not time_left():
                        raise

    def _pages(self, prefix: str) -> tuple[Sequence[Entry], int]:
        found: list[Entry] = []
        revision, more = 0, True
        while more:
            last = found[-1].key if found else None
            body = gateway.page_body(prefix, last, revision, _PAGE)
            page, more, newest = self._asked("kv/range", body, gateway.read_page, time_left())
            revision = revision or newest
            found += page
            more = more and bool(page)
        return found, revision

    def commit(self, change: Change, *, patience: float) -> Answer:
        """Do a change, if what it rests on is so; see `Store`. Blocks.

        At most 128 keys may be compared, and 128 put or deleted.
        """
        body, sent = gateway.txn_body(change), _Sent()
        with done_within(patience):
            answer = self._asked(
                "kv/txn", body, lambda told: gateway.read_txn(change, told), patience, sent
            )
            done_at = 0 if answer.is_done else self._done_before(change, answer, sent)
        return Answer(True, done_at, {}) if done_at else answer

    def _done_before(self, change: Change, answer: Answer, sent: _Sent) -> int:
        """Return the revision at which a refused change was done, before others went over it.

        A try without an answer may have been done, and its value may have been replaced since: the
        store's own past tells. 0 where it was not done, and then it never will be.
        """
        both = [key for key in change.puts if key in change.rests_on]
        now = {key: answer.found[key].version if key in answer.found else 0 for key in both}
        if not both or any(now[key] == change.rests_on[key] for key in both):
            return 0  # all are put together: where one is as before, none was put
        key, found = both[0], answer.found.get(both[0])
        try:
            while found is not None and found.version > change.rests_on[key]:
                if found.value == change.puts[key]:
                    return found.version
                found = self._at(key, found.version - 1, time_left())
        except StoreError as error:
            if words.COMPACTED not in str(error):
                raise
        else:
            if now[key]:
                return 0
        if sent.is_unknown:  # the past has gone
            raise StoreUnreachable(words.PAST_GONE)
        return 0

    def watch(self, prefix: str, after: int, *, patience: float) -> Generator[News, None, None]:
        """Yield the changes below `prefix` later than revision `after`; see `Store`. Blocks.

        Where nothing has come for 3 s, the node is asked whether it still has a majority: that may
        take `patience` seconds, or 1 s if that is longer.
        """
        at = self._first
        root = self.place.roots[at]
        try:
            with Watch(root, self._tls, self._headers(root, patience), prefix, after) as watch:
                ask = partial(self._revision_at, root, prefix, max(patience, 1.0))
                yield from watch.news(patience, ask)
        except Refusal as refusal:
            self._move_on(at)
            if refusal.fate is Fate.REFUSED:
                raise StoreError(refusal.text) from None
            if refusal.fate is Fate.LOGIN:
                self._token = ""
            raise StoreUnreachable(f"{_name(root)}: {refusal.text}") from None

    def _headers(self, root: str, patience: float) -> dict[str, str]:
        """Return the headers of a watch; a node that loses its majority ends it by their wish."""
        headers = {"Host": _name(root), "User-Agent": f"ttslo/{VERSION}"}
        headers["Grpc-Metadata-hasleader"] = "true"
        if self._access.user:
            with done_within(max(patience, 1.0)):
                headers["Authorization"] = self._token or self._login(root)
        return headers

    def _revision_at(self, root: str, prefix: str, seconds: float) -> int:
        """Return the revision of the store, as one node knows it from a majority."""
        with done_within(seconds):  # of a key that may be read, whether it is there or not
            told = self._logged_in(root, "kv/range", gateway.get_body(prefix))
        try:
            return gateway.revision_of(told)
        except Odd as error:
            raise Refusal(Fate.ELSEWHERE, words.odd(str(error))) from None

    # --- one answer of several nodes -----------------------------------------------------------

    def _asked(
        self,
        path: str,
        body: Mapping[str, Any],
        read: Callable[[dict[str, Any]], T],
        patience: float,
        sent: _Sent | None = None,
    ) -> T:
        """Return what `read` makes of the answer of the first node that gives one.

        Each node is tried in turn until `patience` is over. `read` raises Odd where an answer makes
        no sense; `sent`, of a call that changes something, is told whether a try may have done it.
        """
        told: dict[str, str] = {}
        sent, start = sent or _Sent(changes=False), self._first
        with done_within(patience):
            for turn in itertools.count():
                at = (start + turn) % len(self.place.roots)
                root = self.place.roots[at]
                try:
                    with done_within(self._slice(turn)):
                        found = read(self._logged_in(root, path, body))
                except Odd as error:
                    refusal = Refusal(Fate.ELSEWHERE, words.odd(str(error)))
                except Refusal as error:
                    refusal = error
                else:
                    self._first = at
                    return found
                sent.note(refusal)
                if refusal.fate is Fate.REFUSED:
                    raise _final(refusal, is_unknown=sent.is_unknown)
                # The last try is mostly cut short: that says less than what a node said before.
                if refusal.text != words.LATE or root not in told:
                    told[root] = refusal.text
                self._move_on(at)
                self._rest(turn)
                if not time_left():
                    break
        raise self._unheard(told, patience)

    def _unheard(self, told: Mapping[str, str], patience: float) -> StoreUnreachable:
        """Return the error of a call that no node has answered, and log in anew for the next one.

        A login names how far the store had come: one that was restored from a backup since lets
        whoever shows it wait until it is there.
        """
        self._token = ""
        each = [f"{_name(root)}: {text}" for root, text in told.items()]
        return StoreUnreachable(words.unreachable("answered", patience, each))

    def _slice(self, turn: int) -> float:
        """Return how long the next node may take, in seconds, so that each gets its turn."""
        count = len(self.place.roots)
        if count == 1:
            return time_left()
        fair = time_left() / (count - turn % count)
        return min(max(fair, 0.05), doubled(_FIRST_SLICE, turn // count, time_left()))

    def _rest(self, turn: int) -> None:
        """Wait a little, where all nodes have had their turn."""
        rounds, rest = divmod(turn + 1, len(self.place.roots))
        if not rest:
            time.sleep(min(doubled(_PAUSE, rounds, _LONGEST_PAUSE), time_left()))

    def _move_on(self, at: int) -> None:
        """Ask another node first from now on, unless somebody has found one already."""
        if self._first == at:
            self._first = (at + 1) % len(self.place.roots)

    # --- one node ------------------------------------------------------------------------------

    def _logged_in(self, root: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return a node's answer to us; a login that is not valid any more is renewed once."""
        if not self._access.user:
            return self._posted(root, path, body, "")
        token = self._token
        if token:
            try:
                return self._posted(root, path, body, token)
            except Refusal as refusal:
                if refusal.fate is not Fate.LOGIN:
                    raise
        return self._posted(root, path, body, self._login(root))

    def _login(self, root: str) -> str:
        """Return a new token of the store."""
        login = {"name": self._access.user, "password": self._access.password}
        try:
            told = self._posted(root, "auth/authenticate", login, "")
        except Refusal as refusal:  # nothing has been changed so far, whatever became of it
            if refusal.fate is Fate.ELSEWHERE:
                raise Refusal(Fate.NOT_DONE, refusal.text) from None
            raise
        token = told.get("token")
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise Refusal(Fate.NOT_DONE, words.odd("no token"))
        self._token = token
        return token

    def _posted(self, root: str, path: str, body: Mapping[str, Any], token: str) -> dict[str, Any]:
        """Return a node's answer; blocks until the promise of this thread.

        Raises:
            Refusal: If there is none.
        """
        now, left = feed_clock(), time_left()
        call = Call(now + left, left, now + left, self._dropped_at.get(root, 0.0))
        outer = sys.exc_info()[1]  # what our caller is busy with has no part in what fails here
        try:
            if left <= 0:
                raise TimeoutError
            status, kind, data = self._exchanged(root, path, body, token, call)
        except TooLong:
            raise Refusal(Fate.ELSEWHERE, words.odd("it is too long")) from None
        except Exception as error:  # noqa: BLE001 - the sockets tell what became of it, no class does
            if call.is_sent:
                self._dropped_at[root] = feed_clock()
            # Not chained: the library's errors carry the request, and with it token and password.
            raise _failure(list(chain_of(error, outer)), call) from None
        if status != 200:
            raise gateway.refusal(status, kind, data)
        try:
            return gateway.read_object(data)
        except Odd:
            raise Refusal(Fate.ELSEWHERE, words.not_etcd(status, kind)) from None

    def _exchanged(
        self, root: str, path: str, body: Mapping[str, Any], token: str, call: Call
    ) -> tuple[int, str, bytes]:
        """Return status, content type and body; raises whatever the libraries raise."""
        request = requests.PreparedRequest()
        request.method, request.url = "POST", f"{root}/v3/{path}"
        request.body = json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "User-Agent": f"ttslo/{VERSION}"}
        headers["Content-Length"] = str(len(request.body))
        request.prepare_headers({**headers, **({"Authorization": token} if token else {})})
        # requests' types do not know what urllib3 takes.
        limits: Any = urllib3.Timeout(connect=call.read_within, read=call.read_within)
        with call:
            response = self._adapter.send(
                request,
                timeout=limits,
                verify=self._access.ca or True,
                cert=_pair(self._access),
                proxies={},
            )
            try:
                data = b"".join(response.raw.stream(65536, decode_content=False))
            except BaseException:
                response.raw.close()  # what is left of it must not be taken for the next answer
                raise
            response.raw.release_conn()
        return response.status_code, response.headers.get("Content-Type", ""), data

    def close(self) -> None:
        """Give back the connections that are kept; a later call opens new ones. Safe twice."""
        self._adapter.close()


def store_from(url: str, access: Access | None = None) -> tuple[EtcdStore, str]:
    """Return the store that an address names, and the name of the cluster in it. Asks nothing.

    Args:
        url: As `place_of` takes it.
        access: Who we are to it.

    Raises:
        ValueError: If it is no address, or `access` cannot be used there.
    """
    place = place_of(url)
    return EtcdStore(place, access), place.cluster


def _name(root: str) -> str:
    return urlsplit(root).netloc


def _pair(access: Access) -> str | tuple[str, str] | None:
    """Return our certificate as requests takes it."""
    if not access.cert:
        return None
    return (access.cert, access.key) if access.key else access.cert


def _context(access: Access) -> ssl.SSLContext:
    """Return what watches speak TLS by, and see whether all files can be used."""
    context = ssl.create_default_context()
    roots = access.ca or requests.utils.DEFAULT_CA_BUNDLE_PATH
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    steps: tuple[tuple[str, str, Callable[[], None]], ...] = (
        ("TTSLO_STORE_CA", roots, lambda: context.load_verify_locations(roots)),
        ("TTSLO_STORE_KEY", access.key, lambda: None),
        (
            "TTSLO_STORE_CERT",
            access.cert,
            lambda: context.load_cert_chain(access.cert, access.key or None, lambda: ""),
        ),
    )
    for variable, path, use in steps:
        if not path:
            continue
        try:
            Path(path).open("rb").close()
            use()
        except OSError as error:  # of which an SSLError is one
            why = error.strerror or type(error).__name__
            raise ValueError(words.no_file(variable, path, why)) from None
    return context


def _final(refusal: Refusal, *, is_unknown: bool) -> StoreError:
    if is_unknown:
        return StoreUnreachable(words.unknown(refusal.text))
    return StoreError(refusal.text)


def _failure(chain: Sequence[BaseException], call: Call) -> Refusal:
    """Return what became of a request that has no answer, and why."""
    fate = Fate.ELSEWHERE if call.may_have_left else Fate.NOT_DONE
    distrust = next((one for one in chain if isinstance(one, ssl.SSLCertVerificationError)), None)
    if distrust is not None:
        return Refusal(fate, words.not_trusted(distrust.verify_message or str(distrust)))
    if any(map(is_timeout, chain)):
        return Refusal(fate, words.LATE)
    why = words_of(chain).strip(" ()")
    return Refusal(fate, words.broken_off(why) if call.may_have_left else words.cannot_connect(why))
