"""Kraken's REST protocol without a socket: requests are built and signed, answers read and judged.

Pure: the nonce comes in, bytes go out, and nothing here waits, sends or logs. It must never let a
key, a secret, a signature or a private body into a `repr` or a message.

Everything that is known about Kraken's error strings stands in `_TABLE`, once: whether the order
was certainly not placed, whether waiting heals it, and what a person can do about it.

Source: Kraken, REST authentication, AddOrder and error pages (read 2026-11).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Any
from urllib.parse import urlencode

from krakenlink.errors import (
    ArgumentError,
    AuthenticationError,
    KrakenAPIError,
    KrakenConnectionError,
    KrakenTransportError,
    OrderRejected,
    ProtocolError,
    RateLimitError,
)
from krakenlink.numbers import plain, to_decimal

# Every other switch of Kraken is off when it is not sent, and whether the text "false" turns one
# off is not documented for forms. Off is therefore said by silence, but where silence means on.
_ON_BY_DEFAULT = frozenset({"consolidate_taker"})


# --- requests ----------------------------------------------------------------------------------


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


def private_request(
    method: str, params: Mapping[str, object] | None, nonce: int | str, key: str, secret: str
) -> Request:
    """Return the signed request of one private call.

    Raises:
        ArgumentError: If a parameter has no text, or key or secret cannot be one.
    """
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


# --- answers -----------------------------------------------------------------------------------


class OutcomeKind(Enum):
    """What is certain about an order after an answer, or after none."""

    PLACED = "placed"
    REFUSED = "refused"  # certainly not placed
    UNKNOWN = "unknown"  # may stand at Kraken: look it up before anything else
    VALID = "valid"  # a mere validation, which Kraken would have taken


class Pause(Enum):
    """What Kraken's limits on the pace hold back."""

    PAIR = "orders on this pair"
    ACCOUNT = "orders of this account"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What Kraken's error strings mean.

    Attributes:
        kind: Of an order that was answered so.
        heals: Whether the same order may be taken later without anybody's doing.
        error: The class that is raised.
        cure: A sentence a person can act on; empty where nothing is known.
        pause: What must wait, where the pace was too fast.
    """

    kind: OutcomeKind
    heals: bool
    error: type[KrakenAPIError]
    cure: str
    pause: Pause | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one order.

    Attributes:
        kind: Placed, refused, unknown, or (for a validation) valid.
        txid: Kraken's id of the order; None unless it is placed.
        heals: Whether a refused order may be taken later; never True for the other kinds.
        reason: What was said, or what happened, for people; empty when all went well.
        cure: What a person can do about it; empty where nothing is known.
        pause: What must wait, where the order was refused for the pace alone.
    """

    kind: OutcomeKind
    txid: str | None = None
    heals: bool = False
    reason: str = ""
    cure: str = ""
    pause: Pause | None = None


_KEY_CURE = "Check that key and secret belong together and were copied whole."
_PAIR_CURE = "Check the pair's name against Kraken's list of pairs."
_WAIT_CURE = "Kraken asks for a pause; it is kept to."
_MODE_CURE = "Kraken's market is restricted at the moment; see status.kraken.com."
_LOOK_UP = "Whether the order was placed is not known; look at Kraken's open orders."
_BUSY_CURE = "Kraken is unavailable or busy; see status.kraken.com. " + _LOOK_UP


def _refused(error: type[KrakenAPIError], cure: str, *, heals: bool = False) -> Verdict:
    return Verdict(OutcomeKind.REFUSED, heals, error, cure)


def _unknown(cure: str = _LOOK_UP) -> Verdict:
    return Verdict(OutcomeKind.UNKNOWN, False, KrakenAPIError, cure)


_WAIT = Verdict(OutcomeKind.REFUSED, True, RateLimitError, _WAIT_CURE, Pause.ACCOUNT)
_WAIT_ON_PAIR = Verdict(OutcomeKind.REFUSED, True, RateLimitError, _WAIT_CURE, Pause.PAIR)
_MARGIN = _refused(OrderRejected, "Margin rules refuse it; check margin and open positions.")
_NONCE = _refused(
    AuthenticationError,
    "Another program may use the same key: give each its own key, or widen its nonce window.",
    heals=True,
)

# The beginnings of Kraken's error strings; the longest that fits counts. A string that no line
# fits is *unknown*: an order is only called refused where Kraken's documents say that it was.
_TABLE: dict[str, Verdict] = {
    # The key.
    "EAPI:Invalid key": _refused(AuthenticationError, _KEY_CURE),
    "EAPI:Invalid signature": _refused(AuthenticationError, _KEY_CURE),
    "EAPI:Invalid nonce": _NONCE,
    "EAPI:Feature disabled": _refused(AuthenticationError, "Kraken has switched this call off."),
    "EAPI:Bad request": _refused(KrakenAPIError, "The request is malformed; report this."),
    "EGeneral:Permission denied": _refused(
        AuthenticationError,
        "The API key lacks a permission: create an API key with 'Create & modify orders' (and "
        "'Query open orders & trades', 'Query closed orders & trades', 'Query funds').",
    ),
    "EAccount:Invalid permissions": _refused(
        AuthenticationError, "Kraken does not let this account trade the pair where you live."
    ),
    "EAuth:Account temporary disabled": _refused(
        AuthenticationError, "Kraken has locked the account for now; sign in and look.", heals=True
    ),
    "EAuth:Account unconfirmed": _refused(AuthenticationError, "Confirm the account at Kraken."),
    "EGeneral:Temporary lockout": _refused(
        RateLimitError, "Too many wrong keys: Kraken is closed to you for 15 minutes.", heals=True
    ),
    # The pace.
    "EAPI:Rate limit exceeded": _WAIT,
    "EAuth:Rate limit exceeded": _WAIT,
    "EAuth:Too many requests": _WAIT,
    "EGeneral:Too many requests": _WAIT,
    "EOrder:Rate limit exceeded": _WAIT_ON_PAIR,
    "EOrder:Domain rate limit exceeded": _WAIT,
    "EService:Throttled": _WAIT,
    # The order.
    "EOrder:Insufficient funds": _refused(
        OrderRejected,
        "Deposit funds, free those that open orders hold, or lower the volume.",
        heals=True,
    ),
    "EOrder:Order minimum not met": _refused(
        OrderRejected, "Raise the volume to the pair's minimum (`ordermin`)."
    ),
    # Of the same volume, the cost may suffice at another price.
    "EOrder:Cost minimum not met": _refused(
        OrderRejected, "Raise the volume: price x volume is under the pair's `costmin`.", heals=True
    ),
    "EOrder:Tick size check failed": _refused(
        OrderRejected, "Use fewer decimals in the price: it must fit the pair's tick size."
    ),
    "EOrder:Invalid price": _refused(OrderRejected, "Check the trailing offset or the price."),
    "EOrder:Invalid volume": _refused(OrderRejected, "Check the volume."),
    "EOrder:Orders limit exceeded": _refused(
        OrderRejected, "Too many open orders: cancel some.", heals=True
    ),
    "EOrder:Scheduled orders limit exceeded": _refused(
        OrderRejected, "Too many waiting stop orders: cancel some.", heals=True
    ),
    "EOrder:Positions limit exceeded": _MARGIN,
    "EOrder:Trading agreement required": _refused(
        OrderRejected, "Accept Kraken's trading agreement on its website."
    ),
    "EOrder:Post only order": _refused(OrderRejected, "A post-only order would trade at once."),
    "EOrder:Unknown position": _MARGIN,
    "EOrder:Cannot open position": _MARGIN,
    "EOrder:Cannot open opposing position": _MARGIN,
    "EOrder:Insufficient margin": _MARGIN,
    "EOrder:Margin allowance exceeded": _MARGIN,
    "EOrder:Margin level too low": _MARGIN,
    "EOrder:Margin position size exceeded": _MARGIN,
    "EOrder:Reduce only": _MARGIN,
    # Answers to a cancel, an edit or a look-up; to AddOrder they would be a riddle.
    "EOrder:Unknown order": _unknown("Kraken has no such open order: it may be closed by now."),
    "EOrder:Invalid order": _unknown("Kraken has no such open order: it may be closed by now."),
    # The arguments.
    "EGeneral:Invalid arguments": _refused(KrakenAPIError, "Check pair, volume and offset."),
    "EGeneral:Invalid arguments:Index unavailable": _refused(
        KrakenAPIError, "This pair has no index price: use trigger=last."
    ),
    # The deadline is the caller's and not the order's: slow networks and clocks make it too near.
    "EGeneral:Invalid arguments:deadline": _refused(
        KrakenAPIError,
        "It came too late for its deadline; the next one gets a new one.",
        heals=True,
    ),
    # The text for a `cl_ord_id` that is already in use is not documented. Were it this one, then
    # the order stands.
    "EGeneral:Invalid arguments:cl_ord_id": _unknown(),
    "EGeneral:Unknown method": _refused(KrakenAPIError, "Kraken knows no such call."),
    "EGeneral:Unknown asset pair": _refused(KrakenAPIError, _PAIR_CURE),
    "EQuery:Unknown asset pair": _refused(KrakenAPIError, _PAIR_CURE),
    "EQuery:Invalid asset pair": _refused(KrakenAPIError, _PAIR_CURE),
    "EQuery:Unknown asset": _refused(KrakenAPIError, "Check the asset's name."),
    # The market.
    "EService:Market in cancel_only mode": _refused(OrderRejected, _MODE_CURE, heals=True),
    "EService:Market in post_only mode": _refused(OrderRejected, _MODE_CURE, heals=True),
    "EService:Market in limit_only mode": _refused(OrderRejected, _MODE_CURE, heals=True),
    # Doubtful by Kraken's own words.
    "EService:Unavailable": _unknown(_BUSY_CURE),
    "EService:Busy": _unknown(_BUSY_CURE),
    "EService:Timeout": _unknown(_BUSY_CURE),
    "EService:Deadline elapsed": _unknown(),
    "EGeneral:Internal error": _unknown(_BUSY_CURE),
}


def _normal(text: str) -> str:
    """Return an error string as it is compared: Kraken writes `EService: Throttled` both ways."""
    return re.sub(r"\s*:\s*", ":", text.strip()).casefold()


_UNKNOWN_PAIR = (
    "equery:unknown asset pair",
    "equery:invalid asset pair",
    "egeneral:unknown asset pair",
    "egeneral:invalid arguments",
)

_BY_START = sorted(((_normal(s), v) for s, v in _TABLE.items()), key=lambda e: -len(e[0]))


def _verdict_of_one(text: str) -> Verdict:
    said = _normal(text)
    return next((v for start, v in _BY_START if said.startswith(start)), _unknown())


def verdict_of(errors: Iterable[str]) -> Verdict:
    """Return what Kraken's error strings mean together.

    The doubtful outweighs the certain, and what does not heal outweighs what does. Warnings
    (`W...`) count for nothing. No string at all, or one that the table does not know: unknown.
    """
    verdicts = [_verdict_of_one(text) for text in errors if not is_warning(text)]
    if not verdicts:
        return _unknown()
    # Stable: among equals the string that Kraken names first decides.
    return min(verdicts, key=lambda v: (v.kind is not OutcomeKind.UNKNOWN, v.heals))


def is_warning(text: str) -> bool:
    """Tell whether one of Kraken's strings is a warning, which may stand beside a result."""
    return text.lstrip().startswith("W")


def is_unknown_pair(error: KrakenAPIError) -> bool:
    """Tell whether `error` says that Kraken does not know the pair under the name it was given.

    Delisted pairs have been seen to be answered with the vaguer of the two.
    """
    said = (_normal(text) for text in error.errors)
    return any(s.startswith(_UNKNOWN_PAIR) for s in said)


def read_answer(endpoint: str, status: int, body: bytes) -> dict[str, Any]:
    """Return Kraken's whole answer, `error` (warnings only) and `result`.

    Args:
        endpoint: Kraken's name of the call, for messages.
        status: The HTTP status. Kraken answers its own errors with 200.
        body: The body as received.

    Raises:
        KrakenAPIError: If Kraken says no; the subclass and the cure come from the table.
        KrakenConnectionError: If something between here and Kraken answered (a status other than
            200 without Kraken's errors in it). The request may have been acted upon.
        ProtocolError: If a 200 cannot be read as an answer of Kraken.
    """
    answer = _object(body)
    errors = _errors_of(answer)
    refusals = [text for text in errors or () if not is_warning(text)]
    if status != 200 and not refusals:
        raise KrakenConnectionError(
            f"{endpoint}: HTTP {status} instead of an answer from Kraken", request_sent=True
        )
    if answer is None or errors is None or not (refusals or "result" in answer):
        raise ProtocolError(f"{endpoint}: the answer cannot be read as Kraken's")
    if not refusals:
        return answer
    if isinstance(answer.get("result"), dict) and answer["result"].get("txid"):
        # Never seen; but then an order stands, whatever the error says.
        raise ProtocolError(f"{endpoint}: an order id and an error in one answer: {refusals}")
    verdict = verdict_of(refusals)
    raise verdict.error(endpoint, refusals, verdict.cure)


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _errors_of(answer: dict[str, Any] | None) -> list[str] | None:
    errors = answer.get("error") if answer is not None else None
    if isinstance(errors, str):
        errors = [errors]
    if isinstance(errors, list) and all(isinstance(text, str) for text in errors):
        return errors
    return None


# --- orders ------------------------------------------------------------------------------------

_STRINGS = re.compile(r"\b[EW][A-Z][A-Za-z]+:[^'\",\]\[]+")
_LONGEST_REASON = 300


def outcome_of(
    answer_or_error: object, *, may_be_resend: bool = False, validate: bool = False
) -> Outcome:
    """Return what became of an order, from what `add_order` returned or raised.

    Args:
        answer_or_error: Kraken's `result`, or the exception. From anybody's stand-in of the
            client, too: only what is certain counts as certain.
        may_be_resend: Whether the same order may have been sent earlier. Then a refused nonce
            proves nothing, because the first copy may have used it.
        validate: Whether the order was only to be validated.
    """
    if isinstance(answer_or_error, BaseException):
        return _outcome_of_error(answer_or_error, may_be_resend=may_be_resend)
    if not isinstance(answer_or_error, dict):
        kind = type(answer_or_error).__name__
        return Outcome(OutcomeKind.UNKNOWN, reason=f"the answer is a {kind}", cure=_LOOK_UP)
    txid = _txid_of(answer_or_error)
    if txid is not None:
        return Outcome(OutcomeKind.PLACED, txid)
    if validate and "descr" in answer_or_error:
        return Outcome(OutcomeKind.VALID)
    return Outcome(OutcomeKind.UNKNOWN, reason="the answer names no order id", cure=_LOOK_UP)


def _txid_of(answer: dict[Any, Any]) -> str | None:
    # AddOrder answers with a list; a row of a batch with one text.
    txids = answer.get("txid")
    first = txids[0] if isinstance(txids, list | tuple) and txids else txids
    return first.strip() if isinstance(first, str) and first.strip() else None


def _outcome_of_error(error: BaseException, *, may_be_resend: bool) -> Outcome:
    reason = (str(error) or type(error).__name__)[:_LONGEST_REASON]
    if isinstance(error, KrakenAPIError):
        return _outcome_of_strings(error.errors, reason, may_be_resend=may_be_resend)
    if isinstance(error, KrakenTransportError) and not error.request_sent:
        cure = "Kraken could not be reached; nothing was sent."
        return Outcome(OutcomeKind.REFUSED, heals=True, reason=reason, cure=cure)
    if isinstance(error, ArgumentError):
        return Outcome(OutcomeKind.REFUSED, reason=reason)
    if "Kraken API error" in reason:
        return _outcome_of_strings(_STRINGS.findall(reason), reason, may_be_resend=may_be_resend)
    return Outcome(OutcomeKind.UNKNOWN, reason=reason, cure=_LOOK_UP)


def _outcome_of_strings(errors: Iterable[str], reason: str, *, may_be_resend: bool) -> Outcome:
    said = tuple(errors)
    verdict = verdict_of(said)
    if may_be_resend and any(_verdict_of_one(text) is _NONCE for text in said):
        return Outcome(OutcomeKind.UNKNOWN, reason=reason, cure=_LOOK_UP)
    return Outcome(verdict.kind, None, verdict.heals, reason, verdict.cure, verdict.pause)
