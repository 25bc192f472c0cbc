"""Arguments: what cannot be meant is refused by its name, and what is meant keeps its digits."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakenlink.errors import ArgumentError
from krakenlink.pairs import TOKENIZED, Pair, Symbol
from krakenlink.rest.arguments import (
    checked_direction,
    checked_number,
    checked_order_type,
    checked_pair,
    checked_txid,
    named,
    volume_text,
)

SOL = Pair("SOLUSD", "SOLUSD", "SOL/USD", Symbol("SOL/USD"), "SOL", "ZUSD", lot_decimals=4)
APPLE = Pair("AAPLxUSD", "AAPLxUSD", "AAPLx/USD", None, "AAPLx", "ZUSD", asset_class=TOKENIZED)
NO_TEXT: list[Any] = [None, "", "  ", 5, b"BTC/USD", ["BTC/USD"]]


@pytest.mark.parametrize("value", NO_TEXT)
@pytest.mark.parametrize(
    ("check", "name"),
    [
        (checked_pair, "pair parameter is required"),
        (checked_pair, "pair must be a string"),
        (checked_order_type, "order_type must be a string"),
        (checked_txid, "txid parameter is required"),
    ],
)
def test_what_is_no_text_is_refused_by_its_name(check: Any, name: str, value: object) -> None:
    """An empty word, a number or a list names nothing."""
    with pytest.raises(ArgumentError, match=name):
        check(value)


def test_words_lose_the_blanks_around_them() -> None:
    """What was pasted with a blank is what was meant."""
    assert checked_pair(" BTC/USD ") == "BTC/USD"
    assert checked_order_type("market ") == "market"
    assert checked_txid(" OABC-1\n") == "OABC-1"


@pytest.mark.parametrize(("typed", "side"), [("buy", "buy"), (" SELL ", "sell"), ("Buy", "buy")])
def test_side_is_read_in_any_case(typed: str, side: str) -> None:
    """Buy and sell are the two sides, however they are written."""
    assert checked_direction(typed) == side


@pytest.mark.parametrize("value", [*NO_TEXT, "hold", "buysell", True])
def test_other_sides_are_refused(value: object) -> None:
    """There is no third side, and none by default."""
    with pytest.raises(ArgumentError, match="direction must be 'buy' or 'sell'"):
        checked_direction(value)


@given(st.text() | st.floats() | st.none() | st.binary() | st.booleans() | st.integers())
def test_a_number_is_positive_or_refused_by_its_name(value: object) -> None:
    """Whatever comes in: a positive decimal, or the one error that names the argument."""
    try:
        number = checked_number("volume", value)
    except ArgumentError as error:
        assert str(error).startswith("volume must be positive")  # noqa: PT017
    else:
        assert number > 0


@pytest.mark.parametrize(
    ("volume", "known", "text"),
    [
        ("1.99999", SOL, "1.9999"),
        ("1.99999", None, "1.99999"),
        (Decimal("5E-8"), APPLE, "0.00000005"),
        (0.1, SOL, "0.1"),
    ],
)
def test_volume_is_cut_where_the_decimals_are_known(
    volume: object, known: Pair | None, text: str
) -> None:
    """Never rounded up, and not touched where nobody has told the decimals."""
    assert volume_text(volume, "X", known) == text


def test_volume_of_which_nothing_is_left_is_refused_by_the_name_as_typed() -> None:
    """An order of nothing is an error here and not at Kraken."""
    with pytest.raises(ArgumentError, match=r"0\.00001 is zero in the 4 decimals of sol-usd"):
        volume_text("0.00001", "sol-usd", SOL)


@pytest.mark.parametrize("name", ["AAPLx/USD", "AAPLxUSD", "BRK.Bx-EUR"])
def test_tokenized_pair_is_named_with_its_class(name: str) -> None:
    """Kraken looks for an xStock only where it is told to, with or without its listing at hand."""
    assert named("SOL", SOL) == {"pair": "SOLUSD"}
    assert named("aapl", APPLE) == {"pair": "AAPLxUSD", "asset_class": "tokenized_asset"}
    assert named(name, None) == {"pair": name, "asset_class": "tokenized_asset"}
    assert named(name, None, "aclass_base") == {"pair": name, "aclass_base": "tokenized_asset"}


@pytest.mark.parametrize("name", ["XXBTZUSD", "BTC/USD", "btc/usd", "XTZUSD", "XBTUSD.d", "x"])
def test_other_pairs_are_named_without_a_class(name: str) -> None:
    """No coin has a small x before its quote."""
    assert named(name, None) == {"pair": name}


def test_text_of_an_argument_is_shown_with_an_end() -> None:
    """What somebody handed in forges no line, and fills none."""
    with pytest.raises(ArgumentError) as caught:
        checked_direction("\x1b[31m\n" + "x" * 10_000)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200
