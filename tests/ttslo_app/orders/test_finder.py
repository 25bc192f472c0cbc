"""How an unknown outcome is settled."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from krakenlink.rest.answers import Outcome
from krakenlink.rest.verdicts import OutcomeKind
from tests.kits.orders.order_bench import (
    MARKET,
    SETTINGS,
    Bench,
    Reply,
    rule,
)
from ttslo_app.messages import BookArm, Looked, Sighting
from ttslo_app.orders.finder import Search, Verdict, after_look, after_silence, begin_search
from ttslo_app.orders.life import STANDS, RuleState
from ttslo_app.orders.request import OrderRequest

FOUND = Sighting("O1", "open")


@pytest.fixture
def bench() -> Bench:
    """A worker with one armed rule."""
    return Bench(rule())


def test_search_waits_until_no_late_copy_can_arrive() -> None:
    """The first look comes after the deadline and its margin, and at once if that has passed."""
    margin = SETTINGS.deadline_margin
    assert begin_search(5.0, 100.0, SETTINGS).not_before == 105.0 + margin
    assert begin_search(-3600.0, 100.0, SETTINGS).not_before == 100.0 + margin


def test_two_misses_far_enough_apart_are_needed() -> None:
    """One miss is no proof, nor are two in quick succession."""
    search = Search(0.0)
    verdict, search = after_look(search, None, 10.0, SETTINGS)
    assert verdict is Verdict.LOOK_AGAIN
    verdict, search = after_look(search, None, 11.0, SETTINGS)
    assert verdict is Verdict.LOOK_AGAIN
    assert search.not_before == 10.0 + SETTINGS.lookup_gap
    verdict, _ = after_look(search, None, 10.0 + SETTINGS.lookup_gap, SETTINGS)
    assert verdict is Verdict.NOT_PLACED


def test_the_gap_between_looks_outlasts_a_lag_of_closed_orders() -> None:
    """An order that closed right before the first look is listed before the second."""
    assert SETTINGS.lookup_gap > 10.0


def test_an_order_found_is_found_at_any_look() -> None:
    """Whatever was missed before, a sighting settles it."""
    assert after_look(Search(0.0, missed_at=1.0), FOUND, 99.0, SETTINGS)[0] is Verdict.FOUND


def test_silence_backs_off_and_forgets_no_miss() -> None:
    """Unanswered looks come further apart, up to a limit, and prove nothing."""
    search = Search(0.0, missed_at=5.0)
    waits = []
    for _ in range(40):
        search = after_silence(search, 0.0, SETTINGS)
        waits.append(search.not_before)
    assert waits[:4] == [1.0, 2.0, 4.0, 8.0]
    assert waits[-1] == SETTINGS.ask_again_max
    assert search.missed_at == 5.0


def test_answer_that_is_lost_sends_nothing_again_and_finds_the_order(bench: Bench) -> None:
    """A lost answer makes the row uncertain until the order is found at Kraken."""
    bench.kraken.replies = [Reply.LOST]
    bench.cross()
    assert bench.life().state is RuleState.UNCERTAIN
    bench.cross()
    bench.wait(8)
    assert bench.life().order_id == "O1"
    assert len(bench.kraken.sent) == 1
    assert bench.files.notes == {"btc": "O1"}


def test_no_look_before_the_deadline_has_passed(bench: Bench) -> None:
    """While a late copy may still arrive, a look that finds nothing would prove nothing."""
    bench.kraken.replies = [Reply.NEVER]
    looks: list[float] = []
    bench.step = lambda name: looks.append(bench.clock.seconds) if name == "looking" else None
    sent_at = bench.clock.seconds
    bench.cross()
    bench.wait(30)
    assert looks[0] >= sent_at + SETTINGS.deadline + 1
    assert looks[1] - looks[0] >= SETTINGS.lookup_gap


def test_order_that_never_arrived_is_placed_after_two_looks(bench: Bench) -> None:
    """A crossing whose order got lost still gets its one order, under the same id."""
    bench.kraken.replies = [Reply.NEVER]
    bench.cross()
    bench.wait(30)
    assert bench.placed == 1
    first, second = bench.kraken.sent
    assert first[1] == second[1]
    assert bench.life().order_id == "O2"


def test_old_crossing_that_was_not_placed_waits_for_its_threshold(bench: Bench) -> None:
    """Long after its crossing, an order that was not placed is only placed if still met."""
    bench.kraken.replies = [Reply.NEVER]
    bench.kraken.is_silent = True
    bench.cross()
    bench.wait(120)
    bench.kraken.is_silent = False
    bench.changes.clear()
    bench.wait(60)
    assert bench.placed == 0
    assert bench.changes == [BookArm(rule(), MARKET)]
    assert bench.life().state is RuleState.ARMED


def test_order_that_never_arrives_is_owed_for_a_minute_over_all_its_sends(bench: Bench) -> None:
    """The age of a crossing is its own, not that of its last try: then today's price decides."""
    bench.kraken.replies = [Reply.NEVER] * 10
    bench.cross()
    crossed_at = bench.life().trigger_time
    bench.changes.clear()
    bench.wait(300)
    assert len(bench.kraken.sent) == 4
    assert bench.changes == [BookArm(rule(), MARKET)]
    assert bench.files.disk["btc"]["trigger_time"] == crossed_at


def test_silence_keeps_the_row_uncertain_and_says_so(bench: Bench) -> None:
    """While Kraken cannot be asked nothing is concluded."""
    bench.kraken.replies = [Reply.LOST]
    bench.kraken.is_silent = True
    bench.cross()
    bench.wait(300)
    assert bench.life().state is RuleState.UNCERTAIN
    assert bench.heard("still uncertain, Kraken cannot be asked")
    bench.kraken.is_silent = False
    bench.wait(40)
    assert bench.life().order_id == "O1"


def test_stand_in_that_cannot_be_asked_never_sees_a_second_order(bench: Bench) -> None:
    """Without a way to look an order up, doubt lasts and nothing is sent again."""
    bench.kraken.can_find = False
    bench.kraken.replies = [Reply.LOST]
    for _ in range(5):
        bench.cross()
        bench.wait(60)
    assert len(bench.kraken.sent) == 1
    assert bench.heard("Look at Kraken's open orders")


def test_look_that_breaks_off_in_any_way_is_silence(bench: Bench) -> None:
    """What no look can make sense of is asked again, with pauses, and stops nothing else."""
    bench.kraken.replies = [Reply.LOST]
    bench.cross()
    find, looks = bench.kraken.find, 0

    def fail(cl_ord_id: str, order: OrderRequest) -> Sighting | None:
        nonlocal looks
        looks += 1
        raise AttributeError("'list' object has no attribute 'items'")

    bench.kraken.find = fail  # type: ignore[method-assign]  # this answer only
    bench.wait(60)
    assert 2 < looks < 10
    bench.kraken.find = find  # type: ignore[method-assign]
    bench.wait(60)
    assert bench.life().order_id == "O1"


@pytest.mark.parametrize("reply", [Reply.LOST, Reply.NEVER])
def test_clock_that_jumped_back_does_not_hold_the_others_up(reply: Reply) -> None:
    """No deadline of Kraken's is hours away, whatever the clock of this machine says."""
    other = rule("other")
    bench = Bench(rule(), other)
    bench.kraken.replies = [reply]
    bench.cross()
    bench.clock.seconds -= 8 * 3600
    bench.restart()
    bench.cross(other)
    bench.wait(40)
    assert bench.life("other").order_id == "O2"
    assert bench.life().order_id == ("O1" if reply is Reply.LOST else "")


def test_deadline_that_cannot_be_read_is_over_some_time(bench: Bench) -> None:
    """A damaged cell makes nobody wait for ever."""
    bench.kraken.replies = [Reply.NEVER]
    bench.cross()
    bench.files.disk["btc"]["deadline"] = "soon"
    bench.restart()
    bench.wait(40)
    assert bench.placed == 1


# --- what else is known of an order in doubt -------------------------------------------------


def test_order_that_certainly_stands_is_never_taken_for_none() -> None:
    """However often a look misses it."""
    search = Search(0.0, stands=True)
    for moment in (10.0, 30.0, 3000.0):
        verdict, search = after_look(search, None, moment, SETTINGS)
        assert verdict is Verdict.LOOK_AGAIN


def test_books_that_may_be_late_settle_nothing_for_a_minute() -> None:
    """Two looks that miss are not enough until both books must show the order."""
    search = Search(0.0, settles_at=70.0)
    for moment in (10.0, 22.0, 34.0, 69.0):
        verdict, search = after_look(search, None, moment, SETTINGS)
        assert verdict is Verdict.LOOK_AGAIN
        assert moment < search.not_before <= 70.0
    assert after_look(search, None, 70.0, SETTINGS)[0] is Verdict.NOT_PLACED


@pytest.mark.parametrize(
    ("outcome", "doubt"), [({"stands": True}, "stands"), ({"is_late": True}, "late"), ({}, "")]
)
def test_what_is_known_of_a_doubt_is_kept_over_a_restart(
    bench: Bench, outcome: dict[str, bool], doubt: str
) -> None:
    """State.csv holds it, so the next run doubts no less."""
    said = Outcome(OutcomeKind.UNKNOWN, reason="odd", **outcome)  # type: ignore[arg-type]  # by name
    bench.kraken.place = lambda *args, **named: said  # type: ignore[method-assign]  # one odd answer
    bench.cross()
    bench.restart()
    assert bench.life().doubt == doubt


def test_order_of_another_key_is_not_settled_by_this_one(bench: Bench) -> None:
    """What this key does not see may stand in the other's account; other rows fire meanwhile."""
    bench.kraken.replies = [Reply.LOST]
    bench.cross()
    bench.kraken.key_mark = "key-2"
    bench.kraken.orders.clear()  # another account
    other = rule("eth")
    bench.files.rules["eth"] = other
    bench.restart()
    bench.wait(100)
    assert bench.life().state is RuleState.UNCERTAIN
    assert any("another key sent it" in text for _, text in bench.said)
    bench.cross(other)
    assert bench.life("eth").state is RuleState.PLACED


# --- an order from before the start, and the rows beside it ---------------------------------------


def left_in_doubt(doubt: str = "") -> Bench:
    """Return a bench whose program has ended after an answer was lost, and a second row."""
    made = Bench(rule())
    made.kraken.replies = [Reply.LOST]
    made.cross()
    made.files.disk["btc"]["doubt"] = doubt
    made.files.rules["eth"] = rule("eth")  # new at the start, so nothing is to be asked of it
    return made


def test_row_waits_a_moment_for_what_became_of_an_order_from_before() -> None:
    """Once that is settled it has its order, though the price has gone back."""
    made = left_in_doubt()
    made.restart()
    made.cross(rule("eth"))
    assert len(made.kraken.sent) == 1
    assert made.heard("but WAITS until Kraken has said what became of an order from before")
    made.wait(20)
    assert (made.life().state, made.life("eth").state) == (RuleState.PLACED, RuleState.PLACED)
    assert made.placed == 2


@pytest.mark.parametrize("trouble", ["never shown", "never answered"])
def test_what_cannot_be_settled_is_trouble_of_its_own_row(trouble: str) -> None:
    """Another row has its order while its crossing is young, and the one in doubt has no second."""
    made = left_in_doubt(STANDS if trouble == "never shown" else "")
    if trouble == "never shown":
        made.kraken.orders.clear()
    else:
        made.kraken.is_silent = True
    made.restart()
    made.cross(rule("eth"))
    made.wait(SETTINGS.owed - 1)
    assert made.life("eth").state is RuleState.PLACED
    made.cross(rule())
    made.wait(600)
    assert made.life().state is RuleState.UNCERTAIN
    assert [cl_ord_id for _, cl_ord_id, _ in made.kraken.sent].count(made.life().cl_ord_id) == 1


def test_row_that_crosses_later_does_not_wait_for_an_order_that_nobody_finds() -> None:
    """Minutes after the start its order goes out at once."""
    made = left_in_doubt()
    made.kraken.is_silent = True
    made.restart()
    made.wait(120)
    made.cross(rule("eth"))
    assert made.life("eth").state is RuleState.PLACED


def test_clock_that_is_read_anew_makes_nobody_wait_longer() -> None:
    """A search that begins again, as a late copy could come, holds others no longer for it."""
    made = left_in_doubt()
    made.restart()
    made.kraken.is_silent = True
    life = made.life()
    finder = made.worker._finder
    before = finder._searches["btc"].held_until
    made.clock.seconds += 2.0
    ahead = datetime.fromtimestamp(made.clock.seconds + 30, UTC).isoformat()
    made.worker.ledger.put(life._replace(deadline=ahead))
    assert finder.take(Looked("btc", life.cl_ord_id, made.clock.seconds, None)) is None
    assert finder._searches["btc"].held_until == before


def test_order_of_another_row_is_not_found_for_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rows may sell the same; a book that shows the other's order answers no question here."""
    made = Bench(rule(), rule("eth"))
    made.cross(rule("eth"))
    made.kraken.replies = [Reply.LOST]
    made.cross()
    find = made.kraken.find
    monkeypatch.setattr(made.kraken, "find", lambda cl_ord_id, order: Sighting("O1", "open"))
    made.wait(30)
    assert made.life().state is RuleState.UNCERTAIN
    assert made.heard("the answer shows O1, which is the order of eth")
    monkeypatch.setattr(made.kraken, "find", find)
    made.wait(60)
    assert (made.life().order_id, made.life("eth").order_id) == ("O2", "O1")
    assert made.placed == 2


def test_look_that_an_error_of_ours_broke_off_is_repeated_a_moment_later(bench: Bench) -> None:
    """Met by the same error again and again, it comes more and more slowly, and is not given up."""
    bench.kraken.replies = [Reply.LOST]
    bench.cross()
    finder, life = bench.worker._finder, bench.life()
    waits = []
    for _ in range(3):
        bench.clock.seconds += 60
        now = bench.clock.monotonic()
        finder.take_up(Looked(life.id, life.cl_ord_id, now, None))
        waits.append((finder.next_at() or 0.0) - now)
    assert waits == [SETTINGS.ask_again * times for times in (1, 2, 4)]


def test_search_for_what_somebody_else_has_settled_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kraken is not asked again and again for an order that nobody is in doubt about."""
    made = Bench(rule())
    made.kraken.replies = [Reply.NEVER]
    made.cross()
    made.worker.roll.drop_doubt("btc")
    asked: list[str] = []
    monkeypatch.setattr(made.kraken, "find", lambda cl_ord_id, order: asked.append(cl_ord_id))
    made.wait(60)
    assert len(asked) <= 1
    assert not made.worker.is_busy


def test_nobody_else_is_sent_before_two_looks_could_settle_it() -> None:
    """That takes longer than a deadline; then both go out."""
    made = left_in_doubt()
    made.kraken.orders.clear()  # it never came there
    made.restart()
    made.cross(rule("eth"))
    made.wait(SETTINGS.deadline + SETTINGS.deadline_margin + SETTINGS.lookup_gap - 2)
    assert len(made.kraken.sent) == 1
    made.wait(10)
    assert made.life().state is made.life("eth").state is RuleState.PLACED


def test_look_that_began_before_the_deadline_misses_nothing() -> None:
    """However long its answer took: a late copy may have come after the books were read."""
    made = Bench(rule())
    made.kraken.replies = [Reply.LOST]
    made.cross()
    finder, life = made.worker._finder, made.life()
    began = made.clock.seconds + SETTINGS.deadline - 1
    made.clock.seconds += 60
    assert finder.take(Looked("btc", life.cl_ord_id, began, None)) is None
    assert finder._searches["btc"].missed_at is None
    assert finder.take(Looked("btc", life.cl_ord_id, began + 2, None)) is None
    assert finder._searches["btc"].missed_at is not None


def test_second_look_counts_from_when_it_began() -> None:
    """One that began too soon after the first proves nothing, however late its answer came."""
    missed = Search(0.0, missed_at=10.0)
    settles_at = 10.0 + SETTINGS.lookup_gap
    verdict, again = after_look(missed, None, 60.0, SETTINGS, settles_at - 1)
    assert (verdict, again.missed_at) == (Verdict.LOOK_AGAIN, 10.0)
    assert after_look(missed, None, 60.0, SETTINGS, settles_at)[0] is Verdict.NOT_PLACED


def test_those_who_wait_are_seen_to_when_their_wait_is_over() -> None:
    """Though Kraken is asked again only later, or is being asked: nobody else would wake them."""
    made = left_in_doubt()
    made.kraken.is_silent = True
    made.restart()
    finder = made.worker._finder
    until = finder._searches["btc"].held_until
    finder._searches["btc"] = replace(finder._searches["btc"], not_before=until + 30)
    assert finder.next_at() == until
    made.clock.seconds = until
    assert finder.next_at() == until + 30
