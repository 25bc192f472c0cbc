"""The sentences about a store: whole, and each with what is to be done."""

from __future__ import annotations

import pytest

from ttslo_app.cluster import words

ALL = {name: text for name, text in vars(words).items() if name.isupper()}


@pytest.mark.parametrize("text", ALL.values(), ids=ALL)
def test_a_sentence_is_whole(text: str) -> None:
    """One line, no end mark, as it is put behind a colon and before brackets."""
    assert text == " ".join(text.split())
    assert text[0].islower()
    assert text[-1].isalnum() or text[-1] == "`"


def test_what_a_node_said_is_shown_and_not_obeyed() -> None:
    """A proxy may answer anything."""
    assert "\x1b" not in words.other("\x1b[2Jgone")
    assert "\n" not in words.not_etcd(200, "text/\nhtml")
    assert len(words.other("x" * 1000)) < 200


def test_a_node_that_cannot_be_reached_says_why_if_it_is_known() -> None:
    """And nothing in brackets where it is not."""
    assert words.cannot_connect("") == "cannot connect"
    assert words.cannot_connect("Connection refused") == "cannot connect (Connection refused)"
    assert words.broken_off("") == "broke off without an answer"


def test_what_was_waited_for_is_told_in_seconds_with_each_node() -> None:
    """Whoever reads it knows where to look."""
    text = words.unreachable("answered", 2.04, ["a:1: no answer in time", "b:1: cannot connect"])
    assert text == (
        "the store has not answered within 2 s: a:1: no answer in time; b:1: cannot connect"
    )
