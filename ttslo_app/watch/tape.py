"""The tape: which trades of a market have been looked at, and which have not.

Kraken numbers the trades of each market one after the other, so a trade that was missed leaves a
hole in the numbers. This module knows the holes, and how far looking had come when the program
was ended. Pure: it fetches nothing and knows no clock. What it must never do: take a trade for
looked at that nobody has seen.

Source: Kraken, WebSocket v2 trade channel (read 2026-11): `trade_id` counts up by one per market.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from krakenlink.stream.events import TradePrint
from ttslo_app.clocks import SECOND, is_moment, nanoseconds
from ttslo_app.messages import Past

# REST and stream tell the moment of one trade a little differently; in nanoseconds.
_BLUR = SECOND // 1000
# How far Kraken's clock, as it is estimated here, may be from the truth; in seconds.
_DOUBT = 5.0
# REST is a second or two behind the stream; an answer after so many that had not caught up may
# refute a number whose moment tells nothing.
_PATIENT_TRIES = 3


@dataclass(frozen=True, slots=True)
class Position:
    """A place on the tape: all trades up to it have been looked at.

    `trade_id` is None where only the moment is known; `at_ns` is nanoseconds since 1970.
    """

    trade_id: int | None
    at_ns: int


@dataclass(slots=True)
class _Run:
    """Numbers seen on the stream one after the other, with a hole before them.

    `before` is the newest print on the other side of that hole, None where the stream brought none.
    """

    first: int
    last: int
    before: TradePrint | None


class MarketTape:
    """Which trades of one market have been looked at. Used by one thread.

    In the good case there is one unbroken run of numbers, and a frame that goes on with it costs
    two comparisons. After a hole the runs seen since are kept until REST has closed it.

    Args:
        base: Where looking begins.
        blind_from: Since when nobody has looked, in seconds since 1970.
    """

    def __init__(self, base: Position, blind_from: float) -> None:
        self._base = base
        # Runs of numbers seen on the stream beyond `_base`, with a hole before each.
        self._runs: list[_Run] = []
        self._tip: TradePrint | None = None
        self._is_vague = False  # whether the moment of the floor may be older than its number
        self._newest = -1 if base.trade_id is None else base.trade_id
        self._live = self._newest  # the newest on the stream, where `_newest` may be REST's
        self.blind_from: float | None = blind_from
        self.blind_to: float | None = None
        self._is_dark = False  # whether it is known that nobody looks just now
        self.looked_at = blind_from  # when REST was last asked, in seconds since 1970
        self.is_reported = base.trade_id is not None  # whether the end of a blind time is news
        self.tries = 0

    @property
    def is_open(self) -> bool:
        """Whether there are trades, or may be, that nobody has looked at."""
        return bool(self._runs) or self.blind_from is not None

    @property
    def floor(self) -> Position:
        """The place up to which every trade has been looked at."""
        if self._runs or self._tip is None:
            return self._base
        at_ns = nanoseconds(self._tip.timestamp)
        return Position(self._newest, self._base.at_ns if at_ns is None else at_ns)

    def reach_back(self, at_ns: int) -> None:
        """Let looking begin earlier, as long as it has not begun."""
        if self._base.trade_id is None and at_ns < self._base.at_ns:
            self._base = Position(None, at_ns)
            self.blind_from = at_ns / SECOND

    def begin_at(self, at_ns: int, now: float, *, is_guess: bool) -> None:
        """Let looking begin at a moment, whatever was looked at since.

        Args:
            at_ns: The moment, in nanoseconds since 1970.
            now: The present, in seconds since 1970.
            is_guess: Whether the place where it had begun was a guess; else one that is still to be
                looked back to stays.
        """
        if self.is_open and not is_guess:
            return
        if self._newest >= 0 and not self._runs:
            self._runs.append(_Run(self._newest, self._newest, None))
        self._base, self.blind_from = Position(None, at_ns), at_ns / SECOND
        self.blind_to = None if self._is_dark else now

    def not_after(self, now: float) -> None:
        """Let no moment be to come, as a clock that was ahead has told them; `now` is known."""
        if self._base.trade_id is None:
            self._base = Position(None, min(self._base.at_ns, round(now * SECOND)))
        self.looked_at = min(self.looked_at, now)
        if self.blind_from is not None:
            self.blind_from = min(self.blind_from, now)
        if self.blind_to is not None:
            self.blind_to = min(self.blind_to, now)

    @property
    def is_opening(self) -> bool:
        """Whether no trade has been seen yet, so that the first leaves a hole before it."""
        return self._newest < 0

    def go_blind(self, since: float, *, is_reported: bool = True) -> None:
        """Note that nobody looks any more, since `since`."""
        if self.blind_from is None:
            self.blind_from = since
        self.is_reported |= is_reported
        self.blind_to = None
        self._is_dark = True

    def see_again(self, now: float) -> None:
        """Note that somebody looks again; what was missed is still to be fetched."""
        self._is_dark = False
        if self.blind_from is not None and self.blind_to is None:
            self.blind_to = now

    def span(self, until: float) -> tuple[float, float]:
        """Return the time in which nobody looked, which ends at `until` if it has not ended."""
        start = self.looked_at if self.blind_from is None else self.blind_from
        return start, max(start, until if self.blind_to is None else self.blind_to)

    def see(self, prints: Sequence[TradePrint]) -> tuple[Sequence[TradePrint], bool]:
        """Return the prints that were not on the stream before, and whether they leave a hole.

        A print that REST has given already counts all the same: it is live, so no policy for
        blind times has a say in it.
        """
        first, last = prints[0].trade_id, prints[-1].trade_id
        if first == self._newest + 1 and last - first == len(prints) - 1:
            self._newest = self._live = last
            self._tip = prints[-1]
            if self._runs:
                self._runs[-1].last = last
            return prints, False
        if any(self._is_anew(one) for one in prints):
            self._begin_anew()
        fresh = [p for p in prints if p.trade_id > self._live or self._is_missing(p.trade_id)]
        has_hole = False
        for one in fresh:
            has_hole |= self._take(one)
        return fresh, has_hole

    def _is_missing(self, number: int) -> bool:
        """Tell whether a number lies in a hole: it comes late, or a number before it was wrong."""
        floor = self._base.trade_id
        return (
            bool(self._runs)
            and (floor is None or floor < number)
            and number < self._runs[-1].first
            and not any(run.first <= number <= run.last for run in self._runs)
        )

    def _is_anew(self, one: TradePrint) -> bool:
        """Tell whether the numbers begin anew: a lower one is younger than a higher one before."""
        tip = self._tip
        if tip is None or one.trade_id > self._live:
            return False
        at_ns, tip_ns = nanoseconds(one.timestamp), nanoseconds(tip.timestamp)
        return at_ns is not None and tip_ns is not None and at_ns > tip_ns

    def _begin_anew(self) -> None:
        """Know nothing of numbers any more: what comes now leaves a hole since the last moment."""
        floor = self.floor
        self._base, self._tip = Position(None, floor.at_ns), None
        self._newest = self._live = -1
        self._runs.clear()

    def _take(self, one: TradePrint) -> bool:
        number = one.trade_id
        self._live = max(self._live, number)
        if number <= self._newest:
            if self._is_missing(number):
                self._fill(one)
            return False
        is_next = number == self._newest + 1
        if is_next and self._runs:
            self._runs[-1].last = number
        elif not is_next:
            self._begin_run(one)
        self._newest, self._tip = number, one
        return not is_next

    def _begin_run(self, one: TradePrint) -> None:
        if not self._runs:
            self._is_vague |= self._tip is not None and nanoseconds(self._tip.timestamp) is None
            self._base = self.floor
        at_ns = nanoseconds(one.timestamp)
        seen_at = (self._base.at_ns if at_ns is None else at_ns) / SECOND
        if self.blind_from is None:
            self.blind_from = self._base.at_ns / SECOND
        self.blind_to = max(seen_at, self.blind_to or 0.0)
        self._runs.append(_Run(one.trade_id, one.trade_id, self._tip))

    def _fill(self, one: TradePrint) -> None:
        """Take in what lies in a hole; what it joins to the floor moves that."""
        number, runs = one.trade_id, self._runs
        place = next(i for i, run in enumerate(runs) if number < run.first)
        after = runs[place]
        if place and runs[place - 1].last + 1 == number:
            runs[place - 1].last = number
        else:
            runs.insert(place, _Run(number, number, after.before))
            place += 1
        after.before = one
        if number + 1 == after.first:
            joined = runs.pop(place - 1)
            after.first, after.before = joined.first, joined.before
        if self._base.trade_id is not None and runs[0].first == self._base.trade_id + 1:
            self._move_base(runs.pop(0).last)

    def _move_base(self, number: int) -> None:
        """Let the floor be at the end of a run that has no hole before it any more."""
        last = self._runs[0].before if self._runs else None
        at_ns = None if last is None else nanoseconds(last.timestamp)
        self._is_vague |= bool(self._runs) and at_ns is None
        self._base = Position(number, self._base.at_ns if at_ns is None else at_ns)

    def _refute(self, newest: Past) -> None:
        """Forget the last run where REST's trades show that its number cannot be.

        REST had a younger trade with a lower number. Where that cannot be told, as the trade has
        no moment, or shares it with REST's newest, REST has to show nothing more for a while.
        """
        run, tip = self._runs[-1], self._tip
        tip_ns = None if tip is None else nanoseconds(tip.timestamp)
        is_younger = tip_ns is not None and newest.at_ns > tip_ns + _BLUR
        is_doubtful = tip_ns is None or newest.at_ns >= tip_ns - _BLUR
        if not is_younger and (not is_doubtful or self.tries < _PATIENT_TRIES):
            return
        self._runs.pop()
        floor = -1 if self._base.trade_id is None else self._base.trade_id
        self._newest = self._runs[-1].last if self._runs else floor
        self._tip = run.before
        self._live = -1 if run.before is None else run.before.trade_id

    def unseen(self, past: Iterable[Past]) -> list[Past]:
        """Return what of `past` nobody has looked at, in order; candles are passed through."""
        floor = self.floor
        return [one for one in past if one.bar_seconds or not self._is_known(one, floor)]

    def _is_known(self, one: Past, floor: Position) -> bool:
        if floor.trade_id is None:
            # Since when a rule waits tells the rest; this moment is known to about a second.
            before = one.at_ns < floor.at_ns - SECOND
        else:
            # A lower number that is younger shows that the numbers have begun anew.
            is_younger = one.at_ns > floor.at_ns + _BLUR and not self._is_floor_vague
            before = one.trade_id <= floor.trade_id and not is_younger
        return before or any(run.first <= one.trade_id <= run.last for run in self._runs)

    @property
    def _is_floor_vague(self) -> bool:
        if self._runs or self._tip is None:
            return self._is_vague
        return nanoseconds(self._tip.timestamp) is None

    def close(
        self, newest: Past | None, until: float, *, is_cut: bool, is_guess: bool = False
    ) -> bool:
        """Take REST's answer for the holes; False if it does not reach the stream's trades yet.

        Args:
            newest: The newest trade that REST gave, None where it gave none.
            until: When REST was asked, in seconds since 1970.
            is_cut: Whether the rest was looked at as candles, for good.
            is_guess: Whether nobody knows what time it is, so that `until` may be any.
        """
        reached = -1 if newest is None else newest.trade_id
        if self._runs and newest is not None and reached < self._runs[-1].first - 1:
            self._refute(newest)
        if self._runs and not is_cut and reached < self._runs[-1].first - 1:
            self.tries += 1
            if newest is not None and reached > (self._base.trade_id or 0):
                self._base = Position(newest.trade_id, newest.at_ns)  # so far it is known
            return False
        self._runs.clear()
        if newest is not None and newest.trade_id > self._newest:
            self._newest, self._tip, self._is_vague = newest.trade_id, None, False
            self._base = Position(newest.trade_id, newest.at_ns)
        elif self._newest < 0 and not is_guess:
            # The market has not traded. The clocks may differ a little, and looking twice at the
            # trades of some seconds is harmless.
            self._base = Position(None, max(self._base.at_ns, round((until - _DOUBT) * SECOND)))
        # An answer that comes while nobody looks covers only what was before it was asked for.
        self.blind_from = until if self._is_dark else None
        self.blind_to = None
        self.looked_at = until
        self.is_reported &= self._is_dark
        self.tries = 0
        return True


@dataclass(frozen=True, slots=True)
class Saved:
    """What survives the program: places by market, parked rules, and when that was written.

    Attributes:
        at: When, in seconds since 1970 by Kraken's clock.
        places: How far the tape of each market was seen.
        parked: The rules that wait for the price to come back.
        kept_at: When, for the markets that were not followed then: their places are older.
    """

    at: float = 0.0
    places: Mapping[str, Position] = field(default_factory=dict)
    parked: frozenset[str] = frozenset()
    kept_at: Mapping[str, float] = field(default_factory=dict)

    def to_text(self) -> str:
        """Return it as JSON."""
        places = {name: [p.trade_id, p.at_ns] for name, p in self.places.items()}
        found = {
            "saved_at": self.at,
            "markets": places,
            "parked": sorted(self.parked),
            "kept_at": dict(self.kept_at),
        }
        return json.dumps(found)

    @classmethod
    def from_text(cls, text: str) -> Saved:
        """Return what `to_text` wrote.

        Raises:
            ValueError: If `text` is nothing of the kind.
        """
        try:
            found = json.loads(text)
            places = {
                str(name): Position(None if number is None else int(number), _moment(int(at_ns)))
                for name, (number, at_ns) in found["markets"].items()
            }
            kept_at = {str(n): _seconds(at) for n, at in found.get("kept_at", {}).items()}
            parked = frozenset(map(str, found["parked"]))
            return cls(_seconds(found["saved_at"]), places, parked, kept_at)
        except (TypeError, KeyError, AttributeError, OverflowError) as error:
            raise ValueError(f"an unknown shape: {error!r}") from error


def _moment(at_ns: int) -> int:
    if not is_moment(at_ns):
        raise ValueError(f"{at_ns} is no moment")
    return at_ns


def _seconds(at: float) -> float:
    return _moment(round(float(at) * SECOND)) / SECOND
