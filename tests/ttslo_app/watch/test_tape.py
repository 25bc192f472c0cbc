"""The tape alone: numbers, holes, pages, and what the past would have fired."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakenlink.errors import ProtocolError
from krakenlink.stream.feed import Symbol, TradePrint
from ttslo_app.clocks import clock_time
from ttslo_app.messages import Past
from ttslo_app.rules.rule import Direction, Rule, ThresholdType, WhenBlind
from ttslo_app.watch.tape import (
    Bounds,
    Deed,
    LookBack,
    MarketTape,
    Position,
    Saved,
    Touch,
    Waiting,
    deed_for,
    deed_words,
    first_crossings,
    found_words,
    read_bars,
    read_trades,
    span_words,
)

ABOVE, BELOW = ThresholdType.ABOVE, ThresholdType.BELOW
S = 1_000_000_000
BTC = Symbol("BTC/USD")


def rule(threshold: object = 51000, kind: ThresholdType = ABOVE, rule_id: str = "r") -> Rule:
    """Return an enabled rule."""
    level = Decimal(str(threshold))
    return Rule(rule_id, BTC, level, kind, Direction.SELL, Decimal(1), Decimal(1), enabled=True)


def prints(*numbers: int) -> tuple[TradePrint, ...]:
    """Return prints with these numbers; number n is of second n."""
    return tuple(
        TradePrint(BTC, Decimal(100), Decimal(1), n, f"1970-01-01T00:00:{n % 60:02}Z")
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
    assert [p.trade_id for p in tape.unseen(past(4, 5, 6, 7))] == [5, 6]
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


# --- what REST gives -----------------------------------------------------------------------------


def test_trades_are_read_as_kraken_writes_them() -> None:
    """Price, moment and number are taken from a row; the pair's key may be any."""
    rows = [["50000.1", "0.01", 1700000000.1234567, "b", "m", "", 42]]
    (one,) = read_trades({"XXBTZUSD": rows, "last": "1700000000123456700"})
    assert (one.trade_id, one.price, one.bar_seconds) == (42, Decimal("50000.1"), 0)
    assert abs(one.at_ns - 1_700_000_000_123_456_700) < 500


def test_candle_is_its_two_ends_at_its_begin() -> None:
    """A candle tells how high and how low, and no moment finer than its begin."""
    rows = [[600, "1", "4", "0.5", "2", "2", "9", 3]]
    high, low = read_bars({"X": rows, "last": 600}, 5)
    assert (high, low) == (Past(0, Decimal(4), 600 * S, 300), Past(0, Decimal("0.5"), 600 * S, 300))


@pytest.mark.parametrize(
    "result",
    [{}, {"last": 1}, {"X": 1}, {"X": [[]]}, {"X": [["0", "1", 1, "", "", "", 1]]}, {"X": [None]}],
)
def test_damaged_answer_is_an_error(result: dict[str, object]) -> None:
    """What has not Kraken's shape is said, not taken for "no trades"."""
    with pytest.raises(ProtocolError):
        read_trades(result)
    with pytest.raises(ProtocolError):
        read_bars(result, 1)


def test_last_page_is_the_short_one() -> None:
    """Full pages are followed by another one, with nothing left out between them."""
    look = LookBack(Position(5, 5 * S), 10_000.0, Bounds())
    assert look.since == str(4 * S)
    look.add_trades(past(*range(4, 1004)))
    assert not look.is_complete
    assert look.since == str(1003 * S - 1000)
    look.add_trades(past(*range(1003, 1100)))
    assert look.is_complete
    assert [p.trade_id for p in look.past] == list(range(4, 1100))
    assert look.newest == past(1099)[0]
    assert look.bars_wanted(10_000.0) is None


def test_page_of_one_moment_is_passed() -> None:
    """A thousand trades of one moment do not hold the look back in place for ever."""
    look = LookBack(Position(0, 0), 10_000.0, Bounds())
    page = [replace(p, at_ns=7 * S) for p in past(*range(1, 1001))]
    look.add_trades(page)
    assert look.since == str(7 * S - 1000)
    look.add_trades(page)
    assert look.since == str(7 * S + 1000)


@given(st.integers(min_value=0, max_value=999_999_999))
def test_sweep_over_the_end_of_a_page_comes_whole(nanosecond: int) -> None:
    """Twenty trades of one moment, of which a page holds five, at any moment there is."""
    sweep = 1_763_900_000 * S + nanosecond
    trades = [(number, sweep - (1000 - number) * S) for number in range(5, 1000)]
    trades += [(number, sweep) for number in range(1000, 1020)] + [(1020, sweep + S)]

    def page(since: str) -> list[Past]:
        rows = [one for one in trades if one[1] > int(since)][:1000]
        cells = [f'["100.0","1",{at // S}.{at % S:09},"b","l","",{number}]' for number, at in rows]
        return read_trades(json.loads(f'{{"X":[{",".join(cells)}],"last":"0"}}'))

    look = LookBack(Position(4, sweep - 996 * S), sweep / S + 60, Bounds())
    while not look.is_complete:
        look.add_trades(page(look.since))
    assert [one.trade_id for one in look.past] == [number for number, _ in trades]


def test_long_absence_is_candles_first_and_trades_of_the_last_day() -> None:
    """Before the bound candles are asked for, fine enough to reach back all the way."""
    now = 10 * 86_400.0
    look = LookBack(Position(5, 8 * 86_400 * S), now, Bounds())
    assert look.since == str(9 * 86_400 * S)
    late = [Past(n, Decimal(100), round(now - 10) * S) for n in (90, 91)]
    assert look.bars_wanted(now) is None
    look.add_trades(late)
    minutes, since = look.bars_wanted(now) or (0, 0)
    assert (minutes, since) == (5, 8 * 86_400 - 1)
    bars = [Past(0, Decimal(100), day * 86_400 * S, 300) for day in (8, 9)]
    look.add_bars(bars)
    assert look.bars_wanted(now) is None
    assert look.past == [bars[0], *late]


def test_too_many_trades_are_candles_from_there_on() -> None:
    """Where the bound is reached the rest is candles, from the last trade that was fetched."""
    look = LookBack(Position(0, 0), 5000.0, Bounds(trades=1000))
    look.add_trades(past(*range(1, 1001)))
    assert look.is_cut
    minutes, since = look.bars_wanted(5000.0) or (0, 0)
    assert (minutes, since) == (1, 959)
    bar = Past(0, Decimal(100), 960 * S, 60)
    look.add_bars([bar])
    assert look.past[-1] == bar


# --- what would have fired -----------------------------------------------------------------------


def priced(*prices: object) -> list[Past]:
    """Return trades at these prices, one a second."""
    return [Past(n, Decimal(str(p)), n * S) for n, p in enumerate(prices, 1)]


def test_first_crossings_come_in_their_order() -> None:
    """Each rule is crossed by the first price at or beyond it; equality counts."""
    rules = [rule(103, rule_id="c"), rule(101, rule_id="a"), rule(99, BELOW, "b"), rule(104)]
    found = first_crossings(priced(100, 101, 99, 103, 102), [Waiting(r, 0) for r in rules])
    assert [(t.rule.id, t.past.trade_id) for t in found] == [("a", 2), ("b", 3), ("c", 4)]


def test_trades_of_before_the_rule_do_not_count() -> None:
    """A rule that was armed in the middle is crossed by what came after only."""
    found = first_crossings(priced(105, 100, 103), [Waiting(rule(102), 2 * S)])
    assert [t.past.trade_id for t in found] == [3]
    assert first_crossings(priced(105, 100), [Waiting(rule(102), 2 * S)]) == []


_walks = st.lists(st.integers(90, 110), max_size=40)
_waits = st.tuples(st.integers(90, 110), st.sampled_from(ThresholdType), st.integers(0, 45))


@given(_walks, st.lists(_waits, max_size=10))
def test_first_crossings_are_those_of_brute_force(
    prices: list[int], waits: list[tuple[int, ThresholdType, int]]
) -> None:
    """For any past and any rules, exactly what a scan of everything finds."""
    trades = priced(*prices)
    waiting = [Waiting(rule(t, k, f"r{n}"), s * S) for n, (t, k, s) in enumerate(waits)]
    expected = {}
    for wait in waiting:
        met = [p for p in trades if p.at_ns >= wait.since_ns and wait.rule.is_met_by(p.price)]
        if met:
            expected[wait.rule.id] = met[0].trade_id
    found = first_crossings(trades, waiting)
    assert {t.rule.id: t.past.trade_id for t in found} == expected
    assert [t.past.trade_id for t in found] == sorted(t.past.trade_id for t in found)


# --- what becomes of it --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "present", "deed"),
    [
        (WhenBlind.ALWAYS, None, Deed.FIRE),
        (WhenBlind.ALWAYS, 100, Deed.FIRE),
        (WhenBlind.ARM_IF_BEYOND, 51000, Deed.FIRE),
        (WhenBlind.ARM_IF_BEYOND, 50999, Deed.STAY),
        (WhenBlind.ARM_IF_BEYOND, None, Deed.STAY),
        (WhenBlind.NOTIFY, 51000, Deed.PARK),
        (WhenBlind.NOTIFY, None, Deed.PARK),
        (WhenBlind.NOTIFY, 50999, Deed.STAY),
    ],
)
def test_policy_decides(policy: WhenBlind, present: int | None, deed: Deed) -> None:
    """Each policy at each standing of the price, an unproven one included."""
    price = None if present is None else Decimal(present)
    assert deed_for(policy, rule(), price) is deed
    assert deed_words(deed, policy, price)


def test_no_two_deeds_read_alike() -> None:
    """A person can tell from the sentence what was done."""
    cases = [
        (Deed.DONE, WhenBlind.ALWAYS, None),
        (Deed.FIRE, WhenBlind.ALWAYS, None),
        (Deed.FIRE, WhenBlind.ARM_IF_BEYOND, Decimal(52000)),
        (Deed.STAY, WhenBlind.ARM_IF_BEYOND, Decimal(50000)),
        (Deed.STAY, WhenBlind.ARM_IF_BEYOND, None),
        (Deed.PARK, WhenBlind.NOTIFY, Decimal(52000)),
        (Deed.STAY, WhenBlind.NOTIFY, Decimal(50000)),
    ]
    assert len({deed_words(*case) for case in cases}) == len(cases)


def test_sentence_names_market_threshold_moment_and_span() -> None:
    """A trade has its second, a candle the time it covers."""
    trade = Touch(rule(), Past(1, Decimal(51200), 44 * S))
    start, end = clock_time(11), clock_time(52)
    said = found_words("BTC/USD", trade, (11.0, 52.0))
    expected = f"BTC/USD crossed 51,000 at {clock_time(44)} while blind from {start} to {end}"
    assert said == expected
    bar = Touch(rule("0.00001"), Past(0, Decimal(1), 0, 60))
    said = found_words("X", bar, (0.0, 90.0))
    assert said.startswith(f"X crossed 0.00001 between {clock_time(0)} and {clock_time(60)} while")


def test_span_of_days_shows_them() -> None:
    """Where begin and end are on different days the day is told."""
    assert span_words(0.0, 3 * 86_400.0).count("1970-01-0") == 2
    assert "1970" not in span_words(43_200.0, 43_260.0)


# --- what is kept --------------------------------------------------------------------------------


def test_what_is_saved_is_read_again() -> None:
    """Places, parked rules and the moment survive as they were."""
    saved = Saved(12.5, {"BTC/USD": Position(7, 8), "X": Position(None, 9)}, frozenset({"a"}))
    assert Saved.from_text(saved.to_text()) == saved


@pytest.mark.parametrize("text", ["", "{", "[]", "1", "{}", '{"markets": 1}', "null"])
def test_what_was_not_saved_by_us_is_refused(text: str) -> None:
    """Another text is an error, never a place on the tape."""
    with pytest.raises(ValueError):
        Saved.from_text(text)
