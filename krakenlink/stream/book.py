"""One order book of Kraken's: what its frames change of it, and whether Kraken's sum agrees.

Pure. It must never show a level that Kraken's own checksum has not confirmed: a sum that differs, a
side that crosses the other, a number that is none, and there is no book until a new snapshot.

Kraken sums up digits, and JSON's numbers may have lost or won some on their way (`50000` or
`50000.00` for `50000.0`, `5e-05`): so each number is brought to the decimals of its pair first.
Which those are is told by the `instrument` channel; where it has not spoken, the snapshot's own sum
tells the right ones.

Sources: Kraken, spot WebSocket v2, book channel and its guide on checksums (read 2026-11).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Context, Decimal, localcontext
from typing import Literal, NamedTuple, Protocol
from zlib import crc32

from krakenlink.known_names import DEPTHS
from krakenlink.numbers import EXACT, to_decimal
from krakenlink.pairs import Symbol


def checked_depth(depth: object) -> int:
    """Return a depth of Kraken's books.

    Raises:
        ValueError: If it is none.
    """
    if isinstance(depth, bool) or not isinstance(depth, int) or depth not in DEPTHS:
        raise ValueError(f"depth is {depth!r}; Kraken has {', '.join(map(str, DEPTHS))}")
    return depth


# Kraken sums up so many levels of each side, whatever the depth.
_SUMMED = 10
# Characters of a number that is read quickly; longer ones are looked at with more care.
_LONGEST = 40
_UNREADABLE = "a level cannot be read"
_CROSSED = "its best bid is not below its best ask"
# Decimals that are tried where nobody has told them: of a price beyond those that it needs, and of
# a quantity.
_MORE_PLACES, _QTY_PLACES = 4, 8
# For quotients, whatever a caller's own context rounds to.
_DIVIDING = Context(prec=28)


class Level(NamedTuple):
    """One price of a book, and how much is wanted or offered at it, in base currency."""

    price: Decimal
    qty: Decimal


class RawLevel(Protocol):
    """A level as it stands in a frame: numbers in whatever notation."""

    @property
    def price(self) -> object:
        """The price."""
        ...

    @property
    def qty(self) -> object:
        """The quantity; 0 takes the level away."""
        ...


@dataclass(frozen=True, slots=True)
class OrderBook:
    """A book at one moment, with Kraken's digits. Frozen; best prices come first.

    Attributes:
        symbol: Its market, by its WebSocket v2 name.
        bids: Who buys, the highest price first.
        asks: Who sells, the lowest price first.
        depth: How many levels of each side were asked for; thin books have fewer.
        source: `websocket`: confirmed by Kraken's checksum; `rest`: as REST Depth told it.
        at: When it was read, on `ws_price_provider.feed_clock`.
        proven_age: Seconds since it was last known to be the present one.
        timestamp: Kraken's own time of the last change as text, where it was told.
    """

    symbol: Symbol
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    depth: int
    source: Literal["websocket", "rest"]
    at: float
    proven_age: float
    timestamp: str | None = None


class Places(NamedTuple):
    """How many decimals the prices and the quantities of a market have."""

    price: int
    qty: int


def digits(number: object, places: int) -> str | None:
    """Return the digits of a number with so many decimals, without the zeros it begins with.

    `50000` and `5e4` with one decimal are `500000`; zero has no digits. None for what is no number,
    negative, or has more decimals than that.
    """
    if type(number) is str and len(number) <= _LONGEST:
        whole, _, rest = number.partition(".")
        if len(rest) == places:  # as nearly all are
            text = whole + rest
            if text.isdigit() and text.isascii():
                return text.lstrip("0")
    try:
        exact = to_decimal(number)
    except ValueError:
        return None
    shifted = EXACT.scaleb(exact, places)
    if shifted < 0 or shifted != EXACT.to_integral_value(shifted):
        return None
    return str(int(shifted)).lstrip("0")


class _Side:
    """One side of a book, its best price first: two lists, so that what is summed up is a slice.

    Attributes:
        keys: The prices in steps of the last decimal, ascending; negative where the best is high.
        lines: For each of them the digits of price and quantity, as they are summed up.
    """

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self.keys: list[int] = []
        self.lines: list[str] = []
        self._summed: bytes | None = b""  # None: to be joined anew

    def change(self, levels: Sequence[RawLevel], places: Places, depth: int) -> bool:
        """Take changes in, and forget what lies deeper than `depth`. False: damaged."""
        keys, lines, self._summed = self.keys, self.lines, None
        price_places, qty_places = places
        for level in levels:
            price, qty = digits(level.price, price_places), digits(level.qty, qty_places)
            if not price or qty is None:
                return False
            key = self._sign * int(price)
            place = bisect_left(keys, key)
            is_there = place < len(keys) and keys[place] == key
            if not qty:
                if is_there:
                    del keys[place], lines[place]
            elif is_there:
                lines[place] = price + qty
            else:
                keys.insert(place, key)
                lines.insert(place, price + qty)
        if len(keys) > depth:
            del keys[depth:], lines[depth:]
        return True

    def summed(self) -> bytes:
        """Return the digits that Kraken sums up."""
        if self._summed is None:
            self._summed = "".join(self.lines[:_SUMMED]).encode()
        return self._summed

    def texts(self, depth: int) -> list[tuple[int, str]]:
        """Return the best prices in steps, each with its digits."""
        return list(zip(self.keys[:depth], self.lines, strict=False))


class Book:
    """A book that goes from frame to frame, each confirmed by its sum. Not thread-safe.

    Args:
        depth: How many levels of each side are kept.
        told: The decimals of the market, where they are known.

    Attributes:
        depth: How many levels of each side are kept.
        timestamp: Kraken's time of the last change.
    """

    def __init__(self, depth: int, told: Places | None = None) -> None:
        self.depth = depth
        self.timestamp: str | None = None
        self._told = told
        self._places = told or Places(0, 0)
        self._bids, self._asks = _Side(-1), _Side(1)

    def begin(self, bids: Sequence[RawLevel], asks: Sequence[RawLevel], checksum: object) -> str:
        """Take a snapshot in; return why it is none, nothing if it is a book."""
        if not _is_sum(checksum):
            return _no_sum(checksum)
        said = _UNREADABLE
        for places in self._possible(bids, asks):
            self._bids, self._asks, self._places = _Side(-1), _Side(1), places
            fault = self.change(bids, asks, checksum)
            if fault in ("", _CROSSED):  # with these decimals Kraken's sum is right
                return fault
            if said == _UNREADABLE:
                said = fault  # the likeliest of those that can be
        return said

    def _possible(self, bids: Sequence[RawLevel], asks: Sequence[RawLevel]) -> Iterator[Places]:
        """Return the decimals that may be meant, the likeliest first.

        A wrong guess cannot pass: Kraken's sum of up to forty numbers would have to be that of
        other digits by chance. So there are never more of them than 5 of a price times 9 of a
        quantity.
        """
        if self._told is not None:
            yield self._told
        levels = [*bids, *asks]
        shown_price, price = _decimals(x.price for x in levels)
        shown_qty, qty = _decimals(x.qty for x in levels)
        most = max(qty, _QTY_PLACES)
        quantities = _first(_QTY_PLACES + 1, shown_qty, range(most, qty - 1, -1))
        for places in _first(_MORE_PLACES + 1, shown_price, range(price, price + _MORE_PLACES + 1)):
            for others in quantities:
                yield Places(places, others)

    def change(self, bids: Sequence[RawLevel], asks: Sequence[RawLevel], checksum: object) -> str:
        """Take changes in; return why there is no book any more, nothing if there is one."""
        bid_side, ask_side = self._bids, self._asks
        # Most changes are of one side.
        if bids and not bid_side.change(bids, self._places, self.depth):
            return _UNREADABLE
        if asks and not ask_side.change(asks, self._places, self.depth):
            return _UNREADABLE
        found = self.checksum()
        if found != checksum:
            if not _is_sum(checksum):
                return _no_sum(checksum)
            return f"its checksum is {found}, Kraken's is {str(checksum)[:_LONGEST]}"
        if bid_side.keys and ask_side.keys and -bid_side.keys[0] >= ask_side.keys[0]:
            return _CROSSED
        return ""

    def checksum(self) -> int:
        """Return the sum that Kraken has of such a book: of who sells, and on from there."""
        return crc32(self._bids.summed(), crc32(self._asks.summed()))

    def texts(self, depth: int) -> Shown:
        """Return up to `depth` levels of each side, to be made numbers of. Quick."""
        bids, asks = self._bids.texts(depth), self._asks.texts(depth)
        return Shown(self._places, bids, asks, self.timestamp)


def _is_sum(checksum: object) -> bool:
    return isinstance(checksum, int | float) and not isinstance(checksum, bool)


def _no_sum(checksum: object) -> str:
    return f"Kraken's checksum is no number: {repr(checksum)[:_LONGEST]}"


class Shown(NamedTuple):
    """Levels of a book that are not numbers yet: taken under a lock, read after it."""

    places: Places
    bid_texts: list[tuple[int, str]]
    ask_texts: list[tuple[int, str]]
    timestamp: str | None

    @property
    def bids(self) -> tuple[Level, ...]:
        """Who buys, the highest price first."""
        return self._levels(self.bid_texts)

    @property
    def asks(self) -> tuple[Level, ...]:
        """Who sells, the lowest price first."""
        return self._levels(self.ask_texts)

    def _levels(self, texts: list[tuple[int, str]]) -> tuple[Level, ...]:
        price, qty = (f"E-{places}" for places in self.places)
        found = []
        for key, text in texts:
            steps = str(abs(key))
            found.append(Level(Decimal(steps + price), Decimal(text[len(steps) :] + qty)))
        return tuple(found)


def _decimals(numbers: Iterable[object]) -> tuple[int, int]:
    """Return how many decimals the longest of them shows, and how many it needs.

    Zeros at the end are shown and not needed: they may be the market's, or padding.
    """
    shown = needed = 0
    for number in numbers:
        with suppress(ValueError):
            exact = to_decimal(number)
            shown = max(shown, _places_of(exact))
            needed = max(needed, _places_of(EXACT.normalize(exact)))
    return shown, needed


def _places_of(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _first(most: int, shown: int, others: Iterable[int]) -> list[int]:
    """Return the decimals that are shown and others, each once, and no more than `most`."""
    return list(dict.fromkeys((shown, *others)))[:most]


# --- what an order would meet -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fill:
    """What a market order would meet in a book, in exact numbers; nothing of it is an order.

    Attributes:
        symbol: The market.
        side: `buy` or `sell`, the order's.
        volume: As it was asked for, in base currency.
        filled: How much of it the levels that were seen can fill.
        average: Mean price of `filled`; None where nothing can be filled.
        worst: The last price that would be taken; None likewise.
        cost: `filled` at these prices, in quote currency, without fees.
        last: The last trade's price; None where it is not known.
        slippage_percent: How much worse `average` is than `last`, in percent; negative: better.
        book: The book that it was worked out on.
    """

    symbol: Symbol
    side: str
    volume: Decimal
    filled: Decimal
    average: Decimal | None
    worst: Decimal | None
    cost: Decimal
    last: Decimal | None
    slippage_percent: Decimal | None
    book: OrderBook = field(repr=False)

    @property
    def is_complete(self) -> bool:
        """Whether the whole volume finds somebody within the levels that were seen."""
        return self.filled == self.volume


def estimated_fill(book: OrderBook, side: str, volume: Decimal, last: Decimal | None) -> Fill:
    """Return what a market order of `volume` would meet in `book`."""
    rest, cost, worst = volume, Decimal(0), None
    with localcontext(EXACT):
        for level in book.asks if side == "buy" else book.bids:
            if not rest:
                break
            part = min(rest, level.qty)
            rest, cost, worst = rest - part, cost + part * level.price, level.price
        filled = volume - rest
    average = slippage = None
    with localcontext(_DIVIDING):
        if filled:
            average = cost / filled
        if average is not None and last is not None:
            worse = average - last if side == "buy" else last - average
            slippage = worse / last * 100
    return Fill(book.symbol, side, volume, filled, average, worst, cost, last, slippage, book)
