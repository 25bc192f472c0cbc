"""The sentences of a host of several accounts."""

from __future__ import annotations

from ttslo_app.run import accounts_words as words


def test_a_missing_key_is_told_by_its_names() -> None:
    """As they are to be written."""
    text = words.no_key("eu-1", "EU_1")
    assert "KRAKEN_API_KEY_RW__EU_1 and KRAKEN_API_SECRET_RW__EU_1" in text


def test_an_end_is_told_with_its_code_and_what_follows() -> None:
    """So that nobody restarts it by hand."""
    assert words.ended("a", -9, 2.0) == "a: its program ended with -9, and begins anew in 2 s"
