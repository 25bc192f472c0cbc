"""The price of a pair now: from the stream where it is proven there, else over REST.

What has no stream, and which names Kraken could not be asked for, is remembered here; what a client
holds of the stream in `held`. What it must never do: return a price that is not proven to be alive,
guess a symbol, or wait longer than the caller's patience for the stream.

Source: Kraken, spot WebSocket v2, ticker channel; REST Ticker (read 2026-11).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, Protocol

from krakenlink.errors import KrakenAPIError, KrakenError, PriceUnavailable
from krakenlink.flights import Flights
from krakenlink.held import Held, Shared
from krakenlink.machine import feed_clock
from krakenlink.once import Once
from krakenlink.pairs import TOKENIZED, Pair, Symbol, legacy_pair
from krakenlink.rest.answers import result_of
from krakenlink.rest.listing import ASK_GAP, Listing
from krakenlink.rest.quotes import Quote, read_quote, row_for, row_of, rows_beside
from krakenlink.rest.request import checked_number, checked_pair, named
from krakenlink.rest.verdicts import is_unknown_pair, may_be_one_pairs
from krakenlink.sockets import done_within

if TYPE_CHECKING:  # REST alone loads nothing of the stream
    from krakenlink.stream.events import Tick

_log = logging.getLogger(__name__)

# Tickers for every pair in one URL fail with HTTP 520; this many names stay under 2 kB. For more
# than that Kraken is asked for all of its pairs, in one call without a name.
_NAMES_PER_CALL = 100


class Stream(Shared, Protocol):
    """What is needed of the price feed. None of it raises for want of a network."""

    def connect(self) -> None:
        """Start connecting before it is known to what to subscribe. Returns at once."""
        ...

    def proven(self, symbol: str) -> tuple[Tick, float] | None:
        """Return the tick that is proven now and the seconds since its proof. Never blocks."""
        ...

    def wait_for_tick(self, symbol: str, timeout: float) -> Tick | None:
        """Wait for a proven tick while one may come, at most `timeout` seconds."""
        ...

    def price_reader(self, symbol: str) -> Callable[[], float | None]:
        """Return what reads a symbol's proven price; KeyError if it is not subscribed."""
        ...

    def note_rest_fallback(self, symbol: str) -> None:
        """Count a price that had to come over REST."""
        ...


class _Proven(NamedTuple):
    """A tick of the stream, and the seconds since it was proven at the same moment."""

    stream: Stream
    symbol: Symbol
    tick: Tick
    age: float


class Prices:
    """Prices for one client. Safe from any thread; not to be used across a fork.

    Args:
        listing: Kraken's pairs.
        ask: Makes one Ticker call of these parameters and returns Kraken's whole answer; blocks,
            raises KrakenError.
        stream: Returns the feed, None where there is none to be had.
        longest: The longest that a price may take over REST, with all calls for it, in seconds.

    Attributes:
        readers: By the name as typed, what reads the proven price of its present subscription.
            Looked up without a lock, which is as safe in CPython as with one.
    """

    def __init__(
        self,
        listing: Listing,
        ask: Callable[[Mapping[str, object]], Mapping[str, object]],
        stream: Callable[[], Stream | None],
        longest: float,
    ) -> None:
        self._listing = listing
        self._longest = longest
        self._flights = Flights()
        self._ask = ask
        self._stream = stream
        self.readers: dict[str, Callable[[], float | None]] = {}
        self._held: Held[Stream] = Held()
        self._lock = threading.Lock()  # guards the three below, but `let_go` does without it
        self._symbols: dict[str, Symbol] = {}  # by the name as typed, of what was proven last time
        self._unstreamed = Once()  # names that have no stream, as told to the user
        self._ask_again_at = 0.0

    def last(self, pair: str, patience: float) -> float:
        """Return the last trade price of `pair`; the next one may be read from `readers`.

        Args:
            pair: Any spelling.
            patience: Longest wait for a first price from the stream, in seconds.

        Raises:
            ValueError: If `pair` is empty or no text.
            PriceUnavailable: If Kraken answered without a price.
            KrakenError: If Kraken refused, or could not be heard.
        """
        name = checked_pair(pair)
        found = self._streamed(name, patience)
        if found is None:
            return float(self._rest_quote(name).price)
        with suppress(KeyError):  # somebody else has just stopped the stream
            self.readers[pair] = found.stream.price_reader(found.symbol)
        # A double holds 15 digits and prices have at most a dozen; the contract wants a float.
        return float(found.tick.price)

    def quote(self, pair: str, max_age: float | None, patience: float) -> Quote:
        """Return the price of `pair` with its source and its proof of life.

        Args:
            pair: Any spelling.
            max_age: Longest time since the price was proven, in seconds; None for what counts as
                alive anyway.
            patience: As for `last`.

        Raises:
            ValueError: If `pair` is empty or no text, or `max_age` not positive.
            PriceUnavailable: If there is no price, or none that young; its `age` says how old.
            KrakenError: As for `last`.
        """
        name = checked_pair(pair)
        if max_age is not None:
            checked_number("max_age", max_age)
        found = self._streamed(name, patience)
        if found is not None and (max_age is None or found.age <= max_age):
            return _stream_quote(pair, found)
        quote = self._rest_quote(name)
        if max_age is not None and quote.proven_age > max_age:
            age = quote.proven_age
            raise PriceUnavailable(pair, f"proven {age:.3f} s ago, {max_age} s wanted", age)
        return quote

    def proven_quote(self, pair: str, max_age: float | None) -> Quote | None:
        """Return what the stream proves at this moment, None where it proves nothing.

        Waits for nobody, asks nobody and subscribes to nothing. As for `quote` otherwise.
        """
        name = checked_pair(pair)
        if max_age is not None:
            checked_number("max_age", max_age)
        known, stream = self._listing.in_memory(name) or legacy_pair(name), self._held.of
        if stream is None or known is None or known.symbol is None:
            return None
        found = stream.proven(known.symbol)
        if found is None or (max_age is not None and found[1] > max_age):
            return None
        return _stream_quote(pair, _Proven(stream, known.symbol, *found))

    def tickers(
        self, pairs: Iterable[str], resolve: Callable[[str], Pair]
    ) -> dict[str, Quote | Exception]:
        """Return a REST price, or the reason why there is none, for each of `pairs`.

        Args:
            pairs: Any spellings.
            resolve: Returns the pair that a name means; raises LookupError.

        Raises:
            KrakenError: If Kraken could not be heard at all.
        """
        names = list(dict.fromkeys(pairs))
        found: dict[str, Quote | Exception] = {}
        by_class: dict[str, dict[str, Pair]] = {}
        for name in names:
            try:
                pair = resolve(checked_pair(name))
            except (ValueError, LookupError) as error:
                found[name] = error
            else:
                by_class.setdefault(pair.asset_class, {})[name] = pair
        with done_within(self._longest):
            for asset_class, wanted in by_class.items():
                found |= self._rest_quotes(asset_class, wanted)
        return {name: found[name] for name in names}

    def let_go(self) -> None:
        """Give back what this client holds of the stream. From anywhere: it waits for no lock."""
        self.readers.clear()
        self._symbols.clear()
        self._held.let_go()

    # --- from the stream ---

    def symbol_of(self, name: str, deadline: float) -> Symbol | None:
        """Return the symbol by which a pair is streamed, if there is a stream and it has one.

        Args:
            name: Any spelling; checked.
            deadline: When to stop waiting for Kraken to name it, on Python's monotonic clock.
        """
        stream = self._stream()
        return None if stream is None else self._symbol_of(name, stream, deadline)

    def _streamed(self, name: str, patience: float) -> _Proven | None:
        """Return the proven tick of a pair, waiting for the first one; None: use REST."""
        stream = self._stream()
        if stream is None:
            return None
        if (again := self._proven_again(name, stream)) is not None:
            return again
        deadline = time.monotonic() + patience
        symbol = self._symbol_of(name, stream, deadline)
        if symbol is None:
            return None
        is_hopeful = self._held.follow(stream, symbol, "ticker")
        # Tick and proof of one moment: the proof of a later tick is none for an earlier one.
        found = stream.proven(symbol)
        if found is None and is_hopeful:
            stream.wait_for_tick(symbol, max(0.0, deadline - time.monotonic()))
            found = stream.proven(symbol)
        if found is None:
            stream.note_rest_fallback(symbol)
        # One wait for each pair: what did not come in time may come later, and is then taken, but
        # nobody waits for it a second time.
        self._held.note(symbol, "ticker", None, is_there=found is not None)
        with self._lock:
            if found is None:
                self._symbols.pop(name, None)
            else:
                self._symbols[name] = symbol
        return None if found is None else _Proven(stream, symbol, *found)

    def _proven_again(self, name: str, stream: Stream) -> _Proven | None:
        """Return the proven tick of a pair that had one the last time, None where it has none.

        What a pair is called does not change while it is followed. Takes no lock of ours: what was
        let go meanwhile is proven for somebody else, or not at all.
        """
        symbol, held = self._symbols.get(name), self._held
        if symbol is None or stream is not held.of or stream.stops != held.stops:
            return None
        found = stream.proven(symbol)
        return None if found is None else _Proven(stream, symbol, *found)

    def _symbol_of(self, name: str, stream: Stream, deadline: float) -> Symbol | None:
        """Return the symbol of a pair from Kraken's own listing; None where it has none."""
        pair = self._listing.known(name) or legacy_pair(name)
        if pair is None:
            pair = self._asked_pair(name, stream, deadline)
        if pair is not None and pair.symbol is None:
            self._tell_unstreamed(name)
        return pair.symbol if pair is not None else None

    def _asked_pair(self, name: str, stream: Stream, deadline: float) -> Pair | None:
        """Ask Kraken for one pair, so that a first price need not wait for the whole listing."""
        with self._lock:
            if name in self._unstreamed or time.monotonic() < self._ask_again_at:
                return None
        stream.connect()  # its handshake goes on while Kraken is asked for the name
        try:
            pair = self._listing.single(name, max(0.1, deadline - time.monotonic()))
        except KrakenError as error:
            _log.debug("Kraken could not be asked for %s: %s", name, error)
            with self._lock:
                self._ask_again_at = time.monotonic() + ASK_GAP
            return None
        if pair is None:
            self._tell_unstreamed(name)
        return pair

    def _tell_unstreamed(self, name: str) -> None:
        with self._lock:
            is_news = self._unstreamed.is_news(name)
        if is_news:
            _log.warning("Kraken knows no stream by the name %r: its price comes over REST", name)

    # --- over REST ---

    def _rest_quote(self, name: str) -> Quote:
        """Return REST's price of a pair; who asks for the same at the same time gets the same."""
        known = self._listing.known(name) or legacy_pair(name)
        question = tuple(named(name, known).items())
        quote = self._flights.ask(question, lambda: self._asked_quote(name, known), self._longest)
        return quote if quote.pair == name else quote._replace(pair=name)

    def _asked_quote(self, name: str, known: Pair | None) -> Quote:
        with done_within(self._longest):  # for all calls that it may take
            started = feed_clock()
            try:
                rows = self._ask(named(name, known)).get("result")
            except KrakenAPIError as error:
                rows = rows_beside(error)
                if row_for(known, rows) is None:
                    known, started = self._other_name(name, known, error), feed_clock()
                    rows = self._ask(named(name, known)).get("result")
        return read_quote(name, known, row_for(known, rows), started, feed_clock())

    def _other_name(self, name: str, known: Pair | None, error: KrakenAPIError) -> Pair:
        """Return the pair under the name that Kraken's listing has for it, if that is another.

        Raises:
            KrakenAPIError: `error`, which then says which names are near.
        """
        if not is_unknown_pair(error):
            raise error
        try:
            pair = self._listing.resolve(name)
        except LookupError as unknown:
            error.hint = f"{unknown}."
            raise error from None
        except KrakenError as unheard:
            _log.debug("No other name for %s: %s", name, unheard)
            raise error from None
        with self._lock:
            self._unstreamed.has_healed(name)
        if pair == known or named(name, pair) == named(name, None):
            raise error
        return pair

    def _rest_quotes(
        self, asset_class: str, wanted: Mapping[str, Pair]
    ) -> dict[str, Quote | Exception]:
        """Return quotes by name of pairs of one asset class."""
        extra = {"asset_class": TOKENIZED} if asset_class == TOKENIZED else {}
        keys = sorted({pair.rest_key for pair in wanted.values()})
        asked = {"pair": keys} if len(keys) <= _NAMES_PER_CALL else {}
        started = feed_clock()
        rows, error = self._rows({**asked, **extra})
        if error is not None and asked and self._missing(wanted, rows):
            # One of them has failed, and Kraken does not say which: take all that it has.
            all_rows, error = self._rows(extra)
            rows = {**all_rows, **rows}
        found: dict[str, Quote | Exception] = {}
        for name, pair in wanted.items():
            try:
                if error is not None and row_of(rows, pair) is None:
                    found[name] = self._rest_quote(name)
                else:
                    found[name] = read_quote(name, pair, row_of(rows, pair), started, feed_clock())
            except KrakenError as failure:
                found[name] = failure
        return found

    def _rows(
        self, params: Mapping[str, object]
    ) -> tuple[Mapping[str, object], KrakenAPIError | None]:
        """Return the rows of Ticker, and the error if one of the pairs may have caused it."""
        try:
            return result_of("Ticker", self._ask(params)), None
        except KrakenAPIError as error:
            if not (rows_beside(error) or may_be_one_pairs(error)):
                raise
            return rows_beside(error), error

    def _missing(self, wanted: Mapping[str, Pair], rows: Mapping[str, object]) -> bool:
        return any(row_of(rows, pair) is None for pair in wanted.values())


def _stream_quote(pair: str, found: _Proven) -> Quote:
    tick = found.tick
    return Quote(
        pair=pair,
        symbol=found.symbol,
        price=tick.price,
        bid=tick.bid,
        ask=tick.ask,
        source="websocket",
        at=tick.at,
        proven_age=found.age,
        timestamp=tick.timestamp,
    )
