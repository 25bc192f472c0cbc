"""The program put together: its words, its state, its clocks and its journal."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from caller_kit import SlowStandIn, StandIn, config, logged, manager_in

from config import ConfigManager
from krakenlink.machine import feed_clock
from ttslo import TTSLO
from ttslo_app.messages import Crossing
from ttslo_app.orders.ledger import read_intents
from ttslo_app.rules.rule import read_rule


@pytest.fixture
def manager(tmp_path: Path) -> ConfigManager:
    """Hand out the files, with one rule in config.csv."""
    return manager_in(tmp_path)


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
    """It is for those who choose what they are told of; hosts and the log know it not."""
    heard: list[dict[str, object]] = []

    class Host(TTSLO):
        def log(self, level: str, message: str, **fields: object) -> None:
            heard.append(fields)
            super().log(level, message, **fields)

    program = Host(manager, StandIn())
    program.say("INFO", "look here", kind="order placed", id="btc")
    text = Path(manager.log_file).read_text(encoding="utf-8")
    assert heard == [{"id": "btc"}]
    assert "look here" in text
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
