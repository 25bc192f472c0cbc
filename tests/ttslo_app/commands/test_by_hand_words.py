"""What the command line says of a command by hand: what has to be typed, and what is not known."""

from __future__ import annotations

from ttslo_app.commands import by_hand_words as words


def test_who_cannot_be_asked_is_told_the_flag_and_what_must_run() -> None:
    """With the words that are typed."""
    assert words.needs_yes("fire", "btc") == "nothing was done: add --yes to fire btc"
    assert words.confirm("fire", "btc").endswith("Write yes: ")
    assert "--state" in words.not_running("state.csv")
    assert "nothing was done" in words.not_taken_up("state.csv")


def test_command_without_an_answer_may_have_been_done() -> None:
    """Its row and where to look are named."""
    text = words.not_answered("btc")
    assert text.startswith("btc: ")
    assert "nothing was done" not in text
    assert "ttslo status" in text
