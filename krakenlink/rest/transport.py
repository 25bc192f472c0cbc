"""The wire to Kraken's REST: connections, deadlines, what became of a request that failed.

The one module that meets `requests`. What became of a request is told by the sockets, which saw
whether a byte of it left, and never by the class of an error. What it must never do: send a request
that changes something a second time, wait without a deadline, say *not sent* where that is not
certain, take an answer out of a cache, follow a redirect, or let a header or body into an error's
text.

Source: Kraken, REST pages on authentication and rate limits; requests 2.32 and urllib3 2, whose
words are passed on here (read 2026-11).
"""

from __future__ import annotations

import os
import random
import re
import ssl
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from queue import LifoQueue
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.connectionpool import HTTPConnectionPool

from krakenlink import VERSION
from krakenlink.errors import (
    KrakenConnectionError,
    KrakenTimeout,
    KrakenTransportError,
    ProtocolError,
    unusable_proxy,
)
from krakenlink.foreign import shown, without_login
from krakenlink.machine import feed_clock
from krakenlink.rest.answers import check_cache, retry_after
from krakenlink.rest.kept import Messages, Received, exchanged, unpacked
from krakenlink.rest.request import encode
from krakenlink.rest.sockets import watched
from krakenlink.sockets import (
    MOST_BYTES,
    Call,
    TooLong,
    call_here,
    done_within,
    promised,
    time_left,
)


class Timeouts(NamedTuple):
    """How long REST calls may take, in seconds.

    Attributes:
        connect: From the look-up of the name to the end of the TLS handshake, every address and a
            proxy included. A little over a multiple of 3 s, TCP's first retransmission: one lost
            packet is survived.
        read: For the request and the whole answer, however it comes.
        read_order: The same for calls that change something. Orders carry a deadline of 5 s, after
            which Kraken itself says that it did not take them. That word, even when it is late, is
            worth more than a search for the order.
        retry_pauses: Before the second and the third try of a public call; long enough for a proxy
            that restarts. All tries together keep to `connect` + `read`.
    """

    connect: float = 3.05
    read: float = 10.0
    read_order: float = 15.0
    retry_pauses: tuple[float, ...] = (0.1, 0.4)


DEFAULT_TIMEOUTS = Timeouts()

# A try that failed after this many seconds was no slip of the network: another takes as long.
_QUICK = 1.0


class Answer(NamedTuple):
    """What came back for one call.

    Attributes:
        status: The HTTP status.
        body: Unpacked.
        reason: The server's words for the status, control characters made visible.
        retry_after: Seconds that the server asks us to wait, bounded; None where it asks nothing.
    """

    status: int
    body: bytes
    reason: str = ""
    retry_after: float | None = None


class Adapter(HTTPAdapter):
    """Gives every connection the habits of `sockets`, and says so to the call of the thread."""

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """Return the pool that makes the connections of a request; see `HTTPAdapter`."""
        call = call_here()
        if call is not None:
            call.is_watched = True  # whatever may leave from here on is seen
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        pool.ConnectionCls = watched(pool.ConnectionCls)
        return pool


_send = HTTPAdapter.send


class _OneServer(Adapter):
    """Looks its one pool up once: proxies and certificates are those of the first request."""

    _pool: Any = None

    @property
    def kept(self) -> HTTPConnectionPool | None:
        """The connections over which a request may go straight; None if it is to go by `send`.

        That is so before the first one, through a proxy that reads each request, where the pool is
        another than the one that is known here, and where somebody has put another `send` in the
        place of the library's, as tests of callers do.
        """
        pool: HTTPConnectionPool | None = self._pool
        is_read = pool is None or (pool.proxy is not None and pool.scheme == "http")
        is_known = isinstance(getattr(pool, "pool", None), LifoQueue)
        return None if is_read or not is_known or HTTPAdapter.send is not _send else pool

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """Return the pool that makes the connections of a request; see `HTTPAdapter`."""
        call = call_here()
        if self._pool is None:
            self._pool = super().get_connection_with_tls_context(*args, **kwargs)
        elif call is not None:
            call.is_watched = True
        return self._pool


class Transport:
    """Kept-alive connections to one server. Safe from any thread.

    Every call has one deadline for all that belongs to it. TLS is verified, proxies come from the
    environment, redirects are not followed: Kraken has none, and a signed request belongs to nobody
    else.

    Args:
        root: Address of the server, without a slash at its end.
        timeouts: How long calls may take.

    The calls raise KrakenTransportError where there is no answer, and ProtocolError where it is
    longer than any of Kraken's.
    """

    def __init__(self, root: str, timeouts: Timeouts) -> None:
        self._root = root
        self._timeouts = timeouts
        self._host = urlsplit(root).netloc
        self._found: dict[str, Any] | None = None
        self._used_since = float("-inf")
        self._quiet_until = float("-inf")
        self._headers = {
            **requests.utils.default_headers(),
            "User-Agent": f"ttslo/{VERSION}",
            "Accept-Encoding": "gzip",  # it is unpacked here, within bounds
            "Cache-Control": "no-cache",  # prices are of this moment
        }
        self._messages = Messages(root, self._headers)
        self.close()

    @property
    def pause(self) -> float:
        """Seconds that the server still wants to be left alone, after "too many requests"."""
        return max(0.0, self._quiet_until - feed_clock())

    @property
    def longest(self) -> float:
        """The longest that a public call takes, all its tries together, in seconds."""
        return self._timeouts.connect + self._timeouts.read

    def get(
        self, method: str, params: Mapping[str, object] | None, within: float | None = None
    ) -> Answer:
        """Return the answer to a public call.

        Args:
            method: Kraken's name of the call.
            params: Its parameters.
            within: Longest time in all, without a second try; None for the usual deadlines and up
                to two more tries when there is no connection or a 5xx, quickly.
        """
        query = encode(params)
        path = f"/0/public/{method}" + (f"?{query}" if query else "")
        pauses = self._timeouts.retry_pauses if within is None else ()
        with done_within(self.longest if within is None else within):
            for pause in pauses:
                began = feed_clock()
                try:
                    answer = self._get(path)
                except KrakenConnectionError:
                    answer = None
                    if feed_clock() - began > _QUICK:
                        raise
                if answer is not None and (answer.status < 500 or answer.retry_after):
                    return answer
                wait = pause * random.uniform(0.5, 1.5)  # noqa: S311 - spreads load, no secret
                time.sleep(min(wait, time_left()))
            return self._get(path)

    def _get(self, path: str) -> Answer:
        return self._send("GET", path, self._timeouts.read)

    def post(self, path: str, body: bytes, headers: Mapping[str, str], *, is_order: bool) -> Answer:
        """Return the answer to a private call, which is sent once and never again."""
        read = self._timeouts.read_order if is_order else self._timeouts.read
        return self._send("POST", path, read, body, headers)

    def drop_idle(self) -> None:
        """Use none of the connections that are open now for a later call."""
        self._used_since = feed_clock()

    def close(self) -> None:
        """Close the connections that are kept; the next call opens new ones. From anywhere.

        The old ones go with what holds them, at once or with the call that uses them: to close
        them here would take locks of urllib3's, which this very thread may hold.
        """
        # An adapter and no session: half of what a session does for a call has no use here, such
        # as redirects, or would do harm, such as credentials from ~/.netrc.
        # 0: the adapter retries nothing, or a POST would be sent twice.
        self._adapter = _OneServer(pool_maxsize=8, max_retries=0)

    @property
    def _surroundings(self) -> dict[str, Any]:
        """Proxies and certificates from the environment: looking them up takes 0.2 ms a call."""
        # Not `cached_property`: up to Python 3.11 it has one lock for all clients of a process, and
        # a child that is forked while another thread holds it waits for ever.
        if self._found is None:
            with requests.Session() as session:
                found = session.merge_environment_settings(self._root, {}, None, None, None)
            self._found = dict(found)
        return self._found

    def _request(
        self, verb: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> requests.PreparedRequest:
        """Return a request whose address and body are already in the form that is sent."""
        request = requests.PreparedRequest()
        request.method, request.url, request.body = verb, self._root + path, body
        # Ours are sound: they are not checked anew with each call.
        length = {} if body is None else {"Content-Length": str(len(body))}
        request.headers = CaseInsensitiveDict({**self._headers, **headers, **length})
        return request

    def _send(
        self,
        verb: str,
        path: str,
        read: float,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        method = path.partition("?")[0].rpartition("/")[2]
        call = self._begun(method, read)
        outer = sys.exc_info()[1]  # what our caller is busy with has no part in what fails here
        try:
            with call:
                received = self._received(verb, path, body, headers or {})
        except TooLong:
            most = MOST_BYTES // 2**20
            raise ProtocolError(f"{method}: the answer is longer than {most} MB") from None
        except Exception as error:  # noqa: BLE001 - the wire tells what became of it, no class does
            if call.is_sent:
                self.drop_idle()  # what killed or swallowed this one may have met the others
            # Not chained: the library's errors carry the request, and with it key and signature.
            raise self._failure(list(chain_of(error, outer)), method, call) from None
        if verb == "GET":
            check_cache(method, received.headers.get("Age"))
        pause = retry_after(received.headers)
        if received.status == 429 and pause is not None:
            self._quiet_until = feed_clock() + pause
        reason = shown(received.reason, 80)
        return Answer(received.status, received.body, reason, pause)

    def _begun(self, method: str, read: float) -> Call:
        """Return a call that begins now, with its deadlines."""
        now, until = feed_clock(), promised()
        connect = min(self._timeouts.connect, until - now)
        if connect <= 0:
            raise KrakenTimeout(f"{method}: no time is left to ask", request_sent=False)
        return Call(
            connects_until=now + connect,
            read_within=read,
            ends_at=min(until, now + connect + read),
            used_since=self._used_since,
        )

    def _received(
        self, verb: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Received:
        """Return what came for a request; raises whatever the libraries raise."""
        kept = self._adapter.kept
        message = None if kept is None else self._messages.of(verb, path, body, headers)
        received = exchanged(kept, verb, message) if kept is not None and message else None
        return received or self._over_any(self._request(verb, path, body, headers))

    def _over_any(self, request: requests.PreparedRequest) -> Received:
        """Return the same, over a connection that is made if there is none."""
        call = call_here()
        assert call is not None  # `_send` has begun one
        connect = max(0.001, call.connects_until - feed_clock())
        # requests' types do not know what urllib3 takes.
        limits: Any = urllib3.Timeout(connect=connect, read=call.read_within)
        response = self._adapter.send(request, timeout=limits, **self._surroundings)
        packed = response.headers.get("Content-Encoding", "")
        try:
            content = unpacked(response.raw.stream(65536, decode_content=False), packed)
        except BaseException:
            response.raw.close()  # what is left of it must not be taken for the next answer
            raise
        response.raw.release_conn()
        reason = str(response.reason or "")
        return Received(response.status_code, reason, response.headers, content)

    def _failure(
        self, chain: Sequence[BaseException], method: str, call: Call
    ) -> KrakenTransportError:
        """Return our error for one of the HTTP libraries', and all that it was made from."""
        kind = KrakenTimeout if any(map(is_timeout, chain)) else KrakenConnectionError
        # The text of the library's error may hold a header: only known words are passed on.
        why = words_of(chain)
        if call.may_have_left:
            late = kind is KrakenTimeout
            said = "did not answer in time" if late else f"broke off without an answer{why}"
            return kind(f"{method}: {self._host} {said}", request_sent=True)
        proxy = requests.utils.select_proxy(self._root, self._surroundings["proxies"]) or ""
        if isinstance(chain[0], requests.exceptions.InvalidSchema) and "SOCKS" in str(chain[0]):
            cure = (
                "which needs the package PySocks: install it, or set HTTPS_PROXY to an http: "
                f"proxy, or NO_PROXY to {self._host}"
            )
            return kind(f"{method}: {unusable_proxy(proxy, os.environ, cure)}", request_sent=False)
        through = f" through the proxy {shown(without_login(proxy), 100)}" if proxy else ""
        roots = self._certificates(is_tls=any(isinstance(one, ssl.SSLError) for one in chain))
        said = f"cannot connect to {self._host}{through}{why}{roots}"
        return kind(f"{method}: {said}", request_sent=False)

    def _certificates(self, *, is_tls: bool) -> str:
        """Return a sentence on the file of certificates that may be to blame, or nothing."""
        file = self._surroundings["verify"]
        if not isinstance(file, str) or not self._root.startswith("https:"):
            return ""
        names = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
        name = next((name for name in names if os.environ.get(name) == file), "the system")
        if Path(file).exists():
            return f"; {name} names the certificates {shown(file)}" if is_tls else ""
        return f"; {name} names {shown(file)}, which is not there: correct it or unset it"


def check_proxy(root: str) -> None:
    """Check the proxy that the environment names for the server at `root`.

    Raises:
        ValueError: If it is no address.
    """
    proxy = requests.utils.select_proxy(root, requests.utils.get_environ_proxies(root))
    if not proxy:
        return
    try:
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        is_address = bool(parts.hostname) and parts.port != 0 and not re.search(r"\s", proxy)
    except ValueError:  # a port that is none
        is_address = False
    if not is_address or parts.scheme not in _PROXIES:
        cure = "which is no address: write http://host:port"
        raise ValueError(unusable_proxy(proxy, os.environ, cure))


_PROXIES = frozenset({"http", "https", "socks4", "socks4a", "socks5", "socks5h"})


def chain_of(error: BaseException, outer: BaseException | None) -> Iterator[BaseException]:
    """Yield `error` and what it was made from, the deepest last and without `outer`."""
    seen: BaseException | None = error
    for _ in range(20):
        if seen is None or seen is outer:
            return
        yield seen
        seen = seen.__cause__ or seen.__context__ or _wrapped(seen)


def _wrapped(error: BaseException) -> BaseException | None:
    inner = getattr(error, "reason", None) or next(iter(error.args), None)
    return inner if isinstance(inner, BaseException) and inner is not error else None


def is_timeout(error: BaseException) -> bool:
    """Tell whether an error of the HTTP libraries says that time ran out."""
    timeouts = (TimeoutError, requests.Timeout, urllib3.exceptions.TimeoutError)
    no_timeout = urllib3.exceptions.NewConnectionError  # though its class says so
    return isinstance(error, timeouts) and not isinstance(error, no_timeout)


def words_of(chain: Sequence[BaseException]) -> str:
    """Return the system's or a proxy's words, the deepest there are, in brackets; or nothing."""
    found = ""
    for error in chain:
        if isinstance(error, OSError) and error.strerror:
            found = error.strerror
        elif str(error).startswith("Tunnel connection failed: ") or _is_of_socks(error):
            found = str(error)
    return f" ({shown(found, 160)})" if found else ""


def _is_of_socks(error: BaseException) -> bool:
    return type(error).__module__ == "socks"
