"""How narrowly Kraken's clock is known, and what was written down before it was known at all."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ttslo_app.clocks import SECOND, Clocks, KrakenClock, Moments, Reckoning, nanoseconds

DAY = 86_400.0
BEGIN = 1_800_000_000.0


class World:
    """The truth, a machine's clock that is off by `wrong`, and a steady one."""

    def __init__(self, wrong: float, begin: float = BEGIN, trip: float = 0.02) -> None:
        self.truth, self.wrong, self.trip = begin, wrong, trip
        self.asked = 0
        self.clock = KrakenClock(
            wall=lambda: self.truth + self.wrong,
            steady=lambda: self.truth - BEGIN + 100.0,
            say=lambda level, text, **fields: None,
        )

    def ask(self) -> float:
        self.asked += 1
        self.truth += self.trip / 2
        told = math.floor(self.truth)
        self.truth += self.trip / 2
        return float(told)

    def pause(self, seconds: float) -> None:
        assert 0 <= seconds < 1
        self.truth += seconds

    @property
    def error(self) -> float:
        return abs(self.clock.now() - self.truth)


@settings(max_examples=60)
@given(
    st.sampled_from([-3 * DAY, -3600.0, -7.3, 7.9, 3600.0, 3 * DAY]),
    st.floats(0.0, 1.0),
    st.floats(0.0, 0.06),
)
def test_wrong_clock_is_no_reason_for_a_doubt_of_a_second(
    wrong: float, begin: float, trip: float
) -> None:
    """A few questions at the right moments tell the time to a part of a second."""
    world = World(wrong, BEGIN + begin, trip)
    world.clock.measure(world.ask, world.pause)
    assert world.error <= 0.14
    assert world.asked <= 5


def test_question_is_put_where_it_halves_what_is_open() -> None:
    """Without a way there and back, each answer tells one half of the rest."""
    world = World(3600.0, BEGIN + 0.4, trip=0.0)
    world.clock.measure(world.ask, world.pause)
    assert world.asked == 4  # of 1 s: a half, a quarter, an eighth
    assert world.error <= 1 / 16


@pytest.mark.parametrize("begin", [0.0, 0.5, 0.99])
def test_clock_that_may_be_right_is_asked_once(begin: float) -> None:
    """Nobody waits at the start for what is right within milliseconds nearly always."""
    world = World(0.0, BEGIN + begin)
    world.clock.measure(world.ask, world.pause)
    assert world.asked == 1
    assert world.error <= 1e-6


def test_whoever_cannot_wait_asks_once() -> None:
    """An order must not wait for the second hand."""
    world = World(3600.0)
    world.clock.measure(world.ask)
    assert world.asked == 1
    assert world.error <= 1.0


def test_question_that_fails_on_the_way_leaves_what_was_told() -> None:
    """The second one is lost: the first still counts."""
    world = World(3600.0)

    def ask() -> float:
        if world.asked:
            raise OSError("no route")
        return world.ask()

    with pytest.raises(OSError, match="no route"):
        world.clock.measure(ask, world.pause)
    assert world.clock.is_known()
    assert world.error <= 1.0


def test_clocks_that_drift_apart_still_agree_with_what_was_known() -> None:
    """What was known narrowly long ago has grown wider on both sides, and bounds the new answer."""
    steady, told = 0.0, 1_000_000.0
    clock = KrakenClock(lambda: 0.0, lambda: steady, lambda level, text, **fields: None)
    clock.measure(lambda: told)  # between 1,000,000 and 1,000,001 ahead
    steady, told = 99_999.5, 1_100_002.0  # alone it would say 1,000,002.5 to 1,000,003.5
    clock.measure(lambda: told)
    ahead = clock.now() - steady
    assert ahead == pytest.approx((1_000_002.5 + 1_000_003.0) / 2, abs=0.01)


def test_clocks_that_drift_apart_the_other_way_agree_as_well() -> None:
    """The same on the lower side."""
    steady, told = 0.0, 1_000_000.0
    clock = KrakenClock(lambda: 0.0, lambda: steady, lambda level, text, **fields: None)
    clock.measure(lambda: told)
    steady, told = 99_999.5, 1_099_997.0  # alone it would say 999,997.5 to 999,998.5
    clock.measure(lambda: told)
    assert clock.now() - steady == pytest.approx((999_998.0 + 999_998.5) / 2, abs=0.01)


# --- moments as text -----------------------------------------------------------------------------


class Told:
    """Clocks of which Kraken's is told when a test wants it."""

    def __init__(self, wrong: float) -> None:
        self.truth, self.wrong, self.is_known = BEGIN, wrong, False
        self.clocks = Clocks(
            kraken=lambda: self.truth + (0.0 if self.is_known else self.wrong),
            wall=lambda: self.truth + self.wrong,
            monotonic=lambda: self.truth - BEGIN,
            is_known=lambda: self.is_known,
        )
        self.moments = Moments(self.clocks)


def seconds_of(text: str) -> float:
    """Return a moment as it was written down, in seconds since 1970."""
    at_ns = nanoseconds(text)
    assert at_ns is not None
    return at_ns / SECOND


@pytest.mark.parametrize("wrong", [-3 * DAY, 3600.0, 0.0])
def test_moment_that_was_a_guess_is_put_right(wrong: float) -> None:
    """By as much as the clock was off, however long ago it was written down."""
    told = Told(wrong)
    guess, earlier = told.moments.now_and_before(7.0)
    told.truth += 500.0
    assert told.moments.put_right() == {}
    told.is_known = True
    right = told.moments.put_right()
    assert seconds_of(right[guess]) == pytest.approx(BEGIN, abs=0.002)
    assert seconds_of(right[earlier]) == pytest.approx(BEGIN - 7.0, abs=0.002)
    assert told.moments.put_right() == {}


def test_moment_that_is_known_is_no_guess() -> None:
    """Nothing is remembered of it, and it bears its zone."""
    told = Told(0.0)
    told.is_known = True
    text = told.moments.now()
    assert told.moments.since_now() == text
    assert (told.moments.guessed_at(text), told.moments.put_right()) == (None, {})
    assert seconds_of(text) == pytest.approx(BEGIN, abs=0.002)


@pytest.mark.parametrize(("is_known", "zone"), [(True, "+00:00"), (False, "")])
def test_one_moment_is_told_in_both_ways(is_known: bool, zone: str) -> None:
    """It is one text where it is known, and else the same one without its zone."""
    told = Told(3600.0)
    told.is_known = is_known
    now, trades_count_from = told.moments.now_and_since()
    assert (now[-6:], trades_count_from) == ("+00:00", now[:-6] + zone)
    assert (trades_count_from is now) is is_known
    assert [told.moments.guessed_at(one) for one in (now, trades_count_from)] == (
        [None, None] if is_known else [0.0, 0.0]
    )


def test_guess_from_which_trades_count_is_no_moment_for_anybody_else() -> None:
    """Read after a restart it says that nobody knows, and not an hour that never was."""
    told = Told(3600.0)
    since = told.moments.since_now()
    assert nanoseconds(since) is None
    assert told.moments.guessed_at(since) == 0.0
    told.truth += 9.0
    told.is_known = True
    right = told.moments.put_right()
    assert seconds_of(right[since]) == pytest.approx(BEGIN, abs=0.002)


def test_two_guesses_of_one_moment_are_one() -> None:
    """Many rows are armed in the same millisecond."""
    told = Told(-3600.0)
    texts = {told.moments.since_now() for _ in range(5)}
    assert len(texts) == 1
    told.is_known = True
    assert set(told.moments.put_right()) >= texts


# --- what a trade tells of the time --------------------------------------------------------------


@pytest.mark.parametrize("wrong", [-3 * DAY, 3600.0])
def test_trade_that_has_just_come_tells_the_time_until_kraken_is_asked(wrong: float) -> None:
    """No machine's clock is as good, and Kraken's own answer is better."""
    world = World(wrong)
    assert world.error == pytest.approx(abs(wrong))
    assert not world.clock.is_usable()
    steady = world.truth - BEGIN + 100.0
    world.clock.hear(world.truth - 0.2, steady)
    assert world.error == pytest.approx(0.2)
    assert world.clock.is_usable()
    assert (world.clock.is_known(), world.clock.is_doubtful()) == (False, True)
    world.truth += 500.0
    assert world.error == pytest.approx(0.2)
    world.clock.measure(world.ask)
    assert world.error <= 1.0
    known = world.clock.now()
    world.clock.hear(world.truth - 50.0, steady)
    assert world.clock.now() == known


@pytest.mark.parametrize("nonsense", [math.inf, math.nan, -5.0, 1e300])
def test_moment_that_no_trade_has_tells_no_time(nonsense: float) -> None:
    """Numbers from outside have bounds of sense."""
    world = World(3600.0)
    world.clock.hear(nonsense, 100.0)
    assert not world.clock.is_usable()


def test_clock_that_was_set_since_is_of_no_use_to_conclude_from() -> None:
    """It is asked for first."""
    world = World(0.0)
    world.clock.measure(world.ask)
    assert world.clock.is_usable()
    world.wrong = 3600.0
    assert not world.clock.is_usable()


def test_clock_that_is_known_better_is_news_once_and_a_drift_is_none() -> None:
    """A guess is no news before Kraken has told the time, whatever the stream tells meanwhile."""
    ahead, known, steady = [1_000.0], [False], [50.0]
    time = Reckoning(
        Clocks(lambda: steady[0] + ahead[0], lambda: 0.0, lambda: steady[0], lambda: known[0])
    )

    def news(offset: float) -> tuple[bool, bool, int]:
        ahead[0] = offset
        steady[0] += 7.0
        return time.has_moved(), time.is_guess, time.began_ns // SECOND

    assert news(4_600.0) == (False, True, 4_650)
    known[0] = True
    assert news(4_600.0) == (True, False, 4_650)
    assert news(4_600.9) == (False, False, 4_650)
    assert news(4_601.5) == (True, False, 4_651)
    assert news(1_001.5) == (True, False, 1_051)
    assert news(1_001.5) == (False, False, 1_051)
