"""Trades and candles as the stream brings them: what is kept of them, and what lies between."""

from __future__ import annotations

from decimal import Decimal

import pytest

from krakenlink.pairs import Symbol
from krakenlink.stream.contents import Contents
from krakenlink.stream.events import (
    Ack,
    CandleUpdate,
    Channel,
    Due,
    TradeGap,
    TradePrint,
    Trades,
)
from krakenlink.stream.feed import FeedProtocol
from krakenlink.stream.settings import FeedSettings
from krakenlink.stream.states import Subscription, key_of
from krakenlink.stream.tapes import Candle, Tape
from tests.kits.stream.feed_kit import opened_feed

BTC = Symbol("BTC/USD")


def following(channel: Channel, interval: int = 0) -> tuple[Contents, Subscription]:
    """Return what takes a channel of BTC/USD in, and a subscription whose tape is looked at."""
    subscriptions = FeedProtocol(FeedSettings()).subscriptions
    subscriptions.want(BTC, channel, interval)
    sub = subscriptions.by_key[key_of(channel, BTC, interval)]
    sub.content, sub.is_looked_at = Tape(100, is_kept=True), True
    return Contents(subscriptions), sub


def trades(*numbers: int, is_snapshot: bool = False) -> Trades:
    """Return trades of these numbers, in one frame."""
    prints = tuple(TradePrint(BTC, Decimal(50000), Decimal(1), number) for number in numbers)
    return Trades(BTC, prints, 7.0, is_snapshot)


def candle(begin: int, close: int = 1, interval: int = 5, **more: bool) -> CandleUpdate:
    """Return one candle in a frame."""
    one = Decimal(1)
    made = Candle(begin, one, one, one, Decimal(close), one, 1, None)
    return CandleUpdate(BTC, interval, (made,), 7.0, **more)


def test_trades_are_told_and_what_lies_between_them_after_them() -> None:
    """Numbers count up by one in each market: one that is missing was traded and not told."""
    contents, sub = following(Channel.TRADE)
    assert contents.receive_trades(trades(4, 5)) == [trades(4, 5)]
    assert contents.receive_trades(trades(6, 9, 11)) == [
        trades(6, 9, 11),
        TradeGap(BTC, 7, 8, 7.0),
        TradeGap(BTC, 10, 10, 7.0),
    ]
    assert list(sub.content.items) == [4, 5, 6, 9, 11]
    assert contents.receive_trades(trades(8)) == [trades(8)]


def test_snapshot_of_trades_is_told_and_has_no_gaps() -> None:
    """It tells of a time before the acknowledgement, in which nobody listened."""
    contents, sub = following(Channel.TRADE)
    contents.receive_trades(trades(4))
    snapshot = trades(1, 20, is_snapshot=True)
    assert contents.receive_trades(snapshot) == [snapshot]
    assert list(sub.content.items) == [4]


def test_trades_before_their_acknowledgement_are_told_and_not_kept() -> None:
    """Nobody knows yet from which number on they come whole."""
    contents, sub = following(Channel.TRADE)
    sub.content = None
    assert contents.receive_trades(trades(4, 9)) == [trades(4, 9)]
    assert sub.content is None


def test_trades_of_what_was_left_here_are_not_told_once_it_is_wanted_again() -> None:
    """Another connection may have told them meanwhile; what Kraken acknowledges is new."""
    subscriptions = opened_feed().subscriptions
    contents = Contents(subscriptions)
    subscriptions.want(BTC, Channel.TRADE)
    subscriptions.check(101.0, Due())
    subscriptions.unwant(BTC, Channel.TRADE)
    subscriptions.want(BTC, Channel.TRADE)
    assert contents.receive_trades(trades(4)) == []
    subscriptions.check(102.0, Due())
    assert contents.receive_trades(trades(5)) == []
    sub = subscriptions.by_key[key_of(Channel.TRADE, BTC)]
    subscriptions.receive_ack(Ack("subscribe", True, "trade", BTC, sub.req_id), 103.0)
    assert contents.receive_trades(trades(9)) == [trades(9)]


def test_candles_are_kept_by_their_begin_and_counted() -> None:
    """News of one takes its place."""
    contents, sub = following(Channel.OHLC, 5)
    for update in (candle(300), candle(600), candle(600, close=3)):
        assert contents.receive_candles(update) == [update]
    assert [(c.begin, c.close) for c in sub.content.items.values()] == [(300, 1), (600, 3)]
    assert sub.ticks == 3


def test_tape_knows_when_it_was_heard_last() -> None:
    """One that is silent for long may be mute."""
    contents, sub = following(Channel.TRADE)
    assert sub.content.heard_at < 0
    contents.receive_trades(trades(4))
    assert sub.content.heard_at == trades(4).at
    contents, sub = following(Channel.OHLC, 5)
    contents.receive_candles(candle(300))
    assert sub.content.heard_at == candle(300).at


def test_damaged_candles_leave_none_of_the_earlier_ones() -> None:
    """What such a frame told besides is lost, and may have been news of any of them."""
    contents, sub = following(Channel.OHLC, 5)
    contents.receive_candles(candle(300))
    contents.receive_candles(candle(600, is_damaged=True))
    assert list(sub.content.items) == [600]
    sub.is_looked_at = False  # candles are kept all the same
    contents.receive_candles(candle(900, is_damaged=True))
    assert list(sub.content.items) == [900]


@pytest.mark.parametrize("is_acknowledged", [True, False])
def test_candles_of_nobody_s_interval_are_dropped(is_acknowledged: bool) -> None:
    """Each interval is a subscription, and each begins with its acknowledgement."""
    contents, sub = following(Channel.OHLC, 5)
    if not is_acknowledged:
        sub.content = None
    assert contents.receive_candles(candle(300, interval=15 if is_acknowledged else 5)) == []
    assert sub.ticks == 0


def test_trades_of_a_market_that_nobody_follows_are_dropped() -> None:
    """They were under way while it was left."""
    contents, _ = following(Channel.TICKER)
    assert contents.receive_trades(trades(4)) == []


@pytest.mark.parametrize("number", [2**62, 50_000], ids=["absurd", "wrong"])
def test_hole_after_a_number_that_cannot_be_is_told_as_ever(number: int) -> None:
    """The trades go on where they were, and what is missing there was traded and not told."""
    contents, sub = following(Channel.TRADE)
    contents.receive_trades(trades(10))
    assert contents.receive_trades(trades(number))[1:] == [TradeGap(BTC, 11, number - 1, 7.0)]
    assert contents.receive_trades(trades(11, 12)) == [trades(11, 12)]
    assert contents.receive_trades(trades(15))[1:] == [TradeGap(BTC, 13, 14, 7.0)]
    assert contents.receive_trades(trades(*range(16, 30))) == [trades(*range(16, 30))]
    assert contents.receive_trades(trades(40))[1:] == [TradeGap(BTC, 30, 39, 7.0)]
    assert sub.content.last == 40


def test_hole_right_behind_a_number_that_nothing_leads_to_is_told() -> None:
    """Who asked REST about the hole before it has asked before this one was there."""
    contents, _ = following(Channel.TRADE)
    contents.receive_trades(trades(10, 2**62))
    assert contents.receive_trades(trades(15))[1:] == [TradeGap(BTC, 11, 14, 7.0)]
