"""What the channels beside `ticker` bring for their subscriptions, and whether it counts.

Pure and not thread-safe: the feed calls it under its lock. The proof is that of a price: what came
on the present connection, after its own acknowledgement, of what has been asked for. What came for
nobody, or after a doubt and before the next snapshot, is dropped.

Source: Kraken, spot WebSocket v2 (book, trade) (read 2026-11).
"""

from __future__ import annotations

from krakenlink.stream.book import Book
from krakenlink.stream.events import (
    BookUpdate,
    BookWrong,
    Channel,
    ChannelLive,
    Event,
    Trades,
)
from krakenlink.stream.states import Subscription, SubState
from krakenlink.stream.subscriptions import Subscriptions

_ANSWERED = frozenset({SubState.ACKED, SubState.LIVE, SubState.MUTE})


class Contents:
    """Takes data in for the subscriptions of one feed.

    Args:
        subscriptions: Who has asked for what.
    """

    def __init__(self, subscriptions: Subscriptions) -> None:
        self._subscriptions = subscriptions

    def receive_trades(self, trades: Trades) -> list[Event]:
        """Take trades in; they are told as they come."""
        known = (Channel.TRADE, trades.symbol) in self._subscriptions.by_key
        return [trades] if known else []

    def receive_book(self, update: BookUpdate) -> list[Event]:
        """Take a snapshot of a book in, or a change of one that is known."""
        sub = self._subscriptions.by_key.get((Channel.BOOK, update.symbol))
        if sub is None or not self._is_awaited(sub):
            return []  # under way while it was left
        sub.ticks += 1
        book: Book | None = sub.content or sub.early
        if update.is_snapshot:
            book = Book(sub.asked_param)
            fault = book.begin(update.bid_levels, update.ask_levels, update.checksum)
        elif book is None:
            return []  # its snapshot is still to come
        else:
            fault = book.change(update.bid_levels, update.ask_levels, update.checksum)
        if fault:
            events = self._subscriptions.doubt(sub, update.at)
            return [BookWrong(update.symbol, fault, update.at), *events]
        book.timestamp = update.timestamp
        return self._taken(sub, book, update)

    def _is_awaited(self, sub: Subscription) -> bool:
        """Whether data that come now can be the answer to the latest question."""
        if sub.acked_at is not None:
            return sub.state in _ANSWERED
        return sub.state is SubState.ASKED and self._subscriptions.is_first(sub)

    def _taken(self, sub: Subscription, content: object, update: BookUpdate) -> list[Event]:
        if sub.acked_at is None:
            sub.early = content  # it counts once Kraken has acknowledged it
            return []
        events: list[Event] = [update]
        if sub.state is not SubState.LIVE:
            self._subscriptions.proved(sub)
            events.insert(0, ChannelLive(sub.symbol, sub.channel.value, update.at))
        sub.content = content
        return events
