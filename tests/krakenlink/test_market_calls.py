"""Candles and trades for callers: live, joined to REST, without gap or twin."""

from __future__ import annotations

import asyncio
import copy
import gc
import logging
from concurrent.futures import ThreadPoolExecutor, wait
from decimal import Decimal
from typing import Any
from unittest.mock import Mock

import pytest

from fake_kraken import FakeKraken
from kraken_api import KrakenAPI
from krakenlink.errors import KrakenAPIError, ProtocolError
from krakenlink.market_calls import MarketCalls
from krakenlink.stream.events import CandleUpdate, TradeGap, Trades
from tests.kits.rest.client_kit import LONG, PATIENT, api, provider_of
from tests.kits.stream.stream_kit import wait_for
from ws_price_provider import FeedReader, WebSocketPriceProvider

__all__ = ["api"]
NOON = 1_800_000_000 // 86400 * 86400 + 43200.0


def reader_of(api: KrakenAPI) -> FeedReader:
    """Return a reader of a client's stream."""
    return provider_of(api).open_feed()


def following(api: KrakenAPI, exchange: FakeKraken) -> FeedReader:
    """Return a reader of a client's stream that has candles since noon, when somebody traded."""
    exchange.set_prices("XBTUSD", [50000], at=NOON)
    api.get_candles("XBTUSD")
    return reader_of(api)


def traded(
    exchange: FakeKraken, reader: FeedReader, kind: type, *prices: object, at: float
) -> None:
    """Let somebody trade at a moment, and wait until the stream has told of it."""
    exchange.set_prices("XBTUSD", prices, at=at)
    wait_for(reader, kind)


# --- candles -----------------------------------------------------------------------------------


def test_candles_are_those_of_rest_and_of_the_stream(api: KrakenAPI, exchange: FakeKraken) -> None:
    """The one that moves is the stream's; a new one follows without a call."""
    for minute in (0, 1, 2):
        exchange.set_prices("XBTUSD", [50000 + minute], at=NOON + 60 * minute)
    first = api.get_candles("XBTUSD")
    assert [candle.close for candle in first.candles] == [50000, 50001, 50002]
    assert (first.source, first.symbol, first.interval) == ("websocket", "BTC/USD", 1)
    reader, before = reader_of(api), exchange.count("OHLC")
    traded(exchange, reader, CandleUpdate, 50009, at=NOON + 121)
    traded(exchange, reader, CandleUpdate, 50003, at=NOON + 180)
    found = api.get_candles("BTC/USD").candles
    assert [int(candle.close) for candle in found] == [50000, 50001, 50009, 50003]
    assert [candle.begin - NOON for candle in found] == [0, 60, 120, 180]
    assert (found[2].trades, found[2].high) == (2, Decimal(50009))
    assert exchange.count("OHLC") == before


def test_gap_between_candles_is_filled_by_rest(api: KrakenAPI, exchange: FakeKraken) -> None:
    """Once: what REST does not have is no gap."""
    reader, before = following(api, exchange), exchange.count("OHLC")
    traded(exchange, reader, CandleUpdate, 50001, at=NOON + 120)
    for _ in range(2):
        begins = [candle.begin - NOON for candle in api.get_candles("XBTUSD").candles]
        assert begins == [0, 120]
    assert exchange.count("OHLC") == before + 1


def test_candle_after_a_long_silence_is_taken_once_rest_has_it(
    api: KrakenAPI, exchange: FakeKraken, caplog: pytest.LogCaptureFixture
) -> None:
    """REST had told of none for hours: it is asked, and nothing is called impossible."""
    reader = following(api, exchange)
    traded(exchange, reader, CandleUpdate, 50001, at=NOON + 36000)
    with caplog.at_level(logging.WARNING):
        found = api.get_candles("XBTUSD").candles
    assert [candle.begin - NOON for candle in found] == [0, 36000]
    assert caplog.records == []


def test_new_connection_asks_rest_anew(api: KrakenAPI, exchange: FakeKraken) -> None:
    """What happened meanwhile nobody has told."""
    reader, before = following(api, exchange), exchange.count("OHLC")
    exchange.drop_connections()
    exchange.set_prices("XBTUSD", [50001], at=NOON + 1)
    assert exchange.wait_for(lambda x: x.is_subscribed("BTC/USD", "ohlc"), LONG)
    wait_for(reader, CandleUpdate)
    (candle,) = api.get_candles("XBTUSD").candles
    assert (int(candle.close), candle.trades) == (50001, 2)
    assert exchange.count("OHLC") > before


def test_intervals_are_had_beside_one_another(api: KrakenAPI, exchange: FakeKraken) -> None:
    """Each with a subscription of its own."""
    for minute in (0, 1, 5):
        exchange.set_prices("XBTUSD", [50000 + minute], at=NOON + 60 * minute)
    assert [len(api.get_candles("XBTUSD", n).candles) for n in (1, 5, 60)] == [3, 2, 1]
    assert exchange.is_subscribed("BTC/USD", "ohlc")


def test_candle_from_the_future_is_not_taken(
    api: KrakenAPI, exchange: FakeKraken, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said once, and the others go on."""
    reader = following(api, exchange)
    exchange.fault("candle_from_future", count=1)
    traded(exchange, reader, CandleUpdate, 50001, at=NOON + 1)
    traded(exchange, reader, CandleUpdate, 50002, at=NOON + 2)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            (candle,) = api.get_candles("XBTUSD").candles
            assert (candle.begin, int(candle.close)) == (int(NOON), 50002)
    assert [r.message for r in caplog.records] == ["BTC/USD: candles from the future are not taken"]


def test_candle_from_the_future_may_stand_in_the_place_of_a_true_one(
    api: KrakenAPI, exchange: FakeKraken, caplog: pytest.LogCaptureFixture
) -> None:
    """Each time that one comes REST is asked what it hides, and no more; it is said once."""
    reader = following(api, exchange)
    exchange.fault("candle_from_future")
    with caplog.at_level(logging.WARNING):
        for price in (50001, 50002, 50003):
            traded(exchange, reader, CandleUpdate, price, at=NOON + 1)
            asked = exchange.count("OHLC")
            for _ in range(2):
                (candle,) = api.get_candles("XBTUSD").candles
                assert (candle.begin, int(candle.close)) == (int(NOON), price)
            assert exchange.count("OHLC") == asked + 1
    assert [r.message for r in caplog.records] == ["BTC/USD: candles from the future are not taken"]


def test_stream_that_goes_on_with_candles_from_the_future_says_so_once(
    api: KrakenAPI, exchange: FakeKraken, caplog: pytest.LogCaptureFixture
) -> None:
    """Each minute has another one; on a new connection without them it is over."""
    reader, said = following(api, exchange), "BTC/USD: candles from the future are not taken"
    for _ in range(2):
        exchange.fault("candle_from_future")
        caplog.clear()
        for minute in range(3):
            traded(exchange, reader, CandleUpdate, 50001 + minute, at=NOON + 60 * minute + 1)
            api.get_candles("XBTUSD")
        assert [record.message for record in caplog.records].count(said) == 1
        exchange.clear_faults()
        exchange.drop_connections()
        exchange.set_prices("XBTUSD", [50001], at=NOON + 1)
        assert exchange.wait_for(lambda x: x.is_subscribed("BTC/USD", "ohlc"), LONG)
        wait_for(reader, CandleUpdate)
        assert api.get_candles("XBTUSD").source == "websocket"


def test_damaged_candle_ends_what_was_joined(api: KrakenAPI, exchange: FakeKraken) -> None:
    """REST tells what it was."""
    reader, before = following(api, exchange), exchange.count("OHLC")
    exchange.fault("candle_bad", count=1)
    traded(exchange, reader, CandleUpdate, 50001, at=NOON + 1)
    (candle,) = api.get_candles("XBTUSD").candles
    assert (int(candle.close), candle.trades) == (50001, 2)
    assert exchange.count("OHLC") == before + 1


def test_candles_come_over_rest_without_a_stream(exchange: FakeKraken) -> None:
    """With the age of the question."""
    exchange.set_prices("XBTUSD", [50000, 50002], at=NOON)
    with KrakenAPI(base_url=exchange.rest_url, use_websocket=False) as api:
        found = api.get_candles("XBTUSD", 5)
    (candle,) = found.candles
    assert (found.source, found.interval, candle.trades) == ("rest", 5, 2)
    assert candle.vwap == Decimal(50001)


@pytest.mark.parametrize("interval", [0, 2, "1", None, 1.0, True])
def test_interval_that_is_none_is_refused(
    api: KrakenAPI, exchange: FakeKraken, interval: Any
) -> None:
    """Before anything is asked."""
    with pytest.raises(ValueError, match="1, 5, 15"):
        api.get_candles("BTC/USD", interval)
    assert exchange.requests == []


@pytest.mark.parametrize(
    "row",
    [
        "5",
        "[5]",
        "[[]]",
        '[[1,"1","1","1","1","1","1"]]',
        '[[1,"1","0","1","1","1","1",1]]',
        '[[1,"5","4","3","4","4","1",1]]',
        '[[1.5,"1","1","1","1","1","1",1]]',
        '[[-60,"1","1","1","1","1","1",1]]',
        '[[1,"1","1","1","1","1","-1",1]]',
    ],
)
def test_candle_of_rest_that_cannot_be_is_an_error(exchange: FakeKraken, row: str) -> None:
    """Nothing is made of it."""
    exchange.fault("odd_result", endpoint="OHLC", text=f'{{"XXBTZUSD": {row}, "last": 1}}')
    with (
        KrakenAPI(base_url=exchange.rest_url, use_websocket=False) as api,
        pytest.raises(ProtocolError, match="OHLC: "),
    ):
        api.get_candles("XBTUSD")


# --- trades ------------------------------------------------------------------------------------


def test_trades_are_those_of_rest_and_of_the_stream(api: KrakenAPI, exchange: FakeKraken) -> None:
    """By their numbers, each once; what follows comes without a call."""
    exchange.set_prices("XBTUSD", [50000, 50001], at=NOON)
    first = api.recent_trades("XBTUSD")
    assert [(trade.trade_id, int(trade.price)) for trade in first] == [(1, 50000), (2, 50001)]
    assert (first[0].symbol, first[0].timestamp) == ("BTC/USD", "2027-01-15T12:00:00.000000Z")
    reader, before = reader_of(api), exchange.count("Trades")
    traded(exchange, reader, Trades, 50002, 50003, at=NOON + 1)
    assert [trade.trade_id for trade in api.recent_trades("BTC/USD")] == [1, 2, 3, 4]
    assert [trade.trade_id for trade in api.recent_trades("BTC/USD", 2)] == [3, 4]
    assert exchange.count("Trades") == before


def test_trades_that_the_stream_left_out_are_told_and_fetched(
    api: KrakenAPI, exchange: FakeKraken
) -> None:
    """The gap by its numbers, to readers; the trades themselves by REST, once."""
    api.recent_trades("XBTUSD")
    reader, before = reader_of(api), exchange.count("Trades")
    traded(exchange, reader, Trades, 50000, at=NOON)
    exchange.fault("trade_lost", count=1)
    exchange.set_prices("XBTUSD", [50001, 50002], at=NOON + 1)
    traded(exchange, reader, Trades, 50003, at=NOON + 2)
    gap = wait_for(reader, TradeGap)
    assert (gap.symbol, gap.first, gap.last) == ("BTC/USD", 2, 3)
    for _ in range(2):
        assert [trade.trade_id for trade in api.recent_trades("XBTUSD")] == [1, 2, 3, 4]
    assert exchange.count("Trades") == before + 1


def test_trades_come_over_rest_without_a_stream(exchange: FakeKraken) -> None:
    """And as few as are wanted."""
    exchange.set_prices("XBTUSD", [50000, 50001, 50002], at=NOON)
    with KrakenAPI(base_url=exchange.rest_url, use_websocket=False) as api:
        found = api.recent_trades("XBTUSD", 2)
        with pytest.raises(KrakenAPIError, match="Unknown asset pair"):
            api.recent_trades("NOSUCH")
    assert [trade.price for trade in found] == [50001, 50002]
    assert found[0].qty == Decimal("0.01")


@pytest.mark.parametrize("count", [0, -1, 1001, "5", 1.5, None, True])
def test_count_that_is_none_is_refused(api: KrakenAPI, exchange: FakeKraken, count: Any) -> None:
    """Before anything is asked."""
    with pytest.raises(ValueError, match="1 to 1000"):
        api.recent_trades("BTC/USD", count)
    assert exchange.requests == []


@pytest.mark.parametrize(
    "row", ["5", "[5]", '[["1","1",1,"b","m",""]]', '[["0","1",1,"b","m","",1]]',
            '[["1","1","x","b","m","",1]]', '[["1","1",1e300,"b","m","",1]]',
            '[["1","1",1,"b","m","",1.5]]', '[["1","1",1,"b","m","",-1]]'],
)  # fmt: skip
def test_trade_of_rest_that_cannot_be_is_an_error(exchange: FakeKraken, row: str) -> None:
    """Nothing is made of it."""
    exchange.fault("odd_result", endpoint="Trades", text=f'{{"XXBTZUSD": {row}, "last": "1"}}')
    with (
        KrakenAPI(base_url=exchange.rest_url, use_websocket=False) as api,
        pytest.raises(ProtocolError, match="Trades: "),
    ):
        api.recent_trades("XBTUSD")


def test_mute_market_is_told_by_rest(exchange: FakeKraken) -> None:
    """One wait, and then none."""
    exchange.fault("no_ack", symbol="BTC/USD")
    exchange.set_prices("XBTUSD", [50000], at=NOON)
    with KrakenAPI(
        base_url=exchange.rest_url, ws_url=exchange.ws_url, ws_timeout=0.05, feed_settings=PATIENT
    ) as api:
        assert [len(api.recent_trades("BTC/USD")) for _ in range(2)] == [1, 1]
        assert api.get_candles("BTC/USD").source == "rest"
        WebSocketPriceProvider.shared(exchange.ws_url).stop(LONG)


def test_client_that_is_closed_gives_all_back(api: KrakenAPI, exchange: FakeKraken) -> None:
    """Each interval by its own name."""
    api.recent_trades("BTC/USD")
    for interval in (1, 60):
        api.get_candles("BTC/USD", interval)
    api.close()
    assert exchange.wait_for(lambda x: not x.is_subscribed("BTC/USD", "trade"), LONG)
    assert exchange.wait_for(lambda x: not x.is_subscribed("BTC/USD", "ohlc"), LONG)


def test_threads_that_come_first_together_share_what_is_held(
    api: KrakenAPI, exchange: FakeKraken
) -> None:
    """What two would make beside one another, `close` could give back only one of."""
    with ThreadPoolExecutor(4) as pool:
        with api._lock:
            made = [pool.submit(lambda: api._market) for _ in range(4)]
            # All four find none: whoever would not look again under the lock makes another.
            assert not wait(made, 0.2).done
        assert len({id(one.result(LONG)) for one in made}) == 1
    api.recent_trades("BTC/USD")
    api.close()
    assert exchange.wait_for(lambda x: not x.is_subscribed("BTC/USD", "trade"), LONG)


def test_client_that_is_dropped_gives_its_trades_back(exchange: FakeKraken) -> None:
    """Without `close`, as soon as nobody has it any more."""
    api = KrakenAPI(
        base_url=exchange.rest_url,
        ws_url=exchange.ws_url,
        ws_timeout=LONG,
        feed_settings=PATIENT,
    )
    api.recent_trades("BTC/USD")
    assert exchange.is_subscribed("BTC/USD", "trade")
    del api
    gc.collect()
    assert exchange.wait_for(lambda x: not x.is_subscribed("BTC/USD", "trade"), LONG)
    WebSocketPriceProvider.shared(exchange.ws_url).stop(LONG)


def test_client_is_closed_before_its_first_book_and_after(
    api: KrakenAPI, exchange: FakeKraken
) -> None:
    """Before, there is nothing to give back; after, the next call subscribes anew."""
    api.close()
    for _ in range(2):
        assert api.recent_trades("BTC/USD") is not None
        assert exchange.is_subscribed("BTC/USD", "trade")
        api.close()
        assert exchange.wait_for(lambda x: not x.is_subscribed("BTC/USD", "trade"), LONG)


def test_copy_of_a_client_has_books_of_its_own(api: KrakenAPI) -> None:
    """What a client holds of the stream is not another's, nor told to its list of pairs."""
    assert api.follow_instruments()
    twin = copy.copy(api)
    assert api.listing.streamed == api._market.streamed_pair
    assert twin.listing.streamed != api.listing.streamed
    assert twin._market is not api._market
    assert twin.listing.streamed == twin._market.streamed_pair
    assert twin.listing.is_streamed == twin._market.streams_pair
    twin.close()


@pytest.mark.parametrize("name", ["get_candles", "recent_trades", "follow_instruments"])
def test_stand_ins_of_the_client_have_its_calls(name: str) -> None:
    """Mocks that are limited to a client's names know them."""
    assert hasattr(Mock(spec=KrakenAPI), name)
    assert getattr(MarketCalls, name).__doc__


# --- coroutines --------------------------------------------------------------------------------


def test_coroutine_gets_a_proven_price_at_once(api: KrakenAPI, exchange: FakeKraken) -> None:
    """Without a thread: the event loop does not even turn."""
    api.get_quote("XBTUSD")

    async def ask() -> Any:
        turned = asyncio.ensure_future(asyncio.sleep(0))
        quote = await api.aget_quote("btc-usd")
        assert not turned.done()
        await turned
        return quote

    quote = asyncio.run(ask())
    assert (quote.pair, quote.price, quote.source) == ("btc-usd", Decimal(50000), "websocket")
    assert exchange.ws_connections == 1


def test_coroutine_waits_for_a_first_price_without_blocking_its_loop(
    api: KrakenAPI, exchange: FakeKraken
) -> None:
    """Others have their turns meanwhile."""

    async def ask() -> tuple[Any, int]:
        asking, turns = asyncio.ensure_future(api.aget_quote("ETH/USD")), 0
        while not asking.done():
            await asyncio.sleep(0)
            turns += 1
        return await asking, turns

    quote, turns = asyncio.run(ask())
    assert (quote.price, quote.source) == (Decimal(4000), "websocket")
    assert turns > 1


def test_coroutine_gets_no_price_that_is_too_old(api: KrakenAPI) -> None:
    """What the stream proves is not as young: REST is asked, as by the plain call."""
    api.get_quote("XBTUSD")
    found = api._prices.proven_quote("XBTUSD", 1e-9)
    assert found is None
    assert api._prices.proven_quote("XBTUSD", LONG) is not None
    assert api._prices.proven_quote("SOLUSD", None) is None


@pytest.mark.parametrize("pair", ["", None, 5])
def test_coroutine_is_told_of_a_pair_that_is_none(api: KrakenAPI, pair: Any) -> None:
    """As the plain call's caller is."""
    with pytest.raises(ValueError, match="pair"):
        asyncio.run(api.aget_quote(pair))
    with pytest.raises(ValueError, match="max_age"):
        asyncio.run(api.aget_quote("XBTUSD", max_age=-1.0))
