"""What the frames of books, candles and instruments say; `frames` reads all others.

Pure. A second look at the text, with room for what these channels hold: so that a price's frame, of
which there are many more, is read with as little as before. Nothing here judges: whether a book is
one is `book`'s affair.

Source: Kraken, spot WebSocket v2 (book, ohlc, instrument) (read 2026-11).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from krakenlink.numbers import to_decimal
from krakenlink.pairs import Symbol
from krakenlink.stream.events import (
    BookUpdate,
    CandleUpdate,
    Damaged,
    InstrumentUpdate,
    Message,
    Value,
)
from krakenlink.stream.instruments import read_asset, read_instrument
from krakenlink.stream.tapes import Candle

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


@dataclass(slots=True, eq=False, repr=False)
class _Update(Value):
    """A `BookUpdate` while it is filled: as `frames` makes its prices, and for its reason."""

    symbol: str
    bid_levels: tuple[_Level, ...]
    ask_levels: tuple[_Level, ...]
    checksum: Any
    at: float
    timestamp: str | None
    is_snapshot: bool


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
    messages: list[Message] = []
    for row in content.data:
        if isinstance(row.symbol, str):
            update: Any = _Update(
                row.symbol, row.bids, row.asks, row.checksum, at, row.timestamp, is_snapshot
            )
            update.__class__ = BookUpdate
            messages.append(update)
        else:
            messages.append(Damaged("book without a symbol"))
    return messages


def lost_book(symbol: object, at: float) -> Message:
    """Return what a damaged row does to the book that it names: a change without its sum."""
    if not isinstance(symbol, str) or not symbol:
        return Damaged("a book that cannot be read")
    return BookUpdate(Symbol(symbol), (), (), None, at)


# --- candles -----------------------------------------------------------------------------------


class _CandleRow(Struct, gc=False):
    symbol: Any = None
    interval: Any = None
    interval_begin: Any = None
    open: Any = None
    high: Any = None
    low: Any = None
    close: Any = None
    volume: Any = None
    trades: Any = None
    vwap: Any = None


class _CandleFrame(Struct, gc=False):
    type: Any = None
    data: list[_CandleRow] = []


_decode_candles = Decoder(_CandleFrame, float_hook=str).decode


def read_candles(frame: str, at: float) -> list[Message]:
    """Return the candles of each market and interval; none if the frame is damaged."""
    try:
        content = _decode_candles(frame)
    except (ValueError, RecursionError):
        return []
    found: dict[tuple[Symbol, int], list[Candle | None]] = {}
    for row in content.data:
        if isinstance(row.symbol, str) and isinstance(row.interval, int) and row.interval > 0:
            found.setdefault((Symbol(row.symbol), row.interval), []).append(_candle(row))
    is_snapshot = content.type == "snapshot"
    return [
        CandleUpdate(
            symbol,
            interval,
            tuple(candle for candle in candles if candle is not None),
            at,
            is_snapshot,
            is_damaged=None in candles,
        )
        for (symbol, interval), candles in found.items()
    ]


def _candle(row: _CandleRow) -> Candle | None:
    """Return the candle of a row; None where something in it cannot be."""
    try:
        began = datetime.fromisoformat(row.interval_begin)
        candle = Candle(
            begin=int(began.timestamp()),
            open=to_decimal(row.open),
            high=to_decimal(row.high),
            low=to_decimal(row.low),
            close=to_decimal(row.close),
            volume=to_decimal(row.volume),
            trades=int(row.trades),
            vwap=None if row.vwap is None else to_decimal(row.vwap),
        )
    except (TypeError, ValueError, OverflowError):
        return None
    is_whole = began.tzinfo is not None and candle.begin % (60 * row.interval) == 0
    return candle if is_whole and candle.is_sane and candle.trades >= 0 else None


# --- instruments -------------------------------------------------------------------------------


class _InstrumentData(Struct, gc=False):
    pairs: list[dict[str, Any]] = []
    assets: list[dict[str, Any]] = []


class _InstrumentFrame(Struct, gc=False):
    data: _InstrumentData
    channel: Any = None
    type: Any = None


_decode_instruments = Decoder(_InstrumentFrame, float_hook=str).decode


def read_instruments(frame: str, at: float) -> list[Message]:
    """Return what a frame of that channel tells; none if it is of another, or damaged.

    All pairs are some 2 MB of text: they are read in one go, and under no lock.
    """
    try:
        content = _decode_instruments(frame)
    except (ValueError, RecursionError):
        return []
    if content.channel != "instrument":
        return []
    pairs = [(row.get("symbol", ""), read_instrument(row)) for row in content.data.pairs]
    assets = [(row.get("id", ""), read_asset(row)) for row in content.data.assets]
    return [
        InstrumentUpdate(
            tuple(pair for _, pair in pairs if pair is not None),
            tuple(asset for _, asset in assets if asset is not None),
            at,
            is_snapshot=content.type == "snapshot",
            lost=tuple(str(name) for name, one in (*pairs, *assets) if one is None),
        )
    ]
