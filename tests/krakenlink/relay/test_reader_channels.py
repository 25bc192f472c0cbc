"""Books, candles and the list of pairs by a relay, over a real broker, to real clients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import pytest

from fake_kraken import FakeKraken
from kraken_api import KrakenAPI
from krakenlink.stream.events import BookUpdate, BookWrong, FeedStale, SymbolRefused
from tests.kits.relay.relay_kit import LONG, PATIENT, RedisServer, relay, wait_until
from ws_price_provider import WebSocketPriceProvider

SETTINGS = replace(PATIENT, retry_delays=(0.0, 0.2))


@pytest.fixture
def at_work(
    redis_server: RedisServer, exchange: FakeKraken, request: pytest.FixtureRequest
) -> Iterator[str]:
    """The address of a relay that is at work, of a name that no other test has."""
    exchange.set_price("XBTUSD", "50000.1")
    name = "".join(c for c in request.node.name if c.isalnum())[:40]
    with relay(redis_server.url(name), exchange.ws_url, PATIENT):
        yield redis_server.url(name)
    WebSocketPriceProvider.shared(redis_server.url(name)).stop()


@contextmanager
def client(url: str, exchange: FakeKraken) -> Iterator[KrakenAPI]:
    """Give a client whose stream is a relay's."""
    with KrakenAPI(
        base_url=exchange.rest_url, ws_url=url, ws_timeout=LONG, feed_settings=SETTINGS
    ) as api:
        yield api


@contextmanager
def provider(url: str) -> Iterator[WebSocketPriceProvider]:
    """Give a provider of its own that is stopped in the end."""
    made = WebSocketPriceProvider(url, settings=SETTINGS)
    try:
        yield made
    finally:
        made.stop()


def asked_of(exchange: FakeKraken, channel: str) -> list[dict[str, object]]:
    """Return what the relay has asked Kraken for on a channel."""
    return [
        m["params"]
        for m in exchange.ws_messages
        if m["method"] == "subscribe" and m["params"]["channel"] == channel
    ]


def test_book_is_proven_by_kraken_s_sum_in_the_reader(at_work: str, exchange: FakeKraken) -> None:
    """The first, and the ones after each change."""
    with client(at_work, exchange) as api:
        book = api.get_order_book("XBTUSD")
        assert book.source == "websocket"
        assert 0 <= book.proven_age < LONG
        exchange.set_price("XBTUSD", "50500.5")
        wait_until(lambda: api.get_order_book("XBTUSD").asks[0].price > 50500)
        book = api.get_order_book("XBTUSD")
        assert book.source == "websocket"
        assert all(a.price > b.price for a, b in pairwise(book.bids))


def test_second_reader_begins_with_the_relay_s_copy(at_work: str, exchange: FakeKraken) -> None:
    """Kraken is asked once; every change after it is confirmed by Kraken's sum in both."""
    with provider(at_work) as first, provider(at_work) as second:
        first.subscribe_symbol("BTC/USD", "book")
        assert first.wait_for_book("BTC/USD", 10, LONG) is not None
        exchange.set_price("XBTUSD", "50700.5")
        with closing(second.open_feed()) as events:
            second.subscribe_symbol("BTC/USD", "book")
            told = second.wait_for_book("BTC/USD", 10, LONG)
            assert told is not None
            exchange.set_price("XBTUSD", "50900.5")

            def is_at(provider: WebSocketPriceProvider) -> bool:
                book = provider.order_book("BTC/USD", 10)
                return book is not None and book.asks[0].price > Decimal("50900")

            wait_until(lambda: is_at(first) and is_at(second))
            kinds = {type(event) for event in iter(lambda: events.get(0.0), None)}
        assert BookUpdate in kinds
        assert not kinds & {BookWrong, FeedStale}
        assert len(asked_of(exchange, "book")) == 1


def test_wrong_sum_is_seen_in_the_reader_and_asked_for_anew(
    at_work: str, exchange: FakeKraken
) -> None:
    """No level that Kraken's sum does not confirm; a moment later there is a book again."""
    with provider(at_work) as reader, closing(reader.open_feed()) as events:
        reader.subscribe_symbol("BTC/USD", "book")
        assert reader.wait_for_book("BTC/USD", 10, LONG) is not None
        exchange.fault("book_wrong_sum", symbol="BTC/USD", count=1)
        exchange.set_price("XBTUSD", "50700.5")
        wait_until(lambda: isinstance(events.get(0.05), BookWrong))

        def is_back() -> bool:
            book = reader.order_book("BTC/USD", 10)
            return book is not None and book.asks[0].price > Decimal("50700")

        wait_until(is_back)


def test_deeper_reader_takes_the_others_along(at_work: str, exchange: FakeKraken) -> None:
    """One book at Kraken, as deep as the deepest wants it; the others' stay right."""
    with provider(at_work) as shallow, provider(at_work) as deep:
        shallow.subscribe_symbol("BTC/USD", "book")
        assert shallow.wait_for_book("BTC/USD", 10, LONG) is not None
        with closing(shallow.open_feed()) as events:
            deep.subscribe_symbol("BTC/USD", "book", depth=100)
            wait_until(lambda: deep.order_book("BTC/USD", 100) is not None)
            while not isinstance(event := events.get(LONG), FeedStale):
                assert event is not None  # as it is asked for anew, the other begins anew once
            wait_until(lambda: shallow.order_book("BTC/USD", 10) is not None)
            for price in ("50100.5", "50200.5", "49000.5"):
                exchange.set_price("XBTUSD", price)

            def is_there() -> bool:
                book = shallow.order_book("BTC/USD", 10)
                return book is not None and 49000 < book.asks[0].price < 49002

            wait_until(is_there)
            kinds = {type(event) for event in iter(lambda: events.get(0.0), None)}
        assert not kinds & {BookWrong, FeedStale}
        assert [params["depth"] for params in asked_of(exchange, "book")] == [10, 100]


def test_book_that_is_asked_for_anew_disturbs_its_readers_alone(
    at_work: str, exchange: FakeKraken
) -> None:
    """Whoever has prices keeps them."""
    with (
        provider(at_work) as prices,
        provider(at_work) as shallow,
        provider(at_work) as deep,
        closing(prices.open_feed()) as events,
        closing(shallow.open_feed()) as others,
    ):
        prices.subscribe("XBTUSD")
        wait_until(lambda: prices.get_current_price("XBTUSD") == 50000.1)
        shallow.subscribe_symbol("BTC/USD", "book")
        assert shallow.wait_for_book("BTC/USD", 10, LONG) is not None
        deep.subscribe_symbol("BTC/USD", "book", depth=100)
        wait_until(lambda: isinstance(others.get(0.05), FeedStale))
        wait_until(lambda: deep.order_book("BTC/USD", 100) is not None)
        exchange.set_price("XBTUSD", "50700.5")
        wait_until(lambda: prices.get_current_price("XBTUSD") == 50700.5)
        kinds = {type(event) for event in iter(lambda: events.get(0.0), None)}
    assert FeedStale not in kinds


def test_depth_that_kraken_refuses_is_refused_in_its_words(
    at_work: str, exchange: FakeKraken
) -> None:
    """And the shallower book goes on."""
    with provider(at_work) as shallow, provider(at_work) as deep:
        shallow.subscribe_symbol("BTC/USD", "book")
        assert shallow.wait_for_book("BTC/USD", 10, LONG) is not None
        exchange.fault("refuse_depth")
        told: list[str] = []
        with closing(deep.open_feed()) as events:
            deep.subscribe_symbol("BTC/USD", "book", depth=100)

            def is_refused() -> bool:
                event = events.get(0.05)
                told.extend([event.error] if isinstance(event, SymbolRefused) else [])
                return bool(told)

            wait_until(is_refused)
        assert told[0] == "Subscription depth not supported"
        wait_until(lambda: shallow.order_book("BTC/USD", 10) is not None)


def test_candles_come_by_the_relay(at_work: str, exchange: FakeKraken) -> None:
    """Joined to those of REST, each interval for itself."""
    with client(at_work, exchange) as api:
        assert api.get_candles("XBTUSD", 5).source == "websocket"
        assert api.get_candles("XBTUSD", 60).source == "websocket"
        exchange.set_price("XBTUSD", "50700.5")
        wait_until(lambda: api.get_candles("XBTUSD", 5).candles[-1].close == Decimal("50700.5"))
        assert api.get_candles("XBTUSD", 5).source == "websocket"
        wanted = {params["interval"] for params in asked_of(exchange, "ohlc")}
        assert wanted == {5, 60}


def test_second_reader_s_candles_need_no_question_to_kraken(
    at_work: str, exchange: FakeKraken
) -> None:
    """The acknowledgement is the relay's."""
    with provider(at_work) as first, provider(at_work) as second:
        for reader in (first, second):
            reader.subscribe_symbol("BTC/USD", "ohlc", interval=15)
            assert reader.wait_for_tape("BTC/USD", "ohlc", 15, LONG)
        exchange.set_price("XBTUSD", "50700.5")
        wait_until(
            lambda: all((r.tape("BTC/USD", "ohlc", 15) or ({}, {}))[1] for r in (first, second))
        )
        assert len(asked_of(exchange, "ohlc")) == 1


def test_list_of_pairs_comes_by_a_connection_of_its_own(at_work: str, exchange: FakeKraken) -> None:
    """Whole for whoever comes later, and as it changes."""
    with provider(at_work) as first, provider(at_work) as second:
        for reader in (first, second):
            reader.subscribe_symbol("*", "instrument")
            assert reader.wait_for_instruments(LONG)
        assert len(asked_of(exchange, "instrument")) == 1
        exchange.set_pair_status("XBTUSD", "cancel_only")

        def is_told(reader: WebSocketPriceProvider) -> bool:
            found = reader.proven_instrument("BTC/USD")
            return found is not None and found[0].status == "cancel_only"

        wait_until(lambda: is_told(first) and is_told(second))
        with provider(at_work) as third:
            third.subscribe_symbol("*", "instrument")
            assert third.wait_for_instruments(LONG)
            assert is_told(third)
            told = [r.proven_instrument("BTC/USD") for r in (first, third)]
            assert told[0] is not None
            assert told[1] is not None
            assert told[0][0] == told[1][0]
        assert len(asked_of(exchange, "instrument")) == 1


def test_pairs_follow_their_relay_when_kraken_is_lost(at_work: str, exchange: FakeKraken) -> None:
    """They are asked for anew on the relay's next connection."""
    with provider(at_work) as reader:
        reader.subscribe_symbol("*", "instrument")
        assert reader.wait_for_instruments(LONG)
        exchange.stop_listening()
        exchange.drop_connections()
        wait_until(lambda: reader.proven_instrument("BTC/USD") is None)
        exchange.resume()
        exchange.set_pair_status("XBTUSD", "post_only")

        def is_told() -> bool:
            found = reader.proven_instrument("BTC/USD")
            return found is not None and found[0].status == "post_only"

        wait_until(is_told)
