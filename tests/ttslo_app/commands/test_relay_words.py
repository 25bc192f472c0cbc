"""What `ttslo relay` says: one line each, with what is to be done, and no login."""

from __future__ import annotations

import pytest

from ttslo_app.commands import relay_words as words

SAID = [
    words.LIBRARY_MISSING,
    words.cannot_start("the package redis is missing"),
    words.READS_A_RELAY,
    words.NO_BROKER,
    words.ONE_NAME,
    words.two_names("r1"),
    words.at_work("r1", "wss://ws.kraken.com/v2", "rediss://relay.example:6379/r1"),
    words.figures_at("http://127.0.0.1:9109"),
    words.ended("r1"),
]


@pytest.mark.parametrize("said", SAID)
def test_sentence_is_one_short_line(said: str) -> None:
    """Two lines of a terminal at most."""
    assert 10 < len(said) <= 160
    assert said == " ".join(said.split())
    assert said[-1] not in ",;:-. "


def test_sentences_name_what_they_are_about() -> None:
    """The relay, where its prices come from, where they go, and the cure."""
    assert "pip install" in words.LIBRARY_MISSING
    assert "the package redis is missing" in words.cannot_start("the package redis is missing")
    assert "Unset it" in words.READS_A_RELAY
    assert "'r1'" in words.two_names("r1")
    for part in ("r1", "wss://ws.kraken.com/v2", "rediss://relay.example:6379/r1"):
        assert part in words.at_work(
            "r1", "wss://ws.kraken.com/v2", "rediss://relay.example:6379/r1"
        )
    assert "http://127.0.0.1:9109/healthz" in words.figures_at("http://127.0.0.1:9109")
    assert "REST" in words.ended("r1")


def test_name_from_outside_draws_nothing_on_a_terminal() -> None:
    """Whatever somebody gave for one."""
    assert "\x1b" not in words.two_names("\x1b[2J")
    assert "\x1b" not in words.cannot_start("\x1b[2J")
