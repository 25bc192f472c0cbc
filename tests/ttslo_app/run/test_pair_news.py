"""Which pairs Kraken has changed, by the stream of an embedded exchange."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from fake_kraken import FakeKraken
from kraken_api import KrakenAPI
from krakenlink.pairs import Symbol
from krakenlink.stream.events import InstrumentUpdate
from krakenlink.stream.instruments import Instrument
from ttslo_app.run.pair_news import PairNews

LONG = 60.0
BTC = Symbol("BTC/USD")


@pytest.fixture
def api(exchange: FakeKraken) -> Iterator[KrakenAPI]:
    """Hand out a client that streams; its stream ends with the test."""
    with KrakenAPI(base_url=exchange.rest_url, ws_url=exchange.ws_url) as made:
        yield made
        provider = made.price_provider()
        assert provider is not None
        provider.stop(LONG)


def heard(news: PairNews, exchange: FakeKraken) -> set[str]:
    """Wait for news, and return the pairs."""
    found: set[str] = set()

    def has_come(_: FakeKraken) -> bool:
        found.update(news.changed())
        return bool(found)

    assert exchange.wait_for(has_come, LONG)
    return found


@pytest.mark.parametrize(
    "change", [{"ordermin": "0.02"}, {"status": "cancel_only"}, {"lot_decimals": 3}]
)
def test_pair_that_kraken_changes_is_news_once(
    exchange: FakeKraken, api: KrakenAPI, change: dict[str, object]
) -> None:
    """Its minimum, its status, its steps; all pairs at the start are none."""
    news = PairNews(api)
    assert api.follow_instruments(LONG)
    assert news.changed() == frozenset()
    exchange.change_pair("XXBTZUSD", **change)
    assert heard(news, exchange) == {"BTC/USD"}
    assert news.changed() == frozenset()


def test_change_while_the_stream_was_away_is_news(exchange: FakeKraken, api: KrakenAPI) -> None:
    """All pairs are told anew then, and compared with what was known."""
    news = PairNews(api)
    assert api.follow_instruments(LONG)
    assert news.changed() == frozenset()
    blocked = exchange.fault("refuse_connect")
    exchange.drop_connections()
    exchange.change_pair("XETHZUSD", ordermin="0.7")
    blocked.clear()
    assert heard(news, exchange) == {"ETH/USD"}


def test_stream_that_was_stopped_is_listened_to_again(exchange: FakeKraken, api: KrakenAPI) -> None:
    """Whoever shares it may stop it; the next one to follow pairs starts it."""
    news = PairNews(api)
    assert api.follow_instruments(LONG)
    provider = api.price_provider()
    assert provider is not None
    provider.stop(LONG)
    assert news.changed() == frozenset()
    assert api.follow_instruments(LONG)
    exchange.change_pair("XXBTZUSD", ordermin="0.02")
    assert heard(news, exchange) == {"BTC/USD"}


def test_what_was_not_told_anew_is_no_change(exchange: FakeKraken, api: KrakenAPI) -> None:
    """Kraken may tell a part; of a pair of which nothing is known any news counts."""
    news = PairNews(api)
    provider = api.price_provider()
    assert provider is not None
    readers = provider.feed_thread.readers
    whole = Instrument(BTC, status="online", qty_min=Decimal(1))
    for pair, count in ((whole, 1), (Instrument(BTC, status="online"), 0)):
        readers.publish([InstrumentUpdate((pair,), (), 1.0)])
        assert len(news.changed()) == count


def test_client_without_a_stream_has_no_news(exchange: FakeKraken) -> None:
    """And nothing that would have to be stopped."""
    with KrakenAPI(base_url=exchange.rest_url, use_websocket=False) as api:
        assert PairNews(api).changed() == frozenset()
