"""Starts programs as forks of one process that has loaded them, where there are forks.

A start of Python and of all that the program imports takes a third of a second of work; the tests
start the program some five hundred times. A fork is a process like any other: it has a number,
takes signals, can be killed, and ends as Python ends. Where there are no forks, or where a test
changes how Python itself starts, each program is started the usual way.
"""

from __future__ import annotations

import atexit
import gc
import io
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

# Apple's libraries do not bear a fork that goes on without a start of its own.
HAS_FORKS = hasattr(os, "fork") and hasattr(socket, "send_fds") and sys.platform != "darwin"
_HEAD = 8  # bytes that tell how long a message is


class Hosted:
    """One process that the host has forked, with what `subprocess.Popen` has of it."""

    def __init__(self, pid: int, ends: int) -> None:
        self.pid = pid
        self._ends: int | None = ends  # the host writes the code there once the process is gone
        self._code: int | None = None
        self._lock = threading.Lock()  # several threads may wait for one process

    def poll(self) -> int | None:
        """Return the exit code, None while it runs."""
        return self._look(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit code.

        Raises:
            subprocess.TimeoutExpired: If it does not end in time.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            left = 1.0 if end is None else end - time.monotonic()
            code = self._look(max(0.0, min(1.0, left)))
            if code is not None:
                return code
            if left <= 0:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it has not ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once, if it has not ended."""
        self.send_signal(signal.SIGKILL)

    def _look(self, patience: float) -> int | None:
        with self._lock:
            if self._ends is None or not select.select([self._ends], [], [], patience)[0]:
                return self._code
            told = os.read(self._ends, 64)
            os.close(self._ends)
            self._ends = None
            # Nothing told: the host is gone, and all that it had started with it.
            self._code = int(told) if told else -signal.SIGKILL
            return self._code


class Host:
    """The process that forks, started with the first program and ended with the tests."""

    def __init__(self, script: Path) -> None:
        self._script = script
        self._lock = threading.Lock()  # one question at a time
        self._line: socket.socket | None = None
        self._python = python_settings(os.environ)
        self._pid = 0

    def takes(self, environment: Mapping[str, str]) -> bool:
        """Tell whether a program with this environment can be a fork."""
        return HAS_FORKS and python_settings(environment) == self._python

    def start(
        self,
        plan: str,
        flags: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        out: int,
    ) -> Hosted:
        """Start the program in `folder`, all that it prints going to the file number `out`."""
        said = json.dumps([plan, list(flags), str(folder), dict(environment)]).encode()
        ends, told = os.pipe()
        try:
            with self._lock:
                line = self._open()
                # The file numbers travel with the first byte that is sent.
                socket.send_fds(line, [len(said).to_bytes(_HEAD, "big")], [out, told])
                line.sendall(said)
                pid = int.from_bytes(_exactly(line, _HEAD), "big")
        finally:
            os.close(told)
        return Hosted(pid, ends)

    def _open(self) -> socket.socket:
        """Return the line to the host; a forked test process has one of its own."""
        if self._line is None or self._pid != os.getpid():
            ours, theirs = socket.socketpair()
            with theirs:
                process = subprocess.Popen(  # the tests' own script; it ends with the line
                    [sys.executable, str(self._script), "serve", str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                )
            self._line, self._pid = ours, os.getpid()
            atexit.register(_end, ours, process)
        return self._line


def _end(line: socket.socket, process: subprocess.Popen[bytes]) -> None:
    """End a host by ending its line; a forked test process leaves that to its parent."""
    line.close()
    with suppress(subprocess.TimeoutExpired, ChildProcessError):
        process.wait(10)


def python_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that Python reads when it starts, but for one that a fork imitates."""
    return {
        name: value
        for name, value in environment.items()
        if name.startswith("PYTHON") and name != "PYTHONUNBUFFERED"
    }


def _exactly(line: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = line.recv(size - len(data))
        if not piece:
            raise EOFError("the line has ended")
        data += piece
    return data


# --- the host's side -------------------------------------------------------------------------


def serve(number: int) -> tuple[str, list[str]]:
    """Fork a program for each question on the line; return in each fork what it is to run.

    Raises:
        SystemExit: In the host, when the line has ended.
    """
    line = socket.socket(fileno=number)
    line.set_inheritable(False)
    ended, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    gc.collect()
    gc.freeze()  # what is shared with the forks stays shared
    ends: dict[int, int] = {}
    while True:
        ready = select.select([number, ended], [], [])[0]
        if ended in ready:
            os.read(ended, 4096)
            _tell_ends(ends)
        if number not in ready:
            continue
        try:
            question, out, told = _question(line)
        except EOFError:
            raise SystemExit(0) from None
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            for left in (line.detach(), ended, wakes, told, *ends.values()):
                os.close(left)
            return _settle_in(question, out)
        os.close(out)
        ends[pid] = told
        line.sendall(pid.to_bytes(_HEAD, "big"))


def _question(line: socket.socket) -> tuple[list[Any], int, int]:
    head, numbers, _, _ = socket.recv_fds(line, _HEAD, 2)
    if len(numbers) < 2:
        raise EOFError("the line has ended")
    head += _exactly(line, _HEAD - len(head))
    return json.loads(_exactly(line, int.from_bytes(head, "big"))), numbers[0], numbers[1]


def _tell_ends(ends: dict[int, int]) -> None:
    """Write the exit code of each process that is gone to who waits for it."""
    for pid, told in list(ends.items()):
        gone, status = os.waitpid(pid, os.WNOHANG)
        if gone:
            with suppress(OSError):  # nobody waits for it any more
                os.write(told, str(os.waitstatus_to_exitcode(status)).encode())
            os.close(told)
            del ends[pid]


def _settle_in(question: list[Any], out: int) -> tuple[str, list[str]]:
    """Make this fork what a fresh process would be: folder, environment, streams, signals."""
    plan, flags, folder, environment = question
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    if hasattr(time, "tzset"):
        time.tzset()
    for number in (1, 2):
        os.dup2(out, number)
    os.close(out)
    sys.stdout, sys.stderr = _text(1), _text(2)
    sys.argv[1:] = [plan, *flags]
    return plan, flags


def _text(number: int) -> Any:
    """Return a stream of text that passes on each line at once, as Python opens its own."""
    raw: BinaryIO = os.fdopen(number, "wb", 0, closefd=False)
    errors = "strict" if number == 1 else "backslashreplace"
    return io.TextIOWrapper(raw, errors=errors, write_through=True)
