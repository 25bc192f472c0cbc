"""The calls that look at an account: what reaches Kraken, and what is taken for an answer."""

import pytest

from kraken_api import KrakenAPI
from krakenlink.errors import AuthenticationError, ProtocolError
from tests.kits.rest import rest_kit
from tests.kits.rest.rest_kit import Web, ok, refusal

web, rest = rest_kit.web, rest_kit.rest  # fixtures


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


def test_key_info_is_asked_for_as_what_changes_nothing(web: Web, rest: KrakenAPI) -> None:
    """A refused nonce is tried again, once, and the answer comes back as it is."""
    web.on("GetApiKeyInfo", refusal("EAPI:Invalid nonce"), ok({"permissions": ["query-funds"]}))
    assert rest.get_api_key_info() == {"permissions": ["query-funds"]}
    assert len(web.asked("GetApiKeyInfo")) == 2


def test_token_of_the_account_s_stream_is_text_or_nothing(web: Web, rest: KrakenAPI) -> None:
    """What could not be one goes into no message; the key's own refusal comes as it is."""
    web.on("GetWebSocketsToken", refusal("EAPI:Invalid nonce"), ok({"token": "t/+=", "expires": 9}))
    assert rest.get_websockets_token() == "t/+="
    for odd in ({}, {"token": ""}, {"token": 7}, {"token": "a b"}, {"token": "x" * 5000}):
        web.on("GetWebSocketsToken", ok(odd))
        with pytest.raises(ProtocolError, match="holds no token"):
            rest.get_websockets_token()
    web.on("GetWebSocketsToken", refusal("EGeneral:Permission denied"))
    with pytest.raises(AuthenticationError):
        rest.get_websockets_token()
