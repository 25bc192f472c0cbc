"""This machine: its addresses, its clock, its cache, its files replaced whole, its forks."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import platformdirs
import pytest

from krakenlink.machine import (
    FileSteps,
    cache_folder,
    checked_root,
    feed_clock,
    is_krakens,
    is_loopback,
    kept_in,
    on_fork,
    read_plain,
    replace_file,
    validate_url,
)
from tests.kits.common.fresh_python import run_python
from tests.kits.common.odd_files import ODD

LONG = 60.0  # seconds that nothing here takes unless it is broken

# --- addresses, clock, cache -------------------------------------------------------------------


@pytest.mark.parametrize(
    "url", ["wss://ws.kraken.com/v2", "ws://127.0.0.1:80/v2", "ws://localhost/", "ws://[::1]:1/v2"]
)
def test_address_with_tls_or_on_this_machine_is_taken(url: str) -> None:
    """`wss:` anywhere and `ws:` on loopback are addresses that prices may come from."""
    assert validate_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "ws://ws.kraken.com/v2",
        "http://127.0.0.1/",
        "ws://10.0.0.1/",
        "",
        "wss://",
        "ws://127.1.nip",
    ],
)
def test_address_that_anybody_could_answer_is_refused(url: str) -> None:
    """Without TLS, or with another scheme, there is no feed; the text says what to write."""
    with pytest.raises(ValueError, match="wss:"):
        validate_url(url)


def test_address_with_a_password_is_refused_without_showing_it() -> None:
    """A secret in an address would end up in logs."""
    with pytest.raises(ValueError, match="password") as caught:
        validate_url("wss://me:hunter2@ws.kraken.com/v2")
    assert "hunter2" not in str(caught.value)


def test_loopback_is_told_without_a_name_server() -> None:
    """Only names that can mean nothing else are this machine."""
    assert [is_loopback(host) for host in ("LOCALHOST", "127.9.9.9", "::1")] == [True] * 3
    assert not is_loopback("localhost.example.com")


@pytest.mark.parametrize(
    ("url", "is_theirs"),
    [
        ("wss://ws.kraken.com/v2", True),
        ("wss://WS-auth.Kraken.com:443/v2", True),
        ("wss://kraken.com", True),
        ("wss://notkraken.com/v2", False),
        ("wss://ws.kraken.com.example/v2", False),
        ("ws://127.0.0.1:80/ws.kraken.com", False),
        ("redis://broker/a,b", False),
    ],
)
def test_servers_of_kraken_are_told_by_their_name(url: str, is_theirs: bool) -> None:
    """By its end, as a whole."""
    assert is_krakens(url) is is_theirs


def test_clock_of_the_feed_goes_on_while_the_machine_sleeps() -> None:
    """It never steps back, and on Linux it is the one that counts suspended time."""
    assert feed_clock() <= feed_clock()
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    assert boot is None or abs(time.clock_gettime(boot) - feed_clock()) < LONG


def test_cache_folder_is_named_by_the_environment_or_the_platform(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """TTSLO_CACHE_DIR wins; otherwise it is where the platform keeps caches."""
    monkeypatch.setenv("TTSLO_CACHE_DIR", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("TTSLO_CACHE_DIR")
    assert "ttslo" in cache_folder().parts


@pytest.mark.parametrize("error", [KeyError("getpwuid(): uid not found"), RuntimeError("no home")])
def test_user_without_a_home_has_no_cache_and_everything_else(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """No HOME and no entry among the users means that nothing is kept, and stops nothing."""

    def refuse(*_: object, **__: object) -> str:
        raise error

    monkeypatch.delenv("TTSLO_CACHE_DIR")
    monkeypatch.setattr(platformdirs, "user_cache_dir", refuse)
    with pytest.raises(OSError, match="no cache folder"):
        cache_folder()
    assert kept_in("https://api.kraken.com", None) is None


def test_home_that_is_not_found_is_no_folder_named_after_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What Python leaves as `~` would be a folder of that name, wherever one happens to be."""
    monkeypatch.delenv("TTSLO_CACHE_DIR")
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda *_, **__: "~/.cache/ttslo")
    assert kept_in("https://api.kraken.com", None) is None
    assert kept_in("https://api.kraken.com", tmp_path) == tmp_path
    assert kept_in("http://127.0.0.1:8080", None) is None


@pytest.mark.parametrize(
    "url",
    [
        "https://host:99999",
        "https://host:port",
        "https://host:0",
        "https://[::1",
        "https://ho st",
        "https://host\n.evil",
        "https://host/path?query=1",
        "https://" + "x" * 70 + ".com",
        "host",
        "",
        "ftp://host",
    ],
)
def test_address_that_is_none_is_refused_with_its_cure(url: str) -> None:
    """At once, and not by a call an hour later."""
    with pytest.raises(ValueError, match="is refused: use https://"):
        checked_root(url)
    with pytest.raises(ValueError, match="is no WebSocket address; write wss://"):
        validate_url(url.replace("https:", "wss:") if "query" not in url else "")


@pytest.mark.parametrize(
    ("port", "is_one"),
    [("0", False), ("65536", False), ("abc", False), ("65535", True), ("", True)],
)
def test_port_that_is_none_is_what_is_told(port: str, is_one: bool) -> None:
    """Whoever wrote a loopback address is not told to write one."""
    said = "Its port is none: write a number from 1 to 65535"
    for check, url in (
        (checked_root, f"http://127.0.0.1:{port}"),
        (validate_url, f"ws://127.0.0.1:{port}/v2"),
    ):
        if is_one:
            assert check(url) == url
        else:
            with pytest.raises(ValueError, match="Its port is none") as caught:
                check(url)
            assert str(caught.value).endswith(said)


def test_address_of_rest_loses_its_name_and_password() -> None:
    """They would be printed; Kraken wants none."""
    assert checked_root("https://me:hunter2@host:8443/") == "https://host:8443"
    with pytest.raises(ValueError, match="refused") as caught:
        checked_root("http://me:hunter2@host")
    assert "hunter2" not in str(caught.value)


# --- files -------------------------------------------------------------------------------------


class Failing(FileSteps):
    """Steps of which one fails."""

    def __init__(self, step: str) -> None:
        self.step = step
        self.done: list[str] = []

    def _do(self, step: str) -> None:
        self.done.append(step)
        if step == self.step:
            raise OSError(f"{step} fails")

    def create(self, path: Path) -> BinaryIO:
        self._do("create")
        return super().create(path)

    def write(self, file: BinaryIO, data: bytes) -> None:
        super().write(file, data)
        self._do("write")

    def sync(self, file: BinaryIO) -> None:
        self._do("sync")
        super().sync(file)

    def rename(self, source: Path, target: Path) -> None:
        self._do("rename")
        super().rename(source, target)

    def sync_folder(self, folder: Path) -> None:
        self._do("sync_folder")
        super().sync_folder(folder)


def names_in(folder: Path) -> list[str]:
    """Return what stands in `folder`."""
    return sorted(path.name for path in folder.iterdir())


def test_file_is_replaced_whole_and_brought_to_the_platter_in_order(tmp_path: Path) -> None:
    """Contents first, then the name, then the folder; nothing else stays behind."""
    file, steps = tmp_path / "a.csv", Failing("")
    file.write_bytes(b"old")
    replace_file(file, b"new", steps)
    assert file.read_bytes() == b"new"
    assert names_in(tmp_path) == ["a.csv"]
    assert steps.done == ["create", "write", "sync", "rename", "sync_folder"]


def test_file_in_pieces_is_written_as_they_are_made(tmp_path: Path) -> None:
    """What is large is never in hand as a whole; it is brought to the platter once."""
    file, steps = tmp_path / "a.csv", Failing("")

    def pieces() -> Iterator[bytes]:
        for piece in (b"new, ", b"in ", b"pieces"):
            steps.done.append(piece.decode().strip(", "))
            yield piece

    replace_file(file, pieces(), steps)
    assert file.read_bytes() == b"new, in pieces"
    written = ["new", "write", "in", "write", "pieces", "write"]
    assert steps.done == ["create", *written, "sync", "rename", "sync_folder"]


def test_piece_that_cannot_be_made_leaves_the_old_file(tmp_path: Path) -> None:
    """Half of the contents never takes the place of what there was."""
    file = tmp_path / "a.csv"
    file.write_bytes(b"old")

    def pieces() -> Iterator[bytes]:
        yield b"half"
        raise TypeError("no text")

    with pytest.raises(TypeError, match="no text"):
        replace_file(file, pieces())
    assert file.read_bytes() == b"old"
    assert names_in(tmp_path) == ["a.csv"]


def test_file_that_may_be_lost_waits_for_no_platter(tmp_path: Path) -> None:
    """A cache costs no sync."""
    steps = Failing("")
    replace_file(tmp_path / "cache", b"new", steps, is_durable=False)
    assert steps.done == ["create", "write", "rename"]


@pytest.mark.parametrize("step", ["create", "write", "sync", "rename"])
def test_failed_step_leaves_the_old_file_and_nothing_beside_it(step: str, tmp_path: Path) -> None:
    """Whatever fails before the end, readers go on with what there was."""
    file = tmp_path / "a.csv"
    file.write_bytes(b"old")
    with pytest.raises(OSError, match=f"{step} fails"):
        replace_file(file, b"new", Failing(step))
    assert file.read_bytes() == b"old"
    assert names_in(tmp_path) == ["a.csv"]


def test_last_look_sees_the_new_file_and_may_refuse_it(tmp_path: Path) -> None:
    """Who finds the old file changed meanwhile leaves it as it is."""
    file = tmp_path / "a.csv"
    file.write_bytes(b"old")
    seen = []

    def refuse(new: Path) -> None:
        seen.append(new.read_bytes())
        raise LookupError("changed meanwhile")

    with pytest.raises(LookupError):
        replace_file(file, b"new", before_rename=refuse)
    assert (seen, file.read_bytes()) == ([b"new"], b"old")
    assert names_in(tmp_path) == ["a.csv"]


def test_file_that_somebody_holds_open_is_tried_again(tmp_path: Path) -> None:
    """Where a spreadsheet holds a file, some tries are made, and the last says what to do."""

    class Held(FileSteps):
        rename_tries = 3
        tries = 0

        def rename(self, source: Path, target: Path) -> None:
            self.tries += 1
            if self.tries < 5:
                raise PermissionError(13, "held")
            super().rename(source, target)

        def pause(self, seconds: float) -> None:
            pass

    steps, file = Held(), tmp_path / "a.csv"
    with pytest.raises(PermissionError, match="close it there"):
        replace_file(file, b"new", steps)
    assert (steps.tries, names_in(tmp_path)) == (3, [])
    replace_file(file, b"new", steps)
    assert file.read_bytes() == b"new"


@pytest.mark.skipif(sys.platform == "win32", reason="links want rights there")
def test_link_in_the_place_of_the_new_file_is_never_written_through(tmp_path: Path) -> None:
    """The new file is made, never opened: what others put into the folder stays untouched."""
    (tmp_path / "theirs").write_bytes(b"theirs")
    (tmp_path / "a.csv").symlink_to(tmp_path / "theirs")
    replace_file(tmp_path / "a.csv", b"new")
    assert (tmp_path / "theirs").read_bytes() == b"theirs"
    assert not (tmp_path / "a.csv").is_symlink()


# --- forks -------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows cannot fork")
def test_hook_runs_in_the_child_alone() -> None:
    """What must not be shared is made anew in every child."""
    seen: list[int] = []
    on_fork(lambda: seen.append(os.getpid()))
    child = os.fork()
    if not child:
        os._exit(0 if seen == [os.getpid()] else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert seen == []


# --- what is no file -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_plain_file_is_never_read(kind: str, tmp_path: Path) -> None:
    """Nobody waits for a writer that does not come; the words name the kind and the cure."""
    path = tmp_path / "there"
    ODD[kind](path)
    with pytest.raises(OSError, match="put a plain file in its place") as caught:
        read_plain(path)
    assert str(caught.value) == f"{path}: it is a {kind}; put a plain file in its place"


def test_plain_file_is_read_as_far_as_is_wanted(tmp_path: Path) -> None:
    """Links to files are files; what is not there says so in the usual way."""
    path, link = tmp_path / "there", tmp_path / "link"
    path.write_bytes(b"0123456789")
    link.symlink_to(path)
    assert (read_plain(path), read_plain(link, 4)) == (b"0123456789", b"0123")
    with pytest.raises(FileNotFoundError):
        read_plain(tmp_path / "nowhere")


def test_file_that_becomes_a_pipe_between_two_looks_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was opened is looked at, and not only what had stood there before."""
    path, other = tmp_path / "there", tmp_path / "other"
    other.write_bytes(b"plain")
    ODD["pipe"](path)
    before = other.stat()
    monkeypatch.setattr(Path, "stat", lambda self: before)
    with pytest.raises(OSError, match="a pipe"):
        read_plain(path)


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 1_000_000])
@pytest.mark.parametrize("most", [-1, 0, 1, 4096, 2_000_000])
def test_file_is_read_whole_or_up_to_the_most(tmp_path: Path, size: int, most: int) -> None:
    """Bytes come back as they are, line ends and zeros included."""
    data = bytes(range(256)) * (size // 256) + b"\r\n" * (size % 256)
    path = tmp_path / "file"
    path.write_bytes(data)
    assert read_plain(path, most) == (data if most < 0 else data[:most])


def test_file_that_tells_no_size_is_read_whole() -> None:
    """What the system makes up as it is read, such as in /proc, says that it is empty."""
    path = Path("/proc/self/environ")
    if not path.exists():
        pytest.skip("this system has no /proc")
    assert read_plain(path) == path.read_bytes()


def test_file_that_is_read_leaves_no_handle_behind(tmp_path: Path) -> None:
    """The next file that is opened has the same number."""
    path = tmp_path / "file"
    path.write_bytes(b"x")
    code = f"""
import os
from krakenlink.machine import read_plain
def number():
    handle = os.open({str(path)!r}, os.O_RDONLY)
    os.close(handle)
    return handle
before = number()
assert [read_plain({str(path)!r}) for _ in range(3)] == [b"x"] * 3
print(number() - before)
"""
    assert run_python(code) == "0"
