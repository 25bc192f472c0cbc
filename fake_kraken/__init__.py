"""A stand-in for Kraken's spot market: REST and WebSocket v2 on loopback, for demo and tests.

Names are looked up when they are asked for: what is pure, and a replay, must not need aiohttp.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fake_kraken.exchange import FakeKraken, kraken_exchange
    from fake_kraken.faults import FAULTS
    from fake_kraken.replay import Minute, random_path, read_replay

__all__ = ["FAULTS", "FakeKraken", "Minute", "kraken_exchange", "random_path", "read_replay"]

_HOMES = {
    "FAULTS": "fake_kraken.faults",
    "FakeKraken": "fake_kraken.exchange",
    "Minute": "fake_kraken.replay",
    "kraken_exchange": "fake_kraken.exchange",  # where pytest runs
    "random_path": "fake_kraken.replay",
    "read_replay": "fake_kraken.replay",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
