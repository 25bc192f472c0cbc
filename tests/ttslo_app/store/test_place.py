"""What cannot work is refused before anything depends on it, and what may pass is let pass."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kits.rows.store_kit import FailingDisk, litter
from ttslo_app.store.disk import Disk, overwrite
from ttslo_app.store.place import (
    Unfit,
    check_replaceable,
    check_writable,
    exposure,
    refuse_same,
    second_name,
)

FILE = Path("state.csv")
on_posix = pytest.mark.skipif(os.name == "nt", reason="links and modes are POSIX's")


def names(**changes: str) -> dict[str, str]:
    """Return the names that a run has, some of them changed."""
    usual = {"config": "config.csv", "state": "state.csv", "log": "logs.csv", "keys": ".env"}
    return {**usual, **changes}


# --- files that are one ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        *({"state": "config.csv"}, {"log": "config.csv"}, {"log": "state.csv"}, {"log": ".env"}),
        *({"state": "./config.csv"}, {"log": "x/../state.csv"}, {"keys": "config.csv"}),
        *({"log": "state.csv.intents"}, {"config": "state.csv.tape"}, {"log": "config.csv.lock"}),
        *({"config": "logs.csv.1"}, {"state": "logs.csv.5"}, {"log": "state.csv.lock.json"}),
    ],
)
def test_two_names_of_one_file_are_refused(changes: dict[str, str]) -> None:
    """However it is spelled, nothing may be written over another file of the program."""
    Path("x").mkdir()
    with pytest.raises(Unfit, match="Give each a file of its own"):
        refuse_same(names(**changes))


def test_usual_names_are_several_files() -> None:
    """Neighbours in one folder are as good as ever, and so is a log that goes nowhere."""
    refuse_same(names())
    refuse_same(names(log="logs.csv.csv", config="config.csv.1"))
    refuse_same(names(log=os.devnull))


@on_posix
@pytest.mark.parametrize("link", ["symbolic", "hard", "folder"])
def test_a_link_does_not_hide_that_two_files_are_one(link: str) -> None:
    """Links of any kind lead to the same file."""
    Path("config.csv").write_text("rules")
    other = Path("other.csv")
    if link == "symbolic":
        other.symlink_to("config.csv")
    elif link == "hard":
        other.hardlink_to("config.csv")
    else:
        Path("side").symlink_to(".")
        other = Path("side") / "config.csv"
    with pytest.raises(Unfit, match="is the state"):
        refuse_same(names(state=str(other)))


# --- files that are replaced -------------------------------------------------------------------


@pytest.mark.parametrize("is_there", [True, False])
def test_a_good_place_is_left_as_it_was(is_there: bool) -> None:
    """The question itself changes nothing."""
    if is_there:
        FILE.write_text("all that is known")
    before = Disk().stamp(FILE)
    check_replaceable(Disk(), FILE)
    assert Disk().stamp(FILE) == before
    assert [path.name for path in Path().iterdir()] == (["state.csv"] if is_there else [])


@pytest.mark.parametrize(
    ("step", "number", "words"),
    [
        ("create", errno.EROFS, "its file system is read-only; mount it writable"),
        ("create", errno.EACCES, "this user may not write in its folder"),
        ("create", errno.EPERM, "this user may not write in its folder"),
        ("create", errno.ENOENT, "no file can be made in its folder"),
        ("create", errno.ENOTSUP, "its file system does not take files"),
        ("rename", errno.EBUSY, "Mount its folder instead"),
        ("rename", errno.EXDEV, "Mount its folder instead"),
        ("rename", errno.ENOSYS, "its file system cannot replace a file"),
        ("sync", errno.EINVAL, "its file system cannot bring it to the disk"),
        ("sync", errno.ENOTSUP, "name a place on a local disk"),
    ],
)
def test_a_permanent_obstacle_is_refused_with_its_cure(step: str, number: int, words: str) -> None:
    """Each has a sentence of its own, which names the file."""
    if os.name == "nt" and number in (errno.EBUSY, errno.EXDEV):
        pytest.skip("there somebody may only have the file open")
    FILE.write_text("x")
    with pytest.raises(Unfit, match=words) as caught:
        check_replaceable(FailingDisk(step, error=OSError(number, "raw")), FILE)
    assert str(caught.value).startswith("state.csv cannot be written: ")
    assert "raw" not in str(caught.value)
    assert litter() == []


@pytest.mark.parametrize("step", ["create", "write", "sync", "rename", "sync_folder"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EINTR, errno.EAGAIN, errno.EIO])
def test_a_passing_obstacle_does_not_hinder_the_start(step: str, number: int) -> None:
    """A disk that is full may be freed while the program waits for its prices."""
    check_replaceable(FailingDisk(step, error=OSError(number, "full")), FILE)
    assert litter() == []


@pytest.mark.parametrize(
    ("step", "number", "words"),
    [
        ("write", errno.ENOSPC, "the disk is full; free some of it"),
        ("sync", errno.ENOSPC, "the disk is full; free some of it"),
        ("sync", errno.EIO, "the disk answers with errors"),
        ("create", errno.EMFILE, "as it was said; see what its disk says"),
        ("create", errno.EROFS, "its file system is read-only; mount it writable"),
        ("rename", errno.EXDEV, "Mount its folder instead"),
    ],
)
def test_who_asks_how_things_are_now_hears_of_passing_obstacles_too(
    step: str, number: int, words: str
) -> None:
    """Each with its cure, and nothing is left behind."""
    if os.name == "nt" and number == errno.EXDEV:
        pytest.skip("there somebody may only have the file open")
    with pytest.raises(Unfit, match=words) as caught:
        check_writable(FailingDisk(step, error=OSError(number, "as it was said")), FILE)
    assert str(caught.value).startswith("state.csv cannot be written: ")
    assert litter() == []


def test_a_good_place_is_writable_now_and_left_as_it_was() -> None:
    """The question itself changes nothing."""
    check_writable(Disk(), FILE)
    assert list(Path().iterdir()) == []


@on_posix
@pytest.mark.parametrize("kind", ["folder", "no folder", "pipe", "device"])
def test_what_is_no_plain_file_is_refused(kind: str) -> None:
    """A pipe would swallow the state, and a folder cannot be replaced by it."""
    path = {"device": Path("/dev/null"), "no folder": Path("nowhere/state.csv")}.get(kind, FILE)
    if kind == "folder":
        path.mkdir()
    if kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(Unfit, match=r"it is (a folder|no plain file)|there is no folder"):
        check_replaceable(Disk(), path)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc")
def test_a_folder_that_takes_no_files_is_told_as_that() -> None:
    """Nobody else uses that file, and a number of an error says nothing."""
    with pytest.raises(Unfit, match="no file can be made in its folder; name one on a disk"):
        check_replaceable(Disk(), Path("/proc/state.csv"))


def test_a_read_only_file_is_its_owners_wish() -> None:
    """It is refused, though a rename would go over it."""
    FILE.write_text("x")
    with pytest.raises(Unfit, match="it is read-only"):
        check_replaceable(FailingDisk("is_replaceable"), FILE)


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """Hand out a file that is mounted by itself, under a name with a space in it."""
    source, target = tmp_path / "there.csv", tmp_path / "mounted here.csv"
    source.write_text("contents")
    target.touch()
    mount = ["mount", "--bind", str(source), str(target)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"nothing can be mounted here: {error}")
    yield target
    subprocess.run(["umount", str(target)], check=True)


def test_a_file_that_is_mounted_by_itself_is_refused(mounted: Path) -> None:
    """A rename over it never works, and the cure is to mount its folder."""
    with pytest.raises(OSError, match="busy"):
        overwrite(Disk(), mounted, b"new")
    with pytest.raises(Unfit, match=r"mounted by itself.*Mount its folder instead"):
        check_replaceable(Disk(), mounted)
    check_replaceable(Disk(), mounted.with_name("neighbour.csv"))
    assert mounted.read_text() == "contents"


@on_posix
def test_a_link_to_a_mounted_file_does_not_hide_it(mounted: Path) -> None:
    """What counts is the file itself."""
    link = mounted.with_name("link.csv")
    link.symlink_to(mounted)
    with pytest.raises(Unfit, match="mounted by itself"):
        check_replaceable(Disk(), link)


# --- keys --------------------------------------------------------------------------------------


@on_posix
@pytest.mark.parametrize(
    ("mode", "is_exposed"), [(0o600, False), (0o640, False), (0o644, True), (0o602, True)]
)
def test_keys_that_every_user_may_read_are_warned_of(mode: int, is_exposed: bool) -> None:
    """The sentence names the cure; a file that is not there needs none."""
    path = Path(".env")
    assert exposure(path) == ""
    path.write_text("KRAKEN_API_KEY=x")
    path.chmod(mode)
    assert ("chmod 600 .env" in exposure(path)) is is_exposed


# --- other names --------------------------------------------------------------------------------


@on_posix
def test_a_hard_link_is_warned_about_with_a_cure_that_helps() -> None:
    """Its other name has a lock of its own; after the cure there is none."""
    FILE.write_text("id\n")
    assert second_name(FILE) == ""
    os.link(FILE, "other.csv")
    said = second_name(FILE)
    assert said.startswith("state.csv has a second name (a hard link)")
    for command in ("cp state.csv copy", "mv copy state.csv"):
        assert command in said
        subprocess.run(command.split(), check=True)
    assert second_name(FILE) == ""


def test_what_is_no_file_has_no_second_name() -> None:
    """Folders have more links than one, and what is not there has none."""
    Path("folder").mkdir()
    assert second_name(Path("folder")) == second_name(Path("nothing")) == ""
