"""Large blocks of memory: given back where a file has many rows, and nothing else is touched."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import pytest
from fresh_python import run_python

# A block of 8 MB that is freed makes the library keep all up to that size; each of the others
# stands before a small one that stays, so that none of them is at the end of what was asked for.
KEPT = """
import resource
import sys
from ttslo_app.run.memory import give_back_large_blocks

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

give_back_large_blocks({config!r})
bytes(8_000_000)
before = resident()
large = []
small = []
for _ in range(60):
    large.append(b"x" * 1_000_000)
    small.append(b"x" * 60_000)
del large
print(resident() - before)
"""


def kept_after(config: Path) -> int:
    """Return how many of 60 MB a program keeps that were freed."""
    return int(run_python(KEPT.format(config=str(config))))


def config_of(folder: Path, size: int) -> Path:
    """Return a file of so many bytes."""
    path = folder / "config.csv"
    path.write_bytes(b"#" * size)
    return path


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc" or sys.platform != "linux",
    reason="other C libraries than glibc have no such switch",
)
def test_large_blocks_go_back_where_the_file_is_large(tmp_path: Path) -> None:
    """And are kept, as ever, where it is not."""
    assert kept_after(config_of(tmp_path, 1_000_000)) < 20_000_000
    assert kept_after(config_of(tmp_path, 999_999)) > 40_000_000


LOADED = """
import sys
{before}
from ttslo_app.run.memory import give_back_large_blocks
give_back_large_blocks({config!r})
print("ctypes" in sys.modules)
"""


def test_nothing_is_loaded_for_a_small_file_or_none(tmp_path: Path) -> None:
    """Who has a few rows starts as fast as ever."""
    for config in (config_of(tmp_path, 999_999), tmp_path / "none.csv", tmp_path, Path("a\0b")):
        assert run_python(LOADED.format(before="", config=str(config))).strip() == "False"


@pytest.mark.parametrize(
    "before",
    [
        "sys.modules['ctypes'] = None",
        "import ctypes; ctypes.CDLL = lambda name: object()",
        "import ctypes; ctypes.CDLL = lambda name: open('/none/at/all')",
        "sys.platform = 'darwin'",
    ],
    ids=["no ctypes", "no switch", "no library", "another system"],
)
def test_other_libraries_are_left_as_they_are(tmp_path: Path, before: str) -> None:
    """What cannot be switched is no reason not to start."""
    config = config_of(tmp_path, 1_000_000)
    assert run_python(LOADED.format(before=before, config=str(config))).strip() in ("True", "False")
