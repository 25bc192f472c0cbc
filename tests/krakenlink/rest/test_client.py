"""Kraken's calls by name: what reaches Kraken, and what is refused before."""

from decimal import Decimal
from typing import Any

import pytest
import requests

from kraken_api import KrakenAPI
from krakenlink.errors import (
    KrakenAPIError,
    KrakenError,
    ProtocolError,
)
from krakenlink.rest.answers import outcome_of
from krakenlink.rest.verdicts import OutcomeKind
from tests.kits.rest import rest_kit
from tests.kits.rest.rest_kit import (
    LISTING,
    SECRET,
    XSTOCKS,
    Reply,
    Web,
    ok,
    refusal,
)

web, rest = rest_kit.web, rest_kit.rest  # fixtures

# --- market data ---


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


@pytest.mark.parametrize("unixtime", [None, "5", True, 5, -1, 1.3e9, 1e12, 10**50])
def test_damaged_time_is_a_protocol_error(web: Web, rest: KrakenAPI, unixtime: object) -> None:
    """The clock that deadlines rest on is a number or nothing."""
    web.on("Time", ok({"unixtime": unixtime}))
    with pytest.raises(ProtocolError):
        rest.warm_up()


def test_connection_that_is_to_be_opened_within_some_seconds_is_tried_once(
    web: Web, rest: KrakenAPI
) -> None:
    """Whoever only wants to know whether Kraken answers asks again by itself."""
    web.on("Time", requests.ConnectionError("reset"), ok({"unixtime": 1_700_000_005}))
    with pytest.raises(KrakenError):
        rest.warm_up(3.0)
    rest.warm_up(3.0)
    assert len(web.calls) == 2
    web.on("Time", ok({"unixtime": "never"}))
    with pytest.raises(ProtocolError):
        rest.warm_up(3.0)


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


def test_prepared_order_is_the_one_that_would_have_been_placed(web: Web, rest: KrakenAPI) -> None:
    """Its pair and volume are as Kraken takes them; it may be placed again under another id."""
    web.on("AssetPairs", ok(LISTING))
    web.on("AddOrder", ok({"txid": ["OABC"]}))
    rest.pair_directory()
    stop: dict[str, Any] = {"price": "+5.0%", "trigger": "index", "oflags": None}
    order = rest.prepare_order("sol/usd", "trailing-stop", "sell", "1.99999", **stop)
    assert not web.asked("AddOrder")  # nothing has left
    assert rest.add_prepared_order(order, cl_ord_id="a", deadline="soon") == {"txid": ["OABC"]}
    rest.add_prepared_order(order, cl_ord_id="b", deadline="later")
    rest.add_order("sol/usd", "trailing-stop", "sell", "1.99999", **stop, cl_ord_id="c")
    first, second, usual = ({**sent, "nonce": ""} for sent in web.asked("AddOrder"))
    assert first == {**usual, "cl_ord_id": "a", "deadline": "soon"}
    assert second == {**usual, "cl_ord_id": "b", "deadline": "later"}


def test_prepared_order_is_refused_where_it_is_prepared(web: Web, rest: KrakenAPI) -> None:
    """A bad argument is named then; later only what is said twice, and nothing is sent."""
    with pytest.raises(ValueError, match="direction must be"):
        rest.prepare_order("XBTUSD", "market", "hold", "1")
    with pytest.raises(ValueError, match="cl_ord_id cannot be a"):
        rest.prepare_order("XBTUSD", "market", "sell", "1", cl_ord_id=object())
    order = rest.prepare_order("XBTUSD", "market", "sell", "1")
    with pytest.raises(ValueError, match="said already: volume") as caught:
        rest.add_prepared_order(order, volume="2")
    assert outcome_of(caught.value).kind is OutcomeKind.REFUSED
    assert not web.calls


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


# --- several orders in one request ---

STOPS: list[dict[str, object]] = [
    {"ordertype": "trailing-stop", "type": "sell", "volume": 1.23456, "price": "+1.5%",
     "cl_ord_id": "a"},
    {"ordertype": "trailing-stop", "type": "BUY", "volume": "2", "price": "+2.5%"},
]  # fmt: skip


def test_batch_is_one_request_by_krakens_names(web: Web, rest: KrakenAPI) -> None:
    """Volumes are cut as those of single orders, and what counts for all stands beside them."""
    rows = [{"descr": {}, "txid": "OAAA"}, {"error": "EOrder:Insufficient funds"}]
    web.on("AssetPairs", ok(LISTING))
    web.on("AddOrderBatch", ok({"orders": rows}))
    rest.resolve_pair("SOL/USD")
    result = rest.add_order_batch("sol/usd", STOPS, deadline="soon", validate=False)
    assert result == {"orders": rows}
    [sent] = web.asked("AddOrderBatch")
    assert sent.pop("nonce")
    stop = {"ordertype": "trailing-stop", "type": "sell", "volume": "1.2345", "price": "+1.5%"}
    assert sent == {
        "pair": "SOLUSD",
        "deadline": "soon",
        "orders": [
            {**stop, "cl_ord_id": "a"},
            {**stop, "type": "buy", "volume": "2", "price": "+2.5%"},
        ],
    }


def test_batch_on_a_tokenized_pair_says_its_class(web: Web, rest: KrakenAPI) -> None:
    """Also with an empty listing, as in a client that only trades."""
    web.on("AddOrderBatch", ok({"orders": []}))
    rest.add_order_batch("AAPLx/USD", STOPS)
    assert web.asked("AddOrderBatch")[0]["asset_class"] == "tokenized_asset"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"volume": "0.00001"}, "volume"),
        ({"volume": None}, "volume"),
        ({"type": "hold"}, "direction"),
        ({"ordertype": ""}, "order_type"),
        ({"cl_ord_id": "a"}, "cl_ord_id"),
    ],
)
def test_batch_with_one_bad_order_is_not_sent(
    web: Web, rest: KrakenAPI, change: dict[str, object], named: str
) -> None:
    """What is wrong with it is said before anything leaves."""
    web.on("AssetPairs", ok(LISTING))
    rest.resolve_pair("SOL/USD")
    with pytest.raises(ValueError, match=named):
        rest.add_order_batch("SOL/USD", [STOPS[0], {**STOPS[1], **change}])
    assert not web.asked("AddOrderBatch")


@pytest.mark.parametrize(
    "failure", [refusal("EAPI:Invalid nonce"), (502, "<html>"), requests.ReadTimeout("slow")]
)
def test_batch_is_sent_once_whatever_happens(web: Web, rest: KrakenAPI, failure: Reply) -> None:
    """As a single order."""
    web.on("AddOrderBatch", failure)
    with pytest.raises(KrakenError):
        rest.add_order_batch("XBTUSD", STOPS)
    assert len(web.calls) == 1


# --- xStocks ---


def test_every_call_about_a_tokenized_pair_carries_its_class(web: Web, rest: KrakenAPI) -> None:
    """Also with an empty listing, as in a client that only trades."""
    result = {**rest_kit.ticker("7", key="AAPLxUSD"), "last": "1", "txid": ["OABC"]}
    for method in ("Ticker", "Trades", "OHLC", "AddOrder", "EditOrder"):
        web.on(method, ok(result))
    web.on("AssetPairs", ok(XSTOCKS))
    rest.get_ticker("AAPLx/USD")
    rest.get_trades("AAPLx/USD")
    rest.get_ohlc("AAPLxUSD")
    rest.add_trailing_stop_loss("AAPLx/USD", "sell", "1", "5")
    rest.add_order("AAPLxUSD", "market", "buy", "1")
    rest.edit_order("OABC", pair="AAPLx/USD")
    assert {p.get("asset_class") for _, p in web.calls} == {"tokenized_asset"}
    rest.pair_status("AAPLx/USD")
    rest.listing.single("AAPLx/USD", 1.0)
    assert {p.get("aclass_base") for p in web.asked("AssetPairs")} == {"tokenized_asset"}


def test_ticker_of_both_kinds_is_asked_for_in_two_calls(web: Web, rest: KrakenAPI) -> None:
    """One call has one class; the rows come back together."""
    web.on("Ticker", ok(rest_kit.ticker("7", key="SOLUSD")), ok(rest_kit.ticker(key="AAPLxUSD")))
    assert set(rest.get_ticker("SOLUSD, AAPLxUSD")) == {"SOLUSD", "AAPLxUSD"}
    assert web.asked("Ticker") == [
        {"pair": "SOLUSD"},
        {"pair": "AAPLxUSD", "asset_class": "tokenized_asset"},
    ]


# --- a status that cannot be read ---


@pytest.mark.parametrize(
    "result",
    [
        [],
        {},
        None,
        {"A": None},
        {"A": []},
        {"A": {"status": None}},
        {"A": {"status": ""}},
        {"A": {"status": "on\x1bline"}},
        {"A": {"status": 1}},
        {"A": {}, "B": {}},
    ],
)
def test_status_that_cannot_be_read_is_not_online(
    web: Web, rest: KrakenAPI, result: object
) -> None:
    """Whoever asks whether a pair may be traded now is not told yes by an odd answer."""
    web.on("AssetPairs", ok(result))
    with pytest.raises(ProtocolError):
        rest.pair_status("SOLUSD")


def test_status_that_is_left_out_is_online(web: Web, rest: KrakenAPI) -> None:
    """Kraken leaves it out for one pair in eight."""
    web.on("AssetPairs", ok(LISTING | {}), ok({"SOLUSD": LISTING["SOLUSD"]}))
    rest.pair_directory()
    assert rest.pair_status("SOLUSD") == "online"


# --- callers' own classes ---


def test_own_class_sees_every_order_of_its_client(web: Web) -> None:
    """A trailing stop goes through `add_order`, which callers override to count or to refuse."""
    seen: list[tuple[object, ...]] = []

    class Counting(KrakenAPI):
        def add_order(
            self, pair: str, order_type: str, direction: str, volume: object, **kwargs: Any
        ) -> dict[str, Any]:
            seen.append((pair, order_type, direction, volume, kwargs["price"]))
            return super().add_order(pair, order_type, direction, volume, **kwargs)

    web.on("AddOrder", ok({"txid": ["OABC"]}))
    api = Counting("key", SECRET, use_websocket=False)
    assert api.add_trailing_stop_loss("XBTUSD", "sell", "1", "5")["txid"] == ["OABC"]
    assert seen == [("XBTUSD", "trailing-stop", "sell", "1", "+5.0%")]


OLD_TEXTS: list[tuple[tuple[Any, ...], str]] = [
    (("", "sell", 1, 5), "pair parameter is required"),
    ((None, "sell", 1, 5), "pair parameter is required"),
    ((5, "sell", 1, 5), "pair must be a string"),
    (("XBTUSD", "hold", 1, 5), "direction must be 'buy' or 'sell'"),
    (("XBTUSD", "sell", 0, 5), "volume must be positive"),
    (("XBTUSD", "sell", -1, 5), "volume must be positive"),
    (("XBTUSD", "sell", 1, 0), "trailing_offset_percent must be positive"),
    (("XBTUSD", "sell", 1, "x"), "trailing_offset_percent must be positive"),
]


@pytest.mark.parametrize(("arguments", "text"), OLD_TEXTS)
def test_texts_of_earlier_versions_are_still_in_the_errors(
    web: Web, rest: KrakenAPI, arguments: tuple[Any, ...], text: str
) -> None:
    """Callers look for them."""
    with pytest.raises(ValueError, match=text):
        rest.add_trailing_stop_loss(*arguments)
    assert not web.calls


@pytest.mark.parametrize("status", [404, 500])
def test_status_is_named_in_the_error(web: Web, rest: KrakenAPI, status: int) -> None:
    """With or without an error of Kraken's beside it."""
    for body in ("<html>", refusal("EGeneral:Unknown method")):
        web.on("Ticker", (status, body))
        with pytest.raises(KrakenError, match=f"HTTP {status}"):
            rest.get_ticker("XBTUSD")
