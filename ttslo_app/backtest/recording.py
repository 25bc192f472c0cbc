"""Files of past prices, read: Kraken's own time and sales, and recordings of minutes.

What it must never do: take a damaged file for a whole one, lose a digit of a price, or pass over
anything in silence: what is odd in a file is told beside its prices.

Source: Kraken, downloadable historical time and sales: `timestamp,price,volume` without a header,
seconds since 1970 (read 2026-11).
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from fake_kraken.replay import read_replay
from ttslo_app.backtest.history import PLACES, History, Ints, to_units

_SECOND = 1_000_000_000
_DAY_NS = 86_400 * _SECOND
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
    if not path.stat().st_size:
        raise BadRecording(f"{path} holds no trades; it needs rows of timestamp,price,volume")
    parts = list(_columns_of(path))
    at_ns, price = (np.concatenate(column) for column in zip(*parts, strict=True))
    if (price <= 0).any():
        row = int(np.argmax(price <= 0)) + 1
        raise BadRecording(f"{path} row {row}: the price is not above 0; is this a file of trades?")
    return _recording(at_ns, price)


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
    return _recording(np.array(moments, np.int64), np.array(prices, np.int64))


def _recording(at_ns: Ints, price: Ints) -> Recording:
    remarks = []
    if (np.diff(at_ns) < 0).any():
        count = int((np.diff(at_ns) < 0).sum())
        order = np.argsort(at_ns, kind="stable")
        at_ns, price = at_ns[order], price[order]
        remarks.append(f"{count} rows stood before older ones; all were put in order of time")
    gaps = np.flatnonzero(np.diff(at_ns) > _DAY_NS)
    if len(gaps):
        longest = int(np.diff(at_ns).max()) / _DAY_NS
        remarks.append(
            f"{len(gaps)} holes of more than a day, the longest of {longest:.1f} days: what "
            "crossed in them is not known"
        )
    return Recording(History(at_ns, price, _tick_of(price)), tuple(remarks))


def _tick_of(price: Ints) -> int:
    """Return the largest power of ten that divides every price, as the pair's smallest step."""
    tick = 1
    while tick < 10**PLACES and not (price % (tick * 10)).any():
        tick *= 10
    return tick


# --- time and sales ------------------------------------------------------------------------------


def _columns_of(path: Path) -> Iterator[tuple[Ints, Ints]]:
    """Yield moments and prices of a file, some hundred thousand rows at once."""
    try:
        import pyarrow as pa
        from pyarrow import csv
    except ImportError:
        raise BadRecording(_NEEDS) from None
    kinds = {"at": pa.decimal128(38, 9), "price": pa.decimal128(38, PLACES)}
    with _opened(path) as file:
        try:
            yield from (
                (_moments(batch.column(0), path), _integers(batch.column(1), path))
                for batch in csv.open_csv(
                    file,
                    csv.ReadOptions(column_names=["at", "price", "volume"], block_size=8 << 20),
                    convert_options=csv.ConvertOptions(
                        column_types=kinds, include_columns=["at", "price"]
                    ),
                )
            )
        except (pa.ArrowInvalid, EOFError, OSError, zipfile.BadZipFile) as error:
            raise BadRecording(
                f"{path} cannot be read to its end: {_first_line(error)}. It needs rows of "
                "timestamp,price,volume without a header; where it was cut short, fetch it again"
            ) from None


def _opened(path: Path) -> IO[bytes] | Any:
    import pyarrow as pa

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
