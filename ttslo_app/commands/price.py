"""`ttslo price`: prices as they are now, with their source and the age of their proof. No keys.

The stream answers where it can, REST where it cannot, and each line says which. What it must never
do: tell a price without its proof, or ask Kraken more often than a person could use.
"""

from __future__ import annotations

import argparse
import json
import logging
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from kraken_api import KrakenAPI
from krakenlink.errors import KrakenError
from krakenlink.foreign import shown
from krakenlink.machine import feed_clock
from krakenlink.numbers import plain, readable
from krakenlink.pairs import shown_pair
from krakenlink.rest.quotes import Quote
from krakenlink.stream.events import Channel, FeedStale, SymbolMute, SymbolRefused, Tick
from krakenlink.stream.settings import FeedSettings
from ttslo_app.terminal import Parser, put, put_trouble

# What has no proven price on the stream is asked for so often, with one call for all.
_POLL = 5.0
_AT_ONCE = 8
_SOURCES = {"websocket": "stream", "rest": "REST"}
# Of the form of `--json`; a change that a reader could notice gives it another number.
SCHEMA = 1


def parser() -> argparse.ArgumentParser:
    """Return the flags of the command."""
    made = Parser(
        prog="ttslo price",
        description="Tells the last trade price of each pair, where it came from, and how long "
        "ago it was proven to be the present one. Needs no keys.",
        epilog="Exit codes: 0 every pair has a price, or ended by Ctrl-C with --follow; 1 one has "
        "none; 2 a flag is wrong; 130 ended by Ctrl-C.",
    )
    add = made.add_argument
    add("pairs", nargs="+", metavar="PAIR", help="in any spelling, such as BTC/USD or XBTUSD")
    add("--follow", action="store_true", help="go on with each new price, until Ctrl-C")
    add("--json", action="store_true", help="tell it as JSON objects, one a line")
    add("--no-websocket", action="store_true", help="ask for prices over REST only")
    return made


def main(argv: Sequence[str], *, stop: threading.Event | None = None) -> int:
    """Run the command and return its exit code. Blocks.

    Args:
        argv: The arguments after `price`.
        stop: Set by whoever ends `--follow` without a signal.
    """
    options = parser().parse_args(argv)
    pairs = list(dict.fromkeys(options.pairs))
    with (
        _unlogged("krakenlink"),
        KrakenAPI(
            use_websocket=not options.no_websocket, feed_settings=FeedSettings(gather_for=0.0)
        ) as api,
    ):
        try:
            quotes = _first_prices(api, pairs, is_json=options.json)
            if options.follow and quotes:
                _follow(api, quotes, stop or threading.Event(), is_json=options.json)
        finally:
            provider = api.price_provider()
            if provider is not None:
                provider.stop()
    return 0 if len(quotes) == len(pairs) else 1


@contextmanager
def _unlogged(name: str) -> Iterator[None]:
    """Keep a library from logging inside: what it would say is told here in its own words.

    Whoever calls the command from a program of its own hears it again afterwards.
    """
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _first_prices(api: KrakenAPI, pairs: Sequence[str], *, is_json: bool) -> list[Quote]:
    """Tell a price, or why there is none, of each pair, in order; return the prices."""
    quotes = []
    pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="price")
    try:
        for pair, asked in [(pair, pool.submit(_quote, api, pair)) for pair in pairs]:
            found = asked.result()
            if isinstance(found, Quote):
                quotes.append(found)
            _tell(pair, found, is_json=is_json)
    finally:
        # Whoever presses Ctrl-C does not wait for Kraken.
        pool.shutdown(wait=False, cancel_futures=True)
    return quotes


def _quote(api: KrakenAPI, pair: str) -> Quote | str:
    """Return the price of a pair, or why there is none, with the nearest names. Blocks."""
    try:
        return api.get_quote(pair)
    except (KrakenError, ValueError) as error:
        reason = str(error)
    try:
        api.resolve_pair(pair)
    except LookupError as error:
        return str(error)  # which names the nearest
    except KrakenError:
        return reason
    return reason


def _follow(
    api: KrakenAPI, quotes: Sequence[Quote], stop: threading.Event, *, is_json: bool
) -> None:
    """Tell each new price until `stop` or Ctrl-C."""
    try:
        for quote in _news(api, quotes, stop):
            _tell(quote.pair, quote, is_json=is_json)
    except KeyboardInterrupt:
        return


def _news(api: KrakenAPI, quotes: Sequence[Quote], stop: threading.Event) -> Iterator[Quote]:
    """Yield each price that differs from the one before it, of the stream and of REST."""
    last: dict[str, tuple[str, object]] = {q.pair: (q.source, q.price) for q in quotes}
    provider = api.price_provider()
    names = {q.symbol: q.pair for q in quotes if q.symbol is not None}
    reader = provider.open_feed(names, [Channel.TICKER]) if provider and names else None
    polled_at = feed_clock()
    while not stop.is_set():
        event = reader.get(0.25) if reader else None
        found: list[Quote] = []
        if isinstance(event, Tick) and event.symbol in names:
            found = [_quote_of(names[event.symbol], event)]
        elif isinstance(event, (FeedStale, SymbolMute, SymbolRefused)):
            polled_at = float("-inf")  # what the stream does not tell any more is asked for now
        elif reader is None:
            stop.wait(0.25)
        if not found and feed_clock() - polled_at >= _POLL:
            polled_at = feed_clock()
            found = _polled(api, quotes)
        for quote in found:
            if last.get(quote.pair) != (quote.source, quote.price):
                last[quote.pair] = (quote.source, quote.price)
                yield quote


def _quote_of(pair: str, tick: Tick) -> Quote:
    age = max(0.0, feed_clock() - tick.at)
    return Quote(
        pair, tick.symbol, tick.price, tick.bid, tick.ask, "websocket", tick.at, age, tick.timestamp
    )


def _polled(api: KrakenAPI, quotes: Sequence[Quote]) -> list[Quote]:
    """Return REST's price of what the stream does not prove at this moment. Blocks."""
    provider = api.price_provider()
    wanted = [q.pair for q in quotes if not (provider and q.symbol and provider.proven(q.symbol))]
    try:
        answers = api.get_tickers(wanted) if wanted else {}
    except KrakenError as error:
        put_trouble(f"no price: {error}; it is tried again")
        return []
    return [found for found in answers.values() if isinstance(found, Quote)]


def _tell(pair: str, found: Quote | str, *, is_json: bool) -> None:
    if is_json:
        put(json.dumps(as_object(pair, found)))
    elif isinstance(found, Quote):
        put(line_of(found))
    else:
        put_trouble(f"{shown_pair(shown(pair, 40))}: no price: {found}")


def line_of(quote: Quote) -> str:
    """Return a price as a person reads it."""
    name = quote.symbol or shown_pair(quote.pair)
    source = _SOURCES[quote.source]
    price, age = readable(quote.price), f"{quote.proven_age:.1f} s ago"
    return f"{shown(name, 40):<12} {price:>14}  {source}, proven {age}"


def as_object(pair: str, found: Quote | str) -> dict[str, Any]:
    """Return a price, or why there is none, as `--json` tells it.

    Prices are text with Kraken's own digits, ages seconds, `at` ISO UTC by this machine's clock.
    """
    told: dict[str, Any] = {
        "schema": SCHEMA,
        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "pair": pair,
    }
    if not isinstance(found, Quote):
        return {**told, "price": None, "error": found}
    return {
        **told,
        "symbol": found.symbol,
        "price": plain(found.price),
        "bid": None if found.bid is None else plain(found.bid),
        "ask": None if found.ask is None else plain(found.ask),
        "source": _SOURCES[found.source],
        "age": round(found.proven_age, 3),
        "error": None,
    }
