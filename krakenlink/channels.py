"""What a client knows of a market beside its price: from the stream where it is proven, else REST.

The calls of a client are `market_calls`. What it must never do: show what is not proven to be the
present state, join what has a gap between, or outlast the caller's patience for the stream.

Source: Kraken, spot WebSocket v2 (book, ohlc, trade, instrument); REST Depth, OHLC, Trades (read
2026-11).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from krakenlink.held import Held, Shared
from krakenlink.joints import Base, Joined, Joints, Look, Question, Ways
from krakenlink.machine import feed_clock
from krakenlink.pairs import Pair, Symbol, legacy_pair
from krakenlink.prices import Prices
from krakenlink.rest.market import (
    MOST_LEVELS,
    check_delay,
    read_depth,
    read_ohlc,
    read_trades,
)
from krakenlink.rest.quotes import row_for
from krakenlink.rest.request import checked_pair, named
from krakenlink.sockets import done_within
from krakenlink.stream.book import OrderBook, checked_depth
from krakenlink.stream.events import EVERY, TradePrint
from krakenlink.stream.instruments import Instrument
from krakenlink.stream.tapes import (
    MOST_CANDLES,
    MOST_TRADES,
    Candle,
    Candles,
    Tape,
    checked_interval,
    has_more,
    impossible,
    joined,
    plausible,
)


class Stream(Shared, Protocol):
    """What is needed of the price feed. None of it raises for want of a network."""

    def order_book(self, symbol: str, depth: int) -> OrderBook | None:
        """Return the book that is proven now. Never blocks."""
        ...

    def wait_for_book(self, symbol: str, depth: int, timeout: float) -> OrderBook | None:
        """Wait for a proven book while one may come, at most `timeout` seconds."""
        ...

    def tape(
        self, symbol: str, channel: str, interval: int = 0
    ) -> tuple[Tape[Any], dict[int, Any], float] | None:
        """Return what has come since an acknowledgement, where that is proven now."""
        ...

    def wait_for_tape(self, symbol: str, channel: str, interval: int, timeout: float) -> bool:
        """Wait for the acknowledgement, at most `timeout` seconds; tell whether it is there."""
        ...

    def proven_instrument(self, symbol: str) -> tuple[Instrument, float] | None:
        """Return what is proven of a pair now, and the seconds since then. Never blocks."""
        ...

    def instruments(self) -> Mapping[str, Instrument]:
        """Return all pairs that are proven now, by symbol. Never blocks."""
        ...

    def wait_for_instruments(self, timeout: float) -> bool:
        """Wait for the first ones, at most `timeout` seconds; tell whether they are there."""
        ...

    def note_rest_fallback(self, symbol: str) -> None:
        """Count what had to come over REST."""
        ...


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name)).casefold()


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
        self.known, self._ask, self._stream = known, ask, stream
        self._longest = longest
        self._held: Held[Stream] = Held()
        self._told_by: Stream | None = None  # who tells of pairs as they change
        self._joints = Joints()

    def let_go(self) -> None:
        """Give back what this client holds of the stream. From anywhere: it waits for no lock."""
        self._told_by = None
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

    def candles(self, pair: str, interval: int, patience: float) -> Candles:
        """Return the candles of a pair; see `MarketCalls.get_candles`."""
        name, width = checked_pair(pair), 60 * checked_interval(interval)

        def fetch() -> dict[int, Candle]:
            return read_ohlc(name, self._row("OHLC", name, interval=interval))

        def join(base: Base[Candle], tape: dict[int, Candle]) -> dict[int, Candle]:
            return joined(base.items, tape, MOST_CANDLES, has_more)

        def doubtful(base: Base[Candle], tape: dict[int, Candle]) -> set[int]:
            elapsed = feed_clock() - base.asked_at
            return set(tape) - set(plausible(tape, base.last, elapsed, width))

        ways = Ways(fetch, join, doubtful)
        found = self._joined(Question(name, "ohlc", interval, width), ways, patience)
        items = tuple(found.items.values())
        return Candles(found.symbol, interval, items, found.source, found.at, found.age)

    def trades(self, pair: str, count: int, patience: float) -> tuple[TradePrint, ...]:
        """Return the latest trades of a pair; see `MarketCalls.recent_trades`."""
        name = checked_pair(pair)
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MOST_TRADES:
            raise ValueError(f"count is {count!r}; it is 1 to {MOST_TRADES}")

        def fetch() -> dict[int, TradePrint]:
            return read_trades(name, self._symbol(name), self._row("Trades", name))

        def join(base: Base[TradePrint], tape: dict[int, TradePrint]) -> dict[int, TradePrint]:
            return joined(base.items, tape, MOST_TRADES)

        def doubtful(base: Base[TradePrint], tape: dict[int, TradePrint]) -> set[int]:
            return impossible(tape, base.items, is_patient=base.is_patient)

        ways = Ways(fetch, join, doubtful)
        found = self._joined(Question(name, "trade", None, 1), ways, patience)
        return tuple(found.items.values())[-count:]

    def _row(self, endpoint: str, name: str, **params: object) -> object:
        pair = self.known(name) or legacy_pair(name)
        asked_at = feed_clock()
        with done_within(self._longest):
            rows = self._ask(endpoint, {**named(name, pair), **params}).get("result")
        check_delay(name, asked_at, feed_clock())
        if isinstance(rows, Mapping):  # beside them stands where to go on from
            rows = {key: row for key, row in rows.items() if key != "last"}
        return row_for(pair, rows)

    def _joined(self, asked: Question, ways: Ways[Any], patience: float) -> Joined[Any]:
        """Return what the stream tells of a market joined to what REST tells, else REST's alone."""
        look = self._look(asked, patience)
        return self._joints.joined(asked._replace(name=self._symbol(asked.name)), look, ways)

    def _look(self, asked: Question, patience: float) -> Look:
        """Return what looks at the stream's side of a question, once it has been waited for."""
        stream, deadline = self._stream(), time.monotonic() + patience
        symbol = None if stream is None else self.prices.symbol_of(asked.name, deadline)
        if stream is None or symbol is None:
            return lambda: None
        width = asked.param or 0
        is_hopeful = self._held.follow(stream, symbol, asked.channel, asked.param)
        left = max(0.0, deadline - time.monotonic()) if is_hopeful else 0.0
        is_there = stream.wait_for_tape(symbol, asked.channel, width, left)
        self._held.note(symbol, asked.channel, asked.param, is_there=is_there)
        if not is_there:
            stream.note_rest_fallback(symbol)
        return lambda: stream.tape(symbol, asked.channel, width)

    def _symbol(self, name: str) -> Symbol:
        pair = self.known(name) or legacy_pair(name)
        return (pair.symbol if pair is not None else None) or Symbol(name)

    def follow_instruments(self, patience: float) -> bool:
        """Follow all pairs; see `MarketCalls.follow_instruments`."""
        stream = self._stream()
        if stream is None:
            return False
        is_hopeful = self._held.follow(stream, EVERY, "instrument", None)
        self._told_by = stream
        is_there = is_hopeful and stream.wait_for_instruments(patience)
        self._held.note(EVERY, "instrument", None, is_there=is_there)
        return is_there

    def streamed_pair(self, pair: Pair) -> tuple[Pair, float] | None:
        """Return a pair with what is proven of it now, and the seconds since; never blocks."""
        stream = self._told_by
        if stream is None or pair.symbol is None:
            return None
        told = stream.proven_instrument(pair.symbol)
        return None if told is None else (told[0].told_of(pair), told[1])

    def streams_pair(self, name: str) -> bool:
        """Tell whether a pair is proven now that may be meant by `name`; never blocks."""
        stream, letters = self._told_by, _letters(name)
        return stream is not None and any(_letters(x) == letters for x in stream.instruments())

    def _rest_book(self, name: str, depth: int) -> OrderBook:
        pair = self.known(name) or legacy_pair(name)
        params = {**named(name, pair), "count": min(depth, MOST_LEVELS)}
        with done_within(self._longest):
            asked_at = feed_clock()
            rows = self._ask("Depth", params).get("result")
        row = row_for(pair, rows)
        return read_depth(name, pair, row, depth, (asked_at, feed_clock()))
