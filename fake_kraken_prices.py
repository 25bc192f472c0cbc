"""Paths of prices for the embedded exchange: recorded, written down, or made up from a seed.

Each path is a stream of moves, the same in every run; nothing here waits, `fake_kraken` plays
them. Files are read row by row, and a row that cannot be read is named with its cure.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path

_REPLAY_COLUMNS = ("timestamp", "open", "high", "low", "close")  # and volume, which is not used
_SCRIPT_COLUMNS = ("seconds", "pair", "price")
_STEP = 0.0004  # standard deviation of a made-up step; four in a hundred thousand shakes nobody
_QUARTER = timedelta(seconds=15)


@dataclass(frozen=True, slots=True)
class Move:
    """One change of price: `seconds` after the path's beginning.

    `at` is its moment in seconds since 1970 where the path was recorded, else None.
    """

    seconds: float
    pair: str
    price: Decimal
    at: float | None = None


@dataclass(frozen=True, slots=True)
class Minute:
    """One row of a recording: the prices of a minute in the order in which they are played.

    The open comes first and the close last. Of low and high the one nearer to the open comes
    first, as the shortest path through the four would have it; the low where both are as near.
    """

    at: datetime
    prices: tuple[Decimal, Decimal, Decimal, Decimal]


def read_replay(path: str | Path) -> Iterator[Minute]:
    """Yield the minutes of a file of `timestamp,open,high,low,close,volume`; times are UTC.

    Raises:
        ValueError: Naming file, line, field, value and cure of the first row that cannot be read.
        OSError: If the file cannot be read.
    """
    last = datetime.min.replace(tzinfo=UTC)
    for place, row in _rows(path, _REPLAY_COLUMNS):
        minute = _minute(row, place)
        if minute.at <= last:
            raise ValueError(f"{place}, timestamp: {row['timestamp']!r} goes back; sort the rows")
        last = minute.at
        yield minute


def replay_prices(path: str | Path) -> Iterator[tuple[datetime, Decimal]]:
    """Yield each price of a recording with its moment: four a minute, a quarter of it apart.

    Raises:
        ValueError, OSError: As `read_replay`.
    """
    for minute in read_replay(path):
        for number, price in enumerate(minute.prices):
            yield minute.at + number * _QUARTER, price


def replay_moves(path: str | Path, pair: str) -> Iterator[Move]:
    """Yield a recording as moves of `pair`.

    Raises:
        ValueError, OSError: As `read_replay`.
    """
    start: datetime | None = None
    for moment, price in replay_prices(path):
        start = start or moment
        yield Move((moment - start).total_seconds(), pair, price, moment.timestamp())


def script_moves(path: str | Path) -> Iterator[Move]:
    """Yield the moves of a file of `seconds,pair,price`, seconds counted from its beginning.

    Raises:
        ValueError: Naming file, line, field, value and cure of the first row that cannot be read.
        OSError: If the file cannot be read.
    """
    last = 0.0
    for place, row in _rows(path, _SCRIPT_COLUMNS):
        seconds = float(_number(row, "seconds", place))
        if seconds < last:
            raise ValueError(f"{place}, seconds: {row['seconds']!r} goes back; sort the rows")
        last = seconds
        yield Move(seconds, row["pair"].strip(), _price(row, "price", place))


def random_moves(starts: Mapping[str, tuple[Decimal, Decimal]], seed: int) -> Iterator[Move]:
    """Yield a random walk without an end, one move a second; the same for the same seed.

    Args:
        starts: For each pair its first price and the smallest step of its price.
        seed: Any number.
    """
    chance = random.Random(seed)  # noqa: S311 - prices, not secrets
    prices = {pair: price for pair, (price, _) in starts.items()}
    pairs = list(starts)
    seconds = 0.0
    while True:
        pair = chance.choice(pairs)
        tick = starts[pair][1]
        factor = 1 + Decimal(str(round(chance.gauss(0, _STEP), 6)))
        prices[pair] = max((prices[pair] * factor).quantize(tick), tick)
        yield Move(seconds, pair, prices[pair])
        seconds += 1.0


def random_path(start: Decimal, tick: Decimal, seed: int) -> Iterator[Decimal]:
    """Yield a random walk of one price without an end; the same for the same seed."""
    return (move.price for move in random_moves({"": (start, tick)}, seed))


def _rows(path: str | Path, columns: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield each row with the place that an error names."""
    with Path(path).open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, restval="")
        try:
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise ValueError(
                    f"{path}, line 1: there is no column {', '.join(missing)}; the first line must"
                    f" be a header with {','.join(columns)}"
                )
            for row in reader:
                yield f"{path}, line {reader.line_num}", row
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"{path}: {error}; write it as CSV in UTF-8") from None


def _minute(row: Mapping[str, str], place: str) -> Minute:
    start, high, low, close = (_price(row, name, place) for name in _REPLAY_COLUMNS[1:])
    if not low <= min(start, close) <= max(start, close) <= high:
        raise ValueError(
            f"{place}, high: {row['high']!r} and low: {row['low']!r} do not enclose open and close;"
            " correct the row"
        )
    try:
        at = datetime.fromisoformat(row["timestamp"].strip())
    except ValueError:
        raise ValueError(
            f"{place}, timestamp: {row['timestamp']!r} is no time; write 2022-01-31 23:59:00"
        ) from None
    between = (low, high) if start - low <= high - start else (high, low)
    return Minute(at if at.tzinfo else at.replace(tzinfo=UTC), (start, *between, close))


def _price(row: Mapping[str, str], name: str, place: str) -> Decimal:
    number = _number(row, name, place)
    if number <= 0:
        raise ValueError(f"{place}, {name}: {row[name]!r} is no price; write a positive number")
    return number


def _number(row: Mapping[str, str], name: str, place: str) -> Decimal:
    try:
        number = Decimal(row[name])
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise ValueError(f"{place}, {name}: {row[name]!r} is no number; write one such as 1234.5")
    return number
