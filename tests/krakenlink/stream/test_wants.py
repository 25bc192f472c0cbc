"""What one of several connections is asked for: each subscription is wanted at one place."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from krakenlink.pairs import Symbol
from krakenlink.stream.events import Channel
from krakenlink.stream.looks import Looks
from krakenlink.stream.pool import _Move
from krakenlink.stream.settings import FeedSettings
from krakenlink.stream.states import Subscription, key_of
from ws_price_provider import WebSocketPriceProvider

BTC = Symbol("BTC/USD")
TICKER = Channel.TICKER
KEY = key_of(TICKER, BTC)


@pytest.fixture
def provider() -> WebSocketPriceProvider:
    """Hand out a provider whose threads never begin."""
    made = WebSocketPriceProvider("ws://127.0.0.1:1", settings=FeedSettings(pool_symbols=1))
    made.feed_thread._is_available = False
    return made


def branch_of(provider: WebSocketPriceProvider) -> Looks:
    """Return a second connection of it."""
    with provider.feed_thread.lock:
        branch = provider.pool._branch_locked(provider.settings)
    branch.feed_thread._is_available = False
    return branch


def refs(carrier: Looks) -> int:
    """Return how often BTC/USD is wanted on a connection."""
    sub = carrier.feed_thread.feed.subscriptions.by_key.get(KEY)
    return 0 if sub is None else sub.refs


PAIR = "XXBTZUSD"


def meanwhile(
    branch: Looks, when: str, what: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let something be done once, before or after the next reference on a connection."""
    want = branch.want

    def wanted(symbol: str, channel: Channel, param: int) -> int | None:
        monkeypatch.setattr(branch, "want", want)
        if when == "before":
            what()
        of = branch.want(symbol, channel, param)
        if when == "after":
            what()
        return of

    monkeypatch.setattr(branch, "want", wanted)


@pytest.fixture
def crowded(provider: WebSocketPriceProvider) -> tuple[WebSocketPriceProvider, Looks]:
    """Hand out a provider whose next symbol goes to a second connection, and that one."""
    branch = branch_of(provider)
    provider.subscribe_symbol("ETH/USD")
    return provider, branch


Crowded = tuple[WebSocketPriceProvider, Looks]


@pytest.mark.parametrize("others", [0, 1])
@pytest.mark.parametrize("when", ["before", "after"])
def test_pair_that_is_given_back_while_it_is_asked_for_is_not_wanted_for_ever(
    crowded: Crowded, when: str, others: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever comes first: noted or not, its reference is there just as long."""
    provider, branch = crowded
    for _ in range(others):
        provider.subscribe_symbol(BTC)
    meanwhile(branch, when, lambda: provider.unsubscribe(PAIR), monkeypatch)
    assert provider.subscribe(PAIR)
    assert refs(branch) == others + (PAIR in provider.subscribed_pairs)
    provider.unsubscribe(PAIR)
    assert refs(branch) == others


@pytest.mark.parametrize("when", ["before", "after"])
def test_pair_that_two_ask_for_at_once_has_one_reference(
    crowded: Crowded, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is given back with one call."""
    provider, branch = crowded
    meanwhile(branch, when, lambda: provider.subscribe(PAIR), monkeypatch)
    assert provider.subscribe(PAIR)
    assert (refs(branch), [*provider.subscribed_pairs]) == (1, [PAIR])
    provider.unsubscribe(PAIR)
    assert (refs(branch), [*provider.subscribed_pairs]) == (0, [])


@pytest.mark.parametrize("when", ["before", "after"])
def test_pair_that_is_asked_for_while_all_is_stopped_has_its_reference(
    crowded: Crowded, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Noted without one, it would never have a price again."""
    provider, branch = crowded
    meanwhile(branch, when, provider.stop, monkeypatch)
    assert provider.subscribe(PAIR)
    assert (refs(provider), refs(branch)) == (1, 0)
    assert provider.subscribed_pairs == {PAIR}
    provider.unsubscribe(PAIR)
    assert refs(provider) == 0


def test_nothing_is_wanted_where_another_carries_it(provider: WebSocketPriceProvider) -> None:
    """Whoever asked there asks again where it is."""
    branch = branch_of(provider)
    provider.pool._routes[KEY] = branch
    assert provider.want(BTC, TICKER, 0) is None
    assert branch.want(BTC, TICKER, 0) == 0
    assert (refs(provider), refs(branch)) == (0, 1)
    provider.subscribe_symbol(BTC)
    assert (refs(provider), refs(branch)) == (0, 2)


def test_what_was_given_back_while_it_moved_is_given_back_where_it_is(
    provider: WebSocketPriceProvider,
) -> None:
    """A finalizer cannot know; the connection that has it no more hands it on."""
    branch = branch_of(provider)
    assert branch.feed_thread is not provider.feed_thread
    provider.pool._routes[KEY] = branch
    branch.want(BTC, TICKER, 0)
    branch.want(BTC, TICKER, 0)
    with provider.feed_thread.lock:
        provider._unwant_locked(BTC, TICKER)
    assert refs(branch) == 1
    with provider.feed_thread.lock:
        provider._unwant_locked(BTC, TICKER)
    assert refs(branch) == 0
    assert provider.pool.carrier(KEY) is provider


def test_what_is_expected_is_wanted_by_nobody(provider: WebSocketPriceProvider) -> None:
    """Nor is it shown."""
    branch = branch_of(provider)
    provider.pool._moves[KEY] = _Move(Subscription(BTC, TICKER, 1), provider, branch)
    branch.expect(BTC, TICKER, 0)
    assert refs(branch) == 0
    assert KEY in branch.feed_thread.feed.subscriptions.arriving


def test_what_is_not_to_come_any_more_is_not_asked_for(provider: WebSocketPriceProvider) -> None:
    """A move that was called off, or ended by a stop, has nobody who would end it once more."""
    branch = branch_of(provider)
    branch.expect(BTC, TICKER, 0)
    provider.pool._moves[KEY] = _Move(Subscription(BTC, TICKER, 1), branch, provider)
    branch.expect(BTC, TICKER, 0)
    assert not branch.feed_thread.feed.subscriptions.by_key


def test_pair_is_subscribed_to_where_there_is_room(provider: WebSocketPriceProvider) -> None:
    """And given back there, under any of its spellings."""
    branch = branch_of(provider)
    provider.subscribe("ETH/USD")
    provider.subscribe("BTC/USD")
    provider.subscribe("XBT/USD")
    assert provider.subscribed_pairs == {"ETH/USD", "BTC/USD", "XBT/USD"}
    assert (refs(provider), refs(branch)) == (0, 2)
    assert provider.get_current_price("BTC/USD") is None
    provider.unsubscribe("BTC/USD")
    provider.unsubscribe("BTC/USD")
    assert refs(branch) == 1
    provider.unsubscribe("XBT/USD")
    assert refs(branch) == 0
    assert provider.subscribed_pairs == {"ETH/USD"}


def test_reader_of_a_price_that_nobody_carries_is_none(provider: WebSocketPriceProvider) -> None:
    """As of one that was never subscribed to."""
    with pytest.raises(KeyError):
        provider.price_reader(BTC)


def test_reference_of_an_earlier_life_takes_nobody_else_s_away(
    provider: WebSocketPriceProvider,
) -> None:
    """A stop has given it back; what is there now belongs to another."""
    first = provider.subscribe_symbol(BTC)
    provider.stop(0.0)
    second = provider.subscribe_symbol(BTC)
    provider.unsubscribe_symbol(BTC, of=first)
    assert refs(provider) == 1
    provider.unsubscribe_symbol(BTC, of=second)
    assert refs(provider) == 0
