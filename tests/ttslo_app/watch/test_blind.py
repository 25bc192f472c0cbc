"""Blind times: what is asked about them, and what the answers settle."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from tests.kits.rows.watch_kit import MARKET, OLD, START, S, WatchBench, armed, rule
from ttslo_app.clocks import Clocks, Reckoning
from ttslo_app.messages import BookArm, Fetched, Market, NotFetched, Past
from ttslo_app.rules.rule import WhenBlind
from ttslo_app.watch.blind import Ask, Blind, Closed, Hide
from ttslo_app.watch.past import Pace
from ttslo_app.watch.tape import Position, Saved

OTHER = Market("ETH/USD", "XETHZUSD", base="XETH", quote="ZUSD")


@pytest.fixture
def bench() -> WatchBench:
    """Hand out a bench with nothing armed."""
    return WatchBench()


def test_hole_in_the_numbers_is_asked_for(bench: WatchBench) -> None:
    """A number left out is fetched from the last one before it, and then nothing is owed."""
    bench.arm(WhenBlind.ALWAYS)
    bench.settle()
    bench.trade(4, 50010)
    assert bench.asked[-1] == ("BTC/USD", Position(1, 1201 * S))
    bench.past(2, 51200, 50000, 50010)
    assert bench.fired_at == [51200]


def test_stream_ahead_of_rest_is_asked_again(bench: WatchBench) -> None:
    """An answer that does not reach the stream's trades is judged, and closes nothing."""
    bench.arm(WhenBlind.ALWAYS)
    bench.settle()
    bench.trade(5, 50010)
    count = len(bench.asked)
    bench.past(2, 50200)
    assert bench.fired_at == []
    assert not any("no threshold" in text for _, text in bench.said)
    assert len(bench.asked) == count + 1
    assert bench.asked[-1][1].trade_id == 2


def test_restart_goes_on_from_the_place_that_was_kept() -> None:
    """What was traded since the last run is asked for from its last trade on."""
    bench = WatchBench(saved=Saved(900.0, {"BTC/USD": Position(5, 890 * S)}))
    bench.arm(WhenBlind.ALWAYS, OLD)
    assert bench.asked == [("BTC/USD", Position(5, 890 * S))]
    bench.past(6, 51200, 50000)
    assert bench.fired_at == [51200]
    assert bench.watch.places().places == {"BTC/USD": Position(7, 1207 * S)}


def test_restart_without_a_place_begins_with_the_oldest_row(bench: WatchBench) -> None:
    """Where nothing was kept, looking begins when the first of the market's rows was armed."""
    bench.arm(since="1970-01-01T00:05:00+00:00")
    bench.arm(since=OLD)
    bench.watch.see_again()
    assert bench.asked[-1] == ("BTC/USD", Position(None, 60 * S))


def test_trouble_is_said_once_and_its_end_too(bench: WatchBench) -> None:
    """A hole that REST cannot close is news the first time, and when it is closed."""
    bench.arm()
    bench.settle()
    bench.go_blind()
    for _ in range(3):
        bench.watch.not_fetched(NotFetched("BTC/USD", "EService:Busy"))
    assert [level for level, text in bench.said] == ["WARNING"]
    bench.past(2, 50000)
    assert [level for level, text in bench.said[1:]] == ["INFO", "INFO"]


def test_poll_lets_a_look_back_come_to_its_end(bench: WatchBench) -> None:
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


def test_answer_that_comes_while_blind_again_ends_no_blind_time(bench: WatchBench) -> None:
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
    bench: WatchBench, policy: WhenBlind, distance: float
) -> None:
    """Markets come first where a crossing is likeliest, or a row waits for what the past held."""
    bench.arm(policy)
    bench.arm(policy, threshold=60000, name="far")
    assert bench.distances == [0.0]  # no price is known yet
    bench.settle()
    bench.go_blind()
    assert bench.distances[-1] == distance


def test_look_again_asks_for_all_since_the_last_look(bench: WatchBench) -> None:
    """A market without a stream is followed by its trades, look by look."""
    bench.arm(WhenBlind.ALWAYS)
    bench.settle()
    bench.watch.look_again("BTC/USD")
    assert bench.asked[-1] == ("BTC/USD", Position(1, 1201 * S))
    bench.past(2, 51200, 50000)
    assert bench.fired_at == [51200]


def test_trouble_of_a_market_that_is_followed_anew_is_said_anew(bench: WatchBench) -> None:
    """What was said of a market ends with following it."""
    for _ in range(2):
        bench.arm()
        bench.watch.not_fetched(NotFetched("BTC/USD", "EService:Busy"))
        bench.watch.forget("up")
        bench.watch.leave("BTC/USD")
    assert [level for level, _ in bench.said] == ["WARNING", "WARNING"]


@pytest.fixture
def blind() -> Blind:
    """Hand out the blind times of a program that was started at second 1000."""
    clocks = Clocks(lambda: START, lambda: START, lambda: START)
    return Blind(clocks, Reckoning(clocks), Saved(900.0, {"BTC/USD": Position(5, 890 * S)}), Pace())


def test_wishes_hide_before_they_ask(blind: Blind) -> None:
    """How urgent a question is depends on what is parked: nothing fires before it is answered."""
    (first,) = blind.follow(armed())
    assert first == Ask(MARKET, Position(5, 890 * S), Pace().settle)
    assert [type(one) for one in blind.hole("BTC/USD", is_opening=False)] == [Hide, Ask]
    assert [type(one) for one in blind.hole("BTC/USD", is_opening=True)] == [Ask]
    assert blind.lose(["BTC/USD", "nobody's"], START) == [Hide("BTC/USD")]


def test_place_of_an_earlier_run_serves_old_rules_alone(blind: Blind) -> None:
    """A rule of this run waits from now on; its market's older trades are nobody's."""
    (ask,) = blind.follow(replace(armed(since=2000), since_at=START))
    assert ask.after == Position(None, 1000 * S)


def test_rules_of_one_moment_share_its_number(blind: Blind) -> None:
    """Each of another moment has its own, whatever came between; an empty one is the present."""
    first, second = "1970-01-01T00:16:30+00:00", "1970-01-01T00:16:35+00:00"
    moments = [first, str(bytearray(first, "ascii"), "ascii"), second, first, "", second]
    numbers = [blind.armed(BookArm(rule(), MARKET, one)).since_ns for one in moments]
    assert numbers == [990 * S, 990 * S, 995 * S, 990 * S, round(START * S), 995 * S]
    assert numbers[0] is numbers[1]


@pytest.mark.parametrize(("second", "asks"), [(880, None), (888, None), (889, 1), (895, 1)])
def test_past_is_followed_only_where_it_was_not_looked_at(
    blind: Blind, second: int, asks: int | None
) -> None:
    """What fired before the place that was kept has been judged already."""
    found = blind.follow_past(armed(), second * S)
    assert (found and len(found)) == asks
    assert blind.is_for_past("BTC/USD") is (asks is not None)


def test_answer_that_nobody_waits_for_settles_nothing(blind: Blind) -> None:
    """A market that was left is not followed again by a late answer."""
    assert blind.close(Fetched("BTC/USD", (), None, is_cut=False, until=START)) is None
    assert "BTC/USD" not in blind.tapes


def test_closed_time_tells_what_was_not_seen(blind: Blind) -> None:
    """Of the answer what nobody had looked at, its time, and whether another has begun."""
    blind.follow(armed())
    past = tuple(Past(n, Decimal(50000), n * S) for n in (5, 6))
    closed = blind.close(Fetched("BTC/USD", past, past[-1], is_cut=False, until=START))
    assert closed == Closed([past[1]], START, (900.0, START), True, False, False)


def looked_at(blind: Blind, market: Market = MARKET) -> None:
    """Let a market be followed, and the question about its past be answered."""
    blind.follow(armed(market=market))
    past = (Past(6, Decimal(50000), 950 * S),)
    assert blind.close(Fetched(market.name, past, past[-1], is_cut=False, until=START)) is not None


def test_market_that_was_seen_all_the_time_is_not_asked_about(blind: Blind) -> None:
    """Each question costs of Kraken's pace, which those that were not seen need."""
    for market in (MARKET, OTHER):
        looked_at(blind, market)
    assert blind.see_again() == []
    blind.lose([OTHER.name], START)
    assert [ask.market for ask in blind.see_again()] == [OTHER]


def test_look_again_hides_rows_that_are_not_hidden_and_lets_an_answer_come_first(
    blind: Blind,
) -> None:
    """A poll meanwhile waits for what is asked already."""
    blind.follow(armed())
    assert [type(one) for one in blind.look_again("BTC/USD", if_closed=False)] == [Ask]
    assert blind.look_again("BTC/USD", if_closed=True) == []
    looked_at(blind, OTHER)
    found = blind.look_again(OTHER.name, if_closed=True)
    assert [type(one) for one in found] == [Hide, Ask]


def test_market_that_was_left_is_followed_for_nothing(blind: Blind) -> None:
    """What is asked of it afterwards finds nobody."""
    blind.follow_past(armed(), 895 * S)
    blind.leave("BTC/USD")
    assert not blind.is_for_past("BTC/USD")
    with pytest.raises(KeyError):
        blind.market("BTC/USD")


def test_past_without_a_place_is_brought_by_the_rules_that_wait() -> None:
    """There is nothing to go on from, and that is not the same as all of it looked at."""
    clocks = Clocks(lambda: START, lambda: START, lambda: START)
    assert Blind(clocks, Reckoning(clocks), Saved(), Pace()).follow_past(armed(), 880 * S) == []


def test_rule_that_waits_keeps_a_market_that_was_followed_for_the_past(blind: Blind) -> None:
    """Once it is settled the market is left only where nobody waits there."""
    blind.follow_past(armed(), 895 * S)
    assert blind.is_for_past("BTC/USD")
    blind.follow(armed())
    assert not blind.is_for_past("BTC/USD")


def test_place_of_a_market_that_was_left_is_not_kept(blind: Blind) -> None:
    """Its row is gone: what an earlier run knew of it grows old with nobody looking."""
    assert blind.places(START) == {"BTC/USD": Position(5, 890 * S)}
    blind.leave("BTC/USD")  # which nobody has followed yet
    assert blind.places(START) == {"BTC/USD": Position(5, 890 * S)}
    blind.follow(armed())
    blind.leave("BTC/USD")
    assert blind.places(START) == {}
    assert blind.kept_at(START) == {}


def test_old_trades_are_looked_at_again_once_the_stream_is_back(bench: WatchBench) -> None:
    """The question goes out with the return, and from the last trade that was seen."""
    bench.arm(WhenBlind.ALWAYS)
    bench.settle()
    count = len(bench.asked)
    bench.watch.go_blind(["BTC/USD"], bench.now)
    assert len(bench.asked) == count
    bench.watch.see_again()
    assert bench.asked[count:] == [("BTC/USD", Position(1, 1201 * S))]


def test_row_with_another_threshold_is_no_longer_parked(bench: WatchBench) -> None:
    """What was told of the old threshold says nothing of the new one: it may fire at once."""
    bench.arm(WhenBlind.NOTIFY)
    bench.settle()
    bench.go_blind()
    bench.past(2, 51200, 51200)
    assert bench.watch.places().parked == {"up"}
    bench.arm(WhenBlind.NOTIFY, threshold=51500)
    assert bench.watch.places().parked == frozenset()
    bench.trade(4, 51501)
    assert bench.fired_at == [51501]


def test_row_that_is_parked_is_not_told_of_again(bench: WatchBench) -> None:
    """It is known that the price stands beyond; a second blind time there is no news of it."""
    bench.arm(WhenBlind.NOTIFY)
    bench.settle()
    for number in (2, 4):
        bench.go_blind()
        bench.past(number, 51200, 51200)
        bench.trade(number + 2, 51200)
    told = [text for _, text in bench.said if "crossed 51000" in text]
    assert len(told) == 1
    assert bench.fired_at == []


def test_hidden_row_stays_so_while_another_blind_time_has_begun(bench: WatchBench) -> None:
    """An answer about the first one releases nobody whom the second one hides."""
    bench.arm(WhenBlind.NOTIFY)
    bench.settle()
    bench.present = None
    bench.watch.go_blind(["BTC/USD"], bench.now)
    bench.past(2, 50000)
    bench.trade(3, 51200)
    assert bench.fired_at == []
