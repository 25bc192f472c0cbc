"""What the live page draws: the prices, thresholds, stops and marks of each pair over time.

Pure: snapshots in, messages out. What it must never do: grow without a bound, or show a price that
a snapshot does not call proven.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from ttslo_app.face.snapshot import Event, Order, Row, Snapshot, Verdict
from ttslo_app.messages import Kind

# Of each line: from so many points on, of each four neighbours the two outermost stay.
MOST_POINTS = 240
# Of each pair; and so many pairs and stops, those that were heard of last.
MOST_MARKS, MOST_CHARTS, MOST_STOPS = 20, 100, 100
_MARKED = frozenset({Kind.PLACED, Kind.FILLED, Kind.ENDED, Kind.REFUSED, Kind.CROSSED_BLIND})

Point = tuple[float, float]  # seconds since 1970, price


class Trace:
    """A line over time. It keeps its extremes when it becomes coarser, and its newest part fine."""

    def __init__(self) -> None:
        self.points: list[Point] = []

    def add(self, at: float, price: float) -> None:
        """Add the newest point; what is not newer is passed over."""
        points = self.points
        if points and at <= points[-1][0]:
            return
        if len(points) > 1 and points[-1][1] == points[-2][1] == price:
            points[-1] = (at, price)  # a level stretch needs its two ends alone
            return
        points.append((at, price))
        if len(points) > MOST_POINTS:
            self.points = list(_thinned(points))


def _thinned(points: list[Point]) -> Iterator[Point]:
    """Yield the older three quarters coarser, and the rest as it is."""
    until = len(points) * 3 // 4 // 4 * 4
    for start in range(0, until, 4):
        four = points[start : start + 4]
        least, most = min(four, key=_price), max(four, key=_price)
        yield from sorted({least, most})
    yield from points[until:]


def _price(point: Point) -> float:
    return point[1]


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened to an order: `price` is where it is drawn."""

    at: float
    price: float
    kind: str
    row: str


@dataclass(slots=True)
class _Stop:
    row: str
    line: Trace = field(default_factory=Trace)


@dataclass(slots=True)
class _Chart:
    line: Trace = field(default_factory=Trace)
    stops: dict[str, _Stop] = field(default_factory=dict)
    marks: deque[Mark] = field(default_factory=lambda: deque(maxlen=MOST_MARKS))
    levels: list[tuple[str, float]] = field(default_factory=list)
    last: float | None = None


class Board:
    """Gathers what is drawn, from one snapshot after the other. One thread."""

    def __init__(self) -> None:
        self._charts: dict[str, _Chart] = {}
        self._seen: deque[Event] = deque(maxlen=64)
        self._now: dict[str, Any] | None = None

    def take(self, snapshot: Snapshot, verdict: Verdict) -> None:
        """Take in the newest snapshot, and what it means."""
        at = snapshot.written_at
        for row in snapshot.rows:
            self._take_price(row, at)
        for pair, chart in self._charts.items():
            chart.levels = list(_levels(snapshot.rows, pair))
        pairs = {row.id: row.pair for row in snapshot.rows if row.pair}
        for order in snapshot.orders:
            self._take_stop(order, pairs.get(order.row, order.pair), at)
        for event in snapshot.events:
            if event not in self._seen:
                self._seen.append(event)
                self._take_event(event, pairs.get(event.row, ""))
        self._now = {
            "status": asdict(verdict),
            "snapshot": asdict(snapshot),
            "spread": snapshot.spread,
            "is_torn": snapshot.is_torn,
        }

    def _chart(self, pair: str) -> _Chart:
        chart = self._charts.pop(pair, None) or _Chart()
        while len(self._charts) >= MOST_CHARTS:
            del self._charts[next(iter(self._charts))]
        self._charts[pair] = chart
        return chart

    def _take_price(self, row: Row, at: float) -> None:
        if not row.pair:
            return
        chart = self._chart(row.pair)
        price = _number(row.price)
        if price is not None:
            chart.last = price
            # Dated by its proof: an old price is no price of now.
            chart.line.add(round(at - (row.age or 0.0), 3), price)

    def _take_stop(self, order: Order, pair: str, at: float) -> None:
        stop = _number(order.stop)
        if stop is None:
            return
        stops = self._chart(pair).stops
        line = stops.setdefault(order.txid, _Stop(order.row)).line
        line.add(round(at, 3), stop)
        while len(stops) > MOST_STOPS:
            del stops[next(iter(stops))]

    def _take_event(self, event: Event, pair: str) -> None:
        chart = self._charts.get(pair)
        if chart is None or event.kind not in _MARKED:
            return
        lines = [stop.line for stop in chart.stops.values() if stop.row == event.row]
        is_end = event.kind == Kind.FILLED and bool(lines) and bool(lines[-1].points)
        price = lines[-1].points[-1][1] if is_end else chart.last
        if price is not None:
            chart.marks.append(Mark(round(event.at, 3), price, event.kind, event.row))

    def whole(self) -> dict[str, Any] | None:
        """Return all that a page needs that has nothing yet; None before the first snapshot."""
        return self._message(is_whole=True)

    def newest(self) -> dict[str, Any] | None:
        """Return what a page needs that has the rest; None before the first snapshot."""
        return self._message(is_whole=False)

    def _message(self, *, is_whole: bool) -> dict[str, Any] | None:
        if self._now is None:
            return None

        def part(line: Trace) -> list[Point]:
            return line.points if is_whole else line.points[-1:]

        charts = {
            pair: {
                "points": part(chart.line),
                "levels": chart.levels,
                "stops": {
                    txid: {"row": stop.row, "points": part(stop.line)}
                    for txid, stop in chart.stops.items()
                },
                "marks": [asdict(mark) for mark in chart.marks],
            }
            for pair, chart in sorted(self._charts.items())
        }
        return {**self._now, "charts": charts, "is_whole": is_whole}


def _levels(rows: tuple[Row, ...], pair: str) -> Iterator[tuple[str, float]]:
    """Yield the thresholds of a pair that still wait for a price."""
    for row in rows:
        level = _number(row.condition.rpartition(" ")[2])
        if row.pair == pair and level is not None and row.state in ("armed", "blind", "waiting"):
            yield row.id, level


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 < number < float("inf") else None
