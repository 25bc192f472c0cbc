"""The ring of keys without a wire: what each permission opens, nonces, tokens, the lockout."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_kraken.keys import PERMISSIONS, USUAL, Key, KeyRing, Lockout, Signed
from fake_kraken.params import Refusal

SECRET = base64.b64encode(b"a secret of these tests").decode()
LARGEST = 2**64 - 1
AT = 1_700_000_000.0

# As Kraken's page of keys has them: which permissions open a call, any one of them.
OPENED_BY = {
    "Balance": {"query funds"},
    "BalanceEx": {"query funds"},
    "TradeBalance": {"query funds"},
    "OpenOrders": {"query open"},
    "QueryOrders": {"query open", "query closed"},
    "ClosedOrders": {"query closed"},
    "AddOrder": {"modify"},
    "CancelOrder": {"modify", "cancel"},
    "GetWebSocketsToken": {"websocket"},
}


def ring_of(*permissions: str, **more: Any) -> KeyRing:
    """Return a ring with the one key `K`."""
    ring = KeyRing()
    ring.add("K", SECRET, permissions, **more)
    return ring


def signed(
    nonce: str, *, secret: str = SECRET, key: str = "K", endpoint: str = "Balance"
) -> Signed:
    """Return a call as Kraken's guide has it signed."""
    path, body = f"/0/private/{endpoint}", f"nonce={nonce}".encode()
    inner = path.encode() + hashlib.sha256(nonce.encode() + body).digest()
    digest = hmac.new(base64.b64decode(secret), inner, hashlib.sha512).digest()
    return Signed(key, base64.b64encode(digest).decode(), path, "", body)


def admitted(ring: KeyRing, nonce: str, endpoint: str = "Balance", at: float = AT) -> str:
    """Return what a call with a right signature is told: nothing where it is admitted."""
    try:
        ring.admit(signed(nonce, endpoint=endpoint), endpoint, nonce, at)
    except Refusal as refusal:
        (error,) = refusal.errors
        return error
    return ""


@pytest.mark.parametrize("endpoint", OPENED_BY)
@pytest.mark.parametrize("permission", sorted(PERMISSIONS))
def test_each_permission_opens_its_calls_and_no_other(endpoint: str, permission: str) -> None:
    """A key that has this one permission alone."""
    expected = "" if permission in OPENED_BY[endpoint] else "EGeneral:Permission denied"
    assert admitted(ring_of(permission), "1", endpoint) == expected


@pytest.mark.parametrize("permissions", [(), *((one,) for one in sorted(PERMISSIONS))])
def test_any_key_may_ask_about_itself(permissions: tuple[str, ...]) -> None:
    """GetApiKeyInfo needs no permission, and none stands in its way."""
    assert admitted(ring_of(*permissions), "1", "GetApiKeyInfo") == ""


@pytest.mark.parametrize("missing", ["modify", "cancel"])
def test_batch_lacks_either_permission(missing: str) -> None:
    """Every other permission together does not make up for it."""
    assert admitted(ring_of(*PERMISSIONS), "1", "AddOrderBatch") == ""
    kept = PERMISSIONS - {missing}
    assert admitted(ring_of(*kept), "1", "AddOrderBatch") == "EGeneral:Permission denied"


@pytest.mark.parametrize(
    ("permission", "name"),
    [
        ("query funds", "query-funds"),
        ("query open", "query-open-trades"),
        ("query closed", "query-closed-trades"),
        ("modify", "modify-trades"),
        ("cancel", "close-trades"),
        ("websocket", "create-ws-token"),
        ("withdraw", "withdraw-funds"),
    ],
)
def test_key_tells_its_permission_by_krakens_name(permission: str, name: str) -> None:
    """A doctor reads these to say what a key lacks."""
    assert ring_of(permission).info("K")["permissions"] == [name]


def test_key_tells_all_that_is_known_of_it() -> None:
    """Numbers are texts; permissions are sorted; "0" is for never."""
    ring = ring_of("modify", "cancel", nonce_window=7, addresses=["10.0.0.1", "10.0.0.2"])
    assert admitted(ring, "41", "AddOrder") == ""
    assert ring.info("K") == {
        "apiKeyName": "embedded",
        "apiKey": "K",
        "nonce": "41",
        "nonceWindow": "7",
        "permissions": ["close-trades", "modify-trades"],
        "iban": "",
        "validUntil": "0",
        "queryFrom": "0",
        "queryTo": "0",
        "createdTime": "0",
        "modifiedTime": "0",
        "ipAllowlist": ["10.0.0.1", "10.0.0.2"],
        "lastUsed": "0",
    }


def test_usual_key_may_do_all_but_withdraw() -> None:
    """Money that leaves has to be asked for."""
    ring = KeyRing()
    ring.add("K", SECRET)
    assert PERMISSIONS - {"withdraw"} == USUAL
    assert "withdraw-funds" not in str(ring.info("K")["permissions"])
    assert all(admitted(ring, str(n), name) == "" for n, name in enumerate(OPENED_BY, 1))


@pytest.mark.parametrize("secret", ["not base64!", "YQ", "a b="])
def test_secret_that_is_not_base64_is_refused(secret: str) -> None:
    """At once, in words, and the key is not taken up."""
    ring = KeyRing()
    with pytest.raises(ValueError, match="the secret is not base64; Kraken's always are"):
        ring.add("K", secret)
    assert admitted(ring, "1") == "EAPI:Invalid key"


def test_permission_that_is_none_is_refused_with_those_that_are() -> None:
    """All of them, in order."""
    with pytest.raises(ValueError, match="the permissions are cancel, modify, query closed"):
        ring_of("trade")


# --- the order of the checks ---------------------------------------------------------------------


def test_checks_come_in_krakens_order() -> None:
    """Key, signature, nonce, permission: the first that fails is told, and only that."""
    ring = ring_of("query funds")
    wrong = base64.b64encode(b"another").decode()

    def told(call: Signed, endpoint: str, nonce: str) -> list[str]:
        with pytest.raises(Refusal) as caught:
            ring.admit(call, endpoint, nonce, AT)
        return caught.value.errors

    stranger = signed("x", key="X", secret=wrong, endpoint="AddOrder")
    assert told(stranger, "AddOrder", "x") == ["EAPI:Invalid key"]
    forged = signed("x", secret=wrong, endpoint="AddOrder")
    assert told(forged, "AddOrder", "x") == ["EAPI:Invalid signature"]
    odd = signed("x", endpoint="AddOrder")
    assert told(odd, "AddOrder", "x") == ["EAPI:Invalid nonce"]
    assert told(signed("5", endpoint="AddOrder"), "AddOrder", "5") == ["EGeneral:Permission denied"]
    assert told(signed("5"), "Balance", "5") == ["EAPI:Invalid nonce"], "it was used up"


def test_forged_call_uses_no_nonce_up() -> None:
    """Nobody without the secret can shut a key out by a high nonce."""
    ring = ring_of("query funds")
    forged = signed("999", secret=base64.b64encode(b"another").decode())
    with pytest.raises(Refusal, match="Invalid signature"):
        ring.admit(forged, "Balance", "999", AT)
    assert ring.info("K")["nonce"] == "0"
    assert admitted(ring, "1") == ""


@pytest.mark.parametrize(("at", "error"), [(AT - 0.1, ""), (AT, "EAPI:Invalid key"),
                                           (AT + 1, "EAPI:Invalid key")])  # fmt: skip
def test_key_ends_at_its_moment(at: float, error: str) -> None:
    """Up to it, it is as good as any."""
    assert admitted(ring_of("query funds", valid_until=AT), "1", at=at) == error


# --- nonces --------------------------------------------------------------------------------------


@pytest.mark.parametrize("nonce", ["0", "-1", "", "1.5", "1e3", "x", " 1", str(LARGEST + 1)])
def test_nonce_that_is_none_is_refused(nonce: str) -> None:
    """It is a whole number above the last, of at most 64 bits."""
    assert admitted(ring_of("query funds"), nonce) == "EAPI:Invalid nonce"


def test_largest_nonce_is_the_last_of_a_key() -> None:
    """After it no call is ever taken: a scale of nonces cannot go down."""
    ring = ring_of("query funds")
    assert admitted(ring, str(LARGEST)) == ""
    for nonce in (LARGEST, LARGEST - 1, 1):
        assert admitted(ring, str(nonce)) == "EAPI:Invalid nonce"


@given(st.lists(st.integers(0, 40), max_size=40), st.integers(0, 12))
def test_key_takes_each_nonce_once_within_its_window(nonces: list[int], window: int) -> None:
    """The model keeps every nonce that was ever taken, and lets nothing go."""
    key, taken = Key(b"", frozenset(), window=window), set[int]()
    for nonce in nonces:
        highest = max(taken, default=0)
        expected = nonce not in taken and nonce > highest - window
        assert key.takes(nonce) == expected
        if expected:
            taken.add(nonce)
        assert key.nonce == max(taken, default=0)
        assert len(key.used) <= max(window, 1), "what lies below the window is forgotten"


# --- tokens of the account's stream --------------------------------------------------------------


def told_of(ring: KeyRing, token: object, at: float, channel: str = "executions") -> str:
    """Return what somebody who comes with a token is told: the owner, or the error."""
    try:
        return ring.open_session(token, channel, at)
    except Refusal as refusal:
        (error,) = refusal.errors
        return error


def test_token_is_good_for_fifteen_minutes() -> None:
    """To use it first; the answer says so in seconds."""
    ring = ring_of("query open", owner="mine")
    answer = ring.issue_token("K", AT)
    assert answer["expires"] == 900
    assert told_of(ring, answer["token"], AT + 900) == "ESession:Invalid session"
    assert told_of(ring, answer["token"], AT + 899.9) == "mine"
    assert told_of(ring, answer["token"], AT + 9000) == "mine", "somebody uses it"


def test_token_ends_once_nobody_uses_it() -> None:
    """Of two users the second still holds it; letting go too often does no harm."""
    ring = ring_of("query open")
    token = str(ring.issue_token("K", AT)["token"])
    assert [told_of(ring, token, AT) for _ in range(2)] == ["", ""]
    ring.close_session(token)
    assert told_of(ring, token, AT + 1000) == ""
    for _ in range(5):
        ring.close_session(token)
    assert told_of(ring, token, AT + 1000) == "ESession:Invalid session"
    assert told_of(ring, token, AT + 1) == "", "its time is not over yet"
    ring.close_session("nobody's")


@pytest.mark.parametrize("token", ["", "x", None, 7, ["x"], {"a": 1}])
def test_token_that_kraken_never_gave_is_invalid(token: object) -> None:
    """Of whatever type it is."""
    ring = ring_of("query open")
    ring.issue_token("K", AT)
    assert told_of(ring, token, AT) == "EAPI:Invalid token"


def test_tokens_never_repeat() -> None:
    """Neither for the same key in the same moment, nor for another."""
    ring = ring_of("query open")
    ring.add("L", SECRET)
    tokens = [ring.issue_token(key, AT)["token"] for key in ("K", "K", "L", "L")]
    assert len(set(tokens)) == 4


def test_token_dies_with_its_key_and_with_all_others() -> None:
    """A key that is revoked, or an exchange that has forgotten its sessions."""
    ring = ring_of("query open")
    token = str(ring.issue_token("K", AT)["token"])
    assert told_of(ring, token, AT) == ""
    ring.expire_tokens()
    assert told_of(ring, token, AT) == "ESession:Invalid session"
    assert told_of(ring, ring.issue_token("K", AT)["token"], AT) == ""
    ring.remove("K")
    assert told_of(ring, ring.issue_token("K", AT)["token"], AT) == "ESession:Invalid session"
    assert ring.owner("K") == ""


@pytest.mark.parametrize("permission", sorted(PERMISSIONS))
def test_executions_need_the_permission_for_open_orders(permission: str) -> None:
    """Whatever else the key may do."""
    ring = ring_of(permission, owner="mine")
    token = ring.issue_token("K", AT)["token"]
    expected = "mine" if permission == "query open" else "EGeneral:Permission denied"
    assert told_of(ring, token, AT) == expected


# --- the lockout ---------------------------------------------------------------------------------


def is_open(lockout: Lockout, at: float) -> bool:
    """Tell whether a call is let in, where three wrong ones lock out for 100 s."""
    try:
        lockout.check(at, 3, 100.0)
    except Refusal as refusal:
        return refusal.errors != ["EGeneral:Temporary lockout"]
    return True


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        ("EAPI:Invalid key", True),
        ("EAPI:Invalid signature", True),
        ("EAPI:Invalid nonce", False),
        ("EGeneral:Permission denied", False),
        ("EAPI:Rate limit exceeded", False),
    ],
)
def test_lockout_counts_calls_with_a_wrong_key(error: str, *, counts: bool) -> None:
    """Two are forgiven, three are not; other refusals are no attack."""
    lockout = Lockout()
    for n in range(3):
        assert is_open(lockout, AT + n)
        lockout.count(Refusal(error))
    assert is_open(lockout, AT + 3) != counts


def test_lockout_ends_after_a_pause_of_its_whole_length() -> None:
    """A call within it begins the pause anew, and afterwards three wrong ones are needed again."""
    lockout = Lockout()
    assert is_open(lockout, AT)
    for _ in range(3):
        lockout.count(Refusal("EAPI:Invalid key"))
    assert not is_open(lockout, AT + 99)
    assert not is_open(lockout, AT + 198.9)
    assert is_open(lockout, AT + 298.9)
    for _ in range(2):
        lockout.count(Refusal("EAPI:Invalid key"))
        assert is_open(lockout, AT + 299)
    lockout.count(Refusal("EAPI:Invalid key"))
    assert not is_open(lockout, AT + 300)
