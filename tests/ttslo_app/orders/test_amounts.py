"""Volumes that are worked out at the crossing: never more than is free, never a guess."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kits.orders.order_bench import MARKET, rule
from ttslo_app.messages import Market
from ttslo_app.orders.amounts import NotEnough, asset_of, free_of, volume_at
from ttslo_app.rules.rule import Rule

BOTH = Market("BTC/USD", "XXBTZUSD", "BTC/USD", 8, Decimal("0.0001"), Decimal("0.5"), 1, "XXBT",
              "ZUSD")  # fmt: skip
PRICE = Decimal(50000)


def volume(row: Rule, free: str) -> str:
    """Return the volume of a row at 50000."""
    return f"{volume_at(row, BOTH, PRICE, Decimal(free)):f}"


@pytest.mark.parametrize(
    ("typed", "free", "sold"),
    [
        ("all", "0.5", "0.5"),
        ("all", "0.123456789", "0.12345678"),
        ("all", "0.0001", "0.0001"),  # just what Kraken takes
        ("50%", "0.5", "0.25000000"),
        ("33%", "0.1", "0.03300000"),
        ("100 USD", "1", "0.002"),
        ("100 USD", "0.001", "0.001"),
        ("1000000 USD", "0.5", "0.5"),
    ],
)
def test_sale_takes_what_is_free_and_no_more(typed: str, free: str, sold: str) -> None:
    """A part of it, or what a sum of money comes to; cut to Kraken's digits, never rounded up."""
    assert Decimal(volume(rule(volume=typed), free)) == Decimal(sold)


@pytest.mark.parametrize(
    ("typed", "free", "bought"),
    [
        # The stop begins 5 % above: at 52500.
        ("all", "52500", "1"),
        ("50%", "52500", "0.5"),
        ("100 USD", "52500", "0.002"),
        ("100 USD", "52.5", "0.001"),
    ],
)
def test_purchase_is_paid_for_at_the_worst_price_it_begins_with(
    typed: str, free: str, bought: str
) -> None:
    """What is free has to do at the trigger, not at the threshold."""
    row = rule(volume=typed, direction="buy", threshold_type="below")
    assert Decimal(volume(row, free)) == Decimal(bought)


def test_limit_beyond_the_trigger_has_to_be_paid_for_as_well() -> None:
    """A buy may fill there."""
    row = rule(volume="all", direction="buy", threshold_type="below", limit_offset="500")
    assert Decimal(volume(row, "53000")) == 1


@pytest.mark.parametrize(
    ("typed", "free", "why"),
    [
        ("all", "0", r"all of 0 free BTC comes to 0; deposit BTC"),
        ("all", "0.000000001", "comes to 0"),
        ("50%", "0.0001", "under Kraken's minimum of 0.0001"),
        ("1 USD", "5", "1 USD of 5 free BTC comes to 0.00002"),
    ],
)
def test_too_little_is_said_and_not_sent(typed: str, free: str, why: str) -> None:
    """It heals: more may be there later."""
    with pytest.raises(NotEnough, match=why):
        volume(rule(volume=typed), free)


def test_filled_without_a_row_before_it_is_nothing() -> None:
    """Nobody can know what to sell."""
    with pytest.raises(NotEnough, match="row before it"):
        volume(rule(volume="filled", after="first"), "1")


def test_asset_is_what_the_order_gives_away() -> None:
    """A sale gives the base, a purchase the quote."""
    assert asset_of(rule(volume="all"), BOTH) == "XXBT"
    assert asset_of(rule(volume="all", direction="buy"), BOTH) == "ZUSD"


@given(
    st.decimals("0.0002", 1000, places=8),
    st.sampled_from(["all", "50%", "7.3%", "100 USD", "33333 USD"]),
    st.sampled_from(["sell", "buy"]),
    st.sampled_from(["0.1", "5.0", "33.333"]),
)
def test_order_never_takes_more_than_was_free(
    coins: Decimal, typed: str, direction: str, offset: str
) -> None:
    """In coins for a sale; in money, at the first trigger, for a purchase."""
    row = rule(volume=typed, direction=direction, trailing_offset_percent=offset)
    free = coins if direction == "sell" else coins * PRICE
    try:
        found = volume_at(row, BOTH, PRICE, free)
    except NotEnough:
        return
    cost = found if direction == "sell" else found * (PRICE + row.distance_at(PRICE))
    assert 0 < cost <= free
    assert found == found.quantize(Decimal("1e-8"))


def test_decimals_that_are_not_known_are_eight() -> None:
    """No pair of Kraken's takes more."""
    assert MARKET.lot_decimals == 8
    loose = Market("BTC/USD", "XXBTZUSD", base="XXBT", quote="ZUSD")
    found = volume_at(rule(volume="50%"), loose, PRICE, Decimal("0.1234567891"))
    assert found == Decimal("0.06172839")


# --- what is free --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "free"),
    [
        ({"XXBT": {"balance": "1.5", "hold_trade": "0.5"}}, "1.0"),
        ({"XBT": {"balance": "1.5", "hold_trade": "0"}}, "1.5"),
        ({"XXBT": {"balance": "0", "hold_trade": "0"},
          "XBT.F": {"balance": "2", "hold_trade": "0.25"}}, "1.75"),
        ({"XXBT": {"balance": "1"}, "ZUSD": {"balance": "9"}}, "1"),
        ({"ZUSD": {"balance": "9"}}, "0"),
        ({"XXBT": {"balance": "1", "hold_trade": "2"}}, "0"),
        ({}, "0"),
        ({"XXBT": {"balance": "1", "credit": "2", "credit_used": "0.5"}}, "1"),
        ({"XXBT": {"balance": "1", "credit": "0", "credit_used": "0.25"}}, "0.75"),
    ],
)  # fmt: skip
def test_free_is_what_open_orders_do_not_hold(answer: object, free: str) -> None:
    """Spot and `.F` together, under any of the asset's names; never below nought."""
    assert free_of(answer, "XXBT") == Decimal(free)


@pytest.mark.parametrize(
    "answer",
    [None, [], {"XXBT": "1.5"}, {"XXBT": {}}, {"XXBT": {"balance": "much"}},
     {"XXBT": {"balance": "1", "hold_trade": "x"}}, {"XXBT": {"balance": True}}],
)  # fmt: skip
def test_answer_that_is_none_is_no_nought(answer: object) -> None:
    """What cannot be read is not the same as nothing."""
    with pytest.raises(ValueError, match=r".+"):
        free_of(answer, "XXBT")
