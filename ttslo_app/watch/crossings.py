"""First crossings in the past, what becomes of each, and whether what comes now is of now.

A price that fires a rule need not be the first beyond its threshold: a ticker overtakes trades
under way, a poll or a stream that is back tells nothing of the time before. What has fired stands
here until its first crossing is found, in the trades or in the past. Pure, and used by one thread;
it fires nothing itself. What it must never do: let a price count for a rule that is younger than
the price, take a trade for the first crossing that is younger than the one which fired, or call a
price newer than it is, or old while nobody knows what time it is.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import Enum, auto

from krakenlink.numbers import plain
from krakenlink.stream.events import TradePrint
from ttslo_app.clocks import SECOND, Clocks, Reckoning, iso_moment, nanoseconds
from ttslo_app.messages import FirstCrossing, Market, Past
from ttslo_app.rules.rule import Rule, ThresholdType, WhenBlind

# What an earlier run fired at the very price of the first crossing was seen when it happened,
# unless the crossing is so much older, in nanoseconds: an order takes a moment to be written down.
_SEEN = 5 * SECOND


@dataclass(frozen=True, slots=True)
class Armed:
    """A rule that waits for its crossing, or did until it fired.

    `since_ns` is the moment from which on trades count for it, in nanoseconds since 1970, and
    `seen_ns` that of a crossing which was seen and has no order. `since_at` is the first of them by
    the monotonic clock, None where an earlier run armed it. As long as nobody knows what time it
    is, `since_ns` is a guess.
    """

    rule: Rule
    market: Market
    since_ns: int
    seen_ns: int | None = None
    since_at: float | None = None
    is_guess: bool = False

    @property
    def is_from_before(self) -> bool:
        """Whether it waits since before this run."""
        return self.since_at is None

    def put_right(self, time: Reckoning) -> Armed:
        """Return it with the moment that it waits since, by Kraken's clock as it is known now."""
        if self.since_at is None:  # an earlier run armed it, which was before this one began
            since_ns = min(self.since_ns, time.began_ns)
        else:
            since_ns = time.ns_of(self.since_at)
        return replace(self, since_ns=since_ns, is_guess=False)

    def has_seen(self, first: Past) -> bool:
        """Tell whether a crossing of the past is the one that was seen when it happened."""
        if self.seen_ns is None:
            return False
        last_ns = first.at_ns + first.bar_seconds * SECOND
        return first.at_ns - _SEEN <= self.seen_ns <= last_ns + _SEEN

    def is_same_condition(self, other: Armed) -> bool:
        """Tell whether both are fired by the same prices of the same market."""
        mine, yours = self.rule, other.rule
        is_same_level = mine.threshold == yours.threshold
        is_same_side = mine.threshold_type is yours.threshold_type
        return is_same_level and is_same_side and self.market.name == other.market.name


@dataclass(frozen=True, slots=True)
class Touch:
    """The first price of the past that crosses a rule."""

    rule: Rule
    past: Past


@dataclass(slots=True)
class _Records:
    """The record prices of a sequence on one side, each further out, and where they were reached.

    Attributes:
        is_met: Tells of a threshold and a price whether the price is at it or beyond.
    """

    is_met: Callable[[Decimal, Decimal], bool]
    prices: list[Decimal] = field(default_factory=list)
    places: list[int] = field(default_factory=list)

    def add(self, price: Decimal, place: int) -> None:
        # A record is what no price before would have crossed.
        if not self.prices or not self.is_met(price, self.prices[-1]):
            self.prices.append(price)
            self.places.append(place)

    def first_at(self, threshold: Decimal) -> int | None:
        found = bisect_left(self.prices, True, key=lambda price: self.is_met(threshold, price))
        return self.places[found] if found < len(self.places) else None


def first_crossings(past: Sequence[Past], waiting: Iterable[Armed]) -> list[Touch]:
    """Return what `past`, in its order, would have fired, in the order of the crossings.

    Costs the length of `past` once, then O(log n) a rule; only rules that were armed in the
    middle of it look at the rest of it one by one.
    """
    sides = {side: _Records(side.is_met) for side in ThresholdType}
    for records in sides.values():
        for place, one in enumerate(past):
            records.add(one.price, place)
    found: list[tuple[int, Touch]] = []
    for armed in waiting:
        at = sides[armed.rule.threshold_type].first_at(armed.rule.threshold)
        if at is not None and past[at].at_ns < armed.since_ns:
            at = _first_after(past, armed, at)
        if at is not None:
            found.append((at, Touch(armed.rule, past[at])))
    found.sort(key=lambda pair: pair[0])
    return [touch for _, touch in found]


def _first_after(past: Sequence[Past], armed: Armed, start: int) -> int | None:
    # A candle that began before the rule did may have been there before the rule was: it does
    # not count, as its begin is its date.
    for place in range(start, len(past)):
        one = past[place]
        if one.at_ns >= armed.since_ns and armed.rule.is_met_by(one.price):
            return place
    return None


class Deed(Enum):
    """What is done with a rule that was crossed while nobody looked."""

    FIRE = "fire"
    STAY = "stay"  # armed as before
    PARK = "park"  # armed again once the price has been on the near side
    DONE = "done"  # it has fired meanwhile, at a price that was seen


def deed_for(policy: WhenBlind, rule: Rule, present: Decimal | None) -> Deed:
    """Return what becomes of `rule`, crossed while blind, at the proven price `present`.

    None is no proof of any price: what needs one waits for the next.
    """
    if policy is WhenBlind.ALWAYS:
        return Deed.FIRE
    is_beyond = present is not None and rule.is_met_by(present)
    if policy is WhenBlind.NOTIFY:
        return Deed.PARK if is_beyond or present is None else Deed.STAY
    return Deed.FIRE if is_beyond else Deed.STAY


class FromBefore(Enum):
    """What is known of a rule that an earlier run fired."""

    NOTED = auto()  # when it was written down, by this machine's clock, a moment after the trade
    FOUND = auto()  # the trade that crossed it first, of all that were looked at


@dataclass(frozen=True, slots=True)
class Firing:
    """A rule that has fired.

    Attributes:
        at_ns: A moment at or after that of the trade that fired it, by Kraken's clock, in
            nanoseconds since 1970; known to about a second where an earlier run `NOTED` it.
        seen: The price that fired it.
        from_before: What an earlier run left, None if this run fired it.
        fired_at: `at_ns` by the monotonic clock, where it is a guess; else None.
    """

    armed: Armed
    at_ns: int
    seen: Decimal
    from_before: FromBefore | None = None
    fired_at: float | None = None

    def put_right(self, time: Reckoning) -> Firing:
        """Return it by Kraken's clock as it is known now."""
        at_ns = self.at_ns if self.fired_at is None else time.ns_of(self.fired_at) + DOUBT
        return replace(self, armed=self.armed.put_right(time), at_ns=at_ns, fired_at=None)

    def is_outdone_by(self, first: Past, seen_at: Mapping[Decimal, int]) -> bool:
        """Tell whether `first` is news: a crossing before the one that has fired.

        Args:
            first: The first trade after the place where looking began that crosses.
            seen_at: When each price was traded first after that place.
        """
        if self.from_before is None:
            # The very price that fired, a moment before it was seen, is no news to anybody.
            is_it = first.price == self.seen and not first.bar_seconds
            last_ns = self.at_ns - (_SEEN if is_it else 0)
            return self.fired_at is not None or first.at_ns <= last_ns
        if self.from_before is FromBefore.FOUND or first.bar_seconds:
            return first.at_ns + first.bar_seconds * SECOND < self.at_ns
        # When it fired is known to about a second, and which of two trades was first by their
        # order: that which fired it is among those after that place, or nothing here is older.
        if seen_at.get(self.seen, self.at_ns + 2 * DOUBT) > self.at_ns + DOUBT:
            return False
        return self.seen != first.price or self.at_ns - first.at_ns > _SEEN


class Fired:
    """What has fired, by market.

    Attributes:
        ahead: What a ticker or a poll has fired, as long as the trade that it tells of may still
            come.
    """

    def __init__(self) -> None:
        self.ahead: dict[str, list[Firing]] = {}
        # What has fired since the past was last looked at: a look back may find that it was
        # crossed earlier than a price that was seen told.
        self._late: dict[str, dict[str, Firing]] = {}

    def add(self, firing: Firing) -> None:
        """Keep what has fired until the past has been looked at."""
        armed = firing.armed
        self._late.setdefault(armed.market.name, {})[armed.rule.id] = firing

    def expect(self, market: str, firings: Iterable[Firing]) -> None:
        """Expect the trade that the price which fired them tells of."""
        self.ahead.setdefault(market, []).extend(firings)

    def leave(self, market: str) -> None:
        """Forget what has fired in a market."""
        self._late.pop(market, None)
        self.ahead.pop(market, None)

    def put_right(self, time: Reckoning) -> list[Armed]:
        """Go by Kraken's clock as it is known now; return what waited since a guess."""
        guesses: list[Armed] = []
        for late in self._late.values():
            right = {i: firing.put_right(time) for i, firing in late.items()}
            guesses += [right[i].armed for i, one in late.items() if one.armed.is_guess]
            late.update(right)
        for name, firings in self.ahead.items():
            self.ahead[name] = [firing.put_right(time) for firing in firings]
        return guesses

    def forget(self, rule_id: str, since_ns: int) -> None:
        """Forget what a rule fired before it waited anew, since a moment of Kraken's clock.

        What is found out about that would be taken for a crossing of the present arming.
        """
        for name, firings in list(self.ahead.items()):
            left = [
                f for f in firings if f.armed.rule.id != rule_id or f.armed.since_ns == since_ns
            ]
            self.ahead[name] = left
            if not left:
                del self.ahead[name]
        for late in self._late.values():
            if rule_id in late and late[rule_id].armed.since_ns != since_ns:
                del late[rule_id]

    def has_fired(self, market: str, start: float, end: float) -> bool:
        """Tell whether anything fired between two moments in seconds since 1970, or soon after."""
        first, last = round(start * SECOND), round(end * SECOND) + DOUBT
        return any(first <= one.at_ns <= last for one in self._late.get(market, {}).values())

    def catch_up(self, market: str, prints: Iterable[TradePrint]) -> list[FirstCrossing]:
        """Find the first crossing of what fired before the trades that led there were looked at.

        Kraken promises no order between its channels, and a poll overtakes trades under way.

        Returns:
            Those that differ from the price that fired.
        """
        found: list[FirstCrossing] = []
        for one in prints:
            at_ns = nanoseconds(one.timestamp) or 0
            left = [firing for firing in self.ahead[market] if at_ns <= firing.at_ns]
            self.ahead[market] = [f for f in left if not f.armed.rule.is_met_by(one.price)]
            for firing in left:
                rule = firing.armed.rule
                if not rule.is_met_by(one.price):
                    continue
                self.add(replace(firing, at_ns=at_ns))
                if one.price != firing.seen:
                    found.append(FirstCrossing(rule.id, plain(one.price), iso_moment(at_ns)))
        if not self.ahead[market]:
            del self.ahead[market]
        return found

    def settle(self, market: str, found: Collection[str], until: float) -> None:
        """Expect no trade of the stream to tell the first crossing where REST has, or would have.

        What is traded a moment later, within the doubt about the clocks, would be taken for it.

        Args:
            market: Whose past was looked at.
            found: The rules of which a first crossing was found.
            until: When REST was asked, in seconds since 1970.
        """
        left = [
            firing
            for firing in self.ahead.pop(market, ())
            if firing.armed.rule.id not in found and firing.at_ns > until * SECOND
        ]
        if left:
            self.ahead[market] = left

    def take(self, market: str, until: float, *, is_open: bool) -> dict[str, Firing]:
        """Return, by rule id, what has fired in a market and is to be looked up in its past.

        Args:
            market: Whose past it is.
            until: When REST was asked for it, in seconds since 1970.
            is_open: Whether another answer will follow: it may hold what crossed a rule first
                that fired after this one was asked for.
        """
        late = self._late.pop(market, {})
        kept = {i: f for i, f in late.items() if is_open and f.at_ns > until * SECOND}
        # Nobody can tell yet what was traded before these were armed.
        guesses = {i: f for i, f in late.items() if f.armed.is_guess}
        if kept or guesses:
            self._late[market] = kept | guesses
        return {i: firing for i, firing in late.items() if i not in guesses}


def news_of(
    past: Sequence[Past], waiting: Mapping[str, Armed], fired: Mapping[str, Firing]
) -> list[Touch]:
    """Return what the past crosses of the rules that wait, or waited until they fired.

    Args:
        past: What nobody had looked at, in order.
        waiting: The rules of that market that wait now, by id.
        fired: What has fired in that market and does not wait anew, by rule id.

    Returns:
        In the order of the crossings; of what has fired only what crossed it before.
    """
    known = [*(firing.armed for firing in fired.values()), *waiting.values()]
    seen_at: dict[Decimal, int] = {}
    for one in past if fired else ():
        seen_at.setdefault(one.price, one.at_ns)
    return [
        touch
        for touch in first_crossings(past, known)
        if touch.rule.id in waiting or fired[touch.rule.id].is_outdone_by(touch.past, seen_at)
    ]


# Our idea of Kraken's clock may be off by this much, in nanoseconds.
DOUBT = 1 * SECOND


# A trade that is older when it comes, in nanoseconds, was held up on its way, and what it says is
# not how things stand; one of so long to come is nonsense.
_OLD, _TO_COME = 30 * SECOND, 600 * SECOND


# Where one moment of a second was judged with so much to spare on both sides, any of the same
# second is judged alike for a second more.
_SPARE = 5 * SECOND
_SECOND_TEXT = len("2026-11-20T10:15:42.")


class OfNow:
    """Tells whether trades that come are of now. For one thread.

    A busy market trades many times in a second, so that its text mostly says enough.

    Args:
        clocks: The clocks.
    """

    def __init__(self, clocks: Clocks) -> None:
        self._clocks = clocks
        self._second = ""  # how the moments begin that are of now until `_until`
        self._until = -math.inf

    def __call__(self, prints: Sequence[TradePrint]) -> bool:
        """Tell whether no print of a frame is old, or of a time to come; both are no news.

        Before Kraken has said what time it is nobody can tell, and they pass for news.
        """
        first, last = prints[0].timestamp, prints[-1].timestamp
        # Most frames hold one trade, and those of one order share their moment.
        is_known = self._is_known(first) and (last == first or self._is_known(last))
        if is_known and self._clocks.monotonic() < self._until:
            return True
        return self._judge(first, last)

    def _is_known(self, moment: str | None) -> bool:
        """Tell whether a moment is of the second that was judged; by Greenwich, as Kraken's are."""
        return (
            moment is not None
            and moment[:_SECOND_TEXT] == self._second
            and moment[-1:] == "Z"  # of another place it would be of another second
        )

    def _judge(self, first: str | None, last: str | None) -> bool:
        if not self._clocks.is_known():
            return True
        now_ns, ages = self._clocks.kraken_ns(), []
        for timestamp in (first,) if last == first else (first, last):
            at_ns = nanoseconds(timestamp)
            if at_ns is not None:
                ages.append(now_ns - at_ns)
        if first is not None and first[-1:] == "Z" and ages:
            has_spare = all(_SPARE - _TO_COME <= age <= _OLD - _SPARE for age in ages)
            self._second = first[:_SECOND_TEXT] if has_spare else ""
            self._until = self._clocks.monotonic() + 1.0
        return all(-_TO_COME <= age <= _OLD for age in ages)


def is_older(armed: Armed, at_ns: int | None, seen_at: float | None, clocks: Clocks) -> bool:
    """Tell whether a price is older than a rule, which it says nothing of then.

    A trade bears Kraken's moment, and Kraken's clock is known to about a second. When a price
    came is known exactly, by the same clock as when the rule was armed.

    Args:
        armed: The rule.
        at_ns: When the price was traded, in nanoseconds since 1970; None where nobody says.
        seen_at: When it came, or was asked for, on the monotonic clock; None for now.
        clocks: The clocks.
    """
    if at_ns is not None and not armed.is_guess and clocks.is_known():
        return at_ns + DOUBT < armed.since_ns
    if armed.since_at is None:
        return False  # it waits since an earlier run, and what comes now is younger
    return seen_at is not None and seen_at < armed.since_at
