"""Where a run may have its files: known before the first price, and said with the cure."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from config import StateLock
from tests.kits.program.program_process import HEADER, ROW
from ttslo import main

on_posix = pytest.mark.skipif(os.name == "nt", reason="mounts and links are POSIX's")


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the run have a trading key, and a config; no exchange is asked before it is refused."""
    monkeypatch.setenv("KRAKEN_SPOT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("KRAKEN_API_KEY_RW", "key")
    monkeypatch.setenv("KRAKEN_API_SECRET_RW", "c2VjcmV0")
    Path("config.csv").write_text(f"{HEADER}\n{ROW}\n")


def refusal(capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    """Start the program, which must not run, and return its sentence."""
    assert main(["--once", *flags]) == 1
    return capsys.readouterr().err


@pytest.mark.parametrize(
    "flags",
    [
        ("--state", "config.csv"),
        ("--log", "config.csv"),
        ("--log", "./state.csv"),
        ("--log", "state.csv.intents"),
        ("--env-file", "config.csv"),
        ("--dry-run", "--log", "config.csv"),
        ("--validate-config", "--log", "config.csv"),
    ],
)
def test_one_file_for_two_purposes_is_refused(
    capsys: pytest.CaptureFixture[str], flags: tuple[str, ...]
) -> None:
    """The rules are not written over, whatever the run is for."""
    before = Path("config.csv").read_bytes()
    assert "Give each a file of its own" in refusal(capsys, *flags)
    assert Path("config.csv").read_bytes() == before


@pytest.mark.parametrize("name", ["config.csv", "./config.csv", "link.csv"])
def test_a_second_program_on_the_same_config_is_refused(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """A state of its own does not keep it from placing each order a second time."""
    if name == "link.csv":
        if os.name == "nt":
            pytest.skip("links need rights on Windows")
        Path(name).symlink_to("config.csv")
    with StateLock("config.csv"):
        said = refusal(capsys, "--config", name, "--state", "mine.csv")
    assert f"is in use by process {os.getpid()}" in said
    assert not Path("mine.csv").exists()


@pytest.fixture(params=["config.csv", "state.csv"])
def mounted(request: pytest.FixtureRequest) -> Iterator[str]:
    """Mount one of the files by itself, as a container does that is given a file."""
    name = str(request.param)
    Path("outside").write_text(Path(name).read_text() if Path(name).exists() else "")
    Path(name).touch()
    try:
        subprocess.run(["mount", "--bind", "outside", name], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"nothing can be mounted here: {error}")
    yield name
    subprocess.run(["umount", name], check=True)


@on_posix
def test_a_file_that_is_mounted_by_itself_is_refused(
    capsys: pytest.CaptureFixture[str], mounted: str
) -> None:
    """No intent, or no order, could be written down: it does not start, and the cure is named."""
    said = refusal(capsys)
    assert f"Cannot run: {mounted} cannot be written: it is mounted by itself" in said
    assert "Mount its folder instead" in said
    assert not Path("logs.csv").exists()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc")
def test_a_state_where_no_file_can_be_is_told_as_that(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither another process nor a number of an error is the reason."""
    said = refusal(capsys, "--state", "/proc/state.csv")
    assert "/proc/state.csv cannot be written: no file can be made in its folder" in said
    assert "in use" not in said
    assert "Errno" not in said


@on_posix
@pytest.mark.parametrize("kind", ["folder", "no folder", "read-only"])
def test_a_state_that_can_never_be_written_is_refused(
    capsys: pytest.CaptureFixture[str], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each with its own sentence and cure."""
    name = "nowhere/state.csv" if kind == "no folder" else "state.csv"
    if kind == "folder":
        Path(name).mkdir()
    if kind == "read-only":
        Path(name).write_text("")
        monkeypatch.setattr("os.access", lambda *_args, **_kwargs: False)
    said = refusal(capsys, "--state", name)
    cures = {"folder": "name a file", "no folder": "make it first", "read-only": "change its mode"}
    assert cures[kind] in said


@on_posix
def test_a_log_that_cannot_be_written_is_said_on_screen(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Once; and the run goes on without it."""
    Path("logs").mkdir()
    Path(".env").write_text("")
    Path(".env").chmod(0o644)
    assert main(["--once", "--dry-run", "--no-websocket", "--log", "logs"]) == 1  # nobody answers
    shown = capsys.readouterr().out
    assert shown.count("logs cannot be written (Is a directory)") == 1
    assert shown.count(".env may be read by every user of this machine") == 1
