"""What a row comes to at worst, in one line."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kits.orders.order_bench import rule
from ttslo_app.rules.worst import volume_about, worst_of

MONEY = {"trailing_offset_percent": "", "trailing_offset_quote": "250"}


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({}, "at worst: stop at 47500, worth 475 USD"),
        ({"trailing_offset_percent": "0.5"}, "at worst: stop at 49750, worth 497.5 USD"),
        (MONEY, "at worst: stop at 49750, worth 497.5 USD"),
        ({"direction": "buy"}, "at worst: stop at 52500, worth 525 USD"),
        ({"limit_offset": "1%"},
         "at worst: stop at 47500, limit 47025, else unfilled, worth 470.25 USD"),
        ({"limit_offset": "500", "direction": "buy"},
         "at worst: stop at 52500, limit 53000, else unfilled, worth 530 USD"),
        ({"volume": "100 USD"}, "at worst: stop at 47500, worth 95 USD"),
        ({"volume": "all"}, "at worst: stop at 47500"),
        ({"pair": "XXBTZUSD"}, "at worst: stop at 47500, worth 475 USD"),
        ({"threshold_price": "0.00001234"},
         "at worst: stop at 0.000011723, worth 0.00000011723 USD"),
    ],
)  # fmt: skip
def test_worst_is_stop_limit_and_worth(cells: dict[str, str], said: str) -> None:
    """Where the price turns at once; a volume that nobody knows has no worth yet."""
    assert worst_of(rule(**cells)) == said


def test_volume_is_about_what_a_sum_buys() -> None:
    """At the threshold; of a share of what is free nobody knows."""
    assert volume_about(rule()) == Decimal("0.01")
    assert volume_about(rule(volume="100 USD")) == Decimal("0.002")
    assert volume_about(rule(volume="50%")) == 0


@given(
    st.decimals("0.00000001", 10**7, places=8),
    st.decimals("0.01", 99, places=2),
    st.sampled_from(["sell", "buy"]),
)
def test_line_has_no_exponent_and_few_digits(
    price: Decimal, offset: Decimal, direction: str
) -> None:
    """Whatever the price, a person can read it."""
    cells = {"threshold_price": str(price), "trailing_offset_percent": str(offset)}
    said = worst_of(rule(direction=direction, **cells))
    assert "E" not in said.replace("USD", "")
    assert len(said) < 90
