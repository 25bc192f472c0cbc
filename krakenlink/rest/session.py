"""One pair of keys before one server: any call by Kraken's own name for it.

It signs, sends once and reads; which calls there are is the business of `client`. What it must
never do: send what changes something a second time, wait without a deadline, or show a key.

Source: Kraken, REST authentication pages (read 2026-11).
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

from krakenlink.errors import (
    ArgumentError,
    AuthenticationError,
    KrakenAPIError,
    KrakenError,
    KrakenTimeout,
)
from krakenlink.foreign import without_login
from krakenlink.machine import checked_root, feed_clock, kept_in, on_fork
from krakenlink.rest.answers import read_answer, result_of, too_many
from krakenlink.rest.gate import Gate, NoTurn, gate_of
from krakenlink.rest.request import private_request, sign
from krakenlink.rest.transport import Answer, Timeouts, Transport, check_proxy
from krakenlink.sockets import time_left

# Private calls that change nothing. All others are sent once, whatever the answer.
_READS = frozenset(
    {
        *("Balance", "BalanceEx", "TradeBalance", "OpenOrders", "ClosedOrders", "QueryOrders"),
        *("TradesHistory", "QueryTrades", "Ledgers", "QueryLedgers", "OpenPositions"),
        *("TradeVolume", "GetWebSocketsToken", "GetApiKeyInfo"),
    }
)

# Seconds that a call with a deadline of Kraken's may wait for its turn: what it was decided on is
# older then than its caller knows.
_DEADLINE_PATIENCE = 2.0


_instances: weakref.WeakSet[RestSession] = weakref.WeakSet()


class RestSession:
    """Calls to Kraken's REST by method name. Safe from any thread.

    The constructor does no I/O: the first call does.

    Args:
        api_key: Kraken's public key; None for public calls only.
        api_secret: Kraken's private key, in base64.
        base_url: Where REST is.
        timeouts: How long calls may take.
        cache_dir: Where the last nonce of a key is kept; None for the usual folder.

    Raises:
        ValueError: If the address is none, or not `https:` and not on this machine, or if the
            environment names a proxy for it that is no address.
    """

    # What belongs to one process alone: `_start_anew` makes it.
    _OWN = frozenset({"_transport"})

    def __init__(
        self,
        api_key: str | None,
        api_secret: str | None,
        base_url: str,
        timeouts: Timeouts,
        cache_dir: str | Path | None = None,
    ) -> None:
        self.api_key = api_key
        self.api_secret = api_secret
        self.base_url = without_login(base_url)
        self._root = checked_root(base_url)
        check_proxy(self._root)
        self._timeouts = timeouts
        self._cache_dir = cache_dir
        self._start_anew()
        _instances.add(self)

    def _start_anew(self) -> None:
        """Set up all that must not be shared with another process; a child's first step."""
        self._transport = Transport(self._root, self._timeouts)

    def __repr__(self) -> str:
        keys = "with keys" if self.has_keys else "without keys"
        return f"<{type(self).__name__} {self._root} {keys}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        # For another process: what it was made of, its keys among them, and nothing that is open.
        return {name: value for name, value in self.__dict__.items() if name not in self._OWN}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)
        self._start_anew()
        _instances.add(self)

    @property
    def has_keys(self) -> bool:
        """Whether private calls can be made."""
        return bool(self.api_key and self.api_secret)

    def close(self) -> None:
        """Close the connections, which may be done twice. The next call opens new ones."""
        self._transport.close()

    def drop_idle_connections(self) -> None:
        """Use none of the connections that are open now for a later call. Returns at once.

        For whoever learns that the link was lost or the machine slept: a connection that a router
        has forgotten swallows a request, and an answer is waited for in vain. Safe from any thread.
        """
        self._transport.drop_idle()

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

        Blocks for at most `connect` + `read`; tried up to three times in it where there is no
        connection or a 5xx.

        Raises:
            KrakenError: The subclass says whether Kraken refused or could not be heard.
        """
        return self._ask_public(method, params, None)

    def _query_within(
        self, method: str, params: Mapping[str, object], seconds: float
    ) -> dict[str, Any]:
        """Return Kraken's whole answer to a public call that is tried once, for so long in all.

        Raises:
            KrakenError: As for `_query_public`.
        """
        return self._ask_public(method, params, seconds)

    def _ask_public(
        self, method: str, params: Mapping[str, object] | None, within: float | None
    ) -> dict[str, Any]:
        self._keep_quiet(method)
        return read_answer(method, *self._transport.get(method, params, within))

    def _keep_quiet(self, method: str) -> None:
        """Refuse a call that Kraken has asked us not to make yet."""
        pause = self._transport.pause
        if pause:
            raise too_many(method, pause)

    def _query_private(
        self, method: str, params: Mapping[str, object] | None = None
    ) -> dict[str, Any]:
        """Return Kraken's whole answer to a private call, which is sent once.

        Blocks. It waits for other calls of the same key in this process, as long as it may take
        itself; a call with a `deadline` of Kraken's waits 2 s at most, and none that changes
        something waits for one that does not. Only a call that changes nothing is sent again, once,
        when Kraken refused its nonce.

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
            if self._gate(self.api_key).is_deposed:
                raise
        return self._ask_private(method, params, self.api_key, self.api_secret)

    def _ask_private(
        self, method: str, params: Mapping[str, object] | None, key: str, secret: str
    ) -> dict[str, Any]:
        if method in _READS:
            self._keep_quiet(method)
        gate = self._gate(key)
        nonce, answer = self._answer_in_turn(gate, method, params or {}, (key, secret))
        try:
            found = self._told(gate, method, answer)
        except KrakenAPIError as error:
            gate.hear(nonce, error.errors)
            raise
        gate.hear(nonce, ())
        return found

    def _gate(self, key: str) -> Gate:
        return gate_of(key, lambda: kept_in(self._root, self._cache_dir))

    @property
    def gate(self) -> Gate:
        """Where the calls with this client's key take turns, in this process.

        Raises:
            ValueError: If there is no key.
        """
        if not self.api_key:
            raise ArgumentError("API key and secret required: without a key there are no turns")
        return self._gate(self.api_key)

    def _ask_with_nonce(self, method: str, params: Mapping[str, object], nonce: int) -> None:
        """Send a private call once with a nonce that is not in the row of this key's.

        For whoever wants to see which nonces Kraken takes.

        Raises:
            ValueError: If there are no keys.
            KrakenError: As for `_query_private`.
        """
        gate, keys = self.gate, (self.api_key or "", self.api_secret or "")
        _, answer = self._answer_in_turn(gate, method, params, keys, nonce)
        self._told(gate, method, answer)

    def _told(self, gate: Gate, method: str, answer: Answer) -> dict[str, Any]:
        """Return what an answer to a call of this key says; see `read_answer` for its errors."""
        gate.too_many_at = feed_clock() if answer.status == 429 else None
        return read_answer(method, *answer)

    def _answer_in_turn(
        self,
        gate: Gate,
        method: str,
        params: Mapping[str, object],
        keys: tuple[str, str],
        own: int | None = None,
    ) -> tuple[int, Answer]:
        """Return the answer to a call and its nonce: the next of its key, or the caller's own."""
        is_look = method in _READS
        read = self._timeouts.read if is_look else self._timeouts.read_order
        patience = self._timeouts.connect + read
        if params.get("deadline") is not None:
            patience = min(patience, _DEADLINE_PATIENCE)

        def ask(its: int) -> tuple[int, Answer]:
            nonce = its if own is None else own
            request = private_request(method, params, nonce, *keys)
            return nonce, self._transport.post(
                request.path, request.body, request.headers, is_order=not is_look
            )

        try:
            return gate.in_turn(ask, min(patience, time_left()), is_look=is_look)
        except NoTurn:
            said = f"{method}: other calls of this key took {patience:.0f} s; it was not sent"
            raise KrakenTimeout(said, request_sent=False) from None

    def _public(self, method: str, **params: object) -> dict[str, Any]:
        return result_of(method, self._query_public(method, params))

    def _private(self, method: str, params: Mapping[str, object] | None = None) -> dict[str, Any]:
        return result_of(method, self._query_private(method, params))


Client = TypeVar("Client")


def alive(client: weakref.ref[Client]) -> Client:
    """Return the client, for what belongs to it without keeping it.

    Raises:
        KrakenError: If it has gone; whoever still asks asks in vain.
    """
    found = client()
    if found is None:
        raise KrakenError("the client that asked is gone")
    return found


def _after_fork() -> None:
    """Give the child's clients locks that nobody holds, and sockets of their own."""
    for client in tuple(_instances):
        client._start_anew()


on_fork(_after_fork)
