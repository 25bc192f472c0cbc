"""The optional columns: each text that can be meant, and each that cannot, with its cure."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttslo_app.rules.terms import (
    NO_TERMS,
    Expiry,
    FeeCurrency,
    Limit,
    Share,
    Terms,
    Trigger,
    is_share,
    number_hint,
    read_expiry,
    read_limit,
    read_share,
)

ARMED = datetime(2026, 11, 26, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("typed", "share", "told"),
    [
        ("all", Share(percent=Decimal(100)), "all"),
        (" ALL ", Share(percent=Decimal(100)), "all"),
        ("100%", Share(percent=Decimal(100)), "all"),
        ("50%", Share(percent=Decimal(50)), "50 %"),
        ("12.5 %", Share(percent=Decimal("12.5")), "12.5 %"),
        ("100 USD", Share(quote=Decimal(100), currency="USD"), "100 USD"),
        ("99.5eur", Share(quote=Decimal("99.5"), currency="EUR"), "99.5 EUR"),
        ("filled", Share(is_filled=True), "filled"),
    ],
)
def test_volume_may_be_worked_out_at_the_crossing(typed: str, share: Share, told: str) -> None:
    """A word, a part of what is free, or a sum of money; and it is told as it was meant."""
    assert is_share(typed)
    assert read_share(typed) == share
    assert share.text == told


@pytest.mark.parametrize("typed", ["0.01", "1e400", "1E5", "5 5", "half", "", "-1", "$100", "0x10"])
def test_number_is_no_share(typed: str) -> None:
    """What looks like a number is read as one, or refused as one."""
    assert not is_share(typed)


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("100.1%", "more than all that is free; write 100% or less"),
        ("0%", "is not positive"),
        ("-5%", "is not positive"),
        ("%", "is not a number"),
        ("0 USD", "is not positive"),
        ("ten%", "is not a number"),
    ],
)
def test_share_that_cannot_be_meant_is_refused(typed: str, why: str) -> None:
    """With what may be written instead, where there is something to say."""
    with pytest.raises(ValueError, match=why):
        read_share(typed)


@pytest.mark.parametrize(
    ("typed", "amount", "is_percent", "told"),
    [
        ("0.5%", "0.5", True, "0.5 %"),
        ("0.5 %", "0.5", True, "0.5 %"),
        ("250", "250", False, "250"),
        ("0", "0", False, "0"),
        ("0%", "0", True, "0 %"),
    ],
)
def test_limit_lies_in_percent_or_in_money_from_the_trigger(
    typed: str, amount: str, is_percent: bool, told: str
) -> None:
    """Nought is at the trigger itself, as at Kraken."""
    limit = read_limit(typed)
    assert limit == Limit(Decimal(amount), is_percent)
    assert limit.text == told


def test_distance_of_a_limit_is_money() -> None:
    """A percentage is of the trigger."""
    assert read_limit("0.5%").below(Decimal(50000)) == 250
    assert read_limit("40").below(Decimal(50000)) == 40


@pytest.mark.parametrize("typed", ["-1", "-0.5%", "100%", "1e9%", "abc", "%", "nan", "5 USD"])
def test_limit_that_cannot_be_meant_is_refused(typed: str) -> None:
    """Below zero it would be on the better side, and a whole price leaves nothing."""
    with pytest.raises(ValueError, match=r".+"):
        read_limit(typed)


@pytest.mark.parametrize(
    ("typed", "moment"),
    [
        ("2027-01-31T18:00:00Z", datetime(2027, 1, 31, 18, tzinfo=UTC)),
        ("2027-01-31T18:00:00+01:00", datetime(2027, 1, 31, 17, tzinfo=UTC)),
        ("2027-01-31 18:00Z", datetime(2027, 1, 31, 18, tzinfo=UTC)),
        ("+30d", ARMED + timedelta(days=30)),
        ("+12h", ARMED + timedelta(hours=12)),
    ],
)
def test_row_ends_at_a_moment_or_after_a_time(typed: str, moment: datetime) -> None:
    """A time counts from the arming, a moment is the same for everybody."""
    assert read_expiry(typed).moment(ARMED) == moment


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("2027-01-31T18:00:00", "has no time zone; write a Z"),
        ("2027-01-31", "has no time zone"),
        ("tomorrow", "is no moment; write 2027-01-31T18:00:00Z, or"),
        ("30d", "is no moment"),
        ("+30", "is no moment"),
        ("+0d", "no time that can be meant"),
        ("+99999d", "no time that can be meant"),
        ("2027-13-01T00:00:00Z", "is no moment"),
    ],
)
def test_expiry_that_cannot_be_meant_is_refused(typed: str, why: str) -> None:
    """An hour too late is money: without a zone nobody knows which hour is meant."""
    with pytest.raises(ValueError, match=why):
        read_expiry(typed)


def test_row_without_terms_leaves_no_mark() -> None:
    """Files of earlier versions keep their fingerprints."""
    assert NO_TERMS.marks == ()
    assert Terms() == NO_TERMS


def test_each_term_leaves_a_mark_without_blanks() -> None:
    """A changed cell is a changed row; a mark is one word."""
    terms = Terms(
        limit=Limit(Decimal("0.5"), is_percent=True),
        trigger=Trigger.INDEX,
        fee=FeeCurrency.QUOTE,
        expires=Expiry(span=timedelta(days=30), text="+30d"),
    )
    assert terms.marks == ("limit=0.5%", "trigger=index", "fee=quote", "expires=+30d")


@given(st.text(max_size=40))
def test_no_text_raises_anything_but_a_value_error(text: str) -> None:
    """Whatever is in a cell, it is a term or it is refused."""
    for read in (read_share, read_limit, read_expiry):
        with suppress(ValueError):
            assert read(text)


@pytest.mark.parametrize(
    ("typed", "part"),
    [
        ("1,234.5", "did you mean 1234.5?"),
        ("1,5", "did you mean 1.5?"),
        ("$5", "did you mean 5?"),
        ("abc", ""),
    ],
)
def test_number_that_was_meant_is_asked_for(typed: str, part: str) -> None:
    """A question and no reading: a row never says what it does not say."""
    assert part in number_hint(typed)
