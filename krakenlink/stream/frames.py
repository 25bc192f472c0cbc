"""Text in, messages out: what one frame of Kraken's says.

It meets msgspec, as `market_frames` does, and is pure: the moment comes in as an argument. A number
that is not finite and positive must never become a price, nor lose a digit on its way.

Source: Kraken, spot WebSocket v2 (ticker, trade, status, heartbeat, ping) (read 2026-11).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any, TypeVar

from krakenlink.numbers import LARGEST, SMALLEST, to_positive_decimal
from krakenlink.pairs import Symbol
from krakenlink.stream.events import (
    EVERY,
    Ack,
    Complaint,
    Damaged,
    InstrumentUpdate,
    Message,
    NoPrice,
    Pong,
    RateRefusal,
    Status,
    Tick,
    TradePrint,
    Trades,
    Value,
)

try:  # by name, so that another thing called msgspec is as good as none
    from msgspec import UNSET, Struct
    from msgspec.json import Decoder
except (Exception, SystemExit) as error:  # which may do anything
    raise ImportError(f"msgspec is not installed ({type(error).__name__})") from error


class _Row(Struct, gc=False):
    """One item of a frame's data, of whichever channel. What is not named is not looked at."""

    # Any, because Kraken's types are judged below, one field at a time: a bid that is no number
    # must not cost the price beside it.
    symbol: Any = None
    last: Any = None
    bid: Any = None
    ask: Any = None
    timestamp: Any = None
    price: Any = None
    qty: Any = None
    trade_id: Any = None
    system: Any = None


class _Frame(Struct, gc=False):
    """One frame, of a channel or in answer to a question of ours."""

    channel: Any = None
    type: Any = None
    data: list[_Row] = []
    method: Any = None
    success: Any = None
    result: Any = None
    error: Any = UNSET
    Error: Any = UNSET
    errorMessage: Any = UNSET  # noqa: N815 - Kraken's own spelling
    req_id: Any = None
    symbol: Any = None


# What follows is for frames of a price or of trades as they nearly always are. An object that is
# frozen is filled by one call for each of its fields, which costs as much as to read the frame. So
# it is filled before, as one of another class with the same slots, and then made what it is.


class _Quote(Struct, gc=False):
    """What a `Tick` is made of."""

    symbol: str
    last: Any
    bid: Any = None
    ask: Any = None
    timestamp: str | None = None


class _TickerFrame(Struct, gc=False, tag_field="channel", tag="ticker"):
    data: list[_Quote]


@dataclass(slots=True, eq=False, repr=False)
class _Print(Value):
    """A `TradePrint` before it is judged."""

    symbol: str
    price: Any
    qty: Any
    trade_id: int
    timestamp: str | None = None


class _TradeFrame(Struct, gc=False, tag_field="channel", tag="trade"):
    data: tuple[_Print, ...]
    type: Any = None


@dataclass(slots=True, eq=False, repr=False)
class _Tick(Value):
    """A `Tick` while it is filled."""

    symbol: str
    price: Decimal
    bid: Decimal
    ask: Decimal
    at: float
    timestamp: str | None


@dataclass(slots=True, eq=False, repr=False)
class _Trades(Value):
    """`Trades` while they are filled."""

    symbol: str
    prints: tuple[_Print, ...]
    at: float
    is_snapshot: bool


S = TypeVar("S", bound=Struct)

# With the hook a number keeps the digits on the wire: ints come as int, all others as Decimal.
_decode = Decoder(_Frame, float_hook=Decimal).decode
_decode_ticker = Decoder(_TickerFrame, float_hook=Decimal).decode
_decode_trades = Decoder(_TradeFrame, float_hook=Decimal).decode

# How Kraken's frames of books begin: read once, as there are a hundred for each price.
_BOOK = '{"channel":"book"'
# What tells frames of prices and trades from all others, behind `{"channel":"`.
_IS_TICKER, _IS_TRADE = "ti", "tr"

# Characters of a frame in which every number is short enough: a ticker has some 330. A price in a
# longer one is counted, because it goes with all of its digits into files and onto screens.
_SHORT = 600
_MOST_DIGITS = 100
# A trade has some 150, so several of them make a frame longer that holds no longer number.
_TRADE, _MOST_TRADES = 180, 9


def _number(text: str) -> Decimal | float:
    """Return the number with its digits; NaN, which is no price, where nobody means so many."""
    return Decimal(text) if len(text) <= _MOST_DIGITS else float("nan")


_decode_long = Decoder(_Frame, float_hook=_number).decode
_decode_long_ticker = Decoder(_TickerFrame, float_hook=_number).decode
_decode_long_trades = Decoder(_TradeFrame, float_hook=_number).decode
_decode_odd = json.JSONDecoder(parse_float=_number).decode


def read_frames(frames: Iterable[Any], at: float) -> list[Message]:
    """Return what `frames` say that came together, in order.

    Nothing of heartbeats and of channels that we do not read. Never raises: what cannot be read is
    a `Damaged`.

    Args:
        frames: Whole messages, text; bytes where one is not UTF-8.
        at: When they came.
    """
    messages: list[Message] = []
    for frame in frames:
        kind = frame[12:14]
        one: Message | None = None
        if kind == _IS_TICKER:
            one = _sound_tick(frame, at)
        elif kind == _IS_TRADE:
            one = _sound_trades(frame, at)
        elif frame[:17] == _BOOK and (books := _book_reader()(frame, at)):
            messages += books
            continue
        if one is None:
            messages += _read_any(frame, at)
        else:
            messages.append(one)
    return messages


def read_frame(frame: str | bytes, at: float) -> list[Message]:
    """Return what one frame says, as `read_frames` does."""
    return read_frames((frame,), at)


def _read_any(frame: str | bytes, at: float) -> list[Message]:
    if isinstance(frame, bytes):
        return [Damaged("not UTF-8 text")]
    try:
        content = _decode_long(frame) if frame[_SHORT : _SHORT + 1] else _decode(frame)
    except (ValueError, ArithmeticError, RecursionError):
        # Nearly all that comes here is damage; an instrument's data are no list.
        return _read_instruments(frame, at) or read_odd(frame, at)
    if content.channel == "book" and not frame.startswith(_BOOK):
        return _book_reader()(frame, at) or _read(content, at)
    if content.channel == "ohlc":
        from krakenlink.stream.market_frames import read_candles

        return read_candles(frame, at) or _read(content, at)
    return _read(content, at)


@cache  # of all frames those of books come most often, and an import asks for its room each time
def _book_reader() -> Callable[[str, float], list[Message]]:
    """Return what reads frames of books; it is loaded since somebody wants one."""
    from krakenlink.stream.market_frames import read_book

    return read_book


def _read_instruments(frame: str, at: float) -> list[Message]:
    """Return what a frame tells of all pairs; damage of other channels is not looked through."""
    if '"instrument"' not in frame:
        return []
    from krakenlink.stream.market_frames import read_instruments

    return [*read_instruments(frame, at)]


def _read(content: _Frame, at: float) -> list[Message]:
    channel = content.channel
    if channel == "ticker":
        return [_read_ticker(row, at) for row in content.data] or [Damaged("ticker without data")]
    if channel == "trade":
        return _read_trades(content, at)
    if channel == "book":  # what can be read is read by others
        from krakenlink.stream.market_frames import lost_book

        return [lost_book(row.symbol, at) for row in content.data] or [Damaged("book without data")]
    if channel == "ohlc":
        return [Damaged("candles that cannot be read")] if content.data else []
    if channel == "instrument":
        return [InstrumentUpdate((), (), at, lost=(EVERY,))]
    if channel == "status":
        return [
            Status(row.system) for row in content.data if isinstance(row.system, str) and row.system
        ]
    if isinstance(channel, str):
        return []
    return [_read_answer(content)]


def read_odd(frame: str, at: float) -> list[Message]:
    """Read a frame that the strict decoder refuses, as far as Python's own makes sense of it.

    That is: data that are no list of objects, a number such as NaN in a field of no importance.
    """
    try:
        # Beside broken JSON: numbers of thousands of digits (ValueError, ArithmeticError) and
        # brackets nested by the thousand (RecursionError).
        content = _decode_odd(frame)
    except (ValueError, ArithmeticError, RecursionError) as error:
        return [Damaged(f"not JSON: {type(error).__name__}")]
    if not isinstance(content, dict):
        return [Damaged("not a JSON object")]
    data = content.get("data")
    items = data if isinstance(data, list) else [data]
    rows = [_named(_Row, item) for item in items if isinstance(item, dict)]
    return _read(_named(_Frame, {**content, "data": rows}), at)


def _named(kind: type[S], content: dict[str, Any]) -> S:
    """Return those fields of `content` that `kind` has."""
    return kind(**{name: content[name] for name in kind.__struct_fields__ if name in content})


# -------------------------------------------------------------------------------------- prices


def _read_ticker(row: _Row, at: float) -> Message:
    symbol: Symbol = row.symbol  # once it is known to be text
    timestamp = row.timestamp
    if not isinstance(symbol, str) or not symbol:
        return Damaged("ticker without a symbol")
    price = _positive(row.last)
    if price is None:
        if row.last is None or row.last == 0:
            return NoPrice(symbol)
        # Negative, NaN, Infinity, 1e400: nothing that was ever traded at.
        return Damaged(f"{symbol}: last is not a price")
    # An empty side of the book shows as 0.
    return Tick(
        symbol,
        price,
        _positive(row.bid),
        _positive(row.ask),
        at,
        timestamp if isinstance(timestamp, str) else None,
    )


def _sound_tick(frame: str, at: float) -> Tick | None:
    """Return the price that a frame tells of one market; None where anything in it is odd.

    What is odd is read once more and judged one field at a time, by `_read_ticker`.
    """
    try:
        # A slice and not `len`, because a call would be a tenth of what a frame may cost.
        rows = (_decode_long_ticker if frame[_SHORT : _SHORT + 1] else _decode_ticker)(frame).data
        (row,) = rows
    except (ValueError, ArithmeticError, RecursionError):
        return None
    symbol, price, bid, ask = row.symbol, row.last, row.bid, row.ask
    if (
        type(price) is type(bid) is type(ask) is Decimal
        and SMALLEST <= price <= LARGEST
        and SMALLEST <= bid <= ask <= LARGEST  # a book that is crossed is odd, too
        and symbol
    ):
        tick: Any = _Tick(symbol, price, bid, ask, at, row.timestamp)
        tick.__class__ = Tick
        return tick  # type: ignore[no-any-return]  # which it is by now
    return None


def _sound_trades(frame: str, at: float) -> Trades | None:
    """Return the trades of a frame that holds those of one market; None where anything is odd.

    What is odd is read once more and judged one row at a time, by `_read_trades`.
    """
    try:
        is_long = frame[_SHORT : _SHORT + 1] and len(frame) > _room_of(frame)
        content = (_decode_long_trades if is_long else _decode_trades)(frame)
    except (ValueError, ArithmeticError, RecursionError):
        return None
    prints: Any = content.data
    if not prints or not (symbol := prints[0].symbol):
        return None
    for one in prints:
        price, qty = one.price, one.qty
        if (
            type(price) is not Decimal
            or type(qty) is not Decimal
            or not SMALLEST <= price <= LARGEST
            or not SMALLEST <= qty <= LARGEST
            or one.symbol != symbol
        ):
            return None
        one.__class__ = TradePrint
    trades: Any = _Trades(symbol, prints, at, content.type == "snapshot")
    trades.__class__ = Trades
    return trades  # type: ignore[no-any-return]  # which they are by now


def _room_of(frame: str) -> int:
    """Return how long the frame of so many trades may be without a long number in it."""
    return _TRADE * min(frame.count('"trade_id"'), _MOST_TRADES)


def _read_trades(content: _Frame, at: float) -> list[Message]:
    prints: dict[Symbol, list[TradePrint]] = {}
    messages: list[Message] = []
    for row in content.data:
        trade = _read_print(row)
        if trade is None:
            messages.append(Damaged("a trade that cannot be read"))
        else:
            prints.setdefault(trade.symbol, []).append(trade)
    is_snapshot = content.type == "snapshot"
    messages.extend(Trades(s, tuple(group), at, is_snapshot) for s, group in prints.items())
    return messages


def _read_print(row: _Row) -> TradePrint | None:
    price, qty = _positive(row.price), _positive(row.qty)
    symbol, trade_id, timestamp = _symbol(row.symbol), _int_or_none(row.trade_id), row.timestamp
    if symbol is None or price is None or qty is None or trade_id is None:
        return None
    return TradePrint(
        symbol, price, qty, trade_id, timestamp if isinstance(timestamp, str) else None
    )


def _positive(value: object) -> Decimal | None:
    """Return a price or size with the digits on the wire; None for what cannot be one."""
    kind = type(value)
    if kind is Decimal:
        number: Decimal = value  # type: ignore[assignment]  # its type was asked for in this way
    elif kind is int:
        number = Decimal(value)  # type: ignore[arg-type]  # for speed: this is the hot path
    elif kind is str:
        try:
            number = to_positive_decimal(value)
        except ValueError:
            return None
    else:
        return None
    return number if SMALLEST <= number <= LARGEST else None


# ------------------------------------------------------------------------------------- answers


def _read_answer(content: _Frame) -> Message:
    method, error = content.method, _error_text(content)
    if method == "pong":
        return Pong()
    is_named = method in ("subscribe", "unsubscribe")
    if not (is_named or error):
        return Damaged("neither a channel nor a method")
    result = content.result if isinstance(content.result, dict) else {}
    req_id = _int_or_none(content.req_id)
    symbol = _symbol(result.get("symbol")) or _symbol(content.symbol)
    if "Exceeded msg rate" in error:
        return RateRefusal(req_id, symbol)
    if req_id is None and symbol is None:
        return Complaint(error or "an answer that names neither a symbol nor a request")
    channel, warnings = result.get("channel"), result.get("warnings")
    return Ack(
        method=method if is_named else "subscribe",
        # Absent or not boolean is a failure (Kraken's SDK). A second subscribe changes nothing
        # about the first, so it is as good as an acknowledgement.
        accepted=(is_named and content.success is True) or "Already subscribed" in error,
        channel=channel if isinstance(channel, str) else None,
        symbol=symbol,
        req_id=req_id,
        error=error,
        warnings=tuple(str(w) for w in warnings) if isinstance(warnings, list) else (),
        depth=_int_or_none(result.get("depth")),
    )


def _error_text(content: _Frame) -> str:
    for error in (content.error, content.Error, content.errorMessage):
        if error is not UNSET:
            return error if isinstance(error, str) else ""
    return ""


def _symbol(value: object) -> Symbol | None:
    return Symbol(value) if isinstance(value, str) and value else None


def _int_or_none(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
