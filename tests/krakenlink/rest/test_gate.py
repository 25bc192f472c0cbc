"""Whose turn it is with one key, and nonces that only grow, over restarts too."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from krakenlink.rest.gate import Gate, gate_of

HOUR = 3600 * 10**9


def nonce_of(gate: Gate, *, is_look: bool = True) -> int:
    """Take one turn and return its nonce."""
    with gate.turn(1, is_look=is_look) as nonce:
        return nonce


def test_change_does_not_wait_for_a_look() -> None:
    """A look whose answer is slow holds up no order; the order's nonce is the higher one."""
    gate = Gate()
    with gate.turn(0, is_look=True) as look, gate.turn(0, is_look=False) as order:
        assert order > look


@pytest.mark.parametrize(("first", "second"), [(True, True), (False, True), (False, False)])
def test_others_wait_for_their_turn_and_not_for_ever(first: bool, second: bool) -> None:
    """Looks go alone, changes one after another; whoever has waited long enough is told."""
    gate = Gate()
    with (
        gate.turn(0, is_look=first),
        pytest.raises(TimeoutError),
        gate.turn(0.01, is_look=second),
    ):
        raise AssertionError("two at a time")
    nonce_of(gate, is_look=second)


def test_look_lets_waiting_changes_go_first() -> None:
    """While one order is under way and another waits, no look slips in between."""
    gate = Gate()
    began: list[str] = []

    def take(name: str, *, is_look: bool) -> None:
        with gate.turn(5, is_look=is_look):
            began.append(name)

    with ThreadPoolExecutor(2) as pool, gate.turn(0, is_look=False):
        pool.submit(take, "look", is_look=True)
        while not gate._changed._waiters:  # type: ignore[attr-defined]  # of the condition
            time.sleep(0.001)
        pool.submit(take, "order", is_look=False)
        while len(gate._changed._waiters) < 2:  # type: ignore[attr-defined]
            time.sleep(0.001)
    assert began == ["order", "look"]


def test_turn_that_was_not_had_holds_nobody_up() -> None:
    """An order that gave up waiting, or broke, is no reason for a look to wait."""
    gate = Gate()
    with gate.turn(0, is_look=False), pytest.raises(TimeoutError), gate.turn(0, is_look=False):
        raise AssertionError("two at a time")
    with pytest.raises(KeyError), gate.turn(0, is_look=False):
        raise KeyError
    nonce_of(gate)


def test_nonces_grow_over_threads_and_a_clock_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is above the last, whatever the clock does."""
    gate = Gate()
    with ThreadPoolExecutor(4) as pool:
        nonces = [f.result() for f in [pool.submit(nonce_of, gate) for _ in range(50)]]
    assert len(set(nonces)) == 50
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now - HOUR)
    assert nonce_of(gate) > max(nonces)


@pytest.mark.parametrize("ahead", [HOUR, 30 * 24 * HOUR])
def test_next_run_begins_above_the_last_nonce(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    """After a clock that was ahead has been set right, the key is not refused for that long."""
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now + ahead)
    first = Gate(tmp_path / "new" / "nonce")
    used = [nonce_of(first, is_look=bool(n % 2)) for n in range(5)]
    monkeypatch.setattr(time, "time_ns", lambda: now)
    assert nonce_of(Gate(tmp_path / "new" / "nonce")) > max(used)


@pytest.mark.parametrize("text", ["", "x", "9" * 19, "1" * 10_000, "-1", "\x00", "1e18"])
def test_damaged_file_spoils_no_nonce(tmp_path: Path, text: str) -> None:
    """Nonces never go down again: what cannot be one of ours is not gone on from."""
    file = tmp_path / "nonce"
    file.write_text(text, encoding="ascii")
    assert abs(nonce_of(Gate(file)) - time.time_ns()) < HOUR


def test_file_that_cannot_be_stops_no_call(tmp_path: Path) -> None:
    """A folder where the file should be, or a file where the folder should be: no matter."""
    (tmp_path / "plain").write_text("", encoding="ascii")
    (tmp_path / "folder").mkdir()
    for file in (None, tmp_path / "plain" / "nonce", tmp_path / "folder"):
        assert nonce_of(Gate(file))


def test_file_is_written_seldom(tmp_path: Path) -> None:
    """An order waits for no disk, and a thousand looks make no thousand files."""
    file = tmp_path / "nonce"
    gate = Gate(file)
    nonce_of(gate)
    written = file.read_text(encoding="ascii")
    nonce_of(gate)
    assert file.read_text(encoding="ascii") == written


def test_one_key_has_one_gate_and_no_name(tmp_path: Path) -> None:
    """All clients of a process share it, and the file's name does not tell the key."""
    gates: list[Gate] = []
    threads = [
        threading.Thread(target=lambda: gates.append(gate_of("secret key", lambda: tmp_path)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(gate) for gate in gates}) == 1
    nonce_of(gates[0])
    (file,) = tmp_path.iterdir()
    assert "secret" not in file.name
