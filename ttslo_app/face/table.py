"""The table: a snapshot drawn as lines for a terminal of any width.

Pure, and the same for `ttslo status` and for the terminal of the running program. A line is made
of pieces with the name of a style each, so who cannot show colours leaves the names away. What it
must never do: draw wider than it was told, or let a row's own words act on a terminal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from krakenlink.foreign import shown
from krakenlink.numbers import readable
from ttslo_app.clocks import clock_time
from ttslo_app.face.snapshot import BLIND, NOT_RUNNING, Order, Row, Snapshot, Verdict, span

Piece = tuple[str, str]  # text, and style: plain, title, good, warn, bad or dim
Line = tuple[Piece, ...]

_STATE_STYLES = {
    **dict.fromkeys(("blind", "uncertain", "waiting", "refused", "not armed"), "bad"),
    "armed": "good",
    "placed": "title",
}
_LEVEL_STYLES = {"WARNING": "warn", "ERROR": "bad", "CRITICAL": "bad"}
_GAP = 2
_LONGEST = 500
_CUT = "~"


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of the table.

    Attributes:
        head: Its name.
        cells: Its texts.
        rank: The highest rank is left out first where there is no room.
        is_number: Whether it stands at the right.
        least: The narrowest that it may become, if it may become narrower at all.
    """

    head: str
    cells: Sequence[str]
    rank: int = 0
    is_number: bool = False
    least: int = 0

    @property
    def width(self) -> int:
        return max(map(len, [self.head, *self.cells]))


def text_of(lines: Sequence[Line]) -> str:
    """Return lines without their styles, and without blanks at their ends."""
    return "\n".join("".join(text for text, _ in line).rstrip() for line in lines)


def drawn(
    snapshot: Snapshot, verdict: Verdict, now: float, width: int, height: int | None = None
) -> list[Line]:
    """Return a snapshot as lines.

    Args:
        snapshot: What is drawn.
        verdict: What it means now.
        now: Seconds since 1970.
        width: The most columns that a line may have.
        height: The most lines; None for as many as there are.
    """
    style = {NOT_RUNNING: "bad", BLIND: "bad"}.get(verdict.code, "good")
    head = [*_folded(verdict.text, width, style), *_about(snapshot, now, width)]
    # What is old is shown as what it was, and never as what is.
    late = now - snapshot.written_at if verdict.code == NOT_RUNNING else 0.0
    if late:
        head += _folded(f"What follows is from {span(late)} ago.", width, "warn")
    orders = _titled(f"stops {snapshot.place_of_stops}", _orders(snapshot.orders, width))
    rows = _titled("rows", _rows(snapshot.rows, width))
    if snapshot.left_out:
        rows += _folded(f"and {snapshot.left_out} more rows", width, "dim")
    events = _titled("last events", _events(snapshot, now, width))
    return _fitting(head, [rows, orders, events], height)


def _fitting(head: list[Line], parts: list[list[Line]], height: int | None) -> list[Line]:
    """Return all of it in at most `height` lines: the last events go first, then rows."""
    lines = [*head, *(line for part in parts for line in part)]
    if height is None or len(lines) <= height:
        return lines
    rows, orders, events = parts
    room = height - len(head) - len(orders)
    kept = max(0, room - len(rows))
    # Two lines of events are their title and one of them; less says nothing.
    events = [*events[:2], *events[-(kept - 2) :]] if kept > 2 else []
    most = max(3, room - len(events) - 1)
    if len(rows) > most:
        left = len(rows) - most
        rows = [*rows[:most], ((f"and {left} more lines", "dim"),)]
    return [*head, *rows, *orders, *events][:height]


def _about(snapshot: Snapshot, now: float, width: int) -> list[Line]:
    link = f"stream {snapshot.link}" if snapshot.link != "none" else "prices over REST only"
    if snapshot.frame_age is not None:
        link += f", last frame {snapshot.frame_age:.1f} s ago"
    armed = f"{snapshot.armed} armed"
    return [
        *_folded(f"{snapshot.exchange}; ttslo {snapshot.version}", width, "dim"),
        *_folded(f"since {clock_time(snapshot.started_at, now)}; {armed}; {link}", width, "plain"),
        *(_folded(snapshot.spread, width, "bad" if snapshot.is_torn else "plain")
          if snapshot.connections else ()),
    ]  # fmt: skip


def _titled(title: str, lines: list[Line]) -> list[Line]:
    return [(("", "plain"),), ((title, "title"),), *lines] if lines else []


def _rows(rows: Sequence[Row], width: int) -> list[Line]:
    if not rows:
        return [(("none", "warn"),)]
    columns = [
        _Column("row", [_clean(r.id) for r in rows], least=8),
        _Column("state", [r.state for r in rows]),
        _Column("pair", [_clean(r.pair) for r in rows], rank=3),
        _Column("threshold", [_clean(r.condition) for r in rows], rank=2, least=9),
        _Column("price", [_number(r.price) for r in rows], rank=1, is_number=True),
        _Column("away", [_percent(r.away) for r in rows], is_number=True),
        _Column("proven", [_age(r.age) for r in rows], rank=4, is_number=True),
        _Column("by", [r.source or "-" for r in rows], rank=5),
        _Column(
            "then",
            [_clean(r.detail or "; ".join(filter(None, (r.action, r.worst)))) for r in rows],
            rank=6,
            least=12,
        ),
    ]
    styles = [_STATE_STYLES.get(row.state, "dim") for row in rows]
    return _grid(columns, styles, width)


def _orders(orders: Sequence[Order], width: int) -> list[Line]:
    if not orders:
        return []
    columns = [
        _Column("row", [_clean(o.row) for o in orders], least=8),
        _Column("stop now", [_number(o.stop, "not told yet") for o in orders], is_number=True),
        _Column("away", [_percent(o.away) for o in orders], is_number=True),
        _Column("best since", [_number(o.best) for o in orders], rank=2, is_number=True),
        _Column("told by", [o.told_by or "-" for o in orders], rank=3),
        _Column("price", [_number(o.price) for o in orders], rank=5, is_number=True),
        _Column("order", [_clean(o.txid) for o in orders], rank=4),
        _Column("what", [_clean(o.action) for o in orders], rank=6, least=12),
    ]
    styles = ["warn" if order.is_triggered else "good" for order in orders]
    return _grid(columns, styles, width)


def _grid(columns: list[_Column], styles: Sequence[str], width: int) -> list[Line]:
    """Return columns as lines; those of the highest rank go until the rest has room."""
    kept, widths = _fitted(columns, width)
    head = _joined([c.head for c in kept], kept, widths, width)
    lines: list[Line] = [((head, "dim"),)]
    for number, style in enumerate(styles):
        cells = [column.cells[number] for column in kept]
        lines.append(((_joined(cells, kept, widths, width), style),))
    return lines


def _fitted(columns: list[_Column], width: int) -> tuple[list[_Column], list[int]]:
    kept = list(columns)
    while True:
        least = [min(c.width, c.least or c.width) for c in kept]
        if _total(least) <= width or len(kept) == 1 or not max(c.rank for c in kept):
            break
        kept.remove(max(kept, key=lambda c: c.rank))
    spare = max(0, width - _total(least))
    widths = []
    for column, narrow in zip(kept, least, strict=True):
        more = min(spare, column.width - narrow)
        widths.append(narrow + more)
        spare -= more
    return kept, widths


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _joined(
    cells: Sequence[str], columns: Sequence[_Column], widths: Sequence[int], width: int
) -> str:
    texts = []
    for cell, column, room in zip(cells, columns, widths, strict=True):
        text = _cut(cell, room)
        texts.append(text.rjust(room) if column.is_number else text.ljust(room))
    return _cut((" " * _GAP).join(texts), width)


def _events(snapshot: Snapshot, now: float, width: int) -> list[Line]:
    return [
        ((_cut(f"{clock_time(e.at, now)}  {_clean(e.text)}", width),
          _LEVEL_STYLES.get(e.level.upper(), "plain")),)
        for e in snapshot.events
    ]  # fmt: skip


def _folded(text: str, width: int, style: str) -> list[Line]:
    """Return text as lines of whole words, where they have room."""
    lines, line = [], ""
    for word in _clean(text).split(" "):
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return [((_cut(one, width), style),) for one in [*lines, line]]


def _clean(text: str) -> str:
    return shown(text, _LONGEST)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(0, width - 1)] + _CUT


def _number(text: str | None, none: str = "-") -> str:
    return readable(text) if text else none


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} %"


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds:.1f} s" if seconds < 60 else span(seconds)
