from collections.abc import Iterable
from pathlib import Path
from typing import Any

from krakenlink import VERSION as VERSION
from krakenlink.market_calls import MarketCalls
from krakenlink.rest.quotes import Quote as Quote
from krakenlink.rest.transport import DEFAULT_TIMEOUTS as DEFAULT_TIMEOUTS
from krakenlink.rest.transport import Timeouts as Timeouts
from krakenlink.stream.account import AccountFeed
from krakenlink.stream.settings import FeedSettings
from ws_price_provider import WebSocketPriceProvider as WebSocketPriceProvider

__all__ = [
    "DEFAULT_TIMEOUTS",
    "VERSION",
    "WEBSOCKET_AVAILABLE",
    "KrakenAPI",
    "Quote",
    "Timeouts",
    "WebSocketPriceProvider",
]

WEBSOCKET_AVAILABLE: bool

class KrakenAPI(MarketCalls):
    use_websocket: bool
    ws_url: str | None
    ws_timeout: float
    ws_auth_url: str | None
    def __init__(
        self,
        api_key: str | None = None,
        api_secret: str | None = None,
        base_url: str = "https://api.kraken.com",
        use_websocket: bool = True,
        *,
        ws_url: str | None = None,
        ws_timeout: float = 2.0,
        cache_dir: str | Path | None = None,
        timeouts: Timeouts = ...,
        feed_settings: FeedSettings | None = None,
        ws_auth_url: str | None = None,
    ) -> None: ...
    @classmethod
    def from_env(
        cls,
        readwrite: bool = False,
        env_file: str | Path = ".env",
        base_url: str = "https://api.kraken.com",
        use_websocket: bool = True,
        **kwargs: Any,
    ) -> KrakenAPI: ...
    def close(self) -> None: ...
    def get_current_price(self, pair: str) -> float: ...
    def get_quote(self, pair: str, max_age: float | None = None) -> Quote: ...
    def get_tickers(self, pairs: Iterable[str]) -> dict[str, Quote | Exception]: ...
    def account_feed(self) -> AccountFeed | None: ...
    def price_provider(self) -> WebSocketPriceProvider | None: ...
