"""Kraken's private requests, built and signed without a socket.

Pure: the nonce comes in, bytes go out. It must never let a key, a secret, a signature or a private
body into a `repr` or a message.

Source: Kraken, REST authentication pages (read 2026-11).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from urllib.parse import urlencode

from krakenlink.errors import ArgumentError
from krakenlink.numbers import plain, to_decimal

# Every other switch of Kraken is off when it is not sent, and whether the text "false" turns one
# off is not documented for forms. Off is therefore said by silence, but where silence means on.
_ON_BY_DEFAULT = frozenset({"consolidate_taker"})


@dataclass(frozen=True, slots=True)
class Request:
    """A private request, ready to be sent as it is.

    Attributes:
        path: The path below the host, such as `/0/private/AddOrder`.
        headers: All that Kraken needs, key and signature included; hidden from `repr`.
        body: The very bytes that were signed; hidden from `repr`.
    """

    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


def encode(params: Mapping[str, object] | None) -> str:
    """Return `params` as form text, the same for a query string and for a body.

    None is left out, and so is False; True is `true`; lists are joined by commas; a dict such as
    `close` becomes `close[ordertype]=...`; numbers are written without an exponent.

    Raises:
        ArgumentError: If a value is not finite or of a type that has no text.
    """
    try:
        return urlencode(list(_fields("", params or {})))
    except UnicodeEncodeError as error:
        raise ArgumentError(f"a parameter holds text that is no text: {error.reason}") from None


def _fields(prefix: str, params: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for name, value in params.items():
        label = f"{prefix}[{name}]" if prefix else name
        if isinstance(value, Mapping):
            yield from _fields(label, value)
        elif value is not None and (value is not False or name in _ON_BY_DEFAULT):
            yield label, _text(label, value)


def _text(label: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return str(value)
    if isinstance(value, float | Decimal):
        try:
            return plain(to_decimal(value))
        except ValueError as error:
            raise ArgumentError(f"{label}: {error}") from None
    if isinstance(value, Sequence):
        return ",".join(_text(label, item) for item in value)
    raise ArgumentError(f"{label} cannot be a {type(value).__name__}")


def sign(urlpath: str, nonce: str, body: str, secret: str) -> str:
    """Return Kraken's `API-Sign` of a request.

    Args:
        urlpath: The path from `/0/private/` on.
        nonce: The nonce that `body` carries.
        body: The text that is sent, to the letter.
        secret: The private key as Kraken shows it, in base64.

    Raises:
        ArgumentError: If `secret` is not base64; its text is not shown.
    """
    try:
        key = base64.b64decode(secret.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise ArgumentError(
            "api_secret is not base64; copy the private key from Kraken once more, whole"
        ) from None
    digest = hashlib.sha256(f"{nonce}{body}".encode()).digest()
    mac = hmac.new(key, urlpath.encode() + digest, hashlib.sha512)
    return base64.b64encode(mac.digest()).decode("ascii")


# Kraken's secrets are 64 bytes in base64, its keys 42.
_SECRET_LENGTH = 88


def _check_keys(key: str, secret: str) -> None:
    """Refuse what many have handed in instead of keys, before Kraken counts a wrong call.

    Raises:
        ArgumentError: Names the cause; neither text is shown.
    """
    for name, text in (("api_key", key), ("api_secret", secret)):
        if text.strip()[:1] in _QUOTES or text.strip()[-1:] in _QUOTES:
            raise ArgumentError(f"{name} has quotes around it: take them away where it is set")
    if len(key.strip()) >= _SECRET_LENGTH > len(secret.strip()):
        raise ArgumentError("api_key and api_secret look swapped: the secret is the longer one")


_QUOTES = tuple("'\"`\u2018\u2019\u201c\u201d")


def private_request(
    method: str, params: Mapping[str, object] | None, nonce: int | str, key: str, secret: str
) -> Request:
    """Return the signed request of one private call.

    Raises:
        ArgumentError: If a parameter has no text, or key or secret cannot be one.
    """
    _check_keys(key, secret)
    if not (key.isascii() and key.isprintable()):
        # The HTTP library would refuse it as well, and show it in its message.
        raise ArgumentError("api_key holds characters no key has; copy it from Kraken once more")
    path = f"/0/private/{method}"
    body = encode({"nonce": str(nonce), **(params or {})})
    headers = {
        "API-Key": key,
        "API-Sign": sign(path, str(nonce), body, secret),
        "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
    }
    return Request(path, headers, body.encode("ascii"))
