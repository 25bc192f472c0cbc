"""Books for callers: from the stream where they are proven, REST else, and never a guess."""

from __future__ import annotations

import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from unittest.mock import Mock

import pytest

from fake_kraken import FakeKraken
from fake_kraken.market import synthetic_pairs
from kraken_api import KrakenAPI
from krakenlink.errors import KrakenAPIError, PriceUnavailable, ProtocolError
from krakenlink.known_names import DEPTHS
from krakenlink.market_calls import MarketCalls
from krakenlink.stream.book import OrderBook
from krakenlink.stream.events import BookWrong, ChannelLive, InstrumentUpdate
from tests.kits.rest.client_kit import LONG, PATIENT, api, provider_of
from tests.kits.stream.stream_kit import wait_for
from ws_price_provider import FeedReader, WebSocketPriceProvider

__all__ = ["api"]


# --- from the stream ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["XBTUSD", "XXBTZUSD", "BTC/USD", "btc-usd"])
def test_book_comes_over_the_stream_by_any_name(api: KrakenAPI, name: str) -> None:
    """One subscription, whatever it is called, and no call to REST."""
    book = api.get_order_book(name)
    assert (book.symbol, book.source, book.depth) == ("BTC/USD", "websocket", 10)
    assert (book.bids[0].price, book.asks[0].price) == (Decimal("49999.9"), Decimal("50000.1"))
    assert (len(book.bids), len(book.asks)) == (10, 10)


def test_second_call_asks_nobody(api: KrakenAPI, exchange: FakeKraken) -> None:
    """The book is at hand, and each client holds one subscription."""
    first = api.get_order_book("BTC/USD")
    before = len(exchange.ws_messages)
    second = api.get_order_book("XBTUSD")
    assert second.bids == first.bids
    assert len(exchange.ws_messages) == before
    assert exchange.count("Depth") == 0


@pytest.mark.parametrize("depth", DEPTHS)
def test_book_is_as_deep_as_it_is_asked_for(api: KrakenAPI, depth: int) -> None:
    """All of Kraken's depths, streamed."""
    book = api.get_order_book("BTC/USD", depth)
    assert (len(book.bids), len(book.asks), book.source) == (depth, depth, "websocket")


def book_once(api: KrakenAPI, reader: FeedReader, is_so: Callable[[OrderBook], bool]) -> OrderBook:
    """Return the book of BTC/USD once it is so; the first event may still tell of its snapshot."""
    while not is_so(book := api.get_order_book("BTC/USD")):
        wait_for(reader, object)
    return book


def test_book_follows_the_market(api: KrakenAPI, exchange: FakeKraken) -> None:
    """What is told of it is in it, digit for digit."""
    api.get_order_book("BTC/USD")
    reader = provider_of(api).open_feed(channels=["book"])
    exchange.set_book("BTC/USD", [("49000", "1.5"), ("48999.5", "0.00000001")], [("50000.5", "2")])
    book = book_once(api, reader, lambda book: book.bids[0].price == 49000)
    shown = [f"{x.price} {x.qty:f}" for x in (*book.bids, *book.asks)]
    assert shown == ["49000.0 1.50000000", "48999.5 0.00000001", "50000.5 2.00000000"]


def test_numbers_in_another_notation_are_the_same_book(
    api: KrakenAPI, exchange: FakeKraken
) -> None:
    """Zeros lost on the way, powers of ten: Kraken's sums are right with all digits."""
    exchange.fault("book_short_numbers")
    exchange.set_book("BTC/USD", [("49000", "10"), ("40000", "0.00005")], [("50000", "0.1")])
    assert f"{api.get_order_book('BTC/USD').bids[1].qty:f}" == "0.00005000"
    reader = provider_of(api).open_feed()
    exchange.set_book("BTC/USD", [("49000", "20")], [("50000", "0.1"), ("60000", "0.00000002")])
    book = book_once(api, reader, lambda book: book.bids[0].qty == 20)
    assert book.bids == ((Decimal(49000), Decimal(20)),)
    assert f"{book.asks[1].price} {book.asks[1].qty:f}" == "60000.0 0.00000002"


@pytest.mark.parametrize("fault", ["book_wrong_sum", "book_crossed", "book_bad_level"])
def test_doubtful_change_is_no_book_and_heals(
    api: KrakenAPI, exchange: FakeKraken, fault: str
) -> None:
    """It is told, the book is asked for anew, and nothing doubtful is ever shown."""
    api.get_order_book("BTC/USD")
    reader = provider_of(api).open_feed()
    exchange.fault(fault, count=1)
    exchange.set_price("BTC/USD", "50050")
    assert wait_for(reader, BookWrong).symbol == "BTC/USD"
    wait_for(reader, ChannelLive)
    book = api.get_order_book("BTC/USD")
    assert (book.source, book.bids[0].price) == ("websocket", Decimal("50049.9"))
    exchange.clear_faults()


def test_lost_change_is_seen_at_the_next_one(api: KrakenAPI, exchange: FakeKraken) -> None:
    """Kraken's sum is one of the whole."""
    api.get_order_book("BTC/USD")
    reader = provider_of(api).open_feed()
    exchange.fault("book_lost_change", count=1)
    exchange.set_price("BTC/USD", "50050")
    exchange.set_price("BTC/USD", "50050.1")
    wait_for(reader, BookWrong)
    wait_for(reader, ChannelLive)
    assert api.get_order_book("BTC/USD").bids[0].price == Decimal("50050.0")


def test_book_of_a_market_that_nobody_asked_for_is_dropped(
    api: KrakenAPI, exchange: FakeKraken
) -> None:
    """What was asked for goes on."""
    api.get_order_book("BTC/USD")
    reader = provider_of(api).open_feed(channels=["book"])
    exchange.fault("unasked", count=1)
    for price in ("50050", "50051"):
        exchange.set_price("BTC/USD", price)
        told: Any = wait_for(reader, object)
        assert told.symbol == "BTC/USD"
    book = book_once(api, reader, lambda book: book.bids[0].price > 50050)
    assert book.bids[0].price == Decimal("50050.9")


# --- over REST ---------------------------------------------------------------------------------


def test_book_comes_over_rest_without_a_stream(exchange: FakeKraken) -> None:
    """With the age of the question."""
    with KrakenAPI(base_url=exchange.rest_url, use_websocket=False) as api:
        book = api.get_order_book("XBTUSD", 25)
    assert (book.source, len(book.bids), book.symbol) == ("rest", 25, "BTC/USD")
    assert book.bids[0].price == Decimal("49999.9")
    (asked,) = [x for x in exchange.requests if x.endpoint == "Depth"]
    assert asked.params == {"pair": "XXBTZUSD", "count": "25"}


def test_rest_has_five_hundred_levels_at_most(exchange: FakeKraken) -> None:
    """What goes deeper is what there is."""
    with KrakenAPI(base_url=exchange.rest_url, use_websocket=False) as api:
        book = api.get_order_book("XBTUSD", 1000)
    assert (len(book.asks), book.depth) == (500, 1000)


def test_depth_that_kraken_does_not_stream_comes_over_rest(
    api: KrakenAPI, exchange: FakeKraken
) -> None:
    """Nobody waits for it a second time, and what is streamed goes on."""
    exchange.fault("refuse_depth")
    assert api.get_order_book("BTC/USD").source == "websocket"
    for _ in range(2):
        book = api.get_order_book("BTC/USD", 100)
        assert (book.source, len(book.bids)) == ("rest", 100)
    assert api.get_order_book("BTC/USD").depth == 10
    assert provider_of(api).health().rest_fallbacks == 2


def test_mute_book_comes_over_rest(exchange: FakeKraken) -> None:
    """One wait, and then none."""
    exchange.fault("mute", symbol="BTC/USD")
    with KrakenAPI(
        base_url=exchange.rest_url, ws_url=exchange.ws_url, ws_timeout=0.05, feed_settings=PATIENT
    ) as api:
        assert [api.get_order_book("BTC/USD").source for _ in range(2)] == ["rest", "rest"]
        provider_of(api).stop(LONG)


def test_pair_that_kraken_does_not_know_is_refused(api: KrakenAPI) -> None:
    """In its words."""
    with pytest.raises(KrakenAPIError, match="Unknown asset pair"):
        api.get_order_book("NOSUCHPAIR")


def test_answer_that_is_no_book_is_an_error(exchange: FakeKraken) -> None:
    """Nothing is made of it."""
    exchange.fault("odd_result", endpoint="Depth", text='{"XXBTZUSD": {"bids": 5}}')
    with (
        KrakenAPI(base_url=exchange.rest_url, use_websocket=False) as api,
        pytest.raises(ProtocolError, match="Depth: the bids of XBTUSD cannot be read"),
    ):
        api.get_order_book("XBTUSD")


@pytest.mark.parametrize("pair", ["", " ", None, 5])
def test_pair_that_is_none_is_refused(api: KrakenAPI, pair: Any) -> None:
    """Before anything is asked."""
    with pytest.raises(ValueError, match="pair"):
        api.get_order_book(pair)


@pytest.mark.parametrize("depth", [0, 5, "10", 10.0, None, True])
def test_depth_that_is_none_is_refused(api: KrakenAPI, exchange: FakeKraken, depth: Any) -> None:
    """Before anything is asked, with those there are."""
    with pytest.raises(ValueError, match="10, 25, 100, 500, 1000"):
        api.get_order_book("BTC/USD", depth)
    assert exchange.requests == []


# --- fills -------------------------------------------------------------------------------------


def test_fill_is_worked_out_on_the_streamed_book(api: KrakenAPI, exchange: FakeKraken) -> None:
    """Mean, worst, cost and slippage against the last trade."""
    exchange.set_book("BTC/USD", [("49900", "1"), ("49800", "1")], [("50100", "1"), ("50300", "3")])
    found = api.estimate_fill("XBTUSD", "buy", "2")
    assert (found.average, found.worst) == (Decimal(50200), Decimal(50300))
    assert (found.cost, found.last) == (Decimal(100400), Decimal(50000))
    assert found.slippage_percent == Decimal("0.4")
    assert found.is_complete
    assert found.book.source == "websocket"
    assert api.estimate_fill("XBTUSD", "sell", 5).filled == 2


def test_fill_without_a_last_price_is_told_all_the_same(
    exchange: FakeKraken,
) -> None:
    """The book counts without it."""
    with KrakenAPI(base_url=exchange.rest_url, use_websocket=False) as api:
        exchange.fault("error", endpoint="Ticker", text="EService:Unavailable")
        found = api.estimate_fill("XBTUSD", "buy", "0.1")
    assert (found.last, found.slippage_percent) == (None, None)
    assert found.worst == Decimal("50000.1")


@pytest.mark.parametrize(
    ("side", "volume", "said"),
    [
        *(("up", "1", "direction"), (None, "1", "direction"), ("buy", "0", "volume")),
        *(("buy", "-1", "volume"), ("buy", "x", "volume"), ("sell", None, "volume")),
        *(("sell", "NaN", "volume"), ("sell", float("inf"), "volume")),
    ],
)
def test_order_that_is_none_has_no_fill(
    api: KrakenAPI, exchange: FakeKraken, side: Any, volume: Any, said: str
) -> None:
    """Before anything is asked."""
    with pytest.raises(ValueError, match=said):
        api.estimate_fill("BTC/USD", side, volume)
    assert exchange.ws_messages == []


# --- life --------------------------------------------------------------------------------------


def test_client_that_is_closed_gives_its_book_back(api: KrakenAPI, exchange: FakeKraken) -> None:
    """Others keep theirs; the next call subscribes anew."""
    other = KrakenAPI(base_url=exchange.rest_url, ws_url=exchange.ws_url, ws_timeout=LONG)
    api.get_order_book("BTC/USD")
    other.get_order_book("BTC/USD", 10)
    api.close()
    assert provider_of(other).order_book("BTC/USD") is not None
    other.close()
    assert exchange.wait_for(lambda x: not x.is_subscribed("BTC/USD", "book"), LONG)
    assert api.get_order_book("BTC/USD").source == "websocket"


def test_client_that_is_dropped_gives_its_book_back(exchange: FakeKraken) -> None:
    """Without `close`, too."""
    api = KrakenAPI(base_url=exchange.rest_url, ws_url=exchange.ws_url, ws_timeout=LONG)
    api.get_order_book("BTC/USD")
    provider = provider_of(api)
    del api
    assert exchange.wait_for(lambda x: not x.is_subscribed("BTC/USD", "book"), LONG)
    provider.stop(LONG)


def test_stream_that_others_have_stopped_is_subscribed_to_anew(api: KrakenAPI) -> None:
    """Whoever shares it may stop it."""
    api.get_order_book("BTC/USD")
    provider_of(api).stop(LONG)
    assert api.get_order_book("BTC/USD").source == "websocket"


def test_many_threads_share_one_subscription(api: KrakenAPI, exchange: FakeKraken) -> None:
    """Nobody asks Kraken twice."""
    found: list[str] = []

    def look() -> None:
        found.append(api.get_order_book("BTC/USD").source)

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert found == ["websocket"] * 8
    asked = [x for x in exchange.ws_messages if x.get("method") == "subscribe"]
    assert len(asked) == 1


@pytest.mark.parametrize("name", ["get_order_book", "estimate_fill"])
def test_stand_ins_of_the_client_have_its_calls(name: str) -> None:
    """Mocks that are limited to a client's names know them."""
    assert hasattr(Mock(spec=KrakenAPI), name)
    assert getattr(MarketCalls, name).__doc__


def test_late_book_over_rest_is_none(exchange: FakeKraken) -> None:
    """Its error is the price's own."""
    assert issubclass(PriceUnavailable, Exception)
    exchange.fault("error", endpoint="Depth", text="EService:Busy", when="before")
    with (
        KrakenAPI(base_url=exchange.rest_url, use_websocket=False) as api,
        pytest.raises(KrakenAPIError, match="Busy"),
    ):
        api.get_order_book("XBTUSD")


# --- instruments -------------------------------------------------------------------------------


def changed(exchange: FakeKraken, api: KrakenAPI, **changes: Any) -> None:
    """Change BTC/USD at the exchange, and wait until the client's stream has heard of it."""
    reader = provider_of(api).open_feed(channels=["instrument"])
    exchange.change_pair("XBTUSD", **changes)
    wait_for(reader, InstrumentUpdate)


def test_change_of_a_pair_is_known_without_a_call(api: KrakenAPI, exchange: FakeKraken) -> None:
    """Status and minimums of now, wherever a pair's facts are asked for."""
    assert api.resolve_pair("XBTUSD").status == "online"
    assert api.follow_instruments()
    before = len(exchange.requests)
    changed(exchange, api, status="cancel_only", ordermin="0.5", costmin="7")
    pair = api.resolve_pair("btc-usd", max_age=LONG)
    assert (pair.status, pair.ordermin, pair.costmin) == (
        "cancel_only",
        Decimal("0.5"),
        Decimal(7),
    )
    assert api.pair_status("XXBTZUSD") == "cancel_only"
    age = api.pair_age("XBTUSD")
    assert age is not None
    assert age < LONG
    assert len(exchange.requests) == before


def test_pair_that_the_stream_proves_is_known_by_any_spelling(api: KrakenAPI) -> None:
    """Whoever does not know it by a listing can ask for it; without a proof there is none."""
    assert not api._market.streams_pair("BTC/USD")
    assert api.follow_instruments()
    assert all(api._market.streams_pair(name) for name in ("BTC/USD", "btc-usd", "BTCUSD"))
    assert not api._market.streams_pair("NO/SUCH")


def test_volume_is_cut_to_the_decimals_of_now(api: KrakenAPI, exchange: FakeKraken) -> None:
    """Not to those of a listing that was true this morning."""
    api.resolve_pair("XBTUSD")
    api.follow_instruments()
    changed(exchange, api, lot_decimals=3)
    assert api._volume("XBTUSD", "1.23456789") == "1.234"


def test_listing_decides_where_the_stream_proves_nothing(
    api: KrakenAPI, exchange: FakeKraken
) -> None:
    """As without the stream: what it told last counts no more."""
    api.resolve_pair("XBTUSD")
    api.follow_instruments()
    changed(exchange, api, status="post_only")
    provider_of(api).stop(LONG)
    assert api.resolve_pair("XBTUSD").status == "online"
    assert api.pair_status("XBTUSD") == "post_only"  # asked of AssetPairs
    assert exchange.requests[-1].endpoint == "AssetPairs"


def test_minimum_that_cannot_be_is_no_minimum(api: KrakenAPI, exchange: FakeKraken) -> None:
    """The pair is known by its listing until it is told anew."""
    api.resolve_pair("XBTUSD")
    api.follow_instruments()
    exchange.fault("instrument_bad_row", count=1)
    changed(exchange, api, ordermin="0.5")
    assert api.resolve_pair("XBTUSD").ordermin == Decimal("0.00005")
    changed(exchange, api, ordermin="0.7")
    assert api.resolve_pair("XBTUSD").ordermin == Decimal("0.7")


def test_instruments_have_a_connection_of_their_own(api: KrakenAPI, exchange: FakeKraken) -> None:
    """Prices do not wait behind two megabytes; health tells what is carried there."""
    assert api.get_current_price("XBTUSD") == 50000.0
    assert api.follow_instruments()
    provider = provider_of(api)
    assert exchange.ws_connections == 2
    (beside,) = provider.health().beside
    assert [(x.symbol, x.channel, x.state) for x in beside.symbols] == [("*", "instrument", "live")]
    assert [x.channel for x in provider.health().symbols] == ["ticker"]
    found = provider.instrument("BTC/USD")
    assert found is not None
    assert (found.base, found.price_precision) == ("BTC", 1)
    assert provider.instruments()["BTC/USD"] == found
    assert provider.assets()["USD"].status == "enabled"
    assert provider.instrument("NO/SUCH") is None


def test_reader_of_prices_hears_nothing_of_the_other_connection(
    api: KrakenAPI, exchange: FakeKraken
) -> None:
    """Its link is not theirs: who goes blind by it would be told wrong."""
    api.get_current_price("XBTUSD")
    reader = provider_of(api).open_feed()
    api.follow_instruments()
    provider_of(api).stop(LONG)
    kinds = [type(event).__name__ for event in iter(lambda: reader.get(0), None)]
    assert kinds.count("FeedClosed") == 1
    assert "FeedLive" not in kinds
    assert "FeedConnecting" not in kinds


def test_client_without_a_stream_follows_nothing(exchange: FakeKraken) -> None:
    """And says so."""
    with KrakenAPI(base_url=exchange.rest_url, use_websocket=False) as api:
        assert not api.follow_instruments()
        assert api.pair_status("XBTUSD") == "online"


def test_client_that_is_closed_follows_no_more(api: KrakenAPI, exchange: FakeKraken) -> None:
    """The channel is given back."""
    api.follow_instruments()
    api.close()
    assert exchange.wait_for(lambda x: not x.is_subscribed("*", "instrument"), LONG)


def test_two_megabytes_of_instruments_are_survived() -> None:
    """More pairs than Kraken has, and prices go on."""
    pairs, prices = synthetic_pairs(6000)
    with FakeKraken(pairs=pairs, prices=prices) as exchange:
        with KrakenAPI(
            base_url=exchange.rest_url,
            ws_url=exchange.ws_url,
            ws_timeout=LONG,
            feed_settings=PATIENT,
        ) as api:
            assert api.follow_instruments()
            assert len(provider_of(api).instruments()) == 6000
            assert api.get_current_price("T0001/USD") == 100.0
        WebSocketPriceProvider.shared(exchange.ws_url).stop(LONG)
