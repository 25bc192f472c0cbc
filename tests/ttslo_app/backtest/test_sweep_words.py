"""What is told of a sweep: tables that fit a terminal, and the warning before any number."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import pytest
from candle_kit import candles_of
from history_kit import MARKET, history, row, walk

from ttslo_app.backtest import sweep_words
from ttslo_app.backtest.asked import grid_of
from ttslo_app.backtest.result import Costs
from ttslo_app.backtest.sweep import Cell, Noise, Sweep, sweep

PAST = history(50000, 50500, 52000, 51480, 49000, 48000)


def swept(*words: str) -> Sweep:
    """Return a sweep of six prices."""
    return sweep(PAST, row(), grid_of(list(words)), MARKET, Costs())


def made(noise: tuple[Noise, ...] = (), *cells: Cell) -> Sweep:
    """Return a sweep of one row with these cells."""
    offsets = tuple(Decimal(n + 1) for n in range(len(cells)))
    return Sweep(row(), Decimal(1), (Decimal(50500),), offsets, (cells,), Decimal("1.25"), noise)


def test_warning_comes_before_any_number() -> None:
    """With how many tries were made."""
    lines = list(sweep_words.lines_of(swept("threshold=+1%..+3%:3", "offset=1%..5%:5")))
    assert lines[0] == "SWEEP: sell 0.01, as btc"
    assert lines[1].startswith("IN SAMPLE: 15 tries on one past.")
    assert " ".join(lines[1:3]).endswith("and tells nothing of tomorrow.")


def test_table_has_a_row_for_each_threshold() -> None:
    """A dot for what never crossed, an asterisk for what was not met."""
    lines = list(sweep_words.lines_of(swept("threshold=+1%..+9%:2", "offset=1%..9%:3")))
    start = lines.index("threshold by offset")
    assert lines[start + 1 : start + 4] == [
        "               1%     5%     9%",
        "     50500   +2.5   -2.4  -4.4*",
        "     54500      .      .      .",
    ]
    assert "held to the end: -4.4 %" in lines


@pytest.mark.parametrize("steps", [2, 10, 11, 20, 60])
def test_lines_fit_a_terminal(steps: int) -> None:
    """However many offsets there are; each stands in one block."""
    lines = list(sweep_words.lines_of(swept("threshold=+1%..+3%:2", f"offset=0.5%..45.5%:{steps}")))
    assert max(map(len, lines)) <= 80
    assert sum(line.count("%") for line in lines if line.startswith(" " * 10)) == steps


def test_long_prices_have_room() -> None:
    """Those of the cheapest coins."""
    found = replace(made((), Cell(None)), thresholds=(Decimal("0.0000123456"),))
    lines = list(sweep_words.lines_of(found))
    assert "0.0000123456      ." in lines
    assert "                 1%" in lines


def test_candles_have_a_table_of_the_worst_and_one_of_the_best() -> None:
    """Where they differ."""
    grid = grid_of(["threshold=-2%..2%:5", "offset=0.5%..2%:3"])
    found = sweep(candles_of(walk(3, 900), 60), row(), grid, MARKET, Costs())
    lines = list(sweep_words.lines_of(found))
    worst = lines.index("threshold by offset, the worst order of prices")
    best = lines.index("threshold by offset, the best order of prices")
    assert worst < best
    assert lines[worst + 2] != lines[best + 2]


def test_noise_is_told_by_span() -> None:
    """The sure and the possible share where they differ."""
    shares = ((1.0, 1.0), (0.254, 0.5), (0.0, 0.0))
    empty = Cell(None)
    lines = list(sweep_words.noise_lines(made((Noise("a day", 200, shares),), empty, empty, empty)))
    assert lines[3:] == [
        "               1%     2%     3%",
        "     a day    100  25-50      0",
        "(200 of a day; evenly spread, and they overlap)",
    ]
    assert lines[2] == "which the price falls from its highest by the offset or more"


def test_prices_without_a_span_say_so() -> None:
    """Nothing is made up of six seconds."""
    (line,) = sweep_words.noise_lines(made())
    assert "less than an hour" in line


def test_object_for_programs_has_every_number() -> None:
    """As text where it is a price or a percent."""
    found = swept("threshold=+1%..+9%:2", "offset=1%..9%:3")
    record = json.loads(json.dumps(sweep_words.record_of(found)))
    assert record["thresholds"] == ["50500.0", "54500.0"]
    assert record["offsets"] == ["1", "5", "9"]
    assert record["gain_worst"] == record["gain_best"]
    assert record["gain_worst"][1] == [None, None, None]
    assert record["filled_best"][0] == [True, True, False]
    assert Decimal(record["gain_best"][0][0]) == pytest.approx(Decimal("2.4967"))
    assert record["warning"].startswith("IN SAMPLE")
    assert record["noise"] == []


def test_noise_is_told_for_programs() -> None:
    """Both shares, by span."""
    record = sweep_words.record_of(made((Noise("a day", 200, ((0.25, 0.5),)),), Cell(None)))
    assert record["noise"] == [{"span": "a day", "spans": 200, "surely": [0.25], "possibly": [0.5]}]
    assert record["held"] == "1.2500"
