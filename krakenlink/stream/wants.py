"""What a provider is asked for, by pair and by symbol, and what it is not asked for any more.

A part of `ws_price_provider`. Which connection that is, and when something moves to another, is
`pool`'s affair; what must never happen here is that two of them are wanted to carry the same, or
that what was given back is wanted for ever.
"""

from __future__ import annotations

from functools import partial

from krakenlink.pairs import Symbol
from krakenlink.stream.events import EVERY, Channel
from krakenlink.stream.handover import wake
from krakenlink.stream.looks import Looks, checked_param
from krakenlink.stream.states import Subscription, key_of


class Wants(Looks):
    """The subscriptions of one connection, and of all. Safe from any thread; nothing here waits."""

    # Guarded by the feed's lock.
    _by_pair: dict[str, Subscription]  # by the callers' spelling

    def _symbol_of(self, pair: str) -> Symbol | None:
        raise NotImplementedError

    def subscribe(self, pair: str) -> bool:
        """Ask for prices of `pair`, any spelling that `resolve` knows. Returns at once.

        Returns:
            False where the pair has no stream or no name that is known; said once as a WARNING.
        """
        symbol = self._symbol_of(pair)
        if symbol is None:
            return False
        self._check_fork()
        while not self._noted(pair, symbol):
            pass  # it has moved, or all was given back
        return True

    def _noted(self, pair: str, symbol: Symbol) -> bool:
        """Have a pair with its reference; False, and nothing is done, where neither is had."""
        with self._lock:
            self.feed_thread.handover.empty_locked()
            connection = self.feed_thread.start_locked()
            if pair in self._by_pair:
                return True
            carrier = self.pool.place_locked(key_of(Channel.TICKER, symbol))
            if carrier is self:
                self._by_pair[pair] = self._subscriptions.want(symbol, Channel.TICKER)
        if carrier is self:
            wake(connection)
            return True
        # First, as what is noted may be given back at any moment.
        if (of := carrier.want(symbol, Channel.TICKER, 0)) is None:
            return False
        with self._lock:
            self.feed_thread.handover.empty_locked()
            if self.stops != of:
                return False  # the reference is gone with all that there was
            if pair in self._by_pair:  # somebody was faster
                self._unwant_locked(symbol, Channel.TICKER)
            else:
                self._by_pair[pair] = Subscription(symbol, Channel.TICKER, 1)  # never a price
        return True

    def _want_placed(self, symbol: str, channel: Channel, param: int = 0) -> int:
        """Add a reference on the connection that is to carry it, wherever it moves meanwhile."""
        key = key_of(channel, Symbol(symbol), param)
        while (of := self.pool.place(key).want(symbol, channel, param)) is None:
            pass
        return of

    def unsubscribe(self, pair: str) -> None:
        """Give `pair` back; Kraken is told when nobody else wants its symbol. From anywhere."""
        self._check_fork()
        self.feed_thread.give_back(partial(self._unwant_pair_locked, pair))

    def _unwant_pair_locked(self, pair: str) -> None:
        sub = self._by_pair.pop(pair, None)
        if sub is not None:
            self._unwant_locked(sub.symbol, Channel.TICKER)

    def subscribe_symbol(
        self,
        symbol: str,
        channel: str = "ticker",
        *,
        depth: int | None = None,
        interval: int | None = None,
    ) -> int:
        """Add a reference to a channel of a v2 symbol. Returns at once.

        Args:
            symbol: Kraken's v2 name.
            channel: `ticker`, `trade`, `book`, `ohlc`, or `instrument`, which tells of all pairs
                at once whatever the symbol, on a connection of its own.
            depth: Levels of each side of a book: 10 (None), 25, 100, 500 or 1000. The deepest that
                anybody has wanted is streamed.
            interval: Minutes of a candle: 1 (None), 5, 15, 30, 60, 240, 1440, 10080 or 21600.

        Returns:
            `stops` as it was then: once that is another number, the reference is gone.

        Raises:
            ValueError: If `symbol` is empty or not text, or Kraken has no such channel.
        """
        if not isinstance(symbol, str) or not symbol:
            raise ValueError(f"{symbol!r} is no symbol")
        wanted = Channel(channel)
        param = checked_param(wanted, depth, interval)
        self._check_fork()
        return self._want_placed(symbol, wanted, param)

    def unsubscribe_symbol(
        self,
        symbol: str,
        channel: str = "ticker",
        *,
        interval: int | None = None,
        of: int | None = None,
    ) -> None:
        """Take a reference away; the last one unsubscribes. From anywhere; unknown is no error.

        `of` is what `subscribe_symbol` has returned. With it nothing is taken from others where all
        references have been given back meanwhile.
        """
        wanted = Channel(channel)
        self._check_fork()
        name, param = Symbol(symbol), checked_param(wanted, None, interval)
        carrier = self.pool.carrier(key_of(wanted, name, param))
        if wanted is Channel.INSTRUMENT:
            carrier, name = self.pool.beside or self, EVERY
        carrier.feed_thread.give_back(partial(carrier._unwant_locked, name, wanted, param, of))

    # -- on this very connection

    def want(self, symbol: str, wanted: Channel, param: int) -> int | None:
        """Add a reference on this very connection. Returns at once.

        Returns:
            How often all was given back before; None, and nothing is done, where another connection
            carries it by now.
        """
        self._check_fork()
        if wanted is not Channel.TICKER and wanted is not Channel.TRADE:
            # Here, on the caller's thread: the feed's finds it loaded when the first data come.
            import krakenlink.stream.market_frames  # noqa: F401 - with books and instruments
        name = EVERY if wanted is Channel.INSTRUMENT else Symbol(symbol)
        with self._lock:
            self.feed_thread.handover.empty_locked()
            if self.home.carrier(key_of(wanted, name, param)) is not self:
                return None
            self._subscriptions.want(name, wanted, param)
            connection, of = self.feed_thread.start_locked(), self.home.first.stops
        wake(connection)
        return of

    def expect(self, symbol: str, wanted: Channel, param: int) -> None:
        """Ask for what another connection still carries. Returns at once.

        Nothing is done where it is not to come here any more: nobody would take it away again.
        """
        self._check_fork()
        name = Symbol(symbol)
        with self._lock:
            self.feed_thread.handover.empty_locked()
            if not self.home.awaits(self, key_of(wanted, name, param)):
                return
            self._subscriptions.expect(name, wanted, param)
            connection = self.feed_thread.start_locked()
        wake(connection)

    def _unwant_locked(
        self, symbol: Symbol, channel: Channel, param: int = 0, of: int | None = None
    ) -> None:
        if of is not None and of != self.home.first.stops:
            return  # it is gone with all that there was
        key = key_of(channel, symbol, param)
        carrier = self.home.carrier(key)
        if key not in self._subscriptions.by_key and carrier is not self:  # it has moved
            work = partial(carrier._unwant_locked, symbol, channel, param, of)
            carrier.feed_thread.give_back(work)
        elif self._subscriptions.unwant(symbol, channel, param):
            self.home.forget(key)
        self._changed.notify_all()
