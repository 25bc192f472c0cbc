"""Several connections for one provider: which carries what, and how it moves to another.

Prices, trades, candles and books spread alike where there are more of them, or more frames, than
one connection should carry. What moves is subscribed to there, and left here only once all that is
had of it here is had there: it is proven at every moment, and told from one side alone. Connections
are made within the machine's budget, like all others, and never more than `pool_most`.

A move has three steps, each on the thread of the feed that it is about, which tells nothing else
meanwhile. What is expected there makes no event, but news for `Pool.heard`; then the feed that has
it lets it go (`_leave`), after all that it had to tell of it; then the other one tells what is
newer, and has it (`_join`). What may be left when, and what is told, is `moves`'s to say.

What it must never do: let readers hear of one subscription from two connections, or hold a lock of
one feed while it waits for another's.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

from krakenlink.stream.events import Channel, Event
from krakenlink.stream.handover import Companion, FeedLife, Run, patience_until, taken
from krakenlink.stream.moves import Departure
from krakenlink.stream.reader import Readers, RelayedReaders
from krakenlink.stream.settings import FeedSettings, patient
from krakenlink.stream.states import FeedState, Key, Subscription

if TYPE_CHECKING:  # a pool belongs to one
    from krakenlink.stream.looks import Looks
    from krakenlink.stream.runner import FeedThread

_log = logging.getLogger(__name__)

# Known to be down: nothing that is placed there would come soon.
_DOWN = frozenset({FeedState.WAITING, FeedState.RECONNECTING})
_CHANNELS = (Channel.TICKER, Channel.TRADE, Channel.BOOK)


class PooledReaders(RelayedReaders):
    """The first connection's readers, as one of the others has them.

    Args:
        pool: Whose connection it is.
        branch: Returns that connection.
    """

    def __init__(self, pool: Pool, branch: Callable[[], Looks]) -> None:
        super().__init__(pool.first.feed_thread.readers)
        self._pool, self._branch = pool, branch

    def publish(self, events: Sequence[Event]) -> None:
        """Tell of what is carried there, and the pool of what is on its way."""
        branch = self._branch()
        for told in taken(branch.feed_thread.feed.subscriptions.news):
            self._pool.heard(branch, *told)
        super().publish(events)

    def cut(self) -> None:
        """Tell nobody anything any more."""
        self._others = Readers()


@dataclass(slots=True, eq=False)
class _Move:
    """A subscription on its way from one connection to another; `left` once it has left."""

    sub: Subscription
    origin: Looks
    to: Looks
    left: Departure | None = None
    is_asked: bool = False  # whether it may leave


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
        # By subscription, the branch that carries it, or is to; what is in neither is the first's.
        # Single steps on these need no lock, and may be done anywhere.
        self._routes: dict[Key, Looks] = {}
        self._moves: dict[Key, _Move] = {}
        self._companion_of: Callable[[FeedThread], Companion] | None = None
        self._refused: dict[Key, float] = {}  # until when what may not move is left in peace

    @property
    def others(self) -> tuple[Looks, ...]:
        """All connections but the first."""
        return (*((self.beside,) if self.beside is not None else ()), *self.branches)

    def named(self) -> Iterator[tuple[str, Looks]]:
        """Yield the same, each with the name by which people tell them apart."""
        for number, branch in enumerate(self.branches, 2):
            yield str(number), branch
        if self.beside is not None:
            yield "pairs", self.beside

    def instruments(self) -> Looks:
        """Return what carries messages that would keep prices waiting for seconds."""
        with self.first.feed_thread.lock:
            if self.beside is None:
                made = self._make(patient(self.first.feed_thread.settings))
                made.proof_lasts = self.first.proof_lasts
                made.feed_thread.readers = RelayedReaders(self.first.feed_thread.readers)
                self.beside = made
            return self.beside

    # -- placing

    def carrier(self, key: Key) -> Looks:
        """Return the connection that carries a subscription now. Takes no lock."""
        if key[0] is Channel.INSTRUMENT:
            return self.beside or self.first
        return self._routes.get(key, self.first)

    def place(self, key: Key) -> Looks:
        """Return the connection that is to carry a subscription: its own, or the one with room."""
        if key[0] is Channel.INSTRUMENT:
            return self.instruments()
        with self.first.feed_thread.lock:
            return self.place_locked(key)

    def place_locked(self, key: Key) -> Looks:
        """Return the same for anything but the instruments; under the first's lock."""
        feed, channel = self.first.feed_thread.feed, key[0]
        settings = feed.settings
        if self._routes.get(key) not in self.branches:  # it moved there while all ended
            self._routes.pop(key, None)
        if key in feed.subscriptions.by_key or key in self._routes:
            return self.carrier(key)
        to = self._beside_others(key)
        if to is None:
            is_full = feed.subscriptions.counts[channel] >= settings.pool_symbols
            is_full = is_full or self._is_busy_locked()
            to = self._roomy_locked(channel, self._expecting(key)) if is_full else self.first
        if to is not self.first:
            self._routes[key] = to
        return to

    def _beside_others(self, key: Key) -> Looks | None:
        """Return the branch that has, or is to have, other channels of a symbol, if it has room."""
        most = self.first.feed_thread.settings.pool_symbols
        for channel in _CHANNELS:
            move = self._moves.get((channel, key[1]))
            branch = self._routes.get((channel, key[1])) if move is None else move.to
            if branch is None or _is_down(branch) or branch is self._expecting(key):
                continue
            if _count(branch, key[0]) < most:
                return branch
        return None

    def _expecting(self, key: Key) -> Looks | None:
        """Return the branch to which something is still on its way that nobody wants any more.

        What it has of it may be older than what was had of it elsewhere: wanted anew, it is asked
        for anew, and that is another connection's to do.
        """
        move = self._moves.get(key)
        return None if move is None else move.to

    def _is_busy_locked(self) -> bool:
        thread = self.first.feed_thread
        return thread.feed.rates(thread.clock())[0] > thread.settings.pool_frames

    def _roomy_locked(self, channel: Channel, but: Looks | None = None) -> Looks:
        """Return the branch that carries least; another one if it carries enough.

        The first where that is known to be down: it carries what is too much all the same.
        """
        settings = self.first.feed_thread.settings
        branches = [branch for branch in self.branches if branch is not but]

        def load(branch: Looks) -> tuple[bool, int]:
            most = branch.feed_thread.settings.pool_frames
            return branch.pace > most, _count(branch, channel)

        least = min(branches, key=load, default=None)
        is_full = least is None or load(least) >= (False, settings.pool_symbols)
        if is_full and len(self.branches) < settings.pool_most - 1:
            return self._branch_locked(settings)
        if least is None or (_is_down(least) and not _is_down(self.first)):
            return self.first
        return least

    def _branch_locked(self, settings: FeedSettings) -> Looks:
        made = self._make(settings)
        thread = made.feed_thread
        thread.readers = PooledReaders(self, lambda: made)
        thread.on_look = partial(self.balance, made)
        thread.feed.is_part = self.first.feed_thread.feed.is_part = True
        thread.feed.link.learn_from(self.first.feed_thread.feed.link)
        if self._companion_of is not None:
            thread.accompany(self._companion_of(thread))
        self.branches.append(made)
        said, count = "The price stream spreads over %d connections", 1 + len(self.branches)
        # By its thread, under no lock: whoever writes the log may take its time.
        self.first.feed_thread.send(partial(_log.info, said, count))
        return made

    def accompany(self, companion_of: Callable[[FeedThread], Companion]) -> bool:
        """Let each connection have a companion, those to come as well. False: they have."""
        thread = self.first.feed_thread
        if not thread.accompany(companion_of(thread)):
            return False
        with thread.lock:
            self._companion_of = companion_of
            others = [branch.feed_thread for branch in self.branches]
        for other in others:
            other.accompany(companion_of(other))
        return True

    def forget(self, key: Key) -> None:
        """Take note that nobody wants a subscription any more. Takes no lock."""
        self._routes.pop(key, None)
        move = self._moves.get(key)
        if move is not None:
            move.origin.feed_thread.send(partial(self._leave, key, move))

    # -- moving

    def balance(self, carrier: Looks) -> None:
        """Go on with what moves, and begin to move what a connection has too much of.

        Called by its feed's thread now and then, under no lock. Waits for nothing.
        """
        thread = carrier.feed_thread
        with thread.lock:
            carrier.pace = thread.feed.rates(thread.clock())[0]
        if carrier is self.first:  # who only listens would wait for ever for a thread that died
            for other in self.others:
                other.feed_thread.revive()
        is_moving = False
        for key, move in list(self._moves.items()):
            if move.origin is carrier and move.left is None:
                is_moving = True
                self._leave(key, move)
            elif move.to is carrier and move.left is not None:
                self._join(key, move)
        if is_moving or thread.settings.pool_most == 1:
            return
        with thread.lock:
            subs = thread.feed.subscriptions.by_key.values()
            going = _too_much([x for x in subs if self._is_movable(x)], carrier.pace, thread)
        for sub in going:
            self._begin(sub, carrier)

    def _is_movable(self, sub: Subscription) -> bool:
        if sub.is_arriving or sub.distrusted or sub.channel is Channel.INSTRUMENT:
            return False
        return self._refused.get(sub.key, 0.0) <= self.first.feed_thread.clock()

    def _begin(self, sub: Subscription, origin: Looks) -> None:
        """Let another connection expect a subscription, if there is one with less to do."""
        with self.first.feed_thread.lock:
            had = origin.feed_thread.feed.subscriptions.by_key
            if sub.key in self._moves or had.get(sub.key) is not sub:
                return
            to = self._beside_others(sub.key)
            if to is None or to is origin:
                to = self._roomy_locked(sub.channel, origin)
            if to is self.first or _is_down(to) or to.pace > origin.pace / 2:
                return
            self._moves[sub.key] = _Move(sub, origin, to)
        to.expect(sub.symbol, sub.channel, sub.param)

    def awaits(self, branch: Looks, key: Key) -> bool:
        """Tell whether a subscription is on its way to a branch. Takes no lock."""
        move = self._moves.get(key)
        return move is not None and move.to is branch

    def heard(self, branch: Looks, key: Key, refusal: str) -> None:
        """Take note of news of what is on its way to a branch. Under no lock.

        Mostly on its thread, but whoever ends a connection tells the rest of it: what has left
        joins by an errand, and never here.
        """
        move = self._moves.get(key)
        if move is None or move.to is not branch or move.left is not None:
            return
        if refusal:
            move.origin.feed_thread.send(partial(self._call_off, key, move, refusal))
        elif not move.is_asked:
            move.is_asked = True
            move.origin.feed_thread.send(partial(self._leave, key, move))

    def _call_off(self, key: Key, move: _Move, refusal: str) -> None:
        """Let a subscription stay where it is: the other connection does not get it.

        On the thread of its origin, as only there it is known whether it has left.
        """
        if self._moves.get(key) is not move or move.left is not None:
            return
        thread = move.to.feed_thread
        now = thread.clock()
        for old, until in list(self._refused.items()):
            if until <= now:  # else it would be kept until the end, wanted or not
                self._refused.pop(old, None)
        self._refused[key] = now + max(1.0, thread.settings.mute_retry_every)
        self._moves.pop(key, None)
        thread.give_back(partial(_give_up_locked, move.to, key))
        _log.info("%s (%s) stays on its connection: %s", key[1], key[0].value, refusal)

    def _leave(self, key: Key, move: _Move) -> None:
        """Let a subscription go that the other connection has. On the thread of its origin."""
        # What was sent for an earlier move is done on the thread of another origin.
        if self._moves.get(key) is not move or move.left is not None:
            return
        move.is_asked = False
        there_thread, thread = move.to.feed_thread, move.origin.feed_thread
        with there_thread.lock:
            there = there_thread.feed.seen(key, there_thread.clock())
        with thread.lock:
            now, subscriptions = thread.clock(), thread.feed.subscriptions
            sub = subscriptions.by_key.get(key)
            if sub is not move.sub:
                sub = None  # given back; what is wanted anew has a way of its own
            left = Departure(at=now) if sub is None else thread.feed.depart(key, there, now)
            if left is not None:
                move.left = left
                if sub is not None:
                    self._routes[key] = move.to  # first: readers of prices take no lock
                    subscriptions.give_up(sub)
                thread.changed.notify_all()
        if left is not None:
            there_thread.send(partial(self._join, key, move))
        elif sub is not None and there.is_proven and sub.param > there.param:
            move.to.expect(sub.symbol, sub.channel, sub.param)

    def _join(self, key: Key, move: _Move) -> None:
        """Let the other connection have what has left. On its thread, under no lock."""
        if move.left is None or self._moves.get(key) is not move:
            return
        thread = move.to.feed_thread
        with thread.lock:
            events = thread.feed.arrive(key, move.left, thread.clock())
            self._moves.pop(key, None)  # last: the child of a fork in between joins it itself
            # Given back and wanted anew meanwhile, it may be a third one's by now.
            if key not in thread.feed.subscriptions.by_key and self._routes.get(key) is move.to:
                self._routes.pop(key, None)
            thread.changed.notify_all()
        thread.readers.publish(events)

    def take_after_fork(self, carrier: Looks) -> None:
        """Do to its end what a fork has cut off: what has left is had by no connection but one.

        In the child, before a connection begins anew with what it had.
        """
        had = carrier.feed_thread.feed.subscriptions.by_key
        for key, move in list(self._moves.items()):
            if move.origin is carrier and move.left is not None and had.get(key) is move.sub:
                self._routes[key] = move.to
                had.pop(key, None)

    # -- the end

    def stop(self, ends_at: float) -> None:
        """End all but the first, and wait for them up to a moment of `time.monotonic`."""
        ended: list[tuple[FeedThread, list[Run | None]]] = []

        def work() -> None:
            if self.beside is not None:
                ended.append((self.beside.feed_thread, self.beside.feed_thread.dismiss()))
            ended.extend(self.end_locked())

        self.first.feed_thread.give_back(work, patience_until(ends_at))
        for thread, runs in ended:
            thread.see_off(runs, ends_at)

    def end_locked(self) -> list[tuple[FeedThread, list[Run | None]]]:
        """Dismiss all branches, which are none any more and tell nobody anything.

        Done twice, under the first's lock: before its end, as that is the last that is told, and
        with it, for those that were made meanwhile.

        Returns:
            Their threads with what is left to do about them; see `FeedLife.dismiss`.
        """
        ended, self.branches = self.branches, []
        for branch in ended:  # what is wanted anew while they end is told by another already
            cast("PooledReaders", branch.feed_thread.readers).cut()
        for memory in (self._routes, self._moves, self._refused):
            memory.clear()
        self.first.feed_thread.feed.is_part = False
        return [(branch.feed_thread, branch.feed_thread.dismiss()) for branch in ended]


def _too_much(subs: list[Subscription], pace: float, thread: FeedLife) -> list[Subscription]:
    """Return what a connection should carry no more: half of the symbols, or what is too many."""
    settings = thread.settings
    if pace > settings.pool_frames:
        symbols = list(dict.fromkeys(sub.symbol for sub in subs))
        moving = set(symbols[::2])
        return [sub for sub in subs if sub.symbol in moving]
    counts: Counter[Channel] = Counter()
    found = []
    for sub in subs:
        counts[sub.channel] += 1
        if counts[sub.channel] > settings.pool_symbols:
            found.append(sub)
    return found


def _is_down(carrier: Looks) -> bool:
    return carrier.feed_thread.feed.link.state in _DOWN


def _count(carrier: Looks, channel: Channel) -> int:
    return carrier.feed_thread.feed.subscriptions.counts[channel]


def _give_up_locked(branch: Looks, key: Key) -> None:
    """Expect a subscription no more. Under the branch's lock."""
    subscriptions = branch.feed_thread.feed.subscriptions
    sub = subscriptions.arriving.get(key)
    if sub is not None and not subscriptions.join(sub, 0):  # wanted there, it stays
        subscriptions.give_up(sub)
