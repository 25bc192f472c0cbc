"""What a run says that shares its account with other hosts."""

import pytest

from ttslo_app.messages import Kind
from ttslo_app.run import standby_words as words

URL = "etcd://127.0.0.1:2379/prod"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (words.stands_beside("--config"), "does not use --config"),
        (words.stands_beside("--config"), "ttslo rows push"),
        (words.needs_store("--account"), "--account is for hosts that share a store: add --store"),
        (words.no_key(), "KRAKEN_API_KEY_RW"),
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
