"""Rows on candles: no order of prices that fits them ends outside of what is told."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tests.kits.histories.candle_kit import Four, candles, candles_of, oracle
from tests.kits.histories.history_kit import MARKET, history, money_row, random_row, row, walk
from ttslo_app.backtest import candles as room
from ttslo_app.backtest.candles import Bounds, Reach, play_candles, stop_steps
from ttslo_app.backtest.history import PLACES
from ttslo_app.backtest.play import Market, play
from ttslo_app.backtest.result import Costs, outcome_of
from ttslo_app.rules.rule import Direction, Rule

WHOLE = 10**PLACES
# A market whose prices are whole numbers, so that all orders of a few of them can be tried.
COARSE = Market(MARKET.key, {**MARKET.row, "pair_decimals": 0, "costmin": "0"})


@pytest.fixture(autouse=True)
def coarse_market(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the oracle's exchange have whole prices, too."""
    monkeypatch.setattr("tests.kits.histories.candle_kit.MARKET", COARSE)


def few_candles(chance: random.Random, spread: int) -> list[Four]:
    """Return three candles of whole prices near each other."""
    rows = []
    for _ in range(3):
        low = chance.randrange(20, 24)
        high = low + chance.randrange(0, spread)
        rows.append((chance.randint(low, high), high, low, chance.randint(low, high)))
    return rows


def least_trades(candle: Four) -> int:
    """Return how many trades a candle needs."""
    opened, high, low, close = candle
    return 1 if high == low else 2 + len({high, low} - {opened, close})


def any_row(chance: random.Random) -> Rule:
    """Return a row that such candles may cross and fill."""
    kind, side = chance.choice(["above", "below"]), chance.choice(["sell", "buy"])
    return row(chance.randrange(19, 28), kind, side, chance.choice([4, 6, 9, 14]), volume="1")


def in_order(reach: Reach | None) -> list[Decimal]:
    """Return the lower and the higher price of a reach."""
    assert reach is not None
    return sorted([reach.worst.price, reach.best.price])


@pytest.mark.plenty
@pytest.mark.parametrize("start", range(0, 300, 20))
def test_no_order_of_prices_ends_outside(start: int) -> None:
    """Whatever the number of trades is, and whichever of them share a moment."""
    for seed in range(start, start + 20):
        chance = random.Random(seed)
        rows = few_candles(chance, 4)
        counts = [max(least_trades(one), chance.randrange(1, 6)) for one in rows]
        rule = any_row(chance)
        bounds = play_candles(candles(*rows, trades=counts, tick=WHOLE), rule, COARSE)
        check(bounds, rows, counts, rule)


def check(bounds: Bounds, rows: list[Four], counts: list[int], rule: Rule) -> None:
    """Hold bounds to the ends of all orders."""
    for reach, ends in zip((bounds.trailed, bounds.fixed), oracle(rows, counts, rule), strict=True):
        if bounds.crossed is None:
            assert not ends
            continue
        low, high = in_order(reach)
        assert low <= min(ends) <= max(ends) <= high


@pytest.mark.plenty
@pytest.mark.parametrize("seed", range(15))
def test_both_ends_are_those_of_some_order(seed: int) -> None:
    """Where a candle has trades enough, nothing is wider than it must be."""
    chance = random.Random(seed)
    rows = few_candles(chance, 3)
    counts = [7 if one[1] > one[2] else 1 for one in rows]
    rule = any_row(chance)
    bounds = play_candles(candles(*rows, trades=counts, tick=WHOLE), rule, COARSE)
    if bounds.crossed is not None:
        trailed, fixed = oracle(rows, counts, rule)
        assert in_order(bounds.trailed) == [min(trailed), max(trailed)]
        assert in_order(bounds.fixed) == [min(fixed), max(fixed)]


@pytest.mark.plenty
@pytest.mark.parametrize("seconds", [5, 30, 120])
@pytest.mark.parametrize("seed", range(12))
def test_single_prices_end_within_what_their_candles_allow(
    seed: int, seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one truth of the trades lies between the worst and the best, in every column."""
    monkeypatch.setattr(room, "_AT_ONCE", 7)
    past, chance = walk(seed, 700), random.Random(seed)
    made = candles_of(past, seconds)
    for _ in range(6):
        rule = random_row(chance)
        bounds, played = play_candles(made, rule, MARKET), play(past, rule, MARKET)
        outcome: Any = outcome_of(past, played, Costs())
        assert (bounds.crossed is None) == (played.crossed is None)
        if played.crossed is None:
            continue
        ends = (outcome.trailed, outcome.fixed_stop, outcome.at_crossing)
        for reach, end in zip((bounds.trailed, bounds.fixed, bounds.crossing), ends, strict=True):
            low, high = in_order(reach)
            assert low <= end.price <= high


@pytest.mark.parametrize("at_once", [1, 2, 5, 1 << 16])
def test_parts_that_are_looked_through_at_once_change_nothing(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever they end."""
    made, chance = candles_of(walk(5, 900), 15), random.Random(5)
    rules = [random_row(chance) for _ in range(20)]
    whole = [play_candles(made, rule, MARKET) for rule in rules]
    monkeypatch.setattr(room, "_AT_ONCE", at_once)
    assert [play_candles(made, rule, MARKET) for rule in rules] == whole


def bounds_of(*rows: Sequence[object], trades: Sequence[int] | None = None, **changes: Any) -> Any:
    """Return what may have become of a row that sells above 50500 with one percent."""
    return play_candles(candles(*rows, trades=trades), row(**changes), MARKET)


def test_candle_with_high_and_low_beyond_has_two_ends() -> None:
    """High first sells at the stop or as low as the low; low first sells nothing in it."""
    bounds = bounds_of((50000, 50500, 50000, 50500), (50500, 52000, 50200, 51900))
    assert (bounds.crossed, bounds.crossing.best.price) == (0, 50500)
    assert (bounds.trailed.worst.price, bounds.trailed.worst.at) == (50200, 1)
    assert (bounds.trailed.best.price, bounds.trailed.best.is_reached) == (51900, False)
    assert bounds.open_until == 1


def test_open_beyond_the_stop_is_the_one_end() -> None:
    """A gap is nobody's choice."""
    bounds = bounds_of((50500, 50500, 50500, 50500), (49000, 60000, 48000, 50000))
    assert bounds.trailed.worst == bounds.trailed.best
    assert (bounds.trailed.best.price, bounds.trailed.best.at) == (49000, 1)


def test_number_of_trades_may_leave_one_order_only() -> None:
    """Two trades are the open and the close; a third is the one extreme that neither is."""
    bounds = bounds_of((50500,) * 4, (50600, 52000, 50600, 51400), trades=[1, 3])
    assert bounds.trailed.worst == bounds.trailed.best
    assert bounds.trailed.best.price == 51400
    open_ended = bounds_of((50500,) * 4, (50600, 52000, 50600, 51400), trades=[1, 4])
    assert open_ended.trailed.worst.price == 50600


def test_purchase_is_the_mirror_of_a_sale() -> None:
    """Its best is its lowest price."""
    rows = ((49600, 49600, 49500, 49500), (49500, 49800, 48000, 48100))
    bounds = bounds_of(*rows, threshold=49500, kind="below", side="buy")
    assert (bounds.trailed.worst.price, bounds.trailed.best.price) == (49800, 48100)
    assert bounds.trailed.worst.is_reached
    assert not bounds.trailed.best.is_reached


def test_row_whose_open_crosses_crossed_at_the_open() -> None:
    """That is the candle's first price, and known."""
    bounds = bounds_of((50700, 50900, 50600, 50800))
    assert (bounds.crossing.worst.price, bounds.crossing.best.price) == (50700, 50700)


@pytest.mark.parametrize(("side", "worst", "best"), [("sell", 50500, 50900), ("buy", 50900, 50500)])
def test_crossing_lies_between_threshold_and_extreme(side: str, worst: int, best: int) -> None:
    """Which of its prices was the first beyond, a candle does not tell."""
    bounds = bounds_of((50000, 50900, 50000, 50800), side=side)
    assert (bounds.crossing.worst.price, bounds.crossing.best.price) == (worst, best)


def test_row_that_no_candle_crosses_has_no_order() -> None:
    """Equality crosses, and less does not."""
    assert bounds_of((50000, "50499.9", 50000, 50000)).crossed is None
    assert bounds_of((50000, "50500.0", 50000, 50000)).crossed == 0


def test_order_that_kraken_would_refuse_says_so() -> None:
    """Too small a volume is told, and nothing is played."""
    bounds = bounds_of((50000, 50600, 50000, 50000), volume="0.00001")
    assert bounds.refusal == "EOrder:Order minimum not met"
    assert bounds.trailed is None


@pytest.mark.parametrize("side", ["sell", "buy"])
def test_line_of_the_stop_follows_the_best_of_the_candles(side: str) -> None:
    """It begins in the candle of the crossing, only tightens, and ends where nothing may stand."""
    made = candles_of(walk(3, 900), 30)
    rule = row(50200, side=side)
    bounds = play_candles(made, rule, MARKET)
    steps = stop_steps(made, bounds, MARKET)
    assert bounds.crossed is not None
    assert steps[0][0] == made.at_ns[bounds.crossed]
    assert steps[-1][0] <= made.at_ns[bounds.open_until]
    stops = [stop for _, stop in steps]
    assert stops == sorted(set(stops), reverse=side == "buy")
    assert bounds.trailed is not None
    last = max(bounds.trailed.worst.at, bounds.trailed.best.at)
    assert bounds.open_until >= last


# --- laws that hold for all candles --------------------------------------------------------------


@pytest.mark.parametrize("seed", range(10))
def test_longer_candles_know_less(seed: int) -> None:
    """Whatever the shorter ones leave open, the longer ones do, too."""
    past, chance = walk(seed, 900), random.Random(seed)
    for _ in range(8):
        rule = random_row(chance)
        before: Any = None
        for seconds in (1, 5, 15, 60, 300):
            bounds: Any = play_candles(candles_of(past, seconds), rule, MARKET)
            if before is not None and bounds.crossed is not None:
                for name in ("trailed", "fixed", "crossing"):
                    (low, high), (in_low, in_high) = (
                        in_order(getattr(one, name)) for one in (bounds, before)
                    )
                    assert low <= in_low <= in_high <= high
            before = bounds


@pytest.mark.parametrize("seed", range(10))
def test_candles_of_one_price_tell_what_the_price_tells(seed: int) -> None:
    """Where each price has a candle of its own, worst and best are the one truth."""
    chance, prices = random.Random(seed), [50000.0]
    for _ in range(400):
        prices.append(round(prices[-1] * (1 + chance.gauss(0, 0.003)), 1))
    past = history(*prices)
    made = candles_of(past, 1)
    for _ in range(15):
        rule = random_row(chance)
        bounds, played = play_candles(made, rule, MARKET), play(past, rule, MARKET)
        assert bounds.crossed == played.crossed
        if played.crossed is not None:
            assert bounds.trailed is not None
            assert bounds.trailed.worst == bounds.trailed.best
            assert bounds.trailed.best.price == played.exit_price
            assert bounds.trailed.best.is_reached == (played.filled is not None)


@pytest.mark.parametrize("seed", range(10))
def test_nearer_offset_is_never_met_later(seed: int) -> None:
    """The last candle in which the stop may stand comes no earlier for a wider one."""
    made, chance = candles_of(walk(seed, 900), 15), random.Random(seed)
    for _ in range(6):
        rule = random_row(chance)
        if play_candles(made, rule, MARKET).crossed is None:
            continue
        offsets = [Decimal(text) for text in ("0.3", "1", "3", "9")]
        ends = [
            play_candles(made, replace(rule, offset_percent=offset), MARKET).open_until
            for offset in offsets
        ]
        assert ends == sorted(ends)


@pytest.mark.parametrize("side", ["sell", "buy"])
@pytest.mark.parametrize("seed", range(6))
def test_number_of_trades_only_narrows(seed: int, side: str) -> None:
    """Whoever does not know it takes more for possible, and never less."""
    chance = random.Random(seed)
    rows = few_candles(chance, 4)
    counts = [least_trades(one) for one in rows]
    rule = row(chance.randrange(19, 28), "above", side, 6, volume="1")
    known: Any = play_candles(candles(*rows, trades=counts, tick=WHOLE), rule, COARSE)
    unknown: Any = play_candles(candles(*rows, tick=WHOLE), rule, COARSE)
    assert known.crossed == unknown.crossed
    if known.crossed is not None:
        for name in ("trailed", "fixed"):
            (low, high), (in_low, in_high) = (
                in_order(getattr(one, name)) for one in (unknown, known)
            )
            assert low <= in_low <= in_high <= high


@pytest.mark.parametrize("side", ["sell", "buy"])
@pytest.mark.parametrize("places", [0, 1, 3])
def test_ends_stand_on_the_tick(side: str, places: int) -> None:
    """No end is at a price that cannot be traded."""
    market = Market(MARKET.key, {**MARKET.row, "pair_decimals": places})
    made = candles_of(walk(4, 900), 20)
    chance = random.Random(places)
    for _ in range(20):
        rule = replace(random_row(chance), direction=Direction(side))
        bounds = play_candles(made, rule, market)
        for reach in (bounds.trailed, bounds.crossing):
            for fill in (reach.worst, reach.best) if reach else ():
                step = Decimal(1).scaleb(-max(places, 1))
                assert fill.price % step == 0


def test_gap_over_the_stop_between_candles_is_filled_at_the_open() -> None:
    """Nobody trades at prices between two candles."""
    bounds = bounds_of(
        (50500, 50500, 50500, 50500), (50600, 50700, 50600, 50700), (45000, 45100, 44000, 44500)
    )
    assert bounds.trailed.worst == bounds.trailed.best
    assert (bounds.trailed.best.price, bounds.trailed.best.at) == (45000, 2)
    assert (bounds.fixed.best.price, bounds.fixed.worst.price) == (45000, 45000)


def test_stop_of_the_first_price_of_all_is_played() -> None:
    """A file of one candle has ends, too."""
    bounds = bounds_of((50600, 51000, 50600, 50900))
    assert not bounds.trailed.best.is_reached
    assert bounds.trailed.best.price == 50900
    assert bounds.open_until == 0


# --- offsets in money ----------------------------------------------------------------------------


@pytest.mark.parametrize("start", range(0, 100, 20))
def test_no_order_of_prices_ends_outside_with_an_offset_in_money(start: int) -> None:
    """As with one in percent."""
    for seed in range(start, start + 20):
        chance = random.Random(seed)
        rows = few_candles(chance, 4)
        counts = [max(least_trades(one), chance.randrange(1, 6)) for one in rows]
        rule = any_row(chance)
        terms = replace(rule.terms, offset_quote=Decimal(chance.randrange(1, 5)))
        rule = replace(rule, offset_percent=None, terms=terms)
        bounds = play_candles(candles(*rows, trades=counts, tick=WHOLE), rule, COARSE)
        check(bounds, rows, counts, rule)


@pytest.mark.parametrize("seed", range(8))
def test_single_prices_end_within_their_candles_with_an_offset_in_money(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is passed over."""
    monkeypatch.setattr(room, "_AT_ONCE", 9)
    past, chance = walk(seed, 700), random.Random(seed)
    for seconds in (5, 60):
        made = candles_of(past, seconds)
        for _ in range(8):
            rule = money_row(chance)
            bounds, played = play_candles(made, rule, MARKET), play(past, rule, MARKET)
            outcome: Any = outcome_of(past, played, Costs())
            assert (bounds.crossed is None) == (played.crossed is None)
            if played.crossed is None:
                continue
            ends = (outcome.trailed, outcome.fixed_stop)
            for reach, end in zip((bounds.trailed, bounds.fixed), ends, strict=True):
                low, high = in_order(reach)
                assert low <= end.price <= high
