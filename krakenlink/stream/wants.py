"""What one connection of a provider is asked for, and what it is not asked for any more.

A part of `ws_price_provider`. Which connection that is, and when something moves to another, is
`pool`'s affair; what must never happen here is that two of them are wanted to carry the same.
"""

from __future__ import annotations

from functools import partial

from krakenlink.pairs import Symbol
from krakenlink.stream.events import EVERY, Channel
from krakenlink.stream.handover import wake
from krakenlink.stream.looks import Looks
from krakenlink.stream.states import key_of


class Wants(Looks):
    """The subscriptions of one connection. Safe from any thread; nothing here waits."""

    def want(self, symbol: str, wanted: Channel, param: int) -> bool:
        """Add a reference on this very connection. Returns at once.

        Returns:
            False, and nothing is done, where another connection carries it by now.
        """
        self._check_fork()
        if wanted is not Channel.TICKER and wanted is not Channel.TRADE:
            # Here, on the caller's thread: the feed's finds it loaded when the first data come.
            import krakenlink.stream.market_frames  # noqa: F401 - with books and instruments
        name = EVERY if wanted is Channel.INSTRUMENT else Symbol(symbol)
        with self._lock:
            self.feed_thread.handover.empty_locked()
            if self.home.carrier(key_of(wanted, name, param)) is not self:
                return False
            self._subscriptions.want(name, wanted, param)
            connection = self.feed_thread.start_locked()
        wake(connection)
        return True

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

    def _unwant_locked(self, symbol: Symbol, channel: Channel, param: int = 0) -> None:
        key = key_of(channel, symbol, param)
        carrier = self.home.carrier(key)
        if key not in self._subscriptions.by_key and carrier is not self:  # it has moved
            carrier.feed_thread.give_back(partial(carrier._unwant_locked, symbol, channel, param))
        elif self._subscriptions.unwant(symbol, channel, param):
            self.home.forget(key)
        self._changed.notify_all()
