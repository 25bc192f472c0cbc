"""An exchange on your own machine that speaks Kraken's REST and WebSocket v2, on one port.

For the demo, for tests, and for trying a trading program without money:

    python fake_kraken.py --port 8080

Shapes, keys and error strings are Kraken's, signatures and nonces are really checked, trailing
stops really trail. It listens on loopback only, and every fault that has cost somebody money is
a switch, listed with its options in `FAULTS`:

    with FakeKraken() as exchange:
        exchange.fault("lost_reply", endpoint="AddOrder", count=1)

Other processes reach the same switches as JSON: POST `/fake/fault`, `/fake/clear`, `/fake/price`,
`/fake/status`, `/fake/cancel`, `/fake/fill`, `/fake/drop`, and GET `/fake/orders`,
`/fake/requests`, `/fake/messages`, `/fake/streams`. In pytest, import the fixture:
`from fake_kraken import kraken_exchange`.

This module is the server and the program; `fake_kraken_book` is the exchange itself,
`fake_kraken_wire` its words, `fake_kraken_faults` its faults, `fake_kraken_prices` its prices.

Source: Kraken, spot REST and WebSocket v2 (read 2026-11).
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import itertools
import json
import os
import secrets
import signal
import socket
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

from fake_kraken_book import Engine, Listing, Refusal, number_of, synthetic_pairs
from fake_kraken_faults import FAULTS, LAGS, REST_FAULTS, Fault, FaultBoard
from fake_kraken_prices import (
    Minute,
    Move,
    random_moves,
    random_path,
    read_replay,
    replay_moves,
    replay_prices,
    script_moves,
)
from fake_kraken_wire import (
    PERMISSIONS,
    SYSTEM_STATES,
    Desk,
    Hub,
    KeyRing,
    RateCounter,
    Session,
    read_params,
)

_NO_AIOHTTP = (
    "the embedded exchange needs aiohttp; install the demo extra: pip install 'ttslo[demo]'"
)
try:
    from aiohttp import WSMsgType, web
except ImportError as missing:
    if __name__ == "__main__":
        sys.exit(f"fake_kraken: {_NO_AIOHTTP}")
    raise ImportError(_NO_AIOHTTP) from missing

__all__ = [
    "FAULTS",
    "PERMISSIONS",
    "FakeKraken",
    "Fault",
    "Minute",
    "Move",
    "Request",
    "random_moves",
    "random_path",
    "read_replay",
    "replay_moves",
    "replay_prices",
    "script_moves",
    "synthetic_pairs",
]

R = TypeVar("R")

_PATIENCE = 30.0  # seconds that another thread waits for the exchange's own; a hang shows as such
# A reader that leaves this many bytes lying is cut off, as Kraken's edge would.
_MOST_UNREAD = 64 * 2**20
_LONGEST_MESSAGE = 4 * 2**20


# --- the exchange --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Request:
    """A REST call that came in.

    `at` is seconds since 1970 by this machine, `params` are without one-time passwords, and
    calls that came over one connection share its number.
    """

    at: float
    endpoint: str
    params: dict[str, str]
    connection: int


@dataclass(slots=True)
class _Call:
    """A REST call being answered."""

    request: web.Request
    endpoint: str
    params: dict[str, str]
    body: str
    is_private: bool
    is_checked: bool = False


@dataclass(slots=True, eq=False)
class _Stream:
    """One WebSocket connection; used on the exchange's thread only."""

    transport: asyncio.Transport
    session: Session
    sent_at: float
    heard_at: float
    timer: asyncio.TimerHandle | None = None


class FakeKraken:
    """The exchange, on a thread of its own. Every method is safe from any thread.

    Args:
        pairs: AssetPairs' result; some forty real pairs where it is left out.
        prices: Starting prices by any REST name; 100 where a pair of yours is left out.
        key: The API key it accepts, with `secret`; made up where they are left out.
        secret: Its base64 secret.
        port: 0 picks a free one.
        balances: Funds by Kraken's asset id.
        heartbeat_seconds: Between heartbeats on a stream without other traffic.
        idle_seconds: A stream without a subscription and without a request is closed after this.
        order_rate: Limit and decay a second of AddOrder, counted for each pair; None: no limit.
        call_rate: Limit and decay a second of private calls, for each key; None: no limit.
        msg_rate: Limit and decay a second of requests on a stream; None: no limit.

    Attributes:
        port: The port it listens on, once it is started.
        clock_offset: Seconds that Kraken's clock is ahead of this machine's.

    Raises:
        ValueError: If the secret is not base64.
        Refusal: If `prices` names a pair that is not there.
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
        idle_seconds: float = 60.0,
        order_rate: tuple[float, float] | None = None,
        call_rate: tuple[float, float] | None = None,
        msg_rate: tuple[float, float] | None = None,
    ) -> None:
        # Good for nothing but this exchange, for as long as it runs.
        self.api_key = key or base64.b64encode(secrets.token_bytes(42)).decode()
        self.api_secret = secret or base64.b64encode(secrets.token_bytes(64)).decode()
        self.port = port
        self.clock_offset = 0.0
        self._heartbeat_seconds = heartbeat_seconds
        self._idle_seconds = idle_seconds
        self._order_counter = RateCounter(*order_rate) if order_rate else None
        self._call_counter = RateCounter(*call_rate) if call_rate else None
        # Guards everything from here to the blank line, and `_version` counts what happened to
        # it. Nothing waits for anything else while holding it.
        self._changed = threading.Condition()
        self._version = 0
        self._engine = Engine(pairs, prices, balances)
        self._board = FaultBoard()
        self._keys = KeyRing()
        self._desk = Desk(self._engine, self.now, lambda name: self._board.seconds(f"{name}_lag"))
        counter = RateCounter(*msg_rate) if msg_rate else None
        self._hub = Hub(self._engine, self.now, self._board.is_struck, counter)
        self._streams: dict[Session, _Stream] = {}
        self._streams_made = 0
        self._requests: list[Request] = []
        self._counts: Counter[str] = Counter()
        self._messages: list[Any] = []
        self._loop: asyncio.AbstractEventLoop | None = None

        self._thread: threading.Thread | None = None
        # Used on the exchange's own thread only.
        self._ending = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._connections: dict[object, int] = {}
        self._connection_numbers = itertools.count(1)
        self.add_key(self.api_key, self.api_secret)

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
        """Listen, and return once connections are taken. Once running it does nothing.

        Raises:
            OSError: If the port is in use.
        """
        if self._thread is not None:
            return self
        listener = self._bind()
        loop = asyncio.new_event_loop()
        # A daemon: a test that fails must not keep the process from ending.
        self._thread = threading.Thread(
            target=self._live, args=(loop,), name="fake-kraken", daemon=True
        )
        self._thread.start()
        with self._changed:
            self._loop = loop
        self._run(self._open(listener))
        return self

    def stop(self) -> None:
        """Close everything and end the thread. Calling it again does nothing."""
        thread = self._thread
        if thread is None:
            return
        self._run(self._close())
        with self._changed:
            loop, self._loop = self._loop, None
        assert loop is not None
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_PATIENCE)
        self._thread = None
        self._happened()

    def __enter__(self) -> FakeKraken:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _bind(self) -> socket.socket:
        """Return a socket that listens, here rather than in asyncio to raise at the caller's."""
        listener = socket.socket()
        try:
            if os.name == "posix":  # elsewhere it would let two exchanges share the port
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", self.port))
            listener.listen(512)
        except OSError:
            listener.close()
            raise
        self.port = listener.getsockname()[1]
        return listener

    @staticmethod
    def _live(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    async def _open(self, listener: socket.socket) -> None:
        app = web.Application(client_max_size=_LONGEST_MESSAGE)
        app.router.add_route("*", "/0/public/{endpoint}", self._rest)
        app.router.add_post("/0/private/{endpoint}", self._rest)
        app.router.add_get("/v2", self._stream)
        app.router.add_route("*", "/fake/{what}", self._control)
        self._ending = asyncio.Event()
        # Whoever is still being answered is aborted before, so there is nothing to wait for.
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await self._listen(listener)

    async def _listen(self, listener: socket.socket) -> None:
        assert self._runner is not None
        await web.SockSite(self._runner, listener).start()

    async def _close(self) -> None:
        self._ending.set()
        self._cut_all()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _unlisten(self) -> None:
        assert self._runner is not None
        for site in list(self._runner.sites):
            await site.stop()
        self._cut_all()

    def stop_listening(self) -> None:
        """Cut every connection and take no new one until `resume`; orders and prices stay."""
        self._run(self._unlisten())
        self._happened()

    def resume(self) -> None:
        """Listen again, on the same port.

        Raises:
            OSError: If somebody else has taken it meanwhile.
        """
        self._run(self._listen(self._bind()))

    def drop_connections(self, code: int | None = None) -> None:
        """Reset every stream, or close it with a close frame of `code`."""
        self._call(lambda: self._cut_streams(code))

    def _run(self, work: Coroutine[Any, Any, R]) -> R:
        loop = self._loop
        if loop is None:
            work.close()
            raise RuntimeError("the exchange is not started")
        return asyncio.run_coroutine_threadsafe(work, loop).result(_PATIENCE)

    def _call(self, work: Callable[[], None]) -> None:
        """Do something on the exchange's own thread, and return when it is done."""

        async def call() -> None:
            work()

        self._run(call())

    def _happened(self) -> None:
        with self._changed:
            self._version += 1
            self._changed.notify_all()

    def wait_for(self, predicate: Callable[[FakeKraken], object], timeout: float = 10.0) -> bool:
        """Wait until `predicate(exchange)` is true; False if it is not within `timeout` seconds.

        It is asked after each thing that happens here, and now and then, in case it looks at
        something else as well.
        """
        end = time.monotonic() + timeout
        while True:
            with self._changed:
                seen = self._version
            if predicate(self):
                return True
            left = end - time.monotonic()
            if left <= 0:
                return False
            with self._changed:
                if self._version == seen:
                    self._changed.wait(min(left, 0.05))

    def now(self) -> float:
        """Return Kraken's clock, in seconds since 1970."""
        return time.time() + self.clock_offset

    # --- prices --------------------------------------------------------------------------------

    def set_price(self, pair: str, price: object, qty: object = "0.01") -> None:
        """Print one trade: streams are told, trailing stops move.

        Returns when the frames are handed to the sockets.

        Raises:
            Refusal: If the pair is unknown, or the price not a positive number.
        """
        self.set_prices(pair, [price], qty)

    def set_prices(
        self, pair: str, prices: Iterable[object], qty: object = "0.01", at: float | None = None
    ) -> None:
        """Print several trades of a pair as one sweep: one trade frame, one ticker frame.

        Args:
            pair: Any name that REST takes.
            prices: One price for each trade, in their order.
            qty: Of each trade.
            at: The date of the trades in seconds since 1970; now where it is left out.

        Raises:
            Refusal: As `set_price`; nothing is printed then.
        """
        self._print([(pair, prices)], qty, at)

    def set_price_of_many(self, prices: Mapping[str, object], qty: object = "0.01") -> None:
        """Print one trade of each of several pairs, faster than one by one.

        Raises:
            Refusal: As `set_price`; nothing is printed then.
        """
        self._print([(pair, [price]) for pair, price in prices.items()], qty, None)

    def _print(
        self, prints: Iterable[tuple[str, Iterable[object]]], qty: object, at: float | None
    ) -> None:
        amount = number_of(qty, "qty")
        with self._changed:
            sweeps = [
                (self._engine.listing(pair), [number_of(price, "price") for price in prices])
                for pair, prices in prints
            ]
            frames: list[tuple[_Stream, str]] = []
            for listing, exact in sweeps:
                frames += self._sweep_locked(
                    listing, exact, amount, self.now() if at is None else at
                )
            done = self._hand_over_locked(frames)
            self._version += 1
            self._changed.notify_all()
        if done is not None:
            done.wait(_PATIENCE)

    def _sweep_locked(
        self, listing: Listing, prices: Sequence[Decimal], qty: Decimal, at: float
    ) -> list[tuple[_Stream, str]]:
        trades = [self._engine.trade(listing, price, qty, at) for price in prices]
        # Who is told is decided here and not when it is sent: who subscribes in between is told
        # by the snapshot, and must not hear of the same trade twice.
        return [(self._streams[s], text) for s, text in self._hub.tellings(listing, trades)]

    def _hand_over_locked(self, frames: list[tuple[_Stream, str]]) -> threading.Event | None:
        """Have frames sent by the exchange's thread; under the lock, so that order is kept."""
        if not frames or self._loop is None:
            return None
        if threading.current_thread() is self._thread:
            self._send_all(frames)
            return None
        done = threading.Event()
        self._loop.call_soon_threadsafe(self._send_all, frames, done)
        return done

    def _send_all(
        self, frames: Iterable[tuple[_Stream, str]], done: threading.Event | None = None
    ) -> None:
        try:
            for stream, text in frames:
                self._send(stream, text)
        finally:
            if done is not None:
                done.set()

    def price_of(self, pair: str) -> Decimal:
        """Return the last price."""
        with self._changed:
            return self._engine.listing(pair).price

    def markets(self, pair: str | None = None) -> dict[str, tuple[Decimal, Decimal]]:
        """Return price and smallest step of each pair, or of one, by REST key.

        Raises:
            Refusal: If there is no such pair.
        """
        with self._changed:
            every = self._engine.listings.values()
            chosen = every if pair is None else [self._engine.listing(pair)]
            return {listing.key: (listing.price, listing.tick) for listing in chosen}

    def play(
        self,
        moves: Iterable[Move],
        speed: float | None = 1.0,
        ended: threading.Event | None = None,
        *,
        dated: bool = False,
    ) -> None:
        """Play a path of prices. Blocks until it is over, or `ended` is set.

        Args:
            moves: As `replay_moves`, `script_moves` and `random_moves` make them.
            speed: Seconds of the path in a second; None plays as fast as it goes.
            ended: Set it to end the play early.
            dated: Whether trades bear the moments that were recorded, instead of the present.
        """
        ended = ended or threading.Event()
        start = time.monotonic()
        for move in moves:
            wait = 0.0 if speed is None else start + move.seconds / speed - time.monotonic()
            if ended.is_set() or (wait > 0 and ended.wait(wait)):
                return
            self.set_prices(move.pair, [move.price], at=move.at if dated else None)

    # --- orders, keys and states -----------------------------------------------------------------

    def add_key(self, key: str, secret: str, permissions: Iterable[str] = PERMISSIONS) -> None:
        """Accept another key, with all or some of `PERMISSIONS`.

        Raises:
            ValueError: If the secret is not base64, or there is no such permission.
        """
        with self._changed:
            self._keys.add(key, secret, permissions)

    @property
    def orders(self) -> list[dict[str, Any]]:
        """Every order ever placed, as OpenOrders shows it, with its `txid`; oldest first."""
        with self._changed:
            return [
                {"txid": order.txid, **self._desk.shown(order)}
                for order in self._engine.orders.values()
            ]

    def placed_count(self, cl_ord_id: str | None = None) -> int:
        """Return how many orders were ever placed, under one client order id or in all."""
        with self._changed:
            orders = self._engine.orders.values()
            return sum(cl_ord_id in (None, order.cl_ord_id) for order in orders)

    @property
    def balances(self) -> dict[str, Decimal]:
        """What is owned, by Kraken's asset id."""
        with self._changed:
            return dict(self._engine.balances)

    def cancel_order(
        self, txid: str, reason: str = "User requested", status: str = "canceled"
    ) -> None:
        """End an open order, as its owner or the exchange would; `status` may be `expired`.

        Raises:
            Refusal: If it is not open.
        """
        with self._changed:
            self._engine.cancel(self._order(txid), self.now(), reason, status)
        self._happened()

    def fill_order(self, txid: str, part: object = 1, price: object = None) -> None:
        """Fill an open order, or only a `part` of its volume where that is under 1.

        `price` is the last price where it is left out.

        Raises:
            Refusal: If it is not open.
        """
        with self._changed:
            order = self._order(txid)
            last = self._engine.listings[order.pair].price
            at_price = last if price is None else number_of(price, "price")
            volume = order.volume * Decimal(str(part))
            misc = "stopped" if order.is_trailing else ""
            self._engine.fill(order, at_price, self.now(), misc, volume)
        self._happened()

    def _order(self, txid: str) -> Any:
        if txid not in self._engine.orders:
            raise Refusal("EOrder:Unknown order")
        return self._engine.orders[txid]

    def set_pair_status(self, pair: str, status: str) -> None:
        """Set what AssetPairs says of a pair, such as `cancel_only`."""
        with self._changed:
            self._engine.listing(pair).row["status"] = status

    def set_system_status(self, status: str) -> None:
        """Set the engine's state, and tell every stream.

        Raises:
            ValueError: If it is none of Kraken's.
        """
        if status not in SYSTEM_STATES:
            raise ValueError(f"{status!r} is none of {', '.join(SYSTEM_STATES)}")
        with self._changed:
            self._engine.system_status = status
            frames = [(s, self._hub.status_frame(s.session)) for s in self._streams.values()]
            done = self._hand_over_locked(frames)
        self._happened()
        if done is not None:
            done.wait(_PATIENCE)

    # --- what came in --------------------------------------------------------------------------

    @property
    def requests(self) -> list[Request]:
        """Every REST call so far, oldest first."""
        with self._changed:
            return list(self._requests)

    def count(self, endpoint: str) -> int:
        """Return how many calls of an endpoint came in."""
        with self._changed:
            return self._counts[endpoint]

    @property
    def ws_messages(self) -> list[Any]:
        """Every message that came in over the streams, oldest first; text where it is no JSON."""
        with self._changed:
            return list(self._messages)

    @property
    def ws_connections(self) -> int:
        """How many streams are open."""
        with self._changed:
            return len(self._streams)

    @property
    def ws_connections_made(self) -> int:
        """How many streams were ever opened."""
        with self._changed:
            return self._streams_made

    @property
    def ws_subscriptions(self) -> list[frozenset[tuple[str, str]]]:
        """The subscriptions, as channel and symbol, of each open stream; oldest first."""
        with self._changed:
            return [frozenset(session.subscriptions) for session in self._streams]

    def is_subscribed(self, symbol: str, channel: str = "ticker") -> bool:
        """Tell whether any stream has this subscription."""
        with self._changed:
            return bool(self._hub.subscribers.get((channel, symbol)))

    # --- faults --------------------------------------------------------------------------------

    def fault(self, name: str, **options: Any) -> Fault:
        """Switch a fault on, and return it so that it can be cleared.

        Args:
            name: One of `FAULTS`.
            options: Attributes of `Fault`.

        Raises:
            ValueError: If there is no such fault or option.
        """
        try:
            made = Fault(name, **options)
        except TypeError:
            fields = "endpoint, symbol, channel, count, seconds, when, text, status, code"
            raise ValueError(f"fault {name} has other options than {fields}") from None
        with self._changed:
            self._board.add(made)
        if name == "drop" and self._loop is not None:
            self._on_own_thread(self._strike_streams)
        self._happened()
        return made

    def clear_faults(self) -> None:
        """Switch every fault off."""
        with self._changed:
            self._board.clear()
        self._happened()

    def _on_own_thread(self, work: Callable[[], None]) -> None:
        if threading.current_thread() is self._thread:
            work()
        else:
            self._call(work)

    def _strike_streams(self) -> None:
        for stream in list(self._streams.values()):
            fault = self._board.take(("drop",))
            if fault is None:
                return
            self._cut(stream, fault.code)

    # --- REST ------------------------------------------------------------------------------------

    async def _rest(self, request: web.Request) -> web.StreamResponse:
        call = await self._read_call(request)
        with self._changed:
            fault = self._board.take(REST_FAULTS.keys() - LAGS, call.endpoint)
        self._happened()
        if fault is None:
            return _reply(self._act(call))
        return await self._answer_faultily(call, fault)

    async def _read_call(self, request: web.Request) -> _Call:
        body = (await request.read()).decode("utf-8", "replace")
        is_private = request.path.startswith("/0/private/")
        call = _Call(request, request.match_info["endpoint"], dict(request.query), body, is_private)
        with contextlib.suppress(Refusal):  # it is refused when it is acted upon
            call.params |= read_params(body, request.content_type)
        shown = {name: value for name, value in call.params.items() if name != "otp"}
        number = self._connection_number(request)
        with self._changed:
            self._requests.append(Request(time.time(), call.endpoint, shown, number))
            self._counts[call.endpoint] += 1
        return call

    def _connection_number(self, request: web.Request) -> int:
        # By the object and not by its id, which a later connection may be given again.
        return self._connections.setdefault(request.protocol, next(self._connection_numbers))

    def _act(self, call: _Call) -> dict[str, Any]:
        """Have the exchange act, and return the whole answer."""
        with self._changed:
            try:
                self._check_locked(call)
                result = self._desk.answer(call.endpoint, call.params, is_private=call.is_private)
                answer: dict[str, Any] = {"error": [], "result": result}
            except Refusal as refusal:
                answer = {"error": refusal.errors}
        self._happened()
        return answer

    def _check_locked(self, call: _Call) -> None:
        """Check what is checked at the door; once, although the call may have to wait then.

        Raises:
            Refusal: With Kraken's error strings.
        """
        if call.is_checked:
            return
        call.is_checked = True
        request, params = call.request, call.params
        if call.is_private:
            key, sign = (request.headers.get(name, "") for name in ("API-Key", "API-Sign"))
            signed = request.query_string + call.body
            nonce = params.get("nonce", "")
            self._keys.check(call.endpoint, request.path, signed, nonce, key, sign)
            self._count_locked(call, key)
        read_params(call.body, request.content_type)
        self._desk.check_arrival(params)

    def _count_locked(self, call: _Call, key: str) -> None:
        # Kraken counts orders for each pair, and every other call for each key.
        if call.endpoint in ("AddOrder", "EditOrder", "CancelOrder"):
            counter, pair = self._order_counter, call.params.get("pair", "")
            if call.endpoint == "AddOrder" and counter and not counter.count(pair, self.now()):
                raise Refusal("EOrder:Rate limit exceeded")
        elif self._call_counter and not self._call_counter.count(key, self.now()):
            raise Refusal("EAPI:Rate limit exceeded")

    async def _answer_faultily(self, call: _Call, fault: Fault) -> web.StreamResponse:
        match fault.name:
            case "lost_reply":
                self._act(call)
                return _reset(call.request)
            case "delayed_reply":
                answer = self._act(call)
                await self._pause(fault.seconds)
                return _reply(answer)
            case "delayed_action":
                return await self._act_late(call, fault.seconds)
            case "reset_mid_body":
                return await _reset_inside(call.request, self._act(call))
        if fault.when == "after":
            self._act(call)
        if fault.name == "black_hole":
            await self._ending.wait()
        return _faulty_answer(fault)

    async def _act_late(self, call: _Call, seconds: float) -> web.Response:
        with self._changed:
            try:
                self._check_locked(call)
            except Refusal as refusal:
                return _reply({"error": refusal.errors})
        if await self._pause(seconds):
            return _reset(call.request)
        return _reply(self._act(call))

    async def _pause(self, seconds: float) -> bool:
        """Wait, but not beyond the end of the exchange; True if that came."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ending.wait(), seconds)
        return self._ending.is_set()

    # --- the stream ------------------------------------------------------------------------------

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        with self._changed:
            fault = self._board.take(("refuse_connect",))
        if fault is not None:
            return web.Response(status=fault.status, text="refused")
        # Pings are answered here and frames written past aiohttp: `silent` must silence both.
        peer = web.WebSocketResponse(autoping=False, compress=False, max_msg_size=_LONGEST_MESSAGE)
        await peer.prepare(request)
        transport = request.transport
        if not isinstance(transport, asyncio.Transport):  # gone during the handshake
            return peer
        stream = self._welcome(transport)
        try:
            async for message in peer:
                self._hear(stream, message.type, message.data)
        finally:
            self._forget(stream)
        return peer

    def _welcome(self, transport: asyncio.Transport) -> _Stream:
        loop = asyncio.get_running_loop()
        with self._changed:
            self._streams_made += 1
            session = Session(self._streams_made)
            stream = _Stream(transport, session, loop.time(), loop.time())
            self._streams[session] = stream
            fault = self._board.take(("drop",))
        self._send(stream, self._hub.status_frame(session))
        stream.timer = loop.call_later(self._heartbeat_seconds, self._beat, stream)
        if fault is not None:
            loop.call_later(fault.seconds, self._cut, stream, fault.code)
        self._happened()
        return stream

    def _forget(self, stream: _Stream) -> None:
        with self._changed:
            self._hub.leave(stream.session)
            self._streams.pop(stream.session, None)
        if stream.timer is not None:
            stream.timer.cancel()
        self._happened()

    def _hear(self, stream: _Stream, kind: WSMsgType, data: Any) -> None:
        if kind is WSMsgType.PING:
            self._write(stream, _control_frame(0xA, data))
        elif kind is WSMsgType.TEXT:
            stream.heard_at = asyncio.get_running_loop().time()
            with self._changed:
                self._messages.append(_loads(data))
                answers = self._hub.receive(stream.session, data)
                # Sent under the lock: a print from another thread may not come in between.
                self._send_all((stream, answer) for answer in answers)
            self._happened()

    def _beat(self, stream: _Stream) -> None:
        now = asyncio.get_running_loop().time()
        due = stream.sent_at + self._heartbeat_seconds
        if stream.session.subscriptions:
            if now >= due:
                self._send(stream, '{"channel":"heartbeat"}')
                # Counted from here even if a fault has swallowed it.
                due = now + self._heartbeat_seconds
        elif now >= max(stream.heard_at, stream.sent_at) + self._idle_seconds:
            self._cut(stream, 1000)
            return
        else:
            due = now + self._heartbeat_seconds
        stream.timer = asyncio.get_running_loop().call_at(due, self._beat, stream)

    def _send(self, stream: _Stream, text: str) -> None:
        self._write(stream, _text_frame(text.encode()))

    def _write(self, stream: _Stream, frame: bytes) -> None:
        """Hand a frame to the socket at once; whoever does not read for long is cut off."""
        if stream.transport.is_closing() or self._board.is_struck("silent", None, None):
            return
        stream.sent_at = asyncio.get_running_loop().time()
        stream.transport.write(frame)
        if stream.transport.get_write_buffer_size() > _MOST_UNREAD:
            stream.transport.abort()

    def _cut(self, stream: _Stream, code: int | None) -> None:
        self._forget(stream)
        if code is None:
            _abort(stream.transport)
        else:
            self._write(stream, _control_frame(0x8, struct.pack("!H", code)))
            stream.transport.close()

    def _cut_streams(self, code: int | None) -> None:
        for stream in list(self._streams.values()):
            self._cut(stream, code)

    def _cut_all(self) -> None:
        self._cut_streams(None)
        if self._runner is not None and self._runner.server is not None:
            for handler in self._runner.server.connections:
                if isinstance(handler.transport, asyncio.Transport):
                    _abort(handler.transport)

    # --- the switches, for other processes -----------------------------------------------------

    async def _control(self, request: web.Request) -> web.StreamResponse:
        what = request.match_info["what"]
        controls: dict[str, Callable[[dict[str, Any]], Any]] = {
            "cancel": lambda order: self.cancel_order(**order),
            "clear": lambda _: self.clear_faults(),
            "drop": lambda order: self._cut_streams(order.get("code")),
            "fault": self._switch,
            "fill": lambda order: self.fill_order(**order),
            "messages": lambda _: self.ws_messages,
            "orders": lambda _: self.orders,
            "price": self._control_price,
            "requests": lambda _: [[r.at, r.endpoint, r.params] for r in self.requests],
            "status": lambda order: self.set_system_status(order["status"]),
            "streams": lambda _: [sorted(found) for found in self.ws_subscriptions],
        }
        try:
            if what not in controls:
                raise ValueError(f"there are {', '.join(controls)}")
            order = await request.json() if request.can_read_body else {}
            return web.json_response(controls[what](order))
        except (ValueError, KeyError, TypeError, Refusal) as error:
            return web.json_response({"error": f"{what}: {error}"}, status=400)

    def _switch(self, order: dict[str, Any]) -> None:
        self.fault(**order)

    def _control_price(self, order: dict[str, Any]) -> None:
        prices = order["prices"] if "prices" in order else [order["price"]]
        self.set_prices(order["pair"], prices, order.get("qty", "0.01"), order.get("at"))


# --- bytes ---------------------------------------------------------------------------------------


def _loads(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _text_frame(payload: bytes) -> bytes:
    """Return a whole text frame, unmasked and uncompressed, as servers send them."""
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 65536:
        return struct.pack("!BBH", 0x81, 126, size) + payload
    return struct.pack("!BBQ", 0x81, 127, size) + payload


def _control_frame(opcode: int, payload: bytes) -> bytes:
    return bytes((0x80 | opcode, len(payload))) + payload


def _abort(transport: asyncio.Transport) -> None:
    """Reset a connection: the other side gets a reset, not an orderly end."""
    sock = transport.get_extra_info("socket")
    if sock is not None and not transport.is_closing():
        linger = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    transport.abort()


def _reset(request: web.Request) -> web.Response:
    if isinstance(request.transport, asyncio.Transport):
        _abort(request.transport)
    return web.Response()  # nobody is left to read it


async def _reset_inside(request: web.Request, answer: Mapping[str, Any]) -> web.StreamResponse:
    body = json.dumps(answer).encode()
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    transport = request.transport
    # Closed and not reset: a reset would take the first half with it.
    if isinstance(transport, asyncio.Transport):
        transport.close()
    return response


def _reply(answer: Mapping[str, Any]) -> web.Response:
    return web.Response(text=json.dumps(answer), content_type="application/json", charset="utf-8")


def _faulty_answer(fault: Fault) -> web.Response:
    if fault.name == "error":
        return _reply({"error": [fault.text]})
    if fault.name == "nonce_refused":
        return _reply({"error": ["EAPI:Invalid nonce"]})
    status = int(fault.name.removeprefix("http_")) if fault.name.startswith("http_") else 200
    page = "<!DOCTYPE html><html><head><title>Just a moment...</title></head></html>"
    return web.Response(status=status, text=page, content_type="text/html")


# --- the program ---------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C or SIGTERM; 1 if that cannot begin."""
    options = _parser().parse_args(argv)
    try:
        exchange = FakeKraken(key=options.key, secret=options.secret, port=options.port)
        moves, speed = _path(exchange, options)
        for name in options.fault:
            exchange.fault(name)
        exchange.start()
    except Refusal as refusal:
        print(f"fake_kraken: {', '.join(refusal.errors)}; see --pair", file=sys.stderr)
        return 1
    except (OSError, ValueError) as error:
        print(f"fake_kraken: {_reason(error, options.port)}", file=sys.stderr)
        return 1
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    print(_greeting(exchange), flush=True)
    exchange.play(moves, speed, ended)
    while not ended.wait(0.5):  # in slices: Windows delivers Ctrl-C between them
        pass
    exchange.stop()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fake_kraken", description="Serve a stand-in for Kraken's spot exchange on loopback."
    )
    add = parser.add_argument
    add("--port", type=int, default=8080, help="0 picks a free one (default: %(default)s)")
    add("--key", help="the API key to accept, with --secret (default: a made-up pair)")
    add("--secret", help="its secret, in base64")
    add("--pair", help="the only pair whose price moves (default: all; XBTUSD in a replay)")
    path = parser.add_mutually_exclusive_group()
    path.add_argument("--seed", type=int, default=1, help="of the made-up path of prices")
    path.add_argument(
        "--replay", metavar="FILE", help="rows of timestamp,open,high,low,close,volume"
    )
    path.add_argument("--script", metavar="FILE", help="rows of seconds,pair,price")
    add("--speed", type=_speed, metavar="X", default=None, help=_SPEED_HELP)
    add("--fault", action="append", default=[], choices=sorted(FAULTS), metavar="NAME",
        help="switch a fault on, from the start: " + ", ".join(FAULTS))  # fmt: skip
    return parser


_SPEED_HELP = (
    "minutes of a replay in a second (default 1), seconds of a script in a second (default 1),"
    " made-up prices in a second (default 10); max: as fast as it goes"
)


def _speed(text: str) -> float:
    speed = float("inf") if text == "max" else float(text)
    if not speed > 0:
        raise argparse.ArgumentTypeError(f"{text} is not positive")
    return speed


def _path(exchange: FakeKraken, options: argparse.Namespace) -> tuple[Iterable[Move], float | None]:
    """Return the moves to be played and how many seconds of them pass in a second.

    Files are read whole: what is wrong in them is said now and not in the middle.
    """
    speed = options.speed
    moves: Iterable[Move]
    if options.replay:
        moves = list(replay_moves(options.replay, options.pair or "XBTUSD"))
        factor = 60 * (speed or 1)
    elif options.script:
        moves = list(script_moves(options.script))
        factor = speed or 1
    else:
        moves = random_moves(exchange.markets(options.pair), options.seed)
        factor = speed or 10
    for pair in {move.pair for move in moves} if isinstance(moves, list) else ():
        exchange.price_of(pair)
    return moves, None if factor == float("inf") else factor


def _reason(error: Exception, port: int) -> str:
    if isinstance(error, OSError) and error.filename is None:
        return f"port {port} cannot be used ({error.strerror or error}); choose another with --port"
    return str(error)


def _greeting(exchange: FakeKraken) -> str:
    return (
        f"REST    {exchange.rest_url}\n"
        f"Stream  {exchange.ws_url}\n"
        f"Key     {exchange.api_key}  secret  {exchange.api_secret}\n"
        "\n"
        f"export KRAKEN_SPOT_URL={exchange.rest_url} KRAKEN_WS_PUBLIC_URL={exchange.ws_url}\n"
        f"export KRAKEN_API_KEY={exchange.api_key} KRAKEN_API_SECRET={exchange.api_secret}\n"
        f"export KRAKEN_API_KEY_RW={exchange.api_key} KRAKEN_API_SECRET_RW={exchange.api_secret}"
    )


def _exchange_of_a_test() -> Iterator[FakeKraken]:
    """A started exchange, for anybody's tests: `from fake_kraken import kraken_exchange`."""
    with FakeKraken() as exchange:
        yield exchange


if "pytest" in sys.modules:
    # Not imported: only who runs under pytest has it, and nobody else needs it.
    kraken_exchange = sys.modules["pytest"].fixture(name="kraken_exchange")(_exchange_of_a_test)


if __name__ == "__main__":
    sys.exit(main())
