"""This machine: its own addresses, its clock of prices, its cache, its files and its forks.

Small, because those who want REST alone import it without the stream. It must never let a price
come from an address that anybody between could speak for, nor let a reader see half a file.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import sys
import time
import urllib.parse
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows: its fsync is a full one
    fcntl = None  # type: ignore[assignment]

CACHE_VARIABLE = "TTSLO_CACHE_DIR"

# Where Kraken is, and what replaces it in the environment; Kraken's own command line uses the
# same names.
REST_URL, REST_VARIABLE = "https://api.kraken.com", "KRAKEN_SPOT_URL"
STREAM_URL, STREAM_VARIABLE = "wss://ws.kraken.com/v2", "KRAKEN_WS_PUBLIC_URL"


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


def validate_url(url: str) -> str:
    """Return `url` if it is an address that prices may come from.

    Raises:
        ValueError: If it is not `wss:`, or `ws:` on this machine; or has a name or password in it.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.username is not None or parts.password is not None:
        raise ValueError("the WebSocket address must not contain a name or password")
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise ValueError(f"{url!r} is no WebSocket address; write wss://host/path")
    if parts.scheme == "ws" and not is_loopback(parts.hostname):
        raise ValueError(
            f"{url!r} is refused: without TLS anybody between could set the price. "
            "Write wss:, or use ws: for this machine (127.0.0.1) only"
        )
    return url


def checked_root(base_url: str) -> str:
    """Return `base_url` without a slash at its end, if REST requests may be sent there.

    Raises:
        ValueError: If it is neither `https:` nor `http:` on this machine.
    """
    parts = urllib.parse.urlsplit(base_url)
    if parts.scheme == "https" and parts.hostname:
        return base_url.rstrip("/")
    if parts.scheme == "http" and is_loopback(parts.hostname or ""):
        return base_url.rstrip("/")
    raise ValueError(
        f"base_url {base_url!r} is refused: use https://, or http:// with a loopback address "
        "such as http://127.0.0.1:8080 (also in KRAKEN_SPOT_URL)"
    )


def is_loopback(host: str) -> bool:
    """Tell whether `host` names this machine, without asking a name server."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def cache_folder() -> Path:
    """Return the folder for what this program may lose: `TTSLO_CACHE_DIR`, or the platform's."""
    folder = os.environ.get(CACHE_VARIABLE)
    if folder:
        return Path(folder)
    import platformdirs  # here, because a set variable makes it unnecessary

    return Path(platformdirs.user_cache_dir("ttslo", appauthor=False))


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
    content: bytes,
    steps: FileSteps = _STEPS,
    *,
    is_durable: bool = True,
    before_rename: Callable[[Path], None] | None = None,
) -> None:
    """Replace `file` by `content`, so that no reader ever sees half of it, whoever writes too.

    The new file stands beside the old one as `NAME.<32 hex digits>.tmp` until it takes its place;
    a process that is killed in between leaves it. A link is replaced itself, not its target.

    Args:
        file: In a folder that exists; it need not exist itself.
        content: All of it.
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
            steps.write(stream, content)
            if is_durable:
                steps.sync(stream)
        if before_rename is not None:
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
