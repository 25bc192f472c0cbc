"""Parameters to their very ends: batches, and the exact word of each refusal."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_kraken.params import (
    Refusal,
    client_id,
    is_digits,
    is_true,
    moment,
    nanoseconds,
    number_of,
    one_of,
    places_of,
    read_orders,
    read_params,
    seconds,
    userref,
    whole,
)

JSON = "application/json"
TEXTS = st.text(max_size=8)


def refused(read: Callable[[], object]) -> list[str]:
    """Return the errors that something is refused with."""
    with pytest.raises(Refusal) as caught:
        read()
    return caught.value.errors


# --- batches -------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", range(18))
def test_batch_has_two_to_fifteen_orders(count: int) -> None:
    """In the order in which they were sent."""
    rows = [{"userref": n} for n in range(count)]
    text = json.dumps(rows)
    if 2 <= count <= 15:
        assert read_orders(text) == [{"userref": str(n)} for n in range(count)]
    else:
        assert refused(lambda: read_orders(text)) == ["EGeneral:Invalid arguments:orders"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "null",
        "7",
        '"ab"',
        "{}",
        '{"a": {}, "b": {}}',
        '[{}, "x"]',
        "[{}, null]",
        "[[], []]",
        "[1, 2]",
        "[{}, {}",
        "[" * 100_000,
    ],
)
def test_batch_that_is_no_list_of_orders_is_refused(text: str) -> None:
    """Whatever else it is."""
    assert refused(lambda: read_orders(text)) == ["EGeneral:Invalid arguments:orders"]


@given(st.lists(st.dictionaries(TEXTS, TEXTS, max_size=4), min_size=2, max_size=15))
def test_batch_of_texts_is_read_as_it_was_written(rows: list[dict[str, str]]) -> None:
    """Nothing is lost or changed on the way."""
    assert read_orders(json.dumps(rows)) == rows


def test_values_of_a_batch_become_text_and_null_is_absent() -> None:
    """As in the body of a single order."""
    row = {"volume": 0.5, "validate": True, "price": "+5%", "userref": None, "flags": ["a"]}
    expected = {"volume": "0.5", "validate": "true", "price": "+5%", "flags": '["a"]'}
    assert read_orders(json.dumps([row, row])) == [expected, expected]
    assert read_params(json.dumps(row).encode(), JSON) == expected


# --- bodies --------------------------------------------------------------------------------------


@given(st.dictionaries(st.text(min_size=1, max_size=8), TEXTS, max_size=6))
def test_json_of_texts_is_read_as_it_was_written(params: dict[str, str]) -> None:
    """Any names and any texts."""
    assert read_params(json.dumps(params).encode(), JSON) == params


@pytest.mark.parametrize("body", [b"[]", b"7", b"null", b'"x"', b"{", b"x", b"[" * 100_000])
def test_body_that_is_no_object_is_refused(body: bytes) -> None:
    """In Kraken's words, without a name: there is none."""
    assert refused(lambda: read_params(body, JSON)) == ["EGeneral:Invalid arguments"]


def test_form_of_odd_bytes_is_read() -> None:
    """It is no text, and breaks nothing."""
    assert read_params(b"a=\xff&b=1", "application/x-www-form-urlencoded")["b"] == "1"
    assert read_params(b"a=%2B5%25&a=2&b", "x") == {"a": "2", "b": ""}


# --- one value -----------------------------------------------------------------------------------


@given(st.integers(1, 10**20 - 1), st.integers(0, 8))
def test_plain_number_is_exact(digits: int, places: int) -> None:
    """Up to 20 characters of it, and not one more."""
    number = Decimal(digits).scaleb(-places)
    text = f"{number:f}"
    if len(text) <= 20:
        assert number_of(text, "volume") == number
        assert max(0, places_of(number)) == len(text.partition(".")[2].rstrip("0"))
    else:
        assert refused(lambda: number_of(text, "x")) == ["EGeneral:Invalid arguments:x"]


@pytest.mark.parametrize("text", [None, "", "0", "0.00", ".", "..", "-1", "1e5", "٣", "1" * 21])
def test_number_that_is_none_is_refused_by_its_name(text: str | None) -> None:
    """Nothing, zero, a sign, a power, other digits, too many of them."""
    assert refused(lambda: number_of(text, "price2")) == ["EGeneral:Invalid arguments:price2"]


@pytest.mark.parametrize(
    ("read", "name"),
    [
        (lambda: one_of({"type": "hold"}, "type", ("buy", "sell")), "type"),
        (lambda: one_of({}, "type", ("buy", "sell")), "type"),
        (lambda: client_id({"cl_ord_id": "a b"}), "cl_ord_id"),
        (lambda: client_id({"cl_ord_id": "a", "userref": "1"}), "cl_ord_id"),
        (lambda: userref({"userref": "1.5"}), "userref"),
        (lambda: userref({"userref": "12345678901"}), "userref"),
        (lambda: seconds("soon"), "deadline"),
        (lambda: seconds("9999-13-01T00:00:00Z"), "deadline"),
        (lambda: nanoseconds("x"), "since"),
        (lambda: nanoseconds("-1"), "since"),
        (lambda: nanoseconds("1" * 21), "since"),
        (lambda: moment({"end": "x"}, "end", 0.0), "end"),
        (lambda: whole({"ofs": "-1"}, "ofs", 0), "ofs"),
        (lambda: whole({"ofs": "1.0"}, "ofs", 0), "ofs"),
        (lambda: whole({"ofs": "1" * 21}, "ofs", 0), "ofs"),
    ],
)
def test_refusal_names_the_parameter(read: Callable[[], Any], name: str) -> None:
    """In Kraken's words and no others."""
    assert refused(read) == [f"EGeneral:Invalid arguments:{name}"]


def test_refusal_says_its_errors_as_an_exception_does() -> None:
    """All of them, in a log as well."""
    refusal = Refusal("EOrder:A", "EOrder:B")
    assert refusal.errors == ["EOrder:A", "EOrder:B"]
    assert "EOrder:A" in str(refusal)
    assert "EOrder:B" in str(refusal)


@given(st.integers(-(2**33), 2**33))
def test_userref_is_any_number_of_32_bits_and_no_other(number: int) -> None:
    """Signed; a plus before it does no harm."""
    for text in (str(number), f"{number:+d}"):
        if -(2**31) <= number < 2**31:
            assert userref({"userref": text}) == number
        else:
            expected = ["EGeneral:Invalid arguments:userref"]
            assert refused(partial(userref, {"userref": text})) == expected


@given(st.integers(0, 4 * 10**9), st.integers(0, 999_999_999))
def test_since_in_seconds_and_in_nanoseconds_is_one_moment(whole_: int, part: int) -> None:
    """`last` of one answer is the `since` of the next one, to the nanosecond."""
    exact = whole_ * 10**9 + part
    assert nanoseconds(f"{whole_}.{part:09d}") == exact
    if exact > 10**14:
        assert nanoseconds(str(exact)) == exact


@pytest.mark.parametrize(
    ("text", "expected"),
    [(str(10**14), 10**23), (str(10**14 + 1), 10**14 + 1), ("0", 0), ("1.", 10**9)],
)
def test_since_is_told_apart_by_its_size(text: str, expected: int) -> None:
    """Seconds up to 10**14, which no clock shows."""
    assert nanoseconds(text) == expected


@given(st.floats(0, 4e9))
def test_deadline_is_the_moment_that_it_says(at: float) -> None:
    """To the microsecond, in any offset."""
    there = datetime.fromtimestamp(at, UTC)
    for zone in (UTC, timezone(timedelta(hours=-5)), timezone(timedelta(hours=9, minutes=30))):
        assert math.isclose(seconds(there.astimezone(zone).isoformat()), at, abs_tol=1e-5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", True),
        ("00012", True),
        ("9" * 20, True),
        ("9" * 21, False),
        ("", False),
        ("+1", False),
        ("1_0", False),
        ("²", False),
        ("٣", False),
    ],
)
def test_digits_are_the_ten_of_ascii(text: str, *, expected: bool) -> None:
    """One to twenty of them."""
    assert is_digits(text) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("true", True),
        ("TRUE", True),
        ("1", True),
        (True, True),
        (1, True),
        ("false", False),
        ("", False),
        ("yes", False),
        ("2", False),
    ],
)
def test_yes_is_true_or_one(value: object, *, expected: bool) -> None:
    """And nothing else."""
    assert is_true(value) == expected


@pytest.mark.parametrize(
    ("text", "is_good"),
    [
        ("x" * 18, True),
        ("x" * 19, False),
        ("!", True),
        ("~", True),
        ("a\x7f", False),
        ("0" * 32, True),
        ("0" * 31, False),
        ("0" * 33, False),
        ("g" * 32, False),
        ("01234567-89ab-cdef-0123-456789abcdef", True),
        ("01234567-89ab-cdef-0123-456789abcdeg", False),
        ("0123456789ab-cdef-0123-456789abcdef", False),
        ("01234567-89ab-cdef-0123-456789abcdef\n", False),
    ],
)
def test_client_id_is_of_one_shape_to_its_last_letter(text: str, *, is_good: bool) -> None:
    """A UUID, one without dashes, or up to 18 characters that are seen."""
    if is_good:
        assert client_id({"cl_ord_id": text}) == text
    else:
        expected = ["EGeneral:Invalid arguments:cl_ord_id"]
        assert refused(lambda: client_id({"cl_ord_id": text})) == expected
