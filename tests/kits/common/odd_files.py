"""What stands where a file of the program is looked for, and is none; output without a reader."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest


def _pipe(path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no pipes in folders")
    os.mkfifo(path)


def _device(path: Path) -> None:
    if not Path("/dev/zero").exists():
        pytest.skip("this system has no devices in folders")
    path.symlink_to("/dev/zero")


# Each makes one at a path: reading it would wait for ever, never end, or fail.
ODD: dict[str, Callable[[Path], None]] = {
    "pipe": _pipe,
    "device": _device,
    "folder": Path.mkdir,
}


class Gone(io.TextIOWrapper):
    """A stream whose reader has left."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8")

    def write(self, text: str) -> int:
        """Refuse, as a pipe without a reader does."""
        raise BrokenPipeError
