"""Kraken's REST messages: what is sent is what was signed, and no doubt passes for certainty."""

import base64
import json
from decimal import Decimal
from typing import Any
from unittest.mock import MagicMock, Mock
from urllib.parse import parse_qsl

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
from krakenlink.rest import answers as kraken_rest
from krakenlink.rest.answers import (
    OutcomeKind,
    encode,
    is_unknown_pair,
    outcome_of,
    private_request,
    read_answer,
    sign,
    verdict_of,
)

# Published by Kraken as an example; nobody's key.
SECRET = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="
NONCE = "1616492376594"
BODY = f"nonce={NONCE}&ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25"
SIGNATURE = (
    "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ=="
)


def answer(**content: Any) -> bytes:
    """Return the body of an answer."""
    return json.dumps(content).encode()


# --- requests ---


def test_signature_is_krakens() -> None:
    """Kraken's published example comes out to the letter."""
    assert sign("/0/private/AddOrder", NONCE, BODY, SECRET) == SIGNATURE


def test_request_is_signed_over_the_very_body_it_carries() -> None:
    """The signature in the headers is that of the bytes in the body."""
    params = {"ordertype": "limit", "pair": "XBTUSD", "price": 37500, "type": "buy"}
    request = private_request("AddOrder", {**params, "volume": "1.25"}, int(NONCE), "key", SECRET)
    assert request.path == "/0/private/AddOrder"
    assert request.body.decode() == BODY
    assert request.headers["API-Sign"] == SIGNATURE
    assert request.headers["API-Key"] == "key"


def test_offset_survives_the_encoding() -> None:
    """`+` and `%` of a trailing offset arrive as they were typed."""
    assert encode({"price": "+5.0%"}) == "price=%2B5.0%25"
    assert parse_qsl(encode({"price": "+5.0%"})) == [("price", "+5.0%")]


@pytest.mark.parametrize(
    ("params", "text"),
    [
        (None, ""),
        ({"a": None, "validate": False}, ""),
        ({"validate": True}, "validate=true"),
        ({"consolidate_taker": False}, "consolidate_taker=false"),
        ({"volume": Decimal("5E-8")}, "volume=0.00000005"),
        ({"volume": 5e-8}, "volume=0.00000005"),
        ({"txid": ["A", "B"]}, "txid=A%2CB"),
        (
            {"close": {"ordertype": "limit", "price": 0}},
            "close%5Bordertype%5D=limit&close%5Bprice%5D=0",
        ),
    ],
)
def test_parameters_become_form_text(params: dict[str, object] | None, text: str) -> None:
    """Absent is left out, numbers are plain, lists and dicts are as Kraken reads them."""
    assert encode(params) == text


@pytest.mark.parametrize("value", [float("nan"), Decimal("Infinity"), object(), "\ud800"])
def test_values_without_a_text_are_refused(value: object) -> None:
    """What cannot be written down is refused before anything is sent."""
    with pytest.raises(ArgumentError):
        encode({"volume": value})


@pytest.mark.parametrize("secret", ["not base64!", "abc", "é"])
def test_damaged_secret_is_refused_without_showing_it(secret: str) -> None:
    """A secret that is no base64 is named by its argument, not by its text."""
    with pytest.raises(ArgumentError, match="api_secret") as caught:
        sign("/", "1", "", secret)
    assert secret not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("key", ["key\n", "ключ"])
def test_damaged_key_is_refused_without_showing_it(key: str) -> None:
    """A key that no HTTP header takes is refused here, because HTTP libraries would print it."""
    with pytest.raises(ArgumentError, match="api_key") as caught:
        private_request("Balance", None, 1, key, SECRET)
    assert key not in str(caught.value)


def test_request_hides_its_secrets() -> None:
    """The repr of a signed request shows neither key, nor signature, nor body."""
    text = repr(private_request("Balance", {"otp": "123456"}, 1, "my-key", SECRET))
    assert text == "Request(path='/0/private/Balance')"


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=9) | st.integers(), max_size=4))
def test_encoded_text_reads_back_as_it_was(params: dict[str, object]) -> None:
    """Whatever text goes in comes out of the form again, and nothing else can fail."""
    try:
        text = encode(params)
    except ArgumentError:
        return
    assert parse_qsl(text, keep_blank_values=True) == [(k, str(v)) for k, v in params.items()]


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


@pytest.mark.parametrize("status", [301, 403, 404, 429, 500, 502, 503, 504, 520])
@pytest.mark.parametrize("body", [b"<html>Bad gateway</html>", b"", b"{}", b'{"error":[]}'])
def test_other_statuses_leave_the_outcome_open(status: int, body: bytes) -> None:
    """An answer of the edge instead of Kraken's says its status, and that the call may have run."""
    with pytest.raises(KrakenConnectionError, match=f"HTTP {status}") as caught:
        read_answer("AddOrder", status, body)
    assert caught.value.request_sent


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


# --- verdicts ---

TABLE = sorted(kraken_rest._TABLE)


@pytest.mark.parametrize("text", TABLE)
def test_every_line_of_the_table_is_consistent(text: str) -> None:
    """Classes that promise that no order stands are given to certain refusals only."""
    verdict = verdict_of([text])
    assert verdict is kraken_rest._TABLE[text]
    assert verdict.cure
    if verdict.kind is not OutcomeKind.REFUSED:
        assert verdict.error is KrakenAPIError
        assert not verdict.heals


@pytest.mark.parametrize(
    "text",
    [
        "EService:Unavailable",
        "EService:Busy",
        "EService:Deadline elapsed",
        "EGeneral:Internal error",
        "EGeneral:Internal error:17",
        "EGeneral:Invalid arguments:cl_ord_id",
        "EOrder:Something new",
        "ENew:Something else",
        "",
    ],
)
def test_doubtful_errors_leave_the_order_unknown(text: str) -> None:
    """What Kraken itself does not know, and what nobody has seen before, is never *refused*."""
    assert verdict_of([text]).kind is OutcomeKind.UNKNOWN


@pytest.mark.parametrize(
    ("text", "heals"),
    [
        ("EOrder:Insufficient funds", True),
        ("EOrder:Order minimum not met", False),
        ("EOrder:Cost minimum not met", True),
        ("EOrder:Invalid price:Invalid price argument.", False),
        ("EOrder:Rate limit exceeded", True),
        ("EService:Throttled:1762820224", True),
        ("EService:Market in cancel_only mode", True),
        ("EGeneral:Invalid arguments:Index unavailable", False),
        ("EGeneral:Permission denied", False),
        ("EAPI:Invalid nonce", True),
        ("EQuery:Unknown asset pair", False),
        ("EGeneral:Temporary lockout", True),
    ],
)
def test_refusals_say_whether_waiting_helps(text: str, heals: bool) -> None:
    """A refusal that a person must cure is told from one that passes."""
    verdict = verdict_of([text])
    assert (verdict.kind, verdict.heals) == (OutcomeKind.REFUSED, heals)


def test_longest_match_decides() -> None:
    """The more exact line of the table is the one that is used."""
    assert "trigger=last" in verdict_of(["EGeneral:Invalid arguments:Index unavailable"]).cure


@pytest.mark.parametrize(
    ("errors", "kind", "heals"),
    [
        (["EOrder:Insufficient funds", "EService:Busy"], OutcomeKind.UNKNOWN, False),
        (["EOrder:Insufficient funds", "EGeneral:Permission denied"], OutcomeKind.REFUSED, False),
        (["WGeneral:Danger", "EOrder:Insufficient funds"], OutcomeKind.REFUSED, True),
        (["WGeneral:Danger"], OutcomeKind.UNKNOWN, False),
        ([], OutcomeKind.UNKNOWN, False),
    ],
)
def test_several_errors_count_as_the_worst(
    errors: list[str], kind: OutcomeKind, heals: bool
) -> None:
    """Doubt outweighs certainty, and what needs a person outweighs what passes."""
    verdict = verdict_of(errors)
    assert (verdict.kind, verdict.heals) == (kind, heals)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("EQuery:Unknown asset pair", True),
        ("EGeneral:Invalid arguments", True),
        ("EService:Busy", False),
    ],
)
def test_unknown_pair_is_recognised(text: str, expected: bool) -> None:
    """The errors that may only mean another spelling are told from all others."""
    assert is_unknown_pair(KrakenAPIError("Ticker", [text])) is expected


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
        (KrakenAPIError("AddOrder", ["EGeneral:Permission denied"]), OutcomeKind.REFUSED, False),
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


@pytest.mark.parametrize(
    "error",
    [
        AuthenticationError("AddOrder", ["EAPI:Invalid nonce"]),
        AuthenticationError("AddOrder", ["EAPI:Invalid key", "EAPI:Invalid nonce"]),
        Exception("Kraken API error: ['EAPI:Invalid nonce']"),
    ],
)
def test_refused_nonce_proves_nothing_about_a_resend(error: Exception) -> None:
    """A nonce that was refused is a refusal the first time only: a first copy may have used it."""
    assert outcome_of(error).kind is OutcomeKind.REFUSED
    assert outcome_of(error, may_be_resend=True).kind is OutcomeKind.UNKNOWN


def test_other_refusals_stand_for_a_resend_too() -> None:
    """What is refused for another reason than its nonce stays refused."""
    error = OrderRejected("AddOrder", ["EOrder:Insufficient funds"])
    assert outcome_of(error, may_be_resend=True).kind is OutcomeKind.REFUSED


@given(JSON | st.text().map(Exception) | st.lists(st.text()).map(lambda e: KrakenAPIError("A", e)))
def test_any_answer_has_an_outcome(thing: object) -> None:
    """Nothing raises, and *placed* is always said with an order id."""
    outcome = outcome_of(thing)
    assert (outcome.kind is OutcomeKind.PLACED) == bool(outcome.txid)


def test_reason_of_a_huge_error_is_cut() -> None:
    """An exception that carries a page of text does not flood the log."""
    assert len(outcome_of(Exception("x" * 10_000)).reason) <= 300


def test_secret_is_stripped_of_the_newline_of_a_file() -> None:
    """A secret pasted with a line end around it works."""
    padded = f" {SECRET}\n"
    assert base64.b64decode(SECRET)
    assert sign("/0/private/AddOrder", NONCE, BODY, padded) == SIGNATURE
