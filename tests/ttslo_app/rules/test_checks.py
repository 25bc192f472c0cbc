"""The validator: each finding of the contract, and checked told apart from could not check."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakenlink.errors import KrakenTimeout
from krakenlink.pairs import Pair, PairDirectory, Symbol
from ttslo_app.rules.checks import (
    ConfigValidator,
    ValidationResult,
    asset_name,
    format_validation_result,
    well_known_pair,
)
from ttslo_app.store.rule_text import ConfigRow

GOOD = {
    "id": "btc_1",
    "pair": "XXBTZUSD",
    "threshold_price": "60000",
    "threshold_type": "above",
    "direction": "sell",
    "volume": "0.01",
    "trailing_offset_percent": "5.0",
    "enabled": "true",
}
BTC = Pair(
    "XXBTZUSD", "XBTUSD", "XBT/USD", Symbol("BTC/USD"), "XXBT", "ZUSD", 1, 8,
    Decimal("0.0001"), Decimal("0.5"), Decimal("0.1"), "online",
)  # fmt: skip


def row(**changes: str) -> dict[str, str]:
    """Return a good row with changes."""
    return {**GOOD, **changes}


class Prices:
    """The least that callers hand in: prices by pair, funds, and a count of questions."""

    def __init__(self, funds: object = None, **prices: object) -> None:
        self.prices = {"XXBTZUSD": 50000.0, **prices}
        self.funds = {"XXBT": "1.0"} if funds is None else funds
        self.asked: list[str] = []

    def get_current_price(self, pair: str) -> object:
        self.asked.append(pair)
        return answer(
            self.prices.get(pair, Exception("Kraken API error: EQuery:Unknown asset pair"))
        )

    def get_balance(self) -> object:
        self.asked.append("balance")
        return answer(self.funds)

    def add_trailing_stop_loss(self, **_order: object) -> object:
        raise AssertionError("a check places no order")


class Listed(Prices):
    """A client with Kraken's listing, as the real one has it."""

    def __init__(self, *pairs: Pair, fault: Exception | None = None, **prices: object) -> None:
        super().__init__(None, **prices)
        self.directory = PairDirectory(pairs)
        self.fault = fault

    def resolve_pair(self, name: str) -> Pair:
        self.asked.append(f"listing of {name}")
        if self.fault:
            raise self.fault
        return self.directory.resolve(name)


@dataclass
class Ticker:
    """What a batch answers for one pair."""

    price: object


class Batch(Prices):
    """A client that answers all prices at once."""

    def get_tickers(self, pairs: list[str]) -> object:
        self.asked.append("+".join(pairs))
        if isinstance(self.prices.get("batch"), Exception):
            raise KrakenTimeout("timed out", request_sent=True)
        found = {pair: self.prices[pair] for pair in pairs if pair in self.prices}
        return {k: v if isinstance(v, Exception) else Ticker(v) for k, v in found.items()}


def answer(value: object) -> object:
    """Return `value`, or raise it."""
    if isinstance(value, Exception):
        raise value
    return value


def check(*rows: Mapping[str, object], api: object = None, **more: Any) -> ValidationResult:
    """Validate the rows."""
    return ConfigValidator(api).validate_config_file(rows, **more)


def said(findings: list[dict[str, str]]) -> list[tuple[str, str]]:
    """Return id and field of each finding."""
    return [(finding["config_id"], finding["field"]) for finding in findings]


def about(findings: list[dict[str, str]], field: str) -> str:
    """Return the messages about one field."""
    return "\n".join(finding["message"] for finding in findings if finding["field"] == field)


# ------------------------------------------------------------------ the row by itself


def test_a_good_row_passes_without_any_api() -> None:
    """A whole row with a well-known pair has no finding, and is accepted."""
    result = check(GOOD)
    assert result.is_valid()
    assert not result.has_warnings()
    assert result.accepted == [GOOD]
    assert result.configs == [GOOD]


@pytest.mark.parametrize("field", ConfigValidator.REQUIRED_FIELDS)
@pytest.mark.parametrize("how", ["absent", "empty", "blank", "none"])
def test_a_missing_field_is_an_error(field: str, how: str) -> None:
    """Absent, empty, blank and None are all missing."""
    given_row: dict[str, object] = {
        **GOOD,
        field: {"empty": "", "blank": "  ", "none": None}.get(how),
    }
    if how == "absent":
        del given_row[field]
    result = check(given_row)
    assert field in [name for _, name in said(result.errors)]
    assert result.accepted == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "btc 1"),
        ("id", "bтc"),
        ("pair", "NOSUCHPAIR"),
        ("threshold_price", "abc"),
        ("threshold_price", "50,000"),
        ("threshold_price", "nan"),
        ("threshold_price", "Infinity"),
        ("threshold_price", "1e400"),
        ("threshold_price", "0"),
        ("threshold_price", "-1"),
        ("volume", "0"),
        ("volume", "-0.5"),
        ("volume", "one"),
        ("trailing_offset_percent", "0"),
        ("trailing_offset_percent", "-5"),
        ("trailing_offset_percent", "5%"),
        ("threshold_type", "over"),
        ("direction", "hold"),
        ("enabled", "maybe"),
    ],
)
def test_a_bad_value_is_an_error_that_names_it(field: str, value: str) -> None:
    """The finding names row, line, field and value."""
    bad = ConfigRow(row(**{field: value}), line=7)
    (error,) = check(bad).errors
    assert error["config_id"] == bad["id"]
    assert (error["field"], error["type"]) == (field, "error")
    assert value in error["message"]
    assert error["message"].endswith("(line 7)")


@pytest.mark.parametrize("word", ConfigValidator.VALID_ENABLED_VALUES)
def test_every_word_of_enabled_is_accepted(word: str) -> None:
    """Words of this and of later versions pass, in any case."""
    assert check(row(enabled=word), row(id="b", enabled=word.upper())).is_valid()


@pytest.mark.parametrize("word", ["TRUE", "yes", "1", ""])
def test_each_arming_word_is_checked_against_the_market(word: str) -> None:
    """A row that trades is a row that is checked, however `enabled` is spelled."""
    assert not check(row(enabled=word, threshold_price="40000"), api=Prices()).is_valid()


def test_one_bad_row_stops_no_other() -> None:
    """Each row is accepted or refused by itself."""
    result = check(row(id="x", volume="nan"), GOOD, ConfigRow({}, line=4), {})
    assert result.accepted == [GOOD]
    assert {name for name, _ in said(result.errors)} == {"x", "row at line 4", "row 4"}


def test_a_row_that_was_damaged_in_the_file_is_refused() -> None:
    """What the reader found wrong with a row as a whole is an error."""
    result = check(ConfigRow(GOOD, line=3, findings=["has 9 cells"]), row(id="b"))
    assert said(result.errors) == [("btc_1", "row")]
    assert "The row has 9 cells (line 3)" in about(result.errors, "row")


@pytest.mark.parametrize("enabled", ["true", "false"])
def test_a_duplicate_id_refuses_both_rows(enabled: str) -> None:
    """Ids are unique over the whole file, whatever `enabled` says."""
    result = check(GOOD, row(id="other"), row(enabled=enabled))
    assert said(result.errors) == [("btc_1", "id"), ("btc_1", "id")]
    assert "Duplicate id 'btc_1'" in about(result.errors, "id")
    assert [r["id"] for r in result.accepted] == ["other"]


def test_rows_without_id_are_no_duplicates_of_each_other() -> None:
    """A missing id is said once a row, by its place."""
    result = check(row(id=""), row(id=""))
    assert said(result.errors) == [("row 1", "id"), ("row 2", "id")]


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"direction": "buy"}, "direction", "above with buy"),
        ({"threshold_type": "below"}, "direction", "below with sell"),
        ({"trailing_offset_percent": "0.09"}, "trailing_offset_percent", "very small"),
        ({"trailing_offset_percent": "20.1"}, "trailing_offset_percent", "large"),
        ({"trailing_offset_percent": "51"}, "trailing_offset_percent", "very large"),
        ({"threshold_price": "0.000001"}, "threshold_price", "very small"),
        ({"threshold_price": "1000001"}, "threshold_price", "very large"),
        ({"volume": "0.00001"}, "volume", "very small"),
        ({"volume": "5E-8"}, "volume", "0.00000005 is very small"),
        ({"volume": "1000000"}, "volume", "very large"),
    ],
)
def test_what_is_seldom_meant_is_a_warning(changes: dict[str, str], field: str, words: str) -> None:
    """Odd values are pointed at, and accepted."""
    result = check(row(**changes))
    assert result.is_valid()
    (warning,) = result.warnings
    assert (warning["field"], warning["type"]) == (field, "warning")
    assert words in warning["message"]


@pytest.mark.parametrize("offset", ["0.1", "1", "20"])
def test_an_ordinary_offset_is_no_warning(offset: str) -> None:
    """The limits themselves are ordinary."""
    assert check(row(trailing_offset_percent=offset)).warnings == []


# ------------------------------------------------------------------ the pair


@pytest.mark.parametrize("name", ["XBTUSD", "btc/usd", "XXBTZEUR", "SOL-EUR", "ADAUSDT", "xtzusd"])
def test_well_known_names_pass_without_a_listing(name: str) -> None:
    """Old and new names in every spelling pass an offline check."""
    assert check(row(pair=name)).is_valid()


def test_an_unknown_pair_offline_names_the_nearest() -> None:
    """A slip of the hand is answered with what was meant."""
    message = about(check(row(pair="SOL/USDD")).errors, "pair")
    assert message.startswith("Unknown pair 'SOL/USDD'")
    assert "SOL/USD" in message.split("nearest")[1]


def test_a_name_is_never_cut_at_its_front() -> None:
    """XTZUSD is Tezos: its funds are not those of an asset TZ or T."""
    pair = well_known_pair("XTZUSD")
    assert pair is not None
    assert asset_name(pair.base) == "XTZ"


def test_kraken_saying_unknown_is_an_error() -> None:
    """With a price source the source decides, not the look of the name."""
    result = check(row(pair="SOLUSD"), row(id="b", pair="NEW/COIN"), api=Prices(**{"NEW/COIN": 5}))
    assert ("btc_1", "pair") in said(result.errors)
    assert "Unknown pair 'SOLUSD'" in about(result.errors, "pair")
    assert "b" not in [name for name, field in said(result.errors) if field == "pair"]


def test_a_disabled_row_with_a_name_nobody_can_look_up_is_a_warning() -> None:
    """No price is asked for a row that does not wait for one; that it was not checked is said."""
    api = Prices()
    result = check(row(pair="NEWCOIN", enabled="no"), api=api)
    assert result.is_valid()
    assert "Could not check pair 'NEWCOIN'" in about(result.warnings, "pair")
    assert api.asked == []


def test_the_listing_decides_where_there_is_one() -> None:
    """A pair that the listing lacks is refused with the nearest, disabled or not."""
    result = check(GOOD, row(id="b", pair="BTC/USDD", enabled="no"), api=Listed(BTC))
    assert said(result.errors) == [("b", "pair")]
    assert "BTC/USD" in about(result.errors, "pair")


def test_the_listing_is_asked_once_a_pair() -> None:
    """Ten rows on one market, and their funds, are one question."""
    api = Listed(BTC)
    check(*(row(id=f"r{n}") for n in range(10)), api=api)
    assert api.asked == ["listing of XXBTZUSD", "XXBTZUSD", "balance"]


def test_a_listing_that_cannot_be_had_is_a_warning() -> None:
    """Could not check is no error, and says why."""
    result = check(GOOD, api=Listed(fault=KrakenTimeout("timed out", request_sent=True)))
    assert result.is_valid()
    assert "Could not check pair 'XXBTZUSD' with Kraken: timed out" in about(
        result.warnings, "pair"
    )


@pytest.mark.parametrize(
    ("changes", "listing", "field", "words"),
    [
        ({"volume": "0.00009"}, {}, "volume", "0.00009 is below Kraken's minimum of 0.0001"),
        ({"volume": "0.0001"}, {"costmin": Decimal(10)}, "volume", "worth 6.0000 at the threshold"),
        ({"volume": "0.009"}, {"lot_decimals": 2}, "volume", "Volume 0.00 is below"),
        ({"volume": "0.9"}, {"lot_decimals": 0, "ordermin": None}, "volume", "minimum of one lot"),
        ({"volume": f"{'9' * 27}.{'1' * 9}"}, {"ordermin": Decimal("1e29")}, "volume", "below"),
    ],
)
def test_an_order_below_the_minimum_is_refused(
    changes: dict[str, str], listing: dict[str, Any], field: str, words: str
) -> None:
    """What Kraken would refuse when it fires is said when it is armed, not when it is disabled."""
    api = Listed(replace(BTC, **listing))
    assert words in about(check(row(**changes), api=api).errors, field)
    assert check(row(**changes, enabled="no"), api=api).is_valid()


@pytest.mark.parametrize("listing", [{}, {"ordermin": None, "costmin": None, "lot_decimals": None}])
def test_an_order_at_the_minimum_passes(listing: dict[str, Any]) -> None:
    """The minimum itself is enough, and a minimum that is not known is none."""
    api = Listed(replace(BTC, **listing))
    assert check(row(volume="0.0001"), api=api).is_valid()


def test_places_that_will_be_cut_are_a_warning() -> None:
    """More places than the market has are cut, never rounded up, and that is said."""
    result = check(row(volume="0.0199"), api=Listed(replace(BTC, lot_decimals=3)))
    assert result.is_valid()
    assert "Volume 0.0199 has more places than XXBTZUSD takes; cut to 0.019" in about(
        result.warnings, "volume"
    )


@pytest.mark.parametrize(
    ("listing", "words"), [({"status": "cancel_only"}, "cancel_only"), ({"symbol": None}, "polled")]
)
def test_a_market_that_is_not_as_others_is_a_warning(listing: dict[str, Any], words: str) -> None:
    """A market that takes no orders now, or has no stream, is pointed at."""
    api = Listed(replace(BTC, **listing))
    assert words in about(check(GOOD, api=api).warnings, "pair")


# ------------------------------------------------------------------ today's price


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


def test_a_failing_pair_leaves_the_others_alone() -> None:
    """One delisted pair fails alone."""
    rows = row(id="gone", pair="LUNA/USD"), row(threshold_price="40000")
    result = check(*rows, api=Prices())
    assert said(result.errors) == [("gone", "pair"), ("btc_1", "threshold_price")]


def test_a_price_is_asked_once_a_pair_and_for_armed_rows_alone() -> None:
    """Ten rows on one market are one question; disabled, fired and refused rows are none."""
    api = Prices(funds={})
    idle = [row(id="off", enabled="no", pair="XETHZUSD"), row(id="bad", volume="", pair="XETHZEUR")]
    idle += [row(id="twice", pair="XLTCZUSD"), row(id="twice", pair="XLTCZEUR")]
    check(*(row(id=f"r{n}", direction="buy") for n in range(10)), *idle, api=api)
    assert api.asked == ["XXBTZUSD"]


@pytest.mark.parametrize("has_columns", [True, False])
def test_a_row_that_has_fired_is_not_checked_against_the_market(has_columns: bool) -> None:
    """Its threshold is met, of course; that it is not armed is said."""
    api, told = Prices(), row(threshold_price="40000", order_id="OID" if has_columns else "")
    result = check(told, api=api, fired=[] if has_columns else ["btc_1"])
    assert api.asked == []
    assert said(result.warnings) == [("btc_1", "order_id")]
    assert "fired" in format_validation_result(result).splitlines()[-1]


def test_all_prices_are_asked_in_one_call_where_there_is_one() -> None:
    """A batch is one call, and a pair that fails in it fails alone."""
    gone = Exception("EQuery:Unknown asset pair")
    api = Batch(funds={}, SOLUSD=gone, ADAUSD="5")
    pairs = "XXBTZUSD", "SOLUSD", "ADAUSD", "DOTUSD"
    result = check(*(row(id=pair, pair=pair, direction="buy") for pair in pairs), api=api)
    assert api.asked == ["XXBTZUSD+SOLUSD+ADAUSD+DOTUSD"]
    assert said(result.errors) == [("SOLUSD", "pair")]
    assert ("DOTUSD", "threshold_price") in said(result.warnings)


def test_a_batch_that_fails_is_could_not_check_for_all() -> None:
    """One deadline has passed; it is not waited for once more for each pair."""
    api = Batch(funds={}, batch=Exception())
    result = check(row(direction="buy"), row(id="b", pair="SOLUSD", direction="buy"), api=api)
    assert result.is_valid()
    assert about(result.warnings, "threshold_price").count("timed out") == 2
    assert api.asked == ["XXBTZUSD+SOLUSD"]


def test_no_batch_is_sent_where_nothing_is_armed() -> None:
    """Nothing armed, nothing asked."""
    api = Batch()
    check(row(enabled="no"), api=api)
    assert api.asked == []


def test_without_prices_it_is_noted_that_none_were_checked() -> None:
    """An offline check says what it is not."""
    assert "prices" in check(GOOD).notes[0]
    assert check(row(enabled="no")).notes == []


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


# ------------------------------------------------------------------ funds


@pytest.mark.parametrize(
    ("funds", "total", "flexible"),
    [
        ({"XXBT": "0.5"}, "0.50000000", "0.00000000"),
        ({"XXBT": "0.004", "XBT.F": "0.006"}, "0.01000000", "0.00600000"),
        ({"XXBT.F": "0.2", "BTC": 0.1, "ZUSD": "5"}, "0.30000000", "0.20000000"),
    ],
)
def test_funds_that_suffice_are_said(funds: dict[str, object], total: str, flexible: str) -> None:
    """Spot and .F funds of all names of the asset are summed, with 8 decimals."""
    result = check(GOOD, api=Prices(funds))
    message = about(result.warnings, "balance")
    assert "sufficient" in message
    assert "insufficient" not in message
    assert f"{total} BTC" in message
    assert f".F {flexible})" in message
    assert "volume" not in [field for _, field in said(result.warnings)]


@pytest.mark.parametrize("funds", [{"XXBT": "0.009", "XBT.M": "5"}, {}, {"ZUSD": "1000"}])
def test_funds_that_do_not_suffice_are_two_warnings(funds: dict[str, str]) -> None:
    """Advice, twice, and the row is accepted all the same."""
    result = check(GOOD, api=Prices(funds))
    assert result.is_valid()
    assert "insufficient" in about(result.warnings, "balance")
    assert about(result.warnings, "volume").startswith("Insufficient")


def test_dollars_are_one_asset_under_both_names() -> None:
    """USD is ZUSD, so selling dollars finds them."""
    api = Prices({"ZUSD": "3", "USD.F": "2"}, ZUSDZCAD=1.3)
    sold = row(pair="ZUSDZCAD", threshold_price="1.6", volume="5")
    assert "5.00000000 USD" in about(check(sold, api=api).warnings, "balance")


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("XXBT", "BTC"),
        ("XBT", "BTC"),
        ("XXDG", "DOGE"),
        ("ZUSD", "USD"),
        ("XTZ", "XTZ"),
        ("sol", "SOL"),
    ],
)
def test_an_asset_has_one_name(code: str, name: str) -> None:
    """Kraken's old ids are names of the same thing; nothing else is cut."""
    assert asset_name(code) == name


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


def test_funds_are_not_asked_for_without_keys_buys_or_armed_sells() -> None:
    """A client without keys would only be refused; buys and idle rows need nothing here."""
    keyless = Prices()
    keyless.api_key = None  # type: ignore[attr-defined]  # as the real client without keys has it
    assert about(check(GOOD, api=keyless).warnings, "balance") == ""
    idle = row(id="b", direction="buy"), row(id="c", enabled="no"), row(id="d", threshold_price="1")
    api = Prices()
    assert about(check(*idle, api=api).warnings, "balance") == ""
    assert "balance" not in [*keyless.asked, *api.asked]


# ------------------------------------------------------------------ the result and its words


def test_a_result_can_be_filled_by_hand() -> None:
    """Findings are dicts with id, field, message and type."""
    result = ValidationResult()
    assert result.is_valid()
    assert not result.has_warnings()
    result.add_error("a", "pair", "no")
    result.add_warning("b", "volume", "hm")
    assert result.errors == [{"config_id": "a", "field": "pair", "message": "no", "type": "error"}]
    assert result.warnings[0]["type"] == "warning"
    assert (result.is_valid(), result.has_warnings()) == (False, True)


def test_the_text_says_passed_and_each_row() -> None:
    """A good file passes, and every row is summed up in one line."""
    text = format_validation_result(check(GOOD, row(id="off", enabled="no")))
    assert "VALIDATION PASSED: 2 rows, 0 errors, 0 warnings" in text
    lines = text.splitlines()
    assert lines[-2].split() == ["btc_1", "armed", "XXBTZUSD", "at", "or", "above", "60000"]
    assert lines[-1].split()[:2] == ["off", "disabled"]
    assert "NOT CHECKED" in text


def test_the_text_says_failed_and_why() -> None:
    """A refused row fails the file; errors, warnings and the refused rows are there."""
    bad = row(id="bad", volume="nan"), row(id="met", threshold_price="1", pair="XXBTZUSD")
    text = format_validation_result(check(*bad, row(direction="buy"), api=Prices()))
    assert "VALIDATION FAILED: 3 rows, 2 errors, 1 warning\n" in text
    assert text.index("ERRORS") < text.index("WARNINGS") < text.index("ROWS")
    assert "[bad] volume:" in text
    assert sum("refused" in line for line in text.splitlines()) == 2


def test_the_verbose_text_tells_the_order() -> None:
    """Verbose adds what will be placed."""
    assert "sell 0.01, trailing 5.0 %" in format_validation_result(check(GOOD), verbose=True)
    assert "trailing" not in format_validation_result(check(GOOD))


def test_the_text_of_nothing_is_readable() -> None:
    """An empty file passes: nothing in it is wrong."""
    assert "VALIDATION PASSED: 0 rows" in format_validation_result(ValidationResult())


def test_the_text_fits_a_terminal() -> None:
    """Long findings are wrapped."""
    result = check(row(pair="NOPE" * 12), row(pair="NOPE" * 12))
    assert all(len(line) <= 100 for line in format_validation_result(result).splitlines())


WORDS = st.sampled_from(["", "true", "above", "sell", "50000", "nan", "XXBTZUSD", "x", "#", "1e9"])
APIS: list[Callable[[], object]] = [lambda: None, Prices, lambda: Listed(BTC), Batch, Mock]


@given(
    st.lists(
        st.dictionaries(st.sampled_from(sorted(GOOD)), WORDS | st.text(max_size=5)), max_size=4
    ),
    st.sampled_from(APIS),
)
def test_no_row_makes_the_validator_raise(
    rows: list[dict[str, str]], api: Callable[[], object]
) -> None:
    """Whatever the rows say, each is accepted or refused, never both, and the text is made."""
    result = check(*rows, api=api())
    assert bool(result.errors) == (len(result.accepted) < len(rows))
    assert format_validation_result(result, verbose=True)


@pytest.mark.parametrize("thing", [None, "btc", 5, ["btc"]])
def test_row_that_is_no_dict_is_an_error_of_its_own(thing: Any) -> None:
    """What is no row at all is said, and the rows beside it are checked as ever."""
    result = ConfigValidator().validate_config_file([thing, row()])
    assert [(e["config_id"], e["field"]) for e in result.errors] == [("row 1", "row")]
    assert type(thing).__name__ in result.errors[0]["message"]
    assert result.accepted == [row()]
    assert "VALIDATION FAILED" in format_validation_result(result)
