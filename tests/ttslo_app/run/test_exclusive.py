"""A trading key for one program alone: who gets it, who loses it, and who must not take it back."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fake_kraken import FakeKraken
from kraken_api import KrakenAPI
from krakenlink.errors import AuthenticationError
from krakenlink.rest import gate as gates
from tests.kits.program.program_process import Scene
from ttslo_app.orders.request import OrderRequest
from ttslo_app.run.exclusive import Exclusive, ask_person, mark_of, prove
from ttslo_app.store.disk import Disk

ORDER = OrderRequest("XXBTZUSD", "sell", "0.01", "+10.0%")
FLAGS = ("--exclusive-key", "--yes-this-key-is-ttslos-alone")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return what goes to a machine by its name: each has gates of its own."""
    machines: dict[str, dict[str, gates.Gate]] = {}

    def go_to(name: str) -> None:
        monkeypatch.setattr(gates, "_gates", machines.setdefault(name, {}))

    go_to("a")
    return go_to


@pytest.fixture
def trading(exchange: FakeKraken, machine: Callable[[str], None]) -> Iterator[KrakenAPI]:
    """Return a client with the trading key."""
    with client_of(exchange) as api:
        yield api


def client_of(exchange: FakeKraken, **more: Any) -> KrakenAPI:
    """Return another client with the trading key."""
    return KrakenAPI(
        exchange.api_key, exchange.api_secret, exchange.rest_url, use_websocket=False, **more
    )


class Told:
    """What was said: level and text."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def __call__(self, level: str, text: str, **_: object) -> None:
        """Take a sentence."""
        self.lines.append((level, text))


def exclusive(trading: KrakenAPI | None, folder: Path, *, is_wanted: bool = True) -> Exclusive:
    """Return the key of a run whose state.csv is in `folder`."""
    return Exclusive(trading, is_wanted=is_wanted, state=folder / "state.csv")


def never() -> bool:
    """Agree to nothing."""
    return False


def test_key_is_taken_from_whoever_had_it(
    exchange: FakeKraken, trading: KrakenAPI, machine: Callable[[str], None], tmp_path: Path
) -> None:
    """A later start elsewhere is above an earlier one, which then sends nothing, and is told."""
    told, disk = Told(), Disk()
    first = exclusive(trading, tmp_path)
    first.check(lambda: True)
    first.take(told)
    assert told.lines == [
        (
            "INFO",
            "The trading key is this run's alone: whoever used it before is refused from now on",
        )
    ]
    assert not first.look(disk, told)
    machine("b")
    with client_of(exchange) as elsewhere:
        exclusive(elsewhere, tmp_path / "b").take(Told())
        machine("a")
        with pytest.raises(AuthenticationError, match="Invalid nonce"):
            trading.query_open_orders()
        calls = len(exchange.requests)
        for _ in range(3):
            with pytest.raises(Exception, match="taken over this exclusive key"):
                trading.query_open_orders()
        assert len(exchange.requests) == calls
        assert first.look(disk, told)
        assert first.look(disk, told)
        machine("b")
        elsewhere.query_open_orders()
    level, text = told.lines[-1]
    assert level == "ERROR"
    assert text.startswith("DEPOSED: a later start has this trading key")
    assert len(told.lines) == 2
    assert mark_of(tmp_path / "state.csv").read_text().startswith("20")


def test_deposed_copy_does_not_begin_anew_by_itself(trading: KrakenAPI, tmp_path: Path) -> None:
    """Whatever restarts it, the other one keeps the key, until a person has decided."""
    mark = mark_of(tmp_path / "state.csv")
    mark.write_text("2026-11-26T01:00:00+00:00\n")
    run = exclusive(trading, tmp_path)
    with pytest.raises(ValueError, match=r"at 2026-11-26T01:00:00.*delete .*state\.csv\.deposed"):
        run.check(lambda: True)
    mark.unlink()
    run.check(lambda: True)


def test_person_has_to_agree_before_there_is_no_way_back(
    trading: KrakenAPI, exchange: FakeKraken, tmp_path: Path
) -> None:
    """Without a word nothing is sent, and the sentence says what the word would mean."""
    run = exclusive(trading, tmp_path)
    with pytest.raises(ValueError, match=r"one way\..*for ever.*--yes-this-key-is-ttslos-alone"):
        run.check(never)
    assert exchange.requests == []


def test_key_that_is_exclusive_needs_the_flag_and_asks_no_second_time(
    exchange: FakeKraken, machine: Callable[[str], None], tmp_path: Path
) -> None:
    """Its usual nonces would be refused one by one."""
    with client_of(exchange, cache_dir=tmp_path) as api:
        exclusive(api, tmp_path).take(Told())
    machine("another process here")
    with client_of(exchange, cache_dir=tmp_path) as api:
        with pytest.raises(ValueError, match="Start with --exclusive-key, or make a new key"):
            exclusive(api, tmp_path, is_wanted=False).check(never)
        exclusive(api, tmp_path).check(never)


def test_flag_without_a_trading_key_is_refused(tmp_path: Path) -> None:
    """There is nothing to be exclusive."""
    with pytest.raises(ValueError, match="set KRAKEN_API_KEY_RW"):
        exclusive(None, tmp_path).check(lambda: True)
    exclusive(None, tmp_path, is_wanted=False).check(never)


def test_start_climbs_over_one_whose_clock_was_ahead(
    exchange: FakeKraken,
    trading: KrakenAPI,
    machine: Callable[[str], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A week ahead is climbed over; from a century ahead there is no coming down."""
    told, now = Told(), time.time_ns
    ahead = 7 * 24 * 3600 * 10**9
    for more, is_taken in ((ahead, True), (5000 * ahead, False)):
        machine(f"{more} ahead")
        with monkeypatch.context() as patch, client_of(exchange) as early:
            patch.setattr(time, "time_ns", lambda more=more: now() + more)
            early.gate.reign()
            early.query_open_orders()
        machine(f"after {more}")
        run = exclusive(trading, tmp_path)
        if is_taken:
            run.take(told)
            assert told.lines[-1][0] == "INFO"
        else:
            with pytest.raises(ValueError, match=r"takes no exclusive nonce.*make a new key"):
                run.take(told)


def test_kraken_that_cannot_be_asked_does_not_keep_a_run_from_starting(
    exchange: FakeKraken, trading: KrakenAPI, tmp_path: Path
) -> None:
    """The next call that is taken does the same; that is said."""
    told = Told()
    exchange.fault("http_502", endpoint="OpenOrders", count=1)
    run = exclusive(trading, tmp_path)
    run.take(told)
    assert told.lines[-1][0] == "WARNING"
    assert "has not confirmed yet" in told.lines[-1][1]
    trading.query_open_orders()
    assert not run.look(Disk(), told)


def test_mark_that_cannot_be_written_is_said(
    exchange: FakeKraken, trading: KrakenAPI, machine: Callable[[str], None], tmp_path: Path
) -> None:
    """Then nothing keeps a service from taking the key back, and a person has to."""
    told = Told()
    run = exclusive(trading, tmp_path / "gone")
    run.take(told)
    machine("b")
    with client_of(exchange) as elsewhere:
        exclusive(elsewhere, tmp_path).take(Told())
    machine("a")
    with pytest.raises(AuthenticationError):
        trading.query_open_orders()
    assert run.look(Disk(), told)
    assert "Keep it from starting again" in told.lines[-1][1]


@pytest.mark.parametrize(("typed", "agrees"), [("yes\n", True), ("y\n", False), ("", False)])
def test_person_at_a_terminal_is_asked(
    typed: str, agrees: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the whole word counts; without a terminal only the flag does."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    monkeypatch.setattr(sys, "stderr", screen)
    assert ask_person(is_given=False) is agrees
    assert "Is this key ttslo's alone? Type yes:" in screen.getvalue()
    monkeypatch.setattr(sys, "stdin", io.StringIO("yes\n"))
    assert not ask_person(is_given=False)
    assert ask_person(is_given=True)


def test_proof_sees_what_kraken_takes(
    exchange: FakeKraken, trading: KrakenAPI, machine: Callable[[str], None]
) -> None:
    """The far nonce is taken, a clock's is refused, and no order is placed."""
    assert prove(trading, ORDER) == ""
    assert exchange.orders == []
    exchange.add_key("WINDOW", exchange.api_secret, {"modify", "query open"}, nonce_window=2**63)
    with KrakenAPI("WINDOW", exchange.api_secret, exchange.rest_url, use_websocket=False) as loose:
        assert "took a LOWER nonce" in prove(loose, ORDER)
    exchange.fault("nonce_refused", endpoint="AddOrder", count=9)
    machine("b")
    assert "takes no exclusive nonce" in prove(trading, ORDER)


def test_second_start_elsewhere_ends_the_first_and_one_order_is_placed(
    exchange: FakeKraken, tmp_path: Path
) -> None:
    """Two programs with files of their own, as on two machines, and one crossing for both."""
    scenes = [Scene(exchange, tmp_path / name) for name in ("a", "b")]
    with scenes[0].run(*FLAGS) as first:
        first.wait_for("armed")
        with scenes[1].run(*FLAGS) as second:
            second.wait_for("armed")
            scenes[1].cross()
            assert first.wait() == 1
            assert "DEPOSED" in first.output
            second.wait_for("placed")
    assert len(exchange.orders) == 1
    with scenes[0].run(*FLAGS) as again:
        assert again.wait() == 1
        assert "delete state.csv.deposed" in again.output
