"""The class `TTSLO` as other programs use it: stand-ins for Kraken, real files."""

from __future__ import annotations

import csv
import threading
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from config import ConfigManager
from kraken_api import KrakenAPI
from krakenlink.machine import feed_clock
from ttslo import TTSLO
from ttslo_app.messages import Crossing
from ttslo_app.orders.intents import intent_lines, read_intents
from ttslo_app.rules.rule import read_rule

HEADER = "id,pair,threshold_price,threshold_type,direction,volume,trailing_offset_percent,enabled"
ROW = "btc,XXBTZUSD,50000,above,sell,0.01,5.0,true"


class StandIn:
    """The three methods that callers' stand-ins have, with no more arguments than those."""

    def __init__(self, price: object = 40000.0, answer: object = None) -> None:
        self.price = price
        self.answer: object = {"txid": ["OAAAAA-BBBBB-CCCCCC"]} if answer is None else answer
        self.orders: list[dict[str, object]] = []

    def get_current_price(self, pair: str) -> object:
        if isinstance(self.price, Exception):
            raise self.price
        return self.price

    def get_balance(self) -> dict[str, str]:
        return {"XXBT": "1.0"}

    def add_trailing_stop_loss(
        self, pair: str, direction: str, volume: str, trailing_offset_percent: Decimal
    ) -> object:
        self.orders.append(
            {
                "pair": pair,
                "direction": direction,
                "volume": volume,
                "trailing_offset_percent": trailing_offset_percent,
            }
        )
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def manager(tmp_path: Path) -> ConfigManager:
    """A manager of three files, with one rule in config.csv."""
    (tmp_path / "config.csv").write_text(f"{HEADER}\n{ROW}\n", encoding="utf-8")
    return ConfigManager(tmp_path / "config.csv", tmp_path / "state.csv", tmp_path / "logs.csv")


def config(**changes: str) -> dict[str, str]:
    """Return the row of config.csv as a dict, with changed cells."""
    return {**dict(zip(HEADER.split(","), ROW.split(","), strict=True)), **changes}


def rows_of(manager: ConfigManager) -> list[dict[str, str]]:
    """Return config.csv as any CSV reader sees it."""
    with Path(manager.config_file).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def logged(manager: ConfigManager, level: str) -> str:
    """Return the messages of one level in the log file."""
    path = Path(manager.log_file)
    if not path.exists():
        return ""
    with path.open(encoding="utf-8", newline="") as file:
        return "\n".join(row["message"] for row in csv.DictReader(file) if row["level"] == level)


# --- thresholds --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "price", "expected"),
    [
        ("above", 50000, True),
        ("above", 50000.5, True),
        ("above", Decimal("49999.99999"), False),
        ("below", 50000, True),
        ("below", "49999.5", True),
        ("below", 50000.00001, False),
        (" ABOVE ", 51000, True),
    ],
)
def test_check_threshold_is_met_at_or_beyond(
    manager: ConfigManager, kind: str, price: object, expected: bool
) -> None:
    """Equality counts as met, on both sides."""
    program = TTSLO(manager, StandIn())
    assert program.check_threshold(config(threshold_type=kind), price) is expected


@pytest.mark.parametrize(
    "price", [None, 0, -1, float("nan"), float("inf"), "soon", True, Mock(), [50000]]
)
def test_check_threshold_of_a_doubtful_price_is_false(
    manager: ConfigManager, price: object
) -> None:
    """What is no finite positive number meets nothing, and an ERROR is in the log."""
    program = TTSLO(manager, StandIn())
    assert program.check_threshold(config(), price) is False
    assert "doubtful price" in logged(manager, "ERROR")


@pytest.mark.parametrize(
    "row",
    [
        None,
        "btc",
        {},
        {"id": "btc", "threshold_price": "50000"},
        {"threshold_price": "x", "threshold_type": "above"},
        {"threshold_price": "50000", "threshold_type": "sideways"},
        {"threshold_price": None, "threshold_type": "above"},
    ],
)
def test_check_threshold_of_a_doubtful_row_is_false(manager: ConfigManager, row: Any) -> None:
    """A row that is none meets nothing, and an ERROR is in the log."""
    assert TTSLO(manager, StandIn()).check_threshold(row, 60000) is False
    assert logged(manager, "ERROR")


def test_check_threshold_needs_its_two_fields_only(manager: ConfigManager) -> None:
    """Callers may hand in no more than the threshold."""
    row = {"threshold_price": "50000", "threshold_type": "above"}
    assert TTSLO(manager, StandIn()).check_threshold(row, 50000) is True


# --- orders ------------------------------------------------------------------------------------


def test_create_tsl_order_calls_with_keywords_and_returns_the_txid(manager: ConfigManager) -> None:
    """The stand-in gets the pair, direction and volume as typed, and the offset exactly."""
    kraken = StandIn()
    assert TTSLO(manager, kraken, kraken).create_tsl_order(config(), 50001) == "OAAAAA-BBBBB-CCCCCC"
    assert kraken.orders == [
        {
            "pair": "XXBTZUSD",
            "direction": "sell",
            "volume": "0.01",
            "trailing_offset_percent": 5.0,
        }
    ]


def test_create_tsl_order_in_a_dry_run_calls_nobody(manager: ConfigManager) -> None:
    """A dry run answers with its own id and never talks to Kraken."""
    kraken = StandIn()
    program = TTSLO(manager, kraken, kraken, dry_run=True)
    assert program.create_tsl_order(config(), 50001) == "DRY_RUN_ORDER_ID"
    assert kraken.orders == []


@pytest.mark.parametrize(
    ("row", "price"),
    [
        (None, 50001),
        (config(volume="0"), 50001),
        (config(volume="nan"), 50001),
        (config(direction="hold"), 50001),
        (config(pair=""), 50001),
        (config(trailing_offset_percent="-5"), 50001),
        (config(), None),
        (config(), float("inf")),
        (config(), 0),
    ],
)
def test_create_tsl_order_on_any_doubt_places_nothing(
    manager: ConfigManager, row: Any, price: object
) -> None:
    """A doubtful row or price is None, with an ERROR, and no call."""
    kraken = StandIn()
    assert TTSLO(manager, kraken, kraken).create_tsl_order(row, price) is None
    assert kraken.orders == []
    assert logged(manager, "ERROR")


@pytest.mark.parametrize("answer", [None, {}, {"txid": []}, {"txid": [""]}, "ok", Mock()])
def test_create_tsl_order_with_an_answer_that_names_no_order_is_none(
    manager: ConfigManager, answer: object
) -> None:
    """An answer without an order id is doubt, not success."""
    kraken = StandIn()
    kraken.answer = answer
    assert TTSLO(manager, kraken, kraken).create_tsl_order(config(), 50001) is None
    assert "UNCERTAIN" in logged(manager, "ERROR")


def test_create_tsl_order_without_a_trading_api_is_none(manager: ConfigManager) -> None:
    """Without a trading key nothing is placed, and the log says what to set."""
    assert TTSLO(manager, StandIn()).create_tsl_order(config(), 50001) is None
    assert "KRAKEN_API_KEY_RW" in logged(manager, "ERROR")


# --- a row at a price --------------------------------------------------------------------------


def test_process_config_on_a_trigger_fills_state_and_config(manager: ConfigManager) -> None:
    """A trigger is written into state and config.csv, with the price as it was given."""
    kraken = StandIn()
    program = TTSLO(manager, kraken, kraken)
    program.process_config(config(), 51000.0)
    state = program.state["btc"]
    assert (state["triggered"], state["trigger_price"]) == ("true", "51000.0")
    assert state["order_id"] == "OAAAAA-BBBBB-CCCCCC"
    assert state["trigger_time"].endswith("+00:00")
    assert state["activated_on"].endswith("+00:00")
    (row,) = rows_of(manager)
    assert (row["enabled"], row["order_id"], row["trigger_price"]) == (
        "false",
        "OAAAAA-BBBBB-CCCCCC",
        "51000.0",
    )


def test_process_config_asks_for_the_price_it_is_not_given(manager: ConfigManager) -> None:
    """Without a price the read-only API is asked."""
    kraken = StandIn(price=50000)
    TTSLO(manager, kraken, kraken).process_config(config())
    assert len(kraken.orders) == 1


@pytest.mark.parametrize("price", [RuntimeError("no network"), None, float("nan"), Mock()])
def test_process_config_without_a_price_places_nothing(
    manager: ConfigManager, price: object
) -> None:
    """No price, or none that is a number, fires nothing and does not raise."""
    kraken = StandIn(price=price)
    TTSLO(manager, kraken, kraken).process_config(config())
    assert kraken.orders == []


@pytest.mark.parametrize("word", ["false", "no", "0", "paused", "canceled", "pending"])
def test_process_config_of_a_disabled_row_places_nothing(manager: ConfigManager, word: str) -> None:
    """No word but true, yes and 1 arms a row."""
    kraken = StandIn()
    TTSLO(manager, kraken, kraken).process_config(config(enabled=word), 60000)
    assert kraken.orders == []


@pytest.mark.parametrize("word", ["true", "YES", " 1 ", "Yes"])
def test_process_config_of_each_arming_word_fires(manager: ConfigManager, word: str) -> None:
    """True, yes and 1 really arm the row, in any case."""
    kraken = StandIn()
    manager_rows = Path(manager.config_file)
    manager_rows.write_text(f"{HEADER}\n{ROW.replace('true', word)}\n", encoding="utf-8")
    TTSLO(manager, kraken, kraken).process_config(config(enabled=word), 60000)
    assert len(kraken.orders) == 1


def test_process_config_of_a_triggered_row_places_nothing(manager: ConfigManager) -> None:
    """A row that has fired, by the word of an earlier version's state, does not fire again."""
    kraken = StandIn()
    program = TTSLO(manager, kraken, kraken)
    program.state = {"btc": {"triggered": "true", "order_id": "OLD"}}
    program.process_config(config(), 60000)
    assert kraken.orders == []


def test_process_config_in_a_dry_run_changes_no_file(manager: ConfigManager) -> None:
    """A dry run fills the state in memory alone."""
    kraken = StandIn()
    before = Path(manager.config_file).read_bytes()
    program = TTSLO(manager, kraken, dry_run=True)
    program.process_config(config(), 60000)
    program.save_state()
    assert program.state["btc"]["order_id"] == "DRY_RUN_ORDER_ID"
    assert program.state["btc"]["last_checked"]
    assert Path(manager.config_file).read_bytes() == before
    assert not Path(manager.state_file).exists()


def test_five_cycles_after_a_lost_answer_are_one_order(manager: ConfigManager) -> None:
    """An order whose answer was lost is never sent again, also not by a new start."""
    kraken = StandIn(price=60000, answer=RuntimeError("connection reset"))
    program = TTSLO(manager, kraken, kraken)
    for _ in range(5):
        program.process_config(config())
    again = TTSLO(manager, kraken, kraken)
    again.load_state()
    again.recover()
    again.process_config(config())
    assert len(kraken.orders) == 1


def test_refusal_is_not_tried_again_at_every_tick(manager: ConfigManager) -> None:
    """A refusal backs off: ticks that follow at once send nothing."""
    error = RuntimeError("Kraken API error: ['EOrder:Rate limit exceeded']")
    kraken = StandIn(answer=error)
    program = TTSLO(manager, kraken, kraken)
    for _ in range(5):
        program.process_config(config(), 60000)
    assert len(kraken.orders) == 1
    assert logged(manager, "ERROR").count("EOrder:Rate limit exceeded") == 1


def test_mock_made_after_the_client_is_treated_as_a_stand_in(manager: ConfigManager) -> None:
    """A mock limited to KrakenAPI's names works like any other stand-in."""
    kraken = Mock(spec=KrakenAPI)
    kraken.get_current_price.return_value = 60000.0
    kraken.add_trailing_stop_loss.return_value = {"txid": ["OMOCK"]}
    program = TTSLO(manager, kraken, kraken)
    program.process_config(config())
    assert program.state["btc"]["order_id"] == "OMOCK"
    assert set(kraken.add_trailing_stop_loss.call_args.kwargs) == {
        "pair",
        "direction",
        "volume",
        "trailing_offset_percent",
    }


# --- the file ------------------------------------------------------------------------------------


def test_config_file_is_new_once_and_after_a_change(manager: ConfigManager) -> None:
    """True at first and after an edit, False in between and after our own write."""
    kraken = StandIn()
    program = TTSLO(manager, kraken, kraken)
    assert program.config_file_mtime is None
    assert program.check_config_file_changed() is True
    assert program.check_config_file_changed() is False
    assert program.config_file_mtime == Path(manager.config_file).stat().st_mtime
    Path(manager.config_file).write_text(f"{HEADER}\n{ROW}\n\n", encoding="utf-8")
    assert program.check_config_file_changed() is True
    program.validate_and_load_config()
    program.process_config(config(), 60000)
    assert program.check_config_file_changed() is False


def test_edit_right_before_our_own_write_is_still_seen(manager: ConfigManager) -> None:
    """A user's edit that the order thread met first, and wrote upon, still counts as an edit."""
    kraken = StandIn()
    program = TTSLO(manager, kraken, kraken)
    program.run_once()
    other = "eth,XETHZUSD,4000,above,sell,0.1,5.0,true"
    Path(manager.config_file).write_text(f"{HEADER}\n{ROW}\n{other}\n", encoding="utf-8")
    program.process_config(config(), 60000)
    assert rows_of(manager)[0]["enabled"] == "false"
    assert program.check_config_file_changed() is True


def test_missing_config_file_has_not_changed(manager: ConfigManager) -> None:
    """No file is no change."""
    Path(manager.config_file).unlink()
    assert TTSLO(manager, StandIn()).check_config_file_changed() is False


def test_validation_lets_good_rows_trade_and_names_the_others(manager: ConfigManager) -> None:
    """A refused row never trades and never stops the others."""
    bad = "bad,XXBTZUSD,fifty,above,sell,0.01,5.0,true"
    Path(manager.config_file).write_text(f"{HEADER}\n{bad}\n{ROW}\n", encoding="utf-8")
    kraken = StandIn()
    program = TTSLO(manager, kraken, kraken)
    assert program.validate_and_load_config() is True
    kraken.price = 60000
    program.run_once()
    assert [row["id"] for row in program.configs] == ["btc"]
    assert len(kraken.orders) == 1
    assert "bad: refused" in logged(manager, "ERROR")
    assert "threshold_price" in logged(manager, "ERROR")


def test_validation_with_no_good_row_is_false(manager: ConfigManager) -> None:
    """There is nothing to run with."""
    Path(manager.config_file).write_text(f"{HEADER}\nx,,,,,,,\n", encoding="utf-8")
    assert TTSLO(manager, StandIn()).validate_and_load_config() is False


def test_threshold_met_at_the_first_sight_is_refused(manager: ConfigManager) -> None:
    """A row whose threshold is met when it is first seen is a slip, and does not trade."""
    kraken = StandIn(price=60000)
    program = TTSLO(manager, kraken, kraken)
    assert program.validate_and_load_config() is False
    program.run_once()
    assert kraken.orders == []


def test_threshold_crossed_while_the_program_was_down_fires(manager: ConfigManager) -> None:
    """A row that was armed before and is met at the next start is acted upon."""
    kraken = StandIn(price=40000)
    first = TTSLO(manager, kraken, kraken)
    first.run_once()
    kraken.price = 60000
    second = TTSLO(manager, kraken, kraken)
    second.load_state()
    second.recover()
    second.run_once()
    assert len(kraken.orders) == 1


def test_half_typed_threshold_disarms_its_row_loudly(manager: ConfigManager) -> None:
    """An edit that does not pass takes the row out, last good version included."""
    kraken = StandIn()
    program = TTSLO(manager, kraken, kraken)
    program.run_once()
    text = f"{HEADER}\n{ROW.replace('50000', '5')}\n"
    Path(manager.config_file).write_text(text, encoding="utf-8")
    program.run_once()
    kraken.price = 60000
    program.run_once()
    assert kraken.orders == []
    assert "NO LONGER IS" in logged(manager, "ERROR")


def test_unreadable_config_keeps_what_was_armed(manager: ConfigManager) -> None:
    """Cannot read is not the same as empty."""
    kraken = StandIn()
    program = TTSLO(manager, kraken, kraken)
    program.run_once()
    Path(manager.config_file).unlink()
    Path(manager.config_file).mkdir()
    assert program.validate_and_load_config() is True
    kraken.price = 60000
    program.process_config(config(), 60000)
    assert "cannot be read" in logged(manager, "ERROR")
    assert len(kraken.orders) == 1


def test_failing_pair_is_isolated(manager: ConfigManager) -> None:
    """A pair without a price does not keep the others from theirs."""
    other = "eth,XETHZUSD,4000,above,sell,0.1,5.0,true"
    Path(manager.config_file).write_text(f"{HEADER}\n{other}\n{ROW}\n", encoding="utf-8")

    class OneDead(StandIn):
        def get_current_price(self, pair: str) -> object:
            if pair == "XETHZUSD":
                raise RuntimeError("delisted")
            return self.price

    kraken = OneDead()
    program = TTSLO(manager, kraken, kraken)
    program.run_once()
    kraken.price = 60000
    program.run_once()
    assert [order["pair"] for order in kraken.orders] == ["XXBTZUSD"]


# --- running -------------------------------------------------------------------------------------


def test_run_continuous_with_a_stand_in_polls_until_stopped(manager: ConfigManager) -> None:
    """With a stand-in the rows are looked at every interval, until `stop`."""
    looked = threading.Semaphore(0)

    class Counting(StandIn):
        def get_current_price(self, pair: str) -> object:
            looked.release()
            return self.price

    program = TTSLO(manager, Counting())
    thread = threading.Thread(target=program.run_continuous, args=(0.01,))
    thread.start()
    for _ in range(3):
        assert looked.acquire(timeout=10)
    program.stop()
    thread.join(10)
    assert not thread.is_alive()
    assert Path(manager.state_file).exists()


def test_run_continuous_ends_on_ctrl_c(manager: ConfigManager) -> None:
    """Ctrl-C in the loop is a clean end."""

    class Interrupted(StandIn):
        def get_current_price(self, pair: str) -> object:
            raise KeyboardInterrupt

    TTSLO(manager, Interrupted()).run_continuous(1)
    assert "Stopped" in logged(manager, "INFO")


def test_log_prints_what_a_person_should_read(
    manager: ConfigManager, capsys: pytest.CaptureFixture[str]
) -> None:
    """Details are printed only where they were asked for; the file has them all."""
    TTSLO(manager, StandIn()).log("DEBUG", "a detail")
    TTSLO(manager, StandIn()).log("WARNING", "look here", id="btc")
    TTSLO(manager, StandIn(), debug=True).log("DEBUG", "wanted")
    printed = capsys.readouterr().out
    assert "a detail" not in printed
    assert "WARNING: look here" in printed
    assert "wanted" in printed
    assert logged(manager, "DEBUG") == "a detail\nwanted"


def test_kind_of_a_sentence_is_not_written_to_the_log(manager: ConfigManager) -> None:
    """It is for those who choose what they are told of; the columns of the log stay as they are."""
    TTSLO(manager, StandIn()).log("INFO", "look here", kind="order placed", id="btc")
    text = Path(manager.log_file).read_text(encoding="utf-8")
    assert "look here" in text
    assert "btc" in text
    assert "order placed" not in text


def test_state_that_cannot_be_saved_is_said_not_raised(manager: ConfigManager) -> None:
    """A failing disk is an ERROR in the log, not the end of the program."""
    program = TTSLO(manager, StandIn())
    program.state = {"btc": {"id": "btc", "triggered": "false"}}
    Path(manager.state_file).mkdir()
    program.save_state()
    assert "state.csv cannot be written" in logged(manager, "ERROR")


def test_damaged_state_file_keeps_a_copy_and_trades_no_doubtful_row(
    manager: ConfigManager, tmp_path: Path
) -> None:
    """A row of state.csv that makes no sense stops its rule, and the file is kept."""
    damaged = "id,triggered,order_id\nbtc,perhaps,\n"
    (tmp_path / "state.csv").write_text(damaged, encoding="utf-8")
    kraken = StandIn()
    program = TTSLO(manager, kraken, kraken)
    program.load_state()
    program.recover()
    program.run_once()
    program.process_config(config(), 60000)
    assert kraken.orders == []
    assert "btc" in logged(manager, "ERROR")
    kept: Callable[[Path], str] = lambda path: path.read_text(encoding="utf-8")  # noqa: E731
    assert damaged in map(kept, tmp_path.glob("state.csv*"))


def test_attributes_are_those_of_the_constructor(manager: ConfigManager) -> None:
    """Earlier code reads these names."""
    read, write = StandIn(), StandIn()
    program = TTSLO(manager, read, write, True, True, True)
    named: Mapping[str, object] = {
        "config_manager": manager,
        "kraken_api_readonly": read,
        "kraken_api_readwrite": write,
        "dry_run": True,
        "verbose": True,
        "debug": True,
        "state": {},
    }
    for name, value in named.items():
        assert getattr(program, name) == value


# --- what a review found -------------------------------------------------------------------------


def test_old_copy_of_the_file_saved_over_a_fired_row_places_nothing(manager: ConfigManager) -> None:
    """A spreadsheet open since before the order must not fire its row again."""
    kraken = StandIn()
    program = TTSLO(manager, kraken, kraken)
    old = Path(manager.config_file).read_bytes()
    program.run_once()
    kraken.price = 60000
    program.run_once()
    assert len(kraken.orders) == 1
    Path(manager.config_file).write_bytes(old)
    program.run_once()
    program.run_once()
    assert len(kraken.orders) == 1
    assert "Threshold already met" in logged(manager, "ERROR")


def test_order_whose_config_file_is_gone_is_noted_when_it_is_back(manager: ConfigManager) -> None:
    """An editor that deletes and renames costs the file no order, and places none twice."""
    kraken = StandIn()
    program = TTSLO(manager, kraken, kraken)
    program.run_once()
    text = Path(manager.config_file).read_bytes()
    Path(manager.config_file).unlink()
    program.process_config(config(), 60000)
    assert program.state["btc"]["noted"] == "false"
    Path(manager.config_file).write_bytes(text)
    again = TTSLO(manager, kraken, kraken)
    again.load_state()
    again.recover()
    kraken.price = 60000
    again.run_once()
    assert len(kraken.orders) == 1
    assert rows_of(manager)[0]["order_id"] == "OAAAAA-BBBBB-CCCCCC"


def test_new_row_without_a_price_is_not_armed_until_there_is_one(manager: ConfigManager) -> None:
    """A slip of the hand must not trade because nobody could look at the price."""
    kraken = StandIn(price=RuntimeError("no network"))
    program = TTSLO(manager, kraken, kraken)
    assert program.validate_and_load_config() is True
    assert "NOT ARMED YET" in logged(manager, "ERROR")
    kraken.price = 60000
    program.run_once()
    program.run_once()
    assert kraken.orders == []
    assert "Threshold already met" in logged(manager, "ERROR")


def test_row_that_waited_for_a_price_is_armed_by_the_next_reading(manager: ConfigManager) -> None:
    """Once there is a price the row is armed, without an edit of the file."""
    kraken = StandIn(price=RuntimeError("no network"))
    program = TTSLO(manager, kraken, kraken)
    program.run_once()
    kraken.price = 40000
    program.run_once()
    kraken.price = 60000
    program.run_once()
    assert len(kraken.orders) == 1


def test_row_with_its_order_columns_filled_does_not_fire(manager: ConfigManager) -> None:
    """A row that names its order has fired, whatever became of the state file."""
    kraken = StandIn()
    row = config() | {"order_id": "OLD", "trigger_time": "", "trigger_price": ""}
    TTSLO(manager, kraken, kraken).process_config(row, 60000)
    assert kraken.orders == []


def test_edit_that_cannot_be_read_for_a_moment_is_read_later(manager: ConfigManager) -> None:
    """An unreadable moment does not lose the edit that it hid."""
    kraken = StandIn()
    program = TTSLO(manager, kraken, kraken)
    program.run_once()
    path = Path(manager.config_file)
    path.unlink()
    path.mkdir()
    program.run_once()
    path.rmdir()
    path.write_text(f"{HEADER}\n{ROW.replace('50000', '55000')}\n", encoding="utf-8")
    program.run_once()
    assert program.configs[0]["threshold_price"] == "55000"


def test_state_of_booleans_is_understood(manager: ConfigManager) -> None:
    """Callers that keep true and false in the state are understood."""
    kraken = StandIn()
    program = TTSLO(manager, kraken, kraken)
    fired: Any = {"btc": {"triggered": True}}
    program.state = fired
    program.process_config(config(), 60000)
    assert kraken.orders == []


# --- the journal of intents --------------------------------------------------------------------


def left_behind(manager: ConfigManager, journal: bytes | None) -> TTSLO:
    """Return a program that starts with an armed row and the journal of a run that died."""
    first = TTSLO(manager, StandIn(), StandIn())
    assert first.validate_and_load_config()
    path = Path(f"{manager.state_file}.intents")
    if journal is None:
        path.mkdir()
    else:
        path.write_bytes(journal)
    program = TTSLO(manager, StandIn(), StandIn())
    program.load_state()
    program.validate_and_load_config()
    return program


@pytest.mark.parametrize(
    ("journal", "said"),
    [
        (b"\n00000000 {}" + intent_lines([{"id": "eth"}]), "damaged in line 2, so nobody can tell"),
        (None, "state.csv.intents cannot be read ("),
    ],
)
def test_journal_that_cannot_be_read_lets_no_waiting_row_trade(
    manager: ConfigManager, journal: bytes | None, said: str
) -> None:
    """Where an order may have been on its way unseen, the row does not trade, and that is said."""
    program = left_behind(manager, journal)
    program.process_config(config(), 51000)
    assert program.state["btc"]["triggered"] != "true"
    assert "51000" not in logged(manager, "INFO")
    assert said in logged(manager, "ERROR")
    assert "btc: nobody can tell from the state file whether it has fired" in logged(
        manager, "ERROR"
    )


def test_row_that_a_torn_state_file_lacks_is_not_fired_by_hand_either(
    manager: ConfigManager,
) -> None:
    """A caller that hands in rows one by one gets no order for a row that may have one."""
    Path(manager.state_file).write_text("id,triggered\n,true\n", encoding="utf-8")
    kraken = StandIn()
    program = TTSLO(manager, kraken, kraken)
    program.load_state()
    program.process_config(config(), 60000)
    assert program.create_tsl_order(config(), 60000) is None
    assert kraken.orders == []
    assert "btc: its row of the state file cannot be understood: nobody can tell" in logged(
        manager, "ERROR"
    )


class SlowStandIn(StandIn):
    """Answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.is_asked, self.may_answer = threading.Event(), threading.Event()

    def add_trailing_stop_loss(self, **order: object) -> object:  # type: ignore[override]  # all of it
        self.is_asked.set()
        assert self.may_answer.wait(10)
        return self.answer


def test_intent_of_an_order_under_way_stays_whoever_saves(manager: ConfigManager) -> None:
    """While the order thread waits for an answer nobody else clears what it has written down."""
    kraken = SlowStandIn()
    program = TTSLO(manager, kraken, kraken)
    worker = program.worker
    with program.keeping_journal():
        assert program.validate_and_load_config()
        worker.start()
        worker.submit(Crossing(read_rule(config()), Decimal(60000), "60000"))
        assert kraken.is_asked.wait(10)
        program.save_state()
    (intent,) = read_intents(Path(f"{manager.state_file}.intents").read_bytes()).rows
    assert (intent["id"], intent["rule_state"]) == ("btc", "intended")
    kraken.may_answer.set()
    assert worker.stop(10)
    with program.keeping_journal():
        program.save_state()
    assert manager.load_state()["btc"]["triggered"] == "true"


def test_damaged_journal_speaks_of_rows_that_the_state_lacks(manager: ConfigManager) -> None:
    """An order may have been on its way of a row whose state was never written."""
    Path(f"{manager.state_file}.intents").write_bytes(b"\nx" + intent_lines([{"id": "eth"}]))
    kraken = StandIn()
    program = TTSLO(manager, kraken, kraken)
    program.load_state()
    program.validate_and_load_config()
    program.process_config(config(), 60000)
    assert kraken.orders == []


def test_journal_outlives_a_state_that_is_not_written(manager: ConfigManager) -> None:
    """An empty state is written nowhere, so nothing of the journal is in a file by then."""
    journal = Path(f"{manager.state_file}.intents")
    journal.write_bytes(intent_lines([{"id": "eth"}]))
    TTSLO(manager, StandIn(), StandIn()).save_state()
    assert journal.exists()


def test_without_a_journal_the_state_holds_the_intent_when_the_order_goes(
    manager: ConfigManager,
) -> None:
    """A program that does not hold the lock writes the whole state before each order."""
    kraken, seen = SlowStandIn(), list[str]()
    kraken.may_answer.set()
    kraken.is_asked.set = lambda: seen.append(  # type: ignore[method-assign]  # looks at the disk
        manager.load_state()["btc"]["rule_state"]
    )
    TTSLO(manager, kraken, kraken).process_config(config(), 60000)
    assert seen == ["intended"]


def test_empty_journal_changes_nothing(manager: ConfigManager) -> None:
    """After a clean end the row trades as ever."""
    program = left_behind(manager, b"")
    program.process_config(config(), 51000)
    assert program.state["btc"]["triggered"] == "true"


def test_state_that_is_no_dict_trades_nothing_and_is_said(manager: ConfigManager) -> None:
    """A caller who sets a row of the state to None is told so, and the row does not fire."""
    api = StandIn(price=60000.0)
    program = TTSLO(manager, api, api)
    program.state["btc"] = None  # type: ignore[assignment]  # the point
    program.process_config(config())
    program.save_state()
    assert not api.orders
    said = logged(manager, "ERROR")
    assert "btc: its row of the state file cannot be understood: it is NoneType" in said
    assert "state.csv cannot be written: the state of 'btc' must be a dict" in said


@pytest.mark.parametrize(("price", "is_blind"), [(40000.0, False), (OSError("no way"), True)])
def test_run_once_tells_whether_there_was_a_price(
    manager: ConfigManager, price: object, is_blind: bool
) -> None:
    """A look without any price is no look."""
    api = StandIn(price=price)
    program = TTSLO(manager, api, api)
    program.run_once()
    assert program.is_blind is is_blind


def test_seconds_of_the_order_thread_go_on_while_the_machine_sleeps(
    manager: ConfigManager,
) -> None:
    """A crossing that is owed for a minute is not owed after a night with the lid closed."""
    assert TTSLO(manager, StandIn()).clocks.monotonic is feed_clock
