"""The three CSV files: rules (config.csv), what became of them (state.csv), and the log.

People edit these files by hand and in spreadsheets, so they are read with patience and written
with care. This module must never lose a byte of what somebody else wrote, never take "cannot be
read" for "empty", and never leave a half-written file: the rules are merged one row at a time,
files are replaced by rename after an fsync. Files only: no network, and nothing is printed.
"""

from __future__ import annotations

import codecs
import errno
import json
import logging
import os
import re
import socket
import stat
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple

from filelock import FileLock, Timeout

logger = logging.getLogger(__name__)
logger.addHandler(logging.NullHandler())

CONFIG_COLUMNS = (
    "id",
    "pair",
    "threshold_price",
    "threshold_type",
    "direction",
    "volume",
    "trailing_offset_percent",
    "enabled",
)
TRIGGER_COLUMNS = ("order_id", "trigger_time", "trigger_price")
STATE_COLUMNS = (
    "id",
    "triggered",
    "trigger_price",
    "trigger_time",
    "order_id",
    "activated_on",
    "last_checked",
)
LOG_COLUMNS = ("timestamp", "level", "message", "details")

# About 40,000 lines: weeks of a busy program, and still quick to open in an editor.
LOG_BYTES = 5_000_000
LOG_FILES = 5
# A user who saves faster than this many times in a row is a program, and it should hear about it.
_MERGE_TRIES = 20
_COMPLAIN_EVERY = 60.0
_LITTER_AGE = 600.0


# --------------------------------------------------------------------------- the disk


class Stamp(NamedTuple):
    """What tells one version of a file from the next without reading it."""

    mtime_ns: int
    size: int
    inode: int


class Disk:
    """The real file system, one method a step, so that a test can hand in one that fails there."""

    # On Windows a file that another program has open, such as Excel, cannot be replaced. Virus
    # scanners hold new files for a moment too, so a few tries are worth it there.
    rename_tries = 8 if os.name == "nt" else 1

    def read(self, path: Path) -> bytes:
        """Return the whole file."""
        return path.read_bytes()

    def stamp(self, path: Path) -> Stamp | None:
        """Return the stamp of the file, None where there is none."""
        try:
            status = path.stat()
        except FileNotFoundError:
            return None
        return Stamp(status.st_mtime_ns, status.st_size, status.st_ino)

    def create(self, path: Path) -> BinaryIO:
        """Open a file that must not exist yet for writing."""
        return path.open("xb")

    def write(self, file: BinaryIO, data: bytes) -> None:
        """Write everything; a full disk shows here or at the next step."""
        file.write(data)

    def sync(self, file: BinaryIO) -> None:
        """Bring the contents to the platter."""
        file.flush()
        os.fsync(file.fileno())

    def rename(self, source: Path, target: Path) -> None:
        """Put `source` in the place of `target`, in one step for every reader."""
        source.replace(target)

    def sync_folder(self, folder: Path) -> None:
        """Bring the rename to the platter, where the platform knows how."""
        if os.name == "nt":
            return
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        except OSError as error:
            # Some network file systems cannot sync a folder; the rename is as safe as it gets.
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):
                raise
        finally:
            os.close(handle)

    def is_replaceable(self, path: Path) -> bool:
        """Tell whether `path` is a plain file that its owner lets us write."""
        return stat.S_ISREG(path.stat().st_mode) and os.access(path, os.W_OK)

    def append(self, path: Path, data: bytes) -> None:
        """Write at the end of the file."""
        with path.open("ab") as file:
            file.write(data)

    def now(self) -> datetime:
        """Return the time, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""
        return time.monotonic()

    def pause(self, seconds: float) -> None:
        """Wait for another program to let go of a file."""
        time.sleep(seconds)


class _Changed(Exception):
    """Somebody else wrote the file since it was read."""


def _replace(disk: Disk, path: Path, data: bytes, expected: Stamp | None) -> Stamp:
    """Replace `path` durably by `data`; return the stamp of what stands there now.

    Raises:
        _Changed: If the file is no longer what `expected` says; nothing was done.
        OSError: If a step failed. Unless it was the very last, the old file stands untouched;
            no temporary file stays behind.
    """
    target = path.resolve()  # a link stays a link: its target is replaced
    if expected is not None and not disk.is_replaceable(target):
        raise PermissionError(
            errno.EACCES, "is read-only or no plain file, so it is left", str(path)
        )
    temporary = target.with_name(f"{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        with disk.create(temporary) as file:
            disk.write(file, data)
            disk.sync(file)
        if expected is not None:
            _take_after(temporary, target)
        written = disk.stamp(temporary)  # a rename keeps it, and nobody else has seen the file yet
        assert written is not None  # it was written right above
        if disk.stamp(target) != expected:
            raise _Changed
        _rename(disk, temporary, target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    disk.sync_folder(target.parent)
    return written


def _take_after(new: Path, old: Path) -> None:
    """Give `new` the mode and, where we may, the owner of `old`."""
    status, mine = old.stat(), new.stat()
    # Not every file system knows modes, and only root may give files away: contents come first.
    with suppress(OSError):
        new.chmod(stat.S_IMODE(status.st_mode))
        if (mine.st_uid, mine.st_gid) != (status.st_uid, status.st_gid):
            os.chown(new, status.st_uid, status.st_gid)


def _rename(disk: Disk, source: Path, target: Path) -> None:
    for tries_left in reversed(range(disk.rename_tries)):
        try:
            return disk.rename(source, target)
        except PermissionError as error:
            if not tries_left:
                cure = "cannot be replaced; if a spreadsheet has it open, close it there"
                raise PermissionError(error.errno, cure, str(target)) from error
            disk.pause(0.05)
    raise AssertionError("unreachable: the last try returns or raises")  # pragma: no cover


def _read_settled(disk: Disk, path: Path) -> tuple[bytes, Stamp | None]:
    """Return the bytes of `path` and the stamp they belong to; (b"", None) where there is no file.

    A program that writes in place is caught in the act where the stamp moves during the read.

    Raises:
        OSError: If the file cannot be read, or never stays the same for as long as that takes.
    """
    for _ in range(_MERGE_TRIES):
        stamp = disk.stamp(path)
        if stamp is None:
            return b"", None
        with suppress(FileNotFoundError):  # an editor that removes and renames: look again
            data = disk.read(path)
            if disk.stamp(path) == stamp:
                return data, stamp
    raise OSError(errno.EBUSY, "keeps changing while it is read", str(path))


# --------------------------------------------------------------------------- text of a CSV file


@dataclass(frozen=True, slots=True)
class _Cell:
    """One cell: where it stands in the text, quotes included, and what it says without them."""

    start: int
    end: int
    value: str
    is_quoted: bool


@dataclass(frozen=True, slots=True)
class _Record:
    """One line of a table; it covers several lines of the file where a quoted cell does."""

    line: int
    cells: tuple[_Cell, ...]

    @property
    def start(self) -> int:
        return self.cells[0].start

    @property
    def end(self) -> int:
        return self.cells[-1].end

    @property
    def is_blank(self) -> bool:
        return not any(_clean(cell.value) for cell in self.cells)


@dataclass(frozen=True, slots=True)
class _Table:
    """A CSV file taken apart in such a way that it can be put together again byte for byte."""

    bom: bytes
    codec: str
    text: str
    delimiter: str
    header: _Record | None
    columns: tuple[str, ...]  # one a header cell; "" where a column has no name
    records: tuple[_Record, ...]
    is_guessed: bool  # the bytes are no UTF-8 and say nothing about what they are

    def bytes_of(self, text: str) -> bytes:
        return self.bom + text.encode(self.codec)


class _Reading(NamedTuple):
    """A record as cells by column, and why they may not be what the author meant."""

    cells: dict[str, str]
    complaints: list[str]
    is_short: bool


_COMMENT = re.compile(r"[ \t]*#[^\r\n]*")
_LINE_END = re.compile(r"\r\n|\r|\n")
_SEPARATOR_LINE = re.compile(r"sep=(.)[ \t]*(?=\r|\n|\Z)", re.IGNORECASE)  # written by Excel
# A quote opens a quoted cell only where it also closes one: a stray quote mark would else swallow
# the rows below it. Possessive, so that no input takes more than linear time.
_CELLS = {
    delimiter: re.compile(
        rf' *"(?P<quoted>(?:[^"]++|"")*+)" *(?=[{delimiter}\r\n]|\Z)|(?P<bare>[^{delimiter}\r\n]*)'
    )
    for delimiter in ",;\t"
}


def _clean(value: str) -> str:
    return value.replace("\0", "").strip().strip("\ufeff").strip()


def _records(text: str, delimiter: str, start: int, *, has_comments: bool) -> Iterator[_Record]:
    cell, at, line = _CELLS[delimiter], start, 1 + len(_LINE_END.findall(text[:start]))
    while at < len(text):
        if has_comments and (comment := _COMMENT.match(text, at)):
            first, at, cells = at, comment.end(), []
        else:
            first, cells = at, [_cell_at(cell, text, at)]
            while text.startswith(delimiter, cells[-1].end):
                cells.append(_cell_at(cell, text, cells[-1].end + 1))
            at = cells[-1].end
        ending = _LINE_END.match(text, at)
        at = ending.end() if ending else at
        if cells:
            yield _Record(line, tuple(cells))
        line += len(_LINE_END.findall(text[first:at]))


def _cell_at(pattern: re.Pattern[str], text: str, at: int) -> _Cell:
    match = pattern.match(text, at)
    assert match is not None  # the bare cell matches nothing at all, too
    quoted = match["quoted"]
    if quoted is None:
        return _Cell(at, match.end(), match["bare"], is_quoted=False)
    return _Cell(at, match.end(), quoted.replace('""', '"'), is_quoted=True)


def _decode(data: bytes) -> tuple[bytes, str, str, bool]:
    """Return byte-order mark, codec, text, and whether the codec is a guess.

    Each codec that can be chosen gives the very same bytes back when it encodes the text.
    """
    bom, codec = b"", "utf-8"
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ):
        if data.startswith(mark):
            bom, codec = mark, name
    body = data[len(bom) :]
    for name in (codec, "cp1252"):
        with suppress(UnicodeDecodeError):
            return bom, name, body.decode(name), name != codec
    return bom, "latin-1", body.decode("latin-1"), True


def _column(cell: _Cell, known: Sequence[str]) -> str:
    """Return the canonical name of a known column, any other just as it is, without spaces."""
    name = _clean(cell.value)
    canonical = re.sub(r"[\s-]+", "_", name.lower())
    return canonical if canonical in known else name


def _parse(data: bytes, known: Sequence[str], *, has_comments: bool) -> _Table:
    """Take a CSV file apart; whatever the bytes are, this raises nothing."""
    bom, codec, text, is_guessed = _decode(data)
    told = _SEPARATOR_LINE.match(text)
    start = told.end() if told else 0
    candidates = told[1] if told and told[1] in _CELLS else ",;\t"

    def table_with(delimiter: str) -> _Table:
        found = _records(text, delimiter, start, has_comments=has_comments)
        filled = tuple(record for record in found if not record.is_blank)
        header = filled[0] if filled else None
        columns = tuple(_column(cell, known) for cell in header.cells) if header else ()
        return _Table(bom, codec, text, delimiter, header, columns, filled[1:], is_guessed)

    def known_columns(table: _Table) -> int:
        return len(set(known).intersection(table.columns))

    return max((table_with(delimiter) for delimiter in candidates), key=known_columns)


def _read_record(table: _Table, record: _Record, *, keeps_spaces: bool = False) -> _Reading:
    """Return the cells of `record` by column name.

    Args:
        table: The table it stands in.
        record: One of the table's records.
        keeps_spaces: Leave the spaces around the text of a quoted cell; spaces around other cells
            always go.
    """
    cells: dict[str, str] = {}
    complaints: list[str] = []
    if "\0" in table.text[record.start : record.end]:
        complaints.append("holds NUL bytes, as after a crash; write the row anew")
    if any(_clean(cell.value) for cell in record.cells[len(table.columns) :]):
        complaints.append(
            f"has {len(record.cells)} cells where the header names {len(table.columns)} columns; "
            "put quotes around a cell with a separator in it, or take the last cell away"
        )
    for index, name in enumerate(table.columns):
        cell = record.cells[index] if index < len(record.cells) else None
        value = _text_of(cell, keeps_spaces) if cell else ""
        if not name:
            if value:
                complaints.append(f"has {value!r} in column {index + 1}, which has no name")
        elif cells.setdefault(name, value) != value:
            complaints.append(f"has two cells for {name}: {cells[name]!r} and {value!r}")
    return _Reading(cells, complaints, len(record.cells) < len(table.columns))


def _text_of(cell: _Cell, keeps_spaces: bool) -> str:
    if keeps_spaces and cell.is_quoted:
        return cell.value.replace("\0", "")
    return _clean(cell.value)


def _quote(value: str, delimiter: str, *, always: bool = False) -> str:
    """Return the text of a cell that says `value`."""
    if always or value != _clean(value) or any(mark in value for mark in (delimiter, *'"\r\n')):
        return '"' + value.replace('"', '""') + '"'
    return value


# --------------------------------------------------------------------------- rules


class ConfigRow(dict[str, str]):
    """A row of config.csv: text by column, known columns under the names of `CONFIG_COLUMNS`.

    Attributes:
        line: Where the row begins in the file, from 1 on.
        findings: Why the row as a whole cannot be relied upon; a row with one must not trade.
    """

    def __init__(
        self, cells: Mapping[str, str], line: int = 0, findings: Iterable[str] = ()
    ) -> None:
        super().__init__(cells)
        self.line = line
        self.findings = tuple(findings)


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """One reading of config.csv; `stamp` is None where there is no file."""

    rows: tuple[ConfigRow, ...]
    findings: tuple[str, ...]
    stamp: Stamp | None


# Read under this name however it is spelled; a file without it is as good.
_OTHER_COLUMNS = ("when_blind",)
_RULE_COLUMNS = CONFIG_COLUMNS + TRIGGER_COLUMNS + _OTHER_COLUMNS


def _is_comment(row: Mapping[str, str]) -> bool:
    return row.get("id", "").startswith("#") or row.get("pair", "").startswith("#")


def _rule_rows(table: _Table) -> Iterator[tuple[_Record, ConfigRow]]:
    """Yield the rows that are meant as rules, with the records they came from."""
    for record in table.records:
        reading = _read_record(table, record)
        row = ConfigRow(reading.cells, record.line, reading.complaints)
        if not _is_comment(row):
            yield record, row


def _file_findings(table: _Table, rows: Iterable[tuple[_Record, ConfigRow]]) -> Iterator[str]:
    """Yield what is odd about the file, apart from the values of its rows."""
    if table.is_guessed:
        yield f"is not UTF-8; it was read as {table.codec}. Save it as UTF-8"
    if table.header is None:
        if table.text.strip("\0 \t\r\n"):
            yield "holds comments only; the first other line must name the columns"
        return
    line = table.header.line
    if "id" not in table.columns:
        yield f"line {line}: names no column 'id'; the first line must name the columns"
    for name, times in Counter(filter(None, table.columns)).items():
        if times > 1:
            yield f"line {line}: names the column {name!r} {times} times; the first one counts"
    for record, row in rows:
        name = row.get("id") or "without id"
        yield from (f"line {row.line}: row {name} {said}" for said in row.findings)
        if set(CONFIG_COLUMNS).intersection(table.columns[len(record.cells) :]):
            yield f"line {row.line}: row {name} is short; its missing cells count as empty"
        yield from _stray_quotes(table, record)


def _stray_quotes(table: _Table, record: _Record) -> Iterator[str]:
    for cell in record.cells:
        raw = table.text[cell.start : cell.end]
        if not cell.is_quoted and raw.strip(" \0").startswith('"'):
            yield f"line {record.line}: {raw!r} opens a quote and does not close it at its end"
        below = [part.count(table.delimiter) for part in _LINE_END.split(raw)[1:]]
        if any(separators >= len(table.columns) - 1 > 0 for separators in below):
            yield f"line {record.line}: the quotes of {raw[:60]!r} take in what looks like a row"


def _merge(data: bytes, config_id: str, cells: Mapping[str, str]) -> bytes:
    """Return `data` with `cells` in the row of `config_id`; every other byte stays.

    Raises:
        LookupError: If no row has that id.
        ValueError: If several have, or the cells cannot be written into this file.
    """
    table = _parse(data, _RULE_COLUMNS, has_comments=True)
    found = [record for record, row in _rule_rows(table) if row.get("id") == config_id.strip()]
    if table.header is None or not found:
        raise LookupError(f"no row has the id {config_id!r}")
    if len(found) > 1:
        lines = ", ".join(str(record.line) for record in found)
        raise ValueError(f"the rows at lines {lines} share the id {config_id!r}; none is changed")
    columns = _with_columns(table, cells)
    names = [
        *_raw_cells(table, table.header),
        *(_quote(name, table.delimiter) for name in columns[len(table.columns) :]),
    ]
    texts = {
        table.header.start: names,
        found[0].start: _changed_cells(table, found[0], columns, cells),
    }
    text, ends = table.text, {table.header.start: table.header.end, found[0].start: found[0].end}
    for start in sorted(texts, reverse=True):
        text = text[:start] + table.delimiter.join(texts[start]) + text[ends[start] :]
    merged = table.bytes_of(text)
    _verify_merge(table, merged, found[0], cells)
    return merged


def _raw_cells(table: _Table, record: _Record) -> list[str]:
    return [table.text[cell.start : cell.end] for cell in record.cells]


def _with_columns(table: _Table, cells: Mapping[str, str]) -> list[str]:
    """Return the columns of `table` and those of `cells` that are missing there.

    A row with more cells than the header has columns must not find its surplus under a new name,
    where it would look like a value: new columns stand to the right of every cell of the file.
    """
    columns = list(table.columns)
    new = [name for name in cells if name not in columns]
    if new:
        widest = max((_width(record) for record in table.records), default=0)
        columns += [""] * (widest - len(columns)) + new
    return columns


def _width(record: _Record) -> int:
    return max((i for i, cell in enumerate(record.cells, 1) if _clean(cell.value)), default=0)


def _changed_cells(
    table: _Table, record: _Record, columns: list[str], cells: Mapping[str, str]
) -> list[str]:
    texts = _raw_cells(table, record)
    for name, value in cells.items():
        index = columns.index(name)
        texts += [""] * (index + 1 - len(texts))
        was_quoted = index < len(record.cells) and record.cells[index].is_quoted
        texts[index] = _quote(value, table.delimiter, always=was_quoted and bool(value))
    return texts


def _verify_merge(
    before: _Table, merged: bytes, changed: _Record, cells: Mapping[str, str]
) -> None:
    """Read the result once more before it replaces anything: stray quotes can pair up anew."""
    after = _parse(merged, _RULE_COLUMNS, has_comments=True)
    for old, new in zip(before.records, after.records, strict=False):
        if old is changed:
            kept = _read_record(after, new).cells
            is_same = all(kept.get(name) == _clean(value) for name, value in cells.items())
        else:
            is_same = _raw_cells(before, old) == _raw_cells(after, new)
        if not is_same:
            break
    else:
        if len(before.records) == len(after.records):
            return
    raise ValueError("the file's quote marks leave it unclear where its cells end; mend them first")


# --------------------------------------------------------------------------- state


@dataclass(frozen=True, slots=True)
class StateProblem:
    """A part of state.csv that cannot be relied upon.

    Attributes:
        line: Where it is in the file, from 1 on; 0 where it concerns the file as a whole.
        ids: The rows whose past is in doubt. Empty where nobody can tell: then every id that has
            no row in `StateFile.rows` is in doubt.
        message: A sentence with file, line and cure.
    """

    line: int
    ids: tuple[str, ...]
    message: str


@dataclass(frozen=True, slots=True)
class StateFile:
    """One reading of state.csv.

    Attributes:
        rows: Text by column, by id; also what can be read of rows that have a problem.
        problems: What cannot be relied upon.
        copy: Where the file as it was is kept; None where nothing was wrong with it, or where it
            could not be copied.
    """

    rows: dict[str, dict[str, str]]
    problems: tuple[StateProblem, ...]
    copy: Path | None


_CURE = "check at Kraken what became of it, then write the row anew"


class _StateReader:
    """Gather rows and problems of one state file."""

    def __init__(self, data: bytes, name: str) -> None:
        self._name = name
        self.rows: dict[str, dict[str, str]] = {}
        self.problems: list[StateProblem] = []
        self._table = table = _parse(data, STATE_COLUMNS, has_comments=False)
        if table.header is None:
            self._doubt(0, (), "is empty; what happened before cannot be known")
        elif "id" not in table.columns:
            self._doubt(table.header.line, (), "has no column 'id', so no row can be known")
        else:
            for record in table.records:
                self._read(record)

    def _read(self, record: _Record) -> None:
        reading = _read_record(self._table, record, keeps_spaces=True)
        row, reasons = reading.cells, list(reading.complaints)
        if reading.is_short:
            reasons.append("is cut short")
        if row.get("triggered", "").strip().lower() not in ("", "true", "false"):
            reasons.append(f"says {row['triggered']!r} under triggered, not true or false")
        if self._table.is_guessed and not "".join(row.values()).isascii():
            reasons.append("has letters in an unknown encoding; save the file as UTF-8")
        identifier = row["id"]
        if not identifier:
            self._doubt(record.line, (), "; ".join(["has no id", *reasons]))
            return
        earlier = self.rows.get(identifier)
        if earlier is not None and earlier != row:
            reasons.append(f"tells another story of {identifier} than the row before")
        if reasons:
            self._doubt(record.line, (identifier,), "; ".join(reasons))
        if earlier is None or earlier.get("triggered", "").strip().lower() != "true":
            self.rows[identifier] = row  # of two stories the one that has fired is the safe one

    def _doubt(self, line: int, ids: tuple[str, ...], said: str) -> None:
        place = f"{self._name} line {line}" if line else self._name
        about = f" row {ids[0]}" if ids else ""
        self.problems.append(StateProblem(line, ids, f"{place}:{about} {said}. To go on, {_CURE}"))


def _state_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).replace("\0", "")


def _state_bytes(state: Mapping[str, Mapping[str, object]]) -> bytes:
    """Return the contents of a state file: the contract's columns first, then all that are met."""
    met = (str(name) for row in state.values() for name in row)
    columns = tuple(dict.fromkeys(filter(None, (*STATE_COLUMNS, *met))))
    lines = [columns]
    for identifier, row in state.items():
        cells = {str(name): _state_text(value) for name, value in row.items()}
        cells["id"] = _state_text(identifier)
        lines.append(tuple(cells.get(name, "") for name in columns))
    text = "".join(",".join(_quote(cell, ",") for cell in line) + "\n" for line in lines)
    return text.encode("utf-8", "backslashreplace")


# --------------------------------------------------------------------------- the log


def _log_detail(name: str, value: object) -> str:
    text = str(value)
    if not text or re.search(r'[\s"=\\]', text):
        text = json.dumps(text, ensure_ascii=False)
    return f"{name}={text}"


def _one_line(text: str) -> str:
    return text.replace("\r", "\\r").replace("\n", "\\n")


# --------------------------------------------------------------------------- one program a state


@dataclass(frozen=True, slots=True)
class LockHolder:
    """Who holds a state file; `since` is ISO UTC."""

    pid: int
    host: str
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since}"


class AlreadyRunning(Exception):
    """Another copy of the program works on the same state file.

    Attributes:
        path: The state file.
        holder: Who it is; None where that cannot be told.
    """

    def __init__(self, path: Path, holder: LockHolder | None) -> None:
        self.path = path
        self.holder = holder
        super().__init__(path, holder)

    def __str__(self) -> str:
        who = self.holder or "another process"
        return (
            f"{self.path} is in use by {who}; stop that copy first, or give this one its own files"
        )


class StateLock:
    """At most one program a state file: a lock beside it, for as long as the `with` lasts.

    The operating system drops the lock when the process dies, however it dies. A second file
    beside the lock says who holds it, because on Windows a locked file cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str], disk: Disk | None = None) -> None:
        self.path = Path(path)
        self._disk = disk or Disk()
        target = self.path.resolve()  # two names of one file are one lock
        self._holder_path = target.with_name(target.name + ".lock.json")
        # Not per thread: whichever thread ends the program lets go of it.
        self._lock = FileLock(target.with_name(target.name + ".lock"), thread_local=False)

    def __enter__(self) -> StateLock:
        """Take the lock, without waiting.

        Raises:
            AlreadyRunning: If another program has it.
            OSError: If there can be no lock file, such as in a folder that cannot be written.
        """
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            raise AlreadyRunning(self.path, self.holder()) from None
        since = self._disk.now().isoformat(timespec="seconds")
        about = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
        with suppress(OSError):  # the lock is what counts; this only makes its message better
            self._holder_path.write_text(json.dumps(about), encoding="utf-8")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OSError):
            self._holder_path.unlink()
        self._lock.release()

    def holder(self) -> LockHolder | None:
        """Return who holds the lock, as far as that can be read."""
        try:
            about = json.loads(self._holder_path.read_text(encoding="utf-8"))
            return LockHolder(int(about["pid"]), str(about["host"]), str(about["since"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None


# --------------------------------------------------------------------------- the door


class ConfigManager:
    """Read and write the three files. Safe from any thread.

    Args:
        config_file: The rules.
        state_file: What became of them.
        log_file: What the program did.
        disk: The file system; another one in tests.
    """

    def __init__(
        self,
        config_file: str | os.PathLike[str] = "config.csv",
        state_file: str | os.PathLike[str] = "state.csv",
        log_file: str | os.PathLike[str] = "logs.csv",
        *,
        disk: Disk | None = None,
    ) -> None:
        self.config_file = config_file
        self.state_file = state_file
        self.log_file = log_file
        self.findings: list[str] = []
        self._disk = disk or Disk()
        # Each lock makes the writes to one file follow one another, which is why it is held
        # while they last. They guard: the own writes and the stamp last loaded;
        self._config_lock = threading.Lock()
        self._own_writes: dict[Stamp, Stamp] = {}
        self._loaded: Stamp | None = None
        # whether the contents of the state file are still to be copied;
        self._state_lock = threading.Lock()
        self._is_copy_due = False
        # nothing else;
        self._tape_lock = threading.Lock()
        # when the log last could not be written.
        self._log_lock = threading.Lock()
        self._complained_at: float | None = None

    # ---- rules

    def load_config(self) -> list[ConfigRow]:
        """Return the rows of the config file, comments and blank rows left out.

        Returns:
            Text by column; [] where there is no file. What was odd about them stands in
            `findings` afterwards.

        Raises:
            OSError: If the file is there and cannot be read. That is not the same as an empty
                file: whoever asks must go on with the rows that it has.
        """
        file = self.read_config()
        with self._config_lock:
            self._loaded = file.stamp
        self.findings = list(file.findings)
        return list(file.rows)

    def read_config(self) -> ConfigFile:
        """Return the rows and what is odd about them, and leave `findings` and `own_stamp` alone.

        Raises:
            OSError: As `load_config` does.
        """
        path = Path(self.config_file)
        data, stamp = _read_settled(self._disk, path)
        if stamp is None:
            return ConfigFile((), (), None)
        table = _parse(data, _RULE_COLUMNS, has_comments=True)
        rows = list(_rule_rows(table))
        findings = tuple(f"{path.name} {said}" for said in _file_findings(table, rows))
        return ConfigFile(tuple(row for _, row in rows), findings, stamp)

    def config_stamp(self) -> Stamp | None:
        """Return the stamp of the config file as it is now, None where there is none. Cheap."""
        return self._disk.stamp(Path(self.config_file))

    def is_own_write(self, stamp: Stamp | None, seen: Stamp | None = None) -> bool:
        """Tell whether only this program wrote between the versions `seen` and `stamp`.

        Args:
            stamp: The version that is found now.
            seen: The version that the caller knows; the one that `load_config` gave last where it
                is left out.
        """
        with self._config_lock:
            seen = seen or self._loaded
            for _ in range(len(self._own_writes)):
                if stamp is None or stamp == seen:
                    break
                stamp = self._own_writes.get(stamp)
            return stamp is not None and stamp == seen

    @property
    def own_stamp(self) -> Stamp | None:
        """The version that this program wrote last."""
        with self._config_lock:
            return next(reversed(self._own_writes), None)

    def update_row(self, config_id: str, cells: Mapping[str, str]) -> None:
        """Write `cells` into the row of `config_id`; every other byte of the file stays.

        Columns that the file lacks are appended. The file is read again right before, and if
        somebody saves it meanwhile all is done again with what they saved. What cannot be
        excluded is a save in the microseconds between the last look and the rename.

        Raises:
            LookupError: If no row has that id.
            ValueError: If several rows have it (such rows never trade, so none is changed), or if
                the file's encoding or quoting cannot take the cells.
            OSError: If the file is missing, cannot be read or replaced; it is whole then.
        """
        path = Path(self.config_file)
        texts = {name: str(value) for name, value in cells.items()}
        with self._config_lock:
            for _ in range(_MERGE_TRIES):
                data, stamp = _read_settled(self._disk, path)
                if stamp is None:
                    raise FileNotFoundError(errno.ENOENT, "there is no config file", str(path))
                merged = _merge(data, config_id, texts)
                if merged == data:
                    return
                with suppress(_Changed):
                    self._own_writes[_replace(self._disk, path, merged, stamp)] = stamp
                    return
        raise OSError(errno.EBUSY, "keeps changing while a row is written", str(path))

    def update_config_on_trigger(
        self, config_id: str, order_id: object, trigger_time: object, trigger_price: object
    ) -> None:
        """Disarm the row of `config_id` and write down what its trigger led to.

        A file or a row that is not there needs no disarming: that is a warning in the log of the
        program. Everything else is as in `update_row`, which tells the two apart.

        Raises:
            ValueError: As `update_row` does.
            OSError: As `update_row` does, except for a missing file.
        """
        cells = {
            "enabled": "false",
            "order_id": _state_text(order_id),
            "trigger_time": _state_text(trigger_time),
            "trigger_price": _state_text(trigger_price),
        }
        try:
            self.update_row(config_id, cells)
        except (LookupError, FileNotFoundError) as error:
            logger.warning("%s: nothing to disarm for %s: %s", self.config_file, config_id, error)

    def create_sample_config(self, filename: str | os.PathLike[str] = "config_sample.csv") -> None:
        """Write a config file that explains itself and arms nothing.

        Raises:
            FileExistsError: If there is such a file with something in it; it stays as it is.
            OSError: If it cannot be written.
        """
        path = Path(filename)
        stamp = self._disk.stamp(path)
        with suppress(_Changed):
            if stamp is None or not stamp.size:
                _replace(self._disk, path, _SAMPLE.encode(), stamp)
                return
        said = "is there already and was left alone; choose another name"
        raise FileExistsError(errno.EEXIST, said, str(path))

    # ---- state

    def load_state(self) -> dict[str, dict[str, str]]:
        """Return the state by id, {} where there is no file.

        Raises:
            OSError: If the file is there and cannot be read.
        """
        file = self._load_state()
        for problem in file.problems:
            logger.warning("%s", problem.message)
        return file.rows

    def load_state_checked(self) -> StateFile:
        """Return what the state file says, and what about it cannot be relied upon.

        A damaged file is copied first, under a name ending in `.bad` beside it; `save_state` does
        not replace it before there is such a copy. Once it is saved the file is in order again,
        so whoever must remember a doubt has to write it into the state.
        """
        try:
            return self._load_state()
        except OSError as error:
            with self._state_lock:
                self._is_copy_due = True
            said = f"{self.state_file}: cannot be read: {error.strerror or error}. "
            cure = "What happened before cannot be known; make the file readable"
            return StateFile({}, (StateProblem(0, (), said + cure),), None)

    def _load_state(self) -> StateFile:
        path = Path(self.state_file)
        data, stamp = _read_settled(self._disk, path)
        if stamp is None:
            return StateFile({}, (), None)
        reader = _StateReader(data, path.name)
        copy = None
        with self._state_lock:
            self._is_copy_due = bool(reader.problems)
            if reader.problems:
                try:
                    copy = self._keep_copy_locked(path, data)
                except OSError as error:
                    said = f"{path.name}: cannot be copied ({error}), so it will not be replaced"
                    reader.problems.append(StateProblem(0, (), said))
        return StateFile(reader.rows, tuple(reader.problems), copy)

    def _keep_copy_locked(self, path: Path, data: bytes) -> Path:
        """Keep `data` beside `path` under a new name, unless such a copy is there already."""
        target = path.resolve()
        for copy in sorted(target.parent.glob("*.bad")):
            if copy.name.startswith(f"{target.name}.") and self._disk.read(copy) == data:
                self._is_copy_due = False
                return copy
        when = self._disk.now().strftime("%Y%m%dT%H%M%SZ")
        tries = 0
        while True:
            copy = target.with_name(f"{target.name}.{when}{f'-{tries}' if tries else ''}.bad")
            try:
                _replace(self._disk, copy, data, None)
            except _Changed:
                tries += 1
                continue
            self._is_copy_due = False
            return copy

    def save_state(self, state: Mapping[str, Mapping[str, object]]) -> None:
        """Replace the state file by `state`, durably: on return it is on the platter.

        The contract's columns come first, then all others that any row has: what `load_state`
        gave is kept, unknown columns too. None becomes an empty cell, True and False 'true' and
        'false', everything else its `str`. An empty `state` does nothing.

        Raises:
            OSError: If a step failed; then the old file stands as it was, unless it was the sync
                of the folder after all else, and no temporary file is left.
        """
        if not state:
            return
        path = Path(self.state_file)
        with self._state_lock:
            if self._is_copy_due and self._disk.stamp(path) is not None:
                self._keep_copy_locked(path, self._disk.read(path))
            self._write_locked(path, _state_bytes(state))

    def _write_locked(self, path: Path, data: bytes) -> None:
        # One program writes this file, so what stands there may be replaced whatever it is.
        for _ in range(_MERGE_TRIES):
            with suppress(_Changed):
                _replace(self._disk, path, data, self._disk.stamp(path))
                return
        raise OSError(errno.EBUSY, "another program writes it; one state, one program", str(path))

    def initialize_state_file(self) -> None:
        """Create the state file with its header where there is none; never touch one that is there.

        Temporary files that a killed program left beside it long ago are taken away.

        Raises:
            OSError: If it cannot be written.
        """
        path = Path(self.state_file)
        with self._state_lock:
            self._sweep(path)
            if self._disk.stamp(path) is None:
                header = ",".join(STATE_COLUMNS) + "\n"
                with suppress(_Changed):  # somebody was faster: then there is one
                    _replace(self._disk, path, header.encode(), None)

    # ---- how far prices were seen

    @property
    def tape_file(self) -> Path:
        """The file beside the state that `save_tape` writes."""
        path = Path(self.state_file)
        return path.with_name(f"{path.name}.tape")

    def load_tape(self) -> str | None:
        """Return the text that `save_tape` wrote last, None where there is none.

        Raises:
            OSError: If it is there and cannot be read.
            ValueError: If it is no text.
        """
        data, stamp = _read_settled(self._disk, self.tape_file)
        return None if stamp is None else data.decode("utf-8")

    def save_tape(self, text: str) -> None:
        """Replace the text, durably.

        It is no part of state.csv: that has one row a rule and belongs to the thread that
        places orders, which must not rewrite it every few seconds because prices move.

        Raises:
            OSError: If a step failed; the old text stands then.
        """
        with self._tape_lock:
            self._write_locked(self.tape_file, text.encode("utf-8"))

    def _sweep(self, path: Path) -> None:
        target = path.resolve()
        oldest = self._disk.now().timestamp() - _LITTER_AGE
        for litter in target.parent.glob("*.tmp"):
            is_ours = re.fullmatch(re.escape(target.name) + r"\.[0-9a-f]{32}\.tmp", litter.name)
            with suppress(OSError):
                if is_ours and litter.stat().st_mtime < oldest:
                    litter.unlink()

    # ---- log

    def log(self, level: str, message: str, **fields: object) -> None:
        r"""Append one row to the log file: timestamp, level, message, details as `key=value`.

        Never raises: a log that cannot be written must not stop an order. It says so on `logging`,
        at most once a minute. Line ends are written as `\n`, so a row is always one line.
        """
        details = " ".join(_log_detail(name, value) for name, value in fields.items())
        cells = (
            self._disk.now().isoformat(timespec="milliseconds"),
            str(level),
            _one_line(str(message)),
            details,
        )
        line = ",".join(_quote(cell, ",") for cell in cells) + "\n"
        with self._log_lock:
            try:
                self._append_locked(line.encode("utf-8", "backslashreplace"))
            except OSError as error:
                self._complain_locked(error)

    def _append_locked(self, line: bytes) -> None:
        path = Path(self.log_file)
        header = (",".join(LOG_COLUMNS) + "\n").encode()
        start, size, ends_line = self._look_at_log(path, len(header))
        is_foreign = start.replace(b"\r\n", b"\n")[: len(header) - 1] != header[:-1]
        if size and (is_foreign or size + len(line) > LOG_BYTES):
            self._rotate(path)
            size, ends_line = 0, True
        self._disk.append(path, (b"" if size else header) + (b"" if ends_line else b"\n") + line)

    def _look_at_log(self, path: Path, length: int) -> tuple[bytes, int, bool]:
        """Return how the log begins, its size, and whether its last line is complete."""
        if not path.is_file():
            return b"", 0, True
        with path.open("rb") as file:
            start = file.read(length)
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1))
            return start, size, file.read(1) in (b"", b"\n")

    def _rotate(self, path: Path) -> None:
        for number in reversed(range(1, LOG_FILES)):
            with suppress(FileNotFoundError):
                self._disk.rename(_numbered(path, number), _numbered(path, number + 1))
        self._disk.rename(path, _numbered(path, 1))

    def _complain_locked(self, error: OSError) -> None:
        now = self._disk.monotonic()
        if self._complained_at is None or now - self._complained_at >= _COMPLAIN_EVERY:
            self._complained_at = now
            logger.warning("%s cannot be written: %s", self.log_file, error)


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


# Plain ASCII and no separator inside the comments, so that every spreadsheet shows it as it is.
_SAMPLE = """\
id,pair,threshold_price,threshold_type,direction,volume,trailing_offset_percent,enabled
btc_take_profit,XBTUSD,150000,above,sell,0.001,5.0,false
eth_protect,ETH/USD,1500,below,sell,0.05,2.5,false
sol_buy_the_dip,SOL/EUR,60,below,buy,1.5,3,false
#
# Lines that begin with # are comments. One line is one trailing stop that waits for its price.
# Nothing here trades: change a row and then set enabled to true.
#
# id                       your name for the row: letters and digits and _ and - and only once
# pair                     the market at Kraken such as XBTUSD or BTC/USD or XXBTZUSD
# threshold_price          when the last trade price gets there the trailing stop is placed
# threshold_type           above: at the threshold or higher. below: at the threshold or lower
# direction                what the trailing stop does in the end: sell or buy
# volume                   how much of the base currency: 0.001 with XBTUSD is 0.001 BTC
# trailing_offset_percent  how far the stop follows the best price: 5.0 is 5 percent
# enabled                  true arms the row. false leaves it alone
#
# A column when_blind may follow: what to do when the threshold turns out to have been crossed
# while the program could not see the prices. arm-if-beyond places the stop if the price is still
# beyond the threshold. always places it anyway. notify only says so. Empty is arm-if-beyond
#
# When a row fires the program sets enabled to false and adds the columns
# order_id and trigger_time and trigger_price. Columns of your own are left as they are.
"""
