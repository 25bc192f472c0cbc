"""The embedded exchange's pairs and assets over the stream."""

from __future__ import annotations

import json
from typing import Any

import pytest
from exchange_kit import Stream

from fake_kraken import FakeKraken
from fake_kraken.faults import Faults
from fake_kraken.instruments import instrument_frame
from fake_kraken.market import Listing, default_pairs, synthetic_pairs


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
