"""Clients of a fresh exchange."""

from collections.abc import Iterator

import pytest
import requests

from fake_kraken import FakeKraken
from tests.kits.exchange.exchange_kit import Client, Stream


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    """Hand out one REST session, closed at the end."""
    with requests.Session() as made:
        yield made


@pytest.fixture
def client(exchange: FakeKraken, session: requests.Session) -> Client:
    """Hand out a client of a fresh exchange."""
    return Client(exchange, session)


@pytest.fixture
def stream(exchange: FakeKraken) -> Iterator[Stream]:
    """Hand out a stream that has got its `status` frame."""
    made = Stream(exchange)
    assert made.next()["channel"] == "status"
    yield made
    made.close()
