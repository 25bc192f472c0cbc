"""What subscribers hear of candles, and of pairs and their assets."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from fake_kraken import FakeKraken
from fake_kraken.faults import Fault, Faults
from fake_kraken.market import Listing, default_pairs, synthetic_pairs
from fake_kraken.market_frames import INTERVALS, candle_frame, instrument_frame
from tests.kits.exchange.exchange_kit import Client, Stream


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


def told_of(listing: Listing, interval: int, *faults: Fault) -> list[dict[str, Any]]:
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
    sound = told_of(market(1, 2), interval)
    first, *others = told_of(market(1, 2), interval, fault)
    assert first["interval_begin"] == f"{begin}:00.000000000Z"
    assert others == sound[1:]
    moved = {"interval_begin", "timestamp"}
    assert {k: v for k, v in first.items() if k not in moved} == {
        k: v for k, v in sound[0].items() if k not in moved
    }


def test_candle_that_is_none_has_a_negative_price() -> None:
    """Its low alone, and of this market alone."""
    sound = told_of(market(1), 1)
    (row,) = told_of(market(1), 1, Fault("candle_bad", symbol="BTC/USD"))
    assert row == {**sound[0], "low": -1}
    assert told_of(market(1), 1, Fault("candle_bad", symbol="ETH/USD")) == sound


def test_frame_is_of_the_moment_of_its_last_trade() -> None:
    """To the microsecond, as Kraken's are."""
    frame = json.loads(candle_frame(market(1, 2), 1, "update", Faults()))
    assert frame["timestamp"] == "1970-01-01T00:02:01.000000Z"


def listings(count: int = 0) -> list[Listing]:
    """Return markets: made-up ones, or the built-in ones."""
    rows, prices = synthetic_pairs(count) if count else default_pairs()
    return [Listing(key, row, prices[key], row.get("wsname")) for key, row in rows.items()]


def told(stream: Stream, **params: Any) -> dict[str, Any]:
    """Subscribe, and return the snapshot's data."""
    assert stream.ask(channel="instrument", **params)["success"] is True
    frame = stream.next()
    assert (frame["channel"], frame["type"]) == ("instrument", "snapshot")
    data: dict[str, Any] = frame["data"]
    return data


def test_all_pairs_and_assets_come_at_once(exchange: FakeKraken, stream: Stream) -> None:
    """In the words of that channel; dark pools have no name there, xStocks are not asked for."""
    data = told(stream)
    pairs = {row["symbol"]: row for row in data["pairs"]}
    assert {"BTC/USD", "DOGE/BTC", "XTZ/USD"} < set(pairs)
    assert "AAPLx/USD" not in pairs
    row = pairs["BTC/USD"]
    assert (row["base"], row["quote"], row["status"]) == ("BTC", "USD", "online")
    assert (float(row["qty_min"]), row["qty_precision"]) == (0.00005, 8)
    assert (float(row["price_increment"]), row["price_precision"]) == (0.1, 1)
    assets = {row["id"]: row for row in data["assets"]}
    assert assets["USD"]["precision"] == 4
    assert assets["BTC"]["status"] == "enabled"


def test_xstocks_come_to_who_wants_them(stream: Stream) -> None:
    """With a word of their own."""
    data = told(stream, include_tokenized_assets=True)
    assert "AAPLx/USD" in {row["symbol"] for row in data["pairs"]}


def test_row_without_a_status_is_online(stream: Stream) -> None:
    """Some rows of AssetPairs lack it; this channel has it always."""
    rows = {row["symbol"]: row for row in told(stream)["pairs"]}
    assert rows["XCN/USD"]["status"] == "online"


def test_change_is_told_when_it_happens(exchange: FakeKraken, stream: Stream) -> None:
    """One pair, in full."""
    told(stream)
    exchange.change_pair("XBTUSD", ordermin="0.5", status="cancel_only")
    frame = stream.next()
    (row,) = frame["data"]["pairs"]
    assert frame["type"] == "update"
    assert (row["symbol"], row["status"], float(row["qty_min"])) == ("BTC/USD", "cancel_only", 0.5)


def test_channel_is_had_once_and_left_once(exchange: FakeKraken, stream: Stream) -> None:
    """And may begin without a snapshot."""
    assert stream.ask(channel="instrument", snapshot=False)["result"] == {
        "channel": "instrument",
        "snapshot": False,
    }
    assert exchange.is_subscribed("*", "instrument")
    assert stream.ask(channel="instrument")["error"] == "Already subscribed"
    left = stream.ask(method="unsubscribe", channel="instrument")
    assert left["result"] == {"channel": "instrument"}
    again = stream.ask(method="unsubscribe", channel="instrument")
    assert again["error"] == "Subscription Not Found"
    exchange.set_pair_status("XBTUSD", "cancel_only")
    assert stream.pong()["method"] == "pong"


def test_numbers_come_in_other_notations() -> None:
    """As JSON writers have them: clients must read all."""
    frame = instrument_frame(listings(), "snapshot", Faults(), with_tokenized=False)
    assert '"qty_min":5e-05' in frame
    assert '"qty_min":50,' in frame
    json.loads(frame)


@pytest.mark.parametrize("count", [1, 1500])
def test_frame_has_every_market(count: int) -> None:
    """However many there are."""
    frame = instrument_frame(listings(count), "snapshot", Faults(), with_tokenized=False)
    assert len(json.loads(frame)["data"]["pairs"]) == count
