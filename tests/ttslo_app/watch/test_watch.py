"""The watch alone: rules, prices, holes and policies, on clocks of the test's own."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from krakenlink.pairs import Symbol
from krakenlink.stream.events import TradePrint, Trades
from tests.kits.rows.watch_kit import MARKET, OLD, S, WatchBench, printed
from ttslo_app.clocks import iso_moment
from ttslo_app.messages import Crossing, Fetched, FirstCrossing, NotFetched, Past
from ttslo_app.rules.rule import WhenBlind
from ttslo_app.watch.tape import Position, Saved


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
    assert any("crossed 51000 at" in text for _, text in bench.said)


@pytest.mark.parametrize(
    ("seen", "how"),
    [
        ("1970-01-01T00:20:07.5+00:00", "which was seen and has no order yet; "),
        ("1970-01-01T00:20:02+00:00", "which was seen and has no order yet; "),
        ("1970-01-01T00:20:30+00:00", "while blind from "),  # that was another crossing
        ("1970-01-01T00:19:00+00:00", "while blind from "),  # so was that
        ("", "while blind from "),
    ],
)
def test_crossing_that_an_earlier_run_saw_is_told_as_one(seen: str, how: str) -> None:
    """A program that was killed kept no place after it; nobody was blind then, all the same."""
    bench = WatchBench(saved=Saved(900.0, {"BTC/USD": Position(5, 890 * S)}), now=2000.0)
    bench.arm(WhenBlind.ALWAYS, since=OLD, seen=seen)
    bench.past(6, 51200, 50100)
    ((level, told),) = bench.said
    assert level == "WARNING"
    assert how in told
    assert told.endswith("; its order is placed now")
    (crossing,) = bench.crossings
    assert crossing.reason.startswith("crossed while blind (") is (how == "while blind from ")


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
    assert list(bench.watch.seats) == list(bench.watch.rules)
    assert bench.watch.forget("one") is None
    assert bench.watch.forget("one") is None
    assert bench.watch.forget("two") == MARKET
    assert (bench.watch.rules, bench.watch.seats, bench.watch.markets) == ({}, {}, {})


def test_crossing_carries_the_moment_of_its_trade_and_when_it_was_seen(bench: WatchBench) -> None:
    """How old it is can be told later, on a clock that nobody sets."""
    bench.arm()
    bench.settle()
    bench.now += 7
    bench.trade(2, 51200)
    (crossing,) = bench.crossings
    assert crossing.at_ns == 1202 * S
    assert crossing.seen_at == bench.now


def test_price_without_a_moment_crosses_when_it_is_seen(bench: WatchBench) -> None:
    """A ticker does not say when its price was traded."""
    bench.arm()
    bench.settle()
    bench.now = 1300.0
    bench.watch.price("BTC/USD", Decimal(51200))
    (crossing,) = bench.crossings
    assert (crossing.at_ns, crossing.seen_at) == (1300 * S, 1300.0)


def test_crossing_is_as_old_as_its_price_however_late_it_is_looked_at(bench: WatchBench) -> None:
    """What waited for its turn was seen when it came."""
    for name, threshold in (("up", 51000), ("far", 52000)):
        bench.arm(name=name, threshold=threshold)
    bench.settle()
    came = bench.now
    frame = Trades(Symbol("BTC/USD"), (replace(printed(2, 51200), timestamp=None),), came)
    bench.now += 9
    bench.watch.trades(frame)
    bench.watch.price("BTC/USD", Decimal(52100), came + 5)
    assert [crossing.seen_at for crossing in bench.crossings] == [came, came + 5]


@pytest.mark.parametrize(
    ("policy", "at_ns"),
    [
        (WhenBlind.ALWAYS, 1202 * S),
        (WhenBlind.ARM_IF_BEYOND, 1100 * S),
    ],
)
def test_crossing_of_the_past_has_the_moment_of_the_price_that_fires(
    bench: WatchBench, policy: WhenBlind, at_ns: int
) -> None:
    """A row that looks at the price of now crosses now; both are seen only now."""
    bench.arm(policy)
    bench.settle()
    bench.go_blind()
    bench.present = Decimal(51300)
    bench.past(2, 51200)
    (crossing,) = bench.crossings
    assert (crossing.at_ns, crossing.seen_at) == (at_ns, bench.now)


# --- what came now and is not of now -------------------------------------------------------------


def frame(second: float, *prices: int, number: int = 2, is_snapshot: bool = False) -> Trades:
    """Return a frame of trades of one second since 1970, numbered from `number` on."""
    moment = iso_moment(round(second * S))
    rows = tuple(
        TradePrint(Symbol("BTC/USD"), Decimal(price), Decimal(1), n, moment)
        for n, price in enumerate(prices, number)
    )
    return Trades(Symbol("BTC/USD"), rows, 0.0, is_snapshot)


@pytest.fixture
def late() -> WatchBench:
    """Hand out a bench at second 5000, with a row at 51000 that waits since then."""
    bench = WatchBench(now=5000.0)
    bench.arm()
    bench.watch.trades(frame(5000, 50000, number=1))
    bench.past(1, 50000)
    bench.asked.clear()
    return bench


@pytest.mark.parametrize(
    ("second", "fires"), [(4990, False), (4998.5, False), (4999.5, True), (5000, True)]
)
def test_trade_of_before_the_row_was_armed_fires_nothing(
    late: WatchBench, second: float, fires: bool
) -> None:
    """A print is as old as its trade, however lately it comes; clocks agree to a second."""
    late.watch.trades(frame(second, 51500))
    assert late.fired_at == ([51500] if fires else [])
    late.now += 1
    late.watch.trades(frame(5001, 51600, number=3))
    assert late.fired_at == [51500 if fires else 51600]  # it was not lost to the books


@pytest.mark.parametrize("second", [4000, 4969, 5601, 9e8])
def test_frame_that_is_old_or_of_a_time_to_come_goes_the_way_of_the_past(
    late: WatchBench, second: float
) -> None:
    """What was held up on its way is asked for, and judged as what nobody saw is."""
    late.arm(name="old", since=OLD)
    late.watch.trades(frame(second, 51500))
    assert late.fired_at == []
    assert [place.trade_id for _, place in late.asked] == [1]


def test_snapshot_of_trades_goes_the_way_of_the_past(late: WatchBench) -> None:
    """A frame that says itself that it is history fires nothing, and is asked for."""
    late.watch.trades(frame(5000, 51500, is_snapshot=True))
    assert late.fired_at == []
    assert len(late.asked) == 1


def test_frame_whose_first_print_is_old_is_not_taken_for_news(late: WatchBench) -> None:
    """The oldest of a frame decides."""
    old, new = frame(4900, 51500).prints[0], frame(5000, 50500, number=3).prints[0]
    late.watch.trades(Trades(Symbol("BTC/USD"), (old, new), 0.0))
    assert late.fired_at == []


@pytest.mark.parametrize(("asked_at", "fires"), [(4999.0, False), (5000.0, True)])
def test_price_that_was_asked_for_before_the_row_was_armed_fires_nothing(
    late: WatchBench, asked_at: float, fires: bool
) -> None:
    """An answer that was under way tells nothing of a row that is younger than the question."""
    late.watch.price("BTC/USD", Decimal(51500), asked_at)
    assert late.fired_at == ([51500] if fires else [])


def test_nobody_calls_a_trade_old_while_no_clock_is_known() -> None:
    """Before Kraken has said what time it is, what comes is believed to be of now."""
    bench = WatchBench(now=9_000.0, is_clock_known=False)
    bench.arm()
    bench.watch.trades(replace(frame(5000, 51500), at=9_000.0))
    assert bench.fired_at == [51500]


def test_rule_whose_crossing_cannot_be_handed_over_stays_on_the_books(late: WatchBench) -> None:
    """An error in the middle of a crossing loses no rule."""
    late.arm(name="other")
    late.is_broken = True
    with pytest.raises(RuntimeError):
        late.watch.price("BTC/USD", Decimal(51500))
    late.is_broken = False
    late.watch.price("BTC/USD", Decimal(51600))
    assert late.fired_at == [51600, 51600]


def test_order_thread_may_begin_once_all_crossings_of_a_price_are_on_their_way(
    late: WatchBench,
) -> None:
    """Once for all of them, and before the books are in order: it need not wait for that."""
    late.arm(name="other")
    seen: list[tuple[int, int]] = []
    late.watch.give_way = lambda: seen.append((len(late.crossings), len(late.watch.seats)))
    late.watch.price("BTC/USD", Decimal(50000))
    assert seen == []
    late.watch.price("BTC/USD", Decimal(51500))
    assert seen == [(2, 2)]
    assert len(late.watch.seats) == 0


def test_crossing_that_was_handed_over_before_an_error_is_off_the_books(late: WatchBench) -> None:
    """The next price fires the rule alone whose crossing was not."""
    late.arm(name="other")
    take = late.take

    def take_one(message: Crossing | FirstCrossing) -> None:
        if late.crossings:
            raise RuntimeError("a defect")
        take(message)

    late.watch._submit = take_one
    with pytest.raises(RuntimeError):
        late.watch.price("BTC/USD", Decimal(51500))
    late.watch._submit = take
    late.watch.price("BTC/USD", Decimal(51600))
    assert sorted(crossing.key for crossing in late.crossings) == ["other", "up"]


# --- numbers that begin anew, and numbers that are nonsense --------------------------------------


def test_numbers_that_begin_anew_are_prices_and_a_hole(late: WatchBench) -> None:
    """A market whose trades are counted from the start again is watched as before."""
    late.watch.trades(frame(5000, 50100, 50200, number=500))
    late.past(1, 50000)
    late.asked.clear()
    late.now += 2
    late.watch.trades(frame(5002, 50300, number=7))
    assert [place for _, place in late.asked] == [Position(None, 5000 * S)]
    late.watch.trades(frame(5002, 51500, number=8))
    assert late.fired_at == [51500]


def test_number_that_is_far_too_high_hides_no_later_trade(late: WatchBench) -> None:
    """One row of nonsense does not make all that follows pass for seen."""
    late.watch.trades(frame(5000, 50100, number=10**14))
    late.now += 1
    late.watch.trades(frame(5001, 51500, number=2))
    assert late.fired_at == [51500]


def test_number_that_is_far_too_high_hides_no_trade_of_its_own_moment(late: WatchBench) -> None:
    """A spike that comes right behind it fires, wherever the price is when REST tells of it."""
    late.watch.trades(frame(5000, 50100, number=10**14))
    late.watch.trades(frame(5000, 51500, number=2))
    late.watch.trades(frame(5000, 50100, number=3))
    assert late.fired_at == [51500]


def test_number_that_is_far_too_high_over_rest_hides_no_later_trade(late: WatchBench) -> None:
    """Neither does one that REST tells."""
    late.arm(WhenBlind.ALWAYS)
    nonsense = Past(10**14, Decimal(50000), 5000 * S)
    late.watch.fetched(Fetched("BTC/USD", (nonsense,), nonsense, is_cut=False, until=5000.0))
    late.now += 1
    late.watch.go_blind(["BTC/USD"], late.now)
    late.watch.see_again()
    late.present = Decimal(50000)
    past = Past(3, Decimal(51500), 5001 * S)
    late.watch.fetched(Fetched("BTC/USD", (past,), past, is_cut=False, until=5002.0))
    assert late.fired_at == [51500]


# --- moments of a clock that was wrong -----------------------------------------------------------


def test_row_that_was_armed_by_a_clock_of_the_future_waits_since_the_last_look() -> None:
    """What crossed while the program was down is found, though the row bears a moment to come."""
    saved = Saved(4000.0, {"BTC/USD": Position(5, 3990 * S)})
    bench = WatchBench(saved=saved, now=5000.0, default=WhenBlind.ALWAYS)
    bench.arm(since=iso_moment(8600 * S))
    crossed = Past(6, Decimal(51500), 4500 * S)
    bench.watch.fetched(Fetched("BTC/USD", (crossed,), crossed, is_cut=False, until=5000.0))
    assert bench.fired_at == [51500]


def test_row_of_the_future_without_a_place_waits_from_now_on() -> None:
    """Where nobody knows since when it waits, no past counts for it."""
    bench = WatchBench(now=5000.0, default=WhenBlind.ALWAYS)
    bench.arm(since=iso_moment(8600 * S))
    old = Past(6, Decimal(51500), 4500 * S)
    bench.watch.fetched(Fetched("BTC/USD", (old,), old, is_cut=False, until=5000.0))
    assert bench.fired_at == []
    bench.watch.trades(frame(5000, 51600, number=7))
    assert bench.fired_at == [51600]


# --- what an earlier run left --------------------------------------------------------------------


def test_places_of_rows_that_are_not_armed_yet_are_kept() -> None:
    """A second restart finds what the first one never needed, as old as it is."""
    saved = Saved(
        4000.0, {"BTC/USD": Position(5, 3990 * S), "ETH/USD": Position(9, 9)}, frozenset({"e"})
    )
    bench = WatchBench(saved=saved, now=5000.0)
    bench.arm()
    kept = bench.watch.places()
    assert kept.places["ETH/USD"] == Position(9, 9)
    assert kept.kept_at == {"ETH/USD": 4000.0}
    assert kept.parked == {"e"}
    again = WatchBench(saved=Saved.from_text(kept.to_text()), now=6000.0)
    assert again.watch.places().kept_at["ETH/USD"] == 4000.0
    late = WatchBench(saved=kept, now=4000.0 + 40 * 86_400)
    assert late.watch.places().places == {}


def test_late_trade_names_no_firing_of_an_earlier_arming(late: WatchBench) -> None:
    """A row that fired and was armed anew is crossed by what came after that, and nothing else."""
    late.watch.price("BTC/USD", Decimal(51500))
    late.now += 0.5
    late.present = Decimal(50000)
    late.arm()
    late.watch.trades(frame(5000.2, 51200))
    assert (late.found, late.fired_at) == ([], [51500, 51200])


# --- REST that stays behind the stream -----------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "after", "fired"),
    [(WhenBlind.ALWAYS, 50100, [51200]), (None, 51300, [51300]), (None, 50100, [])],
)
def test_what_came_of_a_hole_that_rest_does_not_close_is_judged(
    bench: WatchBench, policy: WhenBlind | None, after: int, fired: list[int]
) -> None:
    """A crossing is found though the rest of the hole is not; it is judged once."""
    bench.arm(policy)
    bench.settle()
    bench.trade(9, 50100)
    bench.present = Decimal(after)
    for _ in range(6):
        bench.past(2, 50500, 51200, 50600)
    assert bench.fired_at == fired
    assert sum("crossed 51000" in text for _, text in bench.said) == 1
    assert not any("no threshold" in text for _, text in bench.said)


def test_hole_that_rest_does_not_close_is_said_and_asked_for_until_it_is(
    bench: WatchBench,
) -> None:
    """Once after some tries, and once when it is known again."""
    bench.arm()
    bench.settle()
    bench.trade(9, 50100)
    for tries in range(1, 9):
        asked = len(bench.asked)
        bench.past(2, 50500)
        assert len(bench.asked) == asked + 1
        is_said = any("REST's trades end before the stream's" in text for _, text in bench.said)
        assert is_said is (tries >= 4)
    assert sum("it is not known yet" in text for _, text in bench.said) == 1
    bench.past(3, 50500, 50500, 50500, 50500, 50500, 50500, 50100)
    assert any("can be fetched again" in text for _, text in bench.said)
