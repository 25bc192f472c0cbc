"""What several connections do when two things happen at once, each race in its one bad order."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, cast

import pytest

from krakenlink.pairs import Symbol
from krakenlink.stream.events import Channel, FeedClosed, Trades
from krakenlink.stream.looks import Looks
from krakenlink.stream.moves import Departure
from krakenlink.stream.pool import _give_up_locked, _Move
from krakenlink.stream.settings import FeedSettings
from krakenlink.stream.states import Subscription, key_of
from ws_price_provider import WebSocketPriceProvider

BTC = Symbol("BTC/USD")
TICKER = Channel.TICKER
KEY = key_of(TICKER, BTC)
LONG = 60.0


@pytest.fixture
def provider() -> WebSocketPriceProvider:
    """Hand out a provider whose threads never begin, with two more connections."""
    settings = FeedSettings(pool_symbols=1, pool_most=4)
    made = WebSocketPriceProvider("ws://127.0.0.1:1", settings=settings)
    made.feed_thread._is_available = False
    make = made.pool._make

    def another(settings: FeedSettings) -> Looks:
        branch = make(settings)
        branch.feed_thread._is_available = False
        return branch

    made.pool._make = another
    for _ in range(2):
        with made.feed_thread.lock:
            made.pool._branch_locked(made.settings)
    return made


def sub_of(carrier: Looks) -> Subscription | None:
    """Return what a connection has of BTC/USD."""
    return carrier.feed_thread.feed.subscriptions.by_key.get(KEY)


def refs(carrier: Looks) -> int:
    """Return how often BTC/USD is wanted on a connection, and had there."""
    sub = sub_of(carrier)
    return -1 if sub is None or sub.is_arriving else sub.refs


def carry(provider: WebSocketPriceProvider, origin: Looks, to: Looks) -> _Move:
    """Let one connection have BTC/USD, and another one expect it."""
    if origin is not provider:
        provider.pool._routes[KEY] = origin
    assert origin.want(BTC, TICKER, 0) is not None
    sub = sub_of(origin)
    assert sub is not None
    move = provider.pool._moves[KEY] = _Move(sub, origin, to)
    to.expect(BTC, TICKER, 0)
    assert refs(to) == -1
    return move


def run(*carriers: Looks) -> None:
    """Let their threads do what they were sent."""
    for carrier in carriers:
        carrier.feed_thread.do_errands()


def test_what_is_wanted_anew_during_its_move_keeps_its_own_way(
    provider: WebSocketPriceProvider,
) -> None:
    """The end of the old move must not make what a third connection carries unknown for ever."""
    old, to = provider.pool.branches
    provider.subscribe_symbol("ETH/USD")  # the first is full, and so is where it moves to
    carry(provider, old, to)
    provider.unsubscribe_symbol(BTC)
    provider.subscribe_symbol(BTC)
    assert refs(old) == 1
    provider.pool._moves[KEY].left = Departure()  # it had left before it was wanted anew
    provider.pool._join(KEY, provider.pool._moves[KEY])
    assert sub_of(to) is None
    assert provider.pool.carrier(KEY) is old
    provider.unsubscribe_symbol(BTC)
    assert sub_of(old) is None


@pytest.mark.parametrize("most", [1, 2])
def test_what_is_wanted_anew_is_not_had_from_where_it_was_on_its_way(
    provider: WebSocketPriceProvider, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """What came there may be older than what was shown before: it is asked for anew elsewhere."""
    roomy = replace(provider.settings, pool_symbols=most)
    monkeypatch.setattr(provider.feed_thread, "settings", roomy)
    to, other = provider.pool.branches
    carry(provider, provider, to)
    provider.pool._routes[key_of(Channel.BOOK, BTC)] = to  # where the symbol's others are
    provider.unsubscribe_symbol(BTC)
    provider.subscribe_symbol(BTC)
    assert (refs(provider), refs(other)) == (1, -1)
    run(provider, to)
    assert sub_of(to) is None
    assert not provider.pool._moves
    assert (refs(provider), provider.pool.carrier(KEY)) == (1, provider)


def test_what_is_wanted_anew_at_its_origin_does_not_go_the_old_way(
    provider: WebSocketPriceProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing has come of it yet, so all that has is had there: of the one that was given back."""
    to = provider.pool.branches[0]
    move = carry(provider, provider, to)
    monkeypatch.setattr(provider.feed_thread.feed, "depart", lambda *_: Departure(refs=1))
    with provider.feed_thread.lock:
        provider.feed_thread.feed.subscriptions.unwant(BTC, TICKER)
        provider.feed_thread.feed.subscriptions.want(BTC, TICKER)
    provider.pool._leave(KEY, move)
    run(to)
    assert (refs(provider), sub_of(to)) == (1, None)
    assert provider.pool.carrier(KEY) is provider
    assert not provider.pool._moves


def test_refusal_that_comes_while_it_leaves_loses_nothing(
    provider: WebSocketPriceProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it has left is known on one thread alone, which calls the move off or does not."""
    to = provider.pool.branches[0]
    carry(provider, provider, to)

    def depart(*_: Any) -> Departure:
        provider.pool.heard(to, KEY, "EGeneral:No")  # the other thread, at that very moment
        return Departure(refs=1)

    monkeypatch.setattr(provider.feed_thread.feed, "depart", depart)
    provider.pool._leave(KEY, provider.pool._moves[KEY])
    run(to, provider, to)
    assert (sub_of(provider), refs(to)) == (None, 1)
    assert provider.pool.carrier(KEY) is to
    assert not provider.pool._moves


def test_what_has_left_joins_between_two_things_that_its_connection_tells(
    provider: WebSocketPriceProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever ends it tells on another thread: the feed's may hold a newer price, untold yet."""
    to = provider.pool.branches[0]
    move = carry(provider, provider, to)
    monkeypatch.setattr(provider.feed_thread.feed, "depart", lambda *_: Departure(refs=1))
    provider.pool._leave(KEY, move)
    to.feed_thread.feed.subscriptions.news.append((KEY, ""))
    to.feed_thread.readers.publish([])  # another thread
    assert refs(to) == -1
    run(to)
    assert refs(to) == 1
    assert not provider.pool._moves


def test_refusal_of_what_stays_calls_the_move_off(provider: WebSocketPriceProvider) -> None:
    """It is expected there no more, and had where it was."""
    to = provider.pool.branches[0]
    carry(provider, provider, to)
    provider.pool.heard(to, KEY, "EGeneral:No")
    run(provider)
    assert (refs(provider), sub_of(to)) == (1, None)
    assert not provider.pool._moves


class ForkedError(Exception):
    """Ends what the forking thread of a child has not done itself."""


@pytest.mark.parametrize("step", ["give_up", "arrive"])
def test_child_of_a_fork_in_the_middle_of_a_step_has_one_of_each(
    provider: WebSocketPriceProvider, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The thread that was at it is the parent's: of two its readers would hear all twice."""
    to = provider.pool.branches[0]
    carriers = cast("list[WebSocketPriceProvider]", [provider, *provider.pool.branches])
    move = carry(provider, provider, to)
    monkeypatch.setattr(provider.feed_thread.feed, "depart", lambda *_: Departure(refs=1))

    def fork(*_: Any) -> None:
        for one in carriers:
            one._after_fork()
        raise ForkedError

    feed = to.feed_thread.feed if step == "arrive" else provider.feed_thread.feed.subscriptions
    monkeypatch.setattr(feed, step, fork)
    provider.feed_thread.send(partial(provider.pool._leave, KEY, move))
    with pytest.raises(ForkedError):
        run(provider, to)
    provider.pool.balance(to)
    assert (sub_of(provider), refs(to)) == (None, 1)
    assert provider.pool.carrier(KEY) is to
    assert not provider.pool._moves


def test_refusals_are_known_for_as_long_as_they_count(provider: WebSocketPriceProvider) -> None:
    """And no longer, whatever becomes of their subscriptions: a provider may run for months."""
    to, seconds = provider.pool.branches[0], 0.0
    to.feed_thread.clock = lambda: seconds
    others = [key_of(TICKER, Symbol(name)) for name in ("ETH/USD", "XRP/USD")]
    for key in others:
        move = _Move(Subscription(key[1], TICKER, batch_size=1), provider, to)
        provider.pool._moves[key] = move
        provider.pool._call_off(key, move, "EGeneral:No")
    assert list(provider.pool._refused) == others
    seconds += max(1.0, provider.settings.mute_retry_every)
    provider.pool._call_off(KEY, carry(provider, provider, to), "EGeneral:No")
    assert list(provider.pool._refused) == [KEY]


def test_refusal_of_what_is_wanted_there_by_now_leaves_it_there(
    provider: WebSocketPriceProvider,
) -> None:
    """Its origin has it no more: given up there as well, nobody would ever ask for it again."""
    old, to = provider.pool.branches
    move = carry(provider, old, to)
    with old.feed_thread.lock:
        old.feed_thread.feed.subscriptions.unwant(BTC, TICKER)
    provider.pool._routes[KEY] = to
    assert to.want(BTC, TICKER, 0) is not None
    provider.pool._call_off(KEY, move, "EGeneral:No")
    run(old, to)
    assert refs(to) == 1
    assert provider.pool.carrier(KEY) is to


def test_what_is_wanted_there_before_it_is_given_up_stays(
    provider: WebSocketPriceProvider,
) -> None:
    """The end of a move waits for the lock, and somebody may have held it who wants it."""
    old, to = provider.pool.branches
    carry(provider, old, to)
    provider.pool._routes[KEY] = to
    assert to.want(BTC, TICKER, 0) is not None
    with to.feed_thread.lock:
        _give_up_locked(to, KEY)
    assert refs(to) == 1


def test_nothing_begins_to_move_while_all_ends(
    provider: WebSocketPriceProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would make a connection that nobody ever ends."""
    provider.subscribe_symbol(BTC)
    sub = sub_of(provider)
    assert sub is not None
    branch = provider.pool.branches[0]

    def see_off(*_: object) -> None:
        provider.pool._begin(sub, provider)  # the first's thread, which still lives

    monkeypatch.setattr(branch.feed_thread, "see_off", see_off)
    provider.stop()
    provider.pool._begin(sub, provider)  # and goes on with what it has found before
    assert not provider.pool.branches
    assert not provider.pool._moves
    provider.subscribe_symbol(BTC)
    again = sub_of(provider)
    assert again is not None
    provider.pool._begin(again, provider)
    assert provider.pool._moves[KEY].to in provider.pool.branches


def test_what_is_begun_while_all_ends_ends_with_it(
    provider: WebSocketPriceProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a connection that is made meanwhile nobody would know that it is to be ended."""
    old = provider.pool.branches
    made: list[Looks] = []

    def see_off(*_: object) -> None:
        for symbol in ("ETH/USD", BTC):  # the first has room for one
            provider.subscribe_symbol(symbol)
        made.extend(provider.pool.branches)

    monkeypatch.setattr(old[0].feed_thread, "see_off", see_off)
    provider.stop()
    (late,) = made
    assert late not in old
    assert not provider.pool.branches
    assert (sub_of(late), sub_of(provider)) == (None, None)
    assert provider.pool.carrier(KEY) is provider
    assert late.want(BTC, TICKER, 0) is None


def test_end_below_what_is_placed_comes_after_it(
    provider: WebSocketPriceProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Placed on a connection that is none any more, something would be streamed for ever."""
    old = provider.pool.branches
    roomy = provider.pool._roomy_locked

    def interrupted(*args: Any) -> Looks:
        found = roomy(*args)
        monkeypatch.setattr(provider.pool, "_roomy_locked", roomy)
        provider.stop()  # as a signal handler may, in the middle of it
        return found

    monkeypatch.setattr(provider.pool, "_roomy_locked", interrupted)
    provider.subscribe_symbol("ETH/USD")
    provider.subscribe_symbol(BTC)
    provider.health()  # whoever comes by
    assert provider.stops == 1
    for branch in old:
        assert branch not in provider.pool.branches
        assert not branch.feed_thread.feed.subscriptions.by_key
        assert branch.feed_thread.is_dead


def test_nothing_is_placed_where_something_moved_while_all_ended(
    provider: WebSocketPriceProvider,
) -> None:
    """A thread that is ending may say so of a connection that is none any more."""
    branch = provider.pool.branches[0]
    provider.stop()
    provider.pool._routes[KEY] = branch
    provider.subscribe_symbol(BTC)
    assert (refs(provider), sub_of(branch)) == (1, None)
    provider.pool._routes[KEY] = branch
    provider.subscribe_symbol(BTC)
    assert (refs(provider), sub_of(branch)) == (2, None)


def test_all_connections_are_told_to_end_before_any_is_waited_for(
    provider: WebSocketPriceProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that hangs takes its time with the others, and not before them."""
    steps: list[str] = []
    moments: set[float] = set()
    for branch in provider.pool.branches:
        thread = branch.feed_thread
        dismiss, see_off = thread.dismiss, thread.see_off

        def dismissed(dismiss: Any = dismiss) -> Any:
            steps.append("dismissed")
            return dismiss()

        def seen_off(ended: Any, ends_at: float, see_off: Any = see_off) -> None:
            steps.append("seen off")
            moments.add(ends_at)
            see_off(ended, ends_at)

        monkeypatch.setattr(thread, "dismiss", dismissed)
        monkeypatch.setattr(thread, "see_off", seen_off)
    provider.stop()
    assert steps == ["dismissed"] * 2 + ["seen off"] * 2
    assert len(moments) == 1


def test_what_moves_does_not_begin_to_move_elsewhere(provider: WebSocketPriceProvider) -> None:
    """The connection that expects it would expect it for ever."""
    old, to = provider.pool.branches
    move = carry(provider, old, to)
    sub = sub_of(old)
    assert sub is not None
    provider.pool._begin(sub, old)
    assert provider.pool._moves[KEY] is move


def test_thread_of_another_connection_that_died_is_started_anew(
    provider: WebSocketPriceProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the first's: who only listens calls nothing that would start it, nor would things move."""
    revived: list[Looks] = []
    for other in provider.pool.branches:
        revive = lambda other=other: revived.append(other)  # noqa: E731 - one of its own each
        monkeypatch.setattr(other.feed_thread, "revive", revive)
    provider.pool.balance(provider.pool.branches[0])
    assert not revived
    provider.pool.balance(provider)
    assert revived == provider.pool.branches


def test_what_is_wanted_anew_while_a_pool_ends_is_told_by_one_connection(
    provider: WebSocketPriceProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connections end one after another, which takes seconds, and the last may still speak."""
    first, last = provider.pool.branches
    reader = provider.open_feed()
    told: list[object] = []

    def ends_slowly(*_: object) -> None:
        key = key_of(Channel.TRADE, BTC)
        told.append(provider.pool.place(key))  # somebody subscribes meanwhile
        last.feed_thread.readers.publish([Trades(BTC, (), 1.0)])

    monkeypatch.setattr(first.feed_thread, "see_off", ends_slowly)
    last.feed_thread.readers.publish([Trades(BTC, (), 0.0)])
    provider.stop()
    assert told == [provider]
    heard = [reader.get(LONG), reader.get(LONG)]
    assert [type(event) for event in heard] == [Trades, FeedClosed]
    assert reader.get(0) is None
