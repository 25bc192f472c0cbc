"""What people are told of who leads."""

import pytest

from ttslo_app.cluster import lead_words as words
from ttslo_app.cluster.records import Lead
from ttslo_app.messages import Kind, Sentence

LEAD = Lead(4, "host-a", "2026-11-26T10:00:00+00:00", "t")
EVERY = [
    words.follows(LEAD, 3.0),
    words.stands_in(LEAD, 3.04),
    words.stands_in(None, 0.0),
    words.leads(LEAD),
    words.kraken_does_not_answer(),
    words.deposed(LEAD),
    words.deposed(None),
    words.refused_by_nobody_known(),
    words.does_not_take_up(),
    words.hands_over(),
    words.hands_over_blind(11.4),
    words.hands_over_cut_off(11.4),
    words.leaves_it_to_another(),
    words.kraken_is_silent(11.4, leads=True),
    words.kraken_is_silent(11.4, leads=False),
    words.kraken_is_back(),
    words.nobody_to_hand_over_to(),
    words.contradicted("main"),
    words.store_is_older("main"),
    words.halted("main"),
    words.store_is_silent(2.2, leads=True),
    words.store_is_silent(2.2, leads=False),
    words.store_is_back(),
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
