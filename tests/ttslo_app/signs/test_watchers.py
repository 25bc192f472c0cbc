"""How a run is for those who watch over it from elsewhere."""

from __future__ import annotations

import math
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from fake_kraken import FakeKraken
from krakenlink.machine import feed_clock
from tests.kits.program.live_program import LiveProgram, row, wait_until
from tests.kits.program.program_process import HEADER, PAIR, ROW
from ttslo_app.messages import Market
from ttslo_app.rules.rule import read_rule
from ttslo_app.run.live import LiveRun
from ttslo_app.run.program import Program
from ttslo_app.signs.watchers import standing_of, status_of, trouble_of, vitals_of
from ttslo_app.watch.crossings import Armed


def armed(rule_id: str, threshold: str, market: str = "BTC/USD") -> Armed:
    """Return an armed row."""
    cells = dict(zip(HEADER.split(","), ROW.split(","), strict=True))
    rule = read_rule({**cells, "id": rule_id, "threshold_price": threshold})
    return Armed(rule, Market(market, market), 0)


def run_with(*rows: Armed, price: str = "50000", **more: object) -> LiveRun:
    """Return what looks like a run with rows, BTC/USD at `price` and no price of anything else."""
    rules, last = {one.rule.id: one for one in rows}, {"BTC/USD": (Decimal(price), 1.0)}
    watch = SimpleNamespace(rules=rules, seats=dict.fromkeys(rules), last=last)
    live = {"has_begun": True, "turned_at": math.inf, "armed": dict, "orderless": dict}
    return cast("LiveRun", SimpleNamespace(watch=watch, **{**live, **more}))


def test_nearest_row_is_the_one_with_the_shortest_way_in_percent() -> None:
    """Above or below; rows without a price are counted alone."""
    rows = [armed("far", "60000"), armed("near", "49000"), armed("eth", "1", "ETH/USD")]
    count, nearest = standing_of(run_with(*rows))
    assert count == 3
    assert nearest.startswith("near: BTC/USD at or above 49000, now 50000 (2.00 % away)")
    assert status_of(run_with(*rows)) == f"3 armed; nearest {nearest}"
    assert status_of(run_with()) == "0 armed"
    assert (standing_of(None), status_of(None)) == ((0, ""), "0 armed")


def test_of_very_many_rows_none_is_called_nearest() -> None:
    """Looking through them would take time away from prices."""
    rows = [armed(f"r{number}", "60000") for number in range(5001)]
    assert standing_of(run_with(*rows)) == (5001, "")
    assert standing_of(run_with(*rows[1:]))[1]


def program_with(live: LiveRun | None, idle: float = 0.0, *, is_running: bool = True) -> Program:
    """Return what looks like a program whose order thread turned `idle` seconds ago."""
    worker = SimpleNamespace(doing=("", 1000.0 - idle), is_running=is_running)
    clocks = SimpleNamespace(monotonic=lambda: 1000.0)
    return cast("Program", SimpleNamespace(live=live, worker=worker, clocks=clocks))


@pytest.mark.parametrize(
    ("program", "trouble"),
    [
        (program_with(run_with()), ""),
        (program_with(run_with(armed=lambda: {"btc": True})), ""),
        (program_with(None), "it has not begun to watch yet"),
        (program_with(run_with(has_begun=False)), "it has not begun to watch yet"),
        (
            program_with(run_with(turned_at=feed_clock() - 10_000)),
            "no price has been looked at for",
        ),
        (program_with(run_with(), 31.0), "the order thread has not turned for 31 s"),
        (program_with(run_with(), is_running=False), "the order thread has not turned"),
        (
            program_with(run_with(armed=lambda: {"btc": True, "eth": False})),
            'no live price for 1 of 2 armed rows: ["eth"]',
        ),
        (
            program_with(run_with(orderless=lambda: {"btc": 9.0})),
            'crossed, and no order yet: ["btc"]',
        ),
    ],
)
def test_sign_of_life_is_withheld_for_whatever_could_miss_a_crossing(
    program: Program, trouble: str
) -> None:
    """Both threads turn, each row has a proven price, and no crossing waits."""
    said = trouble_of(program)
    assert said.startswith(trouble)
    assert bool(said) is bool(trouble)


def test_running_program_is_well_until_its_stream_is_gone(
    exchange: FakeKraken, tmp_path: Path
) -> None:
    """The true run: armed, well, and not well any more once nothing proves its price."""
    exchange.set_price(PAIR, "50000")
    with LiveProgram(exchange, tmp_path, [row("up", 51000)]) as program:
        vitals = vitals_of(program.ttslo)
        wait_until(lambda: vitals.is_armed() and not vitals.trouble(), "all is well")
        nearest = "1 armed; nearest up: BTC/USD at or above 51000"
        wait_until(lambda: vitals.status().startswith(nearest), "its price is known")
        assert not vitals.is_stopping()
        exchange.stop()
        wait_until(lambda: "no live price for 1 of 1" in vitals.trouble(), "it is not well")
    assert vitals.is_stopping()
