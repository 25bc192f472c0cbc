"""Calls by method name: what is signed, what is sent once, and that no key is ever shown."""

import logging

import pytest
import requests
import rest_kit
from rest_kit import (
    REST,
    SECRET,
    Web,
    ok,
    refusal,
    ticker,
)

import kraken_api
from kraken_api import KrakenAPI
from krakenlink.errors import (
    AuthenticationError,
    KrakenError,
    ProtocolError,
)
from krakenlink.rest.request import sign

web, rest = rest_kit.web, rest_kit.rest  # fixtures

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
