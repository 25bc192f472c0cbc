"""The CSV files: nothing dirty stops the program, and nothing of the user's is ever lost."""

import codecs
import csv
import errno
import io
import logging
import multiprocessing
import os
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ttslo_app.rules.rule import read_rule
from ttslo_app.store.disk import Disk, Stamp
from ttslo_app.store.lock import AlreadyRunning, StateLock
from ttslo_app.store.manager import (
    CONFIG_COLUMNS,
    LOG_BYTES,
    STATE_COLUMNS,
    ConfigFile,
    ConfigManager,
)

HEADER = ",".join(CONFIG_COLUMNS)
ROW_A = "a,XBTUSD,50000,above,sell,0.01,5.0,true"
ROW_B = "b,ETHUSD,1500,below,sell,0.5,2.5,yes"
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


class TestDisk(Disk):
    """A real disk that fails where it is told to, with a clock that stands still."""

    __test__ = False

    def __init__(self, *failing: str, error: OSError | None = None) -> None:
        self.failing = set(failing)
        self.error = error or OSError(errno.ENOSPC, "No space left on device")
        self.seconds = 0.0
        self.paused = 0
        self.before_rename: list[Path] = []
        self.intrusions: list[bytes] = []

    def _step(self, name: str) -> None:
        if name in self.failing:
            raise self.error

    def read(self, path: Path) -> bytes:
        self._step("read")
        return super().read(path)

    def stamp(self, path: Path) -> Stamp | None:
        self._step("stamp")
        return super().stamp(path)

    def create(self, path: Path) -> BinaryIO:
        self._step("create")
        return super().create(path)

    def write(self, file: BinaryIO, data: bytes) -> None:
        super().write(file, data[: len(data) // 2])
        self._step("write")
        super().write(file, data[len(data) // 2 :])

    def sync(self, file: BinaryIO) -> None:
        self._step("sync")
        super().sync(file)
        if self.intrusions:
            target = Path(str(file.name).rsplit(".", 2)[0])
            target.write_bytes(self.intrusions.pop(0))

    def rename(self, source: Path, target: Path) -> None:
        self._step("rename")
        super().rename(source, target)

    def sync_folder(self, folder: Path) -> None:
        self._step("sync_folder")
        super().sync_folder(folder)

    def is_replaceable(self, path: Path) -> bool:
        return "is_replaceable" not in self.failing and super().is_replaceable(path)

    def append(self, path: Path, data: bytes) -> None:
        self._step("append")
        super().append(path, data)

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    def pause(self, seconds: float) -> None:
        self.paused += 1
        if self.paused == 2:
            self.failing.clear()


def manager(data: bytes | str | None = None, disk: Disk | None = None) -> ConfigManager:
    """Return a manager in the test's own folder, over a config file of these bytes."""
    if data is not None:
        Path("config.csv").write_bytes(data.encode() if isinstance(data, str) else data)
    return ConfigManager(disk=disk or TestDisk())


def table(*lines: str, end: str = "\n") -> str:
    """Return the text of a file of these lines."""
    return end.join(lines) + end


@contextmanager
def folder() -> Iterator[Path]:
    """Give one Hypothesis example a folder of its own."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def litter(place: Path = Path()) -> list[str]:
    """Return the temporary files that were left behind."""
    return [path.name for path in place.iterdir() if path.name.endswith(".tmp")]


# ------------------------------------------------------------------ reading rules


def test_load_config_gives_text_by_column_and_the_line() -> None:
    """A plain file is a list of dicts of text, each knowing its line."""
    rows = manager(table(HEADER, ROW_A, ROW_B)).load_config()
    assert rows[0] == dict(zip(CONFIG_COLUMNS, ROW_A.split(","), strict=True))
    assert [row.line for row in rows] == [2, 3]


def test_load_config_of_a_missing_file_is_empty() -> None:
    """No file is no row and no stamp."""
    files = manager()
    assert files.load_config() == []
    assert files.config_stamp() is None
    assert files.read_config() == ConfigFile((), (), None)


def test_load_config_of_an_unreadable_file_is_not_empty() -> None:
    """What cannot be read raises, so that nobody takes it for an empty file."""
    files = manager(table(HEADER, ROW_A), TestDisk("read", error=PermissionError(13, "denied")))
    with pytest.raises(PermissionError):
        files.load_config()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(codecs.BOM_UTF8 + table(HEADER, ROW_A).encode(), id="utf-8 with a mark"),
        pytest.param(table(HEADER, ROW_A).encode("utf-16"), id="utf-16"),
        pytest.param(codecs.BOM_UTF16_BE + table(HEADER, ROW_A).encode("utf-16-be"), id="utf-16be"),
        pytest.param(table(HEADER, ROW_A, end="\r\n").encode(), id="CRLF"),
        pytest.param(table(HEADER, ROW_A, end="\r").encode(), id="CR"),
        pytest.param(table(HEADER, ROW_A).replace(",", ";").encode(), id="semicolons"),
        pytest.param(table(HEADER, ROW_A).replace(",", "\t").encode(), id="tabs"),
        pytest.param(table("sep=;", HEADER, ROW_A).replace(",", ";").encode(), id="sep line"),
        pytest.param(table(HEADER.replace(",", " , "), ROW_A).encode(), id="header spaces"),
        pytest.param(table(HEADER.upper(), ROW_A).encode(), id="header case"),
        pytest.param(table(HEADER.replace("_", " "), ROW_A).encode(), id="header words"),
        pytest.param(table(HEADER, ROW_A.replace(",", " , ")).encode(), id="cell spaces"),
        pytest.param(table(HEADER, f'"{ROW_A.replace(",", chr(34) + "," + chr(34))}"').encode()),
        pytest.param(table(HEADER, ROW_A + ",,,").encode(), id="empty cells at the end"),
        pytest.param(f"{HEADER}\n{ROW_A}".encode(), id="no line end at the end"),
        pytest.param(table("", ",,,", "# hello, world", HEADER, "", ROW_A).encode(), id="blanks"),
    ],
)
def test_load_config_tolerates_what_spreadsheets_do(data: bytes) -> None:
    """Marks, encodings, line ends, separators, spaces, case and quotes change no value."""
    files = manager(data)
    assert files.load_config() == [dict(zip(CONFIG_COLUMNS, ROW_A.split(","), strict=True))]
    assert files.findings == []


def test_load_config_leaves_comments_and_blank_rows_out() -> None:
    """Rows whose id or pair begins with #, lines that begin with #, and blank rows are no rules."""
    lines = ["# one, two", '#"', "#x,XBTUSD", "y,#XBTUSD", '"# z",XBTUSD', ",,,", "  # t", ROW_A]
    assert [row["id"] for row in manager(table(HEADER, *lines)).load_config()] == ["a"]


def test_load_config_keeps_the_users_own_columns() -> None:
    """A column that is not ours is read under its own name, without the spaces around it."""
    rows = manager(table(HEADER + ", My Note ", ROW_A + ', "x, ""y""\nz"')).load_config()
    assert rows[0]["My Note"] == 'x, "y"\nz'


def test_a_short_row_is_read_with_empty_cells_and_said() -> None:
    """Missing cells are empty text, the file says so, and the other rows are read."""
    files = manager(table(HEADER, "s,XBTUSD,5", ROW_A))
    short, whole = files.load_config()
    assert (short["volume"], whole["volume"]) == ("", "0.01")
    assert files.findings == ["config.csv line 2: row s is short; its missing cells count as empty"]


def test_a_long_row_is_marked_and_others_are_not() -> None:
    """A row with one cell too many carries the reason, so that it can be refused."""
    files = manager(table(HEADER, "l,XBTUSD,50,000,above,sell,0.01,5.0,true", ROW_A))
    long, whole = files.load_config()
    assert "has 9 cells where the header names 8 columns" in long.findings[0]
    assert whole.findings == ()
    assert "config.csv line 2: row l has 9 cells" in files.findings[0]


def test_a_cell_under_no_column_name_marks_its_row() -> None:
    """A value whose column has no name might belong one column to the left."""
    (row,) = manager(table(HEADER + ",,note", ROW_A + ",oops,fine")).load_config()
    assert row.findings == ("has 'oops' in column 9, which has no name",)


def test_duplicate_columns_are_said_and_contradictions_mark_the_row() -> None:
    """Of two columns with one name the first counts; rows where they differ are marked."""
    files = manager(table(HEADER + ",VOLUME", ROW_A + ",0.01", ROW_B + ",7"))
    same, differing = files.load_config()
    assert same.findings == ()
    assert differing.findings == ("has two cells for volume: '0.5' and '7'",)
    assert "names the column 'volume' 2 times" in files.findings[0]


def test_nul_bytes_mark_their_row() -> None:
    """A row with NUL bytes, as a crash leaves them, is marked; the others are read."""
    damaged, whole = manager(table(HEADER, "x,XBT\0USD,5", ROW_A) + "\0" * 50).load_config()
    assert "NUL" in damaged.findings[0]
    assert whole.findings == ()


@pytest.mark.parametrize(("byte", "codec"), [(b"\xe9", "cp1252"), (b"\x81", "latin-1")])
def test_another_encoding_is_read_and_said(byte: bytes, codec: str) -> None:
    """A file in an old encoding is read, and named."""
    files = manager(table(HEADER + ",note", ROW_A).encode() + b"# caf" + byte)
    assert [row["id"] for row in files.load_config()] == ["a"]
    assert files.findings == [f"config.csv is not UTF-8; it was read as {codec}. Save it as UTF-8"]


def test_a_stray_quote_does_not_swallow_the_rows_below() -> None:
    """A quote that is never closed costs at most its own row, and is pointed at."""
    files = manager(table(HEADER, '"q,XBTUSD,5', ROW_A, ROW_B))
    assert [row["id"] for row in files.load_config()] == ['"q', "a", "b"]
    assert "opens a quote" in files.findings[1]


def test_quotes_that_take_in_a_row_are_pointed_at() -> None:
    """Two stray quotes that pair up over a line end would hide a row silently."""
    files = manager(table(HEADER + ",note", ROW_A + ',"oops', ROW_B + ',"', ROW_A + ',"a\nb"'))
    assert len(files.load_config()) == 2
    assert len(files.findings) == 1
    assert "take in what looks like a row" in files.findings[0]


@pytest.mark.parametrize(
    ("text", "said"), [("# only this\n", "comments only"), ("a,b\n1,2\n", "no column 'id'")]
)
def test_a_file_without_a_header_is_said(text: str, said: str) -> None:
    """A file whose columns have no names says what the first line must be."""
    files = manager(text)
    files.load_config()
    assert said in files.findings[0]


def test_an_empty_file_is_empty_and_has_a_stamp() -> None:
    """A file of no bytes is no row, and it is told apart from no file."""
    files = manager("")
    assert files.read_config() == ConfigFile((), (), files.config_stamp())
    assert files.config_stamp() is not None


@given(st.binary(max_size=300) | st.text(alphabet='ai,;\t\r\n"# \0\ufeffd=', max_size=80))
def test_load_config_raises_nothing_whatever_the_bytes(data: bytes | str) -> None:
    """No input makes the reader raise, and every value it gives is stripped text."""
    with folder() as place:
        path = place / "config.csv"
        path.write_bytes(data if isinstance(data, bytes) else f"id,pair\n{data}".encode())
        rows = ConfigManager(path).load_config()
    assert all(value == value.strip() for row in rows for value in row.values())


CELL = st.text(alphabet='ab1, ;"\n\r#é', max_size=6)


@given(st.lists(st.lists(CELL, min_size=3, max_size=3), max_size=6), st.sampled_from(",;\t"))
def test_load_config_reads_what_the_csv_module_writes(grid: list[list[str]], mark: str) -> None:
    """Quoting as everybody's CSV writers do it is understood."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=mark, quoting=csv.QUOTE_ALL)
    writer.writerows([["id", "pair", "volume"], *grid])
    with folder() as place:
        (place / "config.csv").write_bytes(file.getvalue().encode())
        rows = ConfigManager(place / "config.csv").load_config()
    stripped = [[cell.strip() for cell in line] for line in grid]
    rules = [c for c in stripped if any(c) and not (c[0] + " " + c[1]).startswith("#")]
    rules = [c for c in rules if not c[1].startswith("#")]
    assert [list(row.values()) for row in rules_of(rows)] == rules


def rules_of(rows: Iterable[Mapping[str, str]]) -> list[dict[str, str]]:
    """Return the rows as plain dicts."""
    return [dict(row) for row in rows]


def test_a_file_that_keeps_changing_cannot_be_read() -> None:
    """A file that never stands still while it is read is an error, not half a file."""

    class Restless(TestDisk):
        count = 0

        def stamp(self, path: Path) -> Stamp | None:
            self.count += 1
            return Stamp(self.count, 0, 0)

    with pytest.raises(OSError, match="keeps changing"):
        manager(table(HEADER, ROW_A), Restless()).load_config()


def test_a_file_that_vanishes_while_it_is_read_is_looked_for_again() -> None:
    """An editor that removes and renames is given the time to do so."""

    class Vanishing(TestDisk):
        reads = 0

        def read(self, path: Path) -> bytes:
            self.reads += 1
            if self.reads == 1:
                raise FileNotFoundError(errno.ENOENT, "gone", str(path))
            return super().read(path)

    assert len(manager(table(HEADER, ROW_A), Vanishing()).load_config()) == 1


# ------------------------------------------------------------------ writing rules


def trigger(files: ConfigManager, config_id: str = "a") -> None:
    """Record a trigger with values that are easy to find."""
    files.update_config_on_trigger(config_id, "OID", "2026-11-23T12:00:00+00:00", "50001")


TRIGGERED = "OID,2026-11-23T12:00:00+00:00,50001"


def test_a_trigger_changes_one_row_and_the_header_alone() -> None:
    """The row is disarmed, three columns are appended, every other byte stays."""
    before = [f"{HEADER},note", "# c , c", f'{ROW_A},"x, y"', "", f" {ROW_B} , z,,", "short"]
    trigger(manager(table(*before, end="\r\n")))
    after = Path("config.csv").read_bytes().decode().split("\r\n")
    assert after[0] == f"{before[0]},,,order_id,trigger_time,trigger_price".replace(",,,", ",")
    assert after[2] == f'{ROW_A[:-4]}false,"x, y",{TRIGGERED}'
    assert [after[i] for i in (1, 3, 4, 5)] == [before[i] for i in (1, 3, 4, 5)]


def test_a_second_trigger_uses_the_columns_of_the_first() -> None:
    """Columns are appended once."""
    files = manager(table(HEADER, ROW_A, ROW_B))
    trigger(files, "a")
    trigger(files, "b")
    rows = files.load_config()
    assert [row["order_id"] for row in rows] == ["OID", "OID"]
    assert [row["enabled"] for row in rows] == ["false", "false"]
    assert Path("config.csv").read_text().count("order_id") == 1


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_trigger_keeps_separator_and_encoding(mark: str, codec: str) -> None:
    """The file is written back in its own encoding, with its own separator."""
    text = table(HEADER, ROW_A, ROW_B, "# é").replace(",", mark)
    trigger(manager(text.encode(codec)))
    after = Path("config.csv").read_bytes().decode(codec)
    changed = f"{ROW_A[:-4]}false,{TRIGGERED}"
    header = f"{HEADER},order_id,trigger_time,trigger_price"
    assert after == table(header, changed, ROW_B, "# é").replace(",", mark)


def test_a_file_without_enabled_gets_the_column() -> None:
    """Where `enabled` is missing it is appended, and empty cells there still arm."""
    header = HEADER.removesuffix(",enabled")
    files = manager(table(header, ROW_A.removesuffix(",true"), ROW_B.removesuffix(",yes")))
    trigger(files)
    fired, other = (read_rule(row) for row in files.load_config())
    assert (fired.enabled, other.enabled) == (False, True)


def test_a_new_column_never_gives_a_surplus_cell_a_name() -> None:
    """A row that was refused for a cell too many is still refused after another row fired."""
    files = manager(table(HEADER, ROW_A, f"{ROW_B},surplus"))
    trigger(files)
    fired, long = files.load_config()
    assert long.findings == ("has 'surplus' in column 9, which has no name",)
    assert fired["order_id"] == "OID"


def test_a_quoted_cell_stays_quoted_and_spans_lines() -> None:
    """Quoted cells with line ends inside are left alone; a changed cell keeps its quotes."""
    row = 'a,XBTUSD,50000,above,sell,0.01,5.0,"true","two\r\nlines"'
    files = manager(f"{HEADER},note\n{row}\n{ROW_B}")
    files.update_row("a", {"enabled": "false", "order_id": 'a "b"\n,c'})
    text = Path("config.csv").read_bytes().decode()
    changed = row.replace('"true"', '"false"') + ',"a ""b""\n,c"'
    assert text == f"{HEADER},note,order_id\n{changed}\n{ROW_B}"


def test_an_update_that_changes_nothing_writes_nothing() -> None:
    """Writing the values that stand there leaves even the stamp alone."""
    files = manager(table(HEADER, ROW_A))
    before = files.config_stamp()
    files.update_row("a", {"enabled": "true"})
    assert files.config_stamp() == before


def test_update_row_without_that_row_raises() -> None:
    """No such id, and no header at all, are lookup errors and change nothing."""
    files = manager(table(HEADER, ROW_A))
    with pytest.raises(LookupError, match="no row has the id 'zz'"):
        files.update_row("zz", {"enabled": "false"})
    with pytest.raises(LookupError):
        manager("").update_row("a", {"enabled": "false"})


def test_update_row_without_the_file_raises() -> None:
    """A missing file is named."""
    with pytest.raises(FileNotFoundError, match=r"no config file.*config\.csv"):
        manager().update_row("a", {"enabled": "false"})


def test_a_trigger_without_row_or_file_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """There is nothing to disarm, and that is said."""
    trigger(manager())
    trigger(manager(table(HEADER, ROW_A)), "zz")
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]


def test_update_row_with_a_duplicate_id_changes_neither() -> None:
    """Rows that share an id never trade, and nobody can tell which one is meant."""
    text = table(HEADER, ROW_A, ROW_A.replace("true", "no"))
    with pytest.raises(ValueError, match="lines 2, 3 share the id 'a'"):
        manager(text).update_row("a", {"enabled": "false"})
    assert Path("config.csv").read_text() == text


def test_update_row_refuses_what_the_encoding_cannot_hold() -> None:
    """Text outside an old encoding is refused instead of written as something else."""
    with pytest.raises(ValueError):
        manager(table(HEADER, ROW_A, "# \xe9").encode("cp1252")).update_row("a", {"pair": "Ω"})


def test_update_row_refuses_where_quotes_would_pair_up_anew() -> None:
    """A stray quote above the row could take the new cell's quotes for its own."""
    data = table(HEADER + ",note", '"q,XBTUSD', ROW_A + ',"n"x')
    with pytest.raises(ValueError, match="quote marks"):
        manager(data).update_row("a", {"pair": '","'})
    assert Path("config.csv").read_text() == data


def test_what_the_user_saves_in_between_is_not_lost() -> None:
    """A save between reading and replacing makes the program merge into what was saved."""
    disk = TestDisk()
    disk.intrusions = [table(HEADER, ROW_B, ROW_A.replace("50000", "60000")).encode()]
    trigger(manager(table(HEADER, ROW_A), disk))
    kept, fired = ConfigManager().load_config()
    assert (kept["id"], fired["threshold_price"], fired["order_id"]) == ("b", "60000", "OID")
    assert litter() == []


def test_a_row_that_the_user_removes_in_between_stays_removed() -> None:
    """A save that took the row away wins."""
    disk = TestDisk()
    disk.intrusions = [table(HEADER, ROW_B).encode()]
    with pytest.raises(LookupError):
        manager(table(HEADER, ROW_A), disk).update_row("a", {"enabled": "false"})
    assert Path("config.csv").read_text() == table(HEADER, ROW_B)


def test_a_file_that_is_saved_without_end_is_given_up() -> None:
    """Merging stops after a number of tries, loudly, with the last save in place."""
    disk = TestDisk()
    saves = [table(HEADER, ROW_A, f"# {'x' * number}").encode() for number in range(99)]
    disk.intrusions = list(saves)
    with pytest.raises(OSError, match="keeps changing"):
        manager(table(HEADER, ROW_A), disk).update_row("a", {"enabled": "false"})
    assert Path("config.csv").read_bytes() in saves
    assert litter() == []


@pytest.mark.parametrize("step", ["create", "write", "sync", "rename", "is_replaceable"])
def test_a_failing_write_leaves_the_config_as_it_was(step: str) -> None:
    """Whatever step fails, the file is whole, nothing is left beside it, and the caller knows."""
    text = table(HEADER, ROW_A)
    with pytest.raises(OSError):
        manager(text, TestDisk(step)).update_row("a", {"enabled": "false"})
    assert Path("config.csv").read_text() == text
    assert litter() == []


def test_a_file_held_by_a_spreadsheet_is_tried_again() -> None:
    """Where another program holds the file for a moment, the rename is tried again."""
    disk = TestDisk("rename", error=PermissionError(13, "in use"))
    disk.rename_tries = 3
    manager(table(HEADER, ROW_A), disk).update_row("a", {"enabled": "no"})
    assert disk.paused == 2
    assert ConfigManager().load_config()[0]["enabled"] == "no"


def test_a_file_held_for_long_is_an_error_with_the_cure() -> None:
    """After the tries the error says what to do."""
    disk = TestDisk("rename", error=PermissionError(13, "in use"))
    disk.rename_tries = 2
    with pytest.raises(PermissionError, match="spreadsheet"):
        manager(table(HEADER, ROW_A), disk).update_row("a", {"enabled": "no"})


@pytest.mark.skipif(os.name == "nt", reason="modes and links as POSIX has them")
def test_mode_and_link_survive_an_update() -> None:
    """A link stays a link to the same file, which keeps its mode."""
    Path("real.csv").write_text(table(HEADER, ROW_A))
    Path("real.csv").chmod(0o640)
    Path("config.csv").symlink_to("real.csv")
    trigger(manager())
    assert Path("config.csv").is_symlink()
    assert "OID" in Path("real.csv").read_text()
    assert Path("real.csv").stat().st_mode & 0o777 == 0o640


def test_own_writes_are_told_from_the_users() -> None:
    """A version that only this program led to is its own; a save of the user's is not."""
    files = manager(table(HEADER, ROW_A, ROW_B))
    files.load_config()
    seen = files.config_stamp()
    trigger(files, "a")
    trigger(files, "b")
    assert files.own_stamp == files.config_stamp()
    assert files.is_own_write(files.config_stamp())
    assert files.is_own_write(files.config_stamp(), seen)
    Path("config.csv").write_text(table(HEADER))
    assert not files.is_own_write(files.config_stamp())


def test_an_own_write_over_an_edit_not_yet_seen_is_not_own() -> None:
    """The user's edit is not hidden by the program's write on top of it."""
    files = manager(table(HEADER, ROW_A, ROW_B))
    files.load_config()
    Path("config.csv").write_text(table(HEADER, ROW_A.replace("50000", "60000"), ROW_B))
    trigger(files, "b")
    assert not files.is_own_write(files.config_stamp())
    files.load_config()
    assert files.is_own_write(files.config_stamp())
    assert not files.is_own_write(None)


VALUES = st.text(alphabet='xy,;\t"\n\r 1', max_size=5)


@given(
    st.lists(st.lists(CELL, min_size=1, max_size=5), min_size=1, max_size=6),
    st.sampled_from(["\n", "\r\n"]),
    st.dictionaries(st.sampled_from(["enabled", "pair", "order_id"]), VALUES, min_size=1),
)
def test_update_row_changes_no_byte_outside_row_and_header(
    grid: list[list[str]], end: str, cells: dict[str, str]
) -> None:
    """Whatever surrounds the row, it stays to the letter, or the update refuses to write."""
    above, below = (end.join(",".join(line) for line in part) for part in (grid[:3], grid[3:]))
    head, row, tail = f"id,pair,enabled{end}", f"target,p,true{end}", f"{below}{end}"
    data = f"{head}{above}{end}{row}{tail}".encode()
    with folder() as place:
        path = place / "config.csv"
        path.write_bytes(data)
        files = ConfigManager(path)
        before = rules_of(files.load_config())
        try:
            files.update_row("target", cells)
        except (LookupError, ValueError):
            assert path.read_bytes() == data
            return
        text, after = path.read_bytes().decode(), rules_of(files.load_config())
    assert text.endswith(tail)
    assert f"{end}{above}{end}" in text
    assert (
        next(r for r in after if r["id"] == "target").items()
        >= {name: value.strip() for name, value in cells.items()}.items()
    )
    assert [r["id"] for r in after] == [r["id"] for r in before]


# ------------------------------------------------------------------ the sample


def test_the_sample_is_readable_and_arms_nothing() -> None:
    """Whoever runs the sample as it is trades nothing, and every row of it is a good rule."""
    files = manager()
    files.create_sample_config("config.csv")
    rules = [read_rule(row) for row in files.load_config()]
    assert len(rules) == 3
    assert not any(rule.enabled for rule in rules)
    assert files.findings == []


def test_the_sample_explains_every_column() -> None:
    """Each column of the contract is explained in a comment."""
    manager().create_sample_config()
    text = Path("config_sample.csv").read_text()
    assert all(f"# {name} " in text for name in CONFIG_COLUMNS)


@pytest.mark.parametrize("is_late", [False, True])
def test_the_sample_replaces_nobodys_file(is_late: bool) -> None:
    """A file with something in it is left alone, also where it appears at the last moment."""
    disk = TestDisk()
    if is_late:
        disk.intrusions = [b"mine"]
    else:
        Path("config_sample.csv").write_bytes(b"mine")
    with pytest.raises(FileExistsError, match="left alone"):
        manager(disk=disk).create_sample_config()
    assert Path("config_sample.csv").read_bytes() == b"mine"


def test_the_sample_fills_an_empty_file() -> None:
    """A file of no bytes has nothing to lose."""
    Path("config_sample.csv").touch()
    manager().create_sample_config()
    assert Path("config_sample.csv").stat().st_size


# ------------------------------------------------------------------ state


STATE_HEADER = ",".join(STATE_COLUMNS)
FIRED = "a,true,50001,2026-11-23T12:00:00+00:00,OID,2026-11-23T12:00:01+00:00,"
QUIET = "b,false,,,,,2026-11-23T12:00:00+00:00"


def state(data: bytes | str, disk: Disk | None = None) -> ConfigManager:
    """Return a manager over a state file of these bytes."""
    Path("state.csv").write_bytes(data.encode() if isinstance(data, str) else data)
    return ConfigManager(disk=disk or TestDisk())


def test_state_that_is_saved_is_loaded_again() -> None:
    """The contract's columns come first, then further ones; all values are text."""
    row = {"triggered": True, "order_id": None, "cl_ord_id": "u-1", "last_checked": 5}
    manager().save_state({"a": row, "b": {"triggered": "false"}})
    text = Path("state.csv").read_text()
    assert text == f"{STATE_HEADER},cl_ord_id\na,true,,,,,5,u-1\nb,false,,,,,,\n"
    loaded = manager().load_state()
    assert loaded["a"]["cl_ord_id"] == "u-1"
    assert loaded["b"]["id"] == "b"


@pytest.mark.parametrize("value", [" x ", "\ufeff", "\t", 'a "b"', "1,2", "one\r\ntwo", "'", "#"])
def test_state_values_come_back_to_the_letter(value: str) -> None:
    """Spaces, marks, quotes and line ends around and inside a value are part of it."""
    manager().save_state({"a": {"order_id": value}})
    file = manager().load_state_checked()
    assert (file.rows["a"]["order_id"], file.problems) == (value, ())


def test_saving_no_state_does_nothing() -> None:
    """An empty state neither creates nor empties a file."""
    manager().save_state({})
    assert not Path("state.csv").exists()
    state(table(STATE_HEADER, FIRED)).save_state({})
    assert Path("state.csv").read_text() == table(STATE_HEADER, FIRED)


def test_unknown_columns_and_rows_survive_a_save() -> None:
    """What a later version wrote is kept, also columns in which no row says anything."""
    files = state(table(f"{STATE_HEADER},future,empty", f"{FIRED},x,", f"{QUIET},,"))
    loaded = files.load_state()
    loaded["b"]["last_checked"] = "now"
    files.save_state(loaded)
    lines = Path("state.csv").read_text().splitlines()
    assert lines[0] == f"{STATE_HEADER},future,empty"
    assert lines[1] == f"{FIRED},x,"


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
NAMES = st.sampled_from([*STATE_COLUMNS[2:], "cl_ord_id", "x"])


@given(
    st.dictionaries(
        TEXT.filter(lambda t: bool(t.strip("\ufeff \t\r\n") and t.strip())),
        st.dictionaries(NAMES, TEXT),
        min_size=1,
        max_size=4,
    )
)
def test_state_of_any_text_survives_a_round_trip(rows: dict[str, dict[str, str]]) -> None:
    """Quotes, separators, line ends, spaces and every script come back as they were."""
    with folder() as place:
        ConfigManager(state_file=place / "s.csv").save_state(rows)
        file = ConfigManager(state_file=place / "s.csv").load_state_checked()
    assert file.problems == ()
    assert list(file.rows) == list(rows)
    for identifier, row in rows.items():
        assert {name: file.rows[identifier][name] for name in row} == row


@given(st.binary(max_size=200) | st.text(alphabet='ai,;\r\n" \0true', max_size=80))
def test_load_state_raises_nothing_whatever_the_bytes(data: bytes | str) -> None:
    """Damage is a problem that is reported and copied, never an exception."""
    with folder() as place:
        path = place / "state.csv"
        data = data if isinstance(data, bytes) else f"{STATE_HEADER}\n{data}".encode()
        path.write_bytes(data)
        file = ConfigManager(state_file=path).load_state_checked()
        assert path.read_bytes() == data
        assert (file.copy is not None) == bool(file.problems)
        assert file.copy is None or file.copy.read_bytes() == data


def test_a_missing_state_is_empty_without_a_problem() -> None:
    """The first start has no past."""
    file = manager().load_state_checked()
    assert (file.rows, file.problems, file.copy) == ({}, (), None)


def test_an_unreadable_state_is_a_problem_and_not_empty() -> None:
    """A state that cannot be read puts every row in doubt, and it is not replaced."""
    files = state(table(STATE_HEADER, FIRED), TestDisk("read", error=OSError(5, "I/O error")))
    (problem,) = files.load_state_checked().problems
    assert problem.ids == ()
    assert "cannot be read: I/O error" in problem.message
    with pytest.raises(OSError):
        files.load_state()
    with pytest.raises(OSError):
        files.save_state({"b": {}})
    assert Path("state.csv").read_text() == table(STATE_HEADER, FIRED)


def test_a_state_of_the_ancestor_is_read_without_a_problem() -> None:
    """CRLF, as Python's csv module writes it, and a header alone are in order."""
    assert state(table(STATE_HEADER, FIRED, QUIET, end="\r\n")).load_state_checked().problems == ()
    assert state(table(STATE_HEADER)).load_state_checked().problems == ()


@pytest.mark.parametrize(
    ("data", "ids", "line", "said"),
    [
        (b"", (), 0, "is empty"),
        (b"\0" * 64, (), 0, "is empty"),
        (b"nonsense\n1\n", (), 1, "no column 'id'"),
        (table(STATE_HEADER, QUIET, "a,true,5000"), ("a",), 3, "cut short"),
        (table(STATE_HEADER, FIRED, QUIET + ",,x"), ("b",), 3, "cells where the header"),
        (table(STATE_HEADER, ",true,50001,,,,"), (), 2, "has no id"),
        (table(STATE_HEADER, QUIET, FIRED.replace("true", "tru")), ("a",), 3, "'tru'"),
        (table(STATE_HEADER, FIRED.replace("OID", "O\0D")), ("a",), 2, "NUL"),
        (table(STATE_HEADER, FIRED.replace("OID", "\xe9")).encode("cp1252"), ("a",), 2, "encoding"),
        (table(STATE_HEADER, FIRED, FIRED.replace("true", "false")), ("a",), 3, "another story"),
    ],
)
def test_damage_names_line_and_ids_and_is_copied(
    data: bytes | str, ids: tuple[str, ...], line: int, said: str
) -> None:
    """Each kind of damage says which file, line and row, and the file is kept beside itself."""
    file = state(data).load_state_checked()
    (problem,) = file.problems
    assert (problem.ids, problem.line) == (ids, line)
    assert said in problem.message
    assert problem.message.startswith("state.csv")
    assert file.copy is not None
    assert file.copy.name == "state.csv.20261123T120000Z.bad"
    assert file.copy.read_bytes() == Path("state.csv").read_bytes()


def test_of_two_stories_the_one_that_fired_is_kept() -> None:
    """A row that may have fired counts as fired, in whichever order the two stand."""
    unfired = FIRED.replace("true", "false")
    for lines in ([FIRED, unfired], [unfired, FIRED]):
        rows = state(table(STATE_HEADER, *lines)).load_state_checked().rows
        assert rows["a"]["triggered"] == "true"


def test_a_row_that_is_there_twice_alike_is_no_problem() -> None:
    """The same fact twice is one fact."""
    assert state(table(STATE_HEADER, FIRED, FIRED)).load_state_checked().problems == ()


def test_load_state_says_problems_on_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Those who ask for the simple answer find the problems in the program's log."""
    assert set(state(table(STATE_HEADER, QUIET, "a,tr")).load_state()) == {"a", "b"}
    assert "cut short" in caplog.text


def test_copies_never_overwrite_each_other() -> None:
    """Different damage in the same second gets a name of its own; the same damage one copy."""
    files = state("a")
    first = files.load_state_checked().copy
    again = files.load_state_checked().copy
    second = state("b", files._disk).load_state_checked().copy
    assert first == again
    assert first is not None
    assert second is not None
    assert (first.read_bytes(), second.read_bytes()) == (b"a", b"b")


def test_a_damaged_state_is_not_replaced_before_there_is_a_copy() -> None:
    """Where the copy cannot be made the damaged file stays, and saving fails until it can."""
    disk = TestDisk("create")
    files = state(b"damaged", disk)
    file = files.load_state_checked()
    assert file.copy is None
    assert "will not be replaced" in file.problems[-1].message
    with pytest.raises(OSError):
        files.save_state({"a": {}})
    assert Path("state.csv").read_bytes() == b"damaged"
    disk.failing.clear()
    files.save_state({"a": {}})
    assert Path("state.csv.20261123T120000Z.bad").read_bytes() == b"damaged"
    assert Path("state.csv").read_text().startswith(STATE_HEADER)


@pytest.mark.parametrize("step", ["stamp", "create", "write", "sync", "rename", "is_replaceable"])
def test_a_failing_save_leaves_the_state_as_it_was(step: str) -> None:
    """Whatever step fails, the old state is whole and nothing is left beside it."""
    files = state(table(STATE_HEADER, FIRED), TestDisk(step))
    with pytest.raises(OSError):
        files.save_state({"b": {"triggered": "true"}})
    assert Path("state.csv").read_text() == table(STATE_HEADER, FIRED)
    assert litter() == []


def test_a_folder_that_cannot_be_synced_is_said() -> None:
    """Until the rename is on the platter the save is not done."""
    files = state(table(STATE_HEADER, FIRED), TestDisk("sync_folder"))
    with pytest.raises(OSError):
        files.save_state({"b": {}})
    assert litter() == []


def test_a_file_that_another_program_keeps_writing_is_not_saved() -> None:
    """Two programs on one state are an error and not a race."""
    disk = TestDisk()
    disk.intrusions = [b"x" * number for number in range(1, 99)]
    with pytest.raises(OSError, match="another program"):
        state(table(STATE_HEADER), disk).save_state({"a": {}})


def test_a_device_is_never_replaced() -> None:
    """A state file that is no plain file, such as a device or a folder, is left alone."""
    Path("state.csv").mkdir()
    with pytest.raises(OSError):
        manager().save_state({"a": {}})
    assert Path("state.csv").is_dir()


def test_initialize_creates_the_header_once() -> None:
    """The header is written where there is no file, and a file that is there is left alone."""
    manager().initialize_state_file()
    assert Path("state.csv").read_text() == STATE_HEADER + "\n"
    state("precious").initialize_state_file()
    assert Path("state.csv").read_text() == "precious"


def test_initialize_leaves_a_file_that_appears_meanwhile() -> None:
    """Between the look and the rename somebody else may be faster."""
    disk = TestDisk()
    disk.intrusions = [b"precious"]
    manager(disk=disk).initialize_state_file()
    assert Path("state.csv").read_text() == "precious"


def test_initialize_sweeps_old_litter_of_its_own() -> None:
    """What a killed program left goes; other people's files and fresh ones stay."""
    names = [f"state.csv.{'a' * 32}.tmp", f"state.csv.{'b' * 32}.tmp", "state.csv.notes.tmp"]
    for name, age in zip(names, (3600, 10, 3600), strict=True):
        Path(name).touch()
        os.utime(name, (NOON.timestamp() - age,) * 2)
    manager().initialize_state_file()
    assert sorted(litter()) == sorted(names[1:])


def test_sweep_takes_what_a_killed_program_left() -> None:
    """Beside the state all leftovers go, beside the rules old ones, and of others' files none."""
    ours = [f"state.csv.{'a' * 32}.tmp", f"state.csv.tape.{'b' * 32}.tmp"]
    old, fresh = f"config.csv.{'c' * 32}.tmp", f"config.csv.{'d' * 32}.tmp"
    foreign = ["state.csv.tmp", f"other.csv.{'e' * 32}.tmp", f"state_csv.{'f' * 32}.tmp"]
    for name in (*ours, old, fresh, *foreign):
        Path(name).touch()
        age = 3600 if name == old else 1
        os.utime(name, (NOON.timestamp() - age,) * 2)
    manager().sweep()
    assert sorted(litter()) == sorted([fresh, *foreign])


def test_state_that_is_no_dict_is_told_by_its_name() -> None:
    """A row of the state that cannot be written says which it is, and nothing is written."""
    with pytest.raises(TypeError, match="the state of 'b' must be a dict, not NoneType"):
        manager().save_state({"a": {"id": "a"}, "b": None})  # type: ignore[dict-item]  # the point
    assert not Path("state.csv").exists()


# ------------------------------------------------------------------ the real disk


def test_the_real_disk_knows_time_and_waits() -> None:
    """The real clock gives UTC, and its other side never runs backwards."""
    disk = Disk()
    before = disk.monotonic()
    disk.pause(0)
    assert disk.monotonic() >= before
    assert disk.now().utcoffset() == timedelta(0)


@pytest.mark.skipif(os.name == "nt", reason="folders are synced on POSIX only")
@pytest.mark.parametrize(("number", "is_raised"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_a_folder_that_knows_no_sync_is_let_pass(
    number: int, is_raised: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Network file systems that cannot sync folders are tolerated; a broken disk is not."""

    def fail(_handle: int) -> None:
        raise OSError(number, "sync")

    monkeypatch.setattr(os, "fsync", fail)
    with ExitStack() as stack:
        if is_raised:
            stack.enter_context(pytest.raises(OSError))
        Disk().sync_folder(Path())


# ------------------------------------------------------------------ the lock


def test_a_second_lock_names_the_holder() -> None:
    """The second copy learns who holds the state, and since when."""
    with StateLock("state.csv", TestDisk()):
        with pytest.raises(AlreadyRunning) as caught, StateLock("state.csv"):
            pass
        holder = caught.value.holder
    assert holder is not None
    assert (holder.pid, holder.since) == (os.getpid(), "2026-11-23T12:00:00+00:00")
    assert f"process {os.getpid()} on {holder.host} since" in str(caught.value)


def test_a_lock_is_free_again_afterwards() -> None:
    """Whoever comes after the holder gets the lock, also after an error inside."""
    with pytest.raises(KeyError), StateLock("state.csv"):
        raise KeyError
    with StateLock("state.csv") as lock:
        assert lock.holder() is not None
    assert lock.holder() is None


def test_another_thread_may_let_go() -> None:
    """Whichever thread ends the program gives the state free."""
    lock = StateLock("state.csv").__enter__()
    thread = threading.Thread(target=lock.__exit__, args=(None, None, None))
    thread.start()
    thread.join()
    with StateLock("state.csv"):
        pass


def test_a_holder_that_cannot_be_told_is_another_process() -> None:
    """Damage in the small file beside the lock costs the name and nothing else."""
    with StateLock("state.csv"):
        Path("state.csv.lock.json").write_text("[]")
        with pytest.raises(AlreadyRunning, match="another process"), StateLock("state.csv"):
            pass


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_two_names_of_one_state_are_one_lock() -> None:
    """A link to the state file does not open a back door."""
    Path("link.csv").symlink_to("state.csv")
    with StateLock("state.csv"), pytest.raises(AlreadyRunning), StateLock("link.csv"):
        pass


def test_the_lock_ends_with_its_process() -> None:
    """A killed program leaves no lock behind."""
    context = multiprocessing.get_context("spawn")
    ready, end = context.Event(), context.Event()
    process = context.Process(target=hold_lock, args=(str(Path("state.csv").resolve()), ready, end))
    process.start()
    try:
        assert ready.wait(30)
        with pytest.raises(AlreadyRunning, match=f"process {process.pid}"), StateLock("state.csv"):
            pass
    finally:
        process.kill()
        process.join()
    with StateLock("state.csv") as lock:
        holder = lock.holder()
        assert holder is not None
        assert holder.pid == os.getpid()


def hold_lock(path: str, ready: threading.Event, end: threading.Event) -> None:
    """Hold the lock until killed; runs in a process of its own."""
    with StateLock(path):
        ready.set()
        end.wait(60)


# ------------------------------------------------------------------ the log


LOG_HEADER = "timestamp,level,message,details"


def log_lines() -> list[str]:
    """Return the lines of the log."""
    return Path("logs.csv").read_bytes().decode().splitlines()


def test_the_log_has_fixed_columns() -> None:
    """However many details there are, a row has four cells."""
    files = manager()
    files.log("INFO", "plain")
    files.log("ERROR", 'a, "b"\nc', pair="XBTUSD", note='x "y"\nz', empty="", n=5)
    assert log_lines()[0] == LOG_HEADER
    rows = list(csv.reader(log_lines()))
    assert rows[1] == ["2026-11-23T12:00:00.000+00:00", "INFO", "plain", ""]
    assert rows[2][2:] == ['a, "b"\\nc', r'pair=XBTUSD note="x \"y\"\nz" empty="" n=5']


def test_a_log_of_another_shape_is_put_aside() -> None:
    """Rows of another version never stand under this header."""
    Path("logs.csv").write_text("timestamp,level,message,pair,price\n1,2,3,4,5\n")
    manager().log("INFO", "new")
    assert len(log_lines()) == 2
    assert "4,5" in Path("logs.csv.1").read_text()


def test_a_log_that_was_cut_gets_its_line_end() -> None:
    """After a crash in mid-line the next row begins on a line of its own."""
    Path("logs.csv").write_text(f"{LOG_HEADER}\nhalf a li")
    manager().log("INFO", "next")
    assert log_lines()[1] == "half a li"
    assert log_lines()[2].endswith(",INFO,next,")


def test_the_log_is_rotated_and_old_ones_go() -> None:
    """A full log becomes .1, and the fifth of the old ones is dropped."""
    for number, name in enumerate(["logs.csv", *(f"logs.csv.{n}" for n in range(1, 6))]):
        Path(name).write_text(f"{LOG_HEADER}\n{number}\n")
    with Path("logs.csv").open("a") as file:
        file.truncate(LOG_BYTES)
    manager().log("INFO", "fresh")
    assert len(log_lines()) == 2
    assert Path("logs.csv.1").stat().st_size == LOG_BYTES
    assert Path("logs.csv.5").read_text().endswith("\n4\n")
    assert not Path("logs.csv.6").exists()


def test_a_log_that_cannot_be_written_raises_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A full disk is said once a minute, and stops nobody."""
    disk = TestDisk("append")
    files = manager(disk=disk)
    for disk.seconds in (0, 1, 59, 60, 61):
        files.log("INFO", "lost")
    assert len(caplog.records) == 2
    assert "logs.csv cannot be written" in caplog.text
    assert caplog.records[0].levelno == logging.WARNING


def test_the_log_takes_rows_from_many_threads() -> None:
    """Rows from several threads do not mix, and the header stands once."""
    files = manager()
    threads = [threading.Thread(target=files.log, args=("INFO", f"m{n}")) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(row[2] for row in csv.reader(log_lines()[1:])) == [f"m{n}" for n in range(8)]


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_log_row_is_one_line_whatever_its_text(message: str, value: str) -> None:
    """No text breaks a row in two or raises."""
    assume("\0" not in message + value)
    with folder() as place:
        ConfigManager(log_file=place / "l.csv").log("INFO", message, value=value)
        data = (place / "l.csv").read_bytes().decode()
    assert len(list(csv.reader(io.StringIO(data, newline="")))) == 2
    assert data.count("\n") == 2
