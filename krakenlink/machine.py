"""This machine: its own addresses, its clock of prices, its cache, its files and its forks.

Small, because those who want REST alone import it without the stream. It must never let a price
come from an address that anybody between could speak for, nor let a reader see half a file.
"""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import re
import stat
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

from krakenlink.foreign import without_login
from krakenlink.once import Once

try:
    import fcntl
except ImportError:  # Windows: its fsync is a full one
    fcntl = None  # type: ignore[assignment]

_log = logging.getLogger(__name__)

CACHE_VARIABLE = "TTSLO_CACHE_DIR"

# Where Kraken is, and what replaces it in the environment; Kraken's own command line uses the
# same names.
REST_URL, REST_VARIABLE = "https://api.kraken.com", "KRAKEN_SPOT_URL"
STREAM_URL, STREAM_VARIABLE = "wss://ws.kraken.com/v2", "KRAKEN_WS_PUBLIC_URL"
BROKER_PORT = 6379  # of Redis and Valkey, where an address of a relay names none
ACCOUNT_URL, ACCOUNT_VARIABLE = "wss://ws-auth.kraken.com/v2", "KRAKEN_WS_AUTH_URL"


def _suspend_aware_clock() -> Callable[[], float]:
    """Return a clock that never steps back and goes on while the machine sleeps.

    `time.monotonic` stands still during sleep on Linux and macOS: after an hour with the lid
    closed a price would look a second old.
    """
    name = {"linux": "CLOCK_BOOTTIME", "darwin": "CLOCK_MONOTONIC"}.get(sys.platform)
    number = getattr(time, name, None) if name else None
    return time.monotonic if number is None else partial(time.clock_gettime, number)


feed_clock = _suspend_aware_clock()
"""The clock of every `at`, `since` and deadline of the feed; seconds from an unknown start."""


_lost_at = float("-inf")


def note_lost_link() -> None:
    """Remember that the network failed just now, so that no kept connection is trusted any more.

    May be called from any thread, and takes no lock.
    """
    global _lost_at
    _lost_at = feed_clock()


def lost_link_at() -> float:
    """Return when the network was last seen to fail, on `feed_clock`; long ago if it never was."""
    return _lost_at


def validate_url(url: str) -> str:
    """Return `url` if it is an address that prices may come from.

    Raises:
        ValueError: If it is not `wss:`, or `ws:` on this machine; or has a name or password in it.
    """
    shown_url = repr(without_login(url))
    parts = _parts_of(url, f"{shown_url} is no WebSocket address; write wss://host/path")
    if parts.username is not None or parts.password is not None:
        raise ValueError("the WebSocket address must not contain a name or password")
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise ValueError(f"{shown_url} is no WebSocket address; write wss://host/path")
    if parts.scheme == "ws" and not is_loopback(parts.hostname):
        raise ValueError(
            f"{shown_url} is refused: without TLS anybody between could set the price. "
            "Write wss:, or use ws: for this machine (127.0.0.1) only"
        )
    return url


def is_krakens(url: str) -> bool:
    """Tell whether `url` is one of Kraken's own servers, which keep to what it says of them."""
    return f".{urllib.parse.urlsplit(url).hostname or ''}".endswith(".kraken.com")


def is_relay(url: str) -> bool:
    """Tell whether `url` names a broker with relays, and no WebSocket."""
    return url.partition(":")[0].lower() in ("redis", "rediss")


def relay_names(url: str) -> list[str]:
    """Return the names of the relays in the path of a broker's address, in order."""
    return urllib.parse.urlsplit(url).path.strip("/").split(",")


def validate_source(url: str) -> str:
    """Return `url` if prices may come from there: a WebSocket, or relays on a broker.

    Raises:
        ValueError: As `validate_url`; `rediss:` is as `wss:` there, and names relays in its path.
    """
    if not is_relay(url):
        return validate_url(url)
    cure = "write rediss://host:6379/NAME, where NAME is the relay's"
    parts = _parts_of(url, f"{without_login(url)!r} is no address of a relay; {cure}")
    if parts.username is not None or parts.password is not None:
        raise ValueError(
            "the relay's address must not contain a name or password: set TTSLO_RELAY_USER and "
            "TTSLO_RELAY_PASSWORD in the environment"
        )
    names = relay_names(url)
    if not parts.hostname or not all(re.fullmatch(r"[A-Za-z0-9_-]{1,40}", name) for name in names):
        raise ValueError(f"{url!r} is no address of a relay; {cure}")
    if parts.scheme == "redis" and not is_loopback(parts.hostname):
        raise ValueError(
            f"{url!r} is refused: without TLS anybody between could set the price. "
            "Write rediss:, or use redis: for this machine (127.0.0.1) only"
        )
    return url


def checked_root(base_url: str) -> str:
    """Return `base_url` without a slash at its end, if REST requests may be sent there.

    A name and password in it are left out: Kraken wants none, and they would be printed.

    Raises:
        ValueError: If it is neither `https:` nor `http:` on this machine.
    """
    url = without_login(base_url)
    refusal = (
        f"base_url {url!r} is refused: use https://, or http:// with a loopback address "
        f"such as http://127.0.0.1:8080 (also in {REST_VARIABLE})"
    )
    parts = _parts_of(url, refusal)
    is_secure = parts.scheme == "https" and parts.hostname
    is_here = parts.scheme == "http" and is_loopback(parts.hostname or "")
    if not (is_secure or is_here) or parts.query or parts.fragment:
        raise ValueError(refusal)
    return url.rstrip("/")


def _parts_of(url: str, refusal: str) -> urllib.parse.SplitResult:
    """Return the parts of an address, or raise `refusal` where host or port cannot be one."""
    try:
        parts = urllib.parse.urlsplit(url)
        if re.search(r"[\x00-\x20\x7f\\]", url):
            raise ValueError
        (parts.hostname or "").encode("idna")
    except (ValueError, UnicodeError):
        raise ValueError(refusal) from None
    if not _has_port(parts):
        raise ValueError(f"{refusal}. Its port is none: write a number from 1 to 65535")
    return parts


def _has_port(parts: urllib.parse.SplitResult) -> bool:
    try:
        return parts.port != 0
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Tell whether `host` names this machine, without asking a name server."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def cache_folder() -> Path:
    """Return the folder for what this program may lose: `TTSLO_CACHE_DIR`, or the platform's.

    Raises:
        OSError: If there is none, as for a user without a home. Then nothing is kept.
    """
    folder = os.environ.get(CACHE_VARIABLE)
    if folder:
        return Path(folder)
    try:
        import platformdirs  # here, because a set variable makes it unnecessary

        found = Path(platformdirs.user_cache_dir("ttslo", appauthor=False))
    except (ImportError, RuntimeError, KeyError) as error:
        raise OSError(errno.ENOENT, f"there is no cache folder: {error}") from None
    if not found.is_absolute():  # a home that could not be found is left as `~`
        raise OSError(errno.ENOENT, "there is no cache folder, because there is no home")
    return found


_told = Once()


def kept_in(root: str, cache_dir: str | Path | None) -> Path | None:
    """Return the folder for what is kept of the REST server at `root`; None for nowhere.

    Args:
        root: Its address. A server on this machine is a stand-in: what it says is made up, and its
            port may be another's tomorrow, so nothing is kept unless a folder is named.
        cache_dir: The folder, as the caller names it; None for the usual one.
    """
    if cache_dir is not None:
        return Path(cache_dir)
    if is_loopback(urllib.parse.urlsplit(root).hostname or ""):
        return None
    try:
        return cache_folder()
    except OSError as error:
        if _told.is_news("cache"):
            _log.info("Nothing is kept between runs: %s", error)
        return None


def on_fork(start_anew: Callable[[], None]) -> None:
    """Have `start_anew` called in every child that this process forks, where there are forks.

    A child has only the thread that forked: locks that another one held stay held for ever, and
    sockets belong to both.
    """
    if hasattr(os, "register_at_fork"):  # Windows cannot fork
        os.register_at_fork(after_in_child=start_anew)


# --- files -------------------------------------------------------------------------------------


class FileSteps:
    """What it takes to replace a file, one method a step, so that a test can let each one fail."""

    # On Windows a file that another program has open, such as Excel, cannot be replaced. Virus
    # scanners hold new files for a moment too, so a few tries are worth it there.
    rename_tries = 8 if os.name == "nt" else 1

    def create(self, path: Path) -> BinaryIO:
        """Open a file that must not exist yet for writing."""
        return path.open("xb")

    def write(self, file: BinaryIO, data: bytes) -> None:
        """Write everything; a full disk shows here or at the next step."""
        file.write(data)

    def sync(self, file: BinaryIO) -> None:
        """Bring the contents to the platter."""
        file.flush()
        sync_fully(file.fileno())

    def rename(self, source: Path, target: Path) -> None:
        """Put `source` in the place of `target`, in one step for every reader."""
        source.replace(target)

    def sync_folder(self, folder: Path) -> None:
        """Bring the rename to the platter, where the platform knows how."""
        if os.name == "nt":
            return
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        except OSError as error:
            # Some network file systems cannot sync a folder; the rename is as safe as it gets.
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):
                raise
        finally:
            os.close(handle)

    def pause(self, seconds: float) -> None:
        """Wait for another program to let go of a file."""
        time.sleep(seconds)


_NAMES_OF_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class NotPlain(OSError):
    """What stands in the place of a file is none; a sentence by itself, with its cure."""

    def __str__(self) -> str:
        return f"{self.filename}: {self.strerror}"


_MORE = 4096  # bytes at a time beyond the size that a file had


def read_plain(path: str | Path, most: int = -1) -> bytes:
    """Return what a plain file holds; links are followed. Blocks for the disk alone.

    Reading a pipe waits for whoever writes, and a device may never end: neither is opened.

    Args:
        path: The file.
        most: The most bytes that are read; -1 for all.

    Raises:
        NotPlain: If it is no plain file; the words tell the cure.
        OSError: If it cannot be read.
    """
    # Without `open` and what it looks at: an order waits for config.csv to be read.
    place = str(path)
    _refuse_odd(path, os.stat(place).st_mode)  # noqa: PTH116 - as above
    handle = open_at_once(place, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        status = os.fstat(handle)
        _refuse_odd(path, status.st_mode)  # another one by now
        left = status.st_size + 1 if most < 0 else most
        pieces = []
        while piece := os.read(handle, left):
            pieces.append(piece)
            if most < 0 and len(piece) == status.st_size:
                break  # all that there was, at once: it need not be asked whether there is more
            left = _MORE if most < 0 else left - len(piece)
        return b"".join(pieces)
    finally:
        os.close(handle)


def open_at_once(path: str, flags: int) -> int:
    """Open a file for `open`, but wait for nobody at the other end of a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _refuse_odd(path: str | Path, mode: int) -> None:
    if stat.S_ISREG(mode):
        return
    kind = next((name for is_kind, name in _NAMES_OF_KINDS if is_kind(mode)), "no plain file")
    code = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
    raise NotPlain(code, f"it is {kind}; put a plain file in its place", str(path))


def sync_fully(handle: int) -> None:
    """Wait until a file is on the platter and not only in the drive, as macOS lets pass."""
    full_sync = getattr(fcntl, "F_FULLFSYNC", None)
    if full_sync is not None:
        with suppress(OSError):  # file systems of the network do not know it
            fcntl.fcntl(handle, full_sync)
            return
    os.fsync(handle)


_STEPS = FileSteps()


def replace_file(
    file: Path,
    content: bytes | Iterable[bytes],
    steps: FileSteps = _STEPS,
    *,
    is_durable: bool = True,
    before_rename: Callable[[Path], object] = lambda new: None,
) -> None:
    """Replace `file` by `content`, so that no reader ever sees half of it, whoever writes too.

    The new file stands beside the old one as `NAME.<32 hex digits>.tmp` until it takes its place;
    a process that is killed in between leaves it. A link is replaced itself, not its target.

    Args:
        file: In a folder that exists; it need not exist itself.
        content: All of it, at once or in pieces; while these are made anything may raise.
        steps: The machine's own, or a test's.
        is_durable: Whether to return only when all is on the platter. Not for what may be lost:
            it takes milliseconds, and after a power cut there may be an empty file.
        before_rename: Called with the complete new file; if it raises, nothing was replaced.

    Raises:
        OSError: If a step failed. Unless it was the sync of the folder, the very last, the old
            file stands untouched; the new one is gone again.
    """
    temporary = file.with_name(f"{file.name}.{os.urandom(16).hex()}.tmp")
    try:
        with steps.create(temporary) as stream:
            for piece in [content] if isinstance(content, bytes) else content:
                steps.write(stream, piece)
            if is_durable:
                steps.sync(stream)
        before_rename(temporary)
        _rename(steps, temporary, file)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    if is_durable:
        steps.sync_folder(file.parent)


def _rename(steps: FileSteps, source: Path, target: Path) -> None:
    for tries_left in reversed(range(steps.rename_tries)):
        try:
            return steps.rename(source, target)
        except PermissionError as error:
            if not tries_left:
                cure = "cannot be replaced; if a spreadsheet has it open, close it there"
                raise PermissionError(error.errno, cure, str(target)) from error
            steps.pause(0.05)
    raise AssertionError("unreachable: the last try returns or raises")  # pragma: no cover
