"""The sentences about a store and about who leads: whole, and each with what is to be done."""

from __future__ import annotations

import pytest

from ttslo_app.cluster import words
from ttslo_app.cluster.records import Lead
from ttslo_app.messages import Kind, Sentence

ALL = {name: text for name, text in vars(words).items() if name.isupper() and isinstance(text, str)}


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


LEAD = Lead(4, "host-a", "2026-11-26T10:00:00+00:00", "t")
EVERY = [
    words.follows(LEAD, 3.0),
    words.stands_in(LEAD, 3.04),
    words.stands_in(None, 0.0),
    words.leads(LEAD),
    words.KRAKEN_DOES_NOT_ANSWER,
    words.deposed(LEAD),
    words.deposed(None),
    words.REFUSED_BY_NOBODY_KNOWN,
    words.DOES_NOT_TAKE_UP,
    words.HANDS_OVER,
    words.hands_over_blind(11.4),
    words.hands_over_cut_off(11.4),
    words.LEAVES_IT_TO_ANOTHER,
    words.kraken_is_silent(11.4, leads=True),
    words.kraken_is_silent(11.4, leads=False),
    words.KRAKEN_IS_BACK,
    words.NOBODY_TO_HAND_OVER_TO,
    words.contradicted("main"),
    words.store_is_older("main"),
    words.halted("main"),
    words.store_is_silent(2.2, leads=True),
    words.store_is_silent(2.2, leads=False),
    words.STORE_IS_BACK,
]


@pytest.mark.parametrize("sentence", EVERY, ids=lambda one: one.text[:30])
def test_each_sentence_is_of_its_kind_and_fits_a_screen(sentence: Sentence) -> None:
    """Whoever wants to be woken for a takeover chooses by the kind."""
    assert sentence.kind is Kind.STANDBY
    assert len(sentence.text) <= 160
    assert sentence.level in ("INFO", "WARNING", "ERROR")


def test_whoever_stands_by_is_told_for_whom_and_how_long() -> None:
    """At three in the morning that is the first question."""
    text = words.follows(LEAD, 3.0).text
    assert text.startswith("FOLLOWS: host-a leads since 2026-11-26T10:00:00+00:00")
    assert "sends nothing and takes over 3 s after" in text


def test_a_takeover_says_whose_silence_it_was() -> None:
    """A host that was well and was overtaken is worth a look."""
    assert words.stands_in(LEAD, 3.04).text.startswith("host-a has been silent for 3.0 s")
    assert words.stands_in(LEAD, 3.04).level == "WARNING"
    assert words.stands_in(Lead(5, "", "", "t"), 9.0).text.startswith("Nobody leads")


def test_nobody_is_told_of_orders_that_cannot_be_placed() -> None:
    """A leader without a store places nothing, and a standby cannot take over."""
    assert "NO ORDER can be placed" in words.store_is_silent(2.0, leads=True).text
    assert "NO ORDER" not in words.store_is_silent(2.0, leads=False).text
    assert "NO ORDER can be placed" in words.kraken_is_silent(12.0, leads=True).text
    assert "NO ORDER" not in words.kraken_is_silent(12.0, leads=False).text


def test_what_a_host_calls_itself_cannot_break_the_screen() -> None:
    """Names come from the store, which others write."""
    assert "\x1b" not in words.follows(Lead(1, "a\x1b[2J", "\x1b", "t"), 3.0).text
    assert words.name_of(Lead(1, "x" * 500, "", "t")) != "x" * 500
    assert words.name_of(None) == words.name_of(Lead(1, "", "", "t")) == "another host"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (words.LEADS_NO_MORE, "another host leads"),
        (words.keeps_changing("row/btc"), "row/btc keeps changing"),
        (words.changed_by_others("life/btc"), "life/btc in the store was changed by somebody"),
        (words.edited("row/btc"), "row/btc in the store was changed a moment ago"),
    ],
)
def test_each_names_what_it_is_about_and_fits(text: str, part: str) -> None:
    """They end an error's sentence, which is at most two lines long."""
    assert part in text
    assert len(text) <= 160


def test_what_stands_in_the_store_cannot_break_the_screen() -> None:
    """Keys hold ids, which people choose."""
    assert "\x1b" not in words.changed_by_others("a\x1b[2J") + words.edited("\x1b")
