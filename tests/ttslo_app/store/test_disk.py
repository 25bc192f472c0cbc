"""The file system: what is read stood still, and what is replaced is whole."""

import errno
import os
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from store_kit import FailingDisk, litter

from ttslo_app.store.disk import Changed, Disk, overwrite, read_settled, replace, sweep

FILE = Path("file.csv")


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


def test_overwrite_replaces_whatever_stands_there() -> None:
    """The one writer of a file need not have read it."""
    FILE.write_bytes(b"old")
    overwrite(Disk(), FILE, b"new")
    assert FILE.read_bytes() == b"new"


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
