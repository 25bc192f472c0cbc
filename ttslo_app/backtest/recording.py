"""Files of past prices, read: Kraken's own time and sales, and recordings of minutes.

What it must never do: take a damaged file for a whole one, lose a digit of a price, or pass over
anything in silence: what is odd in a file is told beside its prices.

Source: Kraken, downloadable historical time and sales: `timestamp,price,volume`, and OHLCVT:
`timestamp,open,high,low,close,volume,trades`, both without a header, seconds since 1970 (read
2026-11).
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from fake_kraken.replay import read_replay
from ttslo_app.backtest.candles import Candles
from ttslo_app.backtest.history import PLACES, History, Ints, to_units

_SECOND = 1_000_000_000
_DAY_NS = 86_400 * _SECOND
# Kraken's first trades are of 2011; what is dated otherwise is not in seconds.
_FIRST_NS, _LAST_NS = 1_262_304_000 * _SECOND, 4_102_444_800 * _SECOND
TRADES = ("timestamp", "price", "volume")
CANDLES = ("timestamp", "open", "high", "low", "close", "volume", "trades")
_NEEDS = "reading files of trades needs the package pyarrow: pip install pyarrow"


class BadRecording(ValueError):
    """A file that cannot be used; the text names it, the place and the cure."""


@dataclass(frozen=True, slots=True)
class Recording:
    """Prices of a file, and what a person should know of it."""

    history: History
    remarks: tuple[str, ...] = ()


def read_trades(path: Path) -> Recording:
    """Return the trades of a file of time and sales: .csv, .csv.gz or .zip. Blocks.

    Raises:
        BadRecording: If it is none, is cut short, or holds no trade.
        OSError: If it cannot be opened.
    """
    at_ns, price = _whole_columns(path, TRADES, ("timestamp", "price"))
    if (price <= 0).any():
        row = int(np.argmax(price <= 0)) + 1
        raise BadRecording(f"{path} row {row}: the price is not above 0; is this a file of trades?")
    return recording_of(at_ns, price)


@dataclass(frozen=True, slots=True)
class CandleRecording:
    """Candles of a file, and what a person should know of it."""

    candles: Candles
    remarks: tuple[str, ...] = ()


def read_candles(path: Path) -> CandleRecording:
    """Return the candles of a file of OHLCVT: .csv, .csv.gz or .zip. Blocks.

    Raises:
        BadRecording: If it is none, is cut short, holds no candle, or two that contradict.
        OSError: If it cannot be opened.
    """
    names = ("timestamp", "open", "high", "low", "close", "trades")
    columns = _whole_columns(path, CANDLES, names)
    opened, high, low, close = columns[1:5]
    is_odd = (low <= 0) | (low > np.minimum(opened, close)) | (high < np.maximum(opened, close))
    if is_odd.any():
        row = int(np.argmax(is_odd)) + 1
        raise BadRecording(
            f"{path} row {row}: the open or the close is not between low and high above 0; is this "
            f"a file of {','.join(CANDLES)}?"
        )
    remarks, order = _order_of(columns[0])
    columns = [column[order] for column in columns]
    again = np.flatnonzero(np.diff(columns[0]) == 0)
    if len(again):
        if any((column[again] != column[again + 1]).any() for column in columns[1:5]):
            raise BadRecording(f"{path} has two candles of one moment that differ; fetch it again")
        columns = [np.delete(column, again) for column in columns]
        remarks.append(f"{len(again)} candles stood twice; each counts once")
    remarks += _holes(columns[0])
    at_ns, opened, high, low, close, trades = columns
    tick = min(_tick_of(column) for column in (opened, high, low, close))
    # The number of trades is whole, and was read with the places of a price.
    counts = trades // 10**PLACES
    return CandleRecording(Candles(at_ns, opened, high, low, close, counts, tick), tuple(remarks))


def read_minutes(path: Path) -> Recording:
    """Return the prices of a recording as `--replay` plays them, four of each minute. Blocks.

    Raises:
        BadRecording: If it cannot be read, with line, field, value and cure.
        OSError: If it cannot be opened.
    """
    try:
        minutes = list(read_replay(path))
        prices = [to_units(price) for minute in minutes for price in minute.prices]
    except ValueError as error:
        raise BadRecording(str(error)) from None
    if not minutes:
        raise BadRecording(f"{path} holds no prices; it needs rows below its header")
    moments = [round(minute.at.timestamp()) * _SECOND for minute in minutes for _ in minute.prices]
    return recording_of(np.array(moments, np.int64), np.array(prices, np.int64))


def recording_of(at_ns: Ints, price: Ints) -> Recording:
    """Return moments and prices in order of time, with what is odd about them."""
    remarks, order = _order_of(at_ns)
    if remarks:
        at_ns, price = at_ns[order], price[order]
    return Recording(History(at_ns, price, _tick_of(price)), (*remarks, *_holes(at_ns)))


def _order_of(at_ns: Ints) -> tuple[list[str], Ints | slice]:
    """Return what is said of rows out of order, and how they are put in order."""
    count = int((np.diff(at_ns) < 0).sum())
    if not count:
        return [], slice(None)
    remark = f"{count} rows stood before older ones; all were put in order of time"
    return [remark], np.argsort(at_ns, kind="stable")


def _holes(at_ns: Ints) -> list[str]:
    gaps = np.flatnonzero(np.diff(at_ns) > _DAY_NS)
    if not len(gaps):
        return []
    longest = int(np.diff(at_ns).max()) / _DAY_NS
    remark = f"{len(gaps)} holes of more than a day, the longest of {longest:.1f} days"
    return [f"{remark}: what crossed in them is not known"]


def _tick_of(price: Ints) -> int:
    """Return the largest power of ten that divides every price, as the pair's smallest step."""
    tick = 1
    while tick < 10**PLACES and not (price % (tick * 10)).any():
        tick *= 10
    return tick


# --- Kraken's files ------------------------------------------------------------------------------


def _whole_columns(path: Path, names: Sequence[str], wanted: Sequence[str]) -> list[Ints]:
    """Return those columns of a file that are wanted, the moments first."""
    if not path.stat().st_size:
        raise BadRecording(f"{path} holds no rows; it needs rows of {','.join(names)}")
    parts: list[list[Ints]] = [[] for _ in wanted]
    for batch in _columns_of(path, names, wanted):
        for part, column in zip(parts, batch, strict=True):
            part.append(column)
    columns = []
    for part in parts:  # one after the other, so that few stand in memory twice
        columns.append(np.concatenate(part))
        part.clear()
    if columns[0].min() < _FIRST_NS or columns[0].max() > _LAST_NS:
        odd = columns[0].min() if columns[0].min() < _FIRST_NS else columns[0].max()
        raise BadRecording(
            f"{path}: the moment {int(odd) // _SECOND} lies before 2010 or after 2100; moments "
            "must be in seconds since 1970"
        )
    return columns


def _columns_of(
    path: Path, names: Sequence[str], wanted: Sequence[str]
) -> Iterator[tuple[Ints, ...]]:
    """Yield those columns of a file that are wanted, some hundred thousand rows at once."""
    try:
        import pyarrow as pa
        from pyarrow import csv
    except ImportError:
        raise BadRecording(_NEEDS) from None
    kinds = {name: pa.decimal128(38, PLACES if number else 9) for number, name in enumerate(wanted)}
    with _opened(path) as file:
        try:
            yield from (
                (
                    _moments(batch.column(0), path),
                    *(_integers(batch.column(n), path) for n in range(1, len(wanted))),
                )
                for batch in csv.open_csv(
                    file,
                    csv.ReadOptions(column_names=list(names), block_size=1 << 20),
                    convert_options=csv.ConvertOptions(
                        column_types=kinds, include_columns=list(wanted)
                    ),
                )
            )
        except (pa.ArrowInvalid, EOFError, OSError, zipfile.BadZipFile) as error:
            raise BadRecording(
                f"{path} cannot be read to its end: {_first_line(error)}. It needs rows of "
                f"{','.join(names)} without a header; where it was cut short, fetch it again"
            ) from None


def _opened(path: Path) -> IO[bytes] | Any:
    import pyarrow as pa

    if path.exists() and not path.is_file():  # a pipe would wait for its writer
        raise BadRecording(f"{path} is no plain file; give a recording in a file")
    if path.suffix == ".gz":
        return pa.input_stream(str(path), compression="gzip")
    if path.suffix != ".zip":
        return path.open("rb")
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise BadRecording(f"{path} is no whole zip file: {error}; fetch it again") from None
    names = [name for name in archive.namelist() if name.lower().endswith(".csv")]
    if len(names) != 1:
        found = ", ".join(names[:5]) or "none"
        raise BadRecording(f"{path} must hold one .csv file; it holds {found}: unpack the one")
    return archive.open(names[0])


def _integers(column: Any, path: Path, hint: str = "") -> Ints:
    """Return exact decimals as whole numbers of their last place."""
    halves = np.frombuffer(column.buffers()[1], np.int64).reshape(-1, 2)
    chosen = halves[column.offset : column.offset + len(column)]
    if column.null_count or (chosen[:, 1] != chosen[:, 0] >> 63).any():
        raise BadRecording(f"{path}: a number is missing or too large{hint}")
    return np.ascontiguousarray(chosen[:, 0])


def _moments(column: Any, path: Path) -> Ints:
    return _integers(
        column, path, ", such as a moment in milliseconds: it must be in seconds since 1970"
    )


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
