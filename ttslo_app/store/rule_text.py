"""The text of config.csv: rows meant as rules, and what is odd about them.

Pure: bytes in, rows and sentences out. What a cell means is nobody's business here. It must never
let a stray quote swallow a row in silence, and never pass doubtful text off as sound. The columns
are those of existing files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from ttslo_app.columns import (
    AFTER_COLUMN,
    CONFIG_COLUMNS,
    GROUP_COLUMN,
    KNOWN_COLUMNS,
    LINK_COLUMN,
    TRIGGER_COLUMNS,
    WHEN_BLIND_COLUMN,
    column_findings,
    suspicious,
)
from ttslo_app.store.csv_text import (
    FORMULA_ERROR,
    LINE_END,
    Reading,
    Record,
    Table,
    has_line_of,
    lines_of,
    parse,
)
from ttslo_app.store.rule_row import ConfigRow, PlainRow, RuleRow, shape_of

# The first trigger appends these to the header. Rows that end before them are the same rows as
# before, without new cells: of 100,000 that would be 60 MB more.
APPENDED = frozenset(TRIGGER_COLUMNS)
# Half of such a cell is as good a cell as the whole one.
_OPEN_ENDED = frozenset(
    {*CONFIG_COLUMNS, WHEN_BLIND_COLUMN, GROUP_COLUMN, AFTER_COLUMN, LINK_COLUMN}
    - {"enabled", "threshold_type", "direction"}
)
# Notes of a page fit; a text that fills memory, screen and log does not.
_LONGEST_ROW = 20_000
# A comment may look like a spreadsheet's error; it is no row with values in other cells.
_CELLS_OF_A_ROW = 4


# --- rows --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rules:
    """The rows of a file that are meant as rules, and what is odd apart from their values."""

    rows: tuple[RuleRow, ...] = ()
    findings: tuple[str, ...] = ()


def read_rules(data: bytes) -> Rules:
    """Return the rules of a file; whatever the bytes are, this raises nothing."""
    table = table_of(data)
    findings = list(file_findings(table))
    if table.is_plain and table.header is not None and LINK_COLUMN not in table.columns:
        below = enumerate(lines_of(table.text[table.header.end :]), table.header.line)
        rows = rows_of(table, below, is_to_the_end=True)
        return Rules(tuple(rows), tuple(findings))
    doubts = Doubts(table)
    odd: list[ConfigRow] = []
    reading = None
    for reading in table.readings(may_lack=APPENDED):
        row = config_row_of(reading, doubts)
        if row is None:
            continue
        odd.append(row)
        if reading.record and '"' in table.raw(reading.record):
            findings += _stray_quotes(table, reading.record)
    if odd and reading is not None and odd[-1].line == reading.line:
        odd[-1].findings += tuple(doubts.of_the_last(reading))
    if LINK_COLUMN in table.columns:
        _follow_links(odd)
    return Rules(tuple(odd), tuple(findings))


def rows_of(
    table: Table, lines: Iterable[tuple[int, str]], *, is_to_the_end: bool = False
) -> list[RuleRow]:
    """Return the rows of some lines of a plain table, each with its number.

    The table may end after these lines; `is_to_the_end` says that the last of them is the file's.
    """
    doubts, shape = Doubts(table), shape_of(table.columns, table.delimiter)
    rows: list[RuleRow] = []
    reading = None
    groups = groupby(lines, lambda one: doubts.is_none_of(one[1]))
    for is_sound, group in groups:
        if is_sound:
            rows += [PlainRow(text, line, shape) for line, text in group]
            continue
        for reading in table.readings_of(group, may_lack=APPENDED):
            row = config_row_of(reading, doubts)
            if row is not None:
                rows.append(row)
    if is_to_the_end and rows and not table.text.endswith(("\r", "\n")):
        last = rows[-1]
        if isinstance(last, PlainRow) and (reading is None or reading.line < last.line):
            (reading,) = table.readings_of([(last.line, last.text)], may_lack=APPENDED)
        if reading is not None and reading.line == last.line:
            findings = (*last.findings, *doubts.of_the_last(reading))
            rows[-1] = ConfigRow(reading.cells, last.line, findings)
    return rows


def config_row_of(reading: Reading, doubts: Doubts) -> ConfigRow | None:
    """Return what was read as a row, which knows why it is in doubt; None for a comment."""
    if is_comment(reading.cells):
        return None
    complaints = [*reading.complaints, *doubts.of(reading)] if doubts.may_be_of(reading) else ()
    return ConfigRow(reading.cells, reading.line, complaints)


def _follow_links(rows: Sequence[ConfigRow]) -> None:
    """Let each row that another one names as the next say so itself, in its cell `after`.

    Other versions write a relation into the row that comes first. A row that two others name, or
    that names another one itself, is in doubt, as is one that names none.
    """
    named: dict[str, list[ConfigRow]] = {}
    for row in rows:
        named.setdefault(row.get("id", ""), []).append(row)
    for row in rows:
        child, parent = row.get(LINK_COLUMN, ""), row.get("id", "")
        if not child:
            continue
        if child not in named:
            cure = "write the id of the row that is to follow, or empty the cell"
            row.findings += (f"names {child[:60]!r} in {LINK_COLUMN}, which is no row; {cure}",)
        for other in named.get(child, ()):
            if other.get(AFTER_COLUMN, "") in ("", parent):
                other[AFTER_COLUMN] = parent
            else:
                said = f"is to follow {other[AFTER_COLUMN][:60]} and, by {LINK_COLUMN} there, "
                said += f"{parent[:60]}; a row follows one other, so empty one of the cells"
                other.findings += (said,)


class Doubts:
    """Why rows of a table may not be what their author meant: a row is whole, or it is refused."""

    def __init__(self, table: Table) -> None:
        columns = table.columns
        self._table = table
        self._required = set(CONFIG_COLUMNS).intersection(columns)
        self._suspicious = suspicious(columns)
        self._has_no_switch = "enabled" not in columns
        has_long_line = has_line_of(_LONGEST_ROW, table.text)
        self._is_every_row = self._has_no_switch or bool(self._suspicious) or has_long_line
        self._count = len(columns)
        counts = () if self._is_every_row else range(1, len(columns) + 1)
        self._separators = {n - 1 for n in counts if APPENDED.issuperset(columns[n:])}

    def is_none_of(self, line: str) -> bool:
        """Tell quickly whether a line of a plain table is a row in no doubt, as nearly all are."""
        count = line.count(self._table.delimiter)
        return count in self._separators and line[:1].isalnum() and "#" not in line

    def may_be_of(self, reading: Reading) -> bool:
        """Tell quickly whether a row is to be looked at: nearly none is."""
        get = reading.cells.get
        return bool(
            self._is_every_row
            or reading.complaints
            or reading.record is not None
            or reading.cell_count < self._count
            or get("id", "")[:1] == "#"
            or get("pair", "")[:1] == "#"
        )

    def of(self, reading: Reading) -> Iterator[str]:
        """Yield what makes a row unfit for trading."""
        cells, missing = reading.cells, self._table.columns[reading.cell_count :]
        lost = [name for name in missing if name in self._required]
        if lost:
            yield (
                f"ends before {', '.join(lost)}, as a line that was cut off does; "
                "write the whole row, or take it out"
            )
        if self._has_no_switch:
            yield "has no cell under enabled, which must say true to arm it; add that column"
        for name in ("id", "pair"):
            if FORMULA_ERROR.fullmatch(cells.get(name, "")):
                yield f"has a spreadsheet's error {cells[name]} for its {name}; mend the formula"
        for name, meant in self._suspicious.items():
            if cells.get(name):
                said = f"has {cells[name][:60]!r} under {name[:60]!r}, which is no column of ours"
                yield f"{said}; did you mean {meant}? Rename the column, or empty the cell"
        if len("".join(cells.values())) > _LONGEST_ROW:
            yield f"is longer than {_LONGEST_ROW} characters; somebody has pasted a text into it"

    def of_the_last(self, reading: Reading) -> Iterator[str]:
        """Yield why nobody can tell whether the last row of a file is there to its end."""
        if not reading.cell_count or self._is_ended(reading):
            return
        columns = self._table.columns
        ends_in = columns[min(reading.cell_count, len(columns)) - 1]
        if WHEN_BLIND_COLUMN in columns[reading.cell_count :]:
            ends_in = WHEN_BLIND_COLUMN
        if ends_in in _OPEN_ENDED:
            yield (
                f"is the last line, has no line end, and ends at {ends_in}: "
                "it may have been cut off; put a line end behind it"
            )

    def _is_ended(self, reading: Reading) -> bool:
        """Tell whether a line end follows a row, whatever stands below: a note, or blanks."""
        text, record = self._table.text, reading.record
        if record is not None:
            return LINE_END.search(text, record.end) is not None
        ends = text.count("\n") + text.count("\r") - text.count("\r\n")
        return reading.line <= ends


def table_of(data: bytes) -> Table:
    """Return a file of rules taken apart."""
    return parse(data, KNOWN_COLUMNS, has_comments=True)


def is_comment(row: Mapping[str, str]) -> bool:
    """Tell whether a row is somebody's note: its id or its pair begins with `#`.

    A spreadsheet's error there is none, if more of a row stands beside it.
    """
    marked = [row[name] for name in ("id", "pair") if row.get(name, "").startswith("#")]
    if not marked:
        return False
    is_damaged = any(FORMULA_ERROR.fullmatch(text) for text in marked)
    is_note = any(not FORMULA_ERROR.fullmatch(text) for text in marked)
    return is_note or not (is_damaged and sum(map(bool, row.values())) >= _CELLS_OF_A_ROW)


def file_findings(table: Table) -> Iterator[str]:
    """Yield what is odd about a file apart from its rows."""
    if table.is_guessed:
        yield f"is not UTF-8; it was read as {table.codec}. Save it as UTF-8"
    if table.header is None:
        if table.text.strip("\0 \t\r\n"):
            yield "holds comments only; the first other line must name the columns"
        return
    line = table.header.line
    if "id" not in table.columns:
        yield f"line {line}: names no column 'id'; the first line must name the columns"
    for said in column_findings(table.columns):
        yield f"line {line}: {said}"
    for name, times in Counter(filter(None, table.columns)).items():
        if times > 1:
            yield f"line {line}: names the column {name!r} {times} times; the first one counts"


def _stray_quotes(table: Table, record: Record) -> Iterator[str]:
    for cell in table.cells(record):
        raw = table.text[cell.start : cell.end]
        if not cell.is_quoted and raw.strip(" \0").startswith('"'):
            yield f"line {record.line}: {raw[:60]!r} opens a quote and does not close it at its end"
        below = [part.count(table.delimiter) for part in LINE_END.split(raw)[1:]]
        if any(separators >= len(table.columns) - 1 > 0 for separators in below):
            yield f"line {record.line}: the quotes of {raw[:60]!r} take in what looks like a row"


# --- an example --------------------------------------------------------------------------------

# Plain ASCII and no separator inside the comments, so that every spreadsheet shows it as it is.
SAMPLE_CONFIG = """\
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
# Instead of trailing_offset_percent a column trailing_offset_quote may say the offset in the
# currency of the price: 250 with BTC/USD is 250 USD. A row has exactly one of the two.
# Other columns may follow and are empty in most rows:
# limit_offset    0.5% or an amount: the stop becomes a limit order so far beyond its trigger
# trigger         last or index: which price the stop follows. The threshold stays on last
# fee_currency    base or quote: in which of the two Kraken takes its fee
# expires         2027-01-31T18:00:00Z or +30d from the arming: the row then disarms itself
# volume          may also say all or 50% of what is free at the crossing or a sum as 100 USD
# group           a name: of the rows of a group one fires and the others are disarmed
# after           the id of another row: this one is armed once the order of that one is filled
#
# A column note may follow too: words of your own which appear in notifications of the row.
#
# When a row fires the program sets enabled to false and adds the columns
# order_id and trigger_time and trigger_price. Columns of your own are left as they are.
"""
