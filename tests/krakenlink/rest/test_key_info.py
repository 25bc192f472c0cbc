"""What is read of a key: Kraken's own shape, others like it, and anything at all."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakenlink.rest.key_info import KeyInfo, Right, read_key_info, right_of

IBAN = "AA00 BANK ACCOUNT"
# As Kraken's page shows it: numbers are texts, "0" stands for never.
ANSWER: dict[str, Any] = {
    "apiKeyName": "stops",
    "apiKey": "KEY-THAT-MUST-NOT-SHOW",
    "nonce": "1772627060997",
    "nonceWindow": "10000",
    "permissions": ["query-funds", "query-open-trades", "query-closed-trades", "modify-trades"],
    "iban": IBAN,
    "validUntil": "0",
    "queryFrom": "0",
    "queryTo": "0",
    "createdTime": "1772542900",
    "ipAllowlist": [],
    "lastUsed": "1772627061",
}
FOUR = frozenset({Right.QUERY_FUNDS, Right.QUERY_OPEN, Right.QUERY_CLOSED, Right.MODIFY})


def test_krakens_own_answer_is_read_whole() -> None:
    """Permissions, no end, the window, and that any address may use it."""
    assert read_key_info(ANSWER) == KeyInfo(FOUR, math.inf, 10000, ())


def test_neither_key_nor_bank_account_is_kept() -> None:
    """What has no use here can get into no sentence."""
    assert "MUST-NOT" not in repr(read_key_info(ANSWER))
    assert IBAN not in repr(read_key_info(ANSWER))


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("query-funds", Right.QUERY_FUNDS),
        ("Query Funds", Right.QUERY_FUNDS),
        ("queryFunds", Right.QUERY_FUNDS),
        ("Funds: Query", Right.QUERY_FUNDS),
        ("query-open-trades", Right.QUERY_OPEN),
        ("Query Open Orders & Trades", Right.QUERY_OPEN),
        ("QUERY_CLOSED_TRADES", Right.QUERY_CLOSED),
        ("modify-trades", Right.MODIFY),
        ("Create & Modify Orders", Right.MODIFY),
        ("close-trades", Right.CANCEL),
        ("Cancel/Close Orders", Right.CANCEL),
        ("create-ws-token", Right.STREAM),
        ("Get WebSocket Token", Right.STREAM),
        ("withdraw-funds", Right.WITHDRAW),
        ("Withdraw Funds", Right.WITHDRAW),
        ("withdraw", Right.WITHDRAW),
        ("add-withdraw-address", Right.ADDRESSES),
        ("update-withdraw-address", Right.ADDRESSES),
        ("add-funds", None),
        ("query-ledger", None),
        ("export-data", None),
        ("", None),
    ],
)
def test_permission_is_known_however_it_is_written(name: str, right: Right | None) -> None:
    """Kraken's page of keys, its guide and its answers spell one permission in three ways."""
    assert right_of(name) is right


@pytest.mark.parametrize(
    "permissions",
    [
        "query-funds,query-open-trades;query-closed-trades|modify-trades",
        {"query-funds": True, "query-open-trades": "true", "query-closed-trades": 1,
         "modify-trades": "yes", "withdraw-funds": False, "close-trades": "false"},
        {"funds": {"query": True, "withdraw": False},
         "orders": {"query-open": True, "query-closed": True, "modify": 1, "cancel": 0}},
        {"funds": ["query"], "orders": ["query-open", "query-closed", "create"]},
    ],
)  # fmt: skip
def test_permissions_are_read_in_other_shapes(permissions: object) -> None:
    """A text, names with yes and no, or groups of either."""
    assert read_key_info({"key": {"Permissions": permissions}}).rights == FOUR


def test_what_is_not_granted_is_not_taken_for_granted() -> None:
    """A name with a no beside it is no permission."""
    told = read_key_info({"permissions": {"withdraw-funds": False, "query-funds": True}})
    assert told.rights == frozenset({Right.QUERY_FUNDS})


@pytest.mark.parametrize("permissions", [["alpha", "beta"], "gamma", {"delta": True}])
def test_words_that_nobody_knows_are_no_missing_permissions(permissions: object) -> None:
    """Not known is not the same as not allowed."""
    assert read_key_info({"permissions": permissions}).rights is None


@pytest.mark.parametrize("permissions", [[], {}, "", {"query-funds": False}, ["query-ledger"]])
def test_an_answer_without_any_permission_that_matters_says_so(permissions: object) -> None:
    """Kraken has told, and it is nothing."""
    assert read_key_info({"permissions": permissions}).rights == frozenset()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1800000000", 1.8e9),
        (1800000000, 1.8e9),
        (1800000000000, 1.8e9),
        ("1800000000000000", 1.8e9),
        (1.8e18, 1.8e9),
        ("2027-01-15T08:00:00Z", 1.8e9),
        ("2027-01-15T08:00:00", 1.8e9),
        (None, math.inf),
        ("", math.inf),
        (0, math.inf),
        ("never", math.inf),
        (-5, None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ([], None),
    ],
)
def test_end_is_read_in_each_unit(value: object, expected: float | None) -> None:
    """Seconds or smaller, a number or a text, a date, or never."""
    assert read_key_info({"valid_until": value}).expires_at == expected


def test_end_is_a_moment_of_the_calendar() -> None:
    """The number above is the date above."""
    assert datetime(2027, 1, 15, 8, tzinfo=UTC).timestamp() == 1.8e9


@pytest.mark.parametrize("name", ["ipAllowlist", "ip_whitelist", "allowed_ips", "IP restrictions"])
@pytest.mark.parametrize("value", [["10.0.0.1", "10.0.0.2"], "10.0.0.1, 10.0.0.2"])
def test_addresses_are_read_under_each_name(name: str, value: object) -> None:
    """A list or a text; the name of the field is not sure."""
    assert read_key_info({name: value}).addresses == ("10.0.0.1", "10.0.0.2")


def test_an_address_cannot_write_on_the_screen() -> None:
    """What Kraken sends is shown, not obeyed."""
    told = read_key_info({"ipAllowlist": ["\x1b[2J10.0.0.1"]}).addresses
    assert told is not None
    assert "\x1b" not in told[0]


@pytest.mark.parametrize("value", [True, "1.5", "-1", None, "9" * 30, [], "x"])
def test_window_that_is_no_number_is_not_told(value: object) -> None:
    """Nothing is made up."""
    assert read_key_info({"nonceWindow": value}).nonce_window is None


@pytest.mark.parametrize("result", [None, [], "text", 5, {}, {"result": {}}])
def test_an_answer_that_tells_nothing_is_read_as_that(result: object) -> None:
    """Each thing stays unknown."""
    assert read_key_info(result) == KeyInfo()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from([*ANSWER, "ip_list", "expires", "x"]) | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_nothing_raises_and_nothing_infinite_is_followed(result: object) -> None:
    """Whatever comes is read as far as that goes."""
    told = read_key_info(result)
    assert told.nonce_window is None or told.nonce_window >= 0
    assert told.expires_at is None or told.expires_at > 0
