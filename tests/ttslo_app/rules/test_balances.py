"""Funds: what all armed rows take together, and never more than the account has."""

from decimal import Decimal

import pytest
from rows_kit import Prices, about, check, row, said

from krakenlink.errors import KrakenTimeout
from ttslo_app.rules.balances import amount


@pytest.mark.parametrize(
    "spot", ["0.0106906064", "0.010690606499", "0.0106906064000000000000000000000000001"]
)
def test_what_is_owned_has_krakens_own_digits(spot: str) -> None:
    """The text shows what there is, never rounded up."""
    result = check(row(), api=Prices({"XXBT": "0.0000000000", "XBT.F": spot}))
    assert f"sufficient: {spot} BTC" in about(result.warnings, "balance")


def test_a_volume_that_is_a_hair_too_large_does_not_suffice() -> None:
    """What is compared has all digits, and what is said shows why."""
    api = Prices({"XXBT": "0.0106906064"})
    result = check(row(volume="0.01069061"), api=api)
    assert about(result.warnings, "volume").startswith("Insufficient BTC: the row sells 0.01069061")
    assert "the account has 0.0106906064 BTC" in about(result.warnings, "volume")


def test_more_than_there_is_in_one_row() -> None:
    """The row is named with what it sells, and stays valid."""
    result = check(row(volume="500"), api=Prices({"XXBT": "2"}))
    assert result.is_valid()
    assert "Insufficient BTC: the row sells 500.00000000" in about(result.warnings, "volume")


def test_rows_are_summed_by_asset() -> None:
    """Each alone would suffice; both together do not, and only armed rows count."""
    rows = [row(id=name, volume="1.5") for name in "ab"]
    api = Prices({"XXBT": "1", "XBT.F": "1"})
    result = check(*rows, api=api)
    assert result.is_valid()
    text = about(result.warnings, "volume")
    assert text.count("Insufficient BTC: 2 armed rows take 3.00000000 together") == 2
    idle = check(rows[0], row(id="b", volume="1.5", enabled="no"), api=api)
    assert ("a", "volume") not in said(idle.warnings)


@pytest.mark.parametrize(("dollars", "is_enough"), [("600", True), ("599.99", False)])
def test_a_buy_needs_its_volume_at_the_threshold(dollars: str, is_enough: bool) -> None:
    """Dollars are dollars under both names; a buy that can be paid has no word."""
    api = Prices({"ZUSD": "500", "USD.F": str(Decimal(dollars) - 500)})
    result = check(row(direction="buy"), api=api)
    assert result.is_valid()
    assert about(result.warnings, "balance") == ""
    assert ("Insufficient USD: the row pays" in about(result.warnings, "volume")) is not is_enough


def test_a_buy_whose_funds_cannot_be_asked_for_is_could_not_check() -> None:
    """A failure is no shortage."""
    api = Prices(KrakenTimeout("timed out", request_sent=True))
    result = check(row(direction="buy"), api=api)
    assert "Could not check the balance of USD: timed out" in about(result.warnings, "balance")
    assert "volume" not in [name for _, name in said(result.warnings)]


@pytest.mark.parametrize(
    ("number", "text"), [("2", "2.00000000"), ("1E+2", "100.00000000"), ("5E-9", "0.000000005")]
)
def test_an_amount_has_eight_places_or_all_it_has(number: str, text: str) -> None:
    """No digit is lost, and none is made up."""
    assert amount(Decimal(number)) == text
