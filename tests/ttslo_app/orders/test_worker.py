"""The order thread against a model of Kraken: inline, with a clock of the test's own."""

from __future__ import annotations

import threading
from collections import Counter
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from krakenlink.errors import KrakenConnectionError
from tests.kits.common.examples import many
from tests.kits.orders.order_bench import (
    MARKET,
    Bench,
    Crash,
    JournalFiles,
    Reply,
    crowd,
    dying_at,
    rule,
)
from ttslo_app.messages import (
    AcceptedRule,
    Adopt,
    BookArm,
    Crossing,
    Looked,
    Mark,
    Market,
    Watched,
)
from ttslo_app.orders.life import OrderSettings
from ttslo_app.rules.rule import Rule


@pytest.fixture
def bench() -> Bench:
    """A worker with one armed rule."""
    return Bench(rule())


# --- surprises in a batch --------------------------------------------------------------------


def test_mark_is_not_passed_while_somebody_waits_in_line(bench: Bench) -> None:
    """After a crash the trades are looked at again from where the line began."""
    passed: list[float] = []
    bench.kraken.replies = [Reply.TOO_FAST]
    bench.cross()
    bench.worker.submit(Mark(lambda: passed.append(bench.clock.seconds)))
    bench.worker.work_off()
    assert passed == []
    bench.wait(3)
    bench.worker.submit(Mark(lambda: passed.append(bench.clock.seconds)))
    bench.worker.work_off()
    assert len(passed) == 1


def test_surprise_in_a_batch_forgets_no_crossing() -> None:
    """An error that nobody foresaw costs no crossing its order, and places none twice."""
    rules = [rule(f"r{number}") for number in range(3)]
    bench = Bench(*rules)
    crossings = [Crossing(r, Decimal(50001), "50001") for r in rules]

    def fail(name: str) -> None:
        if name == "sending" and len(bench.kraken.sent) == 1:
            bench.step = lambda name: None
            raise RuntimeError("a surprise")

    bench.step = fail
    bench.changes.clear()
    for crossing in crossings:
        bench.worker.submit(crossing)
    bench.worker.start()
    assert bench.worker.stop(10)
    bench.wait(40)
    assert bench.placed == 3
    assert bench.heard("Internal error in the order thread")


def test_row_that_is_damaged_in_memory_ends_no_other_row_s_orders() -> None:
    """A host program that breaks one row is told so, and the thread goes on with the others."""
    broken, other = rule("broken"), rule("other")
    bench = Bench(broken, other)
    bench.worker.state["broken"]["rule_state"] = "nonsense"
    bench.worker.start()
    bench.worker.submit(Crossing(broken, Decimal(50001), "50001"))
    bench.worker.submit(Crossing(other, Decimal(50001), "50001"))
    assert bench.worker.stop(10)
    bench.wait(10)
    assert bench.placed == 1
    assert bench.heard("broken: it was crossed at 50001, and an internal error keeps its order")


def test_surprise_about_a_message_ends_no_other(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An edit of config.csv that came with it is handed over once, and would be lost."""

    def fail(message: object) -> None:
        raise RuntimeError("a surprise")

    monkeypatch.setattr(bench.worker._clerk, "watched", fail)
    other = bench.files.rules["other"] = rule("other")
    rules = {one.id: AcceptedRule(one, MARKET, False, {}) for one in (rule(), other)}
    edit = Adopt(rules, bench.clock.monotonic(), frozenset())
    bench.worker.turn([Watched({}), edit, Crossing(rule(), Decimal(50001), "50001")])
    assert bench.worker.ledger.is_waiting_for(rule())
    bench.worker.turn(())
    assert bench.worker.ledger.is_waiting_for(other)
    bench.wait(40)
    bench.cross(other)
    assert bench.placed == 2


# --- starts ----------------------------------------------------------------------------------


STEPS = ["intending", "written", "intended", "sending", "answered", "noting", "noted", "looking"]


@pytest.mark.parametrize("reply", [Reply.PLACED, Reply.LOST, Reply.NEVER])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_crash_at_any_step_leaves_exactly_one_order(step: str, nth: int, reply: Reply) -> None:
    """Wherever the program dies, the next start ends with one order, named in both files."""
    bench = Bench(rule())
    bench.kraken.replies = [reply]
    seen: list[str] = []

    def die(name: str) -> None:
        seen.append(name)
        if seen.count(step) == nth and name == step:
            raise Crash

    bench.step = die
    try:
        bench.cross()
        bench.wait(60)
    except Crash:
        bench.step = lambda name: None
        bench.restart()
        bench.cross()
    bench.wait(60)
    assert bench.placed == 1
    (txids,) = bench.kraken.orders.values()
    assert bench.files.notes == {"btc": txids[0]}
    assert bench.files.disk["btc"]["order_id"] == txids[0]


def test_nothing_fires_before_an_old_intent_is_settled() -> None:
    """At the start an open question comes first; what crosses meanwhile waits and then fires."""
    other = rule("other")
    bench = Bench(rule(), other)
    bench.kraken.replies = [Reply.LOST]
    bench.cross()
    bench.restart()
    bench.cross(other)
    assert len(bench.kraken.sent) == 1
    bench.wait(10)
    assert [bench.life(i).order_id for i in ("btc", "other")] == ["O1", "O2"]


# --- orders from before the start ------------------------------------------------------------


def test_crossing_held_for_long_waits_for_its_threshold_again(bench: Bench) -> None:
    """A disk that was full for hours does not place an order at a price of hours ago."""
    bench.files.is_full = True
    bench.cross()
    bench.wait(300)
    bench.files.is_full = False
    bench.changes.clear()
    bench.wait(3)
    assert bench.kraken.sent == []
    assert [change.rule for change in bench.changes if isinstance(change, BookArm)] == [rule()]


def test_crossing_that_must_wait_for_an_old_order_is_told() -> None:
    """Nobody is left without a word while Kraken is asked about another row's order; with one."""
    other = rule("other")
    bench = Bench(rule(), other)
    bench.kraken.replies = [Reply.LOST]
    bench.cross()
    bench.restart()
    bench.cross(other)
    bench.wait(4)  # Kraken may still accept the order from before
    words = "other: BTC/USD at or above 50000 was crossed at 50001, but WAITS"
    assert len([text for _, text in bench.said if words in text]) == 1
    assert bench.worker.is_busy


# --- any history -----------------------------------------------------------------------------

OTHER = rule("other", volume="0.02")  # its volume tells its orders

_event = st.one_of(
    st.tuples(st.just("cross"), st.sampled_from([(rule(),), (OTHER,), (rule(), OTHER)])),
    st.tuples(st.just("wait"), st.sampled_from([0.5, 2.0, 8.0, 20.0, 90.0])),
    st.tuples(st.just("reply"), st.sampled_from(Reply)),
    st.tuples(
        st.sampled_from(
            ["is_silent", "is_full", "is_read_only", "is_journal_broken", "is_unreadable"]
        ),
        st.booleans(),
    ),
    st.tuples(st.just("crash"), st.sampled_from(STEPS), st.integers(1, 3)),
    st.tuples(st.just("restart"), st.booleans()),
    st.tuples(st.just("switch"), st.sampled_from([rule(), OTHER])),
    st.tuples(st.just("read again")),
)


def _live_through(bench: Bench, files: JournalFiles, event: tuple[object, ...]) -> None:
    match event:
        case ("cross", tuple(rules)):
            bench.cross(*rules)
        case ("wait", float(seconds)):
            bench.wait(seconds)
        case ("reply", Reply() as reply):
            bench.kraken.replies.append(reply)
        case ("crash", str(step), int(nth)):
            bench.step = dying_at(step, nth)
        case ("restart", bool(is_power_cut)):
            if is_power_cut:
                files.cut_power()
            bench.restart()
        case (str(trouble), bool(is_there)):
            setattr(bench.kraken if trouble == "is_silent" else files, trouble, is_there)
        case ("switch", Rule() as switched):
            if files.rules.pop(switched.id, None) is None:
                files.rules[switched.id] = switched
            bench.adopt()
        case _:
            bench.adopt()


def _orders_by_volume(bench: Bench) -> dict[str, int]:
    """Return how many orders stand of each rule, by its volume."""
    placed = [int(txid[1:]) for txids in bench.kraken.orders.values() for txid in txids]
    return dict(Counter(bench.kraken.sent[number - 1][0].volume for number in placed))


@settings(max_examples=many(80))
@given(st.lists(_event, max_size=30))
def test_any_history_ends_with_at_most_one_order_and_no_silence(
    history: list[tuple[object, ...]],
) -> None:
    """Whatever happens in whatever order: never two orders, and in the end never none."""
    bench = Bench()
    bench.files = files = JournalFiles(rules={"btc": rule(), "other": OTHER})
    bench.restart()
    for event in history:
        try:
            _live_through(bench, files, event)
        except Crash:
            bench.step = lambda name: None
            bench.restart()
        assert max(_orders_by_volume(bench).values(), default=0) <= 1
    bench.step = lambda name: None
    bench.kraken.is_silent = files.is_full = files.is_read_only = files.is_unreadable = False
    bench.kraken.replies.clear()
    files.rules = {"btc": rule(), "other": OTHER}
    bench.restart()
    for _ in range(4):
        bench.cross(rule(), OTHER)
        bench.wait(70)
    assert _orders_by_volume(bench) == {"0.01": 1, "0.02": 1}
    assert all(bench.life(i).has_fired for i in files.rules)
    assert files.notes == {i: bench.life(i).order_id for i in files.rules}
    assert {i: row["order_id"] for i, row in files.disk.items()} == files.notes


# --- surprises, and the end ------------------------------------------------------------------


def test_crossing_that_was_held_too_long_is_told(bench: Bench) -> None:
    """After hours of a full disk nobody believes that the crossing got its order."""
    bench.files.is_full = True
    bench.cross()
    bench.wait(300)
    bench.files.is_full = False
    bench.wait(3)
    assert bench.heard("btc: its order waited 30")


def test_end_with_crossings_in_line_is_told(bench: Bench) -> None:
    """Whoever ends the program while orders are owed reads which rows have none."""
    other = rule("other")
    bench.files.rules["other"] = other
    bench.adopt()
    bench.kraken.replies = [Reply.TOO_FAST, Reply.TOO_FAST]
    bench.cross(rule(), other)
    bench.worker.start()
    assert bench.worker.stop(10)
    assert bench.heard("The program ends, and there is NO ORDER yet for btc, other")


@pytest.mark.parametrize("path", ["line", "retry", "search", "held"])
def test_surprise_on_any_path_to_an_order_forgets_no_crossing(bench: Bench, path: str) -> None:
    """Also a crossing that did not just come in survives an error that nobody foresaw."""
    replies = {"line": [Reply.TOO_FAST], "retry": [Reply.BUSY], "search": [Reply.NEVER]}
    bench.kraken.replies = replies.get(path, [])
    bench.files.is_full = path == "held"
    bench.cross()
    bench.files.is_full = False
    tries = len(bench.kraken.sent)
    failed = threading.Event()

    def fail(name: str) -> None:
        if name == "sending":
            bench.step = lambda name: None
            failed.set()
            raise RuntimeError("a surprise")

    bench.step = fail
    while not failed.is_set():
        bench.clock.seconds += 0.5
        bench.worker.turn(())
    bench.step = lambda name: None
    bench.wait(40)
    assert (bench.placed, len(bench.kraken.sent)) == (1, tries + 1)
    assert bench.heard("Internal error in the order thread")


def test_surprise_in_a_crowd_that_was_held_forgets_none_of_it() -> None:
    """Those whose turn had not come yet are taken up, too."""
    bench, rules = crowd(15)
    bench.files.is_full = True
    bench.cross(*rules)
    bench.files.is_full = False
    bench.step = dying_at("sending", error=RuntimeError)
    bench.clock.seconds += 2
    bench.worker.turn(())
    bench.step = lambda name: None
    bench.wait(40)
    assert bench.placed == 15


def test_crossing_that_met_a_surprise_needs_no_price_again(bench: Bench) -> None:
    """An error before the intent is as little a reason to lose a spike as a refusal is."""

    def fail(name: str) -> None:
        bench.step = lambda name: None
        raise RuntimeError("a surprise")

    bench.step = fail
    bench.worker.turn([Crossing(rule(), Decimal(50001), "50001")])
    bench.wait(30)
    assert bench.placed == 1


def test_mark_is_not_passed_while_a_crossing_without_an_intent_is_owed(bench: Bench) -> None:
    """What only the memory knows must be found again by the trades after a crash."""
    passed: list[float] = []

    def unreachable(pair: str) -> Market:
        raise KrakenConnectionError("no route", request_sent=False)

    bench.kraken.market_of = unreachable  # type: ignore[method-assign]  # for a while
    bench.cross()
    bench.worker.submit(Mark(lambda: passed.append(0.0)))
    bench.worker.work_off()
    assert passed == []
    del bench.kraken.market_of
    bench.wait(5)
    bench.worker.submit(Mark(lambda: passed.append(0.0)))
    bench.worker.work_off()
    assert (bench.placed, passed) == (1, [0.0])


def test_mark_is_not_passed_while_a_crossing_is_held_for_the_disk(bench: Bench) -> None:
    """What could not be written down must be found again by the trades after a crash."""
    passed: list[float] = []
    bench.files.is_full = True
    bench.cross()
    bench.worker.submit(Mark(lambda: passed.append(0.0)))
    bench.worker.work_off()
    assert passed == []


# --- files that take long --------------------------------------------------------------------


@pytest.mark.parametrize(("waited", "is_placed"), [(59.0, True), (61.0, False), (3600.0, False)])
def test_crossing_that_lay_in_the_inbox_for_long_waits_for_its_threshold_again(
    bench: Bench, waited: float, is_placed: bool
) -> None:
    """A thread that hung for long places no order for a price of long ago, and says so."""
    seen_at = bench.clock.monotonic()
    bench.changes.clear()
    bench.clock.seconds += waited
    bench.worker.submit(Crossing(rule(), Decimal(50001), "50001", seen_at=seen_at))
    bench.worker.work_off()
    assert bool(bench.kraken.sent) is is_placed
    assert bench.heard("It is placed only if its threshold is met now") is not is_placed
    assert bench.heard(f"its order waited {waited:.0f} s since") is not is_placed
    is_armed_anew = any(isinstance(change, BookArm) for change in bench.changes)
    assert is_armed_anew is not is_placed


@pytest.mark.parametrize(("reason", "times"), [("crossed", 2), ("was met already", 1)])
def test_each_crossing_is_an_event_of_its_own(bench: Bench, reason: str, times: int) -> None:
    """Refused for the same reason days later it is said again; a price that stays is no news."""
    bench.kraken.replies = [Reply.BUSY] * 20
    for _ in range(2):
        seen = Crossing(rule(), Decimal(50001), "50001", reason, seen_at=bench.clock.monotonic())
        bench.worker.submit(seen)
        bench.worker.work_off()
        bench.clock.seconds += 86_400
        bench.worker.work_off()
    said = [text for _, text in bench.said if "no order could be placed" in text]
    assert len(said) == times


def test_look_at_a_row_that_nobody_can_read_ends_no_thread() -> None:
    """A turn never raises, whatever the books say by then of the row that was looked for."""
    bench = Bench(rule())
    bench.kraken.replies = [Reply.LOST]
    bench.cross()
    bench.worker.ledger.state["btc"]["triggered"] = "perhaps"
    bench.worker.turn([Looked("btc", "an-id", 0.0, None)])
    assert bench.heard("Internal error in the order thread")


def test_thread_wakes_for_its_next_duty_and_once_a_second_at_least(bench: Bench) -> None:
    """A crossing that is owed waits for its own moment and not for the next message."""
    wait = bench.worker._time_to_next_duty
    assert wait() == 1.0
    bench.kraken.replies = [Reply.BUSY]
    bench.cross()
    bench.clock.seconds += OrderSettings().refusal_wait - 0.25
    assert wait() == pytest.approx(0.25)
    bench.clock.seconds += 5.0
    assert 0 < wait() < 0.01


@pytest.mark.parametrize(
    ("is_running", "doing", "pauses"),
    [(True, "", 1), (True, "turn", 0), (True, "sending", 0), (False, "", 0)],
)
def test_way_is_given_to_a_thread_that_waits_and_to_no_other(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, *, is_running: bool, doing: str, pauses: int
) -> None:
    """Whoever hands over a thousand crossings one by one pauses for the first of them."""
    paused: list[float] = []
    monkeypatch.setattr("ttslo_app.orders.worker.time.sleep", paused.append)
    if is_running:
        monkeypatch.setattr(bench.worker, "_thread", threading.current_thread())
    bench.worker.doing = (doing, 0.0)
    bench.worker.let_begin()
    assert len(paused) == pauses
    assert all(pause <= 0.001 for pause in paused)
