"""The public client: live prices on top of every REST call.

A door. Kraken's calls by name are `krakenlink.rest.client`, where a price comes from is
`krakenlink.prices`, the stream is `ws_price_provider`; here they are put together. What it must
never do: return a price that is not proven to be alive, load the stream for those who do not want
it, or show a key.

Source: Kraken, REST and spot WebSocket v2 pages (read 2026-11).
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable, Iterable
from contextlib import suppress
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kraken_api  # itself: hints find by it what its `__getattr__` loads
from krakenlink import VERSION, stream
from krakenlink.machine import (
    ACCOUNT_URL,
    ACCOUNT_VARIABLE,
    REST_URL,
    REST_VARIABLE,
    STREAM_URL,
    STREAM_VARIABLE,
    validate_source,
    validate_url,
)
from krakenlink.market_calls import MarketCalls
from krakenlink.once import Once
from krakenlink.prices import Prices
from krakenlink.rest.client import RestClient
from krakenlink.rest.quotes import Quote
from krakenlink.rest.session import alive
from krakenlink.rest.transport import DEFAULT_TIMEOUTS, Timeouts

if TYPE_CHECKING:
    from krakenlink.channels import Market
    from ws_price_provider import WebSocketPriceProvider

__all__ = [
    "DEFAULT_TIMEOUTS",
    "VERSION",
    "WEBSOCKET_AVAILABLE",
    "KrakenAPI",
    "Quote",
    "Timeouts",
    "WebSocketPriceProvider",
]

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())

# Looked for and not imported: the stream's modules take as long as all others of ours together,
# and are loaded for the first client that may want a price from it.
WEBSOCKET_AVAILABLE = False
with suppress(ImportError, ValueError):  # somebody's hook, or a stand-in that is no true module
    WEBSOCKET_AVAILABLE = all(map(find_spec, ("websocket", "msgspec")))

_told = Once()  # in this process, not by each client


def _can_stream() -> bool:
    """Tell whether both libraries are there and are what their names say; loads the stream."""
    if not WEBSOCKET_AVAILABLE:
        return False
    from krakenlink.stream import runner

    return runner.WEBSOCKET_AVAILABLE


def __getattr__(name: str) -> Any:
    """Load the stream for those who ask this module for its class."""
    if name == "WebSocketPriceProvider":
        from ws_price_provider import WebSocketPriceProvider

        return WebSocketPriceProvider
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class KrakenAPI(MarketCalls):
    """Kraken's REST calls and live prices, for one pair of keys or none. Safe from any thread.

    The constructor does no I/O, starts no thread and looks up no keys: the first call does.

    Args:
        api_key: Kraken's public key; None for public calls only.
        api_secret: Kraken's private key, in base64.
        base_url: Where REST is. The default is replaced by `KRAKEN_SPOT_URL` in the environment.
        use_websocket: Whether prices may come from the stream.
        ws_url: Where the stream is. None: `KRAKEN_WS_PUBLIC_URL`, else Kraken's own if REST is
            Kraken's own; else prices come over REST, because another exchange's stream would not
            tell this one's prices.
        ws_timeout: Longest wait for a first price from the stream, in seconds.
        cache_dir: Where the list of pairs is kept for a day; None: `TTSLO_CACHE_DIR`, else the
            user's cache folder.
        timeouts: How long REST calls may take.
        feed_settings: Every number of the stream, its audit's among them; those of the first
            client of an address count. None for the usual ones.
        ws_auth_url: Where the account's stream is. None: `KRAKEN_WS_AUTH_URL`, else Kraken's own if
            REST is Kraken's own; else there is none.

    Raises:
        ValueError: If an address is not `https:`/`wss:` and not on this machine.
    """

    def __init__(
        self,
        api_key: str | None = None,
        api_secret: str | None = None,
        base_url: str = REST_URL,
        use_websocket: bool = True,
        *,
        ws_url: str | None = None,
        ws_timeout: float = 2.0,
        cache_dir: str | Path | None = None,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        feed_settings: stream.FeedSettings | None = None,
        ws_auth_url: str | None = None,
    ) -> None:
        if base_url == REST_URL:
            base_url = os.environ.get(REST_VARIABLE) or base_url
        super().__init__(api_key, api_secret, base_url, cache_dir=cache_dir, timeouts=timeouts)
        self.use_websocket = use_websocket
        self.ws_url = ws_url or os.environ.get(STREAM_VARIABLE) or self._own_stream()
        if self.ws_url is not None:
            validate_source(self.ws_url)
        if use_websocket and self.ws_url is not None:
            # Now, so that the first price need not wait for it: as long as half a round trip.
            import krakenlink.stream.auditor  # noqa: F401 - loaded for later
            import ws_price_provider  # noqa: F401 - and with it all of the stream
        self.ws_timeout = ws_timeout
        own_account = ACCOUNT_URL if self._root == REST_URL else None
        self.ws_auth_url = ws_auth_url or os.environ.get(ACCOUNT_VARIABLE) or own_account
        if self.ws_auth_url is not None:
            validate_url(self.ws_auth_url)
        self._feed_settings = feed_settings

    def _own_stream(self) -> str | None:
        return STREAM_URL if self._root == REST_URL else None

    _OWN = RestClient._OWN | {"_lock", "_provider", "_prices", "_readers", "_account", "_channels"}

    def _start_anew(self) -> None:
        super()._start_anew()
        self._lock = threading.Lock()  # guards `_provider`, `_account` and `_channels`
        self._provider: WebSocketPriceProvider | None = None
        self._account: stream.AccountFeed | None = None
        self._channels: Market | None = None
        me = weakref.ref(self)  # what belongs to a client must not keep it, or sockets stay open
        self._prices = Prices(
            self.listing,
            lambda params: alive(me)._query_public("Ticker", params),
            lambda: alive(me).price_provider(),
            self._transport.longest,
        )
        self._readers = self._prices.readers
        # Whoever drops a client without `close` gives back its subscriptions all the same.
        weakref.finalize(self, self._prices.let_go).atexit = False

    @property
    def _market(self) -> Market:
        """Books, candles, trades and pairs, which take as long to load as all of REST's modules."""
        if self._channels is not None:
            return self._channels
        from krakenlink.channels import Market  # here, for who wants prices and orders alone

        me = weakref.ref(self)  # as above
        with self._lock:
            if self._channels is None:
                made = Market(
                    self._prices,
                    self.listing.known,
                    lambda method, params: alive(me)._query_public(method, params),
                    lambda: alive(me).price_provider(),
                    self._transport.longest,
                )
                weakref.finalize(self, made.let_go).atexit = False
                self.listing.streamed = made.streamed_pair
                self.listing.is_streamed = made.streams_pair
                self._channels = made
            return self._channels

    @classmethod
    def from_env(
        cls,
        readwrite: bool = False,
        env_file: str | Path = ".env",
        base_url: str = REST_URL,
        use_websocket: bool = True,
        **kwargs: Any,
    ) -> KrakenAPI:
        """Return a client with the keys of the environment or of a `.env` file.

        Args:
            readwrite: Whether to take the keys that may place orders.
            env_file: The `.env` file; it need not exist.
            base_url: As for the class.
            use_websocket: As for the class.
            **kwargs: The other keywords of the class.
        """
        import creds  # here, for who has the keys

        key, secret = creds.find_kraken_credentials(readwrite=readwrite, env_file=env_file)
        return cls(key, secret, base_url, use_websocket, **kwargs)

    def close(self) -> None:
        """Close the connections and give up the subscriptions, which may be done twice.

        `with KrakenAPI() as api:` does it at the end. The next call opens new ones. It only hands
        over and waits for no lock: a finalizer or a signal handler may do it in the middle of
        anything. A client that is dropped without it gives the same back.
        """
        self._provider = None
        account, self._account = self._account, None
        self._prices.let_go()
        if self._channels is not None:  # made once and kept: a later one holds nothing yet
            self._channels.let_go()
        if account is not None:
            account.stop(0.0)
        super().close()

    def get_current_price(self, pair: str) -> float:
        """Return the last trade price of `pair`.

        From the stream where its price is proven to be alive; else waits for it, at most
        `ws_timeout` in all and once for each pair; else over REST, which blocks for `connect` +
        `read` of the timeouts at most, whatever calls it takes.

        Args:
            pair: Any spelling, such as `XXBTZUSD` or `BTC/USD`.

        Returns:
            Quote currency per unit of base currency; finite and positive.

        Raises:
            ValueError: If `pair` is empty or not a string.
            PriceUnavailable: If Kraken answered without a price.
            KrakenError: If Kraken refused, such as an unknown pair, or could not be heard.

        Source: Kraken, spot WebSocket v2, ticker channel; REST Ticker (read 2026-11).
        """
        # This path is what the stream is for: nothing on it that could be done at another time.
        try:
            price = self._readers[pair]()
        except (KeyError, TypeError):
            return self._prices.last(pair, self.ws_timeout)
        return self._prices.last(pair, self.ws_timeout) if price is None else price

    def get_quote(self, pair: str, max_age: float | None = None) -> Quote:
        """Return the price of `pair` with its source and its proof of life.

        Blocks like `get_current_price`.

        Args:
            pair: Any spelling.
            max_age: Longest time since the price was proven, in seconds; None for what counts as
                alive anyway. A quiet pair on a living link is not old.

        Raises:
            ValueError: If `pair` is empty or no string, or `max_age` not positive.
            PriceUnavailable: If there is no price, or none that young; its `age` says how old.
            KrakenError: As for `get_current_price`.
        """
        return self._prices.quote(pair, max_age, self.ws_timeout)

    def get_tickers(self, pairs: Iterable[str]) -> dict[str, Quote | Exception]:
        """Return a REST price, or the reason why there is none, for each of `pairs`.

        One call for all; a pair that fails leaves the others alone. Blocks.

        Raises:
            KrakenError: If Kraken could not be heard at all.
        """
        return self._prices.tickers(pairs, self.resolve_pair)

    def price_provider(self) -> kraken_api.WebSocketPriceProvider | None:
        """Return the stream that prices come from, shared by all clients of its address.

        Starts no thread: the first subscription does. It may take a lock: a finalizer or a signal
        handler uses what was returned before.

        Returns:
            None where there is none: not wanted, no address known, or a library missing.
        """
        if not self.use_websocket or self.ws_url is None:
            return None
        provider = self._provider
        if provider is not None:
            return provider
        if not _can_stream():
            if _told.is_news("a library is missing"):
                _log.info("websocket-client or msgspec is not installed: prices come over REST")
            return None
        return self._joined_stream(self.ws_url)

    def account_feed(self) -> stream.AccountFeed | None:
        """Return the stream of this key's account: what happens to its orders, told at once.

        One for each client, whatever `use_websocket` says of prices. Starts no thread: `open_feed`
        of what is returned does.

        Returns:
            None where there is none: no keys, no address known, or a library missing.
        """
        if not self.has_keys or self.ws_auth_url is None or not _can_stream():
            return None
        from krakenlink.stream.account import AccountFeed  # here, for who wants no stream
        from krakenlink.stream.handover import StoppedError
        from krakenlink.stream.settings import DEFAULT_SETTINGS

        me = weakref.ref(self)

        def token() -> str:
            if (client := me()) is None:
                raise StoppedError  # the feed ends with its client
            return client.get_websockets_token()

        with self._lock:
            account = self._account  # `close` may take it away at any moment
            if account is None:
                settings = self._feed_settings or DEFAULT_SETTINGS
                account = self._account = AccountFeed(self.ws_auth_url, token, settings=settings)
                weakref.finalize(self, account.stop, 0.0).atexit = False
            return account

    def _joined_stream(self, url: str) -> kraken_api.WebSocketPriceProvider:
        from krakenlink.stream.auditor import Auditor
        from krakenlink.stream.settings import DEFAULT_SETTINGS

        settings = self._feed_settings or DEFAULT_SETTINGS
        with self._lock:
            provider = self._provider  # `close` may take it away at any moment
            if provider is None:
                # By its name in this module: whoever puts another class there is heard.
                provider = kraken_api.WebSocketPriceProvider.shared(url, settings=settings)
                ask, bids = self._auditing(lambda x: x.price), self._auditing(lambda x: x.bid)
                provider.accompany(lambda feed: Auditor(feed, ask, bids))
                self._provider = provider
            return provider

    def _auditing(
        self, told: Callable[[Quote], Decimal | None]
    ) -> Callable[[list[str]], dict[str, Decimal]]:
        """Return what asks REST for prices, as an audit wants them: who has none is left out.

        By a client of the audit's own: it goes on as long as the stream, which all clients share,
        and must not keep the one that happened to come first.
        """
        cls, root, cache_dir, timeouts = KrakenAPI, self._root, self._cache_dir, self._timeouts
        clients: list[KrakenAPI] = []

        def last_prices(symbols: list[str]) -> dict[str, Decimal]:
            if not clients:
                clients.append(
                    cls(base_url=root, use_websocket=False, cache_dir=cache_dir, timeouts=timeouts)
                )
            with clients[0] as client:  # at the next look a kept connection would be too old
                found = client.get_tickers(symbols)
            quotes = {s: told(quote) for s, quote in found.items() if isinstance(quote, Quote)}
            return {s: price for s, price in quotes.items() if price is not None}

        return last_prices
