"""Names in the environment that look like settings and are none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttslo_app.environment import KNOWN, unknown_names


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("KRAKEN_API_KEY_RO", "KRAKEN_API_KEY"),
        ("KRAKEN_APIKEY", "KRAKEN_API_KEY"),
        ("KRAKEN_SPOT_ULR", "KRAKEN_SPOT_URL"),
        ("KRAKEN_WS_URL", "KRAKEN_WS_PUBLIC_URL"),
        ("KRAKEN_API_SECERT_RW", "KRAKEN_API_SECRET_RW"),
        ("TTSLO_DRYRUN", "the flag --dry-run"),
        ("TTSLO_ORDER_SETTING", "TTSLO_ORDER_SETTINGS"),
        ("kraken_api_key", "KRAKEN_API_KEY"),
        ("TTSLO_NOTIFI", "TTSLO_NOTIFY"),
        ("TTSLO_NOTIFY_FILES", "TTSLO_NOTIFY_FILE"),
        ("TTSLO_PINGS", "TTSLO_PING"),
    ],
)
def test_misspelt_name_is_told_with_what_was_meant(name: str, meant: str) -> None:
    """One sentence a name, which ends in the right one."""
    (said,) = unknown_names([name])
    assert said.text.startswith(f"{name} is set, but no setting has that name")
    assert said.text.endswith(f"Did you mean {meant}?")


@pytest.mark.parametrize("name", ["TTSLO_XYZZY", "TTSLO_FOO", "TTSLO_KEY", "TTSLO_HOME"])
def test_name_like_none_of_ours_gets_the_list(name: str) -> None:
    """Where nothing but its beginning is close, no flag is guessed: all names are told."""
    (said,) = unknown_names([name])
    assert all(name in said.text for name in KNOWN)


def test_our_names_and_those_of_others_are_passed_over() -> None:
    """Other tools of Kraken's users have variables of their own."""
    others = ["KRAKEN_HOME", "PATH", "KRAKENDB_KEY", "COPILOT_W_KR_PUBLIC", "KRAKEN_FUTURES_MODE"]
    assert unknown_names([*KNOWN, *others]) == []


def test_lower_case_is_right_where_the_system_makes_no_difference() -> None:
    """Windows takes one for the other."""
    assert unknown_names(["kraken_api_key"], any_case=True) == []


@given(st.text())
def test_no_name_is_too_odd(name: str) -> None:
    """Whatever somebody's environment holds."""
    assert len(unknown_names([name, f"TTSLO_{name}"])) <= 2


@pytest.mark.parametrize("name", ["Kraken_Api_Secret", "kraken-api-secret"])
def test_right_name_in_another_dress_is_that_name(name: str) -> None:
    """Case and hyphens make no other name of it, and where both count it is said."""
    found = unknown_names([name.replace("-", "_")])
    assert [said.text.rpartition("Did you mean ")[2] for said in found] == ["KRAKEN_API_SECRET?"]


def test_each_name_is_told_once_in_their_order() -> None:
    """A name that stands in the environment and in the file is one finding."""
    found = unknown_names(["TTSLO_B", "TTSLO_A", "TTSLO_B"])
    assert [said.text.partition(" ")[0] for said in found] == ["TTSLO_A", "TTSLO_B"]
    assert {said.level for said in found} == {"WARNING"}


def test_endless_name_is_cut() -> None:
    """Whatever somebody's shell holds fits a line."""
    (said,) = unknown_names(["TTSLO_" + "X" * 10_000])
    assert len(said.text) < 1_000


def test_keys_of_accounts_are_settings() -> None:
    """Behind two underscores stands the account; anything else is misspelt."""
    names = ("KRAKEN_API_KEY_RW__A", "KRAKEN_API_SECRET_RW__EU_1", "KRAKEN_API_SECRET__A_FILE")
    assert unknown_names(names[:2]) == []
    assert len(unknown_names(["TTSLO_NOTIFY__A", "KRAKEN_APIKEY_RW__A"])) == 2
