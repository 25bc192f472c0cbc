"""The memory of a program that has many rows: what it needs for a moment is given back after it.

Each reading of a file of 100,000 rows makes a few dicts and texts of megabytes. Linux's usual C
library would keep what was freed of them for the next ones, on each thread anew, and they never
fit quite: 30 MB in the end. What it must never do: fail where a library knows no such switch.

Source: mallopt(3) of the Linux man-pages, `M_MMAP_THRESHOLD` (read 2026-11): once it is set it
stays as it is, and blocks beyond it are the system's own.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

# Bytes of a config file from which on its dicts and texts are worth a look; 20,000 rows or so.
_LARGE_FILE = 1_000_000
# Bytes of a block that is to go back: larger than all that is freed again and again.
_LARGE_BLOCK = 512 * 1024
_M_MMAP_THRESHOLD = -3


def give_back_large_blocks(config: str | os.PathLike[str]) -> None:
    """Let large blocks go back to the system as soon as they are free, where `config` is large.

    To be called before there are other threads. Nothing happens where the C library has another
    way, as those of macOS, of Windows and musl have.
    """
    if sys.platform != "linux":
        return
    with suppress(OSError, ValueError, ImportError, AttributeError):
        if Path(config).stat().st_size < _LARGE_FILE:
            return
        import ctypes  # a millisecond, for those alone who gain by it

        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK)
