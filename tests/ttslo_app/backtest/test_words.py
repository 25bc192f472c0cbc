"""What is told of an outcome and of a sweep: each line short, each end with its name."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import pytest

from tests.kits.histories.candle_kit import candles, candles_of
from tests.kits.histories.history_kit import MARKET, history, row, walk
from ttslo_app.backtest import words
from ttslo_app.backtest.asked import grid_of
from ttslo_app.backtest.play import play
from ttslo_app.backtest.result import Costs, outcome_of, row_of
from ttslo_app.backtest.sweep import Cell, Noise, Sweep, sweep

PAST = history(50000, 50500, 52000, 51480, 49000, 48000)


def told(**changes: object) -> list[str]:
    """Return the lines on the usual row."""
    played = play(PAST, row(**changes), MARKET)  # type: ignore[arg-type]  # cells
    return list(words.lines_of(PAST, (played, outcome_of(PAST, played, Costs()))))


def test_row_that_was_sold_is_told_in_full() -> None:
    """What it says, when it crossed, how its stop went, what it brought, and what else would."""
    assert told() == [
        "btc: sell 0.01 at or above 50500, trailing 1 %",
        "  crossed 2022-01-01T00:00:01Z at 50500",
        "  the stop began at 49995 and came to 51480 (1 steps)",
        "  sold 2022-01-01T00:00:03Z at 51480: 514.80 less 2.32 = 512.48 USD",
        "  instead: at once 502.73; stop that does not trail 487.80; held 477.84",
    ]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"threshold": 90000}, "  never crossed: the highest price was 52000, 73.08 % short of it"),
        ({"offset": 50}, "  not met by the end; worth 477.84 USD at the last price"),
        (
            {"volume": "0.00001"},
            "  NO ORDER: Kraken would refuse it: EOrder:Order minimum not met",
        ),
    ],
)
def test_row_that_was_not_sold_says_why(changes: dict[str, object], line: str) -> None:
    """In a line of its own."""
    assert line in told(**changes)


def test_lines_fit_a_terminal() -> None:
    """Eighty columns, as everywhere."""
    lines = [*told(), *told(offset=50), *words.TERMS.splitlines()]
    assert max(map(len, lines)) <= 100
    assert sum(len(line) > 80 for line in lines) <= 3


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0", "0.00"),
        ("1234567.891", "1234567.89"),
        ("0.00012345678", "0.000123457"),
        ("-1.005", "-1.00"),
    ],
)
def test_amounts_are_short_and_never_nothing(value: str, text: str) -> None:
    """A coin of a thousandth of a cent is told, too."""
    assert words.amount(Decimal(value)) == text


def test_object_for_programs_holds_all_of_it() -> None:
    """Exact numbers as text, so that no reader rounds them."""
    played = play(PAST, row(), MARKET)
    record = words.record_of(PAST, (played, outcome_of(PAST, played, Costs())))
    again = json.loads(json.dumps(record))
    assert again["trailed"] == {
        "at": "2022-01-01T00:00:03Z",
        "price": "51480",
        "filled": True,
        "fee": "2.0592000",
        "slippage": "0.2574000",
        "net": "512.4834000",
        "side": "sell",
    } | {key: again["trailed"][key] for key in ("fee", "slippage", "net")}
    assert Decimal(again["trailed"]["net"]) == Decimal("512.4834")
    assert (again["crossed_price"], again["stop_last"], again["refused"]) == (
        "50500",
        "51480.0",
        None,
    )


CANDLES = candles((50000, 50600, 50000, 50500), (50500, 52000, 50200, 51900))


def test_row_on_candles_is_told_by_its_two_ends() -> None:
    """Never one number where the order of prices is not known."""
    *lines, others = words.lines_of(CANDLES, row_of(CANDLES, row(), MARKET, Costs()))
    assert lines == [
        "btc: sell 0.01 at or above 50500, trailing 1 %",
        "  crossed 2022-01-01T00:00:00Z at 50500 to 50600",
        "  worst: sold 2022-01-01T00:00:00Z at 50000: 500.00 less 2.25 = 497.75 USD",
        "  best:  not met by the end; worth 516.66 USD at the last price",
    ]
    assert others.startswith("  instead: at once 502.73 to 503.72; stop that does not trail 497.75")
    assert others.endswith(" to 516.66; held 516.66")


def test_row_on_candles_is_told_for_programs() -> None:
    """Each end twice, the last price once."""
    record = words.record_of(CANDLES, row_of(CANDLES, row(), MARKET, Costs()))
    assert record["crossed_price"] == "50500 to 50600"
    assert (record["trailed"]["worst"]["price"], record["trailed"]["best"]["price"]) == (
        "50000",
        "51900",
    )
    assert (record["trailed"]["worst"]["filled"], record["trailed"]["best"]["filled"]) == (
        True,
        False,
    )
    assert record["held"]["price"] == "51900"
    json.dumps(record)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"threshold": 90000}, "  never crossed: the highest price was 52000, 73.08 % short of it"),
        (
            {"threshold": 40000, "kind": "below"},
            "  never crossed: the lowest price was 50000, 20.00 % short of it",
        ),
        (
            {"volume": "0.00001"},
            "  NO ORDER: Kraken would refuse it: EOrder:Order minimum not met",
        ),
    ],
)
def test_row_on_candles_without_an_order_says_why(changes: dict[str, object], line: str) -> None:
    """As one on single prices does."""
    played = row_of(CANDLES, row(**changes), MARKET, Costs())  # type: ignore[arg-type]  # cells
    assert line in list(words.lines_of(CANDLES, played))
    json.dumps(words.record_of(CANDLES, played))


def test_path_of_the_stop_is_told_for_programs() -> None:
    """Each of its steps with the moment from which it stood there."""
    record = words.record_of(PAST, row_of(PAST, row(), MARKET, Costs()))
    assert [stop for _, stop in record["stop_path"]] == ["49995.0", "51480.0"]
    assert record["stop_path"][0][0].startswith("2022-01-01T00:00:01")
    assert record["armed_at"] == "2022-01-01T00:00:00Z"


def swept(*asked: str) -> Sweep:
    """Return a sweep of six prices."""
    return sweep(PAST, row(), grid_of(list(asked)), MARKET, Costs())


def made(noise: tuple[Noise, ...] = (), *cells: Cell) -> Sweep:
    """Return a sweep of one row with these cells."""
    offsets = tuple(Decimal(n + 1) for n in range(len(cells)))
    return Sweep(row(), Decimal(1), (Decimal(50500),), offsets, (cells,), Decimal("1.25"), noise)


def test_warning_comes_before_any_number() -> None:
    """With how many tries were made."""
    lines = list(words.sweep_lines(swept("threshold=+1%..+3%:3", "offset=1%..5%:5")))
    assert lines[0] == "SWEEP: sell 0.01, as btc"
    assert lines[1].startswith("IN SAMPLE: 15 tries on one past.")
    assert " ".join(lines[1:3]).endswith("and tells nothing of tomorrow.")


def test_table_has_a_row_for_each_threshold() -> None:
    """A dot for what never crossed, an asterisk for what was not met."""
    lines = list(words.sweep_lines(swept("threshold=+1%..+9%:2", "offset=1%..9%:3")))
    start = lines.index("threshold by offset")
    assert lines[start + 1 : start + 4] == [
        "               1%     5%     9%",
        "     50500   +2.5   -2.4  -4.4*",
        "     54500      .      .      .",
    ]
    assert "held to the end: -4.4 %" in lines


@pytest.mark.parametrize("steps", [2, 10, 11, 20, 60])
def test_sweep_fits_a_terminal(steps: int) -> None:
    """However many offsets there are; each stands in one block."""
    lines = list(words.sweep_lines(swept("threshold=+1%..+3%:2", f"offset=0.5%..45.5%:{steps}")))
    assert max(map(len, lines)) <= 80
    assert sum(line.count("%") for line in lines if line.startswith(" " * 10)) == steps


def test_long_prices_have_room() -> None:
    """Those of the cheapest coins."""
    found = replace(made((), Cell(None)), thresholds=(Decimal("0.0000123456"),))
    lines = list(words.sweep_lines(found))
    assert "0.0000123456      ." in lines
    assert "                 1%" in lines


def test_candles_have_a_table_of_the_worst_and_one_of_the_best() -> None:
    """Where they differ."""
    grid = grid_of(["threshold=-2%..2%:5", "offset=0.5%..2%:3"])
    found = sweep(candles_of(walk(3, 900), 60), row(), grid, MARKET, Costs())
    lines = list(words.sweep_lines(found))
    worst = lines.index("threshold by offset, the worst order of prices")
    best = lines.index("threshold by offset, the best order of prices")
    assert worst < best
    assert lines[worst + 2] != lines[best + 2]


def test_noise_is_told_by_span() -> None:
    """The sure and the possible share where they differ."""
    shares = ((1.0, 1.0), (0.254, 0.5), (0.0, 0.0))
    empty = Cell(None)
    lines = list(words.noise_lines(made((Noise("a day", 200, shares),), empty, empty, empty)))
    assert lines[3:] == [
        "               1%     2%     3%",
        "     a day    100  25-50      0",
        "(200 of a day; evenly spread, and they overlap)",
    ]
    assert lines[2] == "which the price falls from its highest by the offset or more"


def test_prices_without_a_span_say_so() -> None:
    """Nothing is made up of six seconds."""
    (line,) = words.noise_lines(made())
    assert "less than an hour" in line


def test_object_for_programs_has_every_number() -> None:
    """As text where it is a price or a percent."""
    found = swept("threshold=+1%..+9%:2", "offset=1%..9%:3")
    record = json.loads(json.dumps(words.sweep_record(found)))
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
    record = words.sweep_record(made((Noise("a day", 200, ((0.25, 0.5),)),), Cell(None)))
    assert record["noise"] == [{"span": "a day", "spans": 200, "surely": [0.25], "possibly": [0.5]}]
    assert record["held"] == "1.2500"
