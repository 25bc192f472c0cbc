"""Prices to play: recorded minutes, rows of a file, or a random walk.

It reads files and serves nothing: a replay needs no exchange.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from fake_kraken.market import price_from


@dataclass(frozen=True, slots=True)
class Minute:
    """One row of a replay: the prices of a minute in the order in which they are played.

    The open comes first and the close last; of low and high the one nearer to the open is played
    before the other, as a path between the four would most likely go.
    """

    at: datetime
    prices: tuple[Decimal, ...]


def read_replay(path: str | Path) -> Iterator[Minute]:
    """Yield the minutes of a file of `timestamp,open,high,low,close,volume`.

    Raises:
        ValueError: Naming file, line, field, value and cure of the first row that cannot be read.
        OSError: If the file cannot be opened.
    """
    for place, row in rows_of(path, ("timestamp", "open", "high", "low", "close")):
        yield _minute(row, place)


def rows_of(path: str | Path, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield each row of a CSV file with the place that an error names.

    Raises:
        ValueError: If a column is missing, or the file is no CSV in UTF-8.
        OSError: If the file cannot be opened.
    """
    if Path(path).exists() and not Path(path).is_file():  # a pipe would wait for its writer
        raise ValueError(f"{path} is no plain file; put the recording into one")
    with Path(path).open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, restval="")
        try:
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise ValueError(
                    f"{path} line 1: there is no column {', '.join(missing)}; the first line must"
                    f" be a header with {','.join(columns)}"
                )
            for row in reader:
                yield f"{path} line {reader.line_num}", row
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"{path}: {error}; write it as CSV in UTF-8") from None


def _minute(row: Mapping[str, str], place: str) -> Minute:
    start, high, low, close = (
        price_in(row, name, place) for name in ("open", "high", "low", "close")
    )
    try:
        at = datetime.fromisoformat(row["timestamp"].strip())
    except ValueError:
        cure = "write 2022-01-31 23:59:00"
        raise ValueError(f"{place}, timestamp: {row['timestamp']!r} is no time; {cure}") from None
    between = (high, low) if high - start <= start - low else (low, high)
    return Minute(at if at.tzinfo else at.replace(tzinfo=UTC), (start, *between, close))


def price_in(row: Mapping[str, str], name: str, place: str) -> Decimal:
    """Return the price in a column of a row that stands at `place`.

    Raises:
        ValueError: Naming place, column, value and cure, if it is none.
    """
    try:
        return price_from(row[name].strip())
    except ValueError as error:
        raise ValueError(f"{place}, {name}: {error}") from None


def random_path(start: Decimal, tick: Decimal, seed: int) -> Iterator[Decimal]:
    """Yield a random walk of prices, the same for the same seed, in steps of up to 0.1 %."""
    chance = random.Random(seed)  # noqa: S311 - prices for a demo
    price = start
    while True:
        step = Decimal(str(round(chance.gauss(0, 0.0004), 6)))
        price = max((price * (1 + step)).quantize(tick), tick)
        yield price
