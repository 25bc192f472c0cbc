"""A relay of this process on a real broker, between the embedded exchange and real providers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from fake_kraken import FakeKraken
from krakenlink.relay.server import RelayServer
from krakenlink.stream.events import FeedStale, SymbolRefused, Trades
from krakenlink.stream.settings import FeedSettings
from tests.kits.relay.relay_kit import RedisServer, relay, wait_until
from ws_price_provider import FeedReader, WebSocketPriceProvider

# The proof keeps its real three seconds; a lost relay is tried again soon.
SETTINGS = FeedSettings(retry_delays=(0.0, 0.2), mute_after=60.0)


@contextmanager
def provider_at(url: str) -> Iterator[WebSocketPriceProvider]:
    """Give a provider that is stopped in the end."""
    made = WebSocketPriceProvider(url, settings=SETTINGS)
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def at_work(
    redis_server: RedisServer, exchange: FakeKraken, request: pytest.FixtureRequest
) -> Iterator[str]:
    """The address of a relay that is at work, of a name that no other test has."""
    url = redis_server.url("".join(c for c in request.node.name if c.isalnum())[:40])
    with relay(url, exchange.ws_url):
        yield url


def shows(provider: WebSocketPriceProvider, price: float) -> Callable[[], bool]:
    """Return whether the price of the pair is this one, as a question."""
    return lambda: provider.get_current_price("XBTUSD") == price


def heard(reader: FeedReader, kind: type) -> bool:
    """Tell whether an event of this kind has come to `reader` meanwhile."""
    event = reader.get(0.05)
    return isinstance(event, kind)


def test_price_comes_through_and_moves(at_work: str, exchange: FakeKraken) -> None:
    """A price and each move of it reach a reader."""
    exchange.set_price("XBTUSD", "50000.1")
    with provider_at(at_work) as reader:
        reader.subscribe("XBTUSD")
        wait_until(shows(reader, 50000.1))
        exchange.set_price("XBTUSD", "50001.2")
        wait_until(shows(reader, 50001.2))


def test_second_reader_gets_its_snapshot_from_the_relay(at_work: str, exchange: FakeKraken) -> None:
    """Kraken is asked once, however many read."""
    exchange.set_price("XBTUSD", "50000.1")
    with provider_at(at_work) as first, provider_at(at_work) as second:
        first.subscribe("XBTUSD")
        wait_until(shows(first, 50000.1))
        asked = len(exchange.ws_messages)
        second.subscribe("XBTUSD")
        wait_until(shows(second, 50000.1))
        more = [m for m in exchange.ws_messages[asked:] if m["method"] == "subscribe"]
        assert more == []
        assert exchange.ws_connections == 1


def test_refusal_of_krakens_comes_word_for_word(at_work: str) -> None:
    """What Kraken says of a symbol is what a reader hears."""
    with provider_at(at_work) as reader, closing(reader.open_feed()) as events:
        reader.subscribe_symbol("NIX/USD")
        told: list[SymbolRefused] = []

        def is_refused() -> bool:
            event = events.get(0.05)
            told.extend([event] if isinstance(event, SymbolRefused) else [])
            return bool(told)

        wait_until(is_refused)
        assert told[0].error == "Currency pair not supported NIX/USD"


def test_trades_come_through(at_work: str, exchange: FakeKraken) -> None:
    """Trades travel as prices do."""
    with provider_at(at_work) as reader, closing(reader.open_feed()) as events:
        reader.subscribe_symbol("BTC/USD", "trade")
        wait_until(lambda: exchange.is_subscribed("BTC/USD", "trade"))
        exchange.set_price("XBTUSD", "50000.1")
        wait_until(lambda: heard(events, Trades))


def test_lost_kraken_makes_readers_blind_and_they_come_back(
    at_work: str, exchange: FakeKraken
) -> None:
    """No price outlives the relay's own proof."""
    exchange.set_price("XBTUSD", "50000.1")
    with provider_at(at_work) as reader:
        reader.subscribe("XBTUSD")
        wait_until(shows(reader, 50000.1))
        exchange.stop_listening()
        exchange.drop_connections()
        wait_until(lambda: reader.get_current_price("XBTUSD") is None)
        exchange.resume()
        exchange.set_price("XBTUSD", "49999.5")
        wait_until(shows(reader, 49999.5))


def test_broker_restart_makes_readers_blind_and_they_come_back(
    at_work: str, exchange: FakeKraken, redis_server: RedisServer
) -> None:
    """A broker that is gone proves nothing."""
    exchange.set_price("XBTUSD", "50000.1")
    with provider_at(at_work) as reader, closing(reader.open_feed()) as events:
        reader.subscribe("XBTUSD")
        wait_until(shows(reader, 50000.1))
        redis_server.end()
        wait_until(lambda: heard(events, FeedStale))
        assert reader.get_current_price("XBTUSD") is None
        exchange.set_price("XBTUSD", "49999.5")
        redis_server.start()
        wait_until(shows(reader, 49999.5))


def test_second_name_serves_where_the_first_does_not(
    redis_server: RedisServer, exchange: FakeKraken
) -> None:
    """Two relays stand in for each other."""
    exchange.set_price("XBTUSD", "50000.1")
    with (
        relay(redis_server.url("second"), exchange.ws_url),
        provider_at(redis_server.url("nobody", "second")) as reader,
    ):
        reader.subscribe("XBTUSD")
        wait_until(shows(reader, 50000.1))


def test_defect_of_the_relay_begins_anew_on_known_ground(
    redis_server: RedisServer, exchange: FakeKraken
) -> None:
    """What came with it may be missing somewhere: nothing of that connection counts any more."""
    exchange.set_price("XBTUSD", "50000.1")
    url = redis_server.url("defect")
    with relay(url, exchange.ws_url) as server, provider_at(url) as reader:
        reader.subscribe("XBTUSD")
        wait_until(shows(reader, 50000.1))

        def defect(_: object) -> None:
            raise ZeroDivisionError

        with closing(reader.open_feed()) as events:
            server._happened.put(defect)
            wait_until(lambda: heard(events, FeedStale))
        exchange.set_price("XBTUSD", "49999.5")
        wait_until(shows(reader, 49999.5))
        assert exchange.ws_connections_made == 2


def test_defect_while_it_hears_ends_no_reader(
    redis_server: RedisServer, exchange: FakeKraken, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it was: the readers that are there, and those that come, are heard again."""
    exchange.set_price("XBTUSD", "50000.1")
    url, heard_before, defects = redis_server.url("deaf"), RelayServer._heard, [ZeroDivisionError]

    def hear(server: RelayServer, data: bytes | None) -> None:
        if data is not None and defects:
            raise defects.pop()
        heard_before(server, data)

    monkeypatch.setattr(RelayServer, "_heard", hear)
    with relay(url, exchange.ws_url), provider_at(url) as reader:
        reader.subscribe("XBTUSD")
        wait_until(shows(reader, 50000.1))
        assert defects == []


def test_standing_tells_of_readers_and_packets(
    redis_server: RedisServer, exchange: FakeKraken
) -> None:
    """Replaced whole as it goes on; a broker that is gone shows in it."""
    exchange.set_price("XBTUSD", "50000.1")
    url = redis_server.url("standing")
    with relay(url, exchange.ws_url) as server:
        assert (server.standing.readers, server.standing.is_heard) == (0, True)
        with provider_at(url) as reader:
            reader.subscribe("XBTUSD")
            wait_until(shows(reader, 50000.1))
            wait_until(lambda: server.standing.readers == 1)
            assert server.standing.subscriptions == 1
            before = server.standing.packets
            wait_until(lambda: server.standing.packets > before)
            assert server.standing.packets_per_second > 0
        wait_until(lambda: server.standing.readers == 0)
        redis_server.end()
        wait_until(lambda: not server.standing.is_heard)
        redis_server.start()
        wait_until(lambda: server.standing.is_heard)
