"""Kraken's answers, their text and their headers, read and judged: a result, an error, an outcome.

Pure. It must never take doubt for certainty: what cannot be read is no refusal, an order that
nobody names may stand all the same, and what lay in a cache is no answer of now.

Source: Kraken, REST and AddOrder pages; RFC 9110 and 9111, HTTP (read 2026-11).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from krakenlink.errors import (
    ArgumentError,
    GatewayError,
    KrakenAPIError,
    KrakenConnectionError,
    KrakenTransportError,
    ProtocolError,
    RateLimitError,
)
from krakenlink.foreign import shown
from krakenlink.rest.verdicts import (
    LOOK_UP,
    TOO_MANY,
    OutcomeKind,
    Pause,
    Verdict,
    is_warning,
    verdict_of,
)


def read_answer(
    endpoint: str, status: int, body: bytes, reason: str = "", retry_after: float | None = None
) -> dict[str, Any]:
    """Return Kraken's whole answer, `error` (warnings only) and `result`.

    Args:
        endpoint: Kraken's name of the call, for messages.
        status: The HTTP status. Kraken answers its own errors with 200.
        body: The body as received.
        reason: The server's words for the status.
        retry_after: Seconds that the server asks us to wait, None where it asks nothing.

    Raises:
        KrakenAPIError: If Kraken says no; the subclass and the cure come from the table.
        RateLimitError: Also for HTTP 429, whoever sent it.
        GatewayError: If something between here and Kraken answered (a status other than
            200 without Kraken's errors in it). The request may have been acted upon.
        ProtocolError: If a 200 cannot be read as an answer of Kraken.
    """
    answer = _object(body)
    errors = _errors_of(answer)
    refusals = [text for text in errors or () if not is_warning(text)]
    if status == 429:
        raise too_many(endpoint, retry_after, [*refusals, f"HTTP 429 {reason}".rstrip()])
    if status != 200 and not refusals:
        words = f" ({reason})" if reason else ""
        raise GatewayError(
            f"{endpoint}: HTTP {status}{words} instead of an answer from Kraken", request_sent=True
        )
    if answer is None or errors is None or not (refusals or "result" in answer):
        raise ProtocolError(f"{endpoint}: the answer cannot be read as Kraken's")
    if not refusals:
        return answer
    result = answer.get("result")
    if isinstance(result, dict) and (result.get("txid") or _any_placed(result.get("orders"))):
        # Never seen; but then an order stands, whatever the error says.
        raise ProtocolError(f"{endpoint}: an order id and an error in one answer: {refusals}")
    verdict = verdict_of(refusals)
    raise verdict.error(endpoint, refusals, verdict, status=status, result=result)


def too_many(
    endpoint: str, retry_after: float | None, errors: Iterable[str] = ("HTTP 429",)
) -> RateLimitError:
    """Return the error for "too many requests", which says how long to wait."""
    error = RateLimitError(endpoint, errors, TOO_MANY, status=429)
    error.retry_after = retry_after
    if retry_after:
        error.hint = f"Kraken asks for a pause of {max(1, round(retry_after))} s; it is kept to."
    return error


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
        found = json.loads(body, parse_constant=_no_constant, parse_int=_int, parse_float=_float)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


# Digits of a number: more than a double or a nonce holds, and far from where they cost time.
_MOST_DIGITS = 60


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _int(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError("a number without end")
    return int(digits)


def _float(digits: str) -> float:
    number = float(digits) if len(digits) <= _MOST_DIGITS else math.inf
    if not math.isfinite(number):
        raise ValueError("a number beyond all bounds")
    return number


# Of one answer; Kraken gives one or two.
_MOST_ERRORS = 20


def _errors_of(answer: dict[str, Any] | None) -> list[str] | None:
    errors = answer.get("error") if answer is not None else None
    if isinstance(errors, str):
        errors = [errors]
    if isinstance(errors, list) and all(isinstance(text, str) for text in errors):
        return [shown(text) for text in errors[:_MOST_ERRORS]]
    return None


# --- orders ------------------------------------------------------------------------------------


class Outcome(NamedTuple):
    """What became of one order.

    Attributes:
        kind: Placed, refused, unknown, or (for a validation) valid.
        txid: Kraken's id of the order; None unless it is placed.
        heals: Whether a refused order may be taken later; never True for the other kinds.
        reason: What was said, or what happened, for people and without the cure; empty when all
            went well.
        cure: What a person can do about it; empty where nothing is known.
        pause: What must wait, where the order was refused for the pace alone.
        is_slow: Whether what heals it takes hours or more.
        is_judged: Whether Kraken itself has answered, and so has taken the key.
        stands: Whether an order of this very id certainly stands, or stood, though its `txid` is
            not known yet: it is to be looked for until it is found, and never sent again.
        is_late: Whether something on the way answered in Kraken's place, so that an order that
            was placed may be missing from the books for a while.
    """

    kind: OutcomeKind
    txid: str | None = None
    heals: bool = False
    reason: str = ""
    cure: str = ""
    pause: Pause | None = None
    is_slow: bool = False
    is_judged: bool = False
    stands: bool = False
    is_late: bool = False

    @property
    def is_overdue(self) -> bool:
        """Whether an order was refused for its deadline alone, which the next one has anew."""
        return self.kind is OutcomeKind.REFUSED and "deadline" in self.reason


# Answers that judge the key, and no order.
_OF_KEY = (Pause.KEY, Pause.LOCKOUT)
_STRINGS = r"\b[EW][A-Z][A-Za-z]+:[^'\",\]\[]+"  # compiled when it is needed: mostly never


def outcome_of(answer_or_error: object, *, validate: bool = False) -> Outcome:
    """Return what became of an order, from what `add_order` returned or raised.

    Args:
        answer_or_error: Kraken's `result`, or the exception. From anybody's stand-in of the
            client, too: only what is certain counts as certain.
        validate: Whether the order was only to be validated.
    """
    if isinstance(answer_or_error, BaseException):
        return _outcome_of_error(answer_or_error)
    if not isinstance(answer_or_error, dict):
        kind = type(answer_or_error).__name__
        return Outcome(OutcomeKind.UNKNOWN, reason=f"the answer is a {kind}", cure=LOOK_UP)
    txid = _txid_of(answer_or_error)
    if txid is not None:
        return Outcome(OutcomeKind.PLACED, txid, is_judged=True)
    if answer_or_error.get("txid"):
        said = "the answer names an order id that cannot be one of Kraken's"
        return Outcome(OutcomeKind.UNKNOWN, reason=said, cure=LOOK_UP)
    if validate and "descr" in answer_or_error:
        return Outcome(OutcomeKind.VALID, is_judged=True)
    return Outcome(OutcomeKind.UNKNOWN, reason="the answer names no order id", cure=LOOK_UP)


def outcomes_of(
    answer_or_error: object, cl_ord_ids: Sequence[str], *, validate: bool = False
) -> list[Outcome]:
    """Return what became of each order of a batch, from what `add_order_batch` returned or raised.

    The rows of an answer belong to the orders by their places. Where that is not certain, because
    there are more or fewer of them, all are in doubt; a row that cannot be read is in doubt alone.

    Args:
        answer_or_error: Kraken's `result`, or the exception.
        cl_ord_ids: The client ids of the orders as they were sent; an empty one for none.
        validate: Whether the orders were only to be validated.
    """
    if isinstance(answer_or_error, BaseException):
        # That an order of an id stands already: nobody knows whose.
        outcome = _outcome_of_error(answer_or_error)._replace(stands=False)
        return [outcome] * len(cl_ord_ids)
    rows = answer_or_error.get("orders") if isinstance(answer_or_error, dict) else None
    if not isinstance(rows, list) or len(rows) != len(cl_ord_ids):
        count = f"{len(rows)} orders" if isinstance(rows, list) else "no list of orders"
        said = f"the answer to {len(cl_ord_ids)} orders holds {count}"
        return [Outcome(OutcomeKind.UNKNOWN, reason=said, cure=LOOK_UP)] * len(cl_ord_ids)
    pairs = zip(rows, cl_ord_ids, strict=True)
    outcomes = [_outcome_of_row(row, ours, validate=validate) for row, ours in pairs]
    txids = [outcome.txid for outcome in outcomes if outcome.txid is not None]
    said = "the answer names one order id for several orders"
    doubt = Outcome(OutcomeKind.UNKNOWN, reason=said, cure=LOOK_UP)
    return [doubt if one.txid and txids.count(one.txid) > 1 else one for one in outcomes]


def _outcome_of_row(row: object, cl_ord_id: str, *, validate: bool) -> Outcome:
    said = ""
    if isinstance(row, dict):
        errors = _errors_of({"error": row.get("error") or []})
        refusals = [text for text in errors or () if not is_warning(text)]
        if errors is None or (refusals and row.get("txid")):
            said = "its row of the answer holds an error that cannot be read"
        elif not _is_same_id(row.get("cl_ord_id") or cl_ord_id, cl_ord_id):
            said = "its row of the answer is about another order"
        elif refusals:
            verdict = verdict_of(refusals)
            return _outcome_of_verdict(verdict, verdict.error("AddOrderBatch", refusals).said)
    if said:
        return Outcome(OutcomeKind.UNKNOWN, reason=said, cure=LOOK_UP)
    return outcome_of(row, validate=validate)


def _is_same_id(told: object, ours: str) -> bool:
    """Tell whether an id is ours: Kraken may leave out the dashes of a UUID."""
    return str(told).replace("-", "").casefold() == ours.replace("-", "").casefold()


def _any_placed(rows: object) -> bool:
    return isinstance(rows, list) and any(isinstance(row, dict) and row.get("txid") for row in rows)


# Kraken's ids are O, five, six and six capitals or digits; stand-ins have others. What begins as a
# formula does, or could break a line, is none.
_TXID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{1,63}", re.ASCII)


def is_txid(text: str) -> bool:
    """Tell whether a text can be an order id of Kraken's, and is safe in a file and on a screen."""
    return _TXID.fullmatch(text) is not None


def _txid_of(answer: dict[Any, Any]) -> str | None:
    # AddOrder answers with a list; a row of a batch with one text.
    txids = answer.get("txid")
    first = txids[0] if isinstance(txids, list | tuple) and txids else txids
    text = first.strip() if isinstance(first, str) else ""
    return text if is_txid(text) else None


def _outcome_of_error(error: BaseException) -> Outcome:
    if isinstance(error, KrakenAPIError):
        verdict = error.verdict or verdict_of(error.errors)
        if error.status >= 500:  # whoever has written this, it was not Kraken's engine
            verdict = verdict._replace(kind=OutcomeKind.UNKNOWN, heals=False)
            return _outcome_of_verdict(verdict, error.said)._replace(is_late=True)
        return _outcome_of_verdict(verdict, error.said)
    reason = shown(str(error) or type(error).__name__)
    if isinstance(error, KrakenTransportError) and not error.request_sent:
        cure = "Kraken could not be reached; nothing was sent."
        return Outcome(OutcomeKind.REFUSED, heals=True, reason=reason, cure=cure)
    if isinstance(error, ArgumentError):
        return Outcome(OutcomeKind.REFUSED, reason=reason)
    if "Kraken API error" in reason:
        return _outcome_of_verdict(verdict_of(re.findall(_STRINGS, reason)), reason)
    is_late = isinstance(error, GatewayError)
    return Outcome(OutcomeKind.UNKNOWN, reason=reason, cure=LOOK_UP, is_late=is_late)


def _outcome_of_verdict(verdict: Verdict, said: str) -> Outcome:
    return Outcome(
        kind=verdict.kind,
        heals=verdict.heals,
        reason=shown(said),
        cure=verdict.cure_for("AddOrder"),
        pause=verdict.pause,
        is_slow=verdict.is_slow,
        is_judged=verdict.kind is OutcomeKind.REFUSED and verdict.pause not in _OF_KEY,
        stands=verdict.proves_order,
    )


# --- headers -----------------------------------------------------------------------------------

# Whole seconds that an answer may have lain in a cache; a second or two is the way itself. The
# listing of pairs holds for a day anyway.
_MOST_AGE = {"AssetPairs": 60}
_MOST_AGE_OF_OTHERS = 3
# Longest that a server's `Retry-After` is heeded, in seconds.
_MOST_PAUSE = 60.0


def check_cache(method: str, age: str | None) -> None:
    """Refuse what something between here and Kraken has kept, whatever it was asked.

    Raises:
        KrakenConnectionError: If the answer's `Age`, whole seconds, shows it.
    """
    if age is None or not age.strip():
        return
    most = _MOST_AGE.get(method, _MOST_AGE_OF_OTHERS)
    seconds = max((int(digits) for digits in re.findall(r"[0-9]{1,12}", age)), default=0)
    is_read = re.fullmatch(r"[0-9 ,]+", age) is not None
    if not is_read or seconds > most:
        old = f"of {seconds} s ago" if is_read else "of nobody knows when"
        raise KrakenConnectionError(
            f"{method}: a cache on the way to Kraken answered with what it had {old}",
            request_sent=True,
        )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return how long a server asks to be left alone, in seconds and bounded; None for not."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdecimal():
        return min(float(text[:9]), _MOST_PAUSE)
    try:
        until = parsedate_to_datetime(text)
        now = parsedate_to_datetime(headers.get("Date", ""))
        return min(max(0.0, (until - now).total_seconds()), _MOST_PAUSE)
    except (TypeError, ValueError, OverflowError):
        return None
