"""The past alone: pages, candles, and answers that cannot be read."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakenlink.errors import ProtocolError
from ttslo_app.messages import Past
from ttslo_app.watch.past import Bounds, LookBack, read_bars, read_trades
from ttslo_app.watch.tape import Position

S = 1_000_000_000


def past(*numbers: int) -> list[Past]:
    """Return trades of REST with these numbers; number n is of second n."""
    return [Past(n, Decimal(100), n * S) for n in numbers]


def test_trades_are_read_as_kraken_writes_them() -> None:
    """Price, moment and number are taken from a row; the pair's key may be any."""
    rows = [["50000.1", "0.01", 1700000000.1234567, "b", "m", "", 42]]
    (one,) = read_trades({"XXBTZUSD": rows, "last": "1700000000123456700"})
    assert (one.trade_id, one.price, one.bar_seconds) == (42, Decimal("50000.1"), 0)
    assert abs(one.at_ns - 1_700_000_000_123_456_700) < 500


def test_candle_is_its_two_ends_at_its_begin() -> None:
    """A candle tells how high and how low, and no moment finer than its begin."""
    rows = [[600, "1", "4", "0.5", "2", "2", "9", 3]]
    high, low = read_bars({"X": rows, "last": 600}, 5)
    assert (high, low) == (Past(0, Decimal(4), 600 * S, 300), Past(0, Decimal("0.5"), 600 * S, 300))


@pytest.mark.parametrize(
    "result",
    [{}, {"last": 1}, {"X": 1}, {"X": [[]]}, {"X": [["0", "1", 1, "", "", "", 1]]}, {"X": [None]}],
)
def test_damaged_answer_is_an_error(result: dict[str, object]) -> None:
    """What has not Kraken's shape is said, not taken for "no trades"."""
    with pytest.raises(ProtocolError):
        read_trades(result)
    with pytest.raises(ProtocolError):
        read_bars(result, 1)


def test_last_page_is_the_short_one() -> None:
    """Full pages are followed by another one, with nothing left out between them."""
    look = LookBack(Position(5, 5 * S), 10_000.0, Bounds())
    assert look.since == str(4 * S)
    look.add_trades(past(*range(4, 1004)))
    assert not look.is_complete
    assert look.since == str(1003 * S - 1000)
    look.add_trades(past(*range(1003, 1100)))
    assert look.is_complete
    assert [p.trade_id for p in look.past] == list(range(4, 1100))
    assert look.newest == past(1099)[0]
    assert look.bars_wanted(10_000.0) is None


def test_page_of_one_moment_is_passed() -> None:
    """A thousand trades of one moment do not hold the look back in place for ever."""
    look = LookBack(Position(0, 0), 10_000.0, Bounds())
    page = [replace(p, at_ns=7 * S) for p in past(*range(1, 1001))]
    look.add_trades(page)
    assert look.since == str(7 * S - 1000)
    look.add_trades(page)
    assert look.since == str(7 * S + 1000)


@given(st.integers(min_value=0, max_value=999_999_999))
def test_sweep_over_the_end_of_a_page_comes_whole(nanosecond: int) -> None:
    """Twenty trades of one moment, of which a page holds five, at any moment there is."""
    sweep = 1_763_900_000 * S + nanosecond
    trades = [(number, sweep - (1000 - number) * S) for number in range(5, 1000)]
    trades += [(number, sweep) for number in range(1000, 1020)] + [(1020, sweep + S)]

    def page(since: str) -> list[Past]:
        rows = [one for one in trades if one[1] > int(since)][:1000]
        cells = [f'["100.0","1",{at // S}.{at % S:09},"b","l","",{number}]' for number, at in rows]
        return read_trades(json.loads(f'{{"X":[{",".join(cells)}],"last":"0"}}'))

    look = LookBack(Position(4, sweep - 996 * S), sweep / S + 60, Bounds())
    while not look.is_complete:
        look.add_trades(page(look.since))
    assert [one.trade_id for one in look.past] == [number for number, _ in trades]


def test_long_absence_is_candles_first_and_trades_of_the_last_day() -> None:
    """Before the bound candles are asked for, fine enough to reach back all the way."""
    now = 10 * 86_400.0
    look = LookBack(Position(5, 8 * 86_400 * S), now, Bounds())
    assert look.since == str(9 * 86_400 * S)
    late = [Past(n, Decimal(100), round(now - 10) * S) for n in (90, 91)]
    assert look.bars_wanted(now) is None
    look.add_trades(late)
    minutes, since = look.bars_wanted(now) or (0, 0)
    assert (minutes, since) == (5, 8 * 86_400 - 1)
    bars = [Past(0, Decimal(100), day * 86_400 * S, 300) for day in (8, 9)]
    look.add_bars(bars)
    assert look.bars_wanted(now) is None
    assert look.past == [bars[0], *late]


def test_too_many_trades_are_candles_from_there_on() -> None:
    """Where the bound is reached the rest is candles, from the last trade that was fetched."""
    look = LookBack(Position(0, 0), 5000.0, Bounds(trades=1000))
    look.add_trades(past(*range(1, 1001)))
    assert look.is_cut
    minutes, since = look.bars_wanted(5000.0) or (0, 0)
    assert (minutes, since) == (1, 959)
    bar = Past(0, Decimal(100), 960 * S, 60)
    look.add_bars([bar])
    assert look.past[-1] == bar


@pytest.mark.parametrize(
    "row",
    [
        ["51000", "1", "1e999", "b", "m", "", 7],
        ["51000", "1", 1e300, "b", "m", "", 7],
        ["51000", "1", -5, "b", "m", "", 7],
        ["51000", "1", "NaN", "b", "m", "", 7],
        ["51000", "1", 1700000000, "b", "m", "", 10**18],
        ["51000", "1", 1700000000, "b", "m", "", -1],
        ["51000", "1", 1700000000, "b", "m", "", float("inf")],
    ],
)
def test_numbers_without_sense_are_no_answer(row: list[object]) -> None:
    """A moment or a number that cannot be is told as unreadable, and asked for again."""
    with pytest.raises(ProtocolError):
        read_trades({"XXBTZUSD": [row], "last": "1"})
    with pytest.raises(ProtocolError):
        read_bars({"XXBTZUSD": [[row[2] if row[2] != 1700000000 else 1e999, 1, 2, 3]]}, 1)
