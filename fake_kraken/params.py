"""What a call is sent: parameters as text, read as numbers, words and moments, or refused.

Pure. Every mistake is a `Refusal` in Kraken's words, and nothing else is ever raised. Where
Kraken's own text for a refusal is not known, the nearest one that is known stands here.

Source: Kraken, REST AddOrder, ClosedOrders, Trades (read 2026-11).
"""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from decimal import Decimal

Params = Mapping[str, str]

# A UUID with or without its dashes, or free text of up to 18 characters.
_CLIENT_ID = re.compile(
    r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{32}|[!-~]{1,18}", re.ASCII
)
_PLAIN_NUMBER = re.compile(r"\d+(\.\d*)?|\.\d+", re.ASCII)
_LONGEST_NUMBER = 20
_SHORT_INTEGER = re.compile(r"[+-]?\d{1,10}", re.ASCII)
_SMALLEST_USERREF, _LARGEST_USERREF = -(2**31), 2**31 - 1
_FEWEST_ORDERS, _MOST_ORDERS = 2, 15  # of a batch
_DIGITS = re.compile(r"\d{1,20}", re.ASCII)


class Refusal(Exception):
    """Kraken's error strings for a call that is refused."""

    def __init__(self, *errors: str) -> None:
        self.errors = list(errors)
        super().__init__(*errors)


def read_params(body: bytes, content_type: str) -> dict[str, str]:
    """Return the parameters of a form or JSON body as text by name.

    Raises:
        Refusal: If it says that it is JSON, and is no object.
    """
    text = body.decode("utf-8", "replace")
    if content_type != "application/json":
        return dict(urllib.parse.parse_qsl(text, keep_blank_values=True))
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Refusal("EGeneral:Invalid arguments")
    return _texts(found)


def read_orders(text: str) -> list[Params]:
    """Return the orders of a batch, each as text by name, out of the JSON of its list.

    Raises:
        Refusal: If it is no list of objects, or one of too few or too many.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    is_list = isinstance(found, list) and all(isinstance(one, dict) for one in found)
    if not is_list or not _FEWEST_ORDERS <= len(found) <= _MOST_ORDERS:
        raise Refusal("EGeneral:Invalid arguments:orders")
    return [_texts(one) for one in found]


def _texts(found: Mapping[str, object]) -> dict[str, str]:
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in found.items()
        if value is not None
    }


def readable(body: bytes, content_type: str) -> dict[str, str]:
    """Return the parameters of a body; none where it is refused."""
    try:
        return read_params(body, content_type)
    except Refusal:
        return {}


def number_of(text: str | None, name: str) -> Decimal:
    """Return a positive number in plain notation.

    Raises:
        Refusal: If it is anything else.
    """
    # The limit of length keeps every product and every rounding here exact.
    if not _PLAIN_NUMBER.fullmatch(text or "") or len(text or "") > _LONGEST_NUMBER:
        raise Refusal(f"EGeneral:Invalid arguments:{name}")
    number = Decimal(text or "")
    if not number:
        raise Refusal(f"EGeneral:Invalid arguments:{name}")
    return number


def places_of(number: Decimal) -> int:
    """Return how many decimals a number needs."""
    exponent = number.normalize().as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0


def one_of(params: Params, name: str, words: Collection[str]) -> str:
    """Return a parameter that must be one of `words`.

    Raises:
        Refusal: If it is another, or missing.
    """
    word = params.get(name, "")
    if word not in words:
        raise Refusal(f"EGeneral:Invalid arguments:{name}")
    return word


def client_id(params: Params) -> str | None:
    """Return `cl_ord_id`; None where there is none.

    Raises:
        Refusal: If it has another shape than Kraken's, or stands beside a `userref`.
    """
    text = params.get("cl_ord_id") or None
    if text is not None and (params.get("userref") or not _CLIENT_ID.fullmatch(text)):
        raise Refusal("EGeneral:Invalid arguments:cl_ord_id")
    return text


def userref(params: Params) -> int:
    """Return `userref`, a signed number of 32 bits; 0 where there is none.

    Raises:
        Refusal: If it is no such number.
    """
    text = params.get("userref") or "0"
    number = int(text) if _SHORT_INTEGER.fullmatch(text) else _LARGEST_USERREF + 1
    if not _SMALLEST_USERREF <= number <= _LARGEST_USERREF:
        raise Refusal("EGeneral:Invalid arguments:userref")
    return number


def seconds(text: str) -> float:
    """Return a `deadline`, a moment as RFC 3339 has it, in seconds since 1970.

    Raises:
        Refusal: If it is no moment.
    """
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise Refusal("EGeneral:Invalid arguments:deadline") from None


def nanoseconds(text: str) -> int:
    """Return a `since`, which Kraken takes in seconds or in nanoseconds, in nanoseconds.

    Raises:
        Refusal: If it is no number.
    """
    if not _is_plain(text or "0"):
        raise Refusal("EGeneral:Invalid arguments:since")
    number = Decimal(text or "0")
    return int(number if number > 10**14 else number * 10**9)


def moment(params: Params, name: str, otherwise: float) -> float:
    """Return `start` or `end`, in seconds since 1970; `otherwise` where there is none.

    Raises:
        Refusal: If it is no number.
    """
    text = params.get(name)
    if not text:
        return otherwise
    if not _is_plain(text):
        raise Refusal(f"EGeneral:Invalid arguments:{name}")
    return float(text)


def _is_plain(text: str) -> bool:
    integer, _, part = text.partition(".")
    return is_digits(integer) and (not part or is_digits(part))


def is_digits(text: str) -> bool:
    """Tell whether `text` is 1 to 20 of the ten digits."""
    return _DIGITS.fullmatch(text) is not None


def whole(params: Params, name: str, otherwise: int) -> int:
    """Return a whole number, 0 or more; `otherwise` where there is none.

    Raises:
        Refusal: If it is no such number.
    """
    text = params.get(name) or str(otherwise)
    if not is_digits(text):
        raise Refusal(f"EGeneral:Invalid arguments:{name}")
    return int(text)


def is_true(text: object) -> bool:
    """Tell whether a parameter says yes."""
    return str(text).lower() in ("true", "1")
