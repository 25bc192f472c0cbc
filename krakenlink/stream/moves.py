"""When a subscription may leave one connection for another, and what readers hear of it then.

Pure. Both connections bring the same for a moment, at paces of their own. What it must never do:
let an older price follow a newer one, a trade be told twice or not at all without its gap being
told, or let anything be left that is not proven where it goes.

Source: Kraken, spot WebSocket v2 (ticker, trade, book, ohlc) (read 2026-11).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from krakenlink.stream.events import (
    BookUpdate,
    CandleUpdate,
    Channel,
    ChannelLive,
    Event,
    FeedBack,
    FeedStale,
    FirstData,
    Resubscribed,
    Tick,
    TradeGap,
    TradePrint,
    Trades,
)
from krakenlink.stream.states import Subscription
from krakenlink.stream.tapes import Candle, Tape, has_more

if TYPE_CHECKING:  # for who follows one
    from krakenlink.stream.book import Book


@dataclass(frozen=True, slots=True)
class Seen:
    """What one connection has had of a subscription by a moment.

    Attributes:
        is_proven: Whether it counts there.
        param: With which it was asked for.
        since: When it was acknowledged.
        heard_at: When trades or candles came last.
        tick: The last price.
        moment: Kraken's time of the last change of a book.
        first: The place with which the tape begins, None where none is written down.
        last: The place up to which it goes.
        count: How many trades its last candle has.
    """

    is_proven: bool
    param: int = 0
    since: float = 0.0
    heard_at: float = float("-inf")
    tick: Tick | None = None
    moment: str | None = None
    first: int | None = None
    last: int | None = None
    count: int = 0


NOTHING = Seen(is_proven=False)


def seen_of(sub: Subscription | None) -> Seen:
    """Return what a connection has had of a subscription; of what does not count, the last."""
    if sub is None:
        return NOTHING
    content = sub.proven if sub.channel is Channel.TICKER else sub.content
    is_proven = content is not None and sub.acked_at is not None
    seen = Seen(is_proven, sub.asked_param, sub.acked_at or 0.0, sub.heard_at)
    if sub.channel is Channel.TICKER:
        return _with(seen, tick=sub.proven or sub.latest)
    if sub.channel is Channel.BOOK and content is not None:
        return _with(seen, moment=content.timestamp)
    tape = content or sub.told
    if isinstance(tape, Tape) and tape.last is not None:
        last = tape.items.get(tape.last)
        count = last.trades if isinstance(last, Candle) else 0
        first = min(tape.items, default=None)
        return _with(seen, first=first, last=tape.last, count=count)
    return seen


def _with(seen: Seen, **facts: Any) -> Seen:
    return Seen(seen.is_proven, seen.param, seen.since, seen.heard_at, **facts)


# -- whether it may be left


def covers(channel: Channel, there: Seen, here: Seen, quiet: float, now: float) -> bool:
    """Tell whether what is had here may be left, as all of it is had there.

    Args:
        channel: Of the subscription.
        there: What the other connection has.
        here: What this one has.
        quiet: For so many seconds a message may be under way at most.
        now: The moment.
    """
    if not there.is_proven or there.param < here.param:
        return False
    if not here.is_proven and (channel is Channel.BOOK or _is_had(there, here, quiet, now)):
        return True
    return _COVERS[channel](there, here, quiet, now)


def _covers_tick(there: Seen, here: Seen, quiet: float, now: float) -> bool:
    assert there.tick is not None
    if here.tick is None:
        return True
    is_equal = there.tick.price == here.tick.price
    newer, older = comparable(there.tick.timestamp), comparable(here.tick.timestamp)
    if newer is None or older is None:
        return is_equal
    return newer > older or (newer == older and is_equal)


def _covers_book(there: Seen, here: Seen, quiet: float, now: float) -> bool:
    newer, older = comparable(there.moment), comparable(here.moment)
    return newer is None or older is None or newer >= older


def _covers_trades(there: Seen, here: Seen, quiet: float, now: float) -> bool:
    if there.first is None or there.last is None or here.last is None:
        return here.is_proven and _is_quiet(there, here, quiet, now)
    if _is_had(there, here, quiet, now):
        return True
    is_joined = there.first <= here.last + 1 or not here.is_proven
    return is_joined and there.last >= here.last


def _covers_candles(there: Seen, here: Seen, quiet: float, now: float) -> bool:
    if there.first is None or there.last is None or here.last is None:
        return here.is_proven and _is_quiet(there, here, quiet, now)
    if _is_had(there, here, quiet, now):
        return True
    is_joined = there.first <= here.last or not here.is_proven
    return is_joined and (there.last, there.count) >= (here.last, here.count)


def _is_had(there: Seen, here: Seen, quiet: float, now: float) -> bool:
    """Tell whether what was told here last is had there by now, whatever its place is.

    Else that connection would be taken for dead.
    """
    told_at = here.heard_at if here.tick is None else here.tick.at
    return now - max(there.since, told_at) >= quiet


def _is_quiet(there: Seen, here: Seen, quiet: float, now: float) -> bool:
    """Tell whether nobody trades: what came before the acknowledgement there has come here, too.

    Were it still under way after so long, this connection would be taken for dead.
    """
    return here.heard_at < there.since and now - there.since >= quiet


_COVERS: dict[Channel, Callable[[Seen, Seen, float, float], bool]] = {
    Channel.TICKER: _covers_tick,
    Channel.BOOK: _covers_book,
    Channel.TRADE: _covers_trades,
    Channel.OHLC: _covers_candles,
}


def comparable(timestamp: str | None) -> tuple[str, str] | None:
    """Return one of Kraken's moments as what can be compared with others, None where none is."""
    if timestamp is None or not timestamp.endswith("Z"):
        return None
    seconds, _, fraction = timestamp[:-1].partition(".")
    return (seconds, fraction.ljust(9, "0")) if len(seconds) == _LENGTH else None


_LENGTH = len("2026-11-23T02:11:31")


# -- what it takes along, and what is told then


class Departure(NamedTuple):
    """What has left a connection.

    Attributes:
        refs: How often it is wanted.
        param: The deepest that anybody wanted of it.
        at: When it left.
        tick: The last price that counted.
        tape: What of trades or candles counted last.
        is_whole: Whether it counted until it left.
        is_looked_at: Whether somebody looks back on it.
        blind_since: Since when its connection had no proof of life, None where it lived.
    """

    refs: int = 0
    param: int = 0
    at: float = 0.0
    tick: Tick | None = None
    tape: Tape[Any] | None = None
    is_whole: bool = False
    is_looked_at: bool = False
    blind_since: float | None = None


def departure_of(sub: Subscription, blind_since: float | None, now: float) -> Departure:
    """Return what a subscription takes along."""
    content = sub.proven if sub.channel is Channel.TICKER else sub.content
    return Departure(
        sub.refs,
        sub.param,
        now,
        sub.proven,
        sub.content if isinstance(sub.content, Tape) else sub.told,
        content is not None,
        sub.is_looked_at,
        blind_since,
    )


def welcome(sub: Subscription, left: Departure, *, is_open: bool, now: float) -> list[Event]:
    """Return what readers hear of what has joined a connection: what they were not told before.

    A tape goes on where it was, so that whoever joins it to what REST tells need not ask again.

    Args:
        sub: The subscription, as it is here.
        left: What it has brought along.
        is_open: Whether this connection lives.
        now: The moment.
    """
    symbols = (sub.symbol,)
    if (sub.proven or sub.content) is None:
        if not left.is_whole:
            return []
        why = "a connection was lost to which something moved"
        lost: list[Event] = [FeedStale(now, why, left.at, symbols)]
        return [*lost, FeedBack(now, now - left.at, symbols)] if is_open else lost
    events: list[Event] = []
    if left.blind_since is not None and sub.channel in (Channel.TICKER, Channel.TRADE):
        events.append(FeedBack(now, now - left.blind_since, symbols))
    if sub.channel is Channel.TICKER:
        return events + _tick_told(sub, left, now)
    if sub.channel is Channel.BOOK:
        return [ChannelLive(sub.symbol, sub.channel.value, now), _whole_book(sub, now)]
    if not left.is_whole:
        events.append(Resubscribed(sub.symbol, sub.channel.value, now))
        events.append(ChannelLive(sub.symbol, sub.channel.value, now))
    told = _trades_told if sub.channel is Channel.TRADE else _candles_told
    return events + told(sub, left, now)


def _tick_told(sub: Subscription, left: Departure, now: float) -> list[Event]:
    tick, before = sub.proven, left.tick
    assert tick is not None
    if before is None:
        return [FirstData(sub.symbol, now), tick]
    same = (tick.price, tick.bid, tick.ask) == (before.price, before.bid, before.ask)
    return [] if same and tick.timestamp == before.timestamp else [tick]


def _whole_book(sub: Subscription, now: float) -> BookUpdate:
    book: Book = sub.content
    shown = book.texts(book.depth)
    return BookUpdate(
        sub.symbol, shown.bids, shown.asks, book.checksum(), now, book.timestamp, is_snapshot=True
    )


def _trades_told(sub: Subscription, left: Departure, now: float) -> list[Event]:
    here: Tape[TradePrint] = sub.content
    before, after = left.tape, _last_of(left)
    if not left.is_whole and after is not None and (here.last or after) < after:
        after = None  # the numbers have begun anew
    news = {n: one for n, one in here.items.items() if after is None or n > after}
    gaps: list[Event] = []
    told = Tape[None](0)  # it is as in one tape that what lies between is found
    for number in news if after is None else (after, *news):
        gap_after = told.add(number, None)
        if gap_after is not None:
            gaps.append(TradeGap(sub.symbol, gap_after + 1, number - 1, now))
    if left.is_whole and before is not None:
        sub.content = _longer(before, news)
    return [*([Trades(sub.symbol, tuple(news.values()), now)] if news else []), *gaps]


def _candles_told(sub: Subscription, left: Departure, now: float) -> list[Event]:
    here: Tape[Candle] = sub.content
    before, last = left.tape, _last_of(left)
    known = {} if before is None else before.items
    news = {
        begin: candle
        for begin, candle in here.items.items()
        if last is None
        or begin > last
        or (begin in known and candle != known[begin] and has_more(known[begin], candle))
    }
    if left.is_whole and before is not None:
        sub.content = _longer(before, news)
    interval = sub.asked_param
    return [CandleUpdate(sub.symbol, interval, tuple(news.values()), now)] if news else []


def _last_of(left: Departure) -> int | None:
    return None if left.tape is None else left.tape.last


def _longer(tape: Tape[Any], news: dict[int, Any]) -> Tape[Any]:
    for place, item in news.items():
        tape.add(place, item)
    return tape
