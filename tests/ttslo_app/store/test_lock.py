"""The lock of a state: one holder, who can be named, and none after its process."""

import errno
import multiprocessing
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.kits.rows.store_kit import FailingDisk
from ttslo_app.store.lock import AlreadyRunning, StateLock


def test_a_second_lock_names_the_holder() -> None:
    """The second copy learns who holds the state, and since when."""
    with StateLock("state.csv", FailingDisk()):
        with pytest.raises(AlreadyRunning) as caught, StateLock("state.csv"):
            pass
        holder = caught.value.holder
    assert holder is not None
    assert (holder.pid, holder.since) == (os.getpid(), "2026-11-23T12:00:00+00:00")
    assert f"process {os.getpid()} on {holder.host} since" in str(caught.value)


def test_a_lock_is_free_again_afterwards() -> None:
    """Whoever comes after the holder gets the lock, also after an error inside."""
    with pytest.raises(KeyError), StateLock("state.csv"):
        raise KeyError
    with StateLock("state.csv") as lock:
        assert lock.holder() is not None
    assert lock.holder() is None


def test_another_thread_may_let_go() -> None:
    """Whichever thread ends the program gives the state free."""
    lock = StateLock("state.csv").__enter__()
    thread = threading.Thread(target=lock.__exit__, args=(None, None, None))
    thread.start()
    thread.join()
    with StateLock("state.csv"):
        pass


def test_a_holder_that_cannot_be_told_is_another_process() -> None:
    """Damage in the small file beside the lock costs the name and nothing else."""
    with StateLock("state.csv"):
        Path("state.csv.lock.json").write_text("[]")
        with pytest.raises(AlreadyRunning, match="another process"), StateLock("state.csv"):
            pass


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_two_names_of_one_state_are_one_lock() -> None:
    """A link to the state file does not open a back door."""
    Path("link.csv").symlink_to("state.csv")
    with StateLock("state.csv"), pytest.raises(AlreadyRunning), StateLock("link.csv"):
        pass


def test_the_lock_ends_with_its_process() -> None:
    """A killed program leaves no lock behind."""
    context = multiprocessing.get_context("spawn")
    ready, end = context.Event(), context.Event()
    process = context.Process(target=hold_lock, args=(str(Path("state.csv").resolve()), ready, end))
    process.start()
    try:
        assert ready.wait(60)
        with pytest.raises(AlreadyRunning, match=f"process {process.pid}"), StateLock("state.csv"):
            pass
    finally:
        process.kill()
        process.join()
    with StateLock("state.csv") as lock:
        holder = lock.holder()
        assert holder is not None
        assert holder.pid == os.getpid()


def test_asking_for_a_lock_takes_none_and_makes_nothing() -> None:
    """Whoever looks at a program that runs must not be in the way of the next one."""
    lock = StateLock("state.csv")
    assert not lock.is_held()
    assert list(Path().iterdir()) == []
    with StateLock("state.csv") as held:
        assert lock.is_held()
        assert held.holder() == lock.holder()
    assert not lock.is_held()
    with StateLock("state.csv"):
        pass


@pytest.mark.skipif(os.name == "nt", reason="there is one kind of lock")
def test_many_may_ask_at_once() -> None:
    """Two who look do not take each other for a program."""
    fcntl = pytest.importorskip("fcntl")
    with StateLock("state.csv"):
        pass
    with Path("state.csv.lock").open("w") as asker:
        fcntl.flock(asker, fcntl.LOCK_SH)
        assert not StateLock("state.csv").is_held()


@pytest.mark.parametrize("is_without_shared_locks", [False, True])
def test_asking_tells_a_holder_on_each_system(
    is_without_shared_locks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the system knows no shared lock it is tried, and given back at once."""
    if is_without_shared_locks:
        monkeypatch.setattr("ttslo_app.store.lock.fcntl", None)
    with StateLock("state.csv"):
        assert StateLock("state.csv").is_held()
    assert not StateLock("state.csv").is_held()
    assert not StateLock("state.csv").is_held()


def hold_lock(path: str, ready: threading.Event, end: threading.Event) -> None:
    """Hold the lock until killed; runs in a process of its own."""
    with StateLock(path):
        ready.set()
        end.wait(60)


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
@pytest.mark.parametrize("name", ["state.csv.lock", "state.csv.lock.json"])
def test_a_link_under_a_name_of_the_lock_empties_no_file(name: str) -> None:
    """In a folder that others may write to it could lead to any file of the user's."""
    precious = Path("precious")
    precious.write_text("of the user")
    Path(name).symlink_to(precious)
    with suppress(OSError), StateLock("state.csv") as lock:
        holder = lock.holder()
        assert holder is not None
        assert holder.pid == os.getpid()
    assert precious.read_text() == "of the user"


@pytest.mark.skipif(os.name == "nt", reason="there the locks are those of the file system itself")
@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK, errno.EINVAL])
def test_a_file_system_without_locks_is_told_and_stops_nobody(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not somebody else's lock, and a lock is no reason not to protect anybody."""

    def refuse(_handle: int, _what: int) -> None:
        raise OSError(number, "no locks here")

    monkeypatch.setattr("fcntl.flock", refuse)
    with StateLock("state.csv") as lock:
        pass
    assert lock.absence.startswith("state.csv cannot be locked: its file system knows no locks")


# --- what becomes of it while it is held ---------------------------------------------------------


def taken_away() -> None:
    """Remove it, as somebody does who takes it for a left-over."""
    Path("state.csv.lock").unlink()


def replaced() -> None:
    """Put another in its place, as programs do that keep folders alike."""
    Path("other").touch()
    Path("other").replace("state.csv.lock")


def renamed() -> None:
    """Move it aside."""
    Path("state.csv.lock").rename("state.csv.lock.old")


LOSSES = [taken_away, replaced, renamed]


@pytest.mark.skipif(os.name == "nt", reason="there nobody can take a locked file away")
@pytest.mark.parametrize("lose", LOSSES)
def test_a_lock_file_that_is_taken_away_is_had_anew(lose: Callable[[], None]) -> None:
    """Somebody tidies up: whoever comes next still hears who was first."""
    with StateLock("state.csv") as lock:
        lose()
        lock.renew()
        with pytest.raises(AlreadyRunning) as caught, StateLock("state.csv"):
            pass
        assert caught.value.holder is not None
        assert caught.value.holder.pid == os.getpid()
        lock.renew()
    assert not StateLock("state.csv").is_held()


@pytest.mark.skipif(os.name == "nt", reason="there nobody can take a locked file away")
@pytest.mark.parametrize("lose", LOSSES)
def test_a_lock_that_another_has_by_now_stays_lost(lose: Callable[[], None]) -> None:
    """What the other one has done with the file nobody here knows, even once it has ended."""
    with StateLock("state.csv") as first:
        lose()
        with StateLock("state.csv") as second:
            with pytest.raises(AlreadyRunning):
                first.renew()
            second.renew()
        with pytest.raises(AlreadyRunning):
            first.renew()
        with StateLock("state.csv") as third:
            first.__exit__(None, None, None)
            assert third.holder() is not None, "what the first left was not its own"


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_a_link_that_leads_elsewhere_takes_the_lock_along() -> None:
    """What decides about orders is the file that the name leads to now."""
    Path("link.csv").symlink_to("one.csv")
    with StateLock("link.csv") as lock:
        Path("new").symlink_to("two.csv")
        Path("new").replace("link.csv")
        lock.renew()
        with pytest.raises(AlreadyRunning), StateLock("two.csv"):
            pass
        assert not StateLock("one.csv").is_held()


def test_a_lock_that_is_there_is_left_as_it_is() -> None:
    """The look costs no new file, however often."""
    with StateLock("state.csv") as lock:
        before = Path("state.csv.lock").stat()
        lock.renew()
        lock.renew()
        assert os.path.samestat(before, Path("state.csv.lock").stat())


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_a_name_that_becomes_a_link_takes_the_lock_along() -> None:
    """That a lock file lies beside the name says nothing, once the name leads elsewhere."""
    Path("state.csv").touch()
    Path("far").mkdir()
    with StateLock("state.csv") as lock:
        Path("new").symlink_to("far/state.csv")
        Path("new").replace("state.csv")
        lock.renew()
        with pytest.raises(AlreadyRunning), StateLock("far/state.csv"):
            pass


@pytest.mark.skipif(os.name == "nt", reason="there nobody can take a locked folder away")
def test_a_folder_behind_a_link_is_looked_at_where_the_link_leads() -> None:
    """Moved and linked back, it has the same lock; another folder in its place has none."""
    Path("data").mkdir()
    with StateLock("data/state.csv") as lock:
        Path("data").rename("moved")
        Path("data").symlink_to("moved")
        lock.renew()
        with pytest.raises(AlreadyRunning), StateLock("moved/state.csv"):
            pass
        Path("other").mkdir()
        Path("data").unlink()
        Path("data").symlink_to("other")
        lock.renew()
        with pytest.raises(AlreadyRunning), StateLock("other/state.csv"):
            pass


def test_a_look_at_a_lock_does_not_resolve_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands before each order, and the name need not be resolved where nothing changed."""
    with StateLock("state.csv") as lock:
        monkeypatch.setattr(Path, "resolve", None)
        lock.renew()
        Path("state.csv").touch()
        lock.renew()
        Path("state.csv.lock").unlink()
        with pytest.raises(TypeError):
            lock.renew()
        monkeypatch.undo()


def test_a_lock_that_was_never_had_is_nothing_to_renew() -> None:
    """Where there is none, such as in a folder that cannot be written, nothing is made."""
    StateLock("state.csv").renew()
    assert not Path("state.csv.lock").exists()


@pytest.mark.skipif(os.name == "nt", reason="there nobody can take a locked folder away")
def test_a_lock_that_cannot_be_had_now_is_tried_again() -> None:
    """A folder that is gone for a moment is trouble of the disk, and ends nothing."""
    Path("data").mkdir()
    with StateLock("data/state.csv") as lock:
        Path("data").rename("away")
        with pytest.raises(OSError, match="folder is gone"):
            lock.renew()
        assert not Path("data").exists()
        Path("away").rename("data")
        lock.renew()
        with pytest.raises(AlreadyRunning), StateLock("data/state.csv"):
            pass


@pytest.mark.skipif(os.name == "nt", reason="there nobody can take a locked folder away")
def test_a_folder_that_is_moved_and_made_anew_has_its_lock_in_both_places() -> None:
    """A second program finds the first in the copy, and in what was moved."""
    Path("data").mkdir()
    with StateLock("data/state.csv") as lock:
        Path("data").rename("away")
        Path("data").mkdir()
        lock.renew()
        for folder in ("data", "away"):
            with pytest.raises(AlreadyRunning), StateLock(f"{folder}/state.csv"):
                pass
    assert not StateLock("away/state.csv").is_held()
