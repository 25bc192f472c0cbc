"""The watch alone: rules, prices, holes and policies, on clocks of the test's own."""

from __future__ import annotations

from decimal import Decimal

import pytest
from watch_kit import MARKET, WatchBench, printed

from krakenlink.pairs import Symbol
from krakenlink.stream.events import Trades
from ttslo_app.messages import NotFetched
from ttslo_app.rules.rule import WhenBlind


@pytest.fixture
def bench() -> WatchBench:
    """Hand out a bench with nothing armed."""
    return WatchBench()


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
    bench: WatchBench, policy: WhenBlind | None, after: int, fired: list[int]
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


def test_present_price_beyond_fires_when_the_hole_is_known(bench: WatchBench) -> None:
    """The default needs no tick to come: a proven price that stands beyond is enough."""
    bench.arm()
    bench.settle()
    bench.go_blind()
    bench.present = Decimal(51300)
    bench.past(2, 51200, 51300)
    assert (bench.fired_at, bench.first_prices) == ([51300], ["51200"])
    assert "still beyond it at 51300" in bench.said[-1][1]


def test_rule_is_not_fired_by_older_trades(bench: WatchBench) -> None:
    """Trades of before the arming do not count, in whatever hole they are found."""
    bench.now = 1300.0
    bench.arm(WhenBlind.ALWAYS)
    bench.past(1, 51200, 50000)
    assert bench.fired_at == []


def test_market_that_nobody_watches_is_left_alone(bench: WatchBench) -> None:
    """What still arrives for a market that was left changes nothing."""
    bench.arm()
    bench.watch.forget("up")
    bench.watch.leave("BTC/USD")
    bench.trade(1, 52000)
    bench.past(1, 52000)
    bench.watch.not_fetched(NotFetched("BTC/USD", "late"))
    bench.watch.look_again("BTC/USD")
    assert (bench.crossings, bench.said) == ([], [])


def test_market_is_left_with_its_last_rule(bench: WatchBench) -> None:
    """Whoever takes a rule away learns whether anything else of its market is watched."""
    for name in ("one", "two"):
        bench.arm(name=name)
    assert (set(bench.watch.rules), set(bench.watch.markets)) == ({"one", "two"}, {"BTC/USD"})
    assert bench.watch.forget("one") is None
    assert bench.watch.forget("one") is None
    assert bench.watch.forget("two") == MARKET
    assert (bench.watch.rules, bench.watch.markets) == ({}, {})


def test_crossing_carries_the_moment_of_its_trade_and_when_it_was_seen(bench: WatchBench) -> None:
    """How old it is can be told later, on a clock that nobody sets."""
    bench.arm()
    bench.settle()
    bench.now += 7
    bench.trade(2, 51200)
    (crossing,) = bench.crossings
    assert crossing.at == "1970-01-01T00:20:02.000000+00:00"
    assert crossing.seen_at == bench.now


def test_price_without_a_moment_crosses_when_it_is_seen(bench: WatchBench) -> None:
    """A ticker does not say when its price was traded."""
    bench.arm()
    bench.settle()
    bench.now = 1300.0
    bench.watch.price("BTC/USD", Decimal(51200))
    (crossing,) = bench.crossings
    assert (crossing.at, crossing.seen_at) == ("1970-01-01T00:21:40.000000+00:00", 1300.0)


def test_crossing_is_as_old_as_its_price_however_late_it_is_looked_at(bench: WatchBench) -> None:
    """What waited for its turn was seen when it came."""
    for name, threshold in (("up", 51000), ("far", 52000)):
        bench.arm(name=name, threshold=threshold)
    bench.settle()
    came = bench.now
    frame = Trades(Symbol("BTC/USD"), (printed(2, 51200),), came)
    bench.now += 9
    bench.watch.trades(frame)
    bench.watch.price("BTC/USD", Decimal(52100), came + 5)
    assert [crossing.seen_at for crossing in bench.crossings] == [came, came + 5]


@pytest.mark.parametrize(
    ("policy", "at"),
    [
        (WhenBlind.ALWAYS, "1970-01-01T00:20:02.000000+00:00"),
        (WhenBlind.ARM_IF_BEYOND, "1970-01-01T00:18:20.000000+00:00"),
    ],
)
def test_crossing_of_the_past_has_the_moment_of_the_price_that_fires(
    bench: WatchBench, policy: WhenBlind, at: str
) -> None:
    """A row that looks at the price of now crosses now; both are seen only now."""
    bench.arm(policy)
    bench.settle()
    bench.go_blind()
    bench.present = Decimal(51300)
    bench.past(2, 51200)
    (crossing,) = bench.crossings
    assert (crossing.at, crossing.seen_at) == (at, bench.now)
