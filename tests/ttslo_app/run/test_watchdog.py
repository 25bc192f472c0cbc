"""The watchdog, beside a model of an order thread and beside real ones that hang."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import BinaryIO

import pytest

from fake_kraken import FakeKraken
from tests.kits.program.live_program import PAIR, LiveProgram, row, wait_until
from tests.kits.rows.watch_kit import MARKET, rule
from ttslo_app.clocks import Clocks
from ttslo_app.messages import BookArm, BookDisarm, BookFired, Crossing
from ttslo_app.run import watchdog as room
from ttslo_app.run.program import keeping_journal
from ttslo_app.run.watchdog import Watchdog, watched
from ttslo_app.store.disk import Disk

CROSSING = Crossing(rule(), Decimal(51001), "51001", seen_at=100.0)


@dataclass
class Worker:
    """What an order thread leaves behind for others to read."""

    state: dict[str, dict[str, str]] = field(default_factory=lambda: {"r": {"rule_state": "armed"}})
    doing: tuple[str, float] = ("", 0.0)
    backlog: int = 0


class Bench:
    """A watchdog on a clock of the test's own."""

    def __init__(self) -> None:
        self.now = 100.0
        self.worker = Worker()
        self.said: list[str] = []
        clocks = Clocks(lambda: self.now, lambda: self.now, lambda: self.now)
        self.dog = Watchdog(
            self.worker, clocks, lambda level, text, **fields: self.said.append(f"{level} {text}")
        )

    def look_at(self, *moments: float) -> list[str]:
        """Look at some moments; return what was said at them."""
        self.said.clear()
        for self.now in moments:
            self.dog.look()
        return self.said


@pytest.fixture
def bench() -> Bench:
    """Hand out a watchdog that was told of one crossing."""
    bench = Bench()
    bench.dog.note(CROSSING)
    return bench


def test_crossing_without_an_order_is_said_after_five_seconds_then_slower(bench: Bench) -> None:
    """The age is that of the crossing, and the pauses grow."""
    assert bench.look_at(101, 104.9) == []
    bench.worker.doing = ("intending", 100.5)
    assert bench.look_at(105.5) == [
        "ERROR r: crossed 6 s ago at 51001, no order yet: the disk has not taken its intent for 5 s"
    ]
    assert len(bench.look_at(*range(106, 1000))) == 4


@pytest.mark.parametrize("state", ["placed", "closed", "disarmed"])
def test_crossing_that_has_its_order_or_will_have_none_is_over(bench: Bench, state: str) -> None:
    """What became of it was said by who did it."""
    bench.worker.state["r"]["rule_state"] = state
    assert bench.look_at(106) == []
    assert bench.dog.orderless() == {}


def test_thousands_of_crossings_are_watched_and_those_that_are_over_are_let_go() -> None:
    """Each is noted without looking at all the others, and none that is open is forgotten."""
    bench = Bench()
    for number in range(3_000):
        name = f"r{number}"
        bench.dog.note(Crossing(replace(rule(), id=name), Decimal(1), "1", seen_at=100.0))
        bench.worker.state[name] = {"rule_state": "armed" if number % 100 == 0 else "placed"}
        if number % 50 == 0:
            bench.dog.orderless()  # as the metrics do
    assert set(bench.dog.orderless()) == {f"r{number}" for number in range(0, 3_000, 100)}
    assert len(bench.dog._cases) < 300


@pytest.mark.parametrize("change", [BookArm(rule(), MARKET), BookDisarm("r")])
def test_crossing_whose_rule_is_armed_anew_or_gone_is_over(
    bench: Bench, change: BookArm | BookDisarm
) -> None:
    """The order thread has given it back."""
    bench.dog.take_back(change)
    assert bench.look_at(106) == []


def test_word_of_an_earlier_run_ends_nothing(bench: Bench) -> None:
    """What fired before the start is another crossing."""
    bench.dog.take_back(BookFired(rule(), MARKET, "", "", "1"))
    assert len(bench.look_at(106)) == 1


@pytest.mark.parametrize(
    ("step", "state", "cause"),
    [
        ("sending", "intended", "Kraken has not answered an order for 3 s"),
        ("looking", "armed", "Kraken is asked what became of an earlier order for 3 s"),
        ("turn", "armed", "the order thread is busy for 3 s"),
        ("", "refused", "it was refused (EService:Busy) and is tried again"),
        ("", "uncertain", "it is being found out whether one stands"),
        ("", "armed", "it waits to be tried again"),
    ],
)
def test_cause_is_what_the_order_thread_is_at_or_how_the_rule_stands(
    bench: Bench, step: str, state: str, cause: str
) -> None:
    """A person is told where to look."""
    bench.worker.doing = (step, 103.0)
    bench.worker.state["r"] = {"rule_state": state, "detail": "EService:Busy"}
    assert bench.look_at(106)[0].endswith(f"no order yet: {cause}")


def test_order_thread_that_hangs_is_said_without_a_crossing() -> None:
    """Nobody waits for the next crossing to learn that it would have no order."""
    bench = Bench()
    bench.worker.doing, bench.worker.backlog = ("noting", 100.0), 7
    (said,) = bench.look_at(129, 131, 140, 400)
    assert "NO ORDER can be placed just now: config.csv is being written for 31 s. 7" in said
    bench.worker.doing = ("", 401.0)
    assert bench.look_at(402, 403) == ["INFO Orders can be placed again"]


@pytest.mark.parametrize(
    ("step", "state", "words"),
    [
        ("intending", "intended", "and NO ORDER was sent: the disk has not taken its intent"),
        ("sending", "intended", "An order is still without an answer"),
        ("", "uncertain", "An order is still without an answer"),
        ("noting", "armed", "and NO ORDER was placed"),
        ("turn", "refused", "and NO ORDER was placed"),
    ],
)
def test_last_words_say_no_more_than_is_known(
    bench: Bench, step: str, state: str, words: str
) -> None:
    """An order that was never sent is not told to be under way."""
    bench.worker.doing = (step, 100.0)
    bench.worker.state["r"]["rule_state"] = state
    (said,) = bench.dog.last_words()
    assert words in said.text


def test_last_words_without_a_crossing_promise_nothing() -> None:
    """A disk that hangs at the end owes nobody an order."""
    bench = Bench()
    bench.worker.doing = ("noting", 0.0)
    (said,) = bench.dog.last_words()
    assert "no crossing waits for an order" in said.text


def test_crossings_are_noted_before_they_are_handed_over() -> None:
    """And nothing else is."""
    bench = Bench()
    handed: list[object] = []
    submit = watched(bench.dog, handed.append)
    submit("something else")
    submit(CROSSING)
    assert handed == ["something else", CROSSING]
    assert list(bench.dog.orderless()) == ["r"]


def test_old_cases_do_not_gather(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory follows what is open."""
    monkeypatch.setattr(room, "_FEW", 1)
    bench = Bench()
    bench.dog.note(CROSSING)
    bench.dog.take_back(BookDisarm("r"))
    bench.dog.note(Crossing(rule(rule_id="other"), Decimal(1), "1"))
    assert list(bench.dog._cases) == ["other"]


def test_watchdog_outlives_a_surprise(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error while looking ends no looking."""
    monkeypatch.setattr(room, "_BEAT", 0.001)
    bench, looks = Bench(), threading.Semaphore(0)

    def fail() -> None:
        looks.release()
        raise RuntimeError("a defect")

    bench.dog.look = fail  # type: ignore[method-assign]
    bench.dog.start()
    assert looks.acquire(timeout=60)
    assert looks.acquire(timeout=60)
    bench.dog.stop(5)


# --- beside threads that really hang ---------------------------------------------------------


class HangingDisk(Disk):
    """A disk whose sync of an intent does not return before it is let go."""

    def __init__(self) -> None:
        self.hangs = threading.Event()
        self.go_on = threading.Event()

    def sync_data(self, file: BinaryIO) -> None:
        if self.hangs.is_set():
            self.go_on.wait(60)
        super().sync_data(file)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the watchdog speak after a fraction of a second."""
    monkeypatch.setattr(room, "_BEAT", 0.02)
    monkeypatch.setattr(room._Case.__init__, "__defaults__", (0.3, False))


@pytest.mark.usefixtures("quick")
def test_disk_that_hangs_at_the_intent_is_said_and_fails_health(
    exchange: FakeKraken, tmp_path: Path
) -> None:
    """The order thread waits in its sync, and everybody else learns of it."""
    exchange.set_price(PAIR, "50000")
    disk = HangingDisk()
    program = LiveProgram(exchange, tmp_path, [row("up", 51000)], disk=disk)
    with keeping_journal(program.ttslo), program:
        disk.hangs.set()
        exchange.set_price(PAIR, "51001")
        said = program.wait_for_line("no order yet: the disk has not taken its intent")
        assert said.startswith("up: crossed ")
        assert " s ago at 51001" in said
        live = program.ttslo.live
        assert live is not None
        assert list(live.orderless()) == ["up"]
        assert exchange.placed_count() == 0
        disk.hangs.clear()
        disk.go_on.set()
        program.crossing_of("up")
        wait_until(lambda: not live.orderless(), "the crossing has its order")


@pytest.mark.usefixtures("quick")
def test_exchange_that_never_answers_is_said(exchange: FakeKraken, tmp_path: Path) -> None:
    """The order thread waits in its call."""
    exchange.set_price(PAIR, "50000")
    with LiveProgram(exchange, tmp_path, [row("up", 51000)]) as program:
        program.wait_for_line("up: Kraken would take its order")
        exchange.fault("delayed_reply", endpoint="AddOrder", count=1, seconds=2.0)
        exchange.set_price(PAIR, "51001")
        said = program.wait_for_line("Kraken has not answered an order")
        assert "no order yet" in said
        program.crossing_of("up")
