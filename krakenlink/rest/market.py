"""What REST tells of a market beside its price: rows of Kraken's Depth.

Pure: moments come in. It must never make a book of what is damaged, crossed, or so late that nobody
knows whether it still holds.

Source: Kraken, REST Depth (read 2026-11): up to 500 levels on each side.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from krakenlink.errors import PriceUnavailable, ProtocolError
from krakenlink.foreign import shown
from krakenlink.numbers import to_positive_decimal
from krakenlink.pairs import Pair, Symbol
from krakenlink.rest.quotes import MOST_DELAY
from krakenlink.stream.book import Level, OrderBook

MOST_LEVELS = 500
"""The deepest that REST Depth goes."""


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
    if now - asked_at > MOST_DELAY:
        late = f"Kraken's answer took {now - asked_at:.0f} s, so its book is as old as that"
        raise PriceUnavailable(name, late, now - asked_at)
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
