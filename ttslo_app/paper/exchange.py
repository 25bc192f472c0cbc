"""The paper exchange: orders of a rehearsal, on an engine inside this process, at real prices.

It has the face that the order thread sees of Kraken. Trades of the real stream move its markets,
so its stops trail and trigger as the embedded exchange's do; a fill pays today's spread and a fee.
What it must never do: call anybody. It holds no client that could.

Source: Kraken, REST AddOrder, trailing stop orders; fee schedule (read 2026-11).
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from fake_kraken.engine import Engine
from fake_kraken.market import Listing
from fake_kraken.orders import Change, Order
from fake_kraken.params import Refusal
from krakenlink.errors import KrakenAPIError
from krakenlink.machine import feed_clock
from krakenlink.numbers import plain
from krakenlink.pairs import Pair
from krakenlink.rest.answers import Outcome, outcome_of
from krakenlink.rest.verdicts import verdict_of
from krakenlink.stream.events import Tick, Trades
from ttslo_app.messages import Market, Sighting, Stop, Watched
from ttslo_app.orders.exchange import market_from
from ttslo_app.orders.ports import OrderSent
from ttslo_app.orders.request import OrderRequest
from ttslo_app.orders.worker import OrderWorker

_log = logging.getLogger(__name__)

DEFAULT_FEE = Decimal("0.40")  # percent, of a taker who trades little
# Seconds between two looks where no trade comes, and how old a bid may be to be today's.
_TURN, _FRESH = 0.25, 60.0
# A trade of the stream is newer than a price that was looked up so much earlier.
_NEWER = 1.0
# Nobody knows what the account has, so it has whatever an order needs.
_PLENTY = "1e18"


@dataclass(frozen=True, slots=True)
class Fill:
    """A fill on paper: what an order got, and what it paid, in quote currency."""

    volume: Decimal
    price: Decimal
    fee: Decimal


class _Book:
    """One market: its engine, and the last bid and ask that were told."""

    def __init__(self, pair: Pair, price: Decimal) -> None:
        decimals = 8 if pair.price_decimals is None else pair.price_decimals
        row = {
            "altname": pair.altname,
            "wsname": pair.wsname,
            "aclass_base": pair.asset_class,
            "base": pair.base,
            "quote": pair.quote,
            "pair_decimals": decimals,
            "lot_decimals": 8 if pair.lot_decimals is None else pair.lot_decimals,
            "ordermin": str(pair.ordermin or 0),
            "costmin": str(pair.costmin or 0),
            "status": pair.status,
        }
        funds = {pair.base: _PLENTY, pair.quote: _PLENTY}
        self.engine = Engine({pair.rest_key: row}, {pair.rest_key: price}, funds)
        self.listing: Listing = self.engine.listing(pair.rest_key)


class PaperExchange:
    """Takes orders, and trails and fills them by the prices that it is told.

    Args:
        resolve: Returns the pair that a name means; raises LookupError where there is none.
        now: Kraken's clock, in seconds since 1970.
        fee: What a fill pays, in percent.
    """

    can_find = True
    key_mark = ""

    def __init__(
        self, resolve: Callable[[str], Pair], now: Callable[[], float], fee: Decimal = DEFAULT_FEE
    ) -> None:
        self._resolve = resolve
        self._now = now
        self._fee = fee
        # The order thread places, the thread of prices plays; both for a moment, and no I/O.
        self._lock = threading.Lock()
        self.events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._books: dict[str, _Book] = {}  # by REST's key
        self._known: dict[str, Pair] = {}  # by each name that was asked for
        self._pairs: dict[str, Pair] = {}  # by the symbol of the stream
        self._last: dict[str, tuple[Decimal, float]] = {}  # by symbol or key: price, and when
        self._quotes: dict[str, tuple[Decimal, Decimal, float]] = {}  # by symbol: bid, ask, when
        self._trade_ids: dict[str, int] = {}
        self._orders: dict[str, tuple[Order, str]] = {}  # by our id: the order, and its client id
        self._ids: dict[int, str] = {}
        self.fills: dict[str, Fill] = {}

    # --- the face of Kraken --------------------------------------------------------------------

    def now(self) -> float:
        """Return Kraken's clock as estimated, in seconds since 1970. Never blocks."""
        return self._now()

    def market_of(self, pair: str) -> Market:
        """Return what Kraken says of `pair`. May block the first time.

        Raises:
            LookupError: If Kraken has no such pair.
        """
        return market_from(self._pair_of(pair))

    def _pair_of(self, name: str) -> Pair:
        """Return a pair, the second time without asking anybody."""
        known = self._known.get(name)
        if known is None:
            known = self._resolve(name)
            self._known |= {name: known, known.rest_key: known}
            if known.symbol is not None:
                self._pairs[known.symbol] = known
        return known

    def free_of(self, asset: str) -> Decimal:
        """Refuse: no key is read here, so nobody knows what the account has.

        Raises:
            ValueError: Always.
        """
        said = f"on paper nobody knows what is free of {asset}"
        raise ValueError(f"{said}; write a number for the volume to rehearse this row")

    def prepare(self, order: OrderRequest) -> None:
        """Leave it all to the crossing."""

    def place(self, order: OrderRequest, cl_ord_id: str, deadline: str) -> Outcome:
        """Enter an order at the price of now. Never blocks, never raises."""
        return self._answer(order, cl_ord_id, validate=False)

    def place_batch(self, orders: Sequence[OrderSent], deadline: str) -> None:
        """Leave it to single orders: each is entered at once."""

    def check(self, order: OrderRequest) -> Outcome:
        """Tell whether `order` would be taken."""
        return self._answer(order, "", validate=True)

    def _answer(self, order: OrderRequest, cl_ord_id: str, *, validate: bool) -> Outcome:
        params = order.cells
        params |= {"cl_ord_id": cl_ord_id} if cl_ord_id else {}
        params |= {"validate": "true"} if validate else {}
        try:
            pair = self._pair_of(order.pair)
        except Exception as error:  # noqa: BLE001 - as of any exchange: what it was is the answer
            return outcome_of(error, validate=validate)
        with self._lock:
            self._play_all()
            try:
                book = self._book_of(pair)
                entered = book.engine.add_order(params, self._now())
            except Refusal as refusal:
                return outcome_of(_error_of(refusal.errors), validate=validate)
            if validate:
                return outcome_of({"descr": {"order": str(order)}}, validate=True)
            return outcome_of({"txid": [self._note(entered, cl_ord_id)]})

    def _book_of(self, pair: Pair) -> _Book:
        """Return a market, which begins at the last price that was told of it."""
        book = self._books.get(pair.rest_key)
        if book is None:
            last = self._last.get(pair.symbol or "") or self._last.get(pair.rest_key)
            if last is None:
                raise Refusal("EService:Unavailable")  # no price was told yet
            book = self._books[pair.rest_key] = _Book(pair, last[0])
            book.engine.tell = lambda change: self._hear(pair, change)
        return book

    def _note(self, entered: Order, cl_ord_id: str) -> str:
        """Return an id that nobody takes for Kraken's."""
        known = self._ids.get(id(entered))
        if known is None:
            known = self._ids[id(entered)] = f"PAPER-{len(self._orders) + 1:06d}"
            self._orders[known] = (entered, cl_ord_id)
        return known

    def find(self, cl_ord_id: str, order: OrderRequest) -> Sighting | None:
        """Return the order of that id, None where there is none."""
        with self._lock:
            found = [ours for ours, (_, known) in self._orders.items() if known == cl_ord_id]
            return self._sighting(found[-1]) if found else None

    # --- prices --------------------------------------------------------------------------------

    def play(self) -> None:
        """Let all prices happen that came since. Never blocks for long."""
        with self._lock:
            self._play_all()

    def _play_all(self) -> None:
        while True:
            try:
                event = self.events.get_nowait()
            except queue.Empty:
                return
            if isinstance(event, Trades):
                self._trades(event)
            elif isinstance(event, Tick) and event.bid is not None and event.ask is not None:
                self._quotes[event.symbol] = (event.bid, event.ask, event.at)

    def _trades(self, event: Trades) -> None:
        newest = self._trade_ids.get(event.symbol, -1)
        for one in event.prints:
            # After a loss of the link the last trades are told anew: each happens once.
            if one.trade_id > newest:
                self._trade_ids[event.symbol] = newest = one.trade_id
                self._move(event.symbol, one.price, one.qty, event.at)

    def look_up(self, name: str, price: Decimal, at: float) -> None:
        """Take a price that came otherwise, where the stream has told none since.

        Args:
            name: The symbol, or REST's key of a market without one.
            price: The price.
            at: When, on the feed's clock.
        """
        with self._lock:
            last = self._last.get(name)
            if last is None or at > last[1] + _NEWER:
                self._move(name, price, Decimal(0), at)

    def _move(self, name: str, price: Decimal, qty: Decimal, at: float) -> None:
        self._last[name] = (price, at)
        pair = self._pairs.get(name)
        book = self._books.get(pair.rest_key if pair is not None else name)
        if book is not None:
            book.engine.trade(book.listing, price, qty, self._now())

    def _hear(self, pair: Pair, change: Change) -> None:
        """Note what a fill got: a stop that triggers sells to the bid, and buys from the ask."""
        if change.kind != "trade":
            return
        order, price = change.order, change.price
        bid, ask, at = self._quotes.get(pair.symbol or "", (price, price, 0.0))
        if feed_clock() - at <= _FRESH and order.kind == "trailing-stop":  # a limit holds the price
            price = min(price, bid) if order.side == "sell" else max(price, ask)
        fee = (change.part * price * self._fee / 100).quantize(Decimal("1e-8"))
        self.fills[self._note(order, order.cl_ord_id or "")] = Fill(change.part, price, fee)

    # --- what became of orders -----------------------------------------------------------------

    def sightings(self, wanted: Mapping[str, str]) -> dict[str, Sighting]:
        """Return how orders are, by rule id.

        Args:
            wanted: The ids of the orders, by rule id.
        """
        with self._lock:
            ours = {rule: txid for rule, txid in wanted.items() if txid in self._orders}
            return {rule: self._sighting(txid) for rule, txid in ours.items()}

    def volume_of(self, txid: str) -> Decimal | None:
        """Return what an order was for, None where there is no such order."""
        found = self._orders.get(txid)
        return None if found is None else found[0].volume

    def symbols_of(self, txids: Iterable[str]) -> set[str]:
        """Return the symbols by which the prices of these orders stream."""
        with self._lock:
            pairs = [self._known[self._orders[txid][0].pair] for txid in txids
                     if txid in self._orders]  # fmt: skip
        return {pair.symbol for pair in pairs if pair.symbol is not None}

    def _sighting(self, txid: str) -> Sighting:
        order, _ = self._orders[txid]
        fill = self.fills.get(txid)
        stop = Stop(order.stop, order.anchor, "last", order.is_triggered) if order.stop else None
        price = fill.price if fill is not None else order.fill_price
        return Sighting(txid, order.status, plain(order.executed), plain(price), order.reason,
            stop=stop)  # fmt: skip


def _error_of(errors: list[str]) -> KrakenAPIError:
    return KrakenAPIError("AddOrder", errors, verdict_of(errors))


class PaperMarket:
    """Moves a paper exchange by the prices of a run, on a thread of its own.

    Args:
        exchange: What is moved.
        worker: Who is told what became of orders.
        last: Returns the last price of each market, and when it came on the feed's clock.
        follow: Has the prices of a symbol come, whatever becomes of its rows.
    """

    def __init__(
        self,
        exchange: PaperExchange,
        worker: OrderWorker,
        last: Callable[[], Mapping[str, tuple[Decimal, float]]],
        follow: Callable[[str], None] = lambda symbol: None,
    ) -> None:
        self._exchange = exchange
        self._worker = worker
        self._last = last
        self._follow = follow
        self._followed: set[str] = set()
        self._told: dict[str, tuple[Sighting, Stop | None]] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ttslo-paper", daemon=True)

    def start(self) -> None:
        """Begin to move it."""
        self._thread.start()

    def stop(self) -> None:
        """End. Waits for a moment."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(1.0)

    def _run(self) -> None:
        while not self._stopping.wait(_TURN):
            try:
                self.turn()
            except Exception:  # noqa: BLE001 - a rehearsal goes on like the real thing
                _log.exception("The paper exchange met an error and goes on")

    def turn(self) -> None:
        """Let what came happen, and tell what became of orders."""
        self._exchange.play()
        # The run lets go of a market whose last row was taken away; an order goes on all the same.
        for symbol in self._exchange.symbols_of(self._worker.standing.values()) - self._followed:
            self._followed.add(symbol)
            self._follow(symbol)
        for name, (price, at) in list(self._last().items()):
            self._exchange.look_up(name, price, at)
        seen = self._exchange.sightings(self._worker.standing)
        news = {rule: one for rule, one in seen.items() if self._told.get(rule) != (one, one.stop)}
        if news:
            self._told |= {rule: (one, one.stop) for rule, one in news.items()}
            self._worker.submit(Watched(news))
