"""The tape: which trades of a market have been looked at, and what the others mean for the rules.

Kraken numbers the trades of each market one after the other, so a trade that was missed leaves a
hole in the numbers. This module knows the holes, reads the trades and candles that REST gives for
them, and finds what they would have fired. It decides what becomes of a rule that was crossed
while nobody could see it, and it has the words for it. Pure: it fetches nothing, knows no clock,
and fires nothing itself.

Source: Kraken, WebSocket v2 trade channel, REST Trades and OHLC (read 2026-11): `trade_id` counts
up by one per market, Trades pages of at most 1000 rows after `since`, OHLC of the newest 720 bars.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Any

from krakenlink.errors import ProtocolError
from krakenlink.numbers import plain, to_positive_decimal
from krakenlink.stream.feed import TradePrint
from ttslo_app.clocks import SECOND, clock_time, nanoseconds
from ttslo_app.messages import Past
from ttslo_app.rules.rule import Rule, ThresholdType, WhenBlind

_PAGE = 1000
_BARS = 720
# Kraken's candle lengths in minutes that reach back far enough for a program to have been off.
_INTERVALS = (1, 5, 15, 30, 60, 240, 1440)
# Trades of one sweep share a moment, and Kraken pages by moments: the first page begins a little
# before the last trade that was seen, and what is met twice is known by its number.
_OVERLAP = SECOND
# Kraken tells the moment of a trade as a JSON number, and a float of today holds it to 240 ns.
_BLUR = 1_000
# How far Kraken's clock, as it is estimated here, may be from the truth; in seconds.
_DOUBT = 5.0


# --- what has been looked at ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Position:
    """A place on the tape: all trades up to it have been looked at.

    `trade_id` is None where only the moment is known; `at_ns` is nanoseconds since 1970.
    """

    trade_id: int | None
    at_ns: int


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
        self._runs: list[list[int]] = []
        self._tip: TradePrint | None = None
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
                self._runs[-1][1] = last
            return prints, False
        fresh = [p for p in prints if p.trade_id > self._live]
        has_hole = False
        for one in fresh:
            has_hole |= self._take(one)
        return fresh, has_hole

    def _take(self, one: TradePrint) -> bool:
        number = one.trade_id
        self._live = max(self._live, number)
        if number <= self._newest:
            return False
        is_next = number == self._newest + 1
        if is_next and self._runs:
            self._runs[-1][1] = number
        elif not is_next:
            self._begin_run(one)
        self._newest, self._tip = number, one
        return not is_next

    def _begin_run(self, one: TradePrint) -> None:
        if not self._runs:
            self._base = self.floor
        at_ns = nanoseconds(one.timestamp)
        seen_at = (self._base.at_ns if at_ns is None else at_ns) / SECOND
        if self.blind_from is None:
            self.blind_from = self._base.at_ns / SECOND
        self.blind_to = max(seen_at, self.blind_to or 0.0)
        self._runs.append([one.trade_id, one.trade_id])

    def unseen(self, past: Iterable[Past]) -> list[Past]:
        """Return what of `past` nobody has looked at, in order; candles are passed through."""
        floor = self.floor
        return [one for one in past if one.bar_seconds or not self._is_known(one, floor)]

    def _is_known(self, one: Past, floor: Position) -> bool:
        if floor.trade_id is None:
            before = one.at_ns < floor.at_ns
        else:
            before = one.trade_id <= floor.trade_id
        return before or any(first <= one.trade_id <= last for first, last in self._runs)

    def close(self, newest: Past | None, until: float, *, is_cut: bool) -> bool:
        """Take REST's answer for the holes; False if it does not reach the stream's trades yet.

        Args:
            newest: The newest trade that REST gave, None where it gave none.
            until: When REST was asked, in seconds since 1970.
            is_cut: Whether the rest was looked at as candles, for good.
        """
        reached = -1 if newest is None else newest.trade_id
        if self._runs and not is_cut and reached < self._runs[-1][0] - 1:
            self.tries += 1
            return False
        self._runs.clear()
        if newest is not None and newest.trade_id > self._newest:
            self._newest, self._tip = newest.trade_id, None
            self._base = Position(newest.trade_id, newest.at_ns)
        elif self._newest < 0:
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


# --- what REST gives -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far back, and how many trades of a market, a look back goes.

    Attributes:
        seconds: Trades older than this are looked at as candles.
        trades: So many trades of one hole at most, the rest as candles: twenty pages, which take
            twenty seconds at the pace that Kraken bears.
    """

    seconds: float = 86_400.0
    trades: int = 20_000


def read_trades(result: Mapping[str, Any]) -> list[Past]:
    """Return the trades of a Trades `result`, oldest first.

    Raises:
        ProtocolError: If it has another shape than Kraken's.
    """
    try:
        return [
            Past(int(row[6]), to_positive_decimal(row[0]), round(float(row[2]) * 1e9))
            for row in _rows_of(result)
        ]
    except (ValueError, TypeError, IndexError, KeyError) as error:
        raise ProtocolError(f"Trades: an answer that cannot be read: {error!r}") from error


def read_bars(result: Mapping[str, Any], interval: int) -> list[Past]:
    """Return the two ends of each candle of an OHLC `result`, dated by its begin, oldest first.

    Raises:
        ProtocolError: If it has another shape than Kraken's.
    """
    try:
        return [
            Past(0, to_positive_decimal(row[end]), int(row[0]) * SECOND, interval * 60)
            for row in _rows_of(result)
            for end in (2, 3)
        ]
    except (ValueError, TypeError, IndexError, KeyError) as error:
        raise ProtocolError(f"OHLC: an answer that cannot be read: {error!r}") from error


def _rows_of(result: Mapping[str, Any]) -> list[Any]:
    found = [rows for name, rows in result.items() if name != "last"]
    if len(found) != 1 or not isinstance(found[0], list):
        raise ValueError("rows of one pair are expected")
    return found[0]


class LookBack:
    """The pages of one hole, as they come. `since` is what to ask next, in nanoseconds as text.

    Args:
        after: The place after which the hole begins.
        now: Kraken's clock, in seconds since 1970.
        bounds: How far to go.
    """

    def __init__(self, after: Position, now: float, bounds: Bounds) -> None:
        self.after = after
        self._bounds = bounds
        self._oldest = round((now - bounds.seconds) * SECOND)
        self._since = max(after.at_ns - _OVERLAP, self._oldest)
        self._trades: dict[int, Past] = {}
        self._bars: list[Past] = []
        self.is_complete = False
        self.is_cut = False

    @property
    def since(self) -> str:
        """What the next page is asked for after."""
        return str(self._since)

    @property
    def newest(self) -> Past | None:
        """The newest trade that came so far."""
        return self._trades[max(self._trades)] if self._trades else None

    @property
    def past(self) -> list[Past]:
        """Everything that came, in order: a candle where no trades were asked for."""
        trades = [self._trades[number] for number in sorted(self._trades)]
        early = [b for b in self._bars if not trades or b.at_ns < self._oldest]
        late = [b for b in self._bars if self.is_cut and trades and b.at_ns >= self._oldest]
        return early + trades + late

    def add_trades(self, page: Sequence[Past]) -> None:
        """Take a page; `is_complete` tells whether it was the last."""
        known = len(self._trades)
        self._trades.update((one.trade_id, one) for one in page)
        is_full = len(page) >= _PAGE
        self.is_cut = is_full and len(self._trades) >= self._bounds.trades
        self.is_complete = self.is_cut or not is_full
        if is_full:
            # A little earlier, so that a page never ends in the middle of a moment, the moments
            # being rounded; where one fills a whole page, the way on leads past it.
            step = _BLUR if len(self._trades) == known else -_BLUR
            self._since = max(self._since, max(one.at_ns for one in page) + step)

    def go_on(self) -> None:
        """Be incomplete again: there is more by now. What has come is kept, but for candles."""
        self.is_complete = False
        self._bars = []

    def bars_wanted(self, now: float) -> tuple[int, int] | None:
        """Return length in minutes, and begin in seconds since 1970, of the candles still needed.

        None where the trades tell it all.
        """
        if self._bars or not self.is_complete:
            return None
        if self.after.at_ns < self._oldest - _OVERLAP:
            begin = self.after.at_ns / SECOND
        elif self.is_cut and self.newest is not None:
            begin = self.newest.at_ns / SECOND
        else:
            return None
        minutes = next((i for i in _INTERVALS if i * 60 * _BARS > now - begin), _INTERVALS[-1])
        # `since` leaves the candle of that moment out, and the first one is needed whole.
        return minutes, int(begin) // (minutes * 60) * minutes * 60 - 1

    def add_bars(self, bars: Sequence[Past]) -> None:
        """Take the candles."""
        self._bars = list(bars)


# --- what would have fired -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Waiting:
    """A rule that waited; `since_ns` is the moment from which on trades count for it."""

    rule: Rule
    since_ns: int


@dataclass(frozen=True, slots=True)
class Touch:
    """The first price of the past that crosses a rule."""

    rule: Rule
    past: Past


@dataclass(slots=True)
class _Records:
    """The record prices of a sequence on one side, and where they were reached.

    Signs are turned for the lower side, so that one comparison serves both.
    """

    sign: int
    prices: list[Decimal] = field(default_factory=list)
    places: list[int] = field(default_factory=list)

    def add(self, price: Decimal, place: int) -> None:
        key = self.key(price)
        if not self.prices or key > self.prices[-1]:
            self.prices.append(key)
            self.places.append(place)

    def key(self, price: Decimal) -> Decimal:
        # `copy_negate` is exact where a minus sign would round.
        return price if self.sign > 0 else price.copy_negate()

    def first_at(self, threshold: Decimal) -> int | None:
        found = bisect_left(self.prices, self.key(threshold))
        return self.places[found] if found < len(self.places) else None


def first_crossings(past: Sequence[Past], waiting: Iterable[Waiting]) -> list[Touch]:
    """Return what `past`, in its order, would have fired, in the order of the crossings.

    Costs the length of `past` once, then O(log n) a rule; only rules that were armed in the
    middle of it look at the rest of it one by one.
    """
    high, low = _Records(1), _Records(-1)
    for place, one in enumerate(past):
        high.add(one.price, place)
        low.add(one.price, place)
    found: list[tuple[int, Touch]] = []
    for wait in waiting:
        records = high if wait.rule.threshold_type is ThresholdType.ABOVE else low
        at = records.first_at(wait.rule.threshold)
        if at is not None and past[at].at_ns < wait.since_ns:
            at = _first_after(past, wait, at)
        if at is not None:
            found.append((at, Touch(wait.rule, past[at])))
    found.sort(key=lambda pair: pair[0])
    return [touch for _, touch in found]


def _first_after(past: Sequence[Past], wait: Waiting, start: int) -> int | None:
    # A candle that began before the rule did may have been there before the rule was: it does
    # not count, as its begin is its date.
    for place in range(start, len(past)):
        one = past[place]
        if one.at_ns >= wait.since_ns and wait.rule.is_met_by(one.price):
            return place
    return None


# --- what becomes of it --------------------------------------------------------------------------


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


def span_words(blind_from: float, blind_to: float) -> str:
    """Return `from 12:03:11 to 12:03:52`, with days where it covers more than one."""
    return f"from {clock_time(blind_from, blind_to)} to {clock_time(blind_to, blind_from)}"


def found_words(market: str, touch: Touch, span: tuple[float, float]) -> str:
    """Return what was found: market, threshold, moment, and the time nobody looked."""
    at = touch.past.at_ns / SECOND
    moment = f"at {clock_time(at, span[1])}"
    if touch.past.bar_seconds:
        end = at + touch.past.bar_seconds
        moment = f"between {clock_time(at, span[1])} and {clock_time(end, span[1])}"
    threshold = f"{touch.rule.threshold:,f}"
    return f"{market} crossed {threshold} {moment} while blind {span_words(*span)}"


def deed_words(deed: Deed, policy: WhenBlind, present: Decimal | None) -> str:
    """Return what is done about it."""
    if deed is Deed.DONE:
        return "its order was on its way as soon as prices came again"
    if policy is WhenBlind.ALWAYS:
        return "its order is placed now"
    if policy is WhenBlind.NOTIFY:
        back = "is armed again once the price has come back"
        waits = "stays armed" if deed is Deed.STAY else back
        return f"no order is placed, as the row wants to be told only; it {waits}"
    if present is None:
        return "no price is proven just now, so the next one decides"
    if deed is Deed.FIRE:
        return f"the price is still beyond it at {plain(present)}, so its order is placed now"
    return f"the price is back at {plain(present)}, so no order is placed and the row stays armed"


# --- what is kept --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Saved:
    """What survives the program: places by market, parked rules, and when that was written.

    `at` is seconds since 1970.
    """

    at: float = 0.0
    places: Mapping[str, Position] = field(default_factory=dict)
    parked: frozenset[str] = frozenset()

    def to_text(self) -> str:
        """Return it as JSON."""
        places = {name: [p.trade_id, p.at_ns] for name, p in self.places.items()}
        found = {"saved_at": self.at, "markets": places, "parked": sorted(self.parked)}
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
                str(name): Position(None if number is None else int(number), int(at_ns))
                for name, (number, at_ns) in found["markets"].items()
            }
            return cls(float(found["saved_at"]), places, frozenset(map(str, found["parked"])))
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"an unknown shape: {error!r}") from error


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast the past is fetched, in seconds, and how far.

    Attributes:
        pair_gap: Between two calls for one pair; Kraken limits Trades and OHLC by pair.
        gap: Between any two calls; a few a second are far from what bans an address.
        settle: Before the first call after a reconnect: subscriptions are acknowledged within a
            round trip or two, and asking after that lets nothing fall between REST and stream.
        hole: The same after a hole in the numbers, while the stream goes on.
        retry: After a failure; doubles up to `retry_max`.
        retry_max: The longest of those waits.
        bounds: How far back, and how many trades, before candles have to do.
    """

    pair_gap: float = 1.0
    gap: float = 0.25
    settle: float = 1.0
    hole: float = 0.3
    retry: float = 1.0
    retry_max: float = 60.0
    bounds: Bounds = field(default_factory=Bounds)
