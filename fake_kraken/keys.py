"""Who may call: keys with their permissions, signatures, nonces that must grow, and the lockout.

Pure, and its own reading of Kraken's guide: it shares no line with the client that signs. It is
told the time. The lockout that wrong keys bring ends only when nobody calls for a while.

Sources: Kraken, REST authentication, API key permissions; reports of Kraken's users on the lockout,
of which Kraken's own pages only give the name (read 2026-11).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field

from fake_kraken.params import Refusal, is_digits

# Made up here and good for nothing but this exchange.
DEMO_KEY = "EMBEDDED-EXCHANGE-KEY"
DEMO_SECRET = base64.b64encode(b"embedded exchange, not a secret".ljust(64, b".")).decode()

# What each permission is called in the answer of GetApiKeyInfo.
_NAMES = {
    "query funds": "query-funds",
    "query open": "query-open-trades",
    "query closed": "query-closed-trades",
    "modify": "modify-trades",
    "cancel": "close-trades",
    "websocket": "create-ws-token",
    "withdraw": "withdraw-funds",
}
PERMISSIONS = frozenset(_NAMES)
# What a key may do where nothing is said: a key that may withdraw has to be asked for.
USUAL = PERMISSIONS - {"withdraw"}
# Any one of these permissions is enough for the call.
_NEEDED: dict[str, frozenset[str]] = {
    "Balance": frozenset({"query funds"}),
    "BalanceEx": frozenset({"query funds"}),
    "TradeBalance": frozenset({"query funds"}),
    "OpenOrders": frozenset({"query open"}),
    "QueryOrders": frozenset({"query open", "query closed"}),
    "ClosedOrders": frozenset({"query closed"}),
    "AddOrder": frozenset({"modify"}),
    "CancelOrder": frozenset({"modify", "cancel"}),
    "GetApiKeyInfo": frozenset(),  # needs none
    "GetWebSocketsToken": frozenset({"websocket"}),
    # No call of REST: the account's stream, which asks for it once it is subscribed to.
    "executions": frozenset({"query open"}),
}
# All of these permissions are needed, and not any one of them.
_NEEDED_TOGETHER: dict[str, frozenset[str]] = {"AddOrderBatch": frozenset({"modify", "cancel"})}
_LARGEST_NONCE = 2**64 - 1
_TOKEN_SECONDS = 900.0


@dataclass(slots=True)
class Key:
    """A key: what it may do, whose it is, and the nonces that were used with it.

    Attributes:
        owner: The name of its account.
        nonce: The highest nonce that was used.
        window: How far below it a nonce may be that was not used yet.
        used: The nonces that were used within the window.
        valid_until: When it ends, in seconds since 1970; 0 for never.
        addresses: The addresses that may use it, which is told and not enforced; none for all.
    """

    secret: bytes = field(repr=False)
    permissions: frozenset[str]
    owner: str = ""
    nonce: int = 0
    window: int = 0
    used: set[int] = field(default_factory=set, repr=False)
    valid_until: float = 0.0
    addresses: tuple[str, ...] = ()

    def takes(self, nonce: int) -> bool:
        """Use a nonce up; False where it is not to be taken."""
        if nonce in self.used or not self.nonce - self.window < nonce <= _LARGEST_NONCE:
            # Without a window only a higher one is taken.
            return False
        self.nonce = max(self.nonce, nonce)
        self.used = {n for n in self.used | {nonce} if n > self.nonce - self.window}
        return True


@dataclass(slots=True)
class Token:
    """What opens the account's stream: whose key made it, until when, and how many use it now."""

    key: str
    valid_until: float
    users: int = 0


@dataclass(frozen=True, slots=True)
class Signed:
    """What of a private call is signed, and with what: path and query are as they were sent."""

    key: str
    signature: str
    path: str
    query: str
    body: bytes


class KeyRing:
    """The keys that the exchange accepts."""

    def __init__(self) -> None:
        self._keys: dict[str, Key] = {}
        self._tokens: dict[str, Token] = {}
        self._last_token = 0

    def add(
        self,
        key: str,
        secret: str,
        permissions: Iterable[str] = USUAL,
        owner: str = "",
        nonce_window: int = 0,
        valid_until: float = 0.0,
        addresses: Iterable[str] = (),
    ) -> None:
        """Accept a key, with some of `PERMISSIONS`, for the account `owner`.

        Raises:
            ValueError: If the secret is not base64, or there is no such permission.
        """
        granted = frozenset(permissions)
        if not granted <= PERMISSIONS:
            raise ValueError(f"the permissions are {', '.join(sorted(PERMISSIONS))}")
        try:
            decoded = base64.b64decode(secret, validate=True)
        except ValueError:
            raise ValueError("the secret is not base64; Kraken's always are") from None
        self._keys[key] = Key(
            decoded,
            granted,
            owner,
            window=nonce_window,
            valid_until=valid_until,
            addresses=tuple(addresses),
        )

    def remove(self, key: str) -> None:
        """Know a key no more."""
        self._keys.pop(key, None)

    def owner(self, key: str) -> str:
        """Return the name of a key's account; the first account's where it has gone meanwhile."""
        return self._keys[key].owner if key in self._keys else ""

    def info(self, key: str) -> dict[str, object]:
        """Return what GetApiKeyInfo tells of a key: numbers are texts, and "0" is for never."""
        found = self._keys[key]
        return {
            "apiKeyName": "embedded",
            "apiKey": key,
            "nonce": str(found.nonce),
            "nonceWindow": str(found.window),
            "permissions": sorted(_NAMES[name] for name in found.permissions),
            "iban": "",
            "validUntil": str(int(found.valid_until)),
            "queryFrom": "0",
            "queryTo": "0",
            "createdTime": "0",
            "modifiedTime": "0",
            "ipAllowlist": list(found.addresses),
            "lastUsed": "0",
        }

    def admit(self, call: Signed, endpoint: str, nonce: str, at: float = 0.0) -> Key:
        """Check a private call in the order in which Kraken does, and use its nonce up.

        Args:
            call: As it was signed.
            endpoint: Kraken's name of it.
            nonce: As it was sent.
            at: When it came in, in seconds since 1970.

        Raises:
            Refusal: If key, signature, nonce or permission will not do. A call that only lacks
                the permission has used its nonce up all the same.
        """
        key = self._keys.get(call.key)
        if key is None or 0 < key.valid_until <= at:
            raise Refusal("EAPI:Invalid key")
        given = call.signature.encode("utf-8", "replace")
        if not hmac.compare_digest(_signature(call, key.secret, nonce), given):
            raise Refusal("EAPI:Invalid signature")
        if not is_digits(nonce) or not key.takes(int(nonce)):
            raise Refusal("EAPI:Invalid nonce")
        needed = _NEEDED.get(endpoint, PERMISSIONS)
        together = _NEEDED_TOGETHER.get(endpoint, frozenset())
        if (needed and not key.permissions & needed) or not together <= key.permissions:
            raise Refusal("EGeneral:Permission denied")
        return key

    # --- tokens of the account's stream --------------------------------------------------------

    def issue_token(self, key: str, at: float) -> dict[str, object]:
        """Return what GetWebSocketsToken answers: a token to be used within 15 minutes."""
        self._last_token += 1
        digest = hashlib.sha256(f"{key} {self._last_token} {at!r}".encode()).digest()
        token = base64.b64encode(digest).decode().rstrip("=")
        self._tokens[token] = Token(key, at + _TOKEN_SECONDS)
        return {"token": token, "expires": int(_TOKEN_SECONDS)}

    def open_session(self, token: object, channel: str, at: float) -> str:
        """Use a token for a channel, and return whose account it is; it is let go of afterwards.

        While somebody uses it, it does not expire.

        Raises:
            Refusal: If it is none of ours, too old, or its key has gone or may not do this.
        """
        found = self._tokens.get(token) if isinstance(token, str) else None
        if found is None:
            raise Refusal("EAPI:Invalid token")
        if found.key not in self._keys or (found.valid_until <= at and not found.users):
            raise Refusal("ESession:Invalid session")
        key = self._keys[found.key]
        if not key.permissions & _NEEDED[channel]:
            raise Refusal("EGeneral:Permission denied")
        found.users += 1
        return key.owner

    def close_session(self, token: str) -> None:
        """Let go of a token that was used."""
        found = self._tokens.get(token)
        if found is not None:
            found.users = max(0, found.users - 1)

    def expire_tokens(self) -> None:
        """Let no token that was handed out so far open anything any more."""
        for token in self._tokens.values():
            token.valid_until, token.users = 0.0, 0


def _signature(call: Signed, secret: bytes, nonce: str) -> bytes:
    # A query string, which nobody needs here, is signed in front of the body.
    signed = nonce.encode("utf-8", "replace") + call.query.encode() + call.body
    message = call.path.encode() + hashlib.sha256(signed).digest()
    return base64.b64encode(hmac.new(secret, message, hashlib.sha512).digest())


_WRONG = frozenset({"EAPI:Invalid key", "EAPI:Invalid signature"})


class Lockout:
    """Counts the calls that were refused for their key, and closes the door after some of them."""

    def __init__(self) -> None:
        self._wrong_calls = 0
        self._called_at = 0.0

    def check(self, at: float, calls: int, pause: float) -> None:
        """Note a private call.

        Args:
            at: Seconds since 1970.
            calls: How many wrong ones close the door.
            pause: Seconds without any call that open it again.

        Raises:
            Refusal: While the door is closed; and the pause begins anew.
        """
        quiet, self._called_at = at - self._called_at, at
        if self._wrong_calls < calls:
            return
        if quiet < pause:
            raise Refusal("EGeneral:Temporary lockout")
        self._wrong_calls = 0

    def count(self, refusal: Refusal) -> None:
        """Count a call that was refused."""
        self._wrong_calls += not _WRONG.isdisjoint(refusal.errors)
