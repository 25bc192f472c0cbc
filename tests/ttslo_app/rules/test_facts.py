"""What is asked of the API object: each question once, and nothing believed that is no answer."""

from decimal import Decimal
from unittest.mock import Mock

import pytest
from rows_kit import BTC, GOOD, Batch, Listed, Prices, about, check, row, said

from krakenlink.errors import KrakenTimeout
from krakenlink.pairs import Pair, Symbol
from ttslo_app.rules.facts import (
    Funds,
    MarketFacts,
    Unchecked,
    Unknown,
)


def test_the_listing_is_asked_once_a_pair() -> None:
    """Ten rows on one market, and their funds, are one question."""
    api = Listed(BTC)
    check(*(row(id=f"r{n}") for n in range(10)), api=api)
    assert api.asked == ["listing of XXBTZUSD", "XXBTZUSD", "balance"]


@pytest.mark.parametrize("price", [50000, 50000.0, Decimal(50000), "50000.0"])
def test_every_kind_of_number_is_a_price(price: object) -> None:
    """Stand-ins answer with whatever they have."""
    api = Prices(XXBTZUSD=price)
    assert not check(row(threshold_price="50000"), api=api).is_valid()


@pytest.mark.parametrize(
    "price",
    [None, Mock(), True, float("nan"), float("inf"), 0, -5.0, "", "n/a", [], Exception(""),
     KrakenTimeout("timed out", request_sent=True)],
)  # fmt: skip
def test_no_price_is_could_not_check(price: object) -> None:
    """What is no price refuses no row, and is never taken for a price that was checked."""
    result = check(GOOD, api=Prices(XXBTZUSD=price))
    assert result.is_valid()
    assert "Could not check the threshold: no price" in about(result.warnings, "threshold_price")


def test_a_price_is_asked_once_a_pair_and_for_armed_rows_alone() -> None:
    """Ten rows on one market are one question; disabled, fired and refused rows are none."""
    api = Prices(funds={})
    idle = [row(id="off", enabled="no", pair="XETHZUSD"), row(id="bad", volume="", pair="XETHZEUR")]
    idle += [row(id="twice", pair="XLTCZUSD"), row(id="twice", pair="XLTCZEUR")]
    check(*(row(id=f"r{n}", direction="buy") for n in range(10)), *idle, api=api)
    assert api.asked == ["XXBTZUSD", "balance"]


def test_all_prices_are_asked_in_one_call_where_there_is_one() -> None:
    """A batch is one call, and a pair that fails in it fails alone."""
    gone = Exception("EQuery:Unknown asset pair")
    api = Batch(funds={}, SOLUSD=gone, ADAUSD="5")
    pairs = "XXBTZUSD", "SOLUSD", "ADAUSD", "DOTUSD"
    result = check(*(row(id=pair, pair=pair, direction="buy") for pair in pairs), api=api)
    assert api.asked == ["XXBTZUSD+SOLUSD+ADAUSD+DOTUSD", "balance"]
    assert said(result.errors) == [("SOLUSD", "pair")]
    assert ("DOTUSD", "threshold_price") in said(result.warnings)


def test_a_batch_that_fails_is_could_not_check_for_all() -> None:
    """One deadline has passed; it is not waited for once more for each pair."""
    api = Batch(funds={}, batch=Exception())
    result = check(row(direction="buy"), row(id="b", pair="SOLUSD", direction="buy"), api=api)
    assert result.is_valid()
    assert about(result.warnings, "threshold_price").count("timed out") == 2
    assert api.asked == ["XXBTZUSD+SOLUSD", "balance"]


def test_no_batch_is_sent_where_nothing_is_armed() -> None:
    """Nothing armed, nothing asked."""
    api = Batch()
    check(row(enabled="no"), api=api)
    assert api.asked == []


def test_a_mock_of_the_real_client_is_no_source_of_facts() -> None:
    """A mock that has every name and answers with mocks yields warnings, no error and no crash."""
    names = ["get_current_price", "get_balance", "resolve_pair", "get_tickers", "has_keys"]
    api = Mock(spec=names)
    result = check(GOOD, api=api)
    assert result.is_valid()
    assert said(result.warnings) == [("btc_1", "threshold_price"), ("btc_1", "balance")]
    assert "the answer is Mock, not a number" in about(result.warnings, "threshold_price")
    api.resolve_pair.assert_not_called()
    api.get_current_price.return_value = 59999.0
    assert not check(GOOD, api=api).is_valid()


def test_dollars_are_one_asset_under_both_names() -> None:
    """USD is ZUSD, so selling dollars finds them."""
    api = Prices({"ZUSD": "3", "USD.F": "2"}, ZUSDZCAD=1.3)
    sold = row(pair="ZUSDZCAD", threshold_price="1.6", volume="5")
    assert "5.00000000 USD" in about(check(sold, api=api).warnings, "balance")


@pytest.mark.parametrize(
    "funds", [KrakenTimeout("timed out", request_sent=True), [], Mock(), {"XXBT": "much"}]
)
def test_funds_that_cannot_be_read_are_could_not_check(funds: object) -> None:
    """A failure says neither that funds suffice nor that they do not."""
    api = Prices(funds)
    result = check(GOOD, row(id="b"), api=api)
    assert result.is_valid()
    message = about(result.warnings, "balance")
    assert message.count("Could not check the balance of BTC") == 2
    assert "sufficient" not in message
    assert api.asked.count("balance") == 1


def test_funds_of_an_asset_that_nobody_knows_are_could_not_check() -> None:
    """Without a listing the asset of a new pair is not guessed from its name."""
    result = check(row(pair="NEWCOIN"), api=Prices(NEWCOIN=50000))
    assert "the asset of NEWCOIN is not known" in about(result.warnings, "balance")


def test_funds_follow_the_listing_where_there_is_one() -> None:
    """The listing's own base asset is looked up."""
    new = Pair("NEWUSD", "NEWUSD", "NEW/USD", Symbol("NEW/USD"), "NEW", "ZUSD")
    api = Listed(new, NEWUSD=50000)
    api.funds = {"NEW": "7"}
    assert "7.00000000 NEW" in about(check(row(pair="NEWUSD"), api=api).warnings, "balance")


def test_funds_are_not_asked_for_without_keys_or_armed_rows() -> None:
    """A client without keys would only be refused; idle rows need nothing here."""
    keyless = Prices()
    keyless.api_key = None  # type: ignore[attr-defined]  # as the real client without keys has it
    assert about(check(GOOD, api=keyless).warnings, "balance") == ""
    idle = row(id="c", enabled="no"), row(id="d", threshold_price="1")
    api = Prices()
    assert about(check(*idle, api=api).warnings, "balance") == ""
    assert "balance" not in [*keyless.asked, *api.asked]


def test_market_facts_tell_unknown_from_unchecked() -> None:
    """A pair that the listing lacks is unknown; one whose listing cannot be had is unchecked."""
    listed = MarketFacts(Listed(BTC))
    assert listed.pair("BTC/USD") is listed.listed("BTC/USD") is listed.pair("BTC/USD")
    assert isinstance(listed.pair("NO/SUCH"), Unknown)
    assert listed.listed("NO/SUCH") is None
    away = MarketFacts(Listed(fault=KrakenTimeout("timed out", request_sent=True)))
    assert away.pair("BTC/USD") == Unchecked("timed out")


def test_market_facts_without_anybody_to_ask_know_old_names_alone() -> None:
    """Offline a well-known name passes unchecked, without a word, and any other is unknown."""
    nobody = MarketFacts(None)
    assert not nobody.has_prices
    assert not nobody.has_listing
    assert nobody.pair("XXBTZUSD") == Unchecked("")
    assert isinstance(nobody.pair("NEWCOIN"), Unknown)


def test_funds_of_an_asset_are_asked_once_and_none_is_zero() -> None:
    """Spot and flexible funds are apart; what the account does not hold is nothing."""
    api = Prices({"XXBT": "1.5", "XBT.F": "0.25"})
    funds = Funds(api)
    assert funds.is_available
    assert funds.of("XXBT") == (Decimal("1.5"), Decimal("0.25"))
    assert funds.of("SOL") == (Decimal(0), Decimal(0))
    assert api.asked == ["balance"]
