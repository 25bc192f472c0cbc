"""Keys, signatures, nonces and permissions, as the exchange checks them."""

import base64
import dataclasses
import http.client
import json

import pytest
import requests

from fake_kraken import FakeKraken
from fake_kraken.keys import KeyRing, Lockout, Signed
from fake_kraken.params import Refusal
from tests.kits.exchange.exchange_kit import LONG, STOP, Client, sign


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


def test_key_may_have_a_window_of_nonces(client: Client) -> None:
    """In it a lower nonce is taken, once; below it and without a window none is."""
    client.exchange.add_key("wide", client.exchange.api_secret, nonce_window=100)
    for nonce, error in ((500, []), (450, []), (450, ["EAPI:Invalid nonce"]), (401, []),
                         (400, ["EAPI:Invalid nonce"]), (500, ["EAPI:Invalid nonce"]),
                         (600, []), (500, ["EAPI:Invalid nonce"]), (501, [])):  # fmt: skip
        assert client.post("Balance", nonce=nonce, key="wide")["error"] == error


def test_key_can_be_revoked(client: Client) -> None:
    """It is unknown from then on; doing so twice is no error."""
    assert client.post("Balance")["error"] == []
    for _ in range(2):
        client.exchange.revoke_key(client.exchange.api_key)
        assert client.post("Balance") == {"error": ["EAPI:Invalid key"]}


def test_key_tells_what_it_may_do_and_needs_no_permission_for_it(client: Client) -> None:
    """In the shape of Kraken's page: texts for numbers, Kraken's names of the permissions."""
    exchange = client.exchange
    exchange.add_key("bare", exchange.api_secret, set(), nonce_window=50,
                     valid_until=4e9, addresses=["10.0.0.1"])  # fmt: skip
    told = client.post("GetApiKeyInfo", key="bare")["result"]
    assert (told["permissions"], told["nonceWindow"]) == ([], "50")
    assert (told["validUntil"], told["ipAllowlist"]) == ("4000000000", ["10.0.0.1"])
    assert client.post("Balance", key="bare") == {"error": ["EGeneral:Permission denied"]}


def test_key_may_withdraw_only_where_that_is_asked_for(client: Client) -> None:
    """The usual key has every other permission."""
    exchange = client.exchange
    usual = client.post("GetApiKeyInfo")["result"]
    assert usual["validUntil"] == "0"
    assert "modify-trades" in usual["permissions"]
    assert "withdraw-funds" not in usual["permissions"]
    exchange.add_key("rich", exchange.api_secret, {"withdraw"})
    rich = client.post("GetApiKeyInfo", key="rich")["result"]
    assert rich["permissions"] == ["withdraw-funds"]


def test_key_that_has_ended_is_none(client: Client) -> None:
    """By the exchange's own clock."""
    exchange = client.exchange
    exchange.add_key("short", exchange.api_secret, valid_until=exchange.now() + 60)
    assert client.post("Balance", key="short")["error"] == []
    exchange.clock_offset = 61
    assert client.post("Balance", key="short") == {"error": ["EAPI:Invalid key"]}


def test_keys_of_two_accounts_see_nothing_of_each_other(client: Client) -> None:
    """Funds and all books are those of the key's own account."""
    exchange = client.exchange
    exchange.add_account("theirs", {"XXBT": "2"})
    exchange.add_key("their key", exchange.api_secret, account="theirs")
    mine = client.place()
    (txid,) = client.post("AddOrder", STOP, key="their key")["result"]["txid"]
    assert client.post("Balance", key="their key")["result"] == {"XXBT": "2.0000000000"}
    assert list(client.post("OpenOrders", key="their key")["result"]["open"]) == [txid]
    assert list(client.post("OpenOrders")["result"]["open"]) == [mine]
    asked = {"txid": mine}
    assert client.post("QueryOrders", asked, key="their key") == {"error": ["EOrder:Invalid order"]}
    exchange.cancel_order(txid)
    assert client.post("ClosedOrders")["result"]["count"] == 0
    assert client.post("ClosedOrders", key="their key")["result"]["count"] == 1
    assert [order["txid"] for order in exchange.orders] == [mine, txid]
    assert [order["txid"] for order in exchange.orders_of("theirs")] == [txid]
    with pytest.raises(ValueError, match="no account 'nobody'"):
        exchange.add_key("k", exchange.api_secret, account="nobody")


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


@pytest.mark.parametrize(
    ("permissions", "errors"),
    [
        ({"modify", "cancel"}, []),
        ({"modify"}, ["EGeneral:Permission denied"]),
        ({"cancel"}, ["EGeneral:Permission denied"]),
    ],
)
def test_batch_needs_both_permissions(
    client: Client, permissions: set[str], errors: list[str]
) -> None:
    """A key that may place orders and not cancel them places them one by one."""
    secret = base64.b64encode(b"y").decode()
    client.exchange.add_key("narrow", secret, permissions)
    stop = {name: text for name, text in STOP.items() if name != "pair"}
    params = {"pair": "XBTUSD", "orders": [stop, stop]}
    answer = client.post("AddOrderBatch", params, key="narrow", secret=secret, as_json=True)
    assert answer["error"] == errors
    assert client.exchange.placed_count() == (0 if errors else 2)


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


def locked_after(wrong: int, *errors: str) -> Lockout:
    """Return a lockout that has seen `wrong` calls end with `errors`, the last at 1000 s."""
    lockout = Lockout()
    for _ in range(wrong):
        lockout.check(1000.0, 3, 900.0)
        lockout.count(Refusal(*errors))
    return lockout


def test_only_wrong_keys_close_the_door() -> None:
    """Other refusals do not, nor do too few."""
    locked_after(2, "EAPI:Invalid key").check(1001.0, 3, 900.0)
    locked_after(9, "EAPI:Invalid nonce").check(1001.0, 3, 900.0)
    for error in ("EAPI:Invalid key", "EAPI:Invalid signature"):
        with pytest.raises(Refusal, match="EGeneral:Temporary lockout"):
            locked_after(3, error).check(1001.0, 3, 900.0)


def test_each_call_prolongs_it_and_a_pause_ends_it() -> None:
    """Whoever goes on calling stays outside; after the pause the count begins anew."""
    lockout = locked_after(3, "EAPI:Invalid key")
    for at in (1899.0, 2798.0, 3697.0):
        with pytest.raises(Refusal):
            lockout.check(at, 3, 900.0)
    lockout.check(4597.0, 3, 900.0)
    lockout.count(Refusal("EAPI:Invalid key"))
    lockout.check(4598.0, 3, 900.0)


def test_token_is_held_by_all_who_use_it() -> None:
    """It grows old only once the last of them has let go, or where all of them are ended."""
    ring = KeyRing()
    ring.add("k", "eHh4", owner="me")
    token = str(ring.issue_token("k", 0.0)["token"])
    for _ in range(2):
        assert ring.open_session(token, "executions", 10.0) == "me"
    ring.close_session(token)
    assert ring.open_session(token, "executions", 5000.0) == "me"
    for _ in range(2):
        ring.close_session(token)
    with pytest.raises(Refusal, match="ESession:Invalid session"):
        ring.open_session(token, "executions", 5000.0)
    fresh = str(ring.issue_token("k", 5000.0)["token"])
    ring.open_session(fresh, "executions", 5001.0)
    ring.expire_tokens()
    ring.close_session(fresh)  # by whoever held it until then
    with pytest.raises(Refusal, match="ESession:Invalid session"):
        ring.open_session(fresh, "executions", 5002.0)
    ring.close_session("unknown")
