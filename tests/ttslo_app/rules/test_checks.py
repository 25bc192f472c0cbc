"""The checks: each finding of the contract, and checked told apart from could not check."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakenlink.errors import KrakenTimeout
from tests.kits.rows.rows_kit import (
    BTC,
    GOOD,
    Batch,
    Listed,
    Prices,
    Ticker,
    about,
    check,
    row,
    said,
)
from ttslo_app.rules.checks import ConfigValidator
from ttslo_app.rules.findings import format_validation_result
from ttslo_app.rules.rule import read_rule
from ttslo_app.store.rule_row import ConfigRow


def test_a_good_row_passes_without_any_api() -> None:
    """A whole row with a well-known pair has no finding, and is accepted."""
    result = check(GOOD)
    assert result.is_valid()
    assert not result.has_warnings()
    assert [one.row for one in result.accepted] == [GOOD]
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
    assert [one.row for one in result.accepted] == [GOOD]
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
    assert [one.rule.id for one in result.accepted] == ["other"]


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
        ({"trailing_offset_percent": "50"}, "trailing_offset_percent", "50 % is large"),
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


@pytest.mark.parametrize("name", ["XBTUSD", "btc/usd", "XXBTZEUR", "SOL-EUR", "ADAUSDT", "xtzusd"])
def test_well_known_names_pass_without_a_listing(name: str) -> None:
    """Old and new names in every spelling pass an offline check."""
    assert check(row(pair=name)).is_valid()


def test_an_unknown_pair_offline_names_the_nearest() -> None:
    """A slip of the hand is answered with what was meant."""
    message = about(check(row(pair="SOL/USDD")).errors, "pair")
    assert message.startswith("Unknown pair 'SOL/USDD'")
    assert "SOL/USD" in message.split("nearest")[1]


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
        ({"volume": "0.0001"}, {"costmin": Decimal(10)}, "volume", "worth 6 at the threshold"),
        ({"volume": "0.009"}, {"lot_decimals": 2}, "volume", "Volume 0.00 is below"),
        ({"volume": "0.9"}, {"lot_decimals": 0, "ordermin": None}, "volume", "minimum of one lot"),
        ({"volume": f"{'9' * 27}.{'1' * 9}"}, {"ordermin": Decimal("1e29")}, "volume", "below"),
    ],
)
def test_an_order_below_the_minimum_is_refused(
    changes: dict[str, str], listing: dict[str, Any], field: str, words: str
) -> None:
    """What Kraken would refuse when it fires is said when it is armed, not when it is disabled."""
    api = Listed(BTC._replace(**listing))
    assert words in about(check(row(**changes), api=api).errors, field)
    assert check(row(**changes, enabled="no"), api=api).is_valid()


@pytest.mark.parametrize("listing", [{}, {"ordermin": None, "costmin": None, "lot_decimals": None}])
def test_an_order_at_the_minimum_passes(listing: dict[str, Any]) -> None:
    """The minimum itself is enough, and a minimum that is not known is none."""
    api = Listed(BTC._replace(**listing))
    assert check(row(volume="0.0001"), api=api).is_valid()


def test_places_that_will_be_cut_are_a_warning() -> None:
    """More places than the market has are cut, never rounded up, and that is said."""
    result = check(row(volume="0.0199"), api=Listed(BTC._replace(lot_decimals=3)))
    assert result.is_valid()
    assert "Volume 0.0199 has more places than BTC/USD takes; cut to 0.019" in about(
        result.warnings, "volume"
    )


@pytest.mark.parametrize(
    ("listing", "words"), [({"status": "cancel_only"}, "cancel_only"), ({"symbol": None}, "polled")]
)
def test_a_market_that_is_not_as_others_is_a_warning(listing: dict[str, Any], words: str) -> None:
    """A market that takes no orders now, or has no stream, is pointed at."""
    api = Listed(BTC._replace(**listing))
    assert words in about(check(GOOD, api=api).warnings, "pair")


@pytest.mark.parametrize("has_columns", [True, False])
def test_a_row_that_has_fired_is_not_checked_against_the_market(has_columns: bool) -> None:
    """Its threshold is met, of course; that it is not armed is said."""
    api, told = Prices(), row(threshold_price="40000", order_id="OID" if has_columns else "")
    result = check(told, api=api, fired=[] if has_columns else ["btc_1"])
    assert api.asked == []
    assert said(result.warnings) == [("btc_1", "order_id")]
    assert "fired" in format_validation_result(result).splitlines()[-1]


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
    assert [one.row for one in result.accepted] == [row()]
    assert "VALIDATION FAILED" in format_validation_result(result)


def test_what_is_accepted_tells_all_that_was_found_out() -> None:
    """Rule, listed pair and whether it has fired: nobody has to look anything up again."""
    api = Listed(BTC)
    fired = row(id="fired", order_id="O1-2-3", pair="BTC/USD")
    first, second = check(GOOD, row(id="bad", volume="0"), fired, api=api).accepted
    told = [(one.row, one.rule, one.listed, one.has_order) for one in (first, second)]
    assert told == [(GOOD, read_rule(GOOD), BTC, False), (fired, read_rule(fired), BTC, True)]
    assert [name for name in api.asked if "listing" in name] == [
        *("listing of XXBTZUSD", "listing of BTC/USD")
    ]


def test_an_accepted_row_has_no_pair_where_no_listing_told_of_it() -> None:
    """A name that is merely well known is no market to send orders to."""
    assert [one.listed for one in check(GOOD, api=Prices()).accepted] == [None]
    away = Listed(fault=KrakenTimeout("timed out", request_sent=True))
    assert [one.listed for one in check(GOOD, api=away).accepted] == [None]


def test_a_row_that_fired_by_what_the_caller_knows_is_not_fired_in_the_file() -> None:
    """The two are told apart: an empty order column of a fired row is a wish to arm it again."""
    (one,) = check(GOOD, fired=["btc_1"]).accepted
    assert not one.has_order


def test_a_row_that_does_not_say_enabled_is_not_armed_and_that_is_said() -> None:
    """A caller's own row without the word is a warning and no order."""
    result = check({name: text for name, text in GOOD.items() if name != "enabled"})
    assert result.is_valid()
    assert "not armed" in next(w["message"] for w in result.warnings if w["field"] == "enabled")
    assert not result.accepted[0].rule.enabled


def test_delisted_pair_is_an_error_and_a_paused_one_is_not() -> None:
    """What is gone for good cannot fire; what is paused may come back before it has to."""
    gone = check(GOOD, api=Listed(BTC._replace(status="delisted")))
    assert about(gone.errors, "pair") == "This row cannot fire: BTC/USD is delisted at Kraken"
    paused = check(GOOD, api=Listed(BTC._replace(status="cancel_only")))
    assert paused.is_valid()
    assert "cancel_only" in about(paused.warnings, "pair")
    idle = check(row(enabled="false"), api=Listed(BTC._replace(status="delisted")))
    assert idle.is_valid()


@pytest.mark.parametrize("field", ["id", "pair"])
def test_error_of_a_spreadsheet_is_told_once(field: str) -> None:
    """The row says it already; that the cell is no name either is no other fact."""
    damaged = ConfigRow(row(**{field: "#REF!"}), line=2, findings=["has a spreadsheet's error"])
    result = check(damaged, api=Prices())
    assert [one["field"] for one in result.errors] == ["row"]
    assert result.accepted == []
    assert not check(row(**{field: "#REF!"}), api=Prices()).is_valid()


# --- the optional columns -------------------------------------------------------------------------

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


def test_sum_of_money_is_in_the_currency_of_the_price() -> None:
    """The sum of another one would be a guess at a rate."""
    api = Listed(BTC, XBTUSD="40000")
    found = check(row(volume="100 EUR"), api=api)
    assert "BTC/USD is priced in USD; write a sum in USD" in about(found.errors, "volume")
    assert check(row(volume="100 USD"), api=api).errors == []


@pytest.mark.parametrize("cell", ["all", "50%"])
def test_volume_that_is_worked_out_later_is_not_judged_now(cell: str) -> None:
    """Neither its size nor the funds for it: what is free then is enough by its nature."""
    api = Listed(BTC, XBTUSD="40000")
    found = check(row(volume=cell), api=api)
    assert (found.errors, about(found.warnings, "balance")) == ([], "")


def test_sum_that_buys_less_than_the_minimum_is_refused() -> None:
    """It is known what it comes to at the threshold."""
    api = Listed(BTC, XBTUSD="40000")
    found = check(row(volume="0.1 USD"), api=api)
    assert "below Kraken's minimum" in about(found.errors, "volume")


@pytest.mark.parametrize(
    ("amount", "gap"),
    [("12000", "Insufficient gap"), ("6000", "Small gap"), ("1000", "")],
)
def test_offset_in_money_is_held_against_the_gap(amount: str, gap: str) -> None:
    """As one in percent is: 10000 lie between the price and the threshold."""
    api = Listed(BTC, XBTUSD="50000")
    cells = {"trailing_offset_percent": "", "trailing_offset_quote": amount}
    found = check(row(**cells), api=api)
    told = about([*found.errors, *found.warnings], "threshold_price")
    assert gap in told
    assert bool(told) is bool(gap)


@pytest.mark.parametrize(
    ("amount", "part"),
    [("40", "is very small"), ("15000", "is large"), ("31000", "is very large")],
)
def test_odd_offset_in_money_is_told_in_percent(amount: str, part: str) -> None:
    """By its own column, and with what it comes to."""
    cells = {"trailing_offset_percent": "", "trailing_offset_quote": amount}
    told = about(check(row(**cells)).warnings, "trailing_offset_quote")
    assert part in told
    assert "% of the threshold" in told


def test_row_whose_time_is_over_is_refused_where_somebody_says_the_time() -> None:
    """One that was armed before is told of by who disarms it."""
    over = row(expires="2026-11-26T11:59:00Z")
    assert "lies in the past; write a later" in about(check(over, now=NOW).errors, "expires")
    assert check(over).errors == []
    assert check(over, now=NOW, armed_before=[over["id"]]).errors == []
    assert check(row(expires="2026-11-26T12:01:00Z"), now=NOW).errors == []
    assert check(row(expires="+1h"), now=NOW).errors == []
    assert check({**over, "enabled": "false"}, now=NOW).errors == []


@pytest.mark.parametrize(
    ("bid", "ask", "cells", "is_wide"),
    [
        ("49900", "50000", {}, False),
        ("49740", "50000", {}, True),
        ("49975", "50000", {"trailing_offset_percent": "", "trailing_offset_quote": "250"}, False),
        ("49974", "50000", {"trailing_offset_percent": "", "trailing_offset_quote": "250"}, True),
    ],
)
def test_offset_that_the_spread_eats_is_warned_of(
    bid: str, ask: str, cells: dict[str, str], is_wide: bool
) -> None:
    """More than a tenth of it: a stop may be triggered by bid and ask alone."""
    quote = Ticker(Decimal(50000), Decimal(bid), Decimal(ask))
    found = check(row(**cells), api=Batch(XXBTZUSD=quote))
    told = [one["message"] for one in found.warnings if "Wide spread" in one["message"]]
    assert bool(told) is is_wide
    assert all("more than a tenth of the offset" in text for text in told)


def test_price_without_bid_and_ask_says_nothing_of_the_spread() -> None:
    """What was not told is no finding."""
    found = check(row(), api=Listed(BTC, XBTUSD="50000"))
    assert "Wide spread" not in str(found.warnings)


@pytest.mark.parametrize(
    ("cells", "field"),
    [
        ({"trailing_offset_percent": "", "trailing_offset_quote": "0.05"}, "trailing_offset_quote"),
        ({"limit_offset": "0.01"}, "limit_offset"),
    ],
)
def test_amount_below_the_step_of_a_price_is_refused_at_the_start(
    cells: dict[str, str], field: str
) -> None:
    """At the crossing there would be no stop."""
    found = check(row(**cells), api=Listed(BTC, XXBTZUSD="50000"))
    assert "below the smallest step of a price" in about(found.errors, field)
    assert check(row(limit_offset="0"), api=Listed(BTC, XXBTZUSD="50000")).errors == []
