"""A study told: numbers with the prices, costs and oddities that they come from."""

from __future__ import annotations

import json

import pytest

from tests.kits.histories.candle_kit import candles_of
from tests.kits.histories.history_kit import MARKET, history, row
from ttslo_app.backtest.asked import grid_of
from ttslo_app.backtest.result import Costs, row_of
from ttslo_app.backtest.study import Study, heading_of, lines_of, record_of
from ttslo_app.backtest.sweep import sweep

PAST = history(50000, 50500, 52000, 51480, 49000, 48000)


def study(*, is_candles: bool = False, is_swept: bool = False) -> Study:
    """Return a study of one row."""
    prices = candles_of(PAST, 2) if is_candles else PAST
    grid = grid_of(["threshold=+1%..+4%:2", "offset=1%..5%:3"])
    return Study(
        "BTC/USD",
        "XBTUSD.csv",
        prices,
        MARKET,
        Costs(),
        ("left out: off is not enabled",),
        (row_of(prices, row(), MARKET, Costs()),),
        sweep(prices, row(), grid, MARKET, Costs()) if is_swept else None,
    )


@pytest.mark.parametrize(("is_candles", "count"), [(False, "6 prices"), (True, "3 candles")])
def test_heading_tells_of_what_it_is(is_candles: bool, count: str) -> None:
    """How many prices, whose, of when, from where, at which costs."""
    title, source = heading_of(study(is_candles=is_candles))
    assert title.startswith(f"WHAT IF: {count} of BTC/USD, 2022-01-01T00:00:00Z to 2022-01-01T")
    assert source == "from XBTUSD.csv; fee 0.4 %, slippage 0.05 %"


def test_oddities_stand_before_the_rows_and_terms_after_them() -> None:
    """Whoever reads to the end knows what the words mean."""
    lines = list(lines_of(study()))
    assert lines.index("note: left out: off is not enabled") < lines.index("")
    assert lines[-1].startswith("A row is armed at the first price.")


def test_sweep_stands_last() -> None:
    """Below the terms of the rows, with terms of its own."""
    lines = list(lines_of(study(is_swept=True)))
    assert lines.index("SWEEP: sell 0.01, as btc") > 5
    assert lines[-1].startswith("asterisk was not met")


@pytest.mark.parametrize("is_candles", [False, True])
@pytest.mark.parametrize("is_swept", [False, True])
def test_object_for_programs_has_the_same_keys_always(is_candles: bool, is_swept: bool) -> None:
    """What is not there is null."""
    record = json.loads(json.dumps(record_of(study(is_candles=is_candles, is_swept=is_swept))))
    assert list(record) == [
        *("pair", "source", "prices", "is_candles", "from", "to", "fee", "slippage", "remarks"),
        *("rows", "sweep"),
    ]
    assert record["is_candles"] is is_candles
    assert (record["sweep"] is None) is not is_swept
    assert record["remarks"] == ["left out: off is not enabled"]
    assert record["rows"][0]["id"] == "btc"


def test_terms_are_those_of_the_prices() -> None:
    """Candles have assumptions of their own."""
    assert "Assumed is" not in study().terms
    assert "Assumed is" in " ".join(study(is_candles=True).terms.split())
