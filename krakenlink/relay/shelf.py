"""What a relay keeps of a channel, so that a reader who comes later begins where the others are.

Pure. Prices are kept as they came. A book goes from frame to frame under Kraken's own checksum, and
the list of pairs row by row; what is told of them later is written with Kraken's digits. It must
never tell a book that its last sum has not confirmed.

Source: Kraken, spot WebSocket v2 (ticker, book, instrument) (read 2026-11).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from krakenlink.stream.book import Book
from krakenlink.stream.tapes import INTERVALS


class Number(str):
    """A number of a frame, with the digits that it came with."""

    __slots__ = ()


def read_frame(frame: str) -> dict[str, Any]:
    """Return a frame as an object in which each number that has a point is a `Number`.

    Raises:
        ValueError: If it is no JSON object.
    """
    try:
        told = json.loads(frame, parse_float=Number, parse_constant=Number)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(told, dict):
        raise ValueError("no object")
    return told


def written(value: object) -> str:
    """Return what `read_frame` made, as JSON, each number with its own digits."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        return f"{{{','.join(f'{json.dumps(name)}:{written(v)}' for name, v in value.items())}}}"
    if isinstance(value, list):
        return f"[{','.join(map(written, value))}]"
    return json.dumps(value)


class Shelf(Protocol):
    """What is kept of one channel of one symbol."""

    def take(self, frame: str, kind: object, row: dict[str, Any]) -> None:
        """Take in a frame, `snapshot` or `update`, with its row about this symbol."""
        ...

    def frame(self) -> str | None:
        """Return what stands for all of it; None where nothing is known."""
        ...


class Nothing:
    """Of trades and candles: those before an acknowledgement are asked for over REST."""

    def take(self, frame: str, kind: object, row: dict[str, Any]) -> None:
        """Keep nothing."""

    def frame(self) -> str | None:
        """Return None."""
        return None


class Latest:
    """The latest price, as it came."""

    def __init__(self) -> None:
        self._frame: str | None = None

    def take(self, frame: str, kind: object, row: dict[str, Any]) -> None:
        """Keep it in the place of the one before."""
        self._frame = frame

    def frame(self) -> str | None:
        """Return it."""
        return self._frame


class _Level(NamedTuple):
    price: object
    qty: object


def _levels(rows: object) -> list[_Level]:
    found = rows if isinstance(rows, list) else []
    return [_Level(row.get("price"), row.get("qty")) for row in found if isinstance(row, dict)]


class BookCopy:
    """A book as the frames have made it, or none.

    Args:
        depth: As it was asked for at Kraken.
    """

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._book: Book | None = None
        self._row: dict[str, Any] = {}

    def take(self, frame: str, kind: object, row: dict[str, Any]) -> None:
        """Go on, or begin anew with a snapshot; a sum that is wrong ends the book."""
        bids, asks, total = _levels(row.get("bids")), _levels(row.get("asks")), row.get("checksum")
        if kind == "snapshot":
            self._book = Book(self._depth)
            fault = self._book.begin(bids, asks, total)
        elif self._book is None:
            return
        else:
            fault = self._book.change(bids, asks, total)
        self._row = row
        if fault:
            self._book = None  # the provider sees it, too, and asks for it anew

    def frame(self) -> str | None:
        """Return the book as a snapshot with Kraken's sum."""
        if self._book is None:
            return None
        shown = self._book.texts(self._depth)
        row = {
            "symbol": self._row["symbol"],
            "bids": _written_side(shown.bids),
            "asks": _written_side(shown.asks),
            "checksum": self._row["checksum"],
        }
        if isinstance(self._row.get("timestamp"), str):
            row["timestamp"] = self._row["timestamp"]
        return written({"channel": "book", "type": "snapshot", "data": [row]})


def _written_side(levels: Sequence[Any]) -> list[dict[str, Number]]:
    return [{"price": Number(f"{x.price:f}"), "qty": Number(f"{x.qty:f}")} for x in levels]


class PairsCopy:
    """All pairs and assets, each row with what was told of it last."""

    _IDS = (("assets", "id"), ("pairs", "symbol"))

    def __init__(self) -> None:
        self._kept: dict[str, dict[str, dict[str, Any]]] | None = None
        self._written: str | None = None  # it is 2 MB long at Kraken, and seldom changes

    def take(self, frame: str, kind: object, row: dict[str, Any]) -> None:
        """Take rows in; what one leaves out stays as it was."""
        if kind == "snapshot":
            self._kept = {name: {} for name, _ in self._IDS}
        if self._kept is None:
            return
        self._written = None
        for name, id_name in self._IDS:
            rows = row.get(name)
            for told in rows if isinstance(rows, list) else ():
                if isinstance(told, dict) and isinstance(told.get(id_name), str):
                    known = self._kept[name].setdefault(told[id_name], {})
                    known.update({cell: fact for cell, fact in told.items() if fact is not None})

    def frame(self) -> str | None:
        """Return all of it as a snapshot."""
        if self._kept is None:
            return None
        if self._written is None:
            data = {name: list(rows.values()) for name, rows in self._kept.items()}
            told = {"channel": "instrument", "type": "snapshot", "data": data}
            self._written = written(told)
        return self._written


CARRIED = ("ticker", "trade", "book", "ohlc", "instrument")
PAIRS = "instrument"
"""The channel that has no symbol, and a connection of its own: its first message is 2 MB long."""


class Key(NamedTuple):
    """What tells a subscription from every other one; a book's depth does not."""

    channel: str
    symbol: str
    interval: int = 0


def key_of(channel: str, symbol: str, params: dict[str, Any]) -> Key:
    """Return the key of a subscription, as it stands in a question or an answer."""
    if channel == PAIRS:
        return Key(channel, "")
    if channel != "ohlc":
        return Key(channel, symbol)
    interval = params.get("interval")
    return Key(channel, symbol, interval if interval in INTERVALS else INTERVALS[0])


def shelf_for(channel: str, depth: int) -> Shelf:
    """Return an empty shelf."""
    if channel == "ticker":
        return Latest()
    if channel == "book":
        return BookCopy(depth)
    return PairsCopy() if channel == PAIRS else Nothing()
