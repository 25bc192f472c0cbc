"""Several connections for one provider: which carries what, and how a book moves to another.

Prices and trades stay on the first connection: all pairs of Kraken are some thirty frames a second.
Books are a hundred times as many, so they spread where there are more of them, or more frames, than
one connection should carry. A book that moves is subscribed to there and left here only once it is
confirmed there, so it is proven at every moment. Connections are made within the machine's budget,
like all others, and never more than `pool_most`.

What it must never do: show two connections' changes of one book as one, or hold a lock of one feed
while it waits for another's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from krakenlink.stream.events import BookUpdate, BookWrong, Channel, ChannelLive, Event
from krakenlink.stream.reader import RelayedReaders
from krakenlink.stream.settings import FeedSettings, patient
from krakenlink.stream.states import Key

if TYPE_CHECKING:  # a pool belongs to one
    from krakenlink.stream.looks import Looks

_log = logging.getLogger(__name__)

_OF_BOOKS = (BookUpdate, BookWrong, ChannelLive)


class PooledReaders(RelayedReaders):
    """The first connection's readers, as one of the others has them.

    Args:
        pool: Whose connection it is.
        branch: Returns that connection.
    """

    def __init__(self, pool: Pool, branch: Callable[[], Looks]) -> None:
        super().__init__(pool.first.feed_thread.readers)
        self._pool, self._branch = pool, branch

    def publish(self, events: Iterable[Event]) -> None:
        """Tell of what is carried there; a book that is on its way only once it has moved."""
        branch, told = self._branch(), list[Event]()
        for event in events:
            if isinstance(event, _OF_BOOKS):
                told += self._pool.told(branch, event)
            else:
                told.append(event)
        super().publish(told)


class Pool:
    """The connections of one provider, the first of them its own.

    Args:
        first: The provider.
        make: Makes another one for the same address, with these settings.

    Attributes:
        first: The provider.
        beside: What carries the instruments; None before they are wanted.
        branches: The others.
    """

    def __init__(self, first: Looks, make: Callable[[FeedSettings], Looks]) -> None:
        self.first, self._make = first, make
        self.beside: Looks | None = None
        self.branches: list[Looks] = []
        # By subscription, the branch that carries it, or is to. Changed under the first's lock;
        # looked up without.
        self._routes: dict[Key, Looks] = {}
        self._moving: dict[Key, Looks] = {}
        self._arrived: set[Key] = set()  # of those, what is confirmed and still to be left here

    @property
    def others(self) -> tuple[Looks, ...]:
        """All connections but the first."""
        return (*((self.beside,) if self.beside is not None else ()), *self.branches)

    def instruments(self) -> Looks:
        """Return what carries messages that would keep prices waiting for seconds."""
        with self.first.feed_thread.lock:
            if self.beside is None:
                made = self._make(patient(self.first.feed_thread.settings))
                made.proof_lasts = self.first.proof_lasts
                made.feed_thread.readers = RelayedReaders(self.first.feed_thread.readers)
                self.beside = made
            return self.beside

    def carrier(self, key: Key) -> Looks:
        """Return the connection that carries a subscription now."""
        return self._routes.get(key, self.first)

    def place(self, key: Key) -> Looks:
        """Return the connection that is to carry a subscription: its own, or the one with room."""
        if key[0] is not Channel.BOOK:
            return self.instruments() if key[0] is Channel.INSTRUMENT else self.first
        thread, settings = self.first.feed_thread, self.first.feed_thread.settings
        with thread.lock:
            known = thread.feed.subscriptions.by_key
            if key in known or key in self._routes:
                return self._routes.get(key, self.first)
            books = sum(1 for channel, *_ in known if channel is Channel.BOOK)
            if books < settings.pool_symbols and not self._is_busy_locked():
                return self.first
            branch = self._roomy_locked()
            if branch is not self.first:
                self._routes[key] = branch
            return branch

    def _is_busy_locked(self) -> bool:
        thread = self.first.feed_thread
        return thread.feed.rates(thread.clock())[0] > thread.settings.pool_frames

    def _roomy_locked(self) -> Looks:
        """Return the branch that carries least; another one if it carries enough."""
        settings = self.first.feed_thread.settings
        carried = [*self._routes.values(), *self._moving.values()]
        least = min(self.branches, key=carried.count, default=None)
        is_full = least is None or carried.count(least) >= settings.pool_symbols
        if is_full and len(self.branches) < settings.pool_most - 1:
            least = self._make(settings)
            made = least
            made.feed_thread.readers = PooledReaders(self, lambda: made)
            self.branches.append(made)
            _log.info("The price stream spreads over %d connections", 1 + len(self.branches))
        return self.first if least is None else least

    # -- moving

    def balance(self) -> None:
        """Begin to move half of the first connection's books if it is too busy. Waits for nothing.

        Called by its feed's thread now and then, under no lock.
        """
        thread = self.first.feed_thread
        with thread.lock:
            if self._moving or not self._is_busy_locked():
                return
            subs = thread.feed.subscriptions.by_key.items()
            books = [(key, sub) for key, sub in subs if sub.channel is Channel.BOOK]
            for key, _ in books[::2]:
                to = self._roomy_locked()
                if to is not self.first:
                    self._moving[key] = to
            going = [(sub, self._moving[sub.key]) for _, sub in books if sub.key in self._moving]
        for sub, to in going:
            to.want(sub.symbol, Channel.BOOK, sub.param)

    def told(self, branch: Looks, event: BookUpdate | BookWrong | ChannelLive) -> list[Event]:
        """Return what readers hear of a branch's event; a first book there ends its move."""
        key: Key = (Channel.BOOK, event.symbol)
        if self._moving.get(key) is branch:
            if isinstance(event, ChannelLive):
                self._arrived.add(key)
                self.first.feed_thread.give_back(partial(self._moved_locked, key))
                return [event]
            return [event] if key in self._arrived else []
        return [event] if self._routes.get(key) is branch else []

    def _moved_locked(self, key: Key) -> None:
        """Let the branch carry what it has confirmed, and leave it here. Under the first's lock."""
        branch = self._moving.pop(key, None)
        self._arrived.discard(key)
        if branch is None:
            return
        subscriptions = self.first.feed_thread.feed.subscriptions
        sub = subscriptions.by_key.get(key)
        refs, param = (sub.refs, sub.param) if sub is not None else (0, 0)
        if refs:
            self._routes[key] = branch
            for _ in range(refs):
                subscriptions.unwant(key[1], Channel.BOOK)
        branch.feed_thread.give_back(partial(_set_refs, branch, key, refs, param))

    def forget(self, key: Key) -> None:
        """Take note that nobody wants a subscription any more. Takes no lock."""
        self._routes.pop(key, None)

    def stop(self, timeout: float) -> None:
        """End all but the first, at most `timeout` seconds each."""
        others, self.branches = self.others, []
        self._routes.clear()
        self._moving.clear()
        self._arrived.clear()
        for other in others:
            other.stop(timeout)


def _set_refs(branch: Looks, key: Key, refs: int, param: int) -> None:
    """Let a subscription be wanted as often as where it came from. Under the branch's lock."""
    subscriptions = branch.feed_thread.feed.subscriptions
    sub = subscriptions.by_key.get(key)
    if sub is None:
        return
    if refs:
        subscriptions.want(key[1], Channel.BOOK, param)  # somebody may have wanted it deeper since
        sub.refs = refs
    else:
        sub.refs = 1
        subscriptions.unwant(key[1], Channel.BOOK)
