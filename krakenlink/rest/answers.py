"""Kraken's answers, read and judged: a result, an error, or what became of an order.

Pure. It must never take doubt for certainty: what cannot be read is no refusal, and an order that
nobody names may stand all the same.

Source: Kraken, REST and AddOrder pages (read 2026-11).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from krakenlink.errors import (
    ArgumentError,
    KrakenAPIError,
    KrakenConnectionError,
    KrakenTransportError,
    ProtocolError,
)
from krakenlink.rest.verdicts import (
    LOOK_UP,
    OutcomeKind,
    Pause,
    Verdict,
    is_nonce_refused,
    is_warning,
    verdict_of,
)


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
    raise verdict.error(endpoint, refusals, verdict)


def result_of(endpoint: str, answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `result` of an answer, which most calls promise to be an object.

    Raises:
        ProtocolError: If it is none.
    """
    result = answer.get("result")
    if not isinstance(result, dict):
        raise ProtocolError(f"{endpoint}: the result is a {type(result).__name__}, no object")
    return result


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


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one order.

    Attributes:
        kind: Placed, refused, unknown, or (for a validation) valid.
        txid: Kraken's id of the order; None unless it is placed.
        heals: Whether a refused order may be taken later; never True for the other kinds.
        reason: What was said, or what happened, for people and without the cure; empty when all
            went well.
        cure: What a person can do about it; empty where nothing is known.
        pause: What must wait, where the order was refused for the pace alone.
    """

    kind: OutcomeKind
    txid: str | None = None
    heals: bool = False
    reason: str = ""
    cure: str = ""
    pause: Pause | None = None


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
        return Outcome(OutcomeKind.UNKNOWN, reason=f"the answer is a {kind}", cure=LOOK_UP)
    txid = _txid_of(answer_or_error)
    if txid is not None:
        return Outcome(OutcomeKind.PLACED, txid)
    if validate and "descr" in answer_or_error:
        return Outcome(OutcomeKind.VALID)
    return Outcome(OutcomeKind.UNKNOWN, reason="the answer names no order id", cure=LOOK_UP)


def _txid_of(answer: dict[Any, Any]) -> str | None:
    # AddOrder answers with a list; a row of a batch with one text.
    txids = answer.get("txid")
    first = txids[0] if isinstance(txids, list | tuple) and txids else txids
    return first.strip() if isinstance(first, str) and first.strip() else None


def _outcome_of_error(error: BaseException, *, may_be_resend: bool) -> Outcome:
    if isinstance(error, KrakenAPIError):
        verdict = error.verdict or verdict_of(error.errors)
        return _outcome_of_strings(error.errors, verdict, error.said, may_be_resend=may_be_resend)
    reason = (str(error) or type(error).__name__)[:_LONGEST_REASON]
    if isinstance(error, KrakenTransportError) and not error.request_sent:
        cure = "Kraken could not be reached; nothing was sent."
        return Outcome(OutcomeKind.REFUSED, heals=True, reason=reason, cure=cure)
    if isinstance(error, ArgumentError):
        return Outcome(OutcomeKind.REFUSED, reason=reason)
    if "Kraken API error" in reason:
        found = _STRINGS.findall(reason)
        return _outcome_of_strings(found, verdict_of(found), reason, may_be_resend=may_be_resend)
    return Outcome(OutcomeKind.UNKNOWN, reason=reason, cure=LOOK_UP)


def _outcome_of_strings(
    errors: Iterable[str], verdict: Verdict, said: str, *, may_be_resend: bool
) -> Outcome:
    reason = said[:_LONGEST_REASON]
    if may_be_resend and is_nonce_refused(errors):
        return Outcome(OutcomeKind.UNKNOWN, reason=reason, cure=LOOK_UP)
    return Outcome(verdict.kind, None, verdict.heals, reason, verdict.cure, verdict.pause)
