"""The class `TTSLO` as other programs use it: stand-ins for Kraken, real files."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

import ttslo
from config import ConfigManager
from kraken_api import KrakenAPI
from tests.kits.program.caller_kit import HEADER, ROW, StandIn, config, logged, manager_in, rows_of
from ttslo import TTSLO, __version__, main


@pytest.fixture
def manager(tmp_path: Path) -> ConfigManager:
    """Hand out the files, with one rule in config.csv."""
    return manager_in(tmp_path)


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


@pytest.mark.parametrize("price", [51000.0, "51000", 50000])
def test_dry_run_notes_its_look_at_a_row_that_is_crossed_from_the_first(
    manager: ConfigManager, price: object
) -> None:
    """Such a row is refused and stays so, and the memory alone says that it was looked at."""
    kraken = StandIn(price=price)
    before = Path(manager.config_file).read_bytes()
    program = TTSLO(manager, kraken, None, dry_run=True)
    program.load_state()
    for _ in range(3):
        program.run_once()
        program.config_file_mtime = None
        program.validate_and_load_config()
        assert program.state["btc"]["triggered"] == "false"
        assert program.state["btc"]["last_checked"]
    assert Path(manager.config_file).read_bytes() == before
    assert not Path(manager.state_file).exists()


def test_wet_run_notes_no_look_at_a_row_that_is_refused(manager: ConfigManager) -> None:
    """A state file with such a look would let the next start take the row for an armed one."""
    kraken = StandIn(price=51000)
    program = TTSLO(manager, kraken, kraken)
    program.run_once()
    assert program.state == {}
    assert kraken.orders == []


def test_dry_run_never_says_that_an_order_was_placed(manager: ConfigManager) -> None:
    """It would have been."""
    program = TTSLO(manager, StandIn(), dry_run=True)
    program.process_config(config(), 60000)
    said = logged(manager, "INFO")
    assert "would have placed an order now (DRY_RUN_ORDER_ID)" in said
    assert "order DRY_RUN_ORDER_ID placed" not in said


def test_callers_second_call_after_a_lost_answer_is_the_callers_decision(
    manager: ConfigManager,
) -> None:
    """Where a stand-in cannot look orders up, asking once more for the order sends it."""
    kraken = StandIn(answer=Exception("API Error"))
    program = TTSLO(manager, kraken, kraken)
    assert program.create_tsl_order(config(), 50000) is None
    program.process_config(config(), 60000)  # the loop never does
    program.run_once()
    assert len(kraken.orders) == 1
    kraken.answer = {"txid": ["ORDER123"]}
    assert program.create_tsl_order(config(), 50000) == "ORDER123"
    assert program.create_tsl_order(config(), 50000) is None  # it has its order now
    assert len(kraken.orders) == 2


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
        assert looked.acquire(timeout=60)
    program.stop()
    thread.join(60)
    assert not thread.is_alive()
    assert Path(manager.state_file).exists()


def test_run_continuous_ends_on_ctrl_c(manager: ConfigManager) -> None:
    """Ctrl-C in the loop is a clean end."""

    class Interrupted(StandIn):
        def get_current_price(self, pair: str) -> object:
            raise KeyboardInterrupt

    TTSLO(manager, Interrupted()).run_continuous(1)
    assert "Stopped" in logged(manager, "INFO")


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


def test_row_with_its_order_columns_filled_does_not_fire(manager: ConfigManager) -> None:
    """A row that names its order has fired, whatever became of the state file."""
    kraken = StandIn()
    row = config() | {"order_id": "OLD", "trigger_time": "", "trigger_price": ""}
    TTSLO(manager, kraken, kraken).process_config(row, 60000)
    assert kraken.orders == []


def test_state_of_booleans_is_understood(manager: ConfigManager) -> None:
    """Callers that keep true and false in the state are understood."""
    kraken = StandIn()
    program = TTSLO(manager, kraken, kraken)
    fired: Any = {"btc": {"triggered": True}}
    program.state = fired
    program.process_config(config(), 60000)
    assert kraken.orders == []


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


def test_attributes_that_callers_set_count(manager: ConfigManager) -> None:
    """Rows and a source of prices that are set afterwards are those that are looked at."""
    program = TTSLO(manager, StandIn(), kraken := StandIn())
    program.run_once()
    rows = program.configs
    program.kraken_api_readonly = StandIn(price=60000)
    program.configs = []
    program.run_once()
    assert kraken.orders == []
    program.configs = rows
    program.run_once()
    assert len(kraken.orders) == 1


# --- subclasses ----------------------------------------------------------------------------------


def test_subclass_with_a_look_of_its_own_is_asked(manager: ConfigManager) -> None:
    """What `run_once` does with a row goes through the method that callers override."""
    seen: list[tuple[str, object]] = []

    class Mine(TTSLO):
        def process_config(self, config: Mapping[str, Any], current_price: object = None) -> None:
            seen.append((config["id"], current_price))

    Mine(manager, StandIn()).run_once()
    assert seen == [("btc", 40000.0)]


def test_subclass_with_a_threshold_of_its_own_is_asked(manager: ConfigManager) -> None:
    """Whether a price meets a threshold is decided by the method that callers override."""

    class Never(TTSLO):
        def check_threshold(self, config: Mapping[str, Any], current_price: object) -> bool:
            return False

    kraken = StandIn()
    Never(manager, kraken, kraken).process_config(config(), 60000)
    assert kraken.orders == []


def test_subclass_with_a_log_of_its_own_hears_every_sentence(
    manager: ConfigManager, capsys: pytest.CaptureFixture[str]
) -> None:
    """A host program wants each line of the report as a call, and nothing on its screen."""
    said: list[str] = []

    class Quiet(TTSLO):
        def log(self, level: str, message: str, **fields: object) -> None:
            said.append(message)

    program = Quiet(manager, StandIn())
    program.validate_and_load_config()
    program.report()
    assert any(line.startswith("btc: armed: ") for line in said)
    assert capsys.readouterr().out == ""


def test_door_hands_on_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    """`ttslo.main` is the command line, and `__version__` is what it tells."""
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"ttslo {__version__}\n"


@pytest.mark.parametrize("name", ["creds", "config", "validator", "requests", "krakenlink"])
def test_file_of_the_working_folder_passes_for_none_of_ours(tmp_path: Path, name: str) -> None:
    """`python -m` looks there first, but what may place orders runs no file that lies about."""
    (tmp_path / f"{name}.py").write_text("raise SystemExit('somebody else')\n", encoding="utf-8")
    root = str(Path(ttslo.__file__).parent)
    for command in (["-m", "ttslo"], [ttslo.__file__]):
        done = subprocess.run(
            [sys.executable, *command, "--validate-config"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": root},
            capture_output=True,
            text=True,
            check=False,
        )
        typed = "python -m ttslo" if command[0] == "-m" else "python ttslo.py"
        assert f"start from `{typed} --create-sample-config`" in done.stderr
        assert "somebody else" not in done.stderr
