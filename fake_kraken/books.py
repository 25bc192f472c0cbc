"""Order books of the embedded exchange: what is in them, and how the stream tells of it.

Pure. Nobody's orders stand in these books: they are as deep as anybody asks, follow the last price,
and have quantities that are the same in each run. A test may put others in their place.

Source: Kraken, WebSocket v2 book channel and its guide on checksums; REST Depth (read 2026-11).
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from fake_kraken.faults import Fault, Faults
from fake_kraken.market import Listing, price_from
from fake_kraken.shapes import Channel

BOOK = Channel(
    "book",
    has_snapshot=True,
    snapshot=lambda listing, now: "",  # each subscription has a `BookTeller` for both
    update=lambda listing, trades, now: "",
    bad_row="",
)
DEPTHS = (10, 25, 100, 500, 1000)

Levels = Sequence[tuple[object, object]]  # price and quantity, as a test writes them
Side = dict[Decimal, Decimal]  # quantity by price, the best first
Books = tuple[Side, Side]  # who buys, and who sells

_QTY_PLACES = 8
_SUMMED = 10


def book_of(listing: Listing, depth: int) -> Books:
    """Return the book of a market, up to `depth` levels on each side."""
    if listing.book is not None:
        bids, asks = listing.book
        return dict(list(bids.items())[:depth]), dict(list(asks.items())[:depth])
    steps = range(1, depth + 1)
    below = (listing.price - n * listing.tick for n in steps)
    above = (listing.price + n * listing.tick for n in steps)
    return {p: _quantity(p) for p in below if p > 0}, {p: _quantity(p) for p in above}


def _quantity(price: Decimal) -> Decimal:
    """Return what stands at a price: always the same, and with a last digit that is not 0."""
    text = str(price.normalize()).encode()
    return Decimal(zlib.crc32(text) % 10**9 * 10 + 3).scaleb(-_QTY_PLACES)


def levels_from(levels: Levels, *, is_bid: bool) -> Side:
    """Return the side of a book that a test has written down.

    Raises:
        ValueError: If a price or a quantity is no positive number.
    """
    side = {price_from(price): price_from(qty) for price, qty in levels}
    return dict(sorted(side.items(), reverse=is_bid))


def checksum(books: Books, places: int) -> int:
    """Return Kraken's sum of a book: of the ten best asks, and then of the ten best bids."""
    bids, asks = books
    text = ""
    for side in (asks, bids):
        for price, qty in list(side.items())[:_SUMMED]:
            for number, decimals in ((price, places), (qty, _QTY_PLACES)):
                text += f"{number:.{decimals}f}".replace(".", "").lstrip("0")
    return zlib.crc32(text.encode())


def changes(old: Books, new: Books) -> Books:
    """Return what has to be told of a book that was `old`: 0 where a level has gone."""
    told = []
    for before, after in zip(old, new, strict=True):
        side = {price: Decimal(0) for price in before if price not in after}
        side |= {price: qty for price, qty in after.items() if before.get(price) != qty}
        told.append(side)
    return told[0], told[1]


def book_frame(
    listing: Listing, books: Books, total: int, kind: str, at: str, *, is_short: bool = False
) -> str:
    """Return levels as one frame of the stream.

    Args:
        listing: The market.
        books: The levels to tell.
        total: The sum to tell.
        kind: `snapshot` or `update`.
        at: Kraken's time, as text.
        is_short: Whether numbers lose the zeros at their end, or come in powers of ten.
    """
    bids, asks = (_rows(side, listing.places, is_short=is_short) for side in books)
    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{listing.symbol}",'
        f'"bids":[{bids}],"asks":[{asks}],"checksum":{total},"timestamp":"{at}"}}]}}'
    )


def _rows(side: Mapping[Decimal, Decimal], places: int, *, is_short: bool) -> str:
    def shown(number: Decimal, decimals: int) -> str:
        return _short(number) if is_short else f"{number:.{decimals}f}"

    return ",".join(
        f'{{"price":{shown(price, places)},"qty":{shown(qty, _QTY_PLACES)}}}'
        for price, qty in side.items()
    )


def _short(number: Decimal) -> str:
    """Return a number as JSON writers of other languages do: `50000`, `5e-05`."""
    least = number.normalize()
    whole = least == least.to_integral_value()
    return format(least, "f") if whole else str(least).replace("E", "e")


def depth_row(listing: Listing, depth: int, now: float) -> dict[str, Any]:
    """Return a book as REST Depth shows it: price, volume, time."""
    names = ("bids", "asks")
    return {
        name: [
            [f"{price:.{listing.places}f}", f"{qty:.3f}" if qty > 1 else f"{qty:f}", int(now)]
            for price, qty in side.items()
        ]
        for name, side in zip(names, book_of(listing, depth), strict=True)
    }


class BookTeller:
    """One subscription to a book, and what it has been told.

    Args:
        listing: The market.
        depth: How many levels of each side it wants.
        faults: Those that are switched on.
    """

    def __init__(self, listing: Listing, depth: int, faults: Faults) -> None:
        self._listing, self.depth, self._faults = listing, depth, faults
        self._told: Books = ({}, {})

    def snapshot(self, at: str) -> str:
        """Return the whole book as a frame."""
        self._told = book_of(self._listing, self.depth)
        return self._frame(self._told, "snapshot", at)

    def updates(self, at: str) -> list[str]:
        """Return the frames that tell what has changed; none where nothing has."""
        now = book_of(self._listing, self.depth)
        changed = changes(self._told, now)
        if not any(changed):
            return []
        self._told = now
        if self._struck("book_lost_change"):
            return []
        frames = [self._frame(changed, "update", at)]
        if self._struck("unasked"):
            frames.append(frames[0].replace(f'"{self._listing.symbol}"', '"NOBODY/USD"'))
        return frames

    def _frame(self, books: Books, kind: str, at: str) -> str:
        listing = self._listing
        if self._struck("book_crossed"):
            best = next(iter(self._told[1]))
            books = {best: Decimal(1), **books[0]}, books[1]
            self._told = {best: Decimal(1), **self._told[0]}, self._told[1]
        total = checksum(self._told, listing.places)
        if self._struck("book_wrong_sum"):
            total ^= 1
        is_short = self._faults.is_on("book_short_numbers", listing.symbol)
        frame = book_frame(listing, books, total, kind, at, is_short=is_short)
        if fault := self._struck("book_bad_level"):
            frame = frame.replace('"price":', f'"price":{fault.text},"was":', 1)
        return frame

    def _struck(self, name: str) -> Fault | None:
        return self._faults.struck(name, symbol=self._listing.symbol)
