"""One pair of keys before one server: any call by Kraken's own name for it.

It signs, sends once and reads; which calls there are is the business of `client`. What it must
never do: send what changes something a second time, wait without a deadline, or show a key.

Source: Kraken, REST authentication pages (read 2026-11).
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

from krakenlink.errors import ArgumentError, AuthenticationError
from krakenlink.machine import checked_root, on_fork
from krakenlink.rest.answers import read_answer, result_of
from krakenlink.rest.request import private_request, sign
from krakenlink.rest.transport import Timeouts, Transport, gate_of

# Private calls that change nothing. All others are sent once, whatever the answer.
_READS = frozenset(
    {
        *("Balance", "BalanceEx", "TradeBalance", "OpenOrders", "ClosedOrders", "QueryOrders"),
        *("TradesHistory", "QueryTrades", "Ledgers", "QueryLedgers", "OpenPositions"),
        *("TradeVolume", "GetWebSocketsToken"),
    }
)


_instances: weakref.WeakSet[RestSession] = weakref.WeakSet()


class RestSession:
    """Calls to Kraken's REST by method name. Safe from any thread.

    The constructor does no I/O: the first call does.

    Args:
        api_key: Kraken's public key; None for public calls only.
        api_secret: Kraken's private key, in base64.
        base_url: Where REST is.
        timeouts: How long calls may take.

    Raises:
        ValueError: If the address is not `https:` and not on this machine.
    """

    def __init__(
        self, api_key: str | None, api_secret: str | None, base_url: str, timeouts: Timeouts
    ) -> None:
        self.api_key = api_key
        self.api_secret = api_secret
        self.base_url = base_url
        self._root = checked_root(base_url)
        self._timeouts = timeouts
        self._start_anew()
        _instances.add(self)

    def _start_anew(self) -> None:
        """Set up all that must not be shared with another process; a child's first step."""
        self._transport = Transport(self._root, self._timeouts)

    def __repr__(self) -> str:
        keys = "with keys" if self.has_keys else "without keys"
        return f"<{type(self).__name__} {self._root.rpartition('@')[2]} {keys}>"

    @property
    def has_keys(self) -> bool:
        """Whether private calls can be made."""
        return bool(self.api_key and self.api_secret)

    def close(self) -> None:
        """Close the connections. The next call opens new ones."""
        self._transport.close()

    def _get_kraken_signature(self, urlpath: str, data: str, nonce: int | str) -> str:
        """Return `API-Sign` for the body text `data`, which carries `nonce`.

        Raises:
            ValueError: If there is no secret, or it is not base64.
        """
        if not self.api_secret:
            raise ArgumentError("API key and secret required to sign a request")
        return sign(urlpath, str(nonce), data, self.api_secret)

    def _query_public(
        self, method: str, params: Mapping[str, object] | None = None
    ) -> dict[str, Any]:
        """Return Kraken's whole answer to a public call.

        Blocks; tried up to three times where there is no connection or a 5xx.

        Raises:
            KrakenError: The subclass says whether Kraken refused or could not be heard.
        """
        status, body = self._transport.get(method, params)
        return read_answer(method, status, body)

    def _query_within(
        self, method: str, params: Mapping[str, object], seconds: float
    ) -> dict[str, Any]:
        """Return Kraken's whole answer to a public call that is tried once, for so long in all.

        Raises:
            KrakenError: As for `_query_public`.
        """
        status, body = self._transport.get(method, params, seconds)
        return read_answer(method, status, body)

    def _query_private(
        self, method: str, params: Mapping[str, object] | None = None
    ) -> dict[str, Any]:
        """Return Kraken's whole answer to a private call, which is sent once.

        Blocks, and waits for other calls of the same key in this process. Only a call that
        changes nothing is sent again, once, when Kraken refused its nonce.

        Raises:
            ValueError: If there are no keys; "API key and secret required".
            KrakenError: The subclass says whether Kraken refused or could not be heard.
        """
        if not self.api_key or not self.api_secret:
            raise ArgumentError(
                f"API key and secret required for {method}: set KRAKEN_API_KEY and "
                "KRAKEN_API_SECRET (with _RW at the end for orders)"
            )
        try:
            return self._ask_private(method, params, self.api_key, self.api_secret)
        except AuthenticationError as error:
            # Another process with the same key came in between. For an order even this is left
            # to the caller, who knows whether the same order may have been sent before.
            if method not in _READS or not any("Invalid nonce" in text for text in error.errors):
                raise
        return self._ask_private(method, params, self.api_key, self.api_secret)

    def _ask_private(
        self, method: str, params: Mapping[str, object] | None, key: str, secret: str
    ) -> dict[str, Any]:
        gate = gate_of(key)
        with gate.lock:
            request = private_request(method, params, gate.next_nonce_locked(), key, secret)
            status, body = self._transport.post(
                request.path, request.body, request.headers, is_order=method not in _READS
            )
        return read_answer(method, status, body)

    def _public(self, method: str, **params: object) -> dict[str, Any]:
        return result_of(method, self._query_public(method, params))

    def _private(self, method: str, params: Mapping[str, object] | None = None) -> dict[str, Any]:
        return result_of(method, self._query_private(method, params))


def _after_fork() -> None:
    """Give the child's clients locks that nobody holds, and sockets of their own."""
    for client in tuple(_instances):
        client._start_anew()


on_fork(_after_fork)
