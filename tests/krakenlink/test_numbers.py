"""Exact decimals: what was typed is what Kraken gets, and nothing that is no number passes."""

from decimal import ROUND_UP, Decimal, Inexact, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakenlink.numbers import (
    counted,
    doubled,
    plain,
    quantize_down,
    readable,
    to_decimal,
    to_positive_decimal,
    trailing_offset,
)

NUMBERS = st.decimals(
    min_value=Decimal("1e-12"), max_value=Decimal("1e12"), allow_nan=False, allow_infinity=False
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("1.250", "1.250"),
        (" 5 ", "5"),
        ("+5", "5"),
        ("-0.5", "-0.5"),
        (".5", "0.5"),
        ("5.", "5"),
        ("5E-8", "5E-8"),
        (5, "5"),
        (0.1, "0.1"),
        (Decimal("46300.10"), "46300.10"),
        ("0", "0"),
    ],
)
def test_numbers_keep_their_digits(value: object, text: str) -> None:
    """Text, ints, decimals and floats become the decimal that they show."""
    assert str(to_decimal(value)) == text


@pytest.mark.parametrize(
    "value",
    [
        *("", " ", "abc", "1,5", "1_000", "0x10", "--1", "1e", "e5", "1 2", "٣"),
        *("nan", "NaN", "Infinity", "-inf", "sNaN", "1e400", "1e999999999", "1e-40"),
        *(float("nan"), float("inf"), Decimal("NaN"), Decimal("Infinity")),
        *(None, True, False, b"5", [], {}, object()),
    ],
)
def test_what_is_no_number_is_refused(value: object) -> None:
    """Words, other scripts, not-a-number, the infinite and the absurd are all the same error."""
    with pytest.raises(ValueError):
        to_decimal(value)


@pytest.mark.parametrize("value", ["0", "-1", "0.0", "-0", 0, -5.0])
def test_zero_and_less_are_refused_where_positive_is_meant(value: object) -> None:
    """A price, a size or an offset is above zero."""
    with pytest.raises(ValueError, match="not positive"):
        to_positive_decimal(value)


def test_positive_numbers_pass() -> None:
    """The smallest positive number is one."""
    assert to_positive_decimal("0.00000001") == Decimal("1e-8")


@pytest.mark.parametrize(
    ("number", "text"), [("5E-8", "0.00000005"), ("1E+3", "1000"), ("1.50", "1.50")]
)
def test_plain_text_has_no_exponent(number: str, text: str) -> None:
    """Kraken is sent digits, whatever notation the number came in."""
    assert plain(Decimal(number)) == text


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_plain_text_is_the_number_with_all_of_its_digits(number: Decimal) -> None:
    """Of any sign, size and number of places."""
    assert plain(number) == format(number, "f")


@pytest.mark.parametrize(
    ("number", "decimals", "text"),
    [
        ("1.23456789", 4, "1.2345"),
        ("1.99999", 2, "1.99"),
        ("1.5", 8, "1.5"),
        ("0.00000001", 4, "0.0000"),
        ("1E+3", 0, "1E+3"),
    ],
)
def test_volumes_are_cut_never_rounded_up(number: str, decimals: int, text: str) -> None:
    """More than the user typed might be more than the user owns."""
    assert str(quantize_down(Decimal(number), decimals)) == text


@given(NUMBERS, st.integers(0, 12))
def test_cutting_takes_less_than_one_last_place(number: Decimal, decimals: int) -> None:
    """What is cut off is less than one unit of the last place, and never negative."""
    cut = quantize_down(number, decimals)
    assert 0 <= number - cut < Decimal(1).scaleb(-decimals)


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        ("5", "+5.0%"),
        ("5.0", "+5.0%"),
        ("1.25", "+1.25%"),
        ("0.333", "+0.333%"),
        ("0.04", "+0.04%"),
        ("5E-1", "+0.5%"),
        ("1E+1", "+10.0%"),
    ],
)
def test_offset_keeps_the_digits_as_typed(typed: str, text: str) -> None:
    """Kraken gets the offset that the user typed, with the sign and the mark that it demands."""
    assert trailing_offset(to_decimal(typed)) == text


@given(NUMBERS)
def test_offset_reads_back_as_the_number(number: Decimal) -> None:
    """No digit of an offset is lost or invented."""
    assert to_decimal(trailing_offset(number).strip("+%")) == number


def test_wait_doubles_up_to_the_longest() -> None:
    """The first wait, twice, four times, and never more than the longest."""
    assert [doubled(0.5, n, 3.0) for n in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]


@given(st.integers(min_value=0))
def test_wait_stays_a_number_after_any_count_of_failures(n: int) -> None:
    """Counting on for years overflows nothing."""
    assert 1.0 <= doubled(1.0, n, 60.0) <= 60.0


@pytest.mark.parametrize(
    "value",
    ["1" * 1_000_000, "0." + "0" * 200, 10**10_000, "1" * 101],
    ids=["text", "0", "int", "101"],
)
def test_number_without_an_end_is_refused_in_no_time(value: object) -> None:
    """Reading a number takes the square of its length, and showing it fills a file."""
    with pytest.raises(ValueError) as caught:
        to_decimal(value)
    assert len(str(caught.value)) < 100


@pytest.mark.parametrize(
    ("text", "is_number"),
    [
        ("1." + "0" * 98, True),  # a hundred characters
        ("1." + "0" * 99, False),
        ("   1." + "0" * 98 + "   ", True),  # spaces around it are none of it
        ("1e30", True),
        ("-1e30", True),
        ("1.0000001e30", False),
        ("1e-30", True),
        ("9.99e-31", False),
        (10**30, True),
        (10**30 + 1, False),
        (-(10**30) - 1, False),
        pytest.param(10**5000, False, id="of five thousand digits"),
    ],
)
def test_number_is_meant_within_its_bounds(text: object, is_number: bool) -> None:
    """Both ends belong to it; what is beyond is refused without being written out."""
    if is_number:
        assert to_decimal(text) == Decimal(str(text).strip())
    else:
        with pytest.raises(ValueError, match=r".") as caught:
            to_decimal(text)
        assert len(str(caught.value)) < 200


@given(NUMBERS, st.integers(0, 12))
def test_cut_number_is_never_more_and_never_far_less(number: Decimal, decimals: int) -> None:
    """Less than one unit of the last place is lost, and only where there were more places."""
    cut = quantize_down(number, decimals)
    unit = Decimal(1).scaleb(-decimals)
    assert 0 <= number - cut < unit
    assert quantize_down(cut, decimals) == cut
    if number % unit == 0:
        assert cut == number


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (Decimal("51010.0"), "51010"),
        ("51010.0", "51010"),
        (Decimal("51000"), "51000"),
        ("0.00400000", "0.004"),
        (Decimal("1E+3"), "1000"),
        (Decimal("5E-8"), "0.00000005"),
        ("1e3", "1000"),
        ("0.0", "0"),
        ("-1.50", "-1.5"),
        (Decimal("0E-10"), "0"),
    ],
)
def test_number_reads_alike_whoever_wrote_it(number: Decimal | str, text: str) -> None:
    """Typed, told by Kraken or computed: one form for a person."""
    assert readable(number) == text


@pytest.mark.parametrize("text", ["", "unknown", "five", "1,000.0", "NaN", "0x10", "51010.0 EUR"])
def test_text_that_is_no_number_reads_as_it_is(text: str) -> None:
    """What a file or Kraken holds instead of one is shown, and hides nothing."""
    assert readable(text) == text


@given(NUMBERS)
def test_reading_changes_no_number(number: Decimal) -> None:
    """Nothing but zeros goes, whether it comes as a decimal or as text."""
    text = readable(number)
    assert Decimal(text) == number
    assert "E" not in text
    assert not (("." in text) and text.endswith(("0", ".")))
    assert readable(format(number, "f")) == text


@pytest.mark.parametrize("length", [99, 100, 101])
def test_longest_text_of_a_number_is_a_hundred_characters(length: int) -> None:
    """Reading takes the square of it; spaces around it count as little as ever."""
    text = "1." + "0" * (length - 2)
    if length > 100:
        with pytest.raises(ValueError, match="too long to be a number"):
            to_decimal(text)
    else:
        assert to_decimal(f"   {text}  ") == 1


@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize(
    ("text", "is_meant"),
    [("1e30", True), ("1.0001e30", False), ("1e-30", True), ("0.9e-30", False), ("0", True)],
)
def test_bounds_of_sense_belong_to_it(sign: str, text: str, is_meant: bool) -> None:
    """Right at them a number is meant, beyond them it is damage; none is no number at all."""
    if is_meant:
        assert to_decimal(sign + text) == Decimal(sign + text)
    else:
        with pytest.raises(ValueError, match="too large or too small"):
            to_decimal(sign + text)


@pytest.mark.parametrize("prec", [1, 3, 28])
def test_cutting_is_the_same_whatever_its_caller_rounds_to(prec: int) -> None:
    """A volume of nine digits is cut, and neither refused nor rounded up."""
    with localcontext(prec=prec, rounding=ROUND_UP) as context:
        context.traps[Inexact] = True
        assert str(quantize_down(Decimal("12345.678999"), 3)) == "12345.678"


def test_things_are_counted_as_a_person_counts() -> None:
    """One is no plural, and none is."""
    assert [counted(n, "row") for n in (0, 1, 2)] == ["0 rows", "1 row", "2 rows"]
