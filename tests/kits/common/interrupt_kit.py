"""A Ctrl-C at one instant of what a thread does: at each that there is, one after the other."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from inspect import CO_GENERATOR
from types import FrameType
from typing import TypeVar

T = TypeVar("T")

MOST = 2000  # instants that nothing here has


class Interrupted:
    """Raises a KeyboardInterrupt at one instant of this thread's way through some files.

    An instant is where Python looks whether a signal has come: after a call into C, and where a
    function begins or ends.

    Args:
        instant: Which one, from 1.
        files: The ends of their names.

    Attributes:
        has_come: Whether there was such an instant.
    """

    def __init__(self, instant: int, *files: str) -> None:
        self._left, self._files = instant, files
        self.has_come = False

    def __call__(self, frame: FrameType, event: str, arg: object) -> None:
        """Count an instant; Python calls it."""
        if event not in ("call", "return", "c_return"):
            return
        if event == "return" and frame.f_code.co_flags & CO_GENERATOR:
            return  # it yields, which nothing can come into
        if frame.f_code.co_filename.endswith(self._files):
            self._left -= 1
            if self._left == 0:
                self.has_come = True
                raise KeyboardInterrupt

    def do(self, what: Callable[[], T]) -> T | None:
        """Do something until the interrupt comes; None if it has come."""
        sys.setprofile(self)
        try:
            return what()
        except KeyboardInterrupt:
            return None
        finally:
            sys.setprofile(None)


def at_each_instant(*files: str) -> Iterator[Interrupted]:
    """Yield an interrupt for each instant in turn, up to the first that does not come any more."""
    for instant in range(1, MOST):
        interrupted = Interrupted(instant, *files)
        yield interrupted
        if not interrupted.has_come:
            assert instant > 1, "nothing was done there"
            return
    raise AssertionError("there is no end to it")
