"""The public client: Kraken's calls by name, and the door to live prices.

A shell around two pure modules: `kraken_rest` builds and judges messages, `kraken_pairs` knows
names; the wire is `kraken_http`, the listing `kraken_listing`, the stream `ws_price_provider`. What
it must never do: send an order a second time, return a price that is not proven to be alive, guess
a symbol, wait without a deadline, or show a key.

Source: Kraken, REST and spot WebSocket v2 pages (read 2026-11).
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol
from urllib.parse import urlsplit

import creds
from krakenlink.errors import (
    ArgumentError,
    AuthenticationError,
    KrakenAPIError,
    KrakenError,
    PriceUnavailable,
    ProtocolError,
)
from krakenlink.machine import cache_folder, feed_clock, is_loopback, on_fork, validate_url
from krakenlink.numbers import plain, quantize_down, to_positive_decimal, trailing_offset
from krakenlink.pairs import TOKENIZED, Pair, PairDirectory, Symbol, legacy_pair
from krakenlink.rest.answers import is_unknown_pair, private_request, read_answer, sign
from krakenlink.rest.listing import ASK_GAP, Listing
from krakenlink.rest.transport import DEFAULT_TIMEOUTS, VERSION, Timeouts, Transport, gate_of

if TYPE_CHECKING:
    from krakenlink.stream.feed import FeedSettings
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
    WEBSOCKET_AVAILABLE = find_spec("websocket") is not None

DEFAULT_BASE_URL = "https://api.kraken.com"
DEFAULT_WS_URL = "wss://ws.kraken.com/v2"

# Private calls that change nothing. All others are sent once, whatever the answer.
_READS = frozenset(
    {
        *("Balance", "BalanceEx", "TradeBalance", "OpenOrders", "ClosedOrders", "QueryOrders"),
        *("TradesHistory", "QueryTrades", "Ledgers", "QueryLedgers", "OpenPositions"),
        *("TradeVolume", "GetWebSocketsToken"),
    }
)

# An answer that took longer than this, in seconds, proves nothing: the machine slept, or the bytes
# came one by one. Three tries within their deadlines take less, unless each uses all of its own.
_MOST_DELAY = 30.0

# Tickers for every pair in one URL fail with HTTP 520; this many names stay under 2 kB. For more
# than that Kraken is asked for all of its pairs, in one call without a name.
_NAMES_PER_CALL = 100


class Tick(Protocol):
    """What is read of a tick of the stream."""

    @property
    def price(self) -> Decimal: ...
    @property
    def bid(self) -> Decimal | None: ...
    @property
    def ask(self) -> Decimal | None: ...
    @property
    def at(self) -> float: ...
    @property
    def timestamp(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Quote:
    """A price with its source and its proof of life.

    Attributes:
        pair: As the caller spelled it.
        symbol: The WebSocket v2 name; None where it is not known or the pair has no stream.
        price: Last trade, quote currency per unit of base currency, with the digits on the wire.
        bid: Best bid, None where it was not told.
        ask: Best ask, None where it was not told.
        source: Where the price came from.
        at: When it came, on `ws_price_provider.feed_clock`.
        proven_age: Seconds since the price was last known to be the present one: for the stream
            since the last frame of any kind, for REST since the request was sent.
        timestamp: Kraken's own time of the tick as text, where the stream told it.
    """

    pair: str
    symbol: Symbol | None
    price: Decimal
    bid: Decimal | None
    ask: Decimal | None
    source: Literal["websocket", "rest"]
    at: float
    proven_age: float
    timestamp: str | None = None


def __getattr__(name: str) -> Any:
    """Load the stream for those who ask this module for its class."""
    if name == "WebSocketPriceProvider":
        from ws_price_provider import WebSocketPriceProvider

        return WebSocketPriceProvider
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


# --- addresses ---------------------------------------------------------------------------------


def _checked_root(base_url: str) -> str:
    """Return `base_url` without a slash at its end, if requests may be sent there.

    Raises:
        ValueError: If it is neither `https:` nor `http:` on this machine.
    """
    parts = urlsplit(base_url)
    if parts.scheme == "https" and parts.hostname:
        return base_url.rstrip("/")
    if parts.scheme == "http" and is_loopback(parts.hostname or ""):
        return base_url.rstrip("/")
    raise ValueError(
        f"base_url {base_url!r} is refused: use https://, or http:// with a loopback address "
        "such as http://127.0.0.1:8080 (also in KRAKEN_SPOT_URL)"
    )


def _listing_file(root: str, cache_dir: str | Path | None) -> Path | None:
    """Return where the listing of this server is kept; None for servers on this machine.

    A stand-in's pairs are made up, and its port may be another's tomorrow.
    """
    parts = urlsplit(root)
    if cache_dir is None and is_loopback(parts.hostname or ""):
        return None
    host = re.sub(r"[^A-Za-z0-9.-]", "_", parts.netloc.rpartition("@")[2])
    return Path(cache_dir or cache_folder()) / f"pairs-{host}.json"


# --- the client --------------------------------------------------------------------------------

_instances: weakref.WeakSet[KrakenAPI] = weakref.WeakSet()
_has_told = threading.Event()  # that there is no websocket-client: once in a process is enough


class KrakenAPI:
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

    Raises:
        ValueError: If an address is not `https:`/`wss:` and not on this machine.
    """

    def __init__(
        self,
        api_key: str | None = None,
        api_secret: str | None = None,
        base_url: str = DEFAULT_BASE_URL,
        use_websocket: bool = True,
        *,
        ws_url: str | None = None,
        ws_timeout: float = 2.0,
        cache_dir: str | Path | None = None,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        feed_settings: FeedSettings | None = None,
    ) -> None:
        if base_url == DEFAULT_BASE_URL:
            base_url = os.environ.get("KRAKEN_SPOT_URL") or base_url
        self._root = _checked_root(base_url)
        self.api_key = api_key
        self.api_secret = api_secret
        self.base_url = base_url
        self.use_websocket = use_websocket
        self.ws_url = ws_url or os.environ.get("KRAKEN_WS_PUBLIC_URL") or self._own_stream()
        if self.ws_url is not None:
            validate_url(self.ws_url)
        if use_websocket and self.ws_url is not None:
            # Now, so that the first price need not wait for it: as long as half a round trip.
            import krakenlink.stream.auditor  # noqa: F401 - loaded for later
            import ws_price_provider  # noqa: F401 - and with it all of the stream
        self.ws_timeout = ws_timeout
        self._cache_dir = cache_dir
        self._timeouts = timeouts
        self._feed_settings = feed_settings
        self._start_anew()
        _instances.add(self)

    def _own_stream(self) -> str | None:
        return DEFAULT_WS_URL if self._root == DEFAULT_BASE_URL else None

    def _start_anew(self) -> None:
        """Set up all that must not be shared with another process."""
        self._transport = Transport(self._root, self._timeouts)
        self._listing = Listing(self._ask_pairs, lambda: _listing_file(self._root, self._cache_dir))
        self._lock = threading.Lock()  # guards the six below
        self._followed: set[Symbol] = set()  # subscriptions this client holds
        self._stops = 0  # of the provider, when it was last subscribed to
        self._waited: set[Symbol] = set()  # waited for in vain; never again before a tick
        self._unstreamed: set[str] = set()  # names that have no stream, as told to the user
        self._provider: WebSocketPriceProvider | None = None
        self._ask_again_at = 0.0
        # Replaced as wholes and read without a lock, which is as safe in CPython as with one:
        # by the name as typed, what reads the proven price of its present subscription.
        self._readers: dict[str, Callable[[], float | None]] = {}

    @classmethod
    def from_env(
        cls,
        readwrite: bool = False,
        env_file: str | Path = ".env",
        base_url: str = DEFAULT_BASE_URL,
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
        key, secret = creds.find_kraken_credentials(readwrite=readwrite, env_file=env_file)
        return cls(key, secret, base_url, use_websocket, **kwargs)

    def __repr__(self) -> str:
        keys = "with keys" if self.has_keys else "without keys"
        return f"<KrakenAPI {self._root.rpartition('@')[2]} {keys}>"

    @property
    def has_keys(self) -> bool:
        """Whether private calls can be made."""
        return bool(self.api_key and self.api_secret)

    def close(self) -> None:
        """Close the connections and give up the subscriptions. The next call opens new ones."""
        with self._lock:
            provider, symbols = self._provider, self._followed
            self._provider, self._followed = None, set()
            if provider is not None and provider.stops != self._stops:
                symbols = set()  # gone already; what is there now belongs to others
            self._readers, self._waited = {}, set()
        if provider is not None:
            for symbol in symbols:
                provider.unsubscribe_symbol(symbol)
        self._transport.close()

    # --- calls ---

    def _get_kraken_signature(self, urlpath: str, data: str, nonce: int | str) -> str:
        """Return `API-Sign` for the body text `data`, which carries `nonce`.

        Raises:
            ValueError: If there is no secret, or it is not base64.
        """
        if not self.api_secret:
            raise ArgumentError("API key and secret required to sign a request")
        return sign(urlpath, str(nonce), data, self.api_secret)

    def _query_public(
        self, method: str, params: Mapping[str, object] | None = None
    ) -> dict[str, Any]:
        """Return Kraken's whole answer to a public call.

        Blocks; tried up to three times where there is no connection or a 5xx.

        Raises:
            KrakenError: The subclass says whether Kraken refused or could not be heard.
        """
        status, body = self._transport.get(method, params)
        return read_answer(method, status, body)

    def _query_private(
        self, method: str, params: Mapping[str, object] | None = None
    ) -> dict[str, Any]:
        """Return Kraken's whole answer to a private call, which is sent once.

        Blocks, and waits for other calls of the same key in this process. Only a call that
        changes nothing is sent again, once, when Kraken refused its nonce.

        Raises:
            ValueError: If there are no keys; "API key and secret required".
            KrakenError: The subclass says whether Kraken refused or could not be heard.
        """
        if not self.api_key or not self.api_secret:
            raise ArgumentError(
                f"API key and secret required for {method}: set KRAKEN_API_KEY and "
                "KRAKEN_API_SECRET (with _RW at the end for orders)"
            )
        try:
            return self._ask_private(method, params, self.api_key, self.api_secret)
        except AuthenticationError as error:
            # Another process with the same key came in between. For an order even this is left
            # to the caller, who knows whether the same order may have been sent before.
            if method not in _READS or not any("Invalid nonce" in text for text in error.errors):
                raise
        return self._ask_private(method, params, self.api_key, self.api_secret)

    def _ask_private(
        self, method: str, params: Mapping[str, object] | None, key: str, secret: str
    ) -> dict[str, Any]:
        gate = gate_of(key)
        with gate.lock:
            request = private_request(method, params, gate.next_nonce_locked(), key, secret)
            status, body = self._transport.post(
                request.path, request.body, request.headers, is_order=method not in _READS
            )
        return read_answer(method, status, body)

    def _public(self, method: str, **params: object) -> dict[str, Any]:
        return _result(method, self._query_public(method, params))

    def _private(self, method: str, params: Mapping[str, object] | None = None) -> dict[str, Any]:
        return _result(method, self._query_private(method, params))

    # --- public calls ---

    def get_ticker(self, pair: str) -> dict[str, Any]:
        """Return Kraken's Ticker `result` for `pair`, one or several joined by commas.

        The key of the answer follows the spelling that was asked by.
        """
        return self._public("Ticker", pair=pair)

    def get_trades(self, pair: str, since: str | int | None = None) -> dict[str, Any]:
        """Return Kraken's Trades `result`: rows under the pair's key, and `last` to go on from.

        Args:
            pair: Any spelling.
            since: `last` of an earlier answer, or seconds since 1970; None for the newest.
        """
        return self._public("Trades", **self._named(_checked_pair(pair)), since=since)

    def get_ohlc(
        self, pair: str, interval: int = 1, since: str | int | None = None
    ) -> dict[str, Any]:
        """Return Kraken's OHLC `result`: candles under the pair's key, and `last`.

        Args:
            pair: Any spelling.
            interval: Minutes of a candle: 1, 5, 15, 30, 60, 240, 1440, 10080 or 21600.
            since: Seconds since 1970; None for the newest 720.
        """
        named = self._named(_checked_pair(pair))
        return self._public("OHLC", **named, interval=interval, since=since)

    def system_status(self) -> dict[str, Any]:
        """Return Kraken's SystemStatus `result`, whose `status` is `online` on good days."""
        return self._public("SystemStatus")

    def server_time(self) -> float:
        """Return Kraken's clock, in whole seconds since 1970. Blocks for one call."""
        unixtime = self._public("Time").get("unixtime")
        if isinstance(unixtime, bool) or not isinstance(unixtime, int | float):
            raise ProtocolError("Time: the answer holds no unixtime")
        return float(unixtime)

    def warm_up(self) -> None:
        """Open the connection that the next call will use, so that an order need not.

        Raises:
            KrakenError: If Kraken cannot be reached.
        """
        self.server_time()

    def pair_directory(self) -> PairDirectory:
        """Return all pairs of Kraken; fetches the listing if the kept one is older than a day.

        Raises:
            KrakenError: If there is no kept listing and Kraken does not answer.
        """
        return self._listing.directory()

    def resolve_pair(self, pair: str) -> Pair:
        """Return the pair that any spelling of it means.

        Blocks for one call where the listing is not at hand, and now and then for two more where
        the name is not in it.

        Raises:
            LookupError: If Kraken has no such pair, or several; names the nearest.
            KrakenError: If Kraken could not be asked, so that nobody knows.
        """
        if not isinstance(pair, str) or not pair.strip():
            return PairDirectory(()).resolve(pair)  # raises, and says why
        return self._listing.resolve(pair)

    def pair_status(self, pair: str) -> str:
        """Return AssetPairs' `status` of a pair at this moment, such as `cancel_only`.

        Blocks for one call; `resolve_pair` may know the status of up to a day ago.

        Raises:
            KrakenError: If Kraken refused or did not answer.
        """
        row = _only_row(self._query_public("AssetPairs", self._named(_checked_pair(pair))))
        status = row.get("status") if isinstance(row, Mapping) else None
        return str(status or "online")

    def _ask_pairs(self, params: Mapping[str, object], within: float | None) -> object:
        if within is None:
            return self._query_public("AssetPairs", params).get("result")
        status, body = self._transport.get("AssetPairs", params, within)
        return read_answer("AssetPairs", status, body).get("result")

    def _named(self, pair: str) -> dict[str, object]:
        """Return the parameters that name `pair` in a REST call, as Kraken knows it best."""
        known = self._listing.in_memory(pair) or legacy_pair(pair)
        return {"pair": pair} if known is None else _rest_name(known)

    # --- orders ---

    def add_order(
        self,
        pair: str,
        order_type: str,
        direction: str,
        volume: object,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Place one order and return Kraken's `result`. Sent once, never again.

        Args:
            pair: Any spelling that Kraken knows.
            order_type: Kraken's `ordertype`, such as `market`.
            direction: `buy` or `sell`.
            volume: In base currency; cut to the pair's `lot_decimals` where those are known.
            **kwargs: Kraken's other parameters by their own names (`price`, `cl_ord_id`,
                `deadline`, `validate`, `userref`, `trigger`, ...). None and False are not sent.

        Raises:
            ValueError: If an argument is missing or no number; nothing was sent.
            KrakenAPIError: If Kraken refused; see `kraken_rest.outcome_of` for what is certain.
            KrakenTransportError: With `request_sent` True the order may stand.
            ProtocolError: The order may stand.
        """
        name = _checked_pair(pair)
        if not isinstance(order_type, str) or not order_type.strip():
            raise ArgumentError(
                f"order_type parameter must be text such as 'market': {order_type!r}"
            )
        params = {
            "ordertype": order_type.strip(),
            "type": _checked_direction(direction),
            "volume": self._volume(name, volume),
            **self._named(name),
            **kwargs,
        }
        return self._private("AddOrder", params)

    def add_trailing_stop_loss(
        self,
        pair: str,
        direction: str,
        volume: object,
        trailing_offset_percent: object,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Place a trailing stop and return Kraken's `result`. Sent once, never again.

        Args:
            pair: Any spelling that Kraken knows.
            direction: `buy` or `sell`.
            volume: In base currency; cut to the pair's `lot_decimals` where those are known.
            trailing_offset_percent: How far the price must turn back, in percent; its digits
                reach Kraken as they are.
            **kwargs: As for `add_order`; `trigger` is `last` unless given, because some pairs
                have no index.

        Raises:
            ValueError: Names `pair`, `direction`, `volume` or `trailing_offset`; nothing was sent.
            KrakenError: As for `add_order`.
        """
        name = _checked_pair(pair)
        side = _checked_direction(direction)
        _checked_number("volume", volume)
        offset = trailing_offset(_checked_number("trailing_offset", trailing_offset_percent))
        params = {"price": offset, "trigger": "last", **kwargs}
        return self.add_order(name, "trailing-stop", side, volume, **params)

    def _volume(self, pair: str, volume: object) -> str:
        number = _checked_number("volume", volume)
        known = self._listing.in_memory(pair)
        if known is not None and known.lot_decimals is not None:
            number = quantize_down(number, known.lot_decimals)
            if number <= 0:
                raise ArgumentError(
                    f"volume {volume} is zero in the {known.lot_decimals} decimals of {pair}"
                )
        return plain(number)

    def cancel_order(self, txid: str) -> dict[str, Any]:
        """Cancel an open order and return Kraken's `result` with its `count`. Sent once.

        Raises:
            ValueError: If `txid` is empty: "txid parameter is required".
            KrakenError: An order that is not open any more is an error of Kraken's.
        """
        return self._private("CancelOrder", {"txid": _checked_txid(txid)})

    def edit_order(
        self,
        txid: str,
        pair: str | None = None,
        volume: object = None,
        price: object = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Replace an open order by a changed one and return Kraken's `result`. Sent once.

        Args:
            txid: The order; the new one gets another id.
            pair: Its pair.
            volume: The new volume; None leaves it.
            price: The new price, or a trailing offset such as `+5.0%`; None leaves it.
            **kwargs: Kraken's other parameters by their own names.

        Raises:
            ValueError: If `txid` is empty: "txid parameter is required".
            KrakenError: As for `add_order`.
        """
        params: dict[str, object] = {"txid": _checked_txid(txid), "price": price, **kwargs}
        name = _checked_pair(pair) if pair is not None else ""
        if name:
            params |= self._named(name)
        if volume is not None:
            params["volume"] = self._volume(name, volume)
        return self._private("EditOrder", params)

    # --- the account ---

    def get_balance(self) -> dict[str, Any]:
        """Return Kraken's Balance `result`: text amounts by asset id, such as `XXBT` and `ZUSD`."""
        return self._private("Balance")

    def get_trade_balance(self, asset: str = "ZUSD") -> dict[str, Any]:
        """Return Kraken's TradeBalance `result`, counted in `asset`."""
        return self._private("TradeBalance", {"asset": asset})

    def query_open_orders(
        self, trades: bool = False, userref: int | None = None, cl_ord_id: str | None = None
    ) -> dict[str, Any]:
        """Return Kraken's OpenOrders `result`: orders by txid under `open`.

        Args:
            trades: Whether to name each order's trades.
            userref: Only orders of this reference.
            cl_ord_id: Only the order of this client order id.
        """
        params = {"trades": trades, "userref": userref, "cl_ord_id": cl_ord_id}
        return self._private("OpenOrders", params)

    def query_closed_orders(self, **kwargs: Any) -> dict[str, Any]:
        """Return Kraken's ClosedOrders `result`: the newest 50 by txid under `closed`.

        Args:
            **kwargs: Kraken's parameters: `cl_ord_id`, `userref`, `trades`, `start`, `end`, `ofs`.
        """
        return self._private("ClosedOrders", kwargs)

    def query_orders(self, txids: str | Iterable[str], trades: bool = False) -> dict[str, Any]:
        """Return Kraken's QueryOrders `result`: orders by txid, open and closed.

        Args:
            txids: One id, or up to 50.
            trades: Whether to name each order's trades.

        Raises:
            ValueError: If there is none, or an empty one.
        """
        wanted = [txids] if isinstance(txids, str) else list(txids)
        if not wanted:
            raise ArgumentError("txid parameter is required")
        ids = [_checked_txid(txid) for txid in wanted]
        return self._private("QueryOrders", {"txid": ids, "trades": trades})

    # --- prices ---

    def get_current_price(self, pair: str) -> float:
        """Return the last trade price of `pair`.

        From the stream where its price is proven to be alive; else waits for it, at most
        `ws_timeout` in all and once for each pair; else over REST, which blocks for a call.

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
            return self._current_price(pair)
        return self._current_price(pair) if price is None else price

    def _current_price(self, pair: str) -> float:
        name = _checked_pair(pair)
        found = self._streamed(name)
        if found is None:
            return float(self._rest_quote(name).price)
        symbol, tick = found
        provider = self.price_provider()
        if provider is not None:
            with suppress(KeyError):  # somebody else has just stopped the stream
                self._readers[pair] = provider.price_reader(symbol)
        # A double holds 15 digits and prices have at most a dozen; the contract wants a float.
        return float(tick.price)

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
        name = _checked_pair(pair)
        if max_age is not None:
            _checked_number("max_age", max_age)
        found = self._streamed(name)
        if found is not None:
            quote = self._stream_quote(pair, found[0])
            if quote is not None and (max_age is None or quote.proven_age <= max_age):
                return quote
        quote = self._rest_quote(name)
        if max_age is not None and quote.proven_age > max_age:
            age = quote.proven_age
            raise PriceUnavailable(pair, f"proven {age:.3f} s ago, {max_age} s wanted", age)
        return quote

    def get_tickers(self, pairs: Iterable[str]) -> dict[str, Quote | Exception]:
        """Return a REST price, or the reason why there is none, for each of `pairs`.

        One call for all; a pair that fails leaves the others alone. Blocks.

        Raises:
            KrakenError: If Kraken could not be heard at all.
        """
        names = list(dict.fromkeys(pairs))
        found: dict[str, Quote | Exception] = {}
        by_class: dict[str, dict[str, Pair]] = {}
        for name in names:
            try:
                pair = self.resolve_pair(_checked_pair(name))
            except (ValueError, LookupError) as error:
                found[name] = error
            else:
                by_class.setdefault(pair.asset_class, {})[name] = pair
        for asset_class, wanted in by_class.items():
            found |= self._rest_quotes(asset_class, wanted)
        return {name: found[name] for name in names}

    def price_provider(self) -> WebSocketPriceProvider | None:
        """Return the stream that prices come from, shared by all clients of its address.

        Starts no thread: the first subscription does.

        Returns:
            None where there is none: not wanted, no address known, or no websocket-client.
        """
        if not self.use_websocket or self.ws_url is None:
            return None
        if not WEBSOCKET_AVAILABLE:
            if not _has_told.is_set():
                _has_told.set()
                _log.info("websocket-client is not installed: prices come over REST")
            return None
        provider = self._provider
        if provider is not None:
            return provider
        return self._joined_stream(self.ws_url)

    def _joined_stream(self, url: str) -> WebSocketPriceProvider:
        from krakenlink.stream.auditor import Auditor
        from ws_price_provider import DEFAULT_SETTINGS, WebSocketPriceProvider

        settings = self._feed_settings or DEFAULT_SETTINGS
        with self._lock:
            if self._provider is None:
                self._provider = WebSocketPriceProvider.shared(url, settings=settings)
                self._provider.accompany(Auditor(self._provider, self._last_prices))
            return self._provider

    def _last_prices(self, symbols: list[str]) -> dict[str, Decimal]:
        """Return REST's prices, as an audit wants them: who has none is left out."""
        found = self.get_tickers(symbols)
        return {s: quote.price for s, quote in found.items() if isinstance(quote, Quote)}

    # --- prices from the stream ---

    def _streamed(self, name: str) -> tuple[Symbol, Tick] | None:
        """Return the proven tick of a pair, waiting for the first one; None: use REST."""
        provider = self.price_provider()
        if provider is None:
            return None
        deadline = time.monotonic() + self.ws_timeout
        symbol = self._symbol_of(name, deadline)
        if symbol is None:
            return None
        self._follow(provider, symbol)
        tick = provider.fresh_tick(symbol)
        if tick is None and symbol not in self._waited:
            tick = provider.wait_for_tick(symbol, max(0.0, deadline - time.monotonic()))
        if tick is None:
            provider.note_rest_fallback(symbol)
        with self._lock:
            # One wait for each pair: what did not come in time may come later, and is then
            # taken, but nobody waits for it a second time.
            (self._waited.add if tick is None else self._waited.discard)(symbol)
        return None if tick is None else (symbol, tick)

    def _follow(self, provider: WebSocketPriceProvider, symbol: Symbol) -> None:
        with self._lock:
            if provider.stops != self._stops:
                # Somebody has stopped the stream that all share, and with it our subscriptions.
                self._stops = provider.stops
                self._followed.clear()
                self._waited.clear()
            is_new = symbol not in self._followed
            self._followed.add(symbol)
        if is_new:
            provider.subscribe_symbol(symbol)

    def _symbol_of(self, name: str, deadline: float) -> Symbol | None:
        """Return the symbol of a pair from Kraken's own listing; None where it has none."""
        pair = self._listing.known(name) or legacy_pair(name)
        if pair is None:
            pair = self._asked_pair(name, deadline)
        if pair is not None and pair.symbol is None:
            self._tell_unstreamed(name)
        return pair.symbol if pair is not None else None

    def _asked_pair(self, name: str, deadline: float) -> Pair | None:
        """Ask Kraken for one pair, so that a first price need not wait for the whole listing."""
        with self._lock:
            if name in self._unstreamed or time.monotonic() < self._ask_again_at:
                return None
        provider = self.price_provider()
        if provider is not None:
            provider.connect()  # its handshake goes on while Kraken is asked for the name
        try:
            pair = self._listing.single(name, max(0.1, deadline - time.monotonic()))
        except KrakenError as error:
            _log.debug("Kraken could not be asked for %s: %s", name, error)
            with self._lock:
                self._ask_again_at = time.monotonic() + ASK_GAP
            return None
        if pair is None:
            self._tell_unstreamed(name)
        return pair

    def _tell_unstreamed(self, name: str) -> None:
        with self._lock:
            is_news = name not in self._unstreamed
            self._unstreamed.add(name)
        if is_news:
            _log.warning("Kraken knows no stream by the name %r: its price comes over REST", name)

    def _stream_quote(self, pair: str, symbol: Symbol) -> Quote | None:
        provider = self.price_provider()
        # Tick and proof of one moment: the proof of a later tick is none for an earlier one.
        found = provider.proven(symbol) if provider is not None else None
        if found is None:
            return None  # lost since
        tick, age = found
        return Quote(
            pair=pair,
            symbol=symbol,
            price=tick.price,
            bid=tick.bid,
            ask=tick.ask,
            source="websocket",
            at=tick.at,
            proven_age=age,
            timestamp=tick.timestamp,
        )

    # --- prices over REST ---

    def _rest_quote(self, name: str) -> Quote:
        started = feed_clock()
        known = self._listing.known(name) or legacy_pair(name)
        try:
            answer = self._query_public("Ticker", _rest_name(known) if known else {"pair": name})
        except KrakenAPIError as error:
            other = self._other_name(name, known) if is_unknown_pair(error) else None
            if other is None:
                raise
            known, started = other, feed_clock()
            answer = self._query_public("Ticker", _rest_name(other))
        return _read_quote(name, known, _row_for(known, answer), started)

    def _other_name(self, name: str, known: Pair | None) -> Pair | None:
        """Return the pair under the name that Kraken's listing has for it, if that is another."""
        try:
            pair = self._listing.resolve(name)
        except (LookupError, KrakenError) as error:
            _log.debug("No other name for %s: %s", name, error)
            return None
        with self._lock:
            self._unstreamed.discard(name)
        return pair if pair != known and _rest_name(pair) != {"pair": name} else None

    def _rest_quotes(
        self, asset_class: str, wanted: Mapping[str, Pair]
    ) -> dict[str, Quote | Exception]:
        """Return quotes by name of pairs of one asset class."""
        extra = {"asset_class": TOKENIZED} if asset_class == TOKENIZED else {}
        keys = sorted({pair.rest_key for pair in wanted.values()})
        named = {"pair": keys} if len(keys) <= _NAMES_PER_CALL else {}
        started = feed_clock()
        try:
            rows = self._public("Ticker", **named, **extra)
        except KrakenAPIError as error:
            if not named or not is_unknown_pair(error):
                raise
            # One of them is gone, and Kraken does not say which: take all that it has.
            started = feed_clock()
            rows = self._public("Ticker", **extra)
        found: dict[str, Quote | Exception] = {}
        for name, pair in wanted.items():
            try:
                found[name] = _read_quote(name, pair, _row_of(rows, pair), started)
            except PriceUnavailable as error:
                found[name] = error
        return found


def _after_fork() -> None:
    """Give the child's clients locks that nobody holds, and sockets and a stream of their own."""
    for api in tuple(_instances):
        api._start_anew()


on_fork(_after_fork)


# --- arguments ---------------------------------------------------------------------------------


def _checked_pair(pair: object) -> str:
    if not isinstance(pair, str) or not pair.strip():
        raise ArgumentError(f"pair parameter must be text such as 'BTC/USD': {pair!r}")
    return pair.strip()


def _checked_direction(direction: object) -> str:
    word = direction.strip().lower() if isinstance(direction, str) else direction
    if word not in ("buy", "sell"):
        raise ArgumentError(f"direction parameter must be 'buy' or 'sell': {direction!r}")
    return str(word)


def _checked_number(name: str, value: object) -> Decimal:
    try:
        return to_positive_decimal(value)
    except ValueError as error:
        raise ArgumentError(f"{name} parameter must be a positive number: {error}") from None


def _checked_txid(txid: object) -> str:
    if not isinstance(txid, str) or not txid.strip():
        raise ArgumentError("txid parameter is required")
    return txid.strip()


# --- answers -----------------------------------------------------------------------------------


def _result(method: str, answer: Mapping[str, Any]) -> dict[str, Any]:
    result = answer.get("result")
    if not isinstance(result, dict):
        raise ProtocolError(f"{method}: the result is a {type(result).__name__}, no object")
    return result


def _rest_name(pair: Pair) -> dict[str, object]:
    if pair.is_tokenized:
        return {"pair": pair.rest_key, "asset_class": TOKENIZED}
    return {"pair": pair.rest_key}


def _only_row(answer: object) -> object:
    """Return the one row of a Ticker answer, whose key follows the spelling that was asked by."""
    result = answer.get("result") if isinstance(answer, dict) else None
    rows = list(result.values()) if isinstance(result, dict) else []
    return rows[0] if len(rows) == 1 else None


def _row_for(pair: Pair | None, answer: object) -> object:
    """Return the one row of a Ticker answer, unless it is plainly another pair's."""
    row = _only_row(answer)
    if pair is None or row is None:
        return row
    assert isinstance(answer, dict)  # there is a row in it
    return _row_of(answer["result"], pair)


def _row_of(rows: Mapping[str, object], pair: Pair) -> object:
    names = (pair.rest_key, pair.altname, pair.wsname, pair.symbol)
    return next((rows[name] for name in names if name and name in rows), None)


def _read_quote(name: str, pair: Pair | None, row: object, started: float) -> Quote:
    """Return the quote in a row of Ticker.

    Raises:
        PriceUnavailable: If the row holds no price that is finite and positive, or came so late
            that nobody knows whether it still holds.
    """
    price = _first_number(row, "c")
    if price is None:
        raise PriceUnavailable(name, "Kraken's answer holds no price")
    now = feed_clock()
    if now - started > _MOST_DELAY:
        late = f"Kraken's answer took {now - started:.0f} s, so its price is as old as that"
        raise PriceUnavailable(name, late, now - started)
    return Quote(
        pair=name,
        symbol=pair.symbol if pair is not None else None,
        price=price,
        bid=_first_number(row, "b"),
        ask=_first_number(row, "a"),
        source="rest",
        at=now,
        proven_age=now - started,
    )


def _first_number(row: object, field: str) -> Decimal | None:
    cells = row.get(field) if isinstance(row, Mapping) else None
    if not isinstance(cells, Sequence) or isinstance(cells, str) or not cells:
        return None
    try:
        return to_positive_decimal(cells[0])
    except ValueError:
        return None
