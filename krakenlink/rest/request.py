"""Kraken's requests: arguments checked, parameters laid out, private calls built and signed.

Pure: the nonce comes in, bytes go out. Whatever cannot be meant is an `ArgumentError` that names
the argument: certainly nothing was sent, and nothing is checked again later. It must never let a
key, a secret, a signature or a private body into a `repr` or a message.

Source: Kraken, REST authentication, AddOrder and pages on tokenized assets (read 2026-11).
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple, cast
from urllib.parse import quote_plus

from krakenlink.errors import ArgumentError
from krakenlink.foreign import shown
from krakenlink.numbers import plain, quantize_down, to_decimal, to_positive_decimal
from krakenlink.pairs import TOKENIZED, Pair, looks_tokenized

# Every other switch of Kraken is off when it is not sent, and whether the text "false" turns one
# off is not documented for forms. Off is therefore said by silence, but where silence means on.
_ON_BY_DEFAULT = frozenset({"consolidate_taker"})


class Request(NamedTuple):
    """A private request, ready to be sent as it is.

    Attributes:
        path: The path below the host, such as `/0/private/AddOrder`.
        headers: All that Kraken needs, key and signature included; hidden from `repr`.
        body: The very bytes that were signed; hidden from `repr`.
    """

    path: str
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"Request(path={self.path!r})"


class Prepared(dict[str, object]):
    """Parameters of a call whose text is written already, so that to send them takes less.

    Args:
        params: The parameters, which nobody changes any more.
        text: What `encode` makes of them.
    """

    def __init__(self, params: Mapping[str, object], text: str) -> None:
        super().__init__(params)
        self._written, self._text = params, text

    @property
    def text(self) -> str:
        """The text of what these parameters are by now: callers' own classes may change them."""
        return self._text if self == self._written else encode(self)

    def along_with(self, more: Mapping[str, object]) -> Prepared:
        """Return these parameters and `more`.

        Raises:
            ArgumentError: If one of `more` is here already, or has no text.
        """
        if not self.keys().isdisjoint(more):
            raise ArgumentError(f"said already: {', '.join(sorted(self.keys() & more.keys()))}")
        return Prepared({**self, **more}, _joined(self.text, encode(more)))


def encode(params: Mapping[str, object] | None) -> str:
    """Return `params` as form text, the same for a query string and for a body.

    None is left out, and so is False; True is `true`; lists are joined by commas; a dict such as
    `close` becomes `close[ordertype]=...`; numbers are written without an exponent.

    Raises:
        ArgumentError: If a value is not finite or of a type that has no text.
    """
    try:
        return "&".join(_fields("", params or {}))
    except UnicodeEncodeError as error:
        raise ArgumentError(f"a parameter holds text that is no text: {error.reason}") from None


def _joined(*texts: str) -> str:
    return "&".join(filter(None, texts))


class _Quoted(dict[int, str]):
    """What stands for each character; of those beyond ASCII it is worked out."""

    def __missing__(self, number: int) -> str:
        return quote_plus(chr(number))


# The library looks at each character of what is to be quoted, and an order waits for it.
_QUOTED = _Quoted({number: quote_plus(chr(number)) for number in range(128)})


def _fields(prefix: str, params: Mapping[str, object]) -> list[str]:
    found = []
    for name, value in params.items():
        label = f"{prefix}[{name}]" if prefix else name
        if isinstance(value, str):  # most are, and to tell what is no mapping takes longest
            text = str(value)
        elif isinstance(value, Mapping):
            found += _fields(label, value)
            continue
        elif value is not None and (value is not False or name in _ON_BY_DEFAULT):
            text = _text(label, value)
        else:
            continue
        found.append(f"{label.translate(_QUOTED)}={text.translate(_QUOTED)}")
    return found


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


def encode_json(params: Mapping[str, object]) -> str:
    """Return `params` as JSON, in which a list may hold objects; each value is as in `encode`.

    Raises:
        ArgumentError: If a value is not finite or of a type that has no text.
    """
    return json.dumps(_plain_object("", params), separators=(",", ":"))


def _plain_object(prefix: str, params: Mapping[str, object]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in params.items():
        label = f"{prefix}[{name}]" if prefix else name
        if isinstance(value, Mapping):
            found[name] = _plain_object(label, value)
        elif objects := _objects_in(value):
            found[name] = [_plain_object(f"{label}[{n}]", one) for n, one in enumerate(objects)]
        elif value is not None and (value is not False or name in _ON_BY_DEFAULT):
            found[name] = value if isinstance(value, bool) else _text(label, value)
    return found


_LIST = (list, tuple)


def _objects_in(value: object) -> Sequence[Mapping[str, object]]:
    """Return the objects that a list holds; nothing for what is no list of objects."""
    is_list = isinstance(value, _LIST) and all(isinstance(one, Mapping) for one in value)
    return cast("Sequence[Mapping[str, object]]", value) if is_list else ()


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
    digest = hashlib.sha256(f"{nonce}{body}".encode()).digest()
    mac = _mac_of(secret).copy()
    mac.update(urlpath.encode() + digest)
    return binascii.b2a_base64(mac.digest(), newline=False).decode("ascii")


@lru_cache(maxsize=8)
def _mac_of(secret: str) -> hmac.HMAC:
    """Return what signs with a secret, to be copied.

    To find the algorithm and to take the key in is most of a signature, and an order waits for it.
    """
    try:
        key = binascii.a2b_base64(secret.strip(), strict_mode=True)
    except (binascii.Error, ValueError):
        raise ArgumentError(
            "api_secret is not base64; copy the private key from Kraken once more, whole"
        ) from None
    return hmac.new(key, digestmod="sha512")


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


_FORM = "application/x-www-form-urlencoded; charset=utf-8"


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
    is_nested = False
    if isinstance(params, Prepared):
        body = _joined(f"nonce={nonce}", params.text)
    else:
        fields = {"nonce": str(nonce), **(params or {})}
        # How a form would name the fields of each object of a list is not documented.
        is_nested = any(_objects_in(v) for v in fields.values() if isinstance(v, _LIST))
        body = encode_json(fields) if is_nested else encode(fields)
    headers = {
        "API-Key": key,
        "API-Sign": sign(path, str(nonce), body, secret),
        "Content-Type": "application/json" if is_nested else _FORM,
    }
    return Request(path, headers, body.encode("ascii"))


def checked_pair(pair: object) -> str:
    """Return the name of a pair without blanks around it.

    Raises:
        ArgumentError: If it is empty or no text.
    """
    if not isinstance(pair, str) or not pair.strip():
        said = "pair parameter is required, and pair must be a string such as 'BTC/USD'"
        raise ArgumentError(f"{said}: {_named(pair)}")
    return pair.strip()


def checked_direction(direction: object) -> str:
    """Return `buy` or `sell`.

    Raises:
        ArgumentError: If it is neither, in any case.
    """
    word = direction.strip().lower() if isinstance(direction, str) else direction
    if word not in ("buy", "sell"):
        raise ArgumentError(f"direction must be 'buy' or 'sell': {_named(direction)}")
    return str(word)


def checked_order_type(order_type: object) -> str:
    """Return Kraken's `ordertype` without blanks around it.

    Raises:
        ArgumentError: If it is empty or no text.
    """
    if not isinstance(order_type, str) or not order_type.strip():
        raise ArgumentError(f"order_type must be a string such as 'market': {_named(order_type)}")
    return order_type.strip()


def checked_number(name: str, value: object) -> Decimal:
    """Return the exact value of the argument `name`.

    Raises:
        ArgumentError: If it is no number, not finite, or not positive.
    """
    try:
        return to_positive_decimal(value)
    except ValueError as error:
        raise ArgumentError(f"{name} must be positive, and a number: {error}") from None


# Of one call of AddOrderBatch.
FEWEST_ORDERS, MOST_ORDERS = 2, 15


def checked_batch(orders: object) -> Sequence[Mapping[str, object]]:
    """Return the orders of one AddOrderBatch.

    Raises:
        ArgumentError: If they are no list of objects, too few or too many for Kraken, or if two
            of them have one `cl_ord_id`.
    """
    found = _objects_in(orders)
    if not FEWEST_ORDERS <= len(found) <= MOST_ORDERS:
        raise ArgumentError(
            f"orders must be a list of {FEWEST_ORDERS} to {MOST_ORDERS} objects: {_named(orders)}"
        )
    ids = [order["cl_ord_id"] for order in found if order.get("cl_ord_id") is not None]
    if len(set(map(str, ids))) < len(ids):
        raise ArgumentError("orders: each cl_ord_id must stand in one order alone")
    return found


def checked_order(order: Mapping[str, object], name: str, known: Pair | None) -> dict[str, object]:
    """Return one order of a batch with its words checked and its volume as text.

    Args:
        order: By Kraken's own names; all but three are passed on as they are.
        name: Its pair as the caller spelled it.
        known: What is known of the pair, None for nothing.

    Raises:
        ArgumentError: Names `order_type`, `direction` or `volume`.
    """
    return {
        **order,
        "ordertype": checked_order_type(order.get("ordertype")),
        "type": checked_direction(order.get("type")),
        "volume": volume_text(order.get("volume"), name, known),
    }


def checked_txid(txid: object) -> str:
    """Return an order id without blanks around it.

    Raises:
        ArgumentError: If it is empty or no text.
    """
    if not isinstance(txid, str) or not txid.strip():
        raise ArgumentError("txid parameter is required")
    return txid.strip()


def volume_text(volume: object, name: str, known: Pair | None) -> str:
    """Return Kraken's text for a volume, cut to the decimals of its pair where they are known.

    Args:
        volume: In base currency.
        name: Its pair as the caller spelled it.
        known: What is known of the pair, None for nothing.

    Raises:
        ArgumentError: If it is no positive number, or none is left of it.
    """
    places = None if known is None else known.lot_decimals
    # What a text comes to is kept: an order waits for it. Of other kinds equal ones may differ.
    cut = _kept_cut if type(volume) is str else _cut
    return cut(volume, name, places)


def _cut(volume: object, name: str, places: int | None) -> str:
    number = checked_number("volume", volume)
    if places is not None:
        number = quantize_down(number, places)
        if number <= 0:
            raise ArgumentError(f"volume {volume} is zero in the {places} decimals of {name}")
    return plain(number)


_kept_cut = lru_cache(maxsize=256)(_cut)


def named(name: str, known: Pair | None, class_key: str = "asset_class") -> dict[str, object]:
    """Return the parameters that name a pair in a REST call. No call names one in another way.

    An xStock needs its class beside its name, or Kraken takes it for a currency it does not have.

    Args:
        name: The pair as the caller spelled it.
        known: What is known of it, None for nothing.
        class_key: What the call calls the class; AssetPairs has a word of its own.
    """
    is_tokenized = known.is_tokenized if known is not None else looks_tokenized(name)
    pair = {"pair": known.rest_key if known is not None else name}
    return {**pair, class_key: TOKENIZED} if is_tokenized else {**pair}


def _named(value: object) -> str:
    """Return what was handed in, for a message and not without an end."""
    return shown(repr(value) if not isinstance(value, str) else repr(value[:60]), 80)
