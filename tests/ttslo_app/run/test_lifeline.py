"""An input that ends with whoever holds its other end."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from three_etcd import wait_until

from ttslo_app.run import lifeline

LONG = 60.0
ROOT = Path(__file__).resolve().parents[3]
# Starts a process that holds on to its starter, and hangs until it is killed.
STARTER = """\
import subprocess, sys, threading
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdin=subprocess.PIPE)
threading.Event().wait()
"""
CHILD = """\
import threading
from pathlib import Path
from ttslo_app.run import lifeline
gone = threading.Event()
lifeline.hold(gone.set)
Path("began").touch()
gone.wait()
Path("ended").touch()
"""


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Both ends of an input; whatever is left of them is closed in the end."""
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            continue


def test_who_is_held_is_let_go_once_the_other_end_is_gone(pipe: tuple[int, int]) -> None:
    """What is written meanwhile means nothing."""
    inner, outer = pipe
    gone = threading.Event()
    lifeline.hold(gone.set, inner)
    os.write(outer, b"a word\n")
    reading = [t for t in threading.enumerate() if t.name == "ttslo-lifeline" and t.is_alive()]
    assert reading
    assert not gone.is_set()
    os.close(outer)
    assert gone.wait(LONG)


def test_input_that_was_never_open_is_held_by_nobody(pipe: tuple[int, int]) -> None:
    """Some start a program with its input closed."""
    inner, outer = pipe
    os.close(inner)
    os.close(outer)
    gone = threading.Event()
    lifeline.hold(gone.set, inner)
    assert gone.wait(LONG)


def test_process_learns_that_its_starter_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No handler of the starter runs then: the system closes what it held."""
    monkeypatch.chdir(tmp_path)
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, CHILD],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        wait_until(Path("began").exists)
        assert not Path("ended").exists()
    finally:
        starter.kill()
        starter.wait()
    wait_until(Path("ended").exists)
