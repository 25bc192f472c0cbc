"""Whose turn it is with one key, and nonces that only grow, over restarts too."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from krakenlink.errors import KeyDeposed
from krakenlink.rest.gate import FAR, Gate, gate_of
from tests.kits.common.interrupt_kit import at_each_instant
from tests.kits.rest import turn_kit
from tests.kits.rest.turn_kit import turn

HOUR = 3600 * 10**9

nonce_of = partial(turn_kit.nonce_of, patience=1, is_look=True)


def test_change_does_not_wait_for_a_look() -> None:
    """A look whose answer is slow holds up no order; the order's nonce is the higher one."""
    gate = Gate()
    with turn(gate, 0, is_look=True) as look, turn(gate, 0, is_look=False) as order:
        assert order > look


@pytest.mark.parametrize(("first", "second"), [(True, True), (False, True), (False, False)])
def test_others_wait_for_their_turn_and_not_for_ever(first: bool, second: bool) -> None:
    """Looks go alone, changes one after another; whoever has waited long enough is told."""
    gate = Gate()
    with (
        turn(gate, 0, is_look=first),
        pytest.raises(TimeoutError),
        turn(gate, 0.01, is_look=second),
    ):
        raise AssertionError("two at a time")
    nonce_of(gate, is_look=second)


@pytest.mark.parametrize("is_look", [True, False])
@pytest.mark.parametrize("ends", [nonce_of, Gate.stand_by, lambda gate, **_: gate.was_exclusive])
def test_no_instant_of_an_interrupt_keeps_the_turn(
    ends: Callable[..., object], is_look: bool
) -> None:
    """Every later call of the key would wait for it in vain."""
    how = {} if ends == Gate.stand_by else {"is_look": is_look}
    for interrupted in at_each_instant("krakenlink/rest/gate.py"):
        gate = Gate()
        interrupted.do(partial(ends, gate, **how))
        gate._is_deposed = False
        with ThreadPoolExecutor(1) as another:
            for is_other_look in (True, False):
                assert another.submit(nonce_of, gate, is_look=is_other_look).result(60)


def test_look_lets_waiting_changes_go_first() -> None:
    """While one order is under way and another waits, no look slips in between."""
    gate = Gate()
    began: list[str] = []

    def take(name: str, *, is_look: bool) -> None:
        gate.in_turn(lambda _: began.append(name), 5, is_look=is_look)

    with ThreadPoolExecutor(2) as pool, turn(gate, 0, is_look=False):
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
    with turn(gate, 0, is_look=False), pytest.raises(TimeoutError), turn(gate, 0, is_look=False):
        raise AssertionError("two at a time")
    with pytest.raises(ZeroDivisionError):
        gate.in_turn(lambda nonce: nonce // 0, 0, is_look=False)
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


@pytest.mark.parametrize("silence", [HOUR // 60, 20 * HOUR])
def test_next_run_climbs_over_a_call_that_was_under_way_when_the_last_one_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, silence: int
) -> None:
    """Its nonce was not kept any more, and the clock is behind by now, as after a power cut."""
    file, now = tmp_path / "nonce", time.time_ns()
    file.write_text(str(now))
    highest = now + silence
    monkeypatch.setattr(time, "time_ns", lambda: now - 30 * 24 * HOUR)
    gate, refused = Gate(file), 0
    while (nonce := nonce_of(gate)) <= highest:
        gate.hear(nonce, REFUSED)
        refused += 1
        assert refused < 3
    gate.hear(nonce, ())
    gate.hear(nonce_of(gate), REFUSED)  # by now it is another program's doing
    assert nonce_of(gate) == nonce + 2


def test_refused_nonce_changes_no_other_where_the_clock_is_right(tmp_path: Path) -> None:
    """There it is another program's doing, and is never answered by higher ones; nor for long."""
    file, now = tmp_path / "nonce", time.time_ns()
    file.write_text(str(now - HOUR))
    gate = Gate(file)
    for _ in range(5):
        gate.hear(nonce_of(gate), REFUSED)
    assert nonce_of(gate) < time.time_ns() + 10**9
    file.write_text(str(time.time_ns() + HOUR))
    behind = Gate(file)
    for _ in range(9):
        behind.hear(nonce_of(behind), REFUSED)
    assert nonce_of(behind) < time.time_ns() + 27 * HOUR


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


@pytest.mark.parametrize(
    "reads", [nonce_of, Gate.reign, lambda gate: gate.was_exclusive], ids=["turn", "reign", "was"]
)
def test_slow_disk_holds_up_no_other_call(
    reads: Callable[[Gate], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer of the same key is taken in while the file is read."""
    file = tmp_path / "nonce"
    file.write_text(str(time.time_ns()), encoding="ascii")
    gate = Gate(file)
    taken_in: list[bool] = []

    def slow(path: Path) -> bytes:
        other = threading.Thread(target=gate.hear, args=(1, ()), daemon=True)
        other.start()
        other.join(60)
        taken_in.append(not other.is_alive())
        return path.read_bytes()

    monkeypatch.setattr("krakenlink.rest.gate.read_plain", slow)
    reads(gate)
    assert set(taken_in) == {True}


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


# --- a key of one program alone ------------------------------------------------------------------


def reigning(file: Path | None = None) -> Gate:
    """Return a gate whose key is exclusive."""
    gate = Gate(file)
    gate.reign()
    return gate


def test_exclusive_nonces_are_above_every_clock_and_count_on() -> None:
    """Whoever goes by a clock, in whatever unit, is below; and the number fits 63 bits."""
    gate = reigning()
    nonces = [nonce_of(gate) for _ in range(3)]
    assert nonces == [nonces[0], nonces[0] + 1, nonces[0] + 2]
    assert FAR + time.time_ns() - 17 * 10**17 - HOUR < nonces[0] < 2**62
    assert nonces[0] > time.time_ns() * 2


def test_exclusive_nonces_do_not_follow_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A paused program that wakes stays below the one that began meanwhile."""
    gate = reigning()
    first = nonce_of(gate)
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now + 24 * HOUR)
    assert nonce_of(gate) == first + 1
    assert nonce_of(reigning()) > first + HOUR


def test_to_reign_twice_changes_nothing() -> None:
    """A second client of the same key goes on in the same row."""
    gate = reigning()
    first = nonce_of(gate)
    gate.reign()
    assert nonce_of(gate) == first + 1


def test_later_start_is_above_an_earlier_one_even_where_the_clock_was_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was kept counts, where it is more than the clock says."""
    file = tmp_path / "nonce.txt"
    first = nonce_of(reigning(file))
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now - 48 * HOUR)
    assert nonce_of(reigning(file)) > first


def test_exclusive_key_is_known_again(tmp_path: Path) -> None:
    """A start without the word for it would be refused for ever; it can be told why."""
    file = tmp_path / "nonce.txt"
    assert not Gate(file).was_exclusive
    nonce_of(Gate(file))
    assert not Gate(file).was_exclusive
    gate = reigning(file)
    assert gate.was_exclusive
    nonce_of(gate)
    assert Gate(file).was_exclusive


def test_call_without_the_word_leaves_an_exclusive_key_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused, as whatever goes by a clock, and must not spoil what tells the owner why."""
    file, now = tmp_path / "nonce", time.time_ns()
    earlier = Gate(file)
    nonce_of(earlier)
    exclusive = nonce_of(reigning(file))
    for later, gate in ((0, Gate(file)), (60 * 10**9, earlier)):
        monkeypatch.setattr(time, "time_ns", lambda later=later: now + later)
        assert nonce_of(gate) < FAR
        assert file.read_text(encoding="ascii") == str(exclusive)
        assert Gate(file).was_exclusive


REFUSED = ["EAPI:Invalid nonce"]


def test_who_is_refused_after_it_was_taken_is_deposed() -> None:
    """From then on nothing is sent, whatever it is."""
    gate = reigning()
    gate.hear(nonce_of(gate), [])
    gate.hear(nonce_of(gate), ["EOrder:Insufficient funds"])
    assert not gate.is_deposed
    gate.hear(nonce_of(gate), REFUSED)
    assert gate.is_deposed
    for is_look in (True, False):
        with pytest.raises(KeyDeposed, match="nothing was sent"):
            nonce_of(gate, is_look=is_look)


def test_start_climbs_over_an_earlier_one_and_not_for_ever() -> None:
    """An earlier start's clock may have been ahead; each try is higher, and there are few."""
    gate = reigning()
    tried = []
    while not gate.is_deposed:
        tried.append(nonce_of(gate))
        gate.hear(tried[-1], REFUSED)
    steps = [later - earlier for earlier, later in pairwise(tried)]
    assert len(tried) == 5
    assert steps == sorted(steps)
    assert steps[0] > HOUR - 2
    assert tried[-1] < 2**63


def test_look_that_an_order_overtook_is_no_sign_of_another_program() -> None:
    """Kraken refuses the look's lower nonce then; the next call tells."""
    gate = reigning()
    gate.hear(nonce_of(gate), [])
    with turn(gate, 0, is_look=True) as look, turn(gate, 0, is_look=False):
        pass
    gate.hear(look, REFUSED)
    assert not gate.is_deposed
    gate.hear(nonce_of(gate), REFUSED)
    assert gate.is_deposed


def test_usual_key_is_never_deposed() -> None:
    """There a refused nonce has a dozen reasons, and heals."""
    gate = Gate()
    for _ in range(9):
        gate.hear(nonce_of(gate), REFUSED)
    assert not gate.is_deposed
    nonce_of(gate)


def test_epoch_counts_from_its_base_and_never_climbs() -> None:
    """Who leads is decided elsewhere: a refused nonce means that somebody is above."""
    gate = Gate()
    gate.reign(FAR + 2**32)
    first = nonce_of(gate)
    assert first == FAR + 2**32 + 1
    assert not gate.is_taken
    gate.hear(first, ["EAPI:Invalid nonce"])
    assert gate.is_deposed
    with pytest.raises(KeyDeposed):
        nonce_of(gate)


def test_later_epoch_lets_calls_out_again() -> None:
    """A host that stepped down may be elected again, and only upwards."""
    gate = Gate()
    gate.reign(FAR + 2**32)
    gate.hear(nonce_of(gate), ["EAPI:Invalid nonce"])
    gate.reign(FAR + 3 * 2**32)
    assert not gate.is_deposed
    assert nonce_of(gate) == FAR + 3 * 2**32 + 1
    with pytest.raises(ValueError, match="have passed"):
        gate.reign(FAR + 2 * 2**32)
    with pytest.raises(ValueError, match="have passed"):
        Gate().reign(5)


def test_answer_to_an_earlier_epoch_proves_nothing_of_this_one() -> None:
    """An order that was on its way when the lead was lost is answered after it was won again."""
    gate = Gate()
    gate.reign(FAR + 2**32)
    earlier = nonce_of(gate, is_look=False)
    gate.reign(FAR + 3 * 2**32)
    gate.hear(earlier, ())
    assert not gate.is_taken
    gate.hear(earlier, ["EAPI:Invalid nonce"])
    assert not gate.is_deposed
    gate.hear(nonce_of(gate), ())
    assert gate.is_taken


def test_whoever_stands_by_calls_nobody() -> None:
    """A wrong nonce of a host that follows is a step towards a lockout of the one that leads."""
    gate = Gate()
    gate.stand_by()
    for is_look in (True, False):
        with pytest.raises(KeyDeposed):
            nonce_of(gate, is_look=is_look)
    gate.reign(FAR + 2**32)
    assert nonce_of(gate) == FAR + 2**32 + 1
