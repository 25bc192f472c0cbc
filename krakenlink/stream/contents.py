"""What the channels beside `ticker` bring for their subscriptions, and whether it counts.

Pure and not thread-safe: the feed calls it under its lock. The proof is that of a price: what came
on the present connection, after its own acknowledgement, of what has been asked for. What came for
nobody, or after a doubt and before the next snapshot, is dropped.

Source: Kraken, spot WebSocket v2 (book, instrument, trade) (read 2026-11).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from krakenlink.pairs import Symbol
from krakenlink.stream.events import (
    EVERY,
    BookUpdate,
    BookWrong,
    CandleUpdate,
    Channel,
    ChannelLive,
    Event,
    InstrumentUpdate,
    TradeGap,
    TradePrint,
    Trades,
)
from krakenlink.stream.states import Subscription, SubState, key_of
from krakenlink.stream.subscriptions import Subscriptions
from krakenlink.stream.tapes import MOST_CANDLES, Tape

if TYPE_CHECKING:  # who follows prices alone loads none of them; `Wants` has for others
    from krakenlink.stream.book import Book, Places
    from krakenlink.stream.instruments import Instruments


def _untold(symbol: Symbol) -> Places | None:
    return None


# At hand, because an enumeration looks its members up anew each time: for the hot path.
_TRADE, _BOOK, _LIVE = Channel.TRADE, Channel.BOOK, SubState.LIVE
_ANSWERED = frozenset({SubState.ACKED, SubState.LIVE, SubState.MUTE})


class Contents:
    """Takes data in for the subscriptions of one feed.

    Args:
        subscriptions: Who has asked for what.

    Attributes:
        places: Returns the decimals of a market, where they were told; takes no lock.
    """

    def __init__(self, subscriptions: Subscriptions) -> None:
        self._subscriptions = subscriptions
        self.places: Callable[[Symbol], Places | None] = _untold

    def receive_trades(self, trades: Trades) -> list[Event]:
        """Take trades in; they are told as they come, and after them what lies between."""
        sub = self._subscriptions.by_key.get((_TRADE, trades.symbol))
        if sub is None:
            return []
        tape: Tape[TradePrint] | None = sub.content
        if tape is None or trades.is_snapshot:
            # What was left here may have been told by another connection since.
            is_told = sub.is_arriving or self._subscriptions.may_be_left(sub)
            return [] if is_told else [trades]
        events: list[Event] = [trades]
        for trade in trades.prints:
            before = tape.add(trade.trade_id, trade)
            if before is not None:
                gap = TradeGap(trades.symbol, before + 1, trade.trade_id - 1, trades.at)
                events.append(gap)
        sub.heard_at = tape.heard_at = trades.at
        return self._subscriptions.heard_of(sub, events) if sub.is_arriving else events

    def receive_candles(self, update: CandleUpdate) -> list[Event]:
        """Take candles in that have begun or changed."""
        key = key_of(Channel.OHLC, update.symbol, update.interval)
        sub = self._subscriptions.by_key.get(key)
        if sub is None or sub.content is None:
            return []
        sub.ticks += 1
        if update.is_damaged:
            # What it has missed nobody knows.
            sub.content = Tape(MOST_CANDLES, is_kept=sub.is_written_down)
        for candle in update.candles:
            sub.content.add(candle.begin, candle)
        sub.heard_at = sub.content.heard_at = update.at
        return self._subscriptions.heard_of(sub, [update]) if sub.is_arriving else [update]

    def receive_book(self, update: BookUpdate) -> list[Event]:
        """Take a snapshot of a book in, or a change of one that is known."""
        sub = self._subscriptions.by_key.get((_BOOK, update.symbol))
        if sub is None or not (sub.state is _LIVE or self._is_awaited(sub)):
            return []  # under way while it was left
        sub.ticks += 1
        book: Book | None = sub.content or sub.early
        if update.is_snapshot:
            from krakenlink.stream.book import Book

            book = Book(sub.asked_param, self.places(update.symbol))
            fault = book.begin(update.bid_levels, update.ask_levels, update.checksum)
        elif book is None:
            return []  # its snapshot is still to come
        else:
            fault = book.change(update.bid_levels, update.ask_levels, update.checksum)
        if fault:
            events = self._subscriptions.doubt(sub, update.at)
            wrong = BookWrong(update.symbol, fault, update.at)
            return [] if sub.is_arriving else [wrong, *events]
        book.timestamp = update.timestamp
        if book is sub.content and not sub.is_arriving:
            return [update]  # as nearly all
        return self._taken(sub, book, update)

    def receive_instruments(self, update: InstrumentUpdate) -> list[Event]:
        """Take all pairs in, or what has changed of those that are known."""
        sub = self._subscriptions.by_key.get((Channel.INSTRUMENT, EVERY))
        if sub is None or not self._is_awaited(sub):
            return []
        sub.ticks += 1
        if EVERY in update.lost:
            return self._subscriptions.doubt(sub, update.at)
        known: Instruments | None = sub.content or sub.early
        if update.is_snapshot:
            from krakenlink.stream.instruments import Instruments

            known = Instruments()
        if known is None:
            return []  # its snapshot is still to come
        known.take_in(update.pairs, update.assets, update.lost)
        return self._taken(sub, known, update)

    def _is_awaited(self, sub: Subscription) -> bool:
        """Whether data that come now can be the answer to the latest question."""
        if sub.acked_at is not None:
            return sub.state in _ANSWERED
        return sub.state is SubState.ASKED and self._subscriptions.is_first(sub)

    def _taken(
        self, sub: Subscription, content: object, update: BookUpdate | InstrumentUpdate
    ) -> list[Event]:
        if sub.acked_at is None:
            sub.early = content  # it counts once Kraken has acknowledged it
            return []
        events: list[Event] = [update]
        if sub.state is not SubState.LIVE:
            self._subscriptions.proved(sub)
            events.insert(0, ChannelLive(sub.symbol, sub.channel.value, update.at))
        sub.content = content
        return self._subscriptions.heard_of(sub, events) if sub.is_arriving else events
