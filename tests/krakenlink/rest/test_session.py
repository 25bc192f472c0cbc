"""Calls by method name: what is signed, what is sent once, and that no key is ever shown."""

import copy
import gc
import logging
import pickle
import weakref

import pytest
import requests

import kraken_api
from kraken_api import KrakenAPI
from krakenlink.errors import (
    AuthenticationError,
    KrakenError,
    KrakenTimeout,
    ProtocolError,
    RateLimitError,
)
from krakenlink.machine import feed_clock
from krakenlink.rest import session
from krakenlink.rest.gate import gate_of
from krakenlink.rest.request import sign
from krakenlink.sockets import done_within
from tests.kits.rest import rest_kit
from tests.kits.rest.rest_kit import (
    REST,
    SECRET,
    Loopback,
    Web,
    client_of,
    forever_ok,
    ok,
    refusal,
    ticker,
)
from tests.kits.rest.turn_kit import turn

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


def test_gate_knows_whether_the_last_answer_was_that_it_is_asked_too_often(
    web: Web, rest: KrakenAPI
) -> None:
    """A call that had no answer says nothing about that."""
    began = feed_clock()
    web.on("Balance", ok({}), (429, ""), requests.ReadTimeout("slow"), ok({}))
    rest.get_balance()
    assert rest.gate.too_many_at is None
    with pytest.raises(RateLimitError):
        rest.get_balance()
    at = rest.gate.too_many_at
    assert at is not None
    assert began <= at <= feed_clock()
    with pytest.raises(KrakenTimeout):
        rest.get_balance()
    assert rest.gate.too_many_at == at
    rest.get_balance()
    assert rest.gate.too_many_at is None


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


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY"])
@pytest.mark.parametrize(
    "proxy", ["http://host:99999", "http://:3128", "http://ho st:1", "ftp://host:21", "host:port"]
)
def test_proxy_that_is_none_is_refused_by_the_constructor(
    monkeypatch: pytest.MonkeyPatch, variable: str, proxy: str
) -> None:
    """By the variable that names it, and not by a call an hour later."""
    monkeypatch.setenv(variable, proxy)
    with pytest.raises(ValueError, match=f"{variable} names the proxy .* is no address"):
        KrakenAPI()
    monkeypatch.setenv("NO_PROXY", "api.kraken.com")
    KrakenAPI()


@pytest.mark.parametrize(
    "proxy", ["http://host:3128", "host:3128", "socks5h://me:secret@[::1]:1080"]
)
def test_proxy_is_taken(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    """With and without its scheme, as curl takes it."""
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    KrakenAPI()


def test_name_and_password_in_the_address_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by the client nor by its attribute."""
    monkeypatch.setenv("KRAKEN_SPOT_URL", "https://me:hunter2@exchange.invalid/")
    api = KrakenAPI(use_websocket=False)
    assert "hunter2" not in f"{api!r}{api.base_url}"
    monkeypatch.setenv("KRAKEN_SPOT_URL", "http://me:hunter2@exchange.invalid:port")
    with pytest.raises(ValueError, match="KRAKEN_SPOT_URL") as caught:
        KrakenAPI()
    assert "hunter2" not in str(caught.value)


def test_client_travels_by_what_it_was_made_of(web: Web) -> None:
    """Into another process go its arguments, and nothing that is open; nothing secret is shown."""
    web.on("Balance", ok({"ZUSD": "1"}))
    api = KrakenAPI("key", SECRET, use_websocket=False, ws_timeout=0.5, timeouts=rest_kit.QUICK)
    assert api.get_balance() == {"ZUSD": "1"}
    for there in (pickle.loads(pickle.dumps(api)), copy.deepcopy(api)):
        assert there.get_balance() == {"ZUSD": "1"}
        assert (there.api_key, there.ws_timeout, there.use_websocket) == ("key", 0.5, False)
        assert there._transport is not api._transport
        assert SECRET not in repr(there)


def test_connections_that_are_dropped_are_used_by_no_later_call() -> None:
    """Whoever knows that the network has changed says so, and no call waits in vain."""
    with Loopback(forever_ok) as server, client_of(server.url) as api:
        api.warm_up()
        api.warm_up()
        assert server.connections == 1
        api.drop_idle_connections()
        api.warm_up()
        assert server.connections == 2


def test_client_gives_its_sockets_back_at_once() -> None:
    """When its block ends, and when nobody holds it any more, without the collector."""
    with Loopback(forever_ok) as server:
        with client_of(server.url) as api:
            api.warm_up()
            assert server.is_open(0)
        server.wait_closed(0)
        api.close()  # a second time
        gc.disable()
        try:
            other = client_of(server.url, use_websocket=False)
            other.warm_up()
            with pytest.raises(KrakenError):
                other.get_current_price("XBTUSD")
            gone = weakref.ref(other)
            del other
            assert gone() is None
            server.wait_closed(1)
        finally:
            gc.enable()


@pytest.mark.parametrize(
    ("key", "secret", "cause"),
    [
        ("'key'", SECRET, "quotes"),
        ("key", f'"{SECRET}"', "quotes"),
        (SECRET, "a" * 56, "swapped"),
        ("key", SECRET[:-5], "whole"),
        ("ke\ny", SECRET, "characters"),
    ],
)
def test_key_that_cannot_be_one_is_told_before_any_call(
    web: Web, key: str, secret: str, cause: str
) -> None:
    """Every wrong call brings the account nearer to a lockout."""
    with pytest.raises(ValueError, match=cause) as caught:
        KrakenAPI(key, secret).get_balance()
    assert not web.calls
    assert SECRET[:20] not in str(caught.value)


def test_order_waits_for_no_look(web: Web, rest: KrakenAPI) -> None:
    """However slow the answer to a look is, an order of the same key goes at once."""
    web.on("AddOrder", ok({"txid": ["OABC"]}))
    with turn(gate_of("key"), 1, is_look=True):
        assert rest.add_order("XBTUSD", "market", "sell", "1") == {"txid": ["OABC"]}


def test_timeout_of_a_callers_own_behind_an_order_is_not_taken_for_no_turn(
    web: Web, rest: KrakenAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An alarm of theirs may ring once the order has left: then it was not "not sent"."""
    web.on("AddOrder", rest_kit.ok({"txid": ["OABC"]}))

    def ring(headers: object) -> float:
        raise TimeoutError("the alarm of a caller")

    monkeypatch.setattr("krakenlink.rest.transport.retry_after", ring)
    with pytest.raises(TimeoutError, match="alarm of a caller"):
        rest.add_order("XBTUSD", "market", "sell", "1")
    assert len(web.asked("AddOrder")) == 1


def test_order_that_waited_too_long_was_not_sent(
    web: Web, rest: KrakenAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it was decided on is old by then; whoever decides is told in time."""
    monkeypatch.setattr(session, "_DEADLINE_PATIENCE", 0.01)
    with turn(gate_of("key"), 1, is_look=False), pytest.raises(KrakenTimeout) as caught:
        rest.add_order("XBTUSD", "market", "sell", "1", deadline="2026-11-25T08:00:05Z")
    assert not caught.value.request_sent
    assert not web.calls


def test_call_with_a_nonce_of_its_own_does_not_wait_for_ever(web: Web, rest: KrakenAPI) -> None:
    """A turn that did not come is told as by any other call: nothing was sent."""
    with (
        turn(gate_of("key"), 1, is_look=False),
        done_within(0.01),
        pytest.raises(KrakenTimeout, match="AddOrder: other calls of this key") as caught,
    ):
        rest._ask_with_nonce("AddOrder", {}, 1)
    assert not caught.value.request_sent
    assert not web.calls
