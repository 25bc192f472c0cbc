"""The snapshot: it comes back as it was, and nothing else passes for one."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest

from tests.kits.signs.sign_kit import NOW, connection, order, row, snapshot
from ttslo_app.face.snapshot import (
    BLIND,
    LATE,
    NOT_RUNNING,
    OLD,
    RUNNING,
    SCHEMA,
    Snapshot,
    Unreadable,
    ago,
    decoded,
    encoded,
    judged,
    span,
)


def changed(**changes: Any) -> bytes:
    """Return a file some of whose fields are others; `...` takes one away."""
    told = {**json.loads(encoded(snapshot())), **changes}
    return json.dumps({name: value for name, value in told.items() if value is not ...}).encode()


# --- as a file -----------------------------------------------------------------------------------


def test_snapshot_comes_back_as_it_was() -> None:
    """Rows, orders and events too."""
    assert decoded(encoded(snapshot())) == snapshot()


def test_empty_snapshot_comes_back_as_it_was() -> None:
    """Such as one of a program that has just begun."""
    bare = snapshot(rows=(), orders=(), events=(), frame_age=None)
    assert decoded(encoded(bare)) == bare


def test_file_is_one_line_and_small() -> None:
    """So that it can be read by other programs, and costs the disk nothing."""
    full = snapshot(rows=tuple(row(f"row_{n}") for n in range(100)))
    assert encoded(full).count(b"\n") == 1
    assert len(encoded(full)) < 40_000


@pytest.mark.parametrize("part", [0, 1, 100, 0.5, -2])
def test_half_of_a_file_is_no_snapshot(part: float) -> None:
    """However much of it is there."""
    data = encoded(snapshot())
    end = int(len(data) * part) if isinstance(part, float) else part
    with pytest.raises(Unreadable, match="cut off"):
        decoded(data[:end])


@pytest.mark.parametrize("data", [b"[]", b"7", b'"x"', b"{}", b'{"schema": "1"}', b"null"])
def test_another_program_s_file_is_no_snapshot(data: bytes) -> None:
    """It is said what it is not."""
    with pytest.raises(Unreadable, match="not written by this program"):
        decoded(data)


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"[" * 100_000])
def test_what_no_reader_can_bear_is_no_snapshot(data: bytes) -> None:
    """Neither bytes that are no text, nor an abyss of brackets."""
    with pytest.raises(Unreadable):
        decoded(data)


@pytest.mark.parametrize("number", [SCHEMA + 1, 0, -1])
def test_other_version_is_named(number: int) -> None:
    """With the cure: the program that runs can read it."""
    with pytest.raises(Unreadable, match=f"another version .*form {number}.*use the version"):
        decoded(changed(schema=number))


@pytest.mark.parametrize("name", [one.name for one in fields(Snapshot) if one.name != "schema"])
def test_field_that_is_missing_is_named(name: str) -> None:
    """No field has a value that nobody wrote."""
    with pytest.raises(Unreadable, match=f"{name} is missing"):
        decoded(changed(**{name: ...}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pid", "7"),
        ("pid", True),
        ("written_at", "now"),
        ("written_at", False),
        ("written_at", None),
        ("mode", None),
        ("rows", {}),
        ("rows", [7]),
        ("late", [7]),
        ("frame_age", "x"),
    ],
)
def test_field_of_another_kind_is_refused(name: str, value: object) -> None:
    """What looks like a number is none, and a list is not a dict."""
    with pytest.raises(Unreadable):
        decoded(changed(**{name: value}))


def test_field_that_is_new_is_passed_over() -> None:
    """A later program may say more without another form."""
    assert decoded(changed(mood="good")) == snapshot()


# --- what it means -------------------------------------------------------------------------------


def test_program_that_writes_and_sees_is_running() -> None:
    """And it is said what it is, since when, and which process."""
    verdict = judged(snapshot(), NOW, is_alive=True)
    assert (verdict.code, verdict.word) == (RUNNING, "running")
    assert verdict.text == "LIVE (process 4711 on attic) runs and sees, for 2 h 5 min now"


@pytest.mark.parametrize("is_alive", [True, None])
@pytest.mark.parametrize("age", [OLD + 1, 86400.0])
def test_old_snapshot_is_no_sign_of_life(age: float, is_alive: bool | None) -> None:
    """Whether its process is there or not: nobody can rely on it."""
    verdict = judged(snapshot(written_at=NOW - age), NOW, is_alive=is_alive)
    assert verdict.code == NOT_RUNNING
    assert "NO SIGN OF LIFE" in verdict.text
    assert span(age) in verdict.text


def test_dead_process_is_not_running_however_young_its_snapshot() -> None:
    """A program that was killed a second ago does not watch."""
    verdict = judged(snapshot(), NOW, is_alive=False)
    assert verdict.code == NOT_RUNNING
    assert "died without a last word" in verdict.text


def test_stopped_program_is_not_running_and_is_not_said_to_have_died() -> None:
    """Its last snapshot says how it ended."""
    verdict = judged(snapshot(phase="stopped", written_at=NOW - 90), NOW, is_alive=False)
    assert verdict.code == NOT_RUNNING
    assert verdict.text == "NOT RUNNING: it was stopped 1 min 30 s ago"


def test_row_without_a_price_makes_it_blind() -> None:
    """It is named."""
    shown = snapshot(rows=(row(), row("eth", state="blind", price=None)))
    verdict = judged(shown, NOW, is_alive=True)
    assert (verdict.code, verdict.word) == (BLIND, "blind")
    assert "no proven price for eth;" in verdict.text


def test_crossing_without_its_order_is_worse_than_blindness() -> None:
    """So it is what is said."""
    shown = snapshot(late=("btc",), rows=(row(state="blind"),))
    verdict = judged(shown, NOW, is_alive=True)
    assert verdict.code == BLIND
    assert verdict.text.startswith("CROSSED, AND NO ORDER YET: btc.")
    assert LATE >= 1


def test_program_that_has_not_begun_watches_nothing_yet() -> None:
    """Whoever asks at that moment must not be told that all is well."""
    assert judged(snapshot(phase="starting"), NOW, is_alive=True).code == BLIND


def test_clock_that_was_set_back_makes_no_snapshot_old() -> None:
    """It was written in what is now the future, by a process that is there."""
    assert judged(snapshot(written_at=NOW + 3600), NOW, is_alive=True).code == RUNNING


def test_many_blind_rows_are_counted() -> None:
    """The sentence stays readable."""
    rows = tuple(row(f"r{n}", state="blind") for n in range(9))
    assert "r0, r1, r2 and 6 more" in judged(snapshot(rows=rows), NOW, is_alive=True).text


# --- rows ----------------------------------------------------------------------------------------


def test_nearest_is_the_armed_row_with_the_smallest_distance() -> None:
    """Rows that fired, or have no price, are no candidates."""
    rows = (
        row("far", away=9.0),
        row("near", away=0.5),
        row("fired", state="placed", away=0.1),
        row("mute", away=None),
    )
    nearest = snapshot(rows=rows).nearest
    assert nearest is not None
    assert nearest.id == "near"
    assert snapshot(rows=()).nearest is None


def test_values_can_be_compared_and_not_changed() -> None:
    """Whoever follows asks whether anything is new."""
    assert replace(snapshot()) == snapshot()
    assert snapshot(orders=(order(stop="1"),)) != snapshot()
    with pytest.raises(AttributeError):
        snapshot().armed = 7  # type: ignore[misc]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0 s"), (0.9, "0 s"), (59, "59 s"), (60, "1 min"), (61, "1 min 1 s"), (3600, "1 h"),
     (7500, "2 h 5 min"), (86400, "1 d"), (90000, "1 d 1 h")],
)  # fmt: skip
def test_length_of_time_is_told_in_two_units_at_most(seconds: float, text: str) -> None:
    """As a person says it."""
    assert span(seconds) == text
    assert ago(seconds) == f"{text} ago"


# --- connections ---------------------------------------------------------------------------------

TORN = (
    connection(),
    connection("2", link="reconnecting", down_for=72.9, subscriptions=1),
    connection("pairs", subscriptions=1, messages_per_second=1.0),
)


def test_connections_come_back_as_they_were() -> None:
    """Those that are down and those that are not."""
    assert decoded(encoded(snapshot(connections=TORN))) == snapshot(connections=TORN)
    assert len(encoded(snapshot(connections=TORN))) < len(encoded(snapshot())) + 600


@pytest.mark.parametrize("value", [{}, [7], [{"name": "1"}], "1"])
def test_connection_of_another_form_is_refused(value: object) -> None:
    """Nothing is made up for what is missing."""
    with pytest.raises(Unreadable):
        decoded(changed(connections=value))


def test_connections_say_what_they_carry_and_which_is_down() -> None:
    """And what becomes of the prices of the one that is."""
    assert snapshot(connections=TORN).spread == (
        "3 connections: 1 live, 40 subscriptions, 30.1 messages/s; "
        "2 DOWN for 1 min 12 s, 1 subscription: over REST until it is back; "
        "pairs live, 1 subscription, 1.0 messages/s"
    )
    assert snapshot(connections=TORN).is_torn


def test_one_connection_has_nothing_to_say_of_others() -> None:
    """As ever; and several that live are no trouble."""
    assert (snapshot().spread, snapshot().is_torn) == ("", False)
    assert not snapshot(connections=(connection(), connection("2"))).is_torn
