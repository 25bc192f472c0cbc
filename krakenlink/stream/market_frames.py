"""What the frames of books, candles and instruments say; `frames` reads all others.

Pure. A second look at the text, with room for what these channels hold: so that a price's frame, of
which there are many more, is read with as little as before. Nothing here judges: whether a book is
one is `book`'s affair.

Source: Kraken, spot WebSocket v2 (book, ohlc, instrument) (read 2026-11).
"""

from __future__ import annotations

from typing import Any

from krakenlink.pairs import Symbol
from krakenlink.stream.events import BookUpdate, Damaged, Message

try:  # as in `frames`
    from msgspec import Struct
    from msgspec.json import Decoder
except (Exception, SystemExit) as error:  # which may do anything
    raise ImportError(f"msgspec is not installed ({type(error).__name__})") from error


class _Level(Struct, frozen=True, gc=False):
    """A level with its numbers as they were written."""

    price: Any = None
    qty: Any = None


class _BookRow(Struct, gc=False):
    symbol: Any = None
    bids: tuple[_Level, ...] = ()
    asks: tuple[_Level, ...] = ()
    checksum: Any = None
    timestamp: str | None = None


class _BookFrame(Struct, gc=False):
    type: Any = None
    data: list[_BookRow] = []


# The hook leaves a number the text that it is: its digits are what Kraken sums up.
_decode_book = Decoder(_BookFrame, float_hook=str).decode


def read_book(frame: str, at: float) -> list[Message]:
    """Return the changes of books that a frame of that channel holds; none if it is damaged."""
    try:
        content = _decode_book(frame)
    except (ValueError, RecursionError):
        return []
    is_snapshot = content.type == "snapshot"
    return [
        BookUpdate(
            Symbol(row.symbol), row.bids, row.asks, row.checksum, at, row.timestamp, is_snapshot
        )
        if isinstance(row.symbol, str)
        else Damaged("book without a symbol")
        for row in content.data
    ]


def lost_book(symbol: object, at: float) -> Message:
    """Return what a damaged row does to the book that it names: a change without its sum."""
    if not isinstance(symbol, str) or not symbol:
        return Damaged("a book that cannot be read")
    return BookUpdate(Symbol(symbol), (), (), None, at)
