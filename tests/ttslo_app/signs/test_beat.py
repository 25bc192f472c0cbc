"""Signs of life: the file that is replaced, the word each hour, and what must not disturb them."""

from __future__ import annotations

import argparse
import errno
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fake_kraken import FakeKraken
from krakenlink.machine import replace_file
from tests.kits.program.live_program import LiveProgram, row, wait_until
from tests.kits.signs.sign_kit import snapshot
from ttslo_app.face.snapshot import Snapshot, decoded, encoded
from ttslo_app.messages import Kind, tell
from ttslo_app.signs import beat, words
from ttslo_app.signs.beat import Signs, beat_of
from ttslo_app.signs.snapshots import About


@pytest.fixture
def live(exchange: FakeKraken, tmp_path: Path) -> Iterator[LiveProgram]:
    """Hand out a program that waits for one crossing."""
    with LiveProgram(exchange, tmp_path, [row("btc", 51000)]) as program:
        yield program


def signs_of(live: LiveProgram, mode: str = "LIVE", beat: float = 0.0) -> Signs:
    """Return what gives signs of life of a program."""
    about = About(mode, "somewhere", "config.csv", "state.csv", "1.0.0", beat)
    return Signs(live.ttslo, about, path_of(live))


def path_of(live: LiveProgram) -> Path:
    """Return where they go."""
    return live.folder / "state.csv.status.json"


def read(live: LiveProgram) -> Snapshot:
    """Return the newest snapshot."""
    return decoded(path_of(live).read_bytes())


def texts_of(snapshot: Snapshot) -> list[str]:
    """Return what a snapshot says was said last."""
    return [event.text for event in snapshot.events]


def wait_for(live: LiveProgram, is_true: Callable[[Snapshot], object], what: str) -> Snapshot:
    """Wait until the newest snapshot is so, and return it."""
    wait_until(lambda: path_of(live).exists() and is_true(read(live)), what)
    return read(live)


# --- the file ------------------------------------------------------------------------------------


def test_snapshot_is_there_at_once_and_is_replaced_again_and_again(live: LiveProgram) -> None:
    """Each is whole, and younger than the one before it."""
    with signs_of(live).over():
        first = wait_for(live, lambda s: s.phase == "running", "the first one")
        wait_for(live, lambda s: s.written_at > first.written_at, "the next one")
    assert first.armed == 1


def test_event_brings_a_snapshot_of_its_own(
    live: LiveProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever looks after a crossing must not wait for the next turn."""
    monkeypatch.setattr(beat, "EVERY", 3600.0)
    with signs_of(live).over():
        wait_for(live, lambda s: s.phase == "running", "the first one")
        live.ttslo.say("WARNING", "something happened", kind=Kind.LINK)
        # A row may be said to be armed just now, too.
        wait_for(live, lambda s: "something happened" in texts_of(s), "the event is in it")


def test_last_snapshot_says_that_it_was_stopped(live: LiveProgram) -> None:
    """With the last word among its events."""
    with signs_of(live).over():
        wait_for(live, lambda s: s.phase == "running", "it runs")
        live.ttslo.say("INFO", "Stopped", kind=Kind.STOP)
    assert read(live).phase == "stopped"
    assert "Stopped" in texts_of(read(live))


def test_nothing_is_left_beside_it(live: LiveProgram) -> None:
    """A temporary file of each of a day's 43,200 snapshots would fill the folder."""
    with signs_of(live).over():
        first = wait_for(live, lambda s: s.phase == "running", "the first one")
        wait_for(live, lambda s: s.written_at > first.written_at, "the next one")
    assert list(live.folder.glob("*.status.json.*")) == []


def test_litter_of_a_killed_program_is_taken_away_at_the_start(live: LiveProgram) -> None:
    """Old enough, it is nobody's."""
    litter = live.folder / f"state.csv.status.json.{'0' * 32}.tmp"
    litter.write_bytes(b"{")
    os.utime(litter, (time.time() - 3600,) * 2)
    with signs_of(live).over():
        assert not litter.exists()


def test_nothing_is_synced(live: LiveProgram, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk is not to be woken every two seconds, nor an order to wait behind it."""
    how: list[dict[str, Any]] = []
    monkeypatch.setattr(
        "ttslo_app.signs.beat.replace_file", lambda *_, **options: how.append(options)
    )
    with signs_of(live).over():
        wait_until(lambda: how, "one was written")
    assert all(options == {"is_durable": False} for options in how)


# --- a disk that cannot --------------------------------------------------------------------------


def test_full_disk_is_said_once_and_so_is_its_end(
    live: LiveProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program goes on, and the snapshots too once there is room."""
    real, tries, is_full = replace_file, [0], [True]

    def replace(*args: Any, **options: Any) -> None:
        tries[0] += 1
        if is_full[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(*args, **options)

    monkeypatch.setattr("ttslo_app.signs.beat.replace_file", replace)
    monkeypatch.setattr(beat, "EVERY", 0.05)
    with signs_of(live).over():
        wait_until(lambda: tries[0] > 3, "it was tried again and again")
        is_full[0] = False
        live.wait_for_line("can be written again")
        assert live.ttslo.worker.is_running
    (line,) = live.log_rows("state.csv.status.json cannot be written")
    assert line["level"] == "WARNING"
    assert "No space left on device" in line["message"]


def test_folder_that_is_gone_ends_nothing(live: LiveProgram) -> None:
    """It is said, and prices and orders go on."""
    about = About("LIVE", "somewhere", "config.csv", "state.csv", "1.0.0")
    with Signs(live.ttslo, about, live.folder / "gone" / "state.csv.status.json").over():
        live.wait_for_line("cannot be written")
        assert live.ttslo.worker.is_running


def test_error_that_nobody_foresaw_ends_no_sign_of_life(
    live: LiveProgram, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The next one is tried all the same."""
    monkeypatch.setattr(beat, "EVERY", 0.05)
    real, failures = encoded, [2]

    def fail_at_first(shown: Snapshot) -> bytes:
        if failures[0]:
            failures[0] -= 1
            raise ZeroDivisionError
        return real(shown)

    monkeypatch.setattr("ttslo_app.signs.beat.encoded", fail_at_first)
    with signs_of(live).over():
        wait_for(live, lambda s: s.phase == "running", "it was written after all")
    assert "could not be given" in caplog.text


# --- two programs --------------------------------------------------------------------------------


def left_by(live: LiveProgram, **changes: Any) -> bytes:
    """Leave a snapshot of another program; return it."""
    values = {"host": socket.gethostname(), "pid": os.getppid(), "written_at": time.time()}
    data = encoded(snapshot(**{**values, **changes}))
    path_of(live).write_bytes(data)
    return data


def test_file_of_another_that_runs_is_left_to_it(live: LiveProgram) -> None:
    """Two that overwrite each other would tell nonsense; which one is shown is said."""
    data = left_by(live)
    with signs_of(live).over():
        line = live.wait_for_line("of the same state: `ttslo status` shows that one")
    assert f"belongs to process {os.getppid()}" in line
    assert path_of(live).read_bytes() == data


@pytest.mark.parametrize(
    "changes",
    [{"phase": "stopped"}, {"written_at": 1.0}, {"pid": 2**22 + 4321}, {"pid": os.getpid()}],
)
def test_file_of_one_that_does_not_run_is_replaced(
    live: LiveProgram, changes: dict[str, Any]
) -> None:
    """Stopped, silent, or dead: its name is free."""
    left_by(live, **changes)
    with signs_of(live).over():
        wait_for(live, lambda s: s.exchange == "somewhere", "it tells of this program")


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b'{"schema": 99}'])
def test_file_that_nobody_can_read_is_replaced(live: LiveProgram, data: bytes) -> None:
    """Half of one, or one of another version."""
    path_of(live).write_bytes(data)
    with signs_of(live).over():
        wait_for_whole(live)


def wait_for_whole(live: LiveProgram) -> None:
    """Wait until the file can be read."""
    wait_until(lambda: path_of(live).read_bytes().startswith(b'{"version'), "it was replaced")
    assert read(live).exchange == "somewhere"


# --- the beat ------------------------------------------------------------------------------------


def test_beat_says_again_and_again_that_it_lives(
    live: LiveProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows that are armed, the nearest, and how old its proof is."""
    monkeypatch.setattr(beat, "EVERY", 0.05)
    with signs_of(live, beat=0.1).over():
        wait_until(lambda: len(live.log_lines("alive for")) > 1, "it says so twice")
    assert (
        "1 row is armed; nearest btc: BTC/USD at or above 51000, now 5"
        in (live.log_lines("alive for")[0])
    )


def test_real_run_waits_an_hour_with_its_first_beat(live: LiveProgram) -> None:
    """Its start has just said how the rows are."""
    with signs_of(live, beat=3600.0).over():
        first = wait_for(live, lambda s: s.phase == "running", "the first one")
        wait_for(live, lambda s: s.written_at > first.written_at, "the next one")
    assert live.log_lines("alive for") == []


def test_dry_run_says_at_its_start_that_it_lives_and_each_row_at_each_beat(
    live: LiveProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It places nothing, so without these lines nobody would know."""
    monkeypatch.setattr(beat, "EVERY", 0.05)
    with signs_of(live, "DRY RUN", beat=3600.0).over():
        assert live.wait_for_line("alive for").startswith("DRY RUN: alive for")
    assert live.log_lines("btc: armed, BTC/USD") == []  # it was told the line before
    with signs_of(live, "DRY RUN", beat=0.1).over():
        line = live.wait_for_line("btc: armed, BTC/USD")
    assert "at or above 51000, now 5" in line
    assert " % away, proven " in line


def test_beat_can_be_switched_off(live: LiveProgram, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then nothing is said, and the snapshots go on."""
    monkeypatch.setattr(beat, "EVERY", 0.02)
    with signs_of(live, "DRY RUN", beat=0.0).over():
        first = wait_for(live, lambda s: s.phase == "running", "the first one")
        wait_for(live, lambda s: s.written_at > first.written_at + 0.3, "some more")
    assert live.log_lines("alive for") == []


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1h", 3600), ("30min", 1800), ("30m", 1800), ("90", 90), ("90s", 90), ("0", 0),
     ("1.5 h", 5400), (" 2D ", 172800)],
)  # fmt: skip
def test_beat_is_written_as_people_write_it(text: str, seconds: float) -> None:
    """With a unit, or in seconds."""
    assert beat_of(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "1y", "soon", "-1", "nan", "inf", "1e12", "0.2", "1h30"])
def test_what_is_no_length_of_time_is_refused_with_an_example(text: str) -> None:
    """Before anything starts."""
    with pytest.raises(argparse.ArgumentTypeError, match=r"(1h|at least 1 second)"):
        beat_of(text)


def test_words_of_a_beat_reach_those_who_listen(live: LiveProgram) -> None:
    """As `where a row stands`, so that nobody is woken by them."""
    assert words.beat(snapshot()).kind is Kind.STANDING
    tell(live.ttslo.say, words.beat(snapshot()))
    assert json.dumps(live.log_lines("alive for"))
