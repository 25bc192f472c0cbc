"""What the price of the moment says of a row: met already, too near, too far, or not to be had."""

from decimal import Decimal

import pytest

from krakenlink.errors import PriceUnavailable
from tests.kits.rows.rows_kit import GOOD, Batch, Prices, about, check, row, said
from ttslo_app.rules.price_checks import FAR, complete_prices, takes_price
from ttslo_app.rules.rule import read_rule


@pytest.mark.parametrize(
    ("kind", "threshold"),
    [("above", "50000"), ("above", "1"), ("below", "50000"), ("below", "6e4")],
)
def test_a_threshold_already_met_is_an_error(kind: str, threshold: str) -> None:
    """Equality counts: it would fire at once."""
    result = check(row(threshold_type=kind, threshold_price=threshold), api=Prices())
    assert said(result.errors) == [("btc_1", "threshold_price")]
    assert "already met" in about(result.errors, "threshold_price")
    assert "50000" in about(result.errors, "threshold_price")


@pytest.mark.parametrize("threshold", ["40000", "51000"])
def test_a_row_that_was_armed_before_is_not_disarmed_by_the_price(threshold: str) -> None:
    """What happened while the program was down is a warning: the protection stays."""
    rows = row(threshold_price=threshold), row(id="new", threshold_price=threshold)
    result = check(*rows, api=Prices(), armed_before=["btc_1"])
    assert {name for name, _ in said(result.errors)} == {"new"}
    assert ("btc_1", "threshold_price") in said(result.warnings)


@pytest.mark.parametrize(
    ("threshold", "errors", "warnings"),
    [("52499", 1, 0), ("52500", 0, 1), ("54999", 0, 1), ("55000", 0, 0)],
)
def test_a_small_gap_is_refused_or_pointed_at(threshold: str, errors: int, warnings: int) -> None:
    """A gap under the offset is an error, under twice the offset a warning; limits are fine."""
    result = check(row(threshold_price=threshold, direction="buy"), api=Prices())
    assert len(result.errors) == errors
    assert about(result.warnings, "threshold_price").count("Small gap") == warnings


def test_a_gap_below_the_price_counts_too() -> None:
    """The distance is the same on both sides."""
    result = check(row(threshold_type="below", threshold_price="49000"), api=Prices())
    assert "2.00 % from the threshold 49000" in about(result.errors, "threshold_price")


def test_a_failing_pair_leaves_the_others_alone() -> None:
    """One delisted pair fails alone."""
    rows = row(id="gone", pair="LUNA/USD"), row(threshold_price="40000")
    result = check(*rows, api=Prices())
    assert said(result.errors) == [("gone", "pair"), ("btc_1", "threshold_price")]


def test_without_prices_it_is_noted_that_none_were_checked() -> None:
    """An offline check says what it is not."""
    assert "prices" in check(GOOD).notes[0]
    assert check(row(enabled="no")).notes == []


@pytest.mark.parametrize(
    ("side", "threshold", "words"),
    [
        ("above", "500000", "500000 is 10 times the price of BTC/USD, 50000"),
        ("above", "100000", "100000 is 2 times the price"),
        ("above", "125000", "125000 is 2.5 times the price"),
        ("below", "45.000", "45.000 is the price divided by 1111 of BTC/USD"),
        ("below", "25000", "25000 is the price divided by 2"),
        ("below", "1500", "1500 is the price divided by 33"),
    ],
)
def test_threshold_far_off_the_price_is_warned_of(side: str, threshold: str, words: str) -> None:
    """Digits are easily lost, and a level of one coin is easily typed for another."""
    direction = "sell" if side == "above" else "buy"
    one = row(threshold_price=threshold, threshold_type=side, direction=direction)
    result = check(one, api=Prices(funds={"XXBT": "9", "ZUSD": "99999"}))
    assert result.is_valid()
    said_of_it = about(result.warnings, "threshold_price")
    assert said_of_it.startswith(FAR)
    assert words in said_of_it
    assert "a point is the decimal mark" in said_of_it


@pytest.mark.parametrize(
    "changes",
    [
        {"threshold_price": "99999"},
        {"threshold_price": "25001", "threshold_type": "below", "direction": "buy"},
    ],
)
def test_threshold_within_half_and_twice_the_price_is_not(changes: dict[str, str]) -> None:
    """People do wait for a price that is half as high again."""
    assert about(check(row(**changes), api=Prices()).warnings, "threshold_price") == ""


class Priceless(Batch):
    """A client whose Kraken answers, and knows no price of one pair."""

    why = PriceUnavailable("ADAUSD", "Kraken's answer holds no price")

    def get_tickers(self, pairs: list[str]) -> object:
        return {pair: self.why if pair == "ADAUSD" else Decimal(50000) for pair in pairs}


def test_pair_without_a_price_is_an_error_of_its_rows() -> None:
    """Kraken was asked and has none: the row cannot fire, and is asked about again."""
    rows = GOOD, row(id="ada", pair="ADAUSD")
    result = check(*rows, api=Priceless())
    assert said(result.errors) == [("ada", "pair")]
    message = about(result.errors, "pair")
    assert message.startswith("This row cannot fire: ADA/USD has no price at Kraken (Kraken's")
    assert result.unpriced == {"ada"}
    assert "ada" not in [one["config_id"] for one in result.warnings]


def test_pair_that_loses_its_price_takes_no_protection_away() -> None:
    """A row that was armed stays so: there may be a price before it is needed."""
    result = check(row(id="ada", pair="ADAUSD"), api=Priceless(), armed_before={"ada"})
    assert result.is_valid()
    assert "no price" in about(result.warnings, "threshold_price")
    assert result.unpriced == set()


def test_price_that_came_too_late_is_not_called_missing() -> None:
    """That is the network's doing, and says nothing of the pair."""
    api = Priceless()
    api.why = PriceUnavailable("ADAUSD", "Kraken's answer took 40 s", 40.0)
    result = check(row(id="ada", pair="ADAUSD"), api=api)
    assert result.is_valid()
    assert result.unpriced == {"ada"}


def test_prices_of_rows_that_need_none_can_be_asked_for_besides() -> None:
    """Whoever looks at a file wants to see how far each row is, disabled ones too."""
    api = Batch(SOLUSD="150", funds={})
    rows = GOOD, row(id="off", enabled="no", pair="SOLUSD"), row(id="bad", volume="", pair="X")
    result = check(*rows, row(id="gone", enabled="no", pair="ADAUSD"), api=api)
    assert set(result.prices) == {"XXBTZUSD"}
    complete_prices(result, api)
    assert result.prices == {"XXBTZUSD": Decimal("50000.0"), "SOLUSD": Decimal(150)}
    complete_prices(result, None)
    assert api.asked.count("SOLUSD+ADAUSD") == 1


@pytest.mark.parametrize("typed", ["XXBTZUSD", "XBTUSD", "BTC/USD", "XBT/USD"])
def test_pair_has_one_name_in_what_is_said(typed: str) -> None:
    """However it was typed; only where nobody knows the name it stands as it is."""
    api = Prices(**{typed: 50000})
    near = check(row(pair=typed, threshold_price="51000"), api=api).errors
    far = check(row(pair=typed, threshold_price="510000"), api=api).warnings
    for found in (near, far):
        assert "price of BTC/USD" in about(found, "threshold_price")


@pytest.mark.parametrize(
    ("price", "is_off", "is_taken"),
    [
        ("49000", True, False),  # nearer than the offset
        ("47619.04", False, True),  # as far as the offset, and a hair more
        ("40000", False, True),
        ("50000", True, False),
        ("60000", True, False),
    ],
)
def test_rule_that_the_price_alone_refuses_is_told_apart(
    price: str, is_off: bool, is_taken: bool
) -> None:
    """Another price may arm it, and that price is the one that would pass the checks."""
    waiting = row(threshold_price="50000")
    result = check(waiting, api=Prices(XXBTZUSD=price))
    assert ("btc_1" in result.off_price) is is_off
    assert bool(result.accepted) is is_taken
    assert takes_price(read_rule(waiting), Decimal(price)) is is_taken


def test_rule_that_was_armed_before_is_not_refused_for_the_price() -> None:
    """It fires or waits: no price has to come for it to be armed."""
    result = check(GOOD, api=Prices(XXBTZUSD="60000"), armed_before={"btc_1"})
    assert result.off_price == {}
    assert result.accepted
