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
import itertools
import json
import random
import signal
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TypeVar

from fake_kraken_book import (
    Engine,
    Listing,
    Order,
    Refusal,
    Trade,
    candles,
    quotes,
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
_NEEDED = {
    "Balance": "query funds",
    "BalanceEx": "query funds",
    "TradeBalance": "query funds",
    "OpenOrders": "query open",
    "QueryOrders": "query open",
    "ClosedOrders": "query closed",
    "AddOrder": "modify",
    "CancelOrder": "modify",
}

FAULTS: dict[str, str] = {
    # the stream
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

_JSON = {"Content-Type": "application/json; charset=utf-8"}


@dataclass(slots=True)
class Fault:
    """A switched-on fault. `count` is how often it still strikes; None: until cleared."""

    name: str
    endpoint: str | None = None
    symbol: str | None = None
    count: int | None = None
    seconds: float = 0.0
    when: str = "before"
    text: str = "EService:Unavailable"
    status: int = 503
    _registry: list[Fault] = field(default_factory=list, repr=False)

    def clear(self) -> None:
        """Switch it off."""
        if self in self._registry:
            self._registry.remove(self)


@dataclass(frozen=True, slots=True)
class Request:
    """A REST call that came in; `params` are without nonce. `at` is seconds since 1970."""

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
    sent_at: float = 0.0


@dataclass(slots=True)
class _Key:
    secret: bytes
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

    Attributes:
        clock_offset: Seconds that Kraken's clock is ahead of this machine's.
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
    ) -> None:
        self.api_key = key or DEMO_KEY
        self.api_secret = secret or DEMO_SECRET
        self.port = port
        self.clock_offset = 0.0
        self._engine = Engine(pairs, prices, balances)
        self._heartbeat = heartbeat_seconds
        self._keys: dict[str, _Key] = {}
        self.add_key(self.api_key, self.api_secret)
        self._faults: list[Fault] = []
        self._requests: list[Request] = []
        self._messages: list[dict[str, Any]] = []
        self._clients: set[_Client] = set()
        self._connections_made = 0
        # Guards nothing but itself: tells whoever waits that something has happened.
        self._happened = threading.Condition()
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
        app = web.Application()
        app.router.add_get("/0/public/{endpoint}", self._public)
        app.router.add_post("/0/public/{endpoint}", self._public)
        app.router.add_post("/0/private/{endpoint}", self._private)
        app.router.add_get("/v2", self._stream)
        app.router.add_route("*", "/fake/{what}", self._control)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
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

    def _run(self, work: Coroutine[Any, Any, R]) -> R:
        assert self._loop is not None, "the exchange is not started"
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def _ask(self, question: Callable[[], R]) -> R:
        """Call `question` on the exchange's own thread, where nothing moves meanwhile."""

        async def asked() -> R:
            return question()

        return self._run(asked())

    def _tell(self) -> None:
        with self._happened:
            self._happened.notify_all()

    def wait_for(self, predicate: Callable[[FakeKraken], object], timeout: float = 10.0) -> bool:
        """Wait until `predicate(exchange)` is true; False if it is not within `timeout` seconds."""
        end = time.monotonic() + timeout
        with self._happened:
            while not predicate(self):
                left = end - time.monotonic()
                if left <= 0:
                    return False
                # Also looks now and then: what changes with time alone tells nobody.
                self._happened.wait(min(left, 0.2))
        return True

    def now(self) -> float:
        """Return Kraken's clock, in seconds since 1970."""
        return time.time() + self.clock_offset

    # --- what a test or a demo does ------------------------------------------------------------

    def add_key(self, key: str, secret: str, permissions: Iterable[str] = PERMISSIONS) -> None:
        """Accept another key, with some of `PERMISSIONS`."""
        self._keys[key] = _Key(base64.b64decode(secret), frozenset(permissions))

    def set_price(self, pair: str, price: object, qty: object = "0.01") -> None:
        """Print one trade at `price`: streams are told, and trailing stops move."""
        self.set_prices(pair, [price], qty)

    def set_prices(
        self, pair: str, prices: Sequence[object], qty: object = "0.01", at: float | None = None
    ) -> None:
        """Print several trades as one sweep: one trade frame, one ticker frame.

        `at`, in seconds since 1970, dates them; now where it is left out.
        """
        exact = [Decimal(str(price)) for price in prices]
        self._ask(lambda: self._print(pair, exact, Decimal(str(qty)), at))

    def price_of(self, pair: str) -> Decimal:
        """Return the last price."""
        return self._ask(lambda: self._engine.listing(pair).price)

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

    def cancel_order(self, txid: str, reason: str = "User requested") -> None:
        """Cancel an open order, as its owner or the exchange would."""
        self._ask(lambda: self._engine.cancel(self._engine.orders[txid], self.now(), reason))
        self._tell()

    def fill_order(self, txid: str, part: object = 1) -> None:
        """Fill an open order at the last price; only `part` of it where that is under 1."""

        def fill() -> None:
            order = self._engine.orders[txid]
            price = self._engine.listings[order.pair].price
            if Decimal(str(part)) < 1:
                order.executed, order.fill_price = order.volume * Decimal(str(part)), price
            else:
                self._engine.fill(order, price, self.now())

        self._ask(fill)
        self._tell()

    def set_pair_status(self, pair: str, status: str) -> None:
        """Set what AssetPairs says of a pair, such as `cancel_only`."""
        self._ask(lambda: self._engine.listing(pair).row.update(status=status))

    def set_system_status(self, status: str) -> None:
        """Set the engine's state and push it: online, maintenance, cancel_only, post_only."""

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
            self._clients.discard(client)
            if client.transport is not None:
                client.transport.abort()
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
        if name not in FAULTS:
            raise ValueError(f"no fault is called {name!r}; there are {', '.join(FAULTS)}")
        try:
            made = Fault(name, **options)
        except TypeError as error:
            raise ValueError(f"fault {name}: {error}") from None
        made._registry = self._faults
        self._ask(lambda: self._faults.append(made))
        return made

    def clear_faults(self) -> None:
        """Switch every fault off."""
        self._ask(self._faults.clear)

    def _struck(
        self, name: str, endpoint: str | None = None, symbol: str | None = None
    ) -> Fault | None:
        """Return the fault of that name that strikes now, and count it."""
        for fault in self._faults:
            if (
                fault.name == name
                and fault.endpoint in (None, endpoint)
                and fault.symbol in (None, symbol)
            ):
                if fault.count is not None:
                    fault.count -= 1
                    if fault.count <= 0:
                        self._faults.remove(fault)
                return fault
        return None

    # --- REST ------------------------------------------------------------------------------------

    async def _public(self, request: web.Request) -> web.StreamResponse:
        endpoint = request.match_info["endpoint"]
        params = {**request.query, **(await _form(request))[0]}
        self._note(request, endpoint, params)
        return await self._answer(request, endpoint, lambda: self._public_result(endpoint, params))

    async def _private(self, request: web.Request) -> web.StreamResponse:
        endpoint = request.match_info["endpoint"]
        params, body = await _form(request)
        self._note(request, endpoint, {k: v for k, v in params.items() if k != "nonce"})

        def act() -> Any:
            self._check_key(request, endpoint, params, body)
            return self._private_result(endpoint, params)

        return await self._answer(request, endpoint, act)

    def _note(self, request: web.Request, endpoint: str, params: dict[str, str]) -> None:
        connection = id(request.transport)
        self._requests.append(Request(time.time(), endpoint, params, connection))
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

    def _check_key(
        self, request: web.Request, endpoint: str, params: Mapping[str, str], body: str
    ) -> None:
        key = self._keys.get(request.headers.get("API-Key", ""))
        if key is None:
            raise Refusal("EAPI:Invalid key")
        nonce = params.get("nonce", "")
        digest = hashlib.sha256((nonce + body).encode()).digest()
        wanted = hmac.new(key.secret, request.path.encode() + digest, hashlib.sha512).digest()
        if not hmac.compare_digest(
            base64.b64encode(wanted).decode(), request.headers.get("API-Sign", "")
        ):
            raise Refusal("EAPI:Invalid signature")
        if not nonce.isdigit() or int(nonce) <= key.nonce:
            raise Refusal("EAPI:Invalid nonce")
        key.nonce = int(nonce)
        if _NEEDED.get(endpoint, "query open") not in key.permissions:
            raise Refusal("EGeneral:Permission denied")

    def _public_result(self, endpoint: str, params: Mapping[str, str]) -> Any:
        answers: dict[str, Callable[[Mapping[str, str]], Any]] = {
            "AssetPairs": self._asset_pairs,
            "Assets": self._assets,
            "Ticker": self._ticker,
            "Trades": self._trades,
            "OHLC": self._ohlc,
            "Time": lambda _: self._time(),
            "SystemStatus": lambda _: {
                "status": self._engine.system_status,
                "timestamp": _moment(self.now()),
            },
        }
        if endpoint not in answers:
            raise Refusal("EGeneral:Unknown method")
        return answers[endpoint](params)

    def _time(self) -> dict[str, Any]:
        moment = datetime.fromtimestamp(self.now(), UTC)
        return {
            "unixtime": int(moment.timestamp()),
            "rfc1123": f"{moment:%a, %d %b %y %H:%M:%S} +0000",
        }

    def _asset_pairs(self, params: Mapping[str, str]) -> dict[str, Any]:
        aclass = params.get("aclass_base", "currency")
        is_new = params.get("assetVersion") == "1"
        if params.get("pair"):
            chosen = [self._engine.listing(name) for name in params["pair"].split(",")]
        else:
            chosen = list(self._engine.listings.values())
        found = {}
        for listing in chosen:
            if listing.row.get("aclass_base", "currency") != aclass:
                if params.get("pair"):
                    raise Refusal("EQuery:Unknown asset pair")
                continue
            key = listing.symbol if is_new and listing.symbol else listing.key
            found[key] = {**listing.row, "wsname": listing.symbol} if is_new else listing.row
        return found

    def _assets(self, params: Mapping[str, str]) -> dict[str, Any]:
        legacy = {"XXBT": "XBT", "XXDG": "XDG", "XETH": "ETH", "XETC": "ETC"}
        names = {row[side] for row in self._rows() for side in ("base", "quote")}
        is_new = params.get("assetVersion") == "1"
        found = {}
        for name in sorted(names):
            is_old = len(name) == 4 and name[0] in "XZ" and name not in ("XAUT", "ZETA")
            short = legacy.get(name, name[1:] if is_old else name)
            modern = {"XBT": "BTC", "XDG": "DOGE"}.get(short, short)
            found[modern if is_new else name] = {
                "aclass": "currency",
                "altname": short,
                "decimals": 4 if name.startswith("Z") else 10,
                "display_decimals": 2 if name.startswith("Z") else 5,
                "status": "enabled",
            }
        return found

    def _rows(self) -> list[dict[str, Any]]:
        return [listing.row for listing in self._engine.listings.values()]

    def _ticker(self, params: Mapping[str, str]) -> dict[str, Any]:
        aclass = "tokenized_asset" if params.get("asset_class") == "tokenized_asset" else "currency"
        if not params.get("pair"):
            rows = self._engine.listings.values()
            return {
                x.key: ticker_row(x) for x in rows if x.row.get("aclass_base", aclass) == aclass
            }
        found = {}
        for name in params["pair"].split(","):
            listing = self._engine.listing(name)
            if listing.row.get("aclass_base", "currency") != aclass:
                raise Refusal("EQuery:Unknown asset pair")
            # The key follows the style of the question.
            found[name if "/" in name else listing.key] = ticker_row(listing)
        return found

    def _trades(self, params: Mapping[str, str]) -> dict[str, Any]:
        listing = self._engine.listing(params.get("pair", ""))
        since = _nanoseconds(params.get("since", ""))
        most = min(int(params.get("count") or 1000), 1000)
        later = [t for t in listing.trades if int(t.at * 1e9) > since]
        page = later[:most] if since else later[-most:]
        rows = [
            [format(t.price, "f"), f"{t.qty:.8f}", round(t.at, 9), t.side[0], "m", "", t.trade_id]
            for t in page
        ]
        last = str(int(page[-1].at * 1e9)) if page else str(since)
        return {params["pair"] if "/" in params["pair"] else listing.key: rows, "last": last}

    def _ohlc(self, params: Mapping[str, str]) -> dict[str, Any]:
        listing = self._engine.listing(params.get("pair", ""))
        since = _nanoseconds(params.get("since", "")) / 1e9
        rows = candles(listing.trades, int(params.get("interval") or 1))
        page = [row for row in rows if row[0] > since][-720:]
        last = rows[-2][0] if len(rows) > 1 else 0
        return {params["pair"] if "/" in params["pair"] else listing.key: page, "last": last}

    def _private_result(self, endpoint: str, params: Mapping[str, str]) -> Any:
        answers: dict[str, Callable[[Mapping[str, str]], Any]] = {
            "Balance": lambda _: {a: format(b, "f") for a, b in self._engine.balances.items()},
            "BalanceEx": lambda _: {
                a: {"balance": format(b, "f"), "hold_trade": format(self._engine.held(a), "f")}
                for a, b in self._engine.balances.items()
            },
            "TradeBalance": lambda _: self._trade_balance(),
            "AddOrder": self._add_order,
            "OpenOrders": self._open_orders,
            "ClosedOrders": self._closed_orders,
            "QueryOrders": self._query_orders,
            "CancelOrder": lambda p: {"count": self._engine.cancel_by(p, self.now())},
        }
        if endpoint not in answers:
            raise Refusal("EGeneral:Unknown method")
        return answers[endpoint](params)

    def _trade_balance(self) -> dict[str, str]:
        usd = format(self._engine.balances.get("ZUSD", Decimal(0)), "f")
        return {"eb": usd, "tb": usd, "m": "0.0000", "n": "0.0000", "c": "0.0000", "v": "0.0000",
                "e": usd, "mf": usd}  # fmt: skip

    def _add_order(self, params: Mapping[str, str]) -> dict[str, Any]:
        deadline = params.get("deadline")
        if deadline and _seconds(deadline) < self.now():
            raise Refusal("EService:Deadline elapsed")
        order = self._engine.add_order(params, self.now())
        text = self._shown(order)["descr"]["order"]
        if not order.txid:
            return {"descr": {"order": text}}
        return {"descr": {"order": text}, "txid": [order.txid]}

    def _chosen(self, params: Mapping[str, str], is_open: bool) -> list[Order]:
        cl_ord_id, userref = params.get("cl_ord_id"), params.get("userref")
        return [
            order
            for order in self._engine.orders.values()
            if (order.status == "open") == is_open
            and cl_ord_id in (None, "", order.cl_ord_id)
            and userref in (None, "", str(order.userref))
        ]

    def _open_orders(self, params: Mapping[str, str]) -> dict[str, Any]:
        lag = self._lag("open_orders_lag")
        seen = [o for o in self._chosen(params, True) if self.now() - o.opened_at >= lag]
        return {"open": {o.txid: self._shown(o) for o in seen}}

    def _closed_orders(self, params: Mapping[str, str]) -> dict[str, Any]:
        lag = self._lag("closed_orders_lag")
        seen = [
            o
            for o in self._chosen(params, False)
            if o.closed_at is not None and self.now() - o.closed_at >= lag
        ]
        seen.sort(key=lambda o: o.closed_at or 0.0, reverse=True)
        start = int(params.get("ofs") or 0)
        page = seen[start : start + 50]
        return {"closed": {o.txid: self._shown(o) for o in page}, "count": len(seen)}

    def _lag(self, name: str) -> float:
        return max((f.seconds for f in self._faults if f.name == name), default=0.0)

    def _query_orders(self, params: Mapping[str, str]) -> dict[str, Any]:
        found = {}
        for txid in params.get("txid", "").split(","):
            order = self._engine.orders.get(txid)
            if order is None:
                raise Refusal("EOrder:Invalid order")
            found[txid] = self._shown(order)
        return found

    # --- the stream ------------------------------------------------------------------------------

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        if fault := self._struck("refuse_connect"):
            return web.Response(status=fault.status, text="refused")
        socket = web.WebSocketResponse(autoping=True, compress=False)
        await socket.prepare(request)
        transport = request.transport
        client = _Client(socket, transport if isinstance(transport, asyncio.Transport) else None)
        self._clients.add(client)
        self._connections_made += 1
        self._tell()
        writer = asyncio.ensure_future(self._write(client))
        beater = asyncio.ensure_future(self._beat(client))
        try:
            self._send(client, self._status_frame())
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._receive(client, message.data)
        finally:
            self._clients.discard(client)
            writer.cancel()
            beater.cancel()
            self._tell()
        return socket

    async def _write(self, client: _Client) -> None:
        try:
            while True:
                await client.socket.send_str(await client.outbox.get())
        except ConnectionError:
            return  # the reading side ends, and cleans up

    async def _beat(self, client: _Client) -> None:
        while True:
            await asyncio.sleep(self._heartbeat)
            quiet = time.monotonic() - client.sent_at
            if client.subscriptions and quiet >= self._heartbeat * 0.9:
                self._send(client, {"channel": "heartbeat"})

    def _send(self, client: _Client, frame: Mapping[str, Any] | str) -> None:
        if any(fault.name == "silent" for fault in self._faults):
            return
        client.sent_at = time.monotonic()
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
            method, params = message["method"], message.get("params") or {}
        except (ValueError, KeyError, TypeError):
            self._send(client, {"error": "Malformed request", "success": False})
            return
        self._messages.append(message)
        answer = {"req_id": message["req_id"]} if "req_id" in message else {}
        if method == "ping":
            now = _moment(self.now())
            self._send(client, {"method": "pong", **answer, "time_in": now, "time_out": now})
        elif method in ("subscribe", "unsubscribe"):
            self._subscribe(client, method, params, answer)
        else:
            self._send(client, {"error": "Method not found", "success": False, **answer})
        self._tell()

    def _subscribe(
        self, client: _Client, method: str, params: Mapping[str, Any], answer: Mapping[str, Any]
    ) -> None:
        if self._struck("msg_rate"):
            self._send(client, {"Error": "Exceeded msg rate"})
            return
        channel = params.get("channel")
        if channel not in ("ticker", "trade"):
            error = "Symbol(s) not found" if channel == "status" else "Subscription name invalid"
            self._send(client, {"error": error, "method": method, "success": False, **answer})
            return
        for symbol in params.get("symbol", ()):
            self._subscribe_one(client, method, channel, str(symbol), params, answer)

    def _subscribe_one(
        self,
        client: _Client,
        method: str,
        channel: str,
        symbol: str,
        params: Mapping[str, Any],
        answer: Mapping[str, Any],
    ) -> None:
        if method == "subscribe" and self._struck("no_ack", symbol=symbol):
            return
        now = _moment(self.now())
        times = {"time_in": now, "time_out": now}
        error = self._refusal_of(client, method, channel, symbol)
        if error is not None:
            self._send(
                client,
                {"error": error, "method": method, "success": False, "symbol": symbol}
                | dict(answer)
                | times,
            )
            return
        result = {"channel": channel, "symbol": symbol}
        if method == "unsubscribe":
            client.subscriptions.discard((channel, symbol))
        else:
            client.subscriptions.add((channel, symbol))
            result["snapshot"] = params.get("snapshot", channel == "ticker")
        self._send(
            client, {"method": method, "success": True, "result": result} | dict(answer) | times
        )
        if method == "subscribe" and result["snapshot"] and not self._is_dumb(symbol):
            self._send_snapshot(client, channel, self._engine.by_symbol[symbol])

    def _refusal_of(self, client: _Client, method: str, channel: str, symbol: str) -> str | None:
        subscribed = (channel, symbol) in client.subscriptions
        if method == "unsubscribe":
            return None if subscribed else "Subscription Not Found"
        if "/" not in symbol:
            return f"Currency pair not in ISO 4217-A3 format {symbol}"
        if symbol not in self._engine.by_symbol or self._struck("refuse", symbol=symbol):
            return f"Currency pair not supported {symbol}"
        return "Already subscribed" if subscribed else None

    def _is_dumb(self, symbol: str) -> bool:
        return any(
            f.name in ("mute", "ack_without_data") and f.symbol in (None, symbol)
            for f in self._faults
        )

    def _send_snapshot(self, client: _Client, channel: str, listing: Listing) -> None:
        if channel == "ticker":
            self._send(client, _ticker_frame(listing, "snapshot"))
        else:
            self._send(client, _trade_frame(listing, listing.trades[-50:], "snapshot"))

    def _print(self, pair: str, prices: Sequence[Decimal], qty: Decimal, at: float | None) -> None:
        listing = self._engine.listing(pair)
        moment = self.now() if at is None else at
        trades = [self._engine.trade(listing, price, qty, moment) for price in prices]
        symbol = listing.symbol
        if symbol is not None and not self._is_dumb(symbol):
            self._broadcast(listing, symbol, trades)
        self._tell()

    def _broadcast(self, listing: Listing, symbol: str, trades: Sequence[Trade]) -> None:
        frames: dict[str, str] = {}
        for client in self._clients:
            for channel in ("trade", "ticker"):
                if (channel, symbol) not in client.subscriptions:
                    continue
                if channel not in frames:
                    frames[channel] = (
                        _ticker_frame(listing, "update")
                        if channel == "ticker"
                        else _trade_frame(listing, trades, "update")
                    )
                self._send(client, frames[channel])
            if any(fault.name == "bad_frames" for fault in self._faults):
                for frame in _bad_frames(symbol):
                    self._send(client, frame)

    # --- the switches, for other processes ---------------------------------------------------

    async def _control(self, request: web.Request) -> web.StreamResponse:
        what = request.match_info["what"]
        try:
            order = await request.json() if request.can_read_body else {}
            return web.json_response(self._controlled(what, order))
        except (ValueError, KeyError, TypeError, InvalidOperation, Refusal) as error:
            return web.json_response({"error": f"{what}: {error}"}, status=400)

    def _controlled(self, what: str, order: dict[str, Any]) -> Any:
        match what:
            case "orders":
                return self._shown_orders()
            case "requests":
                return [[r.at, r.endpoint, r.params] for r in self._requests]
            case "price":
                prices = [Decimal(str(p)) for p in order.get("prices") or [order["price"]]]
                self._print(order["pair"], prices, Decimal("0.01"), order.get("at"))
            case "fault":
                if order["name"] not in FAULTS:
                    raise ValueError(f"there are {', '.join(FAULTS)}")
                made = Fault(**order)
                made._registry = self._faults
                self._faults.append(made)
            case "clear":
                self._faults.clear()
            case "drop":
                self._abort_clients()
            case _:
                raise ValueError("there are orders, requests, price, fault, clear, drop")
        return {}


async def _form(request: web.Request) -> tuple[dict[str, str], str]:
    """Return the parameters of a body, form or JSON, and its text as it was sent."""
    body = (await request.read()).decode("utf-8", "replace")
    if request.content_type == "application/json" and body:
        found = json.loads(body)
        return {k: v if isinstance(v, str) else json.dumps(v) for k, v in found.items()}, body
    return dict(urllib.parse.parse_qsl(body, keep_blank_values=True)), body


def _reply(body: Mapping[str, Any]) -> web.Response:
    return web.Response(text=json.dumps(body), headers=_JSON)


def _faulty(fault: Fault) -> web.Response:
    page = "<!DOCTYPE html><html><title>Just a moment</title></html>"
    if fault.name == "error":
        return _reply({"error": [fault.text]})
    status = 200 if fault.name == "html" else int(fault.name.removeprefix("http_"))
    return web.Response(status=status, text=page, content_type="text/html")


def _reset(request: web.Request) -> web.Response:
    if isinstance(request.transport, asyncio.Transport):
        request.transport.abort()
    return web.Response()


async def _reset_inside(request: web.Request, body: Mapping[str, Any]) -> web.StreamResponse:
    text = json.dumps(body).encode()
    response = web.StreamResponse(headers={**_JSON, "Content-Length": str(len(text))})
    await response.prepare(request)
    await response.write(text[: len(text) // 2])
    await asyncio.sleep(0.01)  # lets the first half leave before the connection does
    if isinstance(request.transport, asyncio.Transport):
        request.transport.abort()
    return response


# --- wire shapes ---------------------------------------------------------------------------------


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _seconds(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise Refusal("EGeneral:Invalid arguments:deadline") from None


def _nanoseconds(text: str) -> int:
    """Return a `since`, which Kraken takes in seconds or in nanoseconds, in nanoseconds."""
    try:
        number = Decimal(text or "0")
    except InvalidOperation:
        raise Refusal("EGeneral:Invalid arguments:since") from None
    return int(number if number > 10**14 else number * 10**9)


def _ticker_frame(listing: Listing, kind: str) -> str:
    places = int(listing.row["pair_decimals"])
    bid, ask = quotes(listing)
    last, opening = listing.price, listing.opening
    change = last - opening
    percent = change / opening * 100 if opening else Decimal(0)
    # Written by hand: numbers keep the pair's digits, as Kraken's do, and this is the hot path.
    return (
        f'{{"channel":"ticker","type":"{kind}","data":[{{"symbol":"{listing.symbol}",'
        f'"bid":{bid:.{places}f},"bid_qty":1.00000000,"ask":{ask:.{places}f},"ask_qty":1.00000000,'
        f'"last":{last:.{places}f},"volume":{listing.volume:.8f},"vwap":{last:.{places}f},'
        f'"low":{listing.low:.{places}f},"high":{listing.high:.{places}f},'
        f'"change":{change:.{places}f},"change_pct":{percent:.2f},'
        f'"timestamp":"{_moment(listing.traded_at or time.time())}"}}]}}'
    )


def _trade_frame(listing: Listing, trades: Sequence[Trade], kind: str) -> str:
    places = int(listing.row["pair_decimals"])
    rows = ",".join(
        f'{{"symbol":"{listing.symbol}","side":"{t.side}","price":{t.price:.{places}f},'
        f'"qty":{t.qty:.8f},"ord_type":"market","trade_id":{t.trade_id},'
        f'"timestamp":"{_moment(t.at)}"}}'
        for t in trades
    )
    return f'{{"channel":"trade","type":"{kind}","data":[{rows}]}}'


def _bad_frames(symbol: str) -> list[str]:
    prices = ("NaN", "Infinity", "-1", "0", "1e400", "null", '"x"')
    frame = '{{"channel":"ticker","type":"update","data":[{{"symbol":"{}","last":{}}}]}}'
    return ["{", "[]", "\x00", '"text"', *(frame.format(symbol, price) for price in prices)]


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
        ValueError: Naming file, line, field and value of the first row that cannot be read.
        OSError: If the file cannot be opened.
    """
    with Path(path).open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        missing = {"timestamp", "open", "high", "low", "close"} - set(reader.fieldnames or ())
        if missing:
            raise ValueError(f"{path} line 1: there is no column {', '.join(sorted(missing))}")
        for row in reader:
            yield _minute(row, f"{path} line {reader.line_num}")


def _minute(row: Mapping[str, str | None], place: str) -> Minute:
    prices: dict[str, Decimal] = {}
    for name in ("open", "high", "low", "close"):
        text = row[name] or ""
        try:
            price = Decimal(text)
        except InvalidOperation:
            price = Decimal("NaN")
        if not price.is_finite() or price <= 0:
            raise ValueError(f"{place}, {name}: {text!r} is no price; write a positive number")
        prices[name] = price
    text = row["timestamp"] or ""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        cure = "write 2022-01-31 23:59:00"
        raise ValueError(f"{place}, timestamp: {text!r} is no time; {cure}") from None
    start, high, low = prices["open"], prices["high"], prices["low"]
    between = (high, low) if high - start <= start - low else (low, high)
    moment = at if at.tzinfo else at.replace(tzinfo=UTC)
    return Minute(moment, (start, *between, prices["close"]))


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
    parser = argparse.ArgumentParser(prog="fake_kraken", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--port", type=int, default=8080)
    add("--key", help="the API key to accept (default: a made-up one)")
    add("--secret", help="its secret, base64")
    add("--pair", default="XXBTZUSD", help="the pair whose price moves (default: %(default)s)")
    add("--seed", type=int, default=1, help="of the random path of prices")
    add("--replay", metavar="FILE", help="play rows of timestamp,open,high,low,close,volume")
    add("--script", metavar="FILE", help="play rows of seconds,pair,price")
    add("--speed", type=float, default=1.0, help="steps a second: ticks, or minutes of a replay")
    add("--fault", action="append", default=[], choices=sorted(FAULTS), help="switch a fault on")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C or SIGTERM; 1 if that cannot begin."""
    options = _parser().parse_args(argv)
    try:
        steps = list(_steps(options)) if options.replay or options.script else None
        exchange = FakeKraken(key=options.key, secret=options.secret, port=options.port)
        exchange.start()
    except (OSError, ValueError, Refusal) as error:
        print(f"Cannot run: {error}", file=sys.stderr)
        return 1
    for name in options.fault:
        exchange.fault(name)
    print(f"REST      {exchange.rest_url}\nstream    {exchange.ws_url}")
    print(f"key       {exchange.api_key}\nsecret    {exchange.api_secret}")
    print(
        f"set KRAKEN_SPOT_URL={exchange.rest_url} KRAKEN_WS_PUBLIC_URL={exchange.ws_url}",
        flush=True,
    )
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    _play(exchange, options, steps, ended)
    exchange.stop()
    return 0


_Step = tuple[float, str, Sequence[Decimal], float | None]


def _steps(options: argparse.Namespace) -> Iterator[_Step]:
    """Yield what is played: pause before it in seconds, pair, prices, and their date."""
    pause = 1 / options.speed
    if options.replay:
        for minute in read_replay(options.replay):
            yield pause, options.pair, minute.prices, minute.at.timestamp()
        return
    before = 0.0
    with Path(options.script).open(encoding="utf-8-sig", newline="") as file:
        for number, row in enumerate(csv.reader(file), 1):
            try:
                seconds, pair, price = float(row[0]), row[1], Decimal(row[2])
            except (ValueError, IndexError, InvalidOperation):
                place = f"{options.script} line {number}"
                raise ValueError(f"{place}: {row} is not seconds,pair,price") from None
            yield (seconds - before) * pause, pair, [price], None
            before = seconds


def _walk(exchange: FakeKraken, options: argparse.Namespace) -> Iterator[_Step]:
    start = exchange.price_of(options.pair)
    for price in random_path(start, Decimal("0.1"), options.seed):
        yield 1 / options.speed, options.pair, [price], None


def _play(
    exchange: FakeKraken,
    options: argparse.Namespace,
    steps: Iterable[_Step] | None,
    ended: threading.Event,
) -> None:
    for pause, pair, prices, at in itertools.chain(steps or _walk(exchange, options)):
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


if __name__ == "__main__":
    sys.exit(main())
