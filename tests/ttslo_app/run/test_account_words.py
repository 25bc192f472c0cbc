"""What people are told of the account's stream, and of a key that is one program's alone."""

from __future__ import annotations

import inspect

import pytest

from krakenlink.rest.key_info import Right
from ttslo_app.messages import Kind, Sentence
from ttslo_app.run import account_words as words


def test_missing_permission_is_named_as_kraken_s_page_names_it() -> None:
    """With what is done meanwhile; another refusal has another cure."""
    sentence = words.denied("EGeneral:Permission denied.", 10.0)
    assert sentence.kind is Kind.KEY
    assert f'"{Right.STREAM}" and "{Right.QUERY_OPEN}"' in sentence.text
    assert (
        "are looked at every 10 s: no key may stream them (EGeneral:Permission denied)"
        in sentence.text
    )
    other = words.denied("EAPI:Invalid key", 10.0).text
    assert other.endswith("no key may stream them (EAPI:Invalid key). Mend the key")
    assert Right.STREAM not in other


def test_loss_says_what_is_done_instead_and_its_end_says_again() -> None:
    """An unwatched order is never told of: REST looks."""
    assert words.lost("closed by the server.", 10.0).text == (
        "Kraken does not tell at once what happens to orders: closed by the server. Until it does "
        "they are looked at over REST every 10 s"
    )
    assert " again " in words.followed_again(7.4).text
    assert "every 60 s" in words.followed(60.0).text
    assert {words.followed(1).level, words.followed_again(1).level} == {"INFO"}


MARK = "state.csv.deposed"
FULL = OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("sentence", "kind", "level", "part"),
    [
        (words.TAKEN, Kind.KEY, "INFO", "refused from now on"),
        (words.taken_unasked("no route to host"), Kind.KEY, "WARNING", "(no route to host)"),
        (words.deposed(MARK), Kind.KEY, "ERROR", "places NO ORDER more"),
        (words.deposed(MARK), Kind.KEY, "ERROR", f"delete {MARK}"),
        (words.mark_not_written(MARK, FULL), Kind.DISK, "ERROR", "No space left"),
    ],
)
def test_sentence_has_kind_level_and_cure(
    sentence: Sentence, kind: Kind, level: str, part: str
) -> None:
    """Whoever chooses what to be told of goes by the kind; the rest is for a person at night."""
    assert (sentence.kind, sentence.level) == (kind, level)
    assert part in sentence.text
    assert len(sentence.text) <= 200


@pytest.mark.parametrize(
    ("text", "cure"),
    [
        (words.NO_KEY, "set KRAKEN_API_KEY_RW"),
        (words.FLAG_MISSING, "Start with --exclusive-key"),
        (words.was_deposed(MARK, "2026-11-26T01:00:00+00:00"), f"delete {MARK} and start anew"),
        (words.no_consent("--yes"), "then add --yes"),
        (words.not_taken("EAPI:Invalid nonce"), "make a new key"),
        (words.QUESTION, "Type yes:"),
    ],
)
def test_refusal_names_the_cure(text: str, cure: str) -> None:
    """Whoever is refused at the start knows what to do next."""
    assert text.endswith(cure) or cure in text
    assert text == " ".join(text.split())


def test_what_is_one_way_is_called_so_wherever_a_person_agrees() -> None:
    """Nobody may find out afterwards."""
    for text in (words.no_consent("--yes"), words.QUESTION):
        assert "one way" in text
        assert "for ever" in text


def test_unknown_moment_of_the_end_is_left_out() -> None:
    """A mark that was cut short still counts."""
    assert " at " not in words.was_deposed(MARK, "")


def test_what_kraken_said_cannot_break_a_line() -> None:
    """Its words come from outside."""
    for function in (words.taken_unasked, words.not_taken, words.far_nonce_refused):
        said = function("two\nlines\x1b[31m")
        text = said.text if isinstance(said, Sentence) else said
        assert "\n" not in text
        assert "\x1b" not in text


def test_every_sentence_is_said_of_something() -> None:
    """A room holds sentences and nothing else."""
    for name, function in inspect.getmembers(words, inspect.isfunction):
        if function.__module__ == words.__name__:
            assert inspect.signature(function).return_annotation in ("str", "Sentence"), name
