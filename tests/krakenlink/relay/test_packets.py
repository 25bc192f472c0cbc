"""Packets and words: frames travel byte for byte, and what is damaged is no packet."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakenlink.relay.packets import (
    Answers,
    Packet,
    Unreadable,
    Word,
    can_travel,
    read_message,
    read_word,
)

json_objects = st.dictionaries(
    st.text(), st.text() | st.integers() | st.lists(st.text()), max_size=4
).map(lambda told: json.dumps(told, ensure_ascii=False))


@given(st.lists(json_objects, max_size=5))
def test_frames_arrive_byte_for_byte(frames: list[str]) -> None:
    """Whatever JSON holds, a frame is the same behind the broker."""
    assert all(map(can_travel, frames))
    packet = Packet("run-1", 7, 0.25, 1.5, {"a1": 3}, ["b2"], frames)
    assert read_message(packet.encoded()) == packet
    answers = Answers("a1", "run-1", 7, frames)
    assert read_message(answers.encoded()) == answers


def test_relay_without_proof_says_so() -> None:
    """No age is another thing than an age of nothing."""
    for age, pairs_age in ((None, 0.0), (0.0, None), (0.0, 0.0)):
        packet = Packet("run-1", 1, age, pairs_age)
        assert read_message(packet.encoded()) == packet


def test_age_below_nothing_is_nothing() -> None:
    """A clock that errs must not make a price younger than its echo."""
    read = read_message(Packet("run-1", 1, -5.0, -1.0).encoded())
    assert read == Packet("run-1", 1, 0.0, 0.0)


@pytest.mark.parametrize("frame", ["", "[1]", "x", '{"a":"\x1e"}'])
def test_what_could_be_taken_for_something_else_does_not_travel(frame: str) -> None:
    """No frame may forge another one, or an answer to somebody."""
    assert not can_travel(frame)


GOOD = {"v": 2, "epoch": "run-1", "seq": 1, "age": 0.5, "pairs_age": 0.5, "echo": {}, "gone": []}
GOOD_ANSWERS = {"v": 2, "epoch": "run-1", "to": "a1", "behind": 4}


@pytest.mark.parametrize(
    "change",
    [
        {"v": 1},
        {"epoch": 5},
        {"seq": -1},
        {"seq": True},
        {"seq": "1"},
        {"age": "soon"},
        {"age": []},
        {"age": float("nan")},
        {"age": float("-inf")},
        {"pairs_age": "soon"},
        {"pairs_age": float("nan")},
        {"echo": []},
        {"echo": {"a1": "3"}},
        {"gone": 4},
        {"gone": [4]},
    ],
)
def test_packet_with_a_wrong_field_is_none(change: dict[str, object]) -> None:
    """A head that nobody of this version has sent proves nothing."""
    with pytest.raises(Unreadable, match="no packet of a relay"):
        read_message(json.dumps(GOOD | change).encode())


@pytest.mark.parametrize("lacking", GOOD)
def test_packet_without_a_field_is_none(lacking: str) -> None:
    """Each field is needed."""
    told = {name: value for name, value in GOOD.items() if name != lacking}
    with pytest.raises(Unreadable):
        read_message(json.dumps(told).encode())


@pytest.mark.parametrize(
    "change", [{"v": 1}, {"epoch": 5}, {"to": 1}, {"behind": -1}, {"behind": "4"}]
)
def test_answers_with_a_wrong_field_are_none(change: dict[str, object]) -> None:
    """Nor do they answer anything."""
    assert read_message(json.dumps(GOOD_ANSWERS).encode()) == Answers("a1", "run-1", 4, [])
    with pytest.raises(Unreadable, match="no packet of a relay"):
        read_message(json.dumps(GOOD_ANSWERS | change).encode())


@given(st.binary(max_size=60))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    """Whatever stands on the channel, the thread that reads it meets one kind of error."""
    for read in (read_message, read_word):
        with pytest.raises(Unreadable):
            read(data)


@given(
    st.uuids().map(lambda made: made.hex),
    st.sampled_from(["hello", "alive", "bye", "ask"]),
    st.integers(0, 10**9),
    st.text(),
)
def test_word_arrives_as_it_was_said(reader: str, kind: str, number: int, text: str) -> None:
    """A reader's word is the same behind the broker."""
    word = Word(reader, kind, number, text)
    assert read_word(word.encoded()) == word


@pytest.mark.parametrize("reader", ["", "a b", "a.b", "*", "a\x1e"])
def test_reader_whose_name_could_be_another_channel_s_is_not_heard(reader: str) -> None:
    """A name is the end of the name of a channel."""
    with pytest.raises(Unreadable, match="no word of a reader"):
        read_word(Word(reader, "hello", 1).encoded())
