"""The order of the tests: none is lost, and no worker has all that takes long."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.kits.common.order import LONGEST, WHOLE, in_good_order

TESTS = WHOLE.parent
ROOMS = [TESTS / f"rooms/test_{n}.py" for n in range(60)]
REST = [WHOLE / f"some/test_{n}.py" for n in range(12)]
LONG = [WHOLE / "some" / name for name in LONGEST]


def test_files_that_take_longest_are_there() -> None:
    """One that was renamed would begin wherever it comes."""
    names = [path.name for path in TESTS.rglob("test_*.py")]
    assert all(names.count(name) == 1 for name in LONGEST)


@pytest.mark.parametrize("workers", [1, 2, 6, 12])
@pytest.mark.parametrize("each", [1, 7])
def test_all_tests_are_done_once_and_files_in_their_order(workers: int, each: int) -> None:
    """However many share them."""
    items = [
        SimpleNamespace(path=path, n=n) for path in (*ROOMS, *REST, *LONG) for n in range(each)
    ]
    ordered = in_good_order(items, workers)
    assert sorted(map(id, ordered)) == sorted(map(id, items))
    for path in {item.path for item in items}:
        assert [item.n for item in ordered if item.path == path] == list(range(each))


def test_workers_begin_with_what_is_long_and_share_what_starts_programs() -> None:
    """Each stretch has its part of both."""
    items = [SimpleNamespace(path=path) for path in (*ROOMS, *REST, *LONG)]
    ordered, size = in_good_order(items, 6), len(items) // 6
    paths = [item.path for item in ordered]
    stretches = [paths[n : n + size] for n in range(0, len(paths), size)]
    assert [stretch[0] for stretch in stretches] == LONG
    assert [sum(path in REST for path in stretch) for stretch in stretches] == [2] * 6


def test_few_tests_without_workers_are_put_in_order_too() -> None:
    """As a developer runs them."""
    few = [SimpleNamespace(path=Path("test_a.py")), SimpleNamespace(path=LONG[0])]
    assert [item.path for item in in_good_order(few, 1)] == [LONG[0], Path("test_a.py")]
