"""The order of the tests, for workers that take a stretch of them each."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, TypeVar

WHOLE = Path(__file__).resolve().parents[2] / "whole"
# Those that take longest: each begins first, with a worker of its own.
LONGEST = (
    "test_standby_trials.py",
    "test_many_rows.py",
    "test_packaging.py",
    "test_standby_program.py",
    "test_crashes.py",
    "test_shared_orders.py",
)


class Placed(Protocol):
    """What has a file, as a test of pytest's has."""

    @property
    def path(self) -> Path:
        """The file."""


T = TypeVar("T", bound=Placed)


def in_good_order(items: Sequence[T], workers: int) -> list[T]:
    """Return tests in an order in which workers that take a stretch each are busy all the time.

    What takes longest begins first: at the end the other workers would wait for it alone. Tests of
    the whole program, which start many processes, are spread among those of the rooms: many of
    them at once would leave each other no turn.
    """
    files: dict[Path, list[T]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    longest = [files.pop(path) for name in LONGEST for path in list(files) if path.name == name]
    parts = (
        [p for p in files if p.is_relative_to(WHOLE) is is_whole] for is_whole in (False, True)
    )
    places = {path: (n + 0.5) / len(part) for part in parts for n, path in enumerate(part)}
    rest = (item for path in sorted(files, key=places.__getitem__) for item in files[path])
    ordered: list[T] = []
    for worker in range(workers):
        for tests in longest[worker::workers]:
            ordered += tests
        end = len(items) * (worker + 1) // workers
        ordered += itertools.islice(rest, max(0, end - len(ordered)))
    return [*ordered, *rest]
