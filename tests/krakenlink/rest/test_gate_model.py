"""The gate of a key step by step: nonces over clocks that are set, and whose turn it is."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from krakenlink.rest import gate as gate_room
from krakenlink.rest.gate import Gate, gate_of
from tests.kits.common.examples import many
from tests.kits.rest.turn_kit import nonce_of, turn

SECOND = 10**9
NOW = 1_800_000_000 * SECOND
KEPT_EVERY = 10 * SECOND
MOST_AHEAD = 10 * 366 * 24 * 3600 * SECOND


class _Clock:
    """This machine's clock, set by the test."""

    def __init__(self) -> None:
        self.ns = NOW

    def time_ns(self) -> int:
        return self.ns


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    """The clock that the gate reads."""
    found = _Clock()
    monkeypatch.setattr(gate_room, "time", found)
    return found


# --- nonces --------------------------------------------------------------------------------------


@settings(max_examples=many(60))
@given(st.lists(st.tuples(st.booleans(), st.integers(-40, 40)), min_size=1, max_size=25))
def test_nonces_grow_over_restarts_whatever_the_clock_does(
    steps: list[tuple[bool, int]],
) -> None:
    """The clock goes on, stands still or is set back; the program ends and starts again.

    Nothing that was handed out is ever reached again, and no disk is asked for more than one in
    ten seconds of nonces.
    """
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        clock, file = _Clock(), Path(folder) / "new" / "nonce.txt"
        patch.setattr(gate_room, "time", clock)
        gate, last, kept = Gate(file), 0, 0
        for is_restart, seconds in steps:
            clock.ns += seconds * SECOND
            if is_restart:
                gate = Gate(file)
            nonce = nonce_of(gate)
            assert nonce > last
            assert nonce >= clock.ns
            written = int(file.read_text(encoding="ascii"))
            assert nonce - written < KEPT_EVERY  # what a restart adds reaches beyond it
            assert written == kept or is_restart or written - kept >= KEPT_EVERY
            last, kept = nonce, written


@pytest.mark.parametrize(
    ("text", "nonce"),
    [
        (str(NOW - 1), NOW),
        (str(NOW), NOW),
        (str(NOW + 1), NOW + 1 + KEPT_EVERY + 1),
        (str(NOW + MOST_AHEAD - 1), NOW + MOST_AHEAD + KEPT_EVERY),
        (str(NOW + MOST_AHEAD), NOW),  # damage: nonces could never go down again
        (f" {NOW + SECOND}\n", NOW + SECOND + KEPT_EVERY + 1),
        (str(NOW)[:-1], NOW),  # cut off
        (str(NOW) + "0", NOW),
        ("rubbish", NOW),
        ("", NOW),
    ],
)
def test_kept_nonce_counts_where_the_clock_was_ahead(
    clock: _Clock, tmp_path: Path, text: str, nonce: int
) -> None:
    """To the nanosecond; and what is no nonce of today's length is none."""
    file = tmp_path / "nonce.txt"
    file.write_text(text, encoding="ascii")
    assert nonce_of(Gate(file)) == nonce


def test_kept_nonce_is_read_once(clock: _Clock, tmp_path: Path) -> None:
    """A clock that is set back later meets the nonces of this run, and not the file again."""
    file = tmp_path / "nonce.txt"
    gate = Gate(file)
    first = nonce_of(gate)
    file.write_text(str(NOW + 3600 * SECOND), encoding="ascii")
    clock.ns -= SECOND
    assert nonce_of(gate) == first + 1


def test_file_is_written_every_ten_seconds_of_nonces(clock: _Clock, tmp_path: Path) -> None:
    """No call in between waits for a disk; the folder is made where it lacks."""
    file = tmp_path / "a" / "b" / "nonce.txt"
    gate, written = Gate(file), []
    for step in (0, KEPT_EVERY - 1, 1, KEPT_EVERY, 5):
        clock.ns += step
        nonce_of(gate)
        written.append(int(file.read_text(encoding="ascii")) - NOW)
    assert written == [0, 0, KEPT_EVERY, 2 * KEPT_EVERY, 2 * KEPT_EVERY]


def test_nonce_that_cannot_be_kept_stops_no_call(clock: _Clock, tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "file").write_text("", encoding="ascii")
    gate = Gate(tmp_path / "file" / "nonce.txt")
    assert [nonce_of(gate), nonce_of(gate)] == [NOW, NOW + 1]


# --- turns ---------------------------------------------------------------------------------------

_turns = st.lists(st.tuples(st.sampled_from(["order", "look", "end"]), st.integers(0, 3)))


@settings(max_examples=many(80))
@given(_turns)
def test_turns_are_had_as_the_rules_say(steps: list[tuple[str, int]]) -> None:
    """Orders one after another whatever looks do; a look when nobody else is out."""
    gate, out, last = Gate(), list[tuple[str, ExitStack]](), 0
    for what, which in steps:
        if what == "end":
            if out:
                out.pop(which % len(out))[1].close()
            continue
        kinds = [kind for kind, _ in out]
        is_free = not kinds if what == "look" else "order" not in kinds
        stack = ExitStack()
        if is_free:
            nonce = stack.enter_context(turn(gate, 0, is_look=what == "look"))
            assert nonce > last
            last = nonce
            out.append((what, stack))
        else:
            with pytest.raises(TimeoutError):
                stack.enter_context(turn(gate, 0, is_look=what == "look"))
    for _, stack in out:
        stack.close()
    assert nonce_of(gate, is_look=True) > last  # nobody is left behind
    assert nonce_of(gate, is_look=False) > last


@pytest.mark.parametrize("is_look", [True, False])
def test_call_that_fails_gives_its_turn_back(is_look: bool) -> None:
    """Whatever it fails with."""
    gate = Gate()

    def fail(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gate.in_turn(fail, 0, is_look=is_look)
    assert nonce_of(gate, is_look=True) < nonce_of(gate, is_look=False)


def test_each_key_has_one_gate_and_its_own_file(clock: _Clock, tmp_path: Path) -> None:
    """The key is in neither the name of the file nor its text."""
    first, second = (f"KEY{n}/{tmp_path}" for n in (1, 2))
    assert gate_of(first, lambda: tmp_path) is gate_of(first)
    assert gate_of(first) is not gate_of(second, lambda: tmp_path)
    nonce_of(gate_of(first))
    clock.ns += SECOND
    nonce_of(gate_of(second))
    texts = {path.name: path.read_text(encoding="ascii") for path in tmp_path.iterdir()}
    assert sorted(texts.values()) == [str(NOW), str(NOW + SECOND)]
    assert not any("KEY" in name for name in texts)
