"""Rules one by one on the caller's thread: the same protocol, without the order thread."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from config import ConfigManager
from tests.kits.program.caller_kit import StandIn, config, logged, manager_in
from ttslo import TTSLO
from ttslo_app.clocks import Clocks
from ttslo_app.orders.worker import OrderWorker
from ttslo_app.rules.findings import ValidationResult
from ttslo_app.rules.rule import read_rule
from ttslo_app.run.inline import InlineOrders

RULE = read_rule(config())
CLOCKS = Clocks(lambda: 0.0, lambda: 0.0, lambda: 0.0)


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


def test_look_keeps_what_the_state_knows(manager: ConfigManager, kraken: StandIn) -> None:
    """Only the moment changes; that a row has fired is not forgotten."""
    program = TTSLO(manager, kraken, kraken)
    program.inline.fire(RULE, Decimal(60000), "60000")
    before = dict(program.state["btc"])
    program.inline.note_look(RULE)
    after = dict(program.state["btc"])
    assert after.pop("last_checked")
    before.pop("last_checked", None)
    assert after == before
    assert before["triggered"] == "true"


def looked_at(*rows: dict[str, str], prices: dict[str, Decimal]) -> ValidationResult:
    """Return what a validation says of rows when these are today's prices."""
    return ValidationResult(configs=list(rows), prices=prices)


def test_dry_run_marks_a_row_that_it_looked_at_for_the_first_time(
    manager: ConfigManager, kraken: StandIn
) -> None:
    """Such a row was never armed; one that had been looked at before keeps its standing."""
    program = TTSLO(manager, kraken, kraken)
    program.state = {"old": {"id": "old", "triggered": "false", "last_checked": "2026-01-01"}}
    prices = {"XXBTZUSD": Decimal(60000)}
    result = looked_at(config(), config(id="old"), prices=prices)
    program.inline.note_refused(result)
    assert program.state["btc"]["rule_state"] == "disarmed"
    assert "rule_state" not in program.state["old"]
    assert all(program.state[name]["last_checked"] > "2026-01-01" for name in ("btc", "old"))


@pytest.mark.parametrize(
    "row",
    [config(enabled="false"), config(volume="much"), config(pair="XETHZUSD")],
    ids=["disabled", "no rule", "no price"],
)
def test_dry_run_marks_no_row_that_it_could_not_judge(
    manager: ConfigManager, kraken: StandIn, row: dict[str, str]
) -> None:
    """What is disabled, no rule, or without a price was not looked at."""
    program = TTSLO(manager, kraken, kraken)
    program.inline.note_refused(looked_at(row, prices={"XXBTZUSD": Decimal(60000)}))
    assert program.state == {}


class Worker:
    """An order thread whose orders come to be known after so many glances."""

    def __init__(self, glances: int) -> None:
        self.glances = glances
        self.worked = 0

    @property
    def is_busy(self) -> bool:
        return self.worked < self.glances

    def work_off(self) -> None:
        self.worked += 1


def test_settling_ends_with_the_last_order_that_is_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It looks after each pause, and not once more than is needed."""
    now = 0.0
    monkeypatch.setattr("ttslo_app.run.inline.time", SimpleNamespace(monotonic=lambda: now))
    worker, pauses = Worker(3), list[float]()
    inline = InlineOrders(cast("OrderWorker", worker), CLOCKS, lambda *_, **__: None)
    inline.settle(60.0, pauses.append)
    assert (worker.worked, pauses) == (3, [0.1] * 3)


def test_settling_gives_up_when_its_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next start settles what is left; a moment at the very end is no time to look."""
    now = 0.0

    def pause(seconds: float) -> None:
        nonlocal now
        now += 1.0

    monkeypatch.setattr("ttslo_app.run.inline.time", SimpleNamespace(monotonic=lambda: now))
    worker = Worker(10**6)
    inline = InlineOrders(cast("OrderWorker", worker), CLOCKS, lambda *_, **__: None)
    inline.settle(5.0, pause)
    assert worker.worked == 5


class Asked:
    """An order thread whose exchange can look orders up, or cannot, or is not there."""

    def __init__(self, can_find: bool | None) -> None:
        self.exchange = None if can_find is None else SimpleNamespace(can_find=can_find)
        self.dropped: list[str] = []
        self.roll = SimpleNamespace(drop_doubt=self.dropped.append)


@pytest.mark.parametrize(("can_find", "dropped"), [(False, ["btc"]), (True, []), (None, [])])
def test_doubt_is_dropped_only_where_nobody_can_be_asked(
    can_find: bool | None, dropped: list[str]
) -> None:
    """With Kraken itself an unknown order is looked up, whoever asks for it again."""
    worker = Asked(can_find)
    inline = InlineOrders(cast("OrderWorker", worker), CLOCKS, lambda *_, **__: None)
    inline.decide_anew("btc")
    assert worker.dropped == dropped


def test_doubt_of_an_unreadable_row_is_said_when_it_is_to_fire(
    manager: ConfigManager, kraken: StandIn
) -> None:
    """To decide anew raises nothing, and the row stays as it is."""
    program = TTSLO(manager, kraken, kraken)
    program.state = {"btc": {"id": "btc", "rule_state": "dancing"}}
    program.inline.decide_anew("btc")
    assert program.state["btc"]["rule_state"] == "dancing"
    assert logged(manager, "ERROR") == ""
