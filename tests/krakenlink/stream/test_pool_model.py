"""The pool beside the truth: whatever moves when, no trade is lost, no price goes back."""

from __future__ import annotations

from random import Random

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.kits.common.examples import many
from tests.kits.stream.pool_kit import BTC, KEYS, Exchange

SEEDS = st.integers(0, 2**32)
often = settings(max_examples=many(100))


def begun(seed: int, *, is_stamped: bool = True) -> Exchange:
    """Return an exchange with trades, on whose first connection all channels are live."""
    exchange = Exchange(Random(seed), is_stamped=is_stamped)
    for _ in range(3):
        exchange.trade()
    for channel in KEYS:
        exchange.provider.subscribe_symbol(BTC, channel)
    exchange.ask(exchange.wires[0])
    exchange.take_in(exchange.wires[0], 100)
    exchange.trade()
    exchange.look()
    exchange.shown.clear()
    return exchange


@example(seed=4865)  # moved on while an earlier move still asked the first to let it go
@given(SEEDS)
@often
def test_nothing_is_lost_or_told_twice_whatever_moves(seed: int) -> None:
    """Without a fault between there is no moment without a price, and no trade is missed."""
    exchange = begun(seed)
    for _ in range(150):
        exchange.step()
    exchange.settle()
    assert None not in exchange.shown
    shown = [x for x in exchange.shown if x is not None]
    assert shown == sorted(shown)  # each trade is dearer than the one before
    assert exchange.prints() == list(range(4, len(exchange.trades) + 1))
    assert list(exchange.gaps()) == []
    assert exchange.blinks() == []
    ticks = exchange.ticks()
    assert ticks == sorted(set(ticks))
    assert ticks[-1] == exchange.shown[-1] == len(exchange.trades)
    candles = exchange.candles()
    assert candles == sorted(set(candles))
    for key in KEYS.values():
        assert len(exchange.carriers(key)) == 1
    assert exchange.provider.pool._moves == {}


@given(SEEDS)
@often
def test_price_without_a_moment_of_kraken_does_not_go_back_for_long(seed: int) -> None:
    """Prices that bear no moment are left only where both connections say the same."""
    exchange = begun(seed, is_stamped=False)
    for _ in range(150):
        exchange.step()
    exchange.settle()
    assert None not in exchange.shown
    shown = [x for x in exchange.shown if x is not None]
    assert shown == sorted(shown)
    assert exchange.prints() == list(range(4, len(exchange.trades) + 1))


@example(seed=83151)  # blind where it was, and behind where it went
@given(SEEDS)
@often
def test_whatever_breaks_no_trade_comes_twice_and_none_is_missed_unseen(seed: int) -> None:
    """Connections are lost and Kraken refuses; what is missing is told, and all comes back."""
    exchange = begun(seed)
    for _ in range(200):
        exchange.step()
        if exchange.random.random() < 0.06:
            exchange.misfortune()
    exchange.settle()
    seen = [price for price in exchange.shown if price is not None]
    assert seen == sorted(seen)
    prints = exchange.prints()
    assert prints == sorted(set(prints))
    assert list(exchange.holes()) == []
    ticks = exchange.ticks()
    assert ticks == sorted(ticks)
    assert exchange.shown[-1] == prints[-1] == ticks[-1] == len(exchange.trades)
    for channel, key in KEYS.items():
        assert len(exchange.carriers(key)) == 1, channel
    assert exchange.provider.pool._moves == {}


@given(SEEDS)
@often
def test_what_is_given_back_whole_and_wanted_again_comes_from_one_side_alone(seed: int) -> None:
    """It may land on another connection, which is behind: nothing old follows, or comes twice."""
    exchange = begun(seed)
    for _ in range(200):
        exchange.step()
        if exchange.random.random() < 0.03:
            exchange.misfortune()
        if exchange.random.random() < 0.06:
            exchange.want_anew(exchange.random.choice(list(KEYS)))
            exchange.look()
    exchange.settle()
    seen = [price for price in exchange.shown if price is not None]
    assert seen == sorted(seen)
    prints = exchange.prints()
    assert prints == sorted(set(prints))
    assert exchange.ticks() == sorted(exchange.ticks())
    assert exchange.shown[-1] == prints[-1] == len(exchange.trades)
    for channel, key in KEYS.items():
        assert len(exchange.carriers(key)) == 1, channel
    assert exchange.provider.pool._moves == {}


@given(SEEDS)
@often
def test_whatever_an_audit_finds_no_price_goes_back(seed: int) -> None:
    """What is trusted again is told and shown in its place, wherever it moves before or after."""
    exchange = begun(seed)
    for _ in range(200):
        exchange.step()
        if exchange.random.random() < 0.03:
            exchange.misfortune()
        if exchange.random.random() < 0.06:
            exchange.audit()
            exchange.look()
    exchange.settle()
    seen = [price for price in exchange.shown if price is not None]
    assert seen == sorted(seen)
    assert exchange.ticks() == sorted(exchange.ticks())
    assert exchange.shown[-1] == exchange.ticks()[-1] == len(exchange.trades)
    for channel, key in KEYS.items():
        assert len(exchange.carriers(key)) == 1, channel
    assert exchange.provider.pool._moves == {}
