"""What one address is told, and when: levels, repeats, floods, bounds, failures."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttslo_app.face.outbox import (
    GAP,
    GATHER,
    LONGEST_BODY,
    LONGEST_GAP,
    MOST_FACTS,
    QUIET,
    REPEAT,
    RETRY,
    URGENT_GAP,
    Day,
    Level,
    Outbox,
    Parcel,
)
from ttslo_app.messages import Kind, Said

WALL = 1_800_000_000.0
PLACED = "btc: BTC/USD crossed; order OAAAAA-BBBBB-CCCCCC placed"


def said(
    text: str = PLACED,
    kind: Kind = Kind.PLACED,
    level: str = "INFO",
    row: str = "btc",
    at: float = WALL,
) -> Said:
    """Return something that was said."""
    return Said(kind, level, row, text, at)


def blind(seconds: int = 11, at: float = WALL) -> Said:
    """Return that the link is down, in words that differ by the second alone."""
    text = f"blind since 12:03:{seconds}Z for BTC/USD: gone"
    return said(text, Kind.LINK, "WARNING", "", at)


def back(at: float = WALL) -> Said:
    """Return that the link is up again."""
    return said("sees again after 41 s", Kind.LINK, "INFO", "", at)


def parcel_of(box: Outbox, now: float) -> Parcel:
    """Return what is sent at a moment, and say that it arrived."""
    found = box.parcel(now)
    assert found is not None
    box.sent()
    return found


# --- levels ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "level", "told"),
    [
        (Kind.PLACED, "INFO", "orders warnings all"),
        (Kind.FILLED, "INFO", "orders warnings all"),
        (Kind.ENDED, "ERROR", "orders warnings all"),
        (Kind.REFUSED, "ERROR", "orders warnings all"),
        (Kind.UNCERTAIN, "WARNING", "orders warnings all"),
        (Kind.NOT_PLACED, "WARNING", "orders warnings all"),
        (Kind.CROSSED_BLIND, "WARNING", "orders warnings all"),
        (Kind.START, "INFO", "orders warnings all"),
        (Kind.STOP, "INFO", "orders warnings all"),
        (Kind.KEY, "ERROR", "orders warnings all"),
        (Kind.DISK, "ERROR", "orders warnings all"),
        (Kind.CONFIG, "ERROR", "orders warnings all"),
        (Kind.CONFIG, "WARNING", "warnings all"),
        (Kind.LINK, "WARNING", "warnings all"),
        (Kind.LINK, "INFO", "warnings all"),
        (Kind.DIGEST, "INFO", "warnings all"),
        (Kind.ARMED, "WARNING", "warnings all"),
        (Kind.ARMED, "INFO", "all"),
        (Kind.CHECK, "DEBUG", ""),
        (Kind.PLACED, "DEBUG", ""),
    ],
)
def test_level_decides_what_an_address_is_told(kind: Kind, level: str, told: str) -> None:
    """Orders for all, trouble for who wants it, and where a person must act for everybody."""
    for one in Level:
        box = Outbox(one)
        box.take(said("something", kind, level), "", 0.0)
        assert (box.parcel(GATHER) is not None) is (one in told.split()), one


def test_who_was_told_of_an_error_is_told_that_it_is_over() -> None:
    """Of trouble that only warns, who wants orders alone hears neither begin nor end."""
    box = Outbox(Level.ORDERS)
    box.take(said("the key works again", Kind.KEY, "WARNING", ""), "", 0.0)
    assert box.count == 0
    box.take(said("the key is refused", Kind.KEY, "ERROR", ""), "", 0.0)
    box.take(said("the key works again", Kind.KEY, "WARNING", ""), "", 0.1)
    box.take(said("the key is fine", Kind.KEY, "WARNING", ""), "", 0.2)
    assert [fact.said.text for fact in parcel_of(box, GATHER).facts] == [
        "the key is refused",
        "the key works again",
    ]


# --- a message ---------------------------------------------------------------------------------


def test_message_has_what_the_run_is_the_moment_and_the_note() -> None:
    """Nobody takes a rehearsal for the real thing, and finds the own words beside the row."""
    box = Outbox(Level.ORDERS, "DRY RUN")
    box.take(said(), "half of the savings", 0.0)
    parcel = parcel_of(box, GATHER)
    assert parcel.title == "TTSLO DRY RUN: order placed (btc)"
    assert parcel.body == f"08:00:00Z {PLACED}\nNote: half of the savings"
    assert (parcel.level, parcel.is_good) == ("INFO", True)


def test_message_for_real_money_has_no_mark_and_trouble_is_not_good() -> None:
    """The worst of what is told is the level of the message."""
    box = Outbox(Level.ORDERS)
    box.take(said(), "", 0.0)
    box.take(said("btc: NOT PROTECTED", Kind.REFUSED, "ERROR"), "", 0.0)
    parcel = parcel_of(box, GATHER)
    assert parcel.title == "TTSLO: order placed, order refused"
    assert (parcel.level, parcel.is_good) == ("ERROR", False)
    assert parcel.body.splitlines() == [f"08:00:00Z {PLACED}", "08:00:00Z btc: NOT PROTECTED"]


def test_nothing_is_sent_before_what_belongs_together_is_there() -> None:
    """A moment is waited, and an empty box has nothing to send at any time."""
    box = Outbox(Level.ORDERS)
    assert (box.due_at(), box.parcel(1e9)) == (None, None)
    box.take(said(), "", 5.0)
    assert box.due_at() == 5.0 + GATHER
    assert box.parcel(5.0 + GATHER / 2) is None
    assert parcel_of(box, 5.0 + GATHER).facts
    assert box.due_at() is None


def test_last_message_waits_for_nothing() -> None:
    """At the end there is no later."""
    box = Outbox(Level.ORDERS)
    box.take(said(), "", 5.0)
    assert box.parcel(5.0, is_ending=True) is not None


def test_text_of_others_that_is_long_is_cut() -> None:
    """One sentence does not fill a message."""
    box = Outbox(Level.ALL)
    box.take(said("x" * 5000, Kind.LINK, "WARNING", ""), "", 0.0)
    body = parcel_of(box, GATHER).body
    assert len(body) <= 400
    assert body.endswith("...")


# --- floods ------------------------------------------------------------------------------------


def test_thousand_events_in_a_second_are_one_message_within_its_bounds() -> None:
    """All are counted, those where a person must act are listed, memory is bounded."""
    box = Outbox(Level.ORDERS)
    for number in range(1000):
        bad = number in (10, 990)
        text = f"r{number}: NOT PROTECTED" if bad else f"r{number}: order O{number} placed"
        kind, level = (Kind.REFUSED, "ERROR") if bad else (Kind.PLACED, "INFO")
        box.take(said(text, kind, level, f"r{number}", WALL + number / 1000), "", number / 1000)
        assert sum(map(len, box._waiting)) <= MOST_FACTS
    parcel = parcel_of(box, GATHER + 1)
    assert parcel.title == "TTSLO: 998 order placed, 2 order refused"
    assert len(parcel.body) <= LONGEST_BODY
    assert "r10: NOT PROTECTED" in parcel.body
    assert "r990: NOT PROTECTED" in parcel.body
    listed = len(parcel.body.splitlines()) - 1
    assert f"and {1000 - listed} more that are in the log: {1000 - listed} order placed" in (
        parcel.body
    )
    assert box.count == 0


def test_messages_that_follow_each_other_come_ever_slower_and_quiet_ends_that() -> None:
    """A flood that lasts is a message a minute; after it the next fact is told at once."""
    box, now, sent_at = Outbox(Level.ORDERS), 0.0, list[float]()
    for number in range(1000):
        box.take(said(f"order {number} placed"), "", now)
        if box.parcel(now) is not None:
            box.sent()
            sent_at.append(now)
        now += 0.5
    gaps = [later - earlier for earlier, later in pairwise(sent_at)]
    assert gaps == sorted(gaps)
    assert gaps[-1] == LONGEST_GAP
    assert len(sent_at) < 20
    box.parcel(now + LONGEST_GAP)
    now += 1000
    for moment in (now, now + 100):
        box.take(said(f"order at {moment}"), "", moment)
        assert box.parcel(moment + GATHER) is not None
    assert box._gap == GAP


def test_orders_that_come_one_by_one_are_each_told_at_once_until_they_are_many() -> None:
    """A handful in a minute is no flood; services refuse who sends without an end."""
    box, waits = Outbox(Level.ORDERS), list[float]()
    for number in range(30):
        at = number * 4.0
        box.take(said(f"order {number} placed"), "", at)
        due = box.due_at()
        assert due is not None
        waits.append(due - at)
        if box.parcel(min(due, at + 3.9)) is not None:
            box.sent()
    assert waits[:10] == [GATHER] * 10
    assert max(waits) > 10.0
    assert sum(wait == GATHER for wait in waits) < 20


def test_flood_holds_up_nothing_on_which_a_person_must_act() -> None:
    """It is told within ten seconds, also while other messages come once a minute."""
    box, now = Outbox(Level.ORDERS), 0.0
    while box._gap < LONGEST_GAP:
        for number in range(9):
            box.take(said(f"order {now} {number} placed"), "", now)
        now = box.due_at() or now
        parcel_of(box, now)
    box.take(said("order placed"), "", now + 1)
    assert box.due_at() == now + LONGEST_GAP
    box.take(said("btc: NOT PROTECTED", Kind.REFUSED, "ERROR"), "", now + 2)
    assert box.due_at() == now + URGENT_GAP
    parcel = box.parcel(now + URGENT_GAP)
    assert parcel is not None
    box.failed(parcel, now + 20, is_unknown=False)
    box.take(said("eth: NOT PROTECTED", Kind.REFUSED, "ERROR", "eth"), "", now + 21)
    assert box.due_at() == now + 20 + RETRY


@given(st.lists(st.tuples(st.sampled_from(Kind), st.sampled_from(["INFO", "ERROR"])), max_size=60))
def test_every_fact_is_listed_or_counted(events: list[tuple[Kind, str]]) -> None:
    """Nothing is lost without a word, and no message is too long."""
    box = Outbox(Level.ALL)
    for number, (kind, level) in enumerate(events):
        row = f"row{'abcdefghijklmnopqrstuvwxyz'[number % 26]}{number // 26 * 'z'}"
        box.take(said(f"{row} happened", kind, level, row), "", 0.0)
    parcel = box.parcel(GATHER)
    if not events:
        assert parcel is None
        return
    assert parcel is not None
    lines = [line for line in parcel.body.splitlines() if "happened" in line]
    counted = [line for line in parcel.body.splitlines() if line.startswith("and ")]
    more = int(counted[0].split()[1]) if counted else 0
    assert len(lines) + more == len(events)
    assert len(parcel.body) <= LONGEST_BODY + 300
    errors = sum(level == "ERROR" for _, level in events)
    assert sum(fact.said.level == "ERROR" for fact in parcel.facts) == errors


def test_what_nobody_heard_is_counted() -> None:
    """Where more was said than could be heard, that is told."""
    box = Outbox(Level.ORDERS)
    box.missed(7, 0.0)
    assert "7 more that are in the log" in parcel_of(box, GATHER).body


# --- repeats -----------------------------------------------------------------------------------


def test_same_trouble_is_told_at_doubled_pauses_with_how_often_it_was() -> None:
    """A link that flaps all night is a handful of messages, whatever the figures in them."""
    box, told = Outbox(Level.WARNINGS), list[tuple[float, Parcel]]()
    for second in range(0, 7200, 10):
        now = float(second)
        box.take(blind(10 + second % 50, WALL + now), "", now)
        found = box.parcel(now)
        if found is not None:
            box.sent()
            told.append((now, found))
    moments = [moment for moment, _ in told]
    assert moments == [10.0, REPEAT, 3 * REPEAT, 7 * REPEAT, 15 * REPEAT]
    assert "(30 times since 08:00:10Z)" in told[1][1].body
    assert "(60 times since" in told[2][1].body


def test_last_word_on_trouble_that_comes_and_goes_is_how_it_stands_now() -> None:
    """What was held back is told together, the newest last: nobody is left with half of it."""
    box = Outbox(Level.WARNINGS)
    box.take(blind(at=WALL), "", 0.0)
    box.take(back(WALL + 20), "", 20.0)
    parcel_of(box, 25.0)
    box.take(blind(at=WALL + 100), "", 100.0)
    box.take(back(WALL + 110), "", 110.0)
    assert box.count == 0
    assert box.due_at() == REPEAT
    lines = parcel_of(box, REPEAT).body.splitlines()
    assert ["blind" in line for line in lines] == [True, False]


def test_after_a_quiet_time_trouble_is_told_at_once_again() -> None:
    """Doubled pauses are for what goes on, not for what happens once a day."""
    box = Outbox(Level.WARNINGS)
    for begin in (0.0, 2 * QUIET):
        box.take(blind(), "", begin)
        parcel_of(box, begin + GATHER)
        box.take(blind(), "", begin + 20)
        assert box.due_at() == begin + REPEAT
        parcel_of(box, begin + REPEAT)


def test_orders_that_differ_in_a_figure_are_each_told() -> None:
    """Each event of an order is one of its own; the same words twice are a repeat."""
    box = Outbox(Level.ORDERS)
    for volume in ("0.004", "0.006", "0.006"):
        box.take(said(f"btc: order O1 is partly filled: {volume}", Kind.FILLED), "", 0.0)
    assert len(parcel_of(box, GATHER).facts) == 2


def test_same_trouble_of_two_rows_is_two_facts() -> None:
    """The row is part of what is told."""
    box = Outbox(Level.WARNINGS)
    for row in ("a", "b"):
        box.take(said("refused: volume 0", Kind.CONFIG, "ERROR", row), "", 0.0)
    assert len(parcel_of(box, GATHER).facts) == 2


def test_what_is_remembered_has_a_bound_and_what_falls_out_of_it_is_told() -> None:
    """A held repeat of a fact that is forgotten is not lost."""
    box = Outbox(Level.WARNINGS)
    box.take(said("first", Kind.LINK, "WARNING", "r"), "", 0.0)
    box.take(said("first", Kind.LINK, "WARNING", "r"), "", 0.0)
    parcel_of(box, GATHER)
    for number in range(1000):
        box.take(said("x", Kind.CONFIG, "WARNING", f"row{number}"), "", 2.0)
    assert len(box._told) == 1000
    texts = {fact.said.text for fact in parcel_of(box, 200.0).facts}
    assert texts <= {"first", "x"}
    assert len(box._told) == 1000


# --- failures ----------------------------------------------------------------------------------


def test_message_that_did_not_arrive_is_sent_again_at_doubled_pauses_with_what_came_since() -> None:
    """Nothing is lost to a service that is away for a while."""
    box, now = Outbox(Level.ORDERS), GATHER
    box.take(said("one"), "", 0.0)
    waits = []
    for number in range(12):
        parcel = box.parcel(now)
        assert parcel is not None
        assert len(parcel.facts) == number + 1
        box.failed(parcel, now, is_unknown=False)
        box.take(said(f"and {number}"), "", now)
        due = box.due_at()
        assert due is not None
        waits.append(due - now)
        now = due
    assert waits[:3] == [RETRY, 2 * RETRY, 4 * RETRY]
    assert max(waits) == 600.0
    assert len(parcel_of(box, now).facts) == 13
    box.take(said("at last"), "", now + 100)
    assert box.due_at() == now + 100 + GATHER


def test_message_of_unknown_fate_is_sent_once_more_with_a_word_on_that_and_then_counted() -> None:
    """A service that takes messages and never answers is not told the same for ever."""
    box = Outbox(Level.ORDERS)
    box.take(said(), "", 0.0)
    first = box.parcel(GATHER)
    assert first is not None
    box.failed(first, 20.0, is_unknown=True)
    second = box.parcel(60.0)
    assert second is not None
    assert "(may have been told before)" in second.body
    box.failed(second, 80.0, is_unknown=True)
    box.take(said("news"), "", 80.0)
    third = box.parcel(200.0)
    assert third is not None
    assert [fact.said.text for fact in third.facts] == ["news"]
    assert "1 earlier messages may not have arrived" in third.body


def test_service_that_is_away_for_days_costs_bounded_memory_and_errors_stay() -> None:
    """Beyond the bound the least urgent are only counted."""
    box = Outbox(Level.ALL)
    box.take(said("NOT PROTECTED", Kind.REFUSED, "ERROR"), "", 0.0)
    parcel = box.parcel(GATHER)
    assert parcel is not None
    box.failed(parcel, GATHER, is_unknown=False)
    for number in range(3000):
        box.take(said(f"armed: {number}", Kind.ARMED, row=f"r{number}"), "", 2.0)
    assert box.count == 3001
    assert sum(map(len, box._waiting)) == MOST_FACTS
    assert "NOT PROTECTED" in parcel_of(box, 100.0).body


# --- the day -----------------------------------------------------------------------------------


def test_day_counts_orders_and_warnings_and_begins_anew() -> None:
    """The digest tells of one day."""
    day = Day()
    for one in (said(), said(), said(kind=Kind.FILLED), blind(), back()):
        day.take(one)
    assert day.told() == "2 order placed, order filled; 1 warnings"
    assert day.told() == "no order"
