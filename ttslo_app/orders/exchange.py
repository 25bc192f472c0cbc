"""Kraken as the order thread sees it.

Place one order, find one order, say what a pair allows. What it must never do: send an order
twice, or send another than the one that was written down, or decide anything about an order's
outcome beyond what the client says of the answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from decimal import Decimal
from functools import lru_cache
from typing import Any

from kraken_api import KrakenAPI
from krakenlink.errors import (
    ArgumentError,
    AuthenticationError,
    KrakenAPIError,
    KrakenError,
    ProtocolError,
)
from krakenlink.machine import feed_clock
from krakenlink.numbers import doubled
from krakenlink.pairs import Pair
from krakenlink.rest.answers import Outcome, outcome_of, outcomes_of
from krakenlink.rest.client import is_as_defined
from krakenlink.rest.request import Prepared
from krakenlink.rest.verdicts import OutcomeKind
from ttslo_app.clocks import KrakenClock
from ttslo_app.messages import Market, Say, Sighting, tell
from ttslo_app.orders import trouble_words, words
from ttslo_app.orders.amounts import free_of
from ttslo_app.orders.finder import order_in, sightings_of
from ttslo_app.orders.ports import OrderSent
from ttslo_app.orders.request import OrderRequest
from ttslo_app.orders.stand_ins import answer_of, is_usual

# Kraken answers QueryOrders for at most 50 orders a call.
_QUERY_ORDERS_MAX = 50
# An id that Kraken does not know is asked for again after so many seconds, and doubled; the third
# time it is said.
_ASK_AGAIN, _ASK_AGAIN_MAX, _TELL_AFTER = 10.0, 600.0, 3
# What Kraken says where the call itself is refused, and not one of its orders; the first of a key
# that may not cancel.
_NO_BATCHES = ("Permission denied", "Unknown method", "Feature disabled")
# How its refusals of an id begin; which of them it uses is not documented.
_NO_SUCH_ORDER = ("EOrder:", "EGeneral:Invalid arguments")


def is_real(api: object) -> bool:
    """Tell whether `api` is a true `KrakenAPI`, which a mock made after it only claims to be."""
    return issubclass(type(api), KrakenAPI)


class KrakenExchange:
    """Kraken itself.

    Args:
        trading: The client whose key may place orders.
        reading: The client that knows the pairs. Where it has a key, orders are read with it, so
            that watching makes no order wait for the lock of the trading key.
        wall_clock: Seconds since 1970 by this machine.
        say: Called with level, message and fields for what a person should read.
        clock: Kraken's clock, where others go by it, too; None for one of its own.

    Attributes:
        key_mark: What tells the trading key from another without telling the key.
    """

    can_find = True

    def __init__(
        self,
        trading: KrakenAPI,
        reading: KrakenAPI,
        wall_clock: Callable[[], float],
        say: Say,
        clock: KrakenClock | None = None,
    ) -> None:
        self.key_mark = mark_of(trading.api_key)
        self._trading = trading
        self._public = reading
        self._reading = reading if reading.has_keys else trading
        self._say = say
        self._clock = clock or KrakenClock(wall_clock, feed_clock, say)
        self._takes_batches = True
        self._prepared = lru_cache(maxsize=256)(self._written_out)
        # By name: the pair as it was told last, and what was made of it.
        self._markets: dict[str, tuple[Pair, Market]] = {}
        # Order ids that Kraken did not know, how often, and when each is asked for again.
        self._unknown: dict[str, tuple[int, float]] = {}

    @property
    def reader(self) -> KrakenAPI:
        """The client that only reads; whether Kraken takes its key is for others to find out."""
        return self._public

    @property
    def clients(self) -> Sequence[KrakenAPI]:
        """The clients that have a key, the one that sends the orders first."""
        return [api for api in (self._trading, self._public) if api.has_keys]

    def rest_key_of(self, symbol: str) -> str:
        """Return REST's name of a pair on the stream; empty where it is not known. No I/O."""
        pair = self._public.listing.in_memory(symbol) if symbol else None
        return pair.rest_key if pair is not None else ""

    def read_with_reader(self, is_good: bool) -> None:
        """Read orders with the reading client where its key is good, else with the trading one."""
        is_usable = is_good and self._public.has_keys
        self._reading = self._public if is_usable else self._trading

    def now(self) -> float:
        """Return Kraken's clock, as far as it is known."""
        return self._clock.now()

    def set_clock(self, pause: Callable[[float], object] | None = None) -> None:
        """Ask Kraken for the time. Blocks for one call, or a few where `pause` lets it wait.

        Raises:
            KrakenError: If Kraken does not answer; the old estimate stays.
        """
        self._clock.measure(self._reading.server_time, pause)

    def market_of(self, pair: str) -> Market:
        """Return what is known of `pair`; one call at most, and none the second time.

        What the stream proves of it at this moment counts, else what the listing said. Whether the
        pair trades is not asked: a crossing must not wait for a call, and Kraken refuses by itself
        what it must.

        Raises:
            LookupError: If Kraken has no such pair.
        """
        if pair not in self._markets:
            return self.learn(pair, self._public.resolve_pair(pair))
        known, market = self._markets[pair]
        told = self._public.listing.streamed(known)
        return market if told is None or told[0] == known else self.learn(pair, told[0])

    def learn(self, pair: str, listed: Pair) -> Market:
        """Take over what was said of `pair` just now: a crossing need not ask for it."""
        market = market_from(listed)
        self._markets[pair] = listed, market
        return market

    def warm_up(self) -> None:
        """Keep the connection open over which the next order goes. Blocks for one call.

        Raises:
            KrakenError: If Kraken cannot be reached.
        """
        self._trading.warm_up()

    def free_of(self, asset: str) -> Decimal:
        """Return what a new order may use of an asset, by Kraken's id. Blocks for one call.

        Over the connection of the orders, which is kept warm.

        Raises:
            KrakenError: If Kraken could not be asked, or answered something else.
        """
        try:
            answer = self._trading.get_extended_balance()
        except AuthenticationError:
            if self._reading is self._trading:
                raise
            answer = self._reading.get_extended_balance()
        try:
            return free_of(answer, asset)
        except ValueError as error:
            raise ProtocolError(f"BalanceEx: {error}") from None

    def prepare(self, order: OrderRequest) -> None:
        """Write an order out now, so that its crossing need not wait for that. No I/O."""
        with suppress(ValueError):  # what is wrong with it is said when it is sent
            self._prepared(order)

    def _written_out(self, order: OrderRequest) -> Prepared:
        written = self._trading.prepare_order(**_named(order))
        # As it is in the journal, whatever is known of its pair at this moment.
        written["volume"] = order.volume
        return written

    def place(self, order: OrderRequest, cl_ord_id: str, deadline: str) -> Outcome:
        """Send one AddOrder, once. Blocks until the answer or the read deadline. Never raises."""
        answer = self._add_order(order, cl_ord_id=cl_ord_id, deadline=deadline)
        outcome = outcome_of(answer)
        self._is_for_its_deadline(outcome)
        return outcome

    def place_batch(self, orders: Sequence[OrderSent], deadline: str) -> Sequence[Outcome] | None:
        """Send one AddOrderBatch, once. Blocks until the answer or the read deadline. Never raises.

        Returns:
            What became of each order; None if none was placed, and each is to be sent by itself:
            where the key or the client takes single orders alone, and where Kraken refused the
            batch, which it does as a whole when one of its orders is not valid.
        """
        # What somebody has put in the place of a call is to see every order.
        calls = ("add_order", "add_trailing_stop_loss")
        is_ours = all(is_as_defined(self._trading, call) for call in calls)
        if not is_ours or not self._takes_batches:
            return None
        rows = [{**order.cells, "cl_ord_id": cl_ord_id} for order, cl_ord_id in orders]
        pair = {row.pop("pair") for row in rows}.pop()
        try:
            answer: object = self._trading.add_order_batch(pair, rows, deadline=deadline)
        except Exception as error:  # noqa: BLE001 - whatever it was, each order's fate is classified
            answer = error
        outcomes = outcomes_of(answer, [cl_ord_id for _, cl_ord_id in orders])
        if not isinstance(answer, KrakenAPIError | ArgumentError):
            return outcomes
        return self._after_refusal(answer, outcomes)

    def _after_refusal(
        self, error: KrakenAPIError | ArgumentError, outcomes: Sequence[Outcome]
    ) -> Sequence[Outcome] | None:
        """Return what a refusal of a whole batch means for its orders; None: try each by itself."""
        whole = outcomes[0]
        if whole.kind is not OutcomeKind.REFUSED:
            return outcomes
        if any(text in whole.reason for text in _NO_BATCHES):
            self._takes_batches = False
            tell(self._say, trouble_words.one_by_one(whole.reason))
            return None
        if self._is_for_its_deadline(whole) or whole.pause is not None:
            return outcomes
        return None

    def _is_for_its_deadline(self, outcome: Outcome) -> bool:
        """Tell whether an order was refused for its deadline alone, and look at the clock then."""
        if not outcome.is_overdue:
            return False
        # The steady clock may have stood still since it was compared with Kraken's.
        with suppress(KrakenError):
            self.set_clock()
        return True

    def _add_order(self, order: OrderRequest, **more: object) -> object:
        """Send an order as it is written, once; return the answer, or what was raised."""
        trading = self._trading
        if not is_as_defined(trading, "add_trailing_stop_loss") and is_usual(order):
            method = trading.add_trailing_stop_loss
            return answer_of(method, order, trigger=order.trigger, **more)
        try:
            if not is_as_defined(trading, "add_order"):
                arguments: Any = {**_named(order), **more}
                return trading.add_order(**arguments)
            return trading.add_prepared_order(self._prepared(order), **more)
        except Exception as error:  # noqa: BLE001 - whatever it was, the order's fate is classified
            return error

    def check(self, order: OrderRequest) -> Outcome:
        """Ask Kraken whether it would take `order`, without placing it. Blocks for one call."""
        answer = self._add_order(order, validate=True)
        return outcome_of(answer, validate=True)

    def cancel(self, txid: str) -> None:
        """Cancel an order. Blocks for one call, sent once; what becomes of it a look tells.

        Raises:
            KrakenError: If Kraken does not, or nobody knows.
        """
        self._trading.cancel_order(txid)

    def find(self, cl_ord_id: str, order: OrderRequest) -> Sighting | None:
        """Return the order of that id among the open and the closed ones. Blocks for three calls.

        The clock is read first, so that the caller can tell whether a late copy may still come; an
        order that is shown needs no clock, nor does one of which it is known what time it is. The
        key that sent the order is the one that looks.

        Raises:
            KrakenError: If Kraken could not be asked, or answered something else.
        """
        untold: KrakenError | None = None
        try:
            self.set_clock()
        except KrakenError as error:
            untold = error
        found = self._look_with_keys(cl_ord_id, order)
        if found is None and untold is not None and not self._clock.is_usable():
            raise untold
        return found

    def _look_with_keys(self, cl_ord_id: str, order: OrderRequest) -> Sighting | None:
        try:
            return self._look(self._trading, cl_ord_id, order)
        except AuthenticationError:
            if self._reading is self._trading:
                raise
            # Another key may be of another account: what it sees is there, and no more is known.
            found = self._look(self._reading, cl_ord_id, order)
            if found is None:
                raise
            return found

    def _look(self, api: KrakenAPI, cl_ord_id: str, order: OrderRequest) -> Sighting | None:
        def is_pair(name: str) -> bool:
            return self._is_pair(name, order.pair)

        answer = api.query_open_orders(cl_ord_id=cl_ord_id)
        found = order_in(answer, "open", cl_ord_id, order, is_pair)
        if found is None:
            answer = api.query_closed_orders(cl_ord_id=cl_ord_id)
            found = order_in(answer, "closed", cl_ord_id, order, is_pair)
        return found

    def _is_pair(self, name: str, key: str) -> bool:
        try:
            return self._public.resolve_pair(name).rest_key == key
        except LookupError:
            return False

    def watch(self, txids: Iterable[str]) -> dict[str, Sighting]:
        """Return what Kraken says of these orders: one call while all of them stand.

        Raises:
            KrakenError: If Kraken could not be asked.
        """
        wanted = set(txids)
        found = self._reading.query_open_orders().get("open", {})
        seen = {s.txid: s for s in sightings_of(found) if s.txid in wanted}
        now = feed_clock()
        waiting = {txid for txid, (_, again_at) in self._unknown.items() if again_at > now}
        gone = sorted(wanted - set(seen) - waiting)
        for start in range(0, len(gone), _QUERY_ORDERS_MAX):
            seen |= self._query(gone[start : start + _QUERY_ORDERS_MAX])
        return seen

    def _query(self, txids: Sequence[str]) -> dict[str, Sighting]:
        """Ask after orders by id: one that Kraken does not know hides none of the others."""
        try:
            answer = self._reading.query_orders(txids)
        except KrakenAPIError as error:
            if not any(said.startswith(_NO_SUCH_ORDER) for said in error.errors):
                raise
            if len(txids) > 1:
                half = len(txids) // 2
                return self._query(txids[:half]) | self._query(txids[half:])
            self._not_known(txids[0], error)
            return {}
        found = {s.txid: s for s in sightings_of(answer)}
        for txid in found:
            self._unknown.pop(txid, None)
        return found

    def _not_known(self, txid: str, error: KrakenAPIError) -> None:
        """Ask for an order again, slower each time: a fresh one may not be in every book yet."""
        times, _ = self._unknown.get(txid, (0, 0.0))
        wait = doubled(_ASK_AGAIN, times, _ASK_AGAIN_MAX)
        self._unknown[txid] = (times + 1, feed_clock() + wait)
        if times + 1 == _TELL_AFTER:
            tell(self._say, words.no_such_order(txid, error.errors))


def _named(order: OrderRequest) -> dict[str, str]:
    """Return an order as the arguments of `KrakenAPI.add_order`."""
    cells = order.cells
    return {"order_type": cells.pop("ordertype"), "direction": cells.pop("type"), **cells}


def mark_of(key: str | None) -> str:
    """Return what tells a key from another without telling the key; empty for no key."""
    return hashlib.sha256(key.encode()).hexdigest()[:16] if key else ""


def market_from(pair: Pair) -> Market:
    """Return what the order side needs of a pair."""
    return Market(
        name=pair.symbol or pair.rest_key,
        rest_key=pair.rest_key,
        symbol=pair.symbol,
        lot_decimals=pair.lot_decimals,
        ordermin=pair.ordermin,
        costmin=pair.costmin,
        price_decimals=pair.price_decimals,
        base=pair.base,
        quote=pair.quote,
    )
