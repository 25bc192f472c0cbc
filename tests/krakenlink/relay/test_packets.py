"""Packets and words: frames travel byte for byte, and what is damaged is no packet."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakenlink.relay.packets import (
    Packet,
    Unreadable,
    Word,
    can_travel,
    for_one,
    frames_for,
    read_packet,
    read_word,
)

FRAME = '{"channel":"ticker","type":"update","data":[{"symbol":"BTC/USD","last":50000.10}]}'

json_objects = st.dictionaries(
    st.text(), st.text() | st.integers() | st.lists(st.text()), max_size=4
).map(lambda told: json.dumps(told, ensure_ascii=False))


@given(st.lists(json_objects, max_size=5))
def test_frames_arrive_byte_for_byte(frames: list[str]) -> None:
    """Whatever JSON holds, a frame is the same behind the broker."""
    assert all(map(can_travel, frames))
    packet = Packet("run-1", 7, 0.25, {"a1": 3}, ["b2"], frames)
    assert read_packet(packet.encoded()) == packet


def test_relay_without_proof_says_so() -> None:
    """No age is another thing than an age of nothing."""
    assert read_packet(Packet("run-1", 1, None).encoded()).age is None
    assert read_packet(Packet("run-1", 1, 0.0).encoded()).age == 0.0


def test_age_below_nothing_is_nothing() -> None:
    """A clock that errs must not make a price younger than its echo."""
    assert read_packet(Packet("run-1", 1, -5.0).encoded()).age == 0.0


@pytest.mark.parametrize("frame", ["", "[1]", "@x", '{"a":"\x1e"}', '{"a":"\x1f"}'])
def test_what_could_be_taken_for_something_else_does_not_travel(frame: str) -> None:
    """No frame may forge another one, or an answer to somebody."""
    assert not can_travel(frame)


def test_answer_is_for_one_and_keeps_its_place() -> None:
    """An answer stands between the frames where it was put, for its reader alone."""
    items = ['{"n":1}', for_one("a1", '{"n":2}'), '{"n":3}', for_one("b2", '{"n":4}')]
    assert frames_for("a1", items) == ['{"n":1}', '{"n":2}', '{"n":3}']
    assert frames_for("b2", items) == ['{"n":1}', '{"n":3}', '{"n":4}']
    assert frames_for("c3", items) == ['{"n":1}', '{"n":3}']


def test_name_that_begins_like_another_gets_nothing_of_it() -> None:
    """`a1` is not `a12`."""
    assert frames_for("a1", [for_one("a12", FRAME)]) == []


GOOD = {"v": 1, "epoch": "run-1", "seq": 1, "age": 0.5, "echo": {}, "gone": []}


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"epoch": 5},
        {"seq": -1},
        {"seq": True},
        {"seq": "1"},
        {"age": "soon"},
        {"age": []},
        {"age": float("nan")},
        {"age": float("-inf")},
        {"echo": []},
        {"echo": {"a1": "3"}},
        {"gone": 4},
        {"gone": [4]},
    ],
)
def test_packet_with_a_wrong_field_is_none(change: dict[str, object]) -> None:
    """A head that nobody of this version has sent proves nothing."""
    with pytest.raises(Unreadable, match="no packet of a relay"):
        read_packet(json.dumps(GOOD | change).encode())


@pytest.mark.parametrize("lacking", GOOD)
def test_packet_without_a_field_is_none(lacking: str) -> None:
    """Each field is needed."""
    told = {name: value for name, value in GOOD.items() if name != lacking}
    with pytest.raises(Unreadable):
        read_packet(json.dumps(told).encode())


@given(st.binary(max_size=60))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    """Whatever stands on the channel, the thread that reads it meets one kind of error."""
    for read in (read_packet, read_word):
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


@pytest.mark.parametrize("reader", ["", "a b", "a\x1fb", "@a", "a\x1e"])
def test_reader_whose_name_could_forge_an_item_is_not_heard(reader: str) -> None:
    """A name stands in front of answers, and must end where it ends."""
    with pytest.raises(Unreadable, match="no word of a reader"):
        read_word(Word(reader, "hello", 1).encoded())
