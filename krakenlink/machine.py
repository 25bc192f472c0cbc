"""This machine: which addresses are its own, its clock of prices, its folder for what may be lost.

Small, because those who want REST alone import it without the stream. It must never let a price
come from an address that anybody between could speak for.
"""

from __future__ import annotations

import ipaddress
import os
import sys
import time
import urllib.parse
from collections.abc import Callable
from functools import partial
from pathlib import Path

CACHE_VARIABLE = "TTSLO_CACHE_DIR"


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
