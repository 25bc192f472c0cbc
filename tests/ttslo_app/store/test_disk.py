"""The file system: what is read stood still, and what is replaced is whole."""

import errno
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from tests.kits.common.odd_files import ODD
from tests.kits.rows.store_kit import FailingDisk, litter
from ttslo_app.store.disk import (
    LITTER_AGE,
    MOST_BYTES,
    PROBE,
    Changed,
    Disk,
    _take_after,
    overwrite,
    read_settled,
    replace,
    sweep,
)

FILE = Path("file.csv")
on_posix = pytest.mark.skipif(os.name == "nt", reason="links and such syncs are POSIX's")


def test_the_real_disk_knows_time_and_waits() -> None:
    """The real clock gives UTC, and its other side never runs backwards."""
    disk = Disk()
    before = disk.monotonic()
    disk.pause(0)
    assert disk.monotonic() >= before
    assert disk.now().utcoffset() == timedelta(0)


@pytest.mark.skipif(os.name == "nt", reason="folders are synced on POSIX only")
@pytest.mark.parametrize(("number", "is_raised"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_a_folder_that_knows_no_sync_is_let_pass(
    number: int, is_raised: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Network file systems that cannot sync folders are tolerated; a broken disk is not."""

    def fail(_handle: int) -> None:
        raise OSError(number, "sync")

    monkeypatch.setattr(os, "fsync", fail)
    with ExitStack() as stack:
        if is_raised:
            stack.enter_context(pytest.raises(OSError))
        Disk().sync_folder(Path())


def test_replace_tells_the_stamp_of_what_stands_there_now() -> None:
    """The stamp belongs to the new contents, so that an own write is known again."""
    disk = Disk()
    first = replace(disk, FILE, b"one", None)
    second = replace(disk, FILE, b"three", first)
    assert first != second
    assert read_settled(disk, FILE) == (b"three", second)


def test_replace_leaves_a_file_that_is_another_one() -> None:
    """Neither a version that is not expected nor a file that should not be there is touched."""
    disk = Disk()
    first = replace(disk, FILE, b"one", None)
    FILE.write_bytes(b"mine, and longer")
    for expected in (first, None):
        with pytest.raises(Changed):
            replace(disk, FILE, b"two", expected)
    assert FILE.read_bytes() == b"mine, and longer"
    assert litter() == []


def test_replace_leaves_a_file_that_may_not_be_written() -> None:
    """A read-only file is its owner's wish, though a rename would go over it."""
    stamp = replace(Disk(), FILE, b"one", None)
    with pytest.raises(PermissionError, match="read-only"):
        replace(FailingDisk("is_replaceable"), FILE, b"two", stamp)
    assert FILE.read_bytes() == b"one"


@on_posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o604])
def test_replaced_file_keeps_its_mode_and_its_owner(
    mode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who runs the program once as root can still edit the file afterwards."""
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "chown", lambda path, uid, gid: given.append((uid, gid)))
    FILE.write_bytes(b"one")
    FILE.chmod(mode)
    replace(Disk(), FILE, b"two", Disk().stamp(FILE))
    assert FILE.stat().st_mode & 0o777 == mode
    assert given == []  # it is ours already
    real = Path.stat

    def of_another(path: Path, **how: bool) -> os.stat_result:
        found = real(path, **how)
        cells = list(found)
        if path.name == FILE.name:
            cells[4:6] = [4711, 4712]
        return os.stat_result(cells)

    monkeypatch.setattr(Path, "stat", of_another)
    _take_after(Path(__file__), FILE.absolute())
    assert given == [(4711, 4712)]


def test_overwrite_replaces_whatever_stands_there() -> None:
    """The one writer of a file need not have read it."""
    FILE.write_bytes(b"old")
    overwrite(Disk(), FILE, b"new")
    assert FILE.read_bytes() == b"new"


def test_pieces_are_made_anew_for_each_try() -> None:
    """Where somebody wrote in between, the next try has all of them and not what was left."""
    disk, tries = FailingDisk(), []
    disk.intrusions = [b"theirs", b"theirs again"]

    def pieces() -> Iterator[bytes]:
        tries.append(len(disk.intrusions))
        yield from (b"all ", b"of ", b"it")

    FILE.write_bytes(b"old")
    overwrite(disk, FILE, pieces)
    assert FILE.read_bytes() == b"all of it"
    assert tries == [2, 1, 0]


def test_file_that_is_not_there_is_read_as_none() -> None:
    """No file has no stamp, and an empty one has."""
    assert read_settled(Disk(), FILE) == (b"", None)
    FILE.touch()
    assert read_settled(Disk(), FILE) == (b"", Disk().stamp(FILE))


def test_bytes_at_the_end_are_written_and_synced() -> None:
    """A file that is open at its end takes what comes, and so does one that is not."""
    disk = Disk()
    with disk.open_end(FILE) as file:
        disk.write(file, b"one")
        disk.sync_data(file)
        disk.append(FILE, b"two")
    assert disk.read(FILE) == b"onetwo"


def test_sweep_of_a_folder_that_cannot_be_read_raises_nothing() -> None:
    """Leftovers are no reason not to start."""
    sweep(Disk(), Path("nowhere") / "file.csv", 0.0)
    assert not Path("nowhere").exists()


def test_sweep_leaves_the_trial_of_a_second_program_alone() -> None:
    """Else that program would say that nothing can be written, and not who has the files."""
    young, old = (f"{FILE}{PROBE}{letter * 32}.tmp" for letter in "ab")
    disk = Disk()
    now = disk.now().timestamp()
    for name, age in ((young, LITTER_AGE / 2), (old, LITTER_AGE + 60)):
        Path(name).touch()
        os.utime(name, (now - age,) * 2)
    sweep(disk, FILE, 0.0)
    assert litter() == [young]


def test_an_edit_in_place_of_same_length_and_time_has_another_stamp() -> None:
    """Whoever sets the time of writing back cannot set that of the change."""
    FILE.write_bytes(b"one")
    before = Disk().stamp(FILE)
    assert before is not None
    until = time.monotonic() + 5
    while Disk().stamp(FILE) == before and time.monotonic() < until:  # clocks of files are coarse
        FILE.write_bytes(b"two")
        os.utime(FILE, ns=(before.mtime_ns, before.mtime_ns))
    after = Disk().stamp(FILE)
    assert after is not None
    assert after.is_same_write(before)
    assert after != before


def test_a_save_right_after_ours_is_not_taken_for_ours() -> None:
    """The stamp of a replacement is never that of what somebody has written over it."""

    class Intruded(Disk):
        def sync_folder(self, folder: Path) -> None:
            FILE.write_bytes(b"theirs")

    written = replace(Intruded(), FILE, b"ours", None)
    assert Disk().stamp(FILE) != written


@on_posix
@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.ENOTSUP])
def test_a_file_system_without_fdatasync_is_synced_whole(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be synced in part is synced as a whole; a broken disk is told."""
    synced: list[int] = []

    def refuse(_handle: int) -> None:
        raise OSError(number, "unknown")

    monkeypatch.setattr(os, "fdatasync", refuse, raising=False)
    monkeypatch.setattr(os, "fsync", synced.append)
    with Disk().open_end(FILE) as file:
        Disk().sync_data(file)
        assert synced == [file.fileno()]
        number = errno.EIO
        with pytest.raises(OSError, match="unknown"):
            Disk().sync_data(file)


def test_a_file_of_half_a_gigabyte_is_none_of_ours() -> None:
    """It is refused by its size, before it fills the memory."""
    with FILE.open("wb") as file:
        file.truncate(MOST_BYTES + 1)  # a hole: it takes no room
    with pytest.raises(OSError, match="more than any file of this program"):
        read_settled(Disk(), FILE)


@on_posix
@pytest.mark.parametrize("kind", ["link", "dangling", "hard", "pipe"])
def test_a_link_under_a_name_of_ours_is_not_followed(kind: str) -> None:
    """In a folder that others may write to it could lead to any file of the user's."""
    precious = Path("precious")
    if kind != "dangling":
        precious.write_text("of the user")
    if kind == "hard":
        FILE.hardlink_to(precious)
    elif kind == "pipe":
        os.mkfifo(FILE)
    else:
        FILE.symlink_to(precious)
    with pytest.raises(OSError, match="take it away"):
        Disk().open_end(FILE)
    if kind != "pipe":
        overwrite(Disk(), FILE, b"ours", follows=False)
        assert FILE.read_bytes() == b"ours"
        assert not FILE.is_symlink()
    assert precious.exists() == (kind != "dangling")
    assert kind == "dangling" or precious.read_text() == "of the user"


def test_file_holds_its_very_bytes_and_no_others(tmp_path: Path) -> None:
    """Neither a byte more nor one less, nor another of the same length at the same time."""
    path = tmp_path / "config.csv"
    path.write_bytes(b"row,1")
    kept = path.stat()
    assert Disk().holds(path, b"row,1")
    assert not Disk().holds(path, b"row,")
    assert not Disk().holds(path, b"row,11")
    path.write_bytes(b"row,2")
    os.utime(path, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    assert not Disk().holds(path, b"row,1")
    path.unlink()
    assert not Disk().holds(path, b"")


@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_plain_file_holds_nothing(kind: str, tmp_path: Path) -> None:
    """A pipe is not waited for, and what it is `read_settled` tells."""
    path = tmp_path / "config.csv"
    ODD[kind](path)
    assert not Disk().holds(path, b"")


@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_plain_file_is_refused_and_not_waited_for(kind: str, tmp_path: Path) -> None:
    """Whatever file of the program it stands for."""
    path = tmp_path / "config.csv"
    ODD[kind](path)
    with pytest.raises(OSError, match="put a plain file in its place"):
        read_settled(Disk(), path)


def test_log_that_became_a_pipe_without_a_reader_is_an_error(tmp_path: Path) -> None:
    """Whoever writes a line waits for nobody."""
    path = tmp_path / "logs.csv"
    ODD["pipe"](path)
    with pytest.raises(OSError, match=r"logs\.csv"):
        Disk().append(path, b"a line")
