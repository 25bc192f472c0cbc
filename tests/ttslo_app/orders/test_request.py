"""The exact order of a row, and its fingerprint."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from krakenlink.pairs import shown_pair
from tests.kits.orders.order_bench import ORDER, rule
from ttslo_app.messages import Market
from ttslo_app.orders.request import (
    OrderRequest,
    build_order,
    condition_of,
    fingerprint,
    letters_of,
    order_to_check,
    order_to_find,
)
from ttslo_app.rules.terms import Terms

CHANGED = rule(volume="0.02")
MARKET = Market("BTC/USD", "XXBTZUSD", "BTC/USD", 8, Decimal("0.0001"), Decimal("0.5"), 1)


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
    assert build_order(rule(trailing_offset_percent=typed), MARKET).price == sent


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
    market = replace(MARKET, lot_decimals=decimals)
    assert build_order(rule(volume=typed), market).volume == sent


def test_order_of_nothing_is_refused() -> None:
    """A volume that is zero once cut to Kraken's decimals is no order."""
    with pytest.raises(ValueError, match=r"0\.000000001 is zero with the 8 decimals"):
        build_order(rule(volume="1e-9"), MARKET)


def test_order_survives_the_state_file() -> None:
    """What was written down is what is read back; anything else is nothing."""
    assert OrderRequest.from_json(ORDER.to_json()) == ORDER
    assert OrderRequest.from_json('{"pair": "XXBTZUSD"}') is None
    assert OrderRequest.from_json("[]") is None
    assert OrderRequest.from_json("") is None


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
    order = build_order(rule(volume="0.0100"), MARKET)
    assert str(order) == f"sell 0.01 {shown_pair('XXBTZUSD')} trailing-stop +5%"


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


# --- the optional columns -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "sent"),
    [
        ({"trailing_offset_quote": "250", "trailing_offset_percent": ""}, {"price": "+250"}),
        ({"trailing_offset_quote": "250.55", "trailing_offset_percent": ""}, {"price": "+250.5"}),
        ({"limit_offset": "0.5%"}, {"ordertype": "trailing-stop-limit", "price2": "-0.5%"}),
        ({"limit_offset": "0.5%", "direction": "buy"}, {"price2": "+0.5%"}),
        ({"limit_offset": "40.25"}, {"price2": "-40.2"}),
        ({"limit_offset": "0"}, {"ordertype": "trailing-stop-limit", "price2": "+0"}),
        ({"limit_offset": "0%"}, {"ordertype": "trailing-stop-limit", "price2": "+0%"}),
        ({"trigger": "index"}, {"trigger": "index", "ordertype": "trailing-stop"}),
        ({"fee_currency": "base"}, {"oflags": "fcib"}),
        ({"fee_currency": "quote"}, {"oflags": "fciq"}),
        ({"expires": "+30d"}, {"price": "+5.0%", "price2": "", "oflags": ""}),
    ],
)
def test_column_becomes_what_kraken_takes(cells: dict[str, str], sent: dict[str, str]) -> None:
    """In Kraken's words and digits, the limit on the worse side of the trigger."""
    order = build_order(rule(**cells), MARKET)
    assert {name: getattr(order, name) for name in sent} == sent


def test_offset_of_nothing_is_refused() -> None:
    """An amount below the smallest price step would be no offset."""
    row = rule(trailing_offset_quote="0.05", trailing_offset_percent="")
    with pytest.raises(ValueError, match=r"limit_offset 0\.01 is zero"):
        build_order(rule(limit_offset="0.01"), MARKET)
    with pytest.raises(ValueError, match=r"trailing_offset_quote 0\.05 is zero with the 1 "):
        build_order(row, MARKET)


def test_usual_order_is_written_as_it_always_was() -> None:
    """Files of earlier versions are read, and those of this one by earlier versions."""
    assert ORDER.to_json() == (
        '{"pair": "XXBTZUSD", "type": "sell", "volume": "0.01", "price": "+5.0%", '
        '"ordertype": "trailing-stop", "trigger": "last"}'
    )
    assert OrderRequest.from_json(ORDER.to_json()) == ORDER


def test_order_with_terms_survives_the_state_file() -> None:
    """Each of its words counts when it is looked up."""
    order = build_order(rule(limit_offset="0.5%", fee_currency="quote", trigger="index"), MARKET)
    assert OrderRequest.from_json(order.to_json()) == order
    assert str(order) == "sell 0.01 BTC/USD trailing-stop-limit +5%, limit -0.5%"


def test_order_without_a_volume_reads_back_as_one() -> None:
    """What every order has is written although it is empty, or the order would be none."""
    order = replace(ORDER, volume="")
    assert OrderRequest.from_json(order.to_json()) == order
    assert "volume" not in order.cells


@pytest.mark.parametrize("cell", ["all", "50%", "100 USD"])
def test_volume_that_is_not_known_yet_is_no_number(cell: str) -> None:
    """It is asked about with the smallest order, looked for with any, and built with a number."""
    row = rule(volume=cell)
    with pytest.raises(ValueError, match="is worked out at the crossing"):
        build_order(row, MARKET)
    assert order_to_check(row, MARKET).volume == "0.0001"
    assert order_to_find(row, MARKET).volume == ""
    assert build_order(row, MARKET, Decimal("0.123456789")).volume == "0.12345678"


def test_number_is_looked_for_as_it_is() -> None:
    """Only what is worked out later is any."""
    assert order_to_find(rule(), MARKET) == build_order(rule(), MARKET)
    assert order_to_check(rule(), MARKET) == build_order(rule(), MARKET)


@pytest.mark.parametrize(
    "cells",
    [
        {"limit_offset": "0.5%"},
        {"trigger": "index"},
        {"fee_currency": "base"},
        {"expires": "+30d"},
        {"volume": "all"},
        {"volume": "100 USD"},
        {"trailing_offset_quote": "5", "trailing_offset_percent": ""},
    ],
)
def test_each_column_makes_another_row(cells: dict[str, str]) -> None:
    """An edit of any of them is an edit; when the row fires is still told apart from it."""
    changed = fingerprint(rule(**cells))
    assert changed != fingerprint(rule())
    assert condition_of(changed) == condition_of(fingerprint(rule()))
    assert " ".join(changed.split()) == changed


# A cell for each thing that an optional column may say.
SAID = {
    "offset_quote": {"trailing_offset_percent": "", "trailing_offset_quote": "500"},
    "limit": {"limit_offset": "0.5%"},
    "trigger": {"trigger": "index"},
    "fee": {"fee_currency": "quote"},
    "share": {"volume": "50%"},
    "expires": {"expires": "+30d"},
}


@pytest.mark.parametrize("name", Terms.__match_args__)
def test_row_that_says_one_thing_more_is_another_row(name: str) -> None:
    """A column that comes later has its mark, or an edit of it would be none."""
    said = fingerprint(rule(**SAID[name]))
    assert said != fingerprint(rule())
    assert said == fingerprint(rule(**SAID[name]))
