"""Text in, messages out: what one frame of Kraken's says.

It meets msgspec, as `market_frames` does, and is pure: the moment comes in as an argument. A number
that is not finite and positive must never become a price, nor lose a digit on its way.

Source: Kraken, spot WebSocket v2 (ticker, trade, status, heartbeat, ping) (read 2026-11).
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, TypeVar

from krakenlink.numbers import LARGEST, SMALLEST, to_positive_decimal
from krakenlink.pairs import Symbol
from krakenlink.stream.events import (
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
)
from krakenlink.stream.instruments import EVERY
from krakenlink.stream.market_frames import lost_book, read_book, read_candles, read_instruments

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


S = TypeVar("S", bound=Struct)

# With the hook a number keeps the digits on the wire: ints come as int, all others as Decimal.
_decode = Decoder(_Frame, float_hook=Decimal).decode

# How Kraken's frames of books begin: read once, as there are a hundred for each price.
_BOOK = '{"channel":"book"'

# Characters of a frame in which every number is short enough: a ticker has some 330. A price in a
# longer one is counted, because it goes with all of its digits into files and onto screens.
_SHORT = 600
_MOST_DIGITS = 100


def _number(text: str) -> Decimal | float:
    """Return the number with its digits; NaN, which is no price, where nobody means so many."""
    return Decimal(text) if len(text) <= _MOST_DIGITS else float("nan")


_decode_long = Decoder(_Frame, float_hook=_number).decode
_decode_odd = json.JSONDecoder(parse_float=_number).decode


def read_frame(frame: str | bytes, at: float) -> list[Message]:
    """Return what `frame` says; nothing for heartbeats and for channels that we do not read.

    Never raises: what cannot be read is a `Damaged`.

    Args:
        frame: One whole message; bytes where it is not UTF-8.
        at: When it came.
    """
    if isinstance(frame, bytes):
        return [Damaged("not UTF-8 text")]
    if frame[12:13] == "b" and frame.startswith(_BOOK):  # the first is cheap, and mostly enough
        books = read_book(frame, at)
        if books:
            return books
    try:
        # A slice and not `len`, because a call would be a tenth of what a frame may cost.
        content = _decode_long(frame) if frame[_SHORT : _SHORT + 1] else _decode(frame)
    except (ValueError, ArithmeticError, RecursionError):
        # Nearly all that comes here is damage; an instrument's data are no list.
        return read_instruments(frame, at) or read_odd(frame, at)
    if content.channel == "ticker" and len(content.data) == 1:  # nearly all of them
        return [_read_ticker(content.data[0], at)]
    if content.channel == "book" and not frame.startswith(_BOOK):
        return read_book(frame, at) or _read(content, at)
    if content.channel == "ohlc":
        return read_candles(frame, at) or _read(content, at)
    return _read(content, at)


def _read(content: _Frame, at: float) -> list[Message]:
    channel = content.channel
    if channel == "ticker":
        return [_read_ticker(row, at) for row in content.data] or [Damaged("ticker without data")]
    if channel == "trade":
        return _read_trades(content, at)
    if channel == "book":  # what can be read is read by others
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
    last, timestamp = row.last, row.timestamp
    if not isinstance(symbol, str) or not symbol:
        return Damaged("ticker without a symbol")
    # Written out here and for both sides, because a call costs as much as the work: the hot path.
    price = last if type(last) is Decimal and SMALLEST <= last <= LARGEST else _positive(last)
    if price is None:
        if last is None or last == 0:
            return NoPrice(symbol)
        # Negative, NaN, Infinity, 1e400: nothing that was ever traded at.
        return Damaged(f"{symbol}: last is not a price")
    # An empty side of the book shows as 0.
    bid, ask = row.bid, row.ask
    return Tick(
        symbol,
        price,
        bid if type(bid) is Decimal and SMALLEST <= bid <= LARGEST else _positive(bid),
        ask if type(ask) is Decimal and SMALLEST <= ask <= LARGEST else _positive(ask),
        at,
        timestamp if isinstance(timestamp, str) else None,
    )


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
