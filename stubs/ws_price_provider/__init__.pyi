from collections.abc import Callable, Iterable
from queue import SimpleQueue
from typing import Any, Self

from krakenlink.machine import feed_clock as feed_clock
from krakenlink.stream.budget import ConnectBudget
from krakenlink.stream.connection import Connection
from krakenlink.stream.events import Tick
from krakenlink.stream.handover import Companion
from krakenlink.stream.health import FeedHealth as FeedHealth
from krakenlink.stream.health import SymbolHealth as SymbolHealth
from krakenlink.stream.reader import FeedReader as FeedReader
from krakenlink.stream.runner import WEBSOCKET_AVAILABLE as WEBSOCKET_AVAILABLE
from krakenlink.stream.runner import FeedThread
from krakenlink.stream.settings import FeedSettings as FeedSettings

__all__ = [
    "WEBSOCKET_AVAILABLE",
    "FeedHealth",
    "FeedReader",
    "FeedSettings",
    "SymbolHealth",
    "WebSocketPriceProvider",
    "feed_clock",
]

class WebSocketPriceProvider:
    url: str
    settings: FeedSettings
    feed_thread: FeedThread
    stops: int
    def __init__(
        self,
        url: str | None = None,
        *,
        resolve: Callable[[str], str | None] | None = None,
        settings: FeedSettings = ...,
        connect: Callable[[str, float], Connection] | None = None,
        clock: Callable[[], float] = ...,
        budget: ConnectBudget | None = None,
    ) -> None: ...
    @classmethod
    def shared(
        cls,
        url: str | None = None,
        *,
        resolve: Callable[[str], str | None] | None = None,
        settings: FeedSettings = ...,
    ) -> WebSocketPriceProvider: ...
    def subscribe(self, pair: str) -> bool: ...
    def connect(self) -> None: ...
    def unsubscribe(self, pair: str) -> None: ...
    def subscribe_symbol(self, symbol: str, channel: str = "ticker") -> None: ...
    def unsubscribe_symbol(self, symbol: str, channel: str = "ticker") -> None: ...
    def get_current_price(self, pair: str) -> float | None: ...
    def price_reader(self, symbol: str) -> Callable[[], float | None]: ...
    def proven(self, symbol: str) -> tuple[Tick, float] | None: ...
    def fresh_tick(self, symbol: str) -> Tick | None: ...
    def proven_age(self, symbol: str) -> float | None: ...
    def wait_for_tick(self, symbol: str, timeout: float) -> Tick | None: ...
    @property
    def connected(self) -> bool: ...
    @property
    def subscribed_pairs(self) -> frozenset[str]: ...
    def open_feed(
        self,
        symbols: Iterable[str] | None = None,
        channels: Iterable[str] | None = None,
        *,
        sink: SimpleQueue[Any] | None = None,
    ) -> FeedReader: ...
    def health(self) -> FeedHealth: ...
    def note_rest_fallback(self, symbol: str) -> None: ...
    def reconnect(self, reason: str) -> None: ...
    def accompany(self, companion: Companion) -> bool: ...
    def stop(self, timeout: float = 1.0) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
