"""The wire to Kraken's REST: one key's order of calls, connections, deadlines, what failed.

The one module that meets `requests` and `urllib3`. What it must never do: send a request that
changes something a second time, wait without a deadline, say *not sent* where that is not certain,
follow a redirect, or let a header or body into an error's text.

Source: Kraken, REST pages on authentication and rate limits; requests 2.32 and urllib3 2, whose
errors are told apart here (read 2026-11).
"""

from __future__ import annotations

import hashlib
import os
import random
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from krakenlink import VERSION
from krakenlink.errors import (
    KrakenConnectionError,
    KrakenTimeout,
    KrakenTransportError,
    unusable_proxy,
)
from krakenlink.machine import on_fork
from krakenlink.rest.request import encode


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long REST calls may take, in seconds. `read` counts between two pieces of an answer."""

    # A little over a multiple of 3 s, TCP's first retransmission: one lost packet is survived.
    connect: float = 3.05
    read: float = 10.0
    # Orders carry a deadline of 5 s, after which Kraken itself says that it did not take them.
    # That word, even when it is late, is worth more than a search for the order.
    read_order: float = 15.0
    # Before the second and the third try of a GET; long enough for a proxy that restarts.
    retry_pauses: tuple[float, ...] = (0.1, 0.4)


DEFAULT_TIMEOUTS = Timeouts()

# Whole seconds that a price may have lain in a cache; a second or two is the way itself.
_MOST_AGE = 3


# --- one key, one order of nonces --------------------------------------------------------------


class Gate:
    """Lets the private calls of one key through, one at a time.

    `lock` guards `_last` and the wire. It is held while the call is under way, against the habit
    of this program: Kraken refuses a nonce that arrives after a higher one, and only the answer
    proves that a request has arrived.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._last = 0

    def next_nonce_locked(self) -> int:
        """Return a nonce above all earlier ones of this key; the caller holds `lock`."""
        # Nanoseconds: never smaller than what any earlier version has used with this key. The
        # clock may stand still between two calls, or be set back.
        self._last = max(time.time_ns(), self._last + 1)
        return self._last


_gates: dict[str, Gate] = {}  # by the hash of the key, so that no key can be printed with it
_gates_lock = threading.Lock()  # guards `_gates`


def gate_of(key: str) -> Gate:
    """Return the one gate in this process of the API key `key`. Safe from any thread."""
    digest = hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()
    with _gates_lock:
        return _gates.setdefault(digest, Gate())


def _after_fork() -> None:
    """Give the child gates that nobody holds."""
    global _gates_lock
    _gates_lock = threading.Lock()
    _gates.clear()


on_fork(_after_fork)


# --- HTTP --------------------------------------------------------------------------------------


class _TLSConnection(HTTPSConnection):
    """Whatever fails before the handshake is done is a failure to connect.

    The library reports a timeout or a cut in the handshake, and a proxy that refuses the tunnel,
    like the same event in the middle of an answer. For an order that is the difference between
    *certainly not placed* and *unknown*.
    """

    def connect(self) -> None:
        try:
            super().connect()
        except urllib3.exceptions.HTTPError:
            raise  # already told apart
        except TimeoutError as error:
            raise ConnectTimeoutError(self, "handshake timed out") from error
        except OSError as error:
            raise NewConnectionError(self, str(error)) from error


class _Adapter(HTTPAdapter):
    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool = super().get_connection_with_tls_context(*args, **kwargs)
        if isinstance(pool, urllib3.HTTPSConnectionPool):
            kind = pool.ConnectionCls  # another one where a SOCKS proxy stands between
            if not issubclass(kind, _TLSConnection):
                pool.ConnectionCls = type("_TLSConnection", (_TLSConnection, kind), {})
        return pool


class Transport:
    """Kept-alive connections to one server. Safe from any thread.

    Every call has a deadline for connecting and one for each wait for bytes. TLS is verified,
    proxies come from the environment, redirects are not followed: Kraken has none, and a signed
    request belongs to nobody else.

    Args:
        root: Address of the server, without a slash at its end.
        timeouts: How long calls may take.

    The calls raise KrakenTransportError where there is no answer.
    """

    def __init__(self, root: str, timeouts: Timeouts) -> None:
        self._root = root
        self._timeouts = timeouts
        self._host = urlsplit(root).netloc.rpartition("@")[2]
        self._headers = {
            **requests.utils.default_headers(),
            "User-Agent": f"ttslo/{VERSION}",
            "Cache-Control": "no-cache",  # prices are of this moment
        }
        # An adapter and no session: half of what a session does for a call has no use here, such
        # as redirects, or would do harm, such as credentials from ~/.netrc.
        # 0: the adapter retries nothing, or a POST would be sent twice.
        self._adapter = _Adapter(pool_maxsize=8, max_retries=0)

    def get(
        self, method: str, params: Mapping[str, object] | None, within: float | None = None
    ) -> tuple[int, bytes]:
        """Return status and body of a public call.

        Args:
            method: Kraken's name of the call.
            params: Its parameters.
            within: Longest time in all, without a second try; None for the usual deadlines and up
                to two more tries when there is no connection or a 5xx.
        """
        query = encode(params)
        path = f"/0/public/{method}" + (f"?{query}" if query else "")
        if within is not None:
            return self._send("GET", path, urllib3.Timeout(total=within))
        usual = (self._timeouts.connect, self._timeouts.read)
        for pause in self._timeouts.retry_pauses:
            # A timeout is not tried again: it has used up the caller's patience.
            with suppress(KrakenConnectionError):
                status, body = self._send("GET", path, usual)
                if status < 500:
                    return status, body
            time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - spreads load, no secret
        return self._send("GET", path, usual)

    def post(
        self, path: str, body: bytes, headers: Mapping[str, str], *, is_order: bool
    ) -> tuple[int, bytes]:
        """Return status and body of a private call, which is sent once and never again."""
        read = self._timeouts.read_order if is_order else self._timeouts.read
        return self._send("POST", path, (self._timeouts.connect, read), body, headers)

    def close(self) -> None:
        """Close the connections that are kept; the next call opens new ones."""
        self._adapter.close()

    @cached_property
    def _surroundings(self) -> dict[str, Any]:
        """Proxies and certificates from the environment: looking them up takes 0.2 ms a call."""
        with requests.Session() as session:
            return dict(session.merge_environment_settings(self._root, {}, None, None, None))

    def _request(
        self, verb: str, path: str, body: bytes | None, headers: Mapping[str, str] | None
    ) -> requests.PreparedRequest:
        """Return a request whose address and body are already in the form that is sent."""
        request = requests.PreparedRequest()
        request.method, request.url, request.body = verb, self._root + path, body
        request.prepare_headers({**self._headers, **(headers or {})})
        if body is not None:
            request.headers["Content-Length"] = str(len(body))
        return request

    def _send(
        self,
        verb: str,
        path: str,
        timeout: Any,  # a pair, or the Timeout of urllib3 that requests' types do not know
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        try:
            response = self._adapter.send(
                self._request(verb, path, body, headers), timeout=timeout, **self._surroundings
            )
            content = response.content  # an answer may break off in its middle
        except (OSError, urllib3.exceptions.HTTPError) as error:
            method = path.partition("?")[0].rpartition("/")[2]
            # Not chained: the library's errors carry the request, and with it key and signature.
            if isinstance(error, requests.exceptions.InvalidSchema) and "SOCKS" in str(error):
                raise self._without_socks(method) from None
            raise _transport_error(error, method, self._host) from None
        _check_cache(path, response.headers.get("Age", ""))
        return response.status_code, content

    def _without_socks(self, method: str) -> KrakenConnectionError:
        proxy = requests.utils.select_proxy(self._root, self._surroundings["proxies"]) or ""
        cure = (
            "which needs the package PySocks: install it, or set HTTPS_PROXY to an http: proxy, "
            f"or NO_PROXY to {self._host}"
        )
        sentence = unusable_proxy(proxy, os.environ, cure)
        return KrakenConnectionError(f"{method}: {sentence}", request_sent=False)


def _check_cache(path: str, age: str) -> None:
    """Refuse prices that something between here and Kraken has kept, whatever it was asked.

    Raises:
        KrakenConnectionError: If the answer's `Age`, whole seconds, shows it.
    """
    if path.startswith("/0/public/Ticker") and age.isdecimal() and int(age) > _MOST_AGE:
        raise KrakenConnectionError(
            f"Ticker: a cache on the way to Kraken answered with prices from {int(age)} s ago",
            request_sent=True,
        )


def _transport_error(error: Exception, method: str, host: str) -> KrakenTransportError:
    """Return our error for one of the HTTP libraries'; `request_sent` is False only if certain."""
    inner = error.args[0] if error.args else None
    reason = getattr(inner, "reason", inner)
    if isinstance(reason, urllib3.exceptions.ProxyError):
        # The library puts it around whatever finds the tunnel closed: a lost answer, too.
        reason = reason.original_error
    is_timeout = isinstance(error, requests.Timeout) or isinstance(
        reason, urllib3.exceptions.ReadTimeoutError
    )
    kind = KrakenTimeout if is_timeout else KrakenConnectionError
    # The text of the library's error may hold a header: only the operating system's words are
    # passed on.
    why = _os_words(error)
    if isinstance(error, _NEVER_SENT) or isinstance(reason, _NEVER_CONNECTED):
        return kind(f"{method}: cannot connect to {host}{why}", request_sent=False)
    said = "did not answer in time" if is_timeout else f"broke off without an answer{why}"
    return kind(f"{method}: {host} {said}", request_sent=True)


_NEVER_SENT = (
    requests.ConnectTimeout,
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidProxyURL,
    requests.exceptions.InvalidHeader,
)
_NEVER_CONNECTED = (
    ConnectTimeoutError,  # and NewConnectionError, which is one
    NewConnectionError,
)


def _os_words(error: BaseException) -> str:
    """Return the operating system's words at the bottom of `error`, in brackets, or nothing."""
    found = ""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.strerror:
            found = f" ({seen.strerror})"
        seen = seen.__cause__ or seen.__context__ or _wrapped(seen)
    return found


def _wrapped(error: BaseException) -> BaseException | None:
    inner = getattr(error, "reason", None) or next(iter(error.args), None)
    return inner if isinstance(inner, BaseException) and inner is not error else None
