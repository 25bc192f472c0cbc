"""The exact order of a row, and its fingerprint."""

from __future__ import annotations

from decimal import Decimal

import pytest
from order_bench import ORDER, rule

from krakenlink.pairs import shown_pair
from ttslo_app.messages import Market
from ttslo_app.orders.request import (
    OrderRequest,
    build_order,
    condition_of,
    fingerprint,
    letters_of,
)

CHANGED = rule(volume="0.02")


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("5", "+5.0%"),
        ("5.0", "+5.0%"),
        ("1.25", "+1.25%"),
        ("0.333", "+0.333%"),
        ("0.04", "+0.04%"),
    ],
)
def test_order_offset_keeps_the_digits_typed(typed: str, sent: str) -> None:
    """The offset is what was typed, with its plus and percent."""
    assert build_order(rule(trailing_offset_percent=typed), "XXBTZUSD", 8).price == sent


@pytest.mark.parametrize(
    ("typed", "decimals", "sent"),
    [
        ("5E-8", 8, "0.00000005"),
        ("0.123456789", 8, "0.12345678"),
        ("1.9999", 2, "1.99"),
        ("10", 8, "10"),
        ("0.1234567890123456789012345678", None, "0.1234567890123456789012345678"),
    ],
)
def test_order_volume_is_plain_and_cut_down(typed: str, decimals: int | None, sent: str) -> None:
    """Volumes have no exponent and never more than was typed."""
    assert build_order(rule(volume=typed), "XXBTZUSD", decimals).volume == sent


def test_order_of_nothing_is_refused() -> None:
    """A volume that is zero once cut to Kraken's decimals is no order."""
    with pytest.raises(ValueError, match=r"0\.000000001 is zero with the 8 decimals"):
        build_order(rule(volume="1e-9"), "XXBTZUSD", 8)


def test_order_survives_the_state_file() -> None:
    """What was written down is what is read back; anything else is nothing."""
    assert OrderRequest.from_json(ORDER.to_json()) == ORDER
    assert OrderRequest.from_json('{"pair": "XXBTZUSD"}') is None
    assert OrderRequest.from_json("[]") is None
    assert OrderRequest.from_json("") is None


MARKET = Market("BTC/USD", "XXBTZUSD", "BTC/USD", 8, Decimal("0.0001"), Decimal("0.5"))


def test_fingerprint_tells_a_changed_row_from_the_same_one() -> None:
    """Spelling a number otherwise is no change; another value is, and the condition is apart."""
    same = rule(threshold_price="50000.00", volume="0.010")
    assert fingerprint(same) == fingerprint(rule())
    assert fingerprint(CHANGED) != fingerprint(rule())
    assert condition_of(fingerprint(CHANGED)) == condition_of(fingerprint(rule()))
    moved = rule(threshold_price="51000")
    assert condition_of(fingerprint(moved)) != condition_of(fingerprint(rule()))


def test_order_is_told_in_one_line() -> None:
    """Side, size, pair as people write it, kind and offset; nothing that a log could not take."""
    order = build_order(rule(volume="0.0100"), "XXBTZUSD", 8)
    assert str(order) == f"sell 0.0100 {shown_pair('XXBTZUSD')} trailing-stop +5.0%"


ROW = {"id": "btc", "pair": "BTC/USD", "volume": "0.01"}


@pytest.mark.parametrize(
    ("other", "is_same"),
    [
        ({"id": "btc", "pair": "BTC/USD", "volume": "0.01"}, True),
        ({"id": "btc", "pair": "BTC/USD", "volume": "0.010"}, False),
        ({"id": "btc", "pair": "BTC/USD", "volume": "0.01", "note": ""}, False),
        ({"pair": "BTC/USD", "id": "btc", "volume": "0.01"}, False),
        ({"id": "btcpair", "": "BTC/USD", "volume": "0.01"}, False),
    ],
)
def test_row_to_the_letter(other: dict[str, str], is_same: bool) -> None:
    """Each cell and each column counts, in their order; the digest is short and of plain text."""
    digest = letters_of(ROW)
    assert (letters_of(other) == digest) is is_same
    assert len(digest) == 16
    assert set(digest) <= set("0123456789abcdef")
    assert letters_of({}) == ""


@pytest.mark.parametrize(
    ("change", "is_same"),
    [
        ({"threshold_price": "50000.00"}, True),
        ({"volume": "0.02"}, True),
        ({"direction": "buy"}, True),
        ({"threshold_price": "50001"}, False),
        ({"threshold_type": "below"}, False),
        ({"pair": "ETH/USD"}, False),
    ],
)
def test_condition_is_the_part_that_says_when(change: dict[str, str], is_same: bool) -> None:
    """What is traded may change without a rule having waited for something else."""
    mine, other = fingerprint(rule()), fingerprint(rule(**change))
    assert (condition_of(mine) == condition_of(other)) is is_same
