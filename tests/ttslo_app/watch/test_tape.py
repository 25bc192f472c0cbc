"""The tape alone: numbers, holes, and what is kept of them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakenlink.pairs import Symbol
from krakenlink.stream.events import TradePrint
from ttslo_app.messages import Past
from ttslo_app.watch.tape import MarketTape, Position, Saved

S = 1_000_000_000
BTC = Symbol("BTC/USD")


def prints(*numbers: int) -> tuple[TradePrint, ...]:
    """Return prints with these numbers; number n is of second n."""
    return tuple(
        TradePrint(BTC, Decimal(100), Decimal(1), n, f"1970-01-01T00:{n // 60:02}:{n % 60:02}Z")
        for n in numbers
    )


def past(*numbers: int) -> list[Past]:
    """Return trades of REST with these numbers; number n is of second n."""
    return [Past(n, Decimal(100), n * S) for n in numbers]


def tape_at(number: int = 10) -> MarketTape:
    """Return a tape in the good case: it begins after `number` and nobody was ever blind."""
    tape = MarketTape(Position(number, number * S), float(number))
    tape.close(None, float(number), is_cut=False)
    return tape


def seen(tape: MarketTape, *numbers: int) -> tuple[list[int], bool]:
    """Let the tape see one frame; return the numbers that are fresh, and if there is a hole."""
    fresh, has_hole = tape.see(prints(*numbers))
    return [p.trade_id for p in fresh], has_hole


# --- numbers and holes ---------------------------------------------------------------------------


def test_numbers_in_order_leave_no_hole() -> None:
    """Frames that go on where the last one ended are fresh, and move the floor."""
    tape = tape_at(10)
    assert seen(tape, 11, 12) == ([11, 12], False)
    assert seen(tape, 13) == ([13], False)
    assert tape.floor == Position(13, 13 * S)
    assert not tape.is_open


def test_print_is_live_once() -> None:
    """What was on the stream before is not looked at again, alone or among fresh ones."""
    tape = tape_at(10)
    seen(tape, 11, 12)
    assert seen(tape, 12) == ([], False)
    assert seen(tape, 11, 12, 13) == ([13], False)


@pytest.mark.parametrize("frame", [(13,), (11, 13)])
def test_missing_number_is_a_hole_and_the_floor_stays_before_it(frame: tuple[int, ...]) -> None:
    """A number that does not follow opens a hole, between frames and inside one."""
    tape = tape_at(10)
    assert seen(tape, *frame) == (list(frame), True)
    assert tape.is_open
    assert tape.floor.trade_id == frame[-2] if len(frame) > 1 else 10
    assert seen(tape, 14) == ([14], False)


def test_unseen_is_what_lies_in_the_holes() -> None:
    """Of REST's answer only what the stream did not bring is left, in order."""
    tape = tape_at(10)
    seen(tape, 13, 14)
    seen(tape, 17)
    assert [p.trade_id for p in tape.unseen(past(*range(9, 20)))] == [11, 12, 15, 16, 18, 19]


def test_close_takes_the_floor_to_the_newest() -> None:
    """Closed holes leave one unbroken run, and the next number follows it."""
    tape = tape_at(10)
    seen(tape, 13)
    assert tape.close(past(15)[0], 20.0, is_cut=False)
    assert tape.floor == Position(15, 15 * S)
    assert not tape.is_open
    assert seen(tape, 16) == ([16], False)


def test_close_waits_for_rest_to_reach_the_stream() -> None:
    """REST that lags behind the stream closes nothing, unless candles stand for the rest."""
    tape = tape_at(10)
    seen(tape, 15)
    assert not tape.close(past(12)[0], 20.0, is_cut=False)
    assert tape.tries == 1
    assert tape.is_open
    assert tape.close(past(12)[0], 20.0, is_cut=True)
    assert tape.floor.trade_id == 15


def test_print_that_rest_gave_first_is_still_live() -> None:
    """A live print counts as live even if the look back was faster; it opens no hole."""
    tape = tape_at(10)
    tape.go_blind(10.0)
    tape.close(past(12)[0], 20.0, is_cut=False)
    assert seen(tape, 12) == ([12], False)
    assert tape.floor.trade_id == 12


def test_opening_begins_at_a_moment_and_closes_with_the_first_numbers() -> None:
    """A tape that knows only a moment asks for what came since, and is exact from then on."""
    tape = MarketTape(Position(None, 5 * S), 5.0)
    assert tape.is_opening
    assert seen(tape, 7) == ([7], True)
    assert [p.trade_id for p in tape.unseen(past(3, 4, 5, 6, 7))] == [4, 5, 6]
    assert tape.close(past(7)[0], 9.0, is_cut=False)
    assert tape.floor == Position(7, 7 * S)


def test_reach_back_moves_a_beginning_that_is_only_a_moment() -> None:
    """Rules older than the first one that was armed are served, too; numbers are not left."""
    tape = MarketTape(Position(None, 50 * S), 50.0)
    tape.reach_back(20 * S)
    tape.reach_back(30 * S)
    assert tape.floor.at_ns == 20 * S
    known = tape_at(10)
    known.reach_back(0)
    assert known.floor == Position(10, 10 * S)


def test_market_that_never_trades_is_not_blind_for_ever() -> None:
    """Where there is no trade at all, the next look back begins about where this one ended."""
    tape = MarketTape(Position(None, 50 * S), 50.0)
    assert tape.close(None, 100.0, is_cut=False)
    assert tape.floor == Position(None, 95 * S)
    assert not tape.is_open


def test_span_is_the_time_nobody_looked() -> None:
    """Blind time lasts from the loss to the return, or to now while it lasts."""
    tape = tape_at(10)
    tape.go_blind(12.0)
    tape.go_blind(14.0)
    assert tape.span(30.0) == (12.0, 30.0)
    tape.see_again(20.0)
    assert tape.span(30.0) == (12.0, 20.0)


def test_hole_in_the_numbers_spans_its_neighbours() -> None:
    """Without a lost link the blind time is that between the trades around the hole."""
    tape = tape_at(10)
    seen(tape, 11, 15)
    assert tape.span(30.0) == (11.0, 15.0)
    assert not tape.is_reported


_frames = st.lists(st.integers(1, 6), min_size=1, max_size=30)


@given(_frames, st.sets(st.integers(0, 29)), st.sets(st.integers(0, 29)))
def test_each_trade_is_looked_at_exactly_once(
    sizes: list[int], lost: set[int], asked: set[int]
) -> None:
    """Whatever frames are lost, live prints and walked ones together are every trade, once."""
    tape, number = tape_at(0), 0
    looked_at: list[int] = []

    def ask() -> None:
        everything = past(*range(1, number + 1))
        looked_at.extend(p.trade_id for p in tape.unseen(everything))
        assert tape.close(everything[-1], 1.0, is_cut=False)

    for place, size in enumerate(sizes):
        frame = range(number + 1, number + 1 + size)
        number += size
        if place not in lost:
            looked_at.extend(seen(tape, *frame)[0])
        if place in asked:
            ask()
    ask()
    assert sorted(looked_at) == list(range(1, number + 1))
    assert tape.floor.trade_id == number


# --- what is kept --------------------------------------------------------------------------------


def test_what_is_saved_is_read_again() -> None:
    """Places, parked rules and the moment survive as they were."""
    saved = Saved(12.5, {"BTC/USD": Position(7, 8), "X": Position(None, 9)}, frozenset({"a"}))
    assert Saved.from_text(saved.to_text()) == saved


HUGE = '{"saved_at": 1, "parked": [], "markets": {"X": [1, 1e999]}}'


@pytest.mark.parametrize("text", ["", "{", "[]", "1", "{}", '{"markets": 1}', "null", HUGE])
def test_what_was_not_saved_by_us_is_refused(text: str) -> None:
    """Another text is an error, never a place on the tape."""
    with pytest.raises(ValueError):
        Saved.from_text(text)


# --- where looking begins was a guess ------------------------------------------------------------


def test_beginning_that_was_a_guess_is_moved_whatever_was_seen_since() -> None:
    """What the stream brought stays seen; what was before it is looked back for."""
    tape = MarketTape(Position(None, 500 * S), 500.0)
    assert seen(tape, 7, 8) == ([7, 8], True)
    tape.begin_at(5 * S, 20.0, is_guess=True)
    assert tape.floor == Position(None, 5 * S)
    assert [p.trade_id for p in tape.unseen(past(5, 6, 7, 8))] == [5, 6]
    assert tape.close(past(8)[0], 21.0, is_cut=False)
    assert tape.floor.trade_id == 8


def test_place_that_is_still_to_be_looked_back_to_is_not_given_up() -> None:
    """It is older than the rule for which somebody wants to look again, and serves it as well."""
    tape = tape_at(10)
    tape.go_blind(11.0)
    floor = tape.floor
    tape.begin_at(15 * S, 20.0, is_guess=False)
    assert tape.floor == floor
    assert tape.span(30.0)[0] == 11.0


def test_tape_that_was_closed_is_opened_again_from_a_moment() -> None:
    """The next trade goes on with the numbers, and the hole before it stays until REST fills it."""
    tape = tape_at(10)
    assert not tape.is_open
    tape.begin_at(5 * S, 20.0, is_guess=False)
    assert tape.is_open
    assert seen(tape, 11) == ([11], False)
    assert tape.floor == Position(None, 5 * S)
    assert [p.trade_id for p in tape.unseen(past(6, 7, 10, 11))] == [6, 7]
    assert tape.close(past(11)[0], 21.0, is_cut=False)
    assert not tape.is_open


def test_moment_of_the_last_question_is_never_to_come() -> None:
    """A clock that was days ahead had told it; the next blind time begins no later than now."""
    tape = MarketTape(Position(None, 500 * S), 500.0)
    tape.see_again(600.0)
    tape.not_after(20.0)
    assert (tape.looked_at, tape.blind_from, tape.blind_to) == (20.0, 20.0, 20.0)
    tape.not_after(30.0)
    assert (tape.looked_at, tape.blind_from, tape.blind_to) == (20.0, 20.0, 20.0)
    closed = tape_at(10)
    closed.not_after(9e9)
    assert (closed.blind_from, closed.blind_to) == (None, None)


def test_market_that_has_not_traded_is_looked_back_to_its_beginning_while_no_time_is_known() -> (
    None
):
    """An answer of which nobody knows when it was asked for moves no place."""
    tape = MarketTape(Position(None, 5 * S), 5.0)
    assert tape.close(None, 9e8, is_cut=False, is_guess=True)
    assert tape.floor == Position(None, 5 * S)
    assert tape.close(None, 100.0, is_cut=False)
    assert tape.floor == Position(None, 95 * S)


@pytest.mark.parametrize(("is_dark", "end"), [(True, 90.0), (False, 20.0)])
def test_blind_time_ends_only_where_somebody_looks(is_dark: bool, end: float) -> None:
    """While the link is down nobody can say when it will have ended."""
    tape = MarketTape(Position(None, 500 * S), 500.0)
    tape.see_again(600.0)
    if is_dark:
        tape.go_blind(700.0)
    tape.begin_at(5 * S, 20.0, is_guess=True)
    assert tape.span(90.0) == (5.0, end)


# --- numbers that cannot be ----------------------------------------------------------------------

HUGE_NUMBER = 2**62


def printed(number: int, moment: str | None) -> TradePrint:
    """Return a print with this number and this moment."""
    return TradePrint(BTC, Decimal(100), Decimal(1), number, moment)


AT_11, AT_12 = "1970-01-01T00:00:11Z", "1970-01-01T00:00:12Z"


@pytest.mark.parametrize("moment", [AT_11, AT_12, None, "rubbish"])
def test_trade_after_a_number_that_cannot_be_is_looked_at_live(moment: str | None) -> None:
    """Whatever moment the nonsense had: no true trade passes for seen because of its number."""
    tape = tape_at(10)
    tape.see((printed(HUGE_NUMBER, moment),))
    one = printed(11, AT_11)
    fresh, _ = tape.see((one,))
    assert list(fresh) == [one]
    assert tape.unseen(past(10, 11, 12)) == past(12)


def test_late_trades_fill_a_hole_and_are_looked_at_once() -> None:
    """What comes after a higher number is fresh, moves the floor where it joins it, and no more."""
    tape = tape_at(10)
    seen(tape, 15)
    assert [seen(tape, n)[0] for n in (12, 11, 11, 14, 12)] == [[12], [11], [], [14], []]
    assert tape.floor == Position(12, 12 * S)
    assert [one.trade_id for one in tape.unseen(past(*range(10, 17)))] == [13, 16]
    assert seen(tape, 13) == ([13], False)
    assert tape.floor == Position(15, 15 * S)
    assert tape.close(past(15)[0], 20.0, is_cut=False)
    assert seen(tape, 16) == ([16], False)


def test_number_is_refuted_by_a_younger_trade_of_a_lower_one() -> None:
    """REST's numbers go on below it, so the hole before it is none and the true numbers go on."""
    tape = tape_at(10)
    tape.see((printed(HUGE_NUMBER, AT_12),))
    seen(tape, 11, 12)
    assert not tape.close(past(11)[0], 20.0, is_cut=False)  # REST may be behind
    assert tape.close(past(13)[0], 21.0, is_cut=False)
    assert tape.floor == Position(13, 13 * S)
    assert not tape.is_open
    assert seen(tape, 14) == ([14], False)


def test_refuted_number_leaves_what_was_seen_beside_it() -> None:
    """What the stream brought beyond REST's newest is not looked at again, and its hole stays."""
    tape = tape_at(10)
    tape.see((printed(HUGE_NUMBER, "1970-01-01T00:00:10.5Z"), *prints(9)))
    seen(tape, 9)
    tape.see((printed(14, "1970-01-01T00:00:10.4Z"),))
    assert not tape.close(past(11)[0], 20.0, is_cut=False)
    assert tape.unseen(past(12, 13, 14)) == past(12, 13)
    assert seen(tape, 15) == ([15], False)
    assert tape.close(past(13)[0], 21.0, is_cut=False)
    assert tape.floor == Position(15, 15 * S)


@pytest.mark.parametrize("moment", [None, AT_11])
def test_number_that_no_moment_refutes_is_refuted_by_patience(moment: str | None) -> None:
    """Kraken's REST is behind for seconds, not for ever; a market without trades is no hole."""
    tape = tape_at(10)
    tape.see((printed(HUGE_NUMBER, moment),))
    answers = [tape.close(past(11)[0], 20.0 + n, is_cut=False) for n in range(4)]
    assert answers == [False, False, False, True]
    assert not tape.is_open
    assert tape.floor == Position(11, 11 * S)


def test_number_that_rest_has_not_reached_is_not_refuted() -> None:
    """REST's newest trade is older than it: that REST does not show it yet tells nothing."""
    tape = tape_at(10)
    seen(tape, 20)
    assert not any(tape.close(past(12)[0], 30.0 + n, is_cut=False) for n in range(20))
    assert [one.trade_id for one in tape.unseen(past(19, 20))] == [19]
