"""What some work costs, counted and not timed: the calls that it makes."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any


def calls_in(work: Callable[[], object]) -> Counter[str]:
    """Return how often `work` calls what: Python functions and those in C, by name."""
    seen: Counter[str] = Counter()

    def note(frame: FrameType, event: str, function: Any) -> None:
        if event == "call":
            seen["Python"] += 1
            seen[frame.f_code.co_name] += 1
        elif event == "c_call" and function is not sys.setprofile:
            seen["C"] += 1
            seen[function.__name__] += 1

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    seen["Python"] -= 1  # `work` itself
    return seen
