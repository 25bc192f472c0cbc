"""An exchange on your own machine that speaks Kraken's REST and WebSocket v2, on one port.

For the demo, for tests, and for trying a trading program without money:

    python fake_kraken.py --port 8080

Shapes, keys and error strings are Kraken's, signatures and nonces are really checked, trailing
stops really trail (`fake_kraken_book`). It listens on loopback only, and every fault that has
cost somebody money is a switch:

    with FakeKraken() as exchange:
        exchange.fault("lost_reply", endpoint="AddOrder", count=1)

`FAULTS` lists them. Other processes reach the same switches at `/fake/...`.

Source: Kraken, spot REST and WebSocket v2 (read 2026-11).
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import csv
import hashlib
import hmac
import json
import os
import random
import re
import signal
import socket
import struct
import sys
import threading
import time
import urllib.parse
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TypeVar

from fake_kraken.engine import (
    Engine,
    Listing,
    Order,
    Refusal,
    Trade,
    candles,
    modern,
    price_from,
    shown,
    ticker_row,
)

try:
    from aiohttp import WSMsgType, web
except ImportError as error:  # pragma: no cover - the extra is installed where tests run
    raise SystemExit(
        "The embedded exchange needs aiohttp: pip install 'ttslo[demo]' (or pip install aiohttp)"
    ) from error

R = TypeVar("R")

# Made up here and good for nothing but this exchange.
DEMO_KEY = "EMBEDDED-EXCHANGE-KEY"
DEMO_SECRET = base64.b64encode(b"embedded exchange, not a secret".ljust(64, b".")).decode()

PERMISSIONS = frozenset({"query funds", "query open", "query closed", "modify", "cancel"})
# Any one of these permissions is enough for the call.
_NEEDED: dict[str, frozenset[str]] = {
    "Balance": frozenset({"query funds"}),
    "BalanceEx": frozenset({"query funds"}),
    "TradeBalance": frozenset({"query funds"}),
    "OpenOrders": frozenset({"query open"}),
    "QueryOrders": frozenset({"query open", "query closed"}),
    "ClosedOrders": frozenset({"query closed"}),
    "AddOrder": frozenset({"modify"}),
    "CancelOrder": frozenset({"modify", "cancel"}),
}
SYSTEM_STATES = ("online", "maintenance", "cancel_only", "post_only")

FAULTS: dict[str, str] = {
    # the stream
    "drop": "streams are reset `seconds` after they were opened, those that are open at once",
    "mute": "acknowledged, and no data for `symbol` from now on",
    "silent": "the sockets stay open and no frame is sent at all",
    "refuse": "subscriptions to `symbol` are refused",
    "ack_without_data": "`symbol` is acknowledged, and neither snapshot nor updates follow",
    "no_ack": "subscriptions to `symbol` are not answered",
    "refuse_connect": "the upgrade is answered with HTTP `status` (503)",
    "msg_rate": "a subscription is answered with `Exceeded msg rate`",
    "bad_frames": "each price is followed by frames that are no prices",
    # REST, each for one `endpoint` or for all
    "lost_reply": "acted upon, then the connection is reset without an answer",
    "delayed_reply": "acted upon, answered after `seconds`",
    "delayed_action": "acted upon and answered after `seconds`; a deadline counts",
    "black_hole": "never acted upon, never answered",
    "http_502": "the edge answers 502 `when` before or after Kraken acted",
    "http_504": "the edge answers 504 `when` before or after Kraken acted",
    "http_520": "the edge answers 520 `when` before or after Kraken acted",
    "html": "acted upon `when` after (or not: before), answered with a page",
    "reset_mid_body": "acted upon, the connection is reset inside the answer",
    "error": "answered with the Kraken error `text`, `when` before or after acting",
    "nonce_refused": "answered with EAPI:Invalid nonce, not acted upon",
    "closed_orders_lag": "orders appear in ClosedOrders `seconds` after they closed",
    "open_orders_lag": "orders appear in OpenOrders `seconds` after they were placed",
}

Params = Mapping[str, str]

_CHANNELS = ("ticker", "trade")
_PAGE = 50  # orders in an answer of ClosedOrders, and in a question of QueryOrders
_MOST_TRADES = 1000
_MOST_CANDLES = 720
_CANDLE_MINUTES = (1, 5, 15, 30, 60, 240, 1440, 10080, 21600)
_SNAPSHOT_TRADES = 50
_NEAREST_DEADLINE, _FARTHEST_DEADLINE = 2.0, 60.0  # seconds ahead of Kraken's clock
_LARGEST_NONCE = 2**64 - 1
# Kraken's edge answers 520 to very long lists of pairs; where it draws the line is not known.
_LONGEST_URL = 8000
_DIGITS = re.compile(r"\d{1,20}", re.ASCII)
_INFO = {
    "leverage": ("leverage_buy", "leverage_sell"),
    "fees": ("fees", "fees_maker", "fee_volume_currency"),
    "margin": ("margin_call", "margin_stop"),
}
# Four letters that begin with X or Z, and yet no prefix.
_MODERN_IN_LEGACY_DRESS = frozenset({"XAUT", "ZETA"})

_JSON = {"Content-Type": "application/json; charset=utf-8"}


@dataclass(slots=True, eq=False)
class Fault:
    """A switched-on fault. `count` is how often it still strikes; None: until cleared.

    Raises:
        ValueError: If there is no such fault, or an option is none.
    """

    name: str
    endpoint: str | None = None
    symbol: str | None = None
    count: int | None = None
    seconds: float = 0.0
    when: str = "before"
    text: str = "EService:Unavailable"
    status: int = 503
    _registry: list[Fault] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.name not in FAULTS:
            raise ValueError(f"no fault is called {self.name!r}; there are {', '.join(FAULTS)}")
        if self.count is not None and (not isinstance(self.count, int) or self.count < 1):
            raise ValueError(f"count={self.count!r} is no number of times; give 1 or more")
        if not isinstance(self.seconds, int | float) or not 0 <= self.seconds < 86400:
            raise ValueError(f"seconds={self.seconds!r} is no duration; give 0 to 86400")
        if self.when not in ("before", "after"):
            raise ValueError(f"when={self.when!r} is neither 'before' nor 'after'")
        if not isinstance(self.status, int) or not 400 <= self.status <= 599:
            raise ValueError(f"status={self.status!r} is no HTTP error; give 400 to 599")

    def clear(self) -> None:
        """Switch it off."""
        if self in self._registry:
            self._registry.remove(self)


@dataclass(frozen=True, slots=True)
class Request:
    """A REST call that came in; `params` are without nonce. `at` is seconds since 1970.

    `connection` is the same number for calls that came over the same connection.
    """

    at: float
    endpoint: str
    params: dict[str, str]
    connection: int


@dataclass(eq=False, slots=True)
class _Client:
    """One WebSocket connection."""

    socket: web.WebSocketResponse
    transport: asyncio.Transport | None
    outbox: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    subscriptions: set[tuple[str, str]] = field(default_factory=set)
    # Acknowledged while `ack_without_data` was on: without data until they are made anew.
    dumb: set[tuple[str, str]] = field(default_factory=set)
    sent_at: float = 0.0


@dataclass(slots=True)
class _Key:
    secret: bytes = field(repr=False)
    permissions: frozenset[str]
    nonce: int = 0


class FakeKraken:
    """The exchange, on a thread of its own. Every method is safe from any thread.

    Args:
        pairs: AssetPairs' result; some forty real pairs where it is left out.
        prices: Starting prices by any REST name.
        key: The API key it accepts, with `secret`; a made-up pair where they are left out.
        port: 0 picks a free one.
        balances: Funds by Kraken's asset id.
        heartbeat_seconds: Between heartbeats on a quiet stream.
        order_pace: Orders that may come at once on a pair, and how many are regained a second:
            (60, 1) is Kraken's limit for a starter; none where it is left out.

    Attributes:
        clock_offset: Seconds that Kraken's clock is ahead of this machine's.

    Raises:
        ValueError: If a price or a duration is none, or the secret is not base64.
    """

    def __init__(
        self,
        pairs: Mapping[str, Mapping[str, Any]] | None = None,
        prices: Mapping[str, object] | None = None,
        *,
        key: str | None = None,
        secret: str | None = None,
        port: int = 0,
        balances: Mapping[str, str] | None = None,
        heartbeat_seconds: float = 1.0,
        order_pace: tuple[float, float] | None = None,
    ) -> None:
        if heartbeat_seconds <= 0:
            raise ValueError(f"heartbeat_seconds={heartbeat_seconds!r} must be positive")
        self.api_key = key or DEMO_KEY
        self.api_secret = secret or DEMO_SECRET
        self.port = port
        self.clock_offset = 0.0
        self._engine = Engine(pairs, prices, balances)
        self._engine.order_pace = order_pace
        self._heartbeat = heartbeat_seconds
        self._keys: dict[str, _Key] = {}
        self.add_key(self.api_key, self.api_secret)
        self._public_calls: dict[str, Callable[[Params], Any]] = {
            "AssetPairs": self._asset_pairs,
            "Assets": self._assets,
            "OHLC": self._ohlc,
            "SystemStatus": self._system_status,
            "Ticker": self._ticker,
            "Time": self._time,
            "Trades": self._trades,
        }
        self._private_calls: dict[str, Callable[[Params], Any]] = {
            "AddOrder": self._add_order,
            "Balance": self._balance,
            "BalanceEx": self._balance_ex,
            "CancelOrder": self._cancel_order,
            "ClosedOrders": self._closed_orders,
            "OpenOrders": self._open_orders,
            "QueryOrders": self._query_orders,
            "TradeBalance": self._trade_balance,
        }
        self._faults: list[Fault] = []
        self._requests: list[Request] = []
        self._messages: list[dict[str, Any]] = []
        self._clients: set[_Client] = set()
        self._connections_made = 0
        # Guards _news, the number of things that have happened: whoever waits looks at it.
        self._happened = threading.Condition()
        self._news = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._runner: web.AppRunner | None = None
        self._site: web.TCPSite | None = None

    # --- its life ------------------------------------------------------------------------------

    @property
    def rest_url(self) -> str:
        """The address for `base_url` and KRAKEN_SPOT_URL."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        """The address for `ws_url` and KRAKEN_WS_PUBLIC_URL."""
        return f"ws://127.0.0.1:{self.port}/v2"

    def start(self) -> FakeKraken:
        """Listen, and return once connections are taken.

        Raises:
            OSError: If the port is in use.
        """
        self._loop = asyncio.new_event_loop()
        # A daemon: a test that fails must not keep the process from ending.
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="fake-kraken", daemon=True
        )
        self._thread.start()
        try:
            self._run(self._open())
        except OSError:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Close everything and end the thread. Calling it again does nothing."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        self._run(self._close())
        self._loop = self._thread = None
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()

    def __enter__(self) -> FakeKraken:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    async def _open(self) -> None:
        app = web.Application(middlewares=[_let_go])
        app.router.add_get("/0/public/{endpoint}", self._public)
        app.router.add_post("/0/public/{endpoint}", self._public)
        app.router.add_post("/0/private/{endpoint}", self._private)
        app.router.add_route("*", "/0/{rest:.*}", self._unknown)
        app.router.add_get("/v2", self._stream)
        app.router.add_route("*", "/fake/{what}", self._control)
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=0.05, max_line_size=65536
        )
        await self._runner.setup()
        await self._listen()

    async def _listen(self) -> None:
        assert self._runner is not None
        self._site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await self._site.start()
        self.port = self._runner.addresses[0][1]

    async def _close(self) -> None:
        self._abort_clients()
        if self._runner is not None:
            await self._runner.cleanup()
        tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.get_running_loop().shutdown_default_executor()

    def _run(self, work: Coroutine[Any, Any, R]) -> R:
        if self._loop is None:
            work.close()
            raise RuntimeError("the exchange is not running; start it first")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def _ask(self, question: Callable[[], R]) -> R:
        """Call `question` on the exchange's own thread, where nothing moves meanwhile."""
        if self._loop is None:
            return question()

        async def asked() -> R:
            return question()

        return self._run(asked())

    def _tell(self) -> None:
        with self._happened:
            self._news += 1
            self._happened.notify_all()

    def wait_for(self, predicate: Callable[[FakeKraken], object], timeout: float = 10.0) -> bool:
        """Wait until `predicate(exchange)` is true; False if it is not within `timeout` seconds."""
        end = time.monotonic() + timeout
        while True:
            # Not asked under the lock: the exchange's own thread needs it before it can answer.
            seen = self._news
            if predicate(self):
                return True
            left = end - time.monotonic()
            if left <= 0:
                return False
            with self._happened:
                # Also looks now and then: what changes with time alone tells nobody.
                if self._news == seen:
                    self._happened.wait(min(left, 0.2))

    def now(self) -> float:
        """Return Kraken's clock, in seconds since 1970."""
        return time.time() + self.clock_offset

    # --- what a test or a demo does ------------------------------------------------------------

    def add_key(self, key: str, secret: str, permissions: Iterable[str] = PERMISSIONS) -> None:
        """Accept another key, with some of `PERMISSIONS`.

        Raises:
            ValueError: If the secret is not base64, or there is no such permission.
        """
        granted = frozenset(permissions)
        if not granted <= PERMISSIONS:
            raise ValueError(f"the permissions are {', '.join(sorted(PERMISSIONS))}")
        try:
            decoded = base64.b64decode(secret, validate=True)
        except ValueError:
            raise ValueError("the secret is not base64; Kraken's always are") from None
        self._keys[key] = _Key(decoded, granted)

    def set_price(self, pair: str, price: object, qty: object = "0.01") -> None:
        """Print one trade at `price`: streams are told, and trailing stops move."""
        self.set_prices(pair, [price], qty)

    def set_prices(
        self, pair: str, prices: Sequence[object], qty: object = "0.01", at: float | None = None
    ) -> None:
        """Print several trades as one sweep: one trade frame, one ticker frame.

        `at`, in seconds since 1970, dates them; now where it is left out.

        Raises:
            ValueError: If a price is no positive number.
            Refusal: If there is no such pair.
        """
        exact = [price_from(price) for price in prices]
        self._ask(lambda: self._print(pair, exact, price_from(qty), at))

    def price_of(self, pair: str) -> Decimal:
        """Return the last price."""
        return self._ask(lambda: self._engine.listing(pair).price)

    def price_and_tick(self, pair: str) -> tuple[Decimal, Decimal]:
        """Return the last price and the smallest step of it."""
        listing = self._engine.listing(pair)
        return listing.price, listing.tick

    @property
    def orders(self) -> list[dict[str, Any]]:
        """Every order ever placed, as OpenOrders shows it, with its `txid`; oldest first."""
        return self._ask(self._shown_orders)

    def _shown_orders(self) -> list[dict[str, Any]]:
        return [{"txid": txid, **self._shown(o)} for txid, o in self._engine.orders.items()]

    def _shown(self, order: Order) -> dict[str, Any]:
        return shown(order, self._engine.listings[order.pair].row)

    def placed_count(self, cl_ord_id: str | None = None) -> int:
        """Return how many orders were ever placed, under one client order id or in all."""
        return sum(cl_ord_id in (None, order.get("cl_ord_id")) for order in self.orders)

    @property
    def balances(self) -> dict[str, Decimal]:
        """What is owned, by Kraken's asset id."""
        return self._ask(lambda: dict(self._engine.balances))

    def cancel_order(self, txid: str, reason: str = "User requested") -> None:
        """Cancel an open order, as its owner or the exchange would."""
        self._ask(lambda: self._engine.cancel(self._engine.orders[txid], self.now(), reason))
        self._tell()

    def fill_order(self, txid: str, part: object = 1) -> None:
        """Fill an open order at the last price; only `part` of its volume where that is under 1."""

        def fill() -> None:
            order = self._engine.orders[txid]
            price = self._engine.listings[order.pair].price
            share = Decimal(str(part))
            self._engine.fill(
                order, price, self.now(), volume=order.volume * share if share < 1 else None
            )

        self._ask(fill)
        self._tell()

    def set_pair_status(self, pair: str, status: str) -> None:
        """Set what AssetPairs says of a pair, such as `cancel_only`."""
        self._ask(lambda: self._engine.listing(pair).row.update(status=status))

    def set_system_status(self, status: str) -> None:
        """Set the engine's state and push it: online, maintenance, cancel_only, post_only.

        Raises:
            ValueError: If there is no such state.
        """
        if status not in SYSTEM_STATES:
            raise ValueError(f"no state is called {status!r}; there are {', '.join(SYSTEM_STATES)}")

        def change() -> None:
            self._engine.system_status = status
            for client in self._clients:
                self._send(client, self._status_frame())

        self._ask(change)

    @property
    def requests(self) -> list[Request]:
        """Every REST call so far, oldest first."""
        return list(self._requests)

    def count(self, endpoint: str) -> int:
        """Return how many calls of an endpoint came in."""
        return sum(request.endpoint == endpoint for request in self.requests)

    @property
    def ws_messages(self) -> list[dict[str, Any]]:
        """Every message that came in over the stream, oldest first."""
        return list(self._messages)

    @property
    def ws_connections(self) -> int:
        """How many streams are open."""
        return len(self._clients)

    @property
    def ws_connections_made(self) -> int:
        """How many streams were ever opened."""
        return self._connections_made

    def is_subscribed(self, symbol: str, channel: str = "ticker") -> bool:
        """Tell whether any stream has this subscription."""
        return any((channel, symbol) in client.subscriptions for client in list(self._clients))

    def drop_connections(self) -> None:
        """Reset every stream."""
        self._ask(self._abort_clients)

    def _abort_clients(self) -> None:
        for client in list(self._clients):
            self._abort(client)

    def _abort(self, client: _Client) -> None:
        self._clients.discard(client)
        _reset_transport(client.transport)
        self._tell()

    def stop_listening(self) -> None:
        """Drop all streams and take no connection until `resume`."""

        async def close() -> None:
            assert self._site is not None
            await self._site.stop()
            self._abort_clients()

        self._run(close())

    def resume(self) -> None:
        """Listen again, on the same port."""
        self._run(self._listen())

    def fault(self, name: str, **options: Any) -> Fault:
        """Switch a fault on, and return it so that it can be cleared.

        Raises:
            ValueError: If there is no such fault or option.
        """
        try:
            made = Fault(name, **options)
        except TypeError as error:
            raise ValueError(f"fault {name}: {error}") from None
        self._ask(lambda: self._switch_on(made))
        return made

    def _switch_on(self, fault: Fault) -> None:
        fault._registry = self._faults
        self._faults.append(fault)
        if fault.name == "drop":
            self._abort_clients()

    def clear_faults(self) -> None:
        """Switch every fault off."""
        self._ask(self._faults.clear)

    def _struck(
        self, name: str, endpoint: str | None = None, symbol: str | None = None
    ) -> Fault | None:
        """Return the fault of that name that strikes now, and count it."""
        for fault in list(self._faults):
            if (
                fault.name == name
                and fault.endpoint in (None, endpoint)
                and fault.symbol in (None, symbol)
            ):
                if fault.count is not None:
                    fault.count -= 1
                    if fault.count <= 0:
                        fault.clear()
                return fault
        return None

    def _is_on(self, name: str, symbol: str | None = None) -> bool:
        return any(
            fault.name == name and fault.symbol in (None, symbol) for fault in list(self._faults)
        )

    # --- REST ------------------------------------------------------------------------------------

    async def _public(self, request: web.Request) -> web.StreamResponse:
        endpoint = request.match_info["endpoint"]
        body = await request.read()
        params: dict[str, str] = dict(request.query)

        def act() -> Any:
            params.update(_read_params(body, request.content_type))
            return self._call(self._public_calls, endpoint, params)

        self._note(request, endpoint, params | _readable(body, request.content_type))
        if len(request.raw_path) > _LONGEST_URL:
            return _faulty(Fault("http_520"))
        return await self._answer(request, endpoint, act)

    async def _private(self, request: web.Request) -> web.StreamResponse:
        endpoint = request.match_info["endpoint"]
        body = await request.read()
        arrived = self.now()

        def act() -> Any:
            params = _read_params(body, request.content_type)
            self._check_key(request, endpoint, params.get("nonce", ""), body)
            if endpoint == "AddOrder":
                self._check_deadline(params.get("deadline"), arrived)
            return self._call(self._private_calls, endpoint, params)

        params = _readable(body, request.content_type)
        self._note(request, endpoint, {k: v for k, v in params.items() if k != "nonce"})
        return await self._answer(request, endpoint, act)

    async def _unknown(self, request: web.Request) -> web.StreamResponse:
        return _reply({"error": ["EGeneral:Unknown method"]})

    def _note(self, request: web.Request, endpoint: str, params: dict[str, str]) -> None:
        # The port at the other end tells connections apart, as long as they are open.
        peer = request.transport and request.transport.get_extra_info("peername")
        self._requests.append(Request(time.time(), endpoint, params, int(peer[1]) if peer else 0))
        self._tell()

    async def _answer(
        self, request: web.Request, endpoint: str, act: Callable[[], Any]
    ) -> web.StreamResponse:
        """Act and answer, with whatever fault is switched on for this endpoint."""
        if self._struck("black_hole", endpoint):
            await asyncio.Event().wait()
        if self._struck("nonce_refused", endpoint):
            return _reply({"error": ["EAPI:Invalid nonce"]})
        if fault := self._struck("delayed_action", endpoint):
            await asyncio.sleep(fault.seconds)
        for name in ("http_502", "http_504", "http_520", "html", "error"):
            fault = self._struck(name, endpoint)
            if fault is not None:
                if fault.when == "after":
                    self._act(act)
                return _faulty(fault)
        body = self._act(act)
        if fault := self._struck("delayed_reply", endpoint):
            await asyncio.sleep(fault.seconds)
        if self._struck("lost_reply", endpoint):
            return _reset(request)
        if self._struck("reset_mid_body", endpoint):
            return await _reset_inside(request, body)
        return _reply(body)

    def _act(self, act: Callable[[], Any]) -> dict[str, Any]:
        try:
            return {"error": [], "result": act()}
        except Refusal as refusal:
            return {"error": refusal.errors}
        finally:
            self._tell()

    def _check_key(self, request: web.Request, endpoint: str, nonce: str, body: bytes) -> None:
        """Check a private call in the order in which Kraken does, and use its nonce up."""
        key = self._keys.get(request.headers.get("API-Key", ""))
        if key is None:
            raise Refusal("EAPI:Invalid key")
        # A query string, which nobody needs here, is signed in front of the body.
        signed = nonce.encode("utf-8", "replace") + request.rel_url.raw_query_string.encode() + body
        message = request.rel_url.raw_path.encode() + hashlib.sha256(signed).digest()
        wanted = base64.b64encode(hmac.new(key.secret, message, hashlib.sha512).digest())
        given = request.headers.get("API-Sign", "").encode("utf-8", "replace")
        if not hmac.compare_digest(wanted, given):
            raise Refusal("EAPI:Invalid signature")
        if not _DIGITS.fullmatch(nonce) or not key.nonce < int(nonce) <= _LARGEST_NONCE:
            raise Refusal("EAPI:Invalid nonce")
        key.nonce = int(nonce)
        if not key.permissions & _NEEDED.get(endpoint, PERMISSIONS):
            raise Refusal("EGeneral:Permission denied")

    @staticmethod
    def _call(calls: Mapping[str, Callable[[Params], Any]], endpoint: str, params: Params) -> Any:
        call = calls.get(endpoint)
        if call is None:
            raise Refusal("EGeneral:Unknown method")
        return call(params)

    def _time(self, _: Params) -> dict[str, Any]:
        moment = datetime.fromtimestamp(int(self.now()), UTC)
        return {
            "unixtime": int(moment.timestamp()),
            "rfc1123": f"{moment:%a, %d %b %y %H:%M:%S} +0000",
        }

    def _system_status(self, _: Params) -> dict[str, str]:
        moment = datetime.fromtimestamp(self.now(), UTC)
        return {"status": self._engine.system_status, "timestamp": f"{moment:%Y-%m-%dT%H:%M:%SZ}"}

    def _asset_pairs(self, params: Params) -> dict[str, Any]:
        found = self._asked_for(params, params.get("aclass_base") or "currency")
        if params.get("assetVersion") == "1":
            return {listing.symbol or key: _modern_row(listing) for key, listing in found.items()}
        names = _INFO.get(params.get("info", ""))
        if names is not None:
            return {k: {n: x.row[n] for n in names if n in x.row} for k, x in found.items()}
        return {key: listing.row for key, listing in found.items()}

    def _asked_for(self, params: Params, asset_class: str) -> dict[str, Listing]:
        """Return the markets asked for, each under the key that Kraken gives it."""
        if not params.get("pair"):
            listings = self._engine.listings
            return {k: x for k, x in listings.items() if x.asset_class == asset_class}
        names = params["pair"].split(",")
        return dict(self._named(name.strip(), asset_class) for name in names)

    def _named(self, name: str, asset_class: str) -> tuple[str, Listing]:
        listing = self._engine.listing(name)
        if listing.asset_class != asset_class:
            raise Refusal("EQuery:Unknown asset pair")
        # The key of an answer follows the style of the question.
        return name if "/" in name else listing.key, listing

    def _assets(self, params: Params) -> dict[str, Any]:
        aclass = params.get("aclass") or "currency"
        rows = [x.row for x in self._engine.listings.values() if x.asset_class == aclass]
        sides = ("base",) if aclass == "tokenized_asset" else ("base", "quote")
        names = sorted({str(row[side]) for row in rows for side in sides})
        if params.get("asset"):
            by_any = {n: x for x in names for n in (x, _altname(x), _modern_asset(x))}
            wanted = params["asset"].split(",")
            if not set(wanted) <= set(by_any):
                raise Refusal("EQuery:Unknown asset")
            names = [by_any[name] for name in wanted]
        is_new = params.get("assetVersion") == "1"
        return {_modern_asset(n) if is_new else n: _asset_row(n, aclass) for n in names}

    def _ticker(self, params: Params) -> dict[str, Any]:
        found = self._asked_for(params, params.get("asset_class") or "currency")
        return {key: ticker_row(listing) for key, listing in found.items()}

    def _trades(self, params: Params) -> dict[str, Any]:
        key, listing = self._named(params.get("pair", ""), params.get("asset_class") or "currency")
        since = _nanoseconds(params.get("since", ""))
        most = min(_whole(params, "count", _MOST_TRADES), _MOST_TRADES)
        first = bisect_right(listing.trades, since, key=lambda trade: trade.at_ns)
        page = listing.trades[first : first + most] if since else listing.trades[-most:]
        rows = [
            [f"{t.price:.{listing.places}f}", f"{t.qty:.8f}", t.at_ns / 1e9, t.side[0], "m", "",
             t.trade_id]
            for t in page
        ]  # fmt: skip
        return {key: rows, "last": str(page[-1].at_ns if page else since)}

    def _ohlc(self, params: Params) -> dict[str, Any]:
        key, listing = self._named(params.get("pair", ""), params.get("asset_class") or "currency")
        interval = _whole(params, "interval", 1)
        if interval not in _CANDLE_MINUTES:
            raise Refusal("EGeneral:Invalid arguments:interval")
        since = _nanoseconds(params.get("since", "")) // 10**9
        rows = candles(listing, interval)
        # The last row is not committed: it may still move.
        last = rows[-2][0] if len(rows) > 1 else 0
        return {key: [row for row in rows if row[0] > since][-_MOST_CANDLES:], "last": last}

    def _balance(self, _: Params) -> dict[str, str]:
        return {asset: _amount(owned) for asset, owned in self._engine.balances.items()}

    def _balance_ex(self, _: Params) -> dict[str, dict[str, str]]:
        return {
            asset: {"balance": _amount(owned), "hold_trade": _amount(self._engine.held(asset))}
            for asset, owned in self._engine.balances.items()
        }

    def _trade_balance(self, params: Params) -> dict[str, str]:
        owned = self._engine.balances.get(params.get("asset") or "ZUSD", Decimal(0))
        figures = dict.fromkeys(("m", "n", "c", "v"), Decimal(0))
        figures |= dict.fromkeys(("eb", "tb", "e", "mf"), owned)
        return {name: f"{figure:.4f}" for name, figure in figures.items()}

    def _check_deadline(self, text: str | None, arrived: float) -> None:
        if not text:
            return
        moment = _seconds(text)
        if moment <= max(arrived, self.now()):
            raise Refusal("EService:Deadline elapsed")
        if not _NEAREST_DEADLINE <= moment - arrived <= _FARTHEST_DEADLINE:
            raise Refusal("EGeneral:Invalid arguments:deadline")

    def _add_order(self, params: Params) -> dict[str, Any]:
        order = self._engine.add_order(params, self.now())
        answer: dict[str, Any] = {"descr": {"order": self._shown(order)["descr"]["order"]}}
        if order.txid:
            answer["txid"] = [order.txid]
        return answer

    def _cancel_order(self, params: Params) -> dict[str, int]:
        return {"count": self._engine.cancel_by(params, self.now())}

    def _open_orders(self, params: Params) -> dict[str, Any]:
        latest = self.now() - self._lag("open_orders_lag")
        seen = [
            order
            for listing in self._engine.listings.values()
            for order in listing.open_orders.values()
            if order.opened_at <= latest and _is_asked_for(order, params)
        ]
        seen.sort(key=lambda order: order.opened_at, reverse=True)
        return {"open": {order.txid: self._shown(order) for order in seen}}

    def _closed_orders(self, params: Params) -> dict[str, Any]:
        latest = self.now() - self._lag("closed_orders_lag")
        start, end = _moment_param(params, "start", -1.0), _moment_param(params, "end", latest)
        by_opening = params.get("closetime") == "open"
        seen = [
            order
            for order in self._engine.orders.values()
            if order.closed_at is not None
            and order.closed_at <= latest
            and start < (order.opened_at if by_opening else order.closed_at) <= end
            and _is_asked_for(order, params)
        ]
        seen.sort(key=lambda order: order.closed_at or 0.0, reverse=True)
        first = _whole(params, "ofs", 0)
        page = {order.txid: self._shown(order) for order in seen[first : first + _PAGE]}
        return {"closed": page, "count": len(seen)}

    def _lag(self, name: str) -> float:
        return max((f.seconds for f in list(self._faults) if f.name == name), default=0.0)

    def _query_orders(self, params: Params) -> dict[str, Any]:
        txids = params.get("txid", "").split(",")
        if len(txids) > _PAGE:
            raise Refusal("EGeneral:Invalid arguments:txid")
        found = [self._engine.orders.get(txid) for txid in txids]
        if None in found:
            raise Refusal("EOrder:Invalid order")
        return {order.txid: self._shown(order) for order in found if order is not None}

    # --- the stream ------------------------------------------------------------------------------

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        if fault := self._struck("refuse_connect"):
            return web.Response(status=fault.status, text="refused")
        peer = web.WebSocketResponse(autoping=True, compress=False)
        await peer.prepare(request)
        transport = request.transport
        client = _Client(peer, transport if isinstance(transport, asyncio.Transport) else None)
        self._clients.add(client)
        self._connections_made += 1
        self._tell()
        if fault := self._struck("drop"):
            asyncio.get_running_loop().call_later(fault.seconds, self._abort, client)
        writer = asyncio.ensure_future(self._write(client))
        beater = asyncio.ensure_future(self._beat(client))
        try:
            self._send(client, self._status_frame())
            async for message in peer:
                if message.type is WSMsgType.TEXT:
                    self._receive(client, message.data)
        finally:
            self._clients.discard(client)
            writer.cancel()
            beater.cancel()
            self._tell()
        return peer

    async def _write(self, client: _Client) -> None:
        try:
            while True:
                await client.socket.send_str(await client.outbox.get())
        except ConnectionError:
            return  # the reading side ends, and cleans up

    async def _beat(self, client: _Client) -> None:
        while True:
            quiet = time.monotonic() - client.sent_at
            if quiet < self._heartbeat:
                await asyncio.sleep(self._heartbeat - quiet)
            elif client.subscriptions:
                self._send(client, {"channel": "heartbeat"})
            else:
                await asyncio.sleep(self._heartbeat)

    def _send(self, client: _Client, frame: Mapping[str, Any] | str) -> None:
        client.sent_at = time.monotonic()
        if not self._is_on("silent"):
            client.outbox.put_nowait(frame if isinstance(frame, str) else json.dumps(frame))

    def _status_frame(self) -> dict[str, Any]:
        state = {
            "system": self._engine.system_status,
            "api_version": "v2",
            "connection_id": 13834774380200032777,
            "version": "2.0.10",
        }
        return {"channel": "status", "type": "update", "data": [state]}

    def _receive(self, client: _Client, text: str) -> None:
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            self._send(client, {"error": "Malformed request", "success": False})
            return
        self._messages.append(message)
        came = _moment(self.now())
        method, params = message.get("method"), message.get("params")
        head = {"req_id": message["req_id"]} if "req_id" in message else {}
        if method == "ping":
            self._send(client, {"method": "pong", **head, **self._times(came)})
        elif method in ("subscribe", "unsubscribe"):
            head = {"method": method, **head}
            self._subscribe(client, head, params if isinstance(params, dict) else {}, came)
        else:
            self._send(client, {"error": "Method not found", "success": False, **head})
        self._tell()

    def _times(self, came: str) -> dict[str, str]:
        return {"time_in": came, "time_out": _moment(self.now())}

    def _subscribe(
        self, client: _Client, head: Mapping[str, Any], params: Mapping[str, Any], came: str
    ) -> None:
        if self._struck("msg_rate"):
            self._send(client, {"Error": "Exceeded msg rate"})
            return
        channel, symbols = params.get("channel"), params.get("symbol")
        if channel not in _CHANNELS or not isinstance(symbols, list) or not symbols:
            is_known = channel in (*_CHANNELS, "status")
            error = "Symbol(s) not found" if is_known else "Subscription name invalid"
            self._refuse(client, {"error": error, **head}, came)
            return
        # Kraken's defaults: the ticker begins with a snapshot, trades do not.
        wants_snapshot = params.get("snapshot", channel == "ticker") is True
        for symbol in map(str, symbols):
            if head["method"] == "unsubscribe":
                self._unsubscribe_one(client, head, (channel, symbol), came)
            elif not self._struck("no_ack", symbol=symbol):
                self._subscribe_one(client, head, (channel, symbol), wants_snapshot, came)

    def _subscribe_one(
        self,
        client: _Client,
        head: Mapping[str, Any],
        wanted: tuple[str, str],
        wants_snapshot: bool,
        came: str,
    ) -> None:
        channel, symbol = wanted
        if error := self._refusal_of(client, wanted):
            self._refuse(client, {"error": error, **head, "symbol": symbol}, came)
            return
        client.subscriptions.add(wanted)
        if self._struck("ack_without_data", symbol=symbol):
            client.dumb.add(wanted)
        result = {"channel": channel, "symbol": symbol, "snapshot": wants_snapshot}
        self._send(client, {**head, "success": True, "result": result, **self._times(came)})
        if wants_snapshot and wanted not in client.dumb and not self._is_on("mute", symbol):
            self._send_snapshot(client, channel, self._engine.by_symbol[symbol])

    def _unsubscribe_one(
        self, client: _Client, head: Mapping[str, Any], wanted: tuple[str, str], came: str
    ) -> None:
        channel, symbol = wanted
        if wanted not in client.subscriptions:
            error = "Subscription Not Found"
            self._refuse(client, {"error": error, **head, "symbol": symbol}, came)
            return
        client.subscriptions.discard(wanted)
        client.dumb.discard(wanted)
        result = {"channel": channel, "symbol": symbol}
        self._send(client, {**head, "success": True, "result": result, **self._times(came)})

    def _refuse(self, client: _Client, frame: Mapping[str, Any], came: str) -> None:
        self._send(client, {**frame, "success": False, **self._times(came)})

    def _refusal_of(self, client: _Client, wanted: tuple[str, str]) -> str | None:
        _, symbol = wanted
        if "/" not in symbol:
            return f"Currency pair not in ISO 4217-A3 format {symbol}"
        if symbol not in self._engine.by_symbol or self._struck("refuse", symbol=symbol):
            return f"Currency pair not supported {symbol}"
        return "Already subscribed" if wanted in client.subscriptions else None

    def _send_snapshot(self, client: _Client, channel: str, listing: Listing) -> None:
        if channel == "ticker":
            self._send(client, _ticker_frame(listing, "snapshot"))
        else:
            self._send(
                client, _trade_frame(listing, listing.trades[-_SNAPSHOT_TRADES:], "snapshot")
            )

    def _print(self, pair: str, prices: Sequence[Decimal], qty: Decimal, at: float | None) -> None:
        listing = self._engine.listing(pair)
        moment = self.now() if at is None else at
        trades = [self._engine.trade(listing, price, qty, moment) for price in prices]
        symbol = listing.symbol
        if symbol is not None and not self._is_on("mute", symbol):
            self._broadcast(listing, symbol, trades)
        self._tell()

    def _broadcast(self, listing: Listing, symbol: str, trades: Sequence[Trade]) -> None:
        frames: dict[str, str] = {}
        has_bad_ones = self._is_on("bad_frames", symbol)
        for client in self._clients:
            for channel in ("trade", "ticker"):
                wanted = (channel, symbol)
                if wanted not in client.subscriptions or wanted in client.dumb:
                    continue
                if channel not in frames:
                    frames[channel] = (
                        _ticker_frame(listing, "update")
                        if channel == "ticker"
                        else _trade_frame(listing, trades, "update")
                    )
                self._send(client, frames[channel])
                for frame in _bad_frames(channel, symbol) if has_bad_ones else ():
                    self._send(client, frame)

    # --- the switches, for other processes ---------------------------------------------------

    async def _control(self, request: web.Request) -> web.StreamResponse:
        what = request.match_info["what"]
        try:
            order = await request.json() if request.can_read_body else {}
            if not isinstance(order, dict):
                raise ValueError("the body is no JSON object")
            return web.json_response(self._controlled(what, order))
        except KeyError as error:
            return web.json_response({"error": f"{what}: there is no {error}"}, status=400)
        except (ValueError, TypeError, InvalidOperation, RecursionError, Refusal) as error:
            return web.json_response({"error": f"{what}: {error}"}, status=400)

    def _controlled(self, what: str, order: dict[str, Any]) -> Any:
        if what == "orders":
            return self._shown_orders()
        if what == "requests":
            return [[r.at, r.endpoint, r.params] for r in self._requests]
        actions: dict[str, Callable[[dict[str, Any]], None]] = {
            "price": self._control_price,
            "fault": self._control_fault,
            "clear": lambda _: self._faults.clear(),
            "drop": lambda _: self._abort_clients(),
        }
        if what not in actions:
            raise ValueError(f"there are orders, requests, {', '.join(actions)}")
        actions[what](order)
        return {}

    def _control_price(self, order: dict[str, Any]) -> None:
        prices = order["prices"] if "prices" in order else [order["price"]]
        at = order.get("at")
        exact = [price_from(price) for price in prices]
        self._print(order["pair"], exact, Decimal("0.01"), None if at is None else float(at))

    def _control_fault(self, order: dict[str, Any]) -> None:
        self._switch_on(Fault(**order))


def _read_params(body: bytes, content_type: str) -> dict[str, str]:
    """Return the parameters of a form or JSON body as text by name.

    Raises:
        Refusal: If it says that it is JSON, and is no object.
    """
    text = body.decode("utf-8", "replace")
    if content_type != "application/json":
        return dict(urllib.parse.parse_qsl(text, keep_blank_values=True))
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Refusal("EGeneral:Invalid arguments")
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in found.items()
        if value is not None
    }


def _readable(body: bytes, content_type: str) -> dict[str, str]:
    try:
        return _read_params(body, content_type)
    except Refusal:
        return {}


def _reply(body: Mapping[str, Any]) -> web.Response:
    return web.Response(text=json.dumps(body), headers=_JSON)


def _faulty(fault: Fault) -> web.Response:
    page = "<!DOCTYPE html><html><title>Just a moment</title></html>"
    if fault.name == "error":
        return _reply({"error": [fault.text]})
    status = 200 if fault.name == "html" else int(fault.name.removeprefix("http_"))
    return web.Response(status=status, text=page, content_type="text/html")


@web.middleware
async def _let_go(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Let clients vanish whenever they like: to the server's library that would be an error."""
    try:
        return await handler(request)
    except ConnectionError:
        return web.Response()  # nobody is left to read it


def _reset(request: web.Request) -> web.Response:
    _reset_transport(request.transport)
    return web.Response()  # nobody is left to read it


async def _reset_inside(request: web.Request, body: Mapping[str, Any]) -> web.StreamResponse:
    text = json.dumps(body).encode()
    response = web.StreamResponse(headers={**_JSON, "Content-Length": str(len(text))})
    await response.prepare(request)
    await response.write(text[: len(text) // 2])
    # Closed and not reset: a reset could overtake the first half.
    if isinstance(request.transport, asyncio.Transport):
        request.transport.close()
    return response


def _reset_transport(transport: asyncio.BaseTransport | None) -> None:
    """Reset a connection: the other side sees a reset, and no orderly end."""
    if not isinstance(transport, asyncio.Transport) or transport.is_closing():
        return
    linger = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    transport.abort()


# --- wire shapes ---------------------------------------------------------------------------------


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _seconds(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise Refusal("EGeneral:Invalid arguments:deadline") from None


def _nanoseconds(text: str) -> int:
    """Return a `since`, which Kraken takes in seconds or in nanoseconds, in nanoseconds."""
    whole, _, part = (text or "0").partition(".")
    if not _DIGITS.fullmatch(whole) or (part and not _DIGITS.fullmatch(part)):
        raise Refusal("EGeneral:Invalid arguments:since")
    number = Decimal(text or "0")
    return int(number if number > 10**14 else number * 10**9)


def _moment_param(params: Params, name: str, otherwise: float) -> float:
    """Return `start` or `end`, in seconds since 1970."""
    text = params.get(name)
    if not text:
        return otherwise
    whole, _, part = text.partition(".")
    if not _DIGITS.fullmatch(whole) or (part and not _DIGITS.fullmatch(part)):
        raise Refusal(f"EGeneral:Invalid arguments:{name}")
    return float(text)


def _whole(params: Params, name: str, otherwise: int) -> int:
    text = params.get(name) or str(otherwise)
    if not _DIGITS.fullmatch(text):
        raise Refusal(f"EGeneral:Invalid arguments:{name}")
    return int(text)


def _is_asked_for(order: Order, params: Params) -> bool:
    cl_ord_id, userref = params.get("cl_ord_id"), params.get("userref")
    return cl_ord_id in (None, "", order.cl_ord_id) and userref in (None, "", str(order.userref))


def _modern_row(listing: Listing) -> dict[str, Any]:
    names = {side: _modern_asset(str(listing.row[side])) for side in ("base", "quote")}
    return {**listing.row, **names}


def _modern_asset(name: str) -> str:
    """Return the modern name of an asset: `XXBT` is `BTC`, `ZUSD` is `USD`."""
    return modern(_altname(name))


def _altname(name: str) -> str:
    is_legacy = len(name) == 4 and name[0] in "XZ" and name not in _MODERN_IN_LEGACY_DRESS
    return name[1:] if is_legacy else name


def _asset_row(name: str, aclass: str) -> dict[str, Any]:
    is_cash = name.startswith("Z") and name != _altname(name)
    return {
        "aclass": aclass,
        "altname": _altname(name),
        "decimals": 4 if is_cash else 10,
        "display_decimals": 2 if is_cash else 5,
        "status": "enabled",
    }


def _amount(amount: Decimal) -> str:
    return f"{amount:.10f}"


def _ticker_frame(listing: Listing, kind: str) -> str:
    places = listing.places
    bid, ask = listing.quotes
    last, opening = listing.price, listing.opening
    change = last - opening
    at = listing.traded_ns / 1e9 if listing.traded_ns else time.time()
    # Written by hand: numbers keep the pair's digits, as Kraken's do, and this is the hot path.
    return (
        f'{{"channel":"ticker","type":"{kind}","data":[{{"symbol":"{listing.symbol}",'
        f'"bid":{bid:.{places}f},"bid_qty":1.00000000,"ask":{ask:.{places}f},"ask_qty":1.00000000,'
        f'"last":{last:.{places}f},"volume":{listing.volume:.8f},"vwap":{last:.{places}f},'
        f'"low":{listing.low:.{places}f},"high":{listing.high:.{places}f},'
        f'"change":{change:.{places}f},"change_pct":{change / opening * 100:.2f},'
        f'"timestamp":"{_moment(at)}"}}]}}'
    )


def _trade_frame(listing: Listing, trades: Sequence[Trade], kind: str) -> str:
    places = listing.places
    rows = ",".join(
        f'{{"symbol":"{listing.symbol}","side":"{t.side}","price":{t.price:.{places}f},'
        f'"qty":{t.qty:.8f},"ord_type":"market","trade_id":{t.trade_id},'
        f'"timestamp":"{_moment(t.at_ns / 1e9)}"}}'
        for t in trades
    )
    return f'{{"channel":"trade","type":"{kind}","data":[{rows}]}}'


_BAD_PRICES = ("NaN", "Infinity", "-1", "0", "1e400", "null", '"x"')


def _bad_frames(channel: str, symbol: str) -> list[str]:
    name, extra = ("last", "") if channel == "ticker" else ("price", ',"trade_id":1')
    row = f'{{"symbol":"{symbol}","{name}":%s{extra}}}'
    frame = f'{{"channel":"{channel}","type":"update","data":[{row}]}}'
    return ["{", "[]", "\x00", '"text"', *(frame % price for price in _BAD_PRICES)]


# --- prices --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Minute:
    """One row of a replay: the prices of a minute in the order in which they are played.

    The open comes first and the close last; of low and high the one nearer to the open is played
    before the other, as a path between the four would most likely go.
    """

    at: datetime
    prices: tuple[Decimal, ...]


def read_replay(path: str | Path) -> Iterator[Minute]:
    """Yield the minutes of a file of `timestamp,open,high,low,close,volume`.

    Raises:
        ValueError: Naming file, line, field, value and cure of the first row that cannot be read.
        OSError: If the file cannot be opened.
    """
    for place, row in _rows(path, ("timestamp", "open", "high", "low", "close")):
        yield _minute(row, place)


def _rows(path: str | Path, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield each row of a CSV file with the place that an error names."""
    with Path(path).open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, restval="")
        try:
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise ValueError(
                    f"{path} line 1: there is no column {', '.join(missing)}; the first line must"
                    f" be a header with {','.join(columns)}"
                )
            for row in reader:
                yield f"{path} line {reader.line_num}", row
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"{path}: {error}; write it as CSV in UTF-8") from None


def _minute(row: Mapping[str, str], place: str) -> Minute:
    start, high, low, close = (
        _price_in(row, name, place) for name in ("open", "high", "low", "close")
    )
    try:
        at = datetime.fromisoformat(row["timestamp"].strip())
    except ValueError:
        cure = "write 2022-01-31 23:59:00"
        raise ValueError(f"{place}, timestamp: {row['timestamp']!r} is no time; {cure}") from None
    between = (high, low) if high - start <= start - low else (low, high)
    return Minute(at if at.tzinfo else at.replace(tzinfo=UTC), (start, *between, close))


def _price_in(row: Mapping[str, str], name: str, place: str) -> Decimal:
    try:
        return price_from(row[name].strip())
    except ValueError as error:
        raise ValueError(f"{place}, {name}: {error}") from None


def random_path(start: Decimal, tick: Decimal, seed: int) -> Iterator[Decimal]:
    """Yield a random walk of prices, the same for the same seed, in steps of up to 0.1 %."""
    chance = random.Random(seed)  # noqa: S311 - prices for a demo
    price = start
    while True:
        step = Decimal(str(round(chance.gauss(0, 0.0004), 6)))
        price = max((price * (1 + step)).quantize(tick), tick)
        yield price


# --- the program ---------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fake_kraken", description="Serve a stand-in for Kraken's spot exchange on loopback."
    )
    add = parser.add_argument
    add("--port", type=_port, default=8080, help="0 picks a free one (default: %(default)s)")
    add("--key", help="the API key to accept (default: a made-up one)")
    add("--secret", help="its secret, base64")
    add("--pair", default="XXBTZUSD", help="the pair whose price moves (default: %(default)s)")
    add("--seed", type=int, default=1, help="of the random path of prices")
    add("--replay", metavar="FILE", help="play rows of timestamp,open,high,low,close,volume")
    add("--script", metavar="FILE", help="play rows of seconds,pair,price")
    add("--speed", type=_speed, default=1.0, help="steps a second: ticks, or minutes of a replay")
    add("--fault", action="append", default=[], choices=sorted(FAULTS), help="switch a fault on")
    return parser


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port; give 0 to 65535")
    return port


def _speed(text: str) -> float:
    speed = float(text)
    if not 0 < speed < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no speed; give a positive number")
    return speed


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C or SIGTERM; 1 if that cannot begin."""
    options = _parser().parse_args(argv)
    try:
        exchange = FakeKraken(key=options.key, secret=options.secret, port=options.port)
        steps = _path(exchange, options)
        exchange.start()
    except Refusal as refusal:
        print(f"Cannot run: {refusal}; name one of Kraken's pairs", file=sys.stderr)
        return 1
    except (OSError, ValueError) as error:
        print(f"Cannot run: {error}", file=sys.stderr)
        return 1
    for name in options.fault:
        exchange.fault(name)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    print(f"REST      {exchange.rest_url}\nstream    {exchange.ws_url}")
    print(f"key       {exchange.api_key}\nsecret    {exchange.api_secret}")
    print(
        f"set KRAKEN_SPOT_URL={exchange.rest_url} KRAKEN_WS_PUBLIC_URL={exchange.ws_url}",
        flush=True,
    )
    _play(exchange, steps, ended)
    exchange.stop()
    return 0


_Step = tuple[float, str, Sequence[Decimal], float | None]


def _path(exchange: FakeKraken, options: argparse.Namespace) -> Iterable[_Step]:
    """Return what is played: pause before it in seconds, pair, prices, and their date.

    Files are read whole: what is wrong in them is said now and not in the middle.
    """
    exchange.price_of(options.pair)
    pause = 1 / options.speed
    if options.replay:
        return [
            (pause, options.pair, minute.prices, minute.at.timestamp())
            for minute in read_replay(options.replay)
        ]
    if options.script:
        return list(_script_steps(exchange, options.script, pause))
    prices = random_path(*exchange.price_and_tick(options.pair), options.seed)
    return ((pause, options.pair, [price], None) for price in prices)


def _script_steps(exchange: FakeKraken, path: str, pause: float) -> Iterator[_Step]:
    before = Decimal(0)
    for place, row in _rows(path, ("seconds", "pair", "price")):
        pair = row["pair"].strip()
        try:
            seconds = Decimal(row["seconds"].strip())
            exchange.price_of(pair)
        except InvalidOperation:
            seconds = Decimal("NaN")
        except Refusal:
            raise ValueError(f"{place}, pair: {pair!r} is unknown; write XXBTZUSD") from None
        if not seconds.is_finite() or seconds < before:
            cure = "write how many seconds after the start, in order"
            raise ValueError(f"{place}, seconds: {row['seconds']!r} is no moment; {cure}")
        yield float(seconds - before) * pause, pair, [_price_in(row, "price", place)], None
        before = seconds


def _play(exchange: FakeKraken, steps: Iterable[_Step], ended: threading.Event) -> None:
    for pause, pair, prices, at in steps:
        if ended.wait(pause):
            return
        exchange.set_prices(pair, prices, at=at)
    while not ended.wait(0.5):  # in slices: Windows delivers Ctrl-C between them
        pass


if "pytest" in sys.modules:
    import pytest

    @pytest.fixture
    def kraken_exchange() -> Iterator[FakeKraken]:
        """A started exchange, for anybody's tests: `from fake_kraken import kraken_exchange`."""
        with FakeKraken() as exchange:
            yield exchange
