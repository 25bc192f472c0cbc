"""Kraken's WebSocket v2: the protocol of the feed, and the connection that carries it.

The names below are looked up when they are asked for: who wants REST alone loads none of them, and
yet `typing.get_type_hints` finds what a call returns.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from krakenlink.stream.account import AccountFeed
    from krakenlink.stream.aio import EventStream
    from krakenlink.stream.book import Fill, OrderBook
    from krakenlink.stream.events import TradePrint
    from krakenlink.stream.instruments import Asset, Instrument
    from krakenlink.stream.settings import FeedSettings
    from krakenlink.stream.tapes import Candles

__all__ = [
    "AccountFeed",
    "Asset",
    "Candles",
    "EventStream",
    "FeedSettings",
    "Fill",
    "Instrument",
    "OrderBook",
    "TradePrint",
]

_HOMES = {
    "AccountFeed": "krakenlink.stream.account",
    "Asset": "krakenlink.stream.instruments",
    "Candles": "krakenlink.stream.tapes",
    "EventStream": "krakenlink.stream.aio",
    "FeedSettings": "krakenlink.stream.settings",
    "Fill": "krakenlink.stream.book",
    "Instrument": "krakenlink.stream.instruments",
    "OrderBook": "krakenlink.stream.book",
    "TradePrint": "krakenlink.stream.events",
}

if not TYPE_CHECKING:  # or any name would be right

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(_HOMES[name]), name)
