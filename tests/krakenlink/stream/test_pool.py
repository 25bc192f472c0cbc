"""Several connections for one provider: what goes where, and books that move."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from fake_kraken import FakeKraken
from krakenlink.stream.events import BookUpdate, ChannelLive, FeedClosed, FeedLive
from krakenlink.stream.settings import patient
from tests.kits.rest.client_kit import LONG, PATIENT
from ws_price_provider import FeedReader, WebSocketPriceProvider

BOOKS = ["BTC/USD", "ETH/USD", "SOL/USD", "XRP/USD", "LTC/USD"]

Make = Callable[..., WebSocketPriceProvider]


@pytest.fixture
def make(exchange: FakeKraken) -> Iterator[Make]:
    """Hand out a maker of providers with some other settings; they are stopped at the end."""
    made: list[WebSocketPriceProvider] = []

    def build(**changes: Any) -> WebSocketPriceProvider:
        made.append(WebSocketPriceProvider(exchange.ws_url, settings=replace(PATIENT, **changes)))
        return made[-1]

    yield build
    for provider in made:
        provider.stop(LONG)


def follow(provider: WebSocketPriceProvider, *symbols: str) -> None:
    """Subscribe to books, and wait for each."""
    for symbol in symbols:
        provider.subscribe_symbol(symbol, "book")
    for symbol in symbols:
        assert provider.wait_for_book(symbol, 10, LONG) is not None, symbol


def carried(provider: WebSocketPriceProvider) -> list[list[str]]:
    """Return the symbols of each connection, by health."""
    health = provider.health()
    return [sorted(x.symbol for x in each.symbols) for each in (health, *health.beside)]


def until(reader: FeedReader, kind: type, symbol: str) -> Any:
    """Return the next event of a kind about a symbol."""
    while (event := reader.get(LONG)) is not None:
        if isinstance(event, kind) and getattr(event, "symbol", None) == symbol:
            return event
    raise AssertionError(f"no {kind.__name__} of {symbol} came")


# --- placing -----------------------------------------------------------------------------------


def test_few_books_share_the_connection_of_prices(exchange: FakeKraken, make: Make) -> None:
    """As everybody's do."""
    provider = make()
    follow(provider, *BOOKS)
    provider.subscribe_symbol("BTC/USD")
    assert provider.wait_for_tick("BTC/USD", LONG) is not None
    assert exchange.ws_connections == 1
    assert provider.health().beside == ()


def test_more_books_than_one_connection_should_carry_spread(
    exchange: FakeKraken, make: Make
) -> None:
    """Each is proven where it is; health tells where that is."""
    provider = make(pool_symbols=2)
    follow(provider, *BOOKS)
    assert carried(provider) == [BOOKS[:2], ["SOL/USD", "XRP/USD"], ["LTC/USD"]]
    assert exchange.ws_connections == 3
    assert all(provider.order_book(symbol) is not None for symbol in BOOKS)
    assert provider.order_book("DOGE/USD") is None


def test_further_connection_knows_what_the_first_knows_of_the_server(make: Make) -> None:
    """That it answers pings: who falls behind from the first moment on is not believed."""
    provider = make(pool_symbols=2)
    provider.feed_thread.feed.link.expect_answers()
    follow(provider, *BOOKS)
    links = [branch.feed_thread.feed.link for branch in provider.pool.branches]
    assert [link._is_bound for link in links] == [True, True]


def test_slow_log_holds_no_lock(exchange: FakeKraken, make: Make) -> None:
    """Whoever writes the log, to a terminal that stands still for instance, stops no price."""
    provider = make(pool_symbols=2)
    said: dict[str, bool] = {}

    class Slow(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            is_free = provider.feed_thread.lock.acquire(timeout=LONG / 4)
            if is_free:
                provider.feed_thread.lock.release()
            said[record.getMessage()] = is_free

    logger, handler = logging.getLogger("krakenlink.stream"), Slow()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        follow(provider, *BOOKS)
        spread = "The price stream spreads over 3 connections"
        assert exchange.wait_for(lambda _: spread in said, LONG)
        provider.stop(LONG)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    assert all(said.values()), said


def test_connections_have_names(make: Make) -> None:
    """By which people tell them apart; what has news of all pairs is no connection of prices."""
    provider = make(pool_symbols=2)
    follow(provider, *BOOKS)
    provider.subscribe_symbol("*", "instrument")
    health = provider.health()
    names = [(one.connection, one.carried) for one in (health, *health.beside)]
    assert names == [("1", 2), ("2", 2), ("3", 1), ("pairs", 1)]


def test_asking_rest_is_told_of_a_symbol_wherever_it_is_carried(make: Make) -> None:
    """Of each by itself, and in all once: a sum over the connections counts nothing twice."""
    provider = make(pool_symbols=2)
    follow(provider, *BOOKS)
    for symbol, times in (("BTC/USD", 1), ("XRP/USD", 2), ("LTC/USD", 3), ("DOGE/USD", 4)):
        for _ in range(times):
            provider.note_rest_fallback(symbol)
    health = provider.health()
    links = (health, *health.beside)
    assert [{x.symbol: x.rest_fallbacks for x in link.symbols} for link in links] == [
        {"BTC/USD": 1, "ETH/USD": 0},
        {"SOL/USD": 0, "XRP/USD": 2},
        {"LTC/USD": 3},
    ]
    assert [link.rest_fallbacks for link in links] == [10, 0, 0]


def test_there_are_no_more_connections_than_the_settings_say(
    exchange: FakeKraken, make: Make
) -> None:
    """What is too much then is carried all the same."""
    provider = make(pool_symbols=1, pool_most=2)
    follow(provider, *BOOKS)
    assert [len(symbols) for symbols in carried(provider)] == [1, 4]
    assert exchange.ws_connections == 2


def test_one_connection_may_have_to_do(exchange: FakeKraken, make: Make) -> None:
    """Where the settings allow no other."""
    provider = make(pool_symbols=0, pool_most=1)
    follow(provider, *BOOKS)
    assert exchange.ws_connections == 1


def test_every_channel_spreads_alike(exchange: FakeKraken, make: Make) -> None:
    """So many symbols of each channel a connection, and a symbol's channels together."""
    provider = make(pool_symbols=1)
    for symbol in BOOKS[:2]:
        for channel in ("ticker", "trade", "ohlc", "book"):
            provider.subscribe_symbol(symbol, channel)
        assert provider.wait_for_tick(symbol, LONG) is not None
        assert provider.wait_for_tape(symbol, "trade", 0, LONG)
        assert provider.wait_for_tape(symbol, "ohlc", 1, LONG)
        assert provider.wait_for_book(symbol, 10, LONG) is not None
    assert carried(provider) == [[BOOKS[0]] * 4, [BOOKS[1]] * 4]
    assert exchange.ws_connections == 2
    read = provider.price_reader(BOOKS[1])
    assert read() == provider.proven(BOOKS[1])[0].price  # type: ignore[index]


def test_book_of_another_connection_is_given_back_there(exchange: FakeKraken, make: Make) -> None:
    """With its last reference; then it is placed anew."""
    provider = make(pool_symbols=1)
    follow(provider, "BTC/USD", "ETH/USD")
    provider.subscribe_symbol("ETH/USD", "book")
    provider.unsubscribe_symbol("ETH/USD", "book")
    assert provider.order_book("ETH/USD") is not None
    provider.unsubscribe_symbol("ETH/USD", "book")
    assert exchange.wait_for(lambda x: not x.is_subscribed("ETH/USD", "book"), LONG)
    assert provider.order_book("ETH/USD") is None
    provider.unsubscribe_symbol("BTC/USD", "book")
    assert exchange.wait_for(lambda x: not x.is_subscribed("BTC/USD", "book"), LONG)
    follow(provider, "ETH/USD")
    assert carried(provider)[0] == ["ETH/USD"]


def test_deeper_book_is_wanted_where_it_is(make: Make) -> None:
    """One book is on one connection, however deep."""
    provider = make(pool_symbols=1)
    follow(provider, "BTC/USD", "ETH/USD")
    provider.subscribe_symbol("ETH/USD", "book", depth=100)
    book = provider.wait_for_book("ETH/USD", 100, LONG)
    assert book is not None
    assert len(book.bids) == 100
    assert carried(provider) == [["BTC/USD"], ["ETH/USD"]]


def test_reader_hears_of_all_books_and_of_one_link(exchange: FakeKraken, make: Make) -> None:
    """What another connection says of itself is not about prices."""
    provider = make(pool_symbols=1)
    reader = provider.open_feed()
    follow(provider, "BTC/USD", "ETH/USD")
    another = provider.open_feed()
    exchange.set_price("ETH/USD", 4001)
    assert until(another, BookUpdate, "ETH/USD").bids != ()
    provider.stop(LONG)
    seen = [type(event) for event in iter(lambda: reader.get(0), None)]
    assert (seen.count(FeedLive), seen.count(FeedClosed)) == (1, 1)
    assert seen.count(BookUpdate) >= 3


def test_stop_ends_all_and_begins_anew(exchange: FakeKraken, make: Make) -> None:
    """After it the provider is as new."""
    provider = make(pool_symbols=1)
    follow(provider, *BOOKS[:3])
    provider.stop(LONG)
    assert exchange.wait_for(lambda x: x.ws_connections == 0, LONG)
    assert provider.health().beside == ()
    follow(provider, "SOL/USD")
    assert carried(provider) == [["SOL/USD"]]


# --- moving ------------------------------------------------------------------------------------


def busy(exchange: FakeKraken, make: Make, *symbols: str) -> WebSocketPriceProvider:
    """Return a provider that takes any frame a second for too many, with books on it."""
    provider = make(pool_frames=0.0)
    follow(provider, *symbols)
    reader = provider.open_feed()
    feed, lock = provider.feed_thread.feed, provider.feed_thread.lock
    for price in range(4000, 5000):
        with lock:
            feed.due(provider.feed_thread.clock())
            if feed.rates(provider.feed_thread.clock())[0] > 0:
                return provider
        exchange.set_price("ETH/USD", price)
        until(reader, BookUpdate, "ETH/USD")
    raise AssertionError("it is not busy")


def test_half_of_the_books_of_a_busy_connection_move(exchange: FakeKraken, make: Make) -> None:
    """Subscribed to there, and left here; each is proven at every moment."""
    provider = busy(exchange, make, "BTC/USD", "ETH/USD", "SOL/USD", "XRP/USD")
    reader = provider.open_feed()
    provider.pool.balance(provider)
    moved: set[str] = set()
    while moved != {"BTC/USD", "SOL/USD"}:
        assert all(provider.order_book(s) is not None for s in BOOKS[:4])
        event = reader.get(0.001)
        if isinstance(event, ChannelLive):
            moved.add(event.symbol)
    assert exchange.wait_for(
        lambda _: carried(provider) == [["ETH/USD", "XRP/USD"], ["BTC/USD", "SOL/USD"]], LONG
    )
    assert all(provider.order_book(symbol) is not None for symbol in BOOKS[:4])


def test_book_that_moves_is_told_whole_and_then_each_change_once(
    exchange: FakeKraken, make: Make
) -> None:
    """Who goes from change to change begins anew where it was confirmed."""
    provider = busy(exchange, make, "BTC/USD", "ETH/USD")
    reader = provider.open_feed(channels=["book"])
    provider.pool.balance(provider)
    until(reader, ChannelLive, "BTC/USD")
    whole = until(reader, BookUpdate, "BTC/USD")
    assert (whole.is_snapshot, len(whole.bids)) == (True, 10)
    assert exchange.wait_for(lambda _: carried(provider) == [["ETH/USD"], ["BTC/USD"]], LONG)
    for price in (50001, 50002):
        exchange.set_price("BTC/USD", price)
    changes = [until(reader, BookUpdate, "BTC/USD") for _ in range(2)]
    assert not any(change.is_snapshot for change in changes)
    best = provider.order_book("BTC/USD")
    assert best is not None
    assert str(best.bids[0].price) == "50001.9"
    assert reader.backlog == 0


def test_references_go_with_the_book(exchange: FakeKraken, make: Make) -> None:
    """As many as it had; the last one gives it back where it is now."""
    provider = busy(exchange, make, "BTC/USD", "ETH/USD")
    provider.subscribe_symbol("BTC/USD", "book")
    provider.pool.balance(provider)
    assert exchange.wait_for(lambda _: carried(provider) == [["ETH/USD"], ["BTC/USD"]], LONG)
    provider.unsubscribe_symbol("BTC/USD", "book")
    assert provider.order_book("BTC/USD") is not None
    provider.unsubscribe_symbol("BTC/USD", "book")
    assert exchange.wait_for(lambda x: not x.is_subscribed("BTC/USD", "book"), LONG)


def test_book_that_nobody_wants_any_more_does_not_arrive(exchange: FakeKraken, make: Make) -> None:
    """Given back while it was on its way, it is left on both."""
    provider = busy(exchange, make, "BTC/USD", "ETH/USD")
    exchange.fault("no_ack", symbol="BTC/USD")
    provider.pool.balance(provider)
    provider.unsubscribe_symbol("BTC/USD", "book")
    exchange.clear_faults()
    (branch,) = provider.pool.branches
    branch.feed_thread.resubscribe("BTC/USD", "book")
    assert exchange.wait_for(lambda x: not x.is_subscribed("BTC/USD", "book"), LONG)
    assert provider.order_book("BTC/USD") is None


def test_connection_that_cannot_be_made_leaves_the_books_where_they_are(
    exchange: FakeKraken, make: Make
) -> None:
    """Nothing is left before it is confirmed elsewhere."""
    provider = busy(exchange, make, "BTC/USD", "ETH/USD")
    exchange.fault("refuse_connect")
    provider.pool.balance(provider)
    provider.pool.balance(provider)
    assert len(provider.pool.branches) == 1
    exchange.set_price("BTC/USD", 50001)
    assert provider.order_book("BTC/USD") is not None
    assert carried(provider)[0] == ["BTC/USD", "ETH/USD"]


def test_calm_connection_keeps_its_books(exchange: FakeKraken, make: Make) -> None:
    """There is nothing to be gained."""
    provider = make()
    follow(provider, "BTC/USD", "ETH/USD")
    provider.pool.balance(provider)
    assert (provider.pool.branches, exchange.ws_connections) == ([], 1)


def test_patient_link_is_given_more_time_and_no_other_number() -> None:
    """Two megabytes take seconds on a slow line."""
    given = patient(PATIENT)
    assert given.dead_after == 10 * PATIENT.dead_after
    assert (
        replace(
            given,
            ping_after=PATIENT.ping_after,
            dead_after=PATIENT.dead_after,
            mute_after=PATIENT.mute_after,
            audit_every=PATIENT.audit_every,
        )
        == PATIENT
    )
