"""One deadline over all steps of a thread, work that is left behind in time, and all addresses."""

import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from krakenlink.machine import feed_clock
from krakenlink.sockets import (
    NEVER,
    Call,
    by_thread,
    call_here,
    dial,
    done_within,
    promised,
    state_of,
    time_left,
)


def a_call(read_within: float = 5.0) -> Call:
    """Return a call that has just begun."""
    now = feed_clock()
    return Call(now + 1, read_within, now + 1 + read_within, float("-inf"))


def test_inner_promise_never_outlasts_the_outer_one() -> None:
    """The nearer deadline counts, and the outer one is back afterwards."""
    assert promised() == NEVER
    with done_within(1.0):
        outer = promised()
        with done_within(60.0):
            assert promised() == outer
        with done_within(0.0):
            assert time_left() == 0.0
        assert promised() == outer
    assert promised() == NEVER


def test_promise_belongs_to_its_thread() -> None:
    """What one caller has promised hurries no other."""
    seen: list[float] = []
    with done_within(1.0):
        thread = threading.Thread(target=lambda: seen.append(promised()))
        thread.start()
        thread.join()
    assert seen == [NEVER]


def test_call_that_nobody_watched_may_have_left() -> None:
    """Only sockets of ours can say that nothing was sent."""
    call = a_call()
    assert call.may_have_left
    call.is_watched = True
    assert not call.may_have_left
    call.note_sending()
    assert call.may_have_left


def test_answer_has_its_time_from_when_the_request_left() -> None:
    """What connecting has left over or used up changes nothing, but for an outer promise."""
    call = a_call(read_within=5.0)
    call.note_sending()
    assert call.ends_at == pytest.approx(feed_clock() + 5.0, abs=0.5)
    with done_within(1.0):
        call = a_call(read_within=5.0)
        call.note_sending()
        assert call.ends_at == promised()


def test_work_on_another_thread_knows_the_call() -> None:
    """The sockets there serve the call of whoever waits."""
    seen: list[Call | None] = []
    with a_call() as call:
        by_thread(lambda: seen.append(call_here()), lambda: None, feed_clock() + 5)
    assert seen == [call]
    assert call_here() is None


def test_error_of_the_work_is_raised_here() -> None:
    """It does not matter that another thread did it."""

    def fail() -> None:
        raise KeyError("there")

    with pytest.raises(KeyError, match="there"):
        by_thread(fail, lambda: None, feed_clock() + 5)


def test_work_that_ends_too_late_is_undone() -> None:
    """Nobody waits beyond the deadline, and what comes later is thrown away."""
    go_on, undone = threading.Event(), threading.Event()
    with pytest.raises(TimeoutError):
        by_thread(lambda: [go_on.wait(60)].clear(), undone.set, feed_clock() + 0.01)
    assert not undone.is_set()
    go_on.set()
    assert undone.wait(60)


def test_work_is_done_here_where_no_thread_can_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the end of the interpreter, or of what the machine has, a call is still made."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    seen: list[str] = []
    by_thread(lambda: seen.append("done"), lambda: None, feed_clock() + 5)
    assert seen == ["done"]


# --- connecting --------------------------------------------------------------------------------


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[int, Any]) -> None:
    """Let every name have these addresses, each with its family."""
    found = [(family, socket.SOCK_STREAM, 6, "", address) for family, address in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: found)


def a_listener() -> socket.socket:
    """Return a socket that listens on a free port."""
    return socket.create_server(("127.0.0.1", 0))


def refused_address() -> tuple[int, Any]:
    """Return an address where nobody listens."""
    with a_listener() as gone:
        return socket.AF_INET, gone.getsockname()


def test_refused_addresses_are_passed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What refuses is not waited for, and what cannot even be begun neither."""
    with a_listener() as server:
        odd = (socket.AF_INET6, ("::1", 1, 0, 0))
        good = (socket.AF_INET, server.getsockname())
        resolve_to(monkeypatch, refused_address(), odd, refused_address(), good)
        monkeypatch.setattr("krakenlink.sockets._STAGGER", 60.0)
        with Call(feed_clock() + 20, 1, feed_clock() + 30, 0):
            sock = dial("exchange.invalid", 443, [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)])
        with sock:
            assert sock.getpeername() == server.getsockname()
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_last_failure_is_what_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no address answers, the system's words are told; where there is none, that."""
    resolve_to(monkeypatch, refused_address(), refused_address())
    with pytest.raises(ConnectionRefusedError):
        dial("exchange.invalid", 443)
    resolve_to(monkeypatch)
    with pytest.raises(OSError, match="has no address"):
        dial("exchange.invalid", 443)


def test_name_that_no_host_can_have_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A label of more than 63 letters is no name, and no defect of ours."""

    def refuse(*_: object) -> Any:
        raise UnicodeError("label empty or too long")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(OSError, match="is no name of a host"):
        dial("a" * 70 + ".invalid", 443)


def test_state_of_files_changes_with_them_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that comes, changes or goes; the folder that this process works in is none of them."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "list.pem"
    states = [state_of(str(file), None)]
    (tmp_path / "other").touch()
    assert state_of(str(file), None) == states[0]
    for text in ("one", "longer"):  # for clocks that are coarse
        file.write_text(text, encoding="ascii")
        states.append(state_of(str(file), None))
        assert state_of(str(file), None) == states[-1]
    file.unlink()
    assert state_of(str(file), None) == states[0]
    assert len(set(states)) == 3


def test_state_is_another_in_a_child_and_for_another_log_of_keys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A context made before is not used then."""
    monkeypatch.delenv("SSLKEYLOGFILE", raising=False)
    before = state_of()
    monkeypatch.setenv("SSLKEYLOGFILE", "keys")
    logged = state_of()
    monkeypatch.setattr("os.getpid", lambda: -1)
    assert len({before, logged, state_of()}) == 3
