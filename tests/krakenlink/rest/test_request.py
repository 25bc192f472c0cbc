"""Kraken's private requests: what is sent is what was signed, and no secret is shown."""

import base64
from decimal import Decimal
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakenlink.errors import ArgumentError
from krakenlink.rest.request import encode, private_request, sign

# Published by Kraken as an example; nobody's key.
SECRET = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="
NONCE = "1616492376594"
BODY = f"nonce={NONCE}&ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25"
SIGNATURE = (
    "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ=="
)


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


def test_secret_is_stripped_of_the_newline_of_a_file() -> None:
    """A secret pasted with a line end around it works."""
    padded = f" {SECRET}\n"
    assert base64.b64decode(SECRET)
    assert sign("/0/private/AddOrder", NONCE, BODY, padded) == SIGNATURE
