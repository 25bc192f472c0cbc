"""The clocks of the program, handed in by whoever starts it, and moments as text.

Pure: no clock is read here but those that are handed in, so a test moves time as it likes. Three
clocks are told apart, as each lies in its own way: Kraken's is an estimate, this machine's may be
set by anybody, and seconds that only grow tell no date. What must never happen here: that a moment
that is kept, or an age, goes by a clock that somebody can set.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from ttslo_app.messages import Kind, Say, Sentence, tell

# A second in nanoseconds, in which Kraken's trades are told apart.
SECOND = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# From here moments are counted that are put into words: one without a zone is there sooner.
_BARE_EPOCH = _EPOCH.replace(tzinfo=None)


@dataclass(frozen=True, slots=True)
class Clocks:
    """The clocks; each may be read from any thread and never blocks.

    Attributes:
        kraken: Kraken's clock as it is estimated, in seconds since 1970.
        wall: This machine's clock, in seconds since 1970; for people to read, and nothing else.
        monotonic: Seconds that only grow, while the machine sleeps, too, from any beginning.
        is_known: Tells whether Kraken has ever said what time it is; before that `kraken` is this
            machine's clock.
        is_doubtful: Tells whether Kraken should be asked at once what time it is.
        hear: Takes when something was traded that has just come, and when it came on the monotonic
            clock: before Kraken has answered that tells its clock, too.
    """

    kraken: Callable[[], float]
    wall: Callable[[], float]
    monotonic: Callable[[], float]
    is_known: Callable[[], bool] = lambda: True
    is_doubtful: Callable[[], bool] = lambda: False
    hear: Callable[[float, float], None] = lambda traded_at, seen_at: None

    def utc(self) -> datetime:
        """Return the present moment in UTC, by Kraken's clock: what is kept is kept so."""
        return datetime.fromtimestamp(self.kraken(), UTC)

    def kraken_ns(self) -> int:
        """Return the present moment by Kraken's clock, in nanoseconds since 1970."""
        return round(self.kraken() * SECOND)

    def kraken_ahead(self) -> float:
        """Return how many seconds Kraken's clock is ahead of the monotonic one."""
        return self.kraken() - self.monotonic()

    def kraken_ns_of(self, seen_at: float) -> int:
        """Return a moment of the monotonic clock by Kraken's, in nanoseconds since 1970."""
        return round((self.kraken_ahead() + seen_at) * SECOND)

    def monotonic_of(self, at_ns: int) -> float:
        """Return a moment of Kraken's clock, in nanoseconds since 1970, by the monotonic one."""
        return at_ns / SECOND - self.kraken_ahead()

    def age_of(self, moment: str) -> float:
        """Return the seconds since an ISO moment of Kraken's clock; infinite for what is none.

        A moment to come has no age that anybody knows, and counts as infinitely old.
        """
        at_ns = nanoseconds(moment)
        age = math.inf if at_ns is None else self.kraken() - at_ns / SECOND
        return max(0.0, age) if age > -_KNOWN_TO else math.inf


class Reckoning:
    """What moments that are kept go by: a guess, then Kraken's clock, then that known better.

    For one thread.

    Args:
        clocks: The clocks.

    Attributes:
        is_guess: Whether nobody knew what time it is when it was looked at last.
    """

    def __init__(self, clocks: Clocks) -> None:
        self.ns_of = clocks.kraken_ns_of
        self._clocks, self._began_at = clocks, clocks.monotonic()
        self.is_guess, self._ahead = not clocks.is_known(), clocks.kraken_ahead()

    @property
    def began_ns(self) -> int:
        """When it was made, by Kraken's clock as that is known now, in nanoseconds since 1970."""
        return self.ns_of(self._began_at)

    def has_moved(self) -> bool:
        """Tell, once each time, whether Kraken's clock is another than was thought."""
        ahead, was_guess = self._clocks.kraken_ahead(), self.is_guess
        self.is_guess = was_guess and not self._clocks.is_known()
        if self.is_guess or (not was_guess and abs(ahead - self._ahead) <= _KNOWN_TO):
            return False
        self._ahead = ahead
        return True


class Moments:
    """The present as text, put right once Kraken has said what time it is. For one thread.

    Before that a moment is a guess, and what was written down as a guess is remembered by the
    steady clock. A guess from which trades count bears no time zone: whoever reads it after
    a restart can tell that nobody knows when it was.

    Args:
        clocks: The clocks.
    """

    def __init__(self, clocks: Clocks) -> None:
        self._clocks = clocks
        self._guesses: dict[str, float] = {}

    def now(self) -> str:
        """Return the present moment, as ISO UTC by Kraken's clock."""
        return self._kept(utc_iso(self._clocks.kraken()))

    def now_and_before(self, ago: float) -> tuple[str, str]:
        """Return the present moment, and that of so many seconds ago, by one look at the clock."""
        now = self._clocks.kraken()
        texts = utc_iso(now), utc_iso(now, ago)
        if not self._clocks.is_known():
            at = self._clocks.monotonic()
            self._guesses.update(zip(texts, (at, at - ago), strict=True))
        return texts

    def since_now(self) -> str:
        """Return the present moment, from which on trades are to count."""
        return self.now_and_since()[1]

    def now_and_since(self) -> tuple[str, str]:
        """Return the present moment, and the same from which on trades are to count."""
        now = self.now()
        return now, now if self._clocks.is_known() else self._kept(now.removesuffix("+00:00"))

    def _kept(self, text: str) -> str:
        if not self._clocks.is_known():
            self._guesses[text] = self._clocks.monotonic()
        return text

    def guessed_at(self, text: str) -> float | None:
        """Return when a moment was by the steady clock, where it is a guess; else None."""
        return self._guesses.get(text)

    def put_right(self) -> dict[str, str]:
        """Return the right texts by those that were guesses, once, as soon as that is possible."""
        if not self._guesses or not self._clocks.is_known():
            return {}
        guesses, self._guesses = self._guesses, {}
        ns_of = self._clocks.kraken_ns_of
        return {text: utc_iso(ns_of(at) / SECOND) for text, at in guesses.items()}


# What lies outside is no moment that anybody traded at or asked for, in seconds since 1970: Kraken
# began in 2011. Tests go by clocks that begin at 0.
_OLDEST, _NEWEST = 0.0, 4e9
# Kraken tells whole seconds, so its clock is known to about one.
_KNOWN_TO = 1.0
# People set clocks by hand; what is off by less is not worth a word.
_TOLERANCE = 5.0
# Two clocks part by so many seconds only where one was set, or one stood still.
_PARTED = 0.5
# How fast two good clocks drift apart, as a part of the time: what was known narrowly long ago is
# not known so any more.
_DRIFT = 2e-5
# Kraken's clock need be known no better than so many seconds, and is asked so often more for it.
_NARROW, _MOST_QUESTIONS = 0.13, 4


@dataclass(frozen=True, slots=True)
class _Reading:
    """What is known of Kraken's clock.

    Attributes:
        ahead: How far it is ahead of the steady clock.
        least: The least that this can be, by all answers so far that agree.
        most: The most that it can be.
        at: When it was asked last, by the steady clock.
        wall_ahead: How far this machine's clock was ahead of the steady one then.
    """

    ahead: float
    least: float
    most: float
    at: float
    wall_ahead: float

    @property
    def is_narrow(self) -> bool:
        """Whether it is known well enough, or this machine's clock may be right."""
        return self.most - self.least <= _NARROW or self.least <= self.wall_ahead <= self.most


class KrakenClock:
    """Kraken's clock, tied to one that nobody sets. Any thread.

    Before the first answer it is this machine's clock, which is all that there is.

    Args:
        wall: This machine's clock, in seconds since 1970.
        steady: Seconds that only grow, while the machine sleeps, too.
        say: Takes a level and a sentence for a person.
    """

    def __init__(self, wall: Callable[[], float], steady: Callable[[], float], say: Say) -> None:
        self._wall = wall
        self._steady = steady
        self._say = say
        # Replaced whole, so that any thread may read it at any time.
        self._reading: _Reading | None = None
        self._heard: float | None = None  # how far it is ahead at least, by what was traded
        self._is_told = False

    def now(self) -> float:
        """Return Kraken's clock, in seconds since 1970. Never blocks."""
        reading, heard = self._reading, self._heard
        if reading is None:
            return self._wall() if heard is None else self._steady() + heard
        return self._steady() + reading.ahead

    def hear(self, traded_at: float, seen_at: float) -> None:
        """Take the moment of a trade that has just come; it counts until Kraken is asked.

        Kraken's clock is there already, and no more than the way of the news further.

        Args:
            traded_at: By Kraken's clock, in seconds since 1970.
            seen_at: By the steady clock.
        """
        if _OLDEST < traded_at < _NEWEST:
            self._heard = traded_at - seen_at

    def is_usable(self) -> bool:
        """Tell whether what is known tells if a deadline has passed, without asking Kraken."""
        return self._heard is not None if self._reading is None else not self.is_doubtful()

    def is_known(self) -> bool:
        """Tell whether Kraken has ever said what time it is."""
        return self._reading is not None

    def is_doubtful(self) -> bool:
        """Tell whether Kraken should be asked at once: never asked, or a clock was set since.

        Where the steady clock stood still, as while a virtual machine was frozen, this machine's
        own goes on without it, too.
        """
        reading = self._reading
        if reading is None:
            return True
        return abs(self._wall() - self._steady() - reading.wall_ahead) > _PARTED

    def measure(
        self, ask: Callable[[], float], pause: Callable[[float], object] | None = None
    ) -> None:
        """Ask Kraken for the time. Blocks; what `ask` raises leaves all as it was.

        One answer tells the time to about a second, which is enough where this machine's clock may
        be right. Where it is certainly not, a few more at the right moments tell it more narrowly:
        from when on trades count for a row depends on it.

        Args:
            ask: Returns Kraken's clock in whole seconds since 1970. It is called once.
            pause: Waits so many seconds, less than one each time, so that it may be called
                again; None where nobody may wait.
        """
        self._measure(ask)
        for _ in range(_MOST_QUESTIONS if pause is not None else 0):
            reading = self._reading
            if reading is None or reading.is_narrow or pause is None:
                return
            # Where Kraken's next second begins by our best idea, an answer halves the doubt.
            pause(-(self._steady() + (reading.least + reading.most) / 2) % 1.0)
            self._measure(ask)

    def _measure(self, ask: Callable[[], float]) -> None:
        before = self._steady()
        theirs = ask()
        after = self._steady()
        if not _OLDEST < theirs < _NEWEST:
            return  # no clock says that
        wall_ahead = self._wall() - self._steady()
        # Kraken tells whole seconds. Answers at other parts of a second narrow it down; one that
        # agrees with none before it says that a clock was set, or stood still.
        least, most = theirs - after, theirs + 1.0 - before
        if (known := self._reading) is not None:
            slack = _DRIFT * (after - known.at)
            known_least, known_most = known.least - slack, known.most + slack
            if least <= known_most and known_least <= most:
                least, most = max(least, known_least), min(most, known_most)
        # A clock that may be right is right: most are kept so within some milliseconds.
        ahead = wall_ahead if least <= wall_ahead <= most else (least + most) / 2
        self._reading = _Reading(ahead, least, most, after, wall_ahead)
        self._compare(ahead - wall_ahead)

    def _compare(self, behind: float) -> None:
        """Say, once until it is right again, that this machine's clock is wrong."""
        is_wrong = abs(behind) > _TOLERANCE
        if is_wrong and not self._is_told:
            side = "behind" if behind > 0 else "ahead of"
            text = (
                f"This machine's clock is {abs(behind):.0f} s {side} Kraken's. Orders allow "
                "for it, but set it right"
            )
            tell(self._say, Sentence(Kind.CLOCK, "WARNING", text))
        elif self._is_told and not is_wrong:
            tell(self._say, Sentence(Kind.CLOCK, "INFO", "This machine's clock is right again"))
        self._is_told = is_wrong


def nanoseconds(timestamp: str | None) -> int | None:
    """Return an ISO moment in nanoseconds since 1970; None for what is no moment."""
    if not timestamp:
        return None
    try:
        moment = datetime.fromisoformat(timestamp)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    # By hand, because every trade comes by: a division of intervals takes as long as all else here.
    passed = moment - _EPOCH
    return ((passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds) * 1000


def is_moment(at_ns: int) -> bool:
    """Tell whether nanoseconds since 1970 are a moment at which anybody can have traded."""
    return 0 <= at_ns < _NEWEST * SECOND


def iso_moment(at_ns: int) -> str:
    """Return nanoseconds since 1970 as an ISO moment in UTC, to the microsecond."""
    return (_EPOCH + timedelta(microseconds=at_ns // 1000)).isoformat(timespec="microseconds")


def utc_iso(seconds: float, ago: float = 0.0, zone: str = "+00:00") -> str:
    """Return seconds since 1970, or so long before, as an ISO moment in UTC.

    To the millisecond, of which nothing is rounded up; `zone` is how UTC is written.
    """
    moment = _BARE_EPOCH + timedelta(0, seconds) - timedelta(0, ago)
    return moment.isoformat("T", "milliseconds") + zone


def outlasts(
    looks: int, seconds: float, is_so: Callable[[], bool], pause: Callable[[float], object]
) -> bool:
    """Tell whether something is so at each of some looks, and the end has not come. Blocks.

    Args:
        looks: How often it is looked at most.
        seconds: How long to wait after each look.
        is_so: Looks.
        pause: Waits so many seconds; `True` says that the end has come.
    """
    return all(is_so() and pause(seconds) is not True for _ in range(looks))


@lru_cache(maxsize=8)  # a moment of which many lines are told is put into words once
def clock_time(seconds: float, beside: float | None = None) -> str:
    """Return a moment in UTC, as all logs have it, with the day where `beside` is on another."""
    moment = datetime.fromtimestamp(seconds, UTC)
    same_day = beside is None or moment.date() == datetime.fromtimestamp(beside, UTC).date()
    return f"{moment:%H:%M:%S}Z" if same_day else f"{moment:%Y-%m-%d %H:%M:%S}Z"
