"""The door `validator`: the names, constants and answers that earlier callers rely on."""

from unittest.mock import Mock

import pytest

import validator
from kraken_api import KrakenAPI
from tests.kits.common.fresh_python import run_python
from tests.kits.rows.rows_kit import GOOD, Prices, row
from validator import ConfigValidator, ValidationResult, format_validation_result


def test_the_lists_of_fields_and_words_are_what_callers_know() -> None:
    """Each is a list of text on the class itself."""
    assert [
        *("id", "pair", "threshold_price", "threshold_type", "direction", "volume"),
        "trailing_offset_percent",
    ] == ConfigValidator.REQUIRED_FIELDS
    assert ConfigValidator.OPTIONAL_FIELDS == ["enabled"]
    assert ConfigValidator.VALID_THRESHOLD_TYPES == ["above", "below"]
    assert ConfigValidator.VALID_DIRECTIONS == ["buy", "sell"]
    words = {"true", "false", "yes", "no", "1", "0", "paused", "canceled", "pending"}
    assert set(ConfigValidator.VALID_ENABLED_VALUES) == words


def test_a_validation_answers_with_plain_dicts() -> None:
    """Findings are dicts of text with the four keys, and `configs` are the rows as handed in."""
    bad = row(id="bad", volume="-1")
    result = ConfigValidator(kraken_api=Prices()).validate_config_file([GOOD, bad])
    assert isinstance(result, ValidationResult)
    assert result.configs == [GOOD, bad]
    for finding in (*result.errors, *result.warnings):
        assert set(finding) == {"config_id", "field", "message", "type"}
    assert [error["config_id"] for error in result.errors] == ["bad"]
    assert (result.is_valid(), result.has_warnings()) == (False, True)


@pytest.mark.parametrize("api", [None, Prices(), Mock(spec=KrakenAPI)])
def test_the_api_object_is_kept_and_may_be_any(api: object) -> None:
    """None, a stand-in and a mock of the client all serve."""
    checker = ConfigValidator(api)
    assert checker.kraken_api is api
    assert checker.validate_config_file([GOOD]).is_valid()


def test_the_text_has_its_verdict() -> None:
    """The words that callers look for are there, with and without details."""
    result = ValidationResult()
    assert "VALIDATION PASSED" in format_validation_result(result)
    result.add_error("btc_1", "volume", "is odd")
    assert "VALIDATION FAILED" in format_validation_result(result, verbose=True)


def test_the_door_hands_on_three_names() -> None:
    """Whoever imports everything gets no more than the contract names."""
    assert sorted(validator.__all__) == [
        *("ConfigValidator", "ValidationResult", "format_validation_result"),
    ]


def test_a_validation_offline_loads_no_network() -> None:
    """Checking a text needs neither requests nor a socket."""
    run_python(
        "import sys; before = set(sys.modules); import validator\n"
        "assert not {'requests', 'socket', 'websocket'} & (set(sys.modules) - before)"
    )
