"""Candles and trades of one market as they come, kept for whoever joins them to what REST tells.

Pure and not thread-safe. A tape begins with an acknowledgement and ends with the connection, with a
doubt, or with the next acknowledgement: between two tapes something may be missing, within one
nothing is. What cannot be read ends it. It is written down once somebody has looked, and that is
before REST is asked: most listeners want what happens, and nothing kept of it.

Sources: Kraken, spot WebSocket v2 (ohlc, trade); REST OHLC and Trades (read 2026-11).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import islice, pairwise
from typing import Any, Generic, Literal, TypeVar

from krakenlink.pairs import Symbol
from krakenlink.stream.events import TradePrint

INTERVALS = (1, 5, 15, 30, 60, 240, 1440, 10080, 21600)
"""The minutes of a candle that Kraken has."""

# REST has as many candles and trades in one answer.
MOST_CANDLES, MOST_TRADES = 720, 1000
# In trades or in seconds: nothing that is missed between two messages takes so many.
_TOO_FAR = 10**8
# After so many in turn below the highest place that one was nonsense; and so many others are kept.
_SURE, _MOST_OTHERS = 8, 8
# REST and stream tell the moment of one trade a little differently; in seconds.
_BLUR = 0.001


def checked_interval(interval: object) -> int:
    """Return the minutes of a candle of Kraken's.

    Raises:
        ValueError: If there are no such candles.
    """
    if isinstance(interval, bool) or not isinstance(interval, int) or interval not in INTERVALS:
        raise ValueError(f"interval is {interval!r}; Kraken has {', '.join(map(str, INTERVALS))}")
    return interval


@dataclass(frozen=True, slots=True)
class Candle:
    """What was traded in one interval.

    Attributes:
        begin: When it begins, in seconds since 1970.
        open: The first price.
        high: The highest.
        low: The lowest.
        close: The last one so far.
        volume: In base currency.
        trades: How many there were.
        vwap: Mean price, weighted by volume; None where it was not told.
    """

    begin: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    trades: int
    vwap: Decimal | None = None

    @property
    def is_sane(self) -> bool:
        """Whether such prices can have been traded at."""
        prices = (self.open, self.close)
        return 0 < self.low <= min(prices) and max(prices) <= self.high and self.volume >= 0


@dataclass(frozen=True, slots=True)
class Candles:
    """The candles of a market, oldest first; the last one may still move. Frozen.

    Attributes:
        symbol: The market.
        interval: Minutes of a candle.
        candles: Without gap or twin, as far as Kraken has them; an interval without a trade may
            have none.
        source: `websocket`: as streamed, joined to REST; `rest`: as REST told them.
        at: When they were read, on `ws_price_provider.feed_clock`.
        proven_age: Seconds since they were last known to be all.
    """

    symbol: Symbol
    interval: int
    candles: tuple[Candle, ...]
    source: Literal["websocket", "rest"]
    at: float
    proven_age: float


Item = TypeVar("Item")


class Tape(Generic[Item]):
    """What comes after an acknowledgement, by its place: a moment, or a number.

    Args:
        most: How many are kept; at times a sixteenth more.
        is_kept: Whether it is written down at once, and not from `keep` on.

    Attributes:
        items: What is written down, by place, in the order in which it came first.
        last: The place up to which it goes; None before the first.
        heard_at: When something came last.
    """

    def __init__(self, most: int, *, is_kept: bool = False) -> None:
        # To drop one by one would mean to search each time for the first that is left.
        self._most, self._room = most, most + most // 16
        self._is_kept = is_kept
        self.items: dict[int, Item] = {}
        self.last: int | None = None
        self.heard_at = float("-inf")
        # Where what comes goes on, mostly at `last`, and where it did before, that last.
        self._head = 0
        self._others: list[int] = []
        # What came since below this highest place, in turn: the highest of that, and how many.
        self._top, self._peak, self._below = 0, 0, 0

    def keep(self) -> None:
        """Write down all that comes from now on."""
        self._is_kept = True

    def add(self, place: int, item: Item) -> int | None:
        """Take one in, or the news of one; return the place before a hole, None where none is."""
        if self._is_kept:
            self._write(place, item)
        last = self.last
        if last is not None and (place != last + 1 or self._head != last):
            return self._put(place, last)
        self.last = self._head = place
        return None

    def _put(self, place: int, last: int) -> int | None:
        """Take in the place of what does not just follow; return as `add` does.

        A place may be nonsense, and far ahead of all that come: they go on behind the one before
        it, and what is missing there is told. One that nothing could lead to is none to go by
        until another follows it.
        """
        head, others = self._head, self._others
        is_odd = place - head > _TOO_FAR
        if not is_odd:
            self._reach(place, last)
        if place == head or place in others:
            return None
        before = max([head, *(one for one in others if one < place)])
        if place - 1 == head or place - 1 in others:
            before = place - 1
            others[:] = [one for one in [*others, head] if one != before]
            self._head = place
        elif is_odd or place < head:
            others.append(place)
        else:
            others.append(head)
            self._head = place
        del others[:-_MOST_OTHERS]
        return before if place - 1 > before and (is_odd or self._head == place) else None

    def _reach(self, place: int, last: int) -> None:
        """Go up to a place, if it is the highest, or many have come below that."""
        if place >= last:
            self.last, self._below = place, 0
            return
        is_in_turn = self._below and self._top == last
        self._peak = max(self._peak, place) if is_in_turn else place
        self._top, self._below = last, self._below + 1 if is_in_turn else 1
        if self._below >= _SURE:
            self.last, self._below = self._peak, 0

    def _write(self, place: int, item: Item) -> None:
        items = self.items
        items[place] = item
        if len(items) > self._room:
            for oldest in [*islice(items, len(items) - self._most)]:
                del items[oldest]


def joined(
    base: Mapping[int, Item], tape: Mapping[int, Item], most: int, is_newer: Any = None
) -> dict[int, Item]:
    """Return what both tell, in order, each place once.

    Args:
        base: What REST told.
        tape: What the stream told since its acknowledgement.
        most: How many to return, the newest.
        is_newer: Tells whether the second of two with one place is the newer; None: it is.
    """
    found = dict(base)
    for place, item in tape.items():
        if place not in found or is_newer is None or is_newer(found[place], item):
            found[place] = item
    return {place: found[place] for place in sorted(found)[-most:]}


def holes(places: Sequence[int], step: int, after: int) -> frozenset[tuple[int, int]]:
    """Return the neighbours of what is missing, where the later one lies after `after`."""
    pairs = pairwise(places)
    return frozenset(pair for pair in pairs if pair[1] > after and pair[1] - pair[0] > step)


def impossible(
    tape: dict[int, TradePrint], told: Mapping[int, TradePrint], *, is_patient: bool
) -> set[int]:
    """Return which trades of the stream cannot have their numbers, for all that REST has told.

    What REST does not show yet may come: it is behind by a moment. Its numbers refute one only
    where it has come to what was traded later, and that is numbered lower.

    Args:
        tape: What the stream told, by number, in the order in which it came.
        told: What REST told, by number.
        is_patient: Whether REST has been asked for a while, so that the same moment, or none, says
            enough.
    """
    last = max(told, default=0)
    beyond = sorted(number for number in tape if number > last)
    if not told or not beyond or beyond[-1] - last == len(beyond):
        return set()  # each follows the one before
    first = next(number for before, number in pairwise([last, *beyond]) if number - before > 1)
    newest = _moment(told[last])
    found, is_followed = set(), False
    for number, trade in reversed(tape.items()):
        if number <= last:
            is_followed = True
        elif number >= first and (is_followed or _is_older(trade, newest, is_patient=is_patient)):
            found.add(number)
    return found


def _is_older(trade: TradePrint, newest: float | None, *, is_patient: bool) -> bool:
    at = _moment(trade)
    if at is None or newest is None:
        return is_patient
    return newest - at > _BLUR or (is_patient and newest - at >= -_BLUR)


def _moment(trade: TradePrint) -> float | None:
    try:
        return datetime.fromisoformat(trade.timestamp or "").timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def plausible(
    items: Mapping[int, Item], newest: int, elapsed: float, width: int
) -> dict[int, Item]:
    """Return those that may have begun by now, for all that REST has told.

    Where nobody has traded for long REST may know of none; then it has to be asked once more.

    Args:
        items: Candles by the moment at which they begin.
        newest: When the last one began that REST told of.
        elapsed: Seconds since REST was asked.
        width: Seconds of a candle.
    """
    latest = newest + elapsed + 2 * width
    return {begin: item for begin, item in items.items() if begin <= latest}


def by_begin(candles: Iterable[Candle]) -> dict[int, Candle]:
    """Return candles by the moment at which they begin."""
    return {candle.begin: candle for candle in candles}


def has_more(known: Candle, told: Candle) -> bool:
    """Tell whether the second of two of one interval knows of as many trades, or of more."""
    return told.trades >= known.trades
