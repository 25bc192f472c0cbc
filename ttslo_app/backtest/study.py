"""All that `ttslo whatif` has found out: for a person, for a program, and for whoever draws it.

Pure. What it must never do: tell a number without the prices, the costs and the oddities that it
comes from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from krakenlink.numbers import plain, readable
from ttslo_app.backtest import words
from ttslo_app.backtest.candles import Candles
from ttslo_app.backtest.history import History
from ttslo_app.backtest.play import Market
from ttslo_app.backtest.result import Costs, Row
from ttslo_app.backtest.sweep import Sweep


@dataclass(frozen=True, slots=True)
class Study:
    """Rows on prices.

    Attributes:
        pair: Whose prices they are.
        source: Where they come from, in words.
        prices: The prices.
        market: Their market.
        costs: What a market order costs.
        remarks: What is odd, and what was left out.
        rows: What became of each row.
        swept: Many thresholds with many offsets; None where nobody asked for them.
    """

    pair: str
    source: str
    prices: History | Candles
    market: Market
    costs: Costs
    remarks: tuple[str, ...]
    rows: tuple[Row, ...]
    swept: Sweep | None = None

    @property
    def terms(self) -> str:
        """What the words mean that the rows are told in."""
        return words.CANDLE_TERMS if isinstance(self.prices, Candles) else words.TERMS


def heading_of(study: Study) -> tuple[str, str]:
    """Return two lines: what is told, and of what."""
    prices = study.prices
    first, last = words.moment(prices, 0), words.moment(prices, len(prices) - 1)
    kind = "candles" if isinstance(prices, Candles) else "prices"
    costs = f"fee {readable(study.costs.fee)} %, slippage {readable(study.costs.slippage)} %"
    return (
        f"WHAT IF: {len(prices)} {kind} of {study.pair}, {first} to {last}",
        f"from {study.source}; {costs}",
    )


def lines_of(study: Study) -> Iterator[str]:
    """Yield all of it for a person, a line at a time."""
    yield from heading_of(study)
    for remark in study.remarks:
        yield f"note: {remark}"
    for row in study.rows:
        yield ""
        yield from words.lines_of(study.prices, row)
    yield ""
    yield study.terms
    if study.swept:
        yield ""
        yield from words.sweep_lines(study.swept)


def record_of(study: Study) -> dict[str, Any]:
    """Return all of it as JSON's values: prices and amounts as text, moments as ISO UTC."""
    prices = study.prices
    return {
        "pair": study.pair,
        "source": study.source,
        "prices": len(prices),
        "is_candles": isinstance(prices, Candles),
        "from": words.moment(prices, 0),
        "to": words.moment(prices, len(prices) - 1),
        "fee": plain(study.costs.fee),
        "slippage": plain(study.costs.slippage),
        "remarks": list(study.remarks),
        "rows": [words.record_of(prices, row) for row in study.rows],
        "sweep": words.sweep_record(study.swept) if study.swept else None,
    }
