"""What REST tells of a market beside its price: rows of Kraken's Depth, OHLC and Trades.

Pure: moments come in. It must never make a book of what is damaged, crossed, or so late that nobody
knows whether it still holds; nor a candle or a trade of what cannot be one.

Source: Kraken, REST Depth, OHLC, Trades (read 2026-11): up to 500 levels on each side, 720 candles,
1,000 trades.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from krakenlink.errors import PriceUnavailable, ProtocolError
from krakenlink.foreign import shown
from krakenlink.numbers import to_decimal, to_positive_decimal
from krakenlink.pairs import Pair, Symbol
from krakenlink.rest.quotes import MOST_DELAY
from krakenlink.stream.book import Level, OrderBook
from krakenlink.stream.events import TradePrint
from krakenlink.stream.tapes import Candle

MOST_LEVELS = 500
"""The deepest that REST Depth goes."""


def check_delay(name: str, asked_at: float, now: float) -> None:
    """Refuse an answer that came so late that nobody knows whether it still holds.

    Raises:
        PriceUnavailable: Which says how late.
    """
    if now - asked_at > MOST_DELAY:
        late = f"Kraken's answer took {now - asked_at:.0f} s, so what it tells is as old as that"
        raise PriceUnavailable(name, late, now - asked_at)


def read_depth(
    name: str, pair: Pair | None, row: object, depth: int, moments: tuple[float, float]
) -> OrderBook:
    """Return the book in a row of Depth.

    Args:
        name: The pair as the caller spelled it.
        pair: What is known of it.
        row: The row, or what stands in its place.
        depth: How many levels of each side were asked for.
        moments: When Kraken was asked, and when the answer was there, on the clock of the feed.

    Raises:
        PriceUnavailable: If it came so late that nobody knows whether it still holds.
        ProtocolError: If it is no book.
    """
    asked_at, now = moments
    check_delay(name, asked_at, now)
    bids, asks = (_side(name, row, side)[:depth] for side in ("bids", "asks"))
    if not (_descends(bids) and _descends(asks[::-1])):
        raise ProtocolError(f"Depth: the levels of {shown(name, 40)} are in no order")
    if bids and asks and bids[0].price >= asks[0].price:
        raise ProtocolError(f"Depth: the best bid of {shown(name, 40)} is not below its best ask")
    symbol = (pair.symbol if pair is not None else None) or Symbol(name)
    return OrderBook(symbol, bids, asks, depth, "rest", now, now - asked_at)


def _side(name: str, row: object, side: str) -> tuple[Level, ...]:
    levels = row.get(side) if isinstance(row, Mapping) else None
    try:
        return tuple(
            Level(to_positive_decimal(price), to_positive_decimal(qty))
            for price, qty, *_ in levels  # type: ignore[union-attr]  # else it is no book
        )
    except (TypeError, ValueError):
        raise ProtocolError(f"Depth: the {side} of {shown(name, 40)} cannot be read") from None


def _descends(levels: tuple[Level, ...]) -> bool:
    return all(earlier.price > later.price for earlier, later in pairwise(levels))


def read_ohlc(name: str, row: object) -> dict[int, Candle]:
    """Return the candles in a row of OHLC by the moment at which they begin.

    Raises:
        ProtocolError: If one of them cannot be.
    """
    try:
        candles = [_candle(*cells) for cells in row]  # type: ignore[attr-defined]  # else it is none
    except (TypeError, ValueError):
        raise ProtocolError(f"OHLC: the candles of {shown(name, 40)} cannot be read") from None
    if not all(candle.is_sane for candle in candles):
        raise ProtocolError(f"OHLC: a candle of {shown(name, 40)} cannot be")
    return {candle.begin: candle for candle in candles}


def _candle(*cells: Any) -> Candle:
    begin, open_, high, low, close, vwap, volume, trades = cells
    return Candle(
        begin=_count(begin),
        open=to_positive_decimal(open_),
        high=to_positive_decimal(high),
        low=to_positive_decimal(low),
        close=to_positive_decimal(close),
        volume=to_decimal(volume),
        trades=_count(trades),
        vwap=to_decimal(vwap),
    )


def read_trades(name: str, symbol: Symbol, row: object) -> dict[int, TradePrint]:
    """Return the trades in a row of Trades by their numbers.

    Raises:
        ProtocolError: If one of them cannot be.
    """
    try:
        trades = [_trade(symbol, *cells) for cells in row]  # type: ignore[attr-defined]  # likewise
    except (TypeError, ValueError, OverflowError, OSError):
        raise ProtocolError(f"Trades: the trades of {shown(name, 40)} cannot be read") from None
    return {trade.trade_id: trade for trade in trades}


def _trade(symbol: Symbol, *cells: Any) -> TradePrint:
    price, qty, at, _, _, _, trade_id = cells
    moment = datetime.fromtimestamp(float(at), UTC).isoformat(timespec="microseconds")
    return TradePrint(
        symbol,
        to_positive_decimal(price),
        to_positive_decimal(qty),
        _count(trade_id),
        moment.replace("+00:00", "Z"),
    )


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError("no count")
    return value
