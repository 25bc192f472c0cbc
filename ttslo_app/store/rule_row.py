"""A row of config.csv: the line that it stands in, or a dict where more is to be said of it.

Pure. A line is taken apart when somebody asks for its cells: a dict for each of 100,000 rows, and a
text for each of their cells, fill 25 MB more. What must never happen here: that a line says
something else than it says in a dict.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import ClassVar

# Most cells of many rows say one of a few words: equal ones are mostly one object. So many texts
# are remembered at a time.
_SHARED_TEXTS = 4096


class Shape:
    """What the plain lines of one table have in common.

    Args:
        columns: Each with a name of its own.
        delimiter: What stands between two cells.

    Attributes:
        places: Which cell of a line is under a column, from 0 on.
    """

    __slots__ = ("_shared", "columns", "delimiter", "places")

    def __init__(self, columns: tuple[str, ...], delimiter: str) -> None:
        self.columns = columns
        self.delimiter = delimiter
        self.places = {name: place for place, name in enumerate(columns)}
        self._shared: dict[str, str] = {}

    def cells(self, text: str) -> dict[str, str]:
        """Return the cells of a line by column, spaces around them left out; any thread.

        Columns that the line ends before are left out, and cells beyond the columns.
        """
        values = [*map(str.strip, text.split(self.delimiter))]
        shared = self._shared
        if len(shared) > _SHARED_TEXTS:
            # By ids, which no other row has. It is replaced: another thread may be sharing.
            self._shared = shared = {}
        return dict(zip(self.columns, map(shared.setdefault, values, values), strict=False))


# One for all versions of a file, so that rows are known to be alike at one look.
shape_of = lru_cache(maxsize=16)(Shape)


class PlainRow(Mapping[str, str]):
    """A row that is all that its line says, and in no doubt; not to be changed.

    Args:
        text: The line, without its end.
        line: Where it stands in the file, from 1 on.
        shape: What it has in common with the other rows of its table.
    """

    __slots__ = ("line", "shape", "text")
    findings: ClassVar[tuple[str, ...]] = ()

    def __init__(self, text: str, line: int, shape: Shape) -> None:
        self.text = text
        self.line = line
        self.shape = shape

    @property
    def cells(self) -> dict[str, str]:
        """Its cells by column, as a dict of the caller's own."""
        return self.shape.cells(self.text)

    def __getitem__(self, name: str) -> str:
        place = self.shape.places[name]
        values = self.text.split(self.shape.delimiter, place + 1)
        if place >= len(values):
            raise KeyError(name)
        return values[place].strip()

    def __iter__(self) -> Iterator[str]:
        return iter(self.cells)

    def __len__(self) -> int:
        return len(self.cells)

    def items(self) -> ItemsView[str, str]:
        """Return columns and cells, the line taken apart once: an order waits for them."""
        return self.cells.items()

    def __eq__(self, other: object) -> bool:
        """Tell whether another row, or a dict, has the same cells, wherever it stands."""
        if isinstance(other, PlainRow):
            is_same = self.text == other.text and self.shape is other.shape
            return is_same or self.cells == other.cells
        return self.cells == other if isinstance(other, Mapping) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as a dict has none

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.text!r}, line={self.line})"


class ConfigRow(dict[str, str]):
    """A row of config.csv: text by column, known columns under the names of `CONFIG_COLUMNS`.

    What a program keeps of a file of many rows are `PlainRow`s, wherever a line says it all.

    Attributes:
        line: Where the row begins in the file, from 1 on.
        findings: Why the row as a whole cannot be relied upon; a row with one must not trade.
    """

    __slots__ = ("findings", "line")  # of 100,000 rows, dicts of their own would fill 10 MB

    def __init__(
        self, cells: Mapping[str, str], line: int = 0, findings: Iterable[str] = ()
    ) -> None:
        super().__init__(cells)
        self.line = line
        self.findings = tuple(findings)


RuleRow = ConfigRow | PlainRow


def config_row(row: RuleRow) -> ConfigRow:
    """Return a row as a dict of cells, as callers of the program know it."""
    return ConfigRow(row.cells, row.line) if isinstance(row, PlainRow) else row


def texts_under(column: str, rows: Iterable[RuleRow]) -> dict[str, str]:
    """Return what rows say under a column, by their ids, those left out that say nothing there."""
    some = (r for r in rows if not isinstance(r, PlainRow) or column in r.shape.places)
    return {row.get("id", ""): row[column] for row in some if row.get(column)}
