"""What people are told of a host that has others beside it, or several accounts."""

from __future__ import annotations

import pytest

from ttslo_app.hosts import words
from ttslo_app.messages import Kind

URL = "etcd://127.0.0.1:2379/prod"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (words.stands_beside("--config"), "does not use --config"),
        (words.stands_beside("--config"), "ttslo rows push"),
        (words.needs_store("--account"), "--account is for hosts that share a store: add --store"),
        (words.NO_KEY, "KRAKEN_API_KEY_RW"),
    ],
)
def test_refusal_names_what_to_do(text: str, part: str) -> None:
    """Somebody wants a host that leads, and reads why there is none."""
    assert part in text


def test_host_says_who_it_is() -> None:
    """Two of them write into one log of the system."""
    said = words.host("vm-1", "main", URL)
    assert said.text == f"Host vm-1 of account main in {URL}"
    assert said.kind is Kind.STANDBY
    assert "\x1b" not in words.host("a\x1b", "\x1b", "\x1b").text


def test_a_missing_key_is_told_by_its_names() -> None:
    """As they are to be written."""
    text = words.account_without_key("eu-1", "EU_1")
    assert "KRAKEN_API_KEY_RW__EU_1 and KRAKEN_API_SECRET_RW__EU_1" in text


def test_an_end_is_told_with_its_code_and_what_follows() -> None:
    """So that nobody restarts it by hand."""
    assert words.ended("a", -9, 2.0) == "a: its program ended with -9, and begins anew in 2 s"
