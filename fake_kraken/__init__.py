"""A stand-in for Kraken's spot market: REST and WebSocket v2 on loopback, for demo and tests.

Names are looked up when they are asked for: `fake_kraken.engine` alone must not need aiohttp.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fake_kraken.exchange import FAULTS, FakeKraken, Minute, random_path, read_replay

__all__ = ["FAULTS", "FakeKraken", "Minute", "random_path", "read_replay"]


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    # Not `from fake_kraken import exchange`, which would ask here again, for ever.
    return getattr(importlib.import_module("fake_kraken.exchange"), name)
