"""What the stream says of a market: sound JSON, with the digits of its pair."""

import json
from decimal import Decimal
from typing import Any

import pytest

from fake_kraken.shapes import CHANNELS
from tests.kits.exchange.engine_kit import NOW, engine_at, move


def data_of(frame: str) -> Any:
    """Return the rows of a frame, with exact numbers."""
    return json.loads(frame, parse_float=Decimal)["data"]


@pytest.mark.parametrize("name", list(CHANNELS))
def test_channel_names_itself_in_each_frame(name: str) -> None:
    """With its market, before any trade too."""
    engine = engine_at()
    listing, channel = engine.listing("XBTUSD"), CHANNELS[name]
    before = json.loads(channel.snapshot(listing, NOW))
    assert (before["channel"], before["type"]) == (name, "snapshot")
    move(engine, 50001)
    update = json.loads(channel.update(listing, listing.trades, NOW))
    assert (update["channel"], update["type"]) == (name, "update")
    assert [row["symbol"] for row in update["data"]] == ["BTC/USD"]


def test_ticker_keeps_the_digits_of_its_pair() -> None:
    """Zeros at the end as well, which is why the text is looked at."""
    engine = engine_at()
    move(engine, "50100")
    frame = CHANNELS["ticker"].update(engine.listing("XBTUSD"), [], NOW)
    assert '"last":50100.0,' in frame
    assert '"bid":50099.9,' in frame
    assert '"change_pct":0.20,' in frame


def test_ticker_without_a_trade_is_dated_now() -> None:
    """And with one, by that trade."""
    engine = engine_at()
    listing = engine.listing("XBTUSD")
    assert data_of(CHANNELS["ticker"].snapshot(listing, NOW + 5))[0]["timestamp"] == (
        "2023-11-14T22:13:25.000000Z"
    )
    move(engine, 50001)
    assert data_of(CHANNELS["ticker"].snapshot(listing, NOW + 5))[0]["timestamp"] == (
        "2023-11-14T22:13:20.000000Z"
    )


def test_trades_begin_with_the_latest_fifty() -> None:
    """A snapshot is no history."""
    engine = engine_at()
    move(engine, *range(1, 61))
    rows = data_of(CHANNELS["trade"].snapshot(engine.listing("XBTUSD"), NOW))
    assert [row["trade_id"] for row in rows] == list(range(11, 61))


@pytest.mark.parametrize("name", list(CHANNELS))
def test_bad_frames_are_of_each_kind(name: str) -> None:
    """No JSON, no object, and prices beyond all sense."""
    frames = CHANNELS[name].bad_frames("BTC/USD")
    assert sum("1e400" in frame for frame in frames) == 1
    assert sum('"channel"' in frame for frame in frames) == 7
    assert len(frames) == 11
