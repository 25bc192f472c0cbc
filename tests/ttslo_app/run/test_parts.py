"""What a run is put together from, and what goes on beside it."""

import threading
import time
from dataclasses import FrozenInstanceError, dataclass, field, fields
from pathlib import Path
from typing import Any

import pytest

from fake_kraken import FakeKraken
from kraken_api import KrakenAPI
from krakenlink.errors import KrakenTimeout
from krakenlink.machine import feed_clock
from tests.kits.program.live_program import LiveProgram
from ttslo_app.clocks import KrakenClock
from ttslo_app.orders.exchange import KrakenExchange
from ttslo_app.orders.life import OrderSettings
from ttslo_app.rules.rule import WhenBlind
from ttslo_app.run.parts import (
    Options,
    World,
    ask_for_time,
    ask_if_doubtful,
    kraken_clock,
    sources_of,
)


def test_options_left_out_place_orders_and_say_little() -> None:
    """Whoever chooses nothing gets a true run with the usual numbers, and no open port."""
    options = Options()
    assert (options.dry_run, options.verbose, options.debug) == (False, False, False)
    assert (options.settings, options.when_blind) == (OrderSettings(), WhenBlind.ARM_IF_BEYOND)
    assert (options.pace, options.metrics_port) == (None, None)


def test_a_step_that_nobody_watches_does_nothing() -> None:
    """Only tests end the program at one of its steps."""
    Options().step("before AddOrder")


def test_options_cannot_be_changed_while_the_program_runs() -> None:
    """Several threads read them."""
    options = Options(dry_run=True)
    with pytest.raises(FrozenInstanceError):
        options.dry_run = False  # type: ignore[misc]  # which is what is tried


def test_the_world_is_named_in_full() -> None:
    """Nothing of it is left to a default: a forgotten clock or file would go unseen."""
    with pytest.raises(TypeError, match="clocks"):
        World(prices=None, provider=None, exchange=None, tape=None)  # type: ignore[call-arg,arg-type]
    assert [part.name for part in fields(World)] == [
        *("prices", "provider", "exchange", "tape", "clocks", "set_clock", "account"),
        "rests",
    ]


def mute(*words: object, **fields: object) -> None:
    """Say nothing."""


@dataclass
class Worker:
    """An order thread that has an exchange, or none."""

    exchange: KrakenExchange | None = None


@dataclass
class Program:
    """The part of a program that knows the time."""

    kraken_api_readonly: Any
    worker: Any = field(default_factory=Worker)
    kraken_clock: KrakenClock = field(default_factory=lambda: kraken_clock(mute)[0])
    stopping: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let Kraken's clock stand at a moment of 2033, and note each question."""
    questions: list[str] = []

    def server_time(api: KrakenAPI) -> float:
        questions.append("Time")
        return 2e9

    monkeypatch.setattr(KrakenAPI, "server_time", server_time)
    return questions


def test_clocks_of_a_program_go_by_one_that_nobody_sets() -> None:
    """Kraken's is one of them, and what is written down goes by it."""
    clock, clocks = kraken_clock(mute)
    assert not clocks.is_known()
    clock.measure(lambda: 2e9)
    assert clocks.is_known()
    assert clocks.utc().year == 2033
    assert clocks.monotonic is feed_clock


def test_dry_run_asks_for_the_time_too(asked: list[str]) -> None:
    """Without an exchange for orders the reading client is asked."""
    program = Program(KrakenAPI(use_websocket=False))
    program.stopping.set()  # nothing is waited for
    ask_for_time(program)
    assert program.kraken_clock.now() == pytest.approx(2e9, abs=2)
    assert asked


@pytest.mark.parametrize("has_exchange", [True, False])
def test_clock_of_a_machine_that_is_wrong_is_told_more_narrowly(
    has_exchange: bool, asked: list[str]
) -> None:
    """One answer leaves a second open; that is enough only where the machine may be right."""
    api = KrakenAPI(use_websocket=False)
    program = Program(api)
    program.stopping.set()
    if has_exchange:
        exchange = KrakenExchange(api, api, time.time, mute, program.kraken_clock)
        program.worker.exchange = exchange
        exchange.set_clock()
        assert asked == ["Time"]  # whoever cannot wait asks once
    ask_for_time(program)
    assert len(asked) > 1


def test_exchange_is_asked_where_there_is_one(asked: list[str]) -> None:
    """Orders and files go by one clock."""
    api = KrakenAPI(use_websocket=False)
    program = Program(object())
    program.worker.exchange = KrakenExchange(api, api, time.time, mute, program.kraken_clock)
    ask_for_time(program)
    assert program.kraken_clock.is_known()


def test_stand_in_is_not_asked(asked: list[str]) -> None:
    """What only resembles a client has no clock."""
    program = Program(object())
    ask_for_time(program)
    assert not program.kraken_clock.is_known()
    assert asked == []


def test_time_is_asked_for_again_only_in_doubt(asked: list[str]) -> None:
    """A clock that was read and that nobody has set needs no second look."""
    program = Program(KrakenAPI(use_websocket=False))
    program.stopping.set()
    ask_if_doubtful(program)
    times = len(asked)
    ask_if_doubtful(program)
    assert len(asked) == times > 0


def test_kraken_that_does_not_answer_leaves_what_was_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """A doubt that cannot be cleared up now stops nobody."""

    def fail(api: KrakenAPI) -> float:
        raise KrakenTimeout("no answer", request_sent=True)

    monkeypatch.setattr(KrakenAPI, "server_time", fail)
    program = Program(KrakenAPI(use_websocket=False))
    ask_if_doubtful(program)
    assert program.kraken_clock.is_doubtful()
    with pytest.raises(KrakenTimeout):
        ask_for_time(program)


def test_figures_are_those_of_the_run(tmp_path: Path) -> None:
    """The armed row, its order's answers, and what waits for an order."""
    row = "btc,BTC/USD,51000,above,sell,0.01,0.5,true"
    with FakeKraken() as exchange:
        exchange.set_price("XXBTZUSD", "50000")
        with LiveProgram(exchange, tmp_path, [row]) as live:
            run = live.ttslo.live
            assert run is not None
            sources = sources_of(live.ttslo, run)
            assert list(sources.armed()) == ["btc"]
            assert sources.orders() == {"placed": 0, "refused": 0, "uncertain": 0}
            assert sources.orderless() == {}
            assert sources.health() is not None
