"""What is asked of the API object: each question once, and nothing believed that is no answer."""

from datetime import UTC, datetime
from decimal import Decimal
from unittest.mock import Mock

import pytest

from krakenlink.errors import KrakenTimeout
from krakenlink.pairs import Pair, PairDirectory, Symbol
from tests.kits.rows.rows_kit import BTC, GOOD, Batch, Listed, Prices, about, check, row, said
from ttslo_app.rules.checked import CheckedRow, KnownRows
from ttslo_app.rules.checks import ConfigValidator
from ttslo_app.rules.facts import (
    Funds,
    MarketFacts,
    Unchecked,
    Unknown,
    amount,
    untraced,
)


def test_the_listing_is_asked_once_a_pair() -> None:
    """Ten rows on one market, and their funds, are one question."""
    api = Listed(BTC)
    check(*(row(id=f"r{n}") for n in range(10)), api=api)
    assert api.asked == ["listing of XXBTZUSD", "XXBTZUSD", "balance"]


def test_error_that_is_told_holds_on_to_nobody() -> None:
    """Neither where it was raised nor what led to it, whose traces have the callers' rows."""

    def fail() -> None:
        try:
            raise OSError("no route")
        except OSError as cause:
            raise KrakenTimeout("timed out", request_sent=True) from cause

    with pytest.raises(KrakenTimeout) as raised:
        fail()
    told = untraced(raised.value)
    assert told is raised.value
    assert "timed out" in str(told)
    assert (told.__traceback__, told.__cause__, told.__context__) == (None, None, None)


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


@pytest.mark.parametrize("volumes", [("0.5", "1.5", "1"), ("1.5", "1", "0.5"), ("1", "0.5", "1.5")])
def test_of_a_group_the_dearest_row_counts(volumes: tuple[str, ...]) -> None:
    """One of them fires, whichever; a row beside the group is summed as any."""
    rows = [row(id=f"g{n}", group="g", volume=volume) for n, volume in enumerate(volumes)]
    for owned, is_enough in (("1.75", True), ("1.7499", False)):
        result = check(*rows, row(id="alone", volume="0.25"), api=Prices({"XXBT": owned}))
        text = about(result.warnings, "balance")
        assert text.count("1.75000000 with all 2 armed rows") == 4
        assert ("is sufficient" in text) is is_enough


# --- from one reading of a file to the next ------------------------------------------------------


class Reader:
    """A file of rows that is read again and again."""

    def __init__(self, api: Prices) -> None:
        self.api, self.known = api, KnownRows()

    def read(self, *rows: dict[str, str]) -> tuple[list[str], list[CheckedRow]]:
        """Return what is said of funds, and the rows."""
        checked = self.known.read(rows)
        result = ConfigValidator(self.api).validate_again(
            checked, self.known, armed_before=(), fired=(), now=datetime(2026, 1, 1, tzinfo=UTC)
        )
        assert result.warnings == check(*rows, api=self.api).warnings
        return [one["message"] for one in result.warnings if one["field"] == "balance"], checked


SOL = Pair("SOLUSD", "SOLUSD", "SOL/USD", Symbol("SOL/USD"), "SOL", "ZUSD", 1, 8,
    Decimal("0.0001"), Decimal("0.5"), Decimal("0.1"), "online")  # fmt: skip


def test_advice_is_kept_while_funds_and_all_rows_of_the_asset_are_the_same() -> None:
    """A row of another asset changes nothing of it, and neither does a threshold."""
    reader = Reader(Listed(BTC, SOL, SOLUSD=50_000))
    rows = row(), row(id="two"), row(id="sol", pair="SOLUSD")
    _, before = reader.read(*rows)
    advice = [one.advice for one in before]
    _, after = reader.read(row(threshold_price="61000"), rows[1], {**rows[2], "volume": "0.02"})
    assert after[0].advice == advice[0]
    assert after[1].advice is advice[1]
    assert after[2].advice != advice[2]


def test_advice_is_worked_out_anew_when_what_it_rests_on_has_changed() -> None:
    """What there is, what the others take, how many they are, and that nobody can tell."""
    reader = Reader(Listed(BTC))
    one, two = row(), row(id="two", volume="0.5")
    seen = [reader.read(one)[0][0], reader.read(one, two)[0][0]]
    seen.append(reader.read(one, {**two, "volume": "0.6"})[0][0])
    reader.api.funds = {"XXBT": "0.1"}
    seen.append(reader.read(one, two)[0][0])
    reader.api.funds = KrakenTimeout("timed out", request_sent=True)
    seen.append(reader.read(one, two)[0][0])
    assert len(set(seen)) == len(seen)


def test_need_of_a_row_goes_by_the_pair_that_is_listed_now() -> None:
    """Kraken may give a pair another asset under the same name."""
    api = Listed(BTC)
    reader = Reader(api)
    assert "BTC balance" in reader.read(row())[0][0]
    api.directory = PairDirectory([BTC._replace(base="XBTC2")])
    assert "XBTC2 balance is insufficient" in reader.read(row())[0][0]
