"""A client of the embedded exchange, whose stream is what its calls are answered from."""

from collections.abc import Iterator

import pytest

from fake_kraken import FakeKraken
from kraken_api import KrakenAPI
from krakenlink.stream.settings import FeedSettings
from ws_price_provider import WebSocketPriceProvider

LONG = 60.0
# Silence is not the matter, and nobody doubts what is told.
PATIENT = FeedSettings(
    ping_after=1000.0,
    dead_after=2000.0,
    mute_after=2000.0,
    lag_check_every=2000.0,
    connect_timeout=LONG,
    connect_patience=LONG,
    send_timeout=LONG,
    audit_every=0,
)


@pytest.fixture
def api(exchange: FakeKraken) -> Iterator[KrakenAPI]:
    """Hand out a client that waits as long as a slow machine needs."""
    with KrakenAPI(
        base_url=exchange.rest_url,
        ws_url=exchange.ws_url,
        ws_timeout=LONG,
        feed_settings=PATIENT,
    ) as made:
        yield made
    WebSocketPriceProvider.shared(exchange.ws_url).stop(LONG)


def provider_of(api: KrakenAPI) -> WebSocketPriceProvider:
    """Return the stream of a client."""
    provider = api.price_provider()
    assert provider is not None
    return provider
