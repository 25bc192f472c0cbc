"""Rules one by one on the caller's thread: the same protocol, without the order thread."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from caller_kit import StandIn, config, logged, manager_in

from config import ConfigManager
from ttslo import TTSLO
from ttslo_app.rules.rule import read_rule
from ttslo_app.run.inline import InlineOrders

RULE = read_rule(config())


@pytest.fixture
def manager(tmp_path: Path) -> ConfigManager:
    """Hand out the files, with one rule in config.csv."""
    return manager_in(tmp_path)


@pytest.fixture
def kraken() -> StandIn:
    """Hand out a stand-in for Kraken."""
    return StandIn()


@pytest.fixture
def inline(manager: ConfigManager, kraken: StandIn) -> InlineOrders:
    """Hand out the work of a program that does not run."""
    return TTSLO(manager, kraken, kraken).inline


def test_rule_fires_once_and_returns_its_order(inline: InlineOrders, kraken: StandIn) -> None:
    """A second call for the same arming is no second order."""
    assert inline.fire(RULE, Decimal(60000), "60000.0") == "OAAAAA-BBBBB-CCCCCC"
    assert inline.fire(RULE, Decimal(60000), "60000.0") is None
    assert len(kraken.orders) == 1


def test_rule_waits_until_it_has_fired(inline: InlineOrders) -> None:
    """What has fired waits no more."""
    assert inline.waiting_rule(config()) == RULE
    inline.fire(RULE, Decimal(60000), "60000.0")
    assert inline.waiting_rule(config()) is None


@pytest.mark.parametrize("row", [config(enabled="false"), config() | {"order_id": "OLD"}])
def test_row_that_is_not_armed_does_not_wait(inline: InlineOrders, row: dict[str, str]) -> None:
    """Neither a disabled row nor one that names its order."""
    assert inline.waiting_rule(row) is None


def test_row_that_is_no_rule_is_told(inline: InlineOrders, manager: ConfigManager) -> None:
    """A bad cell is an ERROR in the log."""
    assert inline.waiting_rule(config(volume="much")) is None
    assert "A row cannot be processed" in logged(manager, "ERROR")


def test_refused_rule_is_held_back(inline: InlineOrders, kraken: StandIn) -> None:
    """What Kraken has refused just now is not sent again at once."""
    kraken.answer = RuntimeError("Kraken API error: ['EOrder:Rate limit exceeded']")
    assert inline.fire(RULE, Decimal(60000), "60000") is None
    assert inline.fire(RULE, Decimal(60000), "60000") is None
    assert len(kraken.orders) == 1


def test_rule_whose_past_is_unreadable_neither_waits_nor_fires(
    manager: ConfigManager, kraken: StandIn
) -> None:
    """Nobody knows whether it has fired, so it does not, and that is said."""
    program = TTSLO(manager, kraken, kraken)
    program.state = {"btc": {"id": "btc", "rule_state": "dancing"}}
    assert not program.inline.is_waiting(RULE)
    assert program.inline.fire(RULE, Decimal(60000), "60000") is None
    assert kraken.orders == []
    assert "btc: its row of the state file cannot be understood" in logged(manager, "ERROR")


def test_settling_waits_for_nothing_where_nothing_is_under_way(inline: InlineOrders) -> None:
    """A run that looks once ends at once."""
    pauses: list[float] = []
    inline.settle(60.0, pauses.append)
    assert pauses == []


def test_look_is_noted_in_the_state(manager: ConfigManager, kraken: StandIn) -> None:
    """When a row was looked at last is a moment in UTC."""
    program = TTSLO(manager, kraken, kraken)
    program.inline.note_look(RULE)
    assert program.state["btc"]["triggered"] == "false"
    assert program.state["btc"]["last_checked"].endswith("+00:00")
