"""The price loop beside a stream, an order thread and clocks of the test's own: each event."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, cast

import pytest

from krakenlink.pairs import Symbol
from krakenlink.stream.events import (
    Channel,
    FeedBack,
    FeedStale,
    FirstData,
    Resubscribed,
    SymbolDistrusted,
    SymbolMute,
    SymbolRefused,
    SymbolTrusted,
    SystemState,
    Tick,
    Trades,
)
from tests.kits.rows.watch_kit import MARKET, printed, rule
from ttslo_app.clocks import Clocks
from ttslo_app.messages import BookArm, BookDisarm, Crossing, Kind, Market, PolledPrice
from ttslo_app.orders.worker import OrderWorker
from ttslo_app.run import live as room
from ttslo_app.run.live import LiveRun
from ttslo_app.run.parts import Options, World
from ttslo_app.run.streams import Streams
from ws_price_provider import WebSocketPriceProvider

BTC = Symbol("BTC/USD")
NOW = 1_000.0


@dataclass
class Stream:
    """A stream that shows a price, or none, and remembers who was asked for."""

    price: Decimal | None = None
    asked: list[tuple[str, str]] = field(default_factory=list)
    left: list[tuple[str, str]] = field(default_factory=list)

    def open_feed(self, sink: object) -> None:
        """Hand out nothing: the test puts in what is to be heard."""

    def fresh_tick(self, symbol: Symbol) -> Tick | None:
        return None if self.price is None else Tick(symbol, self.price, None, None, NOW)

    def subscribe_symbol(self, symbol: Symbol, channel: str) -> None:
        self.asked.append((str(symbol), channel))

    def unsubscribe_symbol(self, symbol: Symbol, channel: str) -> None:
        self.left.append((str(symbol), channel))


class Kin:
    """Rows that belong to no group."""

    def in_file_order(self, ids: Sequence[str]) -> list[str]:
        return list(ids)


@dataclass
class Books:
    """What the order thread knows of rows: none is another one's."""

    kin: Kin = field(default_factory=Kin)


@dataclass
class Orders:
    """An order thread that keeps what it is handed."""

    handed: list[object] = field(default_factory=list)
    state: dict[str, dict[str, str]] = field(default_factory=dict)
    doing: tuple[str, float] = ("", 0.0)
    backlog: int = 0
    ledger: Books = field(default_factory=Books)
    begun_with: list[int] = field(default_factory=list)

    def submit(self, message: object) -> None:
        self.handed.append(message)

    def let_begin(self) -> None:
        self.begun_with.append(len(self.crossings))

    @property
    def crossings(self) -> list[Crossing]:
        return [one for one in self.handed if isinstance(one, Crossing)]


class Bench:
    """A price loop that is not started: each event is put in by hand."""

    def __init__(self) -> None:
        self.stream, self.orders = Stream(), Orders()
        self.said: list[tuple[str, Kind, str]] = []
        self.inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.now = NOW
        clocks = Clocks(lambda: self.now, lambda: self.now, lambda: self.now)
        provider = cast("WebSocketPriceProvider", self.stream)
        self.streams = Streams(provider, 60.0, self.say)
        world = World(
            cast("Any", None), provider, None, None, clocks, lambda: None, None, lambda: False
        )
        self.live = LiveRun(
            world,
            cast("OrderWorker", self.orders),
            self.inbox,
            self.streams,
            options=Options(),
            reload=lambda: None,
            say=self.say,
        )

    def say(self, level: str, text: str, *, kind: Kind = Kind.OTHER, **fields: object) -> None:
        self.said.append((level, kind, text))

    def hear(self, *items: object) -> None:
        """Let the loop handle these, one after the other, as it does when they come."""
        for item in items:
            self.inbox.put(item)
            self.live._turn()

    def hear_in_vain(self) -> None:
        """Let the loop come round with nothing to hear."""
        self.live._turn()

    def kinds(self) -> list[Kind]:
        """Return the kinds of what was said, and forget it."""
        kinds = [kind for _, kind, _ in self.said]
        self.said.clear()
        return kinds

    def tick(self, price: object, age: float = 0.0) -> Tick:
        return Tick(BTC, Decimal(str(price)), None, None, self.now - age)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """Hand out a price loop with one row at or above 51000, whose feed's clock is the test's."""
    bench = Bench()
    monkeypatch.setattr(room, "feed_clock", lambda: bench.now)
    monkeypatch.setattr("ttslo_app.run.streams.feed_clock", lambda: bench.now)
    bench.hear(BookArm(rule(), MARKET))
    before = threading.active_count()
    yield bench
    assert threading.active_count() == before  # nothing here starts one


def test_price_beyond_the_threshold_is_one_crossing(bench: Bench) -> None:
    """Handed over with its price and its moment; the next price beyond it is no other one."""
    bench.hear(bench.tick(50_999), bench.tick(51_000), bench.tick(52_000))
    (crossing,) = bench.orders.crossings
    assert (crossing.key, crossing.price, crossing.seen_at) == ("r", Decimal(51_000), NOW)
    assert list(bench.live.orderless()) == ["r"]


def test_order_thread_may_begin_once_a_crossing_is_handed_over(bench: Bench) -> None:
    """And only then: a price that crosses nothing holds up nobody."""
    bench.hear(bench.tick(50_999), bench.tick(51_000), bench.tick(52_000))
    assert bench.orders.begun_with == [1]


@pytest.mark.parametrize(("present", "fires"), [("51000", True), ("50000", False), (None, False)])
def test_price_that_waited_too_long_is_judged_by_the_one_of_now(
    bench: Bench, present: str | None, fires: bool
) -> None:
    """While the machine slept: what came before is no price of now."""
    bench.stream.price = None if present is None else Decimal(present)
    bench.hear(bench.tick(52_000, age=31.0))
    assert bool(bench.orders.crossings) is fires


def test_price_right_at_the_bound_counts(bench: Bench) -> None:
    """Half a minute is not too long."""
    bench.now += 60
    bench.hear(bench.tick(52_000, age=30.0))
    assert len(bench.orders.crossings) == 1


def test_trades_that_waited_too_long_are_not_taken_for_now(bench: Bench) -> None:
    """They are fetched like those of a blind time, and nothing is said of a lag."""
    late = Trades(BTC, (printed(990, 52_000),), NOW - 40.0)
    bench.hear(late)
    assert bench.orders.crossings == []
    assert bench.kinds() == []


def test_reader_that_falls_behind_is_told_once_and_once_that_it_keeps_up(bench: Bench) -> None:
    """Between the two bounds nothing is news."""
    told = []
    for lag in (0.1, 2.1, 3.0, 1.0, 2.5, 0.4, 0.1, 2.1):
        bench.hear(Trades(BTC, (printed(999, 50_000),), NOW - lag))
        told.append(len(bench.kinds()))
    assert told == [0, 1, 0, 0, 0, 1, 0, 1]


def test_crowd_of_prices_is_thinned_to_the_newest_and_no_trade_is(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A price in between is told by its trade."""
    monkeypatch.setattr(room, "_CROWD", 5)
    looked: list[object] = []
    monkeypatch.setattr(bench.live, "_handle", looked.append)
    ticks = [bench.tick(price) for price in range(50_000, 50_008)]
    trades = [Trades(BTC, (printed(n, 50_000),), NOW) for n in range(900, 903)]
    other = replace(ticks[0], symbol=Symbol("ETH/USD"))
    for item in (*ticks[:4], *trades, other, *ticks[4:]):
        bench.inbox.put(item)
    bench.live._turn()
    assert looked == [*trades, other, ticks[-1]]
    assert bench.inbox.empty()
    assert bench.kinds() == []


def test_flood_of_trades_keeps_the_newest_frame_of_each_market_and_is_told(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is bounded; the hole in the numbers brings the others back."""
    monkeypatch.setattr(room, "_CROWD", 2)
    monkeypatch.setattr(room, "_FLOOD", 6)
    looked: list[object] = []
    monkeypatch.setattr(bench.live, "_handle", looked.append)
    trades = [Trades(BTC, (printed(n, 50_000),), NOW) for n in range(900, 907)]
    arm = BookArm(rule(rule_id="later"), MARKET)
    for item in (*trades[:3], arm, *trades[3:]):
        bench.inbox.put(item)
    bench.live._turn()
    assert looked == [arm, trades[-1]]
    assert len(bench.said) == 1


def test_error_about_one_of_a_crowd_ends_no_other(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a start they are rows to be armed: all behind the bad one would never fire."""
    monkeypatch.setattr(room, "_CROWD", 2)
    rules = [rule(rule_id=f"r{number}") for number in range(9)]
    arm, fails = bench.live.watch.arm, ["r3", "r7"]

    def arm_most(change: BookArm) -> Any:
        if change.rule.id in fails:
            raise ZeroDivisionError(change.rule.id)
        return arm(change)

    monkeypatch.setattr(bench.live.watch, "arm", arm_most)
    for one in rules:
        bench.inbox.put(BookArm(one, MARKET))
    for _ in fails:
        with pytest.raises(ZeroDivisionError):
            bench.live._turn()
    bench.live._turn()
    armed = [one.id for one in rules if one.id in bench.live.watch.rules]
    assert armed == [one.id for one in rules if one.id not in fails]


# --- what the stream says of itself --------------------------------------------------------------


def test_blind_time_is_told_with_its_begin_and_its_end(bench: Bench) -> None:
    """What cannot be seen and from when on, and then for how long it was."""
    bench.hear(FeedStale(NOW, "reset", NOW - 4.0), FeedBack(NOW, 9.0))
    assert [level for level, _, _ in bench.said] == ["WARNING", "INFO"]
    assert "BTC/USD" in bench.said[0][2]
    assert "reset" in bench.said[0][2]
    assert "9 s" in bench.said[1][2]
    assert bench.kinds() == [Kind.LINK, Kind.LINK]


@pytest.mark.parametrize(
    ("event", "back"),
    [
        (SymbolRefused(BTC, Channel.TICKER, "no such market", NOW), FirstData(BTC, NOW)),
        (SymbolMute(BTC, Channel.TICKER, NOW), FirstData(BTC, NOW)),
        (SymbolMute(BTC, Channel.TRADE, NOW), Resubscribed(BTC, Channel.TRADE, NOW)),
    ],
    ids=["refused", "without a price", "without trades"],
)
def test_market_that_lacks_a_channel_is_polled_until_it_speaks(
    bench: Bench, event: object, back: object
) -> None:
    """It is said once, however often the stream repeats it."""
    bench.hear(event, event)
    assert bench.streams.is_polled("BTC/USD")
    assert len(bench.kinds()) == 1
    bench.hear(back)
    assert not bench.streams.is_polled("BTC/USD")


@pytest.mark.parametrize("channel", [Channel.TICKER, Channel.TRADE])
def test_channel_that_comes_back_says_nothing_of_the_other(bench: Bench, channel: str) -> None:
    """A market with a price and no trades, or the reverse, is polled."""
    other = Channel.TRADE if channel == Channel.TICKER else Channel.TICKER
    bench.hear(SymbolMute(BTC, other, NOW), Resubscribed(BTC, channel, NOW))
    assert bench.streams.is_polled("BTC/USD")


def test_distrust_and_trust_are_told(bench: Bench) -> None:
    """Why the audit doubts a price, and that it does no longer."""
    bench.hear(SymbolDistrusted(BTC, "REST tells another price", NOW), SymbolTrusted(BTC, NOW))
    (_, _, doubt), (_, _, trust) = bench.said
    assert "REST tells another price" in doubt
    assert "BTC/USD" in trust


def test_state_of_the_exchange_is_told_when_it_changes(bench: Bench) -> None:
    """It is online until somebody says otherwise, and what is repeated is no news."""
    told = []
    for state in ("online", "maintenance", "maintenance", "online", "online"):
        bench.hear(SystemState(state, NOW))
        told.append(len(bench.kinds()))
    assert told == [0, 1, 0, 1, 0]


def test_event_of_no_meaning_here_is_passed_over(bench: Bench) -> None:
    """Later versions of the stream may tell more."""
    bench.hear(object(), "text", None)
    assert bench.said == []
    assert bench.orders.handed == []


# --- polled prices, and rows that come and go ---------------------------------------------------


def test_polled_price_counts_while_the_stream_proves_none(bench: Bench) -> None:
    """With the moment at which it was asked for."""
    bench.now += 60
    bench.hear(PolledPrice("BTC/USD", Decimal(51_500), bench.now - 1.0))
    (crossing,) = bench.orders.crossings
    assert (crossing.price, crossing.seen_at) == (Decimal(51_500), bench.now - 1.0)


@pytest.mark.parametrize(
    ("age", "present", "market"),
    [(31.0, None, "BTC/USD"), (0.0, "50000", "BTC/USD"), (0.0, None, "ETH/USD")],
    ids=["too old", "the stream is back", "nobody's market"],
)
def test_polled_price_that_is_not_of_now_fires_nothing(
    bench: Bench, age: float, present: str | None, market: str
) -> None:
    """An old answer, one that a newer price of the stream stands beside, one of no row."""
    bench.stream.price = None if present is None else Decimal(present)
    bench.now += 60
    bench.hear(PolledPrice(market, Decimal(51_500), bench.now - age))
    assert bench.orders.crossings == []


def test_market_is_asked_for_with_its_first_row_and_left_with_its_last(bench: Bench) -> None:
    """Rows of one market share its stream."""
    both = [("BTC/USD", Channel.TICKER), ("BTC/USD", Channel.TRADE)]
    assert bench.stream.asked == both
    bench.hear(BookArm(rule(60_000, rule_id="other"), MARKET))
    assert bench.stream.asked == both
    bench.hear(BookDisarm("r"))
    assert bench.stream.left == []
    bench.hear(BookDisarm("other"), BookDisarm("other"))
    assert bench.stream.left == both
    assert bench.live.watch.markets == {}


def test_row_that_fired_keeps_its_stream(bench: Bench) -> None:
    """It may be armed again in a second, when Kraken refuses its order."""
    bench.hear(bench.tick(51_000))
    assert len(bench.orders.crossings) == 1
    assert bench.stream.left == []
    bench.hear(BookArm(rule(), MARKET))
    assert list(bench.live.orderless()) == []
    bench.hear(bench.tick(51_000))
    assert len(bench.orders.crossings) == 2


def test_row_is_live_while_its_price_is_proven(bench: Bench) -> None:
    """Or while REST has told it in the last two rounds."""
    assert bench.live.armed() == {"r": False}
    bench.stream.price = Decimal(50_000)
    assert bench.live.armed() == {"r": True}
    bench.stream.price = None
    bench.streams.note_poll("BTC/USD", bench.now)
    bench.now += 2 * bench.streams.poll_every
    assert bench.live.armed() == {"r": True}
    bench.now += 0.1
    assert bench.live.armed() == {"r": False}


def test_moment_of_the_last_price_is_told_by_row(bench: Bench) -> None:
    """For the column `last_checked` of state.csv; a row without any price has none."""
    assert bench.live.last_checked() == {}
    bench.hear(bench.tick(50_000))
    assert bench.live.last_checked() == {"r": "1970-01-01T00:16:40+00:00"}
    bench.now += 60
    assert bench.live.last_checked() == {"r": "1970-01-01T00:16:40+00:00"}


def test_turn_that_met_an_error_leaves_the_next_one_as_it_was(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`run` says so and goes on: what comes then is looked at as ever."""

    def fail(market: str, *_: object) -> None:
        raise RuntimeError("a surprise")

    monkeypatch.setattr(bench.live.watch, "price", fail)
    bench.inbox.put(bench.tick(51_000))
    with pytest.raises(RuntimeError):
        bench.live._turn()
    monkeypatch.undo()
    monkeypatch.setattr(room, "feed_clock", lambda: bench.now)
    bench.hear(bench.tick(51_000))
    assert len(bench.orders.crossings) == 1


def test_row_that_is_taken_away_waits_for_no_order(bench: Bench) -> None:
    """Its crossing is nobody's business any more: the watchdog is told, too."""
    bench.hear(bench.tick(51_000))
    assert list(bench.live.orderless()) == ["r"]
    bench.hear(BookDisarm("r"))
    assert list(bench.live.orderless()) == []


def test_streams_of_the_start_begin_once_all_its_rows_are_on_the_books(bench: Bench) -> None:
    """A trade that comes before a row is armed is not looked at again for it."""
    ether, other = Market("ETH/USD", "XETHZUSD", "ETH/USD"), Market("SOL/USD", "SOLUSD", "SOL/USD")
    bench.stream.asked.clear()
    bench.live._is_starting = True
    bench.live.turned_at = bench.now
    for name, market in (("e", ether), ("s", other)):
        bench.inbox.put(BookArm(replace(rule(60_000), id=name, pair=market.name), market))
    bench.live._turn()
    assert bench.stream.asked == []
    assert not bench.live.has_begun
    bench.live._turn()
    assert bench.stream.asked == []
    bench.hear_in_vain()
    assert [name for name, _ in bench.stream.asked] == ["ETH/USD"] * 2 + ["SOL/USD"] * 2
    assert bench.live.has_begun


def test_loop_that_never_came_round_has_not_begun(bench: Bench) -> None:
    """However little there is to start with."""
    assert not bench.live.has_begun
    bench.live.turned_at = bench.now
    assert bench.live.has_begun


@pytest.mark.parametrize(("seconds", "is_polled"), [(10.0, False), (10.1, True)])
def test_price_that_moves_for_long_without_a_trade_has_lost_its_trades(
    bench: Bench, seconds: float, is_polled: bool
) -> None:
    """A price and its trade come within milliseconds of each other; three moves are no chance."""
    bench.hear(bench.tick(50_000), bench.tick(50_001), bench.tick(50_002))
    bench.now += seconds
    bench.hear(bench.tick(50_003))
    assert bench.streams.is_polled("BTC/USD") is is_polled


def test_trade_in_between_shows_that_trades_come(bench: Bench) -> None:
    """From then on the moves are counted anew."""
    bench.hear(bench.tick(50_000), bench.tick(50_001), bench.tick(50_002))
    bench.now += 8.0
    bench.hear(Trades(BTC, (printed(999, 50_002),), bench.now))
    bench.now += 8.0
    bench.hear(bench.tick(50_003))
    assert not bench.streams.is_polled("BTC/USD")


def test_trade_tells_that_the_channel_speaks_again(bench: Bench) -> None:
    """A market that was polled for want of trades is streamed once one comes."""
    bench.hear(SymbolMute(BTC, Channel.TRADE, NOW))
    assert bench.streams.is_polled("BTC/USD")
    bench.hear(Trades(BTC, (printed(999, 50_002),), bench.now))
    assert not bench.streams.is_polled("BTC/USD")


def test_past_is_asked_for_between_two_polls(bench: Bench) -> None:
    """A price may have come and gone; a market that streams has no such hole."""
    asked: list[tuple[str, bool]] = []

    def look_again(market: str, *, if_closed: bool = False) -> None:
        asked.append((market, if_closed))

    bench.live.watch.look_again = look_again  # type: ignore[method-assign]  # what is asked for
    polled = PolledPrice("BTC/USD", Decimal(50_000), bench.now)
    bench.hear(polled)
    assert asked == []
    bench.hear(SymbolMute(BTC, Channel.TRADE, NOW), polled)
    assert asked == [("BTC/USD", True)]
    bench.hear(Resubscribed(BTC, Channel.TICKER, NOW))
    assert len(asked) == 1
    bench.hear(Resubscribed(BTC, Channel.TRADE, NOW))
    assert asked[1:] == [("BTC/USD", False)]
