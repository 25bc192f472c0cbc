"""The stream over real sockets: subscriptions, prices, heartbeats and ends."""

import socket
from decimal import Decimal

import pytest
import websocket

from fake_kraken import FakeKraken
from tests.kits.exchange.exchange_kit import Stream


def test_sockets_send_at_once(exchange: FakeKraken, stream: Stream) -> None:
    """Nagle's algorithm is off: it would hold small frames back."""
    found = [c.transport for c in exchange.stream.clients if c.transport is not None]
    options = [
        transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        for transport in found
    ]
    assert len(options) == 1
    assert all(options)


def test_stream_begins_with_its_status(exchange: FakeKraken) -> None:
    """Before anything is asked for; the connection id is beyond a signed 64-bit number."""
    stream = Stream(exchange)
    frame = stream.next()
    assert (frame["channel"], frame["type"]) == ("status", "update")
    assert frame["data"][0]["system"] == "online"
    assert frame["data"][0]["connection_id"] > 2**63
    exchange.set_system_status("cancel_only")
    assert stream.next()["data"][0]["system"] == "cancel_only"
    stream.close()


def test_ticker_is_acknowledged_and_followed(exchange: FakeKraken, stream: Stream) -> None:
    """One ack a symbol with the same req_id, a snapshot each, then an update a price."""
    ack = stream.ask("BTC/USD", "ETH/USD")
    assert (ack["method"], ack["req_id"], ack["success"]) == ("subscribe", 7, True)
    assert ack["result"] == {"channel": "ticker", "symbol": "BTC/USD", "snapshot": True}
    assert ack["time_in"] <= ack["time_out"]
    snapshot = stream.next()
    assert (snapshot["type"], snapshot["data"][0]["last"]) == ("snapshot", 50000)
    assert stream.next()["result"]["symbol"] == "ETH/USD"
    assert stream.next()["data"][0]["symbol"] == "ETH/USD"
    exchange.set_price("XBTUSD", "50100.5")
    update = stream.next()
    assert (update["type"], update["channel"]) == ("update", "ticker")
    row = update["data"][0]
    assert (row["last"], row["bid"], row["ask"]) == (
        Decimal("50100.5"),
        Decimal("50100.4"),
        Decimal("50100.6"),
    )
    assert (row["change"], row["change_pct"]) == (Decimal("100.5"), Decimal("0.20"))


def test_trades_are_streamed_as_sweeps(exchange: FakeKraken, stream: Stream) -> None:
    """Without a snapshot unless asked for; several trades are one frame."""
    ack = stream.ask("BTC/USD", channel="trade")
    assert ack["result"]["snapshot"] is False
    exchange.set_prices("XBTUSD", [50001, 50000], at=1_700_000_000.25)
    frame = stream.next()
    assert [(t["price"], t["side"], t["trade_id"]) for t in frame["data"]] == [
        (50001, "buy", 1),
        (50000, "sell", 2),
    ]
    assert frame["data"][0]["timestamp"] == "2023-11-14T22:13:20.250000Z"
    stream.ask("BTC/USD", method="unsubscribe", channel="trade")
    assert stream.ask("BTC/USD", channel="trade", snapshot=True)["success"] is True
    assert (snapshot := stream.next())["type"] == "snapshot"
    assert len(snapshot["data"]) == 2


def test_ticker_can_come_without_its_snapshot(stream: Stream) -> None:
    """Who asks for none gets none."""
    assert stream.ask("BTC/USD", snapshot=False)["result"]["snapshot"] is False
    assert stream.pong()["method"] == "pong"


@pytest.mark.parametrize(
    ("symbol", "error"),
    [
        ("XBT/USD", "Currency pair not supported XBT/USD"),
        ("btc/usd", "Currency pair not supported btc/usd"),
        ("BTCUSD", "Currency pair not in ISO 4217-A3 format BTCUSD"),
        ("*", "Currency pair not in ISO 4217-A3 format *"),
    ],
)
def test_symbol_is_refused_by_itself(stream: Stream, symbol: str, error: str) -> None:
    """An error is a string, with the symbol and without channel or result; others go on."""
    answer = stream.ask(symbol, "BTC/USD")
    assert (answer["error"], answer["success"], answer["symbol"]) == (error, False, symbol)
    assert (answer["req_id"], answer["method"]) == (7, "subscribe")
    assert not {"result", "channel"} & set(answer)
    assert stream.next()["success"] is True


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"channel": "status"}, "Symbol(s) not found"),
        ({"channel": "heartbeat"}, "Subscription name invalid"),
        ({"channel": ["ticker"]}, "Subscription name invalid"),
        ({"channel": "ticker"}, "Symbol(s) not found"),
        ({"channel": "ticker", "symbol": "BTC/USD"}, "Symbol(s) not found"),
        ([], "Subscription name invalid"),
        (None, "Subscription name invalid"),
    ],
)
def test_subscription_without_sense_is_refused(stream: Stream, params: object, error: str) -> None:
    """A wrong channel, no symbols, or a symbol that is no list."""
    stream.send({"method": "subscribe", "params": params})
    answer = stream.next()
    assert (answer["error"], answer["success"]) == (error, False)


@pytest.mark.parametrize("text", ["{", "[]", "1", '"x"', "[" * 100_000, ""])
def test_message_that_is_none_is_refused(stream: Stream, text: str) -> None:
    """And the stream lives on."""
    stream.send(text)
    assert stream.next() == {"error": "Malformed request", "success": False}
    assert stream.pong()["method"] == "pong"


def test_method_that_is_none_is_refused(stream: Stream) -> None:
    """With its req_id."""
    stream.send({"method": ["x"], "req_id": 3})
    assert stream.next() == {"error": "Method not found", "success": False, "req_id": 3}


def test_subscription_is_made_once_and_ended_once(exchange: FakeKraken, stream: Stream) -> None:
    """Twice is an error that harms nothing; after the end no price comes."""
    stream.ask("BTC/USD", snapshot=False)
    assert stream.ask("BTC/USD")["error"] == "Already subscribed"
    assert exchange.is_subscribed("BTC/USD")
    ended = stream.ask("BTC/USD", method="unsubscribe")
    assert ended["result"] == {"channel": "ticker", "symbol": "BTC/USD"}
    assert stream.ask("BTC/USD", method="unsubscribe")["error"] == "Subscription Not Found"
    exchange.set_price("XBTUSD", 60000)
    assert stream.pong()["method"] == "pong"
    assert not exchange.is_subscribed("BTC/USD")


def test_pings_of_both_kinds_are_answered(stream: Stream) -> None:
    """The message with a text frame, the control frame with another."""
    assert stream.pong()["req_id"] == 1
    stream.socket.ping(b"hello")
    assert stream.socket.recv_data(control_frame=True) == (websocket.ABNF.OPCODE_PONG, b"hello")


def test_closing_is_answered(exchange: FakeKraken, stream: Stream) -> None:
    """A close frame is met by one, and the stream is gone."""
    stream.socket.send_close(1000)
    opcode, _ = stream.socket.recv_data(control_frame=True)
    assert opcode == websocket.ABNF.OPCODE_CLOSE
    assert exchange.wait_for(lambda e: e.ws_connections == 0)


def test_hearts_beat_for_subscribers_alone() -> None:
    """Once there is a subscription and nothing else to say."""
    with FakeKraken(heartbeat_seconds=0.05) as exchange:
        idle, busy = Stream(exchange), Stream(exchange)
        busy.next()
        busy.ask("BTC/USD", snapshot=False)
        assert [busy.next() for _ in range(3)] == [{"channel": "heartbeat"}] * 3
        idle.next()
        assert idle.pong()["method"] == "pong"
        idle.close()
        busy.close()


def test_streams_can_be_dropped(exchange: FakeKraken, stream: Stream) -> None:
    """A reset, and not an orderly end."""
    exchange.drop_connections()
    with pytest.raises(ConnectionResetError):
        stream.next()
    assert (exchange.ws_connections, exchange.ws_connections_made) == (0, 1)


def test_stream_that_is_gone_is_forgotten(exchange: FakeKraken, stream: Stream) -> None:
    """Prices go on, and messages are remembered."""
    stream.ask("BTC/USD")
    stream.plain.close()
    assert exchange.wait_for(lambda e: e.ws_connections == 0)
    exchange.set_price("XBTUSD", 60000)
    assert [message["method"] for message in exchange.ws_messages] == ["subscribe"]


def test_ticker_is_dated_by_the_clock_of_the_exchange(exchange: FakeKraken, stream: Stream) -> None:
    """Before the first trade, too: nothing of it knows this machine's clock."""
    exchange.clock_offset = -1_000_000_000.0
    ack = stream.ask("BTC/USD")
    assert stream.next()["data"][0]["timestamp"][:13] == ack["time_out"][:13]
