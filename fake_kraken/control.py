"""The switches: what a test or a demo does to the exchange, at `/fake/...` for other processes.

All of it is on the exchange's own thread; `FakeKraken` has a method of any thread for each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Any

from aiohttp import web

from fake_kraken.books import Levels, levels_from
from fake_kraken.core import Core
from fake_kraken.faults import Fault
from fake_kraken.market import price_from
from fake_kraken.params import Refusal
from fake_kraken.shapes import shown
from fake_kraken.stream import Stream

_HUGE = 2**62  # beyond every trade there ever was


class Control:
    """What can be done to a running exchange."""

    def __init__(self, core: Core, stream: Stream, account_stream: Stream) -> None:
        self._core, self._stream, self._account_stream = core, stream, account_stream
        self._actions: dict[str, Callable[[dict[str, Any]], None]] = {
            "price": self._price,
            "index": self._index,
            "fee": lambda order: setattr(core.engine, "fee", price_from(order["percent"])),
            "fault": lambda order: self.switch_on(Fault(**order)),
            "clear": lambda _: core.faults.clear(),
            "drop": lambda _: self.drop_all(),
            "pair": lambda order: self.change_pair(order["pair"], order["changes"]),
        }

    def add_routes(self, app: web.Application) -> None:
        """Serve below `/fake`."""
        app.router.add_route("*", "/fake/{what}", self._serve)

    def drop_all(self) -> None:
        """Reset every stream, of prices and of accounts."""
        for stream in (self._stream, self._account_stream):
            stream.abort_all()

    def print_trades(
        self, pair: str, prices: Sequence[Decimal], qty: Decimal, at: float | None = None
    ) -> None:
        """Print one trade a price, of `qty` each, and tell the streams.

        Args:
            pair: Any name that REST takes.
            prices: In order; the last one stays.
            qty: Of each trade, in base currency.
            at: Their date, in seconds since 1970; Kraken's clock where it is left out.

        Raises:
            Refusal: If there is no such pair.
        """
        engine, faults = self._core.engine, self._core.faults
        listing = engine.listing(pair)
        moment = self._core.now() if at is None else at
        if faults.struck("ids_begin_anew", symbol=listing.symbol):
            listing.trade_id = 0
        trades = [engine.trade(listing, price, qty, moment) for price in prices]
        if faults.struck("huge_trade_id", symbol=listing.symbol):
            trades = [replace(trade, trade_id=_HUGE + trade.trade_id) for trade in trades]
            listing.trades[-len(trades) :] = trades
        self._stream.tell_trades(listing, trades)
        self._stream.tell_books(listing)
        self._stream.tell_candles(listing)
        self._core.tell()

    def set_book(
        self,
        pair: str,
        bids: Levels | None,
        asks: Levels | None,
    ) -> None:
        """Put a book in the place of the one that follows the price, and tell the streams.

        Raises:
            Refusal: If there is no such pair.
            ValueError: If a number is none.
        """
        listing = self._core.engine.listing(pair)
        if bids is None and asks is None:
            listing.book = None
        else:
            listing.book = (
                levels_from(bids or (), is_bid=True),
                levels_from(asks or (), is_bid=False),
            )
        self._stream.tell_books(listing)
        self._core.tell()

    def set_index(self, pair: str, price: object | None) -> None:
        """Move the index price of a pair away from its last price; None joins them again."""
        engine, exact = self._core.engine, None if price is None else price_from(price)
        engine.move_index(engine.listing(pair), exact, self._core.now())
        self._core.tell()

    def cancel(self, txid: str, reason: str) -> None:
        """Cancel an open order, as its owner or the exchange would."""
        engine = self._core.engine
        engine.cancel(engine.orders[txid], self._core.now(), reason)
        self._core.tell()

    def fill(self, txid: str, share: Decimal) -> None:
        """Fill an open order at the last price; a share of it where that is under 1."""
        engine = self._core.engine
        order = engine.orders[txid]
        volume = order.volume * share if share < 1 else None
        engine.fill(order, engine.listing_of(order).price, self._core.now(), volume=volume)
        self._core.tell()

    def switch_on(self, fault: Fault) -> None:
        """Switch a fault on."""
        self._core.faults.switch_on(fault)
        if fault.name == "drop":
            self._stream.abort_all()
        elif fault.name == "account_drop":
            self._account_stream.abort_all()
        elif fault.name == "ordermin_lowered":
            for listing in self._core.engine.listings.values():
                if fault.symbol in (None, listing.symbol):
                    least = Decimal(listing.row["ordermin"]) / 10
                    listing.row["ordermin"] = f"{least:f}"

    def change_pair(self, pair: str, changes: Mapping[str, Any]) -> None:
        """Change what AssetPairs says of a pair, and what its orders must keep to."""
        listing = self._core.engine.listing(pair)
        listing.row.update(changes)
        self._stream.tell_instrument(listing)

    def set_system_status(self, status: str) -> None:
        """Set the engine's state and push it."""
        self._core.engine.system_status = status
        for stream in (self._stream, self._account_stream):
            stream.tell_status()

    def shown_orders(self, owner: str | None = None) -> list[dict[str, Any]]:
        """Return every order ever placed, as OpenOrders shows it, with its `txid`.

        Args:
            owner: The account whose orders are meant; None: everybody's.
        """
        engine = self._core.engine
        orders = [o for o in engine.orders.values() if owner in (None, o.owner)]
        return [{"txid": o.txid, **shown(o, engine.listing_of(o).row)} for o in orders]

    # --- over HTTP ---------------------------------------------------------------------------

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        what = request.match_info["what"]
        try:
            order = await request.json() if request.can_read_body else {}
            if not isinstance(order, dict):
                raise ValueError("the body is no JSON object")
            return web.json_response(self._done(what, order))
        except KeyError as error:
            return web.json_response({"error": f"{what}: there is no {error}"}, status=400)
        except (ValueError, TypeError, InvalidOperation, RecursionError, Refusal) as error:
            return web.json_response({"error": f"{what}: {error}"}, status=400)

    def _done(self, what: str, order: dict[str, Any]) -> Any:
        if what == "orders":
            return self.shown_orders()
        if what == "requests":
            return [[r.at, r.endpoint, r.params] for r in self._core.requests]
        if what not in self._actions:
            raise ValueError(f"there are orders, requests, {', '.join(self._actions)}")
        self._actions[what](order)
        return {}

    def _index(self, order: dict[str, Any]) -> None:
        self.set_index(order["pair"], order.get("price"))

    def _price(self, order: dict[str, Any]) -> None:
        prices = order["prices"] if "prices" in order else [order["price"]]
        at = order.get("at")
        exact = [price_from(price) for price in prices]
        moment = None if at is None else float(at)
        self.print_trades(order["pair"], exact, Decimal("0.01"), moment)
