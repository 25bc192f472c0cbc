"""The thread that fetches past trades: page after page, at a pace that Kraken bears.

It has a thread of its own, beside the keeper, because twenty pages of one market take twenty
seconds, and an edit of config.csv must not wait for them. It looks at no price and knows no rule:
what it has fetched goes to the thread that reads the prices. What it must never do: give up. What
cannot be fetched now is fetched later.

Source: Kraken, REST Trades and OHLC (read 2026-11): limited for each address and each pair; about
one call a second is the pace that is known to be safe.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from krakenlink.errors import KrakenError
from krakenlink.numbers import doubled
from ttslo_app.clocks import Clocks
from ttslo_app.messages import Fetched, Market, NotFetched
from ttslo_app.watch.past import LookBack, Pace, read_bars, read_trades
from ttslo_app.watch.tape import Position

_log = logging.getLogger(__name__)


# Markets that are polled are asked about again and again: the others must have their turn.
_LONGEST_WAIT = 60.0


class PastSource(Protocol):
    """The part of `KrakenAPI` that past trades come from."""

    def get_trades(self, pair: str, since: str | int | None = None) -> dict[str, Any]:
        """Return Kraken's Trades `result`."""
        ...

    def get_ohlc(
        self, pair: str, interval: int = 1, since: str | int | None = None
    ) -> dict[str, Any]:
        """Return Kraken's OHLC `result`."""
        ...


@dataclass(slots=True)
class _Errand:
    """One market's hole.

    Attributes:
        due: When the next call may be made, on the monotonic clock.
        settled: From when on the last page counts as the last.
        look: What has come so far; only the thread touches what is in it.
        goes_on: Whether `look` was taken for complete, or may have been, before this was asked.
        is_held: Whether all has come but for what is traded until `settled`.
    """

    market: Market
    after: Position
    due: float
    settled: float
    urgency: float
    look: LookBack | None = None
    goes_on: bool = False
    is_held: bool = False
    failures: int = 0

    def rank(self, now: float) -> tuple[float, float]:
        """Return what errands that are due are sorted by; who waited long goes first."""
        has_waited = now - self.due > _LONGEST_WAIT
        return (-1.0 if has_waited else self.urgency, self.due)


class PastReader:
    """Fetches holes, one errand a market. `want` may be called from any thread.

    Args:
        source: Kraken over REST.
        post: Called on this object's thread with what was fetched; must not block.
        clocks: The clocks.
        pace: How fast the past may be asked for.
    """

    def __init__(
        self,
        source: PastSource,
        post: Callable[[Fetched | NotFetched], None],
        clocks: Clocks,
        pace: Pace | None = None,
    ) -> None:
        self._source = source
        self._post = post
        self._clocks = clocks
        self._pace = pace or Pace()
        # Guards the errands and whether the thread is to end; wakes it for both.
        self._changed = threading.Condition()
        self._errands: dict[str, _Errand] = {}
        self._is_stopping = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        # A daemon: a call in flight must not delay the end of the program; the hole is found
        # again at the next start.
        self._thread = threading.Thread(target=self._run, name="ttslo-past", daemon=True)
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """End the thread; wait for it at most `timeout` seconds."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout)

    def want(self, market: Market, after: Position, delay: float, urgency: float = 0.0) -> None:
        """Fetch what `market` traded after a place, `delay` seconds from now.

        Of what is due the one of the smallest `urgency` comes first: five hundred markets that
        come back at once take two minutes, and a crossing is likeliest where it is nearest.
        An errand of the same market goes on from where it is, and ends no sooner than this one
        would: a link that breaks again and again must not have the first page fetched for ever.
        """
        settled = due = self._clocks.monotonic() + delay
        look, is_held, failures = None, False, 0
        with self._changed:
            known = self._errands.get(market.name)
            if known is not None:
                failures = known.failures
                due = max(due, known.due) if failures else min(due, known.due)
                if known.look is not None and known.look.after.at_ns <= after.at_ns:
                    look, is_held = known.look, known.is_held
                if is_held:  # put off once, and not for ever
                    settled = min(settled, known.settled)
            self._errands[market.name] = _Errand(
                market, after, due, settled, urgency, look, look is not None, is_held, failures
            )
            self._changed.notify_all()

    def forget(self, market: str) -> None:
        """Drop the errand of a market."""
        with self._changed:
            self._errands.pop(market, None)

    def _run(self) -> None:
        while (errand := self._next()) is not None:
            try:
                self._step(errand)
            except KrakenError as error:
                self._put_off(errand, str(error))
            except Exception as error:  # noqa: BLE001 - the thread must outlive every surprise
                _log.exception("Fetching past trades met an error and goes on")
                self._put_off(errand, repr(error))
            with self._changed:
                self._changed.wait_for(lambda: self._is_stopping, self._pace.gap)

    def _next(self) -> _Errand | None:
        """Wait for the next errand that is due; None at the end."""
        with self._changed:
            while not self._is_stopping:
                now = self._clocks.monotonic()
                due = [errand for errand in self._errands.values() if errand.due <= now]
                if due:
                    return min(due, key=lambda errand: errand.rank(now))
                moments = [errand.due for errand in self._errands.values()]
                self._changed.wait(min(moments) - now if moments else None)
            return None

    def _step(self, errand: _Errand) -> None:
        """Make one call for an errand, and hand over what came if that was the last."""
        asked_at, now = self._clocks.monotonic(), self._clocks.kraken()
        if errand.look is None:
            is_known = self._clocks.is_known()
            errand.look = LookBack(errand.after, now if is_known else None, self._pace.bounds)
        elif errand.goes_on:
            errand.look.go_on()
            errand.goes_on = False
        look, pair = errand.look, errand.market.rest_key
        bars = look.bars_wanted(now)
        if bars is None:
            look.add_trades(read_trades(self._source.get_trades(pair, look.since)))
        else:
            minutes, since = bars
            look.add_bars(read_bars(self._source.get_ohlc(pair, minutes, since), minutes))
        is_done = look.is_complete and (bars is not None or look.bars_wanted(now) is None)
        with self._changed:
            current = self._errands.get(errand.market.name, errand)
            current.failures = 0
            current.due = max(current.due, self._clocks.monotonic() + self._pace.pair_gap)
            errand.is_held = is_done and asked_at < errand.settled
            if errand.is_held:
                is_done, errand.goes_on = False, True
                errand.due = max(errand.due, errand.settled)
            if is_done and current is errand:
                self._errands.pop(errand.market.name, None)
        if is_done and current is errand:
            name, past = errand.market.name, tuple(look.past)
            self._post(Fetched(name, past, look.newest, look.is_cut, now, asked_at))

    def _put_off(self, errand: _Errand, reason: str) -> None:
        wait = doubled(self._pace.retry, errand.failures, self._pace.retry_max)
        with self._changed:
            # An errand that took its place meanwhile waits as long: it would fail as well.
            current = self._errands.get(errand.market.name, errand)
            current.failures = errand.failures + 1
            current.due = self._clocks.monotonic() + wait
        self._post(NotFetched(errand.market.name, reason))
