"""The page of a study: all of it, and nothing from anywhere else."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from tests.kits.histories.candle_kit import candles_of
from tests.kits.histories.history_kit import MARKET, history, row, walk
from ttslo_app.backtest import page as room
from ttslo_app.backtest.asked import grid_of
from ttslo_app.backtest.page import NEEDS, POLICY, PageUnavailable, page_of, thinned
from ttslo_app.backtest.result import Costs, row_of
from ttslo_app.backtest.study import Study
from ttslo_app.backtest.sweep import sweep
from ttslo_app.rules.rule import Rule

COSTS = Costs()
PAST = history(50000, 50500, 52000, 51480, 49000, 48000, at=[0, 9, 99, 999, 9999, 99999])
GRID = grid_of(["threshold=+1%..+4%:2", "offset=1%..5%:3"])
# What fetches something when a page is opened.
LOADING = {"src", "href", "srcset", "data", "action", "formaction", "poster", "background"}


class Reader(HTMLParser):
    """Notes what a page consists of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[tuple[str, str, str | None]] = []
        self.policy = ""
        self.scripts: list[str] = []
        self.texts: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._inside = tag
        self.loads += [(tag, name, value) for name, value in attrs if name in LOADING]
        values = dict(attrs)
        if values.get("http-equiv") == "Content-Security-Policy":
            self.policy = values["content"] or ""

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        (self.scripts if self._inside == "script" else self.texts).append(data)


def study(*rules: Rule, seconds: int = 0, is_swept: bool = False, prices: Any = None) -> Study:
    """Return a study of rows, on prices or on candles of them."""
    prices = PAST if prices is None else prices
    prices = candles_of(prices, seconds) if seconds else prices
    return Study(
        "BTC/USD",
        "XBTUSD.csv",
        prices,
        MARKET,
        COSTS,
        ("left out: <b>off</b> & co",),
        tuple(row_of(prices, rule, MARKET, COSTS) for rule in rules or (row(),)),
        sweep(prices, row(), GRID, MARKET, COSTS) if is_swept else None,
    )


def charts(page: str) -> dict[str, dict[str, Any]]:
    """Return the traces and the layout of each chart, by the name of its place."""
    found = {}
    decoder = json.JSONDecoder()
    for match in re.finditer(r'Plotly\.newPlot\(\s*"(\w+)",\s*', page):
        traces, end = decoder.raw_decode(page, match.end())
        begin = re.compile(r",\s*").match(page, end)
        assert begin is not None
        layout, _ = decoder.raw_decode(page, begin.end())
        found[match[1]] = {"traces": traces, "layout": layout}
    return found


@pytest.fixture(scope="module")
def whole() -> str:
    """Hand out a page with everything on it."""
    return page_of(study(is_swept=True, prices=walk(3, 900)))


def test_page_loads_nothing_and_forbids_it(whole: str) -> None:
    """No tag names another place, and the browser is told to ask nobody."""
    reader = Reader(whole)
    assert reader.loads == []
    assert reader.policy == POLICY
    assert "default-src 'none'" in POLICY
    assert not re.search(r"https?:|//\w", POLICY)
    assert "link" not in reader.tags
    assert "iframe" not in reader.tags


def test_styles_and_scripts_of_ours_name_no_address(whole: str) -> None:
    """The library's own script names maps that nothing here draws; the policy forbids them, too."""
    from plotly.offline import get_plotlyjs

    rest = whole.replace(get_plotlyjs(), "")
    assert len(rest) < 400_000
    assert "@import" not in rest
    assert "url(" not in rest
    assert re.findall(r"https?://[^\s\"'\\<]+", rest) == []


def test_charts_script_stands_in_the_page(whole: str) -> None:
    """Once, before the charts."""
    assert whole.index("plotly.js v") < whole.index("Plotly.newPlot(")
    assert whole.count("plotly.js v") <= 3


def test_row_is_drawn_with_threshold_stop_crossing_and_end() -> None:
    """Each at its prices."""
    traces = charts(page_of(study()))["prices"]["traces"]
    named = {trace["name"]: trace for trace in traces}
    assert list(named) == [
        "price",
        "btc: threshold",
        "btc: stop",
        "btc: crossed at 50500",
        "btc: end: sold at 51480",
    ]
    assert named["btc: threshold"]["y"] == [50500, 50500]
    assert named["btc: stop"]["y"] == [49995.0, 51480.0, 51480.0]
    assert named["btc: stop"]["line"]["shape"] == "hv"
    assert named["btc: end: sold at 51480"]["x"] == ["2022-01-01T00:16:39.000"]


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"threshold": 90000}, ["price", "btc: threshold"]),
        ({"volume": "0.00001"}, ["price", "btc: threshold"]),
        (
            {"offset": 50},
            [
                "price",
                "btc: threshold",
                "btc: stop",
                "btc: crossed at 50500",
                "btc: end: not met at 48000",
            ],
        ),
    ],
)
def test_nothing_is_drawn_that_did_not_happen(changes: dict[str, object], names: list[str]) -> None:
    """Neither a stop of no order nor a sale that was not."""
    rule = row(**changes)  # type: ignore[arg-type]  # cells
    traces = charts(page_of(study(rule)))["prices"]["traces"]
    assert [trace["name"] for trace in traces] == names


def test_candles_are_drawn_as_a_band_with_both_ends() -> None:
    """Neither order of prices is drawn as the one."""
    page = page_of(study(row(50200), seconds=60, prices=walk(3, 900)))
    names = [trace["name"] for trace in charts(page)["prices"]["traces"]]
    assert names[:2] == ["lowest", "highest"]
    assert any(name.startswith("btc: worst: ") for name in names)
    assert any(name.startswith("btc: best: ") for name in names)
    assert "of each end the worst and the best order of prices" in page


def test_threshold_far_off_does_not_flatten_the_prices() -> None:
    """The chart shows where the prices are."""
    page = page_of(study(row(900000)))
    low, high = charts(page)["prices"]["layout"]["yaxis"]["range"]
    assert 47000 < low < 48000
    assert 52000 < high < 53000


def test_table_has_every_row_and_the_terms() -> None:
    """Those too that are not drawn."""
    rules = [replace(row(), id=f"row{n}") for n in range(12)]
    page = page_of(study(*rules))
    text = " ".join(Reader(page).texts)
    assert all(f"row{n}: sell 0.01 at or above 50500" in text for n in range(12))
    assert "The first 8 of 12 rows are drawn; the table has all." in text
    assert "512.48 USD" in text
    assert "The past is no promise." in text
    drawn = {trace["name"] for trace in charts(page)["prices"]["traces"]}
    assert "row7: stop" in drawn
    assert "row8: stop" not in drawn


def test_text_of_others_is_no_markup() -> None:
    """What a file says is shown as it is."""
    page = page_of(replace(study(), source="</script><script>alert(1)</script>.csv"))
    reader = Reader(page)
    assert "b" not in reader.tags
    assert any("left out: <b>off</b> & co" in text for text in reader.texts)
    assert not any("alert(1)" in script for script in reader.scripts)


def test_map_of_a_sweep_has_the_warning_in_the_picture(whole: str) -> None:
    """Whoever saves the picture saves it, too; what never crossed has no colour."""
    found = charts(whole)["heat0"]
    assert "In sample: 6 tries on one past" in found["layout"]["title"]["text"]
    (trace,) = found["traces"]
    assert trace["x"] == ["1 %", "3 %", "5 %"]
    assert len(trace["z"]) == len(trace["y"]) == 2
    assert "IN SAMPLE: 6 tries" in " ".join(Reader(whole).texts)


def test_cell_without_an_order_is_empty() -> None:
    """Not zero."""
    page = page_of(study(is_swept=True, prices=history(50000, 49000)))
    assert charts(page)["heat0"]["traces"][0]["z"] == [[None] * 3] * 2
    assert "less than an hour" in page


def test_candles_have_a_map_of_the_worst_and_one_of_the_best() -> None:
    """Beside each other."""
    grid = grid_of(["threshold=-1%..1%:3", "offset=0.5%..2%:3"])
    prices = candles_of(walk(3, 900), 60)
    made = replace(study(prices=prices), swept=sweep(prices, row(), grid, MARKET, COSTS))
    found = charts(page_of(made))
    worst, best = found["heat0"], found["heat1"]
    assert "worst order" in worst["layout"]["title"]["text"]
    assert "best order" in best["layout"]["title"]["text"]
    assert worst["traces"][0]["z"] != best["traces"][0]["z"]


def test_noise_stands_beside_the_map() -> None:
    """A line for each length of span."""
    slow = history(*(50000 + n % 7 * 300 for n in range(200)), at=[n * 60 for n in range(200)])
    found = charts(page_of(study(is_swept=True, prices=slow)))["noise"]
    (line,) = found["traces"]
    assert line["name"] == "within an hour"
    assert line["x"] == [1, 3, 5]
    assert line["y"] == [100, 100, 0]


@pytest.mark.parametrize("count", [10, 4000, 4001, 9999, 123_456])
def test_very_many_prices_are_thinned_to_their_extremes(count: int) -> None:
    """The first, the last, the highest and the lowest are always among them."""
    chance = np.random.default_rng(count)
    price = chance.integers(1, 10**9, count)
    index = thinned(price)
    assert len(index) <= 4100
    assert (np.diff(index) > 0).all()
    assert (index[0], index[-1]) == (0, count - 1)
    assert price[index].max() == price.max()
    assert price[index].min() == price.min()


@pytest.mark.parametrize("place", [1, 4003, 9_000, 9_996])
@pytest.mark.parametrize("extreme", [1, 10**9])
def test_extreme_is_drawn_wherever_it_stands(place: int, extreme: int) -> None:
    """In the piece that is left over at the end, too."""
    price = np.full(9_999, 500, np.int64)
    price[place] = extreme
    assert place in thinned(price)


def test_very_many_steps_of_a_stop_are_thinned_to_where_it_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It ends where it ended."""
    monkeypatch.setattr(room, "_MOST_STEPS", 5)
    past = history(*range(50000, 52000, 50), 40000)
    traces = charts(page_of(study(prices=past)))["prices"]["traces"]
    (stop,) = [trace for trace in traces if trace["name"] == "btc: stop"]
    assert len(stop["y"]) <= 7
    assert stop["y"][-1] == pytest.approx(51950 * 0.99)


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that brings it."""
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(PageUnavailable, match="pip install plotly"):
        page_of(study())
    assert "plotly" in NEEDS


def test_fee_and_span_head_the_page(whole: str) -> None:
    """Numbers without them mean nothing."""
    text = " ".join(Reader(whole).texts)
    assert "WHAT IF: 900 prices of BTC/USD, 2022-01-01T00:00:0" in text
    assert "from XBTUSD.csv; fee 0.4 %, slippage 0.05 %" in text
    assert Costs().fee == Decimal("0.40")
