"""What the headers of an answer say: how old it is, and how long its server is to be left alone."""

import pytest

from krakenlink.errors import KrakenConnectionError
from krakenlink.rest.headers import check_cache, retry_after

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
