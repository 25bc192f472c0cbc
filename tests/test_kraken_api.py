"""The client: what is sent, what is asked again, and where prices come from."""

import base64
import hashlib
import json
import logging
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import tomllib
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import Mock

import pytest
import requests
import rest_kit
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_kit import (
    LISTING,
    QUICK,
    REST,
    SECRET,
    XSTOCKS,
    Loopback,
    Reply,
    Web,
    client_of,
    forever_ok,
    http,
    ok,
    read_request,
    refusal,
    ticker,
)

import kraken_api
import krakenlink
from kraken_api import KrakenAPI
from krakenlink.errors import (
    AuthenticationError,
    KrakenAPIError,
    KrakenError,
    PriceUnavailable,
    ProtocolError,
)
from krakenlink.rest import transport as kraken_http
from krakenlink.rest.answers import outcome_of
from krakenlink.rest.quotes import Quote
from krakenlink.rest.request import sign
from krakenlink.rest.verdicts import OutcomeKind

web, rest = rest_kit.web, rest_kit.rest  # fixtures

ROOT = Path(__file__).resolve().parents[1]


# --- construction ---


def test_constructor_keeps_its_arguments_and_does_nothing() -> None:
    """The attributes are those of the contract; a network or a thread would fail this test."""
    api = KrakenAPI("key", SECRET, "https://example.org", False, ws_timeout=0.5)
    assert (api.api_key, api.api_secret, api.base_url) == ("key", SECRET, "https://example.org")
    assert (api.use_websocket, api.ws_url, api.ws_timeout) == (False, None, 0.5)
    assert api.has_keys


def test_defaults_are_krakens_own_addresses() -> None:
    """Without arguments and without environment, Kraken is talked to."""
    api = KrakenAPI()
    assert (api.base_url, api.ws_url) == (REST, "wss://ws.kraken.com/v2")
    assert not api.has_keys


def test_environment_replaces_the_default_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """`KRAKEN_SPOT_URL` and `KRAKEN_WS_PUBLIC_URL` count where no address is given."""
    monkeypatch.setenv("KRAKEN_SPOT_URL", "http://127.0.0.1:8080/")
    monkeypatch.setenv("KRAKEN_WS_PUBLIC_URL", "ws://127.0.0.1:8080/v2")
    api = KrakenAPI()
    assert (api.base_url, api.ws_url) == ("http://127.0.0.1:8080/", "ws://127.0.0.1:8080/v2")


def test_arguments_beat_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that was given is used."""
    monkeypatch.setenv("KRAKEN_SPOT_URL", "https://env.example")
    monkeypatch.setenv("KRAKEN_WS_PUBLIC_URL", "wss://env.example/v2")
    api = KrakenAPI(base_url="https://my.example", ws_url="wss://my.example/v2")
    assert (api.base_url, api.ws_url) == ("https://my.example", "wss://my.example/v2")


@pytest.mark.parametrize(
    "url",
    ["http://api.kraken.com", "ftp://x", "", "api.kraken.com", "https://", "http://localhost.evil"],
)
def test_address_without_tls_is_refused_off_this_machine(url: str) -> None:
    """Only `https:`, or `http:` to loopback, carries signed requests; the error names the cure."""
    with pytest.raises(ValueError, match="https://"):
        KrakenAPI(base_url=url)


@pytest.mark.parametrize("url", ["http://localhost:1", "http://127.0.0.1:1", "http://[::1]:1"])
def test_loopback_may_do_without_tls(url: str) -> None:
    """A stand-in on this machine needs no certificate."""
    assert KrakenAPI(base_url=url).base_url == url


def test_stream_address_without_tls_is_refused() -> None:
    """The stream's address is held to the same rule."""
    with pytest.raises(ValueError, match="wss"):
        KrakenAPI(ws_url="ws://ws.kraken.com/v2")


def test_other_exchange_does_not_get_krakens_stream() -> None:
    """With another REST address and no stream address, prices are of that REST alone."""
    api = KrakenAPI(base_url="http://127.0.0.1:1")
    assert api.ws_url is None
    assert api.price_provider() is None


def test_from_env_takes_the_right_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading and trading keys come from their own variables, further keywords are passed on."""
    monkeypatch.setenv("KRAKEN_API_KEY", "ro")
    monkeypatch.setenv("KRAKEN_API_KEY_RW", "rw")
    monkeypatch.setenv("KRAKEN_API_SECRET_RW", "rw-secret")
    api = KrakenAPI.from_env(readwrite=True, use_websocket=False, ws_timeout=1.0)
    assert (api.api_key, api.api_secret, api.ws_timeout) == ("rw", "rw-secret", 1.0)
    assert KrakenAPI.from_env().api_key == "ro"


def test_repr_shows_no_key() -> None:
    """Printing a client shows where it points, and not what opens it."""
    text = repr(KrakenAPI("my-key", SECRET))
    assert text == "<KrakenAPI https://api.kraken.com with keys>"


def test_version_is_that_of_the_package() -> None:
    """There is one constant, and packaging reads it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "krakenlink.VERSION"}
    assert krakenlink.VERSION == kraken_api.VERSION


def test_class_of_the_stream_may_be_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in this module under the name of the provider is what prices come from."""

    class Mine(kraken_api.WebSocketPriceProvider):
        _shared: ClassVar[dict[str, Any]] = {}

    monkeypatch.setattr(kraken_api, "WebSocketPriceProvider", Mine)
    assert type(KrakenAPI().price_provider()) is Mine


def test_library_that_is_said_to_be_missing_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """`WEBSOCKET_AVAILABLE` is looked at with each call."""
    api = KrakenAPI()
    monkeypatch.setattr(kraken_api, "WEBSOCKET_AVAILABLE", False)
    assert api.price_provider() is None


def test_stand_in_by_the_class_has_every_call() -> None:
    """A mock limited to the client's names has the inherited ones, too."""
    mock = Mock(spec=KrakenAPI)
    for name in ("get_current_price", "add_trailing_stop_loss", "get_balance", "_query_public"):
        assert callable(getattr(mock, name))
    with pytest.raises(AttributeError):
        mock.no_such_call()


# --- public calls ---


def test_public_call_returns_the_whole_answer(web: Web, rest: KrakenAPI) -> None:
    """The query goes out as Kraken reads it, with a `User-Agent`; the answer comes back whole."""
    web.on("Ticker", ok(ticker()))
    assert rest._query_public("Ticker", {"pair": "XBTUSD"})["error"] == []
    assert web.requests[0].url == f"{REST}/0/public/Ticker?pair=XBTUSD"
    assert web.requests[0].headers["User-Agent"] == f"ttslo/{kraken_api.VERSION}"


@pytest.mark.parametrize("result", [[], "x", None, 5])
def test_result_that_is_no_object_is_a_protocol_error(
    web: Web, rest: KrakenAPI, result: object
) -> None:
    """Whoever is promised a dict gets one, or an error."""
    web.on("Ticker", ok(result))
    with pytest.raises(ProtocolError):
        rest.get_ticker("XBTUSD")


@pytest.mark.parametrize("unixtime", [None, "5", True])
def test_damaged_time_is_a_protocol_error(web: Web, rest: KrakenAPI, unixtime: object) -> None:
    """The clock that deadlines rest on is a number or nothing."""
    web.on("Time", ok({"unixtime": unixtime}))
    with pytest.raises(ProtocolError):
        rest.warm_up()


def test_market_data_calls_name_the_pair_as_kraken_does(web: Web, rest: KrakenAPI) -> None:
    """Any spelling of a known pair reaches Kraken as its own key."""
    web.on("Trades", ok({"XXBTZUSD": [], "last": "1"}))
    web.on("OHLC", ok({"XXBTZUSD": [], "last": 1}))
    web.on("SystemStatus", ok({"status": "online"}))
    assert rest.get_trades("btc-usd", since=7)["last"] == "1"
    assert rest.get_ohlc("XBT/USD", interval=5)["last"] == 1
    assert rest.system_status() == {"status": "online"}
    assert web.asked("Trades") == [{"pair": "XXBTZUSD", "since": "7"}]
    assert web.asked("OHLC") == [{"pair": "XXBTZUSD", "interval": "5"}]


# --- private calls ---


def test_private_call_needs_keys(web: Web) -> None:
    """Without keys nothing is sent, and the error says what to set."""
    with pytest.raises(ValueError, match="API key and secret required"):
        KrakenAPI("key", None).get_balance()
    with pytest.raises(ValueError, match="API key and secret required"):
        KrakenAPI()._get_kraken_signature("/0/private/Balance", "nonce=1", 1)
    assert not web.calls


def test_private_call_is_signed_over_the_body_that_is_sent(web: Web, rest: KrakenAPI) -> None:
    """Signature, nonce and body belong together to the byte."""
    web.on("TradeBalance", ok({"eb": "1"}))
    assert rest.get_trade_balance() == {"eb": "1"}
    request, params = web.requests[0], web.calls[0][1]
    assert params["asset"] == "ZUSD"
    body = request.body.decode()
    path = "/0/private/TradeBalance"
    assert request.headers["API-Key"] == "key"
    assert request.headers["API-Sign"] == sign(path, params["nonce"], body, SECRET)
    assert request.headers["Content-Type"].startswith("application/x-www-form-urlencoded")
    assert rest._get_kraken_signature(path, body, params["nonce"]) == request.headers["API-Sign"]


def test_reading_is_asked_again_after_a_refused_nonce(web: Web, rest: KrakenAPI) -> None:
    """A second program on the same key disturbs a look at the orders no more than once."""
    web.on("OpenOrders", refusal("EAPI:Invalid nonce"), ok({"open": {}}))
    assert rest.query_open_orders() == {"open": {}}
    web.on("OpenOrders", refusal("EAPI:Invalid nonce"))
    with pytest.raises(AuthenticationError):
        rest.query_open_orders()
    assert len(web.calls) == 4


@pytest.mark.parametrize("text", ["EAPI:Invalid key", "EAPI:Invalid signature"])
def test_wrong_key_is_not_tried_again(web: Web, rest: KrakenAPI, text: str) -> None:
    """Repeating a wrong key only leads to a lockout."""
    web.on("Balance", refusal(text))
    with pytest.raises(AuthenticationError):
        rest.get_balance()
    assert len(web.calls) == 1


@pytest.mark.parametrize(
    "failure",
    [
        refusal("EAPI:Invalid nonce"),
        refusal("EService:Busy"),
        refusal("EAPI:Rate limit exceeded"),
        (502, "<html>"),
        (503, ""),
        requests.ConnectionError("reset"),
        requests.ReadTimeout("slow"),
        requests.ConnectTimeout("far"),
    ],
)
def test_order_is_sent_once_whatever_happens(web: Web, rest: KrakenAPI, failure: Reply) -> None:
    """No answer, and no lack of one, makes the client send an order again."""
    web.on("AddOrder", failure)
    with pytest.raises(KrakenError):
        rest.add_trailing_stop_loss("XBTUSD", "sell", "0.1", "5")
    assert len(web.calls) == 1


def test_account_calls_send_what_they_are_given(web: Web, rest: KrakenAPI) -> None:
    """Filters reach Kraken under its own names; what is off is left out."""
    web.on("ClosedOrders", ok({"closed": {}}))
    web.on("QueryOrders", ok({"A": {}}))
    web.on("OpenOrders", ok({"open": {}}))
    rest.query_open_orders(trades=True, userref=7, cl_ord_id="c")
    rest.query_closed_orders(cl_ord_id="c", ofs=50)
    rest.query_orders(["A", "B"])
    rest.query_orders("A")
    bare = [{k: v for k, v in params.items() if k != "nonce"} for _, params in web.calls]
    assert bare == [
        {"trades": "true", "userref": "7", "cl_ord_id": "c"},
        {"cl_ord_id": "c", "ofs": "50"},
        {"txid": "A,B"},
        {"txid": "A"},
    ]


# --- orders ---


def sent_order(web: Web) -> dict[str, str]:
    """Return the parameters of the one order, without its nonce."""
    [params] = web.asked("AddOrder")
    del params["nonce"]
    return params


def test_trailing_stop_is_sent_as_kraken_wants_it(web: Web, rest: KrakenAPI) -> None:
    """Pair, side, volume and offset arrive exactly, with the trigger that every pair has."""
    web.on("AddOrder", ok({"descr": {}, "txid": ["OABC"]}))
    result = rest.add_trailing_stop_loss(
        pair="XBTUSD", direction="SELL", volume=Decimal("5E-8"), trailing_offset_percent="1.25"
    )
    assert result["txid"] == ["OABC"]
    assert sent_order(web) == {
        "ordertype": "trailing-stop",
        "type": "sell",
        "volume": "0.00000005",
        "pair": "XXBTZUSD",
        "price": "+1.25%",
        "trigger": "last",
    }
    assert "price=%2B1.25%25" in web.requests[0].body.decode()


@pytest.mark.parametrize(("typed", "sent"), [("5", "+5.0%"), (5.0, "+5.0%"), ("0.04", "+0.04%")])
def test_offset_keeps_its_digits(web: Web, rest: KrakenAPI, typed: object, sent: str) -> None:
    """The offset is never rounded on its way."""
    web.on("AddOrder", ok({"txid": ["OABC"]}))
    rest.add_trailing_stop_loss("XBTUSD", "buy", "1", typed)
    assert sent_order(web)["price"] == sent


def test_further_parameters_are_passed_on(web: Web, rest: KrakenAPI) -> None:
    """Kraken's other parameters go by their own names; False and None are not sent."""
    web.on("AddOrder", ok({"descr": {}}))
    more: dict[str, Any] = {"cl_ord_id": "c", "deadline": "2026-11-23T00:00:00Z", "userref": 7}
    rest.add_trailing_stop_loss(
        "XBTUSD", "sell", "1", "5", validate=True, trigger="index", oflags=None, **more
    )
    order = sent_order(web)
    assert {"cl_ord_id", "deadline", "userref"} <= set(order)
    assert (order["validate"], order["trigger"]) == ("true", "index")
    assert "oflags" not in order


def test_validate_false_is_not_sent(web: Web, rest: KrakenAPI) -> None:
    """Nobody knows what Kraken makes of the text `false`, so it never sees it."""
    web.on("AddOrder", ok({"txid": ["OABC"]}))
    rest.add_order("XBTUSD", "market", "buy", "1", validate=False)
    assert sent_order(web) == {
        "ordertype": "market",
        "type": "buy",
        "volume": "1",
        "pair": "XXBTZUSD",
    }


BAD_NUMBERS: list[object] = [
    None,
    "",
    "abc",
    "0",
    "-1",
    0,
    float("nan"),
    "Infinity",
    True,
    [],
    "1e400",
]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("pair", v) for v in (None, "", "  ", 5)),
        *(("direction", v) for v in (None, "", "hold", 5)),
        *(("volume", v) for v in BAD_NUMBERS),
        *(("trailing_offset", v) for v in BAD_NUMBERS),
    ],
)
def test_bad_argument_of_a_trailing_stop_is_named(
    web: Web, rest: KrakenAPI, field: str, value: object
) -> None:
    """What cannot be meant is refused by the argument's name, before anything is sent."""
    good: dict[str, Any] = {"pair": "XBTUSD", "direction": "sell", "volume": "1"}
    good |= {"trailing_offset_percent": "5"}
    name = "trailing_offset_percent" if field == "trailing_offset" else field
    with pytest.raises(ValueError, match=field) as caught:
        rest.add_trailing_stop_loss(**{**good, name: value})
    assert not web.calls
    assert outcome_of(caught.value).kind is OutcomeKind.REFUSED


@pytest.mark.parametrize("order_type", ["", None, 5])
def test_bad_order_type_is_named(web: Web, rest: KrakenAPI, order_type: Any) -> None:
    """An order without a type is refused here."""
    with pytest.raises(ValueError, match="order_type"):
        rest.add_order("XBTUSD", order_type, "sell", "1")


def test_volume_is_cut_to_what_the_pair_takes(web: Web, rest: KrakenAPI) -> None:
    """Once the pair's decimals are known, volumes are cut to them, and to nothing is refused."""
    web.on("AssetPairs", ok(LISTING))
    web.on("AddOrder", ok({"txid": ["OABC"]}))
    rest.pair_directory()
    rest.add_order("sol/usd", "market", "sell", "1.99999")
    assert sent_order(web)["volume"] == "1.9999"
    with pytest.raises(ValueError, match=r"volume 0\.00001 is zero in the 4 decimals"):
        rest.add_order("SOL/USD", "market", "sell", "0.00001")


def test_placing_an_order_asks_for_nothing_else(web: Web, rest: KrakenAPI) -> None:
    """Between the decision and the order there is no other call, known pair or not."""
    web.on("AddOrder", ok({"txid": ["OABC"]}))
    rest.add_order("NEWUSD", "market", "sell", "1")
    assert [name for name, _ in web.calls] == ["AddOrder"]
    assert web.calls[0][1]["pair"] == "NEWUSD"


def test_xstock_order_says_its_class(web: Web, rest: KrakenAPI) -> None:
    """Kraken wants to be told that a pair is an xStock."""
    web.on("AssetPairs", ok(LISTING), ok(XSTOCKS))
    web.on("AddOrder", ok({"txid": ["OABC"]}))
    rest.resolve_pair("AAPLx/USD")
    rest.add_order("AAPLx/USD", "market", "sell", "1")
    assert sent_order(web)["asset_class"] == "tokenized_asset"


def test_cancel_and_edit_name_their_order(web: Web, rest: KrakenAPI) -> None:
    """An order is changed or cancelled by its id, with the numbers in Kraken's notation."""
    web.on("CancelOrder", ok({"count": 1}))
    web.on("EditOrder", ok({"txid": "ONEW"}))
    assert rest.cancel_order(" OABC ") == {"count": 1}
    rest.edit_order("OABC", pair="XBTUSD", volume=5e-8, price="+3.0%", validate=None)
    rest.edit_order("OABC", price="2")
    edits = web.asked("EditOrder")
    assert web.asked("CancelOrder")[0]["txid"] == "OABC"
    assert (edits[0]["pair"], edits[0]["volume"]) == ("XXBTZUSD", "0.00000005")
    assert edits[0]["price"] == "+3.0%"
    assert set(edits[1]) == {"nonce", "txid", "price"}


@pytest.mark.parametrize("txid", [None, "", "  ", 5])
def test_empty_order_id_is_refused(web: Web, rest: KrakenAPI, txid: Any) -> None:
    """Without an id there is no order to change."""
    for call in (rest.cancel_order, rest.edit_order, lambda t: rest.query_orders([t])):
        with pytest.raises(ValueError, match="txid parameter is required"):
            call(txid)
    with pytest.raises(ValueError, match="txid parameter is required"):
        rest.query_orders([])
    assert not web.calls


def test_cancel_of_a_gone_order_is_an_error(web: Web, rest: KrakenAPI) -> None:
    """*Already gone* is not *cancelled*."""
    web.on("CancelOrder", refusal("EOrder:Unknown order"))
    with pytest.raises(KrakenAPIError, match="EOrder:Unknown order"):
        rest.cancel_order("OABC")


# --- secrets ---


def test_no_secret_in_errors_or_logs(
    web: Web, rest: KrakenAPI, caplog: pytest.LogCaptureFixture
) -> None:
    """However a private call fails, key, signature and body stay out of text, chain and log."""
    header = requests.exceptions.InvalidHeader(f"bad header value: {SECRET}")
    for failure in (header, requests.ConnectionError(SECRET), (502, SECRET), "not JSON" + SECRET):
        web.on("AddOrder", failure)
        with caplog.at_level(logging.DEBUG), pytest.raises(KrakenError) as caught:
            rest.add_order("XBTUSD", "market", "sell", "1")
        assert SECRET not in f"{caught.value!s}{caught.value!r}"
        assert caught.value.__cause__ is None
    assert SECRET not in caplog.text


# --- prices over REST ---


def test_price_comes_over_rest_without_a_stream(web: Web, rest: KrakenAPI) -> None:
    """The last trade is a float in quote currency, asked for by Kraken's own key."""
    web.on("Ticker", ok(ticker()))
    assert rest.get_current_price("btc-usd") == 50000.10
    assert web.asked("Ticker") == [{"pair": "XXBTZUSD"}]


def test_price_of_another_pair_is_none(web: Web, rest: KrakenAPI) -> None:
    """An answer to somebody else's question, whoever mixed them up, is no price of this pair."""
    web.on("Ticker", ok(ticker("4000", key="XETHZUSD")))
    with pytest.raises(PriceUnavailable, match="holds no price"):
        rest.get_current_price("XBTUSD")


@pytest.mark.parametrize("pair", [None, "", "  ", 5, b"XBTUSD", ["XBTUSD"], {}])
def test_price_needs_a_pair(web: Web, rest: KrakenAPI, pair: Any) -> None:
    """What is no name is refused by the argument's name."""
    for call in (rest.get_current_price, rest.get_quote):
        with pytest.raises(ValueError, match="pair"):
            call(pair)
    assert not web.calls


@pytest.mark.parametrize("price", [None, "0", "-1", "NaN", "Infinity", "1e400", "", "x", 0, True])
def test_price_that_is_none_is_not_returned(web: Web, rest: KrakenAPI, price: object) -> None:
    """Only a finite number above zero is a price."""
    web.on("Ticker", ok(ticker(price)))
    with pytest.raises(PriceUnavailable) as caught:
        rest.get_current_price("XBTUSD")
    assert caught.value.pair == "XBTUSD"


@pytest.mark.parametrize(
    "result",
    [{}, {"A": {}}, {"A": None}, {"A": {"c": []}}, {"A": {"c": "5"}}, {**ticker(), "B": {}}, None],
)
def test_answer_without_one_price_is_none(web: Web, rest: KrakenAPI, result: object) -> None:
    """An empty or odd answer ends in an error, never in a guess."""
    web.on("Ticker", ok(result))
    with pytest.raises(PriceUnavailable):
        rest.get_current_price("XBTUSD")


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcr"), inner),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(JSON)
def test_any_ticker_is_a_price_or_an_error(web: Web, rest: KrakenAPI, result: object) -> None:
    """Whatever the answer holds: a finite positive price, or one of our errors."""
    web.on("Ticker", ok(result))
    try:
        price = rest.get_current_price("XBTUSD")
    except KrakenError:
        return
    assert 0 < price < float("inf")


def test_unknown_pair_is_krakens_error(web: Web, rest: KrakenAPI) -> None:
    """A pair that nobody knows ends in Kraken's own words."""
    web.on("Ticker", refusal("EQuery:Unknown asset pair"))
    web.on("AssetPairs", ok(LISTING))
    with pytest.raises(KrakenAPIError, match="EQuery:Unknown asset pair"):
        rest.get_current_price("NOPE/USD")


def test_unknown_pair_without_a_listing_is_krakens_error(web: Web, rest: KrakenAPI) -> None:
    """Where no other name can be looked up either, the first answer stands."""
    web.on("Ticker", refusal("EQuery:Unknown asset pair"))
    web.on("AssetPairs", (503, ""))
    with pytest.raises(KrakenAPIError, match="EQuery:Unknown asset pair"):
        rest.get_current_price("NOPE/USD")


def test_spelling_that_rest_does_not_know_is_asked_by_its_key(web: Web, rest: KrakenAPI) -> None:
    """`sol-usd` is looked up in the listing once, and asked for by its key from then on."""
    web.on("Ticker", refusal("EQuery:Unknown asset pair"), ok(ticker("150.5", "SOLUSD")))
    web.on("AssetPairs", ok(LISTING))
    assert rest.get_current_price("sol-usd") == 150.5
    assert rest.get_current_price("sol-usd") == 150.5
    assert [p["pair"] for p in web.asked("Ticker")] == ["sol-usd", "SOLUSD", "SOLUSD"]
    assert len(web.asked("AssetPairs")) == 1


def test_other_errors_do_not_lead_to_a_second_name(web: Web, rest: KrakenAPI) -> None:
    """Only an unknown name is worth another one."""
    web.on("Ticker", refusal("EService:Unavailable"))
    with pytest.raises(KrakenAPIError):
        rest.get_current_price("sol-usd")
    assert len(web.calls) == 1


def test_xstock_price_says_its_class(web: Web, rest: KrakenAPI) -> None:
    """An xStock is found in the second listing, and its price is asked for with its class."""
    web.on("Ticker", refusal("EQuery:Unknown asset pair"), ok(ticker("200", "AAPLxUSD")))
    web.on("AssetPairs", ok(LISTING), ok(XSTOCKS))
    assert rest.get_current_price("AAPLx/USD") == 200.0
    assert web.asked("AssetPairs") == [{}, {"aclass_base": "tokenized_asset"}]
    assert web.asked("Ticker")[1] == {"pair": "AAPLxUSD", "asset_class": "tokenized_asset"}


def test_rest_quote_counts_its_age_from_the_question(web: Web, rest: KrakenAPI) -> None:
    """A quote over REST keeps the digits on the wire and is as old as its request."""
    web.on("Ticker", ok(ticker("50000.10")))
    quote = rest.get_quote("XBTUSD", max_age=60)
    assert (quote.pair, quote.symbol, quote.source) == ("XBTUSD", "BTC/USD", "rest")
    assert str(quote.price) == "50000.10"
    assert (quote.bid, quote.ask) == (Decimal("49999.0"), Decimal("50001.0"))
    assert 0 < quote.proven_age < 60


def test_quote_older_than_allowed_is_refused(web: Web, rest: KrakenAPI) -> None:
    """Better no price than one that is older than was asked for."""
    web.on("Ticker", ok(ticker()))
    with pytest.raises(PriceUnavailable, match="wanted") as caught:
        rest.get_quote("XBTUSD", max_age=1e-9)
    assert caught.value.age is not None
    assert caught.value.age > 1e-9


def test_answer_that_came_far_too_late_is_no_price(
    web: Web, rest: KrakenAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine slept between question and answer: what it says is from before."""
    now = [1000.0]
    monkeypatch.setattr("krakenlink.prices.feed_clock", lambda: now[0])

    def late(_: dict[str, str]) -> str:
        now[0] += 3600
        return ok(ticker())

    web.replies["Ticker"] = late
    web.on("AssetPairs", ok(LISTING))
    for call in (rest.get_current_price, rest.get_quote):
        with pytest.raises(PriceUnavailable, match="took 3600 s") as caught:
            call("XBTUSD")
        assert caught.value.age == 3600
    assert isinstance(rest.get_tickers(["XBTUSD"])["XBTUSD"], PriceUnavailable)


@pytest.mark.parametrize("max_age", [0, -1, float("nan"), "x"])
def test_senseless_age_is_refused(web: Web, rest: KrakenAPI, max_age: Any) -> None:
    """An age that no price can have is a mistake of the caller."""
    with pytest.raises(ValueError, match="max_age"):
        rest.get_quote("XBTUSD", max_age=max_age)


# --- many prices in one call ---


def test_one_call_prices_many_pairs(web: Web, rest: KrakenAPI) -> None:
    """All pairs of a class come in one call, under the names they were asked by."""
    web.on("AssetPairs", ok(LISTING))
    web.on("Ticker", ok(ticker() | ticker("150.5", "SOLUSD")))
    found = rest.get_tickers(["XBTUSD", "sol-usd", "BTC/USD"])
    prices = {name: quote.price for name, quote in found.items() if isinstance(quote, Quote)}
    assert prices == {
        "XBTUSD": Decimal("50000.10"),
        "BTC/USD": Decimal("50000.10"),
        "sol-usd": Decimal("150.5"),
    }
    assert web.asked("Ticker") == [{"pair": "SOLUSD,XXBTZUSD"}]


def test_more_pairs_than_an_address_can_hold_are_still_one_call(web: Web, rest: KrakenAPI) -> None:
    """Beyond a hundred names Kraken is asked for all of its pairs; the others are passed over."""
    names = [f"C{number}USD" for number in range(101)]
    listed = {
        name: {"altname": name, "wsname": f"{name[:-3]}/USD", "base": name[:-3], "quote": "ZUSD"}
        for name in names
    }
    web.on("AssetPairs", ok(listed))
    web.on("Ticker", ok({name: ticker("7", name)[name] for name in (*names[1:], "XXBTZUSD")}))
    found = rest.get_tickers(names)
    assert isinstance(found.pop("C0USD"), PriceUnavailable)
    assert all(isinstance(quote, Quote) for quote in found.values())
    assert web.asked("Ticker") == [{}]


def test_failing_pairs_leave_the_others_alone(web: Web, rest: KrakenAPI) -> None:
    """A name that is none, an unknown pair and a missing price are errors of those pairs only."""
    web.on("AssetPairs", ok(LISTING), ok({}))
    web.on("Ticker", ok(ticker()))
    found = rest.get_tickers(["XBTUSD", "NOPE/USD", "SOL/USD", ""])
    kinds = {name: type(value) for name, value in found.items()}
    assert list(found) == ["XBTUSD", "NOPE/USD", "SOL/USD", ""]
    assert kinds["XBTUSD"] is Quote
    assert issubclass(kinds["NOPE/USD"], LookupError)
    assert kinds["SOL/USD"] is PriceUnavailable
    assert issubclass(kinds[""], ValueError)


def test_delisted_pair_does_not_cost_the_others_their_prices(web: Web, rest: KrakenAPI) -> None:
    """When Kraken refuses the list for one bad name, all prices are fetched in one call."""
    web.on("AssetPairs", ok(LISTING))
    web.on("Ticker", refusal("EQuery:Unknown asset pair"), ok(ticker()))
    found = rest.get_tickers(["XBTUSD", "SOL/USD"])
    assert isinstance(found["XBTUSD"], Quote)
    assert isinstance(found["SOL/USD"], PriceUnavailable)
    assert web.asked("Ticker") == [{"pair": "SOLUSD,XXBTZUSD"}, {}]


def test_many_prices_need_an_answer(web: Web, rest: KrakenAPI) -> None:
    """When Kraken cannot be heard or will not answer, the whole call says so."""
    web.on("AssetPairs", ok(LISTING))
    for failure in (refusal("EService:Unavailable"), (503, "")):
        web.on("Ticker", failure)
        with pytest.raises(KrakenError):
            rest.get_tickers(["XBTUSD"])


def test_xstocks_are_priced_in_a_call_of_their_own(web: Web, rest: KrakenAPI) -> None:
    """Kraken prices one class of assets a call."""
    web.on("AssetPairs", ok(LISTING), ok(XSTOCKS))
    web.replies["Ticker"] = lambda p: ok(ticker("5", p["pair"]))
    found = rest.get_tickers(["XBTUSD", "AAPLx/USD"])
    assert all(isinstance(quote, Quote) for quote in found.values())
    assert [p.get("asset_class") for p in web.asked("Ticker")] == [None, "tokenized_asset"]


# --- prices from the stream ---


class Stream(Loopback):
    """A stream on this machine that gives each symbol what it is told to.

    `fates` holds by symbol: a price, `mute` for an acknowledgement without data, or `refuse`.
    """

    def __init__(self, **fates: str) -> None:
        self.fates = {name.replace("_", "/"): fate for name, fate in fates.items()}
        self.symbols: list[str] = []
        self._socket: socket.socket | None = None
        super().__init__(self._speak)
        self.ws_url = f"ws://127.0.0.1:{self.port}/v2"

    def say(self, symbol: str, price: str) -> None:
        """Send a tick."""
        tick = f'{{"symbol":"{symbol}","bid":1.0,"ask":9.0,"last":{price},"volume":1}}'
        self._send(f'{{"channel":"ticker","type":"update","data":[{tick}]}}')

    def hang_up(self) -> None:
        """Lose the connection, and let nobody in any more."""
        self._listener.shutdown(socket.SHUT_RDWR)
        assert self._socket is not None
        self._socket.shutdown(socket.SHUT_RDWR)

    def _speak(self, sock: socket.socket) -> None:
        key = re.search(rb"Sec-WebSocket-Key: *(\S+)", read_request(sock), re.IGNORECASE)
        assert key
        magic = key[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(magic, usedforsecurity=False).digest()).decode()
        upgrade = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}"
        sock.sendall(f"HTTP/1.1 101 Switching Protocols\r\n{upgrade}\r\n\r\n".encode())
        self._socket = sock
        with sock.makefile("rb") as stream:
            while message := read_frame(stream):
                if message.get("method") == "subscribe":
                    for symbol in message["params"]["symbol"]:
                        self._subscribed(symbol, message.get("req_id"))

    def _subscribed(self, symbol: str, req_id: object) -> None:
        self.symbols.append(symbol)
        fate = self.fates.get(symbol, "refuse")
        answer: dict[str, Any] = {"method": "subscribe", "req_id": req_id}
        if fate == "refuse":
            error = f"Currency pair not supported {symbol}"
            self._send(json.dumps({**answer, "success": False, "error": error, "symbol": symbol}))
            return
        result = {"channel": "ticker", "symbol": symbol, "snapshot": True}
        self._send(json.dumps({**answer, "success": True, "result": result}))
        if fate != "mute":
            self.say(symbol, fate)

    def _send(self, text: str) -> None:
        assert self._socket is not None
        data = text.encode()
        self._socket.sendall(b"\x81" + struct.pack("!BH", 126, len(data)) + data)


def read_frame(stream: Any) -> dict[str, Any]:
    """Return the message of one masked frame from a client; empty at the end."""
    head = stream.read(2)
    if len(head) < 2 or head[0] & 15 != 1:
        return {}
    length = head[1] & 127
    if length == 126:
        length = struct.unpack("!H", stream.read(2))[0]
    mask, data = stream.read(4), stream.read(length)
    message: dict[str, Any] = json.loads(bytes(b ^ mask[i % 4] for i, b in enumerate(data)))
    return message


@pytest.fixture
def streaming() -> Iterator[Callable[..., tuple[KrakenAPI, Stream]]]:
    """Hand out a function that makes a stream and a client of it, and end both afterwards."""
    made: list[tuple[KrakenAPI, Stream]] = []

    def make(ws_timeout: float = 5.0, **fates: str) -> tuple[KrakenAPI, Stream]:
        stream = Stream(**fates)
        api = KrakenAPI(ws_url=stream.ws_url, ws_timeout=ws_timeout, timeouts=QUICK)
        made.append((api, stream))
        return api, stream

    yield make
    for api, stream in made:
        provider = api.price_provider()
        assert provider is not None
        api.close()
        provider.stop()
        stream.__exit__()


Streaming = Callable[..., tuple[KrakenAPI, Stream]]


def wait_for_price(api: KrakenAPI, pair: str, price: float) -> None:
    """Wait until the stream has brought `price`, without asking REST."""
    provider = api.price_provider()
    assert provider is not None
    with closing(provider.open_feed()) as feed:
        for _ in range(100):
            if api.get_current_price(pair) == price:
                return
            feed.get(timeout=0.1)
    pytest.fail(f"{price} never came")


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


def test_other_pair_is_asked_for_alone(web: Web, streaming: Streaming) -> None:
    """A cold price of an unlisted name costs one small AssetPairs call, once."""
    api, _ = streaming(SOL_USD="150.5")
    web.on("AssetPairs", ok({"SOLUSD": LISTING["SOLUSD"]}))
    assert api.get_current_price("sol-usd") == 150.5
    assert api.get_current_price("sol-usd") == 150.5
    assert web.calls == [("AssetPairs", {"pair": "SOL/USD"})]


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


def test_clients_of_one_address_share_the_stream(web: Web, streaming: Streaming) -> None:
    """Two clients make one connection; what one closes, the other still has."""
    api, stream = streaming(BTC_USD="50000.5")
    other = KrakenAPI(ws_url=stream.ws_url, timeouts=QUICK)
    assert api.get_current_price("XBTUSD") == other.get_current_price("XBTUSD") == 50000.5
    assert other.price_provider() is api.price_provider()
    other.close()
    assert api.get_current_price("XBTUSD") == 50000.5
    assert stream.connections == 1
    assert not web.calls


def test_provider_starts_nothing_by_itself(streaming: Streaming) -> None:
    """Asking for the stream opens no connection; the first subscription does."""
    api, stream = streaming()
    assert api.price_provider() is not None
    assert not [t for t in threading.enumerate() if t.name.startswith("kraken-")]
    assert stream.connections == 0


def test_stream_may_be_switched_off(web: Web, streaming: Streaming) -> None:
    """Without the stream all prices come over REST."""
    api, stream = streaming(BTC_USD="50000.5")
    off = KrakenAPI(ws_url=stream.ws_url, use_websocket=False)
    web.on("Ticker", ok(ticker("7")))
    assert off.get_current_price("XBTUSD") == 7.0
    assert off.price_provider() is None
    assert api.price_provider() is not None


# --- other processes, other installations ---

WITHOUT_WEBSOCKET = """
import logging, sys
class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "websocket":
            raise ImportError("not installed")
sys.meta_path.insert(0, Nothing())
logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
import kraken_api, ws_price_provider
assert not kraken_api.WEBSOCKET_AVAILABLE
assert kraken_api.WebSocketPriceProvider is ws_price_provider.WebSocketPriceProvider
for api in (kraken_api.KrakenAPI(sys.argv[1], ws_url="ws://127.0.0.1:1"),) * 2:
    api = kraken_api.KrakenAPI(base_url=sys.argv[1], ws_url="ws://127.0.0.1:1")
    print(api.get_current_price("XBTUSD"))
"""


def test_everything_works_without_websocket_client() -> None:
    """With the library missing, prices come over REST, and one line says so."""

    def price(sock: socket.socket) -> None:
        while read_request(sock):
            sock.sendall(http(ok(ticker("7"))))

    with Loopback(price) as server:
        command = [sys.executable, "-c", WITHOUT_WEBSOCKET, server.url]
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
        )
    assert done.stdout.split() == ["7.0", "7.0"]
    assert done.stderr.splitlines() == [
        "INFO websocket-client is not installed: prices come over REST"
    ]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
def test_child_process_has_connections_of_its_own() -> None:
    """After a fork the child neither waits for the parent's locks nor uses its sockets."""
    with Loopback(forever_ok) as server:
        api = client_of(server.url)
        api.warm_up()
        with kraken_http.gate_of(str(api.api_key)).lock:  # as another thread might, at that moment
            child = fork_and_run(lambda: api.add_order("XBTUSD", "market", "sell", "1"))
        assert child == 0
        assert server.connections == 2
        api.close()


def fork_and_run(work: Callable[[], object]) -> int:
    """Run `work` in a forked child and return its exit code."""
    with warnings.catch_warnings():
        # Python 3.12 warns of what this test is about: a fork with threads around.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 1
    try:
        signal.alarm(20)  # a child that waits for a lock of its parent would wait for ever
        work()
        code = 0
    finally:
        os._exit(code)
    return code
