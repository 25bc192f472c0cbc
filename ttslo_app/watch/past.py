"""The past of a market, as REST gives it: trades page after page, candles for what is too much.

Pure: it says what to ask for and how soon, and reads the answers; the asking is the shell's. What
it must never do: leave out a trade between two pages, or take an answer that it cannot read for
one without trades.

Source: Kraken, REST Trades and OHLC (read 2026-11): Trades pages of at most 1000 rows after
`since`, OHLC of the newest 720 bars, both limited by pair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from krakenlink.errors import ProtocolError
from krakenlink.numbers import to_positive_decimal
from ttslo_app.clocks import SECOND, is_moment
from ttslo_app.messages import Past
from ttslo_app.watch.tape import Position

_PAGE = 1000
_MOST_TRADES = 10**15
_BARS = 720
# Kraken's candle lengths in minutes that reach back far enough for a program to have been off.
_INTERVALS = (1, 5, 15, 30, 60, 240, 1440)
# Trades of one sweep share a moment, and Kraken pages by moments: the first page begins a little
# before the last trade that was seen, and what is met twice is known by its number.
_OVERLAP = SECOND
# Kraken tells the moment of a trade as a JSON number, and a float of today holds it to 240 ns.
_BLUR = 1_000


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


def read_trades(result: Mapping[str, Any]) -> list[Past]:
    """Return the trades of a Trades `result`, oldest first.

    Raises:
        ProtocolError: If it has another shape than Kraken's.
    """
    try:
        return [
            Past(_number(row[6]), to_positive_decimal(row[0]), _moment(round(float(row[2]) * 1e9)))
            for row in _rows_of(result)
        ]
    except (ValueError, TypeError, IndexError, KeyError, OverflowError) as error:
        raise ProtocolError(f"Trades: an answer that cannot be read: {error!r}") from error


def read_bars(result: Mapping[str, Any], interval: int) -> list[Past]:
    """Return the two ends of each candle of an OHLC `result`, dated by its begin, oldest first.

    Raises:
        ProtocolError: If it has another shape than Kraken's.
    """
    try:
        return [
            Past(0, to_positive_decimal(row[end]), _moment(int(row[0]) * SECOND), interval * 60)
            for row in _rows_of(result)
            for end in (2, 3)
        ]
    except (ValueError, TypeError, IndexError, KeyError, OverflowError) as error:
        raise ProtocolError(f"OHLC: an answer that cannot be read: {error!r}") from error


def _number(value: object) -> int:
    """Return the number of a trade: a count, which no market has brought to a quadrillion."""
    number = int(value)  # type: ignore[call-overload]  # whatever it is, it is a count or none
    if not 0 <= number < _MOST_TRADES:
        raise ValueError(f"{number} is no number of a trade")
    return int(number)


def _moment(at_ns: int) -> int:
    if not is_moment(at_ns):
        raise ValueError(f"{at_ns} is no moment")
    return at_ns


def _rows_of(result: Mapping[str, Any]) -> list[Any]:
    found = [rows for name, rows in result.items() if name != "last"]
    if len(found) != 1 or not isinstance(found[0], list):
        raise ValueError("rows of one pair are expected")
    return found[0]


class LookBack:
    """The pages of one hole, as they come. `since` is what to ask next, in nanoseconds as text.

    Args:
        after: The place after which the hole begins.
        now: Kraken's clock, in seconds since 1970; None while nobody knows it: then the number of
            trades alone bounds it.
        bounds: How far to go.
    """

    def __init__(self, after: Position, now: float | None, bounds: Bounds) -> None:
        self.after = after
        self._bounds = bounds
        self._oldest = 0 if now is None else round((now - bounds.seconds) * SECOND)
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
