"""Kraken's answers: no doubt passes for certainty, and nothing out of a cache for news."""

import json
from typing import Any
from unittest.mock import MagicMock, Mock

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from krakenlink.errors import (
    ArgumentError,
    AuthenticationError,
    KrakenAPIError,
    KrakenConnectionError,
    KrakenError,
    KrakenTimeout,
    OrderRejected,
    PriceUnavailable,
    ProtocolError,
    RateLimitError,
)
from krakenlink.rest.answers import (
    Outcome,
    check_cache,
    outcome_of,
    outcomes_of,
    read_answer,
    retry_after,
)
from krakenlink.rest.verdicts import OutcomeKind, Pause, verdict_of


def answer(**content: Any) -> bytes:
    """Return the body of an answer."""
    return json.dumps(content).encode()


# --- answers ---


def test_result_is_returned_whole() -> None:
    """A good answer is handed out as Kraken sent it, warnings included."""
    body = answer(error=["WGeneral:Danger"], result={"a": 1})
    assert read_answer("Time", 200, body) == {"error": ["WGeneral:Danger"], "result": {"a": 1}}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("EAPI:Invalid key", AuthenticationError),
        ("EGeneral:Permission denied", AuthenticationError),
        ("EAPI:Rate limit exceeded", RateLimitError),
        ("EService: Throttled: 1762820224", RateLimitError),
        ("EOrder:Insufficient funds", OrderRejected),
        ("EService:Unavailable", KrakenAPIError),
        ("ENew:Never heard of", KrakenAPIError),
    ],
)
def test_krakens_errors_are_raised_by_their_class(text: str, error: type[KrakenAPIError]) -> None:
    """The class tells a caller what to do, and the text holds Kraken's own words."""
    with pytest.raises(KrakenAPIError) as caught:
        read_answer("AddOrder", 200, answer(error=[text]))
    assert type(caught.value) is error
    assert caught.value.errors == (text,)
    assert "Kraken API error" in str(caught.value)
    assert text in str(caught.value)


def test_permission_error_says_what_to_do() -> None:
    """A missing permission is named with the words that Kraken's website uses."""
    with pytest.raises(
        AuthenticationError, match=r"create an API key with 'Create & modify orders'"
    ):
        read_answer("AddOrder", 200, answer(error=["EGeneral:Permission denied"]))


@pytest.mark.parametrize("status", [301, 403, 404, 407, 500, 502, 503, 504, 520])
@pytest.mark.parametrize("body", [b"<html>Bad gateway</html>", b"", b"{}", b'{"error":[]}'])
def test_other_statuses_leave_the_outcome_open(status: int, body: bytes) -> None:
    """An answer of the edge instead of Kraken's says its status, and that the call may have run."""
    with pytest.raises(KrakenConnectionError, match=f"HTTP {status}") as caught:
        read_answer("AddOrder", status, body)
    assert caught.value.request_sent


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"error":["EService:Throttled"]}'])
def test_429_is_a_rate_limit_whoever_sends_it(body: bytes) -> None:
    """It says how long to wait; of an order nobody knows whether another copy of it arrived."""
    with pytest.raises(RateLimitError, match="HTTP 429 Too Many Requests") as caught:
        read_answer("AddOrder", 429, body, "Too Many Requests", 7.0)
    assert caught.value.retry_after == 7.0
    assert "7 s" in caught.value.cure
    assert outcome_of(caught.value).kind is OutcomeKind.UNKNOWN


@pytest.mark.parametrize("call", ["Ticker", "Balance", "OpenOrders"])
@pytest.mark.parametrize("text", ["ENew:Else", "EService:Busy", "EGeneral:Internal error"])
def test_only_orders_are_told_of_an_order(call: str, text: str) -> None:
    """An error that nobody knows does not frighten those who asked for a price."""
    with pytest.raises(KrakenAPIError) as caught:
        read_answer(call, 200, answer(error=[text]))
    assert "order" not in str(caught.value).replace("OpenOrders", "")
    assert "order" in str(KrakenAPIError("AddOrder", [text], caught.value.verdict))


@pytest.mark.parametrize(
    "number", ["1e999", "-1e999", "1" * 61, "0." + "1" * 60, "1" * 1_000_000, "NaN", "Infinity"]
)
def test_number_beyond_all_bounds_makes_no_answer(number: str) -> None:
    """What no float holds, or takes long to read, is damage."""
    with pytest.raises(ProtocolError):
        read_answer("Time", 200, f'{{"error":[],"result":{{"unixtime":{number}}}}}'.encode())


def test_deep_answer_makes_none() -> None:
    """A hundred thousand brackets end in the one documented error."""
    deep = b'{"error":[],"result":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    with pytest.raises(ProtocolError):
        read_answer("Time", 200, deep)


def test_krakens_words_are_shown_and_not_obeyed() -> None:
    """No error of a server forges a line, and none is without an end."""
    texts = ["EOrder:\x1b[2Jx\r\nERROR forged", "E" * 100_000, *["EOrder:x"] * 100]
    with pytest.raises(KrakenAPIError) as caught:
        read_answer("AddOrder", 200, answer(error=texts))
    said = f"{caught.value} {outcome_of(caught.value).reason} {caught.value.errors}"
    assert said.isprintable()
    assert len(said) < 10_000
    assert caught.value.errors[0] == r"EOrder:\x1b[2Jx\r\nERROR forged"


def test_krakens_error_counts_whatever_the_status() -> None:
    """Where a 5xx carries Kraken's own error, the error is what is raised."""
    with pytest.raises(RateLimitError):
        read_answer("AddOrder", 503, answer(error=["EGeneral:Too many requests"]))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"\xff\xfe\x00",
        b"[]",
        b"null",
        b'{"result":{}}',
        b'{"error":[]}',
        b'{"error":[1],"result":{}}',
        b'{"error":{},"result":{}}',
        b'{"error":["WGeneral:Danger"]}',
        b'{"error":[],"result":{"a":NaN}}',
        b"[" * 100_000,
        b'{"error":[],"result":{"txid":["OABC"]}',
    ],
)
def test_unreadable_success_is_a_protocol_error(body: bytes) -> None:
    """A 200 that is no answer of Kraken leaves the outcome open, and is never an empty result."""
    with pytest.raises(ProtocolError):
        read_answer("AddOrder", 200, body)


def test_error_beside_an_order_id_leaves_the_outcome_open() -> None:
    """Should an error ever come with an order id, it is not taken for a refusal."""
    body = answer(error=["EOrder:Insufficient funds"], result={"txid": ["OABC"]})
    with pytest.raises(ProtocolError):
        read_answer("AddOrder", 200, body)


def test_error_as_a_text_is_read_too() -> None:
    """One error outside of a list is the same error."""
    with pytest.raises(OrderRejected):
        read_answer("AddOrder", 200, answer(error="EOrder:Insufficient funds"))


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)
ANSWERS = st.fixed_dictionaries({}, optional={"error": JSON, "result": JSON})


@given(st.integers(100, 599), st.binary() | (JSON | ANSWERS).map(lambda c: json.dumps(c).encode()))
@example(200, b'{"error":[],"result":' + b"9" * 5000 + b"}")
def test_any_answer_is_a_result_or_a_kraken_error(status: int, body: bytes) -> None:
    """No bytes raise anything but our own errors, and only a 200 is ever a result."""
    try:
        found = read_answer("Ticker", status, body)
    except KrakenError:
        return
    assert status == 200
    assert "result" in found


# --- orders ---


@pytest.mark.parametrize("txid", [["OABC-1"], ("OABC-1",), "OABC-1", [" OABC-1 ", "OXYZ"]])
def test_order_id_is_the_proof_of_an_order(txid: object) -> None:
    """With an order id the order is placed, whether it comes in a list or alone."""
    outcome = outcome_of({"descr": {}, "txid": txid})
    assert (outcome.kind, outcome.txid) == (OutcomeKind.PLACED, "OABC-1")


@pytest.mark.parametrize(
    "result",
    [
        {},
        {"descr": {"order": "sell"}},
        {"txid": []},
        {"txid": [""]},
        {"txid": [None]},
        {"txid": {"a": 1}},
        {"txid": Mock()},
        None,
        "OABC-1",
        Mock(),
        MagicMock(),
    ],
)
def test_answer_without_an_order_id_is_unknown(result: object) -> None:
    """An order that cannot be named may stand all the same; mocks place nothing for sure."""
    outcome = outcome_of(result)
    assert (outcome.kind, outcome.txid) == (OutcomeKind.UNKNOWN, None)
    assert outcome.reason


def test_validation_without_an_order_id_is_valid() -> None:
    """A validated order has a description and no id; without the description it is unknown."""
    assert outcome_of({"descr": {}}, validate=True).kind is OutcomeKind.VALID
    assert outcome_of({}, validate=True).kind is OutcomeKind.UNKNOWN


@pytest.mark.parametrize(
    ("error", "kind", "heals"),
    [
        (KrakenAPIError("AddOrder", ["EOrder:Insufficient funds"]), OutcomeKind.REFUSED, True),
        (KrakenAPIError("AddOrder", ["EGeneral:Permission denied"]), OutcomeKind.REFUSED, True),
        (KrakenAPIError("AddOrder", ["EService:Busy"]), OutcomeKind.UNKNOWN, False),
        (KrakenTimeout("no answer", request_sent=True), OutcomeKind.UNKNOWN, False),
        (KrakenTimeout("no connection", request_sent=False), OutcomeKind.REFUSED, True),
        (KrakenConnectionError("HTTP 502", request_sent=True), OutcomeKind.UNKNOWN, False),
        (ProtocolError("HTML"), OutcomeKind.UNKNOWN, False),
        (PriceUnavailable("X", "none"), OutcomeKind.UNKNOWN, False),
        (ArgumentError("volume"), OutcomeKind.REFUSED, False),
        (ValueError("Expecting value: line 1"), OutcomeKind.UNKNOWN, False),
        (TimeoutError(), OutcomeKind.UNKNOWN, False),
        (Exception("Kraken API error: ['EOrder:Insufficient funds']"), OutcomeKind.REFUSED, True),
        (Exception("Kraken API error: EService:Busy, EOrder:X"), OutcomeKind.UNKNOWN, False),
        (Exception("Kraken API error: what?"), OutcomeKind.UNKNOWN, False),
        (Exception("EOrder:Insufficient funds"), OutcomeKind.UNKNOWN, False),
    ],
)
def test_errors_tell_what_is_certain(error: Exception, kind: OutcomeKind, heals: bool) -> None:
    """Only Kraken's own refusals, and what was never sent, count as *not placed*."""
    outcome = outcome_of(error)
    assert (outcome.kind, outcome.heals, outcome.txid) == (kind, heals, None)
    assert outcome.reason


def test_order_that_came_too_late_is_told_from_one_that_is_no_good() -> None:
    """And from one of which nobody knows whether it came at all."""
    late, other = "EGeneral:Invalid arguments:deadline", "EGeneral:Invalid arguments:volume"
    assert outcome_of(KrakenAPIError("AddOrder", [late])).is_overdue
    assert not outcome_of(KrakenAPIError("AddOrder", [other])).is_overdue
    assert not outcome_of(Exception("the deadline of the call passed")).is_overdue


def test_error_carries_what_its_words_mean() -> None:
    """The verdict is looked up once, and the reason of an outcome leaves the cure beside it."""
    with pytest.raises(OrderRejected) as caught:
        read_answer("AddOrder", 200, answer(error=["EOrder:Insufficient funds"]))
    error = caught.value
    assert error.verdict == verdict_of(error.errors)
    outcome = outcome_of(error)
    assert (outcome.reason, outcome.cure) == (error.said, error.cure)
    assert str(error) == f"{outcome.reason}. {outcome.cure}"


@pytest.mark.parametrize(
    "error",
    [
        AuthenticationError("AddOrder", ["EAPI:Invalid nonce"]),
        AuthenticationError("AddOrder", ["EAPI:Invalid key", "EAPI:Invalid nonce"]),
        KrakenAPIError("AddOrder", ["EAPI:Invalid nonce"]),
        Exception("Kraken API error: ['EAPI:Invalid nonce']"),
    ],
)
def test_refused_nonce_proves_nothing(error: Exception) -> None:
    """Something on the way may send even a first order twice: then the first copy may stand."""
    outcome = outcome_of(error)
    assert (outcome.kind, outcome.stands) == (OutcomeKind.UNKNOWN, False)
    assert "open orders" in outcome.cure


@pytest.mark.parametrize(
    "text",
    [
        "EOrder:duplicate clOrdId",
        "EOrder:Duplicate client order id",
        "EGeneral:Invalid arguments:cl_ord_id already in use",
        "EOrder: clordid not unique",
    ],
)
def test_duplicate_id_is_the_proof_that_the_order_stands(text: str) -> None:
    """However Kraken spells it: an order of this id is there, and none is to be sent again."""
    for errors in ([text], ["EOrder:Insufficient funds", text], ["EService:Busy", text]):
        outcome = outcome_of(KrakenAPIError("AddOrder", errors))
        assert (outcome.kind, outcome.stands) == (OutcomeKind.UNKNOWN, True)
        assert "not known" not in outcome.cure


@pytest.mark.parametrize("text", ["EOrder:Duplicate position", "WOrder:duplicate clOrdId", ""])
def test_other_words_prove_no_order(text: str) -> None:
    """Only an error about the id of this order is a proof."""
    assert not outcome_of(KrakenAPIError("AddOrder", [text])).stands


@pytest.mark.parametrize("status", [500, 502, 520])
def test_refusal_under_a_status_of_the_edge_is_doubt(status: int) -> None:
    """Kraken's engine answers with 200; whatever comes with a 5xx may be another copy's."""
    with pytest.raises(OrderRejected, match=f"HTTP {status}") as caught:
        read_answer("AddOrder", status, answer(error=["EOrder:Insufficient funds"]))
    assert outcome_of(caught.value).kind is OutcomeKind.UNKNOWN


@pytest.mark.parametrize("txid", ["=1+1", "O1\nO2", "\x1b[31m", "-1", "@x", "A" * 65, 5, ["=x"]])
def test_order_id_of_another_shape_is_not_taken(txid: object) -> None:
    """A text that a spreadsheet would run, or a screen obey, is no id; the order may stand."""
    outcome = outcome_of({"txid": txid})
    assert (outcome.kind, outcome.txid) == (OutcomeKind.UNKNOWN, None)


@pytest.mark.parametrize("txid", ["OUF4EM-FRGI2-MQMWZD", "ORDER123", " OABC "])
def test_order_id_is_taken(txid: str) -> None:
    """Kraken's shape is, and so is that of a caller's stand-in."""
    assert outcome_of({"txid": [txid]}).txid == txid.strip()


def test_other_refusals_stand_for_a_resend_too() -> None:
    """What is refused for another reason than its nonce stays refused."""
    error = OrderRejected("AddOrder", ["EOrder:Insufficient funds"])
    assert outcome_of(error).kind is OutcomeKind.REFUSED


@given(JSON | st.text().map(Exception) | st.lists(st.text()).map(lambda e: KrakenAPIError("A", e)))
def test_any_answer_has_an_outcome(thing: object) -> None:
    """Nothing raises, and *placed* is always said with an order id."""
    outcome = outcome_of(thing)
    assert (outcome.kind is OutcomeKind.PLACED) == bool(outcome.txid)


def test_reason_of_a_huge_error_is_cut() -> None:
    """An exception that carries a page of text does not flood the log."""
    assert len(outcome_of(Exception("x" * 10_000)).reason) <= 300


# --- several orders in one answer ---

IDS = ("id-a", "id-b", "id-c")
GOOD = [{"descr": {"order": "sell"}, "txid": f"O{name}-B-C"} for name in "XYZ"]


def kinds(outcomes: list[Outcome]) -> list[OutcomeKind]:
    """Return what is certain of each order."""
    return [outcome.kind for outcome in outcomes]


def test_rows_belong_to_the_orders_by_their_places() -> None:
    """Each has its own id, or its own error with all that the table says of it."""
    rows = [GOOD[0], {"error": "EOrder:Insufficient funds"}, {"error": ["EOrder:Rate limit"]}]
    first, second, third = outcomes_of({"orders": rows}, IDS)
    assert (first.kind, first.txid) == (OutcomeKind.PLACED, "OX-B-C")
    assert (second.kind, second.heals) == (OutcomeKind.REFUSED, True)
    assert second.reason == "Kraken API error on AddOrderBatch: EOrder:Insufficient funds"
    assert third.kind is OutcomeKind.UNKNOWN  # none of Kraken's strings
    rows[2] = {"error": ["EOrder:Rate limit exceeded"]}
    assert outcomes_of({"orders": rows}, IDS)[2].pause is Pause.PAIR


@pytest.mark.parametrize("rows", [None, {}, "abc", [], GOOD[:2], [*GOOD, GOOD[0]]])
def test_rows_that_are_too_few_or_too_many_leave_all_in_doubt(rows: object) -> None:
    """Nobody knows which of them is missing."""
    outcomes = outcomes_of({"orders": rows}, IDS)
    assert kinds(outcomes) == [OutcomeKind.UNKNOWN] * 3
    assert "3 orders" in outcomes[0].reason


@pytest.mark.parametrize(
    "row",
    [
        {},
        None,
        "OABC-B-C",
        [],
        {"txid": 7},
        {"txid": "=1+1"},
        {"error": {}, "descr": {}},
        {"error": [7], "txid": "OABC-B-C"},
        {"error": "EOrder:Insufficient funds", "txid": "OABC-B-C"},
        {"txid": "OABC-B-C", "cl_ord_id": "id-c"},
        {"error": "EOrder:Insufficient funds", "cl_ord_id": "id-c"},
    ],
)
def test_row_that_cannot_be_read_leaves_its_order_in_doubt_alone(row: object) -> None:
    """The orders before and behind it have rows of their own."""
    outcomes = outcomes_of({"orders": [GOOD[0], row, GOOD[2]]}, IDS)
    placed, unknown = OutcomeKind.PLACED, OutcomeKind.UNKNOWN
    assert kinds(outcomes) == [placed, unknown, placed]
    assert outcomes[1].cure


@pytest.mark.parametrize(
    "more",
    [{"cl_ord_id": "ID-B"}, {"cl_ord_id": ""}, {"error": []}, {"error": None}, {"error": ["WX:Y"]}],
)
def test_row_may_hold_what_says_nothing_against_it(more: dict[str, object]) -> None:
    """Its own id, however it is spelled; no error; a warning."""
    outcomes = outcomes_of({"orders": [GOOD[0], {**GOOD[1], **more}, GOOD[2]]}, IDS)
    assert kinds(outcomes) == [OutcomeKind.PLACED] * 3


def test_one_id_for_two_orders_leaves_both_in_doubt() -> None:
    """One of the two is somebody else's, and nobody knows which."""
    outcomes = outcomes_of({"orders": [GOOD[0], GOOD[1], GOOD[0]]}, IDS)
    assert [one.txid for one in outcomes] == [None, "OY-B-C", None]


def test_id_that_is_in_use_proves_nothing_of_the_others() -> None:
    """Said of a whole batch it is one order's; said in a row, that order's alone."""
    said = "EOrder:Duplicate client order id"
    error = KrakenAPIError("AddOrderBatch", [said], verdict_of([said]))
    assert [(one.kind, one.stands) for one in outcomes_of(error, IDS)] == [
        (OutcomeKind.UNKNOWN, False)
    ] * 3
    outcomes = outcomes_of({"orders": [GOOD[0], {"error": said}, GOOD[2]]}, IDS)
    assert [one.stands for one in outcomes] == [False, True, False]


def test_batch_that_was_only_checked_is_valid() -> None:
    """A row that names an id all the same is an order."""
    rows = [{"descr": {}}, {"descr": {}}, GOOD[2]]
    outcomes = outcomes_of({"orders": rows}, IDS, validate=True)
    assert kinds(outcomes) == [OutcomeKind.VALID, OutcomeKind.VALID, OutcomeKind.PLACED]


def test_error_beside_the_id_of_a_batch_is_doubt() -> None:
    """A refusal of the whole says that nothing was placed; an id says otherwise."""
    body = answer(error=["EOrder:Invalid volume"], result={"orders": [{}, GOOD[0]]})
    with pytest.raises(ProtocolError, match="an order id and an error in one answer"):
        read_answer("AddOrderBatch", 200, body)
    with pytest.raises(OrderRejected):
        read_answer("AddOrderBatch", 200, answer(error=["EOrder:Invalid volume"], result={}))


@given(JSON | st.fixed_dictionaries({"orders": st.lists(JSON, max_size=4)}))
@example({"orders": [{"txid": ["OABC-B-C"]}, {"error": "EOrder:Invalid price"}, {}]})
def test_no_answer_to_a_batch_is_a_guess(found: Any) -> None:
    """There is an outcome for each order; placed means its own id, refused Kraken's own word."""
    outcomes = outcomes_of(found, IDS)
    assert len(outcomes) == 3
    for place, outcome in enumerate(outcomes):
        row = found["orders"][place] if outcome.kind is not OutcomeKind.UNKNOWN else {}
        if outcome.kind is OutcomeKind.PLACED:
            assert str(outcome.txid) in str(row["txid"])
        elif outcome.kind is OutcomeKind.REFUSED:
            assert "E" in str(row["error"])


DATE = "Wed, 25 Nov 2026 08:00:00 GMT"


@pytest.mark.parametrize(
    ("method", "age"),
    [("Ticker", None), ("Ticker", " "), ("Ticker", "3"), ("AssetPairs", "60")],
)
def test_answer_of_this_moment_is_taken(method: str, age: str | None) -> None:
    """A second or two is the way itself, and the listing of pairs holds for longer."""
    check_cache(method, age)


@pytest.mark.parametrize(
    ("method", "age", "said"),
    [
        ("Ticker", "4", "of 4 s ago"),
        ("Ticker", "0, 300", "of 300 s ago"),
        ("AssetPairs", "61", "of 61 s ago"),
        ("Ticker", "-1", "of nobody knows when"),
        ("Ticker", "new", "of nobody knows when"),
        ("Ticker", "9" * 40, "of 999999999999 s ago"),
    ],
)
def test_answer_out_of_a_cache_is_refused(method: str, age: str, said: str) -> None:
    """So is one whose age nobody can read; the request has left then."""
    with pytest.raises(KrakenConnectionError, match=f"{method}: a cache .* {said}") as caught:
        check_cache(method, age)
    assert caught.value.request_sent


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "30"}, 30.0),
        ({"Retry-After": "31536000"}, 60.0),
        ({"Retry-After": "9" * 40}, 60.0),
        ({"Retry-After": "Wed, 25 Nov 2026 08:00:30 GMT", "Date": DATE}, 30.0),
        ({"Retry-After": "Wed, 25 Nov 2026 07:00:00 GMT", "Date": DATE}, 0.0),
        ({"Retry-After": "Wed, 25 Nov 2027 08:00:00 GMT", "Date": DATE}, 60.0),
        ({"Retry-After": "Wed, 25 Nov 2026 08:00:30 GMT"}, None),
        ({"Retry-After": "soon", "Date": DATE}, None),
        ({"Retry-After": "-5"}, None),
        ({}, None),
    ],
)
def test_wish_to_be_left_alone_is_read_and_bounded(
    headers: dict[str, str], seconds: float | None
) -> None:
    """A server that says "in a year" is asked again after a minute; what is no wish is none."""
    assert retry_after(headers) == seconds
