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
