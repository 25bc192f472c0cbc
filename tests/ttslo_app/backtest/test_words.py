"""What is told of an outcome: each line short, each end with its name."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from candle_kit import candles
from history_kit import MARKET, history, row

from ttslo_app.backtest import words
from ttslo_app.backtest.play import play
from ttslo_app.backtest.result import Costs, outcome_of, row_of

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
