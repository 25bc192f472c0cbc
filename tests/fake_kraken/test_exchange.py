"""The exchange as a whole: its life, its inspection, and what a test does to it."""

import asyncio
import gc
import socket
from decimal import Decimal

import pytest
import requests
import websocket

import fake_kraken
from fake_kraken import FakeKraken, kraken_exchange
from fake_kraken.params import Refusal
from tests.kits.exchange.exchange_kit import Client, Stream


def test_key_must_be_one() -> None:
    """A secret that is not base64, or a permission that is none, is said at once."""
    with pytest.raises(ValueError, match="not base64"):
        FakeKraken(key="K", secret="?")
    with pytest.raises(ValueError, match="query funds"):
        FakeKraken().add_key("K", "eA==", {"all of it"})
    with pytest.raises(ValueError, match="must be positive"):
        FakeKraken(heartbeat_seconds=0)


def test_orders_are_shown_to_tests(client: Client) -> None:
    """Filled in part, filled, cancelled: as Kraken would show it."""
    txid = client.place(cl_ord_id="a")
    client.exchange.fill_order(txid, "0.4")
    assert client.exchange.orders[0]["vol_exec"] == "0.20000000"
    assert client.exchange.balances["XXBT"] == Decimal("99.8")
    client.exchange.fill_order(txid)
    assert (client.exchange.orders[0]["txid"], client.exchange.orders[0]["status"]) == (
        txid,
        "closed",
    )
    assert (client.exchange.placed_count("a"), client.exchange.placed_count("b")) == (1, 0)
    with pytest.raises(Refusal, match="EOrder:Unknown order"):
        client.exchange.cancel_order(txid)


def test_states_are_set(client: Client) -> None:
    """Of a pair and of the whole exchange."""
    client.exchange.set_pair_status("XBTUSD", "cancel_only")
    assert client.ok("AssetPairs", pair="XBTUSD")["XXBTZUSD"]["status"] == "cancel_only"
    client.exchange.set_system_status("maintenance")
    assert client.ok("SystemStatus")["status"] == "maintenance"
    with pytest.raises(ValueError, match="post_only"):
        client.exchange.set_system_status("asleep")


@pytest.mark.parametrize("price", [0, -1, "NaN", "x"])
def test_price_that_is_none_is_not_set(exchange: FakeKraken, price: object) -> None:
    """Nothing of such a sweep is printed."""
    with pytest.raises(ValueError, match="is no price"):
        exchange.set_prices("XBTUSD", [60000, price])
    assert exchange.price_of("XBTUSD") == 50000


def test_exchange_can_be_asked_after_its_end(session: requests.Session) -> None:
    """What happened can still be looked at; stopping twice, and before the start, does nothing."""
    exchange = FakeKraken()
    exchange.stop()
    with exchange:
        Client(exchange, session).place()
    exchange.stop()
    assert len(exchange.orders) == 1
    with pytest.raises(RuntimeError, match="start it first"):
        exchange.stop_listening()


def test_exchange_ends_with_everybody_hanging(exchange: FakeKraken) -> None:
    """Open streams and calls that are never answered do not keep it."""
    exchange.fault("black_hole")
    hanging = Stream(exchange)
    caller = socket.create_connection(("127.0.0.1", exchange.port))
    caller.sendall(b"GET /0/public/Time HTTP/1.1\r\nHost: x\r\n\r\n")
    assert exchange.wait_for(lambda e: e.count("Time") and e.ws_connections)
    exchange.stop()
    assert exchange.ws_connections == 0
    hanging.close()
    caller.close()


def test_exchange_ends_with_a_client_that_reads_nothing(exchange: FakeKraken) -> None:
    """Answers that nobody takes are dropped with their connection, and nothing is left of it."""

    def ask_on(deaf: socket.socket) -> None:
        while True:
            deaf.sendall(1000 * b"GET /0/public/AssetPairs HTTP/1.1\r\nHost: here\r\n\r\n")

    with socket.create_connection(("127.0.0.1", exchange.port)) as deaf:
        deaf.settimeout(1.0)
        with pytest.raises(TimeoutError):  # the exchange takes no more: its answers are stuck
            ask_on(deaf)
        exchange.stop()
        gc.collect()  # what was left open would be found here, and fail the test


@pytest.mark.parametrize("turns", range(6))
def test_exchange_ends_with_a_client_that_has_just_come(exchange: FakeKraken, turns: int) -> None:
    """Whatever has been done of letting it in when the end begins, nothing is left of it."""

    async def come_and_end() -> socket.socket:
        client = socket.create_connection(("127.0.0.1", exchange.port))
        for _ in range(turns):
            await asyncio.sleep(0)
        await exchange._close()
        return client

    client = exchange._run(come_and_end())
    exchange.stop()
    gc.collect()  # what was left open would be found here, and fail the test
    client.close()


def test_port_in_use_is_said(exchange: FakeKraken) -> None:
    """The second one raises, and leaves no thread."""
    second = FakeKraken(port=exchange.port)
    with pytest.raises(OSError, match="in use"):
        second.start()


def test_listening_can_stop_and_go_on(exchange: FakeKraken, stream: Stream) -> None:
    """Streams are dropped, new ones refused, and later taken at the same address."""
    exchange.stop_listening()
    with pytest.raises((ConnectionError, websocket.WebSocketException)):
        stream.next()
    with pytest.raises(ConnectionError):
        Stream(exchange)
    exchange.resume()
    again = Stream(exchange)
    assert again.next()["channel"] == "status"
    again.close()


def test_fixture_for_others_is_a_running_exchange(
    request: pytest.FixtureRequest, session: requests.Session
) -> None:
    """`from fake_kraken import kraken_exchange` is all that a test of others needs."""
    assert kraken_exchange is fake_kraken.kraken_exchange
    exchange = request.getfixturevalue("kraken_exchange")
    assert Client(exchange, session).ok("SystemStatus")["status"] == "online"
