"""An exchange on your own machine that speaks Kraken's REST and WebSocket v2, on one port.

For the demo, for tests, and for trying a trading program without money:

    python -m fake_kraken --port 8080

Shapes, keys and error strings are Kraken's, signatures and nonces are really checked, trailing
stops really trail. It listens on loopback only, and every fault that has cost somebody money is a
switch:

    with FakeKraken() as exchange:
        exchange.fault("lost_reply", endpoint="AddOrder", count=1)

`FAULTS` lists them. Other processes reach the same switches at `/fake/...`.

Source: Kraken, spot REST and WebSocket v2 (read 2026-11).
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeVar

try:
    from aiohttp import web
except ImportError as error:  # pragma: no cover - the extra is installed where tests run
    raise SystemExit(
        "The embedded exchange needs the library aiohttp: pip install aiohttp"
    ) from error

from fake_kraken.account_stream import AccountStream
from fake_kraken.books import Levels
from fake_kraken.calls import Calls
from fake_kraken.control import Control
from fake_kraken.core import Core, Request
from fake_kraken.engine import Engine
from fake_kraken.faults import Fault
from fake_kraken.keys import DEMO_KEY, DEMO_SECRET, USUAL, KeyRing
from fake_kraken.market import price_from
from fake_kraken.rest import Rest, let_go
from fake_kraken.seat import HOST, Seat
from fake_kraken.stream import Stream

R = TypeVar("R")

SYSTEM_STATES = ("online", "maintenance", "cancel_only", "post_only")


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
        core: What lies behind the wires, for who looks there; it is the exchange's own thread's.
        stream: The streams of prices that are open, likewise.
        account_stream: Those of accounts.

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
        engine = Engine(pairs, prices, balances)
        engine.order_pace = order_pace
        self.core = Core(engine)
        self._keys = KeyRing()
        self.stream = Stream(self.core, heartbeat_seconds)
        self.account_stream = AccountStream(self.core, self._keys, heartbeat_seconds)
        self._control = Control(self.core, self.stream, self.account_stream)
        self._rest = Rest(self.core, self._keys, Calls(engine, self.core.faults, self.core.now))
        self.add_key(self.api_key, self.api_secret)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._runner: web.AppRunner | None = None
        self._seat = Seat()

    # --- its life ------------------------------------------------------------------------------

    @property
    def rest_url(self) -> str:
        """The address for `base_url` and KRAKEN_SPOT_URL."""
        return f"http://{HOST}:{self.port}"

    @property
    def ws_url(self) -> str:
        """The address for `ws_url` and KRAKEN_WS_PUBLIC_URL."""
        return f"ws://{HOST}:{self.port}{self.stream.PATH}"

    @property
    def ws_auth_url(self) -> str:
        """The address for `ws_auth_url` and KRAKEN_WS_AUTH_URL: the account's stream."""
        return f"ws://{HOST}:{self.port}{self.account_stream.PATH}"

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
        app = web.Application(middlewares=[let_go])
        for part in (self._rest, self.stream, self.account_stream, self._control):
            part.add_routes(app)
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=0.05, max_line_size=65536
        )
        await self._runner.setup()
        await self._listen()

    async def _listen(self) -> None:
        assert self._runner is not None
        self.port = await self._seat.listen(self._runner, self.port)

    async def _close(self) -> None:
        self._control.drop_all()
        await self._seat.leave()
        if self._runner is not None and self._runner.server is not None:
            await _end(self._runner, self._runner.server)
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

    def wait_for(self, predicate: Callable[[FakeKraken], object], timeout: float = 60.0) -> bool:
        """Wait until `predicate(exchange)` is true; False if it is not within `timeout` seconds."""
        return self.core.wait_for(lambda: predicate(self), timeout)

    @property
    def clock_offset(self) -> float:
        """Seconds that Kraken's clock is ahead of this machine's; it may be set at any time."""
        return self.core.clock_offset

    @clock_offset.setter
    def clock_offset(self, seconds: float) -> None:
        self.core.clock_offset = seconds

    def now(self) -> float:
        """Return Kraken's clock, in seconds since 1970."""
        return self.core.now()

    # --- what a test or a demo does ------------------------------------------------------------

    def add_key(
        self,
        key: str,
        secret: str,
        permissions: Iterable[str] = USUAL,
        *,
        account: str = "",
        nonce_window: int = 0,
        valid_until: float = 0.0,
        addresses: Iterable[str] = (),
    ) -> None:
        """Accept another key, or the same one with other permissions.

        Args:
            key: The key, with its `secret`.
            secret: In base64.
            permissions: What it may do: some of `fake_kraken.keys.PERMISSIONS`; all but to
                withdraw where they are left out.
            account: Whose it is: one that `add_account` has made, or the first.
            nonce_window: How far below the highest nonce one may be that was not used yet.
            valid_until: When it ends, in seconds since 1970; 0 for never.
            addresses: Those that GetApiKeyInfo tells may use it; that is not enforced.

        Raises:
            ValueError: If the secret is not base64, or there is no such permission or account.
        """
        if account not in self.core.engine.accounts:
            raise ValueError(f"there is no account {account!r}; add it first")
        self._keys.add(key, secret, permissions, account, nonce_window, valid_until, addresses)

    def revoke_key(self, key: str) -> None:
        """Know a key no more, as if its owner had deleted it."""
        self._ask(lambda: self._keys.remove(key))

    def add_account(self, name: str, balances: Mapping[str, str] | None = None) -> None:
        """Let somebody else trade here too, with funds and orders of their own."""
        self._ask(lambda: self.core.engine.add_account(name, balances))

    def set_price(self, pair: str, price: object, qty: object = "0.01") -> None:
        """Print one trade at `price`: streams are told, and trailing stops move."""
        self.set_prices(pair, [price], qty)

    def set_prices(
        self, pair: str, prices: Sequence[object], qty: object = "0.01", at: float | None = None
    ) -> None:
        """Print several trades as one sweep: one trade frame, one ticker frame.

        `at`, in seconds since 1970, dates them; now where it is left out.
        """
        exact = [price_from(price) for price in prices]
        self._ask(lambda: self._control.print_trades(pair, exact, price_from(qty), at))

    def set_book(self, pair: str, bids: Levels | None = None, asks: Levels | None = None) -> None:
        """Put prices and quantities in the place of the book that follows the price; None: back."""
        self._ask(lambda: self._control.set_book(pair, bids, asks))

    def set_index_price(self, pair: str, price: object | None) -> None:
        """Move the index price away from the last one; None joins them again."""
        self._ask(lambda: self._control.set_index(pair, price))

    def price_of(self, pair: str) -> Decimal:
        """Return the last price."""
        return self._ask(lambda: self.core.engine.listing(pair).price)

    def price_and_tick(self, pair: str) -> tuple[Decimal, Decimal]:
        """Return the last price and the smallest step of it."""
        listing = self.core.engine.listing(pair)
        return listing.price, listing.tick

    @property
    def orders(self) -> list[dict[str, Any]]:
        """Every order ever placed, as OpenOrders shows it, with its `txid`; oldest first."""
        return self._ask(self._control.shown_orders)

    def orders_of(self, account: str) -> list[dict[str, Any]]:
        """Return the orders of one account, likewise; the first one's name is empty."""
        return self._ask(lambda: self._control.shown_orders(account))

    def placed_count(self, cl_ord_id: str | None = None) -> int:
        """Return how many orders were ever placed, under one client order id or in all."""
        return sum(cl_ord_id in (None, order.get("cl_ord_id")) for order in self.orders)

    @property
    def balances(self) -> dict[str, Decimal]:
        """What is owned, by Kraken's asset id."""
        return self._ask(lambda: dict(self.core.engine.account.balances))

    def cancel_order(self, txid: str, reason: str = "User requested") -> None:
        """Cancel an open order, as its owner or the exchange would."""
        self._ask(lambda: self._control.cancel(txid, reason))

    def fill_order(self, txid: str, part: object = 1) -> None:
        """Fill an open order at the last price; only `part` of its volume where that is under 1."""
        self._ask(lambda: self._control.fill(txid, Decimal(str(part))))

    def set_pair_status(self, pair: str, status: str) -> None:
        """Set what AssetPairs says of a pair's status, such as `cancel_only`."""
        self.change_pair(pair, status=status)

    def change_pair(self, pair: str, **changes: Any) -> None:
        """Change what AssetPairs says of a pair, such as `ordermin`, and what orders must keep to.

        Raises:
            Refusal: If there is no such pair.
        """
        self._ask(lambda: self._control.change_pair(pair, changes))

    def set_system_status(self, status: str) -> None:
        """Set the engine's state and push it: online, maintenance, cancel_only, post_only.

        Raises:
            ValueError: If there is no such state.
        """
        if status not in SYSTEM_STATES:
            raise ValueError(f"no state is called {status!r}; there are {', '.join(SYSTEM_STATES)}")
        self._ask(lambda: self._control.set_system_status(status))

    @property
    def requests(self) -> list[Request]:
        """The REST calls so far, oldest first; only the newest of very many are remembered."""
        return list(self.core.requests)

    def count(self, endpoint: str) -> int:
        """Return how many calls of an endpoint came in."""
        return self.core.counts[endpoint]

    @property
    def ws_messages(self) -> list[dict[str, Any]]:
        """The messages that came in over the stream, as `requests` are."""
        return list(self.stream.messages)

    @property
    def ws_connections(self) -> int:
        """How many streams are open."""
        return len(self.stream.clients)

    @property
    def ws_connections_made(self) -> int:
        """How many streams were ever opened."""
        return self.stream.connections_made

    def is_subscribed(self, symbol: str, channel: str = "ticker") -> bool:
        """Tell whether any stream has this subscription."""
        return any(
            (channel, symbol) == wanted[:2]
            for client in list(self.stream.clients)
            for wanted in list(client.subscriptions)
        )

    def drop_connections(self, *, of_account: bool = False) -> None:
        """Reset every stream of prices, or every one of accounts."""
        self._ask((self.account_stream if of_account else self.stream).abort_all)

    def stop_listening(self) -> None:
        """Drop all streams and take no connection until `resume`; the port is kept."""

        async def close() -> None:
            await self._seat.pause(self.port)
            self._control.drop_all()

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
        self._ask(lambda: self._control.switch_on(made))
        return made

    def clear_faults(self) -> None:
        """Switch every fault off."""
        self._ask(self.core.faults.clear)


async def _end(runner: web.AppRunner, server: web.Server) -> None:
    open_ones = [one.transport for one in server.connections]
    await runner.cleanup()
    for transport in open_ones:
        if transport is not None:
            transport.abort()  # one whose client reads nothing would wait for it for ever


if "pytest" in sys.modules:
    import pytest

    @pytest.fixture
    def kraken_exchange() -> Iterator[FakeKraken]:
        """A started exchange, for anybody's tests: `from fake_kraken import kraken_exchange`."""
        with FakeKraken() as exchange:
            yield exchange
