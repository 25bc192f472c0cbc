"""Kraken as the order thread sees it, on the embedded exchange, and one order for it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from fake_kraken import FakeKraken
from kraken_api import KrakenAPI
from krakenlink.rest.verdicts import OutcomeKind
from ttslo_app.orders.exchange import KrakenExchange
from ttslo_app.orders.request import OrderRequest

PAIR = "XXBTZUSD"
ORDER = OrderRequest(PAIR, "sell", "0.01", "+1.25%")
OURS = "10dbbc38-8940-5a21-9d7b-b5c9342ca547"
THEIRS = "20dbbc38-8940-5a21-9d7b-b5c9342ca547"
QUERIES = {"query open", "query closed"}


@pytest.fixture
def said() -> list[str]:
    """Hand out what a person was told, level and message in one text."""
    return []


@pytest.fixture
def kraken(exchange: FakeKraken, said: list[str]) -> Iterator[KrakenExchange]:
    """Hand out the exchange as the order thread sees it, with the trading key alone."""
    key, secret, url = exchange.api_key, exchange.api_secret, exchange.rest_url
    trading = KrakenAPI(key, secret, url, use_websocket=False)
    reading = KrakenAPI(base_url=url, use_websocket=False)
    yield KrakenExchange(
        trading, reading, time.time, lambda *words, **fields: said.append(" ".join(words))
    )
    trading.close()
    reading.close()


def deadline_of(kraken: KrakenExchange, seconds: float = 30.0) -> str:
    """Return the moment `seconds` ahead of Kraken's clock, as the order thread writes it."""
    moment = datetime.fromtimestamp(kraken.now() + seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def place(kraken: KrakenExchange, cl_ord_id: str = OURS) -> str:
    """Place `ORDER` and return its id."""
    outcome = kraken.place(ORDER, cl_ord_id, deadline_of(kraken))
    assert outcome.kind is OutcomeKind.PLACED, outcome
    assert outcome.txid
    return outcome.txid


def one_key(exchange: FakeKraken, trading_may: set[str]) -> tuple[KrakenAPI, KrakenAPI]:
    """Return a trading client with those permissions, and one without a key."""
    exchange.add_key("TRADE", "dHJhZGU=", trading_may)
    url = exchange.rest_url
    trading = KrakenAPI("TRADE", "dHJhZGU=", url, use_websocket=False)
    return trading, KrakenAPI(base_url=url, use_websocket=False)


def two_keys(
    exchange: FakeKraken, trading_may: set[str], reading_may: set[str], account: str = ""
) -> tuple[KrakenAPI, KrakenAPI]:
    """Return a trading and a reading client with those permissions; `account`: the reader's."""
    exchange.add_key("TRADE", "dHJhZGU=", trading_may)
    exchange.add_key("READ", "cmVhZA==", reading_may, account=account)
    url = exchange.rest_url
    trading = KrakenAPI("TRADE", "dHJhZGU=", url, use_websocket=False)
    return trading, KrakenAPI("READ", "cmVhZA==", url, use_websocket=False)
