"""What the order thread asks Kraken of its funds, and with which key."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import pytest

from fake_kraken import FakeKraken
from kraken_api import KrakenAPI
from krakenlink.errors import AuthenticationError, ProtocolError
from tests.kits.orders.order_exchange_kit import (
    ORDER,
    OURS,
    QUERIES,
    deadline_of,
    kraken,
    one_key,
    said,
    two_keys,
)
from ttslo_app.orders.exchange import KrakenExchange

__all__ = ["kraken", "said"]

FUNDS = {"query funds"}


def with_keys(trading: KrakenAPI, reading: KrakenAPI) -> KrakenExchange:
    """Return Kraken with two clients of the test's own."""
    return KrakenExchange(trading, reading, time.time, lambda level, text, **fields: None)


def test_free_is_what_no_open_order_holds(exchange: FakeKraken, kraken: KrakenExchange) -> None:
    """Kraken is asked at this moment, over the connection of the orders."""
    before = kraken.free_of("XXBT")
    assert before == exchange.balances["XXBT"]
    kraken.place(ORDER, OURS, deadline_of(kraken))
    assert kraken.free_of("XXBT") == before - Decimal(ORDER.volume)
    assert len({request.connection for request in exchange.requests}) == 1


def test_funds_that_the_trading_key_may_not_see_are_seen_with_the_reading_one(
    exchange: FakeKraken,
) -> None:
    """A key that only places orders is what people are told to make."""
    trading, reading = two_keys(exchange, {"modify"}, FUNDS | QUERIES)
    with trading, reading:
        asked = with_keys(trading, reading)
        assert asked.free_of("XXBT") == exchange.balances["XXBT"]
        asked.read_with_reader(False)
        with pytest.raises(AuthenticationError):
            asked.free_of("XXBT")


def test_only_key_that_may_not_see_its_funds_is_asked_once(exchange: FakeKraken) -> None:
    """There is no other, and a crossing waits."""
    trading, keyless = one_key(exchange, {"modify"})
    with trading, keyless, pytest.raises(AuthenticationError):
        with_keys(trading, keyless).free_of("XXBT")
    assert exchange.count("BalanceEx") == 1


def test_funds_that_cannot_be_read_are_no_funds_and_no_nought(exchange: FakeKraken) -> None:
    """Taken for nothing they would refuse an order, taken for a number they would place one."""

    class Odd(KrakenAPI):
        def get_extended_balance(self) -> dict[str, Any]:
            return {"XXBT": "0.5"}

    words = "BalanceEx: the funds of XXBT cannot be read"
    with (
        Odd(base_url=exchange.rest_url, use_websocket=False) as odd,
        pytest.raises(ProtocolError, match=words),
    ):
        with_keys(odd, odd).free_of("XXBT")


def test_clients_with_a_key_are_told_the_one_that_sends_orders_first(exchange: FakeKraken) -> None:
    """Whoever looks after the keys goes by that order."""
    trading, reading = two_keys(exchange, {"modify"}, QUERIES)
    with trading, reading, KrakenAPI(base_url=exchange.rest_url, use_websocket=False) as keyless:
        both, alone = with_keys(trading, reading), with_keys(trading, keyless)
        assert (both.clients, both.reader) == ([trading, reading], reading)
        assert (alone.clients, alone.reader) == ([trading], keyless)
