"""The feed's thread against the embedded exchange, with every misfortune that it can make."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from fake_kraken import FakeKraken
from krakenlink.stream.events import (
    FeedBack,
    FeedConnecting,
    FeedStale,
    FirstData,
    SymbolMute,
    SymbolRefused,
    Tick,
    Trades,
)
from krakenlink.stream.settings import FeedSettings
from tests.kits.stream.stream_kit import (
    LONG,
    PATIENT,
    QUICK,
    Make,
    Waiter,
    make,
    server,
    wait_for,
)
from ws_price_provider import FeedReader, WebSocketPriceProvider

__all__ = ["make", "server"]


@pytest.fixture
def follow(exchange: FakeKraken, make: Make) -> Callable[..., tuple[Any, FeedReader]]:
    """Hand out a maker of a provider on the embedded exchange that has asked for BTC/USD."""

    def build(settings: FeedSettings = PATIENT) -> tuple[WebSocketPriceProvider, FeedReader]:
        exchange.set_price("XXBTZUSD", 50000)
        provider = make(settings, url=exchange.ws_url)
        reader = provider.open_feed()
        provider.subscribe("XXBTZUSD")
        return provider, reader

    return build


Follow = Callable[..., tuple[WebSocketPriceProvider, FeedReader]]


def test_exchange_price_is_followed_to_the_digit(exchange: FakeKraken, follow: Follow) -> None:
    """Each price that the exchange sets arrives, as its own tick and with its digits."""
    provider, reader = follow()
    wait_for(reader, Tick)
    for price in ("50000.1", "1.0", "49999.9"):
        exchange.set_price("XXBTZUSD", price)
        assert str(wait_for(reader, Tick).price) == price
    assert provider.get_current_price("XXBTZUSD") == 49999.9


def test_exchange_sweep_is_seen_trade_by_trade(exchange: FakeKraken, follow: Follow) -> None:
    """Several trades in one frame are several prints, with ids that follow each other."""
    provider, reader = follow()
    provider.subscribe_symbol("BTC/USD", "trade")
    assert exchange.wait_for(lambda e: e.is_subscribed("BTC/USD", "trade"), LONG)
    exchange.set_prices("XXBTZUSD", [50001, 50002, 50003])
    prints = wait_for(reader, Trades).prints
    assert [p.price for p in prints] == [50001, 50002, 50003]
    assert [p.trade_id - prints[0].trade_id for p in prints] == [0, 1, 2]


def test_exchange_that_drops_everybody_is_found_again(exchange: FakeKraken, follow: Follow) -> None:
    """After a reset the symbol is live again, with the price of now."""
    provider, reader = follow()
    wait_for(reader, FirstData)
    exchange.drop_connections()
    wait_for(reader, FeedBack)
    wait_for(reader, FirstData)
    assert provider.get_current_price("XXBTZUSD") == 50000
    assert exchange.ws_connections_made == 2


def test_exchange_that_restarts_is_found_again(exchange: FakeKraken, follow: Follow) -> None:
    """While nobody listens the feed goes on trying; the first chance is taken."""
    provider, reader = follow()
    wait_for(reader, FirstData)
    exchange.stop_listening()
    exchange.drop_connections()
    wait_for(reader, FeedStale)
    while wait_for(reader, FeedConnecting).attempt < 4:
        assert provider.get_current_price("XXBTZUSD") is None
    exchange.resume()
    wait_for(reader, FirstData)
    assert provider.get_current_price("XXBTZUSD") == 50000


def test_exchange_that_falls_silent_is_left(exchange: FakeKraken, follow: Follow) -> None:
    """Sockets that stay open without a frame are replaced until one speaks."""
    provider, reader = follow(QUICK)
    wait_for(reader, FirstData)
    fault = exchange.fault("silent")
    wait_for(reader, FeedStale)
    assert provider.get_current_price("XXBTZUSD") is None
    fault.clear()
    wait_for(reader, FirstData)


def test_exchange_answer_that_is_lost_is_got_back(exchange: FakeKraken, follow: Follow) -> None:
    """Subscribed at Kraken and not told so: only who leaves first is sent a snapshot once more."""
    provider, reader = follow(replace(PATIENT, mute_after=0.1, mute_retry_every=0.1))
    wait_for(reader, FirstData)
    fault = exchange.fault("silent")
    provider.subscribe("ETHUSD")
    assert exchange.wait_for(lambda e: len(e.ws_messages) > 1)
    fault.clear()
    assert wait_for(reader, FirstData).symbol == "ETH/USD"
    first, *others = [m["method"] for m in exchange.ws_messages if "ETH" in json.dumps(m)]
    assert first == "subscribe"
    assert others == ["unsubscribe", "subscribe"] * (len(others) // 2)


@pytest.mark.parametrize("name", ["ack_without_data", "mute", "no_ack"])
def test_exchange_symbol_without_data_is_mute_until_it_speaks(
    exchange: FakeKraken, follow: Follow, name: str
) -> None:
    """A promise without data, or no promise at all, is REST's affair; others are not touched."""
    exchange.fault(name, symbol="BTC/USD")
    provider, reader = follow(replace(PATIENT, mute_after=0.4))
    provider.subscribe("ETHUSD")
    assert wait_for(reader, SymbolMute).symbol == "BTC/USD"
    assert Waiter(provider).answer() is None
    assert provider.wait_for_tick("ETH/USD", LONG) is not None
    exchange.clear_faults()
    provider.feed_thread.resubscribe("BTC/USD")
    while wait_for(reader, FirstData).symbol != "BTC/USD":
        continue
    assert provider.get_current_price("XXBTZUSD") == 50000


def test_exchange_refusal_is_of_that_symbol_alone(exchange: FakeKraken, follow: Follow) -> None:
    """One pair that is not streamed leaves the others streaming."""
    exchange.fault("refuse", symbol="BTC/USD")
    provider, reader = follow()
    provider.subscribe("ETHUSD")
    assert wait_for(reader, SymbolRefused).error == "Currency pair not supported BTC/USD"
    assert Waiter(provider).answer() is None
    assert provider.wait_for_tick("ETH/USD", LONG) is not None


def test_exchange_that_refuses_the_upgrade_is_asked_again(
    exchange: FakeKraken, follow: Follow
) -> None:
    """HTTP 503 on the handshake is a failure like others, and passes."""
    exchange.fault("refuse_connect", count=2)
    _, reader = follow()
    assert "HTTP 503" in wait_for(reader, FeedStale).reason
    wait_for(reader, FirstData)


def test_exchange_that_wants_less_haste_gets_it(exchange: FakeKraken, follow: Follow) -> None:
    """`Exceeded msg rate` is waited out, and the subscription still comes about."""
    exchange.fault("msg_rate", count=1)
    _, reader = follow(replace(PATIENT, rate_pause=0.02))
    wait_for(reader, FirstData)
    assert [message["method"] for message in exchange.ws_messages] == ["subscribe"] * 2


def test_exchange_rubbish_between_prices_harms_nobody(exchange: FakeKraken, follow: Follow) -> None:
    """Frames that are no prices are counted; the prices among them arrive."""
    provider, reader = follow()
    wait_for(reader, Tick)
    exchange.fault("bad_frames")
    exchange.set_price("XXBTZUSD", 50001)
    exchange.set_price("XXBTZUSD", 50002)
    assert [wait_for(reader, Tick).price for _ in range(2)] == [50001, 50002]
    assert provider.get_current_price("XXBTZUSD") == 50002
    assert provider.health().damaged >= 5


def test_exchange_price_reader_follows_and_ends_with_its_subscription(
    exchange: FakeKraken, follow: Follow
) -> None:
    """A reader answers with each proven price, and with nothing once nobody subscribes."""
    provider, events = follow()
    wait_for(events, Tick)
    read = provider.price_reader("BTC/USD")
    assert read() == 50000.0
    exchange.set_price("XXBTZUSD", "50001.5")
    wait_for(events, Tick)
    assert read() == 50001.5
    provider.unsubscribe("XXBTZUSD")
    assert read() is None
    with pytest.raises(KeyError):
        provider.price_reader("BTC/USD")
