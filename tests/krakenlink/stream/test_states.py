"""Both tables, each state with each signal."""

from __future__ import annotations

from decimal import Decimal

import pytest

from krakenlink.stream.events import (
    Channel,
    Tick,
)
from krakenlink.stream.states import (
    SUB_TRANSITIONS,
    TRANSITIONS,
    FeedSignal,
    FeedState,
    StateError,
    Subscription,
    SubSignal,
    SubState,
    key_of,
    next_state,
)
from tests.kits.stream.feed_kit import (
    BTC,
    TICKER,
)


@pytest.mark.parametrize("signal", SubSignal)
@pytest.mark.parametrize("state", SubState)
def test_subscription_goes_where_the_table_says_or_stays(
    state: SubState, signal: SubSignal
) -> None:
    """Each state with each signal leads on as written, and only a live one keeps its price."""
    sub = Subscription(BTC, TICKER, 100, state=state)
    sub.prove(Tick(BTC, Decimal(1), None, None, 1.0))
    sub.content = "a book"
    if (state, signal) in SUB_TRANSITIONS:
        sub.step(signal)
        assert sub.state is SUB_TRANSITIONS[state, signal]
        assert (sub.proven is not None) == (sub.state is SubState.LIVE)
        assert (sub.price is not None) == (sub.state is SubState.LIVE)
        assert (sub.content is not None) == (sub.state is SubState.LIVE)
    else:
        with pytest.raises(StateError, match=signal.name):
            sub.step(signal)
        assert sub.state is state


def test_every_link_state_can_be_stopped_and_every_open_one_lost() -> None:
    """Nothing keeps the feed from ending, and no live state survives a lost link."""
    assert all((state, FeedSignal.STOP) in TRANSITIONS for state in FeedState)
    for state in (FeedState.LIVE, FeedState.SUSPECT):
        assert next_state(TRANSITIONS, state, FeedSignal.LOST) is FeedState.WAITING
    assert all((state, SubSignal.LOST) in SUB_TRANSITIONS for state in SubState)


@pytest.mark.parametrize("is_distrusted", [False, True])
@pytest.mark.parametrize("state", SubState)
def test_first_price_is_waited_for_only_where_one_may_come(
    state: SubState, is_distrusted: bool
) -> None:
    """Not what has come, was refused or stayed silent; nor what the stream lies about."""
    sub = Subscription(BTC, TICKER, 100, state=state, distrusted=is_distrusted)
    may_come = state in (SubState.WANTED, SubState.ASKED, SubState.ACKED)
    assert sub.is_hopeful is (may_come and not is_distrusted)


def test_tick_of_a_distrusted_symbol_is_shown_and_does_not_count() -> None:
    """People may look at it; whoever asks for a price gets none."""
    first, second = (Tick(BTC, Decimal(n), None, None, float(n)) for n in (1, 2))
    sub = Subscription(BTC, TICKER, 100, state=SubState.LIVE)
    sub.prove(first)
    assert (sub.latest, sub.proven, sub.price) == (first, first, 1.0)
    sub.distrusted = True
    sub.unprove()
    sub.prove(second)
    assert (sub.latest, sub.proven, sub.price) == (second, None, None)
    sub.distrusted = False
    sub.prove(second)
    assert (sub.proven, sub.price) == (second, 2.0)


def test_subscriptions_of_candles_are_told_apart_by_their_interval_and_others_not() -> None:
    """A book has one depth at a time; candles of several intervals stand side by side."""
    made = Subscription(BTC, Channel.OHLC, 100)
    assert made.key == key_of(Channel.OHLC, BTC) == (Channel.OHLC, BTC, 0)
    assert key_of(Channel.OHLC, BTC, 5) != key_of(Channel.OHLC, BTC, 15)
    assert key_of(Channel.BOOK, BTC, 10) == key_of(Channel.BOOK, BTC, 25) == (Channel.BOOK, BTC)
