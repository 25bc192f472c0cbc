"""Pages of Kraken's trades, kept on the disk: what was fetched once is not fetched again.

One file an exchange, so that the trades of two never meet. Each page has a digest of its own, and
what does not fit it is dropped and fetched anew. What must never happen here: that a page of
another exchange, of another pair or with a flipped bit becomes a price, or that trouble with the
disk stops anybody: then pages are kept in memory alone, and that is said once.
"""

from __future__ import annotations

import hashlib
import sqlite3
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ttslo_app.backtest.history import Ints

# Of the form of the file; one of another form is set aside.
_FORM = 1
# Seconds to wait for another process that writes.
_PATIENCE = 20.0
_TABLES = f"""
create table exchange (address text not null);
create table pages (
    pair text not null, begun integer not null, ended integer not null,
    rows blob not null, digest blob not null, primary key (pair, begun, ended)
) without rowid;
pragma user_version = {_FORM};
"""


@dataclass(frozen=True, slots=True)
class Page:
    """Trades that follow each other without a hole.

    Attributes:
        begun: From which moment on they were asked for, in nanoseconds since 1970.
        ended: From which moment on to ask next; all trades before it are here.
        number: Kraken's number of each trade.
        at_ns: When each was traded.
        price: Each price as a whole number of `UNIT`.
    """

    begun: int
    ended: int
    number: Ints
    at_ns: Ints
    price: Ints


class TradeCache:
    """The pages of one exchange. For one thread.

    Args:
        folder: Where the file lies; it is made if need be. None to keep pages in memory.
        address: The exchange's.

    Attributes:
        remarks: What a person should know of the file.
        file: The file; None where pages are kept in memory.
    """

    def __init__(self, folder: Path | None, address: str) -> None:
        self.remarks: list[str] = []
        self._address = address
        self.file = None if folder is None else folder / _file_name(address)
        self._rows = self._opened()

    def close(self) -> None:
        """Let go of the file."""
        self._rows.close()

    def add(self, pair: str, page: Page) -> None:
        """Keep a page; once this returns, it outlives the process."""
        rows = zlib.compress(np.stack([page.number, page.at_ns, page.price]).tobytes(), 3)
        digest = _digest(pair, page.begun, page.ended, rows)
        values = (pair, page.begun, page.ended, rows, digest)
        try:
            with self._rows:
                self._rows.execute("insert or replace into pages values (?, ?, ?, ?, ?)", values)
        except sqlite3.Error as error:
            self._do_without(f"cannot be written: {error}")

    def page_at(self, pair: str, moment: int) -> Page | None:
        """Return the page that tells of a moment and reaches farthest; None where there is none."""
        query = (
            "select begun, ended, rows, digest from pages where pair = ? and begun <= ? and "
            "ended > ? order by ended desc limit 1"
        )
        while True:
            try:
                found = self._rows.execute(query, (pair, moment, moment)).fetchone()
                if found is None:
                    return None
                page = _page_of(pair, *found)
                if page is not None:
                    return page
                self._drop(pair, found[0], found[1])
            except sqlite3.OperationalError as error:
                self._do_without(f"cannot be read: {error}")
            except sqlite3.DatabaseError as error:
                self._set_aside(str(error))

    def _drop(self, pair: str, begun: int, ended: int) -> None:
        remark = f"a page of {self.file} was damaged; it is fetched again"
        if remark not in self.remarks:
            self.remarks.append(remark)
        where = "pair = ? and begun = ? and ended = ?"
        with self._rows:
            self._rows.execute(f"delete from pages where {where}", (pair, begun, ended))  # noqa: S608

    # --- the file ----------------------------------------------------------------------------

    def _opened(self) -> sqlite3.Connection:
        """Open the file, or an empty one in its place, or memory."""
        if self.file is None:
            return self._made(":memory:")
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            rows = self._checked(self.file)
            if rows is None:
                self._move_away()
                rows = self._made(self.file)
        except (OSError, sqlite3.Error) as error:
            self.remarks.append(f"nothing is kept for the next time: {self.file}: {error}")
            self.file = None
            return self._made(":memory:")
        return rows

    def _made(self, place: Path | str) -> sqlite3.Connection:
        rows = sqlite3.connect(place, timeout=_PATIENCE)
        try:
            if not rows.execute("pragma user_version").fetchone()[0]:
                with rows:
                    rows.executescript(f"begin immediate; {_TABLES}")
                    rows.execute("insert into exchange values (?)", (self._address,))
        except sqlite3.Error:
            rows.close()
            raise
        return rows

    def _checked(self, file: Path) -> sqlite3.Connection | None:
        """Return the file if it is whole and of this exchange; None where it is not."""
        rows = self._made_or_none(file)
        if rows is None:
            return None
        try:
            form = rows.execute("pragma user_version").fetchone()[0]
            told = rows.execute("select address from exchange").fetchall()
            state = rows.execute("pragma quick_check(1)").fetchone()[0]
        except sqlite3.OperationalError:
            rows.close()
            raise
        except sqlite3.DatabaseError:
            rows.close()
            return None
        if form == _FORM and told == [(self._address,)] and state == "ok":
            return rows
        rows.close()
        return None

    def _made_or_none(self, file: Path) -> sqlite3.Connection | None:
        try:
            return self._made(file)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            return None

    def _move_away(self) -> None:
        assert self.file is not None
        aside = self.file.with_name(f"{self.file.name}.damaged")
        self.file.replace(aside)
        self.remarks.append(
            f"{self.file} was damaged, or of another exchange or version; it was set aside as "
            f"{aside.name}, and trades are fetched anew"
        )

    def _set_aside(self, reason: str) -> None:
        """Begin with an empty file, as this one cannot be read."""
        self._rows.close()
        try:
            self._move_away()
        except OSError as error:
            reason = f"{reason}; {error}"
            self.remarks.append(f"nothing is kept for the next time: {self.file}: {reason}")
            self.file = None
        self._rows = self._opened()

    def _do_without(self, reason: str) -> None:
        """Go on in memory."""
        self._rows.close()
        self.remarks.append(f"nothing more is kept for the next time: {self.file} {reason}")
        self.file = None
        self._rows = self._made(":memory:")


def _file_name(address: str) -> str:
    return f"trades-{hashlib.sha256(address.encode()).hexdigest()[:16]}.sqlite"


def _digest(pair: str, begun: int, ended: int, rows: bytes) -> bytes:
    return hashlib.sha256(f"{pair} {begun} {ended} ".encode() + rows).digest()


def _page_of(pair: str, begun: int, ended: int, rows: bytes, digest: bytes) -> Page | None:
    """Return a page as it was kept; None where it is not what was kept."""
    if not isinstance(rows, bytes) or _digest(pair, begun, ended, rows) != digest:
        return None
    number, at_ns, price = np.frombuffer(zlib.decompress(rows), np.int64).reshape(3, -1)
    return Page(begun, ended, number, at_ns, price)
