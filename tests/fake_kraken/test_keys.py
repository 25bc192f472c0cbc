"""Keys, signatures, nonces and permissions, as the exchange checks them."""

import base64
import dataclasses
import http.client
import json

import pytest
import requests
from exchange_kit import LONG, Client, sign

from fake_kraken import FakeKraken
from fake_kraken.keys import KeyRing, Signed
from fake_kraken.params import Refusal


def test_official_signature_is_taken(session: requests.Session) -> None:
    """The vector of Kraken's guide is valid here, which its old nonce shows: that comes after."""
    secret = (
        "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="
    )
    body = "nonce=1616492376594&ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25"
    headers = {
        "API-Key": "K",
        "API-Sign": "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ==",  # noqa: E501
        "Content-Type": "application/x-www-form-urlencoded",
    }
    with FakeKraken(key="K", secret=secret) as exchange:
        url = f"{exchange.rest_url}/0/private/AddOrder"
        first = session.post(url, data=body, headers=headers, timeout=LONG).json()
        again = session.post(url, data=body, headers=headers, timeout=LONG).json()
        other = session.post(url, data=body + " ", headers=headers, timeout=LONG).json()
    assert first["result"]["descr"] == {"order": "buy 1.25000000 XBTUSD @ limit 37500"}
    assert again == {"error": ["EAPI:Invalid nonce"]}
    assert other == {"error": ["EAPI:Invalid signature"]}


def test_keys_and_nonces_are_checked(client: Client) -> None:
    """A nonce counts for its key alone, must grow, and is used up by the call."""
    other = base64.b64encode(b"x").decode()
    assert client.post("Balance", key="?") == {"error": ["EAPI:Invalid key"]}
    assert client.post("Balance", secret=other) == {"error": ["EAPI:Invalid signature"]}
    client.exchange.add_key("second", other)
    assert client.post("Balance", nonce=500)["error"] == []
    assert client.post("Balance", nonce=400, key="second", secret=other)["error"] == []
    for nonce in (500, 499, "x", "٣", 2**64, "9" * 5000):
        assert client.post("Balance", nonce=nonce) == {"error": ["EAPI:Invalid nonce"]}
    assert client.post("Balance", nonce=2**64 - 1)["error"] == []


@pytest.mark.parametrize(
    ("permission", "allowed"),
    [
        ("query funds", {"Balance", "BalanceEx", "TradeBalance"}),
        ("query open", {"OpenOrders", "QueryOrders"}),
        ("query closed", {"ClosedOrders", "QueryOrders"}),
        ("modify", {"AddOrder", "CancelOrder"}),
        ("cancel", {"CancelOrder"}),
    ],
)
def test_key_may_do_what_it_may(client: Client, permission: str, allowed: set[str]) -> None:
    """Each call wants one of its permissions."""
    secret = base64.b64encode(b"y").decode()
    client.exchange.add_key("narrow", secret, {permission})
    endpoints = {"Balance", "BalanceEx", "TradeBalance", "OpenOrders", "QueryOrders"}
    taken = {
        endpoint
        for endpoint in endpoints | {"ClosedOrders", "AddOrder", "CancelOrder"}
        if "EGeneral:Permission denied"
        not in client.post(endpoint, key="narrow", secret=secret)["error"]
    }
    assert taken == allowed


def test_signature_of_any_bytes_is_refused(client: Client) -> None:
    """A header need not be ASCII."""
    connection = http.client.HTTPConnection("127.0.0.1", client.exchange.port, timeout=LONG)
    headers = {"API-Key": client.exchange.api_key, "API-Sign": "\xe4\xff"}
    connection.request("POST", "/0/private/Balance", "nonce=1", headers)
    assert json.load(connection.getresponse()) == {"error": ["EAPI:Invalid signature"]}
    connection.close()


def signed(secret: bytes, nonce: str, query: str = "") -> Signed:
    """Return a call that is signed as Kraken's guide has it."""
    body = f"nonce={nonce}"
    text = sign("/0/private/Balance", nonce, query + body, base64.b64encode(secret).decode())
    return Signed("K", text, "/0/private/Balance", query, body.encode())


def test_call_without_permission_uses_its_nonce_up() -> None:
    """It was signed well: the nonce is spent, and the key's alone."""
    ring = KeyRing()
    ring.add("K", base64.b64encode(b"s").decode(), {"cancel"})
    for nonce, error in (("7", "EGeneral:Permission denied"), ("7", "EAPI:Invalid nonce")):
        with pytest.raises(Refusal, match=error):
            ring.admit(signed(b"s", nonce), "Balance", nonce)
    assert ring.admit(signed(b"s", "8"), "CancelOrder", "8").nonce == 8


def test_query_is_signed_before_the_body() -> None:
    """A query that was added on the way breaks the signature."""
    ring = KeyRing()
    ring.add("K", base64.b64encode(b"s").decode())
    call = signed(b"s", "1", query="a=1")
    assert ring.admit(call, "Balance", "1").nonce == 1
    with pytest.raises(Refusal, match="EAPI:Invalid signature"):
        ring.admit(dataclasses.replace(call, query="a=2"), "Balance", "1")


def test_secret_is_not_shown() -> None:
    """Not even by a key in a traceback."""
    ring = KeyRing()
    ring.add("K", base64.b64encode(b"hush").decode())
    assert "hush" not in repr(ring.admit(signed(b"hush", "1"), "Balance", "1"))
