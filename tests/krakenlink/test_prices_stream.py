"""Prices that come from the stream, and what is asked of REST where it has none."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
import requests

from kraken_api import KrakenAPI
from krakenlink.errors import (
    PriceUnavailable,
)
from tests.kits.rest import price_kit, rest_kit
from tests.kits.rest.price_kit import Streaming, wait_for_price
from tests.kits.rest.rest_kit import (
    LISTING,
    QUICK,
    XSTOCKS,
    Reply,
    Web,
    ok,
    refusal,
    ticker,
)

web, rest, streaming = rest_kit.web, rest_kit.rest, price_kit.streaming  # fixtures


def test_first_price_of_an_old_pair_comes_from_the_stream_alone(
    web: Web, streaming: Streaming
) -> None:
    """No REST call stands before the first price of a well-known pair, nor before the next ones."""
    api, stream = streaming(BTC_USD="50000.5")
    assert api.get_current_price("XBTUSD") == 50000.5
    assert api.get_current_price("XBTUSD") == 50000.5
    assert api.get_current_price("btc-usd") == 50000.5
    stream.say("BTC/USD", "50001.5")
    wait_for_price(api, "XBTUSD", 50001.5)
    assert not web.calls
    assert stream.symbols == ["BTC/USD"]


def test_price_streams_again_after_the_shared_stream_was_stopped(
    web: Web, streaming: Streaming
) -> None:
    """Who stops the stream that all share stops it for now: the next call starts it again."""
    api, stream = streaming(BTC_USD="1")
    assert api.get_current_price("XBTUSD") == 1
    provider = api.price_provider()
    assert provider is not None
    provider.stop()
    stream.fates["BTC/USD"] = "2"
    assert api.get_current_price("XBTUSD") == 2
    assert not web.calls


def test_close_after_a_stop_takes_nothing_from_others(web: Web, streaming: Streaming) -> None:
    """Subscriptions that a stop has ended are not given back once more, from those of others."""
    api, stream = streaming(BTC_USD="1")
    other = KrakenAPI(ws_url=stream.ws_url, timeouts=QUICK)
    provider = api.price_provider()
    assert provider is not None
    assert api.get_current_price("XBTUSD") == 1
    provider.stop()
    assert other.get_current_price("XBTUSD") == 1
    api.close()
    assert provider.fresh_tick("BTC/USD") is not None
    other.close()
    assert provider.fresh_tick("BTC/USD") is None


def test_quote_of_the_stream_brings_its_proof(web: Web, streaming: Streaming) -> None:
    """Digits, sides, source and age come with the price."""
    api, _ = streaming(BTC_USD="50000.50")
    quote = api.get_quote("XBTUSD", max_age=5)
    assert (quote.source, quote.symbol, str(quote.price)) == ("websocket", "BTC/USD", "50000.50")
    assert (quote.bid, quote.ask) == (Decimal("1.0"), Decimal("9.0"))
    assert 0 <= quote.proven_age <= 5
    assert not web.calls


def test_quote_never_has_the_proof_of_a_later_price(
    web: Web, streaming: Streaming, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A caller that is held up after its wait does not get an old price as a new one."""
    api, stream = streaming(BTC_USD="1")
    provider = api.price_provider()
    assert provider is not None
    wait_for_tick = provider.wait_for_tick

    def held_up(symbol: str, timeout: float) -> Any:
        tick = wait_for_tick(symbol, timeout)
        stream.say("BTC/USD", "2")
        wait_for_price(api, "XBTUSD", 2)
        return tick

    monkeypatch.setattr(provider, "wait_for_tick", held_up)
    assert api.get_quote("XBTUSD").price == 2


def test_quote_that_is_too_old_on_the_stream_comes_over_rest(
    web: Web, streaming: Streaming
) -> None:
    """A proof that is older than asked for is not used; what REST says is not younger either."""
    api, _ = streaming(BTC_USD="50000.5")
    web.on("Ticker", ok(ticker("7")))
    with pytest.raises(PriceUnavailable):
        api.get_quote("XBTUSD", max_age=1e-9)
    assert len(web.asked("Ticker")) == 1


def test_what_the_stream_proves_is_told_without_asking_or_following_anything(
    web: Web, streaming: Streaming
) -> None:
    """By any name of the pair, and only while it is proven and as young as it is wanted."""
    api, stream = streaming(BTC_USD="50000.5")
    proven = api._prices.proven_quote
    assert proven("XBTUSD", None) is None
    assert api.get_current_price("XBTUSD") == 50000.5
    for name in ("XBTUSD", "btc-usd", "XXBTZUSD"):
        quote = proven(name, 30.0)
        assert quote is not None
        assert (quote.pair, quote.price, quote.source) == (name, Decimal("50000.5"), "websocket")
    assert proven("XBTUSD", 1e-9) is None
    assert [proven(name, None) for name in ("ETHUSD", "NOSUCHUSD")] == [None, None]
    with pytest.raises(ValueError, match="max_age"):
        proven("XBTUSD", -1.0)
    provider = api.price_provider()
    assert provider is not None
    provider.stop()
    assert proven("XBTUSD", None) is None
    assert not web.calls
    assert stream.symbols == ["BTC/USD"]


def test_other_pair_is_asked_for_alone(web: Web, streaming: Streaming) -> None:
    """A cold price of an unlisted name costs one small AssetPairs call, once."""
    api, _ = streaming(SOL_USD="150.5")
    web.on("AssetPairs", ok({"SOLUSD": LISTING["SOLUSD"]}))
    assert api.get_current_price("sol-usd") == 150.5
    assert api.get_current_price("sol-usd") == 150.5
    assert web.calls == [("AssetPairs", {"pair": "SOL/USD"})]


def test_many_who_want_one_new_pair_ask_one_question(web: Web, streaming: Streaming) -> None:
    """Fifty threads, a pair that nobody has asked for: one question, one subscription, no more."""
    api, stream = streaming(SOL_USD="150.5")
    here, all_are_here = iter(range(50)), threading.Event()

    def slow(_: dict[str, str]) -> str:
        all_are_here.wait(60)
        time.sleep(0.1)  # for the last of them to take its place
        return ok({"SOLUSD": LISTING["SOLUSD"]})

    def ask(_: int) -> float:
        if next(here) == 49:
            all_are_here.set()
        return api.get_current_price("sol-usd")

    web.replies["AssetPairs"] = slow
    with ThreadPoolExecutor(50) as pool:
        assert set(pool.map(ask, range(50))) == {150.5}
    assert web.calls == [("AssetPairs", {"pair": "SOL/USD"})]
    assert stream.symbols == ["SOL/USD"]


def test_kept_listing_spares_the_question(web: Web, streaming: Streaming) -> None:
    """With a listing on disk a cold price needs no REST call at all."""
    web.on("AssetPairs", ok(LISTING))
    KrakenAPI().pair_directory()
    api, _ = streaming(SOL_USD="150.5")
    assert api.get_current_price("SOLUSD") == 150.5
    assert len(web.calls) == 1


def test_xstock_is_asked_for_by_its_class(web: Web, streaming: Streaming) -> None:
    """A name with the small x of xStocks is asked for where those are listed."""
    api, _ = streaming(AAPLx_USD="200.5")
    web.on("AssetPairs", ok(XSTOCKS))
    assert api.get_current_price("AAPLx/USD") == 200.5
    assert web.calls == [("AssetPairs", {"pair": "AAPLx/USD", "aclass_base": "tokenized_asset"})]


def test_pair_without_a_stream_goes_over_rest_with_one_warning(
    web: Web, streaming: Streaming, caplog: pytest.LogCaptureFixture
) -> None:
    """What has no symbol is never guessed at: REST, and a word about it."""
    api, stream = streaming()
    web.on("AssetPairs", ok({"DARKUSD": LISTING["DARKUSD"]}))
    web.on("Ticker", ok(ticker("5", "DARKUSD")))
    assert [api.get_current_price("DARKUSD") for _ in range(2)] == [5.0, 5.0]
    assert len([r for r in caplog.records if "DARKUSD" in r.getMessage()]) == 1
    assert not stream.symbols


def test_unknown_name_goes_over_rest_with_one_warning(
    web: Web, streaming: Streaming, caplog: pytest.LogCaptureFixture
) -> None:
    """A name that AssetPairs does not know is asked for once, and then left to REST."""
    api, stream = streaming()
    web.on("AssetPairs", refusal("EQuery:Unknown asset pair"))
    web.on("Ticker", ok(ticker("5", "ODDUSD")))
    assert [api.get_current_price("ODDUSD") for _ in range(2)] == [5.0, 5.0]
    assert len([r for r in caplog.records if "ODDUSD" in r.getMessage()]) == 1
    assert len(web.asked("AssetPairs")) == 1
    assert not stream.symbols


@pytest.mark.parametrize("failure", [requests.ReadTimeout("slow"), refusal("EService:Busy")])
def test_name_that_cannot_be_asked_for_is_not_waited_for(
    web: Web, streaming: Streaming, failure: Reply
) -> None:
    """When AssetPairs fails, REST prices go on, without asking at each call."""
    api, _ = streaming()
    web.on("AssetPairs", failure)
    web.on("Ticker", ok(ticker("5", "SOLUSD")))
    assert [api.get_current_price("SOLUSD") for _ in range(3)] == [5.0] * 3
    assert len(web.asked("AssetPairs")) == 1


def test_refused_symbol_goes_over_rest_at_once(web: Web, streaming: Streaming) -> None:
    """A symbol that the stream refuses is not waited for; a wait would outlast this test."""
    api, stream = streaming(ws_timeout=300.0, BTC_USD="refuse")
    web.on("Ticker", ok(ticker("7")))
    assert [api.get_current_price("XBTUSD") for _ in range(2)] == [7.0, 7.0]
    assert api.get_quote("XBTUSD").source == "rest"
    assert stream.symbols == ["BTC/USD"]


def test_silent_symbol_is_waited_for_once(web: Web, streaming: Streaming) -> None:
    """What was waited for in vain goes over REST, and is taken from the stream when it comes."""
    api, stream = streaming(ws_timeout=0.3, BTC_USD="mute")
    web.on("Ticker", ok(ticker("7")))
    assert api.get_current_price("XBTUSD") == 7.0
    api.ws_timeout = 300.0
    assert api.get_current_price("XBTUSD") == 7.0
    provider = api.price_provider()
    assert provider is not None
    assert provider.health().rest_fallbacks == 2
    stream.say("BTC/USD", "50000.5")
    wait_for_price(api, "XBTUSD", 50000.5)


def test_lost_stream_is_not_waited_for(web: Web, streaming: Streaming) -> None:
    """When the connection is gone its price is gone, and REST answers at once."""
    api, stream = streaming(ws_timeout=300.0, BTC_USD="50000.5")
    web.on("Ticker", ok(ticker("7")))
    assert api.get_current_price("XBTUSD") == 50000.5
    stream.hang_up()
    wait_for_price(api, "XBTUSD", 7.0)


def test_stream_that_is_not_there_is_not_waited_for(web: Web, streaming: Streaming) -> None:
    """Where nobody listens, the first price comes over REST without the full wait."""
    api, stream = streaming(ws_timeout=300.0)
    stream.__exit__()
    web.on("Ticker", ok(ticker("7")))
    assert api.get_current_price("XBTUSD") == 7.0
