"""Candles of the embedded exchange over the stream."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from exchange_kit import Client, Stream

from fake_kraken import FakeKraken
from fake_kraken.candles import INTERVALS, candle_frame
from fake_kraken.faults import Faults
from fake_kraken.market import Listing, default_pairs


def market(*minutes: int) -> Listing:
    """Return a market with a trade in each of these minutes."""
    listing = Listing("XXBTZUSD", default_pairs()[0]["XXBTZUSD"], Decimal(50000), "BTC/USD")
    for minute in minutes:
        listing.record(Decimal(50000 + minute), Decimal("0.5"), minute * 60.0 + 1)
    return listing


def test_update_is_the_present_candle() -> None:
    """With the digits of its pair, and its begin as Kraken writes it."""
    frame = json.loads(candle_frame(market(1, 2, 2), 1, "update", Faults()), parse_float=Decimal)
    assert (frame["channel"], frame["type"]) == ("ohlc", "update")
    (row,) = frame["data"]
    assert (row["open"], row["close"], row["trades"]) == (Decimal("50002.0"), 50002, 2)
    assert row["interval_begin"] == "1970-01-01T00:02:00.000000000Z"
    assert row["timestamp"] == "1970-01-01T00:03:00.000000000Z"
    assert row["volume"] == 1


def test_snapshot_is_the_latest_ones() -> None:
    """Ten at most; none of a market that has not traded."""
    rows = json.loads(candle_frame(market(*range(20)), 1, "snapshot", Faults()))["data"]
    assert len(rows) == 10
    assert rows[-1]["close"] == 50019
    assert json.loads(candle_frame(market(), 1, "snapshot", Faults()))["data"] == []


@pytest.mark.parametrize("interval", INTERVALS)
def test_candles_are_acknowledged_with_their_interval(stream: Stream, interval: int) -> None:
    """And begin with a snapshot."""
    ack = stream.ask("BTC/USD", channel="ohlc", interval=interval)
    assert ack["result"]["interval"] == interval
    assert stream.next()["type"] == "snapshot"


@pytest.mark.parametrize("interval", [0, 2, "1", None, 1.5])
def test_interval_that_kraken_has_not_is_refused(stream: Stream, interval: object) -> None:
    """In words."""
    answer = stream.ask("BTC/USD", channel="ohlc", interval=interval)
    assert answer["error"] == "Subscription ohlc interval not supported"


def test_candle_is_told_with_each_trade(exchange: FakeKraken, stream: Stream) -> None:
    """Each interval by itself; REST tells the same."""
    for interval in (1, 60):
        stream.ask("BTC/USD", channel="ohlc", interval=interval, snapshot=False)
    exchange.set_prices("XBTUSD", [50001, 50002])
    rows = [stream.next()["data"][0] for _ in range(2)]
    assert {row["interval"] for row in rows} == {1, 60}
    assert [(row["close"], row["trades"]) for row in rows] == [(50002, 2)] * 2


def test_candles_of_one_interval_are_left_by_it(exchange: FakeKraken, stream: Stream) -> None:
    """The others go on."""
    for interval in (1, 5):
        stream.ask("BTC/USD", channel="ohlc", interval=interval, snapshot=False)
    left = stream.ask("BTC/USD", method="unsubscribe", channel="ohlc", interval=1)
    assert left["success"] is True
    again = stream.ask("BTC/USD", method="unsubscribe", channel="ohlc", interval=1)
    assert again["error"] == "Subscription Not Found"
    exchange.set_price("XBTUSD", 50001)
    assert stream.next()["data"][0]["interval"] == 5
    assert stream.pong()["method"] == "pong"


def test_rest_and_stream_tell_the_same_candle(client: Client, stream: Stream) -> None:
    """Open, high, low, close, volume, count."""
    stream.ask("BTC/USD", channel="ohlc", interval=1440, snapshot=False)
    client.exchange.set_prices("XBTUSD", [50001, 50005, 50002])
    told = stream.next()["data"][0]
    row = client.ok("OHLC", pair="XBTUSD", interval=1440)["XXBTZUSD"][-1]
    assert [Decimal(cell) for cell in row[1:5]] == [
        told[name] for name in ("open", "high", "low", "close")
    ]
    assert (Decimal(row[6]), row[7]) == (told["volume"], told["trades"])
