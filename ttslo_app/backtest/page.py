"""A study as one page that needs nothing else: charts, tables, terms.

The charts are plotly's, whose Python package carries its script: the script is written into the
page. Nothing is loaded from anywhere, and the page itself forbids it (`Content-Security-Policy`).
Pure but for that package. What it must never do: show a text of others as markup, or draw a line
that nobody knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from html import escape
from typing import Any

import numpy as np

from krakenlink.numbers import plain
from ttslo_app.backtest import words
from ttslo_app.backtest.candles import Bounds, Candles, stop_steps
from ttslo_app.backtest.history import PLACES, History, Ints
from ttslo_app.backtest.play import Played
from ttslo_app.backtest.result import End, Outcome, Outlook, Range, Row
from ttslo_app.backtest.study import Study, heading_of
from ttslo_app.backtest.sweep import Sweep

NEEDS = "a page needs the package plotly: pip install plotly"
# Nothing from outside: what is on the page, and pictures that it makes itself.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; base-uri 'none'; form-action 'none'"
)
# More lines than these nobody tells apart, and more points than these no screen has.
_MOST_ROWS = 8
_MOST_POINTS = 4_000
_MOST_STEPS = 4_000
_COLOURS = ("#3b7dd8", "#d8633b", "#3ba55d", "#9b59b6", "#c9a227", "#17a2a2", "#d84f8b", "#7f8c8d")
_GREY, _GRID = "#7a7a7a", "rgba(128,128,128,0.25)"
_STYLE = """
:root{color-scheme:light dark}
body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:1100px;padding:1rem}
h1{font-size:1.3rem;margin:.2rem 0}h2{font-size:1.1rem;margin:1.6rem 0 .4rem}
table{border-collapse:collapse;min-width:100%}
th,td{padding:.35rem .6rem;text-align:right;border-bottom:1px solid #8884;vertical-align:top}
th:first-child,td:first-child{text-align:left;min-width:12rem}p{max-width:75ch}
.wide,pre{overflow-x:auto}
.chart{min-height:420px}.warn{border-left:4px solid #d8633b;padding-left:.7rem}
"""


class PageUnavailable(Exception):
    """The page cannot be made; the text says why, and the cure."""


def page_of(study: Study) -> str:
    """Return the page, as HTML. It is about five megabytes, nearly all of them the script.

    Raises:
        PageUnavailable: If the package of the charts is missing.
    """
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise PageUnavailable(NEEDS) from None
    title, source = heading_of(study)
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>What if: {escape(study.pair)}</title><style>{_STYLE}</style>",
            f"<script>{get_plotlyjs()}</script></head><body>",
            f"<h1>{escape(title)}</h1><p>{escape(source)}</p>",
            *(f'<p class="warn">{escape(remark)}</p>' for remark in study.remarks),
            *_prices_part(study),
            *_table_part(study),
            *(_sweep_part(study.swept) if study.swept else ()),
            "</body></html>\n",
        ]
    )


def _drawn(traces: Sequence[Any], name: str, **layout: Any) -> str:
    """Return a chart as a part of the page."""
    from plotly import graph_objects

    figure = graph_objects.Figure(list(traces))
    axis = {"gridcolor": _GRID, "zerolinecolor": _GRID}
    figure.update_layout(
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": _GREY},
        margin={"l": 60, "r": 20, "t": 80, "b": 60},
        **layout,
    )
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
    made: str = figure.to_html(
        full_html=False,
        include_plotlyjs=False,
        div_id=name,
        config={"displayModeBar": False, "responsive": True},
    )
    return f'<div class="chart">{made}</div>'


# --- prices --------------------------------------------------------------------------------------


def _prices_part(study: Study) -> Iterator[str]:
    yield "<h2>Prices, thresholds and stops</h2>"
    shown = study.rows[:_MOST_ROWS]
    if len(shown) < len(study.rows):
        count = f"{len(shown)} of {len(study.rows)}"
        yield f"<p>The first {count} rows are drawn; the table has all.</p>"
    traces = [*_price_traces(study.prices)]
    for row, colour in zip(shown, _COLOURS, strict=False):
        traces += _row_traces(study, row, colour)
    # A threshold that is far from every price must not flatten them.
    low, high = (float(price) for price in study.prices.extremes)
    margin = (high - low) * 0.1 or high * 0.01
    axis = {
        "title": {"text": study.pair},
        "tickformat": ",~r",
        "range": [low - margin, high + margin],
    }
    yield _drawn(traces, "prices", yaxis=axis, hovermode="closest", legend={"orientation": "h"})


def _line(x: object, y: object, name: str, **more: Any) -> Any:
    from plotly import graph_objects

    return graph_objects.Scatter(x=x, y=y, name=name, **{"mode": "lines", **more})


def _price_traces(prices: History | Candles) -> Iterator[Any]:
    """Yield the prices; of very many the highest and the lowest of each piece of time."""
    if isinstance(prices, History):
        index = thinned(prices.price)
        yield _line(
            _moments(prices.at_ns[index]),
            prices.price[index] / 10.0**PLACES,
            "price",
            line={"color": _GREY, "width": 1},
        )
        return
    step = -(-len(prices) // (_MOST_POINTS // 2))
    starts = np.arange(0, len(prices), step)
    at = _moments(prices.at_ns[starts])
    low = np.minimum.reduceat(prices.low, starts) / 10.0**PLACES
    high = np.maximum.reduceat(prices.high, starts) / 10.0**PLACES
    thin = {"color": _GREY, "width": 1}
    yield _line(at, low, "lowest", line=thin)
    yield _line(at, high, "highest", line=thin, fill="tonexty", fillcolor="rgba(128,128,128,0.3)")


def thinned(price: Ints) -> Ints:
    """Return which prices are drawn: the first, the last, and both extremes of each piece."""
    if len(price) <= _MOST_POINTS:
        return np.arange(len(price))
    size = -(-len(price) // (_MOST_POINTS // 2))
    whole = len(price) // size * size
    pieces = price[:whole].reshape(-1, size)
    starts = np.arange(0, whole, size)
    found = [starts + pieces.argmax(axis=1), starts + pieces.argmin(axis=1)]
    rest = price[whole:]
    if len(rest):
        found.append(np.array([rest.argmax(), rest.argmin()]) + whole)
    return np.unique(np.concatenate([[0], *found, [len(price) - 1]]))


def _moments(at_ns: Ints) -> list[str]:
    return [str(moment) for moment in at_ns.astype("datetime64[ns]").astype("datetime64[ms]")]


def _row_traces(study: Study, row: Row, colour: str) -> Iterator[Any]:
    """Yield the threshold, the stop and the ends of a row; one entry of the legend each row."""
    played, outcome = row
    prices, rule = study.prices, played.rule
    group = {"legendgroup": rule.id}
    ends = _moments(np.array([prices.at_ns[0], prices.at_ns[-1]]))
    level = float(rule.threshold)
    dotted = {"color": colour, "dash": "dot", "width": 1}
    yield _line(ends, [level, level], f"{rule.id}: threshold", line=dotted, **group)
    if outcome is None or played.crossed is None:
        return
    steps = _steps(study, played)
    at = _moments(np.array([moment for moment, _ in steps], np.int64))
    stops = [float(stop) for _, stop in steps]
    line = {"color": colour, "width": 2, "shape": "hv"}
    yield _line(at, stops, f"{rule.id}: stop", line=line, showlegend=False, **group)
    marks = [("crossed", played.crossed, _crossing_price(played), "circle")]
    trailed: End | Range = outcome.trailed
    named = (
        [("end", trailed)]
        if isinstance(trailed, End)
        else [("worst", trailed.worst), ("best", trailed.best)]
    )
    for name, end in named:
        verb = ("sold" if end.is_sale else "bought") if end.is_reached else "not met"
        marks.append((f"{name}: {verb}", end.at, end.price, "x" if end.is_reached else "diamond"))
    for text, index, price, symbol in marks:
        yield _line(
            _moments(prices.at_ns[index : index + 1]),
            [float(price)],
            f"{rule.id}: {text} at {plain(price)}",
            mode="markers",
            marker={"color": colour, "size": 10, "symbol": symbol},
            showlegend=False,
            **group,
        )


def _crossing_price(played: Played | Bounds) -> Decimal:
    if isinstance(played, Played):
        return played.crossed_price
    assert played.crossing is not None
    return played.crossing.worst.price


def _steps(study: Study, played: Played | Bounds) -> list[tuple[int, Decimal]]:
    """Return where the stop stood and from when on, to the end of the line."""
    prices = study.prices
    if isinstance(played, Bounds):
        assert isinstance(prices, Candles)
        steps = stop_steps(prices, played, study.market)
        last = int(prices.at_ns[played.open_until])
    else:
        steps = [(step.at_ns, step.stop) for step in played.path]
        last = int(prices.at_ns[-1 if played.filled is None else played.filled])
    size = -(-len(steps) // _MOST_STEPS)
    return [*steps[::size], (last, steps[-1][1])]


def _flowing(text: str) -> str:
    """Return a text that was broken for a terminal as one that the page breaks."""
    return escape(" ".join(text.split()))


# --- tables --------------------------------------------------------------------------------------

_HEAD = ("row", "crossed", "trailing stop", "at once", "stop that does not trail", "held")


def _table_part(study: Study) -> Iterator[str]:
    if isinstance(study.prices, Candles):
        yield "<h2>Rows: of each end the worst and the best order of prices</h2>"
    else:
        yield "<h2>Rows</h2>"
    yield '<div class="wide"><table><thead><tr>'
    yield "".join(f"<th>{escape(name)}</th>" for name in _HEAD) + "</tr></thead><tbody>"
    for row in study.rows:
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in _cells(study, row))
        yield f"<tr>{cells}</tr>"
    yield f"</tbody></table></div><p>{_flowing(study.terms)}</p>"


def _cells(study: Study, row: Row) -> list[str]:
    played, outcome = row
    first = words.row_line(played.rule)
    if played.crossed is None:
        return [first, "never", "", "", "", ""]
    crossed = f"{words.moment(study.prices, played.crossed)} at {words.crossed_at(played)}"
    if outcome is None:
        return [first, crossed, f"no order: {played.refusal}", "", "", ""]
    ends: list[str] = [_ends(study, outcome)]
    ends += [words.net(end) for end in (outcome.at_crossing, outcome.fixed_stop, outcome.held)]
    return [first, crossed, *ends]


def _ends(study: Study, outcome: Outcome | Outlook) -> str:
    quote = study.pair.partition("/")[2]
    if isinstance(outcome, Outcome):
        return words.end_line(study.prices, outcome.trailed, quote)
    return f"{words.net(outcome.trailed)} {quote}"


# --- sweep ---------------------------------------------------------------------------------------


def _sweep_part(found: Sweep) -> Iterator[str]:
    yield f"<h2>Sweep: {escape(words.row_line(found.rule))}</h2>"
    yield f'<p class="warn">{escape(words.sweep_warning(found))}</p>'
    both = (("worst order of prices", 0), ("best order of prices", 1))
    for name, number in both if words.has_ranges(found) else (("", 0),):
        yield _heat(found, name, number)
    if found.noise:
        yield _noise(found)
    held = f"held to the end: {found.held:+.1f} %"
    yield f"<p>{held}</p><p>{_flowing(words.SWEEP_TERMS)}</p>"
    lines = "\n".join(words.noise_lines(found))
    yield "<details><summary>Noise in numbers</summary><pre>"
    yield f"{escape(lines)}</pre></details>"


def _heat(found: Sweep, name: str, number: int) -> str:
    """Return the map of cells, with the warning in the picture itself."""
    from plotly import graph_objects

    gains = [
        [None if cell.gains is None else round(float(cell.gains[number]), 4) for cell in row]
        for row in found.cells
    ]
    trace = graph_objects.Heatmap(
        z=gains,
        x=[f"{offset.normalize():f} %" for offset in found.offsets],
        y=[plain(price) for price in found.thresholds],
        colorscale="RdBu",
        zmid=0,
        colorbar={"title": {"text": "%"}},
        hovertemplate="threshold %{y}, offset %{x}: %{z:+.2f} %<extra></extra>",
        hoverongaps=False,
    )
    head = f"Gain, % of the first price{': ' + name if name else ''}"
    note = f"In sample: {found.tries} tries on one past;<br>the best of them was found by looking"
    return _drawn(
        [trace],
        f"heat{number}",
        title={"text": f"{head}<br><sup>{note}</sup>"},
        xaxis={"title": {"text": "offset"}, "type": "category"},
        yaxis={"title": {"text": "threshold"}, "type": "category"},
    )


def _noise(found: Sweep) -> str:
    """Return how often ordinary spans went back as far as each offset."""
    offsets = [float(offset) for offset in found.offsets]
    traces = []
    for one, colour in zip(found.noise, _COLOURS, strict=False):
        sure, possible = ([100 * pair[n] for pair in one.shares] for n in (0, 1))
        line = {"color": colour}
        name = f"within {one.name}"
        if sure != possible:
            dashed = {**line, "dash": "dot"}
            traces.append(_line(offsets, sure, f"{name}, surely", line=dashed))
            name += ", possibly"
        traces.append(_line(offsets, possible, name, line=line, mode="lines+markers"))
    return _drawn(
        traces,
        "noise",
        title={
            "text": "Noise of this pair alone<br><sup>how many of all spans, wherever they "
            "begin, go back so far</sup>"
        },
        xaxis={"title": {"text": "offset, %"}},
        yaxis={"title": {"text": "spans, %"}, "range": [0, 101]},
        legend={"orientation": "h", "y": -0.25},
    )
