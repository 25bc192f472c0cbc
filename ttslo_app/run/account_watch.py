"""The account's stream in a run: what it tells of our orders goes to the order thread at once.

Looks over REST go on, and are slow only for orders that the stream has shown and proves at this
moment. What it must never do: decide about an order, ask more often than Kraken's smallest
allowance bears, or hold up the thread of prices, which hands its events on.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from kraken_api import WEBSOCKET_AVAILABLE, KrakenAPI
from krakenlink.errors import AuthenticationError, KrakenError
from krakenlink.machine import feed_clock
from krakenlink.once import Once
from ttslo_app.messages import Say, Streamed, tell
from ttslo_app.orders.exchange import KrakenExchange
from ttslo_app.orders.life import OrderSettings
from ttslo_app.orders.streamed import is_finished
from ttslo_app.orders.worker import OrderWorker
from ttslo_app.run import account_words as words
from ttslo_app.run.keeper import watch_orders
from ttslo_app.run.parts import World

if TYPE_CHECKING:  # loaded with a stream, for who has one
    from krakenlink.stream.account import AccountFeed, AccountReader
    from krakenlink.stream.executions import AccountOrder
    from krakenlink.stream.private import AccountFollowed, AccountLost, AccountSnapshot

# Seconds between two looks where the stream left something in doubt: Kraken's smallest allowance
# regains a call in that time.
_SOON = 3.0
# Our own ids are of this kind: orders of others need not be looked at.
_OUR_UUID = 5
_DENIED, _LOST, _FOLLOWED = "denied", "lost", "followed"


class AccountWatch:
    """Watches the orders that stand: by the account's stream where there is one, and over REST.

    Args:
        feed: The stream; None for REST alone.
        exchange: Kraken.
        worker: The order thread.
        settings: How often orders are looked at.
        sink: The queue that the feed's events are put into; whoever reads it calls `hear`.
        say: Takes a level and a sentence for a person.
    """

    def __init__(
        self,
        feed: AccountFeed | None,
        exchange: KrakenExchange,
        worker: OrderWorker,
        settings: OrderSettings,
        sink: SimpleQueue[Any],
        say: Say,
    ) -> None:
        self._feed = feed
        self._exchange = exchange
        self._worker = worker
        self._settings = settings
        self._sink = sink
        self._say = say
        self._reader: AccountReader | None = None
        self._told = Once()
        # Written by the thread that reads, looked at by the keeper; each is one value.
        self._lost: AccountLost | None = None
        self._must_look = False

    # --- the keeper ----------------------------------------------------------------------------

    def keep(self) -> None:
        """Start the stream, anew if its thread has died, and say if it stays away. Never blocks."""
        if self._feed is None:
            return
        if self._reader is None:
            self._reader = self._feed.open_feed(sink=self._sink)
        self._feed.start()
        lost, every = self._lost, self._settings.watch
        if lost is None or _DENIED in self._told or feed_clock() - lost.at < every:
            return
        if self._told.is_news(_LOST):
            tell(self._say, words.lost(lost.reason, every))

    def stop(self) -> None:
        """End the stream. Waits for a second at most."""
        if self._feed is not None:
            self._feed.stop()

    def every(self) -> float:
        """Return the seconds between two looks over REST, as things are."""
        settings = self._settings
        if self._must_look:
            return min(_SOON, settings.watch)
        shown = self._feed.orders() if self._feed is not None else None
        if shown is None:
            return settings.watch
        standing = [shown.get(txid) for txid in list(self._worker.standing.values())]
        is_proven = all(order is not None and not is_finished(order) for order in standing)
        return max(settings.watch, settings.watch_streamed) if is_proven else settings.watch

    def look(self) -> None:
        """Let the order thread know over REST what has become of the orders. Blocks for Kraken.

        Raises:
            KrakenError: If Kraken cannot be asked.
        """
        was_doubted = self._must_look
        self._must_look = False  # before: what is doubted from now on wants another look
        try:
            watch_orders(self._exchange, self._worker)
        except KrakenError:
            self._must_look = was_doubted or self._must_look
            raise

    def look_soon(self) -> None:
        """Let REST be asked soon: the stream left something in doubt. Never blocks; any thread."""
        self._must_look = True

    # --- the thread that reads -----------------------------------------------------------------

    def hear(self, event: object) -> None:
        """Take in an event of the stream; others are passed over. Never blocks."""
        if self._feed is None:
            return
        from krakenlink.stream import private  # which the feed has loaded

        match event:
            case private.OrderNews():
                self._hand_on(event.order)
            case private.AccountSnapshot():
                self._on_snapshot(event)
            case private.AccountFollowed():
                self._on_followed(event)
            case private.AccountLost():
                self._lost = event
            case private.AccountDenied():
                if self._told.is_news(_DENIED, event.error):
                    tell(self._say, words.denied(event.error, self._settings.watch))

    def _hand_on(self, order: AccountOrder) -> None:
        is_standing = order.order_id in self._worker.standing.values()
        if not is_standing and not _is_ours(order.cl_ord_id):
            return
        rest_key = self._exchange.rest_key_of(order.symbol)
        self._worker.submit(Streamed(order, rest_key, self.look_soon))

    def _on_snapshot(self, event: AccountSnapshot) -> None:
        for order in event.orders:
            self._hand_on(order)
        shown = {order.order_id for order in event.orders}
        if not shown.issuperset(self._worker.standing.values()):
            self.look_soon()  # it ended while nobody told: REST knows how

    def _on_followed(self, event: AccountFollowed) -> None:
        lost, self._lost = self._lost, None
        has_healed = self._told.has_healed(_DENIED)
        if self._told.has_healed(_LOST) and lost is not None:
            tell(self._say, words.followed_again(event.at - lost.since))
        elif has_healed or self._told.is_news(_FOLLOWED):
            self._told.is_news(_FOLLOWED)
            tell(self._say, words.followed(self._settings.watch_streamed))


def account_watch_of(
    world: World,
    worker: OrderWorker,
    settings: OrderSettings,
    sink: SimpleQueue[Any],
    say: Say,
) -> AccountWatch | None:
    """Return what watches the orders of a run; None where none can be placed."""
    if world.exchange is None:
        return None
    return AccountWatch(world.account, world.exchange, worker, settings, sink, say)


def _is_ours(cl_ord_id: str) -> bool:
    """Tell whether an id may be one of ours; whose it is is found out by the order thread."""
    try:
        return uuid.UUID(cl_ord_id).version == _OUR_UUID
    except ValueError:
        return False


def token_of_any(clients: Sequence[KrakenAPI]) -> Callable[[], str]:
    """Return what fetches a token with the first key that may have one, and stays with it.

    Args:
        clients: Who has a key; the one that sends the orders first.
    """
    order = list(clients)

    def token() -> str:
        refusal: AuthenticationError | None = None
        for client in list(order):
            try:
                found = client.get_websockets_token()
            except AuthenticationError as error:
                refusal = refusal or error
                continue
            order.remove(client)
            order.insert(0, client)
            return found
        assert refusal is not None  # there is a client
        raise refusal

    return token


def account_feed_of(exchange: object, reading: Any) -> AccountFeed | None:
    """Return the account's stream for a run; None where there is none, or none is wanted.

    Args:
        exchange: What orders go to.
        reading: The client that prices come from; without a stream of prices there is none here.
    """
    if not isinstance(exchange, KrakenExchange) or not WEBSOCKET_AVAILABLE:
        return None
    clients = exchange.clients
    url = next((one.ws_auth_url for one in clients if one.ws_auth_url is not None), None)
    if url is None or not reading.use_websocket:
        return None
    from krakenlink.stream.account import AccountFeed  # here, for a run that has a stream

    return AccountFeed(url, token_of_any(clients))
