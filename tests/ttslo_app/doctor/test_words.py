"""Every sentence of the doctor: whole, with its cure, and said with what belongs into it."""

from __future__ import annotations

import ast
from pathlib import Path
from string import Formatter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttslo_app.doctor import words
from ttslo_app.doctor.words import SAYINGS, say, status_of

ROOT = Path(__file__).resolve().parents[3]
ROOMS = sorted((ROOT / "ttslo_app" / "doctor").glob("*.py"))
# Three lines of a terminal of eighty columns; the cure stands behind.
LONGEST = 240
SAMPLES: dict[str, Any] = {
    "addresses": "192.0.2.7 and 1 more", "armed": 2, "asset": "BTC", "check": "net.name",
    "cure": "Mend it", "error": OSError(28, "No space left on device"), "file": "state.csv",
    "given": "KRAKEN_API_KEY", "have": "0.50000000", "holder": "process 7 on box since noon",
    "host": "api.kraken.com", "kind": "", "least": "3.11", "level": "warnings", "megabytes": 12,
    "milliseconds": 12.3, "missing": "KRAKEN_API_SECRET", "moment": "2027-01-15 08:00Z",
    "name": "requests", "names": "'Query funds'", "order": "sell 1 BTC/USD trailing-stop +5.0%",
    "pair": "BTC/USD", "price": "50000", "proxy": "http://proxy:3128", "rest": "Kraken",
    "row": "btc", "rows": "3 rows", "seconds": 1.5, "status": "cancel_only", "stream": "Kraken",
    "system": "maintenance", "txid": "OAAAAA-BBBBB-CCCCCC", "until": "2027-01-15 08:00Z",
    "variables": "", "version": "3.12.1", "want": "take 1.00000000", "what": "it is odd",
    "wrong": "a lower nonce was taken",
    "which": "trading", "why": "it is down", "window": 10000,
}  # fmt: skip


def holes_of(saying: str) -> set[str]:
    """Return the names of the holes in a sentence and its cure."""
    _, text, cure = SAYINGS[saying]
    return {name for part in (text, cure) for _, name, *_ in Formatter().parse(part) if name}


@pytest.mark.parametrize("name", SAYINGS)
def test_sentence_is_whole_and_has_a_cure_where_something_is_wrong(name: str) -> None:
    """One line that fits, without holes or two end marks; what is well needs no cure."""
    sentence = say(name, **{hole: SAMPLES[hole] for hole in holes_of(name)})
    cure = sentence.fields["cure"]
    assert 5 < len(sentence.text) <= LONGEST
    assert len(cure) <= LONGEST
    assert bool(cure) is (status_of(sentence) != "ok")
    for text in (sentence.text, cure):
        assert text == " ".join(text.split())
        assert not any(mark in text for mark in ("..", ".:", ".,", ".;", " .", "None", "()", "{"))
        assert not text or text[-1] not in ".,;:-"


@pytest.mark.parametrize("name", SAYINGS)
def test_what_goes_wrong_is_named(name: str) -> None:
    """An error, a pair, a file or a row that a sentence is about stands in it."""
    text = say(name, **{hole: SAMPLES[hole] for hole in holes_of(name)}).text
    for hole, part in (("error", "No space left"), ("pair", "BTC/USD"), ("row", "btc")):
        assert hole not in holes_of(name) or part in text
    for hole in ("file", "host", "which"):
        assert hole not in holes_of(name) or str(SAMPLES[hole]) in text


def said_in(path: Path) -> list[ast.Call]:
    """Return each call of `say` in a room."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "say"
    ]


def names_in(call: ast.Call) -> list[str]:
    """Return the names that a call of `say` may mean, as far as they are written down."""
    return [
        node.value
        for node in ast.walk(call.args[0])
        if isinstance(node, ast.Constant) and node.value in SAYINGS
    ]


@pytest.mark.parametrize("path", ROOMS, ids=lambda path: path.name)
def test_each_sentence_is_said_with_what_belongs_into_it(path: Path) -> None:
    """A hole that stays empty would break the check in the moment of need."""
    for call in said_in(path):
        given_names = {keyword.arg for keyword in call.keywords}
        if None in given_names or isinstance(call.args[0], ast.JoinedStr | ast.Name):
            continue  # the tests of the room itself say these
        assert names_in(call), ast.unparse(call)
        for name in names_in(call):
            assert given_names == holes_of(name) | (given_names & {"about"}), ast.unparse(call)


def test_no_sentence_is_left_over() -> None:
    """Each is said somewhere; those that are put together begin with a word of theirs."""
    text = "".join(path.read_text(encoding="utf-8") for path in ROOMS[:-1])
    whole = {name for name in SAYINGS if f'"{name}"' in text}
    put_together = {name for name in SAYINGS if name.startswith("funds ")}
    assert set(SAYINGS) - whole - put_together == set()


def test_levels_are_the_three_statuses() -> None:
    """Which `--json` promises."""
    assert {
        status_of(say(name, **{h: SAMPLES[h] for h in holes_of(name)})) for name in SAYINGS
    } == {
        "ok",
        "warn",
        "fail",
    }


def test_name_that_is_no_saying_is_a_defect() -> None:
    """It breaks where it is written, not before a person."""
    with pytest.raises(KeyError):
        say("no such sentence")


@given(st.text(max_size=400))
def test_words_of_others_stay_in_their_line(text: str) -> None:
    """Whatever Kraken or a file says is one line, cut, and obeyed by no terminal."""
    line = words.line_of(text)
    assert len(line) <= 250
    assert "\n" not in line
    assert "\x1b" not in line


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (ValueError("two\nlines."), "two lines"),
        (TimeoutError(), "TimeoutError"),
        ("", "str"),
    ],
)
def test_error_is_told_in_its_own_words_or_by_its_kind(error: object, line: str) -> None:
    """A number of the system's says nothing to anybody."""
    assert words.line_of(error) == line


def test_moment_is_told_in_utc() -> None:
    """As everywhere."""
    assert words.moment_of(1.8e9) == "2027-01-15 08:00Z"
