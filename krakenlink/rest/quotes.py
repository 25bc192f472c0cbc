"""A price with its proof of life, and the rows of Kraken's Ticker that hold one.

Pure: moments come in. It must never make a price of what is damaged, of another pair's row, or of
an answer so late that nobody knows whether it still holds.

Source: Kraken, REST Ticker (read 2026-11): the key of a row follows the spelling that was asked by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Literal, NamedTuple

from krakenlink.errors import KrakenAPIError, PriceUnavailable
from krakenlink.numbers import to_positive_decimal
from krakenlink.pairs import Pair, Symbol

# An answer that took longer than this, in seconds, proves nothing: the machine slept, or the bytes
# came one by one. Three tries within their deadlines take less, unless each uses all of its own.
MOST_DELAY = 30.0


class Quote(NamedTuple):
    """A price with its source and its proof of life.

    Attributes:
        pair: As the caller spelled it.
        symbol: The WebSocket v2 name; None where it is not known or the pair has no stream.
        price: Last trade, quote currency per unit of base currency, with the digits on the wire.
        bid: Best bid, None where it was not told.
        ask: Best ask, None where it was not told.
        source: Where the price came from.
        at: When it came, on `ws_price_provider.feed_clock`.
        proven_age: Seconds since the price was last known to be the present one: for the stream
            since the last frame of any kind, for REST since the request was sent.
        timestamp: Kraken's own time of the tick as text, where the stream told it.
    """

    pair: str
    symbol: Symbol | None
    price: Decimal
    bid: Decimal | None
    ask: Decimal | None
    source: Literal["websocket", "rest"]
    at: float
    proven_age: float
    timestamp: str | None = None


def only_row(rows: object) -> object:
    """Return the one row of a `result`, None if there is not exactly one."""
    found = list(rows.values()) if isinstance(rows, Mapping) else []
    return found[0] if len(found) == 1 else None


def rows_beside(error: KrakenAPIError) -> Mapping[str, object]:
    """Return the rows that stood beside an error of Ticker's: they count, whatever failed."""
    return error.result if isinstance(error.result, Mapping) else {}


def row_for(pair: Pair | None, rows: object) -> object:
    """Return the one row of a Ticker `result`, unless it is plainly another pair's."""
    if pair is None or not isinstance(rows, Mapping) or len(rows) != 1:
        return only_row(rows)
    return row_of(rows, pair)


def row_of(rows: Mapping[str, object], pair: Pair) -> object:
    """Return the row of `pair` among those of a `result`, None if it is not there."""
    names = (pair.rest_key, pair.altname, pair.wsname, pair.symbol)
    return next((rows[name] for name in names if name and name in rows), None)


def read_quote(name: str, pair: Pair | None, row: object, started: float, now: float) -> Quote:
    """Return the quote in a row of Ticker.

    Args:
        name: The pair as the caller spelled it.
        pair: What is known of it.
        row: The row, or what stands in its place.
        started: When Kraken was asked, on the clock of the feed, in seconds.
        now: When the answer was there, on the same clock.

    Raises:
        PriceUnavailable: If the row holds no price that is finite and positive, or came so late
            that nobody knows whether it still holds.
    """
    price = _first_number(row, "c")
    if price is None:
        raise PriceUnavailable(name, "Kraken's answer holds no price")
    if now - started > MOST_DELAY:
        late = f"Kraken's answer took {now - started:.0f} s, so its price is as old as that"
        raise PriceUnavailable(name, late, now - started)
    return Quote(
        pair=name,
        symbol=pair.symbol if pair is not None else None,
        price=price,
        bid=_first_number(row, "b"),
        ask=_first_number(row, "a"),
        source="rest",
        at=now,
        proven_age=now - started,
    )


def _first_number(row: object, field: str) -> Decimal | None:
    cells = row.get(field) if isinstance(row, Mapping) else None
    if not isinstance(cells, Sequence) or isinstance(cells, str) or not cells:
        return None
    try:
        return to_positive_decimal(cells[0])
    except ValueError:
        return None
