"""Trades as REST tells them, for what fetches and keeps them."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

import numpy as np

from ttslo_app.backtest.trade_cache import Page

KEY = "XXBTZUSD"
SECOND = 1_000_000_000
NOW = 1_800_000_000.0


class Market:
    """Answers `get_trades` as Kraken does, from a list of moments; trade n costs 50000 + n.

    Args:
        at: The moment of each trade, in seconds before `NOW`.
        troubles: What is raised before each answer; None for nothing.
    """

    def __init__(self, at: list[float], troubles: list[BaseException | None] | None = None) -> None:
        self.at_ns = sorted(round((NOW - ago) * 1e9) for ago in at)
        self.troubles = troubles or []
        self.asked: list[int] = []
        self.waits: list[float] = []
        self.most = 1000

    def get_trades(self, pair: str, since: str | int | None = None) -> dict[str, Any]:
        """Return the page after a moment."""
        self.asked.append(int(since or 0))
        trouble = self.troubles.pop(0) if self.troubles else None
        if trouble is not None:
            raise trouble
        first = bisect_right(self.at_ns, int(since or 0))
        rows = [
            [f"{50000 + n}.0", "0.1", self.at_ns[n] / 1e9, "b", "l", "", n + 1]
            for n in range(first, min(first + self.most, len(self.at_ns)))
        ]
        return {pair: rows, "last": "0"}

    def wait(self, seconds: float) -> None:
        """Note a wait, and let no time pass."""
        self.waits.append(seconds)


class Told:
    """Notes what is told of how far something has come."""

    def __init__(self) -> None:
        self.shown: list[tuple[float, str]] = []
        self.said: list[str] = []

    def show(self, share: float, text: str) -> None:
        """Note how far it has come."""
        self.shown.append((share, text))

    def say(self, text: str) -> None:
        """Note a sentence."""
        self.said.append(text)


def page(begun: int, ended: int, *numbers: int) -> Page:
    """Return a page of trades with these numbers, one a nanosecond."""
    number = np.array(numbers, np.int64)
    return Page(begun, ended, number, number + begun, number * 10**10)
