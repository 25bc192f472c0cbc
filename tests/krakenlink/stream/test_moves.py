"""What may be left when, and what is told of it: on the second connection nothing less is known."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import NamedTuple

import pytest

from krakenlink.pairs import Symbol
from krakenlink.stream.book import Book
from krakenlink.stream.events import (
    BookUpdate,
    CandleUpdate,
    Channel,
    ChannelLive,
    FeedBack,
    FeedStale,
    FirstData,
    Resubscribed,
    Tick,
    TradeGap,
    TradePrint,
    Trades,
)
from krakenlink.stream.moves import (
    NOTHING,
    Departure,
    Seen,
    comparable,
    covers,
    departure_of,
    seen_of,
    welcome,
)
from krakenlink.stream.states import Subscription, SubState
from krakenlink.stream.tapes import Candle, Tape

BTC = Symbol("BTC/USD")
TICKER, TRADE, BOOK, OHLC = Channel.TICKER, Channel.TRADE, Channel.BOOK, Channel.OHLC
QUIET = 3.0


def tick(price: int, timestamp: str | None = None, at: float = 1.0) -> Tick:
    """Return a price."""
    return Tick(BTC, Decimal(price), None, None, at, timestamp)


def second(text: str) -> str:
    """Return a moment within one minute."""
    return f"2026-11-23T02:11:{text}Z"


def trades(*numbers: int) -> Tape[TradePrint]:
    """Return a tape of trades of these numbers."""
    tape: Tape[TradePrint] = Tape(1000, is_kept=True)
    for number in numbers:
        tape.add(number, TradePrint(BTC, Decimal(number), Decimal(1), number))
    return tape


def candle(begin: int, count: int) -> Candle:
    """Return a candle of so many trades."""
    one = Decimal(1)
    return Candle(begin, one, one, one, one, Decimal(count), count)


def candles(*told: tuple[int, int]) -> Tape[Candle]:
    """Return a tape of candles: when each begins, and of how many trades it is."""
    tape: Tape[Candle] = Tape(720, is_kept=True)
    for begin, count in told:
        tape.add(begin, candle(begin, count))
    return tape


def subscription(channel: Channel, content: object = None, **facts: object) -> Subscription:
    """Return what has been acknowledged at second 1, with what came for it."""
    sub = Subscription(BTC, channel, 100, refs=1, state=SubState.LIVE, acked_at=1.0)
    if isinstance(content, Tick):
        sub.prove(content)
    else:
        sub.content = content
    for name, fact in facts.items():
        setattr(sub, name, fact)
    return sub


# --- what is seen --------------------------------------------------------------------------------


def test_nothing_is_seen_of_what_is_not_there() -> None:
    """Nor of what was not acknowledged."""
    assert seen_of(None) == NOTHING
    assert not seen_of(subscription(TRADE, trades(1), acked_at=None)).is_proven


def test_price_that_counts_no_more_is_remembered() -> None:
    """What was shown last must not be followed by an older one."""
    sub = subscription(TICKER, tick(5))
    sub.unprove()
    assert (seen_of(sub).is_proven, seen_of(sub).tick) == (False, tick(5))


def test_tape_that_counts_no_more_is_remembered() -> None:
    """What was told last must not be told again."""
    sub = subscription(TRADE, trades(7, 8))
    sub.unprove()
    seen = seen_of(sub)
    assert (seen.is_proven, seen.first, seen.last) == (False, 7, 8)


# --- whether it may be left ----------------------------------------------------------------------

HERE = Seen(is_proven=True, since=1.0)
THERE = Seen(is_proven=True, since=10.0)


def test_what_is_not_proven_there_is_not_left() -> None:
    """Whatever it is."""
    for channel in (TICKER, TRADE, BOOK, OHLC):
        assert not covers(channel, NOTHING, HERE, QUIET, 100.0)
        assert not covers(channel, NOTHING, NOTHING, QUIET, 100.0)


def test_deeper_book_is_not_left_for_a_flatter_one() -> None:
    """Somebody wants its levels."""
    assert not covers(BOOK, replace(THERE, param=10), replace(HERE, param=25), QUIET, 100.0)
    assert covers(BOOK, replace(THERE, param=25), replace(HERE, param=10), QUIET, 100.0)


@pytest.mark.parametrize(
    ("there", "here", "may"),
    [
        (tick(6, second("05")), tick(5, second("04")), True),
        (tick(5, second("04")), tick(6, second("05")), False),
        (tick(5, second("05")), tick(5, second("05")), True),
        (tick(6, second("05")), tick(5, second("05")), False),  # one of two of one moment
        (tick(6, second("05.1")), tick(5, second("05.09")), True),
        (tick(6, second("05.1")), tick(5, second("05.123456")), False),
        (tick(5), tick(5), True),
        (tick(6), tick(5), False),
        (tick(5, second("09")), tick(5), True),
        (tick(6, second("09")), tick(5, "yesterday"), False),
        (tick(5), None, True),
    ],
)
def test_price_is_left_for_one_that_is_no_older(there: Tick, here: Tick | None, may: bool) -> None:
    """By Kraken's moments; where one is missing, for an equal one."""
    assert covers(TICKER, replace(THERE, tick=there), replace(HERE, tick=here), QUIET, 10.5) is may


@pytest.mark.parametrize(
    ("there", "here", "may"),
    [
        (second("05"), second("05"), True),
        (second("06"), second("05"), True),
        (second("04"), second("05"), False),
        (None, second("05"), True),
        (second("04"), None, True),
    ],
)
def test_book_is_left_for_one_that_is_no_older(
    there: str | None, here: str | None, may: bool
) -> None:
    """Each of the two is confirmed by Kraken's sum."""
    left = covers(BOOK, replace(THERE, moment=there), replace(HERE, moment=here), QUIET, 10.5)
    assert left is may


@pytest.mark.parametrize(
    ("first", "last", "here", "may"),
    [
        (5, 8, 8, True),
        (5, 9, 8, True),
        (5, 7, 8, False),  # what is told here is still under way there
        (9, 9, 8, True),
        (10, 10, 8, False),  # 9 is still under way here, or lost
    ],
)
def test_trades_are_left_where_their_numbers_meet(
    first: int, last: int, here: int, may: bool
) -> None:
    """None is between what was told here and what will be told there."""
    there = replace(THERE, first=first, last=last)
    assert covers(TRADE, there, replace(HERE, first=1, last=here), QUIET, 10.5) is may


@pytest.mark.parametrize(
    ("there", "here", "may"),
    [
        ((60, 120, 3), (0, 60, 9), True),
        ((60, 60, 9), (0, 60, 9), True),
        ((60, 60, 8), (0, 60, 9), False),  # an earlier state of the same candle
        ((120, 120, 1), (0, 60, 9), False),  # the end of the one before may be under way
    ],
)
def test_candles_are_left_where_they_meet(
    there: tuple[int, int, int], here: tuple[int, int, int], may: bool
) -> None:
    """The one that moves is known there to as many trades."""
    seen = [
        replace(base, first=first, last=last, count=count)
        for base, (first, last, count) in ((THERE, there), (HERE, here))
    ]
    assert covers(OHLC, seen[0], seen[1], QUIET, 10.5) is may


@pytest.mark.parametrize("channel", [TRADE, OHLC])
def test_quiet_market_is_left_once_nothing_can_be_under_way(channel: Channel) -> None:
    """After as long as a connection is taken for alive without a frame."""
    here = replace(HERE, first=3, last=4, heard_at=9.9)
    assert not covers(channel, THERE, here, QUIET, 12.9)
    assert covers(channel, THERE, here, QUIET, 13.0)
    assert not covers(channel, THERE, replace(here, heard_at=10.0), QUIET, 99.0)


def test_what_is_blind_here_is_left_for_what_is_no_older() -> None:
    """At once where the numbers say so, else once nothing can be under way there."""
    blind = replace(HERE, is_proven=False, last=8, tick=tick(5, second("05")))
    assert covers(TRADE, replace(THERE, first=20, last=22), blind, QUIET, 10.5)
    assert not covers(TRADE, replace(THERE, first=5, last=7), blind, QUIET, 10.5)
    assert covers(TRADE, replace(THERE, first=5, last=7), blind, QUIET, 13.0)
    assert not covers(TICKER, replace(THERE, tick=tick(4, second("04"))), blind, QUIET, 10.5)
    assert covers(TICKER, replace(THERE, tick=tick(4, second("04"))), blind, QUIET, 13.0)
    assert covers(BOOK, THERE, blind, QUIET, 10.5)


def test_what_was_told_lately_is_waited_for_however_long_the_other_is_there() -> None:
    """A connection that is behind must not be taken for one whose numbers have begun anew."""
    blind = replace(HERE, is_proven=False, last=8, heard_at=98.0)
    there = replace(THERE, first=5, last=7)
    assert not covers(TRADE, there, blind, QUIET, 100.9)
    assert covers(TRADE, there, blind, QUIET, 101.0)
    shown = replace(HERE, is_proven=False, tick=tick(5, second("05"), at=98.0))
    older = replace(THERE, tick=tick(4, second("04")))
    assert not covers(TICKER, older, shown, QUIET, 100.9)
    assert covers(TICKER, older, shown, QUIET, 101.0)


@pytest.mark.parametrize("number", [2**62, 50_000], ids=["absurd", "wrong"])
def test_number_that_cannot_be_keeps_nothing_for_ever(number: int) -> None:
    """Its market may leave once its trades have gone on below that, or nobody trades any more."""
    here = seen_of(subscription(TRADE, trades(*range(1, 11), number, *range(11, 30)), heard_at=9.0))
    there = seen_of(subscription(TRADE, trades(*range(5, 30))))
    assert covers(TRADE, there, here, QUIET, 9.0)
    here = seen_of(subscription(TRADE, trades(10, number, 11), heard_at=9.0))
    there = seen_of(subscription(TRADE, trades(10, 11)))
    assert covers(TRADE, there, here, QUIET, 9.0) is (number > 10**8)
    assert covers(TRADE, there, here, QUIET, 12.0)
    here = seen_of(subscription(OHLC, candles((60, 1), (2**40, 1)), heard_at=9.0))
    there = seen_of(subscription(OHLC, candles((60, 1))))
    assert covers(OHLC, there, here, QUIET, 9.0)
    assert covers(OHLC, there, here, QUIET, 12.0)


def test_hole_behind_a_number_that_cannot_be_is_told_where_trades_go_on() -> None:
    """As on one connection."""
    left = left_of(subscription(TRADE, trades(1, 2)))
    sub = subscription(TRADE, trades(2, 3, 2**62, 4, 7), refs=0)
    told = welcome(sub, left, is_open=True, now=5.0)
    assert told[1:] == [TradeGap(BTC, 4, 2**62 - 1, 5.0), TradeGap(BTC, 5, 6, 5.0)]
    assert sub.content.last == 7


def test_moments_are_compared_by_their_digits() -> None:
    """However many of them Kraken writes; what is no such moment is not compared."""
    assert comparable(second("05")) == comparable(second("05.000"))
    for odd in (None, "", "soon", "2026-11-23T02:11:05+01:00", "23.11.2026 02:11:05Z"):
        assert comparable(odd) is None


# --- what is told --------------------------------------------------------------------------------


def left_of(sub: Subscription, **facts: object) -> Departure:
    """Return what a subscription takes along at second 20."""
    return departure_of(sub, None, 20.0)._replace(**facts)  # type: ignore[arg-type]


def test_same_price_is_not_told_again() -> None:
    """A newer one is."""
    left = left_of(subscription(TICKER, tick(5, second("05"))))
    again = subscription(TICKER, tick(5, second("05"), at=2.0))
    newer = subscription(TICKER, tick(6, second("06")))
    assert welcome(again, left, is_open=True, now=21.0) == []
    assert welcome(newer, left, is_open=True, now=21.0) == [tick(6, second("06"))]


def test_trades_go_on_where_they_were() -> None:
    """On the same tape, so that nobody has to ask REST anew; each is told once."""
    before = trades(1, 2, 3)
    sub = subscription(TRADE, trades(2, 3, 4, 5))
    (told,) = welcome(sub, left_of(subscription(TRADE, before)), is_open=True, now=21.0)
    assert isinstance(told, Trades)
    assert [one.trade_id for one in told.prints] == [4, 5]
    assert sub.content is before
    assert list(before.items) == [1, 2, 3, 4, 5]


def test_hole_between_two_connections_is_told() -> None:
    """As one within a connection is: after the trades behind it."""
    sub = subscription(TRADE, trades(6, 8))
    told, *gaps = welcome(sub, left_of(subscription(TRADE, trades(3))), is_open=True, now=21.0)
    assert isinstance(told, Trades)
    assert gaps == [TradeGap(BTC, 4, 5, 21.0), TradeGap(BTC, 7, 7, 21.0)]


def test_nothing_is_told_of_a_market_that_nobody_trades() -> None:
    """Its empty tape goes on."""
    before = trades()
    sub = subscription(TRADE, trades())
    left = left_of(subscription(TRADE, before))
    assert welcome(sub, left, is_open=True, now=21.0) == []
    assert sub.content is before


def test_candles_are_joined_without_a_twin() -> None:
    """Of two states of one the fuller counts, and what is known is not told again."""
    before = candles((0, 5), (60, 2))
    sub = subscription(OHLC, candles((0, 5), (60, 3), (120, 1)), asked_param=1)
    (told,) = welcome(sub, left_of(subscription(OHLC, before)), is_open=True, now=21.0)
    assert told == CandleUpdate(BTC, 1, (candle(60, 3), candle(120, 1)), 21.0)
    assert sub.content is before
    assert before.items == {0: candle(0, 5), 60: candle(60, 3), 120: candle(120, 1)}


def test_older_state_of_a_candle_is_not_told() -> None:
    """Nor does it take the place of a fuller one."""
    before = candles((60, 4))
    sub = subscription(OHLC, candles((0, 9), (60, 3)))
    assert welcome(sub, left_of(subscription(OHLC, before)), is_open=True, now=21.0) == []
    assert before.items == {60: candle(60, 4)}


class Level(NamedTuple):
    """A level of a book as a frame has it."""

    price: str
    qty: str


def test_book_is_told_whole() -> None:
    """Who goes from change to change begins anew with it."""
    book = Book(10)
    levels, asks = [Level("2.0", "1.0")], [Level("3.0", "1.5")]
    book.change([], [], None)
    fault = book.begin(levels, asks, 0)
    assert "checksum" in fault  # it is asked for what would be right
    book.timestamp = second("05")
    sub = subscription(BOOK, book)
    live, whole = welcome(sub, left_of(sub), is_open=True, now=21.0)
    assert live == ChannelLive(BTC, "book", 21.0)
    assert isinstance(whole, BookUpdate)
    assert (whole.is_snapshot, whole.checksum) == (True, book.checksum())
    assert [level.price for level in whole.bids] == [Decimal("2.0")]


# --- what was lost meanwhile ---------------------------------------------------------------------


def test_what_is_lost_after_it_has_left_is_said_to_be_blind() -> None:
    """And to be back, if that connection is."""
    lost = subscription(TRADE)
    left = left_of(subscription(TRADE, trades(3)))
    (stale,) = welcome(lost, left, is_open=False, now=21.0)
    assert isinstance(stale, FeedStale)
    assert (stale.since, stale.symbols) == (20.0, (BTC,))
    assert welcome(lost, left, is_open=True, now=21.0) == [
        replace(stale),
        FeedBack(21.0, 1.0, (BTC,)),
    ]
    assert welcome(lost, left._replace(is_whole=False), is_open=True, now=21.0) == []


def test_what_was_blind_is_said_to_be_back() -> None:
    """And begins anew, as after any connection that was lost; nothing is told twice."""
    gone = subscription(TRADE, trades(3))
    gone.unprove()
    left = left_of(gone, blind_since=15.0)
    sub = subscription(TRADE, trades(2, 3, 5))
    mine = sub.content
    back, again, live, told, gap = welcome(sub, left, is_open=True, now=21.0)
    assert back == FeedBack(21.0, 6.0, (BTC,))
    assert again == Resubscribed(BTC, "trade", 21.0)
    assert live == ChannelLive(BTC, "trade", 21.0)
    assert isinstance(told, Trades)
    assert [one.trade_id for one in told.prints] == [5]
    assert gap == TradeGap(BTC, 4, 4, 21.0)
    assert sub.content is mine


def test_numbers_that_have_begun_anew_while_blind_are_told() -> None:
    """They are lower than those before, and new all the same."""
    gone = subscription(TRADE, trades(1000))
    gone.unprove()
    sub = subscription(TRADE, trades(1, 2))
    *_, told = welcome(sub, left_of(gone), is_open=True, now=21.0)
    assert isinstance(told, Trades)
    assert [one.trade_id for one in told.prints] == [1, 2]


def test_price_that_was_blind_begins_with_its_first() -> None:
    """As on any new connection."""
    gone = subscription(TICKER, tick(5))
    gone.unprove()
    sub = subscription(TICKER, tick(5))
    told = welcome(sub, left_of(gone, blind_since=15.0), is_open=True, now=21.0)
    assert told == [FeedBack(21.0, 6.0, (BTC,)), FirstData(BTC, 21.0), tick(5)]
