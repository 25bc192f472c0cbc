"""A lock that is let go at whatever instant a Ctrl-C comes, where somebody waits for a time only.

`with` sees to that where one waits for as long as it takes; for a lock that may not be had there is
no `with`. What it must never do: keep a lock that nobody knows to be held.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Lock(Protocol):
    """What is needed of one; see `threading.Lock`."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it, waiting so long; tell whether it was had."""
        ...

    def release(self) -> None:
        """Let it go."""
        ...


def done_under(lock: Lock, patience: float, work: Callable[[], None]) -> bool:
    """Do `work` under a lock, if it can be had within `patience` seconds; tell whether it was.

    Raises:
        BaseException: What `work` raises; the lock is let go.
    """
    had: list[bool] = []
    try:
        # The lock is had and noted in one step: the interpreter looks for signals after it, and not
        # in the middle.
        had.extend(map(lock.acquire, (True,), (patience,)))
        if had[0]:
            work()
        return had[0]
    finally:
        if had and had[0]:
            lock.release()
