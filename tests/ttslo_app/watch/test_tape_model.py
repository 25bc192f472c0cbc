"""The tape beside a model of it: a set of the numbers that have been looked at."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from krakenlink.pairs import Symbol
from krakenlink.stream.events import TradePrint
from tests.kits.common.examples import many
from ttslo_app.messages import Past
from ttslo_app.watch.tape import MarketTape, Position, Saved

S = 1_000_000_000
BLUR = S // 1000
BTC = Symbol("BTC/USD")


def printed(number: int, second: int | None = None) -> TradePrint:
    """Return a print; number n is of second n unless another is given."""
    at = number if second is None else second
    moment = f"1970-01-01T{at // 3600:02}:{at // 60 % 60:02}:{at % 60:02}Z"
    return TradePrint(BTC, Decimal(100), Decimal(1), number, moment)


def traded(number: int, at_ns: int | None = None, bar: int = 0) -> Past:
    """Return a trade of REST, of second n unless another moment is given."""
    return Past(number, Decimal(100), number * S if at_ns is None else at_ns, bar)


def tape_at(number: int) -> MarketTape:
    """Return a tape in the good case: it begins after `number`, and nobody is blind."""
    tape = MarketTape(Position(number, number * S), float(number))
    assert tape.close(None, float(number), is_cut=False)
    return tape


class _Market:
    """Trades 1 to `number`, and who has looked at which."""

    def __init__(self) -> None:
        self.tape = tape_at(0)
        self.number = 0
        self.looked = {0}  # by whatever way
        self.streamed = 0  # the newest on the stream
        self.is_blind = self.is_dark = False
        self.tries = 0

    @property
    def missing(self) -> list[int]:
        return [n for n in range(1, max(self.looked)) if n not in self.looked]

    def frame(self, size: int, again: int) -> None:
        """Let a frame come that repeats the last few numbers before its own."""
        first = max(1, self.number + 1 - again)
        self.number += size
        numbers = range(first, self.number + 1)
        fresh, has_hole = self.tape.see([printed(n) for n in numbers])
        newest, looked = max(self.looked), self.looked
        is_fresh = [n for n in numbers if n > self.streamed or n not in looked]
        assert [p.trade_id for p in fresh] == is_fresh
        beyond = [n for n in numbers if n > max(newest, self.streamed)]
        assert has_hole == (bool(beyond) and beyond[0] > newest + 1)
        self.is_blind |= has_hole
        self.looked.update(p.trade_id for p in fresh)
        self.streamed = max(self.streamed, self.number)

    def rest(self, lag: int, is_cut: bool) -> None:
        """Let REST answer with all trades but the newest few."""
        reached = max(0, self.number - lag)
        answer = [traded(n) for n in range(1, reached + 1)]
        unseen = [one.trade_id for one in self.tape.unseen(answer)]
        assert unseen == [n for n in range(1, reached + 1) if n not in self.looked]
        is_enough = is_cut or not any(n > reached for n in self.missing)
        if self.missing and not answer:
            is_enough = is_cut
        newest = answer[-1] if answer else None
        assert self.tape.close(newest, 1e9, is_cut=is_cut) == is_enough
        self.looked.update(range(1, reached + 1))
        self.tries = 0 if is_enough else self.tries + 1
        if is_enough:
            self.looked.update(range(1, max(self.looked) + 1))
            self.is_blind = self.is_dark

    def check(self) -> None:
        """Compare what the tape says with what is so."""
        floor = next(n for n in range(self.number + 2) if n + 1 not in self.looked)
        assert self.tape.floor == Position(floor, floor * S)
        assert self.tape.is_open == (self.is_blind or bool(self.missing))
        assert self.tape.tries == self.tries
        assert not self.tape.is_opening


_steps = st.one_of(
    st.tuples(st.just("frame"), st.integers(1, 4), st.integers(0, 3)),
    st.tuples(st.just("lose"), st.integers(1, 3), st.just(0)),
    st.tuples(st.just("rest"), st.integers(0, 5), st.booleans()),
    st.tuples(st.just("blind"), st.just(0), st.just(0)),
    st.tuples(st.just("see"), st.just(0), st.just(0)),
)


@settings(max_examples=many(200))
@given(st.lists(_steps, max_size=25))
def test_no_trade_is_taken_for_looked_at_that_nobody_has_seen(
    steps: list[tuple[str, int, int]],
) -> None:
    """Frames lost and repeated, answers that lag, blind times: exactly the missing are unseen."""
    market = _Market()
    for what, one, two in steps:
        if what == "frame":
            market.frame(one, two)
        elif what == "lose":
            market.number += one
        elif what == "rest":
            market.rest(one, bool(two))
        elif what == "blind":
            market.tape.go_blind(1.0)
            market.is_blind = market.is_dark = True
        else:
            market.tape.see_again(2.0)
            market.is_dark = False
        market.check()


# --- moments -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "at_ns", "is_unseen"),
    [
        (9, 9 * S, False),
        (10, 10 * S, False),
        (10, 10 * S + BLUR, False),  # one trade, told a little differently
        (10, 10 * S + BLUR + 1, True),  # the numbers have begun anew
        (1, 11 * S, True),
        (11, 10 * S, True),
        (11, 0, True),
    ],
)
def test_lower_number_that_is_younger_is_another_trade(
    number: int, at_ns: int, is_unseen: bool
) -> None:
    """By more than what two ways of telling one moment differ in."""
    assert bool(tape_at(10).unseen([traded(number, at_ns)])) is is_unseen


@pytest.mark.parametrize(("at_ns", "is_unseen"), [(6 * S - 1, False), (6 * S, True)])
def test_where_only_the_moment_is_known_trades_of_that_moment_count(
    at_ns: int, is_unseen: bool
) -> None:
    """Looking twice at a trade does less harm than never: the clock is known to about a second."""
    tape = MarketTape(Position(None, 7 * S), 7.0)
    assert tape.is_opening
    assert bool(tape.unseen([traded(3, at_ns)])) is is_unseen


def test_candles_are_always_looked_at() -> None:
    """They have no number, and may hold trades of before and after."""
    tape = tape_at(10)
    bar = traded(0, 0, 60)
    assert tape.unseen([traded(5), bar, traded(11)]) == [bar, traded(11)]


def test_trade_whose_moment_is_unreadable_is_known_by_its_number_alone() -> None:
    """Where the floor's moment may be older than its number no younger trade shows anything."""
    tape = tape_at(10)
    tape.see([TradePrint(BTC, Decimal(1), Decimal(1), 11, "rubbish")])
    assert tape.floor == Position(11, 10 * S)
    assert tape.unseen([traded(11, 400 * S), traded(12, 400 * S)]) == [traded(12, 400 * S)]
    tape.see([printed(15, 500)])  # a hole behind it: the floor stays as vague as it is
    assert [one.trade_id for one in tape.unseen([traded(11, 400 * S), traded(12)])] == [12]
    assert tape.close(traded(16, 501 * S), 600.0, is_cut=False)  # now number and moment are one's
    assert [one.trade_id for one in tape.unseen([traded(11, 600 * S)])] == [11]


@pytest.mark.parametrize(
    ("begins", "back_to", "blind_from", "floor"),
    [
        (Position(None, 50 * S), 20 * S, 20.0, Position(None, 20 * S)),
        (Position(None, 50 * S), 50 * S, 48.0, Position(None, 50 * S)),
        (Position(None, 50 * S), 60 * S, 48.0, Position(None, 50 * S)),
        (Position(5, 50 * S), 20 * S, 48.0, Position(5, 50 * S)),
    ],
)
def test_beginning_is_moved_back_only_where_that_is_earlier(
    begins: Position, back_to: int, blind_from: float, floor: Position
) -> None:
    """And only where no number says that all before it was looked at."""
    tape = MarketTape(begins, 48.0)
    tape.reach_back(back_to)
    assert (tape.blind_from, tape.floor) == (blind_from, floor)


def test_hole_within_a_blind_time_does_not_shorten_it() -> None:
    """The time in which nobody looked begins where it began."""
    tape = tape_at(10)
    tape.go_blind(3.0)
    tape.see_again(12.0)
    assert tape.span(99.0) == (3.0, 12.0)
    tape.see([printed(15)])
    assert tape.span(99.0) == (3.0, 15.0)
    tape.see([printed(18)])
    assert tape.span(99.0) == (3.0, 18.0)


def test_blind_time_ends_when_somebody_looks_again_first() -> None:
    """A second word of it moves no end, and one that begins anew takes it away."""
    tape = tape_at(10)
    assert tape.span(40.0) == (10.0, 40.0)  # since REST was asked
    tape.go_blind(20.0)
    tape.go_blind(25.0)
    assert tape.span(40.0) == (20.0, 40.0)
    tape.see_again(30.0)
    tape.see_again(35.0)
    assert tape.span(40.0) == (20.0, 30.0)
    tape.go_blind(36.0)
    assert tape.span(40.0) == (20.0, 40.0)
    assert tape.span(10.0) == (20.0, 20.0)


@pytest.mark.parametrize(("is_dark", "blind_from"), [(True, 50.0), (False, None)])
def test_answer_covers_what_was_before_its_question(
    is_dark: bool, blind_from: float | None
) -> None:
    """While nobody looks, the time since the question is still to be asked about."""
    tape = tape_at(10)
    tape.go_blind(20.0)
    assert tape.is_reported
    if not is_dark:
        tape.see_again(40.0)
    assert tape.close(traded(12), 50.0, is_cut=False)
    assert (tape.blind_from, tape.is_open, tape.looked_at) == (blind_from, is_dark, 50.0)
    assert tape.is_reported is is_dark


def test_numbers_that_begin_anew_leave_a_hole_since_the_last_moment() -> None:
    """A lower number that is younger: Kraken counts from the beginning again."""
    tape = tape_at(100)
    tape.see([printed(101, 200)])
    fresh, has_hole = tape.see([printed(1, 201), printed(2, 202)])
    assert ([p.trade_id for p in fresh], has_hole) == ([1, 2], True)
    assert tape.floor == Position(None, 200 * S)
    assert tape.blind_from == 200.0
    answer = [traded(1, 201 * S), traded(2, 202 * S)]
    assert tape.unseen(answer) == []
    assert tape.close(answer[-1], 300.0, is_cut=False)
    assert tape.floor == Position(2, 202 * S)


@pytest.mark.parametrize("second", [200, 150])
def test_lower_number_that_is_not_younger_is_a_repetition(second: int) -> None:
    """It was on the stream before, and changes nothing."""
    tape = tape_at(100)
    tape.see([printed(101, 200)])
    assert tape.see([printed(100, second)]) == ([], False)
    assert tape.floor == Position(101, 200 * S)


# --- what is kept --------------------------------------------------------------------------------

_places = st.builds(Position, st.none() | st.integers(0, 10**12), st.integers(0, 2_000_000_000 * S))


@settings(max_examples=many(50))
@given(
    st.dictionaries(st.text(max_size=8), _places, max_size=4),
    st.frozensets(st.text(max_size=8), max_size=4),
    st.dictionaries(st.text(max_size=8), st.integers(0, 2_000_000_000).map(float), max_size=3),
)
def test_all_that_is_saved_is_read_to_the_nanosecond(
    places: dict[str, Position], parked: frozenset[str], kept_at: dict[str, float]
) -> None:
    """Whatever markets and rules are called."""
    saved = Saved(1_800_000_000.0, places, parked, kept_at)
    assert Saved.from_text(saved.to_text()) == saved


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("saved_at", -1),
        ("saved_at", 1e30),
        ("saved_at", None),
        ("markets", {"BTC/USD": [1]}),
        ("markets", {"BTC/USD": [1, -1]}),
        ("markets", {"BTC/USD": ["x", 1]}),
        ("markets", []),
        ("parked", 1),
        ("kept_at", {"BTC/USD": -5}),
        ("kept_at", {"BTC/USD": float("inf")}),
        ("kept_at", 7),
    ],
)
def test_each_damaged_part_spoils_the_whole(name: str, value: object) -> None:
    """A place that may be another's would hide trades that nobody has seen."""
    sound = json.loads(Saved(1.0, {"BTC/USD": Position(1, S)}, frozenset("r")).to_text())
    Saved.from_text(json.dumps(sound))
    with pytest.raises(ValueError, match=r".+"):
        Saved.from_text(json.dumps({**sound, name: value}))


def test_file_of_an_older_version_has_no_moments_of_its_own() -> None:
    """Then all its places are as old as the file."""
    text = '{"saved_at": 5, "markets": {"BTC/USD": [null, 7]}, "parked": []}'
    assert Saved.from_text(text) == Saved(5.0, {"BTC/USD": Position(None, 7)})
