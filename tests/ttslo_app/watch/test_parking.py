"""Rules that are parked: every standing, every signal, and what they mean for prices."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kits.rows.watch_kit import ABOVE, BELOW, MARKET, OLD, S, WatchBench, armed, rule
from ttslo_app.clocks import Clocks, Reckoning
from ttslo_app.messages import BookArm
from ttslo_app.rules.rule import WhenBlind
from ttslo_app.watch.crossings import Armed
from ttslo_app.watch.parking import (
    TRANSITIONS,
    Parking,
    Seat,
    Signal,
    Standing,
    StandingError,
)
from ttslo_app.watch.tape import Position, Saved


@pytest.fixture
def bench() -> WatchBench:
    """Hand out a bench with nothing armed."""
    return WatchBench()


def test_notify_fires_at_a_crossing_that_is_seen(bench: WatchBench) -> None:
    """Parked on the far side, equality included; armed by the first price on the near side."""
    bench.arm(WhenBlind.NOTIFY)
    bench.settle()
    bench.go_blind()
    bench.past(2, 51200)
    bench.trade(3, 51100, 51000, 51300)
    assert bench.fired_at == []
    bench.trade(6, 50999)
    bench.trade(7, 51000)
    assert bench.fired_at == [51000]


def test_notify_row_that_was_not_crossed_while_blind_fires_at_once(bench: WatchBench) -> None:
    """A live price beyond waits for the look back, and fires when the hole held no crossing."""
    bench.arm(WhenBlind.NOTIFY)
    bench.settle()
    bench.go_blind()
    bench.trade(3, 51300)
    assert bench.fired_at == []
    bench.past(2, 50500, 51300)
    assert bench.fired_at == [51300]


def test_parked_rule_stays_parked_over_a_restart() -> None:
    """A row that was told of its crossing does not fire because the program was started anew."""
    saved = Saved(900.0, {"BTC/USD": Position(5, 890 * S)}, frozenset({"up"}))
    bench = WatchBench(saved=saved, present=Decimal(51500))
    bench.arm(WhenBlind.NOTIFY, OLD)
    bench.past(6)
    bench.trade(6, 51600)
    assert bench.fired_at == []
    assert bench.watch.places().parked == {"up"}


@pytest.mark.parametrize(
    ("held", "fired"),
    [([50500, 50600, 50700], [51300]), ([50500, 51200, 50700], [51001])],
    ids=["nothing-crossed-in-the-hole", "crossed-in-the-hole"],
)
def test_crossing_that_is_seen_while_a_row_is_parked_just_in_case_counts(
    bench: WatchBench, held: list[int], fired: list[int]
) -> None:
    """A row that is told only of blind times fires on what was seen, if that was the first."""
    bench.arm(WhenBlind.NOTIFY)
    bench.settle()
    bench.go_blind()
    bench.trade(5, 51300, 50900)
    assert bench.fired_at == []
    bench.past(2, *held)
    bench.trade(7, 51001)
    assert bench.fired_at == fired


def test_trade_of_before_a_row_that_is_parked_does_not_count_for_it(bench: WatchBench) -> None:
    """What is seen while a row is parked fires it only if it is younger than the row."""
    bench.now = 1206.0
    bench.arm(WhenBlind.NOTIFY, since="1970-01-01T00:20:05.5+00:00")
    bench.settle()
    bench.go_blind()
    bench.trade(5, 51300, 51400)
    bench.past(2, 50500, 50600, 50700)
    assert bench.fired_at == [51400]


def test_price_that_was_seen_beyond_an_old_threshold_fires_no_new_one(bench: WatchBench) -> None:
    """A row that is edited while a look back is under way waits for its own crossing."""
    bench.arm(WhenBlind.NOTIFY)
    bench.settle()
    bench.go_blind()
    bench.trade(3, 51200)
    bench.arm(WhenBlind.NOTIFY, threshold=60000)
    bench.trade(4, 50500)
    bench.past(1, 50000, 50000, 51200, 50500)
    assert bench.crossings == []
    bench.trade(5, 60000)
    assert bench.fired_at == [60000]


@pytest.mark.parametrize("since", ["", "1970-01-01T00:16:50+00:00"])
def test_row_that_is_told_only_stays_parked_when_its_volume_is_edited(
    bench: WatchBench, since: str
) -> None:
    """It was said that no order is placed until the price comes back: that goes on to hold."""
    bench.arm(WhenBlind.NOTIFY, since=since)
    bench.settle()
    bench.go_blind()
    bench.trade(3, 51200)
    bench.past(2, 51100)
    one = bench.watch.rules["up"].rule
    bench.watch.arm(BookArm(replace(one, volume=Decimal(2)), MARKET, since))
    assert bench.crossings == []
    bench.trade(4, 50900, 51300)
    assert bench.fired_at == [51300]


def test_row_that_is_told_only_stays_parked_while_it_is_blind_again(bench: WatchBench) -> None:
    """An answer for the first blind time arms nothing in the second."""
    bench.arm(WhenBlind.NOTIFY)
    bench.settle()
    bench.go_blind()
    bench.watch.go_blind(["BTC/USD"], bench.now)
    bench.past(2, 50500)
    bench.watch.price("BTC/USD", Decimal(51300))
    assert bench.fired_at == []


def test_crossing_that_was_seen_counts_though_the_next_hole_held_a_later_one(
    bench: WatchBench,
) -> None:
    """The first crossing is the one that was seen; the look back has only younger ones."""
    bench.arm(WhenBlind.NOTIFY)
    bench.settle()
    bench.go_blind()
    bench.trade(3, 51200)
    bench.trade(6, 50900)
    bench.past(2, 50500, 51200, 51400, 51300, 50900)
    assert bench.fired_at == [51200]
    assert bench.found == []


def test_row_that_was_told_of_is_not_told_of_again(bench: WatchBench) -> None:
    """A price that stands beyond, and is known to, is no news after the next blind time."""
    bench.arm(WhenBlind.NOTIFY)
    bench.settle()
    bench.go_blind()
    bench.past(2, 51200)
    bench.said.clear()
    bench.go_blind()
    bench.past(3, 51300)
    assert (bench.said, bench.crossings) == ([], [])


# --- the table -----------------------------------------------------------------------------------


def seat_in(standing: Standing) -> Seat:
    """Return a seat of a standing."""
    seen = "CROSSED" in standing.name
    return Seat(armed(), standing, (Decimal(51200), 5 * S) if seen else None)


@pytest.mark.parametrize("standing", Standing)
@pytest.mark.parametrize("signal", Signal)
def test_each_standing_takes_what_the_table_says_and_nothing_else(
    standing: Standing, signal: Signal
) -> None:
    """A missing pair raises and changes nothing."""
    seat, after = seat_in(standing), TRANSITIONS.get((standing, signal))
    if after is None:
        with pytest.raises(StandingError, match=f"r: {standing.name} takes no {signal.name}"):
            seat.take(signal)
    else:
        seat.take(signal)
    assert seat.standing is (after or standing)


def test_every_standing_can_be_reached_and_none_leads_out() -> None:
    """A rule is out again by leaving alone."""
    assert set(TRANSITIONS.values()) == set(Standing) - {Standing.OUT}


# --- the books -----------------------------------------------------------------------------------


@pytest.fixture
def parking() -> Parking:
    """Hand out a parking that is empty, of which an earlier run had told of `old`."""
    return Parking(WhenBlind.NOTIFY, ["old"])


def test_rule_that_was_told_of_is_known_when_it_comes_again(parking: Parking) -> None:
    """Leaving parked is remembered, until the rule may fire or waits for something else."""
    assert parking.was_told("old")
    parking.enter(armed(rule(rule_id="old")), Signal.TELL)
    assert parking.parked == {"old"}
    assert not parking.was_told("old")
    parking.leave("old")
    assert (parking.was_told("old"), parking.parked) == (True, frozenset({"old"}))
    parking.forget_told("old")
    assert not parking.was_told("old")


@pytest.mark.parametrize("price", [50999, 51000, 51001])
def test_near_side_arms_and_equality_is_the_far_one(parking: Parking, price: int) -> None:
    """A price that would fire a rule arms none that is parked."""
    parking.enter(armed(), Signal.TELL)
    parking.look("BTC/USD", Decimal(price))
    is_armed = price < 51000
    assert ("r" in parking.book, "r" in parking.near) == (is_armed, not is_armed)


def test_trade_seen_in_doubt_counts_when_the_price_has_come_back(parking: Parking) -> None:
    """It is remembered with its moment, until something is known to have crossed before."""
    parking.enter(armed(since=5), Signal.HIDE)
    parking.see("BTC/USD", Decimal(51100), 4 * S)
    parking.see("BTC/USD", Decimal(51200), 5 * S)
    parking.see("BTC/USD", Decimal(51300), 6 * S)
    parking.look("BTC/USD", Decimal(50900))
    seat = parking.seats["r"]
    assert (seat.standing, seat.seen) == (
        Standing.CROSSED_AND_BACK,
        (Decimal(51200), 5 * S),
    )
    parking.outdo(seat)
    assert (seat.standing, seat.seen) == (Standing.ARMED, None)


def test_rule_in_doubt_whose_trade_was_outdone_sees_the_next(parking: Parking) -> None:
    """While nobody knows what happened each trade beyond may be the one that counts."""
    parking.enter(armed(), Signal.HIDE)
    for second in (1, 2):
        parking.see("BTC/USD", Decimal(51200), second * S)
        assert parking.seats["r"].seen == (Decimal(51200), second * S)
        parking.outdo(parking.seats["r"])
    parking.release("BTC/USD")
    assert "r" in parking.book


def test_only_rows_that_are_told_are_hidden(parking: Parking) -> None:
    """Whoever wants an order while blind has it from the first price that is seen again."""
    parking.enter(armed(rule(rule_id="told")), Signal.RELEASE)
    parking.enter(armed(rule(rule_id="always", policy=WhenBlind.ALWAYS)), Signal.RELEASE)
    parking.hide("BTC/USD")
    assert (list(parking.book), list(parking.near)) == (["always"], ["told"])


def test_distance_is_that_of_the_nearest_threshold_and_none_while_a_row_is_parked(
    parking: Parking,
) -> None:
    """Who is nearest to an order is asked about first; a parked row is nearer than any price."""
    assert parking.distance("BTC/USD", Decimal(50000)) == 0.0
    parking.enter(armed(rule(60000, rule_id="far")), Signal.RELEASE)
    parking.enter(armed(rule(rule_id="near")), Signal.RELEASE)
    assert parking.distance("BTC/USD", Decimal(50000)) == pytest.approx(0.02)
    assert parking.distance("BTC/USD", None) == 0.0
    parking.enter(armed(rule(rule_id="parked")), Signal.TELL)
    assert parking.distance("BTC/USD", Decimal(50000)) == 0.0


def test_rule_that_was_taken_out_to_fire_and_did_not_is_on_the_books_again(
    parking: Parking,
) -> None:
    """Those that have left meanwhile stay away."""
    for rule_id in ("a", "b"):
        parking.enter(armed(rule(rule_id=rule_id)), Signal.RELEASE)
    assert sorted(parking.book.crossed("BTC/USD", Decimal(51000))) == ["a", "b"]
    left = parking.leave("b")
    assert left is not None
    assert left.rule.id == "b"
    assert parking.leave("b") is None
    parking.put_back(["a", "b"])
    assert list(parking.book) == ["a"]
    assert [seat.armed.rule.id for seat in parking.seats_of("BTC/USD")] == ["a"]
    assert ("a" in parking, "b" in parking) == (True, False)
    parking.leave("a")
    assert not parking.is_watched("BTC/USD")


_deeds = st.sampled_from(["enter", "leave", "hide", "release", "look", "see", "tell", "outdo"])


@given(st.lists(st.tuples(_deeds, st.sampled_from("ab"), st.integers(98, 102)), max_size=40))
def test_books_hold_each_rule_as_it_stands(deeds: list[tuple[str, str, int]]) -> None:
    """Whatever happens, a rule is in exactly the books of its standing, or in none."""
    parking = Parking(WhenBlind.NOTIFY)
    for moment, (deed, name, price) in enumerate(deeds):
        seat = parking.seat_of(name)
        one = armed(rule(100, ABOVE if name == "a" else BELOW, name))
        if deed == "enter":
            parking.enter(one, Signal.HIDE if price > 100 else Signal.RELEASE)
        elif deed == "leave":
            parking.leave(name)
        elif deed in ("hide", "release"):
            getattr(parking, deed)("BTC/USD")
        elif deed == "look":
            parking.look("BTC/USD", Decimal(price))
        elif deed == "see":
            parking.see("BTC/USD", Decimal(price), moment)
        elif seat is not None:
            with suppress(StandingError):
                getattr(parking, deed)(seat)
    firing = {i for i, seat in parking.seats.items() if not seat.is_parked}
    doubted = {i for i, s in parking.seats.items() if s.standing is Standing.IN_DOUBT}
    crossed = {i for i, s in parking.seats.items() if "CROSSED" in s.standing.name}
    assert set(parking.book) == firing
    assert set(parking.near) == set(parking.seats) - firing
    assert set(parking.doubtful) == doubted
    assert {i for i, seat in parking.seats.items() if seat.seen} == crossed
    assert {one.armed.rule.id for one in parking.seats_of("BTC/USD")} == set(parking.seats)
    assert set(parking.rules) == set(parking.seats)


def test_trade_in_doubt_counts_for_a_rule_whose_moment_is_a_guess() -> None:
    """It came after the arming, whatever hour the machine takes that for."""
    parking = Parking(WhenBlind.NOTIFY)
    guess = Armed(rule(), MARKET, 9_000 * S, since_at=1.0, is_guess=True)
    parking.enter(guess, Signal.HIDE)
    parking.see("BTC/USD", Decimal(51100), 4 * S)
    seat = parking.seat_of("r")
    assert seat is not None
    assert seat.seen == (Decimal(51100), 4 * S)


def test_rule_whose_moment_is_a_guess_is_judged_by_no_past_yet() -> None:
    """Once the time is known it is, from its true moment on."""
    parking = Parking(WhenBlind.NOTIFY)
    parking.enter(Armed(rule(), MARKET, 9_000 * S, since_at=1.0, is_guess=True), Signal.RELEASE)
    parking.enter(armed(rule(rule_id="old"), 5), Signal.RELEASE)
    assert set(parking.waiting("BTC/USD")) == {"old"}
    time = Reckoning(Clocks(lambda: 50.0, lambda: 50.0, lambda: 3.0))
    (right,) = parking.put_right(time)
    assert (right.rule.id, right.since_ns, right.is_guess) == ("r", 48 * S, False)
    assert set(parking.waiting("BTC/USD")) == {"old", "r"}
    assert parking.put_right(time) == []
