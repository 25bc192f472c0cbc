"""What has fired, and the first crossing that is found of it afterwards."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from tests.kits.orders.order_bench import Bench
from tests.kits.orders.order_bench import rule as order_rule
from tests.kits.rows.watch_kit import MARKET, OLD, S, WatchBench, armed, priced, printed, rule
from ttslo_app.clocks import Clocks, Reckoning, clock_time
from ttslo_app.messages import BookArm, Fetched, FirstCrossing, Market, Past
from ttslo_app.rules.rule import WhenBlind
from ttslo_app.watch.crossings import Armed, Fired, Firing, news_of
from ttslo_app.watch.tape import Position, Saved

AT_TWO = "1970-01-01T00:20:02.000000+00:00"


@pytest.fixture
def bench() -> WatchBench:
    """Hand out a bench with nothing armed."""
    return WatchBench()


def test_trades_of_after_a_firing_are_no_news_of_it(bench: WatchBench) -> None:
    """A rule that has fired is not told to have been crossed by what was traded later."""
    bench.arm(WhenBlind.ALWAYS)
    bench.settle()
    bench.go_blind()
    bench.watch.price("BTC/USD", Decimal(51300))
    bench.past(2, 51200, 51250, 51280, 51300)
    assert (bench.fired_at, bench.found) == ([51300], [])
    assert not any("crossed 51000" in text for _, text in bench.said)


def test_earlier_crossing_of_a_fired_rule_is_told(bench: WatchBench) -> None:
    """What a look back finds of a rule that has fired since is said, and kept with its order."""
    bench.arm()
    bench.settle()
    bench.go_blind()
    bench.trade(5, 51300)
    bench.past(2, 50900, 51200, 51250, 51300)
    assert bench.fired_at == [51300]
    assert "a price that was seen since crossed it, too, and what became of" in bench.said[-1][1]
    assert bench.found == [FirstCrossing("up", "51200", "1970-01-01T00:20:03.000000+00:00")]


def test_row_that_had_expired_when_prices_came_again_is_not_told_to_have_fired(
    bench: WatchBench,
) -> None:
    """Its crossing was handed on, and the order thread has placed nothing for it, and said so."""
    orders = Bench(row := order_rule("up", expires="+1h"))
    bench.arm()
    bench.settle()
    bench.go_blind()
    bench.trade(5, 51300)
    (crossing,) = bench.crossings
    orders.clock.seconds += 3601
    orders.worker.submit(replace(crossing, rule=row, seen_at=orders.clock.seconds))
    orders.worker.work_off()
    assert orders.placed == 0
    assert orders.heard("after the row had expired")
    bench.past(2, 50900, 51200, 51250, 51300)
    said = bench.said[-1][1]
    assert "up: BTC/USD crossed 51000 at" in said
    assert "fired" not in said
    assert "placed" not in said


@pytest.mark.parametrize(("price", "is_told"), [(51300, False), (51200, True)])
def test_very_price_that_fired_is_not_told_as_one_that_nobody_saw(
    bench: WatchBench, price: int, is_told: bool
) -> None:
    """The ticker is seen a moment after its trade; REST's answer about that trade is no news."""
    bench.arm()
    bench.settle()
    bench.go_blind()
    bench.now = 1204.0
    bench.watch.price("BTC/USD", Decimal(51300))
    bench.past(2, 50900, price)
    assert bench.fired_at == [51300]
    assert any("crossed 51000 at" in text for _, text in bench.said) is is_told
    assert bench.first_prices == (["51200"] if is_told else [])


def test_earlier_crossing_than_a_polled_price_is_told(bench: WatchBench) -> None:
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
        ("1970-01-01T00:20:06+00:00", 51250, ["51200"]),  # by a clock that is a second behind
        ("1970-01-01T00:20:05.999+00:00", 51250, []),  # further behind than that clock can be
        ("1970-01-01T00:20:05.100+00:00", 51200, []),  # seen when it happened, by such a clock
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
    bench = WatchBench(saved=Saved(900.0, {"BTC/USD": Position(5, 890 * S)}), now=2000.0)
    bench.fired_before(price, fired_at)
    bench.past(6, 51200, 51250, 51300)
    assert (bench.first_prices, bench.crossings) == (found, [])
    # A place that nobody needed yet is kept for those who may.
    kept = {} if bench.asked else {"BTC/USD": Position(5, 890 * S)}
    assert bench.watch.places().places == kept


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
    bench = WatchBench(saved=Saved(900.0, {"BTC/USD": Position(5, 890 * S)}), now=2000.0)
    bench.fired_before(price, found_at, is_found=True)
    bench.past(6, 51200, 51250, 51300)
    assert bench.first_prices == told


def test_crossing_is_never_told_from_before_the_blind_time() -> None:
    """The hole is as old as what was found in it, whenever the earlier run wrote its last word."""
    bench = WatchBench(saved=Saved(1900.0, {"BTC/USD": Position(5, 890 * S)}), now=2000.0)
    bench.fired_before(51300, "1970-01-01T00:20:09+00:00")
    bench.past(6, 51200, 51300)
    ((_, told),) = bench.said
    assert f"at {clock_time(1206)} while blind from {clock_time(1206)} to" in told


def test_candle_in_which_a_rule_fired_tells_nothing_new() -> None:
    """What an earlier run fired may be the very price that made the candle."""
    bench = WatchBench(saved=Saved(900.0, {"BTC/USD": Position(5, 890 * S)}), now=2000.0)
    bench.fired_before(51300, "1970-01-01T00:20:30+00:00")
    candle = Past(0, Decimal(51400), 1200 * S, 60)
    bench.watch.fetched(Fetched("BTC/USD", (candle,), None, True, bench.now))
    assert bench.first_prices == []


def test_first_crossing_is_told_where_no_place_was_kept(bench: WatchBench) -> None:
    """A program that was killed before it kept any place looks back for the rows that wait."""
    bench.now = 2000.0
    bench.fired_before(51300, "1970-01-01T00:20:09+00:00")
    assert bench.asked == []
    bench.arm(since=OLD, threshold=60000, name="other")
    bench.past(6, 51200, 51250, 51300)
    assert bench.found == [FirstCrossing("up", "51200", "1970-01-01T00:20:06.000000+00:00")]


def test_ticker_that_overtakes_the_trades_leaves_the_first_crossing_to_them(
    bench: WatchBench,
) -> None:
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
    bench: WatchBench, number: int, prices: list[int]
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
    bench: WatchBench, until: float
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


def test_trade_soon_after_the_one_that_the_look_back_fired_on_is_no_news(bench: WatchBench) -> None:
    """What the next look back finds came after the crossing, however close."""
    bench.arm(WhenBlind.ALWAYS)
    bench.settle()
    bench.now = 1105.0
    bench.go_blind()
    bench.past(2, 51200)
    bench.go_blind()
    bench.past(3, 51300)
    assert (bench.fired_at, bench.found) == ([51200], [FirstCrossing("up", "51200", AT_TWO)])


def test_trade_soon_after_the_one_that_the_ticker_told_of_is_no_news(bench: WatchBench) -> None:
    """Once the trade behind a ticker was seen, what a look back finds after it is younger."""
    bench.arm()
    bench.settle()
    bench.now = 1210.0
    bench.watch.price("BTC/USD", Decimal(51300))
    bench.trade(2, 51300)
    bench.go_blind()
    bench.past(3, 51200)
    assert (bench.fired_at, bench.found) == ([51300], [])


def test_row_that_fired_after_the_question_is_looked_up_by_the_next(bench: WatchBench) -> None:
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


ETH = Market("ETH/USD", "XETHZUSD", "ETH/USD")


def test_row_that_was_moved_to_another_market_is_not_fired_by_the_past_of_the_old_one(
    bench: WatchBench,
) -> None:
    """An earlier crossing of what has fired says nothing of what the row waits for now."""
    bench.arm(WhenBlind.ALWAYS)
    bench.settle()
    bench.go_blind()
    bench.trade(5, 51300)
    moved = replace(rule(rule_id="up", policy=WhenBlind.ALWAYS), pair="ETH/USD")
    bench.watch.arm(BookArm(replace(moved, threshold=Decimal(99000)), ETH))
    bench.past(2, 50900, 51200, 51250, 51300)
    assert (bench.fired_at, bench.found) == ([51300], [])


def fired_at(second: int, price: object = 51300, rule_id: str = "r") -> Firing:
    """Return a rule that fired at a second of 1970."""
    return Firing(armed(rule(rule_id=rule_id)), second * S, Decimal(str(price)))


def test_trade_that_comes_late_is_the_first_crossing_once() -> None:
    """The first trade beyond is told, those after it and those younger than the price are not."""
    fired = Fired()
    fired.expect("BTC/USD", [fired_at(10)])
    assert fired.catch_up("BTC/USD", [printed(7, 50900)]) == []
    found = fired.catch_up("BTC/USD", [printed(8, 51200), printed(9, 51250)])
    assert [one.price for one in found] == ["51200"]
    assert fired.ahead == {}
    fired.expect("BTC/USD", [fired_at(10)])
    assert fired.catch_up("BTC/USD", [printed(11, 51200)]) == []
    assert fired.ahead == {}


def test_answer_for_the_past_ends_the_waiting_for_trades_before_it() -> None:
    """What REST has told, or would have, no trade of the stream tells again."""
    fired = Fired()
    fired.expect("BTC/USD", [fired_at(10, rule_id=name) for name in ("a", "b")])
    fired.settle("BTC/USD", {"a"}, 9.0)
    assert [one.armed.rule.id for one in fired.ahead["BTC/USD"]] == ["b"]
    fired.settle("BTC/USD", set(), 10.0)
    assert fired.ahead == {}


@pytest.mark.parametrize(("is_open", "again"), [(True, ["late"]), (False, [])])
def test_what_fired_after_the_question_is_left_to_the_next_answer(
    is_open: bool, again: list[str]
) -> None:
    """An answer is older than what fired after the question; the next one tells, if one follows."""
    fired = Fired()
    for one in (fired_at(5, rule_id="early"), fired_at(15, rule_id="late")):
        fired.add(one)
    assert list(fired.take("BTC/USD", 10.0, is_open=is_open)) == ["early", "late"]
    assert list(fired.take("BTC/USD", 20.0, is_open=False)) == again


@pytest.mark.parametrize(
    ("start", "end", "has_fired"),
    [(5.0, 10.0, True), (5.0, 9.0, True), (5.0, 8.9, False), (10.1, 20.0, False)],
)
def test_firing_is_within_a_time_or_soon_after(start: float, end: float, has_fired: bool) -> None:
    """The doubt about the clocks is a second."""
    fired = Fired()
    fired.add(fired_at(10))
    assert fired.has_fired("BTC/USD", start, end) is has_fired
    fired.leave("BTC/USD")
    assert not fired.has_fired("BTC/USD", start, end)


@pytest.mark.parametrize("since", [0, 20])
def test_what_a_rule_fired_before_it_waited_anew_is_forgotten(since: int) -> None:
    """Found out now, it would pass for a crossing of the present arming; others keep theirs."""
    fired = Fired()
    for rule_id in ("again", "other"):
        fired.add(fired_at(10, rule_id=rule_id))
        fired.expect("BTC/USD", [fired_at(10, rule_id=rule_id)])
    fired.expect("ETH/USD", [fired_at(10, rule_id="again")])
    fired.forget("again", since * S)  # both have waited since 0
    left = ["again", "other"] if since == 0 else ["other"]
    assert [one.armed.rule.id for one in fired.ahead["BTC/USD"]] == left
    assert ("ETH/USD" in fired.ahead) is (since == 0)
    assert list(fired.take("BTC/USD", 20.0, is_open=False)) == left


def test_market_that_is_left_expects_nothing() -> None:
    """Followed again, its next trade is none that an old price told of."""
    fired = Fired()
    fired.expect("BTC/USD", [fired_at(10)])
    fired.expect("ETH/USD", [fired_at(10)])
    fired.leave("BTC/USD")
    assert list(fired.ahead) == ["ETH/USD"]


def test_news_are_of_what_waits_and_of_what_fired_later() -> None:
    """Of a rule that waits each crossing is news, of one that has fired only an older one."""
    past = priced(50000, 51200)
    waits = {"waits": armed(rule(rule_id="waits"))}
    fired = {"early": fired_at(1, rule_id="early"), "late": fired_at(3, rule_id="late")}
    assert [touch.rule.id for touch in news_of(past, waits, fired)] == ["late", "waits"]


def test_what_fired_since_a_guess_is_looked_up_once_the_time_is_known() -> None:
    """Until then no answer tells what was traded before its arming; afterwards one does."""
    fired = Fired()
    guess = Armed(rule(rule_id="new"), MARKET, 9_000 * S, since_at=1.0, is_guess=True)
    fired.add(Firing(guess, 9_000 * S, Decimal(51005), fired_at=2.0))
    fired.add(Firing(armed(rule(rule_id="old"), 5), 30 * S, Decimal(51005)))
    assert set(fired.take("BTC/USD", 40.0, is_open=False)) == {"old"}
    time = Reckoning(Clocks(lambda: 50.0, lambda: 50.0, lambda: 3.0))
    (right,) = fired.put_right(time)
    assert (right.since_ns, right.is_guess) == (48 * S, False)
    assert fired.put_right(time) == []
    (one,) = fired.take("BTC/USD", 60.0, is_open=False).values()
    assert (one.armed, one.at_ns, one.fired_at) == (right, 50 * S, None)
