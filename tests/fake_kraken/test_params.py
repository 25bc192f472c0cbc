"""Parameters: every text is read, or refused in Kraken's words."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_kraken.params import (
    Refusal,
    client_id,
    is_true,
    moment,
    nanoseconds,
    number_of,
    one_of,
    places_of,
    read_params,
    readable,
    seconds,
    userref,
    whole,
)

FORM, JSON = "application/x-www-form-urlencoded", "application/json"
READERS: list[Callable[[str], Any]] = [
    nanoseconds,
    seconds,
    lambda text: number_of(text, "volume"),
    lambda text: client_id({"cl_ord_id": text}),
    lambda text: userref({"userref": text}),
    lambda text: whole({"ofs": text}, "ofs", 0),
    lambda text: moment({"start": text}, "start", 0.0),
    lambda text: one_of({"type": text}, "type", ("buy", "sell")),
    lambda text: read_params(text.encode("utf-8", "replace"), JSON),
]


@pytest.mark.plenty
@pytest.mark.parametrize("read", READERS)
def test_reader_raises_nothing_but_a_refusal(read: Callable[[str], Any]) -> None:
    """Whatever the text is."""
    numbers = st.decimals(allow_nan=True).map(str)

    @given(st.text(max_size=40) | numbers | st.datetimes().map(str))
    def check(text: str) -> None:
        try:
            read(text)
        except Refusal as refusal:
            assert all(error.startswith("E") for error in refusal.errors)  # noqa: PT017

    check()


def test_forms_and_json_are_read_alike() -> None:
    """Numbers of JSON become text, and null is absent; a form keeps what is empty."""
    assert read_params(b"volume=0.5&price=%2B5%25&trigger=", FORM) == {
        "volume": "0.5",
        "price": "+5%",
        "trigger": "",
    }
    assert read_params(b'{"volume": 0.5, "price": "+5%", "trigger": null}', JSON) == {
        "volume": "0.5",
        "price": "+5%",
    }
    assert read_params(b"", JSON) == {}


def test_body_that_is_refused_has_nothing_to_show() -> None:
    """The record of calls names it with no parameters."""
    assert readable(b"[]", JSON) == {}
    assert readable(b"a=1", FORM) == {"a": "1"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0),
        ("1700000000", 1_700_000_000 * 10**9),
        ("1700000000.5", 1_700_000_000_500_000_000),
        ("1700000000123456789", 1_700_000_000_123_456_789),
    ],
)
def test_since_is_seconds_or_nanoseconds(text: str, expected: int) -> None:
    """By its size."""
    assert nanoseconds(text) == expected


@pytest.mark.parametrize(
    "text", ["2023-11-14T22:13:20Z", "2023-11-14T22:13:20", "2023-11-14T23:13:20+01:00"]
)
def test_deadline_is_a_moment_in_utc(text: str) -> None:
    """Unless it names another offset."""
    assert seconds(text) == 1_700_000_000


def test_numbers_know_their_decimals() -> None:
    """Zeros at the end are none."""
    assert [places_of(Decimal(text)) for text in ("1.50", "100", "0.00000001")] == [1, -2, 8]
    assert number_of("0.50", "volume") == Decimal("0.5")


def test_parameters_that_are_missing_have_their_defaults() -> None:
    """None of these is required."""
    assert (client_id({}), userref({}), whole({}, "ofs", 7), moment({}, "end", 2.5)) == (
        None,
        0,
        7,
        2.5,
    )
    assert (is_true(None), is_true("false"), is_true("true"), is_true(True)) == (
        False,
        False,
        True,
        True,
    )


@pytest.mark.parametrize(
    ("text", "is_good"),
    [
        ("0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f", True),
        ("0A1B2C3D0A1B0A1B0A1B0A1B2C3D4E5F", True),
        ("free-text_of.18!!!", True),
        ("x", True),
        ("nineteen-characters", False),
        ("with blank", False),
        ("0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5", False),
        ("{0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f}", False),
        ("täglich", False),
    ],
)
def test_client_order_id_has_one_of_three_shapes(text: str, is_good: bool) -> None:
    """A UUID, the same without dashes, or a short free text."""
    if is_good:
        assert client_id({"cl_ord_id": text}) == text
    else:
        with pytest.raises(Refusal, match="cl_ord_id"):
            client_id({"cl_ord_id": text})


def test_client_order_id_stands_alone() -> None:
    """Kraken takes it or a userref, and none is none."""
    with pytest.raises(Refusal, match="cl_ord_id"):
        client_id({"cl_ord_id": "x", "userref": "1"})
    assert client_id({"userref": "1"}) is None
    assert client_id({"cl_ord_id": ""}) is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("", 0),
        ("0", 0),
        ("7", 7),
        ("-7", -7),
        (str(2**31 - 1), 2**31 - 1),
        (str(-(2**31)), -(2**31)),
    ],
)
def test_userref_is_a_number_of_32_bits(text: str, number: int) -> None:
    """Signed, to its very ends."""
    assert userref({"userref": text}) == number


@pytest.mark.parametrize("text", [str(2**31), str(-(2**31) - 1), "1.0", "x", "9" * 400, "\u0661"])
def test_userref_that_is_none_is_refused(text: str) -> None:
    """One beyond the ends, or no number."""
    with pytest.raises(Refusal, match="userref"):
        userref({"userref": text})


@pytest.mark.parametrize(
    ("text", "number"), [("1700000000", 1700000000.0), ("1.5", 1.5), ("0", 0.0)]
)
def test_start_and_end_are_seconds(text: str, number: float) -> None:
    """As they were sent; what is missing is what is meant then."""
    assert moment({"start": text}, "start", -1.0) == number
    assert moment({}, "start", -1.0) == moment({"start": ""}, "start", -1.0) == -1.0


@pytest.mark.parametrize("text", ["x", "-1", "1e9", "1.", "1.x", "OABC-DEFGH-IJKLMN"])
def test_start_that_is_no_moment_is_refused(text: str) -> None:
    """An order id is one at Kraken, and none here."""
    if text == "1.":
        assert moment({"start": text}, "start", 0.0) == 1.0
    else:
        with pytest.raises(Refusal, match="start"):
            moment({"start": text}, "start", 0.0)


@pytest.mark.parametrize(
    "text", ["1e3", "-1", "0", "0.0", "", "1" * 21, "+1", "1,5", "NaN", "Inf", " 1"]
)
def test_number_is_positive_and_plain(text: str) -> None:
    """Neither an exponent, nor a sign, nor nothing, nor more digits than can be exact."""
    with pytest.raises(Refusal, match="volume"):
        number_of(text, "volume")


@pytest.mark.parametrize(
    ("text", "number"), [("1", "1"), ("0.5", "0.5"), (".5", "0.5"), ("5.", "5")]
)
def test_plain_numbers_are_exact(text: str, number: str) -> None:
    """With a point before, in or after them."""
    assert number_of(text, "volume") == Decimal(number)
