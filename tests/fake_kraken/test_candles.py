"""Candles of the embedded exchange over the stream."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from exchange_kit import Client, Stream

from fake_kraken import FakeKraken
from fake_kraken.candles import INTERVALS, candle_frame
from fake_kraken.faults import Fault, Faults
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


def told(listing: Listing, interval: int, *faults: Fault) -> list[dict[str, Any]]:
    """Return the rows of a snapshot that these faults strike."""
    on = Faults()
    for fault in faults:
        on.switch_on(fault)
    return list(json.loads(candle_frame(listing, interval, "snapshot", on))["data"])


@pytest.mark.parametrize(("interval", "begin"), [(1, "1971-01-01T00:01"), (60, "1971-01-01T00:00"),
                                                 (240, "1971-01-01T00:00")])  # fmt: skip
def test_candle_of_the_future_begins_in_a_year(interval: int, begin: str) -> None:
    """On a border of its interval; only one, and all else of it is right."""
    fault = Fault("candle_from_future", symbol="BTC/USD", count=1)
    sound, (first, *others) = told(market(1, 2), interval), told(market(1, 2), interval, fault)
    assert first["interval_begin"] == f"{begin}:00.000000000Z"
    assert others == sound[1:]
    moved = {"interval_begin", "timestamp"}
    assert {k: v for k, v in first.items() if k not in moved} == {
        k: v for k, v in sound[0].items() if k not in moved
    }


def test_candle_that_is_none_has_a_negative_price() -> None:
    """Its low alone, and of this market alone."""
    sound = told(market(1), 1)
    (row,) = told(market(1), 1, Fault("candle_bad", symbol="BTC/USD"))
    assert row == {**sound[0], "low": -1}
    assert told(market(1), 1, Fault("candle_bad", symbol="ETH/USD")) == sound


def test_frame_is_of_the_moment_of_its_last_trade() -> None:
    """To the microsecond, as Kraken's are."""
    frame = json.loads(candle_frame(market(1, 2), 1, "update", Faults()))
    assert frame["timestamp"] == "1970-01-01T00:02:01.000000Z"
