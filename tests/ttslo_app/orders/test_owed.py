"""The waiting room, step by step with a clock of the test's own."""

from __future__ import annotations

from decimal import Decimal

import pytest

from krakenlink.rest.verdicts import Pause
from tests.kits.orders.order_bench import SETTINGS, rule
from ttslo_app.messages import Crossing
from ttslo_app.orders.owed import ORDER_GAP, Owed, Why, refusal_wait

NOW = 100.0


@pytest.fixture
def owed() -> Owed:
    """An empty waiting room."""
    return Owed(SETTINGS)


@pytest.fixture
def line(owed: Owed) -> Owed:
    """A line before the gate of BTC/USD, closed at 100 s."""
    owed.close("BTC/USD", Pause.PAIR, NOW)
    return owed


def crossing(name: str, pair: str = "BTC/USD", seen_at: float | None = None) -> Crossing:
    """Return a crossing of a rule of that name."""
    return Crossing(rule(name, pair=pair), Decimal(50001), "50001", seen_at=seen_at)


def stand(owed: Owed, name: str, pair: str = "BTC/USD") -> None:
    """Let somebody stand at the end of the line, as the desk does."""
    if not owed.has(name, Why.PACE):
        owed.wait(owed.take(crossing(name, pair), NOW), Why.PACE)


def due(owed: Owed, now: float, *, settling: bool = False, bad_disk: bool = False) -> list[str]:
    """Return whose turn it is now; those who stood in line are gone afterwards."""
    names = []
    for wait in owed.due(now, is_settling=settling, is_disk_bad=bad_disk):
        names.append(wait.crossing.key)
        if wait.why is Why.PACE:
            owed.settle(wait.crossing.key)
    return names


# --- coming and going --------------------------------------------------------------------------


def test_age_of_a_crossing_counts_from_when_it_was_seen(owed: Owed) -> None:
    """Neither being taken up late nor being tried again makes it young."""
    taken = owed.take(crossing("a", seen_at=70.0), NOW)
    owed.refuse(taken, NOW)
    taken = owed.take(taken, 140.0)
    owed.refuse(taken, 140.0)
    (wait,) = owed
    assert wait.since == wait.crossing.seen_at == 70.0


def test_crossing_of_unknown_age_is_seen_when_it_is_taken(owed: Owed) -> None:
    """Callers that hand in a price say no moment."""
    assert owed.take(crossing("a"), NOW).seen_at == NOW


def test_further_crossing_of_a_rule_is_as_old_as_the_first(owed: Owed) -> None:
    """A rule stands once, and owes one order, whatever is told of it again."""
    owed.wait(owed.take(crossing("a"), NOW), Why.DISK)
    assert owed.take(crossing("a"), 130.0).seen_at == NOW
    assert len(list(owed)) == 1


def test_crossing_that_is_in_hand_is_here_so_that_no_error_loses_it(owed: Owed) -> None:
    """Even if nobody took it up again, it would fall due by itself."""
    owed.take(crossing("a"), NOW)
    assert "a" in owed
    assert due(owed, NOW) == []
    assert due(owed, NOW + SETTINGS.refusal_wait) == ["a"]


def test_refusals_back_off_from_one_second_to_sixty() -> None:
    """The pause doubles from 1 s and ends at 60 s, however often Kraken refuses."""
    assert [refusal_wait(n, SETTINGS) for n in (1, 2, 3, 7, 8, 10_000)] == [1, 2, 4, 60, 60, 60]


def test_refusals_are_counted_until_the_rule_begins_anew(owed: Owed) -> None:
    """They outlive the crossing; an order that was placed ends them."""
    for expected in (1.0, 2.0):
        owed.refuse(owed.take(crossing("a"), NOW), NOW)
        assert owed.next_at() == NOW + expected
        owed.settle("a")
    owed.begin_anew("a")
    owed.refuse(owed.take(crossing("a"), NOW), NOW)
    assert owed.next_at() == NOW + 1.0


# --- whose turn it is --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("why", "settling", "bad_disk", "is_due"),
    [
        (Why.SETTLING, True, False, False),
        (Why.SETTLING, False, True, True),
        (Why.DISK, False, True, False),
        (Why.DISK, True, False, False),
        (Why.DISK, False, False, True),
        (Why.PACE, True, False, False),
        (Why.PACE, False, True, True),
    ],
)
def test_what_waits_for_no_moment_is_due_when_its_reason_is_gone(
    owed: Owed, why: Why, settling: bool, bad_disk: bool, is_due: bool
) -> None:
    """An order from before the start holds all of these back, a bad disk its own alone."""
    owed.wait(owed.take(crossing("a"), NOW), why)
    assert due(owed, NOW, settling=settling, bad_disk=bad_disk) == ["a"] * is_due


@pytest.mark.parametrize("why", [Why.ROW, Why.HEALING, Why.IN_HAND])
def test_what_waits_for_a_moment_is_due_then(owed: Owed, why: Why) -> None:
    """Not before, and in whatever state disk and recovery are."""
    owed.wait(owed.take(crossing("a"), NOW), why, NOW + 5)
    assert owed.next_at() == NOW + 5
    assert due(owed, NOW + 4.9) == []
    assert due(owed, NOW + 5, settling=True, bad_disk=True) == ["a"]


@pytest.mark.parametrize(
    ("why", "limit"), [(Why.PACE, SETTINGS.in_line), (Why.HEALING, SETTINGS.owed)]
)
def test_crossing_is_young_for_a_minute_and_longer_in_line(
    owed: Owed, why: Why, limit: float
) -> None:
    """Beyond that today's price has to meet the threshold again."""
    owed.wait(owed.take(crossing("a"), NOW), why)
    (wait,) = owed
    assert wait.is_young(NOW + limit, SETTINGS)
    assert not wait.is_young(NOW + limit + 0.1, SETTINGS)


@pytest.mark.parametrize(
    ("why", "at", "held_back", "pressing", "unwritten"),
    [
        (Why.PACE, float("inf"), True, True, True),
        (Why.DISK, float("inf"), False, True, True),
        (Why.SETTLING, float("inf"), False, True, True),
        (Why.HEALING, NOW + 1, True, False, False),
        (Why.HEALING, NOW, False, False, False),
        (Why.ROW, NOW + 1, True, False, False),
    ],
)
def test_what_others_are_told_of_a_rule_that_waits(
    owed: Owed, why: Why, at: float, held_back: bool, pressing: bool, unwritten: bool
) -> None:
    """Whether it is to be tried by hand, waited for at the end, and known to state.csv."""
    owed.wait(owed.take(crossing("a"), NOW), why, at)
    assert owed.is_held_back("a", NOW) is held_back
    assert owed.is_pressing is pressing
    assert owed.has_unwritten(lambda rule_id: rule_id == "a") is unwritten
    assert owed.has_unwritten(lambda rule_id: False)


def test_nobody_waits_in_an_empty_room(owed: Owed) -> None:
    """Then there is nothing to wake up for, and nothing to lose."""
    assert (owed.next_at(), owed.is_pressing, owed.count(Why.PACE)) == (None, False, 0)
    assert not owed.is_held_back("a", NOW)
    assert not owed.has_unwritten(lambda rule_id: False)
    assert owed.settle("a") is None


# --- Kraken's pace -----------------------------------------------------------------------------


def test_gate_is_closed_for_its_pair_only(line: Owed) -> None:
    """Kraken counts per pair: others go on."""
    assert line.is_closed("BTC/USD")
    assert not line.is_closed("ETH/USD")


def test_pause_of_the_account_closes_every_pair(line: Owed) -> None:
    """A limit on the key holds back whatever it trades, one at a time."""
    line.close("ETH/USD", Pause.ACCOUNT, 100.0)
    stand(line, "a", "SOL/USD")
    stand(line, "b", "ETH/USD")
    assert line.is_closed("SOL/USD")
    assert due(line, 102.0) == ["a"]
    assert due(line, 102.0 + ORDER_GAP) == ["b"]


def test_first_come_first_served_and_the_refused_one_before_all(line: Owed) -> None:
    """The order of the crossings is the order of the orders; coming twice changes nothing."""
    for name in ("b", "c", "b"):
        stand(line, name)
    line.stand_first(line.take(crossing("a"), 101.0))
    moments = [102.0, 102.5, 102.0 + ORDER_GAP, 103.0 + ORDER_GAP, 102.0 + 2 * ORDER_GAP]
    assert [due(line, moment) for moment in moments] == [["a"], [], ["b"], [], ["c"]]


def test_two_pairs_move_side_by_side(line: Owed) -> None:
    """One of each pair is let through at a time."""
    line.close("ETH/USD", Pause.PAIR, 100.0)
    for name, pair in (("a", "BTC/USD"), ("b", "BTC/USD"), ("c", "ETH/USD")):
        stand(line, name, pair)
    assert due(line, 102.0) == ["a", "c"]


def test_refusals_in_a_row_lengthen_the_wait_until_an_order_is_taken(line: Owed) -> None:
    """Kraken's pauses get longer for those who call on; a minute is the longest of ours."""
    waits = []
    for _ in range(6):
        line.close("BTC/USD", Pause.PAIR, 200.0)
        waits.append((line.next_at() or 0.0) - 200.0)
    assert waits == [4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    line.passed("BTC/USD")
    line.close("BTC/USD", Pause.PAIR, 300.0)
    assert line.next_at() == 302.0


def test_gate_that_nobody_waits_for_is_taken_down_when_it_opens(line: Owed) -> None:
    """The pace is given free again once the line is empty and its time has passed."""
    assert due(line, 101.0) == []
    assert line.is_closed("BTC/USD")
    assert due(line, 102.0) == []
    assert not line.is_closed("BTC/USD")
    assert line.next_at() is None


def test_gate_stays_while_somebody_waits(line: Owed) -> None:
    """Those who come while the line moves stand at its end."""
    stand(line, "a")
    stand(line, "b")
    due(line, 500.0)
    assert line.is_closed("BTC/USD")
    assert line.count(Why.PACE) == 1


def test_whoever_leaves_is_not_let_through(line: Owed) -> None:
    """A row that is gone does not come up, even while the line moves."""
    line.close("ETH/USD", Pause.PAIR, 100.0)
    stand(line, "a")
    stand(line, "b", "ETH/USD")
    turns = line.due(102.0, is_settling=False, is_disk_bad=False)
    assert next(turns).crossing.key == "a"
    line.settle("b")
    line.settle("nobody")
    assert list(turns) == []
    assert "b" not in line


def test_who_came_too_late_stands_before_all_a_few_times(line: Owed) -> None:
    """It was let through in its turn; the fourth time in a row something else is the matter."""
    for name in "abc":
        stand(line, name)
    for _ in range(3):
        line.overdue(crossing("b", seen_at=NOW), NOW)
        assert [wait.crossing.key for wait in line] == ["b", "a", "c"]
        assert line.has("b", Why.PACE)
    line.overdue(crossing("b", seen_at=NOW), NOW)
    assert line.has("b", Why.HEALING)
    line.begin_anew("b")
    line.overdue(crossing("b", seen_at=NOW), NOW)
    assert line.has("b", Why.PACE)


def test_who_came_too_late_while_no_line_stands_goes_at_once_and_then_slower(owed: Owed) -> None:
    """As after a lost answer."""
    moments = []
    for _ in range(4):
        owed.overdue(crossing("a", seen_at=NOW), NOW)
        moments.append(next(iter(owed)).at - NOW)
    assert moments == [0.0, 1.0, 2.0, 4.0]


def test_refusal_of_one_closes_the_gate_of_the_next(line: Owed) -> None:
    """What Kraken has just refused for the whole account it refuses of another pair, too."""
    line.close("ETH/USD", Pause.PAIR, 100.0)
    stand(line, "a")
    stand(line, "b", "ETH/USD")
    turns = line.due(102.0, is_settling=False, is_disk_bad=False)
    assert next(turns).crossing.key == "a"
    line.close("BTC/USD", Pause.ACCOUNT, 102.0)
    assert list(turns) == []


def test_next_moment_is_one_at_which_somebody_can_pass(line: Owed) -> None:
    """Behind two gates the later one counts: nobody is woken again and again for nothing."""
    line.close("ETH/USD", Pause.ACCOUNT, 100.0)
    line.close("ETH/USD", Pause.ACCOUNT, 110.0)
    stand(line, "a")
    assert due(line, 103.0) == []
    assert line.next_at() == 114.0
    stand(line, "b")
    assert due(line, 114.0) == ["a"]
    assert line.next_at() == 114.0 + ORDER_GAP


@pytest.mark.parametrize(("age", "is_old"), [(0.0, False), (60.0, False), (60.5, True)])
def test_crossing_that_nobody_took_up_in_time_has_grown_old(age: float, is_old: bool) -> None:
    """It is as old as the moment when it was seen, however long it lay in the inbox."""
    owed = Owed(SETTINGS)
    taken = owed.take(Crossing(rule(), Decimal(50001), "50001", seen_at=100.0), 100.0 + age)
    found = owed.grown_old([taken], 100.0 + age)
    assert [wait.since for wait in found] == ([100.0] if is_old else [])
