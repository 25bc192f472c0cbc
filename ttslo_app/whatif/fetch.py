"""Trades of a span up to now, from Kraken's REST: page after page, kept as they come.

What is kept is not asked for again, so whoever stops with Ctrl-C, or is stopped by an outage, goes
on from there. What it must never do: leave a hole between two pages in silence, or ask faster than
Kraken bears.

Source: Kraken, REST Trades (read 2026-11): pages of at most 1000 rows after `since`, limited for
each address and each pair; about one call a second is the pace that is known to be safe.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from krakenlink.errors import (
    KrakenAPIError,
    KrakenError,
    KrakenTransportError,
    ProtocolError,
    RateLimitError,
)
from krakenlink.numbers import doubled
from ttslo_app.backtest.history import to_units
from ttslo_app.backtest.recording import Recording, recording_of
from ttslo_app.backtest.trade_cache import Page, TradeCache
from ttslo_app.clocks import iso_moment
from ttslo_app.watch.past import Pace, read_trades
from ttslo_app.whatif.progress import Progress

_SECOND = 1_000_000_000
_FULL = 1000
# Kraken tells moments as floats, which hold those of today to 240 ns: each page begins a little
# before the last one ended, and what comes twice is known by its number.
_BLUR = 1_000
# Kraken may be away for six minutes before somebody must start this again; where it was never
# there, half a minute tells as much.
_TRIES, _FIRST_TRIES = 12, 6


class Unfetched(Exception):
    """Why trades could not be fetched; the text says what is kept, and the cure."""


class TradeSource(Protocol):
    """The part of `KrakenAPI` that trades come from."""

    def get_trades(self, pair: str, since: str | int | None = None) -> dict[str, Any]:
        """Return Kraken's Trades `result`."""
        ...


@dataclass(slots=True)
class Fetcher:
    """Fetches trades. For one thread.

    Attributes:
        source: Kraken over REST.
        cache: What is kept.
        progress: What is told how far it has come.
        wait: Waits for so many seconds.
        pace: How fast Kraken may be asked.
    """

    source: TradeSource
    cache: TradeCache
    progress: Progress
    wait: Callable[[float], object]
    pace: Pace

    def fetch(self, pair: str, begin: int, now: float) -> Recording:
        """Return all trades of a pair from a moment on to `now`. Blocks, often for long.

        Args:
            pair: Kraken's key of it.
            begin: Nanoseconds since 1970.
            now: Seconds since 1970.

        Raises:
            Unfetched: If Kraken refuses, or is away for long, or there are no trades.
            KeyboardInterrupt: With Ctrl-C; what came before it is kept.
        """
        end, place, asked = round(now * _SECOND), begin, 0
        pages: list[Page] = []
        while place < end:
            page, is_last = self.cache.page_at(pair, place), False
            if page is None:
                try:
                    if asked:
                        self.wait(self.pace.pair_gap)
                    page, is_last = self._asked(pair, place, _TRIES if asked else _FIRST_TRIES)
                except KeyboardInterrupt:
                    self.progress.say(f"Stopped. {self.kept(place)}")
                    raise
                asked += 1
                if page.ended > place:
                    self.cache.add(pair, page)
            pages.append(page)
            place = page.ended
            self._tell((place - begin) / (end - begin), sum(len(one.price) for one in pages), place)
            if is_last:
                break
        return self._joined(pair, pages, begin, end)

    def _tell(self, share: float, count: int, place: int) -> None:
        self.progress.show(min(1.0, share), f"{count} trades until {iso_moment(place)[:16]}Z")

    def _asked(self, pair: str, place: int, tries: int) -> tuple[Page, bool]:
        """Return the page after a moment, and whether it is the last; tries until it comes."""
        for failures in range(tries):
            try:
                return _page(self.source.get_trades(pair, str(place)), place)
            except (KrakenTransportError, ProtocolError, RateLimitError) as error:
                trouble: KrakenError = error
            except KrakenAPIError as error:
                if "Unavailable" not in str(error) and "Busy" not in str(error):
                    raise Unfetched(f"{str(error).rstrip('.')}. {self.kept(place)}") from None
                trouble = error
            if failures == tries - 1:
                break
            pause = doubled(self.pace.retry, failures, self.pace.retry_max)
            pause = max(pause, getattr(trouble, "retry_after", None) or 0.0)
            said = str(trouble).rstrip(".")
            self.progress.say(f"{said}. Trying again in {pause:.0f} s.")
            self.wait(pause)
        said = str(trouble).rstrip(".")
        raise Unfetched(f"Given up after {tries} tries: {said}. {self.kept(place)}")

    def kept(self, place: int) -> str:
        """Return what is said of what has come until a moment."""
        if self.cache.file is None:
            return "Nothing is kept."
        until = f"{iso_moment(place)[:19]}Z"
        return f"Trades until {until} are kept: the same command goes on from there."

    def _joined(self, pair: str, pages: list[Page], begin: int, end: int) -> Recording:
        """Return the trades of pages, each once, in order of their numbers."""
        number = np.concatenate([page.number for page in pages] or [np.zeros(0, np.int64)])
        number, first = np.unique(number, return_index=True)
        if len(number):
            at_ns = np.concatenate([page.at_ns for page in pages])[first]
            price = np.concatenate([page.price for page in pages])[first]
            wanted = (at_ns >= begin) & (at_ns <= end)
            number, at_ns, price = number[wanted], at_ns[wanted], price[wanted]
        if not len(number):
            since = f"{iso_moment(begin)[:19]}Z"
            raise Unfetched(f"There are no trades of {pair} since {since}: take a longer span.")
        made = recording_of(at_ns, price)
        missing = int(number[-1] - number[0]) + 1 - len(number)
        remarks = [*self.cache.remarks, *made.remarks]
        if missing:
            remarks.append(f"{missing} trades are missing by Kraken's own count of them")
        return Recording(made.history, tuple(remarks))


def _page(result: dict[str, Any], place: int) -> tuple[Page, bool]:
    """Return the trades of an answer, and whether there are no more.

    Raises:
        ProtocolError: If it has another shape than Kraken's, or tells what was not asked for.
    """
    trades = read_trades(result)
    number = np.array([one.trade_id for one in trades], np.int64)
    at_ns = np.array([one.at_ns for one in trades], np.int64)
    try:
        price = np.array([to_units(one.price) for one in trades], np.int64)
    except (ValueError, OverflowError) as error:
        raise ProtocolError(f"Trades: a price that cannot be: {error}") from error
    if not len(trades):
        return Page(place, place, number, at_ns, price), True
    if int(at_ns.max()) < place - _BLUR:
        raise ProtocolError("Trades: the answer is older than what was asked for.")
    is_full = len(trades) >= _FULL
    ended = int(at_ns.max()) - _BLUR
    if is_full and ended <= place:  # a whole page of one moment: the way on leads past it
        ended = int(at_ns.max()) + _BLUR
    return Page(place, max(ended, place), number, at_ns, price), not is_full
