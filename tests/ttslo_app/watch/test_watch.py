"""The watch alone: rules, prices, holes and policies, on clocks of the test's own."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal

import pytest

from krakenlink.stream.feed import Symbol, TradePrint, Trades
from ttslo_app.clocks import Clocks, clock_time
from ttslo_app.messages import (
    BookArm,
    BookFired,
    Crossing,
    Fetched,
    FirstCrossing,
    Market,
    NotFetched,
    Past,
)
from ttslo_app.rules.rule import Direction, Rule, ThresholdType, WhenBlind
from ttslo_app.watch.tape import Position, Saved
from ttslo_app.watch.watch import Watch

S = 1_000_000_000
START = 1_000.0
BTC = Market("BTC/USD", "XXBTZUSD", "BTC/USD")
AT_TWO = "1970-01-01T00:20:02.000000+00:00"
OLD = "1970-01-01T00:01:00+00:00"


@dataclass
class Bench:
    """A watch with everything around it: what it sends, says, asks for, and the proven price."""

    default: WhenBlind = WhenBlind.ARM_IF_BEYOND
    saved: Saved | None = None
    now: float = START
    present: Decimal | None = None
    crossings: list[Crossing] = field(default_factory=list)
    found: list[FirstCrossing] = field(default_factory=list)
    said: list[tuple[str, str]] = field(default_factory=list)
    asked: list[tuple[str, Position]] = field(default_factory=list)
    distances: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.watch = Watch(
            submit=self.take,
            say=lambda level, text, **fields: self.said.append((level, text)),
            want=self.ask,
            present=lambda market: self.present,
            clocks=Clocks(lambda: self.now, lambda: self.now, lambda: self.now),
            default=self.default,
            saved=self.saved,
        )

    def take(self, message: Crossing | FirstCrossing) -> None:
        """Keep what is sent to the order thread."""
        if isinstance(message, Crossing):
            self.crossings.append(message)
        else:
            self.found.append(message)

    def ask(self, market: Market, after: Position, delay: float, distance: float) -> None:
        """Keep what is asked for."""
        self.asked.append((market.name, after))
        self.distances.append(distance)

    def arm(
        self,
        policy: WhenBlind | None = None,
        since: str = "",
        threshold: int = 51000,
        name: str = "up",
    ) -> None:
        """Arm a rule that fires at or above its threshold."""
        one = Rule(
            name, "BTC/USD", Decimal(threshold), ThresholdType.ABOVE, Direction.SELL,
            Decimal(1), Decimal(1), enabled=True, when_blind=policy,
        )  # fmt: skip
        self.watch.arm(BookArm(one, BTC, since))

    def trade(self, number: int, *prices: int) -> None:
        """Let one frame come, its trades numbered from `number` on, one second each."""
        self.present = Decimal(prices[-1])
        rows = tuple(
            TradePrint(Symbol("BTC/USD"), Decimal(p), Decimal(1), n, f"1970-01-01T00:20:{n:02}Z")
            for n, p in enumerate(prices, number)
        )
        self.watch.trades(Trades(Symbol("BTC/USD"), rows, self.now))

    def past(self, number: int, *prices: int) -> None:
        """Let REST's answer come: trades numbered from `number` on."""
        rows = tuple(Past(n, Decimal(p), (1200 + n) * S) for n, p in enumerate(prices, number))
        self.watch.fetched(
            Fetched("BTC/USD", rows, rows[-1] if rows else None, is_cut=False, until=self.now)
        )

    def settle(self) -> None:
        """See a first trade, and learn what was before it."""
        self.trade(1, 50000)
        self.past(1, 50000)
        self.said.clear()

    def go_blind(self) -> None:
        """Lose the link for a while."""
        self.present = None
        self.watch.go_blind(["BTC/USD"], self.now)
        self.now += 100
        self.watch.see_again()

    def fired_before(self, price: int, at: str, *, is_found: bool = False) -> None:
        """Tell of a rule `up`, at or above 51000, that an earlier run fired."""
        one = Rule(
            "up", "BTC/USD", Decimal(51000), ThresholdType.ABOVE, Direction.SELL,
            Decimal(1), Decimal(1), enabled=False,
        )  # fmt: skip
        self.watch.fired_before(BookFired(one, BTC, OLD, at, str(price), is_found))

    @property
    def first_prices(self) -> list[str]:
        """The first crossings that were found afterwards."""
        return [found.price for found in self.found]

    @property
    def fired_at(self) -> list[int]:
        """The prices of the crossings so far."""
        return [int(c.price) for c in self.crossings]


@pytest.fixture
def bench() -> Bench:
    """Hand out a bench with nothing armed."""
    return Bench()


@pytest.mark.parametrize(
    ("policy", "after", "fired"),
    [
        (None, 50100, []),
        (None, 51300, [51300]),
        (WhenBlind.ALWAYS, 50100, [51200]),
        (WhenBlind.NOTIFY, 50100, []),
        (WhenBlind.NOTIFY, 51300, []),
    ],
)
def test_policy_decides_on_what_the_hole_held(
    bench: Bench, policy: WhenBlind | None, after: int, fired: list[int]
) -> None:
    """A spike in a hole fires by the row's policy and the price that stands afterwards."""
    bench.arm(policy)
    bench.settle()
    bench.go_blind()
    bench.past(2, 51200, after)
    assert not bench.crossings or policy is WhenBlind.ALWAYS
    bench.trade(4, after)
    assert bench.fired_at == fired
    assert any("crossed 51,000 at" in text for _, text in bench.said)


def test_present_price_beyond_fires_when_the_hole_is_known(bench: Bench) -> None:
    """The default needs no tick to come: a proven price that stands beyond is enough."""
    bench.arm()
    bench.settle()
    bench.go_blind()
    bench.present = Decimal(51300)
    bench.past(2, 51200, 51300)
    assert (bench.fired_at, bench.first_prices) == ([51300], ["51200"])
    assert "still beyond it at 51300" in bench.said[-1][1]


def test_trades_of_after_a_firing_are_no_news_of_it(bench: Bench) -> None:
    """A rule that has fired is not told to have been crossed by what was traded later."""
    bench.arm(WhenBlind.ALWAYS)
    bench.settle()
    bench.go_blind()
    bench.watch.price("BTC/USD", Decimal(51300))
    bench.past(2, 51200, 51250, 51280, 51300)
    assert (bench.fired_at, bench.found) == ([51300], [])
    assert not any("crossed 51,000" in text for _, text in bench.said)


def test_earlier_crossing_of_a_fired_rule_is_told(bench: Bench) -> None:
    """What a look back finds of a rule that has fired since is said, and kept with its order."""
    bench.arm()
    bench.settle()
    bench.go_blind()
    bench.trade(5, 51300)
    bench.past(2, 50900, 51200, 51250, 51300)
    assert bench.fired_at == [51300]
    assert "as soon as prices came again" in bench.said[-1][1]
    assert bench.found == [FirstCrossing("up", "51200", "1970-01-01T00:20:03.000000+00:00")]


def test_earlier_crossing_than_a_polled_price_is_told(bench: Bench) -> None:
    """A price that no trade of the stream carried is as old as its coming."""
    bench.arm()
    bench.settle()
    bench.go_blind()
    bench.now = 1203.5
    bench.watch.price("BTC/USD", Decimal(51300))
    bench.past(2, 50900, 51200)
    assert (bench.fired_at, bench.first_prices) == ([51300], ["51200"])


@pytest.mark.parametrize(
    ("fired_at", "price", "found"),
    [
        ("1970-01-01T00:20:09+00:00", 51300, ["51200"]),  # fired before it was looked back
        ("1970-01-01T00:20:09+00:00", 51200, []),  # seen when it happened
        ("1970-01-01T00:30:00+00:00", 51200, ["51200"]),  # the same price, long afterwards
        ("1970-01-01T00:20:01+00:00", 51300, []),  # before any of the trades that were missed
        ("1970-01-01T00:20:09+00:00", 51275, []),  # on a trade up to the place that was kept
        ("1970-01-01T00:14:00+00:00", 51300, []),  # before the place that was kept
        ("", 51300, []),  # nobody knows when
    ],
)
def test_first_crossing_of_what_an_earlier_run_fired_is_told(
    fired_at: str, price: int, found: list[str]
) -> None:
    """A program that was killed before its look back leaves it to the next start."""
    bench = Bench(saved=Saved(900.0, {"BTC/USD": Position(5, 890 * S)}), now=2000.0)
    bench.fired_before(price, fired_at)
    bench.past(6, 51200, 51250, 51300)
    assert (bench.first_prices, bench.crossings) == (found, [])
    assert bench.watch.places().places == {}


@pytest.mark.parametrize(
    ("found_at", "price", "told"),
    [
        ("1970-01-01T00:20:07.000000+00:00", 51250, ["51200"]),  # an older one is told
        ("1970-01-01T00:20:06.000000+00:00", 51200, []),  # it is that one
        ("1970-01-01T00:20:05.999000+00:00", 51400, []),  # it was before this one
    ],
)
def test_first_crossing_that_was_found_gives_way_to_none_but_an_older_one(
    found_at: str, price: int, told: list[str]
) -> None:
    """Trades have their moments from one clock, so that nothing is left in doubt."""
    bench = Bench(saved=Saved(900.0, {"BTC/USD": Position(5, 890 * S)}), now=2000.0)
    bench.fired_before(price, found_at, is_found=True)
    bench.past(6, 51200, 51250, 51300)
    assert bench.first_prices == told


def test_crossing_is_never_told_from_before_the_blind_time() -> None:
    """The hole is as old as what was found in it, whenever the earlier run wrote its last word."""
    bench = Bench(saved=Saved(1900.0, {"BTC/USD": Position(5, 890 * S)}), now=2000.0)
    bench.fired_before(51300, "1970-01-01T00:20:09+00:00")
    bench.past(6, 51200, 51300)
    ((_, told),) = bench.said
    assert f"at {clock_time(1206)} while blind from {clock_time(1206)} to" in told


def test_candle_in_which_a_rule_fired_tells_nothing_new() -> None:
    """What an earlier run fired may be the very price that made the candle."""
    bench = Bench(saved=Saved(900.0, {"BTC/USD": Position(5, 890 * S)}), now=2000.0)
    bench.fired_before(51300, "1970-01-01T00:20:30+00:00")
    candle = Past(0, Decimal(51400), 1200 * S, 60)
    bench.watch.fetched(Fetched("BTC/USD", (candle,), None, True, bench.now))
    assert bench.first_prices == []


def test_first_crossing_is_told_where_no_place_was_kept(bench: Bench) -> None:
    """A program that was killed before it kept any place looks back for the rows that wait."""
    bench.now = 2000.0
    bench.fired_before(51300, "1970-01-01T00:20:09+00:00")
    assert bench.asked == []
    bench.arm(since=OLD, threshold=60000, name="other")
    bench.past(6, 51200, 51250, 51300)
    assert bench.found == [FirstCrossing("up", "51200", "1970-01-01T00:20:06.000000+00:00")]


def test_hole_in_the_numbers_is_asked_for(bench: Bench) -> None:
    """A number left out is fetched from the last one before it, and then nothing is owed."""
    bench.arm(WhenBlind.ALWAYS)
    bench.settle()
    bench.trade(4, 50010)
    assert bench.asked[-1] == ("BTC/USD", Position(1, 1201 * S))
    bench.past(2, 51200, 50000, 50010)
    assert bench.fired_at == [51200]


def test_stream_ahead_of_rest_is_asked_again(bench: Bench) -> None:
    """An answer that does not reach the stream's trades settles nothing."""
    bench.arm(WhenBlind.ALWAYS)
    bench.settle()
    bench.trade(5, 50010)
    count = len(bench.asked)
    bench.past(2, 51200)
    assert bench.fired_at == []
    assert len(bench.asked) == count + 1


def test_notify_fires_at_a_crossing_that_is_seen(bench: Bench) -> None:
    """Parked on the far side, equality included; armed by the first price on the near side."""
    bench.arm(WhenBlind.NOTIFY)
    bench.settle()
    bench.go_blind()
    bench.past(2, 51200)
    bench.trade(3, 51100, 51000, 51300)
    assert bench.fired_at == []
    bench.trade(6, 50999)
    bench.trade(7, 51000)
    assert bench.fired_at == [51000]


def test_notify_row_that_was_not_crossed_while_blind_fires_at_once(bench: Bench) -> None:
    """A live price beyond waits for the look back, and fires when the hole held no crossing."""
    bench.arm(WhenBlind.NOTIFY)
    bench.settle()
    bench.go_blind()
    bench.trade(3, 51300)
    assert bench.fired_at == []
    bench.past(2, 50500, 51300)
    assert bench.fired_at == [51300]


def test_parked_rule_stays_parked_over_a_restart() -> None:
    """A row that was told of its crossing does not fire because the program was started anew."""
    saved = Saved(900.0, {"BTC/USD": Position(5, 890 * S)}, frozenset({"up"}))
    bench = Bench(saved=saved, present=Decimal(51500))
    bench.arm(WhenBlind.NOTIFY, OLD)
    bench.past(6)
    bench.trade(6, 51600)
    assert bench.fired_at == []
    assert bench.watch.places().parked == {"up"}


def test_restart_goes_on_from_the_place_that_was_kept() -> None:
    """What was traded since the last run is asked for from its last trade on."""
    bench = Bench(saved=Saved(900.0, {"BTC/USD": Position(5, 890 * S)}))
    bench.arm(WhenBlind.ALWAYS, OLD)
    assert bench.asked == [("BTC/USD", Position(5, 890 * S))]
    bench.past(6, 51200, 50000)
    assert bench.fired_at == [51200]
    assert bench.watch.places().places == {"BTC/USD": Position(7, 1207 * S)}


def test_restart_without_a_place_begins_with_the_oldest_row(bench: Bench) -> None:
    """Where nothing was kept, looking begins when the first of the market's rows was armed."""
    bench.arm(since="1970-01-01T00:05:00+00:00")
    bench.arm(since=OLD)
    bench.watch.see_again()
    assert bench.asked[-1] == ("BTC/USD", Position(None, 60 * S))


def test_rule_is_not_fired_by_older_trades(bench: Bench) -> None:
    """Trades of before the arming do not count, in whatever hole they are found."""
    bench.now = 1300.0
    bench.arm(WhenBlind.ALWAYS)
    bench.past(1, 51200, 50000)
    assert bench.fired_at == []


def test_trouble_is_said_once_and_its_end_too(bench: Bench) -> None:
    """A hole that REST cannot close is news the first time, and when it is closed."""
    bench.arm()
    bench.settle()
    bench.go_blind()
    for _ in range(3):
        bench.watch.not_fetched(NotFetched("BTC/USD", "EService:Busy"))
    assert [level for level, text in bench.said] == ["WARNING"]
    bench.past(2, 50000)
    assert [level for level, text in bench.said[1:]] == ["INFO", "INFO"]


def test_market_that_nobody_watches_is_left_alone(bench: Bench) -> None:
    """What still arrives for a market that was left changes nothing."""
    bench.arm()
    bench.watch.forget("up")
    bench.watch.leave("BTC/USD")
    bench.trade(1, 52000)
    bench.past(1, 52000)
    bench.watch.not_fetched(NotFetched("BTC/USD", "late"))
    bench.watch.look_again("BTC/USD")
    assert (bench.crossings, bench.said) == ([], [])


def test_ticker_that_overtakes_the_trades_leaves_the_first_crossing_to_them(bench: Bench) -> None:
    """The price now fires at once, and the trade that crossed first is found when it comes."""
    bench.arm()
    bench.settle()
    bench.now = 1210.0
    bench.watch.price("BTC/USD", Decimal(51300))
    bench.trade(2, 50900, 51200, 51300)
    bench.trade(5, 51250)
    assert (bench.fired_at, bench.first_prices) == ([51300], ["51200"])


@pytest.mark.parametrize(("number", "prices"), [(2, [51300, 51200]), (15, [51200])])
def test_ticker_of_the_first_crossing_leaves_nothing_to_find(
    bench: Bench, number: int, prices: list[int]
) -> None:
    """A trade that the ticker told of, or that is younger than the ticker, is no news."""
    bench.arm()
    bench.settle()
    bench.now = 1210.0
    bench.watch.price("BTC/USD", Decimal(51300))
    bench.trade(number, *prices)
    bench.trade(number + len(prices), 51200)
    assert (bench.fired_at, bench.found) == ([51300], [])


@pytest.mark.parametrize("until", [1210.5, 1300.0])
def test_first_crossing_that_the_look_back_found_is_not_outdone_by_younger_trades(
    bench: Bench, until: float
) -> None:
    """A trade within the doubt about the clocks is not taken for one before the order."""
    bench.arm()
    bench.settle()
    bench.go_blind()
    bench.now = 1210.0
    bench.watch.price("BTC/USD", Decimal(51300))
    bench.now = until
    bench.past(2, 50900, 51200, 51300)
    bench.trade(11, 51250)
    assert (bench.fired_at, bench.first_prices) == ([51300], ["51200"])


def test_trade_soon_after_the_one_that_the_look_back_fired_on_is_no_news(bench: Bench) -> None:
    """What the next look back finds came after the crossing, however close."""
    bench.arm(WhenBlind.ALWAYS)
    bench.settle()
    bench.now = 1105.0
    bench.go_blind()
    bench.past(2, 51200)
    bench.go_blind()
    bench.past(3, 51300)
    assert (bench.fired_at, bench.found) == ([51200], [FirstCrossing("up", "51200", AT_TWO)])


def test_trade_soon_after_the_one_that_the_ticker_told_of_is_no_news(bench: Bench) -> None:
    """Once the trade behind a ticker was seen, what a look back finds after it is younger."""
    bench.arm()
    bench.settle()
    bench.now = 1210.0
    bench.watch.price("BTC/USD", Decimal(51300))
    bench.trade(2, 51300)
    bench.go_blind()
    bench.past(3, 51200)
    assert (bench.fired_at, bench.found) == ([51300], [])


@pytest.mark.parametrize(
    ("held", "fired"),
    [([50500, 50600, 50700], [51300]), ([50500, 51200, 50700], [51001])],
    ids=["nothing-crossed-in-the-hole", "crossed-in-the-hole"],
)
def test_crossing_that_is_seen_while_a_row_is_parked_just_in_case_counts(
    bench: Bench, held: list[int], fired: list[int]
) -> None:
    """A row that is told only of blind times fires on what was seen, if that was the first."""
    bench.arm(WhenBlind.NOTIFY)
    bench.settle()
    bench.go_blind()
    bench.trade(5, 51300, 50900)
    assert bench.fired_at == []
    bench.past(2, *held)
    bench.trade(7, 51001)
    assert bench.fired_at == fired


def test_trade_of_before_a_row_that_is_parked_does_not_count_for_it(bench: Bench) -> None:
    """What is seen while a row is parked fires it only if it is younger than the row."""
    bench.arm(WhenBlind.NOTIFY, since="1970-01-01T00:20:05.5+00:00")
    bench.settle()
    bench.go_blind()
    bench.trade(5, 51300, 51400)
    bench.past(2, 50500, 50600, 50700)
    assert bench.fired_at == [51400]


def test_price_that_was_seen_beyond_an_old_threshold_fires_no_new_one(bench: Bench) -> None:
    """A row that is edited while a look back is under way waits for its own crossing."""
    bench.arm(WhenBlind.NOTIFY)
    bench.settle()
    bench.go_blind()
    bench.trade(3, 51200)
    bench.arm(WhenBlind.NOTIFY, threshold=60000)
    bench.trade(4, 50500)
    bench.past(1, 50000, 50000, 51200, 50500)
    assert bench.crossings == []
    bench.trade(5, 60000)
    assert bench.fired_at == [60000]


@pytest.mark.parametrize("since", ["", "1970-01-01T00:16:50+00:00"])
def test_row_that_is_told_only_stays_parked_when_its_volume_is_edited(
    bench: Bench, since: str
) -> None:
    """It was said that no order is placed until the price comes back: that goes on to hold."""
    bench.arm(WhenBlind.NOTIFY, since=since)
    bench.settle()
    bench.go_blind()
    bench.trade(3, 51200)
    bench.past(2, 51100)
    one = bench.watch.rules["up"].rule
    bench.watch.arm(BookArm(replace(one, volume=Decimal(2)), BTC, since))
    assert bench.crossings == []
    bench.trade(4, 50900, 51300)
    assert bench.fired_at == [51300]


def test_row_that_is_told_only_stays_parked_while_it_is_blind_again(bench: Bench) -> None:
    """An answer for the first blind time arms nothing in the second."""
    bench.arm(WhenBlind.NOTIFY)
    bench.settle()
    bench.go_blind()
    bench.watch.go_blind(["BTC/USD"], bench.now)
    bench.past(2, 50500)
    bench.watch.price("BTC/USD", Decimal(51300))
    assert bench.fired_at == []


def test_row_that_fired_after_the_question_is_looked_up_by_the_next(bench: Bench) -> None:
    """An answer that is older than an order leaves the first crossing to the next answer."""
    bench.arm()
    bench.settle()
    bench.go_blind()
    asked_at = 1200.5
    bench.now = 1210.0
    bench.watch.go_blind(["BTC/USD"], asked_at)
    bench.watch.price("BTC/USD", Decimal(51300))
    bench.now = asked_at
    bench.past(2)
    bench.now = 1300.0
    bench.watch.see_again()
    bench.past(2, 51200)
    assert (bench.fired_at, bench.first_prices) == ([51300], ["51200"])


def test_poll_lets_a_look_back_come_to_its_end(bench: Bench) -> None:
    """A market without a stream is asked about anew only once the last answer is there."""
    bench.arm()
    bench.settle()
    bench.watch.look_again("BTC/USD", if_closed=True)
    asked = len(bench.asked)
    bench.watch.look_again("BTC/USD", if_closed=True)
    assert len(bench.asked) == asked
    bench.past(2, 50000)
    bench.watch.look_again("BTC/USD", if_closed=True)
    assert len(bench.asked) == asked + 1


def test_answer_that_comes_while_blind_again_ends_no_blind_time(bench: Bench) -> None:
    """What was asked before the link went down says nothing of the time after it."""
    bench.arm(WhenBlind.ALWAYS)
    bench.settle()
    bench.go_blind()
    bench.watch.go_blind(["BTC/USD"], bench.now)
    bench.past(2, 50100)
    bench.now += 100
    bench.watch.see_again()
    assert bench.asked[-1] == ("BTC/USD", Position(2, 1202 * S))
    bench.past(3, 51200, 50000)
    assert bench.fired_at == [51200]


@pytest.mark.parametrize(
    ("policy", "distance"),
    [(WhenBlind.ALWAYS, 0.02), (WhenBlind.ARM_IF_BEYOND, 0.02), (WhenBlind.NOTIFY, 0.0)],
)
def test_nearest_threshold_says_how_soon_a_market_is_looked_back_over(
    bench: Bench, policy: WhenBlind, distance: float
) -> None:
    """Markets come first where a crossing is likeliest, or a row waits for what the past held."""
    bench.arm(policy)
    bench.arm(policy, threshold=60000, name="far")
    assert bench.distances == [0.0]  # no price is known yet
    bench.settle()
    bench.go_blind()
    assert bench.distances[-1] == distance


def test_look_again_asks_for_all_since_the_last_look(bench: Bench) -> None:
    """A market without a stream is followed by its trades, look by look."""
    bench.arm(WhenBlind.ALWAYS)
    bench.settle()
    bench.watch.look_again("BTC/USD")
    assert bench.asked[-1] == ("BTC/USD", Position(1, 1201 * S))
    bench.past(2, 51200, 50000)
    assert bench.fired_at == [51200]
