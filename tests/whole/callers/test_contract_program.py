"""What callers of earlier versions rely on: the class `TTSLO`, with stand-ins for Kraken.

Each test is written as a caller would write it, with stand-ins that have no more than callers'
stand-ins have. What stands here never changes.
"""

import os
from datetime import datetime, timedelta
from pathlib import Path
from unittest.mock import Mock

import pytest

from config import ConfigManager
from tests.kits.program.contract_kit import KINDS, ROW, errors_logged, rows_of, stand_in, write
from ttslo import TTSLO
from validator import ConfigValidator

# --- the program -----------------------------------------------------------------------------


@pytest.mark.parametrize("make", KINDS)
def test_attributes_are_the_arguments(make: type[Mock]) -> None:
    """And `state` is a dict, `config_file_mtime` unknown before the first look."""
    manager, reads, trades = write(ROW), make(), make()
    program = TTSLO(manager, reads, trades, dry_run=True, verbose=True, debug=True)
    assert program.config_manager is manager
    assert (program.kraken_api_readonly, program.kraken_api_readwrite) == (reads, trades)
    assert (program.dry_run, program.verbose, program.debug) == (True, True, True)
    assert (program.state, program.config_file_mtime) == ({}, None)
    assert TTSLO(manager, reads).kraken_api_readwrite is None


@pytest.mark.parametrize(
    ("kind", "price", "is_met"),
    [
        *(("above", 50000, True), ("above", 50001.0, True), ("above", 49999.9, False)),
        *(("below", 50000, True), ("below", 49999.9, True), ("below", 50001, False)),
        *(("above", price, False) for price in (None, "x", 0, -1, float("nan"), float("inf"))),
        *(("sideways", 60000, False), ("", 60000, False)),
    ],
)
def test_threshold_counts_from_equality_and_doubt_is_false(
    kind: str, price: object, is_met: bool
) -> None:
    """Doubt is an ERROR in the log, too."""
    program = TTSLO(write(ROW), stand_in())
    assert program.check_threshold({**ROW, "threshold_type": kind}, price) is is_met
    is_doubt = not isinstance(price, int | float) or not 0 < price < 1e9 or kind in ("sideways", "")
    assert bool(errors_logged()) is is_doubt


@pytest.mark.parametrize("row", [None, "test1", [], {}, {"id": "test1"}])
def test_threshold_of_what_is_no_row_is_not_met(row: dict[str, str]) -> None:
    """False, and an ERROR."""
    assert TTSLO(write(ROW), stand_in()).check_threshold(row, 60000) is False
    assert errors_logged()


@pytest.mark.parametrize("make", KINDS)
def test_order_is_placed_with_keywords_on_the_trading_client(make: type[Mock]) -> None:
    """The reading one is never asked to place anything."""
    reads, trades = make(), make()
    assert TTSLO(write(ROW), reads, trades).create_tsl_order(ROW, 50000) == "ORDER123"
    ((), sent) = trades.add_trailing_stop_loss.call_args
    assert float(sent.pop("trailing_offset_percent")) == 5.0
    assert float(sent.pop("volume")) == 0.01
    assert sent == {"pair": "XXBTZUSD", "direction": "sell"}
    reads.add_trailing_stop_loss.assert_not_called()


@pytest.mark.parametrize("make", KINDS)
def test_order_of_a_dry_run_asks_nobody(make: type[Mock]) -> None:
    """Its id says what it is."""
    trades = make()
    program = TTSLO(write(ROW), make(), trades, dry_run=True)
    assert program.create_tsl_order(ROW, 50000) == "DRY_RUN_ORDER_ID"
    assert trades.mock_calls == []


@pytest.mark.parametrize(
    ("changes", "price"),
    [
        *(({name: ""}, 50000) for name in ("pair", "direction", "volume")),
        *(({"volume": v}, 50000) for v in ("-1", "x")),
        *(({"trailing_offset_percent": v}, 50000) for v in ("", "0", "x")),
        *(({}, price) for price in (None, 0, "x")),
    ],
)
def test_order_in_doubt_is_none(changes: dict[str, str], price: object) -> None:
    """Nothing is placed, and it is logged why."""
    trades = stand_in()
    assert TTSLO(write(ROW), stand_in(), trades).create_tsl_order({**ROW, **changes}, price) is None
    trades.add_trailing_stop_loss.assert_not_called()
    assert errors_logged()


def test_order_without_a_trading_client_is_none() -> None:
    """And it is said."""
    assert TTSLO(write(ROW), stand_in()).create_tsl_order(ROW, 50000) is None
    assert errors_logged()


def test_caller_may_ask_again_for_an_order_that_failed() -> None:
    """A second call of a caller's own is the caller's decision where nobody can look it up."""
    trades = stand_in()
    trades.add_trailing_stop_loss.side_effect = Exception("API Error")
    program = TTSLO(write(ROW), stand_in(), trades)
    assert program.create_tsl_order(ROW, 50000) is None
    trades.add_trailing_stop_loss.side_effect = None
    assert program.create_tsl_order(ROW, 50000) == "ORDER123"


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("price", [50000.0, 50123.45])
def test_trigger_fills_state_and_config(make: type[Mock], price: float) -> None:
    """`process_config` answers None; the price is noted as it was given."""
    trades = make()
    program = TTSLO(write(ROW), make(), trades)
    assert program.process_config(ROW, price) is None  # type: ignore[func-returns-value]  # so promised
    state = program.state["test1"]
    assert (state["triggered"], state["trigger_price"]) == ("true", str(price))
    assert state["order_id"] == "ORDER123"
    for column in ("trigger_time", "activated_on"):
        assert datetime.fromisoformat(state[column]).utcoffset() == timedelta(0)
    (row,) = rows_of("config.csv")
    assert (row["enabled"], row["order_id"], row["trigger_price"]) == (
        *("false", "ORDER123"),
        str(price),
    )
    program.process_config(ROW, price)
    assert trades.add_trailing_stop_loss.call_count == 1


def test_price_that_is_not_given_is_asked_for() -> None:
    """Of the reading client, by the row's pair."""
    reads, trades = stand_in(50500.0), stand_in()
    TTSLO(write(ROW), reads, trades).process_config(ROW)
    reads.get_current_price.assert_called_with("XXBTZUSD")
    assert trades.add_trailing_stop_loss.call_count == 1


@pytest.mark.parametrize("word", ["true", "TRUE", "yes", "Yes", "1"])
def test_word_that_arms_really_arms(word: str) -> None:
    """In any case."""
    trades = stand_in()
    row = {**ROW, "enabled": word}
    TTSLO(write(row), stand_in(), trades).process_config(row, 60000)
    assert trades.add_trailing_stop_loss.call_count == 1


@pytest.mark.parametrize("word", ["false", "No", "0", "paused", "canceled", "pending"])
def test_word_that_does_not_arm_places_nothing(word: str) -> None:
    """Words of later versions are read without harm."""
    trades = stand_in()
    row = {**ROW, "enabled": word}
    assert ConfigValidator().validate_config_file([row]).is_valid()
    TTSLO(write(row), stand_in(), trades).process_config(row, 60000)
    trades.add_trailing_stop_loss.assert_not_called()


def test_dry_run_leaves_the_files_and_remembers_its_look() -> None:
    """A row that is beyond its threshold from the first look is not triggered, and was seen."""
    program = TTSLO(write(ROW), stand_in(51000.0), None, dry_run=True)
    before = Path("config.csv").read_bytes()
    program.load_state()
    program.run_once()
    assert (program.state["test1"].get("triggered") or "false") == "false"
    assert program.state["test1"]["last_checked"]
    assert Path("config.csv").read_bytes() == before
    assert not Path("state.csv").exists()


def test_change_of_the_config_is_told_once() -> None:
    """True the first time and after a change."""
    program = TTSLO(write(ROW), stand_in())
    assert [program.check_config_file_changed() for _ in range(2)] == [True, False]
    assert program.config_file_mtime is not None
    write({**ROW, "volume": "0.02"})
    later = Path("config.csv").stat().st_mtime + 5
    os.utime("config.csv", (later, later))
    assert [program.check_config_file_changed() for _ in range(2)] == [True, False]


def test_config_is_taken_or_not() -> None:
    """A bool: whether there is something to watch."""
    assert TTSLO(write(ROW), stand_in()).validate_and_load_config() is True
    assert TTSLO(write({**ROW, "pair": ""}), stand_in()).validate_and_load_config() is False


def test_state_goes_to_its_file_and_comes_back() -> None:
    """By the program's own two calls."""
    program = TTSLO(write(ROW), stand_in(), stand_in())
    program.process_config(ROW, 51000)
    program.save_state()
    again = TTSLO(ConfigManager(), stand_in(), stand_in())
    again.load_state()
    assert again.state["test1"]["order_id"] == "ORDER123"
    assert rows_of("state.csv")[0]["triggered"] == "true"


def test_log_of_the_program_is_that_of_the_manager() -> None:
    """With fields of one's own."""
    TTSLO(write(ROW), stand_in()).log("INFO", "my line", config_id="test1")
    assert "my line" in [row["message"] for row in rows_of("logs.csv")]


@pytest.mark.parametrize("make", KINDS)
def test_run_once_arms_then_fires_at_a_crossing(make: type[Mock]) -> None:
    """The whole way of a row with nothing but stand-ins."""
    reads, trades = make(40000.0), make()
    program = TTSLO(write(ROW), reads, trades)
    program.load_state()
    program.run_once()
    assert trades.add_trailing_stop_loss.call_count == 0
    reads.get_current_price.return_value = 50500.0
    program.run_once()
    assert trades.add_trailing_stop_loss.call_count == 1
    assert rows_of("config.csv")[0]["enabled"] == "false"


def test_run_continuous_ends_at_ctrl_c_without_an_error() -> None:
    """It answers None."""
    reads = stand_in()
    reads.get_current_price.side_effect = KeyboardInterrupt
    TTSLO(write(ROW), reads, None, dry_run=True).run_continuous(interval=60)
