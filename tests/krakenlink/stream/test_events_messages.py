"""What frames say, and the frames that go out, byte by byte as Kraken documents them."""

import json
from typing import get_args

import pytest

from krakenlink.pairs import Symbol
from krakenlink.stream.events import PING, Ack, Channel, Message, NoPrice, subscribe_frame

PAIRS = [Symbol("BTC/USD"), Symbol("ETH/USD")]


def test_prices_are_asked_for_with_what_stands_there_now() -> None:
    """A snapshot is the first proof, and the trigger says which changes are sent."""
    frame = json.loads(subscribe_frame("subscribe", Channel.TICKER, PAIRS, 7, "trades"))
    assert frame == {
        "method": "subscribe",
        "params": {
            "channel": "ticker",
            "symbol": ["BTC/USD", "ETH/USD"],
            "event_trigger": "trades",
            "snapshot": True,
        },
        "req_id": 7,
    }


def test_trades_are_asked_for_without_old_ones() -> None:
    """Trades of the past come over REST, by their ids: a snapshot would be told as news."""
    frame = json.loads(subscribe_frame("subscribe", Channel.TRADE, PAIRS[:1], 8, "bbo"))
    assert frame["params"] == {"channel": "trade", "symbol": ["BTC/USD"], "snapshot": False}


@pytest.mark.parametrize("channel", [Channel.TICKER, Channel.TRADE])
def test_giving_back_names_the_channel_and_the_symbols_alone(channel: Channel) -> None:
    """Kraken refuses what belongs to a subscription only."""
    frame = json.loads(subscribe_frame("unsubscribe", channel, PAIRS, 9, "bbo"))
    assert frame["params"] == {"channel": channel.value, "symbol": ["BTC/USD", "ETH/USD"]}
    assert (frame["method"], frame["req_id"]) == ("unsubscribe", 9)


@pytest.mark.parametrize("method", ["subscribe", "unsubscribe"])
def test_a_book_is_named_with_its_depth(method: str) -> None:
    """When it is given back, too; a snapshot is wanted when it is asked for."""
    frame = json.loads(subscribe_frame(method, Channel.BOOK, PAIRS[:1], 9, "bbo", 25))
    params = {"channel": "book", "symbol": ["BTC/USD"], "depth": 25}
    more = {"snapshot": True} if method == "subscribe" else {}
    assert frame["params"] == {**params, **more}


@pytest.mark.parametrize("method", ["subscribe", "unsubscribe"])
def test_candles_are_named_with_their_interval(method: str) -> None:
    """Kraken wants it back when they are left."""
    frame = json.loads(subscribe_frame(method, Channel.OHLC, PAIRS[:1], 9, "bbo", 60))
    assert frame["params"]["interval"] == 60
    assert frame["params"]["symbol"] == ["BTC/USD"]


def test_instruments_have_no_symbol() -> None:
    """All pairs are told at once, xStocks among them."""
    frame = json.loads(subscribe_frame("subscribe", Channel.INSTRUMENT, PAIRS[:1], 9, "bbo"))
    told = {"channel": "instrument", "include_tokenized_assets": True, "snapshot": True}
    assert frame["params"] == told
    frame = json.loads(subscribe_frame("unsubscribe", Channel.INSTRUMENT, PAIRS[:1], 9, "bbo"))
    assert frame["params"] == {"channel": "instrument"}


def test_a_ping_is_kraken_s_own() -> None:
    """It is a message of the protocol, not one of the WebSocket's control frames."""
    assert json.loads(PING) == {"method": "ping"}


def test_a_message_is_what_was_said_and_stays_so() -> None:
    """Messages are compared by what they say, and cannot be changed."""
    assert NoPrice(PAIRS[0]) == NoPrice(Symbol("BTC/USD"))
    ack = Ack("subscribe", True, "ticker", PAIRS[0], 1)
    with pytest.raises(AttributeError):
        ack.accepted = False  # type: ignore[misc]  # which is what is tried
    assert {Ack, NoPrice} < set(get_args(Message))
