"""What a client knows of a market beside its price: from the stream where it is proven, else REST.

The calls are here for `kraken_api.KrakenAPI`, which is one of these. What it must never do: show
what is not proven to be the present state, mix the stream's with REST's, or wait longer than the
caller's patience for the stream.

Source: Kraken, spot WebSocket v2, book channel; REST Depth (read 2026-11).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Any, Protocol

from krakenlink.errors import KrakenError
from krakenlink.machine import feed_clock
from krakenlink.pairs import Pair, Symbol, legacy_pair
from krakenlink.prices import Prices
from krakenlink.rest.market import MOST_LEVELS, read_depth
from krakenlink.rest.quotes import row_for
from krakenlink.rest.request import checked_direction, checked_number, checked_pair, named
from krakenlink.sockets import done_within
from krakenlink.stream.book import Fill, OrderBook, checked_depth, estimated_fill


class Stream(Protocol):
    """What is needed of the price feed. None of it raises for want of a network."""

    @property
    def stops(self) -> int:
        """How often it was stopped; subscriptions from before the last time are gone."""
        ...

    def subscribe_symbol(self, symbol: str, channel: str, *, depth: int | None = None) -> None:
        """Add a reference to a symbol's channel. Returns at once."""
        ...

    def unsubscribe_symbol(self, symbol: str, channel: str) -> None:
        """Take a reference away; the last one unsubscribes."""
        ...

    def order_book(self, symbol: str, depth: int) -> OrderBook | None:
        """Return the book that is proven now. Never blocks."""
        ...

    def wait_for_book(self, symbol: str, depth: int, timeout: float) -> OrderBook | None:
        """Wait for a proven book while one may come, at most `timeout` seconds."""
        ...

    def note_rest_fallback(self, symbol: str) -> None:
        """Count what had to come over REST."""
        ...


class Held:
    """The subscriptions of one client to one stream, beside those to prices.

    Safe from any thread; `let_go` waits for no lock.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards the four below, but `let_go` does without it
        self._of: Stream | None = None
        self._stops = 0
        self._followed: dict[tuple[str, str, int], None] = {}
        self._waited: set[tuple[str, str, int]] = set()

    def follow(self, stream: Stream, symbol: str, channel: str, depth: int | None) -> bool:
        """Hold a subscription; tell whether nobody has waited for it in vain yet."""
        key = (symbol, channel, depth or 0)
        with self._lock:
            if stream is not self._of or stream.stops != self._stops:
                # Somebody has stopped the stream that all share, and with it our subscriptions.
                self._of, self._stops = stream, stream.stops
                self._followed.clear()
                self._waited.clear()
            if key not in self._followed:
                # In this order and in one hold, so that whoever lets go finds what is to be given
                # back, or nothing yet.
                stream.subscribe_symbol(symbol, channel, depth=depth)
                self._followed[key] = None
            return key not in self._waited

    def note(self, symbol: str, channel: str, depth: int | None, *, is_there: bool) -> None:
        """Note what a wait has brought: nobody waits a second time for what did not come."""
        key = (symbol, channel, depth or 0)
        with self._lock:
            (self._waited.discard if is_there else self._waited.add)(key)

    def let_go(self) -> None:
        """Give all back. From anywhere: it waits for no lock."""
        stream = self._of
        # After a stop it is gone already; what is there now belongs to others.
        is_gone = stream is None or stream.stops != self._stops
        self._waited.clear()
        with suppress(KeyError):
            while True:
                (symbol, channel, _), _ = self._followed.popitem()  # in one step, so never twice
                if stream is not None and not is_gone:
                    stream.unsubscribe_symbol(symbol, channel)


class Market:
    """Books for one client. Safe from any thread; not to be used across a fork.

    Args:
        prices: The prices of the same client, which know what a pair is called.
        known: Returns the pair that a name means, if that is known without a call.
        ask: Makes a public REST call of this name and these parameters and returns Kraken's whole
            answer; blocks, raises KrakenError.
        stream: Returns the feed, None where there is none to be had.
        longest: The longest that an answer may take over REST, in seconds.
    """

    def __init__(
        self,
        prices: Prices,
        known: Callable[[str], Pair | None],
        ask: Callable[[str, Mapping[str, object]], Mapping[str, Any]],
        stream: Callable[[], Stream | None],
        longest: float,
    ) -> None:
        self.prices = prices
        self._known, self._ask, self._stream = known, ask, stream
        self._longest = longest
        self._held = Held()

    def let_go(self) -> None:
        """Give back what this client holds of the stream. From anywhere: it waits for no lock."""
        self._held.let_go()

    def order_book(self, pair: str, depth: int, patience: float) -> OrderBook:
        """Return the book of a pair; see `MarketCalls.get_order_book`."""
        name = checked_pair(pair)
        checked_depth(depth)
        stream = self._stream()
        if stream is not None:
            deadline = time.monotonic() + patience
            symbol = self.prices.symbol_of(name, deadline)
            if symbol is not None:
                found = self._streamed_book(stream, symbol, depth, deadline)
                if found is not None:
                    return found
        return self._rest_book(name, depth)

    def _streamed_book(
        self, stream: Stream, symbol: Symbol, depth: int, deadline: float
    ) -> OrderBook | None:
        is_hopeful = self._held.follow(stream, symbol, "book", depth)
        found = stream.order_book(symbol, depth)
        if found is None and is_hopeful:
            left = max(0.0, deadline - time.monotonic())
            found = stream.wait_for_book(symbol, depth, left)
        self._held.note(symbol, "book", depth, is_there=found is not None)
        if found is None:
            stream.note_rest_fallback(symbol)
        return found

    def _rest_book(self, name: str, depth: int) -> OrderBook:
        pair = self._known(name) or legacy_pair(name)
        params = {**named(name, pair), "count": min(depth, MOST_LEVELS)}
        with done_within(self._longest):
            asked_at = feed_clock()
            rows = self._ask("Depth", params).get("result")
        row = row_for(pair, rows)
        return read_depth(name, pair, row, depth, (asked_at, feed_clock()))


class MarketCalls:
    """The calls of a client about a market beside its price. Safe from any thread."""

    ws_timeout: float
    _market: Market

    def get_order_book(self, pair: str, depth: int = 10) -> OrderBook:
        """Return the order book of `pair`, with Kraken's exact numbers.

        From the stream where it is proven: each change was confirmed by Kraken's checksum, on a
        link that is alive; the first call subscribes and waits for the first book, at most
        `ws_timeout` and once for each pair and depth. Else over REST, which blocks for `connect` +
        `read` of the timeouts at most and has 500 levels at most.

        Args:
            pair: Any spelling, such as `XXBTZUSD` or `BTC/USD`.
            depth: Levels of each side: 10, 25, 100, 500 or 1000. Thin books have fewer.

        Raises:
            ValueError: If `pair` is empty or not a string, or `depth` is none of these.
            PriceUnavailable: If REST's answer took so long that its book proves nothing.
            KrakenError: If Kraken refused, such as an unknown pair, or could not be heard.

        Source: Kraken, spot WebSocket v2, book channel; REST Depth (read 2026-11).
        """
        return self._market.order_book(pair, depth, self.ws_timeout)

    def estimate_fill(self, pair: str, side: str, volume: object, depth: int = 100) -> Fill:
        """Return what a market order would meet in the book of `pair` now. It places nothing.

        Blocks like `get_order_book`, and like `get_current_price` for the last trade's price. Fees
        and hidden orders are not in it, and neither is what others do meanwhile.

        Args:
            pair: Any spelling.
            side: `buy` or `sell`.
            volume: In base currency; any exact number.
            depth: How deep to look; `is_complete` of the answer tells whether that was enough.

        Raises:
            ValueError: If an argument is none of these, or `volume` is not positive.
            KrakenError: As for `get_order_book`.
        """
        direction = checked_direction(side)
        amount = checked_number("volume", volume)
        book = self.get_order_book(pair, depth)
        return estimated_fill(book, direction, amount, self._last_price(pair))

    def _last_price(self, pair: str) -> Decimal | None:
        """Return the last trade's price, None where it cannot be had: the book counts without."""
        try:
            return self._market.prices.quote(pair, None, self.ws_timeout).price
        except KrakenError:
            return None
