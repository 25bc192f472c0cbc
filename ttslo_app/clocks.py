"""The clocks of the program, handed in by whoever starts it, and moments as text.

Pure: no clock is read here but those that are handed in, so a test moves time as it likes. Three
clocks are told apart, as each lies in its own way: Kraken's is an estimate, this machine's may be
set by anybody, and seconds that only grow tell no date.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

# A second in nanoseconds, in which Kraken's trades are told apart.
SECOND = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Clocks:
    """The clocks; each may be read from any thread and never blocks.

    Attributes:
        kraken: Kraken's clock as it is estimated, in seconds since 1970.
        wall: This machine's clock, in seconds since 1970.
        monotonic: Seconds that only grow, from any beginning.
    """

    kraken: Callable[[], float]
    wall: Callable[[], float]
    monotonic: Callable[[], float]

    def utc(self) -> datetime:
        """Return the present moment in UTC, by this machine's clock."""
        return datetime.fromtimestamp(self.wall(), UTC)

    def kraken_ns(self) -> int:
        """Return the present moment by Kraken's clock, in nanoseconds since 1970."""
        return round(self.kraken() * SECOND)

    def at_kraken(self, moment: str) -> int | None:
        """Return an ISO moment of this machine's clock by Kraken's, in nanoseconds since 1970.

        None for what is no moment.
        """
        at_ns = nanoseconds(moment)
        if at_ns is None:
            return None
        return at_ns + round((self.kraken() - self.wall()) * SECOND)


def nanoseconds(timestamp: str | None) -> int | None:
    """Return an ISO moment in nanoseconds since 1970; None for what is no moment."""
    try:
        moment = datetime.fromisoformat(timestamp or "")
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def iso_moment(at_ns: int) -> str:
    """Return nanoseconds since 1970 as an ISO moment in UTC, to the microsecond."""
    return (_EPOCH + timedelta(microseconds=at_ns // 1000)).isoformat(timespec="microseconds")


def clock_time(seconds: float, beside: float | None = None) -> str:
    """Return a moment as a person's clock shows it, with the day where `beside` is on another."""
    moment = datetime.fromtimestamp(seconds)
    same_day = beside is None or moment.date() == datetime.fromtimestamp(beside).date()
    return f"{moment:%H:%M:%S}" if same_day else f"{moment:%Y-%m-%d %H:%M:%S}"
